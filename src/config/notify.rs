//! **Whom to tell of changes**: the `notify_*` commands of virtual routers and sync groups.

use std::collections::HashMap;

use super::command::Command;
use super::facts::Facts;
use super::keywords::group::sync;
use super::keywords::{Key, global, instance, root};
use super::model::Section;

/// What is run when a virtual router or a sync group changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// When it becomes master.
    pub master: Option<Command>,
    /// When it becomes backup.
    pub backup: Option<Command>,
    /// When it enters FAULT.
    pub fault: Option<Command>,
    /// When it stops.
    pub stop: Option<Command>,
    /// When a reload removes it.
    pub deleted: Option<Command>,
    /// Whether its removal is told as DELETED, not as FAULT.
    pub tells_deleted: bool,
    /// At every change, with what has changed as further arguments.
    pub any: Option<Command>,
    /// When it hears an advert of lower priority as master.
    pub master_rx_lower_pri: Option<Command>,
    /// Whether changed priorities are told to the named pipes.
    pub priority_changes: bool,
    /// Whether changes are told by mail.
    pub mail: bool,
}

/// The commands of all virtual routers and sync groups that have any, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// Of virtual routers.
    pub routers: HashMap<Box<str>, Notify>,
    /// Of sync groups.
    pub groups: HashMap<Box<str>, Notify>,
}

impl Notify {
    /// All its commands.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        let Notify { master, backup, fault, stop, deleted, any, master_rx_lower_pri, .. } = self;
        [master, backup, fault, stop, deleted, any, master_rx_lower_pri].into_iter().flatten()
    }
}

pub(super) fn notifications(
    model: &Section,
    globals: &Section,
    routers: &[Facts<'_>],
) -> Notifications {
    let mail_all = globals
        .bool(global::SMTP_ALERT_VRRP)
        .or_else(|| globals.bool(global::SMTP_ALERT))
        .unwrap_or(false);
    let all_priorities = globals.is_set(global::VRRP_NOTIFY_PRIORITY_CHANGES);
    let mut found = Notifications::default();
    let command = |section: &Section, key: Key| section.command(key).cloned();
    for router in routers {
        let section = router.section;
        let notify = Notify {
            master: command(section, instance::NOTIFY_MASTER),
            backup: command(section, instance::NOTIFY_BACKUP),
            fault: command(section, instance::NOTIFY_FAULT),
            stop: command(section, instance::NOTIFY_STOP),
            deleted: command(section, instance::NOTIFY_DELETED),
            tells_deleted: section.get(instance::NOTIFY_DELETED).is_some(),
            any: command(section, instance::NOTIFY),
            master_rx_lower_pri: command(section, instance::NOTIFY_MASTER_RX_LOWER_PRI),
            priority_changes: section
                .bool(instance::NOTIFY_PRIORITY_CHANGES)
                .unwrap_or(all_priorities),
            mail: section.bool(instance::SMTP_ALERT).unwrap_or(mail_all),
        };
        if notify != Notify::default() {
            found.routers.insert(router.name().into(), notify);
        }
    }
    let by_name: HashMap<&str, &Facts<'_>> =
        routers.iter().map(|router| (router.name(), router)).collect();
    for section in model.blocks(root::VRRP_SYNC_GROUP) {
        let notify = Notify {
            master: command(section, sync::NOTIFY_MASTER),
            backup: command(section, sync::NOTIFY_BACKUP),
            fault: command(section, sync::NOTIFY_FAULT),
            stop: command(section, sync::NOTIFY_STOP),
            deleted: command(section, sync::NOTIFY_DELETED),
            tells_deleted: section.get(sync::NOTIFY_DELETED).is_some(),
            any: command(section, sync::NOTIFY),
            mail: section.bool(sync::SMTP_ALERT).unwrap_or(mail_all),
            ..Notify::default()
        };
        if notify != Notify::default() {
            found.groups.entry(section.title().into()).or_insert(notify);
        }
        // Changed priorities of the members, unless they say otherwise themselves.
        if section.is_set(sync::NOTIFY_PRIORITY_CHANGES) {
            for member in section.words(sync::GROUP) {
                let own = by_name.get(&*member.text);
                let says = |router: &Facts<'_>| {
                    router.section.get(instance::NOTIFY_PRIORITY_CHANGES).is_some()
                };
                if own.is_some_and(|router| !says(router)) {
                    let notify = found.routers.entry(member.text.clone()).or_default();
                    notify.priority_changes = true;
                }
            }
        }
    }
    found
}
