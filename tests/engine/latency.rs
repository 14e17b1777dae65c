//! What the engine records of its own timeliness.

use viprd::base::{Centis, Span};
use viprd::vrrp::{Overdue, RouterParams, StateName};

use crate::desk::*;

const MILLI: Span = Span::from_millis(1);

/// An interval of 100 ms.
fn fast() -> RouterParams {
    RouterParams { interval: Centis::new(10).unwrap(), ..params() }
}

#[test]
fn adverts_are_measured_from_when_they_were_due() {
    let mut desk = Desk::active(fast());
    let before = desk.engine.latency().advert_lateness.count();
    assert_eq!(desk.engine.latency().advert_lateness.max(), Some(Span::ZERO));

    desk.now = desk.view().deadline + MILLI;
    desk.engine.on_deadlines(desk.now, usize::MAX);
    let lateness = &desk.engine.latency().advert_lateness;
    assert_eq!((lateness.count(), lateness.max()), (before + 1, Some(MILLI)));
    assert_eq!(desk.engine.take_overdue(), None, "nobody minds a millisecond");
}

#[test]
fn more_than_a_third_of_the_interval_is_worth_a_line() {
    let mut desk = Desk::active(fast());
    let late = Span::from_millis(40);
    for timers in 1..=2 {
        desk.now = desk.view().deadline + late + MILLI.times(timers);
        desk.engine.on_deadlines(desk.now, usize::MAX);
    }
    let overdue = Overdue { timers: 2, worst: late + MILLI.times(2), router: ROUTER };
    assert_eq!(desk.engine.take_overdue(), Some(overdue));
    assert_eq!(desk.engine.take_overdue(), None, "told once");
    assert_eq!(desk.view().counters.advertisement_late, 2);
}

#[test]
fn a_late_takeover_is_overdue_too() {
    let mut desk = Desk::new(fast());
    desk.now = desk.view().deadline + SECOND;
    desk.engine.on_deadlines(desk.now, usize::MAX);
    assert_eq!(desk.state(), StateName::Master);
    let overdue = Overdue { timers: 1, worst: SECOND, router: ROUTER };
    assert_eq!(desk.engine.take_overdue(), Some(overdue));
    assert_eq!(desk.view().counters.advertisement_late, 0, "that was no advert");
    assert!(desk.engine.latency().advert_lateness.is_empty());
}

#[test]
fn a_takeover_is_measured_phase_by_phase_once() {
    let mut desk = Desk::new(params());
    desk.engine.on_announced(desk.now, ROUTER); // of nothing
    let due = desk.view().deadline;
    let at = |millis| due + MILLI.times(millis);
    desk.engine.on_deadlines(at(1), usize::MAX);
    // Left over in the queue from another time: not this takeover's.
    desk.engine.on_announced(at(2), ROUTER);
    desk.engine.on_addresses_set(at(3), ROUTER);
    desk.engine.on_announced(at(5), ROUTER);
    // Addresses put back, gratuitous ARPs repeated.
    desk.engine.on_addresses_set(at(100), ROUTER);
    desk.engine.on_announced(at(200), ROUTER);

    let latency = desk.engine.latency();
    let once = |histogram: &viprd::base::Histogram, millis| {
        assert_eq!((histogram.count(), histogram.max()), (1, Some(MILLI.times(millis))));
    };
    once(&latency.takeover_advert, 1);
    once(&latency.takeover_addresses, 3);
    once(&latency.takeover_garp, 5);
}

/// The owner waits for nobody, so there is no deadline to measure from.
#[test]
fn the_owners_start_is_no_takeover() {
    let mut desk = Desk::new(RouterParams { priority: 255, ..params() });
    assert_eq!(desk.state(), StateName::Master);
    desk.engine.on_addresses_set(desk.now + SECOND, ROUTER);
    desk.engine.on_announced(desk.now + SECOND, ROUTER);
    for (name, histogram) in desk.engine.latency().histograms() {
        assert!(histogram.is_empty(), "{name}");
    }
}

#[test]
fn gaps_are_measured_against_what_the_master_promised() {
    let mut desk = Desk::new(fast());
    let hear_after = |desk: &mut Desk, millis, centis| {
        desk.now += MILLI.times(millis);
        desk.hear(|advert| advert.interval = Centis::new(centis).unwrap());
    };
    let told = |desk: &Desk| {
        let delay = &desk.engine.latency().advert_delay;
        (delay.count(), delay.max(), desk.view().counters.advertisement_missed)
    };
    hear_after(&mut desk, 50, 10);
    assert_eq!(told(&desk), (0, None, 0), "the first one follows nothing");
    hear_after(&mut desk, 60, 10);
    assert_eq!(told(&desk), (1, Some(Span::ZERO), 0), "early");
    hear_after(&mut desk, 102, 10);
    assert_eq!(told(&desk), (2, Some(MILLI.times(2)), 0));
    // One is lost; and this one promises 200 ms.
    hear_after(&mut desk, 205, 20);
    assert_eq!(told(&desk), (3, Some(MILLI.times(105)), 1));
    hear_after(&mut desk, 201, 20);
    assert_eq!(told(&desk), (4, Some(MILLI.times(105)), 1));
}

#[test]
fn another_master_is_another_rhythm() {
    let mut desk = Desk::new(fast());
    desk.hear_priority(150);
    desk.now += MILLI.times(250);
    desk.hear(|advert| (advert.priority, advert.source) = (160, LOWER_ADDRESS));
    assert!(desk.engine.latency().advert_delay.is_empty());
}
