//! The loop's own rhythm: when it sleeps, how late it wakes, how long it is busy; and the line in
//! the log when that makes virtual routers late.

use std::io;

use log::warn;

use super::manners::AutoPriority;
use crate::base::{Histogram, Instant, Span};
use crate::config::Process;
use crate::io::{Io, clock};
use crate::vrrp::{Engine, Overdue};

/// The line about late timers is written once in this time.
const QUIET: Span = Span::from_secs(60);

/// How a turn waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// In the kernel, where packets may gather for this long: where some have just come, more follow.
    Asleep { gather: Span },
    /// With an eye on clock and ring.
    Awake,
}

/// When packets arrived, on our own clock. A Backup's timer counts from there: what lies between a
/// packet's arrival and our seeing it, the way out of the kernel's sleep and the time that packets
/// may gather, is not added to a takeover.
#[derive(Debug)]
pub(super) struct Arrivals {
    now: Instant,
    /// The wall clock at that moment; read when it is wanted.
    wall: Option<u64>,
}

impl Arrivals {
    /// An older stamp is not believed. If we were stopped for a while, the newest packets may have
    /// found no room in the socket: those that did say nothing of the Active's end. And somebody
    /// may have set the wall clock.
    const OLDEST: u64 = 5_000_000;

    /// Of packets that are read at `now`.
    pub(super) fn until(now: Instant) -> Self {
        Arrivals { now, wall: None }
    }

    /// The moment of a kernel's stamp.
    pub(super) fn moment(&mut self, stamp: Option<u64>) -> Instant {
        let Some(stamp) = stamp else { return self.now };
        let wall = *self.wall.get_or_insert_with(clock::wall_nanos);
        match wall.checked_sub(stamp) {
            Some(age) if age <= Self::OLDEST => self.now - Span::from_nanos(age),
            _ => self.now,
        }
    }
}

/// See the module's text. All that it measures are differences of the one clock reading that each
/// turn has anyway.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The clock as last read.
    last: Instant,
    spin: Span,
    /// From the moment that a wait had to end to the moment it had.
    wakes: Histogram,
    /// From one look at the clock to the next, of turns that could not wait since there was more to
    /// do: all that a turn costs, its sends included.
    busy: Histogram,
    priority: AutoPriority,
    /// Late timers that the log has not been told of.
    untold: Option<Overdue>,
    quiet_until: Instant,
}

impl Pulse {
    /// A loop that begins at `now`.
    pub(super) fn new(now: Instant, wanted: &Process) -> Self {
        Pulse {
            last: now,
            spin: wanted.spin,
            wakes: Histogram::new(),
            busy: Histogram::new(),
            priority: AutoPriority::new(wanted),
            untold: None,
            quiet_until: Instant::ZERO,
        }
    }

