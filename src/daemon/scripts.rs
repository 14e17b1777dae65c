//! Programs that run beside the loop: tracked scripts, notifications, and readers of named pipes.
//!
//! ```text
//!   due checks ─┐                      ┌─► pidfd ready  ─► how it ended ─► standing of a tracked script
//!   queue ──────┼─► spawn, few a turn ─┤
//!   readers ────┘                      └─► output ready ─► excerpt ─► log
//! ```
//!
//! Nothing here waits: what hangs is ended by a deadline, and what can't be started now is started in a
//! later turn.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;

use log::{debug, error, info, warn};

use super::programs::{Hooks, Mailer, Pipe, Prepared, Programs};
use super::tokens;
use crate::base::{Instant, RouterId, Span, TrackId};
use crate::config::{Tracker, TrackerKind};
use crate::control::{NotifyDump, ScriptDump};
use crate::io::Io;
use crate::io::fifo::Fifo;
use crate::io::spawn::{Child, Ended};
use crate::process::{Backlog, Check, CheckParams, Excerpt, Queue, Wish};
use crate::vrrp::{Standing, StateName};

/// Programs started in one turn.
const SPAWNS_A_TURN: u64 = 4;
/// What a fork may cost: mostly some hundred microseconds.
const FORK: Span = Span::from_millis(1);
/// How long to wait for room between two deadlines, and how long at a time.
const CROWD_PATIENCE: Span = Span::from_millis(50);
const CROWD_PAUSE: Span = Span::from_micros(500);
/// Notifications at work at a time, not counting those that take longer than [`LINGERING`]; those
/// counted, too; and how many may wait.
const NOTICES_AT_ONCE: usize = 16;
const NOTICES_IN_ALL: usize = 256;
const NOTICES_WAITING: usize = 100_000;
/// The same for mails, which one server gets.
const MAILS_AT_ONCE: usize = 4;
const MAILS_WAITING: usize = 10_000;
/// After this a notification is in nobody's way any more but that of its own virtual router.
const LINGERING: Span = Span::from_secs(1);
/// How long a notification may take unless that is configured, and how long any program has after
/// SIGTERM.
const NOTICE_PATIENCE: Span = Span::from_secs(60);
const GRACE: Span = Span::from_secs(2);
/// How often those are looked for who have outlived their script within that time.
const LOOK_AGAIN: Span = Span::from_millis(50);
/// What is read of one program's output in a turn.
const READS_A_TURN: usize = 16;
/// How long readers have for their last lines before they get SIGTERM.
const READER_PATIENCE: Span = Span::from_millis(500);
/// Bytes of lines that a named pipe's reader may be behind, besides the pipe's own 64 KiB.
const BACKLOG: usize = 4 << 20;
/// When to offer lines again to a pipe that was full; twice as long after each failure, up to a
/// second.
const PIPE_RETRY: Span = Span::from_millis(10);
const PIPE_RETRY_MOST: Span = Span::from_secs(1);

/// All programs of the daemon's.
pub(super) struct Scripts {
    slots: Vec<Option<Run>>,
    /// Slots of which a descriptor is ready.
    ready: Vec<usize>,
    checks: BTreeMap<TrackId, Checked>,
    queue: Queue<Notice>,
    /// How long a notification may take.
    patience: Span,
    /// Whether notifications that wait are left out when their state is over.
    skips_overtaken: bool,
    mails: Queue<Notice>,
    mailer: Option<Mailer>,
    routers: HashMap<Box<str>, Arc<Hooks>>,
    groups: HashMap<Box<str>, Arc<Hooks>>,
    /// Those of routers that a reload is removing, and those of groups.
    former: HashMap<Box<str>, Arc<Hooks>>,
    former_groups: HashMap<Box<str>, Arc<Hooks>>,
    pipes: Vec<Speaking>,
    /// When something is due.
    next: Instant,
    /// Since when there is no room between two deadlines.
    crowded_since: Option<Instant>,
    /// What has been learned of tracked scripts since somebody looked.
    learned: Vec<(TrackId, Standing)>,
    stopping: bool,
    /// Until when the readers of pipes that have been emptied may run.
    readers_until: Option<Instant>,
    states_on_reload: bool,
    line: String,
}

