//! Bytes of routes and rules, against somebody else's reader and writer, and the rare cases.

use std::net::IpAddr;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use proptest::prelude::*;

use super::write::Unwritten;
use super::*;
use crate::base::{
    Encap, Family, Metric, Network, NextHop, Position, Route, Rule, VirtualAddress, Way,
};
use crate::kernel::Host;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(text: &str) -> Network {
    let (address, len) = text.split_once('/').unwrap();
    Network::of(ip(address), len.parse().unwrap())
}

fn route(to: &str, hops: &[NextHop]) -> Route {
    Route {
        kind: 1,
        to: network(to),
        from: None,
        source: None,
        table: 254,
        vrf: None,
        protocol: 18,
        scope: 0,
        tos: 0,
        metric: None,
        hops: hops.into(),
        metrics: Box::default(),
        locked: 0,
        congestion: None,
        preference: None,
        expires: None,
        ttl_propagate: None,
        position: Position::First,
    }
}

fn rule() -> Rule {
    Rule {
        family: Family::Ipv4,
        action: 1,
        invert: false,
        from: Some(network("10.0.0.0/8")),
        to: None,
        tos: 0,
        table: 100,
        preference: Some(7),
        iif: None,
        oif: None,
        mark: None,
        mask: None,
        realms: 0,
        suppress_length: None,
        suppress_group: None,
        tunnel: 0,
        users: None,
        l3mdev: false,
        protocol: 18,
        ip_protocol: 0,
        source_ports: None,
        destination_ports: None,
        goto: None,
    }
}

fn via(text: &str, link: Option<u32>) -> NextHop {
    NextHop { via: Some(ip(text)), link: link.map(LinkId), ..NextHop::default() }
}

/// Some of each.
fn samples() -> Vec<WayKind> {
    let weighted = |hop: NextHop, weight| NextHop { weight, realms: 5 << 16 | 3, ..hop };
    let routes = [
        route("0.0.0.0/0", &[via("192.0.2.1", Some(0))]),
        Route {
            source: Some(ip("192.0.2.9")),
            metric: Some(70),
            table: 4_000_000_000,
            tos: 0x10,
            ..route("10.0.0.0/8", &[NextHop { onlink: true, ..via("192.0.2.1", Some(1)) }])
        },
        Route {
            metrics: Box::new([(Metric(2), 1400), (Metric(4), 800)]),
            locked: 1 << 2,
            congestion: Some("reno".into()),
            ..route("10.1.0.0/16", &[via("fe80::1", Some(0))])
        },
        route(
            "10.2.0.0/16",
            &[weighted(via("192.0.2.1", Some(0)), 5), weighted(via("192.0.2.2", None), 1)],
        ),
        Route { kind: 6, ..route("10.3.0.0/16", &[]) },
        Route { vrf: Some(LinkId(1)), ..route("10.3.0.0/16", &[via("192.0.2.1", Some(0))]) },
        Route {
            from: Some(network("2001:db8:9::/48")),
            preference: Some(1),
            expires: Some(600),
            ..route("2001:db8::/32", &[via("fe80::1", Some(0))])
        },
        route(
            "10.4.0.0/16",
            &[NextHop {
                encap: Some(Encap::Mpls { labels: Box::new([100, 200]) }),
                ..via("192.0.2.1", Some(0))
            }],
        ),
    ];
    let rules = [
        rule(),
        Rule {
            invert: true,
            iif: Some(LinkId(0)),
            oif: Some(LinkId(1)),
            mark: Some(5),
            mask: Some(0xff),
            realms: 7,
            tunnel: 9,
            users: Some((1, 2)),
            ip_protocol: 6,
            source_ports: Some((1, 99)),
            destination_ports: Some((80, 80)),
            ..rule()
        },
        Rule { family: Family::Ipv6, from: Some(network("2001:db8::/32")), ..rule() },
        Rule { action: 2, goto: Some(99), table: 0, ..rule() },
        Rule { l3mdev: true, table: 0, suppress_length: Some(0), ..rule() },
    ];
    let routes = routes.into_iter().map(|route| WayKind::Route(Box::new(route)));
    routes.chain(rules.into_iter().map(|rule| WayKind::Rule(Box::new(rule)))).collect()
}

/// The table of `eth1`, where that is a VRF.
const VRF_TABLE: u32 = 1001;

