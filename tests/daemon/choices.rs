//! What keepalived or the standard let an operator choose, on the wire: forms of the checksum, both
//! versions at once; and what is told of packets that are refused.

use std::time::Duration;

use crate::packet::Packet;
use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Sender, Tap};
use crate::viprd::{QUICK, Viprd, router};

/// Whether tshark finds the checksum of `frame` right, in the form of RFC 9568 or of RFC 5798.
fn is_right(site: &Site, frame: &Frame, rfc9568: bool) -> bool {
    let preference =
        format!("vrrp.v3_checksum_as_in_v2:{}", if rfc9568 { "TRUE" } else { "FALSE" });
    let frames = std::slice::from_ref(frame);
    let read = shark::read_with(site, frames, &["vrrp.checksum.status"], &[&preference]);
    read[0]["vrrp.checksum.status"] == "1"
}

#[test]
fn checksums_follow_whoever_is_heard_and_that_is_told_once() {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let first = eventually("an advert", || tap.adverts().pop());
    assert!(is_right(&site, &first, false), "at first as keepalived");

    let sender = Sender::on(&site, "n", "eth0");
    let rival = Packet { priority: 50, ..Packet::default() };
    for _ in 0..3 {
        sender.send(&rival.frame());
    }
    viprd.logs("10.9.0.2 has the checksum of RFC 9568, ours does so from now on");
    tap.clear();
    let next = eventually("an advert", || tap.adverts().pop());
    assert!(is_right(&site, &next, true));
    assert_eq!(viprd.log().matches("has the checksum of").count(), 1);
    viprd.stop();
}

#[test]
fn a_chosen_checksum_stays() {
    if !able(&["tshark"]) {
        return;
    }
    for (word, rfc9568) in [
        ("viprd_v3_checksum rfc5798", false),
        ("viprd_v3_checksum rfc9568", true),
        ("v3_checksum_as_v2", true),
    ] {
        let site = Site::pair();
        let tap = Tap::on(&site, "n");
        let viprd = Viprd::start(&site, "r", &router(&format!("{QUICK}\n  {word}")));
        viprd.becomes("MASTER");
        let sender = Sender::on(&site, "n", "eth0");
        let rival = Packet { priority: 50, pseudo_header: rfc9568, ..Packet::default() };
        sender.send(&rival.frame());
        viprd.logs("ours does not");
        tap.clear();
        let next = eventually("an advert", || tap.adverts().pop());
        assert!(is_right(&site, &next, rfc9568), "{word}");
        assert_eq!(viprd.counters()["advertisement_rcvd"], 1, "accepted all the same");
        viprd.stop();
    }
}

/// RFC 9568 section 8.4: the Active sends both, in the same rhythm; a v2 Active is followed.
#[test]
fn both_versions_leave_together_and_either_is_followed() {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let words = format!("{QUICK}\n  viprd_also_v2");
    let viprd = Viprd::start(&site, "r", &router(&words));
    viprd.becomes("MASTER");
    let adverts = eventually("twenty adverts", || {
        let adverts = tap.adverts();
        (adverts.len() >= 20).then(|| adverts[..20].to_vec())
    });
    let fields = ["vrrp.version", "vrrp.adver_int", "vrrp.short_adver_int", "vrrp.checksum.status"];
    for pair in shark::read(&site, &adverts, &fields).chunks(2) {
        let versions = [&pair[0]["vrrp.version"], &pair[1]["vrrp.version"]];
        assert_eq!(versions, ["3", "2"]);
        assert_eq!(pair[0]["vrrp.short_adver_int"], "10");
        assert_eq!(pair[1]["vrrp.adver_int"], "1", "seconds, rounded up");
        assert!(pair.iter().all(|advert| advert["vrrp.checksum.status"] == "1"), "{pair:?}");
    }
    let sender = Sender::on(&site, "n", "eth0");
    let master = Packet { version: 2, interval: 1, priority: 200, ..Packet::default() };
    sender.send(&master.frame());
    viprd.becomes("BACKUP");
    let show = viprd.ask(&["show", "VI_1"]);
    assert_eq!(show["times"]["active_interval_seconds"], 1.0, "{show}");
    viprd.stop();
}

/// A router of higher priority that does not preempt stays backup, also after its daemon was killed.
#[test]
fn nopreempt_survives_a_restart() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let lower = Viprd::start(&site, "n", &router("version 3\n  advert_int 0.1\n  priority 90"));
    lower.becomes("MASTER");
    let words = router(&format!("{QUICK}\n  nopreempt"));
    for _ in 0..2 {
        let mut higher = Viprd::start(&site, "r", &words);
        eventually("the master is followed for longer than its down time", || {
            (higher.counters()["advertisement_rcvd"].as_u64() >= Some(10)).then_some(())
        });
        assert_eq!((higher.state(), lower.state()), ("BACKUP".into(), "MASTER".into()));
        higher.signal(nix::sys::signal::Signal::SIGKILL);
        higher.wait();
    }
    let higher = Viprd::start(&site, "r", &words);
    eventually("the master", || (higher.status()["master"] == "10.9.0.2").then_some(()));
    lower.stop();
    higher.becomes("MASTER");
    higher.stop();
}

