//! The files that signals ask for, as programs read them that watch a keepalived.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::keepalived::Keepalived;
use crate::site::{Site, able, eventually};
use crate::viprd::{QUICK, Viprd, router};

/// Sends `signal` and gives what then is in the file.
fn dump(viprd: &Viprd, signal: &str, file: &Path) -> String {
    let _ = fs::remove_file(file);
    viprd.signal_named(signal);
    eventually(&format!("{}\n{}", file.display(), viprd.log()), || fs::read_to_string(file).ok())
}

/// What stands behind `label` in the record of a virtual router.
fn field<'a>(text: &'a str, label: &str) -> &'a str {
    let label = format!("   {label} = ");
    let line = text.lines().find_map(|line| line.strip_prefix(&label));
    line.unwrap_or_else(|| panic!("no {label} in\n{text}"))
}

/// The numbers of `keepalived.stats` in their order.
fn numbers(text: &str) -> Vec<u64> {
    let behind = |line: &str| line.split_once(": ").and_then(|(_, number)| number.parse().ok());
    text.lines().filter_map(behind).collect()
}

#[test]
fn each_signal_writes_its_file() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let dir = site.dir.join("dumps");
    fs::create_dir(&dir).expect("a directory");
    let configuration = format!(
        "global_defs {{\n router_id here\n state_dump_file {dir}/\n stats_dump_file {dir}/numbers\n \
         json_dump_file {dir}/\n json_version 2\n}}\n{}",
        router(QUICK),
        dir = dir.display()
    );
    let viprd = Viprd::start(&site, "r", &configuration);
    viprd.becomes("MASTER");

    let data = dump(&viprd, "DATA", &dir.join("keepalived.data"));
    assert!(data.contains("\n Router ID = here\n"), "{data}");
    assert!(data.contains("\n VRRP Instance = VI_1\n"), "{data}");
    for (label, value) in [
        ("State", "MASTER"),
        ("Interface", "eth0"),
        ("Virtual Router ID", "51"),
        ("Priority", "150"),
        ("Advert interval", "100 milli-sec"),
        ("Gratuitous ARP delay", "5"),
    ] {
        assert_eq!(field(&data, label), value, "{data}");
    }
    let address = "     10.9.0.50/24 brd 10.9.0.255 dev eth0 scope global label eth0:v set\n";
    assert!(data.contains(&format!("   Virtual IP (1):\n{address}")), "{data}");

    let mode = |name: &str| fs::metadata(dir.join(name)).expect("a file").permissions().mode();
    assert_eq!(mode("keepalived.data") & 0o777, 0o600);

    let stats = dump(&viprd, "STATS", &dir.join("numbers"));
    assert!(
        stats.starts_with("VRRP Instance: VI_1\n  Advertisements:\n    Received: 0\n"),
        "{stats}"
    );
    assert_eq!(numbers(&stats)[2..4], [1, 0], "{stats}");
    // It is written as it was, and counts from zero; viprctl counts on.
    let before = dump(&viprd, "STATS_CLEAR", &dir.join("numbers"));
    assert!(numbers(&before)[1] >= numbers(&stats)[1] && numbers(&before)[2] == 1, "{before}");
    let after = dump(&viprd, "STATS", &dir.join("numbers"));
    assert_eq!(numbers(&after)[2], 0, "{after}");
    assert_eq!(viprd.counters()["master_transitions"], 1);
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    let after = dump(&viprd, "STATS", &dir.join("numbers"));
    assert_eq!(numbers(&after)[2..4], [0, 1], "{after}");

    let json = dump(&viprd, "JSON", &dir.join("keepalived.json"));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["vrrp"][0]["data"]["state"], 3);
    assert_eq!(json["vrrp"][0]["stats"]["release_master"], 1);
    assert_eq!(json["track_process"], Value::Array(Vec::new()));
    let names: BTreeSet<_> =
        fs::read_dir(&dir).expect("it").map(|entry| entry.expect("one").file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    viprd.stop();
}

/// By default the files are in `$TMPDIR`; what can't be written is told once, and does no harm.
#[test]
fn names_and_failures() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tmp = site.dir.join("tmp");
    fs::create_dir(&tmp).expect("a directory");
    let configuration = format!(
        "instance here\nglobal_defs {{\n data_use_instance\n stats_dump_file /none/x\n}}\n{}",
        router(QUICK)
    );
    let wrap = ["env", &format!("TMPDIR={}", tmp.display())];
    let log = site.dir.join("log");
    let log_file = fs::File::create(&log).expect("a log file");
    let arguments = ["-n", "-l", "-D", "--umask", "027"];
    let viprd =
        Viprd::start_as(&site, "r", &configuration, &wrap, &arguments, Stdio::from(log_file));
    viprd.becomes("MASTER");
    let file = tmp.join("keepalived_here.json");
    let json: Value = serde_json::from_str(&dump(&viprd, "JSON", &file)).expect("JSON");
    assert_eq!(json[0]["data"]["iname"], "VI_1");
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    for _ in 0..3 {
        viprd.signal_named("STATS");
        // One after the other: the next file appears when that has failed.
        dump(&viprd, "DATA", &tmp.join("keepalived_here.data"));
    }
    let log = fs::read_to_string(&log).expect("a log");
    assert_eq!(log.matches("can't write /none/x").count(), 1, "{log}");
    assert_eq!(viprd.state(), "MASTER");
}

