//! Adverts to unicast peers, over IPv4 and IPv6.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::keepalived::Keepalived;
use crate::packet::{Packet, Packet6};
use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Sender, Tap};
use crate::viprd::{QUICK, Viprd, router};

const R6: &str = "fe80::ff:fe00:1";
const N6: &str = "fe80::ff:fe00:2";

/// A virtual router of IPv6 with unicast peers.
fn router_of_ipv6(words: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n  interface eth0\n  virtual_router_id 51\n  version 3\n  {words}\n  \
         virtual_ipaddress {{\n    fe80::50/64\n    2001:db8::50/64\n  }}\n}}\n"
    )
}

fn site_of_both_families() -> Site {
    let site = Site::pair_with_ipv6();
    for (host, ip) in [("r", R6), ("n", N6)] {
        eventually("an address that is not tentative", || {
            let address = site.ipv6_address(host, "eth0", ip)?;
            (address["tentative"] != true).then_some(())
        });
    }
    site
}

#[test]
fn adverts_go_to_each_peer_and_nowhere_else() {
    if !able(&["tshark"]) {
        return;
    }
    for (words, version, ttl) in
        [("version 3\n  advert_int 0.1\n  unicast_ttl 64", "3", "64"), ("priority 254", "2", "255")]
    {
        let site = Site::pair();
        site.ip("n", "address add 10.9.0.3/24 dev eth0");
        site.ip("r", "address add 10.9.0.9/24 dev eth0");
        let tap = Tap::on(&site, "n");
        // A list that all of them share names this one, too.
        let peers = "unicast_src_ip 10.9.0.9\n  \
                     unicast_peer {\n 10.9.0.2\n 10.9.0.9\n 10.9.0.3\n }\n  ";
        let viprd = Viprd::start(&site, "r", &router(&(peers.to_owned() + words)));
        viprd.becomes("MASTER");
        assert_eq!(viprd.status()["master"], "10.9.0.9");
        let shown = viprd.ask(&["show", "VI_1"]);
        let listed = ["10.9.0.2", "10.9.0.9", "10.9.0.3"];
        assert_eq!(shown["unicast_peers"], serde_json::json!(listed));
        assert_eq!(shown["source"], "10.9.0.9");
        eventually("some adverts", || (tap.adverts().len() >= 6).then_some(()));
        eventually("gratuitous ARPs", || tap.frames().iter().any(Frame::is_arp).then_some(()));
        let igmp = site.inside("r", || std::fs::read_to_string("/proc/thread-self/net/igmp"));
        assert!(!igmp.expect("the kernel's table").contains("120000E0"), "joined the group");
        assert_eq!(viprd.counters()["own_address_rcvd"], 0);
        viprd.stop();
        eventually("priority 0", || (tap.adverts().last()?.priority() == Some(0)).then_some(()));

        let adverts = tap.adverts();
        let fields = [
            "eth.src",
            "eth.dst",
            "ip.src",
            "ip.dst",
            "ip.ttl",
            "ip.checksum.status",
            "vrrp.version",
            "vrrp.prio",
            "vrrp.ip_addr",
            "_ws.malformed",
        ];
        let read = shark::read(&site, &adverts, &fields);
        crate::lifecycle::assert_good_checksums(&site, &adverts);
        for advert in &read {
            assert_eq!(advert["eth.src"], "02:00:00:00:00:01");
            assert_eq!(advert["eth.dst"], "02:00:00:00:00:02", "no group");
            assert_eq!((&*advert["ip.src"], &*advert["ip.ttl"]), ("10.9.0.9", ttl));
            assert_eq!((&*advert["ip.checksum.status"], &*advert["vrrp.version"]), ("1", version));
            assert_eq!((&*advert["vrrp.ip_addr"], &*advert["_ws.malformed"]), ("10.9.0.50", ""));
        }
        for peer in ["10.9.0.2", "10.9.0.3"] {
            let to: Vec<_> = read.iter().filter(|advert| advert["ip.dst"] == peer).collect();
            assert!(to.len() * 2 == read.len(), "{peer}: {} of {}", to.len(), read.len());
            assert_eq!(to.last().map(|advert| &*advert["vrrp.prio"]), Some("0"));
        }
    }
}

