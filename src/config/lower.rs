//! **From the model to parameters**: defaults filled in, names turned into ids, and what can't work
//! on the wire refused.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::diagnostic::{Diagnostic, Findings, codes};
use super::keywords::{
    Key, Place, address as addr, global, instance, root, tracking::interface as tracked,
};
use super::model::{Datum, Entry, Item, Section, Setting};
use super::{Configuration, Global, Process};
use crate::base::{Centis, Label, LinkId, LinkNames, Scope, Span, VirtualAddress, Vrid};
use crate::vrrp::{GarpParams, Preempt, RouterParams};
use crate::wire::{ChecksumForm, Version};

/// Turns a model into what the daemon runs on.
pub(super) fn lower(model: &Section, findings: &mut Findings) -> Configuration {
    let empty = Section::new(Place::Global, None);
    let globals = model.blocks(root::GLOBAL_DEFS).last().unwrap_or(&empty);
    let mut lowering = Lowering {
        globals,
        links: LinkNames::default(),
        findings,
        names: HashMap::new(),
        wire_ids: HashMap::new(),
    };
    let global = lowering.global();
    let routers =
        model.blocks(root::VRRP_INSTANCE).filter_map(|section| lowering.router(section)).collect();
    Configuration { global, links: lowering.links, routers }
}

struct Lowering<'m, 'f> {
    globals: &'m Section,
    links: LinkNames,
    findings: &'f mut Findings,
    /// Names of virtual routers so far.
    names: HashMap<&'m str, &'m Section>,
    /// Interface, family and vrid of virtual routers so far.
    wire_ids: HashMap<(LinkId, bool, u8), &'m Section>,
}

