//! Configurations in files and in memory, read as the daemon reads them.

use std::path::Path;

use viprd::base::{Family, Span};
use viprd::config::{
    self, ArgumentFit, Buffers, Loaded, Mail, MemoryFiles, Options, OsFiles, Process, Severity,
    TrackProcess, TrackerKind,
};
use viprd::vrrp::{Peer, Preempt, Transport};

fn load(text: &str) -> Loaded {
    let files = MemoryFiles::new().with("/etc/test.conf", text);
    config::load(Path::new("/etc/test.conf"), &files, &Options::default())
}

fn lines(loaded: &Loaded) -> Vec<String> {
    let found = &loaded.diagnostics;
    found.iter().map(|finding| found.one_line(finding)).collect()
}

fn instance(inside: &str) -> String {
    format!("vrrp_instance A {{\n interface eth0\n virtual_router_id 5\n{inside}\n}}\n")
}

#[test]
fn the_process_is_scheduled_as_written() {
    let global = |text: &str| {
        let loaded = load(&format!("global_defs {{\n{text}\n}}\n"));
        let told = lines(&loaded);
        assert!(told.iter().all(|line| line.contains("N096")), "{told:?}");
        loaded.configuration.unwrap().global.process
    };
    assert_eq!(global(""), Process::default());
    let all = global(
        "vrrp_priority -5\n vrrp_no_swap\n vrrp_rt_priority 50\n vrrp_cpu_affinity 0 3\n \
         vrrp_rlimit_rttime 20000\n max_auto_priority 60\n min_auto_priority_delay 30000\n \
         viprd_spin_us 150",
    );
    let expected = Process {
        nice: Some(-5),
        realtime: Some(50),
        realtime_limit: Some(Span::from_millis(20)),
        max_auto_priority: Some(60),
        min_auto_priority_delay: Some(Span::from_millis(30)),
        no_swap: true,
        cpus: vec![0, 3],
        spin: Span::from_micros(150),
        ..Process::default()
    };
    assert_eq!(all, expected);
    assert_eq!(global("max_auto_priority").max_auto_priority, Some(99));
}

/// The buffer for adverts is shared: the most that anybody asks for counts. MTU and ADVERT ask for
/// nothing beyond what there is.
#[test]
fn receive_buffers_are_the_largest_wanted() {
    let buffers = |globals: &str, inside: &str| {
        let text = format!("global_defs {{\n{globals}\n}}\n{}", instance(inside));
        load(&text).configuration.unwrap().global.buffers
    };
    assert_eq!(buffers("", ""), Buffers::default());
    assert_eq!(buffers("vrrp_rx_bufs_policy MTU\nvrrp_rx_bufs_multiplier 9", "").adverts, None);
    assert_eq!(buffers("vrrp_rx_bufs_policy 5000", "").adverts, Some(5_000));
    let both = buffers("vrrp_rx_bufs_policy 5000", "kernel_rx_buf_size 7000");
    assert_eq!(both.adverts, Some(7_000));
    let netlink = buffers("vrrp_netlink_cmd_rcv_bufs 1\nvrrp_netlink_monitor_rcv_bufs 2", "");
    assert_eq!((netlink.netlink_commands, netlink.netlink_monitor), (Some(1), Some(2)));
}

/// `${_INSTANCE}` is what `instance` says from there on; without one it is the configuration id.
#[test]
fn the_instance_is_known_in_the_lines_below_it() {
    let named = |before: &str| {
        let text = format!("{before}global_defs {{\nrouter_id ${{_INSTANCE}}\n}}\n");
        let files = MemoryFiles::new().with("/etc/test.conf", text);
        let options = Options { config_id: "id".to_owned(), ..Options::default() };
        let loaded = config::load(Path::new("/etc/test.conf"), &files, &options);
        loaded.configuration.unwrap().global.router_id
    };
    assert_eq!(named("").as_deref(), Some("id"));
    assert_eq!(named("instance blue\n").as_deref(), Some("blue"));
    assert_eq!(named("instance blue\n@id use_pid_dir\n").as_deref(), Some("blue"));
    let loaded = load("net_namespace red\ninstance ${_ENV NONE}a\n@id use_pid_dir\n");
    let global = loaded.configuration.unwrap().global;
    assert_eq!(global.net_namespace.as_deref(), Some("red"));
    assert_eq!((global.instance.as_deref(), global.use_pid_dir), (Some("a"), false));
}

