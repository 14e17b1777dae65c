//! Addresses: of Ethernet, and those that a virtual router carries.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use arrayvec::ArrayString;

use super::LinkId;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

/// Which of the two internet protocols: each has virtual routers of its own (RFC 9568 section 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// An address label such as `eth1:0`: at most 15 bytes (`IFNAMSIZ` less its NUL).
pub type Label = ArrayString<15>;

/// How far an address reaches (`rtnetlink(7)`, `ifa_scope`): 0 global, 200 site, 253 link,
/// 254 host; other numbers are the administrator's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Scope(pub u8);

/// An address that a virtual router owns while it is Active: everything that the kernel has to
/// be told to add it, and to find it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualAddress {
    /// The address itself.
    pub ip: IpAddr,
    /// Length of its prefix: at most 32 for IPv4, 128 for IPv6.
    pub prefix_len: u8,
    /// The interface it is added to; gratuitous ARPs for it leave there.
    pub link: LinkId,
    /// Broadcast address to set, if any.
    pub broadcast: Option<Ipv4Addr>,
    /// Label to set, if any. The kernel wants it to begin with the interface's name.
    pub label: Option<Label>,
    /// Its scope.
    pub scope: Scope,
    /// What few addresses have.
    pub options: Option<Box<AddressOptions>>,
}

/// Options that few addresses have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressOptions {
    /// The other end of a point-to-point link; the prefix length is that one's then.
    pub peer: Option<IpAddr>,
    /// Whether the kernel looks for duplicates of it (IPv6).
    pub detect_duplicates: bool,
    /// For how many seconds it may be chosen as a source; `u32::MAX` for ever, `None` if nothing
    /// is said.
    pub preferred: Option<u32>,
    /// Further flags, `IFA_F_…`.
    pub flags: u32,
}

impl VirtualAddress {
    /// The other end of a point-to-point link, if it is on one.
    pub fn peer(&self) -> Option<IpAddr> {
        self.options.as_ref()?.peer
    }
}

impl Mac {
    /// All ones: the Ethernet broadcast address.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Where VRRP adverts over IPv4 go: the Ethernet form of 224.0.0.18 (RFC 9568 section 5.1.1.2,
    /// RFC 1112 section 6.4).
    pub const VRRP_IPV4: Mac = Mac([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);

    /// Where VRRP adverts over IPv6 go: the Ethernet form of ff02::12 (RFC 9568 section 5.1.2.2,
    /// RFC 2464 section 7).
    pub const VRRP_IPV6: Mac = Mac([0x33, 0x33, 0x00, 0x00, 0x00, 0x12]);

    /// Where packets to the multicast group `group` go (RFC 1112 section 6.4, RFC 2464 section 7).
    pub const fn of_group(group: IpAddr) -> Mac {
        match group {
            IpAddr::V4(group) => {
                let [_, b, c, d] = group.octets();
                Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
            }
            IpAddr::V6(group) => {
                let [.., a, b, c, d] = group.octets();
                Mac([0x33, 0x33, a, b, c, d])
            }
        }
    }

    /// All nodes of IPv6 on a link: the Ethernet form of ff02::1 (RFC 2464 section 7).
    pub const ALL_NODES: Mac = Mac([0x33, 0x33, 0x00, 0x00, 0x00, 0x01]);
}

impl Family {
    /// That of `ip`.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// `IPv4`, `IPv6`.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        })
    }
}

impl Scope {
    /// Valid everywhere: the default.
    pub const GLOBAL: Scope = Scope(0);
    /// Valid on its link only.
    pub const LINK: Scope = Scope(253);
    /// Valid on this host only.
    pub const HOST: Scope = Scope(254);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `192.0.2.1/24`.
impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_len)
    }
}
