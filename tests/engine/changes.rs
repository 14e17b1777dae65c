//! Routers that come, change and go while the engine runs: what a reload does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use viprd::base::{Centis, Instant, LinkChange, LinkId, RouterId, Span, VirtualAddress, Vrid};
use viprd::vrrp::{
    Action, AddressChange, Cause, Change, Engine, Fault, GarpParams, Preempt, RouterParams, State,
    StateName,
};
use viprd::wire::Version;

use crate::desk::{
    Desk, HIGHER_ADDRESS, OWN, OWN_ADDRESS, ROUTER, SECOND, SERVICE, START, facts, params,
};

fn address(last: u8) -> VirtualAddress {
    VirtualAddress { ip: [192, 168, 122, last].into(), ..params().addresses[0].clone() }
}

fn with(change: impl FnOnce(&mut RouterParams)) -> RouterParams {
    let mut params = params();
    change(&mut params);
    params
}

fn alter(desk: &mut Desk, change: impl FnOnce(&mut RouterParams)) -> Vec<Action> {
    let mut params = desk.view().params.clone();
    change(&mut params);
    desk.engine.on_change(desk.now, Change::Alter(ROUTER, params));
    desk.wishes()
}

const ALTERED: Action = Action::Altered { router: ROUTER };

#[test]
fn a_new_name_and_priority_change_nothing_but_that() {
    let mut desk = Desk::active(params());
    let (since, deadline, counters) =
        (desk.view().since, desk.view().deadline, *desk.view().counters);
    let wishes = alter(&mut desk, |params| {
        params.name = "other".into();
        params.priority = 77;
    });
    assert_eq!(wishes, [ALTERED]);
    assert_eq!(&*desk.view().params.name, "other");
    assert_eq!((desk.state(), desk.view().since), (StateName::Master, since));
    assert_eq!((desk.view().deadline, *desk.view().counters), (deadline, counters));
    let (at, advert) = desk.run_for(SECOND)[0];
    assert_eq!((at, advert), (deadline, Action::Advertise { router: ROUTER, priority: 77 }));
}

#[test]
fn a_longer_interval_begins_after_the_next_advert_and_a_shorter_one_at_once() {
    let mut desk = Desk::active(params());
    let due = desk.view().deadline;
    alter(&mut desk, |params| params.interval = Centis::new(300).unwrap());
    let adverts = desk.run_for(SECOND.times(8));
    assert_eq!(adverts[0].0, due);
    assert_eq!(adverts[1].0, due + SECOND.times(3));
    alter(&mut desk, |params| params.interval = Centis::new(20).unwrap());
    let next = desk.view().deadline;
    assert!(next <= desk.now + Span::from_millis(200), "{next:?} after {:?}", desk.now);
}

#[test]
fn a_backup_keeps_what_it_has_waited_and_what_it_has_learned() {
    let mut desk = Desk::new(params());
    desk.hear(|advert| {
        advert.priority = 200;
        advert.interval = Centis::new(50).unwrap();
    });
    desk.wishes();
    let before = desk.view().deadline;
    desk.now = START + Span::from_millis(300);
    // Skew_Time of 50 cs: 156/256 of it for priority 100, 56/256 for 200.
    let wishes = alter(&mut desk, |params| {
        params.priority = 200;
        params.interval = Centis::new(700).unwrap();
    });
    assert_eq!(wishes, [ALTERED]);
    let sooner = Span::from_nanos(500_000_000 * 156 / 256 - 500_000_000 * 56 / 256);
    assert_eq!(desk.view().deadline, before - sooner);
    let State::Backup(backup) = desk.view().state else { panic!() };
    assert_eq!(backup.active, Some((HIGHER_ADDRESS, 200)));
    assert_eq!(backup.active_interval, Centis::new(50).unwrap());
}

