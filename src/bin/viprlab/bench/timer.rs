//! **How exact deadlines are**: one daemon, twelve virtual routers of all kinds of priority and
//! interval, and a master that the bench plays. It falls silent, or says that it leaves; what lies
//! between the kernel's stamp on its last advert and that on the daemon's first one is set against
//! the formula of RFC 9568, section 6.1.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};
use viprd::base::{Centis, Mac, Vrid};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Authentication, ChecksumForm, Version};

use crate::capture;
use crate::daemon::{Daemon, Program, Programs};
use crate::interrupt;
use crate::topology::{Plan, RunDir};

use super::jobs::Goal;
use super::measure::{Measure, Sheet, told};
use super::play::{CPU_A, CPU_B, Halt, NO_IPV6, Outcome};
use super::process::{now_ns, stay_on};
use super::scene::{Scene, Side};
use super::tap::{Frame, Kind, Tap, What};

/// How far a median may be from the formula, in microseconds.
const GOAL_US: f64 = 1_500.0;

/// The priority of the master that the bench plays: above all others.
const MASTER: u8 = 255;

/// How long the daemon has to start before the first silence.
const BEGINNING_NS: u64 = 1_500_000_000;

/// One virtual router.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Deadline {
    priority: u8,
    interval_ms: u32,
    /// From the last advert of a master that falls silent.
    down: Measure,
    /// From its advert of priority 0.
    handover: Measure,
}

/// An advert to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Planned {
    /// When, in nanoseconds since the play began.
    at: u64,
    /// Which router's.
    router: usize,
    priority: u8,
}

macro_rules! deadlines {
    ($($priority:literal $interval_ms:literal $interval:literal,)*) => {
        [$(Deadline {
            priority: $priority,
            interval_ms: $interval_ms,
            down: told(concat!($interval, ", priority ", $priority, ": down time − formula"), "µs"),
            handover:
                told(concat!($interval, ", priority ", $priority, ": handover − formula"), "µs"),
        }),*]
    };
}

/// All of them: the number of one is its vrid less one.
const DEADLINES: [Deadline; 12] = deadlines![
    254 10 "10 ms", 200 10 "10 ms", 100 10 "10 ms", 1 10 "10 ms",
    254 100 "100 ms", 200 100 "100 ms", 100 100 "100 ms", 1 100 "100 ms",
    254 1000 "1 s", 200 1000 "1 s", 100 1000 "1 s", 1 1000 "1 s",
];

/// What was promised: each of them as close to its formula.
pub(super) fn goals() -> Vec<(Measure, Goal)> {
    let both = DEADLINES.iter().flat_map(|deadline| [deadline.down, deadline.handover]);
    both.map(|measure| (measure, Goal::AtMost(GOAL_US))).collect()
}

/// Lets each router of `program` take over twice, once after silence and once after priority 0.
///
/// # Errors
/// If it can't be played to its end.
pub(super) fn play(
    program: Program,
    programs: &Programs,
    say: &dyn Fn(&str),
) -> Result<Outcome, Halt> {
    say("building the network");
    // The daemon has a processor of its own; master, taps and everything else are on the other.
    stay_on(CPU_A)?;
    let mut plan = Plan::default();
    let (a, b) = (plan.host("a"), plan.host("b"));
    let link = Scene::link_name(0);
    plan.wire((a, &link), (b, &link));
    plan.address(a, &link, &Scene::link_address(0, Side::A));
    plan.address(b, &link, &Scene::link_address(0, Side::B));
    let topology = plan.build()?;
    let directory = RunDir::new()?;
    let config = directory.file("b.conf");
    std::fs::write(&config, configuration())?;
    for host in [a, b] {
        topology.host(host).enter(|| std::fs::write(NO_IPV6, "1"))?;
    }
    let to_b = Tap::start(topology.host(b), 1, Kind::Adverts)?;
    let to_a = Tap::start(topology.host(a), 1, Kind::Adverts)?;

    say("taking over, again and again");
    let mut daemon =
        Daemon::start_on(CPU_B, program, programs, topology.host(b), "b", &config, &directory)?;
    let socket = topology.host(a).enter(|| capture::open(&link, 0))?;
    let mut frames = frames(plan.mac(a, &link));
    let begun = now_ns();
    for planned in schedule() {
        sleep_until(begun + planned.at, &mut daemon)?;
        let frame = &mut frames[planned.router];
        frame.set_priority(planned.priority);
        send(socket.as_raw_fd(), frame.bytes(), MsgFlags::empty()).map_err(io::Error::from)?;
    }
    daemon.kill();

    let mut outcome = Outcome::default();
    let [to_b, to_a] = [to_b, to_a].map(Tap::finish);
    outcome.doubts.extend(to_b.doubt.into_iter().chain(to_a.doubt));
    outcome.doubts.extend(judge(&to_b.frames, &to_a.frames, &mut outcome.sheet));
    Ok(outcome)
}

