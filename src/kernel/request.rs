//! Requests → netlink bytes, written straight into the caller's buffer.
//!
//! `netlink-packet-route` could build them, and the tests below hold every byte against what it
//! builds. The daemon doesn't use it here: each of its messages is two `Vec`s and (for a label) a
//! `String`, encoded only after its length was computed in a second pass; a mass failover sends
//! thousands, in a turn that should not allocate. The layouts are three fixed headers and five
//! attributes, which zerocopy writes in place.
//!
//! How an address is asked for, and why:
//!
//! * `NLM_F_CREATE | NLM_F_REPLACE`, not `NLM_F_EXCL`. An address that is already there (left by a
//!   crash, or put there by someone) becomes ours, and what lifetime somebody gave it becomes
//!   "forever". For IPv4 a success then always makes a notification with our port and sequence
//!   number, by which the reconciler puts events and answers in order.
//! * `IFA_LOCAL` and `IFA_ADDRESS` both. Adding would need only the first; deleting compares the
//!   prefix length only if the second is given (and would take 192.0.2.1/24 when /32 was meant).
//! * `IFA_PROTO`, by which an address that a crash left is known as ours (Linux 5.18; older ones
//!   pass over it).
//! * No label in a deletion: it would only make the kernel compare one thing more.
//! * IPv6: `IFA_F_NODAD`, because a failover can't wait a second for duplicate address detection
//!   whose answer VRRP already knows. A /128 is given a preferred lifetime of zero, so that the
//!   router doesn't choose a virtual address as the source of its own connections (keepalived does
//!   the same). Its scope follows from the address; the kernel ignores ours.

use std::net::IpAddr;

use zerocopy::IntoBytes;

use super::reader::{
    AddressHeader, AttributeHeader, IFA_PROTO, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_MACVLAN_MODE,
    LinkHeader, MACVLAN, MessageHeader, NLMSG_NOOP, OURS, aligned,
};
use crate::base::{IfIndex, Mac, VirtualAddress};

/// The longest request about one address (IPv6 with everything that IPv4 could have besides) or
/// one macvlan.
pub(super) const LONGEST: usize = 128;

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const CREATE_OR_REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;

const IFLA_EXT_MASK: u16 = 29;
const IFF_UP: u32 = libc::IFF_UP as u32;
/// Leaves out the statistics, which are most of a link's kilobyte.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// `struct ifa_cacheinfo`: preferred, valid, made, changed; the latter two are the kernel's to say.
const NEVER_A_SOURCE: [u32; 4] = [0, u32::MAX, 0, 0];

/// Writes requests one behind the other.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
    last: usize,
}

