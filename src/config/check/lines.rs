//! Lines of addresses, routes and policy rules.

use std::net::IpAddr;

use super::Check;
use crate::base::{LinkId, Way};
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::facts::{Facts, default_interface, ip_of};
use crate::config::keywords::route::{routes, rules};
use crate::config::keywords::{Key, address, instance, root};
use crate::config::model::{Datum, Entry, Section};
use crate::config::ways::{FIRST_PREFERENCE, Reading, Refused};

impl Check<'_> {
    /// The lines of a virtual router.
    pub(super) fn virtual_lines(&mut self, router: &Facts<'_>) {
        let section = router.section;
        for key in [instance::VIRTUAL_IPADDRESS, instance::VIRTUAL_IPADDRESS_EXCLUDED] {
            for entry in section.lines(key) {
                self.address_line(entry, router.interface);
            }
        }
        for entry in section.lines(instance::VIRTUAL_ROUTES) {
            self.route_line(entry, instance::VIRTUAL_ROUTES);
        }
        for entry in section.lines(instance::VIRTUAL_RULES) {
            self.rule_line(entry, instance::VIRTUAL_RULES);
        }
    }

    /// The lines outside of virtual routers.
    pub(super) fn static_lines(&mut self, model: &Section, globals: &Section) {
        let interface = default_interface(globals);
        for entry in model.lines(root::STATIC_IPADDRESS) {
            self.address_line(entry, Some(interface));
        }
        for entry in model.lines(root::STATIC_ROUTES) {
            self.route_line(entry, root::STATIC_ROUTES);
        }
        for entry in model.lines(root::STATIC_RULES) {
            self.rule_line(entry, root::STATIC_RULES);
        }
    }

    fn address_line(&mut self, entry: &Entry, interface: Option<&str>) {
        let Some(ip) = ip_of(entry) else { return };
        if ip.is_ipv6() {
            if let Some(setting) = entry.get(address::BROADCAST) {
                let message = format!("IPv6 has no broadcast, so `brd` can't be given for `{ip}`");
                let finding = Diagnostic::new(codes::BROADCAST_OF_IPV6, setting.span, message);
                self.tell(finding.label("left out").help("remove `brd` and the word after it"));
            }
            for key in [address::LABEL, address::SCOPE] {
                if let Some(setting) = entry.get(key) {
                    let name = key.keyword().name;
                    let message = format!("`{name}` has no effect for the IPv6 address `{ip}`");
                    let finding = Diagnostic::new(codes::NOT_FOR_IPV6, setting.span, message);
                    self.tell(finding.help(format!("remove `{name}` and the word after it")));
                }
            }
            return;
        }
        let link = entry.get(address::DEV).and_then(|setting| setting.text()).or(interface);
        if let (Some(setting), Some(link)) = (entry.get(address::LABEL), link)
            && let Some(label) = setting.text()
            && !label.starts_with(link)
        {
            let message =
                format!("label `{label}` doesn't begin with the name of its interface, {link}");
            let finding = Diagnostic::new(codes::LABEL_NOT_OF_LINK, setting.value_span(), message);
            self.tell(
                finding.help(format!("write a label such as `{link}:0`; ifconfig shows no other")),
            );
        }
    }

    fn route_line(&mut self, entry: &Entry, opener: Key) {
        let to = entry.get(routes::TO).and_then(|setting| setting.datum());
        let destination = entry.subject().map(|item| &item.datum).or(to);
        let Some(destination) = destination else {
            let message = format!("this line of `{}` has no destination", opener.keyword().name);
            let finding = Diagnostic::new(codes::ROUTE_INCOMPLETE, entry.span, message);
            self.tell(
                finding.label("left out").help(
                    "write the network that it leads to first, such as 192.0.2.0/24 or default",
                ),
            );
            return;
        };
        let family = match destination {
            Datum::Ip(ip) | Datum::Prefix(ip, _) => Some(*ip),
            _ => None,
        };
        self.one_family(entry, family, &[routes::SRC, routes::VIA, routes::OR], "route");
        let refused = self.read_ways(|reading| reading.route(entry));
        self.tell_refused(refused);
    }

    fn rule_line(&mut self, entry: &Entry, opener: Key) {
        self.one_family(entry, None, &[rules::FROM, rules::TO], "rule");
        if entry.get(rules::PREFERENCE).is_none() {
            let message = format!(
                "this line of `{}` has no preference, so it gets the next one below 16384 that is left",
                opener.keyword().name
            );
            let finding = Diagnostic::new(codes::NO_PREFERENCE, entry.span, message);
            self.tell(finding.help("add `preference` and a number"));
        }
        let refused = self.read_ways(|reading| reading.rule(entry));
        self.tell_refused(refused);
    }

    /// Reads a line as it will be read when it is of use.
    fn read_ways(&self, read: impl FnOnce(&mut Reading<'_>) -> Result<Way, Refused>) -> Refused {
        let mut reading = Reading {
            names: self.names,
            link: &mut |_| LinkId(0),
            preferences: &mut [FIRST_PREFERENCE; 2],
        };
        read(&mut reading).err().flatten()
    }

    fn tell_refused(&mut self, refused: Refused) {
        if let Some(finding) = refused {
            self.tell(*finding);
        }
    }

    /// All addresses of a line must be of one family; a next hop may say otherwise by `inet6`.
    fn one_family(&mut self, entry: &Entry, first: Option<IpAddr>, keys: &[Key], what: &str) {
        let mut first = first;
        for setting in entry.options.iter().filter(|setting| keys.contains(&setting.key)) {
            let says_family = setting
                .items()
                .iter()
                .any(|item| matches!(item.datum, Datum::Choice("inet" | "inet6")));
            let given = setting.items().iter().find_map(|item| match item.datum {
                Datum::Ip(ip) | Datum::Prefix(ip, _) => Some((ip, item.span)),
                _ => None,
            });
            let Some((ip, span)) = given.filter(|_| !says_family) else { continue };
            match first {
                None => first = Some(ip),
                Some(before) if before.is_ipv4() != ip.is_ipv4() => {
                    let message =
                        format!("`{ip}` and `{before}` are of different families, in one {what}");
                    let finding = Diagnostic::new(codes::MIXED_FAMILIES, span, message);
                    self.tell(
                        finding
                            .label(format!("the {what} is left out"))
                            .help("use addresses of one family"),
                    );
                    return;
                }
                Some(_) => {}
            }
        }
    }
}
