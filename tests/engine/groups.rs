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
        self.engine.on_advert(self.now, ifindex(LinkId(router)), &advert);
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

/// What is known of a member: next to nothing.
#[derive(Clone, Copy)]
struct Member {
    group: usize,
    link_up: bool,
    script: bool,
    heavy: bool,
    deadline: Option<Instant>,
    wants: bool,
}

impl Member {
    fn broken(&self) -> bool {
        !self.link_up || !self.script
    }

    fn priority(&self) -> u8 {
        if self.heavy { 70 } else { 100 }
    }

    fn down(&self, now: Instant) -> Option<Instant> {
        Some(now + active_down_interval(Version::V3, self.priority(), params().interval, 3))
    }

    fn skew(&self) -> Span {
        skew_time(Version::V3, self.priority(), params().interval)
    }
}

/// Groups as a person would explain them, without counters and without haste.
struct Model {
    members: Vec<Member>,
    groups: Vec<StateName>,
}

impl Model {
    fn of(&mut self, group: usize) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().filter(move |member| member.group == group)
    }

    /// Something may be broken or whole again.
    fn settle(&mut self, now: Instant, group: usize) {
        let broken = self.of(group).any(|member| member.broken());
        match (broken, self.groups[group] == StateName::Fault) {
            (true, false) => {
                self.groups[group] = StateName::Fault;
                self.of(group).for_each(|member| (member.deadline, member.wants) = (None, false));
            }
            (false, true) => self.back(now, group),
            _ => {}
        }
    }

    fn back(&mut self, now: Instant, group: usize) {
        self.groups[group] = StateName::Backup;
        for member in self.of(group) {
            (member.deadline, member.wants) = (member.down(now), false);
        }
    }

    fn hear_higher(&mut self, now: Instant, index: usize) {
        let group = self.members[index].group;
        match self.groups[group] {
            StateName::Backup => {
                let member = &mut self.members[index];
                (member.deadline, member.wants) = (member.down(now), false);
            }
            StateName::Master => self.back(now, group),
            _ => {}
        }
    }

    fn hear_leaving(&mut self, now: Instant, index: usize) {
        let member = &mut self.members[index];
        if self.groups[member.group] == StateName::Backup && !member.wants {
            member.deadline = Some(now + member.skew());
        }
    }

    fn lose_address(&mut self, now: Instant, index: usize) {
        let group = self.members[index].group;
        if self.groups[group] == StateName::Master {
            self.groups[group] = StateName::Backup;
            // Nobody else is known to be master, for any of them: all say that they leave, and each
            // is ready again after its skew time.
            for member in self.of(group) {
                (member.deadline, member.wants) = (Some(now + member.skew()), false);
            }
        }
    }

    fn weigh(&mut self, index: usize, heavy: bool) {
        let member = &mut self.members[index];
        let before = member.skew();
        member.heavy = heavy;
        let after = member.skew();
        member.deadline = member.deadline.map(|deadline| (deadline + after) - before);
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let due = |member: &Member| member.deadline.filter(|&deadline| deadline <= end);
            let next = (0..self.members.len()).filter_map(|n| Some((due(&self.members[n])?, n)));
            let Some((_, index)) = next.min() else { return };
            let group = self.members[index].group;
            let member = &mut self.members[index];
            (member.deadline, member.wants) = (None, true);
            if self.of(group).all(|member| member.wants) {
                self.groups[group] = StateName::Master;
                self.of(group).for_each(|member| member.wants = false);
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
    for seed in 0..10 {
        play(seed, STEPS / 10);
    }
}

fn play(seed: u64, steps: u64) {
    let mut random = Random(seed);
    let mut routers = Vec::new();
    let mut members = Vec::new();
    for group in 0..6 {
        for _ in 0..1 + random.below(6) {
            let n = routers.len() as u32;
            let tracks =
                [(Tracked::Script(TrackId(2 * n)), 0), (Tracked::Script(TrackId(2 * n + 1)), -30)];
            routers.push(tracking(router(n, &format!("G{group}")), &tracks));
            members.push(Member {
                group,
                link_up: true,
                script: true,
                heavy: false,
                deadline: None,
                wants: false,
            });
        }
    }
    let mut bench = Bench::new(routers);
    for n in 0..members.len() as u32 {
        bench.engine.on_track(START, TrackId(2 * n), Standing::Good);
        bench.engine.on_track(START, TrackId(2 * n + 1), Standing::Good);
    }
    bench.engine.start(START);
    let mut model = Model { members, groups: vec![StateName::Fault; 6] };
    (0..6).for_each(|group| model.settle(START, group));

    let mut seen = [0_u64; 3];
    for step in 0..steps {
        let n = random.below(model.members.len() as u64) as usize;
        let (id, now) = (n as u32, bench.now);
        let kind = random.below(20);
        match kind {
            0..=2 => {
                let up = kind > 0;
                bench.link(id, up);
                model.members[n].link_up = up;
                model.settle(now, model.members[n].group);
            }
            3..=5 => {
                let good = kind > 3;
                let standing = if good { Standing::Good } else { Standing::Bad };
                bench.engine.on_track(now, TrackId(2 * id), standing);
                model.members[n].script = good;
                model.settle(now, model.members[n].group);
            }
            6 | 7 => {
                let heavy = kind == 6;
                let standing = if heavy { Standing::Bad } else { Standing::Good };
                bench.engine.on_track(now, TrackId(2 * id + 1), standing);
                model.weigh(n, heavy);
            }
            8 | 9 => {
                bench.hear(id, 200);
                model.hear_higher(now, n);
            }
            10 => bench.hear(id, 50),
            11 => {
                bench.hear(id, 0);
                model.hear_leaving(now, n);
            }
            12 => {
                bench.engine.on_address_lost(now, RouterId(id));
                model.lose_address(now, n);
            }
            _ => {
                let end = now + Span::from_nanos(random.below(2_500_000_000));
                bench.run_until(end);
                model.run_until(end);
            }
        }
        bench.wishes();
        for (index, member) in model.members.iter().enumerate() {
            let view = bench.engine.view(RouterId(index as u32));
            let (state, expected) = (view.state.name(), model.groups[member.group]);
            let told = || format!("seed {seed}, step {step}: VI_{index} in G{}", member.group);
            assert_eq!(state, expected, "{}", told());
            assert_eq!(view.priority, member.priority(), "{}", told());
            let group = bench.engine.group_of(view.id).expect("a group");
            assert_eq!(group.state, expected, "{}", told());
            if expected == StateName::Backup {
                let deadline = (view.deadline != Instant::NEVER).then_some(view.deadline);
                assert_eq!(deadline, member.deadline, "{}", told());
            }
            seen[match expected {
                StateName::Fault => 0,
                StateName::Backup => 1,
                _ => 2,
            }] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > steps / 100), "too much of one: {seen:?}");
}
