//! The reconciler: which virtual addresses are wanted, which are there, and so what to ask for.
//!
//! Every virtual address is an [`Entry`]. Owners hold *claims* on entries: they want it, or have
//! released it and wait until it is gone. Whenever something about an entry changes, a *review*
//! queues it if there is something to do, and settles the claims if there isn't.
//!
//! An entry belongs to a link, that is to a name. When an interface loses that name while our
//! address is on it, its entry becomes an *orphan*, which is only there to see the address removed,
//! and the claims go to a new one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::entry::{Claim, Entry, Leaving, Origin, Outcome, Step};
use super::mirror::Marks;
use super::request::Writer;
use super::{Fact, Wish};
use crate::base::{IfIndex, LinkId, VirtualAddress};

/// Most requests in one batch. rtnetlink works inside `send`, 4 to 110 µs an address: more would
/// hold up the loop and gain nothing (measured: 1,000 in one send are no faster than 64).
pub(super) const BATCH: usize = 64;

/// How many requests of a batch one that adds an IPv6 address stands for. The kernel works inside the
/// send: on an interface with a thousand of them it takes 1.4 ms for each (IPv4: a tenth of that).
const IPV6_WEIGHT: usize = 8;

/// The facts that the room reports, in order.
pub(super) type Facts = VecDeque<Fact>;

/// A virtual address, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId(u32);

/// All virtual addresses and who wants them.
#[derive(Debug, Default)]
pub(super) struct Reconciler {
    /// Nothing is asked for before the first dump has told what is there.
    ready: bool,
    entries: Vec<Entry>,
    free: Vec<EntryId>,
    index: HashMap<Key, EntryId>,
    orphans: HashMap<Spot, EntryId>,
    /// By link.
    places: Vec<Place>,
    /// The links by the interfaces that bear their names.
    bound: HashMap<IfIndex, LinkId>,
    owners: HashMap<u32, Owner>,
    queue: VecDeque<EntryId>,
    /// Requests without their answer.
    in_flight: usize,
    leftovers: Leftovers,
    /// Something that only a dump can tell.
    doubt: bool,
}

/// What tells one virtual address from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    link: LinkId,
    ip: IpAddr,
    prefix_len: u8,
}

/// An address on an interface, whatever the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Spot {
    at: IfIndex,
    ip: IpAddr,
    prefix_len: u8,
}

/// Where the addresses of a link go.
#[derive(Debug, Default)]
struct Place {
    at: Option<IfIndex>,
    entries: Vec<EntryId>,
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

#[derive(Debug, Default)]
struct Leftovers {
    asked: bool,
    pending: u32,
    removed: u32,
}

/// The table.
impl Reconciler {
    /// How many links there are; more may come with addresses.
    pub(super) fn grow(&mut self, links: usize) {
        if self.places.len() < links {
            self.places.resize_with(links, Place::default);
        }
    }

    /// The entry of a virtual address.
    pub(super) fn find(&self, link: LinkId, ip: IpAddr, prefix_len: u8) -> Option<EntryId> {
        self.index.get(&Key { link, ip, prefix_len }).copied()
    }

    /// The entry of an address that was put on that interface when it had another name.
    pub(super) fn find_orphan(&self, at: IfIndex, ip: IpAddr, prefix_len: u8) -> Option<EntryId> {
        match self.orphans.is_empty() {
            true => None,
            false => self.orphans.get(&Spot { at, ip, prefix_len }).copied(),
        }
    }

