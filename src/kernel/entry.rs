//! One virtual address on one interface: what is known of it, and what has to be asked for.
//!
//! What to do is never remembered, it is computed ([`Entry::next_step`]) from what is wanted and
//! what is known, at the moment a batch is written. That is why wishes merge by themselves: an
//! address that was wished for and released before anything was sent needs nothing done.
//!
//! # Two sources that know nothing of each other's order
//!
//! The command socket says what became of our requests, the monitor says what happened; which of
//! them is read first is chance. For IPv4 each change that a request of ours makes is also an event
//! with our port and the request's sequence number, its *echo*. So, of two things that concern one
//! address:
//!
//! * an event caused by a request older than the one whose echo is to come is stale;
//! * an event of someone else's making that is read before the echo of our last request is older
//!   than that request, whose outcome we know from its answer: stale, too;
//! * a deletion caused by a newer request of ours, which was for another address, is collateral:
//!   deleting the first address of a subnet takes the others of that subnet along (unless
//!   `promote_secondaries` is on). It is put back without a word;
//! * any other deletion is someone else's.
//!
//! Events about IPv6 addresses carry neither port nor number (seen on Linux 6.18). There our own
//! deletions that the monitor has yet to tell of are counted: each makes one event, so as many are
//! not someone else's. Where the count may be wrong because something was lost, a deletion that it
//! explains away leaves *doubt*, which a dump removes.

use super::Wish;
use super::mirror::Marks;
use crate::base::{IfIndex, VirtualAddress};

/// One virtual address on one interface.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) address: VirtualAddress,
    pub(super) claims: Vec<Claim>,
    /// The interface it is about; `None` while there is none of its link's name.
    pub(super) at: Option<IfIndex>,
    /// Whether it is there, as far as answers and events tell.
    known: bool,
    /// The same as the monitor's stream of events alone tells.
    heard: bool,
    /// IPv4: our last request for it, if it made a change that the monitor has yet to echo.
    unheard: Option<u32>,
    /// IPv6: how many deletions are known of that the monitor has yet to tell of.
    unheard_deletions: u16,
    /// That number may be too high.
    uncertain: bool,
    /// The request that waits for its answer.
    flight: Option<Flight>,
    /// The last request's sequence number; 0: none yet.
    last_seq: u32,
    /// We have added it and not removed it since, so it is ours to remove; even if others seem to
    /// have done so (better once too often than left behind).
    ours: bool,
    /// What is there was added with another label, broadcast address or scope.
    outdated: bool,
    /// Left there by a crash: to be removed, wanted or not.
    leftover: bool,
    /// Its `IFA_PROTO` says that we have put it there, now or before a crash.
    marked: bool,
    /// It is, in IPv4, the first address of its subnet on its interface.
    first: bool,
    /// It is the host's own address, which also the configuration names: there before us, and to
    /// stay whatever is wished.
    kept: bool,
    /// Nothing is to be done before there is a new wish or its link is back: it was refused, or
    /// someone took it away.
    parked: bool,
    /// The configuration speaks of it.
    pub(super) configured: bool,
    /// It is in the queue.
    pub(super) queued: bool,
    /// Its interface bears the link's name no more: it is only there to be removed.
    pub(super) orphan: bool,
    marks: Marks,
}

/// What an owner has to do with an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) owner: u32,
    pub(super) wish: Wish,
    pub(super) settled: bool,
}

/// What is to be asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add,
    Delete,
}

/// Who made an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Our request of this sequence number.
    Own(u32),
    /// Someone else, or it isn't told.
    Unknown,
}

/// What an answer, an event or a dump has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The kernel won't do it.
    pub(super) refused: Option<Wish>,
    /// Somebody else has removed an address that was wanted.
    pub(super) lost: bool,
    /// A leftover is done with: it is gone, or not to be got rid of.
    pub(super) leftover_gone: Option<bool>,
    /// Only a dump can tell how it really is.
    pub(super) doubt: bool,
}

/// What becomes of an address whose interface is given another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It isn't there.
    Nothing,
    /// It is there and none of ours: a real address from now on.
    Real(Marks),
    /// It is, or will be, there by our own doing, and has to be removed.
    Orphan,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    seq: u32,
    step: Step,
    /// The request before it, if that has yet to be echoed: until then what is heard is old.
    before: Option<u32>,
    /// The echo came before the answer.
    echoed: bool,
    /// The echo, if it hasn't come, never will: the monitor lost it.
    deaf: bool,
    /// It has appeared again, by another's hand, since it was sent.
    returned: bool,
    /// It has been removed, by another's hand, since it was sent.
    removed: bool,
    /// The interface is gone: whatever the answer says, the address is not there.
    void: bool,
    /// The answer is lost; a dump will tell.
    lost: bool,
}

