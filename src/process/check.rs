//! A script that is run periodically (keepalived's `vrrp_script`).

use crate::base::{Instant, Span};

/// From SIGTERM to SIGKILL.
const GRACE: Span = Span::from_secs(2);

/// How a script is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckParams {
    /// From the start of one run to that of the next.
    pub interval: Span,
    /// How long a run may take; one that takes longer has failed, and is ended.
    pub timeout: Span,
    /// How often in a row it must succeed to be good again.
    pub rise: u32,
    /// How often in a row it must fail to be bad.
    pub fall: u32,
    /// Whether it is bad until it has succeeded.
    pub init_fail: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Start it, and report its end.
    Start,
    /// It takes too long: SIGTERM.
    Terminate,
    /// That did not help: SIGKILL.
    Kill,
}

/// A script: what it is at now, and what is known of it. It never runs twice at a time.
#[derive(Clone, Debug)]
pub struct Check {
    params: CheckParams,
    /// When it is to be run next.
    next: Instant,
    phase: Phase,
    good: Option<bool>,
    /// How many results in a row have contradicted that.
    against: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running { until: Instant },
    Terminated { until: Instant },
    Killed,
}

impl Check {
    /// A script that is run for the first time at `now`.
    pub fn new(params: CheckParams, now: Instant) -> Self {
        let good = params.init_fail.then_some(false);
        Check { params, next: now, phase: Phase::Idle, good, against: 0 }
    }

    /// The same, taken for good until a result says otherwise: it came by a reload, which is no reason
    /// to stop.
    pub fn trusted(params: CheckParams, now: Instant) -> Self {
        let mut check = Check::new(params, now);
        check.good.get_or_insert(true);
        check
    }

    /// The same in place of another one of its name, by a reload, of which this was known: a script
    /// that fails goes on failing until it has succeeded often enough, however it is run now.
    pub fn instead(params: CheckParams, now: Instant, good: Option<bool>) -> Self {
        let mut check = Check::new(params, now);
        check.good = good.or(check.good);
        check
    }

    /// How it is run.
    pub fn params(&self) -> CheckParams {
        self.params
    }

    /// Whether all is well; `None` as long as nobody knows.
    pub fn is_good(&self) -> Option<bool> {
        self.good
    }

    /// Whether a run of it has been started and not ended.
    pub fn runs(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// When [`Check::on_deadline`] has something to say.
    pub fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Idle => self.next,
            Phase::Running { until } | Phase::Terminated { until } => until,
            Phase::Killed => Instant::NEVER,
        }
    }

    /// What is due. A run that takes too long has failed at that moment; how it ends then does not
    /// matter.
    pub fn on_deadline(&mut self, now: Instant) -> Option<Wish> {
        if self.deadline() > now {
            return None;
        }
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Running { until: now + self.params.timeout };
                self.next += self.params.interval;
                if self.next <= now {
                    self.next = now + self.params.interval;
                }
                Some(Wish::Start)
            }
            Phase::Running { .. } => {
                self.phase = Phase::Terminated { until: now + GRACE };
                self.take(false);
                Some(Wish::Terminate)
            }
            Phase::Terminated { .. } => {
                self.phase = Phase::Killed;
                Some(Wish::Kill)
            }
            Phase::Killed => None,
        }
    }

    /// The run has ended, well or not, or could not be started. The next one comes when it is due, or
    /// at once if that has passed.
    pub fn on_ended(&mut self, now: Instant, well: bool) {
        if let Phase::Running { .. } = self.phase {
            self.take(well);
        }
        self.phase = Phase::Idle;
        if self.next < now {
            self.next = now;
        }
    }

    fn take(&mut self, well: bool) {
        let needed = match self.good {
            // The very first result counts.
            None => 1,
            Some(good) if good == well => {
                self.against = 0;
                return;
            }
            Some(true) => self.params.fall,
            Some(false) => self.params.rise,
        };
        self.against += 1;
        if self.against >= needed {
            self.good = Some(well);
            self.against = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARAMS: CheckParams = CheckParams {
        interval: Span::from_secs(2),
        timeout: Span::from_secs(3),
        rise: 2,
        fall: 3,
        init_fail: false,
    };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Span::from_secs(seconds)
    }

    fn run(check: &mut Check, well: bool) -> Option<bool> {
        let now = check.deadline();
        assert_eq!(check.on_deadline(now), Some(Wish::Start));
        check.on_ended(now, well);
        check.is_good()
    }

    #[test]
    fn the_first_result_counts_and_then_rise_and_fall() {
        let mut check = Check::new(PARAMS, at(1));
        assert_eq!(check.is_good(), None);
        let told: Vec<_> = [true, false, false, true, false, false, false, true, true]
            .map(|well| run(&mut check, well).unwrap())
            .into();
        assert_eq!(told, [true, true, true, true, true, true, false, false, true]);
        let mut check = Check::new(CheckParams { init_fail: true, ..PARAMS }, at(1));
        assert_eq!(check.is_good(), Some(false));
        assert_eq!(run(&mut check, true), Some(false));
        assert_eq!(run(&mut check, true), Some(true));
    }

    #[test]
    fn what_is_known_outlives_a_change() {
        for known in [None, Some(true), Some(false)] {
            assert_eq!(Check::instead(PARAMS, at(1), known).is_good(), known);
        }
        let mut check = Check::instead(PARAMS, at(1), Some(false));
        assert_eq!(run(&mut check, true), Some(false));
        assert_eq!(run(&mut check, true), Some(true));
        let fails_first = CheckParams { init_fail: true, ..PARAMS };
        assert_eq!(Check::instead(fails_first, at(1), None).is_good(), Some(false));
        assert_eq!(Check::instead(fails_first, at(1), Some(true)).is_good(), Some(true));
    }

    #[test]
    fn a_run_that_hangs_fails_is_ended_and_delays_the_next() {
        let mut check = Check::new(PARAMS, at(1));
        assert_eq!(check.on_deadline(at(1)), Some(Wish::Start));
        assert_eq!(check.on_deadline(at(3)), None, "the next is due, this one has a second more");
        assert_eq!(check.on_deadline(at(4)), Some(Wish::Terminate));
        assert_eq!(check.is_good(), Some(false));
        assert_eq!(check.on_deadline(at(6)), Some(Wish::Kill));
        assert_eq!(check.deadline(), Instant::NEVER);
        check.on_ended(at(7), true);
        assert_eq!(check.is_good(), Some(false), "too late to be well");
        assert_eq!(check.on_deadline(at(7)), Some(Wish::Start));
        assert_eq!(check.next, at(9));
    }

    proptest! {
        /// Whatever happens when: one run at a time, and never more than one an interval.
        #[test]
        fn one_run_at_a_time(steps in prop::collection::vec((0..5_000_u64, any::<bool>(), any::<bool>()), 1..200)) {
            let mut check = Check::new(PARAMS, Instant::ZERO);
            let (mut now, mut running, mut started) = (Instant::ZERO, false, Vec::new());
            for (millis, end, well) in steps {
                now += Span::from_millis(millis);
                if end && running {
                    check.on_ended(now, well);
                    running = false;
                }
                if let Some(Wish::Start) = check.on_deadline(now) {
                    prop_assert!(!running);
                    running = true;
                    started.push(now);
                }
                prop_assert_eq!(check.runs(), running);
            }
            let most = now.since(Instant::ZERO).as_micros() / PARAMS.interval.as_micros() + 1;
            prop_assert!(started.len() as u64 <= most);
        }
    }
}
