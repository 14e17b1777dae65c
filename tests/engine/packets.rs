//! Each check of a received packet: exactly one counter moves, and nothing else.

use std::net::{IpAddr, Ipv4Addr};

use viprd::base::{Centis, IfIndex, LinkChange, Vrid};
use viprd::vrrp::{
    Action, Engine, Notice, RouterCounters, RouterParams, State, StateName, UnattributedCounters,
};
use viprd::wire::checksum::Sum;
use viprd::wire::{Advert, ChecksumForm, Refusal, Refused, Version};

use crate::desk::*;

/// Where the message begins in a packet.
const MESSAGE: usize = 20;

type Broken = fn(&mut Vec<u8>);
type Counted = fn(&mut RouterCounters, &mut UnattributedCounters);

/// A counter of the router, or one that belongs to no router.
macro_rules! router {
    ($name:ident) => {
        |router, _| router.$name += 1
    };
}
macro_rules! unattributed {
    ($name:ident) => {
        |_, unattributed| unattributed.$name += 1
    };
}

/// What is refused by every router whatever its version: the check of RFC 9568 section 7.1, what
/// is done to a good advert, and who counts it.
const REFUSED: &[(&str, Broken, Counted)] = &[
    ("no IP packet", |packet| packet.truncate(19), unattributed!(not_vrrp_pkts_rcvd)),
    ("cut off", |packet| packet.truncate(packet.len() - 1), unattributed!(not_vrrp_pkts_rcvd)),
    ("another protocol", |packet| packet[9] = 17, unattributed!(not_vrrp_pkts_rcvd)),
    ("IPv6 in disguise", |packet| packet[0] = 0x65, unattributed!(not_vrrp_pkts_rcvd)),
    ("TTL 254", |packet| packet[8] = 254, router!(ip_ttl_errors)),
    ("TTL 1", |packet| packet[8] = 1, router!(ip_ttl_errors)),
    ("TTL 0", |packet| packet[8] = 0, router!(ip_ttl_errors)),
    (
        "TTL 254 for nobody",
        |packet| {
            packet[8] = 254;
            packet[MESSAGE + 1] = 52;
        },
        unattributed!(ip_ttl_errors),
    ),
    ("version 1", |packet| packet[MESSAGE] = 0x11, router!(version_errors)),
    ("version 4", |packet| packet[MESSAGE] = 0x41, router!(version_errors)),
    (
        "version 15 for nobody",
        |packet| {
            packet[MESSAGE] = 0xf1;
            packet[MESSAGE + 1] = 52;
        },
        unattributed!(version_errors),
    ),
    ("type 0", |packet| packet[MESSAGE] &= 0xf0, router!(invalid_type_pkts_rcvd)),
    ("type 2", |packet| packet[MESSAGE] ^= 3, router!(invalid_type_pkts_rcvd)),
    (
        "type 15 for nobody",
        |packet| {
            packet[MESSAGE] |= 0x0f;
            packet[MESSAGE + 1] = 52;
        },
        unattributed!(invalid_type_pkts_rcvd),
    ),
    ("no message", |packet| shorten(packet, 0), unattributed!(packet_length_errors)),
    ("one byte", |packet| shorten(packet, 1), unattributed!(packet_length_errors)),
    ("seven bytes", |packet| shorten(packet, 7), router!(packet_length_errors)),
    ("no room for its address", |packet| shorten(packet, 11), router!(packet_length_errors)),
    ("255 addresses claimed", |packet| packet[MESSAGE + 3] = 255, router!(packet_length_errors)),
    (
        "255 claimed for nobody",
        |packet| {
            packet[MESSAGE + 1] = 52;
            packet[MESSAGE + 3] = 255;
        },
        unattributed!(packet_length_errors),
    ),
    ("checksum", |packet| packet[MESSAGE + 6] ^= 0x10, router!(checksum_errors)),
    ("a changed priority", |packet| packet[MESSAGE + 2] ^= 1, router!(checksum_errors)),
    ("checksum for nobody", |packet| packet[MESSAGE + 1] = 52, unattributed!(checksum_errors)),
    ("vrid 0", |packet| rewrite(packet, 1, 0), unattributed!(vrid_errors)),
    ("vrid 52", |packet| rewrite(packet, 1, 52), unattributed!(vrid_errors)),
    ("vrid 255", |packet| rewrite(packet, 1, 255), unattributed!(vrid_errors)),
    (
        "our own address",
        |packet| packet[12..16].copy_from_slice(&OWN_IPV4.octets()),
        router!(own_address_rcvd),
    ),
    ("interval 0", |packet| rewrite(packet, 5, 0), router!(interval_errors)),
    ("no addresses", |packet| rewrite(packet, 3, 0), router!(packet_length_errors)),
];

