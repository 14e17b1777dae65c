//! VRRP messages: v3 (RFC 9568 section 5) and v2 (RFC 3768 section 5), over IPv4.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type 1|     vrid      |   priority    |   addresses   |
//! +-------+-------+---------------+---------------+---------------+
//! | 0 (4) | max. interval, cs (12)|           checksum            |  v3
//! |   auth type   |  interval, s  |           checksum            |  v2
//! +---------------+---------------+-------------------------------+
//! |  addresses, 4 bytes each; v2: 8 bytes of authentication data  |
//! ```

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{Sum, updated};
use super::ethernet::{ETHERTYPE_IPV4, EthernetHeader};
use super::ipv4::{Ipv4Header, Ipv4Packet, PROTOCOL_VRRP, VRRP_GROUP};
use crate::base::{Centis, Mac, Vrid};

/// The only packet type there is (RFC 9568 section 5.2.2).
const TYPE_ADVERTISEMENT: u8 = 1;
/// Length of v2's authentication data, always present (RFC 3768 section 5.3.10).
const V2_AUTH_LEN: usize = 8;

/// The protocol version that a virtual router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// VRRPv2, RFC 3768: IPv4 only, whole seconds.
    V2,
    /// VRRPv3, RFC 9568: centiseconds.
    V3,
}

/// What the checksum of a v3 message over IPv4 covers.
///
/// RFC 9568 section 5.2.8 says the message alone; RFC 5798 was read by half the field (keepalived,
/// FRR, MikroTik) as message and pseudo-header. We accept both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumForm {
    /// The VRRP message alone: v2, and v3 as RFC 9568 words it.
    Message,
    /// The message and a pseudo-header of source, destination, protocol and length.
    PseudoHeader,
}

/// Why a packet was refused before any virtual router was asked, in the order in which RFC 9568
/// section 7.1 checks (errata included). Each cause has one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not an IPv4 packet with VRRP in it, or cut off.
    NotVrrp,
    /// Its TTL is not 255, so it did not come from this link (section 5.1.1.3).
    Ttl(u8),
    /// Its version is neither 2 nor 3.
    Version(u8),
    /// Its type is not ADVERTISEMENT.
    Type(u8),
    /// It is shorter than its address count asks for.
    Length,
    /// Its checksum fits neither form.
    Checksum,
}

/// A received advert that passed the checks that need no configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert<'a> {
    /// Version it is written in.
    pub version: Version,
    /// Its virtual router; 0 is possible here and belongs to no router.
    pub vrid: u8,
    /// Priority of its sender: 0 says that the sender stops being Active.
    pub priority: u8,
    /// Its interval; `None` for the forbidden 0 (erratum 8301).
    pub interval: Option<Centis>,
    /// Who sent it.
    pub source: Ipv4Addr,
    /// v2's authentication type; 0 for v3.
    pub auth_type: u8,
    /// What its checksum covers.
    pub checksum_form: ChecksumForm,
    /// The addresses it carries; possibly none, which is an error (erratum 8299).
    pub addresses: &'a [[u8; 4]],
}

/// What an advert says, to be made into bytes.
#[derive(Clone, Copy, Debug)]
pub struct AdvertContent<'a> {
    /// Version to speak.
    pub version: Version,
    /// The virtual router.
    pub vrid: Vrid,
    /// Effective priority, 0 to leave.
    pub priority: u8,
    /// Advertisement interval. v2 carries whole seconds, rounded up.
    pub interval: Centis,
    /// The sender's primary address.
    pub source: Ipv4Addr,
    /// Virtual addresses to carry; at most 255.
    pub addresses: &'a [Ipv4Addr],
    /// What the checksum is to cover (v2 always: the message).
    pub checksum_form: ChecksumForm,
}

/// An advert as a finished Ethernet frame that is patched in place: what every advert interval
/// costs is at most a changed priority byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertFrame {
    bytes: Box<[u8]>,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    version_type: u8,
    vrid: u8,
    priority: u8,
    count: u8,
    /// v3: reserved and interval; v2: authentication type and interval.
    interval: U16,
    checksum: U16,
}

