//! The operator's door over a real engine, and `viprctl` at the other end of a real socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::Value;

use viprd::base::{
    Centis, Histogram, IfIndex, Instant, Label, LinkChange, LinkFacts, LinkLocal, LinkNames, Mac,
    RouterId, Scope, Span, VirtualAddress, Vrid,
};
use viprd::control::{
    DaemonInfo, ErrorCode, LatencyRecord, MAX_PENDING, MAX_REQUEST, PAGE, Progress, Record,
    ReloadRecord, Request, Session, StateWord, StatusRecord, View,
};
use viprd::vrrp::{Conduct, Engine, GarpParams, Preempt, RouterParams, Transport};
use viprd::wire::{Advert, ChecksumForm, Version};

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const WALL_NOW: u64 = 1_774_079_849_000_000_000; // 2026-03-21T07:57:29Z

/// Engine, names and clocks, as the daemon would hold them.
struct World {
    engine: Engine,
    names: LinkNames,
    now: Instant,
    /// What the daemon has measured itself.
    measured: Vec<(&'static str, &'static Histogram)>,
}

impl World {
    /// Three routers after ten seconds: VI_1 is master, VI_2 follows 192.168.122.2, VI_3 can't run
    /// since eth1 is down.
    fn small() -> World {
        let mut names = LinkNames::default();
        let (eth0, eth1) = (names.intern("eth0"), names.intern("eth1"));
        let mut routers = Vec::new();
        for (name, vrid, version, address) in [
            ("VI_1", 51, Version::V2, "192.168.122.50"),
            ("VI_2", 52, Version::V3, "192.168.122.52"),
            ("VI_3", 53, Version::V3, "192.168.122.53"),
        ] {
            let mut params = router(name, eth0.0, vrid);
            params.version = version;
            params.addresses[0].ip = address.parse().unwrap();
            routers.push(params);
        }
        routers[0].priority = 101;
        routers[0].addresses[0].broadcast = Some(Ipv4Addr::new(192, 168, 122, 255));
        routers[0].addresses[0].label = Label::from("eth0:0").ok();
        routers[1].interval = Centis::new(50).unwrap();
        routers[2].tracked_links = [eth1].into();
        routers[2].addresses[0].link = eth1;

        let now = Instant::from_nanos(1_000_000_000_000);
        let mut world =
            World { engine: Engine::new(routers, names.len()), names, now, measured: Vec::new() };
        world.link(eth0.0, ETH0, true);
        world.link(eth1.0, ETH1, false);
        world.engine.start(now);
        for _ in 0..20 {
            world.now += Span::from_millis(500);
            world.advert(52);
            world.engine.on_deadlines(world.now, 100);
        }
        world.now += Span::from_millis(250);
        while world.engine.next_action().is_some() {}
        world
    }

    /// `count` routers on as many interfaces as it takes, all Backup.
    fn large(count: u32) -> World {
        let mut names = LinkNames::default();
        let mut routers = Vec::new();
        for index in 0..count {
            let link = names.intern(&format!("eth{}", index / 255));
            routers.push(router(&format!("VI_{index}"), link.0, (index % 255 + 1) as u8));
        }
        let now = Instant::from_nanos(1_000_000_000_000);
        let mut world =
            World { engine: Engine::new(routers, names.len()), names, now, measured: Vec::new() };
        for link in 0..world.names.len() as u32 {
            world.link(link, link + 2, true);
        }
        world.engine.start(now);
        while world.engine.next_action().is_some() {}
        world
    }

    fn link(&mut self, link: u32, ifindex: u32, up: bool) {
        let facts = LinkFacts {
            ifindex: IfIndex(ifindex),
            up,
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            mtu: 1500,
            primary_ipv4: Some(Ipv4Addr::new(192, 168, 122, 1)),
            link_local: LinkLocal::None,
        };
        let change = LinkChange { link: viprd::base::LinkId(link), facts: Some(facts) };
        self.engine.on_link(self.now, &change);
    }

    /// Lets 192.168.122.2 advertise for `vrid` on eth0.
    fn advert(&mut self, vrid: u8) {
        let advert = Advert {
            version: Version::V3,
            vrid,
            priority: 150,
            interval: Centis::new(50),
            source: Ipv4Addr::new(192, 168, 122, 2).into(),
            destination: Ipv4Addr::new(224, 0, 0, 18).into(),
            ttl: 255,
            auth_type: 0,
            auth_data: [0; 8],
            signed: None,
            checksum_form: ChecksumForm::Message,
            addresses: [[192, 168, 122, 52]].as_slice().into(),
        };
        self.engine.on_advert(self.now, IfIndex(ETH0), &advert);
    }

