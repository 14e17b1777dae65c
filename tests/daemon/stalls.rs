//! The daemon is held up, and the world goes on meanwhile: what it has missed it must not have
//! missed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::packet::Packet;
use crate::site::{Site, able, eventually};
use crate::tap::{Sender, Tap};
use crate::viprd::{QUICK, Viprd, router};

/// A router on eth0 that depends on eth1 too.
fn tracking() -> String {
    router(&format!("{QUICK}\n  track_interface {{\n    eth1\n  }}"))
}

fn site_with_two_wires() -> Site {
    let site = Site::pair();
    site.wire(("r", "eth1"), ("n", "eth1"));
    site
}

/// 2,000 addresses that are nobody's business come and go where the daemon looks.
#[test]
fn a_storm_of_foreign_addresses() {
    if !able(&[]) {
        return;
    }
    let site = site_with_two_wires();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &tracking());
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    for link in ["eth1", "eth0"] {
        let mut lines = String::new();
        for verb in ["add", "del"] {
            for number in 0..2000 {
                let (high, low) = (number / 250, number % 250);
                let _ = writeln!(lines, "address {verb} 10.66.{high}.{low}/32 dev {link}");
            }
        }
        site.ip_batch("r", &lines);
    }
    tap.clear();
    eventually("adverts", || (tap.adverts().len() >= 3).then_some(()));
    assert_eq!(viprd.state(), "MASTER");
    assert_eq!(viprd.counters()["master_transitions"], 1);
    assert!(site.address("r", "eth0", "10.9.0.50").is_some());
    // It still sees what happens.
    site.ip("r", "link set eth1 down");
    viprd.becomes("FAULT");
    viprd.stop();
}

/// So much happens while the daemon stands still that the kernel can't keep it all: the last thing
/// that happens, which it is not told, is seen all the same.
#[test]
fn an_overrun_of_netlink_is_made_good() {
    if !able(&[]) {
        return;
    }
    let site = site_with_two_wires();
    let viprd = Viprd::start(&site, "r", &tracking());
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    let storm: String = (0..25_000).fold(String::new(), |mut lines, number| {
        let _ = writeln!(lines, "link set eth1 txqueuelen {}", 1000 + number % 2);
        lines
    });

    for (what, change, state) in [
        ("a link is down", "link set eth1 down", "FAULT"),
        ("it is up again", "link set eth1 up", "MASTER"),
        ("an address is gone", "address del 10.9.0.50/24 dev eth0", "MASTER"),
        ("a link is gone", "link delete eth1", "FAULT"),
    ] {
        let before = viprd.log().matches("netlink lost messages").count();
        viprd.signal(Signal::SIGSTOP);
        site.ip_batch("r", &storm);
        site.ip("r", change);
        viprd.signal(Signal::SIGCONT);
        eventually("a word about it", || {
            (viprd.log().matches("netlink lost messages").count() > before).then_some(())
        });
        viprd.becomes(state);
        if state == "MASTER" {
            eventually(what, || site.address("r", "eth0", "10.9.0.50"));
        } else {
            eventually(what, || match site.address("r", "eth0", "10.9.0.50") {
                None => Some(()),
                Some(_) => None,
            });
        }
    }
    viprd.stop();
}

/// Adverts that arrived while it stood still count, though their deadline has long passed.
#[test]
fn a_backup_that_stood_still_does_not_take_over() {
    if !able(&[]) {
        return;
    }
    for io in ["uring", "epoll"] {
        let site = Site::pair();
        let tap = Tap::on(&site, "n");
        let sender = Sender::on(&site, "n", "eth0");
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        // One a second is promised, five are sent: room for a busy machine.
        let master = Packet { priority: 200, ..Packet::default() }.frame();
        let master = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                sender.send(&master);
                sleep(Duration::from_millis(200));
            }
        });
        let words = "version 3\n  advert_int 1\n  priority 150";
        let viprd = Viprd::start_with(&site, "r", &router(words), &["--io", io]);
        eventually("the master", || (viprd.status()["master"] == "10.9.0.2").then_some(()));
        let heard = viprd.counters()["advertisement_rcvd"].as_u64().expect("a number");
        viprd.signal(Signal::SIGSTOP);
        sleep(Duration::from_secs(5)); // 3.4 s would be enough
        viprd.signal(Signal::SIGCONT);
        eventually("what has arrived meanwhile", || {
            let now = viprd.counters()["advertisement_rcvd"].as_u64()?;
            (now >= heard + 10).then_some(())
        });
        sleep(Duration::from_millis(500));
        assert_eq!(viprd.state(), "BACKUP", "{io}");
        assert_eq!(viprd.counters()["master_transitions"], 0, "{io}\n{}", viprd.log());
        assert_eq!(tap.adverts().len(), 0, "{io}: it said something");
        stop.store(true, Ordering::Relaxed);
        master.join().expect("no panic");
        // Nobody is there any more: now it does take over.
        viprd.becomes("MASTER");
        viprd.stop();
    }
}

/// A master that stood still for 20 intervals sends one advert then, not 20.
#[test]
fn a_master_that_stood_still_does_not_catch_up() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router("version 3\n  advert_int 0.5\n  priority 254"));
    viprd.becomes("MASTER");
    viprd.signal(Signal::SIGSTOP);
    sleep(Duration::from_millis(200));
    tap.clear();
    sleep(Duration::from_secs(10));
    assert_eq!(tap.adverts().len(), 0, "it stands still");
    viprd.signal(Signal::SIGCONT);
    eventually("two adverts", || (tap.adverts().len() >= 2).then_some(()));
    let adverts = tap.adverts();
    let gap = adverts[1].at - adverts[0].at;
    assert!(gap > Duration::from_millis(100), "{gap:?}");
    assert_eq!(viprd.state(), "MASTER");
    viprd.stop();
}

/// A master that stood still while a better one took over: it steps back when it goes on, and its
/// addresses go, though its own advert was long due.
#[test]
fn a_master_that_was_replaced_meanwhile_steps_back() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let sender = Sender::on(&site, "n", "eth0");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    viprd.signal(Signal::SIGSTOP);
    sleep(Duration::from_millis(500));
    let tap = Tap::on(&site, "n");
    sender.send(&Packet { priority: 200, interval: 4095, ..Packet::default() }.frame());
    viprd.signal(Signal::SIGCONT);
    viprd.becomes("BACKUP");
    eventually("the address's end", || match site.address("r", "eth0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
    assert_eq!(tap.adverts().len(), 0, "drained before the deadline was judged");
    viprd.stop();
}
