//! What the monitor tells of routes and rules. As lenient as the `reader`: what can't be read of a
//! message is as if it weren't said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::FromBytes;

use super::Devices;
use super::write::{
    FIB_RULE_INVERT, FRA_DST, FRA_FWMARK, FRA_IIFNAME, FRA_OIFNAME, FRA_PRIORITY, FRA_PROTOCOL,
    FRA_SRC, FRA_TABLE, HopHeader, RouteHeader, RuleHeader,
};
use crate::base::{Family, IfIndex, LinkId, Network, NextHop, Route, Rule, WayKind};
use crate::kernel::reader::{aligned, attributes};

/// The metric of an IPv6 route that is given none.
const IPV6_METRIC: u32 = 1024;

/// What an event says of a route or a rule.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct News<'a> {
    /// It is there no more.
    pub(super) gone: bool,
    /// It has taken the place of another (`NLM_F_REPLACE`).
    in_place: bool,
    heard: Heard<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Heard<'a> {
    Route(HeardRoute<'a>),
    Rule(HeardRule<'a>),
}

#[derive(Clone, Copy, Debug)]
struct HeardRoute<'a> {
    kind: u8,
    to: Network,
    from: Option<Network>,
    tos: u8,
    table: u32,
    protocol: u8,
    metric: u32,
    via: Option<IpAddr>,
    at: Option<IfIndex>,
    /// `RTA_MULTIPATH`, as it is.
    hops: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct HeardRule<'a> {
    family: Family,
    action: u8,
    invert: bool,
    from: Option<Network>,
    to: Option<Network>,
    tos: u8,
    table: u32,
    preference: u32,
    protocol: u8,
    mark: u32,
    iif: &'a [u8],
    oif: &'a [u8],
}

/// Where to look for what an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    Route { table: u32, to: Network },
    Rule { family: Family, preference: u32 },
}

impl Spot {
    /// That of `what`, which is in `table` if it is a route.
    pub(super) fn of(what: &WayKind, table: u32) -> Self {
        match what {
            WayKind::Route(route) => Spot::Route { table, to: route.to },
            WayKind::Rule(rule) => {
                Spot::Rule { family: rule.family, preference: rule.preference.unwrap_or(0) }
            }
        }
    }
}

impl<'a> News<'a> {
    /// Reads the body of a message of that kind (`RTM_…`); `None` if it isn't about a route or a
    /// rule of IP.
    pub(in crate::kernel) fn read(kind: u16, in_place: bool, body: &'a [u8]) -> Option<Self> {
        let heard = match kind {
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => Heard::Route(HeardRoute::read(body)?),
            libc::RTM_NEWRULE | libc::RTM_DELRULE => Heard::Rule(HeardRule::read(body)?),
            _ => return None,
        };
        let gone = matches!(kind, libc::RTM_DELROUTE | libc::RTM_DELRULE);
        Some(News { gone, in_place, heard })
    }

    pub(super) fn spot(&self) -> Spot {
        match self.heard {
            Heard::Route(HeardRoute { table, to, .. }) => Spot::Route { table, to },
            Heard::Rule(HeardRule { family, preference, .. }) => Spot::Rule { family, preference },
        }
    }

    /// The interface that it leads through, if it is one.
    pub(super) fn interface(&self) -> Option<IfIndex> {
        match self.heard {
            Heard::Route(route) => {
                let first = hops(route.hops).next().and_then(|(_, at)| at);
                route.at.or(first)
            }
            Heard::Rule(_) => None,
        }
    }

    /// Whether it is about that one, which is at its spot.
    pub(super) fn is_about<F: Fn(LinkId) -> Option<IfIndex>>(
        &self,
        what: &WayKind,
        devices: &Devices<'_, F>,
    ) -> bool {
        match (&self.heard, what) {
            (Heard::Route(heard), WayKind::Route(route)) => {
                heard.stands_where(route)
                    && (heard.kind, heard.protocol) == (route.kind, route.protocol)
                    && heard.leads_through_one_of(&route.hops, devices)
            }
            (Heard::Rule(heard), WayKind::Rule(rule)) => heard.is(rule, devices),
            _ => false,
        }
    }

    /// Whether it has taken the place of that one, which is at its spot and another.
    pub(super) fn replaces(&self, what: &WayKind) -> bool {
        match (&self.heard, what) {
            (Heard::Route(heard), WayKind::Route(route)) => {
                self.in_place && heard.stands_where(route)
            }
            _ => false,
        }
    }
}

