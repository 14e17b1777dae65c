//! **From lines to words and braces.** A brace outside `"…"` ends a statement wherever it stands,
//! so one line may hold several statements.

use std::ops::Range;

use super::diagnostic::{Diagnostic, codes};
use super::lex::{Line, Preprocessor};
use super::source::TextSpan;

/// What a line consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Words up to a brace or the end of the line: the text they stand in, and which of the line's
    /// words they are.
    Statement { text: Range<usize>, words: Range<usize> },
    /// `{`, at this byte.
    Open(usize),
    /// `}`, at this byte.
    Close(usize),
}

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineWord {
    /// The word without its quotes.
    pub(crate) text: Range<usize>,
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
}

/// A line and what it consists of.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) line: Line,
    pub(crate) words: Vec<LineWord>,
    tokens: Vec<Token>,
    next: usize,
}

impl Tokens {
    /// The next token, which stays next; reads lines as needed. `None` at the end of everything.
    pub(crate) fn peek(&mut self, lines: &mut Preprocessor<'_>) -> Option<&Token> {
        while self.next >= self.tokens.len() {
            if !lines.next_line(&mut self.line) {
                return None;
            }
            self.split(lines);
        }
        self.tokens.get(self.next)
    }

    /// Takes the token that was peeked at.
    pub(crate) fn take(&mut self) {
        self.next += 1;
    }

    /// Whether the token that was peeked at is the first on its line.
    pub(crate) fn is_first(&self) -> bool {
        self.next == 0
    }

    /// The token after the one that was peeked at, if it stands on the same line.
    pub(crate) fn following(&self) -> Option<&Token> {
        self.tokens.get(self.next + 1)
    }

    /// Where a byte of the line was written.
    pub(crate) fn at(&self, byte: usize) -> TextSpan {
        self.line.span(byte..byte + 1)
    }

    fn split(&mut self, lines: &mut Preprocessor<'_>) {
        self.tokens.clear();
        self.words.clear();
        self.next = 0;
        let text = self.line.text.as_bytes();
        let mut statement: Option<(usize, usize)> = None;
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match byte {
                b' ' | b'\t' => at += 1,
                b'{' | b'}' => {
                    finish(&mut self.tokens, &mut statement, at, self.words.len());
                    let brace = if byte == b'{' { Token::Open(at) } else { Token::Close(at) };
                    self.tokens.push(brace);
                    at += 1;
                }
                _ => {
                    statement.get_or_insert((at, self.words.len()));
                    let (word, after) = self.word(at, lines);
                    self.words.push(word);
                    at = after;
                }
            }
        }
        finish(&mut self.tokens, &mut statement, text.len(), self.words.len());
    }

    /// The word that begins at `start`, and where it ends, quotes included.
    fn word(&self, start: usize, lines: &mut Preprocessor<'_>) -> (LineWord, usize) {
        let text = self.line.text.as_bytes();
        if text.get(start) == Some(&b'"') {
            let inside = start + 1;
            return match text[inside..].iter().position(|&byte| byte == b'"') {
                Some(length) => {
                    let end = inside + length;
                    (LineWord { text: inside..end, quoted: true }, end + 1)
                }
                None => {
                    let span = self.line.span(start..text.len());
                    let begins: String = self.line.text[start..].chars().take(20).collect();
                    lines.findings.push(
                        Diagnostic::new(
                            codes::UNTERMINATED_QUOTE,
                            span,
                            format!("`{begins}` has no end: a `\"` is missing"),
                        )
                        .label("a `\"` is missing on this line")
                        .help(
                            "strings can't go on to the next line; close it before the line ends",
                        ),
                    );
                    (LineWord { text: inside..text.len(), quoted: true }, text.len())
                }
            };
        }
        let mut end = start;
        while let Some(&byte) = text.get(end) {
            match byte {
                b' ' | b'\t' | b'"' | b'}' => break,
                // `${NAME}` that nothing defines stays whole.
                b'{' if end > start && text.get(end - 1) == Some(&b'$') => {
                    let name = text[end + 1..].iter().take_while(|byte| !b" \t\"${".contains(byte));
                    match name.clone().position(|&byte| byte == b'}') {
                        Some(length) => end += length + 2,
                        None => break,
                    }
                }
                b'{' => break,
                _ => end += 1,
            }
        }
        (LineWord { text: start..end, quoted: false }, end.max(start + 1))
    }
}

fn finish(
    tokens: &mut Vec<Token>,
    statement: &mut Option<(usize, usize)>,
    end: usize,
    words: usize,
) {
    if let Some((start, first)) = statement.take() {
        tokens.push(Token::Statement { text: start..end, words: first..words });
    }
}
