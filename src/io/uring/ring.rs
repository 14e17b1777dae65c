//! The ring itself: set-up with a reason when the kernel refuses, submitting, waiting, reaping.

use std::fs;
use std::io;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{
    CompletionQueue, EnterFlags, IoUring, Parameters, SubmissionQueue, Submitter, cqueue, squeue,
};

use crate::base::{Instant, Span};
use crate::io::clock;

/// Entries of the submission queue: as many as there are small send slots.
const SUBMISSIONS: u32 = 1024;
/// Entries of the completion queue: what two full pools and many failed sends need, and more.
const COMPLETIONS: u32 = 8192;
/// Completions that end a gathering wait early: more than come together in one.
const GATHERED: u32 = 512;

/// One io_uring for one thread (`io_uring(7)`): the thread that made it.
///
/// Completions are only ever put into the queue while this thread is inside [`Ring::flush`] or
/// [`Ring::enter`] (`IORING_SETUP_DEFER_TASKRUN`); the buffer accounting rests on that.
pub(super) struct Ring {
    // In order of dropping: the queues look into the ring's memory.
    submission: SubmissionQueue<'static>,
    completion: CompletionQueue<'static>,
    submitter: Submitter<'static>,
    absolute: bool,
    wait: EnterFlags,
    _owner: Owner,
}

impl Ring {
    /// Sets up a ring.
    ///
    /// # Errors
    /// What the kernel refused, with the probable cause as its text.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(|error| with_cause(error, "io_uring_setup"))?;
        if let Some(missing) = missing_feature(ring.params()) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("io_uring lacks {missing}: the kernel is older than 6.1"),
            ));
        }
        let mut wait = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if ring.params().is_feature_no_iowait() {
            // An idle daemon is not waiting for a disk, and should not look like it.
            wait |= EnterFlags::NO_IOWAIT;
        }

        let owner = Owner(Box::into_raw(Box::new(ring)));
        // SAFETY: the box is freed by `owner` alone, which is dropped after the three parts that
        // borrow from it here.
        let (mut submitter, submission, completion) = unsafe { (*owner.0).split() };
        // It only saves the look-up of a descriptor, so a refusal changes nothing.
        let _ = submitter.register_ring_fd();

        let mut ring =
            Ring { submission, completion, submitter, absolute: false, wait, _owner: owner };
        ring.absolute = ring.takes_absolute_deadlines()?;
        Ok(ring)
    }

    /// For registering buffers.
    pub(super) fn submitter(&self) -> &Submitter<'static> {
        &self.submitter
    }

    /// Queues an operation; false if the queue is full.
    ///
    /// # Safety
    /// Whatever `entry` points to must stay valid until the operation has completed.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller vouches for it.
        unsafe { self.submission.push(entry) }.is_ok()
    }

    /// How many operations are queued and not yet submitted.
    pub(super) fn queued(&self) -> usize {
        self.submission.len()
    }

    /// Whether there is no room for another operation.
    pub(super) fn is_full(&self) -> bool {
        self.submission.is_full()
    }

    /// Submits what is queued, without waiting and without looking for completions. Operations
    /// that the kernel could not take stay queued.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)`.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.submission.sync();
        let queued = self.submission.len() as u32;
        // SAFETY: no argument structure; the entries' memory is vouched for by `push`.
        let result = unsafe { self.submitter.enter::<libc::sigset_t>(queued, 0, 0, None) };
        self.submission.sync();
        result.map(drop)
    }

    /// Submits what is queued, lets the kernel post what has happened, and waits for the first
    /// completion until `deadline` unless that has passed or `wait` is false. One system call.
    ///
    /// With `gather`, the wait is for [`GATHERED`] completions during that time and for one
    /// afterwards (`min_wait_usec`, Linux 6.12). The kernel does not cut that time short at the
    /// deadline, so a deadline within it is waited for in the ordinary way.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)` that mean more than "nothing yet".
    pub(super) fn enter(&mut self, deadline: Instant, gather: Span, wait: bool) -> io::Result<()> {
        // No clock is read for the two cases that need none.
        let now = match deadline {
            Instant::ZERO | Instant::NEVER => Instant::ZERO,
            _ => clock::now(),
        };
        let wanted = u32::from(wait && deadline > now);
        let (time, flags) = match (wanted, deadline) {
            (0, _) | (_, Instant::NEVER) => (None, self.wait),
            _ if self.absolute => (Some(deadline), self.wait | EnterFlags::ABS_TIMER),
            _ => (Some(Instant::ZERO + deadline.since(now)), self.wait),
        };
        let gather = match self.absolute && wanted > 0 && deadline > now + gather {
            true => gather,
            false => Span::ZERO,
        };
        match self.wait(wanted, time, gather, flags) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // A signal, the deadline, or completions that have to be taken first.
                Some(libc::EINTR | libc::ETIME | libc::EBUSY) => Ok(()),
                // No memory for an operation just now: it stays queued for the next turn.
                Some(libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// The next completion that has been posted.
    pub(super) fn next(&mut self) -> Option<cqueue::Entry> {
        if let Some(entry) = self.completion.next() {
            return Some(entry);
        }
        self.completion.sync();
        self.completion.next()
    }

    /// Whether something has happened that [`Ring::next`] has not shown.
    pub(super) fn has_more(&mut self) -> bool {
        !self.completion.is_empty() || self.submission.taskrun() || self.overflown() || {
            self.completion.sync();
            !self.completion.is_empty()
        }
    }

    /// Whether there is more than the completion queue has room for.
    pub(super) fn overflown(&self) -> bool {
        self.submission.cq_overflow()
    }

    fn wait(
        &mut self,
        wanted: u32,
        time: Option<Instant>,
        gather: Span,
        flags: EnterFlags,
    ) -> io::Result<usize> {
        let time = time.map(Instant::as_nanos).map(|nanos| {
            Timespec::new().sec(nanos / 1_000_000_000).nsec((nanos % 1_000_000_000) as u32)
        });
        let arguments = match &time {
            Some(time) => SubmitArgs::new().timespec(time),
            None => SubmitArgs::new(),
        };
        let (wanted, arguments) = match gather.as_micros() {
            0 => (wanted, arguments),
            micros => (GATHERED, arguments.min_wait_usec(micros as u32)),
        };
        self.submission.sync();
        self.completion.sync();
        let queued = self.submission.len() as u32;
        // SAFETY: EXT_ARG is set and `SubmitArgs` is its structure; it and the time that it
        // points to live through the call. The entries' memory is vouched for by `push`.
        let result =
            unsafe { self.submitter.enter(queued, wanted, flags.bits(), Some(&arguments)) };
        self.submission.sync();
        self.completion.sync();
        result
    }

    /// Tries a deadline long past as an absolute one (`IORING_ENTER_ABS_TIMER`, Linux 6.12).
    fn takes_absolute_deadlines(&mut self) -> io::Result<bool> {
        let flags = self.wait | EnterFlags::ABS_TIMER;
        match self.wait(1, Some(Instant::from_nanos(1)), Span::ZERO, flags) {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR) => Ok(true),
                Some(libc::EINVAL) => Ok(false),
                _ => Err(with_cause(error, "io_uring_enter")),
            },
        }
    }
}

