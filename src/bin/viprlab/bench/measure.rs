//! **Figures**: what is measured, the values of each repetition, and how they are summed up.

use serde::Serialize;

/// Something that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Measure {
    /// What, for people.
    pub(crate) name: &'static str,
    /// In which unit.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
}

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// The smaller.
    Less,
    /// The larger.
    More,
    /// Neither: it is told for its own sake.
    Told,
}

/// The figures of one play, in the order in which they were taken.
pub(crate) type Sheet = Vec<(Measure, f64)>;

/// A measure with the values of all repetitions.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    #[serde(flatten)]
    pub(crate) measure: Measure,
    /// With viprd.
    pub(crate) viprd: Vec<f64>,
    /// With the peer.
    pub(crate) peer: Vec<f64>,
}

/// How often values lie where, on a logarithmic scale: for a picture.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
}

const fn less(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit, better: Better::Less }
}

const fn more(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit, better: Better::More }
}

pub(crate) const fn told(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit, better: Better::Told }
}

pub(crate) const B_SETTLED: Measure = less("start of B: exec → all BACKUP (at rest)", "ms");
pub(crate) const B_START_CPU: Measure = less("start of B: processor time", "ms");
pub(crate) const A_FIRST: Measure =
    less("start of A: first address, past the protocol's wait", "ms");
pub(crate) const A_LAST: Measure = less("start of A: last address, past the protocol's wait", "ms");
pub(crate) const A_SWEEP: Measure = less("start of A: first → last address", "ms");
pub(crate) const A_START_CPU: Measure = less("start of A: processor time", "ms");

pub(crate) const SENT_CPU: Measure = less("A: CPU a sent advert", "µs");
pub(crate) const RECEIVED_CPU: Measure = less("B: CPU a received advert", "µs");
pub(crate) const A_CPU: Measure = less("A: CPU", "%");
pub(crate) const B_CPU: Measure = less("B: CPU", "%");
pub(crate) const SOFT_CPU: Measure = told("ksoftirqd, both cores: CPU", "%");
pub(crate) const ON_TIME: Measure = more("adverts sent of those due", "%");
pub(crate) const FALSE_CHANGES: Measure = less("addresses that moved though nothing failed", "");
pub(crate) const UNHEARD_CPU: Measure = less("A: CPU a sent advert, nobody listening", "µs");

pub(crate) const DRIFT: Measure = told("drift an interval", "µs");
pub(crate) const ERROR_P50: Measure = less("interval error p50", "µs");
pub(crate) const ERROR_P99: Measure = less("interval error p99", "µs");
pub(crate) const ERROR_P999: Measure = less("interval error p99.9", "µs");
pub(crate) const ERROR_MAX: Measure = less("interval error max", "µs");

pub(crate) const RSS_A: Measure = less("memory of A (RSS)", "MB");
pub(crate) const RSS_B: Measure = less("memory of B (RSS)", "MB");
pub(crate) const PSS_A: Measure = less("memory of A, all processes (PSS)", "MB");

pub(crate) const FIRST_TO_LAST: Measure = less("first deadline → last address on B", "ms");
pub(crate) const LAST_TO_LAST: Measure = less("last deadline → last address on B", "ms");
pub(crate) const EVENT_TO_LAST: Measure = less("event → last address on B", "ms");
pub(crate) const EXCESS_P50: Measure = less("address after its own deadline p50", "ms");
pub(crate) const EXCESS_MAX: Measure = less("address after its own deadline max", "ms");
pub(crate) const FAREWELL_SPREAD: Measure = less("priority-0 adverts: first → last", "ms");
pub(crate) const FAREWELL_LAST: Measure = less("event → last priority-0 advert", "ms");
pub(crate) const FAREWELL_LATE: Measure =
    less("priority-0 adverts sent after A's first address went", "");
