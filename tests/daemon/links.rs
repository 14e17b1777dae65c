//! What may happen to interfaces and addresses while the daemon runs.

use std::thread::sleep;
use std::time::Duration;

use crate::lifecycle::assert_good_checksums;
use crate::packet::Packet;
use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Sender, Tap};
use crate::viprd::{QUICK, Viprd, router, viprctl};

/// Waits for adverts from now on.
fn adverts_arrive(tap: &Tap) {
    tap.clear();
    eventually("adverts", || (tap.adverts().len() >= 3).then_some(()));
}

/// Whether `link` of `host` has joined the VRRP group (`proc_net(5)`: addresses in host order).
fn has_joined(site: &Site, host: &str, link: &str) -> bool {
    let igmp = site.inside(host, || std::fs::read_to_string("/proc/thread-self/net/igmp"));
    let igmp = igmp.expect("the kernel's table");
    let mut here = false;
    for line in igmp.lines() {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            here = line.split_whitespace().nth(1) == Some(link);
        } else if here && line.trim_start().starts_with("120000E0") {
            return true;
        }
    }
    false
}

#[test]
fn an_interface_that_is_absent_at_the_start() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("FAULT");
    let fault = viprd.status()["fault"].to_string();
    assert!(fault.contains("eth0"), "which one: {fault}");
    assert!(viprd.log().contains("eth0"), "{}", viprd.log());
    let tap = Tap::on(&site, "n");
    site.wire(("r", "eth0"), ("n", "eth0"));
    sleep(Duration::from_millis(300));
    assert_eq!(viprd.state(), "FAULT", "no address to send from");
    site.ip("r", "address add 10.9.0.1/24 dev eth0");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    assert!(has_joined(&site, "r", "eth0"));
    adverts_arrive(&tap);
}

/// Again and again: each time it is another interface to the kernel (a new index), and what was
/// joined there has gone with it. More often than one socket may join groups (20).
#[test]
fn an_interface_deleted_and_made_again() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    site.ip("r", "link delete eth0");
    viprd.becomes("FAULT");
    for _ in 0..22 {
        site.ip("r", "link add eth0 type veth peer name other0");
        eventually("membership", || has_joined(&site, "r", "eth0").then_some(()));
        site.ip("r", "link delete eth0");
    }
    site.wire(("r", "eth0"), ("n", "eth0"));
    site.ip("r", "address add 10.9.0.1/24 dev eth0");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    assert!(has_joined(&site, "r", "eth0"));
    adverts_arrive(&tap);
    hears(&site, &viprd);
}

