//! **The canonical form** of a configuration: no definitions, includes or conditions, one setting
//! a line, in the order of the file. It reads back as the same model.

use std::fmt::Write as _;

use super::command;
use super::keywords::route::routes;
use super::keywords::{Arg, Keyword, Kind, Place, Shape};
use super::model::{Datum, Entry, Item, Section, Setting, Value};

/// The configuration as text; with `defaults`, settings that aren't given follow as comments with
/// what holds for them.
pub fn print(model: &Section, defaults: bool) -> String {
    let mut printer = Printer { text: String::new(), depth: 0, defaults };
    for (index, setting) in model.settings.iter().enumerate() {
        let is_block = matches!(setting.value, Value::Block(_) | Value::Lines(_) | Value::Words(_));
        if is_block && index > 0 {
            printer.text.push('\n');
        }
        printer.setting(setting);
    }
    printer.text
}

struct Printer {
    text: String,
    depth: usize,
    defaults: bool,
}

impl Printer {
    fn setting(&mut self, setting: &Setting) {
        let keyword = setting.key.keyword();
        self.indent();
        self.text.push_str(keyword.name);
        match &setting.value {
            Value::Flag | Value::One(_) | Value::Many(_) => {
                self.items(setting.items(), args_of(keyword));
                self.text.push('\n');
            }
            Value::Command(command) => {
                let _ = write!(self.text, " {}", command::quoted(&command.text));
                for word in [&command.user, &command.group].into_iter().flatten() {
                    self.text.push(' ');
                    self.word(word);
                }
                self.text.push('\n');
            }
            Value::Block(section) => {
                if let Some(name) = &section.name {
                    self.text.push(' ');
                    self.word(&name.text);
                }
                self.open();
                for setting in &section.settings {
                    self.setting(setting);
                }
                if self.defaults {
                    self.default_values(section);
                }
                self.close();
            }
            Value::Lines(lines) => {
                self.open();
                for entry in lines {
                    self.entry(entry, keyword.shape);
                }
                self.close();
            }
            Value::Words(words) => {
                self.open();
                for word in words {
                    self.indent();
                    self.first_word(&word.text);
                    self.text.push('\n');
                }
                self.close();
            }
        }
    }

    fn entry(&mut self, entry: &Entry, shape: Shape) {
        let line = match shape {
            Shape::Lines(place) => place.line(),
            _ => None,
        };
        self.indent();
        let start = self.text.len();
        // The type of a route comes first, as people write it.
        let is_type = |option: &&Setting| routes::TYPES.contains(&option.key);
        for option in entry.options.iter().filter(is_type) {
            let _ = write!(self.text, " {}", option.key.keyword().name);
        }
        self.items(&entry.items, line.map_or(&[], |line| line.args));
        for option in entry.options.iter().filter(|option| !is_type(option)) {
            let keyword = option.key.keyword();
            let _ = write!(self.text, " {}", keyword.name);
            self.items(option.items(), args_of(keyword));
        }
        // The blank before the first word goes; that word mustn't begin as another line does.
        let rest = self.text.split_off(start);
        let rest = rest.trim_start_matches(' ');
        if begins_otherwise(rest) {
            let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
            let _ = write!(self.text, "\"{first}\" {more}");
        } else {
            self.text.push_str(rest);
        }
        self.text.push('\n');
    }

    fn items(&mut self, items: &[Item], args: &[Arg]) {
        for item in items {
            self.text.push(' ');
            match &item.datum {
                Datum::Int(number) => {
                    let _ = write!(self.text, "{number}");
                }
                Datum::Time(time) => {
                    let millis = args.iter().any(|arg| matches!(arg.kind, Kind::Millis(..)));
                    let time = if millis { time.times(1000) } else { *time };
                    let _ = write!(self.text, "{time}");
                }
                Datum::Bool(yes) => self.text.push_str(if *yes { "on" } else { "off" }),
                Datum::Text(text) => self.word(text),
                Datum::Choice(word) => self.text.push_str(word),
                Datum::Ip(ip) | Datum::Prefix(ip, None) => {
                    let _ = write!(self.text, "{ip}");
                }
                Datum::Prefix(ip, Some(length)) => {
                    let _ = write!(self.text, "{ip}/{length}");
                }
                Datum::HostBits(set) => self.text.push(if *set { '+' } else { '-' }),
                Datum::Mac(bytes) => {
                    for (index, byte) in bytes.iter().enumerate() {
                        let colon = if index > 0 { ":" } else { "" };
                        let _ = write!(self.text, "{colon}{byte:02x}");
                    }
                }
            }
        }
    }

    /// A word, in quotes if it needs them.
    fn word(&mut self, word: &str) {
        let plain = !word.is_empty() && !word.contains([' ', '\t', '{', '}', '#', '!', '\r', '\n']);
        if plain {
            self.text.push_str(word);
        } else {
            let _ = write!(self.text, "\"{word}\"");
        }
    }

    /// A word that a line begins with.
    fn first_word(&mut self, word: &str) {
        if begins_otherwise(word) {
            let _ = write!(self.text, "\"{word}\"");
        } else {
            self.word(word);
        }
    }

    /// Keywords of a block that aren't given, as comments.
    fn default_values(&mut self, section: &Section) {
        for keyword in section.place.keywords() {
            if !keyword.default.is_empty() && section.get(keyword.key).is_none() {
                self.indent();
                let _ = writeln!(self.text, "# {} {}", keyword.name, keyword.default);
            }
        }
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.text.push_str("    ");
        }
    }

    fn open(&mut self) {
        self.text.push_str(" {\n");
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.indent();
        self.text.push_str("}\n");
    }
}

/// Whether a line that begins so would be taken for a condition, a definition, a sequence or an
/// include.
fn begins_otherwise(text: &str) -> bool {
    text.starts_with(['@', '$', '~']) || text.starts_with("include")
}

fn args_of(keyword: &Keyword) -> &'static [Arg] {
    match keyword.shape {
        Shape::Args(args) | Shape::List(args) => args,
        _ => &[],
    }
}

/// Every place and keyword, for those who compare the manual page with the table.
pub fn vocabulary() -> impl Iterator<Item = (Place, &'static Keyword)> {
    Place::ALL
        .into_iter()
        .flat_map(|place| place.keywords().iter().map(move |keyword| (place, keyword)))
}