/// A tracked script.
struct Checked {
    name: Arc<str>,
    program: Prepared,
    check: Check,
    slot: Option<usize>,
}

/// A program that runs.
struct Run {
    child: Child,
    excerpt: Excerpt,
    what: What,
    title: Arc<str>,
    /// When it is told to end, and then made to.
    until: Instant,
    told_to_end: bool,
    /// When it takes long, for a notification that does not yet.
    lingers_at: Option<Instant>,
    /// How it ended, while others of its process group, who were told to end with it, may live.
    ended: Option<Ended>,
    /// When to look for them again.
    look_at: Instant,
    /// Whether its group has got SIGKILL.
    killed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Check(TrackId),
    Notice(u64),
    Mail(u64),
    Reader(usize),
    /// Nobody is interested any more.
    Nothing,
}

/// A notification that waits.
struct Notice {
    program: Prepared,
    /// Further arguments.
    arguments: Option<Box<[Box<str>; 4]>>,
    title: Arc<str>,
    news: News,
}

/// A named pipe that is written to.
struct Speaking {
    fifo: Fifo,
    backlog: Backlog,
    reader: Option<Prepared>,
    retry_at: Instant,
    retry_after: Span,
    /// Lines lost that have been told of.
    told: u64,
    lost: u64,
}

/// What has happened to a virtual router or a group, as scripts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Master,
    Backup,
    Fault,
    Stop,
    Deleted,
    MasterRxLowerPri,
    /// Its priority has changed while it is master, or is not.
    Priority {
        master: bool,
    },
}

impl Scripts {
    /// With these programs and what they are for.
    pub(super) fn new(now: Instant, trackers: &[Tracker], programs: Programs) -> Self {
        let mut scripts = Scripts {
            slots: Vec::new(),
            ready: Vec::new(),
            checks: BTreeMap::new(),
            queue: Queue::new(NOTICES_AT_ONCE, NOTICES_IN_ALL, NOTICES_WAITING),
            mails: Queue::new(MAILS_AT_ONCE, MAILS_AT_ONCE, MAILS_WAITING),
            patience: NOTICE_PATIENCE,
            skips_overtaken: false,
            mailer: None,
            routers: HashMap::new(),
            groups: HashMap::new(),
            former: HashMap::new(),
            former_groups: HashMap::new(),
            pipes: Vec::new(),
            next: Instant::ZERO,
            crowded_since: None,
            learned: Vec::new(),
            stopping: false,
            readers_until: None,
            states_on_reload: false,
            line: String::new(),
        };
        for pipe in &programs.fifos {
            scripts.open_pipe(now, pipe);
        }
        scripts.take_up(now, trackers, programs, Check::new);
        scripts
    }

    /// Other programs, by a reload. Scripts that are new count as good until they have run;
    /// what is known of one that only runs otherwise now goes on to hold.
    pub(super) fn change(&mut self, now: Instant, trackers: &[Tracker], programs: Programs) {
        self.take_up(now, trackers, programs, Check::trusted);
    }

    fn take_up(
        &mut self,
        now: Instant,
        trackers: &[Tracker],
        programs: Programs,
        begin: fn(CheckParams, Instant) -> Check,
    ) {
        for problem in &programs.problems {
            warn!("{problem}");
        }
        let mut former = mem::take(&mut self.checks);
        for (tracker, prepared) in trackers.iter().zip(programs.checks) {
            let (TrackerKind::Script(script), Some(program)) = (&tracker.what, prepared) else {
                continue;
            };
            let params = CheckParams {
                interval: script.interval,
                timeout: script.timeout,
                rise: script.rise,
                fall: script.fall,
                init_fail: script.init_fail,
            };
            let old = former.remove(&tracker.id);
            let known = old.as_ref().map(|old| old.check.is_good());
            let same = old.and_then(|old| {
                let same = old.check.params() == params && old.program == program;
                if !same {
                    self.let_go(now, &old);
                }
                same.then_some(old)
            });
            let checked = same.unwrap_or_else(|| Checked {
                name: (&*tracker.name).into(),
                program,
                check: match known {
                    Some(good) => Check::instead(params, now, good),
                    None => begin(params, now),
                },
                slot: None,
            });
            self.learned.push((tracker.id, standing(checked.check.is_good())));
            self.checks.insert(tracker.id, checked);
        }
        for old in former.into_values() {
            self.let_go(now, &old);
        }
        self.former = mem::replace(&mut self.routers, programs.routers);
        self.former_groups = mem::replace(&mut self.groups, programs.groups);
        self.mailer = programs.mail;
        self.states_on_reload = programs.states_on_reload;
        self.patience = programs.notify_timeout.unwrap_or(NOTICE_PATIENCE);
        self.skips_overtaken = programs.skips_overtaken;
        self.next = Instant::ZERO;
    }

