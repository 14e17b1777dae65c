//! **The floor**: how well this machine keeps a schedule for a thread that does nothing else. A
//! virtual or busy machine wakes late whoever sleeps, and takes the processor from whoever spins;
//! no daemon can be more exact than that.

use std::io;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::Pid;

use super::measure::quantile;

/// Time between two deadlines: about that between two groups of 32 routers at 1,000 a second.
const STEP: Duration = Duration::from_millis(10);
/// How many deadlines.
const DEADLINES: usize = 400;
/// How long before a deadline the spinning thread is awake, as `viprd_spin_us` in the scene.
const SPIN: Duration = Duration::from_micros(200);

/// Errors of the time between two deadlines, as they are taken of adverts.
#[derive(Clone, Debug)]
pub(super) struct Floor {
    /// Ascending, in microseconds.
    errors: Vec<f64>,
}

impl Floor {
    /// Sleeps to a schedule on the processor on which A runs; `urgent` in the real-time class and
    /// awake before each deadline. It takes four seconds.
    ///
    /// # Errors
    /// If the thread can't be made or may not do that.
    pub(super) fn measure(urgent: bool) -> io::Result<Self> {
        let thread = thread::Builder::new().spawn(move || keep(urgent))?;
        let late = thread.join().unwrap_or(Err(Errno::EFAULT))?;
        let mut errors: Vec<f64> =
            late.windows(2).map(|pair| (pair[1] as f64 - pair[0] as f64).abs() / 1e3).collect();
        errors.sort_by(f64::total_cmp);
        Ok(Floor { errors })
    }

    /// It in words.
    pub(super) fn told(&self, urgent: bool) -> String {
        let error = |share| quantile(&self.errors, share);
        let how = match urgent {
            true => "in the real-time class, spinning before each deadline",
            false => "sleeping",
        };
        format!(
            "the machine itself: a thread that does nothing but keep such a schedule, {how}, has \
             interval errors of p50 {:.1}, p99 {:.0}, max {:.0} µs",
            error(0.5),
            error(0.99),
            error(1.0)
        )
    }
}

/// How late the thread was at each deadline, in nanoseconds.
fn keep(urgent: bool) -> nix::Result<Vec<i64>> {
    let mut first = CpuSet::new();
    first.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &first)?;
    if urgent {
        let parameter = libc::sched_param { sched_priority: 50 };
        // SAFETY: the parameter is a valid structure that outlives the call; 0 is this thread.
        Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) })?;
    }
    // SAFETY: no memory is passed. One nanosecond, as viprd has it: the default adds 50 µs.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) })?;
    let now = || clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let begun = now()?;
    (1..=DEADLINES)
        .map(|number| {
            let deadline = begun + STEP * number as u32;
            let awake = if urgent { deadline - SPIN } else { deadline };
            let until = TimeSpec::from(awake);
            let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
            clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &until)?;
            loop {
                let at = now()?;
                if at >= deadline {
                    return Ok((at - deadline).as_nanos() as i64);
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_ascending_and_told() {
        let floor = Floor::measure(false).expect("a thread may sleep");
        assert_eq!(floor.errors.len(), DEADLINES - 1);
        assert!(floor.errors.is_sorted());
        assert!(floor.told(false).contains("µs"), "{}", floor.told(false));
    }
}
