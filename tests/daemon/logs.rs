//! Where the log goes, and that nothing waits for it.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::Duration;

use crate::hostile::assert_on_schedule;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Tap};
use crate::viprd::{QUICK, VIPRD, Viprd, command, files, router};

/// A hundred virtual routers that depend on eth1: what happens to that is told in a thousand lines.
fn hundred() -> String {
    (1..=100).fold(String::new(), |mut text, number| {
        let _ = writeln!(
            text,
            "vrrp_instance VI_{number} {{\n interface eth0\n virtual_router_id {number}\n {QUICK}\n \
             track_interface {{\n eth1\n }}\n virtual_ipaddress {{\n 10.9.1.{number}/24\n }}\n}}"
        );
        text
    })
}

fn site_with_two_wires() -> Site {
    let site = Site::pair();
    site.wire(("r", "eth1"), ("n", "eth1"));
    site
}

/// Makes the daemon write far more than any queue takes.
fn much_to_tell(site: &Site, viprd: &Viprd) {
    for _ in 0..10 {
        site.ip("r", "link set eth1 down");
        viprd.becomes("FAULT");
        site.ip("r", "link set eth1 up");
        viprd.becomes("MASTER");
    }
}

/// The adverts of `VI_1` come regularly for two seconds.
fn assert_adverts_go_on(tap: &Tap) {
    tap.clear();
    let watched = Duration::from_secs(2);
    sleep(watched);
    let first: Vec<Frame> =
        tap.adverts().into_iter().filter(|advert| advert.bytes.get(35) == Some(&1)).collect();
    assert_on_schedule(&first, Duration::from_millis(100), watched);
}

/// Standard error is a pipe that nobody reads for a while.
#[test]
fn a_pipe_that_nobody_reads_delays_nothing() {
    if !able(&[]) {
        return;
    }
    let site = site_with_two_wires();
    let tap = Tap::on(&site, "n");
    let arguments = ["-n", "-l", "-D"];
    let mut viprd = Viprd::start_as(&site, "r", &hundred(), &[], &arguments, Stdio::piped());
    viprd.becomes("MASTER");
    much_to_tell(&site, &viprd);
    assert_adverts_go_on(&tap);

    // Somebody begins to read: the rest comes, and how much is missing.
    let mut pipe = viprd.stderr().expect("a pipe");
    let (told, hear) = mpsc::channel();
    let reader = thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), [0; 65536]);
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            text.extend_from_slice(&buffer[..length]);
            if String::from_utf8_lossy(&text).contains("log lines were lost here") {
                let _ = told.send(());
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    hear.recv_timeout(Duration::from_secs(20)).expect("a word about the lines lost");
    viprd.stop();
    let text = reader.join().expect("no panic");
    assert!(text.contains("Entering MASTER STATE") && text.contains("Stopped"));
    // Each line is whole: it begins with its time.
    for line in text.lines() {
        assert!(line.starts_with("20") && line.as_bytes().get(10) == Some(&b' '), "{line}");
    }
}

/// Whoever read the log has left for good.
#[test]
fn a_pipe_whose_reader_has_left_harms_nothing() {
    if !able(&[]) {
        return;
    }
    let site = site_with_two_wires();
    let tap = Tap::on(&site, "n");
    let arguments = ["-n", "-l", "-D"];
    let mut viprd = Viprd::start_as(&site, "r", &hundred(), &[], &arguments, Stdio::piped());
    drop(viprd.stderr());
    viprd.becomes("MASTER");
    much_to_tell(&site, &viprd);
    assert_adverts_go_on(&tap);
    viprd.stop();
}

/// A `/dev` with a system log of the test's own, for one daemon alone.
struct Dev(PathBuf);

impl Dev {
    fn new(site: &Site) -> Dev {
        let dev = site.dir.join("dev");
        fs::create_dir(&dev).expect("a directory");
        let null = dev.join("null");
        let made = Command::new("mknod").arg("-m666").arg(&null).args(["c", "1", "3"]).status();
        assert!(made.expect("mknod runs").success());
        Dev(dev)
    }

