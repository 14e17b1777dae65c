//! **From words to statements in blocks**, one top-level statement at a time, with a way on after
//! every mistake: a missing or surplus brace is told once, and what stands around it lives.

use std::ops::Range;
use std::rc::Rc;

use super::diagnostic::{Diagnostic, codes};
use super::keywords::{Keyword, Kind, Naming, Place, Shape, root};
use super::lex::{BLANKS, Context, Preprocessor};
use super::source::TextSpan;
use super::words::{Token, Tokens};

/// Statements in the order in which they are written; each knows where its block ends.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    text: String,
    words: Vec<Word>,
    nodes: Vec<Node>,
    contexts: Vec<Rc<Context>>,
}

/// A word of a statement.
#[derive(Debug)]
pub(crate) struct Word {
    text: Range<u32>,
    /// Where it was written, without its quotes.
    pub(crate) span: TextSpan,
}

/// A statement.
#[derive(Debug)]
struct Node {
    text: Range<u32>,
    words: Range<u32>,
    span: TextSpan,
    /// Its opening brace, if it has a block.
    block: Option<TextSpan>,
    /// One past its last statement inside.
    end: u32,
    context: Option<u32>,
    /// Whether it is left out, which has been said.
    skipped: bool,
}

/// A statement of a tree, to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'t> {
    tree: &'t Tree,
    index: usize,
}

/// What a block that is open at the moment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// Statements of a place.
    Settings(Place),
    /// Lines of a place.
    Lines(Place),
    /// Whatever it is, it is skipped.
    Unknown,
    /// What the block around it holds: its `{` belongs to nothing.
    Same,
}

/// A block that is open at the moment.
#[derive(Debug)]
struct Open {
    node: Option<usize>,
    inside: Inside,
    brace: TextSpan,
    /// How many blanks the line of its keyword begins with.
    indent: Option<u32>,
    /// A block inside that was closed by a brace which, by its indentation, was meant for this
    /// one: what it is called, its opening brace, and the brace that closed it.
    suspect: Option<(String, TextSpan, TextSpan)>,
}

/// How deeply blocks may be nested; nothing needs more than three.
const MAX_BLOCKS: usize = 32;

/// Puts statements together.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    tokens: Tokens,
    /// The top-level block that was closed last: what its inside is, what it is called, and where
    /// it was closed.
    last_block: Option<(Place, String, TextSpan)>,
    /// Whether statements that belong in a block are being skipped at the top level.
    skipping_outside: bool,
    /// Whether a block was closed without a brace, so that a brace may turn up later.
    brace_owed: bool,
}

impl Tree {
    fn clear(&mut self) {
        self.text.clear();
        self.words.clear();
        self.nodes.clear();
        self.contexts.clear();
    }

    /// The top-level statements.
    pub(crate) fn roots(&self) -> impl Iterator<Item = Statement<'_>> + Clone {
        self.siblings(0, self.nodes.len())
    }

    /// The first words of top-level statements that were left out, which has been told.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = &str> {
        let skipped = self.nodes.iter().enumerate().filter(|(_, node)| node.skipped);
        skipped.map(|(index, _)| Statement { tree: self, index }.first().0)
    }

    fn siblings(&self, mut next: usize, end: usize) -> impl Iterator<Item = Statement<'_>> + Clone {
        std::iter::from_fn(move || {
            while next < end {
                let statement = Statement { tree: self, index: next };
                let node = statement.node();
                next = (node.end as usize).max(next + 1);
                if !node.skipped {
                    return Some(statement);
                }
            }
            None
        })
    }

    fn word_text(&self, word: &Word) -> &str {
        self.text.get(word.text.start as usize..word.text.end as usize).unwrap_or_default()
    }
}

