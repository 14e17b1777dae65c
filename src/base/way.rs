//! **Ways**: routes and policy rules, as a virtual router has them while it is Active, and as the
//! daemon has them all the time.
//!
//! Numbers are the kernel's (`rtnetlink(7)`, `<linux/fib_rules.h>`): names have been looked up by
//! whoever read them.

use std::fmt::{self, Display};
use std::net::IpAddr;

use super::{Family, LinkId, LinkNames};

/// A route or a policy rule, and whether anybody minds if it is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// What it is, which also tells it from others.
    pub what: WayKind,
    /// Whether its virtual router steps back if someone removes it, and fails with its interface.
    pub tracked: bool,
}

/// A route or a policy rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WayKind {
    /// Where packets go.
    Route(Box<Route>),
    /// Which table says where packets go.
    Rule(Box<Rule>),
}

/// A network: an address and the length of its prefix, at most 32 or 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Any of its addresses; the bits behind the prefix are zero.
    pub ip: IpAddr,
    /// The length of its prefix.
    pub len: u8,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// `RTN_…`: 1 is an ordinary route.
    pub kind: u8,
    /// What it leads to.
    pub to: Network,
    /// The sources that it holds for (IPv6 only).
    pub from: Option<Network>,
    /// The source of packets that the host itself sends this way.
    pub source: Option<IpAddr>,
    /// The table that it is in, unless `vrf` says which.
    pub table: u32,
    /// The VRF whose table it is in.
    pub vrf: Option<LinkId>,
    /// Who says to have made it: `RTPROT_…`.
    pub protocol: u8,
    /// How far it reaches: `RT_SCOPE_…`.
    pub scope: u8,
    /// The type of service that it holds for; 0 for any (IPv4 only).
    pub tos: u8,
    /// Of several the one with the least metric holds; `None`: what the kernel gives.
    pub metric: Option<u32>,
    /// The next hops: none (a route that refuses), one, or several that share the traffic.
    pub hops: Box<[NextHop]>,
    /// What TCP and others have to know.
    pub metrics: Box<[(Metric, u32)]>,
    /// Those of the metrics that the kernel may not change.
    pub locked: u32,
    /// The congestion control of connections.
    pub congestion: Option<Box<str>>,
    /// Preference of a router of IPv6 (RFC 4191): `ICMPV6_ROUTER_PREF_…`.
    pub preference: Option<u8>,
    /// After how many seconds it goes (IPv6).
    pub expires: Option<u32>,
    /// Whether the TTL of IP becomes that of MPLS.
    pub ttl_propagate: Option<bool>,
    /// Where it is put among those like it.
    pub position: Position,
}

/// What the kernel calls a metric of a route: `RTAX_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric(pub u16);

/// Where a route is put among those with the same destination, metric and type of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Position {
    /// Before them.
    #[default]
    First,
    /// Behind them.
    Last,
    /// Nowhere, if there is one.
    Alone,
}

/// A next hop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The router; `None`: the destination is on the link.
    pub via: Option<IpAddr>,
    /// The interface; `None`: where the router is.
    pub link: Option<LinkId>,
    /// The router counts as on the link, whatever its address.
    pub onlink: bool,
    /// Its share, 1 to 256; 0 where it is alone.
    pub weight: u16,
    /// Its realms, the source's in the upper half; 0 for none.
    pub realms: u32,
    /// How packets are wrapped.
    pub encap: Option<Encap>,
}

/// How packets of a route are wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Encap {
    /// Labels, the outermost first, 20 bits each.
    Mpls {
        /// At least one.
        labels: Box<[u32]>,
    },
    /// A tunnel, whose interface takes what is not said here from the route.
    Tunnel {
        /// That of the addresses.
        family: Family,
        /// Its number.
        id: Option<u64>,
        /// Its other end.
        to: Option<IpAddr>,
        /// TTL or hop limit outside.
        ttl: Option<u8>,
        /// Type of service or traffic class outside.
        tos: Option<u8>,
    },
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// That of the packets.
    pub family: Family,
    /// `FR_ACT_…`: 1 looks into the table.
    pub action: u8,
    /// It holds for everything else.
    pub invert: bool,
    /// The sources that it holds for.
    pub from: Option<Network>,
    /// The destinations that it holds for.
    pub to: Option<Network>,
    /// The type of service that it holds for; 0 for any.
    pub tos: u8,
    /// The table that is asked; 0 if none is.
    pub table: u32,
    /// Its place among the rules; `None`: what the kernel gives.
    pub preference: Option<u32>,
    /// The interface that packets come from.
    pub iif: Option<LinkId>,
    /// The interface that the sender is bound to.
    pub oif: Option<LinkId>,
    /// The firewall mark that it holds for.
    pub mark: Option<u32>,
    /// Which bits of the mark count.
    pub mask: Option<u32>,
    /// The realms that it sets, the source's in the upper half; 0 for none.
    pub realms: u32,
    /// Answers of a default route, or of prefixes up to this length, don't count.
    pub suppress_length: Option<u32>,
    /// Answers with an interface of this group don't count.
    pub suppress_group: Option<u32>,
    /// The tunnel that it holds for; 0 for any.
    pub tunnel: u64,
    /// The users that it holds for.
    pub users: Option<(u32, u32)>,
    /// The table is that of the VRF.
    pub l3mdev: bool,
    /// Who says to have made it: `RTPROT_…`.
    pub protocol: u8,
    /// The protocol above IP that it holds for; 0 for any.
    pub ip_protocol: u8,
    /// The source ports that it holds for.
    pub source_ports: Option<(u16, u16)>,
    /// The destination ports that it holds for.
    pub destination_ports: Option<(u16, u16)>,
    /// The rule to go on with.
    pub goto: Option<u32>,
}