    /// The daemon has been 1, 2, … 1000 µs late.
    fn measure_wakes(&mut self) {
        let mut wakes = Histogram::new();
        for micros in 1..=1000 {
            wakes.record(Span::from_micros(micros));
        }
        self.measured.push(("wake-lateness", Box::leak(Box::new(wakes))));
    }

    fn view(&self) -> View<'_> {
        View {
            engine: &self.engine,
            names: &self.names,
            now: self.now,
            wall_now: WALL_NOW,
            daemon: DaemonInfo {
                version: "0.9.8",
                pid: 4321,
                started: Instant::from_nanos(999_000_000_000),
                config_file: "/etc/viprd/viprd.conf",
                io: "uring",
                counters: &[("io_turns", 77), ("io_received", 20)],
                latency: &self.measured,
            },
        }
    }
}

fn router(name: &str, link: u32, vrid: u8) -> RouterParams {
    let link = viprd::base::LinkId(link);
    RouterParams {
        name: name.into(),
        link,
        vrid: Vrid::new(vrid).unwrap(),
        version: Version::V3,
        transport: Transport::default(),
        checksum_form: ChecksumForm::Message,
        priority: 100,
        interval: Centis::DEFAULT,
        preempt: Preempt::After(Span::ZERO),
        tracked_links: [].into(),
        tracking: viprd::vrrp::Tracking::default(),
        addresses: [VirtualAddress {
            ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, vrid)),
            prefix_len: 24,
            link,
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }]
        .into(),
        garp: GarpParams::default(),
        conduct: Conduct::default(),
        source_mac: None,
        macvlans: Box::default(),
        accept: true,
    }
}

/// Pages until the session has no more to say.
fn pages(session: &mut Session, world: &World) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    loop {
        let mut page = Vec::new();
        let progress = session.fill(&world.view(), &mut page);
        pages.push(page);
        if progress != Progress::More {
            return pages;
        }
    }
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn ask(world: &World, request: &Request) -> Vec<Record> {
    let mut session = Session::new();
    session.on_bytes(request.to_line().as_bytes());
    records(&pages(&mut session, world).concat())
}

fn statuses(records: Vec<Record>) -> Vec<StatusRecord> {
    let status = |record| match record {
        Record::Status(status) => Some(status),
        _ => None,
    };
    records.into_iter().filter_map(status).collect()
}

// ---------------------------------------------------------------- answers

#[test]
fn status_tells_how_each_router_is() {
    let records = ask(&World::small(), &Request::Status { name: None });
    assert_eq!(records.last(), Some(&Record::End(true)));
    let [master, backup, fault] = statuses(records).try_into().unwrap();

    assert_eq!((&*master.name, &*master.interface, master.vrid), ("VI_1", "eth0", 51));
    assert_eq!((master.state, master.version), (StateWord::Master, 2));
    assert_eq!(master.master, Some(Ipv4Addr::new(192, 168, 122, 1).into()));
    assert_eq!((master.base_priority, master.master_priority), (101, Some(101)));
    // It took over 3.605 s after the start, seen in steps of 0.5 s; 10.25 s are over now.
    assert_eq!(master.since_seconds, 6.25);
    assert_eq!(master.since.to_string(), "2026-03-21T07:57:22.750000Z");
    assert_eq!(master.fault, None);
    assert_eq!(master.addresses[0].address, "192.168.122.50/24");

    assert_eq!(backup.state, StateWord::Backup);
    assert_eq!(backup.master, Some(Ipv4Addr::new(192, 168, 122, 2).into()));
    assert_eq!(backup.master_priority, Some(150));
    assert_eq!(backup.last_advert_seconds, Some(0.25));
    assert_eq!(backup.last_advert.unwrap().to_string(), "2026-03-21T07:57:28.750000Z");
    assert_eq!(backup.interval_seconds, 0.5);

    assert_eq!(fault.state, StateWord::Fault);
    assert_eq!(fault.fault.as_deref(), Some("interface eth1 is down"));
    assert_eq!((fault.master, fault.last_advert), (None, None));
    assert_eq!(fault.addresses[0].interface, "eth1");
}

