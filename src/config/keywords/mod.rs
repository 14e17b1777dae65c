//! **The keyword table**: every word of the language, where it may stand, what follows it, what it
//! is if it isn't given, and what it does.
//!
//! The parser, the diagnostics, the canonical printer and the test of the manual page all read
//! this table; nothing about a keyword is written twice.

pub mod address;
pub mod global;
pub mod instance;
pub mod root;
pub mod tracking;

use std::collections::HashMap;
use std::sync::LazyLock;

/// A block of the language: what its keywords mean depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Outside of all blocks.
    Root,
    /// `global_defs`.
    Global,
    /// `vrrp_instance`.
    Instance,
    /// A line of `virtual_ipaddress`, `virtual_ipaddress_excluded` or `static_ipaddress`.
    Address,
    /// A line of `track_interface`.
    TrackInterface,
}

/// A keyword of a place; small enough to stand in every setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    place: Place,
    index: u16,
}

/// All that is known of a keyword.
#[derive(Debug)]
pub struct Keyword {
    /// Where it stands in the table.
    pub key: Key,
    /// How it is written.
    pub name: &'static str,
    /// Other names of it that keepalived has or had.
    pub aliases: &'static [&'static str],
    /// What follows it.
    pub shape: Shape,
    /// What holds if it isn't given, in the words of the manual page; empty if nothing does.
    pub default: &'static str,
    /// What `viprd` does with it.
    pub effect: Effect,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

/// What follows a keyword.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Nothing.
    Flag,
    /// Values, in this order; those that are optional may be left out.
    Args(&'static [Arg]),
    /// A block of settings, with a name before it if the block has one.
    Block(Place, Naming),
    /// A block whose lines each describe one thing.
    Lines(Place),
    /// A block in which every word is an entry.
    Words(Arg),
    /// Anything, with or without a block: it is skipped.
    Anything,
}

/// Whether a block has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// It has none.
    Unnamed,
    /// It has one, and no other block of its kind has the same.
    Named,
}

/// One value of a keyword.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arg {
    /// What it can be.
    pub kind: Kind,
    /// How the manual page calls it.
    pub name: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether more of its kind may follow.
    pub repeats: bool,
}

/// What a value can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number from the first to the second, in a unit (empty for a mere number).
    Int(i64, i64, &'static str),
    /// Seconds with up to six decimals, from the first to the second in microseconds.
    Seconds(u64, u64),
    /// `on`, `true`, `yes`, `off`, `false` or `no`.
    Bool,
    /// Any word.
    Word,
    /// The name of an interface: at most 15 bytes, no `/`.
    Interface,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An address of either family.
    Ip,
    /// An address, with `/` and a prefix length or without.
    Prefix,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `+`, `-` or an address: a broadcast address.
    Broadcast,
    /// A name or a number from 0 to 255: an address scope.
    Scope,
    /// An address label: at most 15 bytes.
    Label,
}

/// What `viprd` does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It works.
    Works,
    /// It is read, checked, kept and printed; the daemon doesn't act on it yet.
    NotYet,
    /// It is accepted, and there is nothing here for it to do; the reason.
    Moot(&'static str),
    /// It belongs to a part of keepalived that isn't VRRP.
    OutOfScope,
}

impl Key {
    /// All about it.
    pub fn keyword(self) -> &'static Keyword {
        // Keys are made by the tables below, so the index is in range; the first keyword of the
        // table is a harmless answer should that ever be wrong.
        let table = self.place.keywords();
        table.get(self.index as usize).unwrap_or(&table[0])
    }

    /// Where it stands.
    pub fn place(self) -> Place {
        self.place
    }
}

impl Place {
    /// All places, outermost first.
    pub const ALL: [Place; 5] =
        [Place::Root, Place::Global, Place::Instance, Place::Address, Place::TrackInterface];

