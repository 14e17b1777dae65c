//! IPv4 and IPv6 sockets: raw ones for packets, plain ones for group memberships (`ip(7)`, `raw(7)`,
//! `ipv6(7)`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use super::{PRIORITY_CONTROL, open, set, set_receive_buffer, set_send_buffer};
use crate::base::IfIndex;

/// A raw socket that receives every IPv4 packet of `protocol` in this network namespace, IP header
/// first, and says by which interface it came (`IP_PKTINFO`) and when (`SO_TIMESTAMPNS`, on the
/// wall clock); `raw(7)`, `ip(7)`, `socket(7)`.
///
/// It joins no group itself: `IP_MULTICAST_ALL` stays on, so it hears what any [`Memberships`] of
/// the namespace have joined, and the kernel's list of raw sockets stays short. `receive_buffer`
/// is in bytes as the kernel counts them, with its overhead for each packet.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`.
pub fn raw_ipv4_receiver(protocol: u8, receive_buffer: usize) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET, libc::SOCK_RAW, protocol.into())?;
    set(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_receive_buffer(&socket, receive_buffer)?;
    Ok(socket)
}

/// A raw socket that sends finished IPv4 packets, header included (`IPPROTO_RAW` in `raw(7)`), and
/// receives nothing. Multicasts leave by `link` if one is given, and are not heard by this host.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`; `ENODEV` if the interface doesn't exist.
pub fn raw_ipv4_sender(link: Option<IfIndex>, send_buffer: usize) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, 0)?;
    if let Some(link) = link {
        let interface = request(link, Ipv4Addr::UNSPECIFIED)?;
        set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, interface)?;
    }
    set(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
    set_send_buffer(&socket, send_buffer)?;
    Ok(socket)
}

/// A raw socket that receives every IPv6 packet of `protocol` in this network namespace: what follows
/// its headers, and beside it what those said, and by which interface it came
/// ([`Ipv6Envelope`](crate::io::Ipv6Envelope); RFC 3542). For the rest as [`raw_ipv4_receiver`].
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`; `EAFNOSUPPORT` if the kernel has no IPv6.
pub fn raw_ipv6_receiver(protocol: u8, receive_buffer: usize) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET6, libc::SOCK_RAW, protocol.into())?;
    set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_receive_buffer(&socket, receive_buffer)?;
    Ok(socket)
}

/// A raw socket that sends finished IPv6 packets, header included, and receives nothing
/// (`IPPROTO_RAW`, as in `raw(7)`).
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`; `EAFNOSUPPORT` if the kernel has no IPv6.
pub fn raw_ipv6_sender(send_buffer: usize) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
    set_send_buffer(&socket, send_buffer)?;
    Ok(socket)
}

/// Multicast groups joined on interfaces, for raw sockets to hear (`IP_ADD_MEMBERSHIP` in `ip(7)`,
/// `IPV6_ADD_MEMBERSHIP` in `ipv6(7)`).
///
/// They live on plain datagram sockets that are bound to no port and so never receive anything,
/// each full at the sysctl `net.ipv4.igmp_max_memberships` (20 by default), or for IPv6 at
/// `net.core.optmem_max`; then another one is opened. All belong to the namespace that the thread is
/// in when they are joined.
#[derive(Debug, Default)]
pub struct Memberships {
    sockets: Vec<Members>,
}

#[derive(Debug)]
struct Members {
    socket: OwnedFd,
    ipv6: bool,
    joined: Vec<(IfIndex, IpAddr)>,
    full: bool,
}

impl Memberships {
    /// None yet.
    pub const fn new() -> Self {
        Memberships { sockets: Vec::new() }
    }

    /// Joins `group` on `link`; joined already, nothing happens. (An interface that was deleted and
    /// made again with the same index has to be left first.)
    ///
    /// # Errors
    /// `ENODEV` if the interface doesn't exist, `EINVAL` if `group` is no multicast address, and
    /// those of opening a socket.
    pub fn join(&mut self, link: IfIndex, group: IpAddr) -> io::Result<()> {
        if self.sockets.iter().any(|members| members.joined.contains(&(link, group))) {
            return Ok(());
        }
        let ipv6 = group.is_ipv6();
        for members in self.sockets.iter_mut().filter(|members| members.ipv6 == ipv6) {
            if members.full {
                continue;
            }
            match change(&members.socket, Change::Join, link, group) {
                Ok(()) => {
                    members.joined.push((link, group));
                    return Ok(());
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOBUFS | libc::ENOMEM) => members.full = true,
                    _ => return Err(error),
                },
            }
        }
        let domain = if ipv6 { libc::AF_INET6 } else { libc::AF_INET };
        let socket = open(domain, libc::SOCK_DGRAM, 0)?;
        change(&socket, Change::Join, link, group)?;
        self.sockets.push(Members { socket, ipv6, joined: vec![(link, group)], full: false });
        Ok(())
    }

    /// Leaves `group` on `link`. Not joined, or an interface that has vanished meanwhile: it is
    /// forgotten without an error.
    ///
    /// # Errors
    /// Those of `setsockopt(2)` that mean something else; it is forgotten all the same.
    pub fn leave(&mut self, link: IfIndex, group: IpAddr) -> io::Result<()> {
        let position =
            |members: &Members| members.joined.iter().position(|&is| is == (link, group));
        for members in &mut self.sockets {
            let Some(index) = position(members) else { continue };
            members.joined.swap_remove(index);
            members.full = false;
            return match change(&members.socket, Change::Leave, link, group) {
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENODEV | libc::EADDRNOTAVAIL) => Ok(()),
                    _ => Err(error),
                },
                ok => ok,
            };
        }
        Ok(())
    }

    /// How many groups are joined, each interface's for itself.
    pub fn len(&self) -> usize {
        self.sockets.iter().map(|members| members.joined.len()).sum()
    }

    /// Whether no group is joined.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sockets hold them.
    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }
}

