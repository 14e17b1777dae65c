//! Packets that nobody should send.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::packet::Packet;
use crate::site::{Site, able, eventually};
use crate::tap::{Sender, Tap};
use crate::viprd::{QUICK, Viprd, router};

/// Where a packet has to be counted: the router, or what belongs to none.
#[derive(Clone, Copy)]
enum At {
    Router,
    Nobody,
}

/// Every kind of bad packet, with the one counter that it belongs to.
fn bad_packets() -> Vec<(&'static str, Packet, At, &'static str)> {
    let good = Packet::default;
    let random = |bytes: &[u8]| Packet { instead: Some(bytes.to_vec()), ..good() };
    vec![
        ("TTL 254", Packet { ttl: 254, ..good() }, At::Router, "ip_ttl_errors"),
        ("TTL 1", Packet { ttl: 1, vrid: 9, ..good() }, At::Nobody, "ip_ttl_errors"),
        ("version 1", Packet { version: 1, ..good() }, At::Router, "version_errors"),
        ("version 4", Packet { version: 4, ..good() }, At::Router, "version_errors"),
        ("version 2", Packet { version: 2, interval: 1, ..good() }, At::Router, "version_errors"),
        ("type 0", Packet { kind: 0, ..good() }, At::Router, "invalid_type_pkts_rcvd"),
        ("type 2", Packet { kind: 2, ..good() }, At::Router, "invalid_type_pkts_rcvd"),
        ("type 15", Packet { kind: 15, ..good() }, At::Router, "invalid_type_pkts_rcvd"),
        ("cut by one", Packet { cut: 1, ..good() }, At::Router, "packet_length_errors"),
        ("cut header", Packet { cut: 5, ..good() }, At::Router, "packet_length_errors"),
        ("cut to 2", Packet { cut: 10, ..good() }, At::Router, "packet_length_errors"),
        ("cut to 1", Packet { cut: 11, ..good() }, At::Nobody, "packet_length_errors"),
        ("empty", Packet { cut: 12, ..good() }, At::Nobody, "packet_length_errors"),
        ("count 2 of 1", Packet { count: Some(2), ..good() }, At::Router, "packet_length_errors"),
        ("count 255", Packet { count: Some(255), ..good() }, At::Router, "packet_length_errors"),
        ("count 0", Packet { addresses: vec![], ..good() }, At::Router, "packet_length_errors"),
        ("checksum", Packet { checksum_error: 1, ..good() }, At::Router, "checksum_errors"),
        (
            "checksum of a stranger",
            Packet { checksum_error: 0x100, vrid: 77, ..good() },
            At::Nobody,
            "checksum_errors",
        ),
        ("vrid 0", Packet { vrid: 0, ..good() }, At::Nobody, "vrid_errors"),
        ("unknown vrid", Packet { vrid: 52, ..good() }, At::Nobody, "vrid_errors"),
        ("interval 0", Packet { interval: 0, ..good() }, At::Router, "interval_errors"),
        ("reserved and 0", Packet { interval: 0xf000, ..good() }, At::Router, "interval_errors"),
        (
            "our own address",
            Packet { source: Ipv4Addr::new(10, 9, 0, 1), priority: 200, ..good() },
            At::Router,
            "own_address_rcvd",
        ),
        ("zeros", random(&[0; 64]), At::Nobody, "version_errors"),
        ("ones", random(&[0xff; 1400]), At::Nobody, "version_errors"),
        (
            "noise",
            random(&[0x31, 99, 7, 3, 1, 2, 3, 4, 5, 6, 7]),
            At::Nobody,
            "packet_length_errors",
        ),
        ("letters", random(b"GET / HTTP/1.1\r\n\r\n"), At::Nobody, "version_errors"),
    ]
}