    /// The reload is over: nobody speaks of removed routers and groups any more.
    pub(super) fn forget_former(&mut self) {
        self.former = HashMap::new();
        self.former_groups = HashMap::new();
    }

    /// A script is not tracked any more: what runs of it is ended.
    fn let_go(&mut self, now: Instant, old: &Checked) {
        if let Some(Some(run)) = old.slot.map(|slot| &mut self.slots[slot]) {
            run.what = What::Nothing;
            run.until = now;
        }
    }

    fn open_pipe(&mut self, now: Instant, pipe: &Pipe) {
        match Fifo::open(&pipe.path, pipe.owner) {
            Ok(fifo) => self.pipes.push(Speaking {
                fifo,
                backlog: Backlog::new(BACKLOG),
                reader: pipe.reader.clone(),
                retry_at: now,
                retry_after: PIPE_RETRY,
                told: 0,
                lost: 0,
            }),
            Err(cause) => error!("named pipe {}: {cause}", pipe.path.display()),
        }
    }

    // Facts.

    /// A descriptor of the program in `slot` is ready.
    pub(super) fn on_ready(&mut self, slot: usize) {
        if !self.ready.contains(&slot) {
            self.ready.push(slot);
        }
    }

    /// When [`Scripts::hear`] or [`Scripts::launch`] has work.
    pub(super) fn wake_at(&self) -> Instant {
        if self.ready.is_empty() && self.learned.is_empty() { self.next } else { Instant::ZERO }
    }

    /// What has been learned of tracked scripts; to be taken until there is none.
    pub(super) fn next_standing(&mut self) -> Option<(TrackId, Standing)> {
        self.learned.pop()
    }

    /// Something has happened to a virtual router: its scripts and the named pipes are told.
    pub(super) fn tell_router(&mut self, id: RouterId, name: &str, news: News, priority: u8) {
        let hooks = self.routers.get(name).or_else(|| self.former.get(name)).cloned();
        self.tell("INSTANCE", u64::from(id.0), name, news, priority, hooks.as_deref());
    }

    /// The same for a sync group.
    pub(super) fn tell_group(&mut self, number: u32, name: &str, news: News) {
        let hooks = self.groups.get(name).or_else(|| self.former_groups.get(name)).cloned();
        self.tell("GROUP", 1 << 32 | u64::from(number), name, news, 0, hooks.as_deref());
    }

    /// Writes how a router or a group is to the named pipes, if that is wanted after a reload.
    pub(super) fn repeat(&mut self, kind: &str, name: &str, state: StateName, priority: u8) {
        if let (Some(news), true) = (News::of(state), self.states_on_reload) {
            self.tell(kind, 0, name, news, priority, None);
        }
    }

    /// Whether a router's removal is told as such.
    pub(super) fn tells_deleted(&self, name: &str) -> bool {
        let hooks = self.former.get(name).or_else(|| self.routers.get(name));
        hooks.is_some_and(|hooks| hooks.tells_deleted)
    }

    /// Whether the removal of a group that has no members any more is still to be told.
    pub(super) fn tells_group_deleted(&self, name: &str) -> bool {
        self.former_groups.get(name).is_some_and(|hooks| hooks.tells_deleted)
    }

    /// What is run when a router changes, to be shown.
    pub(super) fn notify_dump(&self, name: &str) -> NotifyDump {
        let Some(hooks) = self.routers.get(name) else { return NotifyDump::default() };
        let words = |program: &Option<Prepared>| match program {
            Some(Ok(program)) => Some(program.command_line()),
            Some(Err(_)) | None => None,
        };
        NotifyDump {
            mail: hooks.mail && self.mailer.is_some(),
            tells_deleted: hooks.tells_deleted,
            backup: words(&hooks.backup),
            master: words(&hooks.master),
            fault: words(&hooks.fault),
            stop: words(&hooks.stop),
            deleted: words(&hooks.deleted),
            any: words(&hooks.any),
            master_rx_lower_pri: words(&hooks.master_rx_lower_pri),
        }
    }

