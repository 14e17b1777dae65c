//! What keepalived writes into files when a signal asks for it, for the programs that read those: the
//! same keys of JSON and the same labels of text, filled with what is known here.
//!
//! Passwords are not told: the files may be read by others than the configuration is.

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use super::View;
use super::explain::TrackRecord;
use super::record::{AddressRecord, ShowRecord, StateWord};
use crate::base::{Span, WayKind};
use crate::vrrp::{RouterView, StateName};

/// All that the files are made of.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// Who this daemon says it is.
    pub router_id: Option<String>,
    /// Its name among several on a host.
    pub instance: Option<String>,
    /// The network namespace that it was told to run in.
    pub namespace: Option<String>,
    /// The virtual routers.
    pub routers: Vec<RouterDump>,
    /// The sync groups that have members.
    pub groups: Vec<GroupDump>,
    /// The tracked scripts.
    pub scripts: Vec<ScriptDump>,
    /// The tracked processes.
    pub processes: Vec<ProcessDump>,
}

/// A virtual router.
#[derive(Clone, Debug)]
pub struct RouterDump {
    show: ShowRecord,
    /// What it has counted.
    pub stats: StatsDump,
    /// What is run when it changes.
    pub notify: NotifyDump,
    vmac: Option<String>,
    group: Option<String>,
    multicast: Option<String>,
    routes: Vec<String>,
    rules: Vec<String>,
    tracks: Vec<TrackRecord>,
    ignores_own_link: bool,
    accept: bool,
    strict: bool,
    skips_address_check: bool,
    answers_lower: bool,
    advertises_when_yielding: bool,
    promotes_secondaries: bool,
    down_adverts: u8,
}

/// What a virtual router has counted, as keepalived counts: each of several causes that it does not
/// tell apart is in the nearest one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatsDump {
    /// Adverts received.
    pub advert_rcvd: u64,
    /// Adverts sent.
    pub advert_sent: u64,
    /// How often it became master.
    pub become_master: u64,
    /// How often it ceased to be.
    pub release_master: u64,
    /// Packets of a wrong length.
    pub packet_len_err: u64,
    /// Adverts with another interval.
    pub advert_interval_err: u64,
    /// Packets with a wrong TTL.
    pub ip_ttl_err: u64,
    /// Packets of an unknown type.
    pub invalid_type_rcvd: u64,
    /// Adverts with other addresses.
    pub addr_list_err: u64,
    /// Authentication types that don't exist.
    pub invalid_authtype: u64,
    /// Authentication types that are not ours.
    pub authtype_mismatch: u64,
    /// Wrong passwords and signatures, and signed adverts that were heard before.
    pub auth_failure: u64,
    /// Adverts of priority 0 received.
    pub pri_zero_rcvd: u64,
    /// Adverts of priority 0 sent.
    pub pri_zero_sent: u64,
}

/// What is run when a virtual router changes: commands as one would type them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each is named after the state that it is run for")]
pub struct NotifyDump {
    #[serde(skip)]
    pub mail: bool,
    #[serde(skip)]
    pub tells_deleted: bool,
    #[serde(rename = "script_backup", skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    #[serde(rename = "script_master", skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    #[serde(rename = "script_fault", skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    #[serde(rename = "script_stop", skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    #[serde(rename = "script_deleted", skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    #[serde(rename = "script", skip_serializing_if = "Option::is_none")]
    pub any: Option<String>,
    #[serde(rename = "script_master_rx_lower_pri", skip_serializing_if = "Option::is_none")]
    pub master_rx_lower_pri: Option<String>,
}

/// A sync group.
#[derive(Clone, Debug)]
pub struct GroupDump {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StateName,
    /// How many of its members can't run by themselves.
    pub faulty: usize,
    /// Its members' names.
    pub members: Vec<String>,
}

