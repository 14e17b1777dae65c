//! What leaves as finished frames: each router's advert, kept ready and patched in place (for unicast
//! peers a packet each), and the queue of gratuitous ARPs and neighbour advertisements.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use zerocopy::IntoBytes;

use super::boot::Sockets;
use super::tokens;
use crate::base::{Family, IfIndex, Instant, LinkChange, LinkFacts, LinkId, RouterId};
use crate::io::Io;
use crate::vrrp::{Engine, RouterParams, StateName};
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
    /// Routers whose addresses have not been announced once since they were set.
    first: VecDeque<Announcement>,
    /// The repetitions, after everybody's first.
    again: VecDeque<Announcement>,
}

/// A router whose adverts a link carries.
#[derive(Clone, Copy, Debug)]
struct Carried {
    router: RouterId,
    /// Whose multicast group it listens to; `None`: it has unicast peers.
    group: Option<Family>,
}

/// An advert that can be sent as it is.
#[derive(Debug)]
struct Ready {
    ifindex: IfIndex,
    way: Way,
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
    /// Frames for `routers`, sent through these sockets.
    pub(super) fn new(sockets: &Sockets, routers: &[RouterParams], links: usize) -> Self {
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
            first: VecDeque::with_capacity(routers.len()),
            again: VecDeque::with_capacity(routers.len()),
        }
    }

    /// Makes the frames of all routers on a changed link anew: its address or index may be others.
    pub(super) fn on_link<'a>(
        &mut self,
        change: &LinkChange,
        params: impl Fn(RouterId) -> &'a RouterParams,
    ) {
        self.links[change.link.index()] = change.facts;
        for &Carried { router, .. } in &self.carried[change.link.index()] {
            let advert = &mut self.adverts[router.index()];
            match change.facts {
                // An interface that has lost its address keeps the frame: the last advert, of
                // priority 0, can still leave by it.
                Some(facts) => *advert = Ready::new(params(router), &facts).or(advert.take()),
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
    pub(super) fn renew(&mut self, router: RouterId, params: &RouterParams) {
        if self.adverts.len() <= router.index() {
            self.adverts.resize_with(router.index() + 1, || None);
        }
        let carried = &mut self.carried[params.link.index()];
        let renewed = Carried::new(router, params);
        match carried.iter_mut().find(|carried| carried.router == router) {
            Some(carried) => *carried = renewed,
            None => carried.push(renewed),
        }
        let facts = self.links[params.link.index()];
        self.adverts[router.index()] = facts.and_then(|facts| Ready::new(params, &facts));
    }

    /// Forgets a router whose adverts left by `link`.
    pub(super) fn forget(&mut self, router: RouterId, link: LinkId) {
        self.carried[link.index()].retain(|carried| carried.router != router);
        self.adverts[router.index()] = None;
        self.first.retain(|waiting| waiting.router != router);
        self.again.retain(|waiting| waiting.router != router);
    }

    /// What is known of `link`.
    pub(super) fn facts(&self, link: LinkId) -> Option<LinkFacts> {
        self.links[link.index()]
    }

    /// Whether any router on `link` listens to the multicast group of `family`.
    pub(super) fn listens(&self, link: LinkId, family: Family) -> bool {
        self.carried[link.index()].iter().any(|carried| carried.group == Some(family))
    }

    /// Queues the advert of `router` with this priority. Without a usable link nothing is sent; the
    /// router is about to hear of that.
    pub(super) fn advertise(&mut self, io: &mut dyn Io, router: RouterId, priority: u8) {
        let Some(ready) = &mut self.adverts[router.index()] else { return };
        match &mut ready.way {
            Way::Multicast(frame) => {
                frame.set_priority(priority);
                io.send_frame(tokens::FRAMES, self.socket, ready.ifindex, frame.bytes());
            }
            Way::Unicast(peers) => {
                for (peer, packet) in peers {
                    packet.set_priority(priority);
                    match (*peer, self.ipv6) {
                        (IpAddr::V4(peer), _) => {
                            io.send_ipv4(tokens::PEERS, self.ipv4, peer, packet.bytes());
                        }
                        (IpAddr::V6(peer), Some(socket)) => {
                            let link = ready.ifindex;
                            io.send_ipv6(tokens::PEERS, socket, peer, link, packet.bytes());
                        }
                        (IpAddr::V6(_), None) => {}
                    }
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
            self.send_announcement(io, params.link, ip);
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
            let addresses = match next.of {
                Announced::All => &*view.params.addresses,
                Announced::Fresh => view.fresh,
            };
            for address in addresses {
                self.send_announcement(io, address.link, address.ip);
                budget = budget.saturating_sub(1);
            }
            engine.on_announced(now, next.router);
            if next.rounds > 1 {
                self.again.push_back(Announcement { rounds: next.rounds - 1, ..next });
            }
        }
    }

    /// Whether announcements of that sort wait to be sent.
    pub(super) fn waits(&self, round: Round) -> bool {
        match round {
            Round::First => !self.first.is_empty(),
            Round::Again => !self.again.is_empty(),
        }
    }

    fn send_announcement(&self, io: &mut dyn Io, link: LinkId, ip: IpAddr) {
        let Some(LinkFacts { up: true, ifindex, mac: Some(mac), .. }) = self.links[link.index()]
        else {
            return;
        };
        match ip {
            IpAddr::V4(ip) => {
                let garp = GratuitousArp::announce(ip, mac);
                io.send_frame(tokens::FRAMES, self.socket, ifindex, garp.as_bytes());
            }
            IpAddr::V6(ip) => {
                let advertisement = UnsolicitedAdvertisement::announce(ip, mac);
                io.send_frame(tokens::FRAMES, self.socket, ifindex, advertisement.as_bytes());
            }
        }
    }
}

impl Carried {
    fn new(router: RouterId, params: &RouterParams) -> Self {
        let transport = &params.transport;
        let group = transport.unicast.is_none().then_some(transport.family);
        Carried { router, group }
    }
}

impl Ready {
    fn new(params: &RouterParams, facts: &LinkFacts) -> Option<Self> {
        let transport = &params.transport;
        let own = match transport.family {
            Family::Ipv4 => facts.primary_ipv4.map(IpAddr::V4),
            Family::Ipv6 => facts.link_local.ready().map(IpAddr::V6),
        };
        let addresses: Vec<IpAddr> = params.addresses.iter().map(|address| address.ip).collect();
        let content = AdvertContent {
            version: params.version,
            vrid: params.vrid,
            priority: params.priority,
            interval: params.interval,
            source: transport.source.or(own)?,
            addresses: &addresses,
            checksum_form: params.checksum_form,
        };
        let way = match &transport.unicast {
            // A virtual MAC is but bytes of the frame: it need not pass through the macvlan.
            None => {
                let mac = params.source_mac.or(facts.mac)?;
                Way::Multicast(AdvertFrame::new(&content, mac))
            }
            Some(unicast) => {
                let to = |ip| (ip, AdvertFrame::to_peer(&content, ip, unicast.ttl));
                // A list that all routers share names us too.
                let others = unicast.peers.iter().filter(|peer| peer.ip != content.source);
                Way::Unicast(others.map(|peer| to(peer.ip)).collect())
            }
        };
        Some(Ready { ifindex: facts.ifindex, way })
    }
}
