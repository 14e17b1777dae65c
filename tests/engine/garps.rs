//! Gratuitous ARPs: how often and when.

use viprd::base::{Instant, LinkId, Macvlan, Span, VirtualAddress};
use viprd::vrrp::{Action, Change, GarpParams, RouterParams};

use crate::desk::*;

/// When (in ms since the addresses were set) and how many, until `seconds` have passed.
fn announcements(log: &[(Instant, Action)], since: Instant) -> Vec<(u64, u32)> {
    log.iter()
        .filter_map(|(at, wish)| match wish {
            Action::Announce { repeat, .. } => Some((at.since(since).as_micros() / 1_000, *repeat)),
            _ => None,
        })
        .collect()
}

/// Becomes Active, sets its addresses, hears a rival at the given times (in ms), and is watched
/// for `seconds`.
fn watch(garp: GarpParams, rivals: &[u64], seconds: u64) -> Vec<(u64, u32)> {
    let mut desk = Desk::new(RouterParams { garp, ..params() });
    desk.run_until(START + Span::from_secs(4));
    let set = desk.now;
    desk.engine.on_addresses_set(set, ROUTER);
    let mut log: Vec<_> = desk.wishes().into_iter().map(|wish| (set, wish)).collect();
    for &rival in rivals {
        log.extend(desk.run_until(set + Span::from_millis(rival)));
        desk.hear_priority(50);
        let now = desk.now;
        log.extend(desk.wishes().into_iter().map(|wish| (now, wish)));
    }
    log.extend(desk.run_until(set + Span::from_secs(seconds)));
    announcements(&log, set)
}

#[test]
fn the_two_sets_of_keepalived() {
    assert_eq!(watch(GarpParams::default(), &[], 60), [(0, 5), (5_000, 5)]);
}

#[test]
fn everything_can_be_set() {
    let garp = GarpParams {
        repeat: 2,
        delay: Span::from_millis(1_500),
        refresh: Span::from_secs(10),
        refresh_repeat: 3,
        ..GarpParams::default()
    };
    assert_eq!(watch(garp, &[], 32), [(0, 2), (1_500, 2), (11_500, 3), (21_500, 3), (31_500, 3)]);
    let off = GarpParams { repeat: 0, ..garp };
    assert_eq!(watch(off, &[], 12), [(11_500, 3)]);
    let no_second = GarpParams { delay: Span::ZERO, ..garp };
    assert_eq!(watch(no_second, &[], 21), [(0, 2), (10_000, 3), (20_000, 3)]);
    let single = GarpParams { delay: Span::ZERO, refresh: Span::ZERO, ..garp };
    assert_eq!(watch(single, &[], 60), [(0, 2)]);
}

/// Addresses on interfaces that carry no adverts are announced for the switches there, as long as it
/// is Active and by a reload otherwise.
#[test]
fn extra_interfaces_are_announced_on() {
    let garp = GarpParams { extra: Span::from_secs(10), ..GarpParams::default() };
    let with = |garp| RouterParams { garp, ..params() };
    let mut desk = Desk::new(with(garp));
    desk.run_until(START + Span::from_secs(4));
    let set = desk.now;
    desk.engine.on_addresses_set(set, ROUTER);
    let times = |log: Vec<(Instant, Action)>| -> Vec<u64> {
        let extra = Action::AnnounceExtra { router: ROUTER };
        let log = log.into_iter().filter(|(_, wish)| *wish == extra);
        log.map(|(at, _)| at.since(set).as_micros() / 1_000).collect()
    };
    assert_eq!(times(desk.run_until(set + Span::from_secs(35))), [10_000, 20_000, 30_000]);
    let often = with(GarpParams { extra: Span::from_secs(3), ..garp });
    desk.engine.on_change(desk.now, Change::Alter(ROUTER, often));
    assert_eq!(times(desk.run_until(set + Span::from_secs(42))), [38_000, 41_000]);
    let never = with(GarpParams::default());
    desk.engine.on_change(desk.now, Change::Alter(ROUTER, never));
    assert_eq!(times(desk.run_until(set + Span::from_secs(60))), [0; 0]);
    desk.engine.on_change(desk.now, Change::Alter(ROUTER, with(garp)));
    desk.hear_priority(200);
    assert_eq!(times(desk.run_until(set + Span::from_secs(80))), [0; 0], "it is no more Active");
}

