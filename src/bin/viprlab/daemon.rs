//! **The daemons under test**: started inside a namespace, their log read line by line with the
//! time of each line, stopped politely or not.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getppid, setsid};
use serde::Serialize;

use crate::interrupt::{Stop, wait_for};
use crate::topology::{Namespace, RunDir};

/// Which daemon plays a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Program {
    /// Ours.
    Viprd,
    /// The peer that everyone knows.
    Keepalived,
    /// FRRouting's `vrrpd`.
    Frr,
}

/// A state of a virtual router, as logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    /// Not yet anything.
    Init,
    /// Waiting.
    Backup,
    /// Carrying the addresses.
    Master,
    /// Unable to serve.
    Fault,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// `viprd`.
    pub(crate) viprd: PathBuf,
    /// `keepalived`.
    pub(crate) keepalived: PathBuf,
    /// Whether that can be told where the pid files of its checkers and its BFD are. It runs
    /// neither here, but 2.3 does not start while another one, starting too, looks at them.
    pub(crate) more_pid_files: bool,
    /// FRR's `vrrpd`; its `zebra` is in the same directory.
    pub(crate) frr: PathBuf,
    /// What viprd's `--io` shall be, if anything.
    pub(crate) io: Option<String>,
}

/// One line of a daemon's log.
#[derive(Debug, Clone)]
pub(crate) struct LogLine {
    /// When it was read, which is no later than it takes to wake a reader.
    pub(crate) at: Instant,
    /// The line, without keepalived's date.
    pub(crate) text: String,
}

/// A running daemon. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Which one.
    pub(crate) program: Program,
    /// When it was started.
    pub(crate) started: Instant,
    host: String,
    child: Child,
    log: Arc<Mutex<Vec<LogLine>>>,
}

/// How each daemon of FRR is run: not listening on TCP, and as root, since the directory of a run
/// is closed to others. FRR wants its user to be in the group of those who may use its terminals.
pub(crate) const FRR_OPTIONS: [&str; 8] =
    ["-P", "0", "-u", "root", "-g", "frrvty", "--log", "stdout"];

/// How a daemon shall be run.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// It logs in detail, to be read. Else not at all.
    talks: bool,
    /// The only processor that it may use.
    cpu: Option<usize>,
}

impl Daemon {
    /// Starts `program` inside `namespace` with the configuration `config`; `host` names its
    /// files in `directory` (pid files, control socket) and itself in messages.
    ///
    /// Call it on a thread that lives as long as the daemon shall: the kernel kills a child whose
    /// parent **thread** has ended (`PR_SET_PDEATHSIG(2const)`).
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start(
        program: Program,
        programs: &Programs,
        namespace: &Namespace,
        host: &str,
        config: &Path,
        directory: &RunDir,
    ) -> io::Result<Self> {
        let manner = Manner { talks: true, cpu: None };
        Daemon::launch(program, programs, namespace, host, config, directory, manner)
    }

