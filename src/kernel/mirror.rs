//! The mirror: interfaces, and the addresses on them that are not ours to manage, as last reported.
//!
//! All interfaces are mirrored, also those that the configuration doesn't name: one of them may be
//! given a watched name at any time, and then its addresses have to be known. The addresses that
//! the configuration makes virtual are the reconciler's; here live the *real* ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use super::reader::{Address, Link};
use super::sources::is_usable;
use crate::base::{IfIndex, LinkFacts, LinkId, LinkLocal, Mac, Scope};

/// `IFF_UP`: the administrator wants it up.
const IFF_UP: u32 = libc::IFF_UP as u32;
/// `IFF_RUNNING`: it can carry traffic.
const IFF_RUNNING: u32 = libc::IFF_RUNNING as u32;

/// An interface's name as the kernel has it.
pub(super) type Name = ArrayVec<u8, 15>;

/// One interface of the host.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) name: Name,
    /// The configuration's name for it, while it bears that name.
    pub(super) link: Option<LinkId>,
    /// `IFF_…`
    pub(super) flags: u32,
    hardware: u16,
    mac: Option<Mac>,
    mtu: u32,
    /// The interface below it, if it has one in this namespace.
    pub(super) lower: Option<IfIndex>,
    /// Its link group.
    pub(super) group: u32,
    /// Its mode, if it is a macvlan.
    pub(super) macvlan: Option<u32>,
    /// Its routing table, if it is a VRF.
    pub(super) vrf: Option<u32>,
    reals: HashMap<RealKey, Real>,
    /// The real IPv4 addresses, the one to use as primary first.
    candidates: BTreeMap<Rank, Ipv4Addr>,
    /// The real link-local IPv6 addresses likewise, but for duplicates of somebody else's.
    link_locals: BTreeMap<Rank, Local>,
    touched: u32,
    seen: u32,
}

/// What tells one address of an interface from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RealKey {
    pub(super) ip: IpAddr,
    pub(super) prefix_len: u8,
    pub(super) peer: Option<IpAddr>,
}

#[derive(Debug)]
struct Real {
    rank: Rank,
    /// `IFA_F_…`
    flags: u32,
    marks: Marks,
}

/// A link-local address.
#[derive(Debug)]
struct Local {
    ip: Ipv6Addr,
    /// Duplicate address detection has not passed it yet, nor may it be used before.
    tentative: bool,
}

/// When something was last spoken of: the generations of the last event and of the last page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) touched: u32,
    pub(super) seen: u32,
}

/// How good an address is as the primary one; the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// It is a virtual one with another prefix length: an owner's own address, or one left over
    /// from an older configuration. Only if there is nothing better.
    shadow: bool,
    /// `IFA_F_SECONDARY`: another address of its subnet was first.
    secondary: bool,
    /// The wider the smaller.
    scope: Scope,
    /// In the order they came, which is the kernel's order within a scope.
    order: u64,
}

/// All interfaces, and the marks by which a dump is compared with what is known.
///
/// Each dump begins a *generation*. Events mark what they speak of with it, and win over the dump's
/// pages: an event read after the dump's start is either newer than the page, or older and followed
/// by another one that leads to what the page says.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    devices: HashMap<IfIndex, Device>,
    order: u64,
    generation: u32,
    /// What events ended since the dump began; its pages may still show it.
    gone_devices: HashSet<IfIndex>,
    gone_reals: HashSet<(IfIndex, RealKey)>,
    dumping: bool,
}

/// Where a message comes from: what happens now, or a page of the running dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Event,
    Page,
}

impl RealKey {
    pub(super) fn of(address: &Address) -> Self {
        RealKey { ip: address.ip, prefix_len: address.prefix_len, peer: address.peer }
    }
}

impl Device {
    /// What the protocol has to know.
    pub(super) fn facts(&self, ifindex: IfIndex) -> LinkFacts {
        LinkFacts {
            ifindex,
            up: self.flags & (IFF_UP | IFF_RUNNING) == IFF_UP | IFF_RUNNING,
            mac: self.mac.filter(|_| self.hardware == libc::ARPHRD_ETHER),
            mtu: self.mtu,
            primary_ipv4: self.candidates.values().next().copied(),
            link_local: self.link_local(),
        }
    }

