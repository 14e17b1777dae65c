//! **A router of a row**: a host with one of the daemons, and what can be seen of it from outside.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use viprd::control::{Record, Request};

use crate::daemon::{Daemon, Program, Programs, State};
use crate::interrupt::Stop;
use crate::topology::{HostId, Namespace, RunDir, Topology};

use super::Halt;
use super::case::{Case, Ends, LINK, Role};
use super::frr;
use super::wire::Ear;

/// How long a daemon may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// How long viprd may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A host and its daemon.
#[derive(Debug)]
pub(super) struct Router<'a> {
    /// Which daemon.
    pub(super) program: Program,
    /// What it says on the wire.
    pub(super) ear: Ear,
    /// The host.
    pub(super) namespace: &'a Namespace,
    /// The port of the bridge on which it hangs.
    pub(super) port: (&'a Namespace, &'a str),
    running: Option<Running>,
    /// The host's name in files and messages.
    name: String,
    directory: &'a RunDir,
    programs: &'a Programs,
    /// The logs of daemons that have ended.
    past: Vec<String>,
}

/// The daemon, while it runs. What is declared first is dropped first.
#[derive(Debug)]
struct Running {
    daemon: Daemon,
    zebra: Option<Daemon>,
}

/// Where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The interface.
    pub(super) interface: String,
    /// Whether that is up and has a carrier. Without, the address is of no use to anyone: FRR holds
    /// its macvlan down instead of taking the address off.
    pub(super) works: bool,
}

impl<'a> Router<'a> {
    /// Prepares a host to run `program` as `role`.
    ///
    /// # Errors
    /// If its files can't be written or its port can't be listened to.
    pub(super) fn new(
        program: Program,
        case: &Case,
        role: Role,
        ends: Ends,
        (topology, host, name): (&'a Topology, HostId, &str),
        (directory, programs): (&'a RunDir, &'a Programs),
    ) -> io::Result<Self> {
        let namespace = topology.host(host);
        let port = topology.port(host, LINK);
        let port = port.ok_or_else(|| io::Error::other("a host without a port"))?;
        fs::write(directory.file(&format!("{name}.conf")), case.config(program, role, ends))?;
        if program == Program::Frr {
            frr::make_macvlan(namespace, case)?;
        }
        Ok(Router {
            program,
            ear: Ear::start(port.0, port.1)?,
            namespace,
            port,
            running: None,
            name: name.into(),
            directory,
            programs,
            past: vec![],
        })
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) fn start(&mut self) -> Result<(), Halt> {
        let zebra = match self.program {
            Program::Frr => {
                Some(frr::start_zebra(self.programs, self.namespace, &self.name, self.directory)?)
            }
            Program::Viprd | Program::Keepalived => None,
        };
        let config = self.directory.file(&format!("{}.conf", self.name));
        let (program, programs) = (self.program, self.programs);
        let daemon =
            Daemon::start(program, programs, self.namespace, &self.name, &config, self.directory)?;
        self.running = Some(Running { daemon, zebra });
        Ok(())
    }

    /// Asks the daemon to stop and waits until it has; tells when it was asked.
    ///
    /// # Errors
    /// [`Stop::Trouble`] if it had ended before, does not end, or ends by a failure.
    pub(super) fn stop(&mut self) -> Result<Instant, Stop> {
        let Some(Running { mut daemon, zebra }) = self.running.take() else {
            return Ok(Instant::now());
        };
        let asked = daemon.ask_to_stop()?;
        let ended = daemon.wait_end(ENDS_WITHIN);
        self.past.extend(daemon.log().into_iter().map(|line| line.text));
        ended?;
        // As an init system stops FRR: zebra last.
        if let Some(mut zebra) = zebra {
            zebra.ask_to_stop()?;
            zebra.wait_end(ENDS_WITHIN)?;
        }
        Ok(asked)
    }

    /// Whether the daemon is as it should be; one that was stopped is.
    ///
    /// # Errors
    /// [`Stop::Trouble`] with its last words if it has ended by itself.
    pub(super) fn alive(&mut self) -> Result<(), Stop> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.zebra.as_mut().map_or(Ok(()), Daemon::alive)?;
        running.daemon.alive()
    }

    /// The state that the daemon itself claims to be in; `None` while it does not run.
    pub(super) fn claims(&self) -> Option<State> {
        self.running.as_ref().and_then(|running| running.daemon.state())
    }

    /// On which interface `address` is, if it is on one.
    ///
    /// # Errors
    /// If the kernel can't be asked.
    pub(super) fn place_of(&self, address: IpAddr) -> io::Result<Option<Place>> {
        self.namespace.enter(|| {
            let mut found = None;
            for one in getifaddrs()? {
                let here = one.address.as_ref().and_then(|here| {
                    let v4 = here.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                    v4.or_else(|| here.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
                });
                if here == Some(address) {
                    let works = one.flags.contains(InterfaceFlags::IFF_RUNNING);
                    let place = Place { interface: one.interface_name, works };
                    if works || found.is_none() {
                        found = Some(place);
                    }
                }
            }
            Ok(found)
        })
    }

    /// What the daemon has refused of the packets that it received: of viprd each counter of a
    /// refusal that is not zero, since it was started; of others what they complained of.
    ///
    /// # Errors
    /// [`Stop::Trouble`] if viprd does not answer.
    pub(super) fn refused(&self) -> Result<Vec<String>, Stop> {
        if self.program != Program::Viprd {
            let mut log = self.log();
            log.retain(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
            return Ok(log);
        }
        if self.running.is_none() {
            return Ok(vec![]);
        }
        let records = self.ask(&Request::Stats { name: None }).map_err(|error| {
            Stop::Trouble(format!("viprd does not answer on its socket: {error}"))
        })?;
        let mut refused = Vec::new();
        for record in records {
            match record {
                Record::Stats(stats) => {
                    let is_refusal =
                        |name: &str| name.contains("error") || REFUSALS.contains(&name);
                    refused.extend(stats.counters.iter().filter(|(name, _)| is_refusal(name)));
                }
                Record::Daemon(daemon) => refused.extend(daemon.unattributed.iter()),
                _ => {}
            }
        }
        refused.retain(|&(_, count)| count > 0);
        Ok(refused.iter().map(|(name, count)| format!("{name} {count}")).collect())
    }

    /// All that its daemons have logged.
    pub(super) fn log(&self) -> Vec<String> {
        let mut log = self.past.clone();
        if let Some(running) = &self.running {
            log.extend(running.daemon.log().into_iter().map(|line| line.text));
        }
        log
    }

    fn ask(&self, request: &Request) -> io::Result<Vec<Record>> {
        let socket = self.directory.file(&format!("{}.sock", self.name));
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        stream.write_all(request.to_line().as_bytes())?;
        let mut records = Vec::new();
        for line in BufReader::new(stream).lines() {
            match serde_json::from_str(&line?)? {
                Record::End(_) => return Ok(records),
                record => records.push(record),
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Words of keepalived and FRR about a packet that they refuse.
const COMPLAINTS: [&str; 8] = [
    "Invalid VRRPv",
    "IPSEC-AH",
    "Received AH header",
    "No AH header",
    "received an invalid",
    "invalid TTL",
    "wrong version",
    "Datagram invalid",
];

/// Counters of refusals whose names do not say so.
const REFUSALS: [&str; 3] = ["invalid_type_pkts_rcvd", "auth_type_mismatch", "own_address_rcvd"];
