//! **What is tracked, and by whom**: the blocks that define scripts and files, and the lines that use
//! them, in virtual routers and in their sync groups.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::command::Command;
use super::facts::Facts;
use super::keywords::group::{sync, track};
use super::keywords::route::{routes, rules};
use super::keywords::tracking::{
    file, file_use, interface, process, process_use, script, script_use, set, set_use,
};
use super::keywords::{Key, address, instance, root};
use super::model::{Datum, Entry, Section, Setting};
use crate::base::{LinkId, LinkNames, Span, TrackId};
use crate::vrrp::{Influence, Require, Source, Track, Tracked, Tracking};

/// Something that is tracked and is no interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracker {
    /// Its number in the parameters of virtual routers.
    pub id: TrackId,
    /// Its name.
    pub name: Box<str>,
    /// What it is.
    pub what: TrackerKind,
}

/// What can be tracked besides interfaces.
#[derive(Clone, Debug, PartialEq)]
pub enum TrackerKind {
    /// A script (`vrrp_script`).
    Script(Script),
    /// A file that holds a number (`track_file`).
    File(TrackFile),
    /// A program of which so many have to run (`vrrp_track_process`).
    Process(TrackProcess),
    /// Static addresses, routes and rules (`track_group`).
    Statics,
    /// An address that adverts are sent from (`track_src_ip`).
    Source(IpAddr),
}

/// The addresses among `trackers`, each with the number of its [`Tracked::Source`].
pub fn sources(trackers: &[Tracker]) -> impl Iterator<Item = (TrackId, IpAddr)> {
    trackers.iter().filter_map(|tracker| match tracker.what {
        TrackerKind::Source(ip) => Some((tracker.id, ip)),
        _ => None,
    })
}

/// A script that is run periodically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The command, with the user that runs it.
    pub command: Command,
    /// From one run to the next.
    pub interval: Span,
    /// How long a run may take.
    pub timeout: Span,
    /// How often in a row it must succeed.
    pub rise: u32,
    /// How often in a row it must fail.
    pub fall: u32,
    /// Whether it counts as failed until it has succeeded.
    pub init_fail: bool,
}

/// A file that holds a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFile {
    /// Where it is.
    pub path: Box<str>,
    /// Whether it is made at the start, with this number.
    pub init: Option<i32>,
    /// Whether that number is written even if there is a file.
    pub overwrite: bool,
}

/// A program of which so many have to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackProcess {
    /// Its name, or how it was called.
    pub name: Box<str>,
    /// Its arguments.
    pub arguments: Box<[Box<str>]>,
    /// What they mean.
    pub fit: ArgumentFit,
    /// Whether the name is how it was called.
    pub full_command: bool,
    /// How many have to run at least.
    pub quorum: u32,
    /// How many may run.
    pub quorum_max: u32,
    /// How long a change by a new process has to last.
    pub fork_delay: Span,
    /// How long a change by one that has ended has to last.
    pub terminate_delay: Span,
}

/// How the arguments of a process have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentFit {
    /// They don't matter.
    Any,
    /// As configured.
    Exact,
    /// The last one may be longer.
    Initial,
    /// There may be more.
    Partial,
}

/// The numbers of tracked things while a daemon runs: the same kind and name, the same number.
#[derive(Clone, Debug, Default)]
pub struct TrackNames {
    ids: HashMap<(Named, Box<str>), TrackId>,
}

/// What has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Named {
    Script,
    File,
    Process,
    Statics,
    Source,
}

impl TrackNames {
    /// The number of a tracked thing, made now if it is new.
    pub fn intern(&mut self, tracker: &Tracker) -> TrackId {
        let next = TrackId(self.ids.len() as u32);
        *self.ids.entry((tracker.what.named(), tracker.name.clone())).or_insert(next)
    }
}

impl TrackerKind {
    fn named(&self) -> Named {
        match self {
            TrackerKind::Script(_) => Named::Script,
            TrackerKind::File(_) => Named::File,
            TrackerKind::Process(_) => Named::Process,
            TrackerKind::Statics => Named::Statics,
            TrackerKind::Source(_) => Named::Source,
        }
    }
}