    /// The first link-local address that can be used. One that is virtual as well is taken only if
    /// there isn't another one that could be waited for.
    fn link_local(&self) -> LinkLocal {
        let mut found = LinkLocal::None;
        for (rank, local) in &self.link_locals {
            match (local.tentative, found) {
                (false, LinkLocal::Tentative) if rank.shadow => return found,
                (false, _) => return LinkLocal::Ready(local.ip),
                (true, _) => found = LinkLocal::Tentative,
            }
        }
        found
    }

    /// Whether the administrator wants it up; taken down, it may lose addresses by itself.
    pub(super) fn is_wanted_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// Its Ethernet address.
    pub(super) fn mac(&self) -> Option<Mac> {
        self.mac
    }

    /// How many real addresses it has.
    pub(super) fn reals(&self) -> usize {
        self.reals.len()
    }

    /// How many real addresses of a family it has that are nothing else.
    pub(super) fn own(&self, ipv4: bool) -> usize {
        let own = |(key, real): &(&RealKey, &Real)| key.ip.is_ipv4() == ipv4 && !real.rank.shadow;
        self.reals.iter().filter(own).count()
    }

    /// Whether a real address is on it.
    pub(super) fn holds(&self, key: &RealKey) -> bool {
        self.reals.contains_key(key)
    }

    /// The real addresses that can be sent from.
    pub(super) fn usable(&self) -> impl Iterator<Item = RealKey> {
        let usable = self.reals.iter().filter(|(_, real)| is_usable(real.flags));
        usable.map(|(key, _)| *key)
    }

    fn learn(&mut self, link: &Link<'_>) {
        self.flags = link.flags;
        self.hardware = link.hardware;
        if let Some(name) = link.name {
            self.name = name.iter().copied().take(self.name.capacity()).collect();
        }
        if let Some(address) = link.address {
            self.mac = <[u8; 6]>::try_from(address).ok().map(Mac);
        }
        if let Some(mtu) = link.mtu {
            self.mtu = mtu;
        }
        self.lower = link.lower.or(self.lower);
        self.group = link.group.unwrap_or(self.group);
        self.macvlan = link.macvlan.or(self.macvlan);
        self.vrf = link.vrf.or(self.vrf);
    }

    fn insert(&mut self, key: RealKey, real: Real) {
        self.remove(&key);
        self.consider(key.ip, &real);
        self.reals.insert(key, real);
    }

    /// Makes an address one that may be the primary one, if it can be that.
    fn consider(&mut self, ip: IpAddr, real: &Real) {
        match ip {
            IpAddr::V4(ip) => {
                self.candidates.insert(real.rank, ip);
            }
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                if real.flags & libc::IFA_F_DADFAILED == 0 {
                    let tentative = !is_usable(real.flags);
                    self.link_locals.insert(real.rank, Local { ip, tentative });
                }
            }
            IpAddr::V6(_) => {}
        }
    }

    fn remove(&mut self, key: &RealKey) -> Option<Real> {
        let real = self.reals.remove(key)?;
        self.candidates.remove(&real.rank);
        self.link_locals.remove(&real.rank);
        Some(real)
    }
}

impl Mirror {
    /// The interface of that index.
    pub(super) fn device(&self, ifindex: IfIndex) -> Option<&Device> {
        self.devices.get(&ifindex)
    }

    /// The same, to bind a name to it.
    pub(super) fn device_mut(&mut self, ifindex: IfIndex) -> Option<&mut Device> {
        self.devices.get_mut(&ifindex)
    }

    /// All interfaces, in no order.
    pub(super) fn devices(&self) -> impl Iterator<Item = (IfIndex, &Device)> {
        self.devices.iter().map(|(&ifindex, device)| (ifindex, device))
    }

    /// The running dump's number, or the last one's.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether a dump runs.
    pub(super) fn is_dumping(&self) -> bool {
        self.dumping
    }

    /// A dump begins: a new generation.
    pub(super) fn begin_dump(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.dumping = true;
        self.gone_devices.clear();
        self.gone_reals.clear();
    }

    /// The dump has ended or was given up.
    pub(super) fn end_dump(&mut self) {
        self.dumping = false;
        self.gone_devices.clear();
        self.gone_reals.clear();
    }

