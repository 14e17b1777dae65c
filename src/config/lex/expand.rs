//! Replacing `$NAME` and `${NAME}`, with an end for whatever refers to itself or grows too much.

use super::define::{self, Definition};
use super::{BLANKS, Frame, Line, MAX_DEPTH, Preprocessor};
use crate::config::MAX_LINE;
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::source::TextSpan;

/// Why a reference can't be replaced.
enum Stop {
    Recursive(Vec<String>),
    Several(String),
    TooLong,
}

impl Preprocessor<'_> {
    /// Replaces references in `line`, appending to `result`; `false` if the line must be dropped.
    pub(super) fn expand(&mut self, line: &Line, result: &mut Line, whole_line: bool) -> bool {
        let mut from = 0;
        while let Some(reference) = define::next_reference(&line.text, from) {
            let range = reference.range.clone();
            result.push_part(line, from..range.start);
            from = range.end;
            let span = line.span(range.clone());
            if let Some(value) = self.predefined(reference.name, reference.arguments) {
                result.push_instead(&value, span);
                continue;
            }
            let Some(definition) = self.definitions.get(reference.name) else {
                self.undefined(reference.name, span);
                result.push_part(line, range);
                continue;
            };
            if definition.several {
                return self.expand_lines(line, &reference, definition, result, whole_line);
            }
            let mut active = vec![reference.name.to_owned()];
            let mut value = String::new();
            let text = definition.lines.first().map_or("", |line| line.text.as_str());
            if let Err(stop) = self.expand_text(text, &mut value, &mut active) {
                self.stop_expansion(span, reference.name, stop);
                return false;
            }
            result.push_instead(&value, span);
            if result.text.len() > MAX_LINE {
                self.stop_expansion(span, reference.name, Stop::TooLong);
                return false;
            }
        }
        result.push_part(line, from..line.text.len());
        true
    }

    /// Replaces a reference to a definition of several lines, which must end its line.
    fn expand_lines(
        &mut self,
        line: &Line,
        reference: &define::Reference<'_>,
        definition: Definition,
        result: &mut Line,
        whole_line: bool,
    ) -> bool {
        let span = line.span(reference.range.clone());
        let name = reference.name;
        if !whole_line || !line.text[reference.range.end..].trim_matches(BLANKS).is_empty() {
            let message =
                format!("`${name}` is a definition of several lines and must end the line");
            self.findings.push(
                Diagnostic::new(codes::MULTILINE_NOT_ALONE, span, message)
                    .label("the line is left out")
                    .help("move what follows it to a line of its own, or into the definition"),
            );
            return false;
        }
        let active =
            |frame: &Frame| matches!(frame, Frame::Body { name: other, .. } if **other == *name);
        if self.frames.iter().any(active) {
            self.stop_expansion(span, name, Stop::Recursive(vec![name.to_owned()]));
            return false;
        }
        if self.frames.len() >= MAX_DEPTH {
            self.stop_expansion(span, name, Stop::TooLong);
            return false;
        }
        let used = self.used(line);
        let frame = Frame::Body { name: name.into(), lines: definition.lines, next: 0, used };
        self.frames.push(frame);
        self.context = None;
        if result.text.trim_matches(BLANKS).is_empty() {
            return false;
        }
        // Text before the reference: the definition's first line continues it.
        let mut first = Line::default();
        if self.has_more(self.frames.len()) && self.fetch(&mut first) {
            return self.expand(&first, result, true);
        }
        true
    }

    /// Replaces references in the text of a definition.
    fn expand_text(
        &mut self,
        text: &str,
        result: &mut String,
        active: &mut Vec<String>,
    ) -> Result<(), Stop> {
        let mut from = 0;
        self.findings.work += text.len() as u64;
        while let Some(reference) = define::next_reference(text, from) {
            result.push_str(&text[from..reference.range.start]);
            from = reference.range.end;
            let name = reference.name;
            if let Some(value) = self.predefined(name, reference.arguments) {
                result.push_str(&value);
            } else if let Some(definition) = self.definitions.get(name) {
                self.references += 1;
                if active.iter().any(|active| active == name) {
                    active.push(name.to_owned());
                    return Err(Stop::Recursive(active.clone()));
                }
                if definition.several {
                    return Err(Stop::Several(name.to_owned()));
                }
                active.push(name.to_owned());
                let value = definition.lines.first().map_or("", |line| line.text.as_str());
                self.expand_text(value, result, active)?;
                active.pop();
            } else {
                result.push_str(&text[reference.range.clone()]);
            }
            let many = self.references as usize > MAX_LINE;
            if many || result.len() > MAX_LINE || active.len() > MAX_DEPTH {
                return Err(Stop::TooLong);
            }
        }
        result.push_str(&text[from..]);
        Ok(())
    }

    fn stop_expansion(&mut self, span: TextSpan, name: &str, stop: Stop) {
        let finding = match stop {
            Stop::Recursive(names) => {
                let chain = names.iter().map(|name| format!("`${name}`")).collect::<Vec<_>>();
                let message = match chain.len() {
                    0..=2 => format!("the definition of `${name}` refers to itself"),
                    _ => format!(
                        "the definition of `${name}` refers to itself: {}",
                        chain.join(" → ")
                    ),
                };
                Diagnostic::new(codes::RECURSIVE_DEFINITION, span, message)
                    .help("give it a value that doesn't use its own name")
            }
            Stop::Several(other) => {
                let message = format!(
                    "`${other}`, used by `${name}`, has several lines and must end a line of its own"
                );
                Diagnostic::new(codes::MULTILINE_NOT_ALONE, span, message)
            }
            Stop::TooLong => {
                let message = format!(
                    "`${name}` makes this line longer than {MAX_LINE} bytes, or is nested too deeply"
                );
                Diagnostic::new(codes::BAD_LINE, span, message)
            }
        };
        self.findings.push(finding.label("the line is left out"));
    }

    /// A name that nothing defines stays as it is written; a script may well mean it so.
    fn undefined(&mut self, name: &str, span: TextSpan) {
        let message = format!("`${name}` isn't defined; it stays as it is written");
        let mut finding = Diagnostic::new(codes::UNDEFINED, span, message);
        let predefined = ["_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"];
        if let Some(near) = self.findings.nearest(name, self.definitions.names().chain(predefined))
        {
            finding = finding.help(format!("did you mean `${near}`?"));
        } else {
            finding =
                finding.help(format!("define it with `${name}=…` if it is meant to be replaced"));
        }
        self.findings.push_undefined(span, finding);
    }

    /// The value of a predefined name.
    pub(super) fn predefined(&mut self, name: &str, arguments: &str) -> Option<String> {
        match name {
            "_PWD" => {
                let directory = self.frames.iter().rev().find_map(|frame| match frame {
                    Frame::File { directory, .. } => Some(directory.display().to_string()),
                    _ => None,
                })?;
                Some(if directory.is_empty() { ".".to_owned() } else { directory })
            }
            "_INSTANCE" => Some(self.instance.clone()),
            "_HASH" => Some("#".to_owned()),
            "_BANG" => Some("!".to_owned()),
            "_ENV" => {
                let value = self.options.environment.iter().find(|(name, _)| name == arguments);
                Some(value.map_or_else(String::new, |(_, value)| value.clone()))
            }
            "_RANDOM" => {
                let mut bounds = arguments.split_whitespace().map(str::parse::<u32>);
                let low = bounds.next().and_then(Result::ok).unwrap_or(0);
                let high = bounds.next().and_then(Result::ok).unwrap_or(32767).max(low);
                // splitmix64: even enough for choosing among a few numbers.
                self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = self.random;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^= mixed >> 31;
                Some((u64::from(low) + mixed % (u64::from(high - low) + 1)).to_string())
            }
            _ => None,
        }
    }
}
