//! Start, takeover, stop; and what is left when the end was not a good one.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::packet::Packet;
use crate::shark;
use crate::site::{Site, able, eventually};
use crate::tap::{Frame, Sender, Tap};
use crate::viprd::{QUICK, VIPRD, Viprd, command, files, router};

/// VRRPv3 in the form of RFC 9568, from the first advert to the last.
#[test]
fn version_3_from_start_to_stop() {
    from_start_to_stop(&["--io", "uring"], QUICK, |advert| {
        assert_eq!(advert["vrrp.version"], "3");
        assert_eq!(advert["vrrp.short_adver_int"], "10", "centiseconds");
        assert_eq!(advert["ip.len"], "32");
    });
}

/// VRRPv2: 8 bytes of authentication data, all zeros.
#[test]
fn version_2_from_start_to_stop() {
    from_start_to_stop(&["--io", "uring"], "priority 254", |advert| {
        assert_eq!(advert["vrrp.version"], "2");
        assert_eq!(advert["vrrp.adver_int"], "1", "seconds");
        assert_eq!(advert["vrrp.auth_type"], "0");
        assert_eq!(advert["vrrp.auth_string"], "", "zeros");
        assert_eq!(advert["ip.len"], "40", "the authentication data are there");
    });
}

/// The other backend does all the same.
#[test]
fn epoll_from_start_to_stop() {
    from_start_to_stop(&["--io", "epoll"], QUICK, |advert| {
        assert_eq!(advert["vrrp.version"], "3");
    });
}

/// `net_namespace`: all of the daemon is there, unless the command line names another; one that
/// does not exist is no place to start in.
#[test]
fn the_configuration_names_the_network_namespace() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let words = |namespace: &str| format!("net_namespace {namespace}\n{}", router(QUICK));
    let viprd = Viprd::start_outside(&site, &words(&site.namespace("r")), &[]);
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    viprd.reload(&words("elsewhere"));
    viprd.logs("net_namespace");
    assert_eq!(viprd.state(), "MASTER");
    viprd.stop();
    let namespace = site.namespace("n");
    let viprd = Viprd::start_outside(&site, &words("elsewhere"), &["-s", &namespace]);
    eventually("the address", || site.address("n", "eth0", "10.9.0.50"));
    viprd.stop();
    let output = command(&files(&site), &words("elsewhere")).arg("-nl").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(said.contains("can't enter network namespace elsewhere"), "{said}");
}

/// Where nothing else is said, the files of a daemon with a name have that name.
#[test]
fn an_instance_has_files_of_its_own() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let files = files(&site);
    let name = format!("test{}", std::process::id());
    let file = files.join("viprd.conf");
    fs::write(&file, format!("instance {name}\n{}", router(QUICK))).expect("a configuration");
    let mut child = site.inside("r", || {
        Command::new(VIPRD).arg("-nG").arg("-f").arg(&file).spawn().expect("viprd runs")
    });
    let own = |end: &str| format!("/run/viprd/viprd_{name}.{end}");
    let written = eventually("the pid file", || {
        fs::read_to_string(own("pid")).ok().filter(|pid| pid.ends_with('\n'))
    });
    let socket = fs::exists(own("sock"));
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM);
    let status = child.wait().expect("viprd ends");
    assert_eq!(written.trim(), child.id().to_string());
    assert!(socket.is_ok_and(|exists| exists));
    assert!(status.success());
    assert!(!fs::exists(own("pid")).unwrap_or(true), "removed at the end");
}

/// Receive buffers are as large as configured, and never smaller than the defaults. (The kernel
/// counts twice what it is asked for.)
#[test]
fn receive_buffers_are_as_large_as_configured() {
    if !able(&["ss"]) {
        return;
    }
    let site = Site::pair();
    let words = "global_defs {\n vrrp_netlink_cmd_rcv_bufs 9000000\n \
                 vrrp_netlink_monitor_rcv_bufs 1000\n}\n";
    let viprd = Viprd::start(&site, "r", &format!("{words}{}", router(QUICK)));
    viprd.becomes("MASTER");
    let netlink = site.inside("r", || {
        Command::new("ss").args(["-aHmO", "-f", "netlink"]).output().expect("ss runs")
    });
    let netlink = String::from_utf8_lossy(&netlink.stdout);
    assert!(netlink.contains("rb18000000,"), "as configured: {netlink}");
    assert!(netlink.contains("rb33554432,"), "no less than the default: {netlink}");
    viprd.stop();
}

