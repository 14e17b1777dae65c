//! Netlink bytes → messages: a lenient reader that copies nothing and refuses as little as it can.
//!
//! A lost message about a dead link is a missed failover, so an attribute that is unknown, broken or
//! of a length nobody expected never costs the message that carries it: it is passed over. Only a
//! broken message header ends the datagram, because nothing after it can be found. The layouts are
//! those of `netlink(7)` and `rtnetlink(7)`; numbers are in the host's byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::base::{IfIndex, Scope};

/// `struct nlmsghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct MessageHeader {
    /// Length of the message with this header, without the padding after it.
    pub(super) len: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) seq: u32,
    /// The port of the socket whose request caused this message; 0: the kernel itself.
    pub(super) port: u32,
}

/// `struct ifinfomsg`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Default)]
#[repr(C)]
pub(super) struct LinkHeader {
    pub(super) family: u8,
    pub(super) padding: u8,
    /// `ARPHRD_…`
    pub(super) hardware: u16,
    pub(super) index: u32,
    pub(super) flags: u32,
    pub(super) change: u32,
}

/// `struct ifaddrmsg`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Default)]
#[repr(C)]
pub(super) struct AddressHeader {
    pub(super) family: u8,
    pub(super) prefix_len: u8,
    pub(super) flags: u8,
    pub(super) scope: u8,
    pub(super) index: u32,
}

/// `struct rtattr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct AttributeHeader {
    /// Length of the attribute with this header, without the padding after it.
    pub(super) len: u16,
    pub(super) kind: u16,
}

pub(super) const NLMSG_NOOP: u16 = libc::NLMSG_NOOP as u16;
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;

/// In answers: the dump was interrupted by a change and may be inconsistent (`linux/netlink.h`).
const NLM_F_DUMP_INTR: u16 = 0x10;

/// `struct ifinfomsg` attributes that the `libc` crate doesn't know or that are spelled here for
/// the reader's sake.
const IFLA_TARGET_NETNSID: u16 = 46;
/// Inside `IFLA_LINKINFO`, and what the kinds of a macvlan and of a VRF are called there.
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFLA_MACVLAN_MODE: u16 = 1;
pub(super) const MACVLAN: &[u8] = b"macvlan";
const IFLA_VRF_TABLE: u16 = 1;
const VRF: &[u8] = b"vrf";
pub(super) const IFA_PROTO: u16 = 11;
/// By this value of `IFA_PROTO` our addresses are known: VRRP's number among the IP protocols.
pub(super) const OURS: u8 = 112;
const IFA_TARGET_NETNSID: u16 = 10;

/// The upper two bits of an attribute's type are flags, not type (`NLA_TYPE_MASK`).
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Of the request that caused it or that it answers.
    pub(super) seq: u32,
    /// The port of the socket that sent that request; 0: nobody's.
    pub(super) port: u32,
    /// The dump that it belongs to met a change: dump again.
    pub(super) interrupted: bool,
    pub(super) content: Content<'a>,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// An interface exists and is like this (`RTM_NEWLINK`).
    Link(Link<'a>),
    /// An interface exists no more (`RTM_DELLINK`).
    LinkGone(IfIndex),
    /// An address is on an interface (`RTM_NEWADDR`).
    Address(Address),
    /// An address is there no more (`RTM_DELADDR`).
    AddressGone(Address),
    /// A route or a policy rule has come or gone; kind, whether it has taken another's place, body.
    Way(u16, bool, &'a [u8]),
    /// An acknowledgement (0) or a refusal (a positive `errno(3)`) of a request.
    Answer(i32),
    /// The end of a dump: 0, or the error that cut it short.
    Done(i32),
    /// Nothing of ours, and rightly so.
    Other,
    /// One of ours whose fixed part can't be read.
    Broken,
}

/// An interface as a message describes it; what the message doesn't say is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    pub(super) ifindex: IfIndex,
    /// `IFF_…`
    pub(super) flags: u32,
    /// `ARPHRD_…`
    pub(super) hardware: u16,
    /// Without its NUL; any bytes but `/` and white space are allowed in it.
    pub(super) name: Option<&'a [u8]>,
    /// The hardware address, however long.
    pub(super) address: Option<&'a [u8]>,
    /// In bytes.
    pub(super) mtu: Option<u32>,
    /// The interface below it, or a veth's other end.
    pub(super) lower: Option<IfIndex>,
    /// Its link group.
    pub(super) group: Option<u32>,
    /// Its mode, if it is a macvlan.
    pub(super) macvlan: Option<u32>,
    /// Its routing table, if it is a VRF.
    pub(super) vrf: Option<u32>,
}

