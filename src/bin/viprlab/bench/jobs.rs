//! **The programme**: which plays a run consists of, and what was promised of them.

use super::measure::{
    B_SETTLED, CAPACITY, CONFIG_TIME, DRIFT, ERROR_P50, ERROR_P99, ERROR_P999, FAREWELL_LATE,
    FAREWELL_SPREAD, FIRST_TO_LAST, GARP_MAX, Measure, OTHERS_CHANGED, PSS_A, RECEIVED_CPU,
    RELOAD_GAP, RELOAD_LOST, RELOAD_TIME, SCRIPTS_LOST, SENT_CPU, SINGLE_EXCESS,
};
use super::play::{Event, Step};
use super::scene::{Group, MOST_A_LINK, MOST_LINKS, Scene, Side, interval, thousands};
use super::timer;

/// A question that the bench answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// From exec to settled.
    Start,
    /// Processor time an advert.
    Steady,
    /// How well the schedule is kept.
    Interval,
    /// Most routers on one core.
    Capacity,
    /// Mass failover.
    Failover,
    /// Failover of one router.
    Single,
    /// Memory.
    Memory,
    /// Notify scripts at a mass failover.
    Notify,
    /// One router of many changes.
    Reload,
    /// Reading a configuration.
    Config,
    /// How exact deadlines are.
    Timer,
    /// All of it as the number of routers grows.
    Growth,
}

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// A look, some minutes.
    Quick,
    /// Ten minutes.
    Short,
    /// As long as it takes.
    Full,
}

/// What the command line asks for; none of it: the programme's own choice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// How many routers.
    pub(crate) routers: Option<usize>,
    /// Their interval in milliseconds.
    pub(crate) interval_ms: Option<u32>,
    /// Their links.
    pub(crate) links: Option<usize>,
    /// How often each play is repeated.
    pub(crate) repetitions: Option<usize>,
    /// How long a window is, in seconds.
    pub(crate) seconds: Option<f64>,
}

/// A part of a run.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its heading.
    pub(crate) title: String,
    /// A word for its pictures.
    pub(crate) slug: String,
    /// What is done.
    pub(crate) work: Work,
    /// How often, with each daemon in turn.
    pub(crate) repetitions: usize,
    /// Whether it is too much for the peer.
    pub(crate) ours_alone: bool,
    /// The number of routers, if it is a point of the growth pictures.
    pub(crate) growth: Option<usize>,
    /// What was promised.
    pub(crate) goals: Vec<(Measure, Goal)>,
    /// The options that repeat it.
    pub(crate) options: String,
}

/// What is done.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// A play.
    Play(Scene, Vec<Step>),
    /// A configuration of so many routers, read by `-t`.
    Config(usize),
    /// Takeovers of single routers, against the formula.
    Timer,
    /// A search for the most routers.
    Capacity {
        /// Their interval.
        interval_ms: u32,
        /// How long each trial counts, in seconds.
        seconds: f64,
        /// Where the search begins for viprd.
        ours: usize,
        /// And for the peer.
        theirs: usize,
        /// How often it goes halfway between enough and too many, to be closer.
        closer: usize,
        /// How often it tries before that.
        trials: usize,
    },
}

/// What was promised of a measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// So many times better than the peer.
    Times(f64),
    /// No more than this, either way of zero.
    AtMost(f64),
}

impl Case {
    /// Every case with its name.
    const ALL: [(&str, Case); 12] = [
        ("start", Case::Start),
        ("steady", Case::Steady),
        ("interval", Case::Interval),
        ("capacity", Case::Capacity),
        ("failover", Case::Failover),
        ("single", Case::Single),
        ("memory", Case::Memory),
        ("notify", Case::Notify),
        ("reload", Case::Reload),
        ("config", Case::Config),
        ("timer", Case::Timer),
        ("growth", Case::Growth),
    ];

    /// The case of this name.
    ///
    /// # Errors
    /// The names there are, for the user.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = Case::ALL.iter().find(|(one, _)| *one == name);
        let names = || Case::ALL.map(|(name, _)| name).join(", ");
        found.map(|&(_, case)| case).ok_or_else(|| format!("--case is one of: {}", names()))
    }
}

