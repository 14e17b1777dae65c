//! What a received datagram carries beside its bytes: control messages and the sender's address
//! (`cmsg(3)`, `ip(7)`, `netlink(7)`). Read as plain bytes, bounds checked: no pointer walks.

use std::mem::size_of;

use super::Ipv6Envelope;
use crate::base::IfIndex;

/// Room for control messages beside each datagram, in bytes: `IP_PKTINFO` takes 32,
/// `IPV6_PKTINFO` 40, `SO_TIMESTAMPNS` 32; the rest is for options that a socket has switched on besides.
pub(super) const CONTROL_LEN: usize = 128;

/// Room for a sender's address, in bytes: that of `sockaddr_in6` and more.
pub(super) const NAME_LEN: usize = 32;

/// Where the address stands in `struct sockaddr_in6`.
const IPV6_ADDRESS_AT: usize = 8;

/// The interface that a datagram came in by, if one of its control messages says so (`IP_PKTINFO` in
/// `ip(7)`, `IPV6_PKTINFO` in RFC 3542), and of an IPv6 one what its header said, if `name`, its
/// sender's address, and the control messages tell all of it.
pub(super) fn arrival(name: &[u8], control: &[u8]) -> (Option<IfIndex>, Option<Ipv6Envelope>) {
    let (mut ifindex, mut destination, mut hop_limit) = (None, None, None);
    for message in (ControlMessages { rest: control }) {
        match (message.level, message.kind) {
            // `struct in_pktinfo` begins with the index.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => ifindex = number(message.data),
            // `struct in6_pktinfo` is the destination, then the index.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                destination = message.data.first_chunk::<16>().copied();
                ifindex = message.data.get(16..).and_then(number);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                hop_limit = number(message.data).and_then(|limit| u8::try_from(limit).ok());
            }
            _ => {}
        }
    }
    let source = (family(name) == Some(libc::AF_INET6))
        .then(|| name.get(IPV6_ADDRESS_AT..)?.first_chunk::<16>().copied());
    let envelope = match (source.flatten(), destination, hop_limit) {
        (Some(source), Some(destination), Some(hop_limit)) => {
            Some(Ipv6Envelope { source: source.into(), destination: destination.into(), hop_limit })
        }
        _ => None,
    };
    (ifindex.filter(|&index| index != 0).map(IfIndex), envelope)
}

/// The number that `data` begins with, in the host's byte order.
fn number(data: &[u8]) -> Option<u32> {
    data.first_chunk().copied().map(u32::from_ne_bytes)
}

/// The address family of `name`.
fn family(name: &[u8]) -> Option<libc::c_int> {
    name.first_chunk().map(|bytes| i32::from(u16::from_ne_bytes(*bytes)))
}

/// When the kernel received the datagram, in nanoseconds of the wall clock, if one of its control
/// messages says so (`SO_TIMESTAMPNS`, `socket(7)`: a `struct timespec`).
pub(super) fn received_at(control: &[u8]) -> Option<u64> {
    let stamp = ControlMessages { rest: control }.find(|message| {
        (message.level, message.kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)
    })?;
    // Both fields are a `long` each.
    let (seconds, rest) = stamp.data.split_first_chunk()?;
    let seconds = u64::try_from(libc::c_long::from_ne_bytes(*seconds)).ok()?;
    let nanos = u64::try_from(libc::c_long::from_ne_bytes(*rest.first_chunk()?)).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Whether `name`, a sender's address, is that of a netlink socket other than the kernel's. Those
/// have a port number; the kernel's is 0 (`netlink(7)`). Nothing they say is believed.
pub(super) fn is_netlink_peer(name: &[u8]) -> bool {
    let port = name.get(4..).and_then(number);
    family(name) == Some(libc::AF_NETLINK) && port != Some(0)
}

struct ControlMessage<'a> {
    level: libc::c_int,
    kind: libc::c_int,
    data: &'a [u8],
}

struct ControlMessages<'a> {
    rest: &'a [u8],
}

/// `struct cmsghdr` is its length (with the header) as `size_t`, level and type as `int`; each
/// message begins at a multiple of the length's size.
impl<'a> Iterator for ControlMessages<'a> {
    type Item = ControlMessage<'a>;

    fn next(&mut self) -> Option<ControlMessage<'a>> {
        const WORD: usize = size_of::<usize>();
        const INT: usize = size_of::<libc::c_int>();
        const HEADER: usize = (WORD + 2 * INT).next_multiple_of(WORD);

