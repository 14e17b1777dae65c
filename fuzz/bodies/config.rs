//! What has to hold for any bytes as a configuration file; for the fuzzer and for `cargo test`.

use std::path::Path;

use viprd::config::{self, Limits, Loaded, MemoryFiles, Options};

/// So much and no more, so that a file of a few kilobytes takes no longer than milliseconds.
const LIMITS: Limits = Limits { lines: 5_000, work: 1 << 20 };

fn load(bytes: &[u8]) -> Loaded {
    let files = MemoryFiles::new().with("x.conf", bytes).with("y.conf", "global_defs {\n}\n");
    let environment = vec![("HOME".to_owned(), "/root".to_owned())];
    let options =
        Options { config_id: "main".into(), environment, limits: LIMITS, ..Options::default() };
    config::load(Path::new("x.conf"), &files, &options)
}

/// Reads, checks, makes parameters, compares them as a reload does, tells of everything, prints,
/// and reads what was printed.
pub(crate) fn survive(bytes: &[u8]) {
    let loaded = load(bytes);
    let found = &loaded.diagnostics;
    for finding in found {
        assert!(!found.one_line(finding).contains('\n'));
    }
    let json: Result<Vec<serde_json::Value>, _> = serde_json::from_str(&found.json());
    assert_eq!(json.map(|list| list.len()).ok(), Some(found.len()));
    let _ = (found.rich(true), found.summary());
    assert!([0, 2, 4, 5, 6].contains(&found.exit_code()));
    if let Some(configuration) = &loaded.configuration {
        let wanted = &configuration.routers;
        let running = (0..).map(viprd::base::RouterId).zip(wanted);
        let plan = config::plan::plan(running, wanted);
        let clashes = wanted.len() - plan.counts.unchanged;
        assert_eq!((plan.counts.removed, plan.counts.added), (clashes, clashes));
        assert_eq!(plan.counts.altered, 0);
    }
    let printed = config::print(&loaded.model, false);
    // A name that stood for nothing may look like one that is predefined once it is printed.
    if !printed.contains('$') {
        let again = load(printed.as_bytes());
        assert!(again.model == loaded.model, "{printed}");
    }
    let _ = config::print(&loaded.model, true);
}
