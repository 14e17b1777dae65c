//! Who becomes what: RFC 9568 section 6.4 through the engine's face. (The rules themselves are
//! tested cell by cell beside their code.)

use viprd::base::{Instant, Span};
use viprd::vrrp::{Action, Cause, Notice, Preempt, RouterParams, State, StateName};

use crate::desk::*;

const NEVER: Preempt = Preempt::Never;

/// A Backup of priority 100 hears this; what then?
#[test]
fn a_backup_hears() {
    let preempting = params().preempt;
    for (priority, source, preempt, follows) in [
        (101, LOWER_ADDRESS, preempting, true),
        (255, LOWER_ADDRESS, preempting, true),
        // Equality counts as higher, whatever the address (S12).
        (100, LOWER_ADDRESS, preempting, true),
        (100, HIGHER_ADDRESS, preempting, true),
        (99, HIGHER_ADDRESS, preempting, false),
        (1, HIGHER_ADDRESS, preempting, false),
        (99, HIGHER_ADDRESS, NEVER, true),
        (1, LOWER_ADDRESS, NEVER, true),
    ] {
        let mut desk = Desk::new(RouterParams { preempt, ..params() });
        let before = desk.view().deadline;
        desk.run_for(SECOND);
        desk.hear(|advert| (advert.priority, advert.source) = (priority, source));
        let what = format!("{priority} from {source}, {preempt:?}");
        assert_eq!(desk.state(), StateName::Backup, "{what}");
        if follows {
            assert_eq!(desk.view().deadline, before + SECOND, "{what}");
            assert_eq!(desk.view().active, Some(source), "{what}");
        } else {
            assert_eq!(desk.view().deadline, before, "{what}: the timer must run on");
            assert_eq!(desk.view().active, Some(source), "{what}: shown, not followed");
            let State::Backup(backup) = desk.view().state else { panic!("{what}") };
            assert_eq!((backup.active, backup.outwaited), (None, Some((source, priority))));
        }
        assert_eq!(desk.view().counters.advertisement_rcvd, 1, "{what}");
        assert_eq!(desk.deeds(), [], "{what}: a Backup never speaks");
    }
}

/// An Active of priority 100 hears this; what then?
#[test]
fn an_active_hears() {
    for preempt in [params().preempt, NEVER] {
        for (priority, source, yields) in [
            (101, LOWER_ADDRESS, true),
            (255, LOWER_ADDRESS, true),
            (100, HIGHER_ADDRESS, true),
            (100, LOWER_ADDRESS, false),
            (99, HIGHER_ADDRESS, false),
            (1, HIGHER_ADDRESS, false),
        ] {
            let mut desk = Desk::active(RouterParams { preempt, ..params() });
            let before = desk.view().deadline;
            desk.hear(|advert| (advert.priority, advert.source) = (priority, source));
            let what = format!("{priority} from {source}");
            let deeds = desk.deeds();
            if yields {
                let cause = Cause::Outranked { by: source, priority };
                let (from, to) = (StateName::Master, StateName::Backup);
                assert_eq!(
                    deeds,
                    [
                        Action::Entered { router: ROUTER, from, to, cause },
                        Action::UnsetAddresses { router: ROUTER }
                    ],
                    "{what}: no priority 0 when it yields"
                );
                assert_eq!(desk.view().active, Some(source), "{what}");
                assert_eq!(desk.view().deadline, desk.now + Span::from_nanos(3_609_375_000));
            } else {
                // Answered at once; Adver_Timer runs on (S22).
                let advertise = Action::Advertise { router: ROUTER, priority: 100 };
                assert_eq!(deeds[0], advertise, "{what}");
                assert_eq!(desk.state(), StateName::Master, "{what}");
                assert_eq!(desk.view().deadline, before, "{what}");
                assert_eq!(desk.view().active, Some(OWN_ADDRESS), "{what}");
            }
        }
    }
}

/// S19: an Active that hears another leave advertises at once and starts its timer anew.
#[test]
fn an_active_answers_priority_0() {
    let mut desk = Desk::active(params());
    desk.hear_priority(0);
    assert_eq!(desk.deeds(), [Action::Advertise { router: ROUTER, priority: 100 }]);
    let next = desk.view().deadline;
    assert!(next <= desk.now + SECOND && next > desk.now + Span::from_millis(990));
    assert_eq!(desk.view().counters.priority_zero_pkts_rcvd, 1);
}

