//! What an advert costs as bytes: to build, to patch, to read, to refuse.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use viprd::base::{Centis, Mac, Vrid};
use viprd::wire::arp::GratuitousArp;
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication, ChecksumForm, Version};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn content(version: Version, form: ChecksumForm, addresses: &[IpAddr]) -> AdvertContent<'_> {
    AdvertContent {
        version,
        vrid: Vrid::new(51).expect("not 0"),
        priority: 101,
        interval: Centis::DEFAULT,
        source: SOURCE,
        addresses,
        checksum_form: form,
        authentication: Authentication::None,
    }
}

fn addresses(count: usize) -> Vec<IpAddr> {
    (0..count).map(|n| Ipv4Addr::from(0xc0a8_0000 + n as u32).into()).collect()
}

fn wire(c: &mut Criterion) {
    let kinds = [
        ("v2", Version::V2, ChecksumForm::Message),
        ("v3", Version::V3, ChecksumForm::Message),
        ("v3-pseudo", Version::V3, ChecksumForm::PseudoHeader),
    ];
    let mut group = c.benchmark_group("wire");
    for (name, version, form) in kinds {
        for count in [1, 20] {
            let addresses = addresses(count);
            let content = content(version, form, &addresses);
            group.bench_function(BenchmarkId::new(format!("encode/{name}"), count), |b| {
                b.iter(|| AdvertFrame::new(black_box(&content), Mac::default()));
            });
            let frame = AdvertFrame::new(&content, Mac::default());
            group.bench_function(BenchmarkId::new(format!("parse/{name}"), count), |b| {
                b.iter(|| Advert::parse(black_box(frame.packet())).is_ok());
            });
        }
    }

    let one = addresses(1);
    let mut frame =
        AdvertFrame::new(&content(Version::V3, ChecksumForm::Message, &one), Mac::default());
    group.bench_function("patch-priority/same", |b| b.iter(|| frame.set_priority(black_box(101))));
    let mut priority = 0u8;
    group.bench_function("patch-priority/other", |b| {
        b.iter(|| {
            priority = priority.wrapping_add(1);
            frame.set_priority(black_box(priority));
        });
    });

    let mut broken = frame.packet().to_vec();
    broken[26] ^= 0x55;
    group.bench_function("refuse/checksum", |b| {
        b.iter(|| Advert::parse(black_box(&broken)).is_err());
    });
    broken[8] = 64;
    group.bench_function("refuse/ttl", |b| b.iter(|| Advert::parse(black_box(&broken)).is_err()));

    group.bench_function("garp", |b| {
        b.iter(|| GratuitousArp::announce(black_box(Ipv4Addr::LOCALHOST), Mac::default()));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = wire
}
criterion_main!(benches);
