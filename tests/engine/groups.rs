//! Sync groups and tracking: members move together, in whatever order things happen; priorities
//! follow what is tracked.

use std::sync::Arc;

use viprd::base::{
    Instant, LinkChange, LinkFacts, LinkId, LinkLocal, RouterId, Span, TrackId, VirtualAddress,
    Vrid,
};
use viprd::vrrp::params::{active_down_interval, skew_time};
use viprd::vrrp::{
    Action, Cause, Change, Engine, Fault, Influence, Notice, Preempt, Require, RouterParams,
    Source, Standing, StateName, Track, Tracked, Tracking,
};
use viprd::wire::{Advert, Version};

use crate::desk::{HIGHER_ADDRESS, SECOND, START, facts as desk_facts, ifindex, packet, params};

/// An engine of routers that each have a link of their own.
struct Bench {
    engine: Engine,
    now: Instant,
}

impl Bench {
    fn new(routers: Vec<RouterParams>) -> Self {
        let links = routers.len();
        let mut bench = Bench { engine: Engine::new(routers, links + 2), now: START };
        for link in 0..links as u32 {
            bench.link(link, true);
        }
        bench
    }

    fn started(routers: Vec<RouterParams>) -> Self {
        let mut bench = Bench::new(routers);
        bench.engine.start(START);
        bench
    }

    fn link(&mut self, link: u32, up: bool) {
        let facts = facts(LinkId(link), up);
        self.engine.on_link(self.now, &LinkChange { link: LinkId(link), facts: Some(facts) });
    }

    fn hear(&mut self, router: u32, priority: u8) {
        let view = self.engine.view(RouterId(router));
        let bytes = packet(view.params, |advert| {
            advert.priority = priority;
            advert.source = HIGHER_ADDRESS;
        });
        let advert = Advert::parse(&bytes).expect("a good advert");
        let carrier = ifindex(view.params.link);
        self.engine.on_advert(self.now, carrier, &advert);
    }

    fn run_until(&mut self, end: Instant) -> Vec<Action> {
        let mut wishes = Vec::new();
        while self.engine.next_deadline() <= end {
            self.now = self.now.max(self.engine.next_deadline());
            self.engine.on_deadlines(self.now, usize::MAX);
            wishes.extend(std::iter::from_fn(|| self.engine.next_action()));
        }
        self.now = end;
        wishes
    }

    fn run_for(&mut self, span: Span) -> Vec<Action> {
        self.run_until(self.now + span)
    }

    fn state(&self, router: u32) -> StateName {
        self.engine.view(RouterId(router)).state.name()
    }

    fn states(&self) -> Vec<StateName> {
        self.engine.views().map(|view| view.state.name()).collect()
    }

    fn wishes(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.engine.next_action()).collect()
    }

    /// The group's own transitions among the wishes.
    fn transitions(wishes: &[Action]) -> Vec<StateName> {
        let to = |wish: &Action| match wish {
            Action::GroupEntered { to, .. } => Some(*to),
            _ => None,
        };
        wishes.iter().filter_map(to).collect()
    }
}

fn facts(link: LinkId, up: bool) -> LinkFacts {
    let primary = desk_facts(LinkId(0)).primary_ipv4;
    LinkFacts { up, primary_ipv4: primary, ..desk_facts(link) }
}

/// A router of priority 100 on link `n`, in `group` if there is a name.
fn router(n: u32, group: &str) -> RouterParams {
    let address = VirtualAddress { link: LinkId(n), ..params().addresses[0].clone() };
    RouterParams {
        name: format!("VI_{n}").into(),
        link: LinkId(n),
        vrid: Vrid::new(7).unwrap(),
        addresses: Box::new([address]),
        tracking: Tracking {
            group: (!group.is_empty()).then(|| Arc::from(group)),
            ..Tracking::default()
        },
        ..params()
    }
}

fn tracking(mut params: RouterParams, tracks: &[(Tracked, i32)]) -> RouterParams {
    let track = |(what, weight): &(Tracked, i32)| Track {
        name: "it".into(),
        what: what.clone(),
        influence: Influence { weight: *weight, reverse: false },
    };
    params.tracking.tracks = tracks.iter().map(track).collect();
    params
}

const DOWN: Span = Span::from_millis(3_800);

#[test]
fn a_weight_moves_the_priority_and_the_timer_and_is_told() {
    let script = TrackId(0);
    let mut bench =
        Bench::started(vec![tracking(router(0, ""), &[(Tracked::Script(script), -30)])]);
    bench.wishes();
    let before = bench.engine.view(RouterId(0)).deadline;
    bench.engine.on_track(bench.now, script, Standing::Good);
    assert_eq!(bench.wishes(), [], "nothing is taken from it");
    bench.engine.on_track(bench.now, script, Standing::Bad);
    let told = Action::Reprioritised { router: RouterId(0), from: 100, to: 70 };
    assert_eq!(bench.wishes(), [told]);
    let skews = |priority| skew_time(Version::V3, priority, params().interval);
    let view = bench.engine.view(RouterId(0));
    assert_eq!(view.deadline, (before + skews(70)) - skews(100));
    // A master stays what it is, and says so with its new priority.
    bench.run_for(DOWN);
    assert_eq!(bench.state(0), StateName::Master);
    bench.engine.on_track(bench.now, script, Standing::Good);
    let adverts = bench.run_for(Span::from_secs(1));
    assert!(adverts.contains(&Action::Advertise { router: RouterId(0), priority: 100 }));
}

