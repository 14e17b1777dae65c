//! Buffers that the kernel takes for datagrams as they arrive, and gets back once they are read
//! (`io_uring_register_buf_ring(3)`).
//!
//! Each buffer begins with what a multishot `RECVMSG` writes before the datagram: its header, the
//! sender's address, the control messages (`io_uring_prep_recvmsg_multishot(3)`).

use std::io;
use std::mem::{self, size_of};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::{BufRingEntry, RecvMsgOut};

use super::ring::with_cause;
use crate::base::IfIndex;
use crate::io::Ipv6Envelope;
use crate::io::memory::Mapping;
use crate::io::message::{self, CONTROL_LEN, NAME_LEN};

/// Length of the header of `struct io_uring_recvmsg_out`.
const HEADER_LEN: usize = 16;

/// A pool of equal buffers and the ring through which the kernel takes them.
pub(super) struct Buffers {
    group: u16,
    /// The ring's entries; the tail is inside the first one.
    entries: Mapping,
    memory: Mapping,
    /// Length of a buffer as the kernel knows it.
    len: usize,
    /// Distance between two of them.
    stride: usize,
    count: u16,
    /// Buffers given to the kernel so far, modulo 2^16.
    given: u16,
    /// The part of them that it has been told of: the ring's tail.
    published: u16,
    /// Buffers that completions have brought back so far, modulo 2^16.
    taken: u16,
    /// What `RECVMSG` is to write before each datagram; at an address that stays.
    template: Box<libc::msghdr>,
}

/// Where a datagram is, and what is known of it.
pub(super) struct Datagram {
    buffer: u16,
    len: usize,
    /// The interface it came in by, if it says.
    pub(super) ifindex: Option<IfIndex>,
    /// When the kernel received it, in nanoseconds of the wall clock, if it says.
    pub(super) received_at: Option<u64>,
    /// What its IPv6 header said, if the socket tells.
    pub(super) envelope: Option<Ipv6Envelope>,
    /// Whether it has been cut.
    pub(super) truncated: bool,
    /// Whether it came from a netlink socket that is not the kernel's.
    pub(super) from_netlink_peer: bool,
}

impl Buffers {
    /// Makes `count` buffers (a power of two) for datagrams of up to `payload` bytes and registers
    /// them with the ring as `group`.
    ///
    /// # Errors
    /// When there is no memory, or the kernel knows no buffer rings.
    pub(super) fn new(
        submitter: &Submitter<'_>,
        group: u16,
        count: u16,
        payload: usize,
    ) -> io::Result<Self> {
        debug_assert!(count.is_power_of_two());
        let len = HEADER_LEN + NAME_LEN + CONTROL_LEN + payload;
        let stride = len.next_multiple_of(64);
        // SAFETY: a `msghdr` of zeros is valid: null pointers and no lengths.
        let mut template: Box<libc::msghdr> = Box::new(unsafe { mem::zeroed() });
        template.msg_namelen = NAME_LEN as libc::socklen_t;
        template.msg_controllen = CONTROL_LEN as _;

        let mut buffers = Buffers {
            group,
            entries: Mapping::new(size_of::<BufRingEntry>() * usize::from(count))?,
            memory: Mapping::new(stride * usize::from(count))?,
            len,
            stride,
            count,
            given: 0,
            published: 0,
            taken: 0,
            template,
        };
        let start = buffers.entry(0).as_ptr() as u64;
        // SAFETY: the entries are page aligned, as many as said, and live longer than the ring
        // (the ring is dropped first).
        unsafe { submitter.register_buf_ring_with_flags(start, count, group, 0) }
            .map_err(|error| with_cause(error, "io_uring_register_buf_ring"))?;
        for buffer in 0..count {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The group to name in an operation.
    pub(super) fn group(&self) -> u16 {
        self.group
    }

    /// The message header to name in an operation; it lives as long as these buffers.
    pub(super) fn template(&self) -> *const libc::msghdr {
        &*self.template
    }

    /// Notes that a completion has brought `buffer`. The kernel doesn't have it any more.
    pub(super) fn take(&mut self) {
        self.taken = self.taken.wrapping_add(1);
    }

    /// Gives `buffer` back to the kernel, which is told at the next [`Buffers::publish`].
    pub(super) fn give_back(&mut self, buffer: u16) {
        self.give(buffer);
    }

    /// Tells the kernel of all buffers that have been given back.
    pub(super) fn publish(&mut self) {
        if self.published == self.given {
            return;
        }
        // SAFETY: the entries are a registered buffer ring, whose tail only this thread stores.
        unsafe {
            let tail = BufRingEntry::tail(self.entry(0).as_ptr());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.given, Ordering::Release);
        }
        self.published = self.given;
    }

    /// Whether the kernel had taken every buffer it knew of, by all completions seen so far.
    ///
    /// When an operation failed with `ENOBUFS` this tells whose fault it was: a socket's own error
    /// is met with a buffer in hand, and then this is false.
    pub(super) fn exhausted(&self) -> bool {
        self.published == self.taken
    }

    /// The datagram in `buffer`, of which the kernel has written `len` bytes; `None` if they are
    /// not even the header.
    pub(super) fn datagram(&self, buffer: u16, len: usize) -> Option<Datagram> {
        let out = RecvMsgOut::parse(self.slice(buffer, 0, len)?, &self.template).ok()?;
        let (ifindex, envelope) = message::arrival(out.name_data(), out.control_data());
        Some(Datagram {
            buffer,
            len: out.payload_data().len(),
            ifindex,
            envelope,
            received_at: message::received_at(out.control_data()),
            truncated: out.is_payload_truncated(),
            from_netlink_peer: message::is_netlink_peer(out.name_data()),
        })
    }

    /// The bytes of `datagram`.
    pub(super) fn bytes(&self, datagram: &Datagram) -> &[u8] {
        let start = HEADER_LEN + NAME_LEN + CONTROL_LEN;
        self.slice(datagram.buffer, start, datagram.len).unwrap_or_default()
    }

    /// Part of a buffer that a completion has brought.
    fn slice(&self, buffer: u16, start: usize, len: usize) -> Option<&[u8]> {
        if buffer >= self.count || start.checked_add(len)? > self.len {
            return None;
        }
        let start = self.memory.at(usize::from(buffer) * self.stride + start, len);
        // SAFETY: these bytes lie inside the mapping. A completion has brought the buffer, so the
        // kernel doesn't write to it until it is given back, which needs `&mut self`.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), len) })
    }

    fn give(&mut self, buffer: u16) {
        if buffer >= self.count {
            debug_assert!(false, "the kernel brought a buffer that it never had");
            return;
        }
        let address = self.memory.at(usize::from(buffer) * self.stride, self.stride);
        // SAFETY: the entry lies inside the mapping, and the kernel doesn't look at it before the
        // tail has passed it; the setters leave the tail in the first entry alone.
        let entry = unsafe { self.entry(self.given & (self.count - 1)).as_mut() };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(self.len as u32);
        entry.set_bid(buffer);
        self.given = self.given.wrapping_add(1);
    }

    fn entry(&self, index: u16) -> std::ptr::NonNull<BufRingEntry> {
        let size = size_of::<BufRingEntry>();
        self.entries.at(usize::from(index) * size, size).cast()
    }
}
