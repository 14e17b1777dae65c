//! **The matrix**: rows of cells, and why a row is red.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::daemon::Program;
use crate::table::Table;

use super::play::Step;

/// Everything that was played.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether every row is green.
    pub(crate) holds: bool,
    /// How long it took.
    pub(crate) took_s: f64,
    /// The rows.
    pub(crate) rows: Vec<RowReport>,
}

/// What came of a row.
#[derive(Debug, Serialize)]
pub(crate) struct RowReport {
    /// The daemon beside viprd.
    pub(crate) peer: Program,
    /// The name of its case.
    pub(crate) case: &'static str,
    /// What that is, for people.
    pub(crate) title: String,
    /// The daemon that has the higher priority.
    pub(crate) preferred: Program,
    /// Whether all of it went as it should; also if it is impossible.
    pub(crate) holds: bool,
    /// Why it can't be played with the peer that is there, if it can't.
    pub(crate) impossible: Option<String>,
    /// The steps that did.
    pub(crate) steps: Vec<Cell>,
    /// What did not.
    pub(crate) trouble: Option<Trouble>,
    /// What is peculiar to the peer, and not wrong.
    pub(crate) notes: Vec<&'static str>,
    /// All that the preferred router has logged.
    pub(crate) preferred_log: Vec<String>,
    /// And the other one.
    pub(crate) other_log: Vec<String>,
}

/// A step that went as it should.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cell {
    /// The step's name.
    pub(crate) step: &'static str,
    /// Milliseconds from the event to the first advert of the right master.
    pub(crate) ms: f64,
}

/// Why a row is red.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Trouble {
    /// At which step.
    pub(crate) step: &'static str,
    /// What is wrong, in words.
    pub(crate) why: String,
}

/// How many lines of each log are told when a row is red.
const LAST_WORDS: usize = 8;

/// What stands in a cell that is red.
const RED: &str = "RED";

/// What stands in a cell that was not reached.
const NOT_REACHED: &str = "–";

impl RowReport {
    /// The text of the cell of a step.
    fn cell(&self, step: Step) -> String {
        let name = step.name();
        match self.steps.iter().find(|cell| cell.step == name) {
            Some(cell) => format!("{:.2} s", cell.ms / 1e3),
            None if self.trouble.as_ref().is_some_and(|trouble| trouble.step == name) => RED.into(),
            None => NOT_REACHED.into(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [s1, s2, s3, s4, s5, s6, s7] = Step::ALL.map(Step::name);
        let mut table =
            Table::new(["peer", "case", "preferred", s1, s2, s3, s4, s5, s6, s7, "verdict"]);
        for row in &self.rows {
            let cells = Step::ALL.map(|step| row.cell(step));
            let [c1, c2, c3, c4, c5, c6, c7] = cells.each_ref().map(String::as_str);
            let verdict = match (&row.impossible, row.holds) {
                (Some(_), _) => "not here",
                (None, true) => "green",
                (None, false) => RED,
            };
            let (peer, preferred) = (row.peer.name(), row.preferred.name());
            table.row([peer, row.case, preferred, c1, c2, c3, c4, c5, c6, c7, verdict]);
        }
        write!(f, "{table}")?;
        writeln!(f, "\nFrom each event to the first advert of the router that has to be master.")?;
        let notes: BTreeSet<&str> = self.rows.iter().flat_map(|row| row.notes.clone()).collect();
        for note in notes {
            writeln!(f, "{note}.")?;
        }
        let not_here: BTreeSet<(&str, &str)> = self
            .rows
            .iter()
            .filter_map(|row| Some((row.case, row.impossible.as_deref()?)))
            .collect();
        for (case, why) in not_here {
            writeln!(f, "{case} could not be played: {why}.")?;
        }
        for row in &self.rows {
            let Some(trouble) = &row.trouble else { continue };
            let (peer, preferred) = (row.peer.name(), row.preferred.name());
            let other = if row.preferred == row.peer { Program::Viprd } else { row.peer };
            writeln!(
                f,
                "\n{peer} {} ({}), {preferred} preferred, {}: {}",
                row.case, row.title, trouble.step, trouble.why
            )?;
            for (name, log) in [(preferred, &row.preferred_log), (other.name(), &row.other_log)] {
                for line in &log[log.len().saturating_sub(LAST_WORDS)..] {
                    writeln!(f, "    {name}: {line}")?;
                }
            }
        }
        let all = self.rows.iter().filter(|row| row.impossible.is_none()).count();
        let red = self.rows.iter().filter(|row| !row.holds).count();
        match red {
            0 => writeln!(
                f,
                "\nAll {all} rows that could be played are green; it took {:.0} s.",
                self.took_s
            ),
            _ => writeln!(f, "\n{red} of {all} rows are RED; it took {:.0} s.", self.took_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(trouble: Option<Trouble>) -> RowReport {
        RowReport {
            peer: Program::Frr,
            case: "v3",
            title: "VRRPv3, IPv4".into(),
            preferred: Program::Frr,
            holds: trouble.is_none(),
            impossible: None,
            steps: vec![Cell { step: "start", ms: 712.4 }],
            trouble,
            notes: vec!["it has a way of its own"],
            preferred_log: vec![],
            other_log: vec!["a last word".into(); 2 * LAST_WORDS],
        }
    }

    #[test]
    fn a_red_row_says_where_and_why() {
        let trouble = Trouble { step: "stop", why: "viprd sends no adverts".into() };
        let report =
            Report { holds: false, took_s: 4.0, rows: vec![row(None), row(Some(trouble))] };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        let words: Vec<&str> = lines[3].split_whitespace().collect();
        let expected = ["FRR", "v3", "FRR", "0.71", "s", "RED", "–", "–", "–", "–", "–", "RED"];
        assert_eq!(words, expected);
        assert!(lines[2].ends_with("green"), "{text}");
        let why = "FRR v3 (VRRPv3, IPv4), FRR preferred, stop: viprd sends no adverts";
        assert!(lines.contains(&why), "{text}");
        let last_words = lines.iter().filter(|line| **line == "    viprd: a last word");
        assert_eq!(last_words.count(), LAST_WORDS, "{text}");
        let notes = lines.iter().filter(|line| **line == "it has a way of its own.");
        assert_eq!(notes.count(), 1, "{text}");
        assert_eq!(lines.last(), Some(&"1 of 2 rows are RED; it took 4 s."));
    }
}
