//! What decides over a virtual router besides adverts: things that are tracked, each of which is a
//! must or moves the priority, and the sync group.
//!
//! ```text
//!   interface, script, file, process, set ─► Standing ─► Influence ─► Outcome: fault, or so much priority
//! ```

use std::sync::Arc;

use super::router::Fault;
use crate::base::{LinkId, RouterId, TrackId};

/// What a virtual router depends on besides its own interface and those of its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// Whether its own interface may be down (`dont_track_primary`).
    pub ignore_own_link: bool,
    /// What it tracks.
    pub tracks: Box<[Track]>,
    /// The sync group that it is in.
    pub group: Option<Arc<str>>,
}

/// Something that a virtual router tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// How the configuration calls it.
    pub name: Arc<str>,
    /// What it is.
    pub what: Tracked,
    /// What it means for the virtual router.
    pub influence: Influence,
}

/// What can be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// An interface: good while it is up and running.
    Link(LinkId),
    /// A script: good while it succeeds.
    Script(TrackId),
    /// A file: a number.
    File(TrackId),
    /// A process: good while enough of it run.
    Process(TrackId),
    /// A `track_group`: good while the static addresses, routes and rules that name it are there.
    Statics(TrackId),
    /// The address that it sends from: good while the host has it (`track_src_ip`).
    Source(TrackId),
    /// Several interfaces and scripts together.
    Set(Require, Arc<[Source]>),
}

/// A member of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An interface.
    Link(LinkId),
    /// A script or a process.
    Object(TrackId),
}

/// How many members of a set must be good for the set to be good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// One at least.
    Any,
    /// Every one.
    #[default]
    All,
}

/// How something that is tracked is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// The number that a file holds.
    Number(i32),
}

/// What something that is tracked means for a virtual router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Influence {
    /// Zero: it is a must. Positive: added to the priority while good. Negative: taken from it while
    /// bad. A file's number is multiplied with it.
    pub weight: i32,
    /// Good counts as bad and bad as good; a file's number is taken negative.
    pub reverse: bool,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The priority moves by this much, often zero.
    Moves(i32),
    /// The virtual router can't run.
    Fault,
    /// The virtual router waits for a first result.
    Awaited,
}

/// Where a file's product is no priority any more but a fault.
const FILE_FAULT: i64 = -254;

impl Influence {
    /// What `standing` means.
    pub fn outcome(self, standing: Standing) -> Outcome {
        let good = match standing {
            Standing::Unknown if self.weight == 0 => return Outcome::Awaited,
            Standing::Unknown => return Outcome::Moves(0),
            Standing::Number(number) => return self.outcome_of_number(number),
            Standing::Good => !self.reverse,
            Standing::Bad => self.reverse,
        };
        match (self.weight, good) {
            (0, false) => Outcome::Fault,
            (0, true) => Outcome::Moves(0),
            (1.., true) | (..0, false) => Outcome::Moves(self.weight),
            (1.., false) | (..0, true) => Outcome::Moves(0),
        }
    }

    fn outcome_of_number(self, number: i32) -> Outcome {
        if self.weight == 0 {
            // Reversed, it has to be something.
            return if (number != 0) != self.reverse { Outcome::Fault } else { Outcome::Moves(0) };
        }
        let product = i64::from(number) * i64::from(self.weight);
        let product = if self.reverse { -product } else { product };
        match product {
            ..=FILE_FAULT => Outcome::Fault,
            product => Outcome::Moves(product.min(254) as i32),
        }
    }
}

impl Require {
    /// How a set is whose members are like that.
    pub fn standing(self, members: impl Iterator<Item = Standing>) -> Standing {
        let (mut good, mut bad, mut unknown) = (0, 0, 0);
        for member in members {
            match member {
                Standing::Good | Standing::Number(0) => good += 1,
                Standing::Bad | Standing::Number(_) => bad += 1,
                Standing::Unknown => unknown += 1,
            }
        }
        match self {
            Require::Any if good > 0 => Standing::Good,
            Require::All if bad > 0 => Standing::Bad,
            _ if unknown > 0 => Standing::Unknown,
            Require::Any => Standing::Bad,
            Require::All => Standing::Good,
        }
    }
}

/// The priority that comes of a base and what moves it. The owner's never moves, and nobody else gets
/// to be an owner or to say that he leaves.
pub fn effective_priority(base: u8, moved: i64) -> u8 {
    match base {
        255 => 255,
        base => (i64::from(base) + moved).clamp(1, 254) as u8,
    }
}

/// What is tracked and is no interface: how it is, and who has to know.
#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: Vec<Object>,
}

#[derive(Debug, Default)]
struct Object {
    standing: Standing,
    dependents: Vec<RouterId>,
}

impl Objects {
    /// How `object` is.
    pub(super) fn standing(&self, object: TrackId) -> Standing {
        self.objects.get(object.index()).map_or(Standing::Unknown, |object| object.standing)
    }

    /// Notes how `object` is; whether that is news.
    pub(super) fn set(&mut self, object: TrackId, standing: Standing) -> bool {
        let place = &mut self.place(object).standing;
        std::mem::replace(place, standing) != standing
    }

    /// Lets `router` depend on `object`; naming it twice is harmless.
    pub(super) fn depend(&mut self, object: TrackId, router: RouterId) {
        let dependents = &mut self.place(object).dependents;
        if dependents.last() != Some(&router) {
            dependents.push(router);
        }
    }

    /// `router` depends on `object` no more.
    pub(super) fn let_go(&mut self, object: TrackId, router: RouterId) {
        self.place(object).dependents.retain(|&dependent| dependent != router);
    }

