//! **Bytes and descriptors**: the one place that talks to the kernel, the only unsafe code, and no
//! VRRP in it.
//!
//! The [`Io`] trait is the ring as everyone above sees it: start receiving, queue sends, take one
//! turn, look at what completed. `uring` does it with one io_uring; `epoll` imitates the same
//! completions for kernels that have none. Nothing above this room can tell which one runs.
//! [`open`] chooses.
//!
//! Beside it stand what the descriptors come from ([`sockets`], [`signals`], [`spawn`]), the [`clock`],
//! and what a [`process`] does to itself, and the host's other [`processes`].

pub mod clock;
mod drain;
mod epoll;
pub mod fifo;
mod memory;
mod message;
pub mod process;
pub mod processes;
pub mod signals;
pub mod sockets;
pub mod spawn;
mod uring;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, RawFd};

pub use self::epoll::Epoll;
pub use self::uring::Uring;
use crate::base::{IfIndex, Instant, Span};

/// The longest datagram that a buffer of [`Pool::Packets`] takes whole, in bytes.
pub const PACKET_LEN: usize = 2 * 1024;
/// The longest datagram that a buffer of [`Pool::Netlink`] takes whole, in bytes; also the longest
/// message that can be sent.
pub const NETLINK_LEN: usize = 32 * 1024;

/// Which of the two carries the daemon's input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The ring, or epoll where the kernel has none for us.
    #[default]
    Auto,
    /// The ring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

/// An open backend.
pub struct Opened {
    /// The backend itself; to be used by the thread that opened it, and no other.
    pub io: Box<dyn Io>,
    /// Which one it is: [`Backend::Uring`] or [`Backend::Epoll`].
    pub backend: Backend,
    /// Why it is epoll though the ring was wanted first, in one line for the log.
    pub fallback: Option<String>,
}

/// Opens the backend that is asked for.
///
/// # Errors
/// When it can't be opened (for [`Backend::Auto`]: not even epoll), with the probable cause.
pub fn open(backend: Backend) -> io::Result<Opened> {
    let fallback = match backend {
        Backend::Epoll => None,
        Backend::Uring | Backend::Auto => match Uring::open() {
            Ok(ring) => {
                return Ok(Opened { io: Box::new(ring), backend: Backend::Uring, fallback: None });
            }
            Err(error) if backend == Backend::Uring => return Err(error),
            Err(error) => Some(error.to_string()),
        },
    };
    Ok(Opened { io: Box::new(Epoll::open()?), backend: Backend::Epoll, fallback })
}

/// What a completion belongs to. Chosen by whoever starts an operation, returned with everything
/// that comes of it; the number means nothing to this room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u32);

/// Which buffers a receiver's datagrams are put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// Many buffers of 2 KiB ([`PACKET_LEN`]): VRRP packets.
    Packets,
    /// Few buffers of 32 KiB ([`NETLINK_LEN`]): netlink, whose dumps come in pages of at most that
    /// size (`netlink(7)`). What another process sent to a netlink socket is dropped unseen.
    Netlink,
}

/// Something that happened. The bytes are lent: they stay where the kernel put them until the next
/// completion is asked for.
#[derive(Debug)]
pub struct Completion<'a> {
    /// The token of the operation that it belongs to.
    pub token: Token,
    /// What happened.
    pub event: Event<'a>,
}

/// What can happen.
#[derive(Debug)]
pub enum Event<'a> {
    /// A datagram arrived at a receiver.
    Datagram {
        /// Its bytes; for a raw IPv4 socket the IP header comes first (`raw(7)`).
        bytes: &'a [u8],
        /// The interface it came in by, if the socket tells (`IP_PKTINFO`).
        ifindex: Option<IfIndex>,
        /// When the kernel received it, in nanoseconds of the wall clock
        /// ([`clock::wall_nanos`]), if the socket tells (`SO_TIMESTAMPNS`).
        received_at: Option<u64>,
        /// What the IPv6 header said, if the socket tells: raw IPv6 sockets leave it out.
        envelope: Option<Ipv6Envelope>,
        /// Whether it was longer than its buffer and has been cut.
        truncated: bool,
    },
    /// A watched descriptor is ready to be read (or has an error or its end to tell), or, as a
    /// stream, to be written to.
    Ready,
    /// A send failed; successful ones say nothing.
    SendFailed(io::Error),
    /// A receiver met an error, such as `ENOBUFS` from an overrun netlink socket (`netlink(7)`).
    /// It goes on receiving unless its descriptor is of no more use.
    ReceiveFailed(io::Error),
}

/// What a raw IPv6 socket tells of a packet besides its payload (RFC 3542 sections 4, 6.2 and 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Envelope {
    /// Who sent it.
    pub source: Ipv6Addr,
    /// Where it went.
    pub destination: Ipv6Addr,
    /// The hop limit that it came with.
    pub hop_limit: u8,
}

/// What this room counts about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// Turns taken; each is one `io_uring_enter` (or `epoll_wait`).
    pub turns: u64,
    /// System calls beyond one a turn, to submit: the submission queue or the slots were used up,
    /// or a token was forgotten. (The epoll backend: every receive and send.)
    pub extra_enters: u64,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams dropped unseen: from a netlink socket that isn't the kernel's.
    pub refused: u64,
    /// Sends queued.
    pub sent: u64,
    /// Sends that failed.
    pub send_failures: u64,
    /// Times a receiver had to be armed again.
    pub rearmed: u64,
    /// Times a pool had no buffer left (the datagrams wait in their socket meanwhile).
    pub buffers_exhausted: u64,
    /// Turns that left more completions than the ring has room for (the kernel keeps them;
    /// `io_uring(7)`).
    pub completions_overflown: u64,
}

