//! Configurations that are wrong, and how that is told.

use std::fs;
use std::process::Command;

use crate::site::{Site, able, eventually};
use crate::viprd::{QUICK, VIPRCTL, VIPRD, Viprd, router, viprd};

/// A good one, to be spoilt.
const GOOD: &str = "\
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 150
    virtual_ipaddress {
        10.9.0.50/24
    }
}
";

/// A directory that goes with the test; needs no namespace and so no root.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("viprd-conf-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        Scratch(dir)
    }

    /// Tests the configuration `text`: the exit code, and what is said.
    fn test(&self, text: &str) -> (Option<i32>, String) {
        let file = self.0.join("viprd.conf");
        fs::write(&file, text).expect("a file");
        test(file.to_str().expect("a path"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn test(file: &str) -> (Option<i32>, String) {
    let output = viprd(&["-t", "-f", file]);
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Each mistake has its exit code, its place, and words that say what was expected.
#[test]
fn mistakes_are_told_with_their_place() {
    let scratch = Scratch::new("mistakes");
    assert_eq!(scratch.test(GOOD), (Some(0), String::new()), "nothing to say");
    for (what, from, to, code, place, words) in [
        ("a missing brace", "    }\n}\n", "    }\n", 5, "1:20", "a `}` is missing"),
        (
            "one in the middle",
            "    }\n}\n",
            "}\n",
            5,
            "5:23",
            "`virtual_ipaddress` is never closed",
        ),
        ("a brace too many", "    }\n}\n", "    }\n}\n}\n", 5, "9:1", "closes nothing"),
        ("a bad address", "10.9.0.50/24", "10.9.0.500/24", 5, "6:9", "500 is more than 255"),
        ("no address", "10.9.0.50/24", "router", 5, "6:9", "expects an address such as"),
        ("a bad prefix", "/24", "/33", 5, "6:9", "from 0 to 32"),
        ("vrid 0", "id 51", "id 0", 5, "3:23", "from 1 to 255"),
        ("vrid 256", "id 51", "id 256", 5, "3:23", "from 1 to 255"),
        ("vrid -1", "id 51", "id -1", 5, "3:23", "from 1 to 255"),
        ("vrid in words", "id 51", "id one", 5, "3:23", "from 1 to 255"),
        ("vrid missing", "id 51", "id", 2, "3:22", "lacks its value"),
        ("an unknown keyword", "priority", "prioritty", 5, "4:5", "did you mean `priority`?"),
        ("priority 256", "y 150", "y 256", 5, "4:14", "to 255"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{what}");
        let (found, said) = scratch.test(&text);
        assert_eq!(found, Some(code), "{what}: {said}");
        let file = scratch.0.join("viprd.conf");
        assert!(said.contains(&format!("{}:{place}", file.display())), "{what}: {said}");
        assert!(said.contains(words), "{what}: {said}");
    }
}

/// What can't be read is not taken for an empty configuration.
#[test]
fn what_can_not_be_read_is_told() {
    let scratch = Scratch::new("unreadable");
    let dir = scratch.0.to_str().expect("a path");
    for (file, words) in [
        (format!("{dir}/nowhere.conf"), "no such file or directory"),
        (dir.to_owned(), "is a directory"),
    ] {
        let (code, said) = test(&file);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(words) && said.contains(&file), "{said}");
        // The same when it is to run.
        let control = format!("{dir}/control.sock");
        let output = viprd(&["-n", "-l", "-f", &file, "--control", &control]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(words) && said.contains(&file), "{said}");
        assert!(!fs::exists(control).unwrap_or(true), "it never got so far");
    }
}

/// `--config-test=FILE`: one finding a line, in the form that editors jump by.
#[test]
fn findings_can_be_written_to_a_file() {
    let scratch = Scratch::new("findings");
    let (file, findings) = (scratch.0.join("viprd.conf"), scratch.0.join("findings"));
    fs::write(&file, GOOD.replace("id 51", "id 0")).expect("a file");
    let argument = format!("--config-test={}", findings.display());
    let output = viprd(&[&argument, "-f", file.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(5));
    assert!(output.stderr.is_empty());
    let written = fs::read_to_string(findings).expect("it is written");
    let first = written.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("{}:3:23: ", file.display())), "{written}");
}

/// For editors and CI: `viprd -t --json` and `viprctl check --json` say the same, with the exit
/// code of the contract; `viprctl check` needs no daemon.
#[test]
fn findings_are_told_as_json_and_without_a_daemon() {
    let scratch = Scratch::new("json");
    let file = scratch.0.join("viprd.conf");
    let path = file.to_str().expect("a path");
    let check = |words: &[&str]| {
        let mut command = Command::new(VIPRCTL);
        command.args(["-s", "/nonexistent/socket", "check"]).args(words).arg(path);
        command.env("LC_ALL", "C").output().expect("viprctl runs")
    };
    let insecure = "vrrp_script s {\n  script \"/bin/true\"\n}\n".to_owned() + GOOD;
    for (text, code, place) in [
        (GOOD.to_owned(), 0, None),
        (GOOD.replace("id 51", "id 0"), 5, Some((3, 23, 24))),
        (GOOD.replace("id 51", "id"), 2, Some((3, 22, 22))),
        (insecure, 6, None),
        ("include /nonexistent/*.conf\n".to_owned() + GOOD, 0, None),
    ] {
        fs::write(&file, &text).expect("a file");
        let theirs = viprd(&["-t", "--json", "-f", path]);
        let ours = check(&["--json"]);
        assert_eq!(theirs.stderr, b"", "{text}");
        assert_eq!((ours.status, &ours.stdout), (theirs.status, &theirs.stdout), "{text}");
        let found: serde_json::Value = serde_json::from_slice(&ours.stdout).expect("JSON");
        let found = found.as_array().expect("an array");
        let plain = check(&[]);
        let said = String::from_utf8_lossy(&plain.stdout);
        let summary = said.lines().last().unwrap_or_default();
        assert!(
            summary.starts_with(&format!("{path}: 1 virtual router; ")) || code == 5 || code == 2
        );
        assert_eq!(plain.status.code(), Some(code), "{said}");
        let Some((line, column, end)) = place else { continue };
        let error = found.iter().find(|it| it["severity"] == "error").expect("an error");
        assert_eq!(
            (&error["file"], &error["line"], &error["column"], &error["end_column"]),
            (&path.into(), &line.into(), &column.into(), &end.into()),
            "{error}"
        );
        assert!(summary.contains("1 error"), "{said}");
        assert!(said.contains(&format!("{path}:{line}:{column}")), "{said}");
    }
    // An include that finds nothing, where that is an error.
    assert_eq!(check(&["-e"]).status.code(), viprd(&["-t", "-e", "-f", path]).status.code());
    assert_ne!(check(&["-e"]).status.code(), Some(0));
    // `@id` lines are those of the id that was given.
    fs::write(&file, GOOD.replace("    priority 150", "    @b priority 300")).expect("a file");
    assert_eq!(check(&["-i", "a"]).status.code(), Some(0));
    assert_eq!(check(&["--config-id=b"]).status.code(), Some(5));
    fs::remove_file(&file).expect("it was there");
    assert_eq!(check(&[]).status.code(), Some(4));
    assert_eq!(check(&["--json"]).status.code(), Some(4));
}

/// `-t -d -D`: the defaults are shown, as comments, and what is printed reads the same again.
#[test]
fn the_dump_shows_defaults_on_request_and_reads_the_same() {
    let scratch = Scratch::new("dump");
    let file = scratch.0.join("viprd.conf");
    fs::write(&file, GOOD).expect("a file");
    let dump = |words: &[&str]| {
        let all = [&["-t"], words, &["-f", file.to_str().expect("a path")]].concat();
        let output = viprd(&all);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let plain = dump(&["-d"]);
    let detailed = dump(&["-dD"]);
    assert!(!plain.contains("advert_int"), "{plain}");
    let default = detailed.lines().find(|line| line.contains("advert_int")).expect("a default");
    assert!(default.trim_start().starts_with(['#', '!']) && default.contains('1'), "{default}");
    for printed in [&plain, &detailed] {
        fs::write(&file, printed).expect("a file");
        assert_eq!(dump(&["--dump-conf"]), plain);
    }
}

/// As with keepalived, a mistake costs its line and the rest runs; the log says what and where.
#[test]
fn what_is_right_runs() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let text = router(&format!("{QUICK}\n  prioritty 7\n  garp_master_repeat x"));
    let viprd = Viprd::start(&site, "r", &text);
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    let log = viprd.log();
    let line = log.lines().find(|line| line.contains("prioritty")).expect("a word about it");
    assert!(line.contains("viprd.conf:7:3"), "{line}");
    assert!(line.contains("did you mean `priority`?"), "{line}");
    assert!(log.contains("viprd.conf:8:22"), "{log}");
    viprd.stop();
}

/// An interface that doesn't exist may come: the configuration is fine.
#[test]
fn an_unknown_interface_is_a_fault_of_its_router_alone() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let other = router(QUICK).replace("eth0", "nowhere0").replace("VI_1", "VI_2");
    let viprd = Viprd::start(&site, "r", &(router(QUICK) + &other));
    viprd.becomes("MASTER");
    let status = viprd.ask(&["status", "VI_2"]);
    assert_eq!(status[0]["state"], "FAULT");
    let fault = status[0]["fault"].as_str().expect("words");
    assert!(fault.contains("nowhere0"), "{fault}");
    assert!(viprd.log().contains("VRRP_Instance(VI_2)"), "{}", viprd.log());
    viprd.stop();
}

/// Nothing to do is no reason to end: a reload may bring work.
#[test]
fn an_empty_file_runs_and_says_so() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r"]);
    let viprd = Viprd::start(&site, "r", "");
    assert_eq!(viprd.ask(&["status"]), serde_json::json!([]));
    viprd.logs("no virtual router");
    viprd.stop();
}

/// What is shipped as an example starts, with its routers, and stops again.
#[test]
fn the_shipped_files_start() {
    if !able(&[]) {
        return;
    }
    use viprd::config::{self, Options, OsFiles};
    let etc = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let examples = fs::read_dir(etc.join("examples")).expect("examples");
    let mut files: Vec<_> = examples.map(|entry| entry.expect("a file").path()).collect();
    files.push(etc.join("viprd.conf"));
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let loaded = config::load(&file, &OsFiles, &Options::default());
        let routers = loaded.configuration.expect("it can run").routers.len();
        let site = Site::new(&["r"]);
        let viprd = Viprd::start(&site, "r", &fs::read_to_string(&file).expect("text"));
        let status = viprd.ask(&["status"]);
        assert_eq!(status.as_array().map(Vec::len), Some(routers), "{}", file.display());
        let log = viprd.stop();
        assert!(!log.contains("error["), "{}: {log}", file.display());
    }
}

