//! What the protocol costs: an advert accepted, a deadline fired, and whole turns of thousands of
//! routers at once. Wishes are drained as the daemon does, and thrown away.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use viprd::base::{
    Centis, IfIndex, Instant, LinkChange, LinkFacts, LinkId, Mac, Scope, Span, VirtualAddress, Vrid,
};
use viprd::vrrp::{Engine, GarpParams, Preempt, RouterParams};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, ChecksumForm, Version};

const START: Instant = Instant::from_nanos(1_000_000_000_000);

/// Routers a link; more links are added as needed. The last link is the one all of them track.
const A_LINK: usize = 250;

fn links(routers: usize) -> usize {
    routers.div_ceil(A_LINK)
}

fn link_of(router: usize) -> LinkId {
    LinkId((router / A_LINK) as u32)
}

fn vrid_of(router: usize) -> Vrid {
    Vrid::new((router % A_LINK) as u8 + 1).expect("from 1")
}

fn address_of(router: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a64_0000 + router as u32)
}

fn params(router: usize, routers: usize) -> RouterParams {
    RouterParams {
        name: format!("VI_{router}").into(),
        link: link_of(router),
        vrid: vrid_of(router),
        version: Version::V3,
        checksum_form: ChecksumForm::Message,
        priority: 100,
        interval: Centis::DEFAULT,
        preempt: Preempt::After(Span::ZERO),
        tracked_links: Box::new([LinkId(links(routers) as u32)]),
        tracking: viprd::vrrp::Tracking::default(),
        addresses: Box::new([VirtualAddress {
            ip: address_of(router).into(),
            prefix_len: 32,
            link: link_of(router),
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }]),
        garp: GarpParams::default(),
    }
}

fn change(link: u32, up: bool) -> LinkChange {
    let facts = LinkFacts {
        ifindex: IfIndex(link + 2),
        up,
        mac: Some(Mac::default()),
        mtu: 1500,
        primary_ipv4: Some(Ipv4Addr::new(10, 0, 0, 1)),
    };
    LinkChange { link: LinkId(link), facts: Some(facts) }
}

/// Started routers, all Backup.
fn backups(routers: usize) -> Engine {
    let tracked = links(routers);
    let all = (0..routers).map(|router| params(router, routers)).collect();
    let mut engine = Engine::new(all, tracked + 1);
    for link in 0..=tracked as u32 {
        engine.on_link(START, &change(link, true));
    }
    engine.start(START);
    drain(&mut engine);
    engine
}

/// The same, all Active; and the time at which they are.
fn actives(routers: usize) -> (Engine, Instant) {
    let mut engine = backups(routers);
    let now = START + Span::from_secs(4);
    engine.on_deadlines(now, usize::MAX);
    drain(&mut engine);
    (engine, now)
}

fn drain(engine: &mut Engine) -> u64 {
    let mut wishes = 0;
    while let Some(wish) = engine.next_action() {
        black_box(wish);
        wishes += 1;
    }
    wishes
}

/// A packet for each router, from a peer of this priority.
fn packets(routers: usize, priority: u8) -> Vec<(IfIndex, Vec<u8>)> {
    let packet = |router: usize| {
        let content = AdvertContent {
            version: Version::V3,
            vrid: vrid_of(router),
            priority,
            interval: Centis::DEFAULT,
            source: Ipv4Addr::new(10, 0, 0, 2),
            addresses: &[address_of(router)],
            checksum_form: ChecksumForm::Message,
        };
        let frame = AdvertFrame::new(&content, Mac::default());
        (IfIndex(link_of(router).0 + 2), frame.packet().to_vec())
    };
    (0..routers).map(packet).collect()
}

fn hear(engine: &mut Engine, now: Instant, (ifindex, packet): &(IfIndex, Vec<u8>)) {
    if let Ok(advert) = Advert::parse(packet) {
        engine.on_advert(now, *ifindex, &advert);
    }
}

/// What happens all day.
fn steady(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    for routers in [1, 250, 4_000] {
        group.throughput(Throughput::Elements(1));
        let packets = packets(routers, 200);
        let mut engine = backups(routers);
        let (mut now, mut next) = (START, 0);
        group.bench_function(BenchmarkId::new("advert-parsed-and-accepted", routers), |b| {
            b.iter(|| {
                next = (next + 1) % routers;
                now += Span::from_nanos(1_000);
                hear(&mut engine, now, &packets[next]);
                drain(&mut engine)
            });
        });
        // Without the reading of bytes.
        let adverts: Vec<_> = packets
            .iter()
            .map(|(ifindex, packet)| (*ifindex, Advert::parse(packet).expect("our own")))
            .collect();
        group.bench_function(BenchmarkId::new("advert-accepted", routers), |b| {
            b.iter(|| {
                next = (next + 1) % routers;
                now += Span::from_nanos(1_000);
                let (ifindex, advert) = &adverts[next];
                engine.on_advert(now, *ifindex, black_box(advert));
            });
        });

        // A second of everybody's adverts, all due in the same centisecond.
        let (mut engine, _) = actives(routers);
        group.throughput(Throughput::Elements(routers as u64));
        group.bench_function(BenchmarkId::new("deadlines-fired", routers), |b| {
            b.iter(|| {
                let now = engine.next_deadline();
                engine.on_deadlines(now, usize::MAX);
                drain(&mut engine)
            });
        });
    }
    group.finish();
}

/// What happens to everybody at once on a bad day, in one turn.
fn storms(c: &mut Criterion) {
    const ROUTERS: usize = 4_000;
    let mut group = c.benchmark_group("storm-4000");
    group.sample_size(10);

    let leaving = packets(ROUTERS, 0);
    group.bench_function("all-take-over", |b| {
        b.iter_batched_ref(
            || backups(ROUTERS),
            |engine| {
                engine.on_deadlines(START + Span::from_secs(4), usize::MAX);
                drain(engine)
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("all-hear-priority-0", |b| {
        b.iter_batched_ref(
            || backups(ROUTERS),
            |engine| {
                leaving.iter().for_each(|packet| hear(engine, START, packet));
                drain(engine) + engine.next_deadline().as_nanos()
            },
            BatchSize::LargeInput,
        );
    });
    let winning = packets(ROUTERS, 200);
    group.bench_function("all-yield", |b| {
        b.iter_batched_ref(
            || actives(ROUTERS),
            |(engine, now)| {
                winning.iter().for_each(|packet| hear(engine, *now, packet));
                drain(engine)
            },
            BatchSize::LargeInput,
        );
    });
    let tracked = links(ROUTERS) as u32;
    group.bench_function("the-link-all-track-goes-down-and-up", |b| {
        b.iter_batched_ref(
            || actives(ROUTERS),
            |(engine, now)| {
                engine.on_link(*now, &change(tracked, false));
                engine.on_link(*now, &change(tracked, true));
                drain(engine)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = steady, storms
}
criterion_main!(benches);
