//! How the daemon is scheduled, and what it says of its own lateness: seen from `/proc` and by
//! `viprctl`, in a network namespace of its own. Needs root.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ten adverts a second; master a third of a second after the start.
const ROUTER: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n version 3\n \
     advert_int 0.1\n priority 150\n virtual_ipaddress {\n  10.9.0.50/24\n }\n}\n";

/// A running daemon; killed when dropped.
struct Daemon {
    child: Child,
    files: PathBuf,
    _place: Place,
}

/// A namespace and a directory, gone when dropped.
struct Place {
    namespace: String,
    files: PathBuf,
}

impl Daemon {
    /// Starts one with these global settings; `wrapped` in other programs. `None` without root.
    fn start(global: &str, wrapped: &[&str]) -> Option<Daemon> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "needs root");
            eprintln!("not played: needs root");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("viprd-rt-{}-{number}", std::process::id());
        let files = std::env::temp_dir().join(&namespace);
        fs::create_dir(&files).unwrap();
        let place = Place { namespace: namespace.clone(), files: files.clone() };
        let configuration = format!("global_defs {{\n{global}\n}}\n{ROUTER}");
        fs::write(files.join("viprd.conf"), configuration).unwrap();

        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {namespace} link add eth0 type veth peer name eth1"));
        ip(&format!("-n {namespace} address add 10.9.0.1/24 dev eth0"));
        ip(&format!("-n {namespace} link set eth0 up"));
        ip(&format!("-n {namespace} link set eth1 up"));
        // Each program becomes the next, so the child is viprd itself in the end.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace]).args(wrapped).arg(env!("CARGO_BIN_EXE_viprd"));
        command.arg("-nlDf").arg(files.join("viprd.conf"));
        command.arg("-p").arg(files.join("pid"));
        command.arg("--control").arg(files.join("control.sock"));
        let log = File::create(files.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = Daemon { child: command.spawn().unwrap(), files, _place: place };
        daemon.logs("Entering MASTER STATE");
        Some(daemon)
    }

    /// A file of its directory in `/proc`.
    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// What its status in `/proc` says of `field`.
    fn status(&self, field: &str) -> String {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
    }

    fn nice(&self) -> i32 {
        stat(&self.proc("stat"), 19)
    }

    /// Its scheduling class (`SCHED_RR` is 2, `sched(7)`) and real-time priority.
    fn class(&self) -> (i32, i32) {
        let stat = |number| stat(&self.proc("stat"), number);
        (stat(41), stat(40))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap()
    }

    fn logs(&self, words: &str) {
        self.until(words, || self.log().contains(words));
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "not yet: {what}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The record of `viprctl latency` called `name`.
    fn latency(&self, name: &str) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viprctl"));
        command.arg("-s").arg(self.files.join("control.sock")).args(["--json", "latency"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        all.into_iter().find(|record| record["name"] == name).unwrap()
    }

    fn pause_for(&self, pause: Duration) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGSTOP).unwrap();
        thread::sleep(pause);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGCONT).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
        let _ = fs::remove_dir_all(&self.files);
    }
}

/// The field of that number in a line of `proc_pid_stat(5)`.
fn stat(line: &str, number: usize) -> i32 {
    // The name, which may hold blanks, is the second field; the third follows its bracket.
    let fields = line.trim_end().rsplit(") ").next().unwrap();
    fields.split(' ').nth(number - 3).unwrap().parse().unwrap()
}

/// The nice value of the tests themselves, which everything inherits.
fn own_nice() -> i32 {
    stat(&fs::read_to_string("/proc/self/stat").unwrap(), 19)
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {output:?}");
}

