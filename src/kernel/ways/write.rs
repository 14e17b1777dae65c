//! Requests about routes and rules → netlink bytes, as `ip route` and `ip rule` would ask (the
//! tests compare what the kernel makes of both).
//!
//! * A route is added with `NLM_F_CREATE` alone: before others of its destination and metric, so
//!   that theirs come back when ours goes. What is there already is `EEXIST`.
//! * A rule is added with `NLM_F_EXCL`, too: the kernel would take the same rule twice.
//! * A deletion says all that the addition said, protocol and next hop included, so that it finds
//!   nobody else's.

use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Devices;
use crate::base::{
    Encap, Family, IfIndex, LinkId, Network, NextHop, Position, Route, Rule, WayKind,
};
use crate::kernel::request::{REQUEST, Writer};

/// `struct rtmsg`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Default)]
#[repr(C)]
pub(super) struct RouteHeader {
    pub(super) family: u8,
    pub(super) to_len: u8,
    pub(super) from_len: u8,
    pub(super) tos: u8,
    /// The table, if its number is below 256.
    pub(super) table: u8,
    pub(super) protocol: u8,
    pub(super) scope: u8,
    pub(super) kind: u8,
    pub(super) flags: u32,
}

/// `struct fib_rule_hdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Default)]
#[repr(C)]
pub(super) struct RuleHeader {
    pub(super) family: u8,
    pub(super) to_len: u8,
    pub(super) from_len: u8,
    pub(super) tos: u8,
    pub(super) table: u8,
    pub(super) unused: [u8; 2],
    pub(super) action: u8,
    pub(super) flags: u32,
}

/// `struct rtnexthop`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Default)]
#[repr(C)]
pub(super) struct HopHeader {
    /// With the attributes that follow.
    pub(super) len: u16,
    pub(super) flags: u8,
    /// The weight less one.
    pub(super) weight: u8,
    pub(super) index: u32,
}

/// Why a request wasn't written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// There is no interface (or VRF) of a name that it needs.
    NoInterface,
    /// It doesn't fit into what is left of the buffer.
    NoRoom,
}

// <linux/fib_rules.h>
pub(super) const FRA_DST: u16 = 1;
pub(super) const FRA_SRC: u16 = 2;
pub(super) const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
pub(super) const FRA_PRIORITY: u16 = 6;
pub(super) const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
pub(super) const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
pub(super) const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
pub(super) const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
pub(super) const FIB_RULE_INVERT: u32 = 2;

// <linux/rtnetlink.h>, <linux/lwtunnel.h>, <linux/mpls_iptunnel.h>
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;
const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;
const RTNH_F_ONLINK: u32 = 4;
const RT_TABLE_COMPAT: u8 = 252;
const LWTUNNEL_ENCAP_MPLS: u16 = 1;
const LWTUNNEL_ENCAP_IP: u16 = 2;
const LWTUNNEL_ENCAP_IP6: u16 = 4;
const MPLS_IPTUNNEL_DST: u16 = 1;
/// The numbers of `LWTUNNEL_IP_…`: the same for `LWTUNNEL_IP6_…`.
const TUNNEL_ID: u16 = 1;
const TUNNEL_DST: u16 = 2;
const TUNNEL_TTL: u16 = 4;
const TUNNEL_TOS: u16 = 5;

const CREATE: u16 = libc::NLM_F_CREATE as u16;
const EXCL: u16 = libc::NLM_F_EXCL as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;

/// Asks for it. A route is in `table`, which is not known of a VRF that doesn't exist.
pub(super) fn add<F: Fn(LinkId) -> Option<IfIndex>>(
    writer: &mut Writer<'_>,
    seq: u32,
    (what, table): (&WayKind, Option<u32>),
    devices: &Devices<'_, F>,
) -> Result<(), Unwritten> {
    let (kind, how) = match what {
        WayKind::Route(route) => match route.position {
            Position::First => (libc::RTM_NEWROUTE, CREATE),
            Position::Last => (libc::RTM_NEWROUTE, CREATE | APPEND),
            Position::Alone => (libc::RTM_NEWROUTE, CREATE | EXCL),
        },
        WayKind::Rule(_) => (libc::RTM_NEWRULE, CREATE | EXCL),
    };
    write(writer, seq, (kind, how), (what, table), devices)
}

/// Asks that it go.
pub(super) fn delete<F: Fn(LinkId) -> Option<IfIndex>>(
    writer: &mut Writer<'_>,
    seq: u32,
    (what, table): (&WayKind, Option<u32>),
    devices: &Devices<'_, F>,
) -> Result<(), Unwritten> {
    let kind = match what {
        WayKind::Route(_) => libc::RTM_DELROUTE,
        WayKind::Rule(_) => libc::RTM_DELRULE,
    };
    write(writer, seq, (kind, 0), (what, table), devices)
}

