//! What answers are made of: the schema, in one place, for the daemon that writes it and the client
//! that reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::{ExplainRecord, ReloadRecord, WallTime};
use crate::vrrp::{RouterCounters, StateName, UnattributedCounters};

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// How a virtual router is.
    Status(StatusRecord),
    /// Everything about a virtual router.
    Show(Box<ShowRecord>),
    /// Why a virtual router is what it is.
    Explain(Box<ExplainRecord>),
    /// What a virtual router has counted.
    Stats(Box<StatsRecord>),
    /// What has been counted outside of virtual routers.
    Daemon(Box<DaemonRecord>),
    /// How one kind of times is spread.
    Latency(Box<LatencyRecord>),
    /// Who answers.
    Version(VersionRecord),
    /// What came of a reload.
    Reload(Box<ReloadRecord>),
    /// The request was refused, or its answer ends here because something failed.
    Error(ErrorRecord),
    /// The answer is complete; always `true`.
    End(bool),
}

/// How a virtual router is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusRecord {
    /// Its name in the configuration.
    pub name: String,
    /// The interface that carries its adverts.
    pub interface: String,
    /// Virtual router identifier, 1 to 255.
    pub vrid: u8,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// What carries its adverts, 4 or 6: the version of IP.
    pub ip_version: u8,
    /// Its state.
    pub state: StateWord,
    /// Why it can't run, in words; only in FAULT, and in INIT while it waits for its address.
    pub fault: Option<String>,
    /// Since when it is in that state.
    pub since: WallTime,
    /// For how long.
    pub since_seconds: f64,
    /// Configured priority.
    pub base_priority: u8,
    /// Priority after tracking.
    pub effective_priority: u8,
    /// Who is master: the one it follows, or itself; `None` while it knows none.
    pub master: Option<IpAddr>,
    /// The master's priority.
    pub master_priority: Option<u8>,
    /// When the last advert was accepted (BACKUP) or sent (MASTER).
    pub last_advert: Option<WallTime>,
    /// How long ago.
    pub last_advert_seconds: Option<f64>,
    /// Its advertisement interval.
    pub interval_seconds: f64,
    /// The addresses it carries.
    pub addresses: Vec<AddressRecord>,
}

/// Everything about a virtual router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShowRecord {
    /// How it is.
    #[serde(flatten)]
    pub status: StatusRecord,
    /// What brought it into its state.
    pub cause: CauseRecord,
    /// When it will act unless something happens: take over (BACKUP), advertise (MASTER).
    pub deadline: Option<WallTime>,
    /// How long until then; 0 if that moment has come.
    pub deadline_seconds: Option<f64>,
    /// The address that its adverts come from, if one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Its unicast peers; without any it uses multicast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unicast_peers: Vec<IpAddr>,
    /// The protocol's times.
    pub times: TimesRecord,
    /// Whether it owns the addresses (priority 255).
    pub owner: bool,
    /// Whether it displaces a master of lower priority.
    pub preempt: bool,
    /// How long such a master must have been heard before.
    pub preempt_delay_seconds: f64,
    /// Since when one is heard, while that delay runs.
    pub preempt_waiting_since: Option<WallTime>,
    /// Whether all its addresses are on the host, so that they may be announced; only in MASTER.
    pub addresses_set: Option<bool>,
    /// Its routes and policy rules, in the words of `ip(8)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Interfaces that must be up besides its own.
    pub tracked_interfaces: Vec<String>,
    /// What else it tracks, such as `script haproxy, weight -20`; `explain` tells how each is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<String>,
    /// How its v2 adverts are authenticated: `none`, `password` or `header`.
    #[serde(default)]
    pub authentication: String,
    /// What its v3 checksums over IPv4 cover now: `rfc9568` (the message), `rfc5798` (a
    /// pseudo-header too) or `old_unicast` (one that names the multicast group); `None` for v2,
    /// which has one form.
    #[serde(default)]
    pub checksum: Option<String>,
    /// How it announces its addresses.
    pub garp: GarpRecord,
    /// What it has counted.
    pub counters: RouterCountersRecord,
}

/// An address that a virtual router carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The address with its prefix length: `192.0.2.1/24`.
    pub address: String,
    /// The interface it is added to.
    pub interface: String,
    /// Its broadcast address, if one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Ipv4Addr>,
    /// Its label, if one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether it is one that adverts don't list.
    #[serde(default, skip_serializing_if = "is_not")]
    pub excluded: bool,
    /// Its scope as `rtnetlink(7)` numbers it; 0, the usual one, is left out.
    #[serde(default, skip_serializing_if = "is_global")]
    pub scope: u8,
}

