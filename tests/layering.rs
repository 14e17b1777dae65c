//! Who may import whom, read off the sources: the picture of `docs/ARCHITECTURE.md` as a test.
//!
//! The checker reads tokens, not lines: paths in `use` trees, in code and behind `super` count,
//! comments and strings don't. It is tried on made-up sources first, so that its silence means
//! something.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the house, each with those that it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("wire", &["base"]),
    ("vrrp", &["base", "wire"]),
    ("config", &["base", "wire", "vrrp"]),
    ("control", &["base", "wire", "vrrp"]),
    ("kernel", &["base"]),
    ("io", &["base"]),
    ("process", &["base"]),
    ("daemon", &["base", "wire", "vrrp", "config", "control", "kernel", "io", "process"]),
];

/// What the programs may use of the library: only `viprd` is the daemon.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("main.rs", &["base", "config", "control", "daemon"]),
    ("bin/viprctl", &["base", "config", "control", "vrrp", "wire"]),
    ("bin/viprlab", &["base", "config", "control", "io", "kernel", "vrrp", "wire"]),
];

/// Rooms that are functions of their arguments, and what they therefore never name. (The numbers
/// in `libc` are as good as our own; its functions are `unsafe`.)
const PURE: &[&str] = &["base", "wire", "vrrp", "control", "kernel", "process"];
const IMPURE: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["SystemTime", "now"],
    &["io_uring"],
    &["mio"],
    &["netlink_sys"],
    &["nix"],
    &["syslog"],
];

/// Where a file stops telling one story. Its tests are not counted.
const MAX_LINES: usize = 1_000;

#[test]
fn the_house_stands_as_drawn() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&src, &src, &mut sources);
    assert!(sources.len() > 10, "sources not found under {}", src.display());
    let mut test_files = BTreeSet::new();
    for (path, text) in &sources {
        let folder = match path.file_name().is_some_and(|name| name == "mod.rs") {
            true => path.with_file_name(""),
            false => path.with_extension(""),
        };
        test_files.extend(test_modules(text).map(|name| folder.join(name).with_extension("rs")));
    }
    let complaints: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| complaints(path, text, test_files.contains(path)))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));

    let lib = sources.iter().find(|(path, _)| path == Path::new("lib.rs")).expect("a library");
    for entry in fs::read_dir(&src).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let is_room = entry.path().is_dir() && name != "bin";
        assert_eq!(modules(&lib.1).contains(&name), is_room, "src/{name} and lib.rs disagree");
    }
}

/// What is wrong with the file at `path` (below `src`) whose text is `text`. Tests have to keep to
/// the imports, too, but may read their environment and be as long as they need.
fn complaints(path: &Path, text: &str, is_test: bool) -> Vec<String> {
    let mut found = Vec::new();
    let code = if is_test { "" } else { before_tests(text) };
    let tokens = tokens(text);
    let home = Home::of(path);
    let mut complain = |what: String| found.push(format!("src/{}: {what}", path.display()));

    if path == Path::new("lib.rs") {
        for module in modules(text) {
            if room(&module).is_none() {
                complain(format!("`{module}` is no room of the house"));
            }
        }
    }
    for used in paths(&tokens, &home.module) {
        let names: Vec<&str> = used.iter().map(String::as_str).collect();
        match names[..] {
            // A program is a crate of its own: what is `crate` there is not the library.
            ["crate", ..] if home.program => {}
            ["crate" | "viprd", target, ..] => {
                let own = home.module.first().is_some_and(|own| own == target);
                let known = room(target).is_some();
                if known && !own && !home.may_import.contains(&target) {
                    complain(format!("imports `{}`", used.join("::")));
                }
                if !known && names[0] == "viprd" {
                    complain(format!("`{}` is no room of the library", used.join("::")));
                }
            }
            _ => {}
        }
    }
    for used in paths(&self::tokens(code), &home.module) {
        let names: Vec<&str> = used.iter().map(String::as_str).collect();
        if names[0] == "log" && !home.is("daemon") {
            complain("logs".to_owned());
        }
        let pure = PURE.iter().any(|pure| home.is(pure));
        if pure && IMPURE.iter().any(|impure| names.starts_with(impure)) {
            complain(format!("is pure, and uses `{}`", used.join("::")));
        }
    }
    let may_be_unsafe = home.is("io") || path.starts_with("bin/viprlab");
    if !may_be_unsafe && tokens.iter().any(|token| token == "unsafe") {
        complain("has unsafe code".to_owned());
    }
    let lines = code.lines().count();
    if lines > MAX_LINES {
        complain(format!("has {lines} lines besides its tests; {MAX_LINES} are enough"));
    }
    found
}

