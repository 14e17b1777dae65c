//! **From the model to parameters**: defaults filled in, names turned into ids, and what can't work
//! on the wire refused.

pub(super) mod vmac;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use super::facts::{Facts, default_interface, ip_of};
use super::iproute::Names;
use super::keywords::route::{routes, rules};
use super::keywords::{Key, address as addr, global, group::peer, instance, root};
use super::model::{Datum, Entry, Section};
use super::track::Trackers;
use super::ways::{FIRST_PREFERENCE, Reading};
use super::{Configuration, Static, Statics, conduct, notify, settings};
use crate::base::{
    AddressOptions, Family, Label, LinkId, LinkNames, Scope, Span, TrackId, VirtualAddress, Vrid,
    Way, WayKind,
};
use crate::vrrp::{Extras, GarpParams, Peer, Preempt, RouterParams, Transport, Unicast};
use crate::wire::Version;
use crate::wire::vrrp::standard_group;
use vmac::{Vmac, Vmacs};

/// Turns a model into what the daemon runs on; `routers` are those that can run.
pub(super) fn lower<'m>(
    model: &'m Section,
    globals: &'m Section,
    names: &'m Names,
    routers: &[Facts<'m>],
) -> Configuration {
    let links = LinkNames::default();
    let trackers = Trackers::new(model);
    let preferences = [FIRST_PREFERENCE; 2];
    let vmacs = Vmacs::default();
    let mut lowering = Lowering { globals, names, links, trackers, vmacs, preferences };
    lowering.vmacs.reserve(routers);
    let global = settings::settings(model, globals);
    let notifications = notify::notifications(model, globals, routers);
    let facts = routers;
    let statics = lowering.statics(model);
    let routers = routers.iter().filter_map(|router| lowering.router(router)).collect();
    let link_delays = lowering.link_delays(model, facts);
    let trackers = lowering.trackers.into_found();
    let links = lowering.links;
    Configuration { global, links, routers, trackers, link_delays, notifications, statics }
}

struct Lowering<'m> {
    globals: &'m Section,
    names: &'m Names,
    links: LinkNames,
    trackers: Trackers<'m>,
    vmacs: Vmacs,
    /// The preferences of the next rules that are given none.
    preferences: [u32; 2],
}

impl<'m> Lowering<'m> {
    /// A virtual router; `None` if it lacks what it needs, which the checks have told.
    fn router(&mut self, router: &Facts<'m>) -> Option<RouterParams> {
        let link = self.links.intern(router.interface?);
        let section = router.section;
        let (conduct, checksum_form) = conduct::conduct(router);
        let mut garp = self.garp(section);
        if router.strict {
            // No RFC has gratuitous ARPs against a rival.
            garp.lower_priority_repeat = 0;
        }
        let mut vmac = Vmac::of(router, link, router.vrid?);
        // Also without an address: the virtual MAC is ours to answer for.
        self.home(&mut vmac, link, None);
        let (addresses, extras) = self.besides(router, link, &mut vmac);
        let (tracked_links, tracking) = self.trackers.tracking(router, &mut self.links);
        Some(RouterParams {
            name: router.name().into(),
            link,
            vrid: Vrid::new(router.vrid?)?,
            version: router.version,
            transport: transport(router),
            checksum_form,
            priority: router.priority,
            interval: router.interval().1,
            preempt: preempt(router),
            tracked_links,
            tracking,
            addresses,
            extras,
            garp,
            conduct,
            source_mac: vmac.source(),
            macvlans: vmac.macvlans(),
            accept: accepts(router),
        })
    }