#[test]
fn the_seeds_files_are_read_unchanged() {
    for (file, priority) in [("case-a.conf", 101), ("case-b.conf", 101)] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/valid").join(file);
        let loaded = config::load(&path, &OsFiles, &Options::default());
        let errors = loaded.diagnostics.count(Severity::Error);
        assert_eq!(errors + loaded.diagnostics.count(Severity::Warning), 0, "{:?}", lines(&loaded));
        let configuration = loaded.configuration.unwrap();
        let [router] = &configuration.routers[..] else { panic!("one router") };
        assert_eq!((&*router.name, router.vrid.get(), router.priority), ("VI_1", 51, priority));
        assert_eq!(configuration.links.name(router.link), "eth0");
        let tracked: Vec<_> =
            router.tracked_links.iter().map(|&l| configuration.links.name(l)).collect();
        assert_eq!(tracked, ["eth1"]);
        let [address] = &router.addresses[..] else { panic!("one address") };
        assert_eq!(address.to_string(), "192.168.122.50/24");
        assert_eq!(address.broadcast.unwrap().to_string(), "192.168.122.255");
        assert_eq!(configuration.links.name(address.link), "eth1");
        assert_eq!(address.label.as_deref(), Some("eth1:0"));
        assert_eq!(router.preempt, Preempt::After(viprd::base::Span::ZERO));
    }
}

#[test]
fn one_fault_is_told_once_and_the_rest_lives() {
    for (text, code, place) in [
        (instance(" virtual_ipaddress {\n  10.0.0.5\n"), "E021", "4:20"),
        (instance("virtual_ipaddress {\n 10.0.0.500\n}"), "E035", "5:2"),
        ("vrrp_instance A {\ninterface eth0\nvirtual_router_id 0\n}".into(), "E032", "3:19"),
        ("vrrp_instance A {\ninterface eth0\nvirtual_router_id 256\n}".into(), "E032", "3:19"),
        (instance("prioritty 3"), "W020", "4:1"),
        (instance("priority"), "E030", "4:9"),
        (instance("frob {\n a b\n { c\n}\n}"), "W020", "4:1"),
    ] {
        let text =
            format!("{text}\nvrrp_instance B {{\n interface eth1\n virtual_router_id 7\n}}\n");
        let loaded = load(&text);
        let told: Vec<_> = lines(&loaded)
            .into_iter()
            .filter(|line| !line.contains("note[") && !line.contains("W057"))
            .collect();
        assert_eq!(told.len(), 1, "{text}\n{told:#?}");
        assert!(
            told[0].contains(code) && told[0].starts_with(&format!("/etc/test.conf:{place}:")),
            "{told:?}"
        );
        let names: Vec<_> =
            loaded.configuration.unwrap().routers.iter().map(|r| r.name.clone()).collect();
        assert!(names.contains(&"B".into()), "{text}: {names:?}");
    }
}

#[test]
fn files_that_are_no_text_are_told() {
    let missing =
        config::load(Path::new("/nowhere.conf"), &MemoryFiles::new(), &Options::default());
    assert!(missing.configuration.is_none() && missing.diagnostics.exit_code() == 4);
    assert!(lines(&missing)[0].starts_with("error[E001]: can't read `/nowhere.conf`"));

    let files = MemoryFiles::new().with("latin1.conf", &b"# M\xfcller\nglobal_defs {\n}\n"[..]);
    let latin1 = config::load(Path::new("latin1.conf"), &files, &Options::default());
    let told = lines(&latin1);
    let told = told.iter().any(|line| line.starts_with("latin1.conf:1:4: warning[W009]"));
    assert!(told, "{:?}", lines(&latin1));
    assert_eq!(latin1.diagnostics.exit_code(), 0);

    let files = MemoryFiles::new().with("endless.conf", "~SEQ(A, 0, 4000000000) x\n");
    let limits = config::Limits { lines: 1000, ..config::Limits::default() };
    let options = Options { limits, ..Options::default() };
    let endless = config::load(Path::new("endless.conf"), &files, &options);
    assert!(lines(&endless).iter().any(|line| line.contains("error[E002]")));
    assert!(endless.configuration.is_none());
}

