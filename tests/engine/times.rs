//! When things happen: to the nanosecond.

use viprd::base::{Centis, Instant, Span};
use viprd::vrrp::{Action, Preempt, RouterParams, StateName};
use viprd::wire::Version;

use crate::desk::*;

/// Version, priority, interval in centiseconds; skew and down interval in nanoseconds, worked out
/// by hand from RFC 9568 section 6.1 and RFC 3768 section 6.1.
const TIMES: &[(Version, u8, u16, u64, u64)] = &[
    (Version::V3, 254, 1, 78_125, 30_078_125),
    (Version::V3, 254, 10, 781_250, 300_781_250),
    (Version::V3, 254, 100, 7_812_500, 3_007_812_500),
    (Version::V3, 200, 1, 2_187_500, 32_187_500),
    (Version::V3, 200, 10, 21_875_000, 321_875_000),
    (Version::V3, 200, 100, 218_750_000, 3_218_750_000),
    (Version::V3, 100, 1, 6_093_750, 36_093_750),
    (Version::V3, 100, 10, 60_937_500, 360_937_500),
    (Version::V3, 100, 100, 609_375_000, 3_609_375_000),
    (Version::V3, 1, 1, 9_960_937, 39_960_937), // .5 rounded down
    (Version::V3, 1, 10, 99_609_375, 399_609_375),
    (Version::V3, 1, 100, 996_093_750, 3_996_093_750),
    (Version::V3, 100, 4095, 24_953_906_250, 147_803_906_250),
    (Version::V2, 254, 100, 7_812_500, 3_007_812_500),
    (Version::V2, 101, 100, 605_468_750, 3_605_468_750),
    (Version::V2, 1, 100, 996_093_750, 3_996_093_750),
    (Version::V2, 100, 1000, 609_375_000, 30_609_375_000),
    (Version::V2, 1, 25_500, 996_093_750, 765_996_093_750),
];

fn member(version: Version, priority: u8, centis: u16) -> RouterParams {
    RouterParams { version, priority, interval: Centis::new(centis).unwrap(), ..params() }
}

/// Nothing at `due` less a nanosecond, the takeover at `due`.
fn takes_over_at(desk: &mut Desk, due: Instant, what: &str) {
    assert_eq!(desk.view().deadline, due, "{what}");
    // Asked too early, it does nothing.
    desk.engine.on_deadlines(due - NANO, usize::MAX);
    assert_eq!(desk.deeds(), [], "{what}");
    let log = desk.run_until(due);
    assert!(log.iter().all(|(at, _)| *at == due), "{what}: {log:?}");
    assert_eq!(desk.state(), StateName::Master, "{what}");
}

#[test]
fn a_newcomer_waits_its_down_interval() {
    for &(version, priority, centis, _, down) in TIMES {
        let mut desk = Desk::new(member(version, priority, centis));
        takes_over_at(
            &mut desk,
            START + Span::from_nanos(down),
            &format!("{version:?} {priority} {centis}"),
        );
    }
}

#[test]
fn an_advert_starts_the_down_interval_anew() {
    for &(version, priority, centis, _, down) in TIMES {
        let mut desk = Desk::new(member(version, priority, centis));
        for _ in 0..5 {
            desk.run_for(Span::from_nanos(down / 2 + 7));
            desk.hear_priority(priority);
        }
        let due = desk.now + Span::from_nanos(down);
        takes_over_at(&mut desk, due, &format!("{version:?} {priority} {centis}"));
    }
}

#[test]
fn priority_0_leaves_the_skew_time() {
    for &(version, priority, centis, skew, _) in TIMES {
        let mut desk = Desk::new(member(version, priority, centis));
        desk.run_for(NANO);
        desk.hear_priority(255);
        desk.run_for(NANO);
        desk.hear_priority(0);
        let due = desk.now + Span::from_nanos(skew);
        takes_over_at(&mut desk, due, &format!("{version:?} {priority} {centis}"));
    }
}

/// v3 scales everything with the interval that it has learned.
#[test]
fn a_learned_interval_rules_skew_and_down_time() {
    let mut desk = Desk::new(member(Version::V3, 100, 100));
    desk.hear(|advert| (advert.priority, advert.interval) = (200, Centis::new(10).unwrap()));
    assert_eq!(desk.view().deadline, START + Span::from_nanos(360_937_500));
    desk.hear_priority(0);
    assert_eq!(desk.view().deadline, START + Span::from_nanos(60_937_500));
    takes_over_at(&mut desk, START + Span::from_nanos(60_937_500), "learned");
    // Its own adverts keep its own interval.
    let log = desk.run_for(SECOND);
    assert_eq!(log.len(), 1);
}

/// The takeover itself: the advert first, then the state, then the addresses.
#[test]
fn a_takeover_speaks_before_it_acts() {
    let mut desk = Desk::new(params());
    let log = desk.run_until(START + Span::from_millis(3_610));
    let wishes: Vec<Action> = log.into_iter().map(|(_, wish)| wish).collect();
    assert!(
        matches!(
            wishes[..],
            [
                Action::Advertise { priority: 100, .. },
                Action::Entered { from: StateName::Backup, to: StateName::Master, .. },
                Action::SetAddresses { .. }
            ]
        ),
        "{wishes:?}"
    );
}