impl Entry {
    /// Of an address that isn't there and nobody wants.
    pub(super) fn new(address: VirtualAddress, at: Option<IfIndex>) -> Self {
        Entry {
            address,
            claims: Vec::with_capacity(1),
            at,
            known: false,
            heard: false,
            unheard: None,
            unheard_deletions: 0,
            uncertain: false,
            flight: None,
            last_seq: 0,
            ours: false,
            outdated: false,
            leftover: false,
            marked: false,
            first: false,
            kept: false,
            parked: false,
            configured: false,
            queued: false,
            orphan: false,
            marks: Marks::default(),
        }
    }

    /// Whether somebody wants it.
    pub(super) fn wanted(&self) -> bool {
        self.claims.iter().any(|claim| claim.wish == Wish::Set)
    }

    /// Whether it is on its interface.
    pub(super) fn is_there(&self) -> bool {
        self.known
    }

    /// Whether an answer is waited for.
    pub(super) fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether it is ours to remove.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether it is a leftover that hasn't been removed yet.
    pub(super) fn is_leftover(&self) -> bool {
        self.leftover
    }

    /// Whether it is the host's own.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// What a message says of it besides that it is there.
    pub(super) fn describes(&mut self, marked: bool, first: bool) {
        (self.marked, self.first) = (marked, first);
    }

    /// Whether it is the host's own address rather than what a crash has left: nothing says that it
    /// is ours, and its interface has no other (`alone`), or it looks like an interface's address:
    /// the first of a subnet with others in it. Then it is kept.
    pub(super) fn keep(&mut self, alone: bool) -> Option<Marks> {
        let longest = if self.address.ip.is_ipv4() { 32 } else { 128 };
        let looks_so = self.first && self.address.prefix_len < longest;
        let foreign = self.known && !self.ours && !self.marked && !self.leftover;
        let keep = foreign && self.flight.is_none() && !self.wanted() && (alone || looks_so);
        self.kept |= keep;
        keep.then_some(self.marks)
    }

    /// It is a leftover no more, since nothing is to be done about it.
    pub(super) fn drop_leftover(&mut self) -> bool {
        std::mem::take(&mut self.leftover)
    }

    /// Whether nothing would be lost with it, except that (perhaps) somebody else's address is
    /// there.
    pub(super) fn is_idle(&self) -> bool {
        let needed = self.configured || self.queued || self.orphan || self.leftover;
        let waits = self.flight.is_some() || self.awaits_echo();
        !needed && !waits && self.claims.is_empty() && !self.is_ours()
    }

    /// What has to be asked of the kernel now, if anything, and of which interface.
    pub(super) fn next_step(&self) -> Option<(Step, IfIndex)> {
        if self.flight.is_some() || self.parked {
            return None;
        }
        let at = self.at?;
        let step = match (self.wanted(), self.known) {
            (_, true) if self.kept => return None,
            (_, true) if self.leftover => Step::Delete,
            (true, true) if self.outdated => Step::Delete,
            (true, true) if self.ours => return None,
            // There by another's hand: ask nonetheless, so that it is there to stay.
            (true, true) => Step::Add,
            (true, false) => Step::Add,
            (false, _) if self.ours => Step::Delete,
            (false, _) => return None,
        };
        Some((step, at))
    }

    /// A new wish, or its link is there again: what was given up is tried again.
    pub(super) fn try_again(&mut self) {
        self.parked = false;
    }

    /// It is to have this label, broadcast address and scope.
    pub(super) fn describe(&mut self, address: &VirtualAddress) {
        if self.address != *address {
            let adding = self.flight.is_some_and(|flight| flight.step == Step::Add);
            self.outdated |= self.known || adding;
            self.address = address.clone();
        }
    }

    /// It is there although nobody here has added it: `true` if it is to be removed.
    pub(super) fn make_leftover(&mut self) -> bool {
        let is = self.known && !self.ours && !self.leftover && !self.kept && !self.wanted();
        if is && self.flight.is_none() {
            (self.leftover, self.parked) = (true, false);
            return true;
        }
        false
    }

    /// The next step has been sent.
    pub(super) fn sent(&mut self, step: Step, seq: u32) {
        if step == Step::Add {
            self.outdated = false;
        }
        self.last_seq = seq;
        self.flight = Some(Flight {
            seq,
            step,
            before: self.unheard.take(),
            echoed: false,
            deaf: false,
            returned: false,
            removed: false,
            void: false,
            lost: false,
        });
    }