impl Way {
    /// The interfaces that it names.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.what.links()
    }
}

impl WayKind {
    /// The interfaces that it names.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        let (hops, ends) = match self {
            WayKind::Route(route) => (&*route.hops, [route.vrf, None]),
            WayKind::Rule(rule) => (&[] as &[NextHop], [rule.iif, rule.oif]),
        };
        hops.iter().filter_map(|hop| hop.link).chain(ends.into_iter().flatten())
    }

    /// The same, to be renumbered.
    pub fn links_mut(&mut self) -> impl Iterator<Item = &mut LinkId> {
        let (hops, ends): (&mut [NextHop], _) = match self {
            WayKind::Route(route) => (&mut route.hops, [route.vrf.as_mut(), None]),
            WayKind::Rule(rule) => (&mut [], [rule.iif.as_mut(), rule.oif.as_mut()]),
        };
        hops.iter_mut().filter_map(|hop| hop.link.as_mut()).chain(ends.into_iter().flatten())
    }

    /// In the words of `ip route` and `ip rule`, for people.
    pub fn describe<'a>(&'a self, names: &'a LinkNames) -> impl Display {
        Described { what: self, names }
    }
}

impl Network {
    /// All addresses of a family.
    pub const fn all(family: Family) -> Self {
        let ip = match family {
            Family::Ipv4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        Network { ip, len: 0 }
    }

    /// The network of that length that `ip` is in.
    pub fn of(ip: IpAddr, len: u8) -> Self {
        let ip = match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        };
        Network { ip, len }
    }

    /// That of its addresses.
    pub const fn family(&self) -> Family {
        Family::of(self.ip)
    }

    /// Whether it is one address.
    const fn is_host(&self) -> bool {
        self.len == if self.ip.is_ipv4() { 32 } else { 128 }
    }
}

/// As `ip` writes it.
impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len {
            0 => f.write_str("default"),
            _ if self.is_host() => write!(f, "{}", self.ip),
            len => write!(f, "{}/{len}", self.ip),
        }
    }
}

struct Described<'a> {
    what: &'a WayKind,
    names: &'a LinkNames,
}

impl Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            WayKind::Route(route) => self.route(f, route),
            WayKind::Rule(rule) => self.rule(f, rule),
        }
    }
}

impl Described<'_> {
    fn route(&self, f: &mut fmt::Formatter<'_>, route: &Route) -> fmt::Result {
        f.write_str("route ")?;
        match route.kind {
            1 => {}
            6 => f.write_str("blackhole ")?,
            7 => f.write_str("unreachable ")?,
            8 => f.write_str("prohibit ")?,
            9 => f.write_str("throw ")?,
            kind => write!(f, "type {kind} ")?,
        }
        match route.to.family() {
            Family::Ipv6 if route.to.len == 0 => f.write_str("::/0")?,
            _ => write!(f, "{}", route.to)?,
        }
        for hop in &route.hops {
            if route.hops.len() > 1 {
                f.write_str(" nexthop")?;
            }
            if let Some(via) = hop.via {
                write!(f, " via {via}")?;
            }
            if let Some(link) = hop.link {
                write!(f, " dev {}", self.names.name(link))?;
            }
        }
        match route.vrf {
            Some(vrf) => write!(f, " vrf {}", self.names.name(vrf))?,
            None if route.table == 254 => {}
            None => write!(f, " table {}", route.table)?,
        }
        if let Some(source) = route.source {
            write!(f, " src {source}")?;
        }
        match route.metric {
            Some(metric) => write!(f, " metric {metric}"),
            None => Ok(()),
        }
    }

    fn rule(&self, f: &mut fmt::Formatter<'_>, rule: &Rule) -> fmt::Result {
        f.write_str("rule")?;
        if let Some(preference) = rule.preference {
            write!(f, " {preference}:")?;
        }
        if rule.invert {
            f.write_str(" not")?;
        }
        match rule.from {
            Some(from) => write!(f, " from {from}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(to) = rule.to {
            write!(f, " to {to}")?;
        }
        for (word, link) in [("iif", rule.iif), ("oif", rule.oif)] {
            if let Some(link) = link {
                write!(f, " {word} {}", self.names.name(link))?;
            }
        }
        if let Some(mark) = rule.mark {
            write!(f, " fwmark {mark:#x}")?;
        }
        match (rule.table, rule.goto) {
            (0, Some(goto)) => write!(f, " goto {goto}"),
            (0, None) => Ok(()),
            (table, _) => write!(f, " lookup {table}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_no_bits_behind_their_prefix() {
        for (ip, len, network) in [
            ("10.1.2.3", 8, "10.0.0.0/8"),
            ("10.1.2.3", 32, "10.1.2.3"),
            ("10.1.2.3", 0, "default"),
            ("2001:db8::ff", 124, "2001:db8::f0/124"),
            ("2001:db8::ff", 128, "2001:db8::ff"),
        ] {
            assert_eq!(Network::of(ip.parse().unwrap(), len).to_string(), network);
        }
    }
}
