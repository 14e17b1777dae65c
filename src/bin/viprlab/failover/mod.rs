//! **The experiment**: two routers, one client, one address, as in the published test that the
//! project set out to beat.
//!
//! HostA becomes MASTER, HostB waits as BACKUP, the client pings the virtual address once a second
//! and once a millisecond. Case C: HostA's service link goes down. Case D: it comes back. Then
//! HostB is stopped. The two configuration files are those of the experiment, byte for byte;
//! the fast round only adds `version 3` and `advert_int 0.01` to them.

mod setting;
mod verdict;

pub(crate) use setting::{Cast, Setting};
pub(crate) use verdict::{Report, Round};

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use viprd::base::Mac;

use crate::capture::{Garp, GarpWatch};
use crate::clock::ms_between;
use crate::daemon::{Daemon, Program, Programs, State};
use crate::interrupt::{Stop, pass_until, wait_for};
use crate::neighbour::EntryWatch;
use crate::ping::{Pinger, Series};
use crate::progress::Progress;
use crate::timeline::{Place, Timeline, What};
use crate::topology::{HostId, Plan, RunDir, Switched, Topology};
use verdict::{Host, Hosts, Stamped, Step, lines};

/// The files of the experiment.
const CONFIG_A: &str = include_str!("../seed/case-a.conf");
const CONFIG_B: &str = include_str!("../seed/case-b.conf");

/// The address that they speak of.
const VIRTUAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 50);

/// When the second set of gratuitous ARPs follows the first (`garp_master_delay`, its default).
const SECOND_GARPS: Duration = Duration::from_secs(5);

/// How long a step is watched once nothing more is awaited of it.
const SOON: Duration = Duration::from_secs(1);

/// The hosts' names in all that is shown.
const HOST_A: &str = "HostA";
const HOST_B: &str = "HostB";

/// Why a round could not be played.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that the bench itself needs failed.
    Setup(io::Error),
    /// A signal asked to stop.
    Signal(i32),
}

/// Plays one round.
///
/// # Errors
/// [`Failure`] when it can't be played at all. What goes wrong in the play itself is in the report.
pub(crate) fn play(
    cast: Cast,
    setting: &Setting,
    programs: &Programs,
    progress: &Progress,
) -> Result<Round, Failure> {
    progress.say("building the network");
    let mut stage = Stage::build(setting)?;
    let outcome = stage.play(cast, setting, programs, progress);
    progress.say("waiting for the last answers");
    let trouble = match outcome {
        Ok(()) => None,
        Err(Halt::Stop(Stop::Trouble(what))) => Some(what),
        Err(Halt::Stop(Stop::Signal(signal))) => return Err(Failure::Signal(signal)),
        Err(Halt::Io(error)) => return Err(Failure::Setup(error)),
    };
    Ok(stage.report(cast, setting, trouble))
}