#[test]
fn a_backup_that_assumes_its_own_interval_waits_anew_for_another() {
    for version in [Version::V2, Version::V3] {
        let mut desk = Desk::new(with(|params| params.version = version));
        desk.now = START + SECOND;
        alter(&mut desk, |params| params.interval = Centis::new(200).unwrap());
        let skew = match version {
            Version::V2 => SECOND,
            Version::V3 => SECOND.times(2),
        };
        let skew = Span::from_nanos(skew.as_nanos() * 156 / 256);
        assert_eq!(desk.view().deadline, desk.now + SECOND.times(6) + skew, "{version:?}");
    }
}

#[test]
fn an_announced_leave_is_still_followed_by_a_takeover() {
    let mut desk = Desk::new(params());
    desk.hear_priority(200);
    desk.hear_priority(0);
    alter(&mut desk, |params| params.interval = Centis::new(1000).unwrap());
    desk.run_for(SECOND);
    assert_eq!(desk.state(), StateName::Master);
}

#[test]
fn only_new_addresses_are_set_and_announced_twice() {
    let garp = GarpParams { delay: SECOND.times(5), repeat: 3, ..GarpParams::default() };
    let mut desk = Desk::active(with(|params| params.garp = garp));
    desk.run_for(SECOND.times(10)); // past the second set
    let wishes = alter(&mut desk, |params| {
        params.addresses = [address(50), address(51), address(52)].into();
    });
    assert_eq!(wishes, [ALTERED, Action::ChangeAddresses { router: ROUTER }]);
    assert_eq!(desk.view().fresh, [address(51), address(52)]);
    assert!(desk.view().former.is_empty());
    desk.engine.on_addresses_set(desk.now, ROUTER);
    let fresh = Action::AnnounceFresh { router: ROUTER, repeat: 3 };
    assert_eq!(desk.wishes(), [fresh]);
    let set = desk.now;
    let announced: Vec<_> = desk
        .run_for(SECOND.times(60))
        .into_iter()
        .filter(|(_, wish)| !matches!(wish, Action::Advertise { .. }))
        .collect();
    assert_eq!(announced, [(set + SECOND.times(5), fresh)]);

    let wishes = alter(&mut desk, |params| params.addresses = [address(51)].into());
    assert_eq!(wishes, [ALTERED, Action::ChangeAddresses { router: ROUTER }]);
    assert_eq!(desk.view().former, [address(50), address(52)]);
    assert!(desk.view().fresh.is_empty());
    let State::Active(active) = desk.view().state else { panic!() };
    assert!(active.addresses_set, "nothing is to be waited for");
}

#[test]
fn adverts_are_judged_by_the_new_list_of_addresses() {
    let mut desk = Desk::new(params());
    alter(&mut desk, |params| params.addresses = [address(50), address(51)].into());
    desk.hear_priority(200);
    assert_eq!(desk.view().counters.address_list_errors, 1);
    alter(&mut desk, |params| params.addresses = [address(50)].into());
    desk.hear_priority(200);
    assert_eq!(desk.view().counters.address_list_errors, 1);
}

#[test]
fn a_change_before_the_first_announcement_is_announced_with_the_rest() {
    let mut desk = Desk::new(params());
    desk.run_for(SECOND.times(4));
    assert_eq!(desk.state(), StateName::Master);
    alter(&mut desk, |params| params.addresses = [address(50), address(51)].into());
    desk.engine.on_addresses_set(desk.now, ROUTER);
    assert_eq!(desk.wishes(), [Action::Announce { router: ROUTER, repeat: 5 }]);
}

#[test]
fn a_newly_tracked_interface_that_is_down_is_a_fault_and_no_longer_tracked_none() {
    let mut desk = Desk::active(params());
    desk.engine.grow_links(3);
    let third = LinkId(2);
    let wishes = alter(&mut desk, |params| params.tracked_links = [third].into());
    let fault = Cause::Fault(Fault::LinkAbsent(third));
    assert_eq!(desk.state(), StateName::Fault);
    assert!(wishes.contains(&Action::Advertise { router: ROUTER, priority: 0 }));
    assert!(wishes.contains(&Action::UnsetAddresses { router: ROUTER }));
    assert_eq!(desk.view().cause, fault);
    alter(&mut desk, |params| params.tracked_links = Box::default());
    assert_eq!(desk.state(), StateName::Backup);
    // What happens to it is no concern of ours any more.
    let up = facts(third);
    desk.engine.on_link(desk.now, &LinkChange { link: third, facts: Some(up) });
    desk.engine.on_link(desk.now, &LinkChange { link: third, facts: None });
    assert_eq!(desk.state(), StateName::Backup);
}

