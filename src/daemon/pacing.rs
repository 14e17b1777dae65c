//! How fast announcements leave: with `vrrp_garp_interval`, `vrrp_gna_interval` or `garp_group` there is
//! a least time between two gratuitous ARPs, or two neighbour advertisements, on an interface or on
//! several together. What has to wait for that, waits here.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::base::{Instant, LinkId, LinkNames, Macvlan, RouterId, Span};
use crate::config::GarpPacing;

/// The lanes that announcements leave by, and what waits in them.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    lanes: Vec<Lane>,
    /// The lanes of each link: of gratuitous ARPs, and of neighbour advertisements. Without one they
    /// leave at once.
    of_link: Vec<[Option<u32>; 2]>,
    /// The lanes in which something waits.
    busy: Vec<u32>,
}

/// Announcements that leave one after the other.
#[derive(Debug)]
struct Lane {
    /// The least time between two of them.
    gap: Span,
    /// When the next one may leave.
    next_at: Instant,
    waiting: VecDeque<Announcement>,
    /// Whether it is among the busy ones.
    busy: bool,
}

/// A gratuitous ARP or neighbour advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Whose address it is.
    pub router: RouterId,
    /// Where it leaves.
    pub link: LinkId,
    /// What it announces.
    pub ip: IpAddr,
}