const HEADER_LEN: usize = size_of::<Header>();
const MESSAGE_AT: usize = EthernetHeader::LEN + Ipv4Header::LEN;

impl Version {
    /// The number in the packet.
    pub const fn number(self) -> u8 {
        match self {
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }

    /// Length of a message with `count` IPv4 addresses.
    const fn message_len(self, count: usize) -> usize {
        match self {
            Version::V2 => HEADER_LEN + 4 * count + V2_AUTH_LEN,
            Version::V3 => HEADER_LEN + 4 * count,
        }
    }
}

impl<'a> Advert<'a> {
    /// Reads an advert out of an IPv4 packet as a raw socket delivers it, applying the checks that
    /// need no configuration: TTL, version, type, length, checksum (RFC 9568 section 7.1).
    ///
    /// Trailing bytes beyond the message are tolerated, reserved bits ignored.
    ///
    /// # Errors
    /// The first check that failed, and the packet's vrid if it got far enough to have one.
    pub fn parse(packet: &'a [u8]) -> Result<Self, (Refusal, Option<Vrid>)> {
        let ip = Ipv4Packet::parse(packet).ok_or((Refusal::NotVrrp, None))?;
        if ip.protocol != PROTOCOL_VRRP {
            return Err((Refusal::NotVrrp, None));
        }
        let vrid = ip.payload.get(1).copied().and_then(Vrid::new);
        let refuse = |refusal| (refusal, vrid);
        if ip.ttl != 255 {
            return Err(refuse(Refusal::Ttl(ip.ttl)));
        }
        let version_type = *ip.payload.first().ok_or(refuse(Refusal::Length))?;
        let version = match version_type >> 4 {
            2 => Version::V2,
            3 => Version::V3,
            other => return Err(refuse(Refusal::Version(other))),
        };
        if version_type & 0x0f != TYPE_ADVERTISEMENT {
            return Err(refuse(Refusal::Type(version_type & 0x0f)));
        }
        let (header, _) =
            Header::ref_from_prefix(ip.payload).map_err(|_| refuse(Refusal::Length))?;
        let count = usize::from(header.count);
        let message =
            ip.payload.get(..version.message_len(count)).ok_or(refuse(Refusal::Length))?;
        let checksum_form =
            checksum_form(version, &ip, message).ok_or(refuse(Refusal::Checksum))?;
        let (addresses, _) = <[[u8; 4]]>::ref_from_prefix_with_elems(&message[HEADER_LEN..], count)
            .map_err(|_| refuse(Refusal::Length))?;
        let [high, low] = header.interval.get().to_be_bytes();
        let (interval, auth_type) = match version {
            Version::V2 => (Centis::from_secs(low), high),
            Version::V3 => (Centis::new(header.interval.get() & 0x0fff), 0),
        };
        Ok(Advert {
            version,
            vrid: header.vrid,
            priority: header.priority,
            interval,
            source: ip.source,
            auth_type,
            checksum_form,
            addresses,
        })
    }
}

/// Which form of the checksum `message` fits, if any.
fn checksum_form(version: Version, ip: &Ipv4Packet<'_>, message: &[u8]) -> Option<ChecksumForm> {
    let sum = Sum::ZERO.bytes(message);
    if sum.is_intact() {
        return Some(ChecksumForm::Message);
    }
    let with_pseudo_header = pseudo_header(sum, ip.source, ip.destination, message.len());
    (version == Version::V3 && with_pseudo_header.is_intact()).then_some(ChecksumForm::PseudoHeader)
}

fn pseudo_header(sum: Sum, source: Ipv4Addr, destination: Ipv4Addr, message_len: usize) -> Sum {
    sum.bytes(&source.octets())
        .bytes(&destination.octets())
        .word(u16::from(PROTOCOL_VRRP))
        .word(message_len as u16)
}

impl AdvertFrame {
    /// The frame that carries `content` from the interface address `mac` to the VRRP group.
    ///
    /// Addresses beyond the 255th are left out; the configuration does not let them get here.
    pub fn new(content: &AdvertContent<'_>, mac: Mac) -> Self {
        let addresses = &content.addresses[..content.addresses.len().min(255)];
        let message_len = content.version.message_len(addresses.len());
        let interval = match content.version {
            Version::V2 => content.interval.get().div_ceil(100).min(255),
            Version::V3 => content.interval.get().min(Centis::MAX_V3.get()),
        };
        let header = Header {
            version_type: content.version.number() << 4 | TYPE_ADVERTISEMENT,
            vrid: content.vrid.get(),
            priority: content.priority,
            count: addresses.len() as u8,
            interval: U16::new(interval),
            checksum: U16::ZERO,
        };
        let mut bytes = Vec::with_capacity(MESSAGE_AT + message_len);
        let ethernet = EthernetHeader::new(Mac::VRRP_IPV4, mac, ETHERTYPE_IPV4);
        bytes.extend_from_slice(ethernet.as_bytes());
        bytes.extend_from_slice(
            Ipv4Header::vrrp(content.source, VRRP_GROUP, message_len).as_bytes(),
        );
        bytes.extend_from_slice(header.as_bytes());
        for address in addresses {
            bytes.extend_from_slice(&address.octets());
        }
        bytes.resize(MESSAGE_AT + message_len, 0);

        let mut sum = Sum::ZERO.bytes(&bytes[MESSAGE_AT..]);
        if (content.version, content.checksum_form) == (Version::V3, ChecksumForm::PseudoHeader) {
            sum = pseudo_header(sum, content.source, VRRP_GROUP, message_len);
        }
        let mut frame = AdvertFrame { bytes: bytes.into_boxed_slice() };
        frame.header_mut().checksum = U16::new(sum.checksum());
        frame
    }

