//! The virtual LAN: hosts, links and time; what a plan makes happen, and what must hold on the
//! network whatever happened.

use std::collections::BTreeMap;
use std::rc::Rc;

use viprd::base::{IfIndex, LinkLocal};
use viprd::vrrp::StateName;

use crate::ensure;
use crate::host::{Effect, Host, Input, ipv4_of, ipv6_of, tell};
use crate::model::{Model, Phase};
use crate::plan::{FaultKind, MILLI, Plan};
use crate::random::Random;
use crate::tamper::Tamper;
use crate::violation::Check;

/// Runs a plan to its end. With `tracing`, everything that happens is written down too.
pub fn run(plan: &Plan, tamper: Tamper, tracing: bool) -> (Check<Report>, Vec<String>) {
    let mut world = World::new(plan, tamper, tracing);
    let outcome = world.play();
    (outcome.map(|()| world.report), world.trace)
}

/// How much happened: a simulation in which nothing happens finds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub events: u64,
    pub delivered: u64,
    pub lost: u64,
    pub takeovers: u64,
    pub yields: u64,
    pub faults: u64,
    pub handovers_checked: u64,
    /// Pairs of Actives that met, in any world and in calm ones.
    pub rivals: u64,
    pub calm_rivals: u64,
    /// Virtual routers judged in the end.
    pub judged: u64,
    /// Simulated time, times the routers that lived through it.
    pub router_seconds: u64,
}

impl Report {
    pub fn add(&mut self, other: &Report) {
        let sums = [
            (&mut self.events, other.events),
            (&mut self.delivered, other.delivered),
            (&mut self.lost, other.lost),
            (&mut self.takeovers, other.takeovers),
            (&mut self.yields, other.yields),
            (&mut self.faults, other.faults),
            (&mut self.handovers_checked, other.handovers_checked),
            (&mut self.rivals, other.rivals),
            (&mut self.calm_rivals, other.calm_rivals),
            (&mut self.judged, other.judged),
            (&mut self.router_seconds, other.router_seconds),
        ];
        for (sum, more) in sums {
            *sum += more;
        }
    }
}

struct World<'p> {
    plan: &'p Plan,
    tamper: Tamper,
    random: Random,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    hosts: Vec<Host>,
    /// For each host: the turn that it has asked for.
    wakes: Vec<Option<u64>>,
    /// `cut[lan][from][to]`: nothing passes.
    cut: Vec<Vec<Vec<bool>>>,
    /// The last arrival on each path, which only a reordered packet overtakes.
    last_arrival: BTreeMap<(usize, usize, usize), u64>,
    /// Since when each host is Active: `active[router][host]`.
    active: Vec<Vec<Option<u64>>>,
    /// Latest orderly handover under watch, by router.
    handover: Vec<u64>,
    faults_left: usize,
    healed: bool,
    /// Who was Active when each router was judged.
    judged: Vec<Option<(usize, u64)>>,
    report: Report,
    trace: Vec<String>,
    tracing: bool,
}

