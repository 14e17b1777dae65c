//! [`Io`] by epoll (`epoll(7)`, through `mio`): the same completions with a system call for each
//! datagram, for kernels and containers that have no io_uring.

use std::collections::VecDeque;
use std::io;
use std::mem::{self, size_of};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};

use super::message::{self, CONTROL_LEN, NAME_LEN};
use super::{
    Completion, Event, FAILURES_KEPT, Io, IoCounters, Ipv6Envelope, NETLINK_LEN, PACKET_LEN, Pool,
    Token, clock, is_final, sockaddr_in, sockaddr_in6, sockaddr_ll,
};
use crate::base::{IfIndex, Instant, Span};

/// Datagrams that one receiver may bring in a turn before the others, and the rest of the loop,
/// have theirs.
const BUDGET: u16 = 256;
/// Descriptors that one `epoll_wait` tells of; those beyond it come with the next.
const EVENTS: usize = 256;
/// The timer's place among mio's tokens; sources count from 0.
const TIMER: mio::Token = mio::Token(usize::MAX);

/// One thread's epoll.
pub struct Epoll {
    poll: Poll,
    events: Events,
    timer: Timer,
    sources: Vec<Source>,
    /// Places in `sources` that may have something to read, in turn.
    ready: VecDeque<usize>,
    buffer: Box<Buffer>,
    failures: VecDeque<(Token, i32)>,
    counters: IoCounters,
}

/// Something that is received from or watched; its place in the table stays.
struct Source {
    token: Token,
    fd: RawFd,
    job: Job,
    state: State,
    /// Datagrams that it may still bring in this turn.
    budget: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Receive(Pool),
    Watch,
}

/// epoll is asked for edges, so what has become ready stays so until a read says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Free for another.
    Free,
    /// Nothing to read.
    Idle,
    /// In `ready`.
    Ready,
    /// Its descriptor is of no more use.
    Dead,
}

/// What `recvmsg` writes to.
struct Buffer {
    name: [u8; NAME_LEN],
    control: Control,
    bytes: [u8; NETLINK_LEN],
}

/// Aligned as control messages want it (`cmsg(3)`).
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// What one `recvmsg` brought.
struct Datagram {
    len: usize,
    ifindex: Option<IfIndex>,
    received_at: Option<u64>,
    envelope: Option<Ipv6Envelope>,
    truncated: bool,
}

/// A timer that is precise where `epoll_wait` counts in milliseconds (`timerfd_create(2)`).
struct Timer {
    fd: OwnedFd,
    armed: Instant,
}

