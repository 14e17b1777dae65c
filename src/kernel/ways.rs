//! Routes and policy rules: which are wanted, and so what to ask for.
//!
//! Each is an [`Object`]; owners hold claims on them. Unlike addresses they are never dumped: a
//! routing table may have a million entries that are none of ours. What is wanted is *asserted*
//! instead, which costs nothing where it is there already (`EEXIST`): whenever the addresses of its
//! owner have been set, its interface is up again, or the monitor has lost something.
//!
//! Order: an owner's ways are asserted once all its addresses are there, because a route may need
//! them (its source, or a router in their subnet); only then [`Fact::Set`] goes up. They are deleted
//! before the addresses are, the last one first.
//!
//! # Who removed it?
//!
//! Each change that a request of ours makes is also an event with our port and the request's
//! sequence number. Events of others that are read before the echo of our last request are older
//! than that, so they tell nothing. What goes with its interface is told for IPv6 only, and only
//! when the interface is down already: that is no loss but awaits the interface's return.
//!
//! An interface that is given another name keeps the routes that lead through it, also ours: for us
//! they are gone with the name, and asked for again where that appears.

mod host;
mod read;
mod write;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::entry::Origin;
use super::reconciler::{BATCH, Facts};
use super::request::Writer;
use super::{Fact, Wish};
use crate::base::{IfIndex, LinkId, LinkNames, Way, WayKind};
pub(super) use read::News;
use read::Spot;

/// `RT_TABLE_UNSPEC`
const NO_TABLE: u32 = 0;

/// All ways of the configuration and who wants them.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Nothing is asked for before it is known which interfaces there are.
    ready: bool,
    objects: Vec<Object>,
    free: Vec<WayId>,
    index: HashMap<Arc<WayKind>, WayId>,
    /// By what an event tells of them.
    spots: HashMap<Spot, Vec<WayId>>,
    /// By link.
    places: HashMap<LinkId, Vec<WayId>>,
    /// The routing tables of VRFs, by link.
    tables: HashMap<LinkId, u32>,
    owners: HashMap<u32, Owner>,
    queue: VecDeque<WayId>,
    /// Requests without their answer.
    in_flight: usize,
    leftovers: Leftovers,
    /// Owners all of whose ways are there, to be told.
    set: VecDeque<u32>,
    /// Owners that want none any more, but would have been told when they were there.
    waited: HashSet<u32>,
}

/// A route or a policy rule, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WayId(u32);

/// What a way needs to be written.
pub(super) struct Devices<'a, F> {
    pub(super) names: &'a LinkNames,
    /// The interface that bears a link's name.
    pub(super) at: F,
}

#[derive(Debug)]
struct Object {
    what: Arc<WayKind>,
    /// The table of a route; `None`: its VRF has not been seen yet.
    table: Option<u32>,
    claims: Vec<Claim>,
    /// It is there, as far as answers and events tell.
    there: bool,
    /// We have added it and not deleted it since.
    ours: bool,
    /// It is to be asked for, there or not.
    assert: bool,
    /// The addresses of an owner change, and the kernel may delete it with one of them: that is
    /// nobody's doing, and it will be asked for again.
    unsure: bool,
    /// It was refused, and isn't asked for again before somebody wishes so.
    parked: bool,
    /// The request that waits for its answer.
    flight: Option<Flight>,
    /// Our last request that made it, if the monitor has yet to echo that.
    echo: Option<u32>,
    /// A crash may have left it: it is to be deleted.
    leftover: bool,
    configured: bool,
    queued: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    seq: u32,
    step: Step,
    echoed: bool,
    /// It has been deleted since it was sent, or before, not by us.
    removed: bool,
    /// That was somebody's doing, and not its interface's.
    by_hand: bool,
    /// The answer may be lost.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Add,
    Delete,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    owner: u32,
    /// The owner's [`Fact::Set`] waits for it.
    pending: bool,
}

