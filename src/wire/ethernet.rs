//! The Ethernet header.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::base::Mac;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;

/// An Ethernet II header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// Where the frame goes.
    pub destination: [u8; 6],
    /// Who sent it.
    pub source: [u8; 6],
    /// What it carries.
    pub ethertype: U16,
}

impl EthernetHeader {
    /// Its length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// A header from `source` to `destination` for a payload of type `ethertype`.
    pub fn new(destination: Mac, source: Mac, ethertype: u16) -> Self {
        EthernetHeader {
            destination: destination.0,
            source: source.0,
            ethertype: U16::new(ethertype),
        }
    }
}
