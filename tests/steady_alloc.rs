//! Rule 2 of the house: once it is configured and warm the engine allocates nothing. Counted for
//! routers in steady state, and for what a bad day asks of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use viprd::base::{
    Centis, IfIndex, Instant, LinkChange, LinkFacts, LinkId, LinkLocal, Mac, RouterId, Scope, Span,
    VirtualAddress, Vrid,
};
use viprd::vrrp::{
    Action, Conduct, Engine, GarpParams, Preempt, RouterParams, StateName, Transport,
};
use viprd::wire::auth::Secret;
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication, ChecksumForm, Version};

/// Counts what this thread asks for; other tests run beside it.
struct Counting;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is going away has no counter any more, and nobody who asks.
    let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
}

// SAFETY: every request is passed on to `System` as it came; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `work` asks for memory.
fn requests(work: impl FnOnce()) -> u64 {
    let before = REQUESTS.with(Cell::get);
    work();
    REQUESTS.with(Cell::get) - before
}

const ROUTERS: u8 = 200;
const LINK: LinkId = LinkId(0);
const IFINDEX: IfIndex = IfIndex(2);

/// The routers, their finished frames, and a peer's.
struct House {
    engine: Engine,
    frames: Vec<AdvertFrame>,
    peers: Vec<AdvertFrame>,
    /// Of the last signed advert.
    sequence: u32,
    now: Instant,
}

impl House {
    fn new() -> Self {
        House::of(params)
    }

    fn of(params: impl Fn(u8) -> RouterParams) -> Self {
        let params: Vec<RouterParams> = (1..=ROUTERS).map(params).collect();
        let frame = |params: &RouterParams, source: IpAddr| {
            let content = AdvertContent {
                version: params.version,
                vrid: params.vrid,
                priority: params.priority,
                interval: params.interval,
                source,
                addresses: &[Ipv4Addr::new(192, 0, 2, params.vrid.get()).into()],
                checksum_form: params.checksum_form,
                authentication: params.conduct.authentication,
            };
            AdvertFrame::new(&content, Mac::default())
        };
        let now = Instant::from_nanos(123_456_789_012);
        let mut house = House {
            frames: params.iter().map(|params| frame(params, [10, 0, 0, 1].into())).collect(),
            peers: params.iter().map(|params| frame(params, [10, 0, 0, 2].into())).collect(),
            engine: Engine::new(params, 1),
            sequence: 0,
            now,
        };
        house.link(true);
        house.engine.start(now);
        house.carry_out();
        house
    }

    fn link(&mut self, up: bool) {
        let facts = LinkFacts {
            ifindex: IFINDEX,
            up,
            mac: Some(Mac::default()),
            mtu: 1500,
            primary_ipv4: Some(Ipv4Addr::new(10, 0, 0, 1)),
            link_local: LinkLocal::None,
        };
        self.engine.on_link(self.now, &LinkChange { link: LINK, facts: Some(facts) });
    }

    /// What the daemon does with wishes, without the sockets.
    fn carry_out(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Advertise { router, priority } => {
                    self.frames[router.index()].set_priority(priority);
                    self.frames[router.index()].sign(self.sequence);
                }
                Action::SetAddresses { router } => self.engine.on_addresses_set(self.now, router),
                _ => {}
            }
        }
    }

    /// Everybody hears the peer.
    fn hear(&mut self, priority: u8) {
        self.sequence += 1;
        for peer in &mut self.peers {
            peer.set_priority(priority);
            peer.sign(self.sequence);
            let advert = Advert::parse(peer.packet()).expect("our own");
            self.engine.on_advert(self.now, IFINDEX, &advert);
        }
        self.carry_out();
    }

    fn run_for(&mut self, span: Span) {
        let end = self.now + span;
        while self.engine.next_deadline() <= end {
            self.now = self.engine.next_deadline();
            self.engine.on_deadlines(self.now, 64);
            self.carry_out();
        }
        self.now = end;
    }

    fn bad_day(&mut self) {
        self.run_for(Span::from_secs(1));
        self.hear(50);
        self.hear(200);
        self.hear(0);
        self.run_for(Span::from_secs(1));
        for up in [false, true] {
            self.link(up);
            self.carry_out();
        }
        for router in 0..u32::from(ROUTERS) {
            self.engine.on_address_lost(self.now, RouterId(router));
        }
        self.carry_out();
        let mut garbage = [0x45; 60];
        for byte in 0..60 {
            garbage[byte] ^= byte as u8;
            if let Err(refused) = Advert::parse(&garbage) {
                self.engine.on_malformed(IFINDEX, &refused);
            }
        }
        self.run_for(Span::from_secs(1));
    }

    fn all(&self, state: StateName) -> bool {
        self.engine.views().all(|view| view.state.name() == state)
    }
}

