//! What is on the wire: frames received by a host, with the kernel's time stamps; and a way to put
//! frames there.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::cmsg_space;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind,
    recvmsg, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::site::Site;

/// A frame that a host received.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// When, since 1970.
    pub(crate) at: Duration,
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    /// Whether it carries VRRP.
    pub(crate) fn is_advert(&self) -> bool {
        let protocol = if self.is_ipv6() { 20 } else { 23 };
        let ip = self.is_ipv6() || self.bytes.get(12..14) == Some(&[0x08, 0x00]);
        ip && self.bytes.get(protocol) == Some(&112)
    }

    /// Whether it carries IPv6.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.bytes.get(12..14) == Some(&[0x86, 0xdd])
    }

    /// Whether it carries a neighbour advertisement.
    pub(crate) fn is_neighbour_advertisement(&self) -> bool {
        self.is_ipv6() && self.bytes.get(20) == Some(&58) && self.bytes.get(54) == Some(&136)
    }

    /// Whether it carries ARP.
    pub(crate) fn is_arp(&self) -> bool {
        self.bytes.get(12..14) == Some(&[0x08, 0x06])
    }

    /// The priority of an advert; meaningless for other frames.
    pub(crate) fn priority(&self) -> Option<u8> {
        self.bytes.get(if self.is_ipv6() { 56 } else { 36 }).copied()
    }
}

/// Everything that one host receives, on all its links, until dropped.
pub(crate) struct Tap {
    frames: Arc<Mutex<Vec<Frame>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Begins to listen on `host`.
    pub(crate) fn on(site: &Site, host: &str) -> Tap {
        let socket = site.inside(host, || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
                .expect("a packet socket");
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("time stamps");
            setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20)).expect("a large buffer");
            socket
        });
        let frames = Arc::<Mutex<Vec<Frame>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (into, stopped) = (Arc::clone(&frames), Arc::clone(&stop));
        let thread = thread::spawn(move || listen(&socket, &into, &stopped));
        Tap { frames, stop, thread: Some(thread) }
    }

    /// All frames so far, in order.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.frames.lock().expect("no panic of the listener").clone()
    }

    /// All adverts so far.
    pub(crate) fn adverts(&self) -> Vec<Frame> {
        self.frames().into_iter().filter(Frame::is_advert).collect()
    }

    /// Forgets what has been received.
    pub(crate) fn clear(&self) {
        self.frames.lock().expect("no panic of the listener").clear();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(socket: &OwnedFd, into: &Mutex<Vec<Frame>>, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    let mut control = cmsg_space!(TimeSpec);
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(50u8));
        loop {
            let mut buffers = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let Ok(message) =
                recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags)
            else {
                break;
            };
            let sent = message
                .address
                .is_some_and(|from| i32::from(from.pkttype()) == libc_packet_outgoing());
            let at = message.cmsgs().ok().and_then(|mut all| {
                all.find_map(|one| match one {
                    ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                    _ => None,
                })
            });
            let length = message.bytes;
            if !sent {
                let bytes = buffer.get(..length).unwrap_or(&buffer).to_vec();
                let frame = Frame { at: at.unwrap_or_default(), bytes };
                into.lock().expect("no panic elsewhere").push(frame);
            }
        }
    }
}

/// `PACKET_OUTGOING` (`packet(7)`): what the host itself sends.
const fn libc_packet_outgoing() -> i32 {
    libc::PACKET_OUTGOING as i32
}

/// Puts frames onto a wire.
pub(crate) struct Sender(OwnedFd);

impl Sender {
    /// By `link` of `host`.
    pub(crate) fn on(site: &Site, host: &str, link: &str) -> Sender {
        Sender(site.inside(host, || {
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
                .expect("a packet socket");
            let address = getifaddrs()
                .expect("the interfaces")
                .filter(|interface| interface.interface_name == link)
                .find_map(|interface| interface.address?.as_link_addr().copied())
                .expect("an interface of that name");
            bind(socket.as_raw_fd(), &address).expect("bound to the interface");
            socket
        }))
    }

    /// Sends one frame; waits while the queue is full.
    pub(crate) fn send(&self, frame: &[u8]) {
        for _ in 0..1000 {
            match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(_) => return,
                Err(nix::Error::ENOBUFS) => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("a frame could not be sent: {error}"),
            }
        }
        panic!("no room for a frame in a second");
    }
}
