//! **One clock for everything measured**: the monotonic one, with the kernel's packet stamps
//! brought onto it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{ControlMessageOwned, RecvMsg};
use nix::sys::time::TimeSpec;

/// When a message arrived, by the kernel's stamp (`SO_TIMESTAMPNS`, `socket(7)`); the time now,
/// should it have none.
pub(crate) fn arrival<S>(message: &RecvMsg<'_, '_, S>) -> Instant {
    let stamp = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(|one| match one {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
            _ => None,
        })
    });
    stamp.map_or_else(Instant::now, at_stamp)
}

/// The moment of a stamp, which is on the wall clock.
///
/// Both clocks are read anew each time, so a wall clock that is being adjusted while a run lasts
/// does no harm beyond the instant between stamp and reading.
fn at_stamp(stamp: TimeSpec) -> Instant {
    let stamp = Duration::from(stamp);
    let (now, wall) = both_clocks();
    now.checked_sub(wall.saturating_sub(stamp)).unwrap_or(now)
}

/// The same moment on the monotonic clock and on the wall clock. A thread may lose its processor
/// between two readings, so the closest of several counts.
fn both_clocks() -> (Instant, Duration) {
    /// Readings closer than this are close enough.
    const CLOSE: Duration = Duration::from_micros(2);
    const TRIES: usize = 16;
    let read = || {
        let before = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (before.elapsed(), before, wall)
    };
    let mut best = read();
    for _ in 1..TRIES {
        if best.0 <= CLOSE {
            break;
        }
        best = best.min(read());
    }
    let (apart, before, wall) = best;
    (before + apart / 2, wall)
}

/// Milliseconds from `start` to `moment`; negative if it lies before.
pub(crate) fn ms_between(start: Instant, moment: Instant) -> f64 {
    match moment.checked_duration_since(start) {
        Some(span) => ms(span),
        None => -ms(start - moment),
    }
}

/// A span in milliseconds, to the microsecond.
pub(crate) fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_taken_now_is_now() {
        let before = Instant::now();
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let moment = at_stamp(TimeSpec::from(stamp));
        assert!(ms_between(before, moment).abs() < 500.0);
    }

    #[test]
    fn time_before_the_start_is_negative() {
        let start = Instant::now();
        let later = start + Duration::from_micros(1500);
        assert_eq!(ms_between(start, later), 1.5);
        assert_eq!(ms_between(later, start), -1.5);
    }
}