#[test]
fn status_of_one() {
    let named = |name: &str| Request::Status { name: Some(name.into()) };
    let one = statuses(ask(&World::small(), &named("VI_2")));
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].name, "VI_2");
}

#[test]
fn show_tells_everything() {
    let mut world = World::small();
    let show = |world: &World, name: &str| {
        let mut records = ask(world, &Request::Show { name: name.into() });
        assert_eq!(records.pop(), Some(Record::End(true)));
        match records.pop() {
            Some(Record::Show(show)) => show,
            other => panic!("{other:?}"),
        }
    };

    let backup = show(&world, "VI_2");
    assert_eq!(backup.status.state, StateWord::Backup);
    assert_eq!(backup.cause.event, "startup");
    // Priority 100, an interval of 0.5 s: 156/256 of it, and three of it more.
    assert_eq!(backup.times.skew_seconds, 0.3046875);
    assert_eq!(backup.times.down_interval_seconds, 1.8046875);
    assert_eq!(backup.deadline_seconds, Some(1.5546875));
    assert_eq!(backup.deadline.unwrap().to_string(), "2026-03-21T07:57:30.554687Z");
    assert_eq!((backup.preempt, backup.preempt_delay_seconds), (true, 0.0));
    assert_eq!(backup.counters.advertisement_rcvd, 20);
    assert_eq!(backup.garp.repeat, 5);
    assert_eq!(backup.addresses_set, None);

    let master = show(&world, "VI_1");
    assert_eq!(master.cause.event, "master-timeout");
    assert_eq!(master.cause.words, "the master was not heard for the whole down interval");
    assert_eq!(master.addresses_set, Some(false));
    assert_eq!(master.counters.master_transitions, 1);
    assert_eq!(master.status.addresses[0].label.as_deref(), Some("eth0:0"));
    world.engine.on_addresses_set(world.now, RouterId(0));
    assert_eq!(show(&world, "VI_1").addresses_set, Some(true));

    let fault = show(&world, "VI_3");
    assert_eq!(fault.cause.event, "interface-down");
    assert_eq!((fault.deadline, fault.deadline_seconds), (None, None));
    assert_eq!(fault.tracked_interfaces, ["eth1"]);
}

#[test]
fn stats_count_routers_packets_of_none_and_the_daemon() {
    let mut world = World::small();
    world.advert(99);
    let [master, backup, fault, daemon, end] =
        ask(&world, &Request::Stats { name: None }).try_into().unwrap();
    let Record::Stats(master) = master else { panic!("{master:?}") };
    assert!(master.counters.advertisement_sent >= 7);
    let Record::Stats(backup) = backup else { panic!("{backup:?}") };
    assert_eq!((&*backup.name, backup.counters.advertisement_rcvd), ("VI_2", 20));
    assert!(matches!(fault, Record::Stats(_)));
    let Record::Daemon(daemon) = daemon else { panic!("{daemon:?}") };
    assert_eq!(daemon.unattributed.vrid_errors, 1);
    assert_eq!(daemon.counters["io_turns"], 77);
    assert_eq!(end, Record::End(true));

    let one = ask(&world, &Request::Stats { name: Some("VI_2".into()) });
    assert_eq!(one.len(), 2, "one router's and the end, nothing of the daemon");
}

#[test]
fn latency_tells_of_every_kind_of_times() {
    let mut world = World::small();
    world.measure_wakes();
    let mut records = ask(&world, &Request::Latency {});
    assert_eq!(records.pop(), Some(Record::End(true)));
    let latency = |record| match record {
        Record::Latency(latency) => *latency,
        other => panic!("{other:?}"),
    };
    let all: Vec<LatencyRecord> = records.into_iter().map(latency).collect();
    let names: Vec<_> = all.iter().map(|latency| &*latency.name).collect();
    assert_eq!(
        names,
        [
            "advert-lateness",
            "advert-delay",
            "takeover-advert",
            "takeover-addresses",
            "takeover-garp",
            "wake-lateness"
        ]
    );
    // VI_1 took over in steps of 0.5 s: 3.605 s were seen at 4 s. Then it advertised on the grid.
    assert_eq!((all[2].count, all[2].max_seconds), (1, Some(0.39453125)));
    assert_eq!((all[0].count, all[0].max_seconds), (6, Some(0.0)));
    // VI_2 hears its master every 0.5 s, as promised.
    assert_eq!((all[1].count, all[1].max_seconds), (19, Some(0.0)));
    assert_eq!((all[3].count, all[3].p50_seconds, all[3].buckets.len()), (0, None, 0));

    let wakes = &all[5];
    assert_eq!((wakes.count, wakes.min_seconds, wakes.max_seconds), (1000, Some(1e-6), Some(1e-3)));
    assert_eq!(wakes.mean_seconds, Some(500.5e-6));
    for (told, exact) in [
        (wakes.p50_seconds, 500e-6),
        (wakes.p90_seconds, 900e-6),
        (wakes.p99_seconds, 990e-6),
        (wakes.p99_9_seconds, 999e-6),
    ] {
        let error = (told.unwrap() - exact).abs() / exact;
        assert!(error <= 1.0 / 64.0, "{told:?} for {exact}");
    }
    assert_eq!(wakes.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 1000);
}

