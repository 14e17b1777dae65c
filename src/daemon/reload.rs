//! A reload: the configuration is read again beside the loop, compared with what runs, and only the
//! difference is applied, a slice a turn.
//!
//! ```text
//!   SIGHUP, viprctl ─► a thread reads and checks ─► links ─► plan ─► addresses ─► slices ─► outcome
//!                      (the loop turns on)          └──── one of them a turn ────┘
//! ```
//!
//! Routers that the plan does not name are not touched. A reload that is asked for while one is
//! under way follows it, once.

use std::io::{self, PipeReader};
use std::mem;
use std::os::fd::AsFd;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use log::{debug, error, info, warn};

use super::delays::Delay;
use super::programs::Programs;
use super::run::Daemon;
use super::scripts::News;
use super::{tokens, vmacs};
use crate::base::{Instant, Span};
use crate::config::plan::{self, Counts, Plan, Step};
use crate::config::{self, Configuration, Diagnostic, Global, Severity, Tracker, Verdict};
use crate::control::ReloadRecord;
use crate::io::process::Thread;
use crate::io::{Io, clock, process};
use crate::kernel::Host;

/// Changes applied in one turn: well below a millisecond of work.
const CHANGES_A_TURN: usize = 256;
/// How far the next deadline has to be for a stage to begin. With 4,000 routers the longest one
/// takes 3 ms of a slow processor; adverts sit on a grid of ten.
const ROOM: Span = Span::from_millis(4);
/// How long a stage waits for that at most.
const PATIENCE: Span = Span::from_millis(50);
/// How long a file is read in spare time only.
const SPARE_TIME: Span = Span::from_secs(1);
/// Findings that the log and whoever asked are told of, in one turn.
const FINDINGS_TOLD: usize = 1000;

/// The reload under way, if there is one, and what is needed for the next.
pub(super) struct Reload {
    file: PathBuf,
    options: config::Options,
    /// The daemon's settings as they were at its start.
    global: Global,
    stage: Stage,
    /// The number of the reload under way, or of the last one.
    run: u64,
    /// Whether another one is to follow.
    again: bool,
    /// Gives what was read back to the thread that has read it.
    back: Option<Sender<Configuration>>,
    /// Whether anything in the file was left out.
    flawed: bool,
    /// Its commands, ready to run.
    programs: Option<Programs>,
    outcome: ReloadRecord,
    moment: Moment,
}

/// Whether now is the time for a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Moment {
    /// It is, or will be as soon as what is queued has been sent.
    #[default]
    Good,
    /// A deadline is too near, and has been since then.
    Waiting(Instant),
}

enum Stage {
    Idle,
    /// A thread reads the file. The pipe ends when it has.
    Reading {
        finding: Receiver<Option<Read>>,
        _told: PipeReader,
        thread: Receiver<Thread>,
        /// From when on it may take what processor time it needs.
        hurry_at: Instant,
    },
    /// It is over before anything could change; why is in the outcome.
    Over,
    /// It has been read, and waits for its interfaces to be known.
    Read(Configuration),
    /// It speaks of interfaces as we do.
    Adopted(Configuration),
    /// What is to change is known.
    Planned(Configuration, Plan),
    /// The interfaces that it needs are being made, until that moment at most.
    Preparing(Configuration, Plan, Instant),
    /// Changes are applied; so many have been.
    Applying(Configuration, Plan, usize),
}

/// What the thread has found; nothing if it has failed by a fault of ours.
struct Read {
    configuration: Option<Configuration>,
    /// Each with how bad it is, and whether the log tells of it also if it is not in detail.
    findings: Vec<(Severity, bool, String)>,
    /// How many of them are errors.
    errors: usize,
    /// Whether anything in the file was left out.
    flawed: bool,
    programs: Option<Programs>,
}

impl Reload {
    /// Reloads of `file`, read with these options; `global` is what the daemon has started with.
    pub(super) fn new(file: &Path, options: config::Options, global: Global) -> Self {
        Reload {
            file: file.to_owned(),
            options,
            global,
            stage: Stage::Idle,
            run: 0,
            again: false,
            back: None,
            flawed: false,
            programs: None,
            outcome: ReloadRecord::default(),
            moment: Moment::Good,
        }
    }

