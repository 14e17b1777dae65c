//! **Interoperation**: viprd beside another daemon, as the preferred router and as the other one, in
//! every way that both can be configured.
//!
//! A row is a case (`case`) with one of the two preferred. Each has two hosts (`router`) on a bridge
//! of its own, and is played (`play`) on a thread of its own, several at once. Who is master is
//! judged from outside: by what each host's port of the bridge receives (`wire`) and by the addresses
//! that the kernel has.

mod case;
mod frr;
mod play;
mod report;
mod router;
mod wire;

pub(crate) use case::{CASES, Case};
pub(crate) use report::Report;

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use viprd::base::Mac;

use crate::daemon::{Program, Programs};
use crate::interrupt::{Stop, wait_for};
use crate::progress::Progress;
use crate::topology::{HostId, Namespace, Plan, RunDir, Topology};

use case::{Ends, LINK, Role};
use play::Row;
use report::RowReport;
use router::Router;

/// How many rows are played at once: they sleep nearly all of the time.
const AT_ONCE: usize = 16;

/// How long the kernel may look for duplicates of new addresses.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(10);

/// Why nothing could be played.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that the bench itself needs failed.
    Setup(io::Error),
    /// A signal asked to stop.
    Signal(i32),
}

/// Why a row came to no end.
#[derive(Debug)]
enum Halt {
    /// A signal, or a daemon that did not do what was awaited.
    Stop(Stop),
    /// Something that the bench itself needs.
    Io(io::Error),
}

/// A row before it is played.
#[derive(Debug)]
struct Pair {
    case: &'static Case,
    /// The preferred one, then the other.
    programs: [Program; 2],
    hosts: [HostId; 2],
    names: [String; 2],
    macs: [Mac; 2],
}

/// Plays `cases`, each with viprd preferred and with the peer.
///
/// # Errors
/// [`Failure`] if they can't be played at all. What goes wrong in a row is in the report.
pub(crate) fn play(
    cases: &[&'static Case],
    programs: &Programs,
    progress: &Progress,
) -> Result<Report, Failure> {
    progress.say("building the networks");
    let begun = Instant::now();
    let mut plan = Plan::default();
    let pairs = plan_pairs(cases, &mut plan);
    let topology = plan.build().map_err(Failure::Setup)?;
    let directory = RunDir::new().map_err(Failure::Setup)?;
    let keepalived = version_of_keepalived(programs);

    // The longest first, so that none is left over at the end.
    let mut order: Vec<&Pair> = pairs.iter().collect();
    order.sort_by_key(|pair| std::cmp::Reverse(pair.case.interval()));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(pair) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let say = |step: &str| {
                let done = done.load(Ordering::Relaxed);
                let (peer, case) = (pair.case.peer.name(), pair.case.name);
                progress.say(format!("{done} of {} rows; {peer} {case}: {step}", pairs.len()));
            };
            let outcome = pair.play(programs, &topology, &directory, &keepalived, &say);
            let stop = outcome.is_err();
            done.fetch_add(1, Ordering::Relaxed);
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.push((pair.names[0].clone(), outcome));
            if stop {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(pairs.len()) {
            scope.spawn(work);
        }
    });

    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |name: &str| pairs.iter().position(|pair| pair.names[0] == name);
    outcomes.sort_by_key(|(name, _)| place(name));
    let rows: Result<Vec<RowReport>, Halt> = outcomes.into_iter().map(|(_, row)| row).collect();
    let rows = rows.map_err(|halt| match halt {
        Halt::Stop(Stop::Signal(signal)) => Failure::Signal(signal),
        Halt::Stop(Stop::Trouble(what)) => Failure::Setup(io::Error::other(what)),
        Halt::Io(error) => Failure::Setup(error),
    })?;
    let holds = rows.iter().all(|row| row.holds);
    Ok(Report { holds, took_s: begun.elapsed().as_secs_f64(), rows })
}

/// Two hosts on a bridge for each row.
fn plan_pairs(cases: &[&'static Case], plan: &mut Plan) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for &case in cases {
        for programs in [[Program::Viprd, case.peer], [case.peer, Program::Viprd]] {
            let number = pairs.len() + 1;
            let names = ["a", "b"].map(|end| format!("{number}{end}"));
            let hosts = names.each_ref().map(|name| plan.host(name));
            plan.segment(&[(hosts[0], LINK), (hosts[1], LINK)]);
            for (host, number) in hosts.iter().zip(1..) {
                plan.address(*host, LINK, &format!("10.9.0.{number}/24"));
            }
            let macs = hosts.map(|host| plan.mac(host, LINK));
            pairs.push(Pair { case, programs, hosts, names, macs });
        }
    }
    pairs
}