/// The thread holds a reference to a ring whose descriptor it has registered; without this the
/// ring would live on until the thread ends.
impl Drop for Ring {
    fn drop(&mut self) {
        let _ = self.submitter.unregister_ring_fd();
    }
}

/// The ring that the queues borrow from, at an address of its own.
struct Owner(*mut IoUring);

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: it came from `Box::into_raw` and is freed once, here; the queues that borrow
        // from it have been dropped before.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// `error`, with the most probable reason why `call` was refused.
pub(super) fn with_cause(error: io::Error, call: &str) -> io::Error {
    let cause = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring, or a seccomp filter hides it",
        Some(libc::EPERM | libc::EACCES) => match disabled_by_sysctl() {
            true => "the sysctl kernel.io_uring_disabled forbids it",
            false => "a seccomp filter or security module forbids it (containers often do)",
        },
        Some(libc::EINVAL) => "the kernel is older than 6.1",
        Some(libc::ENOMEM) => "no memory, or too little may be locked (ulimit -l)",
        Some(libc::EMFILE | libc::ENFILE) => "too many open files (ulimit -n)",
        _ => return io::Error::new(error.kind(), format!("{call}: {error}")),
    };
    io::Error::new(error.kind(), format!("{call}: {error}: {cause}"))
}

/// 0 allows everyone, 1 the group of `kernel.io_uring_group`, 2 nobody.
fn disabled_by_sysctl() -> bool {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|text| text.trim() != "0")
}

fn missing_feature(parameters: &Parameters) -> Option<&'static str> {
    if !parameters.is_feature_ext_arg() {
        Some("waiting with a deadline")
    } else if !parameters.is_feature_nodrop() {
        Some("keeping of completions")
    } else if !parameters.is_feature_skip_cqe_on_success() {
        Some("silent completions")
    } else if !parameters.is_feature_fast_poll() {
        Some("polled receiving")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;

    /// Kernels before 6.12 only know how long to wait, not until when.
    #[test]
    fn relative_deadlines_are_kept_as_absolute_ones() {
        let mut ring = Ring::new().unwrap();
        for absolute in [ring.absolute, false] {
            ring.absolute = absolute;
            let deadline = clock::now() + Span::from_millis(5);
            let mut waits = 0;
            while clock::now() < deadline {
                ring.enter(deadline, Span::ZERO, true).unwrap();
                waits += 1;
            }
            assert!(waits <= 2, "one wait, or one more after a signal: {waits}");
        }
    }

    #[test]
    fn causes_are_told_in_one_line() {
        for (errno, part) in [
            (libc::ENOSYS, "no io_uring"),
            (libc::EPERM, "forbids it"),
            (libc::EINVAL, "6.1"),
            (libc::ENOMEM, "locked"),
            (libc::EMFILE, "open files"),
            (libc::EIO, "io_uring_setup"),
        ] {
            let text =
                with_cause(io::Error::from_raw_os_error(errno), "io_uring_setup").to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{text}");
        }
    }
}
