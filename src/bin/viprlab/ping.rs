//! **What the client sees**: ICMP echoes at a fixed cadence, and what became of each.
//!
//! A [`Pinger`] sends on a grid of absolute times, so that a late wake-up moves no later ping, and
//! takes the kernel's time stamps of the answers, so that a late reader makes no answer look
//! late. A [`Series`] is the whole story, to be summed up over any stretch of it.

use std::io::{self, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, connect, recvmsg, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::clock::arrival;
use crate::topology::Namespace;

/// How long an answer may take before its ping counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// ICMP's type numbers (RFC 792).
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// Type, code, checksum, identifier, sequence number; then our own number of the ping.
const ECHO_LEN: usize = 16;

/// One ping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo {
    /// When it was handed to the kernel.
    pub(crate) sent: Instant,
    /// When its first answer arrived, if one did.
    pub(crate) answered: Option<Instant>,
}

/// A client that pings, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Pinger {
    started: Instant,
    cadence: Duration,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Series>>,
}

/// What both sides look at. No lock: a reader that is put off the processor while it holds one
/// would hold up the pings.
#[derive(Debug, Default)]
struct Shared {
    /// When the latest ping that has an answer was sent, in nanoseconds after the start, and 1
    /// more; 0 while there is none.
    answered: AtomicU64,
    /// No more pings; wait for the answers that are due.
    stop: AtomicBool,
}

/// All pings of a [`Pinger`], in the order they were sent.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// The pings.
    pub(crate) echoes: Vec<Echo>,
}

/// What became of the pings sent in some stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    /// Pings sent.
    pub(crate) sent: usize,
    /// When those were sent that nobody answered within [`PATIENCE`].
    pub(crate) lost: Vec<Instant>,
    /// The longest time without an answer: from the answer before a lost ping to the next answer
    /// after it; or the slowest single answer, if that took longer.
    pub(crate) silence: Duration,
    /// The slowest answer.
    pub(crate) slowest: Duration,
    /// The longest time between two pings. If it is much longer than the cadence, the machine kept
    /// the pinger itself from its work, and a silence may look longer than it was.
    pub(crate) pause: Duration,
}

impl Pinger {
    /// Starts to ping `target` from inside `namespace`, now and every `cadence`.
    ///
    /// # Errors
    /// If the socket can't be opened or the thread not started.
    pub(crate) fn start(
        namespace: &Namespace,
        target: Ipv4Addr,
        cadence: Duration,
    ) -> io::Result<Self> {
        let socket = namespace.enter(|| open(target))?;
        let shared = Arc::<Shared>::default();
        let started = Instant::now();
        let work = {
            let shared = Arc::clone(&shared);
            move || run(&socket, &shared, started, cadence)
        };
        let thread = thread::Builder::new().name("ping".into()).spawn(work)?;
        Ok(Pinger { started, cadence, shared, thread: Some(thread) })
    }

    /// When the next ping after `moment` is due.
    pub(crate) fn next_after(&self, moment: Instant) -> Instant {
        next_on_grid(self.started, self.cadence, moment)
    }

    /// Whether a ping sent at `since` or later has been answered yet.
    pub(crate) fn answered_since(&self, since: Instant) -> bool {
        let answered = self.shared.answered.load(Ordering::Relaxed).checked_sub(1);
        answered.is_some_and(|after| self.started + Duration::from_nanos(after) >= since)
    }

    /// Ends pinging, waits for answers that may still come, and hands over the story.
    pub(crate) fn finish(mut self) -> Series {
        self.end()
    }

