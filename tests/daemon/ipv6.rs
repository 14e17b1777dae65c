//! VRRPv3 over IPv6, end to end.

use std::net::Ipv6Addr;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::keepalived::Keepalived;
use crate::packet::{Packet, Packet6};
use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Sender, Tap};
use crate::viprd::{QUICK, Viprd};

const R: &str = "fe80::ff:fe00:1";
const N: &str = "fe80::ff:fe00:2";

/// A virtual router of IPv6 on `eth0` with vrid 51.
pub(crate) fn router(words: &str) -> String {
    named("VI_1", words)
}

/// One of that name.
fn named(name: &str, words: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n  interface eth0\n  virtual_router_id 51\n  version 3\n  {words}\n  \
         virtual_ipaddress {{\n    fe80::50/64\n    2001:db8::50/48\n  }}\n}}\n"
    )
}

/// Ten adverts a second, priority 150.
const TENTHS: &str = "advert_int 0.1\n  priority 150";

fn ready(site: &Site) {
    for (host, ip) in [("r", R), ("n", N)] {
        eventually("an address that is not tentative", || {
            let address = site.ipv6_address(host, "eth0", ip)?;
            (address["tentative"] != true).then_some(())
        });
    }
}

#[test]
fn from_start_to_stop_by_the_ring() {
    from_start_to_stop("uring");
}

#[test]
fn from_start_to_stop_by_epoll() {
    from_start_to_stop("epoll");
}

fn from_start_to_stop(io: &str) {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start_with(&site, "r", &router(TENTHS), &["--io", io]);
    viprd.becomes("FAULT");
    let fault = viprd.status()["fault"].to_string();
    assert!(fault.contains("eth0 has no link-local IPv6 address"), "{fault}");

    for host in ["r", "n"] {
        site.set_ipv6(host, "eth0", true);
    }
    viprd.becomes("MASTER");
    for (ip, length) in [("fe80::50", 64), ("2001:db8::50", 48)] {
        let address = eventually("the address", || site.ipv6_address("r", "eth0", ip));
        assert_eq!(address["prefixlen"], length);
        assert_eq!(address["nodad"], true, "no duplicate address detection: {address}");
        assert_ne!(address["tentative"], true);
    }
    let status = viprd.status();
    assert_eq!((&status["master"], &status["ip_version"]), (&R.into(), &6.into()));
    assert_eq!(status["addresses"][1]["address"], "2001:db8::50/48");
    eventually("ten advertisements of each address", || {
        let frames = tap.frames();
        let count = frames.iter().filter(|frame| frame.is_neighbour_advertisement()).count();
        (count >= 20).then_some(())
    });
    eventually("some adverts", || (tap.adverts().len() >= 5).then_some(()));
    assert!(has_joined(&site, "r"), "the group");

    viprd.stop();
    for ip in ["fe80::50", "2001:db8::50"] {
        assert_eq!(site.ipv6_address("r", "eth0", ip), None, "left behind");
    }
    eventually("priority 0", || (tap.adverts().last()?.priority() == Some(0)).then_some(()));
    judge_adverts(&site, &tap.adverts());
    let all: Vec<Frame> = tap.frames();
    let advertisements: Vec<Frame> =
        all.iter().filter(|frame| frame.is_neighbour_advertisement()).cloned().collect();
    judge_advertisements(&site, &advertisements);
    let joins = shark::read(&site, &all, &["icmpv6.mldr.mar.multicast_address"]);
    assert!(
        joins.iter().any(|read| read["icmpv6.mldr.mar.multicast_address"].contains("ff02::12")),
        "a report of having joined ff02::12"
    );
}

/// At boot the address is tentative: that is no fault, only a reason to wait.
#[test]
fn a_tentative_address_is_waited_for() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let transmits = "/proc/sys/net/ipv6/conf/eth0/dad_transmits";
    site.inside("r", || std::fs::write(transmits, "4")).expect("a setting");
    let tap = Tap::on(&site, "n");
    site.set_ipv6("r", "eth0", true);
    let viprd = Viprd::start(&site, "r", &router(TENTHS));
    let status = viprd.status();
    assert_eq!(status["state"], "INIT", "{status}");
    assert!(status["fault"].to_string().contains("still checked for duplicates"), "{status}");
    viprd.becomes("MASTER");
    assert!(!viprd.log().contains("FAULT"), "{}", viprd.log());
    let solicits = |frame: &Frame| frame.is_ipv6() && frame.bytes.get(54) == Some(&135);
    let frames = tap.frames();
    let probes = frames.iter().filter(|frame| solicits(frame)).count();
    assert_eq!(probes, 4, "of its own address, and none of a virtual one");
}

