//! The whole room against a model of the kernel: whatever is wished, answered, lost, or done by
//! others, in whatever order it is read, in the end the addresses are as wished and everybody has
//! been told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::model::{Kernel, Received};
use super::{Fact, Host, Socket, Wish};
use crate::base::{
    Family, LinkFacts, LinkId, LinkNames, Network, NextHop, Position, Route, Rule, Scope, TrackId,
    VirtualAddress, Way, WayKind,
};

const LINKS: [&str; 2] = ["eth0", "eth1"];
const OWNERS: u32 = 3;

/// The virtual addresses: on each link three in one subnet, one beside it, and an IPv6 one.
fn addresses() -> Vec<VirtualAddress> {
    let mut all = Vec::new();
    for link in 0..LINKS.len() as u8 {
        let address = |ip, prefix_len| VirtualAddress {
            ip,
            prefix_len,
            link: LinkId(link.into()),
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
            options: None,
        };
        all.extend((1..=3).map(|n| address(Ipv4Addr::new(10, link, 0, n).into(), 24)));
        all.push(address(Ipv4Addr::new(10, link, 9, 9).into(), 32));
        all.push(address(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, link.into(), 1).into(), 128));
    }
    all
}

/// Addresses that adverts might be sent from: all that there can be.
fn sources() -> Vec<(TrackId, IpAddr)> {
    let all = addresses().into_iter().map(|it| it.ip);
    let all: BTreeSet<IpAddr> = all.chain(REAL.iter().map(|&(ip, _)| ip.into())).collect();
    (0..).map(TrackId).zip(all).collect()
}

/// Routes and rules, each with its number: a route of each family on each link, one with a source,
/// one that refuses, and a rule.
fn ways() -> Vec<(u32, Way)> {
    let route = |number: u8, link: Option<u32>, six: bool, source: Option<Ipv4Addr>| {
        let to = match six {
            false => Network::of(Ipv4Addr::new(10, 20, number, 0).into(), 24),
            true => {
                let ip = Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, 0);
                Network::of(ip.into(), 48)
            }
        };
        let hop = |link| NextHop { link: Some(LinkId(link)), ..NextHop::default() };
        let route = Route {
            kind: if link.is_some() { 1 } else { 6 },
            to,
            from: None,
            source: source.map(IpAddr::V4),
            table: 254,
            vrf: None,
            protocol: 18,
            scope: 0,
            tos: 0,
            metric: six.then_some(1024),
            hops: link.map(hop).into_iter().collect(),
            metrics: Box::default(),
            locked: 0,
            congestion: None,
            preference: None,
            expires: None,
            ttl_propagate: None,
            position: Position::First,
        };
        (number.into(), Way { what: WayKind::Route(Box::new(route)), tracked: true })
    };
    let rule = Rule {
        family: Family::Ipv4,
        action: 1,
        invert: false,
        from: Some(Network::of(Ipv4Addr::new(10, 0, 0, 0).into(), 8)),
        to: None,
        tos: 0,
        table: 100,
        preference: Some(7),
        iif: None,
        oif: None,
        mark: None,
        mask: None,
        realms: 0,
        suppress_length: None,
        suppress_group: None,
        tunnel: 0,
        users: None,
        l3mdev: false,
        protocol: 18,
        ip_protocol: 0,
        source_ports: None,
        destination_ports: None,
        goto: None,
    };
    vec![
        route(1, Some(0), false, None),
        route(2, Some(1), false, None),
        route(3, Some(0), true, None),
        route(4, Some(1), true, None),
        route(5, Some(0), false, Some(Ipv4Addr::new(10, 0, 0, 2))),
        route(6, None, false, None),
        (7, Way { what: WayKind::Rule(Box::new(rule)), tracked: true }),
    ]
}

/// Addresses that are nobody's wish.
const REAL: [(Ipv4Addr, u8); 2] =
    [(Ipv4Addr::new(192, 0, 2, 1), 24), (Ipv4Addr::new(10, 0, 0, 200), 24)];