#[derive(Debug, Default)]
struct Owner {
    /// What it wants, in its order.
    ways: Vec<WayId>,
    /// Its addresses are there.
    active: bool,
    /// Claims that are pending.
    pending: usize,
    /// [`Fact::Set`] is due when there are none.
    due: bool,
}

#[derive(Debug, Default)]
struct Leftovers {
    pending: u32,
    removed: u32,
}

/// The table.
impl Ways {
    /// Names all ways of the configuration, of all owners, in place of those named before.
    pub(super) fn configure<'a>(&mut self, ways: impl IntoIterator<Item = &'a Way>) {
        for object in &mut self.objects {
            object.configured = false;
        }
        for way in ways {
            let id = self.object_for(&way.what);
            self.objects[id.index()].configured = true;
        }
        self.tidy();
    }

    /// What it is.
    pub(super) fn what(&self, id: WayId) -> Option<&WayKind> {
        self.objects.get(id.index()).map(|object| &*object.what)
    }

    /// Whether any is known.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether it is there, as far as answers and events tell.
    pub(super) fn is_there(&self, what: &WayKind) -> bool {
        self.index.get(what).is_some_and(|id| self.objects[id.index()].there)
    }

    fn object_for(&mut self, what: &WayKind) -> WayId {
        if let Some(&id) = self.index.get(what) {
            return id;
        }
        let what = Arc::new(what.clone());
        let object = Object::new(Arc::clone(&what), self.table_of(&what));
        let id = match self.free.pop() {
            Some(id) => {
                self.objects[id.index()] = object;
                id
            }
            None => {
                self.objects.push(object);
                WayId(self.objects.len() as u32 - 1)
            }
        };
        self.file(id);
        self.index.insert(what, id);
        id
    }

    fn table_of(&self, what: &WayKind) -> Option<u32> {
        match what {
            WayKind::Route(route) => match route.vrf {
                Some(vrf) => self.tables.get(&vrf).copied(),
                None => Some(route.table),
            },
            WayKind::Rule(_) => None,
        }
    }

    /// Lets events and interfaces find an object.
    fn file(&mut self, id: WayId) {
        let Object { what, table, .. } = &self.objects[id.index()];
        self.spots.entry(spot(what, *table)).or_default().push(id);
        if let WayKind::Route(_) = **what {
            for link in what.links() {
                let place = self.places.entry(link).or_default();
                if place.last() != Some(&id) {
                    place.push(id);
                }
            }
        }
    }

    /// Forgets what nobody speaks of, claims or waits for.
    fn tidy(&mut self) {
        self.spots.clear();
        self.places.clear();
        self.free.clear();
        for number in 0..self.objects.len() {
            let id = WayId(number as u32);
            let object = &self.objects[number];
            if !object.is_idle() {
                self.file(id);
                continue;
            }
            if self.index.get(&object.what) == Some(&id) {
                self.index.remove(&object.what);
            }
            self.free.push(id);
        }
    }
}

