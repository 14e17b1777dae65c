//! A router of the simulated LAN: a real engine, real bytes, and around them the little that the
//! daemon does (drain, then judge; patch the frame; apply wishes), with the model beside it.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use viprd::base::{
    Family, IfIndex, Instant, LinkChange, LinkFacts, LinkId, LinkLocal, Mac, RouterId, Scope, Span,
    VirtualAddress,
};
use viprd::vrrp::{
    Action, Conduct, Engine, Extras, GarpParams, Notice, RouterParams, State, StateName, Transport,
};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication, Version};

use crate::ensure;
use crate::model::{Heard, Model, Phase};
use crate::plan::{Plan, RouterPlan};
use crate::tamper::{Tamper, Watch};
use crate::violation::Check;

pub struct Host {
    pub id: usize,
    pub engine: Option<Engine>,
    /// Counts the daemon's lives, so that what was meant for an earlier one is left alone.
    pub boot: u64,
    pub paused: bool,
    /// How far its clock is ahead of the world's: no two hosts' clocks read the same.
    offset: u64,
    /// Its interfaces: one a LAN, then the service link.
    pub links: Vec<Link>,
    /// What waits to be handled, in the order in which it arrived.
    pub queue: VecDeque<Input>,
    /// Whether the addresses of each virtual router are on it.
    pub addresses: Vec<bool>,
    pub members: Vec<Member>,
    pub tally: Tally,
}

/// An interface.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// As it is; `None` while it does not exist.
    pub real: Option<LinkFacts>,
    /// As the daemon knows it.
    known: Option<LinkFacts>,
}

/// One virtual router on this host: the frame it sends, and what it should be doing.
pub struct Member {
    pub plan: RouterPlan,
    frame: AdvertFrame,
    pub model: Model,
    /// How often it has become Active: tells its terms apart.
    term: u64,
    /// Whether its addresses have been acknowledged in this term.
    acknowledged: bool,
}

/// What can wait in a host's queue.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes, and whether an advert's form is right (garbage's is not).
    Packet {
        ifindex: IfIndex,
        bytes: Rc<[u8]>,
        good: bool,
    },
    Link(LinkChange),
    AddressesSet {
        router: usize,
        term: u64,
    },
    AddressLost {
        router: usize,
    },
}

/// What a turn asks of the world.
#[derive(Clone)]
pub enum Effect {
    Send {
        lan: usize,
        bytes: Rc<[u8]>,
    },
    /// Addresses were added; the kernel will say so.
    Set {
        router: usize,
        term: u64,
    },
    Entered {
        router: usize,
        from: StateName,
        to: StateName,
    },
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Send { lan, bytes } => write!(f, "sends on LAN {lan}: {}", tell(bytes)),
            Effect::Set { router, .. } => write!(f, "sets the addresses of router {router}"),
            Effect::Entered { router, from, to } => write!(f, "router {router}: {from:?} → {to:?}"),
        }
    }
}

/// A packet in a few words, for traces.
pub fn tell(packet: &[u8]) -> String {
    match Advert::parse(packet) {
        Ok(advert) => {
            let Advert { vrid, priority, source, .. } = advert;
            format!("vrid {vrid} priority {priority} from {source}")
        }
        Err(refused) => format!("{} bytes, {:?}", packet.len(), refused.refusal),
    }
}

/// What happened in this life of the daemon, to be compared with what it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    packets: u64,
    /// v3 adverts with another interval: counted as errors and accepted all the same.
    other_interval: u64,
    sent: u64,
    sent_zero: u64,
    transitions: u64,
}

/// A host's address on a LAN.
pub fn ipv4_of(lan: usize, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, lan as u8, 0, last)
}

/// Its link-local one. The highest bits of each half are set: addresses are unsigned.
pub fn ipv6_of(lan: usize, last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, lan as u16, 0x8000, 0, 0, last.into())
}

/// The address that adverts of `family` come from.
fn own_address(facts: LinkFacts, family: Family) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => facts.primary_ipv4.map(IpAddr::V4),
        Family::Ipv6 => facts.link_local.ready().map(IpAddr::V6),
    }
}

