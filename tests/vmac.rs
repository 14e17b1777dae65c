//! Virtual MACs and accept mode, in network namespaces: what is on the wire is read by tshark, what
//! the hosts do by `ip`, `ping`, `nft` and the neighbours' tables. keepalived is the peer where it
//! is installed.
//!
//! Needs root and iproute2; see `tests/daemon` for the rules that hold there and here.

#![allow(dead_code, reason = "of the parts that tests/daemon shares not everything is needed")]

#[path = "daemon/shark.rs"]
mod shark;
#[path = "daemon/site.rs"]
mod site;
#[path = "daemon/tap.rs"]
mod tap;
#[path = "daemon/viprd.rs"]
mod viprd;

use std::fmt::Write;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::viprd::io::sockets;
use ::viprd::kernel::{Firewall, FirewallOptions};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recv, send};
use serde_json::Value;
use site::{Site, able, eventually, within};
use tap::{Frame, Sender, Tap};
use viprd::{Viprd, command, files, viprctl};

/// The virtual MAC of vrid 51, and that of the interface below on host `r`.
const VIRTUAL: &str = "00:00:5e:00:01:33";
const BELOW: &str = "02:00:00:00:00:01";

/// VRRPv3, ten adverts a second.
fn instance(name: &str, vrid: u8, priority: u8, words: &str, addresses: &[&str]) -> String {
    let addresses: String = addresses.iter().map(|ip| format!("    {ip}\n")).collect();
    format!(
        "vrrp_instance {name} {{\n  interface eth0\n  virtual_router_id {vrid}\n  version 3\n  \
         advert_int 0.1\n  priority {priority}\n  {words}\n  \
         virtual_ipaddress {{\n{addresses}  }}\n}}\n"
    )
}

fn vmac(priority: u8) -> String {
    instance("VI_1", 51, priority, "use_vmac", &["10.9.0.50/24", "10.9.0.51/32"])
}

/// The link, as `ip -details -json` has it; `Null` if there is none.
fn link(site: &Site, host: &str, name: &str) -> Value {
    site.ip_json(host, &format!("link show dev {name}"))[0].take()
}

/// The names of all macvlans of a host.
fn macvlans(site: &Site, host: &str) -> Vec<String> {
    let shown = site.ip_json(host, "link show type macvlan");
    let all = shown.as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|link| Some(link["ifname"].as_str()?.to_owned())).collect()
}

fn setting(site: &Site, host: &str, interface: &str, name: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/{name}");
    site.inside(host, || fs::read_to_string(path).unwrap_or_default().trim().to_owned())
}

fn pings(site: &Site, host: &str, address: &str) -> bool {
    let mut command = Command::new("ping");
    command.args(["-c", "1", "-W", "1", address]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = site.inside(host, || command.spawn()).expect("ping runs");
    child.wait().expect("a child").success()
}

/// The Ethernet address that a host knows for an address.
fn neighbour(site: &Site, host: &str, address: &str) -> Option<String> {
    let shown = site.ip_json(host, &format!("neighbour show to {address}"));
    shown[0]["lladdr"].as_str().map(str::to_owned)
}

fn source(frame: &Frame) -> String {
    let bytes = frame.bytes.get(6..12).unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// A daemon in `files`, which may have been another one's before.
fn start_in(site: &Site, host: &str, files: &std::path::Path, configuration: &str) -> Child {
    let mut command = command(files, configuration);
    let log = File::create(files.join("log")).expect("a log file");
    command.args(["-n", "-l", "-D"]).stderr(log);
    site.inside(host, || command.spawn()).expect("viprd runs")
}

/// Hosts `r`, `n` and `c` on one bridge; 10.9.0.1 to 10.9.0.3.
fn three() -> Site {
    let site = Site::new(&["s", "r", "n", "c"]);
    site.ip("s", "link add br0 type bridge");
    site.ip("s", "link set br0 up");
    for (number, host) in ["r", "n", "c"].into_iter().enumerate() {
        let port = format!("p{number}");
        site.wire((host, "eth0"), ("s", &port));
        let number = number + 1;
        site.ip(host, &format!("link set eth0 address 02:00:00:00:00:0{number}"));
        site.ip(host, &format!("address add 10.9.0.{number}/24 brd 10.9.0.255 dev eth0"));
        site.ip("s", &format!("link set {port} address 02:00:00:00:01:0{number} master br0"));
    }
    site
}

#[test]
fn what_is_sent_has_the_virtual_mac_and_nothing_stays_behind() {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &vmac(150));
    viprd.becomes("MASTER");
    eventually("the addresses", || (site.addresses("r", "vrrp.51").len() == 2).then_some(()));
    let made = link(&site, "r", "vrrp.51");
    assert_eq!(made["address"], VIRTUAL);
    assert_eq!(
        (&made["link"], &made["linkinfo"]["info_kind"]),
        (&"eth0".into(), &"macvlan".into())
    );
    assert_eq!(site.address("r", "eth0", "10.9.0.50"), None);
    eventually("announcements", || {
        (tap.frames().iter().filter(|frame| frame.is_arp()).count() >= 10).then_some(())
    });
    assert!(pings(&site, "n", "10.9.0.50"));
    // The answer needed the neighbour's MAC, and asking for it has not spoilt its table.
    site.ip("r", "neighbour flush all");
    assert!(pings(&site, "n", "10.9.0.51"));
    for address in ["10.9.0.50", "10.9.0.51"] {
        assert_eq!(neighbour(&site, "n", address).as_deref(), Some(VIRTUAL));
    }
    // Only one of the two interfaces answers for the router's own address.
    site.ip("n", "neighbour flush all");
    assert!(pings(&site, "n", "10.9.0.1"));
    assert_eq!(neighbour(&site, "n", "10.9.0.1").as_deref(), Some(BELOW));
    assert_eq!(setting(&site, "r", "eth0", "arp_ignore"), "1");

    viprd.stop();
    eventually("priority 0", || (tap.adverts().last()?.priority() == Some(0)).then_some(()));
    assert_eq!(macvlans(&site, "r"), [""; 0]);
    for name in ["arp_ignore", "arp_announce"] {
        assert_eq!(setting(&site, "r", "eth0", name), "0", "{name} is not restored");
    }
    let fields = ["eth.src", "ip.src", "vrrp.virt_rtr_id", "arp.src.hw_mac", "arp.src.proto_ipv4"];
    for frame in shark::read(&site, &tap.frames(), &fields) {
        if frame["vrrp.virt_rtr_id"] == "51" {
            assert_eq!((&*frame["eth.src"], &*frame["ip.src"]), (VIRTUAL, "10.9.0.1"));
        } else if matches!(&*frame["arp.src.proto_ipv4"], "10.9.0.50" | "10.9.0.51") {
            assert_eq!((&*frame["eth.src"], &*frame["arp.src.hw_mac"]), (VIRTUAL, VIRTUAL));
        } else if frame["eth.src"] == VIRTUAL {
            panic!("what else has the virtual MAC? {frame:?}");
        }
    }
}

#[test]
fn vmac_xmit_base_leaves_adverts_their_own_mac() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let words = "use_vmac wan9 group 7\n  vmac_xmit_base\n  no_accept\n  garp_master_delay 0\n  \
                 garp_extra_if 1";
    let viprd =
        Viprd::start(&site, "r", &instance("VI_1", 51, 150, words, &["10.9.0.50/24 dev eth0"]));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "wan9", "10.9.0.50"));
    assert_eq!(link(&site, "r", "wan9")["group"], "7");
    // One set, and then others from time to time: no advert shows the switch where that MAC is.
    eventually("announcements", || {
        (tap.frames().iter().filter(|frame| frame.is_arp()).count() >= 7).then_some(())
    });
    for frame in tap.frames() {
        if frame.is_advert() {
            assert_eq!(source(&frame), BELOW);
        } else if frame.is_arp() {
            assert_eq!(source(&frame), VIRTUAL);
        }
    }
    assert!(!pings(&site, "n", "10.9.0.50"), "no_accept");
    viprd.stop();
    assert_eq!(macvlans(&site, "r"), [""; 0]);
}

