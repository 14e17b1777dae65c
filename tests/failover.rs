//! The published experiment, played by `viprlab failover` with the daemon of this build: what it
//! must show, against itself and against a real keepalived.
//!
//! Needs root, iproute2 and (for two of the tests) keepalived. Where these are missing the tests
//! say so and pass, but not under `CI=true`: there they must be present.
//!
//! **What is asserted on a busy machine.** With adverts each 10 ms the backup takes over 36 ms
//! after the last one, and the silence of Case C has to end within 15 ms: a kernel that lets a
//! compiler run for 10 ms before it lets anyone else do so breaks either, whatever a daemon does.
//! So the fast round may be played up to five times, and one time must hold. If none does while
//! others used more than half of the processors, one time must hold but for the silence, which
//! then is allowed 250 ms, and that it was busy is printed. The figure itself is shown by
//! `make demo` on a quiet machine, without any second try. The published round has seconds to
//! spare and is played once.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The lines of the seed page that HostA must log, in this order; others may stand between.
const CONTRACT: [&str; 14] = [
    "VRRP_Instance(VI_1) Transition to MASTER STATE",
    "VRRP_Instance(VI_1) Entering MASTER STATE",
    "VRRP_Instance(VI_1) setting protocol VIPs.",
    "VRRP_Instance(VI_1) Sending gratuitous ARPs on eth1 for 192.168.122.50",
    "VRRP_Instance(VI_1) Sending gratuitous ARPs on eth1 for 192.168.122.50",
    "Kernel is reporting: interface eth1 DOWN",
    "VRRP_Instance(VI_1) Entering FAULT STATE",
    "VRRP_Instance(VI_1) removing protocol VIPs.",
    "VRRP_Instance(VI_1) Now in FAULT state",
    "VRRP_Instance(VI_1) Entering BACKUP STATE",
    "VRRP_Instance(VI_1) Transition to MASTER STATE",
    "VRRP_Instance(VI_1) Entering MASTER STATE",
    "VRRP_Instance(VI_1) setting protocol VIPs.",
    "VRRP_Instance(VI_1) Sending gratuitous ARPs on eth1 for 192.168.122.50",
];

/// Most tries of the fast round.
const TRIES: usize = 5;

/// What must hold of the fast round when others keep the processors busy, in milliseconds.
const BUSY_SILENCE_MS: f64 = 250.0;

#[test]
fn ours_against_ours() {
    let Some(_alone) = able(&[]) else { return };
    let report = play(&["failover"]);
    let [published, fast] = rounds(&report)[..] else { panic!("not two rounds: {report}") };
    assert_states_and_entries(published);
    assert_at_most_one_lost_in_case_c(published);
    for series in ["each_second", "each_millisecond"] {
        assert!(number(published, &["case_d", series, "sent"]) >= 3.0, "{published}");
        assert_eq!(number(published, &["case_d", series, "lost"]), 0.0, "{published}");
    }
    assert_contract(published);
    assert_eq!(published["holds"], true, "{published}");
    assert_fast_round(fast, &[]);
}

#[test]
fn keepalived_as_host_a() {
    let Some(_alone) = able(&["keepalived"]) else { return };
    let peer = ["--peer", "keepalived", "--as", "a"];
    let report = play(&[&["failover"], &peer[..]].concat());
    let [published, fast] = rounds(&report)[..] else { panic!("not two rounds: {report}") };
    assert_states_and_entries(published);
    assert_eq!(published["holds"], true, "{published}");
    assert_fast_round(fast, &peer);
}

#[test]
fn keepalived_as_host_b() {
    let Some(_alone) = able(&["keepalived"]) else { return };
    let peer = ["--peer=keepalived", "--as=b"];
    let report = play(&[&["failover"], &peer[..]].concat());
    let [published, fast] = rounds(&report)[..] else { panic!("not two rounds: {report}") };
    assert_states_and_entries(published);
    assert_at_most_one_lost_in_case_c(published);
    assert_contract(published);
    assert_eq!(published["holds"], true, "{published}");
    assert_fast_round(fast, &peer);
}

