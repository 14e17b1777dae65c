//! **The host's network**: netlink bytes → facts, wishes → netlink bytes. Pure: no socket, no
//! clock, no log.
//!
//! The daemon owns two `NETLINK_ROUTE` sockets for each network namespace: a *monitor* that has
//! joined the groups `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` (and `RTNLGRP_IPV6_IFADDR`), and a
//! *command* socket. What it receives on them it hands to a [`Host`], and sends what
//! [`Host::next_request`] writes; the rest is facts that go up and wishes that come down.
//!
//! ```text
//!   monitor  ── on_monitor ──►┌ reader ┐   ┌ mirror: interfaces, real addresses
//!   command  ── on_command ──►│  bytes │──►┤                              │──► next_fact
//!   sockets  ◄─ next_request ─└ request┘◄──┴ reconciler: virtual addresses│◄── set, unset
//! ```
//!
//! * `reader`: bytes → messages, lenient: a broken attribute never loses a message.
//! * `request`: requests → bytes, without an allocation.
//! * `mirror`: interfaces and the addresses on them that are not virtual, as last reported.
//! * `reconciler`: which virtual addresses are wanted, which are there, so what to ask for; and
//!   `entry`: one of them.
//! * `ways`: routes and policy rules, in the same way but without a mirror.
//! * `fact`: what goes up.
//! * `sources`: addresses that adverts are sent from.
//! * `macvlan`: interfaces that we make for virtual MACs.
//! * `firewall`: addresses that take no traffic; beside all this, with a socket of its own.
//! * `conversation`: what has been asked and not been answered.
//!
//! What the sockets need: bound to a port of their own (`bind` with port 0), large receive buffers
//! (`SO_RCVBUFFORCE`; an event occupies about a kilobyte of it, and every address added or removed
//! is one), `NETLINK_CAP_ACK` on the command socket (a refusal repeats the request otherwise), and
//! **never** `NETLINK_NO_ENOBUFS`: that something was lost is the one thing that must be known.
//!
//! Nothing here is superlinear in the number of addresses: an event, a wish, an answer about one of
//! them is a few look-ups; a dump, an overrun and a reload pass over all of them once. In the
//! steady state nothing allocates.

mod conversation;
mod entry;
mod fact;
mod firewall;
mod macvlan;
mod mirror;
#[cfg(test)]
mod model;
mod reader;
mod reconciler;
mod request;
#[cfg(test)]
mod simulation;
mod sources;
#[cfg(test)]
mod tests;
mod views;
mod ways;

use std::collections::HashSet;
use std::net::IpAddr;

use crate::base::{IfIndex, LinkChange, LinkFacts, LinkId, LinkNames, Scope, VirtualAddress};
use conversation::{Asked, Barrier, Batch, Conversation, Dump, Half, WINDOW};
use entry::{Entry, Origin};
pub use fact::{Fact, Wish};
pub use firewall::{Firewall, FirewallOptions};
use macvlan::Macvlans;
pub use macvlan::Setting;
use mirror::{Mirror, RealKey, Source};
use reader::{Address, Content, Link, Message};
use reconciler::{BATCH, EntryId, Facts, Reconciler};
use request::Writer;
use sources::Sources;
pub use views::{HostCounters, LinkView};
pub use ways::WayId;
use ways::{Devices, News, Ways};

/// The network of one namespace: what is known of it, and what is wanted of it.
///
/// Call [`Host::next_request`] and [`Host::next_fact`] until they give `None` whenever anything
/// else has been called.
#[derive(Debug)]
pub struct Host {
    names: LinkNames,
    links: Vec<Watched>,
    virtuals: HashSet<(LinkId, IpAddr)>,
    /// Addresses of ours that are as good as the host's own.
    statics: HashSet<(LinkId, IpAddr, u8)>,
    mirror: Mirror,
    reconciler: Reconciler,
    ways: Ways,
    macvlans: Macvlans,
    sources: Sources,
    conversation: Conversation,
    facts: Facts,
    counters: HostCounters,
    synchronised: bool,
}