#[test]
fn files_that_are_included_count_where_they_are_included() {
    let files = MemoryFiles::new()
        .with("/c/main.conf", "include conf.d/*.conf\nglobal_defs {\n include {one,two}.inc\n}\n")
        .with("/c/conf.d/b.conf", "vrrp_instance B {\n prioritty 5\n}\n")
        .with("/c/conf.d/a.conf", "vrrp_instance A {\n include inner\n}\n")
        .with("/c/conf.d/inner", "virtual_router_id 3\ninterface ${_PWD}\n")
        .with("/c/one.inc", "router_id one\n");
    let loaded = config::load(Path::new("/c/main.conf"), &files, &Options::default());
    let opened: Vec<&str> = loaded.files.iter().map(|file| &**file).collect();
    assert_eq!(
        opened,
        ["/c/main.conf", "/c/conf.d/a.conf", "/c/conf.d/inner", "/c/conf.d/b.conf", "/c/one.inc"]
    );
    let told = lines(&loaded);
    assert!(
        told.iter().any(|line| line.starts_with("/c/conf.d/b.conf:2:2: warning[W020]")),
        "{told:#?}"
    );
    assert!(
        told.iter().any(|line| line.starts_with("/c/conf.d/inner:2:11: error[E036]")),
        "{told:#?}"
    );
    assert!(told.iter().any(|line| line.contains("note[N008]: no file matches `/c/two.inc`")));
    assert_eq!(loaded.configuration.unwrap().global.router_id.as_deref(), Some("one"));
}

#[test]
fn json_says_the_same_as_the_lines() {
    let loaded = load(&instance("priority 300\nprioritty 3"));
    let json: serde_json::Value = serde_json::from_str(&loaded.diagnostics.json()).unwrap();
    let findings: Vec<_> =
        json.as_array().unwrap().iter().filter(|finding| finding["code"] != "W057").collect();
    let [range, typo] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!(range["severity"], "error");
    assert_eq!((&range["code"], &range["file"]), (&"E032".into(), &"/etc/test.conf".into()));
    assert_eq!((&range["line"], &range["column"]), (&4.into(), &10.into()));
    assert_eq!((&range["end_line"], &range["end_column"]), (&4.into(), &13.into()));
    assert_eq!(typo["help"][0], "did you mean `priority`?");
    assert_eq!(loaded.diagnostics.summary(), "1 error, 2 warnings");
}

#[test]
fn order_does_not_matter() {
    let globals = "global_defs {\n vrrp_version 3\n vrrp_garp_master_repeat 2\n}\n";
    let script = "vrrp_script s {\n script /bin/true\n user nobody\n}\n";
    let router =
        instance(" track_script {\n s\n }\n advert_int 0.5\n virtual_ipaddress {\n 10.0.0.5\n }");
    let one = load(&format!("{globals}{script}{router}"));
    let other = load(&format!("{router}{script}{globals}"));
    let routers = |loaded: &Loaded| loaded.configuration.as_ref().unwrap().routers.clone();
    assert_eq!(routers(&one), routers(&other));
    assert_eq!((one.diagnostics.exit_code(), other.diagnostics.exit_code()), (0, 0));
    assert_eq!(routers(&one)[0].garp.repeat, 2);
}

#[test]
fn adverts_travel_as_written() {
    let transport = |text: &str| {
        let configuration = load(text).configuration.unwrap();
        let [router] = &configuration.routers[..] else { panic!("one router of {text}") };
        router.transport.clone()
    };
    let ip = |text: &str| text.parse().unwrap();
    let plain = transport(&instance("virtual_ipaddress {\n 10.0.0.5\n}"));
    assert_eq!(plain, Transport::default());

    let six = transport(&instance("virtual_ipaddress {\n fe80::5/64\n}"));
    assert_eq!(six, Transport { family: Family::Ipv6, ..Transport::default() });
    let native = transport(&instance("native_ipv6\n no_virtual_ipaddress"));
    assert_eq!(native.family, Family::Ipv6);

    // Of two sources the later one holds, whatever it is called.
    let sources =
        "unicast_src_ip 10.0.0.1\n mcast_src_ip 10.0.0.2\n virtual_ipaddress {\n 10.0.0.5\n}";
    assert_eq!(transport(&instance(sources)).source, Some(ip("10.0.0.2")));

    let peer = |text: &str, min_ttl, max_ttl| Peer { ip: ip(text), min_ttl, max_ttl };
    let peers =
        "unicast_peer {\n 10.0.0.2\n 10.0.0.3 max_ttl 64\n 10.0.0.2 min_ttl 9\n fe80::1\n}\n";
    let unicast = transport(&instance(&format!("unicast_ttl 9\n{peers}"))).unicast.unwrap();
    assert_eq!(unicast.ttl, 9);
    assert_eq!(*unicast.peers, [peer("10.0.0.2", 0, 255), peer("10.0.0.3", 0, 64)]);
    assert!(unicast.check_source, "a limit would be none if others were heard");

    let one = "unicast_peer {\n 10.0.0.2\n}\n";
    for (globals, own, check) in
        [("", "", false), ("", "check_unicast_src", true), ("vrrp_check_unicast_src", "", true)]
    {
        let text = format!("global_defs {{\n{globals}\n}}\n{}", instance(&format!("{own}\n{one}")));
        assert_eq!(transport(&text).unicast.unwrap().check_source, check, "{text}");
    }
    let none = transport(&instance("unicast_fault_no_peer")).unicast.unwrap();
    assert!(none.peers.is_empty());
}

