//! Routes, policy rules, excluded and static addresses of a running `viprd`, in network namespaces;
//! judged by what `ip` shows, and beside what `ip route` and `ip rule` make themselves.
//!
//! Needs root and iproute2; see `tests/daemon` for the rules that hold there and here.

#![allow(dead_code, reason = "of the parts that tests/daemon shares not everything is needed")]

#[path = "daemon/site.rs"]
mod site;
#[path = "daemon/viprd.rs"]
mod viprd;

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use site::{Site, able, eventually};
use viprd::{QUICK, Viprd};

/// A virtual router `VI_1` with these blocks.
fn router(words: &str, blocks: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n  interface eth0\n  virtual_router_id 51\n  {words}\n  \
         virtual_ipaddress {{\n    10.9.0.50/24\n  }}\n{blocks}\n}}\n"
    )
}

fn routes(lines: &str) -> String {
    format!("virtual_routes {{\n{lines}\n}}\n")
}

fn rules(lines: &str) -> String {
    format!("virtual_rules {{\n{lines}\n}}\n")
}

/// What `ip -json -details` lists, of our protocols, sorted.
fn listed(site: &Site, host: &str, what: &str) -> Vec<Value> {
    let shown = site.ip_json(host, what);
    let ours = |entry: &&Value| ["keepalived", "static"].iter().any(|it| entry["protocol"] == *it);
    let mut all: Vec<Value> =
        shown.as_array().into_iter().flatten().filter(ours).cloned().collect();
    all.sort_by_key(ToString::to_string);
    all
}

/// All routes and rules that are ours.
fn ways(site: &Site, host: &str) -> Vec<Value> {
    ["-4 route show table all", "-6 route show table all", "-4 rule show", "-6 rule show"]
        .iter()
        .flat_map(|what| listed(site, host, what))
        .collect()
}

