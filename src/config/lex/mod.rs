//! **From files to lines**: comments, includes, `@` conditions, definitions and sequences.
//!
//! [`Preprocessor::next_line`] gives one finished line after the other; nothing is expanded before
//! it is asked for, so 65,000 instances made by a sequence never stand in memory as text.

mod comment;
mod define;
mod expand;
mod include;
mod line;
mod sequence;

use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(crate) use line::{BLANKS, Line};

use super::diagnostic::{Diagnostic, Findings, codes};
use super::source::{FileId, Files, SourceMap, TextSpan};
use super::{MAX_LINE, Options, host};
use define::{Definition, Definitions};
use include::{Include, IncludeCheck};
use sequence::Sequence;

/// How deeply files may include each other, and definitions use each other.
const MAX_DEPTH: usize = 64;

/// Turns files into lines.
pub(crate) struct Preprocessor<'a> {
    files: &'a dyn Files,
    options: &'a Options,
    /// Everything that was read.
    pub(crate) sources: SourceMap,
    /// What is wrong with it.
    pub(crate) findings: Findings,
    frames: Vec<Frame>,
    definitions: Definitions,
    /// Lines looked at so far.
    lines: u64,
    /// References that were replaced in this line.
    references: u32,
    random: u64,
    context: Option<Rc<Context>>,
    /// What `${_INSTANCE}` is.
    instance: String,
    /// Names of the files that were opened, in order.
    pub(crate) opened: Vec<Box<str>>,
    /// The file to begin with couldn't be read.
    pub(crate) unreadable: bool,
}

/// Where lines come from at the moment; the last frame is asked first.
enum Frame {
    File {
        id: FileId,
        at: usize,
        new: bool,
        directory: Rc<Path>,
        path: PathBuf,
        check: IncludeCheck,
    },
    Body {
        name: Rc<str>,
        lines: Rc<[Line]>,
        next: usize,
        used: TextSpan,
    },
    Repeat {
        sequence: Sequence,
        rest: Line,
        used: TextSpan,
        before: Vec<Option<Definition>>,
        values: Vec<Box<str>>,
    },
}

/// How a line came about that no file has as it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The line in a file that uses a definition or repeats.
    pub(crate) used: TextSpan,
    /// What varies, as `IF=0, NUM=3`; may be empty.
    pub(crate) values: String,
}

/// What became of a line.
enum Outcome {
    /// It is finished.
    Give,
    /// It had its effect, or there is nothing in it.
    Drop,
}

impl<'a> Preprocessor<'a> {
    /// A preprocessor that has nothing to read yet.
    pub(crate) fn new(files: &'a dyn Files, options: &'a Options) -> Self {
        Preprocessor {
            files,
            options,
            sources: SourceMap::default(),
            findings: Findings::default(),
            frames: Vec::new(),
            definitions: Definitions::default(),
            lines: 0,
            references: 0,
            random: options.random_seed,
            context: None,
            instance: options.config_id.clone(),
            opened: Vec::new(),
            unreadable: false,
        }
    }

    /// From here on `${_INSTANCE}` is `name`, as `instance` says.
    pub(crate) fn name_instance(&mut self, name: &str) {
        name.clone_into(&mut self.instance);
    }

    /// Begins with a file. Says so in the findings if it can't be read.
    pub(crate) fn open(&mut self, path: &Path) {
        let shown = path.display().to_string();
        match self.files.read(path) {
            Ok(bytes) => self.push_file(&shown, path, &bytes, IncludeCheck::of(self.options)),
            Err(error) => {
                let message = format!("can't read `{shown}`: {}", plain(&error));
                self.unreadable = true;
                let help = match host::is_default(path) {
                    true => {
                        format!("write it, or a {}, or give another file with -f", host::FILES[1])
                    }
                    false => "check the name and the permissions".to_owned(),
                };
                self.findings.push(Diagnostic::nowhere(codes::CANNOT_READ, message).help(help));
            }
        }
    }

