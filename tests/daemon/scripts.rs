//! Other programs: tracked scripts, notifications, named pipes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::site::{Site, able, eventually};
use crate::viprd::{QUICK, Viprd};

/// A script of the test's.
fn script(site: &Site, name: &str, text: &str) -> PathBuf {
    let path = site.dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

/// Scripts run as root here, and in a directory for everybody.
const GLOBAL: &str = "global_defs {\n script_user root\n";

/// A virtual router `VI_n` on `eth0`.
fn router(n: u8, words: &str) -> String {
    format!(
        "vrrp_instance VI_{n} {{\n interface eth0\n virtual_router_id {n}\n {QUICK}\n {words}\n \
         virtual_ipaddress {{\n 10.9.0.{}/24\n }}\n}}\n",
        100 + n
    )
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until the file has a line that begins so.
fn has(path: &Path, line: &str) {
    let found = || lines(path).iter().any(|other| other.starts_with(line)).then_some(());
    eventually(&format!("{line} in {}", path.display()), found);
}

#[test]
fn a_tracked_script_moves_the_priority_or_is_a_must() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let (light, dark) = (site.dir.join("light"), site.dir.join("dark"));
    let configuration = format!(
        "{GLOBAL}}}\nvrrp_script light {{\n script \"/usr/bin/test -e {}\"\n interval 0.1\n weight 20\n}}\n\
         vrrp_script dark {{\n script \"/usr/bin/test ! -e {}\"\n interval 0.1\n fall 2\n rise 2\n}}\n{}",
        light.display(),
        dark.display(),
        router(1, "track_script {\n light\n dark\n }")
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");
    let priority = |wanted: u64| {
        eventually(&format!("priority {wanted}"), || {
            (viprd.status()["effective_priority"] == wanted).then_some(())
        });
    };
    priority(150);
    fs::write(&light, "").unwrap();
    priority(170);
    viprd.logs("VRRP_Instance(VI_1) Changing effective priority from 150 to 170");
    assert_eq!(viprd.state(), "MASTER");
    fs::write(&dark, "").unwrap();
    viprd.becomes("FAULT");
    viprd.logs("VRRP_Script(dark) failed (exited with status 1)");
    assert!(viprd.status()["fault"].to_string().contains("script dark"));
    fs::remove_file(&dark).unwrap();
    viprd.becomes("MASTER");
}

/// Each kind of script that goes wrong, beside a router that must not notice.
#[test]
fn scripts_that_go_wrong() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let hangs = script(&site, "hangs", "trap '' TERM\nsleep 600 & wait; sleep 600");
    let leaves = site.dir.join("leaves.pid");
    let forks = script(&site, "forks", &format!("sleep 5 & echo $! > {}", leaves.display()));
    let talks = script(&site, "talks", "head -c 1048576 /dev/zero | tr '\\0' x");
    let plain = site.dir.join("plain");
    fs::write(&plain, "exit 0\n").unwrap();
    let mut text = format!("{GLOBAL}}}\n");
    let missing = site.dir.join("missing");
    for (n, (name, path)) in [
        ("hangs", &hangs),
        ("forks", &forks),
        ("talks", &talks),
        ("missing", &missing),
        ("plain", &plain),
    ]
    .into_iter()
    .enumerate()
    {
        text += &format!(
            "vrrp_script {name} {{\n script \"{}\"\n interval 0.2\n timeout 1\n}}\n",
            path.display()
        );
        text += &router(n as u8 + 2, &format!("track_script {{\n {name}\n }}"));
    }
    text += &router(1, "");
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    let state = |name: &str| viprd.ask(&["status", name])[0]["state"].clone();
    // Well: one that leaves somebody behind, one that talks a lot.
    for name in ["VI_3", "VI_4"] {
        eventually(name, || (state(name) == "MASTER").then_some(()));
    }
    for name in ["VI_2", "VI_5", "VI_6"] {
        eventually(name, || (state(name) == "FAULT").then_some(()));
    }
    viprd.logs("VRRP_Script(hangs) failed (timed out)");
    viprd.logs("VRRP_Script(missing) failed (exited with status 127)");
    viprd.logs("VRRP_Script(plain) failed (exited with status 126)");
    viprd.logs("more bytes");
    // The one that hangs is killed, and run again: one at a time.
    eventually("a second run", || {
        (viprd.log().matches("takes too long").count() >= 2).then_some(())
    });
    let running = || {
        let output = std::process::Command::new("ps").args(["-eo", "args"]).output().expect("ps");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains(&*hangs.display().to_string())).count()
    };
    for _ in 0..20 {
        assert!(running() <= 1);
        sleep(Duration::from_millis(20));
    }
    // Whatever they did, adverts went on.
    let late = viprd.counters();
    assert_eq!(late["master_transitions"], 1, "{}", viprd.log());
    // A process that a script has left behind is not ours to end.
    let left: i32 = fs::read_to_string(&leaves).unwrap().trim().parse().unwrap();
    assert!(Path::new(&format!("/proc/{left}")).exists());
    viprd.stop();
    // Nothing of ours stays.
    eventually("no script", || (running() == 0).then_some(()));
}