/// What only v2 refuses.
const REFUSED_V2: &[(&str, Broken, Counted)] = &[
    ("the other version", |packet| rewrite(packet, 0, 0x31), router!(version_errors)),
    ("another interval", |packet| rewrite(packet, 5, 2), router!(interval_errors)),
    ("simple text", |packet| rewrite(packet, 4, 1), router!(auth_type_mismatch)),
    ("authentication header", |packet| rewrite(packet, 4, 2), router!(auth_type_mismatch)),
    (
        "no room for authentication data",
        |packet| shorten(packet, 19),
        router!(packet_length_errors),
    ),
];

#[test]
fn each_refusal_moves_one_counter_and_nothing_else() {
    for version in [Version::V2, Version::V3] {
        let params = || RouterParams { version, ..params() };
        let only_v2: &[_] = if version == Version::V2 { REFUSED_V2 } else { &[] };
        for &(what, breaking, counted) in REFUSED.iter().chain(only_v2) {
            let mut in_fault = Desk::active(params());
            in_fault.link(SERVICE, |facts| facts.up = false);
            in_fault.wishes();
            let desks = [Desk::new(params()), Desk::active(params()), in_fault];
            for mut desk in desks {
                let state = *desk.view().state;
                let what = format!("{what}, {version:?} in {}", state.name().as_str());
                let (mut router, mut unattributed) =
                    (*desk.view().counters, *desk.engine.unattributed());
                let deadline = desk.view().deadline;

                // Refused it must be although it comes from above.
                let mut packet = packet(&params(), |advert| advert.priority = 200);
                breaking(&mut packet);
                desk.hear_bytes(&packet);

                counted(&mut router, &mut unattributed);
                assert_eq!(*desk.view().counters, router, "{what}");
                assert_eq!(*desk.engine.unattributed(), unattributed, "{what}");
                assert_eq!((*desk.view().state, desk.view().deadline), (state, deadline), "{what}");
                assert_eq!(desk.deeds(), [], "{what}");
            }
        }
    }
}

/// v3 takes a v2 advert for the wrong version, not for a mismatched interval.
#[test]
fn v3_refuses_v2() {
    let mut desk = Desk::new(params());
    let before = *desk.view().counters;
    desk.hear(|advert| advert.version = Version::V2);
    assert_eq!(
        *desk.view().counters,
        RouterCounters { version_errors: before.version_errors + 1, ..before }
    );
    assert_eq!(
        desk.wishes(),
        [Action::Notice {
            router: ROUTER,
            notice: Notice::OtherVersion { source: HIGHER_ADDRESS }
        }]
    );
}

#[test]
fn the_order_of_the_checks_is_the_standards() {
    // Everything is wrong: only what is checked first counts.
    let mut packet = packet(&params(), |_| {});
    let steps: [(Broken, Counted); 5] = [
        (|packet| packet[8] = 3, router!(ip_ttl_errors)),
        (|packet| packet[8] = 255, router!(version_errors)),
        (|packet| packet[MESSAGE] = 0x35, router!(invalid_type_pkts_rcvd)),
        (|packet| packet[MESSAGE] = 0x31, router!(packet_length_errors)),
        (|packet| packet[MESSAGE + 3] = 1, router!(checksum_errors)),
    ];
    packet[MESSAGE] = 0x75;
    packet[MESSAGE + 3] = 77;
    packet[MESSAGE + 7] ^= 0xff;
    let mut desk = Desk::new(params());
    let (mut router, mut unattributed) = (*desk.view().counters, *desk.engine.unattributed());
    for (n, (mend, counted)) in steps.into_iter().enumerate() {
        mend(&mut packet);
        desk.hear_bytes(&packet);
        counted(&mut router, &mut unattributed);
        assert_eq!(*desk.view().counters, router, "step {n}");
    }
}

#[test]
fn v3_learns_another_interval_and_counts_it() {
    let mut desk = Desk::new(params());
    let before = *desk.view().counters;
    desk.hear(|advert| advert.interval = Centis::new(250).unwrap());
    let counted = RouterCounters {
        advertisement_rcvd: before.advertisement_rcvd + 1,
        interval_errors: before.interval_errors + 1,
        ..before
    };
    assert_eq!(*desk.view().counters, counted);
    let State::Backup(backup) = desk.view().state else { panic!("{:?}", desk.view()) };
    assert_eq!(backup.active_interval.get(), 250);
    assert_eq!(backup.active, Some((HIGHER_ADDRESS, 100)));
}

#[test]
fn other_addresses_are_counted_and_kept() {
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 122, 51));
    const LISTS: [&[IpAddr]; 4] = [&[OTHER], &[VIRTUAL, VIRTUAL], &[VIRTUAL, OTHER], &[OTHER; 255]];
    for version in [Version::V2, Version::V3] {
        for theirs in LISTS {
            let mut desk = Desk::new(RouterParams { version, ..params() });
            desk.hear(|advert| advert.addresses = theirs);
            let counters = desk.view().counters;
            assert_eq!((counters.address_list_errors, counters.advertisement_rcvd), (1, 1));
            assert_eq!(desk.view().active, Some(HIGHER_ADDRESS));
        }
    }
}

