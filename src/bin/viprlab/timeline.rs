//! **What happened, in order**: events from logs, wire, client and bench on one scale of
//! milliseconds.

use std::fmt;
use std::time::Instant;

use serde::Serialize;
use viprd::base::Mac;

use crate::clock::ms_between;
use crate::daemon::State;

/// Events since a start.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Timeline {
    #[serde(skip)]
    start: Instant,
    events: Vec<Event>,
}

/// Something that happened at some time.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    /// Milliseconds since the start.
    ms: f64,
    #[serde(flatten)]
    what: What,
}

/// What can happen.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum What {
    /// A part of the play begins.
    Step { title: String },
    /// A daemon was started.
    Started { host: &'static str, program: &'static str },
    /// A daemon was asked to stop.
    Stopping { host: &'static str },
    /// A daemon's log tells a new state.
    State { host: &'static str, state: State },
    /// A link was set up or down; the kernel was done after so many milliseconds.
    Link { host: &'static str, link: &'static str, up: bool, took_ms: f64 },
    /// A ping of the series with one a second got no answer.
    PingLost { number: usize },
    /// What became of the other series during the step that ends here.
    Pings { each_ms: f64, sent: usize, lost: usize, silence_ms: f64 },
    /// A gratuitous ARP on the client's link.
    Garp { address: String, place: Place },
    /// The client's ARP entry for the address.
    Entry { address: String, place: Option<Place> },
}

/// An Ethernet address and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Place {
    /// The address.
    pub(crate) mac: String,
    /// The host that has it on eth1, if it is one of the two.
    pub(crate) host: Option<&'static str>,
}

impl Timeline {
    /// An empty one.
    pub(crate) fn new(start: Instant) -> Self {
        Timeline { start, events: vec![] }
    }

    /// Puts down that `what` happened at `at`, in any order.
    pub(crate) fn add(&mut self, at: Instant, what: What) {
        self.events.push(Event { ms: ms_between(self.start, at), what });
    }

    /// Brings everything into order; things of one moment stay in the order they were added.
    pub(crate) fn sort(&mut self) {
        self.events.sort_by(|one, other| one.ms.total_cmp(&other.ms));
    }
}

impl Place {
    /// Where `mac` is, given the hosts' own addresses.
    pub(crate) fn of(mac: Mac, hosts: &[(&'static str, Mac)]) -> Self {
        let host = hosts.iter().find(|(_, own)| *own == mac).map(|&(host, _)| host);
        Place { mac: mac.to_string(), host }
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Event { ms, what } in &self.events {
            if matches!(what, What::Step { .. }) {
                writeln!(f)?;
            }
            writeln!(f, "{ms:>11.1}  {what}")?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Step { title } => write!(f, "── {title}"),
            What::Started { host, program } => write!(f, "{host}   {program} started"),
            What::Stopping { host } => write!(f, "{host}   asked to stop"),
            What::State { host, state } => write!(f, "{host}   {state}"),
            What::Link { host, link, up, took_ms } => {
                let way = if *up { "up" } else { "down" };
                write!(f, "{host}   {link} set {way} (the kernel took {took_ms:.1} ms)")
            }
            What::PingLost { number } => write!(f, "client  ping {number} of 1 a second LOST"),
            What::Pings { each_ms, sent, lost, silence_ms } => write!(
                f,
                "client  pings each {each_ms} ms: {lost} of {sent} lost, longest silence {silence_ms:.1} ms"
            ),
            What::Garp { address, place } => {
                write!(f, "wire    gratuitous ARP: {address} is at {place}")
            }
            What::Entry { address, place: Some(place) } => {
                write!(f, "client  ARP entry: {address} is at {place}")
            }
            What::Entry { address, place: None } => {
                write!(f, "client  ARP entry: {address} is nowhere")
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.mac, self.host.unwrap_or("nobody we know"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_are_told_in_order() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        let later = start + Duration::from_millis(20);
        timeline.add(later, What::State { host: "HostB", state: State::Master });
        timeline.add(start, What::Stopping { host: "HostA" });
        timeline.add(later, What::PingLost { number: 7 });
        timeline.sort();
        assert_eq!(
            timeline.to_string(),
            "        0.0  HostA   asked to stop\n\
             \x20      20.0  HostB   MASTER\n\
             \x20      20.0  client  ping 7 of 1 a second LOST\n"
        );
        let json = serde_json::to_value(&timeline).expect("JSON");
        assert_eq!(json[1]["kind"], "state");
        assert_eq!(json[1]["state"], "MASTER");
        assert_eq!(json[1]["ms"], 20.0);
    }

    #[test]
    fn a_place_names_its_host() {
        let hosts = [("HostA", Mac([2, 0, 0, 0, 0, 1])), ("HostB", Mac([2, 0, 0, 0, 0, 2]))];
        assert_eq!(Place::of(hosts[1].1, &hosts).host, Some("HostB"));
        assert_eq!(Place::of(Mac::BROADCAST, &hosts).host, None);
    }
}