/// The sum of the differences of all counters between two answers of `stats`.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<(String, i64)> {
    let mut changes = Vec::new();
    for (place, pointer) in [("router", "/routers/0/counters"), ("nobody", "/daemon/unattributed")]
    {
        let (before, after) = (before.pointer(pointer), after.pointer(pointer));
        let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else {
            panic!("no counters at {pointer}");
        };
        for (name, value) in after {
            let change = value.as_i64().unwrap_or(0) - before[name].as_i64().unwrap_or(0);
            if change != 0 && name != "advertisement_sent" {
                changes.push((format!("{place} {name}"), change));
            }
        }
    }
    changes
}

#[test]
fn each_bad_packet_is_counted_once_by_a_master() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    accept_local(&site);
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    each_is_counted_once(&site, viprd, "MASTER");
}

#[test]
fn each_bad_packet_is_counted_once_by_a_backup() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    accept_local(&site);
    let viprd = Viprd::start(&site, "r", &router("version 3\n  advert_int 1\n  priority 150"));
    let sender = Sender::on(&site, "n", "eth0");
    let master = Packet { priority: 200, interval: 4095, ..Packet::default() };
    eventually("the master", || {
        sender.send(&master.frame());
        (viprd.status()["master"] == "10.9.0.2").then_some(())
    });
    each_is_counted_once(&site, viprd, "BACKUP");
}

/// The kernel drops packets from the host's own addresses before any socket sees them, unless told
/// not to.
pub(crate) fn accept_local(site: &Site) {
    site.inside("r", || {
        for link in ["all", "eth0"] {
            for (name, value) in [("accept_local", "1"), ("rp_filter", "0")] {
                let path = format!("/proc/sys/net/ipv4/conf/{link}/{name}");
                std::fs::write(path, value).expect("a setting");
            }
        }
    });
}

fn each_is_counted_once(site: &Site, mut viprd: Viprd, state: &str) {
    let sender = Sender::on(site, "n", "eth0");
    for (what, packet, at, counter) in bad_packets() {
        let place = match at {
            At::Router => "router",
            At::Nobody => "nobody",
        };
        let expected = vec![(format!("{place} {counter}"), 1)];
        let before = viprd.ask(&["stats"]);
        sender.send(&packet.frame());
        eventually(&format!("{what} is counted"), || {
            let changes = changes(&before, &viprd.ask(&["stats"]));
            assert!(changes.is_empty() || changes == expected, "{what}: {changes:?}");
            (!changes.is_empty()).then_some(())
        });
        assert_eq!(viprd.state(), state, "{what}");
    }
    assert!(viprd.runs());
    let status = viprd.status();
    assert_eq!(status["state"], state);
    let log = viprd.log();
    assert!(!log.contains("panic"), "{log}");
    viprd.stop();
}

/// v2 has more to check: its interval, and authentication.
#[test]
fn bad_packets_of_version_2() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &router("priority 150"));
    viprd.becomes("MASTER");
    let sender = Sender::on(&site, "n", "eth0");
    let good = || Packet { version: 2, interval: 1, priority: 200, ..Packet::default() };
    for (what, packet, counter) in [
        ("another interval", Packet { interval: 2, ..good() }, "router interval_errors"),
        ("interval 0", Packet { interval: 0, ..good() }, "router interval_errors"),
        ("a password", Packet { interval: 0x0101, ..good() }, "router auth_type_mismatch"),
        ("a hash", Packet { interval: 0x0201, ..good() }, "router auth_type_mismatch"),
        ("auth data cut", Packet { cut: 1, ..good() }, "router packet_length_errors"),
        ("v3's checksum", Packet { pseudo_header: true, ..good() }, "router checksum_errors"),
        ("version 3", Packet { version: 3, ..good() }, "router version_errors"),
    ] {
        let before = viprd.ask(&["stats"]);
        sender.send(&packet.frame());
        eventually(&format!("{what} is counted"), || {
            let changes = changes(&before, &viprd.ask(&["stats"]));
            let expected = vec![(counter.to_owned(), 1)];
            assert!(changes.is_empty() || changes == expected, "{what}: {changes:?}");
            (!changes.is_empty()).then_some(())
        });
        assert_eq!(viprd.state(), "MASTER", "{what}");
    }
    viprd.stop();
}

