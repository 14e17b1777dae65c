//! Addresses that virtual routers send from: whether the host has them, on whatever interface.

use std::collections::HashMap;
use std::net::IpAddr;

use super::entry::Entry;
use super::mirror::RealKey;
use super::reader::Address;
use super::{Fact, Facts, Host};
use crate::base::{IfIndex, LinkId, TrackId};

/// The addresses that are looked out for.
#[derive(Debug, Default)]
pub(super) struct Sources {
    watched: HashMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    id: TrackId,
    /// Where it is and can be sent from.
    places: Vec<(IfIndex, RealKey)>,
    /// What has been reported, if anything has.
    reported: Option<bool>,
}

/// Whether an address with such flags (`IFA_F_…`) can be sent from: it isn't waiting for duplicate
/// address detection to pass it, nor has that found it to be somebody else's (RFC 4862 section 5.4).
pub(super) fn is_usable(flags: u32) -> bool {
    let waits = flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_OPTIMISTIC) == libc::IFA_F_TENTATIVE;
    !waits && flags & libc::IFA_F_DADFAILED == 0
}

impl Source {
    fn place(&mut self, at: IfIndex, key: RealKey, is_there: bool) {
        self.places.retain(|place| *place != (at, key));
        if is_there {
            self.places.push((at, key));
        }
    }

    fn report(&mut self, facts: &mut Facts) {
        let present = !self.places.is_empty();
        if self.reported.replace(present) != Some(present) {
            facts.push_back(Fact::Source { source: self.id, present });
        }
    }
}

impl Host {
    /// Looks out for those addresses in place of those named before. What is known of new ones is
    /// reported at once.
    pub fn watch_sources(&mut self, sources: impl IntoIterator<Item = (TrackId, IpAddr)>) {
        let mut before = std::mem::take(&mut self.sources.watched);
        for (id, ip) in sources {
            let source = before.remove(&ip).filter(|source| source.id == id);
            let source = source.unwrap_or(Source { id, places: Vec::new(), reported: None });
            self.sources.watched.insert(ip, source);
        }
        if self.synchronised {
            self.find_sources();
        }
    }

    /// An address has come or gone.
    pub(super) fn on_source(&mut self, address: &Address, present: bool) {
        let Some(source) = self.sources.watched.get_mut(&address.ip) else { return };
        let present = present && is_usable(address.flags);
        source.place(address.ifindex, RealKey::of(address), present);
        if self.synchronised {
            source.report(&mut self.facts);
        }
    }

    /// An interface has gone, and what was on it.
    pub(super) fn sources_gone(&mut self, ifindex: IfIndex) {
        for source in self.sources.watched.values_mut() {
            source.places.retain(|(at, _)| *at != ifindex);
            if self.synchronised {
                source.report(&mut self.facts);
            }
        }
    }

    /// Looks for all of them in what is known now, after a dump.
    pub(super) fn find_sources(&mut self) {
        let Host { sources, mirror, reconciler, links, facts, .. } = self;
        let watched = &mut sources.watched;
        if watched.is_empty() {
            return;
        }
        watched.values_mut().for_each(|source| source.places.clear());
        let mut found = |at, key: RealKey| {
            if let Some(source) = watched.get_mut(&key.ip) {
                source.place(at, key, true);
            }
        };
        for (at, device) in mirror.devices() {
            device.usable().for_each(|key| found(at, key));
        }
        for (number, link) in links.iter().enumerate() {
            let Some(at) = link.device else { continue };
            let entries = reconciler.entries_of(LinkId(number as u32)).iter();
            let entries = entries.filter_map(|id| reconciler.entry(*id));
            for Entry { address, .. } in entries.filter(|entry| entry.is_there()) {
                let key = RealKey {
                    ip: address.ip,
                    prefix_len: address.prefix_len,
                    peer: address.peer(),
                };
                found(at, key);
            }
        }
        // In the order of their numbers, so that the same happens every time.
        let mut watched: Vec<&mut Source> = watched.values_mut().collect();
        watched.sort_unstable_by_key(|source| source.id);
        watched.into_iter().for_each(|source| source.report(facts));
    }
}
