//! Configurations in the shapes in which others generate them, on two hosts: they start, one host fails,
//! the other one takes over. The files are those of `tests/golden/config/valid`, with other paths.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::scripts::{has, lines, script, script_in};
use crate::site::{Site, able, eventually};
use crate::viprd::Viprd;

fn shape(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/valid").join(name);
    fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Replaces each first word by the second one, which has to be there.
fn with(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in\n{text}");
        text.replace(from, to)
    })
}

/// Waits until a virtual router is in `state`.
fn is(viprd: &Viprd, name: &str, state: &str) {
    let began = std::time::Instant::now();
    loop {
        let now = viprd.ask(&["status", name])[0]["state"].clone();
        if now == state {
            return;
        }
        let waited = began.elapsed();
        assert!(waited < crate::site::PATIENCE, "{name} is {now}, not {state}\n{}", viprd.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Succeeds as long as the file is there.
fn check(site: &Site, name: &str, file: &Path) -> PathBuf {
    fs::write(file, "").expect("a file");
    script(site, name, &format!("test -e {}", file.display()))
}

/// VyOS: a named pipe with a reader in Python, a sync group with a health check, a virtual MAC beside
/// unicast.
#[test]
fn vyos() {
    if !able(&["python3"]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    for link in ["eth0", "eth1", "eth2"] {
        site.wire(("r", link), ("n", link));
    }
    for (host, number) in [("r", 2), ("n", 3)] {
        site.ip(host, &format!("address add 10.1.0.{number}/24 dev eth0"));
        site.ip(host, &format!("address add 192.0.2.{number}/24 dev eth1"));
        site.ip(host, &format!("address add 10.2.0.{number}/24 dev eth2"));
    }
    let told = |host: &str| site.dir.join(format!("{host}-told"));
    let well = |host: &str| site.dir.join(format!("{host}-well"));
    let reader = script_in(&site, "fifo.py", "/usr/bin/env python3", FIFO_READER);
    let start = |host: &str| {
        let path = |name: &str| site.dir.join(format!("{host}-{name}")).display().to_string();
        let health = check(&site, &format!("{host}-health"), &well(host)).display().to_string();
        let group =
            script(&site, &format!("{host}-group"), &format!("echo $* >> {}", path("group-told")));
        let group = group.display().to_string();
        let reader = format!("{} {}", reader.display(), told(host).display());
        let mut text = with(
            &shape("vyos.conf"),
            &[
                ("/run/keepalived/keepalived_notify_fifo", &path("pipe")),
                ("/usr/libexec/vyos/system/keepalived-fifo.py", &format!("\"{reader}\"")),
                ("/config/scripts/check-wan.sh", &health),
                ("/config/scripts/check-all.sh", &health),
                ("/usr/libexec/vyos/vyos-vrrp-conntracksync.sh", &group),
                ("enable_script_security", ""),
                ("vrrp_startup_delay 10", "vrrp_startup_delay 0.5"),
                ("interval 60", "interval 0.5"),
                ("interval 30", "interval 0.5"),
                ("preempt_delay 180", "preempt_delay 1"),
                ("/usr/bin/logger", "/bin/true"),
            ],
        );
        if host == "n" {
            let other = [("priority 200", "priority 100"), ("10.1.0.2", "10.1.0.3")];
            text = with(&text, &other);
            text = with(&text, &[("192.0.2.2", "192.0.2.x"), ("192.0.2.3", "192.0.2.2")]);
            text = with(&text, &[("192.0.2.x", "192.0.2.3")]);
        }
        Viprd::start(&site, host, &text)
    };
    let (r, n) = (start("r"), start("n"));
    for name in ["LAN", "WAN"] {
        is(&r, name, "MASTER");
        is(&n, name, "BACKUP");
    }
    eventually("an address behind the virtual MAC", || site.address("r", "eth0v10", "10.1.0.1"));
    has(&told("r"), "GROUP MAIN MASTER 0");
    has(&site.dir.join("r-group-told"), "master MAIN");
    // The health check of one host fails: both move, as one.
    fs::remove_file(well("r")).expect("it was there");
    for name in ["LAN", "WAN"] {
        is(&r, name, "FAULT");
        is(&n, name, "MASTER");
    }
    eventually("an address behind the virtual MAC", || site.address("n", "eth0v10", "10.1.0.1"));
    eventually("the address of eth1", || site.address("n", "eth1", "192.0.2.4"));
    has(&told("r"), "INSTANCE LAN FAULT 200");
    has(&told("r"), "GROUP MAIN FAULT 0");
    has(&told("n"), "GROUP MAIN MASTER 0");
    has(&site.dir.join("r-group-told"), "fault MAIN");
    // Well again, it waits: one of both doesn't preempt.
    fs::write(well("r"), "").expect("a file");
    for name in ["LAN", "WAN"] {
        is(&r, name, "BACKUP");
        is(&n, name, "MASTER");
    }
    n.stop();
    for name in ["LAN", "WAN"] {
        is(&r, name, "MASTER");
    }
    has(&told("n"), "GROUP MAIN STOP 0");
    r.stop();
    assert_eq!(lines(&told("r")).last().map(String::as_str), Some("GROUP MAIN STOP 0"));
}

/// The reader that keepalived's distributions of VyOS's kind use, reduced to what it reads: a line is
/// split as by a shell into type, name, state and priority.
const FIFO_READER: &str = r#"
import os, shlex, sys
told, pipe = open(sys.argv[1], "a", 1), sys.argv[2]
assert os.path.exists(pipe)
with open(pipe) as lines:
    for line in lines:
        kind, name, state, priority = shlex.split(line)
        told.write(f"{kind} {name} {state} {priority}\n")
"#;

/// OpenShift on bare metal: six checks with weights, unicast, and here a sync group of both.
#[test]
fn openshift() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    site.wire(("r", "enp2s0"), ("n", "enp2s0"));
    for (host, number) in [("r", 20), ("n", 21)] {
        site.ip(host, &format!("address add 192.168.111.{number}/24 dev enp2s0"));
    }
    let checks = ["ocp_lb", "ocp_both", "default_ingress", "ingress", "ingress_ready", "dns"];
    let file = |host: &str, check: &str| site.dir.join(format!("{host}-{check}"));
    let start = |host: &str, (own, peer): (u8, u8)| {
        let mut text = String::from(
            "global_defs {\n script_user root\n max_auto_priority -1\n vrrp_garp_master_refresh 60\n}\n",
        );
        for name in checks {
            let path = check(&site, &format!("{host}-chk_{name}.sh"), &file(host, name));
            text += &format!(
                "vrrp_script chk_{name} {{\n script \"/usr/bin/timeout 1.9 {}\"\n interval 0.5\n weight 10\n \
                 rise 2\n fall 2\n}}\n",
                path.display()
            );
        }
        for (number, name) in ["API_0", "INGRESS_0"].into_iter().enumerate() {
            text += &format!(
                "vrrp_instance ostest_{name} {{\n state BACKUP\n interface enp2s0\n virtual_router_id {}\n \
                 priority 40\n advert_int 1\n unicast_src_ip 192.168.111.{own}\n \
                 unicast_peer {{\n 192.168.111.{peer}\n 192.168.111.22\n }}\n \
                 authentication {{\n auth_type PASS\n auth_pass ostest_a\n }}\n \
                 virtual_ipaddress {{\n 192.168.111.{}/32 label vip\n }}\n}}\n",
                55 + number,
                5 + number
            );
        }
        text += "vrrp_sync_group both {\n group {\n ostest_API_0\n ostest_INGRESS_0\n }\n \
                 sync_group_tracking_weight\n track_script {\n";
        checks.iter().for_each(|name| text += &format!(" chk_{name}\n"));
        text += " }\n}\n";
        Viprd::start(&site, host, &text)
    };
    let r = start("r", (20, 21));
    let priority = |viprd: &Viprd, wanted: u64| {
        eventually(&format!("priority {wanted}"), || {
            (viprd.ask(&["status", "ostest_API_0"])[0]["effective_priority"] == wanted)
                .then_some(())
        });
    };
    is(&r, "ostest_API_0", "MASTER");
    priority(&r, 100);
    let n = start("n", (21, 20));
    priority(&n, 100);
    is(&n, "ostest_INGRESS_0", "BACKUP");
    for name in ["ingress", "ingress_ready"] {
        fs::remove_file(file("r", name)).expect("it was there");
    }
    priority(&r, 80);
    for name in ["ostest_API_0", "ostest_INGRESS_0"] {
        is(&n, name, "MASTER");
        is(&r, name, "BACKUP");
    }
    eventually("an address", || site.address("n", "enp2s0", "192.168.111.6"));
    assert!(site.address("r", "enp2s0", "192.168.111.6").is_none());
    // Worse still on the other side.
    for name in ["ocp_lb", "ocp_both", "dns"] {
        fs::remove_file(file("n", name)).expect("it was there");
    }
    priority(&n, 70);
    for name in ["ostest_API_0", "ostest_INGRESS_0"] {
        is(&r, name, "MASTER");
        is(&n, name, "BACKUP");
    }
    r.stop();
    n.stop();
}

/// Neutron: a router on a network of its own between the hosts, equals that don't preempt.
#[test]
fn neutron() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    for link in ["ha-1c9f6a2e-4b", "qr-7a1b2c3d-4e", "qg-99887766-55"] {
        site.wire(("r", link), ("n", link));
    }
    let health = script(&site, "health", "exit 0");
    let text = with(
        &shape("neutron.conf"),
        &[
            ("/var/lib/neutron/ha_confs/0d2f/ha_check_script_17.sh", &health.display().to_string()),
            ("router_id neutron", "router_id neutron\n    script_user root"),
            ("advert_int 2", "advert_int 1"),
        ],
    );
    let start = |host: &str, number: u8| {
        site.ip(host, &format!("address add 169.254.192.{number}/18 dev ha-1c9f6a2e-4b"));
        Viprd::start(&site, host, &text)
    };
    takes_over_from_a_dead_one(&site, "VR_17", "ha-1c9f6a2e-4b", "169.254.0.17", start);
}

/// Octavia: a pair of amphorae, unicast.
#[test]
fn octavia() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n"]);
    site.wire(("r", "eth1"), ("n", "eth1"));
    let health = script(&site, "health", "exit 0").display().to_string();
    let text = with(&shape("octavia.conf"), &[("/var/lib/octavia/vrrp/check_script.sh", &health)]);
    let text = format!("global_defs {{\n script_user root\n}}\n{text}");
    let start = |host: &str, number: u8| {
        site.ip(host, &format!("address add 10.0.0.1{number}/24 dev eth1"));
        let mine = match host {
            "r" => text.clone(),
            _ => with(
                &with(&text, &[("10.0.0.11", "10.0.0.x"), ("10.0.0.12", "10.0.0.11")]),
                &[
                    ("10.0.0.x", "10.0.0.12"),
                    ("state MASTER", "state BACKUP"),
                    ("priority 100\n  nopreempt", "priority 90\n  nopreempt"),
                ],
            ),
        };
        Viprd::start(&site, host, &mine)
    };
    takes_over_from_a_dead_one(
        &site,
        "5f3c4b1a2d9e4f6c8a7b0c1d2e3f4a5b",
        "eth1",
        "10.0.0.50",
        start,
    );
}

/// `r` is master, dies, and comes back; `n` takes over, and stays master.
fn takes_over_from_a_dead_one(
    site: &Site,
    name: &str,
    link: &str,
    address: &str,
    start: impl Fn(&str, u8) -> Viprd,
) {
    let r = start("r", 1);
    is(&r, name, "MASTER");
    eventually("the address", || site.address("r", link, address));
    let n = start("n", 2);
    is(&n, name, "BACKUP");
    r.signal(Signal::SIGKILL);
    is(&n, name, "MASTER");
    eventually("the address", || site.address("n", link, address));
    assert_eq!(n.ask(&["status", name])[0]["state"], "MASTER");
    n.stop();
    assert!(site.address("n", link, address).is_none());
}
