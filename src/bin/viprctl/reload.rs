//! What came of a reload.

use std::io::Write;

use viprd::control::{Record, ReloadRecord};

use crate::connection::{Answer, Failure};
use crate::json;

/// Writes the outcome: what was found in the configuration, then what has changed.
pub(crate) fn answer(out: &mut impl Write, answer: Answer<'_>, json: bool) -> Result<(), Failure> {
    let mut outcome = None;
    for record in answer {
        let Record::Reload(record) = record? else { return Err(Failure::unexpected()) };
        outcome = Some(record);
    }
    let outcome = outcome.ok_or_else(Failure::unexpected)?;
    if json {
        json::write(out, &outcome)?
    } else {
        text(out, &outcome)?
    }
    match outcome.refused {
        None => Ok(()),
        Some(why) => Err(Failure::NotReloaded(why)),
    }
}

fn text(out: &mut impl Write, outcome: &ReloadRecord) -> Result<(), Failure> {
    for finding in &outcome.findings {
        writeln!(out, "{}", finding.replace(char::is_control, "?"))?;
    }
    if !outcome.needs_restart.is_empty() {
        writeln!(out, "only after a restart: {}", outcome.needs_restart.join(", "))?;
    }
    if outcome.refused.is_none() {
        let ReloadRecord { added, altered, removed, unchanged, .. } = outcome;
        writeln!(
            out,
            "virtual routers: {added} added, {altered} altered, {removed} removed, \
             {unchanged} unchanged"
        )?;
    }
    Ok(())
}
