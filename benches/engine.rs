//! What the protocol costs: an advert accepted, a deadline fired, and whole turns of thousands of
//! routers at once. Wishes are drained as the daemon does, and thrown away.

mod crowd;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crowd::{START, actives, backups, change, drain, hear, links, packets};
use viprd::base::Span;
use viprd::wire::Advert;

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
