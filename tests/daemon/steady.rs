//! What a steady daemon costs: system calls, descriptors, memory.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{Site, able, eventually};
use crate::tap::Tap;
use crate::viprd::{QUICK, Viprd, router};

/// What strace counts of `viprd` in about `time`: each system call with its number.
fn calls(site: &Site, viprd: &Viprd, time: Duration) -> Vec<(String, u64)> {
    let file = site.dir.join("strace");
    let _ = fs::remove_file(&file);
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-U", "calls,name", "-o"]).arg(&file);
    command.arg("-p").arg(viprd.pid().to_string());
    let mut strace = command.stderr(Stdio::null()).spawn().expect("strace runs");
    let status = format!("/proc/{}/status", viprd.pid());
    let tracer = format!("TracerPid:\t{}", strace.id());
    eventually("strace follows it", || {
        fs::read_to_string(&status).ok()?.contains(&tracer).then_some(())
    });
    sleep(time);
    kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT).expect("strace runs");
    strace.wait().expect("strace ends");
    let table = fs::read_to_string(&file).expect("a table");
    table
        .lines()
        .filter_map(|line| {
            let (calls, name) = line.trim().split_once(' ')?;
            let name = name.trim();
            (name != "total").then_some((name.to_owned(), calls.parse().ok()?))
        })
        .collect()
}

/// One `io_uring_enter` for each time there is something to do, and nothing else.
#[test]
fn a_steady_daemon_makes_one_system_call_for_each_wake_up() {
    if !able(&["strace"]) {
        return;
    }
    let site = Site::pair();
    let master = Viprd::start_with(&site, "r", &router(QUICK), &["--io", "uring"]);
    master.becomes("MASTER");
    let words = "version 3\n  advert_int 0.1\n  priority 90";
    let backup = Viprd::start_with(&site, "n", &router(words), &["--io", "uring"]);
    eventually("who is master", || (backup.status()["master"] == "10.9.0.1").then_some(()));
    sleep(Duration::from_millis(5500)); // the second set of gratuitous ARPs
    for (name, viprd) in [("the master", &master), ("the backup", &backup)] {
        let before = adverts(viprd);
        let calls = calls(&site, viprd, Duration::from_secs(4));
        // Those while strace came and went count too.
        let adverts = adverts(viprd) - before;
        let [(call, number)] = &calls[..] else { panic!("{name}: {calls:?}") };
        assert_eq!(call, "io_uring_enter", "{name}");
        assert!(adverts >= 20, "{name}: {adverts} adverts in 4 s");
        // A backup also wakes once in each Active_Down_Interval (3.6 adverts) to find that its
        // deadline has moved.
        let wake_ups = adverts + adverts / 3;
        assert!(*number <= wake_ups + 10, "{name}: {number} calls for {adverts} adverts");
        eprintln!("{name}: {number} calls of io_uring_enter for {adverts} adverts");
    }
}

/// Adverts sent and received.
fn adverts(viprd: &Viprd) -> u64 {
    let counters = viprd.counters();
    ["advertisement_sent", "advertisement_rcvd"]
        .map(|name| counters[name].as_u64().expect("a number"))
        .iter()
        .sum()
}

/// All these states and clients leave nothing behind in the process: no descriptor, no memory.
#[test]
fn nothing_piles_up() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.wire(("r", "eth1"), ("n", "eth1"));
    let tap = Tap::on(&site, "n");
    let mut text = String::new();
    for number in 1..=50 {
        let _ = writeln!(
            text,
            "vrrp_instance VI_{number} {{\n interface eth0\n virtual_router_id {number}\n {QUICK}\n \
             track_interface {{\n eth1\n }}\n virtual_ipaddress {{\n 10.9.1.{number}/24\n }}\n}}"
        );
    }
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    let round = || {
        for _ in 0..5 {
            site.ip("r", "link set eth1 down");
            viprd.becomes("FAULT");
            site.ip("r", "link set eth1 up");
            viprd.becomes("MASTER");
            site.ip("r", "link delete eth0");
            viprd.becomes("FAULT");
            site.wire(("r", "eth0"), ("n", "eth0"));
            site.ip("r", "address add 10.9.0.1/24 dev eth0");
            viprd.becomes("MASTER");
        }
        tap.clear();
        (descriptors(&viprd), heap(&viprd))
    };
    round();
    let (descriptors_before, heap_before) = round();
    round();
    let (descriptors, heap) = round();
    assert_eq!(descriptors, descriptors_before);
    // The log's queue and a client's page come and go; a leak would show 10 times.
    assert!(heap <= heap_before + (256 << 10), "{heap_before} bytes, then {heap}");
    viprd.stop();
}

fn descriptors(viprd: &Viprd) -> usize {
    // A client that has just left may still have its descriptor.
    let directory = format!("/proc/{}/fd", viprd.pid());
    let count = || fs::read_dir(&directory).expect("it runs").count();
    (0..20).map(|_| (sleep(Duration::from_millis(20)), count()).1).min().unwrap_or_default()
}

/// Bytes of its own writable memory.
fn heap(viprd: &Viprd) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", viprd.pid()));
    let smaps = smaps.expect("it runs");
    let line = smaps.lines().find(|line| line.starts_with("Private_Dirty:")).expect("a line");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number") << 10
}