/// `vrrp_startup_delay`: until it is over adverts are heard, and nothing is done.
#[test]
fn a_delayed_start_is_silent_until_then() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let began = std::time::Instant::now();
    let words = router("version 3\n  advert_int 0.1\n  priority 255\n  state MASTER");
    let words = format!("global_defs {{\n  vrrp_startup_delay 2\n}}\n{words}");
    let viprd = Viprd::start(&site, "r", &words);
    viprd.logs("Delaying startup for 2 seconds");
    assert_eq!(viprd.state(), "INIT");
    Sender::on(&site, "n", "eth0").send(&Packet { priority: 50, ..Packet::default() }.frame());
    eventually("an advert is heard", || {
        (viprd.counters()["advertisement_rcvd"] == 1).then_some(())
    });
    viprd.becomes("MASTER");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    eventually("adverts", || (!tap.adverts().is_empty()).then_some(()));
    viprd.stop();

    // Stopped meanwhile, it ends without a word.
    let viprd = Viprd::start(&site, "r", &words);
    viprd.logs("Delaying startup");
    tap.clear();
    viprd.stop();
    assert!(tap.adverts().is_empty());
}

#[test]
fn a_refusal_is_told_once_with_its_sender() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let sender = Sender::on(&site, "n", "eth0");
    let good = Packet::default;
    for _ in 0..5 {
        sender.send(&Packet { ttl: 254, ..good() }.frame());
        sender.send(&Packet { checksum_error: 1, ..good() }.frame());
        sender.send(&Packet { checksum_error: 1, vrid: 77, ..good() }.frame());
        sender.send(&Packet { vrid: 52, ..good() }.frame());
    }
    let lines = [
        "VRRP_Instance(VI_1) packet from 10.9.0.2 has TTL 254, not 255",
        "VRRP_Instance(VI_1) packet from 10.9.0.2 has a wrong checksum: dropped",
        "interface eth0: packet from 10.9.0.2 has a wrong checksum: dropped",
        "interface eth0: packet from 10.9.0.2 is for virtual router 52",
    ];
    for line in lines {
        viprd.logs(line);
    }
    let counters = viprd.counters();
    assert_eq!((&counters["ip_ttl_errors"], &counters["checksum_errors"]), (&5.into(), &5.into()));
    std::thread::sleep(Duration::from_millis(100));
    for line in lines {
        assert_eq!(viprd.log().matches(line).count(), 1, "{line}");
    }
    viprd.stop();
}

#[test]
fn stats_show_what_the_lower_rooms_count() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let stats = viprd.ask(&["stats"]);
    let counters = &stats["daemon"]["counters"];
    for name in ["io_turns", "io_received", "io_sent", "netlink_events", "netlink_requests"] {
        assert!(counters[name].as_u64() > Some(0), "{name}: {counters}");
    }
    for name in ["io_send_failures", "netlink_overruns", "netlink_refusals", "frames_failed"] {
        assert_eq!(counters[name], 0, "{name}: {counters}");
    }
    viprd.stop();
}

/// The switch may not learn faster (`vrrp_garp_interval`), and a reload may change its mind.
#[test]
fn gratuitous_arps_keep_their_distance() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let configuration = |globals: &str, words: &str| {
        let words = format!("{QUICK}\n  garp_master_delay 0\n  garp_master_repeat {words}");
        let addresses = "10.9.0.50/24 brd 10.9.0.255 dev eth0 label eth0:v\n    10.9.0.51/32";
        let router =
            router(&words).replace("10.9.0.50/24 brd 10.9.0.255 dev eth0 label eth0:v", addresses);
        format!("global_defs {{\n  {globals}\n}}\n{router}")
    };
    let viprd = Viprd::start(&site, "r", &configuration("vrrp_garp_interval 0.2", "3"));
    let announced = || {
        let frames = tap.frames().into_iter().filter(Frame::is_arp);
        frames.filter(|arp| arp.bytes.get(28..31) == Some(&[10, 9, 0])).collect::<Vec<_>>()
    };
    eventually("three of each", || (announced().len() >= 6).then_some(()));
    for pair in announced().windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap > Duration::from_millis(150), "{gap:?}");
    }
    for last in [50, 51] {
        let of = |arp: &&Frame| arp.bytes.get(31) == Some(&last);
        assert_eq!(announced().iter().filter(of).count(), 3, "of {last}");
    }
    // Far more than the machine's patience would have to wait for at that pace.
    tap.clear();
    viprd.reload(&configuration("", "200").replace("10.9.0.51", "10.9.0.52"));
    eventually("two hundred of the new one", || (announced().len() >= 200).then_some(()));
    assert_eq!(viprd.state(), "MASTER");
}