/// Two virtual routers with a little of everything that JSON tells of.
const RICH: &str = "global_defs {
  router_id here
  script_user root
  enable_script_security
  vrrp_garp_master_delay 3
}
vrrp_script check {
  script \"/usr/bin/true\"
  interval 1
  weight 5
}
vrrp_instance VI_1 {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority 100
  advert_int 1
  authentication {
    auth_type PASS
    auth_pass secret
  }
  virtual_ipaddress {
    10.9.0.50/24
    10.9.0.51 dev eth0 label eth0:v
    10.9.0.52/32 scope link
  }
  virtual_ipaddress_excluded {
    10.9.0.60/24
  }
  virtual_routes {
    198.51.100.0/24 via 10.9.0.2 dev eth0
  }
  virtual_rules {
    from 10.9.0.50 table 100
  }
  track_interface {
    lo
  }
  track_script {
    check
  }
  notify_master \"/usr/bin/true m\"
  notify \"/usr/bin/true n\"
}
vrrp_instance VI_2 {
  interface eth0
  virtual_router_id 52
  version 3
  priority 90
  advert_int 0.5
  nopreempt
  dont_track_primary
  garp_master_repeat 2
  virtual_ipaddress {
    10.9.0.70
  }
}
";

/// The same keys, and the same values but for times and routes' words.
#[test]
fn json_is_that_of_keepalived() {
    if !able(&["keepalived"]) {
        return;
    }
    let (theirs, ours) = (Site::pair(), Site::pair());
    let keepalived = Keepalived::start(&theirs, "r", RICH);
    let configuration =
        RICH.replacen('{', &format!("{{\n json_dump_file {}/\n", ours.dir.display()), 1);
    let viprd = Viprd::start(&ours, "r", &configuration);
    let masters = |text: &str| -> Option<Value> {
        let json: Value = serde_json::from_str(text).expect("JSON");
        let done = |router: &Value| {
            router["data"]["state"] == 2 && router["data"]["effective_priority"] != 100
        };
        json.as_array().expect("a list").iter().all(done).then_some(json)
    };
    // Before it listens to that signal, keepalived would die of it.
    keepalived.logs("Entering MASTER STATE", 2);
    let expected = eventually("masters", || masters(&keepalived.dump("JSON", "json")));
    let file = ours.dir.join("keepalived.json");
    let found = eventually("masters", || masters(&dump(&viprd, "JSON", &file)));

    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    for index in 0..2 {
        let (expected, found) = (&expected[index], &found[index]);
        assert_eq!(keys(found), keys(expected));
        for part in ["data", "stats"] {
            let (expected, found) = (&expected[part], &found[part]);
            assert_eq!(keys(found), keys(expected), "{part}");
            for key in keys(found) {
                match &*key {
                    // Passwords stay here.
                    "auth_data" => assert_eq!(found[&key], ""),
                    "last_transition" => assert!(found[&key].as_f64() > Some(1e9)),
                    "advert_sent" | "vroutes" | "vrules" => {}
                    _ => assert_eq!(found[&key], expected[&key], "{key}"),
                }
            }
            let lengths = ["vroutes", "vrules"].map(|key| found[key].as_array().map(Vec::len));
            let theirs = ["vroutes", "vrules"].map(|key| expected[key].as_array().map(Vec::len));
            assert_eq!(lengths, theirs);
        }
    }
}

/// Every label of keepalived's statistics, in its order.
#[test]
fn labels_are_those_of_keepalived() {
    if !able(&["keepalived"]) {
        return;
    }
    let (theirs, ours) = (Site::pair(), Site::pair());
    let keepalived = Keepalived::start(&theirs, "r", RICH);
    let dir = ours.dir.display();
    let files = format!("{{\n stats_dump_file {dir}/\n state_dump_file {dir}/\n");
    let viprd = Viprd::start(&ours, "r", &RICH.replacen('{', &files, 1));
    viprd.becomes("MASTER");
    keepalived.logs("Entering MASTER STATE", 2);

    let labels = |text: &str| -> Vec<String> {
        let label = |line: &str| match line.split_once(": ") {
            Some((label, number)) if number.parse::<u64>().is_ok() => label.to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(label).collect()
    };
    let stats = dump(&viprd, "STATS", &ours.dir.join("keepalived.stats"));
    assert_eq!(labels(&stats), labels(&keepalived.dump("STATS", "stats")));

    // Of the state those lines that programs are known to read.
    let data = dump(&viprd, "DATA", &ours.dir.join("keepalived.data"));
    let expected = keepalived.dump("DATA", "data");
    let read = |text: &str| -> Vec<String> {
        let starts = [
            " VRRP Instance = ",
            "   State = ",
            "   Interface = ",
            "   Virtual Router ID = ",
            "   Priority = ",
            "   Effective priority = ",
            "   Advert interval = ",
            "   Gratuitous ARP ",
            "   Virtual IP ",
            "     10.",
            "   Authentication type = ",
            " VRRP Script = ",
            "   Interval = ",
            "   Weight = ",
            "   Rise = ",
            "   Fall = ",
            "   Status = ",
        ];
        let known = |line: &&str| starts.iter().any(|start| line.starts_with(start));
        let sections = text.split("------< ");
        let ours = sections.filter(|it| it.starts_with("VRRP Top") || it.starts_with("VRRP Scr"));
        ours.flat_map(str::lines).filter(known).map(str::to_owned).collect()
    };
    assert_eq!(read(&data), read(&expected), "{expected}");
}
