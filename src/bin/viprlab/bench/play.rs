//! **One play**: two hosts, one daemon on each, measured while they start, while nothing happens,
//! and while one fails.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Program, Programs};
use crate::interrupt::{self, Stop, pass_until, wait_for};
use crate::topology::{HostId, Namespace, Plan, RunDir, Topology};

use super::interval::Intervals;
use super::measure::{
    A_CPU, A_FIRST, A_LAST, A_START_CPU, A_SWEEP, B_CPU, B_SETTLED, B_START_CPU, FALSE_CHANGES,
    Histogram, ON_TIME, PSS_A, RECEIVED_CPU, RSS_A, RSS_B, SENT_CPU, SOFT_CPU, Sheet, UNHEARD_CPU,
};
use super::notify;
use super::process::{Processes, now_ns, soft_interrupts_ns, stay_on};
use super::reload;
use super::scene::{AWAY_PRIORITY, HOME_PRIORITY, Scene, Side, TRACKED};
use super::takeover::Takeover;
use super::tap::{Kind, Seen, Tap};
use super::watch::AddressWatch;

/// The processor of host A's daemon.
pub(super) const CPU_A: usize = 0;

/// The processor of host B's daemon.
pub(super) const CPU_B: usize = 1;

/// When the second round of gratuitous ARPs is over, after the first (`garp_master_delay`, 5 s).
const SECOND_GARPS: Duration = Duration::from_millis(5400);

/// How long a daemon must rest to count as settled.
const REST: Duration = Duration::from_millis(120);

/// Processor time that is rest all the same.
const REST_CPU_NS: u64 = 200_000;

/// What can be done in a play, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Note how they started.
    Start,
    /// Note their memory.
    Memory,
    /// Wait until all is calm, then count for so many seconds.
    Steady(f64),
    /// Wait until all is calm, then look at the wire for so many seconds.
    Interval(f64),
    /// End B, then count for so many seconds what A spends.
    Unheard(f64),
    /// Let A reload a configuration that differs in one router, some times.
    Reload,
    /// Look at the wire for so many seconds, then kill A: each router that B takes over runs a script.
    Notify(f64),
    /// Make A fail, as a mass.
    Fail(Event),
    /// Make A fail, as a single router.
    FailSingle(Event),
}

/// How host A fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It crashes (SIGKILL).
    Kill,
    /// It is stopped (SIGTERM).
    Stop,
    /// The link that its routers track goes down.
    Link,
}

/// What a play brought.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The figures.
    pub(crate) sheet: Sheet,
    /// Interval errors, if they were looked at.
    pub(crate) histogram: Option<Histogram>,
    /// The same before what was looked at began, if it has a before.
    pub(crate) before: Option<Histogram>,
    /// What went wrong or may have.
    pub(crate) doubts: Vec<String>,
}

/// Why a play came to no end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A signal, or a daemon that did not do what was awaited.
    Stop(Stop),
    /// Something that the bench itself needs.
    Io(io::Error),
}

/// Both hosts. What is declared first is dropped first.
struct Stage<'a> {
    scene: &'a Scene,
    a: Daemon,
    b: Option<Daemon>,
    processes_a: Processes,
    processes_b: Processes,
    on_a: AddressWatch,
    on_b: AddressWatch,
    calm_at: Instant,
    scripts: Option<notify::Scripts>,
    directory: RunDir,
    topology: Topology,
    ids: [HostId; 2],
}

/// What is counted at one moment.
#[derive(Clone, Copy)]
struct Count {
    at: u64,
    adverts: u64,
    cpu_a: u64,
    cpu_b: u64,
    soft: u64,
}

/// Plays `steps` in `scene` with `program` on both hosts; says by `say` what it does.
///
/// # Errors
/// If it can't be played to its end.
pub(crate) fn play(
    program: Program,
    programs: &Programs,
    scene: &Scene,
    steps: &[Step],
    say: &dyn Fn(&str),
) -> Result<Outcome, Halt> {
    let mut outcome = Outcome::default();
    let mut stage = Stage::begin(program, programs, scene, steps, say, &mut outcome)?;
    for &step in steps {
        stage.step(step, say, &mut outcome)?;
    }
    if stage.on_a.lost_some() || stage.on_b.lost_some() {
        outcome.doubts.push("some address announcements were lost".into());
    }
    Ok(outcome)
}

