//! `viprctl check`: reads a configuration as viprd would, without one.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use viprd::config::{self, Loaded, Options, OsFiles};

use crate::args::Check;
use crate::connection::Failure;

/// Tells what is found in the file; gives the exit code of `viprd -t`.
///
/// # Errors
/// If that can't be written.
pub(crate) fn check(
    out: &mut impl Write,
    check: &Check,
    json: bool,
    colours: bool,
) -> Result<u8, Failure> {
    let file = check.file.clone().unwrap_or_else(config::default_file);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let options = Options {
        include_check: check.all_config,
        ..Options::of_host(check.config_id.clone(), clock.as_nanos() as u64)
    };
    let Loaded { configuration, diagnostics, .. } = config::load(&file, &OsFiles, &options);
    if json {
        writeln!(out, "{}", diagnostics.json())?;
        return Ok(diagnostics.exit_code());
    }
    out.write_all(diagnostics.rich(colours).as_bytes())?;
    let routers = match configuration.map(|configuration| configuration.routers.len()) {
        None => "can't be run".to_owned(),
        Some(1) => "1 virtual router".to_owned(),
        Some(routers) => format!("{routers} virtual routers"),
    };
    let found = match diagnostics.summary() {
        nothing if nothing.is_empty() => "in order".to_owned(),
        found => found,
    };
    writeln!(out, "{}: {routers}; {found}", file.display())?;
    Ok(diagnostics.exit_code())
}
