//! Any bytes as what a link may bring: a VRRP packet, an ARP frame, a netlink datagram, a client's
//! request.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../bodies/wire.rs"]
mod body;

fuzz_target!(|bytes: &[u8]| body::survive(bytes));