/// Wishes.
impl Ways {
    /// `owner` wants these ways and no others. They are asked for by [`Ways::activate`], once the
    /// addresses are there; what it no longer wants is deleted at once, the last one first.
    pub(super) fn want<'a>(&mut self, owner: u32, ways: impl IntoIterator<Item = &'a Way>) {
        let wanted: Vec<WayId> = ways.into_iter().map(|way| self.object_for(&way.what)).collect();
        self.waited.remove(&owner);
        let Some(account) = self.owners.get_mut(&owner) else {
            if !wanted.is_empty() {
                for &id in &wanted {
                    self.objects[id.index()].claim(owner);
                }
                self.owners.insert(owner, Owner { ways: wanted, ..Owner::default() });
            }
            return;
        };
        let former = std::mem::replace(&mut account.ways, wanted);
        if account.ways.is_empty() {
            if account.due {
                self.waited.insert(owner);
            }
            self.owners.remove(&owner);
        }
        // Marks what is still wanted, so that the comparison is linear.
        let still: HashSet<WayId> = match self.owners.get(&owner) {
            Some(account) => account.ways.iter().copied().collect(),
            None => Default::default(),
        };
        for &id in former.iter().rev().filter(|id| !still.contains(id)) {
            if self.objects[id.index()].release(owner)
                && let Some(account) = self.owners.get_mut(&owner)
            {
                account.pending -= 1;
            }
            self.review(id);
        }
        for id in still {
            self.objects[id.index()].claim(owner);
        }
    }

    /// The addresses of `owner` are there: asks for its ways, if it has any. `announce`: its
    /// [`Fact::Set`] is due when they are there, too.
    pub(super) fn activate(&mut self, owner: u32, announce: bool, facts: &mut Facts) -> bool {
        let Some(account) = self.owners.get_mut(&owner) else {
            return false;
        };
        account.active = true;
        account.due |= announce;
        let ways = std::mem::take(&mut account.ways);
        for &id in &ways {
            self.assert(id, Some(owner), facts);
        }
        if let Some(account) = self.owners.get_mut(&owner) {
            account.ways = ways;
        }
        self.report(owner);
        true
    }

    /// The addresses of `owner` are being changed: [`Ways::activate`] follows.
    pub(super) fn unsettle(&mut self, owner: u32) {
        for id in self.owners.get(&owner).into_iter().flat_map(|account| &account.ways) {
            self.objects[id.index()].unsure = true;
        }
    }

    /// The next owner all of whose ways are there, or refused, of those that were to be told.
    pub(super) fn next_set(&mut self) -> Option<u32> {
        self.set.pop_front()
    }

    /// Whether there is such an owner.
    pub(super) fn has_set(&self) -> bool {
        !self.set.is_empty()
    }

    /// `owner` goes on without ways: if it has waited for some, it waits no more.
    pub(super) fn stop_waiting(&mut self, owner: u32) {
        if self.waited.remove(&owner) {
            self.set.push_back(owner);
        }
    }

    /// Deletes what a crash may have left of the configured ways.
    pub(super) fn remove_leftovers(&mut self, facts: &mut Facts) {
        for number in (0..self.objects.len()).rev() {
            let object = &mut self.objects[number];
            let unknown = !object.ours && object.flight.is_none() && object.claims.is_empty();
            if object.configured && unknown && !object.leftover {
                object.leftover = true;
                self.leftovers.pending += 1;
                self.review(WayId(number as u32));
            }
        }
        self.report_leftovers(facts);
    }

    fn assert(&mut self, id: WayId, pending_for: Option<u32>, facts: &mut Facts) {
        let object = &mut self.objects[id.index()];
        (object.assert, object.parked) = (true, false);
        for claim in object.claims.iter_mut().filter(|it| Some(it.owner) == pending_for) {
            if !std::mem::replace(&mut claim.pending, true)
                && let Some(account) = self.owners.get_mut(&claim.owner)
            {
                account.pending += 1;
            }
        }
        if object.leftover && object.flight.is_none() {
            object.leftover = false;
            self.leftovers.pending -= 1;
            self.report_leftovers(facts);
        }
        self.review(id);
    }
}

/// What happens to interfaces.
impl Ways {
    /// It is known which interfaces there are.
    pub(super) fn begin(&mut self) {
        self.ready = true;
        for number in 0..self.objects.len() {
            self.review(WayId(number as u32));
        }
    }

    /// The interface of a link is a VRF with that table; [`Ways::link_up`] follows.
    pub(super) fn is_vrf(&mut self, link: LinkId, table: u32) {
        if self.tables.insert(link, table) == Some(table) {
            return;
        }
        for &id in self.places.get(&link).into_iter().flatten() {
            let object = &mut self.objects[id.index()];
            let WayKind::Route(route) = &*object.what else { continue };
            if route.vrf == Some(link) {
                let before = self.spots.get_mut(&spot(&object.what, object.table));
                before.into_iter().for_each(|ids| ids.retain(|other| *other != id));
                object.table = Some(table);
                self.spots.entry(spot(&object.what, object.table)).or_default().push(id);
            }
        }
    }

