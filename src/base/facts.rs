//! What the lower rooms report upwards. A fact is never a question and never an order.

use std::net::Ipv4Addr;

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
}
