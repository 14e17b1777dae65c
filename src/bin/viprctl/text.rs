//! Answers as text for people.

use std::io::Write;

use viprd::control::{
    AddressRecord, DaemonRecord, ExplainRecord, GroupRecord, LatencyRecord, Record, ShowRecord,
    StateWord, StatsRecord, StatusRecord, TrackRecord,
};

use crate::connection::{Answer, Failure};
use crate::table::{Align, Cell, Table};

/// How many addresses of a virtual router stand in a table; `show` has them all.
const ADDRESSES_IN_A_ROW: usize = 2;

/// What stands for something unknown.
const UNKNOWN: &str = "-";

/// The table of virtual routers, and on a terminal how many there are in each state.
pub(crate) fn status(
    out: &mut impl Write,
    answer: Answer<'_>,
    colours: bool,
) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("INTERFACE", Align::Left),
        ("VRID", Align::Right),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("PRIO", Align::Right),
        ("MASTER", Align::Left),
        ("LAST ADVERT", Align::Right),
        ("ADDRESSES", Align::Left),
        ("REASON", Align::Left),
    ]);
    let mut states = States::default();
    for record in answer {
        let Record::Status(router) = record? else { return Err(Failure::unexpected()) };
        states.count(router.state);
        table.push(status_row(router, colours));
    }
    table.drop_last_if_empty();
    table.write(out)?;
    if colours && states.total() > 1 {
        writeln!(out, "\n{}", states.words())?;
    }
    Ok(())
}

/// Everything about one virtual router.
pub(crate) fn show(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    let mut shown = false;
    for record in answer {
        let Record::Show(router) = record? else { return Err(Failure::unexpected()) };
        write_show(out, &router)?;
        shown = true;
    }
    if shown { Ok(()) } else { Err(Failure::unexpected()) }
}

/// Why one virtual router is what it is.
pub(crate) fn explain(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    for record in answer {
        let Record::Explain(router) = record? else { return Err(Failure::unexpected()) };
        write_explain(out, &router)?;
    }
    Ok(())
}

/// What has been counted: every counter of one virtual router, or a table of all.
pub(crate) fn stats(out: &mut impl Write, answer: Answer<'_>, one: bool) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("INTERFACE", Align::Left),
        ("VRID", Align::Right),
        ("STATE", Align::Left),
        ("BECAME MASTER", Align::Right),
        ("RECEIVED", Align::Right),
        ("SENT", Align::Right),
        ("PRIO 0 RECEIVED", Align::Right),
        ("PRIO 0 SENT", Align::Right),
        ("ERRORS", Align::Right),
    ]);
    let mut others = None;
    for record in answer {
        match record? {
            Record::Stats(router) if one => {
                writeln!(out, "{}", clean(&router.name))?;
                write_counters(out, router.counters.iter())?;
            }
            Record::Stats(router) => table.push(stats_row(&router)),
            Record::Daemon(daemon) => others = Some(daemon),
            _ => return Err(Failure::unexpected()),
        }
    }
    if !one {
        table.write(out)?;
    }
    if let Some(DaemonRecord { unattributed, counters }) = others.as_deref() {
        writeln!(out, "\nPackets of no virtual router")?;
        write_counters(out, unattributed.iter())?;
        if !counters.is_empty() {
            writeln!(out, "\nDaemon")?;
            write_counters(out, counters.iter().map(|(name, &value)| (name.as_str(), value)))?;
        }
    }
    Ok(())
}

/// The table of times.
pub(crate) fn latency(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    let mut table = Table::new(&[
        ("MEASURED", Align::Left),
        ("COUNT", Align::Right),
        ("P50", Align::Right),
        ("P90", Align::Right),
        ("P99", Align::Right),
        ("P99.9", Align::Right),
        ("MAX", Align::Right),
    ]);
    for record in answer {
        let Record::Latency(times) = record? else { return Err(Failure::unexpected()) };
        table.push(latency_row(&times));
    }
    Ok(table.write(out)?)
}

