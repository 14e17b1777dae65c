//! `use_vmac`: which interfaces are made for a virtual router, and what they are called.

use std::collections::{HashMap, HashSet};

use super::Lowering;
use crate::base::{LinkId, Mac, Macvlan};
use crate::config::facts::Facts;
use crate::config::keywords::{Key, address as addr, global, instance};
use crate::config::model::{Datum, Entry, Section};

/// The longest name of an interface (`IFNAMSIZ` less its NUL).
const LONGEST: usize = 15;

/// The interfaces that are made for all virtual routers.
#[derive(Debug, Default)]
pub(super) struct Vmacs {
    /// Names that are given to one of them, or that the configuration gives.
    taken: HashSet<String>,
    /// Two virtual MACs on one interface are one: they share what is made for them.
    made: HashMap<(LinkId, Mac), Macvlan>,
}

/// Those of one virtual router.
#[derive(Debug)]
pub(super) struct Vmac<'m> {
    section: &'m Section,
    strict: bool,
    interface: LinkId,
    is_v6: bool,
    vrid: u8,
    mac: Mac,
    /// What `use_vmac` says after its keyword.
    name: Option<&'m str>,
    group: Option<u32>,
    macvlans: Vec<Macvlan>,
}

impl Vmacs {
    /// Keeps names free that these virtual routers give.
    pub(super) fn reserve(&mut self, routers: &[Facts<'_>]) {
        let names = routers.iter().filter_map(|router| Said::of(router.section).name);
        self.taken.extend(names.map(str::to_owned));
    }
}

impl<'m> Vmac<'m> {
    /// Of a virtual router whose own interface is `interface`.
    pub(super) fn of(router: &Facts<'m>, interface: LinkId, vrid: u8) -> Self {
        let said = Said::of(router.section);
        Vmac {
            section: router.section,
            strict: router.strict,
            interface,
            is_v6: router.is_v6,
            vrid,
            mac: said.mac(router.is_v6, vrid).unwrap_or(Macvlan::virtual_mac(router.is_v6, vrid)),
            name: said.name,
            group: said.group,
            macvlans: Vec::new(),
        }
    }

    /// The Ethernet source of its adverts, if that isn't its interface's own address.
    pub(super) fn source(&self) -> Option<Mac> {
        let plain = self.section.is_set(instance::VMAC_XMIT_BASE) && !self.strict;
        (self.section.is_set(instance::USE_VMAC) && !plain).then_some(self.mac)
    }

    /// Whether what is on `base` goes to an interface made on it; `entry` is the address.
    fn covers(&self, base: LinkId, entry: Option<&Entry>) -> bool {
        let asked = entry.is_some_and(|entry| entry.get(addr::USE_VMAC).is_some());
        let key = match base == self.interface {
            true => instance::USE_VMAC,
            false => instance::USE_VMAC_ADDR,
        };
        asked || self.section.is_set(key)
    }

    /// The interfaces that were found to be needed.
    pub(super) fn macvlans(self) -> Box<[Macvlan]> {
        self.macvlans.into()
    }
}

impl Lowering<'_> {
    /// Where an address that is meant for `base` goes: there, or to an interface made on it. The
    /// same without an address, for the interface that the adverts seem to come from.
    pub(super) fn home(
        &mut self,
        vmac: &mut Vmac<'_>,
        base: LinkId,
        entry: Option<&Entry>,
    ) -> LinkId {
        if !vmac.covers(base, entry) {
            return base;
        }
        if let Some(made) = vmac.macvlans.iter().find(|made| made.base == base) {
            return made.link;
        }
        let known = self.vmacs.made.get(&(base, vmac.mac)).copied();
        let macvlan = known.unwrap_or_else(|| {
            let own = base == vmac.interface;
            let name = vmac.name.filter(|_| own).map(str::to_owned);
            let free = |name: &String| {
                let id = self.links.find(name);
                id != Some(base) && !self.vmacs.made.values().any(|made| Some(made.link) == id)
            };
            let name = name.filter(free).unwrap_or_else(|| self.vmac_name(vmac, own));
            let link = self.links.intern(&name);
            let group = vmac.group.filter(|_| own);
            Macvlan { link, base, mac: vmac.mac, ipv6: vmac.is_v6, group }
        });
        self.vmacs.made.insert((base, vmac.mac), macvlan);
        vmac.macvlans.push(macvlan);
        macvlan.link
    }

    /// A name as keepalived would choose it: `vrrp.VRID` (`vrrp6.VRID` for IPv6), and with a number
    /// before the dot where another interface has the same.
    fn vmac_name(&mut self, vmac: &Vmac<'_>, own: bool) -> String {
        let text = |key: Key| self.globals.text(key);
        let common = text(global::VMAC_PREFIX).unwrap_or("vrrp");
        let prefix = match own {
            true => common,
            false => text(global::VMAC_ADDR_PREFIX).unwrap_or(common),
        };
        let first = if vmac.is_v6 { "6" } else { "" };
        let numbers = (1u32..).map(|number| number.to_string());
        for number in std::iter::once(first.to_owned()).chain(numbers) {
            let end = format!("{number}.{}", vmac.vrid);
            let mut kept = prefix.len().min(LONGEST.saturating_sub(end.len()));
            while !prefix.is_char_boundary(kept) {
                kept -= 1;
            }
            let name = format!("{}{end}", prefix.get(..kept).unwrap_or_default());
            if self.vmacs.taken.insert(name.clone()) {
                return name;
            }
        }
        String::new()
    }
}

/// What is said after `use_vmac`.
#[derive(Default)]
struct Said<'m> {
    name: Option<&'m str>,
    mac: Option<&'m [u8]>,
    group: Option<u32>,
}

impl<'m> Said<'m> {
    fn of(section: &'m Section) -> Self {
        let mut said = Said::default();
        let mut group = false;
        let items = section.get(instance::USE_VMAC).map_or(&[][..], |setting| setting.items());
        for item in items {
            match &item.datum {
                Datum::Text(text) if group => said.group = text.parse().ok(),
                Datum::Int(number) if group => said.group = u32::try_from(*number).ok(),
                Datum::Text(text) => said.name = Some(text),
                Datum::Mac(mac) => said.mac = Some(mac),
                _ => {}
            }
            group = matches!(item.datum, Datum::Choice("group"));
        }
        said
    }

    fn mac(&self, is_v6: bool, vrid: u8) -> Option<Mac> {
        given_mac(self.mac?, is_v6, vrid)
    }
}

/// The MAC that is given, its last byte the vrid if it has only five. The virtual MACs of the RFC
/// aren't to be given but for the own one (they belong to the vrid that they end with), and no
/// multicast ones.
pub(in crate::config) fn given_mac(bytes: &[u8], is_v6: bool, vrid: u8) -> Option<Mac> {
    let mac = match *bytes {
        [a, b, c, d, e, f] => Mac([a, b, c, d, e, f]),
        [a, b, c, d, e] => Mac([a, b, c, d, e, vrid]),
        _ => return None,
    };
    let [first, ..] = mac.0;
    let free = !Macvlan::is_virtual(mac) || mac == Macvlan::virtual_mac(is_v6, vrid);
    (free && first & 1 == 0).then_some(mac)
}
