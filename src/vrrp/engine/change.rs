//! How routers come, change and go while the engine runs.

use super::{Details, Engine};
use crate::base::{Instant, LinkId, RouterId, Span};
use crate::vrrp::action::{Action, Cause};
use crate::vrrp::change::{AddressChange, Change};
use crate::vrrp::params::RouterParams;
use crate::vrrp::router::{NextGarp, Router, State};
use crate::vrrp::rules::Input;
use crate::wire::Version;

impl Engine {
    /// Makes room for interfaces numbered below `links`. Those there were keep their numbers.
    pub fn grow_links(&mut self, links: usize) {
        self.links.grow(links);
    }

    /// Changes one virtual router; all others do not notice. Whose number a removed one had may be
    /// given to a new one once the actions have been drained to empty.
    ///
    /// Drain the actions before: they speak of the routers as they are. Changes of different routers
    /// may follow each other at once.
    pub fn on_change(&mut self, now: Instant, change: Change) {
        match change {
            Change::Add(params) => self.add(now, params),
            Change::Remove(id) => self.remove(now, id),
            Change::Alter(id, params) => match self.get(id).map(|view| view.params) {
                Some(old) if old.can_become(&params) => self.alter(now, id, params),
                // Another version, or another router altogether: there is nothing to keep.
                old => {
                    if old.is_some() {
                        self.remove(now, id);
                    }
                    self.add(now, params);
                }
            },
        }
    }

    fn add(&mut self, now: Instant, params: RouterParams) {
        let router = Router::new(&params);
        let details = Details::new(params);
        let id = match self.free.pop() {
            Some(id) => {
                (self.routers[id.index()], self.details[id.index()]) = (router, details);
                id
            }
            None => {
                self.routers.push(router);
                self.details.push(details);
                RouterId(self.routers.len() as u32 - 1)
            }
        };
        self.live += 1;
        self.timers.grow(self.routers.len());
        self.garps.grow(self.routers.len());
        self.extras.grow(self.routers.len());
        self.connect(id);
        self.join_group(id);
        self.actions.push_back(Action::Added { router: id });
        if self.started {
            self.start_in_group(now, id);
        }
    }

    /// Starts a router that comes while others run.
    fn start_in_group(&mut self, now: Instant, id: RouterId) {
        let Some(membership) = &self.details[id.index()].membership else {
            return self.start_one(now, id);
        };
        let group = membership.group;
        let (own, _) = self.judge(id);
        let altered = self.note_own_fault(id, own);
        self.start_one(now, id);
        if altered {
            self.spread(now, group);
        }
        self.tell_group(group);
    }

    fn remove(&mut self, now: Instant, id: RouterId) {
        if self.get(id).is_none() {
            return;
        }
        self.leave_group(now, id);
        self.step(now, id, Input::Shutdown, Cause::Shutdown);
        let details = &mut self.details[id.index()];
        details.removed = true;
        let params = &details.params;
        self.links.release(params, id);
        self.links.let_go(params.link, id);
        for &link in details.others.iter().chain(&details.watched) {
            self.links.let_go(link, id);
        }
        for &object in &details.objects {
            self.objects.let_go(object, id);
        }
        self.timers.cancel(id.index());
        self.garps.cancel(id.index());
        self.extras.cancel(id.index());
        self.live -= 1;
        self.leaving.push(id);
        self.actions.push_back(Action::Removed { router: id });
    }

    fn alter(&mut self, now: Instant, id: RouterId, params: RouterParams) {
        let mut renewed = Router::new(&params);
        let Details { others, watched, objects, advertised, params, .. } = Details::new(params);
        let details = &mut self.details[id.index()];
        let links: Vec<LinkId> = others.iter().chain(&watched).copied().collect();
        let former: Vec<LinkId> = details.others.iter().chain(&details.watched).copied().collect();
        let dropped = former.iter().filter(|link| !links.contains(link));
        let gained = links.iter().filter(|link| !former.contains(link));
        let lost = details.objects.iter().filter(|object| !objects.contains(object));
        let found = objects.iter().filter(|object| !details.objects.contains(object));
        dropped.for_each(|&link| self.links.let_go(link, id));
        gained.for_each(|&link| self.links.depend(link, id));
        lost.for_each(|&object| self.objects.let_go(object, id));
        found.for_each(|&object| self.objects.depend(object, id));
        let regrouped = details.params.tracking.group != params.tracking.group;
        if regrouped {
            self.leave_group(now, id);
        }
        let details = &mut self.details[id.index()];
        let old = std::mem::replace(&mut details.params, params);
        (details.others, details.watched) = (others, watched);
        (details.objects, details.advertised) = (objects, advertised);
        if regrouped {
            self.join_group(id);
            self.fall_into_line(now, id);
        }
        // Nothing of this is news: whoever altered it knows.
        renewed.priority = self.judge(id).1;

        let router = &mut self.routers[id.index()];
        let before = router.clone();
        *router = Router { state: before.state, last_advert: before.last_advert, ..renewed };
        let follows = self.details[id.index()].params.conduct.follow_checksum;
        if follows && old.conduct.follow_checksum {
            router.checksum_form = before.checksum_form;
        }
        self.actions.push_back(Action::Altered { router: id });
        match self.routers[id.index()].state {
            State::Initialize { .. } => {}
            State::Backup(_) => self.renew_down_timer(now, id),
            State::Active(_) => {
                self.renew_adver_timer(now, id, &before);
                self.change_addresses(id, &old);
                self.renew_garps(now, id, &old);
            }
        }
        if self.started {
            self.reconsider(now, id);
            if let (true, Some(membership)) = (regrouped, &self.details[id.index()].membership) {
                self.tell_group(membership.group);
            }
        }
    }