/// Who answers; viprctl's own version has been written before.
pub(crate) fn version(out: &mut impl Write, answer: Answer<'_>) -> Result<(), Failure> {
    for record in answer {
        let Record::Version(viprd) = record? else { return Err(Failure::unexpected()) };
        writeln!(out, "viprd {}", clean(&viprd.version))?;
        for (title, value) in [
            ("Process", viprd.pid.to_string()),
            ("Started", format!("{} ({} ago)", viprd.started, human(viprd.uptime_seconds))),
            ("Configuration", clean(&viprd.config_file)),
            ("I/O", clean(&viprd.io)),
            ("Virtual routers", viprd.routers.to_string()),
        ] {
            writeln!(out, "  {title:<17}{value}")?;
        }
    }
    Ok(())
}

/// How many virtual routers are in each state.
#[derive(Debug, Default)]
struct States {
    counts: [(usize, &'static str); 4],
}

impl States {
    fn count(&mut self, state: StateWord) {
        let slot = match state {
            StateWord::Master => 0,
            StateWord::Backup => 1,
            StateWord::Fault => 2,
            StateWord::Init => 3,
        };
        self.counts[slot] = (self.counts[slot].0 + 1, state.as_str());
    }

    fn total(&self) -> usize {
        self.counts.iter().map(|(count, _)| count).sum()
    }

    fn words(&self) -> String {
        let counts = self.counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, state)| format!("{count} {state}")).collect();
        format!("{} virtual routers: {}", self.total(), counts.join(", "))
    }
}

fn status_row(router: StatusRecord, colours: bool) -> [Cell; 10] {
    let colour = match router.state {
        _ if !colours => None,
        StateWord::Master => Some("32"), // green
        StateWord::Fault => Some("31"),  // red
        StateWord::Backup | StateWord::Init => None,
    };
    [
        router.name.into(),
        router.interface.as_str().into(),
        router.vrid.to_string().into(),
        Cell::coloured(router.state.as_str(), colour),
        human(router.since_seconds).into(),
        priority(router.effective_priority, router.base_priority).into(),
        router.master.map_or_else(|| UNKNOWN.into(), |master| master.to_string()).into(),
        router.last_advert_seconds.map_or_else(|| UNKNOWN.into(), ago).into(),
        addresses(&router.addresses, &router.interface).into(),
        router.fault.unwrap_or_default().into(),
    ]
}

fn stats_row(router: &StatsRecord) -> [Cell; 10] {
    let counters = &router.counters;
    let number = |count: u64| Cell::from(count.to_string());
    [
        router.name.as_str().into(),
        router.interface.as_str().into(),
        number(router.vrid.into()),
        router.state.as_str().into(),
        number(counters.master_transitions),
        number(counters.advertisement_rcvd),
        number(counters.advertisement_sent),
        number(counters.priority_zero_pkts_rcvd),
        number(counters.priority_zero_pkts_sent),
        number(counters.errors()),
    ]
}

