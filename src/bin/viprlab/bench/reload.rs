//! **A reload**: one of many routers gets another address, by SIGHUP. How long until the kernel has
//! the one and not the other any more, and whether any other router noticed.

use super::interval::Numbers;
use super::measure::{
    Measure, RELOAD_BEFORE, RELOAD_GAP, RELOAD_LOST, RELOAD_MEMORY, RELOAD_MEMORY_ALL, RELOAD_TIME,
    RELOAD_TIME_MAX, Sheet, median, told,
};
use super::process::Memory;
use super::scene::{Scene, Side};
use super::tap::{Frame, What};
use super::watch::Change;

/// How often a play reloads.
pub(super) const TIMES: usize = 5;

/// What was seen of one reload.
#[derive(Debug)]
pub(super) struct Seen {
    /// When the signal was sent, nanoseconds of the monotonic clock.
    pub(super) signal: u64,
    /// The addresses that came and went on A since.
    pub(super) changes: Vec<Change>,
}

/// Which router changes: one in the middle, neither the first nor the last to be looked at.
pub(super) fn changed(scene: &Scene) -> usize {
    scene.main().routers / 2
}

/// A's configuration for the reload of this number: the changed router has an address of its own
/// for each, beyond all others.
pub(super) fn configuration(scene: &Scene, reload: usize) -> String {
    let line = |number| format!("        {}/32\n", Scene::address(number));
    let text = scene.config(Side::A);
    text.replacen(&line(changed(scene)), &line(scene.routers().len() + reload), 1)
}

/// When the reload had done its work: the new address had come and the old one gone.
pub(super) fn done(scene: &Scene, reload: usize, seen: &[Change]) -> Option<u64> {
    let new = scene.routers().len() + reload;
    let old = if reload == 0 { changed(scene) } else { new - 1 };
    let at = |router, set| {
        let found = seen.iter().find(|it| it.router == router && it.set == set);
        found.map(|change| change.at)
    };
    Some(at(new, true)?.max(at(old, false)?))
}

/// Figures of all reloads of a play. `frames`: the adverts that B received, from well before the
/// first signal to well after the last change.
pub(super) fn put(
    scene: &Scene,
    reloads: &[Seen],
    frames: &[Frame],
    (before, after): (Memory, Memory),
    sheet: &mut Sheet,
) {
    let ms = |ns: u64| ns as f64 / 1e6;
    let times = reloads.iter().enumerate().filter_map(|(number, seen)| {
        done(scene, number, &seen.changes).map(|at| ms(at.saturating_sub(seen.signal)))
    });
    let times: Vec<f64> = times.collect();
    if let Some(middle) = median(&times) {
        sheet.push((RELOAD_TIME, middle));
        sheet.push((RELOAD_TIME_MAX, times.iter().copied().fold(0.0, f64::max)));
    }
    let first = reloads.first().map_or(u64::MAX, |seen| seen.signal);
    let gaps = Gaps::of(scene, frames, changed(scene));
    sheet.push((RELOAD_BEFORE, gaps.longest(|end| end <= first) / 1e6));
    sheet.push((RELOAD_GAP, gaps.longest(|end| end > first) / 1e6));
    // Addresses of others that moved: none should.
    let moved = reloads.iter().flat_map(|seen| &seen.changes);
    let moved = moved
        .filter(|change| change.router < scene.routers().len() && change.router != changed(scene));
    sheet.push((RELOAD_LOST, moved.count() as f64));
    sheet.push((RELOAD_MEMORY, after.largest as f64 / 1e3));
    sheet.push((RELOAD_MEMORY_ALL, after.all as f64 / 1e3));
    const GROWTH: Measure = told("memory of A, all processes: after − before", "MB");
    sheet.push((GROWTH, (after.all as f64 - before.all as f64) / 1e3));
}

/// The times between two adverts of a router, each with its end and what it has beyond the
/// interval, in nanoseconds.
struct Gaps(Vec<(u64, f64)>);

impl Gaps {
    fn of(scene: &Scene, frames: &[Frame], but: usize) -> Self {
        let numbers = Numbers::of(scene);
        let routers = scene.routers();
        let mut last = vec![0; routers.len()];
        let mut gaps = Vec::with_capacity(frames.len());
        for frame in frames {
            let What::Advert { link, vrid, .. } = frame.what else { continue };
            let Some(router) = numbers.router(link, vrid).filter(|&router| router != but) else {
                continue;
            };
            let nominal = scene.groups()[routers[router].group].interval_ns();
            let before = std::mem::replace(&mut last[router], frame.at);
            if before > 0 {
                gaps.push((frame.at, frame.at as f64 - before as f64 - nominal as f64));
            }
        }
        Gaps(gaps)
    }

    fn longest(&self, wanted: impl Fn(u64) -> bool) -> f64 {
        let wanted = self.0.iter().filter(|(end, _)| wanted(*end));
        wanted.map(|&(_, beyond)| beyond).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scene::Group;

    const MS: u64 = 1_000_000;

    #[test]
    fn each_reload_changes_one_address() {
        let scene = Scene::of(Group::of(10, 1000));
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let mut before = lines(&scene.config(Side::A));
        for reload in 0..TIMES {
            let after = lines(&configuration(&scene, reload));
            let differ = before.iter().zip(&after).filter(|(one, other)| one != other);
            assert_eq!((differ.count(), before.len()), (1, after.len()));
            before = after;
        }
    }

    #[test]
    fn time_and_gap_are_told() {
        let scene = Scene::of(Group::of(4, 1000));
        let change = |at, router, set| Change { at: at * MS, router, set };
        let advert =
            |at, vrid| Frame { at: at * MS, what: What::Advert { link: 0, vrid, priority: 200 } };
        // Router 2 (vrid 3) changes; the last address to move is the old one's.
        let seen = [Seen {
            signal: 2_500 * MS,
            changes: vec![change(2_520, 4, true), change(2_530, 2, false)],
        }];
        let frames = [
            advert(1_000, 1),
            advert(1_000, 3),
            advert(2_001, 1),
            advert(3_004, 1),
            advert(9_000, 3),
        ];
        let mut sheet = Sheet::new();
        put(&scene, &seen, &frames, Default::default(), &mut sheet);
        let value = |measure| sheet.iter().find(|(one, _)| *one == measure).map(|&(_, it)| it);
        assert_eq!(value(RELOAD_TIME), Some(30.0));
        assert_eq!(value(RELOAD_BEFORE), Some(1.0));
        assert_eq!(value(RELOAD_GAP), Some(3.0));
        assert_eq!(value(RELOAD_LOST), Some(0.0));
    }
}