/// Which of the two netlink sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Socket {
    /// The one that requests go to and answers come from.
    Command,
    /// The one that has joined the groups.
    Monitor,
}

/// Bytes to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The socket to send them on, as one datagram.
    pub to: Socket,
    /// How many of the buffer's bytes.
    pub len: usize,
}

#[derive(Debug, Default)]
struct Watched {
    device: Option<IfIndex>,
    /// What has been reported, if anything has.
    reported: Option<Option<LinkFacts>>,
}

impl Host {
    /// A buffer of this many bytes has room for the largest batch.
    pub const REQUEST_BUFFER: usize = BATCH * request::LONGEST;

    /// Watches the interfaces of those names. The first request will be for a dump.
    pub fn new(names: &LinkNames) -> Self {
        let mut host = Host {
            names: LinkNames::default(),
            links: Vec::new(),
            virtuals: HashSet::new(),
            statics: HashSet::new(),
            mirror: Mirror::default(),
            reconciler: Reconciler::default(),
            ways: Ways::default(),
            macvlans: Macvlans::default(),
            sources: Sources::default(),
            conversation: Conversation::new(),
            facts: Facts::new(),
            counters: HostCounters::default(),
            synchronised: false,
        };
        host.watch(names);
        host
    }

    /// Watches the interfaces of those names, which may be more than before (ids keep their
    /// meaning). What is known of new ones is reported at once.
    pub fn watch(&mut self, names: &LinkNames) {
        self.names = names.clone();
        if self.links.len() < names.len() {
            self.links.resize_with(names.len(), Watched::default);
        }
        self.reconciler.grow(names.len());
        let unbound = |(ifindex, device): (IfIndex, &mirror::Device)| {
            let link = self.find_name(&device.name)?;
            (device.link != Some(link)).then_some((link, ifindex))
        };
        let mut found: Vec<_> = self.mirror.devices().filter_map(unbound).collect();
        found.sort_unstable();
        for (link, ifindex) in found {
            self.bind(link, ifindex);
        }
        self.report_all();
    }