/// Where a file lives, and what it may import because of that.
struct Home {
    /// Its module path below the crate: `["vrrp", "engine"]`; empty for `lib.rs` and programs.
    module: Vec<String>,
    may_import: &'static [&'static str],
    /// Whether it belongs to a program rather than to the library.
    program: bool,
}

impl Home {
    fn of(path: &Path) -> Home {
        let program = PROGRAMS.iter().find(|(place, _)| path.starts_with(place));
        let mut module: Vec<String> =
            path.with_extension("").iter().map(|part| part.to_string_lossy().into()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if let Some((place, may_import)) = program {
            module.drain(..Path::new(place).components().count());
            return Home { module, may_import, program: true };
        }
        let may_import = module.first().and_then(|first| room(first)).unwrap_or_default();
        module.retain(|name| name != "lib");
        Home { module, may_import, program: false }
    }

    fn is(&self, room: &str) -> bool {
        self.module.first().is_some_and(|own| own == room)
    }
}

fn room(name: &str) -> Option<&'static [&'static str]> {
    ROOMS.iter().find(|(room, _)| *room == name).map(|(_, may_import)| *may_import)
}

/// The modules that a file declares without a body.
fn modules(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let declared = tokens.windows(3).filter(|three| three[0] == "mod" && three[2] == ";");
    declared.map(|three| three[1].clone()).collect()
}

/// The text without the tests at its end.
fn before_tests(text: &str) -> &str {
    const MARK: &str = "\n#[cfg(test)]\nmod ";
    let begins =
        |at: &usize| text[at + MARK.len()..].lines().next().is_some_and(|line| line.ends_with('{'));
    let at = text.match_indices(MARK).map(|(at, _)| at).find(begins);
    &text[..at.unwrap_or(text.len())]
}

/// The modules of other files that are compiled for tests only.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| {
        let (name, end) = rest.split_at(rest.find([';', ' ', '\n'])?);
        end.starts_with(';').then_some(name)
    })
}

/// Every path in `tokens`, with `use` trees spread out and `super` resolved to `crate::…`, seen
/// from the module `home`.
fn paths(tokens: &[String], home: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new(); // `mod x {` and the depth it began at
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => {
                inline.push((tokens[at + 1].clone(), depth));
                depth += 1;
                at += 3;
            }
            "{" => {
                depth += 1;
                at += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last().is_some_and(|(_, began)| *began == depth) {
                    inline.pop();
                }
                at += 1;
            }
            _ if starts_path(tokens, at) => {
                let mut here = home.to_vec();
                here.extend(inline.iter().map(|(name, _)| name.clone()));
                let mut tree = Vec::new();
                at = spread(tokens, at, &mut Vec::new(), &mut tree);
                found.extend(tree.into_iter().map(|path| resolve(path, &here)));
            }
            _ => at += 1,
        }
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Whether a path begins at `at`: after `use`, or a name that `::` follows.
fn starts_path(tokens: &[String], at: usize) -> bool {
    let follows = |n: usize| at.checked_sub(n).map(|before| tokens[before].as_str());
    let next = tokens.get(at + 1).map(String::as_str);
    let after_use = follows(1) == Some("use");
    let qualified = next == Some("::") && follows(1) != Some("::");
    is_name(&tokens[at]) && (after_use || qualified)
}

