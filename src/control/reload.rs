//! What came of a reload.

use serde::{Deserialize, Serialize};

/// What came of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRecord {
    /// Why nothing has changed; `None` if the new configuration runs.
    pub refused: Option<String>,
    /// Virtual routers that are new.
    pub added: u64,
    /// Virtual routers that are configured otherwise, and went on.
    pub altered: u64,
    /// Virtual routers that have left.
    pub removed: u64,
    /// Virtual routers that nothing has happened to.
    pub unchanged: u64,
    /// Settings that differ and hold only after a restart.
    pub needs_restart: Vec<String>,
    /// What was found in the configuration, each with its file, line and column.
    pub findings: Vec<String>,
}

impl ReloadRecord {
    /// A reload that was refused for that reason.
    pub fn refused(why: impl Into<String>) -> Self {
        ReloadRecord { refused: Some(why.into()), ..ReloadRecord::default() }
    }
}
