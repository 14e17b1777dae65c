//! **iproute2's names** of routing tables, protocols, scopes, realms and others, as `ip(8)` reads
//! them: `/etc/iproute2` before `/usr/share/iproute2`, and both directories' `*.d`.

use std::collections::BTreeMap;
use std::path::Path;

use super::keywords::{Place, global, instance, root};
use super::model::Section;
use super::source::Files;

/// The numbers that names stand for, read once for a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    kinds: [BTreeMap<String, u32>; 6],
}

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameOf {
    /// `rt_tables`.
    Table,
    /// `rt_protos`.
    Protocol,
    /// `rt_scopes`.
    Scope,
    /// `rt_realms`.
    Realm,
    /// `rt_dsfield`.
    Service,
    /// `group`: of interfaces.
    Group,
}

const ALL: [NameOf; 6] =
    [NameOf::Table, NameOf::Protocol, NameOf::Scope, NameOf::Realm, NameOf::Service, NameOf::Group];

impl NameOf {
    fn file(self) -> &'static str {
        match self {
            NameOf::Table => "rt_tables",
            NameOf::Protocol => "rt_protos",
            NameOf::Scope => "rt_scopes",
            NameOf::Realm => "rt_realms",
            NameOf::Service => "rt_dsfield",
            NameOf::Group => "group",
        }
    }

    /// What it is for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            NameOf::Table => "routing table",
            NameOf::Protocol => "routing protocol",
            NameOf::Scope => "scope",
            NameOf::Realm => "realm",
            NameOf::Service => "type of service",
            NameOf::Group => "group of interfaces",
        }
    }

    fn greatest(self) -> u32 {
        match self {
            NameOf::Table | NameOf::Group => u32::MAX,
            NameOf::Realm => 0xffff,
            NameOf::Protocol | NameOf::Scope | NameOf::Service => 0xff,
        }
    }

    /// What needs no file.
    fn builtin(self) -> &'static [(&'static str, u32)] {
        match self {
            NameOf::Table => &[("unspec", 0), ("default", 253), ("main", 254), ("local", 255)],
            NameOf::Protocol => &[
                ("unspec", 0),
                ("redirect", 1),
                ("kernel", 2),
                ("boot", 3),
                ("static", 4),
                ("gated", 8),
                ("ra", 9),
                ("mrt", 10),
                ("zebra", 11),
                ("bird", 12),
                ("dnrouted", 13),
                ("xorp", 14),
                ("ntk", 15),
                ("dhcp", 16),
                ("keepalived", 18),
                ("babel", 42),
                ("bgp", 186),
                ("isis", 187),
                ("ospf", 188),
                ("rip", 189),
                ("eigrp", 192),
            ],
            NameOf::Scope => {
                &[("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)]
            }
            NameOf::Realm => &[("cosmos", 0)],
            NameOf::Service => &[("default", 0)],
            NameOf::Group => &[("default", 0)],
        }
    }
}

impl Names {
    /// Reads them if the configuration has any route or rule.
    pub(crate) fn read(model: &Section, globals: &Section, files: &dyn Files) -> Self {
        let mut names = Names::default();
        if !has_ways(model) {
            return names;
        }
        let usr = globals.text(global::IPROUTE_USR_DIR).unwrap_or("/usr/share/iproute2");
        let etc = globals.text(global::IPROUTE_ETC_DIR).unwrap_or("/etc/iproute2");
        for (kind, found) in ALL.into_iter().zip(&mut names.kinds) {
            let builtin = kind.builtin().iter().map(|&(name, number)| (name.to_owned(), number));
            found.extend(builtin);
            let file = kind.file();
            let main = [etc, usr].map(|directory| Path::new(directory).join(file));
            if let Some(text) = main.iter().find_map(|path| files.read(path).ok()) {
                add(found, kind, &text);
            }
            for directory in [usr, etc] {
                for path in files.glob(&format!("{directory}/{file}.d/*.conf")) {
                    add(found, kind, &files.read(&path).unwrap_or_default());
                }
            }
        }
        names
    }

    /// The number that a word is, or the name of.
    pub(crate) fn find(&self, of: NameOf, word: &str) -> Option<u32> {
        // Types of service are hexadecimal, with or without a sign of that.
        let number = match of {
            NameOf::Service => {
                let digits = word.strip_prefix("0x").unwrap_or(word);
                u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
            }
            _ => number(word),
        };
        let named = || self.kinds[of as usize].get(word).copied();
        named().or(number).filter(|number| *number <= of.greatest())
    }

    /// All names of that kind.
    pub(crate) fn all(&self, of: NameOf) -> impl Iterator<Item = &str> {
        self.kinds[of as usize].keys().map(String::as_str)
    }
}

fn has_ways(model: &Section) -> bool {
    let lines = |section: &Section, key| section.lines(key).next().is_some();
    lines(model, root::STATIC_ROUTES)
        || lines(model, root::STATIC_RULES)
        || model.settings.iter().any(|setting| match &setting.value {
            super::model::Value::Block(block) if block.place == Place::Instance => {
                lines(block, instance::VIRTUAL_ROUTES) || lines(block, instance::VIRTUAL_RULES)
            }
            _ => false,
        })
}

/// Lines such as `254 main`; what isn't one is passed over, as `ip` does with a complaint.
fn add(found: &mut BTreeMap<String, u32>, kind: NameOf, text: &[u8]) {
    for line in String::from_utf8_lossy(text).lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        if let (Some(word), Some(name)) = (words.next(), words.next())
            && let Some(number) = number(word).filter(|number| *number <= kind.greatest())
        {
            found.insert(name.to_owned(), number);
        }
    }
}