impl Wanted {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// What does not, for the user.
    pub(crate) fn check(&self, case: Option<Case>) -> Result<(), String> {
        let says_something = self.routers.is_some()
            || self.interval_ms.is_some()
            || self.links.is_some()
            || self.repetitions.is_some()
            || self.seconds.is_some();
        if case.is_none() && says_something {
            return Err("--routers, --interval, --links, --repetitions and --seconds go with \
                        --case; without it the programme is fixed"
                .into());
        }
        if case == Some(Case::Timer)
            && (self.routers.is_some() || self.interval_ms.is_some() || self.links.is_some())
        {
            return Err("--case timer has routers and intervals of its own".into());
        }
        let most = if case == Some(Case::Config) { 65_000 } else { MOST_A_LINK * MOST_LINKS };
        if self.routers.is_some_and(|routers| routers == 0 || routers > most) {
            return Err(format!("--routers is 1 to {most}"));
        }
        if let Some(ms) = self.interval_ms
            && (ms == 0 || ms % 10 != 0 || ms > 40_950)
        {
            return Err("--interval is 10 to 40950 milliseconds, in steps of 10".into());
        }
        if let Some(links) = self.links {
            let routers = self.routers.unwrap_or(4000);
            if links > MOST_LINKS || links > routers || routers.div_ceil(links.max(1)) > 255 {
                return Err(
                    "--links is 1 to 250, each with at least one router and at most 255".into()
                );
            }
        }
        match self.seconds {
            Some(seconds) if !(0.1..=3600.0).contains(&seconds) => {
                Err("--seconds is 0.1 to 3600".into())
            }
            _ if self.repetitions == Some(0) => Err("--repetitions is at least 1".into()),
            _ => Ok(()),
        }
    }
}

/// The jobs of one case.
pub(crate) fn of_case(case: Case, effort: Effort, wanted: Wanted) -> Vec<Job> {
    let seconds = wanted.seconds.unwrap_or(window(effort));
    let routers = wanted.routers.unwrap_or(4000);
    let interval_ms = wanted.interval_ms.unwrap_or(1000);
    let mut group = Group::of(routers, interval_ms);
    group.links = wanted.links.unwrap_or(group.links);
    let play = |what: &str, steps: Vec<Step>, repetitions: usize| Job {
        repetitions: wanted.repetitions.unwrap_or(repetitions),
        ..job(&format!("{}: {what}", group.title()), what, Scene::of(group), steps)
    };
    let reps = match effort {
        Effort::Quick => 1,
        Effort::Short => 3,
        Effort::Full => 5,
    };
    let mut jobs = match case {
        Case::Start => vec![play("start", vec![Step::Start], reps)],
        Case::Memory => vec![play("memory", vec![Step::Memory], reps)],
        Case::Steady => {
            vec![play("steady", vec![Step::Steady(seconds), Step::Unheard(seconds)], reps)]
        }
        Case::Interval => vec![play("interval", vec![Step::Interval(seconds)], reps)],
        Case::Failover => {
            let mut jobs = Vec::new();
            for event in [Event::Kill, Event::Stop, Event::Link] {
                jobs.push(play(event.name(), vec![Step::Fail(event)], reps));
            }
            jobs.push(disturbance(group, Event::Kill, reps));
            jobs.push(disturbance(group, Event::Link, reps));
            jobs
        }
        Case::Single => match wanted.interval_ms {
            Some(interval_ms) => vec![single(interval_ms, reps * 2)],
            None => vec![single(1000, reps), single(10, reps * 4)],
        },
        Case::Capacity => match wanted.interval_ms {
            Some(interval_ms) => vec![capacity(interval_ms, seconds, effort, wanted.routers)],
            None => [10, 100].map(|ms| capacity(ms, seconds, effort, wanted.routers)).into(),
        },
        Case::Reload => {
            vec![Job { goals: reload_goals(), ..play("reload", vec![Step::Reload], reps) }]
        }
        Case::Notify => {
            let group = match wanted.routers {
                Some(_) => group,
                None => Group::of(1000, interval_ms),
            };
            vec![notify(group, seconds, reps)]
        }
        Case::Timer => vec![timer(if effort == Effort::Quick { 1 } else { 5 })],
        Case::Config => match wanted.routers {
            Some(routers) => vec![config(routers, reps)],
            None => vec![config(4000, reps), config(65_000, 1)],
        },
        Case::Growth => [1, 100, 1000, 4000, 10_000, 20_000]
            .into_iter()
            .map(|routers| growth(routers, effort, seconds))
            .collect(),
    };
    for job in &mut jobs {
        job.repetitions = wanted.repetitions.unwrap_or(job.repetitions);
    }
    jobs
}