    fn end(&mut self) -> Series {
        self.shared.stop.store(true, Ordering::Relaxed);
        // After a panic there, already reported, there is no story.
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Series {
    /// Sums up the pings sent from `from` on and before `to`.
    pub(crate) fn summary(&self, from: Instant, to: Instant) -> Summary {
        let answered = |echo: &Echo| {
            echo.answered.filter(|&at| at.saturating_duration_since(echo.sent) <= PATIENCE)
        };
        let first = self.echoes.partition_point(|echo| echo.sent < from);
        let end = self.echoes.partition_point(|echo| echo.sent < to).max(first);
        let stretch = &self.echoes[first..end];

        let slow = |echo: &Echo| Some(answered(echo)?.saturating_duration_since(echo.sent));
        let slowest = stretch.iter().filter_map(slow).max().unwrap_or_default();
        let pauses = stretch.windows(2).map(|two| two[1].sent - two[0].sent);
        let pause = pauses.max().unwrap_or_default();
        let sent = stretch.len();
        let mut summary = Summary { sent, lost: vec![], silence: slowest, slowest, pause };
        for (index, echo) in stretch.iter().enumerate() {
            if answered(echo).is_some() {
                continue;
            }
            summary.lost.push(echo.sent);
            let before = self.echoes[..first + index].iter().rev().find_map(answered);
            let after = self.echoes[first + index..].iter().find_map(answered);
            // Without an answer before or after, the silence is at least as long as the pings
            // tell.
            let begun = before.unwrap_or(self.echoes[0].sent);
            let ended = after.or(self.echoes.last().map(|echo| echo.sent)).unwrap_or(begun);
            summary.silence = summary.silence.max(ended.saturating_duration_since(begun));
        }
        summary
    }
}

/// A ping socket (`icmp(7)`) towards `target`, in the namespace of the calling thread.
fn open(target: Ipv4Addr) -> io::Result<OwnedFd> {
    // Ping sockets are for nobody by default; the namespace is our own.
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, SockProtocol::Icmp)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RcvBuf, &(1 << 20))?;
    let [a, b, c, d] = target.octets();
    connect(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0))?;
    Ok(socket)
}

fn run(socket: &OwnedFd, shared: &Shared, started: Instant, cadence: Duration) -> Series {
    prefer_this_thread();
    let mut series = Series::default();
    let mut due = started;
    let mut give_up = None;
    loop {
        let now = Instant::now();
        if give_up.is_none() && shared.stop.load(Ordering::Relaxed) {
            give_up = Some(now + PATIENCE);
        }
        match give_up {
            Some(limit) if now >= limit || all_answered(&series) => return series,
            None if now >= due => {
                send_echo(socket, &mut series);
                due = next_on_grid(started, cadence, now);
            }
            _ => {}
        }
        let until = match give_up {
            Some(limit) => limit.min(now + Duration::from_millis(10)),
            None => due.min(now + Duration::from_millis(50)),
        };
        let wait = TimeSpec::from(until.saturating_duration_since(Instant::now()));
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        // An interrupted or failed wait only means to look again.
        let _ = ppoll(&mut ready, Some(wait), None);
        receive(socket, &mut series);
        if let Some(latest) = series.echoes.iter().rev().find(|echo| echo.answered.is_some()) {
            let after = (latest.sent - started).as_nanos() as u64;
            shared.answered.store(after + 1, Ordering::Relaxed);
        }
    }
}

fn send_echo(socket: &OwnedFd, series: &mut Series) {
    let number = series.echoes.len() as u64;
    let mut packet = [0; ECHO_LEN];
    packet[0] = ECHO_REQUEST;
    packet[6..8].copy_from_slice(&(number as u16).to_be_bytes());
    packet[8..].copy_from_slice(&number.to_be_bytes());
    series.echoes.push(Echo { sent: Instant::now(), answered: None });
    // A ping that can't even leave (no neighbour, say) is a ping without an answer.
    let _ = send(socket.as_raw_fd(), &packet, MsgFlags::MSG_DONTWAIT);
}

fn receive(socket: &OwnedFd, series: &mut Series) {
    let mut packet = [0; 64];
    let mut control = cmsg_space!(TimeSpec);
    loop {
        let mut buffers = [IoSliceMut::new(&mut packet)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let Ok(message) =
            recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags)
        else {
            // Nothing left, or an ICMP error for one of the pings: the next turn reads on.
            return;
        };
        let (at, length) = (arrival(&message), message.bytes);
        if length < ECHO_LEN || packet[0] != ECHO_REPLY {
            continue;
        }
        let number = packet[8..ECHO_LEN].try_into().map_or(u64::MAX, u64::from_be_bytes);
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(echo) = series.echoes.get_mut(number) {
            echo.answered.get_or_insert(at);
        }
    }
}

