//! `viprd` keeps virtual IP addresses alive across routers (VRRP v2 and v3).
//!
//! The modules, in layer order; each may import only those above it in this list, and siblings
//! never import each other (`tests/layering.rs` reads the `use` lines and fails on anything else).
//! `docs/ARCHITECTURE.md` shows how data flows through them.

pub mod base;
pub mod config;
pub mod control;
pub mod daemon;
pub mod io;
pub mod kernel;
pub mod process;
pub mod vrrp;
pub mod wire;