    /// The kernel's answer, 0 or a positive `errno(3)`; `None` if it isn't waited for.
    pub(super) fn answered(&mut self, seq: u32, error: i32) -> Option<Outcome> {
        let flight = self.flight.take_if(|flight| flight.seq == seq)?;
        let mut outcome = Outcome::default();
        let to_come = !flight.echoed && !flight.deaf;
        let echo = (to_come && self.address.ip.is_ipv4()).then_some(seq);
        match (flight.step, error) {
            _ if flight.void => self.known = self.heard,
            (Step::Add, 0 | libc::EEXIST) => {
                // Once the echo has been heard, what was heard last is the latest there is.
                self.known = !flight.echoed || self.heard;
                self.ours = true;
                self.unheard = echo.filter(|_| error == 0);
                // Was it removed before it was added, or after? IPv4's echoes tell.
                outcome.doubt = flight.removed && !flight.echoed && self.address.ip.is_ipv6();
            }
            (Step::Add, _) => {
                self.unheard = flight.before;
                if self.unheard.is_none() && self.unheard_deletions == 0 {
                    self.known = self.heard;
                }
                self.parked = true;
                outcome.refused = Some(Wish::Set);
            }
            (Step::Delete, 0) => {
                self.known = flight.echoed && self.heard;
                self.ours = false;
                self.unheard = echo;
                self.expect_deletion(to_come);
            }
            // It wasn't there: what was asked for is so.
            (Step::Delete, libc::EADDRNOTAVAIL | libc::ENODEV) => {
                self.known = flight.returned && self.heard;
                self.ours = false;
                // Someone else was faster, and the monitor will tell.
                self.expect_deletion(!flight.returned && !flight.deaf && self.heard);
            }
            (Step::Delete, _) => {
                self.unheard = flight.before;
                self.parked = true;
                outcome.refused = Some(Wish::Unset);
            }
        }
        if flight.deaf && !flight.echoed {
            self.heard = self.known;
        }
        if flight.step == Step::Delete && std::mem::take(&mut self.leftover) {
            outcome.leftover_gone = Some(outcome.refused.is_none());
        }
        Some(outcome)
    }

