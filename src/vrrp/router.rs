//! One virtual router: its state, and the small facts that the hot path needs beside it.

use std::net::IpAddr;

use super::params::{self, Preempt, RouterParams};
use super::rules::Phase;
use crate::base::{Centis, Family, Instant, LinkId, Span};
use crate::wire::{ChecksumForm, Version};

/// Where a virtual router is. Each variant owns the data that has a meaning there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running (RFC 9568 section 6.4.1); keepalived says FAULT when there is a reason.
    Initialize {
        /// Why it can't run, if it is not just that nobody has started it.
        fault: Option<Fault>,
    },
    /// Watching the Active (section 6.4.2).
    Backup(Backup),
    /// Owning the addresses (section 6.4.3).
    Active(Active),
}

/// What a Backup knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The Active it follows, with the priority of its last advert.
    pub active: Option<(IpAddr, u8)>,
    /// Active_Adver_Interval: learned from the Active.
    pub active_interval: Centis,
    /// Active_Down_Interval that follows from it.
    pub down_interval: Span,
    /// When a lower priority was first heard, while `preempt_delay` holds the takeover back.
    pub preempt_since: Option<Instant>,
    /// Who has said that it leaves, if nobody has been followed since. Usually that was the Active,
    /// which is unknown then; if not, `active` is still there and has not answered yet.
    pub left: Option<IpAddr>,
    /// The Active of lower rank whose adverts are discarded, with the priority of the last one.
    pub outwaited: Option<(IpAddr, u8)>,
    /// Whether it could be Active, and waits for the others of its sync group.
    pub waiting: bool,
    /// It came to a sync group that is master, and is to become Active like the others: when its
    /// timer expires, which adverts don't restart meanwhile.
    pub joining: Option<Joining>,
}

/// What a newcomer to a sync group that is master has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Nobody, or only an Active that it would not yield to if it were one.
    Unopposed,
    /// An Active that it would yield to: it can't be master, so neither can its group.
    Outranked,
}

/// What an Active knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// When its next regular advert is due: a point of the centisecond grid.
    pub next_advert: Instant,
    /// Whether all its addresses are on the host, so that they may be announced.
    pub addresses_set: bool,
    /// Until when losing adverts are answered without gratuitous ARPs.
    pub quiet_until: Instant,
    /// What the gratuitous ARP timer will send.
    pub next_garp: NextGarp,
    /// The deadline that made it Active, until the takeover has been measured to its end;
    /// [`Instant::NEVER`] when there is nothing to measure.
    pub due: Instant,
}

/// The set of gratuitous ARPs that is sent when the timer for them expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextGarp {
    /// The second set after becoming Active.
    SecondSet,
    /// The second set after a lower-priority advert.
    SecondLowerPriority,
    /// The second set after a change, of the addresses that it brought.
    SecondFresh,
    /// A refresh.
    Refresh,
}

/// Why a router can't run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No interface of that name exists.
    LinkAbsent(LinkId),
    /// The interface is not up and running.
    LinkDown(LinkId),
    /// Its own interface has no IPv4 address to send from.
    NoPrimaryAddress(LinkId),
    /// Its own interface has no link-local address to send from over IPv6.
    NoLinkLocal(LinkId),
    /// The link-local address of its own interface is still being checked for a duplicate. That
    /// ends by itself, so it counts as starting up.
    Tentative(LinkId),
    /// It has unicast peers, but they are none.
    NoPeers,
    /// Its own interface is not Ethernet, so adverts can't be framed for it.
    NotEthernet(LinkId),
    /// Something that it tracks, by its place in `Tracking::tracks`, is not as it must be.
    Tracked(u16),
    /// Nothing is known yet of something that it tracks.
    Awaited(u16),
    /// Another member of its sync group can't run.
    Group,
    /// Another member of its sync group waits for the first result of something that it tracks.
    GroupAwaited,
}

/// A state's name, as logs, JSON and notifications have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateName {
    /// Initialize without a fault, or as long as it is not known whether there is one: a first result
    /// of something tracked is awaited, or duplicate address detection.
    Init,
    /// Backup.
    Backup,
    /// Active; operators know it as MASTER.
    Master,
    /// Initialize with a fault.
    Fault,
}

/// The hot half of a virtual router: what an advert or a deadline touches.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub state: State,
    /// Priority after tracking: what adverts carry and elections compare.
    pub priority: u8,
    pub version: Version,
    pub preempt: Preempt,
    pub interval: Centis,
    /// How many intervals are waited for the Active.
    pub down_adverts: u8,
    /// What the checksums of our adverts cover now.
    pub checksum_form: ChecksumForm,
    pub link: LinkId,
    pub family: Family,
    /// The source of its adverts, if it is not the interface's own address.
    pub source: Option<IpAddr>,
    /// When the last advert was accepted or sent.
    pub last_advert: Option<Instant>,
}

impl State {
    /// The state as the rules see it.
    pub const fn phase(&self) -> Phase {
        match self {
            State::Initialize { .. } => Phase::Initialize,
            State::Backup(_) => Phase::Backup,
            State::Active(_) => Phase::Active,
        }
    }

    /// The state as people see it.
    pub const fn name(&self) -> StateName {
        match self {
            State::Initialize {
                fault: None | Some(Fault::Tentative(_) | Fault::Awaited(_) | Fault::GroupAwaited),
            } => StateName::Init,
            State::Initialize { fault: Some(_) } => StateName::Fault,
            State::Backup(_) => StateName::Backup,
            State::Active(_) => StateName::Master,
        }
    }
}

impl Backup {
    /// The Active as far as it is known, followed or not, with the priority of its last advert.
    pub fn heard(&self) -> Option<(IpAddr, u8)> {
        self.active.or(self.outwaited)
    }
}

impl StateName {
    /// The word: `INIT`, `BACKUP`, `MASTER` or `FAULT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            StateName::Init => "INIT",
            StateName::Backup => "BACKUP",
            StateName::Master => "MASTER",
            StateName::Fault => "FAULT",
        }
    }
}

impl Router {
    pub(super) fn new(params: &RouterParams) -> Self {
        Router {
            state: State::Initialize { fault: None },
            priority: params.priority,
            version: params.version,
            // The owner always preempts, at once (RFC 9568 section 6.1).
            preempt: if params.is_owner() { Preempt::After(Span::ZERO) } else { params.preempt },
            interval: params.interval,
            down_adverts: params.conduct.down_adverts,
            checksum_form: match (params.version, params.transport.family) {
                (Version::V2, _) => ChecksumForm::Message,
                (Version::V3, Family::Ipv4) => params.checksum_form,
                (Version::V3, Family::Ipv6) => ChecksumForm::PseudoHeader,
            },
            link: params.link,
            family: params.transport.family,
            source: params.transport.source,
            last_advert: None,
        }
    }

    /// A Backup that assumes our own interval until it hears another (RFC 9568 section 6.4.1).
    pub(super) fn fresh_backup(&self) -> Backup {
        Backup {
            active: None,
            active_interval: self.interval,
            down_interval: self.down_interval(self.interval),
            preempt_since: None,
            left: None,
            outwaited: None,
            waiting: false,
            joining: None,
        }
    }

    /// Skew_Time of a Backup: what it waits for when the Active has said that it leaves.
    pub(super) fn skew(&self, backup: &Backup) -> Span {
        params::skew_time(self.version, self.priority, backup.active_interval)
    }

    pub(super) fn down_interval(&self, active_interval: Centis) -> Span {
        params::active_down_interval(
            self.version,
            self.priority,
            active_interval,
            self.down_adverts,
        )
    }
}
