//! What is checked of a received packet (RFC 9568 section 7.1, errata 8298 to 8301 included), and
//! what comes of a packet that fails: one counter moves, somebody is told, nothing else happens.
//!
//! [`Advert::parse`] makes the checks that need no configuration. Those that do are here, in the
//! standard's order; so is what v2 had besides (RFC 3768 section 7.1, RFC 2338 section 7.1).

use std::net::IpAddr;

use super::{Details, Engine};
use crate::base::{Centis, Family, IfIndex, Instant, RouterId};
use crate::vrrp::action::{Action, AuthFailure, Notice};
use crate::vrrp::counters::refusal_counter;
use crate::vrrp::params::{Judgement, RouterParams};
use crate::vrrp::router::{Router, State};
use crate::wire::{Advert, Authentication, ChecksumForm, Refusal, Refused, Version};

/// After so many intervals without a v2 advert beside its v3 ones an Active counts as sending none:
/// whoever knows only v2 has given it up by then.
const NO_V2: u64 = 4;

/// What a check of a received advert means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is refused, and counted as what is wrong with it.
    Drop,
    /// It counts as received, and that is all.
    Ignore,
    /// It is good.
    Keep,
}

/// What a router has heard of others beside what their adverts say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The highest sequence number in an authentication header. All senders share one sequence, as
    /// in keepalived: whoever becomes Active goes on from what it has heard.
    pub sequence: u32,
    /// Who speaks v3 besides v2 (RFC 9568 section 8.4), for as long as we stay in a state: its v2
    /// adverts are ignored. Only set where we speak both ourselves.
    pub speaks_v3: Option<IpAddr>,
    /// Whose v3 adverts were heard, and since when without a v2 one.
    pub without_v2: Option<(IpAddr, Instant)>,
    /// Whose form of the checksum was told last, and which.
    checksum: Option<(IpAddr, ChecksumForm)>,
}

impl Engine {
    /// A packet arrived on `ifindex` that [`Advert::parse`] refused. It is counted and told, nothing
    /// else: by the router that it names, if that is one of ours.
    pub fn on_malformed(&mut self, ifindex: IfIndex, refused: &Refused) {
        let named = refused.source.zip(refused.vrid);
        let id = named
            .and_then(|(source, vrid)| self.links.router(ifindex, Family::of(source), vrid.get()));
        let Some(id) = id else {
            *refusal_counter(refused.refusal, None, &mut self.unattributed) += 1;
            let Refused { source, refusal, .. } = *refused;
            self.actions.push_back(Action::Stray { ifindex, source, refusal });
            return;
        };
        let details = &mut self.details[id.index()];
        // A version that this router does not speak comes before all that is said in it.
        let refusal = match (refused.refusal, refused.version) {
            (Refusal::Type(_) | Refusal::Length | Refusal::Checksum, Some(version))
                if !details.params.speaks(version) =>
            {
                Refusal::Version(version.number())
            }
            (refusal, _) => refusal,
        };
        *refusal_counter(refusal, Some(&mut details.counters), &mut self.unattributed) += 1;
        self.notice(id, Notice::Refused { source: refused.source, refusal });
    }

    /// An advert for a virtual router that is not configured on its interface.
    #[cold]
    pub(super) fn unknown_vrid(&mut self, ifindex: IfIndex, advert: &Advert<'_>) {
        self.unattributed.vrid_errors += 1;
        let refusal = Refusal::Vrid(advert.vrid);
        self.actions.push_back(Action::Stray { ifindex, source: Some(advert.source), refusal });
    }

    /// A good advert whose checksum covers something else than ours do: ours become like it, where
    /// they may, so that whoever takes only one form understands us.
    #[cold]
    pub(super) fn other_checksum(&mut self, id: RouterId, advert: &Advert<'_>) {
        let details = &mut self.details[id.index()];
        if advert.version != Version::V3 || details.params.version != Version::V3 {
            return; // v2 has one form
        }
        let (source, theirs) = (advert.source, advert.checksum_form);
        let followed = details.params.conduct.follow_checksum;
        let known = details.heard.checksum.replace((source, theirs)) == Some((source, theirs));
        if followed {
            self.routers[id.index()].checksum_form = theirs;
            self.actions.push_back(Action::Altered { router: id });
        }
        if !known {
            self.notice(id, Notice::ChecksumForm { source, theirs, followed });
        }
    }
}