/// It follows from the vrid alone, whatever version is spoken.
#[test]
fn version_2_has_the_same_virtual_mac() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let two = vmac(250).replace("version 3", "version 2").replace("int 0.1", "int 1");
    let viprd = Viprd::start(&site, "r", &two);
    viprd.becomes("MASTER");
    eventually("an announcement", || tap.frames().into_iter().find(Frame::is_arp));
    viprd.stop();
    let adverts = tap.adverts();
    assert!(!adverts.is_empty());
    for frame in adverts {
        assert_eq!((source(&frame), frame.bytes.get(34)), (VIRTUAL.into(), Some(&0x21)));
    }
}

/// Where proxy ARP is wanted of the virtual router, the answer has the virtual MAC, and none comes
/// from a Backup.
#[test]
fn proxy_arp_answers_with_the_virtual_mac() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n", "f"]);
    site.wire(("r", "eth0"), ("n", "eth0"));
    site.wire(("r", "eth1"), ("f", "eth0"));
    site.ip("r", "address add 10.9.0.1/24 brd 10.9.0.255 dev eth0");
    site.ip("n", "address add 10.9.0.2/24 brd 10.9.0.255 dev eth0");
    site.ip("r", "address add 10.8.0.1/24 brd 10.8.0.255 dev eth1");
    let wish = |path: &str| {
        let path = format!("/proc/sys/net/ipv4/{path}");
        site.inside("r", || fs::write(&path, "1")).expect("root");
    };
    wish("ip_forward");
    let tap = Tap::on(&site, "n");
    let wire = Sender::on(&site, "n", "eth0");
    let ask = || wire.send(&who_has([2, 0, 0, 0, 0, 2], [10, 9, 0, 2], [10, 8, 0, 9]));
    let answers = || {
        let frames = tap.frames().into_iter();
        let about = frames.filter(|it| it.bytes.get(28..32) == Some(&[10, 8, 0, 9]));
        about.filter(|it| it.bytes.get(20..22) == Some(&[0, 2])).collect::<Vec<_>>()
    };
    for (interval, state) in [("20", "BACKUP"), ("0.1", "MASTER")] {
        let words = vmac(100).replace("advert_int 0.1", &format!("advert_int {interval}"));
        let viprd = Viprd::start(&site, "r", &words);
        viprd.becomes(state);
        wish("conf/vrrp.51/proxy_arp");
        if state == "BACKUP" {
            ask();
            // The kernel takes 0.8 s at most to answer for others (`proxy_delay`).
            sleep(Duration::from_secs(2));
            assert!(answers().is_empty(), "{:?}", answers());
        } else {
            eventually("the address", || site.address("r", "vrrp.51", "10.9.0.50"));
            eventually("an answer", || {
                ask();
                answers().first().cloned()
            });
        }
        viprd.stop();
    }
    for answer in answers() {
        assert_eq!(source(&answer), VIRTUAL);
        assert_eq!(answer.bytes.get(22..28), Some(&[0, 0, 0x5e, 0, 1, 0x33][..]));
    }
}

