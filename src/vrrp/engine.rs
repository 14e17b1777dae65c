//! All virtual routers of the daemon.
//!
//! Facts come in by the `on_…` methods, each with the time; wishes go out by [`Engine::next_action`],
//! one queue, to be drained to empty. Between the two stands [`rules::decide`]; this file says what
//! its decisions mean in timers and packets.

mod change;
mod checks;
mod together;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::together::TrackView;
use super::action::{Action, Cause, Notice, Preemption};
use super::counters::{RouterCounters, UnattributedCounters};
use super::group::{Groups, Membership};
use super::latency::{self, Latency, Overdue};
use super::links::Links;
use super::params::{self, Preempt, RouterParams};
use super::router::{Active, Backup, Fault, Joining, NextGarp, Router, State, StateName};
use super::rules::{self, Decision, Input, Phase, Rank};
use super::tracking::Objects;
use super::wheel::Wheel;
use crate::base::{
    Family, IfIndex, Instant, LinkChange, LinkId, RouterId, Span, TrackId, VirtualAddress,
};
use crate::wire::{Advert, ChecksumForm, Version};
use checks::Verdict;
use together::Patience;

/// Adverts leave at points of a grid of centiseconds, the protocol's own unit: whatever is due in
/// the same centisecond leaves in one turn of the ring, and a schedule never drifts.
const GRID: Span = Span::from_millis(10);

/// Routers that become Active in the same moment do not all share a point of the grid: so many at
/// least do, the next so many take the point before it, and so on back to half their interval. In one
/// turn thousands would take as long as a point of the grid, and the last of them would be as late as
/// the turn is slow.
const TOGETHER: usize = 32;

/// But they take no more than so many points: a wake-up out of sleep, with cold caches, costs as much
/// as fifty adverts.
const POINTS: usize = 32;

/// Room for wishes at the start: what one busy turn of adverts leaves. A takeover of thousands makes
/// it grow, once.
const ACTIONS: usize = 512;

/// Losing adverts are always answered, but with gratuitous ARPs only once in this time, so that a
/// hostile sender can't make us flood the link.
const CONTEST_QUIET: Span = Span::from_secs(1);

/// How much earlier than an interval after they became Active the next advert of a block of routers
/// is due.
fn place_of(block: usize, interval: Span) -> Span {
    let points = interval.as_nanos() / (2 * GRID.as_nanos());
    GRID.times(block as u64 % points.max(1))
}

/// The protocol, for every virtual router at once. See the module's text.
#[derive(Debug)]
pub struct Engine {
    routers: Vec<Router>,
    /// The cold half of each router.
    details: Vec<Details>,
    links: Links,
    objects: Objects,
    groups: Groups,
    /// Active_Down_Timer and Adver_Timer: a router has one of them at a time.
    timers: Wheel,
    /// Second sets and refreshes of gratuitous ARPs.
    garps: Wheel,
    /// Announcements on interfaces that carry no adverts.
    extras: Wheel,
    actions: VecDeque<Action>,
    unattributed: UnattributedCounters,
    latency: Latency,
    started: bool,
    /// How many routers there are; the other places are holes that removed ones have left.
    live: usize,
    /// Holes that wishes may still speak of, and those that a new router may have.
    leaving: Vec<RouterId>,
    free: Vec<RouterId>,
}

#[derive(Debug)]
struct Details {
    params: RouterParams,
    /// Interfaces that must be up besides its own.
    others: Box<[LinkId]>,
    /// Interfaces that matter in another way.
    watched: Box<[LinkId]>,
    /// Scripts, files and processes that matter.
    objects: Box<[TrackId]>,
    membership: Option<Membership>,
    /// The addresses it advertises, as adverts list them.
    advertised: Box<[u8]>,
    counters: RouterCounters,
    /// What was heard of others beside their adverts' contents.
    heard: checks::Heard,
    since: Instant,
    cause: Cause,
    /// It is no more; what is here is what it was.
    removed: bool,
    /// The addresses that its last change took away.
    former: Vec<VirtualAddress>,
    /// Those that its last changes brought while it is Active, until they are announced.
    fresh: Vec<VirtualAddress>,
    /// Whether all others have been announced: when all are set, only the fresh ones are.
    only_fresh: bool,
}