/// The jobs of a whole run.
pub(crate) fn all(effort: Effort) -> Vec<Job> {
    let seconds = window(effort);
    let (reps, few) = match effort {
        Effort::Quick => (1, 1),
        Effort::Short => (3, 2),
        Effort::Full => (5, 3),
    };
    let slow = Group::of(4000, 1000);
    let fast = Group::of(4000, 100);
    let mut jobs = vec![
        Job {
            repetitions: reps,
            growth: Some(4000),
            goals: vec![
                (B_SETTLED, Goal::Times(1.0)),
                (PSS_A, Goal::Times(1.0)),
                (SENT_CPU, Goal::Times(4.0)),
                (RECEIVED_CPU, Goal::Times(3.0)),
                (FIRST_TO_LAST, Goal::Times(2.5)),
                (FAREWELL_SPREAD, Goal::Times(8.0)),
                (FAREWELL_LATE, Goal::AtMost(0.0)),
                (GARP_MAX, Goal::AtMost(10.0)),
            ],
            ..job(
                "4,000 routers, 1 s: start, steady state, and A's tracked link goes down",
                "4000-1s",
                Scene::of(slow),
                vec![Step::Start, Step::Memory, Step::Steady(seconds), Step::Fail(Event::Link)],
            )
        },
        Job {
            repetitions: few,
            goals: vec![(SENT_CPU, Goal::Times(2.5)), (RECEIVED_CPU, Goal::Times(3.0))],
            ..job(
                "4,000 routers, 100 ms: steady state",
                "4000-100ms",
                Scene::of(fast),
                vec![Step::Steady(seconds), Step::Unheard(seconds * 0.6)],
            )
        },
        Job {
            repetitions: few,
            growth: Some(1000),
            goals: vec![(ERROR_P99, Goal::Times(7.0))],
            ..job(
                "1,000 routers, 1 s: start, steady state, and A's tracked link goes down",
                "1000-1s",
                Scene::of(Group::of(1000, 1000)),
                vec![
                    Step::Start,
                    Step::Memory,
                    Step::Steady(seconds),
                    Step::Interval(seconds * 1.5),
                    Step::Fail(Event::Link),
                ],
            )
        },
    ];
    // Ten times as many intervals as at 1 s: what is random in them cancels out of the drift.
    jobs.push(Job {
        repetitions: few,
        goals: vec![(ERROR_P99, Goal::Times(7.0)), (DRIFT, Goal::AtMost(1.0))],
        ..job(
            "1,000 routers, 100 ms: how well the schedule is kept",
            "1000-100ms",
            Scene::of(Group::of(1000, 100)),
            vec![Step::Interval(seconds * 2.0)],
        )
    });
    // Nothing is asked for in comparison, and keepalived can't spin.
    jobs.push(Job {
        ours_alone: true,
        goals: vec![(ERROR_P50, Goal::AtMost(5.0)), (ERROR_P999, Goal::AtMost(300.0))],
        ..job(
            "1,000 routers, 1 s, real-time class and spin: how well the schedule is kept",
            "1000-1s-urgent",
            Scene::of(Group::of(1000, 1000)).urgently(),
            vec![Step::Interval(seconds * 2.0)],
        )
    });
    let once = if effort == Effort::Full { few } else { 1 };
    jobs.push(Job {
        goals: reload_goals(),
        repetitions: once,
        ..job("4,000 routers, 1 s: reload", "reload", Scene::of(slow), vec![Step::Reload])
    });
    jobs.push(config(4000, reps));
    jobs.push(match effort {
        Effort::Full => config(65_000, 1),
        // keepalived takes minutes for so many.
        Effort::Quick | Effort::Short => Job { ours_alone: true, ..config(65_000, few) },
    });
    // In ten minutes the link that goes down must do, above.
    let events: &[Event] = if effort == Effort::Full { &[Event::Kill, Event::Stop] } else { &[] };
    for &event in events {
        jobs.push(Job {
            repetitions: once,
            ..job(
                &format!("4,000 routers, 1 s: {}", event.name()),
                event.name(),
                Scene::of(slow),
                vec![Step::Fail(event)],
            )
        });
    }
    jobs.push(disturbance(slow, Event::Link, once));
    if effort == Effort::Full {
        jobs.push(disturbance(slow, Event::Kill, few));
    }
    jobs.push(single(1000, few));
    jobs.push(single(10, few * 3));
    jobs.push(capacity(10, seconds, effort, None));
    jobs.push(capacity(100, seconds, effort, None));
    if effort == Effort::Full {
        jobs.push(timer(reps));
    }
    // 1,000 and 4,000 are above.
    for routers in [1, 100, 20_000, 10_000] {
        jobs.push(growth(routers, effort, seconds * 0.6));
    }
    jobs.push(notify(Group::of(1000, 1000), seconds, once));
    jobs
}

