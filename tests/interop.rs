//! viprd beside keepalived and FRR, by `viprlab interop` with the daemon of this build: the whole
//! matrix must be green, and it must turn red when a daemon does not do what it should.
//!
//! Needs root, iproute2, keepalived and FRR. Where these are missing the tests say so and pass, but
//! not under `CI=true`: there they must be present.
//!
//! **What is asserted on a busy machine.** A row waits twelve seconds longer than the protocol for
//! each change, and nothing in it is measured; but a daemon that gets no processor for half a second
//! loses its mastership, as it should, and its row is red. So a row that is red while others used
//! more than half of the processors may be played once more, alone with those of its case.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What each row goes through.
const STEPS: [&str; 7] =
    ["start", "stop", "return", "link down", "link up", "cable out", "cable in"];

#[test]
fn every_row_is_green() {
    let Some(_alone) = able(&["keepalived", "vrrpd"]) else { return };
    let before = processor_ticks();
    let report = play(&[]);
    let busy = busy_share(before, processor_ticks());
    let rows = rows(&report);
    for (peer, least) in [("keepalived", 28), ("frr", 12)] {
        let of_peer = rows.iter().filter(|row| row["peer"] == peer);
        assert!(of_peer.count() >= least, "{report}");
    }
    for row in rows {
        if row["holds"] == true {
            assert_green(row);
            continue;
        }
        assert!(busy > 0.5, "{}", told(row));
        eprintln!("others used {:.0} % of the processors; once more: {}", busy * 100.0, told(row));
        let [peer, case] = ["peer", "case"].map(|key| row[key].as_str().expect("a name"));
        let again = play(&["--peer", peer, "--case", case]);
        self::rows(&again).into_iter().for_each(assert_green);
    }
}

#[test]
fn a_daemon_that_does_not_preempt_is_red() {
    let Some(_alone) = able(&["keepalived"]) else { return };
    // The daemon of this build, with one word more in its file, the second argument.
    let stubborn = script(
        "stubborn-viprd",
        &format!(
            "sed -i '/nopreempt/d; s/state BACKUP/&\\n    nopreempt/' \"$2\"\nexec {} \"$@\"\n",
            env!("CARGO_BIN_EXE_viprd")
        ),
    );
    let stubborn = stubborn.to_str().expect("a name");
    let report = play(&["--peer=keepalived", "--case=v3", "--viprd", stubborn]);
    let rows = rows(&report);
    let [ours, theirs] = rows[..] else { panic!("not two rows: {report}") };
    assert_eq!((&ours["preferred"], &theirs["preferred"]), (&"viprd".into(), &"keepalived".into()));
    assert_green(theirs);
    assert_eq!((&ours["holds"], &report["holds"]), (&false.into(), &false.into()));
    let step = ours["trouble"]["step"].as_str();
    assert!(matches!(step, Some("start" | "return")), "{}", told(ours));
    let why = ours["trouble"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("viprd sends no adverts"), "{why}");
}

#[test]
fn nothing_is_left_behind() {
    let Some(_alone) = able(&["keepalived", "vrrpd"]) else { return };
    // As Ctrl-C does it, while the networks are being built and amid a run.
    for (run_ms, signal, status) in [(0, Signal::SIGTERM, 143), (4000, Signal::SIGINT, 130)] {
        let lab = Command::new(env!("CARGO_BIN_EXE_viprlab"))
            .args(["interop", "--case", "v3"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut lab = lab.expect("viprlab runs");
        let began = Instant::now();
        while left_by(&lab).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "no namespace in 10 s");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(run_ms));
        kill(Pid::from_raw(lab.id() as i32), signal).expect("a running viprlab");
        let ended = lab.wait().expect("its status");
        assert_eq!(ended.code(), Some(status), "after {run_ms} ms");
        assert_eq!(left_by(&lab), [] as [PathBuf; 0], "after {run_ms} ms");
    }
}

#[test]
fn what_can_not_be_played_is_said_in_one_line() {
    for (words, expected) in [
        (&["--peer", "bird"][..], "--peer is keepalived or frr, not bird"),
        (&["--case", "v4"], "--case is one of: v2, "),
        (&["--peer=frr", "--case=v2-unicast"], "--case is one of: v2, "),
        (&["--viprd", "/nowhere/viprd"], "needs /nowhere/viprd"),
        (&["--keepalived", "/nowhere/keepalived"], "it is in the package keepalived"),
        (&["--peer=frr", "--frr=/nowhere/vrrpd"], "it is in the package frr"),
    ] {
        let output = lab(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

/// All steps were played, and nothing is wrong. Only what an old keepalived has no word for may be
/// left out.
fn assert_green(row: &Value) {
    if let Some(why) = row["impossible"].as_str() {
        assert_eq!((&row["peer"], &row["case"]), (&"keepalived".into(), &"v3-rfc9568".into()));
        assert!(why.contains("since 2.2.8"), "{why}");
        return;
    }
    assert_eq!(row["holds"], true, "{}", told(row));
    assert_eq!(row["trouble"], Value::Null, "{}", told(row));
    let steps = row["steps"].as_array().expect("steps").iter();
    let names: Vec<&str> = steps.filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(names, STEPS, "{}", told(row));
}

/// A row in words, with its logs.
fn told(row: &Value) -> String {
    let lines = |key: &str| {
        let lines = row[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        lines.map(|line| format!("\n    {line}")).collect::<String>()
    };
    format!(
        "{} {}, {} preferred: {}\n  the preferred one:{}\n  the other one:{}",
        row["peer"],
        row["case"],
        row["preferred"],
        row["trouble"],
        lines("preferred_log"),
        lines("other_log")
    )
}

fn rows(report: &Value) -> Vec<&Value> {
    report["rows"].as_array().expect("rows").iter().collect()
}

/// Plays and reads the report, whatever its verdict.
fn play(words: &[&str]) -> Value {
    let output = lab(&[words, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}: {said}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!(report["holds"] == true, output.status.success());
    report
}

fn lab(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viprlab"));
    command.arg("interop").args(words).output().expect("viprlab runs")
}

/// A shell script that can be run, in the directory of this build.
fn script(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}")).expect("a script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its permissions");
    path
}

/// Namespaces and directories that carry the number of this run.
fn left_by(lab: &Child) -> Vec<PathBuf> {
    let own = format!("viprlab-{}", lab.id());
    let places = [Path::new("/run/netns").to_owned(), std::env::temp_dir()];
    let entries = places.iter().filter_map(|place| place.read_dir().ok()).flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == own || name.starts_with(&format!("{own}-"))
        })
        .collect()
}

/// Whether the test can run here; if so, it is the only one that does until the guard is dropped.
fn able(programs: &[&str]) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root".to_owned());
    }
    for program in ["ip"].iter().chain(programs) {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = path + ":/usr/sbin:/sbin:/usr/lib/frr:/usr/libexec/frr";
        if !path.split(':').any(|directory| Path::new(directory).join(program).is_file()) {
            missing.push(format!("the program {program}"));
        }
    }
    if missing.is_empty() {
        return Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    }
    let missing = missing.join(", ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "needs {missing}");
    eprintln!("not played: needs {missing}");
    None
}

/// The ticks that all processors have spent, and those of them idle (`proc_stat(5)`).
fn processor_ticks() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (ticks.iter().take(8).sum(), ticks.iter().skip(3).take(2).sum())
}

fn busy_share((all, idle): (f64, f64), (all_later, idle_later): (f64, f64)) -> f64 {
    1.0 - (idle_later - idle) / (all_later - all).max(1.0)
}
