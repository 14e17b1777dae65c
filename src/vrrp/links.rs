//! What the engine knows of interfaces, and which router an advert on one belongs to.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use super::params::{RouterParams, Unicast};
use super::router::Fault;
use super::tracking::Standing;
use crate::base::{Family, IfIndex, LinkChange, LinkFacts, LinkId, LinkLocal, RouterId, Vrid};

/// All interfaces that the configuration names.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Vec<Link>,
    by_ifindex: HashMap<IfIndex, LinkId, BuildHasherDefault<IndexHasher>>,
}

#[derive(Debug, Default)]
struct Link {
    facts: Option<LinkFacts>,
    /// The routers whose adverts this interface carries, by vrid; `None` while it carries none of
    /// that family.
    ipv4: Option<Box<[u32; 256]>>,
    ipv6: Option<Box<[u32; 256]>>,
    /// Further routers with a vrid that another one has: told apart by their peers, or by the
    /// multicast group.
    namesakes: Vec<(Family, Vrid, RouterId)>,
    /// Every router that can't run without this interface.
    dependents: Vec<RouterId>,
}

const NO_ROUTER: u32 = u32::MAX;

impl Links {
    pub(super) fn new(count: usize) -> Self {
        Links { links: (0..count).map(|_| Link::default()).collect(), ..Links::default() }
    }

    /// Makes room for interfaces numbered below `count`.
    pub(super) fn grow(&mut self, count: usize) {
        self.links.resize_with(count.max(self.links.len()), Link::default);
    }

    /// Adverts for the router of `params` no longer find it as `router`; the next one with its vrid
    /// takes its place.
    pub(super) fn release(&mut self, params: &RouterParams, router: RouterId) {
        for link in carriers(params) {
            self.links[link.index()].release(params.transport.family, params.vrid, router);
        }
    }

    /// `router` depends on `link` no more.
    pub(super) fn let_go(&mut self, link: LinkId, router: RouterId) {
        self.links[link.index()].dependents.retain(|&dependent| dependent != router);
    }

    /// Lets adverts for the router of `params` find it as `router`.
    pub(super) fn carry(&mut self, params: &RouterParams, router: RouterId) {
        for link in carriers(params) {
            self.links[link.index()].carry(params.transport.family, params.vrid, router);
        }
    }

    /// Further routers that an advert of `family` for `vrid` on interface `ifindex` may belong to.
    pub(super) fn namesakes(
        &self,
        ifindex: IfIndex,
        family: Family,
        vrid: u8,
    ) -> impl Iterator<Item = RouterId> {
        let link = self.by_ifindex.get(&ifindex).map(|link| &self.links[link.index()]);
        let namesakes = link.into_iter().flat_map(|link| &link.namesakes);
        namesakes.filter(move |(f, v, _)| (*f, v.get()) == (family, vrid)).map(|&(_, _, id)| id)
    }

    /// Makes `router` depend on `link`; naming it twice is harmless.
    pub(super) fn depend(&mut self, link: LinkId, router: RouterId) {
        let dependents = &mut self.links[link.index()].dependents;
        if dependents.last() != Some(&router) {
            dependents.push(router);
        }
    }

    /// The router that an advert of `family` for `vrid` on interface `ifindex` belongs to.
    #[inline]
    pub(super) fn router(&self, ifindex: IfIndex, family: Family, vrid: u8) -> Option<RouterId> {
        let link = &self.links[self.by_ifindex.get(&ifindex)?.index()];
        let routers = match family {
            Family::Ipv4 => &link.ipv4,
            Family::Ipv6 => &link.ipv6,
        };
        match routers.as_deref()?[usize::from(vrid)] {
            NO_ROUTER => None,
            router => Some(RouterId(router)),
        }
    }

    /// Whether `change` is about another interface than the one that had the name before.
    pub(super) fn replaces(&self, change: &LinkChange) -> bool {
        match (&self.links[change.link.index()].facts, &change.facts) {
            (Some(old), Some(new)) => old.ifindex != new.ifindex,
            _ => false,
        }
    }

    /// Whether the interface has got another Ethernet address by `change`.
    pub(super) fn moves(&self, change: &LinkChange) -> bool {
        match (&self.links[change.link.index()].facts, &change.facts) {
            (Some(old), Some(new)) => old.mac != new.mac,
            _ => false,
        }
    }

    /// Takes note of a change.
    pub(super) fn apply(&mut self, change: &LinkChange) {
        let link = &mut self.links[change.link.index()];
        let old = std::mem::replace(&mut link.facts, change.facts);
        // Only forget an index that is still this link's: after a rename another may have it.
        if let Some(old) = old
            && self.by_ifindex.get(&old.ifindex) == Some(&change.link)
        {
            self.by_ifindex.remove(&old.ifindex);
        }
        if let Some(new) = change.facts {
            self.by_ifindex.insert(new.ifindex, change.link);
        }
    }

