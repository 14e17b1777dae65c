//! What the fuzzers begin with, and what they have found, as an ordinary test: see `fuzz/`.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "../fuzz/bodies/wire.rs"]
mod wire;

fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&directory).unwrap_or_else(|_| panic!("{}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

#[test]
fn configurations_of_the_corpus_are_survived() {
    let mut seeds = files("fuzz/seeds/config", "");
    for (directory, least) in [("valid", 13), ("wrong", 40)] {
        let golden = files(&format!("tests/golden/config/{directory}"), ".conf");
        assert!(golden.len() >= least, "{directory}: {}", golden.len());
        seeds.extend(golden);
    }
    for seed in seeds {
        config::survive(&fs::read(seed).unwrap());
    }
}

#[test]
fn packets_of_the_corpus_are_survived() {
    let seeds = files("fuzz/seeds/wire", "");
    assert!(seeds.len() >= 5, "{seeds:?}");
    for seed in seeds {
        let bytes = fs::read(seed).unwrap();
        // Each also cut short, and with each byte changed.
        for length in 0..=bytes.len() {
            wire::survive(&bytes[..length]);
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                other[at] = value;
                wire::survive(&other);
            }
        }
    }
}
