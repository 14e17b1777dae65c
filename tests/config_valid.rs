//! Configurations as people and generators write them: nothing is refused, nothing is lost.
//!
//! `tests/golden/config/valid/NAME.conf` is read; `NAME.dump` holds its canonical form and
//! `NAME.said` what is remarked of it. `RECORD=1 cargo test --test config_valid` writes both anew.

use std::fs;
use std::path::{Path, PathBuf};

use viprd::config::{self, Loaded, MemoryFiles, Options, OsFiles, Severity};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/valid")
}

fn configurations() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".conf").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

fn options() -> Options {
    Options { config_id: "main".to_owned(), ..Options::default() }
}

fn load(file: &str, text: &str) -> Loaded {
    let files = MemoryFiles::new().with(file, text);
    config::load(Path::new(file), &files, &options())
}

fn lines(loaded: &Loaded) -> String {
    let found = &loaded.diagnostics;
    found.iter().map(|finding| found.one_line(finding) + "\n").collect()
}

#[test]
fn nothing_is_refused_and_the_canonical_form_is_that_recorded() {
    let record = std::env::var_os("RECORD").is_some();
    for name in configurations() {
        let file = format!("{name}.conf");
        let text = fs::read_to_string(directory().join(&file)).unwrap();
        let loaded = load(&file, &text);
        assert_eq!(loaded.diagnostics.count(Severity::Error), 0, "{}", lines(&loaded));
        assert!(!lines(&loaded).contains("[W020]"), "{}", lines(&loaded));
        for (suffix, now) in
            [("dump", config::print(&loaded.model, false)), ("said", lines(&loaded))]
        {
            let golden = directory().join(format!("{name}.{suffix}"));
            if record {
                fs::write(&golden, &now).unwrap();
            }
            let then = fs::read_to_string(&golden).unwrap_or_default();
            assert_eq!(then, now, "{name}.{suffix} (RECORD=1 records it)");
        }
    }
}

#[test]
fn the_canonical_form_means_the_same() {
    for name in configurations() {
        let file = format!("{name}.conf");
        let text = fs::read_to_string(directory().join(&file)).unwrap();
        let loaded = load(&file, &text);
        for defaults in [false, true] {
            let printed = config::print(&loaded.model, defaults);
            let again = load(&file, &printed);
            assert_eq!(again.model, loaded.model, "{name}:\n{printed}");
            assert_eq!(config::print(&again.model, defaults), printed);
            let (one, other) = (loaded.configuration.as_ref(), again.configuration.as_ref());
            assert_eq!(one.map(|c| &c.routers), other.map(|c| &c.routers), "{name}");
            assert_eq!(one.map(|c| &c.global), other.map(|c| &c.global), "{name}");
        }
    }
}

/// The samples of Debian's keepalived package, where it is installed. Two of them have faults of
/// their own, which keepalived reports as well.
#[test]
fn samples_of_keepalived_are_read() {
    let Ok(samples) = fs::read_dir("/usr/share/doc/keepalived/samples") else { return };
    for sample in samples {
        let path = sample.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("keepalived.conf") {
            continue;
        }
        // One of them is for hosts called `high` or `low`.
        let options = Options { config_id: "high".to_owned(), ..Options::default() };
        let loaded = config::load(&path, &OsFiles, &options);
        let faults: Vec<_> = loaded
            .diagnostics
            .iter()
            .filter(|finding| finding.severity() == Severity::Error || finding.code.id == "W020")
            .map(|finding| loaded.diagnostics.one_line(finding))
            .collect();
        let expected = match name.as_str() {
            // `192.168.100./24`
            "keepalived.conf.vrrp.rules" => 2,
            // Members without `group { … }`: told for the first one.
            "keepalived.conf.vrrp.lvs_syncd" => 1,
            _ => 0,
        };
        assert_eq!(faults.len(), expected, "{name}: {faults:#?}");
        let printed = config::print(&loaded.model, false);
        assert_eq!(load("again.conf", &printed).model, loaded.model, "{name}");
    }
}
