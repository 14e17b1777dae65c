//! [`Io`] by one io_uring: multishot receives into shared buffers, sends from stable slots, one
//! `io_uring_enter` a turn.

mod buffers;
mod ring;
mod slots;

use std::collections::VecDeque;
use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode, squeue};

use self::buffers::{Buffers, Datagram};
use self::ring::Ring;
use self::slots::{Refused, Slots};
use super::{
    Completion, Event, FAILURES_KEPT, Io, IoCounters, NETLINK_LEN, PACKET_LEN, Pool, Token,
    sockaddr_in, sockaddr_in6, sockaddr_ll,
};
use crate::base::{IfIndex, Instant, Span};

/// One thread's ring (`io_uring(7)`). Only the thread that opened it may use it.
pub struct Uring {
    // First, so that the kernel has let go of the memory below before that is unmapped.
    ring: Ring,
    packets: Buffers,
    netlink: Buffers,
    slots: Slots,
    sources: Vec<Source>,
    /// Places in `sources` that are receiving or watching, and have to be armed again.
    unarmed: Vec<u32>,
    /// Whether one of those may have something to read at once.
    backlog: bool,
    /// The buffer that the last completion lent.
    lent: Option<(Pool, u16)>,
    /// Sends that failed before the kernel saw them, with their `errno`.
    failures: VecDeque<(Token, i32)>,
    counters: IoCounters,
}

/// Something that is received from or watched. Its place in the table stays; when it is forgotten
/// the generation goes up, so that late completions of it are known as such.
struct Source {
    token: Token,
    fd: RawFd,
    job: Job,
    generation: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Job {
    Receive(Pool),
    /// With the events that are waited for (`poll(2)`).
    Watch(libc::c_short),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Free for another.
    Free,
    /// The kernel has its operation.
    Armed,
    /// Its operation has ended and is to be armed again.
    Unarmed,
    /// Its descriptor is of no more use.
    Dead,
}

/// What an operation is, in the 64 bits that its completions carry back: the kind in the highest
/// byte; then a generation (24 bits) and place of a source, or the token of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Receive(Pool, Place),
    Watch(Place),
    Send(Token),
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    index: u32,
    generation: u32,
}

/// A completion that somebody is to see.
enum Step {
    Datagram(Token, Pool, Datagram),
    Ready(Token),
    ReceiveFailed(Token, i32),
    SendFailed(Token, i32),
}

impl Uring {
    /// Sets up the ring, its buffers and its slots.
    ///
    /// # Errors
    /// When the kernel refuses; the text names the probable cause in one line (a kernel older than
    /// 6.1, the sysctl `kernel.io_uring_disabled`, seccomp, locked memory).
    pub fn open() -> io::Result<Self> {
        let ring = Ring::new()?;
        let packets = Buffers::new(ring.submitter(), 0, 256, PACKET_LEN)?;
        let netlink = Buffers::new(ring.submitter(), 1, 32, NETLINK_LEN)?;
        Ok(Uring {
            ring,
            packets,
            netlink,
            slots: Slots::new()?,
            sources: Vec::with_capacity(64),
            unarmed: Vec::with_capacity(64),
            backlog: false,
            lent: None,
            failures: VecDeque::with_capacity(FAILURES_KEPT),
            counters: IoCounters::default(),
        })
    }

    fn add(&mut self, token: Token, fd: RawFd, job: Job) -> io::Result<()> {
        let in_use = |source: &Source| source.state != State::Free && source.token == token;
        if self.sources.iter().any(in_use) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let free = self.sources.iter().position(|source| source.state == State::Free);
        let index = free.unwrap_or(self.sources.len());
        let generation = self.sources.get(index).map_or(0, |source| source.generation);
        let source = Source { token, fd, job, generation, state: State::Unarmed };
        match self.sources.get_mut(index) {
            Some(place) => *place = source,
            None => {
                self.sources.push(source);
                // So that re-arming never allocates.
                self.unarmed.reserve(self.sources.len());
            }
        }
        if self.arm(index as u32) {
            return Ok(());
        }
        self.sources[index].state = State::Free;
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }

    /// Queues the operation of a source that has none; false if there is no room for it.
    fn arm(&mut self, index: u32) -> bool {
        if !self.make_room() {
            return false;
        }
        let Some(source) = self.sources.get_mut(index as usize) else { return true };
        if source.state != State::Unarmed {
            return true;
        }
        let place = Place { index, generation: source.generation };
        let entry = match source.job {
            Job::Receive(pool) => {
                let buffers = match pool {
                    Pool::Packets => &self.packets,
                    Pool::Netlink => &self.netlink,
                };
                opcode::RecvMsgMulti::new(Fd(source.fd), buffers.template(), buffers.group())
                    .build()
                    .user_data(Tag::Receive(pool, place).pack())
            }
            Job::Watch(events) => opcode::PollAdd::new(Fd(source.fd), events as u32)
                .multi(true)
                .build()
                .user_data(Tag::Watch(place).pack()),
        };
        // SAFETY: the message header and the buffers live as long as the ring.
        let queued = unsafe { self.ring.push(&entry) };
        if queued {
            source.state = State::Armed;
        }
        queued
    }

    /// Arms again what has ended and may go on.
    fn rearm(&mut self) {
        self.backlog = false;
        let mut kept = 0;
        for at in 0..self.unarmed.len() {
            let index = self.unarmed[at];
            let starved = match self.sources[index as usize].job {
                Job::Receive(pool) => self.buffers(pool).exhausted(),
                Job::Watch(_) => false,
            };
            if starved || !self.arm(index) {
                self.unarmed[kept] = index;
                kept += 1;
            } else {
                self.counters.rearmed += 1;
            }
        }
        self.unarmed.truncate(kept);
    }

    fn queue<A: Copy>(&mut self, token: Token, fd: RawFd, bytes: &[u8], to: A) {
        self.counters.sent += 1;
        if !self.make_room() {
            return self.fail(token, libc::ENOBUFS);
        }
        let mut slot = self.slots.fill(bytes, to);
        if matches!(slot, Err(Refused::Full)) {
            self.flush();
            slot = self.slots.fill(bytes, to);
        }
        let slot = match slot {
            Ok(slot) => slot,
            Err(Refused::Full) => return self.fail(token, libc::ENOBUFS),
            Err(Refused::TooLong) => return self.fail(token, libc::EMSGSIZE),
        };
        let mut send = opcode::Send::new(Fd(fd), slot.bytes, bytes.len() as u32)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        if size_of::<A>() != 0 {
            send = send.dest_addr(slot.address).dest_addr_len(size_of::<A>() as libc::socklen_t);
        }
        let entry =
            send.build().flags(squeue::Flags::SKIP_SUCCESS).user_data(Tag::Send(token).pack());
        // SAFETY: the slot keeps its bytes and address until the operation has been submitted,
        // which is when it ends (see `slots`).
        if !unsafe { self.ring.push(&entry) } {
            self.fail(token, libc::ENOBUFS);
        }
    }

    /// Sees to it that one more operation can be queued.
    fn make_room(&mut self) -> bool {
        if self.ring.is_full() {
            self.flush();
        }
        !self.ring.is_full()
    }

    /// Submits what is queued without waiting.
    fn flush(&mut self) {
        if self.ring.queued() == 0 {
            return;
        }
        self.counters.extra_enters += 1;
        // An error leaves entries in the queue; whoever needs room looks for it.
        let _ = self.ring.flush();
        self.free_slots();
    }

    /// Frees the send slots if every operation has been submitted.
    fn free_slots(&mut self) {
        if self.ring.queued() == 0 {
            self.slots.reset();
        }
    }