/// A Backup has its macvlan up, and neither answers for it nor forwards what is sent to it, while
/// its own address answers as ever, even to who asks with the virtual MAC.
#[test]
fn a_backup_is_silent() {
    if !able(&[]) {
        return;
    }
    let site = Site::new(&["r", "n", "f"]);
    site.wire(("r", "eth0"), ("n", "eth0"));
    site.wire(("r", "eth1"), ("f", "eth0"));
    site.ip("r", "address add 10.9.0.1/24 brd 10.9.0.255 dev eth0");
    site.ip("n", "address add 10.9.0.2/24 brd 10.9.0.255 dev eth0");
    site.ip("r", "address add 10.8.0.1/24 brd 10.8.0.255 dev eth1");
    site.ip("r", "neighbour add 10.8.0.9 lladdr 02:00:00:00:00:09 dev eth1");
    // A router of IPv6, too, which would join all-routers wherever it can.
    site.inside("r", || {
        for (name, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/disable_ipv6", "0"),
            ("ipv6/conf/default/disable_ipv6", "0"),
            ("ipv6/conf/all/forwarding", "1"),
        ] {
            fs::write(format!("/proc/sys/net/{name}"), value).expect("root");
        }
    });
    let (tap, beyond) = (Tap::on(&site, "n"), Tap::on(&site, "f"));
    let quiet = vmac(100).replace("advert_int 0.1", "advert_int 20");
    let viprd = Viprd::start(&site, "r", &quiet);
    viprd.becomes("BACKUP");
    assert_eq!(
        link(&site, "r", "vrrp.51")["flags"]
            .as_array()
            .map(|flags| { flags.contains(&"UP".into()) }),
        Some(true)
    );

    let wire = Sender::on(&site, "n", "eth0");
    let virtual_mac = [0, 0, 0x5e, 0, 1, 0x33];
    // Who has …? From a host, and from the Active with the virtual MAC.
    for (mac, own) in [([2, 0, 0, 0, 0, 2], [10, 9, 0, 2]), (virtual_mac, [10, 9, 0, 50])] {
        for target in [[10, 9, 0, 50], [10, 9, 0, 51], [10, 9, 0, 1]] {
            if own != target {
                wire.send(&who_has(mac, own, target));
            }
        }
    }
    // Ping 10.8.0.9, by the virtual MAC and by the router's own.
    for mac in [virtual_mac, [2, 0, 0, 0, 0, 1]] {
        wire.send(&udp(mac, [10, 8, 0, 9]));
    }
    // … and the virtual address, which is not here.
    wire.send(&udp(virtual_mac, [10, 9, 0, 50]));
    let answers = || tap.frames().into_iter().filter(|it| it.bytes.get(20..22) == Some(&[0, 2]));
    eventually("two answers for its own address", || (answers().count() >= 2).then_some(()));
    let forwarded = || {
        beyond.frames().into_iter().filter(|frame| frame.bytes.get(30..34) == Some(&[10, 8, 0, 9]))
    };
    eventually("what is for the router is forwarded", || forwarded().next());
    sleep(Duration::from_millis(1500));
    assert_eq!(forwarded().count(), 1, "and what is for the virtual MAC is not");
    for answer in answers() {
        assert_eq!(answer.bytes.get(28..32), Some(&[10, 9, 0, 1][..]), "{answer:?}");
    }
    for frame in tap.frames() {
        assert_ne!(source(&frame), VIRTUAL, "{frame:?}");
    }
    assert_eq!(viprd.state(), "BACKUP");
    viprd.stop();

    // As Active the same is forwarded.
    let viprd = Viprd::start(&site, "r", &vmac(100));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "vrrp.51", "10.9.0.50"));
    wire.send(&udp(virtual_mac, [10, 8, 0, 9]));
    eventually("what is for the virtual MAC is forwarded", || {
        (forwarded().count() == 2).then_some(())
    });
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
    [&to[..], &from, &kind].concat()
}

fn who_has(mac: [u8; 6], own: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], mac, [8, 6]);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(own);
    frame.extend([0; 6]);
    frame.extend(target);
    frame
}

fn udp(to: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2];
    ip.extend(address);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = ethernet(to, [2, 0, 0, 0, 0, 2], [8, 0]);
    frame.extend(ip);
    frame.extend([0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0]);
    frame
}

/// Two routers with the same virtual MAC hear each other by the interface below; the client's table
/// stays as it is when the other takes over.
#[test]
fn a_client_keeps_its_neighbour_when_the_other_takes_over() {
    if !able(&[]) {
        return;
    }
    let site = three();
    let first = Viprd::start(&site, "r", &vmac(200));
    first.becomes("MASTER");
    let second = Viprd::start(&site, "n", &vmac(100));
    second.becomes("BACKUP");
    eventually("the second to follow the first", || {
        (second.status()["master"] == "10.9.0.1").then_some(())
    });
    let client = Tap::on(&site, "c");
    eventually("an answer", || pings(&site, "c", "10.9.0.50").then_some(()));
    assert_eq!(neighbour(&site, "c", "10.9.0.50").as_deref(), Some(VIRTUAL));
    // Longer than the second would wait if it heard nothing.
    sleep(Duration::from_secs(1));
    assert_eq!((first.state(), second.state()), ("MASTER".into(), "BACKUP".into()));
    // Two who see each other's virtual MAC still reach each other.
    assert!(pings(&site, "r", "10.9.0.2") && pings(&site, "n", "10.9.0.1"));

    let began = Instant::now();
    drop(first);
    second.becomes("MASTER");
    eventually("an answer", || pings(&site, "c", "10.9.0.50").then_some(()));
    assert_eq!(neighbour(&site, "c", "10.9.0.50").as_deref(), Some(VIRTUAL));
    println!("after a kill reachable again in {:?}", began.elapsed());
    let others = client.frames().into_iter().filter(Frame::is_arp);
    for arp in others.filter(|arp| arp.bytes.get(28..32) == Some(&[10, 9, 0, 50])) {
        assert_eq!(source(&arp), VIRTUAL);
    }
}

