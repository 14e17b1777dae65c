//! Netlink sockets (`netlink(7)`, `rtnetlink(7)`): one is told of changes, one commands, one speaks
//! to netfilter.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

use super::set_receive_buffer;

/// A group of route notifications (`enum rtnetlink_groups` of `<linux/rtnetlink.h>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum RouteGroup {
    /// Interfaces: made, changed, deleted.
    Link = 1,
    /// IPv4 addresses of interfaces.
    Ipv4Address = 5,
    /// IPv4 routes.
    Ipv4Route = 7,
    /// IPv6 addresses of interfaces.
    Ipv6Address = 9,
    /// IPv6 routes.
    Ipv6Route = 11,
}

/// A route socket that is told of every change in `groups`, in the network namespace that the
/// thread is in. It can also ask for dumps.
///
/// `receive_buffer`, in bytes as the kernel counts them, bounds how many changes can wait; beyond
/// it the kernel drops them and receiving fails once with `ENOBUFS` (`netlink(7)`).
///
/// # Errors
/// Those of `socket(2)`, `bind(2)` and `setsockopt(2)`.
pub fn netlink_monitor(groups: &[RouteGroup], receive_buffer: usize) -> io::Result<OwnedFd> {
    let socket = open()?;
    for &group in groups {
        socket.add_membership(group as u32)?;
    }
    finish(socket, receive_buffer)
}

/// A route socket for requests and their acknowledgements, which carry the kernel's reason in
/// words (`NETLINK_EXT_ACK`) and not the whole request back (`NETLINK_CAP_ACK`). Dumps are
/// filtered as asked (`NETLINK_GET_STRICT_CHK`).
///
/// # Errors
/// Those of `socket(2)`, `bind(2)` and `setsockopt(2)`.
pub fn netlink_command(receive_buffer: usize) -> io::Result<OwnedFd> {
    finish(open()?, receive_buffer)
}

/// Sends one route request that asks for an answer, and waits for that: for a thread that has
/// nothing else to do.
///
/// # Errors
/// Those of `socket(2)` and `send(2)`; the kernel's refusal (`EPROTO` for an answer that is none).
pub fn netlink_once(request: &[u8]) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let _ = socket.set_cap_ack(true);
    socket.send(request, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    // `struct nlmsghdr`, then the error as a negative number.
    let Some(error) = answer.get(16..).and_then(<[u8]>::first_chunk) else {
        return Err(io::Error::from_raw_os_error(libc::EPROTO));
    };
    match i32::from_ne_bytes(*error) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.saturating_abs())),
    }
}

/// A socket for requests to netfilter. What it owns there goes when it is closed.
///
/// # Errors
/// `EPROTONOSUPPORT` from a kernel without netfilter; those of `bind(2)` and `setsockopt(2)`.
pub fn netlink_netfilter(receive_buffer: usize) -> io::Result<OwnedFd> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.set_non_blocking(true)?;
    socket.bind_auto()?;
    let _ = socket.set_cap_ack(true);
    finish(socket, receive_buffer)
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    socket.bind_auto()?;
    // Kernels before 4.12, 4.3 and 4.20 lack these; then answers are only less helpful.
    let _ = socket.set_ext_ack(true);
    let _ = socket.set_cap_ack(true);
    let _ = socket.set_netlink_get_strict_chk(true);
    Ok(socket)
}

fn finish(socket: Socket, receive_buffer: usize) -> io::Result<OwnedFd> {
    // SAFETY: the socket gives its descriptor away, so it has one owner again.
    let socket = unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) };
    set_receive_buffer(&socket, receive_buffer)?;
    Ok(socket)
}
