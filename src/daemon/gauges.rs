//! What the lower rooms count, by name, for `viprctl stats`.

use crate::io::Io;
use crate::kernel::Host;

/// The counters of the rooms below, as they stand.
pub(super) struct Gauges {
    io: crate::io::IoCounters,
    host: crate::kernel::HostCounters,
    frame_failures: u64,
}

impl Gauges {
    /// As they stand now.
    pub(super) fn of(io: &dyn Io, host: &Host, frame_failures: u64) -> Self {
        Gauges { io: io.counters(), host: host.counters(), frame_failures }
    }

    /// With their names.
    pub(super) fn named(&self) -> [(&'static str, u64); 19] {
        let (io, host) = (&self.io, &self.host);
        [
            ("frames_failed", self.frame_failures),
            ("io_turns", io.turns),
            ("io_extra_enters", io.extra_enters),
            ("io_received", io.received),
            ("io_refused", io.refused),
            ("io_sent", io.sent),
            ("io_send_failures", io.send_failures),
            ("io_rearmed", io.rearmed),
            ("io_buffers_exhausted", io.buffers_exhausted),
            ("io_completions_overflown", io.completions_overflown),
            ("netlink_events", host.events),
            ("netlink_malformed", host.malformed),
            ("netlink_overruns", host.overruns),
            ("netlink_answers_lost", host.answers_lost),
            ("netlink_dumps", host.dumps),
            ("netlink_dumps_interrupted", host.dumps_interrupted),
            ("netlink_batches", host.batches),
            ("netlink_requests", host.requests),
            ("netlink_refusals", host.refusals),
        ]
    }
}
