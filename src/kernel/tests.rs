//! The room's promises one by one, against the model of the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::{self, Kernel, Received};
use super::{Fact, Host, Request, Socket, Wish};
use crate::base::{Label, LinkId, LinkNames, Scope, TrackId, VirtualAddress};

const ETH: LinkId = LinkId(0);

struct Bench {
    host: Host,
    kernel: Kernel,
}

impl Bench {
    /// A host that watches `eth0`, which exists, and `eth1`, which doesn't; in the state after the
    /// first dump.
    fn new() -> Self {
        let mut bench = Bench::unsynchronised();
        let facts = bench.settle();
        assert_eq!(facts.last(), Some(&Fact::Synchronised));
        bench
    }

    fn unsynchronised() -> Self {
        let mut names = LinkNames::default();
        names.intern("eth0");
        names.intern("eth1");
        let mut bench = Bench { host: Host::new(&names), kernel: Kernel::new(10_000, 10_000) };
        bench.kernel.create("eth0");
        bench
    }

    fn send(&mut self) -> Option<Request> {
        let mut buffer = [0; Host::REQUEST_BUFFER];
        let request = self.host.next_request(&mut buffer)?;
        match request.to {
            Socket::Command => self.kernel.send_command(&buffer[..request.len]),
            Socket::Monitor => self.kernel.send_monitor(&buffer[..request.len]),
        }
        Some(request)
    }

    fn read_command(&mut self) -> bool {
        match self.kernel.receive_command() {
            Some(Received::Datagram(bytes)) => self.host.on_command(&bytes),
            Some(Received::Overrun) => self.host.on_command_lost(),
            None => return false,
        }
        true
    }

    fn read_monitor(&mut self) -> bool {
        match self.kernel.receive_monitor() {
            Some(Received::Datagram(bytes)) => self.host.on_monitor(&bytes),
            Some(Received::Overrun) => self.host.on_monitor_overrun(),
            None => return false,
        }
        true
    }

    /// Sends and reads all there is.
    fn settle(&mut self) -> Vec<Fact> {
        loop {
            self.kernel.tell_late();
            let busy = [self.send().is_some(), self.read_command(), self.read_monitor()];
            if busy == [false; 3] {
                return self.facts();
            }
        }
    }

    fn facts(&mut self) -> Vec<Fact> {
        std::iter::from_fn(|| self.host.next_fact()).collect()
    }

    fn holds(&self, address: &VirtualAddress) -> bool {
        let name = ["eth0", "eth1"][address.link.index()];
        self.kernel.holds(name, address.ip, address.prefix_len).is_some()
    }

    fn requests(&self) -> u64 {
        self.host.counters().requests
    }
}

fn address(last: u8) -> VirtualAddress {
    VirtualAddress {
        ip: Ipv4Addr::new(192, 0, 2, last).into(),
        prefix_len: 32,
        link: ETH,
        broadcast: None,
        label: None,
        scope: Scope::GLOBAL,
        options: None,
    }
}

fn many(count: u32) -> Vec<VirtualAddress> {
    let ip = |n: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n));
    (1..=count).map(|n| VirtualAddress { ip: ip(n), ..address(0) }).collect()
}

#[test]
fn what_was_never_sent_is_taken_back_for_nothing() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1), &address(2)]);
    bench.host.unset(1, [&address(1), &address(2)]);
    assert_eq!(bench.settle(), [Fact::Unset { owner: 1 }]);
    assert_eq!(bench.requests(), 0);
}

#[test]
fn what_was_never_added_is_removed_for_nothing() {
    let mut bench = Bench::new();
    bench.kernel.foreign_add("eth0", address(1).ip, 32);
    bench.settle();
    bench.host.unset(1, [&address(1)]);
    assert_eq!(bench.settle(), [Fact::Unset { owner: 1 }]);
    assert_eq!(bench.requests(), 0);
    assert!(bench.holds(&address(1)), "it isn't ours");
}

#[test]
fn a_wish_for_nothing_is_granted_at_once() {
    let mut bench = Bench::new();
    bench.host.set(1, []);
    bench.host.unset(2, []);
    assert_eq!(bench.facts(), [Fact::Set { owner: 1 }, Fact::Unset { owner: 2 }]);
}

