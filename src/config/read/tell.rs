//! What is said of statements that aren't right.

use super::{Reader, Words, refuse_key};
use crate::config::diagnostic::{Code, Diagnostic, codes};
use crate::config::keywords::group::sync;
use crate::config::keywords::instance;
use crate::config::keywords::{Arg, Effect, Keyword, Kind, Place, Shape};
use crate::config::model::Section;
use crate::config::source::TextSpan;
use crate::config::tree::Statement;
use crate::config::value::{self, Refused};

impl Reader<'_> {
    /// A name in a sync group that should stand in its `group` block; told for the first one.
    pub(super) fn bare_member(&mut self, statement: Statement<'_>, section: &mut Section) {
        if section.refused.contains(&sync::GROUP) {
            return;
        }
        refuse_key(section, sync::GROUP);
        let (word, span) = statement.first();
        let message = format!("`{word}` isn't a keyword of vrrp_sync_group");
        let finding = Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message)
            .label("left out, and so are other names that stand here")
            .help(format!("names of virtual routers stand inside `group {{ … }}`: write `group {{`, a line `{word}` and so on, and `}}`"));
        self.tell(statement, finding);
    }

    pub(super) fn unknown(&mut self, statement: Statement<'_>, place: Place) {
        let (word, span) = statement.first();
        let title = place.title();
        let whole = if statement.block().is_some() {
            "it and its whole block are left out"
        } else {
            "the line is left out"
        };
        let elsewhere = Place::ALL
            .into_iter()
            .find(|other| *other != place && other.line().is_none() && other.find(word).is_some());
        let finding = match (self.findings.nearest(word, place.names()), elsewhere) {
            (_, Some(other)) => {
                let message = format!("`{word}` doesn't belong in {title}");
                let wanted = match other {
                    Place::Root => "it stands outside of all blocks".to_owned(),
                    _ => format!("it belongs in `{}`", other.title()),
                };
                Diagnostic::new(codes::MISPLACED_KEYWORD, span, message).help(wanted)
            }
            (Some(near), None) => {
                let message = format!("`{word}` isn't a keyword of {title}");
                Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message)
                    .help(format!("did you mean `{near}`?"))
            }
            (None, None) => {
                let message = format!("`{word}` isn't a keyword of {title}");
                Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message)
                    .help("viprd.conf(5) lists all keywords; remove it, or comment it out with #")
            }
        };
        let finding = match word.chars().find(|&sign| is_invisible(sign)) {
            Some(sign) => finding.help(format!(
                "it holds an invisible character (U+{:04X}), as copied from a web page: write it \
                 anew with plain spaces",
                u32::from(sign)
            )),
            None => finding,
        };
        self.tell(statement, finding.label(whole));
    }

    pub(super) fn unknown_option(
        &mut self,
        statement: Statement<'_>,
        opener: &Keyword,
        place: Place,
        word: &str,
        span: TextSpan,
    ) {
        let message = format!("`{word}` has no meaning in this line of `{}`", opener.name);
        let mut finding =
            Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message).label("it is ignored");
        let first = place.line().and_then(|line| line.args.first());
        if let Some(near) = self.findings.nearest(word, place.names()) {
            finding = finding.help(format!("did you mean `{near}`?"));
        } else {
            if first.is_some_and(|arg| value::parse(arg.kind, word).is_ok()) {
                finding =
                    finding.help("if it is an entry of its own, write it on a line of its own");
            }
            let names: Vec<_> = place.names().collect();
            if !names.is_empty() {
                finding = finding.help(format!("possible here: {}", names.join(", ")));
            }
        }
        self.tell(statement, finding);
    }

    pub(super) fn missing_value(
        &mut self,
        statement: Statement<'_>,
        keyword: &Keyword,
        arg: &Arg,
        words: &Words<'_>,
    ) {
        let expected = match arg.kind {
            Kind::Word => {
                let name = arg.name.to_lowercase();
                let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                format!("{article} {name}")
            }
            kind => value::expected(kind),
        };
        let message = format!("`{}` lacks its value: {expected}", keyword.name);
        let end = words.last().map_or(statement.span(), |(_, word)| word.span).after();
        let finding = Diagnostic::new(codes::MISSING_VALUE, end, message)
            .label(format!("{expected} is missing here"))
            .help(format!("write `{} {}`", keyword.name, arg.name));
        self.tell(statement, finding);
    }

    pub(super) fn refuse(
        &mut self,
        statement: Statement<'_>,
        keyword: &Keyword,
        span: TextSpan,
        refused: Refused,
    ) {
        let name = keyword.name;
        let undefined = self.findings.take_undefined(span);
        let message = match &undefined {
            Some(finding) => {
                let said = finding.message.split(';').next().unwrap_or_default();
                format!("{said}; `{name}` expects {}", refused.expected)
            }
            None => format!("{}; `{name}` expects {}", refused.message, refused.expected),
        };
        let code = if undefined.is_some() { codes::UNDEFINED_VALUE } else { refused.code };
        let left_out = match keyword.default {
            _ if keyword.key == instance::VIRTUAL_ROUTER_ID => {
                "left out, and with it the whole virtual router".to_owned()
            }
            _ if keyword.key == instance::INTERFACE => {
                "left out, and without default_interface the whole virtual router".to_owned()
            }
            _ if keyword.key.place().line().is_some() => "the line is left out".to_owned(),
            _ if matches!(keyword.shape, Shape::Lines(_) | Shape::Words(_)) => {
                "left out".to_owned()
            }
            "" => "the setting is left out".to_owned(),
            default if default.starts_with("as ") => "the setting is left out".to_owned(),
            default => format!("left out: {default} is used instead"),
        };
        let mut finding = Diagnostic::new(code, span, message).label(left_out);
        let undefined = undefined.map(|undefined| undefined.help);
        finding.help = undefined.unwrap_or_else(|| refused.help.into_iter().collect());
        self.tell(statement, finding);
    }

    pub(super) fn no_more_words(
        &mut self,
        statement: Statement<'_>,
        keyword: &Keyword,
        expected: usize,
    ) {
        let mut extra = statement.words().skip(expected);
        let Some((text, first)) = extra.next() else { return };
        let last = extra.last().map_or(first.span, |(_, word)| word.span);
        if keyword.shape == Shape::Flag && value::bool_of(text) == Some(false) {
            let name = keyword.name;
            let message = format!("`{name}` takes no value: `{name} {text}` switches it on too");
            let finding = Diagnostic::new(codes::EXTRA_WORDS, first.span.to(last), message)
                .label("ignored")
                .help("remove the line to switch it off");
            self.tell(statement, finding);
            return;
        }
        let message = format!("`{text}` has no meaning after `{}`", keyword.name);
        let finding = Diagnostic::new(codes::EXTRA_WORDS, first.span.to(last), message)
            .label("ignored")
            .help("one setting stands on one line; put `#` before a comment");
        self.tell(statement, finding);
    }

    pub(super) fn note_effect(&mut self, keyword: &'static Keyword, span: TextSpan) {
        // What stands inside a block without effect has none either.
        if self.muted == 0
            && keyword.effect != Effect::Works
            && !self.memory.without_effect.iter().any(|(other, _)| other.name == keyword.name)
        {
            self.memory.without_effect.push((keyword, span));
        }
    }

    /// Reports keywords without effect, each once.
    pub(crate) fn report_without_effect(&mut self) {
        for (keyword, span) in std::mem::take(&mut self.memory.without_effect) {
            let name = keyword.name;
            let (code, message): (&'static Code, _) = match keyword.effect {
                Effect::Works => continue,
                Effect::Missing => {
                    (codes::RELIED_ON, format!("`{name}` is accepted, but does nothing yet"))
                }
                Effect::NotYet => {
                    (codes::NOT_YET, format!("`{name}` is accepted, without effect yet"))
                }
                Effect::Moot(why) => (
                    codes::WITHOUT_EFFECT,
                    format!("`{name}` is accepted, without effect here: {why}"),
                ),
                Effect::OutOfScope => {
                    (codes::OUT_OF_SCOPE, format!("`{name}` is skipped: it isn't part of VRRP"))
                }
            };
            self.findings.push(Diagnostic::new(code, span, message));
        }
    }

    /// Adds a finding, with how its statement came about.
    pub(super) fn tell(&mut self, statement: Statement<'_>, mut finding: Diagnostic) {
        if let Some(context) = statement.context() {
            let values = &context.values;
            let what = if values.is_empty() {
                "expanded from here".to_owned()
            } else {
                format!("expanded from here, with {values}")
            };
            finding = finding.related(context.used, what);
        }
        self.findings.push(finding);
    }
}

/// Whether people see nothing, or a space, where the language sees a character of a word.
fn is_invisible(sign: char) -> bool {
    !sign.is_ascii() && sign.is_whitespace()
        || matches!(sign, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// How a keyword is written: `priority PRIORITY`.
pub(super) fn usage(keyword: &Keyword) -> String {
    let mut usage = keyword.name.to_owned();
    match keyword.shape {
        Shape::Args(args) | Shape::List(args) => {
            for arg in args {
                usage.push(' ');
                usage +=
                    &if arg.optional { format!("[{}]", arg.name) } else { arg.name.to_owned() };
            }
        }
        Shape::Command | Shape::OptionalCommand => usage += " \"/path/to/program argument\"",
        _ => {}
    }
    usage
}
