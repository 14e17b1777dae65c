//! What a [`Host`] knows, for people and for whoever asks.

use super::Host;
use super::entry::Entry;
use super::mirror::RealKey;
use super::reconciler::EntryId;
use crate::base::{LinkFacts, LinkId, VirtualAddress};

/// A watched interface, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView<'a> {
    /// Its id.
    pub link: LinkId,
    /// The name by which the configuration knows it.
    pub name: &'a str,
    /// What is known of it; `None`: there is no such interface.
    pub facts: Option<LinkFacts>,
    /// Its flags, `IFF_…` (`netdevice(7)`).
    pub flags: u32,
    /// How many addresses are on it, virtual ones included.
    pub addresses: usize,
    /// How many of them are virtual.
    pub virtual_addresses: usize,
}

/// What this room counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Messages read from the monitor.
    pub events: u64,
    /// Messages that couldn't be read: of a broken datagram, or too short for what they are.
    pub malformed: u64,
    /// Times the monitor lost something.
    pub overruns: u64,
    /// Times an answer was lost.
    pub answers_lost: u64,
    /// Dumps begun.
    pub dumps: u64,
    /// Dumps that a change interrupted, and that were made again.
    pub dumps_interrupted: u64,
    /// Batches of requests sent.
    pub batches: u64,
    /// Requests in them.
    pub requests: u64,
    /// Requests that were refused (an address that is there or gone already is no refusal).
    pub refusals: u64,
}

impl Host {
    /// Whether an address is on its interface, whoever put it there.
    pub fn is_present(&self, address: &VirtualAddress) -> bool {
        let &VirtualAddress { link, ip, prefix_len, .. } = address;
        let Some(at) = self.links.get(link.index()).and_then(|watched| watched.device) else {
            return false;
        };
        match self.reconciler.find(link, ip, prefix_len) {
            Some(id) => self.reconciler.entry(id).is_some_and(Entry::is_there),
            None => {
                let key = RealKey { ip, prefix_len, peer: address.peer() };
                self.mirror.device(at).is_some_and(|device| device.holds(&key))
            }
        }
    }

    /// What is known of a watched interface; `None` if no such interface exists.
    pub fn link_facts(&self, link: LinkId) -> Option<LinkFacts> {
        let ifindex = self.links.get(link.index())?.device?;
        let device = self.mirror.device(ifindex)?;
        let mut facts = device.facts(ifindex);
        if self.is_own_macvlan(link) {
            // Whether it can carry traffic is the interface's below, which is watched itself.
            facts.up = device.is_wanted_up();
        }
        Some(facts)
    }

    /// A watched interface as status output shows it; `None` for an id that isn't watched.
    pub fn link(&self, link: LinkId) -> Option<LinkView<'_>> {
        let watched = self.links.get(link.index()).filter(|_| link.index() < self.names.len())?;
        let device = watched.device.and_then(|ifindex| self.mirror.device(ifindex));
        let here = |id: &&EntryId| self.reconciler.entry(**id).is_some_and(Entry::is_there);
        let virtual_addresses = self.reconciler.entries_of(link).iter().filter(here).count();
        Some(LinkView {
            link,
            name: self.names.name(link),
            facts: self.link_facts(link),
            flags: device.map_or(0, |device| device.flags),
            addresses: device.map_or(0, |device| device.reals()) + virtual_addresses,
            virtual_addresses,
        })
    }

    /// All watched interfaces, by id.
    pub fn links(&self) -> impl Iterator<Item = LinkView<'_>> {
        (0..self.links.len()).filter_map(|number| self.link(LinkId(number as u32)))
    }

    /// What has been counted so far.
    pub fn counters(&self) -> HostCounters {
        self.counters
    }
}
