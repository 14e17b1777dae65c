//! **Words everyone shares**: times, ids, addresses, histograms, and the facts that lower
//! rooms report.
//!
//! This room imports nothing of ours. A type belongs here when two rooms that must not know each
//! other (say the kernel's side and the protocol) have to speak of the same thing.

mod address;
mod facts;
mod histogram;
mod ids;
mod macvlan;
mod time;

pub use address::{Family, Label, Mac, Scope, VirtualAddress};
pub use facts::{LinkChange, LinkFacts, LinkLocal};
pub use histogram::{Bucket, Histogram};
pub use ids::{GroupId, IfIndex, LinkId, LinkNames, RouterId, TrackId, Vrid};
pub use macvlan::Macvlan;
pub use time::{Centis, Instant, Span};
