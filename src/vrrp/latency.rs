//! How timely the virtual routers are: what they record of themselves, at no cost that shows.
//!
//! Every time here is a difference of moments that the engine is told or has planned anyway; no
//! clock is read for it. They are as exact as those: `now` is when the turn began in which
//! something was done, so what a turn spends before it reaches the router is not in them.

use crate::base::{Histogram, RouterId, Span};

/// A timer is late when it is handled more than this part of its router's interval after its
/// deadline: 1/3.
///
/// A peer takes over two intervals and its skew time after an advert was due, so at a third of one
/// we have used up at most a sixth of its patience: late enough to mean something, early enough to
/// do something about it.
const LATE_PART: u64 = 3;

/// Times of all virtual routers together.
#[derive(Debug, Default)]
pub struct Latency {
    /// From the moment that a regular advert was due to the turn that sent it.
    pub advert_lateness: Histogram,
    /// How much more than its interval passed between two adverts of a followed Active: 0 for all
    /// that came in time or early. (In time, not in parts of an interval: the latter would say
    /// nothing of jitter, and losses have a counter, `advertisement_missed`.)
    pub advert_delay: Histogram,
    /// Takeovers after a silence, or after the Active has left: from the deadline to the first
    /// advert.
    pub takeover_advert: Histogram,
    /// From the same deadline until the kernel has acknowledged all addresses.
    pub takeover_addresses: Histogram,
    /// From the same deadline to the first gratuitous ARP.
    pub takeover_garp: Histogram,
    pub(super) overdue: Option<Overdue>,
}

/// Timers that have been late, for a line in the log (RFC 9568 section 2.5: a router that is kept
/// from advertising in time by its own queues should say so).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// How many, each of another router if they are of one turn.
    pub timers: u64,
    /// The greatest lateness.
    pub worst: Span,
    /// Whose that was.
    pub router: RouterId,
}

impl Latency {
    /// The histograms, with the names under which they are shown.
    pub fn histograms(&self) -> [(&'static str, &Histogram); 5] {
        [
            ("advert-lateness", &self.advert_lateness),
            ("advert-delay", &self.advert_delay),
            ("takeover-advert", &self.takeover_advert),
            ("takeover-addresses", &self.takeover_addresses),
            ("takeover-garp", &self.takeover_garp),
        ]
    }

    /// Takes note of a timer that was late.
    #[cold]
    pub(super) fn note_overdue(&mut self, router: RouterId, late: Span) {
        let one = Overdue { timers: 1, worst: late, router };
        self.overdue = Some(self.overdue.map_or(one, |others| others.and(one)));
    }
}

impl Overdue {
    /// These and `others` together.
    pub fn and(self, others: Overdue) -> Overdue {
        let worst = if others.worst > self.worst { others } else { self };
        Overdue { timers: self.timers + others.timers, ..worst }
    }
}

/// Whether a timer that was handled `late` after its deadline is late for a router with `interval`.
pub(super) fn is_late(late: Span, interval: Span) -> bool {
    late.times(LATE_PART) > interval
}

/// How many adverts of an `interval` are missing where the next one has come `delay` late.
pub(super) fn missed(delay: Span, interval: Span) -> u64 {
    let (delay, interval) = (delay.as_nanos(), interval.as_nanos());
    delay.saturating_add(interval / 2).checked_div(interval).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_more_than_a_third() {
        let interval = Span::from_millis(30);
        assert!(!is_late(Span::from_millis(10), interval));
        assert!(is_late(Span::from_micros(10_001), interval));
    }

    #[test]
    fn missed_adverts_are_whole_intervals() {
        let missed = |millis| missed(Span::from_millis(millis), Span::from_millis(100));
        assert_eq!([missed(0), missed(49), missed(50), missed(149), missed(200)], [0, 0, 1, 1, 2]);
    }

    #[test]
    fn the_worst_of_many_is_told() {
        let one = |millis, router| Overdue {
            timers: 1,
            worst: Span::from_millis(millis),
            router: RouterId(router),
        };
        let all = one(5, 1).and(one(9, 2)).and(one(7, 3));
        assert_eq!(all, Overdue { timers: 3, ..one(9, 2) });
    }
}