/// A virtual router as it may be shown.
#[derive(Clone, Copy, Debug)]
pub struct RouterView<'a> {
    /// Its id.
    pub id: RouterId,
    /// What it is configured to be.
    pub params: &'a RouterParams,
    /// Its state, with what it knows there.
    pub state: &'a State,
    /// Effective priority.
    pub priority: u8,
    /// Since when it is in that state.
    pub since: Instant,
    /// What brought it there.
    pub cause: Cause,
    /// When the last advert was accepted (Backup) or sent (Active).
    pub last_advert: Option<Instant>,
    /// Who is Active: the one it follows, or else the one that it will displace, or itself.
    pub active: Option<IpAddr>,
    /// What the checksums of its v3 adverts over IPv4 cover now.
    pub checksum_form: ChecksumForm,
    /// The highest sequence number that was heard in an authentication header.
    pub heard_sequence: u32,
    /// When it will act unless something happens: take over, or advertise.
    pub deadline: Instant,
    /// What has been counted.
    pub counters: &'a RouterCounters,
    /// The addresses that its last change took away ([`Action::ChangeAddresses`]).
    pub former: &'a [VirtualAddress],
    /// The addresses that its last change brought while it is Active.
    pub fresh: &'a [VirtualAddress],
}

impl Engine {
    /// An engine for `routers`, whose interfaces are numbered below `links`. Nothing runs before
    /// [`Engine::start`].
    ///
    /// Routers of one family with the same vrid on the same interface are told apart by what they
    /// listen to: the multicast group, or their unicast peers. Where that is the same it is the
    /// configuration's error to report; here the first one hears the adverts.
    pub fn new(routers: Vec<RouterParams>, links: usize) -> Self {
        let count = routers.len();
        let mut engine = Engine {
            routers: routers.iter().map(Router::new).collect(),
            details: Vec::with_capacity(count),
            links: Links::new(links),
            objects: Objects::default(),
            groups: Groups::default(),
            timers: Wheel::new(count),
            garps: Wheel::new(count),
            extras: Wheel::new(count),
            actions: VecDeque::with_capacity(ACTIONS),
            unattributed: UnattributedCounters::default(),
            latency: Latency::default(),
            started: false,
            live: count,
            leaving: Vec::new(),
            free: Vec::new(),
        };
        for (index, params) in routers.into_iter().enumerate() {
            let id = RouterId(index as u32);
            engine.details.push(Details::new(params));
            engine.connect(id);
            engine.join_group(id);
        }
        engine
    }

    /// Lets a router hear its adverts and its interfaces' changes.
    fn connect(&mut self, id: RouterId) {
        let details = &self.details[id.index()];
        self.links.carry(&details.params, id);
        self.links.depend(details.params.link, id);
        for &link in details.others.iter().chain(&details.watched) {
            self.links.depend(link, id);
        }
        for &object in &details.objects {
            self.objects.depend(object, id);
        }
    }

    /// Starts every router that can run; the others go to FAULT.
    pub fn start(&mut self, now: Instant) {
        self.started = true;
        self.count_faults();
        for index in 0..self.routers.len() {
            let id = RouterId(index as u32);
            if !self.details[index].removed {
                self.start_one(now, id);
            }
        }
        self.tell_groups();
    }

    fn start_one(&mut self, now: Instant, id: RouterId) {
        self.reprioritise(now, id);
        match self.fault(id) {
            None => self.step(now, id, Input::Startup { owner: self.owner(id) }, Cause::Startup),
            Some(fault) => {
                self.enter(now, id, State::Initialize { fault: Some(fault) }, Cause::Fault(fault));
            }
        }
    }

    /// Stops every router: those that are Active say so, and let their addresses go.
    pub fn stop(&mut self, now: Instant) {
        self.started = false;
        for index in 0..self.routers.len() {
            self.step(now, RouterId(index as u32), Input::Shutdown, Cause::Shutdown);
        }
        self.stop_groups();
    }

    /// An interface has changed.
    ///
    /// If it has another index than before, it was deleted and made again between two reports.
    /// Whatever was on it went with it, so the routers on it go through FAULT.
    pub fn on_link(&mut self, now: Instant, change: &LinkChange) {
        if self.links.replaces(change) {
            self.on_link(now, &LinkChange { facts: None, ..*change });
        }
        let moved = self.links.moves(change);
        self.links.apply(change);
        if !self.started {
            return;
        }
        for n in 0..self.links.dependents(change.link) {
            let id = self.links.dependent(change.link, n);
            self.reconsider(now, id);
            self.details[id.index()].only_fresh &= !moved;
            let State::Active(active) = self.routers[id.index()].state else { continue };
            if moved && active.addresses_set {
                // Everybody else's ARP tables still have the old Ethernet address.
                let addresses = &self.details[id.index()].params.addresses;
                if addresses.iter().any(|address| address.link == change.link) {
                    self.on_addresses_set(now, id);
                }
            }
        }
    }