/// The same as people read it, a line each.
fn ways_in_words(site: &Site, host: &str) -> Vec<String> {
    let shows = |what: &str| {
        let mut command = Command::new("ip");
        command.args(["-n", &site.namespace(host), "-details", "-oneline"]);
        let output = command.args(what.split_whitespace()).output().expect("ip runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let all =
        ["-4 route show table all", "-6 route show table all", "-4 rule show", "-6 rule show"]
            .map(shows)
            .concat();
    let ours =
        |line: &&str| ["proto keepalived", "proto static"].iter().any(|it| line.contains(it));
    let mut lines: Vec<String> = all.lines().filter(ours).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The destinations of our routes, of both families.
fn destinations(site: &Site, host: &str) -> Vec<String> {
    let all = ways(site, host);
    let mut found: Vec<String> =
        all.iter().filter_map(|way| way["dst"].as_str().map(str::to_owned)).collect();
    found.sort();
    found
}

/// The preferences of our rules.
fn preferences(site: &Site, host: &str) -> Vec<u64> {
    let mut found: Vec<u64> = ["-4 rule show", "-6 rule show"]
        .iter()
        .flat_map(|what| listed(site, host, what))
        .filter_map(|rule| rule["priority"].as_u64())
        .collect();
    found.sort_unstable();
    found
}

fn gone(site: &Site, host: &str) {
    eventually("no route or rule of ours", || ways(site, host).is_empty().then_some(()));
}

/// `ip monitor` on a host, until dropped.
struct Monitor(Child, std::path::PathBuf);

impl Monitor {
    fn on(site: &Site, host: &str) -> Monitor {
        let path = site.dir.join("monitor");
        let mut command = Command::new("ip");
        command.args(["-n", &site.namespace(host), "-o", "monitor", "route", "rule"]);
        command.stdin(Stdio::null()).stdout(File::create(&path).expect("a file"));
        let monitor = Monitor(command.spawn().expect("ip runs"), path);
        eventually("a monitor that hears", || {
            site.ip(host, "route add 10.250.0.0/16 dev lo");
            site.ip(host, "route del 10.250.0.0/16 dev lo");
            monitor.said().contains("10.250.0.0").then_some(())
        });
        monitor
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.1).unwrap_or_default()
    }

    fn tells(&self, of: &str) -> usize {
        self.said().lines().filter(|line| line.contains(of)).count()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines of our language, and what `ip` is told for the same.
const ROUTES: &[(&str, &str)] = &[
    ("10.20.0.0/16 via 10.9.0.2", "10.20.0.0/16 via 10.9.0.2 scope global"),
    ("to 10.21.0.0/16 gw 10.9.0.2 oif eth0", "10.21.0.0/16 via 10.9.0.2 dev eth0"),
    (
        "default gateway 10.9.0.2 dev eth0 table 100 metric 5",
        "default via 10.9.0.2 dev eth0 table 100 metric 5",
    ),
    ("10.22.0.0/16 dev eth0", "10.22.0.0/16 dev eth0 scope global"),
    (
        "10.23.0.7 dev eth0 scope link src 10.9.0.50 proto static",
        "10.23.0.7 dev eth0 scope link src 10.9.0.50 proto static",
    ),
    (
        "10.24.0.0/16 via 192.168.77.1 dev eth0 onlink table 4000000000",
        "10.24.0.0/16 via 192.168.77.1 dev eth0 onlink table 4000000000",
    ),
    ("blackhole 10.25.0.0/16", "blackhole 10.25.0.0/16 scope global"),
    ("unreachable 10.26.0.0/16 metric 70", "unreachable 10.26.0.0/16 metric 70 scope global"),
    ("prohibit 10.27.0.0/16", "prohibit 10.27.0.0/16 scope global"),
    ("throw 10.28.0.0/16 table 100", "throw 10.28.0.0/16 table 100 scope global"),
    (
        "10.29.0.0/16 via 10.9.0.2 mtu lock 1400 advmss 1360 hoplimit 60 initcwnd 20 rto_min lock 50ms rtt 300ms quickack 1 features ecn congctl reno",
        "10.29.0.0/16 via 10.9.0.2 mtu lock 1400 advmss 1360 hoplimit 60 initcwnd 20 rto_min 50ms rtt 300ms quickack 1 features ecn congctl reno",
    ),
    (
        "10.30.0.0/16 nexthop via 10.9.0.2 dev eth0 weight 5 nexthop via 10.9.0.3 weight 1 realms 3/4",
        "10.30.0.0/16 scope global nexthop via 10.9.0.2 dev eth0 weight 5 nexthop via 10.9.0.3 weight 1 realms 3/4",
    ),
    (
        "10.31.0.0/16 via 10.9.0.2 or 10.9.0.3",
        "10.31.0.0/16 scope global nexthop via 10.9.0.2 weight 1 nexthop via 10.9.0.3 weight 1",
    ),
    ("10.32.0.0/16 via 10.9.0.2 tos 0x10 realms 7", "10.32.0.0/16 via 10.9.0.2 tos 0x10 realms 7"),
    (
        "10.33.0.0/16 via inet6 fe80::99 dev eth0",
        "10.33.0.0/16 via inet6 fe80::99 dev eth0 scope global",
    ),
    ("local 10.34.0.1 dev eth0", "local 10.34.0.1 dev eth0"),
    ("10.35.0.0/16 via 10.9.0.2/24 dev eth0 no_track", "10.35.0.0/16 via 10.9.0.2 dev eth0"),
    (
        "10.36.0.0/16 encap ip id 7 dst 10.9.0.2 ttl 9 via 10.9.0.2 dev eth0",
        "10.36.0.0/16 encap ip id 7 dst 10.9.0.2 ttl 9 via 10.9.0.2 dev eth0",
    ),
    ("::/0 via fe80::1 dev eth0", "-6 ::/0 via fe80::1 dev eth0"),
    (
        "default6 via fe80::2 dev eth0 table 100 metric 7 pref high",
        "-6 ::/0 via fe80::2 dev eth0 table 100 metric 7 pref high",
    ),
    ("2001:db8:20::/48 dev eth0 mtu 1300", "-6 2001:db8:20::/48 dev eth0 mtu 1300"),
    ("blackhole 2001:db8:21::/48", "-6 blackhole 2001:db8:21::/48"),
    (
        "2001:db8:22::/48 from 2001:db8:9::/48 via fe80::1 dev eth0",
        "-6 2001:db8:22::/48 from 2001:db8:9::/48 via fe80::1 dev eth0",
    ),
    (
        "2001:db8:23::/48 nexthop via fe80::1 dev eth0 weight 2 nexthop via fe80::2 dev eth0",
        "-6 2001:db8:23::/48 nexthop via fe80::1 dev eth0 weight 2 nexthop via fe80::2 dev eth0 weight 1",
    ),
    ("2001:db8:24::1 dev eth0 src 2001:db8::50", "-6 2001:db8:24::1 dev eth0 src 2001:db8::50"),
];

const RULES: &[(&str, &str)] = &[
    ("from 10.1.0.0/16 table 100 priority 1000", "from 10.1.0.0/16 table 100 pref 1000"),
    ("to 10.2.0.1 lookup main preference 1001", "to 10.2.0.1 table main pref 1001"),
    (
        "not from 10.3.0.0/16 iif eth0 table 100 order 1002",
        "not from 10.3.0.0/16 iif eth0 table 100 pref 1002",
    ),
    (
        "fwmark 0x10/0xff oif eth0 table 4000000000 priority 1003",
        "fwmark 0x10/0xff oif eth0 table 4000000000 pref 1003",
    ),
    ("from 10.4.0.0/16 blackhole priority 1004", "blackhole from 10.4.0.0/16 pref 1004"),
    ("from 10.5.0.0/16 type prohibit priority 1005", "prohibit from 10.5.0.0/16 pref 1005"),
    ("goto 1010 priority 1006 from 10.6.0.0/16", "from 10.6.0.0/16 pref 1006 goto 1010"),
    ("nop priority 1010", "nop pref 1010"),
    (
        "table 100 suppress_prefixlength 0 sup_group 5 priority 1011",
        "table 100 suppress_prefixlength 0 suppress_ifgroup 5 pref 1011",
    ),
    (
        "uidrange 10-20 ipproto tcp sport 1-99 dport 80 table 100 priority 1012",
        "uidrange 10-20 ipproto tcp sport 1-99 dport 80 table 100 pref 1012",
    ),
    (
        "tos 0x10 tunnel-id 9 realms 2/3 table 100 priority 1013",
        "tos 0x10 tun_id 9 realms 2/3 table 100 pref 1013",
    ),
    ("l3mdev priority 1014", "l3mdev pref 1014"),
    (
        "from 2001:db8::/32 table 100 protocol static priority 1015",
        "-6 from 2001:db8::/32 table 100 protocol static pref 1015",
    ),
    ("inet6 fwmark 7 table 100 priority 1016", "-6 fwmark 7 table 100 pref 1016"),
    ("from 10.7.0.0/16 table 100", "from 10.7.0.0/16 table 100 pref 16384"),
];

/// Tells `ip route` or `ip rule` of `host` the same, with keepalived's protocol if none is given.
fn by_hand(site: &Site, host: &str, what: &str, words: &str, protocol: &str) {
    let (family, words) = match words.strip_prefix("-6 ") {
        Some(words) => ("-6 ", words),
        None => ("-4 ", words),
    };
    let protocol = match words.contains(" proto") {
        true => String::new(),
        false => format!(" {protocol} keepalived"),
    };
    // Next hops come last.
    let (first, rest) = match words.find("nexthop") {
        Some(at) => words.split_at(at),
        None => (words, ""),
    };
    site.ip(host, &format!("{family}{what} add {first}{protocol} {rest}"));
}

#[test]
fn what_ip_would_have_made_is_there() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "m", "n"]);
    for (host, end) in [("r", "eth0"), ("m", "eth1")] {
        site.wire((host, "eth0"), ("n", end));
        site.ip(host, "address add 10.9.0.1/24 dev eth0");
        site.set_ipv6(host, "eth0", true);
        site.ip(host, "address add 2001:db8::1/64 dev eth0 nodad");
    }
    site.ip("m", "address add 10.9.0.50/24 dev eth0");
    site.ip("m", "address add 2001:db8::50/128 dev eth0 nodad");
    for (_, words) in ROUTES {
        by_hand(&site, "m", "route", words, "proto");
    }
    for (_, words) in RULES {
        by_hand(&site, "m", "rule", words, "protocol");
    }
    let lines = |all: &[(&str, &str)]| all.iter().map(|it| it.0).collect::<Vec<_>>().join("\n");
    let blocks = routes(&lines(ROUTES))
        + &rules(&lines(RULES))
        + "virtual_ipaddress_excluded {\n2001:db8::50\n}\n";
    let viprd = Viprd::start(&site, "r", &router(QUICK, &blocks));
    viprd.becomes("MASTER");
    let wanted = ways_in_words(&site, "m");
    assert_eq!(wanted.len(), ROUTES.len() + RULES.len(), "{wanted:#?}");
    eventually("all routes and rules", || {
        (ways_in_words(&site, "r").len() == wanted.len()).then_some(())
    });
    for (ours, theirs) in ways_in_words(&site, "r").iter().zip(&wanted) {
        assert_eq!(ours, theirs);
    }
    assert!(!viprd.log().contains("refuses"), "{}", viprd.log());
    viprd.logs("VRRP_Instance(VI_1) setting protocol E-VIPs.");
    viprd.logs("VRRP_Instance(VI_1) setting protocol Virtual Rules.");
    let log = viprd.stop();
    assert!(log.contains("VRRP_Instance(VI_1) removing protocol Virtual Routes."), "{log}");
    gone(&site, "r");
    assert!(site.address("r", "eth0", "10.9.0.50").is_none());
}

/// One of each.
fn few() -> String {
    routes(
        "10.20.0.0/16 via 10.9.0.2 dev eth0\n10.21.0.0/16 via 10.9.0.2\n\
         10.22.0.0/16 dev eth0 no_track src 10.9.0.50\n2001:db8:20::/48 dev eth0",
    ) + &rules(
        "from 10.1.0.0/16 table 100 priority 1000\nfrom 10.2.0.0/16 table 100 no_track priority 1001",
    )
}

const FEW: usize = 6;

fn all_of_few(site: &Site, host: &str) {
    eventually("all routes and rules", || (ways(site, host).len() == FEW).then_some(()));
}

#[test]
fn a_backup_has_none_and_a_crash_leaves_none() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    let slow = "version 3\n  advert_int 0.1\n  priority 100";
    let backup = Viprd::start(&site, "n", &router(slow, &few()));
    backup.becomes("MASTER");
    all_of_few(&site, "n");
    let mut master = Viprd::start(&site, "r", &router(QUICK, &few()));
    master.becomes("MASTER");
    all_of_few(&site, "r");
    gone(&site, "n");
    // What it can't remove itself the next one removes, also if that stays Backup.
    master.signal(Signal::SIGKILL);
    master.wait();
    backup.becomes("MASTER");
    all_of_few(&site, "n");
    assert_eq!(ways(&site, "r").len(), FEW, "the crash has left them");
    let low =
        Viprd::start(&site, "r", &router("version 3\n  advert_int 0.1\n  priority 50", &few()));
    low.logs("6 routes (policy rules included) that an earlier run had left behind");
    gone(&site, "r");
    low.becomes("BACKUP");
    backup.stop();
    gone(&site, "n");
    low.becomes("MASTER");
    all_of_few(&site, "r");
}

