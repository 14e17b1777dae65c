//! Starting other programs, without ever waiting for them.
//!
//! The child is forked, not cloned with shared memory: with `vfork(2)`, which `posix_spawn(3)` uses,
//! the parent sleeps until the child has read the program, and a file system that hangs would hold up
//! everything. A fork copies page tables, which is bounded.
//!
//! What a child writes goes into a pipe, and its end is seen by a pidfd: both are descriptors that can
//! be watched.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::Arc;

use super::{drain, process};

/// A program with everything that it is started with, made ready before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: CString,
    argv: Vec<CString>,
    environment: Environment,
    /// Who runs it; as this process if `None`.
    identity: Option<Identity>,
    /// Whether it is to be ended (SIGTERM) when this process ends.
    dies_with_us: bool,
}

/// What a program finds in its environment; shared by all that have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Arc<[CString]>);

impl Environment {
    /// These entries, `NAME=value`; those with a NUL are left out.
    pub fn new(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Environment(entries.into_iter().filter_map(|entry| CString::new(entry).ok()).collect())
    }
}

/// Who runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// A program that runs, in a process group of its own.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    output: Output,
    /// Whether it has been waited for: then its number may be another's.
    waited_for: bool,
}

/// Both ends of a program's output.
#[derive(Debug)]
struct Output {
    reader: ManuallyDrop<File>,
    /// What the program and those that it starts have, too; see [`drain`].
    writer: ManuallyDrop<File>,
}

impl Output {
    fn new() -> io::Result<Self> {
        let (reader, end) = io::pipe()?;
        set_nonblocking(reader.as_fd())?;
        // With a reader among those who write, none of them is ever killed by SIGPIPE.
        let path = format!("/proc/self/fd/{}", end.as_raw_fd());
        let both = File::options().read(true).write(true).open(path);
        let writer = both.unwrap_or_else(|_| OwnedFd::from(end).into());
        let reader = OwnedFd::from(reader).into();
        Ok(Output { reader: ManuallyDrop::new(reader), writer: ManuallyDrop::new(writer) })
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: neither is used after this.
        let (reader, writer) =
            unsafe { (ManuallyDrop::take(&mut self.reader), ManuallyDrop::take(&mut self.writer)) };
        drain::take_over(reader, writer);
    }
}

