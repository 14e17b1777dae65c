//! Names: defined twice, defined nowhere, never used; groups and their members; scripts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Check, name_span};
use crate::config::Options;
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::facts::Facts;
use crate::config::keywords::group::{sync, track};
use crate::config::keywords::route::{routes, rules};
use crate::config::keywords::tracking::{bfd, file, process, script, set};
use crate::config::keywords::{Key, Shape, address, global, instance, root, tracking};
use crate::config::model::{Section, Value};
use crate::config::source::TextSpan;

/// A kind of thing that can be tracked.
struct Tracked {
    /// The keyword that defines it.
    defined_by: Key,
    /// What it must have to be of use.
    needs: Key,
    /// The keywords that use it in a virtual router and in a sync group.
    used_by: [Key; 2],
    /// The weight in a line that uses it.
    weight: Key,
}

const TRACKED: [Tracked; 5] = [
    Tracked {
        defined_by: root::VRRP_SCRIPT,
        needs: script::SCRIPT,
        used_by: [instance::TRACK_SCRIPT, sync::TRACK_SCRIPT],
        weight: tracking::script_use::WEIGHT,
    },
    Tracked {
        defined_by: root::TRACK_FILE,
        needs: file::FILE_NAME,
        used_by: [instance::TRACK_FILE, sync::TRACK_FILE],
        weight: tracking::file_use::WEIGHT,
    },
    Tracked {
        defined_by: root::VRRP_TRACK_PROCESS,
        needs: process::PROCESS,
        used_by: [instance::TRACK_PROCESS, sync::TRACK_PROCESS],
        weight: tracking::process_use::WEIGHT,
    },
    Tracked {
        defined_by: root::BFD_INSTANCE,
        needs: bfd::NEIGHBOR_IP,
        used_by: [instance::TRACK_BFD, sync::TRACK_BFD],
        weight: tracking::bfd_use::WEIGHT,
    },
    Tracked {
        defined_by: root::VIPRD_TRACK_SET,
        needs: set::REQUIRE,
        used_by: [instance::VIPRD_TRACK_SET, sync::VIPRD_TRACK_SET],
        weight: tracking::set_use::WEIGHT,
    },
];