fn write<F: Fn(LinkId) -> Option<IfIndex>>(
    writer: &mut Writer<'_>,
    seq: u32,
    (kind, how): (u16, u16),
    (what, table): (&WayKind, Option<u32>),
    devices: &Devices<'_, F>,
) -> Result<(), Unwritten> {
    let mark = writer.mark();
    writer.begin(kind, REQUEST | how, seq);
    let written = match what {
        WayKind::Route(it) => match table {
            Some(table) => route(writer, it, table, devices),
            None => Err(Unwritten::NoInterface),
        },
        WayKind::Rule(it) => {
            rule(writer, it, devices);
            Ok(())
        }
    };
    writer.end();
    let written = match writer.is_full() {
        true => Err(Unwritten::NoRoom),
        false => written,
    };
    if written.is_err() {
        writer.undo(mark);
    }
    written
}

fn route<F: Fn(LinkId) -> Option<IfIndex>>(
    writer: &mut Writer<'_>,
    route: &Route,
    table: u32,
    devices: &Devices<'_, F>,
) -> Result<(), Unwritten> {
    let several = route.hops.len() > 1;
    let onlink = route.hops.iter().any(|hop| hop.onlink) && !several;
    writer.put(
        RouteHeader {
            family: number_of(route.to.family()),
            to_len: route.to.len,
            from_len: route.from.map_or(0, |from| from.len),
            tos: route.tos,
            table: u8::try_from(table).unwrap_or(RT_TABLE_COMPAT),
            protocol: route.protocol,
            scope: route.scope,
            kind: route.kind,
            flags: if onlink { RTNH_F_ONLINK } else { 0 },
        }
        .as_bytes(),
    );
    if route.to.len > 0 {
        ip(writer, libc::RTA_DST, route.to.ip);
    }
    network(writer, libc::RTA_SRC, route.from);
    if let Some(source) = route.source {
        ip(writer, libc::RTA_PREFSRC, source);
    }
    number(writer, libc::RTA_TABLE, table);
    if let Some(metric) = route.metric {
        number(writer, libc::RTA_PRIORITY, metric);
    }
    metrics(writer, route);
    if let Some(preference) = route.preference {
        writer.attribute(libc::RTA_PREF, &[&[preference]]);
    }
    if let Some(expires) = route.expires {
        number(writer, RTA_EXPIRES, expires);
    }
    if let Some(propagate) = route.ttl_propagate {
        writer.attribute(RTA_TTL_PROPAGATE, &[&[u8::from(propagate)]]);
    }
    let family = route.to.family();
    match &*route.hops {
        [] => {}
        [hop] => {
            if let Some(link) = hop.link {
                let at = (devices.at)(link).ok_or(Unwritten::NoInterface)?;
                number(writer, libc::RTA_OIF, at.0);
            }
            next_hop(writer, family, hop);
        }
        several => {
            let all = writer.open(libc::RTA_MULTIPATH);
            for hop in several {
                let index = match hop.link {
                    Some(link) => (devices.at)(link).ok_or(Unwritten::NoInterface)?.0,
                    None => 0,
                };
                let start = writer.len();
                let header = HopHeader {
                    len: 0,
                    flags: if hop.onlink { RTNH_F_ONLINK as u8 } else { 0 },
                    weight: hop.weight.saturating_sub(1).min(255) as u8,
                    index,
                };
                writer.put(header.as_bytes());
                next_hop(writer, family, hop);
                writer.close(start);
            }
            writer.close(all);
        }
    }
    Ok(())
}

/// What stands beside the interface of a next hop.
fn next_hop(writer: &mut Writer<'_>, family: Family, hop: &NextHop) {
    match hop.via {
        None => {}
        Some(via) if Family::of(via) == family => ip(writer, libc::RTA_GATEWAY, via),
        Some(via) => {
            let number = u16::from(number_of(Family::of(via))).to_ne_bytes();
            match via {
                IpAddr::V4(ip) => writer.attribute(libc::RTA_VIA, &[&number, &ip.octets()]),
                IpAddr::V6(ip) => writer.attribute(libc::RTA_VIA, &[&number, &ip.octets()]),
            }
        }
    }
    if hop.realms != 0 {
        number(writer, libc::RTA_FLOW, hop.realms);
    }
    match &hop.encap {
        None => {}
        Some(Encap::Mpls { labels }) => {
            let inside = writer.open(libc::RTA_ENCAP);
            let last = labels.len().saturating_sub(1);
            let attribute = writer.open(MPLS_IPTUNNEL_DST);
            for (number, label) in labels.iter().enumerate() {
                // The lowest label has the bottom-of-stack bit (RFC 3032 section 2.1).
                let bottom = if number == last { 1 << 8 } else { 0 };
                writer.put(&(label << 12 | bottom).to_be_bytes());
            }
            writer.close(attribute);
            writer.close(inside);
            writer.attribute(libc::RTA_ENCAP_TYPE, &[&LWTUNNEL_ENCAP_MPLS.to_ne_bytes()]);
        }
        Some(Encap::Tunnel { family, id, to, ttl, tos }) => {
            let inside = writer.open(libc::RTA_ENCAP);
            if let Some(id) = id {
                writer.attribute(TUNNEL_ID, &[&id.to_be_bytes()]);
            }
            if let Some(to) = to {
                ip(writer, TUNNEL_DST, *to);
            }
            for (kind, value) in [(TUNNEL_TOS, tos), (TUNNEL_TTL, ttl)] {
                if let Some(value) = value {
                    writer.attribute(kind, &[&[*value]]);
                }
            }
            writer.close(inside);
            let kind = match family {
                Family::Ipv4 => LWTUNNEL_ENCAP_IP,
                Family::Ipv6 => LWTUNNEL_ENCAP_IP6,
            };
            writer.attribute(libc::RTA_ENCAP_TYPE, &[&kind.to_ne_bytes()]);
        }
    }
}

