//! **The benchmark**: viprd and a peer, in the same run, on the same work, in turn.
//!
//! Two hosts are joined by as many veth pairs as the routers need, 250 each at most. A has
//! priority 200 and runs on the first processor, B has 100 and runs on the second. `scene` says
//! what is configured, `play` plays it once with one daemon on both hosts, `jobs` is the
//! programme. What is measured never asks a daemon anything: `process` reads what the kernel
//! charges it with, `watch` hears the kernel announce addresses, `tap` has every frame with the
//! time at which the kernel received it. `interval` and `takeover` make figures of that, `floor`
//! says what the machine itself spoils, `measure` sums them up, `report` and `picture` show them.

mod config;
mod floor;
mod interval;
mod jobs;
mod machine;
mod measure;
mod notify;
mod picture;
mod play;
mod process;
mod reload;
mod report;
mod scene;
mod takeover;
mod tap;
mod timer;
mod watch;

pub(crate) use jobs::{Case, Effort, Wanted};
pub(crate) use report::Report;

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::{Program, Programs};
use crate::interrupt::Stop;
use crate::progress::Progress;

use floor::Floor;
use jobs::{Job, Work};
use machine::Machine;
use measure::{
    A_CPU, B_CPU, CAPACITY, CAPACITY_A, CAPACITY_B, CAPACITY_ON_TIME, FALSE_CHANGES, Measure,
    ON_TIME, Sheet, collect,
};
use play::{Halt, Outcome, Step, play};
use report::Section;
use scene::{Group, MOST_A_LINK, MOST_LINKS, Scene, thousands};

/// What a run consists of.
#[derive(Debug)]
pub(crate) struct Run {
    /// The programs.
    pub(crate) programs: Programs,
    /// Whether keepalived is measured as well.
    pub(crate) peer: bool,
    /// The one case, or all.
    pub(crate) case: Option<Case>,
    /// How long it may take.
    pub(crate) effort: Effort,
    /// What else the command line says.
    pub(crate) wanted: Wanted,
}

/// Why a run came to no end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that the bench itself needs failed.
    Setup(io::Error),
    /// A signal asked to stop.
    Signal(i32),
}

/// After this no part of a run of ten minutes is begun.
const LAST_CALL: Duration = Duration::from_secs(565);

/// The share of nominal adverts that counts as keeping up.
///
/// keepalived counts each interval from the moment it got to it and so loses 2 to 9 % at 10 ms even
/// when half of the processor is idle. It is granted that.
fn keeping_up(program: Program) -> f64 {
    if program == Program::Viprd { 99.9 } else { 90.0 }
}