impl<'a> HeardRoute<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let (header, rest) = RouteHeader::read_from_prefix(body).ok()?;
        let family = family(header.family)?;
        let mut route = HeardRoute {
            kind: header.kind,
            to: Network::all(family),
            from: None,
            tos: header.tos,
            table: header.table.into(),
            protocol: header.protocol,
            metric: 0,
            via: None,
            at: None,
            hops: &[],
        };
        for (kind, value) in attributes(rest) {
            match kind {
                libc::RTA_DST => route.to = network(family, value, header.to_len)?,
                libc::RTA_SRC => route.from = network(family, value, header.from_len),
                libc::RTA_TABLE => route.table = number(value).unwrap_or(route.table),
                libc::RTA_PRIORITY => route.metric = number(value).unwrap_or(0),
                libc::RTA_GATEWAY => route.via = address(family, value),
                libc::RTA_VIA => route.via = via(value),
                libc::RTA_OIF => route.at = number(value).map(IfIndex),
                libc::RTA_MULTIPATH => route.hops = value,
                _ => {}
            }
        }
        Some(route)
    }

    fn stands_where(&self, route: &Route) -> bool {
        let default = if self.to.ip.is_ipv4() { 0 } else { IPV6_METRIC };
        (self.metric, self.tos, self.from)
            == (route.metric.filter(|it| *it != 0).unwrap_or(default), route.tos, route.from)
    }

    fn leads_through_one_of<F: Fn(LinkId) -> Option<IfIndex>>(
        &self,
        own: &[NextHop],
        devices: &Devices<'_, F>,
    ) -> bool {
        let alone = self.hops.is_empty().then_some((self.via, self.at));
        let fits = |(via, at): (Option<IpAddr>, Option<IfIndex>)| {
            own.iter()
                .any(|hop| hop.via == via && hop.link.is_none_or(|link| (devices.at)(link) == at))
        };
        own.is_empty() || alone.into_iter().chain(hops(self.hops)).any(fits)
    }
}

impl<'a> HeardRule<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let (header, rest) = RuleHeader::read_from_prefix(body).ok()?;
        let family = family(header.family)?;
        let mut rule = HeardRule {
            family,
            action: header.action,
            invert: header.flags & FIB_RULE_INVERT != 0,
            from: None,
            to: None,
            tos: header.tos,
            table: header.table.into(),
            preference: 0,
            protocol: 0,
            mark: 0,
            iif: &[],
            oif: &[],
        };
        for (kind, value) in attributes(rest) {
            match kind {
                FRA_SRC => rule.from = network(family, value, header.from_len),
                FRA_DST => rule.to = network(family, value, header.to_len),
                FRA_TABLE => rule.table = number(value).unwrap_or(rule.table),
                FRA_PRIORITY => rule.preference = number(value).unwrap_or(0),
                FRA_PROTOCOL => rule.protocol = value.first().copied().unwrap_or(0),
                FRA_FWMARK => rule.mark = number(value).unwrap_or(0),
                FRA_IIFNAME => rule.iif = name(value),
                FRA_OIFNAME => rule.oif = name(value),
                _ => {}
            }
        }
        Some(rule)
    }

    fn is<F: Fn(LinkId) -> Option<IfIndex>>(&self, rule: &Rule, devices: &Devices<'_, F>) -> bool {
        let name = |link: Option<LinkId>| link.map_or("", |link| devices.names.name(link));
        (self.action, self.invert, self.tos) == (rule.action, rule.invert, rule.tos)
            && (self.from, self.to) == (rule.from, rule.to)
            && (self.table, self.protocol) == (rule.table, rule.protocol)
            && self.mark == rule.mark.unwrap_or(0)
            && (self.iif, self.oif) == (name(rule.iif).as_bytes(), name(rule.oif).as_bytes())
    }
}

/// The next hops of a `RTA_MULTIPATH`, up to the first that runs over its end.
fn hops(mut bytes: &[u8]) -> impl Iterator<Item = (Option<IpAddr>, Option<IfIndex>)> {
    std::iter::from_fn(move || {
        let (header, _) = HopHeader::read_from_prefix(bytes).ok()?;
        let len = usize::from(header.len);
        let inside = bytes.get(size_of::<HopHeader>()..len)?;
        bytes = bytes.get(aligned(len)..).unwrap_or_default();
        let gateway = attributes(inside).find_map(|(kind, value)| match (kind, value.len()) {
            (libc::RTA_GATEWAY, 4) => address(Family::Ipv4, value),
            (libc::RTA_GATEWAY, _) => address(Family::Ipv6, value),
            (libc::RTA_VIA, _) => via(value),
            _ => None,
        });
        Some((gateway, (header.index != 0).then_some(IfIndex(header.index))))
    })
}

fn family(number: u8) -> Option<Family> {
    match i32::from(number) {
        libc::AF_INET => Some(Family::Ipv4),
        libc::AF_INET6 => Some(Family::Ipv6),
        _ => None,
    }
}

fn address(family: Family, value: &[u8]) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => <[u8; 4]>::try_from(value).ok().map(|ip| Ipv4Addr::from(ip).into()),
        Family::Ipv6 => <[u8; 16]>::try_from(value).ok().map(|ip| Ipv6Addr::from(ip).into()),
    }
}

/// `struct rtvia`: a family and an address of it.
fn via(value: &[u8]) -> Option<IpAddr> {
    let (number, ip) = value.split_first_chunk::<2>()?;
    address(family(u16::from_ne_bytes(*number) as u8)?, ip)
}

fn network(family: Family, value: &[u8], len: u8) -> Option<Network> {
    let longest = if family == Family::Ipv4 { 32 } else { 128 };
    let ip = address(family, value)?;
    (len <= longest).then(|| Network::of(ip, len))
}

fn number(value: &[u8]) -> Option<u32> {
    u32::read_from_prefix(value).ok().map(|(number, _)| number)
}

fn name(value: &[u8]) -> &[u8] {
    value.split(|&byte| byte == 0).next().unwrap_or_default()
}
