//! IPv4 sockets: raw ones for packets, plain ones for group memberships (`ip(7)`, `raw(7)`).

use std::io;
use std::net::Ipv4Addr;
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

/// IPv4 multicast groups joined on interfaces, for raw sockets to hear (`IP_ADD_MEMBERSHIP` in
/// `ip(7)`).
///
/// They live on plain datagram sockets that are bound to no port and so never receive anything,
/// each full at the sysctl `net.ipv4.igmp_max_memberships` (20 by default); then another one is
/// opened. All belong to the namespace that the thread is in when they are joined.
#[derive(Debug, Default)]
pub struct Memberships {
    sockets: Vec<Members>,
}

#[derive(Debug)]
struct Members {
    socket: OwnedFd,
    joined: Vec<(IfIndex, Ipv4Addr)>,
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
    pub fn join(&mut self, link: IfIndex, group: Ipv4Addr) -> io::Result<()> {
        if self.sockets.iter().any(|members| members.joined.contains(&(link, group))) {
            return Ok(());
        }
        let wanted = request(link, group)?;
        for members in self.sockets.iter_mut().filter(|members| !members.full) {
            match set(&members.socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, wanted) {
                Ok(()) => {
                    members.joined.push((link, group));
                    return Ok(());
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => members.full = true,
                Err(error) => return Err(error),
            }
        }
        let socket = open(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        set(&socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, wanted)?;
        self.sockets.push(Members { socket, joined: vec![(link, group)], full: false });
        Ok(())
    }

    /// Leaves `group` on `link`. Not joined, or an interface that has vanished meanwhile: it is
    /// forgotten without an error.
    ///
    /// # Errors
    /// Those of `setsockopt(2)` that mean something else; it is forgotten all the same.
    pub fn leave(&mut self, link: IfIndex, group: Ipv4Addr) -> io::Result<()> {
        let position =
            |members: &Members| members.joined.iter().position(|&is| is == (link, group));
        for members in &mut self.sockets {
            let Some(index) = position(members) else { continue };
            members.joined.swap_remove(index);
            members.full = false;
            let left = request(link, group)?;
            return match set(&members.socket, libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP, left) {
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
        let groups: Vec<_> = (1..=50).map(|last| Ipv4Addr::new(239, 1, 2, last)).collect();
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

    #[test]
    fn what_does_not_exist_is_an_error_to_join_and_none_to_leave() {
        let mut memberships = Memberships::new();
        let group = Ipv4Addr::new(224, 0, 0, 18);
        for missing in [IfIndex(0x7fff_fff0), IfIndex(u32::MAX)] {
            let error = memberships.join(missing, group).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
            memberships.leave(missing, group).unwrap();
        }
        assert_eq!(
            memberships.join(loopback(), Ipv4Addr::new(192, 0, 2, 1)).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        assert!(memberships.is_empty());
    }
}