    /// Names all virtual addresses of the configuration, of all owners, set or not, in place of
    /// those named before. One of them never counts as the primary address of its interface.
    pub fn configure<'a>(&mut self, addresses: impl IntoIterator<Item = &'a VirtualAddress>) {
        self.virtuals.clear();
        self.reconciler.forget_configuration();
        for address in addresses {
            self.virtuals.insert((address.link, address.ip));
            let id = self.entry(address);
            self.reconciler.configured(id, address);
        }
        let mirror = &mut self.mirror;
        let real = |address: &_, at, marks| mirror.put_real(&as_real(address, at), false, marks);
        self.reconciler.tidy(real);
        for number in 0..self.links.len() {
            self.rank_again(LinkId(number as u32));
        }
        self.report_all();
    }

    /// Reads what the monitor received.
    pub fn on_monitor(&mut self, datagram: &[u8]) {
        let mut messages = reader::messages(datagram);
        for message in &mut messages {
            self.counters.events += 1;
            match message.content {
                Content::Answer(_) => self.on_monitor_answer(message.seq),
                _ => self.on_event(&message),
            }
        }
        self.conversation.monitor.read();
        if messages.broken() {
            self.counters.malformed += 1;
            self.on_monitor_overrun();
        }
    }

    /// The monitor has lost something: its queue ran over (`ENOBUFS`), a datagram was truncated,
    /// or a request sent on it failed. The mirror is put right by a dump.
    pub fn on_monitor_overrun(&mut self) {
        self.counters.overruns += 1;
        self.conversation.monitor.raise();
    }

    /// Reads what the command socket received: answers, and pages of dumps.
    pub fn on_command(&mut self, datagram: &[u8]) {
        let mut messages = reader::messages(datagram);
        for message in &mut messages {
            self.conversation.learn_port(message.port);
            match message.content {
                Content::Answer(error) => self.on_answer(message.seq, error),
                Content::Broken => self.counters.malformed += 1,
                _ => self.on_page(&message),
            }
        }
        self.conversation.command.read();
        if messages.broken() {
            self.counters.malformed += 1;
            self.on_command_lost();
        }
    }

    /// An answer has been lost (`ENOBUFS` or a truncated datagram), or a request couldn't be sent:
    /// whatever is in flight is settled by a dump. After a failed send, wait a little before the
    /// next request: nothing here does.
    pub fn on_command_lost(&mut self) {
        self.counters.answers_lost += 1;
        while self.doubt_oldest_batch() {}
        self.doubt_macvlans();
        self.mirror.end_dump();
        self.conversation.dump = Dump::Wanted { urgent: true };
        self.conversation.again = false;
        self.conversation.command.raise();
    }

    /// Asks for a dump at the next convenient time.
    pub fn resynchronise(&mut self) {
        self.conversation.want_dump();
    }

    /// `owner` wants these addresses, beside those it wants already. Those that are there are not
    /// asked for again; one whose label, broadcast address or scope is another now is replaced.
    /// [`Fact::Set`] follows.
    pub fn set<'a>(&mut self, owner: u32, addresses: impl IntoIterator<Item = &'a VirtualAddress>) {
        self.reconciler.wish(owner);
        self.ways.unsettle(owner);
        for address in addresses {
            let id = self.entry(address);
            self.reconciler.set(owner, id, address, &mut self.facts);
        }
        self.reconciler.wished(owner, Wish::Set, &mut self.facts);
    }

    /// `owner` no longer wants these addresses. One that another owner wants stays; one that was
    /// never added costs nothing. [`Fact::Unset`] follows.
    pub fn unset<'a>(
        &mut self,
        owner: u32,
        addresses: impl IntoIterator<Item = &'a VirtualAddress>,
    ) {
        self.reconciler.wish(owner);
        for address in addresses {
            self.reconciler.unset(owner, address, &mut self.facts);
        }
        self.reconciler.wished(owner, Wish::Unset, &mut self.facts);
    }

    /// Removes those of the addresses that are on their interfaces and that nobody here has set: a
    /// crash left them. To be called once [`Fact::Synchronised`] has been seen.
    /// [`Fact::LeftoversRemoved`] follows.
    ///
    /// What is not marked as ours (`IFA_PROTO`, Linux 5.18) may be the host's own address, which a
    /// virtual router of priority 255 has: if it is the only one of its family on its interface, or
    /// the first of its subnet, it is left alone for good, and [`Fact::Kept`] tells of it. Nothing on
    /// an interface that was made for a virtual MAC is the host's own.
    pub fn remove_leftovers<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = &'a VirtualAddress>,
    ) {
        let mut named = Vec::new();
        for address in addresses {
            let id = self.entry(address);
            let watched = self.links.get(address.link.index());
            let at = watched.and_then(|watched| watched.device);
            let device = at.and_then(|at| self.mirror.device(at));
            let alone = device.is_some_and(|device| device.own(address.ip.is_ipv4()) == 0);
            let at = at.filter(|_| !device.is_some_and(|device| self.is_for_virtual_mac(device)));
            named.push((id, address, at, alone));
        }
        // Only now: what is kept counts for the others no more than what is removed.
        for (id, address, at, alone) in named {
            let marks = at.and_then(|_| self.reconciler.keep(id, alone));
            match (marks, at) {
                (Some(marks), Some(at)) => {
                    // It can be the primary one, as the owner of an address has it.
                    self.mirror.put_real(&as_real(address, at), true, marks);
                    self.report(address.link);
                    let &VirtualAddress { link, ip, .. } = address;
                    self.facts.push_back(Fact::Kept { link, ip });
                }
                _ => self.reconciler.leftover(id, &mut self.facts),
            }
        }
        self.reconciler.leftovers_named(&mut self.facts);
    }

    /// Writes the next datagram to be sent, if there is one: a batch of up to 64 requests (fewer in
    /// a buffer of less than [`Host::REQUEST_BUFFER`] bytes; it has to have 128 at least), part of a
    /// dump, or a barrier. Send it before the next one is asked for.
    ///
    /// At most four batches wait for their answers, so a turn that sends all that is to be had
    /// spends a bounded time in the kernel.
    pub fn next_request(&mut self, buffer: &mut [u8]) -> Option<Request> {
        if buffer.len() < request::LONGEST {
            return None;
        }
        if self.reconciler.take_doubt() {
            self.conversation.want_dump();
        }
        let mut writer = Writer::new(buffer);
        let to = self.write(&mut writer);
        let len = writer.len();
        (len > 0).then_some(Request { to, len })
    }

    fn write(&mut self, writer: &mut Writer<'_>) -> Socket {
        let conversation = &mut self.conversation;
        if let Barrier::ToSend { .. } = conversation.monitor {
            let seq = conversation.number();
            writer.nothing(seq);
            conversation.monitor.sent(seq);
            return Socket::Monitor;
        }
        match (conversation.command, conversation.dump) {
            (Barrier::ToSend { .. }, _) => {
                let seq = conversation.number();
                writer.nothing(seq);
                conversation.command.sent(seq);
            }
            (Barrier::Sent { .. }, _) => {}
            (Barrier::None, Dump::Halfway) => self.begin_half(Half::Addresses, writer),
            (Barrier::None, Dump::Wanted { urgent })
                if conversation.batches.is_empty()
                    && (urgent || !(self.reconciler.has_work() || self.ways.has_work())) =>
            {
                self.counters.dumps += 1;
                self.mirror.begin_dump();
                self.begin_half(Half::Links, writer);
            }
            (Barrier::None, Dump::Idle | Dump::Wanted { urgent: false }) => {
                self.write_batch(writer);
                if writer.len() == 0 {
                    self.write_macvlans(writer);
                }
            }
            (Barrier::None, Dump::Wanted { .. } | Dump::Running { .. } | Dump::Busy) => {}
        }
        Socket::Command
    }

    /// The next fact, oldest first.
    pub fn next_fact(&mut self) -> Option<Fact> {
        while let Some(fact) = self.facts.pop_front() {
            match fact {
                // Its routes and rules are asked for now, and the fact comes when they are there.
                Fact::Set { owner } if self.ways.activate(owner, true, &mut self.facts) => {}
                fact => return Some(fact),
            }
        }
        self.ways.next_set().map(|owner| Fact::Set { owner })
    }

    /// Whether there is a fact to be taken.
    pub fn has_facts(&self) -> bool {
        !self.facts.is_empty() || self.ways.has_set()
    }

    /// Whether the first dump is complete.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised
    }

    /// Whether no wish waits to be sent or answered: at the end, the time to go.
    pub fn is_quiet(&mut self) -> bool {
        self.reconciler.is_quiet() && self.ways.is_quiet()
    }
}

