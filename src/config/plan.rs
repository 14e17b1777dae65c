//! **What a reload changes**: the running virtual routers beside the wanted ones → ordered steps.
//!
//! Pure and linear in the number of virtual routers.

use std::collections::HashMap;

use super::{Configuration, Global, Statics, TrackNames};
use crate::base::{LinkId, LinkNames, RouterId, TrackId};
use crate::vrrp::{Change, Identity, RouterParams, Source, Tracked};

/// What has to be done to get from what runs to what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps in their order: first whoever leaves goes, which frees its vrid and its addresses;
    /// then changes; then whoever is new.
    pub steps: Vec<Step>,
    /// How many of the steps are of each kind.
    pub counts: Counts,
}

/// How many virtual routers a plan concerns, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those that are configured otherwise, and go on.
    pub altered: usize,
    /// Those that leave.
    pub removed: usize,
    /// Those that nothing happens to.
    pub unchanged: usize,
}

/// One step, by the places of the routers in the two lists that were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This one leaves.
    Remove(RouterId),
    /// This one becomes the wanted one at that index.
    Alter(RouterId, usize),
    /// The wanted one at that index is new.
    Add(usize),
}

/// Compares. Routers are matched by what identifies them on the wire, so one that only has another
/// name stays what it is. One that speaks another version than before leaves and comes anew.
pub fn plan<'a>(
    running: impl IntoIterator<Item = (RouterId, &'a RouterParams)>,
    wanted: &[RouterParams],
) -> Plan {
    let mut by_identity: HashMap<Identity, usize> = HashMap::with_capacity(wanted.len());
    // The next one of the same identity: unicast routers may share one.
    let mut namesakes: HashMap<usize, usize> = HashMap::new();
    for (index, params) in wanted.iter().enumerate().rev() {
        if let Some(next) = by_identity.insert(params.identity(), index) {
            namesakes.insert(index, next);
        }
    }
    let running: Vec<(RouterId, &RouterParams)> = running.into_iter().collect();
    let mut found = vec![false; wanted.len()];
    let mut becomes: Vec<Option<&RouterParams>> = vec![None; running.len()];
    let mut alterations = Vec::new();
    let mut counts = Counts::default();
    // Of several with one identity each is the one of its name, or else the first that is left.
    for by_name in [true, false] {
        for (&(id, params), becomes) in running.iter().zip(&mut becomes) {
            if becomes.is_some() {
                continue;
            }
            let first = by_identity.get(&params.identity()).copied();
            let mut same = std::iter::successors(first, |index| namesakes.get(index).copied())
                .filter_map(|index| Some((index, wanted.get(index)?)));
            let fits = |&(index, new): &(usize, &RouterParams)| {
                let named = !by_name || new.name == params.name;
                named && !found[index] && params.can_become(new)
            };
            let Some((index, new)) = same.find(fits) else { continue };
            found[index] = true;
            *becomes = Some(new);
            match params == new {
                true => counts.unchanged += 1,
                false => alterations.push(Step::Alter(id, index)),
            }
        }
    }
    let gone = running.iter().zip(&becomes).filter(|(_, becomes)| becomes.is_none());
    let removals: Vec<Step> = gone.map(|(&(id, _), _)| Step::Remove(id)).collect();
    let new = |(index, found): (usize, bool)| (!found).then_some(Step::Add(index));
    let additions: Vec<Step> = found.into_iter().enumerate().filter_map(new).collect();
    counts.removed = removals.len();
    counts.altered = alterations.len();
    counts.added = additions.len();
    let mut steps = removals;
    steps.append(&mut alterations);
    steps.extend(additions);
    Plan { steps, counts }
}

impl Step {
    /// The step as the engine takes it; `wanted` is the list that was compared.
    pub fn change(self, wanted: &[RouterParams]) -> Option<Change> {
        Some(match self {
            Step::Remove(id) => Change::Remove(id),
            Step::Alter(id, index) => Change::Alter(id, wanted.get(index)?.clone()),
            Step::Add(index) => Change::Add(wanted.get(index)?.clone()),
        })
    }
}

/// Lets a configuration speak of interfaces by the numbers of `names`, which gains those that are
/// new to it.
pub fn adopt_links(configuration: &mut Configuration, names: &mut LinkNames) {
    let numbers: Vec<LinkId> =
        configuration.links.iter().map(|(_, name)| names.intern(name)).collect();
    let adopt = |link: &mut LinkId| {
        if let Some(&number) = numbers.get(link.index()) {
            *link = number;
        }
    };
    for router in &mut configuration.routers {
        adopt(&mut router.link);
        router.tracked_links.iter_mut().for_each(adopt);
        for track in &mut router.tracking.tracks {
            match &mut track.what {
                Tracked::Link(link) => adopt(link),
                Tracked::Set(_, members) => {
                    let mut changed = members.to_vec();
                    for member in &mut changed {
                        if let Source::Link(link) = member {
                            adopt(link);
                        }
                    }
                    *members = changed.into();
                }
                Tracked::Script(_)
                | Tracked::File(_)
                | Tracked::Process(_)
                | Tracked::Statics(_)
                | Tracked::Source(_) => {}
            }
        }
        router.addresses.iter_mut().for_each(|address| adopt(&mut address.link));
        router.extras.untracked.iter_mut().for_each(|(link, _)| adopt(link));
        let ways = router.extras.ways.iter_mut();
        ways.for_each(|way| way.what.links_mut().for_each(adopt));
        for macvlan in &mut router.macvlans {
            adopt(&mut macvlan.link);
            adopt(&mut macvlan.base);
        }
    }
    let Statics { addresses, ways, .. } = &mut configuration.statics;
    addresses.iter_mut().for_each(|address| adopt(&mut address.link));
    ways.iter_mut().for_each(|way| way.what.links_mut().for_each(adopt));
    configuration.link_delays.iter_mut().for_each(|(link, ..)| adopt(link));
    configuration.links = LinkNames::default();
}