/// What was promised of a reload.
fn reload_goals() -> Vec<(Measure, Goal)> {
    vec![
        (RELOAD_TIME, Goal::Times(5.0)),
        (RELOAD_GAP, Goal::AtMost(1.0)),
        (RELOAD_LOST, Goal::AtMost(0.0)),
    ]
}

/// The takeovers of twelve routers, each against the formula.
fn timer(repetitions: usize) -> Job {
    Job {
        title: "deadlines of 12 routers: silence, and priority 0".into(),
        slug: "timer".into(),
        work: Work::Timer,
        repetitions,
        ours_alone: false,
        growth: None,
        goals: timer::goals(),
        options: "--case timer".into(),
    }
}

/// So many routers read by `-t`.
fn config(routers: usize, repetitions: usize) -> Job {
    Job {
        title: format!("{} routers: reading the configuration", thousands(routers)),
        slug: format!("config-{routers}"),
        work: Work::Config(routers),
        repetitions,
        ours_alone: false,
        growth: None,
        goals: vec![(CONFIG_TIME, Goal::Times(1.0))],
        options: format!("--case config --routers {routers}"),
    }
}

/// A job that is one play, once, with no promise.
fn job(title: &str, slug: &str, scene: Scene, steps: Vec<Step>) -> Job {
    let main = *scene.main();
    let cases = steps.iter().map(|step| match step {
        Step::Start => "start",
        Step::Memory => "memory",
        Step::Steady(_) | Step::Unheard(_) => "steady",
        Step::Interval(_) => "interval",
        Step::Fail(_) => "failover",
        Step::FailSingle(_) => "single",
        Step::Reload => "reload",
        Step::Notify(_) => "notify",
    });
    let mut cases: Vec<_> = cases.collect();
    cases.dedup();
    let at = format!("--routers {} --interval {}", main.routers, main.interval_ms);
    let options = cases.iter().map(|case| format!("--case {case} {at}"));
    Job {
        title: title.into(),
        slug: slug.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        options: options.collect::<Vec<_>>().join("\n"),
        work: Work::Play(scene, steps),
        repetitions: 1,
        ours_alone: false,
        growth: None,
        goals: vec![],
    }
}

/// A mass failover next to routers that have nothing to do with it.
fn disturbance(group: Group, event: Event, repetitions: usize) -> Job {
    let others = Group { tracked: false, home: Side::B, ..Group::of(1000, 100) };
    let mut scene = Scene::of(group).with(others);
    let mut whose = "B's";
    if event == Event::Link {
        // A lives on, so its other routers must as well.
        scene = scene.with(Group { home: Side::A, ..others });
        whose = "each host's";
    }
    Job {
        repetitions,
        goals: vec![(OTHERS_CHANGED, Goal::AtMost(0.0))],
        ..job(
            &format!("{}: {}, beside {whose} 1,000 others, 100 ms", group.title(), event.name()),
            &format!("others-{}", event.name()),
            scene,
            vec![Step::Fail(event)],
        )
    }
}

