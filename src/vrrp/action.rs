//! What the engine wants done: wishes that it leaves in its queue, in the order in which they are
//! to take effect.

use std::net::IpAddr;

use super::router::{Fault, StateName};
use crate::base::{Centis, GroupId, IfIndex, RouterId};
use crate::wire::{ChecksumForm, Refusal};

/// A wish of one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send its advert now, with this priority (0: it leaves).
    Advertise {
        /// Whose.
        router: RouterId,
        /// The priority to carry.
        priority: u8,
    },
    /// Put all its addresses onto the host, and report when they are there
    /// (`Engine::on_addresses_set`).
    SetAddresses {
        /// Whose.
        router: RouterId,
    },
    /// Take all its addresses off the host.
    UnsetAddresses {
        /// Whose.
        router: RouterId,
    },
    /// Announce all its addresses: by gratuitous ARPs, or unsolicited neighbour advertisements.
    Announce {
        /// Whose.
        router: RouterId,
        /// Frames for each address.
        repeat: u32,
    },
    /// Send a gratuitous ARP for the address that its adverts come from: its unicast peers may have
    /// an old idea of where that lives.
    AnnounceSource {
        /// Whose.
        router: RouterId,
    },
    /// There is a new router: make ready what is kept for each.
    Added {
        /// Which.
        router: RouterId,
    },
    /// It is configured otherwise, or speaks otherwise than before: make anew what was made of its
    /// parameters.
    Altered {
        /// Which.
        router: RouterId,
    },
    /// As Active it has other addresses: take those of `RouterView::former` off the host, put those
    /// of `RouterView::fresh` onto it, and report when they are there
    /// (`Engine::on_addresses_set`).
    ChangeAddresses {
        /// Whose.
        router: RouterId,
    },
    /// Announce the addresses of `RouterView::fresh`.
    AnnounceFresh {
        /// Whose.
        router: RouterId,
        /// Frames for each address.
        repeat: u32,
    },
    /// Announce `RouterParams::extra_addresses` once.
    AnnounceExtra {
        /// Whose.
        router: RouterId,
    },
    /// It is configured no more, and this is the last that is heard of it: forget what was kept for
    /// it.
    Removed {
        /// Which.
        router: RouterId,
    },
    /// It is in another state now: log it, tell whoever wants to know.
    Entered {
        /// Which.
        router: RouterId,
        /// Where it was.
        from: StateName,
        /// Where it is.
        to: StateName,
        /// Why.
        cause: Cause,
    },
    /// Its effective priority is another.
    Reprioritised {
        /// Whose.
        router: RouterId,
        /// What it was.
        from: u8,
        /// What it is.
        to: u8,
    },
    /// A sync group, and with it all its members, is in another state now.
    GroupEntered {
        /// Which.
        group: GroupId,
        /// Where it was.
        from: StateName,
        /// Where it is.
        to: StateName,
    },
    /// Something about it that an operator may want to read.
    Notice {
        /// Which.
        router: RouterId,
        /// What.
        notice: Notice,
    },
    /// A packet that belongs to no router was refused, and counted.
    Stray {
        /// The interface that it came in by.
        ifindex: IfIndex,
        /// Who sent it, if it is an IP packet.
        source: Option<IpAddr>,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a router changed state (the events of RFC 8347 section 4, `last-event`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The daemon started.
    Startup,
    /// The daemon stops.
    Shutdown,
    /// It can't run.
    Fault(Fault),
    /// Its fault has ended.
    FaultEnded,
    /// The Active has not been heard for the whole Active_Down_Interval.
    ActiveTimeout,
    /// The Active said that it leaves, and nobody else took over within our Skew_Time.
    ActiveLeft,
    /// Someone else said that it leaves, and the Active did not answer within our Skew_Time.
    Unanswered {
        /// Who left.
        left: IpAddr,
    },
    /// It displaced an Active of lower rank.
    Preempted {
        /// Whom.
        active: IpAddr,
        /// That one's priority.
        priority: u8,
        /// What entitled it.
        by: Preemption,
    },
    /// Another Active has a higher priority, or the same and a higher address.
    Outranked {
        /// Its address.
        by: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// Someone took one of its addresses, routes or rules off the host.
    AddressLost,
    /// Another member of its sync group moved.
    Group,
}

/// What entitles a Backup to displace an Active (three of the events of RFC 8347).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// Its higher priority (`lower-priority-master`).
    Priority,
    /// The same, after `preempt_delay` (`preempt-hold-timeout`).
    DelayOver,
    /// It owns the addresses (`owner-preempt`).
    Owner,
}

/// Why an advert is not authentic (RFC 2787 has a counter for each of the first three).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthFailure {
    /// Its authentication type is none there is.
    UnknownType(u8),
    /// Its authentication type is not ours.
    OtherType(u8),
    /// Its password or signature is wrong.
    Wrong,
    /// Its signature is right, but it, or a later one, has been heard before.
    Replayed,
}