fn table(what: &WayKind) -> Option<u32> {
    match what {
        WayKind::Route(route) => Some(route.vrf.map_or(route.table, |_| VRF_TABLE)),
        WayKind::Rule(_) => None,
    }
}

fn names() -> LinkNames {
    let mut names = LinkNames::default();
    names.intern("eth0");
    names.intern("eth1");
    names
}

/// A request, as it is written.
fn written(what: &WayKind, names: &LinkNames) -> Vec<u8> {
    let at = |link: LinkId| Some(IfIndex(link.0 + 7));
    let devices = Devices { names, at };
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer);
    write::add(&mut writer, 3, (what, table(what)), &devices).unwrap();
    let len = writer.len();
    buffer[..len].to_vec()
}

#[test]
fn requests_are_as_the_crate_writes_them() {
    let names = names();
    for what in samples() {
        let bytes = written(&what, &names);
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).unwrap();
        let NetlinkPayload::InnerMessage(inner) = &message.payload else { panic!("{message:?}") };
        let kind = match what {
            WayKind::Route(_) => matches!(inner, RouteNetlinkMessage::NewRoute(_)),
            WayKind::Rule(_) => matches!(inner, RouteNetlinkMessage::NewRule(_)),
        };
        assert!(kind, "{inner:?}");
        let mut again = vec![0; message.buffer_len()];
        message.serialize(&mut again);
        assert_eq!(bytes, again, "{inner:?}");
    }
}