/// An address as a message describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ifindex: IfIndex,
    pub(super) ip: IpAddr,
    pub(super) prefix_len: u8,
    /// The other end, if it is a point-to-point address.
    pub(super) peer: Option<IpAddr>,
    pub(super) scope: Scope,
    /// `IFA_F_…`
    pub(super) flags: u32,
    /// Who put it there, `IFA_PROTO`; 0 if nobody says, as on kernels before 5.18.
    pub(super) protocol: u8,
}

/// The messages of one datagram, in order.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a> {
    rest: &'a [u8],
    broken: bool,
}

/// Reads a datagram. Total: any bytes give some messages, none panics.
pub(super) fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram, broken: false }
}

impl Messages<'_> {
    /// Whether a broken header ended the datagram early; known once the iterator is through.
    pub(super) fn broken(&self) -> bool {
        self.broken
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        if self.rest.is_empty() || self.broken {
            return None;
        }
        let Some((header, body, rest)) = split_message(self.rest) else {
            self.broken = true;
            return None;
        };
        self.rest = rest;
        Some(Message {
            seq: header.seq,
            port: header.port,
            interrupted: header.flags & NLM_F_DUMP_INTR != 0,
            content: content(header.kind, header.flags, body),
        })
    }
}

/// The first message's header and body, and what follows.
fn split_message(bytes: &[u8]) -> Option<(MessageHeader, &[u8], &[u8])> {
    let (header, _) = MessageHeader::read_from_prefix(bytes).ok()?;
    let len = header.len as usize;
    let body = bytes.get(size_of::<MessageHeader>()..len)?;
    Some((header, body, bytes.get(aligned(len)..).unwrap_or_default()))
}

fn content(kind: u16, flags: u16, body: &[u8]) -> Content<'_> {
    match kind {
        NLMSG_ERROR => error_number(body).map_or(Content::Broken, Content::Answer),
        NLMSG_DONE => Content::Done(error_number(body).unwrap_or(0)),
        libc::RTM_NEWLINK | libc::RTM_DELLINK => link(kind, body),
        libc::RTM_NEWADDR | libc::RTM_DELADDR => address(kind, body),
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE | libc::RTM_NEWRULE | libc::RTM_DELRULE => {
            Content::Way(kind, flags & libc::NLM_F_REPLACE as u16 != 0, body)
        }
        _ => Content::Other,
    }
}

/// Netlink says errors as negative numbers.
fn error_number(body: &[u8]) -> Option<i32> {
    let (number, _) = i32::read_from_prefix(body).ok()?;
    Some(number.saturating_abs())
}

fn link(kind: u16, body: &[u8]) -> Content<'_> {
    let Ok((header, rest)) = LinkHeader::read_from_prefix(body) else {
        return Content::Broken;
    };
    // Bridges speak of their ports on the same group, with their own family: a "deleted" link of
    // family AF_BRIDGE has left its bridge and lives on.
    if header.family != libc::AF_UNSPEC as u8 {
        return Content::Other;
    }
    let Some(ifindex) = ifindex(header.index) else {
        return Content::Broken;
    };
    let mut link = Link {
        ifindex,
        flags: header.flags,
        hardware: header.hardware,
        name: None,
        address: None,
        mtu: None,
        lower: None,
        group: None,
        macvlan: None,
        vrf: None,
    };
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => link.name = interface_name(value).or(link.name),
            libc::IFLA_ADDRESS => link.address = Some(value),
            libc::IFLA_MTU => link.mtu = number(value).or(link.mtu),
            libc::IFLA_LINK => link.lower = number(value).and_then(self::ifindex).or(link.lower),
            libc::IFLA_GROUP => link.group = number(value).or(link.group),
            libc::IFLA_LINKINFO => {
                link.macvlan = of_kind(value, MACVLAN, IFLA_MACVLAN_MODE).or(link.macvlan);
                link.vrf = of_kind(value, VRF, IFLA_VRF_TABLE).or(link.vrf);
            }
            // A wireless event dressed as a link message, and a link of another namespace.
            libc::IFLA_WIRELESS | IFLA_TARGET_NETNSID => return Content::Other,
            _ => {}
        }
    }
    match kind {
        libc::RTM_DELLINK => Content::LinkGone(ifindex),
        _ => Content::Link(link),
    }
}