/// What brought a virtual router into its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseRecord {
    /// For programs: `startup`, `shutdown`, `interface-absent`, `interface-down`,
    /// `no-primary-ip-address`, `tentative-ip-address`, `no-unicast-peers`,
    /// `interface-not-ethernet`, `fault-ended`, `master-timeout`, `master-resigned`,
    /// `lower-priority-master`, `preempt-hold-timeout`, `owner-preempt`, `outranked`,
    /// `address-lost`, `tracked-fault`, `tracked-unknown`, `sync-group-fault`, `sync-group`.
    pub event: String,
    /// For people: a clause that follows "because".
    pub words: String,
}

/// The times of a virtual router (RFC 9568 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimesRecord {
    /// Active_Adver_Interval: learned from the master it follows, else its own.
    pub active_interval_seconds: f64,
    /// Skew_Time that follows from it.
    pub skew_seconds: f64,
    /// Active_Down_Interval that follows from it.
    pub down_interval_seconds: f64,
}

/// How a virtual router announces its addresses (keepalived's `garp_*`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GarpRecord {
    /// Frames for each address in a set.
    pub repeat: u32,
    /// From becoming master to the second set; 0: none.
    pub delay_seconds: f64,
    /// Between refreshes; 0: none.
    pub refresh_seconds: f64,
    /// Frames for each address in a refresh.
    pub refresh_repeat: u32,
    /// Frames for each address in the set that answers a lower-priority advert.
    pub lower_priority_repeat: u32,
    /// From that set to its second; 0: none.
    pub lower_priority_delay_seconds: f64,
}

/// What a virtual router has counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsRecord {
    /// Its name in the configuration.
    pub name: String,
    /// The interface that carries its adverts.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Its state.
    pub state: StateWord,
    /// The counters.
    pub counters: RouterCountersRecord,
}

/// What has been counted outside of virtual routers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonRecord {
    /// Packets that belong to no virtual router. Where RFC 8347 wants a global count, it is the sum
    /// of this and of all virtual routers.
    pub unattributed: UnattributedCountersRecord,
    /// Counters of the daemon's other rooms, by name.
    pub counters: BTreeMap<String, u64>,
}

/// How one kind of times is spread, since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyRecord {
    /// What is measured: `advert-lateness`, `advert-delay`, `takeover-advert`,
    /// `takeover-addresses`, `takeover-garp`, `wake-lateness`, `busy-turn`.
    pub name: String,
    /// How many times have been measured.
    pub count: u64,
    /// The shortest, exact; `None` if nothing has been measured, as for all that follow.
    pub min_seconds: Option<f64>,
    /// The mean, exact.
    pub mean_seconds: Option<f64>,
    /// Half of them are not longer, within 1.6 %.
    pub p50_seconds: Option<f64>,
    /// 90 of 100 are not longer.
    pub p90_seconds: Option<f64>,
    /// 99 of 100 are not longer.
    pub p99_seconds: Option<f64>,
    /// 999 of 1,000 are not longer.
    pub p99_9_seconds: Option<f64>,
    /// The longest, exact.
    pub max_seconds: Option<f64>,
    /// Where they are, from short to long, empty buckets left out. Two answers can be subtracted
    /// from each other to see the time between them.
    pub buckets: Vec<BucketRecord>,
}

/// How many times were at least `from_seconds` and below `to_seconds` long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketRecord {
    /// The shortest time that is counted here.
    pub from_seconds: f64,
    /// The first that is not; the last bucket, up to 137 s, counts longer ones too.
    pub to_seconds: f64,
    /// How many.
    pub count: u64,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: WallTime,
    /// How long ago.
    pub uptime_seconds: f64,
    /// The configuration file it runs.
    pub config_file: String,
    /// The I/O backend it runs on.
    pub io: String,
    /// How many virtual routers it has.
    pub routers: u64,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// For programs.
    pub code: ErrorCode,
    /// For people: one sentence without its full stop.
    pub message: String,
    /// What would have been understood: the requests there are, or the names nearest to the one
    /// asked for, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

/// What kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The line is no request: no JSON, or fields that are missing, unknown or of a wrong type.
    BadRequest,
    /// There is no request of that name.
    UnknownRequest,
    /// The request, or what was sent ahead of its turn, is too long. The session ends.
    TooLong,
    /// No virtual router has that name.
    NoSuchRouter,
    /// A code of a newer daemon, as an older client reads it; never written.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A state as records have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StateWord {
    /// Not running, for no particular reason.
    Init,
    /// Watching the master.
    Backup,
    /// Owning the addresses.
    Master,
    /// Can't run.
    Fault,
}

fn is_not(is: &bool) -> bool {
    !is
}

fn is_global(scope: &u8) -> bool {
    *scope == 0
}