#[derive(Clone, Debug)]
enum Act {
    Set(u32, u16),
    Unset(u32, u16),
    /// Other routes and rules, without and with addresses.
    Want(u32, u16, u16),
    ForeignDeleteWay(u32),
    ForeignAddWay,
    Send(u8),
    ReadCommand(u8),
    ReadMonitor(u8),
    /// A datagram of the command socket is truncated, or a send fails.
    TruncateCommand,
    TruncateMonitor,
    FailSend,
    ForeignDelete(usize),
    ForeignAdd(usize),
    RealAdd(usize, usize),
    RealDelete(usize, usize),
    Up(usize, bool),
    Carrier(usize, bool),
    Delete(usize),
    Create(usize),
    RenameAway(usize),
    RenameBack(usize),
    Swap,
    Refuse(usize),
    AllowAll,
    Promote(bool),
    Late,
    Settle,
    Configure(u16),
}

fn act() -> impl Strategy<Value = Act> {
    let owner = || 0..OWNERS;
    let mask = any::<u16>;
    let link = || 0..LINKS.len();
    let address = || 0..addresses().len();
    prop_oneof![
        6 => (owner(), mask()).prop_map(|(owner, mask)| Act::Set(owner, mask)),
        6 => (owner(), mask()).prop_map(|(owner, mask)| Act::Unset(owner, mask)),
        4 => (owner(), mask(), mask()).prop_map(|(owner, ways, set)| Act::Want(owner, ways, set)),
        3 => (1..8u32).prop_map(Act::ForeignDeleteWay),
        2 => Just(Act::ForeignAddWay),
        8 => (1..4u8).prop_map(Act::Send),
        8 => (1..9u8).prop_map(Act::ReadCommand),
        8 => (1..9u8).prop_map(Act::ReadMonitor),
        1 => Just(Act::TruncateCommand),
        1 => Just(Act::TruncateMonitor),
        1 => Just(Act::FailSend),
        4 => address().prop_map(Act::ForeignDelete),
        3 => address().prop_map(Act::ForeignAdd),
        1 => (link(), 0..REAL.len()).prop_map(|(link, real)| Act::RealAdd(link, real)),
        1 => (link(), 0..REAL.len()).prop_map(|(link, real)| Act::RealDelete(link, real)),
        2 => (link(), any::<bool>()).prop_map(|(link, up)| Act::Up(link, up)),
        1 => (link(), any::<bool>()).prop_map(|(link, up)| Act::Carrier(link, up)),
        1 => link().prop_map(Act::Delete),
        2 => link().prop_map(Act::Create),
        1 => link().prop_map(Act::RenameAway),
        2 => link().prop_map(Act::RenameBack),
        1 => Just(Act::Swap),
        1 => address().prop_map(Act::Refuse),
        1 => Just(Act::AllowAll),
        1 => any::<bool>().prop_map(Act::Promote),
        2 => Just(Act::Late),
        1 => Just(Act::Settle),
        1 => mask().prop_map(Act::Configure),
    ]
}

struct World {
    host: Host,
    kernel: Kernel,
    all: Vec<VirtualAddress>,
    /// What each owner wants.
    wants: BTreeMap<u32, BTreeSet<usize>>,
    /// The same of routes and rules.
    wants_ways: BTreeMap<u32, BTreeSet<usize>>,
    /// Owners some of whose routes and rules were deleted or refused.
    missing_ways: BTreeSet<u32>,
    lost_ways: BTreeMap<(u32, u32), usize>,
    /// What the configuration names.
    named: BTreeSet<usize>,
    /// What each owner has to be told yet.
    due: BTreeMap<u32, Wish>,
    /// Taken away or refused: to be wished for again.
    missing: BTreeSet<(u32, IpAddr)>,
    lost: BTreeMap<(IpAddr, u32), usize>,
    links: BTreeMap<LinkId, Option<LinkFacts>>,
    /// Whether the host has each of [`sources`], as told.
    sources: BTreeMap<TrackId, bool>,
    synchronised: bool,
}