/// 10,000 adverts stay on the grid: the last is due exactly 10,000 intervals after the first grid
/// point, although each was fired late.
#[test]
fn adverts_do_not_drift() {
    for centis in [1u16, 7, 100] {
        let mut desk = Desk::new(member(Version::V3, 200, centis));
        let interval = Centis::new(centis).unwrap().span();
        desk.run_until(START + interval.times(3) + interval);
        assert_eq!(desk.state(), StateName::Master);
        desk.wishes();
        let first = desk.view().deadline;
        assert_eq!(first, first.round_down(Span::from_millis(10)), "on the grid");
        for n in 0..10_000 {
            let due = desk.engine.next_deadline();
            assert_eq!(due, first + interval.times(n), "advert {n}");
            // Late by up to most of an interval.
            let now = due + Span::from_nanos(interval.as_nanos() * (n % 10) / 11);
            desk.engine.on_deadlines(now, 1);
            assert_eq!(desk.deeds(), [Action::Advertise { router: ROUTER, priority: 200 }]);
        }
    }
}

/// A stall of many intervals costs them; it is not made up for with a burst.
#[test]
fn a_stall_does_not_burst() {
    let mut desk = Desk::active(params());
    let due = desk.view().deadline;
    for stall in [SECOND, Span::from_millis(1_001), SECOND.times(17)] {
        let now = due + stall;
        desk.engine.on_deadlines(now, usize::MAX);
        assert_eq!(desk.deeds(), [Action::Advertise { router: ROUTER, priority: 100 }]);
        let next = desk.engine.next_deadline();
        assert!(now < next && next <= now + SECOND, "{stall:?}: {next:?}");
        desk = Desk::active(params());
        assert_eq!(desk.view().deadline, due);
    }
}

/// The first regular advert after a takeover comes at most a centisecond short of the interval.
#[test]
fn the_first_interval_is_at_most_a_grid_step_short() {
    let mut desk = Desk::new(params());
    let took_over = desk.view().deadline;
    desk.run_until(took_over);
    let next = desk.view().deadline;
    assert!(next <= took_over + SECOND && next > took_over + Span::from_millis(990));
}

/// Time may stand still: whatever happens at one instant ends.
#[test]
fn time_standing_still_is_no_busy_loop() {
    let mut desk = Desk::active(params());
    for _ in 0..1_000 {
        desk.hear_priority(50);
        desk.hear_priority(0);
        desk.engine.on_deadlines(desk.now, usize::MAX);
        assert!(desk.engine.next_deadline() > desk.now);
    }
    // And go back a little, as it would with a clock read out of order.
    desk.engine.on_deadlines(desk.now - SECOND, usize::MAX);
    desk.now = desk.now - SECOND;
    desk.hear_priority(200);
    assert_eq!(desk.state(), StateName::Backup);
    assert_eq!(desk.view().deadline, desk.now + Span::from_nanos(3_609_375_000));
}

/// A budget leaves the rest for the next call, at once.
#[test]
fn a_budget_is_kept() {
    let routers: Vec<RouterParams> = (1..=10)
        .map(|vrid| RouterParams { vrid: viprd::base::Vrid::new(vrid).unwrap(), ..params() })
        .collect();
    let mut engine = viprd::vrrp::Engine::new(routers, 2);
    for link in [OWN, SERVICE] {
        let change = viprd::base::LinkChange { link, facts: Some(facts(link)) };
        engine.on_link(START, &change);
    }
    engine.start(START);
    let due = engine.next_deadline();
    let active = |engine: &viprd::vrrp::Engine| {
        engine.views().filter(|view| view.state.name() == StateName::Master).count()
    };
    for done in [3, 6, 9, 10] {
        assert!(engine.next_deadline() <= due);
        engine.on_deadlines(due, 3);
        assert_eq!(active(&engine), done);
    }
    assert!(engine.next_deadline() > due);
}

/// `preempt_delay` (keepalived 3.3): counted from the first lower advert, then the last one that
/// was followed runs out.
#[test]
fn preempt_delay_holds_the_takeover_back() {
    let preempt = Preempt::After(Span::from_secs(10));
    let mut desk = Desk::new(RouterParams { priority: 200, preempt, ..params() });
    let down = Span::from_nanos(3_218_750_000);
    let mut last_followed = START;
    let begin = desk.now;
    while desk.state() == StateName::Backup {
        if desk.now.since(begin) < Span::from_secs(10) {
            last_followed = desk.now;
        }
        desk.hear_priority(100);
        desk.run_for(SECOND);
        assert!(desk.now < START + Span::from_secs(60), "it never preempts");
    }
    assert_eq!(desk.view().since, last_followed + down);
}

#[test]
fn preempt_delay_starts_over_when_a_better_active_was_heard() {
    let preempt = Preempt::After(Span::from_secs(3));
    let mut desk = Desk::new(RouterParams { priority: 200, preempt, ..params() });
    for second in 0..60 {
        desk.hear_priority(if second % 3 == 2 { 200 } else { 100 });
        desk.run_for(SECOND);
    }
    assert_eq!(desk.state(), StateName::Backup);
}

/// The owner waits for nobody, whatever it is configured to do.
#[test]
fn the_owner_always_preempts() {
    for preempt in [Preempt::Never, Preempt::After(Span::from_secs(100))] {
        let mut desk = Desk::active(RouterParams { priority: 255, preempt, ..params() });
        desk.engine.on_address_lost(desk.now, ROUTER);
        assert_eq!(desk.state(), StateName::Backup);
        let due = desk.view().deadline;
        desk.hear_priority(254);
        assert_eq!(desk.view().deadline, due, "a lower advert must not hold it back");
    }
}
