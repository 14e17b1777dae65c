//! Settings of the daemon, typed: what `global_defs` and the top level say.

use super::command::Command;
use super::keywords::group::garp;
use super::keywords::{Key, global, instance, root};
use super::model::{Datum, Section};
use crate::base::Span;

/// Settings of the daemon. `None` and empty mean: not given, the daemon's own default holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// Who this daemon says it is; the host's name if not given.
    pub router_id: Option<String>,
    /// The network namespace to run in.
    pub net_namespace: Option<String>,
    /// The name of this daemon among several on a host.
    pub instance: Option<String>,
    /// Whether pid files go into a directory of their own.
    pub use_pid_dir: bool,
    /// How it is scheduled.
    pub process: Process,
    /// Whether the kernel is to report no groups of the local link by IGMP.
    pub disable_local_igmp: bool,
    /// How long after its start the daemon only listens.
    pub startup_delay: Span,
    /// How long after the host's start the daemon only listens.
    pub delay_after_boot: Span,
    /// How fast addresses are announced.
    pub pacing: GarpPacing,
    /// Whether adverts of unknown virtual routers are logged.
    pub log_unknown_vrids: bool,
    /// Scripts.
    pub scripts: ScriptSettings,
    /// Mails about changes.
    pub mail: Mail,
    /// Receive buffers, in bytes.
    pub buffers: Buffers,
    /// Files that the daemon writes.
    pub files: FileSettings,
    /// The nftables table of addresses that take no traffic.
    pub firewall: Firewall,
}

/// How fast addresses are announced. Nothing waits for a gap of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GarpPacing {
    /// The least time between two gratuitous ARPs on an interface (`vrrp_garp_interval`).
    pub garp: Span,
    /// The same of unsolicited neighbour advertisements (`vrrp_gna_interval`).
    pub gna: Span,
    /// Interfaces with gaps of their own.
    pub groups: Vec<GarpGroup>,
}

/// Interfaces that share the gaps between announcements (`garp_group`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GarpGroup {
    /// The least time between two gratuitous ARPs on any of them.
    pub garp: Span,
    /// The same of unsolicited neighbour advertisements.
    pub gna: Span,
    /// Their names.
    pub interfaces: Vec<String>,
}

/// The nftables table of addresses that take no traffic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Firewall {
    /// Its name.
    pub table: Option<String>,
    /// The priority of its chain.
    pub priority: Option<i32>,
    /// Whether its rules count.
    pub counters: bool,
}

/// How the process is scheduled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// The name that it shows.
    pub name: Option<String>,
    /// Its nice value, −20 to 19.
    pub nice: Option<i8>,
    /// Its priority in the real-time class SCHED_RR, 1 to 99.
    pub realtime: Option<u8>,
    /// How long it may run in that class without a pause (`RLIMIT_RTTIME`).
    pub realtime_limit: Option<Span>,
    /// How far that priority may be raised when timers are late: −1 to 99, 0 for never.
    pub max_auto_priority: Option<i8>,
    /// How late a timer must be for that.
    pub min_auto_priority_delay: Option<Span>,
    /// Whether all its memory is locked.
    pub no_swap: bool,
    /// The CPUs that it may run on; empty for all.
    pub cpus: Vec<u16>,
    /// How long before a deadline it watches the clock instead of sleeping.
    pub spin: Span,
    /// Which permissions files that it makes don't get.
    pub umask: Option<u32>,
}

/// Who runs scripts, and which run at start and stop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptSettings {
    /// Whether scripts that others could change are refused.
    pub security: bool,
    /// The user that runs scripts, if not the default one.
    pub user: Option<String>,
    /// The group that runs scripts, if not the user's.
    pub group: Option<String>,
    /// Whether scripts get all groups of their user.
    pub supplementary_groups: bool,
    /// Run before the daemon begins its work.
    pub startup: Option<Command>,
    /// How long that may take.
    pub startup_timeout: Span,
    /// Run after the daemon has stopped its work.
    pub shutdown: Option<Command>,
    /// How long that may take.
    pub shutdown_timeout: Span,
    /// Whether all states are written to the named pipes after a reload.
    pub states_on_reload: bool,
    /// How long a notification may take, if that is given.
    pub notify_timeout: Option<Span>,
    /// Whether notifications that wait are left out when their state is over.
    pub skips_overtaken: bool,
    /// Named pipes that get changes of state, with what reads them.
    pub fifos: Vec<Fifo>,
}

/// How mails about changes are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mail {
    /// To whom; nobody gets any if this is empty.
    pub to: Vec<String>,
    /// From whom.
    pub from: Option<String>,
    /// By which server, and its port.
    pub server: Option<(String, u16)>,
    /// The name that is told to it.
    pub helo: Option<String>,
    /// How long it may take to answer.
    pub connect_timeout: Span,
    /// Whether faults are no matter for mails.
    pub no_faults: bool,
}

/// A named pipe that gets changes of state.
#[derive(Clone, Debug, PartialEq)]
pub struct Fifo {
    /// Where it is.
    pub path: String,
    /// Who owns it.
    pub user: Option<String>,
    /// Which group owns it.
    pub group: Option<String>,
    /// What is started to read it.
    pub script: Option<Command>,
}