impl World {
    fn new(monitor_capacity: usize, command_capacity: usize) -> Self {
        let mut names = LinkNames::default();
        for name in LINKS {
            names.intern(name);
        }
        let mut world = World {
            host: Host::new(&names),
            kernel: Kernel::new(monitor_capacity, command_capacity),
            all: addresses(),
            wants: BTreeMap::new(),
            wants_ways: BTreeMap::new(),
            missing_ways: BTreeSet::new(),
            lost_ways: BTreeMap::new(),
            named: (0..addresses().len()).collect(),
            due: BTreeMap::new(),
            missing: BTreeSet::new(),
            lost: BTreeMap::new(),
            links: BTreeMap::new(),
            sources: BTreeMap::new(),
            synchronised: false,
        };
        world.kernel.create("lo");
        for name in LINKS {
            world.kernel.create(name);
        }
        world.host.configure(&world.all);
        world.host.watch_sources(sources());
        let ways = ways();
        world.host.configure_ways(ways.iter().map(|(_, way)| way));
        world
    }

    fn chosen(&self, mask: u16) -> Vec<usize> {
        (0..self.all.len()).filter(|number| mask >> number & 1 == 1).collect()
    }

    fn wish(&mut self, wish: Wish, owner: u32, mask: u16) {
        let chosen = self.chosen(mask);
        let list: Vec<_> = chosen.iter().map(|&number| self.all[number].clone()).collect();
        let wants = self.wants.entry(owner).or_default();
        match wish {
            Wish::Set => {
                wants.extend(chosen);
                self.host.set(owner, &list);
            }
            Wish::Unset => {
                wants.retain(|number| !chosen.contains(number));
                self.host.unset(owner, &list);
            }
        }
        self.due.insert(owner, wish);
    }

    fn want_ways(&mut self, owner: u32, mask: u16) {
        let all = ways();
        let chosen: BTreeSet<usize> =
            (0..all.len()).filter(|number| mask >> number & 1 == 1).collect();
        self.host.want_ways(owner, chosen.iter().map(|&number| &all[number].1));
        self.wants_ways.insert(owner, chosen);
    }

    fn act(&mut self, act: &Act) {
        trace(format_args!("{act:?}"));
        let away = |link: usize| format!("{}-away", LINKS[link]);
        match *act {
            Act::Set(owner, mask) => self.wish(Wish::Set, owner, mask),
            Act::Unset(owner, mask) => self.wish(Wish::Unset, owner, mask),
            Act::Want(owner, mask, set) => {
                self.want_ways(owner, mask);
                match set & 1 {
                    0 => self.host.settle_ways(owner),
                    _ => self.wish(Wish::Set, owner, set >> 1),
                }
            }
            Act::ForeignDeleteWay(number) => self.kernel.foreign_delete_way(number),
            Act::ForeignAddWay => self.kernel.foreign_add_way(),
            Act::Send(count) => {
                for _ in 0..count {
                    self.send();
                }
            }
            Act::ReadCommand(count) => {
                for _ in 0..count {
                    self.read_command();
                }
            }
            Act::ReadMonitor(count) => {
                for _ in 0..count {
                    self.read_monitor();
                }
            }
            Act::TruncateCommand => {
                if self.kernel.receive_command().is_some() {
                    self.host.on_command_lost();
                }
            }
            Act::TruncateMonitor => {
                if self.kernel.receive_monitor().is_some() {
                    self.host.on_monitor_overrun();
                }
            }
            Act::FailSend => {
                let mut buffer = [0; Host::REQUEST_BUFFER];
                match self.host.next_request(&mut buffer).map(|request| request.to) {
                    Some(Socket::Command) => self.host.on_command_lost(),
                    Some(Socket::Monitor) => self.host.on_monitor_overrun(),
                    None => {}
                }
            }
            Act::ForeignDelete(number) => {
                let it = &self.all[number];
                self.kernel.foreign_delete(LINKS[it.link.index()], it.ip, it.prefix_len);
            }
            Act::ForeignAdd(number) => {
                let it = &self.all[number];
                self.kernel.foreign_add(LINKS[it.link.index()], it.ip, it.prefix_len);
            }
            Act::RealAdd(link, real) => {
                self.kernel.foreign_add(LINKS[link], REAL[real].0.into(), REAL[real].1);
            }
            Act::RealDelete(link, real) => {
                self.kernel.foreign_delete(LINKS[link], REAL[real].0.into(), REAL[real].1);
            }
            Act::Up(link, up) => self.kernel.set_up(LINKS[link], up),
            Act::Carrier(link, running) => self.kernel.set_carrier(LINKS[link], running),
            Act::Delete(link) => self.kernel.delete(LINKS[link]),
            Act::Create(link) => self.kernel.create(LINKS[link]),
            Act::RenameAway(link) => self.kernel.rename(LINKS[link], &away(link)),
            Act::RenameBack(link) => self.kernel.rename(&away(link), LINKS[link]),
            Act::Swap => {
                self.kernel.rename(LINKS[0], "swap");
                self.kernel.rename(LINKS[1], LINKS[0]);
                self.kernel.rename("swap", LINKS[1]);
            }
            Act::Refuse(number) => {
                self.kernel.refused.insert(self.all[number].ip);
            }
            Act::AllowAll => self.kernel.refused.clear(),
            Act::Promote(promote) => self.kernel.promote = promote,
            Act::Late => self.kernel.tell_late(),
            Act::Settle => self.settle(),
            Act::Configure(mask) => {
                let chosen = self.chosen(mask);
                let wanted: BTreeSet<usize> = self.wants.values().flatten().copied().collect();
                let named = chosen.iter().chain(&wanted).map(|&number| &self.all[number]);
                self.host.configure(named);
                self.named = chosen.into_iter().chain(wanted).collect();
            }
        }
        self.note_facts();
    }

