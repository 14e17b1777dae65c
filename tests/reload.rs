//! Reloads of a running `viprd`, in network namespaces: what changed changes, and nothing else
//! notices. Judged by the kernel (`ip`, `ip monitor`, /proc) and by what a neighbour hears.
//!
//! Needs root and iproute2; see `tests/daemon` for the rules that hold there and here.

#![allow(dead_code, reason = "of the parts that tests/daemon shares not everything is needed")]

#[path = "daemon/site.rs"]
mod site;
#[path = "daemon/tap.rs"]
mod tap;
#[path = "daemon/viprd.rs"]
mod viprd;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use site::{Site, able, eventually, within};
use tap::{Frame, Tap};
use viprd::{Viprd, viprctl};

/// A virtual router as a test wants it.
#[derive(Clone, Debug, PartialEq)]
struct Router {
    name: String,
    link: &'static str,
    vrid: u8,
    priority: u8,
    addresses: BTreeSet<String>,
}

/// Adverts each 200 ms, one set of gratuitous ARPs.
fn configuration(routers: &[Router]) -> String {
    let mut text = "global_defs {\n  vrrp_garp_master_delay 0\n}\n".to_owned();
    for Router { name, link, vrid, priority, addresses } in routers {
        let addresses: String = addresses.iter().map(|ip| format!("    {ip}/32\n")).collect();
        text += &format!(
            "vrrp_instance {name} {{\n  interface {link}\n  virtual_router_id {vrid}\n  \
             version 3\n  advert_int 0.2\n  priority {priority}\n  \
             virtual_ipaddress {{\n{addresses}  }}\n}}\n"
        );
    }
    text
}

fn routers(count: u8) -> Vec<Router> {
    let one = |vrid| Router {
        name: format!("VI_{vrid}"),
        link: "eth0",
        vrid,
        priority: 150,
        addresses: [format!("10.9.1.{vrid}")].into(),
    };
    (1..=count).map(one).collect()
}

/// Puts another file in its place, whole: one that is being read stays what it was.
fn write(viprd: &Viprd, text: &str) {
    let file = viprd.socket().with_file_name("viprd.conf");
    let new = file.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(new, file).expect("a name");
}

