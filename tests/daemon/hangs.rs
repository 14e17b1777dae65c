//! Others that hang: readers of named pipes, file systems with scripts on them. Adverts go on.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scripts::{GLOBAL, has, lines, router, script};
use crate::site::{Site, able, eventually};
use crate::tap::Tap;
use crate::viprd::Viprd;

/// `VI_1` keeps its schedule of ten adverts a second, as its neighbour sees it, and has never left it.
fn advertises(viprd: &Viprd, tap: &Tap) {
    let sent = || viprd.counters()["advertisement_sent"].as_u64().expect("a number");
    tap.clear();
    let before = sent();
    sleep(Duration::from_secs(2));
    let (sent, seen) =
        (sent() - before, tap.adverts().iter().filter(|it| it.bytes[35] == 1).count());
    assert!((10..=40).contains(&sent), "{sent} adverts in two seconds\n{}", viprd.log());
    assert!((10..=40).contains(&seen), "{seen} adverts seen in two seconds\n{}", viprd.log());
    assert_eq!(viprd.state(), "MASTER");
}

/// Nobody reads a pipe: it is full, then so is what is kept for it, and what is lost is told.
#[test]
fn a_pipe_that_is_full() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.wire(("r", "eth1"), ("n", "eth1"));
    site.ip("r", "address add 10.9.1.1/24 dev eth1");
    let pipe = site.dir.join("pipe");
    let mut text =
        format!("global_defs {{\n notify_fifo {}\n}}\n{}", pipe.display(), router(1, ""));
    let long = "x".repeat(3_000);
    for n in 2..=151 {
        text += &router(n, "").replace(&format!("VI_{n} "), &format!("VI_{n}_{long} "));
    }
    text = text.replace("interface eth0", "interface eth1").replacen("eth1", "eth0", 1);
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    let last = format!("VI_151_{long}");
    let state = |wanted: &str| {
        eventually(wanted, || (viprd.ask(&["status", &last])[0]["state"] == wanted).then_some(()));
    };
    for _ in 0..5 {
        state("MASTER");
        site.ip("r", "link set eth1 down");
        state("FAULT");
        site.ip("r", "link set eth1 up");
    }
    viprd.logs("nobody reads; ");
    advertises(&viprd, &tap);
    assert_eq!(viprd.counters()["master_transitions"], 1);
    // Whoever reads now gets whole lines, the oldest first.
    let reader = Command::new("head").args(["-n", "40"]).arg(&pipe).stdout(Stdio::piped()).output();
    let read = String::from_utf8(reader.expect("head runs").stdout).expect("text");
    assert_eq!(read.lines().next(), Some("INSTANCE \"VI_1\" BACKUP 150"));
    for line in read.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(
            matches!(words[..], ["INSTANCE", _, "BACKUP" | "MASTER" | "FAULT", "150"]),
            "{line}"
        );
    }
    drop(viprd);
}

/// A reader that ends is not started again; one that is stopped (SIGSTOP) goes on where it was.
#[test]
fn readers_that_die_or_stand_still() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let out = site.dir.join("out");
    let dead = script(&site, "dead", "exit 3");
    let slow = script(
        &site,
        "slow",
        &format!(
            "echo $$ > {0}.pid\nwhile read -r line; do echo \"$line\" >> {0}; done < $1",
            out.display()
        ),
    );
    let text = format!(
        "{GLOBAL} notify_fifo {0}/one\n notify_fifo_script {1}\n vrrp_notify_fifo {0}/two\n \
         vrrp_notify_fifo_script {2}\n}}\n{3}",
        site.dir.display(),
        dead.display(),
        slow.display(),
        router(1, "")
    );
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    viprd.logs("exited with status 3; it is not started again");
    has(&out, "INSTANCE \"VI_1\" MASTER 150");
    let reader: i32 = eventually("its id", || {
        fs::read_to_string(site.dir.join("out.pid")).ok()?.trim().parse().ok()
    });
    let signal = |signal| {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(reader), signal);
    };
    signal(Signal::SIGSTOP);
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    site.ip("r", "link set eth0 up");
    viprd.becomes("MASTER");
    advertises(&viprd, &tap);
    assert_eq!(lines(&out).len(), 2, "{:?}", lines(&out));
    signal(Signal::SIGCONT);
    let all = ["BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"];
    let all = all.map(|state| format!("INSTANCE \"VI_1\" {state} 150"));
    eventually("every line", || (lines(&out) == all).then_some(()));
    viprd.stop();
    assert_eq!(lines(&out).last().map(String::as_str), Some("INSTANCE \"VI_1\" STOP 150"));
}

/// A file system that answers nothing: everyone who looks into it waits.
struct Hanging {
    directory: PathBuf,
    _nobody_reads: File,
}

