//! VRRP messages: v3 (RFC 9568 section 5) and v2 (RFC 3768 section 5), over
//! IPv4 and IPv6 (v3 only).
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
//! |  addresses, 4 or 16 bytes each; v2: 8 bytes authentication    |
//! ```

use std::net::IpAddr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::auth::{self, Authentication, AuthenticationHeader, PROTOCOL_AH, Signed, Ttl};
use super::checksum::{Sum, updated};
use super::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetHeader};
use super::ipv4::{self, Ipv4Header, Ipv4Packet, PROTOCOL_VRRP};
use super::ipv6::{self, Ipv6Header, Ipv6Packet};
use crate::base::{Centis, Family, Mac, Vrid};

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
/// FRR, MikroTik) as message and pseudo-header. We accept both, and what keepalived once sent to
/// unicast peers. Over IPv6 it always covers the pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumForm {
    /// The VRRP message alone: v2, and v3 as RFC 9568 words it.
    Message,
    /// The message and a pseudo-header of source, destination, protocol and length.
    PseudoHeader,
    /// The same, but the pseudo-header of a unicast packet has the multicast group as destination:
    /// keepalived before 1.3.6 (its issue 642).
    GroupPseudoHeader,
}

/// Why a packet was refused before any virtual router was asked, in the order in which RFC 9568
/// section 7.1 checks (errata included). Each cause has one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not an IP packet with VRRP in it, or cut off.
    NotVrrp,
    /// It went to a multicast group and its TTL or hop limit is not 255, so it did not come from
    /// this link (sections 5.1.1.3, 5.1.2.3). What a unicast one may have the router knows.
    Ttl(u8),
    /// Its version is neither 2 nor 3; over IPv6: not 3.
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
    /// Who sent it, if it is an IP packet; without one there is no vrid either.
    pub source: Option<IpAddr>,
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
    pub source: IpAddr,
    /// Where it went, of the same family: a multicast group, or an address of ours.
    pub destination: IpAddr,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// v2's authentication type; 0 for v3.
    pub auth_type: u8,
    /// v2's authentication data; zeros for v3.
    pub auth_data: [u8; 8],
    /// The authentication header that it came with, if any.
    pub signed: Option<Signed<'a>>,
    /// What its checksum covers.
    pub checksum_form: ChecksumForm,
    /// The addresses it carries; possibly none, which is an error (erratum 8299).
    pub addresses: AddressList<'a>,
}

/// The addresses that an advert lists, still as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressList<'a> {
    family: Family,
    bytes: &'a [u8],
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
    /// The sender's primary address; its family is the advert's.
    pub source: IpAddr,
    /// Virtual addresses to carry, those of that family; at most 255.
    pub addresses: &'a [IpAddr],
    /// What the checksum is to cover (v2 always: the message; IPv6 always: the pseudo-header too).
    pub checksum_form: ChecksumForm,
    /// How it is authenticated; v3 can not be.
    pub authentication: Authentication,
}

/// An advert as a finished Ethernet frame (or, to a unicast peer, IP packet) that is patched in
/// place: what every advert interval costs is at most a changed priority byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertFrame {
    bytes: Box<[u8]>,
    /// Where the IP header begins.
    packet_at: usize,
    /// Where the VRRP message begins.
    message_at: usize,
    authentication: Authentication,
}

/// An IP packet of either family, taken apart.
struct Carrier<'a> {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// The authentication header before the message, if any.
    signed: Option<Signed<'a>>,
    payload: &'a [u8],
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

/// The identification of signed packets: any but 0, in whose place a raw socket puts one of its own
/// (`raw(7)`). They are never fragmented, so it need not differ (RFC 6864 section 4.1).
const SIGNED_ID: u16 = 1;

