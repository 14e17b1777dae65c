//! Other programs: tracked scripts, notifications, named pipes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::site::{Site, able, eventually, within};
use crate::viprd::{QUICK, Viprd};

/// A script of the test's.
pub(crate) fn script(site: &Site, name: &str, text: &str) -> PathBuf {
    script_in(site, name, "/bin/sh", text)
}

/// The same in another language.
pub(crate) fn script_in(site: &Site, name: &str, interpreter: &str, text: &str) -> PathBuf {
    let path = site.dir.join(name);
    fs::write(&path, format!("#!{interpreter}\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

/// Scripts run as root here, and in a directory for everybody.
pub(crate) const GLOBAL: &str = "global_defs {\n script_user root\n";

/// A virtual router `VI_n` on `eth0`.
pub(crate) fn router(n: u8, words: &str) -> String {
    format!(
        "vrrp_instance VI_{n} {{\n interface eth0\n virtual_router_id {n}\n {QUICK}\n {words}\n \
         virtual_ipaddress {{\n 10.9.0.{}/24\n }}\n}}\n",
        100 + n
    )
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until the file has a line that begins so.
pub(crate) fn has(path: &Path, line: &str) {
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
    // (Each run empties the file before it writes.)
    let left: i32 = eventually("its number", || {
        fs::read_to_string(&leaves).ok().and_then(|text| text.trim().parse().ok())
    });
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

/// A neighbour with 1,000 virtual routers dies, and all are taken over at once, each with a script to run:
/// all run, in order for each router, within the budget, and adverts keep their time.
#[test]
fn many_notifications_at_once() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    let out = site.dir.join("out");
    let text =
        format!("echo \"+ $3 $4\" >> {0}\nsleep 0.01\necho \"- $3 $4\" >> {0}", out.display());
    let path = script(&site, "tell", &text);
    let mut routers = String::new();
    for link in 0..5 {
        let name = format!("many{link}");
        site.wire(("r", &name), ("n", &name));
        site.ip("r", &format!("address add 10.20.{link}.1/24 dev {name}"));
        site.ip("n", &format!("address add 10.20.{link}.2/24 dev {name}"));
        for n in 1..=200 {
            routers += &format!(
                "vrrp_instance VI_{link}_{n} {{\n interface {name}\n virtual_router_id {n}\n version 3\n \
                 priority PRIORITY\n virtual_ipaddress {{\n 10.20.{link}.{}/32\n }}\n NOTIFY\n}}\n",
                n + 10
            );
        }
    }
    let theirs = routers.replace("PRIORITY", "200").replace("NOTIFY", "");
    let notify = format!("notify \"{} x\"", path.display());
    let ours = routers.replace("PRIORITY", "100").replace("NOTIFY", &notify);
    let them = Viprd::start(&site, "n", &theirs);
    let viprd = Viprd::start(&site, "r", &format!("{GLOBAL}}}\n{ours}"));
    let states = |of: &Viprd, state: &str| {
        let all = of.ask(&["status"]);
        let all = all.as_array().expect("a list");
        all.iter().filter(|router| router["state"] == state).count()
    };
    let ended = || lines(&out).iter().filter(|line| line.starts_with("- ")).count();
    let patience = Duration::from_secs(120);
    within(patience, "masters", || (states(&them, "MASTER") == 1_000).then_some(()));
    within(patience, "a script each", || (ended() == 1_000).then_some(()));
    assert_eq!(states(&viprd, "BACKUP"), 1_000);
    them.signal(Signal::SIGKILL);
    within(patience, "another script each", || (ended() == 2_000).then_some(()));
    assert_eq!(states(&viprd, "MASTER"), 1_000);
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
    assert_eq!(heard.len(), 1_000);
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
    let some = format!("notifications have not been delivered: some in {}", pipe.display());
    viprd.logs(&some);
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
    let group = format!(
        "vrrp_sync_group G {{\n group {{\n VI_2\n }}\n notify \"{path} all\"\n \
         notify_deleted \"{path} group\"\n}}\n"
    );
    let viprd = Viprd::start(&site, "r", &text(&(gone + &group)));
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
    has(&out, "root group");
    has(&out, "root all GROUP G DELETED 0");
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

/// What a reload changes is how a script is run, not what is known of it.
#[test]
fn a_script_that_fails_still_fails_after_a_reload() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let light = site.dir.join("light");
    let path = script(&site, "check", &format!("sleep 0.5\ntest -e {}", light.display()));
    let with = |words: &str| {
        format!(
            "{GLOBAL}}}\nvrrp_script s {{\n script \"{}\"\n interval 1\n timeout 5\n {words}\n}}\n{}",
            path.display(),
            router(1, "track_script {\n s\n }")
        )
    };
    let viprd = Viprd::start(&site, "r", &with(""));
    viprd.becomes("FAULT");
    for words in ["fall 2", "fall 3\n rise 2", "fall 3\n rise 2\n user nobody"] {
        viprd.reload(&with(words));
        sleep(Duration::from_millis(1_500));
        assert_eq!(viprd.state(), "FAULT", "{words}");
    }
    assert_eq!(viprd.counters()["master_transitions"], 0, "{}", viprd.log());
    fs::set_permissions(&site.dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&light, "").unwrap();
    viprd.becomes("MASTER");
    viprd.stop();
}

/// A check that takes too long is ended with all that it has started, even when it has ended itself.
#[test]
fn nothing_is_left_of_a_check_that_takes_too_long() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let pids = site.dir.join("pids");
    let words = format!(
        "( trap '' TERM; exec sh -c 'echo $$ >> {}; exec sleep 600' ) >/dev/null 2>&1 &\nwait",
        pids.display()
    );
    let hangs = script(&site, "hangs", &words);
    let text = format!(
        "{GLOBAL}}}\nvrrp_script hangs {{\n script \"{}\"\n interval 1\n timeout 1\n}}\n{}",
        hangs.display(),
        router(1, "track_script {\n hangs\n }")
    );
    let viprd = Viprd::start(&site, "r", &text);
    let started = || -> Vec<i32> {
        lines(&pids).iter().filter_map(|line| line.trim().parse().ok()).collect()
    };
    let mut most = 0;
    eventually("a third run", || {
        let alive = started().into_iter().filter(|&pid| !gone(pid)).count();
        most = most.max(alive);
        (started().len() >= 3).then_some(())
    });
    // One that has just been killed may take a moment.
    assert!(most <= 2, "{most} at a time");
    let earlier = started();
    for &pid in &earlier[..earlier.len() - 1] {
        eventually("an end", || gone(pid).then_some(()));
    }
    viprd.stop();
    for pid in started() {
        eventually("an end with the daemon", || gone(pid).then_some(()));
    }
}

/// Whoever a script leaves behind can go on talking: while the daemon runs, and after its end.
#[test]
fn what_a_script_leaves_behind_lives_on() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let (out, pid) = (site.dir.join("out"), site.dir.join("left"));
    let words = format!(
        "( while :; do sleep 0.1; echo tick; echo x >> {}; done ) & echo $! > {}",
        out.display(),
        pid.display()
    );
    let path = script(&site, "leaves", &words);
    let notify = format!("notify_master \"{}\"", path.display());
    let viprd = Viprd::start(&site, "r", &format!("{GLOBAL}}}\n{}", router(1, &notify)));
    viprd.becomes("MASTER");
    let more = |what: &str| {
        let wanted = lines(&out).len() + 5;
        eventually(what, || (lines(&out).len() >= wanted).then_some(()));
    };
    more("ticks while the daemon runs");
    viprd.stop();
    more("ticks after its end");
    let left: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), Signal::SIGKILL).expect("it runs");
}