#[test]
fn a_removed_router_says_goodbye_and_its_id_is_given_again_later() {
    let mut desk = Desk::active(params());
    desk.engine.on_change(desk.now, Change::Remove(ROUTER));
    let wishes: Vec<_> = std::iter::from_fn(|| {
        let wish = desk.engine.next_action();
        // It still is shown while wishes speak of it.
        assert_eq!(&*desk.engine.view(ROUTER).params.name, "VI_1");
        wish
    })
    .collect();
    let (from, to, cause) = (StateName::Master, StateName::Init, Cause::Shutdown);
    assert_eq!(
        wishes,
        [
            Action::Advertise { router: ROUTER, priority: 0 },
            Action::Entered { router: ROUTER, from, to, cause },
            Action::UnsetAddresses { router: ROUTER },
            Action::Removed { router: ROUTER },
        ]
    );
    assert!(desk.engine.is_empty() && desk.engine.get(ROUTER).is_none());
    assert_eq!(desk.engine.views().count(), 0);
    assert_eq!(desk.view().deadline, Instant::NEVER);
    let packet = crate::desk::packet(&params(), |_| {});
    desk.hear_bytes(&packet);
    assert_eq!(desk.engine.unattributed().vrid_errors, 1);

    desk.wishes();
    desk.engine.on_change(desk.now, Change::Add(params()));
    assert_eq!(desk.wishes()[0], Action::Added { router: ROUTER });
    assert_eq!((desk.engine.len(), desk.state()), (1, StateName::Backup));
    assert_eq!(desk.view().counters.advertisement_sent, 0);
}

#[test]
fn ids_are_not_given_again_while_wishes_speak_of_them() {
    let mut desk = Desk::new(params());
    desk.engine.on_change(desk.now, Change::Remove(ROUTER));
    desk.engine.on_change(desk.now, Change::Add(params()));
    assert!(desk.engine.get(ROUTER).is_none());
    assert!(desk.engine.get(RouterId(1)).is_some());
    assert_eq!(desk.engine.first_from(ROUTER).map(|view| view.id), Some(RouterId(1)));
    desk.wishes();
    let other = with(|params| params.vrid = Vrid::new(52).unwrap());
    desk.engine.on_change(desk.now, Change::Add(other));
    assert!(desk.engine.get(ROUTER).is_some());
    assert_eq!(desk.engine.len(), 2);
}

#[test]
fn another_version_is_another_router() {
    let mut desk = Desk::active(params());
    let v2 = with(|params| params.version = Version::V2);
    desk.engine.on_change(desk.now, Change::Alter(ROUTER, v2));
    let wishes = desk.wishes();
    assert!(wishes.contains(&Action::Removed { router: ROUTER }));
    assert!(wishes.contains(&Action::Added { router: RouterId(1) }));
    let states: Vec<_> = desk.engine.views().map(|view| view.state.name()).collect();
    assert_eq!(states, [StateName::Backup]);
}

#[test]
fn an_owner_that_is_added_takes_over_at_once() {
    let mut engine = Engine::new(Vec::new(), 2);
    for link in [OWN, SERVICE] {
        engine.on_link(START, &LinkChange { link, facts: Some(facts(link)) });
    }
    engine.start(START);
    engine.on_change(START, Change::Add(with(|params| params.priority = 255)));
    let wishes: Vec<_> = std::iter::from_fn(|| engine.next_action()).collect();
    assert_eq!(wishes[0], Action::Added { router: ROUTER });
    assert!(wishes.contains(&Action::SetAddresses { router: ROUTER }));
    assert_eq!(engine.view(ROUTER).active, Some(OWN_ADDRESS));
}

