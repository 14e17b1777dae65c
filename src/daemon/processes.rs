//! Tracked processes: a thread of its own hears of every process of the host and counts those that
//! matter; the loop is told when a number has changed, and of nothing else.
//!
//! ```text
//!   /proc once ─┐
//!   kernel's ───┼─► thread: Census ─► (which, how many) ─► loop: Quorum ─► standing
//!   events      │
//!   or a look a second, and pidfds, where the kernel does not tell
//! ```
//!
//! To look at a process may take long: its command line is in its own memory, and a process that hangs
//! may hold that locked. So it is the thread that looks.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Clock};

use log::{info, warn};

use super::tokens;
use crate::base::{Instant, TrackId};
use crate::config::{ArgumentFit, TrackProcess, Tracker, TrackerKind};
use crate::control::ProcessDump;
use crate::io::Io;
use crate::io::process::NetworkNamespace;
use crate::io::processes::{self, ProcessEvent, ProcessEvents};
use crate::process::{Census, Fit, Pattern, Process, Quorum, QuorumParams};
use crate::vrrp::Standing;

/// What the kernel may have to tell before we listen, in bytes, unless that is configured: some ten
/// thousand processes.
const BUFFER: usize = 4 << 20;
/// How long the kernel's word that it tells us is waited for.
const HEARING: Duration = Duration::from_millis(500);
/// How often to look if it does not.
const LOOK: Duration = Duration::from_secs(1);
/// The thread's stack, which may be locked in memory (`vrrp_no_swap`).
const STACK: usize = 256 << 10;
/// How long the thread has for its farewell.
const FAREWELL: Duration = Duration::from_millis(200);
/// Events taken between two reports.
const EVENTS: usize = 4096;

/// All tracked processes.
pub(super) struct Processes {
    tracked: Vec<Tracked>,
    watcher: Option<Watcher>,
    /// Where the daemon was started, if it works in another network namespace.
    home: Option<NetworkNamespace>,
    /// The receive buffer for the kernel's word, in bytes.
    buffer: usize,
    learned: Vec<(TrackId, Standing)>,
}

struct Tracked {
    id: TrackId,
    name: Box<str>,
    what: TrackProcess,
    quorum: Quorum,
}

/// The thread, as the loop sees it. It ends when this is dropped.
struct Watcher {
    /// Has bytes when there are reports.
    line: UnixStream,
    reports: Receiver<Report>,
    thread: JoinHandle<()>,
}

/// What the thread tells.
enum Report {
    /// So many fit the pattern in that place.
    Count(usize, u32),
    /// For the log.
    Says(String),
}

impl Processes {
    /// None yet. `home` is the network namespace that the daemon was started in, if that is another;
    /// `buffer` the receive buffer that is configured.
    pub(super) fn new(home: Option<NetworkNamespace>, buffer: Option<u32>) -> Self {
        let buffer = buffer.map_or(BUFFER, |bytes| bytes as usize);
        Processes { tracked: Vec::new(), watcher: None, home, buffer, learned: Vec::new() }
    }

    /// These are tracked from now on, and no others.
    pub(super) fn track(&mut self, trackers: &[Tracker], io: &mut dyn Io) {
        let mut former = std::mem::take(&mut self.tracked);
        let patterns = |tracked: &[Tracked]| -> Box<[Pattern]> {
            tracked.iter().map(|tracked| pattern(&tracked.what)).collect()
        };
        let before = patterns(&former);
        for Tracker { id, name, what } in trackers {
            let TrackerKind::Process(what) = what else { continue };
            let place = former.iter().position(|old| old.id == *id);
            let quorum = match place.map(|place| former.swap_remove(place)) {
                // Nobody shall be without what was known of it.
                Some(mut old) => {
                    if pattern(&old.what) != pattern(what) {
                        old.quorum.recount();
                    }
                    if old.what != *what {
                        old.quorum.rejudge(params(what));
                    }
                    old.quorum
                }
                None => Quorum::new(params(what)),
            };
            let (name, what) = (name.clone(), what.clone());
            self.tracked.push(Tracked { id: *id, name, what, quorum });
        }
        let now = patterns(&self.tracked);
        for Tracked { id, quorum, .. } in &self.tracked {
            self.learned.push((*id, standing(quorum)));
        }
        if now == before {
            return;
        }
        if self.watcher.is_some() {
            io.forget(tokens::PROCESSES);
            self.watcher = None;
        }
        if !now.is_empty() {
            self.watcher = Watcher::begin(now, self.home.as_ref(), self.buffer, io)
                .inspect_err(|cause| warn!("processes can't be tracked: {cause}"))
                .ok();
        }
    }