/// A tracked script.
#[derive(Clone, Debug)]
pub struct ScriptDump {
    /// Its name.
    pub name: String,
    /// The command, or why it isn't run.
    pub command: String,
    /// From one run to the next.
    pub interval: Span,
    /// How long a run may take.
    pub timeout: Span,
    /// How often in a row it must succeed.
    pub rise: u32,
    /// How often in a row it must fail.
    pub fall: u32,
    /// Whether it is well; `None` as long as nobody knows.
    pub good: Option<bool>,
    /// Whether it runs now.
    pub runs: bool,
}

/// A tracked process.
#[derive(Clone, Debug)]
pub struct ProcessDump {
    /// The name of what tracks it.
    pub name: String,
    /// Its own.
    pub process: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What those mean: `exact`, `initial` or `partial`; `None` if they don't matter.
    pub fit: Option<&'static str>,
    /// Whether its name is how it was called.
    pub full_command: bool,
    /// How many have to run.
    pub at_least: u32,
    /// How many may run.
    pub at_most: u32,
    /// How many do; `None` as long as nobody knows.
    pub count: Option<u32>,
    /// Whether that suffices.
    pub good: bool,
    /// How long a change by a new process has to last.
    pub fork_delay: Span,
    /// How long a change by one that has ended has to last.
    pub terminate_delay: Span,
}

impl View<'_> {
    /// A virtual router as the files tell of it. What is run when it changes is known by others.
    pub fn dump(&self, router: &RouterView<'_>) -> RouterDump {
        let params = router.params;
        let conduct = &params.conduct;
        let ways = |routes: bool| {
            let ways = params.extras.ways.iter();
            let ways = ways.filter(move |way| matches!(way.what, WayKind::Route(_)) == routes);
            ways.map(|way| way.what.describe(self.names).to_string()).collect()
        };
        let vmac = params.macvlans.iter().find(|macvlan| macvlan.base == params.link);
        RouterDump {
            show: self.show(router),
            stats: StatsDump::of(router),
            notify: NotifyDump::default(),
            vmac: vmac.map(|macvlan| super::words::link_name(macvlan.link, self.names).into()),
            group: params.tracking.group.as_ref().map(ToString::to_string),
            multicast: params.transport.multicast().map(|group| group.to_string()),
            routes: ways(true),
            rules: ways(false),
            tracks: self.tracks(router),
            ignores_own_link: params.tracking.ignore_own_link,
            accept: params.accept,
            strict: conduct.strict,
            skips_address_check: conduct.skip_address_check,
            answers_lower: conduct.answer_lower,
            advertises_when_yielding: conduct.advertise_when_yielding,
            promotes_secondaries: conduct.promote_secondaries,
            down_adverts: conduct.down_adverts,
        }
    }
}

impl StatsDump {
    fn of(router: &RouterView<'_>) -> Self {
        let counters = router.counters;
        let is_master = router.state.name() == StateName::Master;
        StatsDump {
            advert_rcvd: counters.advertisement_rcvd,
            advert_sent: counters.advertisement_sent,
            become_master: counters.master_transitions,
            release_master: counters.master_transitions.saturating_sub(is_master.into()),
            packet_len_err: counters.packet_length_errors,
            advert_interval_err: counters.interval_errors,
            ip_ttl_err: counters.ip_ttl_errors,
            invalid_type_rcvd: counters.invalid_type_pkts_rcvd,
            addr_list_err: counters.address_list_errors,
            invalid_authtype: counters.invalid_auth_type,
            authtype_mismatch: counters.auth_type_mismatch,
            auth_failure: counters.auth_failures + counters.auth_replays,
            pri_zero_rcvd: counters.priority_zero_pkts_rcvd,
            pri_zero_sent: counters.priority_zero_pkts_sent,
        }
    }

    /// What has been counted since `before`.
    #[must_use]
    pub fn since(&self, before: &StatsDump) -> Self {
        macro_rules! less {
            ($($field:ident),*) => {
                StatsDump { $($field: self.$field.saturating_sub(before.$field)),* }
            };
        }
        less!(
            advert_rcvd,
            advert_sent,
            become_master,
            release_master,
            packet_len_err,
            advert_interval_err,
            ip_ttl_err,
            invalid_type_rcvd,
            addr_list_err,
            invalid_authtype,
            authtype_mismatch,
            auth_failure,
            pri_zero_rcvd,
            pri_zero_sent
        )
    }
}