    /// Starts a daemon that logs to the system log; it finds this directory as `/dev`.
    fn start(&self, site: &Site, configuration: &str) -> Viprd {
        let script = format!(
            "mount --make-rprivate / && mount --bind {} /dev && exec \"$@\"",
            self.0.display()
        );
        let wrap = ["unshare", "--mount", "sh", "-c", &script, "sh"];
        let log = fs::File::create(site.dir.join("stderr")).expect("a file");
        Viprd::start_as(site, "r", configuration, &wrap, &["-n", "-D"], log.into())
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// A system log that listens.
    fn listen(&self) -> UnixDatagram {
        let log = UnixDatagram::bind(self.log()).expect("a socket");
        log.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        log
    }
}

/// Reads lines until one contains `words`.
fn hear(log: &UnixDatagram, words: &str) -> String {
    let mut buffer = [0; 8192];
    loop {
        let length = log.recv(&mut buffer).unwrap_or_else(|error| panic!("no {words}: {error}"));
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if line.contains(words) {
            return line;
        }
    }
}

#[test]
fn syslog_gets_lines_in_its_own_form() {
    if !able(&["unshare", "mknod"]) {
        return;
    }
    let site = Site::pair();
    let dev = Dev::new(&site);
    let log = dev.listen();
    let viprd = dev.start(&site, &router(QUICK));
    let line = hear(&log, "VRRP_Instance(VI_1) Entering MASTER STATE");
    // Facility daemon, severity info: 3 * 8 + 6.
    let rest = line.strip_prefix("<30>").expect("its priority");
    let (time, rest) = rest.split_at(15);
    assert!(time.as_bytes()[3] == b' ' && time.as_bytes()[9] == b':', "{line}");
    let said = format!(" viprd[{}]: VRRP_Instance(VI_1) Entering MASTER STATE", viprd.pid());
    assert_eq!(rest, said);
    let quiet = fs::read_to_string(site.dir.join("stderr")).expect("a file");
    assert_eq!(quiet, "", "the console gets nothing");
    viprd.stop();
    hear(&log, "Stopped");
}

/// It is not there at the start, comes, is restarted, stops reading, reads again.
#[test]
fn syslog_may_come_and_go() {
    if !able(&["unshare", "mknod"]) {
        return;
    }
    let site = site_with_two_wires();
    let tap = Tap::on(&site, "n");
    let dev = Dev::new(&site);
    let viprd = dev.start(&site, &hundred());
    viprd.becomes("MASTER");
    assert_adverts_go_on(&tap);
    // It comes late, and misses nothing.
    let log = dev.listen();
    hear(&log, "VRRP_Instance(VI_1) Entering MASTER STATE");

    // Restarted: another socket at the same path.
    drop(log);
    fs::remove_file(dev.log()).expect("it was there");
    site.ip("r", "link set eth1 down");
    viprd.becomes("FAULT");
    let log = dev.listen();
    hear(&log, "VRRP_Instance(VI_1) Entering FAULT STATE");
    site.ip("r", "link set eth1 up");
    viprd.becomes("MASTER");

    // It hangs: nothing waits for it, and some lines are lost.
    much_to_tell(&site, &viprd);
    assert_adverts_go_on(&tap);
    hear(&log, "log lines were lost here");
    drop(log);
    viprd.stop();
}

/// `-G`: no log at all, not even a socket that is looked for.
#[test]
fn no_log_at_all() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start_as(&site, "r", &router(QUICK), &[], &["-n", "-G"], Stdio::piped());
    viprd.becomes("MASTER");
    let mut viprd = viprd;
    let mut pipe = viprd.stderr().expect("a pipe");
    viprd.stop();
    let mut said = String::new();
    pipe.read_to_string(&mut said).expect("a pipe");
    assert_eq!(said, "");
}

/// Without `-D` the states and their causes are told, without it not every address and ARP.
#[test]
fn the_usual_log_is_short() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let file = site.dir.join("short.log");
    let log = fs::File::create(&file).expect("a file");
    let viprd = Viprd::start_as(&site, "r", &router(QUICK), &[], &["-n", "-l"], log.into());
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    viprd.stop();
    let log = fs::read_to_string(&file).expect("a log");
    assert!(log.contains("VRRP_Instance(VI_1) Entering MASTER STATE"), "{log}");
    assert!(!log.contains("gratuitous ARPs"), "{log}");
    assert!(log.lines().count() < 12, "{log}");
}

/// Who shares the file that the console is writes on where viprd has stopped, and the other way round.
#[test]
fn a_shared_file_is_written_in_turn() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let files = files(&site);
    let daemon = command(&files, "global_defs {\n}\n");
    let words: Vec<_> = daemon.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let run = format!("timeout 1 {VIPRD} -n -l {}", words.join(" "));
    let all = files.join("all");
    let script =
        format!("(echo first; {run}; echo between; {run}; echo last) > {} 2>&1", all.display());
    let status = site.inside("r", || Command::new("sh").arg("-c").arg(script).status());
    assert!(status.expect("a shell").success());
    let lines: Vec<String> =
        fs::read_to_string(&all).expect("a log").lines().map(str::to_owned).collect();
    let own = |line: &str| lines.iter().position(|other| other == line);
    let (first, between, last) = (own("first"), own("between"), own("last"));
    assert_eq!((first, last), (Some(0), Some(lines.len() - 1)), "{lines:#?}");
    let between = between.expect("a line between");
    for run in [&lines[1..between], &lines[between + 1..lines.len() - 1]] {
        assert!(run.iter().any(|line| line.ends_with("Stopped")), "{lines:#?}");
        assert!(run.iter().all(|line| line.starts_with("20")), "{lines:#?}");
    }
}
