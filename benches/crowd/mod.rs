//! Thousands of virtual routers for the benches and for the count of instructions: engines in a
//! state, and the packets that a peer would send them.

use std::hint::black_box;
use std::net::Ipv4Addr;

use viprd::base::{
    Centis, IfIndex, Instant, LinkChange, LinkFacts, LinkId, LinkLocal, Mac, Scope, Span,
    VirtualAddress, Vrid,
};
use viprd::vrrp::{Conduct, Engine, GarpParams, Preempt, RouterParams, Transport};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication, ChecksumForm, Version};

/// When everything begins.
pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000_000);

/// Routers a link; more links are added as needed. The last link is the one all of them track.
const A_LINK: usize = 250;

/// How many links so many routers are spread over, besides the one that all of them track.
pub(crate) fn links(routers: usize) -> usize {
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
        transport: Transport::default(),
        checksum_form: ChecksumForm::Message,
        priority: 100,
        interval: Centis::DEFAULT,
        preempt: Preempt::After(Span::ZERO),
        tracked_links: Box::new([LinkId(links(routers) as u32)]),
        tracking: Default::default(),
        addresses: Box::new([VirtualAddress {
            ip: address_of(router).into(),
            prefix_len: 32,
            link: link_of(router),
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }]),
        garp: GarpParams::default(),
        conduct: Conduct::default(),
        source_mac: None,
        macvlans: Box::default(),
        accept: true,
    }
}

/// The news that a link went up or down.
pub(crate) fn change(link: u32, up: bool) -> LinkChange {
    let facts = LinkFacts {
        ifindex: IfIndex(link + 2),
        up,
        mac: Some(Mac::default()),
        mtu: 1500,
        primary_ipv4: Some(Ipv4Addr::new(10, 0, 0, 1)),
        link_local: LinkLocal::None,
    };
    LinkChange { link: LinkId(link), facts: Some(facts) }
}

/// Started routers, all Backup.
pub(crate) fn backups(routers: usize) -> Engine {
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
pub(crate) fn actives(routers: usize) -> (Engine, Instant) {
    let mut engine = backups(routers);
    let now = START + Span::from_secs(4);
    engine.on_deadlines(now, usize::MAX);
    drain(&mut engine);
    (engine, now)
}

/// Takes all wishes, as the daemon does, and counts them.
pub(crate) fn drain(engine: &mut Engine) -> u64 {
    let mut wishes = 0;
    while let Some(wish) = engine.next_action() {
        black_box(wish);
        wishes += 1;
    }
    wishes
}

/// A packet for each router, from a peer of this priority.
pub(crate) fn packets(routers: usize, priority: u8) -> Vec<(IfIndex, Vec<u8>)> {
    let packet = |router: usize| {
        let content = AdvertContent {
            version: Version::V3,
            vrid: vrid_of(router),
            priority,
            interval: Centis::DEFAULT,
            source: Ipv4Addr::new(10, 0, 0, 2).into(),
            addresses: &[address_of(router).into()],
            checksum_form: ChecksumForm::Message,
            authentication: Authentication::None,
        };
        let frame = AdvertFrame::new(&content, Mac::default());
        (IfIndex(link_of(router).0 + 2), frame.packet().to_vec())
    };
    (0..routers).map(packet).collect()
}

/// A packet arrives.
pub(crate) fn hear(engine: &mut Engine, now: Instant, (ifindex, packet): &(IfIndex, Vec<u8>)) {
    if let Ok(advert) = Advert::parse(packet) {
        engine.on_advert(now, *ifindex, &advert);
    }
}