fn judge_adverts(site: &Site, adverts: &[Frame]) {
    let fields = [
        "eth.src",
        "eth.dst",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hlim",
        "ipv6.nxt",
        "ipv6.plen",
        "vrrp.version",
        "vrrp.type",
        "vrrp.virt_rtr_id",
        "vrrp.prio",
        "vrrp.addr_count",
        "vrrp.short_adver_int",
        "vrrp.checksum.status",
        "vrrp.ipv6_addr",
        "_ws.malformed",
    ];
    let read = shark::read_with(site, adverts, &fields, &["vrrp.v3_checksum_as_in_v2:FALSE"]);
    let last = read.len() - 1;
    for (at, advert) in read.iter().enumerate() {
        assert_eq!(advert["eth.src"], "02:00:00:00:00:01", "the interface's own");
        assert_eq!(advert["eth.dst"], "33:33:00:00:00:12");
        assert_eq!((&*advert["ipv6.src"], &*advert["ipv6.dst"]), (R, "ff02::12"));
        assert_eq!((&*advert["ipv6.hlim"], &*advert["ipv6.nxt"]), ("255", "112"));
        assert_eq!(advert["ipv6.plen"], "40", "8 and two addresses");
        assert_eq!((&*advert["vrrp.version"], &*advert["vrrp.type"]), ("3", "1"));
        assert_eq!(advert["vrrp.virt_rtr_id"], "51");
        assert_eq!(advert["vrrp.short_adver_int"], "10", "centiseconds");
        assert_eq!(advert["vrrp.checksum.status"], "1", "good, pseudo-header and all");
        assert_eq!(advert["vrrp.addr_count"], "2");
        assert_eq!(advert["vrrp.ipv6_addr"], "fe80::50,2001:db8::50");
        assert_eq!(advert["_ws.malformed"], "");
        assert_eq!(advert["vrrp.prio"] == "0", at == last, "priority 0 comes last, and once");
    }
}

fn judge_advertisements(site: &Site, advertisements: &[Frame]) {
    let fields = [
        "eth.src",
        "eth.dst",
        "ipv6.dst",
        "ipv6.hlim",
        "icmpv6.type",
        "icmpv6.code",
        "icmpv6.checksum.status",
        "icmpv6.nd.na.flag.r",
        "icmpv6.nd.na.flag.s",
        "icmpv6.nd.na.flag.o",
        "icmpv6.nd.na.target_address",
        "icmpv6.opt.type",
        "icmpv6.opt.linkaddr",
        "_ws.malformed",
    ];
    let mut targets = Vec::new();
    for read in shark::read(site, advertisements, &fields) {
        if read["icmpv6.nd.na.flag.r"] != "1" && read["icmpv6.nd.na.flag.r"] != "True" {
            continue; // the kernel's own
        }
        assert_eq!(read["eth.src"], "02:00:00:00:00:01");
        assert_eq!((&*read["eth.dst"], &*read["ipv6.dst"]), ("33:33:00:00:00:01", "ff02::1"));
        assert_eq!((&*read["ipv6.hlim"], &*read["icmpv6.code"]), ("255", "0"));
        assert_eq!(read["icmpv6.checksum.status"], "1", "good");
        assert!(["0", "False"].contains(&&*read["icmpv6.nd.na.flag.s"]), "{read:?}");
        assert!(["1", "True"].contains(&&*read["icmpv6.nd.na.flag.o"]), "{read:?}");
        assert_eq!(read["icmpv6.opt.type"], "2", "the target's link-layer address");
        assert_eq!(read["icmpv6.opt.linkaddr"], "02:00:00:00:00:01");
        assert_eq!(read["_ws.malformed"], "");
        targets.push(read["icmpv6.nd.na.target_address"].clone());
    }
    for ip in ["fe80::50", "2001:db8::50"] {
        assert_eq!(targets.iter().filter(|target| *target == ip).count(), 10, "{ip}");
    }
}