/// One thread's input and output, as completions.
///
/// Descriptors stay the caller's. One that is received from or watched must stay open until
/// [`Io::forget`] has been called for its token, one that is sent to until the next turn or
/// `forget` (of whatever token).
pub trait Io {
    /// Receives datagrams from `fd` into buffers of `pool` until [`Io::forget`]. A receiver that
    /// the kernel ends (no buffer left, an overflow) is armed again without a word, but counted.
    ///
    /// # Errors
    /// When the operation can't be queued at all; `AlreadyExists` if the token is in use.
    fn receive(&mut self, token: Token, fd: BorrowedFd<'_>, pool: Pool) -> io::Result<()>;

    /// Reports [`Event::Ready`] each time `fd` becomes readable, until [`Io::forget`]. Whoever is
    /// told reads until `EAGAIN`.
    ///
    /// # Errors
    /// When the operation can't be queued at all; `AlreadyExists` if the token is in use.
    fn watch(&mut self, token: Token, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// The same for a connection that is written to as well: reports [`Event::Ready`] each time
    /// `fd` becomes readable or writable, beginning with now. Whoever is told reads, and writes
    /// what it has to, until `EAGAIN`.
    ///
    /// # Errors
    /// As for [`Io::watch`].
    fn watch_stream(&mut self, token: Token, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Ends receiving or watching for `token`. Completions of it may not be seen any more.
    fn forget(&mut self, token: Token);

    /// Queues the Ethernet frame `frame` for interface `ifindex` through the packet socket `fd`;
    /// the bytes are copied into a stable slot. Frames leave in the order they were queued, at the
    /// next turn or earlier. A failure is reported with `token`.
    ///
    /// Never blocks; a full device queue is a failure.
    fn send_frame(&mut self, token: Token, fd: RawFd, ifindex: IfIndex, frame: &[u8]);

    /// Queues the IPv4 packet `packet` for `to` through the raw socket `fd`, as
    /// [`Io::send_frame`] does with frames: unicast peers, and links that are not Ethernet.
    fn send_ipv4(&mut self, token: Token, fd: RawFd, to: Ipv4Addr, packet: &[u8]);

    /// The same for an IPv6 packet. A link-local `to` is looked for on `link`; for others the
    /// routing table chooses.
    fn send_ipv6(&mut self, token: Token, fd: RawFd, to: Ipv6Addr, link: IfIndex, packet: &[u8]);

    /// Queues `bytes` (up to [`NETLINK_LEN`]) as one datagram for the connected or netlink socket
    /// `fd`, after everything queued before. A failure is reported with `token`.
    fn send(&mut self, token: Token, fd: RawFd, bytes: &[u8]);

    /// Submits everything queued and waits until something completes or `deadline` has passed
    /// ([`Instant::NEVER`]: without limit; one that has passed: not at all). One system call.
    ///
    /// # Errors
    /// When the ring itself fails; an interrupted wait is no error.
    fn turn(&mut self, deadline: Instant) -> io::Result<()> {
        self.turn_gathering(deadline, Span::ZERO)
    }

    /// The same, but lets what happens within `gather` from now come together before it returns:
    /// a wake-up costs more than ten packets. What happens later ends the wait at once. Backends and
    /// kernels that can't do so (the ring before Linux 6.12) take an ordinary turn.
    ///
    /// # Errors
    /// As [`Io::turn`].
    fn turn_gathering(&mut self, deadline: Instant, gather: Span) -> io::Result<()>;

    /// Whether sends wait for the next turn to hand them to the kernel.
    fn has_unsent(&self) -> bool;

    /// Whether the kernel holds more that has already happened than [`Io::completion`] has shown.
    /// Then a turn without waiting brings it: drain before you judge.
    fn has_more(&mut self) -> bool;

    /// The next thing that happened, or `None` when all has been seen.
    fn completion(&mut self) -> Option<Completion<'_>>;

    /// What has been counted so far.
    fn counters(&self) -> IoCounters;
}

/// Failures of sends that are kept until somebody asks; further ones are only counted.
const FAILURES_KEPT: usize = 1024;

/// Where a frame goes: out of `ifindex`, as what its Ethernet header says (`packet(7)`).
fn sockaddr_ll(ifindex: IfIndex, frame: &[u8]) -> libc::sockaddr_ll {
    let ethertype = match frame.get(12..14) {
        Some(&[high, low]) => u16::from_ne_bytes([high, low]),
        _ => 0,
    };
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype,
        // No interface has an index beyond `int`, so such a one fails as one that doesn't exist.
        sll_ifindex: i32::try_from(ifindex.0).unwrap_or(i32::MAX),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: frame
            .first_chunk()
            .map_or([0; 8], |&[a, b, c, d, e, f]: &[u8; 6]| [a, b, c, d, e, f, 0, 0]),
    }
}

/// Where an IPv4 packet goes (`ip(7)`).
fn sockaddr_in(to: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
        sin_zero: [0; 8],
    }
}

/// Where an IPv6 packet goes (`ipv6(7)`).
fn sockaddr_in6(to: Ipv6Addr, link: IfIndex) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: to.octets() },
        sin6_scope_id: if to.is_unicast_link_local() { link.0 } else { 0 },
    }
}

/// Whether `errno` says that a descriptor will never give a datagram again.
fn is_final(errno: i32) -> bool {
    matches!(
        errno,
        libc::EBADF
            | libc::ENOTSOCK
            | libc::EINVAL
            | libc::EOPNOTSUPP
            | libc::ENOTCONN
            | libc::EFAULT
            | libc::EPERM
    )
}