impl Program {
    /// The program at `path`, which sees `argv` and `environment`.
    ///
    /// # Errors
    /// `InvalidInput` if a NUL is in one of them, or `argv` is empty.
    pub fn new(
        path: &OsStr,
        argv: &[&str],
        environment: Environment,
        identity: Option<Identity>,
        dies_with_us: bool,
    ) -> io::Result<Self> {
        if argv.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
        }
        Ok(Program {
            path: CString::new(path.as_bytes())?,
            argv: argv.iter().map(|word| CString::new(*word)).collect::<Result<_, _>>()?,
            environment,
            identity,
            dies_with_us,
        })
    }

    /// The same with further arguments; those with a NUL are left out.
    #[must_use]
    pub fn with_arguments(&self, more: &[&str]) -> Self {
        let mut program = self.clone();
        program.argv.extend(more.iter().filter_map(|word| CString::new(*word).ok()));
        program
    }

    /// The command as one would type it, each word in quotes.
    pub fn command_line(&self) -> String {
        let words = self.argv.iter().map(|word| format!("'{}'", word.to_string_lossy()));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Starts it. Whether it exists and may be run shows later: then it exits with 127 or 126, and its
    /// output says why.
    ///
    /// # Errors
    /// Those of `fork(2)`, `pipe(2)`, `pidfd_open(2)`.
    pub fn spawn(&self) -> io::Result<Child> {
        let null = File::options().read(true).open("/dev/null")?;
        let output = Output::new()?;
        // Everything the child needs is made now: between fork and exec nothing may be allocated.
        let argv = pointers(&self.argv);
        let environment = pointers(&self.environment.0);
        // A program without a first line that names its interpreter is the shell's, as for execvp(3).
        let mut shell_argv = vec![SHELL.as_ptr(), self.path.as_ptr()];
        shell_argv.extend_from_slice(&argv[1..]);
        let parent = std::process::id() as libc::pid_t;
        // SAFETY: the child calls only functions that are safe after a fork of a process with threads
        // (signal-safety(7)), on memory made before, and ends in exec or _exit.
        let pid = unsafe { libc::fork() };
        match pid {
            0 => self.become_it(
                parent,
                &null,
                output.writer.as_raw_fd(),
                &argv,
                &shell_argv,
                &environment,
            ),
            1.. => {}
            _ => return Err(io::Error::last_os_error()),
        }
        // SAFETY: two numbers; what comes back is a new descriptor, closed on exec, nobody else's.
        // The child is ours and not waited for, so the number is still its own.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let pidfd = match RawFd::try_from(fd) {
            // SAFETY: as said.
            Ok(fd @ 0..) => unsafe { OwnedFd::from_raw_fd(fd) },
            _ => {
                let cause = io::Error::last_os_error();
                // SAFETY: numbers, and a null pointer where one is allowed.
                unsafe {
                    libc::kill(pid, libc::SIGKILL);
                    libc::waitpid(pid, ptr::null_mut(), 0);
                }
                return Err(cause);
            }
        };
        Ok(Child { pid, pidfd, output, waited_for: false })
    }

    /// The child's way to its program.
    fn become_it(
        &self,
        parent: libc::pid_t,
        null: &File,
        output: RawFd,
        argv: &[*const libc::c_char],
        shell_argv: &[*const libc::c_char],
        environment: &[*const libc::c_char],
    ) -> ! {
        // SAFETY: system calls on numbers and on memory that was made before the fork; arrays end with
        // a null pointer. What fails here is told by the exit status, as by a shell.
        unsafe {
            libc::setpgid(0, 0);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            // Two of them can't be set, and two are the C library's own.
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
            // The daemon's own if somebody has chosen it; never what it happened to be started with.
            if !process::umask_is_set() {
                libc::umask(0o022);
            }
            libc::dup2(null.as_raw_fd(), 0);
            libc::dup2(output, 1);
            libc::dup2(output, 2);
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
            if let Some(identity) = &self.identity {
                let groups = identity.groups.as_ptr().cast::<libc::gid_t>();
                let changed = libc::setgroups(identity.groups.len(), groups) == 0
                    && libc::setresgid(identity.gid, identity.gid, identity.gid) == 0
                    && libc::setresuid(identity.uid, identity.uid, identity.uid) == 0;
                if !changed {
                    give_up(b"viprd: not allowed to become the user that is to run this\n", 126);
                }
            }
            // Only now: the kernel forgets it when a process becomes another user. Whoever has lost
            // its parent before has been given another.
            if self.dies_with_us {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                if libc::getppid() != parent {
                    libc::_exit(126);
                }
            }
            libc::execve(self.path.as_ptr(), argv.as_ptr(), environment.as_ptr());
            match *libc::__errno_location() {
                libc::ENOEXEC => {
                    libc::execve(SHELL.as_ptr(), shell_argv.as_ptr(), environment.as_ptr());
                    give_up(b"viprd: neither a program nor for /bin/sh\n", 126)
                }
                libc::ENOENT | libc::ENOTDIR => {
                    give_up(b"viprd: there is no such program, or not its interpreter\n", 127)
                }
                libc::EACCES => give_up(b"viprd: it may not be executed by this user\n", 126),
                _ => give_up(b"viprd: it can not be executed\n", 126),
            }
        }
    }
}