impl Epoll {
    /// Opens an epoll and its timer.
    ///
    /// # Errors
    /// When there are no descriptors or no memory left.
    pub fn open() -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        poll.registry().register(
            &mut SourceFd(&timer.fd.as_raw_fd()),
            TIMER,
            Interest::READABLE,
        )?;
        Ok(Epoll {
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
            sources: Vec::with_capacity(64),
            ready: VecDeque::with_capacity(64),
            buffer: Buffer::new(),
            failures: VecDeque::with_capacity(FAILURES_KEPT),
            counters: IoCounters::default(),
        })
    }

    fn add(&mut self, token: Token, fd: RawFd, job: Job, interest: Interest) -> io::Result<()> {
        let in_use = |source: &Source| source.state != State::Free && source.token == token;
        if self.sources.iter().any(in_use) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let free = self.sources.iter().position(|source| source.state == State::Free);
        let index = free.unwrap_or(self.sources.len());
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd), mio::Token(index), interest)?;
        let source = Source { token, fd, job, state: State::Idle, budget: BUDGET };
        match self.sources.get_mut(index) {
            Some(place) => *place = source,
            None => {
                self.sources.push(source);
                // So that getting ready never allocates.
                self.ready.reserve(self.sources.len());
            }
        }
        Ok(())
    }

    fn send_now<A: Copy>(&mut self, token: Token, fd: RawFd, bytes: &[u8], to: A) {
        self.counters.sent += 1;
        if let Err(errno) = self.try_send(fd, bytes, to) {
            self.counters.send_failures += 1;
            if self.failures.len() < FAILURES_KEPT {
                self.failures.push_back((token, errno));
            }
        }
    }

    fn try_send<A: Copy>(&mut self, fd: RawFd, bytes: &[u8], to: A) -> Result<(), i32> {
        if bytes.len() > NETLINK_LEN {
            return Err(libc::EMSGSIZE);
        }
        let (address, address_len) = match size_of::<A>() {
            0 => (ptr::null(), 0),
            len => ((&raw const to).cast(), len as libc::socklen_t),
        };
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            self.counters.extra_enters += 1;
            // SAFETY: bytes and address live through the call and are as long as said.
            let sent = unsafe {
                libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), flags, address, address_len)
            };
            match errno_of(sent) {
                Ok(_) => return Ok(()),
                Err(libc::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Marks what the last wait told of.
    fn note_ready(&mut self) {
        for event in &self.events {
            let index = event.token().0;
            // The timer has no place here: that the wait has ended is all it has to say.
            let Some(source) = self.sources.get_mut(index) else { continue };
            if source.state == State::Idle {
                source.state = State::Ready;
                self.ready.push_back(index);
            }
        }
    }

    /// The next thing that happened at a ready source; a datagram's bytes are in the buffer.
    fn next_read(&mut self) -> Option<(Token, Result<Option<Datagram>, i32>)> {
        // Each step takes a source out of the row or uses up some of its budget.
        while let Some(index) = self.with_budget() {
            let source = &mut self.sources[index];
            let token = source.token;
            let Job::Receive(pool) = source.job else {
                source.state = State::Idle;
                self.leave_row(index);
                return Some((token, Ok(None)));
            };
            self.counters.extra_enters += 1;
            match self.buffer.receive(source.fd, pool) {
                Ok(Some(datagram)) => {
                    source.budget -= 1;
                    self.counters.received += 1;
                    return Some((token, Ok(Some(datagram))));
                }
                Ok(None) => {
                    source.budget -= 1;
                    self.counters.refused += 1;
                }
                Err(libc::EINTR) => source.budget -= 1,
                Err(libc::EAGAIN) => {
                    source.state = State::Idle;
                    self.leave_row(index);
                }
                Err(errno) => {
                    source.budget -= 1;
                    if is_final(errno) {
                        source.state = State::Dead;
                        self.leave_row(index);
                    }
                    return Some((token, Err(errno)));
                }
            }
        }
        None
    }

    /// The first ready source that may still bring something in this turn.
    fn with_budget(&self) -> Option<usize> {
        self.ready.iter().copied().find(|&index| self.sources[index].budget > 0)
    }

    fn leave_row(&mut self, index: usize) {
        self.ready.retain(|&ready| ready != index);
    }
}

impl Io for Epoll {
    fn receive(&mut self, token: Token, fd: BorrowedFd<'_>, pool: Pool) -> io::Result<()> {
        self.add(token, fd.as_raw_fd(), Job::Receive(pool), Interest::READABLE)
    }

    fn watch(&mut self, token: Token, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.add(token, fd.as_raw_fd(), Job::Watch, Interest::READABLE)
    }

    fn watch_stream(&mut self, token: Token, fd: BorrowedFd<'_>) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.add(token, fd.as_raw_fd(), Job::Watch, both)
    }

    fn forget(&mut self, token: Token) {
        let is_it = |source: &Source| source.state != State::Free && source.token == token;
        let Some(index) = self.sources.iter().position(is_it) else { return };
        let fd = self.sources[index].fd;
        self.sources[index].state = State::Free;
        self.leave_row(index);
        // One that was closed too early has gone from the epoll by itself.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
    }

    fn send_frame(&mut self, token: Token, fd: RawFd, ifindex: IfIndex, frame: &[u8]) {
        self.send_now(token, fd, frame, sockaddr_ll(ifindex, frame));
    }

    fn send_ipv4(&mut self, token: Token, fd: RawFd, to: Ipv4Addr, packet: &[u8]) {
        self.send_now(token, fd, packet, sockaddr_in(to));
    }

    fn send_ipv6(&mut self, token: Token, fd: RawFd, to: Ipv6Addr, link: IfIndex, packet: &[u8]) {
        self.send_now(token, fd, packet, sockaddr_in6(to, link));
    }

    fn send(&mut self, token: Token, fd: RawFd, bytes: &[u8]) {
        self.send_now(token, fd, bytes, ());
    }

    fn turn_gathering(&mut self, deadline: Instant, _gather: Span) -> io::Result<()> {
        self.counters.turns += 1;
        for source in &mut self.sources {
            source.budget = BUDGET;
        }
        let nothing_yet = self.ready.is_empty() && self.failures.is_empty();
        let wait = nothing_yet && self.timer.arm(deadline)?;
        let timeout = if wait { None } else { Some(Duration::ZERO) };
        let mut polled = self.poll.poll(&mut self.events, timeout);
        if matches!(&polled, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
            // A stopped process that goes on (`signal(7)`) is told this and nothing else, though
            // there may be much to read by then: whoever judges deadlines next has to know.
            polled = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        }
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => self.note_ready(),
        }
        Ok(())
    }

    fn has_unsent(&self) -> bool {
        false
    }

    fn has_more(&mut self) -> bool {
        let nothing_known = self.ready.is_empty() && self.failures.is_empty();
        if nothing_known && self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_ok() {
            self.note_ready();
        }
        !self.ready.is_empty() || !self.failures.is_empty()
    }

    fn completion(&mut self) -> Option<Completion<'_>> {
        let (token, event) = match self.failures.pop_front() {
            Some((token, errno)) => (token, Event::SendFailed(io::Error::from_raw_os_error(errno))),
            None => match self.next_read()? {
                (token, Ok(None)) => (token, Event::Ready),
                (token, Ok(Some(Datagram { len, ifindex, envelope, received_at, truncated }))) => {
                    let bytes = self.buffer.bytes.get(..len).unwrap_or_default();
                    (token, Event::Datagram { bytes, ifindex, envelope, received_at, truncated })
                }
                (token, Err(errno)) => {
                    (token, Event::ReceiveFailed(io::Error::from_raw_os_error(errno)))
                }
            },
        };
        Some(Completion { token, event })
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }
}

