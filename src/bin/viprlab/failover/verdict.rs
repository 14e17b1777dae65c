//! **What came of a play**: the table "published / here" with a verdict for each line, for people
//! and as JSON.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::{ms, ms_between};
use crate::daemon::{LogLine, Program, State};
use crate::ping::Summary;
use crate::table::Table;
use crate::timeline::{Place, Timeline};

use super::{Cast, Setting};

/// By when after the first gratuitous ARP the client's entry must have followed. The second set
/// comes 5 s later, so whatever followed by then followed the first; the rest is patience with a
/// busy machine, since the change is seen only when a reader of it wakes.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(500);

/// From which pause of the pinger of each millisecond on a silence that is too long deserves a
/// remark: then it may be the pinger's.
const BUSY_MS: f64 = 3.0;

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether every line that counts holds.
    pub(crate) holds: bool,
    /// The rounds played.
    pub(crate) rounds: Vec<Round>,
}

/// One time through the play.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    /// Who played and with which configuration.
    pub(crate) title: String,
    /// The configuration.
    pub(crate) setting: Setting,
    /// Whether every line that counts holds, and nothing went wrong otherwise.
    pub(crate) holds: bool,
    /// What ended the play early or was wrong beside the lines.
    pub(crate) trouble: Option<String>,
    /// The two hosts.
    pub(crate) hosts: Hosts,
    /// HostA loses eth1.
    pub(crate) case_c: Option<Step>,
    /// HostA's eth1 is back.
    pub(crate) case_d: Option<Step>,
    /// HostB is stopped.
    pub(crate) b_stops: Option<Step>,
    /// The verdicts.
    pub(crate) lines: Vec<Line>,
    /// Everything in order.
    pub(crate) timeline: Timeline,
}

/// Both hosts.
#[derive(Debug, Serialize)]
pub(crate) struct Hosts {
    /// HostA.
    pub(crate) a: Host,
    /// HostB.
    pub(crate) b: Host,
}

/// What is known of a host.
#[derive(Debug, Serialize)]
pub(crate) struct Host {
    /// Who plays it.
    pub(crate) program: Program,
    /// The Ethernet address of its eth1.
    pub(crate) mac: String,
    /// The states it entered until the play was over (HostB: until it was stopped).
    pub(crate) states: Vec<Stamped<State>>,
    /// Its log.
    pub(crate) log: Vec<Stamped<String>>,
}

/// Something with its time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stamped<T> {
    /// Milliseconds since the start of the round.
    pub(crate) ms: f64,
    /// What.
    pub(crate) what: T,
}

/// What one step of the play brought.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// When it began, in milliseconds since the start: just before the link was set, or the
    /// daemon asked to stop.
    pub(crate) begun_ms: f64,
    /// Just after that.
    pub(crate) done_ms: f64,
    /// The pings of one a second that were sent during it.
    pub(crate) each_second: Pings,
    /// Those of one a millisecond.
    pub(crate) each_millisecond: Pings,
    /// Where the client believed the address to live before it.
    pub(crate) entry_before: Option<Place>,
    /// And at its end.
    pub(crate) entry_after: Option<Place>,
    /// When the entry changed last during it.
    pub(crate) entry_changed_ms: Option<f64>,
    /// When the first gratuitous ARP from where the entry then pointed was seen during it.
    pub(crate) first_garp_ms: Option<f64>,
    /// How many gratuitous ARPs were seen during it.
    pub(crate) garps: usize,
}

/// A [`Summary`] in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pings {
    /// Pings sent.
    pub(crate) sent: usize,
    /// Pings never answered.
    pub(crate) lost: usize,
    /// The longest time without an answer.
    pub(crate) silence_ms: f64,
    /// The slowest answer.
    pub(crate) slowest_ms: f64,
    /// The longest time between two pings, the pinger's own fault.
    pub(crate) pause_ms: f64,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    /// What is compared.
    pub(crate) what: String,
    /// What was published of keepalived 1.2.2.
    pub(crate) published: &'static str,
    /// What was measured.
    pub(crate) here: String,
    /// What must be reached.
    pub(crate) limit: String,
    /// Whether it is.
    pub(crate) holds: bool,
    /// Whether that decides: with a peer's daemon in play, its figures do not.
    pub(crate) counts: bool,
}

