//! **What came of a run**: tables for a terminal, a page for the project, JSON for programs.

use std::fmt::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::daemon::Program;
use crate::table::Table;

use super::jobs::{Goal, Job};
use super::machine::Machine;
use super::measure::{Better, Figure, Histogram, Measure, collect, median};
use super::picture;
use super::play::Outcome;

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where and when.
    pub(crate) machine: Machine,
    /// How long it took, in seconds.
    pub(crate) took_s: f64,
    /// Whether keepalived was measured as well.
    pub(crate) peer: bool,
    /// One for each job.
    pub(crate) sections: Vec<Section>,
}

/// What came of a job.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// Its heading.
    pub(crate) title: String,
    /// A word for its pictures.
    pub(crate) slug: String,
    /// How often each daemon played.
    pub(crate) repetitions: usize,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// How far what was promised is kept.
    #[serde(skip)]
    goals: Vec<(Measure, Goal)>,
    /// The options that repeat it, each line a run.
    options: String,
    /// What is worth telling beside the figures.
    pub(crate) remarks: Vec<String>,
    /// What went wrong or may have.
    pub(crate) doubts: Vec<String>,
    /// Interval errors in microseconds: viprd's and the peer's.
    pub(crate) intervals: [Option<Histogram>; 2],
    /// The same before what was looked at began.
    pub(crate) before: [Option<Histogram>; 2],
    /// The number of routers, if it is a point of the growth pictures.
    pub(crate) growth: Option<usize>,
}

/// A promise, and what became of it.
pub(crate) struct Promise<'a> {
    /// The section that it is about.
    pub(crate) section: &'a Section,
    /// The figure.
    pub(crate) figure: &'a Figure,
    /// What was promised.
    pub(crate) goal: Goal,
    /// Whether it is kept; none if that was not measured.
    pub(crate) kept: Option<bool>,
}

impl Section {
    /// An empty one for a job.
    pub(crate) fn of(job: &Job) -> Self {
        Section {
            title: job.title.clone(),
            slug: job.slug.clone(),
            repetitions: job.repetitions,
            figures: vec![],
            goals: job.goals.clone(),
            options: job.options.clone(),
            remarks: vec![],
            doubts: vec![],
            intervals: [None, None],
            before: [None, None],
            growth: job.growth,
        }
    }

    /// Adds what a play brought.
    pub(crate) fn add(&mut self, program: Program, outcome: Outcome) {
        let ours = program == Program::Viprd;
        collect(&mut self.figures, outcome.sheet, ours);
        self.doubts
            .extend(outcome.doubts.iter().map(|doubt| format!("{}: {doubt}", program.name())));
        let found = [(outcome.histogram, &mut self.intervals), (outcome.before, &mut self.before)];
        for (histogram, places) in found {
            if let Some(histogram) = histogram {
                let place = &mut places[usize::from(!ours)];
                place.get_or_insert_with(Histogram::new).merge(&histogram);
            }
        }
    }

    /// How many routers and how often, without what was done.
    pub(crate) fn short(&self) -> &str {
        self.title.split(": ").next().unwrap_or_default()
    }

    /// The figure of a measure.
    pub(crate) fn figure(&self, measure: Measure) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.measure == measure)
    }

    /// What was promised of its figures.
    pub(crate) fn promises(&self) -> impl Iterator<Item = Promise<'_>> {
        self.goals.iter().filter_map(|&(measure, goal)| {
            let figure = self.figure(measure)?;
            let kept = match goal {
                Goal::Times(times) => figure.ratio().map(|ratio| ratio >= times),
                Goal::AtMost(most) => median(&figure.viprd).map(|value| value.abs() <= most),
            };
            Some(Promise { section: self, figure, goal, kept })
        })
    }

    /// Adds a remark about what was promised: how much of it is kept, and what is not.
    pub(crate) fn tell_promises(&mut self) {
        let kept = self.promises().filter(|promise| promise.kept == Some(true)).count();
        let missed = self.promises().filter(|promise| promise.kept == Some(false));
        let missed: Vec<String> = missed
            .map(|it| format!("; missed ({}): {}", asked(it.goal), name(it.figure.measure)))
            .collect();
        let all = self.goals.len();
        let most = self.goals.first().map_or(String::new(), |&(_, goal)| asked(goal));
        let remark = format!("{kept} of {all} medians of viprd as promised ({most})");
        self.remarks.push(remark + &missed.concat());
    }

    fn rows(&self) -> impl Iterator<Item = [String; 4]> {
        self.figures.iter().map(|figure| {
            [
                name(figure.measure),
                values(&figure.viprd),
                values(&figure.peer),
                ratio(figure).unwrap_or_default(),
            ]
        })
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([&self.title, "viprd", "keepalived", "better by"]);
        for row in self.rows() {
            table.row([&row[0], &row[1], &row[2], &row[3]]);
        }
        write!(f, "{table}")?;
        for remark in &self.remarks {
            writeln!(f, "  {remark}")?;
        }
        for doubt in &self.doubts {
            writeln!(f, "  ! {doubt}")?;
        }
        Ok(())
    }
}