#[test]
fn a_script_that_is_a_must_is_awaited_first() {
    let script = TrackId(3);
    let mut bench = Bench::started(vec![tracking(router(0, ""), &[(Tracked::Script(script), 0)])]);
    let cause = |bench: &Bench| bench.engine.view(RouterId(0)).cause;
    assert_eq!(cause(&bench), Cause::Fault(Fault::Awaited(0)));
    bench.engine.on_track(bench.now, script, Standing::Good);
    assert_eq!(bench.state(0), StateName::Backup);
    bench.engine.on_track(bench.now, script, Standing::Bad);
    assert_eq!(cause(&bench), Cause::Fault(Fault::Tracked(0)));
    bench.run_for(DOWN.times(3));
    assert_eq!(bench.state(0), StateName::Fault);
}

#[test]
fn a_set_of_uplinks_fails_when_the_last_one_does() {
    let members: Arc<[Source]> = [1, 2].map(|link| Source::Link(LinkId(link))).into();
    let any = tracking(router(0, ""), &[(Tracked::Set(Require::Any, members.clone()), 0)]);
    let mut bench = Bench::started(vec![any, router(1, ""), router(2, "")]);
    assert_eq!(bench.state(0), StateName::Backup);
    bench.link(1, false);
    assert_eq!(bench.state(0), StateName::Backup);
    bench.link(2, false);
    assert_eq!(bench.state(0), StateName::Fault);
    bench.link(1, true);
    assert_eq!(bench.state(0), StateName::Backup);
}

#[test]
fn a_group_is_master_only_together() {
    let mut bench = Bench::started((0..3).map(|n| router(n, "G")).collect());
    assert_eq!(Bench::transitions(&bench.wishes()), [StateName::Backup]);
    // Somebody better holds the second link: nobody becomes master.
    for _ in 0..10 {
        bench.run_for(Span::from_secs(1));
        bench.hear(1, 200);
    }
    assert_eq!(bench.states(), [StateName::Backup; 3]);
    bench.wishes();
    let wishes = bench.run_for(DOWN);
    assert_eq!(bench.states(), [StateName::Master; 3]);
    assert_eq!(Bench::transitions(&wishes), [StateName::Master]);
    // One yields: the others say that they leave.
    bench.hear(2, 200);
    let wishes = bench.wishes();
    assert_eq!(bench.states(), [StateName::Backup; 3]);
    for router in [0, 1] {
        assert!(wishes.contains(&Action::Advertise { router: RouterId(router), priority: 0 }));
    }
    assert_eq!(Bench::transitions(&wishes), [StateName::Backup]);
}

#[test]
fn a_fault_of_one_is_a_fault_of_all() {
    let mut bench = Bench::started((0..3).map(|n| router(n, "G")).collect());
    bench.run_for(DOWN);
    bench.wishes();
    bench.link(1, false);
    bench.link(2, false);
    assert_eq!(bench.states(), [StateName::Fault; 3]);
    assert_eq!(bench.engine.view(RouterId(0)).cause, Cause::Fault(Fault::Group));
    bench.link(1, true);
    assert_eq!(bench.states(), [StateName::Fault; 3]);
    bench.link(2, true);
    assert_eq!(bench.states(), [StateName::Backup; 3]);
    let told = Bench::transitions(&bench.wishes());
    assert_eq!(told, [StateName::Fault, StateName::Backup]);
}

/// What was deleted by hand costs the group its slowest member's skew time: nobody else is master.
#[test]
fn a_group_that_lost_an_address_is_back_after_its_skew_time() {
    let slowest = RouterParams { priority: 50, ..router(2, "G") };
    let mut bench = Bench::started(vec![router(0, "G"), router(1, "G"), slowest]);
    bench.run_for(DOWN.times(2));
    assert_eq!(bench.states(), [StateName::Master; 3]);
    bench.engine.on_address_lost(bench.now, RouterId(1));
    let wishes = bench.wishes();
    assert_eq!(bench.states(), [StateName::Backup; 3]);
    for n in 0..3 {
        assert!(wishes.contains(&Action::Advertise { router: RouterId(n), priority: 0 }));
    }
    let skew = skew_time(Version::V3, 50, params().interval);
    let back = bench.now + skew;
    bench.run_until(back - Span::from_millis(1));
    assert_eq!(bench.states(), [StateName::Backup; 3]);
    bench.run_until(back);
    assert_eq!(bench.states(), [StateName::Master; 3]);
    // Who heard somebody better meanwhile follows that one, and the group with it.
    bench.engine.on_address_lost(bench.now, RouterId(1));
    bench.hear(0, 200);
    bench.run_for(skew);
    assert_eq!(bench.states(), [StateName::Backup; 3]);
}