    /// The entry of `address`, made if there is none; `true` if it was.
    pub(super) fn entry_for(&mut self, address: &VirtualAddress) -> (EntryId, bool) {
        let key = key(address);
        if let Some(&id) = self.index.get(&key) {
            return (id, false);
        }
        self.grow(address.link.index() + 1);
        let place = &mut self.places[address.link.index()];
        let entry = Entry::new(address.clone(), place.at);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.index()] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                EntryId(self.entries.len() as u32 - 1)
            }
        };
        place.entries.push(id);
        self.index.insert(key, id);
        (id, true)
    }

    /// An entry of this table.
    pub(super) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(id.index())
    }

    /// The entries of a link, in no order.
    pub(super) fn entries_of(&self, link: LinkId) -> &[EntryId] {
        self.places.get(link.index()).map_or(&[], |place| &place.entries)
    }

    /// Begins to tell anew which addresses the configuration speaks of.
    pub(super) fn forget_configuration(&mut self) {
        for entry in &mut self.entries {
            entry.configured = false;
        }
    }

    /// The configuration speaks of this one, and says this of it.
    pub(super) fn configured(&mut self, id: EntryId, address: &VirtualAddress) {
        if let Some(entry) = self.entries.get_mut(id.index()) {
            entry.configured = true;
            // One that is claimed changes when it is wished for the next time.
            if entry.claims.is_empty() {
                entry.describe(address);
            }
        }
    }

    /// Forgets the entries that nobody speaks of, claims or waits for; tells of those that are on
    /// an interface nonetheless, because they are real addresses from now on.
    pub(super) fn tidy(&mut self, mut real: impl FnMut(&VirtualAddress, IfIndex, Marks)) {
        for place in &mut self.places {
            place.entries.clear();
        }
        self.free.clear();
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let id = EntryId(number as u32);
            let key = key(&entry.address);
            let listed = self.index.get(&key) == Some(&id);
            if entry.is_idle() {
                if let (Some(at), Some(marks)) = (entry.at, entry.give_up()) {
                    real(&entry.address, at, marks);
                }
                if listed {
                    self.index.remove(&key);
                }
                self.free.push(id);
            } else if listed {
                self.places[key.link.index()].entries.push(id);
            }
        }
    }
}

/// Wishes.
impl Reconciler {
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
        let Some(entry) = self.entries.get_mut(id.index()) else {
            return;
        };
        entry.describe(address);
        entry.try_again();
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
        let Some(entry) = self.entries.get_mut(id.index()) else {
            return;
        };
        let kept_against_us = entry.is_ours() && !entry.wanted();
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
            None if kept_against_us => {
                entry.claims.push(Claim { owner, wish: Wish::Unset, settled: false });
                account.pending_unset += 1;
            }
            None => return,
        }
        entry.try_again();
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
        if self.entries.get_mut(id.index()).is_some_and(Entry::make_leftover) {
            self.leftovers.pending += 1;
            self.review(id, facts);
        }
    }

    /// The entry, if it is the host's own address, and not left by a crash, is none of ours from now
    /// on; `alone`: its interface has no other of its family.
    pub(super) fn keep(&mut self, id: EntryId, alone: bool) -> Option<Marks> {
        self.entries.get_mut(id.index())?.keep(alone)
    }

    /// A message about the entry says this besides that it is there.
    pub(super) fn describes(&mut self, id: EntryId, marked: bool, first: bool) {
        if let Some(entry) = self.entries.get_mut(id.index()) {
            entry.describes(marked, first);
        }
    }

    /// All leftovers have been named.
    pub(super) fn leftovers_named(&mut self, facts: &mut Facts) {
        self.leftovers.asked = true;
        self.report_leftovers(facts);
    }
}

/// What happens to interfaces.
impl Reconciler {
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

    /// An interface bears a link's name now. What is on it is told by [`Reconciler::found`] before
    /// [`Reconciler::review_link`].
    pub(super) fn arrive(&mut self, link: LinkId, at: IfIndex) {
        self.grow(link.index() + 1);
        let place = &mut self.places[link.index()];
        place.at = Some(at);
        self.bound.insert(at, link);
        for id in &place.entries {
            self.entries[id.index()].at = Some(at);
        }
    }

    /// The entry was found on its interface, where it had been taken for a real address.
    pub(super) fn found(&mut self, id: EntryId, marks: Marks) {
        if let Some(entry) = self.entries.get_mut(id.index()) {
            entry.found(marks);
        }
    }