    /// As [`Daemon::start`], to be measured: it logs nothing but why it can't start, and runs on
    /// the processor `cpu` alone.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start_on(
        cpu: usize,
        program: Program,
        programs: &Programs,
        namespace: &Namespace,
        host: &str,
        config: &Path,
        directory: &RunDir,
    ) -> io::Result<Self> {
        let manner = Manner { talks: false, cpu: Some(cpu) };
        Daemon::launch(program, programs, namespace, host, config, directory, manner)
    }

    fn launch(
        program: Program,
        programs: &Programs,
        namespace: &Namespace,
        host: &str,
        config: &Path,
        directory: &RunDir,
        manner: Manner,
    ) -> io::Result<Self> {
        let command = programs.command(program, host, config, directory, manner.talks);
        Daemon::spawn(program, command, namespace, host, manner.cpu)
    }

    /// Starts what `command` says inside `namespace`, as `program`; `name` names it in messages.
    /// On the processor `cpu` alone, if one is given. See [`Daemon::start`].
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn spawn(
        program: Program,
        mut command: Command,
        namespace: &Namespace,
        name: &str,
        cpu: Option<usize>,
    ) -> io::Result<Self> {
        command.stdin(Stdio::null());
        let (output, out_end) = io::pipe()?;
        command.stdout(out_end.try_clone()?).stderr(out_end);
        confine(&mut command, namespace, cpu)?;

        let started = Instant::now();
        let child = command.spawn().map_err(|error| {
            let path = command.get_program().to_string_lossy().into_owned();
            io::Error::new(error.kind(), format!("cannot start {path}: {error}"))
        })?;
        drop(command);
        let log = Arc::default();
        read_log(name, output, Arc::clone(&log))?;
        Ok(Daemon { program, started, host: name.into(), child, log })
    }

    /// The process that was started; also the number of its group, to which every process that it
    /// starts belongs.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// All lines logged so far.
    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The states it entered, so far, each with the time of its log line.
    pub(crate) fn states(&self) -> Vec<(Instant, State)> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter_map(|line| Some((line.at, state_entered(&line.text)?))).collect()
    }

    /// The state it is in, as far as its log tells.
    pub(crate) fn state(&self) -> Option<State> {
        self.states().last().map(|&(_, state)| state)
    }

    /// Waits until it enters `state` at `since` or later; tells when.
    ///
    /// # Errors
    /// [`Stop::Trouble`] if it does not within `limit`, or has ended.
    pub(crate) fn wait_state(
        &mut self,
        state: State,
        since: Instant,
        limit: Duration,
    ) -> Result<Instant, Stop> {
        let what = format!("{} to become {state}", self.host);
        wait_for(&what, limit, || {
            let entered = |&&(at, entered): &&(Instant, State)| entered == state && at >= since;
            let found = self.states().iter().find(entered).map(|&(at, _)| at);
            if found.is_none() {
                self.alive()?;
            }
            Ok(found)
        })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// [`Stop::Trouble`] if not, with its last words.
    pub(crate) fn alive(&mut self) -> Result<(), Stop> {
        let Ok(Some(status)) = self.child.try_wait() else { return Ok(()) };
        // The reader may still be at its last lines.
        thread::sleep(Duration::from_millis(50));
        let log = self.log();
        let last: Vec<&str> = log.iter().rev().take(5).rev().map(|line| &*line.text).collect();
        let words = match last[..] {
            [] => "without a word".to_owned(),
            _ => format!("its last words:\n    {}", last.join("\n    ")),
        };
        Err(Stop::Trouble(format!("{} ended ({}), {words}", self.host, how(status))))
    }

    /// Asks it to stop (SIGTERM) and returns at once; tells when it was asked.
    ///
    /// # Errors
    /// [`Stop::Trouble`] if it had ended before.
    pub(crate) fn ask_to_stop(&mut self) -> Result<Instant, Stop> {
        self.alive()?;
        let asked = Instant::now();
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        Ok(asked)
    }

    /// Waits until it has ended after [`Daemon::ask_to_stop`].
    ///
    /// # Errors
    /// [`Stop::Trouble`] if it has not within `limit`, or ended by a failure.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Result<(), Stop> {
        let what = format!("{} to end after SIGTERM", self.host);
        let status = wait_for(&what, limit, || Ok(self.child.try_wait().ok().flatten()))?;
        match status.success() {
            true => Ok(()),
            false => Err(Stop::Trouble(format!("{} ended badly: {}", self.host, how(status)))),
        }
    }

    /// Kills it at once (SIGKILL), with every process it started: a crash.
    pub(crate) fn kill(&mut self) {
        // Either may have ended already; then there is nothing to do.
        let group = Pid::from_raw(self.child.id() as i32);
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        // Its children are ours now ([`adopt_orphans`]): none shall linger as a zombie.
        while let Ok(_) | Err(Errno::EINTR) = waitpid(Pid::from_raw(-group.as_raw()), None) {}
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Programs {
    /// Where a program is.
    pub(crate) fn path(&self, program: Program) -> &Path {
        match program {
            Program::Viprd => &self.viprd,
            Program::Keepalived => &self.keepalived,
            Program::Frr => &self.frr,
        }
    }

    /// How a program is called in the foreground; `host` names its files in `directory`.
    fn command(
        &self,
        program: Program,
        host: &str,
        config: &Path,
        directory: &RunDir,
        talks: bool,
    ) -> Command {
        let file = |ending: &str| directory.file(&format!("{host}.{ending}"));
        let mut command = Command::new(self.path(program));
        command.arg("-f").arg(config);
        match program {
            Program::Viprd => {
                command.arg("-n").arg("--control").arg(file("sock"));
                if let Some(io) = &self.io {
                    command.args(["--io", io]);
                }
            }
            Program::Keepalived => {
                command.args(["-n", "-P"]);
                if self.more_pid_files {
                    command.arg("-c").arg(file("checkers.pid")).arg("-b").arg(file("bfd.pid"));
                }
            }
            Program::Frr => {
                let level = if talks { "debugging" } else { "errors" };
                command.args(FRR_OPTIONS).args(["--log-level", level]);
                command.arg("-i").arg(file("pid")).arg("-z").arg(file("zserv"));
                command.arg("--vty_socket").arg(file("vty"));
                return command;
            }
        }
        command.args(if talks { &["-l", "-D"][..] } else { &["-G"] });
        command.arg("-p").arg(file("pid")).arg("-r").arg(file("vrrp.pid"));
        command
    }
}

impl Program {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Viprd => "viprd",
            Program::Keepalived => "keepalived",
            Program::Frr => "FRR",
        }
    }
}

impl State {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Init => "INIT",
            State::Backup => "BACKUP",
            State::Master => "MASTER",
            State::Fault => "FAULT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Makes this process the parent of what its children leave behind, so that [`Daemon::kill`] can
/// reap a peer's children too, even where process 1 does not.
///
/// # Errors
/// If the kernel can't (it can since 3.4).
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Looks for the program `name` as a shell would, and in the two directories of the
/// administrator's programs, which the PATH of a user may lack.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name));
    candidates.find(|file| {
        let mode = fs::metadata(file).map(|meta| meta.is_file() as u32 * meta.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o111 != 0)
    })
}