impl Run {
    /// Does it, and shows each section to `each` as soon as it is there.
    ///
    /// # Errors
    /// [`Failure`]. What goes wrong in single plays is in the report.
    pub(crate) fn play(
        &self,
        progress: &Progress,
        mut each: impl FnMut(&Section),
    ) -> Result<Report, Failure> {
        let begun = Instant::now();
        let last_call = match (self.case, self.effort) {
            (None, Effort::Quick | Effort::Short) => Some(begun + LAST_CALL),
            _ => None,
        };
        let jobs = match self.case {
            Some(case) => jobs::of_case(case, self.effort, self.wanted),
            None => jobs::all(self.effort),
        };
        let machine = Machine::look(&self.programs, self.peer);
        let mut sections = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            let say = |text: &str| {
                progress.say(format!("{}/{}  {}: {text}", number + 1, jobs.len(), job.title));
            };
            let is_late = || last_call.is_some_and(|last_call| Instant::now() > last_call);
            let section = match &job.work {
                _ if is_late() => {
                    let mut section = Section::of(job);
                    section.doubts.push("left out: the ten minutes were over".into());
                    section
                }
                Work::Play(scene, steps) => self.repeat(job, scene, steps, &say)?,
                Work::Capacity { .. } => self.search_both(job, &say)?,
                &Work::Config(routers) => self.read_both(job, routers, &say)?,
                Work::Timer => self.time_both(job, &say)?,
            };
            each(&section);
            sections.push(section);
        }
        Ok(Report { machine, took_s: begun.elapsed().as_secs_f64(), peer: self.peer, sections })
    }

    /// Plays a job's play with each daemon in turn.
    fn repeat(
        &self,
        job: &Job,
        scene: &Scene,
        steps: &[Step],
        say: &dyn Fn(&str),
    ) -> Result<Section, Failure> {
        let mut section = Section::of(job);
        if steps.iter().any(|step| matches!(step, Step::Interval(_))) {
            say("how well the machine keeps time");
            match Floor::measure(scene.is_urgent()) {
                Ok(floor) => section.remarks.push(floor.told(scene.is_urgent())),
                Err(error) => section.doubts.push(format!("the machine's own errors: {error}")),
            }
        }
        for repetition in 1..=job.repetitions {
            for program in self.players(job) {
                let say = |text: &str| {
                    let name = program.name();
                    say(&format!("{name}, {repetition} of {}: {text}", job.repetitions));
                };
                let outcome = self.once(program, scene, steps, &say)?;
                section.add(program, outcome);
            }
        }
        Ok(section)
    }

    /// Lets each program in turn read the same configuration.
    fn read_both(&self, job: &Job, routers: usize, say: &dyn Fn(&str)) -> Result<Section, Failure> {
        let mut section = Section::of(job);
        let host = config::Host::new(routers).map_err(Failure::Setup)?;
        for repetition in 1..=job.repetitions {
            for program in self.players(job) {
                say(&format!("{}, {repetition} of {}", program.name(), job.repetitions));
                match host.read(program, &self.programs) {
                    Ok(outcome) => section.add(program, outcome),
                    Err(Halt::Stop(Stop::Signal(signal))) => return Err(Failure::Signal(signal)),
                    Err(Halt::Stop(Stop::Trouble(what))) => section.doubts.push(what),
                    Err(Halt::Io(error)) => return Err(Failure::Setup(error)),
                }
            }
        }
        Ok(section)
    }

    /// Lets the routers of each program in turn take over, and says whether that was in time.
    fn time_both(&self, job: &Job, say: &dyn Fn(&str)) -> Result<Section, Failure> {
        let mut section = Section::of(job);
        for repetition in 1..=job.repetitions {
            for program in self.players(job) {
                let say = |text: &str| {
                    let name = program.name();
                    say(&format!("{name}, {repetition} of {}: {text}", job.repetitions));
                };
                let outcome = ended(timer::play(program, &self.programs, &say))?;
                section.add(program, outcome);
            }
        }
        section.tell_promises();
        Ok(section)
    }

    fn players(&self, job: &Job) -> Vec<Program> {
        match self.peer && !job.ours_alone {
            true => vec![Program::Viprd, Program::Keepalived],
            false => vec![Program::Viprd],
        }
    }

    /// Plays once; a play that comes to no end is a doubt, not a failure.
    fn once(
        &self,
        program: Program,
        scene: &Scene,
        steps: &[Step],
        say: &dyn Fn(&str),
    ) -> Result<Outcome, Failure> {
        ended(play(program, &self.programs, scene, steps, say))
    }

    /// Looks for the most routers of each daemon.
    fn search_both(&self, job: &Job, say: &dyn Fn(&str)) -> Result<Section, Failure> {
        let Work::Capacity { interval_ms, seconds, ours, theirs, closer, trials: most } = job.work
        else {
            return Ok(Section::of(job));
        };
        let mut section = Section::of(job);
        for program in self.players(job) {
            let trials = RefCell::new(Vec::new());
            let from = if program == Program::Viprd { ours } else { theirs };
            let found = search(from, (most, closer), |routers| {
                let count = thousands(routers);
                let say = |text: &str| say(&format!("{}, {count} routers: {text}", program.name()));
                let scene = Scene::of(Group::of(routers, interval_ms));
                let outcome = self.once(program, &scene, &[Step::Steady(seconds)], &say)?;
                let trial = Trial::of(routers, program, &outcome);
                let enough = trial.enough;
                trials.borrow_mut().push(trial);
                Ok(enough)
            })?;
            let trials = trials.into_inner();
            let best = trials.iter().find(|trial| Some(trial.routers) == found);
            let sheet = best.map_or_else(Sheet::new, |best| {
                vec![
                    (CAPACITY, best.routers as f64),
                    (CAPACITY_A, best.cpu_a),
                    (CAPACITY_B, best.cpu_b),
                    (CAPACITY_ON_TIME, best.on_time),
                ]
            });
            collect(&mut section.figures, sheet, program == Program::Viprd);
            let told: Vec<String> = trials.iter().map(Trial::told).collect();
            section.remarks.push(format!("{}: {}", program.name(), told.join("; ")));
        }
        Ok(section)
    }
}

