//! The whole daemon, as it runs, asks the allocator for nothing on a steady day: real sockets, a
//! hundred virtual routers each way, adverts each 50 ms.
//!
//! This program is the test and the daemon: started with arguments it calls `viprd::daemon::main`
//! as `src/main.rs` does, but with an allocator that counts, and a second thread writes the count
//! to the file that `VIPRD_ALLOCATIONS` names. (The daemon itself can't be asked: answering
//! viprctl allocates.)
//!
//! A machine that is busy with something else may hold up a daemon for so long that backups take
//! over, which is no steady day. So up to five times are watched, and one has to hold; what is
//! asked for regularly would show in each.
//!
//! Needs root and iproute2; without them it says so and passes, but not under `CI=true`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

/// The system's allocator, counting what threads ask for; but not the one that tells the count.
struct Counting;

static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static UNCOUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !UNCOUNTED.get() {
        ASKED.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Virtual routers of each daemon.
const ROUTERS: u8 = 100;
/// How long it is watched: some 10,000 adverts sent by one, received by the other.
const WATCHED: Duration = Duration::from_secs(5);
/// How often at most.
const TRIES: usize = 5;

fn main() -> ExitCode {
    match std::env::var_os("VIPRD_ALLOCATIONS") {
        Some(file) => daemon(Path::new(&file)),
        None => test(),
    }
}

/// The daemon, with a thread that tells what has been counted.
fn daemon(file: &Path) -> ExitCode {
    let file = File::create(file).expect("a file");
    thread::spawn(move || {
        UNCOUNTED.set(true);
        // Signals are the daemon's.
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None).expect("a mask");
        loop {
            let asked = ASKED.load(Ordering::Relaxed).to_le_bytes();
            file.write_all_at(&asked, 0).expect("room for 8 bytes");
            thread::sleep(Duration::from_millis(20));
        }
    });
    viprd::daemon::main()
}

fn test() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("a_steady_daemon_takes_no_memory: test");
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not played: needs root");
        let must = std::env::var("CI").as_deref() == Ok("true");
        return if must { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    for (io, travel) in [
        ("uring", Travel::Ipv4),
        ("epoll", Travel::Ipv4),
        ("uring", Travel::Ipv6),
        ("uring", Travel::Unicast),
    ] {
        let site = Site::new(io);
        let master = site.start("r", io, travel, 150);
        let backup = site.start("n", io, travel, 50);
        let address = match travel {
            Travel::Ipv4 | Travel::Unicast => "inet 10.9.1.",
            Travel::Ipv6 => "inet6 2001:db8:1::",
        };
        eventually("all are master", || {
            let listed = site.ip(&["-n", &site.namespace("r"), "address", "show", "dev", "eth0"]);
            listed.matches(address).count() == usize::from(ROUTERS)
        });
        // Over by then: both sets of gratuitous ARPs, and whatever grows once.
        thread::sleep(Duration::from_secs(7));
        for daemon in [&master, &backup] {
            assert!(daemon.asked() > 1000, "it counts");
        }
        let held = (0..TRIES).any(|_| {
            let before = [master.asked(), backup.asked()];
            let packets = site.packets();
            thread::sleep(WATCHED);
            let packets = site.packets() - packets;
            let [by_master, by_backup] = [master.asked() - before[0], backup.asked() - before[1]];
            println!(
                "{io}, {travel:?}: {packets} adverts; allocations by the master {by_master}, by the backup \
                 {by_backup}"
            );
            packets > 5000 && (by_master, by_backup) == (0, 0)
        });
        assert!(held, "{io}, {travel:?}: memory was taken each time");
    }
    println!("a_steady_daemon_takes_no_memory: ok");
    ExitCode::SUCCESS
}

/// How adverts travel.
#[derive(Clone, Copy, Debug)]
enum Travel {
    Ipv4,
    Ipv6,
    /// Over IPv4, to the other host alone.
    Unicast,
}

