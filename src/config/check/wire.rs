//! Virtual routers among each other: those that would be the same on the wire, and addresses that
//! several carry.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::{Check, name_span, value_span};
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::facts::{Facts, ip_of};
use crate::config::keywords::{address, global, instance};
use crate::config::model::Entry;

/// What makes a virtual router unique on the wire: interface, family, number, and the multicast
/// group if it isn't the usual one.
type WireId<'m> = (&'m str, bool, u8, Option<IpAddr>);

impl Check<'_> {
    /// Leaves out virtual routers whose name another one has.
    pub(super) fn unique_routers<'m>(&mut self, routers: Vec<Facts<'m>>) -> Vec<Facts<'m>> {
        let mut names: HashMap<&str, Facts<'m>> = HashMap::with_capacity(routers.len());
        let mut kept = Vec::with_capacity(routers.len());
        for router in routers {
            match names.get(router.name()) {
                Some(first) => {
                    let message =
                        format!("there is a virtual router called `{}` already", router.name());
                    self.tell(
                        Diagnostic::new(codes::DUPLICATE_NAME, name_span(router.section), message)
                            .label("this one is left out")
                            .related(name_span(first.section), "the first one is here")
                            .help("give it a name of its own"),
                    );
                }
                None => {
                    names.insert(router.name(), router);
                    kept.push(router);
                }
            }
        }
        kept
    }

    /// Leaves out virtual routers that another one is already on the wire.
    pub(super) fn distinct_on_the_wire<'m>(&mut self, routers: Vec<Facts<'m>>) -> Vec<Facts<'m>> {
        let mut multicast: HashMap<WireId<'m>, Facts<'m>> = HashMap::with_capacity(routers.len());
        let mut unicast: HashMap<(WireId<'m>, IpAddr), Facts<'m>> = HashMap::new();
        let mut kept = Vec::with_capacity(routers.len());
        for router in routers {
            let (Some(interface), Some(vrid)) = (router.interface, router.vrid) else {
                kept.push(router);
                continue;
            };
            let group = router.section.ip(instance::MCAST_DST_IP);
            let usual = |group: &IpAddr| {
                let key = if group.is_ipv4() {
                    global::VRRP_MCAST_GROUP4
                } else {
                    global::VRRP_MCAST_GROUP6
                };
                let common = router.globals.ip(key);
                Some(*group) == common || (common.is_none() && is_standard_group(*group))
            };
            let id = (interface, router.is_v6, vrid, group.filter(|group| !usual(group)));
            // Unicast adverts are told apart by who sends them.
            let peers = router.section.lines(instance::UNICAST_PEER).filter(|_| router.unicast);
            let peers: Vec<IpAddr> = peers.filter_map(ip_of).collect();
            let clash = if peers.is_empty() {
                multicast.get(&id).copied()
            } else {
                peers.iter().find_map(|peer| unicast.get(&(id, *peer)).copied())
            };
            if let Some(first) = clash {
                self.clash(&router, &first, interface, vrid, !peers.is_empty());
                continue;
            }
            if peers.is_empty() {
                multicast.insert(id, router);
            }
            for peer in peers {
                unicast.insert((id, peer), router);
            }
            kept.push(router);
        }
        kept
    }

    fn clash(
        &mut self,
        router: &Facts<'_>,
        first: &Facts<'_>,
        interface: &str,
        vrid: u8,
        unicast: bool,
    ) {
        let peer = if unicast { " and have a peer in common" } else { "" };
        let message = format!(
            "`{}` and `{}` have the same virtual_router_id {vrid} on interface {interface}{peer}",
            first.name(),
            router.name()
        );
        let key = instance::VIRTUAL_ROUTER_ID;
        self.tell(
            Diagnostic::new(codes::VRID_CLASH, value_span(router.section, key), message)
                .label(format!("`{}` is left out", router.name()))
                .related(value_span(first.section, key), format!("`{}` has it here", first.name()))
                .help("give one of them another virtual_router_id, on all routers that share its addresses"),
        );
    }

    /// Addresses that several virtual routers carry on the same interface.
    pub(super) fn shared_addresses(&mut self, routers: &[Facts<'_>]) {
        let mut carriers: HashMap<(IpAddr, &str), (&Facts<'_>, &Entry, bool)> = HashMap::new();
        let mut told = HashSet::new();
        for router in routers {
            let excluded = router.section.lines(instance::VIRTUAL_IPADDRESS_EXCLUDED);
            let excluded = excluded.filter_map(|entry| Some((entry, ip_of(entry)?, false)));
            let listed = router.addresses().map(|(entry, ip)| (entry, ip, true));
            for (entry, ip, is_listed) in listed.chain(excluded) {
                let dev = entry.get(address::DEV).and_then(|setting| setting.text());
                let Some(link) = dev.or(router.interface) else { continue };
                let Some(&(first, other, other_listed)) = carriers.get(&(ip, link)) else {
                    carriers.insert((ip, link), (router, entry, is_listed));
                    continue;
                };
                let same_router = std::ptr::eq(first.section, router.section);
                let (code, message, label) = if same_router {
                    (
                        codes::DUPLICATE_ENTRY,
                        format!("`{ip}` is listed twice in `{}`", router.name()),
                        match is_listed && other_listed {
                            true => "set once, but listed in adverts again, as by keepalived",
                            false => "ignored",
                        },
                    )
                } else {
                    let message = format!(
                        "`{ip}` on interface {link} is an address of both `{}` and `{}`",
                        first.name(),
                        router.name()
                    );
                    (
                        codes::ADDRESS_SHARED,
                        message,
                        "whichever of them leaves takes it away from the other",
                    )
                };
                // Many definitions share one line; that is told once for each pair of lines.
                if told.insert((entry.subject_span(), other.subject_span())) {
                    self.tell(
                        Diagnostic::new(code, entry.subject_span(), message)
                            .label(label)
                            .related(other.subject_span(), "listed here first")
                            .help("remove one of the two lines"),
                    );
                }
            }
        }
    }
}

/// Whether a group is the one that the RFC gives.
fn is_standard_group(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets() == [224, 0, 0, 18],
        IpAddr::V6(group) => group.segments() == [0xff02, 0, 0, 0, 0, 0, 0, 0x12],
    }
}