impl Dump {
    /// The text of `keepalived.stats`.
    pub fn stats(&self) -> String {
        let mut text = String::new();
        for router in &self.routers {
            let stats = &router.stats;
            let _ = write!(
                text,
                "VRRP Instance: {}\n  Advertisements:\n    Received: {}\n    Sent: {}\n  \
                 Became master: {}\n  Released master: {}\n  Packet Errors:\n    Length: {}\n    \
                 TTL: {}\n    Invalid Type: {}\n    Advertisement Interval: {}\n    \
                 Address List: {}\n  Authentication Errors:\n    Invalid Type: {}\n    \
                 Type Mismatch: {}\n    Failure: {}\n  Priority Zero:\n    Received: {}\n    \
                 Sent: {}\n",
                router.show.status.name,
                stats.advert_rcvd,
                stats.advert_sent,
                stats.become_master,
                stats.release_master,
                stats.packet_len_err,
                stats.ip_ttl_err,
                stats.invalid_type_rcvd,
                stats.advert_interval_err,
                stats.addr_list_err,
                stats.invalid_authtype,
                stats.authtype_mismatch,
                stats.auth_failure,
                stats.pri_zero_rcvd,
                stats.pri_zero_sent,
            );
        }
        text
    }

    /// The text of `keepalived.json`, in keepalived's form 1 or 2 (`json_version`).
    pub fn json(&self, version: u8) -> String {
        let routers: Vec<JsonRouter<'_>> =
            self.routers.iter().map(|router| self.json_router(router)).collect();
        let text = match version {
            2 => {
                let processes = self.processes.iter().map(|process| self.json_process(process));
                serde_json::to_string(&JsonTwo {
                    vrrp: routers,
                    track_process: processes.collect(),
                })
            }
            _ => serde_json::to_string(&routers),
        };
        // Strings and numbers always have a form in JSON.
        text.unwrap_or_default()
    }