impl Child {
    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Becomes readable when it has ended.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Becomes readable when it has written something.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.reader.as_fd()
    }

    /// Reads what it has written; `None` if there is nothing now, zero if nothing will come.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.output.reader.read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(cause)
                if matches!(
                    cause.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(cause) => Err(cause),
        }
    }

    /// How it ended, if it has. Asked again after that, it has ended with status 0.
    pub fn try_wait(&mut self) -> Option<Ended> {
        let mut status = 0;
        // SAFETY: a number, and an integer that lives through the call.
        let ended = match unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) } {
            0 => return None,
            1.. if libc::WIFSIGNALED(status) => Ended::Signalled(libc::WTERMSIG(status)),
            1.. => Ended::Exited(libc::WEXITSTATUS(status)),
            _ => Ended::Exited(0),
        };
        self.waited_for = true;
        Some(ended)
    }

    /// How it ended, if it has, without waiting for it: its number stays its own.
    pub fn peek(&self) -> Option<Ended> {
        // SAFETY: the structure is plain numbers, for which zeros are a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: a number, and a structure that lives through the call.
        let answer = unsafe { libc::waitid(libc::P_PID, self.pid as libc::id_t, &mut info, flags) };
        if answer != 0 {
            return Some(Ended::Exited(0));
        }
        // SAFETY: the kernel has filled in what belongs to SIGCHLD, or left zeros.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        match info.si_code {
            _ if pid == 0 => None,
            libc::CLD_EXITED => Some(Ended::Exited(status)),
            _ => Some(Ended::Signalled(status)),
        }
    }

    /// Whether nobody is left of its process group, now that it has ended ([`Child::peek`]). Kernels
    /// before Linux 6.9 can't tell: there it seems that somebody is.
    pub fn group_is_gone(&mut self) -> bool {
        // As long as it has not been waited for it is a member itself. And it must not be if the
        // group can then be reached by a number alone.
        if !self.waited_for && self.signal_group_by_pidfd(0).is_ok() {
            self.try_wait();
        }
        let answer = self.signal_group_by_pidfd(0);
        self.waited_for && answer.is_err_and(|cause| cause.raw_os_error() == Some(libc::ESRCH))
    }

    /// Sends `signal` to it and to whatever it has started in its process group, also if it has
    /// ended itself.
    pub fn signal_group(&self, signal: i32) {
        // A pidfd stands for this very group even when its first process has been waited for. The
        // number does so only before: it is not given to another process as long as that is a
        // zombie.
        let told = self.signal_group_by_pidfd(signal);
        if told.is_err() && !self.waited_for {
            // SAFETY: numbers only.
            unsafe { libc::kill(-self.pid, signal) };
        }
    }

    /// `PIDFD_SIGNAL_PROCESS_GROUP`, Linux 6.9.
    fn signal_group_by_pidfd(&self, signal: i32) -> io::Result<()> {
        const PROCESS_GROUP: libc::c_uint = 1 << 2;
        let (call, fd) = (libc::SYS_pidfd_send_signal, self.pidfd.as_raw_fd());
        let no_info = ptr::null::<libc::siginfo_t>();
        // SAFETY: an open descriptor, numbers, and a null pointer where one is allowed.
        match unsafe { libc::syscall(call, fd, signal, no_info, PROCESS_GROUP) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

const SHELL: &std::ffi::CStr = c"/bin/sh";

/// Pointers to the texts and a null pointer, as `execve(2)` wants them.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// Ends a child that could not become its program.
fn give_up(text: &[u8], status: i32) -> ! {
    // SAFETY: bytes that live through the call, and numbers.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(status)
    }
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor and numbers.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> Program {
        let path = Environment::new([b"PATH=/usr/bin:/bin".to_vec()]);
        Program::new("/bin/sh".as_ref(), &["sh", "-c", script], path, None, true).unwrap()
    }

    fn finish(child: &mut Child) -> (Ended, String) {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        let began = Instant::now();
        let ended = loop {
            while let Ok(Some(length @ 1..)) = child.read(&mut buffer) {
                text.extend_from_slice(&buffer[..length]);
            }
            if let Some(ended) = child.try_wait() {
                break ended;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
            sleep(Duration::from_millis(2));
        };
        while let Ok(Some(length @ 1..)) = child.read(&mut buffer) {
            text.extend_from_slice(&buffer[..length]);
        }
        (ended, String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn output_status_and_environment() {
        let mut child = shell("echo out; echo err >&2; echo $PATH; exit 3").spawn().unwrap();
        let (ended, text) = finish(&mut child);
        assert_eq!((ended, &*text), (Ended::Exited(3), "out\nerr\n/usr/bin:/bin\n"));
    }

    #[test]
    fn what_is_missing_or_no_program_says_so() {
        let program = |path: &str| {
            Program::new(path.as_ref(), &["x"], Environment::default(), None, true).unwrap()
        };
        let (ended, text) = finish(&mut program("/nonexistent/x").spawn().unwrap());
        assert_eq!(ended, Ended::Exited(127), "{text}");
        let (ended, text) = finish(&mut program("/etc/passwd").spawn().unwrap());
        assert_eq!(ended, Ended::Exited(126), "{text}");
    }

    #[test]
    fn the_whole_group_is_signalled() {
        let mut child = shell("sleep 600 & echo $!; wait").spawn().unwrap();
        let mut buffer = [0; 64];
        let began = Instant::now();
        let length = loop {
            if let Some(length) = child.read(&mut buffer).unwrap() {
                break length;
            }
            assert!(began.elapsed() < Duration::from_secs(20));
        };
        let other: i32 = String::from_utf8_lossy(&buffer[..length]).trim().parse().unwrap();
        child.signal_group(libc::SIGTERM);
        assert_eq!(finish(&mut child).0, Ended::Signalled(libc::SIGTERM));
        let began = Instant::now();
        // Whoever inherits it may take a moment to wait for it.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(20), "its child lives on");
        }
    }

    #[test]
    fn a_group_is_known_after_the_end_of_its_first_process() {
        let mut child = shell("sleep 600 >/dev/null 2>&1 & echo $!").spawn().unwrap();
        let began = Instant::now();
        let ended = loop {
            if let Some(ended) = child.peek() {
                break ended;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
        };
        assert_eq!((ended, child.peek()), (Ended::Exited(0), Some(Ended::Exited(0))));
        let mut buffer = [0; 64];
        let length = child.read(&mut buffer).unwrap().unwrap();
        let other: i32 = String::from_utf8_lossy(&buffer[..length]).trim().parse().unwrap();
        assert!(!child.group_is_gone());
        child.signal_group(libc::SIGKILL);
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(20), "its child lives on");
        }
        let mut alone = shell("kill -9 $$").spawn().unwrap();
        while alone.peek().is_none() {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
        }
        assert_eq!(alone.peek(), Some(Ended::Signalled(libc::SIGKILL)));
        // Where the kernel can tell.
        assert!(alone.group_is_gone() || !alone.waited_for);
    }

    /// More than a pipe holds.
    #[test]
    fn whoever_is_left_behind_can_go_on_talking() {
        let place = std::env::temp_dir().join(format!("viprd-left-{}", std::process::id()));
        let script = format!(
            "( head -c 300000 /dev/zero; sleep 0.2; echo x; head -c 300000 /dev/zero && echo well > {0}.new; \
             mv {0}.new {0} ) & echo told",
            place.display()
        );
        let mut child = shell(&script).spawn().unwrap();
        let (ended, text) = finish(&mut child);
        assert_eq!(ended, Ended::Exited(0));
        assert!(text.contains("told"));
        drop(child);
        let began = Instant::now();
        let said = loop {
            if let Ok(said) = std::fs::read_to_string(&place) {
                break said;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "killed, or waiting");
            sleep(Duration::from_millis(5));
        };
        let _ = std::fs::remove_file(&place);
        assert_eq!(said, "well\n");
    }

    #[test]
    fn no_descriptor_is_inherited_and_no_signal_blocked() {
        let script = "ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status";
        let (_, text) = finish(&mut shell(script).spawn().unwrap());
        let mut lines = text.lines();
        // 0, 1, 2 and the directory itself.
        assert_eq!(lines.next().map(str::trim), Some("4"), "{text}");
        // Signals 32 and 33 are the C library's own.
        let others = |line: &str| {
            let mask = line.split_whitespace().nth(1).expect("a mask");
            u64::from_str_radix(mask, 16).expect("a mask") & !(0b11 << 31)
        };
        assert!(lines.all(|line| others(line) == 0), "{text}");
    }
}