    /// What is tracked, to be shown.
    pub(super) fn dumps(&self) -> Vec<ProcessDump> {
        let dumps = self.tracked.iter().map(|Tracked { name, what, quorum, .. }| ProcessDump {
            name: name.to_string(),
            process: what.name.to_string(),
            arguments: what.arguments.iter().map(ToString::to_string).collect(),
            fit: match what.fit {
                ArgumentFit::Any => None,
                ArgumentFit::Exact => Some("exact"),
                ArgumentFit::Initial => Some("initial"),
                ArgumentFit::Partial => Some("partial"),
            },
            full_command: what.full_command,
            at_least: what.quorum,
            at_most: what.quorum_max,
            count: quorum.count(),
            good: quorum.is_good() == Some(true),
            fork_delay: what.fork_delay,
            terminate_delay: what.terminate_delay,
        });
        dumps.collect()
    }

    /// When [`Processes::turn`] has work that nothing will wake the loop for.
    pub(super) fn wake_at(&self) -> Instant {
        if !self.learned.is_empty() {
            return Instant::ZERO;
        }
        let waiting = self.tracked.iter().map(|tracked| tracked.quorum.deadline());
        waiting.min().unwrap_or(Instant::NEVER)
    }

    /// The thread has something to tell.
    pub(super) fn on_ready(&mut self, now: Instant) {
        let Some(Watcher { line, reports, .. }) = &mut self.watcher else { return };
        let mut bytes = [0; 256];
        while matches!(line.read(&mut bytes), Ok(1..)) {}
        while let Ok(report) = reports.try_recv() {
            match report {
                Report::Says(words) => info!("{words}"),
                Report::Count(place, count) => {
                    let Some(tracked) = self.tracked.get_mut(place) else { continue };
                    let before = tracked.quorum.is_good();
                    tracked.quorum.on_count(now, count);
                    tracked.tell(before, &mut self.learned);
                }
            }
        }
    }

    /// What has lasted for long enough is believed.
    pub(super) fn turn(&mut self, now: Instant) {
        for tracked in &mut self.tracked {
            if tracked.quorum.deadline() <= now {
                let before = tracked.quorum.is_good();
                tracked.quorum.on_deadline(now);
                tracked.tell(before, &mut self.learned);
            }
        }
    }