    /// The tracked scripts, to be shown.
    pub(super) fn script_dumps(&self) -> Vec<ScriptDump> {
        let dumps = self.checks.values().map(|checked| {
            let params = checked.check.params();
            ScriptDump {
                name: checked.name.to_string(),
                command: match &checked.program {
                    Ok(program) => program.command_line(),
                    Err(why) => why.to_string(),
                },
                interval: params.interval,
                timeout: params.timeout,
                rise: params.rise,
                fall: params.fall,
                good: checked.check.is_good(),
                runs: checked.check.runs(),
            }
        });
        dumps.collect()
    }

    fn tell(
        &mut self,
        kind: &str,
        subject: u64,
        name: &str,
        news: News,
        priority: u8,
        hooks: Option<&Hooks>,
    ) {
        let state = news.as_str();
        if let News::Priority { .. } = news
            && !hooks.is_some_and(|hooks| hooks.priority_changes)
        {
            return;
        }
        if !self.pipes.is_empty() {
            self.line.clear();
            let _ = writeln!(self.line, "{kind} \"{name}\" {state} {priority}");
            for pipe in &mut self.pipes {
                pipe.backlog.push(&self.line);
            }
            self.next = Instant::ZERO;
        }
        let Some(hooks) = hooks else { return };
        let own = match news {
            News::Master => &hooks.master,
            News::Backup => &hooks.backup,
            News::Fault => &hooks.fault,
            News::Stop => &hooks.stop,
            News::Deleted => &hooks.deleted,
            News::MasterRxLowerPri => &hooks.master_rx_lower_pri,
            News::Priority { .. } => &None,
        };
        let any = match news {
            News::MasterRxLowerPri | News::Priority { .. } => &None,
            _ => &hooks.any,
        };
        let mails = hooks.mail;
        if self.skips_overtaken && news.is_state() {
            let left_out = self.queue.take_back(subject, |notice| notice.news.is_state());
            if left_out > 0 {
                debug!("{left_out} notifications of {name} are left out: it is {state} by now");
            }
        }
        // Somebody who sends such adverts sends many: the one that waits tells of them all.
        if news == News::MasterRxLowerPri
            && self.queue.waiting(subject).any(|notice| notice.news == news)
        {
            return;
        }
        // First what is for this state alone, then what is for all.
        let arguments = || {
            let priority = priority.to_string();
            Box::new([kind.into(), name.into(), state.into(), priority.into()])
        };
        let all = [(own, false), (any, true)];
        for (program, with_arguments) in all {
            let Some(program) = program else { continue };
            let notice = Notice {
                program: program.clone(),
                arguments: with_arguments.then(arguments),
                title: format!("notification of {name}, {state}").into(),
                news,
            };
            self.queue.push(subject, notice);
            self.next = Instant::ZERO;
        }
        if mails {
            self.mail(subject, kind, name, news, priority);
        }
    }

    /// A mail about a change of state, if somebody is to get one. At the end of everything there is
    /// none, as with keepalived.
    fn mail(&mut self, subject: u64, kind: &str, name: &str, news: News, priority: u8) {
        let Some(mailer) = &self.mailer else { return };
        let state = match news {
            News::Master | News::Backup => news.as_str(),
            News::Fault if mailer.tells_faults => news.as_str(),
            _ => return,
        };
        let kind = if kind == "GROUP" { "Group" } else { "Instance" };
        let title = format!("[{}] VRRP {kind} {name} - Entering {state} state", mailer.router_id);
        let text = match (kind, news) {
            ("Group", _) => format!("All virtual routers of {name} are in state {state} now.\n"),
            (_, News::Master) => format!(
                "{name} is master with priority {priority}: its virtual addresses are here now.\n"
            ),
            _ => format!(
                "{name} is in state {state}, its priority is {priority}: its virtual addresses are not \
                 here.\n"
            ),
        };
        let program = Ok(Arc::new(mailer.program.with_arguments(&[&title, &text])));
        let title = format!("mail {title}").into();
        let notice = Notice { program, arguments: None, title, news };
        self.mails.push(subject, notice);
        self.next = Instant::ZERO;
    }

