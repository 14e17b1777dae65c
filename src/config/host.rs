//! What a file is read with on this host: the same for `viprd`, for its `-t` and for
//! `viprctl check`, so that what is checked is what will run.

use std::path::{Path, PathBuf};

use super::{Limits, Options};

/// Where the configuration is looked for, in this order.
pub(super) const FILES: [&str; 2] = ["/etc/viprd/viprd.conf", "/etc/keepalived/keepalived.conf"];

/// Whom keepalived runs scripts as that name nobody, where the host has such a user.
const SCRIPT_USER: &str = "keepalived_script";

/// The file that is read if the command line names none: the first of
/// `/etc/viprd/viprd.conf` and `/etc/keepalived/keepalived.conf` that exists, else the former.
pub fn default_file() -> PathBuf {
    let existing = FILES.iter().find(|file| Path::new(file).exists());
    existing.unwrap_or(&FILES[0]).into()
}

/// Whether that is the file that is read if neither exists.
pub(super) fn is_default(path: &Path) -> bool {
    path == Path::new(FILES[0])
}

impl Options {
    /// With this host's environment, users and short name; `config_id` is what `-i` gives in place
    /// of the name, and `random_seed` what `${_RANDOM}` begins with.
    pub fn of_host(config_id: Option<String>, random_seed: u64) -> Self {
        Options {
            config_id: config_id.unwrap_or_else(short_host_name),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            random_seed,
            include_check: false,
            script_user: script_user(),
            limits: Limits::default(),
        }
    }
}

fn script_user() -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let exists = users.lines().any(|line| line.split(':').next() == Some(SCRIPT_USER));
    exists.then(|| SCRIPT_USER.to_owned())
}

/// The host's name up to the first dot; empty if the system does not tell.
fn short_host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().split('.').next().unwrap_or_default().to_owned()
}
