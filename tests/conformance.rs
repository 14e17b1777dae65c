//! `docs/CONFORMANCE.md` says what it promises: a row for each statement of the standard, and every
//! test that it names exists.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

/// The statements: a letter and how many there are of it. `W` are the checks of a received packet
/// (RFC 9568 section 7.1 and what v2 has besides), the others as in the page's own sections.
const STATEMENTS: [(&str, usize); 10] = [
    ("V", 4),
    ("P", 23),
    ("Q", 9),
    ("C", 8),
    ("R", 12),
    ("S", 25),
    ("W", 13),
    ("K", 4),
    ("T", 13),
    ("I", 7),
];

/// What a row may say of its statement.
const VERDICTS: [&str; 4] = ["yes", "partly", "not yet", "n/a"];

struct Row {
    verdict: String,
    positive: Vec<String>,
    negative: Vec<String>,
    note: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows by their ids, each of which must stand there once.
fn rows() -> BTreeMap<String, Row> {
    let page = fs::read_to_string(root().join("docs/CONFORMANCE.md")).expect("the page");
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let id = cells[0];
        let letter = id.trim_end_matches(|c: char| c.is_ascii_digit());
        if !STATEMENTS.iter().any(|(statement, _)| *statement == letter) || letter == id {
            continue;
        }
        let [_, statement, verdict, positive, negative, note] = cells[..] else {
            panic!("{id} has {} cells, not 6: {line}", cells.len());
        };
        assert!(!statement.is_empty(), "{id} says nothing");
        let tests =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let row = Row {
            verdict: verdict.to_owned(),
            positive: tests(positive),
            negative: tests(negative),
            note: note.to_owned(),
        };
        assert!(rows.insert(id.to_owned(), row).is_none(), "{id} stands there twice");
    }
    rows
}

#[test]
fn every_statement_has_its_row() {
    let rows = rows();
    let ids: Vec<String> = STATEMENTS
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}")))
        .collect();
    assert!(ids.len() >= 100);
    let missing: Vec<_> = ids.iter().filter(|id| !rows.contains_key(*id)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    let unknown: Vec<_> = rows.keys().filter(|id| !ids.contains(id)).collect();
    assert!(unknown.is_empty(), "no such statement: {unknown:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let mut sources = HashMap::new();
    for (id, row) in rows() {
        for name in row.positive.iter().chain(&row.negative) {
            let Some((file, function)) = name.split_once("::") else {
                panic!("{id}: `{name}` is not file::function");
            };
            let source = sources.entry(file.to_owned()).or_insert_with(|| {
                fs::read_to_string(root().join(file))
                    .unwrap_or_else(|cause| panic!("{id}: {file}: {cause}"))
            });
            assert!(is_test(source, function), "{id}: no test `{function}` in {file}");
        }
    }
}

/// Whether `function` is a function of `source` with `#[test]` before it.
fn is_test(source: &str, function: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declaration = format!("fn {function}(");
    lines.iter().enumerate().any(|(at, line)| {
        line.starts_with(&declaration)
            && lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                .any(|line| line.starts_with("#[test]"))
    })
}

/// What is done is shown by a test; what is not has a reason.
#[test]
fn every_verdict_is_backed() {
    for (id, row) in rows() {
        assert!(VERDICTS.contains(&&*row.verdict), "{id}: `{}` is no verdict", row.verdict);
        let tests = row.positive.len() + row.negative.len();
        match &*row.verdict {
            "yes" => assert!(tests > 0, "{id} is done, says the page, but names no test"),
            "partly" => assert!(tests > 0 && !row.note.is_empty(), "{id}: what is missing?"),
            _ => assert!(!row.note.is_empty(), "{id}: why?"),
        }
    }
}

/// The page's own count is right.
#[test]
fn the_summary_counts_right() {
    let page = fs::read_to_string(root().join("docs/CONFORMANCE.md")).expect("the page");
    let rows = rows();
    let count = |verdict: &str| rows.values().filter(|row| row.verdict == verdict).count();
    let both =
        rows.values().filter(|row| !row.positive.is_empty() && !row.negative.is_empty()).count();
    let [yes, partly, not_yet, na] = VERDICTS.map(count);
    let summary = format!(
        "{} statements: {yes} yes, {partly} partly, {not_yet} not yet, {na} n/a; {both} with both a \
         positive and a negative test.",
        rows.len()
    );
    assert!(page.contains(&summary), "the page should say: {summary}");
}