/// Events.
impl Host {
    fn on_event(&mut self, message: &Message<'_>) {
        let origin = match self.conversation.is_own(message.port) {
            true => Origin::Own(message.seq),
            false => Origin::Unknown,
        };
        match message.content {
            Content::Link(link) => self.on_link(&link, Source::Event),
            Content::LinkGone(ifindex) => self.on_link_gone(ifindex, Source::Event),
            Content::Address(address) => self.on_address(&address, true, origin),
            Content::AddressGone(address) => self.on_address(&address, false, origin),
            Content::Way(kind, in_place, body) => {
                if let Some(news) = News::read(kind, in_place, body) {
                    self.on_way(&news, origin);
                }
            }
            Content::Broken => self.counters.malformed += 1,
            Content::Answer(_) | Content::Done(_) | Content::Other => {}
        }
    }

    fn on_link(&mut self, link: &Link<'_>, source: Source) {
        let was_up = self.mirror.device(link.ifindex).is_some_and(|device| device.is_wanted_up());
        if self.mirror.link(link, source).is_none() {
            return;
        }
        let Some(device) = self.mirror.device(link.ifindex) else {
            return;
        };
        let (former, up) = (device.link, device.is_wanted_up());
        let now = self.find_name(&device.name);
        if former != now {
            if let Some(former) = former {
                self.unbind(former);
            }
            if let Some(now) = now {
                self.bind(now, link.ifindex);
            }
        } else if let Some(now) = now
            && up
            && !was_up
        {
            // What it lost while it was down is put back.
            self.reconciler.review_link(now, true, &mut self.facts);
            self.ways.link_up(now, &mut self.facts);
        }
        if let Some(now) = now {
            self.touch_macvlans(now);
            self.report(now);
        }
    }

