//! One router under test, and someone else's adverts for it.

use std::net::{IpAddr, Ipv4Addr};

use viprd::base::{
    Centis, IfIndex, Instant, LinkChange, LinkFacts, LinkId, LinkLocal, Mac, RouterId, Scope, Span,
    VirtualAddress, Vrid,
};
use viprd::vrrp::{
    Action, Conduct, Engine, GarpParams, Preempt, RouterParams, RouterView, StateName, Transport,
};
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Advert, Authentication, ChecksumForm, Version};

/// The router under test; there is only one unless a test says otherwise.
pub const ROUTER: RouterId = RouterId(0);
/// The interface that carries its adverts.
pub const OWN: LinkId = LinkId(0);
/// The interface that its addresses live on.
pub const SERVICE: LinkId = LinkId(1);

pub const OWN_ADDRESS: IpAddr = IpAddr::V4(OWN_IPV4);
pub const OWN_IPV4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
pub const LOWER_ADDRESS: IpAddr = IpAddr::V4(LOWER_IPV4);
pub const LOWER_IPV4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
pub const HIGHER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 6));
pub const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 122, 50));

/// When everything starts: off the centisecond grid, so that rounding shows.
pub const START: Instant = Instant::from_nanos(1_000_003_456_789);
pub const SECOND: Span = Span::from_secs(1);
pub const NANO: Span = Span::from_nanos(1);

pub struct Desk {
    pub engine: Engine,
    pub now: Instant,
}

impl Desk {
    /// A router that has been started at [`START`] with both interfaces up. What it wished until
    /// then is forgotten.
    pub fn new(params: RouterParams) -> Self {
        let mut desk = Desk::idle(params);
        desk.engine.start(START);
        desk.wishes();
        desk
    }

    /// The same, not started.
    pub fn idle(params: RouterParams) -> Self {
        let mut engine = Engine::new(vec![params], 2);
        for link in [OWN, SERVICE] {
            engine.on_link(START, &LinkChange { link, facts: Some(facts(link)) });
        }
        Desk { engine, now: START }
    }

    /// A router that is Active since a moment ago, with its addresses set and announced.
    pub fn active(params: RouterParams) -> Self {
        let mut desk = Desk::new(params);
        desk.run_until(START + Span::from_secs(45));
        assert_eq!(desk.state(), StateName::Master);
        desk.engine.on_addresses_set(desk.now, ROUTER);
        desk.wishes();
        desk
    }

    pub fn view(&self) -> RouterView<'_> {
        self.engine.view(ROUTER)
    }

    pub fn state(&self) -> StateName {
        self.view().state.name()
    }

    /// Everything wished since somebody last looked.
    pub fn wishes(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.engine.next_action()).collect()
    }

    /// The same without the notices.
    pub fn deeds(&mut self) -> Vec<Action> {
        let mut wishes = self.wishes();
        wishes.retain(|wish| !matches!(wish, Action::Notice { .. } | Action::Stray { .. }));
        wishes
    }

    /// Lets time pass: every deadline up to `end` fires when it is due. Returns what was wished,
    /// and when.
    pub fn run_until(&mut self, end: Instant) -> Vec<(Instant, Action)> {
        let mut log = Vec::new();
        loop {
            let due = self.engine.next_deadline();
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.engine.on_deadlines(self.now, usize::MAX);
            assert!(self.engine.next_deadline() > self.now, "a busy loop");
            let now = self.now;
            log.extend(self.wishes().into_iter().map(|wish| (now, wish)));
        }
        self.now = end;
        log
    }

    pub fn run_for(&mut self, span: Span) -> Vec<(Instant, Action)> {
        self.run_until(self.now + span)
    }

    /// An advert from somebody else, as bytes on the router's own interface. `change` says what is
    /// special about it.
    pub fn hear(&mut self, change: impl FnOnce(&mut AdvertContent<'_>)) {
        let params = self.view().params;
        let packet = packet(params, change);
        self.hear_bytes(&packet);
    }

    /// An advert of `priority` from the higher address.
    pub fn hear_priority(&mut self, priority: u8) {
        self.hear(|advert| advert.priority = priority);
    }

    pub fn hear_bytes(&mut self, packet: &[u8]) {
        match Advert::parse(packet) {
            Ok(advert) => self.engine.on_advert(self.now, ifindex(OWN), &advert),
            Err(refused) => self.engine.on_malformed(ifindex(OWN), &refused),
        }
    }

    /// An interface changes: `change` starts from how it was at first.
    pub fn link(&mut self, link: LinkId, change: impl FnOnce(&mut LinkFacts)) {
        let mut facts = facts(link);
        change(&mut facts);
        self.engine.on_link(self.now, &LinkChange { link, facts: Some(facts) });
    }

    pub fn link_is_gone(&mut self, link: LinkId) {
        self.engine.on_link(self.now, &LinkChange { link, facts: None });
    }
}

/// A v3 router of priority 100 and 1 s with one address on the service interface.
pub fn params() -> RouterParams {
    RouterParams {
        name: "VI_1".into(),
        link: OWN,
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        transport: Transport::default(),
        checksum_form: ChecksumForm::Message,
        priority: 100,
        interval: Centis::DEFAULT,
        preempt: Preempt::After(Span::ZERO),
        tracked_links: Box::default(),
        tracking: viprd::vrrp::Tracking::default(),
        addresses: Box::new([VirtualAddress {
            ip: VIRTUAL,
            prefix_len: 24,
            link: SERVICE,
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }]),
        garp: GarpParams { delay: Span::ZERO, ..GarpParams::default() },
        conduct: Conduct::default(),
        source_mac: None,
        macvlans: Box::default(),
        accept: true,
    }
}

/// The advert that somebody at the higher address sends for `params`, changed by `change`.
pub fn packet(params: &RouterParams, change: impl FnOnce(&mut AdvertContent<'_>)) -> Vec<u8> {
    let mut content = AdvertContent {
        version: params.version,
        vrid: params.vrid,
        priority: params.priority,
        interval: params.interval,
        source: HIGHER_ADDRESS,
        addresses: &[VIRTUAL],
        checksum_form: params.checksum_form,
        authentication: Authentication::None,
    };
    change(&mut content);
    AdvertFrame::new(&content, Mac::default()).packet().to_vec()
}

pub fn ifindex(link: LinkId) -> IfIndex {
    IfIndex(link.0 + 2)
}

pub fn facts(link: LinkId) -> LinkFacts {
    LinkFacts {
        ifindex: ifindex(link),
        up: true,
        mac: Some(Mac([2, 0, 0, 0, 0, link.0 as u8])),
        mtu: 1500,
        primary_ipv4: (link == OWN).then_some(OWN_IPV4),
        link_local: LinkLocal::None,
    }
}