    /// Learns what a message says of an interface; its former name if it has another one now (an
    /// empty name for an interface that is new). `None`: nothing learnt.
    pub(super) fn link(&mut self, link: &Link<'_>, source: Source) -> Option<Name> {
        let generation = self.generation;
        match source {
            Source::Event => {
                self.gone_devices.remove(&link.ifindex);
            }
            Source::Page if self.gone_devices.contains(&link.ifindex) => return None,
            Source::Page => {}
        }
        // An interface that never told its name can't be anyone's.
        if link.name.is_none() && !self.devices.contains_key(&link.ifindex) {
            return None;
        }
        let device = self
            .devices
            .entry(link.ifindex)
            .or_insert_with(|| Device { touched: generation.wrapping_sub(1), ..Device::default() });
        match source {
            Source::Event => device.touched = generation,
            Source::Page => {
                device.seen = generation;
                if device.touched == generation {
                    return None;
                }
            }
        }
        let former = device.name.clone();
        device.learn(link);
        Some(former)
    }

    /// Forgets an interface, with its real addresses.
    pub(super) fn link_gone(&mut self, ifindex: IfIndex, source: Source) -> Option<Device> {
        if self.dumping && source == Source::Event {
            self.gone_devices.insert(ifindex);
        }
        self.devices.remove(&ifindex)
    }

    /// The interfaces that the dump, complete now, didn't show.
    pub(super) fn unseen_devices(&self) -> Vec<IfIndex> {
        let unseen =
            |device: &Device| device.seen != self.generation && device.touched != self.generation;
        let unseen = self.devices().filter(|(_, device)| unseen(device));
        let mut unseen: Vec<IfIndex> = unseen.map(|(ifindex, _)| ifindex).collect();
        unseen.sort_unstable();
        unseen
    }

    /// Learns of a real address. `shadow`: it is virtual as well, with another prefix length.
    pub(super) fn real(&mut self, address: &Address, shadow: bool, source: Source) {
        let key = RealKey::of(address);
        match source {
            Source::Event if self.dumping => {
                self.gone_reals.remove(&(address.ifindex, key));
            }
            Source::Page if self.gone_reals.contains(&(address.ifindex, key)) => return,
            _ => {}
        }
        let generation = self.generation;
        let Some(device) = self.devices.get_mut(&address.ifindex) else {
            return;
        };
        let before = generation.wrapping_sub(1);
        let known = device.reals.get(&key).map(|real| real.marks);
        let mut marks = known.unwrap_or(Marks { touched: before, seen: before });
        match source {
            Source::Event => marks.touched = generation,
            Source::Page => marks.seen = generation,
        }
        match known {
            Some(known) if source == Source::Page && known.touched == generation => {
                if let Some(real) = device.reals.get_mut(&key) {
                    real.marks = marks;
                }
            }
            _ => self.put_real(address, shadow, marks),
        }
    }

    /// Makes an address a real one that is known, but was taken for a virtual one.
    pub(super) fn put_real(&mut self, address: &Address, shadow: bool, marks: Marks) {
        let key = RealKey::of(address);
        let Some(device) = self.devices.get_mut(&address.ifindex) else {
            return;
        };
        // One that is known keeps its place, so that the primary address stays what it is.
        let order = match device.reals.get(&key) {
            Some(real) => real.rank.order,
            None => {
                self.order += 1;
                self.order
            }
        };
        let secondary = address.flags & libc::IFA_F_SECONDARY != 0;
        let rank = Rank { shadow, secondary, scope: address.scope, order };
        device.insert(key, Real { rank, flags: address.flags, marks });
    }

    /// When a real address was last heard of.
    pub(super) fn real_marks(&self, ifindex: IfIndex, key: &RealKey) -> Option<Marks> {
        Some(self.devices.get(&ifindex)?.reals.get(key)?.marks)
    }

    /// Forgets a real address that turns out to be a virtual one.
    pub(super) fn take_real(&mut self, ifindex: IfIndex, key: &RealKey) -> Option<Marks> {
        Some(self.devices.get_mut(&ifindex)?.remove(key)?.marks)
    }

    /// An event tells that a real address is gone.
    pub(super) fn real_gone(&mut self, ifindex: IfIndex, key: &RealKey) {
        if self.dumping {
            self.gone_reals.insert((ifindex, *key));
        }
        if let Some(device) = self.devices.get_mut(&ifindex) {
            device.remove(key);
        }
    }

    /// Removes the real addresses that the dump, complete now, didn't show.
    pub(super) fn remove_unseen_reals(&mut self) {
        let generation = self.generation;
        for device in self.devices.values_mut() {
            let Device { candidates, link_locals, reals, .. } = device;
            reals.retain(|_, real| {
                let Marks { touched, seen } = real.marks;
                let keep = seen == generation || touched == generation;
                if !keep {
                    candidates.remove(&real.rank);
                    link_locals.remove(&real.rank);
                }
                keep
            });
        }
    }