    fn json_process<'a>(&self, process: &'a ProcessDump) -> JsonProcess<'a> {
        JsonProcess {
            process: &process.process,
            parameters: process.arguments.join(" "),
            param_match: process.fit.unwrap_or("none"),
            min_processes: process.at_least,
            max_processes: process.at_most,
            current_processes: process.count.unwrap_or(0),
            have_quorum: process.good,
            weight: self.weight("process", &process.name),
            terminate_delay: process.terminate_delay.as_secs_f64(),
            fork_delay: process.fork_delay.as_secs_f64(),
            full_command: process.full_command,
        }
    }

    /// The weight with which the first virtual router tracks something.
    fn weight(&self, kind: &str, name: &str) -> i32 {
        let mut tracks = self.routers.iter().flat_map(|router| &router.tracks);
        let track = tracks.find(|track| track.kind == kind && track.name == name);
        track.map_or(0, |track| track.weight)
    }

    /// The text of `keepalived.data`.
    pub fn data(&self) -> String {
        let mut text = String::from("------< Global definitions >------\n");
        let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.into());
        let _ = writeln!(text, " Network namespace = {}", or(&self.namespace, "(default)"));
        if let Some(instance) = &self.instance {
            let _ = writeln!(text, " Instance name = {instance}");
        }
        if let Some(router_id) = &self.router_id {
            let _ = writeln!(text, " Router ID = {router_id}");
        }
        if !self.routers.is_empty() {
            text.push_str("------< VRRP Topology >------\n");
        }
        for router in &self.routers {
            router.data(&mut text);
        }
        if !self.groups.is_empty() {
            text.push_str("------< VRRP Sync groups >------\n");
        }
        for GroupDump { name, state, faulty, members } in &self.groups {
            let _ = writeln!(text, " VRRP Sync Group = {name}, {}", StateWord::from(*state));
            let _ = writeln!(text, "   Num member fault {faulty}");
            list(&mut text, "VRRP member instances", members);
        }
        if !self.scripts.is_empty() {
            text.push_str("------< VRRP Scripts >------\n");
        }
        for script in &self.scripts {
            self.script(&mut text, script);
        }
        if !self.processes.is_empty() {
            text.push_str("------< VRRP Track processes >------\n");
        }
        for process in &self.processes {
            self.process(&mut text, process);
        }
        text
    }

    fn script(&self, text: &mut String, script: &ScriptDump) {
        let status = match script.good {
            None => "INIT",
            Some(true) => "GOOD",
            Some(false) => "BAD",
        };
        let _ = write!(
            text,
            " VRRP Script = {}\n   Command = {}\n   Interval = {} sec\n   Timeout = {} sec\n   \
             Weight = {}\n   Rise = {}\n   Fall = {}\n   Status = {status}\n",
            script.name,
            script.command,
            script.interval.as_secs_f64(),
            script.timeout.as_secs_f64(),
            self.weight("script", &script.name),
            script.rise,
            script.fall,
        );
        list(text, "Tracking instances", &self.tracking("script", &script.name));
        let _ = writeln!(text, "   State = {}", if script.runs { "running" } else { "idle" });
    }

    fn process(&self, text: &mut String, process: &ProcessDump) {
        let _ = write!(
            text,
            " VRRP Track process = {}\n   Process = {}\n   Min processes = {}\n   \
             Current processes = {}\n   Have quorum = {}\n   Weight = {}\n   \
             Terminate delay = {:.6}s\n   Fork delay = {:.6}s\n   Full command = {}\n",
            process.name,
            process.process,
            process.at_least,
            process.count.unwrap_or(0),
            process.good,
            self.weight("process", &process.name),
            process.terminate_delay.as_secs_f64(),
            process.fork_delay.as_secs_f64(),
            process.full_command,
        );
        list(text, "Tracking instances", &self.tracking("process", &process.name));
    }

    /// The virtual routers that track something, each with its weight.
    fn tracking(&self, kind: &str, name: &str) -> Vec<String> {
        let tracking = self.routers.iter().filter_map(|router| {
            let mut tracks = router.tracks.iter();
            let track = tracks.find(|track| track.kind == kind && track.name == name)?;
            Some(format!("{}, weight {}", router.show.status.name, track.weight))
        });
        tracking.collect()
    }
}

impl RouterDump {
    /// What it tracks of one kind.
    fn tracked(&self, kind: &'static str) -> impl Iterator<Item = &TrackRecord> {
        self.tracks.iter().filter(move |track| track.kind == kind)
    }

    fn names(&self, kind: &'static str) -> Vec<&str> {
        self.tracked(kind).map(|track| track.name.as_str()).collect()
    }

    /// Its addresses, those that adverts list or the others.
    fn addresses(&self, excluded: bool) -> Vec<String> {
        let set = self.show.addresses_set == Some(true);
        let addresses = self.show.status.addresses.iter();
        let addresses = addresses.filter(|address| address.excluded == excluded);
        addresses.map(|address| words(address, set)).collect()
    }