#[test]
fn adverts_over_ipv6_go_to_global_and_link_local_peers() {
    if !able(&["tshark"]) {
        return;
    }
    let site = site_of_both_families();
    site.ip("n", "address add 2001:db8::2/64 dev eth0 nodad");
    site.ip("r", "address add 2001:db8::1/64 dev eth0 nodad");
    let tap = Tap::on(&site, "n");
    let words =
        format!("advert_int 0.1\n  unicast_ttl 3\n  unicast_peer {{\n {N6}\n 2001:db8::2\n }}\n");
    let viprd = Viprd::start(&site, "r", &router_of_ipv6(&words));
    viprd.becomes("MASTER");
    eventually("some adverts", || (tap.adverts().len() >= 6).then_some(()));
    let fields =
        ["eth.dst", "ipv6.src", "ipv6.dst", "ipv6.hlim", "vrrp.checksum.status", "vrrp.ipv6_addr"];
    let preferences = ["vrrp.v3_checksum_as_in_v2:FALSE"];
    let read = shark::read_with(&site, &tap.adverts(), &fields, &preferences);
    for advert in &read {
        assert_eq!(advert["eth.dst"], "02:00:00:00:00:02", "no group");
        assert_eq!((&*advert["ipv6.src"], &*advert["ipv6.hlim"]), (R6, "3"));
        assert_eq!(advert["vrrp.checksum.status"], "1", "good");
        assert_eq!(advert["vrrp.ipv6_addr"], "fe80::50,2001:db8::50");
    }
    for peer in [N6, "2001:db8::2"] {
        assert!(read.iter().any(|advert| advert["ipv6.dst"] == peer), "{peer}");
    }
    let igmp = site.inside("r", || std::fs::read_to_string("/proc/thread-self/net/igmp6"));
    let group = "ff020000000000000000000000000012";
    assert!(!igmp.expect("the kernel's table").contains(group), "joined the group");
}

/// What may be heard, and from whom.
#[test]
fn only_peers_are_heard_where_that_is_wanted() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.ip("n", "address add 10.9.0.3/24 dev eth0");
    let peers = "unicast_peer {\n 10.9.0.2\n 10.9.0.3 min_ttl 60 max_ttl 64\n }\n";
    let viprd = Viprd::start(
        &site,
        "r",
        &router(&format!("version 3\n  priority 150\n  advert_int 40\n  {peers}")),
    );
    viprd.becomes("BACKUP");
    let sender = Sender::on(&site, "n", "eth0");
    let ours = Ipv4Addr::new(10, 9, 0, 1);
    let three = Ipv4Addr::new(10, 9, 0, 3);
    let good = Packet { destination: ours, priority: 200, interval: 4000, ..Packet::default() };
    for (what, packet, counter) in [
        (
            "a group",
            Packet { destination: Ipv4Addr::new(224, 0, 0, 18), ..good.clone() },
            // The interface has not joined it, so nobody hears it.
            None,
        ),
        (
            "a stranger",
            Packet { source: Ipv4Addr::new(10, 9, 0, 4), ..good.clone() },
            Some("peer_errors"),
        ),
        ("too far", Packet { source: three, ttl: 59, ..good.clone() }, Some("ip_ttl_errors")),
        ("too near", Packet { source: three, ttl: 65, ..good.clone() }, Some("ip_ttl_errors")),
        (
            "in between",
            Packet { source: three, ttl: 60, ..good.clone() },
            Some("advertisement_rcvd"),
        ),
        ("any TTL", Packet { ttl: 1, ..good.clone() }, Some("advertisement_rcvd")),
    ] {
        let before = viprd.counters();
        sender.send(&packet.frame());
        let Some(counter) = counter else { continue };
        let after = eventually(what, || {
            let after = viprd.counters();
            (after != before).then_some(after)
        });
        let sum = |counters: &Value| -> u64 {
            counters.as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum()
        };
        let differs = after[counter].as_u64() > before[counter].as_u64();
        assert!(differs && sum(&after) == sum(&before) + 1, "{what}: {before} {after}");
    }
    assert_eq!(viprd.status()["master"], "10.9.0.2");
    assert_eq!(viprd.state(), "BACKUP");
}

/// Somebody else's advert, where nobody asks who it is; and one to a group that somebody else on
/// this host has joined.
#[test]
fn anybody_is_heard_where_nothing_else_is_wanted() {
    if !able(&[]) {
        return;
    }
    let site = site_of_both_families();
    let two = router("version 3\n  priority 150\n  advert_int 40")
        .replace("VI_1", "VI_2")
        .replace("virtual_router_id 51", "virtual_router_id 52")
        .replace("10.9.0.50", "10.9.0.52");
    let one =
        router("version 3\n  priority 150\n  advert_int 40\n  unicast_peer {\n 10.9.0.3\n }\n");
    let viprd = Viprd::start(&site, "r", &(one + &two));
    viprd.becomes("BACKUP");
    let sender = Sender::on(&site, "n", "eth0");
    let good = Packet { priority: 200, interval: 4000, ..Packet::default() };
    sender.send(&good.frame());
    eventually("one to the group", || (viprd.counters()["destination_errors"] == 1).then_some(()));
    assert_eq!(viprd.status()["master"], Value::Null);
    let source = Ipv4Addr::new(10, 9, 0, 77);
    let destination = Ipv4Addr::new(10, 9, 0, 1);
    sender.send(&Packet { source, destination, ttl: 9, ..good }.frame());
    eventually("a master", || (viprd.status()["master"] == "10.9.0.77").then_some(()));
}