/// As keepalived 2.2.7 shows them in its data, but for `param_match` without arguments.
#[test]
fn tracked_processes() {
    let tracked = |inside: &str| {
        let text = format!(
            "vrrp_track_process p {{\n process nginx {inside}\n}}\n{}",
            instance("track_process {\n p\n }\n virtual_ipaddress {\n 10.0.0.1\n }")
        );
        let loaded = load(&text);
        let told = lines(&loaded);
        let trackers = loaded.configuration.unwrap().trackers;
        match &trackers[..] {
            [only] => match &only.what {
                TrackerKind::Process(process) => (process.clone(), told),
                other => panic!("{other:?}"),
            },
            others => panic!("{others:?}"),
        }
    };
    let usual = TrackProcess {
        name: "nginx".into(),
        arguments: [].into(),
        fit: ArgumentFit::Any,
        full_command: false,
        quorum: 1,
        quorum_max: u32::MAX,
        fork_delay: Span::ZERO,
        terminate_delay: Span::ZERO,
    };
    assert_eq!(tracked(""), (usual.clone(), vec![]));
    for (words, arguments, fit) in [
        ("-g x", &["-g", "x"][..], ArgumentFit::Exact),
        ("\"-g x\" y", &["-g x", "y"], ArgumentFit::Exact),
        ("-g\n param_match partial", &["-g"], ArgumentFit::Partial),
        ("-g\n param_match initial", &["-g"], ArgumentFit::Initial),
        ("\n param_match initial", &[], ArgumentFit::Exact),
    ] {
        let arguments = arguments.iter().map(|&word| word.into()).collect();
        assert_eq!(tracked(words).0, TrackProcess { arguments, fit, ..usual.clone() }, "{words}");
    }
    for (words, (quorum, quorum_max), findings) in [
        ("quorum 3", (3, u32::MAX), 0),
        ("quorum_max 0", (0, 0), 0),
        ("quorum_max 2", (1, 2), 0),
        ("quorum 3\n quorum_max 2", (3, u32::MAX), 1),
        ("quorum_max 2\n quorum 3", (1, 2), 1),
    ] {
        let (found, told) = tracked(&format!("\n {words}"));
        assert_eq!((found.quorum, found.quorum_max), (quorum, quorum_max), "{words}");
        assert_eq!(told.iter().filter(|line| line.contains("W063")).count(), findings, "{told:?}");
    }
    let delays = |words: &str| {
        let found = tracked(&format!("\n {words}")).0;
        (found.fork_delay, found.terminate_delay)
    };
    let seconds = |fork, terminate| (Span::from_millis(fork), Span::from_millis(terminate));
    assert_eq!(delays("delay 1.5"), seconds(1_500, 1_500));
    assert_eq!(delays("delay 1.5\n fork_delay 3"), seconds(3_000, 1_500));
    assert_eq!(delays("fork_delay 3\n delay 1.5"), seconds(1_500, 1_500));
    assert_eq!(delays("terminate_delay 0.25"), seconds(0, 250));
}