#[test]
fn what_someone_else_deletes_comes_back_if_it_is_tracked() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    let viprd = Viprd::start(&site, "r", &router(QUICK, &few()));
    viprd.becomes("MASTER");
    all_of_few(&site, "r");
    let mut times = 1;
    for (deletion, said) in [
        ("route del 10.20.0.0/16", "route 10.20.0.0/16 via 10.9.0.2 dev eth0 was deleted"),
        ("-6 route del 2001:db8:20::/48", "route 2001:db8:20::/48 dev eth0 was deleted"),
        ("rule del pref 1000", "rule 1000: from 10.1.0.0/16 lookup 100 was deleted"),
        ("route replace 10.20.0.0/16 via 10.9.0.3 dev eth0", "route 10.20.0.0/16 via"),
    ] {
        site.ip("r", deletion);
        viprd.logs(said);
        times += 1;
        eventually("it steps back and returns", || {
            let counters = viprd.counters();
            (counters["master_transitions"] == times).then_some(())
        });
        if deletion.contains("replace") {
            site.ip("r", "route del 10.20.0.0/16 via 10.9.0.3");
        }
        all_of_few(&site, "r");
    }
    assert!(viprd.counters()["priority_zero_pkts_sent"].as_u64() >= Some(4));
    // These nobody misses; 10.21.0.0/16 names no interface.
    for deletion in ["route del 10.22.0.0/16", "route del 10.21.0.0/16", "rule del pref 1001"] {
        site.ip("r", deletion);
        viprd.logs("10.22.0.0/16 dev eth0 src 10.9.0.50 was deleted by someone else");
    }
    viprd.logs("rule 1001: from 10.2.0.0/16 lookup 100 was deleted");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(viprd.counters()["master_transitions"], times);
    assert_eq!(ways(&site, "r").len(), FEW - 3);
    viprd.stop();
    gone(&site, "r");
}