#[test]
fn nothing_is_left_behind() {
    let Some(_alone) = able(&[]) else { return };
    // As Ctrl-C does it, while the network is being built and amid a run.
    for (run_ms, signal, status) in [(0, Signal::SIGTERM, 143), (2500, Signal::SIGINT, 130)] {
        let mut lab = start(&["failover"]);
        wait_for_namespaces(&lab);
        std::thread::sleep(Duration::from_millis(run_ms));
        kill(pid(&lab), signal).expect("a running viprlab");
        let ended = lab.wait().expect("its status");
        assert_eq!(ended.code(), Some(status), "after {run_ms} ms");
        assert_eq!(left_by(&lab), [] as [PathBuf; 0], "after {run_ms} ms");
    }
    // Nobody can clean up after SIGKILL but the next run.
    let mut killed = start(&["failover"]);
    wait_for_namespaces(&killed);
    std::thread::sleep(Duration::from_millis(1500));
    killed.kill().expect("a running viprlab");
    killed.wait().expect("its status");
    assert_ne!(left_by(&killed), [] as [PathBuf; 0]);
    let mut next = start(&["failover"]);
    wait_for_namespaces(&next);
    kill(pid(&next), Signal::SIGINT).expect("a running viprlab");
    next.wait().expect("its status");
    assert_eq!(left_by(&killed), [] as [PathBuf; 0]);
    assert_eq!(left_by(&next), [] as [PathBuf; 0]);
}

