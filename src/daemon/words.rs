//! Log lines: what the engine's actions are called in the words that operators grep for
//! (`seed/case-c-d.md`), and how often.

use log::{debug, info, warn};

use super::refusals::{self, Limiter};
use crate::base::{Instant, LinkNames, RouterId};
use crate::control::fault_words;
use crate::vrrp::{AuthFailure, Cause, Engine, Fault, Notice, RouterParams, StateName};
use crate::wire::ChecksumForm;

/// `1 virtual router`, `2 virtual routers`, `2 addresses`.
pub(super) fn count(number: usize, what: &str) -> String {
    let ending = match (number, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {what}{ending}")
}

/// A router has entered a state.
pub(super) fn entered(
    params: &RouterParams,
    names: &LinkNames,
    (from, to): (StateName, StateName),
    cause: Cause,
) {
    let name = &params.name;
    match to {
        StateName::Master => {
            info!("VRRP_Instance({name}) Transition to MASTER STATE");
            info!("VRRP_Instance({name}) Entering MASTER STATE");
            debug!("VRRP_Instance({name}) setting protocol VIPs.");
        }
        StateName::Backup => match cause {
            Cause::Startup => info!("VRRP_Instance({name}) Entering BACKUP STATE (init)"),
            _ => info!("VRRP_Instance({name}) Entering BACKUP STATE"),
        },
        StateName::Fault => info!("VRRP_Instance({name}) Entering FAULT STATE"),
        // A first result is awaited: nobody has seen it in another state.
        StateName::Init
            if matches!(cause, Cause::Fault(Fault::Awaited(_) | Fault::GroupAwaited)) => {}
        StateName::Init if matches!(cause, Cause::Fault(_)) => {
            info!("VRRP_Instance({name}) Entering INIT STATE");
        }
        StateName::Init => debug!("VRRP_Instance({name}) stopping"),
    }
    if from == StateName::Master {
        debug!("VRRP_Instance({name}) removing protocol VIPs.");
    }
    if to == StateName::Fault {
        info!("VRRP_Instance({name}) Now in FAULT state");
    }
    match cause {
        Cause::Fault(fault) => {
            info!(
                "VRRP_Instance({name}) can not run: {}",
                fault_words(fault, names, &params.tracking)
            );
        }
        Cause::Outranked { by, priority } => {
            info!("VRRP_Instance({name}) {by} is master with priority {priority}");
        }
        Cause::AddressLost => {
            warn!("VRRP_Instance({name}) what it set was removed by someone else: stepping back");
        }
        Cause::ActiveTimeout if to == StateName::Master => {
            debug!("VRRP_Instance({name}) no advert arrived in time");
        }
        Cause::ActiveLeft => debug!("VRRP_Instance({name}) the master left, nobody else took over"),
        Cause::Group => {
            debug!("VRRP_Instance({name}) follows the others of its sync group");
        }
        Cause::Unanswered { left } => {
            debug!("VRRP_Instance({name}) {left} left, and the master was not heard after that");
        }
        Cause::Preempted { active, priority, .. } => {
            info!("VRRP_Instance({name}) takes over from {active}, which has priority {priority}");
        }
        Cause::Startup | Cause::Shutdown | Cause::FaultEnded | Cause::ActiveTimeout => {}
    }
}

/// A sync group has entered a state, and with it its members.
pub(super) fn group_entered(name: &str, to: StateName) {
    match to {
        StateName::Master | StateName::Backup | StateName::Fault => {
            info!("VRRP_Group({name}) Syncing instances to {} state", to.as_str());
        }
        StateName::Init => debug!("VRRP_Group({name}) stopping"),
    }
}

/// A router has something to say.
pub(super) fn notice(
    now: Instant,
    limiter: &mut Limiter,
    engine: &Engine,
    router: RouterId,
    notice: &Notice,
) {
    let Some(suppressed) = limiter.admit(now, router, notice) else { return };
    let view = engine.view(router);
    let name = &view.params.name;
    let more = refusals::more(suppressed);
    match notice {
        Notice::Contested { by, priority } => info!(
            "VRRP_Instance({name}) Received lower prio advert from {by} ({priority}, ours {}), \
             forcing new election{more}",
            view.priority
        ),
        Notice::Outwaiting { active, priority } => info!(
            "VRRP_Instance({name}) {active} is master with a lower priority ({priority}, ours {}): \
             discarding its adverts{more}",
            view.priority
        ),
        Notice::KeepsGroupBack { active, priority } => warn!(
            "VRRP_Instance({name}) {active} is master with priority {priority} (ours {}): it can not \
             be master like its sync group, so that steps back{more}",
            view.priority
        ),
        Notice::ActiveLeaves { active } => {
            debug!("VRRP_Instance({name}) {active} sent 0 priority{more}");
        }
        Notice::SecondOwner { other } => {
            warn!(
                "VRRP_Instance({name}) {other} claims to own the addresses (priority 255) too{more}"
            );
        }
        Notice::IntervalDiffers { source, theirs: Some(theirs) } => warn!(
            "VRRP_Instance({name}) {source} advertises every {theirs} s, we are configured for {} s{more}",
            view.params.interval
        ),
        Notice::IntervalDiffers { source, theirs: None } => {
            warn!("VRRP_Instance({name}) advert from {source} with interval 0: dropped{more}");
        }
        Notice::AddressesDiffer { source, theirs } => warn!(
            "VRRP_Instance({name}) advert from {source} with {theirs} addresses, \
             which are not our {}{more}",
            view.params.advertised().count()
        ),
        Notice::OwnAddress { source } => warn!(
            "VRRP_Instance({name}) advert from our own address {source}: \
             a loop, or another host has this address: dropped{more}"
        ),
        Notice::Stranger { source } => {
            warn!("VRRP_Instance({name}) advert from {source}, which is no peer: dropped{more}");
        }
        Notice::WrongTtl { source, ttl } => warn!(
            "VRRP_Instance({name}) advert from {source} with TTL {ttl}, which its min_ttl and \
             max_ttl don't allow: dropped{more}"
        ),
        Notice::OtherDestination { source, destination } if destination.is_multicast() => warn!(
            "VRRP_Instance({name}) {source} advertises to {destination}, but we have unicast \
             peers: dropped{more}"
        ),
        Notice::OtherDestination { source, destination: _ } => warn!(
            "VRRP_Instance({name}) unicast advert from {source}, but we have no peers: \
             dropped{more}"
        ),
        Notice::OtherVersion { source } => warn!(
            "VRRP_Instance({name}) {source} speaks another version than our VRRPv{}: dropped{more}",
            view.params.version.number()
        ),
        Notice::Authentication { source, failure } => {
            let ours = view.params.conduct.authentication.kind();
            let why = match failure {
                AuthFailure::UnknownType(kind) => {
                    format!("authentication type {kind}, which does not exist")
                }
                AuthFailure::OtherType(kind) => {
                    format!("authentication type {kind}, ours is {ours}")
                }
                AuthFailure::Wrong if ours == 1 => "a wrong password".into(),
                AuthFailure::Wrong => "a wrong signature".into(),
                AuthFailure::Replayed => "an old sequence number: a replay?".into(),
            };
            warn!("VRRP_Instance({name}) advert from {source} with {why}: dropped{more}");
        }
        Notice::Refused { source, refusal } => {
            let source = refusals::sender(*source);
            let why = refusals::why(*refusal);
            warn!("VRRP_Instance({name}) packet from {source} {why}: dropped{more}");
        }
        Notice::ChecksumForm { source, theirs, followed } => {
            let whose = match theirs {
                ChecksumForm::Message => "RFC 9568",
                ChecksumForm::PseudoHeader => "RFC 5798",
                ChecksumForm::GroupPseudoHeader => "keepalived before 1.3.6",
            };
            let ours = if *followed { "ours does so from now on" } else { "ours does not" };
            warn!("VRRP_Instance({name}) {source} has the checksum of {whose}, {ours}{more}");
        }
        Notice::NoV2 { source } => {
            warn!(
                "VRRP_Instance({name}) {source} sends v3 adverts but no v2 ones: routers that know \
                 only v2 don't hear it{more}"
            );
        }
        Notice::NewActive { active, before: None } => {
            debug!("VRRP_Instance({name}) master set to {active}");
        }
        Notice::NewActive { active, before: Some(before) } => {
            info!("VRRP_Instance({name}) master changed from {before} to {active}");
        }
    }
}
