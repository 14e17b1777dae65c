//! Multicast groups: that they are joined, which the network has to hear of, and others than the
//! standard's.

use std::collections::BTreeSet;

use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Tap};
use crate::viprd::{QUICK, Viprd, router};

/// A virtual router of either family on `eth0`.
fn one(name: &str, vrid: u8, words: &str, address: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n  interface eth0\n  virtual_router_id {vrid}\n  {words}\n  \
         virtual_ipaddress {{\n    {address}\n  }}\n}}\n"
    )
}

/// The groups that membership reports of IGMP and of MLD are about.
fn reported(site: &Site, tap: &Tap) -> BTreeSet<String> {
    let is_report = |frame: &Frame| match frame.is_ipv6() {
        true => frame.bytes.get(20) == Some(&0),
        false => frame.bytes.get(12..14) == Some(&[8, 0]) && frame.bytes.get(23) == Some(&2),
    };
    let frames: Vec<Frame> = tap.frames().into_iter().filter(is_report).collect();
    let fields = ["igmp.maddr", "icmpv6.mldr.mar.multicast_address"];
    let mut groups = BTreeSet::new();
    for read in shark::read(site, &frames, &fields) {
        for field in fields {
            let found = read[field].split(',').filter(|group| !group.is_empty());
            groups.extend(found.map(str::to_owned));
        }
    }
    groups
}

/// The groups that `eth0` of a host has joined, as `ip maddress` tells.
fn joined(site: &Site, host: &str) -> BTreeSet<String> {
    let shown = site.ip_json(host, "maddress show dev eth0");
    let all = shown[0]["maddr"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|group| Some(group["address"].as_str()?.to_owned())).collect()
}

#[test]
fn switches_are_told_of_every_group_that_is_listened_to() {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair_with_ipv6();
    let tap = Tap::on(&site, "n");
    let six = "advert_int 0.1\n  priority 150";
    let configuration = router(QUICK)
        + &one("VI_2", 52, &format!("{QUICK}\n  mcast_dst_ip 224.0.0.99"), "10.9.0.52")
        + &one("VI_3", 51, six, "fe80::50/64")
        + &one("VI_4", 52, &format!("{six}\n  mcast_dst_ip ff02::99"), "fe80::52/64");
    let _viprd = Viprd::start(&site, "r", &configuration);
    let groups = ["224.0.0.18", "224.0.0.99", "ff02::12", "ff02::99"];
    eventually("a report of each", || {
        let reported = reported(&site, &tap);
        groups.iter().all(|group| reported.contains(*group)).then_some(())
    });
    let joined = joined(&site, "r");
    assert!(groups.iter().all(|group| joined.contains(*group)), "{joined:?}");
}

#[test]
fn another_group_over_ipv4() {
    another_group(
        &Site::pair(),
        &|group| match group {
            Some(group) => router(&format!("{QUICK}\n  mcast_dst_ip {group}")),
            None => router(QUICK),
        },
        [("224.0.0.99", "01:00:5e:00:00:63"), ("239.129.2.3", "01:00:5e:01:02:03")],
        "ip.dst",
    );
}

#[test]
fn another_group_over_ipv6() {
    let words = "advert_int 0.1\n  priority 150";
    another_group(
        &Site::pair_with_ipv6(),
        &|group| {
            let globals = group.map(|group| format!("vrrp_mcast_group6 {group}\n"));
            let globals = format!("global_defs {{\n{}}}\n", globals.unwrap_or_default());
            globals + &one("VI_1", 51, words, "fe80::50/64")
        },
        [("ff02::99", "33:33:00:00:00:99"), ("ff02::1:2:3", "33:33:00:02:00:03")],
        "ipv6.dst",
    );
}

/// Adverts go to another group, then by a reload to a second one; routers of different groups don't
/// hear each other, those of the same do.
fn another_group(
    site: &Site,
    configuration: &dyn Fn(Option<&str>) -> String,
    groups: [(&str, &str); 2],
    destination: &'static str,
) {
    if !able(&["tshark"]) {
        return;
    }
    let tap = Tap::on(site, "n");
    let viprd = Viprd::start(site, "r", &configuration(Some(groups[0].0)));
    viprd.becomes("MASTER");
    let others = Viprd::start(site, "n", &configuration(None));
    others.becomes("MASTER");
    assert_eq!(others.counters()["advertisement_rcvd"], 0);
    assert_eq!(viprd.state(), "MASTER");
    drop(others);
    for (at, (group, mac)) in groups.into_iter().enumerate() {
        if at > 0 {
            viprd.reload(&configuration(Some(group)));
            assert_eq!(viprd.state(), "MASTER", "it goes on");
        }
        tap.clear();
        eventually("adverts", || (tap.adverts().len() >= 3).then_some(()));
        let fields = ["eth.dst", destination, "vrrp.checksum.status"];
        let preference = ["vrrp.v3_checksum_as_in_v2:FALSE"];
        for read in shark::read_with(site, &tap.adverts()[1..], &fields, &preference) {
            assert_eq!((&*read[destination], &*read["eth.dst"]), (group, mac));
            assert_eq!(read["vrrp.checksum.status"], "1", "good");
        }
        let joined = joined(site, "r");
        for (other, _) in groups {
            assert_eq!(joined.contains(other), other == group, "{other}: {joined:?}");
        }
        let worse = configuration(Some(group)).replace("priority 150", "priority 50");
        let backup = Viprd::start(site, "n", &worse);
        eventually("the master is heard", || backup.status()["master"].as_str().map(|_| ()));
        assert_eq!(backup.state(), "BACKUP");
    }
}