    /// Active_Down_Interval may be another. What it has waited already counts, unless the interval
    /// that it assumes has changed: then it waits as if it had just heard an advert.
    pub(super) fn renew_down_timer(&mut self, now: Instant, id: RouterId) {
        let router = &self.routers[id.index()];
        let State::Backup(mut backup) = router.state else { return };
        let deadline = self.timers.deadline(id.index());
        let assumes_own = match (router.version, backup.active) {
            _ if backup.left.is_some() => false,
            (Version::V2, _) | (Version::V3, None) => true,
            (Version::V3, Some(_)) => false,
        };
        let deadline = if assumes_own && backup.active_interval != router.interval {
            backup.active_interval = router.interval;
            now + router.down_interval(router.interval)
        } else {
            // Only Skew_Time differs, which is part of what an announced leave is waited out for, too.
            (deadline + router.down_interval(backup.active_interval)) - backup.down_interval
        };
        backup.down_interval = router.down_interval(backup.active_interval);
        self.routers[id.index()].state = State::Backup(backup);
        if !backup.waiting {
            self.timers.set(id.index(), deadline);
        }
    }

    /// A shorter interval holds at once, a longer one from the next advert on, which says so.
    fn renew_adver_timer(&mut self, now: Instant, id: RouterId, before: &Router) {
        let router = &mut self.routers[id.index()];
        let State::Active(active) = &mut router.state else { return };
        if router.interval < before.interval {
            let soon = (now + router.interval.span()).round_down(super::GRID);
            active.next_advert = active.next_advert.min(soon);
            self.timers.set(id.index(), active.next_advert);
        }
    }

    /// Only what has changed is put onto the host and taken off it; only what is new is announced.
    fn change_addresses(&mut self, id: RouterId, old: &RouterParams) {
        let details = &mut self.details[id.index()];
        let AddressChange { gone, new } =
            AddressChange::between(&old.addresses, &details.params.addresses);
        let State::Active(active) = &mut self.routers[id.index()].state else { return };
        // What an earlier change brought and has not been announced twice yet is as good as new.
        let unfinished = details.only_fresh || active.next_garp == NextGarp::SecondFresh;
        if !unfinished {
            details.fresh.clear();
        }
        let wanted = &details.params.addresses;
        details.fresh.retain(|address| wanted.contains(address) && !new.contains(address));
        if !new.is_empty() {
            // Before the others have been announced, all of them are.
            details.only_fresh = active.addresses_set || details.only_fresh;
            active.addresses_set = false;
        }
        let ways = old.extras.ways != details.params.extras.ways;
        let changes = ways || !(gone.is_empty() && new.is_empty());
        details.fresh.extend(new);
        details.former = gone;
        if changes {
            self.actions.push_back(Action::ChangeAddresses { router: id });
        }
    }

    /// Refreshes that are switched on, off, or come at other times.
    fn renew_garps(&mut self, now: Instant, id: RouterId, old: &RouterParams) {
        let garp = self.details[id.index()].params.garp;
        let State::Active(active) = &self.routers[id.index()].state else { return };
        if garp.extra != old.garp.extra {
            self.extras.cancel(id.index());
            if !garp.extra.is_zero() && active.addresses_set {
                self.extras.set(id.index(), now + garp.extra);
            }
        }
        let refresh = garp.refresh;
        let refreshing = active.next_garp == NextGarp::Refresh;
        let idle = self.garps.deadline(id.index()) == Instant::NEVER;
        if refresh != old.garp.refresh && (refreshing || idle) && active.addresses_set {
            self.garps.cancel(id.index());
            self.schedule_garps(now, id, NextGarp::Refresh, refresh);
        }
    }

    /// The addresses that a change has brought are on the host: they alone are announced.
    pub(super) fn announce_fresh(&mut self, now: Instant, id: RouterId, repeat: u32, delay: Span) {
        let State::Active(active) = &self.routers[id.index()].state else { return };
        let awaits_second_set = active.next_garp != NextGarp::Refresh
            && self.garps.deadline(id.index()) != Instant::NEVER;
        self.push_fresh(id, repeat);
        // A second set that is awaited anyway names the new addresses, too.
        if !awaits_second_set && !delay.is_zero() {
            self.schedule_garps(now, id, NextGarp::SecondFresh, delay);
        }
    }

    pub(super) fn push_fresh(&mut self, id: RouterId, repeat: u32) {
        if repeat > 0 {
            self.actions.push_back(Action::AnnounceFresh { router: id, repeat });
        }
    }
}
