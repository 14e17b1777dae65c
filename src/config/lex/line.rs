//! A line of configuration after comments are gone and definitions are replaced, which still knows
//! where each of its characters was written.

use std::ops::Range;

use crate::config::source::TextSpan;

/// One line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) text: String,
    pieces: Vec<Piece>,
    /// How many blanks it begins with where it was written.
    pub(crate) indent: u32,
    /// Whether it ends with a backslash behind a comment: a definition goes on.
    pub(crate) continues: bool,
}

/// From `at` on (to the next piece), text comes from `source`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u32,
    source: TextSpan,
    /// Whether the text is the source, byte for byte; else it is what stands for all of it.
    verbatim: bool,
}

impl Line {
    /// Makes it empty, keeping its memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.pieces.clear();
        self.continues = false;
    }

    /// Appends text that stands in the source at `start`.
    pub(crate) fn push_source(&mut self, text: &str, start: u32) {
        let source = TextSpan { start, end: start + text.len() as u32 };
        self.push(text, source, true);
    }

    /// Appends text that stands for all of `source`.
    pub(crate) fn push_instead(&mut self, text: &str, source: TextSpan) {
        self.push(text, source, false);
    }

    /// Appends a part of another line.
    pub(crate) fn push_part(&mut self, other: &Line, range: Range<usize>) {
        let Some(text) = other.text.get(range.clone()) else { return };
        let first = other.piece_index(range.start);
        for (index, piece) in other.pieces.iter().enumerate().skip(first) {
            let at = piece.at as usize;
            if at >= range.end {
                break;
            }
            let skipped = range.start.saturating_sub(at) as u32;
            let mut source = piece.source;
            if piece.verbatim {
                let end = other.pieces.get(index + 1).map_or(other.text.len(), |p| p.at as usize);
                source.start += skipped;
                source.end = source.start + (end.min(range.end) - at.max(range.start)) as u32;
            }
            let moved = at.max(range.start) - range.start + self.text.len();
            self.pieces.push(Piece { at: moved as u32, source, ..*piece });
        }
        self.text.push_str(text);
    }

    /// Drops the first `count` bytes and the blanks that follow them.
    pub(crate) fn cut_front(&mut self, count: usize) {
        let rest = self.text.get(count..).unwrap_or_default();
        let count = self.text.len() - rest.trim_start_matches(BLANKS).len();
        let mut kept = Line::default();
        kept.push_part(self, count..self.text.len());
        *self = kept;
    }

    /// Drops everything from byte `end` on, and blanks before it.
    pub(crate) fn truncate(&mut self, end: usize) {
        self.text.truncate(end);
        let end = self.text.trim_end_matches(BLANKS).len();
        self.text.truncate(end);
        self.pieces.retain(|piece| (piece.at as usize) < end.max(1));
    }

    /// Where a part of the text was written.
    pub(crate) fn span(&self, range: Range<usize>) -> TextSpan {
        let Some(first) = self.pieces.get(self.piece_index(range.start)) else {
            return TextSpan::default();
        };
        let start = first.place(range.start);
        if range.end <= range.start {
            return TextSpan { start: start.start, end: start.start };
        }
        let last = self.pieces.get(self.piece_index(range.end - 1)).unwrap_or(first);
        let end = last.place(range.end - 1).end;
        if end < start.start || end - start.start > FAR {
            // The pieces stand in different places (a definition of several lines after some
            // text): the first one is the best that can be shown.
            return TextSpan { start: start.start, end: first.source.end.max(start.start) };
        }
        TextSpan { start: start.start, end }
    }

    /// Where all of it was written.
    pub(crate) fn whole(&self) -> TextSpan {
        self.span(0..self.text.len())
    }

    fn push(&mut self, text: &str, source: TextSpan, verbatim: bool) {
        let at = self.text.len() as u32;
        self.pieces.push(Piece { at, source, verbatim });
        self.text.push_str(text);
    }

    fn piece_index(&self, at: usize) -> usize {
        self.pieces.partition_point(|piece| piece.at as usize <= at).saturating_sub(1)
    }
}

/// What separates words.
pub(crate) const BLANKS: [char; 2] = [' ', '\t'];

/// A stretch longer than this isn't one line's.
const FAR: u32 = 1 << 16;

impl Piece {
    /// Where the byte at `at` of the line was written.
    fn place(&self, at: usize) -> TextSpan {
        if !self.verbatim {
            return self.source;
        }
        let start = self.source.start + (at as u32).saturating_sub(self.at);
        TextSpan { start, end: start + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        // "ab" at 10, "VALUE" for the reference at 12..16, "cd" at 16.
        let mut line = Line::default();
        line.push_source("ab", 10);
        line.push_instead("VALUE", TextSpan { start: 12, end: 16 });
        line.push_source("cd", 16);
        line
    }

    #[test]
    fn places_survive_replacement() {
        let line = line();
        assert_eq!(line.span(0..2), TextSpan { start: 10, end: 12 });
        assert_eq!(line.span(1..4), TextSpan { start: 11, end: 16 });
        assert_eq!(line.span(8..9), TextSpan { start: 17, end: 18 });
        assert_eq!(line.whole(), TextSpan { start: 10, end: 18 });
    }

    #[test]
    fn places_survive_cutting() {
        let mut line = line();
        line.cut_front(1);
        assert_eq!((line.text.as_str(), line.span(0..1).start), ("bVALUEcd", 11));
        line.cut_front(1);
        assert_eq!(line.span(0..6), TextSpan { start: 12, end: 17 });
        line.truncate(5);
        assert_eq!(line.span(0..5), TextSpan { start: 12, end: 16 });
    }
}