    fn on_link_gone(&mut self, ifindex: IfIndex, source: Source) {
        let Some(device) = self.mirror.link_gone(ifindex, source) else {
            return;
        };
        if let Some(watched) = device.link.and_then(|link| self.links.get_mut(link.index())) {
            watched.device = None;
        }
        self.macvlan_gone(ifindex);
        self.sources_gone(ifindex);
        if let Some(link) = device.link {
            self.ways.link_gone(link);
            self.touch_macvlans(link);
            self.report(link);
        }
        self.reconciler.device_gone(device.link, ifindex, &mut self.facts);
    }

    fn on_address(&mut self, address: &Address, present: bool, origin: Origin) {
        let Some(device) = self.mirror.device(address.ifindex) else {
            return;
        };
        let (link, up) = (device.link, device.is_wanted_up());
        self.on_source(address, present);
        let entries = self.virtual_entries(address, link);
        // The host's own one among the virtual ones is mirrored as well.
        let is_static = self.is_static(link, address.ip, address.prefix_len);
        let kept = is_static || self.is_kept(entries);
        for id in entries.into_iter().flatten() {
            if present {
                self.describe(id, address);
            }
            let mark = (self.mirror.generation(), up);
            let facts = &mut self.facts;
            self.reconciler.heard(id, present, origin, mark, facts);
        }
        if entries != [None; 2] && !kept {
            if !present {
                // It may have counted as the host's own so far.
                self.mirror.real_gone(address.ifindex, &RealKey::of(address));
            }
            return;
        }
        match present {
            true => {
                let shadow = link.is_some_and(|link| self.is_virtual(link, address.ip));
                self.mirror.real(address, shadow, Source::Event);
            }
            false => {
                let key = RealKey::of(address);
                self.mirror.real_gone(address.ifindex, &key);
            }
        }
        if let Some(link) = link {
            self.report(link);
            if let (false, false, Origin::Own(_)) = (present, is_static, origin) {
                self.facts.push_back(Fact::TakenAlong { link, ip: address.ip });
            }
        }
    }

    fn on_monitor_answer(&mut self, seq: u32) {
        if self.conversation.monitor.answered(seq) {
            self.reconciler.forget_echoes(seq);
            self.ways.doubt_all(&mut self.facts);
            self.conversation.want_dump();
        }
    }
}

/// Answers, and dumps.
impl Host {
    fn on_answer(&mut self, seq: u32, error: i32) {
        if self.conversation.command.answered(seq) || self.on_macvlan_answer(seq, error) {
            return;
        }
        if let Dump::Running { seq: running, .. } = self.conversation.dump
            && running == seq
        {
            return self.on_dump_refused(error);
        }
        let Some((number, offset)) = self.conversation.find(seq) else {
            if let Some(asked) = self.conversation.take_doubtful(seq) {
                self.on_request_answered(asked, seq, error);
            }
            return;
        };
        // Answers come in order: a batch before this one will never have its own.
        for _ in 0..number {
            self.doubt_oldest_batch();
            self.conversation.want_dump();
        }
        let Some(batch) = self.conversation.batches.first_mut() else {
            return;
        };
        let last = offset + 1 == batch.entries.len();
        let asked = batch.entries.get_mut(offset).and_then(Option::take);
        if let Some(asked) = asked {
            self.on_request_answered(asked, seq, error);
        }
        if last {
            let batch = self.conversation.batches.remove(0);
            for (seq, asked) in (batch.first_seq..).zip(batch.entries) {
                if let Some(asked) = asked {
                    self.on_request_answered(asked, seq, 0);
                }
            }
        }
    }