    /// Makes the frame carry `priority`; costs nothing if it already does.
    pub fn set_priority(&mut self, priority: u8) {
        let header = self.header_mut();
        if header.priority == priority {
            return;
        }
        // Priority is the high half of the second 16-bit word, the address count the low half.
        let old = u16::from_be_bytes([header.priority, header.count]);
        let new = u16::from_be_bytes([priority, header.count]);
        header.checksum = U16::new(updated(header.checksum.get(), old, new));
        header.priority = priority;
    }

    /// The frame, from the Ethernet header on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The IPv4 packet in it: what a receiver's raw socket would see.
    pub fn packet(&self) -> &[u8] {
        &self.bytes[EthernetHeader::LEN..]
    }

    fn header_mut(&mut self) -> &mut Header {
        match Header::mut_from_prefix(&mut self.bytes[MESSAGE_AT..]) {
            Ok((header, _)) => header,
            Err(_) => unreachable!("`new` always writes a whole header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn content<'a>(version: Version, addresses: &'a [Ipv4Addr]) -> AdvertContent<'a> {
        AdvertContent {
            version,
            vrid: Vrid::new(51).unwrap(),
            priority: 101,
            interval: Centis::DEFAULT,
            source: SOURCE,
            addresses,
            checksum_form: ChecksumForm::Message,
        }
    }

    fn packet(version: Version, form: ChecksumForm) -> Vec<u8> {
        let addresses = [Ipv4Addr::new(192, 168, 122, 50)];
        let content = AdvertContent { checksum_form: form, ..content(version, &addresses) };
        AdvertFrame::new(&content, Mac::default()).packet().to_vec()
    }

    #[test]
    fn v2_bytes_are_those_of_rfc3768() {
        let message = &packet(Version::V2, ChecksumForm::Message)[20..];
        #[rustfmt::skip]
        assert_eq!(message, [
            0x21, 51, 101, 1,  0, 1, 0x3e, 0xef,
            192, 168, 122, 50,
            0, 0, 0, 0, 0, 0, 0, 0,
        ]);
    }

    #[test]
    fn v3_bytes_are_those_of_rfc9568() {
        let message = &packet(Version::V3, ChecksumForm::Message)[20..];
        assert_eq!(message, [0x31, 51, 101, 1, 0, 100, 0x2e, 0x8c, 192, 168, 122, 50]);
    }

    #[test]
    fn both_checksum_forms_of_v3_are_read_and_told_apart() {
        for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
            let bytes = packet(Version::V3, form);
            assert_eq!(Advert::parse(&bytes).unwrap().checksum_form, form);
        }
    }

    #[test]
    fn each_check_refuses_with_its_own_reason() {
        let vrid = Vrid::new(51);
        let good = packet(Version::V3, ChecksumForm::Message);
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Advert::parse(&bytes).unwrap_err()
        };
        assert_eq!(broken(9, 17), (Refusal::NotVrrp, None));
        assert_eq!(broken(8, 254), (Refusal::Ttl(254), vrid));
        assert_eq!(broken(20, 0x11), (Refusal::Version(1), vrid));
        assert_eq!(broken(20, 0x32), (Refusal::Type(2), vrid));
        assert_eq!(broken(23, 2), (Refusal::Length, vrid));
        assert_eq!(broken(26, 0), (Refusal::Checksum, vrid));
        let mut short = good.clone();
        short[3] = 27;
        assert_eq!(Advert::parse(&short[..27]).unwrap_err(), (Refusal::Length, vrid));
        assert_eq!(Advert::parse(&good[..20]).unwrap_err(), (Refusal::NotVrrp, None));
    }