/// What a play brought; that it came to no end is a doubt, not a failure.
fn ended(play: Result<Outcome, Halt>) -> Result<Outcome, Failure> {
    match play {
        Ok(outcome) => Ok(outcome),
        Err(Halt::Stop(Stop::Trouble(what))) => {
            Ok(Outcome { doubts: vec![what], ..Outcome::default() })
        }
        Err(Halt::Stop(Stop::Signal(signal))) => Err(Failure::Signal(signal)),
        Err(Halt::Io(error)) => Err(Failure::Setup(error)),
    }
}

/// Whether so many routers were too many.
#[derive(Debug)]
struct Trial {
    routers: usize,
    enough: bool,
    on_time: f64,
    cpu_a: f64,
    cpu_b: f64,
    moved: f64,
    doubt: Option<String>,
}

impl Trial {
    fn of(routers: usize, program: Program, outcome: &Outcome) -> Self {
        let value = |measure: Measure| {
            outcome.sheet.iter().find(|(one, _)| *one == measure).map_or(0.0, |&(_, value)| value)
        };
        let (on_time, moved) = (value(ON_TIME), value(FALSE_CHANGES));
        Trial {
            routers,
            enough: on_time >= keeping_up(program) && moved == 0.0,
            on_time,
            cpu_a: value(A_CPU),
            cpu_b: value(B_CPU),
            moved,
            doubt: outcome.doubts.first().cloned(),
        }
    }

    fn told(&self) -> String {
        let routers = thousands(self.routers);
        match &self.doubt {
            Some(doubt) => format!("{routers}: {doubt}"),
            None => format!(
                "{routers}: {:.2} % of the adverts, CPU A {:.0} %, B {:.0} %, {} moved",
                self.on_time, self.cpu_a, self.cpu_b, self.moved
            ),
        }
    }
}

/// The most routers that are not too many, in steps of half as many again from `from` on, up or
/// down, `most` tries at most, and then `closer` times halfway.
fn search<E>(
    from: usize,
    (most, closer): (usize, usize),
    mut enough: impl FnMut(usize) -> Result<bool, E>,
) -> Result<Option<usize>, E> {
    let whole = |routers: usize| {
        let links = (routers as f64 / MOST_A_LINK as f64).round() as usize;
        match routers < MOST_A_LINK {
            true => routers,
            false => links.clamp(1, MOST_LINKS) * MOST_A_LINK,
        }
    };
    let (mut good, mut bad) = (None, None);
    let mut routers = whole(from);
    for _ in 0..most {
        match enough(routers)? {
            true => good = Some(routers),
            false => bad = Some(routers),
        }
        let next = match (good, bad) {
            (Some(good), None) => whole(good * 3 / 2).max(good + 1),
            (None, Some(bad)) => whole(bad * 2 / 3).min(bad.saturating_sub(1)),
            _ => break,
        };
        if next == 0 || next > MOST_A_LINK * MOST_LINKS {
            break;
        }
        routers = next;
    }
    for _ in 0..closer {
        let (Some(low), Some(high)) = (good, bad) else { break };
        let middle = whole(low.midpoint(high));
        if middle <= low || middle >= high {
            break;
        }
        match enough(middle)? {
            true => good = Some(middle),
            false => bad = Some(middle),
        }
    }
    Ok(good)
}

/// Writes the pictures of a report into `directory`.
///
/// # Errors
/// If a file can't be written.
pub(crate) fn write_pictures(report: &Report, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, text) in picture::all(report) {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: usize, from: usize, closer: usize) -> (Option<usize>, usize) {
        let mut trials = 0;
        let found = search(from, (12, closer), |routers| {
            trials += 1;
            Ok::<_, ()>(routers <= limit)
        });
        (found.expect("never fails"), trials)
    }

    #[test]
    fn the_most_routers_are_found() {
        assert_eq!(limit(700, 500, 0), (Some(500), 2));
        assert_eq!(limit(8000, 2000, 0).0, Some(6750));
        assert_eq!(limit(8000, 2000, 4).0, Some(8000));
        assert_eq!(limit(100, 500, 2).0, Some(100));
        assert_eq!(limit(0, 2000, 0), (None, 12));
        assert_eq!(limit(usize::MAX, 20_000, 0).0, Some(62_500));
    }
}
