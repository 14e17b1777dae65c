//! **Ctrl-C, without leaving anything behind**: the signals that ask to stop become a flag, and
//! every wait looks at it, so that the ordinary way out (which cleans up) is the only one.

use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

/// The number of the signal that asked to stop; 0 while none has.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// How often a wait looks at what it waits for. Nothing that is measured depends on it.
const LOOK: Duration = Duration::from_millis(4);

/// Why a wait ended without what it waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A signal asked the program to stop.
    Signal(i32),
    /// What was waited for did not happen in time, or can't happen any more. Says what.
    Trouble(String),
}

/// Takes SIGINT, SIGTERM and SIGHUP out of their usual way. Must be called before any other
/// thread is started, since threads and the `ip` commands inherit the mask.
///
/// # Errors
/// If the mask can't be set or the thread can't be started.
pub(crate) fn install() -> std::io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            ASKED.store(signal as i32, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// Whether a signal has asked to stop.
///
/// # Errors
/// [`Stop::Signal`] if so.
pub(crate) fn check() -> Result<(), Stop> {
    match ASKED.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Stop::Signal(signal)),
    }
}

/// Looks again and again until `look` finds what it looks for.
///
/// # Errors
/// [`Stop::Signal`] if asked to stop, [`Stop::Trouble`] after `limit` (with `what` was waited
/// for), and whatever `look` itself fails with.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Stop>,
) -> Result<T, Stop> {
    let deadline = Instant::now() + limit;
    loop {
        check()?;
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            let limit = limit.as_secs_f64();
            return Err(Stop::Trouble(format!("waited {limit:.1} s in vain for {what}")));
        }
        thread::sleep(LOOK);
    }
}

/// Lets time pass until `deadline`, calling `meanwhile` now and then.
///
/// # Errors
/// [`Stop::Signal`] if asked to stop, and whatever `meanwhile` fails with.
pub(crate) fn pass_until(
    deadline: Instant,
    mut meanwhile: impl FnMut() -> Result<(), Stop>,
) -> Result<(), Stop> {
    loop {
        check()?;
        meanwhile()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Signal(signal) => write!(f, "stopped by signal {signal}"),
            Stop::Trouble(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_says_for_what() {
        let stop = wait_for("rain", Duration::from_millis(5), || Ok(None::<()>));
        assert_eq!(stop, Err(Stop::Trouble("waited 0.0 s in vain for rain".into())));
    }

    #[test]
    fn a_wait_ends_with_what_it_finds() {
        let mut looks = 0;
        let found = wait_for("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found, Ok(3));
    }
}