    fn fail(&mut self, token: Token, errno: i32) {
        self.counters.send_failures += 1;
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push_back((token, errno));
        }
    }

    /// Gives the buffer that was lent back to the kernel.
    fn end_loan(&mut self) {
        if let Some((pool, buffer)) = self.lent.take() {
            self.buffers(pool).give_back(buffer);
        }
    }

    fn buffers(&mut self, pool: Pool) -> &mut Buffers {
        match pool {
            Pool::Packets => &mut self.packets,
            Pool::Netlink => &mut self.netlink,
        }
    }

    /// The next completion that is not just this room's business.
    fn next_step(&mut self) -> Option<Step> {
        if let Some((token, errno)) = self.failures.pop_front() {
            return Some(Step::SendFailed(token, errno));
        }
        loop {
            let entry = self.ring.next()?;
            let step = match Tag::unpack(entry.user_data()) {
                Some(Tag::Receive(pool, place)) => self.on_receive(pool, place, &entry),
                Some(Tag::Watch(place)) => self.on_watch(place, &entry),
                Some(Tag::Send(token)) if entry.result() < 0 => {
                    self.counters.send_failures += 1;
                    Some(Step::SendFailed(token, -entry.result()))
                }
                Some(Tag::Send(_) | Tag::Cancel) | None => None,
            };
            if step.is_some() {
                return step;
            }
        }
    }

    fn on_receive(&mut self, pool: Pool, place: Place, entry: &cqueue::Entry) -> Option<Step> {
        let buffer = cqueue::buffer_select(entry.flags());
        if buffer.is_some() {
            self.buffers(pool).take();
        }
        let source = self.source(place).filter(|source| source.state == State::Armed);
        let Some(token) = source.map(|source| source.token) else {
            // Forgotten meanwhile: nobody sees it, but its buffer must not be lost.
            if let Some(buffer) = buffer {
                self.buffers(pool).give_back(buffer);
            }
            return None;
        };
        let (Some(buffer), len @ 0..) = (buffer, entry.result()) else {
            if let Some(buffer) = buffer {
                self.buffers(pool).give_back(buffer);
            }
            return self.on_receive_error(pool, place, token, -entry.result());
        };
        if !cqueue::more(entry.flags()) {
            self.ended(place, true);
        }
        match self.buffers(pool).datagram(buffer, len as usize) {
            Some(datagram) if !datagram.from_netlink_peer => {
                self.counters.received += 1;
                self.lent = Some((pool, buffer));
                Some(Step::Datagram(token, pool, datagram))
            }
            _ => {
                self.counters.refused += 1;
                self.buffers(pool).give_back(buffer);
                None
            }
        }
    }

    fn on_receive_error(
        &mut self,
        pool: Pool,
        place: Place,
        token: Token,
        errno: i32,
    ) -> Option<Step> {
        match errno {
            // Ours, if the kernel had no buffer left: it picks one before it asks the socket. For
            // packets it can't be anything else.
            libc::ENOBUFS if pool == Pool::Packets || self.buffers(pool).exhausted() => {
                self.counters.buffers_exhausted += 1;
                self.ended(place, true);
                None
            }
            0 | libc::EAGAIN | libc::EINTR | libc::ECANCELED => {
                self.ended(place, true);
                None
            }
            errno if super::is_final(errno) => {
                self.sources[place.index as usize].state = State::Dead;
                Some(Step::ReceiveFailed(token, errno))
            }
            errno => {
                self.ended(place, false);
                Some(Step::ReceiveFailed(token, errno))
            }
        }
    }

    fn on_watch(&mut self, place: Place, entry: &cqueue::Entry) -> Option<Step> {
        let source = self.source(place).filter(|source| source.state == State::Armed)?;
        let token = source.token;
        if !cqueue::more(entry.flags()) {
            self.ended(place, false);
        }
        match -entry.result() {
            libc::EAGAIN | libc::EINTR | libc::ECANCELED => None,
            errno @ 1.. => {
                self.sources[place.index as usize].state = State::Dead;
                Some(Step::ReceiveFailed(token, errno))
            }
            _ => Some(Step::Ready(token)),
        }
    }

    /// Notes that the operation of the source at `place` has ended; `more` if its socket may hold
    /// something to read.
    fn ended(&mut self, place: Place, more: bool) {
        self.sources[place.index as usize].state = State::Unarmed;
        self.unarmed.push(place.index);
        self.backlog |= more;
    }

    fn source(&self, place: Place) -> Option<&Source> {
        let source = self.sources.get(place.index as usize)?;
        (source.generation == place.generation).then_some(source)
    }
}

impl Io for Uring {
    fn receive(&mut self, token: Token, fd: BorrowedFd<'_>, pool: Pool) -> io::Result<()> {
        self.add(token, fd.as_raw_fd(), Job::Receive(pool))
    }

    fn watch(&mut self, token: Token, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.add(token, fd.as_raw_fd(), Job::Watch(libc::POLLIN))
    }

    fn watch_stream(&mut self, token: Token, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.add(token, fd.as_raw_fd(), Job::Watch(libc::POLLIN | libc::POLLOUT))
    }

    fn forget(&mut self, token: Token) {
        let is_it = |source: &Source| source.state != State::Free && source.token == token;
        let Some(index) = self.sources.iter().position(is_it) else { return };
        let source = &mut self.sources[index];
        let place = Place { index: index as u32, generation: source.generation };
        let (armed, job) = (source.state == State::Armed, source.job);
        source.state = State::Free;
        source.generation = (source.generation + 1) & Place::GENERATION_MASK;
        self.unarmed.retain(|&unarmed| unarmed != place.index);
        if armed && self.make_room() {
            let tag = match job {
                Job::Receive(pool) => Tag::Receive(pool, place),
                Job::Watch(_) => Tag::Watch(place),
            };
            let entry = opcode::AsyncCancel::new(tag.pack())
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(Tag::Cancel.pack());
            // SAFETY: a cancellation points to nothing.
            unsafe { self.ring.push(&entry) };
        }
        // The caller may close the descriptor now, and its number may be used again: nothing
        // queued may name it any more.
        self.flush();
    }