#[test]
fn accept_mode_is_as_configured() {
    if !able(&["nft", "ping"]) {
        return;
    }
    // What is said, and whether it takes traffic.
    let cases = [
        ("", 100, true),
        ("no_accept", 100, false),
        ("no_accept\n  use_vmac", 100, false),
        ("no_accept", 255, true),
        ("strict_mode", 100, false),
        ("strict_mode\n  accept", 100, true),
        ("accept", 100, true),
    ];
    let mut configuration = String::new();
    for (number, (words, priority, _)) in cases.iter().enumerate() {
        let (name, vrid) = (format!("VI_{}", number + 1), number as u8 + 51);
        let state = if *priority == 255 { "state MASTER\n  " } else { "" };
        let address = format!("10.9.0.{vrid}/24");
        configuration += &instance(&name, vrid, *priority, &format!("{state}{words}"), &[&address]);
    }
    let site = Site::pair();
    let viprd = Viprd::start_with(&site, "r", &configuration, &["--io", "epoll"]);
    viprd.becomes("MASTER");
    let address = |number: usize| format!("10.9.0.{}", number + 51);
    for (number, (words, priority, taken)) in cases.iter().enumerate() {
        let address = address(number);
        if *taken {
            eventually("a ping", || pings(&site, "n", &address).then_some(()));
        } else {
            eventually("the address", || {
                let there = ["eth0", &format!("vrrp.{}", number + 51)]
                    .iter()
                    .any(|link| site.address("r", link, &address).is_some());
                there.then_some(())
            });
            assert!(!pings(&site, "n", &address), "{words} {priority}");
        }
        assert!(neighbour(&site, "n", &address).is_some(), "ARP is answered: {words}");
    }
    // Two of the sort that is blocked at first; what they say of it is changed by a reload.
    let open = configuration.replace("no_accept", "accept");
    fs::write(viprd.socket().with_file_name("viprd.conf"), open).expect("a file");
    assert!(viprctl(&viprd.socket(), &["reload"]).status.success());
    eventually("a ping", || pings(&site, "n", &address(1)).then_some(()));
    assert!(!pings(&site, "n", &address(4)), "strict as before");
    let tables = || {
        let list = || Command::new("nft").args(["list", "tables"]).output();
        String::from_utf8_lossy(&site.inside("r", list).expect("nft runs").stdout).into_owned()
    };
    assert_eq!(tables().trim(), "table inet viprd");
    viprd.stop();
    assert_eq!(tables(), "");
}

/// The table itself, with an address of IPv6 in its set.
#[test]
fn a_blocked_ipv6_address_is_found_by_its_neighbours() {
    if !able(&["ping"]) {
        return;
    }
    let site = Site::pair();
    for host in ["r", "n"] {
        site.inside(host, || fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap());
    }
    site.ip("r", "address add fd00::50/64 dev eth0 nodad");
    site.ip("n", "address add fd00::2/64 dev eth0 nodad");
    eventually("a ping", || pings(&site, "n", "fd00::50").then_some(()));

    let options = FirewallOptions { counters: true, ..FirewallOptions::default() };
    let mut firewall = Firewall::new(options);
    firewall.block(["fd00::50".parse().expect("an address")]);
    let mut buffer = vec![0; Firewall::REQUEST_BUFFER];
    let length = firewall.next_request(&mut buffer).expect("a request");
    let socket = site.inside("r", || sockets::netlink_netfilter(1 << 16).expect("a socket"));
    send(socket.as_raw_fd(), &buffer[..length], MsgFlags::empty()).expect("it is sent");
    let read = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("an answer");
    assert_eq!(firewall.on_answer(&buffer[..read]), None, "not refused");
    assert!(!firewall.has_work(), "granted");

    site.ip("n", "neighbour flush all");
    assert!(!pings(&site, "n", "fd00::50"));
    assert_eq!(neighbour(&site, "n", "fd00::50").as_deref(), Some(BELOW));
    drop(socket);
    eventually("a ping", || pings(&site, "n", "fd00::50").then_some(()));
}

#[test]
fn after_a_crash_what_is_right_is_used_and_the_rest_removed() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let files = files(&site);
    let both = vmac(150) + &instance("VI_2", 52, 150, "use_vmac", &["10.9.0.52/24"]);
    let mut first = start_in(&site, "r", &files, &both);
    eventually("the addresses", || {
        let there = |link, ip| site.address("r", link, ip).is_some();
        (there("vrrp.51", "10.9.0.50") && there("vrrp.52", "10.9.0.52")).then_some(())
    });
    first.kill().and_then(|()| first.wait()).expect("a child");
    let kept = link(&site, "r", "vrrp.51")["ifindex"].clone();
    // One that is somebody else's stays.
    site.ip("r", "link add other link eth0 type macvlan mode private");

    let mut second = start_in(&site, "r", &files, &vmac(150));
    eventually("the leftover to go", || {
        let mut left = macvlans(&site, "r");
        left.sort();
        (left == ["other", "vrrp.51"]).then_some(())
    });
    assert_eq!(link(&site, "r", "vrrp.51")["ifindex"], kept);
    eventually("the address", || site.address("r", "vrrp.51", "10.9.0.50"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(second.id() as i32), Signal::SIGTERM)
        .expect("it runs");
    within(site::PATIENCE, "its end", || second.try_wait().expect("a child"));
    assert_eq!(macvlans(&site, "r"), ["other"]);
}