#[test]
fn it_is_scheduled_as_configured() {
    let Some(daemon) = Daemon::start(
        "vrrp_priority -5\n vrrp_no_swap\n vrrp_rt_priority 20\n vrrp_cpu_affinity 0\n \
         vrrp_rlimit_rttime 50000\n viprd_spin_us 100",
        &[],
    ) else {
        return;
    };
    assert_eq!(daemon.status("Cpus_allowed_list"), "0");
    let locked: u64 = daemon.status("VmLck").trim_end_matches(" kB").trim().parse().unwrap();
    assert!(locked > 1000, "{locked} kB");
    assert_eq!((daemon.nice(), daemon.class()), (-5, (2, 20)));
    let limits = daemon.proc("limits");
    let line = limits.lines().find(|line| line.starts_with("Max realtime timeout")).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(3).collect();
    assert_eq!(words, ["50000", "10050000", "us"]);
    for words in ["on CPU 0 only", "nice value -5", "memory is locked", "SCHED_RR with priority 20"]
    {
        daemon.logs(words);
    }
    // It spins, and still does its work.
    daemon.until("adverts", || daemon.latency("advert-lateness")["count"].as_u64() >= Some(5));
    assert_eq!(daemon.latency("takeover-garp")["count"], 1);
}

#[test]
fn by_default_it_is_a_process_like_any_other() {
    let Some(daemon) = Daemon::start("", &[]) else { return };
    assert_eq!((daemon.nice(), daemon.class()), (own_nice(), (0, 0)));
    assert_eq!(daemon.status("VmLck"), "0 kB");
}

#[test]
fn what_the_system_refuses_is_a_warning() {
    let wrapped = [
        "prlimit",
        "--memlock=65536",
        "setpriv",
        "--bounding-set=-sys_nice,-ipc_lock",
        "--inh-caps=-sys_nice,-ipc_lock",
    ];
    if Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("not played: needs setpriv");
        return;
    }
    let global = "vrrp_priority -5\n vrrp_no_swap\n vrrp_rt_priority 20\n vrrp_cpu_affinity 1000";
    let Some(daemon) = Daemon::start(global, &wrapped) else { return };
    for words in
        ["vrrp_priority -5", "vrrp_no_swap", "vrrp_rt_priority 20", "vrrp_cpu_affinity 1000"]
    {
        let log = daemon.log();
        let told: Vec<_> =
            log.lines().filter(|line| line.contains(&format!("{words} has no effect"))).collect();
        assert_eq!(told.len(), 1, "{words}\n{log}");
    }
    assert_eq!((daemon.nice(), daemon.class()), (own_nice(), (0, 0)));
}

#[test]
fn a_stall_is_logged_measured_and_raises_the_priority() {
    let global = "max_auto_priority 2\n min_auto_priority_delay 200000";
    let Some(daemon) = Daemon::start(global, &[]) else { return };
    daemon.until("the first advert", || {
        daemon.latency("advert-lateness")["count"].as_u64() >= Some(1)
    });
    assert_eq!(daemon.class(), (0, 0));
    daemon.pause_for(Duration::from_millis(600));
    daemon.logs("A thread timer expired 0.");
    daemon.logs("raised to real-time priority 1 (max_auto_priority 2)");
    assert_eq!(daemon.class(), (2, 1));
    for name in ["advert-lateness", "wake-lateness"] {
        let max = daemon.latency(name)["max_seconds"].as_f64().unwrap();
        assert!((0.4..5.0).contains(&max), "{name}: {max}");
    }
    // Another one within the minute is counted, but not told again.
    daemon.pause_for(Duration::from_millis(600));
    let late = || {
        daemon.latency("wake-lateness")["buckets"].as_array().map_or(0, |buckets| {
            let long = |bucket: &&Value| bucket["from_seconds"].as_f64() > Some(0.3);
            buckets.iter().filter(long).map(|bucket| bucket["count"].as_u64().unwrap()).sum::<u64>()
        })
    };
    daemon.until("a second long wake", || late() >= 2);
    assert_eq!(daemon.log().matches("A thread timer expired").count(), 1, "{}", daemon.log());
}
