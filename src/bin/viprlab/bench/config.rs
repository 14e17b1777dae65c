//! **Reading a configuration**: `-t` of both programs on the same file, in turn.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};

use crate::daemon::{Program, Programs};
use crate::interrupt::{self, Stop};
use crate::topology::{Plan, RunDir, Topology};

use super::measure::{CONFIG_CPU, CONFIG_MEMORY, CONFIG_TIME, Sheet};
use super::play::{Halt, Outcome};

/// Routers on a link.
const A_LINK: usize = 250;

/// How long a program may compute.
const LIMIT: Duration = Duration::from_secs(300);

/// A host with the interfaces that the file names, since a program that misses one has less to do.
pub(super) struct Host {
    topology: Topology,
    id: crate::topology::HostId,
    directory: RunDir,
}

impl Host {
    /// Builds it, with a file of so many routers in it, written out or made by a sequence.
    ///
    /// # Errors
    /// If the network or the file can't be made.
    pub(super) fn new(routers: usize) -> io::Result<Self> {
        let mut plan = Plan::default();
        let (id, other) = (plan.host("a"), plan.host("b"));
        for link in 0..routers.div_ceil(A_LINK) {
            let name = format!("v{link}");
            plan.wire((id, &name), (other, &name));
        }
        let topology = plan.build()?;
        let directory = RunDir::new()?;
        fs::write(directory.file("written.conf"), written_out(routers))?;
        Ok(Host { topology, id, directory })
    }

    /// Reads once with `program`.
    ///
    /// # Errors
    /// A signal to the bench, or what it needs itself.
    pub(super) fn read(&self, program: Program, programs: &Programs) -> Result<Outcome, Halt> {
        interrupt::check()?;
        let mut outcome = Outcome::default();
        match self.run(program, programs, &self.directory.file("written.conf")) {
            Ok(sheet) => outcome.sheet = sheet,
            Err(Halt::Stop(Stop::Trouble(doubt))) => outcome.doubts.push(doubt),
            Err(halt) => return Err(halt),
        }
        Ok(outcome)
    }

    fn run(&self, program: Program, programs: &Programs, file: &Path) -> Result<Sheet, Halt> {
        let mut command = Command::new(programs.path(program));
        command.arg("-t").arg("-f").arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        limit(&mut command);
        let begun = Instant::now();
        let pid = self.topology.host(self.id).enter(|| Ok(command.spawn()?.id()))?;
        let (usage, code) = wait(pid as i32)?;
        let took = begun.elapsed();
        if code != 0 && code != 5 {
            let what = format!("it ended by signal or error ({code}) after {took:.0?}");
            return Err(Stop::Trouble(what).into());
        }
        let time = |it: libc::timeval| it.tv_sec as f64 * 1e3 + it.tv_usec as f64 / 1e3;
        Ok(vec![
            (CONFIG_TIME, took.as_secs_f64() * 1e3),
            (CONFIG_CPU, time(usage.ru_utime) + time(usage.ru_stime)),
            (CONFIG_MEMORY, usage.ru_maxrss as f64 / 1e3),
        ])
    }
}

/// So many routers, each written out.
pub(super) fn written_out(routers: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for router in 0..routers {
        let (link, vrid) = (router / A_LINK, router % A_LINK + 1);
        let [_, _, high, low] = (router as u32 + 1).to_be_bytes();
        let net = 16 + ((router + 1) >> 16);
        let _ = writeln!(
            text,
            "vrrp_instance R{router} {{\n    state BACKUP\n    interface v{link}\n    \
             virtual_router_id {vrid}\n    priority 100\n    advert_int 1\n    \
             virtual_ipaddress {{\n        172.{net}.{high}.{low}/32\n    }}\n}}\n"
        );
    }
    text
}

/// Ends a program that computes for too long.
fn limit(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let limit = || {
        setrlimit(Resource::RLIMIT_CPU, LIMIT.as_secs(), LIMIT.as_secs())?;
        Ok(())
    };
    // SAFETY: between fork and exec only a system call is made.
    unsafe { command.pre_exec(limit) };
}

/// Waits for a child; what it has used, and its exit code (minus the signal, if one ended it).
fn wait(pid: i32) -> io::Result<(libc::rusage, i32)> {
    loop {
        // SAFETY: `rusage` is plain numbers, for which zeros are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let mut status = 0;
        // SAFETY: both pointers lead to whole values that live longer than the call.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            let code = match libc::WIFEXITED(status) {
                true => libc::WEXITSTATUS(status),
                false => -libc::WTERMSIG(status),
            };
            return Ok((usage, code));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use viprd::config::{MemoryFiles, Options, load};

    #[test]
    fn the_file_is_in_order() {
        let files = MemoryFiles::new().with("/c", written_out(600));
        let loaded = load(Path::new("/c"), &files, &Options::default());
        assert_eq!(loaded.diagnostics.exit_code(), 0);
        assert_eq!(
            loaded.configuration.map(|it| (it.routers.len(), it.links.len())),
            Some((600, 3))
        );
    }
}