impl Buffer {
    fn new() -> Box<Self> {
        let buffer = Buffer {
            name: [0; NAME_LEN],
            control: Control([0; CONTROL_LEN]),
            bytes: [0; NETLINK_LEN],
        };
        Box::new(buffer)
    }

    /// Receives one datagram (`recvmsg(2)`); `None` for one that nobody is to see.
    fn receive(&mut self, fd: RawFd, pool: Pool) -> Result<Option<Datagram>, i32> {
        let room = match pool {
            Pool::Packets => PACKET_LEN,
            Pool::Netlink => NETLINK_LEN,
        };
        let mut bytes = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: room };
        // SAFETY: a `msghdr` of zeros is valid: null pointers and no lengths.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = NAME_LEN as libc::socklen_t;
        header.msg_iov = &raw mut bytes;
        header.msg_iovlen = 1;
        header.msg_control = self.control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_LEN as _;
        // SAFETY: name, control, bytes and the vector live through the call, as long as said.
        let received = unsafe { libc::recvmsg(fd, &mut header, libc::MSG_DONTWAIT) };
        let len = errno_of(received)?;
        let name = self.name.get(..header.msg_namelen as usize).unwrap_or(&self.name);
        if message::is_netlink_peer(name) {
            return Ok(None);
        }
        let control = self.control.0.get(..header.msg_controllen as usize).unwrap_or_default();
        let (ifindex, envelope) = message::arrival(name, control);
        Ok(Some(Datagram {
            len,
            ifindex,
            envelope,
            received_at: message::received_at(control),
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        }))
    }
}

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: two numbers; what comes back is a new descriptor that nobody else owns.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        match fd {
            // SAFETY: as said.
            0.. => Ok(Timer { fd: unsafe { OwnedFd::from_raw_fd(fd) }, armed: Instant::NEVER }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sets the timer to `deadline`, with a system call only if that is another than before.
    /// Whether there is anything to wait for: false if the deadline has passed.
    ///
    /// The timer is never read. Each expiry of it is an edge, which is all that is wanted.
    fn arm(&mut self, deadline: Instant) -> io::Result<bool> {
        if deadline != Instant::NEVER && deadline <= clock::now() {
            return Ok(false);
        }
        if deadline == self.armed {
            return Ok(true);
        }
        // An expiry of zero disarms it.
        let nanos = if deadline == Instant::NEVER { 0 } else { deadline.as_nanos() };
        let value = libc::timespec {
            tv_sec: (nanos / 1_000_000_000) as libc::time_t,
            tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
        };
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::itimerspec { it_interval: once, it_value: value };
        let fd = self.fd.as_raw_fd();
        // SAFETY: the time lives through the call; the old one is not asked for.
        let result =
            unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &value, ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        self.armed = deadline;
        Ok(true)
    }
}

/// A length, or why there is none.
fn errno_of(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}