impl<'t> Statement<'t> {
    fn node(self) -> &'t Node {
        // Statements are made with indices of existing nodes only.
        &self.tree.nodes[self.index]
    }

    /// Its words.
    pub(crate) fn words(self) -> impl ExactSizeIterator<Item = (&'t str, &'t Word)> + Clone {
        let range = &self.node().words;
        let words = self.tree.words.get(range.start as usize..range.end as usize);
        words.unwrap_or_default().iter().map(move |word| (self.tree.word_text(word), word))
    }

    /// Its first word, and where that stands.
    pub(crate) fn first(self) -> (&'t str, TextSpan) {
        self.words().next().map_or(("", self.span()), |(text, word)| (text, word.span))
    }

    /// Its text as it is written, quotes included.
    pub(crate) fn raw(self) -> &'t str {
        let range = &self.node().text;
        self.tree.text.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Where it stands.
    pub(crate) fn span(self) -> TextSpan {
        self.node().span
    }

    /// Its opening brace, if it has a block.
    pub(crate) fn block(self) -> Option<TextSpan> {
        self.node().block
    }

    /// The statements in its block.
    pub(crate) fn children(self) -> impl Iterator<Item = Statement<'t>> + Clone {
        self.tree.siblings(self.index + 1, self.node().end as usize)
    }

    /// How it came about, if no file has it as it stands.
    pub(crate) fn context(self) -> Option<&'t Context> {
        self.node().context.and_then(|index| self.tree.contexts.get(index as usize)).map(|rc| &**rc)
    }
}

impl Builder {
    /// Reads the next top-level statement into `tree`; `false` at the end of everything.
    pub(crate) fn next(&mut self, lines: &mut Preprocessor<'_>, tree: &mut Tree) -> bool {
        tree.clear();
        let mut open: Vec<Open> = Vec::new();
        // The statement that a `{` would belong to, and how far its line is indented.
        let mut last: Option<(usize, Option<u32>)> = None;
        // Blocks that are open beyond the depth that is looked at.
        let mut beyond = 0_u32;
        loop {
            let Some(token) = self.tokens.peek(lines).cloned() else {
                if !open.is_empty() {
                    self.report_unclosed(lines, tree, &open, 0, None);
                }
                self.close_to(tree, &mut open, 0, TextSpan::default());
                return !tree.nodes.is_empty();
            };
            lines.findings.work += 1 + open.len() as u64;
            match token {
                Token::Statement { .. } if beyond > 0 => self.tokens.take(),
                Token::Open(_) if beyond > 0 => {
                    beyond += 1;
                    self.tokens.take();
                }
                Token::Close(_) if beyond > 0 => {
                    beyond -= 1;
                    self.tokens.take();
                }
                Token::Open(at) if open.len() >= MAX_BLOCKS => {
                    beyond = 1;
                    last = None;
                    // Inside an unknown block nothing is looked at anyway.
                    if innermost(&open) != Inside::Unknown {
                        let message = format!("blocks are nested more than {MAX_BLOCKS} deep");
                        let span = self.tokens.at(at);
                        lines.findings.push(
                            Diagnostic::new(codes::TOO_DEEP, span, message)
                                .label("this block is left out")
                                .help("no block of the language is nested more than three deep"),
                        );
                    }
                    self.tokens.take();
                }
                Token::Statement { text, words } => {
                    let mut skipped = false;
                    if open.is_empty() {
                        if !tree.nodes.is_empty() {
                            return true;
                        }
                        self.brace_owed = false;
                        skipped = self.is_outside(lines, &words);
                        if self.word(words.start) == root::INSTANCE.keyword().name
                            && words.len() > 1
                        {
                            lines.name_instance(self.word(words.start + 1));
                        }
                    } else if let Some(level) = self.ends_blocks(&open, &words) {
                        self.report_unclosed(lines, tree, &open, level, Some(&words));
                        let end = self.tokens.at(text.start);
                        self.close_to(tree, &mut open, level, end);
                        self.brace_owed = true;
                        if level == 0 {
                            return true;
                        }
                    }
                    let index = self.add(lines, tree, text, words);
                    tree.nodes[index].skipped = skipped;
                    let indent = self.tokens.is_first().then_some(self.tokens.line.indent);
                    self.tokens.take();
                    last = Some((index, indent));
                    self.assume_brace(lines, tree, &mut open, &mut last);
                }
                Token::Open(at) => {
                    let brace = self.tokens.at(at);
                    let own_line = self.tokens.is_first();
                    self.tokens.take();
                    // On a line of its own a brace doesn't belong to a setting that takes none.
                    let owner = last
                        .take()
                        .filter(|&(index, _)| !own_line || self.may_open(tree, &open, index));
                    match owner {
                        Some((index, indent)) => self.open(tree, &mut open, index, indent, brace),
                        None => self.stray_open(lines, &mut open, brace),
                    }
                }
                Token::Close(at) => {
                    let brace = self.tokens.at(at);
                    let indent = self.tokens.is_first().then_some(self.tokens.line.indent);
                    self.tokens.take();
                    last = None;
                    let Some(level) = open.len().checked_sub(1) else {
                        self.extra_close(lines, brace);
                        continue;
                    };
                    self.suspect(tree, &mut open, indent, brace);
                    self.close_to(tree, &mut open, level, brace);
                    if open.is_empty() && !tree.nodes.is_empty() {
                        return true;
                    }
                }
            }
        }
    }

