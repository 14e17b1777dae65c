//! What a process does to itself and its place: into the background, its scheduling, its network
//! namespace, its children.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeWriter, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where namespaces have their names (`ip-netns(8)`).
const NAMESPACES: &str = "/run/netns";

/// Goes into the background as daemons do (`daemon(7)`): a new session without a terminal, `/` as
/// working directory, out of reach of whoever started it. Paths that are relative have to be made
/// absolute before.
///
/// Returns in the background process only. The process that called waits until [`Readiness`] says
/// how the start went, and exits with that; whoever started it then knows. Standard input, output
/// and error stay until then, for messages.
///
/// # Errors
/// `Unsupported` when there is more than one thread already; those of `fork(2)`, `pipe(2)`.
pub fn daemonize() -> io::Result<Readiness> {
    if !is_single_threaded()? {
        let text = "can't go into the background with more than one thread";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    io::stdout().flush()?;
    let (mut report, pipe) = io::pipe()?;
    if fork()? == Side::Parent {
        drop(pipe);
        let mut code = [1];
        // Without a report the start has failed: the code stays 1.
        let _ = report.read(&mut code);
        exit(code[0]);
    }
    drop(report);
    // SAFETY: no arguments. It fails only for a group leader, which a forked child is not.
    unsafe { libc::setsid() };
    // Not the leader of its session, the daemon can't get a terminal by accident.
    if fork()? == Side::Parent {
        exit(0);
    }
    std::env::set_current_dir("/")?;
    Ok(Readiness { pipe })
}

/// Whether this is the only thread. One that has just been joined may be listed for a moment yet.
fn is_single_threaded() -> io::Result<bool> {
    for _ in 0..50 {
        if fs::read_dir("/proc/self/task")?.count() == 1 {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}

/// What the process that was started in the foreground waits for. Dropped without a word, the start
/// counts as failed.
#[derive(Debug)]
#[must_use = "the process in the foreground waits for it"]
pub struct Readiness {
    pipe: PipeWriter,
}

impl Readiness {
    /// The daemon is up: lets go of the terminal (standard input, output and error become
    /// `/dev/null`), and the process in the foreground exits with 0.
    ///
    /// # Errors
    /// When `/dev/null` can't be opened.
    pub fn ready(mut self) -> io::Result<()> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        for stream in 0..=2 {
            // SAFETY: two descriptors; the standard streams are nobody's own in this process.
            if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // Nobody may be left to hear it, which is no reason to stop.
        let _ = self.pipe.write(&[0]);
        Ok(())
    }

    /// The start failed, and the reason has been told: the process in the foreground exits with
    /// `code`.
    pub fn failed(mut self, code: u8) {
        let _ = self.pipe.write(&[code]);
    }
}

/// Lets timers of this thread end within `slack` of their time; at least 1 ns
/// (`PR_SET_TIMERSLACK`, `prctl(2)`). The default is 50 µs.
///
/// # Errors
/// Those of `prctl(2)`.
pub fn set_timer_slack(slack: Duration) -> io::Result<()> {
    let nanos = libc::c_ulong::try_from(slack.as_nanos()).unwrap_or(libc::c_ulong::MAX).max(1);
    // SAFETY: numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos, 0, 0, 0) })
}

/// Puts this thread into the real-time class `SCHED_RR` with `priority`, 1 to 99 (`sched(7)`); its
/// children start in the usual class. With `limits`, a thread that computes for longer than the
/// first without ever waiting is sent `SIGXCPU`, and killed after the second (`RLIMIT_RTTIME`,
/// `setrlimit(2)`), which saves the machine from a daemon gone wild.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE`, `EINVAL` for another priority.
pub fn set_realtime(priority: u8, limits: Option<(Duration, Duration)>) -> io::Result<()> {
    if let Some((soft, hard)) = limits {
        let micros = |limit: Duration| {
            libc::rlim_t::try_from(limit.as_micros()).unwrap_or(libc::RLIM_INFINITY)
        };
        let limit = libc::rlimit { rlim_cur: micros(soft), rlim_max: micros(hard) };
        // SAFETY: the structure lives through the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_RTTIME, &limit) })?;
    }
    // SAFETY: a structure of zeros is valid: numbers only.
    let mut parameters: libc::sched_param = unsafe { mem::zeroed() };
    parameters.sched_priority = priority.into();
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the structure lives through the call; 0 is this thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &parameters) })
}

/// Keeps this thread on the processors `cpus`, counted from 0 (`sched_setaffinity(2)`).
///
/// # Errors
/// `InvalidInput` when none is given or one beyond 1023, `EINVAL` when none of them exists.
pub fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: a set of zeros is valid, an empty one.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            let text = format!("there is no processor {cpu}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // SAFETY: the number is inside the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    if cpus.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no processor is given"));
    }
    // SAFETY: the set lives through the call and is as long as said; 0 is this thread.
    check(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) })
}

