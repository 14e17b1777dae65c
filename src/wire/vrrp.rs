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

use super::auth::{self, Authentication, AuthenticationHeader, PROTOCOL_AH, Signed};
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
    /// Its virtual router is not configured on the interface that it came in by.
    Vrid(u8),
}

/// A packet that was refused, with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The first check that failed.
    pub refusal: Refusal,
    /// Its vrid, if it got far enough to have one.
    pub vrid: Option<Vrid>,
    /// The version it is written in, if that is one there is.
    pub version: Option<Version>,
    /// Who sent it, if it is an IPv4 packet.
    pub source: Option<Ipv4Addr>,
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
    /// v2's authentication data; zeros for v3.
    pub auth_data: [u8; 8],
    /// The authentication header that it came with, if any.
    pub signed: Option<Signed<'a>>,
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
    /// How it is authenticated; v3 can not be.
    pub authentication: Authentication,
}

/// An advert as a finished Ethernet frame that is patched in place: what every advert interval
/// costs is at most a changed priority byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertFrame {
    bytes: Box<[u8]>,
    authentication: Authentication,
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
const PACKET_AT: usize = EthernetHeader::LEN;
const MESSAGE_AT: usize = PACKET_AT + Ipv4Header::LEN;

impl Version {
    /// The number in the packet.
    pub const fn number(self) -> u8 {
        match self {
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Version::V2),
            3 => Some(Version::V3),
            _ => None,
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
    /// Trailing bytes beyond the message are tolerated, reserved bits ignored. An authentication
    /// header before the message is read and left for the engine to verify.
    ///
    /// # Errors
    /// The first check that failed, and what is known of the packet by then.
    pub fn parse(packet: &'a [u8]) -> Result<Self, Refused> {
        let none = Refused { refusal: Refusal::NotVrrp, vrid: None, version: None, source: None };
        let ip = Ipv4Packet::parse(packet).ok_or(none)?;
        let none = Refused { source: Some(ip.source), ..none };
        let (signed, payload) = match ip.protocol {
            PROTOCOL_VRRP => (None, ip.payload),
            PROTOCOL_AH => {
                let (signed, payload) = signed(packet, &ip).ok_or(none)?;
                (Some(signed), payload)
            }
            _ => return Err(none),
        };
        let vrid = payload.get(1).copied().and_then(Vrid::new);
        let version_type = payload.first().copied();
        let version = version_type.and_then(|byte| Version::from_number(byte >> 4));
        let refuse = |refusal| Refused { refusal, vrid, version, ..none };
        if ip.ttl != 255 {
            return Err(refuse(Refusal::Ttl(ip.ttl)));
        }
        let version_type = version_type.ok_or(refuse(Refusal::Length))?;
        let version = version.ok_or(refuse(Refusal::Version(version_type >> 4)))?;
        if version_type & 0x0f != TYPE_ADVERTISEMENT {
            return Err(refuse(Refusal::Type(version_type & 0x0f)));
        }
        let (header, _) = Header::ref_from_prefix(payload).map_err(|_| refuse(Refusal::Length))?;
        let count = usize::from(header.count);
        let message = payload.get(..version.message_len(count)).ok_or(refuse(Refusal::Length))?;
        let checksum_form =
            checksum_form(version, &ip, message).ok_or(refuse(Refusal::Checksum))?;
        let (addresses, rest) =
            <[[u8; 4]]>::ref_from_prefix_with_elems(&message[HEADER_LEN..], count)
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
            auth_data: rest.first_chunk().copied().unwrap_or_default(),
            signed,
            checksum_form,
            addresses,
        })
    }
}

