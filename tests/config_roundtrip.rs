//! Whatever can be configured can be printed and read back: models made by chance from the keyword
//! table, every kind of value in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use viprd::base::Span;
use viprd::config::command::Command;
use viprd::config::keywords::{Arg, Key, Kind, Naming, Place, Shape};
use viprd::config::model::{Datum, Entry, Item, Name, Section, Setting, Value};
use viprd::config::source::TextSpan;
use viprd::config::{self, MemoryFiles, Options};

/// Chooses by chance.
struct Chance(TestRng);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn between(&mut self, min: i64, max: i64) -> i64 {
        match self.below(4) {
            0 => min,
            1 => max,
            _ => min + self.below((max - min) as u64) as i64,
        }
    }

    fn word(&mut self) -> Box<str> {
        const LETTERS: &[char] = &[
            'a', 'b', 'Z', '0', '_', '-', '.', ':', '/', '@', '$', '~', '#', '!', '{', '}', ' ',
            '\t', '\'', '\\', '=', 'é', '%',
        ];
        let length = 1 + self.below(9);
        let word: String = (0..length).map(|_| self.pick(LETTERS)).collect();
        // A name that refers to something would be replaced when it is read back.
        word.replace("${", "$ {").into()
    }

    fn ip(&mut self, v6: bool) -> IpAddr {
        if v6 {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(self.below(u64::MAX)) << self.below(64)))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(self.below(1 << 32) as u32))
        }
    }

    fn datum(&mut self, kind: Kind) -> Vec<Datum> {
        let text = |word: &str| Datum::Text(word.into());
        vec![match kind {
            Kind::Int(min, max, _) => Datum::Int(self.between(min, max)),
            Kind::Seconds(min, max) => {
                Datum::Time(Span::from_micros(self.between(min as i64, max as i64) as u64))
            }
            Kind::Millis(min, max) => {
                Datum::Time(Span::from_micros(self.between(min as i64, max as i64) as u64))
            }
            Kind::Bool => Datum::Bool(self.one_in(2)),
            Kind::Word => Datum::Text(self.word()),
            Kind::Interface | Kind::VmacName => {
                text(self.pick(&["eth0", "bond0.100", "ha-1c9f6a2e-4b"]))
            }
            Kind::Label => text(self.pick(&["eth0:1", "vip"])),
            Kind::Ipv4 => Datum::Ip(self.ip(false)),
            Kind::Ipv6 => Datum::Ip(self.ip(true)),
            Kind::Ip => {
                let v6 = self.one_in(2);
                Datum::Ip(self.ip(v6))
            }
            Kind::Prefix | Kind::Net => {
                let v6 = self.one_in(2);
                let longest = if v6 { 129 } else { 33 };
                let length = (!self.one_in(3)).then(|| self.below(longest) as u8);
                Datum::Prefix(self.ip(v6), length)
            }
            Kind::Choice(words) => Datum::Choice(self.pick(words)),
            Kind::Broadcast => match self.below(3) {
                0 => Datum::HostBits(true),
                1 => Datum::HostBits(false),
                _ => Datum::Ip(self.ip(false)),
            },
            Kind::Scope => text(self.pick(&["global", "link", "17"])),
            Kind::Lifetime => match self.one_in(2) {
                true => Datum::Choice("forever"),
                false => Datum::Int(self.between(0, 4_294_967_295)),
            },
            Kind::Mac => {
                let length = 5 + self.below(2);
                Datum::Mac((0..length).map(|_| self.below(256) as u8).collect())
            }
            Kind::Keyed(word) => return vec![Datum::Choice(word), Datum::Text(self.word())],
            Kind::Range => text(self.pick(&["5", "10-20"])),
            Kind::Mark => text(self.pick(&["5", "0x10/0xff"])),
            Kind::Labels => text(self.pick(&["100", "100/200"])),
            Kind::RouteTime => text(self.pick(&["20ms", "1s", "300"])),
            Kind::RxPolicy => match self.one_in(2) {
                true => Datum::Choice("MTU"),
                false => Datum::Int(self.between(1, 1 << 30)),
            },
            Kind::Umask => text(self.pick(&["0177", "0x7f", "IRWXG|IXOTH"])),
            Kind::IncludeCheck => text(self.pick(&["match", "+readable", "-wildcard_match"])),
        }]
    }

    /// Values for a keyword; those that are optional are left out from some point on.
    fn items(&mut self, args: &[Arg]) -> Vec<Item> {
        let mut items = Vec::new();
        for arg in args {
            if arg.optional && self.one_in(2) {
                // A later optional value might be taken for an earlier one that is left out.
                if args.iter().filter(|arg| arg.optional).all(|arg| arg.kind == Kind::Word) {
                    break;
                }
                continue;
            }
            let count = if arg.repeats { 1 + self.below(3) } else { 1 };
            for _ in 0..count {
                items.extend(self.datum(arg.kind).into_iter().map(item));
            }
        }
        items
    }

    fn command(&mut self) -> Value {
        let mut text = String::from("/bin/x");
        for _ in 0..self.below(4) {
            let word = self.word().replace(['\'', '\\'], "");
            text += &format!(" '{word}'");
        }
        let argv: Vec<Box<str>> = std::iter::once("/bin/x".into())
            .chain(text.split('\'').skip(1).step_by(2).map(Box::from))
            .collect();
        let user: Option<Box<str>> = self.one_in(2).then(|| "nobody".into());
        let group = user.as_ref().filter(|_| self.one_in(2)).map(|_| "nogroup".into());
        Value::Command(Box::new(Command { text: text.into(), argv: argv.into(), user, group }))
    }

    fn value(&mut self, shape: Shape) -> Option<Value> {
        Some(match shape {
            Shape::Flag => Value::Flag,
            Shape::Args(args) | Shape::List(args) => value(self.items(args)),
            Shape::Command => self.command(),
            Shape::OptionalCommand => {
                if self.one_in(2) {
                    Value::Flag
                } else {
                    self.command()
                }
            }
            Shape::Block(place, naming) => {
                let name = (naming == Naming::Named).then(|| name(self.word()));
                Value::Block(Box::new(self.section(place, name)))
            }
            Shape::Lines(place) => {
                Value::Lines((0..self.below(4)).map(|_| self.entry(place)).collect())
            }
            Shape::Words(arg) => {
                let words = (0..self.below(4)).map(|_| match self.datum(arg.kind).pop() {
                    Some(Datum::Text(text)) => name(text),
                    _ => name("x".into()),
                });
                Value::Words(words.collect())
            }
            Shape::Anything => return None,
        })
    }

    fn entry(&mut self, place: Place) -> Entry {
        let line = place.line().unwrap();
        let mut items = self.items(line.args);
        // A name must not be a keyword of the block around, which would look like a missing brace.
        for item in &mut items {
            if let Datum::Text(text) = &item.datum
                && text.chars().all(char::is_alphabetic)
            {
                item.datum = Datum::Text(format!("n.{text}").into());
            }
        }
        let mut options: Vec<Setting> = Vec::new();
        for keyword in place.keywords() {
            if self.one_in(4)
                && let Some(value) = self.value(keyword.shape)
            {
                options.push(setting(keyword.key, value));
            }
        }
        use viprd::config::keywords::route::routes::TYPES;
        options.sort_by_key(|option| place == Place::Route && !TYPES.contains(&option.key));
        // No line is empty; only some begin with something that isn't a keyword.
        if items.is_empty() && options.is_empty() {
            match line.args {
                [] => {
                    let flag = place.keywords().iter().find(|word| word.shape == Shape::Flag);
                    options.extend(flag.map(|keyword| setting(keyword.key, Value::Flag)));
                }
                _ => items.push(item(Datum::Prefix(self.ip(false), None))),
            }
        }
        Entry { items, options, span: TextSpan::default() }
    }

    fn section(&mut self, place: Place, name: Option<Name>) -> Section {
        let mut section = Section::new(place, name);
        let rare = if place == Place::Root { 3 } else { 6 };
        for keyword in place.keywords() {
            // Includes are gone from a model.
            if keyword.name.starts_with("include") && place == Place::Root {
                continue;
            }
            if self.one_in(rare)
                && let Some(value) = self.value(keyword.shape)
            {
                section.settings.push(setting(keyword.key, value));
            }
        }
        section
    }
}

fn item(datum: Datum) -> Item {
    Item { datum, span: TextSpan::default() }
}

fn name(text: Box<str>) -> Name {
    Name { text, span: TextSpan::default() }
}

fn setting(key: Key, value: Value) -> Setting {
    Setting { key, span: TextSpan::default(), value }
}

fn value(mut items: Vec<Item>) -> Value {
    match items.len() {
        0 => Value::Flag,
        1 => Value::One(items.remove(0)),
        _ => Value::Many(items.into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_model_can_be_printed_and_read_back(seed in any::<[u8; 32]>()) {
        let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        let model = Chance(rng).section(Place::Root, None);
        let printed = config::print(&model, false);
        let files = MemoryFiles::new().with("printed.conf", printed.clone());
        let loaded = config::load(Path::new("printed.conf"), &files, &Options::default());
        let said: Vec<_> =
            loaded.diagnostics.iter().map(|finding| loaded.diagnostics.one_line(finding)).collect();
        prop_assert_eq!(&loaded.model, &model, "{}\n{:#?}", printed, said);
        prop_assert_eq!(config::print(&loaded.model, false), printed);
    }
}
