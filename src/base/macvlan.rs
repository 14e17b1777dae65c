//! Interfaces that are made for virtual MACs.

use super::{LinkId, Mac};

/// An interface of our own on top of another one, by which the kernel answers for a virtual MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Macvlan {
    /// The interface to be made; the configuration's table has its name.
    pub link: LinkId,
    /// The interface below it.
    pub base: LinkId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Whether it carries addresses of IPv6; else IPv6 is switched off on it.
    pub ipv6: bool,
    /// The link group that the administrator wants it to be in; ours if none.
    pub group: Option<u32>,
}

impl Macvlan {
    /// What the virtual MACs of IPv4 begin with; the virtual router's number follows (RFC 9568
    /// section 7.3).
    pub const PREFIX_IPV4: [u8; 5] = [0x00, 0x00, 0x5e, 0x00, 0x01];
    /// The same for IPv6.
    pub const PREFIX_IPV6: [u8; 5] = [0x00, 0x00, 0x5e, 0x00, 0x02];

    /// The virtual MAC of that virtual router.
    pub const fn virtual_mac(ipv6: bool, vrid: u8) -> Mac {
        let [a, b, c, d, e] = if ipv6 { Self::PREFIX_IPV6 } else { Self::PREFIX_IPV4 };
        Mac([a, b, c, d, e, vrid])
    }

    /// Whether `mac` is some virtual router's (any vrid, either family).
    pub fn is_virtual(mac: Mac) -> bool {
        mac.0.starts_with(&Self::PREFIX_IPV4) || mac.0.starts_with(&Self::PREFIX_IPV6)
    }
}