#[test]
fn owners_of_a_group_start_together() {
    let owner = |n| RouterParams { priority: 255, ..router(n, "G") };
    let mut bench = Bench::started((0..3).map(owner).collect());
    assert_eq!(bench.states(), [StateName::Master; 3]);
    bench.link(0, false);
    assert_eq!(bench.states(), [StateName::Fault; 3]);
    bench.link(0, true);
    assert_eq!(bench.states(), [StateName::Master; 3]);
    let told = Bench::transitions(&bench.wishes());
    assert_eq!(told.last(), Some(&StateName::Master));
}

/// keepalived's #2715: a member that comes by a reload does not disturb the others.
#[test]
fn a_newcomer_catches_up_with_a_master_group() {
    let script = TrackId(0);
    let mut bench = Bench::started((0..2).map(|n| router(n, "G")).collect());
    bench.run_for(DOWN);
    bench.engine.grow_links(3);
    bench.link(2, true);
    bench.wishes();
    let newcomer = tracking(router(2, "G"), &[(Tracked::Script(script), 0)]);
    bench.engine.on_change(bench.now, Change::Add(newcomer));
    assert_eq!(bench.states(), [StateName::Master, StateName::Master, StateName::Init]);
    bench.engine.on_track(bench.now, script, Standing::Good);
    bench.run_for(DOWN);
    assert_eq!(bench.states(), [StateName::Master; 3]);
    assert_eq!(Bench::transitions(&bench.wishes()), []);
    // From now on it counts.
    bench.engine.on_track(bench.now, script, Standing::Bad);
    assert_eq!(bench.states(), [StateName::Fault; 3]);
    // Without it the others can run again.
    bench.engine.on_change(bench.now, Change::Remove(RouterId(2)));
    assert_eq!(bench.states(), [StateName::Backup; 2]);
}

/// A group of two masters, and a third router that a reload adds to it.
fn with_newcomer(newcomer: RouterParams) -> Bench {
    let mut bench = Bench::started((0..2).map(|n| router(n, "G")).collect());
    bench.run_for(DOWN);
    bench.engine.grow_links(3);
    bench.link(2, true);
    bench.wishes();
    bench.engine.on_change(bench.now, Change::Add(newcomer));
    bench
}

/// As keepalived does: who is master is master together, and one of them is outranked.
#[test]
fn a_newcomer_with_a_better_master_takes_the_group_back() {
    let mut bench = with_newcomer(router(2, "G"));
    let mut wishes = Vec::new();
    for _ in 0..4 {
        assert_eq!(bench.states(), [StateName::Master, StateName::Master, StateName::Backup]);
        bench.hear(2, 200);
        wishes.extend(bench.run_for(Span::from_secs(1)));
    }
    assert_eq!(bench.states(), [StateName::Backup; 3], "it has had its down interval to join");
    assert_eq!(Bench::transitions(&wishes), [StateName::Backup]);
    let told = Notice::KeepsGroupBack { active: HIGHER_ADDRESS, priority: 200 };
    assert!(wishes.contains(&Action::Notice { router: RouterId(2), notice: told }));
    for n in 0..2 {
        assert!(wishes.contains(&Action::Advertise { router: RouterId(n), priority: 0 }));
    }
    // From now on it is a group like any other.
    for _ in 0..10 {
        bench.hear(2, 200);
        bench.run_for(Span::from_secs(1));
    }
    assert_eq!(bench.states(), [StateName::Backup; 3]);
    bench.run_for(DOWN);
    assert_eq!(bench.states(), [StateName::Master; 3]);
}

/// The two hosts' reloads may be some seconds apart.
#[test]
fn a_better_master_that_leaves_in_time_does_not_disturb_the_group() {
    for leaves in [true, false] {
        let mut bench = with_newcomer(router(2, "G"));
        bench.hear(2, 200);
        bench.run_for(Span::from_secs(2));
        let wishes = if leaves {
            bench.hear(2, 0);
            bench.run_for(skew_time(Version::V3, 100, params().interval))
        } else {
            // It is master with a lower priority now, say.
            bench.hear(2, 50);
            bench.run_for(DOWN)
        };
        assert_eq!(bench.states(), [StateName::Master; 3]);
        assert_eq!(Bench::transitions(&wishes), []);
    }
}

