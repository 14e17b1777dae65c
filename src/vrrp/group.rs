//! Sync groups: virtual routers that are master together or not at all.
//!
//! A group counts who could become master and who can't run, so that an event costs a constant, or
//! the number of members if the group moves.

use std::collections::HashMap;
use std::sync::Arc;

use super::router::{Fault, StateName};
use crate::base::{GroupId, RouterId};

/// All sync groups that there have been.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    by_name: HashMap<Arc<str>, GroupId>,
}

/// A sync group.
#[derive(Debug)]
pub(super) struct Group {
    pub name: Arc<str>,
    pub members: Vec<RouterId>,
    pub state: StateName,
    /// How many members wait for the others to become master.
    pub ready: usize,
    /// How many members can't run by themselves.
    pub faulty: usize,
    /// How many members wait for the first result of something that they track.
    pub awaiting: usize,
}

/// A virtual router's place in its group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    pub group: GroupId,
    /// What keeps it from running, apart from the others of the group.
    pub own_fault: Option<Fault>,
    /// Whether that is counted, and in [`Group::awaiting`].
    pub counted: Option<bool>,
}

/// A sync group as it may be shown.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its members.
    pub members: &'a [RouterId],
    /// Its state: that of all members, except of those that have come to it while it runs and have not
    /// caught up yet.
    pub state: StateName,
    /// How many members wait for the others to become master.
    pub ready: usize,
    /// How many members can't run by themselves.
    pub faulty: usize,
}

impl Groups {
    /// The group called `name`, made if there is none.
    pub(super) fn intern(&mut self, name: &Arc<str>) -> GroupId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let id = GroupId(self.groups.len() as u32);
        self.groups.push(Group {
            name: name.clone(),
            members: Vec::new(),
            state: StateName::Init,
            ready: 0,
            faulty: 0,
            awaiting: 0,
        });
        self.by_name.insert(name.clone(), id);
        id
    }

    pub(super) fn get(&self, id: GroupId) -> &Group {
        &self.groups[id.index()]
    }

    pub(super) fn get_mut(&mut self, id: GroupId) -> &mut Group {
        &mut self.groups[id.index()]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (GroupId, &mut Group)> {
        self.groups.iter_mut().enumerate().map(|(index, group)| (GroupId(index as u32), group))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.groups.len() as u32).map(GroupId)
    }
}

impl Group {
    /// Counts a member's fault, or that there is none; whether that alters what the group can do.
    pub(super) fn count(&mut self, membership: &mut Membership, own: Option<Fault>) -> bool {
        membership.own_fault = own;
        let counts = match own {
            None => None,
            Some(Fault::Awaited(_) | Fault::Tentative(_)) => Some(true),
            Some(_) => Some(false),
        };
        let before = self.fault();
        let former = std::mem::replace(&mut membership.counted, counts);
        for (counted, step) in [(former, -1), (counts, 1)] {
            match counted {
                Some(true) => self.awaiting = self.awaiting.saturating_add_signed(step),
                Some(false) => self.faulty = self.faulty.saturating_add_signed(step),
                None => {}
            }
        }
        before != self.fault()
    }

    /// Whether its members run, newcomers apart.
    pub(super) fn runs(&self) -> bool {
        matches!(self.state, StateName::Backup | StateName::Master)
    }

    /// What keeps its members from running because of others. Once they run, nobody stops for one of
    /// whom something is only not known yet; they just can't become master without it.
    pub(super) fn fault(&self) -> Option<Fault> {
        match (self.faulty, self.awaiting) {
            (0, 0) => None,
            (0, _) => (!self.runs()).then_some(Fault::GroupAwaited),
            _ => Some(Fault::Group),
        }
    }

    /// The state in which it begins to run, or what it is while it can't.
    pub(super) fn resting_state(&self) -> StateName {
        match (self.faulty, self.awaiting) {
            (0, 0) => StateName::Backup,
            (0, _) => StateName::Init,
            _ => StateName::Fault,
        }
    }

    pub(super) fn view(&self) -> GroupView<'_> {
        let Group { name, members, state, ready, faulty, .. } = self;
        GroupView { name, members, state: *state, ready: *ready, faulty: *faulty }
    }
}