    /// The interface of a link is there, or up, again: asks for what leads through it.
    pub(super) fn link_up(&mut self, link: LinkId, facts: &mut Facts) {
        let Some(place) = self.places.get(&link) else { return };
        for id in place.clone() {
            let claims = self.objects[id.index()].claims.iter();
            if claims.into_iter().any(|it| self.owners.get(&it.owner).is_some_and(|it| it.active)) {
                self.assert(id, None, facts);
            }
        }
    }

    /// The interface of a link is gone, with all that leads through it.
    pub(super) fn link_gone(&mut self, link: LinkId) {
        for id in self.places.get(&link).into_iter().flatten() {
            let object = &mut self.objects[id.index()];
            (object.there, object.echo) = (false, None);
        }
    }
}

/// Requests, answers, events.
impl Ways {
    /// Whether there is something to send. What has been done with meanwhile is dropped.
    pub(super) fn has_work(&mut self) -> bool {
        while let Some(&id) = self.queue.front() {
            if self.objects[id.index()].next_step().is_some() {
                return true;
            }
            self.queue.pop_front();
            self.objects[id.index()].queued = false;
        }
        false
    }

    /// Whether nothing is to be sent and no answer is waited for.
    pub(super) fn is_quiet(&mut self) -> bool {
        !self.has_work() && self.in_flight == 0
    }

    /// Writes the next batch, as [`super::reconciler::Reconciler::write_batch`] does.
    pub(super) fn write_batch<F: Fn(LinkId) -> Option<IfIndex>>(
        &mut self,
        writer: &mut Writer<'_>,
        first_seq: u32,
        devices: &Devices<'_, F>,
        facts: &mut Facts,
        mut sent: impl FnMut(WayId),
    ) -> usize {
        let mut count = 0;
        while count < BATCH && self.has_work() {
            let Some(&id) = self.queue.front() else { break };
            let object = &mut self.objects[id.index()];
            let Some(step) = object.next_step() else { continue };
            let seq = first_seq.wrapping_add(count as u32);
            let written = match step {
                Step::Add => write::add(writer, seq, (&object.what, object.table), devices),
                Step::Delete => write::delete(writer, seq, (&object.what, object.table), devices),
            };
            if written == Err(write::Unwritten::NoRoom) && count > 0 {
                break;
            }
            object.queued = false;
            self.queue.pop_front();
            let error = match written {
                Ok(()) => {
                    object.sent(step, seq);
                    self.in_flight += 1;
                    count += 1;
                    sent(id);
                    continue;
                }
                // For a deletion that is as good as done.
                Err(write::Unwritten::NoInterface) => libc::ENODEV,
                Err(write::Unwritten::NoRoom) => libc::EMSGSIZE,
            };
            self.settle(id, step, error, facts);
        }
        count
    }

    /// The kernel's answer to a request: 0 or a positive `errno(3)`. Gives whether it was a
    /// refusal.
    pub(super) fn answered(&mut self, id: WayId, seq: u32, error: i32, facts: &mut Facts) -> bool {
        let Some(object) = self.objects.get_mut(id.index()) else { return false };
        let Some(flight) = object.flight.take_if(|flight| flight.seq == seq) else {
            return false;
        };
        self.in_flight -= 1;
        if flight.step == Step::Add && error == 0 && !flight.echoed {
            object.echo = Some(seq);
        }
        let refused = self.settle(id, flight.step, error, facts);
        if flight.step == Step::Add && !refused && flight.removed {
            match flight.echoed {
                // After it had been made, so this is news.
                true => self.lose(id, flight.by_hand, facts),
                // Before or after, nobody can tell: once more.
                false => self.assert(id, None, facts),
            }
        }
        refused
    }

    /// The answer to the request in flight may be lost. If it is read nonetheless it counts; else
    /// [`Ways::ask_again`] follows.
    pub(super) fn answer_lost(&mut self, id: WayId) {
        if let Some(flight) = self.objects.get_mut(id.index()).and_then(|it| it.flight.as_mut()) {
            flight.lost = true;
        }
    }