impl Version {
    /// The number in the packet.
    pub const fn number(self) -> u8 {
        match self {
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }

    /// The version of that number, if `family` has it.
    const fn of(number: u8, family: Family) -> Option<Self> {
        match (number, family) {
            (2, Family::Ipv4) => Some(Version::V2),
            (3, _) => Some(Version::V3),
            _ => None,
        }
    }

    /// Length of a message with `list_len` bytes of addresses.
    const fn message_len(self, list_len: usize) -> usize {
        match self {
            Version::V2 => HEADER_LEN + list_len + V2_AUTH_LEN,
            Version::V3 => HEADER_LEN + list_len,
        }
    }
}

impl Refused {
    /// A packet without a VRRP message in it.
    const fn unreadable(source: Option<IpAddr>) -> Self {
        Refused { refusal: Refusal::NotVrrp, vrid: None, version: None, source }
    }
}

impl<'a> Advert<'a> {
    /// Reads an advert out of an IP packet that begins with its header, as a raw IPv4 socket
    /// delivers it, applying the checks that need no configuration: TTL (of multicasts), version,
    /// type, length, checksum (RFC 9568 section 7.1).
    ///
    /// Trailing bytes beyond the message are tolerated, reserved bits ignored. An authentication
    /// header before the message is read and left for the engine to verify.
    ///
    /// # Errors
    /// The first check that failed, and what is known of the packet by then.
    pub fn parse(packet: &'a [u8]) -> Result<Self, Refused> {
        if let Some(ip) = Ipv6Packet::parse(packet) {
            return Advert::parse_ipv6(&ip);
        }
        let ip = Ipv4Packet::parse(packet).ok_or(Refused::unreadable(None))?;
        let unreadable = Refused::unreadable(Some(ip.source.into()));
        let (signed, payload) = match ip.protocol {
            PROTOCOL_VRRP => (None, ip.payload),
            PROTOCOL_AH => {
                let (signed, payload) = signed(packet, &ip).ok_or(unreadable)?;
                (Some(signed), payload)
            }
            _ => return Err(unreadable),
        };
        Advert::read(&Carrier {
            source: ip.source.into(),
            destination: ip.destination.into(),
            ttl: ip.ttl,
            signed,
            payload,
        })
    }

    /// The same of an IPv6 packet that has been taken apart, as a raw IPv6 socket delivers it.
    ///
    /// # Errors
    /// As [`Advert::parse`].
    pub fn parse_ipv6(ip: &Ipv6Packet<'a>) -> Result<Self, Refused> {
        if ip.next_header != PROTOCOL_VRRP {
            return Err(Refused::unreadable(Some(ip.source.into())));
        }
        Advert::read(&Carrier {
            source: ip.source.into(),
            destination: ip.destination.into(),
            ttl: ip.hop_limit,
            signed: None,
            payload: ip.payload,
        })
    }

    #[inline]
    fn read(ip: &Carrier<'a>) -> Result<Self, Refused> {
        let family = Family::of(ip.source);
        let vrid = ip.payload.get(1).copied().and_then(Vrid::new);
        let version_type = ip.payload.first().copied();
        let version = version_type.and_then(|byte| Version::of(byte >> 4, family));
        let refuse = |refusal| Refused { refusal, vrid, version, source: Some(ip.source) };
        if ip.ttl != 255 && ip.destination.is_multicast() {
            return Err(refuse(Refusal::Ttl(ip.ttl)));
        }
        let version_type = version_type.ok_or(refuse(Refusal::Length))?;
        let version = version.ok_or(refuse(Refusal::Version(version_type >> 4)))?;
        if version_type & 0x0f != TYPE_ADVERTISEMENT {
            return Err(refuse(Refusal::Type(version_type & 0x0f)));
        }
        let (header, _) =
            Header::ref_from_prefix(ip.payload).map_err(|_| refuse(Refusal::Length))?;
        let list_len = usize::from(header.count) * address_len(family);
        let message =
            ip.payload.get(..version.message_len(list_len)).ok_or(refuse(Refusal::Length))?;
        let checksum_form = checksum_form(version, ip, message).ok_or(refuse(Refusal::Checksum))?;
        let (list, rest) = message
            .get(HEADER_LEN..)
            .and_then(|body| body.split_at_checked(list_len))
            .ok_or(refuse(Refusal::Length))?;
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
            destination: ip.destination,
            ttl: ip.ttl,
            auth_type,
            auth_data: rest.first_chunk().copied().unwrap_or_default(),
            signed: ip.signed,
            checksum_form,
            addresses: AddressList { family, bytes: list },
        })
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        self.addresses.family
    }
}

impl<'a> AddressList<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.bytes.len() / address_len(self.family)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The addresses one after the other, as in the packet.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let (four, six): (&[u8], &[u8]) = match self.family {
            Family::Ipv4 => (self.bytes, &[]),
            Family::Ipv6 => (&[], self.bytes),
        };
        let four = four.as_chunks::<4>().0.iter().map(|&ip| IpAddr::from(ip));
        four.chain(six.as_chunks::<16>().0.iter().map(|&ip| IpAddr::from(ip)))
    }
}

