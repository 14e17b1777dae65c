//! **Which addresses a host has, and since when**: the kernel's own announcements of them
//! (`rtnetlink(7)`, group `RTNLGRP_IPV4_IFADDR`).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use crate::topology::Namespace;

use super::process::now_ns;
use super::scene::Scene;

/// A virtual address came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When that was read, nanoseconds of the monotonic clock.
    pub(crate) at: u64,
    /// The router whose address it is.
    pub(crate) router: usize,
    /// Whether it came.
    pub(crate) set: bool,
}

/// The changes on one host, being watched until dropped.
#[derive(Debug)]
pub(crate) struct AddressWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    changes: Mutex<Vec<Change>>,
    count: AtomicUsize,
    spin: AtomicBool,
    stop: AtomicBool,
    lost: AtomicBool,
}

impl AddressWatch {
    /// Begins to watch the addresses of `namespace`.
    ///
    /// # Errors
    /// If the socket can't be had.
    pub(crate) fn start(namespace: &Namespace) -> io::Result<Self> {
        let socket = namespace.enter(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            // SAFETY: the descriptor is that of `socket`, which lives longer than the call.
            let fd = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
            setsockopt(&fd, sockopt::RcvBufForce, &(128 << 20))?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(libc::RTNLGRP_IPV4_IFADDR)?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        })?;
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("addresses".into()).spawn(move || run(&socket, &theirs))?;
        Ok(AddressWatch { shared, thread: Some(thread) })
    }

    /// How many changes there were so far: comes and goes alike.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::Acquire)
    }

    /// The changes since the one of this number.
    pub(crate) fn since(&self, count: usize) -> Vec<Change> {
        let changes = self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.get(count..).unwrap_or_default().to_vec()
    }

    /// Whether the kernel had to throw announcements away.
    pub(crate) fn lost_some(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Never sleeps while `spin`: what is read is then read within a microsecond, at the cost of
    /// the processor that the watch was started on.
    pub(crate) fn spin(&self, spin: bool) {
        self.shared.spin.store(spin, Ordering::Relaxed);
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has already been reported.
            let _ = thread.join();
        }
    }
}

fn run(socket: &Socket, shared: &Shared) {
    // SAFETY: the descriptor is that of `socket`, which lives longer than this function runs.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    let mut bytes = vec![0; 64 << 10];
    let mut changes = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        if !shared.spin.load(Ordering::Relaxed) {
            let mut ready = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
            // An interrupted or failed wait only means to look again.
            let _ = poll(&mut ready, PollTimeout::from(20u8));
        }
        loop {
            let length = match recv(fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(nix::errno::Errno::ENOBUFS) => {
                    shared.lost.store(true, Ordering::Relaxed);
                    continue;
                }
                Err(_) => break,
            };
            let at = now_ns();
            changes_in(bytes.get(..length).unwrap_or_default(), at, &mut changes);
            if !changes.is_empty() {
                let mut all = shared.changes.lock().unwrap_or_else(PoisonError::into_inner);
                all.append(&mut changes);
                shared.count.store(all.len(), Ordering::Release);
            }
        }
        std::hint::spin_loop();
    }
}

/// Reads the announcements in `bytes`; what is none is passed over.
fn changes_in(mut bytes: &[u8], at: u64, changes: &mut Vec<Change>) {
    while let Some((length, kind)) = word(bytes, 0).zip(half(bytes, 4)) {
        let length = length as usize;
        let Some(message) = bytes.get(16..length) else { return };
        let set = kind == libc::RTM_NEWADDR;
        if (set || kind == libc::RTM_DELADDR)
            && let Some(router) = local_address(message).and_then(Scene::router_of)
        {
            changes.push(Change { at, router, set });
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// `IFA_LOCAL` of an `ifaddrmsg` with its attributes.
fn local_address(message: &[u8]) -> Option<Ipv4Addr> {
    let mut attributes = message.get(8..)?;
    loop {
        let (length, kind) = (half(attributes, 0)? as usize, half(attributes, 2)?);
        let value = attributes.get(4..length)?;
        if kind == libc::IFA_LOCAL {
            return Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(kind: u16, address: Ipv4Addr) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(40u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([2, 32, 0, 0, 5, 0, 0, 0]);
        for attribute in [libc::IFA_ADDRESS, libc::IFA_LOCAL] {
            bytes.extend(8u16.to_ne_bytes());
            bytes.extend(attribute.to_ne_bytes());
            bytes.extend(address.octets());
        }
        bytes
    }

    #[test]
    fn comes_and_goes_are_read() {
        let mut bytes = announcement(libc::RTM_NEWADDR, Scene::address(7));
        bytes.extend(announcement(libc::RTM_NEWADDR, Ipv4Addr::new(10, 77, 0, 1)));
        bytes.extend(announcement(libc::RTM_DELADDR, Scene::address(300)));
        let mut changes = Vec::new();
        changes_in(&bytes, 42, &mut changes);
        let expected =
            [Change { at: 42, router: 7, set: true }, Change { at: 42, router: 300, set: false }];
        assert_eq!(changes, expected);
    }

    #[test]
    fn broken_announcements_are_passed_over() {
        let whole = announcement(libc::RTM_NEWADDR, Scene::address(7));
        let mut changes = Vec::new();
        for length in 0..whole.len() {
            changes_in(&whole[..length], 0, &mut changes);
        }
        changes_in(&[0; 64], 0, &mut changes);
        assert_eq!(changes, []);
    }
}
