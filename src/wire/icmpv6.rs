//! Neighbour discovery (RFC 4861) as far as a new Active needs it: the unsolicited neighbour
//! advertisement by which it shows where an IPv6 address lives now.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{ETHERTYPE_IPV6, EthernetHeader};
use super::ipv6::{ALL_NODES, Ipv6Header, pseudo_header};
use crate::base::Mac;

/// ICMPv6 as the payload of IPv6 (RFC 4443 section 1).
const NEXT_HEADER_ICMPV6: u8 = 58;
/// The type of a neighbour advertisement (RFC 4861 section 4.4).
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// It comes from a router.
const FLAG_ROUTER: u32 = 1 << 31;
/// Whoever knows another Ethernet address of the target is to forget it.
const FLAG_OVERRIDE: u32 = 1 << 29;
/// The option that tells the target's Ethernet address (RFC 4861 section 4.6.1).
const OPTION_TARGET_LINK_LAYER: u8 = 2;

/// A neighbour advertisement with the target's link-layer address, for Ethernet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct NeighbourAdvertisement {
    /// 136.
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Over the message and a pseudo-header.
    pub checksum: U16,
    /// From the highest bit on: router, solicited, override; the rest is reserved.
    pub flags: U32,
    /// The address that is spoken of.
    pub target: [u8; 16],
    /// 2: target link-layer address.
    pub option: u8,
    /// The option's length in units of eight bytes: 1.
    pub option_len: u8,
    /// Where the target lives.
    pub mac: [u8; 6],
}

/// An unsolicited neighbour advertisement as a finished frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct UnsolicitedAdvertisement {
    /// To all nodes, from the interface.
    pub ethernet: EthernetHeader,
    /// To all nodes, from the address that is announced.
    pub ipv6: Ipv6Header,
    /// Router and override, not solicited.
    pub message: NeighbourAdvertisement,
}

impl UnsolicitedAdvertisement {
    /// Its length in bytes.
    pub const LEN: usize = size_of::<Self>();

    /// The announcement that `ip` lives at `mac`: R = 1, S = 0, O = 1, to all nodes (RFC 9568
    /// section 6.4.1).
    ///
    /// Its source is the address itself, which is the interface's by then (RFC 4861 section 4.4
    /// wants one of those); so it is the same whatever else the interface has.
    pub fn announce(ip: Ipv6Addr, mac: Mac) -> Self {
        const LEN: usize = size_of::<NeighbourAdvertisement>();
        let mut message = NeighbourAdvertisement {
            kind: NEIGHBOUR_ADVERTISEMENT,
            code: 0,
            checksum: U16::ZERO,
            flags: U32::new(FLAG_ROUTER | FLAG_OVERRIDE),
            target: ip.octets(),
            option: OPTION_TARGET_LINK_LAYER,
            option_len: 1,
            mac: mac.0,
        };
        let sum = pseudo_header(ip, ALL_NODES, NEXT_HEADER_ICMPV6, LEN);
        message.checksum = U16::new(sum.bytes(message.as_bytes()).checksum());
        UnsolicitedAdvertisement {
            ethernet: EthernetHeader::new(Mac::ALL_NODES, mac, ETHERTYPE_IPV6),
            ipv6: Ipv6Header::new(ip, ALL_NODES, NEXT_HEADER_ICMPV6, 255, LEN),
            message,
        }
    }

    /// Reads a frame as such an announcement: the address and where it lives. `None` for any other
    /// frame; solicited ones are others.
    pub fn parse(frame: &[u8]) -> Option<(Ipv6Addr, Mac)> {
        let (frame, _) = UnsolicitedAdvertisement::ref_from_prefix(frame).ok()?;
        let message = &frame.message;
        let unsolicited = frame.ethernet.ethertype.get() == ETHERTYPE_IPV6
            && (frame.ipv6.next_header, frame.ipv6.hop_limit) == (NEXT_HEADER_ICMPV6, 255)
            && (message.kind, message.code) == (NEIGHBOUR_ADVERTISEMENT, 0)
            && message.flags.get() >> 29 == (FLAG_ROUTER | FLAG_OVERRIDE) >> 29
            && (message.option, message.option_len) == (OPTION_TARGET_LINK_LAYER, 1);
        unsolicited.then(|| (message.target.into(), Mac(message.mac)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_those_of_rfc4861() {
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        let frame = UnsolicitedAdvertisement::announce("2001:db8::50".parse().unwrap(), mac);
        #[rustfmt::skip]
        assert_eq!(frame.as_bytes(), [
            0x33, 0x33, 0, 0, 0, 1,  2, 0, 0, 0, 0, 7,  0x86, 0xdd,
            0x6c, 0, 0, 0,  0, 32, 58, 255,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            136, 0, 0x78, 0x86,  0xa0, 0, 0, 0,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50,
            2, 1,  2, 0, 0, 0, 0, 7,
        ]);
        let read = UnsolicitedAdvertisement::parse(frame.as_bytes());
        assert_eq!(read, Some(("2001:db8::50".parse().unwrap(), mac)));
    }

    #[test]
    fn a_solicited_one_is_another() {
        let mut frame = UnsolicitedAdvertisement::announce(ALL_NODES, Mac::default());
        assert_eq!(UnsolicitedAdvertisement::parse(&frame.as_bytes()[..85]), None);
        frame.message.flags = U32::new(0xe000_0000);
        assert_eq!(UnsolicitedAdvertisement::parse(frame.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn the_checksum_is_right(ip: u128, mac: [u8; 6]) {
            let frame = UnsolicitedAdvertisement::announce(ip.into(), Mac(mac));
            let sum = pseudo_header(ip.into(), ALL_NODES, 58, 32).bytes(frame.message.as_bytes());
            prop_assert!(sum.is_intact());
            let read = UnsolicitedAdvertisement::parse(frame.as_bytes());
            prop_assert_eq!(read, Some((ip.into(), Mac(mac))));
        }
    }
}
