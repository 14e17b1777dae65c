//! **The protocol**, pure: a function of (state, now, input). No clock, no log, no system call, and
//! no allocation once it is configured.
//!
//! `params` says what one virtual router is configured to be and derives its times; `rules` is
//! RFC 9568 section 6.4 as one exhaustive match; `engine` runs all routers: lookup table, timer
//! wheel, tracking, counters.

pub mod params;

pub use params::{GarpParams, Preempt, RouterParams};
