//! Interfaces that we make: a macvlan for each virtual MAC.
//!
//! They are made at the start or a reload and stay whatever state their virtual router is in: the
//! kernel takes 0.2 ms to make one, but 9 ms to take one down and 16 ms to delete one. So a Backup
//! has its macvlan up, and must be silent all the same. How:
//!
//! * **Mode VEPA**, not private as keepalived has it. In private mode the kernel hands a multicast
//!   whose source is the MAC of a macvlan *of this host* to that macvlan alone. Every Active's
//!   adverts, gratuitous ARPs and ARP requests have that source, so the interface below would be
//!   deaf for them: its own address would not be found by the Active, and adverts could be heard
//!   only by joining their group on the macvlan, which makes it report memberships with the virtual
//!   MAC, from the Backup (keepalived needs a firewall rule against that). In VEPA mode the
//!   interface below hears everything, nothing is joined on the macvlan, and nothing is cloned to
//!   it but broadcasts. What it sends goes to the wire in both modes.
//! * **`arp_ignore` 1 on both**: each answers for the addresses that it bears itself. Without it
//!   the macvlan of an Active answers for the host's own address with the virtual MAC, and the
//!   interface below for the virtual addresses with its own.
//! * **`arp_announce` 2 below**: answers from a virtual address leave by the interface below; the
//!   ARP request that this may need would tell the neighbour that interface's MAC for the virtual
//!   address.
//! * **`rp_filter` 2 on the macvlan**. An interface without an IPv4 address fails the reverse path
//!   check even in its loose form: while it is Backup the kernel drops every IPv4 packet to the
//!   virtual MAC (RFC 9568 section 6.4.2, (385)). With an address on it, the loose form lets
//!   through whatever has a route back.
//! * **`promote_secondaries` 1 on the macvlan**: to remove one address doesn't remove others.
//! * **`disable_ipv6` on the macvlans of IPv4**: on a router it would join all-routers, and report
//!   that with the virtual MAC.
//! * **`disable_ipv6` on those of IPv6 as well, while no address is wanted there**: IPv6 has no
//!   reverse path check, and a Backup would forward what is sent to the virtual MAC. It is switched
//!   on before the first address is added (40 µs) and off before they are deleted, which is all it
//!   takes to delete them (some 100 µs) and silences the kernel's farewell to their groups: with the
//!   virtual MAC as source, that would lead a switch back to the one who has just left.
//!
//! All of ours bear a link group of our own. So they are found after a crash, and removed by one
//! request, in which 250 of them take the kernel 60 ms. That request is left to a thread
//! ([`Host::next_removal`]): nothing may wait so long.
//!
//! Everything here is judged by the mirror: what is there is compared with what is wanted whenever
//! an event, an answer or a dump may have changed either.

use std::collections::{HashMap, HashSet, VecDeque};

use super::mirror::Device;
use super::reconciler::EntryId;
use super::request::Writer;
use super::{Fact, Host};
use crate::base::{IfIndex, LinkId, Macvlan};

/// Requests in one datagram: making an interface takes 0.2 ms.
const BATCH: usize = 8;
/// The same for those that take microseconds.
const LIGHT_BATCH: usize = 64;
/// Most requests without their answer.
const WINDOW: usize = 128;
/// `MACVLAN_MODE_VEPA` of `<linux/if_link.h>`.
pub(super) const MODE_VEPA: u32 = 2;
/// The link group of our macvlans unless [`Host::set_macvlan_group`] says otherwise.
const GROUP: u32 = 0x7669_7072;
/// The bit by which the group of those that are to be deleted differs.
const DOOMED: u32 = 1;

/// What is to be written to `/proc/sys/net/FAMILY/conf/INTERFACE/NAME` (`ip-sysctl` of the kernel's
/// documentation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// The interface's name.
    pub interface: String,
    /// The setting's name.
    pub name: &'static str,
    /// Its value.
    pub value: u8,
    /// Whether it is of an interface that isn't ours: a higher value stays, and what it was is
    /// restored at the end.
    pub borrowed: bool,
}

/// A setting of every interface of some kind.
type Settings = &'static [(&'static str, &'static str, u8)];

/// Of every macvlan; taken back on those of IPv6 while they carry addresses.
const SHUT: (&str, &str, u8) = ("ipv6", "disable_ipv6", 1);
const OPEN: (&str, &str, u8) = ("ipv6", "disable_ipv6", 0);
/// Of an interface below macvlans of IPv4.
const BELOW: Settings = &[("ipv4", "arp_ignore", 1), ("ipv4", "arp_announce", 2)];
/// Of a macvlan of IPv4.
const FOR_IPV4: Settings =
    &[("ipv4", "arp_ignore", 1), ("ipv4", "rp_filter", 2), ("ipv4", "promote_secondaries", 1)];