#[test]
fn refreshes_are_switched_on_and_off() {
    let mut desk = Desk::active(params());
    alter(&mut desk, |params| params.garp.refresh = SECOND.times(7));
    let refreshes = |desk: &mut Desk| {
        let wishes = desk.run_for(SECOND.times(20));
        wishes.iter().filter(|(_, wish)| matches!(wish, Action::Announce { .. })).count()
    };
    assert_eq!(refreshes(&mut desk), 2);
    alter(&mut desk, |params| params.garp.refresh = Span::ZERO);
    assert_eq!(refreshes(&mut desk), 0);
}

/// What a kernel would hold, told by the wishes alone, with acknowledgements as late as one likes.
#[derive(Default)]
struct Host {
    held: BTreeMap<RouterId, BTreeSet<IpAddr>>,
    owed: BTreeSet<RouterId>,
    active: BTreeSet<RouterId>,
}

impl Host {
    fn carry_out(&mut self, engine: &mut Engine) {
        while let Some(action) = engine.next_action() {
            match action {
                Action::SetAddresses { router } => {
                    let all = engine.view(router).params.addresses.iter().map(|it| it.ip);
                    self.held.entry(router).or_default().extend(all);
                    self.owed.insert(router);
                }
                Action::UnsetAddresses { router } => {
                    let held = self.held.entry(router).or_default();
                    for address in &engine.view(router).params.addresses {
                        held.remove(&address.ip);
                    }
                    self.owed.remove(&router);
                }
                Action::ChangeAddresses { router } => {
                    let view = engine.view(router);
                    let held = self.held.entry(router).or_default();
                    for address in view.former {
                        held.remove(&address.ip);
                    }
                    held.extend(view.fresh.iter().map(|it| it.ip));
                    if !view.fresh.is_empty() {
                        self.owed.insert(router);
                    }
                }
                Action::Announce { router, .. } => {
                    assert!(!self.owed.contains(&router), "announced before it is set");
                }
                Action::AnnounceFresh { router, .. } => {
                    let view = engine.view(router);
                    let held = &self.held[&router];
                    assert!(view.fresh.iter().all(|address| held.contains(&address.ip)));
                }
                Action::Entered { router, to, .. } => {
                    self.active.remove(&router);
                    if to == StateName::Master {
                        self.active.insert(router);
                    }
                }
                Action::Removed { router } => {
                    assert!(self.held.get(&router).is_none_or(BTreeSet::is_empty));
                }
                _ => {}
            }
        }
    }

    fn check(&self, engine: &Engine) {
        for view in engine.views() {
            let wanted: BTreeSet<IpAddr> = match view.state.name() {
                StateName::Master => view.params.addresses.iter().map(|it| it.ip).collect(),
                _ => BTreeSet::new(),
            };
            let held = self.held.get(&view.id).cloned().unwrap_or_default();
            assert_eq!(held, wanted, "{} {:?}", view.params.name, view.state);
            assert_eq!(self.active.contains(&view.id), view.state.name() == StateName::Master);
        }
    }
}

/// What happens: time passes, the kernel answers, somebody advertises, a link flaps, a reload.
#[derive(Clone, Debug)]
enum Happening {
    Pass(u64),
    Acknowledge,
    Advert(u8, u8),
    Link(bool),
    Reload(Vec<RouterParams>),
}