/// Lets a configuration speak of what is tracked by the numbers of `names`, which gains those that are
/// new to it.
pub fn adopt_trackers(configuration: &mut Configuration, names: &mut TrackNames) {
    let mut numbers = Vec::with_capacity(configuration.trackers.len());
    for tracker in &mut configuration.trackers {
        tracker.id = names.intern(tracker);
        numbers.push(tracker.id);
    }
    let adopt = |id: &mut TrackId| {
        if let Some(&number) = numbers.get(id.index()) {
            *id = number;
        }
    };
    configuration.statics.groups.iter_mut().for_each(|(id, _)| adopt(id));
    let tracks = configuration.routers.iter_mut().flat_map(|router| &mut router.tracking.tracks);
    for track in tracks {
        match &mut track.what {
            Tracked::Script(id)
            | Tracked::File(id)
            | Tracked::Process(id)
            | Tracked::Statics(id)
            | Tracked::Source(id) => adopt(id),
            Tracked::Set(_, members) => {
                let mut changed = members.to_vec();
                for member in &mut changed {
                    if let Source::Object(id) = member {
                        adopt(id);
                    }
                }
                *members = changed.into();
            }
            Tracked::Link(_) => {}
        }
    }
}

/// Settings that a running daemon can't change and that differ, by their names in the configuration.
pub fn fixed_settings(running: &Global, wanted: &Global) -> Vec<&'static str> {
    let (a, b) = (running, wanted);
    let differences = [
        (a.net_namespace != b.net_namespace, "net_namespace"),
        (a.instance != b.instance, "instance"),
        (a.use_pid_dir != b.use_pid_dir, "use_pid_dir"),
        (a.process.name != b.process.name, "process_name"),
        (a.process.nice != b.process.nice, "vrrp_priority"),
        (a.process.realtime != b.process.realtime, "vrrp_rt_priority"),
        (a.process.realtime_limit != b.process.realtime_limit, "vrrp_rlimit_rttime"),
        (a.process.no_swap != b.process.no_swap, "vrrp_no_swap"),
        (a.process.cpus != b.process.cpus, "vrrp_cpu_affinity"),
        (a.disable_local_igmp != b.disable_local_igmp, "disable_local_igmp"),
        (a.process.umask != b.process.umask, "umask"),
        (a.scripts.fifos != b.scripts.fifos, "notify_fifo, vrrp_notify_fifo"),
        (
            a.buffers != b.buffers,
            "vrrp_netlink_*_rcv_bufs, process_monitor_rcv_bufs, vrrp_rx_bufs_policy, kernel_rx_buf_size",
        ),
        (a.firewall != b.firewall, "nftables, nftables_priority, nftables_counters"),
    ];
    differences.into_iter().filter_map(|(differs, name)| differs.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Centis, Family, Scope, VirtualAddress, Vrid};
    use crate::vrrp::{Conduct, Extras, GarpParams, Preempt, Transport};
    use crate::wire::{ChecksumForm, Version};
    use proptest::prelude::*;

    fn router(link: u32, vrid: u8, name: &str) -> RouterParams {
        RouterParams {
            name: name.into(),
            link: LinkId(link),
            vrid: Vrid::new(vrid).unwrap(),
            version: Version::V3,
            transport: Transport::default(),
            checksum_form: ChecksumForm::Message,
            priority: 100,
            interval: Centis::DEFAULT,
            preempt: Preempt::Never,
            tracked_links: Box::default(),
            tracking: crate::vrrp::Tracking::default(),
            addresses: Box::new([VirtualAddress {
                ip: [10, 0, link as u8, vrid].into(),
                prefix_len: 24,
                link: LinkId(link),
                broadcast: None,
                label: None,
                scope: Scope::GLOBAL,
                options: None,
            }]),
            garp: GarpParams::default(),
            conduct: Conduct::default(),
            source_mac: None,
            macvlans: Box::default(),
            accept: true,
            extras: Extras::default(),
        }
    }

    fn with_ids(routers: &[RouterParams]) -> impl Iterator<Item = (RouterId, &RouterParams)> {
        // Ids with holes, as removed routers leave them.
        routers.iter().enumerate().map(|(index, params)| (RouterId(3 * index as u32), params))
    }

    #[test]
    fn a_renamed_router_is_the_same_and_another_version_is_another() {
        let old = [router(0, 1, "a"), router(0, 2, "b"), router(0, 3, "c")];
        let mut new = old.clone();
        new[0].name = "z".into();
        new[1].version = Version::V2;
        new.swap(0, 2);
        let plan = plan(with_ids(&old), &new);
        assert_eq!(
            plan.steps,
            [Step::Remove(RouterId(3)), Step::Alter(RouterId(0), 2), Step::Add(1)]
        );
        let Counts { added, altered, removed, unchanged } = plan.counts;
        assert_eq!((added, altered, removed, unchanged), (1, 1, 1, 1));
    }

    #[test]
    fn vrids_of_two_families_and_interfaces_are_their_own() {
        let mut six = router(0, 1, "six");
        six.addresses[0].ip = "fe80::1".parse().unwrap();
        six.transport.family = Family::Ipv6;
        let old = [router(0, 1, "four")];
        let new = [router(1, 1, "four"), six];
        let plan = plan(with_ids(&old), &new);
        assert_eq!(plan.steps, [Step::Remove(RouterId(0)), Step::Add(0), Step::Add(1)]);
    }

    /// Unicast routers may share interface, vrid and family; their names tell them apart.
    #[test]
    fn routers_that_share_an_identity_keep_to_their_names() {
        let named = |name: &str, priority| RouterParams { priority, ..router(0, 1, name) };
        let old = [named("a", 100), named("b", 100), named("c", 100)];
        let new = [named("c", 100), named("a", 101), named("z", 100)];
        let plan = plan(with_ids(&old), &new);
        assert_eq!(plan.steps, [Step::Alter(RouterId(0), 1), Step::Alter(RouterId(3), 2)]);
        assert_eq!(plan.counts.unchanged, 1);
        let fewer = super::plan(with_ids(&old), &new[..1]);
        assert_eq!(fewer.counts.removed, 2);
    }

    #[test]
    fn links_get_the_running_numbers() {
        let mut running = LinkNames::default();
        let (eth0, eth1) = (running.intern("eth0"), running.intern("eth1"));
        let mut configuration = Configuration::default();
        for name in ["eth7", "eth1", "eth0"] {
            configuration.links.intern(name);
        }
        let mut params = router(0, 1, "a");
        params.tracked_links = Box::new([LinkId(1)]);
        params.addresses[0].link = LinkId(2);
        configuration.routers.push(params);
        adopt_links(&mut configuration, &mut running);
        let params = &configuration.routers[0];
        assert_eq!(running.find("eth7"), Some(params.link));
        assert_eq!((params.link, params.tracked_links[0]), (LinkId(2), eth1));
        assert_eq!(params.addresses[0].link, eth0);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = Global::default();
        let mut new = Global { net_namespace: Some("blue".into()), ..Global::default() };
        assert_eq!(fixed_settings(&old, &new), ["net_namespace"]);
        new.net_namespace = None;
        assert!(fixed_settings(&old, &new).is_empty());
    }

    /// A set of routers, each identity once, in any order.
    fn routers() -> impl Strategy<Value = Vec<RouterParams>> {
        let one = (0..3u32, 1..6u8, 0..3u8, 100..103u8, any::<bool>());
        prop::collection::vec(one, 0..16).prop_map(|all| {
            let mut seen = std::collections::HashSet::new();
            let mut routers = Vec::new();
            for (link, vrid, name, priority, old) in all {
                let mut params = router(link, vrid, &format!("n{name}"));
                params.priority = priority;
                params.version = if old { Version::V2 } else { Version::V3 };
                if seen.insert(params.identity()) {
                    routers.push(params);
                }
            }
            routers
        })
    }

    proptest! {
        #[test]
        fn the_plan_makes_the_old_set_the_new_one(old in routers(), new in routers()) {
            let plan = plan(with_ids(&old), &new);
            let mut set: HashMap<Identity, RouterParams> =
                old.iter().map(|params| (params.identity(), params.clone())).collect();
            let identity = |id: RouterId| old[id.index() / 3].identity();
            for step in &plan.steps {
                match step.change(&new).unwrap() {
                    Change::Remove(id) => prop_assert!(set.remove(&identity(id)).is_some()),
                    Change::Alter(id, params) => {
                        let before = set.insert(identity(id), params.clone()).unwrap();
                        prop_assert!(before != params && before.can_become(&params));
                    }
                    Change::Add(params) => {
                        prop_assert!(set.insert(params.identity(), params).is_none());
                    }
                }
            }
            let wanted: HashMap<_, _> =
                new.iter().map(|params| (params.identity(), params.clone())).collect();
            prop_assert_eq!(set, wanted);
            let Counts { added, altered, removed, unchanged } = plan.counts;
            prop_assert_eq!(added + altered + removed, plan.steps.len());
            prop_assert_eq!(unchanged, old.iter().filter(|params| new.contains(params)).count());
        }
    }
}