    /// The next line that has something to say; `false` at the end of everything.
    pub(crate) fn next_line(&mut self, line: &mut Line) -> bool {
        while self.fetch(line) {
            self.findings.work += line.text.len() as u64;
            self.lines += 1;
            let limits = &self.options.limits;
            if self.lines > limits.lines || self.findings.work > limits.work {
                let message = format!(
                    "definitions and sequences give more than {} lines or {} bytes",
                    limits.lines, limits.work
                );
                self.findings.push(Diagnostic::new(codes::TOO_LARGE, self.used(line), message));
                self.frames.clear();
                return false;
            }
            self.references = 0;
            if let Outcome::Give = self.process(line) {
                return true;
            }
        }
        false
    }

    /// How the line given last came about; `None` if it stands in a file as it is.
    pub(crate) fn context(&mut self) -> Option<Rc<Context>> {
        if self.context.is_none() {
            let used = self.frames.iter().find_map(|frame| match frame {
                Frame::Body { used, .. } | Frame::Repeat { used, .. } => Some(*used),
                Frame::File { .. } => None,
            })?;
            let mut values = Vec::new();
            for frame in &self.frames {
                if let Frame::Repeat { sequence, values: now, .. } = frame {
                    for (name, value) in sequence.names.iter().zip(now) {
                        values.push(format!("{name}={value}"));
                    }
                }
            }
            self.context = Some(Rc::new(Context { used, values: values.join(", ") }));
        }
        self.context.clone()
    }

    /// Reports definitions that nothing uses.
    pub(crate) fn report_unused(&mut self) {
        for (name, span) in self.definitions.unused() {
            let message = format!("`${name}` is defined but never used");
            self.findings.push(Diagnostic::new(codes::UNUSED_DEFINITION, span, message));
        }
    }

    fn push_file(&mut self, shown: &str, path: &Path, bytes: &[u8], check: IncludeCheck) {
        let text = String::from_utf8_lossy(bytes);
        let damaged = matches!(text, std::borrow::Cow::Owned(_));
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let Some(id) = self.sources.add(shown, text.into()) else {
            let message = format!("`{shown}` makes the configuration larger than 1 GiB");
            self.findings.push(Diagnostic::nowhere(codes::TOO_LARGE, message));
            return;
        };
        if damaged && let Some(file) = self.sources.file(id) {
            let at = file.text().find('\u{fffd}').unwrap_or(0);
            let span = file.span(at, at + '\u{fffd}'.len_utf8().min(file.text().len() - at));
            let message =
                format!("`{shown}` isn't UTF-8; each byte that isn't is read as `\u{fffd}`");
            self.findings.push(Diagnostic::new(codes::NOT_UTF8, span, message));
        }
        let directory = path.parent().unwrap_or(Path::new("")).into();
        self.frames.push(Frame::File { id, at: 0, new: true, directory, path: path.into(), check });
        self.context = None;
    }

