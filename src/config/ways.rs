//! **Lines of routes and rules → what the kernel is told**, or what is wrong with them.
//!
//! The checks and the lowering both come here, so that what `-t` says nothing of is what runs.

use std::net::IpAddr;

use super::diagnostic::{Diagnostic, codes};
use super::iproute::{NameOf, Names, number};
use super::keywords::Key;
use super::keywords::route::{routes, rules};
use super::model::{Datum, Entry, Setting};
use super::suggest::nearest;
use crate::base::{
    Encap, Family, LinkId, Metric, Network, NextHop, Position, Route, Rule, Way, WayKind,
};

/// Why a line comes to nothing: a finding, or none if the checks of its form have told.
pub(crate) type Refused = Option<Box<Diagnostic>>;

/// What lines are read with.
pub(crate) struct Reading<'a> {
    /// iproute2's names.
    pub(crate) names: &'a Names,
    /// Numbers interfaces.
    pub(crate) link: &'a mut dyn FnMut(&str) -> LinkId,
    /// The preferences of the next rules that are given none, of IPv4 and of IPv6.
    pub(crate) preferences: &'a mut [u32; 2],
}

/// The preference of the first rule that is given none; the next one's is one less. keepalived
/// counts so.
pub(crate) const FIRST_PREFERENCE: u32 = 16_384;
/// `RTPROT_KEEPALIVED`: by this routes and rules say that a VRRP daemon has made them.
const RTPROT_KEEPALIVED: u8 = 18;
/// More would not fit into a request.
const MOST_HOPS: usize = 64;

const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_BROADCAST: u8 = 3;
const RTN_ANYCAST: u8 = 4;
const RTN_MULTICAST: u8 = 5;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;
const RTN_THROW: u8 = 9;
const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_GOTO: u8 = 2;
const FR_ACT_NOP: u8 = 3;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_UNREACHABLE: u8 = 7;
const FR_ACT_PROHIBIT: u8 = 8;

const RTAX_RTT: u16 = 4;
const RTAX_RTTVAR: u16 = 5;
const RTAX_CC_ALGO: u16 = 16;

