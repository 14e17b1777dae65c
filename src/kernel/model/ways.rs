//! Routes and rules of the model. Which is which is told by a number in them: the third part of a
//! destination, the preference of a rule.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute};
use netlink_packet_route::rule::RuleAttribute;

use super::{Cause, Kernel, PORT, message};

/// A route or a rule that is there, as an addition of it would say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held(RouteNetlinkMessage);

impl Held {
    pub(crate) fn number(&self) -> u32 {
        match &self.0 {
            RouteNetlinkMessage::NewRoute(route) => {
                let to = route.attributes.iter().find_map(|it| match it {
                    RouteAttribute::Destination(RouteAddress::Inet(ip)) => {
                        Some(ip.octets()[2].into())
                    }
                    RouteAttribute::Destination(RouteAddress::Inet6(ip)) => {
                        Some(ip.segments()[2].into())
                    }
                    _ => None,
                });
                to.expect("a destination")
            }
            RouteNetlinkMessage::NewRule(rule) => {
                let preference = rule.attributes.iter().find_map(|it| match it {
                    RuleAttribute::Priority(number) => Some(*number),
                    _ => None,
                });
                preference.expect("a preference")
            }
            other => panic!("{other:?}"),
        }
    }

    fn device(&self) -> Option<u32> {
        let RouteNetlinkMessage::NewRoute(route) = &self.0 else { return None };
        route.attributes.iter().find_map(|it| match it {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        })
    }

    fn source(&self) -> Option<IpAddr> {
        let RouteNetlinkMessage::NewRoute(route) = &self.0 else { return None };
        route.attributes.iter().find_map(|it| match it {
            RouteAttribute::PrefSource(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
            _ => None,
        })
    }

    fn is_ipv6(&self) -> bool {
        match &self.0 {
            RouteNetlinkMessage::NewRoute(route) => {
                route.header.address_family == netlink_packet_route::AddressFamily::Inet6
            }
            _ => false,
        }
    }

    fn deletion(&self) -> RouteNetlinkMessage {
        match self.0.clone() {
            RouteNetlinkMessage::NewRoute(route) => RouteNetlinkMessage::DelRoute(route),
            RouteNetlinkMessage::NewRule(rule) => RouteNetlinkMessage::DelRule(rule),
            other => panic!("{other:?}"),
        }
    }
}

impl Kernel {
    /// A request about a route or a rule, if it is one.
    pub(super) fn on_way(
        &mut self,
        request: &RouteNetlinkMessage,
        flags: i32,
        seq: u32,
    ) -> Option<Result<bool, i32>> {
        let cause = Cause::Us(seq);
        let created = flags & libc::NLM_F_CREATE != 0;
        Some(match request.clone() {
            it @ (RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::NewRule(_)) => {
                assert!(created && flags & libc::NLM_F_REPLACE == 0);
                self.add_way(Held(it), cause)
            }
            RouteNetlinkMessage::DelRoute(it) => {
                self.delete_way(&Held(RouteNetlinkMessage::NewRoute(it)), cause)
            }
            RouteNetlinkMessage::DelRule(it) => {
                self.delete_way(&Held(RouteNetlinkMessage::NewRule(it)), cause)
            }
            _ => return None,
        })
    }

    fn add_way(&mut self, way: Held, cause: Cause) -> Result<bool, i32> {
        if let Some(index) = way.device() {
            let device = self.devices.get(&index).ok_or(libc::ENODEV)?;
            if !device.up {
                return Err(libc::ENETDOWN);
            }
        }
        let has = |ip| self.devices.values().any(|it| it.addresses.iter().any(|it| it.ip == ip));
        if way.source().is_some_and(|ip| !has(ip)) {
            return Err(libc::EINVAL);
        }
        if self.ways.contains(&way) {
            return Err(libc::EEXIST);
        }
        self.tell_way(&way.0, cause);
        self.ways.push(way);
        Ok(true)
    }

    fn delete_way(&mut self, way: &Held, cause: Cause) -> Result<bool, i32> {
        let at = self.ways.iter().position(|it| it == way).ok_or(libc::ESRCH)?;
        let way = self.ways.remove(at);
        self.tell_way(&way.deletion(), cause);
        Ok(true)
    }

    /// Somebody else deletes it, if it is there.
    pub(crate) fn foreign_delete_way(&mut self, number: u32) {
        if let Some(way) = self.ways.iter().find(|way| way.number() == number).cloned() {
            self.delete_way(&way, Cause::Others).unwrap();
            *self.way_deletions.entry(number).or_default() += 1;
            self.deleted.push(way);
        }
    }

    /// Somebody else puts back what somebody has deleted.
    pub(crate) fn foreign_add_way(&mut self) {
        if let Some(way) = self.deleted.pop() {
            let _ = self.add_way(way, Cause::Others);
        }
    }

    /// Whether it is there, through the interface of that name if it leads through one.
    pub(crate) fn holds_way(&self, number: u32, through: Option<&str>) -> bool {
        let index = through.and_then(|name| self.find(name));
        self.ways.iter().any(|way| way.number() == number && way.device() == index)
    }

    /// What leads through an interface goes with it: of IPv4 without a word.
    pub(super) fn flush_device(&mut self, index: u32) {
        let gone: Vec<Held> = self.ways.extract_if(.., |it| it.device() == Some(index)).collect();
        for way in gone.iter().filter(|way| way.is_ipv6()) {
            self.tell_way(&way.deletion(), Cause::Others);
        }
    }

    /// What has an address as its source goes with that.
    pub(super) fn flush_source(&mut self, ip: IpAddr) {
        if self.devices.values().any(|it| it.addresses.iter().any(|it| it.ip == ip)) {
            return;
        }
        let gone: Vec<Held> = self.ways.extract_if(.., |it| it.source() == Some(ip)).collect();
        for way in gone {
            self.tell_way(&way.deletion(), Cause::Others);
        }
    }

    fn tell_way(&mut self, event: &RouteNetlinkMessage, cause: Cause) {
        let (seq, port) = match cause {
            Cause::Us(seq) => (seq, PORT),
            Cause::Others => (0, 0),
        };
        self.monitor.push(message(event.clone(), 0, seq, port));
    }
}