    fn send_frame(&mut self, token: Token, fd: RawFd, ifindex: IfIndex, frame: &[u8]) {
        self.queue(token, fd, frame, sockaddr_ll(ifindex, frame));
    }

    fn send_ipv4(&mut self, token: Token, fd: RawFd, to: Ipv4Addr, packet: &[u8]) {
        self.queue(token, fd, packet, sockaddr_in(to));
    }

    fn send_ipv6(&mut self, token: Token, fd: RawFd, to: Ipv6Addr, link: IfIndex, packet: &[u8]) {
        self.queue(token, fd, packet, sockaddr_in6(to, link));
    }

    fn send(&mut self, token: Token, fd: RawFd, bytes: &[u8]) {
        self.queue(token, fd, bytes, ());
    }

    fn turn_gathering(&mut self, deadline: Instant, gather: Span) -> io::Result<()> {
        self.counters.turns += 1;
        self.end_loan();
        self.packets.publish();
        self.netlink.publish();
        self.rearm();
        let result = self.ring.enter(deadline, gather, self.failures.is_empty());
        self.free_slots();
        self.counters.completions_overflown += u64::from(self.ring.overflown());
        result
    }

    fn has_unsent(&self) -> bool {
        self.ring.queued() > 0
    }

    fn has_more(&mut self) -> bool {
        self.backlog || !self.failures.is_empty() || self.ring.has_more()
    }

    fn completion(&mut self) -> Option<Completion<'_>> {
        self.end_loan();
        let (token, event) = match self.next_step()? {
            Step::Ready(token) => (token, Event::Ready),
            Step::ReceiveFailed(token, errno) => {
                (token, Event::ReceiveFailed(io::Error::from_raw_os_error(errno)))
            }
            Step::SendFailed(token, errno) => {
                (token, Event::SendFailed(io::Error::from_raw_os_error(errno)))
            }
            Step::Datagram(token, pool, datagram) => {
                let Datagram { ifindex, envelope, received_at, truncated, .. } = datagram;
                let bytes = self.buffers(pool).bytes(&datagram);
                (token, Event::Datagram { bytes, ifindex, envelope, received_at, truncated })
            }
        };
        Some(Completion { token, event })
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }
}

/// The kernel ends cancelled operations on its own time; done here, descriptors that are closed
/// next are really closed.
impl Drop for Uring {
    fn drop(&mut self) {
        let limit = Some(Duration::from_millis(100).into());
        let _ = self.ring.submitter().register_sync_cancel(limit, CancelBuilder::any());
    }
}

impl Place {
    const GENERATION_MASK: u32 = 0xff_ffff;

    const fn pack(self) -> u64 {
        ((self.generation & Place::GENERATION_MASK) as u64) << 32 | self.index as u64
    }
}

impl Tag {
    const PACKETS: u64 = 1;
    const NETLINK: u64 = 2;
    const WATCH: u64 = 3;
    const SEND: u64 = 4;
    const CANCEL: u64 = 5;

    const fn pack(self) -> u64 {
        let (kind, rest) = match self {
            Tag::Receive(Pool::Packets, place) => (Tag::PACKETS, place.pack()),
            Tag::Receive(Pool::Netlink, place) => (Tag::NETLINK, place.pack()),
            Tag::Watch(place) => (Tag::WATCH, place.pack()),
            Tag::Send(Token(token)) => (Tag::SEND, token as u64),
            Tag::Cancel => (Tag::CANCEL, 0),
        };
        kind << 56 | rest
    }

    const fn unpack(tag: u64) -> Option<Self> {
        let place =
            Place { index: tag as u32, generation: (tag >> 32) as u32 & Place::GENERATION_MASK };
        match tag >> 56 {
            Tag::PACKETS => Some(Tag::Receive(Pool::Packets, place)),
            Tag::NETLINK => Some(Tag::Receive(Pool::Netlink, place)),
            Tag::WATCH => Some(Tag::Watch(place)),
            Tag::SEND => Some(Tag::Send(Token(tag as u32))),
            Tag::CANCEL => Some(Tag::Cancel),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_as_they_went() {
        let place = Place { index: u32::MAX, generation: Place::GENERATION_MASK };
        for tag in [
            Tag::Receive(Pool::Packets, place),
            Tag::Receive(Pool::Netlink, Place { index: 0, generation: 0 }),
            Tag::Watch(place),
            Tag::Send(Token(u32::MAX)),
            Tag::Cancel,
        ] {
            assert_eq!(Tag::unpack(tag.pack()), Some(tag));
        }
        assert_eq!(Tag::unpack(0), None);
    }
}