#[test]
fn a_reload_changes_single_ones() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    let before = routes("10.20.0.0/16 via 10.9.0.2\n10.21.0.0/16 via 10.9.0.2 dev eth0")
        + &rules("from 10.1.0.0/16 table 100 priority 1000");
    let viprd = Viprd::start(&site, "r", &router(QUICK, &before));
    viprd.becomes("MASTER");
    eventually("three", || (ways(&site, "r").len() == 3).then_some(()));
    let monitor = Monitor::on(&site, "r");
    let after = routes(
        "10.20.0.0/16 via 10.9.0.2\n10.21.0.0/16 via 10.9.0.3 dev eth0\n10.22.0.0/16 via 10.9.0.2",
    ) + &rules(
        "from 10.1.0.0/16 table 100 priority 1000\nfrom 10.2.0.0/16 table 100 priority 1001",
    );
    viprd.reload(&router(QUICK, &after));
    eventually("five", || (ways(&site, "r").len() == 5).then_some(()));
    eventually("events", || (monitor.tells("10.2.0.0/16") == 1).then_some(()));
    assert_eq!(monitor.tells("10.20.0.0/16"), 0, "{}", monitor.said());
    assert_eq!(monitor.tells("from 10.1.0.0/16"), 0, "{}", monitor.said());
    assert_eq!(monitor.tells("Deleted 10.21.0.0/16 via 10.9.0.2"), 1, "{}", monitor.said());
    assert_eq!(monitor.tells("10.21.0.0/16 via 10.9.0.3"), 1, "{}", monitor.said());
    assert_eq!(viprd.counters()["master_transitions"], 1);
    viprd.reload(&router(QUICK, ""));
    gone(&site, "r");
    // An address that a route has as its source: whatever the kernel does to the route, it stays.
    let labelled = |label: &str| {
        router(QUICK, &routes("10.23.0.0/16 dev eth0 src 10.9.0.50"))
            .replace("10.9.0.50/24\n", &format!("10.9.0.50/24 label {label}\n"))
    };
    for label in ["eth0:1", "eth0:2", "eth0:3"] {
        viprd.reload(&labelled(label));
        eventually("the label", || {
            let address = site.address("r", "eth0", "10.9.0.50")?;
            (address["label"] == label).then_some(())
        });
        eventually("the route", || (destinations(&site, "r") == ["10.23.0.0/16"]).then_some(()));
    }
    assert_eq!(viprd.counters()["master_transitions"], 1, "{}", viprd.log());
    viprd.stop();
    gone(&site, "r");
}

