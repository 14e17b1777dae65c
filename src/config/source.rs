//! Files and places in them: where text comes from, and how a place in it is told to people.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A stretch of source text: byte offsets into the concatenation of all files of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TextSpan {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// Which file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A place as people say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position<'a> {
    /// The file's name as it was given or included.
    pub file: &'a str,
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1 in characters.
    pub column: u32,
}

/// Access to configuration files. The daemon gives [`OsFiles`], tests give [`MemoryFiles`].
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files whose names match a pattern (`*`, `?`, `[…]`), sorted. Braces have been expanded
    /// before.
    fn glob(&self, pattern: &str) -> Vec<PathBuf>;
}

/// The files of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

/// Files that exist in memory only.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// All text that was read, in the order of reading.
#[derive(Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

/// One file's text.
#[derive(Debug)]
pub struct SourceFile {
    name: Box<str>,
    text: Box<str>,
    base: u32,
    line_starts: OnceCell<Vec<u32>>,
}

/// The most text that one configuration may have, all files together: places are 32-bit numbers.
pub const MAX_TEXT: usize = 1 << 30;

impl TextSpan {
    /// The stretch from the beginning of this one to the end of `other`.
    #[must_use]
    pub fn to(self, other: TextSpan) -> TextSpan {
        TextSpan { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The point just after this stretch.
    #[must_use]
    pub fn after(self) -> TextSpan {
        TextSpan { start: self.end, end: self.end }
    }
}

impl Files for OsFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        glob::glob_with(pattern, MATCHING).into_iter().flatten().flatten().collect()
    }
}

/// `*` and `?` match neither `/` nor a leading dot, as in `glob(7)`.
const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

impl MemoryFiles {
    /// No files yet.
    pub fn new() -> Self {
        MemoryFiles::default()
    }

    /// These files and one more.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let Ok(pattern) = glob::Pattern::new(pattern) else { return Vec::new() };
        let matches = |path: &&PathBuf| pattern.matches_path_with(path, MATCHING);
        self.files.keys().filter(matches).cloned().collect()
    }
}

impl SourceMap {
    /// Adds a file and returns its id; `None` if there would be more text than [`MAX_TEXT`].
    pub fn add(&mut self, name: &str, text: Box<str>) -> Option<FileId> {
        // One byte between files, so that the end of one isn't the beginning of the next.
        let base = self.files.last().map_or(0, |last| last.base as usize + last.text.len() + 1);
        if base + text.len() > MAX_TEXT {
            return None;
        }
        let id = FileId(self.files.len() as u32);
        self.files.push(SourceFile {
            name: name.into(),
            text,
            base: base as u32,
            line_starts: OnceCell::new(),
        });
        Some(id)
    }

    /// A file of this map.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// How many files were read.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of text, all files together.
    pub fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.text.len()).sum()
    }

    /// The file in which a stretch begins.
    pub fn file_of(&self, span: TextSpan) -> Option<&SourceFile> {
        let after = self.files.partition_point(|file| file.base <= span.start);
        self.files.get(after.checked_sub(1)?)
    }

    /// Where a stretch begins, as people say it.
    pub fn position(&self, span: TextSpan) -> Option<Position<'_>> {
        self.file_of(span).map(|file| file.position(span.start))
    }

    /// The text of a stretch; empty if it isn't one of this map.
    pub fn text(&self, span: TextSpan) -> &str {
        self.file_of(span)
            .and_then(|file| file.text.get(file.local(span.start)..file.local(span.end)))
            .unwrap_or_default()
    }
}

impl SourceFile {
    /// Its name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The stretch from byte `start` to byte `end` of this file.
    pub fn span(&self, start: usize, end: usize) -> TextSpan {
        TextSpan { start: self.base + start as u32, end: self.base + end as u32 }
    }

    /// An offset of the map as an offset into this file, never beyond its end nor inside a
    /// character.
    pub fn local(&self, offset: u32) -> usize {
        let mut local = (offset.saturating_sub(self.base) as usize).min(self.text.len());
        while !self.text.is_char_boundary(local) {
            local -= 1;
        }
        local
    }

    /// The line (from 1) that holds a map offset, its first byte in this file, and its text.
    pub fn line_at(&self, offset: u32) -> (u32, usize, &str) {
        let local = self.local(offset) as u32;
        let starts = self.line_starts();
        let line = starts.partition_point(|&start| start <= local);
        let start = starts[line - 1] as usize;
        let end = starts.get(line).map_or(self.text.len(), |&next| next as usize);
        (line as u32, start, self.text[start..end].trim_end_matches(['\n', '\r']))
    }

    fn position(&self, offset: u32) -> Position<'_> {
        let (line, start, _) = self.line_at(offset);
        let before = self.text.get(start..self.local(offset)).unwrap_or_default();
        Position { file: &self.name, line, column: before.chars().count() as u32 + 1 }
    }

    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
            std::iter::once(0).chain(newlines.map(|(at, _)| at as u32 + 1)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let mut map = SourceMap::default();
        map.add("a", "x\n".into());
        let b = map.add("b", "é=1\nabc".into()).unwrap();
        let file = map.file(b).unwrap();
        let at = |local| map.position(file.span(local, local)).unwrap();
        assert_eq!(at(0), Position { file: "b", line: 1, column: 1 });
        assert_eq!(at(2), Position { file: "b", line: 1, column: 2 });
        assert_eq!(at(7), Position { file: "b", line: 2, column: 3 });
        assert_eq!(map.text(file.span(5, 8)), "abc");
    }

    #[test]
    fn memory_files_match_patterns_as_the_host_does() {
        let files =
            MemoryFiles::new().with("/c/a.conf", "").with("/c/b.conf", "").with("/c/d/e", "");
        let names = |pattern| files.glob(pattern).len();
        assert_eq!((names("/c/*.conf"), names("/c/*"), names("/c/[ab].conf")), (2, 2, 2));
    }
}
