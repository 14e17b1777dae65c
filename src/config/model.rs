//! **What a configuration says**: sections of settings with typed values, each with its place in
//! the text. Complete: everything that was understood is kept, whether it has an effect or not.
//!
//! Two models are equal if they say the same; where it was written doesn't count.

use std::net::IpAddr;

use super::command::Command;
use super::keywords::{Key, Place};
use super::source::TextSpan;
use crate::base::Span;

/// The settings of a block, in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Section {
    /// What kind of block it is; [`Place::Root`] for the whole configuration.
    pub place: Place,
    /// Its name, if it has one.
    pub name: Option<Name>,
    /// Its settings.
    pub settings: Vec<Setting>,
    /// Keywords whose value was wrong: what lacks because of that needn't be told again.
    pub refused: Vec<Key>,
}

/// A word and where it stands.
#[derive(Clone, Debug)]
pub struct Name {
    /// The word.
    pub text: Box<str>,
    /// Where it stands.
    pub span: TextSpan,
}

/// A keyword and what was given to it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The keyword.
    pub key: Key,
    /// Where the keyword stands.
    pub span: TextSpan,
    /// What follows it.
    pub value: Value,
}

/// What follows a keyword.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Flag,
    /// One value.
    One(Item),
    /// Several values; not those that were left out.
    Many(Box<[Item]>),
    /// A command.
    Command(Box<Command>),
    /// A block of settings.
    Block(Box<Section>),
    /// A block of lines.
    Lines(Vec<Entry>),
    /// A block of words.
    Words(Vec<Name>),
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Item {
    /// The value.
    pub datum: Datum,
    /// Where it stands.
    pub span: TextSpan,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// A whole number.
    Int(i64),
    /// A length of time.
    Time(Span),
    /// Yes or no.
    Bool(bool),
    /// A word.
    Text(Box<str>),
    /// One of the words that the keyword knows.
    Choice(&'static str),
    /// An address.
    Ip(IpAddr),
    /// An address with the length of its prefix, if it was given.
    Prefix(IpAddr, Option<u8>),
    /// `+` (true) or `-` (false), for a broadcast address.
    HostBits(bool),
    /// An Ethernet address, of which five bytes may be all that is given.
    Mac(Box<[u8]>),
}

/// A line of a block of lines.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it begins with.
    pub items: Vec<Item>,
    /// What it says of that, in the order in which it is written.
    pub options: Vec<Setting>,
    /// Where it stands.
    pub span: TextSpan,
}

impl Section {
    /// A section without settings.
    pub fn new(place: Place, name: Option<Name>) -> Self {
        Section { place, name, settings: Vec::new(), refused: Vec::new() }
    }

    /// Its name, or nothing.
    pub fn title(&self) -> &str {
        self.name.as_ref().map_or("", |name| &name.text)
    }

    /// The setting of a keyword, if it was given.
    pub fn get(&self, key: Key) -> Option<&Setting> {
        find(&self.settings, key)
    }

    /// Whether a keyword was given, with a value other than no.
    pub fn is_set(&self, key: Key) -> bool {
        self.bool(key).unwrap_or(false)
    }

    /// What was given for a keyword that is a yes or a no; a bare one is a yes.
    pub fn bool(&self, key: Key) -> Option<bool> {
        self.get(key).map(|setting| !matches!(setting.datum(), Some(Datum::Bool(false))))
    }

    /// The number given for a keyword.
    pub fn int(&self, key: Key) -> Option<i64> {
        self.get(key)?.int()
    }

    /// The time given for a keyword.
    pub fn time(&self, key: Key) -> Option<Span> {
        match self.get(key)?.datum()? {
            Datum::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// The word given for a keyword.
    pub fn text(&self, key: Key) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The address given for a keyword.
    pub fn ip(&self, key: Key) -> Option<IpAddr> {
        match self.get(key)?.datum()? {
            Datum::Ip(ip) | Datum::Prefix(ip, _) => Some(*ip),
            _ => None,
        }
    }

    /// The command given for a keyword.
    pub fn command(&self, key: Key) -> Option<&Command> {
        match &self.get(key)?.value {
            Value::Command(command) => Some(command),
            _ => None,
        }
    }

    /// The sections that a keyword opens, in order.
    pub fn blocks(&self, key: Key) -> impl Iterator<Item = &Section> {
        self.settings.iter().filter_map(move |setting| match &setting.value {
            Value::Block(section) if setting.key == key => Some(&**section),
            _ => None,
        })
    }

    /// The lines given to a keyword, of all its blocks.
    pub fn lines(&self, key: Key) -> impl Iterator<Item = &Entry> {
        let lines = self.settings.iter().filter_map(move |setting| match &setting.value {
            Value::Lines(lines) if setting.key == key => Some(lines),
            _ => None,
        });
        lines.flatten()
    }

    /// The words given to a keyword, of all its blocks.
    pub fn words(&self, key: Key) -> impl Iterator<Item = &Name> {
        let words = self.settings.iter().filter_map(move |setting| match &setting.value {
            Value::Words(words) if setting.key == key => Some(words),
            _ => None,
        });
        words.flatten()
    }
}

impl Setting {
    /// The first value, if there is one.
    pub fn datum(&self) -> Option<&Datum> {
        self.items().first().map(|item| &item.datum)
    }

    /// All values, in order.
    pub fn items(&self) -> &[Item] {
        match &self.value {
            Value::One(item) => std::slice::from_ref(item),
            Value::Many(items) => items,
            _ => &[],
        }
    }

    /// Where its first value stands, else the keyword.
    pub fn value_span(&self) -> TextSpan {
        self.items().first().map_or(self.span, |item| item.span)
    }

    /// Its first value, if that is a number.
    pub fn int(&self) -> Option<i64> {
        match self.datum()? {
            Datum::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Its first value, if that is a word.
    pub fn text(&self) -> Option<&str> {
        match self.datum()? {
            Datum::Text(text) => Some(text),
            Datum::Choice(word) => Some(word),
            _ => None,
        }
    }
}

impl Entry {
    /// An option of the line, if it was given.
    pub fn get(&self, key: Key) -> Option<&Setting> {
        find(&self.options, key)
    }

    /// What it begins with.
    pub fn subject(&self) -> Option<&Item> {
        self.items.first()
    }

    /// The word that it begins with.
    pub fn name(&self) -> Option<&str> {
        match &self.subject()?.datum {
            Datum::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Where what it begins with stands, else the whole line.
    pub fn subject_span(&self) -> TextSpan {
        self.subject().map_or(self.span, |item| item.span)
    }
}

/// The last setting of a keyword: of two that say different things, the later one holds.
fn find(settings: &[Setting], key: Key) -> Option<&Setting> {
    settings.iter().rev().find(|setting| setting.key == key)
}

impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        (self.place, self.title(), &self.settings) == (other.place, other.title(), &other.settings)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.datum == other.datum
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items && self.options == other.options
    }
}
