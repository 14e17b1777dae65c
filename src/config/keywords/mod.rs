//! **The keyword table**: every word of the language, where it may stand, what follows it, what it
//! is if it isn't given, and what it does.
//!
//! The parser, the diagnostics, the canonical printer and the test of the manual page all read
//! this table; nothing about a keyword is written twice.

pub mod address;
pub mod global;
pub mod group;
pub mod instance;
pub mod root;
pub mod route;
pub mod tracking;

use std::collections::HashMap;
use std::sync::LazyLock;

/// A block of the language, or a line of one: what a keyword means depends on where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Outside of all blocks.
    Root,
    /// `global_defs`.
    Global,
    /// A line of `notification_email`.
    Email,
    /// `vrrp_instance`.
    Instance,
    /// `authentication`.
    Authentication,
    /// `auth_hmac`.
    Hmac,
    /// A line of `unicast_peer`.
    UnicastPeer,
    /// A line of `virtual_ipaddress`, `virtual_ipaddress_excluded` or `static_ipaddress`.
    Address,
    /// A line of `virtual_routes` or `static_routes`.
    Route,
    /// A line of `virtual_rules` or `static_rules`.
    Rule,
    /// A line of `track_interface`.
    TrackInterface,
    /// A line of `track_script`.
    TrackScript,
    /// A line of `track_file` inside a virtual router or a group.
    TrackFileUse,
    /// A line of `track_process`.
    TrackProcessUse,
    /// A line of `track_bfd`.
    TrackBfd,
    /// A line of `viprd_track_set` inside a virtual router or a group.
    TrackSetUse,
    /// `vrrp_sync_group`.
    SyncGroup,
    /// `vrrp_script`.
    Script,
    /// `track_file` outside of all blocks.
    TrackFile,
    /// `vrrp_track_process`.
    TrackProcess,
    /// `bfd_instance`.
    Bfd,
    /// `viprd_track_set` outside of all blocks.
    TrackSet,
    /// `track_group`.
    TrackGroup,
    /// `garp_group`.
    GarpGroup,
    /// A line of `interface_up_down_delays`.
    UpDownDelay,
    /// A line of `linkbeat_interfaces`.
    Linkbeat,
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
    /// The same, and the keyword may be given several times.
    List(&'static [Arg]),
    /// A command, and perhaps the user and the group that run it.
    Command,
    /// The same, but the keyword means something without a command too.
    OptionalCommand,
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
    /// Milliseconds with up to three decimals, from the first to the second in microseconds.
    Millis(u64, u64),
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
    /// A seconds count or `forever`.
    Lifetime,
    /// An Ethernet address of six bytes, or its first five.
    Mac,
    /// The name of an interface to be made: one that is nothing else that may follow use_vmac or
    /// use_ipvlan.
    VmacName,
    /// This word, and another one after it.
    Keyed(&'static str),
    /// A destination: an address with or without a prefix length, or `default`, `any`, `all`,
    /// `default6`.
    Net,
    /// A number, or two with `-` between them.
    Range,
    /// A firewall mark and perhaps its mask, decimal or hexadecimal: `N/M`.
    Mark,
    /// MPLS labels: numbers with `/` between them.
    Labels,
    /// A number of milliseconds, or one with the unit `ms` or `s`.
    RouteTime,
    /// `MTU`, `ADVERT` or a number of bytes.
    RxPolicy,
    /// A number (decimal, octal, hexadecimal) or permission bits with `|` between them.
    Umask,
    /// An option of `include_check`.
    IncludeCheck,
}

/// How a line of a block of lines is built.
#[derive(Clone, Copy, Debug)]
pub struct LineShape {
    /// What it begins with.
    pub args: &'static [Arg],
    /// Whether its first value may stand anywhere, or be missing.
    pub free: bool,
}

/// What `viprd` does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It works.
    Works,
    /// It is read, checked, kept and printed; the daemon doesn't act on it yet.
    NotYet,
    /// The same of something that protects or carries addresses: whoever writes it relies on it.
    Missing,
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
    /// All places, in the order of the manual page.
    pub const ALL: [Place; 26] = [
        Place::Root,
        Place::Global,
        Place::Email,
        Place::Instance,
        Place::Authentication,
        Place::Hmac,
        Place::UnicastPeer,
        Place::Address,
        Place::Route,
        Place::Rule,
        Place::TrackInterface,
        Place::TrackScript,
        Place::TrackFileUse,
        Place::TrackProcessUse,
        Place::TrackBfd,
        Place::TrackSetUse,
        Place::SyncGroup,
        Place::Script,
        Place::TrackFile,
        Place::TrackProcess,
        Place::Bfd,
        Place::TrackSet,
        Place::TrackGroup,
        Place::GarpGroup,
        Place::UpDownDelay,
        Place::Linkbeat,
    ];

    /// The keywords that may stand there, in the order of the manual page.
    pub fn keywords(self) -> &'static [Keyword] {
        match self {
            Place::Root => root::TABLE,
            Place::Global => global::TABLE,
            Place::Instance => instance::TABLE,
            Place::Authentication => instance::authentication::TABLE,
            Place::Hmac => instance::hmac::TABLE,
            Place::UnicastPeer => group::peer::TABLE,
            Place::Address => address::TABLE,
            Place::Route => route::routes::TABLE,
            Place::Rule => route::rules::TABLE,
            Place::TrackInterface => tracking::interface::TABLE,
            Place::TrackScript => tracking::script_use::TABLE,
            Place::TrackFileUse => tracking::file_use::TABLE,
            Place::TrackProcessUse => tracking::process_use::TABLE,
            Place::TrackBfd => tracking::bfd_use::TABLE,
            Place::TrackSetUse => tracking::set_use::TABLE,
            Place::SyncGroup => group::sync::TABLE,
            Place::Script => tracking::script::TABLE,
            Place::TrackFile => tracking::file::TABLE,
            Place::TrackProcess => tracking::process::TABLE,
            Place::Bfd => tracking::bfd::TABLE,
            Place::TrackSet => tracking::set::TABLE,
            Place::TrackGroup => group::track::TABLE,
            Place::GarpGroup => group::garp::TABLE,
            Place::Email | Place::UpDownDelay | Place::Linkbeat => &[],
        }
    }

    /// How a line of it is built, if it is a place of lines.
    pub fn line(self) -> Option<LineShape> {
        const NAME: &[Arg] = &[arg(Kind::Word, "NAME")];
        let (args, free): (&[Arg], bool) = match self {
            Place::Email => (const { &[arg(Kind::Word, "ADDRESS")] }, false),
            Place::UnicastPeer => (const { &[arg(Kind::Ip, "ADDRESS")] }, false),
            Place::Address => (const { &[arg(Kind::Prefix, "ADDRESS[/LENGTH]")] }, false),
            Place::Route => (const { &[maybe(Kind::Net, "DESTINATION")] }, true),
            Place::Rule => (&[], true),
            Place::TrackInterface => (const { &[arg(Kind::Interface, "INTERFACE")] }, false),
            Place::TrackScript
            | Place::TrackFileUse
            | Place::TrackProcessUse
            | Place::TrackBfd
            | Place::TrackSetUse => (NAME, false),
            Place::UpDownDelay => {
                const DELAY: Kind = Kind::Seconds(0, 255_000_000);
                let args = const {
                    &[arg(Kind::Interface, "INTERFACE"), arg(DELAY, "DOWN"), maybe(DELAY, "UP")]
                };
                (args, false)
            }
            Place::Linkbeat => {
                const HOW: Kind = Kind::Choice(&["MII", "ETHTOOL", "IOCTL"]);
                let args =
                    const { &[arg(Kind::Interface, "INTERFACE"), maybe(HOW, "MII|ETHTOOL|IOCTL")] };
                (args, false)
            }
            _ => return None,
        };
        Some(LineShape { args, free })
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

    /// The first keyword that opens it.
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
            Place::Route => "a route",
            Place::Rule => "a policy rule",
            _ => self.opened_by().map_or("", |keyword| keyword.name),
        }
    }
}