    /// The interface of a link has been given another name. What is on it by our doing is going to
    /// be removed; tells of the other addresses.
    pub(super) fn leave(
        &mut self,
        link: LinkId,
        facts: &mut Facts,
        mut real: impl FnMut(&VirtualAddress, IfIndex, Marks),
    ) {
        let Some(at) = self.places.get_mut(link.index()).and_then(|place| place.at.take()) else {
            return;
        };
        self.bound.remove(&at);
        for number in 0..self.entries_of(link).len() {
            let id = self.places[link.index()].entries[number];
            let entry = &mut self.entries[id.index()];
            match entry.leave() {
                Leaving::Nothing => entry.at = None,
                Leaving::Real(marks) => {
                    entry.at = None;
                    real(&entry.address, at, marks);
                }
                Leaving::Orphan => self.orphan(id, number, at),
            }
        }
        self.review_link(link, false, facts);
        for id in self.orphans_at(at) {
            self.review(id, facts);
        }
    }

    /// The interface is gone, with all that was on it. `link`: the one whose name it bore.
    pub(super) fn device_gone(&mut self, link: Option<LinkId>, at: IfIndex, facts: &mut Facts) {
        for id in self.orphans_at(at) {
            self.entries[id.index()].device_gone();
            self.review(id, facts);
        }
        let Some(place) = link.and_then(|link| self.places.get_mut(link.index())) else {
            return;
        };
        place.at = None;
        self.bound.remove(&at);
        for id in &place.entries {
            let entry = &mut self.entries[id.index()];
            entry.device_gone();
            entry.at = None;
        }
        if let Some(link) = link {
            self.review_link(link, false, facts);
        }
    }

    /// Looks at all addresses of a link again, also (`try_again`) at those that were given up.
    pub(super) fn review_link(&mut self, link: LinkId, try_again: bool, facts: &mut Facts) {
        if let Some(at) = self.places.get(link.index()).and_then(|place| place.at) {
            for id in self.orphans_at(at) {
                self.review(id, facts);
            }
        }
        for number in 0..self.entries_of(link).len() {
            let id = self.places[link.index()].entries[number];
            if try_again {
                self.entries[id.index()].try_again();
            }
            self.review(id, facts);
        }
        self.report_leftovers(facts);
    }

    /// Makes an entry an orphan, and another one for its link in its place.
    fn orphan(&mut self, id: EntryId, number: usize, at: IfIndex) {
        let new = EntryId(self.entries.len() as u32);
        let entry = &mut self.entries[id.index()];
        let mut heir = Entry::new(entry.address.clone(), None);
        heir.configured = std::mem::take(&mut entry.configured);
        // Who released it waits until it is really gone.
        heir.claims = entry.claims.extract_if(.., |claim| claim.wish == Wish::Set).collect();
        entry.orphan = true;
        entry.try_again();
        let key = key(&entry.address);
        self.orphans.insert(Spot { at, ip: key.ip, prefix_len: key.prefix_len }, id);
        self.entries.push(heir);
        self.index.insert(key, new);
        self.places[key.link.index()].entries[number] = new;
    }

    fn orphans_at(&self, at: IfIndex) -> Vec<EntryId> {
        if self.orphans.is_empty() {
            return Vec::new();
        }
        let there = |(spot, id): (&Spot, &EntryId)| (spot.at == at).then_some(*id);
        let mut all: Vec<EntryId> = self.orphans.iter().filter_map(there).collect();
        all.sort_unstable();
        all
    }
}

