//! `$NAME=value`, `$NAME` and `${NAME}`: what a definition looks like and what refers to one.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::line::Line;
use crate::config::source::TextSpan;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// Its lines; a definition on one line has one, which may be empty.
    pub(super) lines: Rc<[Line]>,
    /// Whether it was written over several lines.
    pub(super) several: bool,
}

/// All definitions, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    current: HashMap<Rc<str>, Definition>,
    /// Each name that a file defines: where first, and whether anything uses it.
    written: HashMap<Rc<str>, (TextSpan, bool)>,
}

/// A `$NAME` or `${NAME …}` in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// The part of the text to be replaced.
    pub(super) range: Range<usize>,
    /// The name.
    pub(super) name: &'a str,
    /// What follows the name within the braces.
    pub(super) arguments: &'a str,
}

impl Definitions {
    /// Sets a name from a file.
    pub(super) fn write(&mut self, name: &str, span: TextSpan, definition: Definition) {
        let name: Rc<str> = name.into();
        self.written.entry(name.clone()).or_insert((span, false));
        self.current.insert(name, definition);
    }

    /// Sets a name for a step of a sequence.
    pub(super) fn set(&mut self, name: &Rc<str>, value: &str) {
        let mut line = Line::default();
        line.push_instead(value, TextSpan::default());
        let definition = Definition { lines: Rc::new([line]), several: false };
        self.current.insert(name.clone(), definition);
    }

    /// Puts a name back to what it was before a sequence.
    pub(super) fn restore(&mut self, name: &Rc<str>, before: Option<Definition>) {
        match before {
            Some(definition) => self.current.insert(name.clone(), definition),
            None => self.current.remove(name),
        };
    }

    /// What a name stands for now.
    pub(super) fn peek(&self, name: &str) -> Option<&Definition> {
        self.current.get(name)
    }

    /// What a name stands for now, which counts as a use of it.
    pub(super) fn get(&mut self, name: &str) -> Option<Definition> {
        let definition = self.current.get(name)?.clone();
        if let Some((_, used)) = self.written.get_mut(name) {
            *used = true;
        }
        Some(definition)
    }

    /// Names that nothing uses, with the place where each is defined first.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&str, TextSpan)> {
        self.written.iter().filter(|(_, (_, used))| !used).map(|(name, (span, _))| (&**name, *span))
    }

    /// All names that are defined now.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.current.keys().map(|name| &**name)
    }
}

/// Whether a word can be the name of a definition: letters, digits and `_`, no digit first.
pub(super) fn is_name(word: &str) -> bool {
    !word.is_empty() && name_length(word) == word.len()
}

/// The length of the name that a text begins with; 0 if it begins with none.
fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|&byte| byte.is_ascii_alphanumeric() || byte == b'_').count()
}

/// The name that a line defines, if it is `$NAME=…`; the value follows at `name.len() + 2`.
pub(super) fn defined_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let length = name_length(rest);
    let (name, after) = rest.split_at(length);
    (length > 0 && after.starts_with('=')).then_some(name)
}

/// The first reference at or after `from`.
///
/// `$NAME` counts only before a blank, a comma, a closing parenthesis or the end; `${NAME}` counts
/// anywhere.
pub(super) fn next_reference(text: &str, mut from: usize) -> Option<Reference<'_>> {
    loop {
        let at = from + text.get(from..)?.find('$')?;
        from = at + 1;
        let rest = &text[at + 1..];
        if let Some(braced) = rest.strip_prefix('{') {
            let length = name_length(braced);
            // Looking for the brace no further than a name and its arguments reach keeps a line of
            // many `${` linear.
            let after = &braced[length..];
            let arguments = after.find(['}', '$', '{', '"']);
            if let (true, Some(end)) = (length > 0, arguments)
                && after[end..].starts_with('}')
                && (end == 0 || after.starts_with([' ', '\t']))
            {
                return Some(Reference {
                    range: at..at + 2 + length + end + 1,
                    name: &braced[..length],
                    arguments: after[..end].trim(),
                });
            }
        } else {
            let length = name_length(rest);
            let after = rest[length..].chars().next();
            if length > 0 && after.is_none_or(|after| " \t,)".contains(after)) {
                let range = at..at + 1 + length;
                return Some(Reference { range, name: &rest[..length], arguments: "" });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_underscores() {
        assert!(is_name("_A1") && !is_name("1A") && !is_name("") && !is_name("a-b"));
        assert_eq!(defined_name("$A=b"), Some("A"));
        assert_eq!(defined_name("$A ="), None);
        assert_eq!(defined_name("$=b"), None);
    }

    #[test]
    fn references_are_found_where_they_count() {
        let all = |text| {
            let mut found = Vec::new();
            let mut from = 0;
            while let Some(reference) = next_reference(text, from) {
                from = reference.range.end;
                found.push((reference.name, reference.arguments, reference.range));
            }
            found
        };
        assert_eq!(all("a $B c"), [("B", "", 2..4)]);
        assert_eq!(all("x${B}y$C"), [("B", "", 1..5), ("C", "", 6..8)]);
        assert_eq!(all("~SEQ(A,$B,$C)"), [("B", "", 7..9), ("C", "", 10..12)]);
        assert_eq!(all("${_RANDOM 1 5}"), [("_RANDOM", "1 5", 0..14)]);
        assert_eq!(all("$B/24 pa$$ ${} ${1} ${B ${C"), []);
    }
}