    fn data(&self, text: &mut String) {
        let ShowRecord { status, garp, .. } = &self.show;
        let yes = |is: bool| if is { "yes" } else { "no" };
        let able = |is: bool| if is { "enabled" } else { "disabled" };
        let _ = writeln!(text, " VRRP Instance = {}", status.name);
        let _ = writeln!(text, "   VRRP Version = {}", status.version);
        if let Some(group) = &self.group {
            let _ = writeln!(text, "   Sync group = {group}");
        }
        if status.ip_version == 6 {
            text.push_str("   Using Native IPv6\n");
        }
        let _ = writeln!(text, "   State = {}", status.state);
        let _ = writeln!(text, "   Wantstate = {}", status.state);
        let micros = status.since.as_micros();
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let _ = writeln!(text, "   Last transition = {seconds}.{rest:06} ({})", status.since);
        let down = self.show.times.down_interval_seconds * 1e6;
        let _ = writeln!(text, "   Master down timer = {down:.0} usecs");
        let _ = match &self.vmac {
            Some(vmac) => writeln!(
                text,
                "   Use VMAC, i/f name {vmac}\n   Interface = {vmac}, vmac on {}",
                status.interface
            ),
            None => writeln!(text, "   Interface = {}", status.interface),
        };
        if let Some(source) = self.show.source {
            let _ = writeln!(text, "   Using src_ip = {source}");
        }
        if let Some(group) = &self.multicast {
            let _ = writeln!(text, "   Multicast address {group}");
        }
        let _ = write!(
            text,
            "   Gratuitous ARP delay = {}\n   Gratuitous ARP repeat = {}\n   \
             Gratuitous ARP refresh = {}\n   Gratuitous ARP refresh repeat = {}\n   \
             Gratuitous ARP lower priority delay = {}\n   \
             Gratuitous ARP lower priority repeat = {}\n",
            whole(garp.delay_seconds),
            garp.repeat,
            whole(garp.refresh_seconds),
            garp.refresh_repeat,
            whole(garp.lower_priority_delay_seconds),
            garp.lower_priority_repeat,
        );
        let interval = match status.interval_seconds {
            seconds if seconds.fract() == 0.0 => format!("{seconds} sec"),
            seconds => format!("{:.0} milli-sec", seconds * 1e3),
        };
        let _ = write!(
            text,
            "   Down timer adverts = {}\n   \
             Send advert after receive lower priority advert = {}\n   \
             Send advert after receive higher priority advert = {}\n   \
             Virtual Router ID = {}\n   Priority = {}\n   Effective priority = {}\n   \
             Total priority = {}\n   Advert interval = {interval}\n   Accept = {}\n   \
             Preempt = {}\n",
            self.down_adverts,
            self.answers_lower,
            self.advertises_when_yielding,
            status.vrid,
            status.base_priority,
            status.effective_priority,
            status.effective_priority,
            able(self.accept),
            able(self.show.preempt),
        );
        if self.show.preempt_delay_seconds > 0.0 {
            let _ = writeln!(text, "   Preempt delay = {} secs", self.show.preempt_delay_seconds);
        }
        if let (StateWord::Backup, Some(master), Some(priority)) =
            (status.state, status.master, status.master_priority)
        {
            let _ = writeln!(text, "   Master router = {master}");
            let _ = writeln!(text, "   Master priority = {priority}");
        }
        let _ = writeln!(text, "   Promote_secondaries = {}", able(self.promotes_secondaries));
        match &*self.show.authentication {
            "password" => text.push_str("   Authentication type = SIMPLE_PASSWORD\n"),
            "header" => text.push_str("   Authentication type = IPSEC_AH\n"),
            _ if status.version == 2 => text.push_str("   Authentication type = none\n"),
            _ => {}
        }
        let listed = self.addresses(false);
        if !listed.is_empty() {
            let _ = writeln!(text, "   Virtual IP ({}):", listed.len());
            for address in &listed {
                let _ = writeln!(text, "     {address}");
            }
        }
        list(text, "Virtual IP Excluded", &self.addresses(true));
        if !self.show.unicast_peers.is_empty() {
            text.push_str("   Unicast Peer :\n");
            for peer in &self.show.unicast_peers {
                let _ = writeln!(text, "     {peer}");
            }
        }
        list(text, "Virtual Routes", &self.routes);
        list(text, "Virtual Rules", &self.rules);
        for (kind, label, comma) in [
            ("interface", "Tracked interfaces", ""),
            ("script", "Tracked scripts", ""),
            ("file", "Tracked files", ","),
            ("process", "Tracked processes", ","),
        ] {
            let line = |track: &TrackRecord| {
                let reverse = if track.reverse { " reverse" } else { "" };
                format!("{}{comma} weight {}{reverse}", track.name, track.weight)
            };
            list(text, label, &self.tracked(kind).map(line).collect::<Vec<_>>());
        }
        let _ = writeln!(text, "   Using smtp notification = {}", yes(self.notify.mail));
        let deleted = if self.notify.tells_deleted { "Deleted" } else { "Fault" };
        let _ = writeln!(text, "   Notify deleted = {deleted}");
        for (label, script) in [
            ("Backup", &self.notify.backup),
            ("Master", &self.notify.master),
            ("Fault", &self.notify.fault),
            ("Stop", &self.notify.stop),
            ("Deleted", &self.notify.deleted),
            ("Generic", &self.notify.any),
        ] {
            if let Some(script) = script {
                let _ = writeln!(text, "   {label} state transition script = {script}");
            }
        }
        if let Some(script) = &self.notify.master_rx_lower_pri {
            let _ = writeln!(text, "   Master rx lower pri state transition script = {script}");
        }
    }
}

