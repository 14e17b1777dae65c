//! **Facts go up**: what the kernel room has found out, and what links have become, is told to whom
//! it concerns.

use std::io;

use log::{debug, error, info, warn};

use super::run::Daemon;
use super::ways::STATIC;
use super::words;
use crate::base::{Instant, LinkChange, LinkFacts, LinkId, LinkLocal, RouterId, Span};
use crate::kernel::{Fact, Wish};
use crate::vrrp::Standing;

/// When to ask again after a dump was refused.
const SYNC_RETRY: Span = Span::from_secs(1);

impl Daemon {
    pub(super) fn on_fact(&mut self, now: Instant, fact: Fact) {
        match fact {
            Fact::Link(change) => {
                let change = self.delays.admit(now, change);
                self.on_link(now, &change);
                self.try_statics_again(now);
            }
            Fact::Synchronised => {
                let configured = self.engine.views().flat_map(|view| &view.params.addresses);
                self.host.remove_leftovers(configured);
                self.set_up_ways();
                debug!("all links and addresses are known");
                self.prepare_start(now);
            }
            Fact::Source { source, present } => {
                let standing = if present { Standing::Good } else { Standing::Bad };
                self.engine.on_track(now, source, standing);
            }
            Fact::MacvlanRefused { link, error } => self.on_macvlan_refused(link, error),
            Fact::MacvlansRemoved { removed } => {
                let interfaces = words::count(removed as usize, "interface");
                info!("removed {interfaces} that an earlier run had made for virtual MACs");
            }
            Fact::Resynchronised => {
                warn!("netlink lost messages; all links and addresses have been read again");
            }
            Fact::SyncFailed { error } => {
                let cause = io::Error::from_raw_os_error(error);
                error!("the kernel refuses to list links and addresses: {cause}; asking again");
                self.host.resynchronise();
                self.retry_requests_at = now + SYNC_RETRY;
            }
            Fact::LeftoversRemoved { removed: 0 } => {}
            Fact::TakenAlong { link, ip } => {
                let link = self.names.name(link);
                warn!(
                    "address {ip} of {link} has gone along with a virtual address that was the \
                     first of their subnet: see net.ipv4.conf.{link}.promote_secondaries"
                );
            }
            Fact::Kept { link, ip } => {
                let link = self.names.name(link);
                warn!(
                    "address {ip} was on {link} before and seems to be the host's own: it stays \
                     there in every state; if it was left behind, remove it: ip address del"
                );
            }
            Fact::LeftoversRemoved { removed } => {
                let addresses = words::count(removed as usize, "virtual address");
                info!("removed {addresses} that an earlier run had left behind");
            }
            Fact::Set { owner: STATIC } => self.on_statics_set(now),
            Fact::Set { owner } => self.engine.on_addresses_set(now, RouterId(owner)),
            Fact::Unset { .. } => {}
            Fact::WayRefused { owner, way, wish, error } => {
                self.on_way_refused(owner, way, wish, error);
            }
            Fact::WayLost { owner, way } => self.on_way_lost(now, owner, way),
            Fact::WaysRemoved { removed } => self.on_ways_removed(removed),
            Fact::Refused { owner, link, ip, wish, error } => {
                let link = self.names.name(link);
                let wish = match wish {
                    Wish::Set => "add",
                    Wish::Unset => "remove",
                };
                let cause = io::Error::from_raw_os_error(error);
                if owner == STATIC {
                    return error!("the kernel refuses to {wish} static {ip} on {link}: {cause}");
                }
                let name = self.router_name(owner);
                error!(
                    "VRRP_Instance({name}) the kernel refuses to {wish} {ip} on {link}: {cause}"
                );
            }
            Fact::AddressLost { owner, link, ip } => {
                if owner == STATIC {
                    return self.on_static_lost(now, &format!("static address {ip}"));
                }
                let tracked = self.engine.view(RouterId(owner)).params.tracks(link, ip);
                let name = self.router_name(owner);
                let link = self.names.name(link);
                warn!("VRRP_Instance({name}) address {ip} was removed from {link} by someone else");
                if tracked {
                    self.engine.on_address_lost(now, RouterId(owner));
                }
            }
        }
    }

    pub(super) fn router_name(&self, owner: u32) -> &str {
        &self.engine.view(RouterId(owner)).params.name
    }

    pub(super) fn on_link(&mut self, now: Instant, change: &LinkChange) {
        let name = self.names.name(change.link);
        let up = change.facts.map(|facts| facts.up);
        let before = std::mem::replace(&mut self.link_up[change.link.index()], up);
        match (before, up) {
            (before, Some(up)) if before != Some(up) => {
                info!("Kernel is reporting: interface {name} {}", if up { "UP" } else { "DOWN" });
            }
            (Some(_), None) => info!("Kernel is reporting: interface {name} REMOVED"),
            _ => {}
        }
        if change.facts.is_some() {
            self.promote_on(change.link);
        }
        self.join(change.link, change.facts);
        let engine = &self.engine;
        self.frames.on_link(change, |router| engine.view(router));
        self.engine.on_link(now, change);
    }

    /// Lets the groups' packets in on links that carry multicast adverts. (Raw sockets hear a group as
    /// soon as any socket of the namespace has joined it on that interface.)
    pub(super) fn join(&mut self, link: LinkId, facts: Option<LinkFacts>) {
        // Where IPv6 is switched off and on again its memberships are lost, and so is every address.
        let has_ipv6 = facts.is_some_and(|facts| facts.link_local != LinkLocal::None);
        let mut wanted = self.frames.groups(link);
        wanted.retain(|group| group.is_ipv4() || has_ipv6);
        let ifindex = facts.map(|facts| facts.ifindex);
        let (joined, memberships) = (&mut self.joined[link.index()], &mut self.sockets.memberships);
        joined.retain(|&(old, group)| {
            let stays = Some(old) == ifindex && wanted.contains(&group);
            if !stays {
                // If the interface has gone, so has the membership.
                let _ = memberships.leave(old, group);
            }
            stays
        });
        let Some(ifindex) = ifindex else { return };
        for group in wanted {
            if joined.contains(&(ifindex, group)) {
                continue;
            }
            match memberships.join(ifindex, group) {
                Ok(()) => joined.push((ifindex, group)),
                Err(cause) => {
                    let name = self.names.name(link);
                    error!("interface {name}: can't join the VRRP group {group}: {cause}");
                }
            }
        }
    }
}