/// From the group to a peer, to another one, and back to the group, as master all the time.
#[test]
fn a_reload_changes_where_adverts_go() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.ip("n", "address add 10.9.0.3/24 dev eth0");
    let tap = Tap::on(&site, "n");
    let text = |peers: &str| router(&format!("{QUICK}\n  {peers}"));
    let (two, three) = ("unicast_peer {\n 10.9.0.2\n }\n", "unicast_peer {\n 10.9.0.3\n }\n");
    let viprd = Viprd::start(&site, "r", &text(""));
    viprd.becomes("MASTER");
    for (peers, to) in [
        (two, [10, 9, 0, 2]),
        (three, [10, 9, 0, 3]),
        ("", [224, 0, 0, 18]),
        ("mcast_src_ip 10.9.0.7", [224, 0, 0, 18]),
    ] {
        viprd.reload(&text(peers));
        let goes = |advert: &Frame| advert.bytes.get(30..34) == Some(&to);
        eventually("adverts go elsewhere", || {
            tap.adverts().last().filter(|it| goes(it)).map(|_| ())
        });
        let igmp = site.inside("r", || std::fs::read_to_string("/proc/thread-self/net/igmp"));
        let joined = igmp.expect("the kernel's table").contains("120000E0");
        assert_eq!(joined, to[0] == 224, "the group, with {peers}");
    }
    eventually("another source", || {
        (tap.adverts().last()?.bytes.get(26..30) == Some(&[10, 9, 0, 7])).then_some(())
    });
    assert_eq!(viprd.counters()["master_transitions"], 1);
    assert_eq!(viprd.status()["master"], "10.9.0.7");
    assert!(!tap.adverts().iter().any(|advert| advert.priority() == Some(0)));
}

/// Two unicast routers with one vrid on one interface: each hears its own peer.
#[test]
fn one_vrid_may_serve_two_lists_of_peers() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let one = router("version 3\n  advert_int 40\n  unicast_peer {\n 10.9.0.2\n }\n");
    let two = router("version 3\n  advert_int 40\n  unicast_peer {\n 10.9.0.3\n }\n")
        .replace("VI_1", "VI_2")
        .replace("10.9.0.50", "10.9.0.52");
    let viprd = Viprd::start(&site, "r", &(one + &two));
    viprd.becomes("BACKUP");
    let sender = Sender::on(&site, "n", "eth0");
    let master = |name: &str| viprd.ask(&["status", name])[0]["master"].clone();
    for (last, name) in [(2, "VI_1"), (3, "VI_2")] {
        let source = Ipv4Addr::new(10, 9, 0, last);
        let destination = Ipv4Addr::new(10, 9, 0, 1);
        sender.send(
            &Packet { source, destination, priority: 200, interval: 4000, ..Packet::default() }
                .frame(),
        );
        eventually("its master", || (master(name) == source.to_string()).then_some(()));
    }
    assert_eq!(master("VI_1"), "10.9.0.2");
}

#[test]
fn without_peers_it_is_in_fault_if_that_is_wanted() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router("version 3\n  unicast_fault_no_peer"));
    viprd.becomes("FAULT");
    assert_eq!(viprd.status()["fault"], "it has no unicast peers");
    assert!(tap.adverts().is_empty());
}

/// Where its own address lives may have been forgotten, or be another place, after a fault.
#[test]
fn its_own_address_is_announced_after_a_fault() {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let words = "version 3\n  unicast_peer {\n 10.9.0.2\n }\n  track_interface {\n veth9\n }";
    let viprd = Viprd::start(&site, "r", &router(words));
    viprd.becomes("FAULT");
    let tap = Tap::on(&site, "n");
    site.ip("r", "link add veth9 type veth peer name veth8");
    site.ip("r", "link set veth8 up");
    site.ip("r", "link set veth9 up");
    viprd.becomes("BACKUP");
    eventually("a gratuitous ARP", || tap.frames().iter().any(Frame::is_arp).then_some(()));
    let arps: Vec<Frame> = tap.frames().into_iter().filter(Frame::is_arp).collect();
    let fields = ["arp.isgratuitous", "arp.src.proto_ipv4", "arp.src.hw_mac"];
    let read = shark::read(&site, &arps, &fields);
    assert_eq!(read[0]["arp.isgratuitous"], "1");
    assert_eq!(read[0]["arp.src.proto_ipv4"], "10.9.0.1");
    assert_eq!(read[0]["arp.src.hw_mac"], "02:00:00:00:00:01");
}