#[test]
fn the_opposite_of_what_is_in_flight_is_sent_afterwards() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1)]);
    bench.send();
    bench.host.unset(1, [&address(1)]);
    assert_eq!(bench.send(), None, "its fate isn't known yet");
    bench.read_command();
    assert!(bench.send().is_some());
    bench.host.set(1, [&address(1)]);
    bench.read_command();
    assert!(bench.send().is_some());
    assert_eq!(bench.settle(), [Fact::Set { owner: 1 }], "only the last wish counts");
    assert!(bench.holds(&address(1)));
    assert_eq!(bench.requests(), 3);
}

#[test]
fn an_address_stays_as_long_as_any_owner_wants_it() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1)]);
    bench.settle();
    // A reload moves it to another router.
    bench.host.set(2, [&address(1)]);
    bench.host.unset(1, [&address(1)]);
    assert_eq!(bench.settle(), [Fact::Set { owner: 2 }, Fact::Unset { owner: 1 }]);
    assert_eq!(bench.requests(), 1);
    bench.host.unset(2, [&address(1)]);
    assert_eq!(bench.settle(), [Fact::Unset { owner: 2 }]);
    assert!(!bench.holds(&address(1)));
}

#[test]
fn the_rest_of_a_wish_is_told_when_a_part_is_taken_back() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1)]);
    bench.send();
    bench.host.set(1, [&address(2)]);
    bench.host.unset(1, [&address(2)]);
    let facts = bench.settle();
    assert_eq!(facts, [Fact::Unset { owner: 1 }, Fact::Set { owner: 1 }]);
}

#[test]
fn no_more_than_four_batches_of_64_wait_for_their_answers() {
    let mut bench = Bench::new();
    bench.host.set(1, &many(1000));
    let sent = std::iter::from_fn(|| bench.send()).count();
    assert_eq!((sent, bench.requests()), (4, 256));
    assert!(!bench.host.is_quiet());
    bench.read_command();
    let sent = std::iter::from_fn(|| bench.send()).count();
    assert_eq!((sent, bench.requests()), (1, 320));
    bench.settle();
    assert_eq!(bench.host.counters().batches, 16);
    assert!(bench.host.is_quiet());
}

#[test]
fn a_batch_adds_an_eighth_as_many_addresses_of_ipv6() {
    let mut bench = Bench::new();
    let six = |n: u16| VirtualAddress {
        ip: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into(),
        prefix_len: 128,
        ..address(0)
    };
    let all: Vec<VirtualAddress> = (1..=20).map(six).collect();
    bench.host.set(1, &all);
    assert!(bench.send().is_some());
    assert_eq!(bench.requests(), 8);
    bench.settle();
    assert!(all.iter().all(|address| bench.holds(address)));
    // They go as fast as any.
    let before = bench.requests();
    bench.host.unset(1, &all);
    assert!(bench.send().is_some());
    assert_eq!(bench.requests(), before + 20);
}

#[test]
fn a_small_buffer_makes_small_batches_and_a_tiny_one_none() {
    let mut bench = Bench::new();
    bench.host.set(1, &many(3));
    assert_eq!(bench.host.next_request(&mut [0; 127]), None);
    let request = bench.host.next_request(&mut [0; 128]);
    assert_eq!(request, Some(Request { to: Socket::Command, len: 48 }));
}

#[test]
fn a_refusal_is_told_and_tried_again_at_the_next_wish() {
    let mut bench = Bench::new();
    bench.kernel.refused.insert(address(2).ip);
    let all = [address(1), address(2), address(3)];
    bench.host.set(1, &all);
    let refused = Fact::Refused {
        owner: 1,
        link: ETH,
        ip: address(2).ip,
        wish: Wish::Set,
        error: libc::EACCES,
    };
    assert_eq!(bench.settle(), [refused, Fact::Set { owner: 1 }]);
    assert_eq!(bench.host.counters().refusals, 1);
    assert_eq!(all.each_ref().map(|it| bench.holds(it)), [true, false, true]);
    bench.kernel.refused.clear();
    bench.host.set(1, &all);
    assert_eq!(bench.settle(), [Fact::Set { owner: 1 }]);
    assert_eq!(bench.requests(), 4, "only what was missing is asked for");
    assert!(bench.holds(&address(2)));
}

#[test]
fn an_address_waits_for_its_interface() {
    let mut bench = Bench::new();
    let there = address(1);
    let waiting = VirtualAddress { link: LinkId(1), ..address(2) };
    bench.host.set(1, [&there, &waiting]);
    let (owner, link, ip, wish) = (1, waiting.link, waiting.ip, Wish::Set);
    let refused = Fact::Refused { owner, link, ip, wish, error: libc::ENODEV };
    assert_eq!(bench.settle(), [refused, Fact::Set { owner: 1 }]);
    bench.kernel.create("eth1");
    assert_eq!(bench.settle().last(), Some(&Fact::Set { owner: 1 }));
    assert!(bench.holds(&waiting));
}