#[derive(Clone, Copy)]
enum Change {
    Join,
    Leave,
}

fn change(socket: &OwnedFd, change: Change, link: IfIndex, group: IpAddr) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let option = match change {
                Change::Join => libc::IP_ADD_MEMBERSHIP,
                Change::Leave => libc::IP_DROP_MEMBERSHIP,
            };
            set(socket, libc::IPPROTO_IP, option, request(link, group)?)
        }
        IpAddr::V6(group) => {
            let option = match change {
                Change::Join => libc::IPV6_ADD_MEMBERSHIP,
                Change::Leave => libc::IPV6_DROP_MEMBERSHIP,
            };
            set(socket, libc::IPPROTO_IPV6, option, ipv6_request(link, group)?)
        }
    }
}

fn ipv6_request(link: IfIndex, group: Ipv6Addr) -> io::Result<libc::ipv6_mreq> {
    // Index 0 would let the routing table choose.
    if link.0 == 0 || libc::c_int::try_from(link.0).is_err() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let group = libc::in6_addr { s6_addr: group.octets() };
    Ok(libc::ipv6_mreq { ipv6mr_multiaddr: group, ipv6mr_interface: link.0 })
}

fn request(link: IfIndex, group: Ipv4Addr) -> io::Result<libc::ip_mreqn> {
    let Ok(imr_ifindex) = libc::c_int::try_from(link.0) else {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    };
    let address = |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    Ok(libc::ip_mreqn {
        imr_multiaddr: address(group),
        imr_address: address(Ipv4Addr::UNSPECIFIED),
        imr_ifindex,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> IfIndex {
        // SAFETY: the name is a C string.
        IfIndex(unsafe { libc::if_nametoindex(c"lo".as_ptr()) })
    }

    #[test]
    fn more_groups_than_a_socket_holds_take_another_socket() {
        let mut memberships = Memberships::new();
        let groups: Vec<_> = (1..=50).map(|last| [239, 1, 2, last].into()).collect();
        for &group in &groups {
            memberships.join(loopback(), group).unwrap();
            memberships.join(loopback(), group).unwrap();
        }
        assert_eq!(memberships.len(), 50);
        let sockets = memberships.sockets();
        let limit = std::fs::read_to_string("/proc/sys/net/ipv4/igmp_max_memberships").unwrap();
        assert_eq!(sockets, 50usize.div_ceil(limit.trim().parse().unwrap()));

        // Room that was made is used again.
        for _ in 0..3 {
            for &group in &groups {
                memberships.leave(loopback(), group).unwrap();
            }
            assert!(memberships.is_empty());
            for &group in &groups {
                memberships.join(loopback(), group).unwrap();
            }
        }
        assert_eq!(memberships.sockets(), sockets);
    }

    /// The kernel's own limit is in thousands; how many sockets there are is its business.
    #[test]
    fn groups_of_ipv6_find_room_too() {
        let mut memberships = Memberships::new();
        let groups: Vec<IpAddr> =
            (1..=3000).map(|last| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, last).into()).collect();
        for &group in &groups {
            memberships.join(loopback(), group).unwrap();
        }
        assert_eq!(memberships.len(), groups.len());
        assert!(memberships.sockets() > 1, "the limit of one socket has not been met");
        for &group in &groups {
            memberships.leave(loopback(), group).unwrap();
        }
        assert!(memberships.is_empty());
    }

    #[test]
    fn what_does_not_exist_is_an_error_to_join_and_none_to_leave() {
        let mut memberships = Memberships::new();
        let ipv6 = "ff02::12".parse().unwrap();
        for group in [[224, 0, 0, 18].into(), ipv6] {
            for missing in [IfIndex(0x7fff_fff0), IfIndex(u32::MAX)] {
                let error = memberships.join(missing, group).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
                memberships.leave(missing, group).unwrap();
            }
        }
        for no_group in [[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()] {
            let error = memberships.join(loopback(), no_group).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
        assert!(memberships.is_empty());
    }
}