    /// Copies a statement from the line into the tree.
    fn add(
        &mut self,
        lines: &mut Preprocessor<'_>,
        tree: &mut Tree,
        text: Range<usize>,
        words: Range<usize>,
    ) -> usize {
        let line = &self.tokens.line;
        let shift = tree.text.len();
        let raw = line.text[text.clone()].trim_end_matches(BLANKS);
        let raw_end = text.start + raw.len();
        tree.text.push_str(raw);
        let first_word = tree.words.len() as u32;
        for word in &self.tokens.words[words] {
            let start = (word.text.start - text.start + shift) as u32;
            let end = (word.text.end - text.start + shift) as u32;
            let span = line.span(word.text.clone());
            tree.words.push(Word { text: start..end, span });
        }
        let context = lines.context().map(|context| {
            if !tree.contexts.last().is_some_and(|last| Rc::ptr_eq(last, &context)) {
                tree.contexts.push(context);
            }
            tree.contexts.len() as u32 - 1
        });
        let index = tree.nodes.len();
        tree.nodes.push(Node {
            text: shift as u32..tree.text.len() as u32,
            words: first_word..tree.words.len() as u32,
            span: line.span(text.start..raw_end),
            block: None,
            end: index as u32 + 1,
            context,
            skipped: false,
        });
        index
    }

    /// Whether statement `index` may have a block: it isn't known to take none.
    fn may_open(&self, tree: &Tree, open: &[Open], index: usize) -> bool {
        let Inside::Settings(place) = innermost(open) else { return true };
        let keyword = place.find(Statement { tree, index }.first().0);
        keyword.is_none_or(|keyword| {
            use Shape::{Anything, Block, Lines, Words};
            matches!(keyword.shape, Block(..) | Lines(_) | Words(_) | Anything)
        })
    }

    /// What a block of statement `index` holds.
    fn inside(&self, tree: &Tree, open: &[Open], index: usize) -> Inside {
        let word = Statement { tree, index }.first().0;
        let around = innermost(open);
        let keyword = match around {
            Inside::Settings(place) => place.find(word),
            _ => None,
        };
        match keyword.map(|keyword| keyword.shape) {
            Some(Shape::Block(place, _)) => Inside::Settings(place),
            Some(Shape::Lines(place)) => Inside::Lines(place),
            _ => Inside::Unknown,
        }
    }

    fn open(
        &mut self,
        tree: &mut Tree,
        open: &mut Vec<Open>,
        index: usize,
        indent: Option<u32>,
        brace: TextSpan,
    ) {
        let inside = self.inside(tree, open, index);
        tree.nodes[index].block = Some(brace);
        open.push(Open { node: Some(index), inside, brace, indent, suspect: None });
    }

    /// Closes blocks until `level` are left open.
    fn close_to(&mut self, tree: &mut Tree, open: &mut Vec<Open>, level: usize, brace: TextSpan) {
        while open.len() > level {
            let Some(block) = open.pop() else { break };
            let Some(index) = block.node else { continue };
            tree.nodes[index].end = tree.nodes.len() as u32;
            if open.is_empty()
                && let Inside::Settings(place) = block.inside
            {
                self.last_block = Some((place, describe(tree, index), brace));
                self.skipping_outside = false;
            }
        }
    }

    /// How many blocks stay open before the statement of `words`: `None` if all do. A statement
    /// ends blocks if it means nothing in them but something further out, which shows that a brace
    /// is missing before it.
    fn ends_blocks(&self, open: &[Open], words: &Range<usize>) -> Option<usize> {
        let word = self.word(words.start);
        match innermost(open) {
            Inside::Settings(place) if place.find(word).is_some() => return None,
            Inside::Lines(place) if !self.is_out_of_place(place, words) => return None,
            _ => {}
        }
        for level in (0..open.len()).rev() {
            let place = match level.checked_sub(1) {
                None => Place::Root,
                Some(around) => match open[around].inside {
                    Inside::Settings(place) => place,
                    _ => continue,
                },
            };
            let Some(keyword) = place.find(word) else { continue };
            // Only a block is certain enough to end an unknown block, or to end all blocks.
            let certain = self.opens_block(keyword, words);
            let unknown = innermost(open) == Inside::Unknown;
            if certain || (level > 0 && !unknown) {
                return Some(level);
            }
        }
        None
    }

