//! What timers cost: to move later (each advert heard), earlier (a priority 0), to fire, and to ask
//! for the next.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use viprd::base::{Instant, Span};
use viprd::vrrp::wheel::Wheel;

const DOWN: Span = Span::from_micros(3_609_375);

/// `timers` deadlines spread over a second, all a down interval away.
fn filled(timers: usize) -> (Wheel, Instant) {
    let now = Instant::from_nanos(1_000_000_000_000);
    let mut wheel = Wheel::new(timers);
    for timer in 0..timers {
        let spread = Span::from_nanos(1_000_000_000 / timers as u64 * timer as u64);
        wheel.set(timer, now + DOWN + spread);
    }
    (wheel, now)
}

fn wheel(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    for timers in [100, 4_000] {
        let (mut wheel, mut now) = filled(timers);
        let mut timer = 0;
        group.bench_function(BenchmarkId::new("move-later", timers), |b| {
            b.iter(|| {
                timer = (timer + 1) % timers;
                now += Span::from_nanos(250);
                wheel.set(black_box(timer), now + DOWN);
            });
        });

        // All of a Backup's day: adverts heard, and the spurious wake-ups that follow from it.
        let (mut wheel, mut now) = filled(timers);
        group.bench_function(BenchmarkId::new("move-later-and-turn", timers), |b| {
            b.iter(|| {
                timer = (timer + 1) % timers;
                now += Span::from_nanos(250_000);
                wheel.set(black_box(timer), now + DOWN);
                black_box(wheel.pop_due(now));
                black_box(wheel.next_deadline())
            });
        });

        let (mut wheel, now) = filled(timers);
        group.bench_function(BenchmarkId::new("earlier-and-back", timers), |b| {
            b.iter(|| {
                timer = (timer + 1) % timers;
                wheel.set(black_box(timer), now + Span::from_millis(8));
                wheel.set(black_box(timer), now + DOWN);
            });
        });

        group.bench_function(BenchmarkId::new("all-fire-and-restart", timers), |b| {
            b.iter_batched_ref(
                || filled(timers),
                |(wheel, now)| {
                    let due = *now + DOWN + Span::from_secs(1);
                    while let Some(timer) = wheel.pop_due(due) {
                        wheel.set(timer, due + Span::from_secs(1));
                    }
                    wheel.next_deadline()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = wheel
}
criterion_main!(benches);