/// A group that is master does not return: who holds one of its addresses with a lower priority is
/// displaced, or the group would be split for good.
#[test]
fn preempt_mode_does_not_keep_a_newcomer_from_its_group() {
    for preempt in [Preempt::Never, Preempt::After(Span::from_secs(300))] {
        let mut bench = with_newcomer(RouterParams { preempt, ..router(2, "G") });
        let mut wishes = Vec::new();
        for _ in 0..4 {
            bench.hear(2, 50);
            wishes.extend(bench.run_for(Span::from_secs(1)));
        }
        assert_eq!(bench.states(), [StateName::Master; 3], "{preempt:?}");
        assert_eq!(Bench::transitions(&wishes), []);
    }
}

#[test]
fn a_backup_that_a_reload_puts_into_a_master_group_joins_or_takes_it_back() {
    for silent in [true, false] {
        let routers = vec![router(0, "G"), router(1, "G"), router(2, "")];
        let mut bench = Bench::started(routers);
        let hear = |bench: &mut Bench| {
            bench.hear(2, 200);
            bench.run_for(Span::from_secs(1));
        };
        (0..4).for_each(|_| hear(&mut bench));
        assert_eq!(bench.states(), [StateName::Master, StateName::Master, StateName::Backup]);
        bench.engine.on_change(bench.now, Change::Alter(RouterId(2), router(2, "G")));
        (0..4).for_each(|_| if silent { drop(bench.run_for(SECOND)) } else { hear(&mut bench) });
        let together = if silent { StateName::Master } else { StateName::Backup };
        assert_eq!(bench.states(), [together; 3]);
    }
}

#[test]
fn a_newcomer_that_is_left_alone_is_the_group() {
    let mut bench = with_newcomer(router(2, "G"));
    bench.run_for(SECOND);
    bench.hear(2, 200);
    bench.wishes();
    for n in 0..2 {
        bench.engine.on_change(bench.now, Change::Remove(RouterId(n)));
    }
    assert_eq!(Bench::transitions(&bench.wishes()), [StateName::Backup]);
    bench.run_for(Span::from_millis(3_500));
    assert_eq!(bench.state(2), StateName::Backup, "it follows like any other");
    bench.run_for(SECOND);
    assert_eq!(bench.state(2), StateName::Master);
}

#[test]
fn who_runs_goes_on_until_a_first_result_is_known() {
    let script = TrackId(0);
    let checked = |group| tracking(router(0, group), &[(Tracked::Script(script), 0)]);
    for (group, state) in ["", "G"]
        .into_iter()
        .flat_map(|group| [StateName::Backup, StateName::Master].map(|state| (group, state)))
    {
        let mut bench = Bench::started(vec![router(0, group), router(1, group)]);
        if state == StateName::Master {
            bench.run_for(DOWN);
        }
        bench.wishes();
        bench.engine.on_change(bench.now, Change::Alter(RouterId(0), checked(group)));
        assert_eq!(bench.wishes(), [Action::Altered { router: RouterId(0) }]);
        assert_eq!(bench.states(), [state; 2]);
        // A new start waits for it, though: its own, and that of its group.
        bench.link(0, false);
        bench.link(0, true);
        let waits = if group.is_empty() { state } else { StateName::Init };
        assert_eq!(bench.states(), [StateName::Init, waits]);
        bench.engine.on_track(bench.now, script, Standing::Good);
        bench.run_for(DOWN);
        assert_eq!(bench.states(), [StateName::Master; 2]);
        // What is unknown once more is no news either; what fails is.
        bench.engine.on_track(bench.now, script, Standing::Unknown);
        assert_eq!(bench.states(), [StateName::Master; 2]);
        bench.engine.on_track(bench.now, script, Standing::Bad);
        assert_eq!(bench.state(0), StateName::Fault);
    }
}

/// The fault of another stops it; what it could go on without, it has to wait for then.
#[test]
fn a_group_that_stopped_waits_for_what_a_running_one_need_not_know() {
    let script = TrackId(0);
    let mut bench = Bench::started(vec![router(0, "G"), router(1, "G")]);
    bench.run_for(DOWN);
    let checked = tracking(router(0, "G"), &[(Tracked::Script(script), 0)]);
    bench.engine.on_change(bench.now, Change::Alter(RouterId(0), checked));
    bench.link(1, false);
    assert_eq!(bench.states(), [StateName::Fault; 2]);
    bench.link(1, true);
    assert_eq!(bench.states(), [StateName::Init; 2]);
    assert_eq!(bench.engine.view(RouterId(1)).cause, Cause::Fault(Fault::GroupAwaited));
    bench.engine.on_track(bench.now, script, Standing::Good);
    assert_eq!(bench.states(), [StateName::Backup; 2]);
}

#[test]
fn a_newcomer_whose_results_are_awaited_stops_nobody() {
    let script = TrackId(0);
    let mut bench = Bench::started((0..2).map(|n| router(n, "G")).collect());
    bench.engine.grow_links(4);
    bench.link(2, true);
    bench.link(3, true);
    let newcomer = tracking(router(2, "G"), &[(Tracked::Script(script), 0)]);
    bench.engine.on_change(bench.now, Change::Add(newcomer));
    bench.engine.on_change(bench.now, Change::Add(router(3, "G")));
    bench.wishes();
    let told = bench.run_for(DOWN.times(2));
    let backup = StateName::Backup;
    assert_eq!(bench.states(), [backup, backup, StateName::Init, backup]);
    assert_eq!(Bench::transitions(&told), [], "nor is anybody master without it");
    bench.engine.on_track(bench.now, script, Standing::Good);
    bench.run_for(DOWN);
    assert_eq!(bench.states(), [StateName::Master; 4]);
}