/// Files of scripts have the permissions that the configuration wants for all files.
#[test]
fn scripts_have_the_umask_that_was_set() {
    if !able(&[]) {
        return;
    }
    for (setting, expected) in [("", "0022"), (" umask 077\n", "0077")] {
        let site = Site::pair();
        let out = site.dir.join("out");
        let path = script(&site, "tell", &format!("umask > {}", out.display()));
        let notify = format!("notify_master \"{}\"", path.display());
        let viprd =
            Viprd::start(&site, "r", &format!("{GLOBAL}{setting}}}\n{}", router(1, &notify)));
        has(&out, expected);
        viprd.stop();
    }
}

/// The daemon's end is its scripts' end, whoever runs them.
#[test]
fn no_script_outlives_a_daemon_that_was_killed() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    fs::set_permissions(&site.dir, fs::Permissions::from_mode(0o755)).unwrap();
    let places = ["root", "nobody"].map(|user| (user, site.dir.join(user)));
    let mut text = format!("{GLOBAL}}}\n");
    for (user, place) in &places {
        fs::write(place, "").unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(0o666)).unwrap();
        let words = format!("echo $$ > {}\nexec sleep 600", place.display());
        let path = script(&site, &format!("{user}.sh"), &words);
        text += &format!(
            "vrrp_script {user} {{\n script \"{}\"\n interval 1\n timeout 600\n user {user}\n}}\n",
            path.display()
        );
    }
    text += &router(1, "track_script {\n root\n nobody\n }");
    let viprd = Viprd::start(&site, "r", &text);
    let pids = places.map(|(user, place)| {
        eventually(user, || {
            let text = fs::read_to_string(&place).unwrap_or_default();
            let pid = text.trim().parse::<i32>().ok()?;
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() == "sleep").then_some((user, pid))
        })
    });
    viprd.signal(Signal::SIGKILL);
    for (user, pid) in pids {
        eventually(user, || gone(pid).then_some(()));
    }
}