    fn on_request_answered(&mut self, asked: Asked, seq: u32, error: i32) {
        let refused = match asked {
            Asked::Address(id) => {
                self.reconciler.answered(id, seq, error, &mut self.facts);
                !matches!(error, 0 | libc::EEXIST | libc::EADDRNOTAVAIL)
            }
            Asked::Way(id) => self.ways.answered(id, seq, error, &mut self.facts),
        };
        self.counters.refusals += u64::from(refused);
    }

    fn doubt_oldest_batch(&mut self) -> bool {
        let Some(batch) = self.conversation.doubt_oldest() else {
            return false;
        };
        for &asked in batch.entries.iter().flatten() {
            match asked {
                Asked::Address(id) => self.reconciler.answer_lost(id),
                Asked::Way(id) => self.ways.answer_lost(id),
            }
        }
        true
    }

    fn write_batch(&mut self, writer: &mut Writer<'_>) {
        if self.conversation.batches.len() == WINDOW {
            return;
        }
        let first_seq = self.conversation.numbers(BATCH as u32);
        let mut batch = Batch { first_seq, entries: Default::default() };
        // Routes and rules first: those that go are to go before addresses, and those that come
        // have waited for theirs.
        let Host { ways, names, links, facts, .. } = self;
        let devices = Devices { names, at: |link| device_of(links, link) };
        let sent = |id| batch.entries.push(Some(Asked::Way(id)));
        let mut count = ways.write_batch(writer, first_seq, &devices, facts, sent);
        if count == 0 {
            let sent = |id| batch.entries.push(Some(Asked::Address(id)));
            count = self.reconciler.write_batch(writer, first_seq, sent);
        }
        if count > 0 {
            for &asked in batch.entries.iter().flatten() {
                if let Asked::Address(id) = asked {
                    self.open_or_close_macvlan(id);
                }
            }
            writer.ask_for_ack();
            self.conversation.used(first_seq, count);
            self.conversation.batches.push(batch);
            self.counters.batches += 1;
            self.counters.requests += count as u64;
        }
    }

    fn begin_half(&mut self, half: Half, writer: &mut Writer<'_>) {
        let seq = self.conversation.number();
        match half {
            Half::Links => writer.dump_links(seq),
            Half::Addresses => writer.dump_addresses(seq),
        }
        self.conversation.dump = Dump::Running { half, seq, interrupted: false };
    }

    fn on_dump_refused(&mut self, error: i32) {
        self.mirror.end_dump();
        match error {
            libc::EBUSY => self.conversation.dump = Dump::Busy,
            _ => {
                self.conversation.dump = Dump::Idle;
                self.facts.push_back(Fact::SyncFailed { error });
            }
        }
    }

    fn on_page(&mut self, message: &Message<'_>) {
        let Dump::Running { half, seq, interrupted } = self.conversation.dump else {
            if let (Dump::Busy, Content::Done(_)) = (self.conversation.dump, message.content) {
                self.conversation.dump = Dump::Wanted { urgent: true };
            }
            return;
        };
        if message.seq != seq {
            return;
        }
        let interrupted = interrupted | message.interrupted;
        self.conversation.dump = Dump::Running { half, seq, interrupted };
        match message.content {
            Content::Link(link) if half == Half::Links => self.on_link(&link, Source::Page),
            Content::Address(address) if half == Half::Addresses => self.on_address_page(&address),
            Content::Done(0) => self.on_half_done(half, interrupted),
            Content::Done(error) => self.on_dump_refused(error),
            _ => {}
        }
    }

    fn on_address_page(&mut self, address: &Address) {
        let Some(device) = self.mirror.device(address.ifindex) else {
            return;
        };
        let link = device.link;
        let entries = self.virtual_entries(address, link);
        for id in entries.into_iter().flatten() {
            self.reconciler.seen(id, self.mirror.generation());
            self.describe(id, address);
        }
        let is_static = self.is_static(link, address.ip, address.prefix_len);
        if entries == [None; 2] || is_static || self.is_kept(entries) {
            let shadow = link.is_some_and(|link| self.is_virtual(link, address.ip));
            self.mirror.real(address, shadow, Source::Page);
            if let Some(link) = link {
                self.report(link);
            }
        }
    }