/// Of a macvlan of IPv6: it makes no address of its own, and asks nobody whether ours are free. For
/// `disable_ipv6` see [`Host::open_or_close_macvlan`].
const FOR_IPV6: Settings = &[
    ("ipv6", "addr_gen_mode", 1),
    ("ipv6", "accept_ra", 0),
    ("ipv6", "autoconf", 0),
    ("ipv6", "accept_dad", 0),
    ("ipv4", "arp_ignore", 1),
    ("ipv4", "rp_filter", 2),
];

/// All that we want to be there, and all that has to go.
#[derive(Debug)]
pub(super) struct Macvlans {
    group: u32,
    wanted: Vec<Wanted>,
    /// Each macvlan's place in `wanted`.
    own: HashMap<LinkId, usize>,
    /// Those of `wanted` that a link is the macvlan of, or is below.
    concerned: HashMap<LinkId, Vec<usize>>,
    /// Those of `wanted` to be looked at.
    queue: VecDeque<usize>,
    settings: VecDeque<Setting>,
    /// The interfaces below whose settings have been made.
    below: HashSet<IfIndex>,
    asked: HashMap<u32, Asked>,
    /// To be removed.
    doomed: Vec<IfIndex>,
    /// Being put into the group of the doomed, so that they can be deleted together.
    moving: usize,
    /// Whether any are in that group already.
    gathered: bool,
    /// Groups to be deleted.
    removals: VecDeque<u32>,
    /// Those that were doomed and that the mirror still shows.
    leaving: HashSet<IfIndex>,
    /// How many leftovers of an earlier run are among them, until that has been told.
    leftovers: u32,
    /// Whether leftovers have been looked for.
    swept: bool,
}

#[derive(Debug)]
struct Wanted {
    macvlan: Macvlan,
    stage: Stage,
    queued: bool,
    /// The interface whose settings have been made.
    tuned: Option<IfIndex>,
    /// The interface on which IPv6 is switched on.
    open: Option<IfIndex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The mirror tells what is to be done.
    Looking,
    /// A request of that number is on its way.
    Asked(u32),
    /// The request was granted; the mirror hasn't shown its effect when the macvlan was that.
    Granted(Option<IfIndex>),
    /// It was refused while the interface below and the macvlan were these.
    Refused { below: Option<IfIndex>, at: Option<IfIndex> },
    /// It is there, on top of that interface, and as it should be.
    Ready { at: IfIndex, below: Option<IfIndex> },
}

/// What an answer is about.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// One of `wanted`, by its link; what the macvlan was then, and whether it is as it should be
    /// if that is granted.
    Step { link: LinkId, was: Option<IfIndex>, completes: bool },
    /// A macvlan that moves into the group of the doomed.
    Move(IfIndex),
}

/// What is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Make {
        below: IfIndex,
    },
    PutRight {
        at: IfIndex,
        mode: bool,
    },
    /// It bears our name and isn't what we want.
    Delete {
        at: IfIndex,
    },
    /// It bears our name, and is nobody's to delete.
    Refuse,
}

impl Default for Macvlans {
    fn default() -> Self {
        Macvlans {
            group: GROUP,
            wanted: Vec::new(),
            own: HashMap::new(),
            concerned: HashMap::new(),
            queue: VecDeque::new(),
            settings: VecDeque::new(),
            below: HashSet::new(),
            asked: HashMap::new(),
            doomed: Vec::new(),
            moving: 0,
            gathered: false,
            removals: VecDeque::new(),
            leaving: HashSet::new(),
            leftovers: 0,
            swept: false,
        }
    }
}

/// Virtual MACs.
impl Host {
    /// The link group of all macvlans of this daemon; no other program and no other daemon in this
    /// namespace may use it. Its lowest bit is ours to set.
    pub fn set_macvlan_group(&mut self, group: u32) {
        self.macvlans.group = (group & !DOOMED).max(2);
    }