    /// Ranks the real addresses of an interface anew: `is_virtual` has changed its mind.
    pub(super) fn rank_again(&mut self, ifindex: IfIndex, is_virtual: impl Fn(&IpAddr) -> bool) {
        let Some(device) = self.devices.get_mut(&ifindex) else {
            return;
        };
        let mut reals = std::mem::take(&mut device.reals);
        for (key, real) in &mut reals {
            let shadow = is_virtual(&key.ip);
            if shadow != real.rank.shadow {
                device.candidates.remove(&real.rank);
                device.link_locals.remove(&real.rank);
                real.rank.shadow = shadow;
                device.consider(key.ip, real);
            }
        }
        device.reals = reals;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: IfIndex = IfIndex(2);

    fn ip(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)
    }

    fn address(last: u16, flags: u32) -> Address {
        let (ip, scope) = (ip(last).into(), Scope::LINK);
        Address { ifindex: AT, ip, prefix_len: 64, peer: None, scope, flags, protocol: 0 }
    }

    fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        let (name, address) = (Some(&b"eth0"[..]), None);
        let link = Link {
            ifindex: AT,
            flags: 0,
            hardware: 1,
            name,
            address,
            mtu: None,
            lower: None,
            group: None,
            macvlan: None,
            vrf: None,
        };
        mirror.link(&link, Source::Event);
        mirror
    }

    fn link_local(mirror: &Mirror) -> LinkLocal {
        mirror.device(AT).map(|device| device.facts(AT).link_local).unwrap_or_default()
    }

    #[test]
    fn a_link_local_address_is_waited_for_until_it_can_be_used() {
        let mut mirror = mirror();
        let mut hear = |address: Address| {
            mirror.real(&address, false, Source::Event);
            link_local(&mirror)
        };
        let global = Address { ip: "2001:db8::1".parse().unwrap(), ..address(0, 0) };
        assert_eq!(hear(global), LinkLocal::None);
        assert_eq!(hear(address(1, libc::IFA_F_TENTATIVE)), LinkLocal::Tentative);
        assert_eq!(hear(address(1, 0)), LinkLocal::Ready(ip(1)));
        // The first one stays the one, whatever comes and goes beside it.
        assert_eq!(hear(address(2, 0)), LinkLocal::Ready(ip(1)));
        mirror.real_gone(AT, &RealKey::of(&address(2, 0)));
        assert_eq!(link_local(&mirror), LinkLocal::Ready(ip(1)));
        mirror.real_gone(AT, &RealKey::of(&address(1, 0)));
        assert_eq!(link_local(&mirror), LinkLocal::None);
    }

    #[test]
    fn a_duplicate_can_not_be_used_and_an_optimistic_one_can() {
        let mut mirror = mirror();
        let failed = libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
        mirror.real(&address(1, failed), false, Source::Event);
        assert_eq!(link_local(&mirror), LinkLocal::None);
        let optimistic = libc::IFA_F_TENTATIVE | libc::IFA_F_OPTIMISTIC;
        mirror.real(&address(2, optimistic), false, Source::Event);
        assert_eq!(link_local(&mirror), LinkLocal::Ready(ip(2)));
    }

    #[test]
    fn a_tentative_one_does_not_hide_another() {
        let mut mirror = mirror();
        mirror.real(&address(1, libc::IFA_F_TENTATIVE), false, Source::Event);
        mirror.real(&address(2, 0), false, Source::Event);
        assert_eq!(link_local(&mirror), LinkLocal::Ready(ip(2)));
    }

    #[test]
    fn a_virtual_one_is_taken_only_if_nothing_else_is_to_be_had() {
        let mut mirror = mirror();
        mirror.real(&address(1, 0), true, Source::Event);
        assert_eq!(link_local(&mirror), LinkLocal::Ready(ip(1)), "an owner's");
        mirror.real(&address(2, libc::IFA_F_TENTATIVE), false, Source::Event);
        assert_eq!(link_local(&mirror), LinkLocal::Tentative, "worth waiting for");
        mirror.real(&address(2, 0), false, Source::Event);
        assert_eq!(link_local(&mirror), LinkLocal::Ready(ip(2)));
        // The configuration changes its mind about both.
        mirror.rank_again(AT, |&it| it == IpAddr::from(ip(2)));
        assert_eq!(link_local(&mirror), LinkLocal::Ready(ip(1)));
    }
}