    /// Asks for a reload; gives the number of the one that will have seen the file as it is now.
    pub(super) fn ask(&mut self, io: &mut dyn Io) -> u64 {
        if !matches!(self.stage, Stage::Idle) {
            self.again = true;
            return self.run + 1;
        }
        self.begin(io);
        self.run
    }

    fn begin(&mut self, io: &mut dyn Io) {
        info!("Reloading");
        self.run += 1;
        self.outcome = ReloadRecord::default();
        self.stage = self.read_apart(io).unwrap_or_else(|cause| {
            let why = format!("{}: can't be read beside the loop: {cause}", self.file.display());
            self.outcome.refused = Some(why);
            Stage::Over
        });
    }

    /// Reads in a thread of its own, which only has what processor time is left over: the loop must
    /// not wait, and what reading leaves behind in the
    /// heap stays apart (see `load_apart` in `boot`). What was read goes back to that thread to be
    /// freed.
    fn read_apart(&mut self, io: &mut dyn Io) -> io::Result<Stage> {
        let (pipe, told) = io::pipe()?;
        let (found, finding) = mpsc::channel();
        let (back, returned) = mpsc::channel::<Configuration>();
        let (itself, thread) = mpsc::channel();
        let file = self.file.clone();
        let options = config::Options { random_seed: clock::wall_nanos(), ..self.options.clone() };
        thread::Builder::new().name("viprd-reload".into()).spawn(move || {
            // The loop may share its processor with it, and must not wait for the end of a slice.
            // If the system refuses, it might have to.
            let _ = Thread::this().set_idle(true);
            let _ = itself.send(Thread::this());
            let read = catch_unwind(|| read(&file, &options)).ok();
            // Nobody listens any more if the daemon stops.
            let _ = found.send(read);
            drop(told);
            drop(returned.recv());
            // This locks the heap: whoever wants it meanwhile must not wait for an idle one.
            let _ = Thread::this().set_idle(false);
            process::release_free_memory();
        })?;
        io.watch(tokens::RELOAD, pipe.as_fd())?;
        self.back = Some(back);
        let hurry_at = clock::now() + SPARE_TIME;
        Ok(Stage::Reading { finding, _told: pipe, thread, hurry_at })
    }

    /// When the next stage wants a turn, if nothing else does before.
    pub(super) fn wakes_at(&self, host: &Host) -> Instant {
        let moment = match self.moment {
            Moment::Good => Instant::ZERO,
            Moment::Waiting(since) => since + PATIENCE,
        };
        match (self.has_work(host), &self.stage) {
            (true, _) => moment,
            (false, Stage::Reading { hurry_at, .. }) => *hurry_at,
            (false, Stage::Preparing(_, _, until)) => moment.max(*until),
            (false, _) => Instant::NEVER,
        }
    }

    /// Whether there is work for the next turn, other than to wait for something that will wake us.
    fn has_work(&self, host: &Host) -> bool {
        match self.stage {
            Stage::Idle | Stage::Reading { .. } => false,
            Stage::Read(_) => host.is_synchronised(),
            // An answer or an event ends the wait.
            Stage::Preparing(..) => host.macvlans_settled(),
            Stage::Over | Stage::Adopted(_) | Stage::Planned(..) | Stage::Applying(..) => true,
        }
    }

    /// On a host whose processors are never free whoever only has what is left over would never
    /// come to an end.
    fn hurry(&mut self, now: Instant) {
        let Stage::Reading { thread, hurry_at, .. } = &mut self.stage else { return };
        if now < *hurry_at {
            return;
        }
        *hurry_at = Instant::NEVER;
        match thread.try_recv() {
            // It waits for us to take what it has read, so it is there.
            Ok(thread) => drop(thread.set_idle(false)),
            // It has not even begun.
            Err(_) => *hurry_at = now + SPARE_TIME,
        }
    }