#[test]
fn what_can_not_be_played_is_said_in_one_line() {
    for (words, expected) in [
        (&["failover", "--as", "a"][..], "--as needs --peer keepalived"),
        (&["failover", "--peer", "bird"], "--peer is keepalived, not bird"),
        (&["failover", "--peer=keepalived", "--as=c"], "--as is a or b, not c"),
        (&["failover", "--advert-int", "0.01"], "1 to 255, whole seconds"),
        (&["failover", "--version3", "--advert-int=41"], "0.01 to 40.95"),
        (&["failover", "--viprd", "/nowhere/viprd"], "needs /nowhere/viprd"),
        (
            &["failover", "--peer", "keepalived", "--keepalived", "/nowhere/keepalived"],
            "it is in the package keepalived",
        ),
    ] {
        let output = lab(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

/// The states that both hosts go through, and the client's ARP entry, which follows.
fn assert_states_and_entries(round: &Value) {
    assert_eq!(round["trouble"], Value::Null, "{}", round["trouble"]);
    assert_eq!(states(round, "a"), ["MASTER", "FAULT", "BACKUP", "MASTER"]);
    assert_eq!(states(round, "b"), ["MASTER"]);
    for (step, before, after) in
        [("case_c", "HostA", "HostB"), ("case_d", "HostB", "HostB"), ("b_stops", "HostB", "HostA")]
    {
        let step = &round[step];
        assert_eq!(step["entry_before"]["host"], before, "{step}");
        assert_eq!(step["entry_after"]["host"], after, "{step}");
        if before != after {
            let delay = number(step, &["entry_changed_ms"]) - number(step, &["first_garp_ms"]);
            assert!(delay <= 500.0, "followed {delay} ms after the first GARP: {step}");
        }
    }
}

fn assert_at_most_one_lost_in_case_c(round: &Value) {
    assert!(number(round, &["case_c", "each_second", "sent"]) >= 3.0, "{}", round["case_c"]);
    assert!(number(round, &["case_c", "each_second", "lost"]) <= 1.0, "{}", round["case_c"]);
}

/// HostA's log contains the contract's lines in order.
fn assert_contract(round: &Value) {
    let log = round["hosts"]["a"]["log"].as_array().expect("a log");
    let log: Vec<&str> = log.iter().filter_map(|line| line["what"].as_str()).collect();
    let mut lines = log.iter();
    for (number, expected) in CONTRACT.iter().enumerate() {
        assert!(
            lines.any(|line| line.contains(expected)),
            "line {} of the contract is missing after those before it: {expected}\n{}",
            number + 1,
            log.join("\n")
        );
    }
}

/// VRRPv3 with `advert_int 0.01` holds all its lines, at one of several tries; see the top of this
/// file. The first try is `round`.
fn assert_fast_round(round: &Value, peer: &[&str]) {
    let mut round = round.clone();
    let mut busiest: f64 = 0.0;
    let mut shortest = f64::INFINITY;
    let mut missed = Vec::new();
    for tries_left in (0..TRIES).rev() {
        if round["holds"] == true {
            return;
        }
        if holds_but_for_silence(&round) {
            let silence = number(&round, &["case_c", "each_millisecond", "silence_ms"]);
            shortest = shortest.min(silence);
        }
        missed.push(what_is_amiss(&round));
        if tries_left > 0 {
            let before = processor_ticks();
            let again = ["failover", "--version3", "--advert-int", "0.01"];
            let report = play(&[&again, peer].concat());
            busiest = busiest.max(busy_share(before, processor_ticks()));
            round = rounds(&report)[0].clone();
        }
    }
    let busy = busiest > 0.5;
    assert!(
        busy && shortest <= BUSY_SILENCE_MS,
        "the fast round ({}) misses a line at each of {TRIES} tries (others used up to {:.0} % of \
         the processors; least silence of a try that missed no other line: {shortest} ms):\n{}",
        round["title"],
        busiest * 100.0,
        missed.join("\n")
    );
    eprintln!("others used {:.0} % of the processors: 15 ms is not asserted", busiest * 100.0);
}

/// A round's trouble and the lines it misses, with what was measured.
fn what_is_amiss(round: &Value) -> String {
    let lines = round["lines"].as_array().expect("lines");
    let missed = lines.iter().filter(|line| line["holds"] == false && line["counts"] == true);
    let missed = missed.map(|line| format!("{}: {}", line["what"], line["here"]));
    format!("trouble: {}; {}", round["trouble"], missed.collect::<Vec<_>>().join(", "))
}

/// Whether nothing but the line about the silence of Case C is amiss.
fn holds_but_for_silence(round: &Value) -> bool {
    let lines = round["lines"].as_array().expect("lines");
    let fine = |line: &Value| {
        let silence = line["what"].as_str().is_some_and(|what| what.contains("silence"));
        line["holds"] == true || line["counts"] == false || silence
    };
    round["trouble"].is_null() && lines.iter().all(fine)
}

/// The states a host entered, less the beginning: a daemon may or may not log that it begins as
/// BACKUP.
fn states<'a>(round: &'a Value, host: &str) -> Vec<&'a str> {
    let states = round["hosts"][host]["states"].as_array().expect("states");
    let states = states.iter().filter_map(|state| state["what"].as_str());
    states.skip_while(|&state| state == "INIT" || state == "BACKUP").collect()
}

fn number(value: &Value, path: &[&str]) -> f64 {
    let found = path.iter().fold(value, |value, key| &value[key]);
    found.as_f64().unwrap_or_else(|| panic!("no number at {path:?} of {value}"))
}

fn rounds(report: &Value) -> Vec<&Value> {
    report["rounds"].as_array().expect("rounds").iter().collect()
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
    Command::new(env!("CARGO_BIN_EXE_viprlab")).args(words).output().expect("viprlab runs")
}

fn start(words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viprlab"));
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("viprlab runs")
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

/// Waits until a run has begun to build its network, whose signals it then handles.
fn wait_for_namespaces(lab: &Child) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while left_by(lab).is_empty() {
        assert!(Instant::now() < deadline, "viprlab has made no namespace in 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
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
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
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
