//! Wrong configurations, each with the messages that it must give.
//!
//! `tests/golden/config/wrong/NAME.conf` has one fault (or says otherwise by its name);
//! `NAME.txt` holds what is said of it. `RECORD=1 cargo test --test config_wrong` writes the
//! messages anew; read each as somebody who never saw the language.

use std::fs;
use std::path::{Path, PathBuf};

use viprd::config::{self, Files, Loaded, MemoryFiles, Options, OsFiles, Severity};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/wrong")
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".conf").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// Loads a file under its bare name, so that messages don't depend on where the project is.
fn load(name: &str) -> (String, Loaded) {
    let file = format!("{name}.conf");
    let text = fs::read_to_string(directory().join(&file)).unwrap();
    let files = MemoryFiles::new().with(&file, text.clone());
    let loaded = config::load(Path::new(&file), &files, &Options::default());
    (text, loaded)
}

#[test]
fn messages_are_those_recorded() {
    let record = std::env::var_os("RECORD").is_some();
    let mut different = Vec::new();
    for name in names() {
        let (_, loaded) = load(&name);
        let found = &loaded.diagnostics;
        let mut said = String::new();
        for finding in found {
            said += &found.one_line(finding);
            said.push('\n');
        }
        said += "\n";
        said += &found.rich(false);
        said += &format!("exit status {}\n", found.exit_code());
        let golden = directory().join(format!("{name}.txt"));
        if record {
            fs::write(&golden, &said).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != said {
            different.push(format!("{name}:\n{said}"));
        }
    }
    assert!(different.is_empty(), "RECORD=1 records these:\n{}", different.join("\n"));
}

#[test]
fn there_are_enough_of_them_and_each_says_where_what_and_how() {
    let names = names();
    assert!(names.len() >= 40);
    let (mut quoted, mut helped) = (0, 0);
    let mut cascades = Vec::new();
    for name in &names {
        let (text, loaded) = load(name);
        let found = &loaded.diagnostics;
        let faults: Vec<_> =
            found.iter().filter(|finding| finding.severity() != Severity::Note).collect();
        assert!(!faults.is_empty(), "{name} isn't wrong at all");
        if name != "several_faults" && faults.len() != 1 {
            let lines: Vec<_> = faults.iter().map(|fault| found.one_line(fault)).collect();
            cascades.push(format!("{name}: {lines:#?}"));
        }
        let placed = faults.iter().all(|fault| fault.span.is_some());
        assert!(placed, "{name} has a fault without a place");
        let quotes = |fault: &&config::Diagnostic| {
            let mut words = fault.message.split('`').skip(1).step_by(2);
            words.any(|word| text.contains(word))
        };
        quoted += usize::from(faults.iter().all(quotes));
        helped += usize::from(
            faults.iter().all(|fault| !fault.help.is_empty() || fault.message.contains("expects")),
        );
    }
    assert!(cascades.is_empty(), "one mistake is told once:\n{}", cascades.join("\n"));
    let count = names.len();
    assert!(quoted * 100 >= count * 95, "only {quoted} of {count} quote the word");
    assert!(helped * 100 >= count * 95, "only {helped} of {count} tell a way out");
}

#[test]
fn every_code_has_an_example() {
    // The file can't be read, is too large, or isn't text: see config_load.rs. And more than 32 stray
    // braces, which are 32 faults before.
    let elsewhere = ["E001", "E002", "W009", "E029"];
    let golden = directory().parent().unwrap().to_owned();
    let mut said = String::new();
    for pattern in ["wrong/*.txt", "valid/*.said"] {
        for path in OsFiles.glob(&golden.join(pattern).to_string_lossy()) {
            said += &fs::read_to_string(path).unwrap();
        }
    }
    for code in config::diagnostic::codes::ALL {
        let seen = said.contains(&format!("[{}]", code.id));
        assert!(seen != elsewhere.contains(&code.id), "{}: {}", code.id, code.title);
    }
}