/// Something worth a line in the log that changes no state. Whoever writes it limits its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// As Active, it heard a lower-ranking Active and answered.
    Contested {
        /// Who.
        by: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// As Backup, it heard a lower-ranking Active and will displace it.
    Outwaiting {
        /// Who.
        active: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// It came to a sync group that is master, and heard a better Active: the group steps back.
    KeepsGroupBack {
        /// Whom it heard.
        active: IpAddr,
        /// That one's priority.
        priority: u8,
    },
    /// As Backup, it heard that the Active leaves.
    ActiveLeaves {
        /// Who.
        active: IpAddr,
    },
    /// It owns the addresses, and so does the sender of this advert (erratum 8298).
    SecondOwner {
        /// Who.
        other: IpAddr,
    },
    /// An advert's interval differs from ours.
    IntervalDiffers {
        /// Whose advert.
        source: IpAddr,
        /// Its interval; `None` for the forbidden 0.
        theirs: Option<Centis>,
    },
    /// An advert lists other addresses than we do.
    AddressesDiffer {
        /// Whose advert.
        source: IpAddr,
        /// How many it lists.
        theirs: u8,
    },
    /// An advert came from our own address.
    OwnAddress {
        /// That address.
        source: IpAddr,
    },
    /// A unicast advert came from nobody among the peers.
    Stranger {
        /// Whose.
        source: IpAddr,
    },
    /// A unicast advert came from a peer, but not with the TTL or hop limit that it has to have.
    WrongTtl {
        /// Whose.
        source: IpAddr,
        /// What it came with.
        ttl: u8,
    },
    /// An advert went to a multicast group although the router has unicast peers, or to us alone
    /// although it has none.
    OtherDestination {
        /// Whose.
        source: IpAddr,
        /// Where it went.
        destination: IpAddr,
    },
    /// An advert was of the other version.
    OtherVersion {
        /// Whose.
        source: IpAddr,
    },
    /// An advert was not authentic.
    Authentication {
        /// Whose it said to be.
        source: IpAddr,
        /// Why not.
        failure: AuthFailure,
    },
    /// A packet was refused before it could be read as an advert.
    Refused {
        /// Who sent it.
        source: Option<IpAddr>,
        /// Why.
        refusal: Refusal,
    },
    /// A peer's v3 checksums cover something else than ours do (told once for each peer).
    ChecksumForm {
        /// Who.
        source: IpAddr,
        /// What its checksums cover.
        theirs: ChecksumForm,
        /// Whether ours will be of that form from now on.
        followed: bool,
    },
    /// An Active sends v3 and no v2 beside it, so that v2 routers don't hear it (RFC 9568 section
    /// 8.4.2).
    NoV2 {
        /// Who.
        source: IpAddr,
    },
    /// It follows another Active than before.
    NewActive {
        /// Who.
        active: IpAddr,
        /// Whom it followed before, if anyone.
        before: Option<IpAddr>,
    },
}