/// Without `-D` the log has what matters, and of what has no effect only whole parts that are
/// skipped; with it everything, as `-t` has.
#[test]
fn what_has_no_effect_is_told_in_detail_only() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r"]);
    let text = "global_defs {\n  vrrp_rx_bufs_multiplier 4\n}\nvirtual_server 10.0.0.1 80 {\n}\n\
                wrong x\n";
    let detailed = Viprd::start(&site, "r", text);
    for word in ["virtual_server", "vrrp_rx_bufs_multiplier", "wrong"] {
        detailed.logs(word);
    }
    detailed.stop();
    let log = site.dir.join("plain.log");
    let stderr = fs::File::create(&log).expect("a file").into();
    let plain = Viprd::start_as(&site, "r", text, &[], &["-n", "-l"], stderr);
    plain.signal(nix::sys::signal::Signal::SIGHUP);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    eventually("a refused reload or one that is done", || {
        let said = said();
        (said.contains("Reload complete") || said.contains("Reload refused")).then_some(())
    });
    plain.stop();
    let said = said();
    for (word, times) in [("virtual_server", 2), ("vrrp_rx_bufs_multiplier", 0), ("`wrong`", 2)] {
        let lines = said.lines().filter(|line| line.contains(word)).count();
        assert_eq!(lines, times, "{word}: {said}");
    }
}