    /// Whether a router can run, and its priority, may be otherwise than before.
    fn reconsider(&mut self, now: Instant, id: RouterId) {
        let (own, priority) = self.judge(id);
        self.set_priority(now, id, priority);
        match &self.details[id.index()].membership {
            None => self.apply_fault(now, id, own),
            Some(membership) => {
                let group = membership.group;
                if self.note_own_fault(id, own) {
                    self.spread(now, group);
                } else {
                    self.apply_fault(now, id, self.fault(id));
                }
            }
        }
    }

    fn apply_fault(&mut self, now: Instant, id: RouterId, fault: Option<Fault>) {
        match (self.routers[id.index()].state, fault) {
            (State::Initialize { fault: Some(_) }, None) => {
                if self.details[id.index()].params.transport.unicast.is_some() {
                    self.actions.push_back(Action::AnnounceSource { router: id });
                }
                let input = Input::Startup { owner: self.owner(id) };
                self.step(now, id, input, Cause::FaultEnded);
            }
            (state @ State::Initialize { .. }, fault) => {
                let new = State::Initialize { fault };
                let cause = fault.map(Cause::Fault);
                if let (Some(cause), true) = (cause, state.name() != new.name()) {
                    return self.enter(now, id, new, cause);
                }
                self.routers[id.index()].state = new;
                if let Some(cause) = cause {
                    self.details[id.index()].cause = cause;
                }
            }
            // Who runs already goes on while others are not known to be able to.
            (State::Backup(_) | State::Active(_), None | Some(Fault::GroupAwaited)) => {}
            (state @ (State::Backup(_) | State::Active(_)), Some(fault)) => {
                self.step(now, id, Input::Shutdown, Cause::Fault(fault));
                if self.details[id.index()].membership.is_none() {
                    return;
                }
                // What it could go on without, it has to wait for from now on.
                let (own, _) = self.judge(id);
                self.note_own_fault(id, own);
                if let State::Active(_) = state {
                    self.group_steps_back(now, id, Patience::DownInterval);
                }
            }
        }
    }

    /// An advert has arrived on interface `ifindex` that passed the checks of [`Advert::parse`].
    ///
    /// The other checks of RFC 9568 section 7.1 are made here, in its order. Usually all that
    /// follows is that one deadline moves.
    pub fn on_advert(&mut self, now: Instant, ifindex: IfIndex, advert: &Advert<'_>) {
        let Some(mut id) = self.links.router(ifindex, advert.family(), advert.vrid) else {
            return self.unknown_vrid(ifindex, advert);
        };
        if !self.details[id.index()].expects(advert) {
            let mut namesakes = self.links.namesakes(ifindex, advert.family(), advert.vrid);
            let meant = namesakes.find(|id| self.details[id.index()].expects(advert));
            id = meant.unwrap_or(id);
        }
        let router = &self.routers[id.index()];
        // Without an address of its own it is in Initialize, where every rank is ignored alike.
        let own_address = self.own_address(router).unwrap_or(match router.family {
            Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        });
        let (verdict, notice) = self.details[id.index()].check(now, router, own_address, advert);
        if let Some(notice) = notice {
            self.notice(id, notice);
        }
        if verdict == Verdict::Drop {
            return;
        }
        if advert.checksum_form != self.routers[id.index()].checksum_form {
            self.other_checksum(id, advert);
        }
        let router = &mut self.routers[id.index()];
        let counters = &mut self.details[id.index()].counters;
        counters.advertisement_rcvd += 1;
        counters.priority_zero_pkts_rcvd += u64::from(advert.priority == 0);

        if verdict == Verdict::Ignore {
            return;
        }
        let sender = Rank::of(advert.priority, advert.source, router.priority, own_address);
        let input = ranked(now, router, sender);
        match rules::decide(router.state.phase(), input) {
            // What happens all day, without a detour.
            Decision::Follow => self.follow(now, id, advert),
            decision => self.heard(now, id, advert, decision),
        }
    }

    /// All addresses of `router` are on the host now (or the kernel refused what is missing).
    pub fn on_addresses_set(&mut self, now: Instant, router: RouterId) {
        let garp = self.details[router.index()].params.garp;
        let State::Active(active) = &mut self.routers[router.index()].state else { return };
        if !active.addresses_set && active.due != Instant::NEVER {
            self.latency.takeover_addresses.record(now.since(active.due));
        }
        active.addresses_set = true;
        if !garp.extra.is_zero() && self.extras.deadline(router.index()) == Instant::NEVER {
            self.extras.set(router.index(), now + garp.extra);
        }
        if std::mem::take(&mut self.details[router.index()].only_fresh) {
            return self.announce_fresh(now, router, garp.repeat, garp.delay);
        }
        self.announce(router, garp.repeat);
        self.schedule_garps(now, router, NextGarp::SecondSet, garp.delay);
    }

