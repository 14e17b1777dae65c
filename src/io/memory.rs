//! Memory that the kernel reads and writes on its own: mapped, so that it stays at its address and
//! pages that are never touched cost nothing (`mmap(2)`).

use std::io;
use std::ptr::{self, NonNull};

/// Anonymous private memory, zeroed, aligned to a page, unmapped when dropped.
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes.
    ///
    /// # Errors
    /// `ENOMEM` when there is no memory; `EINVAL` for no bytes at all.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that
        // exists.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Mapping { start, len }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// The address `offset` bytes into the mapping, for `len` bytes.
    ///
    /// # Panics
    /// If those bytes are not all inside.
    pub(super) fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset <= self.len && len <= self.len - offset, "outside of the mapping");
        // SAFETY: the offset has just been checked to be inside the mapping.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: these are the address and length that `mmap` gave; nobody keeps references
        // beyond the mapping's life.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
