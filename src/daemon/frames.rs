//! What leaves as finished frames: each router's advert, kept ready and patched in place, and the
//! queue of gratuitous ARPs.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;

use zerocopy::IntoBytes;

use super::tokens;
use crate::base::{IfIndex, Instant, LinkChange, LinkFacts, LinkId, RouterId};
use crate::io::Io;
use crate::vrrp::{Engine, RouterParams, RouterView, StateName};
use crate::wire::Version;
use crate::wire::arp::GratuitousArp;
use crate::wire::vrrp::{AdvertContent, AdvertFrame};

/// Gratuitous ARPs sent in one turn: about a millisecond of work, then the ring turns.
const GARPS_A_TURN: usize = 512;

/// Everything that is sent through the packet socket.
#[derive(Debug)]
pub(super) struct Frames {
    socket: RawFd,
    links: Vec<Option<LinkFacts>>,
    /// The routers whose adverts a link carries.
    carried: Vec<Vec<RouterId>>,
    adverts: Vec<Option<Ready>>,
    /// The sequence number of the last signed advert, for each router.
    sequences: Vec<u32>,
    /// Where they begin.
    sequence: u32,
    /// Routers whose addresses have not been announced once since they were set.
    first: VecDeque<Announcement>,
    /// The repetitions, after everybody's first.
    again: VecDeque<Announcement>,
}

/// An advert frame that can be sent as it is.
#[derive(Debug)]
struct Ready {
    frame: AdvertFrame,
    /// The same in v2, where both versions are spoken.
    also_v2: Option<AdvertFrame>,
    ifindex: IfIndex,
}

/// Which gratuitous ARPs: everybody's first go before anybody's second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The first for each address of a set.
    First,
    /// The repetitions.
    Again,
}

/// Which addresses of a router are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// All of them.
    All,
    /// Those that its last change has brought.
    Fresh,
}

#[derive(Clone, Copy, Debug)]
struct Announcement {
    router: RouterId,
    /// Rounds left, this one included; a round is one frame for each address.
    rounds: u32,
    /// Of which addresses.
    of: Announced,
}

impl Frames {
    /// Frames for `routers`, sent through the packet socket `socket`. Signed adverts are numbered
    /// from `sequence` on, at least: higher than what this host has sent before, so that others
    /// don't take them for old ones.
    pub(super) fn new(
        socket: RawFd,
        routers: &[RouterParams],
        links: usize,
        sequence: u32,
    ) -> Self {
        let mut carried = vec![Vec::new(); links];
        for (index, params) in routers.iter().enumerate() {
            carried[params.link.index()].push(RouterId(index as u32));
        }
        Frames {
            socket,
            links: vec![None; links],
            carried,
            adverts: routers.iter().map(|_| None).collect(),
            sequences: vec![sequence; routers.len()],
            sequence,
            first: VecDeque::with_capacity(routers.len()),
            again: VecDeque::with_capacity(routers.len()),
        }
    }

