//! Time as values: nobody below `daemon` and `io` reads a clock, everyone is told `now`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A point on the monotonic clock, in nanoseconds (`CLOCK_MONOTONIC` in the daemon, simulated
/// time in tests). Copying and comparing it costs one `u64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

/// A length of time in nanoseconds; never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

/// An advertisement interval in centiseconds, the unit of VRRPv3 (RFC 9568 section 5.2.7).
///
/// On the v3 wire it has 12 bits (1 to 4095); v2's whole seconds fit as multiples of 100 up to
/// 25 500. Zero never leaves the parser as a usable interval (erratum 8301).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Centis(u16);

impl Instant {
    /// The beginning of the clock.
    pub const ZERO: Instant = Instant(0);
    /// Later than anything that will ever happen: the deadline of a timer that is not running.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The point `nanos` nanoseconds after the clock's beginning.
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// Nanoseconds since the clock's beginning.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Instant) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The last point of a grid of step `step` that is not after this one. A zero step leaves
    /// the point where it is.
    pub const fn round_down(self, step: Span) -> Instant {
        match self.0.checked_rem(step.0) {
            None => self,
            Some(past) => Instant(self.0 - past),
        }
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of whole nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Span(nanos)
    }

    /// A span of whole microseconds; saturates far beyond any timer here.
    pub const fn from_micros(micros: u64) -> Self {
        Span(micros.saturating_mul(1_000))
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Span(millis.saturating_mul(1_000_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Span(secs.saturating_mul(1_000_000_000))
    }

    /// The span in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The span in whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// The span in seconds, for people and JSON.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Whether there is no time in it.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This span `factor` times.
    pub const fn times(self, factor: u64) -> Span {
        Span(self.0.saturating_mul(factor))
    }
}

impl Centis {
    /// The default advertisement interval, 1 s (RFC 9568 section 6.1).
    pub const DEFAULT: Centis = Centis(100);
    /// The longest interval that the 12 bits of a v3 advert carry: 40.95 s.
    pub const MAX_V3: Centis = Centis(4095);

    /// An interval of `centis` hundredths of a second; `None` for zero.
    pub const fn new(centis: u16) -> Option<Self> {
        match centis {
            0 => None,
            centis => Some(Centis(centis)),
        }
    }

    /// An interval of whole seconds as v2 carries it; `None` for zero.
    pub const fn from_secs(secs: u8) -> Option<Self> {
        Centis::new(secs as u16 * 100)
    }

    /// The number of centiseconds.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The interval as a span.
    pub const fn span(self) -> Span {
        Span::from_millis(self.0 as u64 * 10)
    }
}

impl Add<Span> for Instant {
    type Output = Instant;

    fn add(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Instant {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for Instant {
    type Output = Instant;

    fn sub(self, span: Span) -> Instant {
        Instant(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Instant::NEVER => f.write_str("never"),
            Instant(nanos) => write!(f, "{}.{:09}s", nanos / 1_000_000_000, nanos % 1_000_000_000),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Seconds without needless zeros: `1`, `0.01`, `2.5`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % 1_000_000_000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / 1_000_000_000),
            digits => write!(f, "{}.{digits}", self.0 / 1_000_000_000),
        }
    }
}

impl fmt::Debug for Centis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}cs", self.0)
    }
}

impl fmt::Display for Centis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.span().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_rounds_down_and_keeps_points_on_the_grid() {
        let step = Span::from_millis(10);
        assert_eq!(Instant::from_nanos(9_999_999).round_down(step), Instant::ZERO);
        assert_eq!(Instant::from_nanos(10_000_000).round_down(step).as_nanos(), 10_000_000);
        assert_eq!(Instant::from_nanos(10_000_001).round_down(step).as_nanos(), 10_000_000);
        assert_eq!(Instant::from_nanos(7).round_down(Span::ZERO).as_nanos(), 7);
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Instant::NEVER + Span::from_secs(1), Instant::NEVER);
    }

    #[test]
    fn spans_print_as_people_write_them() {
        assert_eq!(Span::from_secs(1).to_string(), "1");
        assert_eq!(Span::from_millis(10).to_string(), "0.01");
        assert_eq!(Centis::new(250).unwrap().to_string(), "2.5");
    }
}