#[test]
fn a_backup_says_who_leaves_and_why_it_took_over() {
    let mut desk = Desk::new(params());
    desk.hear_priority(200);
    desk.hear_priority(0);
    assert_eq!(desk.view().active, None, "it has left");
    assert!(desk.wishes().contains(&Action::Notice {
        router: ROUTER,
        notice: Notice::ActiveLeaves { active: HIGHER_ADDRESS }
    }));
    desk.run_for(SECOND);
    assert_eq!(desk.view().cause, Cause::ActiveLeft);

    // Somebody else took over meanwhile, and was silent: then it is a timeout.
    let mut desk = Desk::new(params());
    desk.hear_priority(0);
    desk.hear_priority(150);
    desk.run_for(SECOND.times(4));
    assert_eq!(desk.view().cause, Cause::ActiveTimeout);
}

#[test]
fn the_owner_is_active_at_once() {
    let mut desk = Desk::idle(RouterParams { priority: 255, ..params() });
    desk.engine.start(START);
    let (from, to, cause) = (StateName::Init, StateName::Master, Cause::Startup);
    assert_eq!(
        desk.wishes(),
        [
            Action::Advertise { router: ROUTER, priority: 255 },
            Action::Entered { router: ROUTER, from, to, cause },
            Action::SetAddresses { router: ROUTER }
        ]
    );
}

#[test]
fn stopping_says_so_only_as_active() {
    let mut desk = Desk::new(params());
    desk.engine.stop(desk.now);
    let (to, cause) = (StateName::Init, Cause::Shutdown);
    let entered = |from| Action::Entered { router: ROUTER, from, to, cause };
    assert_eq!(desk.deeds(), [entered(StateName::Backup)]);
    assert_eq!(desk.view().deadline, Instant::NEVER);

    let mut desk = Desk::active(params());
    desk.engine.stop(desk.now);
    assert_eq!(
        desk.deeds(),
        [
            Action::Advertise { router: ROUTER, priority: 0 },
            entered(StateName::Master),
            Action::UnsetAddresses { router: ROUTER }
        ]
    );
    assert_eq!(desk.view().counters.priority_zero_pkts_sent, 1);
    // What comes after changes nothing.
    desk.hear_priority(0);
    desk.link(OWN, |facts| facts.up = false);
    desk.link(OWN, |_| {});
    desk.engine.on_addresses_set(desk.now, ROUTER);
    desk.engine.on_address_lost(desk.now, ROUTER);
    assert_eq!(desk.run_for(SECOND.times(60)), []);
    assert_eq!(desk.deeds(), []);
    assert_eq!(desk.state(), StateName::Init);
}

/// Nothing runs before it is started.
#[test]
fn an_engine_that_was_not_started_is_silent() {
    let mut desk = Desk::idle(params());
    desk.hear_priority(0);
    desk.hear_priority(50);
    assert_eq!(desk.run_for(SECOND.times(60)), []);
    assert_eq!(desk.deeds(), []);
    assert_eq!(desk.state(), StateName::Init);
}

/// keepalived 3.8: priority 0, back after the skew time if nobody else takes over.
#[test]
fn a_lost_address_makes_it_step_back() {
    let mut desk = Desk::active(params());
    desk.engine.on_address_lost(desk.now, ROUTER);
    let (from, to, cause) = (StateName::Master, StateName::Backup, Cause::AddressLost);
    assert_eq!(
        desk.deeds(),
        [
            Action::Advertise { router: ROUTER, priority: 0 },
            Action::Entered { router: ROUTER, from, to, cause },
            Action::UnsetAddresses { router: ROUTER }
        ]
    );
    assert_eq!(desk.view().deadline, desk.now + Span::from_nanos(609_375_000));
    // A second one is one too many.
    desk.engine.on_address_lost(desk.now, ROUTER);
    assert_eq!(desk.deeds(), []);
    desk.run_for(SECOND);
    assert_eq!(desk.state(), StateName::Master);
}