#[test]
fn a_loss_is_told_to_whoever_wanted_the_address_and_repaired_at_the_next_wish() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1), &address(2)]);
    bench.host.set(2, [&address(1)]);
    bench.settle();
    bench.kernel.foreign_delete("eth0", address(1).ip, 32);
    let lost = |owner| Fact::AddressLost { owner, link: ETH, ip: address(1).ip };
    assert_eq!(bench.settle(), [lost(1), lost(2)]);
    assert!(!bench.holds(&address(1)), "the owners decide");
    bench.host.set(2, [&address(1)]);
    assert_eq!(bench.settle(), [Fact::Set { owner: 1 }, Fact::Set { owner: 2 }]);
    assert!(bench.holds(&address(1)));
}

#[test]
fn no_loss_is_told_of_a_link_that_is_down_or_going_away() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1)]);
    bench.settle();
    bench.kernel.delete("eth0");
    let facts = bench.settle();
    assert!(facts.iter().all(|fact| matches!(fact, Fact::Link(_))), "{facts:?}");
    bench.kernel.create("eth0");
    assert_eq!(bench.settle().last(), Some(&Fact::Set { owner: 1 }));
    bench.kernel.set_up("eth0", false);
    bench.kernel.foreign_delete("eth0", address(1).ip, 32);
    let facts = bench.settle();
    assert!(facts.iter().all(|fact| matches!(fact, Fact::Link(_))), "{facts:?}");
    bench.kernel.set_up("eth0", true);
    assert_eq!(bench.settle().last(), Some(&Fact::Set { owner: 1 }));
    assert!(bench.holds(&address(1)));
}

#[test]
fn an_address_whose_label_changes_is_replaced() {
    let mut bench = Bench::new();
    bench.host.set(1, [&address(1)]);
    bench.settle();
    let labelled = VirtualAddress { label: Label::from("eth0:1").ok(), ..address(1) };
    bench.host.unset(1, [&address(1)]);
    bench.host.set(1, [&labelled]);
    assert_eq!(bench.settle(), [Fact::Set { owner: 1 }]);
    assert_eq!(bench.requests(), 3, "added, removed, added");
}

#[test]
fn leftovers_are_removed_but_not_what_is_set() {
    let mut bench = Bench::unsynchronised();
    let all = [address(1), address(2), address(3)];
    bench.host.configure(&all);
    bench.kernel.foreign_add("eth0", address(1).ip, 32);
    bench.kernel.foreign_add("eth0", address(2).ip, 32);
    bench.kernel.foreign_add("eth0", address(9).ip, 32);
    bench.settle();
    bench.host.set(7, [&address(2)]);
    bench.host.remove_leftovers(&all);
    let facts = bench.settle();
    assert!(facts.contains(&Fact::LeftoversRemoved { removed: 1 }), "{facts:?}");
    assert!(facts.contains(&Fact::Set { owner: 7 }), "{facts:?}");
    let there = [1, 2, 3, 9].map(|last| bench.holds(&address(last)));
    assert_eq!(there, [false, true, false, true]);
    bench.host.remove_leftovers(&all);
    assert_eq!(bench.settle(), [Fact::LeftoversRemoved { removed: 0 }]);
}

/// A virtual address that was the host's before: what would become of the host without it?
#[test]
fn the_hosts_own_address_is_no_leftover() {
    let own = |last, prefix_len| VirtualAddress { prefix_len, ..address(last) };
    // Of a link with nothing else.
    let mut bench = Bench::unsynchronised();
    let all = [own(1, 24), address(7)];
    bench.host.configure(&all);
    bench.kernel.foreign_add("eth0", address(1).ip, 24);
    bench.settle();
    bench.host.remove_leftovers(&all);
    let facts = bench.settle();
    let kept = Fact::Kept { link: ETH, ip: address(1).ip };
    assert!(facts.contains(&kept), "{facts:?}");
    assert!(facts.contains(&Fact::LeftoversRemoved { removed: 0 }), "{facts:?}");
    let primary = |bench: &Bench| bench.host.link_facts(ETH).and_then(|facts| facts.primary_ipv4);
    assert_eq!(primary(&bench), Some(Ipv4Addr::new(192, 0, 2, 1)));
    // Its owner has it without asking, and leaves it behind.
    bench.host.set(1, &all);
    assert_eq!(bench.settle(), [Fact::Set { owner: 1 }]);
    bench.host.unset(1, &all);
    assert_eq!(bench.settle(), [Fact::Unset { owner: 1 }]);
    assert_eq!(bench.requests(), 2, "the other came and went");
    assert!(bench.holds(&all[0]) && !bench.holds(&all[1]));
    bench.host.resynchronise();
    bench.settle();
    assert_eq!(primary(&bench), Some(Ipv4Addr::new(192, 0, 2, 1)));
    // Taken away and put back by somebody, it is as any other.
    bench.kernel.foreign_delete("eth0", address(1).ip, 24);
    bench.settle();
    assert_eq!(primary(&bench), None);
    bench.host.set(1, &all);
    bench.settle();
    bench.host.unset(1, &all);
    bench.settle();
    assert!(!bench.holds(&all[0]));
}