/// A list of IPv4 addresses.
impl<'a> From<&'a [[u8; 4]]> for AddressList<'a> {
    fn from(addresses: &'a [[u8; 4]]) -> Self {
        AddressList { family: Family::Ipv4, bytes: addresses.as_flattened() }
    }
}

/// A list of IPv6 addresses.
impl<'a> From<&'a [[u8; 16]]> for AddressList<'a> {
    fn from(addresses: &'a [[u8; 16]]) -> Self {
        AddressList { family: Family::Ipv6, bytes: addresses.as_flattened() }
    }
}

/// The multicast group that adverts go to (RFC 9568 sections 5.1.1.2 and 5.1.2.2).
pub const fn standard_group(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(ipv4::VRRP_GROUP),
        Family::Ipv6 => IpAddr::V6(ipv6::VRRP_GROUP),
    }
}

/// Length of an address, in bytes.
const fn address_len(family: Family) -> usize {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    }
}

/// Length of an IP header without options, in bytes.
const fn ip_len(family: Family) -> usize {
    match family {
        Family::Ipv4 => Ipv4Header::LEN,
        Family::Ipv6 => Ipv6Header::LEN,
    }
}

/// The authentication header of a packet, and the message behind it.
fn signed<'a>(packet: &'a [u8], ip: &Ipv4Packet<'a>) -> Option<(Signed<'a>, &'a [u8])> {
    let [_, _, high, low, ..] = *packet else { return None };
    let packet = packet.get(..usize::from(u16::from_be_bytes([high, low])))?;
    Signed::parse(packet, packet.len().checked_sub(ip.payload.len())?)
}

/// Which form of the checksum `message` fits, if any.
fn checksum_form(version: Version, ip: &Carrier<'_>, message: &[u8]) -> Option<ChecksumForm> {
    let sum = Sum::ZERO.bytes(message);
    if ip.source.is_ipv4() && sum.is_intact() {
        return Some(ChecksumForm::Message);
    }
    if version != Version::V3 {
        return None;
    }
    let with = |destination| sum.and(pseudo_header(ip.source, destination, message.len()));
    if with(ip.destination).is_intact() {
        return Some(ChecksumForm::PseudoHeader);
    }
    let group = standard_group(Family::Ipv4);
    let old = ip.source.is_ipv4() && !ip.destination.is_multicast() && with(group).is_intact();
    old.then_some(ChecksumForm::GroupPseudoHeader)
}

/// The sum of the pseudo-header. The two addresses are of one family.
fn pseudo_header(source: IpAddr, destination: IpAddr, message_len: usize) -> Sum {
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ipv6::pseudo_header(source, destination, PROTOCOL_VRRP, message_len)
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) => Sum::ZERO
            .bytes(&source.octets())
            .bytes(&destination.octets())
            .word(u16::from(PROTOCOL_VRRP))
            .word(message_len as u16),
        _ => Sum::ZERO,
    }
}

impl AdvertFrame {
    /// The frame that carries `content` from the interface address `mac` to the VRRP group.
    ///
    /// Addresses beyond the 255th are left out; the configuration does not let them get here.
    pub fn new(content: &AdvertContent<'_>, mac: Mac) -> Self {
        AdvertFrame::to_group(content, standard_group(Family::of(content.source)), mac)
    }

    /// The same to another multicast group, which has to be of the source's family.
    pub fn to_group(content: &AdvertContent<'_>, group: IpAddr, mac: Mac) -> Self {
        let ethertype = match content.source {
            IpAddr::V4(_) => ETHERTYPE_IPV4,
            IpAddr::V6(_) => ETHERTYPE_IPV6,
        };
        let ethernet = EthernetHeader::new(Mac::of_group(group), mac, ethertype);
        AdvertFrame::build(content, ethernet.as_bytes(), group, 255)
    }

    /// The packet that carries `content` to a unicast peer with this TTL or hop limit: its own
    /// Ethernet frame is the kernel's work, so [`AdvertFrame::bytes`] begin with the IP header.
    ///
    /// `peer` has to be of the source's family.
    pub fn to_peer(content: &AdvertContent<'_>, peer: IpAddr, ttl: u8) -> Self {
        AdvertFrame::build(content, &[], peer, ttl)
    }