/// A duplicate address check is no fault; but it is over for who was master, and for its group.
#[test]
fn a_group_steps_back_for_a_member_that_can_not_send_for_a_while() {
    let six = |n| {
        let mut params = router(n, "G");
        params.transport.family = viprd::base::Family::Ipv6;
        params.addresses = Box::default();
        params
    };
    let mut bench = Bench::new((0..2).map(six).collect());
    let link_local = |bench: &mut Bench, n, link_local| {
        let facts = LinkFacts { link_local, ..facts(LinkId(n), true) };
        bench.engine.on_link(bench.now, &LinkChange { link: LinkId(n), facts: Some(facts) });
    };
    let ready = LinkLocal::Ready("fe80::1".parse().unwrap());
    (0..2).for_each(|n| link_local(&mut bench, n, ready));
    bench.engine.start(bench.now);
    bench.run_for(DOWN);
    assert_eq!(bench.states(), [StateName::Master; 2]);
    link_local(&mut bench, 0, LinkLocal::Tentative);
    assert_eq!(bench.states(), [StateName::Init, StateName::Backup]);
    link_local(&mut bench, 0, ready);
    bench.run_for(DOWN);
    assert_eq!(bench.states(), [StateName::Master; 2]);
}

#[test]
fn a_group_that_a_reload_makes_of_masters_stays_master() {
    let mut bench = Bench::started((0..2).map(|n| router(n, "")).collect());
    bench.run_for(DOWN);
    bench.wishes();
    for n in 0..2 {
        bench.engine.on_change(bench.now, Change::Alter(RouterId(n), router(n, "G")));
    }
    assert_eq!(bench.states(), [StateName::Master; 2]);
    bench.hear(0, 200);
    assert_eq!(bench.states(), [StateName::Backup; 2]);
    for n in 0..2 {
        bench.engine.on_change(bench.now, Change::Alter(RouterId(n), router(n, "")));
    }
    bench.run_for(Span::from_secs(1));
    bench.hear(0, 200);
    bench.run_for(Span::from_secs(3));
    assert_eq!(bench.states(), [StateName::Backup, StateName::Master]);
}

/// Not quadratic: an event on a group of thousands makes a few wishes for each member.
#[test]
fn a_large_group_moves_once() {
    const MEMBERS: u32 = 4_000;
    let mut bench = Bench::started((0..MEMBERS).map(|n| router(n, "G")).collect());
    bench.run_for(DOWN);
    assert!(bench.states().iter().all(|&state| state == StateName::Master));
    bench.wishes();
    bench.link(17, false);
    let wishes = bench.wishes();
    // For each: priority 0 (17 can't send), the state, the addresses; and once the group.
    assert_eq!(wishes.len(), 3 * MEMBERS as usize);
}

// The model.

/// Where a member is, as a person sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Not configured.
    Absent,
    /// In INIT or FAULT.
    Idle,
    Backup,
    /// BACKUP in a group that is master without it; when it heard a better master, if it did.
    Newcomer(Option<Instant>),
    Master,
}

/// What is known of a member: next to nothing.
#[derive(Clone, Copy)]
struct Member {
    group: usize,
    id: RouterId,
    place: Place,
    owner: bool,
    preempt: Preempt,
    link_up: bool,
    script: Standing,
    /// A second script, which it tracks or not.
    second: Standing,
    tracks_second: bool,
    heavy: bool,
    deadline: Option<Instant>,
    wants: bool,
    lower_since: Option<Instant>,
}

impl Member {
    fn params(&self, n: usize) -> RouterParams {
        let script = |nth| Tracked::Script(TrackId(3 * n as u32 + nth));
        let tracks = [(script(0), 0), (script(1), -30), (script(2), 0)];
        let count = if self.tracks_second { 3 } else { 2 };
        let router = router(n as u32, &format!("G{}", self.group));
        let priority = if self.owner { 255 } else { 100 };
        tracking(RouterParams { priority, preempt: self.preempt, ..router }, &tracks[..count])
    }

    fn has(&self, standing: Standing) -> bool {
        self.script == standing || self.tracks_second && self.second == standing
    }

    fn broken(&self) -> bool {
        !self.link_up || self.has(Standing::Bad)
    }

    fn priority(&self) -> u8 {
        match (self.owner, self.heavy) {
            (true, _) => 255,
            (false, true) => 70,
            (false, false) => 100,
        }
    }

    fn down(&self) -> Span {
        active_down_interval(Version::V3, self.priority(), params().interval, 3)
    }