#[test]
fn what_is_asked_for_is_known_again() {
    let names = names();
    let devices = Devices { names: &names, at: |link: LinkId| Some(IfIndex(link.0 + 7)) };
    let samples = samples();
    for what in &samples {
        let bytes = written(what, &names);
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        let news = News::read(kind, false, &bytes[16..]).unwrap();
        let heard: Vec<bool> = samples
            .iter()
            // The kernel gives every route of IPv6 a metric, and next hops their interfaces.
            .map(|it| news.spot() == spot(it, table(it)) && news.is_about(it, &devices))
            .collect();
        let metric_told = !matches!(what, WayKind::Route(it) if it.to.ip.is_ipv6());
        for (other, heard) in samples.iter().zip(heard) {
            assert_eq!(heard, metric_told && what == other, "{what:?} or {other:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_event_panics(
        kind in 24..36u16,
        sample in 0..samples().len(),
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..8),
        cut in 0..200usize,
    ) {
        let names = names();
        let devices = Devices { names: &names, at: |_| Some(IfIndex(7)) };
        let what = &samples()[sample];
        let mut body = written(what, &names).split_off(16);
        for (at, byte) in changes {
            let len = body.len();
            body[usize::from(at) % len] = byte;
        }
        body.truncate(body.len().saturating_sub(cut / 8));
        if let Some(news) = News::read(kind, true, &body) {
            let _ = (news.spot(), news.interface(), news.is_about(what, &devices));
            let _ = news.replaces(what);
        }
    }
}

#[test]
fn what_does_not_fit_is_taken_back() {
    let names = names();
    let devices = Devices { names: &names, at: |link: LinkId| (link.0 == 0).then_some(IfIndex(7)) };
    let what = WayKind::Route(Box::new(route("10.0.0.0/8", &[via("192.0.2.1", Some(0))])));
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    assert_eq!(write::add(&mut writer, 1, (&what, table(&what)), &devices), Ok(()));
    let len = writer.len();
    let again = write::add(&mut writer, 2, (&what, table(&what)), &devices);
    assert_eq!(again, Err(Unwritten::NoRoom));
    assert_eq!(writer.len(), len);
    let nowhere = WayKind::Route(Box::new(route("10.0.0.0/8", &[via("192.0.2.1", Some(1))])));
    let mut buffer = [0; 100];
    let mut writer = Writer::new(&mut buffer);
    let written = write::add(&mut writer, 2, (&nowhere, table(&nowhere)), &devices);
    assert_eq!(written, Err(Unwritten::NoInterface));
    assert_eq!(writer.len(), 0);
    let written = write::add(&mut writer, 2, (&what, None), &devices);
    assert_eq!(written, Err(Unwritten::NoInterface), "its VRF isn't there");
    assert_eq!(writer.len(), 0);
}

/// A room whose only link is there, and the answers to what it asks.
struct Bench {
    ways: Ways,
    facts: Facts,
    names: LinkNames,
    seq: u32,
}

impl Bench {
    fn new(ways: &[Way]) -> Self {
        let mut bench =
            Bench { ways: Ways::default(), facts: Facts::new(), names: names(), seq: 0 };
        bench.ways.configure(ways);
        bench.ways.begin();
        bench
    }

    /// Sends a batch; what was asked, and the number of the first.
    fn send(&mut self) -> (Vec<WayId>, u32) {
        let Bench { ways, facts, names, seq } = self;
        let devices = Devices { names, at: |link: LinkId| Some(IfIndex(link.0 + 7)) };
        let mut buffer = [0; Host::REQUEST_BUFFER];
        let mut asked = Vec::new();
        let first = *seq + 1;
        let mut writer = Writer::new(&mut buffer);
        let sent = |id| asked.push(id);
        *seq += ways.write_batch(&mut writer, first, &devices, facts, sent) as u32;
        (asked, first)
    }

    fn answer(&mut self, error: i32) -> Vec<WayId> {
        let (asked, first) = self.send();
        for (&id, seq) in asked.iter().zip(first..) {
            self.ways.answered(id, seq, error, &mut self.facts);
        }
        asked
    }
}

fn ways(count: u8) -> Vec<Way> {
    let one = |n| {
        let route = route(&format!("10.{n}.0.0/16"), &[via("192.0.2.1", Some(0))]);
        Way { what: WayKind::Route(Box::new(route)), tracked: true }
    };
    (0..count).map(one).collect()
}

#[test]
fn they_wait_for_addresses_and_go_in_the_opposite_order() {
    let all = ways(3);
    let mut bench = Bench::new(&all);
    bench.ways.want(1, &all);
    assert!(bench.answer(0).is_empty(), "the addresses aren't there");
    assert!(bench.ways.activate(1, true, &mut bench.facts));
    assert_eq!(bench.ways.next_set(), None);
    assert_eq!(bench.answer(0), [0, 1, 2].map(WayId));
    assert_eq!(bench.ways.next_set(), Some(1));
    bench.ways.want(1, &all[1..2]);
    assert_eq!(bench.answer(0), [2, 0].map(WayId));
    bench.ways.want(1, []);
    assert_eq!(bench.answer(libc::ESRCH), [WayId(1)], "gone already");
    assert!(bench.ways.is_quiet() && bench.facts.is_empty());
}

#[test]
fn what_was_never_added_is_never_deleted() {
    let all = ways(2);
    let mut bench = Bench::new(&all);
    bench.ways.want(1, &all);
    bench.ways.want(1, []);
    bench.ways.want(2, &all);
    bench.ways.activate(2, true, &mut bench.facts);
    assert_eq!(bench.answer(libc::ENETUNREACH).len(), 2);
    assert_eq!(bench.facts.len(), 2, "{:?}", bench.facts);
    assert_eq!(bench.ways.next_set(), Some(2), "refused, but not waited for any longer");
    bench.ways.want(2, []);
    assert!(bench.answer(0).is_empty());
}

#[test]
fn two_owners_share_one() {
    let all = ways(1);
    let mut bench = Bench::new(&all);
    for owner in [1, 2] {
        bench.ways.want(owner, &all);
        bench.ways.activate(owner, true, &mut bench.facts);
    }
    assert_eq!(bench.answer(0).len(), 1);
    assert_eq!((bench.ways.next_set(), bench.ways.next_set()), (Some(1), Some(2)));
    bench.ways.want(1, []);
    assert!(bench.answer(0).is_empty());
    bench.ways.want(2, []);
    assert_eq!(bench.answer(0).len(), 1);
}

#[test]
fn only_one_that_has_to_be_alone_minds_another() {
    for (position, refused) in [(Position::First, false), (Position::Alone, true)] {
        let hops = [via("192.0.2.1", Some(0))];
        let route = Route { position, ..route("10.0.0.0/8", &hops) };
        let all = [Way { what: WayKind::Route(Box::new(route)), tracked: true }];
        let mut bench = Bench::new(&all);
        bench.ways.want(1, &all);
        bench.ways.activate(1, true, &mut bench.facts);
        bench.answer(libc::EEXIST);
        assert_eq!(!bench.facts.is_empty(), refused);
    }
}

/// This machine's kernel has no VRF: what one would tell of itself stands in `reader`'s tests.
#[test]
fn a_route_of_a_vrf_is_in_its_table_once_there_is_one() {
    let vrf = LinkId(1);
    let in_vrf = Route { vrf: Some(vrf), ..route("0.0.0.0/0", &[via("192.0.2.1", Some(0))]) };
    let all = [Way { what: WayKind::Route(Box::new(in_vrf)), tracked: true }];
    let mut bench = Bench::new(&all);
    bench.ways.want(1, &all);
    bench.ways.activate(1, true, &mut bench.facts);
    assert!(bench.answer(0).is_empty());
    let refused = |fact: Option<Fact>| match fact {
        Some(Fact::WayRefused { error, .. }) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(bench.facts.pop_front()), libc::ENODEV);
    for table in [77, 78] {
        bench.ways.is_vrf(vrf, table);
        bench.ways.link_up(vrf, &mut bench.facts);
        assert_eq!(bench.answer(0).len(), 1);
        assert!(bench.ways.is_there(&all[0].what));
        // What happens in another table is none of its business.
        let names = names();
        let devices = Devices { names: &names, at: |link: LinkId| Some(IfIndex(link.0 + 7)) };
        for (elsewhere, lost) in [(79, false), (table, true)] {
            let mut buffer = [0; 512];
            let mut writer = Writer::new(&mut buffer);
            let what = (&all[0].what, Some(elsewhere));
            write::delete(&mut writer, bench.seq, what, &devices).unwrap();
            let body = &buffer[16..];
            let made = News::read(libc::RTM_NEWROUTE, false, body).unwrap();
            let own = Origin::Own(bench.seq);
            bench.ways.heard(&made, own, &devices, |_| true, &mut bench.facts);
            let gone = News::read(libc::RTM_DELROUTE, false, body).unwrap();
            bench.ways.heard(&gone, Origin::Unknown, &devices, |_| true, &mut bench.facts);
            assert_eq!(bench.facts.pop_front().is_some(), lost, "table {elsewhere}");
        }
        bench.ways.link_gone(vrf);
    }
}

#[test]
fn leftovers_are_deleted_and_counted_once() {
    let all = ways(3);
    let mut bench = Bench::new(&all);
    bench.ways.remove_leftovers(&mut bench.facts);
    let (asked, first) = bench.send();
    for (&id, (seq, error)) in asked.iter().zip((first..).zip([0, libc::ESRCH, 0])) {
        bench.ways.answered(id, seq, error, &mut bench.facts);
    }
    assert_eq!(bench.facts, [Fact::WaysRemoved { removed: 2 }]);
    assert!(bench.answer(0).is_empty());
    // One that is wanted by then is no leftover.
    bench.ways.remove_leftovers(&mut bench.facts);
    bench.ways.want(1, &all[..1]);
    bench.ways.activate(1, true, &mut bench.facts);
    assert_eq!(bench.answer(0).len(), 3);
    assert!(bench.ways.is_there(&all[0].what) && !bench.ways.is_there(&all[1].what));
}

#[test]
fn nobody_is_told_who_wants_none_and_everybody_who_stops_waiting() {
    let all = ways(1);
    let mut bench = Bench::new(&all);
    assert!(!bench.ways.activate(1, true, &mut bench.facts), "has none");
    bench.ways.want(1, &all);
    bench.ways.activate(1, true, &mut bench.facts);
    bench.ways.want(1, []);
    assert_eq!(bench.ways.next_set(), None);
    bench.ways.stop_waiting(1);
    assert_eq!(bench.ways.next_set(), Some(1));
}

/// The host's own addresses include static ones.
#[test]
fn a_static_address_is_no_virtual_one() {
    let mut host = Host::new(&names());
    let address = VirtualAddress {
        ip: ip("192.0.2.1"),
        prefix_len: 24,
        link: LinkId(0),
        broadcast: None,
        label: None,
        scope: crate::base::Scope::GLOBAL,
        options: None,
    };
    host.configure_statics([&address]);
    assert!(host.is_static(Some(LinkId(0)), address.ip, 24));
    host.configure_statics([]);
    assert!(!host.is_static(Some(LinkId(0)), address.ip, 24));
}