/// Two hosts, `r` and `n`, joined by eth0; gone when dropped.
struct Site {
    name: String,
    dir: PathBuf,
}

/// A daemon, killed when dropped.
struct Daemon {
    child: Child,
    counted: PathBuf,
}

impl Site {
    fn new(io: &str) -> Site {
        let name = format!("viprd-alloc-{}-{io}-", std::process::id());
        let site = Site { dir: std::env::temp_dir().join(&name), name };
        fs::create_dir(&site.dir).expect("a directory");
        let (r, n) = (site.namespace("r"), site.namespace("n"));
        for host in [&r, &n] {
            site.ip(&["netns", "add", host]);
        }
        let veth = ["type", "veth", "peer", "name", "eth0", "netns", &n];
        site.ip(&[&["-n", &r, "link", "add", "eth0"], &veth[..]].concat());
        for (host, address) in [(&r, "10.9.0.1/16"), (&n, "10.9.0.2/16")] {
            site.ip(&["-n", host, "address", "add", address, "dev", "eth0"]);
            site.ip(&["-n", host, "link", "set", "eth0", "up"]);
        }
        for host in [&r, &n] {
            let running = || site.ip(&["-n", host, "link", "show", "eth0"]).contains("state UP");
            eventually("a link that runs", running);
        }
        site
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.name)
    }

    fn ip(&self, words: &[&str]) -> String {
        let output = Command::new("ip").args(words).output().expect("ip runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts this program as the daemon.
    fn start(&self, host: &str, io: &str, travel: Travel, priority: u8) -> Daemon {
        let mut text = String::new();
        let (address, peers) = match (travel, host) {
            (Travel::Ipv4, _) => ("10.9.1.", ""),
            (Travel::Ipv6, _) => ("2001:db8:1::", ""),
            (Travel::Unicast, "r") => ("10.9.1.", "unicast_peer {\n 10.9.0.2\n }"),
            (Travel::Unicast, _) => ("10.9.1.", "unicast_peer {\n 10.9.0.1\n }"),
        };
        for number in 1..=ROUTERS {
            let _ = writeln!(
                text,
                "vrrp_instance VI_{number} {{\n interface eth0\n virtual_router_id {number}\n \
                 version 3\n advert_int 0.05\n priority {priority}\n {peers}\n \
                 virtual_ipaddress {{\n {address}{number}\n }}\n}}"
            );
        }
        let file = |name: &str| self.dir.join(format!("{host}.{name}"));
        fs::write(file("conf"), text).expect("a configuration");
        let counted = file("allocations");
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.env("VIPRD_ALLOCATIONS", &counted).stdin(Stdio::null());
        command.args(["-n", "-G", "--io", io, "-s", &self.namespace(host)]);
        command.arg("-f").arg(file("conf")).arg("-p").arg(file("pid"));
        command.arg("--control").arg(file("sock"));
        let child = command.spawn().expect("the daemon runs");
        let daemon = Daemon { child, counted };
        eventually("the daemon's count", || daemon.counted.metadata().is_ok_and(|f| f.len() == 8));
        daemon
    }

    /// Packets that `n` has received.
    fn packets(&self) -> u64 {
        let shown = self.ip(&["-n", &self.namespace("n"), "-s", "-j", "link", "show", "eth0"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        shown[0]["stats64"]["rx"]["packets"].as_u64().expect("a number")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for host in ["r", "n"] {
            let _ = Command::new("ip").args(["netns", "delete", &self.namespace(host)]).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Daemon {
    fn asked(&self) -> u64 {
        let bytes = fs::read(&self.counted).expect("a file");
        u64::from_le_bytes(bytes.try_into().expect("8 bytes"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn eventually(what: &str, probe: impl Fn() -> bool) {
    let began = Instant::now();
    while !probe() {
        assert!(began.elapsed() < Duration::from_secs(20), "not in 20 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
