//! Sockets, each made ready for its work in one call: non-blocking, closed on exec, in the network
//! namespace that the thread is in at that moment (`socket(2)`, `socket(7)`).

mod ip;
mod netlink;
mod packet;
mod unix;

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

pub use self::ip::{Memberships, raw_ipv4_receiver, raw_ipv4_sender};
pub use self::netlink::{RouteGroup, netlink_command, netlink_monitor};
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
fn set_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
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