/// Whether this process runs no more.
fn gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// A program of which one must run and no more than two may, found by looking (a network namespace other than
/// the host's first one hears nothing of the kernel), and by the kernel's word.
#[test]
fn a_tracked_process_by_looking() {
    if !able(&[]) {
        return;
    }
    tracked_process(false);
}

#[test]
fn a_tracked_process_by_the_kernels_word() {
    if !able(&[]) {
        return;
    }
    tracked_process(true);
}

fn tracked_process(told: bool) {
    let site = Site::pair();
    // A name that nobody else has.
    let program = site.dir.join(format!("tp{}{}", std::process::id(), u8::from(told)));
    fs::copy("/bin/sleep", &program).expect("a copy");
    let path = program.display().to_string();
    let name = program.file_name().unwrap().to_string_lossy().into_owned();
    let configuration = format!(
        "vrrp_track_process must {{\n process {name}\n quorum_max 2\n}}\n\
         vrrp_track_process exact {{\n process {path} 601\n weight 20\n terminate_delay 1.5\n}}\n{}",
        router(1, "track_process {\n must\n exact\n }")
    );
    let begin = |arguments: &[&str]| {
        std::process::Command::new(&program).args(arguments).spawn().expect("it runs")
    };
    let viprd = if told {
        let namespace = site.namespace("r");
        Viprd::start_outside(&site, &configuration, &["-s", &namespace])
    } else {
        Viprd::start(&site, "r", &configuration)
    };
    viprd.becomes("FAULT");
    assert_eq!(viprd.log().contains("looked for once a second"), !told, "{}", viprd.log());
    let mut one = begin(&["600"]);
    viprd.becomes("MASTER");
    viprd.logs("Quorum gained for tracked process must (1 running)");
    let mut two = begin(&["601"]);
    viprd.logs("Changing effective priority from 150 to 170");
    let mut three = begin(&["602"]);
    viprd.becomes("FAULT");
    let stop = |child: &mut std::process::Child| {
        let _ = child.kill();
        let _ = child.wait();
    };
    stop(&mut three);
    viprd.becomes("MASTER");
    // Again at once: nobody has noticed.
    stop(&mut two);
    two = begin(&["601"]);
    sleep(Duration::from_millis(2_500));
    assert!(!viprd.log().contains("from 170 to 150"), "{}", viprd.log());
    let explained = viprd.ask(&["explain", "VI_1"]);
    assert_eq!(explained["tracks"][1]["kind"], "process", "{explained}");
    stop(&mut two);
    viprd.logs("Changing effective priority from 170 to 150");
    stop(&mut one);
    viprd.becomes("FAULT");
    assert!(viprd.status()["fault"].to_string().contains("tracked process must has no quorum"));
    viprd.stop();
}

