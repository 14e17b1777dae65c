//! The IPv4 header (RFC 791), as far as VRRP needs it.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Sum;

/// The IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
pub const PROTOCOL_VRRP: u8 = 112;

/// The multicast group of VRRP over IPv4 (RFC 9568 section 5.1.1.2).
pub const VRRP_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// An IPv4 header without options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version (high half) and header length in 32-bit words.
    pub version_ihl: u8,
    /// Type of service.
    pub tos: u8,
    /// Length of header and payload in bytes.
    pub total_length: U16,
    /// Identification.
    pub id: U16,
    /// Flags and fragment offset.
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// What it carries.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Who sent it.
    pub source: [u8; 4],
    /// Where it goes.
    pub destination: [u8; 4],
}

/// An IPv4 packet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Packet<'a> {
    /// Time to live as received.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Who sent it.
    pub source: Ipv4Addr,
    /// Where it went.
    pub destination: Ipv4Addr,
    /// What follows the header and its options, cut to the length that the header gives (so that
    /// Ethernet padding is gone).
    pub payload: &'a [u8],
}

impl Ipv4Header {
    /// Its length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// The header of a VRRP packet whose message has `payload_len` bytes: TTL 255 (RFC 9568
    /// section 5.1.1.3), internetwork control precedence, don't fragment, checksum filled in.
    pub fn vrrp(source: Ipv4Addr, destination: Ipv4Addr, payload_len: usize) -> Self {
        Ipv4Header::carrying(PROTOCOL_VRRP, source, destination, payload_len)
    }

    /// The same with another protocol before the message.
    pub(super) fn carrying(
        protocol: u8,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        payload_len: usize,
    ) -> Self {
        let mut header = Ipv4Header {
            version_ihl: 0x45,
            tos: 0xc0,
            total_length: U16::new((Self::LEN + payload_len) as u16),
            id: U16::ZERO,
            fragment: U16::new(0x4000),
            ttl: 255,
            protocol,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        };
        header.checksum = U16::new(Sum::ZERO.bytes(header.as_bytes()).checksum());
        header
    }

    /// The same header with another TTL and identification.
    #[must_use]
    pub fn with_ttl_and_id(self, ttl: u8, id: u16) -> Self {
        let mut header = Ipv4Header { ttl, id: U16::new(id), checksum: U16::ZERO, ..self };
        header.checksum = U16::new(Sum::ZERO.bytes(header.as_bytes()).checksum());
        header
    }
}

impl<'a> Ipv4Packet<'a> {
    /// Takes a packet apart, as a raw socket delivers it (header first, `raw(7)`). The header's
    /// own checksum has been verified by the kernel by then.
    ///
    /// `None` if the bytes are no whole IPv4 packet: too short for the header and its options, or
    /// shorter than the length that the header gives.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, _) = Ipv4Header::ref_from_prefix(bytes).ok()?;
        let header_len = usize::from(header.version_ihl & 0x0f) * 4;
        let total_length = usize::from(header.total_length.get());
        if header.version_ihl >> 4 != 4 || header_len < Ipv4Header::LEN {
            return None;
        }
        Some(Ipv4Packet {
            ttl: header.ttl,
            protocol: header.protocol,
            source: header.source.into(),
            destination: header.destination.into(),
            payload: bytes.get(header_len..total_length)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(options: &[u8], payload: &[u8], padding: usize) -> Vec<u8> {
        let source = Ipv4Addr::new(10, 0, 0, 1);
        let mut header = Ipv4Header::vrrp(source, VRRP_GROUP, options.len() + payload.len());
        header.version_ihl = 0x40 | (5 + options.len() as u8 / 4);
        [header.as_bytes(), options, payload, &vec![0; padding]].concat()
    }

    #[test]
    fn options_and_padding_are_not_payload() {
        let bytes = packet(&[1; 8], b"payload!", 11);
        let packet = Ipv4Packet::parse(&bytes).unwrap();
        assert_eq!(packet.payload, b"payload!");
        assert_eq!((packet.ttl, packet.protocol), (255, 112));
        assert_eq!(packet.source, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(packet.destination, VRRP_GROUP);
    }

    #[test]
    fn our_header_has_a_right_checksum() {
        let bytes = packet(&[], b"12345678", 0);
        assert!(Sum::ZERO.bytes(&bytes[..20]).is_intact());
    }

    #[test]
    fn a_lying_length_is_refused() {
        let whole = packet(&[], b"12345678", 0);
        assert_eq!(Ipv4Packet::parse(&whole[..27]), None, "shorter than its length says");
        let mut short_header = whole.clone();
        short_header[0] = 0x44;
        assert_eq!(Ipv4Packet::parse(&short_header), None, "header length below 20");
        let mut long_header = whole.clone();
        long_header[0] = 0x4f;
        assert_eq!(Ipv4Packet::parse(&long_header), None, "header longer than the packet");
        let mut version_6 = whole;
        version_6[0] = 0x65;
        assert_eq!(Ipv4Packet::parse(&version_6), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Ipv4Packet::parse(&bytes);
        }
    }
}