impl Pacing {
    /// Takes over what a configuration says. What waits goes on waiting.
    pub(super) fn configure<'a>(
        &mut self,
        wanted: &GarpPacing,
        names: &LinkNames,
        macvlans: impl IntoIterator<Item = &'a Macvlan>,
    ) {
        let waiting: Vec<Announcement> =
            self.lanes.drain(..).flat_map(|lane| lane.waiting).collect();
        *self = Pacing::default();
        if *wanted != GarpPacing::default() {
            self.make_lanes(wanted, names);
            // The interface of a virtual MAC is on the wire of the one below.
            for macvlan in macvlans {
                self.of_link[macvlan.link.index()] = self.of_link[macvlan.base.index()];
            }
        }
        for announcement in waiting {
            self.put(announcement);
        }
    }

    /// Whether it may leave now; else it waits for its time.
    pub(super) fn admits(&mut self, now: Instant, announcement: Announcement) -> bool {
        let Some(lane) = self.lane_of(announcement) else { return true };
        let lane = &mut self.lanes[lane as usize];
        let free = lane.waiting.is_empty() && lane.next_at <= now;
        match free {
            true => lane.next_at = now + lane.gap,
            false => self.put(announcement),
        }
        free
    }

    /// Lets out what has waited long enough, `budget` at most. `leave` says whether it did leave: what
    /// need not be announced any more is in nobody's way.
    pub(super) fn release(
        &mut self,
        now: Instant,
        budget: usize,
        mut leave: impl FnMut(Announcement) -> bool,
    ) {
        let (lanes, mut left) = (&mut self.lanes, budget);
        self.busy.retain(|&lane| {
            let lane = &mut lanes[lane as usize];
            while lane.next_at <= now
                && left > 0
                && let Some(next) = lane.waiting.pop_front()
            {
                if leave(next) {
                    lane.next_at = now + lane.gap;
                    left -= 1;
                }
            }
            lane.busy = !lane.waiting.is_empty();
            lane.busy
        });
    }

    /// When the next one may leave; `NEVER` if none waits.
    pub(super) fn wake_at(&self) -> Instant {
        let times = self.busy.iter().map(|&lane| self.lanes[lane as usize].next_at);
        times.min().unwrap_or(Instant::NEVER)
    }

    /// Forgets what waits for a router.
    pub(super) fn forget(&mut self, router: RouterId) {
        for &lane in &self.busy {
            self.lanes[lane as usize].waiting.retain(|waiting| waiting.router != router);
        }
    }

    /// Puts it at the end of its lane. Where there is none any more it is let go: it has lost nothing
    /// but a repetition.
    fn put(&mut self, announcement: Announcement) {
        let Some(number) = self.lane_of(announcement) else { return };
        let lane = &mut self.lanes[number as usize];
        if !std::mem::replace(&mut lane.busy, true) {
            self.busy.push(number);
        }
        lane.waiting.push_back(announcement);
    }

    fn lane_of(&self, announcement: Announcement) -> Option<u32> {
        let lanes = self.of_link.get(announcement.link.index())?;
        lanes[usize::from(announcement.ip.is_ipv6())]
    }

    fn make_lanes(&mut self, wanted: &GarpPacing, names: &LinkNames) {
        self.of_link = vec![[None; 2]; names.len()];
        let mut grouped = vec![false; names.len()];
        for group in &wanted.groups {
            let lanes = [self.lane(group.garp), self.lane(group.gna)];
            for link in group.interfaces.iter().filter_map(|name| names.find(name)) {
                self.of_link[link.index()] = lanes;
                grouped[link.index()] = true;
            }
        }
        for (index, grouped) in grouped.into_iter().enumerate() {
            if !grouped {
                self.of_link[index] = [self.lane(wanted.garp), self.lane(wanted.gna)];
            }
        }
    }

    /// A new lane, if it takes one to keep that gap.
    fn lane(&mut self, gap: Span) -> Option<u32> {
        if gap.is_zero() {
            return None;
        }
        let waiting = VecDeque::new();
        self.lanes.push(Lane { gap, next_at: Instant::ZERO, waiting, busy: false });
        Some(self.lanes.len() as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Mac;
    use crate::config::GarpGroup;

    const GAP: Span = Span::from_millis(10);

    fn names() -> LinkNames {
        let mut names = LinkNames::default();
        for name in ["eth0", "eth1", "eth2", "vrrp.51"] {
            names.intern(name);
        }
        names
    }

    fn announcement(router: u32, link: u32, ip: &str) -> Announcement {
        let ip = ip.parse().expect("an address");
        Announcement { router: RouterId(router), link: LinkId(link), ip }
    }

    /// Each router that was let out, with the time in milliseconds.
    fn play(pacing: &mut Pacing, until: u64) -> Vec<(u64, u32)> {
        let mut left = Vec::new();
        while pacing.wake_at() <= Instant::ZERO + Span::from_millis(until) {
            let now = pacing.wake_at();
            pacing.release(now, 100, |it| {
                left.push((now.since(Instant::ZERO).as_micros() / 1000, it.router.0));
                true
            });
        }
        left
    }

    fn global(garp: Span, gna: Span) -> GarpPacing {
        GarpPacing { garp, gna, groups: Vec::new() }
    }

    #[test]
    fn nothing_waits_without_a_gap() {
        let mut pacing = Pacing::default();
        pacing.configure(&GarpPacing::default(), &names(), []);
        for _ in 0..3 {
            assert!(pacing.admits(Instant::ZERO, announcement(1, 0, "10.0.0.1")));
        }
        assert_eq!(pacing.wake_at(), Instant::NEVER);
    }

    #[test]
    fn each_interface_and_family_has_its_own_gap() {
        let mut pacing = Pacing::default();
        pacing.configure(&global(GAP, GAP.times(3)), &names(), []);
        let now = Instant::ZERO;
        for router in 0..3 {
            for (link, ip) in [(0, "10.0.0.1"), (1, "10.0.0.1"), (0, "fe80::1")] {
                let leaves = pacing.admits(now, announcement(router, link, ip));
                assert_eq!(leaves, router == 0, "the first of each");
            }
        }
        let left = play(&mut pacing, 1000);
        assert_eq!(left, [(10, 1), (10, 1), (20, 2), (20, 2), (30, 1), (60, 2)]);
        assert!(!pacing.admits(now + GAP.times(8), announcement(9, 0, "fe80::1")), "60 + 30");
        assert!(pacing.admits(now + GAP.times(8), announcement(9, 0, "10.0.0.1")));
    }

    #[test]
    fn a_group_shares_its_gap_and_a_macvlan_that_of_the_interface_below() {
        let interfaces = vec!["eth0".to_owned(), "eth1".to_owned(), "none".to_owned()];
        let group = GarpGroup { garp: GAP, gna: Span::ZERO, interfaces };
        let wanted = GarpPacing { garp: GAP.times(5), gna: Span::ZERO, groups: vec![group] };
        let (link, base, mac) = (LinkId(3), LinkId(1), Mac::default());
        let macvlan = Macvlan { link, base, mac, ipv6: false, group: None };
        let mut pacing = Pacing::default();
        pacing.configure(&wanted, &names(), [&macvlan]);
        for router in 0..4 {
            let link = [0, 1, 3, 2][router as usize];
            let leaves = pacing.admits(Instant::ZERO, announcement(router, link, "10.0.0.1"));
            assert_eq!(leaves, matches!(router, 0 | 3));
            assert!(pacing.admits(Instant::ZERO, announcement(router, link, "fe80::1")));
        }
        assert_eq!(play(&mut pacing, 1000), [(10, 1), (20, 2)]);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_in_nobodys_way() {
        let mut pacing = Pacing::default();
        pacing.configure(&global(GAP, GAP), &names(), []);
        for router in 0..5 {
            let _ = pacing.admits(Instant::ZERO, announcement(router, 0, "10.0.0.1"));
        }
        pacing.forget(RouterId(2));
        let mut left = Vec::new();
        pacing.release(Instant::ZERO + GAP, 100, |it| {
            left.push(it.router.0);
            it.router.0 != 1
        });
        assert_eq!(left, [1, 3], "the first had no need, so the next one left at once");
        // A reload lets go on what waits, at another pace, or lets it go.
        let mut again = pacing;
        again.configure(&global(GAP.times(2), GAP), &names(), []);
        assert_eq!(
            play(&mut again, 1000).iter().map(|(_, router)| *router).collect::<Vec<_>>(),
            [4]
        );
        again.configure(&GarpPacing::default(), &names(), []);
        assert_eq!(again.wake_at(), Instant::NEVER);
    }

    #[test]
    fn a_turn_has_its_budget() {
        let mut pacing = Pacing::default();
        pacing.configure(&global(GAP, GAP), &names(), []);
        for link in 0..3 {
            for router in 0..2 {
                let _ = pacing.admits(Instant::ZERO, announcement(router, link, "10.0.0.1"));
            }
        }
        let mut left = 0;
        pacing.release(Instant::ZERO + GAP, 2, |_| {
            left += 1;
            true
        });
        assert_eq!((left, pacing.wake_at()), (2, Instant::ZERO + GAP));
    }
}
