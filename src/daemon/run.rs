//! The loop.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use log::{debug, error, info, warn};

use super::clients::Clients;
use super::delays::Delays;
use super::files::Files;
use super::frames::{Announced, Frames, Round};
use super::gauges::Gauges;
use super::journal::Journal;
use super::processes::Processes;
use super::programs::Prepared;
use super::pulse::{Arrivals, Pulse, Wait};
use super::refusals::{self, Limiter};
use super::reload::Reload;
use super::scripts::{News, Scripts};
use super::sysctl::Sysctls;
use super::ways::{Permanent, STATIC};
use super::{boot::Sockets, firewall, tokens, words};
use crate::base::{
    IfIndex, Instant, LinkChange, LinkFacts, LinkId, LinkLocal, LinkNames, RouterId, Span,
};
use crate::config::TrackNames;
use crate::io::{Completion, Event, Io, Pool, clock, sockets};
use crate::kernel::{Fact, Firewall, Host, Socket, Wish};
use crate::vrrp::{Action, Engine, Notice, State};
use crate::wire::auth::PROTOCOL_AH;
use crate::wire::ipv6::Ipv6Packet;
use crate::wire::{Advert, Refusal, ipv4};

/// Deadlines fired at a time, and how often in a turn. A takeover costs about 2 µs here, so that a
/// turn stays below 20 ms even if everything is due at once; between two times the wishes are taken,
/// so that their queue stays short.
const DEADLINES: usize = 1024;
const FIRINGS_A_TURN: usize = 8;
/// Netlink batches sent in one turn; each is worked off inside the send, in about half a
/// millisecond.
const BATCHES_A_TURN: usize = 2;
/// Packets that follow each other within this time are handled in one turn. Backups measure
/// Active_Down_Interval and Skew_Time from when they see a packet, so this is the most that it adds
/// to a takeover; a wake-up costs as much CPU as ten packets.
const GATHER: Span = Span::from_micros(250);
/// So long before a takeover the loop is awake: most wake-ups are not later than this.
const ALERT: Span = Span::from_micros(150);
/// Turns that may be spent on packets that have already arrived before a deadline is judged.
const DRAIN_TURNS: usize = 64;
/// When to try again after a netlink request could not be sent, or a dump was refused.
const REQUEST_RETRY: Span = Span::from_millis(20);
const SYNC_RETRY: Span = Span::from_secs(1);
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
        let (mut signalled, mut read, mut any) = (false, false, false);
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

    pub(super) fn on_fact(&mut self, now: Instant, fact: Fact) {
        match fact {
            Fact::Link(change) => {
                let change = self.delays.admit(now, change);
                self.on_link(now, &change);
                self.try_statics_again(now);
            }
            Fact::Synchronised => {
                let configured = self.engine.views().flat_map(|view| &view.params.addresses);
                self.host.remove_leftovers(configured);
                self.set_up_ways();
                debug!("all links and addresses are known");
                self.prepare_start(now);
            }
            Fact::MacvlanRefused { link, error } => self.on_macvlan_refused(link, error),
            Fact::MacvlansRemoved { removed } => {
                let interfaces = words::count(removed as usize, "interface");
                info!("removed {interfaces} that an earlier run had made for virtual MACs");
            }
            Fact::Resynchronised => {
                warn!("netlink lost messages; all links and addresses have been read again");
            }
            Fact::SyncFailed { error } => {
                let cause = io::Error::from_raw_os_error(error);
                error!("the kernel refuses to list links and addresses: {cause}; asking again");
                self.host.resynchronise();
                self.retry_requests_at = now + SYNC_RETRY;
            }
            Fact::LeftoversRemoved { removed: 0 } => {}
            Fact::TakenAlong { link, ip } => {
                let link = self.names.name(link);
                warn!(
                    "address {ip} of {link} has gone along with a virtual address that was the \
                     first of their subnet: see net.ipv4.conf.{link}.promote_secondaries"
                );
            }
            Fact::Kept { link, ip } => {
                let link = self.names.name(link);
                warn!(
                    "address {ip} was on {link} before and seems to be the host's own: it stays \
                     there in every state; if it was left behind, remove it: ip address del"
                );
            }
            Fact::LeftoversRemoved { removed } => {
                let addresses = words::count(removed as usize, "virtual address");
                info!("removed {addresses} that an earlier run had left behind");
            }
            Fact::Set { owner: STATIC } => self.on_statics_set(now),
            Fact::Set { owner } => self.engine.on_addresses_set(now, RouterId(owner)),
            Fact::Unset { .. } => {}
            Fact::WayRefused { owner, way, wish, error } => {
                self.on_way_refused(owner, way, wish, error);
            }
            Fact::WayLost { owner, way } => self.on_way_lost(now, owner, way),
            Fact::WaysRemoved { removed } => self.on_ways_removed(removed),
            Fact::Refused { owner, link, ip, wish, error } => {
                let link = self.names.name(link);
                let wish = match wish {
                    Wish::Set => "add",
                    Wish::Unset => "remove",
                };
                let cause = io::Error::from_raw_os_error(error);
                if owner == STATIC {
                    return error!("the kernel refuses to {wish} static {ip} on {link}: {cause}");
                }
                let name = self.router_name(owner);
                error!(
                    "VRRP_Instance({name}) the kernel refuses to {wish} {ip} on {link}: {cause}"
                );
            }
            Fact::AddressLost { owner, link, ip } => {
                if owner == STATIC {
                    return self.on_static_lost(now, &format!("static address {ip}"));
                }
                let tracked = self.engine.view(RouterId(owner)).params.tracks(link, ip);
                let name = self.router_name(owner);
                let link = self.names.name(link);
                warn!("VRRP_Instance({name}) address {ip} was removed from {link} by someone else");
                if tracked {
                    self.engine.on_address_lost(now, RouterId(owner));
                }
            }
        }
    }

    pub(super) fn router_name(&self, owner: u32) -> &str {
        &self.engine.view(RouterId(owner)).params.name
    }

    fn on_link(&mut self, now: Instant, change: &LinkChange) {
        let name = self.names.name(change.link);
        let up = change.facts.map(|facts| facts.up);
        let before = std::mem::replace(&mut self.link_up[change.link.index()], up);
        match (before, up) {
            (before, Some(up)) if before != Some(up) => {
                info!("Kernel is reporting: interface {name} {}", if up { "UP" } else { "DOWN" });
            }
            (Some(_), None) => info!("Kernel is reporting: interface {name} REMOVED"),
            _ => {}
        }
        if change.facts.is_some() {
            self.promote_on(change.link);
        }
        self.join(change.link, change.facts);
        let engine = &self.engine;
        self.frames.on_link(change, |router| engine.view(router));
        self.engine.on_link(now, change);
    }

    /// Lets the groups' packets in on links that carry multicast adverts. (Raw sockets hear a group as
    /// soon as any socket of the namespace has joined it on that interface.)
    fn join(&mut self, link: LinkId, facts: Option<LinkFacts>) {
        // Where IPv6 is switched off and on again its memberships are lost, and so is every address.
        let has_ipv6 = facts.is_some_and(|facts| facts.link_local != LinkLocal::None);
        let mut wanted = self.frames.groups(link);
        wanted.retain(|group| group.is_ipv4() || has_ipv6);
        let ifindex = facts.map(|facts| facts.ifindex);
        let (joined, memberships) = (&mut self.joined[link.index()], &mut self.sockets.memberships);
        joined.retain(|&(old, group)| {
            let stays = Some(old) == ifindex && wanted.contains(&group);
            if !stays {
                // If the interface has gone, so has the membership.
                let _ = memberships.leave(old, group);
            }
            stays
        });
        let Some(ifindex) = ifindex else { return };
        for group in wanted {
            if joined.contains(&(ifindex, group)) {
                continue;
            }
            match memberships.join(ifindex, group) {
                Ok(()) => joined.push((ifindex, group)),
                Err(cause) => {
                    let name = self.names.name(link);
                    error!("interface {name}: can't join the VRRP group {group}: {cause}");
                }
            }
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

    /// Wishes down: adverts first, then addresses, then gratuitous ARPs; one submit carries all.
    pub(super) fn carry_out(&mut self, now: Instant) {
        self.take_wishes(now);
        self.frames.send_paced(now, &mut *self.io, &self.engine);
        // What became ours in the last batch is announced before the kernel works on the next one;
        // the repetitions wait until every address of a takeover is there.
        self.announce(now, Round::First);
        self.pump_requests(now);
        self.pump_firewall();
        if self.host.is_quiet() {
            self.announce(now, Round::Again);
        }
    }

    fn take_wishes(&mut self, now: Instant) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Advertise { router, priority } => {
                    let heard = self.engine.view(router).heard_sequence;
                    self.frames.advertise(&mut *self.io, router, priority, heard);
                }
                Action::SetAddresses { router } => {
                    self.tell_extras(router, "setting");
                    let params = self.engine.view(router).params;
                    self.host.want_ways(router.0, &params.extras.ways);
                    self.host.set(router.0, &params.addresses);
                }
                Action::UnsetAddresses { router } => {
                    if !(self.keep_addresses && self.stopping.is_some()) {
                        self.tell_extras(router, "removing");
                        self.host.want_ways(router.0, []);
                        let addresses = &self.engine.view(router).params.addresses;
                        self.host.unset(router.0, addresses);
                    }
                }
                Action::Announce { router, repeat } => {
                    self.log_announcement(router, Announced::All);
                    self.frames.announce(router, repeat, Announced::All);
                }
                Action::AnnounceSource { router } => {
                    let view = self.engine.view(router);
                    self.frames.announce_source(&mut *self.io, view.params);
                }
                Action::Added { router } => {
                    let view = self.engine.view(router);
                    self.frames.renew(&view);
                    let (link, signed) = (view.params.link, refusals::needs_signed(view.params));
                    self.join(link, self.frames.facts(link));
                    if signed {
                        self.listen_to_signed();
                    }
                }
                Action::Altered { router } => {
                    let view = self.engine.view(router);
                    self.frames.renew(&view);
                    let (link, signed) = (view.params.link, refusals::needs_signed(view.params));
                    self.join(link, self.frames.facts(link));
                    if signed {
                        self.listen_to_signed();
                    }
                }
                Action::ChangeAddresses { router } => {
                    let view = self.engine.view(router);
                    self.host.want_ways(router.0, &view.params.extras.ways);
                    if !view.former.is_empty() {
                        self.host.unset(router.0, view.former);
                    }
                    if !view.fresh.is_empty() {
                        self.host.set(router.0, view.fresh);
                    }
                    self.host.settle_ways(router.0);
                }
                Action::AnnounceFresh { router, repeat } => {
                    self.log_announcement(router, Announced::Fresh);
                    self.frames.announce(router, repeat, Announced::Fresh);
                }
                Action::AnnounceExtra { router } => {
                    self.frames.announce(router, 1, Announced::Extra);
                }
                Action::Removed { router } => {
                    let view = self.engine.view(router);
                    let (params, priority) = (view.params, view.priority);
                    info!("VRRP_Instance({}) removed", params.name);
                    let news = match self.scripts.tells_deleted(&params.name) {
                        true => News::Deleted,
                        false => News::Fault,
                    };
                    self.scripts.tell_router(router, &params.name, news, priority);
                    let link = params.link;
                    self.frames.forget(router, link);
                    self.limiter.forget(router);
                    self.join(link, self.frames.facts(link));
                }
                Action::Entered { router, from, to, cause } => {
                    let params = self.engine.view(router).params;
                    words::entered(params, &self.names, (from, to), cause);
                    if let Some(news) = News::of(to) {
                        let priority = self.engine.view(router).priority;
                        self.scripts.tell_router(router, &params.name, news, priority);
                    }
                }
                Action::Reprioritised { router, from, to } => {
                    let view = self.engine.view(router);
                    let name = &view.params.name;
                    let news = match view.state {
                        State::Initialize { .. } => None,
                        State::Backup(_) => Some(News::Priority { master: false }),
                        State::Active(_) => Some(News::Priority { master: true }),
                    };
                    if let Some(news) = news {
                        self.scripts.tell_router(router, name, news, to);
                    }
                    info!("VRRP_Instance({name}) Changing effective priority from {from} to {to}");
                }
                Action::GroupEntered { group, from: _, to } => {
                    let name = self.engine.group(group).name;
                    words::group_entered(name, to);
                    if let Some(news) = News::of(to) {
                        self.scripts.tell_group(group.0, name, news);
                    }
                }
                Action::Notice { router, notice } => {
                    if let Notice::Contested { .. } = notice {
                        let view = self.engine.view(router);
                        let (name, news) = (&view.params.name, News::MasterRxLowerPri);
                        self.scripts.tell_router(router, name, news, view.priority);
                    }
                    words::notice(now, &mut self.limiter, &self.engine, router, &notice);
                }
                Action::Stray { ifindex, source, refusal } => {
                    let link = self.frames.link_of(ifindex).map(|link| self.names.name(link));
                    let loud = self.log_unknown_vrids;
                    self.limiter.stray(now, (ifindex, link), source, refusal, loud);
                }
            }
        }
    }

    /// Opens the socket for adverts behind authentication headers. Without need it stays closed: it
    /// would hear all of a host's IPsec that has such headers.
    fn listen_to_signed(&mut self) {
        if self.sockets.signed.is_some() {
            return;
        }
        let opened = sockets::raw_ipv4_receiver(PROTOCOL_AH, self.sockets.vrrp_buffer);
        let opened = opened.and_then(|socket| {
            self.io.receive(tokens::SIGNED_IPV4, socket.as_fd(), Pool::Packets)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => self.sockets.signed = Some(socket),
            Err(cause) => {
                error!("can't hear adverts with authentication headers: {cause}");
            }
        }
    }

    fn announce(&mut self, now: Instant, round: Round) {
        self.frames.send_announcements(now, &mut *self.io, round, &mut self.engine);
    }

    fn log_announcement(&self, router: RouterId, of: Announced) {
        if log::log_enabled!(log::Level::Debug) {
            let view = self.engine.view(router);
            for address in of.addresses(&view) {
                let (name, link) = (&view.params.name, self.names.name(address.link));
                let ip = address.ip;
                let what = match ip {
                    IpAddr::V4(_) => "gratuitous ARPs",
                    IpAddr::V6(_) => "Unsolicited Neighbour Adverts",
                };
                debug!("VRRP_Instance({name}) Sending {what} on {link} for {ip}");
            }
        }
    }

    pub(super) fn pump_requests(&mut self, now: Instant) {
        self.requests_left = false;
        if self.retry_requests_at != Instant::NEVER {
            if now < self.retry_requests_at {
                return;
            }
            self.retry_requests_at = Instant::NEVER;
        }
        for _ in 0..BATCHES_A_TURN {
            let request = self.host.next_request(&mut self.request);
            // What a request needs to be so has to be so before.
            self.write_settings();
            let Some(request) = request else { return self.remove_macvlans() };
            let (token, socket) = match request.to {
                Socket::Command => (tokens::COMMAND, &self.sockets.command),
                Socket::Monitor => (tokens::MONITOR, &self.sockets.monitor),
            };
            self.io.send(token, socket.as_raw_fd(), &self.request[..request.len]);
        }
        self.requests_left = true;
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
                signal => {
                    info!("signal {signal} has no effect yet; `viprctl status` shows the state");
                }
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
            warn!("stopping although some notifications have not been delivered");
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
