//! IPv6, and unicast peers: which router an advert is for, what it may come from, and who wins.

use std::net::{IpAddr, Ipv6Addr};

use viprd::base::{Family, LinkChange, LinkLocal, RouterId, VirtualAddress};
use viprd::vrrp::{
    Action, Cause, Change, Engine, Fault, Notice, Peer, RouterParams, StateName, Transport, Unicast,
};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication};

use crate::desk::*;

const OWN_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 0);
const VIRTUAL_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);

/// The same router over IPv6.
fn params_of_ipv6() -> RouterParams {
    let mut params = params();
    params.transport.family = Family::Ipv6;
    let address = VirtualAddress { ip: VIRTUAL_IPV6.into(), ..params.addresses[0].clone() };
    params.addresses = Box::new([address]);
    params
}

/// A router of IPv6 whose interfaces have been reported, not started.
fn idle() -> Desk {
    let mut desk = Desk::idle(params_of_ipv6());
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Ready(OWN_IPV6));
    desk
}

fn started() -> Desk {
    let mut desk = idle();
    desk.engine.start(START);
    desk.wishes();
    desk
}

/// A packet for a router, from `source`: to the group, or to `peer`.
fn packet_from(source: IpAddr, priority: u8, peer: Option<IpAddr>, ttl: u8) -> Vec<u8> {
    let of_its_family = if source.is_ipv4() { VIRTUAL } else { VIRTUAL_IPV6.into() };
    let params = params();
    let content = AdvertContent {
        version: params.version,
        vrid: params.vrid,
        priority,
        interval: params.interval,
        source,
        addresses: &[of_its_family],
        checksum_form: params.checksum_form,
        authentication: Authentication::None,
    };
    let frame = match peer {
        None => AdvertFrame::new(&content, Default::default()),
        Some(peer) => AdvertFrame::to_peer(&content, peer, ttl),
    };
    frame.packet().to_vec()
}

#[test]
fn a_tentative_address_is_waited_for_and_is_no_fault() {
    let mut desk = Desk::idle(params_of_ipv6());
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Tentative);
    desk.engine.start(START);
    assert_eq!(desk.state(), StateName::Init);
    let entered = |from, to, cause| Action::Entered { router: ROUTER, from, to, cause };
    let tentative = Cause::Fault(Fault::Tentative(OWN));
    assert_eq!(desk.wishes(), [entered(StateName::Init, StateName::Init, tentative)]);

    // It goes altogether: that is a fault; it comes back as a tentative one: that is none.
    desk.link(OWN, |_| {});
    let none = Cause::Fault(Fault::NoLinkLocal(OWN));
    assert_eq!(desk.wishes(), [entered(StateName::Init, StateName::Fault, none)]);
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Tentative);
    assert_eq!(desk.wishes(), [entered(StateName::Fault, StateName::Init, tentative)]);
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Ready(OWN_IPV6));
    assert_eq!(desk.wishes(), [entered(StateName::Init, StateName::Backup, Cause::FaultEnded)]);
    assert_eq!(desk.run_for(SECOND.times(4)).len() > 2, desk.state() == StateName::Master);
    assert_eq!(desk.state(), StateName::Master);
}

#[test]
fn unicast_waits_for_a_configured_link_local_source() {
    let mut params = params_of_ipv6();
    params.transport.source = Some(OWN_IPV6.into());
    let mut multicast = Desk::idle(params.clone());
    multicast.link(OWN, |facts| facts.link_local = LinkLocal::Tentative);
    multicast.engine.start(START);
    assert_eq!(multicast.state(), StateName::Backup, "a frame needs no address of the kernel's");

    params.transport.unicast = unicast(&[HIGHER_ADDRESS], false).unicast;
    let mut desk = Desk::idle(params);
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Tentative);
    desk.engine.start(START);
    assert_eq!(desk.state(), StateName::Init);
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Ready(OWN_IPV6));
    assert_eq!(desk.state(), StateName::Backup);
    // The link was down and is back: the kernel tells of its address only when that can be used.
    desk.link(OWN, |_| {});
    desk.run_for(SECOND.times(5));
    assert_eq!(desk.state(), StateName::Fault, "nobody would hear a master that can't send");
    desk.link(OWN, |facts| facts.link_local = LinkLocal::Ready(OWN_IPV6));
    assert_eq!(desk.state(), StateName::Backup);
}