#[test]
fn one_script_of_many_routers_runs_once_an_interval() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let count = site.dir.join("count");
    let path = script(&site, "counts", &format!("echo x >> {}", count.display()));
    let mut text = format!(
        "{GLOBAL}}}\nvrrp_script counts {{\n script \"{}\"\n interval 1\n}}\n",
        path.display()
    );
    for n in 1..=100 {
        text += &router(n, "track_script {\n counts\n }");
    }
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    sleep(Duration::from_millis(2_500));
    let runs = lines(&count).len();
    assert!((1..=30).contains(&runs), "{runs} runs");
    viprd.stop();
}

#[test]
fn notifications_in_order_and_with_their_arguments() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let path = script(&site, "tell", &format!("sleep 0.05\necho \"$@\" >> {}", out.display()));
    let path = path.display();
    let words = format!(
        "notify_master \"{path} own MASTER\"\n notify_backup \"{path} own BACKUP\"\n \
         notify_fault \"{path} own FAULT\"\n notify_stop \"{path} own STOP\"\n notify \"{path} any\""
    );
    let text = format!("{GLOBAL}}}\n{}", router(1, &words));
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    has(&out, "any INSTANCE VI_1 MASTER 150");
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    has(&out, "any INSTANCE VI_1 FAULT 150");
    viprd.stop();
    let expected: Vec<String> = ["BACKUP", "MASTER", "FAULT", "STOP"]
        .into_iter()
        .flat_map(|state| [format!("own {state}"), format!("any INSTANCE VI_1 {state} 150")])
        .collect();
    assert_eq!(lines(&out), expected);
}

/// 600 virtual routers become master, each with a script to run: all run, in order for each router, within
/// the budget, and adverts keep their time.
#[test]
fn many_notifications_at_once() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let text =
        format!("echo \"+ $3 $4\" >> {0}\nsleep 0.01\necho \"- $3 $4\" >> {0}", out.display());
    let path = script(&site, "tell", &text);
    let mut configuration = format!("{GLOBAL}}}\n");
    for link in 0..3 {
        site.ip("r", &format!("link add many{link} type veth peer name peer{link}"));
        site.ip("r", &format!("link set many{link} up"));
        site.ip("r", &format!("link set peer{link} up"));
        site.ip("r", &format!("address add 10.20.{link}.1/24 dev many{link}"));
        for n in 1..=200 {
            configuration += &format!(
                "vrrp_instance VI_{link}_{n} {{\n interface many{link}\n virtual_router_id {n}\n version 3\n \
                 priority 200\n virtual_ipaddress {{\n 10.20.{link}.{}/32\n }}\n notify \"{} x\"\n}}\n",
                n + 10,
                path.display()
            );
        }
    }
    let viprd = Viprd::start(&site, "r", &configuration);
    let all = || lines(&out).iter().filter(|line| line.starts_with("- ")).count() >= 1200;
    crate::site::within(Duration::from_secs(120), "every script", || all().then_some(()));
    let (mut running, mut most) = (0_i32, 0);
    let mut heard: std::collections::HashMap<String, Vec<String>> = Default::default();
    for line in lines(&out) {
        let mut words = line.split(' ');
        let (sign, name, state) = (words.next(), words.next(), words.next());
        running += if sign == Some("+") { 1 } else { -1 };
        most = most.max(running);
        let told = heard.entry(name.unwrap_or_default().to_owned()).or_default();
        told.push(format!("{}{}", sign.unwrap_or_default(), state.unwrap_or_default()));
    }
    assert!((2..=16).contains(&most), "{most} at a time");
    assert_eq!(heard.len(), 600);
    for (name, told) in heard {
        assert_eq!(told, ["+BACKUP", "-BACKUP", "+MASTER", "-MASTER"], "{name}");
    }
    let latency = viprd.ask(&["latency"]);
    let adverts = &latency.as_array().unwrap()[0];
    assert_eq!(adverts["name"], "advert-lateness");
    let p99 = adverts["p99_seconds"].as_f64().expect("adverts were sent");
    // A third of the interval is where a peer may begin to notice.
    assert!(p99 < 0.33, "adverts late by {p99} s");
    viprd.signal(Signal::SIGKILL);
}

