//! The reconciler: which virtual addresses are wanted, which are there, and so what to ask for.
//!
//! Every virtual address is an *entry*. Owners hold *claims* on entries: they want it, or have
//! released it and wait until it is gone. What to do about an entry is never remembered, it is
//! computed ([`Entry::next_step`]) from what is wanted and what is known, at the moment a batch is
//! written. That is why wishes merge by themselves: an address that was wished for and released
//! before anything was sent needs nothing done.
//!
//! # Two sources that know nothing of each other's order
//!
//! The command socket says what became of our requests, the monitor says what happened; which of
//! them is read first is chance. For IPv4 each change that a request of ours makes is also an event
//! with our port and the request's sequence number, its *echo*. So of two things that concern one
//! address:
//!
//! * an event caused by a request older than the last one for this address is stale;
//! * an event of someone else's making that is read before the echo of our last request is older
//!   than that request, whose outcome we know from its answer: stale, too;
//! * a deletion caused by a newer request of ours, which was for another address, is collateral:
//!   deleting the first address of a subnet takes the others of that subnet along (unless
//!   `promote_secondaries` is on). It is put back without a word;
//! * any other deletion is someone else's: [`Fact::AddressLost`].
//!
//! Events about IPv6 addresses carry neither port nor number (seen on Linux 6.18). There our own
//! deletions that the monitor has yet to tell of are counted: each makes one event, so as many are
//! not someone else's. Where the count may be wrong because something was lost, a deletion that it
//! explains away leaves *doubt*, which a dump removes.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::mirror::Marks;
use super::request::Writer;
use super::{Fact, Wish};
use crate::base::{IfIndex, LinkId, VirtualAddress};

/// Most requests in one batch. rtnetlink works inside `send`, 4 to 110 µs an address: more would
/// hold up the loop and gain nothing (measured: 1,000 in one send are no faster than 64).
pub(super) const BATCH: usize = 64;

/// A virtual address, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId(u32);

/// What tells one virtual address from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    link: LinkId,
    ip: IpAddr,
    prefix_len: u8,
}

/// One virtual address.
#[derive(Debug)]
struct Entry {
    address: VirtualAddress,
    claims: Vec<Claim>,
    /// The interface it is on, as far as answers and events tell.
    known: Option<IfIndex>,
    /// The same as the monitor's stream of events alone tells.
    heard: Option<IfIndex>,
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
    /// We added it, so it is ours to remove.
    ours: bool,
    /// What is there was added with another label, broadcast address or scope.
    outdated: bool,
    /// Left there by a crash: to be removed, wanted or not.
    leftover: bool,
    /// Nothing is to be done before there is a new wish or its link is back: it was refused, or
    /// someone took it away.
    parked: bool,
    /// The configuration speaks of it.
    configured: bool,
    /// It is in the queue.
    queued: bool,
    /// It has to do with an interface that bears its link's name no more.
    astray: Option<IfIndex>,
    /// Generations of the last event or answer, and of the last page that showed it.
    touched: u32,
    seen: u32,
    seen_at: IfIndex,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    seq: u32,
    add: bool,
    at: IfIndex,
    /// The request before it, if that has yet to be echoed: until then what is heard is old.
    before: Option<u32>,
    /// The echo came before the answer.
    echoed: bool,
    /// It has appeared again, by another's hand, since it was sent.
    returned: bool,
    /// It has been removed since, by another's hand.
    removed: bool,
    /// The interface is gone: whatever the answer says, the address is not there.
    void: bool,
    /// The answer is lost; a dump will tell.
    lost: bool,
}

impl Flight {
    fn new(seq: u32, add: bool, at: IfIndex, before: Option<u32>) -> Self {
        let (echoed, returned, removed, void, lost) = (false, false, false, false, false);
        Flight { seq, add, at, before, echoed, returned, removed, void, lost }
    }
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    owner: u32,
    wish: Wish,
    settled: bool,
}

/// What is left to do for one owner.
#[derive(Debug, Default)]
struct Owner {
    /// Claims that want their address.
    wants: u32,
    /// Those of them that aren't settled, and released ones that aren't.
    pending_set: u32,
    pending_unset: u32,
    /// Whether a fact is due when there are none.
    asked_set: bool,
    asked_unset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Add(IfIndex),
    Delete(IfIndex),
}