    /// The thread has read.
    fn take(&mut self, read: Option<Read>) -> Stage {
        let Some(read) = read else {
            let why = "reading it failed by a fault of viprd's own";
            self.outcome.refused = Some(format!("{}: {why}", self.file.display()));
            return Stage::Over;
        };
        for (severity, news, line) in &read.findings {
            tell(*severity, *news, line);
        }
        self.outcome.findings = read.findings.into_iter().map(|(_, _, line)| line).collect();
        let configuration = match (read.configuration, read.errors) {
            (Some(configuration), 0) => configuration,
            (None, _) => {
                let why = format!("{} can't be run as it is", self.file.display());
                self.outcome.refused = Some(why);
                return Stage::Over;
            }
            // What a new daemon would leave out and go on, a running one does not even begin: it
            // has something better.
            (Some(_), errors) => {
                let errors = super::words::count(errors, "error");
                self.outcome.refused = Some(format!("{} has {errors}", self.file.display()));
                return Stage::Over;
            }
        };
        let fixed = plan::fixed_settings(&self.global, &configuration.global);
        if !fixed.is_empty() {
            warn!("these settings differ and hold only after a restart: {}", fixed.join(", "));
        }
        self.outcome.needs_restart = fixed.into_iter().map(str::to_owned).collect();
        self.flawed = read.flawed;
        self.programs = read.programs;
        Stage::Read(configuration)
    }
}

/// Logs what was found in a configuration.
pub(super) fn tell(severity: Severity, news: bool, line: &str) {
    match severity {
        Severity::Error => error!("{line}"),
        Severity::Warning => warn!("{line}"),
        Severity::Note if news => info!("{line}"),
        Severity::Note => debug!("{line}"),
    }
}

impl Moment {
    /// What has become of it.
    fn then(self, now: Instant, next_deadline: Instant, due: bool) -> Moment {
        match self {
            _ if next_deadline >= now + ROOM => Moment::Good,
            Moment::Good => Moment::Waiting(now),
            Moment::Waiting(since) if now >= since + PATIENCE && !due => Moment::Good,
            Moment::Waiting(since) => Moment::Waiting(since),
        }
    }
}

/// What the thread does.
fn read(file: &Path, options: &config::Options) -> Read {
    let loaded = config::load(file, &config::OsFiles, options);
    let diagnostics = &loaded.diagnostics;
    let told = |it| (Diagnostic::severity(it), it.is_news(), diagnostics.one_line(it));
    let mut findings: Vec<_> = diagnostics.iter().map(told).take(FINDINGS_TOLD).collect();
    if diagnostics.len() > FINDINGS_TOLD {
        let more = diagnostics.len() - FINDINGS_TOLD;
        let more = format!("{more} more findings: `viprd -t` tells them all");
        findings.push((Severity::Warning, true, more));
    }
    Read {
        findings,
        errors: diagnostics.count(Severity::Error),
        // A script that isn't secure leaves nothing out.
        flawed: diagnostics
            .iter()
            .any(|finding| !matches!(finding.code.verdict, Verdict::Fine | Verdict::Insecure)),
        programs: loaded.configuration.as_ref().map(Programs::prepare),
        configuration: loaded.configuration,
    }
}

impl Daemon {
    /// Asks for a reload; gives its number.
    pub(super) fn ask_reload(&mut self) -> u64 {
        self.reload.ask(&mut *self.io)
    }

    /// The pipe of the thread that reads has come to its end.
    pub(super) fn on_read(&mut self) {
        let Stage::Reading { finding, .. } = &self.reload.stage else { return };
        // Nothing yet: what we were told was about an earlier thread.
        let Ok(read) = finding.try_recv() else { return };
        self.io.forget(tokens::RELOAD);
        self.reload.stage = self.reload.take(read);
    }

