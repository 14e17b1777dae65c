//! Faults and causes in words, for answers and for the log.

use crate::base::{LinkId, LinkNames};
use crate::vrrp::{Cause, Fault, Influence, Preemption, Track, Tracked, Tracking};

/// Why a router can't run that tracks `tracking`, such as `interface eth1 is down`.
pub fn fault_words(fault: Fault, names: &LinkNames, tracking: &Tracking) -> String {
    let track = |index: u16| tracking.tracks.get(usize::from(index));
    match fault {
        Fault::Tracked(index) => match track(index) {
            Some(track) => {
                let (what, name) = (tracked_words(&track.what), &track.name);
                match (&track.what, track.influence.reverse) {
                    (Tracked::Link(_), false) => format!("tracked interface {name} is down"),
                    (Tracked::Link(_), true) => format!("tracked interface {name} is up"),
                    (Tracked::Statics(_), _) => {
                        format!("something static of track_group {name} can't be had")
                    }
                    (Tracked::Source(_), _) => {
                        format!("the host doesn't have its source address {name}")
                    }
                    (Tracked::File(_), _) => format!("the number in tracked file {name}"),
                    (Tracked::Script(_), false) => format!("script {name} fails"),
                    (Tracked::Script(_), true) => format!("script {name} succeeds"),
                    (Tracked::Process(_), false) => format!("tracked process {name} has no quorum"),
                    (Tracked::Process(_), true) => format!("tracked process {name} has its quorum"),
                    (_, false) => format!("{what} {name} is not as it must be"),
                    (_, true) => format!("{what} {name} is as it must not be"),
                }
            }
            None => "something that it tracks".into(),
        },
        Fault::Awaited(index) => match track(index) {
            Some(track) => {
                let what = tracked_words(&track.what);
                format!("nothing is known yet of {what} {}", track.name)
            }
            None => "nothing is known yet of something that it tracks".into(),
        },
        Fault::Group => match &tracking.group {
            Some(group) => format!("another member of sync group {group} can not run"),
            None => "another member of its sync group can not run".into(),
        },
        Fault::GroupAwaited => "another member of its sync group awaits first results".into(),
        Fault::LinkAbsent(link) => format!("there is no interface {}", link_name(link, names)),
        Fault::LinkDown(link) => format!("interface {} is down", link_name(link, names)),
        Fault::NoPrimaryAddress(link) => {
            format!("interface {} has no IPv4 address of its own", link_name(link, names))
        }
        Fault::NoLinkLocal(link) => {
            format!("interface {} has no link-local IPv6 address", link_name(link, names))
        }
        Fault::Tentative(link) => {
            let link = link_name(link, names);
            format!("the link-local IPv6 address of {link} is still checked for duplicates")
        }
        Fault::NoPeers => "it has no unicast peers".into(),
        Fault::NotEthernet(link) => {
            format!("interface {} is not Ethernet", link_name(link, names))
        }
    }
}

/// What kind of thing is tracked.
pub(super) fn tracked_words(what: &Tracked) -> &'static str {
    match what {
        Tracked::Link(_) => "interface",
        Tracked::Script(_) => "script",
        Tracked::File(_) => "file",
        Tracked::Process(_) => "process",
        Tracked::Statics(_) => "track_group",
        Tracked::Source(_) => "source address",
        Tracked::Set(..) => "set",
    }
}

/// Something tracked and what it means, such as `script haproxy, weight -20`.
pub(super) fn track_words(track: &Track) -> String {
    let kind = tracked_words(&track.what);
    let Influence { weight, reverse } = track.influence;
    let weight = if weight == 0 { String::new() } else { format!(", weight {weight}") };
    let reverse = if reverse { ", reversed" } else { "" };
    format!("{kind} {}{weight}{reverse}", track.name)
}

/// Why a router changed state that tracks `tracking`, as a clause that follows "because": `the master
/// was not heard for the whole down interval`.
pub fn cause_words(cause: Cause, names: &LinkNames, tracking: &Tracking) -> String {
    match cause {
        Cause::Startup => "the daemon started".into(),
        Cause::Shutdown => "the daemon is stopping".into(),
        Cause::Fault(fault) => fault_words(fault, names, tracking),
        Cause::FaultEnded => "what kept it from running is over".into(),
        Cause::ActiveTimeout => "the master was not heard for the whole down interval".into(),
        Cause::ActiveLeft => "the master resigned and nobody else took over".into(),
        Cause::Unanswered { left } => {
            format!("{left} resigned and the master was not heard after that")
        }
        Cause::Preempted { active, priority, by } => {
            let why = match by {
                Preemption::Priority => "",
                Preemption::DelayOver => ", and preempt_delay is over",
                Preemption::Owner => ", and it owns the addresses",
            };
            format!("it outranks the master {active} with priority {priority}{why}")
        }
        Cause::Outranked { by, priority } => {
            format!("{by} is master with priority {priority} and outranks it")
        }
        Cause::Group => "another member of its sync group moved".into(),
        Cause::AddressLost => {
            "someone took one of its addresses, routes or rules off the host".into()
        }
    }
}

/// The word for a cause that programs compare; those of RFC 8347 (`last-event`) where it has one.
pub(super) fn cause_event(cause: Cause) -> &'static str {
    match cause {
        Cause::Startup => "startup",
        Cause::Shutdown => "shutdown",
        Cause::Fault(Fault::LinkAbsent(_)) => "interface-absent",
        Cause::Fault(Fault::LinkDown(_)) => "interface-down",
        Cause::Fault(Fault::NoPrimaryAddress(_) | Fault::NoLinkLocal(_)) => "no-primary-ip-address",
        Cause::Fault(Fault::Tentative(_)) => "tentative-ip-address",
        Cause::Fault(Fault::NoPeers) => "no-unicast-peers",
        Cause::Fault(Fault::NotEthernet(_)) => "interface-not-ethernet",
        Cause::Fault(Fault::Tracked(_)) => "tracked-fault",
        Cause::Fault(Fault::Awaited(_) | Fault::GroupAwaited) => "tracked-unknown",
        Cause::Fault(Fault::Group) => "sync-group-fault",
        Cause::Group => "sync-group",
        Cause::FaultEnded => "fault-ended",
        Cause::ActiveTimeout => "master-timeout",
        Cause::ActiveLeft => "master-resigned",
        Cause::Unanswered { .. } => "master-timeout",
        Cause::Preempted { by: Preemption::Priority, .. } => "lower-priority-master",
        Cause::Preempted { by: Preemption::DelayOver, .. } => "preempt-hold-timeout",
        Cause::Preempted { by: Preemption::Owner, .. } => "owner-preempt",
        Cause::Outranked { .. } => "outranked",
        Cause::AddressLost => "address-lost",
    }
}

/// The name of `link`. A door must not fall off its hinges: an id from another table has none.
pub(super) fn link_name(link: LinkId, names: &LinkNames) -> &str {
    if link.index() < names.len() { names.name(link) } else { "?" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_table_is_survived() {
        assert_eq!(
            fault_words(Fault::LinkDown(LinkId(7)), &LinkNames::default(), &Tracking::default()),
            "interface ? is down"
        );
    }
}
