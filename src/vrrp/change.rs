//! What can be changed about the virtual routers while they run, and what has to stay for one of
//! them to remain the same.

use super::params::RouterParams;
use crate::base::{Family, LinkId, RouterId, VirtualAddress, Vrid};

/// One step of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new virtual router. It starts as at the daemon's start.
    Add(RouterParams),
    /// A virtual router is configured otherwise. As long as its [`Identity`] and version are the
    /// same it keeps its state, timers and counters.
    Alter(RouterId, RouterParams),
    /// A virtual router is configured no more: it leaves.
    Remove(RouterId),
}

/// What tells one virtual router from another on the wire. A router with another name and the same
/// identity is the same router, renamed. Only unicast ones with different peers may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The interface that carries its adverts.
    pub link: LinkId,
    /// Its number there.
    pub vrid: Vrid,
    /// Its family: each has vrids of its own (RFC 9568 section 1.1).
    pub family: Family,
}

/// How one list of addresses becomes another. The kernel and we know an address by its link, number
/// and prefix length; one of which anything else changes is put there anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressChange {
    /// Those to be taken off the host.
    pub gone: Vec<VirtualAddress>,
    /// Those to be put onto it.
    pub new: Vec<VirtualAddress>,
}

impl RouterParams {
    /// What tells it from other virtual routers.
    pub fn identity(&self) -> Identity {
        Identity { link: self.link, vrid: self.vrid, family: self.transport.family }
    }

    /// Whether a virtual router that is configured so can go on as `other`, in whatever state it
    /// is.
    pub fn can_become(&self, other: &RouterParams) -> bool {
        self.identity() == other.identity()
            && self.version == other.version
            && self.macvlans == other.macvlans
    }
}

impl AddressChange {
    /// From `old` to `new`. Quadratic for lists that differ, which adverts keep short (255).
    pub fn between(old: &[VirtualAddress], new: &[VirtualAddress]) -> Self {
        if old == new {
            return AddressChange::default();
        }
        let same_place = |one: &VirtualAddress, other: &VirtualAddress| {
            (one.ip, one.link, one.prefix_len) == (other.ip, other.link, other.prefix_len)
        };
        let leaves =
            |address: &&VirtualAddress| !new.iter().any(|other| same_place(address, other));
        let comes = |address: &&VirtualAddress| !old.contains(address);
        AddressChange {
            gone: old.iter().filter(leaves).cloned().collect(),
            new: new.iter().filter(comes).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Label, Scope};

    fn address(last: u8) -> VirtualAddress {
        VirtualAddress {
            ip: [10, 0, 0, last].into(),
            prefix_len: 24,
            link: LinkId(0),
            broadcast: None,
            label: None,
            scope: Scope::GLOBAL,
        }
    }

    #[test]
    fn only_the_difference_changes() {
        let change = AddressChange::between(&[1, 2, 3].map(address), &[3, 4, 1].map(address));
        assert_eq!(change.gone, [address(2)]);
        assert_eq!(change.new, [address(4)]);
        let same = AddressChange::between(&[1, 2].map(address), &[2, 1].map(address));
        assert_eq!(same, AddressChange::default());
    }

    #[test]
    fn another_label_is_set_and_another_length_is_another_address() {
        let labelled = VirtualAddress { label: Label::from("eth0:1").ok(), ..address(1) };
        let change = AddressChange::between(&[address(1)], std::slice::from_ref(&labelled));
        assert_eq!(change, AddressChange { gone: vec![], new: vec![labelled] });
        let longer = VirtualAddress { prefix_len: 25, ..address(1) };
        let change = AddressChange::between(&[address(1)], std::slice::from_ref(&longer));
        assert_eq!(change, AddressChange { gone: vec![address(1)], new: vec![longer] });
    }
}