fn params(vrid: u8) -> RouterParams {
    RouterParams {
        name: format!("VI_{vrid}").into(),
        link: LINK,
        vrid: Vrid::new(vrid).expect("from 1"),
        version: Version::V3,
        transport: Transport::default(),
        checksum_form: ChecksumForm::Message,
        priority: 100,
        interval: Centis::new(10).expect("not 0"),
        preempt: Preempt::After(Span::ZERO),
        tracked_links: Box::default(),
        tracking: viprd::vrrp::Tracking::default(),
        addresses: Box::new([VirtualAddress {
            ip: Ipv4Addr::new(192, 0, 2, vrid).into(),
            prefix_len: 32,
            link: LINK,
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }]),
        garp: GarpParams { refresh: Span::from_secs(1), ..GarpParams::default() },
        conduct: Conduct::default(),
        source_mac: None,
        macvlans: Box::default(),
        accept: true,
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(requests(|| drop(std::hint::black_box(Box::new(7)))), 1);
    assert!(requests(|| drop(std::hint::black_box(vec![0u8; 100]))) >= 1);
}

#[test]
fn a_steady_backup_allocates_nothing() {
    let mut house = House::new();
    let asked = requests(|| {
        for _ in 0..1_000 {
            house.hear(200);
            house.run_for(Span::from_millis(100));
        }
    });
    assert!(house.all(StateName::Backup));
    assert_eq!(house.engine.view(RouterId(0)).counters.advertisement_rcvd, 1_000);
    assert_eq!(asked, 0);
}

#[test]
fn a_steady_active_allocates_nothing() {
    let mut house = House::new();
    house.run_for(Span::from_secs(1));
    assert!(house.all(StateName::Master));
    let asked = requests(|| house.run_for(Span::from_secs(100)));
    assert!(house.engine.view(RouterId(0)).counters.advertisement_sent >= 1_000);
    assert_eq!(asked, 0);
}

/// HMACs are made and verified in place.
#[test]
fn signed_adverts_allocate_nothing_either() {
    let signed = |vrid| {
        let authentication = Authentication::Header(Secret::new(b"secret"));
        RouterParams {
            version: Version::V2,
            interval: Centis::DEFAULT,
            conduct: Conduct { authentication, ..Conduct::default() },
            ..params(vrid)
        }
    };
    let mut house = House::of(signed);
    let asked = requests(|| {
        for _ in 0..100 {
            house.hear(200);
            house.run_for(Span::from_secs(1));
        }
    });
    assert!(house.all(StateName::Backup));
    assert_eq!(house.engine.view(RouterId(0)).counters.advertisement_rcvd, 100);
    assert_eq!(asked, 0);
    house.run_for(Span::from_secs(10));
    assert!(house.all(StateName::Master));
    assert_eq!(requests(|| house.run_for(Span::from_secs(100))), 0);
}

/// Elections, handovers, contests, faults and bad packets for everybody at once. Only the first
/// such day may make the queue of wishes grow.
#[test]
fn a_bad_day_allocates_nothing_the_second_time() {
    let mut house = House::new();
    assert!(requests(|| house.bad_day()) <= 3, "it grows by doubling");
    let asked = requests(|| {
        for _ in 0..20 {
            house.bad_day();
        }
        house.engine.stop(house.now);
        house.carry_out();
    });
    assert!(house.all(StateName::Init));
    assert!(house.engine.view(RouterId(0)).counters.master_transitions >= 20);
    assert_eq!(asked, 0);
}
