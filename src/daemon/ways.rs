//! Routes and policy rules, and what is there all the time whatever the virtual routers do:
//! `static_ipaddress`, `static_routes`, `static_rules`.

use std::collections::BTreeMap;
use std::io;

use log::{debug, error, info, warn};

use super::run::Daemon;
use super::words;
use crate::base::{Instant, RouterId, Span, TrackId, VirtualAddress, Way, WayKind};
use crate::config::{Static, Statics};
use crate::io::sockets::{self, RouteGroup};
use crate::kernel::{WayId, Wish};
use crate::vrrp::Standing;

/// Who wants static addresses, routes and rules: no virtual router has this number.
pub(super) const STATIC: u32 = u32::MAX;
/// What someone else keeps deleting is put back so often at most.
const RESTORING: Span = Span::from_secs(1);
/// The groups that tell of routes and rules.
const GROUPS: [RouteGroup; 4] =
    [RouteGroup::Ipv4Route, RouteGroup::Ipv6Route, RouteGroup::Ipv4Rule, RouteGroup::Ipv6Rule];

/// What is there all the time.
#[derive(Debug)]
pub(super) struct Permanent {
    addresses: Box<[VirtualAddress]>,
    ways: Box<[Way]>,
    /// What track groups depend on.
    groups: Vec<(TrackId, Static)>,
    /// Whether some of that can't be had.
    lacks: bool,
    /// Whether all of it is there, or refused.
    pub set: bool,
    /// When it is put back, if someone has removed some of it.
    pub restore_at: Instant,
    restored_at: Instant,
    /// Whether the monitor tells of routes and rules.
    watching: bool,
}

impl Permanent {
    pub(super) fn new(statics: Statics) -> Self {
        Permanent {
            set: statics.addresses.is_empty() && statics.ways.is_empty(),
            addresses: statics.addresses,
            ways: statics.ways,
            groups: statics.groups,
            lacks: false,
            restore_at: Instant::NEVER,
            restored_at: Instant::ZERO,
            watching: false,
        }
    }
}

impl Daemon {
    /// Names all routes and rules, those of all virtual routers that there are and of `besides`.
    pub(super) fn configure_ways(&mut self, besides: &[crate::vrrp::RouterParams], also: &[Way]) {
        let running = self.engine.views().flat_map(|view| &view.params.extras.ways);
        let besides = besides.iter().flat_map(|params| &params.extras.ways);
        let all = running.chain(besides).chain(&self.permanent.ways).chain(also);
        let mut any = false;
        self.host.configure_ways(all.inspect(|_| any = true));
        if any && !self.permanent.watching {
            self.permanent.watching = true;
            for group in GROUPS {
                // A kernel without IPv6 or without policy rules has none to tell of.
                if let Err(cause) = sockets::join_group(&self.sockets.monitor, group) {
                    debug!("can't watch routes and rules ({group:?}): {cause}");
                }
            }
        }
    }

    /// All links are known: removes what a crash left of routes and rules, and puts up what is to
    /// be there all the time.
    pub(super) fn set_up_ways(&mut self) {
        // What is wanted is no leftover.
        self.set_up_statics();
        self.host.remove_leftover_ways();
    }

    fn set_up_statics(&mut self) {
        self.host.want_ways(STATIC, &self.permanent.ways);
        self.host.set(STATIC, &self.permanent.addresses);
    }

    /// What is to be there all the time may be something else from now on.
    pub(super) fn change_statics(&mut self, statics: &Statics) {
        let Permanent { addresses, ways, groups, .. } = &self.permanent;
        if (addresses, ways, groups) == (&statics.addresses, &statics.ways, &statics.groups) {
            return;
        }
        info!("static addresses, routes and rules change");
        let gone: Vec<VirtualAddress> =
            addresses.iter().filter(|old| !statics.addresses.contains(old)).cloned().collect();
        self.permanent.addresses = statics.addresses.clone();
        self.permanent.ways = statics.ways.clone();
        self.permanent.groups = statics.groups.clone();
        self.host.configure_statics(&self.permanent.addresses);
        self.host.want_ways(STATIC, &self.permanent.ways);
        self.host.unset(STATIC, &gone);
        self.host.set(STATIC, &self.permanent.addresses);
    }

    /// At the end: nothing of it stays.
    pub(super) fn take_down_statics(&mut self) {
        if !self.keep_addresses {
            self.permanent.restore_at = Instant::NEVER;
            self.host.want_ways(STATIC, []);
            self.host.unset(STATIC, &self.permanent.addresses);
        }
    }