fn wanted() -> impl Strategy<Value = Vec<RouterParams>> {
    let one = (0..5u8, 90..94u8, 1..4u16, prop::collection::btree_set(1..6u8, 0..4), any::<bool>());
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let mut seen = BTreeSet::new();
        let mut routers = Vec::new();
        for (vrid, priority, interval, addresses, never) in all {
            if seen.insert(vrid) {
                routers.push(with(|params| {
                    params.name = format!("VI_{vrid}_{priority}").into();
                    params.vrid = Vrid::new(vrid + 1).unwrap();
                    params.priority = if priority == 93 { 255 } else { priority };
                    params.interval = Centis::new(interval * 10).unwrap();
                    params.garp.delay = Span::from_millis(200);
                    params.preempt = if never { Preempt::Never } else { params.preempt };
                    params.addresses = addresses.into_iter().map(address).collect();
                }));
            }
        }
        routers
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..600u64).prop_map(Happening::Pass),
        Just(Happening::Acknowledge),
        (1..6u8, prop_oneof![Just(0), Just(91), Just(200)])
            .prop_map(|(vrid, priority)| Happening::Advert(vrid, priority)),
        any::<bool>().prop_map(Happening::Link),
        wanted().prop_map(Happening::Reload),
    ]
}

proptest! {
    /// Whatever a reload falls into the middle of, in the end the host holds exactly the addresses
    /// of the routers that are Active, and the routers are those that were wanted.
    #[test]
    fn a_reload_in_the_middle_of_anything_ends_right(
        first in wanted(),
        story in prop::collection::vec(happening(), 1..40),
    ) {
        let mut engine = Engine::new(first, 2);
        for link in [OWN, SERVICE] {
            engine.on_link(START, &LinkChange { link, facts: Some(facts(link)) });
        }
        let mut now = START;
        let mut host = Host::default();
        engine.start(now);
        host.carry_out(&mut engine);
        for happening in story {
            match happening {
                Happening::Pass(millis) => {
                    let end = now + Span::from_millis(millis);
                    while engine.next_deadline() <= end {
                        now = now.max(engine.next_deadline());
                        engine.on_deadlines(now, 100);
                        host.carry_out(&mut engine);
                    }
                    now = end;
                }
                Happening::Acknowledge => {
                    for router in std::mem::take(&mut host.owed) {
                        engine.on_addresses_set(now, router);
                    }
                }
                Happening::Advert(vrid, priority) => {
                    let sender = with(|params| params.vrid = Vrid::new(vrid).unwrap());
                    let packet = crate::desk::packet(&sender, |advert| advert.priority = priority);
                    let advert = viprd::wire::Advert::parse(&packet).unwrap();
                    engine.on_advert(now, crate::desk::ifindex(OWN), &advert);
                }
                Happening::Link(up) => {
                    let facts = viprd::base::LinkFacts { up, ..facts(SERVICE) };
                    engine.on_link(now, &LinkChange { link: SERVICE, facts: Some(facts) });
                }
                Happening::Reload(wanted) => {
                    let before: BTreeMap<RouterId, (RouterParams, State)> = engine
                        .views()
                        .map(|view| (view.id, (view.params.clone(), *view.state)))
                        .collect();
                    let running = before.iter().map(|(&id, (params, _))| (id, params));
                    let plan = viprd::config::plan::plan(running, &wanted);
                    for step in &plan.steps {
                        engine.on_change(now, step.change(&wanted).unwrap());
                    }
                    host.carry_out(&mut engine);
                    prop_assert_eq!(engine.len(), wanted.len());
                    for view in engine.views() {
                        prop_assert!(wanted.contains(view.params));
                        if let Some((params, state)) = before.get(&view.id)
                            && params == view.params
                            && params.can_become(view.params)
                        {
                            prop_assert_eq!(view.state, state);
                        }
                    }
                }
            }
            host.carry_out(&mut engine);
            host.check(&engine);
        }
        engine.stop(now);
        host.carry_out(&mut engine);
        prop_assert!(host.held.values().all(BTreeSet::is_empty));
    }

    #[test]
    fn the_difference_makes_the_old_list_the_new_one(
        old in prop::collection::btree_set(1..9u8, 0..6),
        new in prop::collection::btree_set(1..9u8, 0..6),
    ) {
        let list = |set: &BTreeSet<u8>| set.iter().copied().map(address).collect::<Vec<_>>();
        let AddressChange { gone, new: come } = AddressChange::between(&list(&old), &list(&new));
        prop_assert_eq!(gone, list(&(&old - &new)));
        prop_assert_eq!(come, list(&(&new - &old)));
    }
}
