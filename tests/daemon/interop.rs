//! Beside a real keepalived, as backup and as master of the same virtual router.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{PATIENCE, Site, able, eventually};
use crate::viprd::{Viprd, files, router};

/// A keepalived in the foreground, on the neighbour; stopped when dropped.
struct Keepalived {
    child: Child,
    files: PathBuf,
}

impl Keepalived {
    fn start(site: &Site, host: &str, configuration: &str) -> Keepalived {
        let files = files(site);
        let path = |name: &str| files.join(name);
        fs::write(path("keepalived.conf"), configuration).expect("a configuration file");
        let log = File::create(path("log")).expect("a log file");
        let mut command = Command::new("keepalived");
        command.env("TMPDIR", &files).args(["-n", "-l", "-D", "-P"]);
        command.arg("-f").arg(path("keepalived.conf"));
        command.arg("-p").arg(path("pid")).arg("-r").arg(path("vrrp.pid"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = site.inside(host, || command.spawn()).expect("keepalived runs");
        Keepalived { child, files }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap_or_default()
    }

    /// Waits until it has entered `state` for the `count`th time.
    fn enters(&self, state: &str, count: usize) {
        let words = format!("Entering {state} STATE");
        let began = std::time::Instant::now();
        while self.log().matches(&words).count() < count {
            assert!(began.elapsed() < PATIENCE, "not {count} times: {words}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of keepalived:\n{}", self.log());
        }
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// keepalived is master; viprd hears it, displaces it, and leaves: keepalived has to understand all
/// of what viprd says, and viprd what keepalived says.
fn turn_and_turn_about(words: &str) {
    if !able(&["keepalived"]) {
        return;
    }
    let site = Site::pair();
    let configuration = router(&format!("priority 100\n  {words}"));
    let peer = Keepalived::start(&site, "n", &configuration);
    peer.enters("MASTER", 1);

    let viprd = Viprd::start(&site, "r", &router(&format!("priority 250\n  {words}")));
    eventually("viprd hears keepalived", || (viprd.status()["master"] == "10.9.0.2").then_some(()));
    viprd.becomes("MASTER");
    peer.enters("BACKUP", 2);
    // It follows us, for longer than it would wait.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(peer.log().matches("Entering MASTER STATE").count(), 1, "{}", peer.log());
    let counters = viprd.counters();
    for (name, value) in counters.as_object().expect("counters") {
        let fine = !(name.contains("auth") || name.contains("error"));
        assert!(fine || value == 0, "{name}: {value}");
    }
    // Leaving is understood: keepalived needs no more than its skew.
    viprd.stop();
    peer.enters("MASTER", 2);

    // And the other way about: keepalived outranks viprd.
    let viprd = Viprd::start(&site, "r", &router(&format!("priority 50\n  {words}")));
    eventually("viprd follows keepalived", || {
        (viprd.counters()["advertisement_rcvd"].as_u64() >= Some(5)).then_some(())
    });
    assert_eq!(viprd.state(), "BACKUP");
    drop(peer);
    viprd.becomes("MASTER");
    assert_eq!(viprd.ask(&["show", "VI_1"])["cause"]["event"], "master-resigned");
    viprd.stop();
}

#[test]
fn keepalived_without_authentication() {
    turn_and_turn_about("version 2");
}

#[test]
fn keepalived_with_a_password() {
    turn_and_turn_about("authentication {\n    auth_type PASS\n    auth_pass secret12\n  }");
}

#[test]
fn keepalived_with_a_short_password() {
    turn_and_turn_about("authentication {\n    auth_type PASS\n    auth_pass abc\n  }");
}

#[test]
fn keepalived_with_an_authentication_header() {
    turn_and_turn_about("authentication {\n    auth_type AH\n    auth_pass secret12\n  }");
}

#[test]
fn keepalived_of_version_3() {
    turn_and_turn_about("version 3\n  advert_int 0.5");
}