    // A turn.

    /// Looks after what runs: how it has ended, what it has written.
    pub(super) fn hear(&mut self, now: Instant, io: &mut dyn Io) {
        for slot in mem::take(&mut self.ready) {
            self.look_after(now, slot, io);
        }
    }

    /// Starts what is due, and writes to the named pipes: no more than there is `room` for before
    /// something else is to be done, since a fork takes its time. What has waited for too long for
    /// that is started one by one.
    pub(super) fn launch(&mut self, now: Instant, room: Span, io: &mut dyn Io) {
        if now < self.next {
            self.crowded_since = None;
            return;
        }
        let mut spawns = SPAWNS_A_TURN.min(room.as_nanos() / FORK.as_nanos());
        if spawns > 0 {
            self.crowded_since = None;
        } else {
            let since = *self.crowded_since.get_or_insert(now);
            if now.since(since) < CROWD_PATIENCE {
                self.next = now + CROWD_PAUSE;
                return;
            }
            spawns = 1;
        }
        self.run_readers(now, &mut spawns, io);
        self.run_checks(now, &mut spawns, io);
        self.run_notices(now, &mut spawns, io);
        self.run_mails(now, &mut spawns, io);
        self.end_late_ones(now);
        self.speak(now);
        self.next = self.due(spawns == 0);
    }

    fn due(&self, busy: bool) -> Instant {
        let readers_wait = self.pipes.iter().any(|pipe| pipe.reader.is_some());
        if self.queue.is_ready() || self.mails.is_ready() || readers_wait && busy {
            return Instant::ZERO;
        }
        let checks = self.checks.values().filter(|_| !self.stopping);
        let checks = checks.map(|checked| checked.check.deadline());
        let runs = self.slots.iter().flatten().map(|run| {
            let lingers_at = run.lingers_at.unwrap_or(Instant::NEVER);
            run.until.min(run.look_at).min(lingers_at)
        });
        let speaking = self.pipes.iter().filter(|pipe| !pipe.backlog.is_empty());
        let pipes = speaking.map(|pipe| pipe.retry_at);
        checks.chain(runs).chain(pipes).min().unwrap_or(Instant::NEVER)
    }

    fn run_readers(&mut self, now: Instant, spawns: &mut u64, io: &mut dyn Io) {
        for index in 0..self.pipes.len() {
            if *spawns == 0 {
                return;
            }
            let Some(program) = self.pipes[index].reader.take() else { continue };
            *spawns -= 1;
            let title = format!("reader of {}", self.pipes[index].fifo.path().display()).into();
            let what = What::Reader(index);
            self.start(now, program, title, what, Instant::NEVER, io);
        }
    }

    fn run_checks(&mut self, now: Instant, spawns: &mut u64, io: &mut dyn Io) {
        if self.stopping {
            return;
        }
        let due = self.checks.iter().filter(|(_, checked)| checked.check.deadline() <= now);
        let due: Vec<TrackId> = due.map(|(&id, _)| id).collect();
        for id in due {
            let Some(checked) = self.checks.get_mut(&id) else { continue };
            if !checked.check.runs() {
                if *spawns == 0 {
                    continue;
                }
                *spawns -= 1;
            }
            let before = checked.check.is_good();
            match checked.check.on_deadline(now) {
                Some(Wish::Start) => {
                    let (program, title) = (checked.program.clone(), checked.name.clone());
                    let slot = self.start(now, program, title, What::Check(id), Instant::NEVER, io);
                    let Some(checked) = self.checks.get_mut(&id) else { continue };
                    checked.slot = slot;
                    if slot.is_none() {
                        checked.check.on_ended(now, false);
                        self.note(id, before, "could not be run");
                    }
                }
                Some(wish) => {
                    let signal = if wish == Wish::Kill { libc::SIGKILL } else { libc::SIGTERM };
                    if let Some(Some(run)) = checked.slot.map(|slot| &mut self.slots[slot]) {
                        run.signal(now, signal);
                    }
                    if wish == Wish::Terminate {
                        debug!("Script `{}` takes too long: ended", checked.name);
                    }
                    self.note(id, before, "timed out");
                }
                None => {}
            }
        }
    }

