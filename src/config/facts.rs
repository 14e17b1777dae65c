//! **What a virtual router comes to**, after defaults: the little that checks and parameters both
//! have to agree on.

use std::net::IpAddr;

use super::keywords::{Place, global, instance, root};
use super::model::{Datum, Entry, Section};
use crate::base::{Centis, Span};
use crate::wire::Version;

/// A virtual router as it is written, with the defaults that hold for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'m> {
    /// Its own settings.
    pub(crate) section: &'m Section,
    /// Those of the daemon.
    pub(crate) globals: &'m Section,
    /// Its interface, if it has one.
    pub(crate) interface: Option<&'m str>,
    /// Its number, if it is a valid one.
    pub(crate) vrid: Option<u8>,
    /// Whether it is a virtual router of IPv6.
    pub(crate) is_v6: bool,
    /// The version it speaks.
    pub(crate) version: Version,
    /// Its priority.
    pub(crate) priority: u8,
    /// Whether `state MASTER` is given.
    pub(crate) starts_master: bool,
    /// Whether it keeps strictly to the RFCs.
    pub(crate) strict: bool,
    /// Whether it has unicast peers; no RFC has them, so a strict one has none.
    pub(crate) unicast: bool,
}

/// The settings of the daemon, which may be spread over several blocks.
pub(crate) fn globals(model: &Section) -> Section {
    let mut globals = Section::new(Place::Global, None);
    for block in model.blocks(root::GLOBAL_DEFS) {
        globals.settings.extend(block.settings.iter().cloned());
    }
    globals
}

/// The interface of static addresses that name none. Virtual routers have one only if it is given.
pub(crate) fn default_interface(globals: &Section) -> &str {
    globals.text(global::DEFAULT_INTERFACE).unwrap_or("eth0")
}

impl<'m> Facts<'m> {
    /// The facts of a virtual router.
    pub(crate) fn of(section: &'m Section, globals: &'m Section) -> Self {
        let starts_master = section.text(instance::STATE) == Some("MASTER");
        let is_v6 = is_v6(section);
        let version = section.int(instance::VERSION).or_else(|| globals.int(global::VRRP_VERSION));
        let priority = match section.int(instance::PRIORITY) {
            Some(priority) => priority.clamp(1, 255) as u8,
            // A wrong priority isn't a missing one.
            None if starts_master && !section.refused.contains(&instance::PRIORITY) => 255,
            None => 100,
        };
        let own = section.text(instance::INTERFACE);
        let strict = section.bool(instance::STRICT_MODE);
        let strict = strict.unwrap_or_else(|| globals.is_set(global::VRRP_STRICT));
        Facts {
            section,
            globals,
            interface: own.or_else(|| globals.text(global::DEFAULT_INTERFACE)),
            vrid: section.int(instance::VIRTUAL_ROUTER_ID).and_then(|vrid| u8::try_from(vrid).ok()),
            is_v6,
            version: if is_v6 || version == Some(3) { Version::V3 } else { Version::V2 },
            priority,
            starts_master,
            strict,
            unicast: !strict && section.lines(instance::UNICAST_PEER).next().is_some(),
        }
    }

    /// The source address that is given for its adverts, if it is of its family. Of the two keywords
    /// the one given last holds.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        let keys = [instance::UNICAST_SRC_IP, instance::MCAST_SRC_IP];
        let given = self.section.settings.iter().rev().find(|setting| keys.contains(&setting.key));
        self.section.ip(given?.key).filter(|ip| ip.is_ipv6() == self.is_v6)
    }

    /// How it is called.
    pub(crate) fn name(&self) -> &'m str {
        self.section.title()
    }

    /// Whether it owns its addresses.
    pub(crate) fn is_owner(&self) -> bool {
        self.priority == 255
    }

    /// Whether it can run: it has what identifies it on the wire.
    pub(crate) fn is_complete(&self) -> bool {
        self.interface.is_some() && self.vrid.is_some()
    }

    /// Its interval as it is given, and as its version carries it: rounded to what is nearest, as
    /// keepalived does, and never zero.
    pub(crate) fn interval(&self) -> (Option<Span>, Centis) {
        let Some(given) = self.section.time(instance::ADVERT_INT) else {
            return (None, Centis::DEFAULT);
        };
        let centis = match self.version {
            Version::V2 => (given.as_micros() + 500_000) / 1_000_000 * 100,
            Version::V3 => {
                ((given.as_micros() + 5_000) / 10_000).min(u64::from(Centis::MAX_V3.get()))
            }
        };
        let least = if self.version == Version::V2 { 100 } else { 1 };
        let centis = u16::try_from(centis.max(least)).ok().and_then(Centis::new);
        (Some(given), centis.unwrap_or(Centis::DEFAULT))
    }

    /// The lines of `virtual_ipaddress` that are of its family.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'m Entry, IpAddr)> + use<'m> {
        let is_v6 = self.is_v6;
        addresses(self.section).filter(move |(_, ip)| ip.is_ipv6() == is_v6)
    }

    /// How many addresses fit into an advert: its count has eight bits, and an Ethernet frame
    /// 1500 bytes.
    pub(crate) fn most_addresses(&self) -> usize {
        if self.is_v6 { (1500 - 40 - 8) / 16 } else { 255 }
    }
}

/// All lines of `virtual_ipaddress`.
pub(crate) fn addresses(section: &Section) -> impl Iterator<Item = (&Entry, IpAddr)> {
    section.lines(instance::VIRTUAL_IPADDRESS).filter_map(|entry| Some((entry, ip_of(entry)?)))
}

/// The address that a line begins with.
pub(crate) fn ip_of(entry: &Entry) -> Option<IpAddr> {
    match entry.subject()?.datum {
        Datum::Ip(ip) | Datum::Prefix(ip, _) => Some(ip),
        _ => None,
    }
}

/// The family of a virtual router is that of its first address, else of its first peer, else of
/// its source.
fn is_v6(section: &Section) -> bool {
    let address = addresses(section).next().map(|(_, ip)| ip);
    let peer = || section.lines(instance::UNICAST_PEER).next().and_then(ip_of);
    let source =
        || section.ip(instance::UNICAST_SRC_IP).or_else(|| section.ip(instance::MCAST_SRC_IP));
    match address.or_else(peer).or_else(source) {
        Some(ip) => ip.is_ipv6(),
        None => section.is_set(instance::NATIVE_IPV6),
    }
}