impl Host {
    pub fn new(id: usize, plan: &Plan, offset: u64) -> Self {
        let link = |n: usize| Link {
            known: None,
            real: Some(LinkFacts {
                ifindex: IfIndex(n as u32 + 2),
                up: true,
                mac: Some(Mac([2, 0, 0, 0, n as u8, id as u8])),
                mtu: 1500,
                primary_ipv4: Some(ipv4_of(n, 10 * id as u8 + 7)),
                link_local: LinkLocal::Ready(ipv6_of(n, 10 * id as u8 + 7)),
            }),
        };
        let links: Vec<Link> = (0..=plan.lans).map(link).collect();
        let members = plan.routers.iter().enumerate().map(|(number, router)| Member {
            frame: frame(router, id, &links[router.lan].real.expect("just made")),
            model: Model::new(router.members[id], router.version, number),
            plan: router.clone(),
            term: 0,
            acknowledged: false,
        });
        Host {
            id,
            engine: None,
            boot: 0,
            paused: false,
            offset,
            members: members.collect(),
            links,
            queue: VecDeque::new(),
            addresses: vec![false; plan.routers.len()],
            tally: Tally::default(),
        }
    }

    pub fn runs(&self) -> bool {
        self.engine.is_some()
    }

    /// When it wants to take a turn, in the world's time.
    pub fn deadline(&mut self) -> Option<u64> {
        match self.engine.as_mut()?.next_deadline() {
            Instant::NEVER => None,
            deadline => Some(deadline.as_nanos().saturating_sub(self.offset)),
        }
    }

    /// Its daemon starts.
    pub fn start(&mut self, now: u64, plan: &Plan, tamper: &Tamper) -> Check<Vec<Effect>> {
        let now = now + self.offset;
        let at = Instant::from_nanos(now);
        let routers = plan.routers.iter().enumerate();
        let params = routers.map(|(n, router)| tamper.configure(params(plan, router, self.id, n)));
        let mut engine = Engine::new(params.collect(), self.links.len());
        for (n, link) in self.links.iter_mut().enumerate() {
            link.known = link.real;
            engine.on_link(at, &LinkChange { link: LinkId(n as u32), facts: link.real });
        }
        ensure!(engine.next_deadline() == Instant::NEVER, "I5", "a timer runs before the start");
        engine.start(at);
        self.engine = Some(engine);
        self.boot += 1;
        self.tally = Tally::default();
        self.queue.clear();
        self.addresses.fill(false);
        for n in 0..self.members.len() {
            self.reframe(n);
            match self.faulty(n) {
                true => self.members[n].model.phase = Phase::Fault,
                false => self.members[n].model.startup(now),
            }
        }
        self.carry_out(tamper)
    }

    /// Its daemon stops in order.
    pub fn stop(&mut self, now: u64, tamper: &Tamper) -> Check<Vec<Effect>> {
        let Some(engine) = &mut self.engine else { return Ok(Vec::new()) };
        engine.stop(Instant::from_nanos(now + self.offset));
        for member in &mut self.members {
            let into = match member.model.phase {
                Phase::Fault => Phase::Fault,
                _ => Phase::Stopped,
            };
            member.model.shutdown(into, true);
        }
        let effects = self.carry_out(tamper)?;
        ensure!(!self.addresses.contains(&true), "I9", "addresses stay on a host that has stopped");
        let views = self.engine.iter().flat_map(Engine::views);
        let running = views.filter(|view| view.deadline != Instant::NEVER).count();
        ensure!(running == 0, "I5", "{running} timers run after the stop");
        self.check_counters(tamper)?;
        self.die();
        Ok(effects)
    }

    /// The machine goes, with all that is on it.
    pub fn die(&mut self) {
        self.engine = None;
        self.paused = false;
        self.queue.clear();
        self.addresses.fill(false);
        for member in &mut self.members {
            member.model.phase = Phase::Stopped;
        }
    }

    /// Queues a report of how interface `n` is now.
    pub fn report_link(&mut self, n: usize) {
        let facts = self.links[n].real;
        self.queue.push_back(Input::Link(LinkChange { link: LinkId(n as u32), facts }));
    }

    /// One turn of the loop: one clock read, drain, judge, carry out the wishes.
    pub fn turn(&mut self, now: u64, plan: &Plan, tamper: &Tamper) -> Check<Vec<Effect>> {
        let now = now + self.offset;
        let at = Instant::from_nanos(now);
        if let Some(engine) = &mut self.engine
            && tamper.judges_before_it_drains()
        {
            engine.on_deadlines(at, usize::MAX);
        }
        let mut told_to_wait = vec![false; self.members.len()];
        while let Some(input) = self.queue.pop_front() {
            self.handle(now, input, tamper, &mut told_to_wait);
        }
        let Some(engine) = &mut self.engine else { return Ok(Vec::new()) };
        for round in 0.. {
            engine.on_deadlines(tamper.judgement_time(at), plan.budget);
            if engine.next_deadline() > at {
                break;
            }
            let bound = 4 * self.members.len() + 4;
            ensure!(round < bound, "I10", "still something due after {round} rounds");
        }
        for member in &mut self.members {
            member.model.fire(now);
        }
        let effects = self.carry_out(tamper)?;
        for effect in &effects {
            if let Effect::Entered { router, from: StateName::Backup, to: StateName::Master } =
                *effect
            {
                ensure!(!told_to_wait[router], "I8", "router {router}: fired over a queued advert");
            }
        }
        Ok(effects)
    }

