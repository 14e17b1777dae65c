//! What is tracked, and sync groups: how a virtual router's priority moves, and how members of a
//! group move together.

use super::Engine;
use crate::base::{GroupId, Instant, LinkId, RouterId, TrackId};
use crate::vrrp::action::{Action, Cause, Notice};
use crate::vrrp::group::{GroupView, Membership};
use crate::vrrp::router::{Fault, Joining, Router, State, StateName};
use crate::vrrp::tracking::{Outcome, Source, Standing, Track, Tracked, effective_priority};

/// How long members of a sync group that step back together listen before they are ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Active_Down_Interval: one of them follows another Active.
    DownInterval,
    /// Skew_Time: nobody is known who is Active instead. The group waits for its slowest member, so
    /// that this has to hold for all of them.
    Skew,
}

/// Something that a virtual router tracks, as it may be shown.
#[derive(Clone, Copy, Debug)]
pub struct TrackView<'a> {
    /// What is tracked, and how.
    pub track: &'a Track,
    /// How it is.
    pub standing: Standing,
    /// What comes of it.
    pub outcome: Outcome,
}

impl Engine {
    /// A script, file or process is like that now.
    pub fn on_track(&mut self, now: Instant, object: TrackId, standing: Standing) {
        if !self.objects.set(object, standing) {
            return;
        }
        let mut n = 0;
        while let Some(router) = self.objects.dependent(object, n) {
            n += 1;
            if self.started {
                self.reconsider(now, router);
            } else {
                self.reprioritise(now, router);
            }
        }
    }

