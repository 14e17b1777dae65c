//! What a virtual router is configured to be (RFC 9568 section 6.1), and the times that follow.

use std::net::IpAddr;

use super::conduct::Conduct;
use super::tracking::Tracking;
use crate::base::{Centis, Family, LinkId, Mac, Macvlan, Span, VirtualAddress, Vrid, Way};
use crate::wire::vrrp::standard_group;
use crate::wire::{ChecksumForm, Version};

/// One virtual router as the configuration wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterParams {
    /// keepalived's instance name: how people and logs call it.
    pub name: Box<str>,
    /// The interface that carries its adverts.
    pub link: LinkId,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Version it speaks and listens to.
    pub version: Version,
    /// How its adverts travel.
    pub transport: Transport,
    /// What the checksum of its v3 adverts over IPv4 covers, at first if it follows others' (see
    /// [`Conduct::follow_checksum`]); v2 always covers the message alone, IPv6 the pseudo-header too.
    pub checksum_form: ChecksumForm,
    /// Base priority: 1 to 254, or 255 for the owner of the addresses.
    pub priority: u8,
    /// Its Advertisement_Interval.
    pub interval: Centis,
    /// What it does when it hears a lower priority while it is Backup.
    pub preempt: Preempt,
    /// Interfaces that must be up besides its own (`track_interface` without weight).
    pub tracked_links: Box<[LinkId]>,
    /// What else it depends on, and its sync group.
    pub tracking: Tracking,
    /// The addresses it carries: those that adverts list, in that order, and behind them those that
    /// they don't ([`Extras::excluded`]).
    pub addresses: Box<[VirtualAddress]>,
    /// What else it has while it is Active.
    pub extras: Extras,
    /// How it announces its addresses.
    pub garp: GarpParams,
    /// How it behaves where there is a choice.
    pub conduct: Conduct,
    /// The Ethernet source of its adverts, if that isn't its interface's own address.
    pub source_mac: Option<Mac>,
    /// The interfaces that are made for its virtual MAC (`use_vmac`); it can't run without them.
    pub macvlans: Box<[Macvlan]>,
    /// Accept_Mode (RFC 9568 section 6.1): whether its addresses take traffic.
    pub accept: bool,
}

/// What a virtual router has, while it is Active, besides addresses that adverts list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// How many of its addresses, the last ones, adverts don't list
    /// (`virtual_ipaddress_excluded`). They may be of the other family.
    pub excluded: usize,
    /// What adverts list, if one of the addresses is written twice; else nothing.
    pub advertised: Box<[IpAddr]>,
    /// Addresses that nobody misses (`no_track`): where they are, and what.
    pub untracked: Box<[(LinkId, IpAddr)]>,
    /// Routes and policy rules, routes first, in the order in which they are added.
    pub ways: Box<[Way]>,
}

/// How adverts travel: over IPv4 from the primary address to the multicast group by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// The protocol that carries them, and whose addresses they list.
    pub family: Family,
    /// The address that they come from, of that family (`mcast_src_ip`, `unicast_src_ip`); without
    /// one the interface's own: its primary address, or over IPv6 its link-local one.
    pub source: Option<IpAddr>,
    /// The multicast group that they go to, of that family (`mcast_dst_ip`); without one the
    /// standard's own.
    pub group: Option<IpAddr>,
    /// Where they go instead of to the multicast group.
    pub unicast: Option<Unicast>,
}

/// Adverts that go to each of a list of peers (`unicast_peer`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unicast {
    /// The peers; with none of them the router can't run (`unicast_fault_no_peer`).
    pub peers: Box<[Peer]>,
    /// The TTL or hop limit to send with (`unicast_ttl`, default 255).
    pub ttl: u8,
    /// Whether adverts are taken from the peers alone (`check_unicast_src`).
    pub check_source: bool,
}

/// A unicast peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// The TTL or hop limit that its adverts have to arrive with, at the least (`min_ttl`).
    pub min_ttl: u8,
    /// At the most (`max_ttl`).
    pub max_ttl: u8,
}