    fn send(&mut self) -> bool {
        let mut buffer = [0; Host::REQUEST_BUFFER];
        let Some(request) = self.host.next_request(&mut buffer) else {
            return false;
        };
        trace_messages("send", &buffer[..request.len]);
        match request.to {
            Socket::Command => self.kernel.send_command(&buffer[..request.len]),
            Socket::Monitor => self.kernel.send_monitor(&buffer[..request.len]),
        }
        true
    }

    fn read_command(&mut self) -> bool {
        match self.kernel.receive_command() {
            Some(Received::Datagram(bytes)) => {
                trace_messages("command", &bytes);
                self.host.on_command(&bytes);
            }
            Some(Received::Overrun) => self.host.on_command_lost(),
            None => return false,
        }
        true
    }

    fn read_monitor(&mut self) -> bool {
        match self.kernel.receive_monitor() {
            Some(Received::Datagram(bytes)) => {
                trace_messages("monitor", &bytes);
                self.host.on_monitor(&bytes);
            }
            Some(Received::Overrun) => self.host.on_monitor_overrun(),
            None => return false,
        }
        true
    }

    /// Reads and sends until nothing happens any more.
    fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..10_000 {
            self.kernel.tell_late();
            let busy = [self.send(), self.read_command(), self.read_monitor()];
            self.note_facts();
            // A fact that has been taken may make something to be sent.
            idle = if busy == [false; 3] { idle + 1 } else { 0 };
            if idle == 2 {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn note_facts(&mut self) {
        while let Some(fact) = self.host.next_fact() {
            trace(format_args!("{fact:?}"));
            match fact {
                Fact::Link(change) => {
                    let before = self.links.insert(change.link, change.facts);
                    assert_ne!(before, Some(change.facts), "no change");
                }
                Fact::Set { owner } => {
                    if self.due.get(&owner) == Some(&Wish::Set) {
                        self.due.remove(&owner);
                    }
                }
                Fact::Unset { owner } => {
                    if self.due.get(&owner) == Some(&Wish::Unset) {
                        self.due.remove(&owner);
                    }
                }
                Fact::Refused { owner, ip, .. } => {
                    self.missing.insert((owner, ip));
                }
                Fact::AddressLost { owner, ip, .. } => {
                    self.missing.insert((owner, ip));
                    *self.lost.entry((ip, owner)).or_default() += 1;
                }
                Fact::Synchronised => {
                    assert!(!self.synchronised);
                    self.synchronised = true;
                }
                Fact::Source { source, present } => {
                    let before = self.sources.insert(source, present);
                    assert_ne!(before, Some(present), "no news");
                }
                Fact::TakenAlong { .. }
                | Fact::Kept { .. }
                | Fact::LeftoversRemoved { .. }
                | Fact::Resynchronised => {}
                Fact::SyncFailed { error } => panic!("dump refused: {error}"),
                Fact::MacvlanRefused { .. } | Fact::MacvlansRemoved { .. } => {
                    panic!("nobody wants macvlans")
                }
                Fact::WayRefused { owner, .. } => self.missing_ways.extend(owner),
                Fact::WayLost { owner, way } => {
                    self.missing_ways.insert(owner);
                    let what = self.host.way(way);
                    let all = ways();
                    let number = all.iter().find(|(_, it)| Some(&it.what) == what).unwrap().0;
                    *self.lost_ways.entry((number, owner)).or_default() += 1;
                }
                Fact::WaysRemoved { .. } => panic!("no crash"),
            }
        }
    }

    /// Lets everything come to an end, and compares.
    fn check(&mut self) {
        self.kernel.refused.clear();
        self.settle();
        assert!(self.synchronised && self.host.is_quiet());
        assert_eq!(self.due, BTreeMap::new(), "somebody hasn't been told");
        // What was taken away or refused is wished for again, as an engine would do.
        for round in 0.. {
            let missing = std::mem::take(&mut self.missing);
            if missing.is_empty() {
                break;
            }
            assert!(round < 5, "still missing: {missing:?}");
            for (owner, ip) in missing {
                let wanted = self.wants.get(&owner).into_iter().flatten();
                let list: Vec<_> = wanted.map(|&number| self.all[number].clone()).collect();
                if list.iter().any(|it| it.ip == ip && self.exists(it.link)) {
                    self.host.set(owner, &list);
                    self.due.insert(owner, Wish::Set);
                }
            }
            self.settle();
            assert_eq!(self.due, BTreeMap::new(), "somebody hasn't been told");
        }
        self.check_ways();
        let wanted: BTreeSet<usize> = self.wants.values().flatten().copied().collect();
        for (number, it) in self.all.iter().enumerate() {
            let there = self.kernel.holds(LINKS[it.link.index()], it.ip, it.prefix_len);
            match wanted.contains(&number) {
                // What a link loses while it is down is put back when it is up.
                true => assert!(there.is_some() || !self.is_up(it.link), "{it} is wanted"),
                false => assert!(there.is_none_or(|it| !it.ours), "{it} is not wanted"),
            }
            assert_eq!(self.host.is_present(it), there.is_some(), "{it} in the mirror");
        }
        // An interface that has another name keeps nothing of ours.
        for device in self.kernel.devices.values() {
            let known = LINKS.contains(&device.name.as_str());
            assert!(known || device.addresses.iter().all(|it| !it.ours), "{device:?}");
        }
        self.check_links();
        for (id, ip) in sources() {
            let mut all = self.kernel.devices.values().flat_map(|device| &device.addresses);
            assert_eq!(self.sources.get(&id), Some(&all.any(|it| it.ip == ip)), "{ip}");
        }
        // Nobody is told of a loss that wasn't one; unless something of the story was lost, or
        // names were exchanged. Then a dump may show an effect before its cause is read.
        for (&(ip, owner), &count) in &self.lost {
            let real = self.kernel.foreign_deletions.get(&ip).copied().unwrap_or(0);
            let clear = self.host.counters().dumps == 1;
            assert!(count <= real || !clear, "{ip} lost {count} times by {owner}, not {real}");
        }
    }

    fn check_ways(&mut self) {
        self.missing_ways.clear();
        for owner in 0..OWNERS {
            self.host.settle_ways(owner);
        }
        self.settle();
        let wanted: BTreeSet<usize> = self.wants_ways.values().flatten().copied().collect();
        for (index, (number, way)) in ways().iter().enumerate() {
            // What leads through an interface that is given another name stays there.
            let through = way.links().next().map(|link| LINKS[link.index()]);
            let there = self.kernel.holds_way(*number, through);
            let source = IpAddr::from([10, 0, 0, 2]);
            let possible = way.links().all(|link| self.is_up(link))
                && (*number != 5
                    || self
                        .kernel
                        .devices
                        .values()
                        .any(|device| device.addresses.iter().any(|it| it.ip == source)));
            match wanted.contains(&index) {
                true => assert_eq!(there, possible, "{number} is wanted"),
                false => assert!(!there || self.put_back(*number), "{number} is not wanted"),
            }
            assert!(self.host.is_way_present(&way.what) == there || self.put_back(*number));
        }
        for (&(number, owner), &count) in &self.lost_ways {
            let real = self.kernel.way_deletions.get(&number).copied().unwrap_or(0);
            let clear = self.host.counters().overruns + self.host.counters().answers_lost == 0;
            assert!(
                count <= real || !clear || number == 5,
                "{number} lost {count} times by {owner}"
            );
        }
    }

    /// Whether somebody else may have put it there.
    fn put_back(&self, number: u32) -> bool {
        self.kernel.way_deletions.contains_key(&number)
    }

    fn exists(&self, link: LinkId) -> bool {
        self.kernel.find(LINKS[link.index()]).is_some()
    }

    fn is_up(&self, link: LinkId) -> bool {
        let index = self.kernel.find(LINKS[link.index()]);
        index.is_some_and(|index| self.kernel.devices[&index].up)
    }

    fn check_links(&self) {
        for (number, name) in LINKS.iter().enumerate() {
            let link = LinkId(number as u32);
            let facts = self.host.link_facts(link);
            assert_eq!(self.links.get(&link), Some(&facts), "{name} as reported");
            let index = self.kernel.find(name);
            assert_eq!(facts.map(|facts| facts.ifindex.0), index, "{name}");
            let (Some(facts), Some(index)) = (facts, index) else {
                continue;
            };
            let device = &self.kernel.devices[&index];
            assert_eq!(facts.up, device.up && device.running, "{name}");
            let view = self.host.link(link).unwrap();
            assert_eq!(view.addresses, device.addresses.len(), "{name}");
            let real = |ip: Ipv4Addr| REAL.iter().any(|(real, _)| *real == ip);
            let on = |wanted: &dyn Fn(Ipv4Addr) -> bool| {
                device.addresses.iter().any(|it| matches!(it.ip, IpAddr::V4(ip) if wanted(ip)))
            };
            let is_virtual = |ip: Ipv4Addr| {
                let mut named = self.named.iter().map(|&number| &self.all[number]);
                named.any(|it| it.link == link && it.ip == ip)
            };
            match facts.primary_ipv4 {
                Some(primary) => assert!(on(&|ip| ip == primary) && !is_virtual(primary), "{name}"),
                None => assert!(!on(&real), "{name}"),
            }
        }
    }
}

thread_local! {
    /// What has happened, for whoever looks into a failure.
    static TRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn trace(what: std::fmt::Arguments<'_>) {
    TRACE.with_borrow_mut(|trace| {
        if let Some(trace) = trace {
            let _ = writeln!(trace, "{what}");
        }
    });
}

/// Runs a test; if it fails and the environment says `TRACE=FILE`, writes down how it came to that
/// (the last one written is proptest's smallest case).
fn traced(test: impl FnOnce()) {
    let file = std::env::var_os("TRACE");
    TRACE.set(file.as_ref().map(|_| String::new()));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
    if let Err(panic) = result {
        if let (Some(file), Some(trace)) = (file, TRACE.take()) {
            std::fs::write(file, trace).unwrap();
        }
        std::panic::resume_unwind(panic);
    }
}

fn trace_messages(way: &str, datagram: &[u8]) {
    for message in super::reader::messages(datagram) {
        let super::reader::Message { seq, port, interrupted, content } = message;
        trace(format_args!("  {way} {seq} {port} {interrupted} {content:?}"));
    }
}

/// 200 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 200 };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_the_end_everything_is_as_wished(
        acts in prop::collection::vec(act(), 0..120),
        monitor_capacity in prop_oneof![Just(1000usize), 2..12usize],
        command_capacity in prop_oneof![3 => Just(1000usize), 1 => 4..12usize],
    ) {
        traced(|| {
            let mut world = World::new(monitor_capacity, command_capacity);
            for act in &acts {
                world.act(act);
            }
            world.check();
            for name in LINKS {
                world.kernel.set_up(name, true);
            }
            world.check();
        });
    }
}
