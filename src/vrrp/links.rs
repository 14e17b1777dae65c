//! What the engine knows of interfaces, and which router an advert on one belongs to.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::Ipv4Addr;

use super::router::Fault;
use super::tracking::Standing;
use crate::base::{IfIndex, LinkChange, LinkFacts, LinkId, RouterId, Vrid};

/// All interfaces that the configuration names.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Vec<Link>,
    by_ifindex: HashMap<IfIndex, LinkId, BuildHasherDefault<IndexHasher>>,
}

#[derive(Debug, Default)]
struct Link {
    facts: Option<LinkFacts>,
    /// The routers whose adverts this interface carries, by vrid; `None` while it carries none.
    routers: Option<Box<[u32; 256]>>,
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

    /// Adverts for `vrid` on `link` no longer find `router`.
    pub(super) fn release(&mut self, link: LinkId, vrid: Vrid, router: RouterId) {
        if let Some(routers) = &mut self.links[link.index()].routers {
            let place = &mut routers[usize::from(vrid.get())];
            if *place == router.0 {
                *place = NO_ROUTER;
            }
        }
    }

    /// `router` depends on `link` no more.
    pub(super) fn let_go(&mut self, link: LinkId, router: RouterId) {
        self.links[link.index()].dependents.retain(|&dependent| dependent != router);
    }

    /// Lets adverts for `vrid` on `link` find `router`.
    pub(super) fn carry(&mut self, link: LinkId, vrid: Vrid, router: RouterId) {
        let routers = &mut self.links[link.index()].routers;
        let routers = routers.get_or_insert_with(|| Box::new([NO_ROUTER; 256]));
        routers[usize::from(vrid.get())] = router.0;
    }

    /// Makes `router` depend on `link`; naming it twice is harmless.
    pub(super) fn depend(&mut self, link: LinkId, router: RouterId) {
        let dependents = &mut self.links[link.index()].dependents;
        if dependents.last() != Some(&router) {
            dependents.push(router);
        }
    }

    /// The router that an advert for `vrid` on interface `ifindex` belongs to.
    #[inline]
    pub(super) fn router(&self, ifindex: IfIndex, vrid: u8) -> Option<RouterId> {
        let link = &self.links[self.by_ifindex.get(&ifindex)?.index()];
        match link.routers.as_deref()?[usize::from(vrid)] {
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

    pub(super) fn primary_ipv4(&self, link: LinkId) -> Option<Ipv4Addr> {
        self.links[link.index()].facts?.primary_ipv4
    }

    /// How an interface that is tracked is.
    pub(super) fn standing(&self, link: LinkId) -> Standing {
        match self.links[link.index()].facts {
            Some(facts) if facts.up => Standing::Good,
            _ => Standing::Bad,
        }
    }

    /// Whether an advert can be framed for `link` and sent there.
    pub(super) fn can_send(&self, link: LinkId) -> bool {
        self.links[link.index()].facts.is_some_and(|facts| facts.up && facts.mac.is_some())
    }

    /// What keeps a router from running whose own interface is `own` and that depends on `others`
    /// too: the first cause in that order.
    /// Unless `own_must_be_up`, its own interface only has to be there.
    pub(super) fn fault(
        &self,
        own: LinkId,
        others: &[LinkId],
        own_must_be_up: bool,
    ) -> Option<Fault> {
        for &link in std::iter::once(&own).chain(others) {
            match self.links[link.index()].facts {
                None => return Some(Fault::LinkAbsent(link)),
                Some(_) if link == own && !own_must_be_up => {}
                Some(facts) if !facts.up => return Some(Fault::LinkDown(link)),
                Some(_) => {}
            }
        }
        let facts = self.links[own.index()].facts?;
        if facts.mac.is_none() {
            return Some(Fault::NotEthernet(own));
        }
        facts.primary_ipv4.is_none().then_some(Fault::NoPrimaryAddress(own))
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