/// `process_name`, `umask` and `disable_local_igmp`; what isn't the daemon's own is put back.
#[test]
fn the_process_is_as_configured() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let reports = || {
        let path = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
        site.inside("r", || fs::read_to_string(path)).expect("a setting of the kernel's")
    };
    assert_eq!(reports().trim(), "1");
    let words = "global_defs {\n process_name a_name_that_is_long\n umask 0137\n \
                 disable_local_igmp\n}\n";
    let viprd = Viprd::start(&site, "r", &format!("{words}{}", router(QUICK)));
    viprd.becomes("MASTER");
    let status = fs::read_to_string(format!("/proc/{}/status", viprd.pid())).expect("its status");
    assert!(status.contains("Name:\ta_name_that_is_\n"), "{status}");
    assert!(status.contains("Umask:\t0137\n"), "{status}");
    assert_eq!(reports().trim(), "0");
    viprd.stop();
    assert_eq!(reports().trim(), "1", "put back");
}

fn from_start_to_stop(arguments: &[&str], words: &str, check: impl Fn(&shark::Read)) {
    if !able(&["tshark"]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start_with(&site, "r", &router(words), arguments);

    viprd.becomes("MASTER");
    let address = eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    assert_eq!(address["prefixlen"], 24);
    assert_eq!(address["broadcast"], "10.9.0.255");
    assert_eq!(address["label"], "eth0:v");
    let status = viprd.status();
    assert_eq!(status["master"], "10.9.0.1");
    assert_eq!(status["addresses"][0]["address"], "10.9.0.50/24");
    let pid = fs::read_to_string(viprd.pid_file()).expect("a pid file");
    assert_eq!(pid, format!("{}\n", viprd.pid()));

    // Five gratuitous ARPs at once and five later; the regular adverts go on.
    eventually("ten gratuitous ARPs", || {
        (tap.frames().iter().filter(|frame| frame.is_arp()).count() >= 10).then_some(())
    });
    eventually("some adverts", || (tap.adverts().len() >= 5).then_some(()));

    let (pid_file, socket) = (viprd.pid_file(), viprd.socket());
    viprd.stop();
    assert_eq!(site.address("r", "eth0", "10.9.0.50"), None, "left behind");
    assert!(!pid_file.exists(), "the pid file is left behind");
    assert!(!socket.exists(), "the control socket is left behind");

    eventually("priority 0", || (tap.adverts().last()?.priority() == Some(0)).then_some(()));
    let adverts = tap.adverts();
    let fields = [
        "eth.src",
        "eth.dst",
        "ip.src",
        "ip.dst",
        "ip.ttl",
        "ip.len",
        "ip.proto",
        "ip.checksum.status",
        "vrrp.version",
        "vrrp.type",
        "vrrp.virt_rtr_id",
        "vrrp.prio",
        "vrrp.addr_count",
        "vrrp.short_adver_int",
        "vrrp.adver_int",
        "vrrp.auth_type",
        "vrrp.auth_string",
        "vrrp.ip_addr",
        "vrrp.reserved_mbz",
        "_ws.malformed",
    ];
    let read = shark::read(&site, &adverts, &fields);
    assert_good_checksums(&site, &adverts);
    let last = read.len() - 1;
    for (at, advert) in read.iter().enumerate() {
        assert_eq!(advert["eth.src"], "02:00:00:00:00:01", "the interface's own");
        assert_eq!(advert["eth.dst"], "01:00:5e:00:00:12");
        assert_eq!(advert["ip.src"], "10.9.0.1");
        assert_eq!(advert["ip.dst"], "224.0.0.18");
        assert_eq!((&*advert["ip.ttl"], &*advert["ip.proto"]), ("255", "112"));
        assert_eq!(advert["ip.checksum.status"], "1", "good");
        assert_eq!((&*advert["vrrp.type"], &*advert["vrrp.virt_rtr_id"]), ("1", "51"));
        assert_eq!(advert["vrrp.addr_count"], "1");
        assert_eq!(advert["vrrp.ip_addr"], "10.9.0.50");
        assert_eq!(advert["_ws.malformed"], "");
        assert_eq!(advert["vrrp.prio"] == "0", at == last, "priority 0 comes last, and once");
        check(advert);
    }

    let arps: Vec<Frame> = tap.frames().into_iter().filter(Frame::is_arp).collect();
    let fields = [
        "eth.src",
        "eth.dst",
        "arp.opcode",
        "arp.isgratuitous",
        "arp.src.hw_mac",
        "arp.src.proto_ipv4",
        "arp.dst.hw_mac",
        "arp.dst.proto_ipv4",
    ];
    for arp in shark::read(&site, &arps, &fields) {
        if arp["arp.src.proto_ipv4"] != "10.9.0.50" {
            continue;
        }
        assert_eq!(arp["eth.src"], "02:00:00:00:00:01");
        assert_eq!(arp["eth.dst"], "ff:ff:ff:ff:ff:ff");
        assert_eq!((&*arp["arp.opcode"], &*arp["arp.isgratuitous"]), ("1", "1"), "a request");
        assert_eq!(arp["arp.dst.proto_ipv4"], "10.9.0.50");
        assert_eq!(arp["arp.src.hw_mac"], "02:00:00:00:00:01");
        assert_eq!(arp["arp.dst.hw_mac"], "02:00:00:00:00:01", "errata 7947 and 7949");
    }
}

/// Right in one of the two forms that v3 over IPv4 has in the field, the same one in all of them.
pub(crate) fn assert_good_checksums(site: &Site, adverts: &[Frame]) {
    let judge = |form| {
        let read = shark::read_with(site, adverts, &["vrrp.checksum.status"], &[form]);
        read.into_iter().map(|mut advert| advert.remove("vrrp.checksum.status")).collect::<Vec<_>>()
    };
    let as_rfc_9568 = judge("vrrp.v3_checksum_as_in_v2:TRUE");
    let as_rfc_5798 = judge("vrrp.v3_checksum_as_in_v2:FALSE");
    let good = |read: &[Option<String>]| read.iter().all(|status| status.as_deref() == Some("1"));
    assert!(good(&as_rfc_9568) || good(&as_rfc_5798), "{as_rfc_9568:?} or {as_rfc_5798:?}");
}

/// Two of them: the better one is master, the other takes over when it stops, and gives back.
#[test]
fn two_routers_hand_over() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let one = Viprd::start(&site, "r", &router(QUICK));
    one.becomes("MASTER");
    let other = Viprd::start(&site, "n", &router("version 3\n  advert_int 0.1\n  priority 90"));
    eventually("who is master", || (other.status()["master"] == "10.9.0.1").then_some(()));
    assert_eq!(other.state(), "BACKUP");
    assert_eq!(other.status()["master_priority"], 150);
    assert_eq!(site.address("n", "eth0", "10.9.0.50"), None);
    one.stop();
    other.becomes("MASTER");
    eventually("the address", || site.address("n", "eth0", "10.9.0.50"));
    let one = Viprd::start(&site, "r", &router(QUICK));
    one.becomes("MASTER");
    other.becomes("BACKUP");
    eventually("the address's end", || match site.address("n", "eth0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
}

/// A virtual address may be the interface's own, and the way to the host: it stays.
#[test]
fn the_hosts_own_address_outlives_the_daemon() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    // The interface's only address is a virtual one, too: its owner's, and a router's that waits.
    for (words, state) in
        [("version 3\n  advert_int 0.1\n  priority 255", "MASTER"), (QUICK, "MASTER")]
    {
        let text = router(words)
            .replace("10.9.0.50/24 brd 10.9.0.255 dev eth0 label eth0:v", "10.9.0.1/24");
        let viprd = Viprd::start(&site, "r", &text);
        viprd.logs("address 10.9.0.1 was on eth0 before");
        viprd.becomes(state);
        viprd.signal(Signal::SIGHUP);
        viprd.logs("Reload complete: 0 added, 0 altered, 0 removed, 1 unchanged");
        let log = viprd.stop();
        assert!(!log.contains("had left behind"), "{log}");
        let there = site.address("r", "eth0", "10.9.0.1").expect("the address of eth0");
        assert_eq!(there["prefixlen"], 24);
    }
}

/// Killed outright, it leaves its addresses; the next one takes them away before all else, also
/// those that it finds as a backup.
#[test]
fn leftovers_of_a_crash_are_removed() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let mut viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    viprd.signal(Signal::SIGKILL);
    viprd.wait();
    assert!(site.address("r", "eth0", "10.9.0.50").is_some(), "nobody could remove it");

    // Somebody else is master now.
    let sender = Sender::on(&site, "n", "eth0");
    let patient = "version 3\n  advert_int 10\n  priority 50";
    let viprd = Viprd::start(&site, "r", &router(patient));
    eventually("its removal", || match site.address("r", "eth0", "10.9.0.50") {
        None => Some(()),
        Some(_) => None,
    });
    viprd.logs("removed 1 virtual address that an earlier run had left behind");
    sender.send(&Packet { interval: 4095, ..Packet::default() }.frame());
    eventually("the master", || (viprd.status()["master"] == "10.9.0.2").then_some(()));
    assert_eq!(viprd.state(), "BACKUP");
    assert!(site.address("r", "eth0", "10.9.0.1").is_some(), "its own address stays");
}