impl Pair {
    fn play(
        &self,
        programs: &Programs,
        topology: &Topology,
        directory: &RunDir,
        keepalived: &str,
        say: &dyn Fn(&str),
    ) -> Result<RowReport, Halt> {
        if let Some(why) = self.case.impossible(keepalived) {
            return Ok(self.not_played(why));
        }
        say("waiting for addresses");
        for (role, host) in Role::BOTH.into_iter().zip(self.hosts) {
            self.prepare(topology.host(host), role)?;
        }
        let routers = Role::BOTH.map(|role| {
            let place = role as usize;
            let host = (topology, self.hosts[place], &*self.names[place]);
            let ends = Ends { own: self.address(role), theirs: self.address(role.other()) };
            let program = self.programs[place];
            Router::new(program, self.case, role, ends, host, (directory, programs))
        });
        let [preferred, other] = routers;
        let mut row = Row::new(self.case, [preferred?, other?]);
        let (steps, trouble) = row.play(&|step| say(step.name()))?;
        let [preferred_log, other_log] = row.logs();
        Ok(RowReport {
            peer: self.case.peer,
            case: self.case.name,
            title: self.case.title(),
            preferred: self.programs[0],
            holds: trouble.is_none(),
            impossible: None,
            steps,
            trouble,
            notes: row.notes().collect(),
            preferred_log,
            other_log,
        })
    }

    fn not_played(&self, why: String) -> RowReport {
        RowReport {
            peer: self.case.peer,
            case: self.case.name,
            title: self.case.title(),
            preferred: self.programs[0],
            holds: true,
            impossible: Some(why),
            steps: vec![],
            trouble: None,
            notes: vec![],
            preferred_log: vec![],
            other_log: vec![],
        }
    }

    /// Waits until a host has the addresses that it advertises from, and tells it where the other
    /// one's lives: a master goes on to advertise to a peer that is gone, and shall be heard.
    fn prepare(&self, namespace: &Namespace, role: Role) -> Result<(), Halt> {
        let what = format!("the link-local address of {}", self.names[role as usize]);
        wait_for(&what, ADDRESSES_WITHIN, || {
            let tentative = namespace.enter(has_tentative_address).unwrap_or(true);
            Ok((!tentative).then_some(()))
        })?;
        if self.case.is_unicast() {
            let other = role.other();
            let (address, mac) = (self.address(other), self.macs[other as usize]);
            let command = format!("neigh replace {address} lladdr {mac} nud permanent dev {LINK}");
            namespace.ip(&command)?;
        }
        Ok(())
    }

    /// The address that a host advertises from.
    fn address(&self, role: Role) -> IpAddr {
        match self.case.is_ipv6() {
            true => link_local(self.macs[role as usize]).into(),
            false => IpAddr::from([10, 9, 0, role as u8 + 1]),
        }
    }
}

/// What keepalived calls its version: the digits and points after `Keepalived v`. Nothing if it does
/// not say.
fn version_of_keepalived(programs: &Programs) -> String {
    let output = Command::new(programs.path(Program::Keepalived)).arg("--version").output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let version = said.split_once("Keepalived v").map_or("", |(_, rest)| rest);
    version.chars().take_while(|&c| c.is_ascii_digit() || c == '.').collect()
}

/// The link-local address that the kernel makes of an Ethernet address (RFC 4291, appendix A).
fn link_local(Mac([a, b, c, d, e, f]): Mac) -> Ipv6Addr {
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
}

/// Whether the calling thread's namespace has no link-local address, or one that the kernel does not
/// use yet (`IFA_F_TENTATIVE` in `if_inet6`).
fn has_tentative_address() -> io::Result<bool> {
    let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    let mut flags = table.lines().filter(|line| line.starts_with("fe80")).map(|line| {
        let flags = line.split_whitespace().nth(4).unwrap_or_default();
        u8::from_str_radix(flags, 16).unwrap_or(0)
    });
    let mut found = false;
    Ok(flags.any(|flags| {
        found = true;
        flags & 0x40 != 0
    }) || !found)
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Halt::Stop(stop)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_follows_from_the_mac() {
        let mac = Mac([2, 0x76, 0, 0x1f, 0, 1]);
        assert_eq!(link_local(mac).to_string(), "fe80::76:ff:fe1f:1");
    }

    #[test]
    fn each_case_has_two_rows_on_bridges_of_their_own() {
        let mut plan = Plan::default();
        let cases: Vec<&Case> = CASES.iter().collect();
        let pairs = plan_pairs(&cases, &mut plan);
        assert_eq!(pairs.len(), 2 * CASES.len());
        for (number, pair) in pairs.iter().enumerate() {
            let preferred = pair.programs[0] == Program::Viprd;
            assert_eq!(preferred, number % 2 == 0);
            assert_eq!(pair.programs.contains(&Program::Viprd), pair.case.peer != Program::Viprd);
        }
    }
}
