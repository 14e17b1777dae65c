//! **What is played**: how many routers, on which links, how often each speaks; and the
//! configuration files that say so, the same for every daemon.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Most routers on a link: vrids are 1 to 255, and a round number is easier to read.
pub(crate) const MOST_A_LINK: usize = 250;

/// Most links: their number is one byte of an address.
pub(crate) const MOST_LINKS: usize = 250;

/// Priority of a router at home.
pub(crate) const HOME_PRIORITY: u8 = 200;

/// Priority of a router that waits.
pub(crate) const AWAY_PRIORITY: u8 = 100;

/// The link of host A whose fall is a fall of all routers that track it.
pub(crate) const TRACKED: &str = "up0";

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Runs on the first processor.
    A,
    /// Runs on the second.
    B,
}

/// Routers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// How many.
    pub(crate) routers: usize,
    /// How often each advertises, in milliseconds.
    pub(crate) interval_ms: u32,
    /// Over how many links they are spread.
    pub(crate) links: usize,
    /// Whose they are while both hosts are well.
    pub(crate) home: Side,
    /// Whether they fall with [`TRACKED`].
    pub(crate) tracked: bool,
}

/// Everything that is configured on both hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    groups: Vec<Group>,
    /// Whether the daemons run in the real-time class, and viprd is awake before each deadline.
    urgent: bool,
}

/// One virtual router. Its number in the scene decides everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Router {
    /// Number of its link.
    pub(crate) link: usize,
    /// Its id there.
    pub(crate) vrid: u8,
    /// Number of its group.
    pub(crate) group: usize,
}

impl Group {
    /// Routers of host A that follow the tracked link, on as few links as carry them.
    pub(crate) fn of(routers: usize, interval_ms: u32) -> Self {
        let links = routers.div_ceil(MOST_A_LINK).max(1);
        Group { routers, interval_ms, links, home: Side::A, tracked: true }
    }

    /// VRRPv2 wherever its whole seconds suffice.
    pub(crate) fn version(&self) -> u8 {
        if self.interval_ms.is_multiple_of(1000) { 2 } else { 3 }
    }

    /// The advertisement interval in nanoseconds.
    pub(crate) fn interval_ns(&self) -> u64 {
        u64::from(self.interval_ms) * 1_000_000
    }

    /// How long a router of this priority waits after an advert of priority 0, in nanoseconds:
    /// RFC 3768 and RFC 9568, section 6.1 of each.
    pub(crate) fn skew_ns(&self, priority: u8) -> u64 {
        let unit = if self.version() == 2 { 1_000_000_000 } else { self.interval_ns() };
        u64::from(256 - u16::from(priority)) * unit / 256
    }

    /// How long it waits for a master that says nothing, in nanoseconds.
    pub(crate) fn master_down_ns(&self, priority: u8) -> u64 {
        3 * self.interval_ns() + self.skew_ns(priority)
    }

    /// `4,000 routers, 1 s`, for people.
    pub(crate) fn title(&self) -> String {
        let routers = thousands(self.routers);
        let s = if self.routers == 1 { "" } else { "s" };
        let links = match self.links == Group::of(self.routers, self.interval_ms).links {
            true => String::new(),
            false => format!(" on {} links", self.links),
        };
        format!("{routers} router{s}{links}, {}", interval(self.interval_ms))
    }

    fn a_link(&self) -> usize {
        self.routers.div_ceil(self.links)
    }
}

impl Scene {
    /// A scene of one group.
    pub(crate) fn of(group: Group) -> Self {
        Scene { groups: vec![group], urgent: false }
    }

    /// The same with more routers, on links of their own.
    pub(crate) fn with(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// The same in the real-time class. viprd is also told to be awake before each deadline, for
    /// which keepalived has no keyword.
    pub(crate) fn urgently(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Whether the daemons run in the real-time class.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// The group that is measured; all others are there to be disturbed by it.
    pub(crate) fn main(&self) -> &Group {
        &self.groups[0]
    }

    /// All groups.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// How many links it needs, beside the tracked one.
    pub(crate) fn links(&self) -> usize {
        self.groups.iter().map(|group| group.links).sum()
    }

    /// The name of a link, the same on both hosts.
    pub(crate) fn link_name(link: usize) -> String {
        format!("v{link}")
    }

    /// The address of `side` on a link, with prefix length.
    pub(crate) fn link_address(link: usize, side: Side) -> String {
        let host = if side == Side::A { 1 } else { 2 };
        format!("10.77.{link}.{host}/24")
    }

    /// All routers, in the order of their numbers.
    pub(crate) fn routers(&self) -> Vec<Router> {
        let mut routers = Vec::new();
        let mut first_link = 0;
        for (number, group) in self.groups.iter().enumerate() {
            routers.extend((0..group.routers).map(|router| Router {
                link: first_link + router / group.a_link(),
                vrid: (router % group.a_link() + 1) as u8,
                group: number,
            }));
            first_link += group.links;
        }
        routers
    }

    /// The virtual address of the router with this number.
    pub(crate) fn address(router: usize) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST_ADDRESS + router as u32)
    }