impl<'a> Writer<'a> {
    /// Begins at the start of `buffer`.
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Writer { buffer, len: 0, last: 0 }
    }

    /// Whether one more request about an address certainly fits.
    pub(super) fn has_room(&self) -> bool {
        self.buffer.len() - self.len >= LONGEST
    }

    /// How many bytes have been written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Asks for `address` on the interface.
    pub(super) fn add(&mut self, seq: u32, at: IfIndex, address: &VirtualAddress) {
        self.begin(libc::RTM_NEWADDR, REQUEST | CREATE_OR_REPLACE, seq);
        self.address(at, address);
        match address.ip {
            IpAddr::V4(_) => {
                if let Some(broadcast) = address.broadcast {
                    self.attribute(libc::IFA_BROADCAST, &[&broadcast.octets()]);
                }
                if let Some(label) = &address.label {
                    self.attribute(libc::IFA_LABEL, &[label.as_bytes(), &[0]]);
                }
            }
            IpAddr::V6(_) => {
                self.attribute(libc::IFA_FLAGS, &[&libc::IFA_F_NODAD.to_ne_bytes()]);
                if address.prefix_len == 128 {
                    self.attribute(libc::IFA_CACHEINFO, &[NEVER_A_SOURCE.as_bytes()]);
                }
            }
        }
        self.attribute(IFA_PROTO, &[&[OURS]]);
        self.end();
    }

    /// Asks that `address` go from the interface.
    pub(super) fn delete(&mut self, seq: u32, at: IfIndex, address: &VirtualAddress) {
        self.begin(libc::RTM_DELADDR, REQUEST, seq);
        self.address(at, address);
        self.end();
    }

    /// Asks for all interfaces.
    pub(super) fn dump_links(&mut self, seq: u32) {
        self.begin(libc::RTM_GETLINK, REQUEST | DUMP, seq);
        self.put(LinkHeader::default().as_bytes());
        self.attribute(IFLA_EXT_MASK, &[&RTEXT_FILTER_SKIP_STATS.to_ne_bytes()]);
        self.end();
    }

    /// Asks for all addresses of all families.
    pub(super) fn dump_addresses(&mut self, seq: u32) {
        self.begin(libc::RTM_GETADDR, REQUEST | DUMP, seq);
        self.put(AddressHeader::default().as_bytes());
        self.end();
    }

    /// Asks for a macvlan on the interface `below`, still down.
    pub(super) fn make_macvlan(
        &mut self,
        seq: u32,
        below: IfIndex,
        name: &[u8],
        mac: Mac,
        group: u32,
        mode: u32,
    ) {
        self.begin(libc::RTM_NEWLINK, REQUEST | ACK | CREATE, seq);
        self.put(LinkHeader::default().as_bytes());
        self.attribute(libc::IFLA_IFNAME, &[name, &[0]]);
        self.attribute(libc::IFLA_LINK, &[&below.0.to_ne_bytes()]);
        self.attribute(libc::IFLA_ADDRESS, &[&mac.0]);
        self.attribute(libc::IFLA_GROUP, &[&group.to_ne_bytes()]);
        self.macvlan_mode(mode);
        self.end();
    }

    /// Asks that a macvlan be up and in that group, and in that mode if it may be in another one.
    pub(super) fn put_right(&mut self, seq: u32, at: IfIndex, group: u32, mode: Option<u32>) {
        self.begin(libc::RTM_NEWLINK, REQUEST | ACK, seq);
        let header =
            LinkHeader { index: at.0, flags: IFF_UP, change: IFF_UP, ..LinkHeader::default() };
        self.put(header.as_bytes());
        self.attribute(libc::IFLA_GROUP, &[&group.to_ne_bytes()]);
        if let Some(mode) = mode {
            self.macvlan_mode(mode);
        }
        self.end();
    }

    /// Asks that an interface be in that link group.
    pub(super) fn set_group(&mut self, seq: u32, at: IfIndex, group: u32) {
        self.begin(libc::RTM_NEWLINK, REQUEST | ACK, seq);
        self.put(LinkHeader { index: at.0, ..LinkHeader::default() }.as_bytes());
        self.attribute(libc::IFLA_GROUP, &[&group.to_ne_bytes()]);
        self.end();
    }

    /// Asks that an interface be deleted.
    pub(super) fn delete_link(&mut self, seq: u32, at: IfIndex) {
        self.begin(libc::RTM_DELLINK, REQUEST | ACK, seq);
        self.put(LinkHeader { index: at.0, ..LinkHeader::default() }.as_bytes());
        self.end();
    }

    /// Asks that all interfaces of a link group be deleted.
    pub(super) fn delete_group(&mut self, seq: u32, group: u32) {
        self.begin(libc::RTM_DELLINK, REQUEST | ACK, seq);
        self.put(LinkHeader::default().as_bytes());
        self.attribute(libc::IFLA_GROUP, &[&group.to_ne_bytes()]);
        self.end();
    }

    fn macvlan_mode(&mut self, mode: u32) {
        let info = self.open(libc::IFLA_LINKINFO);
        self.attribute(IFLA_INFO_KIND, &[MACVLAN]);
        let data = self.open(IFLA_INFO_DATA);
        self.attribute(IFLA_MACVLAN_MODE, &[&mode.to_ne_bytes()]);
        self.close(data);
        self.close(info);
    }

    /// Asks for nothing but an answer.
    pub(super) fn nothing(&mut self, seq: u32) {
        self.begin(NLMSG_NOOP, REQUEST, seq);
        self.end();
        self.ask_for_ack();
    }

    /// Makes the last request one that is answered also when it succeeds.
    pub(super) fn ask_for_ack(&mut self) {
        let at = self.last + std::mem::offset_of!(MessageHeader, flags);
        if let Some([low, high]) = self.buffer.get_mut(at..at + 2) {
            let flags = u16::from_ne_bytes([*low, *high]) | ACK;
            [*low, *high] = flags.to_ne_bytes();
        }
    }

    fn address(&mut self, at: IfIndex, address: &VirtualAddress) {
        let (family, scope) = match address.ip {
            IpAddr::V4(_) => (libc::AF_INET, address.scope.0),
            IpAddr::V6(_) => (libc::AF_INET6, 0),
        };
        let header = AddressHeader {
            family: family as u8,
            prefix_len: address.prefix_len,
            flags: 0,
            scope,
            index: at.0,
        };
        self.put(header.as_bytes());
        for kind in [libc::IFA_LOCAL, libc::IFA_ADDRESS] {
            match address.ip {
                IpAddr::V4(ip) => self.attribute(kind, &[&ip.octets()]),
                IpAddr::V6(ip) => self.attribute(kind, &[&ip.octets()]),
            }
        }
    }

    fn begin(&mut self, kind: u16, flags: u16, seq: u32) {
        self.last = self.len;
        let header = MessageHeader { len: 0, kind, flags, seq, port: 0 };
        self.put(header.as_bytes());
    }

    /// Fills in the length; everything written is a multiple of four bytes long.
    fn end(&mut self) {
        let len = (self.len - self.last) as u32;
        if let Some(field) = self.buffer.get_mut(self.last..self.last + 4) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
    }

    fn attribute(&mut self, kind: u16, parts: &[&[u8]]) {
        let len = size_of::<AttributeHeader>() + parts.iter().map(|part| part.len()).sum::<usize>();
        let end = self.len + aligned(len);
        self.put(AttributeHeader { len: len as u16, kind }.as_bytes());
        for part in parts {
            self.put(part);
        }
        let padding = end.saturating_sub(self.len);
        self.put(&[0; 3][..padding.min(3)]);
    }

    /// Begins an attribute that holds others; gives where it begins, for [`Writer::close`].
    fn open(&mut self, kind: u16) -> usize {
        let start = self.len;
        self.put(AttributeHeader { len: 0, kind }.as_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let len = (self.len - start) as u16;
        if let Some(field) = self.buffer.get_mut(start..start + 2) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
    }

    /// Callers have made sure of the room ([`Writer::has_room`]); without it nothing is written.
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.buffer.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::address::{
        AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
    };
    use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
    use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

    use super::*;
    use crate::base::{Label, LinkId, Scope};

    /// What the crate makes of a request.
    fn encoded(request: NetlinkPayload<RouteNetlinkMessage>, flags: i32, seq: u32) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = flags as u16;
        header.sequence_number = seq;
        let mut message = NetlinkMessage::new(header, request);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// What we make of it.
    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut buffer = [0xaa; 1024];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer);
        let len = writer.len();
        buffer[..len].to_vec()
    }

    fn inner(request: RouteNetlinkMessage) -> NetlinkPayload<RouteNetlinkMessage> {
        NetlinkPayload::InnerMessage(request)
    }

    fn address(ip: IpAddr, prefix_len: u8) -> VirtualAddress {
        VirtualAddress {
            ip,
            prefix_len,
            link: LinkId(0),
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }
    }

    fn message(address: &VirtualAddress, index: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = match address.ip {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.prefix_len = address.prefix_len;
        message.header.scope = address.scope.0.into();
        message.header.index = index;
        message.attributes =
            vec![AddressAttribute::Local(address.ip), AddressAttribute::Address(address.ip)];
        message
    }

    const ADD: i32 = libc::NLM_F_REQUEST | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

    #[test]
    fn additions_are_as_the_crate_writes_them() {
        // Labels of all lengths, because of the padding.
        for len in 0..=15 {
            let mut it = address([192, 0, 2, 1].into(), 24);
            it.broadcast = Some(Ipv4Addr::new(192, 0, 2, 255));
            it.label = (len > 0).then(|| Label::from(&"eth1:virtuallll"[..len]).unwrap());
            it.scope = Scope::LINK;
            let mut expected = message(&it, 7);
            expected.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::new(192, 0, 2, 255)));
            if let Some(label) = &it.label {
                expected.attributes.push(AddressAttribute::Label(label.to_string()));
            }
            expected.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OURS)));
            let expected = encoded(inner(RouteNetlinkMessage::NewAddress(expected)), ADD, 3);
            assert_eq!(written(|writer| writer.add(3, IfIndex(7), &it)), expected);
            assert!(expected.len() <= LONGEST);
        }
    }

    #[test]
    fn ipv6_additions_are_as_the_crate_writes_them() {
        for prefix_len in [64, 128] {
            let it = address("2001:db8::1".parse().unwrap(), prefix_len);
            let mut expected = message(&it, 7);
            expected.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            if prefix_len == 128 {
                let mut lifetime = CacheInfo::default();
                lifetime.ifa_valid = u32::MAX;
                expected.attributes.push(AddressAttribute::CacheInfo(lifetime));
            }
            expected.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OURS)));
            let expected = encoded(inner(RouteNetlinkMessage::NewAddress(expected)), ADD, 3);
            assert_eq!(written(|writer| writer.add(3, IfIndex(7), &it)), expected);
            assert!(expected.len() <= LONGEST);
        }
    }

    #[test]
    fn deletions_are_as_the_crate_writes_them() {
        for (ip, prefix_len) in [("192.0.2.1", 24), ("2001:db8::1", 128)] {
            let it = address(ip.parse().unwrap(), prefix_len);
            let expected = inner(RouteNetlinkMessage::DelAddress(message(&it, 7)));
            let expected = encoded(expected, libc::NLM_F_REQUEST, 3);
            assert_eq!(written(|writer| writer.delete(3, IfIndex(7), &it)), expected);
        }
    }

    #[test]
    fn dumps_and_barriers_are_as_the_crate_writes_them() {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let mut links = LinkMessage::default();
        links.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let links = encoded(inner(RouteNetlinkMessage::GetLink(links)), flags, 5);
        assert_eq!(written(|writer| writer.dump_links(5)), links);
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let addresses = encoded(inner(addresses), flags, 5);
        assert_eq!(written(|writer| writer.dump_addresses(5)), addresses);
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        assert_eq!(written(|writer| writer.nothing(5)), encoded(NetlinkPayload::Noop, flags, 5));
    }

    #[test]
    fn only_the_last_of_a_batch_asks_for_an_answer() {
        let it = address([192, 0, 2, 1].into(), 24);
        let bytes = written(|writer| {
            writer.add(1, IfIndex(7), &it);
            writer.delete(2, IfIndex(7), &it);
            writer.ask_for_ack();
        });
        let mut first = message(&it, 7);
        first.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(OURS)));
        let first = encoded(inner(RouteNetlinkMessage::NewAddress(first)), ADD, 1);
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        let last = encoded(inner(RouteNetlinkMessage::DelAddress(message(&it, 7))), flags, 2);
        assert_eq!(bytes, [first, last].concat());
    }

    #[test]
    fn a_small_buffer_says_so_and_is_not_overrun() {
        let it = address([192, 0, 2, 1].into(), 24);
        let mut buffer = [0; LONGEST + 50];
        let mut writer = Writer::new(&mut buffer);
        assert!(writer.has_room());
        writer.add(1, IfIndex(7), &it);
        assert!(writer.has_room());
        writer.add(2, IfIndex(7), &it);
        assert!(!writer.has_room());
    }
}