    fn on_half_done(&mut self, half: Half, interrupted: bool) {
        if interrupted {
            // What it left out is not known to be gone. Whatever waits to be sent goes first, so
            // that our own changes aren't what interrupts it again.
            self.counters.dumps_interrupted += 1;
            self.mirror.end_dump();
            self.conversation.dump = Dump::Wanted { urgent: !self.synchronised };
            return;
        }
        match half {
            Half::Links => {
                for ifindex in self.mirror.unseen_devices() {
                    self.on_link_gone(ifindex, Source::Page);
                }
                self.conversation.dump = Dump::Halfway;
            }
            Half::Addresses => self.on_dump_done(),
        }
    }

    fn on_dump_done(&mut self) {
        let Host { mirror, reconciler, facts, .. } = self;
        mirror.remove_unseen_reals();
        let is_up = |at| mirror.device(at).is_some_and(|device| device.is_wanted_up());
        reconciler.compare(mirror.generation(), is_up, facts);
        mirror.end_dump();
        self.ways.ask_again();
        self.conversation.dump = Dump::Idle;
        let first = !std::mem::replace(&mut self.synchronised, true);
        self.review_macvlans();
        self.report_all();
        self.find_sources();
        if first {
            self.facts.push_back(Fact::Synchronised);
            self.reconciler.begin(&mut self.facts);
            self.ways.begin();
        } else if !self.conversation.again && self.conversation.monitor == Barrier::None {
            self.facts.push_back(Fact::Resynchronised);
        }
        if std::mem::take(&mut self.conversation.again) {
            self.conversation.want_dump();
        }
    }
}

/// Names, and what bears them.
impl Host {
    fn find_name(&self, name: &[u8]) -> Option<LinkId> {
        self.names.find(std::str::from_utf8(name).ok()?)
    }

    fn is_virtual(&self, link: LinkId, ip: IpAddr) -> bool {
        self.virtuals.contains(&(link, ip))
    }

    fn is_static(&self, link: Option<LinkId>, ip: IpAddr, prefix_len: u8) -> bool {
        !self.statics.is_empty()
            && link.is_some_and(|link| self.statics.contains(&(link, ip, prefix_len)))
    }

    /// The entry of `address`, which may have been taken for a real one so far.
    fn entry(&mut self, address: &VirtualAddress) -> EntryId {
        let (id, new) = self.reconciler.entry_for(address);
        let watched = self.links.get(address.link.index());
        if new && let Some(at) = watched.and_then(|watched| watched.device) {
            self.adopt(id, at);
            self.report(address.link);
        }
        id
    }

    fn adopt(&mut self, id: EntryId, at: IfIndex) {
        let Some(entry) = self.reconciler.entry(id) else {
            return;
        };
        let VirtualAddress { link, ip, prefix_len, .. } = entry.address;
        let key = RealKey { ip, prefix_len, peer: entry.address.peer() };
        let marks = match self.is_static(Some(link), ip, prefix_len) {
            true => self.mirror.real_marks(at, &key),
            false => self.mirror.take_real(at, &key),
        };
        if let Some(marks) = marks {
            self.reconciler.found(id, marks);
        }
    }

    fn describe(&mut self, id: EntryId, address: &Address) {
        let first = address.flags & libc::IFA_F_SECONDARY == 0;
        self.reconciler.describes(id, address.protocol == reader::OURS, first);
    }

    fn is_kept(&self, entries: [Option<EntryId>; 2]) -> bool {
        let [entry, _] = entries;
        entry.and_then(|id| self.reconciler.entry(id)).is_some_and(Entry::is_kept)
    }