impl StateWord {
    /// `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            StateWord::Init => StateName::Init.as_str(),
            StateWord::Backup => StateName::Backup.as_str(),
            StateWord::Master => StateName::Master.as_str(),
            StateWord::Fault => StateName::Fault.as_str(),
        }
    }
}

impl From<StateName> for StateWord {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Init => StateWord::Init,
            StateName::Backup => StateWord::Backup,
            StateName::Master => StateWord::Master,
            StateName::Fault => StateWord::Fault,
        }
    }
}

impl fmt::Display for StateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Declares the record of a set of counters: the same fields under the same names. A counter that
/// the engine gains and this list does not have is a compile error.
macro_rules! counters_record {
    ($(#[$doc:meta])* $record:ident of $counters:ident { $($field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[expect(missing_docs, reason = "each field is documented where it is counted")]
        pub struct $record {
            $(pub $field: u64,)*
        }

        impl $record {
            /// The counters with their names, in the order of their declaration.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }
        }

        impl From<&$counters> for $record {
            fn from(counters: &$counters) -> Self {
                let $counters { $($field,)* } = *counters;
                $record { $($field,)* }
            }
        }
    };
}

counters_record! {
    /// The fields of [`RouterCounters`].
    RouterCountersRecord of RouterCounters {
        master_transitions,
        advertisement_rcvd,
        advertisement_sent,
        priority_zero_pkts_rcvd,
        priority_zero_pkts_sent,
        interval_errors,
        invalid_type_pkts_rcvd,
        address_list_errors,
        packet_length_errors,
        ip_ttl_errors,
        checksum_errors,
        version_errors,
        invalid_auth_type,
        auth_type_mismatch,
        auth_failures,
        auth_replays,
        v2_ignored,
        own_address_rcvd,
        peer_errors,
        destination_errors,
        advertisement_missed,
        advertisement_late,
    }
}

counters_record! {
    /// The fields of [`UnattributedCounters`].
    UnattributedCountersRecord of UnattributedCounters {
        checksum_errors,
        version_errors,
        vrid_errors,
        ip_ttl_errors,
        invalid_type_pkts_rcvd,
        packet_length_errors,
        not_vrrp_pkts_rcvd,
    }
}

impl RouterCountersRecord {
    /// Packets received that something was wrong with, of all kinds together.
    pub fn errors(&self) -> u64 {
        self.interval_errors
            + self.invalid_type_pkts_rcvd
            + self.address_list_errors
            + self.packet_length_errors
            + self.ip_ttl_errors
            + self.checksum_errors
            + self.version_errors
            + self.invalid_auth_type
            + self.auth_type_mismatch
            + self.auth_failures
            + self.auth_replays
            + self.own_address_rcvd
            + self.peer_errors
            + self.destination_errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_objects_with_one_key() {
        let line = |record: &Record| serde_json::to_string(record).unwrap();
        assert_eq!(line(&Record::End(true)), r#"{"end":true}"#);
        let error = ErrorRecord {
            code: ErrorCode::NoSuchRouter,
            message: "no".into(),
            candidates: Vec::new(),
        };
        assert_eq!(
            line(&Record::Error(error)),
            r#"{"error":{"code":"no-such-router","message":"no"}}"#
        );
    }

    #[test]
    fn a_newer_daemon_is_understood_as_far_as_possible() {
        let error = r#"{"error":{"code":"too-busy","message":"later","more":1}}"#;
        let Ok(Record::Error(error)) = serde_json::from_str(error) else { panic!() };
        assert_eq!((error.code, &*error.message), (ErrorCode::Unknown, "later"));
        let counters: RouterCountersRecord =
            serde_json::from_str(r#"{"master_transitions":3,"brand_new":4}"#).unwrap();
        assert_eq!(counters, RouterCountersRecord { master_transitions: 3, ..Default::default() });
    }

    #[test]
    fn states_have_the_words_of_the_engine() {
        for name in [StateName::Init, StateName::Backup, StateName::Master, StateName::Fault] {
            let word = StateWord::from(name);
            assert_eq!(word.as_str(), name.as_str());
            assert_eq!(serde_json::to_value(word).unwrap(), name.as_str());
        }
    }

    #[test]
    fn errors_are_the_counters_that_count_errors() {
        let counters =
            RouterCounters { checksum_errors: 2, own_address_rcvd: 1, ..Default::default() };
        assert_eq!(RouterCountersRecord::from(&counters).errors(), 3);
        let names: Vec<_> = RouterCountersRecord::default().iter().map(|(name, _)| name).collect();
        assert_eq!(names.len() * size_of::<u64>(), size_of::<RouterCounters>());
    }
}