/// Receive buffers in bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buffers {
    /// Of the netlink socket that carries requests.
    pub netlink_commands: Option<u32>,
    /// Of the netlink socket that hears of changes.
    pub netlink_monitor: Option<u32>,
    /// Of the socket that hears of processes.
    pub process_monitor: Option<u32>,
    /// Of the sockets that hear adverts: the most that anything asks for.
    pub adverts: Option<u32>,
}

/// Files that the daemon writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileSettings {
    /// Where the state is dumped.
    pub state: Option<String>,
    /// Where statistics are dumped.
    pub stats: Option<String>,
    /// Where JSON is dumped.
    pub json: Option<String>,
    /// The form of that JSON, 1 or 2.
    pub json_version: Option<u8>,
    /// Whether their names hold the instance's name and the namespace.
    pub use_instance: bool,
}

/// The settings of the daemon that a model gives.
pub(super) fn settings(model: &Section, globals: &Section) -> Global {
    let text = |key: Key| globals.text(key).map(str::to_owned);
    let root_text = |key: Key| model.text(key).map(str::to_owned);
    let time = |key: Key| globals.time(key).unwrap_or(Span::ZERO);
    let micros = |key: Key| globals.int(key).map(|n| Span::from_micros(n.unsigned_abs()));
    let bytes = |key: Key| globals.int(key).and_then(|n| u32::try_from(n).ok());
    let small = |key: Key| globals.int(key).and_then(|n| i8::try_from(n).ok());
    let seconds = |key: Key, default: u64| {
        Span::from_secs(globals.int(key).map_or(default, i64::unsigned_abs))
    };
    Global {
        router_id: text(global::ROUTER_ID),
        net_namespace: root_text(root::NET_NAMESPACE),
        instance: root_text(root::INSTANCE),
        use_pid_dir: model.is_set(root::USE_PID_DIR),
        firewall: Firewall {
            table: text(global::NFTABLES),
            priority: globals.int(global::NFTABLES_PRIORITY).and_then(|n| i32::try_from(n).ok()),
            counters: globals.is_set(global::NFTABLES_COUNTERS),
        },
        process: Process {
            name: text(global::PROCESS_NAME),
            nice: small(global::VRRP_PRIORITY),
            realtime: globals.int(global::VRRP_RT_PRIORITY).and_then(|n| u8::try_from(n).ok()),
            realtime_limit: micros(global::VRRP_RLIMIT_RTTIME),
            max_auto_priority: match globals.get(global::MAX_AUTO_PRIORITY) {
                Some(setting) if setting.items().is_empty() => Some(99),
                _ => small(global::MAX_AUTO_PRIORITY),
            },
            min_auto_priority_delay: micros(global::MIN_AUTO_PRIORITY_DELAY),
            no_swap: globals.is_set(global::VRRP_NO_SWAP),
            cpus: cpus(globals),
            spin: micros(global::VIPRD_SPIN_US).unwrap_or(Span::ZERO),
            umask: globals.text(global::UMASK).and_then(umask),
        },
        disable_local_igmp: globals.is_set(global::DISABLE_LOCAL_IGMP),
        startup_delay: time(global::VRRP_STARTUP_DELAY),
        delay_after_boot: time(global::VRRP_DELAY_AFTER_BOOT),
        pacing: pacing(model, globals),
        log_unknown_vrids: globals.is_set(global::LOG_UNKNOWN_VRIDS),
        scripts: ScriptSettings {
            security: globals.is_set(global::ENABLE_SCRIPT_SECURITY),
            user: text(global::SCRIPT_USER),
            group: nth_text(globals, global::SCRIPT_USER, 1),
            supplementary_groups: globals.is_set(global::SET_SUPPLEMENTARY_GROUPS),
            startup: globals.command(global::STARTUP_SCRIPT).cloned(),
            startup_timeout: seconds(global::STARTUP_SCRIPT_TIMEOUT, 10),
            shutdown: globals.command(global::SHUTDOWN_SCRIPT).cloned(),
            shutdown_timeout: seconds(global::SHUTDOWN_SCRIPT_TIMEOUT, 10),
            states_on_reload: globals.is_set(global::FIFO_WRITE_VRRP_STATES_ON_RELOAD),
            notify_timeout: globals.time(global::VIPRD_NOTIFY_TIMEOUT),
            skips_overtaken: globals.is_set(global::VIPRD_NOTIFY_SKIP_OVERTAKEN),
            fifos: fifos(globals),
        },
        mail: mail(globals),
        buffers: Buffers {
            netlink_commands: bytes(global::VRRP_NETLINK_CMD_RCV_BUFS),
            netlink_monitor: bytes(global::VRRP_NETLINK_MONITOR_RCV_BUFS),
            process_monitor: bytes(global::PROCESS_MONITOR_RCV_BUFS),
            adverts: {
                let routers = model.blocks(root::VRRP_INSTANCE);
                let own = routers.filter_map(|router| router.int(instance::KERNEL_RX_BUF_SIZE));
                let most = own.chain(globals.int(global::VRRP_RX_BUFS_POLICY)).max();
                most.and_then(|n| u32::try_from(n).ok())
            },
        },
        files: FileSettings {
            state: text(global::STATE_DUMP_FILE),
            stats: text(global::STATS_DUMP_FILE),
            json: text(global::JSON_DUMP_FILE),
            json_version: globals.int(global::JSON_VERSION).and_then(|n| u8::try_from(n).ok()),
            use_instance: globals.is_set(global::DATA_USE_INSTANCE),
        },
    }
}