    /// What `router` tracks and what comes of each: why its priority is what it is.
    pub fn tracks(&self, router: RouterId) -> impl Iterator<Item = TrackView<'_>> {
        self.details[router.index()].params.tracking.tracks.iter().map(|track| {
            let standing = self.standing(&track.what);
            TrackView { track, standing, outcome: track.influence.outcome(standing) }
        })
    }

    /// What keeps `router` from running by itself, whatever its sync group does.
    pub fn own_fault(&self, router: RouterId) -> Option<Fault> {
        self.judge(router).0
    }

    /// Whether an interface is up and running.
    pub fn is_up(&self, link: LinkId) -> bool {
        self.links.standing(link) == Standing::Good
    }

    /// The sync group that `router` is in.
    pub fn group_of(&self, router: RouterId) -> Option<GroupView<'_>> {
        let membership = self.details[router.index()].membership?;
        Some(self.groups.get(membership.group).view())
    }

    /// A sync group.
    pub fn group(&self, group: GroupId) -> GroupView<'_> {
        self.groups.get(group).view()
    }

    /// All sync groups that have none any more, with their names.
    pub fn empty_groups(&self) -> impl Iterator<Item = (GroupId, &str)> {
        let groups = self.groups.ids().map(|id| (id, self.groups.get(id)));
        groups.filter(|(_, group)| group.members.is_empty()).map(|(id, group)| (id, &*group.name))
    }

    /// All sync groups that have members.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, GroupView<'_>)> {
        let groups = self.groups.ids().map(|id| (id, self.groups.get(id).view()));
        groups.filter(|(_, group)| !group.members.is_empty())
    }

    fn standing(&self, what: &Tracked) -> Standing {
        match what {
            Tracked::Link(link) => self.links.standing(*link),
            Tracked::Script(object)
            | Tracked::File(object)
            | Tracked::Process(object)
            | Tracked::Statics(object)
            | Tracked::Source(object) => self.objects.standing(*object),
            Tracked::Set(require, members) => {
                require.standing(members.iter().map(|member| match member {
                    Source::Link(link) => self.links.standing(*link),
                    Source::Object(object) => self.objects.standing(*object),
                }))
            }
        }
    }

    /// What keeps `id` from running, the others of its group apart, and its priority. Who runs already
    /// goes on as it is until a first result is known: only a new start waits for it.
    pub(super) fn judge(&self, id: RouterId) -> (Option<Fault>, u8) {
        let details = &self.details[id.index()];
        let params = &details.params;
        let tracking = &params.tracking;
        let link_fault = self.links.fault(params, &details.others);
        if tracking.tracks.is_empty() {
            return (link_fault, params.priority);
        }
        let (tracked, moved) = tracking.verdict(|what| self.standing(what));
        let starts = matches!(self.routers[id.index()].state, State::Initialize { .. });
        let tracked = tracked.filter(|fault| starts || !matches!(fault, Fault::Awaited(_)));
        (link_fault.or(tracked), effective_priority(params.priority, moved))
    }

    /// Its priority may be another.
    pub(super) fn reprioritise(&mut self, now: Instant, id: RouterId) {
        let (_, priority) = self.judge(id);
        self.set_priority(now, id, priority);
    }

    pub(super) fn set_priority(&mut self, now: Instant, id: RouterId, priority: u8) {
        let from = std::mem::replace(&mut self.routers[id.index()].priority, priority);
        if from == priority {
            return;
        }
        self.actions.push_back(Action::Reprioritised { router: id, from, to: priority });
        if let State::Backup(_) = self.routers[id.index()].state {
            self.renew_down_timer(now, id);
        }
    }

    // Coming and going.

    /// Makes `id` a member of the group that it is configured for.
    pub(super) fn join_group(&mut self, id: RouterId) {
        let details = &mut self.details[id.index()];
        let Some(name) = &details.params.tracking.group else { return };
        let group_id = self.groups.intern(name);
        let group = self.groups.get_mut(group_id);
        if group.members.is_empty() {
            group.state = match self.routers[id.index()].state {
                State::Initialize { .. } => StateName::Init,
                State::Backup(_) => StateName::Backup,
                State::Active(_) => StateName::Master,
            };
        }
        group.members.push(id);
        details.membership = Some(Membership { group: group_id, own_fault: None, counted: None });
    }

    /// `id` leaves its group; the others may be able to do what they could not.
    pub(super) fn leave_group(&mut self, now: Instant, id: RouterId) {
        let Some(mut membership) = self.details[id.index()].membership.take() else { return };
        let group = self.groups.get_mut(membership.group);
        if let Some(place) = group.members.iter().position(|&member| member == id) {
            group.members.remove(place);
        }
        if let State::Backup(backup) = &mut self.routers[id.index()].state
            && std::mem::take(&mut backup.waiting)
        {
            group.ready -= 1;
            self.timers.set(id.index(), now);
        }
        let freed = group.count(&mut membership, None);
        self.stop_joining(id);
        if freed && self.started {
            self.spread(now, membership.group);
        }
        self.reckon_newcomers(membership.group);
        self.take_over_if_ready(now, membership.group, None);
    }

    /// If only newcomers are left of a group that ran, they are the group.
    fn reckon_newcomers(&mut self, id: GroupId) {
        let group = self.groups.get(id);
        let any = |is: fn(&State) -> bool| {
            group.members.iter().any(|member| is(&self.routers[member.index()].state))
        };
        let left = match group.state {
            _ if group.members.is_empty() => return,
            StateName::Master => any(|state| matches!(state, State::Active(_))),
            StateName::Backup => any(|state| matches!(state, State::Backup(_))),
            StateName::Init | StateName::Fault => return,
        };
        if left {
            return;
        }
        let waits = !any(|state| matches!(state, State::Backup(_)));
        self.stop_joining_all(id);
        let to = if waits { self.groups.get(id).resting_state() } else { StateName::Backup };
        self.enter_group(id, to);
    }

    /// Before the start: who can't run is counted, so that the first that starts knows.
    pub(super) fn count_faults(&mut self) {
        for index in 0..self.routers.len() {
            let id = RouterId(index as u32);
            if self.details[index].membership.is_some() && !self.details[index].removed {
                let (own, _) = self.judge(id);
                self.note_own_fault(id, own);
            }
        }
        for (_, group) in self.groups.iter_mut() {
            group.state = StateName::Init;
        }
    }

    /// After the start: groups say in which state they begin.
    pub(super) fn tell_groups(&mut self) {
        for id in self.groups.ids() {
            self.tell_group(id);
        }
    }

    /// The group says in which state it begins, if it has just come to be.
    pub(super) fn tell_group(&mut self, id: GroupId) {
        let group = self.groups.get(id);
        if group.state == StateName::Init && !group.members.is_empty() {
            self.enter_group(id, group.resting_state());
        }
    }

    /// All groups stop.
    pub(super) fn stop_groups(&mut self) {
        for id in self.groups.ids() {
            if !self.groups.get(id).members.is_empty() {
                self.enter_group(id, StateName::Init);
            }
        }
    }

    // Faults.

    /// Notes whether `id` could run by itself; whether that alters what its group can do.
    pub(super) fn note_own_fault(&mut self, id: RouterId, own: Option<Fault>) -> bool {
        let Some(membership) = &mut self.details[id.index()].membership else { return false };
        self.groups.get_mut(membership.group).count(membership, own)
    }

    /// What keeps `id` from running: something of its own, or another of its group.
    pub(super) fn fault(&self, id: RouterId) -> Option<Fault> {
        let Some(membership) = &self.details[id.index()].membership else {
            return self.judge(id).0;
        };
        match (membership.own_fault, self.groups.get(membership.group).fault()) {
            // A group is in FAULT as a whole, those included of whom something is not known yet.
            (None | Some(Fault::Awaited(_) | Fault::Tentative(_)), Some(Fault::Group)) => {
                Some(Fault::Group)
            }
            (own, others) => own.or(others),
        }
    }

    /// Lets every member know what the group can do now.
    pub(super) fn spread(&mut self, now: Instant, group: GroupId) {
        let to = match self.groups.get(group) {
            group if group.runs() && group.fault().is_none() => group.state,
            group => group.resting_state(),
        };
        // Known before the members move, since owners that may run again make the group master at once;
        // told after, as keepalived does.
        let from = std::mem::replace(&mut self.groups.get_mut(group).state, to);
        for n in 0..self.groups.get(group).members.len() {
            let member = self.groups.get(group).members[n];
            let fault = self.fault(member);
            self.apply_fault(now, member, fault);
        }
        if from != to && self.groups.get(group).state == to {
            self.actions.push_back(Action::GroupEntered { group, from, to });
        }
    }

    // Master together or not at all.

    /// `id` could be master. Returns whether it waits for the others of its group; if not, it may take
    /// over.
    pub(super) fn waits_for_group(&mut self, now: Instant, id: RouterId, cause: Cause) -> bool {
        let Some(membership) = &self.details[id.index()].membership else { return false };
        let group_id = membership.group;
        if self.groups.get(group_id).state == StateName::Master {
            return self.keeps_group_back(now, id);
        }
        self.timers.cancel(id.index());
        if let State::Initialize { .. } = self.routers[id.index()].state {
            // An owner, at its start.
            let backup = self.routers[id.index()].fresh_backup();
            self.enter(now, id, State::Backup(backup), cause);
        }
        let State::Backup(backup) = &mut self.routers[id.index()].state else { return true };
        if !std::mem::replace(&mut backup.waiting, true) {
            self.groups.get_mut(group_id).ready += 1;
        }
        self.take_over_if_ready(now, group_id, Some((id, cause)));
        true
    }

    /// If all members could be master, they are; `last` is the last one that could not, and why
    /// it can now.
    fn take_over_if_ready(&mut self, now: Instant, id: GroupId, last: Option<(RouterId, Cause)>) {
        let group = self.groups.get(id);
        let members = group.members.len();
        if group.state == StateName::Master || members == 0 || group.ready < members {
            return;
        }
        for n in 0..members {
            let member = self.groups.get(id).members[n];
            // Who was ready before has a cause of its own.
            let cause = match last {
                Some((last, cause)) if last == member => cause,
                _ => self.timeout_cause(member),
            };
            self.take_over(now, member, cause);
        }
        self.enter_group(id, StateName::Master);
    }

    /// `id` is not master any more: neither are the others of its group. They say that they leave, and
    /// `patience` says how long they listen before they could be master again.
    pub(super) fn group_steps_back(&mut self, now: Instant, id: RouterId, patience: Patience) {
        let Some(membership) = &self.details[id.index()].membership else { return };
        let group = membership.group;
        if self.groups.get(group).state != StateName::Master {
            return;
        }
        for n in 0..self.groups.get(group).members.len() {
            let member = self.groups.get(group).members[n];
            self.stop_joining(member);
            if member == id || !matches!(self.routers[member.index()].state, State::Active(_)) {
                continue;
            }
            self.advertise(now, member, 0);
            let backup = self.routers[member.index()].fresh_backup();
            self.enter(now, member, State::Backup(backup), Cause::Group);
            let wait = match patience {
                Patience::DownInterval => backup.down_interval,
                Patience::Skew => self.routers[member.index()].skew(&backup),
            };
            self.timers.set(member.index(), now + wait);
        }
        self.enter_group(group, StateName::Backup);
    }

    /// `id` joins a group while it runs, by a reload.
    pub(super) fn fall_into_line(&mut self, now: Instant, id: RouterId) {
        let Some(membership) = &self.details[id.index()].membership else { return };
        let state = self.groups.get(membership.group).state;
        let joining = self.joining(id);
        match &mut self.routers[id.index()].state {
            State::Active(_) if state != StateName::Master => {
                self.advertise(now, id, 0);
                let backup = self.routers[id.index()].fresh_backup();
                self.enter(now, id, State::Backup(backup), Cause::Group);
                self.timers.set(id.index(), now + backup.down_interval);
            }
            State::Backup(backup) => {
                backup.joining = joining;
                backup.preempt_since = None;
            }
            State::Active(_) | State::Initialize { .. } => {}
        }
    }

    // Newcomers.

    /// What `id` has to do to be what its group is, if that is master and it is Backup.
    pub(super) fn joining(&self, id: RouterId) -> Option<Joining> {
        let membership = self.details[id.index()].membership.as_ref()?;
        let master = self.groups.get(membership.group).state == StateName::Master;
        master.then_some(Joining::Unopposed)
    }

    /// The time has come for `id` to be master like its group. Returns whether it can't, because it
    /// follows a better Active: then its group steps back, since it can be master only together.
    fn keeps_group_back(&mut self, now: Instant, id: RouterId) -> bool {
        let Router { state, last_advert, .. } = &self.routers[id.index()];
        let State::Backup(backup) = state else { return false };
        let (Some(Joining::Outranked), Some((active, priority))) = (backup.joining, backup.active)
        else {
            return false;
        };
        if last_advert.is_none_or(|heard| heard + backup.down_interval <= now) {
            return false; // it has fallen silent
        }
        self.notice(id, Notice::KeepsGroupBack { active, priority });
        self.group_steps_back(now, id, Patience::DownInterval);
        true
    }

    /// `id` becomes a Backup like any other: if it follows somebody, it waits for that one's adverts.
    fn stop_joining(&mut self, id: RouterId) {
        let Router { state, last_advert, .. } = &mut self.routers[id.index()];
        let State::Backup(backup) = state else { return };
        if let (Some(Joining::Outranked), Some(heard)) = (backup.joining.take(), *last_advert) {
            self.timers.set(id.index(), heard + backup.down_interval);
        }
    }

    fn stop_joining_all(&mut self, group: GroupId) {
        for n in 0..self.groups.get(group).members.len() {
            self.stop_joining(self.groups.get(group).members[n]);
        }
    }

    /// A member that waited does so no more.
    pub(super) fn stop_waiting(&mut self, id: RouterId) {
        if let Some(membership) = &self.details[id.index()].membership {
            let group = self.groups.get_mut(membership.group);
            group.ready = group.ready.saturating_sub(1);
        }
    }

    fn enter_group(&mut self, id: GroupId, to: StateName) {
        let group = self.groups.get_mut(id);
        let from = std::mem::replace(&mut group.state, to);
        if from != to {
            self.actions.push_back(Action::GroupEntered { group: id, from, to });
        }
    }
}