    /// The router whose address this is, should it be one.
    pub(crate) fn router_of(address: Ipv4Addr) -> Option<usize> {
        let past = address.to_bits().checked_sub(FIRST_ADDRESS)?;
        (past < 1 << 16).then_some(past as usize)
    }

    /// The configuration file of `side`, in keepalived's language.
    pub(crate) fn config(&self, side: Side) -> String {
        let mut text = String::new();
        if self.urgent {
            text.push_str("global_defs {\n    vrrp_rt_priority 50\n    viprd_spin_us 200\n}\n\n");
        }
        for (number, router) in self.routers().iter().enumerate() {
            let group = &self.groups[router.group];
            let (state, priority) = match group.home == side {
                true => ("MASTER", HOME_PRIORITY),
                false => ("BACKUP", AWAY_PRIORITY),
            };
            let _ = writeln!(
                text,
                "vrrp_instance R{number} {{\n    version {}\n    state {state}\n    interface {}\n    \
                 virtual_router_id {}\n    priority {priority}\n    advert_int {}",
                group.version(),
                Scene::link_name(router.link),
                router.vrid,
                f64::from(group.interval_ms) / 1e3,
            );
            if group.tracked && side == Side::A {
                let _ = writeln!(text, "    track_interface {{\n        {TRACKED}\n    }}");
            }
            let address = Scene::address(number);
            let _ = writeln!(text, "    virtual_ipaddress {{\n        {address}/32\n    }}\n}}\n");
        }
        text
    }
}

/// 172.16.0.1.
const FIRST_ADDRESS: u32 = 0xac10_0001;

/// `1 s`, `10 ms`.
pub(crate) fn interval(ms: u32) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}

/// A number with commas between its thousands.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routers_share_link_and_id() {
        let others = Group { tracked: false, home: Side::B, ..Group::of(1000, 100) };
        let scene = Scene::of(Group::of(501, 1000)).with(others);
        let mut routers: Vec<_> =
            scene.routers().iter().map(|router| (router.link, router.vrid)).collect();
        assert_eq!(routers.len(), 1501);
        assert!(routers.iter().all(|&(link, vrid)| link < scene.links() && vrid > 0));
        routers.sort_unstable();
        routers.dedup();
        assert_eq!(routers.len(), 1501);
        assert_eq!(scene.links(), 3 + 4);
        assert_eq!(Scene::router_of(Scene::address(1234)), Some(1234));
        assert_eq!(Scene::router_of(Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn the_viprd_library_understands_the_files() {
        use std::path::Path;
        use viprd::config::{MemoryFiles, Options, Severity, load};
        let scene = Scene::of(Group::of(3, 10)).with(Group::of(2, 1000));
        for side in [Side::A, Side::B] {
            let files = MemoryFiles::new().with("/c", scene.config(side));
            let loaded = load(Path::new("/c"), &files, &Options::default());
            assert_eq!(loaded.diagnostics.count(Severity::Error), 0, "{}", scene.config(side));
            assert_eq!(loaded.diagnostics.count(Severity::Warning), 0, "{}", scene.config(side));
            assert_eq!(loaded.configuration.map(|c| c.routers.len()), Some(5));
        }
    }

    #[test]
    fn times_are_those_of_the_rfcs() {
        assert_eq!(Group::of(1, 1000).master_down_ns(AWAY_PRIORITY), 3_609_375_000);
        assert_eq!(Group::of(1, 10).skew_ns(AWAY_PRIORITY), 6_093_750);
        assert_eq!(Group::of(4000, 100).title(), "4,000 routers, 100 ms");
    }
}
