//! Notifications when things are not as they should be: scripts that take their time, states that
//! follow each other fast, reloads, stops.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::packet::Packet;
use crate::scripts::{GLOBAL, Killed, has, lines, router, script};
use crate::site::{Site, able, eventually, within};
use crate::tap::Sender;
use crate::viprd::{Viprd, viprctl};

/// Forty routers whose scripts take for ever are in nobody's way but their own.
#[test]
fn scripts_that_take_long_hold_up_nobody_else() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let tell = script(&site, "tell", &format!("echo \"$*\" >> {}", out.display()));
    let mut text = format!("{GLOBAL}}}\n");
    for n in 1..=40 {
        text += &router(n, "notify_backup \"/bin/sleep 300\"");
    }
    text += &router(41, &format!("notify \"{}\"", tell.display()));
    let viprd = Viprd::start(&site, "r", &text);
    within(Duration::from_secs(30), "its notification", || {
        lines(&out).contains(&"INSTANCE VI_41 MASTER 150".to_owned()).then_some(())
    });
    assert_eq!(lines(&out)[0], "INSTANCE VI_41 BACKUP 150");
    drop(viprd);
}

/// A state that is over before its turn came is left out if the configuration says so, and only then.
/// What is longest in coming is told once.
#[test]
fn overtaken_states_are_told_or_not_as_configured() {
    if !able(&[]) {
        return;
    }
    for (skips, told) in [
        ("", "BACKUP MASTER FAULT BACKUP MASTER FAULT BACKUP MASTER"),
        ("viprd_notify_skip_overtaken", "BACKUP MASTER"),
    ] {
        let site = Site::pair();
        let (out, go) = (site.dir.join("out"), site.dir.join("go"));
        // The first one holds up all others until it may go on.
        let text = format!(
            "echo $3 >> {}; while [ ! -e {} ]; do sleep 0.05; done",
            out.display(),
            go.display()
        );
        let tell = script(&site, "tell", &text);
        let lower = script(&site, "lower", &format!("echo lower >> {}", out.display()));
        let words = format!(
            "notify \"{}\"\n notify_master_rx_lower_pri \"{}\"",
            tell.display(),
            lower.display()
        );
        let configuration = format!("{GLOBAL} {skips}\n}}\n{}", router(1, &words));
        let viprd = Viprd::start(&site, "r", &configuration);
        viprd.becomes("MASTER");
        for _ in 0..2 {
            site.ip("r", "link set eth0 down");
            viprd.becomes("FAULT");
            site.ip("r", "link set eth0 up");
            viprd.becomes("MASTER");
        }
        let sender = Sender::on(&site, "n", "eth0");
        for _ in 0..5 {
            sender.send(&Packet { vrid: 1, priority: 20, ..Packet::default() }.frame());
            sleep(Duration::from_millis(20));
        }
        fs::write(&go, "").unwrap();
        has(&out, "lower");
        assert_eq!(lines(&out).join(" "), format!("{told} lower"), "{skips}");
        viprd.stop();
    }
}

/// One that takes too long is ended, and the next one has its turn.
#[test]
fn a_notification_has_its_time() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let tell = script(&site, "tell", &format!("echo $3 >> {}; exec sleep 300", out.display()));
    let words = format!("notify \"{}\"", tell.display());
    let configuration = format!("{GLOBAL} viprd_notify_timeout 1\n}}\n{}", router(1, &words));
    let viprd = Viprd::start(&site, "r", &configuration);
    has(&out, "MASTER");
    assert_eq!(lines(&out), ["BACKUP", "MASTER"]);
    viprd.logs("notification of VI_1, BACKUP: took more than 1 s and was ended by signal 15");
    viprd.stop();
}

/// Each of forty routers tells of the stop, and each script takes a while.
#[test]
fn all_hear_of_the_stop() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let tell = script(&site, "tell", &format!("sleep 2; echo $1 >> {}", out.display()));
    let mut text = format!("{GLOBAL}}}\n");
    for n in 1..=40 {
        text += &router(n, &format!("notify_stop \"{} VI_{n}\"", tell.display()));
    }
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    let log = viprd.stop();
    assert_eq!(lines(&out).len(), 40, "{log}");
    // What can't be told within its time is counted and named.
    fs::write(&out, "").unwrap();
    let text = format!("{GLOBAL}}}\n{}", router(1, "notify_stop \"/bin/sleep 300\""));
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    viprd.signal(Signal::SIGTERM);
    let mut viprd = viprd;
    assert_eq!(viprd.wait().code(), Some(0));
    viprd.logs("stopping although notifications have not been delivered: 1 cut off");
}