/// The mails that arrive at a server made of a few lines: each state that is entered, for the routers and
/// groups that want them.
#[test]
fn mails_about_changes() {
    if !able(&["python3"]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("mails");
    let server = script_in(&site, "server.py", "/usr/bin/env python3", MAIL_SERVER);
    let mut command = std::process::Command::new(&server);
    command.arg(&out);
    let server = site.inside("r", || command.spawn()).expect("a mail server");
    let _server = Killed(server);
    eventually("a mail server", || out.exists().then_some(()));
    let configuration = format!(
        "global_defs {{\n router_id gate\n notification_email {{\n one@example.com\n two@example.com\n }}\n \
         notification_email_from viprd@example.com\n smtp_server 127.0.0.1 2525\n smtp_helo_name gate.example.com\n \
         smtp_connect_timeout 5\n}}\n\
         vrrp_sync_group G {{\n group {{\n VI_1\n VI_2\n }}\n smtp_alert on\n}}\n{}{}",
        router(1, "smtp_alert"),
        router(2, "")
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");
    has(&out, "Subject: [gate] VRRP Instance VI_1 - Entering MASTER state");
    has(&out, "Subject: [gate] VRRP Group G - Entering MASTER state");
    site.ip("r", "link set eth0 down");
    has(&out, "Subject: [gate] VRRP Instance VI_1 - Entering FAULT state");
    let said = lines(&out);
    for line in [
        "MAIL FROM:<viprd@example.com>",
        "RCPT TO:<one@example.com>",
        "RCPT TO:<two@example.com>",
        "EHLO gate.example.com",
        "From: viprd@example.com",
    ] {
        assert!(said.iter().any(|other| other == line), "{line} in {said:?}");
    }
    // In order for the router, and nothing about the one that nobody wants to hear of.
    let subjects =
        said.iter().filter_map(|line| line.strip_prefix("Subject: [gate] VRRP Instance "));
    let subjects: Vec<&str> = subjects.collect();
    let states = ["BACKUP", "MASTER", "FAULT"];
    assert_eq!(subjects, states.map(|state| format!("VI_1 - Entering {state} state")));
    viprd.stop();
}

/// A mail server that takes connections and says nothing: adverts go on, and so do notifications.
#[test]
fn a_mail_server_that_hangs() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let tell = script(&site, "tell", &format!("echo \"$3 $4\" >> {}", out.display()));
    let listener = site.inside("r", || std::net::TcpListener::bind("127.0.0.1:2525"));
    let _listener = listener.expect("a port");
    let mut configuration = String::from(
        "global_defs {\n script_user root\n notification_email {\n a@example.com\n }\n \
         smtp_server 127.0.0.1 2525\n smtp_alert on\n smtp_connect_timeout 2\n}\n",
    );
    for n in 1..=20 {
        configuration += &router(n, &format!("notify \"{} x\"", tell.display()));
    }
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");
    eventually("every script", || {
        (lines(&out).iter().filter(|line| line.ends_with("MASTER")).count() == 20).then_some(())
    });
    viprd.logs("not sent: exited with status 1");
    let counters = viprd.counters();
    assert_eq!(counters["master_transitions"], 1, "{}", viprd.log());
    viprd.stop();
}

/// Writes what it is told into a file, and says yes to everything.
const MAIL_SERVER: &str = r#"
import socket, sys, threading
out = open(sys.argv[1], "a", 1)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 2525))
server.listen(64)
lock = threading.Lock()
def serve(connection):
    stream = connection.makefile("rwb")
    def say(text):
        stream.write(text + b"\r\n")
        stream.flush()
    said, in_mail = [], False
    say(b"220 here")
    for line in stream:
        line = line.decode().rstrip("\r\n")
        said.append(line)
        if in_mail:
            in_mail = line != "."
            if in_mail:
                continue
        word = line.split(" ")[0].upper()
        if word == "DATA":
            in_mail = True
            say(b"354 go on")
        elif word == "QUIT":
            say(b"221 well")
            break
        else:
            say(b"250 well")
    with lock:
        out.write("\n".join(said) + "\n")
while True:
    connection, _ = server.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"#;

/// A process that is ended with the test.
pub(crate) struct Killed(pub(crate) std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