#[test]
fn which_interfaces_are_extra() {
    let mac = Macvlan::virtual_mac(false, 51);
    let macvlan = |link, base| Macvlan { link: LinkId(link), base, mac, ipv6: false, group: None };
    let address = |link| VirtualAddress { link, ..params().addresses[0].clone() };
    let (own, other) = (LinkId(10), LinkId(11));
    for (macvlans, source_mac, all, extra) in [
        // Without virtual MACs: everything but its own interface, if all are meant.
        (vec![], None, false, vec![]),
        (vec![], None, true, vec![SERVICE]),
        // The macvlan on its own interface is shown by its adverts, another one is not.
        (vec![macvlan(10, OWN), macvlan(11, SERVICE)], Some(mac), false, vec![other]),
        (vec![macvlan(10, OWN), macvlan(11, SERVICE)], Some(mac), true, vec![OWN, SERVICE, other]),
        // vmac_xmit_base: the adverts show the interface below.
        (vec![macvlan(10, OWN)], None, false, vec![own]),
    ] {
        let links = [OWN, SERVICE, own, other];
        let there = |link: &LinkId| link.0 < 10 || macvlans.iter().any(|it| it.link == *link);
        let params = RouterParams {
            addresses: links.into_iter().filter(there).map(address).collect(),
            garp: GarpParams { extra_all: all, ..GarpParams::default() },
            macvlans: macvlans.clone().into(),
            source_mac,
            ..params()
        };
        let found: Vec<_> = params.extra_addresses().map(|address| address.link).collect();
        assert_eq!(found, extra, "{macvlans:?} {all}");
    }
}

#[test]
fn a_rival_is_announced_over_with_a_second_set() {
    let garp = GarpParams {
        lower_priority_repeat: 3,
        lower_priority_delay: Span::from_secs(2),
        ..GarpParams::default()
    };
    let sets = [(0, 5), (5_000, 5), (10_000, 3), (12_000, 3)];
    assert_eq!(watch(garp, &[10_000], 60), sets);
    // No second set of these.
    let garp = GarpParams { lower_priority_delay: Span::ZERO, ..garp };
    assert_eq!(watch(garp, &[10_000], 60), sets[..3]);
    // None at all.
    let garp = GarpParams { lower_priority_repeat: 0, ..garp };
    assert_eq!(watch(garp, &[10_000], 60), sets[..2]);
}

/// Every losing advert is answered, but with gratuitous ARPs only once a second.
#[test]
fn announcing_over_a_rival_is_limited() {
    let mut desk = Desk::active(params());
    let mut adverts = 0;
    let mut announced = 0;
    for _ in 0..1_000 {
        desk.hear_priority(50);
        for wish in desk.wishes() {
            adverts += usize::from(matches!(wish, Action::Advertise { .. }));
            announced += usize::from(matches!(wish, Action::Announce { .. }));
        }
        desk.run_for(Span::from_millis(3));
        desk.wishes();
    }
    assert_eq!(adverts, 1_000);
    assert_eq!(announced, 3);
}

/// A rival heard before the second set neither delays nor replaces it.
#[test]
fn a_rival_does_not_cost_the_second_set() {
    for (lower_priority_repeat, lower_priority_delay) in [(0, 5), (0, 0), (1, 0), (1, 5)] {
        let garp = GarpParams {
            lower_priority_repeat,
            lower_priority_delay: Span::from_secs(lower_priority_delay),
            ..GarpParams::default()
        };
        let sets = watch(garp, &[2_000, 2_500], 60);
        assert!(sets.contains(&(5_000, 5)), "{garp:?}: {sets:?}");
    }
}

/// Nothing is announced before the addresses are there, or after they are gone.
#[test]
fn only_addresses_that_are_set_are_announced() {
    let mut desk = Desk::new(RouterParams { garp: GarpParams::default(), ..params() });
    let announces = |wishes: &[Action]| {
        wishes.iter().filter(|wish| matches!(wish, Action::Announce { .. })).count()
    };
    desk.engine.on_addresses_set(desk.now, ROUTER);
    let log = desk.run_for(SECOND.times(4));
    desk.hear_priority(50);
    assert_eq!(announcements(&log, START), []);
    assert_eq!(announces(&desk.wishes()), 0, "Active, but the kernel has not said so yet");
    desk.engine.on_addresses_set(desk.now, ROUTER);
    assert_eq!(announces(&desk.wishes()), 1);
    desk.hear_priority(200);
    let since = desk.now;
    let log = desk.run_for(SECOND.times(2));
    assert_eq!(announcements(&log, since), [], "the second set dies with the state");
    desk.hear_priority(200);
    desk.engine.on_addresses_set(desk.now, ROUTER);
    assert_eq!(announces(&desk.wishes()), 0, "too late");
}