    /// Goes one stage, or one slice of changes, further.
    ///
    /// A stage may take some milliseconds, and no advert shall wait for it: not one of this turn
    /// (`due`), which is only queued yet, and not the next one.
    pub(super) fn advance_reload(&mut self, now: Instant, due: bool) {
        self.reload.hurry(now);
        let in_vain = match self.reload.stage {
            Stage::Preparing(_, _, until) => now >= until || self.stopping.is_some(),
            _ => false,
        };
        if !in_vain && !self.reload.has_work(&self.host) {
            return;
        }
        if self.stopping.is_some() {
            self.reload.outcome = ReloadRecord::refused("viprd is stopping");
            return self.end_reload(now, None);
        }
        self.reload.moment = self.reload.moment.then(now, self.engine.next_deadline(), due);
        if due || self.reload.moment != Moment::Good {
            return;
        }
        match mem::replace(&mut self.reload.stage, Stage::Idle) {
            Stage::Idle | Stage::Reading { .. } => {}
            Stage::Over => self.end_reload(now, None),
            Stage::Read(mut configuration) => {
                self.adopt_links(now, &mut configuration);
                plan::adopt_trackers(&mut configuration, &mut self.track_names);
                self.reload.stage = Stage::Adopted(configuration);
            }
            Stage::Adopted(configuration) => {
                let running = self.engine.views().map(|view| (view.id, view.params));
                let plan = plan::plan(running, &configuration.routers);
                match refusal(&plan.counts, self.reload.flawed) {
                    None => self.reload.stage = Stage::Planned(configuration, plan),
                    Some(why) => {
                        self.reload.outcome.refused = Some(why);
                        self.end_reload(now, Some(configuration));
                    }
                }
            }
            Stage::Planned(configuration, plan) => {
                if plan.steps.iter().any(|step| self.moves_addresses(*step, &configuration)) {
                    let wanted = configuration.routers.iter().flat_map(|router| &router.addresses);
                    self.host.configure(wanted);
                }
                self.configure_ways(&configuration.routers, &configuration.statics.ways);
                self.watch_sources(now, &configuration.trackers);
                // What leaves needs its interfaces until it has left.
                self.want_macvlans(&configuration.routers);
                self.promote_secondaries(&configuration.routers);
                self.block_addresses(&configuration.routers);
                let until = now + vmacs::PATIENCE;
                self.reload.stage = Stage::Preparing(configuration, plan, until);
            }
            Stage::Preparing(configuration, plan, _) => {
                if let Some(programs) = self.reload.programs.take() {
                    self.scripts.change(now, &configuration.trackers, programs);
                    self.files.track(now, &configuration.trackers);
                    self.processes.track(&configuration.trackers, &mut *self.io);
                    let delays = configuration.link_delays.iter();
                    let delays = delays.map(|&(link, down, up)| (link, Delay { down, up }));
                    self.delays.configure(delays);
                    self.run_scripts(now);
                }
                self.reload.stage = Stage::Applying(configuration, plan, 0);
            }
            Stage::Applying(configuration, plan, done) => {
                // Wishes that speak of the addresses as they are have to be heard before.
                self.carry_out(now);
                let slice = plan.steps.iter().skip(done).take(CHANGES_A_TURN);
                for change in slice.filter_map(|step| step.change(&configuration.routers)) {
                    self.engine.on_change(now, change);
                }
                let done = done + CHANGES_A_TURN;
                if done < plan.steps.len() {
                    self.reload.stage = Stage::Applying(configuration, plan, done);
                    return;
                }
                let Counts { added, altered, removed, unchanged } = plan.counts;
                let outcome = &mut self.reload.outcome;
                outcome.added = added as u64;
                outcome.altered = altered as u64;
                outcome.removed = removed as u64;
                outcome.unchanged = unchanged as u64;
                self.want_macvlans(&[]);
                self.promote_secondaries(&[]);
                self.block_addresses(&[]);
                self.change_statics(&configuration.statics);
                self.dumps.configure(&configuration.global);
                let macvlans = self.engine.views().flat_map(|view| &view.params.macvlans);
                self.frames.pacing.configure(&configuration.global.pacing, &self.names, macvlans);
                self.end_reload(now, Some(configuration));
            }
        }
    }

    /// Numbers interfaces as we do, and watches those that are new.
    fn adopt_links(&mut self, now: Instant, configuration: &mut Configuration) {
        let known = self.names.len();
        plan::adopt_links(configuration, &mut self.names);
        let links = self.names.len();
        if links == known {
            return;
        }
        self.link_up.resize(links, None);
        self.joined.resize(links, Vec::new());
        self.frames.grow_links(links);
        self.engine.grow_links(links);
        self.host.watch(&self.names);
        while let Some(fact) = self.host.next_fact() {
            self.on_fact(now, fact);
        }
    }