    /// The answer to the request in flight may be lost: then a dump will tell.
    pub(super) fn answer_lost(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.lost = true;
        }
    }

    /// The monitor tells that it is there, or is there no more.
    ///
    /// What our own requests did is older than any dump that runs now, since none is sent while one
    /// runs. So only what others did is marked as newer than the dump's pages.
    pub(super) fn heard(&mut self, present: bool, origin: Origin, generation: u32) -> Outcome {
        let mut outcome = Outcome::default();
        let before = std::mem::replace(&mut self.heard, present);
        match origin {
            Origin::Own(seq) => match (&mut self.flight, self.unheard) {
                (Some(flight), _) if flight.seq == seq => flight.echoed = true,
                (Some(flight), _) if flight.before == Some(seq) => flight.before = None,
                (Some(_), _) => {}
                (None, Some(unheard)) if is_before(seq, unheard) => {}
                // The echo, or another request's doing since. Or the last request changed nothing
                // or its answer was lost: then there is nothing better than what is heard.
                (None, _) => (self.unheard, self.known) = (None, present),
            },
            Origin::Unknown if self.unheard_deletions > 0 => {
                // Older than our last deletion, or that itself.
                if !present {
                    self.unheard_deletions -= 1;
                    outcome.doubt = self.uncertain && self.known;
                }
            }
            // Older than our last request.
            Origin::Unknown if self.unheard.is_some() => {}
            Origin::Unknown => {
                self.marks.touched = generation;
                match &mut self.flight {
                    Some(flight) => {
                        let expected = present == (flight.step == Step::Add);
                        flight.echoed |= expected && self.address.ip.is_ipv6();
                        flight.returned |= present && !before;
                        flight.removed |= !present;
                    }
                    None if self.known == present => {}
                    None => outcome.lost = self.lose_or_find(present),
                }
            }
        }
        outcome
    }

    /// What the monitor lost may include echoes: none is waited for of requests before `seq`.
    pub(super) fn forget_echoes(&mut self, seq: u32) {
        let waited = self.stop_waiting(|unheard| is_before(unheard, seq));
        if let Some(flight) = &mut self.flight {
            flight.deaf |= is_before(flight.seq, seq);
        }
        let counted = self.unheard_deletions > 0;
        self.uncertain |= counted;
        if counted && is_before(self.last_seq, seq) {
            (self.unheard_deletions, self.uncertain) = (0, false);
        }
        if waited || (counted && self.unheard_deletions == 0) {
            // It will never be heard; this is what it would have said.
            self.heard = self.known;
        }
    }

    /// A page of a dump shows it.
    pub(super) fn seen(&mut self, generation: u32) {
        self.marks.seen = generation;
    }

    /// The dump is complete: believes it, except where events or answers are newer.
    pub(super) fn compare(&mut self, generation: u32) -> Outcome {
        let mut outcome = Outcome::default();
        let newer = self.marks.touched == generation;
        let shown = self.marks.seen == generation;
        let now = if newer { self.heard } else { shown };
        match self.flight {
            Some(flight) if flight.lost => {
                self.flight = None;
                (self.known, self.heard, self.unheard) = (now, now, None);
                self.ours = now || shown || flight.step == Step::Add;
                let deleted = flight.step == Step::Delete && !now;
                self.expect_deletion(deleted && !flight.echoed && !flight.deaf);
                self.uncertain = true;
                if self.leftover {
                    self.ours = false;
                    if deleted {
                        self.leftover = false;
                        outcome.leftover_gone = Some(true);
                    }
                }
            }
            Some(_) => {}
            None if newer => {}
            None => {
                self.heard = now;
                if self.known != now {
                    outcome.lost = self.lose_or_find(now);
                }
            }
        }
        outcome
    }

    /// It was found on its interface, where it had been taken for a real address.
    pub(super) fn found(&mut self, marks: Marks) {
        if self.flight.is_none() && !self.known {
            (self.known, self.heard, self.marks) = (true, true, marks);
        }
    }

    /// Its interface is gone, and all that was on it.
    pub(super) fn device_gone(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.void = true;
        }
        self.forget();
    }

    /// Its interface has been given another name.
    pub(super) fn leave(&mut self) -> Leaving {
        let leaving = match (self.known, &self.flight) {
            (_, Some(_)) => return Leaving::Orphan,
            _ if self.ours || self.leftover => return Leaving::Orphan,
            (true, None) => Leaving::Real(self.marks),
            (false, None) => Leaving::Nothing,
        };
        self.forget();
        leaving
    }

    /// Whether the monitor has yet to tell of something that our requests did.
    pub(super) fn awaits_echo(&self) -> bool {
        self.unheard.is_some() || self.unheard_deletions > 0
    }

    /// Takes over from an orphan on the same interface, which is done: what it knew, and what it
    /// was waiting to hear.
    pub(super) fn inherit(&mut self, orphan: &Entry) {
        (self.known, self.heard, self.last_seq) = (orphan.known, orphan.heard, orphan.last_seq);
        (self.unheard, self.uncertain) = (orphan.unheard, orphan.uncertain);
        (self.unheard_deletions, self.marks) = (orphan.unheard_deletions, orphan.marks);
    }

    /// Somebody else's address isn't ours to speak of any more.
    pub(super) fn give_up(&mut self) -> Option<Marks> {
        let marks = self.known.then_some(self.marks);
        self.forget();
        marks
    }

    fn forget(&mut self) {
        (self.known, self.heard, self.outdated, self.ours) = (false, false, false, false);
        self.kept = false;
        self.marks = Marks::default();
        (self.unheard, self.unheard_deletions, self.uncertain) = (None, 0, false);
    }

    /// It has appeared or gone by another's hand; whether it is lost to somebody who wants it.
    fn lose_or_find(&mut self, present: bool) -> bool {
        (self.known, self.outdated) = (present, false);
        self.kept &= present;
        // Once told, it isn't told again before it has been wished for again.
        let lost = !present && self.wanted() && !self.parked;
        // Either the owner decides what is to be done, or (if its link is going down, or away) it
        // is put back when the link is there again.
        self.parked |= lost;
        lost
    }

    /// No echo is waited for any more of a request with such a number; whether one was.
    fn stop_waiting(&mut self, is_it: impl Fn(u32) -> bool) -> bool {
        let before = self.flight.as_mut().and_then(|flight| flight.before.take_if(|it| is_it(*it)));
        self.unheard.take_if(|it| is_it(*it)).or(before).is_some()
    }

    /// The monitor has yet to tell of a deletion. Of IPv4 addresses that is known otherwise.
    fn expect_deletion(&mut self, really: bool) {
        if really && self.address.ip.is_ipv6() {
            self.unheard_deletions = self.unheard_deletions.saturating_add(1);
        }
    }
}

/// Whether one sequence number is before another; they wrap.
fn is_before(seq: u32, other: u32) -> bool {
    (seq.wrapping_sub(other) as i32) < 0
}