/// The lines of one round.
pub(crate) fn lines(
    cast: Cast,
    setting: &Setting,
    hosts: &Hosts,
    case_c: Option<&Step>,
    case_d: Option<&Step>,
    b_stops: Option<&Step>,
) -> Vec<Line> {
    let all_ours = cast.a == Program::Viprd && cast.b == Program::Viprd;
    let line = |what: &str, published, here, limit: &str, holds, counts| Line {
        what: what.into(),
        published,
        here,
        limit: limit.into(),
        holds,
        counts,
    };
    let unreached = || "not reached".to_owned();
    let published = |figure| if setting.as_published() { figure } else { "–" };
    let mut lines = Vec::new();

    let ours_leaves = cast.a == Program::Viprd;
    if !setting.is_fast() {
        let here = case_c.map_or_else(unreached, |step| {
            let (lost, silence) = (step.each_second.lost, step.each_millisecond.silence_ms);
            format!("{lost} (silence {silence:.1} ms)")
        });
        let holds = case_c.is_some_and(|step| step.each_second.lost <= 1);
        let what = "Case C: pings lost at 1 a second";
        lines.push(line(what, published("4"), here, "at most 1", holds, ours_leaves));
    }
    if let Some(limit) = setting.silence_limit_ms() {
        let here = case_c.map_or_else(unreached, |step| {
            let Pings { silence_ms, lost, pause_ms, .. } = step.each_millisecond;
            match silence_ms > limit && pause_ms > BUSY_MS {
                false => format!("{silence_ms:.1} ms ({lost} lost)"),
                true => format!("{silence_ms:.1} ms (pinger paused {pause_ms:.1} ms: busy?)"),
            }
        });
        let holds = case_c.is_some_and(|step| step.each_millisecond.silence_ms <= limit);
        let what = "Case C: silence, pinging every 1 ms";
        let limit = format!("at most {limit} ms");
        lines.push(line(what, "–", here, &limit, holds, ours_leaves));
    }
    let what = "Case C: the ARP entry follows to HostB";
    lines.push(entry_line(what, published("yes"), case_c, "HostA", "HostB"));

    let here = case_d.map_or_else(unreached, |step| {
        let (slow, fast) = (&step.each_second, &step.each_millisecond);
        format!("{} of {}, {} of {}", slow.lost, slow.sent, fast.lost, fast.sent)
    });
    let holds = case_d.is_some_and(|step| {
        step.each_second.lost + step.each_millisecond.lost == 0 && step.each_millisecond.sent > 0
    });
    let what = "Case D: pings lost at 1 a second, at 1 a ms";
    lines.push(line(what, published("0"), here, "0", holds, all_ours));
    let stayed = |step: &Step| {
        let on_b = step.entry_before.as_ref().is_some_and(|place| place.host == Some("HostB"));
        on_b && step.entry_after == step.entry_before
    };
    let here = case_d.map_or_else(unreached, |step| match stayed(step) {
        true => "unchanged".into(),
        false => told(step),
    });
    let holds = case_d.is_some_and(stayed);
    let what = "Case D: the ARP entry stays with HostB";
    lines.push(line(what, published("yes"), here, "unchanged", holds, true));

    let what = "HostB stops: the ARP entry follows to HostA";
    lines.push(entry_line(what, published("yes"), b_stops, "HostB", "HostA"));

    use State::{Backup, Fault, Master};
    for (host, what, expected) in [
        (&hosts.a, "HostA's states", &[Master, Fault, Backup, Master][..]),
        (&hosts.b, "HostB's states, until it stops", &[Master][..]),
    ] {
        let here: Vec<State> = host.states.iter().map(|state| state.what).collect();
        // A daemon may or may not say at start that it begins as BACKUP.
        let holds = without_beginning(&here) == expected;
        lines.push(line(
            what,
            published("the same"),
            arrows(&here),
            &arrows(expected),
            holds,
            true,
        ));
    }
    lines
}