#[test]
fn a_tracked_interface_is_a_fault_and_another_waits_for_it() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    site.ip("r", "link add eth1 type veth peer name eth1p");
    for link in ["eth1", "eth1p"] {
        site.ip("r", &format!("link set {link} up"));
    }
    let tracked = Viprd::start(&site, "r", &router(QUICK, &routes("10.20.0.0/16 dev eth1")));
    tracked.becomes("MASTER");
    eventually("a route", || (destinations(&site, "r").len() == 1).then_some(()));
    site.ip("r", "link set eth1 down");
    tracked.becomes("FAULT");
    site.ip("r", "link set eth1 up");
    tracked.becomes("MASTER");
    eventually("a route", || (destinations(&site, "r").len() == 1).then_some(()));
    tracked.stop();
    let lines = "10.20.0.0/16 dev eth1 no_track\n2001:db8:1::/48 dev eth1 no_track\n\
                 10.21.0.0/16 dev eth9 no_track";
    let free = Viprd::start(&site, "r", &router(QUICK, &routes(lines)));
    free.becomes("MASTER");
    free.logs("refuses to add route 10.21.0.0/16 dev eth9: No such device");
    site.set_ipv6("r", "eth1", true);
    eventually("the rest", || (!destinations(&site, "r").is_empty()).then_some(()));
    site.ip("r", "link set eth1 down");
    eventually("none", || destinations(&site, "r").is_empty().then_some(()));
    site.ip("r", "link add eth9 type veth peer name eth9p");
    site.ip("r", "link set eth9 up");
    site.ip("r", "link set eth1 up");
    eventually("all", || {
        let all = ["10.20.0.0/16", "10.21.0.0/16", "2001:db8:1::/48"];
        (destinations(&site, "r") == all).then_some(())
    });
    assert_eq!(free.counters()["master_transitions"], 1);
    free.stop();
    gone(&site, "r");
}