    /// How many routers depend on `link`, and the `n`th of them.
    pub(super) fn dependents(&self, link: LinkId) -> usize {
        self.links[link.index()].dependents.len()
    }

    pub(super) fn dependent(&self, link: LinkId, n: usize) -> RouterId {
        self.links[link.index()].dependents[n]
    }

    /// The interface's own address to send adverts of `family` from.
    pub(super) fn own_address(&self, link: LinkId, family: Family) -> Option<IpAddr> {
        let facts = self.links[link.index()].facts?;
        match family {
            Family::Ipv4 => facts.primary_ipv4.map(IpAddr::V4),
            Family::Ipv6 => facts.link_local.ready().map(IpAddr::V6),
        }
    }

    /// How an interface that is tracked is.
    pub(super) fn standing(&self, link: LinkId) -> Standing {
        match self.links[link.index()].facts {
            Some(facts) if facts.up => Standing::Good,
            _ => Standing::Bad,
        }
    }

    /// Whether the router of `params` can send adverts.
    pub(super) fn can_send(&self, params: &RouterParams) -> bool {
        let framed = params.transport.unicast.is_none();
        let facts = self.links[params.link.index()].facts;
        facts.is_some_and(|facts| facts.up && (facts.mac.is_some() || !framed))
    }

    /// What keeps the router of `params`, which depends on `others` besides its own interface, from
    /// running: the first cause in that order.
    pub(super) fn fault(&self, params: &RouterParams, others: &[LinkId]) -> Option<Fault> {
        let own = params.link;
        let own_must_be_up = !params.tracking.ignore_own_link;
        let transport = &params.transport;
        if matches!(&transport.unicast, Some(Unicast { peers, .. }) if peers.is_empty()) {
            return Some(Fault::NoPeers);
        }
        for &link in std::iter::once(&own).chain(others) {
            match self.links[link.index()].facts {
                None => return Some(Fault::LinkAbsent(link)),
                Some(_) if link == own && !own_must_be_up => {}
                Some(facts) if !facts.up => return Some(Fault::LinkDown(link)),
                Some(_) => {}
            }
        }
        let facts = self.links[own.index()].facts?;
        if facts.mac.is_none() && transport.unicast.is_none() {
            return Some(Fault::NotEthernet(own));
        }
        // A frame to the group carries any source that is configured. Unicast, the kernel sends
        // nothing from an address that it does not have yet, nor hears anything for it.
        if let Some(source) = transport.source
            && !(transport.unicast.is_some() && is_link_local(source))
        {
            return None;
        }
        match (transport.family, facts.link_local) {
            (Family::Ipv4, _) => {
                facts.primary_ipv4.is_none().then_some(Fault::NoPrimaryAddress(own))
            }
            (Family::Ipv6, LinkLocal::None) => Some(Fault::NoLinkLocal(own)),
            (Family::Ipv6, LinkLocal::Tentative) => Some(Fault::Tentative(own)),
            (Family::Ipv6, LinkLocal::Ready(_)) => None,
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The interfaces that adverts for the router of `params` come by: its own, and those made on that
/// for its virtual MAC. Where the kernel hands what has their MAC as source to them alone, adverts
/// arrive there.
fn carriers(params: &RouterParams) -> impl Iterator<Item = LinkId> {
    let made = params.macvlans.iter().filter(|macvlan| macvlan.base == params.link);
    std::iter::once(params.link).chain(made.map(|macvlan| macvlan.link))
}

impl Link {
    fn carry(&mut self, family: Family, vrid: Vrid, router: RouterId) {
        self.table(family).get_or_insert_with(|| Box::new([NO_ROUTER; 256]));
        match self.place(family, vrid) {
            Some(place) if *place == NO_ROUTER => *place = router.0,
            _ => self.namesakes.push((family, vrid, router)),
        }
    }

    fn release(&mut self, family: Family, vrid: Vrid, router: RouterId) {
        self.namesakes.retain(|&(_, _, namesake)| namesake != router);
        if self.place(family, vrid).is_none_or(|place| *place != router.0) {
            return;
        }
        let next = self.namesakes.iter().position(|&(f, v, _)| (f, v) == (family, vrid));
        let next = next.map(|next| self.namesakes.remove(next).2.0);
        if let Some(place) = self.place(family, vrid) {
            *place = next.unwrap_or(NO_ROUTER);
        }
    }

    fn place(&mut self, family: Family, vrid: Vrid) -> Option<&mut u32> {
        let routers = self.table(family).as_deref_mut()?;
        Some(&mut routers[usize::from(vrid.get())])
    }

    fn table(&mut self, family: Family) -> &mut Option<Box<[u32; 256]>> {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

/// Spreads interface indexes, which are small and consecutive; the kernel gives them out, so
/// nobody can choose them to collide.
#[derive(Default)]
struct IndexHasher(u64);

impl Hasher for IndexHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, index: u32) {
        self.0 = (self.0 ^ u64::from(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