    /// `interface_up_down_delays`, each cut down to what the routers on the interface can bear: after
    /// that, others already miss their adverts.
    fn link_delays(&mut self, model: &Section, routers: &[Facts<'_>]) -> Vec<(LinkId, Span, Span)> {
        let mut entries = model.lines(root::INTERFACE_UP_DOWN_DELAYS).peekable();
        if entries.peek().is_none() {
            return Vec::new();
        }
        let on_interface: HashMap<&str, &Facts<'_>> =
            routers.iter().rev().filter_map(|router| Some((router.interface?, router))).collect();
        let delays = entries.filter_map(|entry| {
            let name = entry.name()?;
            let most = on_interface.get(name).map(|router| {
                let own = router.section.int(instance::DOWN_TIMER_ADVERTS);
                let adverts = own.or_else(|| self.globals.int(global::VRRP_DOWN_TIMER_ADVERTS));
                let adverts = adverts.unwrap_or(3).unsigned_abs();
                router.interval().1.span().times(adverts.saturating_sub(1))
            });
            let time = |index: usize| match entry.items.get(index).map(|item| &item.datum) {
                Some(Datum::Time(time)) => most.map_or(*time, |most| most.min(*time)),
                _ => Span::ZERO,
            };
            Some((name, time(1), time(2)))
        });
        let delays: Vec<_> = delays.collect();
        delays.into_iter().map(|(name, down, up)| (self.links.intern(name), down, up)).collect()
    }

    /// Its addresses, first those that adverts list, and what else it has.
    fn besides(
        &mut self,
        router: &Facts<'_>,
        link: LinkId,
        vmac: &mut Vmac<'_>,
    ) -> (Box<[VirtualAddress]>, Extras) {
        let mut seen = HashSet::new();
        let (mut addresses, mut untracked) = (Vec::new(), Vec::new());
        let (mut listed, mut advertised) = (0, Vec::new());
        let own = router.addresses().map(|(entry, _)| (entry, true));
        let excluded = router.section.lines(instance::VIRTUAL_IPADDRESS_EXCLUDED);
        for (entry, is_own) in own.chain(excluded.map(|entry| (entry, false))) {
            let Some(address) = self.address(entry, link, vmac) else { continue };
            let place = (address.link, address.ip);
            if is_own {
                advertised.push(address.ip);
            }
            if seen.insert(place) {
                if entry.get(addr::NO_TRACK).is_some() {
                    untracked.push(place);
                }
                addresses.push(address);
                listed += usize::from(is_own);
            }
        }
        let most = router.most_addresses();
        // One that is written twice is listed twice by keepalived; peers compare.
        let repeats = advertised.len() != listed;
        advertised.truncate(if repeats { most } else { 0 });
        let listed = listed.min(most);
        let extras = Extras {
            excluded: addresses.len() - listed,
            advertised: advertised.into(),
            untracked: untracked.into(),
            ways: {
                let section = router.section;
                let routes = section.lines(instance::VIRTUAL_ROUTES);
                let ways = self.ways(routes, section.lines(instance::VIRTUAL_RULES));
                ways.into_iter().map(|(way, _)| way).collect()
            },
        };
        (addresses.into(), extras)
    }

    /// Routes and policy rules; what is wrong with those that are left out the checks have told.
    fn ways<'e>(
        &mut self,
        routes: impl Iterator<Item = &'e Entry>,
        rules: impl Iterator<Item = &'e Entry>,
    ) -> Vec<(Way, &'e Entry)> {
        let links = &mut self.links;
        let mut reading = Reading {
            names: self.names,
            link: &mut |name| links.intern(name),
            preferences: &mut self.preferences,
        };
        let mut ways: Vec<(Way, &Entry)> = Vec::new();
        ways.extend(routes.filter_map(|entry| Some((reading.route(entry).ok()?, entry))));
        ways.extend(rules.filter_map(|entry| Some((reading.rule(entry).ok()?, entry))));
        let mut seen = HashSet::new();
        let again: Vec<bool> = ways.iter().map(|(way, _)| !seen.insert(&way.what)).collect();
        let mut again = again.into_iter();
        ways.retain(|_| again.next() == Some(false));
        ways
    }

    /// What is there all the time.
    fn statics(&mut self, model: &'m Section) -> Statics {
        let default = default_interface(self.globals);
        let mut addresses: Vec<VirtualAddress> = Vec::new();
        let mut groups = Vec::new();
        for entry in model.lines(root::STATIC_IPADDRESS) {
            let own = entry.get(addr::DEV).and_then(|setting| setting.text());
            let link = self.links.intern(own.unwrap_or(default));
            let Some(address) = address(entry, link) else { continue };
            if !addresses.iter().any(|other| (other.ip, other.link) == (address.ip, link)) {
                self.group(&mut groups, entry, addr::TRACK_GROUP, Static::Address(addresses.len()));
                addresses.push(address);
            }
        }
        let mut ways = Vec::new();
        let lines = self.ways(model.lines(root::STATIC_ROUTES), model.lines(root::STATIC_RULES));
        for (way, entry) in lines {
            let key = match way.what {
                WayKind::Route(_) => routes::TRACK_GROUP,
                WayKind::Rule(_) => rules::TRACK_GROUP,
            };
            self.group(&mut groups, entry, key, Static::Way(ways.len()));
            ways.push(way);
        }
        Statics { addresses: addresses.into(), ways: ways.into(), groups }
    }

    fn group(
        &mut self,
        groups: &mut Vec<(TrackId, Static)>,
        entry: &'m Entry,
        key: Key,
        what: Static,
    ) {
        if let Some(name) = entry.get(key).and_then(|setting| setting.text()) {
            groups.push((self.trackers.statics(name), what));
        }
    }