/// An address in the words of `ip address`, and whether it is on the host.
fn words(address: &AddressRecord, set: bool) -> String {
    let AddressRecord { address, interface, broadcast, label, scope, .. } = address;
    // A host's prefix goes without saying.
    let full = if address.contains(':') { "/128" } else { "/32" };
    let mut text = address.strip_suffix(full).unwrap_or(address).to_owned();
    if let Some(broadcast) = broadcast {
        let _ = write!(text, " brd {broadcast}");
    }
    let _ = write!(text, " dev {interface} scope ");
    let _ = match scope {
        0 => write!(text, "global"),
        200 => write!(text, "site"),
        253 => write!(text, "link"),
        254 => write!(text, "host"),
        255 => write!(text, "nowhere"),
        number => write!(text, "{number}"),
    };
    if let Some(label) = label {
        let _ = write!(text, " label {label}");
    }
    if set {
        text.push_str(" set");
    }
    text
}

/// A list below a label; nothing if it is empty.
fn list(text: &mut String, label: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "   {label} :");
    for item in items {
        let _ = writeln!(text, "     {item}");
    }
}

/// Seconds as keepalived has them where it knows no fractions: what is not zero stays so.
fn whole(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

/// A number that readers may expect to be whole is written so if it is.
fn shortest<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    match number.fract() == 0.0 {
        true => to.serialize_u64(*number as u64),
        false => to.serialize_f64(*number),
    }
}

#[derive(Serialize)]
struct JsonTwo<'a> {
    vrrp: Vec<JsonRouter<'a>>,
    track_process: Vec<JsonProcess<'a>>,
}

#[derive(Serialize)]
struct JsonRouter<'a> {
    data: JsonData<'a>,
    stats: &'a StatsDump,
}

#[derive(Serialize)]
struct JsonData<'a> {
    iname: &'a str,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: &'a str,
    ifp_ifname: &'a str,
    master_priority: u8,
    last_transition: f64,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    #[serde(serialize_with = "shortest")]
    adver_int: f64,
    #[serde(serialize_with = "shortest")]
    master_adver_int: f64,
    accept: u8,
    nopreempt: bool,
    #[serde(serialize_with = "shortest")]
    preempt_delay: f64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(flatten)]
    notify: &'a NotifyDump,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    vroutes: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    vrules: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_ifp: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<&'a str>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonProcess<'a> {
    process: &'a str,
    parameters: String,
    param_match: &'a str,
    min_processes: u32,
    max_processes: u32,
    current_processes: u32,
    have_quorum: bool,
    weight: i32,
    #[serde(serialize_with = "shortest")]
    terminate_delay: f64,
    #[serde(serialize_with = "shortest")]
    fork_delay: f64,
    full_command: bool,
}