#[test]
fn a_sync_group_tells_and_its_members_move_together() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.ip("r", "link add other type veth peer name another");
    site.ip("r", "link set another up");
    site.ip("r", "link set other up");
    let out = site.dir.join("out");
    let path = script(&site, "tell", &format!("echo \"$@\" >> {}", out.display()));
    let text = format!(
        "{GLOBAL}}}\nvrrp_sync_group G {{\n group {{\n VI_1\n VI_2\n }}\n track_interface {{\n other\n }}\n \
         notify \"{0} any\"\n notify_master \"{0} own\"\n}}\n{1}{2}",
        path.display(),
        router(1, ""),
        router(2, "")
    );
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    has(&out, "any GROUP G MASTER 0");
    has(&out, "own");
    site.ip("r", "link set other down");
    viprd.becomes("FAULT");
    assert_eq!(viprd.ask(&["status", "VI_2"])[0]["state"], "FAULT");
    has(&out, "any GROUP G FAULT 0");
    viprd.logs("VRRP_Group(G) Syncing instances to FAULT state");
    viprd.stop();
    has(&out, "any GROUP G STOP 0");
}

/// A reader in the shape of keepalived's sample, started by the daemon.
#[test]
fn a_named_pipe_and_its_reader() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let (out, pipe) = (site.dir.join("out"), site.dir.join("pipe"));
    let text = format!("while read -r line; do echo \"$line\" >> {}; done < $1", out.display());
    let reader = script(&site, "reader", &text);
    let heavy = site.dir.join("heavy");
    let configuration = format!(
        "{GLOBAL} vrrp_notify_fifo {}\n vrrp_notify_fifo_script \"{}\"\n vrrp_notify_priority_changes true\n}}\n\
         vrrp_script heavy {{\n script \"/usr/bin/test -e {}\"\n interval 0.1\n weight 20\n}}\n{}",
        pipe.display(),
        reader.display(),
        heavy.display(),
        router(1, "track_script {\n heavy\n }")
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");
    has(&out, "INSTANCE \"VI_1\" MASTER 150");
    fs::write(&heavy, "").unwrap();
    has(&out, "INSTANCE \"VI_1\" MASTER_PRIORITY 170");
    viprd.stop();
    has(&out, "INSTANCE \"VI_1\" STOP 170");
    assert_eq!(lines(&out)[0], "INSTANCE \"VI_1\" BACKUP 150");
    assert!(!pipe.exists());
}

/// Nobody reads, or the reader is stopped: adverts and the end do not wait for it.
#[test]
fn a_named_pipe_that_nobody_reads() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let pipe = site.dir.join("pipe");
    let reader = script(&site, "reader", "exec sleep 600 < $1");
    let mut text = format!(
        "{GLOBAL} notify_fifo {}\n notify_fifo_script \"{}\"\n}}\n",
        pipe.display(),
        reader.display()
    );
    for n in 1..=150 {
        let long = "x".repeat(200);
        text += &router(n, "").replace(&format!("VI_{n} "), &format!("VI_{n}_{long} "));
    }
    text = text.replace(&format!("VI_1_{}", "x".repeat(200)), "VI_1");
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    for _ in 0..3 {
        site.ip("r", "link set eth0 down");
        viprd.becomes("FAULT");
        site.ip("r", "link set eth0 up");
        viprd.becomes("MASTER");
    }
    assert!(pipe.exists());
    viprd.signal(Signal::SIGTERM);
    let mut viprd = viprd;
    assert_eq!(viprd.wait().code(), Some(0));
    viprd.logs("some notifications have not been delivered");
}

/// A file with a weight, and a set of uplinks of which one is enough.
#[test]
fn a_tracked_file_and_a_set_of_uplinks() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    for (one, other) in [("up1", "peer1"), ("up2", "peer2")] {
        site.ip("r", &format!("link add {one} type veth peer name {other}"));
        site.ip("r", &format!("link set {one} up"));
        site.ip("r", &format!("link set {other} up"));
    }
    let file = site.dir.join("number");
    let configuration = format!(
        "track_file f {{\n file {}\n weight 2\n init_file 5\n}}\n\
         viprd_track_set uplinks {{\n require any\n interfaces {{\n up1 up2\n }}\n}}\n{}",
        file.display(),
        router(1, "track_file {\n f\n }\n viprd_track_set {\n uplinks\n }")
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");
    let priority = |wanted: u64| {
        eventually(&format!("priority {wanted}"), || {
            (viprd.status()["effective_priority"] == wanted).then_some(())
        });
    };
    priority(160);
    fs::write(&file, "-20\n").unwrap();
    priority(110);
    fs::write(site.dir.join("new"), "200\n").unwrap();
    fs::rename(site.dir.join("new"), &file).unwrap();
    priority(254);
    let explained = viprd.ask(&["explain", "VI_1"]);
    assert_eq!(explained["tracks"][0]["state"], "200");
    assert_eq!(explained["tracks"][1]["kind"], "set");
    assert_eq!(explained["to_become_master"].as_array().map(Vec::len), Some(0));
    fs::write(&file, "-127\n").unwrap();
    viprd.becomes("FAULT");
    fs::write(&file, "0\n").unwrap();
    viprd.becomes("MASTER");
    site.ip("r", "link set up1 down");
    sleep(Duration::from_millis(300));
    assert_eq!(viprd.state(), "MASTER");
    site.ip("r", "link set up2 down");
    viprd.becomes("FAULT");
    let needed = viprd.ask(&["explain", "VI_1"])["to_become_master"].to_string();
    assert!(needed.contains("uplinks"), "{needed}");
    site.ip("r", "link set up1 up");
    viprd.becomes("MASTER");
    viprd.stop();
}

