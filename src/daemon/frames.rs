//! What leaves as finished frames: each router's advert, kept ready and patched in place (for unicast
//! peers a packet each), and the queue of gratuitous ARPs and neighbour advertisements.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use zerocopy::IntoBytes;

use super::boot::Sockets;
use super::pacing::{self, Pacing};
use super::tokens;
use crate::base::{
    Family, IfIndex, Instant, LinkChange, LinkFacts, LinkId, RouterId, VirtualAddress,
};
use crate::io::Io;
use crate::vrrp::{Engine, RouterParams, RouterView, StateName};
use crate::wire::Version;
use crate::wire::arp::GratuitousArp;
use crate::wire::icmpv6::UnsolicitedAdvertisement;
use crate::wire::vrrp::{AdvertContent, AdvertFrame};

/// Gratuitous ARPs and neighbour advertisements sent in one turn: about a millisecond of work, then the ring turns.
const GARPS_A_TURN: usize = 512;

/// Everything that is sent through the packet socket, and what goes to unicast peers.
#[derive(Debug)]
pub(super) struct Frames {
    socket: RawFd,
    /// The raw sockets to unicast peers; the kernel may have no IPv6.
    ipv4: RawFd,
    ipv6: Option<RawFd>,
    links: Vec<Option<LinkFacts>>,
    /// The routers whose adverts a link carries.
    carried: Vec<Vec<Carried>>,
    adverts: Vec<Option<Ready>>,
    /// The sequence number of the last signed advert, for each router.
    sequences: Vec<u32>,
    /// Where they begin.
    sequence: u32,
    /// Routers whose addresses have not been announced once since they were set.
    first: VecDeque<Announcement>,
    /// The repetitions, after everybody's first.
    again: VecDeque<Announcement>,
    /// What has to keep a distance from what left before.
    pub pacing: Pacing,
}

/// A router whose adverts a link carries.
#[derive(Clone, Copy, Debug)]
struct Carried {
    router: RouterId,
    /// The multicast group that it listens to; `None`: it has unicast peers.
    group: Option<IpAddr>,
}

/// An advert that can be sent as it is.
#[derive(Debug)]
struct Ready {
    ifindex: IfIndex,
    way: Way,
    /// The same in v2, where both versions are spoken.
    also_v2: Option<Way>,
}

/// How it leaves.
#[derive(Debug)]
enum Way {
    /// As an Ethernet frame to the multicast group.
    Multicast(AdvertFrame),
    /// As IP packets to these peers, of which the kernel makes frames.
    Unicast(Box<[(IpAddr, AdvertFrame)]>),
}