    /// Wants these macvlans to be there, and none else of those that we have made. Those that are
    /// there and right stay as they are. To be called once [`Fact::Synchronised`] has been seen;
    /// what earlier runs have left behind goes.
    pub fn want_macvlans<'a>(&mut self, macvlans: impl IntoIterator<Item = &'a Macvlan>) {
        let mut known: HashMap<LinkId, Wanted> =
            self.macvlans.wanted.drain(..).map(|known| (known.macvlan.link, known)).collect();
        let mut named = HashSet::new();
        for macvlan in macvlans {
            if !named.insert(macvlan.link) {
                continue;
            }
            let (tuned, open, stage) = match known.remove(&macvlan.link) {
                Some(known) if known.macvlan == *macvlan => (known.tuned, known.open, known.stage),
                Some(known) => (known.tuned, known.open, Stage::Looking),
                None => (None, None, Stage::Looking),
            };
            let stage = match stage {
                Stage::Refused { .. } => Stage::Looking,
                stage => stage,
            };
            let wanted = Wanted { macvlan: *macvlan, stage, queued: false, tuned, open };
            self.macvlans.wanted.push(wanted);
        }
        let mut gone: Vec<IfIndex> = Vec::new();
        for (link, former) in known {
            let at = self.links.get(link.index()).and_then(|watched| watched.device);
            let ours = at.filter(|at| former.tuned == Some(*at));
            gone.extend(ours);
        }
        gone.extend(self.stray_macvlans());
        gone.sort_unstable();
        gone.dedup();
        let macvlans = &mut self.macvlans;
        gone.retain(|at| !macvlans.leaving.contains(at) && !macvlans.doomed.contains(at));
        if !std::mem::replace(&mut macvlans.swept, true) {
            macvlans.leftovers = gone.len() as u32;
        }
        macvlans.doomed.extend(gone);
        macvlans.concern();
    }

    /// Whether all that are wanted are there, can't be made, or wait for the interface below.
    pub fn macvlans_settled(&self) -> bool {
        self.macvlans.wanted.iter().all(|wanted| match wanted.stage {
            Stage::Ready { at, .. } => {
                self.mirror.device(at).is_none_or(|device| device.is_wanted_up())
            }
            Stage::Refused { .. } => true,
            Stage::Looking => !wanted.queued && self.device_of(wanted.macvlan.base).is_none(),
            Stage::Asked(_) | Stage::Granted(_) => false,
        })
    }

    /// Whether none is being removed, and none has to be.
    pub fn macvlans_gone(&self) -> bool {
        let Macvlans { doomed, moving, leaving, .. } = &self.macvlans;
        doomed.is_empty() && *moving == 0 && leaving.is_empty()
    }

    /// The next setting to be written. Ask after each request, and write before that is sent.
    pub fn next_setting(&mut self) -> Option<Setting> {
        self.macvlans.settings.pop_front()
    }

    /// Writes a request that deletes macvlans and may take the kernel a tenth of a second, if there
    /// is one. It is to be sent on a socket of its own, whose answer is nobody's.
    pub fn next_removal(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let group = self.macvlans.removals.pop_front()?;
        let mut writer = Writer::new(buffer);
        writer.delete_group(1, group);
        Some(writer.len())
    }

    /// Those that bear our group and that nobody wants.
    fn stray_macvlans(&self) -> Vec<IfIndex> {
        let group = self.macvlans.group;
        let wanted: HashSet<IfIndex> = self
            .macvlans
            .wanted
            .iter()
            .filter_map(|wanted| self.device_of(wanted.macvlan.link))
            .collect();
        let devices = self.mirror.devices();
        devices
            .filter(|(at, device)| {
                device.macvlan.is_some() && device.group & !DOOMED == group && !wanted.contains(at)
            })
            .map(|(at, _)| at)
            .collect()
    }

    /// Whether a link is one of those that are wanted.
    pub(super) fn is_own_macvlan(&self, link: LinkId) -> bool {
        self.macvlans.own.contains_key(&link)
    }

    /// Whether an interface is a macvlan of ours, or of another VRRP daemon: it has a virtual MAC.
    pub(super) fn is_for_virtual_mac(&self, device: &Device) -> bool {
        let ours = device.group & !DOOMED == self.macvlans.group;
        device.macvlan.is_some() && (ours || device.mac().is_some_and(Macvlan::is_virtual))
    }

    fn device_of(&self, link: LinkId) -> Option<IfIndex> {
        self.links.get(link.index())?.device
    }

    /// Writes the next batch of requests.
    pub(super) fn write_macvlans(&mut self, writer: &mut Writer<'_>) {
        self.doom();
        self.write_moves(writer);
        if writer.len() > 0 {
            return;
        }
        let mut count = 0;
        while count < BATCH && writer.has_room() && self.macvlans.asked.len() < WINDOW {
            let Some(index) = self.macvlans.queue.pop_front() else { break };
            if let Some(wanted) = self.macvlans.wanted.get_mut(index) {
                wanted.queued = false;
            }
            count += usize::from(self.take_step(index, writer));
        }
        self.counters.requests += count as u64;
    }

    /// Asks for what the macvlan needs next; whether that was anything.
    fn take_step(&mut self, index: usize, writer: &mut Writer<'_>) -> bool {
        if let Some(at) = self.is_right(index) {
            self.ready(index, at);
            return false;
        }
        let Some(step) = self.next_step(index) else { return false };
        let seq = self.conversation.number();
        let group = self.macvlans.group;
        let Some(wanted) = self.macvlans.wanted.get_mut(index) else { return false };
        let Macvlan { link, mac, .. } = wanted.macvlan;
        let group = wanted.macvlan.group.unwrap_or(group);
        match step {
            Step::Make { below } => {
                let name = self.names.name(link).as_bytes();
                writer.make_macvlan(seq, below, name, mac, group, MODE_VEPA);
            }
            Step::PutRight { at, mode } => {
                writer.put_right(seq, at, group, mode.then_some(MODE_VEPA));
                self.tune(index, at);
            }
            Step::Delete { at } => writer.delete_link(seq, at),
            Step::Refuse => {
                self.refuse(index, libc::EEXIST);
                return false;
            }
        }
        let completes = matches!(step, Step::PutRight { .. });
        let was = self.device_of(link);
        self.macvlans.stage(index, Stage::Asked(seq));
        self.macvlans.asked.insert(seq, Asked::Step { link, was, completes });
        true
    }

    /// The macvlan, if nothing is to be asked for: what has been asked was granted, also if the
    /// answer is lost.
    fn is_right(&self, index: usize) -> Option<IfIndex> {
        let wanted = self.macvlans.wanted.get(index)?;
        let Macvlan { link, base, mac, group, .. } = wanted.macvlan;
        let at = self.device_of(link)?;
        let device = self.mirror.device(at)?;
        let right = wanted.tuned == Some(at)
            && matches!(wanted.stage, Stage::Looking)
            && device.macvlan == Some(MODE_VEPA)
            && device.lower == self.device_of(base)
            && device.mac() == Some(mac)
            && device.group == group.unwrap_or(self.macvlans.group)
            && device.is_wanted_up();
        right.then_some(at)
    }

    fn next_step(&self, index: usize) -> Option<Step> {
        let wanted = self.macvlans.wanted.get(index)?;
        let below = self.device_of(wanted.macvlan.base);
        let at = self.device_of(wanted.macvlan.link);
        match wanted.stage {
            Stage::Asked(_) => return None,
            Stage::Granted(was) if was == at => return None,
            Stage::Refused { below: was_below, at: was_at }
                if (was_below, was_at) == (below, at) =>
            {
                return None;
            }
            Stage::Ready { at: ready, below: on }
                if at == Some(ready) && (below.is_none() || below == on) =>
            {
                return None;
            }
            _ => {}
        }
        let below = below?;
        let Some(at) = at else { return Some(Step::Make { below }) };
        if self.macvlans.leaving.contains(&at) {
            return None;
        }
        let device = self.mirror.device(at)?;
        let ours = device.group & !DOOMED == self.macvlans.group;
        let right = device.lower == Some(below) && device.mac() == Some(wanted.macvlan.mac);
        Some(match device.macvlan {
            Some(mode) if right => Step::PutRight { at, mode: mode != MODE_VEPA },
            Some(_) if ours || device.mac().is_some_and(Macvlan::is_virtual) => Step::Delete { at },
            _ => Step::Refuse,
        })
    }

    /// Has the settings of a macvlan made, and of the interface below.
    fn tune(&mut self, index: usize, at: IfIndex) {
        let Macvlans { wanted, settings, below, .. } = &mut self.macvlans;
        let Some(wanted) = wanted.get_mut(index) else { return };
        let text = |device: &Device| String::from_utf8_lossy(&device.name).into_owned();
        let mut push = |interface: &str, all: Settings, borrowed: bool| {
            for &(family, name, value) in all {
                let interface = interface.to_owned();
                settings.push_back(Setting { family, interface, name, value, borrowed });
            }
        };
        if let Some(device) = self.mirror.device(at) {
            wanted.tuned = Some(at);
            let shut: Settings = if wanted.open == Some(at) { &[] } else { &[SHUT] };
            push(&text(device), shut, false);
            push(&text(device), if wanted.macvlan.ipv6 { FOR_IPV6 } else { FOR_IPV4 }, false);
            if let Some(lower) = device.lower
                && let Some(device) = self.mirror.device(lower)
                && below.insert(lower)
            {
                push(&text(device), BELOW, true);
            }
        }
    }

    /// An address is about to be added or deleted: has IPv6 switched on or off before, if that is
    /// on a macvlan of ours.
    pub(super) fn open_or_close_macvlan(&mut self, id: EntryId) {
        let Some(entry) = self.reconciler.entry(id) else { return };
        let link = entry.address.link;
        let Some(&index) = self.macvlans.own.get(&link) else { return };
        let Some(at) = entry.address.ip.is_ipv6().then(|| self.device_of(link)).flatten() else {
            return;
        };
        let reconciler = &self.reconciler;
        let is_wanted = |&id: &EntryId| {
            reconciler.entry(id).is_some_and(|it| it.address.ip.is_ipv6() && it.wanted())
        };
        let carries = reconciler.entries_of(link).iter().any(is_wanted);
        let Some(wanted) = self.macvlans.wanted.get_mut(index) else { return };
        let open = carries.then_some(at);
        // What bears its name and has not been tuned is somebody else's.
        if wanted.tuned == Some(at) && wanted.open != open {
            wanted.open = open;
            let (family, name, value) = if carries { OPEN } else { SHUT };
            let interface = self.names.name(link).to_owned();
            self.macvlans.settings.push_back(Setting {
                family,
                interface,
                name,
                value,
                borrowed: false,
            });
        }
    }

    fn ready(&mut self, index: usize, at: IfIndex) {
        let below = self.mirror.device(at).and_then(|device| device.lower);
        self.macvlans.stage(index, Stage::Ready { at, below });
    }

    fn refuse(&mut self, index: usize, error: i32) {
        let Some(wanted) = self.macvlans.wanted.get(index) else { return };
        let Macvlan { link, base, .. } = wanted.macvlan;
        let stage = Stage::Refused { below: self.device_of(base), at: self.device_of(link) };
        if let Some(wanted) = self.macvlans.wanted.get_mut(index) {
            wanted.stage = stage;
        }
        self.facts.push_back(Fact::MacvlanRefused { link, error });
    }

    /// An answer: whether it is about a macvlan.
    pub(super) fn on_macvlan_answer(&mut self, seq: u32, error: i32) -> bool {
        match self.macvlans.asked.remove(&seq) {
            None => return false,
            Some(Asked::Move(at)) => {
                self.macvlans.moving -= 1;
                if error != 0 {
                    // Most likely it is gone already.
                    self.macvlans.leaving.remove(&at);
                }
                self.macvlans.gathered |= error == 0;
                self.macvlans.delete_gathered();
            }
            Some(Asked::Step { link, was, completes }) => {
                let index = self.macvlans.own.get(&link).copied();
                let asked = |it: &Wanted| matches!(it.stage, Stage::Asked(number) if number == seq);
                // It may have become unwanted meanwhile.
                let Some(index) =
                    index.filter(|&index| self.macvlans.wanted.get(index).is_some_and(asked))
                else {
                    return true;
                };
                match (error, was) {
                    (0, Some(at)) if completes => self.ready(index, at),
                    (0, was) => self.macvlans.stage(index, Stage::Granted(was)),
                    (error, _) => {
                        self.counters.refusals += 1;
                        self.refuse(index, error);
                    }
                }
                self.macvlans.look(index);
            }
        }
        true
    }

    /// What is in flight will be answered by a dump.
    pub(super) fn doubt_macvlans(&mut self) {
        let macvlans = &mut self.macvlans;
        macvlans.asked.clear();
        if std::mem::take(&mut macvlans.moving) > 0 {
            macvlans.doomed.extend(macvlans.leaving.drain());
        }
        for wanted in &mut macvlans.wanted {
            if let Stage::Asked(_) = wanted.stage {
                let watched = self.links.get(wanted.macvlan.link.index());
                wanted.stage = Stage::Granted(watched.and_then(|watched| watched.device));
            }
        }
    }

    /// A dump is complete: what is there is what the mirror shows.
    pub(super) fn review_macvlans(&mut self) {
        let mirror = &self.mirror;
        self.macvlans.leaving.retain(|&at| mirror.device(at).is_some());
        self.macvlans.below.retain(|&at| mirror.device(at).is_some());
        for index in 0..self.macvlans.wanted.len() {
            if let Some(wanted) = self.macvlans.wanted.get_mut(index)
                && let Stage::Granted(_) = wanted.stage
            {
                wanted.stage = Stage::Looking;
            }
            self.macvlans.look(index);
        }
        self.tell_leftovers();
    }

    /// Something about an interface that is, or is below, a macvlan has changed.
    pub(super) fn touch_macvlans(&mut self, link: LinkId) {
        let concerned = self.macvlans.concerned.get(&link).map_or(0, Vec::len);
        for number in 0..concerned {
            let index = self.macvlans.concerned.get(&link).and_then(|all| all.get(number));
            if let Some(&index) = index {
                self.macvlans.look(index);
            }
        }
    }

    /// An interface is gone.
    pub(super) fn macvlan_gone(&mut self, at: IfIndex) {
        self.macvlans.below.remove(&at);
        self.macvlans.doomed.retain(|&doomed| doomed != at);
        if self.macvlans.leaving.remove(&at) {
            self.tell_leftovers();
        }
    }

    fn tell_leftovers(&mut self) {
        if self.macvlans_gone() && self.macvlans.leftovers > 0 {
            let removed = std::mem::take(&mut self.macvlans.leftovers);
            self.facts.push_back(Fact::MacvlansRemoved { removed });
        }
    }

    /// Those that are to go, go together: by our own group if nothing else is or will be in it.
    fn doom(&mut self) {
        let Macvlans { doomed, leaving, group, wanted, asked, removals, .. } = &mut self.macvlans;
        if doomed.is_empty() {
            return;
        }
        doomed.retain(|&at| self.mirror.device(at).is_some());
        leaving.extend(doomed.iter().copied());
        let in_group =
            |at: IfIndex, group| self.mirror.device(at).is_some_and(|device| device.group == group);
        let mut devices = self.mirror.devices();
        let alone = devices.all(|(at, device)| device.group != *group || doomed.contains(&at));
        let all = doomed.iter().all(|&at| in_group(at, *group));
        if alone && all && wanted.is_empty() && asked.is_empty() {
            doomed.clear();
            removals.push_back(*group);
            return;
        }
        let elsewhere = *group | DOOMED;
        let before = doomed.len();
        doomed.retain(|&at| !in_group(at, elsewhere));
        self.macvlans.gathered |= self.macvlans.doomed.len() < before;
        self.macvlans.delete_gathered();
    }

    /// Puts macvlans into the group of the doomed.
    fn write_moves(&mut self, writer: &mut Writer<'_>) {
        let mut count = 0;
        while count < LIGHT_BATCH && writer.has_room() && self.macvlans.asked.len() < WINDOW {
            let Some(at) = self.macvlans.doomed.pop() else { break };
            let seq = self.conversation.number();
            writer.set_group(seq, at, self.macvlans.group | DOOMED);
            self.macvlans.asked.insert(seq, Asked::Move(at));
            self.macvlans.moving += 1;
            count += 1;
        }
        self.counters.requests += count as u64;
    }
}

