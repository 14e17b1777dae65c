//! What becomes of a program's output when the program has ended, but not everybody that it has
//! started: it is read and thrown away, as long as somebody may write.
//!
//! Whoever a script leaves behind has the script's pipe as its output. Were the pipe closed here, it
//! would be killed by SIGPIPE at its next word, and were it only left unread, it would wait for ever
//! when 64 KiB are full. A file would take everything, and grow without bound. So there is one thread
//! that reads all such pipes, when nobody else wants the processor; it costs a descriptor for each.
//! When there are too many, the next ones get errors instead when their pipe is full: they live, too.
//!
//! The writing ends are open for reading as well, so that nobody is killed when the daemon ends,
//! either; who says more than 64 KiB after that has to wait.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::process::Thread;

/// Pipes that are read at a time.
const MOST: usize = 256;
const BUFFER: usize = 16 * 1024;
const STACK: usize = 64 * 1024;

static DRAIN: OnceLock<Option<Drain>> = OnceLock::new();

/// The thread's list of pipes.
struct Drain {
    epoll: OwnedFd,
    held: AtomicUsize,
}

/// Takes over a pipe whose program has ended: both of its ends here, of which `reader` does not block.
pub(super) fn take_over(mut reader: File, writer: File) {
    let full = DRAIN.get().is_some_and(|drain| {
        drain.as_ref().is_none_or(|drain| drain.held.load(Ordering::Relaxed) >= MOST)
    });
    if full {
        return let_fail(&writer);
    }
    drop(writer);
    // Mostly nobody is left.
    if matches!(reader.read(&mut [0; 1024]), Ok(0)) {
        return;
    }
    if let Some(drain) = DRAIN.get_or_init(|| Drain::start().ok()) {
        drain.add(reader);
    }
}

/// Who writes when the pipe is full is told so, and neither waits nor dies.
fn let_fail(writer: &File) {
    // SAFETY: an open descriptor and numbers.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}

impl Drain {
    fn start() -> io::Result<Self> {
        // SAFETY: a flag only.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        let name = "viprd-drain".into();
        // It lives as long as the process does, and so does the list.
        thread::Builder::new().name(name).stack_size(STACK).spawn(move || read_all(epoll))?;
        // SAFETY: a new descriptor, nobody else's to close.
        Ok(Drain { epoll: unsafe { OwnedFd::from_raw_fd(epoll) }, held: AtomicUsize::new(0) })
    }

    fn add(&self, reader: File) {
        let fd = reader.as_raw_fd();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        let (epoll, add) = (self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD);
        self.held.fetch_add(1, Ordering::Relaxed);
        // From here on it is the thread's.
        let fd = reader.into_raw_fd();
        // SAFETY: open descriptors, and a structure that lives through the call.
        if unsafe { libc::epoll_ctl(epoll, add, fd, &mut event) } != 0 {
            self.held.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: given up just before, and not taken.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

/// The thread: reads whatever there is, and closes what has no writer any more.
fn read_all(epoll: RawFd) {
    let _ = Thread::this().set_idle(true);
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
    let mut buffer = [0_u8; BUFFER];
    loop {
        // SAFETY: an open descriptor, and room for so many structures.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 16, -1) };
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            let fd = event.u64 as RawFd;
            // SAFETY: a descriptor of this thread's, and room for so many bytes.
            let length = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), BUFFER) };
            let goes_on = length > 0
                || length < 0
                    && matches!(
                        io::Error::last_os_error().kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    );
            if !goes_on {
                // By hand: a child that has just been forked may hold it a moment longer, and it
                // would be told of again after the number has been closed.
                let (del, none) = (libc::EPOLL_CTL_DEL, std::ptr::null_mut());
                // SAFETY: open descriptors, and a null pointer where one is allowed.
                unsafe { libc::epoll_ctl(epoll, del, fd, none) };
                // SAFETY: handed to this thread, which closes it once.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
                if let Some(Some(drain)) = DRAIN.get() {
                    drain.held.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }
}