/// Whether `eth0` of `host` has joined ff02::12 (`/proc/net/igmp6`).
fn has_joined(site: &Site, host: &str) -> bool {
    let groups = site.inside(host, || std::fs::read_to_string("/proc/thread-self/net/igmp6"));
    groups
        .expect("the kernel's table")
        .lines()
        .any(|line| line.contains(" eth0 ") && line.contains("ff020000000000000000000000000012"))
}

/// One packet, one counter, and nothing else happens.
#[test]
fn each_bad_packet_is_counted_once() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let viprd = Viprd::start(&site, "r", &router("advert_int 40\n  priority 150"));
    viprd.becomes("BACKUP");
    let sender = Sender::on(&site, "n", "eth0");
    let master = Packet6 { priority: 200, interval: 4000, ..Packet6::default() };
    sender.send(&master.frame());
    eventually("a master", || (viprd.status()["master"] == N).then_some(()));
    let good = || master.clone();
    let two: Ipv6Addr = "2001:db8::50".parse().expect("an address");
    for (what, packet, counter) in [
        ("hop limit", Packet6 { hop_limit: 254, ..good() }, "/routers/0/counters/ip_ttl_errors"),
        ("version 2", Packet6 { first: 0x21, ..good() }, "/routers/0/counters/version_errors"),
        ("version 4", Packet6 { first: 0x41, ..good() }, "/routers/0/counters/version_errors"),
        ("type", Packet6 { first: 0x32, ..good() }, "/routers/0/counters/invalid_type_pkts_rcvd"),
        ("cut", Packet6 { cut: 1, ..good() }, "/routers/0/counters/packet_length_errors"),
        ("count", Packet6 { count: Some(9), ..good() }, "/routers/0/counters/packet_length_errors"),
        (
            "none",
            Packet6 { addresses: vec![], ..good() },
            "/routers/0/counters/packet_length_errors",
        ),
        (
            "no pseudo-header",
            Packet6 { message_only: true, ..good() },
            "/routers/0/counters/checksum_errors",
        ),
        ("vrid", Packet6 { vrid: 52, ..good() }, "/daemon/unattributed/vrid_errors"),
        ("interval 0", Packet6 { interval: 0, ..good() }, "/routers/0/counters/interval_errors"),
        (
            "to us alone",
            Packet6 { destination: R.parse().expect("an address"), ..good() },
            "/routers/0/counters/destination_errors",
        ),
    ] {
        let before = viprd.ask(&["stats"]);
        sender.send(&packet.frame());
        let after = eventually(what, || {
            let after = viprd.ask(&["stats"]);
            (after != before).then_some(after)
        });
        let count = |stats: &Value| stats.pointer(counter).and_then(Value::as_u64);
        let sum = |stats: &Value| sum(stats);
        assert_eq!(count(&after), count(&before).map(|count| count + 1), "{what}");
        assert_eq!(sum(&after), sum(&before) + 1, "{what}: {before} {after}");
        assert_eq!(viprd.state(), "BACKUP");
    }
    // Those that are kept although something differs.
    let before = viprd.counters();
    sender.send(&Packet6 { addresses: vec![two, two], ..good() }.frame());
    eventually("another list", || {
        let now = viprd.counters();
        (now["address_list_errors"].as_u64() > before["address_list_errors"].as_u64()).then_some(())
    });
    assert_eq!(viprd.status()["master"], N);
}

/// The sum of all numbers in a value.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::Array(all) => all.iter().map(sum).sum(),
        // What the daemon counts of itself goes on by itself.
        Value::Object(all) => all
            .iter()
            .filter(|(name, _)| *name != "counters" || all.len() > 2)
            .map(|(_, v)| sum(v))
            .sum(),
        _ => 0,
    }
}

