//! The operator's clients: connections to the control socket, each with its `control::Session`.
//!
//! A client gets at most one page a turn, and only as fast as it reads: what its socket does not
//! take now is offered again a little later, and a client that takes nothing for a while is sent
//! away. Nothing here waits.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use log::{debug, warn};

use super::tokens;
use crate::base::{Histogram, Instant, LinkNames, Span};
use crate::control::{DaemonInfo, Order, PAGE, Progress, ReloadRecord, Session, View};
use crate::io::sockets::ControlSocket;
use crate::io::{Io, clock};
use crate::vrrp::Engine;

/// Connections at once. Who comes when all seats are taken gets the seat of someone who has nothing
/// to ask, or waits in the listener's backlog.
const SEATS: usize = 32;
/// How long a client may hold a seat and say nothing while others wait for one.
const GRACE: Span = Span::from_millis(200);
/// When to offer bytes again to a client whose socket was full.
const RETRY: Span = Span::from_millis(5);
/// How long a client may take nothing while we have something for it.
const PATIENCE: Span = Span::from_secs(10);

/// All clients.
pub(super) struct Clients {
    seats: Vec<Option<Client>>,
    /// Whether connections may be waiting to be accepted.
    waiting: bool,
    /// When a client has work again that no descriptor will tell of.
    wake_at: Instant,
    /// When someone may have to give up a seat to one who waits.
    crowded_at: Instant,
    started: Instant,
    config_file: String,
    backend: &'static str,
}

struct Client {
    stream: UnixStream,
    session: Session,
    /// The page being sent, and how much of it has been.
    page: Vec<u8>,
    sent: usize,
    /// Whether there may be bytes to read.
    readable: bool,
    /// When it last took, or asked, something.
    last_taken: Instant,
    /// Which reload it waits for.
    reload: Option<Awaited>,
}

/// Which reload a client waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The one that it has just asked for.
    Asked,
    /// The one of that number.
    Run(u64),
}

/// What is to become of a client after a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing to do before its descriptor says so.
    Rest,
    /// Go on in the next turn.
    Continue,
    /// Its socket is full: offer the bytes again soon.
    Offer,
    /// It has left, or has to.
    Close,
}

impl Clients {
    /// No clients yet, of a daemon that runs `config_file` on the I/O backend `backend`.
    pub(super) fn new(config_file: &Path, backend: &'static str) -> Self {
        Clients {
            seats: (0..SEATS).map(|_| None).collect(),
            waiting: false,
            wake_at: Instant::NEVER,
            crowded_at: Instant::NEVER,
            started: clock::now(),
            config_file: config_file.display().to_string(),
            backend,
        }
    }

    /// The listener is ready.
    pub(super) fn expect_more(&mut self) {
        self.waiting = true;
    }

    /// The client in `seat` has sent something, or has gone.
    pub(super) fn on_ready(&mut self, seat: usize) {
        if let Some(Some(client)) = self.seats.get_mut(seat) {
            client.readable = true;
            self.wake_at = Instant::ZERO;
        }
    }

    /// When [`Clients::accept`] and [`Clients::serve`] have something to do.
    pub(super) fn wake_at(&self) -> Instant {
        self.wake_at.min(self.crowded_at)
    }

    /// Gives waiting connections a seat.
    pub(super) fn accept(&mut self, now: Instant, listener: &ControlSocket, io: &mut dyn Io) {
        self.crowded_at = Instant::NEVER;
        while self.waiting {
            let free = self.seats.iter().position(Option::is_none);
            let longest = self.longest_idle();
            // Whoever may have to go does so only for someone who is really there.
            let seat = match (free, longest) {
                (Some(seat), _) => seat,
                (None, Some((seat, since))) if now.since(since) >= GRACE => seat,
                (None, Some((_, since))) => {
                    self.crowded_at = since + GRACE;
                    return;
                }
                (None, None) => return,
            };
            match listener.accept() {
                Ok(Some(stream)) => {
                    if free.is_none() {
                        debug!("a viprctl that asked nothing gave up its seat");
                        io.forget(tokens::client(seat));
                        self.seats[seat] = None;
                    }
                    if let Err(cause) = io.watch(tokens::client(seat), stream.as_fd()) {
                        warn!("can't serve a viprctl: {cause}");
                        continue;
                    }
                    self.seats[seat] = Some(Client::new(now, stream));
                    self.wake_at = Instant::ZERO;
                }
                Ok(None) => self.waiting = false,
                Err(cause) => {
                    warn!("can't accept a viprctl: {cause}");
                    self.waiting = false;
                }
            }
        }
    }

