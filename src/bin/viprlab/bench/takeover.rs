//! **A mass failover, taken apart**: when the protocol let each router go, and when it was there
//! again.

use super::interval::{Intervals, Numbers};
use super::measure::{
    EVENT_TO_LAST, EXCESS_MAX, EXCESS_P50, FAREWELL_LAST, FAREWELL_LATE, FAREWELL_SPREAD,
    FIRST_TO_LAST, GARP_LAST, GARP_MAX, GARP_P50, GARP_P99, GONE_LAST, LAST_TO_LAST, NOT_TAKEN,
    OTHERS_CHANGED, OTHERS_MAX, OTHERS_P99, SINGLE_EXCESS, SINGLE_GARP, SINGLE_TOTAL, Sheet,
    quantile,
};
use super::scene::{AWAY_PRIORITY, Scene, Side};
use super::tap::{Frame, What};
use super::watch::Change;

/// All that was seen of a failover of host A.
#[derive(Debug)]
pub(crate) struct Takeover<'a> {
    /// What was played.
    pub(crate) scene: &'a Scene,
    /// When A was made to fail, nanoseconds of the monotonic clock, as all times here.
    pub(crate) event: u64,
    /// Adverts that B received, from some intervals before the event on.
    pub(crate) to_b: &'a [Frame],
    /// Adverts and gratuitous ARPs that A's links received.
    pub(crate) to_a: &'a [Frame],
    /// Addresses of A since the event.
    pub(crate) on_a: &'a [Change],
    /// Addresses of B since the event.
    pub(crate) on_b: &'a [Change],
}

/// What became of one router.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// When B heard its last advert, and whether that had priority 0.
    last_heard: Option<(u64, bool)>,
    set: Option<u64>,
    garp: Option<u64>,
}