/// Packets that look odd and are good.
#[test]
fn odd_packets_that_are_good() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let sender = Sender::on(&site, "n", "eth0");
    let master = Packet { priority: 200, interval: 4095, ..Packet::default() };
    for (what, packet) in [
        ("the checksum of RFC 5798", Packet { pseudo_header: true, ..master.clone() }),
        ("reserved bits set", Packet { interval: 0xffff, ..master.clone() }),
        ("other addresses", Packet { addresses: vec![Ipv4Addr::BROADCAST; 20], ..master.clone() }),
    ] {
        let viprd = Viprd::start(&site, "r", &router(QUICK));
        viprd.becomes("MASTER");
        sender.send(&packet.frame());
        viprd.becomes("BACKUP");
        assert_eq!(viprd.counters()["advertisement_rcvd"], 1, "{what}");
        viprd.stop();
    }
}

/// 50,000 bad packets as fast as they can be sent; adverts leave all the while.
#[test]
fn a_flood_is_survived() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let mut viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let sender = Sender::on(&site, "n", "eth0");
    let before = viprd.ask(&["stats"]);
    let frames: Vec<_> = bad_packets().iter().map(|(_, packet, ..)| packet.frame()).collect();
    tap.clear();
    let began = std::time::Instant::now();
    for frame in frames.iter().cycle().take(50_000) {
        sender.send(frame);
    }
    // Let the flood last for a while, however fast this machine is.
    while began.elapsed() < Duration::from_secs(2) {
        frames.iter().for_each(|frame| sender.send(frame));
    }
    let lasted = began.elapsed();
    let adverts = tap.adverts();
    assert_on_schedule(&adverts, Duration::from_millis(100), lasted);
    assert_eq!(viprd.state(), "MASTER");
    assert!(viprd.runs());
    let counted: i64 = changes(&before, &viprd.ask(&["stats"])).iter().map(|(_, by)| by).sum();
    assert!(counted > 1000, "some of them have been heard: {counted}");
    assert_eq!(viprd.counters()["master_transitions"], 1);
    // A word now and then, but not one a packet.
    let lines = viprd.log().lines().count();
    assert!(lines < 200, "{lines} lines\n{}", viprd.log());
    viprd.stop();
}

/// A rival of lower priority is answered, each time, but with gratuitous ARPs not each time.
#[test]
fn a_flood_of_losing_adverts_is_no_amplifier() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let sender = Sender::on(&site, "n", "eth0");
    eventually("the first set of ARPs", || {
        (tap.frames().iter().filter(|frame| frame.is_arp()).count() >= 5).then_some(())
    });
    tap.clear();
    let frame = Packet::default().frame();
    let began = std::time::Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(2) {
        (0..100).for_each(|_| sender.send(&frame));
        sent += 100;
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(300));
    let adverts = tap.adverts().len();
    assert!(adverts <= sent + 60, "{adverts} adverts for {sent}");
    let arps = tap.frames().iter().filter(|frame| frame.is_arp()).count();
    assert!(arps <= 40, "{arps} ARPs for {sent} adverts in 2 s");
    assert_eq!(viprd.state(), "MASTER");
    assert!(viprd.log().lines().count() < 200, "{}", viprd.log());
    viprd.stop();
}

/// Regular adverts, without a long gap, for as long as they were watched. On a machine that is busy
/// with other things, some come late; hardly any may be missing.
pub(crate) fn assert_on_schedule(
    adverts: &[crate::tap::Frame],
    interval: Duration,
    watched: Duration,
) {
    let expected = watched.as_secs_f64() / interval.as_secs_f64();
    let seen = adverts.len() as f64;
    assert!(seen >= expected * 0.6 - 2.0, "{seen} adverts in {watched:?}, one each {interval:?}");
    for pair in adverts.windows(2) {
        let gap = pair[1].at.saturating_sub(pair[0].at);
        assert!(gap < interval + Duration::from_secs(1), "a gap of {gap:?}");
    }
}
