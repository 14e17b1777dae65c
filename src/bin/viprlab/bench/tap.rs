//! **Every frame, cheaply**: a packet socket with a mapped receive ring (`TPACKET_V3`,
//! `packet(7)`), which the reader walks without a system call a frame. It keeps up with hundreds
//! of thousands a second, each with the time at which the kernel received it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockType, SockaddrLike, bind, socket};

use crate::topology::Namespace;

use super::process::wall_ahead_ns;
use super::scene::Scene;

/// Bytes of a block of the ring.
const BLOCK: usize = 1 << 20;

/// Blocks of the ring.
const BLOCKS: usize = 48;

/// After how many milliseconds a block is handed over though it is not full.
const PATIENCE_MS: u32 = 20;

/// Bytes kept of a frame.
const KEPT: u32 = 64;

/// What a tap looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IPv4 packets of VRRP.
    Adverts,
    /// ARP.
    Arps,
}

/// A frame that a host received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// When the kernel received it, nanoseconds of the monotonic clock.
    pub(crate) at: u64,
    /// What it says.
    pub(crate) what: What,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An advert.
    Advert {
        /// The link that it was received on.
        link: u16,
        /// The virtual router that speaks.
        vrid: u8,
        /// With which priority.
        priority: u8,
    },
    /// ARP that announces the address of the router with this number.
    Garp {
        /// The number.
        router: u32,
    },
}

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The frames, in the order of their arrival.
    pub(crate) frames: Vec<Frame>,
    /// Why the figures may be wrong, if they may.
    pub(crate) doubt: Option<String>,
}

/// A ring being read by a thread of its own.
#[derive(Debug)]
pub(crate) struct Tap {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Frame>>>,
    socket: Arc<OwnedFd>,
    wall_ahead: u64,
}

/// The mapped ring.
struct Ring {
    memory: NonNull<u8>,
}

impl Tap {
    /// Keeps all frames of `kind` that arrive at the first `links` links of `namespace` from now
    /// on.
    ///
    /// # Errors
    /// If the socket or its ring can't be had.
    pub(crate) fn start(namespace: &Namespace, links: usize, kind: Kind) -> io::Result<Self> {
        let (socket, indices) = namespace.enter(|| {
            let name = |link| if_nametoindex(Scene::link_name(link).as_str());
            let indices: Result<Vec<_>, _> = (0..links).map(name).collect();
            Ok((open(kind)?, indices?))
        })?;
        let socket = Arc::new(socket);
        let ring = Ring::map(&socket)?;
        let wall_ahead = wall_ahead_ns();
        let mut link_of = vec![None; indices.iter().max().map_or(0, |&most| most as usize + 1)];
        for (link, &index) in indices.iter().enumerate() {
            link_of[index as usize] = Some(link as u16);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, theirs) = (Arc::clone(&stop), Arc::clone(&socket));
        let read = move || ring.read(&theirs, &stopped, &link_of, wall_ahead);
        let thread = thread::Builder::new().name("tap".into()).spawn(read)?;
        Ok(Tap { stop, thread: Some(thread), socket, wall_ahead })
    }

    /// Ends it.
    pub(crate) fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let frames = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let drops = drops(&self.socket);
        let doubt = if drops > 0 {
            Some(format!("{drops} frames were not seen, the ring was full"))
        } else if wall_ahead_ns().abs_diff(self.wall_ahead) > 1_000_000 {
            Some("the wall clock was set while packets were stamped with it".into())
        } else {
            None
        };
        Seen { frames, doubt }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has already been reported.
            let _ = thread.join();
        }
    }
}

// SAFETY: the memory is only reached through the one `Ring`, which moves to its reader as a whole.
unsafe impl Send for Ring {}

