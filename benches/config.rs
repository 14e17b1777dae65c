//! Reading configurations: what a virtual router costs, written out or made by a sequence, and
//! what a mistake costs.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use viprd::config::{self, MemoryFiles, Options};

const ROUTERS: u32 = 4_000;

fn sequence(routers: u32) -> String {
    format!(
        "$VI= \\\nvrrp_instance vi${{N}} {{ \\\n interface bond0.${{N}} \\\n virtual_router_id 1 \\\n \
         priority 130 \\\n virtual_ipaddress {{ \\\n 10.0.0.1/24 \\\n }} \\\n}}\n~SEQ(N,1,{routers}) $VI\n"
    )
}

fn written_out(routers: u32, priority: &str) -> String {
    let mut text = String::new();
    for n in 0..routers {
        let _ = writeln!(
            text,
            "vrrp_instance vi{n} {{\n    interface bond0.{n}\n    virtual_router_id 1\n    priority {priority}\n    \
             virtual_ipaddress {{\n        10.0.0.1/24\n    }}\n}}"
        );
    }
    text
}

fn read(text: &str) -> config::Loaded {
    let files = MemoryFiles::new().with("bench.conf", text);
    config::load(Path::new("bench.conf"), &files, &Options::default())
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    group.throughput(Throughput::Elements(u64::from(ROUTERS)));
    group.sample_size(20);
    for (name, text) in [
        ("sequence", sequence(ROUTERS)),
        ("written_out", written_out(ROUTERS, "130")),
        ("all_wrong", written_out(ROUTERS, "300")),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| read(black_box(&text))));
    }
    let model = read(&written_out(ROUTERS, "130")).model;
    group.bench_function("print", |bencher| {
        bencher.iter(|| config::print(black_box(&model), false))
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