    fn address(
        &mut self,
        entry: &Entry,
        link: LinkId,
        vmac: &mut Vmac<'_>,
    ) -> Option<VirtualAddress> {
        let link = match entry.get(addr::DEV).and_then(|setting| setting.text()) {
            Some(name) => self.links.intern(name),
            None => link,
        };
        let link = self.home(vmac, link, Some(entry));
        address(entry, link)
    }

    fn garp(&self, section: &Section) -> GarpParams {
        let globals = self.globals;
        let count = |own: Key, common: Key| {
            let number = section.int(own).or_else(|| globals.int(common))?;
            u32::try_from(number).ok()
        };
        let time = |own: Key, common: Key| section.time(own).or_else(|| globals.time(common));
        let default = if globals.is_set(global::VRRP_MIN_GARP) {
            GarpParams { repeat: 1, delay: Span::ZERO, refresh_repeat: 0, ..GarpParams::default() }
        } else {
            GarpParams::default()
        };
        let repeat = count(instance::GARP_MASTER_REPEAT, global::VRRP_GARP_MASTER_REPEAT)
            .unwrap_or(default.repeat);
        let extra = section.get(instance::GARP_EXTRA_IF);
        let extra = extra.or_else(|| globals.get(global::VRRP_GARP_EXTRA_IF));
        let extra = extra.map_or(&[][..], |setting| setting.items());
        let seconds = extra.iter().find_map(|item| match item.datum {
            Datum::Int(seconds) => u64::try_from(seconds).ok(),
            _ => None,
        });
        let delay = time(instance::GARP_MASTER_DELAY, global::VRRP_GARP_MASTER_DELAY)
            .unwrap_or(default.delay);
        GarpParams {
            repeat,
            delay,
            refresh: time(instance::GARP_MASTER_REFRESH, global::VRRP_GARP_MASTER_REFRESH)
                .unwrap_or(default.refresh),
            refresh_repeat: count(
                instance::GARP_MASTER_REFRESH_REPEAT,
                global::VRRP_GARP_MASTER_REFRESH_REPEAT,
            )
            .unwrap_or(default.refresh_repeat),
            // What isn't given follows the daemon's settings, not the virtual router's own.
            lower_priority_repeat: count(
                instance::GARP_LOWER_PRIO_REPEAT,
                global::VRRP_GARP_LOWER_PRIO_REPEAT,
            )
            .or_else(|| u32::try_from(globals.int(global::VRRP_GARP_MASTER_REPEAT)?).ok())
            .unwrap_or(default.repeat),
            lower_priority_delay: time(
                instance::GARP_LOWER_PRIO_DELAY,
                global::VRRP_GARP_LOWER_PRIO_DELAY,
            )
            .or_else(|| globals.time(global::VRRP_GARP_MASTER_DELAY))
            .unwrap_or(default.delay),
            extra: Span::from_secs(seconds.unwrap_or(0)),
            extra_all: extra.len() > 1,
        }
    }
}

/// The address of a line, on that interface.
fn address(entry: &Entry, link: LinkId) -> Option<VirtualAddress> {
    let Some(Datum::Prefix(ip, length)) = entry.subject().map(|item| &item.datum) else {
        return None;
    };
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let (peer, peer_len) = match entry.get(addr::PEER).and_then(|setting| setting.datum()) {
        Some(Datum::Prefix(peer, length)) if peer.is_ipv4() == ip.is_ipv4() => {
            (Some(*peer).filter(|peer| peer != ip), Some(length.unwrap_or(longest)))
        }
        _ => (None, None),
    };
    let prefix_len = peer_len.or(*length).unwrap_or(longest);
    let label = entry.get(addr::LABEL).and_then(|setting| setting.text());
    let scope = entry.get(addr::SCOPE).and_then(|setting| setting.text());
    Some(VirtualAddress {
        ip: *ip,
        prefix_len,
        link,
        broadcast: broadcast(entry, *ip, prefix_len),
        label: label.and_then(|label| Label::from(label).ok()),
        scope: scope.map_or(Scope::GLOBAL, scope_of),
        options: options(entry, peer, ip.is_ipv6()),
    })
}