/// Requests, answers, events, dumps.
impl Reconciler {
    /// Whether there is something to send. What has been done with meanwhile is dropped.
    pub(super) fn has_work(&mut self) -> bool {
        while let Some(&id) = self.queue.front() {
            if self.next_step(id).is_some() {
                return true;
            }
            self.queue.pop_front();
            if let Some(entry) = self.entries.get_mut(id.index()) {
                entry.queued = false;
            }
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
        let (mut count, mut weight) = (0, 0);
        while weight < BATCH && writer.has_room() && self.has_work() {
            let Some(id) = self.queue.pop_front() else {
                break;
            };
            let (Some((step, at)), Some(entry)) =
                (self.next_step(id), self.entries.get_mut(id.index()))
            else {
                continue;
            };
            let seq = first_seq.wrapping_add(count as u32);
            match step {
                Step::Add => writer.add(seq, at, &entry.address),
                Step::Delete => writer.delete(seq, at, &entry.address),
            }
            weight += match step {
                Step::Add if entry.address.ip.is_ipv6() => IPV6_WEIGHT,
                Step::Add | Step::Delete => 1,
            };
            entry.queued = false;
            entry.sent(step, seq);
            self.in_flight += 1;
            count += 1;
            sent(id);
        }
        count
    }

    /// The kernel's answer to a request: 0 or a positive `errno(3)`.
    pub(super) fn answered(&mut self, id: EntryId, seq: u32, error: i32, facts: &mut Facts) {
        let entry = self.entries.get_mut(id.index());
        let Some(outcome) = entry.and_then(|entry| entry.answered(seq, error)) else {
            return;
        };
        self.in_flight -= 1;
        if let (Some(wish), Some(entry)) = (outcome.refused, self.entries.get(id.index())) {
            let (link, ip) = (entry.address.link, entry.address.ip);
            for claim in entry.claims.iter().filter(|it| it.wish == wish && !it.settled) {
                let owner = claim.owner;
                facts.push_back(Fact::Refused { owner, link, ip, wish, error });
            }
        }
        self.conclude(id, outcome, facts);
    }

    /// The answer to the request in flight for this entry may be lost: then a dump will tell.
    pub(super) fn answer_lost(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(id.index()) {
            entry.answer_lost();
        }
    }

    /// The monitor tells that the address is on its interface, or is there no more. `up`: whether
    /// that interface is administratively up.
    pub(super) fn heard(
        &mut self,
        id: EntryId,
        present: bool,
        origin: Origin,
        (generation, up): (u32, bool),
        facts: &mut Facts,
    ) {
        let Some(entry) = self.entries.get_mut(id.index()) else {
            return;
        };
        let outcome = entry.heard(present, origin, generation);
        if outcome.lost {
            tell_loss(entry, self.ready, up, facts);
        }
        self.conclude(id, outcome, facts);
    }

    /// What the monitor lost may include echoes: none is waited for of requests before `seq`.
    pub(super) fn forget_echoes(&mut self, seq: u32) {
        for entry in &mut self.entries {
            entry.forget_echoes(seq);
        }
    }

    /// Whether there is something that only a dump can tell; asked once.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.doubt)
    }

    /// A page of the dump shows the address.
    pub(super) fn seen(&mut self, id: EntryId, generation: u32) {
        if let Some(entry) = self.entries.get_mut(id.index()) {
            entry.seen(generation);
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
            let entry = &mut self.entries[number];
            let waited = entry.in_flight();
            let outcome = entry.compare(generation);
            self.in_flight -= usize::from(waited && !entry.in_flight());
            if outcome.lost {
                tell_loss(entry, self.ready, entry.at.is_some_and(&is_up), facts);
            }
            self.conclude(EntryId(number as u32), outcome, facts);
        }
        self.report_leftovers(facts);
    }

    fn conclude(&mut self, id: EntryId, outcome: Outcome, facts: &mut Facts) {
        self.doubt |= outcome.doubt;
        if let Some(removed) = outcome.leftover_gone {
            self.leftovers.pending -= 1;
            self.leftovers.removed += u32::from(removed);
            self.report_leftovers(facts);
        }
        self.review(id, facts);
    }

    /// What is to be asked for. Nothing while the same address is still on the same interface from
    /// when that had another name: first that has to go.
    fn next_step(&self, id: EntryId) -> Option<(Step, IfIndex)> {
        let entry = self.entries.get(id.index())?;
        if self.is_blocked(entry) {
            return None;
        }
        entry.next_step()
    }

    fn is_blocked(&self, entry: &Entry) -> bool {
        !self.orphans.is_empty()
            && !entry.orphan
            && entry.at.is_some_and(|at| {
                let VirtualAddress { ip, prefix_len, .. } = entry.address;
                self.orphans.contains_key(&Spot { at, ip, prefix_len })
            })
    }