impl Takeover<'_> {
    /// Writes the figures of a mass failover down.
    pub(crate) fn put(&self, sheet: &mut Sheet) {
        let fates = self.fates();
        let ms = |nanos: f64| nanos / 1e6;
        let past = |at: u64, since: u64| ms(at as f64 - since as f64);
        let taken: Vec<(u64, u64, Option<u64>)> = fates
            .iter()
            .filter_map(|fate| Some((self.deadline(fate)?, fate.set?, fate.garp)))
            .collect();
        sheet.push((NOT_TAKEN, (fates.len() - taken.len()) as f64));
        let last_set = taken.iter().map(|&(_, set, _)| set).max();
        let first_deadline = taken.iter().map(|&(deadline, ..)| deadline).min();
        let last_deadline = taken.iter().map(|&(deadline, ..)| deadline).max();
        if let (Some(last_set), Some(first), Some(last)) = (last_set, first_deadline, last_deadline)
        {
            sheet.push((FIRST_TO_LAST, past(last_set, first)));
            sheet.push((LAST_TO_LAST, past(last_set, last)));
            sheet.push((EVENT_TO_LAST, past(last_set, self.event)));
            let excess = sorted(taken.iter().map(|&(deadline, set, _)| past(set, deadline)));
            sheet.push((EXCESS_P50, quantile(&excess, 0.5)));
            sheet.push((EXCESS_MAX, quantile(&excess, 1.0)));
            let garps = sorted(taken.iter().filter_map(|&(_, set, garp)| Some(past(garp?, set))));
            sheet.push((GARP_P50, quantile(&garps, 0.5)));
            sheet.push((GARP_P99, quantile(&garps, 0.99)));
            sheet.push((GARP_MAX, quantile(&garps, 1.0)));
            if let Some(garp) = taken.iter().filter_map(|&(_, _, garp)| garp).max() {
                sheet.push((GARP_LAST, past(garp, last_set)));
            }
        }
        self.put_farewell(sheet);
        self.put_others(sheet, last_set.unwrap_or(u64::MAX));
    }

    /// Writes the figures of the failover of a single router down.
    pub(crate) fn put_single(&self, sheet: &mut Sheet) {
        let fates = self.fates();
        let Some(fate) = fates.first() else { return };
        let (Some(deadline), Some(set)) = (self.deadline(fate), fate.set) else {
            sheet.push((NOT_TAKEN, 1.0));
            return;
        };
        sheet.push((SINGLE_EXCESS, (set as f64 - deadline as f64) / 1e3));
        sheet.push((SINGLE_TOTAL, (set as f64 - self.event as f64) / 1e6));
        if let Some(garp) = fate.garp {
            sheet.push((SINGLE_GARP, (garp as f64 - set as f64) / 1e3));
        }
    }

    /// What became of the routers of the main group.
    fn fates(&self) -> Vec<Fate> {
        let numbers = Numbers::of(self.scene);
        let mut fates = vec![Fate::default(); self.scene.main().routers];
        for frame in self.to_b {
            let What::Advert { link, vrid, priority } = frame.what else { continue };
            let router = numbers.router(link, vrid);
            if let Some(fate) = router.and_then(|router| fates.get_mut(router)) {
                fate.last_heard = Some((frame.at, priority == 0));
            }
        }
        for change in self.on_b.iter().filter(|change| change.set) {
            if let Some(fate) = fates.get_mut(change.router) {
                fate.set.get_or_insert(change.at);
            }
        }
        for frame in self.to_a.iter().filter(|frame| frame.at >= self.event) {
            if let What::Garp { router } = frame.what
                && let Some(fate) = fates.get_mut(router as usize)
            {
                fate.garp.get_or_insert(frame.at);
            }
        }
        fates
    }

    /// When the protocol lets B take a router over.
    fn deadline(&self, fate: &Fate) -> Option<u64> {
        let (heard, farewell) = fate.last_heard?;
        let group = self.scene.main();
        Some(match farewell {
            true => heard + group.skew_ns(AWAY_PRIORITY),
            false => heard + group.master_down_ns(AWAY_PRIORITY),
        })
    }

    /// The adverts of priority 0, and A's addresses.
    fn put_farewell(&self, sheet: &mut Sheet) {
        let main = self.scene.main().routers;
        let past = |at: u64, since: u64| (at as f64 - since as f64) / 1e6;
        let numbers = Numbers::of(self.scene);
        // The first of each router: keepalived says it twice.
        let mut farewells: Vec<Option<u64>> = vec![None; main];
        for frame in self.to_b {
            if let What::Advert { link, vrid, priority: 0 } = frame.what
                && let Some(router) = numbers.router(link, vrid)
                && let Some(farewell) = farewells.get_mut(router)
            {
                farewell.get_or_insert(frame.at);
            }
        }
        let farewells: Vec<u64> = farewells.into_iter().flatten().collect();
        let gone: Vec<u64> = self
            .on_a
            .iter()
            .filter(|change| !change.set && change.router < main)
            .map(|change| change.at)
            .collect();
        if let (Some(first), Some(last)) = (farewells.iter().min(), farewells.iter().max()) {
            sheet.push((FAREWELL_SPREAD, past(*last, *first)));
            sheet.push((FAREWELL_LAST, past(*last, self.event)));
            if let (Some(first_gone), Some(last_gone)) = (gone.iter().min(), gone.iter().max()) {
                let late = farewells.iter().filter(|at| *at > first_gone).count();
                sheet.push((FAREWELL_LATE, late as f64));
                sheet.push((GONE_LAST, past(*last_gone, self.event)));
            }
        }
    }

    /// How routers fared that had nothing to do with it.
    fn put_others(&self, sheet: &mut Sheet, end: u64) {
        let routers = self.scene.routers();
        let main = self.scene.main().routers;
        if routers.len() == main {
            return;
        }
        let home = |router: usize| self.scene.groups()[routers[router].group].home;
        // From one interval before the event on, so that the first one that it touches counts.
        let span = (self.event.saturating_sub(100_000_000), end.saturating_add(200_000_000));
        let of = |frames, side| {
            let wanted = |router| router >= main && home(router) == side;
            Intervals::of(self.scene, frames, wanted, span)
        };
        let both = [of(self.to_b, Side::A), of(self.to_a, Side::B)];
        let worst = |share| {
            let errors = both.iter().filter(|one| one.count() > 0).map(|one| one.error(share));
            errors.fold(0.0, f64::max) / 1e3
        };
        sheet.push((OTHERS_P99, worst(0.99)));
        sheet.push((OTHERS_MAX, worst(1.0)));
        let changed = self.on_a.iter().chain(self.on_b).filter(|change| change.router >= main);
        sheet.push((OTHERS_CHANGED, changed.count() as f64));
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Measure;
    use crate::bench::scene::Group;

    const MS: u64 = 1_000_000;

    fn advert(at: u64, vrid: u8, priority: u8) -> Frame {
        Frame { at, what: What::Advert { link: 0, vrid, priority } }
    }

    fn value(sheet: &Sheet, measure: Measure) -> Option<f64> {
        sheet.iter().find(|(one, _)| *one == measure).map(|&(_, value)| value)
    }

    #[test]
    fn a_farewell_starts_the_shorter_wait() {
        let scene = Scene::of(Group::of(2, 10));
        let garp = |at, router| Frame { at, what: What::Garp { router } };
        let change = |at, router, set| Change { at, router, set };
        let takeover = Takeover {
            scene: &scene,
            event: 100 * MS,
            to_b: &[advert(99 * MS, 1, 200), advert(99 * MS, 2, 200), advert(101 * MS, 1, 0)],
            to_a: &[garp(1, 0), garp(109 * MS, 0), garp(109 * MS + 1, 0), garp(140 * MS, 1)],
            on_a: &[change(102 * MS, 0, false)],
            on_b: &[change(108 * MS, 0, true), change(139 * MS, 1, true)],
        };
        let mut sheet = Sheet::new();
        takeover.put(&mut sheet);
        // Deadlines: 101 + 6.09375 and 99 + 36.09375.
        let close = |measure, expected: f64| {
            let got = value(&sheet, measure);
            assert!(got.is_some_and(|got| (got - expected).abs() < 1e-6), "{measure:?}: {got:?}");
        };
        close(FIRST_TO_LAST, 139.0 - 107.09375);
        close(LAST_TO_LAST, 139.0 - 135.09375);
        close(EXCESS_P50, 108.0 - 107.09375);
        close(EXCESS_MAX, 139.0 - 135.09375);
        close(GARP_MAX, 1.0);
        close(FAREWELL_SPREAD, 0.0);
        close(FAREWELL_LATE, 0.0);
        close(NOT_TAKEN, 0.0);
        assert_eq!(value(&sheet, OTHERS_MAX), None);
    }

    #[test]
    fn a_router_that_stays_lost_is_told() {
        let scene = Scene::of(Group::of(2, 10));
        let takeover = Takeover {
            scene: &scene,
            event: 100,
            to_b: &[advert(99, 1, 200), advert(99, 2, 200)],
            to_a: &[],
            on_a: &[],
            on_b: &[Change { at: 200, router: 1, set: true }],
        };
        let mut sheet = Sheet::new();
        takeover.put(&mut sheet);
        assert_eq!(value(&sheet, NOT_TAKEN), Some(1.0));
    }
}
