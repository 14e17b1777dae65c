//! How the process is scheduled: what the configuration wants at the start, and what late timers
//! earn it later.
//!
//! Nothing here is worth dying for: what the system refuses is one warning, and the daemon goes on
//! as it is.

use std::io::{self, ErrorKind};
use std::time::Duration;

use log::{info, warn};

use crate::base::{Instant, Span};
use crate::config::Process;
use crate::io::process;

/// How late a timer must be to earn a higher priority, unless `min_auto_priority_delay` says.
const DEFAULT_DELAY: Span = Span::from_secs(1);
/// A lateness is usually one event that many timers notice: the priority rises once in this time.
const RISE_PAUSE: Span = Span::from_secs(1);
/// How long the daemon may compute in the real-time class without a pause if nothing is configured.
/// keepalived has 10 ms; a mass failover honestly takes longer than that.
const RUNAWAY: Duration = Duration::from_secs(10);

/// Scheduling as the configuration wants it, at the start: to be called by the thread that will run
/// the loop, when everything that it needs has been allocated.
pub(super) fn apply(wanted: &Process) {
    if let Some(name) = &wanted.name {
        process::set_name(name);
    }
    if !wanted.cpus.is_empty() {
        let cpus: Vec<usize> = wanted.cpus.iter().map(|&cpu| cpu.into()).collect();
        let list = cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        match process::set_affinity(&cpus) {
            Ok(()) => info!("Running on CPU {list} only"),
            Err(cause) => refused(&format!("vrrp_cpu_affinity {list}"), &cause, "CAP_SYS_NICE"),
        }
    }
    if let Some(nice) = wanted.nice {
        match process::set_nice(nice.into()) {
            Ok(()) => info!("Running with nice value {nice}"),
            Err(cause) => refused(&format!("vrrp_priority {nice}"), &cause, "CAP_SYS_NICE"),
        }
    }
    if wanted.no_swap {
        match process::lock_memory() {
            Ok(()) => info!("All memory is locked"),
            Err(cause) => refused("vrrp_no_swap", &cause, "CAP_IPC_LOCK, or ulimit -l"),
        }
    }
    if let Some(priority) = wanted.realtime {
        match enter_realtime(priority, wanted.realtime_limit) {
            Ok(()) => info!("Running in the real-time class SCHED_RR with priority {priority}"),
            Err(cause) => refused(&format!("vrrp_rt_priority {priority}"), &cause, "CAP_SYS_NICE"),
        }
    }
}

/// `max_auto_priority`: late timers raise the daemon into the real-time class, and in it, step by
/// step. It never comes down again: whatever made it late may come again.
#[derive(Debug)]
pub(super) struct AutoPriority {
    priority: u8,
    /// 0: never raised (any more).
    max: u8,
    delay: Span,
    limit: Option<Span>,
    not_before: Instant,
}

impl AutoPriority {
    pub(super) fn new(wanted: &Process) -> Self {
        AutoPriority {
            priority: wanted.realtime.unwrap_or(0),
            max: wanted.max_auto_priority.and_then(|max| u8::try_from(max).ok()).unwrap_or(0),
            delay: wanted.min_auto_priority_delay.unwrap_or(DEFAULT_DELAY),
            limit: wanted.realtime_limit,
            not_before: Instant::ZERO,
        }
    }

    /// The loop woke up `late` after the moment it had to: raises the priority if that is enough.
    pub(super) fn on_late(&mut self, now: Instant, late: Span) {
        if let Some(priority) = self.risen(now, late) {
            match enter_realtime(priority, self.limit) {
                Ok(()) => warn!(
                    "a timer was {late} s late: raised to real-time priority {priority} \
                     (max_auto_priority {})",
                    self.max
                ),
                Err(cause) => {
                    refused(&format!("max_auto_priority {}", self.max), &cause, "CAP_SYS_NICE");
                    self.max = 0;
                }
            }
        }
    }

    /// The priority that is due now, if another.
    fn risen(&mut self, now: Instant, late: Span) -> Option<u8> {
        if self.priority >= self.max || late < self.delay || now < self.not_before {
            return None;
        }
        self.not_before = now + RISE_PAUSE;
        self.priority += 1;
        Some(self.priority)
    }
}

fn enter_realtime(priority: u8, limit: Option<Span>) -> io::Result<()> {
    let soft = limit.map(|limit| Duration::from_nanos(limit.as_nanos()));
    let hard = soft.unwrap_or_default() + RUNAWAY;
    process::set_realtime(priority, Some((soft.unwrap_or(hard), hard)))
}

fn refused(setting: &str, cause: &io::Error, needed: &str) {
    let missing =
        cause.kind() == ErrorKind::PermissionDenied || cause.raw_os_error() == Some(libc::ENOMEM);
    match missing {
        true => warn!("{setting} has no effect: {cause} (needs {needed})"),
        false => warn!("{setting} has no effect: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Span::from_millis(millis)
    }

    #[test]
    fn late_timers_raise_the_priority_to_its_limit_and_no_further() {
        let wanted = Process {
            max_auto_priority: Some(2),
            min_auto_priority_delay: Some(Span::from_millis(50)),
            ..Process::default()
        };
        let mut auto = AutoPriority::new(&wanted);
        let (late, in_time) = (Span::from_millis(60), Span::from_millis(49));
        assert_eq!(auto.risen(at(10_000), in_time), None);
        assert_eq!(auto.risen(at(10_000), late), Some(1));
        assert_eq!(auto.risen(at(10_999), late), None, "the same event");
        assert_eq!(auto.risen(at(11_000), late), Some(2));
        assert_eq!(auto.risen(at(20_000), late), None, "the limit");
    }

    #[test]
    fn it_starts_from_the_configured_priority_and_is_off_by_default() {
        let late = Span::from_secs(5);
        let process = |realtime, max_auto_priority| Process {
            realtime,
            max_auto_priority,
            ..Process::default()
        };
        for (realtime, max, risen) in [
            (None, None, None),
            (None, Some(0), None),
            (None, Some(-1), None),
            (Some(50), Some(60), Some(51)),
            (Some(50), Some(40), None),
            (None, Some(99), Some(1)),
        ] {
            let mut auto = AutoPriority::new(&process(realtime, max));
            assert_eq!(auto.risen(at(1), late), risen, "{realtime:?} {max:?}");
        }
    }
}