    fn run_notices(&mut self, now: Instant, spawns: &mut u64, io: &mut dyn Io) {
        while *spawns > 0
            && let Some((subject, notice)) = self.queue.begin()
        {
            *spawns -= 1;
            let program = match (&notice.program, &notice.arguments) {
                (Ok(program), Some(more)) => {
                    let more: Vec<&str> = more.iter().map(|word| &**word).collect();
                    Ok(Arc::new(program.with_arguments(&more)))
                }
                (program, _) => (*program).clone(),
            };
            let what = What::Notice(subject);
            let until = now + self.patience;
            if self.start(now, program, notice.title, what, until, io).is_none() {
                self.queue.done(subject, false);
            }
        }
        match self.queue.take_lost() {
            0 => {}
            lost => error!("{lost} notifications were lost: too many wait already"),
        }
    }

    fn run_mails(&mut self, now: Instant, spawns: &mut u64, io: &mut dyn Io) {
        let patience = self.mailer.as_ref().map_or(NOTICE_PATIENCE, |mailer| mailer.patience);
        while *spawns > 0
            && let Some((subject, notice)) = self.mails.begin()
        {
            *spawns -= 1;
            let (what, until) = (What::Mail(subject), now + patience);
            if self.start(now, notice.program, notice.title, what, until, io).is_none() {
                self.mails.done(subject, false);
            }
        }
        match self.mails.take_lost() {
            0 => {}
            lost => error!("{lost} mails were not sent: too many wait already"),
        }
    }

    fn start(
        &mut self,
        now: Instant,
        program: Prepared,
        title: Arc<str>,
        what: What,
        until: Instant,
        io: &mut dyn Io,
    ) -> Option<usize> {
        let child = match program {
            Ok(program) => program.spawn(),
            Err(why) => {
                debug!("{title}: not run: {why}");
                return None;
            }
        };
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let watched = child.and_then(|child| {
            io.watch(tokens::program_end(slot), child.end())?;
            io.watch(tokens::program_output(slot), child.output()).inspect_err(|_| {
                io.forget(tokens::program_end(slot));
            })?;
            Ok(child)
        });
        match watched {
            Ok(child) => {
                let excerpt = Excerpt::default();
                let run = Run {
                    child,
                    excerpt,
                    lingers_at: matches!(what, What::Notice(_)).then(|| now + LINGERING),
                    what,
                    title,
                    until,
                    told_to_end: false,
                    ended: None,
                    look_at: Instant::NEVER,
                    killed: false,
                };
                if slot == self.slots.len() {
                    self.slots.push(None);
                }
                self.slots[slot] = Some(run);
                Some(slot)
            }
            Err(cause) => {
                warn!("{title}: can't be run: {cause}");
                None
            }
        }
    }

    /// Reads what the program in `slot` has written, and sees whether it has ended.
    fn look_after(&mut self, now: Instant, slot: usize, io: &mut dyn Io) {
        let Some(Some(run)) = self.slots.get_mut(slot) else { return };
        // Before it is read: then everything is that it has written.
        let ended = run.child.peek();
        let mut buffer = [0; 4096];
        let mut more = true;
        for _ in 0..READS_A_TURN {
            match run.child.read(&mut buffer) {
                Ok(Some(length @ 1..)) => run.excerpt.push(&buffer[..length]),
                Ok(Some(_)) | Err(_) => {
                    // Its end would be told again and again.
                    io.forget(tokens::program_output(slot));
                    more = false;
                }
                Ok(None) => more = false,
            }
            if !more {
                break;
            }
        }
        let Some(ended) = ended else {
            if more {
                self.ready.push(slot);
            }
            return;
        };
        if run.ended.is_some() {
            return;
        }
        io.forget(tokens::program_output(slot));
        io.forget(tokens::program_end(slot));
        // Whoever was told to end was told so with all that it has started: they have the same time,
        // and the next run does not begin beside them. What is left behind otherwise is not ours.
        if run.told_to_end && !run.child.group_is_gone() {
            (run.ended, run.look_at) = (Some(ended), now + LOOK_AGAIN);
            self.next = self.next.min(run.look_at);
            return;
        }
        self.finish(now, slot, ended);
    }