fn statics(address: &str, more: &str) -> String {
    format!(
        "static_ipaddress {{\n  {address}/24 dev eth0\n}}\nstatic_routes {{\n  \
         10.40.0.0/16 via 10.7.0.2 dev eth0 src {address}\n{more}\n}}\nstatic_rules {{\n  \
         from {address} table 100 priority 1100\n}}\n"
    )
}

#[test]
fn what_is_static_is_there_in_every_state() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    // The router's only address is a static one.
    site.ip("r", "address flush dev eth0");
    let viprd = Viprd::start(&site, "r", &(statics("10.7.0.1", "") + &router(QUICK, "")));
    viprd.becomes("MASTER");
    assert!(!viprd.log().contains("FAULT"), "{}", viprd.log());
    eventually("static ones", || (ways(&site, "r").len() == 2).then_some(()));
    for deletion in
        ["route del 10.40.0.0/16", "rule del pref 1100", "address del 10.7.0.1/24 dev eth0"]
    {
        site.ip("r", deletion);
        viprd.logs("was removed by someone else: restoring it");
        eventually("it is back", || {
            let address = site.address("r", "eth0", "10.7.0.1").is_some();
            (address && ways(&site, "r").len() == 2).then_some(())
        });
    }
    viprd.becomes("MASTER");
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    assert!(site.address("r", "eth0", "10.7.0.1").is_some());
    assert_eq!(preferences(&site, "r"), [1100]);
    site.ip("r", "link set eth0 up");
    eventually("routes", || (ways(&site, "r").len() == 2).then_some(()));
    viprd.reload(&(statics("10.7.0.9", "10.41.0.0/16 via 10.7.0.2") + &router(QUICK, "")));
    eventually("the other address", || site.address("r", "eth0", "10.7.0.9"));
    eventually("no more the first", || {
        site.address("r", "eth0", "10.7.0.1").is_none().then_some(())
    });
    eventually("the other routes", || (ways(&site, "r").len() == 3).then_some(()));
    viprd.becomes("MASTER");
    viprd.stop();
    gone(&site, "r");
    assert!(site.addresses("r", "eth0").is_empty());
}

#[test]
fn a_static_route_that_can_not_be_had_is_a_fault_of_its_track_group() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.ip("r", "link add eth1 type veth peer name eth1p");
    site.ip("r", "link set eth1p up");
    let configuration = "track_group G {\n  group {\n    VI_1\n  }\n}\nstatic_routes {\n  \
                         10.40.0.0/16 dev eth1 track_group G\n  10.41.0.0/16 dev eth0\n}\n"
        .to_owned()
        + &router(QUICK, "");
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("FAULT");
    viprd.logs("refuses to add route 10.40.0.0/16 dev eth1");
    assert_eq!(destinations(&site, "r"), ["10.41.0.0/16"]);
    site.ip("r", "link set eth1 up");
    viprd.becomes("MASTER");
    assert_eq!(destinations(&site, "r"), ["10.40.0.0/16", "10.41.0.0/16"]);
    // It is put back at once, so nobody notices.
    site.ip("r", "route del 10.40.0.0/16");
    eventually("it is back", || (destinations(&site, "r").len() == 2).then_some(()));
    assert_eq!(viprd.counters()["master_transitions"], 1);
    viprd.stop();
    gone(&site, "r");
}

