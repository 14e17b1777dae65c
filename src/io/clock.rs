//! The two clocks: the monotonic one that all deadlines are on, and the wall clock for log stamps.

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Once;

use crate::base::Instant;

/// A moment of the wall clock in local time, as log lines show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The year, such as 2026.
    pub year: i32,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 60 (a leap second).
    pub second: u8,
    /// The microsecond, 0 to 999,999.
    pub micros: u32,
    /// How far local time is ahead of UTC, in seconds.
    pub utc_offset: i32,
}

/// The monotonic clock (`CLOCK_MONOTONIC`, `clock_gettime(2)`); read without a system call where
/// the vDSO has it.
pub fn now() -> Instant {
    let time = read(libc::CLOCK_MONOTONIC);
    let nanos = (time.tv_sec as u64).saturating_mul(1_000_000_000);
    Instant::from_nanos(nanos.saturating_add(time.tv_nsec as u64))
}

/// The wall clock in nanoseconds since 1970 (UTC).
pub fn wall_nanos() -> u64 {
    let time = read(libc::CLOCK_REALTIME);
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// The wall clock in local time (`localtime_r(3)`).
pub fn local_time() -> LocalTime {
    static ZONE_READ: Once = Once::new();
    // SAFETY: `tzset` has no arguments; it reads TZ and the zone's file into libc's own state.
    ZONE_READ.call_once(|| unsafe { tzset() });

    let time = read(libc::CLOCK_REALTIME);
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both point to values that live through the call. On failure (a year beyond `int`)
    // `parts` stays zeroed, which is a valid `tm`: integers and a null pointer.
    let parts = unsafe {
        libc::localtime_r(&time.tv_sec, parts.as_mut_ptr());
        parts.assume_init()
    };
    LocalTime {
        year: parts.tm_year.saturating_add(1900),
        month: (parts.tm_mon + 1) as u8,
        day: parts.tm_mday as u8,
        hour: parts.tm_hour as u8,
        minute: parts.tm_min as u8,
        second: parts.tm_sec as u8,
        micros: (time.tv_nsec / 1_000) as u32,
        utc_offset: parts.tm_gmtoff as i32,
    }
}

/// `2026-11-23 08:15:04.123456`.
impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LocalTime { year, month, day, hour, minute, second, micros, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call. Both clocks exist on every Linux, so it can't fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time
}

unsafe extern "C" {
    /// `tzset(3)`, which the libc crate leaves out on Linux.
    fn tzset();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_run_backwards() {
        let first = now();
        let second = now();
        assert!(first > Instant::ZERO && second >= first);
    }

    #[test]
    fn local_time_is_a_date_of_this_age() {
        let time = local_time();
        assert!(time.year >= 2024 && (1..=12).contains(&time.month));
        assert!((1..=31).contains(&time.day) && time.hour < 24 && time.minute < 60);
        assert!(time.micros < 1_000_000 && time.utc_offset.abs() <= 14 * 3600);
    }
}
