//! ARP (RFC 826) and the gratuitous ARP by which a new Active shows where an address lives now.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{ETHERTYPE_ARP, EthernetHeader};
use crate::base::Mac;

/// ARP for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ArpPacket {
    /// Hardware type: 1, Ethernet.
    pub hardware_type: U16,
    /// Protocol type: IPv4.
    pub protocol_type: U16,
    /// Length of a hardware address: 6.
    pub hardware_len: u8,
    /// Length of a protocol address: 4.
    pub protocol_len: u8,
    /// 1 request, 2 reply.
    pub operation: U16,
    /// Sender's hardware address.
    pub sender_mac: [u8; 6],
    /// Sender's protocol address.
    pub sender_ip: [u8; 4],
    /// Target's hardware address.
    pub target_mac: [u8; 6],
    /// Target's protocol address.
    pub target_ip: [u8; 4],
}

/// A gratuitous ARP as a finished frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GratuitousArp {
    /// Broadcast, from the interface.
    pub ethernet: EthernetHeader,
    /// Sender and target are the same address.
    pub arp: ArpPacket,
}

impl GratuitousArp {
    /// Its length in bytes (the interface pads it to Ethernet's minimum).
    pub const LEN: usize = size_of::<Self>();

    /// The announcement that `ip` lives at `mac`: a broadcast ARP **request** whose sender and
    /// target are both `ip`; the target's hardware address is the one announced (RFC 9568
    /// section 6.4.1 with errata 7947 and 7949).
    pub fn announce(ip: Ipv4Addr, mac: Mac) -> Self {
        GratuitousArp {
            ethernet: EthernetHeader::new(Mac::BROADCAST, mac, ETHERTYPE_ARP),
            arp: ArpPacket {
                hardware_type: U16::new(1),
                protocol_type: U16::new(super::ethernet::ETHERTYPE_IPV4),
                hardware_len: 6,
                protocol_len: 4,
                operation: U16::new(1),
                sender_mac: mac.0,
                sender_ip: ip.octets(),
                target_mac: mac.0,
                target_ip: ip.octets(),
            },
        }
    }

    /// Reads a frame as a gratuitous ARP: the announced address and where it lives. `None` for
    /// any other frame. Requests and replies both count (RFC 5227 section 3).
    pub fn parse(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
        let (frame, _) = GratuitousArp::ref_from_prefix(frame).ok()?;
        let arp = &frame.arp;
        let gratuitous = frame.ethernet.ethertype.get() == ETHERTYPE_ARP
            && arp.protocol_type.get() == super::ethernet::ETHERTYPE_IPV4
            && (arp.hardware_len, arp.protocol_len) == (6, 4)
            && arp.sender_ip == arp.target_ip;
        gratuitous.then(|| (arp.sender_ip.into(), Mac(arp.sender_mac)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_rfc9568() {
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        let frame = GratuitousArp::announce(Ipv4Addr::new(192, 168, 122, 50), mac);
        #[rustfmt::skip]
        assert_eq!(frame.as_bytes(), [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  2, 0, 0, 0, 0, 7,  0x08, 0x06,
            0, 1,  0x08, 0x00,  6, 4,  0, 1,
            2, 0, 0, 0, 0, 7,  192, 168, 122, 50,
            2, 0, 0, 0, 0, 7,  192, 168, 122, 50,
        ]);
        let read = GratuitousArp::parse(frame.as_bytes());
        assert_eq!(read, Some((Ipv4Addr::new(192, 168, 122, 50), mac)));
    }

    #[test]
    fn an_ordinary_request_is_not_gratuitous() {
        let mut frame = GratuitousArp::announce(Ipv4Addr::new(10, 0, 0, 1), Mac::default());
        frame.arp.target_ip = [10, 0, 0, 2];
        assert_eq!(GratuitousArp::parse(frame.as_bytes()), None);
        assert_eq!(GratuitousArp::parse(&frame.as_bytes()[..41]), None);
    }
}