impl<'m> Lowering<'m, '_> {
    fn global(&self) -> Global {
        let router_id = self.globals.text(global::ROUTER_ID).map(str::to_owned);
        Global { router_id, process: self.process() }
    }

    fn process(&self) -> Process {
        let small = |key: Key| self.globals.int(key).and_then(|number| i8::try_from(number).ok());
        let micros =
            |key: Key| self.globals.int(key).map(|number| Span::from_micros(number.unsigned_abs()));
        let cpus = self.globals.get(global::VRRP_CPU_AFFINITY).map_or(&[][..], Setting::items);
        let cpu = |item: &Item| match item.datum {
            Datum::Int(cpu) => u16::try_from(cpu).ok(),
            _ => None,
        };
        Process {
            nice: small(global::VRRP_PRIORITY),
            realtime: small(global::VRRP_RT_PRIORITY).and_then(|number| u8::try_from(number).ok()),
            realtime_limit: micros(global::VRRP_RLIMIT_RTTIME),
            max_auto_priority: match self.globals.get(global::MAX_AUTO_PRIORITY) {
                Some(setting) if setting.items().is_empty() => Some(99),
                _ => small(global::MAX_AUTO_PRIORITY),
            },
            min_auto_priority_delay: micros(global::MIN_AUTO_PRIORITY_DELAY),
            no_swap: self.globals.is_set(global::VRRP_NO_SWAP),
            cpus: cpus.iter().filter_map(cpu).collect(),
            spin: micros(global::VIPRD_SPIN_US).unwrap_or(Span::ZERO),
        }
    }

    /// A virtual router; `None` if it can't run, which is told.
    fn router(&mut self, section: &'m Section) -> Option<RouterParams> {
        if let Some(first) = self.names.insert(section.title(), section) {
            self.names.insert(section.title(), first);
            self.duplicate_name(section, first);
            return None;
        }
        let interface = section.text(instance::INTERFACE);
        let vrid = self.vrid(section);
        let Some(interface) = interface else {
            if !section.refused.contains(&instance::INTERFACE) {
                self.lacks(section, codes::NO_INTERFACE, "no interface", "interface eth0");
            }
            return None;
        };
        let vrid = vrid?;
        let link = self.links.intern(interface);
        let version = self.version(section);
        let addresses = self.addresses(section, link);
        let is_v6 = addresses.first().is_some_and(|address| address.ip.is_ipv6());
        let version = if is_v6 { Version::V3 } else { version };
        if let Some(first) = self.wire_ids.insert((link, is_v6, vrid.get()), section) {
            self.clash(section, first, interface, vrid);
        }
        Some(RouterParams {
            name: section.title().into(),
            link,
            vrid,
            version,
            // keepalived's default, and keepalived 2.2 takes no other: two of them, of which one
            // is replaced by us, must go on understanding each other.
            checksum_form: ChecksumForm::PseudoHeader,
            priority: self.priority(section),
            interval: self.interval(section, version),
            preempt: self.preempt(section),
            tracked_links: self.tracked_links(section),
            addresses,
            garp: self.garp(section),
        })
    }

    fn vrid(&mut self, section: &Section) -> Option<Vrid> {
        let Some(vrid) = section.int(instance::VIRTUAL_ROUTER_ID) else {
            if !section.refused.contains(&instance::VIRTUAL_ROUTER_ID) {
                self.lacks(section, codes::NO_VRID, "no virtual_router_id", "virtual_router_id 51");
            }
            return None;
        };
        Vrid::new(u8::try_from(vrid).ok()?)
    }

    fn version(&self, section: &Section) -> Version {
        let given = section.int(instance::VERSION);
        match given.or_else(|| self.globals.int(global::VRRP_VERSION)) {
            Some(3) => Version::V3,
            _ => Version::V2,
        }
    }

    /// `state MASTER` without a priority means 255, as keepalived has it.
    fn priority(&self, section: &Section) -> u8 {
        match section.int(instance::PRIORITY) {
            Some(priority) => priority.clamp(1, 255) as u8,
            None if section.text(instance::STATE) == Some("MASTER") => 255,
            None => 100,
        }
    }

    fn interval(&mut self, section: &Section, version: Version) -> Centis {
        let Some(setting) = section.get(instance::ADVERT_INT) else { return Centis::DEFAULT };
        let Some(Datum::Time(time)) = setting.datum() else { return Centis::DEFAULT };
        let span = setting.value_span();
        let centis = time.as_nanos() / 10_000_000;
        let exact = time.as_nanos() % 10_000_000 == 0;
        match version {
            Version::V2 if !exact || centis % 100 != 0 => {
                let seconds = centis.div_ceil(100).max(1);
                let message =
                    format!("VRRPv2 can't carry an interval of {time} seconds, only whole seconds");
                self.findings.push(
                    Diagnostic::new(codes::INTERVAL_NOT_V2, span, message)
                        .label(format!("{seconds} is used instead"))
                        .help("write `version 3` for fractions of a second, on all routers that share the addresses")
                        .help(format!("or write `advert_int {seconds}`")),
                );
                Centis::from_secs(seconds.min(255) as u8).unwrap_or(Centis::DEFAULT)
            }
            Version::V3 if !exact || centis > u64::from(Centis::MAX_V3.get()) => {
                let used = centis.clamp(1, u64::from(Centis::MAX_V3.get())) as u16;
                let used = Centis::new(used).unwrap_or(Centis::DEFAULT);
                let message = format!(
                    "VRRPv3 can't carry an interval of {time} seconds: it has hundredths of a second, at most 40.95"
                );
                self.findings.push(
                    Diagnostic::new(codes::INTERVAL_NOT_V3, span, message)
                        .label(format!("{used} is used instead"))
                        .help(format!("write `advert_int {used}`")),
                );
                used
            }
            _ => Centis::new(centis as u16).unwrap_or(Centis::DEFAULT),
        }
    }

    fn preempt(&self, section: &Section) -> Preempt {
        if section.is_set(instance::NOPREEMPT) && self.priority(section) != 255 {
            return Preempt::Never;
        }
        Preempt::After(section.time(instance::PREEMPT_DELAY).unwrap_or(Span::ZERO))
    }

    fn tracked_links(&mut self, section: &Section) -> Box<[LinkId]> {
        let mut links = Vec::new();
        for entry in section.lines(instance::TRACK_INTERFACE) {
            let weight = entry.get(tracked::WEIGHT).and_then(|setting| setting.int());
            if let (Some(name), None | Some(0)) = (entry.name(), weight) {
                let link = self.links.intern(name);
                if !links.contains(&link) {
                    links.push(link);
                }
            }
        }
        links.into()
    }

    fn addresses(&mut self, section: &Section, link: LinkId) -> Box<[VirtualAddress]> {
        let mut addresses: Vec<VirtualAddress> = Vec::new();
        for entry in section.lines(instance::VIRTUAL_IPADDRESS) {
            let Some(address) = self.address(entry, link) else { continue };
            if let Some(first) = addresses.first()
                && first.ip.is_ipv4() != address.ip.is_ipv4()
            {
                let family = |ip: IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
                let message = format!(
                    "`{}` is an {} address, but `{}` is a virtual router of {}",
                    address.ip,
                    family(address.ip),
                    section.title(),
                    family(first.ip)
                );
                let span = entry.subject_span();
                self.findings.push(
                    Diagnostic::new(codes::WRONG_FAMILY, span, message)
                        .label("left out")
                        .help("move it to `virtual_ipaddress_excluded`, or to a virtual router of its own"),
                );
                continue;
            }
            if !addresses.iter().any(|other| other.ip == address.ip && other.link == address.link) {
                addresses.push(address);
            }
        }
        addresses.into()
    }

    fn address(&mut self, entry: &Entry, link: LinkId) -> Option<VirtualAddress> {
        let Some(Datum::Prefix(ip, length)) = entry.subject().map(|item| &item.datum) else {
            return None;
        };
        let prefix_len = length.unwrap_or(if ip.is_ipv4() { 32 } else { 128 });
        let link = match entry.get(addr::DEV).and_then(|setting| setting.text()) {
            Some(name) => self.links.intern(name),
            None => link,
        };
        let label = entry.get(addr::LABEL).and_then(|setting| setting.text());
        let scope = entry.get(addr::SCOPE).and_then(|setting| setting.text());
        Some(VirtualAddress {
            ip: *ip,
            prefix_len,
            link,
            broadcast: broadcast(entry, *ip, prefix_len),
            label: label.and_then(|label| Label::from(label).ok()),
            scope: scope.map_or(Scope::GLOBAL, scope_of),
        })
    }

    fn garp(&self, section: &Section) -> GarpParams {
        let pick = |own: Key, common: Key| section.int(own).or_else(|| self.globals.int(common));
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let seconds = |number: i64| Span::from_secs(number.unsigned_abs());
        let default = GarpParams::default();
        let repeat = pick(instance::GARP_MASTER_REPEAT, global::VRRP_GARP_MASTER_REPEAT)
            .map_or(default.repeat, count);
        let delay = pick(instance::GARP_MASTER_DELAY, global::VRRP_GARP_MASTER_DELAY)
            .map_or(default.delay, seconds);
        GarpParams {
            repeat,
            delay,
            refresh: pick(instance::GARP_MASTER_REFRESH, global::VRRP_GARP_MASTER_REFRESH)
                .map_or(default.refresh, seconds),
            refresh_repeat: pick(
                instance::GARP_MASTER_REFRESH_REPEAT,
                global::VRRP_GARP_MASTER_REFRESH_REPEAT,
            )
            .map_or(default.refresh_repeat, count),
            lower_priority_repeat: pick(
                instance::GARP_LOWER_PRIO_REPEAT,
                global::VRRP_GARP_LOWER_PRIO_REPEAT,
            )
            .map_or(repeat, count),
            lower_priority_delay: pick(
                instance::GARP_LOWER_PRIO_DELAY,
                global::VRRP_GARP_LOWER_PRIO_DELAY,
            )
            .map_or(delay, seconds),
        }
    }

    fn lacks(
        &mut self,
        section: &Section,
        code: &'static super::diagnostic::Code,
        what: &str,
        example: &str,
    ) {
        let Some(name) = &section.name else { return };
        let message = format!("`{}` has {what}", name.text);
        self.findings.push(
            Diagnostic::new(code, name.span, message)
                .label("this virtual router is left out")
                .help(format!("add a line such as `{example}`")),
        );
    }

    fn duplicate_name(&mut self, section: &Section, first: &Section) {
        let (Some(name), Some(before)) = (&section.name, &first.name) else { return };
        let message = format!("there is a virtual router called `{}` already", name.text);
        self.findings.push(
            Diagnostic::new(codes::DUPLICATE_NAME, name.span, message)
                .label("this one is left out")
                .related(before.span, "the first one is here")
                .help("give it a name of its own"),
        );
    }

    fn clash(&mut self, section: &Section, first: &Section, interface: &str, vrid: Vrid) {
        let (Some(name), Some(before)) = (&section.name, &first.name) else { return };
        let at = |section: &Section, otherwise| {
            section
                .get(instance::VIRTUAL_ROUTER_ID)
                .map_or(otherwise, |setting| setting.value_span())
        };
        let message = format!(
            "`{}` and `{}` have the same virtual_router_id {vrid} on interface {interface}",
            before.text, name.text
        );
        self.findings.push(
            Diagnostic::new(codes::VRID_CLASH, at(section, name.span), message)
                .label(format!("of `{}`", name.text))
                .related(at(first, before.span), format!("of `{}`", before.text))
                .help("give one of them another virtual_router_id, the same on all routers that share its addresses"),
        );
    }
}

fn broadcast(entry: &Entry, ip: IpAddr, prefix_len: u8) -> Option<Ipv4Addr> {
    let IpAddr::V4(ip) = ip else { return None };
    let host_bits = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
    match entry.get(addr::BROADCAST)?.datum()? {
        Datum::Ip(IpAddr::V4(broadcast)) => Some(*broadcast),
        Datum::HostBits(true) => Some(Ipv4Addr::from_bits(ip.to_bits() | host_bits)),
        Datum::HostBits(false) => Some(Ipv4Addr::from_bits(ip.to_bits() & !host_bits)),
        _ => None,
    }
}

/// The number of a scope (`rtnetlink(7)`).
fn scope_of(word: &str) -> Scope {
    match word {
        "global" => Scope::GLOBAL,
        "site" => Scope(200),
        "link" => Scope::LINK,
        "host" => Scope::HOST,
        "nowhere" => Scope(255),
        number => number.parse().map_or(Scope::GLOBAL, Scope),
    }
}