    #[test]
    fn reserved_bits_and_trailing_bytes_are_ignored() {
        let mut bytes = packet(Version::V3, ChecksumForm::Message);
        bytes[24] |= 0xf0;
        let checksum = u16::from_be_bytes([bytes[26], bytes[27]]);
        bytes[26..28].copy_from_slice(&updated(checksum, 0x0064, 0xf064).to_be_bytes());
        bytes.extend_from_slice(&[0xaa; 28]);
        bytes[3] += 28;
        assert_eq!(Advert::parse(&bytes).unwrap().interval, Some(Centis::DEFAULT));
    }

    #[test]
    fn interval_zero_and_no_addresses_are_read_for_the_engine_to_refuse() {
        let mut frame = AdvertFrame::new(&content(Version::V3, &[]), Mac::default());
        frame.header_mut().interval = U16::ZERO;
        frame.header_mut().checksum = U16::ZERO;
        let checksum = Sum::ZERO.bytes(&frame.bytes[MESSAGE_AT..]).checksum();
        frame.header_mut().checksum = U16::new(checksum);
        let advert = Advert::parse(frame.packet()).unwrap();
        assert_eq!((advert.interval, advert.addresses.len()), (None, 0));
    }

    fn arbitrary_content() -> impl Strategy<Value = (Version, u8, u8, u16, Vec<u32>, bool)> {
        let version = prop_oneof![Just(Version::V2), Just(Version::V3)];
        (
            version,
            1..=255u8,
            any::<u8>(),
            1..=40u16,
            prop::collection::vec(any::<u32>(), 0..=255),
            any::<bool>(),
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            (version, vrid, priority, secs, addresses, pseudo) in arbitrary_content(),
            patched: u8,
        ) {
            let addresses: Vec<_> = addresses.into_iter().map(Ipv4Addr::from).collect();
            let form = match (version, pseudo) {
                (Version::V3, true) => ChecksumForm::PseudoHeader,
                _ => ChecksumForm::Message,
            };
            let content = AdvertContent {
                version, priority, source: SOURCE, checksum_form: form,
                vrid: Vrid::new(vrid).unwrap(),
                interval: Centis::new(secs * 100).unwrap(),
                addresses: &addresses,
            };
            let mut frame = AdvertFrame::new(&content, Mac::default());
            for priority in [priority, patched, 0] {
                frame.set_priority(priority);
                let advert = Advert::parse(frame.packet()).unwrap();
                prop_assert_eq!(advert.version, version);
                prop_assert_eq!(advert.vrid, vrid);
                prop_assert_eq!(advert.priority, priority);
                prop_assert_eq!(advert.interval, Some(content.interval));
                prop_assert_eq!(advert.source, SOURCE);
                let read: Vec<_> = advert.addresses.iter().map(|&a| Ipv4Addr::from(a)).collect();
                prop_assert_eq!(read, addresses.clone());
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Advert::parse(&bytes);
        }

        #[test]
        fn a_flipped_bit_of_the_message_is_always_noticed(bit in 0..(20 * 8usize)) {
            let mut bytes = packet(Version::V2, ChecksumForm::Message);
            bytes[20 + bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Advert::parse(&bytes).is_err());
        }
    }
}
