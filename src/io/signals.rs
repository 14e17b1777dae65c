//! Signals as something to read (`signalfd(2)`), so that they are completions like all else.

use std::io;
use std::mem::{self, MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A descriptor that signals are read from. They stay blocked for the thread, also when it is
/// dropped: a signal that nobody reads any more must not kill the process while it ends.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks `signals` for this thread and those it starts from now on (`pthread_sigmask(3)`), and
    /// opens a descriptor to read them from. Children that `std::process` starts begin with no
    /// signal blocked.
    ///
    /// # Errors
    /// `EINVAL` for what is no signal; those of `signalfd(2)`.
    pub fn open(signals: &[libc::c_int]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initialises the set that it is given.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for &signal in signals {
            // SAFETY: the set is initialised; a wrong number is refused.
            if unsafe { libc::sigaddset(&mut set, signal) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the set is initialised; the old mask is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) } {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        match fd {
            // SAFETY: it is new and nobody else's.
            0.. => Ok(Signals { fd: unsafe { OwnedFd::from_raw_fd(fd) } }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The number of the next signal that has come; `None` if there is none. A signal that came
    /// several times before it was read counts once (`signal(7)`).
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub fn read(&self) -> io::Result<Option<libc::c_int>> {
        // SAFETY: a structure of zeros is valid: numbers only.
        let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
        let len = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: the structure has room for as many bytes as said.
            let read = unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut info).cast(), len) };
            if read == len as isize {
                return Ok(libc::c_int::try_from(info.ssi_signo).ok());
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_not_suffered() {
        let signals = Signals::open(&[libc::SIGUSR2, libc::SIGWINCH]).unwrap();
        assert_eq!(signals.read().unwrap(), None);
        // SAFETY: both signals are blocked in this thread.
        unsafe {
            libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2);
            libc::pthread_kill(libc::pthread_self(), libc::SIGWINCH);
        }
        let mut seen = [signals.read().unwrap(), signals.read().unwrap()];
        seen.sort();
        let mut expected = [Some(libc::SIGUSR2), Some(libc::SIGWINCH)];
        expected.sort();
        assert_eq!(seen, expected);
        assert_eq!(signals.read().unwrap(), None);
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        assert!(Signals::open(&[4_711]).is_err());
    }
}