#[test]
fn what_is_marked_as_ours_is_a_leftover_wherever_it_is() {
    let all = [VirtualAddress { prefix_len: 24, ..address(1) }, address(2)];
    let mut first = Bench::new();
    first.host.set(1, &all);
    first.settle();
    // A crash: another daemon finds what this one has left.
    let names = first.host.names.clone();
    let mut bench = Bench { host: Host::new(&names), kernel: first.kernel };
    bench.host.configure(&all);
    while bench.kernel.receive_monitor().is_some() {}
    bench.settle();
    bench.host.remove_leftovers(&all);
    let facts = bench.settle();
    assert!(facts.contains(&Fact::LeftoversRemoved { removed: 2 }), "{facts:?}");
    assert!(!bench.holds(&all[0]) && !bench.holds(&all[1]));
}

#[test]
fn one_beside_others_that_looks_like_an_interfaces_own_is_kept() {
    let mut bench = Bench::unsynchronised();
    let at = |last, prefix_len| VirtualAddress { prefix_len, ..address(last) };
    let all = [at(1, 24), at(9, 24), address(2)];
    bench.host.configure(&all);
    bench.kernel.foreign_add("eth0", address(1).ip, 24);
    // A second one of its subnet, one without a subnet, and one that isn't virtual.
    bench.kernel.foreign_add("eth0", address(9).ip, 24);
    bench.kernel.foreign_add("eth0", address(2).ip, 32);
    bench.kernel.foreign_add("eth0", address(3).ip, 24);
    bench.settle();
    bench.host.remove_leftovers(&all);
    let facts = bench.settle();
    assert!(facts.contains(&Fact::LeftoversRemoved { removed: 2 }), "{facts:?}");
    let there = all.each_ref().map(|address| bench.holds(address));
    assert_eq!(there, [true, false, false]);
}

#[test]
fn nothing_is_asked_for_before_it_is_known_what_there_is() {
    let mut bench = Bench::unsynchronised();
    bench.host.set(1, [&address(1)]);
    bench.host.unset(2, [&address(2)]);
    assert_eq!(bench.facts(), []);
    let facts = bench.settle();
    let synchronised = facts.iter().position(|fact| *fact == Fact::Synchronised);
    let set = facts.iter().position(|fact| *fact == Fact::Set { owner: 1 });
    assert!(synchronised < set, "{facts:?}");
    assert!(facts.contains(&Fact::Unset { owner: 2 }), "{facts:?}");
}

#[test]
fn an_interface_that_is_not_there_is_told_at_the_start_too() {
    let mut bench = Bench::unsynchronised();
    let facts = bench.settle();
    let told = |link: LinkId, exists: bool| {
        let is_it = |fact: &&Fact| matches!(fact, Fact::Link(it) if it.link == link && it.facts.is_some() == exists);
        facts.iter().filter(is_it).count()
    };
    assert_eq!((told(ETH, true), told(LinkId(1), false)), (1, 1), "{facts:?}");
}

