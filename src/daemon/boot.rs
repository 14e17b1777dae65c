//! From the command line to a running loop, and back to an exit code.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use log::{error, info, warn};
use syslog::Facility;

use super::args::Arguments;
use super::clients::Clients;
use super::frames::Frames;
use super::journal::{self, Journal};
use super::run::Daemon;
use super::signals;
use super::words::Limiter;
use crate::config::{self, Configuration, Diagnostics};
use crate::io::sockets::{self, ControlListener, Memberships, SignalFd};
use crate::io::{Backend, process};
use crate::kernel::Host;
use crate::vrrp::Engine;

const CONFIGURATION_FILES: [&str; 2] =
    ["/etc/viprd/viprd.conf", "/etc/keepalived/keepalived.conf"];
const CONTROL_SOCKET: &str = "/run/viprd/viprd.sock";
const PID_FILE: &str = "/run/viprd.pid";
/// Wanted receive buffers. 4,000 adverts that arrive at once take about 3 MB of socket memory; a
/// mass failover makes about as many netlink messages.
const VRRP_RECEIVE_BUFFER: usize = 16 << 20;
const MONITOR_RECEIVE_BUFFER: usize = 16 << 20;
const COMMAND_RECEIVE_BUFFER: usize = 4 << 20;

/// Exit codes besides those of `-t` (`sysexits.h`, as the contract of the command line).
mod exit {
    pub(super) const OK: u8 = 0;
    /// The configuration can't be run.
    pub(super) const CONFIGURATION: u8 = 4;
    /// The command line is wrong.
    pub(super) const USAGE: u8 = 64;
    /// The system refused something that is needed.
    pub(super) const SYSTEM: u8 = 71;
}

/// Every descriptor of the daemon.
pub(super) struct Sockets {
    pub vrrp: OwnedFd,
    pub memberships: Memberships,
    pub packet: OwnedFd,
    pub monitor: OwnedFd,
    pub command: OwnedFd,
    pub signals: SignalFd,
    pub control: Option<ControlListener>,
}

/// What went wrong while starting, in words for the user.
struct Failed {
    code: u8,
    text: String,
}

/// The program `viprd`: reads the command line, runs, returns the exit code.
pub fn main() -> ExitCode {
    let mut command_line = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = command_line.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map_or("viprd".into(), |n| n.to_string_lossy());
    let arguments = match Arguments::read(&program, &command_line.collect::<Vec<_>>()) {
        Ok(arguments) => arguments,
        Err(exit) if exit.status.is_ok() => {
            print!("{}", exit.output);
            return ExitCode::from(exit::OK);
        }
        Err(exit) => {
            eprintln!("{program}: {}", exit.output.trim_end());
            return ExitCode::from(exit::USAGE);
        }
    };
    ExitCode::from(run(&program, &arguments).unwrap_or_else(|failed| {
        eprintln!("{program}: {}", failed.text);
        failed.code
    }))
}

fn run(program: &str, arguments: &Arguments) -> Result<u8, Failed> {
    if arguments.version {
        eprint!("{}", version(program));
        return Ok(exit::OK);
    }
    if let Some(name) = &arguments.signum {
        let number = signals::number(name).ok_or_else(|| {
            usage(format!("--signum={name}: expected STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON or TDUMP"))
        })?;
        println!("{number}");
        return Ok(exit::OK);
    }
    let file = configuration_file(arguments);
    let options = config::Options {
        config_id: arguments.config_id.clone(),
        ..config::Options::default()
    };
    let loaded = config::load(&file, &config::OsFiles, &options);
    if arguments.config_test || arguments.config_test_to.is_some() {
        return test_configuration(arguments, &loaded.diagnostics);
    }
    let Some(configuration) = loaded.configuration else {
        eprint!("{}", loaded.diagnostics.render_for_terminal());
        return Err(Failed {
            code: exit::CONFIGURATION,
            text: format!("{} can't be run as it is", file.display()),
        });
    };

    let backend = backend(arguments)?;
    let facility = facility(arguments)?;
    // Everything that can be told on the terminal has been told; from here on the log speaks.
    let started = if arguments.dont_fork {
        None
    } else {
        match process::daemonize().map_err(system("can't go to the background"))? {
            process::Daemonized::Parent(code) => return Ok(code),
            process::Daemonized::Child(started) => Some(started),
        }
    };
    let mut journal = open_journal(program, arguments, facility)?;
    journal::install(arguments.log_detail);
    let mut daemon = match start(arguments, backend, &file, configuration, &loaded.diagnostics, journal) {
        Ok(daemon) => daemon,
        Err((failed, mut journal)) => {
            error!("{}", failed.text);
            journal.drain(std::time::Duration::from_millis(500));
            if let Some(started) = started {
                started.failed(failed.code);
            }
            return Err(failed);
        }
    };
    todo_remove();
    Ok(0)
}