/// The state whose entering a log line reports: `VRRP_Instance(N) Entering MASTER STATE`,
/// keepalived 2's `(N) Entering BACKUP STATE (init)`, or FRR's `[VRID 5] [IPv4] Backup -> Master`.
fn state_entered(line: &str) -> Option<State> {
    if let Some((_, state)) = line.split_once("] [VRID ").and_then(|(_, it)| it.split_once(" -> "))
    {
        return match state {
            "Initialize" => Some(State::Init),
            "Backup" => Some(State::Backup),
            "Master" => Some(State::Master),
            _ => None,
        };
    }
    let (_, rest) = line.split_once(") Entering ")?;
    let (word, _) = rest.split_once(" STATE")?;
    [State::Init, State::Backup, State::Master, State::Fault]
        .into_iter()
        .find(|state| state.name() == word)
}

/// A line without the date that keepalived puts before it on a console
/// (`Mon Nov 23 07:48:42 2026: `).
fn without_date(line: &str) -> &str {
    let Some((date, rest)) = line.split_at_checked(24) else { return line };
    match rest.strip_prefix(": ") {
        Some(text) if date.is_ascii() && date.as_bytes()[13] == b':' => text,
        _ => line,
    }
}

/// Makes the child that `command` starts live inside `namespace`, with an ordinary signal mask,
/// and die when the thread that starts it does; on processor `cpu` alone, if one is named.
fn confine(command: &mut Command, namespace: &Namespace, cpu: Option<usize>) -> io::Result<()> {
    use std::os::fd::AsFd;
    let parent = nix::unistd::getpid();
    let namespace = namespace.as_fd().as_raw_fd();
    let cpus = cpu.map(|cpu| {
        let mut cpus = CpuSet::new();
        cpus.set(cpu).map(|()| cpus)
    });
    let cpus = cpus.transpose()?;
    let enter = move || {
        // SAFETY: the caller's `namespace` is borrowed while `command` starts (`spawn` drops the
        // command before it returns), so the descriptor is open.
        let namespace = unsafe { BorrowedFd::borrow_raw(namespace) };
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        // A session of its own, as a service has. Ctrl-C on the terminal is for the bench alone,
        // which then stops it; killing its group reaches a peer's children; and where the kernel
        // shares processors out by session (autogroups, `sched(7)`) it does not share with us.
        setsid()?;
        SigSet::empty().thread_set_mask()?;
        if let Some(cpus) = &cpus {
            sched_setaffinity(Pid::from_raw(0), cpus)?;
        }
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have gone before the line above.
        if getppid() != parent {
            return Err(Errno::ECHILD.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; nothing allocates or locks.
    unsafe { command.pre_exec(enter) };
    Ok(())
}

/// Reads lines until the other end is closed by everyone.
fn read_log(
    host: &str,
    output: impl Read + Send + 'static,
    log: Arc<Mutex<Vec<LogLine>>>,
) -> io::Result<()> {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    let read = move || {
        while matches!(output.read_until(b'\n', &mut bytes), Ok(length) if length > 0) {
            let at = Instant::now();
            let text = String::from_utf8_lossy(&bytes);
            let text = without_date(text.trim_end()).to_owned();
            log.lock().unwrap_or_else(PoisonError::into_inner).push(LogLine { at, text });
            bytes.clear();
        }
    };
    thread::Builder::new().name(format!("log {host}")).spawn(read)?;
    Ok(())
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lines_of_both_eras_are_read() {
        let ours = "VRRP_Instance(VI_1) Entering MASTER STATE";
        assert_eq!(state_entered(ours), Some(State::Master));
        assert_eq!(state_entered("(VI_1) Entering BACKUP STATE (init)"), Some(State::Backup));
        assert_eq!(state_entered("VRRP_Instance(VI_1) Now in FAULT state"), None);
        assert_eq!(state_entered("VRRP_Instance(VI_1) Transition to MASTER STATE"), None);
        assert_eq!(state_entered("(VI_1) Entering HEAVEN STATE"), None);
        let frr = "VRRP: [T5S4T-4EXBV] [CORE] [VRID 51] [IPv4] Backup -> Master";
        assert_eq!(state_entered(frr), Some(State::Master));
        assert_eq!(state_entered("[VRID 51] [IPv4] Master_Down_Timer expired"), None);
    }

    #[test]
    fn only_a_date_is_cut_off() {
        let dated = "Mon Nov 23 07:48:42 2026: (VI_1) setting VIPs.";
        assert_eq!(without_date(dated), "(VI_1) setting VIPs.");
        for plain in ["VRRP_Instance(VI_1) setting protocol VIPs.", "short", "", "ééééééééééééé: x"]
        {
            assert_eq!(without_date(plain), plain);
        }
    }

    #[test]
    fn programs_are_found_or_not() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
