//! How times are spread, in fixed memory: counted at a few nanoseconds each, read as percentiles.

use super::time::Span;

/// Sub-buckets of each power of two: 2^5 of them, so that a bucket is at most 1/32 of its values
/// wide, and its middle at most 1/64 (1.6 %) away from any of them.
const SUB_BITS: u32 = 5;
const SUBS: u64 = 1 << SUB_BITS;
/// The narrowest buckets span 2^5 ns: below `Histogram::FINEST` they are all alike.
const UNIT_BITS: u32 = 5;
/// The last power of two ends at 2^37 ns (137 s); longer times are counted in the last bucket.
const LAST_BITS: u32 = 37;
const BUCKETS: usize = ((LAST_BITS - UNIT_BITS - SUB_BITS + 1) << SUB_BITS) as usize;

/// Times counted in log-linear buckets (as HdrHistogram does it), with the exact least, greatest
/// and sum.
///
/// It takes 7 KiB whatever is recorded. The counts are good for a million years of 400,000 times a
/// second; the sum saturates, at 584 years.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    /// In nanoseconds.
    sum: u64,
    least: u64,
    greatest: u64,
}

/// A bucket that has something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The shortest time that is counted in it.
    pub from: Span,
    /// The first time that is not; the last bucket counts longer ones too.
    pub to: Span,
    /// How many.
    pub count: u64,
}

impl Histogram {
    /// Up to this time buckets are 32 ns wide; above it percentiles are within 1.6 %.
    pub const FINEST: Span = Span::from_nanos(1 << (UNIT_BITS + SUB_BITS));
    /// Longer times than this (137 s) are not told apart, but for the greatest.
    pub const LONGEST: Span = Span::from_nanos((1 << LAST_BITS) - 1);

    /// With nothing in it.
    pub fn new() -> Self {
        // By way of a vector, which gets its zeros from the system: pages that no time falls into
        // are never touched.
        let counts = vec![0; BUCKETS].into_boxed_slice();
        let counts = counts.try_into().unwrap_or_else(|_| Box::new([0; BUCKETS]));
        Histogram { counts, count: 0, sum: 0, least: u64::MAX, greatest: 0 }
    }

    /// Counts `time`: a handful of instructions, no branch that depends on it.
    #[inline]
    pub fn record(&mut self, time: Span) {
        let nanos = time.as_nanos();
        self.counts[bucket_of(nanos)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(nanos);
        self.least = self.least.min(nanos);
        self.greatest = self.greatest.max(nanos);
    }

    /// How many times have been counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing has been counted.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All times together.
    pub const fn sum(&self) -> Span {
        Span::from_nanos(self.sum)
    }

    /// The shortest time; `None` if there is none.
    pub fn min(&self) -> Option<Span> {
        (!self.is_empty()).then_some(Span::from_nanos(self.least))
    }

    /// The longest time; `None` if there is none.
    pub fn max(&self) -> Option<Span> {
        (!self.is_empty()).then_some(Span::from_nanos(self.greatest))
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<Span> {
        self.sum.checked_div(self.count).map(Span::from_nanos)
    }

    /// The time that `per_million` of a million of the times do not exceed (999,000: the 99.9th
    /// percentile), within 1.6 % or 16 ns; `None` of nothing. 0 and 1,000,000 are exact.
    pub fn quantile(&self, per_million: u32) -> Option<Span> {
        if self.is_empty() {
            return None;
        }
        let million = 1_000_000;
        let share = u128::from(per_million.min(million));
        // The rank of the wanted one among all, from 1: at least one time is not exceeded by any.
        let rank = (u128::from(self.count) * share).div_ceil(u128::from(million)).max(1) as u64;
        if rank == self.count {
            return self.max(); // also the greatest of few
        }
        if share == 0 {
            return self.min();
        }
        let mut seen = 0;
        let nanos = self.counts.iter().enumerate().find_map(|(bucket, &count)| {
            seen += count;
            (seen >= rank).then(|| middle_of(bucket))
        });
        nanos.map(|nanos| Span::from_nanos(nanos.clamp(self.least, self.greatest)))
    }

    /// The buckets that have something in them, from short to long.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, &count)| Bucket {
            from: Span::from_nanos(start_of(bucket)),
            to: Span::from_nanos(start_of(bucket + 1)),
            count,
        })
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

/// The bucket for a time. Below [`Histogram::FINEST`] it is the number of units; from there on each
/// power of two has 32.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    let units = nanos.min(Histogram::LONGEST.as_nanos()) >> UNIT_BITS;
    let shift = (units | SUBS).ilog2() - SUB_BITS;
    ((u64::from(shift) << SUB_BITS) + (units >> shift)) as usize
}