/// What few addresses have.
fn options(entry: &Entry, peer: Option<IpAddr>, is_ipv6: bool) -> Option<Box<AddressOptions>> {
    const BOTH: [(Key, u32); 2] = [(addr::NOPREFIXROUTE, 0x200), (addr::AUTOJOIN, 0x400)];
    const IPV6: [(Key, u32); 2] = [(addr::HOME, 0x10), (addr::MNGTMPADDR, 0x100)];
    let ipv6 = IPV6.iter().filter(|_| is_ipv6);
    let given = BOTH.iter().chain(ipv6).filter(|(key, _)| entry.get(*key).is_some());
    let preferred = entry.get(addr::PREFERRED_LFT).map(|setting| match setting.datum() {
        Some(Datum::Int(seconds)) => u32::try_from(*seconds).unwrap_or(u32::MAX),
        _ => u32::MAX,
    });
    let options = AddressOptions {
        peer,
        detect_duplicates: entry.get(addr::NODAD).is_some() && is_ipv6,
        preferred,
        flags: given.fold(0, |flags, (_, flag)| flags | flag),
    };
    (options != AddressOptions::default()).then(|| Box::new(options))
}

/// Whether its addresses take traffic: unless `no_accept` or strictness forbids it (with VRRPv3,
/// `accept` allows it again), and always where it owns them.
fn accepts(router: &Facts<'_>) -> bool {
    let section = router.section;
    let position = |key| section.settings.iter().rposition(|setting| setting.key == key);
    let (yes, no) = (position(instance::ACCEPT), position(instance::NO_ACCEPT));
    router.is_owner()
        || match router.strict {
            true => yes > no && router.version == Version::V3,
            false => yes >= no,
        }
}

/// How its adverts travel.
fn transport(router: &Facts<'_>) -> Transport {
    let section = router.section;
    let fault_without = !router.strict && section.is_set(instance::UNICAST_FAULT_NO_PEER);
    let of_family = |ip: &IpAddr| ip.is_ipv6() == router.is_v6;
    let family = if router.is_v6 { Family::Ipv6 } else { Family::Ipv4 };
    let common = match family {
        Family::Ipv4 => global::VRRP_MCAST_GROUP4,
        Family::Ipv6 => global::VRRP_MCAST_GROUP6,
    };
    let group = |ip: &IpAddr| ip.is_multicast() && of_family(ip);
    let given = section.ip(instance::MCAST_DST_IP).filter(group);
    let given = given.or_else(|| router.globals.ip(common).filter(group));
    Transport {
        family,
        group: given.filter(|group| *group != standard_group(family)),
        source: router.source(),
        unicast: (router.unicast || fault_without).then(|| unicast(router)),
    }
}

fn unicast(router: &Facts<'_>) -> Unicast {
    let section = router.section;
    let mut peers: Vec<Peer> = Vec::new();
    let mut limited = false;
    for entry in section.lines(instance::UNICAST_PEER) {
        let Some(ip) = ip_of(entry).filter(|ip| ip.is_ipv6() == router.is_v6) else { continue };
        let limit = |key| u8::try_from(entry.get(key)?.int()?).ok();
        let (min, max) = (limit(peer::MIN_TTL), limit(peer::MAX_TTL));
        if !peers.iter().any(|peer| peer.ip == ip) {
            limited |= min.is_some() || max.is_some();
            peers.push(Peer { ip, min_ttl: min.unwrap_or(0), max_ttl: max.unwrap_or(255) });
        }
    }
    let ttl = section.int(instance::UNICAST_TTL).and_then(|ttl| u8::try_from(ttl).ok());
    let check = section
        .bool(instance::CHECK_UNICAST_SRC)
        .unwrap_or_else(|| router.globals.is_set(global::VRRP_CHECK_UNICAST_SRC));
    // A limit that anybody else may ignore would be none.
    Unicast { peers: peers.into(), ttl: ttl.unwrap_or(255), check_source: check || limited }
}

/// `nopreempt` and `preempt_delay`, where they work: neither does with `state MASTER`.
fn preempt(router: &Facts<'_>) -> Preempt {
    let section = router.section;
    let position = |key| section.settings.iter().rposition(|setting| setting.key == key);
    // Of `preempt` and `nopreempt` the later one holds.
    let never = position(instance::NOPREEMPT) > position(instance::PREEMPT);
    if router.starts_master {
        return Preempt::After(Span::ZERO);
    }
    if never && !router.is_owner() {
        return Preempt::Never;
    }
    let delay = section.time(instance::PREEMPT_DELAY).filter(|_| !router.strict);
    Preempt::After(delay.unwrap_or(Span::ZERO))
}

fn broadcast(entry: &Entry, ip: IpAddr, prefix_len: u8) -> Option<Ipv4Addr> {
    let IpAddr::V4(ip) = ip else { return None };
    let host_bits = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
    match entry.get(addr::BROADCAST)?.datum()? {
        Datum::Ip(IpAddr::V4(broadcast)) => Some(*broadcast),
        // A network of one address has no broadcast address.
        Datum::HostBits(_) if prefix_len == 32 => None,
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