/// `-V`: the addresses stay, but everyone is told that the router leaves.
#[test]
fn addresses_stay_if_asked_to() {
    if !able(&["tshark"]) {
        return;
    }
    for io in ["uring", "epoll"] {
        let site = Site::pair();
        let tap = Tap::on(&site, "n");
        let viprd = Viprd::start_with(&site, "r", &router(QUICK), &["-V", "--io", io]);
        viprd.becomes("MASTER");
        eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
        viprd.stop();
        assert!(site.address("r", "eth0", "10.9.0.50").is_some(), "it was to stay");
        eventually("priority 0", || {
            tap.adverts().iter().any(|advert| advert.priority() == Some(0)).then_some(())
        });
    }
}

/// A backup that stops says nothing (RFC 9568 section 6.4.2).
#[test]
fn a_backup_leaves_without_a_word() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let sender = Sender::on(&site, "n", "eth0");
    let viprd = Viprd::start(&site, "r", &router("version 3\n  advert_int 10\n  priority 50"));
    sender.send(&Packet { interval: 4095, ..Packet::default() }.frame());
    eventually("the master", || (viprd.status()["master"] == "10.9.0.2").then_some(()));
    viprd.stop();
    sleep(Duration::from_millis(300));
    assert_eq!(tap.adverts().len(), 0);
}