impl<'a> Stage<'a> {
    /// Builds the network, starts A, then B, and waits until A has all addresses.
    fn begin(
        program: Program,
        programs: &Programs,
        scene: &'a Scene,
        steps: &[Step],
        say: &dyn Fn(&str),
        outcome: &mut Outcome,
    ) -> Result<Self, Halt> {
        say("building the network");
        stay_on(CPU_B)?;
        let mut plan = Plan::default();
        let (a, b) = (plan.host("a"), plan.host("b"));
        for link in 0..scene.links() {
            let name = Scene::link_name(link);
            plan.wire((a, &name), (b, &name));
            plan.address(a, &name, &Scene::link_address(link, Side::A));
            plan.address(b, &name, &Scene::link_address(link, Side::B));
        }
        plan.wire((a, TRACKED), (b, TRACKED));
        let topology = plan.build()?;
        let directory = RunDir::new()?;
        for (host, id, side) in [("a", a, Side::A), ("b", b, Side::B)] {
            std::fs::write(directory.file(&format!("{host}.conf")), scene.config(side))?;
            // Nothing but what is measured shall be on the wire.
            topology.host(id).enter(|| std::fs::write(NO_IPV6, "1"))?;
        }
        let notifies = steps.iter().any(|step| matches!(step, Step::Notify(_)));
        let scripts = notifies.then(|| {
            let config = directory.file("b.conf");
            let place = config.parent().unwrap_or(std::path::Path::new("/tmp"));
            notify::Scripts::prepare(place, scene, Side::B, &config)
        });
        let scripts = scripts.transpose()?;
        // Each host's addresses are watched from the other one's processor.
        let on_a = AddressWatch::start(topology.host(a))?;
        stay_on(CPU_A)?;
        let on_b = AddressWatch::start(topology.host(b))?;
        stay_on(CPU_B)?;
        // What building left to do (netns, udev, ...) shall be over.
        pass_until(Instant::now() + Duration::from_millis(200), || Ok(()))?;

        let start = |cpu, host: &str, id| {
            let config = directory.file(&format!("{host}.conf"));
            let namespace = topology.host(id);
            Daemon::start_on(cpu, program, programs, namespace, host, &config, &directory)
        };
        say("starting");
        let main = scene.main();
        let slow = main.interval_ms >= 1000;
        let a_started = now_ns();
        let mut daemon_a = start(CPU_A, "a", a)?;
        let mut early_b = None;
        if slow && steps.contains(&Step::Start) {
            // B rests between its start and A's first advert: that is when it is looked at.
            pass_until(Instant::now() + Duration::from_millis(300), || daemon_a.alive())?;
            stay_on(CPU_A)?;
            let b_started = now_ns();
            let mut daemon_b = start(CPU_B, "b", b)?;
            let limit = Duration::from_millis(u64::from(main.interval_ms) * 5 / 2);
            let (settled, cpu) = rest(&mut daemon_b, b_started, limit)?;
            match settled {
                Some(settled) => {
                    outcome.sheet.push((B_SETTLED, (settled - b_started) as f64 / 1e6));
                    outcome.sheet.push((B_START_CPU, cpu as f64 / 1e6));
                }
                None => outcome.doubts.push("B did not come to rest before A spoke".into()),
            }
            stay_on(CPU_B)?;
            early_b = Some(daemon_b);
        }
        say("waiting for A's addresses");
        let at_home =
            scene.routers().iter().filter(|one| home(scene, one.group) == Side::A).count();
        let limit = Duration::from_nanos(main.master_down_ns(HOME_PRIORITY))
            + Duration::from_secs(10)
            + Duration::from_millis(2) * scene.routers().len() as u32;
        wait_for("A's addresses", limit, || {
            daemon_a.alive()?;
            Ok((addresses(&on_a, main.routers) == main.routers).then_some(()))
        })?;
        let calm_at = Instant::now() + SECOND_GARPS;
        let processes_a = Processes::of(daemon_a.pid());
        if steps.contains(&Step::Start) {
            let changes = on_a.since(0);
            let begun = a_started + main.master_down_ns(HOME_PRIORITY);
            let first = changes.first().map_or(0, |change| change.at);
            let last = changes.last().map_or(0, |change| change.at);
            let ms = |at: u64, since: u64| (at as f64 - since as f64) / 1e6;
            outcome.sheet.push((A_FIRST, ms(first, begun)));
            outcome.sheet.push((A_LAST, ms(last, begun)));
            if main.routers > 1 {
                outcome.sheet.push((A_SWEEP, ms(last, first)));
            }
            outcome.sheet.push((A_START_CPU, processes_a.cpu_ns() as f64 / 1e6));
        }
        let mut daemon_b = match early_b {
            Some(daemon_b) => daemon_b,
            None => start(CPU_B, "b", b)?,
        };
        say("letting both settle");
        let quiet =
            Duration::from_nanos(main.interval_ns() * 5 / 4).max(Duration::from_millis(900));
        let both = |daemon_a: &mut Daemon, daemon_b: &mut Daemon| {
            daemon_a.alive().and_then(|()| daemon_b.alive())
        };
        pass_until(Instant::now() + quiet, || both(&mut daemon_a, &mut daemon_b))?;
        let all = scene.routers().len();
        wait_for("every router to be at home", limit, || {
            both(&mut daemon_a, &mut daemon_b)?;
            let there = (addresses(&on_a, all), addresses(&on_b, all));
            Ok((there == (at_home, all - at_home)).then_some(()))
        })?;
        Ok(Stage {
            scene,
            processes_a,
            processes_b: Processes::of(daemon_b.pid()),
            a: daemon_a,
            b: Some(daemon_b),
            on_a,
            on_b,
            calm_at: if at_home < all { Instant::now() + SECOND_GARPS } else { calm_at },
            scripts,
            directory,
            topology,
            ids: [a, b],
        })
    }