/// A keyword that stands alone.
const FLAG: Shape = Shape::Flag;
/// A yes or a no; the bare keyword is a yes.
const SWITCH: Shape = Shape::Args(&[maybe(Kind::Bool, "on|off")]);
/// A name of whatever kind.
const NAME: Shape = Shape::Args(&[arg(Kind::Word, "NAME")]);
/// A file or directory.
const FILE: Shape = Shape::Args(&[arg(Kind::Word, "PATH")]);
/// A count of at least one.
const COUNT: Shape = Shape::Args(&[arg(Kind::Int(1, 2_147_483_647, ""), "COUNT")]);
/// Seconds, zero for never.
const DELAY: Shape = Shape::Args(&[arg(Kind::Seconds(0, 4_294_000_000), "SECONDS")]);
/// Microseconds up to ten seconds.
const MICROS: Shape = Shape::Args(&[arg(Kind::Int(0, 10_000_000, "microseconds"), "MICROSECONDS")]);

/// A value that must be given.
pub(crate) const fn arg(kind: Kind, name: &'static str) -> Arg {
    Arg { kind, name, optional: false, repeats: false }
}

/// A value that may be left out.
pub(crate) const fn maybe(kind: Kind, name: &'static str) -> Arg {
    Arg { kind, name, optional: true, repeats: false }
}

/// Any number of values of a kind.
pub(crate) const fn many(kind: Kind, name: &'static str) -> Arg {
    Arg { kind, name, optional: true, repeats: true }
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
            assert!(doc.ends_with('.') && doc.len() >= 8, "{name}: {doc}");
            assert!(!doc.starts_with(char::is_lowercase), "{name}: {doc}");
        }
    }

    #[test]
    fn only_the_last_value_repeats() {
        for keyword in all() {
            if let Shape::Args(args) | Shape::List(args) = keyword.shape {
                assert!(!args.is_empty(), "{}", keyword.name);
                let repeats = args.iter().position(|arg| arg.repeats);
                assert!(repeats.is_none_or(|at| at + 1 == args.len()), "{}", keyword.name);
            }
        }
    }
}