/// An advert over IPv6 from a peer, with the hop limit that it has.
#[test]
fn peers_of_ipv6_are_heard() {
    if !able(&[]) {
        return;
    }
    let site = site_of_both_families();
    let words = format!(
        "priority 150\n  advert_int 40\n  check_unicast_src\n  unicast_peer {{\n {N6}\n }}\n"
    );
    let viprd = Viprd::start(&site, "r", &router_of_ipv6(&words));
    viprd.becomes("BACKUP");
    let sender = Sender::on(&site, "n", "eth0");
    let destination = R6.parse().expect("an address");
    let good =
        Packet6 { destination, hop_limit: 7, priority: 200, interval: 4000, ..Packet6::default() };
    let stranger = "fe80::7".parse().expect("an address");
    sender.send(&Packet6 { source: stranger, ..good.clone() }.frame());
    eventually("a stranger", || (viprd.counters()["peer_errors"] == 1).then_some(()));
    sender.send(&good.frame());
    eventually("a master", || (viprd.status()["master"] == N6).then_some(()));
}

#[test]
fn keepalived_of_version_2() {
    hand_over(Site::pair, "10.9.0.1", "10.9.0.2", &router, "version 2\n  advert_int 1");
}

#[test]
fn keepalived_of_version_2_with_an_authentication_header() {
    let words = "advert_int 1\n  authentication {\n auth_type AH\n auth_pass secret12\n }";
    hand_over(Site::pair, "10.9.0.1", "10.9.0.2", &router, words);
}

#[test]
fn keepalived_of_version_3() {
    hand_over(Site::pair, "10.9.0.1", "10.9.0.2", &router, "version 3\n  advert_int 1");
}

#[test]
fn keepalived_over_ipv6() {
    hand_over(site_of_both_families, R6, N6, &router_of_ipv6, "advert_int 1");
}

/// keepalived as backup, as master, and as backup again.
fn hand_over(
    site: impl Fn() -> Site,
    r: &str,
    n: &str,
    router: &dyn Fn(&str) -> String,
    words: &str,
) {
    if !able(&["keepalived"]) {
        return;
    }
    let site = site();
    let tap = Tap::on(&site, "n");
    let configuration = |own: &str, peer: &str, priority: u8| {
        router(&format!(
            "{words}\n  priority {priority}\n  unicast_src_ip {own}\n  check_unicast_src\n  \
             unicast_peer {{\n    {peer}\n  }}\n"
        ))
    };
    let keepalived = Keepalived::start(&site, "n", &configuration(n, r, 100));
    keepalived.logs("Entering MASTER STATE", 1);

    let viprd = Viprd::start(&site, "r", &configuration(r, n, 150));
    viprd.becomes("BACKUP");
    eventually("we hear it", || {
        (viprd.counters()["advertisement_rcvd"].as_u64() > Some(0)).then_some(())
    });
    viprd.becomes("MASTER");
    keepalived.logs("Entering BACKUP STATE", 2);
    let counters = viprd.counters();
    for counter in ["checksum_errors", "address_list_errors", "ip_ttl_errors", "peer_errors"] {
        assert_eq!(counters[counter], 0, "{counter}");
    }
    viprd.stop();
    keepalived.logs("Entering MASTER STATE", 2);
    assert!(keepalived.log().contains("received priority 0"), "{}", keepalived.log());

    let viprd = Viprd::start(&site, "r", &configuration(r, n, 50));
    eventually("its master", || (viprd.status()["master"] == n).then_some(()));
    assert_eq!((&viprd.status()["master_priority"], &*viprd.state()), (&100.into(), "BACKUP"));
    keepalived.stop();
    viprd.becomes("MASTER");
    assert!(viprd.counters()["priority_zero_pkts_rcvd"].as_u64() >= Some(1));
    let groups = |frame: &Frame| frame.bytes.first().is_some_and(|first| first & 1 == 1);
    assert!(!tap.adverts().iter().any(groups), "an advert to the group");
}