fn write_show(out: &mut impl Write, router: &ShowRecord) -> Result<(), Failure> {
    let status = &router.status;
    writeln!(out, "{}", clean(&status.name))?;
    let mut line = |title: &str, value: String| writeln!(out, "  {title:<18}{value}");
    line(
        "State",
        format!("{} since {} ({})", status.state, status.since, human(status.since_seconds)),
    )?;
    line("Because", clean(&router.cause.words))?;
    if let Some(fault) = status.fault.as_deref().filter(|fault| *fault != router.cause.words) {
        line("Fault", clean(fault))?;
    }
    if let (Some(seconds), Some(will)) = (router.deadline_seconds, next_step(status.state)) {
        line("Next", format!("{will} in {}", human(seconds)))?;
    }
    line("Interface", clean(&status.interface))?;
    let (vrid, version, ip) = (status.vrid, status.version, status.ip_version);
    line("Virtual router", format!("{vrid}, VRRP version {version} over IPv{ip}"))?;
    if let Some(source) = router.source {
        line("Source", source.to_string())?;
    }
    if !router.unicast_peers.is_empty() {
        let peers: Vec<String> = router.unicast_peers.iter().map(ToString::to_string).collect();
        line("Unicast peers", peers.join(", "))?;
    }
    let owner = if router.owner { ", owner of the addresses" } else { "" };
    line(
        "Priority",
        format!("{} (base {}){owner}", status.effective_priority, status.base_priority),
    )?;
    line("Master", master(status))?;
    line(
        "Last advert",
        match (status.last_advert, status.last_advert_seconds) {
            (Some(at), Some(seconds)) => format!("{at} ({})", ago(seconds)),
            _ => "none".into(),
        },
    )?;
    line("Interval", exact(status.interval_seconds))?;
    if router.times.active_interval_seconds != status.interval_seconds {
        line("Master's interval", exact(router.times.active_interval_seconds))?;
    }
    line("Skew time", exact(router.times.skew_seconds))?;
    line("Down interval", exact(router.times.down_interval_seconds))?;
    if let Some(form) = &router.checksum {
        line("Checksum", clean(form))?;
    }
    if router.authentication != "none" {
        line("Authentication", clean(&router.authentication))?;
    }
    line("Preempt", preempt(router))?;
    let must_be_up = router.tracked_interfaces.iter().map(|name| format!("interface {name}"));
    let tracks: Vec<String> = must_be_up.chain(router.tracks.iter().cloned()).collect();
    line("Tracks", list(&tracks))?;
    let mut title = "Addresses";
    for address in &status.addresses {
        line(title, full_address(address))?;
        title = "";
    }
    let mut title = "Routes and rules";
    for route in &router.routes {
        line(title, clean(route))?;
        title = "";
    }
    if let Some(set) = router.addresses_set {
        line("", if set { "all on the host" } else { "being added to the host" }.into())?;
    }
    let garp = &router.garp;
    line(
        if status.ip_version == 6 { "Neighbour adverts" } else { "Gratuitous ARPs" },
        format!("{}, {}", set(garp.repeat, garp.delay_seconds), refresh(router)),
    )?;
    line("  to a rival", set(garp.lower_priority_repeat, garp.lower_priority_delay_seconds))?;
    writeln!(out, "  Counters")?;
    write_counters(out, router.counters.iter())?;
    Ok(())
}

fn write_explain(out: &mut impl Write, router: &ExplainRecord) -> Result<(), Failure> {
    let mut state = format!("{} is {}", router.name, router.state);
    if let Some(fault) = &router.fault {
        state += &format!(": {fault}");
    }
    writeln!(out, "{}", clean(&state))?;
    writeln!(out, "\nPriority")?;
    writeln!(out, "  {:>5}  configured", router.base_priority)?;
    for track in &router.tracks {
        let TrackRecord { kind, name, state, weight, reverse, moves, fault } = track;
        let moves = match (weight, fault) {
            (_, true) => "FAULT".to_owned(),
            (0, false) => "must".to_owned(),
            _ => format!("{moves:+}"),
        };
        let reverse = if *reverse { ", reversed" } else { "" };
        let weight = if *weight == 0 { String::new() } else { format!(", weight {weight}") };
        let words = clean(&format!("{kind} {name}: {state}{weight}{reverse}"));
        writeln!(out, "  {moves:>5}  {words}")?;
    }
    writeln!(out, "  {:>5}  effective", router.effective_priority)?;
    if let Some(group) = &router.group {
        let GroupRecord { name, state, members, ready, faulty, faulty_names } = group;
        writeln!(out, "\nSync group {}", clean(name))?;
        writeln!(out, "  {state}, {members} members, {ready} ready, {faulty} in fault")?;
        if !faulty_names.is_empty() {
            writeln!(out, "  In fault: {}", clean(&faulty_names.join(", ")))?;
        }
    }
    if !router.to_become_master.is_empty() {
        writeln!(out, "\nTo become master")?;
        for needed in &router.to_become_master {
            writeln!(out, "  {}", clean(needed))?;
        }
    }
    Ok(())
}

