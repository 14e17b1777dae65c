//! **The protocol**, pure: a function of (state, now, input). No clock, no log, no system call, and
//! no allocation once it is configured.
//!
//! `params` says what one virtual router is configured to be and derives its times; `rules` is
//! RFC 9568 section 6.4 as one exhaustive match; `engine` runs all routers over `wheel` (timers) and
//! `links` (who hears what, who depends on what), and answers with the wishes of `action`; `change`
//! is what a reload may do to them, `conduct` what keepalived's switches choose, `latency` what the
//! engine knows of its own timeliness. `tracking` and `group` are what decides over a router besides
//! adverts.

mod action;
mod change;
mod conduct;
mod counters;
mod engine;
mod group;
mod latency;
mod links;
pub mod params;
mod router;
pub mod rules;
pub mod tracking;
pub mod wheel;

pub use action::{Action, AuthFailure, Cause, Notice, Preemption};
pub use change::{AddressChange, Change, Identity};
pub use conduct::Conduct;
pub use counters::{RouterCounters, UnattributedCounters};
pub use engine::{Engine, RouterView, TrackView};
pub use group::GroupView;
pub use latency::{Latency, Overdue};
pub use params::{Extras, GarpParams, Peer, Preempt, RouterParams, Transport, Unicast};
pub use router::{Active, Backup, Fault, Joining, NextGarp, State, StateName};
pub use tracking::{Influence, Outcome, Require, Source, Standing, Track, Tracked, Tracking};