/// IPv4 and IPv6 have vrids of their own.
#[test]
fn the_same_vrid_of_both_families_is_two_routers() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let both = crate::viprd::router(QUICK) + &named("VI_6", TENTHS);
    let viprd = Viprd::start(&site, "r", &both);
    viprd.becomes("MASTER");
    let six = || viprd.ask(&["status", "VI_6"])[0].take();
    eventually("the other master", || (six()["state"] == "MASTER").then_some(()));
    assert_eq!(viprd.status()["master"], "10.9.0.1");
    assert_eq!(six()["master"], R);

    // One yields, the other one does not notice.
    let sender = Sender::on(&site, "n", "eth0");
    sender.send(&Packet6 { priority: 200, interval: 4095, ..Packet6::default() }.frame());
    eventually("it yields", || (six()["state"] == "BACKUP").then_some(()));
    eventually("its addresses' end", || match site.ipv6_address("r", "eth0", "fe80::50") {
        None => Some(()),
        Some(_) => None,
    });
    assert_eq!(viprd.state(), "MASTER");
    assert!(site.address("r", "eth0", "10.9.0.50").is_some());
    sender.send(&Packet { priority: 200, interval: 4095, ..Packet::default() }.frame());
    viprd.becomes("BACKUP");
    assert_eq!(six()["master"], N);
    assert_eq!(viprd.status()["master"], "10.9.0.2");
}

/// Of two equals the higher address stays, as an unsigned number of 128 bits.
#[test]
fn equals_are_told_apart_by_their_addresses() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let viprd = Viprd::start(&site, "r", &router(TENTHS));
    viprd.becomes("MASTER");
    let sender = Sender::on(&site, "n", "eth0");
    let equal = Packet6 { priority: 150, interval: 10, ..Packet6::default() };
    let lower = "fe80::ff:fe00:0".parse().expect("an address");
    sender.send(&Packet6 { source: lower, ..equal.clone() }.frame());
    viprd.logs("forcing new election");
    assert_eq!(viprd.state(), "MASTER");
    let higher = "fe80::8000:0:0:1".parse().expect("an address");
    sender.send(&Packet6 { source: higher, interval: 4095, ..equal }.frame());
    viprd.becomes("BACKUP");
    assert_eq!(viprd.status()["master"], "fe80::8000:0:0:1");
}

/// Killed outright, it leaves its addresses; the next one takes them away.
#[test]
fn leftovers_of_a_crash_are_removed() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let mut viprd = Viprd::start(&site, "r", &router(TENTHS));
    viprd.becomes("MASTER");
    eventually("the address", || site.ipv6_address("r", "eth0", "2001:db8::50"));
    viprd.signal(Signal::SIGKILL);
    viprd.wait();
    assert!(site.ipv6_address("r", "eth0", "fe80::50").is_some(), "nobody could remove it");
    let viprd = Viprd::start(&site, "r", &router("advert_int 10\n  priority 50"));
    viprd.logs("removed 2 virtual addresses");
    assert_eq!(viprd.state(), "BACKUP", "it does not send from an address that was left behind");
    assert_eq!(site.ipv6_addresses("r", "eth0").len(), 1);
}

/// IPv6 goes from the interface and comes back: with it go the address and the membership.
#[test]
fn ipv6_that_is_switched_off_and_on() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let viprd = Viprd::start(&site, "r", &router("advert_int 1\n  priority 150"));
    viprd.becomes("BACKUP");
    let sender = Sender::on(&site, "n", "eth0");
    for _ in 0..2 {
        site.set_ipv6("r", "eth0", false);
        viprd.becomes("FAULT");
        sleep(Duration::from_millis(100));
        site.set_ipv6("r", "eth0", true);
        viprd.becomes("BACKUP");
        sender.send(&Packet6 { priority: 200, interval: 4095, ..Packet6::default() }.frame());
        eventually("a master is heard", || (viprd.status()["master"] == N).then_some(()));
    }
    // An interface too narrow for IPv6 loses all that IPv6 knows of it.
    site.ip("r", "link set eth0 mtu 1200");
    viprd.becomes("FAULT");
    site.ip("r", "link set eth0 mtu 1500");
    site.set_ipv6("r", "eth0", true);
    viprd.becomes("BACKUP");
    sender.send(&Packet6 { priority: 200, interval: 4095, ..Packet6::default() }.frame());
    eventually("a master is heard", || (viprd.status()["master"] == N).then_some(()));
}