fn address(kind: u16, body: &[u8]) -> Content<'_> {
    let Ok((header, rest)) = AddressHeader::read_from_prefix(body) else {
        return Content::Broken;
    };
    let longest = match i32::from(header.family) {
        libc::AF_INET => 32,
        libc::AF_INET6 => 128,
        _ => return Content::Other,
    };
    let (mut local, mut address) = (None, None);
    let (mut flags, mut protocol) = (u32::from(header.flags), 0);
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFA_LOCAL => local = ip(header.family, value).or(local),
            libc::IFA_ADDRESS => address = ip(header.family, value).or(address),
            // The same flags and those that the header's byte has no room for.
            libc::IFA_FLAGS => flags |= number(value).unwrap_or(0),
            IFA_PROTO => protocol = value.first().copied().unwrap_or(0),
            IFA_TARGET_NETNSID => return Content::Other,
            _ => {}
        }
    }
    let (Some(ifindex), Some(ip)) = (ifindex(header.index), local.or(address)) else {
        return Content::Broken;
    };
    if header.prefix_len > longest {
        return Content::Broken;
    }
    let address = Address {
        ifindex,
        ip,
        prefix_len: header.prefix_len,
        // IFA_ADDRESS is the other end's where both are given and differ.
        peer: address.filter(|&address| address != ip),
        scope: Scope(header.scope),
        flags,
        protocol,
    };
    match kind {
        libc::RTM_DELADDR => Content::AddressGone(address),
        _ => Content::Address(address),
    }
}

/// A number that the `IFLA_LINKINFO` of interfaces of `kind` tells; `None` for those of other kinds.
fn of_kind(info: &[u8], kind: &[u8], what: u16) -> Option<u32> {
    if attribute(info, IFLA_INFO_KIND)?.split(|&byte| byte == 0).next() != Some(kind) {
        return None;
    }
    number(attribute(attribute(info, IFLA_INFO_DATA)?, what)?)
}

/// The value of the first attribute of that type.
fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(is, value)| (is == kind).then_some(value))
}

/// The attributes of a message, up to the first that runs over its end.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = AttributeHeader::read_from_prefix(bytes).ok()?;
        let len = usize::from(header.len);
        let value = bytes.get(size_of::<AttributeHeader>()..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        Some((header.kind & ATTRIBUTE_TYPE, value))
    })
}

/// An index that an interface can have; the kernel's are positive `int`s.
fn ifindex(index: u32) -> Option<IfIndex> {
    (1..=i32::MAX as u32).contains(&index).then_some(IfIndex(index))
}

fn interface_name(value: &[u8]) -> Option<&[u8]> {
    let name = value.split(|&byte| byte == 0).next()?;
    (!name.is_empty() && name.len() < libc::IFNAMSIZ).then_some(name)
}

fn number(value: &[u8]) -> Option<u32> {
    u32::read_from_prefix(value).ok().map(|(number, _)| number)
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(value).ok().map(|ip| Ipv4Addr::from(ip).into()),
        _ => <[u8; 16]>::try_from(value).ok().map(|ip| Ipv6Addr::from(ip).into()),
    }
}