#[test]
fn a_router_before_the_start_is_init_since_the_daemon_started() {
    let mut world = World::large(1);
    world.engine = Engine::new(vec![router("VI_0", 0, 1)], 1);
    let [status] = statuses(ask(&world, &Request::Status { name: None })).try_into().unwrap();
    assert_eq!((status.state, status.fault), (StateWord::Init, None));
    assert_eq!(status.since_seconds, 1.0);
}

// ---------------------------------------------------------------- pages

#[test]
fn twenty_thousand_routers_come_in_pages_of_bounded_length() {
    let world = World::large(20_000);
    let mut session = Session::new();
    session.on_bytes(Request::Status { name: None }.to_line().as_bytes());
    let pages = pages(&mut session, &world);
    let longest = pages.iter().map(Vec::len).max().unwrap();
    assert!(longest < PAGE + 1024, "a page has {longest} bytes");
    assert!(pages.len() > 200, "only {} pages", pages.len());
    let names = statuses(records(&pages.concat())).into_iter().map(|status| status.name);
    assert!(names.eq((0..20_000).map(|index| format!("VI_{index}"))));
    assert!(session.is_idle());
}

#[test]
fn looking_for_a_name_takes_many_turns_of_bounded_work() {
    let world = World::large(20_000);
    let mut session = Session::new();
    session.on_bytes(Request::Show { name: "VI_19999x".into() }.to_line().as_bytes());
    let pages = pages(&mut session, &world);
    assert!(pages.len() >= 20_000 / 256, "only {} pages", pages.len());
    assert!(pages[..pages.len() - 1].iter().all(Vec::is_empty));
    let [Record::Error(error)] = &records(&pages.concat())[..] else { panic!() };
    assert_eq!(error.code, ErrorCode::NoSuchRouter);
    assert_eq!(error.candidates[0], "VI_19999");
    assert_eq!(error.candidates.len(), 3);
}

#[test]
fn a_listing_goes_on_while_the_engine_changes() {
    let mut world = World::large(2_000);
    let mut session = Session::new();
    session.on_bytes(Request::Status { name: None }.to_line().as_bytes());
    let mut all = Vec::new();
    let mut page = Vec::new();
    for turn in 0u64.. {
        let progress = session.fill(&world.view(), &mut page);
        all.extend(records(&page));
        if progress != Progress::More {
            break;
        }
        // Interfaces flap, deadlines pass, routers change state: between any two pages.
        world.now += Span::from_millis(700);
        world.link((turn % 8) as u32, (turn % 8) as u32 + 2, turn % 3 == 0);
        world.engine.on_deadlines(world.now, 10_000);
        while world.engine.next_action().is_some() {}
    }
    assert_eq!(all.pop(), Some(Record::End(true)));
    let all = statuses(all);
    let names = all.iter().map(|status| status.name.clone());
    assert!(names.eq((0..2_000).map(|index| format!("VI_{index}"))));
    for status in &all {
        assert_eq!(status.state == StateWord::Fault, status.fault.is_some(), "{status:?}");
        assert_eq!(status.state == StateWord::Master, status.master.is_some(), "{status:?}");
    }
    let states: std::collections::BTreeSet<_> = all.iter().map(|status| status.state).collect();
    assert!(states.len() > 1, "the changes did not show");
}

