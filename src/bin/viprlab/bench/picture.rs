//! **Pictures**: SVG files that a person reads at a glance, in light and dark surroundings alike.

use std::fmt::Write as _;

use super::jobs::Goal;
use super::measure::{FIRST_TO_LAST, Figure, Measure, RECEIVED_CPU, RSS_A, SENT_CPU, median};
use super::report::{Report, Section, number, tells};
use super::scene::thousands;

/// Colours of viprd and the peer, told apart by colour-blind eyes and in grey.
const OURS: &str = "#0072b2";
const THEIRS: &str = "#d55e00";
/// Ours and theirs before it began.
const BEFORE: [&str; 2] = ["#88bbdd", "#eebb99"];
const GREY: &str = "#888888";

/// All pictures of a report, each with its file's name.
pub(crate) fn all(report: &Report) -> Vec<(String, String)> {
    let mut pictures = Vec::new();
    if let Some(picture) = ratios(report) {
        pictures.push(("ratios.svg".to_owned(), picture));
    }
    if report.sections.iter().any(|section| section.growth.is_some()) {
        pictures.push(("growth.svg".to_owned(), growth(report)));
    }
    for section in &report.sections {
        if let Some(name) = of_intervals(section) {
            pictures.push((name, intervals(section)));
        }
    }
    pictures
}

/// The name of the picture of a section's interval errors, if there are any.
pub(crate) fn of_intervals(section: &Section) -> Option<String> {
    let some = section.intervals.iter().any(Option::is_some);
    some.then(|| format!("intervals-{}.svg", section.slug))
}

/// A drawing of a certain size.
struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

/// Where text stands relative to its point.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// A logarithmic scale between two values, drawn between two points.
#[derive(Clone, Copy)]
struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

/// A curve.
struct Curve<'a> {
    name: &'a str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
    dots: bool,
}

/// A place on the drawing.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// A chart with two logarithmic scales.
struct Chart<'a> {
    title: &'a str,
    across: &'a str,
    /// How a value of each scale is written.
    labels: [fn(f64) -> String; 2],
    curves: Vec<Curve<'a>>,
    /// A value that is shown upwards though no curve may have it.
    floor: Option<f64>,
    /// Where the names of the curves stand: below rather than above. On the right they always do.
    names_below: bool,
}