/// A master that hears a better one becomes its backup.
fn hears(site: &Site, viprd: &Viprd) {
    let sender = Sender::on(site, "n", "eth0");
    sender.send(&Packet { priority: 200, interval: 4095, ..Packet::default() }.frame());
    viprd.becomes("BACKUP");
    eventually("the address's end", || match site.address("r", "eth0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
}

/// So quickly that it may see the end of the old and the beginning of the new one in one look.
#[test]
fn an_interface_replaced_at_once() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    for _ in 0..5 {
        let namespace = site.namespace("n");
        site.ip_batch(
            "r",
            &format!(
                "link delete eth0\n\
                 link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 netns {namespace}\n\
                 link set eth0 up\naddress add 10.9.0.1/24 dev eth0\n"
            ),
        );
        site.ip("n", "link set eth0 up");
        viprd.becomes("MASTER");
        eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
        assert!(has_joined(&site, "r", "eth0"));
        adverts_arrive(&tap);
    }
    hears(&site, &viprd);
}

#[test]
fn an_interface_renamed_away_and_back() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    // The kernel renames interfaces that are up since Linux 6.3 or so.
    site.ip("r", "link set eth0 name away0");
    viprd.becomes("FAULT");
    eventually("the address's end", || match site.address("r", "away0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
    site.ip("r", "link set away0 name eth0");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    adverts_arrive(&tap);
    hears(&site, &viprd);
}

#[test]
fn an_interface_down_and_up() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    // Down here; then up here, but the other end of the cable is out.
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    viprd.logs("Kernel is reporting: interface eth0 DOWN");
    eventually("the address's end", || match site.address("r", "eth0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
    site.ip("n", "link set eth0 down");
    site.ip("r", "link set eth0 up");
    sleep(Duration::from_millis(1500));
    assert_eq!(viprd.state(), "FAULT", "up, but not running");
    site.ip("n", "link set eth0 up");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    adverts_arrive(&tap);
    hears(&site, &viprd);
}

#[test]
fn the_primary_address_removed_and_added_again() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    site.ip("r", "address del 10.9.0.1/24 dev eth0");
    viprd.becomes("FAULT");
    let fault = viprd.status()["fault"].to_string();
    assert!(fault.contains("address"), "{fault}");
    // The virtual address, of the same network, has gone with it or is removed.
    eventually("the address's end", || match site.address("r", "eth0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
    site.ip("r", "address add 10.9.0.7/24 dev eth0");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    adverts_arrive(&tap);
    let adverts = tap.adverts();
    for advert in shark::read(&site, &adverts, &["ip.src"]) {
        assert_eq!(advert["ip.src"], "10.9.0.7", "from the new address");
    }
    assert_good_checksums(&site, &adverts);
    // Another one beside it, and the first goes: the adverts follow, the state stays.
    site.ip("r", "address add 10.8.0.1/24 dev eth0");
    site.ip("r", "address del 10.9.0.7/24 dev eth0");
    eventually("adverts from the other address", || {
        let adverts = shark::read(&site, &tap.adverts(), &["ip.src"]);
        (adverts.last()?["ip.src"] == "10.8.0.1").then_some(())
    });
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
}

#[test]
fn a_virtual_address_removed_by_someone_else() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    tap.clear();
    site.ip("r", "address del 10.9.0.50/24 dev eth0");
    viprd.logs("address 10.9.0.50 was removed from eth0 by someone else");
    eventually("the address again", || site.address("r", "eth0", "10.9.0.50"));
    viprd.becomes("MASTER");
    eventually("two takeovers", || (viprd.counters()["master_transitions"] == 2).then_some(()));
    let priorities: Vec<_> = tap.adverts().iter().map(|advert| advert.priority()).collect();
    assert!(priorities.contains(&Some(0)), "it stepped back: {priorities:?}");
    eventually("its return is announced", || {
        tap.frames().iter().any(crate::tap::Frame::is_arp).then_some(())
    });
}

/// Adverts and gratuitous ARPs carry the interface's own address, whatever it is.
#[test]
fn the_ethernet_address_changes_under_a_master() {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    site.ip("r", "link set eth0 mtu 1400");
    // Not before the second set has been sent: it would do by chance.
    eventually("both sets of ARPs", || {
        let arps = tap.frames().into_iter().filter(|frame| frame.is_arp());
        (arps.count() >= 10).then_some(())
    });
    tap.clear();
    site.ip("r", "link set eth0 address 02:00:00:00:00:77");
    eventually("adverts with the new address", || {
        let adverts = shark::read(&site, &tap.adverts(), &["eth.src"]);
        (adverts.last()?["eth.src"] == "02:00:00:00:00:77").then_some(())
    });
    // Whoever has the virtual address in its ARP table must learn where it lives now.
    eventually("gratuitous ARPs with the new address", || {
        let arps: Vec<_> = tap.frames().into_iter().filter(crate::tap::Frame::is_arp).collect();
        let fields = ["eth.src", "arp.src.hw_mac", "arp.src.proto_ipv4"];
        let arps = shark::read(&site, &arps, &fields);
        arps.iter()
            .any(|arp| {
                arp["arp.src.proto_ipv4"] == "10.9.0.50"
                    && arp["arp.src.hw_mac"] == "02:00:00:00:00:77"
                    && arp["eth.src"] == "02:00:00:00:00:77"
            })
            .then_some(())
    });
    assert_eq!(viprd.state(), "MASTER");
    assert_eq!(viprd.counters()["master_transitions"], 1);
}

/// The address lives on another interface than the adverts, which is absent, comes, goes down.
#[test]
fn the_interface_of_the_addresses_is_another() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(
        &site,
        "r",
        "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n version 3\n\
         advert_int 0.1\n priority 150\n virtual_ipaddress {\n\
         10.7.0.50/16 dev eth1\n 10.7.0.51/32 dev eth1 scope link\n }\n}\n",
    );
    viprd.becomes("FAULT");
    assert!(viprd.status()["fault"].to_string().contains("eth1"));
    site.wire(("r", "eth1"), ("n", "eth1"));
    viprd.becomes("MASTER");
    let address = eventually("the address", || site.address("r", "eth1", "10.7.0.51"));
    assert_eq!((&address["prefixlen"], &address["scope"]), (&32.into(), &"link".into()));
    eventually("the other", || site.address("r", "eth1", "10.7.0.50"));
    tap.clear();
    site.ip("r", "link set eth1 down");
    viprd.becomes("FAULT");
    eventually("priority 0, since eth0 can carry it", || {
        tap.adverts().iter().any(|advert| advert.priority() == Some(0)).then_some(())
    });
    eventually("the addresses' end", || site.addresses("r", "eth1").is_empty().then_some(()));
    site.ip("r", "link set eth1 up");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth1", "10.7.0.50"));
    viprd.stop();
    assert!(site.addresses("r", "eth1").is_empty());
}

/// With `promote_secondaries` an address of the host outlives the virtual one that was the first of
/// their subnet; the interface's setting is put back at the end.
#[test]
fn other_addresses_of_the_subnet_are_kept_where_that_is_wanted() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let path = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    site.inside("r", || std::fs::write(path, "0")).expect("root");
    let setting = || site.inside("r", || std::fs::read_to_string(path)).expect("a setting");
    let words = format!("{QUICK}\n  promote_secondaries");
    let elsewhere = |words: &str| router(words).replace("10.9.0.50", "10.7.0.50");
    let viprd = Viprd::start(&site, "r", &elsewhere(&words));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.7.0.50"));
    assert_eq!(setting().trim(), "1");
    site.ip("r", "address add 10.7.0.9/24 dev eth0");
    viprd.stop();
    assert_eq!(site.address("r", "eth0", "10.7.0.50"), None);
    assert!(site.address("r", "eth0", "10.7.0.9").is_some(), "it has not gone along");
    assert_eq!(setting().trim(), "0", "as before");

    // A reload may ask for it, too.
    let viprd = Viprd::start(&site, "r", &elsewhere(QUICK));
    viprd.becomes("MASTER");
    assert_eq!(setting().trim(), "0");
    viprd.reload(&elsewhere(&words));
    assert_eq!(setting().trim(), "1");
}

/// Over multicast as over unicast, on whatever interface it is; keepalived looks at it over unicast
/// alone.
#[test]
fn a_tracked_source_address_comes_and_goes() {
    if !able(&[]) {
        return;
    }
    for words in
        ["mcast_src_ip 10.9.0.7", "unicast_src_ip 10.9.0.7\n  unicast_peer {\n 10.9.0.2\n }"]
    {
        let site = Site::pair();
        let text = |more: &str| router(&format!("{QUICK}\n  {words}\n  {more}"));
        let viprd = Viprd::start(&site, "r", &text("track_src_ip"));
        viprd.becomes("FAULT");
        let said = viprctl(&viprd.socket(), &["explain", "VI_1"]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("the host doesn't have its source address 10.9.0.7"), "{said}");
        site.ip("r", "address add 10.9.0.7/32 dev lo");
        viprd.becomes("MASTER");
        site.ip("r", "address delete 10.9.0.7/32 dev lo");
        viprd.becomes("FAULT");
        viprd.logs("the host doesn't have its source address 10.9.0.7");
        // What is not tracked any more is no reason; what comes to be tracked and is there neither.
        site.ip("r", "address add 10.9.0.7/32 dev eth0");
        viprd.becomes("MASTER");
        viprd.reload(&text(""));
        viprd.reload(&text("track_src_ip"));
        assert_eq!(viprd.state(), "MASTER");
        assert_eq!(viprd.counters()["master_transitions"], 2, "{}", viprd.log());
        site.ip("r", "address delete 10.9.0.7/32 dev eth0");
        viprd.becomes("FAULT");
        viprd.reload(&text(""));
        viprd.becomes("MASTER");
        viprd.stop();
    }
}