    /// Puts back what someone else has removed, when the time has come.
    pub(super) fn restore_statics(&mut self, now: Instant) {
        if now >= self.permanent.restore_at {
            self.permanent.restore_at = Instant::NEVER;
            self.permanent.restored_at = now;
            // The routes and rules follow.
            self.host.set(STATIC, &self.permanent.addresses);
        }
    }

    /// Something that is to be there all the time has been removed by someone else.
    pub(super) fn on_static_lost(&mut self, now: Instant, what: &str) {
        warn!("{what} was removed by someone else: restoring it");
        if self.stopping.is_none() {
            let next = self.permanent.restored_at + RESTORING;
            self.permanent.restore_at = self.permanent.restore_at.min(next.max(now));
        }
    }

    /// Says what a virtual router has besides the addresses of its adverts, and that it is set or
    /// removed.
    pub(super) fn tell_extras(&self, router: RouterId, done: &str) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let params = self.engine.view(router).params;
        let (name, extras) = (&params.name, &params.extras);
        let rules = |way: &Way| matches!(way.what, WayKind::Rule(_));
        for (has, what) in [
            (extras.excluded > 0, "E-VIPs"),
            (!extras.ways.iter().all(rules), "Virtual Routes"),
            (extras.ways.iter().any(rules), "Virtual Rules"),
        ] {
            if has {
                debug!("VRRP_Instance({name}) {done} protocol {what}.");
            }
        }
    }

    /// All that is to be there all the time is there, or refused: tells what that means for track
    /// groups.
    pub(super) fn on_statics_set(&mut self, now: Instant) {
        self.permanent.set = true;
        let Permanent { addresses, ways, groups, .. } = &self.permanent;
        let mut good: BTreeMap<TrackId, bool> = BTreeMap::new();
        for &(group, what) in groups {
            let there = match what {
                Static::Address(at) => {
                    addresses.get(at).is_some_and(|address| self.host.is_present(address))
                }
                Static::Way(at) => {
                    ways.get(at).is_some_and(|way| self.host.is_way_present(&way.what))
                }
            };
            *good.entry(group).or_insert(true) &= there;
        }
        self.permanent.lacks = good.values().any(|good| !good);
        for (group, good) in good {
            let standing = if good { Standing::Good } else { Standing::Bad };
            self.engine.on_track(now, group, standing);
        }
        self.start_when_ready(now);
    }

    /// An interface has changed: what could not be had is tried again.
    pub(super) fn try_statics_again(&mut self, now: Instant) {
        if self.permanent.lacks && self.stopping.is_none() {
            let next = self.permanent.restored_at + RESTORING;
            self.permanent.restore_at = self.permanent.restore_at.min(next.max(now));
        }
    }

    /// Someone else has deleted a route or a rule.
    pub(super) fn on_way_lost(&mut self, now: Instant, owner: u32, way: WayId) {
        let Some(what) = self.host.way(way) else { return };
        let said = what.describe(&self.names).to_string();
        if owner == STATIC {
            return self.on_static_lost(now, &format!("static {said}"));
        }
        let Some(view) = self.engine.get(RouterId(owner)) else { return };
        let tracked = is_tracked(&view.params.extras.ways, what);
        let name = &view.params.name;
        warn!("VRRP_Instance({name}) {said} was deleted by someone else");
        if tracked {
            self.engine.on_address_lost(now, RouterId(owner));
        }
    }

    /// The kernel refuses to add or to delete a route or a rule.
    pub(super) fn on_way_refused(&self, owner: Option<u32>, way: WayId, wish: Wish, error: i32) {
        let Some(what) = self.host.way(way) else { return };
        let said = what.describe(&self.names);
        let wish = match wish {
            Wish::Set => "add",
            Wish::Unset => "delete",
        };
        let cause = io::Error::from_raw_os_error(error);
        match owner {
            None | Some(STATIC) => error!("the kernel refuses to {wish} {said}: {cause}"),
            Some(owner) => {
                let name = self.router_name(owner);
                error!("VRRP_Instance({name}) the kernel refuses to {wish} {said}: {cause}");
            }
        }
    }

    /// What a crash had left is gone.
    pub(super) fn on_ways_removed(&self, removed: u32) {
        let routes = words::count(removed as usize, "route");
        info!("removed {routes} (policy rules included) that an earlier run had left behind");
    }
}

fn is_tracked(ways: &[Way], what: &WayKind) -> bool {
    ways.iter().any(|way| way.tracked && way.what == *what)
}