    /// The program in `slot` is over.
    fn finish(&mut self, now: Instant, slot: usize, ended: Ended) {
        if let Some(mut run) = self.slots[slot].take() {
            run.child.try_wait();
            self.on_ended(now, run, ended);
        }
    }

    fn on_ended(&mut self, now: Instant, run: Run, ended: Ended) {
        let Run { excerpt, what, title, told_to_end, lingers_at, .. } = run;
        let how = match ended {
            Ended::Exited(status) => format!("exited with status {status}"),
            Ended::Signalled(signal) => format!("ended by signal {signal}"),
        };
        let well = ended == Ended::Exited(0);
        // What a script says every second is for who asked for detail.
        let quiet = matches!(what, What::Check(_)) || well;
        for line in excerpt.lines() {
            match quiet {
                true => debug!("{title}: {line}"),
                false => info!("{title}: {line}"),
            }
        }
        if excerpt.beyond() > 0 {
            debug!("{title}: and {} more bytes", excerpt.beyond());
        }
        match what {
            What::Check(id) => {
                let Some(checked) = self.checks.get_mut(&id) else { return };
                checked.slot = None;
                let before = checked.check.is_good();
                checked.check.on_ended(now, well);
                self.note(id, before, &how);
                self.next = self.next.min(now);
            }
            What::Notice(subject) => {
                self.queue.done(subject, lingers_at.is_none());
                if told_to_end {
                    warn!("{title}: took more than {} s and was {how}", self.patience);
                } else if !well {
                    warn!("{title}: {how}");
                }
                self.next = Instant::ZERO;
            }
            What::Mail(subject) => {
                self.mails.done(subject, false);
                if !well {
                    warn!("{title}: not sent: {how}");
                }
                self.next = Instant::ZERO;
            }
            What::Reader(_) if self.stopping => {}
            What::Reader(_) => warn!("{title}: {how}; it is not started again"),
            What::Nothing => {}
        }
    }

    /// Tells of a tracked script if it is otherwise than before.
    fn note(&mut self, id: TrackId, before: Option<bool>, how: &str) {
        let Some(checked) = self.checks.get(&id) else { return };
        let good = checked.check.is_good();
        if good == before {
            return;
        }
        match good {
            Some(true) => info!("VRRP_Script({}) succeeded", checked.name),
            Some(false) => info!("VRRP_Script({}) failed ({how})", checked.name),
            None => {}
        }
        self.learned.push((id, standing(good)));
    }

    fn end_late_ones(&mut self, now: Instant) {
        for slot in 0..self.slots.len() {
            let Some(run) = &mut self.slots[slot] else { continue };
            if run.lingers_at.take_if(|at| *at <= now).is_some() {
                self.queue.linger();
            }
            if run.until <= now {
                let again = run.told_to_end;
                run.signal(now, if again { libc::SIGKILL } else { libc::SIGTERM });
                run.until = if again { Instant::NEVER } else { now + GRACE };
            }
            if let Some(ended) = run.ended
                && run.look_at <= now
            {
                run.look_at = now + LOOK_AGAIN;
                if run.killed || run.child.group_is_gone() {
                    self.finish(now, slot, ended);
                }
            }
        }
    }

    /// Writes into the named pipes what they take.
    fn speak(&mut self, now: Instant) {
        for pipe in &mut self.pipes {
            if pipe.backlog.is_empty() || now < pipe.retry_at && pipe.retry_after > PIPE_RETRY {
                continue;
            }
            let (waited, fifo) = (pipe.backlog.len(), &mut pipe.fifo);
            let written = pipe.backlog.drain(|line| fifo.write(line));
            if let Err(cause) = written {
                debug!("named pipe {}: {cause}", fifo.path().display());
            }
            if pipe.backlog.len() < waited {
                pipe.retry_after = PIPE_RETRY;
            }
            pipe.retry_at = now + pipe.retry_after;
            pipe.retry_after = pipe.retry_after.times(2).min(PIPE_RETRY_MOST);
            if pipe.backlog.is_empty() {
                (pipe.retry_at, pipe.retry_after) = (now, PIPE_RETRY);
            }
            pipe.lost += pipe.backlog.take_lost();
            // Once when it begins, and then each time that it has doubled.
            if pipe.lost > pipe.told.saturating_mul(2) {
                pipe.told = pipe.lost;
                let path = fifo.path().display();
                error!("named pipe {path}: nobody reads; {} lines were lost", pipe.lost);
            }
        }
    }

