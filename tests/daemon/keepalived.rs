//! keepalived of the system as the other router.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{PATIENCE, Site, eventually};
use crate::viprd::{files, send};

/// A keepalived in the foreground of a test; killed when dropped.
pub(crate) struct Keepalived {
    child: Child,
    files: PathBuf,
}

impl Keepalived {
    /// Starts one on `host` with this configuration, VRRP alone.
    pub(crate) fn start(site: &Site, host: &str, configuration: &str) -> Keepalived {
        let files = files(site);
        let file = files.join("keepalived.conf");
        fs::write(&file, configuration).expect("a configuration file");
        let log = File::create(files.join("log")).expect("a log file");
        let mut command = Command::new("keepalived");
        command.env("TMPDIR", &files).args(["-n", "-l", "-D", "-P", "-f"]).arg(&file);
        command.arg("-p").arg(files.join("pid")).arg("-r").arg(files.join("vrrp-pid"));
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a log file")).stdout(log);
        let child = site.inside(host, || command.spawn()).expect("keepalived runs");
        Keepalived { child, files }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap_or_default()
    }

    /// Waits until it has logged `words` for the `times`th time.
    pub(crate) fn logs(&self, words: &str, times: usize) {
        let began = Instant::now();
        while self.log().matches(words).count() < times {
            assert!(began.elapsed() < PATIENCE, "not logged: {words}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// What it writes into a file `keepalived.…` when it gets that signal.
    pub(crate) fn dump(&self, signal: &str, kind: &str) -> String {
        let file = self.files.join(format!("keepalived.{kind}"));
        let _ = fs::remove_file(&file);
        send(Pid::from_raw(self.child.id() as i32), signal);
        eventually("a dump of keepalived's", || {
            // Only its JSON appears whole.
            let text = fs::read_to_string(&file).ok().filter(|text| !text.is_empty())?;
            std::thread::sleep(std::time::Duration::from_millis(300));
            Some(fs::read_to_string(&file).unwrap_or(text))
        })
    }

    /// Stops it in order, so that it says that it leaves.
    pub(crate) fn stop(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("it runs");
        let child = &mut self.child;
        eventually("keepalived's end", || child.try_wait().expect("a child"));
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of keepalived {}:\n{}", self.child.id(), self.log());
        }
        // Its child process goes with it: that one watches its parent.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let began = Instant::now();
        while began.elapsed() < PATIENCE && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