    /// Whether the statement of `words` opens a block, as `keyword` does: with a name it may do so
    /// on the next line, else only with a brace behind it.
    fn opens_block(&self, keyword: &Keyword, words: &Range<usize>) -> bool {
        let brace = matches!(self.tokens.following(), Some(Token::Open(_)));
        let ends = self.tokens.following().is_none();
        match keyword.shape {
            Shape::Block(_, Naming::Named) => words.len() == 2 && (brace || ends),
            Shape::Block(_, Naming::Unnamed) | Shape::Lines(_) | Shape::Words(_) => {
                words.len() == 1 && brace
            }
            Shape::Anything => brace,
            _ => false,
        }
    }

    /// Whether a line can't be one of `place`: it must be something else that only a missing brace
    /// put there.
    fn is_out_of_place(&self, place: Place, words: &Range<usize>) -> bool {
        let Some(line) = place.line() else { return false };
        let word = self.word(words.start);
        let outer = [Place::Root, Place::Global, Place::Instance, Place::SyncGroup];
        if place.find(word).is_some() || !outer.iter().any(|outer| outer.find(word).is_some()) {
            return false;
        }
        match line.args.first().map(|arg| arg.kind) {
            // A keyword might be a name, but then nothing or options follow it.
            Some(Kind::Word | Kind::Interface) => {
                words.len() > 1 || matches!(self.tokens.following(), Some(Token::Open(_)))
            }
            // No keyword is an address, and what a route or rule can begin with is in the table.
            _ => true,
        }
    }

    fn word(&self, index: usize) -> &str {
        let range = self.tokens.words.get(index).map(|word| word.text.clone());
        range.and_then(|range| self.tokens.line.text.get(range)).unwrap_or_default()
    }

    /// Remembers a closing brace that looks as if it were meant for the block around the one that
    /// it closes.
    fn suspect(&mut self, tree: &Tree, open: &mut [Open], indent: Option<u32>, brace: TextSpan) {
        let [.., around, closed] = open else { return };
        let (Some(brace_at), Some(own), Some(outer)) = (indent, closed.indent, around.indent)
        else {
            return;
        };
        if around.suspect.is_none() && brace_at != own && brace_at == outer {
            let name = closed.node.map_or_else(String::new, |index| describe(tree, index));
            around.suspect = Some((name, closed.brace, brace));
        }
    }

    /// Reports that blocks from `level` on lack their closing brace.
    fn report_unclosed(
        &mut self,
        lines: &mut Preprocessor<'_>,
        tree: &Tree,
        open: &[Open],
        level: usize,
        next: Option<&Range<usize>>,
    ) {
        let Some(innermost) = open.last() else { return };
        let unclosed = open.get(level..).unwrap_or_default();
        let suspect = unclosed.iter().rev().find_map(|block| block.suspect.as_ref());
        let (name, brace) = match suspect {
            Some((name, brace, _)) => (name.clone(), *brace),
            None => {
                let name = innermost.node.map_or_else(String::new, |node| describe(tree, node));
                (name, innermost.brace)
            }
        };
        let what = if name.is_empty() { "this block".to_owned() } else { format!("`{name}`") };
        let mut finding = Diagnostic::new(
            codes::MISSING_BRACE,
            brace,
            format!("the block of {what} is never closed: a `}}` is missing"),
        )
        .label("opened here");
        match (suspect, next) {
            (Some((_, _, close)), _) => {
                finding = finding
                    .related(*close, "this brace closes it, but looks meant for the block around")
                    .help(format!("add a `}}` before that line, where {what} ends"));
            }
            (None, Some(words)) => {
                let word = self.word(words.start).to_owned();
                let span = self
                    .tokens
                    .words
                    .get(words.start)
                    .map_or(brace, |word| self.tokens.line.span(word.text.clone()));
                finding = finding
                    .related(span, format!("`{word}` doesn't belong inside, so it must end before"))
                    .help("add a `}` before that line");
            }
            (None, None) => {
                finding =
                    finding.help("the file ends before the block does; add a `}` where it ends");
            }
        }
        lines.findings.push(finding);
    }

