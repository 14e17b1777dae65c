//! Interfaces come, go and change: FAULT, and the way back.

use std::net::Ipv4Addr;

use viprd::base::{IfIndex, Instant, LinkChange, LinkFacts, LinkId, Macvlan};
use viprd::vrrp::{Action, Cause, Engine, Fault, RouterParams, StateName};
use viprd::wire::Advert;

use crate::desk::*;

type Change = fn(&mut LinkFacts);

/// What happens to which interface, the fault it is, and whether priority 0 can still be sent.
const FAULTS: &[(LinkId, Option<Change>, Fault, bool)] = &[
    (SERVICE, Some(|facts| facts.up = false), Fault::LinkDown(SERVICE), true),
    (SERVICE, None, Fault::LinkAbsent(SERVICE), true),
    (OWN, Some(|facts| facts.up = false), Fault::LinkDown(OWN), false),
    (OWN, None, Fault::LinkAbsent(OWN), false),
    (OWN, Some(|facts| facts.primary_ipv4 = None), Fault::NoPrimaryAddress(OWN), true),
    (OWN, Some(|facts| facts.mac = None), Fault::NotEthernet(OWN), false),
];

fn strike(desk: &mut Desk, link: LinkId, change: Option<Change>) {
    match change {
        Some(change) => desk.link(link, change),
        None => desk.link_is_gone(link),
    }
}

#[test]
fn an_active_in_fault_says_so_while_it_can() {
    for &(link, change, fault, speaks) in FAULTS {
        let mut desk = Desk::active(params());
        strike(&mut desk, link, change);
        let mut expected = vec![
            Action::Advertise { router: ROUTER, priority: 0 },
            Action::Entered {
                router: ROUTER,
                from: StateName::Master,
                to: StateName::Fault,
                cause: Cause::Fault(fault),
            },
            Action::UnsetAddresses { router: ROUTER },
        ];
        if !speaks {
            expected.remove(0);
        }
        assert_eq!(desk.deeds(), expected);
        assert_eq!(desk.view().deadline, Instant::NEVER);
        assert_eq!(desk.run_for(SECOND.times(30)), [], "nothing happens in FAULT");
    }
}

#[test]
fn a_backup_in_fault_is_silent_and_comes_back_with_a_full_timer() {
    for &(link, change, fault, _) in FAULTS {
        let mut desk = Desk::new(params());
        desk.run_for(SECOND);
        strike(&mut desk, link, change);
        let cause = Cause::Fault(fault);
        let entered = |from, to, cause| Action::Entered { router: ROUTER, from, to, cause };
        assert_eq!(desk.deeds(), [entered(StateName::Backup, StateName::Fault, cause)]);
        desk.run_for(SECOND.times(10));
        // Again: no news.
        strike(&mut desk, link, change);
        assert_eq!(desk.deeds(), []);
        desk.link(link, |_| {});
        let back = entered(StateName::Fault, StateName::Backup, Cause::FaultEnded);
        assert_eq!(desk.deeds(), [back]);
        assert_eq!(desk.view().deadline.since(desk.now).as_micros(), 3_609_375);
    }
}

#[test]
fn the_owner_is_active_as_soon_as_its_fault_ends() {
    let mut desk = Desk::active(RouterParams { priority: 255, ..params() });
    desk.link(OWN, |facts| facts.up = false);
    desk.deeds();
    desk.link(OWN, |_| {});
    assert_eq!(desk.state(), StateName::Master);
    assert_eq!(desk.deeds()[0], Action::Advertise { router: ROUTER, priority: 255 });
}

/// A fault that begins before the start, for each kind; it ends when the interface is right.
#[test]
fn a_fault_at_start_is_said_and_ends() {
    for &(link, change, fault, _) in FAULTS {
        let mut desk = Desk::idle(params());
        strike(&mut desk, link, change);
        assert_eq!(desk.deeds(), []);
        desk.engine.start(START);
        let entered = Action::Entered {
            router: ROUTER,
            from: StateName::Init,
            to: StateName::Fault,
            cause: Cause::Fault(fault),
        };
        assert_eq!(desk.deeds(), [entered]);
        desk.link(link, |_| {});
        assert_eq!(desk.state(), StateName::Backup);
    }
}

/// Interfaces of which nothing has been heard are absent.
#[test]
fn nothing_known_is_absent() {
    let mut engine = Engine::new(vec![params()], 2);
    engine.start(START);
    assert_eq!(engine.view(ROUTER).cause, Cause::Fault(Fault::LinkAbsent(OWN)));
}

/// Two faults: it takes both ends, and the view says which one is left.
#[test]
fn every_fault_has_to_end() {
    let mut desk = Desk::active(params());
    desk.link(OWN, |facts| facts.up = false);
    desk.link_is_gone(SERVICE);
    assert_eq!(desk.view().cause, Cause::Fault(Fault::LinkDown(OWN)), "its own link first");
    desk.deeds();
    desk.link(OWN, |_| {});
    assert_eq!(desk.state(), StateName::Fault);
    assert_eq!(desk.view().cause, Cause::Fault(Fault::LinkAbsent(SERVICE)));
    assert_eq!(desk.deeds(), [], "still FAULT: no news");
    desk.link(SERVICE, |_| {});
    assert_eq!(desk.state(), StateName::Backup);
}