/// A mass failover in which each router runs a script, next to routers that have nothing to do with it.
fn notify(group: Group, seconds: f64, repetitions: usize) -> Job {
    let others = Group { tracked: false, home: Side::B, ..Group::of(1000, 100) };
    Job {
        repetitions,
        goals: vec![(SCRIPTS_LOST, Goal::AtMost(0.0))],
        ..job(
            &format!("{}: a notify script each, beside B's 1,000 others, 100 ms", group.title()),
            "notify",
            Scene::of(group).with(others),
            vec![Step::Notify(seconds)],
        )
    }
}

/// One router whose master crashes.
fn single(interval_ms: u32, repetitions: usize) -> Job {
    Job {
        repetitions,
        goals: vec![(SINGLE_EXCESS, Goal::Times(4.0))],
        ..job(
            &format!("one router, {}: A is killed", interval(interval_ms)),
            &format!("single-{interval_ms}ms"),
            Scene::of(Group::of(1, interval_ms)),
            vec![Step::FailSingle(Event::Kill)],
        )
    }
}

/// A search for the most routers.
fn capacity(interval_ms: u32, seconds: f64, effort: Effort, from: Option<usize>) -> Job {
    // Where keepalived's limit lies on a machine of this kind, and four times or 2.5 times that.
    let (ours, theirs, goal) = match interval_ms {
        ..=20 => (2000, 500, 4.0),
        21..=200 => (20_000, 8000, 2.5),
        _ => (20_000, 8000, 1.0),
    };
    let (closer, trials) = if effort == Effort::Full { (2, 12) } else { (0, 4) };
    let (ours, theirs) = (from.unwrap_or(ours), from.unwrap_or(theirs));
    Job {
        title: format!("most routers on one core, {}", interval(interval_ms)),
        slug: format!("capacity-{interval_ms}ms"),
        work: Work::Capacity { interval_ms, seconds, ours, theirs, closer, trials },
        repetitions: 1,
        ours_alone: false,
        growth: None,
        goals: vec![(CAPACITY, Goal::Times(goal))],
        options: format!("--case capacity --interval {interval_ms} --seconds {seconds}"),
    }
}

/// A point of the growth pictures.
fn growth(routers: usize, effort: Effort, seconds: f64) -> Job {
    let steps = vec![Step::Start, Step::Memory, Step::Steady(seconds), Step::Fail(Event::Link)];
    Job {
        growth: Some(routers),
        ours_alone: routers > 4000 && effort != Effort::Full,
        ..job(
            &format!("growth: {} routers, 1 s", thousands(routers)),
            &format!("growth-{routers}"),
            Scene::of(Group::of(routers, 1000)),
            steps,
        )
    }
}

/// How long a window is, in seconds.
fn window(effort: Effort) -> f64 {
    match effort {
        Effort::Quick => 2.0,
        Effort::Short => 4.0,
        Effort::Full => 30.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_jobs() {
        for (name, case) in Case::ALL {
            assert_eq!(Case::named(name), Ok(case));
            assert!(!of_case(case, Effort::Quick, Wanted::default()).is_empty());
        }
        assert!(Case::named("start-up").is_err_and(|message| message.contains("steady")));
    }

    #[test]
    fn the_command_line_decides() {
        let wanted = Wanted {
            routers: Some(20),
            interval_ms: Some(10),
            links: Some(4),
            repetitions: Some(7),
            ..Wanted::default()
        };
        let jobs = of_case(Case::Steady, Effort::Full, wanted);
        let [Job { work: Work::Play(scene, _), repetitions: 7, .. }] = &jobs[..] else {
            panic!("{jobs:?}");
        };
        assert_eq!((scene.main().routers, scene.main().links), (20, 4));
        assert_eq!(jobs[0].title, "20 routers on 4 links, 10 ms: steady");
    }
}