/// Everything that stands while a round is played. What is declared first is dropped first.
struct Stage {
    each_second: Option<Pinger>,
    each_millisecond: Option<Pinger>,
    a: Option<Daemon>,
    b: Option<Daemon>,
    garps: GarpWatch,
    entry: EntryWatch,
    directory: RunDir,
    topology: Topology,
    ids: Ids,
    macs: [(&'static str, Mac); 2],
    start: Instant,
    acts: Vec<Act>,
    stopping: Vec<(Instant, &'static str)>,
}

struct Ids {
    a: HostId,
    b: HostId,
    client: HostId,
}

/// A part of the play: what was done, and between which moments.
struct Act {
    kind: ActKind,
    done: Switched,
}

#[derive(Clone, Copy, PartialEq)]
enum ActKind {
    CaseC,
    CaseD,
    BStops,
}

enum Halt {
    Stop(Stop),
    Io(io::Error),
}

impl Stage {
    fn build(setting: &Setting) -> io::Result<Self> {
        let mut plan = Plan::default();
        let (a, b, client) = (plan.host("a"), plan.host("b"), plan.host("client"));
        plan.wire((a, "eth0"), (b, "eth0"));
        plan.segment(&[(a, "eth1"), (b, "eth1"), (client, "eth1")]);
        // The priorities are equal, so of two masters the one with the higher address stays: here
        // HostB. A HostB that wrongly preempts shows at once, in its states before Case C.
        plan.address(a, "eth0", "10.0.0.1/24");
        plan.address(b, "eth0", "10.0.0.2/24");
        plan.address(a, "eth1", "192.168.122.11/24");
        plan.address(b, "eth1", "192.168.122.12/24");
        plan.address(client, "eth1", "192.168.122.100/24");
        let topology = plan.build()?;
        let directory = RunDir::new()?;
        std::fs::write(directory.file("case-a.conf"), setting.apply(CONFIG_A))?;
        std::fs::write(directory.file("case-b.conf"), setting.apply(CONFIG_B))?;
        Ok(Stage {
            each_second: None,
            each_millisecond: None,
            a: None,
            b: None,
            garps: GarpWatch::start(topology.host(client), "eth1")?,
            entry: EntryWatch::start(topology.host(client), VIRTUAL_ADDRESS)?,
            directory,
            macs: [(HOST_A, plan.mac(a, "eth1")), (HOST_B, plan.mac(b, "eth1"))],
            topology,
            ids: Ids { a, b, client },
            start: Instant::now(),
            acts: vec![],
            stopping: vec![],
        })
    }

    fn play(
        &mut self,
        cast: Cast,
        setting: &Setting,
        programs: &Programs,
        progress: &Progress,
    ) -> Result<(), Halt> {
        progress.say("HostA starts and becomes MASTER");
        let a_master = self.begin_a(cast.a, setting, programs)?;
        progress.say("HostB starts and waits as BACKUP");
        self.begin_b(cast.b, setting, programs, a_master)?;
        progress.say("Case C: HostA's eth1 goes down, HostB takes over");
        self.case_c(setting)?;
        progress.say("Case D: HostA's eth1 comes back, nothing must change");
        self.case_d(setting)?;
        progress.say("HostB stops, HostA takes over");
        self.stop_b(setting)
    }

    /// Starts HostA, and pings once the address answers. Tells when HostA became MASTER.
    fn begin_a(
        &mut self,
        program: Program,
        setting: &Setting,
        programs: &Programs,
    ) -> Result<Instant, Halt> {
        let a = self.start_daemon(program, programs, HOST_A, self.ids.a, "case-a.conf")?;
        let started = a.started;
        self.a = Some(a);
        let master = self.wait_a(State::Master, started, takeover_limit(setting))?;
        let client = self.topology.host(self.ids.client);
        let ping = |millis| Pinger::start(client, VIRTUAL_ADDRESS, Duration::from_millis(millis));
        let probe = ping(50)?;
        let what = "the virtual address to answer";
        wait_for(what, Duration::from_secs(3), || Ok(probe.answered_since(started).then_some(())))?;
        drop(probe);
        self.each_second = Some(ping(1000)?);
        self.each_millisecond = Some(ping(1)?);
        Ok(master)
    }

    /// Starts HostB and lets both settle.
    fn begin_b(
        &mut self,
        program: Program,
        setting: &Setting,
        programs: &Programs,
        a_master: Instant,
    ) -> Result<(), Halt> {
        let b = self.start_daemon(program, programs, HOST_B, self.ids.b, "case-b.conf")?;
        self.b = Some(b);
        // A daemon need not say that it begins as BACKUP; one that says nothing has had its time.
        let spoken = wait_for("HostB to begin", Duration::from_secs(3), || {
            self.both_alive()?;
            Ok(self.b.as_ref().and_then(Daemon::state))
        });
        if let Err(stop @ Stop::Signal(_)) = spoken {
            return Err(stop.into());
        }
        // Long enough to hear an advert, and for HostA's second set of gratuitous ARPs.
        let heard = Duration::from_secs_f64(setting.interval_s() * 1.2);
        let settled = Instant::now() + heard + SOON;
        pass_until(settled.max(a_master + garps_seen(setting)), || self.both_alive())?;
        Ok(())
    }

    fn case_c(&mut self, setting: &Setting) -> Result<(), Halt> {
        // The link goes down shortly before a ping of the slow series is due, so that a silence of
        // n seconds and a bit costs n + 1 of them: the worst case, each time.
        let soon = Instant::now() + Duration::from_millis(150);
        let due = self.each_second.as_ref().map_or(soon, |pinger| pinger.next_after(soon));
        pass_until(due - Duration::from_millis(100), || Ok(()))?;
        let done = self.switch_eth1(ActKind::CaseC, false)?;
        self.wait_a(State::Fault, done.before, Duration::from_secs(5))?;
        let b_master = self.wait_b(State::Master, done.before, takeover_limit(setting))?;
        self.wait_answer(done.after)?;
        pass_until(b_master + garps_seen(setting), || self.both_alive())?;
        Ok(())
    }

    fn case_d(&mut self, setting: &Setting) -> Result<(), Halt> {
        let done = self.switch_eth1(ActKind::CaseD, true)?;
        let a_backup = self.wait_a(State::Backup, done.before, Duration::from_secs(5))?;
        // Would HostA not hear HostB, it would be MASTER by then.
        pass_until(a_backup + setting.master_down() + SOON, || self.both_alive())?;
        Ok(())
    }

    fn stop_b(&mut self, setting: &Setting) -> Result<(), Halt> {
        let Some(b) = &mut self.b else { return Ok(()) };
        let before = b.ask_to_stop()?;
        let done = Switched { before, after: Instant::now() };
        self.acts.push(Act { kind: ActKind::BStops, done });
        self.stopping.push((before, HOST_B));
        let a_master = self.wait_a(State::Master, before, takeover_limit(setting))?;
        self.wait_answer(a_master)?;
        if let Some(b) = &mut self.b {
            b.wait_end(Duration::from_secs(5))?;
        }
        pass_until(a_master + SOON, || self.a.as_mut().map_or(Ok(()), Daemon::alive))?;
        Ok(())
    }

    /// Sets HostA's eth1 up or down, which begins an act.
    fn switch_eth1(&mut self, kind: ActKind, up: bool) -> Result<Switched, Halt> {
        let done = self.topology.host(self.ids.a).set_link("eth1", up)?;
        self.acts.push(Act { kind, done });
        Ok(done)
    }

    fn start_daemon(
        &self,
        program: Program,
        programs: &Programs,
        name: &str,
        host: HostId,
        config: &str,
    ) -> io::Result<Daemon> {
        let namespace = self.topology.host(host);
        let config = self.directory.file(config);
        Daemon::start(program, programs, namespace, name, &config, &self.directory)
    }

    fn both_alive(&mut self) -> Result<(), Stop> {
        [&mut self.a, &mut self.b].into_iter().flatten().try_for_each(Daemon::alive)
    }

    fn wait_a(&mut self, state: State, since: Instant, limit: Duration) -> Result<Instant, Stop> {
        wait_state(&mut self.a, state, since, limit)
    }

    fn wait_b(&mut self, state: State, since: Instant, limit: Duration) -> Result<Instant, Stop> {
        wait_state(&mut self.b, state, since, limit)
    }

    /// Waits until a ping sent at `since` or later is answered.
    fn wait_answer(&self, since: Instant) -> Result<(), Stop> {
        wait_for("the virtual address to answer again", Duration::from_secs(5), || {
            let pinger = self.each_millisecond.as_ref();
            Ok(pinger.is_some_and(|pinger| pinger.answered_since(since)).then_some(()))
        })
    }

    /// Ends everything and tells what came of it.
    fn report(mut self, cast: Cast, setting: &Setting, mut trouble: Option<String>) -> Round {
        let end = Instant::now();
        let each_second = self.each_second.take().map(Pinger::finish).unwrap_or_default();
        let each_millisecond = self.each_millisecond.take().map(Pinger::finish).unwrap_or_default();
        let b_stopped =
            self.acts.iter().find(|act| act.kind == ActKind::BStops).map(|act| act.done.before);
        if trouble.is_none()
            && let Some(a) = &mut self.a
        {
            let ended = a.ask_to_stop().and_then(|at| {
                self.stopping.push((at, HOST_A));
                a.wait_end(Duration::from_secs(5))
            });
            trouble = ended.err().map(|stop| stop.to_string());
        }

        let hosts = Hosts {
            a: self.host(cast.a, self.a.as_ref(), 0, end),
            b: self.host(cast.b, self.b.as_ref(), 1, b_stopped.unwrap_or(end)),
        };
        let step = |kind| self.step(kind, end, &each_second, &each_millisecond);
        let (case_c, case_d, b_stops) =
            (step(ActKind::CaseC), step(ActKind::CaseD), step(ActKind::BStops));
        let lines =
            lines(cast, setting, &hosts, case_c.as_ref(), case_d.as_ref(), b_stops.as_ref());
        let timeline = self.timeline(end, &each_second, &each_millisecond);
        let (a, b) = (cast.a.name(), cast.b.name());
        Round {
            title: format!("HostA: {a}, HostB: {b}; {}", setting.title()),
            setting: setting.clone(),
            holds: Round::verdict(trouble.as_deref(), &lines),
            trouble,
            hosts,
            case_c,
            case_d,
            b_stops,
            lines,
            timeline,
        }
    }

    fn host(
        &self,
        program: Program,
        daemon: Option<&Daemon>,
        place: usize,
        until: Instant,
    ) -> Host {
        let stamped = |&(at, what): &(Instant, State)| Stamped { ms: self.ms(at), what };
        let states = daemon.map(Daemon::states).unwrap_or_default();
        let log = daemon.map(Daemon::log).unwrap_or_default();
        Host {
            program,
            mac: self.macs[place].1.to_string(),
            states: states.iter().filter(|(at, _)| *at < until).map(stamped).collect(),
            log: Stamped::log(&log, self.start),
        }
    }

    /// When the act after that of `kind` began, or the play ended.
    fn end_of(&self, kind: ActKind, end: Instant) -> Instant {
        let place = self.acts.iter().position(|act| act.kind == kind);
        let next = place.and_then(|place| self.acts.get(place + 1));
        next.map_or(end, |act| act.done.before)
    }

    fn step(&self, kind: ActKind, end: Instant, slow: &Series, fast: &Series) -> Option<Step> {
        let begun = self.acts.iter().find(|act| act.kind == kind)?.done;
        let ended = self.end_of(kind, end);
        let during = |at: Instant| at >= begun.before && at < ended;
        let place = |mac| Place::of(mac, &self.macs);
        let after = self.entry.at(ended);
        let changes = self.entry.changes();
        let garps = self.garps_of_ours();
        let first = garps.iter().find(|garp| during(garp.at) && Some(garp.mac) == after);
        Some(Step {
            begun_ms: self.ms(begun.before),
            done_ms: self.ms(begun.after),
            each_second: Step::pings(&slow.summary(begun.before, ended)),
            each_millisecond: Step::pings(&fast.summary(begun.before, ended)),
            entry_before: self.entry.at(begun.before).map(place),
            entry_after: after.map(place),
            entry_changed_ms: changes.iter().rfind(|c| during(c.at)).map(|c| self.ms(c.at)),
            first_garp_ms: first.map(|garp| self.ms(garp.at)),
            garps: garps.iter().filter(|garp| during(garp.at)).count(),
        })
    }

    fn timeline(&self, end: Instant, slow: &Series, fast: &Series) -> Timeline {
        let mut timeline = Timeline::new(self.start);
        let address = || VIRTUAL_ADDRESS.to_string();
        for act in &self.acts {
            let Act { kind, done: Switched { before, after } } = *act;
            let (title, up) = match kind {
                ActKind::CaseC => ("Case C: the tracked interface goes down", Some(false)),
                ActKind::CaseD => ("Case D: the tracked interface comes back", Some(true)),
                ActKind::BStops => ("HostB is stopped", None),
            };
            timeline.add(before, What::Step { title: title.into() });
            let place = self.entry.at(before).map(|mac| Place::of(mac, &self.macs));
            timeline.add(before, What::Entry { address: address(), place });
            if let Some(up) = up {
                let took_ms = ms_between(before, after);
                let what = What::Link { host: HOST_A, link: "eth1", up, took_ms };
                timeline.add(before, what);
            }
        }
        for &(at, host) in &self.stopping {
            timeline.add(at, What::Stopping { host });
        }
        for (host, daemon) in [(HOST_A, &self.a), (HOST_B, &self.b)] {
            let Some(daemon) = daemon else { continue };
            let program = daemon.program.name();
            timeline.add(daemon.started, What::Started { host, program });
            for (at, state) in daemon.states() {
                timeline.add(at, What::State { host, state });
            }
        }
        for garp in self.garps_of_ours() {
            let place = Place::of(garp.mac, &self.macs);
            timeline.add(garp.at, What::Garp { address: address(), place });
        }
        for change in self.entry.changes() {
            let place = change.mac.map(|mac| Place::of(mac, &self.macs));
            timeline.add(change.at, What::Entry { address: address(), place });
        }
        for sent in slow.summary(self.start, end).lost {
            let number = slow.echoes.partition_point(|echo| echo.sent < sent) + 1;
            timeline.add(sent, What::PingLost { number });
        }
        for act in &self.acts {
            let ended = self.end_of(act.kind, end);
            let pings = Step::pings(&fast.summary(act.done.before, ended));
            let (sent, lost, silence_ms) = (pings.sent, pings.lost, pings.silence_ms);
            // A hair before what begins the next step.
            let at = ended - Duration::from_micros(1);
            timeline.add(at, What::Pings { each_ms: 1.0, sent, lost, silence_ms });
        }
        timeline.sort();
        timeline
    }

    fn garps_of_ours(&self) -> Vec<Garp> {
        self.garps.seen().into_iter().filter(|garp| garp.address == VIRTUAL_ADDRESS).collect()
    }

    fn ms(&self, at: Instant) -> f64 {
        ms_between(self.start, at)
    }
}

/// How long to wait at most until a backup takes over: even a busy machine does it by then.
fn takeover_limit(setting: &Setting) -> Duration {
    setting.master_down() + Duration::from_secs(5)
}

/// How long to watch a new master, so that all of its gratuitous ARPs are seen.
fn garps_seen(setting: &Setting) -> Duration {
    if setting.patient() { SECOND_GARPS + Duration::from_millis(400) } else { SOON }
}

fn wait_state(
    daemon: &mut Option<Daemon>,
    state: State,
    since: Instant,
    limit: Duration,
) -> Result<Instant, Stop> {
    match daemon {
        Some(daemon) => daemon.wait_state(state, since, limit),
        None => Err(Stop::Trouble("a daemon that was never started".into())),
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Halt::Stop(stop)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::Io(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Setup(error)
    }
}