/// Deleted and made again: adverts are heard by the new index, not by the old one.
#[test]
fn another_index_is_another_interface() {
    for seen_gone in [true, false] {
        let mut desk = Desk::active(params());
        if seen_gone {
            desk.link_is_gone(OWN);
        }
        desk.link(OWN, |facts| facts.ifindex = IfIndex(77));
        let states: Vec<(StateName, StateName)> = desk
            .deeds()
            .into_iter()
            .filter_map(|wish| match wish {
                Action::Entered { from, to, .. } => Some((from, to)),
                Action::Advertise { priority, .. } => {
                    panic!("priority {priority} on an interface that is gone")
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            states,
            [(StateName::Master, StateName::Fault), (StateName::Fault, StateName::Backup)]
        );
        let rcvd = |desk: &Desk| desk.view().counters.advertisement_rcvd;
        desk.hear_priority(200); // by the old index
        assert_eq!((rcvd(&desk), desk.engine.unattributed().vrid_errors), (0, 1));
        let packet = packet(&params(), |_| {});
        let advert = viprd::wire::Advert::parse(&packet).unwrap();
        desk.engine.on_advert(desk.now, IfIndex(77), &advert);
        assert_eq!(rcvd(&desk), 1);
    }
}

/// Two interfaces swap names: each report moves one index, in whatever order they come.
#[test]
fn an_index_can_move_from_one_name_to_another() {
    for order in [[OWN, SERVICE], [SERVICE, OWN]] {
        let there = RouterParams { link: SERVICE, addresses: Box::default(), ..params() };
        let mut engine = Engine::new(vec![params(), there], 2);
        let report = |engine: &mut Engine, link, ifindex| {
            let primary_ipv4 = Some(OWN_IPV4);
            let facts = LinkFacts { ifindex, primary_ipv4, ..facts(link) };
            engine.on_link(START, &LinkChange { link, facts: Some(facts) });
        };
        report(&mut engine, OWN, ifindex(OWN));
        report(&mut engine, SERVICE, ifindex(SERVICE));
        engine.start(START);
        for link in order {
            report(&mut engine, link, ifindex(if link == OWN { SERVICE } else { OWN }));
        }
        let packet = packet(&params(), |_| {});
        let advert = viprd::wire::Advert::parse(&packet).unwrap();
        for (by, heard) in [(SERVICE, [1, 0]), (OWN, [1, 1])] {
            engine.on_advert(START, ifindex(by), &advert);
            let counts: Vec<u64> =
                engine.views().map(|view| view.counters.advertisement_rcvd).collect();
            assert_eq!(counts, heard, "{order:?}");
        }
    }
}

/// What does not matter to VRRP does not matter.
#[test]
fn another_mac_mtu_or_address_is_no_fault() {
    let mut desk = Desk::active(params());
    desk.link(OWN, |facts| {
        facts.mtu = 9_000;
        facts.mac = Some(viprd::base::Mac([2; 6]));
        facts.primary_ipv4 = Some(LOWER_IPV4);
    });
    desk.link(SERVICE, |facts| facts.primary_ipv4 = Some(Ipv4Addr::new(10, 0, 0, 6)));
    assert_eq!(desk.deeds(), []);
    assert_eq!(desk.state(), StateName::Master);
    // From now on the new address decides ties.
    desk.hear(|advert| advert.source = OWN_ADDRESS);
    assert_eq!(desk.state(), StateName::Backup);
}

/// A tracked interface without an address of its own: its addresses live elsewhere.
#[test]
fn a_tracked_interface_counts_too() {
    let mut with = params();
    with.tracked_links = Box::new([SERVICE]);
    for address in &mut with.addresses {
        address.link = OWN;
    }
    let mut desk = Desk::active(with.clone());
    desk.link(SERVICE, |facts| facts.up = false);
    assert_eq!(desk.state(), StateName::Fault);

    with.tracked_links = Box::default();
    let mut desk = Desk::active(with);
    desk.link(SERVICE, |facts| facts.up = false);
    assert_eq!(desk.state(), StateName::Master, "nothing depends on it");
}

/// A macvlan of its own is an interface that it can't run without, also if it has no address
/// there; adverts that arrive by it are heard.
#[test]
fn a_macvlan_is_needed_and_hears() {
    let mac = Macvlan::virtual_mac(false, 51);
    let macvlan = Macvlan { link: SERVICE, base: OWN, mac, ipv6: false, group: None };
    let with =
        RouterParams { macvlans: Box::new([macvlan]), addresses: Box::default(), ..params() };
    let mut desk = Desk::new(with.clone());
    let advert = packet(&with, |_| {});
    desk.engine.on_advert(desk.now, ifindex(SERVICE), &Advert::parse(&advert).unwrap());
    assert_eq!(desk.view().counters.advertisement_rcvd, 1);
    assert_eq!(desk.engine.unattributed().vrid_errors, 0);
    desk.deeds();
    desk.link_is_gone(SERVICE);
    let cause = Cause::Fault(Fault::LinkAbsent(SERVICE));
    let (from, to) = (StateName::Backup, StateName::Fault);
    assert_eq!(desk.deeds(), [Action::Entered { router: ROUTER, from, to, cause }]);

    // With another macvlan it would be another router.
    assert!(with.can_become(&with.clone()) && !with.can_become(&params()));
    let quiet = RouterParams { source_mac: Some(mac), accept: false, ..with.clone() };
    assert!(with.can_become(&quiet));
}