/// Another interval does not hide another list (both are allowed to go on for ever).
#[test]
fn what_is_kept_is_counted_for_everything_that_differs() {
    let mut desk = Desk::new(params());
    desk.hear(|advert| {
        advert.interval = Centis::new(250).unwrap();
        advert.addresses = &[LOWER_ADDRESS];
    });
    let counters = desk.view().counters;
    assert_eq!((counters.interval_errors, counters.address_list_errors), (1, 1));
}

#[test]
fn two_owners_settle_it_by_address_and_say_so() {
    for (source, state) in [(LOWER_ADDRESS, StateName::Master), (HIGHER_ADDRESS, StateName::Backup)]
    {
        let mut desk = Desk::new(RouterParams { priority: 255, ..params() });
        desk.hear(|advert| (advert.priority, advert.source) = (255, source));
        assert_eq!(desk.state(), state);
        let notice = Notice::SecondOwner { other: source };
        assert!(desk.wishes().contains(&Action::Notice { router: ROUTER, notice }));
        assert_eq!(desk.view().counters.advertisement_rcvd, 1);
    }
}

#[test]
fn both_checksum_forms_are_accepted() {
    for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
        let mut desk = Desk::new(params());
        desk.hear(|advert| advert.checksum_form = form);
        assert_eq!(desk.view().counters.advertisement_rcvd, 1);
    }
}

/// Reserved bits are ignored, trailing bytes tolerated, authentication data of type 0 not read.
#[test]
fn what_the_standard_says_to_ignore_is_ignored() {
    let mut desk = Desk::new(params());
    let mut packet = packet(&params(), |_| {});
    rewrite(&mut packet, 4, 0xf0);
    packet.extend_from_slice(&[0xee; 18]);
    desk.hear_bytes(&packet);
    assert_eq!(desk.view().counters.advertisement_rcvd, 1);

    let v2 = RouterParams { version: Version::V2, ..params() };
    let mut desk = Desk::new(v2.clone());
    let mut packet = crate::desk::packet(&v2, |_| {});
    rewrite(&mut packet, 15, 0x77);
    desk.hear_bytes(&packet);
    assert_eq!(desk.view().counters.advertisement_rcvd, 1);
}

/// The same vrid on another interface is another router; an interface we don't know has none.
#[test]
fn the_interface_is_part_of_the_name() {
    let there = RouterParams { link: SERVICE, addresses: Box::default(), ..params() };
    let mut engine = Engine::new(vec![params(), there], 2);
    for link in [OWN, SERVICE] {
        let mut facts = facts(link);
        facts.primary_ipv4 = Some(OWN_IPV4);
        engine.on_link(START, &LinkChange { link, facts: Some(facts) });
    }
    engine.start(START);
    let packet = packet(&params(), |_| {});
    let advert = Advert::parse(&packet).unwrap();
    let heard = |engine: &Engine| {
        engine.views().map(|view| view.counters.advertisement_rcvd).collect::<Vec<_>>()
    };
    engine.on_advert(START, ifindex(OWN), &advert);
    assert_eq!(heard(&engine), [1, 0]);
    engine.on_advert(START, ifindex(SERVICE), &advert);
    assert_eq!(heard(&engine), [1, 1]);
    engine.on_advert(START, IfIndex(99), &advert);
    assert_eq!(heard(&engine), [1, 1]);
    assert_eq!(engine.unattributed().vrid_errors, 1);
    let refused = Refused {
        refusal: Refusal::Checksum,
        vrid: Vrid::new(51),
        version: None,
        source: Some([10, 0, 0, 9].into()),
    };
    engine.on_malformed(IfIndex(99), &refused);
    assert_eq!(engine.unattributed().checksum_errors, 1);
}

/// Changes the byte at `at` of the message and mends the checksum.
fn rewrite(packet: &mut [u8], at: usize, value: u8) {
    packet[MESSAGE + at] = value;
    packet[MESSAGE + 6..MESSAGE + 8].fill(0);
    // As many bytes as a reader sums: what the count says, not what is there.
    let fixed = if packet[MESSAGE] >> 4 == 2 { 16 } else { 8 };
    let len = (fixed + 4 * usize::from(packet[MESSAGE + 3])).min(packet.len() - MESSAGE);
    let checksum = Sum::ZERO.bytes(&packet[MESSAGE..MESSAGE + len]).checksum();
    packet[MESSAGE + 6..MESSAGE + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// Cuts the message to `len` bytes, and lets the IP header say so.
fn shorten(packet: &mut Vec<u8>, len: usize) {
    packet.truncate(MESSAGE + len);
    let total = packet.len() as u16;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
}