/// A decimal or hexadecimal number.
pub(crate) fn number(word: &str) -> Option<u32> {
    let number = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    number.ok().filter(|_| !word.contains('+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryFiles;
    use crate::config::model::{Entry, Setting, Value};
    use crate::config::source::TextSpan;

    fn names(files: &MemoryFiles) -> Names {
        let span = TextSpan::default();
        let line = Entry { items: Vec::new(), options: Vec::new(), span };
        let value = Value::Lines(vec![line]);
        let mut model = Section::new(Place::Root, None);
        model.settings.push(Setting { key: root::STATIC_ROUTES, span, value });
        Names::read(&model, &Section::new(Place::Global, None), files)
    }

    #[test]
    fn numbers_and_the_usual_names_need_no_file() {
        let names = names(&MemoryFiles::new());
        for (of, word, number) in [
            (NameOf::Table, "main", Some(254)),
            (NameOf::Table, "4000000000", Some(4_000_000_000)),
            (NameOf::Table, "0x10", Some(16)),
            (NameOf::Table, "blue", None),
            (NameOf::Protocol, "keepalived", Some(18)),
            (NameOf::Protocol, "256", None),
            (NameOf::Scope, "link", Some(253)),
            (NameOf::Service, "0x10", Some(16)),
            (NameOf::Service, "10", Some(16)),
        ] {
            assert_eq!(names.find(of, word), number, "{word}");
        }
    }

    #[test]
    fn the_hosts_files_come_first_and_directories_add_to_them() {
        let files = MemoryFiles::new()
            .with("/usr/share/iproute2/rt_tables", "7 seven\n8 only_in_usr\n")
            .with(
                "/etc/iproute2/rt_tables",
                "# a comment\n 100\tblue # another\nnonsense\n0x65 red\n",
            )
            .with("/etc/iproute2/rt_tables.d/more.conf", "102 green\n")
            .with("/usr/share/iproute2/rt_tables.d/more.conf", "103 green\n104 grey\n")
            .with("/etc/iproute2/rt_tables.d/ignored", "105 ignored\n")
            .with("/usr/share/iproute2/rt_protos", "99 openr\n");
        let names = names(&files);
        let table = |word| names.find(NameOf::Table, word);
        assert_eq!(
            ["blue", "red", "green", "grey", "seven", "ignored", "main"].map(table),
            [Some(100), Some(101), Some(102), Some(104), None, None, Some(254)]
        );
        assert_eq!(names.find(NameOf::Protocol, "openr"), Some(99));
    }
}