    /// A gratuitous ARP of `router` has been queued: the last phase of its takeover, if it is the
    /// first one.
    #[inline]
    pub fn on_announced(&mut self, now: Instant, router: RouterId) {
        if let State::Active(active) = &mut self.routers[router.index()].state
            && active.addresses_set
            && active.due != Instant::NEVER
        {
            self.latency.takeover_garp.record(now.since(active.due));
            active.due = Instant::NEVER;
        }
    }

    /// Someone else took an address of `router` off the host.
    pub fn on_address_lost(&mut self, now: Instant, router: RouterId) {
        self.step(now, router, Input::AddressLost, Cause::AddressLost);
    }

    /// Fires what is due, at most `budget` timers; [`Engine::next_deadline`] says whether more is.
    pub fn on_deadlines(&mut self, now: Instant, budget: usize) {
        for _ in 0..budget {
            let Some((timer, deadline)) = self.timers.pop_due_at(now) else { break };
            self.on_timer(now, RouterId(timer as u32), deadline);
        }
        for _ in 0..budget {
            let Some(timer) = self.garps.pop_due(now) else { break };
            self.repeat_garps(now, RouterId(timer as u32));
        }
        for _ in 0..budget {
            let Some(timer) = self.extras.pop_due(now) else { break };
            let router = RouterId(timer as u32);
            self.actions.push_back(Action::AnnounceExtra { router });
            self.extras.set(timer, now + self.details[timer].params.garp.extra);
        }
    }

    /// When [`Engine::on_deadlines`] wants to be called next, at the latest.
    pub fn next_deadline(&mut self) -> Instant {
        let garps = self.garps.next_deadline().min(self.extras.next_deadline());
        self.timers.next_deadline().min(garps)
    }

    /// The next deadline, if it is a Backup's: when it is to take over unless an advert arrives.
    pub fn next_takeover(&mut self) -> Option<Instant> {
        let router = self.timers.next_timer()?;
        let State::Backup(_) = self.routers[router].state else { return None };
        let deadline = self.timers.next_deadline();
        (deadline < self.garps.next_deadline()).then_some(deadline)
    }

    /// Looks for the next deadline anew: adverts that came meanwhile may have moved it.
    pub fn look_again(&mut self) {
        self.timers.look_again();
    }