fn all_answered(series: &Series) -> bool {
    let now = Instant::now();
    let mut recent = series.echoes.iter().rev().take_while(|echo| now - echo.sent <= PATIENCE);
    recent.all(|echo| echo.answered.is_some())
}

/// The first point of the grid that begins at `start` which lies after `moment`.
fn next_on_grid(start: Instant, step: Duration, moment: Instant) -> Instant {
    let passed = moment.saturating_duration_since(start).as_nanos() / step.as_nanos().max(1);
    let next = (passed + 1).saturating_mul(step.as_nanos());
    start + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX))
}

/// Puts the calling thread before everything ordinary: the ruler must not bend when the machine is
/// busy. Without the right to, it stays as it is.
fn prefer_this_thread() {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter is a valid structure that outlives the call; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series at one a millisecond: `.` is answered 0.1 ms later, `x` never.
    fn series(start: Instant, story: &str) -> Series {
        let echo = |(index, what): (usize, char)| {
            let sent = start + Duration::from_millis(index as u64);
            let answered = (what == '.').then(|| sent + Duration::from_micros(100));
            Echo { sent, answered }
        };
        Series { echoes: story.chars().enumerate().map(echo).collect() }
    }

    #[test]
    fn silence_lasts_from_answer_to_answer() {
        let start = Instant::now();
        let summary = series(start, "..xxx..x..").summary(start, start + Duration::from_millis(10));
        assert_eq!((summary.sent, summary.lost.len()), (10, 4));
        assert_eq!(summary.silence, Duration::from_millis(4));
        assert_eq!(summary.lost[0], start + Duration::from_millis(2));
        assert_eq!(summary.pause, Duration::from_millis(1));
    }

    #[test]
    fn a_stretch_counts_its_own_pings_but_sees_the_answers_around() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let series = series(start, "..xxxx....");
        let summary = series.summary(at(4), at(8));
        assert_eq!((summary.sent, summary.lost.len()), (4, 2));
        assert_eq!(summary.silence, Duration::from_millis(5));
        assert!(series.summary(at(6), at(10)).lost.is_empty());
        assert_eq!(series.summary(at(8), at(2)).sent, 0);
    }

    #[test]
    fn without_loss_the_slowest_answer_is_the_silence() {
        let start = Instant::now();
        let mut series = series(start, "....");
        series.echoes[1].answered = Some(series.echoes[1].sent + Duration::from_millis(7));
        let summary = series.summary(start, start + Duration::from_secs(1));
        assert_eq!((summary.lost.len(), summary.silence), (0, Duration::from_millis(7)));
        series.echoes[1].answered = Some(series.echoes[1].sent + PATIENCE * 2);
        assert_eq!(series.summary(start, start + Duration::from_secs(1)).lost.len(), 1);
    }

    #[test]
    fn a_silence_that_never_ends_lasts_to_the_last_ping() {
        let start = Instant::now();
        let summary = series(start, ".xxx").summary(start, start + Duration::from_secs(1));
        assert_eq!(summary.silence, Duration::from_micros(2900));
        let summary = series(start, "xx").summary(start, start + Duration::from_secs(1));
        assert_eq!(summary.silence, Duration::from_millis(1));
        assert_eq!(Series::default().summary(start, start).sent, 0);
    }

    #[test]
    fn the_grid_does_not_drift() {
        let start = Instant::now();
        let step = Duration::from_millis(10);
        let next = |us| next_on_grid(start, step, start + Duration::from_micros(us)) - start;
        assert_eq!(next(0), step);
        assert_eq!(next(9_999), step);
        assert_eq!(next(10_000), step * 2);
        assert_eq!(next(35_001), step * 4);
    }
}