    /// Takes the next raw line from the top frame.
    fn fetch(&mut self, line: &mut Line) -> bool {
        loop {
            let Some(frame) = self.frames.last_mut() else { return false };
            match frame {
                Frame::File { id, at, new, .. } => {
                    let Some(file) = self.sources.file(*id) else { return false };
                    let rest = file.text().get(*at..).unwrap_or_default();
                    if std::mem::take(new) {
                        self.opened.push(file.name().into());
                    }
                    if !rest.is_empty() {
                        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
                        let start = file.span(*at, *at);
                        let raw = &rest[..length];
                        let span = file.span(*at, *at + raw.trim_end().len());
                        *at += length;
                        self.findings.work += length as u64;
                        if raw.contains('\0') || raw.len() > MAX_LINE {
                            let what = if raw.len() > MAX_LINE {
                                format!(
                                    "this line has {} bytes; at most {MAX_LINE} are read",
                                    raw.len()
                                )
                            } else {
                                "this line holds a NUL character".to_owned()
                            };
                            let help = if raw.len() > MAX_LINE {
                                "shorten it, or split it into several"
                            } else {
                                "save the file as plain text in UTF-8: this looks like UTF-16, or \
                                 like no text at all"
                            };
                            let span = TextSpan { end: span.end.min(span.start + 40), ..span };
                            self.findings.push(
                                Diagnostic::new(codes::BAD_LINE, span, what)
                                    .label("the line is left out")
                                    .help(help),
                            );
                            continue;
                        }
                        comment::strip(raw, start.start, line);
                        return true;
                    }
                }
                Frame::Body { lines, next, .. } => {
                    if let Some(body) = lines.get(*next) {
                        *next += 1;
                        line.clone_from(body);
                        return true;
                    }
                }
                Frame::Repeat { sequence, rest, values, .. } => {
                    if let Some(row) = sequence.step() {
                        for (name, value) in sequence.names.iter().zip(&row) {
                            self.definitions.set(name, value);
                        }
                        *values = row;
                        line.clone_from(rest);
                        self.context = None;
                        return true;
                    }
                }
            }
            if let Some(Frame::Repeat { sequence, before, .. }) = self.frames.pop() {
                for (name, before) in sequence.names.iter().zip(before) {
                    self.definitions.restore(name, before);
                }
            }
            self.context = None;
        }
    }

    fn process(&mut self, line: &mut Line) -> Outcome {
        let mut expanded = false;
        loop {
            match line.text.as_bytes().first() {
                None => return Outcome::Drop,
                Some(b'@') => {
                    if !self.holds(line) {
                        return Outcome::Drop;
                    }
                    continue;
                }
                Some(b'$') if define::defined_name(&line.text).is_some() => {
                    self.define(line);
                    return Outcome::Drop;
                }
                Some(b'~') => match sequence::head(&line.text) {
                    Ok(None) => {}
                    Ok(Some(head)) => {
                        self.repeat(line, &head);
                        return Outcome::Drop;
                    }
                    Err(message) => {
                        self.bad_sequence(line.whole(), &message);
                        return Outcome::Drop;
                    }
                },
                Some(_) => {}
            }
            if !expanded && line.text.contains('$') {
                expanded = true;
                let mut result = Line::default();
                if !self.expand(line, &mut result, true) {
                    return Outcome::Drop;
                }
                *line = result;
                let blank = line.text.len() - line.text.trim_start_matches(BLANKS).len();
                if blank > 0 {
                    line.cut_front(blank);
                }
                line.truncate(line.text.len());
                continue;
            }
            if let Some(include) = Include::parse(&line.text) {
                self.include(line, &include);
                return Outcome::Drop;
            }
            if line.text.starts_with("include_check") {
                self.include_check(line);
            }
            return Outcome::Give;
        }
    }

    /// Whether `@id` at the beginning of a line, or several, let the rest of it stand; cuts the
    /// conditions off.
    fn holds(&mut self, line: &mut Line) -> bool {
        let id = &self.options.config_id;
        let mut rest = line.text.as_str();
        while rest.starts_with('@') {
            let word = rest.split(BLANKS).next().unwrap_or_default();
            let holds = match word.strip_prefix("@^") {
                Some(other) => other != id,
                None => word.strip_prefix('@') == Some(id),
            };
            if !holds {
                return false;
            }
            rest = rest[word.len()..].trim_start_matches(BLANKS);
        }
        let cut = line.text.len() - rest.len();
        line.cut_front(cut);
        true
    }