/// The authentication header of a packet, and the message behind it.
fn signed<'a>(packet: &'a [u8], ip: &Ipv4Packet<'a>) -> Option<(Signed<'a>, &'a [u8])> {
    let [_, _, high, low, ..] = *packet else { return None };
    let packet = packet.get(..usize::from(u16::from_be_bytes([high, low])))?;
    Signed::parse(packet, packet.len().checked_sub(ip.payload.len())?)
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
        let authentication = match content.version {
            Version::V2 => content.authentication,
            Version::V3 => Authentication::None,
        };
        let interval = match content.version {
            Version::V2 => u16::from(authentication.kind()) << 8 | interval,
            Version::V3 => interval,
        };
        let header = Header {
            version_type: content.version.number() << 4 | TYPE_ADVERTISEMENT,
            vrid: content.vrid.get(),
            priority: content.priority,
            count: addresses.len() as u8,
            interval: U16::new(interval),
            checksum: U16::ZERO,
        };
        let message_at = MESSAGE_AT + authentication.header_len();
        let mut bytes = Vec::with_capacity(message_at + message_len);
        let ethernet = EthernetHeader::new(Mac::VRRP_IPV4, mac, ETHERTYPE_IPV4);
        bytes.extend_from_slice(ethernet.as_bytes());
        let (protocol, payload_len) = match authentication {
            Authentication::Header(_) => (PROTOCOL_AH, AuthenticationHeader::LEN + message_len),
            Authentication::None | Authentication::Password(_) => (PROTOCOL_VRRP, message_len),
        };
        bytes.extend_from_slice(
            Ipv4Header::carrying(protocol, content.source, VRRP_GROUP, payload_len).as_bytes(),
        );
        if let Authentication::Header(_) = authentication {
            let header = AuthenticationHeader::new(content.source.to_bits());
            bytes.extend_from_slice(header.as_bytes());
        }
        bytes.extend_from_slice(header.as_bytes());
        for address in addresses {
            bytes.extend_from_slice(&address.octets());
        }
        if content.version == Version::V2 {
            bytes.extend_from_slice(&authentication.data());
        }

        let mut sum = Sum::ZERO.bytes(&bytes[message_at..]);
        if (content.version, content.checksum_form) == (Version::V3, ChecksumForm::PseudoHeader) {
            sum = pseudo_header(sum, content.source, VRRP_GROUP, message_len);
        }
        let mut frame = AdvertFrame { bytes: bytes.into_boxed_slice(), authentication };
        frame.header_mut().checksum = U16::new(sum.checksum());
        frame.sign(0);
        frame
    }

    /// Gives the frame a sequence number and signs it; does nothing to one that has no
    /// authentication header. Whatever else changes has to change before.
    pub fn sign(&mut self, sequence: u32) {
        if let Authentication::Header(key) = self.authentication {
            auth::sign(&mut self.bytes[PACKET_AT..], sequence, key);
        }
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
        let message_at = MESSAGE_AT + self.authentication.header_len();
        match Header::mut_from_prefix(&mut self.bytes[message_at..]) {
            Ok((header, _)) => header,
            Err(_) => unreachable!("`new` always writes a whole header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::auth::Secret;
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
            authentication: Authentication::None,
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
        let parse = |bytes: &[u8]| {
            let refused = Advert::parse(bytes).unwrap_err();
            (refused.refusal, refused.vrid)
        };
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            parse(&bytes)
        };
        assert_eq!(broken(9, 17), (Refusal::NotVrrp, None));
        assert_eq!(broken(8, 254), (Refusal::Ttl(254), vrid));
        assert_eq!(broken(20, 0x11), (Refusal::Version(1), vrid));
        assert_eq!(broken(20, 0x32), (Refusal::Type(2), vrid));
        assert_eq!(broken(23, 2), (Refusal::Length, vrid));
        assert_eq!(broken(26, 0), (Refusal::Checksum, vrid));
        let mut short = good.clone();
        short[3] = 27;
        assert_eq!(parse(&short[..27]), (Refusal::Length, vrid));
        assert_eq!(parse(&good[..20]), (Refusal::NotVrrp, None));
        let refused = Advert::parse(&short[..27]).unwrap_err();
        assert_eq!((refused.source, refused.version), (Some(SOURCE), Some(Version::V3)));
    }

    #[test]
    fn a_password_is_carried_and_read() {
        let secret = Secret::new(b"secret");
        let addresses = [Ipv4Addr::new(192, 168, 122, 50)];
        let content = AdvertContent {
            authentication: Authentication::Password(secret),
            ..content(Version::V2, &addresses)
        };
        let frame = AdvertFrame::new(&content, Mac::default());
        let advert = Advert::parse(frame.packet()).unwrap();
        assert_eq!((advert.auth_type, &advert.auth_data), (1, b"secret\0\0"));
        assert_eq!(advert.signed, None);
        // v3 has no room for it.
        let content = AdvertContent { version: Version::V3, ..content };
        let frame = AdvertFrame::new(&content, Mac::default());
        let advert = Advert::parse(frame.packet()).unwrap();
        assert_eq!((advert.auth_type, advert.auth_data), (0, [0; 8]));
        assert_eq!(frame.packet().len(), 20 + 12);
    }

    #[test]
    fn a_signed_advert_is_read_and_verified() {
        let key = Secret::new(b"12345678");
        let addresses = [Ipv4Addr::new(192, 168, 122, 50)];
        let content = AdvertContent {
            authentication: Authentication::Header(key),
            ..content(Version::V2, &addresses)
        };
        let mut frame = AdvertFrame::new(&content, Mac::default());
        frame.set_priority(7);
        frame.sign(1000);
        let advert = Advert::parse(frame.packet()).unwrap();
        assert_eq!((advert.auth_type, advert.auth_data, advert.priority), (2, [0; 8], 7));
        let signed = advert.signed.unwrap();
        assert_eq!(signed.sequence, 1000);
        assert!(signed.is_by(key) && !signed.is_by(Secret::new(b"other")));
        assert_eq!(frame.packet()[9], 51);
        // Ethernet padding is not part of what is signed.
        let padded = [frame.packet(), &[0xee; 8]].concat();
        assert!(Advert::parse(&padded).unwrap().signed.unwrap().is_by(key));
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
                authentication: Authentication::None,
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