#[test]
fn an_engine_replaced_by_a_smaller_one_ends_the_listing() {
    let large = World::large(2_000);
    for request in [
        Request::Status { name: None },
        Request::Stats { name: None },
        Request::Show { name: "VI_1999".into() },
    ] {
        let mut session = Session::new();
        session.on_bytes(request.to_line().as_bytes());
        let mut page = Vec::new();
        assert_eq!(session.fill(&large.view(), &mut page), Progress::More);
        let rest = pages(&mut session, &World::small()).concat();
        let last = records(&rest).pop().unwrap();
        match request {
            Request::Show { .. } => assert!(matches!(last, Record::Error(_)), "{last:?}"),
            _ => assert_eq!(last, Record::End(true)),
        }
    }
}

// ---------------------------------------------------------------- hostile clients

#[test]
fn a_bad_request_is_refused_and_the_session_goes_on() {
    let world = World::small();
    let mut session = Session::new();
    for (line, code) in [
        (&b"\xff\xfe\n"[..], ErrorCode::BadRequest),
        (b"{\"request\":\"reboot\"}\n", ErrorCode::UnknownRequest),
        (b"{\"request\":\"show\"}\n", ErrorCode::BadRequest),
        (b"{\"request\":\"show\",\"name\":\"VI_4\"}\n", ErrorCode::NoSuchRouter),
    ] {
        session.on_bytes(line);
        let [Record::Error(error)] = &records(&pages(&mut session, &world).concat())[..] else {
            panic!("{line:?}")
        };
        assert_eq!(error.code, code);
        if code == ErrorCode::UnknownRequest {
            assert_eq!(error.candidates, Request::NAMES);
        }
    }
    session.on_bytes(b"{\"request\":\"status\"}\n");
    assert_eq!(records(&pages(&mut session, &world).concat()).len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bytes of any kind in any pieces, with the engine changing underneath: every line that comes
    /// out is a record, and the work ends.
    #[test]
    fn any_client_is_survived(
        pieces in prop::collection::vec(piece(), 1..20),
        obedient: bool,
    ) {
        let mut world = World::small();
        let mut session = Session::new();
        let (mut said, mut page) = (Vec::new(), Vec::new());
        let mut received = 0;
        for piece in pieces {
            if !obedient || session.wants_bytes() {
                session.on_bytes(&piece);
                received += piece.len();
            }
            let _ = session.fill(&world.view(), &mut page);
            said.extend_from_slice(&page);
            world.now += Span::from_millis(400);
            world.engine.on_deadlines(world.now, 100);
        }
        session.on_end();
        for page in pages(&mut session, &world) {
            said.extend_from_slice(&page);
        }
        prop_assert!(session.is_over());
        let records = records(&said);
        // Nobody gets more answers than he sent lines, nor more than one "too long".
        let endings = records.iter().filter(|r| matches!(r, Record::End(_) | Record::Error(_)));
        prop_assert!(endings.count() <= received / 2 + 1);
        let too_long = records.iter().filter(
            |record| matches!(record, Record::Error(error) if error.code == ErrorCode::TooLong));
        prop_assert!(too_long.count() <= 1);
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(b"{\"request\":\"status\"}\n".to_vec()),
        2 => Just(b"{\"request\":\"show\",\"name\":\"VI_1\"}\n".to_vec()),
        2 => Just(b"{\"request\":\"stats\",\"na".to_vec()),
        2 => Just(b"me\":\"VI_3\"}\r\n\r\n".to_vec()),
        4 => prop::collection::vec(any::<u8>(), 0..100),
        2 => "[\\[{\"a-z:0-9,}\\]\n]{0,200}".prop_map(String::into_bytes),
        1 => Just(vec![b'['; MAX_REQUEST]),
        1 => Just(vec![b'\n'; 2 * MAX_PENDING]),
    ]
}

// ---------------------------------------------------------------- viprctl, end to end

/// A daemon's door without the daemon: sessions over a world, at a socket.
struct Door {
    directory: PathBuf,
    world: Arc<Mutex<World>>,
}

impl Door {
    fn open(world: World) -> Door {
        let world = Arc::new(Mutex::new(world));
        let served = world.clone();
        Door::serve(world, move |stream| {
            let _ = converse(stream, &served);
        })
    }

    /// Serves with `answer` instead of a session.
    fn strange(answer: impl Fn(UnixStream) + Send + 'static) -> Door {
        Door::serve(Arc::new(Mutex::new(World::large(0))), answer)
    }

    fn serve(world: Arc<Mutex<World>>, answer: impl Fn(UnixStream) + Send + 'static) -> Door {
        let door = Door { directory: temporary_directory(), world };
        let listener = UnixListener::bind(door.socket()).unwrap();
        // Ends with the test process.
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        door
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("viprd.sock")
    }

    fn viprctl(&self, arguments: &[&str]) -> Output {
        viprctl(&self.socket(), arguments)
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.viprctl(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(&[&["--json"], arguments].concat())).unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What the daemon does for a client, with blocking calls.
fn converse(mut stream: UnixStream, world: &Mutex<World>) -> std::io::Result<()> {
    let mut session = Session::new();
    let (mut chunk, mut page) = ([0; 4096], Vec::new());
    while !session.is_over() {
        if session.wants_bytes() {
            match stream.read(&mut chunk)? {
                0 => session.on_end(),
                length => session.on_bytes(&chunk[..length]),
            }
        }
        let _ = session.fill(&world.lock().unwrap().view(), &mut page);
        stream.write_all(&page)?;
    }
    Ok(())
}

fn temporary_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("viprd-control-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    directory
}

fn command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viprctl"));
    command.arg("-s").arg(socket).args(arguments).env_remove("NO_COLOR");
    command
}

fn viprctl(socket: &Path, arguments: &[&str]) -> Output {
    command(socket, arguments).output().unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn the_status_table() {
    let door = Door::open(World::small());
    assert_eq!(
        door.text(&["status"]),
        "\
NAME  INTERFACE  VRID  STATE   SINCE  PRIO  MASTER         LAST ADVERT  ADDRESSES                   REASON
VI_1  eth0         51  MASTER   6.2s   101  192.168.122.1    250ms ago  192.168.122.50/24
VI_2  eth0         52  BACKUP    10s   100  192.168.122.2    250ms ago  192.168.122.52/24
VI_3  eth0         53  FAULT     10s   100  -                        -  192.168.122.53/24 dev eth1  interface eth1 is down
"
    );
    assert_eq!(
        door.text(&["status", "VI_1"]),
        "\
NAME  INTERFACE  VRID  STATE   SINCE  PRIO  MASTER         LAST ADVERT  ADDRESSES
VI_1  eth0         51  MASTER   6.2s   101  192.168.122.1    250ms ago  192.168.122.50/24
"
    );
}

#[test]
fn show_as_text() {
    let door = Door::open(World::small());
    let text = door.text(&["show", "VI_2"]);
    for line in [
        "VI_2",
        "  State             BACKUP since 2026-03-21T07:57:18.750000Z (10s)",
        "  Because           the daemon started",
        "  Next              takes over, unless it hears the master, in 1.5s",
        "  Virtual router    52, VRRP version 3 over IPv4",
        "  Master            192.168.122.2, priority 150",
        "  Last advert       2026-03-21T07:57:28.750000Z (250ms ago)",
        "  Interval          0.5s",
        "  Skew time         0.304688s",
        "  Down interval     1.804688s",
        "  Preempt           at once",
        "  Tracks            nothing",
        "  Addresses         192.168.122.52/24 dev eth0",
        "  Gratuitous ARPs   5 at once, 5 after 5s, no refresh",
        "    advertisement_rcvd                    20",
    ] {
        assert!(text.lines().any(|had| had == line), "{line:?} is not in:\n{text}");
    }
    let text = door.text(&["show", "VI_1"]);
    let address = "192.168.122.50/24 dev eth0 brd 192.168.122.255 label eth0:0";
    assert!(text.contains(address), "{text}");
    assert!(text.contains("being added to the host"), "{text}");
    assert!(text.contains("  Master            itself\n"), "{text}");
}

#[test]
fn stats_and_version_as_text() {
    let door = Door::open(World::small());
    let text = door.text(&["stats"]);
    assert!(text.starts_with("NAME  INTERFACE  VRID  STATE   BECAME MASTER"), "{text}");
    assert!(text.contains("Packets of no virtual router\n    checksum_errors"), "{text}");
    assert!(text.lines().any(|line| line.split_whitespace().eq(["io_turns", "77"])), "{text}");
    let text = door.text(&["stats", "VI_2"]);
    assert!(text.starts_with("VI_2\n    master_transitions"), "{text}");
    let text = door.text(&["version"]);
    assert!(text.contains(concat!("viprctl ", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.contains("viprd 0.9.8\n  Process          4321\n"), "{text}");
}

#[test]
fn latency_as_text() {
    let mut world = World::small();
    world.measure_wakes();
    let door = Door::open(world);
    assert_eq!(
        door.text(&["latency"]),
        "\
MEASURED            COUNT    P50    P90    P99  P99.9     MAX
advert-lateness         6    0ns    0ns    0ns    0ns     0ns
advert-delay           19    0ns    0ns    0ns    0ns     0ns
takeover-advert         1  395ms  395ms  395ms  395ms   395ms
takeover-addresses      0      -      -      -      -       -
takeover-garp           0      -      -      -      -       -
wake-lateness        1000  504µs  893µs  991µs  991µs  1.00ms
"
    );
    let json = door.json(&["latency"]);
    assert_eq!(json.as_array().unwrap().len(), 6);
    assert_eq!(json[5]["name"], "wake-lateness");
    assert_eq!(json[5]["buckets"][0]["count"], 1);
    assert_eq!(json[4]["max_seconds"], Value::Null);
}

#[test]
fn json_has_one_shape_for_each_command() {
    let door = Door::open(World::small());
    let status = door.json(&["status"]);
    assert_eq!(status.as_array().unwrap().len(), 3);
    assert_eq!(status[2]["fault"], "interface eth1 is down");
    assert_eq!(door.json(&["status", "VI_2"]), serde_json::json!([status[1]]));
    let show = door.json(&["show", "VI_2"]);
    assert_eq!(show["name"], "VI_2");
    assert_eq!(show["counters"]["advertisement_rcvd"], 20);
    let stats = door.json(&["stats"]);
    assert_eq!(stats["routers"].as_array().unwrap().len(), 3);
    assert_eq!(stats["daemon"]["counters"]["io_turns"], 77);
    assert_eq!(door.json(&["stats", "VI_2"]), stats["routers"][1]);
    let version = door.json(&["version"]);
    assert_eq!(version["viprctl"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["viprd"]["pid"], 4321);
}

#[test]
fn a_daemon_without_routers_gives_empty_lists() {
    let door = Door::open(World::large(0));
    assert_eq!(door.json(&["status"]), serde_json::json!([]));
    assert_eq!(door.json(&["stats"])["routers"], serde_json::json!([]));
    assert!(door.text(&["status"]).starts_with("NAME"));
}

#[test]
fn a_name_that_does_not_exist_exits_with_1_and_a_hint() {
    let door = Door::open(World::small());
    for command in ["status", "show", "stats"] {
        let output = door.viprctl(&[command, "VI_12"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = stderr(&output);
        assert!(said.contains("no virtual router is named VI_12; did you mean VI_1"), "{said}");
    }
    let output = door.viprctl(&["show", "VI_12", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["error"]["code"], "no-such-router");
}

#[test]
fn no_daemon_exits_with_69_and_says_what_to_do() {
    let directory = temporary_directory();
    let absent = directory.join("absent.sock");
    let output = viprctl(&absent, &["status"]);
    assert_eq!(output.status.code(), Some(69));
    let said = stderr(&output);
    assert!(
        said.contains(absent.to_str().unwrap()) && said.contains("is viprd running?"),
        "{said}"
    );

    let stale = directory.join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let output = viprctl(&stale, &["status"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("nobody listens on"), "{output:?}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_answer_that_breaks_off_or_makes_no_sense_is_an_error() {
    let hanging_up = Door::strange(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"{\"end\":tr");
    });
    let output = hanging_up.viprctl(&["status"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(stderr(&output).contains("before its answer was complete"), "{output:?}");

    for answer in ["nonsense\n", "{\"weather\":{}}\n{\"end\":true}\n"] {
        let strange = Door::strange(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        for json in [&["status"][..], &["--json", "status"]] {
            let output = strange.viprctl(json);
            assert_eq!(output.status.code(), Some(76), "{output:?}");
        }
    }
}

#[test]
fn wrong_arguments_exit_with_64() {
    for arguments in [&["reboot"][..], &["show"], &["status", "--frob"]] {
        let output = viprctl(Path::new("/nonexistent"), arguments);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let door = Door::open(World::large(5_000));
    for arguments in [&["status"][..], &["--json", "status"], &["stats"]] {
        let mut child = command(&door.socket(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn any_program_can_ask_and_hang_up() {
    let door = Door::open(World::small());
    let mut stream = UnixStream::connect(door.socket()).unwrap();
    // Two requests at once, the second without its newline, and no more after them.
    stream.write_all(b"{\"request\":\"version\"}\n{\"request\":\"status\"}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let kinds: Vec<_> = records(&answer)
        .iter()
        .map(|record| {
            serde_json::to_value(record).unwrap().as_object().unwrap().keys().next().cloned()
        })
        .map(Option::unwrap)
        .collect();
    assert_eq!(kinds, ["version", "end", "status", "status", "status", "end"]);
}

#[test]
fn what_viprctl_shows_is_what_is_now() {
    let door = Door::open(World::small());
    assert_eq!(door.json(&["status", "VI_1"])[0]["state"], "MASTER");
    door.world.lock().unwrap().link(0, ETH0, false);
    let status = door.json(&["status", "VI_1"]);
    assert_eq!(status[0]["state"], "FAULT");
    assert_eq!(status[0]["fault"], "interface eth0 is down");
}

// ---------------------------------------------------------------- the manual

const MANUAL: &str = include_str!("../man/viprctl.8");

fn help(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_viprctl")).args(arguments).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// The first words of the indented lines below `title`.
fn section(help: &str, title: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != title)
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .map(|line| line.trim().split("  ").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_command_option_and_exit_code_stands_in_the_manual() {
    let top = help(&[]);
    let commands = section(&top, "Commands:");
    // One of them asks nobody.
    assert_eq!(commands.len(), Request::NAMES.len() + 1, "{top}");
    for command in &commands {
        assert!(MANUAL.contains(&format!("\n.It Cm {command}")), "{command} has no entry");
        assert!(MANUAL.contains(&format!("\n.Cm {command}\n")), "{command} is not in the synopsis");
    }
    let of_commands = commands.iter().map(|command| help(&[command]));
    let mut options = 0;
    for help in of_commands.chain([top.clone()]) {
        for option in section(&help, "Options:") {
            for word in option.split(", ").filter(|word| *word != "help") {
                let flag = format!("Fl {}", &word[1..]);
                let entry = MANUAL.lines().any(|line| {
                    line.starts_with(".It Fl") && line.split(" , ").any(|form| form.contains(&flag))
                });
                assert!(entry, "{word} has no entry in the manual");
                options += 1;
            }
        }
    }
    assert!(options >= 3 + commands.len(), "{options}");
    let codes: Vec<_> = section(&top, "Error codes:")
        .into_iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert!(codes.len() >= 5, "{top}");
    for code in codes {
        assert!(MANUAL.contains(&format!("\n.It {code}\n")), "exit code {code} has no entry");
    }
}

#[test]
fn every_field_and_event_stands_in_the_manual() {
    let mut world = World::small();
    world.engine.on_addresses_set(world.now, RouterId(0));
    let mut known = Vec::new();
    for request in
        [Request::Show { name: "VI_1".into() }, Request::Stats { name: None }, Request::Latency {}]
    {
        for record in ask(&world, &request) {
            // Counters are named by RFC 8347 and by the daemon; the manual says so.
            fields(&serde_json::to_value(record).unwrap(), &mut known);
        }
    }
    let reload = serde_json::to_value(ReloadRecord::default()).unwrap();
    fields(&reload, &mut known);
    for field in ["base_priority", "label", "down_interval_seconds", "repeat", "unattributed"] {
        assert!(known.iter().any(|name| name == field), "{field}: {known:?}");
    }
    for field in known {
        let stands = MANUAL
            .lines()
            .any(|line| line.split(' ').any(|word| word == field) && line.contains("Va "));
        assert!(stands, "the manual has no field {field}");
    }
}

/// Names of all fields in `value`; those of records and counters are not fields but names of kinds.
fn fields(value: &Value, known: &mut Vec<String>) {
    const KINDS: [&str; 5] = ["show", "stats", "daemon", "latency", "end"];
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                if !KINDS.contains(&name.as_str()) {
                    known.push(name.clone());
                }
                if name != "counters" && name != "unattributed" {
                    fields(value, known);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, known)),
        _ => {}
    }
}

#[test]
fn the_manual_is_clean_mdoc() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/viprctl.8");
    let Ok(output) = Command::new("mandoc").args(["-T", "lint", path]).output() else {
        eprintln!("mandoc is not installed: skipped");
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    // Whether other manuals are installed here is not this one's business.
    let complaints: Vec<_> =
        said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