    /// Who has had nothing to ask for the longest time, and since when.
    fn longest_idle(&self) -> Option<(usize, Instant)> {
        let idle = self.seats.iter().enumerate().filter_map(|(seat, client)| {
            let client = client.as_ref().filter(|client| client.is_idle())?;
            Some((seat, client.last_taken))
        });
        idle.min_by_key(|&(_, since)| since)
    }

    /// Whether a client has asked for a reload since [`Clients::promise_reload`].
    pub(super) fn want_reload(&self) -> bool {
        self.seats.iter().flatten().any(|client| client.reload == Some(Awaited::Asked))
    }

    /// Whoever has asked for a reload is to be told of the one with number `run`.
    pub(super) fn promise_reload(&mut self, run: u64) {
        for client in self.seats.iter_mut().flatten() {
            if client.reload == Some(Awaited::Asked) {
                client.reload = Some(Awaited::Run(run));
            }
        }
    }

    /// The reload with number `run` is over.
    pub(super) fn on_reloaded(&mut self, now: Instant, run: u64, outcome: &ReloadRecord) {
        for client in self.seats.iter_mut().flatten() {
            if client.reload == Some(Awaited::Run(run)) {
                client.reload = None;
                client.last_taken = now;
                client.session.on_reloaded(outcome);
                self.wake_at = Instant::ZERO;
            }
        }
    }

    /// Reads, answers and writes for every client that has something to do.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        engine: &Engine,
        names: &LinkNames,
        io: &mut dyn Io,
        counters: &[(&str, u64)],
        latency: &[(&str, &Histogram)],
    ) {
        if now < self.wake_at {
            return;
        }
        let view = View {
            engine,
            names,
            now,
            wall_now: clock::wall_nanos(),
            daemon: DaemonInfo {
                version: env!("CARGO_PKG_VERSION"),
                pid: std::process::id(),
                started: self.started,
                config_file: &self.config_file,
                io: self.backend,
                counters,
                latency,
            },
        };
        self.wake_at = Instant::NEVER;
        for (seat, client) in self.seats.iter_mut().enumerate() {
            let next = match client {
                Some(client) => client.serve(now, &view),
                None => continue,
            };
            match next {
                Next::Rest => {}
                Next::Continue => self.wake_at = Instant::ZERO,
                Next::Offer => self.wake_at = self.wake_at.min(now + RETRY),
                Next::Close => {
                    io.forget(tokens::client(seat));
                    *client = None;
                    // A seat is free: whoever waits for one may come in, in the next turn.
                    self.waiting = true;
                    self.wake_at = Instant::ZERO;
                }
            }
        }
    }
}

impl Client {
    fn new(now: Instant, stream: UnixStream) -> Self {
        Client {
            stream,
            session: Session::new(),
            page: Vec::with_capacity(PAGE),
            sent: 0,
            readable: true,
            last_taken: now,
            reload: None,
        }
    }

    /// Whether it has been answered all that it has asked.
    fn is_idle(&self) -> bool {
        self.sent == self.page.len() && self.session.is_idle()
    }

    /// One turn's work: what has come in, the page in progress, or the next page.
    fn serve(&mut self, now: Instant, view: &View<'_>) -> Next {
        if self.sent < self.page.len() {
            return self.send(now);
        }
        if self.readable && self.session.wants_bytes() && !self.read() {
            return Next::Close;
        }
        let progress = self.session.fill(view, &mut self.page);
        self.sent = 0;
        self.last_taken = now;
        if let Some(Order::Reload) = self.session.take_order() {
            self.reload = Some(Awaited::Asked);
        }
        if !self.page.is_empty() {
            return self.send(now);
        }
        match progress {
            Progress::Over => Next::Close,
            Progress::More => Next::Continue,
            Progress::Waiting => Next::Rest,
            Progress::Idle if self.readable => Next::Continue,
            Progress::Idle => Next::Rest,
        }
    }

    /// Reads once; whether the connection still is of use.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.readable = false;
                self.session.on_end();
            }
            Ok(length) => self.session.on_bytes(&buffer[..length]),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => {
                debug!("a viprctl is gone: {cause}");
                return false;
            }
        }
        true
    }

    fn send(&mut self, now: Instant) -> Next {
        match self.stream.write(&self.page[self.sent..]) {
            Ok(length) => {
                self.sent += length;
                self.last_taken = now;
                // Written: the session may be over, or have the next page.
                Next::Continue
            }
            Err(cause) if cause.kind() == ErrorKind::Interrupted => Next::Continue,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                if now.since(self.last_taken) < PATIENCE { Next::Offer } else { Next::Close }
            }
            Err(_) => Next::Close,
        }
    }
}
