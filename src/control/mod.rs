//! **The operator's door**, pure: requests come in as bytes, answers leave as pages of records. No
//! socket, no clock, no log; the engine is looked at and never touched.
//!
//! # The protocol
//!
//! It runs over a UNIX stream socket. A request is one line of JSON, an answer is a sequence of
//! lines, each a JSON object with one key that says what it is. `{"end":true}` ends an answer that
//! succeeded, `{"error":{…}}` one that did not; then the next request may follow.
//!
//! ```text
//! > {"request":"status"}
//! < {"status":{"name":"VI_1","interface":"eth0","vrid":51,"state":"MASTER",…}}
//! < {"status":{"name":"VI_2","interface":"eth1","vrid":52,"state":"FAULT",…}}
//! < {"end":true}
//! > {"request":"show","name":"VI_9"}
//! < {"error":{"code":"no-such-router","message":"no virtual router is named VI_9",…}}
//! ```
//!
//! The schema of both directions is the types [`Request`] and [`Record`]: the daemon writes with
//! them and `viprctl` reads with them. Readers skip fields that they do not know.
//!
//! | request | records of its answer |
//! |---|---|
//! | `status`, or with `name` | a `status` for each virtual router, or that one |
//! | `show` with `name` | one `show`: everything that is known of that virtual router |
//! | `explain` with `name` | one `explain`: why that virtual router is what it is |
//! | `stats`, or with `name` | a `stats` for each virtual router, then one `daemon`; or that one |
//! | `latency` | a `latency` for each kind of times that is measured |
//! | `version` | one `version` |
//! | `reload` | one `reload`, once the new configuration runs or was refused |
//!
//! Names of times end in `_seconds` (numbers) or in nothing (RFC 3339, UTC). A request line has at
//! most [`MAX_REQUEST`] bytes: a longer one is refused and ends the session, any other bad line is
//! refused and the session goes on.
//!
//! # How the daemon uses it
//!
//! One [`Session`] for each connection, a few hundred bytes while nothing is asked. A turn of the
//! loop reads what has come if [`Session::wants_bytes`], hands it to [`Session::on_bytes`] (the end
//! of the stream to [`Session::on_end`]), and calls [`Session::fill`] whenever the page before has
//! been written. [`Session::take_order`] says what the daemon is asked to do; the answer goes on when
//! it has been done ([`Session::on_reloaded`]). Each `fill` does a bounded amount of work, so listing 20,000 routers takes some
//! hundred turns and delays no advert. Between two pages the engine may change as it likes: a
//! listing goes by router id, each record is true at the moment it is written, and the listing as a
//! whole is no snapshot.

mod dump;
mod explain;
mod record;
mod reload;
mod request;
mod session;
mod snapshot;
mod time;
mod words;

pub use dump::{Dump, GroupDump, NotifyDump, ProcessDump, RouterDump, ScriptDump, StatsDump};
pub use explain::{ExplainRecord, GroupRecord, TrackRecord};
pub use record::{
    AddressRecord, BucketRecord, CauseRecord, DaemonRecord, ErrorCode, ErrorRecord, GarpRecord,
    LatencyRecord, Record, RouterCountersRecord, ShowRecord, StateWord, StatsRecord, StatusRecord,
    TimesRecord, UnattributedCountersRecord, VersionRecord,
};
pub use reload::ReloadRecord;
pub use request::{MAX_REQUEST, Request};
pub use session::{MAX_PENDING, Order, PAGE, Progress, Session};
pub use time::WallTime;
pub use words::{cause_words, fault_words};

use crate::base::{Histogram, Instant, LinkNames};
use crate::vrrp::Engine;

/// All that an answer is made of, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The virtual routers.
    pub engine: &'a Engine,
    /// Names of the interfaces that the engine knows by number.
    pub names: &'a LinkNames,
    /// The monotonic clock, as read for this turn.
    pub now: Instant,
    /// The wall clock at the same moment, in nanoseconds since 1970 (UTC). All wall times in
    /// answers are derived from this pair of clocks.
    pub wall_now: u64,
    /// What the daemon says of itself.
    pub daemon: DaemonInfo<'a>,
}

/// What the daemon says of itself.
#[derive(Clone, Copy, Debug)]
pub struct DaemonInfo<'a> {
    /// Its version, such as `0.1.0`.
    pub version: &'a str,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Instant,
    /// The configuration file that it runs.
    pub config_file: &'a str,
    /// Which I/O backend it runs on, such as `uring`.
    pub io: &'a str,
    /// Counters of its other rooms (I/O, netlink), with the names under which they are shown.
    pub counters: &'a [(&'a str, u64)],
    /// How its times are spread beyond what the engine measures, with the names under which they
    /// are shown.
    pub latency: &'a [(&'a str, &'a Histogram)],
}
