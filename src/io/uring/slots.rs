//! Memory of the sends that are queued and not yet submitted.
//!
//! A slot is free again as soon as its operation has been submitted. That is right because every
//! send carries `MSG_DONTWAIT`: the kernel then either copies the bytes or fails the operation
//! while it is submitting, and never comes back to them (`io_uring_enter(2)`; no send is ever
//! forced to a worker thread, linked or drained). Were it not so, wrong bytes could be sent, but
//! no memory misused: the mapping lives longer than the ring.

use std::io;
use std::mem::{align_of, size_of};
use std::ptr::NonNull;

use crate::io::memory::Mapping;

/// How many bytes fit a small slot: an advert with 30 addresses as an Ethernet frame.
const SMALL: Size = Size { bytes: 192, count: 1024 };
/// How many bytes fit a large slot.
const LARGE: Size = Size { bytes: 32 * 1024, count: 16 };
/// Room for a destination address before the bytes of each slot.
const ADDRESS_LEN: usize = 32;

const _: () = assert!(
    size_of::<libc::sockaddr_ll>() <= ADDRESS_LEN
        && size_of::<libc::sockaddr_in>() <= ADDRESS_LEN
        && size_of::<libc::sockaddr_in6>() <= ADDRESS_LEN
        && align_of::<libc::sockaddr_ll>() <= ADDRESS_LEN
        && align_of::<libc::sockaddr_in>() <= ADDRESS_LEN
        && align_of::<libc::sockaddr_in6>() <= ADDRESS_LEN
        && SMALL.stride().is_multiple_of(ADDRESS_LEN)
        && LARGE.stride().is_multiple_of(ADDRESS_LEN)
);

/// The slots of one ring.
pub(super) struct Slots {
    small: Kind,
    large: Kind,
}

/// A filled slot: what an operation points to.
pub(super) struct Slot {
    /// Where the bytes are.
    pub(super) bytes: *const u8,
    /// Where the address is.
    pub(super) address: *const libc::sockaddr,
}

/// Why a message got no slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// All slots are in use: submit, [`Slots::reset`], and ask again.
    Full,
    /// No slot is that large.
    TooLong,
}

struct Size {
    bytes: usize,
    count: usize,
}

struct Kind {
    memory: Mapping,
    size: Size,
    used: usize,
}

impl Slots {
    /// Maps the slots' memory.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Slots { small: Kind::new(SMALL)?, large: Kind::new(LARGE)? })
    }

    /// Copies `bytes` and `address` (a `sockaddr_…`, or `()` for none) into a slot.
    pub(super) fn fill<A: Copy>(&mut self, bytes: &[u8], address: A) -> Result<Slot, Refused> {
        const { assert!(size_of::<A>() <= ADDRESS_LEN && align_of::<A>() <= ADDRESS_LEN) };
        let kind = match bytes.len() {
            len if len <= SMALL.bytes => &mut self.small,
            len if len <= LARGE.bytes => &mut self.large,
            _ => return Err(Refused::TooLong),
        };
        let start = kind.take().ok_or(Refused::Full)?;
        // SAFETY: the slot has ADDRESS_LEN bytes for the address, aligned to as much, and then
        // room for `bytes`, whose length has been checked; nobody else has this slot.
        unsafe {
            let place = start.add(ADDRESS_LEN);
            start.cast::<A>().write(address);
            place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            Ok(Slot { bytes: place.as_ptr(), address: start.as_ptr().cast() })
        }
    }

    /// Frees all slots: everything that was queued has been submitted.
    pub(super) fn reset(&mut self) {
        self.small.used = 0;
        self.large.used = 0;
    }
}

impl Size {
    const fn stride(&self) -> usize {
        (ADDRESS_LEN + self.bytes).next_multiple_of(64)
    }
}

impl Kind {
    fn new(size: Size) -> io::Result<Self> {
        Ok(Kind { memory: Mapping::new(size.stride() * size.count)?, size, used: 0 })
    }

    fn take(&mut self) -> Option<NonNull<u8>> {
        if self.used == self.size.count {
            return None;
        }
        let stride = self.size.stride();
        let start = self.memory.at(self.used * stride, stride);
        self.used += 1;
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(slot: &Slot, len: usize) -> &[u8] {
        // SAFETY: the slot has just been filled with that many bytes, and the mapping lives.
        unsafe { std::slice::from_raw_parts(slot.bytes, len) }
    }

    #[test]
    fn slots_keep_their_bytes_until_all_are_used_and_reset() {
        let mut slots = Slots::new().unwrap();
        let first = slots.fill(&[1; 192], ()).unwrap();
        for _ in 1..SMALL.count {
            slots.fill(&[2; 192], [3u8; ADDRESS_LEN]).unwrap();
        }
        assert_eq!(slots.fill(&[4; 10], ()).err(), Some(Refused::Full));
        assert_eq!(bytes_of(&first, 192), [1; 192]);
        slots.reset();
        assert_eq!(slots.fill(&[4; 10], ()).unwrap().bytes, first.bytes);
    }

    #[test]
    fn what_is_too_long_for_a_small_slot_takes_a_large_one() {
        let mut slots = Slots::new().unwrap();
        for _ in 0..LARGE.count {
            let slot = slots.fill(&[5; 193], ()).unwrap();
            assert_eq!(bytes_of(&slot, 193), [5; 193]);
        }
        assert_eq!(slots.fill(&[5; 32 * 1024], ()).err(), Some(Refused::Full));
        assert_eq!(slots.fill(&vec![5; 32 * 1024 + 1], ()).err(), Some(Refused::TooLong));
    }
}