impl Report {
    /// All promises of the run.
    pub(crate) fn promises(&self) -> impl Iterator<Item = Promise<'_>> {
        self.sections.iter().flat_map(Section::promises)
    }

    /// The page: figures with how to get them again, to be written to `page`. The pictures are in
    /// the directory `pictures`, if anywhere.
    pub(crate) fn markdown(&self, page: &Path, pictures: Option<&Path>) -> String {
        // Links are relative to the page where that is possible.
        let beside = page.parent().unwrap_or(Path::new(""));
        let pictures = pictures.map(|pictures| pictures.strip_prefix(beside).unwrap_or(pictures));
        let pictures = pictures.map(|pictures| pictures.display().to_string());
        let pictures = pictures.as_deref();
        let mut page = String::from("# Benchmarks\n\n");
        let machine = &self.machine;
        let peer = machine.peer.as_deref().map_or(String::new(), |peer| format!("; {peer}"));
        let _ = writeln!(
            page,
            "Written by `viprlab bench`; do not edit. {} on {} × {}, Linux {}, load {} at the \
             beginning; {}{peer}. The run took {:.0} s.\n",
            machine.begun,
            machine.processors,
            machine.processor,
            machine.kernel,
            machine.load,
            machine.viprd,
            self.took_s,
        );
        page.push_str(HOW);
        let promises: Vec<_> = self.promises().collect();
        if !promises.is_empty() {
            page.push_str("\n## At a glance\n\n");
            if let Some(directory) = pictures
                && picture::ratios(self).is_some()
            {
                let _ = writeln!(page, "![how many times better]({directory}/ratios.svg)\n");
            }
            page.push_str("| what | viprd | keepalived | better by | asked for | |\n");
            page.push_str("|---|--:|--:|--:|--:|---|\n");
            for promise in promises {
                let figure = promise.figure;
                let kept = match promise.kept {
                    Some(true) => "kept",
                    Some(false) => "**missed**",
                    None => "not measured",
                };
                let _ = writeln!(
                    page,
                    "| {}: {} | {} | {} | {} | {} | {kept} |",
                    promise.section.short(),
                    name(figure.measure),
                    middle(&figure.viprd),
                    middle(&figure.peer),
                    ratio(figure).unwrap_or_default(),
                    asked(promise.goal),
                );
            }
        }
        if let Some(directory) = pictures
            && self.sections.iter().any(|section| section.growth.is_some())
        {
            let _ = write!(page, "\n## Growth\n\n![growth]({directory}/growth.svg)\n");
        }
        for section in &self.sections {
            section.markdown(&mut page, pictures);
        }
        page
    }
}

impl Section {
    fn markdown(&self, page: &mut String, pictures: Option<&str>) {
        let _ = writeln!(page, "\n## {}\n", first_up(&self.title));
        for options in self.options.lines() {
            let _ = writeln!(page, "    viprlab bench {options}");
        }
        if let Some(directory) = pictures
            && let Some(picture) = picture::of_intervals(self)
        {
            let _ = writeln!(page, "\n![interval errors]({directory}/{picture})");
        }
        if !self.figures.is_empty() {
            page.push_str("\n| | viprd | keepalived | better by |\n|---|--:|--:|--:|\n");
            for row in self.rows() {
                let _ = writeln!(page, "| {} |", row.join(" | "));
            }
        }
        if !self.remarks.is_empty() || !self.doubts.is_empty() {
            page.push('\n');
        }
        for remark in &self.remarks {
            let _ = writeln!(page, "* {remark}");
        }
        for doubt in &self.doubts {
            let _ = writeln!(page, "* **doubtful:** {doubt}");
        }
    }
}

