//! `include` and its variants.

use std::path::{Path, PathBuf};

use super::line::Line;
use super::{Frame, MAX_DEPTH, Preprocessor, plain};
use crate::config::Options;
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::source::TextSpan;

/// What is an error when files are included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IncludeCheck {
    /// A file that matches can't be read.
    readable: bool,
    /// Nothing matches a name without wildcards.
    matching: bool,
    /// Nothing matches a name with wildcards.
    wildcard: bool,
    /// Nothing matches one of the names that braces give.
    brace: bool,
}

/// An include statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Include<'a> {
    /// What its variant adds to the checks in force.
    check: IncludeCheck,
    /// The name or pattern, as written.
    pattern: &'a str,
    /// Where the pattern begins.
    at: usize,
}

impl IncludeCheck {
    const ALL: IncludeCheck =
        IncludeCheck { readable: true, matching: true, wildcard: true, brace: true };

    /// What the command line asks for.
    pub(super) fn of(options: &Options) -> IncludeCheck {
        if options.include_check { IncludeCheck::ALL } else { IncludeCheck::default() }
    }

    fn or(self, other: IncludeCheck) -> IncludeCheck {
        IncludeCheck {
            readable: self.readable | other.readable,
            matching: self.matching | other.matching,
            wildcard: self.wildcard | other.wildcard,
            brace: self.brace | other.brace,
        }
    }

    /// Applies the words of `include_check`.
    fn apply(self, words: &str) -> IncludeCheck {
        let mut check = self;
        let mut plain = IncludeCheck::default();
        let mut any_plain = false;
        let mut any = false;
        for word in words.split_whitespace() {
            any = true;
            let (sign, name) = match word.as_bytes().first() {
                Some(b'+') => (Some(true), &word[1..]),
                Some(b'-') => (Some(false), &word[1..]),
                _ => (None, word),
            };
            let target = if sign.is_some() { &mut check } else { &mut plain };
            any_plain |= sign.is_none();
            let on = sign.unwrap_or(true);
            match name {
                "read" | "readable" => target.readable = on,
                "match" => (target.matching, target.readable) = (on, target.readable | on),
                "wildcard_match" => (target.wildcard, target.readable) = (on, target.readable | on),
                "brace_match" => (target.brace, target.readable) = (on, target.readable | on),
                _ => {}
            }
        }
        match (any, any_plain) {
            (false, _) => IncludeCheck::ALL,
            (true, true) => plain,
            (true, false) => check,
        }
    }
}

impl<'a> Include<'a> {
    /// The include statement that a line is, if it is one.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("include")?;
        let none = IncludeCheck::default();
        let (check, rest) = match rest.as_bytes().first()? {
            b'r' => (IncludeCheck { readable: true, ..none }, &rest[1..]),
            b'm' => (IncludeCheck { matching: true, readable: true, ..none }, &rest[1..]),
            b'w' => (IncludeCheck { wildcard: true, readable: true, ..none }, &rest[1..]),
            b'b' => (IncludeCheck { brace: true, readable: true, ..none }, &rest[1..]),
            b'a' => (IncludeCheck::ALL, &rest[1..]),
            _ => (none, rest),
        };
        if !rest.starts_with([' ', '\t', '"']) {
            return None;
        }
        let pattern = rest.trim();
        let at = text.len() - rest.trim_start().len();
        match pattern.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) => Some(Include { check, pattern: inner, at: at + 1 }),
            None => Some(Include { check, pattern, at }),
        }
    }
}

