//! What a seed stands for: the hosts, the virtual routers they share, and what will go wrong.
//!
//! Swarm testing: each seed switches most kinds of fault off altogether and leans on the rest.
//! A world where everything fails a little at once hides the bugs that need one thing to fail a lot.

use viprd::base::{Centis, Family, Span, Vrid};
use viprd::vrrp::Preempt;
use viprd::wire::{ChecksumForm, Version};

use crate::random::Random;

pub const MILLI: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub hosts: usize,
    pub lans: usize,
    pub routers: Vec<RouterPlan>,
    pub net: Net,
    /// A deadline is acted upon up to this much late, as by a busy scheduler (ns).
    pub wake_latency: u64,
    /// Timers fired in one call, so that a turn takes several.
    pub budget: usize,
    /// What may go wrong, each with its weight; empty weights mean a calm world.
    pub faults: Vec<(FaultKind, u64)>,
    pub steps: usize,
    /// The longest advert interval of the world (ns): the measure of all its times.
    pub unit: u64,
    /// Nothing is lost, nobody fails, hosts only start and stop in order.
    pub calm: bool,
}

/// A virtual router as all hosts share it.
#[derive(Clone, Debug)]
pub struct RouterPlan {
    pub lan: usize,
    pub vrid: Vrid,
    pub version: Version,
    pub family: Family,
    pub checksum_form: ChecksumForm,
    /// Whether it depends on the service link (its addresses live there).
    pub tracked: bool,
    pub addresses: usize,
    /// One for each host.
    pub members: Vec<Member>,
}

/// What one host is in it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub priority: u8,
    pub interval: Centis,
    pub preempt: Preempt,
}

/// What the links do to packets. Times in ns, chances in permille.
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub delay_min: u64,
    pub delay_max: u64,
    pub loss: u64,
    pub duplicate: u64,
    /// Chance that a packet is held back, letting later ones pass.
    pub reorder: u64,
    pub reorder_delay: u64,
    /// A switch that sends everyone's packets back to them too.
    pub hairpin: bool,
    /// Packets a host's socket holds before it drops more.
    pub queue: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A host's daemon stops in order: priority 0, then nothing.
    Stop,
    /// A host dies without a word.
    Crash,
    /// A host stands still, then goes on where it was.
    Pause,
    /// A LAN falls in two.
    Partition,
    /// One host is not heard by another, which it hears.
    OneWay,
    /// An interface goes down and up again.
    LinkDown,
    /// An interface is deleted and made again with another index; the host may see only the end.
    LinkReplaced,
    /// An interface loses its address for a while.
    AddressGone,
    /// An interface's primary address becomes another.
    Renumber,
    /// The service link goes down and up again.
    ServiceDown,
    /// Somebody takes a virtual address off a host.
    VirtualAddressLost,
    /// Bytes that are no good advert arrive.
    Garbage,
}

impl Plan {
    pub fn new(seed: u64, steps: usize) -> Self {
        let mut random = Random::new(seed);
        let random = &mut random;
        let calm = random.chance(250);
        let crowded = random.chance(60);
        let base = random.pick(&[1u16, 10, 100]);
        let hosts = random.between(2, if crowded { 3 } else { 5 }) as usize;
        let lans = random.between(1, 2) as usize;
        let count = if crowded { random.between(20, 40) } else { random.between(1, 4) };
        let mut routers: Vec<RouterPlan> =
            (0..count).map(|n| router(random, hosts, lans, base, n as u8)).collect();
        // Nothing but the packets depends on the family, so it has chances of its own.
        let mut families = Random::new(!seed);
        for router in routers.iter_mut().filter(|router| router.version == Version::V3) {
            if families.chance(400) {
                router.family = Family::Ipv6;
            }
        }
        let intervals = routers.iter().flat_map(|router| &router.members).map(|m| m.interval);
        let unit = intervals.clone().max().map_or(0, |longest| longest.span().as_nanos());
        let shortest = intervals.min().map_or(0, |shortest| shortest.span().as_nanos());
        let kinds = [
            FaultKind::Stop,
            FaultKind::Crash,
            FaultKind::Pause,
            FaultKind::Partition,
            FaultKind::OneWay,
            FaultKind::LinkDown,
            FaultKind::LinkReplaced,
            FaultKind::AddressGone,
            FaultKind::Renumber,
            FaultKind::ServiceDown,
            FaultKind::VirtualAddressLost,
            FaultKind::Garbage,
        ];
        let mut faults = Vec::new();
        for kind in kinds {
            let allowed_when_calm =
                matches!(kind, FaultKind::Stop | FaultKind::ServiceDown | FaultKind::Garbage);
            if random.chance(400) && (!calm || allowed_when_calm) {
                faults.push((kind, random.between(1, 8)));
            }
        }
        let mut rough = |permille: u64, worst: u64| match !calm && random.chance(permille) {
            true => random.between(1, worst),
            false => 0,
        };
        let (loss, duplicate, reorder) = (rough(400, 300), rough(300, 300), rough(300, 200));
        let delay_max = random.pick(&[1_000, shortest / 100, shortest / 8]);
        Plan {
            seed,
            hosts,
            lans,
            net: Net {
                delay_min: delay_max / random.between(1, 10),
                delay_max,
                loss,
                duplicate,
                reorder,
                reorder_delay: random.between(shortest / 4, 2 * unit),
                hairpin: random.chance(150),
                queue: if !calm && random.chance(200) {
                    random.between(2, 20) as usize
                } else {
                    10_000
                },
            },
            wake_latency: if random.chance(500) { random.below(shortest / 16) } else { 0 },
            budget: if random.chance(300) { random.between(1, 3) as usize } else { 1_000 },
            faults,
            steps: if crowded { steps / 4 } else { steps },
            unit,
            calm,
            routers,
        }
    }
}

fn router(random: &mut Random, hosts: usize, lans: usize, base: u16, n: u8) -> RouterPlan {
    let version = match base >= 100 && random.chance(400) {
        true => Version::V2,
        false => Version::V3,
    };
    let interval = Centis::new(base * random.pick(&[1, 1, 2, 5])).expect("not zero");
    // v2 drops what has another interval; v3 learns it.
    let mixed = version == Version::V3 && random.chance(200);
    // Priorities: distinct, all equal, or whatever falls.
    let style = random.below(3);
    let common = random.between(1, 254) as u8;
    let owner = random.chance(120).then(|| random.index(hosts));
    let (never, delayed) = (random.chance(250), random.chance(250));
    let members = (0..hosts).map(|host| Member {
        priority: match style {
            _ if owner == Some(host) => 255,
            0 => 40 * (host as u8 + 1),
            1 => common,
            _ => random.pick(&[1, 99, 100, 101, 200, 254]),
        },
        interval: match mixed {
            true => Centis::new(base * random.pick(&[1, 2, 5])).expect("not zero"),
            false => interval,
        },
        preempt: match random.below(2) {
            0 if never => Preempt::Never,
            1 if delayed => {
                Preempt::After(Span::from_nanos(random.between(1, 6 * interval.span().as_nanos())))
            }
            _ => Preempt::After(Span::ZERO),
        },
    });
    RouterPlan {
        members: members.collect(),
        lan: random.index(lans),
        // Distinct on every LAN; both ends of the range are used.
        vrid: Vrid::new(255 - n * 6).expect("not zero"),
        version,
        family: Family::Ipv4,
        checksum_form: random.pick(&[ChecksumForm::Message, ChecksumForm::PseudoHeader]),
        tracked: random.chance(500),
        addresses: random.pick(&[1, 1, 2, 20]),
    }
}
