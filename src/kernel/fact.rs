//! What the host's network tells upwards.

use std::net::IpAddr;

#[cfg(doc)]
use super::Host;
use super::WayId;
use crate::base::{LinkChange, LinkId, TrackId};

/// Something that the daemon and the engine have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A watched interface has changed in a way that matters, or was not there at the start. One
    /// that was replaced by another (a new index) is first reported as gone.
    Link(LinkChange),
    /// Every address that the owner wants has been acknowledged, or refused; and then every route
    /// and rule. Told again when addresses had to be put back, for example because their link had
    /// been away: the time to announce them.
    Set {
        /// Whose wish.
        owner: u32,
    },
    /// Every address that the owner no longer wants is gone, or (refused) is not to be got rid of.
    Unset {
        /// Whose wish.
        owner: u32,
    },
    /// The kernel refuses to add or to remove an address. The rest of the wish goes on. It is tried
    /// again at the next wish for it, and when its link comes back or up.
    Refused {
        /// Whose wish.
        owner: u32,
        /// The link of the address.
        link: LinkId,
        /// The address.
        ip: IpAddr,
        /// Whether it was to be added or removed.
        wish: Wish,
        /// `errno(3)`, positive. `ENODEV` for an address whose interface doesn't exist: it will be
        /// added when that appears.
        error: i32,
    },
    /// Someone else has removed an address that was set, from an interface that is up. It stays
    /// away until it is wished for again or its link comes back or up.
    AddressLost {
        /// Who wants it.
        owner: u32,
        /// The link it was on.
        link: LinkId,
        /// The address.
        ip: IpAddr,
    },
    /// An address that is none of ours has gone along with one that we removed: that was the first
    /// of their subnet, and the interface's `promote_secondaries` is off (`ip-sysctl`).
    TakenAlong {
        /// The link it was on.
        link: LinkId,
        /// The address.
        ip: IpAddr,
    },
    /// A configured address was there before us and is the host's own, not a leftover: it stays,
    /// whoever wishes what of it ([`Host::remove_leftovers`]).
    Kept {
        /// The link it is on.
        link: LinkId,
        /// The address.
        ip: IpAddr,
    },
    /// All leftovers are gone ([`Host::remove_leftovers`]).
    LeftoversRemoved {
        /// How many there were.
        removed: u32,
    },
    /// The kernel refuses to add or to delete a route or a policy rule ([`Host::way`] says which).
    /// The rest of the wish goes on. It is tried again at the next wish for it, and when its
    /// interface comes back or up.
    WayRefused {
        /// Whose wish; nobody's if it is no longer wanted, and stays.
        owner: Option<u32>,
        /// The route or rule.
        way: WayId,
        /// Whether it was to be added or removed.
        wish: Wish,
        /// `errno(3)`, positive. `ENODEV` for one whose interface doesn't exist.
        error: i32,
    },
    /// Someone else has deleted a route or a policy rule that was set. It stays away until it is
    /// wished for again or its interface comes back or up.
    WayLost {
        /// Who wants it.
        owner: u32,
        /// The route or rule.
        way: WayId,
    },
    /// Routes and policy rules that an earlier run had left behind are gone.
    WaysRemoved {
        /// How many there were.
        removed: u32,
    },
    /// An address that adverts are sent from has come or gone, or is first told of
    /// ([`Host::watch_sources`]).
    Source {
        /// Which.
        source: TrackId,
        /// Whether some interface of the host has it, and it can be sent from.
        present: bool,
    },
    /// A macvlan can't be made or isn't what it should be, and the kernel refuses to change that
    /// (or it is somebody else's: `EEXIST`). It is tried again when the interface below changes.
    MacvlanRefused {
        /// Which.
        link: LinkId,
        /// `errno(3)`, positive.
        error: i32,
    },
    /// Macvlans that an earlier run had left behind are gone.
    MacvlansRemoved {
        /// How many there were.
        removed: u32,
    },
    /// The first dump is complete; the links' facts precede it.
    Synchronised,
    /// A later dump is complete: after an overrun the mirror is right again.
    Resynchronised,
    /// The kernel refuses to say what there is. [`Host::resynchronise`] asks again.
    SyncFailed {
        /// `errno(3)`, positive.
        error: i32,
    },
}

/// What an owner wishes of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// That it be there.
    Set,
    /// That it be gone.
    Unset,
}