    /// The next wish, oldest first.
    pub fn next_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            self.free.append(&mut self.leaving);
        }
        action
    }

    /// How many routers there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is no router at all.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The router with that id; `None` if there is none (any more).
    pub fn get(&self, id: RouterId) -> Option<RouterView<'_>> {
        let removed = self.details.get(id.index())?.removed;
        (!removed).then(|| self.view(id))
    }

    /// The first router whose id is not below `id`: ids have holes where routers were removed.
    pub fn first_from(&self, id: RouterId) -> Option<RouterView<'_>> {
        (id.0..self.routers.len() as u32).find_map(|index| self.get(RouterId(index)))
    }

    /// One router, to be shown. One that was removed is shown as it was, until the actions that
    /// speak of it have been drained.
    pub fn view(&self, id: RouterId) -> RouterView<'_> {
        let router = &self.routers[id.index()];
        let details = &self.details[id.index()];
        let active = match &router.state {
            State::Initialize { .. } => None,
            State::Backup(backup) => backup.heard().map(|(address, _)| address),
            State::Active(_) => self.own_address(router),
        };
        RouterView {
            id,
            params: &details.params,
            state: &router.state,
            priority: router.priority,
            since: details.since,
            cause: details.cause,
            last_advert: router.last_advert,
            active,
            checksum_form: router.checksum_form,
            heard_sequence: details.heard.sequence,
            deadline: self.timers.deadline(id.index()),
            counters: &details.counters,
            former: &details.former,
            fresh: &details.fresh,
        }
    }

    /// All routers, to be shown.
    pub fn views(&self) -> impl Iterator<Item = RouterView<'_>> {
        (0..self.routers.len() as u32).filter_map(|index| self.get(RouterId(index)))
    }

    /// Packets that belong to no router.
    pub fn unattributed(&self) -> &UnattributedCounters {
        &self.unattributed
    }

    /// How timely the routers have been.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Timers that were late since this was last asked (RFC 9568 section 2.5).
    pub fn take_overdue(&mut self) -> Option<Overdue> {
        self.latency.overdue.take()
    }

    /// The Active_Down_Timer or Adver_Timer of `id`, due at `deadline`, has expired.
    fn on_timer(&mut self, now: Instant, id: RouterId, deadline: Instant) {
        let late = now.since(deadline);
        let router = &self.routers[id.index()];
        let advertises = matches!(router.state, State::Active(_));
        let interval = match &router.state {
            State::Backup(backup) => backup.active_interval,
            State::Active(_) | State::Initialize { .. } => router.interval,
        };
        if advertises {
            self.latency.advert_lateness.record(late);
        }
        if latency::is_late(late, interval.span()) {
            self.latency.note_overdue(id, late);
            self.details[id.index()].counters.advertisement_late += u64::from(advertises);
        }
        self.step(now, id, Input::Timer, self.timeout_cause(id));
        if !advertises && let State::Active(active) = &mut self.routers[id.index()].state {
            self.latency.takeover_advert.record(late);
            active.due = deadline;
        }
    }

    /// Gives `id` an input that is no advert, and carries out what the rules say.
    fn step(&mut self, now: Instant, id: RouterId, input: Input, cause: Cause) {
        let decision = rules::decide(self.routers[id.index()].state.phase(), input);
        if decision == Decision::TakeOver && self.waits_for_group(now, id, cause) {
            return;
        }
        let router = &self.routers[id.index()];
        match decision {
            Decision::Ignore => {}
            Decision::StartBackup => {
                let backup = Backup { joining: self.joining(id), ..router.fresh_backup() };
                self.enter(now, id, State::Backup(backup), cause);
                self.timers.set(id.index(), now + backup.down_interval);
            }
            Decision::TakeOver => self.take_over(now, id, cause),
            Decision::Rest => {
                self.timers.cancel(id.index());
                self.enter(now, id, State::Initialize { fault: cause.fault() }, cause);
            }
            Decision::Resign => {
                self.timers.cancel(id.index());
                if self.links.can_send(&self.details[id.index()].params) {
                    self.advertise(now, id, 0);
                }
                self.enter(now, id, State::Initialize { fault: cause.fault() }, cause);
            }
            Decision::StepBack => {
                self.advertise(now, id, 0);
                self.step_back(now, id, cause);
                self.group_steps_back(now, id, Patience::Skew);
            }
            Decision::Advertise => self.advertise_on_schedule(now, id),
            // Only adverts lead to these, and `heard` deals with them.
            Decision::AwaitSkew
            | Decision::Follow
            | Decision::Outwait
            | Decision::Contest
            | Decision::Yield => debug_assert!(false, "{input:?} can't lead here"),
        }
    }

    /// Carries out what the rules say about an advert, other than following its sender.
    fn heard(&mut self, now: Instant, id: RouterId, advert: &Advert<'_>, decision: Decision) {
        let (source, priority) = (advert.source, advert.priority);
        match decision {
            Decision::Ignore => {}
            Decision::Follow => self.follow(now, id, advert),
            Decision::AwaitSkew => self.await_skew(now, id, source),
            Decision::Outwait => {
                if let State::Backup(backup) = &mut self.routers[id.index()].state {
                    backup.outwaited = Some((source, priority));
                    backup.joining = backup.joining.and(Some(Joining::Unopposed));
                }
                self.notice(id, Notice::Outwaiting { active: source, priority });
            }
            Decision::Advertise => {
                // The leaving router's listeners must hear us before they time out.
                self.advertise(now, id, self.routers[id.index()].priority);
                self.start_adver_timer(now, id);
            }
            Decision::Contest => {
                if self.details[id.index()].params.conduct.answer_lower {
                    self.advertise(now, id, self.routers[id.index()].priority);
                }
                self.notice(id, Notice::Contested { by: source, priority });
                self.announce_over_rival(now, id);
            }
            Decision::Yield => {
                if self.details[id.index()].params.conduct.advertise_when_yielding {
                    self.advertise(now, id, self.routers[id.index()].priority);
                }
                let backup = self.routers[id.index()].fresh_backup();
                let cause = Cause::Outranked { by: source, priority };
                self.enter(now, id, State::Backup(backup), cause);
                self.follow(now, id, advert);
                self.group_steps_back(now, id, Patience::DownInterval);
            }
            Decision::StartBackup
            | Decision::TakeOver
            | Decision::Rest
            | Decision::Resign
            | Decision::StepBack => debug_assert!(false, "an advert can't lead here"),
        }
    }

    /// Learns the sender's interval and waits for its next adverts (RFC 9568 section 6.4.2, (435)).
    #[inline]
    fn follow(&mut self, now: Instant, id: RouterId, advert: &Advert<'_>) {
        let router = &mut self.routers[id.index()];
        let State::Backup(backup) = &mut router.state else { return };
        let interval = match router.version {
            Version::V2 => router.interval,
            Version::V3 => advert.interval.unwrap_or(router.interval),
        };
        let promised = std::mem::replace(&mut backup.active_interval, interval);
        if promised != interval {
            backup.down_interval = params::active_down_interval(
                router.version,
                router.priority,
                interval,
                router.down_adverts,
            );
        }
        let before = backup.active.map(|(address, _)| address);
        backup.active = Some((advert.source, advert.priority));
        (backup.left, backup.outwaited) = (None, None);
        let waited = std::mem::take(&mut backup.waiting);
        let last_advert = router.last_advert.replace(now);
        match &mut backup.joining {
            None => self.timers.set(id.index(), now + backup.down_interval),
            Some(joining) => *joining = Joining::Outranked,
        }
        if let (true, Some(last)) = (before == Some(advert.source), last_advert) {
            let delay = now.since(last + promised.span());
            self.latency.advert_delay.record(delay);
            if delay.times(2) >= promised.span() {
                let missed = latency::missed(delay, promised.span());
                self.details[id.index()].counters.advertisement_missed += missed;
            }
        }
        if waited {
            self.stop_waiting(id);
        }
        if before != Some(advert.source) {
            self.notice(id, Notice::NewActive { active: advert.source, before });
        }
    }

    fn await_skew(&mut self, now: Instant, id: RouterId, source: IpAddr) {
        let router = &mut self.routers[id.index()];
        let State::Backup(backup) = &mut router.state else { return };
        // The standard doesn't ask who leaves. If it isn't the Active, that one answers at once, and
        // is followed as before.
        if backup.active.is_none_or(|(active, _)| active == source) {
            backup.active = None;
            router.last_advert = Some(now);
        }
        backup.left = Some(source);
        backup.joining = backup.joining.and(Some(Joining::Unopposed));
        backup.outwaited = backup.outwaited.filter(|(rival, _)| *rival != source);
        let backup = *backup;
        let skew = router.skew(&backup);
        if !backup.waiting {
            self.timers.set(id.index(), now + skew);
        }
        self.notice(id, Notice::ActiveLeaves { active: source });
    }

    fn take_over(&mut self, now: Instant, id: RouterId, cause: Cause) {
        self.advertise(now, id, self.routers[id.index()].priority);
        let active = Active {
            next_advert: now,
            addresses_set: false,
            quiet_until: now,
            next_garp: NextGarp::SecondSet,
            due: Instant::NEVER,
        };
        self.details[id.index()].counters.master_transitions += 1;
        self.enter(now, id, State::Active(active), cause);
        self.start_adver_timer(now, id);
    }

    /// Active → Backup as if leaving, to come back after Skew_Time if nobody else takes over.
    fn step_back(&mut self, now: Instant, id: RouterId, cause: Cause) {
        let router = &self.routers[id.index()];
        let backup = router.fresh_backup();
        let skew = router.skew(&backup);
        self.enter(now, id, State::Backup(backup), cause);
        self.timers.set(id.index(), now + skew);
    }

    /// Changes the state, with what that means for the addresses, and says so.
    fn enter(&mut self, now: Instant, id: RouterId, state: State, cause: Cause) {
        let old = std::mem::replace(&mut self.routers[id.index()].state, state);
        if let State::Backup(Backup { waiting: true, .. }) = old {
            self.stop_waiting(id);
        }
        let (from, to) = (old.name(), state.name());
        let details = &mut self.details[id.index()];
        (details.heard.speaks_v3, details.heard.without_v2) = (None, None);
        details.since = now;
        details.cause = cause;
        self.actions.push_back(Action::Entered { router: id, from, to, cause });
        if to == StateName::Master {
            self.actions.push_back(Action::SetAddresses { router: id });
        } else if from == StateName::Master {
            self.garps.cancel(id.index());
            self.extras.cancel(id.index());
            details.fresh.clear();
            details.only_fresh = false;
            self.actions.push_back(Action::UnsetAddresses { router: id });
        }
    }

    fn advertise(&mut self, now: Instant, id: RouterId, priority: u8) {
        self.routers[id.index()].last_advert = Some(now);
        let details = &mut self.details[id.index()];
        let counters = &mut details.counters;
        counters.advertisement_sent += 1 + u64::from(details.params.conduct.also_v2);
        counters.priority_zero_pkts_sent += u64::from(priority == 0);
        self.actions.push_back(Action::Advertise { router: id, priority });
    }

    /// The regular advert: the next one is due an interval after this one **was due**.
    fn advertise_on_schedule(&mut self, now: Instant, id: RouterId) {
        self.advertise(now, id, self.routers[id.index()].priority);
        let router = &mut self.routers[id.index()];
        let State::Active(active) = &mut router.state else { return };
        active.next_advert += router.interval.span();
        let next = active.next_advert;
        if next > now {
            self.timers.set(id.index(), next);
        } else {
            self.start_adver_timer(now, id); // we were stalled: no burst to catch up
        }
    }

    /// Starts Adver_Timer anew at `now`, on the grid: at most a centisecond short, never long; of
    /// more than [`TOGETHER`] routers some are earlier, by half an interval at most.
    fn start_adver_timer(&mut self, now: Instant, id: RouterId) {
        let block = id.index() / TOGETHER.max(self.live / POINTS);
        let router = &mut self.routers[id.index()];
        let State::Active(active) = &mut router.state else { return };
        let interval = router.interval.span();
        active.next_advert = ((now + interval) - place_of(block, interval)).round_down(GRID);
        self.timers.set(id.index(), active.next_advert);
    }

    /// Gratuitous ARPs after a lower-priority advert: the rival's may have misled the hosts.
    fn announce_over_rival(&mut self, now: Instant, id: RouterId) {
        let garp = self.details[id.index()].params.garp;
        let State::Active(active) = &mut self.routers[id.index()].state else { return };
        let wanted = garp.lower_priority_repeat > 0 && active.addresses_set;
        if !wanted || now < active.quiet_until {
            return;
        }
        active.quiet_until = now + CONTEST_QUIET;
        // The second set after becoming Active comes when it was promised, and corrects hosts just
        // as well.
        let second_set_awaited = active.next_garp == NextGarp::SecondSet;
        self.announce(id, garp.lower_priority_repeat);
        if !second_set_awaited {
            let delay = garp.lower_priority_delay;
            self.schedule_garps(now, id, NextGarp::SecondLowerPriority, delay);
        }
    }

    /// The gratuitous ARP timer of `id` has expired.
    fn repeat_garps(&mut self, now: Instant, id: RouterId) {
        let garp = self.details[id.index()].params.garp;
        let State::Active(active) = &self.routers[id.index()].state else { return };
        if !active.addresses_set {
            // A change has brought some that are not there yet. When they are, all are announced.
            self.details[id.index()].only_fresh = false;
            return;
        }
        if active.next_garp == NextGarp::SecondFresh {
            self.push_fresh(id, garp.repeat);
            return self.schedule_garps(now, id, NextGarp::Refresh, garp.refresh);
        }
        let repeat = match active.next_garp {
            NextGarp::SecondSet | NextGarp::SecondFresh => garp.repeat,
            NextGarp::SecondLowerPriority => garp.lower_priority_repeat,
            NextGarp::Refresh => garp.refresh_repeat,
        };
        self.announce(id, repeat);
        self.schedule_garps(now, id, NextGarp::Refresh, garp.refresh);
    }

    /// Arms the gratuitous ARP timer for `next`; if that set is switched off, for the refresh.
    fn schedule_garps(&mut self, now: Instant, id: RouterId, next: NextGarp, delay: Span) {
        let refresh = self.details[id.index()].params.garp.refresh;
        let State::Active(active) = &mut self.routers[id.index()].state else { return };
        let (next, delay) =
            if delay.is_zero() { (NextGarp::Refresh, refresh) } else { (next, delay) };
        active.next_garp = next;
        if !delay.is_zero() {
            self.garps.set(id.index(), now + delay);
        }
    }

    fn announce(&mut self, id: RouterId, repeat: u32) {
        if repeat > 0 {
            self.actions.push_back(Action::Announce { router: id, repeat });
        }
    }

    fn notice(&mut self, id: RouterId, notice: Notice) {
        self.actions.push_back(Action::Notice { router: id, notice });
    }

    fn owner(&self, id: RouterId) -> bool {
        self.details[id.index()].params.is_owner()
    }

    /// The address that a router's adverts come from.
    #[inline]
    fn own_address(&self, router: &Router) -> Option<IpAddr> {
        router.source.or_else(|| self.links.own_address(router.link, router.family))
    }

    /// Why a Backup whose timer has expired takes over.
    fn timeout_cause(&self, id: RouterId) -> Cause {
        let State::Backup(backup) = &self.routers[id.index()].state else {
            return Cause::ActiveTimeout;
        };
        match (backup.active, backup.outwaited, backup.left) {
            (followed, Some((active, priority)), _)
                if followed.is_none_or(|(followed, _)| followed == active) =>
            {
                let by = match backup.preempt_since {
                    _ if self.owner(id) => Preemption::Owner,
                    Some(_) => Preemption::DelayOver,
                    None => Preemption::Priority,
                };
                Cause::Preempted { active, priority, by }
            }
            (None, _, Some(_)) => Cause::ActiveLeft,
            (Some(_), _, Some(left)) => Cause::Unanswered { left },
            (_, _, None) => Cause::ActiveTimeout,
        }
    }
}