    fn step(&mut self, step: Step, say: &dyn Fn(&str), outcome: &mut Outcome) -> Result<(), Halt> {
        match step {
            Step::Start => {}
            Step::Memory => self.memory(&mut outcome.sheet),
            Step::Steady(seconds) => {
                self.calm(say)?;
                say("counting");
                self.steady(seconds, &mut outcome.sheet)?;
            }
            Step::Interval(seconds) => {
                self.calm(say)?;
                say("watching the wire");
                self.interval(seconds, outcome)?;
            }
            Step::Unheard(seconds) => {
                self.calm(say)?;
                say("counting while nobody listens");
                self.unheard(seconds, &mut outcome.sheet)?;
            }
            Step::Reload => {
                self.calm(say)?;
                say("reloading");
                self.reload(outcome)?;
            }
            Step::Notify(seconds) => {
                self.calm(say)?;
                say("watching the wire before and while scripts run");
                self.notify(seconds, outcome)?;
            }
            Step::Fail(event) => {
                say("a mass failover");
                self.fail(event, false, outcome)?;
            }
            Step::FailSingle(event) => {
                say("a failover");
                self.fail(event, true, outcome)?;
            }
        }
        Ok(())
    }

    fn memory(&self, sheet: &mut Sheet) {
        let mb = |kilobytes: u64| kilobytes as f64 / 1e3;
        let (a, b) = (self.processes_a.memory(), self.processes_b.memory());
        sheet.push((RSS_A, mb(a.largest)));
        sheet.push((RSS_B, mb(b.largest)));
        sheet.push((PSS_A, mb(a.all)));
    }

    fn steady(&mut self, seconds: f64, sheet: &mut Sheet) -> Result<(), Halt> {
        let moved = self.moved();
        let (begin, end) = self.count_for(self.whole(seconds))?;
        let adverts = (end.adverts - begin.adverts) as f64;
        let span = (end.at - begin.at) as f64;
        let due: f64 = self
            .scene
            .groups()
            .iter()
            .filter(|group| group.home == Side::A)
            .map(|group| group.routers as f64 * span / group.interval_ns() as f64)
            .sum();
        let (cpu_a, cpu_b) = ((end.cpu_a - begin.cpu_a) as f64, (end.cpu_b - begin.cpu_b) as f64);
        sheet.push((SENT_CPU, cpu_a / 1e3 / adverts));
        sheet.push((RECEIVED_CPU, cpu_b / 1e3 / adverts));
        sheet.push((A_CPU, cpu_a / span * 100.0));
        sheet.push((B_CPU, cpu_b / span * 100.0));
        sheet.push((SOFT_CPU, (end.soft - begin.soft) as f64 / span * 100.0));
        sheet.push((ON_TIME, adverts / due * 100.0));
        sheet.push((FALSE_CHANGES, (self.moved() - moved) as f64));
        Ok(())
    }

