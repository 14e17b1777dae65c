//! Findings as text: one line each for logs, excerpts for a terminal, JSON for editors and CI.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::source::TextSpan;

/// Lines of source shown before and after the marked one.
const CONTEXT_LINES: usize = 1;

/// A stretch to mark, what it is, and whether it is the one to blame.
type Mark<'a> = (TextSpan, &'a str, bool);

/// A finding for editors and CI.
#[derive(Debug, Serialize)]
struct JsonFinding<'a> {
    severity: Severity,
    code: &'static str,
    message: &'a str,
    #[serde(flatten)]
    place: Option<JsonPlace<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<JsonRelated<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    help: &'a [String],
    #[serde(skip_serializing_if = "is_zero")]
    repeated: u32,
}

#[derive(Debug, Serialize)]
struct JsonPlace<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Debug, Serialize)]
struct JsonRelated<'a> {
    #[serde(flatten)]
    place: Option<JsonPlace<'a>>,
    message: &'a str,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Diagnostics {
    /// A finding as one line: `FILE:LINE:COLUMN: error[E032]: …; help: …`.
    pub fn one_line(&self, finding: &Diagnostic) -> String {
        let mut line = String::new();
        if let Some(at) = finding.span.and_then(|span| self.sources().position(span)) {
            let _ = write!(line, "{}:{}:{}: ", at.file, at.line, at.column);
        }
        let _ = write!(line, "{}[{}]: ", severity_word(finding.severity()), finding.code.id);
        line.push_str(&finding.message);
        for (span, what) in &finding.related {
            if let Some(at) = self.sources().position(*span) {
                let _ = write!(line, "; {what}: {}:{}:{}", at.file, at.line, at.column);
            }
        }
        for help in &finding.help {
            let _ = write!(line, "; help: {help}");
        }
        if finding.repeated > 0 {
            let _ = write!(line, " (and {} more like it from this line)", finding.repeated);
        }
        line.replace(char::is_control, " ")
    }

    /// All findings with excerpts of the source, for a terminal; with ANSI colours if wanted.
    pub fn rich(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for finding in self {
            text.push_str(&self.rich_one(&renderer, finding));
            text.push_str("\n\n");
        }
        text
    }

    /// All findings as a JSON array.
    pub fn json(&self) -> String {
        let findings: Vec<_> = self.iter().map(|finding| self.json_one(finding)).collect();
        serde_json::to_string_pretty(&findings).unwrap_or_default()
    }

    /// `2 errors, 1 warning, 3 notes`, leaving out what there is none of; empty if there is
    /// nothing.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (severity, word) in
            [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
        {
            match self.count(severity) {
                0 => {}
                1 => parts.push(format!("1 {word}")),
                count => parts.push(format!("{count} {word}s")),
            }
        }
        parts.join(", ")
    }

    fn rich_one(&self, renderer: &Renderer, finding: &Diagnostic) -> String {
        let level = match finding.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(&finding.message).id(finding.code.id);
        let primary = finding.span.map(|span| (span, finding.label.as_str(), true));
        let related = finding.related.iter().map(|(span, what)| (*span, what.as_str(), false));
        let marks: Vec<_> = primary.into_iter().chain(related).collect();
        let mut group = Group::with_title(title);
        for excerpt in self.excerpts(&marks) {
            group = group.element(excerpt);
        }
        for help in &finding.help {
            group = group.element(Level::HELP.message(help));
        }
        if finding.repeated > 0 {
            let more = format!("{} more like it come from the same line", finding.repeated);
            group = group.element(Level::NOTE.message(more));
        }
        renderer.render(&[group])
    }

    /// Excerpts that show `marks`: neighbours of one file share an excerpt.
    fn excerpts<'a>(
        &'a self,
        marks: &[Mark<'a>],
    ) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        const NEAR: u32 = 12;
        let mut groups: Vec<(&str, Vec<Mark<'_>>)> = Vec::new();
        for &mark in marks {
            let Some(at) = self.sources().position(mark.0) else { continue };
            let near = |other: &Mark<'_>| {
                self.sources().position(other.0).is_some_and(|p| p.line.abs_diff(at.line) <= NEAR)
            };
            match groups.iter_mut().find(|(file, marks)| *file == at.file && marks.iter().any(near))
            {
                Some((_, marks)) => marks.push(mark),
                None => groups.push((at.file, vec![mark])),
            }
        }
        groups.iter().filter_map(|(_, marks)| self.excerpt(marks)).collect()
    }

    fn excerpt<'a>(
        &'a self,
        marks: &[Mark<'a>],
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let first = marks.iter().map(|mark| mark.0).min()?;
        let last = marks.iter().map(|mark| mark.0.end).max()?;
        let file = self.sources().file_of(first)?;
        let text = file.text();
        let mut from = file.line_at(first.start).1;
        let mut line = file.line_at(first.start).0 as usize;
        for _ in 0..CONTEXT_LINES {
            if from > 0 {
                from = text[..from - 1].rfind('\n').map_or(0, |newline| newline + 1);
                line -= 1;
            }
        }
        let mut to = file.local(last);
        for _ in 0..=CONTEXT_LINES {
            to = text[to..].find('\n').map_or(text.len(), |newline| to + newline + 1);
        }
        let mut snippet = Snippet::source(&text[from..to]).path(file.name()).line_start(line);
        for &(span, label, primary) in marks {
            let kind = if primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let start = file.local(span.start) - from;
            let end = file.local(span.end).saturating_sub(from).max(start);
            let mark = kind.span(start..end);
            snippet = snippet.annotation(if label.is_empty() { mark } else { mark.label(label) });
        }
        Some(snippet)
    }

    fn json_one<'a>(&'a self, finding: &'a Diagnostic) -> JsonFinding<'a> {
        JsonFinding {
            severity: finding.severity(),
            code: finding.code.id,
            message: &finding.message,
            place: finding.span.and_then(|span| self.json_place(span)),
            label: &finding.label,
            related: finding
                .related
                .iter()
                .map(|(span, what)| JsonRelated { place: self.json_place(*span), message: what })
                .collect(),
            help: &finding.help,
            repeated: finding.repeated,
        }
    }

    fn json_place(&self, span: TextSpan) -> Option<JsonPlace<'_>> {
        let start = self.sources().position(span)?;
        let end = self.sources().position(TextSpan { start: span.end, end: span.end })?;
        Some(JsonPlace {
            file: start.file,
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
        })
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