impl Details {
    fn new(params: RouterParams) -> Self {
        let mut others: Vec<LinkId> = Vec::new();
        let tracked = params.addresses.iter().filter(|it| params.tracks(it.link, it.ip));
        let ways = params.extras.ways.iter().filter(|way| way.tracked).flat_map(|way| way.links());
        let devices = tracked.map(|address| address.link).chain(ways);
        let made = params.macvlans.iter().map(|macvlan| macvlan.link);
        for link in params.tracked_links.iter().copied().chain(made).chain(devices) {
            if link != params.link && !others.contains(&link) {
                others.push(link);
            }
        }
        let mut watched: Vec<LinkId> = Vec::new();
        for link in params.tracking.links() {
            if link != params.link && !others.contains(&link) && !watched.contains(&link) {
                watched.push(link);
            }
        }
        let mut objects: Vec<TrackId> = Vec::new();
        for object in params.tracking.objects() {
            if !objects.contains(&object) {
                objects.push(object);
            }
        }
        let mut advertised = Vec::new();
        for ip in params.advertised() {
            match (params.transport.family, ip) {
                (Family::Ipv4, IpAddr::V4(ip)) => advertised.extend(ip.octets()),
                (Family::Ipv6, IpAddr::V6(ip)) => advertised.extend(ip.octets()),
                _ => {}
            }
        }
        Details {
            others: others.into(),
            watched: watched.into(),
            objects: objects.into(),
            membership: None,
            advertised: advertised.into(),
            counters: RouterCounters::default(),
            heard: checks::Heard::default(),
            since: Instant::ZERO,
            cause: Cause::Startup,
            removed: false,
            former: Vec::new(),
            fresh: Vec::new(),
            only_fresh: false,
            params,
        }
    }

