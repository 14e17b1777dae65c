//! Where a test plays: hosts (network namespaces) on wires (veth pairs), and a directory for files.
//! All of it is gone when the [`Site`] is dropped, also when the test panics.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Where `ip netns` keeps its namespaces (`ip-netns(8)`).
const NAMESPACES: &str = "/run/netns";
/// What the names of our namespaces and directories begin with; the process id follows.
const PREFIX: &str = "viprd-e2e-";

/// How long anything may take that has to happen. A quiet machine needs a small part of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Hosts and wires of one test.
pub(crate) struct Site {
    /// What the names of its namespaces begin with.
    name: String,
    /// A directory for its files.
    pub(crate) dir: PathBuf,
}

/// Whether the tests can run here; says what is missing if not, and fails under `CI=true`.
pub(crate) fn able(programs: &[&str]) -> bool {
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
        return true;
    }
    let missing = missing.join(", ");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "needs {missing}");
    eprintln!("not played: needs {missing}");
    false
}

/// Looks at `probe` until it gives something; panics with `what` after [`PATIENCE`].
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Looks at `probe` until it gives something; panics with `what` after `patience`.
pub(crate) fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < patience, "not in {patience:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Site {
    /// Hosts with these names, without any link but `lo`.
    pub(crate) fn new(hosts: &[&str]) -> Site {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-", process::id());
        let dir = std::env::temp_dir().join(name.trim_end_matches('-'));
        let site = Site { name, dir };
        fs::create_dir(&site.dir).expect("a directory for the test's files");
        for host in hosts {
            run("ip", &["netns", "add", &site.namespace(host)]);
            site.inside(host, || {
                // Router solicitations and the like would only be noise in the captures.
                let _ = fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
                let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            });
            site.ip(host, "link set lo up");
        }
        site
    }

    /// The usual site: a router `r` and its neighbour `n`, joined by `eth0`; 10.9.0.1/24 and
    /// 10.9.0.2/24.
    pub(crate) fn pair() -> Site {
        let site = Site::new(&["r", "n"]);
        site.wire(("r", "eth0"), ("n", "eth0"));
        site.ip("r", "address add 10.9.0.1/24 brd 10.9.0.255 dev eth0");
        site.ip("n", "address add 10.9.0.2/24 brd 10.9.0.255 dev eth0");
        site
    }

    /// The same with IPv6, without anything that it would send by itself. The link-local addresses
    /// are fe80::ff:fe00:1 and fe80::ff:fe00:2, tentative for a second or two.
    pub(crate) fn pair_with_ipv6() -> Site {
        let site = Site::pair();
        for host in ["r", "n"] {
            site.set_ipv6(host, "eth0", true);
        }
        site
    }

    /// Switches IPv6 on or off on `link` of `host`.
    pub(crate) fn set_ipv6(&self, host: &str, link: &str, on: bool) {
        self.inside(host, || {
            let disable = if on { "0" } else { "1" };
            let settings =
                [("accept_ra", "0"), ("router_solicitations", "0"), ("disable_ipv6", disable)];
            for (name, value) in settings {
                let path = format!("/proc/sys/net/ipv6/conf/{link}/{name}");
                fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        });
    }

    /// Joins two links, made by this, and waits until both run. Their Ethernet addresses are
    /// 02:00:00:00:00:01 and 02:00:00:00:00:02.
    pub(crate) fn wire(&self, one: (&str, &str), other: (&str, &str)) {
        let peer = format!("address 02:00:00:00:00:02 netns {}", self.namespace(other.0));
        self.ip(
            one.0,
            &format!(
                "link add {} address 02:00:00:00:00:01 type veth peer name {} {peer}",
                one.1, other.1
            ),
        );
        self.ip(one.0, &format!("link set {} up", one.1));
        self.ip(other.0, &format!("link set {} up", other.1));
        // The kernel takes up to a second to tell that a link runs (linkwatch).
        for (host, link) in [one, other] {
            eventually("a link that runs", || {
                let link = self.ip_json(host, &format!("link show dev {link}"));
                (link[0]["operstate"] == "UP").then_some(())
            });
        }
    }

    /// What `ip netns` knows `host` as.
    pub(crate) fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.name)
    }

    /// Runs `ip` on `host`.
    pub(crate) fn ip(&self, host: &str, arguments: &str) {
        let namespace = self.namespace(host);
        let words = ["-n", &namespace].into_iter().chain(arguments.split_whitespace());
        run("ip", &words.collect::<Vec<_>>());
    }

    /// What `ip -details -json` prints on `host`; `Null` if it fails.
    pub(crate) fn ip_json(&self, host: &str, arguments: &str) -> Value {
        let namespace = self.namespace(host);
        let mut command = Command::new("ip");
        command.args(["-n", &namespace, "-details", "-json"]).args(arguments.split_whitespace());
        let output = command.output().expect("ip runs");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Runs these lines with `ip -batch` on `host`; those that fail do no harm.
    pub(crate) fn ip_batch(&self, host: &str, lines: &str) {
        let file = self.dir.join("batch");
        fs::write(&file, lines).expect("a batch file");
        let mut command = Command::new("ip");
        command.args(["-n", &self.namespace(host), "-force", "-batch"]).arg(&file);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("ip runs");
    }

    /// The addresses of `link` on `host`, as `ip -json address` lists them.
    pub(crate) fn addresses(&self, host: &str, link: &str) -> Vec<Value> {
        self.addresses_of(host, link, "-4")
    }

    /// The IPv6 addresses of `link` on `host`.
    pub(crate) fn ipv6_addresses(&self, host: &str, link: &str) -> Vec<Value> {
        self.addresses_of(host, link, "-6")
    }

    fn addresses_of(&self, host: &str, link: &str, family: &str) -> Vec<Value> {
        let shown = self.ip_json(host, &format!("{family} address show dev {link}"));
        let addresses = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
        addresses.into_iter().filter(|address| address["local"].is_string()).collect()
    }

    /// The entry of `address` on `link` of `host`, if it is there.
    pub(crate) fn address(&self, host: &str, link: &str, address: &str) -> Option<Value> {
        self.addresses(host, link).into_iter().find(|entry| entry["local"] == address)
    }

    /// The same for an IPv6 address.
    pub(crate) fn ipv6_address(&self, host: &str, link: &str, address: &str) -> Option<Value> {
        self.ipv6_addresses(host, link).into_iter().find(|entry| entry["local"] == address)
    }

    /// Calls `work` in the network namespace of `host`, on a thread of its own.
    pub(crate) fn inside<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = Path::new(NAMESPACES).join(self.namespace(host));
        let namespace = File::open(path).expect("a namespace");
        let enter_and_work = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("may enter a namespace");
            work()
        };
        thread::scope(|scope| match scope.spawn(enter_and_work).join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        remove(&self.name);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs a program that has to succeed.
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
}

/// Removes the namespaces whose names begin so, with every process left in them.
fn remove(prefix: &str) {
    let Ok(entries) = fs::read_dir(NAMESPACES) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        if let Ok(output) = Command::new("ip").args(["netns", "pids", &name]).output() {
            for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
                if let Ok(pid) = pid.parse() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
        let _ = Command::new("ip").args(["netns", "delete", &name]).status();
    }
}

/// Removes what earlier runs left behind because they were killed outright.
fn sweep() {
    let places = [Path::new(NAMESPACES).to_owned(), std::env::temp_dir()];
    for entry in places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some(pid) = rest.split('-').next().filter(|pid| pid.parse::<u32>().is_ok()) else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            remove(&format!("{PREFIX}{pid}-"));
            if entry.path().is_dir() {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
