//! Wall times, as values and as text.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::Instant;

/// A point on the wall clock, in microseconds since 1970 (UTC); as text RFC 3339, such as
/// `2026-03-21T07:57:29.123456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime {
    micros: u64,
}

impl WallTime {
    /// The last microsecond of the year 9999, where RFC 3339 ends.
    const MAX: u64 = 253_402_300_799_999_999;

    /// The point `nanos` nanoseconds after the beginning of 1970, to the microsecond; at the latest
    /// the end of the year 9999.
    pub fn from_nanos(nanos: u64) -> Self {
        WallTime { micros: (nanos / 1_000).min(Self::MAX) }
    }

    /// The wall time of the monotonic `instant`, given both clocks at one moment: `now` and
    /// `wall_now` (nanoseconds since 1970).
    pub fn of(instant: Instant, now: Instant, wall_now: u64) -> Self {
        let (ago, ahead) = (now.since(instant).as_nanos(), instant.since(now).as_nanos());
        Self::from_nanos(wall_now.saturating_sub(ago).saturating_add(ahead))
    }

    /// Microseconds since the beginning of 1970.
    pub const fn as_micros(self) -> u64 {
        self.micros
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(self.micros);
        humantime::format_rfc3339_micros(time).fmt(f)
    }
}

impl FromStr for WallTime {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let since_1970 = humantime::parse_rfc3339(text)?
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| humantime::TimestampError::OutOfRange)?;
        Ok(WallTime { micros: u64::try_from(since_1970.as_micros()).unwrap_or(Self::MAX) })
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        let text = |nanos| WallTime::from_nanos(nanos).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_827_696_000_001_999), "2000-02-29T12:34:56.000001Z");
        assert_eq!(text(1_774_079_849_123_456_789), "2026-03-21T07:57:29.123456Z");
        // The year 2554 is as far as u64 nanoseconds go.
        assert_eq!(text(u64::MAX), "2554-07-21T23:34:33.709551Z");
    }

    #[test]
    fn derived_from_the_pair_of_clocks_both_ways() {
        let (now, wall_now) = (Instant::from_nanos(50_000_000_000), 1_774_079_849_000_000_000);
        let wall = |instant| WallTime::of(instant, now, wall_now).to_string();
        assert_eq!(wall(now), "2026-03-21T07:57:29.000000Z");
        assert_eq!(wall(now - Span::from_secs(30)), "2026-03-21T07:56:59.000000Z");
        assert_eq!(wall(now + Span::from_millis(1)), "2026-03-21T07:57:29.001000Z");
        // Absurd clocks saturate.
        assert_eq!(WallTime::of(Instant::ZERO, now, 0).to_string(), "1970-01-01T00:00:00.000000Z");
        WallTime::of(Instant::NEVER, Instant::ZERO, u64::MAX).to_string();
    }

    proptest! {
        #[test]
        fn text_reads_back(nanos: u64) {
            let time = WallTime::from_nanos(nanos);
            prop_assert_eq!(time.to_string().parse::<WallTime>().unwrap(), time);
        }
    }
}