/// Keeps all of the process's memory, now and later, from being swapped out (`mlockall(2)`).
///
/// # Errors
/// `EPERM` or `ENOMEM` without `CAP_IPC_LOCK`.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })
}

/// Lets every allocation of 64 KiB and more be a mapping of its own, given back when it is freed
/// (`mallopt(3)`). Left alone, glibc raises that bound to the largest such block that was ever freed,
/// and tables that grow leave holes of their former sizes in the heap for good.
pub fn map_large_allocations() {
    // SAFETY: numbers only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 * 1024)
    };
}

/// Gives memory that has been freed back to the system (`malloc_trim(3)`): after a large piece of
/// work that will not come again.
pub fn release_free_memory() {
    // SAFETY: a number only; nothing that is in use is touched.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// A thread of this process, by its number (`gettid(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread(libc::pid_t);

impl Thread {
    /// The calling one.
    pub fn this() -> Self {
        // SAFETY: it only gives a number, and can't fail.
        Thread(unsafe { libc::gettid() })
    }

    /// Lets it run only when no other wants its processor (`SCHED_IDLE`, `sched(7)`), or as any
    /// other again: whoever wakes up takes the processor from it at once, where from a thread of
    /// the ordinary class, however nice, it may have to wait for the end of a slice (milliseconds).
    /// The thread must not have ended: its number may be another's by then.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn set_idle(self, idle: bool) -> io::Result<()> {
        // SAFETY: `sched_param` is plain numbers, for which zeros are a value.
        let parameters: libc::sched_param = unsafe { mem::zeroed() };
        let policy = if idle { libc::SCHED_IDLE } else { libc::SCHED_OTHER };
        // SAFETY: the pointer leads to a whole `sched_param` that lives longer than the call.
        check(unsafe { libc::sched_setscheduler(self.0, policy, &parameters) })
    }
}

/// Sets the nice value, −20 (first served) to 19 (`setpriority(2)`).
///
/// # Errors
/// `EACCES` without `CAP_SYS_NICE` when it would be lowered.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: numbers only; 0 is this thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
}

/// Sets the name that this thread shows, which is the process's if it is the first one: 15 bytes of
/// `name`, up to a zero (`PR_SET_NAME` in `prctl(2)`).
pub fn set_name(name: &str) {
    let mut bytes = [0_u8; 16];
    for (byte, from) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *byte = from;
    }
    // SAFETY: the bytes live through the call and end with a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Whether [`set_umask`] has been called.
static UMASK_IS_SET: AtomicBool = AtomicBool::new(false);

/// Sets which permission bits files that the process makes do not have (`umask(2)`), and those that
/// it starts.
pub fn set_umask(bits: u32) {
    UMASK_IS_SET.store(true, Ordering::Relaxed);
    // SAFETY: a number only; it can't fail.
    unsafe { libc::umask(bits as libc::mode_t) };
}

/// Whether programs are to have this process's umask, since somebody has set it.
pub(super) fn umask_is_set() -> bool {
    UMASK_IS_SET.load(Ordering::Relaxed)
}

/// A descriptor that becomes readable when `child` has ended (`pidfd_open(2)`); `Child::try_wait`
/// then tells how.
///
/// # Errors
/// `ENOSYS` before Linux 5.3.
pub fn watch_child(child: &Child) -> io::Result<OwnedFd> {
    let pid = child.id() as libc::pid_t;
    // SAFETY: two numbers; what comes back is a new descriptor, closed on exec, nobody else's.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(fd) {
        // SAFETY: as said.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A network namespace, held open (`network_namespaces(7)`).
#[derive(Debug)]
pub struct NetworkNamespace {
    file: File,
}

impl NetworkNamespace {
    /// The one that has `name` (`ip-netns(8)`).
    ///
    /// # Errors
    /// `NotFound` when none has it; `InvalidInput` for what can't be a name.
    pub fn open(name: &str) -> io::Result<Self> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            let text = format!("{name:?} can't be the name of a network namespace");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(NetworkNamespace { file: File::open(Path::new(NAMESPACES).join(name))? })
    }

    /// The one that this thread is in.
    ///
    /// # Errors
    /// When `/proc` isn't there.
    pub fn current() -> io::Result<Self> {
        Ok(NetworkNamespace { file: File::open("/proc/thread-self/ns/net")? })
    }

    /// The one that the host's first process is in.
    ///
    /// # Errors
    /// `EACCES` for who may not look at that.
    pub fn of_init() -> io::Result<Self> {
        Ok(NetworkNamespace { file: File::open("/proc/1/ns/net")? })
    }

    /// Another descriptor of it.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn another(&self) -> io::Result<Self> {
        Ok(NetworkNamespace { file: self.file.try_clone()? })
    }

    /// Puts this thread into it (`setns(2)`). Sockets that are open stay where they are.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: a descriptor that is open and a number.
        check(unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) })
    }

    /// Does `work`, such as opening sockets, inside, and comes back.
    ///
    /// # Errors
    /// When one of the two steps fails.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let mut back = WayBack(Some(Self::current()?));
        self.enter()?;
        let done = work();
        match back.0.take() {
            Some(home) => home.enter().map(|()| done),
            None => Ok(done),
        }
    }
}