/// Preempt_Mode (RFC 9568 section 6.1), with keepalived's delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempt {
    /// A lower-priority Active is never displaced (`nopreempt`).
    Never,
    /// It is displaced once it has been heard for this long (`preempt_delay`; zero by default).
    After(Span),
}

/// Gratuitous ARP settings (keepalived's `garp_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarpParams {
    /// Frames per address in each set (`garp_master_repeat`, default 5). Zero sends none.
    pub repeat: u32,
    /// From becoming Active to the second set (`garp_master_delay`, default 5 s); zero: no second
    /// set.
    pub delay: Span,
    /// From one refresh to the next while Active (`garp_master_refresh`); zero: none.
    pub refresh: Span,
    /// Frames per address in a refresh (`garp_master_refresh_repeat`, default 1).
    pub refresh_repeat: u32,
    /// Frames per address in the set that answers a lower-priority advert
    /// (`garp_lower_prio_repeat`, default `repeat`).
    pub lower_priority_repeat: u32,
    /// From that set to its second (`garp_lower_prio_delay`, default `delay`).
    pub lower_priority_delay: Span,
    /// How often addresses are announced on interfaces that carry no adverts (`garp_extra_if`), so
    /// that switches don't forget where those are; zero: never.
    pub extra: Span,
    /// Whether on all such interfaces, or only on those made for the virtual MAC.
    pub extra_all: bool,
}

impl RouterParams {
    /// Whether it owns the addresses (priority 255, RFC 9568 section 5.2.4).
    pub fn is_owner(&self) -> bool {
        self.priority == 255
    }

    /// The addresses that its adverts list, each once.
    pub fn listed(&self) -> &[VirtualAddress] {
        let listed = self.addresses.len().saturating_sub(self.extras.excluded);
        self.addresses.get(..listed).unwrap_or_default()
    }

    /// What its adverts list.
    pub fn advertised(&self) -> impl Iterator<Item = IpAddr> {
        let repeated = &self.extras.advertised;
        let once = if repeated.is_empty() { self.listed() } else { &[] };
        once.iter().map(|address| address.ip).chain(repeated.iter().copied())
    }

    /// Whether it minds if that address is lost.
    pub fn tracks(&self, link: LinkId, ip: IpAddr) -> bool {
        !self.extras.untracked.contains(&(link, ip))
    }

    /// The addresses on interfaces whose own Ethernet address its adverts don't show to switches
    /// (`garp_extra_if`).
    pub fn extra_addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        let macvlan = |link| self.macvlans.iter().find(move |macvlan| macvlan.link == link);
        let shown = move |link| match (self.source_mac, macvlan(link)) {
            (Some(mac), Some(macvlan)) => macvlan.mac == mac && macvlan.base == self.link,
            (Some(_), None) => false,
            (None, _) => link == self.link,
        };
        let meant = move |link| self.garp.extra_all || macvlan(link).is_some();
        self.addresses.iter().filter(move |address| !shown(address.link) && meant(address.link))
    }
}

impl Transport {
    /// The multicast group that its adverts go to, if they go to any.
    #[inline]
    pub fn multicast(&self) -> Option<IpAddr> {
        match self.unicast {
            Some(_) => None,
            None => Some(self.group.unwrap_or(standard_group(self.family))),
        }
    }
}

impl Unicast {
    /// Whether an advert from `source` that has arrived with `ttl` may be taken.
    pub fn judge(&self, source: IpAddr, ttl: u8) -> Judgement {
        if !self.check_source {
            return Judgement::Welcome;
        }
        match self.peers.iter().find(|peer| peer.ip == source) {
            None => Judgement::Stranger,
            Some(peer) if (peer.min_ttl..=peer.max_ttl).contains(&ttl) => Judgement::Welcome,
            Some(_) => Judgement::WrongTtl,
        }
    }
}

/// What to do with a unicast advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// To look at what it says.
    Welcome,
    /// To drop it: its sender is none of the peers.
    Stranger,
    /// To drop it: it comes from too far away, or from too near.
    WrongTtl,
}