/// The daemon's file.
fn configuration() -> String {
    let mut text = String::new();
    for (number, deadline) in DEADLINES.iter().enumerate() {
        let (link, address) = (Scene::link_name(0), Scene::address(number));
        let _ = writeln!(
            text,
            "vrrp_instance R{number} {{\n    version 3\n    state BACKUP\n    interface {link}\n    \
             virtual_router_id {}\n    priority {}\n    advert_int {}\n    virtual_ipaddress \
             {{\n        {address}/32\n    }}\n}}\n",
            number + 1,
            deadline.priority,
            f64::from(deadline.interval_ms) / 1e3,
        );
    }
    text
}

/// The master's adverts, one for each router.
fn frames(mac: Mac) -> Vec<AdvertFrame> {
    let frame = |(number, deadline): (usize, &Deadline)| {
        let content = AdvertContent {
            version: Version::V3,
            vrid: Vrid::new(number as u8 + 1)?,
            priority: MASTER,
            interval: Centis::new((deadline.interval_ms / 10) as u16)?,
            source: IpAddr::from(Ipv4Addr::new(10, 77, 0, 1)),
            addresses: &[IpAddr::from(Scene::address(number))],
            // Every keepalived takes this one.
            checksum_form: ChecksumForm::PseudoHeader,
            authentication: Authentication::None,
        };
        Some(AdvertFrame::new(&content, mac))
    };
    DEADLINES.iter().enumerate().filter_map(frame).collect()
}

/// What the master sends, in order. Each router hears its adverts on time but for two silences, one
/// of which priority 0 begins. Those at 1 s are left at the same moment, being far apart in what
/// follows; of the others only one at a time, so that the daemon has nothing else to do.
fn schedule() -> Vec<Planned> {
    let silences: Vec<u64> = DEADLINES.iter().map(Deadline::silence_ns).collect();
    let mut ends = [BEGINNING_NS; 2];
    let mut begins = Vec::new();
    for (deadline, silence) in DEADLINES.iter().zip(&silences) {
        let slow = deadline.interval_ms >= 1000;
        begins.push(if slow { BEGINNING_NS } else { ends[0] });
        // Two silences and what lies between them.
        let end = begins[begins.len() - 1] + 2 * silence + 4 * deadline.interval_ns();
        ends[usize::from(slow)] = if slow { ends[1].max(end) } else { end };
    }
    let end = ends[0].max(ends[1]);
    let mut planned = Vec::new();
    for (router, deadline) in DEADLINES.iter().enumerate() {
        let interval = deadline.interval_ns();
        // No two routers' adverts at the same moment.
        let mut at = router as u64 * interval / 12;
        let mut silences_left = 2;
        let mut speak = begins[router];
        while at < end {
            planned.push(Planned { at, router, priority: MASTER });
            if silences_left > 0 && at >= speak {
                if silences_left == 1 {
                    at += interval * 2 / 5;
                    planned.push(Planned { at, router, priority: 0 });
                }
                silences_left -= 1;
                at += silences[router];
                // Three adverts, then the other silence.
                speak = at + 2 * interval;
            } else {
                at += interval;
            }
        }
    }
    planned.sort_by_key(|planned| planned.at);
    planned
}

/// Puts down how far each takeover was from its formula; returns what may be wrong.
fn judge(to_b: &[Frame], to_a: &[Frame], sheet: &mut Sheet) -> Vec<String> {
    let mut doubts = Vec::new();
    for (number, deadline) in DEADLINES.iter().enumerate() {
        let of_router = |frame: &&Frame| matches!(frame.what, What::Advert { vrid, .. } if usize::from(vrid) == number + 1);
        let heard: Vec<&Frame> = to_b.iter().filter(of_router).collect();
        let mut takeovers = (0, 0);
        // The last advert that was heard before the one of the daemon that was looked at last.
        let mut last = None;
        for own in to_a.iter().filter(of_router) {
            let Some(place) = heard.partition_point(|frame| frame.at <= own.at).checked_sub(1)
            else {
                continue;
            };
            if last == Some(place) {
                continue;
            }
            last = Some(place);
            let farewell = matches!(heard[place].what, What::Advert { priority: 0, .. });
            let took = own.at - heard[place].at;
            let (measure, formula, count) = match farewell {
                true => (deadline.handover, deadline.skew_ns(), &mut takeovers.1),
                false => (deadline.down, deadline.down_ns(), &mut takeovers.0),
            };
            // An advert that was on its way when the master came back is no takeover.
            if took * 2 >= formula {
                sheet.push((measure, (took as f64 - formula as f64) / 1e3));
                *count += 1;
            }
        }
        if takeovers != (1, 1) {
            let Deadline { priority, interval_ms, .. } = deadline;
            let (down, handover) = takeovers;
            doubts.push(format!(
                "priority {priority}, {interval_ms} ms: {down} takeovers after silence, {handover} \
                 after priority 0, one each was expected"
            ));
        }
    }
    doubts
}