#[test]
fn the_interface_below_comes_and_goes() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &vmac(150));
    viprd.becomes("MASTER");
    site.ip("r", "link delete eth0");
    viprd.becomes("FAULT");
    assert_eq!(macvlans(&site, "r"), [""; 0]);
    site.wire(("r", "eth0"), ("n", "eth0"));
    site.ip("r", "address add 10.9.0.1/24 brd 10.9.0.255 dev eth0");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "vrrp.51", "10.9.0.50"));
    // Down and up: the same macvlan.
    let before = link(&site, "r", "vrrp.51")["ifindex"].clone();
    site.ip("r", "link set eth0 down");
    viprd.becomes("FAULT");
    site.ip("r", "link set eth0 up");
    viprd.becomes("MASTER");
    assert_eq!(link(&site, "r", "vrrp.51")["ifindex"], before);
    // Someone else deletes it: FAULT, and it is made again.
    site.ip("r", "link delete vrrp.51");
    viprd.logs("interface vrrp.51 REMOVED");
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "vrrp.51", "10.9.0.50"));
    assert_ne!(link(&site, "r", "vrrp.51")["ifindex"], before);
    viprd.stop();
}

#[test]
fn a_name_that_is_taken_is_refused() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    site.ip("r", "link add vrrp.51 type bridge");
    let viprd = Viprd::start(&site, "r", &vmac(150));
    viprd.logs("there is one of that name");
    viprd.stop();
    assert_eq!(link(&site, "r", "vrrp.51")["linkinfo"]["info_kind"], "bridge");

    // What keepalived has made is taken over.
    site.ip("r", "link delete vrrp.51");
    site.ip(
        "r",
        &format!("link add vrrp.51 link eth0 address {VIRTUAL} type macvlan mode private"),
    );
    let before = link(&site, "r", "vrrp.51")["ifindex"].clone();
    let viprd = Viprd::start(&site, "r", &vmac(150));
    viprd.becomes("MASTER");
    let now = link(&site, "r", "vrrp.51");
    assert_eq!((&now["ifindex"], &now["linkinfo"]["info_data"]["mode"]), (&before, &"vepa".into()));
}

#[test]
fn a_reload_makes_and_removes_them_and_disturbs_nobody() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &vmac(150));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "vrrp.51", "10.9.0.50"));
    let before = link(&site, "r", "vrrp.51")["ifindex"].clone();
    let reload = |text: &str| {
        fs::write(viprd.socket().with_file_name("viprd.conf"), text).expect("a file");
        assert!(viprctl(&viprd.socket(), &["reload"]).status.success(), "{}", viprd.log());
    };
    let more = |count: u8| -> String {
        (60..60 + count)
            .map(|vrid| {
                let address = format!("10.9.1.{vrid}/32");
                instance(&format!("VI_{vrid}"), vrid, 150, "use_vmac", &[&address])
            })
            .collect()
    };
    reload(&(vmac(150) + &more(40)));
    eventually("an address", || site.address("r", "vrrp.99", "10.9.1.99"));
    let tap = Tap::on(&site, "n");
    reload(&(vmac(150) + &more(1)));
    eventually("the others to go", || {
        let mut left = macvlans(&site, "r");
        left.sort();
        (left == ["vrrp.51", "vrrp.60"]).then_some(())
    });
    assert_eq!(link(&site, "r", "vrrp.51")["ifindex"], before);
    assert_eq!(viprd.state(), "MASTER");
    let left = tap.adverts().into_iter().filter(|it| it.priority() == Some(0)).count();
    assert_eq!(left, 39, "those that leave say so");
    viprd.stop();
    assert_eq!(macvlans(&site, "r"), [""; 0]);
}

/// keepalived in the foreground of a test; killed when dropped.
struct Keepalived {
    child: Child,
    log: std::path::PathBuf,
}

impl Keepalived {
    fn start(site: &Site, host: &str, configuration: &str) -> Self {
        let files = files(site);
        let (file, log) = (files.join("keepalived.conf"), files.join("log"));
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new("keepalived");
        command.args(["-n", "-l", "-D", "-P", "-f"]).arg(file);
        command.arg("-p").arg(files.join("pid")).arg("-r").arg(files.join("vrrp-pid"));
        let to = File::create(&log).expect("a log file");
        command.stdout(to.try_clone().expect("a file")).stderr(to);
        let child = site.inside(host, || command.spawn()).expect("keepalived runs");
        Keepalived { child, log }
    }