    /// The keywords that may stand there, in the order of the manual page.
    pub fn keywords(self) -> &'static [Keyword] {
        match self {
            Place::Root => root::TABLE,
            Place::Global => global::TABLE,
            Place::Instance => instance::TABLE,
            Place::Address => address::TABLE,
            Place::TrackInterface => tracking::INTERFACE_TABLE,
        }
    }

    /// What a line of it begins with, if it is a place of lines.
    pub fn subject(self) -> Option<Arg> {
        match self {
            Place::Address => Some(arg(Kind::Prefix, "ADDRESS[/LENGTH]")),
            Place::TrackInterface => Some(arg(Kind::Interface, "INTERFACE")),
            Place::Root | Place::Global | Place::Instance => None,
        }
    }

    /// The keyword that a word is there.
    pub fn find(self, word: &str) -> Option<&'static Keyword> {
        static FOUND: LazyLock<HashMap<(Place, &'static str), &'static Keyword>> =
            LazyLock::new(|| {
                let all = Place::ALL.into_iter().flat_map(|place| {
                    place.keywords().iter().flat_map(move |keyword| {
                        let names = keyword.aliases.iter().copied().chain([keyword.name]);
                        names.map(move |name| ((place, name), keyword))
                    })
                });
                all.collect()
            });
        FOUND.get(&(self, word)).copied()
    }

    /// Every name that means something there, aliases too.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let names =
            |keyword: &'static Keyword| keyword.aliases.iter().copied().chain([keyword.name]);
        self.keywords().iter().flat_map(names)
    }

    /// The keyword that opens it.
    pub fn opened_by(self) -> Option<&'static Keyword> {
        let opens = |keyword: &&Keyword| match keyword.shape {
            Shape::Block(place, _) | Shape::Lines(place) => place == self,
            _ => false,
        };
        Place::ALL.into_iter().flat_map(|place| place.keywords()).find(opens)
    }

    /// How people call it: the keyword that opens it.
    pub fn title(self) -> &'static str {
        match self {
            Place::Root => "the top level",
            Place::Address => "an address line",
            _ => self.opened_by().map_or("", |keyword| keyword.name),
        }
    }
}

/// A value that must be given.
pub(crate) const fn arg(kind: Kind, name: &'static str) -> Arg {
    Arg { kind, name, optional: false, repeats: false }
}

/// A value that may be left out.
pub(crate) const fn maybe(kind: Kind, name: &'static str) -> Arg {
    Arg { kind, name, optional: true, repeats: false }
}

/// Defines the keywords of a place: a constant [`Key`] for each, and the table of all.
macro_rules! keywords {
    (
        $table:ident of $place:ident;
        $( $key:ident $name:literal $(or $alias:literal)* : $shape:expr, $default:literal, $effect:expr, $doc:literal; )*
    ) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($key),* }

        $( #[doc = $doc] pub const $key: $crate::config::keywords::Key =
            $crate::config::keywords::key($crate::config::keywords::Place::$place, Index::$key as u16); )*

        /// The keywords of this place, in the order of the manual page.
        pub static $table: &[$crate::config::keywords::Keyword] = &[
            $( $crate::config::keywords::Keyword {
                key: $key, name: $name, aliases: &[$($alias),*], shape: $shape,
                default: $default, effect: $effect, doc: $doc,
            }, )*
        ];
    };
}
use keywords;

const fn key(place: Place, index: u16) -> Key {
    Key { place, index }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Keyword> {
        Place::ALL.into_iter().flat_map(|place| place.keywords())
    }

    #[test]
    fn keys_lead_to_their_keywords_and_names_are_unique() {
        for place in Place::ALL {
            let mut names: Vec<_> = place.names().collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{place:?} has a name twice");
            for keyword in place.keywords() {
                assert_eq!(keyword.key.keyword().name, keyword.name);
                assert_eq!(place.find(keyword.name).map(|found| found.key), Some(keyword.key));
            }
        }
    }

    #[test]
    fn each_has_one_sentence() {
        for keyword in all() {
            let (doc, name) = (keyword.doc, keyword.name);
            assert!(doc.ends_with('.') && doc.len() > 10, "{name}: {doc}");
            assert!(!doc.starts_with(char::is_lowercase), "{name}: {doc}");
        }
    }

    #[test]
    fn optional_values_come_last() {
        for keyword in all() {
            if let Shape::Args(args) = keyword.shape {
                assert!(!args.is_empty(), "{}", keyword.name);
                let repeats = args.iter().filter(|arg| arg.repeats).count();
                assert!(repeats <= 1, "{}", keyword.name);
            }
        }
    }
}