/// Which announcements: everybody's first go before anybody's second.
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
    /// Those on interfaces that carry no adverts.
    Extra,
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
    /// Frames for `routers`, sent through these sockets. Signed adverts are numbered from `sequence`
    /// on, at least: higher than what this host has sent before, so that others don't take them for
    /// old ones.
    pub(super) fn new(
        sockets: &Sockets,
        routers: &[RouterParams],
        links: usize,
        sequence: u32,
    ) -> Self {
        let mut carried = vec![Vec::new(); links];
        for (index, params) in routers.iter().enumerate() {
            carried[params.link.index()].push(Carried::new(RouterId(index as u32), params));
        }
        Frames {
            socket: sockets.packet.as_raw_fd(),
            ipv4: sockets.peers_ipv4.as_raw_fd(),
            ipv6: sockets.peers_ipv6.as_ref().map(AsRawFd::as_raw_fd),
            links: vec![None; links],
            carried,
            adverts: routers.iter().map(|_| None).collect(),
            sequences: vec![sequence; routers.len()],
            sequence,
            first: VecDeque::with_capacity(routers.len()),
            again: VecDeque::with_capacity(routers.len()),
            pacing: Pacing::default(),
        }
    }

    /// Makes the frames of all routers on a changed link anew: its address or index may be others.
    pub(super) fn on_link<'a>(
        &mut self,
        change: &LinkChange,
        view: impl Fn(RouterId) -> RouterView<'a>,
    ) {
        self.links[change.link.index()] = change.facts;
        for &Carried { router, .. } in &self.carried[change.link.index()] {
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
        let renewed = Carried::new(router, params);
        match carried.iter_mut().find(|carried| carried.router == router) {
            Some(carried) => *carried = renewed,
            None => carried.push(renewed),
        }
        let facts = self.links[params.link.index()];
        self.adverts[router.index()] = facts.and_then(|facts| Ready::new(view, &facts));
    }

    /// Forgets a router whose adverts left by `link`.
    pub(super) fn forget(&mut self, router: RouterId, link: LinkId) {
        self.carried[link.index()].retain(|carried| carried.router != router);
        self.adverts[router.index()] = None;
        self.first.retain(|waiting| waiting.router != router);
        self.again.retain(|waiting| waiting.router != router);
        self.pacing.forget(router);
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

    /// The multicast groups that the routers on `link` listen to.
    pub(super) fn groups(&self, link: LinkId) -> Vec<IpAddr> {
        let mut groups = Vec::new();
        for group in self.carried[link.index()].iter().filter_map(|carried| carried.group) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
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
        for way in std::iter::once(&mut ready.way).chain(&mut ready.also_v2) {
            for (to, frame) in way.frames() {
                frame.set_priority(priority);
                frame.sign(*sequence);
                let (bytes, link) = (frame.bytes(), ready.ifindex);
                match (to, self.ipv6) {
                    (None, _) => io.send_frame(tokens::FRAMES, self.socket, link, bytes),
                    (Some(IpAddr::V4(peer)), _) => {
                        io.send_ipv4(tokens::PEERS, self.ipv4, peer, bytes);
                    }
                    (Some(IpAddr::V6(peer)), Some(socket)) => {
                        io.send_ipv6(tokens::PEERS, socket, peer, link, bytes);
                    }
                    (Some(IpAddr::V6(_)), None) => {}
                }
            }
        }
    }

    /// Queues `rounds` rounds of announcements of the addresses of `router`.
    pub(super) fn announce(&mut self, router: RouterId, rounds: u32, of: Announced) {
        if rounds > 0 {
            self.first.push_back(Announcement { router, rounds, of });
        }
    }

    /// Sends a gratuitous ARP for the address that the adverts of a router of IPv4 come from.
    pub(super) fn announce_source(&self, io: &mut dyn Io, params: &RouterParams) {
        let own = self.links[params.link.index()].and_then(|facts| facts.primary_ipv4);
        if let Some(ip @ IpAddr::V4(_)) = params.transport.source.or(own.map(IpAddr::V4))
            && params.transport.family == Family::Ipv4
        {
            send_announcement(io, self.socket, self.links[params.link.index()], ip);
        }
    }

    /// Sends announcements of one sort, within the turn's budget, for those routers that still are
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
            for address in next.of.addresses(&view) {
                let (router, link, ip) = (next.router, address.link, address.ip);
                if self.pacing.admits(now, pacing::Announcement { router, link, ip }) {
                    send_announcement(io, self.socket, self.links[link.index()], ip);
                }
                budget = budget.saturating_sub(1);
            }
            engine.on_announced(now, next.router);
            if next.rounds > 1 {
                self.again.push_back(Announcement { rounds: next.rounds - 1, ..next });
            }
        }
    }

    /// Sends announcements that have kept their distance, of those routers that still are Active.
    pub(super) fn send_paced(&mut self, now: Instant, io: &mut dyn Io, engine: &Engine) {
        let (links, socket) = (&self.links, self.socket);
        self.pacing.release(now, GARPS_A_TURN, |pacing::Announcement { router, link, ip }| {
            let view = engine.view(router);
            // A reload may have taken the address away.
            let wanted = view.state.name() == StateName::Master
                && view.params.addresses.iter().any(|address| address.ip == ip);
            if wanted {
                send_announcement(io, socket, links[link.index()], ip);
            }
            wanted
        });
    }

    /// Whether announcements of that sort wait to be sent.
    pub(super) fn waits(&self, round: Round) -> bool {
        match round {
            Round::First => !self.first.is_empty(),
            Round::Again => !self.again.is_empty(),
        }
    }
}