impl Drawing {
    fn new(width: f64, height: f64) -> Self {
        Drawing { width, height, body: String::new() }
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, style: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{style}\">{text}</text>"
        );
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), style: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{style}\"/>"
        );
    }

    fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" \
             fill=\"{colour}\"/>"
        );
    }

    fn curve(&mut self, points: &[(f64, f64)], colour: &str, dots: bool) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" \
             stroke-linejoin=\"round\"/>",
            path.join(" ")
        );
        for (x, y) in points.iter().filter(|_| dots) {
            let _ = writeln!(
                self.body,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.4\" fill=\"{colour}\"/>"
            );
        }
    }

    /// The name of a curve, in its colour and readable on top of others; it ends at that point.
    fn name(&mut self, (x, y): (f64, f64), name: &str, colour: &str) {
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" class=\"n\" \
             style=\"fill:{colour}\">{name}</text>"
        );
    }

    fn finish(self) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n\
             <style>text{{font-size:12px;fill:#333}}.t{{font-size:15px;font-weight:bold}}\
             .s{{font-size:11px;fill:#666}}.b{{font-weight:bold}}\
             .n{{font-weight:bold;stroke:#fff;stroke-width:4;paint-order:stroke}}.g{{stroke:#ddd}}.a{{stroke:#666}}\
             .q{{stroke:{GREY};stroke-dasharray:4 3}}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{}</svg>\n",
            self.body
        )
    }
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let share = (value / self.least).log10() / (self.most / self.least).log10();
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// The whole decades on it.
    fn decades(&self) -> Vec<f64> {
        let first = self.least.log10().round() as i32;
        let last = self.most.log10().round() as i32;
        (first..=last).map(|decade| 10f64.powi(decade)).collect()
    }

    /// One that shows all of `values` in whole decades.
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for value in values.filter(|&value| value > 0.0) {
            least = least.min(value);
            most = most.max(value);
        }
        if most == 0.0 {
            (least, most) = (1.0, 10.0);
        }
        let mut least = 10f64.powf((least.log10() + 1e-9).floor());
        let most = 10f64.powf((most.log10() - 1e-9).ceil());
        if least >= most {
            least = most / 10.0;
        }
        Scale { least, most, from, to }
    }
}

impl Chart<'_> {
    fn draw(&self, drawing: &mut Drawing, area: Area) {
        let (right, bottom) = (area.left + area.width, area.top + area.height);
        let all = || self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        let across = Scale::around(all().map(|(x, _)| x), area.left, right);
        let floor = self.floor.into_iter();
        let up = Scale::around(all().map(|(_, y)| y).chain(floor), bottom, area.top);
        drawing.text((area.left, area.top - 14.0), Anchor::Start, "t", self.title);
        for value in across.decades() {
            let x = across.at(value);
            drawing.line((x, area.top), (x, bottom), "g");
            drawing.text((x, bottom + 16.0), Anchor::Middle, "s", &self.labels[0](value));
        }
        for value in up.decades() {
            let y = up.at(value);
            drawing.line((area.left, y), (right, y), "g");
            drawing.text((area.left - 6.0, y + 4.0), Anchor::End, "s", &self.labels[1](value));
        }
        drawing.line((area.left, bottom), (right, bottom), "a");
        drawing.line((area.left, area.top), (area.left, bottom), "a");
        let middle = (area.left + area.width / 2.0, bottom + 34.0);
        drawing.text(middle, Anchor::Middle, "s", self.across);
        for curve in &self.curves {
            let place = |&(x, y): &(f64, f64)| (across.at(x), up.at(y));
            let points: Vec<_> =
                curve.points.iter().filter(|&&(x, y)| x > 0.0 && y > 0.0).map(place).collect();
            drawing.curve(&points, curve.colour, curve.dots);
        }
        let first = if self.names_below { bottom - 27.0 } else { area.top + 16.0 };
        for (number, curve) in self.curves.iter().enumerate() {
            let y = first + 17.0 * number as f64;
            drawing.name((right - 8.0, y), curve.name, curve.colour);
        }
    }
}

/// Four small charts: what each advert, router and failover costs, over the number of routers.
fn growth(report: &Report) -> String {
    let mut drawing = Drawing::new(940.0, 720.0);
    let plain: fn(f64) -> String = |value| match value {
        small if small < 1.0 => format!("{small}"),
        value => thousands(value as usize),
    };
    let charts: [(&str, Measure, bool); 4] = [
        ("CPU a sent advert, µs", SENT_CPU, false),
        ("CPU a received advert, µs", RECEIVED_CPU, false),
        ("failover: first deadline → last address, ms", FIRST_TO_LAST, true),
        ("memory, MB", RSS_A, true),
    ];
    for (number, (title, measure, names_below)) in charts.into_iter().enumerate() {
        let curve = |name, colour, values: fn(&Figure) -> &[f64]| {
            let mut points: Vec<(f64, f64)> = report
                .sections
                .iter()
                .filter_map(|section| {
                    let value = median(values(section.figure(measure)?))?;
                    Some((section.growth? as f64, value))
                })
                .collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            Curve { name, colour, points, dots: true }
        };
        let mut curves = vec![curve("viprd", OURS, |figure| &figure.viprd)];
        if report.peer {
            curves.push(curve("keepalived", THEIRS, |figure| &figure.peer));
        }
        let chart = Chart {
            title,
            across: "routers",
            labels: [plain, plain],
            curves,
            floor: None,
            names_below,
        };
        let area = Area {
            left: 70.0 + 465.0 * (number % 2) as f64,
            top: 45.0 + 355.0 * (number / 2) as f64,
            width: 380.0,
            height: 255.0,
        };
        chart.draw(&mut drawing, area);
    }
    drawing.finish()
}

/// Which share of intervals is off by more than so much: the further down and left, the better.
fn intervals(section: &Section) -> String {
    let mut drawing = Drawing::new(720.0, 440.0);
    let names = [("viprd", OURS), ("keepalived", THEIRS)];
    let before = [("viprd before", BEFORE[0]), ("keepalived before", BEFORE[1])];
    let before = section.before.iter().zip(before);
    let all = before.chain(section.intervals.iter().zip(names));
    let curves = all.filter_map(|(histogram, (name, colour))| {
        let tail = histogram.as_ref()?.tail();
        // From the last bin with everything above it to the first with nothing above it.
        let first = tail.iter().rposition(|&(_, share)| share >= 1.0).unwrap_or(0);
        let last = tail.iter().position(|&(_, share)| share <= 0.0).unwrap_or(tail.len());
        let mut points = tail.get(first..last).unwrap_or_default().to_vec();
        if let Some(&(edge, _)) = tail.get(last) {
            points.push((edge, LEAST_SHARE));
        }
        Some(Curve { name, colour, points, dots: false })
    });
    let curves: Vec<_> = curves.collect();
    let chart = Chart {
        title: "Share of intervals that are off by more than …",
        across: "distance from the nominal interval",
        labels: [span, share],
        curves,
        floor: Some(LEAST_SHARE),
        names_below: false,
    };
    chart.draw(&mut drawing, Area { left: 80.0, top: 50.0, width: 610.0, height: 330.0 });
    drawing.text((80.0, 432.0), Anchor::Start, "s", &section.title);
    drawing.finish()
}

/// The smallest share shown.
const LEAST_SHARE: f64 = 1e-6;

/// A bar for each promised ratio, if there is any.
pub(crate) fn ratios(report: &Report) -> Option<String> {
    if !report.peer {
        return None;
    }
    let rows: Vec<(String, f64, f64)> = report
        .promises()
        .filter_map(|promise| {
            let Goal::Times(goal) = promise.goal else { return None };
            let ratio = promise.figure.ratio()?;
            let title = promise.section.short();
            let name = promise.figure.measure.name;
            tells(promise.figure).then(|| (format!("{title}: {name}"), ratio, goal))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    const LEFT: f64 = 450.0;
    let height = 86.0 + 30.0 * rows.len() as f64;
    let mut drawing = Drawing::new(940.0, height);
    let bottom = height - 30.0;
    let values = rows.iter().flat_map(|&(_, ratio, goal)| [ratio, goal, 1.0, 10.0]);
    let scale = Scale::around(values, LEFT, 890.0);
    drawing.text((20.0, 26.0), Anchor::Start, "t", "How many times better than keepalived");
    drawing.text((20.0, 44.0), Anchor::Start, "s", "bar: measured; dashed: asked for; 1: equal");
    for value in scale.decades().iter().flat_map(|decade| [1.0, 2.0, 5.0].map(|m| m * decade)) {
        if value <= scale.most {
            let x = scale.at(value);
            drawing.line((x, 54.0), (x, bottom), if value == 1.0 { "a" } else { "g" });
            drawing.text((x, bottom + 16.0), Anchor::Middle, "s", &format!("{value}×"));
        }
    }
    for (row, (name, ratio, goal)) in rows.iter().enumerate() {
        let y = 60.0 + 30.0 * row as f64;
        let (from, to) = (scale.at(1.0), scale.at(*ratio));
        let colour = if ratio >= goal { OURS } else { THEIRS };
        drawing.text((LEFT - 8.0, y + 15.0), Anchor::End, "", name);
        drawing.bar((from.min(to), y), ((to - from).abs().max(2.0), 20.0), colour);
        drawing.line((scale.at(*goal), y - 3.0), (scale.at(*goal), y + 23.0), "q");
        drawing.text(
            (to.max(from) + 5.0, y + 15.0),
            Anchor::Start,
            "b",
            &format!("{}×", number(*ratio)),
        );
    }
    Some(drawing.finish())
}

/// Microseconds, for people.
fn span(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", us / 1e6),
        us if us >= 1e3 => format!("{} ms", us / 1e3),
        us => format!("{} µs", (us * 10.0).round() / 10.0),
    }
}

fn share(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        percent if percent >= 1.0 => format!("{percent:.0} %"),
        percent => format!("{} %", (percent * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_show_whole_decades() {
        let scale = Scale::around([3.0, 40.0, 0.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.decades(), [1.0, 10.0, 100.0]);
        assert_eq!((scale.at(1.0), scale.at(10.0), scale.at(100.0)), (0.0, 50.0, 100.0));
        assert_eq!(scale.at(1e9), 100.0);
        assert_eq!(Scale::around([10.0].into_iter(), 0.0, 1.0).decades(), [1.0, 10.0]);
        assert_eq!(Scale::around([].into_iter(), 0.0, 1.0).decades(), [1.0, 10.0]);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([span(0.1), span(1000.0), span(1e6)], ["0.1 µs", "1 ms", "1 s"]);
        assert_eq!([share(1.0), share(0.001), share(1e-6)], ["100 %", "0.1 %", "0.0001 %"]);
    }
}
