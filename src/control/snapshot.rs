//! The engine's view of a router → records.

use super::record::{
    AddressRecord, BucketRecord, CauseRecord, DaemonRecord, GarpRecord, LatencyRecord, ShowRecord,
    StatsRecord, StatusRecord, TimesRecord, VersionRecord,
};
use super::words::{cause_event, cause_words, fault_words, link_name, track_words};
use super::{View, WallTime};
use crate::base::{Family, Histogram, Instant, Span, VirtualAddress};
use crate::vrrp::params::{active_down_interval, skew_time};
use crate::vrrp::{GarpParams, Preempt, RouterParams, RouterView, State};
use crate::wire::{Authentication, ChecksumForm, Version};

impl View<'_> {
    pub(super) fn status(&self, router: &RouterView<'_>) -> StatusRecord {
        let params = router.params;
        let fault = match router.state {
            State::Initialize { fault } => *fault,
            State::Backup(_) | State::Active(_) => None,
        };
        let master_priority = match router.state {
            State::Initialize { .. } => None,
            State::Backup(backup) => backup.heard().map(|(_, priority)| priority),
            State::Active(_) => Some(router.priority),
        };
        let since = self.since(router);
        StatusRecord {
            name: params.name.as_ref().into(),
            interface: link_name(params.link, self.names).into(),
            vrid: params.vrid.get(),
            version: params.version.number(),
            ip_version: match params.transport.family {
                Family::Ipv4 => 4,
                Family::Ipv6 => 6,
            },
            state: router.state.name().into(),
            fault: fault.map(|fault| fault_words(fault, self.names, &params.tracking)),
            since: self.wall(since),
            since_seconds: self.ago(since),
            base_priority: params.priority,
            effective_priority: router.priority,
            master: router.active,
            master_priority,
            last_advert: router.last_advert.map(|at| self.wall(at)),
            last_advert_seconds: router.last_advert.map(|at| self.ago(at)),
            interval_seconds: params.interval.span().as_secs_f64(),
            addresses: self.addresses(params),
        }
    }

    pub(super) fn show(&self, router: &RouterView<'_>) -> ShowRecord {
        let params = router.params;
        let (preempt, preempt_delay_seconds) = match params.preempt {
            Preempt::Never => (false, 0.0),
            Preempt::After(delay) => (true, delay.as_secs_f64()),
        };
        let preempt_since = match router.state {
            State::Backup(backup) => backup.preempt_since,
            State::Initialize { .. } | State::Active(_) => None,
        };
        let addresses_set = match router.state {
            State::Active(active) => Some(active.addresses_set),
            State::Initialize { .. } | State::Backup(_) => None,
        };
        let deadline = (router.deadline != Instant::NEVER).then_some(router.deadline);
        ShowRecord {
            status: self.status(router),
            cause: CauseRecord {
                event: cause_event(router.cause).into(),
                words: cause_words(router.cause, self.names, &params.tracking),
            },
            deadline: deadline.map(|at| self.wall(at)),
            deadline_seconds: deadline.map(|at| at.since(self.now).as_secs_f64()),
            source: params.transport.source,
            unicast_peers: params
                .transport
                .unicast
                .iter()
                .flat_map(|unicast| unicast.peers.iter().map(|peer| peer.ip))
                .collect(),
            times: times(router),
            owner: params.is_owner(),
            preempt,
            preempt_delay_seconds,
            preempt_waiting_since: preempt_since.map(|at| self.wall(at)),
            addresses_set,
            routes: {
                let ways = params.extras.ways.iter();
                ways.map(|way| way.what.describe(self.names).to_string()).collect()
            },
            tracked_interfaces: params
                .tracked_links
                .iter()
                .map(|&link| link_name(link, self.names).into())
                .collect(),
            tracks: params.tracking.tracks.iter().map(track_words).collect(),
            authentication: match params.conduct.authentication {
                Authentication::None => "none",
                Authentication::Password(_) => "password",
                Authentication::Header(_) => "header",
            }
            .into(),
            checksum: (params.version == Version::V3).then(|| {
                match router.checksum_form {
                    ChecksumForm::Message => "rfc9568",
                    ChecksumForm::PseudoHeader => "rfc5798",
                    ChecksumForm::GroupPseudoHeader => "old_unicast",
                }
                .into()
            }),
            garp: garp(&params.garp),
            counters: router.counters.into(),
        }
    }

    pub(super) fn stats(&self, router: &RouterView<'_>) -> StatsRecord {
        StatsRecord {
            name: router.params.name.as_ref().into(),
            interface: link_name(router.params.link, self.names).into(),
            vrid: router.params.vrid.get(),
            state: router.state.name().into(),
            counters: router.counters.into(),
        }
    }

    pub(super) fn daemon(&self) -> DaemonRecord {
        DaemonRecord {
            unattributed: self.engine.unattributed().into(),
            counters: self
                .daemon
                .counters
                .iter()
                .map(|&(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    /// The `index`th kind of times, if there is one: the engine's, then the daemon's own.
    pub(super) fn latency(&self, index: usize) -> Option<LatencyRecord> {
        let engine = self.engine.latency().histograms();
        let mut all = engine.iter().chain(self.daemon.latency);
        let &(name, times) = all.nth(index)?;
        Some(latency(name, times))
    }

    pub(super) fn version(&self) -> VersionRecord {
        VersionRecord {
            version: self.daemon.version.into(),
            pid: self.daemon.pid,
            started: self.wall(self.daemon.started),
            uptime_seconds: self.ago(self.daemon.started),
            config_file: self.daemon.config_file.into(),
            io: self.daemon.io.into(),
            routers: self.engine.len() as u64,
        }
    }

    fn addresses(&self, params: &RouterParams) -> Vec<AddressRecord> {
        let listed = params.listed().len();
        let all = params.addresses.iter().enumerate();
        all.map(|(number, address)| self.address(address, number >= listed)).collect()
    }

    fn address(&self, address: &VirtualAddress, excluded: bool) -> AddressRecord {
        AddressRecord {
            address: address.to_string(),
            excluded,
            interface: link_name(address.link, self.names).into(),
            broadcast: address.broadcast,
            label: address.label.map(|label| label.as_str().into()),
            scope: address.scope.0,
        }
    }

    /// Since when `router` is in its state: a router that nobody has started yet has been so since
    /// the daemon started, not since the machine did.
    fn since(&self, router: &RouterView<'_>) -> Instant {
        router.since.max(self.daemon.started)
    }

    fn wall(&self, instant: Instant) -> WallTime {
        WallTime::of(instant, self.now, self.wall_now)
    }

    fn ago(&self, instant: Instant) -> f64 {
        self.now.since(instant).as_secs_f64()
    }
}

/// The times that count now: a Backup's follow from its master's interval.
fn times(router: &RouterView<'_>) -> TimesRecord {
    let params = router.params;
    let (active_interval, down_interval) = match router.state {
        State::Backup(backup) => (backup.active_interval, backup.down_interval),
        State::Initialize { .. } | State::Active(_) => (
            params.interval,
            active_down_interval(
                params.version,
                router.priority,
                params.interval,
                params.conduct.down_adverts,
            ),
        ),
    };
    let skew = skew_time(params.version, router.priority, active_interval);
    TimesRecord {
        active_interval_seconds: active_interval.span().as_secs_f64(),
        skew_seconds: skew.as_secs_f64(),
        down_interval_seconds: down_interval.as_secs_f64(),
    }
}

fn latency(name: &str, times: &Histogram) -> LatencyRecord {
    let seconds = |time: Option<Span>| time.map(Span::as_secs_f64);
    LatencyRecord {
        name: name.into(),
        count: times.count(),
        min_seconds: seconds(times.min()),
        mean_seconds: seconds(times.mean()),
        p50_seconds: seconds(times.quantile(500_000)),
        p90_seconds: seconds(times.quantile(900_000)),
        p99_seconds: seconds(times.quantile(990_000)),
        p99_9_seconds: seconds(times.quantile(999_000)),
        max_seconds: seconds(times.max()),
        buckets: times
            .buckets()
            .map(|bucket| BucketRecord {
                from_seconds: bucket.from.as_secs_f64(),
                to_seconds: bucket.to.as_secs_f64(),
                count: bucket.count,
            })
            .collect(),
    }
}

fn garp(garp: &GarpParams) -> GarpRecord {
    GarpRecord {
        repeat: garp.repeat,
        delay_seconds: garp.delay.as_secs_f64(),
        refresh_seconds: garp.refresh.as_secs_f64(),
        refresh_repeat: garp.refresh_repeat,
        lower_priority_repeat: garp.lower_priority_repeat,
        lower_priority_delay_seconds: garp.lower_priority_delay.as_secs_f64(),
    }
}