    fn handle(&mut self, now: u64, input: Input, tamper: &Tamper, told_to_wait: &mut [bool]) {
        let at = Instant::from_nanos(now);
        let Some(engine) = &mut self.engine else { return };
        match input {
            Input::Packet { ifindex, bytes, good } => {
                self.tally.packets += 1;
                let member = match good {
                    true => member_of(&self.members, &self.links, ifindex, &bytes),
                    false => None,
                };
                let view = member.map(|n| engine.view(RouterId(n as u32)));
                if let Some(delivered) = tamper.receive(view, bytes.clone()) {
                    match Advert::parse(&delivered) {
                        Ok(advert) => engine.on_advert(at, ifindex, &advert),
                        Err(refused) => engine.on_malformed(ifindex, &refused),
                    }
                }
                let Some(n) = member else { return };
                let heard = Heard::read(&bytes);
                let Member { model, plan, .. } = &mut self.members[n];
                let own = self.links[plan.lan].known;
                let own = own.and_then(|facts| own_address(facts, plan.family));
                if own == Some(heard.source) {
                    return;
                }
                if model.version == Version::V3 && heard.interval != model.interval() {
                    self.tally.other_interval += 1;
                }
                if let Some(own) = own {
                    told_to_wait[n] |= model.hear(now, own, heard);
                }
            }
            Input::Link(change) => {
                engine.on_link(at, &change);
                self.learn(now, change);
            }
            Input::AddressesSet { router, term } => {
                let member = &mut self.members[router];
                if member.term == term && member.model.is_active() {
                    member.acknowledged = true;
                    engine.on_addresses_set(at, RouterId(router as u32));
                }
            }
            Input::AddressLost { router } => {
                engine.on_address_lost(at, RouterId(router as u32));
                self.members[router].model.lose_address(now);
            }
        }
    }

    /// The daemon learns how an interface is: the model's part.
    fn learn(&mut self, now: u64, change: LinkChange) {
        let link = change.link.index();
        let before = std::mem::replace(&mut self.links[link].known, change.facts);
        let replaced = match (before, change.facts) {
            (Some(before), Some(after)) => before.ifindex != after.ifindex,
            _ => false,
        };
        for n in 0..self.members.len() {
            self.reframe(n);
            let lan = self.members[n].plan.lan;
            let speaks = self.links[lan].known.is_some_and(|facts| facts.up);
            // Another interface by the same name: the one it ran on is gone.
            let gone = replaced && self.depends(n, link);
            let faulty = self.faulty(n);
            let model = &mut self.members[n].model;
            if matches!(model.phase, Phase::Backup { .. } | Phase::Active { .. })
                && (faulty || gone)
            {
                model.shutdown(Phase::Fault, speaks && !(gone && link == lan));
            }
            if model.phase == Phase::Fault && !faulty {
                model.startup(now);
            }
        }
    }