    /// The entries that a message about an address is about, if it is about a virtual one: the one
    /// of the interface's link, and one that was put there when it had another name.
    fn virtual_entries(&self, address: &Address, link: Option<LinkId>) -> [Option<EntryId>; 2] {
        let &Address { ifindex, ip, prefix_len, peer, .. } = address;
        let same_peer = |id: &EntryId| {
            self.reconciler.entry(*id).is_some_and(|entry| entry.address.peer() == peer)
        };
        [
            link.and_then(|link| self.reconciler.find(link, ip, prefix_len)).filter(same_peer),
            self.reconciler.find_orphan(ifindex, ip, prefix_len).filter(same_peer),
        ]
    }

    /// An interface bears a watched name now.
    fn bind(&mut self, link: LinkId, ifindex: IfIndex) {
        if self.links.get(link.index()).is_some_and(|watched| watched.device.is_some()) {
            // Names are unique: the other one is gone or renamed, and we haven't heard of it yet.
            self.unbind(link);
        }
        let (Some(device), Some(watched)) =
            (self.mirror.device_mut(ifindex), self.links.get_mut(link.index()))
        else {
            return;
        };
        device.link = Some(link);
        watched.device = Some(ifindex);
        if let Some(table) = device.vrf {
            self.ways.is_vrf(link, table);
        }
        self.reconciler.arrive(link, ifindex);
        for number in 0..self.reconciler.entries_of(link).len() {
            if let Some(&id) = self.reconciler.entries_of(link).get(number) {
                self.adopt(id, ifindex);
            }
        }
        self.touch_macvlans(link);
        self.rank_again(link);
        self.reconciler.review_link(link, true, &mut self.facts);
        self.ways.link_up(link, &mut self.facts);
    }

    /// An interface bears its watched name no more, but lives on.
    fn unbind(&mut self, link: LinkId) {
        let Some(watched) = self.links.get_mut(link.index()) else {
            return;
        };
        let Some(ifindex) = watched.device.take() else {
            return;
        };
        if let Some(device) = self.mirror.device_mut(ifindex) {
            device.link = None;
        }
        self.ways.link_gone(link);
        self.touch_macvlans(link);
        self.report(link);
        let mirror = &mut self.mirror;
        self.reconciler.leave(link, &mut self.facts, |address, at, marks| {
            mirror.put_real(&as_real(address, at), false, marks);
        });
        mirror.rank_again(ifindex, |_| false);
        if self.mirror.is_dumping() {
            // It may have shown addresses under the one name that now count for the other.
            self.conversation.want_dump();
        }
    }

    fn rank_again(&mut self, link: LinkId) {
        let Some(Watched { device: Some(ifindex), .. }) = self.links.get(link.index()) else {
            return;
        };
        let virtuals = &self.virtuals;
        self.mirror.rank_again(*ifindex, |ip| virtuals.contains(&(link, *ip)));
    }

    fn report_all(&mut self) {
        for number in 0..self.links.len() {
            self.report(LinkId(number as u32));
        }
    }

    /// Reports a link if something about it is new.
    fn report(&mut self, link: LinkId) {
        if !self.synchronised {
            return;
        }
        let facts = self.link_facts(link);
        let Some(watched) = self.links.get_mut(link.index()) else {
            return;
        };
        let before = watched.reported.replace(facts);
        if let (Some(Some(before)), Some(now)) = (before, facts)
            && before.ifindex != now.ifindex
        {
            self.facts.push_back(Fact::Link(LinkChange { link, facts: None }));
        }
        if before != Some(facts) {
            self.facts.push_back(Fact::Link(LinkChange { link, facts }));
        }
    }
}

/// The interface that bears a link's name.
fn device_of(links: &[Watched], link: LinkId) -> Option<IfIndex> {
    links.get(link.index())?.device
}

/// A virtual address that isn't one any more, as an event would have told of it.
fn as_real(address: &VirtualAddress, at: IfIndex) -> Address {
    Address {
        ifindex: at,
        ip: address.ip,
        prefix_len: address.prefix_len,
        peer: address.peer(),
        scope: match address.ip {
            IpAddr::V4(_) => address.scope,
            IpAddr::V6(_) => Scope::GLOBAL,
        },
        protocol: 0,
        flags: 0,
    }
}
