//! Lines about packets: in what words, and how often. Whoever can send packets must not be able to
//! fill a log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;

use log::{debug, info, warn};

use crate::base::{IfIndex, Instant, RouterId, Span};
use crate::vrrp::{AuthFailure, Notice, RouterParams};
use crate::wire::{Authentication, Refusal};

/// A line about the same router and the same cause is written once in this time.
const QUIET: Span = Span::from_secs(60);

/// Lets a line through once a minute for each router (or interface, where it is about no router)
/// and cause, and counts the others. There are few of both, so this stays small whoever sends.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    last: HashMap<Topic, (Instant, u64)>,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Topic {
    Router(RouterId, Cause),
    Interface(IfIndex, Discriminant<Refusal>),
}

/// A sort of line about a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cause {
    notice: Discriminant<Notice>,
    refusal: Option<Discriminant<Refusal>>,
    failure: Option<Discriminant<AuthFailure>>,
}

impl Limiter {
    /// A router is no more; another one may get its number.
    pub(super) fn forget(&mut self, router: RouterId) {
        self.last.retain(|topic, _| !matches!(topic, Topic::Router(about, _) if *about == router));
    }

    /// Whether a line about `router` may be written now; if so, how many were not since the last
    /// one.
    pub(super) fn admit(&mut self, now: Instant, router: RouterId, notice: &Notice) -> Option<u64> {
        let (refusal, failure) = match notice {
            Notice::Refused { refusal, .. } => (Some(discriminant(refusal)), None),
            Notice::Authentication { failure, .. } => (None, Some(discriminant(failure))),
            _ => (None, None),
        };
        let cause = Cause { notice: discriminant(notice), refusal, failure };
        self.admit_topic(now, Topic::Router(router, cause))
    }

    /// A packet of no router was refused on an interface, which has that name if it is one of ours.
    /// Unknown virtual routers are nothing unusual, and told in detail only, unless `loud`.
    pub(super) fn stray(
        &mut self,
        now: Instant,
        (ifindex, link): (IfIndex, Option<&str>),
        source: Option<IpAddr>,
        refusal: Refusal,
        loud: bool,
    ) {
        let topic = Topic::Interface(ifindex, discriminant(&refusal));
        let Some(suppressed) = self.admit_topic(now, topic) else { return };
        let place = link.map_or_else(|| format!("number {}", ifindex.0), str::to_owned);
        let (source, why, more) = (sender(source), why(refusal), more(suppressed));
        let line = format!("interface {place}: packet from {source} {why}: dropped{more}");
        match refusal {
            Refusal::Vrid(_) if loud => info!("{line}"),
            Refusal::Vrid(_) => debug!("{line}"),
            _ => warn!("{line}"),
        }
    }

    fn admit_topic(&mut self, now: Instant, topic: Topic) -> Option<u64> {
        match self.last.entry(topic) {
            Entry::Vacant(first) => {
                first.insert((now, 0));
                Some(0)
            }
            Entry::Occupied(mut entry) => {
                let (last, suppressed) = entry.get_mut();
                if now.since(*last) < QUIET {
                    *suppressed += 1;
                    return None;
                }
                *last = now;
                Some(std::mem::take(suppressed))
            }
        }
    }
}

/// How many lines of the same sort were not written.
pub(super) fn more(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        n => format!(" ({n} more like this since the last such line)"),
    }
}

/// Who sent a packet.
pub(super) fn sender(source: Option<IpAddr>) -> String {
    source.map_or_else(|| "an unreadable address".to_owned(), |source| source.to_string())
}

/// What is wrong with a packet, to be put behind it.
pub(super) fn why(refusal: Refusal) -> String {
    match refusal {
        Refusal::NotVrrp => "is no VRRP".to_owned(),
        Refusal::Ttl(ttl) => format!("has TTL {ttl}, not 255: it may come from elsewhere"),
        Refusal::Version(version) => format!("is of VRRP version {version}, which is not spoken"),
        Refusal::Type(kind) => format!("is of type {kind}, not an advert"),
        Refusal::Length => "is shorter than it says".to_owned(),
        Refusal::Checksum => "has a wrong checksum".to_owned(),
        Refusal::Vrid(vrid) => format!("is for virtual router {vrid}, which we don't have there"),
    }
}

/// Whether a router's adverts come behind authentication headers.
pub(super) fn needs_signed(params: &RouterParams) -> bool {
    matches!(params.conduct.authentication, Authentication::Header(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: RouterId = RouterId(3);

    fn refused(refusal: Refusal) -> Notice {
        Notice::Refused { source: None, refusal }
    }

    #[test]
    fn one_line_a_minute_and_cause() {
        let mut limiter = Limiter::default();
        let start = Instant::from_nanos(1_000_000_000_000);
        assert_eq!(limiter.admit(start, ROUTER, &refused(Refusal::Ttl(1))), Some(0));
        // The same cause with another value is the same; another cause, or router, is not.
        assert_eq!(limiter.admit(start, ROUTER, &refused(Refusal::Ttl(2))), None);
        assert_eq!(limiter.admit(start, ROUTER, &refused(Refusal::Length)), Some(0));
        assert_eq!(limiter.admit(start, RouterId(4), &refused(Refusal::Ttl(1))), Some(0));
        let later = start + QUIET;
        assert_eq!(limiter.admit(later, ROUTER, &refused(Refusal::Ttl(3))), Some(1));
        limiter.forget(ROUTER);
        assert_eq!(limiter.admit(later, ROUTER, &refused(Refusal::Ttl(3))), Some(0));
        assert_eq!(limiter.admit(later, RouterId(4), &refused(Refusal::Ttl(3))), Some(0));
    }

    #[test]
    fn a_flood_of_addresses_needs_no_memory() {
        let mut limiter = Limiter::default();
        for vrid in 0..=255 {
            let source = Some(IpAddr::from(u32::from(vrid).to_be_bytes()));
            let place = (IfIndex(2), Some("eth0"));
            limiter.stray(Instant::ZERO, place, source, Refusal::Vrid(vrid), true);
        }
        assert_eq!(limiter.last.len(), 1);
    }
}