    fn unheard(&mut self, seconds: f64, sheet: &mut Sheet) -> Result<(), Halt> {
        if let Some(mut b) = self.b.take() {
            b.kill();
        }
        pass_until(Instant::now() + Duration::from_millis(300), || self.a.alive())?;
        let (begin, end) = self.count_for(self.whole(seconds))?;
        let cpu = (end.cpu_a - begin.cpu_a) as f64;
        sheet.push((UNHEARD_CPU, cpu / 1e3 / (end.adverts - begin.adverts) as f64));
        Ok(())
    }

    fn interval(&mut self, seconds: f64, outcome: &mut Outcome) -> Result<(), Halt> {
        let tap = Tap::start(self.host(Side::B), self.scene.links(), Kind::Adverts)?;
        self.pass(seconds)?;
        let frames = self.frames(tap, outcome);
        let first = frames.first().map_or(0, |frame| frame.at);
        let intervals = Intervals::of(self.scene, &frames, |_| true, (first, u64::MAX));
        intervals.put(&mut outcome.sheet);
        outcome.histogram = Some(intervals.histogram());
        Ok(())
    }

    fn reload(&mut self, outcome: &mut Outcome) -> Result<(), Halt> {
        let interval = self.scene.main().interval_ns() as f64 / 1e9;
        let before = self.processes_a.memory();
        let tap = Tap::start(self.host(Side::B), self.scene.links(), Kind::Adverts)?;
        self.pass(interval * 2.25)?;
        let mut reloads = Vec::new();
        for number in 0..reload::TIMES {
            let file = self.directory.file("a.conf");
            std::fs::write(file, reload::configuration(self.scene, number))?;
            let count = self.on_a.count();
            let signal = now_ns();
            // SIGHUP to the process that was started, as every supervisor does.
            nix::sys::signal::kill(self.a.pid(), nix::sys::signal::Signal::SIGHUP)
                .map_err(io::Error::from)?;
            let done = wait_for("the address to change", Duration::from_secs(20), || {
                self.a.alive()?;
                Ok(reload::done(self.scene, number, &self.on_a.since(count)))
            });
            match done {
                Err(stop @ Stop::Signal(_)) => return Err(stop.into()),
                Err(Stop::Trouble(what)) => outcome.doubts.push(what),
                Ok(_) => {}
            }
            // Each router has spoken at least once after it.
            self.pass(interval * 1.5)?;
            reloads.push(reload::Seen { signal, changes: self.on_a.since(count) });
        }
        let frames = self.frames(tap, outcome);
        self.processes_a = Processes::of(self.a.pid());
        let memory = (before, self.processes_a.memory());
        reload::put(self.scene, &reloads, &frames, memory, &mut outcome.sheet);
        Ok(())
    }

    fn notify(&mut self, seconds: f64, outcome: &mut Outcome) -> Result<(), Halt> {
        let main = *self.scene.main();
        let scripts = self.scripts.as_ref().map_or(0, notify::Scripts::ran);
        if scripts > 0 {
            outcome.doubts.push(format!("{scripts} scripts had run before anything failed"));
        }
        stay_on(CPU_A)?;
        let tap = Tap::start(self.host(Side::A), self.scene.links(), Kind::Adverts)?;
        let begin = now_ns();
        self.pass(seconds)?;
        let event = now_ns();
        self.a.kill();
        let limit = Duration::from_nanos(main.master_down_ns(AWAY_PRIORITY))
            + Duration::from_secs(10)
            + Duration::from_millis(20) * main.routers as u32;
        let ran = |stage: &Self| stage.scripts.as_ref().map_or(0, notify::Scripts::ran);
        let done = wait_for("every script", limit, || {
            // Looks seldom: it disturbs what it looks at.
            thread::sleep(Duration::from_millis(20));
            Ok((ran(self) >= main.routers).then_some(()))
        });
        let end = now_ns();
        match done {
            Err(stop @ Stop::Signal(_)) => return Err(stop.into()),
            Err(Stop::Trouble(what)) => outcome.doubts.push(what),
            Ok(()) => {}
        }
        let frames = self.frames(tap, outcome);
        let down = main.master_down_ns(AWAY_PRIORITY) - main.interval_ns();
        let times = notify::Times { begin, event, deadline: event + down, end };
        let told = (ran(self), self.scripts.as_ref().map_or(0, notify::Scripts::routers));
        let [before, during] = notify::put(self.scene, &frames, &times, told, &mut outcome.sheet);
        (outcome.before, outcome.histogram) = (Some(before), Some(during));
        Ok(())
    }