/// What a router does at its deadline.
fn next_step(state: StateWord) -> Option<&'static str> {
    match state {
        StateWord::Backup => Some("takes over, unless it hears the master,"),
        StateWord::Master => Some("advertises"),
        StateWord::Init | StateWord::Fault => None,
    }
}

fn master(status: &StatusRecord) -> String {
    match (status.master, status.master_priority) {
        (None, _) => "none known".into(),
        (Some(_), _) if status.state == StateWord::Master => "itself".into(),
        (Some(address), None) => address.to_string(),
        (Some(address), Some(priority)) => format!("{address}, priority {priority}"),
    }
}

fn preempt(router: &ShowRecord) -> String {
    let delay = router.preempt_delay_seconds;
    match (router.preempt, router.preempt_waiting_since) {
        (false, _) => "never".into(),
        (true, _) if delay == 0.0 => "at once".into(),
        (true, None) => format!("after {}", exact(delay)),
        (true, Some(since)) => format!("after {}, counted since {since}", exact(delay)),
    }
}

/// A set of gratuitous ARPs and its second.
fn set(repeat: u32, delay: f64) -> String {
    match (repeat, delay) {
        (0, _) => "none".into(),
        (repeat, 0.0) => format!("{repeat} at once"),
        (repeat, delay) => format!("{repeat} at once, {repeat} after {}", exact(delay)),
    }
}

fn refresh(router: &ShowRecord) -> String {
    match router.garp.refresh_seconds {
        0.0 => "no refresh".into(),
        refresh => format!("{} every {}", router.garp.refresh_repeat, exact(refresh)),
    }
}

fn write_counters<'a>(
    out: &mut impl Write,
    counters: impl Iterator<Item = (&'a str, u64)>,
) -> Result<(), Failure> {
    for (name, value) in counters {
        writeln!(out, "    {:<28}{value:>12}", clean(name))?;
    }
    Ok(())
}

/// The effective priority, and the configured one if it is another.
fn priority(effective: u8, base: u8) -> String {
    if effective == base { base.to_string() } else { format!("{effective}/{base}") }
}

/// The first addresses, with their interface if it is not the router's own, and how many more.
fn addresses(addresses: &[AddressRecord], own_interface: &str) -> String {
    let mut words: Vec<String> = addresses
        .iter()
        .take(ADDRESSES_IN_A_ROW)
        .map(|address| match &*address.interface {
            interface if interface == own_interface => address.address.clone(),
            interface => format!("{} dev {interface}", address.address),
        })
        .collect();
    match addresses.len().checked_sub(ADDRESSES_IN_A_ROW) {
        _ if addresses.is_empty() => return UNKNOWN.into(),
        None | Some(0) => {}
        Some(more) => words.push(format!("+{more}")),
    }
    words.join(", ")
}

fn latency_row(times: &LatencyRecord) -> [Cell; 7] {
    let short = |seconds: Option<f64>| Cell::from(seconds.map_or(UNKNOWN.into(), short));
    [
        times.name.clone().into(),
        times.count.to_string().into(),
        short(times.p50_seconds),
        short(times.p90_seconds),
        short(times.p99_seconds),
        short(times.p99_9_seconds),
        short(times.max_seconds),
    ]
}

fn full_address(address: &AddressRecord) -> String {
    let mut words = format!("{} dev {}", address.address, address.interface);
    if let Some(broadcast) = address.broadcast {
        words += &format!(" brd {broadcast}");
    }
    if let Some(label) = &address.label {
        words += &format!(" label {label}");
    }
    if address.scope != 0 {
        words += &format!(" scope {}", address.scope);
    }
    if address.excluded {
        words += " (excluded)";
    }
    clean(&words)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { clean(&names.join(", ")) }
}