    fn skew(&self) -> Span {
        skew_time(Version::V3, self.priority(), params().interval)
    }

    fn rest(&mut self) {
        (self.place, self.deadline, self.wants) = (Place::Idle, None, false);
    }

    /// Backup, to be ready after `wait`.
    fn back(&mut self, now: Instant, wait: Span) {
        (self.place, self.deadline, self.wants) = (Place::Backup, Some(now + wait), false);
        self.lower_since = None;
    }

    fn start(&mut self, now: Instant, group: StateName) {
        self.back(now, self.down());
        match (group == StateName::Master, self.owner) {
            (false, false) => {}
            (false, true) => (self.deadline, self.wants) = (None, true),
            (true, false) => self.place = Place::Newcomer(None),
            (true, true) => (self.place, self.deadline) = (Place::Master, None),
        }
    }

    /// Its group is not master any more.
    fn no_newcomer(&mut self) {
        if let Place::Newcomer(heard) = self.place {
            self.place = Place::Backup;
            self.deadline = heard.map(|heard| heard + self.down()).or(self.deadline);
        }
    }

    /// Whether it follows a master of lower priority, because it may not preempt (yet).
    fn spares(&mut self, now: Instant) -> bool {
        match self.preempt {
            _ if self.owner => false,
            Preempt::Never => true,
            Preempt::After(delay) if delay.is_zero() => false,
            Preempt::After(delay) => now.since(*self.lower_since.get_or_insert(now)) < delay,
        }
    }
}

/// Groups as a person would explain them, without counters and without haste.
struct Model {
    members: Vec<Member>,
    groups: Vec<StateName>,
}

impl Model {
    fn of(&mut self, group: usize) -> impl Iterator<Item = &mut Member> {
        let present = |member: &&mut Member| member.place != Place::Absent;
        self.members.iter_mut().filter(move |member| member.group == group).filter(present)
    }

    fn any(&mut self, group: usize, is: impl Fn(&Member) -> bool) -> bool {
        self.of(group).any(|member| is(member))
    }

    /// Something may be broken or whole again, known or not, there or not.
    fn settle(&mut self, now: Instant, group: usize) {
        let unknown =
            |member: &Member| member.place == Place::Idle && member.has(Standing::Unknown);
        if self.any(group, Member::broken) {
            self.groups[group] = StateName::Fault;
            return self.of(group).for_each(Member::rest);
        }
        let somebody_is_unknown = self.any(group, unknown);
        match self.groups[group] {
            StateName::Init | StateName::Fault if somebody_is_unknown => {
                self.groups[group] = StateName::Init;
            }
            StateName::Init | StateName::Fault => {
                self.groups[group] = StateName::Backup;
                let idle = self.of(group).filter(|member| member.place == Place::Idle);
                idle.for_each(|member| member.start(now, StateName::Backup));
            }
            // Who runs doesn't mind what is not known.
            running => {
                let idle = |member: &&mut Member| member.place == Place::Idle;
                let starting = self.of(group).filter(idle).filter(|member| !unknown(member));
                starting.for_each(|member| member.start(now, running));
            }
        }
        if self.groups[group] == StateName::Master
            && !self.any(group, |member| member.place == Place::Master)
        {
            self.groups[group] = StateName::Backup;
            self.of(group).for_each(Member::no_newcomer);
        }
        if self.groups[group] == StateName::Backup
            && !self.any(group, |member| member.place == Place::Backup)
        {
            self.groups[group] = StateName::Init;
        }
        self.together(group);
    }

    /// Master together.
    fn together(&mut self, group: usize) {
        if self.any(group, |_| true) && !self.any(group, |member| !member.wants) {
            self.groups[group] = StateName::Master;
            self.of(group).for_each(|member| (member.place, member.wants) = (Place::Master, false));
        }
    }

    /// A master group steps back, and each that was master is ready again after a `wait` of its own.
    fn step_back(&mut self, now: Instant, group: usize, wait: fn(&Member) -> Span) {
        self.groups[group] = StateName::Backup;
        for member in self.of(group) {
            match member.place {
                Place::Master => member.back(now, wait(member)),
                _ => member.no_newcomer(),
            }
        }
    }

    /// An advert of `priority`, from an address higher than ours.
    fn hear(&mut self, now: Instant, index: usize, priority: u8) {
        let member = &mut self.members[index];
        let (leaves, lower) = (priority == 0, priority < member.priority());
        match member.place {
            Place::Absent | Place::Idle => {}
            Place::Master if lower => {}
            Place::Master => {
                let group = member.group;
                self.step_back(now, group, Member::down);
            }
            Place::Newcomer(_) => {
                member.place = Place::Newcomer((!lower).then_some(now));
                if leaves {
                    member.deadline = Some(now + member.skew());
                }
            }
            Place::Backup if leaves => {
                member.lower_since = None;
                if !member.wants {
                    member.deadline = Some(now + member.skew());
                }
            }
            Place::Backup => {
                if lower && !member.spares(now) {
                    return;
                }
                member.lower_since = member.lower_since.filter(|_| lower);
                (member.deadline, member.wants) = (Some(now + member.down()), false);
            }
        }
    }