    /// If the statement that was just added needs a block and no `{` follows: says so, and goes on
    /// as if it did, provided that what follows belongs in such a block.
    fn assume_brace(
        &mut self,
        lines: &mut Preprocessor<'_>,
        tree: &mut Tree,
        open: &mut Vec<Open>,
        last: &mut Option<(usize, Option<u32>)>,
    ) {
        let Some((index, indent)) = *last else { return };
        let inside = self.inside(tree, open, index);
        let (Inside::Settings(_) | Inside::Lines(_)) = inside else { return };
        let next = self.tokens.peek(lines).cloned();
        if let Some(Token::Open(_)) = next {
            return;
        }
        let statement = Statement { tree, index };
        let span = statement.span();
        let message = format!("`{}` must be followed by `{{`", statement.raw());
        let mut finding = Diagnostic::new(codes::MISSING_OPEN_BRACE, span.after(), message)
            .label("a `{` is missing here");
        *last = None;
        let belongs = match (&next, inside) {
            (Some(Token::Statement { words, .. }), Inside::Settings(place)) => {
                let word = self.word(words.start);
                let here = match innermost(open) {
                    Inside::Settings(place) => place.find(word).is_some(),
                    _ => false,
                };
                place.find(word).is_some() && !here
            }
            (Some(Token::Statement { words, .. }), Inside::Lines(place)) => {
                !self.is_out_of_place(place, words)
            }
            _ => false,
        };
        if belongs {
            finding = finding.help("add a `{` at the end of this line");
            self.open(tree, open, index, indent, span.after());
        } else {
            finding = finding.help("write `{` and what belongs inside, then `}`");
        }
        lines.findings.push(finding);
    }

    fn stray_open(&mut self, lines: &mut Preprocessor<'_>, open: &mut Vec<Open>, brace: TextSpan) {
        let message =
            "this `{` belongs to no keyword; what stands inside is read as if it weren't there";
        lines.findings.push(
            Diagnostic::new(codes::STRAY_OPEN_BRACE, brace, message)
                .help("remove it and its `}`, or write the keyword that it opens a block for"),
        );
        open.push(Open { node: None, inside: Inside::Same, brace, indent: None, suspect: None });
    }

    fn extra_close(&mut self, lines: &mut Preprocessor<'_>, brace: TextSpan) {
        if std::mem::take(&mut self.brace_owed) || std::mem::take(&mut self.skipping_outside) {
            return;
        }
        let mut finding = Diagnostic::new(
            codes::EXTRA_BRACE,
            brace,
            "this `}` closes nothing: no block is open here",
        )
        .help("remove it");
        if let Some((_, name, close)) = &self.last_block {
            finding = finding.related(*close, format!("`{name}` is closed here already"));
        }
        lines.findings.push(finding);
    }

    /// Whether a statement at the top level belongs in a block that was closed too early; says
    /// so, once for all that follow.
    fn is_outside(&mut self, lines: &mut Preprocessor<'_>, words: &Range<usize>) -> bool {
        let word = self.word(words.start).to_owned();
        if Place::Root.find(&word).is_some() {
            self.skipping_outside = false;
            return false;
        }
        if self.skipping_outside {
            return true;
        }
        let Some((place, name, close)) = &self.last_block else { return false };
        if place.find(&word).is_none() {
            return false;
        }
        let span = self
            .tokens
            .words
            .get(words.start)
            .map_or(*close, |word| self.tokens.line.span(word.text.clone()));
        let message =
            format!("`{word}` stands outside of all blocks; it belongs in `{}`", place.title());
        lines.findings.push(
            Diagnostic::new(codes::OUTSIDE_BLOCK, span, message)
                .related(*close, format!("`{name}` is closed here"))
                .help(format!("if it belongs to `{name}`, remove that `}}`; everything up to the next block is left out")),
        );
        self.skipping_outside = true;
        true
    }
}

/// What the innermost open block holds.
fn innermost(open: &[Open]) -> Inside {
    let real = open.iter().rev().find(|block| block.inside != Inside::Same);
    real.map_or(Inside::Settings(Place::Root), |block| block.inside)
}

/// `vrrp_instance VI_1`: what a block is called.
fn describe(tree: &Tree, index: usize) -> String {
    let words: Vec<_> = Statement { tree, index }.words().take(2).map(|(text, _)| text).collect();
    words.join(" ")
}