#[derive(Clone, Debug)]
enum Event {
    Arrive { lan: usize, to: usize, bytes: Rc<[u8]>, good: bool },
    Wake { host: usize },
    Acknowledge { host: usize, boot: u64, router: usize, term: u64 },
    Start { host: usize },
    Resume { host: usize },
    Restore { host: usize, link: usize },
    Reconnect { lan: usize },
    Fault,
    Handover { router: usize, watch: u64 },
    Heal,
    Judge { router: usize },
    End,
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, tamper: Tamper, tracing: bool) -> Self {
        let mut random = Random::new(plan.seed ^ 0x5eed);
        let hosts = (0..plan.hosts).map(|id| Host::new(id, plan, random.below(1 << 50))).collect();
        let cut = vec![vec![vec![false; plan.hosts]; plan.hosts]; plan.lans];
        World {
            plan,
            tamper,
            random,
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            hosts,
            wakes: vec![None; plan.hosts],
            cut,
            last_arrival: BTreeMap::new(),
            active: vec![vec![None; plan.hosts]; plan.routers.len()],
            handover: vec![0; plan.routers.len()],
            faults_left: plan.steps,
            healed: false,
            judged: vec![None; plan.routers.len()],
            report: Report::default(),
            trace: Vec::new(),
            tracing,
        }
    }

    fn play(&mut self) -> Check {
        for host in 0..self.hosts.len() {
            let after = self.random.below(2 * self.plan.unit);
            self.at(after, Event::Start { host });
        }
        self.at(4 * self.plan.unit, Event::Fault);
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            self.report.events += 1;
            if matches!(event, Event::End) {
                return self.end();
            }
            self.happen(event)?;
        }
        unreachable!("the plan ends with `End`")
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Arrive { lan, to, bytes, good } => self.arrive(lan, to, bytes, good),
            Event::Wake { host } => {
                if self.wakes[host] != Some(self.now) {
                    return Ok(()); // it has asked for another time since
                }
                self.wakes[host] = None;
                self.turn(host)
            }
            Event::Acknowledge { host, boot, router, term } => {
                if self.hosts[host].boot == boot && self.hosts[host].runs() {
                    self.hosts[host].queue.push_back(Input::AddressesSet { router, term });
                }
                self.turn(host)
            }
            Event::Start { host } => self.start(host),
            Event::Resume { host } => {
                self.hosts[host].paused = false;
                self.note(|| format!("host {host} goes on"));
                self.turn(host)
            }
            Event::Restore { host, link } => self.restore(host, link),
            Event::Reconnect { lan } => {
                self.note(|| format!("LAN {lan} is whole again"));
                self.cut[lan].iter_mut().flatten().for_each(|cut| *cut = false);
                Ok(())
            }
            Event::Fault => self.next_fault(),
            Event::Handover { router, watch } => self.check_handover(router, watch),
            Event::Heal => self.heal(),
            Event::Judge { router } => self.judge(router),
            Event::End => unreachable!("handled by `play`"),
        }
    }

    // The network.

    fn send(&mut self, from: usize, lan: usize, bytes: &Rc<[u8]>) {
        let net = self.plan.net;
        if !self.carries(from, lan) {
            return;
        }
        for to in 0..self.hosts.len() {
            if self.cut[lan][from][to] || (to == from && !net.hairpin) {
                continue;
            }
            let rough = !self.healed;
            if rough && self.random.chance(net.loss) {
                self.report.lost += 1;
                continue;
            }
            let copies = 1 + u64::from(rough && self.random.chance(net.duplicate));
            for _ in 0..copies {
                let late = rough && self.random.chance(net.reorder);
                let mut arrival = self.now + self.random.between(net.delay_min, net.delay_max);
                if late {
                    arrival += self.random.below(net.reorder_delay);
                } else {
                    let last = self.last_arrival.entry((lan, from, to)).or_default();
                    arrival = arrival.max(*last);
                    *last = arrival;
                }
                let bytes = bytes.clone();
                self.at(arrival - self.now, Event::Arrive { lan, to, bytes, good: true });
            }
        }
    }

    fn arrive(&mut self, lan: usize, to: usize, bytes: Rc<[u8]>, good: bool) -> Check {
        let full = self.hosts[to].queue.len() >= self.plan.net.queue && !self.healed;
        if !self.hosts[to].runs() || !self.carries(to, lan) || full {
            self.report.lost += 1;
            return Ok(());
        }
        let Some(facts) = self.hosts[to].links[lan].real else { return Ok(()) };
        self.report.delivered += 1;
        self.note(|| format!("   host {to} hears {}", tell(&bytes)));
        let packet = Input::Packet { ifindex: facts.ifindex, bytes, good };
        self.hosts[to].queue.push_back(packet);
        self.turn(to)
    }

    fn carries(&self, host: usize, lan: usize) -> bool {
        self.hosts[host].links[lan].real.is_some_and(|facts| facts.up)
    }

    // The hosts.

    fn turn(&mut self, host: usize) -> Check {
        if self.hosts[host].paused || !self.hosts[host].runs() {
            return Ok(());
        }
        let effects = self.hosts[host].turn(self.now, self.plan, &self.tamper)?;
        self.apply(host, effects)
    }

    fn start(&mut self, host: usize) -> Check {
        if self.hosts[host].runs() {
            return Ok(());
        }
        self.note(|| format!("host {host} starts"));
        self.forget_handovers();
        let effects = self.hosts[host].start(self.now, self.plan, &self.tamper)?;
        self.apply(host, effects)
    }

    fn apply(&mut self, host: usize, effects: Vec<Effect>) -> Check {
        for effect in effects {
            self.note(|| format!("   host {host}: {effect:?}"));
            match effect {
                Effect::Send { lan, bytes } => self.send(host, lan, &bytes),
                Effect::Set { router, term } => {
                    let boot = self.hosts[host].boot;
                    let after = self.random.below(self.plan.unit / 50);
                    self.at(after, Event::Acknowledge { host, boot, router, term });
                }
                Effect::Entered { router, from, to } => self.entered(host, router, from, to)?,
            }
        }
        self.schedule_wake(host)
    }

    fn schedule_wake(&mut self, host: usize) -> Check {
        let deadline = self.hosts[host].deadline();
        let Some(deadline) = deadline else {
            self.wakes[host] = None;
            return Ok(());
        };
        ensure!(deadline > self.now, "I10", "host {host} wants to be woken at once again");
        let latest = deadline + self.plan.wake_latency;
        if self.wakes[host].is_none_or(|wake| wake < deadline || wake > latest) {
            let wake = self.random.between(deadline, latest);
            self.wakes[host] = Some(wake);
            self.at(wake - self.now, Event::Wake { host });
        }
        Ok(())
    }

    // What goes wrong.

    fn next_fault(&mut self) -> Check {
        if self.faults_left == 0 || self.plan.faults.is_empty() {
            let gap = self.random_gap();
            self.at(gap, Event::Heal);
            return Ok(());
        }
        self.faults_left -= 1;
        let gap = self.random_gap();
        self.at(gap, Event::Fault);
        let total: u64 = self.plan.faults.iter().map(|(_, weight)| weight).sum();
        let mut ticket = self.random.below(total);
        for &(kind, weight) in &self.plan.faults {
            if ticket < weight {
                return self.fault(kind);
            }
            ticket -= weight;
        }
        Ok(())
    }

    fn random_gap(&mut self) -> u64 {
        match self.random.chance(200) {
            true => self.random.below(self.plan.unit / 10), // faults upon faults
            false => self.random.below(6 * self.plan.unit),
        }
    }

    fn fault(&mut self, kind: FaultKind) -> Check {
        self.report.faults += 1;
        let host = self.random.index(self.hosts.len());
        let lan = self.random.index(self.plan.lans);
        let lasting = self.random.below(7 * self.plan.unit);
        self.note(|| format!("{kind:?}: host {host}, LAN {lan}, for {} ms", lasting / MILLI));
        if kind != FaultKind::Garbage {
            self.forget_handovers();
        }
        match kind {
            FaultKind::Stop => {
                if self.hosts[host].runs() && !self.hosts[host].paused {
                    self.watch_handovers(host);
                    let effects = self.hosts[host].stop(self.now, &self.tamper)?;
                    self.apply(host, effects)?;
                    self.gone(host)?;
                }
                self.at(lasting, Event::Start { host });
            }
            FaultKind::Crash => {
                self.hosts[host].die();
                self.gone(host)?;
                self.at(lasting, Event::Start { host });
            }
            FaultKind::Pause => {
                if !self.hosts[host].paused {
                    self.hosts[host].paused = true;
                    self.at(lasting, Event::Resume { host });
                }
            }
            FaultKind::Partition => {
                let sides: Vec<bool> = self.hosts.iter().map(|_| self.random.chance(500)).collect();
                for (from, row) in self.cut[lan].iter_mut().enumerate() {
                    for (to, cut) in row.iter_mut().enumerate() {
                        *cut |= sides[from] != sides[to];
                    }
                }
                self.at(lasting, Event::Reconnect { lan });
            }
            FaultKind::OneWay => {
                let deaf = self.random.index(self.hosts.len());
                self.cut[lan][host][deaf] |= host != deaf;
                self.at(lasting, Event::Reconnect { lan });
            }
            FaultKind::LinkDown => {
                self.change_link(host, lan, |facts| facts.up = false)?;
                self.at(lasting, Event::Restore { host, link: lan });
            }
            FaultKind::ServiceDown => {
                let service = self.plan.lans;
                if self.hosts[host].runs() && !self.hosts[host].paused {
                    self.watch_handovers(host);
                }
                self.change_link(host, service, |facts| facts.up = false)?;
                self.at(lasting, Event::Restore { host, link: service });
            }
            FaultKind::AddressGone => {
                self.change_link(host, lan, |facts| {
                    (facts.primary_ipv4, facts.link_local) = (None, LinkLocal::None);
                })?;
                self.at(lasting, Event::Restore { host, link: lan });
            }
            FaultKind::Renumber => {
                // Any address but another host's: hosts have 7, 17, 27, … and n × 10 to n × 10 + 9.
                let last = 10 * host as u8 + self.random.below(10) as u8 + 1;
                self.change_link(host, lan, |facts| {
                    if facts.primary_ipv4.is_some() {
                        facts.primary_ipv4 = Some(ipv4_of(lan, last));
                        facts.link_local = LinkLocal::Ready(ipv6_of(lan, last));
                    }
                })?;
            }
            FaultKind::LinkReplaced => {
                let link = self.random.index(self.plan.lans + 1);
                if self.random.chance(500) {
                    // The daemon sees it go and, if there is time, come back.
                    let old = self.hosts[host].links[link].real.take();
                    self.hosts[host].report_link(link);
                    self.turn(host)?;
                    self.hosts[host].links[link].real = old;
                }
                let index = IfIndex(1_000 + self.sequence as u32);
                self.change_link(host, link, |facts| facts.ifindex = index)?;
            }
            FaultKind::VirtualAddressLost => {
                let router = self.random.index(self.plan.routers.len());
                if self.hosts[host].runs() {
                    self.hosts[host].queue.push_back(Input::AddressLost { router });
                    self.turn(host)?;
                }
            }
            FaultKind::Garbage => {
                for _ in 0..self.random.between(1, 5) {
                    let bytes = self.garbage();
                    self.arrive(lan, host, bytes, false)?;
                }
            }
        }
        Ok(())
    }

    fn change_link(
        &mut self,
        host: usize,
        link: usize,
        change: impl Fn(&mut viprd::base::LinkFacts),
    ) -> Check {
        if let Some(facts) = &mut self.hosts[host].links[link].real {
            change(facts);
        }
        if self.hosts[host].runs() {
            self.hosts[host].report_link(link);
        }
        self.turn(host)
    }

    fn restore(&mut self, host: usize, link: usize) -> Check {
        self.note(|| format!("host {host}: link {link} is well again"));
        self.forget_handovers();
        self.change_link(host, link, |facts| {
            facts.up = true;
            if facts.primary_ipv4.is_none() {
                let last = 10 * host as u8 + 7;
                facts.primary_ipv4 = Some(ipv4_of(link, last));
                facts.link_local = LinkLocal::Ready(ipv6_of(link, last));
            }
        })
    }

    /// Bytes that must be counted and change nothing: noise, or an advert with one thing wrong.
    fn garbage(&mut self) -> Rc<[u8]> {
        let router = self.random.index(self.plan.routers.len());
        let mut bytes = self.hosts[0].members[router].packet().to_vec();
        let (ttl, message) = if bytes[0] >> 4 == 6 { (7, 40) } else { (8, 20) };
        match self.random.below(6) {
            0 => bytes.iter_mut().for_each(|byte| *byte = self.random.next() as u8),
            1 => bytes.truncate(self.random.index(bytes.len())),
            2 => bytes[ttl] = self.random.below(255) as u8,
            3 => bytes[message] ^= 1 << self.random.below(8), // version, type
            4 => bytes[message + 6] ^= 1 << self.random.below(8), // checksum
            _ => bytes[message + 1] ^= 1 << self.random.below(8), // vrid; the checksum is wrong too
        }
        bytes.into()
    }

    /// Everything that was broken is whole from now on.
    fn heal(&mut self) -> Check {
        self.note(|| "everything heals".to_owned());
        self.healed = true;
        self.forget_handovers();
        for lan in 0..self.plan.lans {
            self.happen(Event::Reconnect { lan })?;
        }
        for host in 0..self.hosts.len() {
            for link in 0..=self.plan.lans {
                self.restore(host, link)?;
            }
            if self.hosts[host].paused {
                self.happen(Event::Resume { host })?;
            }
            self.start(host)?;
        }
        // What is still on its way from before may be late; after it everything is as it should be.
        let settle = self.plan.net.delay_max + self.plan.net.reorder_delay;
        let mut last = 0;
        for router in 0..self.plan.routers.len() {
            let models = || self.hosts.iter().map(|host| &host.members[router].model);
            let longest = models().map(Model::interval).max().unwrap_or(0);
            let down = models().map(|model| model.down_interval(longest)).max().unwrap_or(0);
            let delay = models().map(Model::preempt_delay).max().unwrap_or(0);
            let slack = 20 * (self.plan.wake_latency + self.plan.net.delay_max) + MILLI;
            let judge = settle + 2 * down + delay + slack;
            self.at(judge, Event::Judge { router });
            last = last.max(judge);
        }
        // And it stays that way.
        self.at(last + 6 * self.plan.unit, Event::End);
        Ok(())
    }

    // What must hold.

    fn entered(&mut self, host: usize, router: usize, from: StateName, to: StateName) -> Check {
        if to == StateName::Master {
            self.report.takeovers += 1;
            self.active[router][host] = Some(self.now);
        } else if from == StateName::Master {
            self.report.yields += u64::from(to == StateName::Backup);
            self.not_active(router, host)?;
        }
        let judged = self.judged[router];
        ensure!(
            judged.is_none(),
            "I1",
            "router {router}: host {host} {from:?} → {to:?} after all was settled"
        );
        Ok(())
    }

    /// A host is gone, and with it all that it was.
    fn gone(&mut self, host: usize) -> Check {
        self.wakes[host] = None;
        for router in 0..self.plan.routers.len() {
            self.not_active(router, host)?;
        }
        Ok(())
    }

    /// I3: in a calm world two routers are Active together no longer than it takes to settle it.
    fn not_active(&mut self, router: usize, host: usize) -> Check {
        let Some(since) = self.active[router][host].take() else { return Ok(()) };
        for other in 0..self.hosts.len() {
            let Some(rival) = self.active[router][other] else { continue };
            let together = self.now - since.max(rival);
            self.report.rivals += 1;
            self.report.calm_rivals += u64::from(self.plan.calm);
            let bound = self.longest_rivalry();
            ensure!(
                !self.plan.calm || together <= bound,
                "I3",
                "router {router}: hosts {host} and {other} both Active for {together} ns, not {bound}"
            );
        }
        Ok(())
    }

    /// The longest that a needless rivalry lasts: an advert to the better router and its answer back.
    ///
    /// Usually one way is enough. But a newcomer with a short interval may take over before it hears
    /// the Active's next advert, and a priority 0 that overtakes nothing on its own path may still
    /// arrive after the first advert of the router that took over because of it (seed 1312 with 60
    /// steps): section 6.4.2 has a Backup believe it whoever sent it.
    fn longest_rivalry(&self) -> u64 {
        2 * self.plan.net.delay_max
    }

    /// I4: when an Active leaves in order, the best Backup that hears it takes over within its
    /// skew. To be called before it leaves; only calm worlds promise that it is heard.
    fn watch_handovers(&mut self, host: usize) {
        for router in 0..self.plan.routers.len() {
            let models = || self.hosts.iter().map(|host| &host.members[router].model);
            let longest = models().map(Model::interval).max().unwrap_or(0);
            let heirs = models().filter(|model| matches!(model.phase, Phase::Backup { .. }));
            let skew = heirs.map(|model| model.skew(longest)).min();
            let leaves = self.hosts[host].members[router].model.is_active();
            let alone = self.active[router].iter().flatten().count() == 1;
            if let Some(skew) = skew
                && self.plan.calm
                && leaves
                && alone
            {
                let within = skew + self.plan.net.delay_max + self.plan.wake_latency + 1;
                let watch = self.handover[router];
                self.at(within, Event::Handover { router, watch });
            }
        }
    }

    fn forget_handovers(&mut self) {
        self.handover.iter_mut().for_each(|watch| *watch += 1);
    }

    fn check_handover(&mut self, router: usize, watch: u64) -> Check {
        if self.handover[router] == watch {
            self.report.handovers_checked += 1;
            let somebody = self.active[router].iter().any(Option::is_some);
            ensure!(somebody, "I4", "router {router}: nobody took over within the skew time");
        }
        Ok(())
    }

    /// I1 and I2: exactly one is Active, and it is one that may be.
    fn judge(&mut self, router: usize) -> Check {
        self.report.judged += 1;
        let active: Vec<usize> =
            (0..self.hosts.len()).filter(|&host| self.active[router][host].is_some()).collect();
        ensure!(active.len() == 1, "I1", "router {router}: Active are hosts {active:?}");
        let holder = &self.hosts[active[0]].members[router].model;
        for host in &self.hosts {
            let rival = &host.members[router].model;
            let outranked = rival.me.priority > holder.me.priority && rival.ever_preempts();
            ensure!(
                !outranked,
                "I2",
                "router {router}: host {} should be Active, not {}",
                host.id,
                active[0]
            );
        }
        self.judged[router] = Some((active[0], self.now));
        Ok(())
    }

    fn end(&mut self) -> Check {
        for host in &self.hosts {
            host.check_counters(&self.tamper)?;
        }
        let members = (self.plan.routers.len() * self.hosts.len()) as u64;
        self.report.router_seconds = self.now / (1_000 * MILLI) * members;
        Ok(())
    }

    fn at(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.tracing {
            self.trace.push(format!("{:>12.6} {}", self.now as f64 / 1e9, line()));
        }
    }
}
