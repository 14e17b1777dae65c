//! The loop.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use log::{debug, info, warn};

use super::clients::Clients;
use super::delays::Delays;
use super::dumps::Dumps;
use super::files::Files;
use super::frames::{Frames, Round};
use super::gauges::Gauges;
use super::journal::Journal;
use super::processes::Processes;
use super::programs::Prepared;
use super::pulse::{Arrivals, Pulse, Wait};
use super::refusals::{self, Limiter};
use super::reload::Reload;
use super::scripts::{News, Scripts};
use super::sysctl::Sysctls;
use super::ways::Permanent;
use super::{boot::Sockets, firewall, signals, tokens};
use crate::base::{IfIndex, Instant, LinkNames, Span};
use crate::config::TrackNames;
use crate::io::{Completion, Event, Io, Pool, clock};
use crate::kernel::{Firewall, Host};
use crate::vrrp::Engine;
use crate::wire::ipv6::Ipv6Packet;
use crate::wire::{Advert, Refusal, ipv4};

/// Deadlines fired at a time, and how often in a turn. A takeover costs about 2 µs here, so that a
/// turn stays below 20 ms even if everything is due at once; between two times the wishes are taken,
/// so that their queue stays short.
const DEADLINES: usize = 1024;
const FIRINGS_A_TURN: usize = 8;
/// Packets that follow each other within this time are handled in one turn. Backups measure
/// Active_Down_Interval and Skew_Time from when they see a packet, so this is the most that it adds
/// to a takeover; a wake-up costs as much CPU as ten packets.
const GATHER: Span = Span::from_micros(250);
/// So long before a takeover the loop is awake: most wake-ups are not later than this.
const ALERT: Span = Span::from_micros(150);
/// Turns that may be spent on packets that have already arrived before a deadline is judged.
const DRAIN_TURNS: usize = 64;
/// When to try again after a netlink request could not be sent.
const REQUEST_RETRY: Span = Span::from_millis(20);
/// How long the addresses may take to go at exit.
const STOP_PATIENCE: Span = Span::from_secs(5);
/// How long notifications of the stop may take.
const LAST_NEWS_PATIENCE: Span = Span::from_secs(10);

/// A running daemon.
pub(super) struct Daemon {
    pub io: Box<dyn Io>,
    pub sockets: Sockets,
    pub names: LinkNames,
    pub engine: Engine,
    pub host: Host,
    pub frames: Frames,
    pub clients: Clients,
    pub limiter: Limiter,
    pub pulse: Pulse,
    pub reload: Reload,
    pub scripts: Scripts,
    pub files: Files,
    pub processes: Processes,
    pub dumps: Dumps,
    /// Run after the end.
    pub shutdown: Option<(Prepared, Span)>,
    /// How long interfaces have to be down, or up, before anybody hears of it.
    pub delays: Delays,
    /// The numbers of what is tracked.
    pub track_names: TrackNames,
    /// Whether virtual addresses stay on the host at exit (`--dont-release-vrrp`).
    pub keep_addresses: bool,
    /// What is on the host all the time.
    pub permanent: Permanent,
    /// Netlink requests are built here.
    pub request: Vec<u8>,
    /// Whether more requests can be sent at once.
    pub requests_left: bool,
    /// When requests are sent again after one failed; `NEVER`: as soon as there are any.
    pub retry_requests_at: Instant,
    /// Addresses that take no traffic.
    pub firewall: Firewall,
    /// What has been set on interfaces that aren't ours.
    pub sysctls: Sysctls,
    /// How long the start of the virtual routers is put off: from the daemon's, and the host's.
    pub startup_delay: (Span, Span),
    /// When that is over.
    pub start_from: Instant,
    /// Until when the virtual routers wait for their macvlans before they start; `None` when they
    /// don't, or no more.
    pub start_by: Option<Instant>,
    /// Since when it stops.
    pub stopping: Option<Instant>,
    pub frame_failures: u64,
    pub peer_failures: u64,
    /// Whether adverts of unknown virtual routers are told, and not only in detail.
    pub log_unknown_vrids: bool,
    /// Whether the last turn brought VRRP packets.
    pub packets_came: bool,
    /// Each link's state as it was last logged.
    pub link_up: Vec<Option<bool>>,
    /// The multicast groups that each link has joined, and by which interface index.
    pub joined: Vec<Vec<(IfIndex, IpAddr)>>,
}