    /// Takes `$NAME=value`, with its further lines if it has some.
    fn define(&mut self, line: &mut Line) {
        let Some(name) = define::defined_name(&line.text).map(str::to_owned) else { return };
        let span = line.span(0..name.len() + 1);
        line.cut_front(name.len() + 2);
        let mut lines = Vec::new();
        let mut more = self.take_value(line, &mut lines);
        let several = more;
        let depth = self.frames.len();
        while more && self.has_more(depth) && self.fetch(line) {
            more = self.take_value(line, &mut lines);
        }
        if more {
            let message = format!("the file ends within the definition of `${name}`");
            self.findings.push(
                Diagnostic::new(codes::BAD_DEFINITION, span, message)
                    .help("its last line must not end with `\\`"),
            );
        }
        if name.starts_with('_') && self.predefined(&name, "").is_some() {
            let message = format!("`${name}` is predefined and can't be set");
            self.findings.push(
                Diagnostic::new(codes::BAD_DEFINITION, span, message).help("choose another name"),
            );
            return;
        }
        self.definitions.write(&name, span, Definition { lines: lines.into(), several });
    }

    /// Takes a line of a definition's value; whether another one follows.
    fn take_value(&mut self, line: &mut Line, lines: &mut Vec<Line>) -> bool {
        let backslash = line.text.ends_with('\\');
        if backslash {
            line.truncate(line.text.len() - 1);
        }
        let more = backslash || line.continues;
        // A definition on one line may be empty; empty lines of a longer one say nothing.
        if !line.text.is_empty() || (!more && lines.is_empty()) {
            lines.push(line.clone());
        }
        more
    }

    /// Whether the frame at the top, number `depth`, has another line.
    fn has_more(&self, depth: usize) -> bool {
        if self.frames.len() != depth {
            return false;
        }
        match self.frames.last() {
            Some(Frame::File { id, at, .. }) => {
                self.sources.file(*id).is_some_and(|file| *at < file.text().len())
            }
            Some(Frame::Body { lines, next, .. }) => *next < lines.len(),
            _ => false,
        }
    }

    /// Takes `~SEQ(…) rest`.
    fn repeat(&mut self, line: &mut Line, head: &sequence::Head) {
        let used = self.used(line);
        let span = line.span(0..head.close + 1);
        let mut inside = Line::default();
        inside.push_part(line, head.inside..head.close);
        let mut replaced = Line::default();
        if !self.expand(&inside, &mut replaced, false) {
            return;
        }
        match Sequence::parse(head, &replaced.text) {
            Ok(sequence) => {
                line.cut_front(head.close + 1);
                if line.text.is_empty() {
                    self.bad_sequence(span, "nothing follows that could be repeated");
                    return;
                }
                if self.frames.len() >= MAX_DEPTH {
                    self.bad_sequence(span, "sequences and definitions are nested too deeply");
                    return;
                }
                let names = &sequence.names;
                let before =
                    names.iter().map(|name| self.definitions.peek(name).cloned()).collect();
                let rest = std::mem::take(line);
                self.frames.push(Frame::Repeat {
                    sequence,
                    rest,
                    used,
                    before,
                    values: Vec::new(),
                });
                self.context = None;
            }
            Err(message) => self.bad_sequence(span, &message),
        }
    }

    fn bad_sequence(&mut self, span: TextSpan, message: &str) {
        let quoted = match self.sources.text(span) {
            "" => "this sequence".to_owned(),
            text => format!("`{text}`"),
        };
        self.findings.push(
            Diagnostic::new(codes::BAD_SEQUENCE, span, format!("{quoted} can't be read: {message}"))
                .label("the line is left out")
                .help("write ~SEQ(NAME, START, STEP, END) or ~LST(NAME, VALUE, VALUE…), then the line to repeat"),
        );
    }

    /// The line in a file that is to be blamed for what is read at the moment.
    fn used(&self, line: &Line) -> TextSpan {
        let outer = self.frames.iter().find_map(|frame| match frame {
            Frame::Body { used, .. } | Frame::Repeat { used, .. } => Some(*used),
            Frame::File { .. } => None,
        });
        outer.unwrap_or_else(|| line.whole())
    }
}

/// What the system says, without Rust's own number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or_default();
    let mut letters = plain.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
