//! The files that come with the daemon are examples to follow: nothing is to be said against them.

use std::path::{Path, PathBuf};

use viprd::config::{self, Options, OsFiles, Severity};

fn shipped() -> Vec<PathBuf> {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let mut files = vec![etc.join("viprd.conf")];
    for entry in std::fs::read_dir(etc.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn shipped_files_are_in_order() {
    let files = shipped();
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        let loaded = config::load(&path, &OsFiles, &Options::default());
        let found = &loaded.diagnostics;
        let faults: Vec<_> = found
            .iter()
            .filter(|finding| finding.severity() != Severity::Note)
            .map(|finding| found.one_line(finding))
            .collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
        assert_eq!(found.exit_code(), 0);
        let configuration = loaded.configuration.unwrap();
        assert!(!configuration.routers.is_empty(), "{}", path.display());
        if path.ends_with("thousands-of-tenants.conf") {
            assert_eq!((configuration.routers.len(), configuration.links.len()), (4000, 4000));
        }
    }
}