impl Daemon {
    /// Runs until a signal ends it.
    ///
    /// # Errors
    /// When the ring itself fails.
    pub(super) fn run(&mut self, journal: &mut Journal) -> io::Result<()> {
        self.listen()?;
        let mut packets_first = false;
        while !self.has_stopped() {
            let (wake_at, wait) = self.rest(journal.wake_at());
            let now = self.pulse.turn(&mut *self.io, wake_at, wait)?;
            let _ = self.receive(now);
            self.drain(now)?;
            self.run_scripts(now);
            let due = self.engine.next_deadline() <= now;
            self.fire(now);
            self.advance_reload(now, due);
            self.restore_statics(now);
            self.carry_out(now);
            self.pulse.tell(now, &mut self.engine);
            let latency = self.pulse.histograms();
            let gauges = Gauges::of(&*self.io, &self.host, self.frame_failures).named();
            self.clients.serve(now, &self.engine, &self.names, &mut *self.io, &gauges, &latency);
            if self.clients.want_reload() {
                let run = self.ask_reload();
                self.clients.promise_reload(run);
            }
            self.advance_dump(now, due);
            // The log comes after the packets it tells of, but no later than in the next turn; and so do
            // other programs.
            if packets_first || !self.io.has_unsent() {
                journal.flush(now);
                let room = self.engine.next_deadline().since(now);
                self.scripts.launch(now, room, &mut *self.io);
                packets_first = false;
            } else {
                packets_first = true;
            }
        }
        self.scripts.end();
        self.processes.end(&mut *self.io);
        // The last words were only queued: with `keep_addresses` nothing else is waited for.
        self.io.turn(Instant::ZERO)
    }

    /// Starts every receiver.
    fn listen(&mut self) -> io::Result<()> {
        if self.engine.views().any(|view| refusals::needs_signed(view.params)) {
            self.listen_to_signed();
        }
        let sockets = &self.sockets;
        self.io.receive(tokens::VRRP_IPV4, sockets.vrrp.as_fd(), Pool::Packets)?;
        if let Some(vrrp) = &sockets.vrrp_ipv6 {
            self.io.receive(tokens::VRRP_IPV6, vrrp.as_fd(), Pool::Packets)?;
        }
        self.io.receive(tokens::MONITOR, sockets.monitor.as_fd(), Pool::Netlink)?;
        self.io.receive(tokens::COMMAND, sockets.command.as_fd(), Pool::Netlink)?;
        self.io.watch(tokens::SIGNALS, sockets.signals.as_fd())?;
        if let Some(control) = &sockets.control {
            self.io.watch(tokens::CONTROL, control.as_fd())?;
        }
        if let Some(files) = self.files.descriptor() {
            self.io.watch(tokens::FILES, files)?;
        }
        self.pump_requests(clock::now());
        Ok(())
    }

    /// When to turn at the latest; at once if work was left over.
    fn wake_at(&mut self) -> Instant {
        if self.requests_left || self.host.has_facts() || self.has_announcements() {
            return Instant::ZERO;
        }
        let reload = self.reload.wakes_at(&self.host);
        let stop = self.stopping.map_or(Instant::NEVER, |since| since + STOP_PATIENCE);
        let start = self.starts_at();
        let work = self.engine.next_deadline().min(self.clients.wake_at());
        let news = match self.stopping {
            // Whether a reader has read everything is told by nobody.
            Some(_) if self.host.is_quiet() => clock::now() + REQUEST_RETRY,
            _ => Instant::NEVER,
        };
        let work = work.min(self.scripts.wake_at()).min(news);
        let work = work.min(self.files.wake_at()).min(self.processes.wake_at());
        let work = work.min(self.dumps.wake_at());
        let work = work.min(self.delays.wake_at()).min(self.frames.pacing.wake_at());
        let restore = self.permanent.restore_at;
        work.min(stop).min(start).min(self.retry_requests_at).min(reload).min(restore)
    }

    /// Until when to rest, `at_latest` or earlier, and how.
    ///
    /// A Backup's deadline is awaited awake: what remains of it then, the way out of the kernel's
    /// sleep, is what a client would have to wait for. It costs nothing on other days: nearly all
    /// of these deadlines have been moved by an advert, which a look shortly before shows.
    fn rest(&mut self, at_latest: Instant) -> (Instant, Wait) {
        let asleep = Wait::Asleep { gather: self.gather() };
        let mut looked_again = false;
        loop {
            let wake_at = self.wake_at().min(at_latest);
            if self.engine.next_takeover() != Some(wake_at) || !self.host.is_quiet() {
                return (wake_at, asleep);
            }
            let awake_from = wake_at - ALERT;
            if awake_from > self.pulse.last() {
                return (awake_from, asleep);
            }
            if looked_again {
                return (wake_at, Wait::Awake);
            }
            self.engine.look_again();
            looked_again = true;
        }
    }

