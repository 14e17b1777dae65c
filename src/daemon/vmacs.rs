//! Interfaces for virtual MACs, as the daemon's course has them: made before the virtual routers
//! start, kept whatever these do, removed when nobody wants them.

use std::io;
use std::path::Path;
use std::thread;

use log::{debug, error, info, warn};

use super::run::Daemon;
use crate::base::{Instant, LinkId, Span};
use crate::io::{clock, sockets};
use crate::vrrp::RouterParams;

/// How long the virtual routers wait at the start for interfaces that take long to be made.
pub(super) const PATIENCE: Span = Span::from_secs(5);

/// The link group of the macvlans of the daemon with that control socket. A socket has one owner,
/// so no two daemons of a namespace take each other's for what a crash has left behind.
pub(super) fn link_group(control: &Path) -> u32 {
    // FNV-1a, 32 bits.
    let hash =
        control.as_os_str().as_encoded_bytes().iter().fold(0x811c_9dc5_u32, |hash, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    // `ip link` shows groups as signed numbers; small ones are the administrator's.
    0x4000_0000 | hash & 0x3fff_ffff
}

impl Daemon {
    /// All links are known: the virtual routers start as soon as their own interfaces are there and
    /// `vrrp_startup_delay` is over. Until then they hear adverts, and do nothing.
    pub(super) fn prepare_start(&mut self, now: Instant) {
        let wanted = self.engine.views().flat_map(|view| &view.params.macvlans);
        self.host.want_macvlans(wanted);
        self.promote_secondaries(&[]);
        self.block_addresses(&[]);
        self.start_by = Some(now + PATIENCE);
        let (after_start, after_boot) = self.startup_delay;
        // The clock counts from the host's start.
        self.start_from = (now + after_start).max(Instant::ZERO + after_boot);
        if self.start_from > now {
            let seconds = self.start_from.since(now).as_secs_f64();
            info!("Delaying startup for {seconds:.0} seconds");
        }
        self.start_when_ready(now);
    }

    /// When the virtual routers start at the latest, unless they have.
    pub(super) fn starts_at(&self) -> Instant {
        match self.start_by {
            None => Instant::NEVER,
            Some(_) if self.host.macvlans_settled() && self.permanent.set => self.start_from,
            Some(at) => at.max(self.start_from),
        }
    }

    /// Starts the virtual routers when nothing is to be waited for any more.
    pub(super) fn start_when_ready(&mut self, now: Instant) {
        if self.starts_at() <= now {
            self.start_by = None;
            debug!("the virtual routers start");
            self.engine.start(now);
        }
    }

    /// Wants the macvlans of all virtual routers that there are, and of those `besides`.
    pub(super) fn want_macvlans(&mut self, besides: &[RouterParams]) {
        let running = self.engine.views().flat_map(|view| &view.params.macvlans);
        let besides = besides.iter().flat_map(|params| &params.macvlans);
        self.host.want_macvlans(running.chain(besides));
    }

    /// At the end: whether all macvlans have gone that are to go.
    pub(super) fn let_macvlans_go(&mut self) -> bool {
        if self.keep_addresses {
            return true;
        }
        // Again and again: one may have been on its way when the end began.
        self.host.want_macvlans([]);
        self.pump_requests(clock::now());
        self.host.macvlans_gone()
    }

    /// Makes what settings the kernel room asks for.
    pub(super) fn write_settings(&mut self) {
        while let Some(setting) = self.host.next_setting() {
            if let Err(cause) = self.sysctls.write(&setting) {
                warn!("a virtual MAC may not be as silent as it should be: {cause}");
            }
        }
    }

    /// Sends what takes the kernel long from a thread of its own. What becomes of it the monitor
    /// tells.
    pub(super) fn remove_macvlans(&mut self) {
        while let Some(len) = self.host.next_removal(&mut self.request) {
            let request = self.request[..len].to_vec();
            let send = move || {
                let done = sockets::netlink_once(&request);
                // Gone with the interface below meanwhile.
                if let Err(cause) = done.or_else(|cause| match cause.raw_os_error() {
                    Some(libc::ENODEV) => Ok(()),
                    _ => Err(cause),
                }) {
                    error!("interfaces for virtual MACs could not be removed: {cause}");
                }
            };
            if let Err(cause) = thread::Builder::new().name("viprd-unlink".into()).spawn(send) {
                error!("interfaces for virtual MACs stay: no thread to remove them: {cause}");
            }
        }
    }

    /// The kernel refuses to make an interface.
    pub(super) fn on_macvlan_refused(&self, link: LinkId, error: i32) {
        let name = self.names.name(link);
        let cause = io::Error::from_raw_os_error(error);
        match error {
            libc::EEXIST => error!(
                "interface {name} can't be made for a virtual MAC: there is one of that name that \
                 is none of viprd's"
            ),
            libc::EBUSY => error!(
                "interface {name} can't be up: another one on the same interface has the same \
                 virtual MAC"
            ),
            _ => error!("interface {name} can't be made for a virtual MAC: {cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_apart_and_nobody_elses() {
        let (one, other) = (link_group(Path::new("/run/a")), link_group(Path::new("/run/b")));
        assert_ne!(one & !1, other & !1);
        assert!(one >= 1 << 30 && i32::try_from(one).is_ok());
    }
}
