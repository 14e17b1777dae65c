//! `explain`: why a virtual router's priority and state are what they are, and what would make it
//! master.

use serde::{Deserialize, Serialize};

use super::View;
use super::record::StateWord;
use super::words::{fault_words, link_name, tracked_words};
use crate::vrrp::{
    Fault, Joining, Outcome, Preempt, RouterView, Source, Standing, State, TrackView, Tracked,
};

/// Why a virtual router is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainRecord {
    /// Its name in the configuration.
    pub name: String,
    /// Its state.
    pub state: StateWord,
    /// Why it can't run, in words.
    pub fault: Option<String>,
    /// Configured priority.
    pub base_priority: u8,
    /// Priority after tracking.
    pub effective_priority: u8,
    /// What it tracks.
    pub tracks: Vec<TrackRecord>,
    /// Its sync group.
    pub group: Option<GroupRecord>,
    /// What would have to change for it to become master, a clause each; empty if it is.
    pub to_become_master: Vec<String>,
}

/// Something that a virtual router tracks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackRecord {
    /// `interface`, `script`, `file`, `process` or `set`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `unknown`, `good`, `bad`, or the number that a file holds.
    pub state: String,
    /// Its weight; 0: it is a must.
    pub weight: i32,
    /// Whether that is reversed.
    pub reverse: bool,
    /// How much it moves the priority now.
    pub moves: i32,
    /// Whether the virtual router can't run because of it.
    pub fault: bool,
}

/// A sync group as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StateWord,
    /// How many members it has.
    pub members: usize,
    /// How many of them wait for the others to become master.
    pub ready: usize,
    /// How many of them can't run by themselves.
    pub faulty: usize,
    /// The first of those.
    pub faulty_names: Vec<String>,
}

/// How many members that can't run are named.
const NAMED: usize = 5;

impl View<'_> {
    pub(super) fn explain(&self, router: &RouterView<'_>) -> ExplainRecord {
        let params = router.params;
        let fault = match router.state {
            State::Initialize { fault } => *fault,
            State::Backup(_) | State::Active(_) => None,
        };
        let group = self.engine.group_of(router.id).map(|group| {
            let faulty = group.members.iter().filter_map(|&member| {
                self.engine.own_fault(member)?;
                Some(self.engine.get(member)?.params.name.as_ref().into())
            });
            GroupRecord {
                name: group.name.into(),
                state: group.state.into(),
                members: group.members.len(),
                ready: group.ready,
                faulty: group.faulty,
                faulty_names: if group.faulty > 0 { faulty.take(NAMED).collect() } else { vec![] },
            }
        });
        let mut record = ExplainRecord {
            name: params.name.as_ref().into(),
            state: router.state.name().into(),
            fault: fault.map(|fault| fault_words(fault, self.names, &params.tracking)),
            base_priority: params.priority,
            effective_priority: router.priority,
            tracks: self.tracks(router),
            group,
            to_become_master: Vec::new(),
        };
        record.to_become_master = self.needed(router, fault, &record);
        record
    }

    /// What a virtual router tracks.
    pub(super) fn tracks(&self, router: &RouterView<'_>) -> Vec<TrackRecord> {
        let must = |link: &crate::base::LinkId| {
            let up = self.engine.is_up(*link);
            TrackRecord {
                kind: "interface".into(),
                name: link_name(*link, self.names).into(),
                state: if up { "good" } else { "bad" }.into(),
                weight: 0,
                reverse: false,
                moves: 0,
                fault: !up,
            }
        };
        let musts = router.params.tracked_links.iter().map(must);
        musts.chain(self.engine.tracks(router.id).map(|track| self.track(&track))).collect()
    }

    fn track(&self, view: &TrackView<'_>) -> TrackRecord {
        let track = view.track;
        let name = match &track.what {
            Tracked::Set(require, members) => {
                let names = members.iter().map(|member| match member {
                    Source::Link(link) => link_name(*link, self.names),
                    Source::Object(_) => "a script",
                });
                let names: Vec<&str> = names.collect();
                format!("{} ({require:?} of {})", track.name, names.join(", "))
            }
            _ => track.name.to_string(),
        };
        TrackRecord {
            kind: tracked_words(&track.what).into(),
            name,
            state: match view.standing {
                Standing::Unknown => "unknown".into(),
                Standing::Good => "good".into(),
                Standing::Bad => "bad".into(),
                Standing::Number(number) => number.to_string(),
            },
            weight: track.influence.weight,
            reverse: track.influence.reverse,
            moves: match view.outcome {
                Outcome::Moves(by) => by,
                Outcome::Fault | Outcome::Awaited => 0,
            },
            fault: view.outcome == Outcome::Fault,
        }
    }

    fn needed(
        &self,
        router: &RouterView<'_>,
        fault: Option<Fault>,
        record: &ExplainRecord,
    ) -> Vec<String> {
        let params = router.params;
        let mut needed = Vec::new();
        match router.state {
            State::Active(_) => return needed,
            State::Initialize { .. } => {
                let by_name = matches!(fault, Some(Fault::Tracked(_) | Fault::Awaited(_)) | None);
                if let (Some(fault), false) = (&record.fault, by_name) {
                    needed.push(format!("this must end: {fault}"));
                }
                for track in &record.tracks {
                    let TrackRecord { kind, name, state, .. } = track;
                    if track.fault || state == "unknown" && track.weight == 0 {
                        let wanted = match (kind.as_str(), track.reverse) {
                            ("file", _) => "hold another number",
                            (_, false) => "become good",
                            (_, true) => "become bad",
                        };
                        needed.push(format!("{kind} {name}, now {state}, must {wanted}"));
                    }
                }
                if let Some(group) = &record.group
                    && group.faulty > 0
                {
                    let names = group.faulty_names.join(", ");
                    needed.push(format!(
                        "all of sync group {} must be able to run: {names}",
                        group.name
                    ));
                }
                needed.push("then as a backup it must not hear a master of higher priority".into());
            }
            State::Backup(backup) => match (backup.active, params.preempt) {
                _ if backup.waiting => {
                    let (ready, members) =
                        record.group.as_ref().map_or((0, 0), |group| (group.ready, group.members));
                    needed.push(format!(
                        "all others of its sync group must be ready too: {ready} of {members} are"
                    ));
                }
                _ if backup.joining == Some(Joining::Unopposed) => {
                    needed.push("only time: its sync group is master, and it joins".into());
                }
                (None, _) => needed.push("only time: no master is heard".into()),
                (Some((master, theirs)), preempt) => {
                    let ours = router.priority;
                    needed
                        .push(format!("{master}, master with priority {theirs}, must fall silent"));
                    match preempt {
                        Preempt::Never => {}
                        Preempt::After(_) if theirs < ours => needed
                            .push(format!("or only time: its own priority, {ours}, is higher")),
                        Preempt::After(_) if theirs == 255 => {}
                        Preempt::After(_) => {
                            let more = u16::from(theirs) + 1 - u16::from(ours);
                            needed.push(format!(
                                "or its own priority, {ours}, must exceed that: by {more} more"
                            ));
                            for track in &record.tracks {
                                if let Some(gain) = gain(track) {
                                    let TrackRecord { kind, name, .. } = track;
                                    needed.push(format!("{kind} {name} would bring {gain}"));
                                }
                            }
                        }
                    }
                }
            },
        }
        needed
    }
}

/// How much more priority there would be if what is tracked were at its best.
fn gain(track: &TrackRecord) -> Option<i32> {
    if track.kind == "file" {
        return None;
    }
    let best = track.weight.max(0);
    (best > track.moves).then_some(best - track.moves)
}