/// Who made an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Our request of this sequence number.
    Own(u32),
    /// Someone else, or it isn't told.
    Unknown,
}

/// Where the addresses of a link go.
#[derive(Debug, Default)]
struct Place {
    at: Option<IfIndex>,
    entries: Vec<EntryId>,
}

/// All virtual addresses and who wants them.
#[derive(Debug, Default)]
pub(super) struct Reconciler {
    /// Nothing is asked for before the first dump has told what is there.
    ready: bool,
    entries: Vec<Entry>,
    free: Vec<EntryId>,
    index: HashMap<Key, EntryId>,
    places: Vec<Place>,
    owners: HashMap<u32, Owner>,
    queue: VecDeque<EntryId>,
    /// The entries whose address is still on an interface that has been renamed.
    astray: HashMap<(IfIndex, IpAddr, u8), EntryId>,
    /// Requests without their answer.
    in_flight: usize,
    leftovers: Leftovers,
    /// A deletion that may or may not have been our own: a dump has to tell.
    doubt: bool,
}

#[derive(Debug, Default)]
struct Leftovers {
    asked: bool,
    pending: u32,
    removed: u32,
}

/// The facts that the room reports, in order.
pub(super) type Facts = VecDeque<Fact>;

impl Entry {
    fn marks(&self, at: IfIndex) -> Marks {
        let seen = if self.seen_at == at { self.seen } else { self.seen.wrapping_sub(1) };
        Marks { touched: self.touched, seen }
    }

    /// Whether anything about it is or may be on that interface, or is still to be heard from there.
    fn refers_to(&self, at: IfIndex) -> bool {
        self.known == Some(at)
            || self.heard == Some(at)
            || self.flight.is_some_and(|flight| flight.at == at)
            || self.unheard.is_some()
            || self.unheard_deletions > 0
    }

    /// No echo is waited for any more of a request with such a number; whether one was.
    fn echoed(&mut self, is_it: impl Fn(u32) -> bool) -> bool {
        let before = self.flight.as_mut().and_then(|flight| flight.before.take_if(|it| is_it(*it)));
        self.unheard.take_if(|it| is_it(*it)).or(before).is_some()
    }

    /// The monitor has yet to tell of a deletion. Of IPv4 addresses that is known otherwise.
    fn expect_deletion(&mut self, really: bool) {
        if really && self.address.ip.is_ipv6() {
            self.unheard_deletions = self.unheard_deletions.saturating_add(1);
        }
    }

    fn wanted(&self) -> bool {
        self.claims.iter().any(|claim| claim.wish == Wish::Set)
    }

    /// What has to be asked of the kernel now, if anything.
    fn next_step(&self, place: Option<IfIndex>) -> Option<Step> {
        if self.flight.is_some() || self.parked {
            return None;
        }
        let target = place.filter(|_| self.wanted());
        match (self.known, target) {
            (Some(at), _) if self.leftover => Some(Step::Delete(at)),
            (None, None) => None,
            (None, Some(to)) => Some(Step::Add(to)),
            // Not ours: it is none of our business.
            (Some(at), None) => self.ours.then_some(Step::Delete(at)),
            (Some(at), Some(to)) if at == to => match (self.outdated, self.ours) {
                (true, _) => Some(Step::Delete(at)),
                // There by another's hand: ask nonetheless, so that it is there to stay.
                (false, false) => Some(Step::Add(to)),
                (false, true) => None,
            },
            // Its interface was renamed and another one bears the name now.
            (Some(at), Some(_)) if self.ours => Some(Step::Delete(at)),
            (Some(_), Some(to)) => Some(Step::Add(to)),
        }
    }
}

impl Reconciler {
    /// How many links there may be; ids of addresses must lie below it.
    pub(super) fn grow(&mut self, links: usize) {
        if self.places.len() < links {
            self.places.resize_with(links, Place::default);
        }
    }

    /// The entry of a virtual address, by what an event tells of it.
    pub(super) fn find(&self, link: LinkId, ip: IpAddr, prefix_len: u8) -> Option<EntryId> {
        self.index.get(&Key { link, ip, prefix_len }).copied()
    }