        let len = usize::from_ne_bytes(*self.rest.first_chunk()?);
        let level = libc::c_int::from_ne_bytes(*self.rest.get(WORD..)?.first_chunk()?);
        let kind = libc::c_int::from_ne_bytes(*self.rest.get(WORD + INT..)?.first_chunk()?);
        let data = self.rest.get(HEADER..len)?;
        let next = len.checked_next_multiple_of(WORD)?;
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(ControlMessage { level, kind, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(level: libc::c_int, kind: libc::c_int, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((16 + data.len()).to_ne_bytes());
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(size_of::<usize>()), 0);
        bytes
    }

    #[test]
    fn header_length_is_the_kernels() {
        assert_eq!(size_of::<libc::cmsghdr>(), message(0, 0, &[]).len());
    }

    #[test]
    fn interface_is_found_behind_other_messages() {
        let mut control = message(libc::IPPROTO_IP, libc::IP_TTL, &255i32.to_ne_bytes());
        let mut info = [0; 12];
        info[..4].copy_from_slice(&7u32.to_ne_bytes());
        control.extend(message(libc::IPPROTO_IP, libc::IP_PKTINFO, &info));
        assert_eq!(arrival(&[], &control), (Some(IfIndex(7)), None));
    }

    #[test]
    fn what_an_ipv6_header_said_is_put_together() {
        let mut name = [0; 28];
        name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        name[8..24].copy_from_slice(&[3; 16]);
        let mut info = [4; 20];
        info[16..].copy_from_slice(&9u32.to_ne_bytes());
        let info = message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        let hops = message(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &255i32.to_ne_bytes());
        let envelope =
            Ipv6Envelope { source: [3; 16].into(), destination: [4; 16].into(), hop_limit: 255 };
        let both = [info.clone(), hops.clone()].concat();
        assert_eq!(arrival(&name, &both), (Some(IfIndex(9)), Some(envelope)));
        assert_eq!(arrival(&name, &info), (Some(IfIndex(9)), None), "no hop limit");
        assert_eq!(arrival(&name, &hops), (None, None), "no destination");
        assert_eq!(arrival(&name[..20], &both), (Some(IfIndex(9)), None), "no whole source");
        name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        assert_eq!(arrival(&name, &both), (Some(IfIndex(9)), None), "a source of IPv4");
    }

    #[test]
    fn no_interface_in_what_is_cut_short() {
        let control = message(libc::IPPROTO_IP, libc::IP_PKTINFO, &[1, 0, 0]);
        for control in [&control[..], &control[..10], &[]] {
            assert_eq!(arrival(&[], control), (None, None));
        }
    }

    #[test]
    fn the_kernels_stamp_is_read() {
        let mut stamp = 3i64.to_ne_bytes().to_vec();
        stamp.extend(7i64.to_ne_bytes());
        let mut control = message(libc::IPPROTO_IP, libc::IP_TTL, &255i32.to_ne_bytes());
        assert_eq!(received_at(&control), None);
        control.extend(message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &stamp));
        assert_eq!(received_at(&control), Some(3_000_000_007));
        let negative = [(-1i64).to_ne_bytes(), 0i64.to_ne_bytes()].concat();
        assert_eq!(received_at(&message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &negative)), None);
        assert_eq!(received_at(&message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &[1; 9])), None);
    }

    #[test]
    fn only_the_kernel_is_believed_on_netlink() {
        let address = |family: libc::c_int, port: u32| {
            let mut name = [0; 12];
            name[..2].copy_from_slice(&(family as u16).to_ne_bytes());
            name[4..8].copy_from_slice(&port.to_ne_bytes());
            name
        };
        assert!(!is_netlink_peer(&address(libc::AF_NETLINK, 0)));
        assert!(is_netlink_peer(&address(libc::AF_NETLINK, 4711)));
        assert!(!is_netlink_peer(&address(libc::AF_INET, 4711)));
        assert!(!is_netlink_peer(&[]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = received_at(&bytes);
            let _ = arrival(&bytes, &bytes);
            let _ = is_netlink_peer(&bytes);
        }

        /// Lengths that lie are the only thing that could lead the walk astray.
        #[test]
        fn any_length_is_survived(len in any::<usize>(), rest in any::<[u8; 40]>()) {
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.extend(rest);
            let walked = ControlMessages { rest: &bytes }.count();
            prop_assert!(walked <= 3);
        }
    }
}