/// Sleeps until `at`, at most a fifth of a second at a time, so that signals are heard.
fn sleep_until(at: u64, daemon: &mut Daemon) -> Result<(), Halt> {
    loop {
        let left = at.saturating_sub(now_ns());
        if left == 0 {
            return Ok(());
        }
        if left > 200_000_000 {
            interrupt::check()?;
            daemon.alive()?;
        }
        thread::sleep(Duration::from_nanos(left.min(200_000_000)));
    }
}

impl Deadline {
    fn interval_ns(&self) -> u64 {
        u64::from(self.interval_ms) * 1_000_000
    }

    /// `Skew_Time`.
    fn skew_ns(&self) -> u64 {
        u64::from(256 - u16::from(self.priority)) * self.interval_ns() / 256
    }

    /// `Active_Down_Interval`.
    fn down_ns(&self) -> u64 {
        3 * self.interval_ns() + self.skew_ns()
    }

    /// How long the master is silent: until the daemon has taken over, and a bit.
    fn silence_ns(&self) -> u64 {
        self.down_ns() + self.interval_ns() / 2 + 20_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_those_of_the_rfc() {
        let [first, .., last] = DEADLINES;
        assert_eq!((first.skew_ns(), first.down_ns()), (78_125, 30_078_125));
        assert_eq!((last.skew_ns(), last.down_ns()), (996_093_750, 3_996_093_750));
        assert_eq!(goals().len(), 24);
    }

    #[test]
    fn each_router_is_left_twice_and_else_hears_its_master_on_time() {
        let planned = schedule();
        assert!(planned.is_sorted_by_key(|planned| planned.at));
        let mut silent_at = Vec::new();
        for (router, deadline) in DEADLINES.iter().enumerate() {
            let own: Vec<&Planned> = planned.iter().filter(|one| one.router == router).collect();
            assert_eq!(own.iter().filter(|one| one.priority == 0).count(), 1);
            let silences = own.windows(2).filter(|two| {
                let gap = two[1].at - two[0].at;
                assert!(gap <= deadline.silence_ns());
                gap > deadline.interval_ns()
            });
            let silences: Vec<_> = silences.map(|two| (two[0].at, two[1].at)).collect();
            assert_eq!(silences.len(), 2, "router {router}");
            assert!(silences[0].0 >= BEGINNING_NS);
            if deadline.interval_ms < 1000 {
                silent_at.extend(silences);
            }
        }
        silent_at.sort_unstable();
        assert!(silent_at.windows(2).all(|two| two[0].1 <= two[1].0), "two at a time");
        assert!(planned.last().is_some_and(|last| last.at < 20_000_000_000));
    }

    #[test]
    fn takeovers_are_set_against_their_formula() {
        let advert = |at, priority| Frame { at, what: What::Advert { link: 0, vrid: 3, priority } };
        let deadline = &DEADLINES[2];
        let (down, skew) = (deadline.down_ns(), deadline.skew_ns());
        let heard = [advert(1_000, 255), advert(90_000_000, 255), advert(90_000_500, 0)];
        let own = [
            advert(1_000 + down + 7_000, 100),
            advert(1_000 + down + 10_000_000, 100),
            advert(90_000_100, 100),
            advert(90_000_500 + skew - 2_000, 100),
        ];
        let mut sheet = Sheet::new();
        let doubts = judge(&heard, &own, &mut sheet);
        assert_eq!(sheet, [(deadline.down, 7.0), (deadline.handover, -2.0)]);
        assert_eq!(doubts.len(), DEADLINES.len() - 1);
    }

    #[test]
    fn the_viprd_library_understands_the_file() {
        use std::path::Path;
        use viprd::config::{MemoryFiles, Options, Severity, load};
        let files = MemoryFiles::new().with("/c", configuration());
        let loaded = load(Path::new("/c"), &files, &Options::default());
        assert_eq!(loaded.diagnostics.count(Severity::Warning), 0);
        assert_eq!(loaded.configuration.map(|c| c.routers.len()), Some(12));
        assert_eq!(frames(Mac([2, 0, 0, 0, 0, 1])).len(), 12);
    }
}