/// Neighbours that knew the address elsewhere learn where it lives now, and reach it there.
#[test]
fn neighbours_learn_where_the_address_lives() {
    if !able(&["ping"]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    site.ip("n", "address add 2001:db8::2/64 dev eth0 nodad");
    let elsewhere = "lladdr 02:00:00:00:00:99 nud stale";
    for ip in ["fe80::50", "2001:db8::50"] {
        site.ip("n", &format!("neighbour add {ip} dev eth0 {elsewhere}"));
    }
    let viprd = Viprd::start(&site, "r", &router(TENTHS));
    viprd.becomes("MASTER");
    for ip in ["fe80::50", "2001:db8::50"] {
        eventually("the neighbour's entry", || {
            let entry = site.ip_json("n", &format!("-6 neighbour show to {ip} dev eth0"));
            // It is a router's, too.
            let here = entry[0]["lladdr"] == "02:00:00:00:00:01";
            (here && entry[0].get("router").is_some()).then_some(())
        });
    }
    let reached = site.inside("n", || {
        let arguments = ["-6", "-c", "1", "-W", "5", "2001:db8::50"];
        std::process::Command::new("ping").args(arguments).output().expect("ping runs")
    });
    assert!(reached.status.success(), "{}", String::from_utf8_lossy(&reached.stdout));
}

/// An interface that goes down takes its IPv6 addresses with it, ours as well.
#[test]
fn a_link_that_goes_down_and_up() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let viprd = Viprd::start(&site, "r", &router(TENTHS));
    viprd.becomes("MASTER");
    eventually("the address", || site.ipv6_address("r", "eth0", "fe80::50"));
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    assert!(!viprd.log().contains("removed by someone else"), "{}", viprd.log());
    site.ip("r", "link set eth0 up");
    viprd.becomes("MASTER");
    for ip in ["fe80::50", "2001:db8::50"] {
        eventually("the address", || site.ipv6_address("r", "eth0", ip));
    }
    let tap = Tap::on(&site, "n");
    let from_r =
        |frame: &Frame| frame.bytes.get(22..38) == Some(&R.parse::<Ipv6Addr>().unwrap().octets());
    eventually("adverts", || tap.adverts().iter().any(from_r).then_some(()));
}

/// keepalived as backup, as master, and as backup again.
#[test]
fn keepalived_and_viprd_hand_over() {
    if !able(&["keepalived"]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    ready(&site);
    let words = |priority| format!("advert_int 1\n  priority {priority}");
    let keepalived = Keepalived::start(&site, "n", &router(&words(100)));
    keepalived.logs("Entering MASTER STATE", 1);
    eventually("its address", || site.ipv6_address("n", "eth0", "fe80::50"));

    // It hears us, and yields.
    let viprd = Viprd::start(&site, "r", &router(&words(150)));
    viprd.becomes("BACKUP");
    eventually("we hear it", || {
        (viprd.counters()["advertisement_rcvd"].as_u64() > Some(0)).then_some(())
    });
    viprd.becomes("MASTER");
    keepalived.logs("Entering BACKUP STATE", 2);
    eventually("our address", || site.ipv6_address("r", "eth0", "2001:db8::50"));

    // We leave, it takes over at once.
    let counters = viprd.counters();
    for counter in ["checksum_errors", "address_list_errors", "ip_ttl_errors", "interval_errors"] {
        assert_eq!(counters[counter], 0, "{counter}");
    }
    viprd.stop();
    keepalived.logs("Entering MASTER STATE", 2);
    assert!(keepalived.log().contains("received priority 0"), "{}", keepalived.log());

    // We follow it, and take over when it leaves.
    let viprd = Viprd::start(&site, "r", &router(&words(50)));
    eventually("its master", || (viprd.status()["master"] == N).then_some(()));
    assert_eq!((&viprd.status()["master_priority"], &*viprd.state()), (&100.into(), "BACKUP"));
    keepalived.stop();
    viprd.becomes("MASTER");
    eventually("our address", || site.ipv6_address("r", "eth0", "fe80::50"));
    assert!(viprd.counters()["priority_zero_pkts_rcvd"].as_u64() >= Some(1));
}