    /// Nobody else is known to be master, for any of them: all say that they leave, and each is ready
    /// again after its skew time.
    fn lose_address(&mut self, now: Instant, index: usize) {
        if self.members[index].place == Place::Master {
            self.step_back(now, self.members[index].group, Member::skew);
        }
    }

    fn weigh(&mut self, index: usize, heavy: bool) {
        let member = &mut self.members[index];
        let before = member.skew();
        member.heavy = heavy;
        let after = member.skew();
        member.deadline = member.deadline.map(|deadline| (deadline + after) - before);
    }

    fn add(&mut self, now: Instant, index: usize) {
        let group = self.members[index].group;
        if !self.any(group, |_| true) {
            self.groups[group] = StateName::Init;
        }
        self.members[index].rest();
        self.settle(now, group);
    }

    fn remove(&mut self, now: Instant, index: usize) {
        let member = &mut self.members[index];
        member.rest();
        member.place = Place::Absent;
        let group = member.group;
        if self.any(group, |_| true) {
            self.settle(now, group);
        }
    }

    /// A reload puts it into another group.
    fn regroup(&mut self, now: Instant, index: usize, group: usize) {
        let mut member = self.members[index];
        let left = member.group;
        self.remove(now, index);
        member.no_newcomer();
        if std::mem::take(&mut member.wants) {
            member.deadline = Some(now);
        }
        let alone = !self.any(group, |_| true);
        match (member.place, self.groups[group]) {
            (Place::Backup, _) if alone => self.groups[group] = StateName::Backup,
            (Place::Master, _) if alone => self.groups[group] = StateName::Master,
            (_, _) if alone => self.groups[group] = StateName::Init,
            (Place::Backup, StateName::Master) => {
                (member.place, member.lower_since) = (Place::Newcomer(None), None);
            }
            (Place::Backup, _) => member.lower_since = None,
            (Place::Master, StateName::Master) => {}
            (Place::Master, _) => member.back(now, member.down()),
            _ => {}
        }
        assert_ne!(left, group);
        self.members[index] = Member { group, ..member };
        self.settle(now, group);
    }

