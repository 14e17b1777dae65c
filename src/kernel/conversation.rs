//! What has been asked of the kernel and not been answered: sequence numbers, batches in flight,
//! the dump, and the barrier.
//!
//! # Why barriers
//!
//! A netlink socket whose queue has run over (`ENOBUFS`) says so once, at once, before the messages
//! that are still in its queue; and it takes no new ones **until that queue has been read empty**
//! (seen on Linux 6.18; pages of dumps are the exception). A dump made at once would therefore be
//! overtaken by old events, and changes after it would be lost without a word; and answers would be
//! lost, again without a word, as long as old ones are waiting to be read.
//!
//! So a socket that has lost something is first asked for nothing: an empty request, whose answer is
//! queued behind everything else. While the socket takes no messages that answer is lost, too; but
//! then something else has been read, and the question is repeated. Once an answer is read,
//! everything before it has been read and everything after it will be heard of: the time for a
//! dump.

use std::num::NonZeroU32;

use arrayvec::ArrayVec;

use super::reconciler::{BATCH, EntryId};
use super::ways::WayId;

/// Most batches without their answer.
pub(super) const WINDOW: usize = 4;

/// Requests that left in one send; only the last one's success is answered.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) first_seq: u32,
    /// One for each request; `None` once it has been answered.
    pub(super) entries: ArrayVec<Option<Asked>, BATCH>,
}

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Address(EntryId),
    Way(WayId),
}

/// The two halves of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Links,
    Addresses,
}

/// How far the dump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dump {
    /// None is wanted.
    Idle,
    /// One is to be made, before anything else or when there is nothing else to send.
    Wanted { urgent: bool },
    /// A half of it runs, and has been interrupted or not.
    Running { half: Half, seq: u32, interrupted: bool },
    /// The links have been told; the addresses are to be asked for.
    Halfway,
    /// The kernel is still busy with one that was given up.
    Busy,
}

/// Whether a socket has to be, or is being, read up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// It has lost nothing.
    None,
    /// To be sent; answers count from `first` on, if some have been sent already.
    ToSend {
        first: Option<u32>,
    },
    Sent {
        first: u32,
    },
}

/// The state of what is said on both sockets.
#[derive(Debug)]
pub(super) struct Conversation {
    last_seq: u32,
    /// The command socket's port, learnt from what the kernel answers to it.
    port: Option<NonZeroU32>,
    pub(super) batches: ArrayVec<Batch, WINDOW>,
    /// Batches some of whose answers are lost. Those that are read nonetheless still count: were
    /// they ignored, as many refusals as overrun the socket once would do so for ever.
    pub(super) doubtful: ArrayVec<Batch, WINDOW>,
    pub(super) dump: Dump,
    /// The running dump is not enough: another is wanted behind it.
    pub(super) again: bool,
    pub(super) command: Barrier,
    pub(super) monitor: Barrier,
}

impl Conversation {
    /// Before the first word: a dump is wanted.
    pub(super) fn new() -> Self {
        Conversation {
            last_seq: 0,
            port: None,
            batches: ArrayVec::new(),
            doubtful: ArrayVec::new(),
            dump: Dump::Wanted { urgent: true },
            again: false,
            command: Barrier::None,
            monitor: Barrier::None,
        }
    }

    /// Numbers for up to `count` requests, the first of them. Never 0: that is what events have
    /// that no request caused.
    pub(super) fn numbers(&self, count: u32) -> u32 {
        match self.last_seq.checked_add(count.saturating_add(1)) {
            Some(_) => self.last_seq + 1,
            None => 1,
        }
    }

    /// That many of the numbers, from `first` up, have been used.
    pub(super) fn used(&mut self, first: u32, count: usize) {
        if count > 0 {
            self.last_seq = first + (count as u32 - 1);
        }
    }

    /// One number, used.
    pub(super) fn number(&mut self) -> u32 {
        let seq = self.numbers(1);
        self.used(seq, 1);
        seq
    }

    /// A message on the command socket bears its port.
    pub(super) fn learn_port(&mut self, port: u32) {
        if let Some(port) = NonZeroU32::new(port) {
            self.port = Some(port);
        }
    }

    /// Whether a request of ours caused an event.
    pub(super) fn is_own(&self, port: u32) -> bool {
        self.port.is_some_and(|own| own.get() == port)
    }

    /// Which batch a request was in, and which of it.
    pub(super) fn find(&self, seq: u32) -> Option<(usize, usize)> {
        let found = |(number, batch): (usize, &Batch)| Some((number, batch.find(seq)?));
        self.batches.iter().enumerate().find_map(found)
    }

    /// The request of that number, if it is waited for in a batch some of whose answers are lost.
    pub(super) fn take_doubtful(&mut self, seq: u32) -> Option<Asked> {
        let mut found =
            self.doubtful.iter_mut().filter_map(|batch| Some((batch.find(seq)?, batch)));
        let (offset, batch) = found.next()?;
        batch.entries.get_mut(offset)?.take()
    }

    /// The oldest batch will never be answered in full.
    pub(super) fn doubt_oldest(&mut self) -> Option<&Batch> {
        if self.batches.is_empty() {
            return None;
        }
        if self.doubtful.is_full() {
            self.doubtful.remove(0);
        }
        self.doubtful.push(self.batches.remove(0));
        self.doubtful.last()
    }

    /// A dump is wanted when the time is convenient.
    pub(super) fn want_dump(&mut self) {
        match self.dump {
            Dump::Idle => self.dump = Dump::Wanted { urgent: false },
            Dump::Wanted { .. } | Dump::Busy => {}
            Dump::Running { .. } | Dump::Halfway => self.again = true,
        }
    }
}

impl Batch {
    fn find(&self, seq: u32) -> Option<usize> {
        let offset = seq.wrapping_sub(self.first_seq) as usize;
        (offset < self.entries.len()).then_some(offset)
    }
}

impl Barrier {
    /// The socket has lost something.
    pub(super) fn raise(&mut self) {
        *self = Barrier::ToSend { first: None };
    }

    /// The empty request has been sent.
    pub(super) fn sent(&mut self, seq: u32) {
        if let Barrier::ToSend { first } = *self {
            *self = Barrier::Sent { first: first.unwrap_or(seq) };
        }
    }

    /// An answer has been read: whether it is one to an empty request, and the barrier is reached.
    /// What requests before that one did has been heard of or never will be.
    pub(super) fn answered(&mut self, seq: u32) -> bool {
        let first = match *self {
            Barrier::Sent { first } | Barrier::ToSend { first: Some(first) } => first,
            _ => return false,
        };
        let reached = seq.wrapping_sub(first) as i32 >= 0;
        if reached {
            *self = Barrier::None;
        }
        reached
    }

    /// Something has been read: if it wasn't the answer, that may be lost.
    pub(super) fn read(&mut self) {
        if let Barrier::Sent { first } = *self {
            *self = Barrier::ToSend { first: Some(first) };
        }
    }
}
