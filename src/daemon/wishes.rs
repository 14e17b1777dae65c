//! **Wishes come down**: what the engine wants is queued, in the order in which it has to leave.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use log::{debug, error, info};

use super::frames::{Announced, Round};
use super::run::Daemon;
use super::scripts::News;
use super::{refusals, tokens, words};
use crate::base::{Instant, RouterId};
use crate::io::{Pool, sockets};
use crate::kernel::Socket;
use crate::vrrp::{Action, Notice, State};
use crate::wire::auth::PROTOCOL_AH;

/// Netlink batches sent in one turn; each is worked off inside the send, in about half a
/// millisecond.
const BATCHES_A_TURN: usize = 2;

impl Daemon {
    /// Wishes down: adverts first, then addresses, then gratuitous ARPs; one submit carries all.
    pub(super) fn carry_out(&mut self, now: Instant) {
        self.take_wishes(now);
        self.frames.send_paced(now, &mut *self.io, &self.engine);
        // What became ours in the last batch is announced before the kernel works on the next one;
        // the repetitions wait until every address of a takeover is there.
        self.announce(now, Round::First);
        self.pump_requests(now);
        self.pump_firewall();
        if self.host.is_quiet() {
            self.announce(now, Round::Again);
        }
    }

    pub(super) fn take_wishes(&mut self, now: Instant) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Advertise { router, priority } => {
                    let heard = self.engine.view(router).heard_sequence;
                    self.frames.advertise(&mut *self.io, router, priority, heard);
                }
                Action::SetAddresses { router } => {
                    self.tell_extras(router, "setting");
                    let params = self.engine.view(router).params;
                    self.host.want_ways(router.0, &params.extras.ways);
                    self.host.set(router.0, &params.addresses);
                }
                Action::UnsetAddresses { router } => {
                    if !(self.keep_addresses && self.stopping.is_some()) {
                        self.tell_extras(router, "removing");
                        self.host.want_ways(router.0, []);
                        let addresses = &self.engine.view(router).params.addresses;
                        self.host.unset(router.0, addresses);
                    }
                }
                Action::Announce { router, repeat } => {
                    self.log_announcement(router, Announced::All);
                    self.frames.announce(router, repeat, Announced::All);
                }
                Action::AnnounceSource { router } => {
                    let view = self.engine.view(router);
                    self.frames.announce_source(&mut *self.io, view.params);
                }
                Action::Added { router } | Action::Altered { router } => {
                    let view = self.engine.view(router);
                    self.frames.renew(&view);
                    let (link, signed) = (view.params.link, refusals::needs_signed(view.params));
                    self.join(link, self.frames.facts(link));
                    if signed {
                        self.listen_to_signed();
                    }
                }
                Action::ChangeAddresses { router } => {
                    let view = self.engine.view(router);
                    self.host.want_ways(router.0, &view.params.extras.ways);
                    if !view.former.is_empty() {
                        self.host.unset(router.0, view.former);
                    }
                    if !view.fresh.is_empty() {
                        self.host.set(router.0, view.fresh);
                    }
                    self.host.settle_ways(router.0);
                }
                Action::AnnounceFresh { router, repeat } => {
                    self.log_announcement(router, Announced::Fresh);
                    self.frames.announce(router, repeat, Announced::Fresh);
                }
                Action::AnnounceExtra { router } => {
                    self.frames.announce(router, 1, Announced::Extra);
                }
                Action::Removed { router } => {
                    let view = self.engine.view(router);
                    let (params, priority) = (view.params, view.priority);
                    info!("VRRP_Instance({}) removed", params.name);
                    let news = match self.scripts.tells_deleted(&params.name) {
                        true => News::Deleted,
                        false => News::Fault,
                    };
                    self.scripts.tell_router(router, &params.name, news, priority);
                    let link = params.link;
                    self.frames.forget(router, link);
                    self.limiter.forget(router);
                    self.dumps.forget(router);
                    self.join(link, self.frames.facts(link));
                }
                Action::Entered { router, from, to, cause } => {
                    let params = self.engine.view(router).params;
                    words::entered(params, &self.names, (from, to), cause);
                    if let Some(news) = News::of(to) {
                        let priority = self.engine.view(router).priority;
                        self.scripts.tell_router(router, &params.name, news, priority);
                    }
                }
                Action::Reprioritised { router, from, to } => {
                    let view = self.engine.view(router);
                    let name = &view.params.name;
                    let news = match view.state {
                        State::Initialize { .. } => None,
                        State::Backup(_) => Some(News::Priority { master: false }),
                        State::Active(_) => Some(News::Priority { master: true }),
                    };
                    if let Some(news) = news {
                        self.scripts.tell_router(router, name, news, to);
                    }
                    info!("VRRP_Instance({name}) Changing effective priority from {from} to {to}");
                }
                Action::GroupEntered { group, from: _, to } => {
                    let name = self.engine.group(group).name;
                    words::group_entered(name, to);
                    if let Some(news) = News::of(to) {
                        self.scripts.tell_group(group.0, name, news);
                    }
                }
                Action::Notice { router, notice } => {
                    if let Notice::Contested { .. } = notice {
                        let view = self.engine.view(router);
                        let (name, news) = (&view.params.name, News::MasterRxLowerPri);
                        self.scripts.tell_router(router, name, news, view.priority);
                    }
                    words::notice(now, &mut self.limiter, &self.engine, router, &notice);
                }
                Action::Stray { ifindex, source, refusal } => {
                    let link = self.frames.link_of(ifindex).map(|link| self.names.name(link));
                    let loud = self.log_unknown_vrids;
                    self.limiter.stray(now, (ifindex, link), source, refusal, loud);
                }
            }
        }
    }

    /// Opens the socket for adverts behind authentication headers. Without need it stays closed: it
    /// would hear all of a host's IPsec that has such headers.
    pub(super) fn listen_to_signed(&mut self) {
        if self.sockets.signed.is_some() {
            return;
        }
        let opened = sockets::raw_ipv4_receiver(PROTOCOL_AH, self.sockets.vrrp_buffer);
        let opened = opened.and_then(|socket| {
            self.io.receive(tokens::SIGNED_IPV4, socket.as_fd(), Pool::Packets)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => self.sockets.signed = Some(socket),
            Err(cause) => {
                error!("can't hear adverts with authentication headers: {cause}");
            }
        }
    }

    pub(super) fn announce(&mut self, now: Instant, round: Round) {
        self.frames.send_announcements(now, &mut *self.io, round, &mut self.engine);
    }

    fn log_announcement(&self, router: RouterId, of: Announced) {
        if log::log_enabled!(log::Level::Debug) {
            let view = self.engine.view(router);
            for address in of.addresses(&view) {
                let (name, link) = (&view.params.name, self.names.name(address.link));
                let ip = address.ip;
                let what = match ip {
                    IpAddr::V4(_) => "gratuitous ARPs",
                    IpAddr::V6(_) => "Unsolicited Neighbour Adverts",
                };
                debug!("VRRP_Instance({name}) Sending {what} on {link} for {ip}");
            }
        }
    }

    pub(super) fn pump_requests(&mut self, now: Instant) {
        self.requests_left = false;
        if self.retry_requests_at != Instant::NEVER {
            if now < self.retry_requests_at {
                return;
            }
            self.retry_requests_at = Instant::NEVER;
        }
        for _ in 0..BATCHES_A_TURN {
            let request = self.host.next_request(&mut self.request);
            // What a request needs to be so has to be so before.
            self.write_settings();
            let Some(request) = request else { return self.remove_macvlans() };
            let (token, socket) = match request.to {
                Socket::Command => (tokens::COMMAND, &self.sockets.command),
                Socket::Monitor => (tokens::MONITOR, &self.sockets.monitor),
            };
            self.io.send(token, socket.as_raw_fd(), &self.request[..request.len]);
        }
        self.requests_left = true;
    }
}