impl Step {
    /// Puts down a step.
    pub(crate) fn pings(summary: &Summary) -> Pings {
        Pings {
            sent: summary.sent,
            lost: summary.lost.len(),
            silence_ms: ms(summary.silence),
            slowest_ms: ms(summary.slowest),
            pause_ms: ms(summary.pause),
        }
    }
}

impl Stamped<String> {
    /// A daemon's log, with times since `start`.
    pub(crate) fn log(lines: &[LogLine], start: Instant) -> Vec<Self> {
        let stamped =
            |line: &LogLine| Stamped { ms: ms_between(start, line.at), what: line.text.clone() };
        lines.iter().map(stamped).collect()
    }
}

impl Round {
    /// Whether nothing went wrong and every line that counts holds.
    pub(crate) fn verdict(trouble: Option<&str>, lines: &[Line]) -> bool {
        trouble.is_none() && lines.iter().all(|line| line.holds || !line.counts)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n         ms", self.title)?;
        writeln!(f, "{}", self.timeline)?;
        write!(f, "{}", table(&self.lines))?;
        if let Some(trouble) = &self.trouble {
            writeln!(f, "\nTrouble: {trouble}")?;
        }
        Ok(())
    }
}

/// A line about the ARP entry that shall move from one host to the other.
fn entry_line(
    what: &str,
    published: &'static str,
    step: Option<&Step>,
    from: &str,
    to: &str,
) -> Line {
    let moved = |step: &Step| {
        let is_at = |place: &Option<Place>, host: &str| {
            place.as_ref().is_some_and(|place| place.host == Some(host))
        };
        is_at(&step.entry_before, from) && is_at(&step.entry_after, to)
    };
    let delay = |step: &Step| Some(step.entry_changed_ms? - step.first_garp_ms?);
    let holds = step.is_some_and(|step| {
        moved(step) && delay(step).is_some_and(|delay| delay <= ms(FOLLOWS_WITHIN))
    });
    let here = match step {
        None => "not reached".into(),
        Some(step) => match delay(step) {
            Some(delay) if moved(step) && delay >= 0.0 => {
                format!("yes, {delay:.1} ms after the first GARP")
            }
            Some(_) if moved(step) => "yes, before the first GARP".into(),
            _ => told(step),
        },
    };
    let limit = "yes, within one GARP".into();
    Line { what: what.into(), published, here, limit, holds, counts: true }
}

/// Where the entry pointed before and after a step.
fn told(step: &Step) -> String {
    let name = |place: &Option<Place>| match place {
        Some(place) => place.host.map_or_else(|| place.mac.clone(), str::to_owned),
        None => "nowhere".into(),
    };
    format!("{}, then {}", name(&step.entry_before), name(&step.entry_after))
}

fn without_beginning(states: &[State]) -> &[State] {
    let beginning = |state: &&State| matches!(state, State::Init | State::Backup);
    &states[states.iter().take_while(beginning).count()..]
}

fn arrows(states: &[State]) -> String {
    let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
    names.join(" ")
}

