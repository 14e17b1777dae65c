//! The IPv6 header (RFC 8200), as far as VRRP needs it.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Sum;

/// The multicast group of VRRP over IPv6 (RFC 9568 section 5.1.2.2).
pub const VRRP_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// All nodes on the link (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Version 6, and the traffic class of internetwork control (`0xc0`, as over IPv4); no flow label.
const VERSION_AND_CLASS: u32 = 0x6c00_0000;

/// An IPv6 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (the highest four bits), traffic class (eight) and flow label.
    pub version_class_flow: U32,
    /// Length of what follows in bytes.
    pub payload_length: U16,
    /// What it carries.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Who sent it.
    pub source: [u8; 16],
    /// Where it goes.
    pub destination: [u8; 16],
}

/// An IPv6 packet taken apart: by [`Ipv6Packet::parse`], or by the kernel, whose raw sockets deliver
/// what follows the headers and tell the rest beside it (`ipv6(7)`, RFC 3542).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Packet<'a> {
    /// Hop limit as received.
    pub hop_limit: u8,
    /// What the payload is.
    pub next_header: u8,
    /// Who sent it.
    pub source: Ipv6Addr,
    /// Where it went.
    pub destination: Ipv6Addr,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Ipv6Header {
    /// Its length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// The header of a packet whose payload has `payload_len` bytes, with the traffic class of
    /// internetwork control.
    pub fn new(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: u8,
        hop_limit: u8,
        payload_len: usize,
    ) -> Self {
        Ipv6Header {
            version_class_flow: U32::new(VERSION_AND_CLASS),
            payload_length: U16::new(payload_len as u16),
            next_header,
            hop_limit,
            source: source.octets(),
            destination: destination.octets(),
        }
    }
}

impl<'a> Ipv6Packet<'a> {
    /// Takes a packet apart that begins with its header. Extension headers are not walked: VRRP has
    /// none.
    ///
    /// `None` if the bytes are no whole IPv6 packet. Bytes beyond its length are cut off.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = Ipv6Header::ref_from_prefix(bytes).ok()?;
        if header.version_class_flow.get() >> 28 != 6 {
            return None;
        }
        Some(Ipv6Packet {
            hop_limit: header.hop_limit,
            next_header: header.next_header,
            source: header.source.into(),
            destination: header.destination.into(),
            payload: rest.get(..usize::from(header.payload_length.get()))?,
        })
    }
}

/// The sum of the pseudo-header that checksums over IPv6 cover (RFC 8200 section 8.1).
pub fn pseudo_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload_len: usize,
) -> Sum {
    // Every length here is below 2^16, so the length's upper word is zero.
    Sum::ZERO
        .bytes(&source.octets())
        .bytes(&destination.octets())
        .word(payload_len as u16)
        .word(u16::from(next_header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let source = "fe80::1".parse().unwrap();
        let header = Ipv6Header::new(source, VRRP_GROUP, 112, 255, payload.len());
        [header.as_bytes(), payload].concat()
    }

    #[test]
    fn bytes_are_those_of_rfc8200() {
        #[rustfmt::skip]
        assert_eq!(packet(b"12"), [
            0x6c, 0, 0, 0,  0, 2, 112, 255,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12,
            b'1', b'2',
        ]);
    }

    #[test]
    fn padding_is_not_payload() {
        let mut bytes = packet(b"payload!");
        bytes.extend([0xee; 9]);
        let packet = Ipv6Packet::parse(&bytes).unwrap();
        assert_eq!(packet.payload, b"payload!");
        assert_eq!((packet.hop_limit, packet.next_header), (255, 112));
        assert_eq!(packet.source, "fe80::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(packet.destination, VRRP_GROUP);
    }

    #[test]
    fn a_lying_length_or_version_is_refused() {
        let whole = packet(b"12345678");
        assert_eq!(Ipv6Packet::parse(&whole[..47]), None, "shorter than its length says");
        assert_eq!(Ipv6Packet::parse(&whole[..39]), None, "shorter than a header");
        let mut version_4 = whole;
        version_4[0] = 0x4c;
        assert_eq!(Ipv6Packet::parse(&version_4), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Ipv6Packet::parse(&bytes);
        }
    }
}