    /// Carries out the engine's wishes and compares them with the model's.
    fn carry_out(&mut self, tamper: &Tamper) -> Check<Vec<Effect>> {
        let mut effects = Vec::new();
        let mut sent: Vec<Vec<u8>> = vec![Vec::new(); self.members.len()];
        while let Some(action) = self.engine.as_mut().and_then(Engine::next_action) {
            let Some(action) = tamper.wish(action) else { continue };
            match action {
                Action::Advertise { router, priority } => {
                    let n = router.index();
                    let member = &mut self.members[n];
                    let lan = member.plan.lan;
                    self.tally.sent += 1;
                    self.tally.sent_zero += u64::from(priority == 0);
                    if let Some(priority) = tamper.patch(priority) {
                        member.frame.set_priority(priority);
                    }
                    let bytes: Rc<[u8]> = member.frame.packet().into();
                    sent[n].push(Heard::read(&bytes).priority);
                    effects.push(Effect::Send { lan, bytes });
                }
                Action::SetAddresses { router } => {
                    let n = router.index();
                    let member = &mut self.members[n];
                    member.term += 1;
                    member.acknowledged = false;
                    self.addresses[n] = true;
                    effects.push(Effect::Set { router: n, term: member.term });
                }
                Action::UnsetAddresses { router } => {
                    self.addresses[router.index()] = false;
                }
                Action::Announce { router, repeat } => {
                    let member = &self.members[router.index()];
                    ensure!(repeat > 0 && member.acknowledged, "I9", "announces what is not set");
                }
                Action::Added { .. }
                | Action::Altered { .. }
                | Action::ChangeAddresses { .. }
                | Action::AnnounceFresh { .. }
                | Action::AnnounceExtra { .. }
                | Action::Reprioritised { .. }
                | Action::GroupEntered { .. }
                | Action::AnnounceSource { .. }
                | Action::Removed { .. } => {
                    ensure!(false, "model", "{action:?} though nothing was configured anew");
                }
                Action::Entered { router, from, to, .. } => {
                    let n = router.index();
                    self.tally.transitions += u64::from(to == StateName::Master);
                    if to != StateName::Master {
                        self.members[n].acknowledged = false;
                    }
                    effects.push(Effect::Entered { router: n, from, to });
                }
                Action::Notice { router, notice } => {
                    let own = matches!(
                        notice,
                        Notice::OtherVersion { .. } | Notice::Authentication { .. }
                    );
                    ensure!(!own, "I6", "router {}: {notice:?} for a good advert", router.index());
                }
                Action::Stray { .. } => {} // garbage, which is on purpose; the counters tell
            }
        }
        self.check_routers(&sent, tamper)?;
        Ok(effects)
    }

    /// What must hold after every turn.
    fn check_routers(&mut self, sent: &[Vec<u8>], tamper: &Tamper) -> Check {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let next = engine.next_deadline();
        let earliest = engine.views().map(|view| view.deadline).min();
        ensure!(
            earliest.is_none_or(|earliest| next <= earliest),
            "I5",
            "would sleep past a deadline"
        );
        for (n, member) in self.members.iter_mut().enumerate() {
            let view = engine.view(RouterId(n as u32));
            let expected = std::mem::take(&mut member.model.sent);
            let contested = std::mem::take(&mut member.model.contested);
            let active = view.state.name() == StateName::Master;
            let there = self.addresses[n];
            ensure!(there == active, "I9", "router {n} {:?}: addresses there: {there}", view.state);
            if tamper.watch != Watch::Everything {
                continue;
            }
            let model = &member.model;
            let (name, deadline, wrong_deadline) = match model.phase {
                Phase::Stopped => (StateName::Init, u64::MAX, "I5"),
                Phase::Fault => (StateName::Fault, u64::MAX, "I5"),
                Phase::Backup { deadline, .. } => (StateName::Backup, deadline, "I5"),
                Phase::Active { next } => (StateName::Master, next, "I7"),
            };
            let wrong_state = if active { "I5" } else { "model" };
            ensure!(
                view.state.name() == name,
                wrong_state,
                "router {n}: {:?}, not {model:?}",
                view.state
            );
            ensure!(
                view.deadline.as_nanos() == deadline,
                wrong_deadline,
                "router {n}: deadline {:?}, not {:?}, {:?}",
                view.deadline,
                Instant::from_nanos(deadline),
                view.state
            );
            let wrong_adverts = match contested {
                true => "I12",
                false if sent[n].contains(&0) != expected.contains(&0) => "I11",
                false => "I7",
            };
            ensure!(
                sent[n] == expected,
                wrong_adverts,
                "router {n} sent {:?}, not {expected:?}",
                sent[n]
            );
            if let (State::Backup(backup), Phase::Backup { interval, .. }) =
                (view.state, model.phase)
            {
                let learned = backup.active_interval.span().as_nanos();
                ensure!(
                    learned == interval,
                    "model",
                    "router {n} learned {learned}, not {interval}"
                );
            }
        }
        Ok(())
    }

    /// Every packet that was handled is counted once, and so is what was sent.
    pub fn check_counters(&self, tamper: &Tamper) -> Check {
        let Some(engine) = &self.engine else { return Ok(()) };
        if tamper.watch == Watch::Network {
            return Ok(());
        }
        let global = engine.unattributed();
        let mut packets = global.checksum_errors
            + global.version_errors
            + global.vrid_errors
            + global.ip_ttl_errors
            + global.invalid_type_pkts_rcvd
            + global.packet_length_errors
            + global.not_vrrp_pkts_rcvd;
        let (mut sent, mut sent_zero, mut transitions) = (0, 0, 0);
        for view in engine.views() {
            let counters = view.counters;
            packets += counters.advertisement_rcvd
                + counters.interval_errors
                + counters.invalid_type_pkts_rcvd
                + counters.packet_length_errors
                + counters.ip_ttl_errors
                + counters.checksum_errors
                + counters.version_errors
                + counters.auth_type_mismatch
                + counters.own_address_rcvd;
            sent += counters.advertisement_sent;
            sent_zero += counters.priority_zero_pkts_sent;
            transitions += counters.master_transitions;
        }
        let tally = self.tally;
        let handled = tally.packets + tally.other_interval;
        ensure!(packets == handled, "I6", "{packets} packets counted, {handled} handled");
        ensure!(
            (sent, sent_zero, transitions) == (tally.sent, tally.sent_zero, tally.transitions),
            "I6",
            "counted {sent} adverts, {sent_zero} of priority 0, {transitions} transitions; {tally:?}"
        );
        Ok(())
    }