    fn fail(&mut self, event: Event, single: bool, outcome: &mut Outcome) -> Result<(), Halt> {
        let main = *self.scene.main();
        let links = self.scene.links();
        // B is what is looked at: whoever looks stays on the other processor.
        stay_on(CPU_A)?;
        let to_b = Tap::start(self.host(Side::B), links, Kind::Adverts)?;
        let to_a = Tap::start(self.host(Side::A), links, Kind::Arps)?;
        let others = self.scene.groups().len() > 1;
        let others_to_a =
            others.then(|| Tap::start(self.host(Side::A), links, Kind::Adverts)).transpose()?;
        // Each router must be heard at least once before; where one in a million of an interval
        // decides, not always at the same point of it.
        let heard = main.interval_ns() * 5 / 4 + now_ns() % 1_000 * main.interval_ns() / 1_000;
        self.pass(heard as f64 / 1e9)?;

        let (count_a, count_b) = (self.on_a.count(), self.on_b.count());
        let at = now_ns();
        match event {
            Event::Kill => self.a.kill(),
            Event::Stop => {
                self.a.ask_to_stop()?;
            }
            Event::Link => {
                self.host(Side::A).set_link(TRACKED, false)?;
            }
        }
        if event != Event::Kill {
            // A says farewell first, on the processor of whoever looks.
            let soon = Duration::from_nanos(main.skew_ns(AWAY_PRIORITY) / 2);
            pass_until(Instant::now() + soon, || Ok(()))?;
        }
        // From now on nobody else needs that processor, unless A has other routers.
        let a_speaks = self.scene.groups()[1..].iter().any(|group| group.home == Side::A);
        self.on_b.spin(!a_speaks || event == Event::Kill);
        let limit = Duration::from_nanos(main.master_down_ns(AWAY_PRIORITY))
            + Duration::from_secs(4)
            + Duration::from_millis(1) * main.routers as u32;
        let taken = wait_for("B to take over", limit, || {
            if self.on_b.count() - count_b < main.routers {
                return Ok(None);
            }
            let set = self.on_b.since(count_b).iter().filter(|change| change.set).count();
            Ok((set >= main.routers).then_some(()))
        });
        match taken {
            Err(stop @ Stop::Signal(_)) => return Err(stop.into()),
            Err(Stop::Trouble(what)) => outcome.doubts.push(what),
            Ok(()) => {}
        }
        // The last of the first gratuitous ARPs, and what others do shortly after.
        pass_until(Instant::now() + Duration::from_millis(350), || Ok(()))?;
        self.on_b.spin(false);
        let to_b = self.frames(to_b, outcome);
        let mut to_a = self.frames(to_a, outcome);
        if let Some(tap) = others_to_a {
            to_a.extend(self.frames(tap, outcome));
            to_a.sort_by_key(|frame| frame.at);
        }
        let (on_a, on_b) = (self.on_a.since(count_a), self.on_b.since(count_b));
        let takeover = Takeover {
            scene: self.scene,
            event: at,
            to_b: &to_b,
            to_a: &to_a,
            on_a: &on_a,
            on_b: &on_b,
        };
        match single {
            true => takeover.put_single(&mut outcome.sheet),
            false => takeover.put(&mut outcome.sheet),
        }
        Ok(())
    }

    /// At least so many seconds, in whole intervals: each router then speaks equally often.
    fn whole(&self, seconds: f64) -> f64 {
        let interval = self.scene.main().interval_ns() as f64 / 1e9;
        (seconds / interval).ceil().max(1.0) * interval
    }