/// How it is measured, for the reader of the page.
const HOW: &str = "\
Two network namespaces, joined by veth pairs of 250 routers each; host A (priority 200) on the first \
processor, host B (100) on the second, the same daemon on both, the two daemons in turn, the same \
configuration files for both. VRRPv2 at whole seconds, v3 below. Each cell is the median of the \
repetitions, with the least and the most in brackets; `better by` is the quotient of the medians, 4 \
meaning a quarter of the time, or four times the routers. Processor time is what the kernel charges \
the daemon's processes with: on veth that includes, on the sender's side, the delivery to the \
receiver. Times on the wire are the kernel's own, taken on receipt. \
The machine is shared and virtual: differences below 15 % mean nothing, and only ratios within one \
run do.

In *most routers*, viprd keeps up if at least 99.9 % of the adverts that are due leave; keepalived is \
granted 90 %, since it counts each interval from the moment it got to it and so loses 2 to 9 % even \
when half of the processor is idle. No address may move in either.

FRR is not measured. Its vrrpd can't do the same work: it wants a macvlan for each router on both hosts, \
and the kernel then clones each advert for each of them. Where it was tried (8.4.4, VRRPv3, 1 s) the \
backup used 35 % of a core with 255 routers, and 1,000 never settled.
";

fn name(measure: Measure) -> String {
    match measure.unit {
        "" => measure.name.into(),
        unit => format!("{}, {unit}", measure.name),
    }
}

/// The median, and the spread of several.
fn values(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => "–".into(),
        1 => number(values[0]),
        _ => format!("{} ({}–{})", middle(values), number(least), number(most)),
    }
}

fn middle(values: &[f64]) -> String {
    median(values).map_or("–".into(), number)
}

fn ratio(figure: &Figure) -> Option<String> {
    figure.ratio().map(|ratio| format!("{}×", number(ratio)))
}

fn asked(goal: Goal) -> String {
    match goal {
        Goal::Times(times) => format!("{}×", number(times)),
        Goal::AtMost(most) => format!("≤ {}", number(most)),
    }
}

/// Three significant digits, but whole numbers as they are.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        whole if whole == whole.trunc() => 0,
        size if size >= 99.95 => {
            usize::from(size < 100.5 && size != 100.0) + usize::from(size < 100.0)
        }
        size if size >= 9.995 => 1,
        size if size >= 0.0995 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn first_up(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// Whether a row says something that a reader looks for: a ratio.
pub(crate) fn tells(figure: &Figure) -> bool {
    figure.measure.better != Better::Told && figure.ratio().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::jobs::{Effort, Job, all};
    use crate::bench::measure::{DRIFT, SENT_CPU};

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (2000.0, "2000"),
            (0.01234, "0.012"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (99.97, "99.97"),
            (123.4, "123"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(values(&[3.0, 1.0, 2.0]), "2 (1–3)");
        assert_eq!(values(&[]), "–");
    }

    #[test]
    fn promises_are_judged() {
        let job = Job {
            goals: vec![(SENT_CPU, Goal::Times(4.0)), (DRIFT, Goal::AtMost(1.0))],
            ..all(Effort::Quick).remove(0)
        };
        let mut section = Section::of(&job);
        let sheet = |cpu, drift| vec![(SENT_CPU, cpu), (DRIFT, drift)];
        let outcome = |cpu, drift| Outcome { sheet: sheet(cpu, drift), ..Outcome::default() };
        section.add(Program::Viprd, outcome(5.0, -3.0));
        section.add(Program::Keepalived, outcome(20.0, 70.0));
        let kept: Vec<_> =
            section.promises().map(|promise| (promise.figure.measure, promise.kept)).collect();
        assert_eq!(kept, [(SENT_CPU, Some(true)), (DRIFT, Some(false))]);
        let mut page = String::new();
        section.markdown(&mut page, None);
        assert!(page.contains("| A: CPU a sent advert, µs | 5 | 20 | 4× |"), "{page}");
        assert!(page.contains("    viprlab bench --case start --routers 4000 --interval 1000\n"));
    }
}
