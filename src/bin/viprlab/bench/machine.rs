//! **Where it was measured**: without that a figure is worth nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde::Serialize;

use crate::daemon::Programs;

/// Machine, kernel and programs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// How many of them.
    pub(crate) processors: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// What viprd says of itself.
    pub(crate) viprd: String,
    /// What the peer says of itself.
    pub(crate) peer: Option<String>,
    /// When the run began (UTC).
    pub(crate) begun: String,
    /// The average load then: others that use the machine spoil every figure.
    pub(crate) load: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn look(programs: &Programs, peer: bool) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let lines: Vec<(&str, &str)> =
            cpuinfo.lines().filter_map(|line| line.split_once(':')).collect();
        let named = |key: &str| lines.iter().filter(|(name, _)| name.trim() == key).collect();
        let models: Vec<_> = named("model name");
        let processor = models.first().map_or("unknown", |(_, name)| name.trim());
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Machine {
            processor: processor.into(),
            processors: named("processor").len(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .into(),
            viprd: version(&programs.viprd),
            peer: peer.then(|| version(&programs.keepalived)),
            begun: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            load: load.split(' ').next().unwrap_or_default().into(),
        }
    }
}

/// The first line that a program says about its version.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().unwrap_or("unknown").trim().into()
}