#[test]
fn an_ipv4_address_is_no_use_over_ipv6_and_the_other_way_round() {
    let mut desk = started();
    desk.link(OWN, |facts| {
        facts.primary_ipv4 = None;
        facts.link_local = LinkLocal::Ready(OWN_IPV6);
    });
    assert_eq!(desk.state(), StateName::Backup);
    desk.link(OWN, |_| {});
    assert_eq!(desk.state(), StateName::Fault);
}

/// As unsigned numbers of 128 bits, wherever they differ.
#[test]
fn of_equals_the_higher_link_local_address_wins() {
    for (theirs, wins) in [
        ("fe80::1:1", true),
        ("fe80::ffff", false),
        ("fe80::8000:0:0:0", true),
        ("fe80:0:0:1::", true),
        ("fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ("febf::", true),
    ] {
        let mut desk = started();
        desk.run_for(SECOND.times(4));
        assert_eq!(desk.state(), StateName::Master);
        desk.hear_bytes(&packet_from(theirs.parse().unwrap(), 100, None, 255));
        let expected = if wins { StateName::Backup } else { StateName::Master };
        assert_eq!(desk.state(), expected, "{theirs}");
        assert_eq!(desk.view().counters.advertisement_rcvd, 1);
    }
}

#[test]
fn its_own_adverts_are_known_by_their_address() {
    let mut desk = started();
    desk.hear_bytes(&packet_from(OWN_IPV6.into(), 200, None, 255));
    assert_eq!(desk.view().counters.own_address_rcvd, 1);
    assert_eq!(desk.view().active, None);
}

#[test]
fn the_same_vrid_of_two_families_is_two_routers() {
    let mut engine = Engine::new(vec![params(), params_of_ipv6()], 2);
    for link in [OWN, SERVICE] {
        let mut facts = facts(link);
        facts.link_local = LinkLocal::Ready(OWN_IPV6);
        engine.on_link(START, &LinkChange { link, facts: Some(facts) });
    }
    engine.start(START);
    let heard =
        |engine: &Engine| [0, 1].map(|id| engine.view(RouterId(id)).counters.advertisement_rcvd);
    for (source, expected) in [(HIGHER_ADDRESS, [1, 0]), ("fe80::9".parse().unwrap(), [1, 1])] {
        let packet = packet_from(source, 150, None, 255);
        let advert = Advert::parse(&packet).unwrap();
        engine.on_advert(START, ifindex(OWN), &advert);
        assert_eq!(heard(&engine), expected);
    }
    assert_eq!(engine.view(RouterId(0)).active, Some(HIGHER_ADDRESS));
    engine.on_change(START, Change::Remove(RouterId(0)));
    let packet = packet_from(HIGHER_ADDRESS, 150, None, 255);
    engine.on_advert(START, ifindex(OWN), &Advert::parse(&packet).unwrap());
    assert_eq!(engine.unattributed().vrid_errors, 1, "the other family's is none of its own");
}

fn unicast(peers: &[IpAddr], check_source: bool) -> Transport {
    let peer = |&ip| Peer { ip, min_ttl: 200, max_ttl: 254 };
    let peers = peers.iter().map(peer).collect();
    let unicast = Some(Unicast { peers, ttl: 255, check_source });
    Transport { unicast, ..Transport::default() }
}

#[test]
fn what_a_unicast_router_does_not_take_is_counted_once() {
    let transport = unicast(&[HIGHER_ADDRESS], true);
    for (source, peer, ttl, what) in [
        (HIGHER_ADDRESS, Some(OWN_ADDRESS), 200, "fine"),
        (HIGHER_ADDRESS, None, 255, "destination"),
        (LOWER_ADDRESS, Some(OWN_ADDRESS), 200, "peer"),
        (HIGHER_ADDRESS, Some(OWN_ADDRESS), 199, "ttl"),
        (HIGHER_ADDRESS, Some(OWN_ADDRESS), 255, "ttl"),
    ] {
        let mut desk = Desk::new(RouterParams { transport: transport.clone(), ..params() });
        desk.hear_bytes(&packet_from(source, 200, peer, ttl));
        let notice = match what {
            "destination" => {
                let destination = "224.0.0.18".parse().unwrap();
                Notice::OtherDestination { source, destination }
            }
            "peer" => Notice::Stranger { source },
            "ttl" => Notice::WrongTtl { source, ttl },
            _ => Notice::NewActive { active: source, before: None },
        };
        assert_eq!(desk.wishes(), [Action::Notice { router: ROUTER, notice }]);
        let view = desk.view();
        let counted = |name| u64::from(what == name);
        assert_eq!(view.counters.advertisement_rcvd, counted("fine"));
        assert_eq!(view.counters.destination_errors, counted("destination"));
        assert_eq!(view.counters.peer_errors, counted("peer"));
        assert_eq!(view.counters.ip_ttl_errors, counted("ttl"));
        assert_eq!(view.active.is_some(), what == "fine");
    }
}

#[test]
fn a_multicast_router_takes_no_unicast_advert() {
    let mut desk = Desk::new(params());
    desk.hear_bytes(&packet_from(HIGHER_ADDRESS, 200, Some(OWN_ADDRESS), 255));
    assert_eq!(desk.view().counters.destination_errors, 1);
    assert_eq!(desk.view().active, None);
}

#[test]
fn an_advert_to_another_group_is_counted_and_ignored() {
    let another: IpAddr = "224.0.0.99".parse().unwrap();
    for (group, destination, taken) in [
        (None, "224.0.0.18", true),
        (None, "224.0.0.99", false),
        (Some(another), "224.0.0.99", true),
        (Some(another), "224.0.0.18", false),
    ] {
        let transport = Transport { group, ..Transport::default() };
        let mut desk = Desk::new(RouterParams { transport, ..params() });
        let destination = destination.parse().unwrap();
        desk.hear_bytes(&packet_from(HIGHER_ADDRESS, 200, Some(destination), 255));
        let view = desk.view();
        assert_eq!(view.active.is_some(), taken, "{group:?} {destination}");
        assert_eq!(view.counters.advertisement_rcvd, u64::from(taken));
        assert_eq!(view.counters.destination_errors, u64::from(!taken));
    }
}

#[test]
fn two_of_one_vrid_are_told_apart_by_their_groups() {
    let another: IpAddr = "224.0.0.99".parse().unwrap();
    let other = Transport { group: Some(another), ..Transport::default() };
    let routers = vec![params(), RouterParams { transport: other, ..params() }];
    let mut engine = Engine::new(routers, 2);
    for link in [OWN, SERVICE] {
        engine.on_link(START, &LinkChange { link, facts: Some(facts(link)) });
    }
    engine.start(START);
    let heard =
        |engine: &Engine| [0, 1].map(|id| engine.view(RouterId(id)).counters.advertisement_rcvd);
    for (destination, expected) in [(another, [0, 1]), ("224.0.0.18".parse().unwrap(), [1, 1])] {
        let packet = packet_from(HIGHER_ADDRESS, 150, Some(destination), 255);
        engine.on_advert(START, ifindex(OWN), &Advert::parse(&packet).unwrap());
        assert_eq!(heard(&engine), expected);
    }
}

#[test]
fn without_peers_it_can_not_run_and_with_them_it_needs_no_ethernet() {
    let mut desk = Desk::new(RouterParams { transport: unicast(&[], false), ..params() });
    assert_eq!(desk.state(), StateName::Fault);
    assert_eq!(desk.view().cause, Cause::Fault(Fault::NoPeers));
    let with = RouterParams { transport: unicast(&[HIGHER_ADDRESS], false), ..params() };
    desk.wishes();
    desk.engine.on_change(START, Change::Alter(ROUTER, with));
    assert_eq!(desk.state(), StateName::Backup);
    assert!(desk.wishes().contains(&Action::AnnounceSource { router: ROUTER }));
    desk.link(OWN, |facts| facts.mac = None);
    desk.run_for(SECOND.times(4));
    assert_eq!(desk.state(), StateName::Master);
    desk.wishes();
    desk.engine.stop(desk.now);
    assert_eq!(desk.wishes()[0], Action::Advertise { router: ROUTER, priority: 0 });
}

/// A configured source is compared with instead of the interface's address, which it does not need.
#[test]
fn a_configured_source_stands_for_the_primary_address() {
    let mut params = params();
    params.transport.source = Some(HIGHER_ADDRESS);
    let mut desk = Desk::new(params);
    desk.link(OWN, |facts| facts.primary_ipv4 = None);
    desk.run_for(SECOND.times(4));
    assert_eq!(desk.state(), StateName::Master);
    assert_eq!(desk.view().active, Some(HIGHER_ADDRESS));
    desk.hear(|advert| advert.source = LOWER_ADDRESS);
    assert_eq!(desk.state(), StateName::Master);
    desk.hear(|advert| advert.source = HIGHER_ADDRESS);
    assert_eq!(desk.view().counters.own_address_rcvd, 1);
    desk.hear(|advert| advert.source = [10, 0, 0, 7].into());
    assert_eq!(desk.state(), StateName::Backup);
}

/// One vrid on one interface: a multicast router, and two unicast ones with peers of their own.
#[test]
fn routers_with_one_vrid_are_told_apart_by_their_peers() {
    let (one, two) = ([10, 0, 0, 21].into(), [10, 0, 0, 22].into());
    let with = |transport| RouterParams { transport, ..params() };
    let all = vec![params(), with(unicast(&[one], false)), with(unicast(&[two], false))];
    let mut engine = Engine::new(all, 2);
    for link in [OWN, SERVICE] {
        engine.on_link(START, &LinkChange { link, facts: Some(facts(link)) });
    }
    engine.start(START);
    let mut heard = [0; 3];
    let mut hear = |engine: &mut Engine, source, peer, by: Option<usize>| {
        let packet = packet_from(source, 150, peer, 255);
        engine.on_advert(START, ifindex(OWN), &Advert::parse(&packet).unwrap());
        if let Some(by) = by {
            heard[by] += 1;
        }
        for (id, heard) in heard.iter().enumerate() {
            if let Some(view) = engine.get(RouterId(id as u32)) {
                assert_eq!(view.counters.advertisement_rcvd, *heard, "{id}");
            }
        }
    };
    hear(&mut engine, HIGHER_ADDRESS, None, Some(0));
    hear(&mut engine, one, Some(OWN_ADDRESS), Some(1));
    hear(&mut engine, two, Some(OWN_ADDRESS), Some(2));
    engine.on_change(START, Change::Remove(RouterId(0)));
    hear(&mut engine, two, Some(OWN_ADDRESS), Some(2));
    hear(&mut engine, one, Some(OWN_ADDRESS), Some(1));
    engine.on_change(START, Change::Remove(RouterId(1)));
    hear(&mut engine, two, Some(OWN_ADDRESS), Some(2));
    engine.on_change(START, Change::Remove(RouterId(2)));
    hear(&mut engine, two, Some(OWN_ADDRESS), None);
    assert_eq!(engine.unattributed().vrid_errors, 1);
}