fn metrics(writer: &mut Writer<'_>, route: &Route) {
    if route.metrics.is_empty() && route.locked == 0 && route.congestion.is_none() {
        return;
    }
    let all = writer.open(libc::RTA_METRICS);
    if route.locked != 0 {
        number(writer, RTAX_LOCK, route.locked);
    }
    for &(kind, value) in &route.metrics {
        number(writer, kind.0, value);
    }
    if let Some(name) = &route.congestion {
        writer.attribute(RTAX_CC_ALGO, &[name.as_bytes(), &[0]]);
    }
    writer.close(all);
}

fn rule<F>(writer: &mut Writer<'_>, rule: &Rule, devices: &Devices<'_, F>) {
    writer.put(
        RuleHeader {
            family: number_of(rule.family),
            to_len: rule.to.map_or(0, |to| to.len),
            from_len: rule.from.map_or(0, |from| from.len),
            tos: rule.tos,
            table: u8::try_from(rule.table).unwrap_or(RT_TABLE_COMPAT),
            unused: [0; 2],
            action: rule.action,
            flags: if rule.invert { FIB_RULE_INVERT } else { 0 },
        }
        .as_bytes(),
    );
    network(writer, FRA_SRC, rule.from);
    network(writer, FRA_DST, rule.to);
    for (kind, link) in [(FRA_IIFNAME, rule.iif), (FRA_OIFNAME, rule.oif)] {
        if let Some(link) = link {
            writer.attribute(kind, &[devices.names.name(link).as_bytes(), &[0]]);
        }
    }
    for (kind, value) in [
        (FRA_TABLE, Some(rule.table).filter(|table| *table != 0)),
        (FRA_PRIORITY, rule.preference),
        (FRA_FWMARK, rule.mark),
        (FRA_FWMASK, rule.mask),
        (FRA_FLOW, Some(rule.realms).filter(|realms| *realms != 0)),
        (FRA_SUPPRESS_PREFIXLEN, rule.suppress_length),
        (FRA_SUPPRESS_IFGROUP, rule.suppress_group),
        (FRA_GOTO, rule.goto),
    ] {
        if let Some(value) = value {
            number(writer, kind, value);
        }
    }
    if rule.tunnel != 0 {
        writer.attribute(FRA_TUN_ID, &[&rule.tunnel.to_be_bytes()]);
    }
    if rule.l3mdev {
        writer.attribute(FRA_L3MDEV, &[&[1]]);
    }
    if let Some((first, last)) = rule.users {
        writer.attribute(FRA_UID_RANGE, &[&first.to_ne_bytes(), &last.to_ne_bytes()]);
    }
    writer.attribute(FRA_PROTOCOL, &[&[rule.protocol]]);
    if rule.ip_protocol != 0 {
        writer.attribute(FRA_IP_PROTO, &[&[rule.ip_protocol]]);
    }
    for (kind, ports) in
        [(FRA_SPORT_RANGE, rule.source_ports), (FRA_DPORT_RANGE, rule.destination_ports)]
    {
        if let Some((first, last)) = ports {
            writer.attribute(kind, &[&first.to_ne_bytes(), &last.to_ne_bytes()]);
        }
    }
}

fn number(writer: &mut Writer<'_>, kind: u16, value: u32) {
    writer.attribute(kind, &[&value.to_ne_bytes()]);
}

fn network(writer: &mut Writer<'_>, kind: u16, network: Option<Network>) {
    if let Some(Network { ip: address, len }) = network
        && len > 0
    {
        ip(writer, kind, address);
    }
}

fn ip(writer: &mut Writer<'_>, kind: u16, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => writer.attribute(kind, &[&ip.octets()]),
        IpAddr::V6(ip) => writer.attribute(kind, &[&ip.octets()]),
    }
}

fn number_of(family: Family) -> u8 {
    match family {
        Family::Ipv4 => libc::AF_INET as u8,
        Family::Ipv6 => libc::AF_INET6 as u8,
    }
}