impl Dump {
    fn json_router<'a>(&'a self, router: &'a RouterDump) -> JsonRouter<'a> {
        let ShowRecord { status, garp, .. } = &router.show;
        let state = match status.state {
            StateWord::Init => 0,
            StateWord::Backup => 1,
            StateWord::Master => 2,
            StateWord::Fault => 3,
        };
        let auth_type = match &*router.show.authentication {
            "password" => 1,
            "header" => 2,
            _ => 0,
        };
        // keepalived gives the command, not the name.
        let command = |name: &'a str| {
            let script = self.scripts.iter().find(|script| script.name == name);
            script.map_or(name, |script| script.command.as_str())
        };
        let data = JsonData {
            iname: &status.name,
            dont_track_primary: router.ignores_own_link.into(),
            skip_check_adv_addr: router.skips_address_check.into(),
            strict_mode: router.strict.into(),
            vmac_ifname: router.vmac.as_deref().unwrap_or_default(),
            ifp_ifname: router.vmac.as_deref().unwrap_or(&status.interface),
            master_priority: match status.state {
                StateWord::Backup => status.master_priority.unwrap_or(0),
                _ => 0,
            },
            last_transition: status.since.as_micros() as f64 / 1e6,
            garp_delay: whole(garp.delay_seconds),
            garp_refresh: whole(garp.refresh_seconds),
            garp_rep: garp.repeat,
            garp_refresh_rep: garp.refresh_repeat,
            garp_lower_prio_delay: whole(garp.lower_priority_delay_seconds),
            garp_lower_prio_rep: garp.lower_priority_repeat,
            lower_prio_no_advert: (!router.answers_lower).into(),
            higher_prio_send_advert: router.advertises_when_yielding.into(),
            vrid: status.vrid,
            base_priority: status.base_priority,
            effective_priority: status.effective_priority,
            vipset: router.show.addresses_set == Some(true),
            promote_secondaries: router.promotes_secondaries,
            adver_int: status.interval_seconds,
            master_adver_int: router.show.times.active_interval_seconds,
            accept: router.accept.into(),
            nopreempt: !router.show.preempt,
            preempt_delay: router.show.preempt_delay_seconds,
            state,
            wantstate: state,
            version: status.version,
            smtp_alert: router.notify.mail,
            notify_deleted: router.notify.tells_deleted,
            notify: &router.notify,
            vips: router.addresses(false),
            evips: router.addresses(true),
            vroutes: &router.routes,
            vrules: &router.rules,
            track_ifp: router.names("interface"),
            track_script: router.names("script").into_iter().map(command).collect(),
            track_process: router.names("process"),
            auth_type,
            auth_data: (auth_type != 0).then_some(""),
        };
        JsonRouter { data, stats: &router.stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_in_the_words_of_ip() {
        let mut address = AddressRecord {
            address: "192.0.2.1/32".into(),
            interface: "eth0".into(),
            broadcast: None,
            label: None,
            excluded: false,
            scope: 0,
        };
        assert_eq!(words(&address, true), "192.0.2.1 dev eth0 scope global set");
        address.address = "2001:db8::1/128".into();
        address.scope = 253;
        assert_eq!(words(&address, false), "2001:db8::1 dev eth0 scope link");
        address.address = "2001:db8::/32".into();
        address.label = Some("eth0:v".into());
        assert_eq!(words(&address, false), "2001:db8::/32 dev eth0 scope link label eth0:v");
    }

    #[test]
    fn counters_that_were_cleared_begin_anew() {
        let before =
            StatsDump { advert_sent: 7, become_master: 3, release_master: 2, ..Default::default() };
        let now = StatsDump { advert_sent: 9, become_master: 3, release_master: 3, ..before };
        let since = now.since(&before);
        assert_eq!((since.advert_sent, since.become_master, since.release_master), (2, 0, 1));
        assert_eq!(before.since(&now), StatsDump::default(), "never below zero");
    }

    #[test]
    fn whole_numbers_are_written_as_such() {
        #[derive(Serialize)]
        struct Numbers {
            #[serde(serialize_with = "shortest")]
            whole: f64,
            #[serde(serialize_with = "shortest")]
            part: f64,
        }
        let text = serde_json::to_string(&Numbers { whole: 5.0, part: 0.25 }).unwrap();
        assert_eq!(text, r#"{"whole":5,"part":0.25}"#);
        assert_eq!([0.0, 0.1, 5.0].map(whole), [0, 1, 5]);
    }

    #[test]
    fn without_virtual_routers_there_is_still_a_form() {
        let dump = Dump { router_id: Some("here".into()), ..Dump::default() };
        assert_eq!(dump.json(1), "[]");
        assert_eq!(dump.json(2), r#"{"vrrp":[],"track_process":[]}"#);
        assert_eq!(dump.stats(), "");
        let data = dump.data();
        assert!(data.ends_with(" Network namespace = (default)\n Router ID = here\n"), "{data}");
    }
}