    /// All answers that were not lost have been read: what had none is asked for again.
    pub(super) fn ask_again(&mut self) {
        for number in 0..self.objects.len() {
            let object = &mut self.objects[number];
            let Some(flight) = object.flight.take_if(|flight| flight.lost) else { continue };
            self.in_flight -= 1;
            // If nobody wants it any more it has to go, be it there or not.
            match flight.step {
                Step::Add => (object.assert, object.ours) = (true, true),
                Step::Delete => object.ours = !object.leftover,
            }
            self.review(WayId(number as u32));
        }
    }

    /// The monitor has lost something: whatever is wanted is asked for again.
    pub(super) fn doubt_all(&mut self, facts: &mut Facts) {
        for number in 0..self.objects.len() {
            let object = &mut self.objects[number];
            object.echo = None;
            let ours = object.ours && !object.claims.is_empty() && !object.parked;
            if ours {
                self.assert(WayId(number as u32), None, facts);
            }
        }
    }

    /// The monitor tells of a route or a rule. `up` tells whether an interface is administratively
    /// up.
    pub(super) fn heard<F: Fn(LinkId) -> Option<IfIndex>>(
        &mut self,
        news: &News<'_>,
        origin: Origin,
        devices: &Devices<'_, F>,
        up: impl Fn(IfIndex) -> bool,
        facts: &mut Facts,
    ) {
        let Some(there) = self.spots.get(&news.spot()) else { return };
        let is_it = |id: &WayId| news.is_about(&self.objects[id.index()].what, devices);
        let replaced = |id: &WayId| news.replaces(&self.objects[id.index()].what);
        if let Some(id) = there.iter().copied().find(is_it) {
            let object = &mut self.objects[id.index()];
            match (news.gone, origin) {
                (false, Origin::Own(seq)) => object.echoed(seq),
                // Somebody has put back what is ours; or not ours yet, and then it tells nothing.
                (false, Origin::Unknown) => object.there |= object.ours,
                (true, Origin::Own(_)) => {}
                (true, Origin::Unknown) => {
                    self.lose(id, news.interface().is_none_or(up), facts);
                }
            }
        } else if !news.gone
            && origin == Origin::Unknown
            && let Some(id) = there.iter().copied().find(replaced)
        {
            self.lose(id, true, facts);
        }
    }

    /// Somebody else has deleted it; with an interface that isn't up, nobody has.
    fn lose(&mut self, id: WayId, up: bool, facts: &mut Facts) {
        let object = &mut self.objects[id.index()];
        if let Some(flight) = &mut object.flight {
            flight.removed = true;
            flight.by_hand |= up;
            return;
        }
        if object.echo.is_some() || !object.there {
            return;
        }
        object.there = false;
        if object.assert || object.unsure || !up {
            return;
        }
        object.ours = false;
        for claim in &object.claims {
            facts.push_back(Fact::WayLost { owner: claim.owner, way: id });
        }
    }

    /// A request is done with; gives whether it was refused.
    fn settle(&mut self, id: WayId, step: Step, error: i32, facts: &mut Facts) -> bool {
        let object = &mut self.objects[id.index()];
        let there = object.there || object.ours;
        let refused = match (step, error) {
            (_, 0) => false,
            // It is there: whether another may be beside it is of no matter then.
            (Step::Add, libc::EEXIST) => object.stands_alone() && !there,
            (Step::Delete, libc::ESRCH | libc::ENOENT | libc::ENODEV) => false,
            _ => true,
        };
        match (step, refused) {
            (Step::Add, false) => {
                (object.there, object.ours) = (true, true);
                object.assert = false;
            }
            (Step::Add, true) => {
                (object.there, object.ours) = (false, false);
                (object.assert, object.parked) = (false, true);
            }
            (Step::Delete, false) => (object.there, object.ours) = (false, false),
            (Step::Delete, true) => object.parked = true,
        }
        let was_leftover = step == Step::Delete && std::mem::take(&mut object.leftover);
        if refused && !was_leftover {
            let wish = if step == Step::Add { Wish::Set } else { Wish::Unset };
            if object.claims.is_empty() {
                facts.push_back(Fact::WayRefused { owner: None, way: id, wish, error });
            }
            for claim in &object.claims {
                let owner = Some(claim.owner);
                facts.push_back(Fact::WayRefused { owner, way: id, wish, error });
            }
        }
        if was_leftover {
            self.leftovers.pending -= 1;
            self.leftovers.removed += u32::from(error == 0);
            self.report_leftovers(facts);
        }
        if step == Step::Add {
            for number in 0..self.objects[id.index()].claims.len() {
                let claim = &mut self.objects[id.index()].claims[number];
                let owner = claim.owner;
                if std::mem::take(&mut claim.pending)
                    && let Some(account) = self.owners.get_mut(&owner)
                {
                    account.pending -= 1;
                    self.report(owner);
                }
            }
        }
        self.review(id);
        refused
    }

