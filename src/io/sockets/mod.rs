//! Sockets, each made ready for its work in one call: non-blocking, closed on exec, in the network
//! namespace that the thread is in at that moment (`socket(2)`, `socket(7)`).

mod ip;
mod netlink;
mod packet;
mod unix;

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

pub use self::ip::{
    Memberships, raw_ipv4_receiver, raw_ipv4_sender, raw_ipv6_receiver, raw_ipv6_sender,
};
pub use self::netlink::{
    RouteGroup, netlink_command, netlink_monitor, netlink_netfilter, netlink_once,
};
pub use self::packet::packet_sender;
pub use self::unix::{ControlSocket, SyslogSocket};

/// Priority of what the daemon sends, `TC_PRIO_INTERACTIVE`: the highest that is anybody's
/// (`SO_PRIORITY` in `socket(7)`); the default queueing discipline serves it first.
const PRIORITY_CONTROL: libc::c_int = 6;

/// A socket that doesn't block and is closed on exec (`socket(2)`).
fn open(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: three numbers; what comes back is a new descriptor that nobody else owns.
    let fd = unsafe { libc::socket(domain, kind, protocol) };
    match fd {
        // SAFETY: as said.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets an option to `value`, a plain structure or number as the option wants it
/// (`setsockopt(2)`).
fn set<T: Copy>(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: T,
) -> io::Result<()> {
    let socket = socket.as_fd().as_raw_fd();
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` lives through the call and is as long as said.
    match unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for `bytes` of receive buffer: beyond `net.core.rmem_max` with the privilege for it
/// (`SO_RCVBUFFORCE`, `CAP_NET_ADMIN`), else what that allows (`SO_RCVBUF`; `socket(7)`).
pub(super) fn set_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    set_buffer(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, bytes)
}

/// The same for the send buffer (`SO_SNDBUFFORCE`, `SO_SNDBUF`).
fn set_send_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    set_buffer(socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, bytes)
}

fn set_buffer(
    socket: impl AsFd,
    force: libc::c_int,
    ask: libc::c_int,
    bytes: usize,
) -> io::Result<()> {
    // The kernel doubles the value, so half of `int` is as much as can be asked for.
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX).min(libc::c_int::MAX / 2);
    match set(&socket, libc::SOL_SOCKET, force, bytes) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            set(&socket, libc::SOL_SOCKET, ask, bytes)
        }
        result => result,
    }
}

/// How many datagrams have been dropped because `socket`'s receive buffer was full, modulo 2^32
/// (`SO_MEMINFO`, Linux 4.12).
///
/// # Errors
/// Those of `getsockopt(2)`.
pub fn receive_drops(socket: impl AsFd) -> io::Result<u32> {
    // `SK_MEMINFO_DROPS` of `<linux/sock_diag.h>`, the last of nine.
    let mut info = [0u32; 9];
    let mut len = mem::size_of_val(&info) as libc::socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: `info` lives through the call and is as long as said.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    match result {
        0 => Ok(info[8]),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Binds `socket` to `address`, of which the first `len` bytes count (`bind(2)`).
fn bind<A: Copy>(socket: &OwnedFd, address: &A, len: usize) -> io::Result<()> {
    debug_assert!(len <= mem::size_of_val(address));
    let len = len as libc::socklen_t;
    // SAFETY: the address lives through the call and is at least as long as said.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const *address).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn dropped_datagrams_are_counted() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        set_receive_buffer(&ours, 4_000).unwrap();
        assert_eq!(receive_drops(&ours).unwrap(), 0);
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            theirs.send_to(&[0; 100], ours.local_addr().unwrap()).unwrap();
        }
        ours.set_nonblocking(true).unwrap();
        let kept = (0..200).filter(|_| ours.recv(&mut [0; 100]).is_ok()).count();
        assert_eq!(kept as u32 + receive_drops(&ours).unwrap(), 100);
        assert!(kept < 100);
    }

    #[test]
    fn a_buffer_may_be_asked_to_be_as_large_as_one_likes() {
        let socket = open(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap();
        for bytes in [0, 1 << 20, usize::MAX] {
            set_receive_buffer(&socket, bytes).unwrap();
            set_send_buffer(&socket, bytes).unwrap();
        }
    }
}