#[test]
fn addresses_have_their_options() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    let excluded = "virtual_ipaddress_excluded {\n10.9.3.1 peer 10.9.3.2/30 scope link\n\
                    10.9.4.1/24 noprefixroute\n2001:db8::1/64 -nodad home mngtmpaddr\n\
                    2001:db8::2/64 preferred_lft 0\n2001:db8::3 preferred_lft forever\n}\n";
    let viprd = Viprd::start(&site, "r", &router(QUICK, excluded));
    viprd.becomes("MASTER");
    let four = |ip| eventually(ip, || site.address("r", "eth0", ip));
    let peer = four("10.9.3.1");
    assert_eq!((&peer["address"], &peer["prefixlen"]), (&"10.9.3.2".into(), &30.into()));
    assert_eq!(peer["scope"], "link");
    assert_eq!(four("10.9.4.1")["noprefixroute"], true);
    let six = |ip| eventually(ip, || site.ipv6_address("r", "eth0", ip));
    let first = six("2001:db8::1");
    assert_eq!((&first["home"], &first["mngtmpaddr"]), (&true.into(), &true.into()));
    assert_eq!(first["nodad"], Value::Null);
    let second = six("2001:db8::2");
    assert_eq!((&second["preferred_life_time"], &second["nodad"]), (&0.into(), &true.into()));
    assert_eq!(six("2001:db8::3")["preferred_life_time"], 4_294_967_295u32);
    let show = viprd.ask(&["show", "VI_1"]);
    assert_eq!(show["addresses"].as_array().map(Vec::len), Some(6));
    assert_eq!(show["addresses"][1]["excluded"], true);
    // One with another end is known again when somebody removes it.
    site.ip("r", "address del 10.9.3.1 peer 10.9.3.2/30 dev eth0");
    viprd.logs("address 10.9.3.1 was removed from eth0 by someone else");
    eventually("it is back", || site.address("r", "eth0", "10.9.3.1"));
    assert_eq!(viprd.counters()["master_transitions"], 2);
    viprd.stop();
    assert_eq!(site.addresses("r", "eth0").len(), 1);
    assert_eq!(site.ipv6_addresses("r", "eth0").len(), 1);
}

#[test]
fn a_host_without_virtual_routers_has_its_statics() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &statics("10.7.0.1", ""));
    eventually("static ones", || (ways(&site, "r").len() == 2).then_some(()));
    viprd.stop();
    gone(&site, "r");
    assert!(site.address("r", "eth0", "10.7.0.1").is_none());
}

/// OpenStack Neutron's layer 3 agent: the router's addresses are all excluded ones that nobody
/// tracks.
fn neutron(priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{\n  state BACKUP\n  interface ha0\n  virtual_router_id 17\n  \
         priority {priority}\n  garp_master_delay 60\n  nopreempt\n  version 3\n  advert_int 0.1\n  \
         track_interface {{\n    ha0\n  }}\n  \
         virtual_ipaddress {{\n    169.254.0.17/24 dev ha0 no_track\n  }}\n  \
         virtual_ipaddress_excluded {{\n    10.0.0.1/24 dev qr0 no_track\n    \
         203.0.113.20/24 dev qg0 no_track\n    2001:db8:0:1::1/64 dev qr0 scope global no_track\n    \
         fe80::f816:3eff:fe12:3456/64 dev qr0 scope link no_track\n  }}\n  \
         virtual_routes {{\n    0.0.0.0/0 via 203.0.113.1 dev qg0 no_track protocol static\n    \
         ::/0 via fe80::1/64 dev qg0 no_track protocol static\n    \
         10.20.0.0/16 via 10.0.0.254 no_track\n    \
         198.51.100.0/24 dev qg0 scope link no_track\n  }}\n}}\n"
    )
}

#[test]
fn neutrons_routers_fail_over() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    site.wire(("r", "ha0"), ("n", "ha0"));
    for host in ["r", "n"] {
        for link in ["qr0", "qg0"] {
            site.ip(host, &format!("link add {link} type veth peer name {link}p"));
            site.set_ipv6(host, link, true);
            site.ip(host, &format!("link set {link} up"));
            site.ip(host, &format!("link set {link}p up"));
        }
    }
    site.ip("r", "address add 169.254.192.1/18 dev ha0");
    site.ip("n", "address add 169.254.192.2/18 dev ha0");
    let all = |host: &str| {
        eventually("Neutron's routes and addresses", || {
            let wanted = ["10.20.0.0/16", "198.51.100.0/24", "default", "default"];
            let addresses = site.address(host, "qr0", "10.0.0.1").is_some()
                && site.address(host, "qg0", "203.0.113.20").is_some()
                && site.ipv6_address(host, "qr0", "2001:db8:0:1::1").is_some()
                && site.ipv6_address(host, "qr0", "fe80::f816:3eff:fe12:3456").is_some();
            (addresses && destinations(&site, host) == wanted).then_some(())
        });
    };
    let first = Viprd::start(&site, "r", &neutron(50));
    first.becomes("MASTER");
    all("r");
    let second = Viprd::start(&site, "n", &neutron(50));
    second.becomes("BACKUP");
    // What nobody tracks may go, and its interface too.
    site.ip("r", "link set qg0 down");
    site.ip("r", "address del 10.0.0.1/24 dev qr0");
    site.ip("r", "link set qg0 up");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((first.state(), second.state()), ("MASTER".into(), "BACKUP".into()));
    first.stop();
    second.becomes("MASTER");
    all("n");
    gone(&site, "r");
    assert!(site.address("r", "qg0", "203.0.113.20").is_none());
    second.stop();
    gone(&site, "n");
}