impl Ring {
    fn map(socket: &OwnedFd) -> io::Result<Self> {
        // SAFETY: a shared mapping of the ring that the socket has; the kernel chooses the place.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BLOCK * BLOCKS,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(memory.cast::<u8>()) {
            Some(start) if memory != libc::MAP_FAILED => Ok(Ring { memory: start }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Walks the blocks until asked to stop, and once more then.
    fn read(
        self,
        socket: &OwnedFd,
        stop: &AtomicBool,
        link_of: &[Option<u16>],
        wall_ahead: u64,
    ) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut block = 0;
        let mut last_round = false;
        loop {
            while self.take(block, |index, wall, bytes| {
                let link = link_of.get(index).copied().flatten();
                if let Some(what) = link.and_then(|link| understand(link, bytes)) {
                    frames.push(Frame { at: wall.saturating_sub(wall_ahead), what });
                }
            }) {
                block = (block + 1) % BLOCKS;
            }
            if last_round {
                return frames;
            }
            if stop.load(Ordering::Relaxed) {
                // The block that is being filled is handed over when its patience ends.
                thread::sleep(std::time::Duration::from_millis(u64::from(PATIENCE_MS) * 2));
                last_round = true;
                continue;
            }
            let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            // An interrupted or failed wait only means to look again.
            let _ = poll(&mut ready, PollTimeout::from(50u8));
        }
    }

    /// Hands each frame of a block to `each` (interface index, wall clock, bytes) and the block
    /// back to the kernel; false if the kernel still has it.
    fn take(&self, block: usize, mut each: impl FnMut(usize, u64, &[u8])) -> bool {
        // SAFETY: `block` is less than BLOCKS, so the descriptor lies in the mapping; it is
        // aligned since blocks are.
        let (status, header) = unsafe {
            let descriptor = self.memory.as_ptr().add(block * BLOCK);
            let descriptor = descriptor.cast::<libc::tpacket_block_desc>();
            let header = &raw mut (*descriptor).hdr.bh1;
            (AtomicU32::from_ptr(&raw mut (*header).block_status), header)
        };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        // SAFETY: the kernel has handed the block over: nobody writes to it before the store
        // below. The block is ours, whole and valid; offsets in it are the kernel's.
        let (count, first, bytes) = unsafe {
            let start = self.memory.as_ptr().add(block * BLOCK);
            let (count, first) = ((*header).num_pkts, (*header).offset_to_first_pkt);
            (count, first as usize, std::slice::from_raw_parts(start, BLOCK))
        };
        let mut at = first;
        for _ in 0..count {
            let Some(frame) = bytes.get(at..).filter(|rest| rest.len() >= FRAME_HEAD) else {
                break;
            };
            // SAFETY: at least a whole header is there; it may lie at any address.
            let head = unsafe { frame.as_ptr().cast::<libc::tpacket3_hdr>().read_unaligned() };
            // SAFETY: as above; the address of the link layer follows the header, aligned.
            let from = unsafe {
                let place = frame.as_ptr().add(ADDRESS_AT).cast::<libc::sockaddr_ll>();
                place.read_unaligned()
            };
            let wall = u64::from(head.tp_sec) * 1_000_000_000 + u64::from(head.tp_nsec);
            let begin = usize::from(head.tp_mac);
            let end = begin + head.tp_snaplen as usize;
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                each(from.sll_ifindex as usize, wall, frame.get(begin..end).unwrap_or_default());
            }
            match head.tp_next_offset {
                0 => break,
                next => at += next as usize,
            }
        }
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        true
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `map`, of this length, which nothing refers to any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), BLOCK * BLOCKS) };
    }
}

/// Where the link layer's address lies after the head of a frame.
const ADDRESS_AT: usize = size_of::<libc::tpacket3_hdr>().next_multiple_of(16);

/// The smallest head of a frame.
const FRAME_HEAD: usize = ADDRESS_AT + size_of::<libc::sockaddr_ll>();

/// What an Ethernet frame says, should it be VRRP or ARP about a router's address.
fn understand(link: u16, frame: &[u8]) -> Option<What> {
    match frame.get(12..14)? {
        [0x08, 0x00] if *frame.get(14 + 9)? == 112 => {
            let header = usize::from(frame.get(14)? & 15) * 4;
            match frame.get(14 + header..)? {
                [_, vrid, priority, ..] => {
                    Some(What::Advert { link, vrid: *vrid, priority: *priority })
                }
                _ => None,
            }
        }
        [0x08, 0x06] => {
            let sender = <[u8; 4]>::try_from(frame.get(28..32)?).ok()?;
            let router = Scene::router_of(Ipv4Addr::from(sender))?;
            Some(What::Garp { router: router as u32 })
        }
        _ => None,
    }
}

/// A packet socket with a ring, in the namespace of the calling thread, for all of its links.
fn open(kind: Kind) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // Without a protocol nothing is received before the socket is bound to an EtherType.
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    option(
        &socket,
        libc::SOL_PACKET,
        libc::PACKET_VERSION,
        &(libc::tpacket_versions::TPACKET_V3 as i32),
    )?;
    let ring = libc::tpacket_req3 {
        tp_block_size: BLOCK as u32,
        tp_block_nr: BLOCKS as u32,
        tp_frame_size: 2048,
        tp_frame_nr: (BLOCK / 2048 * BLOCKS) as u32,
        tp_retire_blk_tov: PATIENCE_MS,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &ring)?;
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let keep = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, KEPT);
    let mut filter = vec![keep];
    let ethertype = match kind {
        Kind::Arps => libc::ETH_P_ARP,
        Kind::Adverts => {
            filter = vec![
                instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 14 + 9),
                instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 112),
                keep,
                instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
            ];
            libc::ETH_P_IP
        }
    };
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    option(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (ethertype as u16).to_be(),
        sll_ifindex: 0,
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

/// How many frames found no place in the ring.
fn drops(socket: &OwnedFd) -> u32 {
    let mut statistics = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut length = size_of_val(&statistics) as u32;
    // SAFETY: the pointers lead to a whole `tpacket_stats_v3` and its length.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { statistics.tp_drops } else { 0 }
}

fn option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as u32;
    // SAFETY: the pointer leads to a whole `T`, with its length.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adverts_and_gratuitous_arps_are_understood() {
        let mut advert = vec![0; 54];
        advert[12..14].copy_from_slice(&[8, 0]);
        advert[14] = 0x45;
        advert[23] = 112;
        advert[34..37].copy_from_slice(&[0x21, 7, 200]);
        let heard = What::Advert { link: 3, vrid: 7, priority: 200 };
        assert_eq!(understand(3, &advert), Some(heard));
        advert[23] = 2;
        assert_eq!(understand(3, &advert), None);
        let mut arp = vec![0; 42];
        arp[12..14].copy_from_slice(&[8, 6]);
        arp[28..32].copy_from_slice(&Scene::address(9).octets());
        assert_eq!(understand(3, &arp), Some(What::Garp { router: 9 }));
        for length in 0..34 {
            assert_eq!(understand(3, &advert[..length]), None);
        }
    }
}
