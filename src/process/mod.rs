//! **Other programs**, pure: when one is to be started or ended, and what comes of it.
//!
//! [`Check`] is one periodic script: its interval, its timeout, rise and fall. [`Queue`] keeps
//! notifications in order for each subject and within a budget. [`Excerpt`] keeps what a program
//! writes within bounds, [`Backlog`] the lines that a named pipe does not take yet. [`Census`] counts
//! the host's processes, [`Quorum`] judges how many there are. What starts programs is `io::spawn`; the
//! daemon brings the two together.

mod backlog;
mod census;
mod check;
mod excerpt;
mod queue;
mod quorum;

pub use backlog::Backlog;
pub use census::{Census, Fit, Pattern, Process};
pub use check::{Check, CheckParams, Wish};
pub use excerpt::Excerpt;
pub use queue::Queue;
pub use quorum::{Quorum, QuorumParams};