/// Sends a gratuitous ARP or neighbour advertisement on the link of those facts, if that can carry it.
fn send_announcement(io: &mut dyn Io, socket: RawFd, link: Option<LinkFacts>, ip: IpAddr) {
    let Some(LinkFacts { up: true, ifindex, mac: Some(mac), .. }) = link else { return };
    match ip {
        IpAddr::V4(ip) => {
            let garp = GratuitousArp::announce(ip, mac);
            io.send_frame(tokens::FRAMES, socket, ifindex, garp.as_bytes());
        }
        IpAddr::V6(ip) => {
            let advertisement = UnsolicitedAdvertisement::announce(ip, mac);
            io.send_frame(tokens::FRAMES, socket, ifindex, advertisement.as_bytes());
        }
    }
}

impl Announced {
    /// Those of a router.
    pub(super) fn addresses<'a>(
        self,
        view: &RouterView<'a>,
    ) -> impl Iterator<Item = &'a VirtualAddress> + use<'a> {
        let (some, extra): (&[_], _) = match self {
            Announced::All => (&view.params.addresses, None),
            Announced::Fresh => (view.fresh, None),
            Announced::Extra => (&[], Some(view.params.extra_addresses())),
        };
        some.iter().chain(extra.into_iter().flatten())
    }
}

impl Carried {
    fn new(router: RouterId, params: &RouterParams) -> Self {
        Carried { router, group: params.transport.multicast() }
    }
}

impl Way {
    /// How `content` leaves for those that `params` name.
    fn new(content: &AdvertContent<'_>, params: &RouterParams, facts: &LinkFacts) -> Option<Self> {
        let transport = &params.transport;
        Some(match (transport.multicast(), &transport.unicast) {
            (Some(group), _) => {
                // A virtual MAC is but bytes of the frame: it need not pass through the macvlan.
                let mac = params.source_mac.or(facts.mac)?;
                Way::Multicast(AdvertFrame::to_group(content, group, mac))
            }
            (None, None) => return None,
            (None, Some(unicast)) => {
                let to = |ip| (ip, AdvertFrame::to_peer(content, ip, unicast.ttl));
                // A list that all routers share names us too.
                let others = unicast.peers.iter().filter(|peer| peer.ip != content.source);
                Way::Unicast(others.map(|peer| to(peer.ip)).collect())
            }
        })
    }

    /// Each frame, with the peer that it is for, if it is for one alone.
    fn frames(&mut self) -> impl Iterator<Item = (Option<IpAddr>, &mut AdvertFrame)> {
        let (group, peers): (_, &mut [_]) = match self {
            Way::Multicast(frame) => (Some(frame), &mut []),
            Way::Unicast(peers) => (None, peers),
        };
        let peers = peers.iter_mut().map(|(peer, packet)| (Some(*peer), packet));
        group.into_iter().map(|frame| (None, frame)).chain(peers)
    }
}

impl Ready {
    fn new(view: &RouterView<'_>, facts: &LinkFacts) -> Option<Self> {
        let params = view.params;
        let transport = &params.transport;
        let own = match transport.family {
            Family::Ipv4 => facts.primary_ipv4.map(IpAddr::V4),
            Family::Ipv6 => facts.link_local.ready().map(IpAddr::V6),
        };
        let addresses: Vec<IpAddr> = params.advertised().collect();
        let content = AdvertContent {
            version: params.version,
            vrid: params.vrid,
            priority: params.priority,
            interval: params.interval,
            source: transport.source.or(own)?,
            addresses: &addresses,
            checksum_form: view.checksum_form,
            authentication: params.conduct.authentication,
        };
        let also_v2 = AdvertContent { version: Version::V2, ..content };
        Some(Ready {
            ifindex: facts.ifindex,
            way: Way::new(&content, params, facts)?,
            also_v2: match params.conduct.also_v2 {
                true => Some(Way::new(&also_v2, params, facts)?),
                false => None,
            },
        })
    }
}
