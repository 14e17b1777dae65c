//! The experiment of the seed page, cases C and D, as far as the engine decides it: HostA's states
//! in the order in which the log has to tell them, and the times that clients see.

use std::net::IpAddr;

use viprd::base::{Instant, LinkChange, Span};
use viprd::vrrp::Cause;
use viprd::vrrp::{Action, Engine, Fault, GarpParams, RouterParams, StateName};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication, Version};

use crate::desk::*;

/// The two hosts of the seed: VRRPv2, priority 101 both, the address on a tracked interface.
struct Lan {
    hosts: [Engine; 2],
    now: Instant,
    /// What the first host wished, and when.
    log: Vec<(Instant, Action)>,
}

const A: usize = 0;
const B: usize = 1;

impl Lan {
    fn new() -> Self {
        let params = || RouterParams {
            version: Version::V2,
            priority: 101,
            tracked_links: Box::new([SERVICE]),
            tracking: viprd::vrrp::Tracking::default(),
            garp: GarpParams::default(),
            ..params()
        };
        let host = |address| {
            let mut engine = Engine::new(vec![params()], 2);
            for link in [OWN, SERVICE] {
                let mut facts = facts(link);
                if let (Some(primary), IpAddr::V4(address)) = (&mut facts.primary_ipv4, address) {
                    *primary = address;
                }
                engine.on_link(START, &LinkChange { link, facts: Some(facts) });
            }
            engine
        };
        Lan { hosts: [host(LOWER_ADDRESS), host(HIGHER_ADDRESS)], now: START, log: Vec::new() }
    }

    fn state(&self, host: usize) -> StateName {
        self.hosts[host].view(ROUTER).state.name()
    }

    fn eth1(&mut self, host: usize, up: bool) {
        let facts = viprd::base::LinkFacts { up, ..facts(SERVICE) };
        self.hosts[host].on_link(self.now, &LinkChange { link: SERVICE, facts: Some(facts) });
        self.settle();
    }

    /// Carries out all wishes of this instant: adverts arrive at once, addresses are set at once.
    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for host in [A, B] {
                while let Some(wish) = self.hosts[host].next_action() {
                    quiet = false;
                    if host == A {
                        self.log.push((self.now, wish));
                    }
                    match wish {
                        Action::Advertise { priority, .. } => self.deliver(host, priority),
                        Action::SetAddresses { router } => {
                            self.hosts[host].on_addresses_set(self.now, router);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn deliver(&mut self, from: usize, priority: u8) {
        let view = self.hosts[from].view(ROUTER);
        let frame = AdvertFrame::new(
            &AdvertContent {
                version: view.params.version,
                vrid: view.params.vrid,
                priority,
                interval: view.params.interval,
                source: [LOWER_ADDRESS, HIGHER_ADDRESS][from],
                addresses: &[VIRTUAL],
                checksum_form: view.params.checksum_form,
                authentication: Authentication::None,
            },
            Default::default(),
        );
        let advert = Advert::parse(frame.packet()).unwrap();
        self.hosts[1 - from].on_advert(self.now, ifindex(OWN), &advert);
    }

    fn run_for(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let due = self.hosts.iter_mut().map(Engine::next_deadline).min().unwrap();
            if due > end {
                break;
            }
            self.now = due;
            for host in &mut self.hosts {
                host.on_deadlines(due, usize::MAX);
            }
            self.settle();
        }
        self.now = end;
    }
}

#[test]
fn cases_c_and_d() {
    let mut lan = Lan::new();
    lan.hosts[A].start(START);
    lan.settle();
    lan.run_for(Span::from_secs(10));
    lan.hosts[B].start(lan.now);
    lan.run_for(Span::from_secs(10));
    assert_eq!((lan.state(A), lan.state(B)), (StateName::Master, StateName::Backup));

    // Case C: eth1 of HostA goes down; HostB has the address within its skew time.
    let down = lan.now;
    lan.eth1(A, false);
    assert_eq!(lan.state(A), StateName::Fault);
    lan.run_for(Span::from_secs(20));
    assert_eq!(lan.state(B), StateName::Master);
    let silence = lan.hosts[B].view(ROUTER).since.since(down);
    assert_eq!(silence, Span::from_nanos(605_468_750));

    // Case D: it comes back; nothing changes for clients.
    let taken = lan.hosts[B].view(ROUTER).since;
    lan.eth1(A, true);
    lan.run_for(Span::from_secs(20));
    assert_eq!((lan.state(A), lan.state(B)), (StateName::Backup, StateName::Master));
    assert_eq!(lan.hosts[B].view(ROUTER).since, taken);

    // HostB goes without a word; HostA waits its whole down interval.
    let last = lan.hosts[A].view(ROUTER).last_advert.unwrap();
    lan.hosts[B] = Engine::new(Vec::new(), 2);
    lan.run_for(Span::from_secs(20));
    assert_eq!(lan.state(A), StateName::Master);
    let waited = lan.hosts[A].view(ROUTER).since.since(last);
    assert_eq!(waited, Span::from_nanos(3_605_468_750));

    use StateName::{Backup, Fault as InFault, Init, Master};
    let states: Vec<_> = lan
        .log
        .iter()
        .filter_map(|(_, wish)| match wish {
            Action::Entered { from, to, cause, .. } => Some((*from, *to, *cause)),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [
            (Init, Backup, Cause::Startup),
            (Backup, Master, Cause::ActiveTimeout),
            (Master, InFault, Cause::Fault(Fault::LinkDown(SERVICE))),
            (InFault, Backup, Cause::FaultEnded),
            (Backup, Master, Cause::ActiveTimeout),
        ]
    );
    // "Sending gratuitous ARPs", again "5 s later", for each time that it was MASTER.
    let announced: Vec<_> = lan
        .log
        .iter()
        .filter(|(_, wish)| matches!(wish, Action::Announce { .. }))
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(announced.len(), 4, "{announced:?}");
    for pair in announced.chunks(2) {
        assert_eq!(pair[1].since(pair[0]), Span::from_secs(5));
    }
}

/// Both start together with equal priorities: the higher address wins at the first exchange.
#[test]
fn equal_priorities_settle_at_once() {
    let mut lan = Lan::new();
    for host in [A, B] {
        lan.hosts[host].start(START);
    }
    lan.settle();
    lan.run_for(Span::from_nanos(3_605_468_750));
    assert_eq!((lan.state(A), lan.state(B)), (StateName::Backup, StateName::Master));
    lan.run_for(Span::from_secs(60));
    assert_eq!((lan.state(A), lan.state(B)), (StateName::Backup, StateName::Master));
}