    fn has_announcements(&mut self) -> bool {
        self.frames.waits(Round::First) || self.frames.waits(Round::Again) && self.host.is_quiet()
    }

    /// How long packets may gather before the next wake-up: where some have just come, more follow.
    /// While the kernel owes us answers nothing may wait.
    fn gather(&mut self) -> Span {
        match self.packets_came && self.host.is_quiet() {
            true => GATHER,
            false => Span::ZERO,
        }
    }

    /// Facts up: everything that has happened goes to its owner. Returns whether anything had.
    fn receive(&mut self, now: Instant) -> bool {
        let (mut signalled, mut read, mut written, mut any) = (false, false, false, false);
        self.packets_came = false;
        let mut arrivals = Arrivals::until(now);
        while let Some(Completion { token, event }) = self.io.completion() {
            any = true;
            match (token, event) {
                (
                    tokens::VRRP_IPV4 | tokens::SIGNED_IPV4,
                    Event::Datagram { bytes, ifindex: Some(ifindex), received_at, .. },
                ) => {
                    self.packets_came = true;
                    let arrived = arrivals.moment(received_at);
                    match Advert::parse(bytes) {
                        Ok(advert) => self.engine.on_advert(arrived, ifindex, &advert),
                        // Headers of other protocols than VRRP are IPsec's own matter.
                        Err(refused)
                            if token == tokens::SIGNED_IPV4
                                && refused.refusal == Refusal::NotVrrp => {}
                        Err(refused) => self.engine.on_malformed(ifindex, &refused),
                    }
                }
                (
                    tokens::VRRP_IPV6,
                    Event::Datagram {
                        bytes,
                        ifindex: Some(ifindex),
                        envelope: Some(said),
                        received_at,
                        ..
                    },
                ) => {
                    self.packets_came = true;
                    let arrived = arrivals.moment(received_at);
                    let packet = Ipv6Packet {
                        hop_limit: said.hop_limit,
                        // The socket hears nothing else.
                        next_header: ipv4::PROTOCOL_VRRP,
                        source: said.source,
                        destination: said.destination,
                        payload: bytes,
                    };
                    match Advert::parse_ipv6(&packet) {
                        Ok(advert) => self.engine.on_advert(arrived, ifindex, &advert),
                        Err(refused) => self.engine.on_malformed(ifindex, &refused),
                    }
                }
                (tokens::MONITOR, Event::Datagram { bytes, truncated: false, .. }) => {
                    self.host.on_monitor(bytes);
                }
                (tokens::MONITOR, Event::Datagram { .. } | Event::ReceiveFailed(_)) => {
                    self.host.on_monitor_overrun();
                }
                (tokens::COMMAND, Event::Datagram { bytes, truncated: false, .. }) => {
                    self.host.on_command(bytes);
                }
                (tokens::COMMAND, Event::SendFailed(cause)) => {
                    warn!("a netlink request could not be sent: {cause}");
                    self.host.on_command_lost();
                    self.retry_requests_at = now + REQUEST_RETRY;
                }
                (tokens::COMMAND, Event::Datagram { .. } | Event::ReceiveFailed(_)) => {
                    self.host.on_command_lost();
                }
                (tokens::FRAMES, Event::SendFailed(cause)) => {
                    if self.frame_failures == 0 {
                        warn!("a frame could not be sent: {cause} (later ones are only counted)");
                    }
                    self.frame_failures += 1;
                }
                (tokens::PEERS, Event::SendFailed(cause)) => {
                    if self.peer_failures == 0 {
                        warn!(
                            "an advert could not be sent to a unicast peer: {cause} \
                             (later ones are only counted)"
                        );
                    }
                    self.peer_failures += 1;
                }
                (tokens::FIREWALL, Event::Datagram { bytes, truncated: false, .. }) => {
                    if let Some(error) = self.firewall.on_answer(bytes) {
                        firewall::tell_refusal(error);
                    }
                }
                (tokens::FIREWALL, Event::SendFailed(cause) | Event::ReceiveFailed(cause)) => {
                    self.on_firewall_lost(&cause);
                }
                (tokens::SIGNALS, Event::Ready) => signalled = true,
                (tokens::RELOAD, Event::Ready) => read = true,
                (tokens::FILES, Event::Ready) => self.files.on_ready(),
                (tokens::PROCESSES, Event::Ready) => self.processes.on_ready(now),
                (tokens::DUMPS, Event::Ready) => written = true,
                (tokens::CONTROL, Event::Ready) => self.clients.expect_more(),
                (token, event) => match (tokens::seat(token), tokens::program(token)) {
                    (Some(seat), _) => self.clients.on_ready(seat),
                    (None, Some(slot)) => self.scripts.on_ready(slot),
                    (None, None) => debug!("unexpected on {token:?}: {event:?}"),
                },
            }
        }
        if signalled {
            self.on_signals(now);
        }
        if read {
            self.on_read();
        }
        if written {
            self.dumps.on_written(&mut *self.io);
        }
        if let Some(control) = &self.sockets.control {
            self.clients.accept(now, control, &mut *self.io);
        }
        while let Some(fact) = self.host.next_fact() {
            self.on_fact(now, fact);
        }
        self.start_when_ready(now);
        any
    }