/// Collects the paths of the tree that begins at `at` below `prefix`; returns where it ends.
fn spread(
    tokens: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let before = prefix.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let end = spread(tokens, at, prefix, found);
                    at = end.max(at + 1);
                    // Past `as name` and the comma.
                    while tokens.get(at).is_some_and(|token| token != "}" && token != ",") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                }
                prefix.truncate(before);
                return at + 1;
            }
            Some(name) if is_name(name) || name == "*" => {
                prefix.push(name.to_owned());
                at += 1;
                let goes_on = tokens.get(at).is_some_and(|token| token == "::")
                    && tokens
                        .get(at + 1)
                        .is_some_and(|next| is_name(next) || next == "{" || next == "*");
                if !goes_on {
                    found.push(prefix.clone());
                    prefix.truncate(before);
                    return at;
                }
                at += 1;
            }
            _ => {
                prefix.truncate(before);
                return at;
            }
        }
    }
}

/// `self` and `super` as seen from the module `here`, as paths from `crate`.
fn resolve(path: Vec<String>, here: &[String]) -> Vec<String> {
    let up = path.iter().take_while(|name| *name == "super").count();
    match path[0].as_str() {
        "super" if up > 0 => {
            let kept = here.len().saturating_sub(up);
            let mut full = vec!["crate".to_owned()];
            full.extend_from_slice(&here[..kept]);
            full.extend_from_slice(&path[up..]);
            full
        }
        _ => path,
    }
}

/// Names, `::` and single other characters; comments, strings, characters and numbers left out.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| {
        what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if starts(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if starts(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            // A lifetime has no closing quote: 'a, but 'a' and '\n' are characters.
            let character = starts(at + 2, "'") || starts(at + 1, "\\");
            at += 1;
            if character {
                at += if chars[at] == '\\' { 2 } else { 1 };
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            }
        } else if c.is_alphabetic() || c == '_' {
            let begin = at;
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            let name: String = chars[begin..at].iter().collect();
            let raw = ["r", "br", "cr"].contains(&name.as_str());
            let hashes = chars[at.min(chars.len())..].iter().take_while(|c| **c == '#').count();
            if raw && starts(at + hashes, "\"") {
                let end: String = std::iter::once('"').chain("#".repeat(hashes).chars()).collect();
                at += hashes + 1;
                while at < chars.len() && !starts(at, &end) {
                    at += 1;
                }
                at += end.len();
            } else {
                found.push(name);
            }
        } else if starts(at, "::") {
            found.push("::".to_owned());
            at += 2;
        } else if c.is_numeric() {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            at += 1;
        }
    }
    found
}

fn read(root: &Path, folder: &Path, sources: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push((path.strip_prefix(root).unwrap().to_owned(), text));
        }
    }
}

/// What must be refused, and why.
#[test]
fn wrong_sources_are_refused() {
    for (path, text, complaint) in [
        ("base/ids.rs", "use crate::wire::Advert;", "imports `crate::wire::Advert`"),
        ("wire/arp.rs", "use crate::{base::Mac, vrrp::Engine};", "imports `crate::vrrp::Engine`"),
        ("vrrp/engine.rs", "use crate::io;", "imports `crate::io`"),
        ("vrrp/engine.rs", "fn f() { crate::daemon::boot::now() }", "crate::daemon::boot::now"),
        ("vrrp/mod.rs", "use super::kernel::Mirror;", "imports `crate::kernel::Mirror`"),
        ("vrrp/engine.rs", "use super::super::io::{Io, Token};", "imports `crate::io::Io`"),
        ("vrrp/a/b.rs", "mod c { use super::super::super::super::io; }", "`crate::io`"),
        ("vrrp/a.rs", "mod tests { use super::super::super::io::X; }", "`crate::io::X`"),
        ("config/read.rs", "use crate::control::Request;", "`crate::control::Request`"),
        ("control/mod.rs", "pub use crate::config::{self as c, Options};", "crate::config"),
        ("kernel/mod.rs", "use crate::vrrp::Engine;", "`crate::vrrp::Engine`"),
        ("io/mod.rs", "use crate::daemon;", "`crate::daemon`"),
        ("bin/viprctl/main.rs", "use viprd::daemon::main;", "`viprd::daemon::main`"),
        ("bin/viprlab/main.rs", "use viprd::{daemon, base};", "`viprd::daemon`"),
        ("main.rs", "use viprd::io::Io;", "`viprd::io::Io`"),
        ("main.rs", "use viprd::helpers::Io;", "is no room of the library"),
        ("lib.rs", "pub mod base; mod utils;", "`utils` is no room"),
        ("vrrp/engine.rs", "fn f() { log::info!(\"x\") }", "logs"),
        ("io/uring.rs", "use log::warn;", "logs"),
        ("vrrp/engine.rs", "fn f() { std::time::Instant::now() }", "is pure"),
        ("kernel/mod.rs", "use {libc::AF_INET, std::fs};", "is pure, and uses `std::fs`"),
        ("control/time.rs", "fn f() { SystemTime::now() }", "is pure"),
        ("wire/arp.rs", "fn f() { unsafe { g() } }", "unsafe"),
        ("bin/viprctl/main.rs", "unsafe fn f() {}", "unsafe"),
        ("vrrp/engine.rs", &"\n".repeat(MAX_LINES + 1), "1001 lines"),
        ("kernel/mod.rs", "\n#[cfg(test)]\nmod model;\nuse std::env;", "is pure"),
    ] {
        let found = complaints(Path::new(path), text, false);
        assert!(
            found.iter().any(|found| found.contains(complaint)),
            "{path}: {text:?} should be refused for {complaint:?}, got {found:?}"
        );
    }
}