    fn depends(&self, n: usize, link: usize) -> bool {
        let plan = &self.members[n].plan;
        link == plan.lan || plan.tracked && link == self.links.len() - 1
    }

    /// Whether member `n` can't run, as far as the daemon knows.
    pub fn faulty(&self, n: usize) -> bool {
        let own = self.links[self.members[n].plan.lan].known;
        let down = |link: usize| !self.links[link].known.is_some_and(|facts| facts.up);
        (0..self.links.len()).any(|link| self.depends(n, link) && down(link))
            || own.is_none_or(|facts| own_address(facts, self.members[n].plan.family).is_none())
    }

    /// Builds the frame of member `n` anew if the address that it is sent from has changed.
    fn reframe(&mut self, n: usize) {
        let member = &mut self.members[n];
        if let Some(facts) = self.links[member.plan.lan].known
            && own_address(facts, member.plan.family).is_some()
        {
            member.frame = frame(&member.plan, self.id, &facts);
        }
    }
}

impl Member {
    /// The advert that it sends, as it was sent last.
    pub fn packet(&self) -> &[u8] {
        self.frame.packet()
    }
}

/// The member that a well-formed packet on `ifindex` is for.
fn member_of(members: &[Member], links: &[Link], ifindex: IfIndex, packet: &[u8]) -> Option<usize> {
    let vrid = Heard::read(packet).vrid;
    members.iter().position(|member| {
        let known = links[member.plan.lan].known;
        member.plan.vrid.get() == vrid && known.is_some_and(|facts| facts.ifindex == ifindex)
    })
}

fn virtual_addresses(plan: &RouterPlan) -> impl Iterator<Item = IpAddr> {
    let vrid = plan.vrid.get();
    let family = plan.family;
    (0..plan.addresses).map(move |n| match family {
        Family::Ipv4 => IpAddr::from([10, 200, vrid, n as u8 + 1]),
        Family::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, u16::from(vrid), n as u16 + 1]),
    })
}

fn params(plan: &Plan, router: &RouterPlan, host: usize, n: usize) -> RouterParams {
    let me = router.members[host];
    let link = if router.tracked { plan.lans } else { router.lan };
    let address = |ip| VirtualAddress {
        ip,
        prefix_len: 24,
        link: LinkId(link as u32),
        broadcast: None,
        label: None,
        scope: Scope::GLOBAL,
        options: None,
    };
    RouterParams {
        name: format!("VI_{n}").into(),
        link: LinkId(router.lan as u32),
        vrid: router.vrid,
        version: router.version,
        transport: Transport { family: router.family, ..Transport::default() },
        checksum_form: router.checksum_form,
        priority: me.priority,
        interval: me.interval,
        preempt: me.preempt,
        tracked_links: Box::default(),
        tracking: viprd::vrrp::Tracking::default(),
        addresses: virtual_addresses(router).map(address).collect(),
        garp: GarpParams {
            delay: Span::from_nanos(plan.unit),
            lower_priority_delay: Span::from_nanos(plan.unit / 2),
            refresh: Span::from_nanos(3 * plan.unit * (n as u64 % 2)),
            ..GarpParams::default()
        },
        conduct: Conduct::default(),
        source_mac: None,
        macvlans: Box::default(),
        accept: true,
        extras: Extras::default(),
    }
}

fn frame(router: &RouterPlan, host: usize, facts: &LinkFacts) -> AdvertFrame {
    let me = router.members[host];
    let addresses: Vec<IpAddr> = virtual_addresses(router).collect();
    AdvertFrame::new(
        &AdvertContent {
            version: router.version,
            vrid: router.vrid,
            priority: me.priority,
            interval: me.interval,
            source: own_address(*facts, router.family).expect("callers have looked"),
            addresses: &addresses,
            checksum_form: router.checksum_form,
            authentication: Authentication::None,
        },
        facts.mac.unwrap_or_default(),
    )
}