/// The lines that only some ask for.
#[test]
fn rarer_lines_of_a_named_pipe() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let (out, pipe, heavy) = (site.dir.join("out"), site.dir.join("pipe"), site.dir.join("heavy"));
    let reader = script(&site, "reader", &format!("exec cat $1 >> {}", out.display()));
    let text = |more: &str| {
        format!(
            "{GLOBAL} vrrp_notify_fifo {}\n vrrp_notify_fifo_script \"{}\"\n \
             vrrp_notify_priority_changes true\n fifo_write_vrrp_states_on_reload\n}}\n\
             vrrp_script heavy {{\n script \"/usr/bin/test -e {}\"\n interval 0.1\n weight 20\n}}\n{}",
            pipe.display(),
            reader.display(),
            heavy.display(),
            router(1, &format!("track_script {{\n heavy\n }}\n {more}"))
        )
    };
    let viprd = Viprd::start(&site, "r", &text(""));
    has(&out, "INSTANCE \"VI_1\" MASTER 150");
    let sender = Sender::on(&site, "n", "eth0");
    sender.send(&Packet { vrid: 1, priority: 20, ..Packet::default() }.frame());
    has(&out, "INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 150");
    let before = lines(&out).len();
    viprd.reload(&text("garp_master_repeat 2"));
    eventually("the state once more", || {
        (lines(&out)[before..] == ["INSTANCE \"VI_1\" MASTER 150"]).then_some(())
    });
    // A better one takes over, and as its backup it changes its priority.
    for _ in 0..2 {
        sender
            .send(&Packet { vrid: 1, priority: 200, interval: 4095, ..Packet::default() }.frame());
    }
    has(&out, "INSTANCE \"VI_1\" BACKUP 150");
    fs::write(&heavy, "").unwrap();
    has(&out, "INSTANCE \"VI_1\" BACKUP_PRIORITY 170");
    viprd.stop();
}

/// What a group tracks is tracked for all its members; a weight of an interface moves a priority.
#[test]
fn a_group_tracks_files_processes_and_interfaces() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.wire(("r", "up1"), ("n", "up1"));
    let number = site.dir.join("number");
    fs::write(&number, "0").unwrap();
    let program = site.dir.join(format!("gp{}", std::process::id()));
    fs::copy("/bin/sleep", &program).expect("a copy");
    let name = program.file_name().unwrap().to_string_lossy().into_owned();
    let text = format!(
        "track_file number {{\n file {}\n weight 1\n}}\nvrrp_track_process must {{\n process {name}\n}}\n\
         vrrp_sync_group G {{\n group {{\n VI_1\n VI_2\n }}\n sync_group_tracking_weight\n \
         track_file {{\n number\n }}\n track_process {{\n must\n }}\n track_interface {{\n up1 weight 10\n }}\n}}\n{}{}",
        number.display(),
        router(1, ""),
        router(2, "")
    );
    let child = std::process::Command::new(&program).arg("600").spawn().expect("it runs");
    let child = Killed(child);
    let viprd = Viprd::start(&site, "r", &text);
    let all = |field: &str, wanted: Value| {
        eventually(&format!("{field} {wanted}"), || {
            let shown = viprd.ask(&["status"]);
            let all = shown.as_array()?;
            (all.len() == 2 && all.iter().all(|one| one[field] == wanted)).then_some(())
        });
    };
    all("state", "MASTER".into());
    all("effective_priority", 160.into());
    fs::write(&number, "-30").unwrap();
    all("effective_priority", 130.into());
    site.ip("n", "link set up1 down");
    all("effective_priority", 120.into());
    let said = viprctl(&viprd.socket(), &["explain", "VI_2"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for words in ["interface up1: bad, weight 10", "file number: -30", "process must: good"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    fs::write(&number, "-254").unwrap();
    all("state", "FAULT".into());
    fs::write(&number, "0").unwrap();
    all("state", "MASTER".into());
    drop(child);
    all("state", "FAULT".into());
    viprd.stop();
}

/// A reload changes how a process is tracked, or which one, or tracks it for the first time: what
/// runs goes on.
#[test]
fn a_reload_takes_no_process_for_gone() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let program = site.dir.join(format!("rp{}", std::process::id()));
    fs::copy("/bin/sleep", &program).expect("a copy");
    let name = program.file_name().unwrap().to_string_lossy().into_owned();
    let child = std::process::Command::new(&program).arg("600").spawn().expect("it runs");
    let child = Killed(child);
    let text = |name: &str, more: &str| {
        format!(
            "vrrp_track_process p {{\n process {name}\n {more}\n}}\n{}",
            router(1, "track_process {\n p\n }")
        )
    };
    let viprd = Viprd::start(&site, "r", &router(1, ""));
    viprd.becomes("MASTER");
    for text in [
        text(&name, ""),
        text(&name, "delay 0.2"),
        text(&name, "quorum_max 9"),
        text(&format!("{} 600", program.display()), "quorum_max 9"),
        text(&name, "weight 20"),
    ] {
        viprd.reload(&text);
        sleep(Duration::from_millis(500));
        assert_eq!(viprd.state(), "MASTER", "{text}");
        assert_eq!(viprd.counters()["master_transitions"], 1, "{text}\n{}", viprd.log());
    }
    eventually("its weight", || (viprd.status()["effective_priority"] == 170).then_some(()));
    // What is changed is looked at, too.
    viprd.reload(&text(&name, "quorum 2"));
    viprd.becomes("FAULT");
    drop(child);
    viprd.stop();
}