/// Messages and attributes start at multiples of four bytes.
pub(super) const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::model;

    const NEWLINK: &[u8] = include_bytes!("recorded/newlink.bin");
    const DELLINK: &[u8] = include_bytes!("recorded/dellink.bin");
    const NEWADDR: &[u8] = include_bytes!("recorded/newaddr.bin");
    const NEWADDR_PEER: &[u8] = include_bytes!("recorded/newaddr-peer.bin");
    const NEWADDR_IPV6: &[u8] = include_bytes!("recorded/newaddr-ipv6.bin");

    fn contents(datagram: &[u8]) -> Vec<Content<'_>> {
        messages(datagram).map(|message| message.content).collect()
    }

    /// The one link of a datagram.
    fn link_of(datagram: &[u8]) -> Link<'_> {
        match contents(datagram)[..] {
            [Content::Link(link)] => link,
            ref other => panic!("{other:?}"),
        }
    }

    /// The start of an attribute of that type in a message with a header of `header` bytes.
    fn find_attribute(datagram: &[u8], header: usize, kind: u16) -> usize {
        let mut at = 16 + header;
        loop {
            let field = |at: usize| u16::from_ne_bytes([datagram[at], datagram[at + 1]]);
            if field(at + 2) == kind {
                return at;
            }
            at += aligned(field(at).into());
        }
    }

    #[test]
    fn a_real_link_is_read() {
        let link = link_of(NEWLINK);
        assert_eq!(link.name, Some(&b"eth"[..]));
        assert_eq!(link.mtu, Some(1500));
        assert_eq!(link.address.map(<[u8]>::len), Some(6));
        assert_eq!(link.hardware, libc::ARPHRD_ETHER);
        assert_eq!(link.flags & libc::IFF_UP as u32, 0);
        assert_eq!(contents(DELLINK), [Content::LinkGone(link.ifindex)]);
    }

    #[test]
    fn real_addresses_are_read() {
        let read = |datagram| match contents(datagram)[..] {
            [Content::Address(address)] => address,
            ref other => panic!("{other:?}"),
        };
        let address = read(NEWADDR);
        assert_eq!((address.ip, address.prefix_len), ([192, 0, 2, 1].into(), 24));
        assert_eq!((address.peer, address.scope), (None, Scope::GLOBAL));
        assert_ne!(address.flags & libc::IFA_F_PERMANENT, 0);
        let address = read(NEWADDR_PEER);
        assert_eq!(address.ip, IpAddr::from([192, 0, 2, 2]));
        assert_eq!(address.peer, Some([192, 0, 2, 9].into()));
        let address = read(NEWADDR_IPV6);
        assert_eq!(address.ip, "2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!((address.prefix_len, address.peer), (64, None));
    }

    #[test]
    fn a_vrf_tells_its_table() {
        use netlink_packet_route::link::{
            InfoData, InfoKind, InfoVrf, LinkAttribute, LinkInfo, LinkMessage,
        };
        let mut message = LinkMessage::default();
        message.header.index = 7;
        let info =
            |kind, data| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]);
        message.attributes = vec![info(InfoKind::Vrf, InfoData::Vrf(vec![InfoVrf::TableId(1001)]))];
        let datagram =
            crate::kernel::model::message(RouteNetlinkMessage::NewLink(message), 0, 0, 0);
        let link = link_of(&datagram);
        assert_eq!((link.vrf, link.macvlan), (Some(1001), None));
    }

    #[test]
    fn a_datagram_may_hold_several_messages() {
        let datagram = [NEWLINK, NEWADDR, DELLINK].concat();
        let kinds = contents(&datagram);
        let as_expected =
            matches!(kinds[..], [Content::Link(_), Content::Address(_), Content::LinkGone(_)]);
        assert!(as_expected, "{kinds:?}");
    }

    #[test]
    fn a_broken_header_ends_the_datagram_and_nothing_before_it() {
        for len in [0u32, 15, u32::MAX, NEWADDR.len() as u32 + 1] {
            let mut broken = NEWADDR.to_vec();
            broken[..4].copy_from_slice(&len.to_ne_bytes());
            let datagram = [NEWLINK, &broken].concat();
            let mut messages = messages(&datagram);
            assert_eq!(messages.by_ref().count(), 1);
            assert!(messages.broken());
        }
    }

    #[test]
    fn a_broken_attribute_does_not_lose_the_link() {
        for kind in [libc::IFLA_ADDRESS, libc::IFLA_MTU] {
            let at = find_attribute(NEWLINK, 16, kind);
            for len in [0u16, 3, 5, u16::MAX] {
                let mut datagram = NEWLINK.to_vec();
                datagram[at..at + 2].copy_from_slice(&len.to_ne_bytes());
                assert_eq!(link_of(&datagram).ifindex, link_of(NEWLINK).ifindex, "{kind} {len}");
            }
        }
        let mut datagram = DELLINK.to_vec();
        datagram[32..36].fill(0xff);
        assert_eq!(contents(&datagram), [Content::LinkGone(link_of(NEWLINK).ifindex)]);
    }

    #[test]
    fn an_mtu_of_an_odd_length_is_passed_over() {
        let at = find_attribute(NEWLINK, 16, libc::IFLA_MTU);
        let mut datagram = NEWLINK.to_vec();
        datagram[at..at + 2].copy_from_slice(&6u16.to_ne_bytes());
        let link = link_of(&datagram);
        assert_eq!((link.mtu, link.name), (None, Some(&b"eth"[..])));
    }

    #[test]
    fn what_is_no_business_of_ours_is_ignored() {
        let with = |change: &dyn Fn(&mut LinkMessage)| {
            let mut link = LinkMessage::default();
            link.header.index = 7;
            link.attributes.push(LinkAttribute::IfName("eth0".into()));
            change(&mut link);
            model::message(RouteNetlinkMessage::DelLink(link), 0, 0, 0)
        };
        assert_eq!(contents(&with(&|_| {})), [Content::LinkGone(IfIndex(7))]);
        // A port has left its bridge.
        let left = with(&|link| link.header.interface_family = AddressFamily::Bridge);
        assert_eq!(contents(&left), [Content::Other]);
        let mut wireless = with(&|link| link.attributes.push(LinkAttribute::Carrier(1)));
        let at = find_attribute(&wireless, 16, libc::IFLA_CARRIER);
        wireless[at + 2..at + 4].copy_from_slice(&libc::IFLA_WIRELESS.to_ne_bytes());
        assert_eq!(contents(&wireless), [Content::Other]);
        wireless[at + 2..at + 4].copy_from_slice(&IFLA_TARGET_NETNSID.to_ne_bytes());
        assert_eq!(contents(&wireless), [Content::Other]);
        assert_eq!(contents(&with(&|link| link.header.index = 0)), [Content::Broken]);
    }

    #[test]
    fn answers_and_ends_are_read() {
        assert_eq!(contents(&model::answer(9, libc::EEXIST, 3)), [Content::Answer(libc::EEXIST)]);
        let mut done = model::answer(9, 0, 3);
        done[4] = libc::NLMSG_DONE as u8;
        done[6] = NLM_F_DUMP_INTR as u8;
        let (seq, port, interrupted, content) = (9, 3, true, Content::Done(0));
        let expected = Message { seq, port, interrupted, content };
        assert_eq!(messages(&done).next(), Some(expected));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut messages = messages(&bytes);
            prop_assert!(messages.by_ref().count() <= bytes.len() / 16);
        }

        /// Whatever happens to the bytes behind the fixed part, the message is still seen.
        #[test]
        fn a_mutated_link_is_still_a_link(
            changes in prop::collection::vec((32..NEWLINK.len(), any::<u8>()), 1..40),
        ) {
            let mut datagram = NEWLINK.to_vec();
            for (at, byte) in changes {
                datagram[at] = byte;
            }
            match contents(&datagram)[..] {
                [Content::Link(link)] => prop_assert_eq!(link.ifindex, link_of(NEWLINK).ifindex),
                // An attribute may have turned into one of those that make it none of ours.
                [Content::Other] => {}
                ref other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn mutated_datagrams_are_survived(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
            len in any::<prop::sample::Index>(),
        ) {
            let mut datagram = [NEWADDR, NEWLINK, NEWADDR_IPV6, NEWADDR_PEER, DELLINK].concat();
            for (at, byte) in changes {
                let at = at.index(datagram.len());
                datagram[at] = byte;
            }
            datagram.truncate(len.index(datagram.len()));
            let mut messages = messages(&datagram);
            prop_assert!(messages.by_ref().count() <= datagram.len() / 16);
        }
    }
}
