//! **Bytes to values and back**: headers as `zerocopy` structs, checksums, finished frames.
//!
//! Every function here is total: what cannot be read is refused with a reason ([`Refusal`], which
//! `vrrp` counts), nothing panics on input, nothing is copied while reading and nothing is
//! allocated.

pub mod arp;
pub mod auth;
pub mod checksum;
pub mod ethernet;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod vrrp;

pub use auth::Authentication;
pub use vrrp::{AddressList, Advert, ChecksumForm, Refusal, Refused, Version};