/// Reloads by viprctl; what it says of it, and its exit code.
fn reload(viprd: &Viprd) -> (Value, Option<i32>) {
    let output = viprctl(&viprd.socket(), &["--json", "reload"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let outcome = serde_json::from_str(&said);
    (outcome.unwrap_or_else(|_| panic!("{output:?}\n{}", viprd.log())), output.status.code())
}

/// Added, altered, removed, unchanged.
fn counts(outcome: &Value) -> [u64; 4] {
    ["added", "altered", "removed", "unchanged"]
        .map(|what| outcome[what].as_u64().unwrap_or_else(|| panic!("{outcome}")))
}

fn reload_to(viprd: &Viprd, routers: &[Router]) -> [u64; 4] {
    write(viprd, &configuration(routers));
    let (outcome, code) = reload(viprd);
    assert_eq!((code, &outcome["refused"]), (Some(0), &Value::Null), "{outcome}");
    counts(&outcome)
}

fn all_masters(viprd: &Viprd, count: usize) {
    eventually("all are master", || {
        let status = viprd.ask(&["status"]);
        let all = status.as_array().expect("a list");
        let masters = all.iter().filter(|router| router["state"] == "MASTER").count();
        (all.len() == count && masters == count).then_some(())
    });
}

/// The virtual addresses on a link: those of length 32.
fn virtual_addresses(site: &Site, link: &str) -> BTreeSet<String> {
    let all = site.addresses("r", link);
    let ours = all.iter().filter(|address| address["prefixlen"] == 32);
    ours.filter_map(|address| address["local"].as_str().map(str::to_owned)).collect()
}

/// `ip monitor address` on the router, until dropped.
struct Monitor(Child, std::path::PathBuf);

impl Monitor {
    fn on(site: &Site) -> Monitor {
        let path = site.dir.join("monitor");
        let mut command = Command::new("ip");
        command.args(["-n", &site.namespace("r"), "-4", "-o", "monitor", "address"]);
        command.stdin(Stdio::null()).stdout(File::create(&path).expect("a file"));
        let monitor = Monitor(command.spawn().expect("ip runs"), path);
        // It is there once it tells of an address that comes and goes.
        eventually("a monitor that hears", || {
            site.ip("r", "address add 10.9.250.1/32 dev lo");
            site.ip("r", "address del 10.9.250.1/32 dev lo");
            monitor.said().contains("10.9.250.1").then_some(())
        });
        monitor
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.1).unwrap_or_default()
    }

    /// What has happened to addresses of the routers: `+10.9.1.1`, `-10.9.1.1`, sorted.
    fn changes(&self) -> Vec<String> {
        let said = self.said();
        let lines =
            said.lines().filter(|line| line.contains("10.9.1.") || line.contains("10.9.2."));
        let change = |line: &str| {
            let ip = line.split_whitespace().skip_while(|word| *word != "inet").nth(1);
            let ip = ip.unwrap_or_default().trim_end_matches("/32");
            let sign = if line.starts_with("Deleted") { '-' } else { '+' };
            format!("{sign}{ip}")
        };
        let mut changes: Vec<String> = lines.map(change).collect();
        changes.sort();
        changes
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn vrid(advert: &Frame) -> u8 {
    advert.bytes[35]
}

/// The addresses that gratuitous ARPs have named.
fn announced(frames: &[Frame]) -> BTreeSet<String> {
    let arps = frames.iter().filter(|frame| frame.is_arp());
    let own = arps.filter(|frame| frame.bytes[6] == 0x02 && frame.bytes[11] == 0x01);
    own.filter(|frame| frame.bytes[28..32] == frame.bytes[38..42])
        .map(|frame| {
            let [a, b, c, d] = [28, 29, 30, 31].map(|at| frame.bytes[at]);
            format!("{a}.{b}.{c}.{d}")
        })
        .collect()
}

/// The longest time between two adverts of each router.
fn gaps(adverts: &[Frame]) -> BTreeMap<u8, Duration> {
    let mut last = BTreeMap::new();
    let mut gaps: BTreeMap<u8, Duration> = BTreeMap::new();
    for advert in adverts {
        if let Some(before) = last.insert(vrid(advert), advert.at) {
            let longest = gaps.entry(vrid(advert)).or_default();
            *longest = (*longest).max(advert.at.saturating_sub(before));
        }
    }
    gaps
}

fn set<const N: usize>(addresses: [&str; N]) -> BTreeSet<String> {
    addresses.map(str::to_owned).into()
}

#[test]
fn what_did_not_change_does_not_notice() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let mut wanted = routers(200);
    let viprd = Viprd::start(&site, "r", &configuration(&wanted));
    all_masters(&viprd, 200);
    eventually("200 addresses", || (virtual_addresses(&site, "eth0").len() == 200).then_some(()));
    let tap = Tap::on(&site, "n");
    // The gratuitous ARPs of the start are over when none has come for a while.
    eventually("silence", || {
        tap.clear();
        std::thread::sleep(Duration::from_millis(500));
        announced(&tap.frames()).is_empty().then_some(())
    });
    let monitor = Monitor::on(&site);
    let since = |name: &str| viprd.ask(&["show", name])["since_seconds"].as_f64().expect("a time");
    let before = ["VI_5", "VI_10", "VI_20"].map(since);

    // An address, a priority and a name.
    wanted[4].addresses = set(["10.9.2.5"]);
    wanted[9].priority = 99;
    wanted[19].name = "renamed".into();
    assert_eq!(reload_to(&viprd, &wanted), [0, 3, 0, 197]);
    eventually("the new address", || {
        (monitor.changes() == ["+10.9.2.5", "-10.9.1.5"]).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(monitor.changes(), ["+10.9.2.5", "-10.9.1.5"]);
    let frames = tap.frames();
    let adverts: Vec<Frame> = frames.iter().filter(|frame| frame.is_advert()).cloned().collect();
    assert_eq!(announced(&frames), set(["10.9.2.5"]));
    assert!(adverts.iter().all(|advert| advert.priority() != Some(0)));
    let gaps = gaps(&adverts);
    assert_eq!(gaps.len(), 200);
    let longest = gaps.values().max().copied().unwrap_or_default();
    // A takeover by a peer would need 600 ms and more.
    assert!(longest < Duration::from_millis(600), "{longest:?}");
    let last = |number| adverts.iter().rev().find(|advert| vrid(advert) == number).expect("one");
    assert_eq!(last(10).priority(), Some(99));
    assert_eq!(last(5).bytes[42..46], [10, 9, 2, 5]);
    for (name, before) in ["VI_5", "VI_10", "renamed"].into_iter().zip(before) {
        let shown = viprd.ask(&["show", name]);
        assert!(since(name) > before, "{shown}");
        assert_eq!(shown["counters"]["master_transitions"], 1, "{shown}");
    }

    // One leaves, one comes.
    tap.clear();
    let mut new = wanted.remove(6);
    (new.name, new.vrid, new.addresses) = ("new".into(), 201, set(["10.9.2.201"]));
    wanted.push(new);
    assert_eq!(reload_to(&viprd, &wanted), [1, 0, 1, 199]);
    all_masters(&viprd, 200);
    eventually("its address", || site.address("r", "eth0", "10.9.2.201"));
    eventually("no other", || site.address("r", "eth0", "10.9.1.7").is_none().then_some(()));
    let adverts = tap.adverts();
    let zero: Vec<u8> =
        adverts.iter().filter(|advert| advert.priority() == Some(0)).map(vrid).collect();
    assert_eq!(zero, [7]);
    eventually("adverts of the new one", || {
        tap.adverts().iter().any(|advert| vrid(advert) == 201).then_some(())
    });

    // The same again, by a signal.
    viprd.signal(Signal::SIGHUP);
    viprd.logs("Reload complete: 0 added, 0 altered, 0 removed, 200 unchanged");
    viprd.stop();
    assert!(virtual_addresses(&site, "eth0").is_empty());
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &configuration(&routers(3)));
    all_masters(&viprd, 3);
    eventually("addresses", || (virtual_addresses(&site, "eth0").len() == 3).then_some(()));
    let file = viprd.socket().with_file_name("viprd.conf");
    let monitor = Monitor::on(&site);

    fs::remove_file(&file).expect("a file");
    let (outcome, code) = reload(&viprd);
    assert_eq!(code, Some(1));
    assert!(outcome["findings"][0].as_str().is_some_and(|it| it.contains("viprd.conf")));

    // Two of three are written wrongly: read as it stands, they would leave.
    let text = configuration(&routers(3));
    write(&viprd, &text.replace("virtual_router_id 2", "virtual_router_id 256"));
    let output = viprctl(&viprd.socket(), &["reload"]);
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{complaint}");
    assert!(said.contains("`256`") && said.contains("viprd.conf:"), "{said}");
    assert!(complaint.contains("nothing has changed"), "{complaint}");
    viprd.logs("Reload refused, nothing has changed");

    // Nor does an error that takes no router away let the rest through; all are told.
    let changed = text
        .replace("10.9.1.3/32", "10.9.2.3/32")
        .replacen("priority 150", "priority 300", 1)
        .replacen("advert_int 0.2", "advert_int x", 1);
    write(&viprd, &changed);
    let (outcome, code) = reload(&viprd);
    assert_eq!(code, Some(1), "{outcome}");
    let findings = outcome["findings"].as_array().expect("a list");
    for word in ["`300`", "`x`"] {
        let told = |it: &&Value| it.as_str().is_some_and(|it| it.contains(word));
        assert_eq!(findings.iter().filter(told).count(), 1, "{word}: {outcome}");
    }
    assert!(outcome["refused"].as_str().is_some_and(|why| why.contains("2 errors")), "{outcome}");
    // What is left out because of a warning must not be a router.
    write(&viprd, &text.replacen("vrrp_instance", "vrrp_instanc", 1));
    let (outcome, code) = reload(&viprd);
    assert_eq!(code, Some(1), "{outcome}");
    assert_eq!(viprd.ask(&["status"]).as_array().map(Vec::len), Some(3));
    assert!(monitor.changes().is_empty(), "{:?}", monitor.changes());

    // A warning alone is told, and the file is taken.
    let changed = text.replace("10.9.1.3/32", "10.9.2.3/32").replace("priority 150", "prioriti 9");
    write(&viprd, &changed);
    let (outcome, code) = reload(&viprd);
    assert_eq!(code, Some(0), "{outcome}");
    assert!(outcome["findings"].as_array().is_some_and(|all| !all.is_empty()), "{outcome}");
    eventually("the new address", || site.address("r", "eth0", "10.9.2.3"));
    eventually("the change", || (monitor.changes() == ["+10.9.2.3", "-10.9.1.3"]).then_some(()));
    viprd.stop();
}

#[test]
fn a_new_interface_and_settings_that_need_a_restart() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let mut wanted = routers(2);
    let viprd = Viprd::start(&site, "r", &configuration(&wanted));
    all_masters(&viprd, 2);
    site.wire(("r", "eth1"), ("n", "eth1"));
    site.ip("r", "address add 10.8.0.1/24 dev eth1");
    wanted.push(Router { link: "eth1", name: "second".into(), ..wanted[0].clone() });
    wanted[2].addresses = set(["10.9.2.1", "10.9.2.2"]);
    wanted.push(Router { link: "eth7", name: "absent".into(), ..wanted[2].clone() });
    let text = configuration(&wanted).replace("global_defs {", "global_defs {\n  vrrp_priority -5");
    write(&viprd, &text);
    let (outcome, code) = reload(&viprd);
    assert_eq!(code, Some(0), "{outcome}");
    assert_eq!(outcome["needs_restart"], serde_json::json!(["vrrp_priority"]));
    eventually("master on the new interface", || {
        let status = viprd.ask(&["status", "second"]);
        (status[0]["state"] == "MASTER").then_some(())
    });
    eventually("its addresses", || {
        (virtual_addresses(&site, "eth1") == set(["10.9.2.1", "10.9.2.2"])).then_some(())
    });
    assert_eq!(viprd.ask(&["status", "absent"])[0]["state"], "FAULT");
    // The group is joined there, and left again with the last router.
    let joined = |link: &str| {
        let groups = site.ip_json("r", &format!("maddress show dev {link}"));
        groups[0]["maddr"]
            .as_array()
            .is_some_and(|all| all.iter().any(|group| group["address"] == "224.0.0.18"))
    };
    assert!(joined("eth0") && joined("eth1"));
    wanted.truncate(2);
    assert_eq!(reload_to(&viprd, &wanted), [0, 0, 2, 2]);
    eventually("nothing left on it", || {
        (virtual_addresses(&site, "eth1").is_empty() && !joined("eth1")).then_some(())
    });
    viprd.stop();
}

/// Numbers that are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The links of the proof, with the third byte of the addresses on each.
const LINKS: [(&str, u8); 3] = [("eth0", 1), ("eth1", 2), ("eth2", 3)];

/// Some of 60 routers on three links, each with up to three addresses of its own.
fn random_routers(dice: &mut Dice) -> Vec<Router> {
    let mut routers = Vec::new();
    for (link, net) in LINKS {
        for vrid in 1..=20u8 {
            if dice.below(4) == 0 {
                continue;
            }
            let count = 1 + dice.below(3);
            routers.push(Router {
                name: format!("{link}_{vrid}_{}", dice.below(2)),
                link,
                vrid,
                priority: 100 + dice.below(50) as u8,
                addresses: (0..count)
                    .map(|_| format!("10.9.{net}.{}", u64::from(vrid) * 10 + dice.below(4)))
                    .collect(),
            });
        }
    }
    routers
}

/// Memory that is the daemon's alone, in kilobytes.
fn private_memory(viprd: &Viprd) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", viprd.pid()));
    let rollup = rollup.expect("it runs");
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

#[test]
fn a_hundred_reloads_in_a_row_leave_nothing_behind() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    for (link, net) in [("eth1", 7), ("eth2", 8)] {
        site.wire(("r", link), ("n", link));
        site.ip("r", &format!("address add 10.{net}.0.1/24 dev {link}"));
    }
    let mut dice = Dice(0x5eed_1234_5678);
    let viprd = Viprd::start(&site, "r", &configuration(&random_routers(&mut dice)));
    let descriptors =
        || fs::read_dir(format!("/proc/{}/fd", viprd.pid())).expect("it runs").count();
    let mut before = None;
    let mut memory = Vec::new();
    let mut last = Vec::new();
    for round in 0..100 {
        let mut wanted = random_routers(&mut dice);
        match round % 8 {
            // Several at once: one runs, one follows, nobody is forgotten.
            3 => {
                write(&viprd, &configuration(&random_routers(&mut dice)));
                std::thread::scope(|scope| {
                    let asked = [(); 3].map(|()| scope.spawn(|| reload(&viprd).1));
                    for code in asked {
                        assert_eq!(code.join().expect("no panic"), Some(0));
                    }
                });
            }
            // A wrong one changes nothing: what ran before goes on.
            5 => {
                let text = configuration(&wanted).replacen("interface eth", "interfaze eth", 1);
                write(&viprd, &text.replacen("priority 1", "priority x1", 2));
                let (outcome, code) = reload(&viprd);
                assert_eq!((code, counts(&outcome)), (Some(1), [0; 4]), "round {round}: {outcome}");
                wanted = std::mem::take(&mut last);
            }
            _ => {}
        }
        if round % 8 != 5 {
            reload_to(&viprd, &wanted);
        }
        for (link, _) in LINKS {
            let all: BTreeSet<String> = wanted
                .iter()
                .filter(|router| router.link == link)
                .flat_map(|router| router.addresses.iter().cloned())
                .collect();
            eventually(&format!("round {round}: the addresses of {link}"), || {
                (virtual_addresses(&site, link) == all).then_some(())
            });
        }
        last = wanted;
        // viprctl's last connection may be open for a moment longer.
        let before = *before.get_or_insert_with(descriptors);
        eventually("as many descriptors as before", || (descriptors() == before).then_some(()));
        memory.push(private_memory(&viprd));
    }
    // Flat: the second half needs no more than the first did. What swings is how far the thread
    // that read the last file has got with giving its memory back.
    let most = |rounds: &[u64]| rounds.iter().copied().max().unwrap_or_default();
    let (first, second) = (most(&memory[..50]), most(&memory[50..]));
    assert!(second <= first + 256, "private memory in kB, by round: {memory:?}");
    let log = viprd.stop();
    assert!(!log.contains("refuses") && !log.contains("unexpected on"), "{log}");
}

#[test]
fn signals_during_a_reload_are_one_more_reload() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &configuration(&routers(3)));
    all_masters(&viprd, 3);
    // So long that all signals come while it is read.
    let padding = "# as keepalived has it\n".repeat(200_000);
    write(&viprd, &(padding + &configuration(&routers(2))));
    viprd.signal(Signal::SIGHUP);
    viprd.logs("Reloading");
    for _ in 0..5 {
        viprd.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(1));
    }
    // The file as it is now is what the second one finds.
    write(&viprd, &configuration(&routers(4)));
    within(Duration::from_secs(60), "two reloads", || {
        (viprd.log().matches("Reload complete").count() == 2).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    let log = viprd.log();
    assert_eq!(log.matches("Reload complete").count(), 2, "{log}");
    all_masters(&viprd, 4);
    viprd.stop();
}