    /// Waits until the second round of gratuitous ARPs is over.
    fn calm(&mut self, say: &dyn Fn(&str)) -> Result<(), Halt> {
        say("waiting for the second gratuitous ARPs to be over");
        let until = self.calm_at;
        Ok(pass_until(until, || self.alive())?)
    }

    fn pass(&mut self, seconds: f64) -> Result<(), Halt> {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        // Looks seldom: it disturbs what it looks at.
        loop {
            interrupt::check()?;
            self.alive()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(200)));
        }
    }

    fn alive(&mut self) -> Result<(), Stop> {
        self.a.alive()?;
        self.b.as_mut().map_or(Ok(()), Daemon::alive)
    }

    fn count_for(&mut self, seconds: f64) -> Result<(Count, Count), Halt> {
        let begin = self.count()?;
        self.pass(seconds)?;
        Ok((begin, self.count()?))
    }

    fn count(&self) -> io::Result<Count> {
        let adverts = self.host(Side::B).enter(|| {
            let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
            Ok((received(&text), now_ns()))
        });
        let (adverts, at) = adverts?;
        Ok(Count {
            at,
            adverts,
            cpu_a: self.processes_a.cpu_ns(),
            cpu_b: self.processes_b.cpu_ns(),
            soft: soft_interrupts_ns(),
        })
    }

    fn frames(&self, tap: Tap, outcome: &mut Outcome) -> Vec<super::tap::Frame> {
        let Seen { frames, doubt } = tap.finish();
        outcome.doubts.extend(doubt);
        frames
    }

    /// How often addresses came and went so far.
    fn moved(&self) -> usize {
        self.on_a.count() + self.on_b.count()
    }

    fn host(&self, side: Side) -> &Namespace {
        self.topology.host(self.ids[side as usize])
    }
}

impl Event {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Event::Kill => "A is killed",
            Event::Stop => "A is stopped",
            Event::Link => "A's tracked link goes down",
        }
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

/// Where IPv6 is switched off for all links of a namespace.
pub(super) const NO_IPV6: &str = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

fn home(scene: &Scene, group: usize) -> Side {
    scene.groups()[group].home
}

/// How many addresses of the first `routers` routers there are now.
fn addresses(watch: &AddressWatch, routers: usize) -> usize {
    let mut there = vec![false; routers];
    for change in watch.since(0) {
        if let Some(there) = there.get_mut(change.router) {
            *there = change.set;
        }
    }
    there.iter().filter(|&&there| there).count()
}

/// Waits until the daemon has been at rest for a while; tells since when, and what processor
/// time it had used by then.
fn rest(daemon: &mut Daemon, started: u64, limit: Duration) -> Result<(Option<u64>, u64), Halt> {
    let limit = started + limit.as_nanos() as u64;
    let mut processes = Processes::of(daemon.pid());
    let mut looked = now_ns();
    // Since when the time used has hardly grown, and what it was then.
    let (mut since, mut used) = (started, 0);
    loop {
        interrupt::check()?;
        daemon.alive()?;
        let now = now_ns();
        if now - looked > 20_000_000 {
            processes = Processes::of(daemon.pid());
            looked = now;
        }
        let cpu = processes.cpu_ns();
        if cpu > used + REST_CPU_NS {
            (since, used) = (now, cpu);
        } else if used > 0 && now - since > REST.as_nanos() as u64 {
            return Ok((Some(since), cpu));
        }
        if now > limit {
            return Ok((None, cpu));
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Packets that all links of a `net/dev` (`proc(5)`) have received, the tracked one and the
/// loopback left out.
fn received(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.trim_start().split_once(':'));
    let ours = lines.filter(|(name, _)| name.starts_with('v'));
    let packets =
        ours.filter_map(|(_, words)| words.split_whitespace().nth(1)?.parse::<u64>().ok());
    packets.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_packets_of_the_measured_links_are_summed() {
        let text = "Inter-|   Receive\n face |bytes    packets errs\n    lo: 9 8 0\n    v0: 540 10 0\n\
                    \x20 v17: 1 5 0\n   up0: 7 6 0\n";
        assert_eq!(received(text), 15);
    }
}
