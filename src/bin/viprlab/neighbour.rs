//! **Where the client believes an address to live**: its ARP entries, as the kernel reports each
//! change of them.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use viprd::base::Mac;

use crate::topology::Namespace;

/// `RTNLGRP_NEIGH` as a bit of the bind mask (`rtnetlink(7)`).
const NEIGHBOURS: u32 = 1 << (libc::RTNLGRP_NEIGH - 1);

/// The entry of one address changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EntryChange {
    /// When this was read.
    pub(crate) at: Instant,
    /// Where the address lives now; `None` when that is not known (any more).
    pub(crate) mac: Option<Mac>,
}

/// The history of one address in a namespace, since it was begun: best before any traffic, so
/// that it is complete.
#[derive(Debug)]
pub(crate) struct EntryWatch {
    changes: Arc<Mutex<Vec<EntryChange>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EntryWatch {
    /// Begins to watch the entry of `address` in `namespace`.
    ///
    /// # Errors
    /// If the netlink socket can't be opened.
    pub(crate) fn start(namespace: &Namespace, address: Ipv4Addr) -> io::Result<Self> {
        let socket = namespace.enter(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, NEIGHBOURS))?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        })?;
        let changes = Arc::<Mutex<Vec<EntryChange>>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let work = {
            let (changes, stop) = (Arc::clone(&changes), Arc::clone(&stop));
            move || run(&socket, address, &changes, &stop)
        };
        let thread = thread::Builder::new().name("neighbours".into()).spawn(work)?;
        Ok(EntryWatch { changes, stop, thread: Some(thread) })
    }

    /// All changes so far, in order.
    pub(crate) fn changes(&self) -> Vec<EntryChange> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the address lived at `moment`, as the client believed.
    pub(crate) fn at(&self, moment: Instant) -> Option<Mac> {
        self.changes().iter().rev().find(|change| change.at <= moment).and_then(|c| c.mac)
    }
}

impl Drop for EntryWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has already been reported.
            let _ = thread.join();
        }
    }
}

fn run(socket: &Socket, address: Ipv4Addr, changes: &Mutex<Vec<EntryChange>>, stop: &AtomicBool) {
    // SAFETY: the socket outlives the borrow, which ends with this function.
    let descriptor = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(descriptor, PollFlags::POLLIN)];
        // An interrupted or failed wait only means to look again.
        let _ = poll(&mut ready, PollTimeout::from(50u8));
        while let Ok((datagram, _)) = socket.recv_from_full() {
            let at = Instant::now();
            let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
            for (ip, mac) in entries(&datagram) {
                if ip == address && changes.last().and_then(|last| last.mac) != mac {
                    changes.push(EntryChange { at, mac });
                }
            }
        }
    }
}

/// The entries that a datagram of netlink reports, each with where it lives now.
fn entries(mut datagram: &[u8]) -> Vec<(Ipv4Addr, Option<Mac>)> {
    let mut found = Vec::new();
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) {
        let length = (message.header.length as usize).next_multiple_of(4);
        found.extend(match &message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry)) => {
                destination(entry).map(|ip| (ip, mac(entry)))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNeighbour(entry)) => {
                destination(entry).map(|ip| (ip, None))
            }
            _ => None,
        });
        match datagram.get(length..) {
            Some(rest) if !rest.is_empty() && length > 0 => datagram = rest,
            _ => break,
        }
    }
    found
}

fn destination(entry: &NeighbourMessage) -> Option<Ipv4Addr> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(*ip),
        _ => None,
    })
}

fn mac(entry: &NeighbourMessage) -> Option<Mac> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(Mac),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkHeader;
    use netlink_packet_route::AddressFamily;

    #[test]
    fn an_entry_is_read_with_its_address() {
        let mut entry = NeighbourMessage::default();
        entry.header.family = AddressFamily::Inet;
        let ip = Ipv4Addr::new(192, 168, 122, 50);
        entry.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)),
            NeighbourAttribute::LinkLayerAddress(vec![2, 0x76, 0, 1, 0, 1]),
        ];
        let bytes = |message: RouteNetlinkMessage| {
            let payload = NetlinkPayload::from(message);
            let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            bytes
        };
        let mut datagram = bytes(RouteNetlinkMessage::NewNeighbour(entry.clone()));
        datagram.extend(bytes(RouteNetlinkMessage::DelNeighbour(entry)));
        let mac = Mac([2, 0x76, 0, 1, 0, 1]);
        assert_eq!(entries(&datagram), [(ip, Some(mac)), (ip, None)]);
        assert_eq!(entries(&datagram[..10]), []);
        assert_eq!(entries(&[0; 64]), []);
    }
}