/// Collects what virtual routers track.
pub(super) struct Trackers<'m> {
    scripts: HashMap<&'m str, &'m Section>,
    files: HashMap<&'m str, &'m Section>,
    processes: HashMap<&'m str, &'m Section>,
    sets: HashMap<&'m str, &'m Section>,
    /// The sync group of each virtual router that is in one.
    groups: HashMap<&'m str, &'m Section>,
    /// The track groups of each virtual router that is in one which anything static names.
    statics: HashMap<&'m str, Vec<&'m str>>,
    ids: HashMap<(Named, &'m str), TrackId>,
    sources: HashMap<IpAddr, TrackId>,
    found: Vec<Tracker>,
}

impl<'m> Trackers<'m> {
    pub(super) fn new(model: &'m Section) -> Self {
        // Of two with the same name the first one holds.
        let by_name = |key: Key| {
            let mut found = HashMap::new();
            for section in model.blocks(key) {
                found.entry(section.title()).or_insert(section);
            }
            found
        };
        let mut groups = HashMap::new();
        let named = by_name(root::VRRP_SYNC_GROUP);
        for group in model.blocks(root::VRRP_SYNC_GROUP) {
            if named.get(group.title()).is_some_and(|first| std::ptr::eq(*first, group)) {
                for member in group.words(sync::GROUP) {
                    groups.entry(&*member.text).or_insert(group);
                }
            }
        }
        let mut statics: HashMap<&str, Vec<&str>> = HashMap::new();
        let named: HashSet<&str> =
            static_entries(model).filter_map(|(entry, key)| entry.get(key)?.text()).collect();
        for group in model.blocks(root::TRACK_GROUP) {
            if named.contains(group.title()) {
                for member in group.words(track::GROUP) {
                    statics.entry(&*member.text).or_default().push(group.title());
                }
            }
        }
        Trackers {
            statics,
            scripts: by_name(root::VRRP_SCRIPT),
            files: by_name(root::TRACK_FILE),
            processes: by_name(root::VRRP_TRACK_PROCESS),
            sets: by_name(root::VIPRD_TRACK_SET),
            groups,
            ids: HashMap::new(),
            sources: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// Everything that somebody tracks.
    pub(super) fn into_found(self) -> Vec<Tracker> {
        self.found
    }

    /// What a virtual router tracks, by itself and with its group: interfaces that must be up, and the
    /// rest.
    pub(super) fn tracking(
        &mut self,
        router: &Facts<'m>,
        links: &mut LinkNames,
    ) -> (Box<[LinkId]>, Tracking) {
        let section = router.section;
        let group = self.groups.get(router.name()).copied();
        let free = group.is_none_or(|group| group.is_set(sync::SYNC_GROUP_TRACKING_WEIGHT));
        let mut collected =
            Collected { owner: router.is_owner(), musts: Vec::new(), tracks: Vec::new() };
        let own = [
            (instance::TRACK_INTERFACE, Kind::Link),
            (instance::TRACK_SCRIPT, Kind::Script),
            (instance::TRACK_FILE, Kind::File),
            (instance::TRACK_PROCESS, Kind::Process),
            (instance::VIPRD_TRACK_SET, Kind::Set),
        ];
        for (key, kind) in own {
            for entry in section.lines(key) {
                self.line(entry, kind, free, links, &mut collected);
            }
        }
        let of_group = [
            (sync::TRACK_INTERFACE, Kind::Link),
            (sync::TRACK_SCRIPT, Kind::Script),
            (sync::TRACK_FILE, Kind::File),
            (sync::TRACK_PROCESS, Kind::Process),
            (sync::VIPRD_TRACK_SET, Kind::Set),
        ];
        if let Some(group) = group {
            for (key, kind) in of_group {
                for entry in group.lines(key) {
                    self.line(entry, kind, true, links, &mut collected);
                }
            }
        }
        for name in self.statics.get(router.name()).cloned().unwrap_or_default() {
            let what = Tracked::Statics(self.statics(name));
            if collected.tracks.iter().all(|track| track.what != what) {
                let influence = Influence::default();
                collected.tracks.push(Track { name: Arc::from(name), what, influence });
            }
        }
        if let Some(ip) = router.source().filter(|_| section.is_set(instance::TRACK_SRC_IP)) {
            let what = Tracked::Source(self.source(ip));
            let (name, influence) = (ip.to_string().into(), Influence::default());
            collected.tracks.push(Track { name, what, influence });
        }
        let tracking = Tracking {
            ignore_own_link: section.is_set(instance::DONT_TRACK_PRIMARY),
            tracks: collected.tracks.into(),
            group: group.map(|group| group.title().into()),
        };
        (collected.musts.into(), tracking)
    }

    fn line(
        &mut self,
        entry: &'m Entry,
        kind: Kind,
        weights: bool,
        links: &mut LinkNames,
        collected: &mut Collected,
    ) {
        let Some(name) = entry.name() else { return };
        let weight = match kind {
            Kind::Link => interface::WEIGHT,
            Kind::Script => script_use::WEIGHT,
            Kind::File => file_use::WEIGHT,
            Kind::Process => process_use::WEIGHT,
            Kind::Set => set_use::WEIGHT,
        };
        let defined = match kind {
            Kind::Link | Kind::Set => None,
            Kind::Script => self.scripts.get(name).and_then(|it| it.get(script::WEIGHT)),
            Kind::File => self.files.get(name).and_then(|it| it.get(file::WEIGHT)),
            Kind::Process => self.processes.get(name).and_then(|it| it.get(process::WEIGHT)),
        };
        let mut influence = match entry.get(weight).or(defined) {
            Some(setting) => influence(setting),
            None => Influence { weight: i32::from(matches!(kind, Kind::File)), reverse: false },
        };
        if influence.weight != 0 && collected.owner {
            return;
        }
        if !weights {
            influence.weight = 0;
        }
        let what = match kind {
            Kind::Link => {
                let link = links.intern(name);
                if influence == Influence::default() {
                    if !collected.musts.contains(&link) {
                        collected.musts.push(link);
                    }
                    return;
                }
                Tracked::Link(link)
            }
            Kind::Script => match self.script(name) {
                Some(id) => Tracked::Script(id),
                None => return,
            },
            Kind::Set => match self.set(name, links) {
                Some(set) => set,
                None => return,
            },
            Kind::File => match self.file(name) {
                Some(id) => Tracked::File(id),
                None => return,
            },
            Kind::Process => match self.process(name) {
                Some(id) => Tracked::Process(id),
                None => return,
            },
        };
        // Of two lines about the same thing the first one holds.
        if collected.tracks.iter().all(|track| track.what != what) {
            collected.tracks.push(Track { name: Arc::from(name), what, influence });
        }
    }

    fn script(&mut self, name: &'m str) -> Option<TrackId> {
        let section = *self.scripts.get(name)?;
        let command = section.command(script::SCRIPT)?;
        let interval = section.time(script::INTERVAL).unwrap_or(Span::from_secs(1));
        let timeout = section.time(script::TIMEOUT).filter(|timeout| !timeout.is_zero());
        let times = |key: Key| section.int(key).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let mut command = command.clone();
        if let Some(user) = section.text(script::USER) {
            command.user = Some(user.into());
            command.group = word(section.get(script::USER), 1).map(Into::into);
        }
        let what = TrackerKind::Script(Script {
            command,
            interval,
            timeout: timeout.unwrap_or(interval),
            rise: times(script::RISE),
            fall: times(script::FALL),
            init_fail: section.is_set(script::INIT_FAIL),
        });
        Some(self.intern(name, what))
    }

    fn set(&mut self, name: &'m str, links: &mut LinkNames) -> Option<Tracked> {
        let section = *self.sets.get(name)?;
        let require = match section.text(set::REQUIRE)? {
            "any" => Require::Any,
            _ => Require::All,
        };
        let mut members: Vec<Source> = Vec::new();
        for interface in section.words(set::INTERFACES) {
            members.push(Source::Link(links.intern(&interface.text)));
        }
        for script in section.words(set::SCRIPTS) {
            members.extend(self.script(&script.text).map(Source::Object));
        }
        Some(Tracked::Set(require, members.into()))
    }

    fn file(&mut self, name: &'m str) -> Option<TrackId> {
        let section = *self.files.get(name)?;
        let init = section.get(file::INIT_FILE);
        let what = TrackerKind::File(TrackFile {
            path: section.text(file::FILE_NAME)?.into(),
            init: init.map(|setting| number(setting).unwrap_or(0)),
            overwrite: init.is_some_and(|setting| {
                setting.items().iter().any(|item| item.datum == Datum::Choice("overwrite"))
            }),
        });
        Some(self.intern(name, what))
    }

    /// The number of a track group.
    pub(super) fn statics(&mut self, name: &'m str) -> TrackId {
        self.intern(name, TrackerKind::Statics)
    }

    fn process(&mut self, name: &'m str) -> Option<TrackId> {
        let section = *self.processes.get(name)?;
        let setting = section.get(process::PROCESS)?;
        let mut words = setting.items().iter().filter_map(|item| match &item.datum {
            Datum::Text(text) => Some(text.clone()),
            _ => None,
        });
        let command = words.next()?;
        let arguments: Box<[Box<str>]> = words.collect();
        let fit = match (section.text(process::PARAM_MATCH), arguments.is_empty()) {
            (None, true) => ArgumentFit::Any,
            // A rule for no arguments means that there must be none.
            (None, false) | (Some(_), true) => ArgumentFit::Exact,
            (Some("initial"), false) => ArgumentFit::Initial,
            (Some(_), false) => ArgumentFit::Partial,
        };
        let (quorum, quorum_max) = quorums(section);
        // Of a delay and one for both the later one holds.
        let position = |key| section.settings.iter().rposition(|setting| setting.key == key);
        let delay = |own: Key| {
            let key = [own, process::DELAY_BOTH].into_iter().max_by_key(|&key| position(key));
            key.and_then(|key| section.time(key)).unwrap_or(Span::ZERO)
        };
        let what = TrackerKind::Process(TrackProcess {
            name: command,
            arguments,
            fit,
            full_command: section.is_set(process::FULL_COMMAND),
            quorum,
            quorum_max,
            fork_delay: delay(process::FORK_DELAY),
            terminate_delay: delay(process::TERMINATE_DELAY),
        });
        Some(self.intern(name, what))
    }

    /// The number of an address that adverts are sent from.
    fn source(&mut self, ip: IpAddr) -> TrackId {
        let next = TrackId(self.found.len() as u32);
        let id = *self.sources.entry(ip).or_insert(next);
        if id == next {
            let name = ip.to_string().into();
            self.found.push(Tracker { id, name, what: TrackerKind::Source(ip) });
        }
        id
    }

    fn intern(&mut self, name: &'m str, what: TrackerKind) -> TrackId {
        let next = TrackId(self.found.len() as u32);
        let id = *self.ids.entry((what.named(), name)).or_insert(next);
        if id == next {
            self.found.push(Tracker { id, name: name.into(), what });
        }
        id
    }
}

/// Everything static, each with the keyword by which it may name a track group.
pub(super) fn static_entries(model: &Section) -> impl Iterator<Item = (&Entry, Key)> {
    let lines = [
        (root::STATIC_IPADDRESS, address::TRACK_GROUP),
        (root::STATIC_ROUTES, routes::TRACK_GROUP),
        (root::STATIC_RULES, rules::TRACK_GROUP),
    ];
    lines.into_iter().flat_map(|(lines, key)| model.lines(lines).map(move |entry| (entry, key)))
}

/// How many processes must run at least, and at most. Of two that contradict each other the first one
/// holds; none at most means none at least.
fn quorums(section: &Section) -> (u32, u32) {
    let count = |key: Key| section.int(key).and_then(|n| u32::try_from(n).ok());
    match (count(process::QUORUM), count(process::QUORUM_MAX)) {
        (None, most) => (most.unwrap_or(1).min(1), most.unwrap_or(u32::MAX)),
        (Some(least), None) => (least, u32::MAX),
        (Some(least), Some(most)) if least <= most => (least, most),
        (Some(least), Some(most)) => {
            let position = |key| section.settings.iter().position(|setting| setting.key == key);
            match position(process::QUORUM) < position(process::QUORUM_MAX) {
                true => (least, u32::MAX),
                false => (most.min(1), most),
            }
        }
    }
}

struct Collected {
    owner: bool,
    musts: Vec<LinkId>,
    tracks: Vec<Track>,
}

#[derive(Clone, Copy)]
enum Kind {
    Link,
    Script,
    File,
    Process,
    Set,
}

/// `weight N [reverse]`.
fn influence(setting: &Setting) -> Influence {
    let reverse = setting.items().iter().any(|item| item.datum == Datum::Choice("reverse"));
    Influence { weight: number(setting).unwrap_or(0), reverse }
}

fn number(setting: &Setting) -> Option<i32> {
    i32::try_from(setting.int()?).ok()
}

/// The `index`th value of a setting, if it is a word.
pub(super) fn word(setting: Option<&Setting>, index: usize) -> Option<&str> {
    match &setting?.items().get(index)?.datum {
        Datum::Text(text) => Some(text),
        _ => None,
    }
}
