//! A running `viprd` of this build, and `viprctl` to ask it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::site::{PATIENCE, Site, eventually, within};

/// The programs under test.
pub(crate) const VIPRD: &str = env!("CARGO_BIN_EXE_viprd");
pub(crate) const VIPRCTL: &str = env!("CARGO_BIN_EXE_viprctl");

/// A virtual router `VI_1` on `eth0` with vrid 51, a line for each address that it has.
pub(crate) fn router(words: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n  interface eth0\n  virtual_router_id 51\n  {words}\n  \
         virtual_ipaddress {{\n    10.9.0.50/24 brd 10.9.0.255 dev eth0 label eth0:v\n  }}\n}}\n"
    )
}

/// VRRPv3, ten adverts a second, priority 150: master 0.34 s after its start.
pub(crate) const QUICK: &str = "version 3\n  advert_int 0.1\n  priority 150";

/// A daemon in the foreground of a test; killed when dropped.
pub(crate) struct Viprd {
    child: Child,
    files: PathBuf,
}

impl Viprd {
    /// Starts one on `host` with this configuration, logging in detail to a file.
    pub(crate) fn start(site: &Site, host: &str, configuration: &str) -> Viprd {
        Viprd::start_with(site, host, configuration, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(
        site: &Site,
        host: &str,
        configuration: &str,
        arguments: &[&str],
    ) -> Viprd {
        let files = files(site);
        let mut command = command(&files, configuration);
        let log = File::create(files.join("log")).expect("a log file");
        command.args(["-n", "-l", "-D"]).args(arguments).stderr(log);
        let child = site.inside(host, || command.spawn()).expect("viprd runs");
        let viprd = Viprd { child, files };
        eventually("a control socket", || viprd.socket().exists().then_some(()));
        viprd
    }

    /// The same in the network namespace of the test itself, which `arguments` should let it leave.
    pub(crate) fn start_outside(site: &Site, configuration: &str, arguments: &[&str]) -> Viprd {
        let files = files(site);
        let mut command = command(&files, configuration);
        let log = File::create(files.join("log")).expect("a log file");
        command.args(["-n", "-l", "-D"]).args(arguments).stderr(log);
        let child = command.spawn().expect("viprd runs");
        let viprd = Viprd { child, files };
        eventually("a control socket", || viprd.socket().exists().then_some(()));
        viprd
    }

    /// The same, without its own arguments: only files and `arguments`; standard error is
    /// `stderr`.
    pub(crate) fn start_as(
        site: &Site,
        host: &str,
        configuration: &str,
        wrap: &[&str],
        arguments: &[&str],
        stderr: Stdio,
    ) -> Viprd {
        let files = files(site);
        let plain = command(&files, configuration);
        let mut words = wrap.iter().map(|word| (*word).into()).collect::<Vec<_>>();
        words.push(plain.get_program().to_owned());
        words.extend(plain.get_args().map(ToOwned::to_owned));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = site.inside(host, || command.spawn()).expect("viprd runs");
        let viprd = Viprd { child, files };
        eventually("a control socket", || viprd.socket().exists().then_some(()));
        viprd
    }

    /// Gives it another configuration, and waits until that holds.
    pub(crate) fn reload(&self, configuration: &str) {
        fs::write(self.files.join("viprd.conf"), configuration).expect("a configuration file");
        let output = viprctl(&self.socket(), &["reload"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "viprctl reload: {said}\n{}", self.log());
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.files.join("control.sock")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.files.join("pid")
    }

    /// Takes its standard error, if that is a pipe.
    pub(crate) fn stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap_or_default()
    }

    /// Waits until it has logged `words`.
    pub(crate) fn logs(&self, words: &str) {
        let began = std::time::Instant::now();
        while !self.log().contains(words) {
            assert!(began.elapsed() < PATIENCE, "not logged: {words}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What `viprctl --json` answers.
    pub(crate) fn ask(&self, words: &[&str]) -> Value {
        let output = viprctl(&self.socket(), &[&["--json"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "viprctl {words:?}: {said}\n{}", self.log());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// How `VI_1` is.
    pub(crate) fn status(&self) -> Value {
        self.ask(&["status", "VI_1"])[0].take()
    }

    /// The state of `VI_1`.
    pub(crate) fn state(&self) -> String {
        self.status()["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The counters of `VI_1`.
    pub(crate) fn counters(&self) -> Value {
        self.ask(&["stats", "VI_1"])["counters"].take()
    }

    /// Waits until `VI_1` is in `state`.
    pub(crate) fn becomes(&self, state: &str) {
        let began = std::time::Instant::now();
        loop {
            let now = self.state();
            if now == state {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "still {now}, not {state}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// Sends the signal that `--signum` has under this name.
    pub(crate) fn signal_named(&self, name: &str) {
        send(self.pid(), name);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let log = self.files.join("log");
        let child = &mut self.child;
        within(PATIENCE, &format!("an end; its log is {}", log.display()), || {
            child.try_wait().expect("a child")
        })
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Stops it by SIGTERM and waits for the end, which has to be a good one.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        self.log()
    }
}

impl Drop for Viprd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of viprd {}:\n{}", self.pid(), self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process the signal that `--signum` has under this name: the numbers are keepalived's.
pub(crate) fn send(pid: Pid, name: &str) {
    let number = viprd(&[&format!("--signum={name}")]).stdout;
    let number = String::from_utf8_lossy(&number);
    let command = format!("kill -{} {pid}", number.trim());
    let status = Command::new("sh").args(["-c", &command]).status().expect("sh runs");
    assert!(status.success(), "{name}: {command}");
}

/// A directory for one daemon's files.
pub(crate) fn files(site: &Site) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let files = site.dir.join(format!("viprd-{number}"));
    fs::create_dir(&files).expect("a directory");
    files
}

/// viprd with all its files in `files`.
pub(crate) fn command(files: &Path, configuration: &str) -> Command {
    let file = files.join("viprd.conf");
    fs::write(&file, configuration).expect("a configuration file");
    let mut command = Command::new(VIPRD);
    command.arg("-f").arg(file);
    command.arg("-p").arg(files.join("pid"));
    command.arg("--control").arg(files.join("control.sock"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs viprctl.
pub(crate) fn viprctl(socket: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(VIPRCTL);
    command.arg("-s").arg(socket).args(words).stdin(Stdio::null());
    command.output().expect("viprctl runs")
}

/// Runs viprd with just these arguments until its end.
pub(crate) fn viprd(arguments: &[&str]) -> Output {
    let mut command = Command::new(VIPRD);
    command.args(arguments).stdin(Stdio::null()).output().expect("viprd runs")
}
