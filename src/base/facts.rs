//! What the lower rooms report upwards. A fact is never a question and never an order.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{IfIndex, LinkId, Mac};

/// An interface that the configuration names has changed in a way that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// Which one.
    pub link: LinkId,
    /// What is known of it now; `None` while no interface of that name exists.
    pub facts: Option<LinkFacts>,
}

/// What the protocol has to know of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// The kernel's index of it; another one after it was deleted and made again.
    pub ifindex: IfIndex,
    /// Whether it can carry traffic: `IFF_UP` and `IFF_RUNNING` both.
    pub up: bool,
    /// Its Ethernet address; `None` if it is no Ethernet-like interface.
    pub mac: Option<Mac>,
    /// Its maximum transmission unit in bytes.
    pub mtu: u32,
    /// Its primary IPv4 address: the first that isn't a virtual one (RFC 9568 section 1.6).
    pub primary_ipv4: Option<Ipv4Addr>,
    /// The link-local address that it sends from over IPv6 (RFC 9568 section 5.1.2.1).
    pub link_local: LinkLocal,
}

/// What link-local IPv6 address an interface has that isn't a virtual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkLocal {
    /// None, or none but duplicates of somebody else's.
    #[default]
    None,
    /// One that duplicate address detection has not passed yet (RFC 4862 section 5.4): a second or
    /// two, and it can be used.
    Tentative,
    /// This one.
    Ready(Ipv6Addr),
}

impl LinkLocal {
    /// The address, once it can be used.
    pub const fn ready(self) -> Option<Ipv6Addr> {
        match self {
            LinkLocal::Ready(ip) => Some(ip),
            LinkLocal::None | LinkLocal::Tentative => None,
        }
    }
}