    fn logs(&self, words: &str, times: usize) {
        within(site::PATIENCE, words, || {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            (log.matches(words).count() >= times).then_some(())
        });
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
        for _ in 0..200 {
            if self.child.try_wait().is_ok_and(|end| end.is_some()) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn keepalived_with_use_vmac_and_viprd_take_turns() {
    if !able(&["keepalived"]) {
        return;
    }
    let site = three();
    let keepalived = Keepalived::start(&site, "n", &vmac(100));
    keepalived.logs("Entering MASTER STATE", 1);
    eventually("its address", || site.address("n", "vrrp.51", "10.9.0.50"));
    // Better, it displaces keepalived …
    let viprd = Viprd::start(&site, "r", &vmac(200));
    viprd.becomes("MASTER");
    eventually("keepalived to let go", || {
        site.address("n", "vrrp.51", "10.9.0.50").is_none().then_some(())
    });
    eventually("an answer", || pings(&site, "c", "10.9.0.50").then_some(()));
    sleep(Duration::from_secs(1));
    assert_eq!(viprd.state(), "MASTER");
    assert_eq!(site.address("n", "vrrp.51", "10.9.0.50"), None, "it hears us");
    // … and hands over to it.
    viprd.stop();
    keepalived.logs("Entering MASTER STATE", 2);
    eventually("an answer", || pings(&site, "c", "10.9.0.50").then_some(()));

    // Worse, it follows keepalived and takes over from it.
    let viprd = Viprd::start(&site, "r", &vmac(50));
    eventually("viprd to follow keepalived", || {
        (viprd.status()["master"] == "10.9.0.2").then_some(())
    });
    sleep(Duration::from_secs(1));
    assert_eq!(viprd.state(), "BACKUP");
    drop(keepalived);
    viprd.becomes("MASTER");
    eventually("an answer", || pings(&site, "c", "10.9.0.50").then_some(()));
    assert_eq!(neighbour(&site, "c", "10.9.0.50").as_deref(), Some(VIRTUAL));
}

/// All virtual MACs that IPv4 has on one LAN, nearly.
#[test]
fn two_hundred_and_fifty_in_one_namespace() {
    if !able(&[]) {
        return;
    }
    const PATIENCE: Duration = Duration::from_secs(60);
    let configuration = |priority: u8| {
        let mut text = "global_defs {\n  vrrp_garp_master_delay 0\n}\n".to_owned();
        for vrid in 1..=250 {
            let address = format!("10.9.1.{vrid}/32");
            let name = if vrid == 1 { "VI_1".into() } else { format!("VR_{vrid}") };
            let one = instance(&name, vrid, priority, "use_vmac", &[&address]);
            let _ = text.write_str(&one.replace("advert_int 0.1", "advert_int 1"));
        }
        text
    };
    let site = Site::pair();
    let held = |host: &str| {
        let shown = site.ip_json(host, "-4 address show type macvlan");
        let all = shown.as_array().cloned().unwrap_or_default();
        let holds = |link: &&Value| {
            link["addr_info"].as_array().is_some_and(|addresses| !addresses.is_empty())
        };
        all.iter().filter(holds).count()
    };
    let began = Instant::now();
    let first = Viprd::start(&site, "r", &configuration(200));
    within(PATIENCE, "250 macvlans", || (macvlans(&site, "r").len() == 250).then_some(()));
    println!("250 made in {:?}", began.elapsed());
    within(PATIENCE, "250 addresses", || (held("r") == 250).then_some(()));
    println!("250 MASTER {:?} after the start (3.2 s of them by the protocol)", began.elapsed());
    let second = Viprd::start(&site, "n", &configuration(100));
    second.becomes("BACKUP");
    sleep(Duration::from_secs(2));

    let began = Instant::now();
    drop(first);
    within(PATIENCE, "250 addresses", || (held("n") == 250).then_some(()));
    println!("250 taken over {:?} after a kill (3.6 s of them by the protocol)", began.elapsed());
    let began = Instant::now();
    second.stop();
    println!("250 stopped and removed in {:?}", began.elapsed());
    assert_eq!(macvlans(&site, "n"), [""; 0]);
}

/// Hosts with IPv6 on both ends of the wire; `r` is a router of IPv6, which would join all-routers
/// wherever it can and forward whatever reaches it.
fn six() -> Site {
    let site = Site::pair_with_ipv6();
    site.inside("r", || fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")).expect("root");
    for (host, ip) in [("r", LOCAL), ("n", "fe80::ff:fe00:2")] {
        eventually("an address that is not tentative", || {
            let address = site.ipv6_address(host, "eth0", ip)?;
            (address["tentative"] != true).then_some(())
        });
    }
    site.ip("n", "address add 2001:db8::2/64 dev eth0 nodad");
    site
}

/// The virtual MAC of vrid 51 over IPv6, and the link-local address of the interface below.
const VIRTUAL6: &str = "00:00:5e:00:02:33";
const LOCAL: &str = "fe80::ff:fe00:1";

fn vmac6(priority: u8, words: &str) -> String {
    let addresses = ["fe80::50/64", "2001:db8::50/64"];
    instance("VI_1", 51, priority, &format!("use_vmac\n  {words}"), &addresses)
}

#[test]
fn over_ipv6_what_is_sent_has_the_virtual_mac_and_nothing_stays_behind() {
    if !able(&["tshark"]) {
        return;
    }
    let site = six();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &vmac6(150, ""));
    viprd.becomes("MASTER");
    for ip in ["fe80::50", "2001:db8::50"] {
        eventually("an address", || site.ipv6_address("r", "vrrp6.51", ip));
        assert_eq!(site.ipv6_address("r", "eth0", ip), None);
    }
    assert_eq!(site.ipv6_addresses("r", "vrrp6.51").len(), 2, "and none of its own");
    assert_eq!(link(&site, "r", "vrrp6.51")["address"], VIRTUAL6);
    assert_eq!(viprd.status()["master"], LOCAL);
    eventually("announcements", || {
        let frames = tap.frames();
        let announced = frames.iter().filter(|frame| frame.is_neighbour_advertisement());
        (announced.count() >= 10).then_some(())
    });
    // What the neighbour has learnt, and what it is answered when it asks.
    for flush in [false, true] {
        for (target, ip) in [("2001:db8::50", "2001:db8::50"), ("fe80::50%eth0", "fe80::50")] {
            if flush {
                site.ip("n", "neighbour flush all");
            }
            assert!(pings(&site, "n", target), "{target}");
            assert_eq!(neighbour(&site, "n", ip).as_deref(), Some(VIRTUAL6));
        }
    }
    // Where it doesn't know who pings, it has to ask by itself.
    assert!(pings(&site, "n", "2001:db8::50"));
    site.ip("r", "neighbour flush all");
    assert!(pings(&site, "n", "2001:db8::50"));
    assert!(pings(&site, "n", &format!("{LOCAL}%eth0")));
    assert_eq!(neighbour(&site, "n", LOCAL).as_deref(), Some(BELOW));

    eventually("some adverts", || (tap.adverts().len() >= 5).then_some(()));
    viprd.stop();
    eventually("priority 0", || (tap.adverts().last()?.priority() == Some(0)).then_some(()));
    assert_eq!(macvlans(&site, "r"), [""; 0]);
    let fields = [
        "eth.src",
        "ipv6.src",
        "vrrp.virt_rtr_id",
        "icmpv6.nd.na.target_address",
        "icmpv6.nd.na.flag.s",
        "icmpv6.nd.na.flag.r",
        "icmpv6.opt.linkaddr",
        "icmpv6.type",
    ];
    let (mut adverts, mut answers, mut questions) = (0, 0, 0);
    let is_set = |flag: &str| ["1", "True"].contains(&flag);
    let sent = tap.adverts().len();
    for frame in shark::read(&site, &tap.frames(), &fields) {
        if frame["vrrp.virt_rtr_id"] == "51" {
            adverts += 1;
            assert_eq!((&*frame["eth.src"], &*frame["ipv6.src"]), (VIRTUAL6, LOCAL));
        } else if matches!(&*frame["icmpv6.nd.na.target_address"], "fe80::50" | "2001:db8::50") {
            assert_eq!(frame["eth.src"], VIRTUAL6);
            assert!(["", VIRTUAL6].contains(&&*frame["icmpv6.opt.linkaddr"]), "{frame:?}");
            // The host is a router, and says so to who asks.
            assert!(is_set(&frame["icmpv6.nd.na.flag.r"]), "{frame:?}");
            answers += usize::from(is_set(&frame["icmpv6.nd.na.flag.s"]));
        } else if frame["icmpv6.type"] == "135"
            && matches!(&*frame["ipv6.src"], "fe80::50" | "2001:db8::50")
        {
            questions += 1;
            let macs = (&*frame["eth.src"], &*frame["icmpv6.opt.linkaddr"]);
            assert_eq!(macs, (VIRTUAL6, VIRTUAL6));
        }
    }
    assert!(adverts == sent && sent >= 5, "{adverts} of {sent}");
    assert!(answers > 0 && questions > 0, "{answers} {questions}");
}

/// Not even that it listens to all routers does a Backup tell with the virtual MAC, and having been
/// Active it does not say farewell with it.
#[test]
fn over_ipv6_a_backup_is_silent() {
    if !able(&[]) {
        return;
    }
    let site = six();
    site.ip("r", "route add 2001:db8:1::/64 via fe80::ff:fe00:2 dev eth0");
    let viprd = Viprd::start(&site, "r", &vmac6(100, ""));
    viprd.becomes("MASTER");
    eventually("the addresses", || site.ipv6_address("r", "vrrp6.51", "2001:db8::50"));
    let shut = || {
        let path = "/proc/sys/net/ipv6/conf/vrrp6.51/disable_ipv6";
        site.inside("r", || fs::read_to_string(path)).unwrap_or_default().trim() == "1"
    };
    assert!(!shut());
    let wire = Sender::on(&site, "n", "eth0");
    let tap = Tap::on(&site, "n");
    wire.send(&better());
    viprd.becomes("BACKUP");
    eventually("the addresses' end", || {
        site.ipv6_addresses("r", "vrrp6.51").is_empty().then_some(())
    });
    assert!(shut());
    tap.clear();
    sleep(Duration::from_secs(2));
    assert_eq!(viprd.state(), "BACKUP");
    for frame in tap.frames() {
        assert_ne!(source(&frame), VIRTUAL6, "{frame:?}");
    }
    // It forwards what is sent to it, but not what is sent to the virtual MAC.
    wire.send(&to_be_forwarded(VIRTUAL6_BYTES));
    wire.send(&to_be_forwarded([2, 0, 0, 0, 0, 1]));
    let forwarded =
        || tap.frames().iter().filter(|it| it.bytes.get(14..54) == Some(&GONE_ON)).count();
    eventually("what is for the router is forwarded", || (forwarded() > 0).then_some(()));
    sleep(Duration::from_millis(500));
    assert_eq!(forwarded(), 1, "and what is for the virtual MAC is not");
    assert!(!viprd.log().contains("removed from"), "{}", viprd.log());
    assert!(!viprd.log().contains("refuses"), "{}", viprd.log());

    // The other one leaves: it takes over again, as if nothing had been.
    viprd.stop();
    let viprd = Viprd::start(&site, "r", &vmac6(100, ""));
    eventually("it to be shut as it was made", || shut().then_some(()));
    viprd.becomes("MASTER");
    eventually("a ping", || pings(&site, "n", "2001:db8::50").then_some(()));
    wire.send(&to_be_forwarded(VIRTUAL6_BYTES));
    eventually("what is for the virtual MAC is forwarded", || (forwarded() == 2).then_some(()));
}

const VIRTUAL6_BYTES: [u8; 6] = [0, 0, 0x5e, 0, 2, 51];

/// An IPv6 header alone, from 2001:db8::2 to 2001:db8:1::9, as it has been forwarded once.
const GONE_ON: [u8; 40] = [
    0x60, 0, 0, 0, 0, 0, 59, 63, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 1,
    0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,
];

fn to_be_forwarded(to: [u8; 6]) -> Vec<u8> {
    let mut frame = ethernet(to, [2, 0, 0, 0, 0, 2], [0x86, 0xdd]);
    frame.extend(GONE_ON);
    frame[14 + 7] += 1;
    frame
}

/// An advert of a better Active, which has 40 seconds of patience.
fn better() -> Vec<u8> {
    let source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 2];
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];
    let mut message = vec![0x31, 51, 200, 2, 0x0f, 0xa0, 0, 0];
    for ip in ["fe80::50", "2001:db8::50"] {
        message.extend(ip.parse::<std::net::Ipv6Addr>().expect("an address").octets());
    }
    let words = [&source[..], &group, &[0, 0, 0, message.len() as u8, 0, 0, 0, 112], &message];
    let bytes = words.concat();
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 0x12], [2, 0, 0, 0, 0, 2], [0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, 112, 255]);
    frame.extend(source);
    frame.extend(group);
    frame.extend(message);
    frame
}