impl Preprocessor<'_> {
    /// Opens what a line includes: its files are read next, in order.
    pub(super) fn include(&mut self, line: &Line, include: &Include<'_>) {
        let span = line.span(include.at..include.at + include.pattern.len());
        let inherited = self.current_check();
        let check = inherited.or(include.check);
        let depth = self.frames.iter().filter(|frame| matches!(frame, Frame::File { .. })).count();
        if depth >= MAX_DEPTH {
            let message = format!("files include each other more than {MAX_DEPTH} deep");
            self.findings.push(Diagnostic::new(codes::INCLUDE_DEPTH, span, message));
            return;
        }
        let directory = self.directory();
        let alternatives = expand_braces(include.pattern);
        let braces = alternatives.len() > 1;
        let mut found = Vec::new();
        for alternative in &alternatives {
            let wanted = directory.join(alternative);
            let wildcard = alternative.contains(['*', '?', '[']);
            let paths = if wildcard {
                self.files.glob(&wanted.to_string_lossy())
            } else {
                vec![wanted.clone()]
            };
            let mut any = false;
            for path in paths {
                match self.files.read(&path) {
                    Ok(bytes) => {
                        any = true;
                        found.push((path, bytes));
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => {
                        any = true;
                        let message = format!("can't read `{}`: {}", path.display(), plain(&error));
                        self.include_trouble(check.readable, span, message);
                    }
                }
            }
            if !any {
                let is_error = (check.matching && !wildcard && !braces)
                    || (check.wildcard && wildcard)
                    || (check.brace && braces);
                let message = format!("no file matches `{}`", wanted.display());
                self.include_trouble(is_error, span, message);
            }
        }
        for (path, bytes) in found.into_iter().rev() {
            let open =
                |frame: &Frame| matches!(frame, Frame::File { path: other, .. } if *other == path);
            if self.frames.iter().any(open) {
                let message = format!("`{}` includes itself", path.display());
                self.findings.push(
                    Diagnostic::new(codes::INCLUDE_DEPTH, span, message)
                        .label("not read again")
                        .help("remove the line, or exclude the file from the pattern"),
                );
                continue;
            }
            let shown = path.display().to_string();
            self.push_file(&shown, &path, &bytes, inherited);
        }
    }

    /// Applies an `include_check` statement to the rest of this file.
    pub(super) fn include_check(&mut self, line: &Line) {
        let Some(words) = line.text.strip_prefix("include_check") else { return };
        if !words.is_empty() && !words.starts_with([' ', '\t']) {
            return;
        }
        let applied = self.current_check().apply(words);
        let innermost = self.frames.iter_mut().rev().find_map(|frame| match frame {
            Frame::File { check, .. } => Some(check),
            _ => None,
        });
        if let Some(check) = innermost {
            *check = applied;
        }
    }

    fn include_trouble(&mut self, is_error: bool, span: TextSpan, message: String) {
        let finding = if is_error {
            Diagnostic::new(codes::INCLUDE_FAILED, span, message)
                .help("plain `include`, without `include_check`, takes no notice of this")
        } else {
            Diagnostic::new(codes::NOTHING_INCLUDED, span, message)
        };
        self.findings.push(finding);
    }

    fn current_check(&self) -> IncludeCheck {
        let file = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::File { check, .. } => Some(*check),
            _ => None,
        });
        file.unwrap_or_default()
    }

    fn directory(&self) -> PathBuf {
        let file = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::File { directory, .. } => Some(directory.to_path_buf()),
            _ => None,
        });
        file.unwrap_or_else(|| Path::new("").to_path_buf())
    }
}

/// At most this many names come of one pattern's braces.
const MAX_ALTERNATIVES: usize = 1024;

/// The names that `a{b,c}d` stands for, as csh has it; nested braces too. Text with unbalanced
/// braces, or that gives too many names, stands for itself.
fn expand_braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_owned()];
    while let Some(text) = todo.pop() {
        let parts = split_braces(&text);
        match parts {
            Some((before, alternatives, after)) if done.len() + todo.len() < MAX_ALTERNATIVES => {
                for alternative in alternatives.iter().rev() {
                    todo.push(format!("{before}{alternative}{after}"));
                }
            }
            _ => done.push(text),
        }
    }
    done
}

/// Text before the first pair of braces, what stands between its commas, and text after it.
fn split_braces(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = text.find('{')?;
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut from = open + 1;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b',' if depth == 1 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    parts.push(&text[from..at]);
                    return Some((&text[..open], parts, &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_expand_as_in_csh() {
        assert_eq!(expand_braces("a"), ["a"]);
        assert_eq!(
            expand_braces("{foo/{,cat,dog},bar}.x"),
            ["foo/.x", "foo/cat.x", "foo/dog.x", "bar.x"]
        );
        assert_eq!(expand_braces("a{b"), ["a{b"]);
        assert!(expand_braces(&"{a,b}".repeat(40)).len() <= 2 * MAX_ALTERNATIVES);
    }

    #[test]
    fn checks_add_up_and_are_taken_away() {
        let none = IncludeCheck::default();
        assert_eq!(none.apply(""), IncludeCheck::ALL);
        let readable = IncludeCheck { readable: true, ..none };
        assert_eq!(none.apply("readable"), readable);
        assert_eq!(IncludeCheck::ALL.apply("read"), readable);
        let less = IncludeCheck { wildcard: false, ..IncludeCheck::ALL };
        assert_eq!(IncludeCheck::ALL.apply("+match -wildcard_match"), less);
    }

    #[test]
    fn variants_are_told_apart() {
        assert_eq!(Include::parse("include a b").unwrap().pattern, "a b");
        assert_eq!(Include::parse("include \"a b\"").unwrap().pattern, "a b");
        assert_eq!(Include::parse("includea x").unwrap().check, IncludeCheck::ALL);
        assert_eq!(Include::parse("include_check match"), None);
        assert_eq!(Include::parse("included x"), None);
    }
}