    /// Drain before you judge: what has already arrived is handled before a deadline counts as
    /// missed, so that a stall of our own never looks like a dead master.
    fn drain(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..DRAIN_TURNS {
            if self.engine.next_deadline() > now || !self.io.has_more() {
                break;
            }
            self.io.turn(Instant::ZERO)?;
            // The kernel's sign of waiting work may be stale: it raises the sign after it has
            // queued the work, which may be done by then.
            if !self.receive(now) {
                break;
            }
        }
        Ok(())
    }

    /// Looks after other programs and files; what they tell of tracked things goes to the engine.
    /// And what interfaces have been for long enough is believed.
    pub(super) fn run_scripts(&mut self, now: Instant) {
        self.scripts.hear(now, &mut *self.io);
        self.files.turn(now);
        self.processes.turn(now);
        while let Some((object, standing)) = self
            .scripts
            .next_standing()
            .or_else(|| self.files.next_standing())
            .or_else(|| self.processes.next_standing())
        {
            self.engine.on_track(now, object, standing);
        }
        while let Some(change) = self.delays.next_due(now) {
            self.on_link(now, &change);
        }
    }

    /// Fires what is due. The adverts that follow are queued, and leave with the turn's submit.
    fn fire(&mut self, now: Instant) {
        for _ in 0..FIRINGS_A_TURN {
            self.engine.on_deadlines(now, DEADLINES);
            self.take_wishes(now);
            if self.engine.next_deadline() > now {
                break;
            }
        }
    }

    fn on_signals(&mut self, now: Instant) {
        while let Ok(Some(signal)) = self.sockets.signals.read() {
            match signal {
                libc::SIGTERM | libc::SIGINT if self.stopping.is_none() => {
                    info!("Stopping");
                    self.stopping = Some(now);
                    self.start_by = None;
                    self.engine.stop(now);
                    self.tell_stop(now);
                    self.take_down_statics();
                }
                libc::SIGTERM | libc::SIGINT => {}
                libc::SIGXCPU => warn!(
                    "computed longer without a pause than vrrp_rlimit_rttime allows: \
                     ten seconds of that and the kernel ends this process"
                ),
                libc::SIGHUP if self.stopping.is_none() => {
                    self.ask_reload();
                }
                libc::SIGHUP => {}
                signal => match signals::dump(signal) {
                    Some(wanted) => self.dumps.ask(wanted),
                    None => info!("signal {signal} has no effect here"),
                },
            }
        }
    }

    /// Everybody hears that everything stops, in whatever state it was.
    fn tell_stop(&mut self, now: Instant) {
        self.take_wishes(now);
        self.scripts.stop(now);
        for view in self.engine.views() {
            self.scripts.tell_router(view.id, &view.params.name, News::Stop, view.priority);
        }
        for (id, group) in self.engine.groups() {
            self.scripts.tell_group(id.0, group.name, News::Stop);
        }
    }

    fn has_stopped(&mut self) -> bool {
        let Some(since) = self.stopping else { return false };
        let gone = self.host.is_quiet() && self.let_macvlans_go();
        let now = clock::now();
        let waited = now.since(since);
        if !gone && waited < STOP_PATIENCE {
            return false;
        }
        if !self.scripts.is_quiet(now) {
            if waited < LAST_NEWS_PATIENCE {
                return false;
            }
            let undelivered = self.scripts.undelivered();
            warn!("stopping although notifications have not been delivered: {undelivered}");
        }
        if !gone {
            warn!("stopping although some addresses or interfaces are still on the host");
        }
        if !self.keep_addresses {
            self.sysctls.restore();
        }
        true
    }
}