    fn run(&mut self, start: Instant, end: Instant) {
        loop {
            let due = |member: &Member| member.deadline.filter(|&deadline| deadline <= end);
            let next = (0..self.members.len()).filter_map(|n| Some((due(&self.members[n])?, n)));
            let Some((deadline, index)) = next.min() else { return };
            // A new priority may have moved one into the past.
            let now = deadline.max(start);
            let member = &mut self.members[index];
            let group = member.group;
            match member.place {
                Place::Newcomer(Some(heard)) if heard + member.down() > now => {
                    self.step_back(now, group, Member::down);
                }
                Place::Newcomer(_) => (member.place, member.deadline) = (Place::Master, None),
                _ => {
                    (member.deadline, member.wants) = (None, true);
                    self.together(group);
                }
            }
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn random_groups_do_what_a_simple_model_does() {
    const STEPS: u64 = 100_000;
    let mut seen = [0; 6];
    for seed in 0..10 {
        let played = play(seed, STEPS / 10);
        seen.iter_mut().zip(played).for_each(|(sum, count)| *sum += count);
    }
    assert!(seen.iter().all(|&count| count > STEPS / 100), "too much of one: {seen:?}");
}

/// Returns how often a member was where.
fn play(seed: u64, steps: u64) -> [u64; 6] {
    let mut random = Random(seed);
    let mut members = Vec::new();
    for group in 0..6 {
        for _ in 0..1 + random.below(6) {
            members.push(Member {
                group,
                id: RouterId(members.len() as u32),
                place: Place::Idle,
                owner: random.below(12) == 0,
                preempt: match random.below(4) {
                    0 => Preempt::Never,
                    1 => Preempt::After(Span::from_secs(2)),
                    _ => Preempt::After(Span::ZERO),
                },
                link_up: true,
                script: Standing::Good,
                second: Standing::Unknown,
                tracks_second: false,
                heavy: false,
                deadline: None,
                wants: false,
                lower_since: None,
            });
        }
    }
    let routers = members.iter().enumerate().map(|(n, member)| member.params(n)).collect();
    let mut bench = Bench::new(routers);
    for n in 0..members.len() as u32 {
        bench.engine.on_track(START, TrackId(3 * n), Standing::Good);
        bench.engine.on_track(START, TrackId(3 * n + 1), Standing::Good);
    }
    bench.engine.start(START);
    let mut model = Model { members, groups: vec![StateName::Init; 6] };
    (0..6).for_each(|group| model.settle(START, group));

    let mut seen = [0_u64; 6];
    for step in 0..steps {
        let newcomer =
            model.members.iter().position(|member| matches!(member.place, Place::Newcomer(_)));
        let n = match newcomer {
            Some(n) if random.below(3) == 0 => n,
            _ => random.below(model.members.len() as u64) as usize,
        };
        // No two things happen at once: their order would matter.
        let end = bench.now + Span::from_nanos(1 + random.below(1_000));
        model.run(bench.now, end);
        bench.run_until(end);
        let (slot, now) = (n as u32, bench.now);
        let Member { id, group, place, .. } = model.members[n];
        let present = place != Place::Absent;
        let standing = |random: &mut Random| match random.below(10) {
            0 => Standing::Bad,
            1..=3 => Standing::Unknown,
            _ => Standing::Good,
        };
        match random.below(30) {
            0..=2 => {
                let up = random.below(8) > 0;
                bench.link(slot, up);
                model.members[n].link_up = up;
                model.settle(now, group);
            }
            3..=5 => {
                let standing = standing(&mut random);
                bench.engine.on_track(now, TrackId(3 * slot), standing);
                model.members[n].script = standing;
                model.settle(now, group);
            }
            6 | 7 => {
                let standing = standing(&mut random);
                bench.engine.on_track(now, TrackId(3 * slot + 2), standing);
                model.members[n].second = standing;
                model.settle(now, group);
            }
            8 | 9 => {
                let heavy = random.below(2) == 0;
                let standing = if heavy { Standing::Bad } else { Standing::Good };
                bench.engine.on_track(now, TrackId(3 * slot + 1), standing);
                model.weigh(n, heavy);
            }
            10..=14 if present => {
                let priority = [0, 50, 85, 200][random.below(4) as usize];
                bench.hear(id.0, priority);
                model.hear(now, n, priority);
            }
            15 if present => {
                bench.engine.on_address_lost(now, id);
                model.lose_address(now, n);
            }
            16 | 17 if present => {
                // Usually it is known soon.
                model.members[n].tracks_second ^= true;
                let params = model.members[n].params(n);
                bench.engine.on_change(now, Change::Alter(id, params));
                model.settle(now, group);
            }
            23 if present => {
                let other = (group + 1 + random.below(5) as usize) % 6;
                let params = Member { group: other, ..model.members[n] }.params(n);
                bench.engine.on_change(now, Change::Alter(id, params));
                model.regroup(now, n, other);
            }
            // Somebody mends the whole group.
            21 | 22 => {
                for n in 0..model.members.len() {
                    if model.members[n].group != group {
                        continue;
                    }
                    let now = bench.now + Span::from_nanos(1);
                    model.run(bench.now, now);
                    bench.run_until(now);
                    bench.link(n as u32, true);
                    model.members[n].link_up = true;
                    model.settle(now, group);
                    bench.engine.on_track(now, TrackId(3 * n as u32), Standing::Good);
                    model.members[n].script = Standing::Good;
                    model.settle(now, group);
                    bench.engine.on_track(now, TrackId(3 * n as u32 + 2), Standing::Good);
                    model.members[n].second = Standing::Good;
                    model.settle(now, group);
                }
            }
            18 if present => {
                bench.engine.on_change(now, Change::Remove(id));
                model.remove(now, n);
            }
            18..=20 if !present => {
                bench.wishes();
                bench.engine.on_change(now, Change::Add(model.members[n].params(n)));
                let added = |wish: &Action| match wish {
                    Action::Added { router } => Some(*router),
                    _ => None,
                };
                let wishes = bench.wishes();
                model.members[n].id = wishes.iter().find_map(added).expect("a router");
                model.add(now, n);
            }
            _ => {
                let end = now + Span::from_nanos(random.below(2_500_000_000));
                bench.run_until(end);
                model.run(now, end);
            }
        }
        bench.wishes();
        for (index, member) in model.members.iter().enumerate() {
            if member.place == Place::Absent {
                continue;
            }
            let told = || format!("seed {seed}, step {step}: VI_{index} in G{}", member.group);
            let view = bench.engine.view(member.id);
            let (kind, expected) = match (member.place, model.groups[member.group]) {
                (Place::Idle, StateName::Fault) => (0, StateName::Fault),
                (Place::Idle | Place::Absent, _) => (1, StateName::Init),
                (Place::Backup, _) => (2, StateName::Backup),
                (Place::Newcomer(None), _) => (3, StateName::Backup),
                (Place::Newcomer(Some(_)), _) => (4, StateName::Backup),
                (Place::Master, _) => (5, StateName::Master),
            };
            assert_eq!(view.state.name(), expected, "{}", told());
            assert_eq!(view.priority, member.priority(), "{}", told());
            let group = bench.engine.group_of(view.id).expect("a group");
            assert_eq!(group.state, model.groups[member.group], "{}", told());
            if expected == StateName::Backup {
                let deadline = (view.deadline != Instant::NEVER).then_some(view.deadline);
                assert_eq!(deadline, member.deadline, "{}", told());
            }
            seen[kind] += 1;
        }
    }
    seen
}