#[test]
fn over_ipv6_accept_mode_is_as_configured() {
    if !able(&["nft", "ping"]) {
        return;
    }
    let site = six();
    let no_accept = vmac6(150, "no_accept");
    let viprd = Viprd::start(&site, "r", &no_accept);
    viprd.becomes("MASTER");
    eventually("the addresses", || site.ipv6_address("r", "vrrp6.51", "2001:db8::50"));
    for (target, ip) in [("2001:db8::50", "2001:db8::50"), ("fe80::50%eth0", "fe80::50")] {
        site.ip("n", "neighbour flush all");
        assert!(!pings(&site, "n", target), "{target}");
        let found = neighbour(&site, "n", ip);
        assert_eq!(found.as_deref(), Some(VIRTUAL6), "it is found all the same");
    }
    // Its own address takes traffic as ever.
    assert!(pings(&site, "n", &format!("{LOCAL}%eth0")));
    fs::write(viprd.socket().with_file_name("viprd.conf"), vmac6(150, "accept")).expect("a file");
    assert!(viprctl(&viprd.socket(), &["reload"]).status.success());
    eventually("a ping", || pings(&site, "n", "2001:db8::50").then_some(()));
    assert_eq!(viprd.state(), "MASTER");
}

/// What keepalived has left behind on a macvlan of its own is nobody's own address.
#[test]
fn addresses_on_a_macvlan_that_is_taken_over_are_leftovers() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let make = format!("link add vrrp.51 link eth0 address {VIRTUAL} type macvlan mode private");
    site.ip("r", &make);
    site.ip("r", "link set vrrp.51 up");
    site.ip("r", "address add 10.9.0.50/24 dev vrrp.51");
    let viprd = Viprd::start(&site, "r", &vmac(100).replace("advert_int 0.1", "advert_int 20"));
    eventually("the leftover to go", || {
        site.address("r", "vrrp.51", "10.9.0.50").is_none().then_some(())
    });
    viprd.becomes("BACKUP");
}

