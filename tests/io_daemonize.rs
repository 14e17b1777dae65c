//! A daemon's start as its caller sees it: the process in the foreground waits, and exits as the
//! one in the background says. The program is both: started again with an order, it is the daemon.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use viprd::io::process::daemonize;

/// Names the order for a process that is to be the daemon: a way to fail, or a file to write.
const ORDER: &str = "VIPRD_TEST_DAEMON";

fn main() {
    match env::var(ORDER) {
        Ok(order) => daemon(&order),
        Err(_) => {
            the_foreground_waits_for_the_daemon_and_exits_as_it_says();
            println!("daemonize: ok");
        }
    }
}

fn the_foreground_waits_for_the_daemon_and_exits_as_it_says() {
    let place = Place(env::temp_dir().join(format!("viprd-daemonize-{}", process::id())));
    fs::create_dir(&place.0).expect("a directory");
    let report = place.0.join("report");

    assert_eq!(start(report.to_str().expect("UTF-8")), Some(0));
    // It was written before the process in the foreground ended, so it is there at once.
    assert_eq!(fs::read_to_string(&report).expect("a report"), "no leader, in /");

    let after = report.with_extension("after");
    let output = (0..500).find_map(|_| {
        thread::sleep(Duration::from_millis(20));
        fs::read_to_string(&after).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(output.as_deref(), Some("/dev/null"));

    assert_eq!(start("fail"), Some(42));
    assert_eq!(start("vanish"), Some(1));
}

/// Starts this program as the daemon; the exit code that its caller sees.
fn start(order: &str) -> Option<i32> {
    let program = env::current_exe().expect("this program");
    Command::new(program).env(ORDER, order).stdin(Stdio::null()).status().expect("started").code()
}

fn daemon(order: &str) {
    let readiness = daemonize().expect("a single thread");
    match order {
        "fail" => readiness.failed(42),
        "vanish" => drop(readiness),
        report => {
            // SAFETY: numbers only.
            let leads = unsafe { libc::getsid(0) == libc::getpid() };
            let leads = if leads { "leader" } else { "no leader" };
            let place = env::current_dir().expect("a directory");
            // So late that a foreground which doesn't wait is found out.
            thread::sleep(Duration::from_millis(50));
            fs::write(report, format!("{leads}, in {}", place.display())).expect("written");

            readiness.ready().expect("/dev/null");
            let output = fs::read_link("/proc/self/fd/1").expect("an output");
            fs::write(format!("{report}.after"), output.display().to_string()).expect("written");
        }
    }
}

/// A directory that is gone at the end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
