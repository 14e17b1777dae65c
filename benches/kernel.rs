//! What the kernel's side costs: notifications read, addresses written into requests, answers
//! matched. No socket is involved: bytes in, bytes out.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use viprd::base::{LinkId, LinkNames, Scope, VirtualAddress};
use viprd::kernel::{Fact, Host, Socket};

const ROUTERS: u32 = 4_000;
/// The one interface's index.
const INDEX: u32 = 7;
const ACK: u16 = 4; // NLM_F_ACK, netlink(7)
const DUMP: u16 = 0x300; // NLM_F_DUMP

fn bytes(message: RouteNetlinkMessage, seq: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.sequence_number = seq;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// `NLMSG_DONE`, or with a request's header `NLMSG_ERROR` without an error: an acknowledgement.
fn ending(seq: u32, acknowledged: Option<&[u8]>) -> Vec<u8> {
    let header = acknowledged.unwrap_or_default();
    let mut bytes = (20 + header.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(if acknowledged.is_some() { 2u16 } else { 3 }.to_ne_bytes());
    bytes.extend(0u16.to_ne_bytes());
    bytes.extend(seq.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(header);
    bytes
}

/// The headers (16 bytes) of the messages in a request.
fn headers(mut request: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(header) = request.get(..16) {
        found.push(header);
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        request = request.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn seq(header: &[u8]) -> u32 {
    u32::from_ne_bytes([header[8], header[9], header[10], header[11]])
}

fn link() -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = INDEX;
    link.header.link_layer_type = LinkLayerType::Ether;
    link.header.flags = LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp;
    link.attributes = vec![
        LinkAttribute::IfName("eth0".into()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
    ];
    RouteNetlinkMessage::NewLink(link)
}

fn address(ip: Ipv4Addr) -> RouteNetlinkMessage {
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet;
    address.header.prefix_len = 24;
    address.header.index = INDEX;
    address.attributes = vec![
        AddressAttribute::Address(ip.into()),
        AddressAttribute::Local(ip.into()),
        AddressAttribute::Label("eth0".into()),
    ];
    RouteNetlinkMessage::NewAddress(address)
}

fn virtual_address(router: u32) -> VirtualAddress {
    VirtualAddress {
        ip: Ipv4Addr::from(0x0a64_0000 + router).into(),
        prefix_len: 32,
        link: LinkId(0),
        broadcast: None,
        label: None,
        scope: Scope::GLOBAL,
    }
}

/// Answers all requests as a kernel does that has one interface and no objection.
fn answer(host: &mut Host, buffer: &mut [u8]) -> u32 {
    let mut settled = 0;
    while let Some(request) = host.next_request(buffer) {
        for header in headers(&buffer[..request.len]) {
            let flags = u16::from_ne_bytes([header[6], header[7]]);
            match request.to {
                Socket::Command if flags & DUMP == DUMP => {
                    host.on_command(&bytes(link(), seq(header)));
                    host.on_command(&ending(seq(header), None));
                }
                Socket::Monitor => host.on_monitor(&ending(seq(header), Some(header))),
                Socket::Command if flags & ACK != 0 => {
                    host.on_command(&ending(seq(header), Some(header)));
                }
                Socket::Command => {}
            }
        }
        while let Some(fact) = host.next_fact() {
            settled += u32::from(matches!(fact, Fact::Set { .. }));
        }
    }
    settled
}

/// One that knows its interface.
fn host(buffer: &mut [u8]) -> Host {
    let mut names = LinkNames::default();
    names.intern("eth0");
    let mut host = Host::new(&names);
    let all: Vec<_> = (0..ROUTERS).map(virtual_address).collect();
    host.configure(&all);
    answer(&mut host, buffer);
    assert!(host.is_synchronised());
    host
}

fn kernel(c: &mut Criterion) {
    let mut buffer = vec![0; Host::REQUEST_BUFFER];
    let mut group = c.benchmark_group("kernel");

    let (foreign, mut listening) = (bytes(address([192, 0, 2, 9].into()), 0), host(&mut buffer));
    group.throughput(Throughput::Elements(1));
    group.bench_function("notification-of-a-foreign-address", |b| {
        b.iter(|| {
            listening.on_monitor(black_box(&foreign));
            listening.next_fact()
        });
    });

    group.throughput(Throughput::Elements(ROUTERS.into()));
    group.sample_size(10);
    group.bench_function("4000-addresses-set-and-acknowledged", |b| {
        let mut requests = vec![0; Host::REQUEST_BUFFER];
        b.iter_batched_ref(
            || host(&mut buffer),
            |host| {
                for router in 0..ROUTERS {
                    host.set(router, [&virtual_address(router)]);
                }
                assert_eq!(answer(host, &mut requests), ROUTERS);
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
        .measurement_time(Duration::from_secs(1));
    targets = kernel
}
criterion_main!(benches);