pub(crate) const GONE_LAST: Measure = less("event → last address gone from A", "ms");
pub(crate) const GARP_P50: Measure = less("first GARP after its address p50", "ms");
pub(crate) const GARP_P99: Measure = less("first GARP after its address p99", "ms");
pub(crate) const GARP_MAX: Measure = less("first GARP after its address max", "ms");
pub(crate) const GARP_LAST: Measure = less("last address → last first GARP", "ms");
pub(crate) const NOT_TAKEN: Measure = less("routers not taken over", "");
pub(crate) const OTHERS_P99: Measure = less("other routers' interval error meanwhile p99", "ms");
pub(crate) const OTHERS_MAX: Measure = less("other routers' interval error meanwhile max", "ms");
pub(crate) const OTHERS_CHANGED: Measure = less("other routers that changed state", "");

pub(crate) const SCRIPTS_TIME: Measure =
    less("first deadline → last notify script at its end", "ms");
pub(crate) const SCRIPTS_LOST: Measure = less("routers whose notify script did not run", "");
pub(crate) const QUIET_P50: Measure = told("others' interval error before p50", "µs");
pub(crate) const QUIET_P99: Measure = told("others' interval error before p99", "µs");
pub(crate) const QUIET_P999: Measure = told("others' interval error before p99.9", "µs");
pub(crate) const QUIET_MAX: Measure = told("others' interval error before max", "µs");
pub(crate) const MEANWHILE_P50: Measure =
    less("others' interval error while scripts run p50", "µs");
pub(crate) const MEANWHILE_P99: Measure =
    less("others' interval error while scripts run p99", "µs");
pub(crate) const MEANWHILE_P999: Measure =
    less("others' interval error while scripts run p99.9", "µs");
pub(crate) const MEANWHILE_MAX: Measure =
    less("others' interval error while scripts run max", "µs");

pub(crate) const RELOAD_TIME: Measure = less("SIGHUP → one router's address changed", "ms");
pub(crate) const RELOAD_TIME_MAX: Measure =
    less("SIGHUP → one router's address changed, max", "ms");
pub(crate) const RELOAD_GAP: Measure =
    less("longest gap between another router's adverts, beyond its interval", "ms");
pub(crate) const RELOAD_BEFORE: Measure = told("the same without a reload", "ms");
pub(crate) const RELOAD_LOST: Measure = less("addresses of others that moved", "");
pub(crate) const RELOAD_MEMORY: Measure = less("memory of A after the reloads (RSS)", "MB");
pub(crate) const RELOAD_MEMORY_ALL: Measure =
    less("memory of A after the reloads, all processes (PSS)", "MB");

pub(crate) const CONFIG_TIME: Measure = less("-t of the file", "ms");
pub(crate) const CONFIG_CPU: Measure = less("-t of the file: processor time", "ms");
pub(crate) const CONFIG_MEMORY: Measure = less("-t of the file: most memory (RSS)", "MB");

pub(crate) const CAPACITY: Measure = more("most routers", "");
pub(crate) const CAPACITY_A: Measure = told("A: CPU there", "%");
pub(crate) const CAPACITY_B: Measure = told("B: CPU there", "%");
pub(crate) const CAPACITY_ON_TIME: Measure = told("adverts sent of those due, there", "%");

pub(crate) const SINGLE_EXCESS: Measure = less("deadline → address", "µs");
pub(crate) const SINGLE_TOTAL: Measure = less("kill → address", "ms");
pub(crate) const SINGLE_GARP: Measure = told("address → first GARP", "µs");

impl Figure {
    /// How much better viprd is: 2 means half of what is better less, or twice of what is better
    /// more. None without both values, or where the quotient says nothing.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (ours, theirs) = (median(&self.viprd)?, median(&self.peer)?);
        let ratio = match self.measure.better {
            Better::Less => theirs / ours,
            Better::More => ours / theirs,
            Better::Told => return None,
        };
        (ours > 0.0 && theirs > 0.0 && ratio.is_finite()).then_some(ratio)
    }
}