    /// The entry of `address`, made if there is none; `true` if it was.
    pub(super) fn entry_for(&mut self, address: &VirtualAddress) -> (EntryId, bool) {
        let key = Key { link: address.link, ip: address.ip, prefix_len: address.prefix_len };
        if let Some(&id) = self.index.get(&key) {
            return (id, false);
        }
        self.grow(address.link.index() + 1);
        let list = &mut self.places[address.link.index()].entries;
        let entry = Entry {
            address: address.clone(),
            claims: Vec::with_capacity(1),
            known: None,
            heard: None,
            unheard: None,
            unheard_deletions: 0,
            uncertain: false,
            flight: None,
            last_seq: 0,
            ours: false,
            outdated: false,
            leftover: false,
            parked: false,
            configured: false,
            queued: false,
            astray: None,
            touched: 0,
            seen: 0,
            seen_at: IfIndex(0),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.0 as usize] = entry;
                id
            }
            None => {
                let id = EntryId(self.entries.len() as u32);
                self.entries.push(entry);
                id
            }
        };
        list.push(id);
        self.index.insert(key, id);
        (id, true)
    }

    /// The entry was found on an interface where nobody had taken it for a virtual one.
    pub(super) fn found(&mut self, id: EntryId, at: IfIndex, marks: Marks) {
        if let Some(entry) = self.entry_mut(id)
            && entry.known.is_none()
            && entry.flight.is_none()
        {
            (entry.known, entry.heard, entry.ours) = (Some(at), Some(at), false);
            Marks { touched: entry.touched, seen: entry.seen } = marks;
            entry.seen_at = at;
        }
    }

    /// The entry's link is about to lose its interface `at` to another name. An address there that
    /// isn't ours is nothing to this entry any more; gives its marks. One that is ours goes astray: it is
    /// still to be found until it is gone.
    pub(super) fn leave(&mut self, id: EntryId, at: IfIndex) -> Option<Marks> {
        let entry = self.entries.get_mut(id.0 as usize)?;
        if entry.known == Some(at) && !entry.ours && entry.flight.is_none() {
            (entry.known, entry.heard) = (None, None);
            return Some(entry.marks(at));
        }
        if entry.refers_to(at) {
            let key = (at, entry.address.ip, entry.address.prefix_len);
            entry.astray = Some(at);
            self.astray.insert(key, id);
        }
        None
    }

    /// The entry whose address is on the interface `at`, although that isn't its link's (any more).
    pub(super) fn find_astray(&self, at: IfIndex, ip: IpAddr, prefix_len: u8) -> Option<EntryId> {
        match self.astray.is_empty() {
            true => None,
            false => self.astray.get(&(at, ip, prefix_len)).copied(),
        }
    }

    /// The entries of a link, in no order.
    pub(super) fn entries_of(&self, link: LinkId) -> &[EntryId] {
        self.places.get(link.index()).map_or(&[], |place| &place.entries)
    }

    /// The virtual address of an entry.
    pub(super) fn address(&self, id: EntryId) -> Option<&VirtualAddress> {
        self.entry(id).map(|entry| &entry.address)
    }

    /// Where an entry's address is, if it is anywhere.
    pub(super) fn known_at(&self, id: EntryId) -> Option<IfIndex> {
        self.entry(id).and_then(|entry| entry.known)
    }

    /// Begins to tell anew which entries the configuration speaks of.
    pub(super) fn forget_configuration(&mut self) {
        for entry in &mut self.entries {
            entry.configured = false;
        }
    }

    /// The configuration speaks of this one, and says this of it.
    pub(super) fn configured(&mut self, id: EntryId, address: &VirtualAddress) {
        if let Some(entry) = self.entry_mut(id) {
            entry.configured = true;
            // One that is claimed changes when it is wished for the next time.
            if entry.claims.is_empty() && entry.address != *address {
                entry.address = address.clone();
            }
        }
    }

    /// Forgets the entries that nobody speaks of, claims or waits for; tells of those that are on
    /// an interface nonetheless, because they are real addresses from now on.
    pub(super) fn tidy(&mut self, mut real: impl FnMut(&VirtualAddress, IfIndex, Marks)) {
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let id = EntryId(number as u32);
            let key = key(&entry.address);
            let idle = !entry.configured
                && entry.claims.is_empty()
                && entry.flight.is_none()
                && entry.astray.is_none()
                && !entry.queued
                && !entry.ours
                && !entry.leftover;
            if !idle || self.index.get(&key) != Some(&id) {
                continue;
            }
            entry.heard = None;
            if let Some(at) = entry.known.take() {
                real(&entry.address, at, entry.marks(at));
            }
            self.index.remove(&key);
            self.free.push(id);
        }
        // The lists are made again rather than mended: this happens at a reload only.
        for place in &mut self.places {
            place.entries.clear();
        }
        for (number, entry) in self.entries.iter().enumerate() {
            let id = EntryId(number as u32);
            let key = key(&entry.address);
            if self.index.get(&key) == Some(&id) {
                self.places[key.link.index()].entries.push(id);
            }
        }
    }

    /// A wish of `owner` begins: no fact about it before [`Reconciler::wished`].
    pub(super) fn wish(&mut self, owner: u32) {
        let account = self.owners.entry(owner).or_default();
        account.pending_set += 1;
        account.pending_unset += 1;
    }

    /// `owner` wants the address of entry `id`, which is this one.
    pub(super) fn set(
        &mut self,
        owner: u32,
        id: EntryId,
        address: &VirtualAddress,
        facts: &mut Facts,
    ) {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else {
            return;
        };
        if entry.address != *address {
            entry.outdated |= entry.known.is_some() || entry.flight.is_some_and(|it| it.add);
            entry.address = address.clone();
        }
        entry.parked = false;
        let account = self.owners.entry(owner).or_default();
        match entry.claims.iter_mut().find(|claim| claim.owner == owner) {
            Some(claim) => {
                match (claim.wish, claim.settled) {
                    (Wish::Set, true) => account.pending_set += 1,
                    (Wish::Set, false) => {}
                    (Wish::Unset, _) => {
                        account.pending_unset -= 1;
                        account.pending_set += 1;
                        account.wants += 1;
                    }
                }
                (claim.wish, claim.settled) = (Wish::Set, false);
            }
            None => {
                entry.claims.push(Claim { owner, wish: Wish::Set, settled: false });
                account.pending_set += 1;
                account.wants += 1;
            }
        }
        self.review(id, facts);
    }

    /// `owner` no longer wants this address.
    pub(super) fn unset(&mut self, owner: u32, address: &VirtualAddress, facts: &mut Facts) {
        let Some(&id) = self.index.get(&key(address)) else {
            return;
        };
        let entry = &mut self.entries[id.0 as usize];
        let wanted = entry.wanted();
        let account = self.owners.entry(owner).or_default();
        match entry.claims.iter_mut().find(|claim| claim.owner == owner) {
            Some(claim) if claim.wish == Wish::Set => {
                account.wants -= 1;
                if !claim.settled {
                    account.pending_set -= 1;
                }
                account.pending_unset += 1;
                (claim.wish, claim.settled) = (Wish::Unset, false);
            }
            Some(_) => {}
            // The kernel refused to remove it the last time.
            None if entry.ours && !wanted => {
                entry.claims.push(Claim { owner, wish: Wish::Unset, settled: false });
                account.pending_unset += 1;
            }
            None => return,
        }
        entry.parked = false;
        self.review(id, facts);
    }

    /// All addresses of a wish have been named: from now on its fact is due.
    pub(super) fn wished(&mut self, owner: u32, wish: Wish, facts: &mut Facts) {
        let account = self.owners.entry(owner).or_default();
        account.pending_set -= 1;
        account.pending_unset -= 1;
        match wish {
            Wish::Set => {
                account.asked_set = true;
                // A release that has been taken back altogether is no longer waited for.
                account.asked_unset &= account.pending_unset > 0;
            }
            Wish::Unset => {
                account.asked_unset = true;
                account.asked_set &= account.wants > 0;
            }
        }
        self.report(owner, facts);
    }

    /// A configured address that is there before anyone wished for it was left by a crash.
    pub(super) fn leftover(&mut self, id: EntryId, facts: &mut Facts) {
        self.leftovers.asked = true;
        if let Some(entry) = self.entry_mut(id)
            && entry.known.is_some()
            && entry.flight.is_none()
            && !(entry.ours || entry.leftover || entry.wanted())
        {
            (entry.leftover, entry.parked) = (true, false);
            self.leftovers.pending += 1;
            self.review(id, facts);
        }
    }

    /// All leftovers have been named.
    pub(super) fn leftovers_named(&mut self, facts: &mut Facts) {
        self.leftovers.asked = true;
        self.report_leftovers(facts);
    }

    /// The first dump is complete: requests may be made.
    pub(super) fn begin(&mut self, facts: &mut Facts) {
        self.ready = true;
        for number in 0..self.entries.len() {
            self.review(EntryId(number as u32), facts);
        }
        let mut owners: Vec<u32> = self.owners.keys().copied().collect();
        owners.sort_unstable();
        for owner in owners {
            self.report(owner, facts);
        }
        self.report_leftovers(facts);
    }

    /// The interface that bears a link's name is now this one, or none.
    pub(super) fn place(&mut self, link: LinkId, at: Option<IfIndex>, facts: &mut Facts) {
        self.grow(link.index() + 1);
        self.places[link.index()].at = at;
        self.review_link(link, at.is_some(), facts);
    }

    /// An interface is gone, with all addresses of the entry that were on it. A review of its link
    /// has to follow.
    pub(super) fn device_gone(&mut self, id: EntryId, at: IfIndex) {
        let Some(entry) = self.entry_mut(id) else {
            return;
        };
        if entry.known == Some(at) {
            (entry.known, entry.ours) = (None, false);
        }
        if entry.heard == Some(at) {
            entry.heard = None;
        }
        if let Some(flight) = &mut entry.flight
            && flight.at == at
        {
            flight.void = true;
        }
        if entry.astray.is_none_or(|astray| astray == at) {
            // All that there was to hear of it has been heard.
            (entry.unheard, entry.unheard_deletions) = (None, 0);
        }
    }

    /// The entries that are astray on that interface.
    pub(super) fn astray_on(&self, at: IfIndex) -> Vec<EntryId> {
        let there = |((on, ..), id): (&(IfIndex, IpAddr, u8), &EntryId)| (*on == at).then_some(*id);
        let mut all: Vec<EntryId> = self.astray.iter().filter_map(there).collect();
        all.sort_unstable();
        all
    }

    /// The monitor tells that the address is on the interface `at`, or is there no more. `up`:
    /// whether that interface is administratively up.
    pub(super) fn heard(
        &mut self,
        id: EntryId,
        at: IfIndex,
        present: bool,
        origin: Origin,
        (generation, up): (u32, bool),
        facts: &mut Facts,
    ) {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else {
            return;
        };
        let before = entry.heard;
        entry.heard = present.then_some(at);
        entry.touched = generation;
        match origin {
            Origin::Own(seq) if seq == entry.last_seq => {
                entry.unheard = None;
                if let Some(flight) = &mut entry.flight {
                    flight.echoed = true;
                }
            }
            Origin::Own(seq) if entry.last_seq != 0 && is_before(seq, entry.last_seq) => {
                entry.echoed(|unheard| unheard == seq);
            }
            Origin::Own(_) => {
                entry.unheard = None;
                match (entry.known, present) {
                    _ if entry.flight.is_some() => {}
                    (Some(known), false) if known == at => {
                        (entry.known, entry.ours) = (None, false);
                        self.review(id, facts);
                    }
                    (None, true) => entry.known = Some(at),
                    _ => {}
                }
            }
            Origin::Unknown => {
                let new = present && before.is_none();
                self.heard_from_others(id, at, (present, new), up, facts);
            }
        }
        if self.entries[id.0 as usize].astray.is_some() {
            self.review(id, facts);
        }
    }

    fn heard_from_others(
        &mut self,
        id: EntryId,
        at: IfIndex,
        (present, new): (bool, bool),
        up: bool,
        facts: &mut Facts,
    ) {
        let entry = &mut self.entries[id.0 as usize];
        if entry.unheard_deletions > 0 {
            // Older than our last deletion, or that itself.
            if !present {
                entry.unheard_deletions -= 1;
                self.doubt |= entry.uncertain && entry.known.is_some();
            }
            return;
        }
        if let Some(flight) = &mut entry.flight {
            flight.echoed |= entry.address.ip.is_ipv6() && present == flight.add;
            flight.returned |= new;
            flight.removed |= !present;
            return;
        }
        if entry.unheard.is_some() {
            return;
        }
        match (entry.known, present) {
            (Some(known), false) if known == at => self.lost(id, at, up, facts),
            (None, true) => (entry.known, entry.ours) = (Some(at), false),
            _ => {}
        }
    }

    /// Someone else has removed it from the interface `at`.
    fn lost(&mut self, id: EntryId, at: IfIndex, up: bool, facts: &mut Facts) {
        let entry = &mut self.entries[id.0 as usize];
        let place = self.places.get(entry.address.link.index()).and_then(|place| place.at);
        (entry.known, entry.ours, entry.outdated) = (None, false, false);
        // From an interface that bears the link's name no more it had to go anyway.
        if entry.wanted() && place == Some(at) {
            // Either the owner decides what is to be done, or (on a link that is going down, or
            // away) it is put back when the link is there again.
            entry.parked = true;
            let (link, ip) = (entry.address.link, entry.address.ip);
            for claim in entry.claims.iter().filter(|claim| up && claim.wish == Wish::Set) {
                facts.push_back(Fact::AddressLost { owner: claim.owner, link, ip });
            }
        }
        self.review(id, facts);
    }

    /// Whether there is something to send. What has been done with meanwhile is dropped.
    pub(super) fn has_work(&mut self) -> bool {
        while let Some(id) = self.queue.front() {
            if let Some(entry) = self.entries.get_mut(id.0 as usize) {
                let place = self.places.get(entry.address.link.index()).and_then(|place| place.at);
                if entry.next_step(place).is_some() {
                    return true;
                }
                entry.queued = false;
            }
            self.queue.pop_front();
        }
        false
    }

    /// Whether nothing is to be sent and no answer is waited for.
    pub(super) fn is_quiet(&mut self) -> bool {
        !self.has_work() && self.in_flight == 0
    }

    /// Writes the next batch; requests are numbered from `first_seq` up, one by one, and told to
    /// `sent` in that order.
    pub(super) fn write_batch(
        &mut self,
        writer: &mut Writer<'_>,
        first_seq: u32,
        mut sent: impl FnMut(EntryId),
    ) -> usize {
        let mut count = 0;
        while count < BATCH && writer.has_room() {
            let Some(id) = self.queue.pop_front() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(id.0 as usize) else {
                continue;
            };
            entry.queued = false;
            let place = self.places.get(entry.address.link.index()).and_then(|place| place.at);
            let Some(step) = entry.next_step(place) else {
                continue;
            };
            let seq = first_seq.wrapping_add(count as u32);
            let (add, at) = match step {
                Step::Add(at) => {
                    writer.add(seq, at, &entry.address);
                    entry.outdated = false;
                    (true, at)
                }
                Step::Delete(at) => {
                    writer.delete(seq, at, &entry.address);
                    (false, at)
                }
            };
            entry.last_seq = seq;
            entry.flight = Some(Flight::new(seq, add, at, entry.unheard.take()));
            self.in_flight += 1;
            count += 1;
            sent(id);
        }
        count
    }

    /// The kernel's answer to a request: 0 or a positive `errno(3)`.
    pub(super) fn answered(
        &mut self,
        id: EntryId,
        seq: u32,
        error: i32,
        generation: u32,
        facts: &mut Facts,
    ) {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else {
            return;
        };
        let Some(flight) = entry.flight.filter(|flight| flight.seq == seq && !flight.lost) else {
            return;
        };
        entry.flight = None;
        entry.touched = generation;
        self.in_flight -= 1;
        let there = Some(flight.at);
        let place = self.places.get(entry.address.link.index()).and_then(|place| place.at);
        let numbered = entry.address.ip.is_ipv4();
        let echo = (!flight.echoed && numbered).then_some(seq);
        let mut refused = None;
        match (flight.add, error) {
            _ if flight.void => (entry.known, entry.ours) = (None, false),
            (true, 0 | libc::EEXIST) => {
                // Once the echo has been heard, what was heard last is the latest there is.
                entry.known = if flight.echoed { entry.heard } else { there };
                entry.ours = entry.known.is_some();
                entry.unheard = echo.filter(|_| error == 0);
                // Before it was added, or after?
                self.doubt |= flight.removed && !flight.echoed && !numbered;
            }
            (true, _) => {
                entry.unheard = flight.before;
                if entry.unheard.is_none() && entry.unheard_deletions == 0 {
                    entry.known = entry.heard;
                }
                entry.ours = false;
                // If the link has moved on meanwhile, it is asked for again at the new place.
                if place == there {
                    entry.parked = true;
                    refused = Some(Wish::Set);
                }
            }
            (false, 0) => {
                entry.known = if flight.echoed { entry.heard } else { None };
                entry.ours = false;
                entry.unheard = echo;
                entry.expect_deletion(!flight.echoed);
            }
            // It wasn't there: what was asked for is so.
            (false, libc::EADDRNOTAVAIL | libc::ENODEV) => {
                entry.known = if flight.returned { entry.heard } else { None };
                entry.ours = false;
                // Someone else was faster, and the monitor will tell.
                entry.expect_deletion(!flight.returned && entry.heard.is_some());
            }
            (false, _) => {
                entry.unheard = flight.before;
                entry.parked = true;
                refused = Some(Wish::Unset);
            }
        }
        if !flight.add && entry.leftover {
            entry.leftover = false;
            self.leftovers.pending -= 1;
            self.leftovers.removed += u32::from(refused.is_none());
        }
        if let Some(wish) = refused {
            let (link, ip) = (entry.address.link, entry.address.ip);
            for claim in entry.claims.iter().filter(|it| it.wish == wish && !it.settled) {
                let owner = claim.owner;
                facts.push_back(Fact::Refused { owner, link, ip, wish, error });
            }
        }
        self.review(id, facts);
        self.report_leftovers(facts);
    }

    /// The answer to the request in flight for this entry is lost: a dump will tell.
    pub(super) fn answer_lost(&mut self, id: EntryId) {
        if let Some(flight) = self.entry_mut(id).and_then(|entry| entry.flight.as_mut()) {
            flight.lost = true;
        }
    }

    /// What the monitor lost may include echoes: none is waited for that isn't newer than `seq`.
    pub(super) fn forget_echoes(&mut self, seq: u32) {
        for entry in &mut self.entries {
            if entry.echoed(|unheard| is_before(unheard, seq)) {
                // It will never be heard; this is what it would have said.
                entry.heard = entry.known;
            }
            entry.uncertain |= entry.unheard_deletions > 0;
            if is_before(entry.last_seq, seq) && entry.unheard_deletions > 0 {
                (entry.unheard_deletions, entry.uncertain) = (0, false);
                entry.heard = entry.known;
            }
        }
    }

    /// Whether events have left a doubt that only a dump can remove; asked once.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.doubt)
    }

    /// A page of the dump shows the address on that interface.
    pub(super) fn seen(&mut self, id: EntryId, at: IfIndex, generation: u32) {
        if let Some(entry) = self.entry_mut(id) {
            // It may be on two interfaces: the one where we know it, or have put it, counts.
            let asked = entry.flight.map(|flight| flight.at);
            let ours = [entry.known, asked].contains(&Some(entry.seen_at));
            if entry.seen != generation || !ours {
                (entry.seen, entry.seen_at) = (generation, at);
            }
        }
    }

    /// The dump is complete: believes it, except where events or answers are newer. `is_up` tells
    /// whether an interface is administratively up.
    pub(super) fn compare(
        &mut self,
        generation: u32,
        is_up: impl Fn(IfIndex) -> bool,
        facts: &mut Facts,
    ) {
        for number in 0..self.entries.len() {
            let id = EntryId(number as u32);
            let entry = &mut self.entries[number];
            let newer = entry.touched == generation;
            let shown = (entry.seen == generation).then_some(entry.seen_at);
            let now = if newer { entry.heard } else { shown };
            if let Some(flight) = entry.flight {
                if !flight.lost {
                    continue;
                }
                entry.flight = None;
                self.in_flight -= 1;
                (entry.known, entry.heard, entry.unheard) = (now, now, None);
                entry.ours = now.is_some();
                entry.expect_deletion(!flight.add && now.is_none() && !flight.echoed);
                entry.uncertain = true;
                if !flight.add && entry.leftover {
                    let gone = now.is_none();
                    (entry.leftover, entry.ours) = (!gone, false);
                    if gone {
                        self.leftovers.pending -= 1;
                        self.leftovers.removed += 1;
                    }
                }
                self.review(id, facts);
                continue;
            }
            if newer {
                continue;
            }
            entry.heard = now;
            match (entry.known, now) {
                _ if !self.ready => entry.known = now,
                (Some(at), None) => self.lost(id, at, is_up(at), facts),
                (None, Some(_)) => {
                    (entry.known, entry.ours) = (now, false);
                    self.review(id, facts);
                }
                (Some(at), Some(now)) if at != now => {
                    entry.known = Some(now);
                    self.review(id, facts);
                }
                _ => {}
            }
        }
        self.report_leftovers(facts);
    }

    fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(id.0 as usize)
    }

    fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries.get_mut(id.0 as usize)
    }

    /// Looks at all addresses of a link again, also (`unpark`) at those that were given up.
    pub(super) fn review_link(&mut self, link: LinkId, unpark: bool, facts: &mut Facts) {
        let count = self.entries_of(link).len();
        for number in 0..count {
            let id = self.places[link.index()].entries[number];
            let entry = &mut self.entries[id.0 as usize];
            entry.parked &= !unpark;
            self.review(id, facts);
        }
        self.report_leftovers(facts);
    }

    /// Something about the entry has changed: queues what is to be done, settles what is done.
    pub(super) fn review(&mut self, id: EntryId, facts: &mut Facts) {
        if !self.ready {
            return;
        }
        let entry = &mut self.entries[id.0 as usize];
        let place = self.places.get(entry.address.link.index()).and_then(|place| place.at);
        if let Some(at) = entry.astray {
            if place != Some(at) && entry.known == Some(at) && !entry.ours && entry.flight.is_none()
            {
                // Somebody else's after all, and no longer our concern.
                (entry.known, entry.heard) = (None, None);
            }
            if place == Some(at) || !entry.refers_to(at) {
                // What others did to an address of this kind on either interface meanwhile may
                // have been put down to the wrong one; a dump finds out.
                entry.astray = None;
                self.doubt = true;
                self.astray.remove(&(at, entry.address.ip, entry.address.prefix_len));
            }
        }
        let wanted = entry.wanted();
        let work = entry.next_step(place).is_some();
        if work && !entry.queued {
            entry.queued = true;
            self.queue.push_back(id);
        }
        let done = !work && entry.flight.is_none();
        if entry.leftover && entry.known.is_none() && entry.flight.is_none() {
            entry.leftover = false;
            self.leftovers.pending -= 1;
        }
        let absent = done && wanted && entry.known.is_none() && place.is_none();
        let (link, ip) = (entry.address.link, entry.address.ip);
        let mut number = 0;
        while let Some(claim) = self.entries[id.0 as usize].claims.get_mut(number) {
            let Claim { owner, wish, settled } = *claim;
            let Some(account) = self.owners.get_mut(&owner) else {
                number += 1;
                continue;
            };
            match wish {
                // It has to be put (back) where it belongs, and that will be told.
                Wish::Set if work && settled && place.is_some() => {
                    claim.settled = false;
                    account.pending_set += 1;
                    account.asked_set = true;
                }
                Wish::Set if done && !settled => {
                    claim.settled = true;
                    account.pending_set -= 1;
                    if absent {
                        let (wish, error) = (Wish::Set, libc::ENODEV);
                        facts.push_back(Fact::Refused { owner, link, ip, wish, error });
                    }
                    self.report(owner, facts);
                }
                // Gone, or held by somebody else: either way this owner has nothing of it.
                Wish::Unset if done || wanted => {
                    account.pending_unset -= 1;
                    self.entries[id.0 as usize].claims.swap_remove(number);
                    self.report(owner, facts);
                    continue;
                }
                _ => {}
            }
            number += 1;
        }
    }

    /// Tells an owner's facts that are due, and forgets an owner who has nothing.
    fn report(&mut self, owner: u32, facts: &mut Facts) {
        if !self.ready {
            return;
        }
        let Some(account) = self.owners.get_mut(&owner) else {
            return;
        };
        if account.asked_unset && account.pending_unset == 0 {
            account.asked_unset = false;
            facts.push_back(Fact::Unset { owner });
        }
        if account.asked_set && account.pending_set == 0 {
            account.asked_set = false;
            facts.push_back(Fact::Set { owner });
        }
        if account.wants == 0 && account.pending_unset == 0 {
            self.owners.remove(&owner);
        }
    }

    fn report_leftovers(&mut self, facts: &mut Facts) {
        if self.ready && self.leftovers.asked && self.leftovers.pending == 0 {
            let removed = std::mem::take(&mut self.leftovers).removed;
            facts.push_back(Fact::LeftoversRemoved { removed });
        }
    }
}

fn key(address: &VirtualAddress) -> Key {
    Key { link: address.link, ip: address.ip, prefix_len: address.prefix_len }
}

/// Whether one sequence number is before another; they wrap.
fn is_before(seq: u32, other: u32) -> bool {
    (seq.wrapping_sub(other) as i32) < 0
}