    // The end.

    /// The daemon stops: scripts are not run any more; notifications are.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        for run in self.slots.iter_mut().flatten() {
            if let What::Check(_) = run.what {
                (run.what, run.until) = (What::Nothing, now);
            }
        }
        self.next = Instant::ZERO;
    }

    /// Whether everybody has been told, and whoever reads a pipe has had time to do something about
    /// it.
    pub(super) fn is_quiet(&mut self, now: Instant) -> bool {
        let is_reader = |run: &Run| matches!(run.what, What::Reader(_));
        let has_reader = self.slots.iter().flatten().any(is_reader);
        let heard =
            |pipe: &Speaking| pipe.backlog.is_empty() && (!has_reader || pipe.fifo.unread() == 0);
        // A mail that is on its way arrives without us.
        let mails_wait = self.mails.all_waiting().next().is_some();
        if !self.queue.is_empty() || mails_wait || !self.pipes.iter().all(heard) {
            return false;
        }
        // What has left the pipe may not have been dealt with yet, and a reader that does not expect
        // SIGTERM, as keepalived ends it, would be cut off amid a line.
        let until = *self.readers_until.get_or_insert(now + READER_PATIENCE);
        !has_reader || now >= until
    }

    /// What has not been delivered although the time is over, in words; empty if nothing.
    pub(super) fn undelivered(&self) -> String {
        let waiting: Vec<&Arc<str>> = self.queue.all_waiting().map(|it| &it.title).collect();
        let running = self.slots.iter().flatten();
        let running = running.filter(|run| matches!(run.what, What::Notice(_)));
        let (cut_off, mails) = (running.count(), self.mails.len());
        let mut told: Vec<String> = Vec::new();
        if let Some(first) = waiting.iter().min() {
            let more = if waiting.len() > 1 { " and others" } else { "" };
            told.push(format!("{} not begun ({first}{more})", waiting.len()));
        }
        if cut_off > 0 {
            told.push(format!("{cut_off} cut off"));
        }
        if mails > 0 {
            told.push(format!("{mails} not mailed"));
        }
        let unread =
            self.pipes.iter().filter(|pipe| !pipe.backlog.is_empty() || pipe.fifo.unread() > 0);
        told.extend(unread.map(|pipe| format!("some in {}", pipe.fifo.path().display())));
        told.join(", ")
    }

    /// Ends what still runs.
    pub(super) fn end(&mut self) {
        for run in self.slots.iter().flatten() {
            let signal = match run.what {
                What::Nothing => libc::SIGKILL,
                // It has a limit of its own.
                What::Mail(_) => continue,
                _ => libc::SIGTERM,
            };
            run.child.signal_group(signal);
        }
    }
}

impl Run {
    /// Signals its whole process group, so that it ends.
    fn signal(&mut self, now: Instant, signal: i32) {
        self.child.signal_group(signal);
        self.told_to_end = true;
        if signal == libc::SIGKILL {
            self.killed = true;
            self.look_at = self.look_at.min(now);
        }
    }
}

impl News {
    /// The state that is entered, as scripts are told of it.
    pub(super) fn of(state: StateName) -> Option<Self> {
        match state {
            StateName::Master => Some(News::Master),
            StateName::Backup => Some(News::Backup),
            StateName::Fault => Some(News::Fault),
            StateName::Init => None,
        }
    }

    /// Whether the next such makes it outdated. STOP and DELETED are for good.
    fn is_state(self) -> bool {
        matches!(self, News::Master | News::Backup | News::Fault)
    }

    fn as_str(self) -> &'static str {
        match self {
            News::Master => "MASTER",
            News::Backup => "BACKUP",
            News::Fault => "FAULT",
            News::Stop => "STOP",
            News::Deleted => "DELETED",
            News::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            News::Priority { master: true } => "MASTER_PRIORITY",
            News::Priority { master: false } => "BACKUP_PRIORITY",
        }
    }
}

fn standing(good: Option<bool>) -> Standing {
    match good {
        None => Standing::Unknown,
        Some(true) => Standing::Good,
        Some(false) => Standing::Bad,
    }
}