impl RouterParams {
    /// Whether adverts of this version are for it.
    pub(super) fn speaks(&self, version: Version) -> bool {
        version == self.version || self.conduct.also_v2 && version == Version::V2
    }
}

impl Details {
    /// The checks that need the router's configuration, after its vrid was found. What is worth
    /// telling is why an advert is dropped, or the gravest of what is wrong with one that is kept.
    #[inline]
    pub(super) fn check(
        &mut self,
        now: Instant,
        router: &Router,
        own_address: IpAddr,
        advert: &Advert<'_>,
    ) -> (Verdict, Option<Notice>) {
        let source = advert.source;
        let conduct = self.params.conduct;
        let drop = |notice| (Verdict::Drop, Some(notice));
        if advert.version != router.version && !self.params.speaks(advert.version) {
            self.counters.version_errors += 1;
            return drop(Notice::OtherVersion { source });
        }
        if source == own_address {
            self.counters.own_address_rcvd += 1;
            return drop(Notice::OwnAddress { source });
        }
        if let Err(notice) = self.check_way(advert) {
            return drop(notice);
        }
        if advert.checksum_form == ChecksumForm::GroupPseudoHeader && !conduct.old_checksum {
            self.counters.checksum_errors += 1;
            return drop(Notice::Refused { source: Some(source), refusal: Refusal::Checksum });
        }
        if (advert.version == Version::V2 || advert.signed.is_some())
            && let Err(failure) = self.authenticate(advert)
        {
            *self.authentication_counter(failure) += 1;
            return drop(Notice::Authentication { source, failure });
        }
        if advert.addresses.is_empty() {
            self.counters.packet_length_errors += 1;
            return drop(Notice::AddressesDiffer { source, theirs: 0 });
        }
        // What follows is no reason to drop a v3 advert, so each is counted whatever else differs.
        let mut kept = None;
        let expected = match advert.version {
            version if version == router.version => router.interval,
            _ => whole_seconds(router.interval),
        };
        if advert.interval != Some(expected) {
            self.counters.interval_errors += 1;
            let notice = Notice::IntervalDiffers { source, theirs: advert.interval };
            match (router.version, advert.interval) {
                // v2 wants the same interval everywhere (RFC 3768 section 7.1); v3 learns it.
                (Version::V2, _) | (Version::V3, None) => return drop(notice),
                (Version::V3, Some(_)) => kept = Some(notice),
            }
        }
        if advert.addresses.bytes() != &*self.advertised && !self.knows_addresses_of(router, source)
        {
            self.counters.address_list_errors += 1;
            let theirs = advert.addresses.len() as u8;
            let notice = Notice::AddressesDiffer { source, theirs };
            // RFC 3768 section 7.1: whoever compares them drops it, unless their owner sent it.
            if conduct.strict && advert.version == Version::V2 && advert.priority != 255 {
                return drop(notice);
            }
            kept.get_or_insert(notice);
        }
        if conduct.also_v2 {
            match advert.version {
                Version::V3 => {
                    self.heard.speaks_v3 = Some(source);
                    if self.misses_v2(now, advert) {
                        kept.get_or_insert(Notice::NoV2 { source });
                    }
                }
                Version::V2 if self.heard.speaks_v3 == Some(source) => {
                    self.heard.without_v2 = Some((source, now));
                    self.counters.v2_ignored += 1;
                    return (Verdict::Drop, None);
                }
                Version::V2 => {}
            }
        }
        if router.priority == 255 && advert.priority == 255 {
            kept = Some(Notice::SecondOwner { other: source });
        }
        let ignored = conduct.ignore_as_owner && self.params.is_owner();
        (if ignored { Verdict::Ignore } else { Verdict::Keep }, kept)
    }