/// The second one with the same pid file or control socket must not disturb the first.
#[test]
fn a_second_daemon_is_refused() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let first = Viprd::start(&site, "r", &router(QUICK));
    first.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    let conf = first.socket().with_file_name("viprd.conf");
    let other = |name: &str| first.socket().with_file_name(name);
    let holds = format!("process {} holds the pid file", first.pid());
    for (pid, control, words) in [
        (first.pid_file(), other("other.sock"), &*holds),
        (other("other.pid"), first.socket(), "is viprd running already?"),
    ] {
        let mut second = Command::new(VIPRD);
        second.args(["-n", "-l"]).arg("-f").arg(&conf).arg("-p").arg(&pid);
        second.arg("--control").arg(&control);
        let output = site.inside("r", || second.output()).expect("viprd runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{said}");
        assert!(said.contains(words), "{said}");
        let taken = if pid == first.pid_file() { &pid } else { &control };
        assert!(said.contains(taken.to_str().expect("a path")), "{said}");
        let kept = fs::read_to_string(first.pid_file()).expect("the first one's pid file");
        assert_eq!(kept.trim(), first.pid().to_string());
    }
    assert_eq!(first.state(), "MASTER");
    assert!(site.address("r", "eth0", "10.9.0.50").is_some());
    first.stop();
}