/// The first time of a bucket; of the one after the last, where the last ends.
fn start_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let power = (bucket >> SUB_BITS).saturating_sub(1);
    (bucket - (power << SUB_BITS)) << power << UNIT_BITS
}

fn middle_of(bucket: usize) -> u64 {
    (start_of(bucket) + start_of(bucket + 1)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for &nanos in times {
            histogram.record(Span::from_nanos(nanos));
        }
        histogram
    }

    #[test]
    fn buckets_meet_and_cover_everything() {
        assert_eq!(start_of(0), 0);
        for bucket in 0..BUCKETS {
            let (from, to) = (start_of(bucket), start_of(bucket + 1));
            assert!(from < to);
            assert_eq!((bucket_of(from), bucket_of(to - 1)), (bucket, bucket));
            assert!((to - from) * SUBS <= from.max(Histogram::FINEST.as_nanos()), "{bucket}");
        }
        assert_eq!(start_of(BUCKETS), Histogram::LONGEST.as_nanos() + 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(std::mem::size_of::<[u64; BUCKETS]>(), 7168);
    }

    #[test]
    fn nothing_has_no_percentiles() {
        let nothing = Histogram::new();
        assert!(nothing.is_empty());
        assert_eq!((nothing.quantile(500_000), nothing.min(), nothing.max()), (None, None, None));
        assert_eq!(
            (nothing.mean(), nothing.sum(), nothing.buckets().count()),
            (None, Span::ZERO, 0)
        );
    }

    #[test]
    fn few_times_are_told_as_they_are() {
        let one = of(&[123_456]);
        for share in [0, 1, 500_000, 1_000_000, u32::MAX] {
            assert_eq!(one.quantile(share), Some(Span::from_nanos(123_456)));
        }
        let absurd = of(&[0, u64::MAX, u64::MAX]);
        assert_eq!(absurd.min(), Some(Span::ZERO));
        assert_eq!(absurd.max(), Some(Span::from_nanos(u64::MAX)));
        assert_eq!(absurd.sum(), Span::from_nanos(u64::MAX));
        assert_eq!(absurd.count(), 3);
    }

    /// Times of all magnitudes.
    fn times() -> impl Strategy<Value = Vec<u64>> {
        let time = (0..38u32, any::<u64>()).prop_map(|(bits, raw)| raw & ((1 << bits) - 1));
        prop::collection::vec(time, 1..300)
    }

    proptest! {
        /// Against the obvious model: a sorted list.
        #[test]
        fn agrees_with_a_sorted_list(mut times in times(), share in 0..=1_000_000u32) {
            let histogram = of(&times);
            times.sort_unstable();
            let count = times.len();
            prop_assert_eq!(histogram.count(), count as u64);
            prop_assert_eq!(histogram.min(), times.first().map(|&time| Span::from_nanos(time)));
            prop_assert_eq!(histogram.max(), times.last().map(|&time| Span::from_nanos(time)));
            prop_assert_eq!(histogram.sum().as_nanos(), times.iter().sum::<u64>());
            for share in [share, 500_000, 900_000, 990_000, 999_000] {
                let rank = (count * share as usize).div_ceil(1_000_000).max(1);
                let exact = times[rank - 1];
                let told = histogram.quantile(share).unwrap().as_nanos();
                let error = told.abs_diff(exact);
                prop_assert!(error <= 16 || error * 64 <= exact, "{told} for {exact} ({share})");
            }
        }

        #[test]
        fn percentiles_never_fall(times in times(), a in 0..=1_000_000u32, b in 0..=1_000_000u32) {
            let histogram = of(&times);
            prop_assert!(histogram.quantile(a.min(b)) <= histogram.quantile(a.max(b)));
        }

        #[test]
        fn buckets_hold_what_was_counted(times in times()) {
            let histogram = of(&times);
            let mut end = Span::ZERO;
            for bucket in histogram.buckets() {
                prop_assert!(bucket.from >= end);
                end = bucket.to;
                let inside = |&&time: &&u64| (bucket.from..bucket.to).contains(&Span::from_nanos(time));
                prop_assert_eq!(bucket.count, times.iter().filter(inside).count() as u64);
            }
            let all: u64 = histogram.buckets().map(|bucket| bucket.count).sum();
            prop_assert_eq!(all, times.len() as u64);
        }
    }
}