    /// Whether it came the way on which we talk: to the multicast group, or to us alone from one of
    /// our peers.
    #[inline]
    fn check_way(&mut self, advert: &Advert<'_>) -> Result<(), Notice> {
        let (source, destination, ttl) = (advert.source, advert.destination, advert.ttl);
        let unicast = self.params.transport.unicast.as_ref();
        let ours = match self.params.transport.multicast() {
            Some(group) => destination == group,
            None => !destination.is_multicast(),
        };
        if !ours {
            self.counters.destination_errors += 1;
            return Err(Notice::OtherDestination { source, destination });
        }
        match unicast.map_or(Judgement::Welcome, |unicast| unicast.judge(source, ttl)) {
            Judgement::Welcome => Ok(()),
            Judgement::Stranger => {
                self.counters.peer_errors += 1;
                Err(Notice::Stranger { source })
            }
            Judgement::WrongTtl => {
                self.counters.ip_ttl_errors += 1;
                Err(Notice::WrongTtl { source, ttl })
            }
        }
    }

    /// Whether the sender of a v3 advert has left out the v2 ones for as long as a v2 Backup would
    /// wait for them. Told again as often.
    #[cold]
    fn misses_v2(&mut self, now: Instant, advert: &Advert<'_>) -> bool {
        let source = advert.source;
        let Some((_, since)) = self.heard.without_v2.filter(|(who, _)| *who == source) else {
            self.heard.without_v2 = Some((source, now));
            return false;
        };
        let interval = whole_seconds(advert.interval.unwrap_or(Centis::DEFAULT));
        let missed = now.since(since) > interval.span().times(NO_V2);
        if missed {
            self.heard.without_v2 = Some((source, now));
        }
        missed
    }

    /// Whether `source` is the Active already, whose addresses need not be compared again.
    fn knows_addresses_of(&self, router: &Router, source: IpAddr) -> bool {
        let State::Backup(backup) = &router.state else { return false };
        self.params.conduct.skip_address_check
            && backup.active.is_some_and(|(active, _)| active == source)
    }

    /// RFC 2338 section 7.1; RFC 3768 has only the type 0 left.
    fn authenticate(&mut self, advert: &Advert<'_>) -> Result<(), AuthFailure> {
        let ours = self.params.conduct.authentication;
        let theirs = match (advert.version, &advert.signed) {
            (Version::V2, _) => advert.auth_type,
            (Version::V3, Some(_)) => 2,
            (Version::V3, None) => 0,
        };
        if theirs > 2 {
            return Err(AuthFailure::UnknownType(theirs));
        }
        if theirs != ours.kind() {
            return Err(AuthFailure::OtherType(theirs));
        }
        match (ours, advert.signed) {
            (Authentication::None, None) => Ok(()),
            (Authentication::Password(_), None) if advert.auth_data == ours.data() => Ok(()),
            (Authentication::None | Authentication::Password(_), Some(_)) => {
                Err(AuthFailure::OtherType(2))
            }
            (Authentication::Header(key), Some(signed)) if signed.is_by(key) => {
                if signed.sequence <= self.heard.sequence {
                    return Err(AuthFailure::Replayed);
                }
                self.heard.sequence = signed.sequence;
                Ok(())
            }
            (Authentication::Password(_), None) | (Authentication::Header(_), _) => {
                Err(AuthFailure::Wrong)
            }
        }
    }

    fn authentication_counter(&mut self, failure: AuthFailure) -> &mut u64 {
        match failure {
            AuthFailure::UnknownType(_) => &mut self.counters.invalid_auth_type,
            AuthFailure::OtherType(_) => &mut self.counters.auth_type_mismatch,
            AuthFailure::Wrong => &mut self.counters.auth_failures,
            AuthFailure::Replayed => &mut self.counters.auth_replays,
        }
    }
}

/// An interval as v2 carries it: in whole seconds, rounded up.
fn whole_seconds(interval: Centis) -> Centis {
    let seconds = u8::try_from(interval.get().div_ceil(100)).unwrap_or(u8::MAX);
    Centis::from_secs(seconds).unwrap_or(interval)
}