impl Macvlans {
    /// Makes the table of who is concerned by which link anew, and looks at all of them.
    fn concern(&mut self) {
        self.own.clear();
        self.concerned.clear();
        self.queue.clear();
        for (index, wanted) in self.wanted.iter_mut().enumerate() {
            self.own.insert(wanted.macvlan.link, index);
            for link in [wanted.macvlan.link, wanted.macvlan.base] {
                self.concerned.entry(link).or_default().push(index);
            }
            wanted.queued = true;
            self.queue.push_back(index);
        }
    }

    /// All of the doomed are in the group that is theirs: that is to be deleted.
    fn delete_gathered(&mut self) {
        if self.moving == 0 && self.doomed.is_empty() && std::mem::take(&mut self.gathered) {
            self.removals.push_back(self.group | DOOMED);
        }
    }

    fn stage(&mut self, index: usize, stage: Stage) {
        if let Some(wanted) = self.wanted.get_mut(index) {
            wanted.stage = stage;
        }
    }

    fn look(&mut self, index: usize) {
        if let Some(wanted) = self.wanted.get_mut(index)
            && !std::mem::replace(&mut wanted.queued, true)
        {
            self.queue.push_back(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use netlink_packet_route::link::MacVlanMode;

    use super::*;
    use crate::base::{LinkNames, Mac, Scope, VirtualAddress};
    use crate::kernel::model::{Kernel, OnTop, Received};
    use crate::kernel::{Request, Socket};

    const BELOW: LinkId = LinkId(0);
    const OWN: u32 = 0x4000_0010;

    struct Bench {
        host: Host,
        kernel: Kernel,
        settings: Vec<Setting>,
        removals: usize,
    }

    /// The macvlan `vrrp.N` on `eth0`.
    fn macvlan(n: u8) -> Macvlan {
        let mac = Macvlan::virtual_mac(false, n);
        Macvlan { link: LinkId(n.into()), base: BELOW, mac, ipv6: false, group: None }
    }

    impl Bench {
        /// `eth0` exists; `vrrp.1` to `vrrp.40` are names that are watched.
        fn new(prepare: impl FnOnce(&mut Kernel)) -> Self {
            let mut names = LinkNames::default();
            names.intern("eth0");
            for n in 1..=40 {
                names.intern(&format!("vrrp.{n}"));
            }
            let mut host = Host::new(&names);
            host.set_macvlan_group(OWN);
            let mut kernel = Kernel::new(10_000, 10_000);
            kernel.create("eth0");
            prepare(&mut kernel);
            let mut bench = Bench { host, kernel, settings: Vec::new(), removals: 0 };
            assert!(bench.settle().contains(&Fact::Synchronised));
            bench
        }

        fn send(&mut self) -> bool {
            let mut buffer = [0; Host::REQUEST_BUFFER];
            let request = self.host.next_request(&mut buffer);
            self.settings.extend(std::iter::from_fn(|| self.host.next_setting()));
            let Some(Request { to, len }) = request else {
                let Some(len) = self.host.next_removal(&mut buffer) else { return false };
                self.removals += 1;
                // The thread that sends it has a socket of its own; here it may be ours, whose
                // answers to it are nobody's.
                self.kernel.send_command(&buffer[..len]);
                return true;
            };
            match to {
                Socket::Command => self.kernel.send_command(&buffer[..len]),
                Socket::Monitor => self.kernel.send_monitor(&buffer[..len]),
            }
            true
        }

        fn read_command(&mut self) -> bool {
            match self.kernel.receive_command() {
                Some(Received::Datagram(bytes)) => self.host.on_command(&bytes),
                Some(Received::Overrun) => self.host.on_command_lost(),
                None => return false,
            }
            true
        }

        fn read_monitor(&mut self) -> bool {
            match self.kernel.receive_monitor() {
                Some(Received::Datagram(bytes)) => self.host.on_monitor(&bytes),
                Some(Received::Overrun) => self.host.on_monitor_overrun(),
                None => return false,
            }
            true
        }

        fn settle(&mut self) -> Vec<Fact> {
            while [self.send(), self.read_command(), self.read_monitor()] != [false; 3] {}
            std::iter::from_fn(|| self.host.next_fact()).collect()
        }

        /// The macvlans that there are: number, group, whether up.
        fn there(&self) -> Vec<(u8, u32, bool)> {
            let macvlans = self.kernel.devices.values().filter(|it| it.macvlan.is_some());
            macvlans.map(|it| (it.macvlan.as_ref().unwrap().mac[5], it.group, it.up)).collect()
        }
    }

    fn premade(kernel: &mut Kernel, name: &str, last: u8, group: u32) {
        kernel.create(name);
        let (lower, at) = (kernel.find("eth0").unwrap(), kernel.find(name).unwrap());
        let device = kernel.devices.get_mut(&at).unwrap();
        let mac = Macvlan::virtual_mac(false, last).0.to_vec();
        device.macvlan = Some(OnTop { lower, mac, mode: MacVlanMode::Private });
        device.group = group;
        kernel.set_up(name, false);
    }

    #[test]
    fn they_are_made_up_and_tuned_once_and_removed_by_one_request() {
        let mut bench = Bench::new(|_| {});
        let all: Vec<Macvlan> = (1..=40).map(macvlan).collect();
        bench.host.want_macvlans(&all);
        assert!(!bench.host.macvlans_settled());
        bench.settle();
        assert!(bench.host.macvlans_settled());
        assert_eq!(bench.there(), (1..=40).map(|n| (n, OWN, true)).collect::<Vec<_>>());
        assert_eq!(bench.settings.len(), 40 * (FOR_IPV4.len() + 1) + BELOW_SETTINGS);
        let first = &bench.settings[0];
        assert_eq!(
            (&*first.interface, first.name, first.borrowed),
            ("vrrp.1", "disable_ipv6", false)
        );
        let requests = bench.host.counters().requests;
        assert_eq!(requests, 80);

        // Nothing about them is new.
        bench.host.want_macvlans(&all);
        bench.settle();
        assert_eq!(bench.host.counters().requests, requests);

        bench.host.want_macvlans([]);
        bench.settle();
        assert!(bench.host.macvlans_gone() && bench.there().is_empty());
        assert_eq!((bench.removals, bench.host.counters().requests), (1, requests));
    }

    const BELOW_SETTINGS: usize = super::BELOW.len();

    #[test]
    fn ipv6_is_on_while_an_address_is_wanted() {
        let mut bench = Bench::new(|_| {});
        let six = Macvlan { ipv6: true, mac: Macvlan::virtual_mac(true, 1), ..macvlan(1) };
        bench.host.want_macvlans(&[six]);
        bench.settle();
        let address = |last: u16| VirtualAddress {
            ip: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into(),
            prefix_len: 64,
            link: six.link,
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        };
        // Two virtual routers that share it.
        let (one, other) = ([address(1), address(2)], [address(3)]);
        let mut said = Vec::new();
        let steps: [(u32, &[VirtualAddress], bool); 5] = [
            (0, &one, true),
            (1, &other, true),
            (0, &one, false),
            (1, &other, false),
            (1, &one, true),
        ];
        for (owner, addresses, wanted) in steps {
            match wanted {
                true => bench.host.set(owner, addresses),
                false => bench.host.unset(owner, addresses),
            }
            bench.settle();
            let switch = bench.settings.drain(..).filter(|it| it.name == "disable_ipv6");
            said.push(switch.map(|it| it.value).collect::<Vec<u8>>());
        }
        assert_eq!(said, [&[1, 0][..], &[], &[], &[1], &[0]]);
    }

    #[test]
    fn some_of_them_are_removed_by_a_group_of_their_own() {
        let mut bench = Bench::new(|_| {});
        let all: Vec<Macvlan> = (1..=9).map(macvlan).collect();
        bench.host.want_macvlans(&all);
        bench.settle();
        bench.host.want_macvlans(&all[..4]);
        bench.settle();
        assert_eq!(bench.there(), (1..=4).map(|n| (n, OWN, true)).collect::<Vec<_>>());
        assert_eq!(bench.removals, 1);
        // Somebody puts another interface into our group: that is not ours to delete.
        bench.kernel.create("other");
        let other = bench.kernel.find("other").unwrap();
        bench.kernel.devices.get_mut(&other).unwrap().group = OWN;
        bench.kernel.set_up("other", false);
        bench.settle();
        bench.host.want_macvlans([]);
        bench.settle();
        assert_eq!(bench.there(), []);
        assert!(bench.kernel.find("other").is_some());
    }

    #[test]
    fn what_is_right_is_used_what_is_ours_and_wrong_replaced_and_leftovers_go() {
        let mut bench = Bench::new(|kernel| {
            premade(kernel, "vrrp.1", 1, 0);
            premade(kernel, "vrrp.2", 77, OWN);
            premade(kernel, "vrrp.3", 3, OWN);
            premade(kernel, "old", 4, OWN | 1);
            premade(kernel, "theirs", 5, 0);
        });
        let kept = bench.kernel.find("vrrp.1");
        bench.host.want_macvlans(&[macvlan(1), macvlan(2)]);
        let facts = bench.settle();
        assert!(facts.contains(&Fact::MacvlansRemoved { removed: 2 }), "{facts:?}");
        assert_eq!(bench.kernel.find("vrrp.1"), kept);
        assert!(bench.kernel.find("vrrp.3").is_none() && bench.kernel.find("old").is_none());
        let mut there = bench.there();
        there.sort_unstable();
        assert_eq!(there, [(1, OWN, true), (2, OWN, true), (5, 0, false)]);
        let modes = bench.kernel.devices.values().filter(|it| it.group == OWN);
        assert!(modes.clone().all(|it| it.macvlan.as_ref().unwrap().mode == MacVlanMode::Vepa));
    }

    #[test]
    fn a_name_that_somebody_has_is_refused_until_it_is_free() {
        let mut bench = Bench::new(|kernel| kernel.create("vrrp.1"));
        bench.host.want_macvlans(&[macvlan(1)]);
        let facts = bench.settle();
        assert!(facts.contains(&Fact::MacvlanRefused { link: LinkId(1), error: libc::EEXIST }));
        assert!(bench.host.macvlans_settled());
        bench.kernel.delete("vrrp.1");
        bench.settle();
        assert_eq!(bench.there(), [(1, OWN, true)]);
    }

    #[test]
    fn they_come_back_with_the_interface_below() {
        let mut bench = Bench::new(|_| {});
        bench.host.want_macvlans(&[macvlan(1), macvlan(2)]);
        bench.settle();
        bench.kernel.delete("eth0");
        bench.settle();
        assert!(bench.there().is_empty());
        assert!(bench.host.macvlans_settled(), "nothing can be done");
        bench.settings.clear();
        bench.kernel.create("eth0");
        bench.settle();
        assert_eq!(bench.there(), [(1, OWN, true), (2, OWN, true)]);
        assert_eq!(bench.settings.len(), 2 * (FOR_IPV4.len() + 1) + BELOW_SETTINGS);
        // Another interface bears its name: they move there.
        bench.kernel.rename("eth0", "old");
        bench.settle();
        assert_eq!(bench.there(), [(1, OWN, true), (2, OWN, true)], "they wait");
        bench.kernel.create("eth0");
        bench.settle();
        assert_eq!(bench.there(), [(1, OWN, true), (2, OWN, true)]);
        let below = bench.kernel.find("eth0").unwrap();
        let all = bench.kernel.devices.values().filter_map(|it| it.macvlan.as_ref());
        assert!(all.clone().all(|it| it.lower == below));
        // And when somebody deletes one.
        bench.kernel.delete("vrrp.2");
        bench.settle();
        assert_eq!(bench.there(), [(1, OWN, true), (2, OWN, true)]);
    }

    /// Answers and events are lost: a dump tells what became of it all.
    #[test]
    fn lost_answers_and_events_are_made_good_by_a_dump() {
        for (monitor, command) in [(10_000, 3), (3, 10_000), (3, 3)] {
            let mut bench = Bench::new(|_| {});
            bench.kernel.set_capacity(monitor, command);
            let all: Vec<Macvlan> = (1..=40).map(macvlan).collect();
            bench.host.want_macvlans(&all);
            bench.settle();
            assert!(bench.host.macvlans_settled(), "{monitor} {command}");
            assert_eq!(bench.there().iter().filter(|it| it.2).count(), 40);
            bench.host.want_macvlans(&all[..1]);
            bench.settle();
            assert!(bench.host.macvlans_gone(), "{monitor} {command}");
            assert_eq!(bench.there(), [(1, OWN, true)]);
        }
    }

    #[test]
    fn virtual_macs_are_those_of_the_rfc() {
        assert_eq!(macvlan(51).mac, Mac([0, 0, 0x5e, 0, 1, 51]));
        assert_eq!(Macvlan::virtual_mac(true, 51), Mac([0, 0, 0x5e, 0, 2, 51]));
        assert!(!Macvlan::is_virtual(Mac([0, 0, 0x5e, 0, 3, 1])));
    }
}
