//! **Composition root**: boot order, the loop, completion → owner, wish → effect.
//!
//! ```text
//!   args ─► boot ─► run::Daemon ── one turn ──────────────────────────────────────────┐
//!                     io.turn ─► completions ─► engine.on_advert / host.on_… / clients │
//!                     host.next_fact ─► engine.on_link / on_addresses_set …            │
//!                     engine.on_deadlines                                              │
//!                     engine.next_action ─► frames (adverts) ─► host (addresses)       │
//!                     host.next_request ─► io.send        frames ─► io.send_frame ─────┘
//! ```

mod args;
mod boot;
mod clients;
mod delays;
mod dumps;
mod facts;
mod files;
mod firewall;
mod frames;
mod gauges;
mod journal;
mod mail;
mod manners;
mod pacing;
mod places;
mod processes;
mod programs;
mod pulse;
mod refusals;
mod reload;
mod run;
mod scripts;
mod signals;
mod sysctl;
mod tokens;
mod vmacs;
mod ways;
mod wishes;
mod words;

pub use boot::main;