#[test]
fn mails_and_who_wants_them() {
    let text = |globals: &str, inside: &str| {
        format!(
            "global_defs {{\n{globals}\n}}\n{}",
            instance(&format!("{inside}\n virtual_ipaddress {{\n 10.0.0.1\n }}"))
        )
    };
    let mail = |globals: &str| load(&text(globals, "")).configuration.unwrap().global.mail;
    let usual = Mail { connect_timeout: Span::from_secs(30), ..Mail::default() };
    assert_eq!(mail(""), usual);
    let all = mail(
        "notification_email {\n a@x.org\n b@x.org\n }\n notification_email_from c@x.org\n \
         smtp_server mail.x.org 587\n smtp_helo_name gate\n smtp_connect_timeout 5\n no_email_faults",
    );
    let expected = Mail {
        to: vec!["a@x.org".into(), "b@x.org".into()],
        from: Some("c@x.org".into()),
        server: Some(("mail.x.org".into(), 587)),
        helo: Some("gate".into()),
        connect_timeout: Span::from_secs(5),
        no_faults: true,
    };
    assert_eq!(all, expected);
    assert_eq!(mail("smtp_server 10.0.0.9").server, Some(("10.0.0.9".into(), 25)));
    for (globals, inside, wanted) in [
        ("", "", false),
        ("", "smtp_alert", true),
        ("smtp_alert", "", true),
        ("smtp_alert\n smtp_alert_vrrp off", "", false),
        ("smtp_alert_vrrp on", "", true),
        ("smtp_alert_vrrp on", "smtp_alert off", false),
    ] {
        let configuration = load(&text(globals, inside)).configuration.unwrap();
        let routers = &configuration.notifications.routers;
        let found = routers.get("A").is_some_and(|notify| notify.mail);
        assert_eq!(found, wanted, "{globals} / {inside}");
    }
}

/// A file that was cut off before its first word is not what anybody meant; one without virtual
/// routers may be.
#[test]
fn a_file_without_virtual_routers_is_told() {
    for (text, code, exit) in [
        ("", "W095", 5),
        ("# nothing\n\n", "W095", 5),
        ("global_defs {\n}\n", "N096", 0),
        ("virtual_server 10.0.0.1 80 {\n}\n", "N096", 0),
    ] {
        let loaded = load(text);
        assert!(lines(&loaded).iter().any(|line| line.contains(code)), "{:?}", lines(&loaded));
        assert_eq!(loaded.diagnostics.exit_code(), exit, "{text}");
    }
}

/// What people copy into a file by mistake, and what is said of it.
#[test]
fn what_is_copied_along_is_named() {
    let told = |text: &str| lines(&load(text)).join("\n");
    let comma = told(&instance("virtual_ipaddress {\n 10.0.0.1/24, 10.0.0.2/24\n }"));
    assert!(comma.contains("write `10.0.0.1/24`: no `,` ends a value here"), "{comma}");
    let semicolon = told(&instance("priority 150;"));
    assert!(semicolon.contains("write `150`: no `;` ends a value here"), "{semicolon}");
    let space = told(&instance("").replace("vrrp_instance A", "vrrp_instance\u{a0}A"));
    assert!(space.contains("U+00A0"), "{space}");
    let wide = told(&instance("advert_int 1\0"));
    assert!(wide.contains("UTF-16"), "{wide}");
    let vrid = load(&instance("").replace("virtual_router_id 5", "virtual_router_id 0"));
    let vrid = vrid.diagnostics.rich(false);
    assert!(vrid.contains("E032") && vrid.contains("whole virtual router"), "{vrid}");
}

/// keepalived lists an address twice that is written twice, and a peer counts.
#[test]
fn an_address_that_is_written_twice_is_advertised_twice_and_set_once() {
    let text = "virtual_ipaddress {\n 10.0.0.1\n 10.0.0.2\n 10.0.0.2 label eth0:1\n }\n \
                virtual_ipaddress_excluded {\n 10.0.0.3\n }";
    let routers = load(&instance(text)).configuration.expect("runs").routers;
    let last = |ip: std::net::IpAddr| ip.to_string().rsplit('.').next().map(str::to_owned);
    let advertised: Vec<_> = routers[0].advertised().filter_map(last).collect();
    assert_eq!(advertised, ["1", "2", "2"]);
    let set: Vec<_> = routers[0].addresses.iter().filter_map(|it| last(it.ip)).collect();
    assert_eq!(set, ["1", "2", "3"]);
    assert_eq!(routers[0].listed().len(), 2);
}