    /// The histograms, with the names under which they are shown.
    pub(super) fn histograms(&self) -> [(&'static str, &Histogram); 2] {
        [("wake-lateness", &self.wakes), ("busy-turn", &self.busy)]
    }

    /// The clock as the last turn read it.
    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// Takes the ring's turn, which waits until `wake_at` at the latest, and reads the clock.
    ///
    /// # Errors
    /// Those of [`Io::turn`].
    pub(super) fn turn(
        &mut self,
        io: &mut dyn Io,
        wake_at: Instant,
        wait: Wait,
    ) -> io::Result<Instant> {
        match wait {
            _ if wake_at <= self.last || wake_at == Instant::NEVER => io.turn(wake_at)?,
            Wait::Awake => turn_spinning(io, Instant::ZERO, wake_at)?,
            Wait::Asleep { gather } if self.spin.is_zero() => io.turn_gathering(wake_at, gather)?,
            Wait::Asleep { .. } => turn_spinning(io, wake_at - self.spin, wake_at)?,
        }
        let now = clock::now();
        if wake_at <= self.last {
            self.busy.record(now.since(self.last));
        } else if now >= wake_at {
            let late = now.since(wake_at);
            self.wakes.record(late);
            self.priority.on_late(now, late);
        }
        self.last = now;
        Ok(now)
    }

    /// Tells the log of timers that were late (RFC 9568 section 2.5), at most once a minute.
    pub(super) fn tell(&mut self, now: Instant, engine: &mut Engine) {
        if let Some(overdue) = engine.take_overdue() {
            self.untold = Some(self.untold.map_or(overdue, |others| others.and(overdue)));
        }
        if self.untold.is_some() && now >= self.quiet_until {
            self.quiet_until = now + QUIET;
            if let Some(overdue) = self.untold.take() {
                warn!("{}", words(overdue, engine));
            }
        }
    }
}

/// Sleeps until `spin_from`, then watches clock and ring until `wake_at`, so that the way out of the
/// kernel's sleep (50 µs and more) is over when the moment comes.
fn turn_spinning(io: &mut dyn Io, spin_from: Instant, wake_at: Instant) -> io::Result<()> {
    io.turn(spin_from)?;
    if io.has_more() || clock::now() < spin_from {
        return Ok(());
    }
    // What comes meanwhile needs a turn to be seen; at the deadline itself the loop looks for it
    // before it judges anything, so no further system call has to come before the adverts.
    while clock::now() < wake_at {
        if io.has_more() {
            return io.turn(Instant::ZERO);
        }
        std::hint::spin_loop();
    }
    Ok(())
}

/// keepalived's words, and what they mean here.
fn words(overdue: Overdue, engine: &Engine) -> String {
    let Overdue { timers, worst, router } = overdue;
    let params = engine.view(router).params;
    let (micros, name, interval) = (worst.as_micros(), &params.name, params.interval);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let others = match timers {
        1 => String::new(),
        _ => format!("; {timers} timers were late by more than a third of their interval"),
    };
    format!(
        "A thread timer expired {seconds}.{micros:06} seconds ago: \
         VRRP_Instance({name}) with interval {interval} s{others}. \
         This host is too busy, or was paused: see `viprctl latency`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Backend, open};

    const ASLEEP: Wait = Wait::Asleep { gather: Span::ZERO };

    fn pulse(spin: Span) -> Pulse {
        Pulse::new(clock::now(), &Process { spin, ..Process::default() })
    }

    /// With and without the ring, sleeping and spinning: never early, and measured.
    #[test]
    fn a_turn_ends_at_its_deadline() {
        for backend in [Backend::Auto, Backend::Epoll] {
            let mut io = open(backend).unwrap().io;
            for spin in [Span::ZERO, Span::from_micros(200), Span::from_secs(1)] {
                let mut pulse = pulse(spin);
                for turn in 1..=5 {
                    let wake_at = clock::now() + Span::from_millis(2);
                    let mut now = Instant::ZERO;
                    while now < wake_at {
                        now = pulse.turn(&mut *io, wake_at, ASLEEP).unwrap();
                    }
                    assert_eq!(pulse.wakes.count(), turn, "{backend:?} {spin}");
                }
                assert!(pulse.busy.is_empty());
                let last = pulse.last;
                let now = pulse.turn(&mut *io, Instant::ZERO, ASLEEP).unwrap();
                assert_eq!(pulse.busy.max(), Some(now.since(last)));
            }
        }
    }

    #[test]
    fn arrivals_are_believed_within_reason() {
        let now = clock::now();
        let mut arrivals = Arrivals::until(now);
        assert_eq!(arrivals.moment(None), now);
        let wall = clock::wall_nanos();
        let arrived = arrivals.moment(Some(wall - 1_000_000));
        assert!(arrived < now && now.since(arrived) <= Span::from_millis(5));
        assert_eq!(arrivals.moment(Some(wall - 1_000_000_000)), now, "too old");
        assert_eq!(arrivals.moment(Some(wall + 3_600_000_000_000)), now, "from the future");
    }

    /// What arrives while it spins ends the turn.
    #[test]
    fn spinning_does_not_make_deaf() {
        use std::io::Write;
        use std::os::fd::AsFd;
        for backend in [Backend::Auto, Backend::Epoll] {
            let mut io = open(backend).unwrap().io;
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let token = crate::io::Token(1);
            io.watch(token, ours.as_fd()).unwrap();
            let mut pulse = pulse(Span::from_secs(1));
            let wake_at = clock::now() + Span::from_millis(50);
            theirs.write_all(b"x").unwrap();
            let mut seen = false;
            while !seen && pulse.last < wake_at + Span::from_secs(5) {
                pulse.turn(&mut *io, wake_at, ASLEEP).unwrap();
                seen = io.completion().is_some_and(|completion| completion.token == token);
            }
            assert!(seen, "{backend:?}");
        }
    }
}