/// Adds the figures of a play to those of earlier ones.
pub(crate) fn collect(figures: &mut Vec<Figure>, sheet: Sheet, ours: bool) {
    for (measure, value) in sheet {
        let place = figures.iter().position(|figure| figure.measure == measure);
        let place = place.unwrap_or_else(|| {
            figures.push(Figure { measure, viprd: vec![], peer: vec![] });
            figures.len() - 1
        });
        let figure = &mut figures[place];
        if ours { figure.viprd.push(value) } else { figure.peer.push(value) }
    }
}

/// The value in the middle, or between the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let odd = sorted.len() % 2 == 1;
    Some(if odd { upper } else { sorted[middle - 1].midpoint(upper) })
}

/// The value below or at which the share `share` of the sorted values lies; 0 of none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

impl Histogram {
    /// Bins a decade.
    const FINENESS: f64 = 20.0;
    /// The lower edge of the first bin.
    const LEAST: f64 = 0.1;
    /// Bins: 0.1 to 1,000,000.
    const BINS: usize = 140;

    /// Of nothing.
    pub(crate) fn new() -> Self {
        Histogram { counts: vec![0; Histogram::BINS] }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        let bin = ((value / Histogram::LEAST).log10() * Histogram::FINENESS).floor();
        // What is below the first edge, zero included, belongs to the first bin.
        let bin = if bin > 0.0 { (bin as usize).min(Histogram::BINS - 1) } else { 0 };
        self.counts[bin] += 1;
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    /// For each bin: its upper edge, and the share of values above that.
    pub(crate) fn tail(&self) -> Vec<(f64, f64)> {
        let all: u64 = self.counts.iter().sum();
        let mut above = all;
        let mut points = Vec::new();
        for (bin, &count) in self.counts.iter().enumerate() {
            above -= count;
            let edge = Histogram::LEAST * 10f64.powf((bin + 1) as f64 / Histogram::FINENESS);
            points.push((edge, above as f64 / all.max(1) as f64));
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 500.0);
        assert_eq!(quantile(&values, 0.999), 999.0);
        assert_eq!(quantile(&values, 1.0), 1000.0);
        assert_eq!(quantile(&[7.0], 0.0), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_ratio_says_how_much_better_we_are() {
        let figure = |measure, ours, theirs| Figure { measure, viprd: ours, peer: theirs };
        assert_eq!(figure(SENT_CPU, vec![2.0], vec![8.0]).ratio(), Some(4.0));
        assert_eq!(figure(CAPACITY, vec![2000.0], vec![500.0]).ratio(), Some(4.0));
        assert_eq!(figure(SENT_CPU, vec![2.0], vec![]).ratio(), None);
        assert_eq!(figure(FALSE_CHANGES, vec![0.0], vec![3.0]).ratio(), None);
        assert_eq!(figure(DRIFT, vec![1.0], vec![3.0]).ratio(), None);
    }

    #[test]
    fn repetitions_are_collected_by_measure() {
        let mut figures = Vec::new();
        collect(&mut figures, vec![(SENT_CPU, 1.0), (RECEIVED_CPU, 2.0)], true);
        collect(&mut figures, vec![(SENT_CPU, 3.0)], false);
        collect(&mut figures, vec![(SENT_CPU, 1.5)], true);
        assert_eq!(figures.len(), 2);
        assert_eq!((&figures[0].viprd[..], &figures[0].peer[..]), (&[1.0, 1.5][..], &[3.0][..]));
    }

    #[test]
    fn the_tail_of_a_histogram_falls() {
        let mut histogram = Histogram::new();
        for value in [0.0, 0.05, 1.0, 10.0, 1e9] {
            histogram.add(value);
        }
        let tail = histogram.tail();
        assert!((tail[0].1 - 0.6).abs() < 1e-9);
        assert!(tail.is_sorted_by(|a, b| a.0 < b.0 && a.1 >= b.1));
        assert_eq!(tail.last().map(|&(_, share)| share), Some(0.0));
    }
}