/// Priority 255: master at once, without waiting for anybody.
#[test]
fn the_owner_starts_as_master() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &router("version 3\n  advert_int 40\n  priority 255"));
    // Any other priority would wait for two minutes.
    viprd.becomes("MASTER");
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    viprd.stop();
}

/// Without `-n`: the command returns with 0 when the daemon runs, and otherwise with a message.
#[test]
fn in_the_background() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let files = files(&site);
    let mut start = command(&files, &router(QUICK));
    start.args(["-D", "--log-file=log"]);
    // Relative paths mean what they mean to whoever types them.
    let mut start = relative(start, &files);
    let output = site.inside("r", || start.output()).expect("viprd runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said, "", "nothing to say");
    let pid = fs::read_to_string(files.join("pid")).expect("a pid file at once");
    let pid: i32 = pid.trim().parse().expect("a number");
    let exe = fs::read_link(format!("/proc/{pid}/exe")).expect("a process");
    assert_eq!(exe, fs::canonicalize(VIPRD).expect("it is there"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    assert_ne!(fields[2], "0", "a process group: {stat}");
    assert_eq!(fields[4], "0", "no terminal: {stat}");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("a process").as_os_str(), "/");
    for stream in 0..=2 {
        let stream = fs::read_link(format!("/proc/{pid}/fd/{stream}")).expect("a stream");
        assert_eq!(stream.as_os_str(), "/dev/null");
    }
    eventually("the address", || site.address("r", "eth0", "10.9.0.50"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
    eventually("its end", || (!fs::exists(format!("/proc/{pid}/exe")).ok()?).then_some(()));
    assert!(!files.join("pid").exists() && !files.join("control.sock").exists());
    assert_eq!(site.address("r", "eth0", "10.9.0.50"), None);
    let log = fs::read_to_string(files.join("log")).expect("a log");
    assert!(log.contains("Entering MASTER STATE") && log.contains("Stopped"), "{log}");
}

/// The command with relative paths, run in `files`.
fn relative(command: Command, files: &std::path::Path) -> Command {
    let mut words = Vec::new();
    for word in command.get_args() {
        let path = std::path::Path::new(word);
        words.push(path.strip_prefix(files).unwrap_or(path).as_os_str().to_owned());
    }
    let mut relative = Command::new(command.get_program());
    relative.args(words).current_dir(files).stdin(std::process::Stdio::null());
    relative
}

/// A start that fails is told to whoever started it, in words and by the exit code.
#[test]
fn a_failing_start_in_the_background_is_told() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let running = Viprd::start(&site, "r", &router(QUICK));
    let files = files(&site);
    fs::write(files.join("viprd.conf"), router(QUICK)).expect("a configuration file");
    let fifo = files.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let fifo = format!("--log-file={}", fifo.display());
    for (arguments, code, words) in [
        (&["-s", "no-such-namespace"][..], 71, "can't enter network namespace no-such-namespace"),
        (
            &["--control", running.socket().to_str().expect("a path")],
            71,
            "is viprd running already?",
        ),
        (&["-p", "/proc/nowhere/pid"], 71, "can't write the pid file /proc/nowhere/pid"),
        (&["--log-file=/proc/nowhere/log"], 71, "can't write the log file /proc/nowhere/log"),
        // Nobody reads it, and nobody is waited for.
        (&[&fifo], 71, "can't write the log file"),
        (&["--io", "foo"], 64, "--io foo: expected auto, uring or epoll"),
    ] {
        let mut start = Command::new(VIPRD);
        start.arg("-f").arg(files.join("viprd.conf")).arg("-G");
        for (option, file) in [("-p", "pid"), ("--control", "control.sock")] {
            if !arguments.contains(&option) {
                start.arg(option).arg(files.join(file));
            }
        }
        let output = start.args(arguments).output().expect("viprd runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!files.join("pid").exists(), "{arguments:?}");
    }
    running.becomes("MASTER");
    assert_eq!(running.counters()["master_transitions"], 1, "the one that runs did not notice");
    assert!(running.socket().exists() && running.pid_file().exists());
}

/// `-s`: it plays in the namespace that it is told.
#[test]
fn in_the_namespace_that_it_is_told() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let namespace = site.namespace("n");
    let viprd = Viprd::start_with(&site, "r", &router(QUICK), &["-s", &namespace]);
    viprd.becomes("MASTER");
    eventually("the address", || site.address("n", "eth0", "10.9.0.50"));
    assert_eq!(site.address("r", "eth0", "10.9.0.50"), None);
    viprd.stop();
}

/// A signal that has no work, and a second SIGTERM, do no harm.
#[test]
fn signals_without_work_do_no_harm() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    for signal in [Signal::SIGHUP, Signal::SIGPIPE] {
        viprd.signal(signal);
    }
    viprd.signal_named("TDUMP");
    viprd.logs("has no effect here");
    assert_eq!(viprd.state(), "MASTER");
    assert_eq!(viprd.counters()["master_transitions"], 1);
    viprd.signal(Signal::SIGTERM);
    viprd.signal(Signal::SIGINT);
    viprd.stop();
}