    /// The daemon ends: the thread takes leave of the kernel.
    pub(super) fn end(&mut self, io: &mut dyn Io) {
        let Some(Watcher { line, thread, .. }) = self.watcher.take() else { return };
        io.forget(tokens::PROCESSES);
        drop(line);
        let began = Clock::now();
        while !thread.is_finished() && began.elapsed() < FAREWELL {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What has been learned; to be taken until there is none.
    pub(super) fn next_standing(&mut self) -> Option<(TrackId, Standing)> {
        self.learned.pop()
    }
}

impl Tracked {
    fn tell(&self, before: Option<bool>, learned: &mut Vec<(TrackId, Standing)>) {
        let good = self.quorum.is_good();
        if good == before {
            return;
        }
        let (name, count) = (&self.name, self.quorum.count().unwrap_or(0));
        match (before, good) {
            (Some(_), Some(true)) => {
                info!("Quorum gained for tracked process {name} ({count} running)");
            }
            (_, Some(false)) => info!("Quorum lost for tracked process {name} ({count} running)"),
            _ => {}
        }
        learned.push((self.id, standing(&self.quorum)));
    }
}

impl Watcher {
    fn begin(
        patterns: Box<[Pattern]>,
        home: Option<&NetworkNamespace>,
        buffer: usize,
        io: &mut dyn Io,
    ) -> io::Result<Self> {
        let (line, other_end) = UnixStream::pair()?;
        line.set_nonblocking(true)?;
        other_end.set_nonblocking(true)?;
        let (sender, reports) = mpsc::channel();
        let home = home.map(NetworkNamespace::another).transpose()?;
        let lookout = Lookout {
            told: patterns.iter().map(|_| None).collect(),
            census: Census::new(patterns),
            line: other_end,
            reports: sender,
        };
        io.watch(tokens::PROCESSES, line.as_fd())?;
        let thread = thread::Builder::new()
            .name("viprd-processes".into())
            .stack_size(STACK)
            .spawn(move || lookout.watch(home.as_ref(), buffer))
            .inspect_err(|_| io.forget(tokens::PROCESSES))?;
        Ok(Watcher { line, reports, thread })
    }
}

/// The thread's side.
struct Lookout {
    census: Census,
    /// The counts that have been told.
    told: Box<[Option<u32>]>,
    /// At its end when nobody wants to know any more.
    line: UnixStream,
    reports: Sender<Report>,
}

impl Lookout {
    fn watch(mut self, home: Option<&NetworkNamespace>, buffer: usize) {
        let ended = match hear(home, buffer) {
            Ok(events) => self.listen(events),
            Err(why) => {
                let words = "processes are looked for once a second, since the kernel doesn't tell";
                let _ = self.reports.send(Report::Says(format!("{words}: {why}")));
                self.look_again_and_again()
            }
        };
        if let Err(cause) = ended {
            let words = format!("processes are not tracked any more: {cause}");
            let _ = self.reports.send(Report::Says(words));
            self.ring();
        }
    }

    /// As the kernel tells, until nobody wants to know.
    fn listen(&mut self, mut events: ProcessEvents) -> io::Result<()> {
        // What happens while we look is told afterwards.
        self.look()?;
        loop {
            self.report();
            let ready = processes::wait(&[self.line.as_fd(), events.as_fd()], Duration::MAX)?;
            if ready[0] {
                return Ok(());
            }
            for _ in 0..EVENTS {
                match events.read() {
                    Ok(Some(event)) => self.on_event(event),
                    Ok(None) => break,
                    Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => self.look()?,
                    Err(cause) => return Err(cause),
                }
            }
        }
    }

    fn on_event(&mut self, event: ProcessEvent) {
        match event {
            // A copy of one that doesn't matter doesn't matter either.
            ProcessEvent::Forked { parent, child } if self.census.has(parent) => self.see(child),
            ProcessEvent::Forked { .. } | ProcessEvent::Heard => {}
            ProcessEvent::Changed(pid) => self.see(pid),
            ProcessEvent::Ended(pid) => self.census.on_end(pid),
        }
    }

    /// Without the kernel's word: at the end of those that are known, and once a second.
    fn look_again_and_again(&mut self) -> io::Result<()> {
        loop {
            self.look()?;
            self.report();
            let ends: Vec<OwnedFd> =
                self.census.members().filter_map(|pid| processes::end_of(pid).ok()).collect();
            let all = std::iter::once(self.line.as_fd()).chain(ends.iter().map(AsFd::as_fd));
            let all: Vec<BorrowedFd<'_>> = all.collect();
            if processes::wait(&all, LOOK)?[0] {
                return Ok(());
            }
        }
    }

    /// Looks at every process.
    fn look(&mut self) -> io::Result<()> {
        let mut there = std::collections::HashSet::new();
        for pid in processes::all()? {
            there.insert(pid);
            self.see(pid);
        }
        self.census.retain(|pid| there.contains(&pid));
        Ok(())
    }

    fn see(&mut self, pid: i32) {
        let wanted = self.census.needs_command_lines();
        let seen = || {
            let command_line = if wanted { processes::command_line(pid)? } else { Vec::new() };
            Some((processes::name(pid)?, command_line))
        };
        match seen() {
            Some((name, command_line)) => {
                let process = Process { name: &name, command_line: &command_line };
                self.census.on_process(pid, process);
            }
            None => self.census.on_end(pid),
        }
    }

    fn report(&mut self) {
        let mut news = false;
        for (place, (told, &count)) in self.told.iter_mut().zip(self.census.counts()).enumerate() {
            if told.replace(count) != Some(count) {
                news = self.reports.send(Report::Count(place, count)).is_ok();
            }
        }
        if news {
            self.ring();
        }
    }

    fn ring(&mut self) {
        // If there is no room the loop will be woken by what is there.
        let _ = self.line.write(&[1]);
    }
}

/// Listens to the kernel, which tells only who is in the host's first network namespace.
fn hear(home: Option<&NetworkNamespace>, buffer: usize) -> io::Result<ProcessEvents> {
    let mut outcome = ProcessEvents::open(buffer);
    if outcome.is_err()
        && let Some(home) = home
    {
        // This thread opens no other socket.
        outcome = home.enter().and_then(|()| ProcessEvents::open(buffer));
    }
    if outcome.is_err()
        && let Ok(first) = NetworkNamespace::of_init()
    {
        outcome = first.enter().and_then(|()| ProcessEvents::open(buffer));
    }
    let mut events = outcome?;
    let began = Clock::now();
    while began.elapsed() < HEARING {
        processes::wait(&[events.as_fd()], HEARING)?;
        // Whatever it tells, it tells us.
        match events.read() {
            Ok(Some(_)) => return Ok(events),
            Ok(None) => {}
            Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => return Ok(events),
            Err(cause) => return Err(cause),
        }
    }
    Err(io::Error::other("it hears us, and says nothing"))
}

fn pattern(what: &TrackProcess) -> Pattern {
    Pattern {
        name: what.name.clone(),
        arguments: what.arguments.clone(),
        fit: match what.fit {
            ArgumentFit::Any => Fit::Any,
            ArgumentFit::Exact => Fit::Exact,
            ArgumentFit::Initial => Fit::Initial,
            ArgumentFit::Partial => Fit::Partial,
        },
        full_command: what.full_command,
    }
}

fn params(what: &TrackProcess) -> QuorumParams {
    QuorumParams {
        at_least: what.quorum,
        at_most: what.quorum_max,
        fork_delay: what.fork_delay,
        terminate_delay: what.terminate_delay,
    }
}

fn standing(quorum: &Quorum) -> Standing {
    match quorum.is_good() {
        None => Standing::Unknown,
        Some(true) => Standing::Good,
        Some(false) => Standing::Bad,
    }
}