    fn build(content: &AdvertContent<'_>, ethernet: &[u8], to: IpAddr, ttl: u8) -> Self {
        let family = Family::of(content.source);
        let same_family = content.addresses.iter().filter(|ip| Family::of(**ip) == family);
        let count = same_family.clone().take(255).count();
        let message_len = content.version.message_len(count * address_len(family));
        let interval = match content.version {
            Version::V2 => content.interval.get().div_ceil(100).min(255),
            Version::V3 => content.interval.get().min(Centis::MAX_V3.get()),
        };
        let authentication = match (content.version, family) {
            (Version::V2, Family::Ipv4) => content.authentication,
            (Version::V2, Family::Ipv6) | (Version::V3, _) => Authentication::None,
        };
        let interval = match content.version {
            Version::V2 => u16::from(authentication.kind()) << 8 | interval,
            Version::V3 => interval,
        };
        let header = Header {
            version_type: content.version.number() << 4 | TYPE_ADVERTISEMENT,
            vrid: content.vrid.get(),
            priority: content.priority,
            count: count as u8,
            interval: U16::new(interval),
            checksum: U16::ZERO,
        };
        let packet_at = ethernet.len();
        let message_at = packet_at + ip_len(family) + authentication.header_len();
        let mut bytes = Vec::with_capacity(message_at + message_len);
        bytes.extend_from_slice(ethernet);
        let payload_len = authentication.header_len() + message_len;
        match (content.source, to) {
            (IpAddr::V4(source), IpAddr::V4(to)) => {
                let (protocol, id) = match authentication {
                    // What is signed has an identification: the kernel would give it one.
                    Authentication::Header(_) => (PROTOCOL_AH, SIGNED_ID),
                    Authentication::None | Authentication::Password(_) => (PROTOCOL_VRRP, 0),
                };
                let ip = Ipv4Header::carrying(protocol, source, to, payload_len);
                let ip = ip.with_ttl_and_id(ttl, id);
                bytes.extend_from_slice(ip.as_bytes());
                if let Authentication::Header(_) = authentication {
                    let header = AuthenticationHeader::new(source.to_bits());
                    bytes.extend_from_slice(header.as_bytes());
                }
            }
            (IpAddr::V6(source), IpAddr::V6(to)) => {
                let ip = Ipv6Header::new(source, to, PROTOCOL_VRRP, ttl, payload_len);
                bytes.extend_from_slice(ip.as_bytes());
            }
            _ => debug_assert!(false, "{to} is of another family than {}", content.source),
        }
        bytes.extend_from_slice(header.as_bytes());
        for address in same_family.take(255) {
            match address {
                IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
            }
        }
        if content.version == Version::V2 {
            bytes.extend_from_slice(&authentication.data());
        }

        let mut sum = Sum::ZERO.bytes(&bytes[message_at..]);
        let said = match (content.version, family, content.checksum_form) {
            (Version::V2, ..) | (_, Family::Ipv4, ChecksumForm::Message) => None,
            (_, Family::Ipv4, ChecksumForm::GroupPseudoHeader) if !to.is_multicast() => {
                Some(standard_group(family))
            }
            _ => Some(to),
        };
        if let Some(destination) = said {
            sum = sum.and(pseudo_header(content.source, destination, message_len));
        }
        let bytes = bytes.into_boxed_slice();
        let mut frame = AdvertFrame { bytes, packet_at, message_at, authentication };
        frame.header_mut().checksum = U16::new(sum.checksum());
        frame.sign(0);
        frame
    }