#[test]
fn only_real_change_of_a_link_is_told() {
    let mut bench = Bench::new();
    bench.kernel.set_carrier("eth0", true);
    bench.kernel.create("other");
    assert_eq!(bench.settle(), []);
    bench.kernel.set_carrier("eth0", false);
    bench.kernel.set_carrier("eth0", true);
    let ups: Vec<bool> = bench
        .settle()
        .iter()
        .map(|fact| match fact {
            Fact::Link(change) => change.facts.is_some_and(|facts| facts.up),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ups, [false, true]);
}

#[test]
fn a_name_that_is_watched_later_is_known_at_once() {
    let mut bench = Bench::new();
    bench.kernel.create("late");
    bench.kernel.foreign_add("late", Ipv4Addr::new(198, 51, 100, 1).into(), 24);
    assert_eq!(bench.settle(), []);
    let mut names = LinkNames::default();
    for name in ["eth0", "eth1", "late"] {
        names.intern(name);
    }
    bench.host.watch(&names);
    match bench.facts()[..] {
        [Fact::Link(change)] => {
            assert_eq!(change.link, LinkId(2));
            let primary = change.facts.and_then(|facts| facts.primary_ipv4);
            assert_eq!(primary, Some(Ipv4Addr::new(198, 51, 100, 1)));
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn the_primary_address_is_never_a_virtual_one_and_stays_what_it_is() {
    let mut bench = Bench::new();
    let primary = |bench: &Bench| bench.host.link_facts(ETH).and_then(|facts| facts.primary_ipv4);
    let add = |bench: &mut Bench, last, prefix_len| {
        bench.kernel.foreign_add("eth0", Ipv4Addr::new(192, 0, 2, last).into(), prefix_len);
        bench.settle();
    };
    let ip = |last| Some(Ipv4Addr::new(192, 0, 2, last));
    add(&mut bench, 1, 32);
    assert_eq!(primary(&bench), ip(1));
    bench.host.configure([&address(1)]);
    assert_eq!(primary(&bench), None);
    add(&mut bench, 2, 24);
    add(&mut bench, 3, 24);
    add(&mut bench, 4, 25);
    assert_eq!(primary(&bench), ip(2));
    bench.kernel.foreign_delete("eth0", Ipv4Addr::new(192, 0, 2, 4).into(), 25);
    bench.settle();
    assert_eq!(primary(&bench), ip(2));
    // Its secondary goes along with it unless it is promoted.
    bench.kernel.promote = true;
    bench.kernel.foreign_delete("eth0", Ipv4Addr::new(192, 0, 2, 2).into(), 24);
    bench.settle();
    assert_eq!(primary(&bench), ip(3));
    // A virtual address that is there with another length: only if there is nothing else.
    bench.host.configure([&address(3)]);
    assert_eq!(primary(&bench), ip(1));
    bench.kernel.foreign_delete("eth0", Ipv4Addr::new(192, 0, 2, 1).into(), 32);
    bench.settle();
    assert_eq!(primary(&bench), ip(3));
}

#[test]
fn a_dump_that_the_kernel_refuses_is_told() {
    let mut bench = Bench::unsynchronised();
    let mut buffer = [0; Host::REQUEST_BUFFER];
    assert!(bench.host.next_request(&mut buffer).is_some());
    bench.host.on_command(&model::answer(1, libc::EPERM, model::PORT));
    assert_eq!(bench.facts(), [Fact::SyncFailed { error: libc::EPERM }]);
    assert_eq!(bench.send(), None);
    bench.host.resynchronise();
    assert_eq!(bench.settle().last(), Some(&Fact::Synchronised));
}

#[test]
fn sequence_numbers_may_wrap() {
    let mut bench = Bench::new();
    bench.host.conversation.used(u32::MAX - 100, 1);
    for round in 0..5 {
        bench.host.set(1, &many(40));
        assert_eq!(bench.settle(), [Fact::Set { owner: 1 }], "{round}");
        bench.host.unset(1, &many(40));
        assert_eq!(bench.settle(), [Fact::Unset { owner: 1 }], "{round}");
    }
    bench.host.set(1, &many(40));
    bench.settle();
    bench.kernel.foreign_delete("eth0", many(1)[0].ip, 32);
    let lost = Fact::AddressLost { owner: 1, link: ETH, ip: many(1)[0].ip };
    assert_eq!(bench.settle(), [lost]);
}

#[test]
fn views_count_addresses() {
    let mut bench = Bench::new();
    bench.kernel.foreign_add("eth0", Ipv4Addr::new(198, 51, 100, 1).into(), 24);
    bench.host.set(1, &many(5));
    bench.settle();
    let views: Vec<_> = bench.host.links().collect();
    assert_eq!(views.len(), 2);
    assert_eq!((views[0].name, views[0].addresses, views[0].virtual_addresses), ("eth0", 6, 5));
    assert_eq!((views[1].name, views[1].facts, views[1].addresses), ("eth1", None, 0));
    assert!(bench.host.is_present(&many(1)[0]));
    assert!(!bench.host.is_present(&address(77)));
    assert_eq!(bench.host.link(LinkId(2)), None);
}

#[test]
fn what_our_removal_takes_along_is_put_back_or_told() {
    let mut bench = Bench::new();
    let in_subnet = |last| VirtualAddress { prefix_len: 24, ..address(last) };
    bench.host.set(1, [&in_subnet(1)]);
    bench.host.set(2, [&in_subnet(2)]);
    bench.settle();
    bench.kernel.foreign_add("eth0", address(3).ip, 24);
    bench.settle();
    bench.host.unset(1, [&in_subnet(1)]);
    let facts = bench.settle();
    let taken = Fact::TakenAlong { link: ETH, ip: address(3).ip };
    assert!(facts.contains(&taken), "{facts:?}");
    assert!(facts.contains(&Fact::Set { owner: 2 }), "it has been put back: {facts:?}");
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::AddressLost { .. })), "{facts:?}");
    assert!(bench.holds(&in_subnet(2)));
    assert!(!bench.holds(&in_subnet(3)));
}

#[test]
fn broken_datagrams_are_counted_and_made_up_for() {
    let mut bench = Bench::new();
    bench.host.on_monitor(&[0; 5]);
    bench.host.on_command(&[0xff; 40]);
    assert_eq!(bench.host.counters().malformed, 2);
    assert_eq!(bench.settle(), [Fact::Resynchronised]);
}

fn source(id: u32, present: bool) -> Fact {
    Fact::Source { source: TrackId(id), present }
}

fn sources(facts: Vec<Fact>) -> Vec<Fact> {
    facts.into_iter().filter(|fact| matches!(fact, Fact::Source { .. })).collect()
}

#[test]
fn a_source_address_is_known_before_the_first_dump_counts_as_complete() {
    let mut bench = Bench::unsynchronised();
    bench.kernel.create("lo");
    bench.kernel.foreign_add("lo", address(9).ip, 32);
    bench.host.watch_sources([(TrackId(5), address(9).ip), (TrackId(6), address(8).ip)]);
    let facts = bench.settle();
    let at = |wanted: &Fact| facts.iter().position(|fact| fact == wanted).expect("told");
    assert!(at(&source(5, true)) < at(&Fact::Synchronised), "on an interface that nobody named");
    assert!(at(&source(6, false)) < at(&Fact::Synchronised));
}

#[test]
fn a_source_address_comes_and_goes() {
    let mut bench = Bench::new();
    bench.kernel.create("lo");
    bench.settle();
    let ip = address(9).ip;
    bench.host.watch_sources([(TrackId(5), ip)]);
    assert_eq!(sources(bench.settle()), [source(5, false)]);
    bench.kernel.foreign_add("lo", ip, 32);
    assert_eq!(sources(bench.settle()), [source(5, true)]);
    // In two places it is there until it has left both.
    bench.kernel.foreign_add("eth0", ip, 24);
    bench.kernel.foreign_delete("lo", ip, 32);
    assert!(sources(bench.settle()).is_empty());
    bench.kernel.foreign_delete("eth0", ip, 24);
    assert_eq!(sources(bench.settle()), [source(5, false)]);
    // A virtual address of ours is as good.
    bench.host.configure([&address(9)]);
    bench.host.set(1, [&address(9)]);
    assert_eq!(sources(bench.settle()), [source(5, true)]);
    bench.host.unset(1, [&address(9)]);
    assert_eq!(sources(bench.settle()), [source(5, false)]);
    // An interface takes along what is on it.
    bench.kernel.foreign_add("lo", ip, 32);
    bench.settle();
    bench.kernel.delete("lo");
    assert_eq!(sources(bench.settle()), [source(5, false)]);
    // Nobody asks for it any more.
    bench.host.watch_sources([]);
    bench.kernel.foreign_add("eth0", ip, 32);
    assert!(sources(bench.settle()).is_empty());
    bench.host.watch_sources([(TrackId(7), ip)]);
    assert_eq!(sources(bench.settle()), [source(7, true)]);
}

#[test]
fn what_is_lost_of_a_source_address_a_dump_tells() {
    let mut bench = Bench::new();
    let ip = address(9).ip;
    bench.kernel.foreign_add("eth0", ip, 32);
    bench.settle();
    bench.host.watch_sources([(TrackId(5), ip)]);
    assert_eq!(sources(bench.settle()), [source(5, true)]);
    bench.kernel.foreign_delete("eth0", ip, 32);
    while bench.kernel.receive_monitor().is_some() {}
    bench.host.on_monitor_overrun();
    assert_eq!(sources(bench.settle()), [source(5, false)]);
}