    /// Something about it has changed: queues what is to be done.
    fn review(&mut self, id: WayId) {
        let object = &mut self.objects[id.index()];
        if self.ready && !object.queued && object.next_step().is_some() {
            object.queued = true;
            self.queue.push_back(id);
        }
    }

    fn report(&mut self, owner: u32) {
        if let Some(account) = self.owners.get_mut(&owner)
            && account.pending == 0
            && std::mem::take(&mut account.due)
        {
            self.set.push_back(owner);
        }
    }

    fn report_leftovers(&mut self, facts: &mut Facts) {
        if self.leftovers.pending == 0 && self.leftovers.removed > 0 {
            let removed = std::mem::take(&mut self.leftovers).removed;
            facts.push_back(Fact::WaysRemoved { removed });
        }
    }
}

/// Where events about it are looked up; no event finds what is in no table yet.
fn spot(what: &WayKind, table: Option<u32>) -> Spot {
    Spot::of(what, table.unwrap_or(NO_TABLE))
}

impl Object {
    fn new(what: Arc<WayKind>, table: Option<u32>) -> Self {
        Object {
            what,
            table,
            claims: Vec::with_capacity(1),
            there: false,
            ours: false,
            assert: false,
            unsure: false,
            parked: false,
            flight: None,
            echo: None,
            leftover: false,
            configured: false,
            queued: false,
        }
    }

    fn is_idle(&self) -> bool {
        let needed = self.configured || self.queued || self.leftover || self.ours;
        !needed && self.flight.is_none() && self.claims.is_empty()
    }

    /// What has to be asked of the kernel now, if anything.
    fn next_step(&self) -> Option<Step> {
        if self.flight.is_some() || self.parked {
            return None;
        }
        match self.claims.is_empty() {
            false => self.assert.then_some(Step::Add),
            true => (self.ours || self.leftover).then_some(Step::Delete),
        }
    }

    fn claim(&mut self, owner: u32) {
        self.parked = false;
        if !self.claims.iter().any(|claim| claim.owner == owner) {
            self.claims.push(Claim { owner, pending: false });
        }
    }

    /// Gives whether the owner has waited for it.
    fn release(&mut self, owner: u32) -> bool {
        let Some(number) = self.claims.iter().position(|claim| claim.owner == owner) else {
            return false;
        };
        let claim = self.claims.swap_remove(number);
        if self.claims.is_empty() {
            (self.assert, self.parked) = (false, false);
        }
        claim.pending
    }

    fn sent(&mut self, step: Step, seq: u32) {
        self.flight =
            Some(Flight { seq, step, echoed: false, removed: false, by_hand: false, lost: false });
        (self.echo, self.unsure) = (None, false);
    }

    /// The monitor tells of what our request of that number made.
    fn echoed(&mut self, seq: u32) {
        match &mut self.flight {
            Some(flight) if flight.seq == seq => flight.echoed = true,
            _ => {
                self.echo.take_if(|echo| *echo == seq);
            }
        }
    }

    /// Whether it must have no other beside it.
    fn stands_alone(&self) -> bool {
        match &*self.what {
            WayKind::Route(route) => route.position == crate::base::Position::Alone,
            WayKind::Rule(_) => false,
        }
    }
}

impl WayId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests;
