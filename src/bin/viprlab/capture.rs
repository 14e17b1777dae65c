//! **What is on the wire**: frames of one EtherType as a link receives them, each with the
//! kernel's time stamp.

use std::io::{self, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::cmsg_space;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recvmsg, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeSpec;
use viprd::base::Mac;
use viprd::wire::arp::GratuitousArp;

use crate::clock::arrival;
use crate::topology::Namespace;

/// EtherType of ARP (RFC 826).
pub(crate) const ARP: u16 = 0x0806;

/// Not a type of its own: all of them (`ETH_P_ALL`, `packet(7)`).
pub(crate) const EVERYTHING: u16 = libc::ETH_P_ALL as u16;

/// A gratuitous ARP that was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Garp {
    /// When it arrived.
    pub(crate) at: Instant,
    /// The address announced.
    pub(crate) address: Ipv4Addr,
    /// Where it lives.
    pub(crate) mac: Mac,
}

/// Every gratuitous ARP that a link receives.
#[derive(Debug)]
pub(crate) struct GarpWatch {
    seen: Arc<Mutex<Vec<Garp>>>,
    _capture: Capture,
}

/// A packet socket being read on a thread of its own, until dropped.
#[derive(Debug)]
pub(crate) struct Capture {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl GarpWatch {
    /// Begins to watch `link` of `namespace`.
    ///
    /// # Errors
    /// As [`Capture::start`].
    pub(crate) fn start(namespace: &Namespace, link: &str) -> io::Result<Self> {
        let seen = Arc::<Mutex<Vec<Garp>>>::default();
        let into = Arc::clone(&seen);
        let capture = Capture::start(namespace, link, ARP, move |at, frame| {
            if let Some((address, mac)) = GratuitousArp::parse(frame) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(Garp { at, address, mac });
            }
        })?;
        Ok(GarpWatch { seen, _capture: capture })
    }

    /// All seen so far, in order.
    pub(crate) fn seen(&self) -> Vec<Garp> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Capture {
    /// Calls `each` with the arrival time and the bytes of every frame of `ethertype` that `link`
    /// of `namespace` receives from now on (not with those it sends).
    ///
    /// # Errors
    /// If there is no such link, or the socket can't be opened.
    pub(crate) fn start(
        namespace: &Namespace,
        link: &str,
        ethertype: u16,
        each: impl FnMut(Instant, &[u8]) + Send + 'static,
    ) -> io::Result<Self> {
        let socket = namespace.enter(|| open(link, ethertype))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(format!("capture {link}"))
            .spawn(move || run(&socket, &stopped, each))?;
        Ok(Capture { stop, thread: Some(thread) })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has already been reported.
            let _ = thread.join();
        }
    }
}

/// A packet socket (`packet(7)`) bound to `link`, in the namespace of the calling thread; of
/// EtherType 0 it receives nothing.
///
/// # Errors
/// If there is no such link, or the socket can't be opened.
pub(crate) fn open(link: &str, ethertype: u16) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // Without a protocol nothing is received before the socket is bound to link and EtherType.
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: if_nametoindex(link)? as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as u32;
    // SAFETY: the pointer leads to a whole `sockaddr_ll` of the family it says, with its length.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    let address = address.ok_or_else(|| io::Error::other("no packet socket address"))?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

fn run(socket: &OwnedFd, stop: &AtomicBool, mut each: impl FnMut(Instant, &[u8])) {
    let mut frame = [0; 2048];
    let mut control = cmsg_space!(TimeSpec);
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        // An interrupted or failed wait only means to look again.
        let _ = poll(&mut ready, PollTimeout::from(50u8));
        loop {
            let mut buffers = [IoSliceMut::new(&mut frame)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let Ok(message) =
                recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags)
            else {
                break;
            };
            let outgoing = message.address.is_some_and(|from| from.pkttype() == OUTGOING);
            let length = message.bytes;
            if !outgoing {
                let at = arrival(&message);
                each(at, frame.get(..length).unwrap_or(&frame));
            }
        }
    }
}

/// `PACKET_OUTGOING`: a frame that the host itself sends.
const OUTGOING: u8 = libc::PACKET_OUTGOING;