    /// Something about the entry has changed: queues what is to be done, settles what is done.
    fn review(&mut self, id: EntryId, facts: &mut Facts) {
        if !self.ready {
            return;
        }
        let work = self.next_step(id).is_some();
        let Some(entry) = self.entries.get(id.index()) else {
            return;
        };
        let busy = entry.in_flight() || self.is_blocked(entry);
        let entry = &mut self.entries[id.index()];
        if work && !entry.queued {
            entry.queued = true;
            self.queue.push_back(id);
        }
        let done = !work && !busy;
        if done && entry.is_leftover() {
            self.leftovers.pending -= u32::from(entry.drop_leftover());
        }
        self.review_claims(id, work, done, facts);
        if done && self.entries[id.index()].orphan {
            self.bury(id, facts);
        }
    }

    fn review_claims(&mut self, id: EntryId, work: bool, done: bool, facts: &mut Facts) {
        let entry = &self.entries[id.index()];
        let (wanted, homeless) = (entry.wanted(), entry.at.is_none());
        let (link, ip) = (entry.address.link, entry.address.ip);
        let mut number = 0;
        while let Some(claim) = self.entries[id.index()].claims.get_mut(number) {
            let Claim { owner, wish, settled } = *claim;
            let Some(account) = self.owners.get_mut(&owner) else {
                number += 1;
                continue;
            };
            match wish {
                // It has to be put (back) where it belongs, and that will be told.
                Wish::Set if work && settled => {
                    claim.settled = false;
                    account.pending_set += 1;
                    account.asked_set = true;
                }
                Wish::Set if done && !settled => {
                    claim.settled = true;
                    account.pending_set -= 1;
                    if homeless {
                        let (wish, error) = (Wish::Set, libc::ENODEV);
                        facts.push_back(Fact::Refused { owner, link, ip, wish, error });
                    }
                    self.report(owner, facts);
                }
                // Gone, or held by somebody else: either way this owner has nothing of it.
                Wish::Unset if done || wanted => {
                    account.pending_unset -= 1;
                    self.entries[id.index()].claims.swap_remove(number);
                    self.report(owner, facts);
                    continue;
                }
                _ => {}
            }
            number += 1;
        }
    }

    /// An orphan has nothing left to do. If its interface bears a link's name again, that link's
    /// entry takes over; else it stays until the monitor has told all of it.
    fn bury(&mut self, id: EntryId, facts: &mut Facts) {
        let orphan = &self.entries[id.index()];
        let Key { ip, prefix_len, .. } = key(&orphan.address);
        let Some(at) = orphan.at else {
            return;
        };
        let link = self.bound.get(&at);
        let heir = link.and_then(|&link| self.find(link, ip, prefix_len));
        if heir.is_none() && orphan.awaits_echo() {
            return;
        }
        self.orphans.remove(&Spot { at, ip, prefix_len });
        // If the address is still there it is somebody else's, and only a dump shows that.
        self.doubt = true;
        if let Some(heir) = heir
            && let Ok([orphan, entry]) = self.entries.get_disjoint_mut([id.index(), heir.index()])
        {
            entry.inherit(orphan);
        }
        let orphan = &mut self.entries[id.index()];
        (orphan.orphan, orphan.at) = (false, None);
        orphan.give_up();
        if let Some(heir) = heir {
            self.review(heir, facts);
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

impl EntryId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Tells everybody who wants an address that someone else has removed it, if it was set (not
/// before we are `ready`) and its link is `up`.
fn tell_loss(entry: &mut Entry, ready: bool, up: bool, facts: &mut Facts) {
    if !ready {
        return entry.try_again();
    }
    let (link, ip) = (entry.address.link, entry.address.ip);
    for claim in entry.claims.iter().filter(|claim| up && claim.wish == Wish::Set) {
        facts.push_back(Fact::AddressLost { owner: claim.owner, link, ip });
    }
}

fn key(address: &VirtualAddress) -> Key {
    Key { link: address.link, ip: address.ip, prefix_len: address.prefix_len }
}