    /// Whether `advert` may be for it rather than for another router with its vrid, if there is one:
    /// one to its multicast group, or one from a peer.
    #[inline]
    fn expects(&self, advert: &Advert<'_>) -> bool {
        match &self.params.transport.unicast {
            None => self.params.transport.multicast() == Some(advert.destination),
            Some(unicast) => unicast.peers.iter().any(|peer| peer.ip == advert.source),
        }
    }
}

/// An advert of `sender` as the rules need it. A newcomer to a sync group that is master ranks it as
/// the others would, who are Active: Preempt_Mode is about who returns, and its group is there.
#[inline]
fn ranked(now: Instant, router: &mut Router, sender: Rank) -> Input {
    if let State::Backup(Backup { joining: Some(_), .. }) = router.state {
        let advert = Input::Advert { sender, preempt: true };
        return match rules::decide(Phase::Active, advert) {
            Decision::Contest => Input::Advert { sender: Rank::Lower, preempt: true },
            _ => advert,
        };
    }
    Input::Advert { sender, preempt: may_preempt(now, router, sender) }
}

/// Preempt_Mode with its delay: whether a Backup may let a lower-ranking Active's adverts pass by.
/// The delay begins with the first such advert and starts over when a better Active was heard.
fn may_preempt(now: Instant, router: &mut Router, sender: Rank) -> bool {
    let State::Backup(backup) = &mut router.state else { return false };
    if sender != Rank::Lower {
        backup.preempt_since = None;
        return false;
    }
    match router.preempt {
        Preempt::Never => false,
        Preempt::After(delay) if delay.is_zero() => true,
        Preempt::After(delay) => now.since(*backup.preempt_since.get_or_insert(now)) >= delay,
    }
}

impl Cause {
    fn fault(self) -> Option<Fault> {
        match self {
            Cause::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}