#[test]
fn an_interface_that_is_down_for_a_moment() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.ip("r", "link add up1 type veth peer name peer1");
    site.ip("r", "link set up1 up");
    site.ip("r", "link set peer1 up");
    let configuration = format!(
        "interface_up_down_delays {{\n up1 1.5 0\n}}\n{}",
        router(1, "track_interface {\n up1\n }")
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");
    site.ip("r", "link set up1 down");
    sleep(Duration::from_millis(200));
    site.ip("r", "link set up1 up");
    sleep(Duration::from_millis(2_000));
    assert_eq!(viprd.counters()["master_transitions"], 1, "{}", viprd.log());
    site.ip("r", "link set up1 down");
    viprd.becomes("FAULT");
    viprd.stop();
}

/// As another user; before the start and after the end; removed by a reload; explained.
#[test]
fn users_startup_shutdown_removal_and_explanations() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    fs::write(&out, "").unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&site.dir, fs::Permissions::from_mode(0o755)).unwrap();
    let path = script(&site, "tell", &format!("echo \"$(id -un) $*\" >> {}", out.display()));
    let path = path.display();
    let two =
        router(2, "track_interface {\n lo weight 10 reverse\n }\n priority 100\n notify_deleted")
            .replace("priority 150", "");
    let text = |more: &str| {
        format!(
            "{GLOBAL} startup_script \"{path} startup\"\n shutdown_script \"{path} shutdown\"\n}}\n{}{more}",
            router(
                1,
                &format!(
                    "notify_master \"{path} as\" nobody\n notify_master_rx_lower_pri \"{path} lower\""
                )
            )
        )
    };
    let gone = two.replace("notify_deleted", &format!("notify_deleted \"{path} gone\""));
    let viprd = Viprd::start(&site, "r", &text(&gone));
    viprd.becomes("MASTER");
    has(&out, "root startup");
    has(&out, "nobody as");
    let sender = crate::tap::Sender::on(&site, "n", "eth0");
    let lower = crate::packet::Packet { vrid: 1, priority: 20, ..Default::default() };
    sender.send(&lower.frame());
    has(&out, "root lower");
    let output = crate::viprd::viprctl(&viprd.socket(), &["explain", "VI_2"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("VI_2 is ") && said.contains("interface lo: "), "{said}");
    fs::write(viprd.socket().with_file_name("viprd.conf"), text("")).unwrap();
    viprd.ask(&["reload"]);
    has(&out, "root gone");
    viprd.stop();
    assert_eq!(lines(&out).last().map(String::as_str), Some("root shutdown"));
}

#[test]
fn a_reload_brings_and_takes_scripts() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let text = format!("{GLOBAL}}}\n{}", router(1, ""));
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    let file = viprd.socket().with_file_name("viprd.conf");
    let with = |command: &str| {
        format!(
            "{GLOBAL}}}\nvrrp_script s {{\n script \"{command}\"\n interval 0.1\n}}\n{}",
            router(1, "track_script {\n s\n }")
        )
    };
    // A script that comes is no reason to stop; that it fails is one.
    fs::write(&file, with("/bin/sleep 0.05")).unwrap();
    viprd.ask(&["reload"]);
    sleep(Duration::from_millis(400));
    assert_eq!(viprd.counters()["master_transitions"], 1, "{}", viprd.log());
    assert_eq!(viprd.state(), "MASTER");
    fs::write(&file, with("/bin/false")).unwrap();
    viprd.ask(&["reload"]);
    viprd.becomes("FAULT");
    fs::write(&file, &text).unwrap();
    viprd.ask(&["reload"]);
    viprd.becomes("MASTER");
    viprd.stop();
}
