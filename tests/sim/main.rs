//! A virtual LAN in simulated time: several engines, real bytes, and everything that can go wrong,
//! all of it following from one seed.
//!
//! What must hold, whatever the seed:
//!
//! * **I1** once nothing fails any more, exactly one router is Active within twice the longest
//!   Active_Down_Interval, and it stays so;
//! * **I2** it is the right one: nobody with a higher priority who preempts stands by;
//! * **I3** where nothing fails, two are Active together no longer than an advert and its answer
//!   travel;
//! * **I4** where nothing is lost, an orderly leave is a handover within Skew_Time;
//! * **I5** no timer fires early, and each deadline is exact to the nanosecond;
//! * **I6** every packet is counted once, and what is sent is counted;
//! * **I7** an Active's adverts are exactly one interval apart, on the grid;
//! * **I8** after a stall, what was waiting is heard before deadlines are judged;
//! * **I9** the virtual addresses are on a host exactly while its router is Active;
//! * **I10** after a turn nothing is due any more: no busy loop;
//! * **I11** priority 0 is sent exactly when an Active leaves and its link still carries it;
//! * **I12** an advert that loses is answered in the same turn.
//!
//! `VIPRD_SIM_SEED=n` replays one seed and prints what happened, `VIPRD_SIM_SEEDS=n` runs more of
//! them, `VIPRD_SIM_STEPS=n` makes each longer.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod host;
mod model;
mod plan;
mod random;
mod tamper;
mod violation;
mod world;

use plan::Plan;
use tamper::{Mutation, Tamper, Watch};
use world::Report;

const SEEDS: u64 = 200;
const STEPS: usize = 25;

#[test]
fn every_seed_holds() {
    let steps = number("VIPRD_SIM_STEPS").map_or(STEPS, |steps| steps as usize);
    if let Some(seed) = number("VIPRD_SIM_SEED") {
        let plan = Plan::new(seed, steps);
        let (outcome, trace) = world::run(&plan, Tamper::NONE, true);
        eprintln!("{plan:#?}\n{}\n{outcome:#?}", trace.join("\n"));
        assert!(outcome.is_ok(), "seed {seed} fails");
        return;
    }
    let seeds = number("VIPRD_SIM_SEEDS").unwrap_or(SEEDS);
    let mut total = Report::default();
    for seed in 0..seeds {
        total.add(&check(&Plan::new(seed, steps)));
    }
    eprintln!("{seeds} seeds: {total:#?}");
    if seeds >= SEEDS {
        // A simulation in which nothing happens finds nothing.
        let Report { takeovers, yields, lost, calm_rivals, handovers_checked, .. } = total;
        for (what, count) in [
            ("takeovers", takeovers),
            ("yields", yields),
            ("lost packets", lost),
            ("rivals in calm worlds", calm_rivals),
            ("handovers in calm worlds", handovers_checked),
        ] {
            assert!(count > 50, "only {count} {what} in {seeds} seeds");
        }
    }
}

/// Each known bug is noticed, for the right reason, by each watcher that can see it.
#[test]
fn known_bugs_are_noticed() {
    use Mutation::*;
    use Watch::*;
    for (mutation, watch, invariants) in [
        (NoTieBreak, Everything, &["I5"] as &[_]),
        (NoTieBreak, Network, &["I1", "I3"]),
        (EqualCountsAsLower, Everything, &["I5"]),
        (EqualCountsAsLower, Network, &["I1"]),
        (FiresEarly, Everything, &["I5", "I7"]),
        (LeavesSilently, Everything, &["I11"]),
        (LeavesSilently, Network, &["I4"]),
        (DeafToPriorityZero, Everything, &["I5"]),
        (DeafToPriorityZero, Network, &["I4"]),
        (LosingAdvertIgnored, Everything, &["I12"]),
        (LosingAdvertIgnored, Network, &["I3"]),
        (NeverYields, Everything, &["I5"]),
        (NeverYields, Network, &["I1", "I3"]),
        (JudgesBeforeItDrains, Everything, &["I5", "I7"]),
        (JudgesBeforeItDrains, Network, &["I8"]),
        (IntervalDrifts, Everything, &["I5", "I7"]),
        (IntervalNotLearned, Everything, &["I5"]),
        (IntervalNotLearned, Network, &["I1"]),
        (NopreemptIgnored, Everything, &["I5"]),
        (NeverPreempts, Everything, &["I5"]),
        (NeverPreempts, Network, &["I2"]),
        (AddressesStay, Everything, &["I9"]),
        (AddressesStay, Network, &["I9"]),
        (Uncounted, Counters, &["I6"]),
        (StaleFrame, Everything, &["I11"]),
        (StaleFrame, Network, &["I4"]),
    ] {
        let tamper = Tamper { mutation: Some(mutation), watch };
        let noticed =
            (0..SEEDS).find_map(|seed| world::run(&Plan::new(seed, STEPS), tamper, false).0.err());
        let right = noticed.as_ref().is_some_and(|seen| invariants.contains(&seen.invariant));
        assert!(right, "{mutation:?}, watched by {watch:?}, wants {invariants:?}: {noticed:?}");
    }
}

/// Runs a plan. If it fails it runs once more, to tell what led to it.
fn check(plan: &Plan) -> Report {
    match world::run(plan, Tamper::NONE, false).0 {
        Ok(report) => report,
        Err(violation) => {
            let (_, trace) = world::run(plan, Tamper::NONE, true);
            let last = &trace[trace.len().saturating_sub(100)..];
            panic!(
                "{}\nseed {} breaks {}: {}\nreplay with VIPRD_SIM_SEED={} VIPRD_SIM_STEPS={}",
                last.join("\n"),
                plan.seed,
                violation.invariant,
                violation.text,
                plan.seed,
                plan.steps
            );
        }
    }
}

/// The number in an environment variable, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is no number")))
}
