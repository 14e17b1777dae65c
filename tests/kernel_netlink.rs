//! The room `kernel` against the real kernel: each test in a network namespace of its own, which
//! its thread makes and which ends with it.
//!
//! Needs root and `ip(8)`. Without root the tests say so and pass, unless the environment has
//! `CI=true`: then they fail.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use viprd::base::{Label, LinkFacts, LinkId, LinkNames, Scope, VirtualAddress};
use viprd::kernel::{Fact, Host, Socket as To, Wish};

/// How long a fact may be in coming; long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a new network namespace, if that is possible.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: unshare(2) takes a number and changes this thread's namespace only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let error = io::Error::last_os_error();
            let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!must, "CI=true, but no network namespace can be made: {error}");
            eprintln!("skipped: making a network namespace needs root (CAP_SYS_ADMIN): {error}");
            return;
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip`, which must succeed, and gives what it printed.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip(8)");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs many lines of `ip -batch`.
fn ip_batch(lines: impl Iterator<Item = String>) {
    let mut child =
        Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip(8)");
    let text = lines.collect::<Vec<_>>().join("\n");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("ip reads");
    assert!(child.wait().expect("ip ends").success());
}

/// What `ip` shows of the addresses of an interface.
fn shown(interface: &str) -> Vec<serde_json::Value> {
    let links: serde_json::Value =
        serde_json::from_str(&ip(&format!("-j addr show dev {interface}"))).expect("JSON");
    links[0]["addr_info"].as_array().cloned().unwrap_or_default()
}

/// The same, as `address/length`, IPv4 only, sorted.
fn shown_ipv4(interface: &str) -> Vec<String> {
    let text = |info: &serde_json::Value| {
        format!("{}/{}", info["local"].as_str().unwrap_or("?"), info["prefixlen"])
    };
    let mut list: Vec<String> =
        shown(interface).iter().filter(|info| info["family"] == "inet").map(text).collect();
    list.sort();
    list
}

/// A host with real sockets.
struct Bench {
    host: Host,
    command: Socket,
    monitor: Socket,
    facts: Vec<Fact>,
    buffer: Vec<u8>,
    /// Whether the monitor is read.
    listening: bool,
}

const GROUPS: [u32; 3] = [libc::RTNLGRP_LINK, libc::RTNLGRP_IPV4_IFADDR, libc::RTNLGRP_IPV6_IFADDR];

impl Bench {
    fn new(names: &[&str]) -> Self {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE).expect("socket");
            socket.bind_auto().expect("bind");
            socket.set_non_blocking(true).expect("non-blocking");
            socket
        };
        let (command, monitor) = (open(), open());
        monitor.set_rx_buf_sz(4 << 20).expect("buffer");
        for group in GROUPS {
            monitor.add_membership(group).expect("membership");
        }
        Bench {
            host: Host::new(&link_names(names)),
            command,
            monitor,
            facts: Vec::new(),
            buffer: vec![0; Host::REQUEST_BUFFER],
            listening: true,
        }
    }

    /// A bench that has seen its first dump.
    fn synchronised(names: &[&str]) -> Self {
        let mut bench = Bench::new(names);
        bench.wait("synchronised", |fact| *fact == Fact::Synchronised);
        bench
    }

    /// Sends all that is to be sent.
    fn send(&mut self) {
        while let Some(request) = self.host.next_request(&mut self.buffer) {
            let socket = match request.to {
                To::Command => &self.command,
                To::Monitor => &self.monitor,
            };
            let kernel = SocketAddr::new(0, 0);
            let sent = socket.send_to(&self.buffer[..request.len], &kernel, 0).expect("send");
            assert_eq!(sent, request.len);
        }
    }

    /// Sends all, and reads one datagram of each socket: their order is chance in life, too.
    fn turn(&mut self) {
        self.send();
        let mut page = vec![0u8; 32 << 10];
        match receive(&self.command, &mut page) {
            Some(Ok(len)) => self.host.on_command(&page[..len]),
            Some(Err(())) => self.host.on_command_lost(),
            None => {}
        }
        if self.listening {
            match receive(&self.monitor, &mut page) {
                Some(Ok(len)) => self.host.on_monitor(&page[..len]),
                Some(Err(())) => self.host.on_monitor_overrun(),
                None => {}
            }
        }
        self.facts.extend(std::iter::from_fn(|| self.host.next_fact()));
    }

    /// Turns until a fact of that kind has come, and gives it; the facts before it are dropped.
    fn wait(&mut self, what: &str, is_it: impl Fn(&Fact) -> bool) -> Fact {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.facts.iter().position(&is_it) {
                let fact = self.facts[at];
                self.facts.drain(..=at);
                return fact;
            }
            assert!(Instant::now() < end, "no fact {what}; there are {:?}", self.facts);
            self.turn();
            self.rest();
        }
    }

    fn wait_link(&mut self, what: &str, is_it: impl Fn(Option<LinkFacts>) -> bool) {
        self.wait(what, |fact| matches!(fact, Fact::Link(change) if is_it(change.facts)));
    }

    /// Turns until nothing has come for a while, and gives all facts.
    fn settle(&mut self) -> Vec<Fact> {
        let mut idle = 0;
        let end = Instant::now() + PATIENCE;
        while idle < 50 {
            assert!(Instant::now() < end, "it never comes to rest; {:?}", self.host.counters());
            let before = (self.host.counters(), self.facts.len());
            self.turn();
            self.rest();
            let still = before == (self.host.counters(), self.facts.len()) && self.host.is_quiet();
            idle = if still { idle + 1 } else { 0 };
        }
        std::mem::take(&mut self.facts)
    }

    /// Waits a little while until there is something to read.
    fn rest(&self) {
        let fd = |socket: &Socket| libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [fd(&self.command), fd(&self.monitor)];
        let count = if self.listening { 2 } else { 1 };
        // SAFETY: the array outlives the call and is at least that long.
        unsafe { libc::poll(fds.as_mut_ptr(), count, 1) };
    }

    fn facts_of(&self, link: LinkId) -> LinkFacts {
        self.host.link_facts(link).expect("the interface exists")
    }
}

fn receive(socket: &Socket, mut page: &mut [u8]) -> Option<Result<usize, ()>> {
    match socket.recv(&mut page, libc::MSG_DONTWAIT) {
        Ok(len) => Some(Ok(len)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Some(Err(())),
        Err(error) => panic!("{error}"),
    }
}

fn link_names(names: &[&str]) -> LinkNames {
    let mut table = LinkNames::default();
    for name in names {
        table.intern(name);
    }
    table
}

const ETH: LinkId = LinkId(0);

fn virtual_address(ip: impl Into<IpAddr>, prefix_len: u8) -> VirtualAddress {
    VirtualAddress {
        ip: ip.into(),
        prefix_len,
        link: ETH,
        broadcast: None,
        label: None,
        scope: Scope::GLOBAL,
        options: None,
    }
}

fn many(count: u16) -> Vec<VirtualAddress> {
    let ip = |n: u16| Ipv4Addr::new(10, 9, (n >> 8) as u8, n as u8);
    (1..=count).map(|n| virtual_address(ip(n), 32)).collect()
}

fn veth_pair() {
    ip("link add eth type veth peer name peer");
    ip("link set eth up");
    ip("link set peer up");
}

#[test]
fn a_link_is_followed_down_up_away_and_back() {
    in_namespace(|| {
        let mut bench = Bench::synchronised(&["eth"]);
        assert_eq!(bench.host.link_facts(ETH), None);
        veth_pair();
        bench.wait_link("up", |facts| facts.is_some_and(|facts| facts.up));
        let first = bench.facts_of(ETH);
        assert!(first.mac.is_some());
        assert_eq!(first.mtu, 1500);

        ip("link set peer down");
        bench.wait_link("down", |facts| facts.is_some_and(|facts| !facts.up));
        ip("link set peer up");
        bench.wait_link("up again", |facts| facts.is_some_and(|facts| facts.up));
        ip("link set eth mtu 1400");
        bench.wait_link("other mtu", |facts| facts.is_some_and(|facts| facts.mtu == 1400));

        ip("link del eth");
        bench.wait_link("gone", |facts| facts.is_none());
        veth_pair();
        bench.wait_link("back", |facts| facts.is_some_and(|facts| facts.up));
        assert_ne!(bench.facts_of(ETH).ifindex, first.ifindex);
    });
}

#[test]
fn a_link_is_followed_through_renames() {
    in_namespace(|| {
        veth_pair();
        ip("addr add 192.0.2.9/24 dev peer");
        let mut bench = Bench::synchronised(&["eth"]);
        let eth = bench.facts_of(ETH).ifindex;

        ip("link set eth down");
        ip("link set eth name other");
        bench.wait_link("renamed away", |facts| facts.is_none());
        ip("link set peer down");
        ip("link set peer name eth");
        bench.wait_link("renamed to", |facts| facts.is_some_and(|facts| facts.ifindex != eth));
        // Its address was there before it had the name.
        assert_eq!(bench.facts_of(ETH).primary_ipv4, Some(Ipv4Addr::new(192, 0, 2, 9)));
        ip("link set eth name peer");
        ip("link set other name eth");
        bench.wait_link("first again", |facts| facts.is_some_and(|facts| facts.ifindex == eth));
        assert_eq!(bench.facts_of(ETH).primary_ipv4, None);
    });
}

#[test]
fn addresses_stay_with_the_name_when_an_interface_is_renamed() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let addresses = many(5);
        bench.host.set(1, &addresses);
        bench.settle();
        ip("link set eth name other");
        bench.settle();
        assert_eq!(shown_ipv4("other"), [""; 0]);
        ip("link set peer name eth");
        bench.wait("set again", |fact| *fact == Fact::Set { owner: 1 });
        assert_eq!(shown_ipv4("eth").len(), 5);
    });
}

#[test]
fn leaving_a_bridge_is_not_the_end_of_a_link() {
    in_namespace(|| {
        veth_pair();
        let bridge = Command::new("ip").args(["link", "add", "br", "type", "bridge"]).output();
        if !bridge.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: this kernel has no bridges");
            return;
        }
        let mut bench = Bench::synchronised(&["eth"]);
        ip("link set eth master br");
        ip("link set eth nomaster");
        let gone = |fact: &Fact| matches!(fact, Fact::Link(change) if change.facts.is_none());
        assert!(!bench.settle().iter().any(gone));
    });
}

#[test]
fn the_primary_address_is_the_first_real_one() {
    in_namespace(|| {
        veth_pair();
        ip("addr add 10.0.0.100/24 dev eth");
        ip("addr add 169.254.7.7/16 dev eth scope link");
        let mut bench = Bench::synchronised(&["eth"]);
        let virtual_one = virtual_address(Ipv4Addr::new(10, 0, 0, 100), 24);
        let primary = |bench: &Bench| bench.facts_of(ETH).primary_ipv4;
        assert_eq!(primary(&bench), Some(Ipv4Addr::new(10, 0, 0, 100)));
        bench.host.configure([&virtual_one]);
        assert_eq!(primary(&bench), Some(Ipv4Addr::new(169, 254, 7, 7)));
        ip("addr add 10.0.5.1/24 dev eth");
        bench.settle();
        assert_eq!(primary(&bench), Some(Ipv4Addr::new(10, 0, 5, 1)));
        ip("addr add 10.0.4.1/24 dev eth");
        ip("addr add 10.0.5.2/24 dev eth");
        bench.settle();
        assert_eq!(primary(&bench), Some(Ipv4Addr::new(10, 0, 5, 1)));
        bench.host.remove_leftovers([&virtual_one]);
        bench.wait("leftovers", |fact| *fact == Fact::LeftoversRemoved { removed: 1 });
    });
}

#[test]
fn broadcast_label_and_scope_arrive() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let mut address = virtual_address(Ipv4Addr::new(192, 0, 2, 1), 24);
        address.broadcast = Some(Ipv4Addr::new(192, 0, 2, 255));
        address.label = Some(Label::from("eth:vip").expect("short"));
        address.scope = Scope::LINK;
        bench.host.set(1, [&address]);
        bench.wait("set", |fact| *fact == Fact::Set { owner: 1 });
        let find = || {
            let is_it = |info: &serde_json::Value| info["local"] == "192.0.2.1";
            shown("eth").into_iter().find(is_it).expect("it is there")
        };
        let info = find();
        assert_eq!(info["prefixlen"], 24);
        assert_eq!(info["broadcast"], "192.0.2.255");
        assert_eq!(info["label"], "eth:vip");
        assert_eq!(info["scope"], "link");

        // Another label is no other address, but has to arrive all the same.
        bench.settle();
        address.label = Some(Label::from("eth:new").expect("short"));
        bench.host.set(1, [&address]);
        assert_eq!(bench.settle(), [Fact::Set { owner: 1 }]);
        assert_eq!(find()["label"], "eth:new");
    });
}

#[test]
fn a_thousand_addresses_come_and_go_in_batches() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        bench.settle();
        let addresses = many(1000);
        bench.host.configure(&addresses);
        for (owner, some) in (0..).zip(addresses.chunks(4)) {
            bench.host.set(owner, some);
        }
        let facts = bench.settle();
        assert_eq!(facts.len(), 250, "one fact an owner");
        assert!((0..250).all(|owner| facts.contains(&Fact::Set { owner })));
        assert_eq!(shown_ipv4("eth").len(), 1000);
        let counters = bench.host.counters();
        assert_eq!((counters.requests, counters.batches), (1000, 16));
        let view = bench.host.link(ETH).expect("watched");
        assert_eq!(view.virtual_addresses, 1000);

        for (owner, some) in (0..).zip(addresses.chunks(4)) {
            bench.host.unset(owner, some);
        }
        let facts = bench.settle();
        assert_eq!(facts.len(), 250, "one fact an owner");
        assert!((0..250).all(|owner| facts.contains(&Fact::Unset { owner })));
        assert_eq!(shown_ipv4("eth"), [""; 0]);
    });
}

#[test]
fn a_foreign_deletion_is_noticed_and_an_own_one_is_not() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        bench.settle();
        let addresses = many(3);
        bench.host.set(7, &addresses);
        assert_eq!(bench.settle(), [Fact::Set { owner: 7 }]);
        bench.host.unset(7, &addresses[..1]);
        assert_eq!(bench.settle(), [Fact::Unset { owner: 7 }]);
        ip("addr del 10.9.0.2/32 dev eth");
        let lost = Fact::AddressLost { owner: 7, link: ETH, ip: addresses[1].ip };
        assert_eq!(bench.settle(), [lost]);
        assert_eq!(shown_ipv4("eth"), ["10.9.0.3/32"]);
        bench.host.set(7, &addresses[1..]);
        assert_eq!(bench.settle(), [Fact::Set { owner: 7 }]);
        assert_eq!(shown_ipv4("eth"), ["10.9.0.2/32", "10.9.0.3/32"]);
    });
}

#[test]
fn flapping_faster_than_the_monitor_is_read_loses_nothing() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let mut addresses = many(20);
        addresses.push(virtual_address(IpAddr::V6("2001:db8::1".parse().unwrap()), 128));
        bench.listening = false;
        for _ in 0..5 {
            bench.host.set(7, &addresses);
            bench.wait("set", |fact| *fact == Fact::Set { owner: 7 });
            bench.host.unset(7, &addresses);
            bench.wait("unset", |fact| *fact == Fact::Unset { owner: 7 });
        }
        bench.host.set(7, &addresses);
        bench.wait("set", |fact| *fact == Fact::Set { owner: 7 });
        bench.listening = true;
        let facts = bench.settle();
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::AddressLost { .. })), "{facts:?}");
        assert_eq!(shown_ipv4("eth").len(), 20);
        assert!(addresses.iter().all(|address| bench.host.is_present(address)));
    });
}

#[test]
fn what_a_subnet_loses_with_its_first_address_is_put_back() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let first = virtual_address(Ipv4Addr::new(10, 0, 0, 1), 24);
        let second = virtual_address(Ipv4Addr::new(10, 0, 0, 2), 24);
        bench.host.set(1, [&first]);
        bench.host.set(2, [&second]);
        bench.settle();
        bench.host.unset(1, [&first]);
        let facts = bench.settle();
        assert!(facts.contains(&Fact::Unset { owner: 1 }), "{facts:?}");
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::AddressLost { .. })), "{facts:?}");
        assert_eq!(shown_ipv4("eth"), ["10.0.0.2/24"]);
    });
}

#[test]
fn a_refusal_in_the_middle_does_not_hold_up_the_rest() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        bench.settle();
        let mut addresses = many(100);
        addresses[50].prefix_len = 77;
        bench.host.set(3, &addresses);
        let (owner, link, ip, wish) = (3, ETH, addresses[50].ip, Wish::Set);
        let refused = Fact::Refused { owner, link, ip, wish, error: libc::EINVAL };
        assert_eq!(bench.settle(), [refused, Fact::Set { owner: 3 }]);
        assert_eq!(shown_ipv4("eth").len(), 99);
        bench.host.unset(3, &addresses);
        assert_eq!(bench.settle(), [Fact::Unset { owner: 3 }]);
        assert_eq!(shown_ipv4("eth").len(), 0);
    });
}

#[test]
fn addresses_follow_their_link_when_it_is_made_again() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let addresses = many(10);
        bench.host.set(3, &addresses);
        bench.settle();
        ip("link del eth");
        let facts = bench.settle();
        assert!(facts.iter().all(|fact| matches!(fact, Fact::Link(_))), "{facts:?}");
        veth_pair();
        bench.wait("set again", |fact| *fact == Fact::Set { owner: 3 });
        assert_eq!(shown_ipv4("eth").len(), 10);
    });
}

#[test]
fn ipv6_addresses_are_usable_at_once_and_never_a_source() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        bench.settle();
        let address = virtual_address(IpAddr::V6("2001:db8::7".parse().unwrap()), 128);
        bench.host.set(3, [&address]);
        assert_eq!(bench.settle().last(), Some(&Fact::Set { owner: 3 }));
        let is_it = |info: &&serde_json::Value| info["local"] == "2001:db8::7";
        let all = shown("eth");
        let info = all.iter().find(is_it).expect("it is there");
        assert_eq!(info["nodad"], true);
        assert_eq!(info["tentative"], serde_json::Value::Null);
        assert_eq!(info["preferred_life_time"], 0);
        ip("addr del 2001:db8::7/128 dev eth");
        let lost = Fact::AddressLost { owner: 3, link: ETH, ip: address.ip };
        assert_eq!(bench.settle(), [lost]);
        bench.host.set(3, [&address]);
        assert_eq!(bench.settle(), [Fact::Set { owner: 3 }]);
        bench.host.unset(3, [&address]);
        assert_eq!(bench.settle(), [Fact::Unset { owner: 3 }]);
        assert!(!shown("eth").iter().any(|info| info["local"] == "2001:db8::7"));
    });
}

#[test]
fn what_was_missed_is_found_by_a_dump() {
    in_namespace(|| {
        veth_pair();
        ip("addr add 192.0.2.1/24 dev eth");
        let mut bench = Bench::synchronised(&["eth", "new"]);
        let addresses = many(50);
        bench.host.set(3, &addresses);
        bench.settle();
        ip("addr del 10.9.0.7/32 dev eth");
        ip("addr del 192.0.2.1/24 dev eth");
        ip("addr add 192.0.2.2/24 dev eth");
        ip("link set peer down");
        ip("link add new type veth peer name newpeer");
        // All of it falls on the floor; the kernel tells of carriers a little later.
        let end = Instant::now() + PATIENCE;
        while ip("-j link show dev eth").contains("\"LOWER_UP\"") {
            assert!(Instant::now() < end, "no link goes down");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(100));
        let mut page = vec![0u8; 32 << 10];
        while receive(&bench.monitor, &mut page).is_some() {}
        assert_eq!(bench.settle(), []);
        bench.host.on_monitor_overrun();
        let facts = bench.settle();
        let lost = Fact::AddressLost { owner: 3, link: ETH, ip: addresses[6].ip };
        assert!(facts.contains(&lost), "{facts:?}");
        assert_eq!(facts.last(), Some(&Fact::Resynchronised));
        let eth = bench.facts_of(ETH);
        assert!(!eth.up);
        assert_eq!(eth.primary_ipv4, Some(Ipv4Addr::new(192, 0, 2, 2)));
        assert!(bench.host.link_facts(LinkId(1)).is_some());
    });
}

#[test]
fn a_real_overrun_is_survived() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let addresses = many(300);
        bench.host.set(3, &addresses);
        bench.settle();
        bench.monitor.set_rx_buf_sz(4096).expect("buffer");
        // Far more than the queue holds, while nobody reads.
        ip_batch((1..=200).map(|n| format!("addr del 10.9.0.{n}/32 dev eth")));
        ip("link set peer down");
        let facts = bench.settle();
        assert!(bench.host.counters().overruns > 0);
        let lost = facts.iter().filter(|fact| matches!(fact, Fact::AddressLost { .. })).count();
        assert_eq!(lost, 200);
        assert!(!bench.facts_of(ETH).up);
        // The adding makes more notifications than the queue holds, too.
        bench.host.set(3, &addresses);
        bench.settle();
        assert_eq!(shown_ipv4("eth").len(), 300);
        ip("addr del 10.9.0.7/32 dev eth");
        let lost = Fact::AddressLost { owner: 3, link: ETH, ip: addresses[6].ip };
        assert_eq!(bench.settle(), [lost]);
    });
}

#[test]
fn lost_answers_are_settled_by_a_dump() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let addresses = many(200);
        bench.host.set(3, &addresses);
        bench.send();
        let mut page = vec![0u8; 32 << 10];
        while receive(&bench.command, &mut page).is_some() {}
        bench.host.on_command_lost();
        bench.wait("set", |fact| *fact == Fact::Set { owner: 3 });
        bench.settle();
        assert_eq!(shown_ipv4("eth").len(), 200);
        assert!(addresses.iter().all(|address| bench.host.is_present(address)));
        ip("addr del 10.9.0.7/32 dev eth");
        let lost = Fact::AddressLost { owner: 3, link: ETH, ip: addresses[6].ip };
        assert_eq!(bench.settle(), [lost]);
    });
}

#[test]
fn leftovers_of_a_crash_are_removed_and_nothing_else() {
    in_namespace(|| {
        veth_pair();
        ip("addr add 192.0.2.1/24 dev eth");
        for n in 1..=5 {
            ip(&format!("addr add 10.9.0.{n}/32 dev eth"));
        }
        let mut bench = Bench::new(&["eth"]);
        let addresses = many(8);
        bench.host.configure(&addresses);
        bench.wait("synchronised", |fact| *fact == Fact::Synchronised);
        bench.host.remove_leftovers(&addresses);
        // One of them is wanted already: its turn comes afterwards.
        bench.host.set(1, &addresses[..1]);
        let facts = bench.settle();
        assert!(facts.contains(&Fact::LeftoversRemoved { removed: 5 }), "{facts:?}");
        assert!(facts.contains(&Fact::Set { owner: 1 }), "{facts:?}");
        assert_eq!(shown_ipv4("eth"), ["10.9.0.1/32", "192.0.2.1/24"]);
    });
}

#[test]
fn refusals_that_overrun_the_command_socket_are_all_told() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        bench.settle();
        // No answer is read before all four batches have been sent, and few fit in the queue.
        bench.command.set_rx_buf_sz(4096).expect("buffer");
        let mut addresses = many(400);
        for address in addresses.iter_mut().step_by(2) {
            address.prefix_len = 77;
        }
        bench.host.set(3, &addresses);
        let facts = bench.settle();
        assert!(bench.host.counters().answers_lost > 0);
        let refused = facts.iter().filter(|fact| matches!(fact, Fact::Refused { .. })).count();
        assert_eq!((refused, facts.last()), (200, Some(&Fact::Set { owner: 3 })));
        assert_eq!(shown_ipv4("eth").len(), 200);
    });
}

#[test]
fn ipv6_addresses_that_went_down_with_their_link_come_back_up_with_it() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        let address = virtual_address(IpAddr::V6("2001:db8::7".parse().unwrap()), 64);
        bench.host.set(3, [&address]);
        bench.settle();
        ip("link set eth down");
        let facts = bench.settle();
        assert!(facts.iter().all(|fact| matches!(fact, Fact::Link(_))), "{facts:?}");
        assert!(!bench.host.is_present(&address));
        ip("link set eth up");
        bench.wait("set again", |fact| *fact == Fact::Set { owner: 3 });
        assert!(shown("eth").iter().any(|info| info["local"] == "2001:db8::7"));
    });
}

#[test]
fn a_link_that_moves_to_another_namespace_is_gone() {
    in_namespace(|| {
        veth_pair();
        let mut bench = Bench::synchronised(&["eth"]);
        bench.host.set(3, &many(3));
        bench.settle();
        // Another namespace, which lasts as long as its only process.
        let mut other =
            Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).spawn();
        let other = other.as_mut().expect("unshare(1)");
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("/proc");
        let theirs = || std::fs::read_link(format!("/proc/{}/ns/net", other.id())).ok();
        let end = Instant::now() + PATIENCE;
        while theirs().is_none_or(|theirs| theirs == own) {
            assert!(Instant::now() < end, "unshare(1) makes no namespace");
            std::thread::sleep(Duration::from_millis(5));
        }
        ip(&format!("link set eth netns {}", other.id()));
        drop(other.stdin.take());
        bench.wait_link("gone", |facts| facts.is_none());
        let facts = bench.settle();
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::AddressLost { .. })), "{facts:?}");
        assert!(other.wait().expect("it ends").success());
    });
}

#[test]
fn the_same_address_with_another_length_stays() {
    in_namespace(|| {
        veth_pair();
        ip("addr add 10.0.0.1/24 dev eth");
        let mut bench = Bench::synchronised(&["eth"]);
        let address = virtual_address(Ipv4Addr::new(10, 0, 0, 1), 32);
        bench.host.set(1, [&address]);
        bench.settle();
        assert_eq!(shown_ipv4("eth"), ["10.0.0.1/24", "10.0.0.1/32"]);
        bench.host.unset(1, [&address]);
        bench.settle();
        assert_eq!(shown_ipv4("eth"), ["10.0.0.1/24"]);
    });
}