fn pacing(model: &Section, globals: &Section) -> GarpPacing {
    let of = |section: &Section, key: Key| section.time(key);
    let common = |key: Key| of(globals, key).unwrap_or(Span::ZERO);
    let (gap, gna) = (common(global::VRRP_GARP_INTERVAL), common(global::VRRP_GNA_INTERVAL));
    let group = |section: &Section| GarpGroup {
        garp: of(section, garp::GARP_INTERVAL).unwrap_or(gap),
        gna: of(section, garp::GNA_INTERVAL).unwrap_or(gna),
        interfaces: section
            .text(garp::INTERFACE)
            .into_iter()
            .chain(section.words(garp::INTERFACES).map(|name| &*name.text))
            .map(str::to_owned)
            .collect(),
    };
    GarpPacing { garp: gap, gna, groups: model.blocks(root::GARP_GROUP).map(group).collect() }
}

fn cpus(globals: &Section) -> Vec<u16> {
    let items = globals.get(global::VRRP_CPU_AFFINITY).map_or(&[][..], |setting| setting.items());
    let number = |datum: &Datum| match datum {
        Datum::Int(cpu) => u16::try_from(*cpu).ok(),
        _ => None,
    };
    items.iter().filter_map(|item| number(&item.datum)).collect()
}

fn mail(globals: &Section) -> Mail {
    let text = |key: Key| globals.text(key).map(str::to_owned);
    let lines = globals.lines(global::NOTIFICATION_EMAIL);
    let server = globals.get(global::SMTP_SERVER).and_then(|setting| {
        let port = setting.items().get(1).and_then(|item| match &item.datum {
            Datum::Int(port) => u16::try_from(*port).ok(),
            _ => None,
        });
        Some((text(global::SMTP_SERVER)?, port.unwrap_or(25)))
    });
    Mail {
        to: lines.filter_map(|line| line.name().map(str::to_owned)).collect(),
        from: text(global::NOTIFICATION_EMAIL_FROM),
        server,
        helo: text(global::SMTP_HELO_NAME),
        connect_timeout: globals.time(global::SMTP_CONNECT_TIMEOUT).unwrap_or(Span::from_secs(30)),
        no_faults: globals.is_set(global::NO_EMAIL_FAULTS),
    }
}

fn fifos(globals: &Section) -> Vec<Fifo> {
    let pairs = [
        (global::NOTIFY_FIFO, global::NOTIFY_FIFO_SCRIPT),
        (global::VRRP_NOTIFY_FIFO, global::VRRP_NOTIFY_FIFO_SCRIPT),
    ];
    let fifo = |(path, script): (Key, Key)| {
        Some(Fifo {
            path: globals.text(path)?.to_owned(),
            user: nth_text(globals, path, 1),
            group: nth_text(globals, path, 2),
            script: globals.command(script).cloned(),
        })
    };
    pairs.into_iter().filter_map(fifo).collect()
}

/// A further word of a setting.
fn nth_text(section: &Section, key: Key, index: usize) -> Option<String> {
    match &section.get(key)?.items().get(index)?.datum {
        Datum::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The number that a umask stands for: `0177`, `0x7f`, or bits such as `IRWXG|IRWXO`.
fn umask(word: &str) -> Option<u32> {
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        let radix = if word.len() > 1 && word.starts_with('0') { 8 } else { 10 };
        return u32::from_str_radix(word, radix).ok();
    }
    word.split('|').try_fold(0, |mask, bit| {
        let shift = match bit.get(bit.len().checked_sub(3)?..)? {
            "USR" => 6,
            "GRP" => 3,
            "OTH" => 0,
            _ if bit == "IRWXU" => 6,
            _ if bit == "IRWXG" => 3,
            _ if bit == "IRWXO" => 0,
            _ => return None,
        };
        let bits = match bit.as_bytes() {
            [b'I', b'R', b'W', ..] => 0o7,
            [b'I', b'R', ..] => 0o4,
            [b'I', b'W', ..] => 0o2,
            [b'I', b'X', ..] => 0o1,
            _ => return None,
        };
        Some(mask | bits << shift)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umasks_are_numbers_or_bits() {
        assert_eq!(umask("0177"), Some(0o177));
        assert_eq!(umask("0x7f"), Some(0x7f));
        assert_eq!(umask("63"), Some(63));
        assert_eq!(umask("IXUSR|IRWXG|IRWXO"), Some(0o177));
        assert_eq!(umask("IRGRP|IWOTH"), Some(0o042));
        assert_eq!(umask("FOO"), None);
    }
}