impl Default for GarpParams {
    fn default() -> Self {
        GarpParams {
            repeat: 5,
            delay: Span::from_secs(5),
            refresh: Span::ZERO,
            refresh_repeat: 1,
            lower_priority_repeat: 5,
            lower_priority_delay: Span::from_secs(5),
            extra: Span::ZERO,
            extra_all: false,
        }
    }
}

/// Skew_Time: how much longer than the best a router of `priority` waits.
///
/// v3 scales it with the Active's interval (RFC 9568 section 6.1); v2 has it in 256ths of a
/// second whatever the interval (RFC 3768 section 6.1). Exact to the nanosecond, rounded down.
pub fn skew_time(version: Version, priority: u8, active_interval: Centis) -> Span {
    let unit = match version {
        Version::V2 => Span::from_secs(1),
        Version::V3 => active_interval.span(),
    };
    Span::from_nanos(unit.as_nanos() * (256 - u64::from(priority)) / 256)
}

/// Active_Down_Interval: how long a Backup of `priority` waits for an Active that advertises every
/// `active_interval` before it takes over: `adverts` intervals (3 in the RFC) and the skew.
pub fn active_down_interval(
    version: Version,
    priority: u8,
    active_interval: Centis,
    adverts: u8,
) -> Span {
    let skew = skew_time(version, priority, active_interval);
    active_interval.span().times(u64::from(adverts)) + skew
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked examples of `reference/protocol.md` 1.5, in centiseconds to four decimals.
    #[test]
    fn times_are_exact() {
        for (priority, centis, skew, down) in [
            (255, 100, 0.3906, 300.3906),
            (254, 100, 0.7813, 300.7813),
            (200, 10, 2.1875, 32.1875),
            (150, 100, 41.4063, 341.4063),
            (100, 100, 60.9375, 360.9375),
            (100, 1, 0.6094, 3.6094),
            (100, 1000, 609.375, 3609.375),
            (1, 100, 99.6094, 399.6094),
        ] {
            let interval = Centis::new(centis).unwrap();
            let centis = |span: Span| (span.as_nanos() as f64 / 1e7 * 1e4).round() / 1e4;
            assert_eq!(centis(skew_time(Version::V3, priority, interval)), skew);
            assert_eq!(centis(active_down_interval(Version::V3, priority, interval, 3)), down);
        }
    }

    #[test]
    fn peers_alone_are_heard_where_that_is_wanted() {
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let peers = Box::new([
            Peer { ip: ip(1), min_ttl: 0, max_ttl: 255 },
            Peer { ip: ip(2), min_ttl: 60, max_ttl: 64 },
        ]);
        let mut unicast = Unicast { peers, ttl: 255, check_source: true };
        for (source, ttl, judgement) in [
            (1, 0, Judgement::Welcome),
            (1, 255, Judgement::Welcome),
            (2, 59, Judgement::WrongTtl),
            (2, 60, Judgement::Welcome),
            (2, 64, Judgement::Welcome),
            (2, 65, Judgement::WrongTtl),
            (3, 255, Judgement::Stranger),
        ] {
            assert_eq!(unicast.judge(ip(source), ttl), judgement);
        }
        unicast.check_source = false;
        assert_eq!(unicast.judge(ip(3), 1), Judgement::Welcome);
    }

    #[test]
    fn v2_skew_does_not_scale_with_the_interval() {
        let ten = Centis::from_secs(10).unwrap();
        let down = |interval| active_down_interval(Version::V2, 100, interval, 3).as_micros();
        assert_eq!(down(ten), 30_609_375);
        assert_eq!(down(Centis::DEFAULT), 3_609_375);
    }

    #[test]
    fn down_timer_adverts_replaces_the_three() {
        let down = |adverts| active_down_interval(Version::V3, 100, Centis::DEFAULT, adverts);
        assert_eq!(down(1).as_micros(), 1_609_375);
        assert_eq!(down(100).as_micros(), 100_609_375);
    }
}