/// Also taken when the work panics.
struct WayBack(Option<NetworkNamespace>);

impl Drop for WayBack {
    fn drop(&mut self) {
        if let Some(home) = self.0.take() {
            let _ = home.enter();
        }
    }
}

#[derive(PartialEq, Eq)]
enum Side {
    Parent,
    Child,
}

fn fork() -> io::Result<Side> {
    // SAFETY: the one caller has made sure that there is but one thread, so the child is a whole
    // process like its parent.
    match unsafe { libc::fork() } {
        0 => Ok(Side::Child),
        1.. => Ok(Side::Parent),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process without running or flushing what its child will run and flush.
fn exit(code: u8) -> ! {
    // SAFETY: a number only.
    unsafe { libc::_exit(code.into()) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;

    /// Scheduling is a thread's own, so a thread that ends tries it.
    fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
    }

    #[test]
    fn timer_slack_is_set_and_never_zero() {
        aside(|| {
            for (slack, expected) in [(7_000, 7_000), (0, 1), (1, 1)] {
                set_timer_slack(Duration::from_nanos(slack)).unwrap();
                // SAFETY: numbers only.
                assert_eq!(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }, expected);
            }
        });
    }

    #[test]
    fn affinity_needs_processors_that_exist() {
        aside(|| {
            set_affinity(&[0]).unwrap();
            // SAFETY: no arguments.
            assert_eq!(unsafe { libc::sched_getcpu() }, 0);
            for none in [&[][..], &[1023], &[1024], &[usize::MAX]] {
                assert!(set_affinity(none).is_err(), "{none:?}");
            }
        });
    }

    #[test]
    fn niceness_rises_for_everyone() {
        aside(|| {
            set_nice(5).unwrap();
            // SAFETY: numbers only.
            assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, 5);
        });
    }

    #[test]
    fn real_time_is_within_its_priorities_and_not_inherited() {
        aside(|| {
            assert!(set_realtime(100, None).is_err());
            assert!(set_realtime(0, None).is_err());
            match set_realtime(1, Some((Duration::from_secs(10), Duration::from_secs(10)))) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
                result => result.unwrap(),
            }
            let reset = libc::SCHED_RESET_ON_FORK;
            // SAFETY: a number only; 0 is this thread.
            assert_eq!(unsafe { libc::sched_getscheduler(0) }, libc::SCHED_RR | reset);
            // The policy is field 41 of `proc_pid_stat(5)`, counted behind the name's parenthesis.
            let stat = Command::new("cat").arg("/proc/self/stat").output().unwrap().stdout;
            let stat = String::from_utf8(stat).unwrap();
            let policy = stat.rsplit_once(") ").unwrap().1.split(' ').nth(41 - 3);
            assert_eq!(policy, Some("0"));
        });
    }

    #[test]
    fn a_child_is_seen_to_end() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let fd = watch_child(&child).unwrap();
        let readable = |millis| {
            let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one structure, which lives through the call.
            unsafe { libc::poll(&mut poll, 1, millis) == 1 }
        };
        assert!(!readable(0));
        drop(child.stdin.take());
        assert!(readable(10_000));
        assert!(child.try_wait().unwrap().unwrap().success());
    }

    #[test]
    fn namespaces_are_found_by_their_names_only() {
        for name in ["", ".", "..", "../net", "a/b", "a\0b"] {
            let error = NetworkNamespace::open(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
        let error = NetworkNamespace::open("viprd-no-such-namespace").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn work_in_a_namespace_ends_where_it_began() {
        aside(|| {
            let inode = || fs::read_link("/proc/thread-self/ns/net").unwrap();
            let home = NetworkNamespace::current().unwrap();
            let home_inode = inode();
            // SAFETY: a number only; the thread alone moves.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return;
            }
            let away_inode = inode();
            assert_ne!(away_inode, home_inode);
            assert_eq!(home.within(inode).unwrap(), home_inode);
            assert_eq!(inode(), away_inode);
            let panicked =
                std::panic::catch_unwind(|| home.within(|| -> () { panic!("on purpose") }));
            assert!(panicked.is_err());
            assert_eq!(inode(), away_inode);
        });
    }

    #[test]
    fn going_into_the_background_needs_a_single_thread() {
        // The tests' own threads are in the way.
        aside(|| {
            assert_eq!(daemonize().unwrap_err().kind(), io::ErrorKind::Unsupported);
        });
    }
}