    /// The `n`th router that depends on `object`.
    pub(super) fn dependent(&self, object: TrackId, n: usize) -> Option<RouterId> {
        self.objects.get(object.index())?.dependents.get(n).copied()
    }

    fn place(&mut self, object: TrackId) -> &mut Object {
        if object.index() >= self.objects.len() {
            self.objects.resize_with(object.index() + 1, Object::default);
        }
        &mut self.objects[object.index()]
    }
}

impl Tracking {
    /// The interfaces whose changes matter to it, some perhaps twice.
    pub(super) fn links(&self) -> impl Iterator<Item = LinkId> {
        self.tracks.iter().flat_map(|track| {
            let (one, several) = match &track.what {
                Tracked::Link(link) => (Some(*link), &[][..]),
                Tracked::Set(_, members) => (None, &members[..]),
                Tracked::Script(_)
                | Tracked::File(_)
                | Tracked::Process(_)
                | Tracked::Statics(_)
                | Tracked::Source(_) => (None, &[][..]),
            };
            one.into_iter().chain(several.iter().filter_map(|member| match member {
                Source::Link(link) => Some(*link),
                Source::Object(_) => None,
            }))
        })
    }

    /// The other things whose changes matter to it, some perhaps twice.
    pub(super) fn objects(&self) -> impl Iterator<Item = TrackId> {
        self.tracks.iter().flat_map(|track| {
            let (one, several) = match &track.what {
                Tracked::Script(id)
                | Tracked::File(id)
                | Tracked::Process(id)
                | Tracked::Statics(id)
                | Tracked::Source(id) => (Some(*id), &[][..]),
                Tracked::Set(_, members) => (None, &members[..]),
                Tracked::Link(_) => (None, &[][..]),
            };
            one.into_iter().chain(several.iter().filter_map(|member| match member {
                Source::Object(id) => Some(*id),
                Source::Link(_) => None,
            }))
        })
    }

    /// What its tracked things, being as `standing` says, come to: the first fault, or else the first
    /// that a result is awaited of, and how much the priority moves.
    pub(super) fn verdict(&self, standing: impl Fn(&Tracked) -> Standing) -> (Option<Fault>, i64) {
        let (mut fault, mut awaited, mut moved) = (None, None, 0);
        for (index, track) in self.tracks.iter().enumerate() {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            match track.influence.outcome(standing(&track.what)) {
                Outcome::Moves(by) => moved += i64::from(by),
                Outcome::Fault => {
                    fault.get_or_insert(Fault::Tracked(index));
                }
                Outcome::Awaited => {
                    awaited.get_or_insert(Fault::Awaited(index));
                }
            }
        }
        (fault.or(awaited), moved)
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Awaited, Fault, Moves};
    use super::Standing::{Bad, Good, Number, Unknown};
    use super::*;

    /// keepalived.conf(5), `track_interface`, `track_script` and `track_file`, as a table.
    #[test]
    fn weights_and_musts() {
        for (weight, reverse, standing, outcome) in [
            (0, false, Good, Moves(0)),
            (0, false, Bad, Fault),
            (0, true, Good, Fault),
            (0, true, Bad, Moves(0)),
            (0, false, Unknown, Awaited),
            (20, false, Unknown, Moves(0)),
            (-20, true, Unknown, Moves(0)),
            (20, false, Good, Moves(20)),
            (20, false, Bad, Moves(0)),
            (20, true, Good, Moves(0)),
            (20, true, Bad, Moves(20)),
            (-20, false, Good, Moves(0)),
            (-20, false, Bad, Moves(-20)),
            (-20, true, Good, Moves(-20)),
            (-20, true, Bad, Moves(0)),
            (0, false, Number(0), Moves(0)),
            (0, false, Number(-1), Fault),
            (0, true, Number(0), Fault),
            (0, true, Number(5), Moves(0)),
            (2, false, Number(30), Moves(60)),
            (2, true, Number(30), Moves(-60)),
            (2, false, Number(-126), Moves(-252)),
            (2, false, Number(-127), Fault),
            (-2, false, Number(127), Fault),
            (254, false, Number(i32::MAX), Moves(254)),
            (i32::MAX, false, Number(i32::MIN), Fault),
        ] {
            let influence = Influence { weight, reverse };
            assert_eq!(influence.outcome(standing), outcome, "{influence:?} × {standing:?}");
        }
    }

    #[test]
    fn priorities_stay_in_their_range_and_the_owner_where_he_is() {
        assert_eq!(effective_priority(100, 20), 120);
        assert_eq!(effective_priority(100, 1_000), 254);
        assert_eq!(effective_priority(100, -1_000), 1);
        assert_eq!(effective_priority(255, -1_000), 255);
        assert_eq!(effective_priority(254, i64::MAX / 2), 254);
    }

    #[test]
    fn sets_know_what_they_need_to() {
        let any = |members: &[Standing]| Require::Any.standing(members.iter().copied());
        let all = |members: &[Standing]| Require::All.standing(members.iter().copied());
        assert_eq!(any(&[Bad, Unknown, Good]), Good);
        assert_eq!(any(&[Bad, Unknown]), Unknown);
        assert_eq!(any(&[Bad, Bad]), Bad);
        assert_eq!(all(&[Good, Unknown, Bad]), Bad);
        assert_eq!(all(&[Good, Unknown]), Unknown);
        assert_eq!(all(&[Good, Good]), Good);
        assert_eq!((any(&[]), all(&[])), (Bad, Good));
    }
}
