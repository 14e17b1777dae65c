//! One member of one virtual router as the RFC's text tells it (9568 section 6.4, 3768 section 6.1),
//! written a second time, plainly, and kept away from the code under test: times are `u64`
//! nanoseconds of the host's own clock, packets are bytes at their offsets.
//!
//! The real engine must agree with it after every turn: the phase, the deadline to the nanosecond,
//! and the adverts sent meanwhile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use viprd::vrrp::Preempt;
use viprd::wire::Version;

use crate::plan::Member;

const CENTISECOND: u64 = 10_000_000;

#[derive(Clone, Debug)]
pub struct Model {
    pub me: Member,
    pub version: Version,
    /// Its place among the host's virtual routers.
    number: usize,
    pub phase: Phase,
    /// Priorities of the adverts it has sent since somebody last looked.
    pub sent: Vec<u8>,
    /// Whether it has answered a losing advert since somebody last looked.
    pub contested: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Stopped,
    Fault,
    Backup {
        deadline: u64,
        /// The interval learned from the Active (ns).
        interval: u64,
        /// Since when a lower priority has been heard, if the delay before preempting runs.
        lower_since: Option<u64>,
    },
    Active {
        next: u64,
    },
}

/// An advert as its bytes say.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub source: IpAddr,
    pub vrid: u8,
    pub priority: u8,
    /// In nanoseconds.
    pub interval: u64,
}

impl Heard {
    /// Reads an advert of ours (an IP header without options in front).
    pub fn read(packet: &[u8]) -> Heard {
        let (source, message) = match packet[0] >> 4 {
            6 => {
                let source: [u8; 16] = packet[8..24].try_into().expect("sixteen");
                (Ipv6Addr::from(source).into(), &packet[40..])
            }
            _ => {
                let source = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
                (source.into(), &packet[20..])
            }
        };
        let interval = match message[0] >> 4 {
            2 => u64::from(message[5]) * 100,
            _ => u64::from(u16::from_be_bytes([message[4] & 0x0f, message[5]])),
        };
        Heard { source, vrid: message[1], priority: message[2], interval: interval * CENTISECOND }
    }
}

impl Model {
    pub fn new(me: Member, version: Version, number: usize) -> Self {
        Model { me, version, number, phase: Phase::Stopped, sent: Vec::new(), contested: false }
    }

    pub fn interval(&self) -> u64 {
        self.me.interval.span().as_nanos()
    }

    pub fn skew(&self, interval: u64) -> u64 {
        let whole = match self.version {
            Version::V2 => 100 * CENTISECOND,
            Version::V3 => interval,
        };
        whole * (256 - u64::from(self.me.priority)) / 256
    }

    pub fn down_interval(&self, interval: u64) -> u64 {
        3 * interval + self.skew(interval)
    }

    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active { .. })
    }

    /// 6.4.1.
    pub fn startup(&mut self, now: u64) {
        if self.me.priority == 255 {
            self.become_active(now);
        } else {
            let interval = self.interval();
            let deadline = now + self.down_interval(interval);
            self.phase = Phase::Backup { deadline, interval, lower_since: None };
        }
    }

    /// Shutdown, or a fault. `speaks`: whether its interface still carries anything.
    pub fn shutdown(&mut self, into: Phase, speaks: bool) {
        if self.is_active() && speaks {
            self.sent.push(0);
        }
        self.phase = into;
    }

    /// An advert from somebody else whose form is right. `own` is the host's address on that LAN.
    /// Says whether it keeps a Backup waiting (then a takeover in the same turn is wrong).
    pub fn hear(&mut self, now: u64, own: IpAddr, heard: Heard) -> bool {
        let ours = self.me.priority;
        match self.phase {
            Phase::Stopped | Phase::Fault => false,
            // 6.4.2
            Phase::Backup { interval, lower_since, deadline } => {
                if heard.priority == 0 {
                    let deadline = now + self.skew(interval);
                    self.phase = Phase::Backup { deadline, interval, lower_since: None };
                    return false;
                }
                let lower = heard.priority < ours;
                let lower_since = lower.then_some(lower_since.unwrap_or(now));
                if lower && self.preempts(now - lower_since.unwrap_or(now)) {
                    self.phase = Phase::Backup { deadline, interval, lower_since };
                    return false;
                }
                let deadline = now + self.down_interval(heard.interval);
                self.phase = Phase::Backup { deadline, interval: heard.interval, lower_since };
                true
            }
            // 6.4.3
            Phase::Active { .. } => {
                if heard.priority == 0 {
                    self.sent.push(ours);
                    self.start_advertising(now);
                } else if (heard.priority, heard.source) > (ours, own) {
                    let deadline = now + self.down_interval(heard.interval);
                    self.phase =
                        Phase::Backup { deadline, interval: heard.interval, lower_since: None };
                    return true;
                } else {
                    self.sent.push(ours);
                    self.contested = true;
                }
                false
            }
        }
    }

    /// Whatever is due fires.
    pub fn fire(&mut self, now: u64) {
        match self.phase {
            Phase::Backup { deadline, .. } if deadline <= now => self.become_active(now),
            Phase::Active { next } if next <= now => {
                self.sent.push(self.me.priority);
                let after = next + self.interval();
                if after > now {
                    self.phase = Phase::Active { next: after };
                } else {
                    self.start_advertising(now); // late by more than an interval: no burst
                }
            }
            _ => {}
        }
    }

    /// Somebody took one of its addresses off the host (keepalived 3.8).
    pub fn lose_address(&mut self, now: u64) {
        if self.is_active() {
            self.sent.push(0);
            let interval = self.interval();
            let deadline = now + self.skew(interval);
            self.phase = Phase::Backup { deadline, interval, lower_since: None };
        }
    }

    fn become_active(&mut self, now: u64) {
        self.sent.push(self.me.priority);
        self.start_advertising(now);
    }

    /// Adver_Timer, on the grid of centiseconds; of many routers 32 at a point, the next 32 a point
    /// earlier, and so on back to half an interval.
    fn start_advertising(&mut self, now: u64) {
        let points = (self.interval() / 2 / CENTISECOND).max(1);
        let earlier = self.number as u64 / 32 % points;
        let next = ((now + self.interval()) / CENTISECOND - earlier) * CENTISECOND;
        self.phase = Phase::Active { next };
    }

    fn preempts(&self, heard_for: u64) -> bool {
        match self.me.preempt {
            _ if self.me.priority == 255 => true,
            Preempt::Never => false,
            Preempt::After(delay) => heard_for >= delay.as_nanos(),
        }
    }

    /// How long it puts up with a lower Active, beyond its timers.
    pub fn preempt_delay(&self) -> u64 {
        match self.me.preempt {
            Preempt::After(delay) => delay.as_nanos(),
            Preempt::Never => 0,
        }
    }

    /// Whether it would displace a lower Active for good.
    pub fn ever_preempts(&self) -> bool {
        self.me.priority == 255 || self.me.preempt != Preempt::Never
    }
}
