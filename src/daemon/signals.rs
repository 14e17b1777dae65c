//! Signals, as keepalived numbers and names them (`--signum`).

use libc::c_int;

use super::dumps::Wanted;

/// The signals that are taken from the signalfd; every other keeps its default meaning.
pub(super) fn watched(ignore_sigint: bool) -> Vec<c_int> {
    let mut signals = vec![
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGXCPU,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGRTMIN() + 2,
        libc::SIGRTMAX() - 1,
        libc::SIGRTMAX(),
    ];
    if !ignore_sigint {
        signals.push(libc::SIGINT);
    }
    signals
}

/// The signal that keepalived calls `name`, for `--signum`.
pub(super) fn number(name: &str) -> Option<c_int> {
    Some(match name {
        "STOP" => libc::SIGTERM,
        "RELOAD" => libc::SIGHUP,
        "DATA" => libc::SIGUSR1,
        "STATS" => libc::SIGUSR2,
        "STATS_CLEAR" => libc::SIGRTMAX() - 1,
        "JSON" => libc::SIGRTMIN() + 2,
        "TDUMP" => libc::SIGRTMAX(),
        _ => return None,
    })
}

/// Which files `signal` asks for, if it does.
pub(super) fn dump(signal: c_int) -> Option<Wanted> {
    let nothing = Wanted::default();
    Some(match signal {
        libc::SIGUSR1 => Wanted { data: true, ..nothing },
        libc::SIGUSR2 => Wanted { stats: true, ..nothing },
        json if json == libc::SIGRTMIN() + 2 => Wanted { json: true, ..nothing },
        clear if clear == libc::SIGRTMAX() - 1 => Wanted { stats: true, clear: true, ..nothing },
        _ => return None,
    })
}