/// OpenStack Octavia's amphora: unicast, routes with a table and `onlink`, rules with a priority.
fn octavia(own: &str, peer: &str, priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{\n  state BACKUP\n  interface eth1\n  virtual_router_id 1\n  \
         priority {priority}\n  nopreempt\n  accept\n  garp_master_refresh 5\n  \
         garp_master_refresh_repeat 2\n  version 3\n  advert_int 0.1\n  \
         unicast_src_ip {own}\n  unicast_peer {{\n    {peer}\n  }}\n  \
         virtual_ipaddress {{\n    10.9.0.50\n  }}\n  \
         virtual_ipaddress_excluded {{\n    2001:db8::50\n  }}\n  \
         virtual_routes {{\n    10.9.0.0/24 dev eth1 src 10.9.0.50 scope link table 1\n    \
         default via 10.9.0.1 dev eth1 onlink table 1\n    \
         10.30.0.0/16 gateway 10.9.0.7 dev eth1 table 1\n    \
         2001:db8::/64 dev eth1 src 2001:db8::50 scope link table 1\n    \
         default via 2001:db8::1 dev eth1 onlink table 1\n  }}\n  \
         virtual_rules {{\n    from 10.9.0.50/32 table 1 priority 100\n    \
         from 2001:db8::50/128 table 1 priority 100\n  }}\n}}\n"
    )
}

#[test]
fn octavias_amphorae_fail_over() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    site.wire(("r", "eth1"), ("n", "eth1"));
    for (host, own) in [("r", "10.9.0.11"), ("n", "10.9.0.12")] {
        site.set_ipv6(host, "eth1", true);
        site.ip(host, &format!("address add {own}/24 dev eth1"));
    }
    let all = |host: &str| {
        eventually("Octavia's routes and rules", || {
            let routes = ["10.30.0.0/16", "10.9.0.0/24", "2001:db8::/64", "default", "default"];
            let complete = destinations(&site, host) == routes
                && preferences(&site, host) == [100, 100]
                && site.ipv6_address(host, "eth1", "2001:db8::50").is_some();
            complete.then_some(())
        });
    };
    let first = Viprd::start(&site, "r", &octavia("10.9.0.11", "10.9.0.12", 100));
    first.becomes("MASTER");
    all("r");
    let second = Viprd::start(&site, "n", &octavia("10.9.0.12", "10.9.0.11", 90));
    second.becomes("BACKUP");
    gone(&site, "n");
    first.stop();
    second.becomes("MASTER");
    all("n");
    gone(&site, "r");
    let first = Viprd::start(&site, "r", &octavia("10.9.0.11", "10.9.0.12", 100));
    first.becomes("BACKUP");
    // The wire has two ends.
    site.ip("n", "link set eth1 down");
    second.becomes("FAULT");
    gone(&site, "n");
    site.ip("n", "link set eth1 up");
    eventually("one master", || {
        let states = [first.state(), second.state()];
        (states.contains(&"MASTER".into()) && states.contains(&"BACKUP".into())).then_some(())
    });
    let (master, backup) = if first.state() == "MASTER" { ("r", "n") } else { ("n", "r") };
    all(master);
    gone(&site, backup);
    first.stop();
    second.stop();
    gone(&site, "r");
    gone(&site, "n");
}

#[test]
fn a_thousand_routes_come_and_go_in_their_order() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    // Each leads through the one before it.
    let mut lines = "10.50.0.0 dev eth0 scope link\n".to_owned();
    for n in 1..1000 {
        lines += &format!("10.50.{}.{} via 10.50.0.0 dev eth0\n", n / 250, n % 250);
    }
    let viprd = Viprd::start(&site, "r", &router(QUICK, &routes(&lines)));
    viprd.becomes("MASTER");
    eventually("all of them", || (ways(&site, "r").len() == 1000).then_some(()));
    assert!(!viprd.log().contains("refuses"), "{}", viprd.log());
    viprd.stop();
    gone(&site, "r");
}