/// The same three hosts as over IPv4; keepalived speaks IPv6 by the macvlan that it makes, which hears
/// us and is heard by us.
#[test]
fn over_ipv6_keepalived_and_viprd_take_turns() {
    if !able(&["keepalived"]) {
        return;
    }
    let site = three();
    for (number, host) in ["r", "n", "c"].into_iter().enumerate() {
        site.set_ipv6(host, "eth0", true);
        // keepalived's macvlan has IPv6 if this host has it.
        for name in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            site.inside(host, || fs::write(path, "0")).expect("root");
        }
        let ip = format!("fe80::ff:fe00:{}", number + 1);
        eventually("an address that is not tentative", || {
            (site.ipv6_address(host, "eth0", &ip)?["tentative"] != true).then_some(())
        });
    }
    site.ip("c", "address add 2001:db8::3/64 dev eth0 nodad");
    let answers = || eventually("an answer", || pings(&site, "c", "2001:db8::50").then_some(()));
    let keepalived = Keepalived::start(&site, "n", &vmac6(100, ""));
    keepalived.logs("Entering MASTER STATE", 1);
    answers();
    let viprd = Viprd::start(&site, "r", &vmac6(200, ""));
    viprd.becomes("MASTER");
    eventually("keepalived to let go", || {
        site.ipv6_address("n", "vrrp6.51", "2001:db8::50").is_none().then_some(())
    });
    answers();
    assert_eq!(neighbour(&site, "c", "2001:db8::50").as_deref(), Some(VIRTUAL6));
    sleep(Duration::from_secs(1));
    assert_eq!(viprd.state(), "MASTER");
    assert_eq!(site.ipv6_address("n", "vrrp6.51", "2001:db8::50"), None, "it hears us");
    viprd.stop();
    keepalived.logs("Entering MASTER STATE", 2);
    answers();

    let viprd = Viprd::start(&site, "r", &vmac6(50, ""));
    eventually("viprd to follow keepalived", || viprd.status()["master"].as_str().map(|_| ()));
    sleep(Duration::from_secs(1));
    assert_eq!(viprd.state(), "BACKUP");
    drop(keepalived);
    viprd.becomes("MASTER");
    answers();
    assert_eq!(neighbour(&site, "c", "2001:db8::50").as_deref(), Some(VIRTUAL6));
}