fn table(lines: &[Line]) -> Table<5> {
    let mut table = Table::new(["", "published", "here", "to reach", "verdict"]);
    for line in lines {
        let verdict = match (line.holds, line.counts) {
            (true, true) => "holds",
            (false, true) => "MISSED",
            (true, false) => "holds (not counted)",
            (false, false) => "missed (not counted)",
        };
        table.row([&line.what, line.published, &line.here, &line.limit, verdict]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Cast = Cast { a: Program::Viprd, b: Program::Viprd };

    fn place(host: &'static str) -> Option<Place> {
        Some(Place { mac: "02:76:00:01:00:01".into(), host: Some(host) })
    }

    fn host(states: &[State]) -> Host {
        let states = states.iter().map(|&what| Stamped { ms: 0.0, what }).collect();
        Host { program: Program::Viprd, mac: String::new(), states, log: vec![] }
    }

    fn step(lost: usize, from: &'static str, to: &'static str) -> Step {
        let pings =
            |lost| Pings { sent: 100, lost, silence_ms: 12.5, slowest_ms: 0.1, pause_ms: 1.0 };
        let moves = from != to;
        Step {
            begun_ms: 100.0,
            done_ms: 100.2,
            each_second: pings(lost),
            each_millisecond: pings(lost),
            entry_before: place(from),
            entry_after: place(to),
            entry_changed_ms: moves.then_some(700.25),
            first_garp_ms: moves.then_some(700.0),
            garps: 5,
        }
    }

    /// The lines of a play in which all goes as it should, after `spoil` has been at it.
    fn played(
        cast: Cast,
        setting: Setting,
        spoil: impl FnOnce(&mut [Step; 3], &mut Hosts),
    ) -> Vec<Line> {
        use State::{Backup, Fault, Master};
        let mut steps =
            [step(1, "HostA", "HostB"), step(0, "HostB", "HostB"), step(1, "HostB", "HostA")];
        let mut hosts =
            Hosts { a: host(&[Backup, Master, Fault, Backup, Master]), b: host(&[Backup, Master]) };
        spoil(&mut steps, &mut hosts);
        let [c, d, stop] = &steps;
        lines(cast, &setting, &hosts, Some(c), Some(d), Some(stop))
    }

    fn missed(lines: &[Line]) -> Vec<&str> {
        let missed = lines.iter().filter(|line| !line.holds && line.counts);
        missed.map(|line| &*line.what).collect()
    }

    #[test]
    fn a_good_play_holds_every_line() {
        for setting in [Setting::published(), Setting::fast()] {
            let lines = played(OURS, setting, |_, _| {});
            assert_eq!((lines.len(), missed(&lines)), (7, vec![]));
            assert!(Round::verdict(None, &lines) && !Round::verdict(Some("fire"), &lines));
        }
    }

    #[test]
    fn each_fault_misses_its_own_line() {
        let missed_by = |setting, spoil: fn(&mut [Step; 3], &mut Hosts)| {
            missed(&played(OURS, setting, spoil)).join(", ")
        };
        let slow = missed_by(Setting::published(), |steps, _| steps[0].each_second.lost = 2);
        assert_eq!(slow, "Case C: pings lost at 1 a second");
        let silent =
            missed_by(Setting::fast(), |steps, _| steps[0].each_millisecond.silence_ms = 15.1);
        assert_eq!(silent, "Case C: silence, pinging every 1 ms");
        let lost = missed_by(Setting::published(), |steps, _| steps[1].each_millisecond.lost = 1);
        assert_eq!(lost, "Case D: pings lost at 1 a second, at 1 a ms");
        let late = missed_by(Setting::fast(), |steps, _| steps[0].entry_changed_ms = Some(1300.0));
        assert_eq!(late, "Case C: the ARP entry follows to HostB");
        let moved = missed_by(Setting::fast(), |steps, _| steps[1].entry_after = place("HostA"));
        assert_eq!(moved, "Case D: the ARP entry stays with HostB");
        let stuck = missed_by(Setting::fast(), |steps, _| steps[2].entry_after = place("HostB"));
        assert_eq!(stuck, "HostB stops: the ARP entry follows to HostA");
        let flaps = missed_by(Setting::published(), |_, hosts| {
            hosts.b.states.push(Stamped { ms: 1.0, what: State::Backup });
        });
        assert_eq!(flaps, "HostB's states, until it stops");
    }

    #[test]
    fn with_a_peer_its_own_figures_do_not_count() {
        let a = Cast { a: Program::Keepalived, b: Program::Viprd };
        let b = Cast { a: Program::Viprd, b: Program::Keepalived };
        let lose = |steps: &mut [Step; 3], _: &mut Hosts| steps[0].each_second.lost = 4;
        assert_eq!(missed(&played(a, Setting::published(), lose)), [""; 0]);
        let line = "Case C: pings lost at 1 a second";
        assert_eq!(missed(&played(b, Setting::published(), lose)), [line]);
        let lose = |steps: &mut [Step; 3], _: &mut Hosts| steps[1].each_second.lost = 4;
        assert_eq!(missed(&played(b, Setting::published(), lose)), [""; 0]);
    }

    #[test]
    fn what_was_not_reached_is_missed() {
        let hosts = Hosts { a: host(&[]), b: host(&[]) };
        let lines = lines(OURS, &Setting::published(), &hosts, None, None, None);
        assert!(lines.iter().all(|line| !line.holds && line.counts));
        assert_eq!(lines[0].here, "not reached");
    }
}