impl Hanging {
    /// Over `directory`; nothing where there is no FUSE.
    fn over(directory: &Path) -> Option<Hanging> {
        let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let options = CString::new(options).expect("no NUL");
        let target = CString::new(directory.as_os_str().as_encoded_bytes()).expect("no NUL");
        // SAFETY: texts that end with NUL and live through the call.
        let mounted = unsafe {
            libc::mount(
                c"viprd-test".as_ptr(),
                target.as_ptr(),
                c"fuse".as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        (mounted == 0).then(|| Hanging { directory: directory.to_owned(), _nobody_reads: fuse })
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let target = CString::new(self.directory.as_os_str().as_encoded_bytes()).expect("no NUL");
        // SAFETY: a text that ends with NUL and lives through the call.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    }
}

/// A directory with scripts hangs: what is checked by one of them counts as failed, what is notified by
/// one of them waits, all else goes on; and when it is well again, so is everything. (Where it stops to
/// hang, it does so with an error for whoever waits: nobody will answer.)
#[test]
fn a_directory_of_scripts_that_hangs() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let directory = site.dir.join("scripts");
    fs::create_dir(&directory).expect("a directory");
    let out = site.dir.join("out");
    let check = script(&site, "scripts/check", "exit 0");
    let tell = script(&site, "scripts/tell", &format!("echo \"$3 $4\" >> {}", out.display()));
    let text = format!(
        "{GLOBAL}}}\nvrrp_script checked {{\n script {}\n interval 0.2\n timeout 0.5\n}}\n{}{}",
        check.display(),
        router(1, ""),
        router(2, &format!("track_script {{\n checked\n }}\n notify \"{} x\"", tell.display()))
    );
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    has(&out, "VI_2 MASTER");
    let Some(hanging) = Hanging::over(&directory) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs /dev/fuse");
        return eprintln!("not played to its end: needs /dev/fuse");
    };
    viprd.logs("VRRP_Script(checked) failed (timed out)");
    let state = |wanted: &str| {
        eventually(wanted, || (viprd.ask(&["status", "VI_2"])[0]["state"] == wanted).then_some(()));
    };
    state("FAULT");
    advertises(&viprd, &tap);
    assert_eq!(viprd.counters()["master_transitions"], 1);
    assert_eq!(lines(&out).len(), 2, "{:?}", lines(&out));
    drop(hanging);
    state("MASTER");
    // Whose program could not be read any more has failed; those after it had to wait.
    viprd.logs("notification of VI_2, FAULT: exited with status 126");
    eventually("later notifications", || (lines(&out).len() >= 4).then_some(()));
    let told = ["BACKUP", "MASTER", "BACKUP", "MASTER"].map(|state| format!("VI_2 {state}"));
    assert_eq!(lines(&out), told);
    viprd.stop();
}

/// The sample reader of keepalived's own documentation, as it is.
#[test]
fn the_reader_of_keepalived_documentation() {
    const SAMPLE: &str = "/usr/share/doc/keepalived/samples/sample_notify_fifo.sh.gz";
    if !able(&["zcat", "bash", "flock"]) {
        return;
    }
    if !Path::new(SAMPLE).exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs {SAMPLE}");
        return eprintln!("not played: needs {SAMPLE}");
    }
    let site = Site::pair();
    let text = Command::new("zcat").arg(SAMPLE).output().expect("zcat runs").stdout;
    let reader = script(&site, "reader", "");
    fs::write(&reader, text).expect("a script");
    // It names its log and its pid file after the pipe.
    let name = format!("viprd-sample-{}", std::process::id());
    let (log, pid) = (format!("/tmp/{name}.log"), format!("/run/{name}.pid"));
    let _leftovers = Leftovers([log.clone().into(), pid.into()]);
    let configuration = format!(
        "{GLOBAL} notify_fifo {0}/{name}\n notify_fifo_script {1}\n}}\n\
         vrrp_sync_group G {{\n group {{\n VI_1\n VI_2\n }}\n}}\n{2}{3}",
        site.dir.display(),
        reader.display(),
        router(1, ""),
        router(2, "")
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    let told = || -> Vec<String> {
        let lines = lines(Path::new(&log)).into_iter();
        lines.filter_map(|line| Some(line.split_once("] ")?.1.to_owned())).collect()
    };
    viprd.becomes("MASTER");
    eventually("the group", || told().contains(&"GROUP G MASTER 0".into()).then_some(()));
    site.ip("r", "link set eth0 down");
    eventually("the fault", || told().contains(&"INSTANCE VI_2 FAULT 150".into()).then_some(()));
    viprd.stop();
    for line in ["INSTANCE VI_1 STOP 150", "INSTANCE VI_2 STOP 150", "GROUP G STOP 0"] {
        eventually(line, || told().contains(&line.into()).then_some(()));
    }
    eventually("its end", || told().contains(&"STOPPING".into()).then_some(()));
    assert!(!told().iter().any(|line| line.contains("unknown")), "{:?}", told());
    let order: Vec<String> = told().into_iter().filter(|line| line.contains("VI_1")).collect();
    let states = ["BACKUP", "MASTER", "FAULT", "STOP"];
    assert_eq!(order, states.map(|state| format!("INSTANCE VI_1 {state} 150")));
}

/// Files outside of the site.
struct Leftovers([PathBuf; 2]);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
