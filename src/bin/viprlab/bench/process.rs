//! **What a daemon costs**: the processor time and memory of its processes, and the clock that
//! everything is measured on.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// The processes of a daemon: those of the group it was started in.
#[derive(Debug, Clone)]
pub(crate) struct Processes(Vec<Pid>);

/// Memory of a daemon in kilobytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What the largest of its processes holds (`VmRSS`, `proc(5)`): that with the routers.
    pub(crate) largest: u64,
    /// The proportional share of all of them (`Pss`).
    pub(crate) all: u64,
}

impl Processes {
    /// Those of the group `group`, as they are now.
    pub(crate) fn of(group: Pid) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        Processes(pids.filter(|&pid| group_of(pid) == Some(group)).map(Pid::from_raw).collect())
    }

    /// Processor time of all their threads since they began, those that have ended included, in
    /// nanoseconds. Exact for a process that sleeps; one that runs is up to a tick behind.
    pub(crate) fn cpu_ns(&self) -> u64 {
        // One that is no more has nothing to tell.
        let times = self.0.iter().filter_map(|&pid| clock_getcpuclockid(pid).ok()?.now().ok());
        times.map(|time| Duration::from(time).as_nanos() as u64).sum()
    }

    /// What they hold of memory.
    pub(crate) fn memory(&self) -> Memory {
        let figure = |pid: &Pid, file: &str, key: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Memory {
            largest: self.0.iter().map(|pid| figure(pid, "status", "VmRSS:")).max().unwrap_or(0),
            all: self.0.iter().map(|pid| figure(pid, "smaps_rollup", "Pss:")).sum(),
        }
    }
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> u64 {
    nanos(ClockId::CLOCK_MONOTONIC)
}

/// What the wall clock, in which the kernel stamps packets, is ahead of the monotonic one, in
/// nanoseconds. The two run at the same pace; only setting the wall clock changes it.
pub(crate) fn wall_ahead_ns() -> u64 {
    // Read between two readings of the other; the closest of some tries.
    let reading = || {
        let before = now_ns();
        let wall = nanos(ClockId::CLOCK_REALTIME);
        let after = now_ns();
        (after - before, wall.saturating_sub(before.midpoint(after)))
    };
    let closest = (0..8).map(|_| reading()).min();
    closest.map_or(0, |(_, ahead)| ahead)
}

/// Processor time of the kernel's threads for soft interrupts, in nanoseconds: work that packets
/// cause and that no daemon is charged with.
pub(crate) fn soft_interrupts_ns() -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut sum = 0;
    for entry in entries {
        let named = |name: &String| name.starts_with("ksoftirqd/");
        if fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| named(&name)) {
            // Time on the processor is the first word (`schedstat`, `proc(5)`).
            let stat = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            sum += stat.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum
}

/// Lets the calling thread, and those that it starts from now on, run on `cpu` alone.
///
/// # Errors
/// If there is no such processor.
pub(crate) fn stay_on(cpu: usize) -> io::Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
}

fn nanos(clock: ClockId) -> u64 {
    // These clocks can be read, and are positive.
    clock.now().map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// The process group of a process: the third word after its name in `stat`, `proc(5)`.
fn group_of(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(2)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::getpgrp;

    #[test]
    fn this_process_costs_something() {
        let all = Processes::of(getpgrp());
        let begun = all.cpu_ns();
        let until = now_ns() + 20_000_000;
        while now_ns() < until {}
        assert!(all.cpu_ns() - begun >= 10_000_000);
        let memory = all.memory();
        assert!(memory.largest > 500 && memory.all > 100, "{memory:?}");
    }

    #[test]
    fn the_wall_clock_keeps_its_lead() {
        assert!(wall_ahead_ns().abs_diff(wall_ahead_ns()) < 1_000_000);
    }
}