impl Check<'_> {
    /// Everything that has a name, and everything that uses one.
    pub(super) fn names(
        &mut self,
        model: &Section,
        globals: &Section,
        routers: &[Facts<'_>],
        options: &Options,
    ) {
        for kind in &TRACKED {
            self.tracked(model, routers, kind);
        }
        self.quorums(model);
        self.sync_groups(model, routers);
        self.track_groups(model, routers);
        self.scripts(model, globals, options);
    }

    fn tracked(&mut self, model: &Section, routers: &[Facts<'_>], kind: &Tracked) {
        let what = kind.defined_by.keyword().name;
        let defined = self.unique(model, kind.defined_by);
        let mut used: HashSet<&str> = HashSet::new();
        let users = routers.iter().map(|router| (router.section, kind.used_by[0]));
        let groups = model.blocks(root::VRRP_SYNC_GROUP).map(|group| (group, kind.used_by[1]));
        for (section, key) in users.chain(groups) {
            for entry in section.lines(key) {
                let Some(name) = entry.name() else { continue };
                if defined.contains_key(name) {
                    used.insert(name);
                } else {
                    let meant =
                        self.undefined(name, entry.subject_span(), what, defined.keys().copied());
                    used.extend(meant);
                }
            }
        }
        if kind.defined_by == root::VRRP_SCRIPT {
            for member in model.blocks(root::VIPRD_TRACK_SET).flat_map(|it| it.words(set::SCRIPTS))
            {
                if defined.contains_key(&*member.text) {
                    used.insert(&member.text);
                } else {
                    let known = defined.keys().copied();
                    used.extend(self.undefined(&member.text, member.span, what, known));
                }
            }
        }
        for (name, section) in &defined {
            let span = name_span(section);
            if section.get(kind.needs).is_none() {
                if section.refused.contains(&kind.needs) {
                    continue;
                }
                let needs = kind.needs.keyword();
                let message = format!("{what} `{name}` has no `{}`", needs.name);
                let example = match needs.shape {
                    Shape::Command => format!("{} \"/path/to/program argument\"", needs.name),
                    Shape::Args([arg, ..]) => format!("{} {}", needs.name, arg.name),
                    _ => needs.name.to_owned(),
                };
                let finding = Diagnostic::new(codes::INCOMPLETE_BLOCK, span, message);
                self.tell(finding.label("left out").help(format!("add a line `{example}`")));
            } else if !used.contains(name) {
                let message = format!("{what} `{name}` is never used");
                let uses = kind.used_by[0].keyword().name;
                let finding = Diagnostic::new(codes::UNUSED_NAME, span, message);
                self.tell(finding.help(format!("name it in a `{uses} {{ … }}`, or remove it")));
            }
        }
    }

    /// Processes of which more must run than may.
    fn quorums(&mut self, model: &Section) {
        for section in model.blocks(root::VRRP_TRACK_PROCESS) {
            let given = |key: Key| Some((section.get(key)?, section.int(key)?));
            if let Some((least, count)) = given(process::QUORUM)
                && let Some((most, limit)) = given(process::QUORUM_MAX)
                && count > limit
            {
                let (first, second) =
                    if least.span < most.span { (least, most) } else { (most, least) };
                let message = format!("{count} processes must run, and no more than {limit} may");
                let finding = Diagnostic::new(codes::CONTRADICTION, second.value_span(), message)
                    .label("left out")
                    .related(first.span, "given here")
                    .help("remove one of the two, or let quorum_max be the larger one");
                self.tell(finding);
            }
        }
    }

    /// The blocks of a kind by name; tells of names that two have.
    fn unique<'m>(&mut self, model: &'m Section, key: Key) -> BTreeMap<&'m str, &'m Section> {
        let what = key.keyword().name;
        let mut found: BTreeMap<&str, &Section> = BTreeMap::new();
        for section in model.blocks(key) {
            if let Some(first) = found.get(section.title()) {
                let message = format!("there is a {what} called `{}` already", section.title());
                let finding = Diagnostic::new(codes::DUPLICATE_NAME, name_span(section), message)
                    .label("this one is left out")
                    .related(name_span(first), "the first one is here")
                    .help("give it a name of its own");
                self.tell(finding);
            } else {
                found.insert(section.title(), section);
            }
        }
        found
    }

    /// Tells of a name that nothing defines; returns the name that was probably meant.
    fn undefined<'n>(
        &mut self,
        name: &str,
        span: TextSpan,
        what: &str,
        known: impl Iterator<Item = &'n str>,
    ) -> Option<&'n str> {
        let message = format!("there is no {what} called `{name}`");
        let finding = Diagnostic::new(codes::UNDEFINED_NAME, span, message).label("left out");
        let near = self.findings.nearest(name, known);
        self.tell(match near {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => {
                finding.help(format!("define it with `{what} {name} {{ … }}`, or remove the line"))
            }
        });
        near
    }

    fn sync_groups(&mut self, model: &Section, routers: &[Facts<'_>]) {
        let by_name: BTreeMap<&str, &Facts<'_>> =
            routers.iter().map(|router| (router.name(), router)).collect();
        let groups = self.unique(model, root::VRRP_SYNC_GROUP);
        let mut member_of: HashMap<&str, (&Section, TextSpan)> = HashMap::new();
        for group in model.blocks(root::VRRP_SYNC_GROUP) {
            if !groups.get(group.title()).is_some_and(|first| std::ptr::eq(*first, group)) {
                continue;
            }
            let others: HashSet<&str> =
                group.words(sync::GROUP).map(|member| &*member.text).collect();
            let mut count = 0;
            let mut unclear = group.refused.contains(&sync::GROUP);
            for member in group.words(sync::GROUP) {
                let name: &str = &member.text;
                let Some(router) = by_name.get(name) else {
                    let known = by_name.keys().copied().filter(|name| !others.contains(name));
                    self.undefined(name, member.span, "vrrp_instance", known);
                    unclear = true;
                    continue;
                };
                if let Some((other, span)) = member_of.get(name) {
                    let message =
                        format!("`{name}` is in the sync group `{}` already", other.title());
                    let finding = Diagnostic::new(codes::IN_TWO_GROUPS, member.span, message)
                        .label("left out here")
                        .related(*span, "first named here")
                        .help("a virtual router can be in one sync group only");
                    self.tell(finding);
                    unclear = true;
                    continue;
                }
                member_of.insert(name, (group, member.span));
                count += 1;
                if !group.is_set(sync::SYNC_GROUP_TRACKING_WEIGHT) {
                    self.member_weights(router, group);
                }
            }
            if count < 2 && !unclear {
                let (message, label) = match count {
                    0 => (format!("sync group `{}` has no members", group.title()), "left out"),
                    _ => (
                        format!("sync group `{}` has only one member", group.title()),
                        "nothing to synchronise",
                    ),
                };
                let finding = Diagnostic::new(codes::SMALL_GROUP, name_span(group), message)
                    .label(label)
                    .help("name its virtual routers in `group { … }`");
                self.tell(finding);
            }
        }
    }

    /// Weights of a member: the group decides for all.
    fn member_weights(&mut self, router: &Facts<'_>, group: &Section) {
        if router.is_owner() {
            return;
        }
        let interfaces = (instance::TRACK_INTERFACE, tracking::interface::WEIGHT);
        let others = TRACKED.iter().map(|kind| (kind.used_by[0], kind.weight));
        for (key, weight) in others.chain([interfaces]) {
            for entry in router.section.lines(key) {
                let Some(weight) = entry.get(weight).filter(|weight| weight.int() != Some(0))
                else {
                    continue;
                };
                let message = format!(
                    "this weight has no effect: `{}` is in the sync group `{}`",
                    router.name(),
                    group.title()
                );
                let finding = Diagnostic::new(codes::WEIGHT_IGNORED, weight.value_span(), message)
                    .label("taken as 0: its failure is a fault")
                    .help("let the group track it, or write `sync_group_tracking_weight` into the group");
                self.tell(finding);
            }
        }
    }

    fn track_groups(&mut self, model: &Section, routers: &[Facts<'_>]) {
        let names: BTreeSet<&str> = routers.iter().map(Facts::name).collect();
        let groups = self.unique(model, root::TRACK_GROUP);
        for group in model.blocks(root::TRACK_GROUP) {
            for member in group.words(track::GROUP) {
                if !names.contains(&*member.text) {
                    self.undefined(
                        &member.text,
                        member.span,
                        "vrrp_instance",
                        names.iter().copied(),
                    );
                }
            }
        }
        for (lines, option) in [
            (root::STATIC_IPADDRESS, address::TRACK_GROUP),
            (root::STATIC_ROUTES, routes::TRACK_GROUP),
            (root::STATIC_RULES, rules::TRACK_GROUP),
        ] {
            for entry in model.lines(lines) {
                let Some(setting) = entry.get(option) else { continue };
                let Some(name) = setting.text().filter(|name| !groups.contains_key(name)) else {
                    continue;
                };
                self.undefined(name, setting.value_span(), "track_group", groups.keys().copied());
            }
        }
    }

    /// Scripts that run as root although others might be able to change them.
    fn scripts(&mut self, model: &Section, globals: &Section, options: &Options) {
        if globals.is_set(global::ENABLE_SCRIPT_SECURITY) {
            return;
        }
        let default = globals.text(global::SCRIPT_USER).or(options.script_user.as_deref());
        let is_root = |user: Option<&str>| matches!(user.or(default), None | Some("root" | "0"));
        let sections = model.settings.iter().filter_map(|setting| match &setting.value {
            Value::Block(section) => Some(&**section),
            _ => None,
        });
        for section in sections {
            for setting in &section.settings {
                let Value::Command(command) = &setting.value else { continue };
                let user = command.user.as_deref().or_else(|| section.text(script::USER));
                if is_root(user) {
                    let message = "scripts run as root, but nothing checks whether somebody else can change them";
                    self.tell(
                        Diagnostic::new(codes::INSECURE_SCRIPTS, setting.span, message)
                            .label("such as this one")
                            .help("write `enable_script_security` into `global_defs`")
                            .help("or let another user run them: `script_user NAME`"),
                    );
                    return;
                }
            }
        }
    }

    /// Delays of interfaces that outlast a missing master.
    pub(super) fn delays(&mut self, model: &Section, routers: &[Facts<'_>]) {
        use crate::config::model::Datum;
        let mut entries = model.lines(root::INTERFACE_UP_DOWN_DELAYS).peekable();
        if entries.peek().is_none() {
            return;
        }
        let on_interface: HashMap<&str, &Facts<'_>> =
            routers.iter().rev().filter_map(|router| Some((router.interface?, router))).collect();
        for entry in entries {
            let Some(name) = entry.name() else { continue };
            if let Some(router) = on_interface.get(name) {
                let adverts = router
                    .section
                    .int(instance::DOWN_TIMER_ADVERTS)
                    .or_else(|| router.globals.int(global::VRRP_DOWN_TIMER_ADVERTS))
                    .unwrap_or(3);
                let most =
                    router.interval().1.span().times(adverts.unsigned_abs().saturating_sub(1));
                let too_long = entry
                    .items
                    .iter()
                    .skip(1)
                    .find(|item| matches!(&item.datum, Datum::Time(delay) if *delay > most));
                if let Some(item) = too_long {
                    let message = format!(
                        "this delay is longer than {most} seconds, after which others already miss the adverts of `{}`",
                        router.name()
                    );
                    let finding = Diagnostic::new(codes::DELAY_TOO_LONG, item.span, message);
                    self.tell(
                        finding
                            .label(format!("{most} is used instead"))
                            .help(format!("write {most} or less")),
                    );
                }
            }
        }
    }
}