    /// Makes the frames of all routers on a changed link anew: its address or index may be others.
    pub(super) fn on_link<'a>(
        &mut self,
        change: &LinkChange,
        view: impl Fn(RouterId) -> RouterView<'a>,
    ) {
        self.links[change.link.index()] = change.facts;
        for &router in &self.carried[change.link.index()] {
            let advert = &mut self.adverts[router.index()];
            match change.facts {
                // An interface that has lost its address keeps the frame: the last advert, of
                // priority 0, can still leave by it.
                Some(facts) => *advert = Ready::new(&view(router), &facts).or(advert.take()),
                None => *advert = None,
            }
        }
    }

    /// Makes room for interfaces numbered below `links`.
    pub(super) fn grow_links(&mut self, links: usize) {
        self.links.resize(links.max(self.links.len()), None);
        self.carried.resize(links.max(self.carried.len()), Vec::new());
    }

    /// Makes the frame of a router that is new or configured otherwise.
    pub(super) fn renew(&mut self, view: &RouterView<'_>) {
        let (router, params) = (view.id, view.params);
        if self.adverts.len() <= router.index() {
            self.adverts.resize_with(router.index() + 1, || None);
            self.sequences.resize(router.index() + 1, self.sequence);
        }
        let carried = &mut self.carried[params.link.index()];
        if !carried.contains(&router) {
            carried.push(router);
        }
        let facts = self.links[params.link.index()];
        self.adverts[router.index()] = facts.and_then(|facts| Ready::new(view, &facts));
    }

    /// Forgets a router whose adverts left by `link`.
    pub(super) fn forget(&mut self, router: RouterId, link: LinkId) {
        self.carried[link.index()].retain(|&carried| carried != router);
        self.adverts[router.index()] = None;
        self.first.retain(|waiting| waiting.router != router);
        self.again.retain(|waiting| waiting.router != router);
    }

    /// What is known of `link`.
    pub(super) fn facts(&self, link: LinkId) -> Option<LinkFacts> {
        self.links[link.index()]
    }

    /// The link that has that index now.
    pub(super) fn link_of(&self, ifindex: IfIndex) -> Option<LinkId> {
        let place = self.links.iter().position(|facts| facts.is_some_and(|f| f.ifindex == ifindex));
        place.map(|index| LinkId(index as u32))
    }

    /// Whether any router's adverts leave by `link`.
    pub(super) fn carries(&self, link: LinkId) -> bool {
        !self.carried[link.index()].is_empty()
    }

    /// Queues the advert of `router` with this priority; one that is signed gets a sequence number
    /// above all that were `heard`. Without a usable link nothing is sent; the router is about to
    /// hear of that.
    pub(super) fn advertise(
        &mut self,
        io: &mut dyn Io,
        router: RouterId,
        priority: u8,
        heard: u32,
    ) {
        let Some(ready) = &mut self.adverts[router.index()] else { return };
        let sequence = &mut self.sequences[router.index()];
        *sequence = heard.max(*sequence).saturating_add(1);
        for frame in std::iter::once(&mut ready.frame).chain(&mut ready.also_v2) {
            frame.set_priority(priority);
            frame.sign(*sequence);
            io.send_frame(tokens::FRAMES, self.socket, ready.ifindex, frame.bytes());
        }
    }

    /// Queues `rounds` rounds of gratuitous ARPs for the addresses of `router`.
    pub(super) fn announce(&mut self, router: RouterId, rounds: u32, of: Announced) {
        if rounds > 0 {
            self.first.push_back(Announcement { router, rounds, of });
        }
    }

    /// Sends gratuitous ARPs of one sort, within the turn's budget, for those routers that still are
    /// Active. The engine is told.
    pub(super) fn send_announcements(
        &mut self,
        now: Instant,
        io: &mut dyn Io,
        round: Round,
        engine: &mut Engine,
    ) {
        let mut budget = GARPS_A_TURN;
        while budget > 0 {
            let next = match round {
                Round::First => self.first.pop_front(),
                Round::Again => self.again.pop_front(),
            };
            let Some(next) = next else { return };
            let view = engine.view(next.router);
            if view.state.name() != StateName::Master {
                continue;
            }
            let addresses = match next.of {
                Announced::All => &*view.params.addresses,
                Announced::Fresh => view.fresh,
            };
            for address in addresses {
                let IpAddr::V4(ip) = address.ip else { continue };
                self.send_announcement(io, address.link, ip);
                budget = budget.saturating_sub(1);
            }
            engine.on_announced(now, next.router);
            if next.rounds > 1 {
                self.again.push_back(Announcement { rounds: next.rounds - 1, ..next });
            }
        }
    }

    /// Whether gratuitous ARPs of that sort wait to be sent.
    pub(super) fn waits(&self, round: Round) -> bool {
        match round {
            Round::First => !self.first.is_empty(),
            Round::Again => !self.again.is_empty(),
        }
    }

    fn send_announcement(&self, io: &mut dyn Io, link: LinkId, ip: Ipv4Addr) {
        let Some(LinkFacts { up: true, ifindex, mac: Some(mac), .. }) = self.links[link.index()]
        else {
            return;
        };
        let garp = GratuitousArp::announce(ip, mac);
        io.send_frame(tokens::FRAMES, self.socket, ifindex, garp.as_bytes());
    }
}

impl Ready {
    fn new(view: &RouterView<'_>, facts: &LinkFacts) -> Option<Self> {
        let params = view.params;
        let addresses: Vec<Ipv4Addr> = params
            .addresses
            .iter()
            .filter_map(|address| match address.ip {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            })
            .collect();
        let content = AdvertContent {
            version: params.version,
            vrid: params.vrid,
            priority: params.priority,
            interval: params.interval,
            source: facts.primary_ipv4?,
            addresses: &addresses,
            checksum_form: view.checksum_form,
            authentication: params.conduct.authentication,
        };
        let mac = facts.mac?;
        let also_v2 = AdvertContent { version: Version::V2, ..content };
        Some(Ready {
            frame: AdvertFrame::new(&content, mac),
            also_v2: params.conduct.also_v2.then(|| AdvertFrame::new(&also_v2, mac)),
            ifindex: facts.ifindex,
        })
    }
}