    /// Gives the frame a sequence number and signs it; does nothing to one that has no
    /// authentication header. Whatever else changes has to change before.
    pub fn sign(&mut self, sequence: u32) {
        if let Authentication::Header(key) = self.authentication {
            // Without an Ethernet header it goes to a peer.
            let ttl = if self.packet_at == 0 { Ttl::LeftOut } else { Ttl::Signed };
            auth::sign(&mut self.bytes[self.packet_at..], sequence, key, ttl);
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

    /// The frame, from the Ethernet header on if it has one.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The IP packet in it: what a receiver's raw IPv4 socket would see.
    pub fn packet(&self) -> &[u8] {
        &self.bytes[self.packet_at..]
    }

    fn header_mut(&mut self) -> &mut Header {
        match Header::mut_from_prefix(&mut self.bytes[self.message_at..]) {
            Ok((header, _)) => header,
            Err(_) => unreachable!("`new` always writes a whole header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::wire::auth::Secret;
    use proptest::prelude::*;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const SOURCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

    fn content<'a>(version: Version, addresses: &'a [IpAddr]) -> AdvertContent<'a> {
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
        let addresses = [[192, 168, 122, 50].into()];
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
    fn bytes_over_ipv6_are_those_of_rfc9568() {
        let addresses = ["fe80::50".parse().unwrap()];
        let content = AdvertContent { source: SOURCE_V6, ..content(Version::V3, &addresses) };
        let frame = AdvertFrame::new(&content, Mac([2, 0, 0, 0, 0, 7]));
        #[rustfmt::skip]
        assert_eq!(frame.bytes(), [
            0x33, 0x33, 0, 0, 0, 0x12,  2, 0, 0, 0, 0, 7,  0x86, 0xdd,
            0x6c, 0, 0, 0,  0, 24, 112, 255,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12,
            0x31, 51, 101, 1, 0, 100, 0x6c, 0x77,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50,
        ]);
    }

    #[test]
    fn each_check_of_ipv6_refuses_with_its_own_reason() {
        let vrid = Vrid::new(51);
        let addresses = ["fe80::50".parse().unwrap()];
        let content = AdvertContent { source: SOURCE_V6, ..content(Version::V3, &addresses) };
        let good = AdvertFrame::new(&content, Mac::default()).packet().to_vec();
        let broken = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            let refused = Advert::parse(&bytes).unwrap_err();
            (refused.refusal, refused.vrid)
        };
        assert_eq!(broken(6, 58), (Refusal::NotVrrp, None));
        assert_eq!(broken(7, 254), (Refusal::Ttl(254), vrid));
        assert_eq!(broken(40, 0x21), (Refusal::Version(2), vrid), "IPv6 has no version 2");
        assert_eq!(broken(40, 0x32), (Refusal::Type(2), vrid));
        assert_eq!(broken(43, 2), (Refusal::Length, vrid));
        assert_eq!(broken(46, 0), (Refusal::Checksum, vrid));
        assert_eq!(broken(8, 0xff), (Refusal::Checksum, vrid), "the pseudo-header");
    }

    #[test]
    fn a_checksum_without_the_pseudo_header_is_wrong_over_ipv6() {
        let addresses = ["fe80::50".parse().unwrap()];
        let content = AdvertContent { source: SOURCE_V6, ..content(Version::V3, &addresses) };
        let mut frame = AdvertFrame::new(&content, Mac::default());
        frame.header_mut().checksum = U16::ZERO;
        let checksum = Sum::ZERO.bytes(&frame.bytes[54..]).checksum();
        frame.header_mut().checksum = U16::new(checksum);
        let refused = Advert::parse(frame.packet()).unwrap_err();
        assert_eq!((refused.refusal, refused.vrid), (Refusal::Checksum, Vrid::new(51)));
        assert_eq!((refused.source, refused.version), (Some(SOURCE_V6), Some(Version::V3)));
    }

    #[test]
    fn a_unicast_one_may_have_any_ttl() {
        let peer = IpAddr::from([10, 0, 0, 2]);
        for version in [Version::V2, Version::V3] {
            let addresses = [[192, 168, 122, 50].into()];
            let content = AdvertContent {
                checksum_form: ChecksumForm::PseudoHeader,
                ..content(version, &addresses)
            };
            let mut frame = AdvertFrame::to_peer(&content, peer, 64);
            assert_eq!(frame.bytes(), frame.packet(), "no Ethernet header");
            frame.set_priority(7);
            let advert = Advert::parse(frame.bytes()).unwrap();
            assert_eq!((advert.destination, advert.ttl, advert.priority), (peer, 64, 7));
            assert!(Sum::ZERO.bytes(&frame.bytes()[..20]).is_intact());
        }
    }

    #[test]
    fn both_checksum_forms_of_v3_are_read_and_told_apart() {
        for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
            let bytes = packet(Version::V3, form);
            assert_eq!(Advert::parse(&bytes).unwrap().checksum_form, form);
        }
    }

    /// What keepalived before 1.3.6 sends to a peer, put together by hand: the pseudo-header names
    /// 224.0.0.18 though the packet goes to 10.0.0.2.
    #[test]
    fn the_old_checksum_of_unicast_is_read_and_told_apart() {
        #[rustfmt::skip]
        let message = [0x31, 51, 100, 1, 0, 100, 0, 0, 192, 168, 122, 50];
        let summed = |destination: [u8; 4]| {
            let pseudo = [&[192, 168, 122, 2], &destination[..], &[0, 112, 0, 12]].concat();
            let words = [&pseudo[..], &message].concat();
            let sum: u32 = words.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
            !((sum & 0xffff) + (sum >> 16)) as u16
        };
        let peer = [10, 0, 0, 2];
        let addresses = [[192, 168, 122, 50].into()];
        for (form, destination) in
            [(ChecksumForm::PseudoHeader, peer), (ChecksumForm::GroupPseudoHeader, [224, 0, 0, 18])]
        {
            let content = AdvertContent {
                priority: 100,
                source: [192, 168, 122, 2].into(),
                checksum_form: form,
                ..content(Version::V3, &addresses)
            };
            let frame = AdvertFrame::to_peer(&content, peer.into(), 255);
            assert_eq!(frame.bytes()[26..28], summed(destination).to_be_bytes(), "{form:?}");
            assert_eq!(Advert::parse(frame.bytes()).unwrap().checksum_form, form);
            // To the group itself there is no difference.
            let frame = AdvertFrame::new(&content, Mac::default());
            let read = Advert::parse(frame.packet()).unwrap();
            assert_eq!(read.checksum_form, ChecksumForm::PseudoHeader);
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
        let addresses = [[192, 168, 122, 50].into()];
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
        let addresses = [[192, 168, 122, 50].into()];
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
    fn one_to_a_peer_is_signed_without_its_ttl() {
        let key = Secret::new(b"12345678");
        let addresses = [[192, 168, 122, 50].into()];
        let content = AdvertContent {
            authentication: Authentication::Header(key),
            ..content(Version::V2, &addresses)
        };
        let mut frame = AdvertFrame::to_peer(&content, [10, 0, 0, 2].into(), 64);
        frame.set_priority(7);
        frame.sign(1000);
        let advert = Advert::parse(frame.bytes()).unwrap();
        assert_eq!((advert.ttl, advert.priority, advert.auth_type), (64, 7, 2));
        assert!(advert.signed.unwrap().is_by(key));
        assert!(Sum::ZERO.bytes(&frame.bytes()[..20]).is_intact());
        let mut farther = frame.bytes().to_vec();
        farther[8] = 60;
        assert!(Advert::parse(&farther).unwrap().signed.unwrap().is_by(key));
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
        let checksum = Sum::ZERO.bytes(&frame.bytes[34..]).checksum();
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
            let addresses: Vec<_> = addresses.into_iter().map(|ip| Ipv4Addr::from(ip).into()).collect();
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
                let read: Vec<_> = advert.addresses.iter().collect();
                prop_assert_eq!(advert.addresses.len(), addresses.len());
                prop_assert_eq!(read, addresses.clone());
            }
        }

        #[test]
        fn what_is_written_over_ipv6_is_read_back(
            vrid in 1..=255u8,
            interval in 1..=4095u16,
            source: u128,
            addresses in prop::collection::vec(any::<u128>(), 0..=255),
            peer in prop::option::of((any::<u128>(), any::<u8>())),
            patched: u8,
        ) {
            let addresses: Vec<_> =
                addresses.into_iter().map(|ip| Ipv6Addr::from(ip).into()).collect();
            let content = AdvertContent {
                vrid: Vrid::new(vrid).unwrap(),
                interval: Centis::new(interval).unwrap(),
                source: Ipv6Addr::from(source).into(),
                ..content(Version::V3, &addresses)
            };
            let peer = peer.map(|(peer, ttl)| (Ipv6Addr::from(peer & !(0xff << 120)), ttl));
            let (mut frame, to, ttl) = match peer {
                None => (AdvertFrame::new(&content, Mac::default()), ipv6::VRRP_GROUP, 255),
                Some((peer, ttl)) => (AdvertFrame::to_peer(&content, peer.into(), ttl), peer, ttl),
            };
            frame.set_priority(patched);
            let advert = Advert::parse(frame.packet()).unwrap();
            prop_assert_eq!((advert.vrid, advert.priority), (vrid, patched));
            prop_assert_eq!(advert.interval, Some(content.interval));
            prop_assert_eq!((advert.source, advert.destination), (content.source, to.into()));
            prop_assert_eq!((advert.ttl, advert.family()), (ttl, Family::Ipv6));
            prop_assert_eq!(advert.addresses.iter().collect::<Vec<_>>(), addresses);
        }

        #[test]
        fn no_ipv6_packet_panics(
            payload in prop::collection::vec(any::<u8>(), 0..120),
            source: u128, destination: u128, hop_limit: u8,
        ) {
            let (source, destination) = (source.into(), destination.into());
            let _ = Advert::parse_ipv6(&Ipv6Packet {
                hop_limit, next_header: 112, source, destination, payload: &payload,
            });
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