/// What must pass.
#[test]
fn right_sources_pass() {
    for (path, text) in [
        ("vrrp/engine.rs", "use super::wheel::Wheel; use crate::{base::Mac, wire::*};"),
        ("vrrp/engine.rs", "mod tests { use super::*; use super::super::links::Links; }"),
        ("vrrp/mod.rs", "// use crate::io;\n/* crate::io::X /* nested */ log::info!() */"),
        (
            "vrrp/mod.rs",
            "const S: &str = \"unsafe crate::io::X \\\" log::x\"; const R: &str = r#\"a\"crate::io::X\"#;",
        ),
        ("vrrp/mod.rs", "fn f<'a>(c: &'a char) -> bool { *c == '\"' || *c == '\\'' }"),
        (
            "daemon/run.rs",
            "use crate::{base, wire, vrrp, config, control, kernel, io}; fn f() { log::info!() }",
        ),
        ("io/uring/mod.rs", "use super::super::base::Instant; fn f() { unsafe { g() } }"),
        ("control/time.rs", "use std::time::{Duration, SystemTime};"),
        ("io/mod.rs", "use std::io; use std::time::Instant;"),
        ("bin/viprlab/ping.rs", "use crate::io::Thing; use super::daemon::Start; unsafe fn f() {}"),
        ("bin/viprctl/main.rs", "mod text; use viprd::control::{Record, Request};"),
        ("main.rs", "fn main() { viprd::daemon::main() }"),
        ("lib.rs", "pub mod base; pub mod io;"),
        ("kernel/mod.rs", "//! x\n#[cfg(test)]\nmod tests {\n    use std::env;\n}\n"),
        (
            "vrrp/engine.rs",
            &format!("{}\n#[cfg(test)]\nmod tests {{{}}}", "\n".repeat(800), "\n".repeat(800)),
        ),
    ] {
        let found = complaints(Path::new(path), text, false);
        assert!(found.is_empty(), "{path}: {text:?}: {found:?}");
    }
}

/// Files that only tests need are as free as the tests at the end of others, but not to import.
#[test]
fn test_files_are_found_and_keep_to_the_imports() {
    let declared = "mod a;\n#[cfg(test)]\nmod model;\nmod b;\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(test_modules(declared).collect::<Vec<_>>(), ["model"]);
    let text = format!("use std::env; use crate::vrrp::Engine; {}", "\n".repeat(2 * MAX_LINES));
    let found = complaints(Path::new("kernel/model.rs"), &text, true);
    assert_eq!(found, ["src/kernel/model.rs: imports `crate::vrrp::Engine`"]);
}