/// Text without control characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn ago(seconds: f64) -> String {
    format!("{} ago", human(seconds))
}

/// A length of time in its two largest units, rounded down: `3m12s`, `4ms`.
fn human(seconds: f64) -> String {
    let whole = seconds as u64; // saturates; NaN is 0
    match whole {
        0 => format!("{}ms", (seconds * 1000.0) as u64),
        1..10 => format!("{}.{}s", whole, ((seconds - whole as f64) * 10.0) as u64),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A measured length of time in three digits: `870ns`, `52.4µs`, `1.07ms`, `12.0s`.
fn short(seconds: f64) -> String {
    let nanos = seconds * 1e9;
    let (value, unit) = match nanos {
        // What would be rounded to 1000 has the next unit.
        ..999.5 => return format!("{nanos:.0}ns"),
        ..999.5e3 => (nanos / 1e3, "µs"),
        ..999.5e6 => (nanos / 1e6, "ms"),
        _ => (seconds, "s"),
    };
    match value {
        ..9.995 => format!("{value:.2}{unit}"),
        ..99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// A configured or derived length of time, to the microsecond: `1s`, `0.605469s`.
fn exact(seconds: f64) -> String {
    let text = format!("{seconds:.6}");
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        for (seconds, words) in [
            (0.0, "0ms"),
            (0.0042, "4ms"),
            (0.9999, "999ms"),
            (1.0, "1.0s"),
            (9.99, "9.9s"),
            (10.0, "10s"),
            (59.9, "59s"),
            (192.0, "3m12s"),
            (3600.0, "1h00m"),
            (90_061.0, "1d01h"),
            (1e300, "213503982334601d07h"),
            (-1.0, "0ms"),
            (f64::NAN, "0ms"),
        ] {
            assert_eq!(human(seconds), words, "{seconds}");
        }
        for (seconds, words) in
            [(1.0, "1s"), (0.01, "0.01s"), (0.60546875, "0.605469s"), (0.0, "0s"), (100.0, "100s")]
        {
            assert_eq!(exact(seconds), words);
        }
    }

    #[test]
    fn measured_times_have_three_digits() {
        for (seconds, words) in [
            (0.0, "0ns"),
            (870e-9, "870ns"),
            (999.4e-9, "999ns"),
            (999.6e-9, "1.00µs"),
            (52.44e-6, "52.4µs"),
            (1.0749e-3, "1.07ms"),
            (99.96e-3, "100ms"),
            (12.0, "12.0s"),
            (137.4, "137s"),
            (f64::NAN, "NaNs"),
        ] {
            assert_eq!(short(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn a_row_stays_readable_with_many_addresses() {
        let address = |n: u8, interface: &str| AddressRecord {
            address: format!("10.0.0.{n}/24"),
            interface: interface.into(),
            broadcast: None,
            label: None,
            excluded: false,
            scope: 0,
        };
        let of = |list: &[AddressRecord]| addresses(list, "eth0");
        assert_eq!(of(&[]), "-");
        assert_eq!(of(&[address(1, "eth0")]), "10.0.0.1/24");
        assert_eq!(of(&[address(1, "eth1")]), "10.0.0.1/24 dev eth1");
        let many: Vec<_> = (1..=20).map(|n| address(n, "eth0")).collect();
        assert_eq!(of(&many), "10.0.0.1/24, 10.0.0.2/24, +18");
    }

    #[test]
    fn states_are_counted_in_words() {
        let mut states = States::default();
        for state in [StateWord::Fault, StateWord::Master, StateWord::Fault] {
            states.count(state);
        }
        assert_eq!(states.words(), "3 virtual routers: 1 MASTER, 2 FAULT");
    }

    #[test]
    fn a_priority_changed_by_tracking_shows_both() {
        assert_eq!(priority(100, 100), "100");
        assert_eq!(priority(80, 100), "80/100");
    }
}
