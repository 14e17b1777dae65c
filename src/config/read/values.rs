//! Values, commands and lines: what follows a keyword.

use super::{Reader, Words};
use crate::config::command::{self, Broken, Command};
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::keywords::route::routes;
use crate::config::keywords::{Arg, Keyword, Kind, Place, Shape};
use crate::config::model::{Datum, Entry, Item, Setting, Value};
use crate::config::suggest::nearest;
use crate::config::tree::Statement;
use crate::config::value;

impl Reader<'_> {
    /// Reads values from `words[*next]` on. `None` if there is something wrong with them, which
    /// has been told.
    pub(super) fn args(
        &mut self,
        statement: Statement<'_>,
        keyword: &'static Keyword,
        args: &'static [Arg],
        words: &Words<'_>,
        next: &mut usize,
    ) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        for arg in args {
            loop {
                let Some(&(text, word)) = words.get(*next) else {
                    if arg.optional {
                        break;
                    }
                    self.missing_value(statement, keyword, arg, words);
                    return None;
                };
                match value::parse(arg.kind, text) {
                    Ok(datum) => items.push(Item { datum, span: word.span }),
                    Err(_) if arg.optional && !is_near_miss(arg.kind, text) => break,
                    Err(refused) => {
                        self.refuse(statement, keyword, word.span, refused);
                        return None;
                    }
                }
                *next += 1;
                if let Kind::Keyed(_) = arg.kind {
                    let Some(&(text, word)) = words.get(*next) else {
                        self.missing_value(statement, keyword, arg, words);
                        return None;
                    };
                    items.push(Item { datum: Datum::Text(text.into()), span: word.span });
                    *next += 1;
                }
                if !arg.repeats {
                    break;
                }
            }
        }
        Some(items)
    }

    /// A command, and who runs it.
    pub(super) fn command(
        &mut self,
        statement: Statement<'_>,
        keyword: &'static Keyword,
    ) -> Option<Value> {
        // A shell may well know names that this file doesn't define.
        self.findings.take_undefined(statement.span());
        let raw = statement.raw();
        let mut pieces = Vec::new();
        let mut at = statement.first().0.len();
        while pieces.len() < 4 {
            match command::word(raw, at) {
                Ok(Some(piece)) => {
                    at = piece.end;
                    pieces.push(piece);
                }
                Ok(None) => break,
                Err(broken) => {
                    // Behind the command and its user anything may stand.
                    if pieces.len() < 3 {
                        self.broken_command(statement, keyword, &broken);
                        return None;
                    }
                    break;
                }
            }
        }
        let mut words = pieces.into_iter().map(|piece| piece.text);
        let text = words.next().unwrap_or_default();
        if text.trim().is_empty() {
            let message = format!("`{}` lacks its value: a command", keyword.name);
            let finding = Diagnostic::new(codes::MISSING_VALUE, statement.span().after(), message)
                .label("a command is missing here")
                .help(format!("write `{} \"/path/to/program argument\"`", keyword.name));
            self.tell(statement, finding);
            return None;
        }
        let argv = match command::words(&text) {
            Ok(argv) => argv.into_boxed_slice(),
            Err(broken) => {
                self.broken_command(statement, keyword, &broken);
                return None;
            }
        };
        let (user, group): (Option<Box<str>>, Option<Box<str>>) =
            (words.next().map(Box::from), words.next().map(Box::from));
        if let Some(word) = user.iter().chain(&group).find(|word| !is_user(word)) {
            let message = format!(
                "`{word}` can't be a user or group: only those may follow the command of `{}`",
                keyword.name
            );
            let finding = Diagnostic::new(codes::BAD_WORD, statement.span(), message)
                .label("the setting is left out")
                .help(format!(
                    "put the command and its arguments into quotes together: `{} \"{text} …\"`",
                    keyword.name
                ));
            self.tell(statement, finding);
            return None;
        }
        if let Some(more) = words.next() {
            let message = format!(
                "`{more}` has no meaning after `{}`: a command, a user and a group is all it takes",
                keyword.name
            );
            let finding = Diagnostic::new(codes::EXTRA_WORDS, statement.span(), message)
                .label("the words at the end are ignored")
                .help(format!(
                    "put a command with arguments into quotes: `{} \"/path/to/program argument\"`",
                    keyword.name
                ));
            self.tell(statement, finding);
        }
        let command = Command { text: text.into(), argv, user, group };
        Some(Value::Command(Box::new(command)))
    }

    pub(super) fn broken_command(
        &mut self,
        statement: Statement<'_>,
        keyword: &Keyword,
        broken: &Broken,
    ) {
        let (code, message, help) = match broken {
            Broken::Quote(_, quote) => (
                codes::UNTERMINATED_QUOTE,
                format!("the command of `{}` has a `{quote}` without an end", keyword.name),
                "commands know both kinds of quotes; put `\\` before one that means itself"
                    .to_owned(),
            ),
            Broken::Escape(_, why) => (
                codes::BAD_ESCAPE,
                format!(
                    "the command of `{}` has an escape sequence that isn't valid: {why}",
                    keyword.name
                ),
                "write `\\\\` for a backslash that means itself".to_owned(),
            ),
        };
        let finding = Diagnostic::new(code, statement.span(), message)
            .label("the setting is left out")
            .help(help);
        self.tell(statement, finding);
    }

    /// A line of a block of lines.
    pub(super) fn entry(
        &mut self,
        statement: Statement<'_>,
        opener: &'static Keyword,
        place: Place,
    ) -> Option<Entry> {
        let words: Words<'_> = statement.words().collect();
        let shape = place.line()?;
        if statement.block().is_some() {
            let (word, span) = statement.first();
            let message = format!("`{word}` takes no block: `{}` holds lines", opener.name);
            self.tell(
                statement,
                Diagnostic::new(codes::UNEXPECTED_BLOCK, span, message)
                    .label("the line and its block are left out"),
            );
            return None;
        }
        let mut next = 0;
        let mut items = if shape.free {
            Vec::new()
        } else {
            self.args(statement, opener, shape.args, &words, &mut next)?
        };
        let mut options: Vec<Setting> = Vec::new();
        while let Some(&(text, word)) = words.get(next) {
            next += 1;
            let Some(keyword) = place.find(text) else {
                let free = shape.args.first().filter(|_| shape.free);
                match free.map(|arg| value::parse(arg.kind, text)) {
                    Some(Ok(datum)) => items = vec![Item { datum, span: word.span }],
                    Some(Err(refused)) if looks_like_address(text) => {
                        self.refuse(statement, opener, word.span, refused);
                        return None;
                    }
                    _ => {
                        self.unknown_option(statement, opener, place, text, word.span);
                        // What follows belongs to it, up to the next word that means something.
                        while words.get(next).is_some_and(|(text, _)| place.find(text).is_none()) {
                            next += 1;
                        }
                    }
                }
                continue;
            };
            self.note_effect(keyword, word.span);
            let value = match keyword.shape {
                Shape::Args(args) => {
                    value_of(self.args(statement, keyword, args, &words, &mut next)?)
                }
                _ => Value::Flag,
            };
            options.push(Setting { key: keyword.key, span: word.span, value });
        }
        if items.is_empty() && options.is_empty() {
            return None;
        }
        if place == Place::Route {
            options.sort_by_key(|option| !routes::TYPES.contains(&option.key));
        }
        Some(Entry { items, options, span: statement.span() })
    }
}

/// Values as the value of a setting.
pub(super) fn value_of(mut items: Vec<Item>) -> Value {
    match items.len() {
        0 => Value::Flag,
        1 => items.pop().map_or(Value::Flag, Value::One),
        _ => Value::Many(items.into_boxed_slice()),
    }
}

/// Whether a word that isn't of an optional kind can't be anything else either.
fn is_near_miss(kind: Kind, word: &str) -> bool {
    match kind {
        Kind::Bool => true,
        Kind::Choice(words) => nearest(word, words.iter().copied()).is_some(),
        _ => false,
    }
}

/// Whether a word can name a user or a group.
fn is_user(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('-')
        && word
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '{' | '}'))
}

/// Whether a word is more likely a wrong address than a wrong keyword.
fn looks_like_address(word: &str) -> bool {
    word.contains(['.', ':', '/']) && word.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
}
