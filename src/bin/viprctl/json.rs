//! Answers as JSON, written while they come.

use std::io::Write;

use serde::Serialize;
use viprd::control::{Record, VersionRecord};

use crate::connection::{Answer, Failure};

/// Versions of both sides.
#[derive(Serialize)]
struct Versions<'a> {
    viprctl: &'a str,
    viprd: VersionRecord,
}

/// One value, pretty, with its newline.
pub(crate) fn write(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    pretty(out, value, "")?;
    Ok(writeln!(out)?)
}

/// The records of `answer` as one array.
pub(crate) fn array(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    let mut records = 0;
    for record in answer {
        let record = record?; // before anything is written: a refusal leaves no half array
        write!(out, "{}\n  ", if records == 0 { "[" } else { "," })?;
        bare(out, &record, "  ")?;
        records += 1;
    }
    Ok(writeln!(out, "{}", if records == 0 { "[]" } else { "\n]" })?)
}

/// The one record of `answer`.
pub(crate) fn one(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    let mut found = None;
    for record in answer {
        found = Some(record?);
    }
    bare(out, &found.ok_or_else(Failure::unexpected)?, "")?;
    Ok(writeln!(out)?)
}

/// `{"routers":[…],"daemon":{…}}`.
pub(crate) fn stats(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    const OPENING: &str = "{\n  \"routers\": [";
    let mut routers = 0;
    let mut complete = false;
    for record in answer {
        match record? {
            record @ Record::Stats(_) => {
                let before = if routers == 0 { OPENING } else { "," };
                write!(out, "{before}\n    ")?;
                bare(out, &record, "    ")?;
                routers += 1;
            }
            record @ Record::Daemon(_) => {
                let before = if routers == 0 { OPENING } else { "\n  " };
                write!(out, "{before}],\n  \"daemon\": ")?;
                bare(out, &record, "  ")?;
                complete = true;
            }
            _ => return Err(Failure::unexpected()),
        }
    }
    if !complete {
        return Err(Failure::unexpected());
    }
    Ok(writeln!(out, "\n}}")?)
}

/// `{"viprctl":"…","viprd":{…}}`.
pub(crate) fn version(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    let mut found = None;
    for record in answer {
        match record? {
            Record::Version(version) => found = Some(version),
            _ => return Err(Failure::unexpected()),
        }
    }
    let viprd = found.ok_or_else(Failure::unexpected)?;
    write(out, &Versions { viprctl: env!("CARGO_PKG_VERSION"), viprd })
}

/// A record without the key that says what it is: whoever asked knows.
fn bare(out: &mut impl Write, record: &Record, indent: &str) -> Result<(), Failure> {
    match record {
        Record::Status(status) => pretty(out, status, indent),
        Record::Show(show) => pretty(out, show, indent),
        Record::Explain(explain) => pretty(out, explain, indent),
        Record::Stats(stats) => pretty(out, stats, indent),
        Record::Daemon(daemon) => pretty(out, daemon, indent),
        Record::Latency(latency) => pretty(out, latency, indent),
        Record::Version(version) => pretty(out, version, indent),
        Record::Reload(outcome) => pretty(out, outcome, indent),
        Record::Error(error) => pretty(out, error, indent),
        Record::End(end) => pretty(out, end, indent),
    }
}

/// Pretty JSON whose lines after the first begin with `indent`.
fn pretty(out: &mut impl Write, value: &impl Serialize, indent: &str) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::Strange(error.to_string()))?;
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            write!(out, "\n{indent}")?;
        }
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}