impl Reading<'_> {
    /// A line of `virtual_routes` or `static_routes`.
    pub(crate) fn route(&mut self, entry: &Entry) -> Result<Way, Refused> {
        let to = entry.get(routes::TO).and_then(|setting| setting.datum());
        let to = entry.subject().map(|item| &item.datum).or(to).ok_or(None)?;
        let family = route_family(entry, to)?;
        let to = network(to).unwrap_or(Network::all(family));
        let mut route = Route {
            kind: RTN_UNICAST,
            to,
            from: None,
            source: None,
            table: RT_TABLE_MAIN,
            vrf: None,
            protocol: RTPROT_KEEPALIVED,
            scope: 0,
            tos: 0,
            metric: None,
            hops: Box::default(),
            metrics: Box::default(),
            locked: 0,
            congestion: None,
            preference: None,
            expires: None,
            ttl_propagate: None,
            position: Position::First,
        };
        for setting in &entry.options {
            if let Some(kind) = kind_of(setting.key) {
                route.kind = kind;
                (route.table, route.scope) = match kind {
                    RTN_LOCAL => (RT_TABLE_LOCAL, SCOPE_HOST),
                    RTN_BROADCAST | RTN_ANYCAST => (RT_TABLE_LOCAL, SCOPE_LINK),
                    RTN_MULTICAST => (RT_TABLE_MAIN, SCOPE_LINK),
                    _ => (route.table, route.scope),
                };
            }
        }
        let mut metrics = Vec::new();
        for setting in &entry.options {
            self.route_option(&mut route, &mut metrics, setting)?;
        }
        metrics.sort_unstable();
        route.metrics = metrics.into();
        route.hops = self.hops(entry, &route)?;
        let tracked =
            entry.get(routes::NO_TRACK).is_none() && route.hops.iter().any(|it| it.link.is_some());
        Ok(Way { what: WayKind::Route(Box::new(route)), tracked })
    }

    fn route_option(
        &mut self,
        route: &mut Route,
        metrics: &mut Vec<(Metric, u32)>,
        setting: &Setting,
    ) -> Result<(), Refused> {
        let small = |number: u32| number as u8;
        match setting.key {
            routes::TABLE_NAME => route.table = self.named(NameOf::Table, setting)?,
            routes::PROTOCOL => route.protocol = small(self.named(NameOf::Protocol, setting)?),
            routes::SCOPE => route.scope = small(self.named(NameOf::Scope, setting)?),
            routes::TOS => {
                if route.to.family() == Family::Ipv6 {
                    return Err(refuse(setting, "a route of IPv6 knows no type of service"));
                }
                route.tos = small(self.named(NameOf::Service, setting)?);
            }
            routes::METRIC_VALUE => route.metric = last_number(setting),
            routes::SRC => {
                if let Some(Datum::Prefix(ip, length)) = setting.datum() {
                    let longest = if ip.is_ipv4() { 32 } else { 128 };
                    match length {
                        Some(length) if *length < longest && ip.is_ipv4() => {
                            let why = "only IPv6 has routes for some sources; \
                                       a rule does that for IPv4";
                            return Err(refuse(setting, why));
                        }
                        Some(length) if *length < longest => {
                            route.from = Some(Network::of(*ip, *length));
                        }
                        _ => route.source = Some(*ip),
                    }
                }
            }
            routes::CONGCTL => {
                let name = setting.items().iter().rev().find_map(|item| match &item.datum {
                    Datum::Text(name) => Some(name.clone()),
                    _ => None,
                });
                route.congestion = name;
                lock(route, setting, RTAX_CC_ALGO);
            }
            routes::FEATURES => metrics.push((Metric(12), 1)),
            routes::PREF => {
                route.preference = Some(match setting.text() {
                    Some("low") => 3,
                    Some("high") => 1,
                    _ => 0,
                });
            }
            routes::EXPIRES => route.expires = last_number(setting),
            routes::TTL_PROPAGATE => route.ttl_propagate = Some(setting.text() == Some("enabled")),
            routes::ADD => route.position = Position::Alone,
            routes::PREPEND => route.position = Position::First,
            routes::APPEND => route.position = Position::Last,
            routes::VRF => route.vrf = setting.text().map(|name| (self.link)(name)),
            routes::AS | routes::ENCAP_FLAGS => {
                return Err(unsupported(setting, setting.key.keyword().name, "route"));
            }
            key => {
                if let Some(metric) = metric_of(key) {
                    let value = match setting.items().last().map(|item| &item.datum) {
                        Some(Datum::Text(time)) => route_time(metric, time),
                        _ => last_number(setting),
                    };
                    metrics.extend(value.map(|value| (Metric(metric), value)));
                    lock(route, setting, metric);
                }
            }
        }
        Ok(())
    }

    fn hops(&mut self, entry: &Entry, route: &Route) -> Result<Box<[NextHop]>, Refused> {
        let mut hops: Vec<NextHop> = Vec::new();
        let mut hop = NextHop::default();
        let mut listed = false;
        let mut seconds = Vec::new();
        for setting in &entry.options {
            match setting.key {
                routes::NEXTHOP => {
                    let last = std::mem::take(&mut hop);
                    match listed {
                        true => hops.push(last),
                        false if last != NextHop::default() => {
                            let why = "`via`, `dev` and the like belong to a next hop: write them \
                                       behind `nexthop`, not before";
                            return Err(refuse(setting, why));
                        }
                        false => {}
                    }
                    listed = true;
                }
                routes::VIA => {
                    hop.via = setting.items().iter().find_map(|item| match item.datum {
                        Datum::Ip(ip) | Datum::Prefix(ip, _) => Some(ip),
                        _ => None,
                    });
                }
                routes::OR => {
                    seconds.extend(setting.items().iter().filter_map(|item| match item.datum {
                        Datum::Ip(ip) => Some(ip),
                        _ => None,
                    }))
                }
                routes::DEV_NAME => hop.link = setting.text().map(|name| (self.link)(name)),
                routes::ONLINK => hop.onlink = true,
                routes::WEIGHT => hop.weight = last_number(setting).unwrap_or(1) as u16,
                routes::REALMS => hop.realms = self.realms(setting)?,
                routes::ENCAP => hop.encap = Some(encap(setting)?),
                routes::ENCAP_ID | routes::ENCAP_DST | routes::ENCAP_TTL | routes::ENCAP_TC => {
                    encap_option(&mut hop, setting)?;
                }
                _ => {}
            }
        }
        let first = entry.options.first().map_or(entry.span, |setting| setting.span);
        if listed || hop != NextHop::default() {
            hops.push(hop);
        }
        if let (Some(ip), [one]) = (seconds.first(), &*hops) {
            hops.push(NextHop { via: Some(*ip), ..one.clone() });
        }
        let refuses =
            matches!(route.kind, RTN_BLACKHOLE | RTN_UNREACHABLE | RTN_PROHIBIT | RTN_THROW);
        let leads = |hop: &NextHop| hop.via.is_some() || hop.link.is_some();
        if refuses && hops.iter().any(leads) {
            let why = "a route that refuses packets leads nowhere: it has neither `via` nor `dev`";
            return Err(not_a_way(first, why));
        }
        if refuses {
            return Ok(Box::default());
        }
        if hops.is_empty() || !hops.iter().all(leads) {
            let why = "this route leads nowhere: it needs `via` or `dev`";
            return Err(not_a_way(entry.subject_span(), why));
        }
        if hops.len() > MOST_HOPS {
            return Err(not_a_way(entry.span, "a route has 64 next hops at most"));
        }
        if hops.len() > 1 {
            for hop in &mut hops {
                hop.weight = hop.weight.max(1);
            }
        } else if let [hop] = &mut *hops {
            hop.weight = 0;
        }
        Ok(hops.into())
    }

    /// A line of `virtual_rules` or `static_rules`.
    pub(crate) fn rule(&mut self, entry: &Entry) -> Result<Way, Refused> {
        let family = rule_family(entry)?;
        let mut rule = Rule {
            family,
            action: 0,
            invert: false,
            from: None,
            to: None,
            tos: 0,
            table: 0,
            preference: None,
            iif: None,
            oif: None,
            mark: None,
            mask: None,
            realms: 0,
            suppress_length: None,
            suppress_group: None,
            tunnel: 0,
            users: None,
            l3mdev: false,
            protocol: RTPROT_KEEPALIVED,
            ip_protocol: 0,
            source_ports: None,
            destination_ports: None,
            goto: None,
        };
        for setting in &entry.options {
            self.rule_option(&mut rule, setting)?;
        }
        if rule.action == 0 {
            let why = "this rule does nothing: it needs `table`, or another action such as \
                       `blackhole`";
            return Err(not_a_way(entry.span, why));
        }
        if rule.action != FR_ACT_TO_TBL || rule.l3mdev {
            rule.table = 0;
        }
        if (rule.action == FR_ACT_GOTO) != rule.goto.is_some() {
            return Err(not_a_way(entry.span, "`goto` needs the preference of another rule"));
        }
        if rule.preference.is_none() {
            let next = &mut self.preferences[usize::from(family == Family::Ipv6)];
            rule.preference = Some(*next);
            *next = next.saturating_sub(1);
        }
        if let (Some(goto), Some(preference)) = (rule.goto, rule.preference)
            && goto <= preference
        {
            let why = format!("`goto {goto}` goes back: its own preference is {preference}");
            return Err(not_a_way(entry.span, &why));
        }
        let tracked = entry.get(rules::NO_TRACK).is_none();
        Ok(Way { what: WayKind::Rule(Box::new(rule)), tracked })
    }

    fn rule_option(&mut self, rule: &mut Rule, setting: &Setting) -> Result<(), Refused> {
        let some = |network: Option<Network>| network.filter(|network| network.len > 0);
        match setting.key {
            rules::FROM => rule.from = some(setting.datum().and_then(network)),
            rules::TO => rule.to = some(setting.datum().and_then(network)),
            rules::TABLE_NAME => {
                rule.table = self.named(NameOf::Table, setting)?;
                rule.action = FR_ACT_TO_TBL;
                if rule.table == 0 {
                    return Err(refuse(setting, "there is no table 0"));
                }
            }
            rules::L3MDEV => (rule.l3mdev, rule.action) = (true, FR_ACT_TO_TBL),
            rules::PREFERENCE => rule.preference = last_number(setting),
            rules::IIF => rule.iif = setting.text().map(|name| (self.link)(name)),
            rules::OIF => rule.oif = setting.text().map(|name| (self.link)(name)),
            rules::FWMARK => {
                let word = setting.text().unwrap_or_default();
                let (mark, mask) = word.split_once('/').unwrap_or((word, ""));
                (rule.mark, rule.mask) = (number(mark), number(mask));
            }
            rules::NOT => rule.invert = true,
            rules::TOS => rule.tos = self.named(NameOf::Service, setting)? as u8,
            rules::REALMS => rule.realms = self.realms(setting)?,
            rules::SUPPRESS_PREFIXLENGTH => rule.suppress_length = last_number(setting),
            rules::SUPPRESS_IFGROUP => {
                rule.suppress_group = Some(self.named(NameOf::Group, setting)?);
            }
            rules::TUNNEL_ID => rule.tunnel = last_number(setting).unwrap_or(0).into(),
            rules::UIDRANGE => rule.users = range(setting),
            rules::PROTOCOL => rule.protocol = self.named(NameOf::Protocol, setting)? as u8,
            rules::IPPROTO => rule.ip_protocol = ip_protocol(setting)?,
            rules::SPORT => rule.source_ports = Some(ports(setting)?),
            rules::DPORT => rule.destination_ports = Some(ports(setting)?),
            rules::GOTO => (rule.goto, rule.action) = (last_number(setting), FR_ACT_GOTO),
            rules::NOP => rule.action = FR_ACT_NOP,
            rules::BLACKHOLE => rule.action = FR_ACT_BLACKHOLE,
            rules::UNREACHABLE => rule.action = FR_ACT_UNREACHABLE,
            rules::PROHIBIT => rule.action = FR_ACT_PROHIBIT,
            rules::TYPE => {
                rule.action = match setting.text() {
                    Some("unicast") => FR_ACT_TO_TBL,
                    Some("blackhole") => FR_ACT_BLACKHOLE,
                    Some("unreachable") => FR_ACT_UNREACHABLE,
                    Some("prohibit") => FR_ACT_PROHIBIT,
                    Some("goto") => FR_ACT_GOTO,
                    Some("nop") => FR_ACT_NOP,
                    other => return Err(unsupported(setting, other.unwrap_or("type"), "rule")),
                };
                if rule.action == FR_ACT_TO_TBL && rule.table == 0 {
                    rule.table = RT_TABLE_MAIN;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn named(&self, of: NameOf, setting: &Setting) -> Result<u32, Refused> {
        let word = setting.text().unwrap_or_default();
        self.names.find(of, word).ok_or_else(|| self.unnamed(of, word, setting))
    }

    fn unnamed(&self, of: NameOf, word: &str, setting: &Setting) -> Refused {
        let title = of.title();
        let message = format!("there is no {title} called `{word}`");
        let finding = Diagnostic::new(codes::UNDEFINED_NAME, setting.value_span(), message)
            .label("the line is left out");
        Some(Box::new(match nearest(word, self.names.all(of)) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => {
                finding.help("give its number, or name it in /etc/iproute2 on every host alike")
            }
        }))
    }

    /// `TO` or `FROM/TO`.
    fn realms(&self, setting: &Setting) -> Result<u32, Refused> {
        let word = setting.text().unwrap_or_default();
        let (from, to) = word.split_once('/').unwrap_or(("0", word));
        let find = |word: &str| {
            let realm = self.names.find(NameOf::Realm, word);
            realm.ok_or_else(|| self.unnamed(NameOf::Realm, word, setting))
        };
        Ok(find(from)? << 16 | find(to)?)
    }
}

fn route_family(entry: &Entry, to: &Datum) -> Result<Family, Refused> {
    let said = match to {
        Datum::Ip(ip) | Datum::Prefix(ip, _) => Some(Family::of(*ip)),
        Datum::Choice("default6") => Some(Family::Ipv6),
        _ => None,
    };
    let keys = [routes::SRC, routes::VIA, routes::OR];
    one_family(entry, said, &keys, [routes::INET, routes::INET6])
}

fn rule_family(entry: &Entry) -> Result<Family, Refused> {
    one_family(entry, None, &[rules::FROM, rules::TO], [rules::INET, rules::INET6])
}

/// The family of a line whose addresses are all of one: those of a next hop that says its family
/// don't count. That they aren't is told by the checks of the line's form.
fn one_family(
    entry: &Entry,
    said: Option<Family>,
    keys: &[Key],
    [inet, inet6]: [Key; 2],
) -> Result<Family, Refused> {
    let mut family = said;
    for setting in entry.options.iter().filter(|setting| keys.contains(&setting.key)) {
        let named = |datum: &Datum| matches!(datum, Datum::Choice("inet" | "inet6"));
        if setting.items().iter().any(|item| named(&item.datum)) {
            continue;
        }
        for item in setting.items() {
            if let Datum::Ip(ip) | Datum::Prefix(ip, _) = item.datum
                && *family.get_or_insert(Family::of(ip)) != Family::of(ip)
            {
                return Err(None);
            }
        }
    }
    for (key, wanted) in [(inet, Family::Ipv4), (inet6, Family::Ipv6)] {
        if let Some(setting) = entry.get(key)
            && *family.get_or_insert(wanted) != wanted
        {
            let other = if wanted == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 };
            return Err(refuse(setting, &format!("the addresses of this line are {other}")));
        }
    }
    Ok(family.unwrap_or_default())
}

fn network(datum: &Datum) -> Option<Network> {
    match *datum {
        Datum::Ip(ip) => Some(Network::of(ip, longest(ip))),
        Datum::Prefix(ip, length) => Some(Network::of(ip, length.unwrap_or(longest(ip)))),
        _ => None,
    }
}

fn longest(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn kind_of(key: Key) -> Option<u8> {
    Some(match key {
        routes::UNICAST => RTN_UNICAST,
        routes::LOCAL => RTN_LOCAL,
        routes::BROADCAST => RTN_BROADCAST,
        routes::ANYCAST => RTN_ANYCAST,
        routes::MULTICAST => RTN_MULTICAST,
        routes::BLACKHOLE => RTN_BLACKHOLE,
        routes::UNREACHABLE => RTN_UNREACHABLE,
        routes::PROHIBIT => RTN_PROHIBIT,
        routes::THROW => RTN_THROW,
        _ => return None,
    })
}

/// `RTAX_…`
fn metric_of(key: Key) -> Option<u16> {
    Some(match key {
        routes::MTU => 2,
        routes::WINDOW => 3,
        routes::RTT => RTAX_RTT,
        routes::RTTVAR => RTAX_RTTVAR,
        routes::SSTHRESH => 6,
        routes::CWND => 7,
        routes::ADVMSS => 8,
        routes::REORDERING => 9,
        routes::HOPLIMIT => 10,
        routes::INITCWND => 11,
        routes::RTO_MIN => 13,
        routes::INITRWND => 14,
        routes::QUICKACK => 15,
        routes::FASTOPEN_NO_COOKIE => 17,
        _ => return None,
    })
}

fn lock(route: &mut Route, setting: &Setting, metric: u16) {
    let locked = |datum: &Datum| *datum == Datum::Choice("lock");
    if setting.items().iter().any(|item| locked(&item.datum)) {
        route.locked |= 1 << metric;
    }
}

/// A time of TCP. Without a unit it is what the kernel counts in: eighths and quarters of a
/// millisecond for `rtt` and `rttvar`.
fn route_time(metric: u16, word: &str) -> Option<u32> {
    let (number, millis) = match (word.strip_suffix("ms"), word.strip_suffix('s')) {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1000.0),
        (None, None) => return word.parse::<f64>().ok().map(|number| number as u32),
    };
    let scale = match metric {
        RTAX_RTT => 8.0,
        RTAX_RTTVAR => 4.0,
        _ => 1.0,
    };
    number.parse::<f64>().ok().map(|number| (number * millis * scale) as u32)
}

fn encap(setting: &Setting) -> Result<Encap, Refused> {
    let labels = setting.items().get(1).and_then(|item| match &item.datum {
        Datum::Text(labels) => Some(labels.split('/').filter_map(number).collect::<Vec<u32>>()),
        _ => None,
    });
    let tunnel = |family| Encap::Tunnel { family, id: None, to: None, ttl: None, tos: None };
    match (setting.text(), labels) {
        (Some("mpls"), Some(labels)) => Ok(Encap::Mpls { labels: labels.into() }),
        (Some("mpls"), None) => Err(refuse(setting, "`encap mpls` needs labels such as 100/200")),
        (Some("ip"), _) => Ok(tunnel(Family::Ipv4)),
        (Some("ip6"), _) => Ok(tunnel(Family::Ipv6)),
        (other, _) => Err(unsupported(setting, &format!("encap {}", other.unwrap_or("")), "route")),
    }
}

fn encap_option(hop: &mut NextHop, setting: &Setting) -> Result<(), Refused> {
    let Some(Encap::Tunnel { id, to, ttl, tos, .. }) = &mut hop.encap else {
        let name = setting.key.keyword().name;
        return Err(refuse(setting, &format!("`{name}` belongs to `encap ip` or `encap ip6`")));
    };
    match (setting.key, setting.datum()) {
        (routes::ENCAP_ID, _) => *id = last_number(setting).map(u64::from),
        (routes::ENCAP_TTL, _) => *ttl = last_number(setting).and_then(|it| it.try_into().ok()),
        (routes::ENCAP_DST, Some(Datum::Ip(ip))) => *to = Some(*ip),
        (routes::ENCAP_TC, _) => match last_number(setting).map(u8::try_from) {
            Some(Ok(number)) => *tos = Some(number),
            _ => return Err(refuse(setting, "a traffic class is at most 255")),
        },
        _ => {}
    }
    Ok(())
}

fn ip_protocol(setting: &Setting) -> Result<u8, Refused> {
    const KNOWN: [(&str, u8); 14] = [
        ("icmp", 1),
        ("igmp", 2),
        ("ipencap", 4),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("ipv6-icmp", 58),
        ("ospf", 89),
        ("pim", 103),
        ("vrrp", 112),
        ("sctp", 132),
    ];
    let word = setting.text().unwrap_or_default();
    let known = KNOWN.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    let number = || word.parse().ok();
    known.or_else(number).ok_or_else(|| {
        refuse(setting, &format!("`{word}` is no protocol above IP: give its number, 1 to 255"))
    })
}

fn range(setting: &Setting) -> Option<(u32, u32)> {
    let word = setting.text()?;
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some((number(first)?, number(last)?))
}

fn ports(setting: &Setting) -> Result<(u16, u16), Refused> {
    let ports = range(setting).and_then(|(first, last)| {
        Some((u16::try_from(first).ok().filter(|it| *it > 0)?, u16::try_from(last).ok()?))
    });
    ports.ok_or_else(|| refuse(setting, "ports are numbers from 1 to 65535"))
}

fn last_number(setting: &Setting) -> Option<u32> {
    match setting.items().last()?.datum {
        Datum::Int(number) => u32::try_from(number).ok(),
        _ => None,
    }
}

fn refuse(setting: &Setting, why: &str) -> Refused {
    not_a_way(setting.span, why)
}

fn not_a_way(span: super::source::TextSpan, why: &str) -> Refused {
    let finding = Diagnostic::new(codes::NOT_A_WAY, span, why).label("the line is left out");
    Some(Box::new(finding))
}

fn unsupported(setting: &Setting, what: &str, of: &str) -> Refused {
    let message = format!("viprd doesn't know `{what}` of a {of} yet");
    let finding = Diagnostic::new(codes::UNSUPPORTED_WAY, setting.span, message)
        .label(format!("the {of} is left out"))
        .help("set it by a script, such as notify_master's");
    Some(Box::new(finding))
}
