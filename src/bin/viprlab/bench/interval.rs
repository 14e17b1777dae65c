//! **How well a schedule is kept**: what lies between one advert of a router and its next.

use super::measure::{
    DRIFT, ERROR_MAX, ERROR_P50, ERROR_P99, ERROR_P999, Histogram, Sheet, quantile,
};
use super::scene::Scene;
use super::tap::{Frame, What};

/// How the adverts of a scene's routers kept their intervals.
#[derive(Debug)]
pub(crate) struct Intervals {
    /// How far each interval was from the nominal one, in microseconds, sorted.
    errors: Vec<f64>,
    /// By how much the intervals are too long, in microseconds each.
    drift: f64,
}

/// What is known of one router while its frames go by.
#[derive(Clone, Copy, Default)]
struct Track {
    last: u64,
    /// Nominal intervals since its first advert.
    turns: u64,
    /// How much later than the schedule of its first advert its last one was.
    late: f64,
}

/// Sums for the slope of lateness over turns, each router with a level of its own.
#[derive(Clone, Copy, Default)]
struct Line {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Intervals {
    /// Of the routers whose number `wanted` picks, among `frames` that were received from one
    /// host between `begin` and `end`.
    pub(crate) fn of(
        scene: &Scene,
        frames: &[Frame],
        wanted: impl Fn(usize) -> bool,
        (begin, end): (u64, u64),
    ) -> Self {
        let numbers = Numbers::of(scene);
        let routers = scene.routers();
        let mut tracks = vec![Track::default(); routers.len()];
        let mut lines = vec![Line::default(); routers.len()];
        let mut errors = Vec::with_capacity(frames.len());
        for frame in frames.iter().filter(|frame| frame.at >= begin && frame.at <= end) {
            let What::Advert { link, vrid, priority } = frame.what else { continue };
            let Some(router) = numbers.router(link, vrid) else { continue };
            if priority == 0 || !wanted(router) {
                continue;
            }
            let nominal = scene.groups()[routers[router].group].interval_ns();
            let track = &mut tracks[router];
            if track.last > 0 {
                let error = frame.at as f64 - track.last as f64 - nominal as f64;
                errors.push(error.abs() / 1e3);
                // One that was left out or lost counts as an error of a whole interval, but does
                // not shift the schedule.
                let turns = (frame.at.saturating_sub(track.last) + nominal / 2) / nominal;
                track.turns += turns;
                track.late += error - (turns as f64 - 1.0) * nominal as f64;
            }
            track.last = frame.at;
            lines[router].add(track.turns as f64, track.late / 1e3);
        }
        errors.sort_by(f64::total_cmp);
        Intervals { errors, drift: slope(&lines) }
    }

    /// How many intervals there were.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    /// The error that the share `share` of intervals does not exceed, in microseconds.
    pub(crate) fn error(&self, share: f64) -> f64 {
        quantile(&self.errors, share)
    }

    /// Writes it down.
    pub(crate) fn put(&self, sheet: &mut Sheet) {
        sheet.push((DRIFT, self.drift));
        for (measure, share) in
            [(ERROR_P50, 0.5), (ERROR_P99, 0.99), (ERROR_P999, 0.999), (ERROR_MAX, 1.0)]
        {
            sheet.push((measure, self.error(share)));
        }
    }

    /// For the picture, in microseconds.
    pub(crate) fn histogram(&self) -> Histogram {
        let mut histogram = Histogram::new();
        self.errors.iter().for_each(|&error| histogram.add(error));
        histogram
    }
}

/// Which router speaks on which link with which id.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// By link and id.
    routers: Vec<[Option<u32>; 256]>,
}

impl Numbers {
    /// Those of a scene.
    pub(crate) fn of(scene: &Scene) -> Self {
        let mut routers = vec![[None; 256]; scene.links()];
        for (number, router) in scene.routers().iter().enumerate() {
            routers[router.link][usize::from(router.vrid)] = Some(number as u32);
        }
        Numbers { routers }
    }

    /// The number of a router.
    pub(crate) fn router(&self, link: u16, vrid: u8) -> Option<usize> {
        let link = self.routers.get(usize::from(link))?;
        link[usize::from(vrid)].map(|number| number as usize)
    }
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }
}

/// The slope that fits all lines at once best (least squares, a level for each); 0 without points.
fn slope(lines: &[Line]) -> f64 {
    let (mut above, mut below) = (0.0, 0.0);
    for line in lines.iter().filter(|line| line.count > 0.0) {
        above += line.xy - line.x * line.y / line.count;
        below += line.xx - line.x * line.x / line.count;
    }
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scene::Group;

    fn advert(at: u64, vrid: u8) -> Frame {
        Frame { at, what: What::Advert { link: 0, vrid, priority: 200 } }
    }

    #[test]
    fn drift_and_errors_are_told_apart() {
        let scene = Scene::of(Group::of(2, 10));
        let mut frames = Vec::new();
        for turn in 0..100 {
            // The first is 5 µs too slow each time; the second jumps to and fro by 20 µs.
            frames.push(advert(1_000_000 + turn * 10_005_000, 1));
            frames.push(advert(2_000_000 + turn * 10_000_000 + turn % 2 * 20_000, 2));
        }
        let first = Intervals::of(&scene, &frames, |router| router == 0, (0, u64::MAX));
        assert_eq!(first.count(), 99);
        assert!((first.drift - 5.0).abs() < 1e-6, "{}", first.drift);
        assert!((first.error(1.0) - 5.0).abs() < 1e-6);
        let second = Intervals::of(&scene, &frames, |router| router == 1, (0, u64::MAX));
        assert!(second.drift.abs() < 0.01, "{}", second.drift);
        assert!((second.error(0.5) - 20.0).abs() < 1e-6);
    }

    #[test]
    fn a_missing_advert_is_an_error_but_no_drift() {
        let scene = Scene::of(Group::of(1, 10));
        let turns = [0, 1, 2, 4, 5, 6];
        let frames: Vec<_> = turns.iter().map(|turn| advert(1 + turn * 10_000_000, 1)).collect();
        let intervals = Intervals::of(&scene, &frames, |_| true, (0, u64::MAX));
        assert_eq!(intervals.error(1.0), 10_000.0);
        assert_eq!(intervals.error(0.5), 0.0);
        assert_eq!(intervals.drift, 0.0);
    }
}