    /// Looks out for the source addresses that are tracked from now on. How they are is known before
    /// anyone depends on it.
    fn watch_sources(&mut self, now: Instant, trackers: &[Tracker]) {
        self.host.watch_sources(config::sources(trackers));
        while let Some(fact) = self.host.next_fact() {
            self.on_fact(now, fact);
        }
    }

    /// Whether a step changes which virtual addresses the host may have.
    fn moves_addresses(&self, step: Step, configuration: &Configuration) -> bool {
        let addresses = |index: usize| configuration.routers.get(index).map(|new| &new.addresses);
        match step {
            Step::Remove(_) | Step::Add(_) => true,
            Step::Alter(id, index) => {
                self.engine.get(id).map(|view| &view.params.addresses) != addresses(index)
            }
        }
    }

    /// Tells what has come of it, and goes on with the next one if it has been asked for.
    fn end_reload(&mut self, now: Instant, configuration: Option<Configuration>) {
        self.reload.stage = Stage::Idle;
        self.carry_out(now);
        for (id, name) in self.engine.empty_groups() {
            if self.scripts.tells_group_deleted(name) {
                self.scripts.tell_group(id.0, name, News::Deleted);
            }
        }
        self.scripts.forget_former();
        if configuration.is_some() {
            for view in self.engine.views() {
                let state = view.state.name();
                self.scripts.repeat("INSTANCE", &view.params.name, state, view.priority);
            }
            for (_, group) in self.engine.groups() {
                self.scripts.repeat("GROUP", group.name, group.state, 0);
            }
        }
        if let (Some(back), Some(configuration)) = (self.reload.back.take(), configuration) {
            // If the thread has gone, it is freed here.
            let _ = back.send(configuration);
        }
        let outcome = mem::take(&mut self.reload.outcome);
        match &outcome.refused {
            Some(why) => warn!("Reload refused, nothing has changed: {why}"),
            None => info!(
                "Reload complete: {} added, {} altered, {} removed, {} unchanged",
                outcome.added, outcome.altered, outcome.removed, outcome.unchanged
            ),
        }
        self.clients.on_reloaded(now, self.reload.run, &outcome);
        if mem::take(&mut self.reload.again) && self.stopping.is_none() {
            self.reload.begin(&mut *self.io);
        }
    }
}

/// Why a plan is not to be carried out. Where something in the file was left out, a router that is
/// missing may well be missing by mistake, and its service would stop.
fn refusal(counts: &Counts, flawed: bool) -> Option<String> {
    (flawed && counts.removed > 0).then(|| {
        let routers = super::words::count(counts.removed, "virtual router");
        format!("parts of the file were left out, and {routers} would be removed: mend it first")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_waits_for_room_but_not_for_ever() {
        let at = |ms| Instant::ZERO + Span::from_millis(ms);
        assert_eq!(Moment::Good.then(at(0), at(5), true), Moment::Good);
        let waiting = Moment::Good.then(at(1), at(2), true);
        assert_eq!(waiting, Moment::Waiting(at(1)));
        assert_eq!(waiting.then(at(2), at(12), true), Moment::Good);
        assert_eq!(waiting.then(at(40), at(41), false), Moment::Waiting(at(1)));
        assert_eq!(waiting.then(at(51), at(52), true), waiting, "not before it is sent");
        assert_eq!(waiting.then(at(51), at(52), false), Moment::Good);
    }

    #[test]
    fn a_flawed_file_may_change_and_add_but_not_remove() {
        let removing = Counts { removed: 1, ..Counts::default() };
        let adding = Counts { added: 1, altered: 2, ..Counts::default() };
        assert_eq!(refusal(&removing, false), None);
        assert_eq!(refusal(&adding, true), None);
        assert!(refusal(&removing, true).is_some_and(|why| why.contains("1 virtual router ")));
    }
}
