//! Packets crafted by scapy (`craft.py`), which knows nothing of our encoder: each moves exactly the
//! counters that its check has, and no state changes. tshark says that each is what it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::hostile::{accept_local, changes};
use crate::ipv6;
use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Sender};
use crate::viprd::{self, Viprd};

/// The interpreter that the distribution's scapy belongs to.
const PYTHON: &str = "/usr/bin/python3";

/// One packet of `craft.py`.
#[derive(Deserialize)]
struct Crafted {
    group: String,
    name: String,
    frame: String,
    /// The counters that it moves, each by one.
    expect: BTreeSet<String>,
    /// What tshark reads in it.
    judge: BTreeMap<String, String>,
}

impl Crafted {
    fn bytes(&self) -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&self.frame[at..at + 2], 16).expect("hex");
        (0..self.frame.len()).step_by(2).map(byte).collect()
    }
}

/// The packets of one group; nothing where scapy is missing, which CI does not allow.
fn crafted(group: &str) -> Vec<Crafted> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/craft.py");
    let output = Command::new(PYTHON).arg(script).output();
    let output = output.ok().filter(|output| output.status.success());
    let Some(output) = output else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "needs python3-scapy");
        eprintln!("not played: needs python3-scapy (tools/setup test)");
        return Vec::new();
    };
    let mut packets: Vec<Crafted> = serde_json::from_slice(&output.stdout).expect("JSON");
    packets.retain(|packet| packet.group == group);
    assert!(!packets.is_empty(), "no packet of {group}");
    packets
}

/// Sends each packet of `group` to a daemon with these words in its virtual router, once as master
/// and once as backup.
fn each_moves_its_counters(group: &str, words: &str) {
    if !able(&["tshark"]) {
        return;
    }
    let packets = crafted(group);
    if packets.is_empty() {
        return;
    }
    let site = match group {
        "v6" => Site::pair_with_ipv6(),
        _ => Site::pair(),
    };
    accept_local(&site);
    judge(&site, &packets);
    let router = if group == "v6" { ipv6::router } else { viprd::router };
    let sender = Sender::on(&site, "n", "eth0");
    for (state, further) in [("MASTER", "priority 250"), ("BACKUP", "down_timer_adverts 100")] {
        // A strict router has no other timer: it is tried as master only.
        if group == "strict" && state == "BACKUP" {
            continue;
        }
        let mut viprd = Viprd::start(&site, "r", &router(&format!("{words}\n  {further}")));
        viprd.becomes(state);
        for packet in &packets {
            let expected: BTreeSet<(String, i64)> =
                packet.expect.iter().map(|counter| (counter.clone(), 1)).collect();
            let what = format!("{group}, {}, as {state}", packet.name);
            let before = viprd.ask(&["stats"]);
            sender.send(&packet.bytes());
            eventually(&format!("{what} is counted"), || {
                let changes = BTreeSet::from_iter(changes(&before, &viprd.ask(&["stats"])));
                assert!(changes.is_subset(&expected), "{what}: {changes:?}");
                (changes == expected).then_some(())
            });
            // Nothing follows later, either.
            std::thread::sleep(Duration::from_millis(5));
            let changes = BTreeSet::from_iter(changes(&before, &viprd.ask(&["stats"])));
            assert_eq!(changes, expected, "{what}");
            assert_eq!(viprd.state(), state, "{what}");
        }
        assert!(viprd.runs());
        viprd.stop();
    }
}

/// tshark reads in each packet what makes it that packet.
fn judge(site: &Site, packets: &[Crafted]) {
    let fields: BTreeSet<&str> =
        packets.iter().flat_map(|packet| packet.judge.keys().map(String::as_str)).collect();
    // The fields' names live as long as the test's process.
    let fields: Vec<&'static str> =
        fields.into_iter().map(|field| &*Box::leak(field.to_owned().into_boxed_str())).collect();
    let frames: Vec<Frame> =
        packets.iter().map(|packet| Frame { at: Duration::ZERO, bytes: packet.bytes() }).collect();
    // Over IPv6 tshark takes no other form than the one with the pseudo-header.
    let six = packets.iter().any(|packet| packet.group == "v6");
    let preferences =
        [if six { "vrrp.v3_checksum_as_in_v2:FALSE" } else { "vrrp.v3_checksum_as_in_v2:TRUE" }];
    let read = shark::read_with(site, &frames, &fields, &preferences);
    for (packet, read) in packets.iter().zip(read) {
        for (field, value) in &packet.judge {
            assert_eq!(&read[field.as_str()], value, "{}: {field}", packet.name);
        }
    }
}

#[test]
fn version_3() {
    each_moves_its_counters("v3", "version 3\n  advert_int 1");
}

#[test]
fn version_3_over_ipv6() {
    each_moves_its_counters("v6", "advert_int 1");
}

#[test]
fn version_2() {
    each_moves_its_counters("v2", "version 2");
}

#[test]
fn strict_version_2() {
    each_moves_its_counters("strict", "strict_mode on");
}

#[test]
fn version_2_with_a_password() {
    let block = "authentication {\n    auth_type PASS\n    auth_pass secret\n  }";
    each_moves_its_counters("pass", block);
}

#[test]
fn version_2_with_an_authentication_header() {
    let block = "authentication {\n    auth_type AH\n    auth_pass secret\n  }";
    each_moves_its_counters("ah", block);
}
