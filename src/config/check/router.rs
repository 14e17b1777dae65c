//! One virtual router: what it needs, what its version carries, what contradicts what.

use std::collections::HashSet;
use std::net::IpAddr;

use super::{Check, keyword_span, name_span, value_span};
use crate::config::diagnostic::{Code, Diagnostic, codes};
use crate::config::facts::{Facts, addresses, ip_of};
use crate::config::keywords::instance::{self, authentication};
use crate::config::keywords::{Key, global, tracking};
use crate::config::lower::vmac::given_mac;
use crate::config::model::{Datum, Section};
use crate::wire::Version;

impl Check<'_> {
    /// Checks one virtual router by itself.
    pub(super) fn router(&mut self, router: &Facts<'_>) {
        self.identity(router);
        self.interval(router);
        self.families(router);
        self.preemption(router);
        self.authentication(router);
        self.unicast(router);
        self.virtual_lines(router);
        for (one, other) in
            [(instance::ACCEPT, instance::NO_ACCEPT), (instance::PREEMPT, instance::NOPREEMPT)]
        {
            self.contradiction(router.section, one, other);
        }
        if router.is_v6
            && let Some(setting) = router.section.get(instance::VERSION)
            && setting.int() == Some(2)
        {
            let message =
                format!("`{}` has IPv6 addresses, which VRRPv2 doesn't know", router.name());
            self.tell(
                Diagnostic::new(codes::CONTRADICTION, setting.value_span(), message)
                    .label("version 3 is used")
                    .help("write `version 3`, or leave the line out"),
            );
        }
    }

    fn identity(&mut self, router: &Facts<'_>) {
        let section = router.section;
        let lacks = |code: &'static Code, what: &str, example: &str| {
            let message = format!("`{}` has no {what}", router.name());
            Diagnostic::new(code, name_span(section), message)
                .label("this virtual router is left out")
                .help(format!("add a line such as `{example}`"))
        };
        if router.interface.is_none() && !section.refused.contains(&instance::INTERFACE) {
            // keepalived lets the routing table choose it.
            let code =
                if router.unicast { codes::NO_UNICAST_INTERFACE } else { codes::NO_INTERFACE };
            self.tell(lacks(code, "interface", "interface eth0"));
        }
        if router.vrid.is_none() && !section.refused.contains(&instance::VIRTUAL_ROUTER_ID) {
            self.tell(lacks(codes::NO_VRID, "virtual_router_id", "virtual_router_id 51"));
        }
        if addresses(section).next().is_none()
            && !section.refused.contains(&instance::VIRTUAL_IPADDRESS)
            && section.get(instance::VIRTUAL_IPADDRESS).is_none()
            && !section.is_set(instance::NO_VIRTUAL_IPADDRESS)
        {
            let message = format!("`{}` has no addresses", router.name());
            self.tell(
                Diagnostic::new(codes::NO_ADDRESSES, name_span(section), message)
                    .help("list them in `virtual_ipaddress { … }`")
                    .help("or say `no_virtual_ipaddress` if that is meant"),
            );
        }
        if router.starts_master {
            self.master(router);
        }
    }

    fn master(&mut self, router: &Facts<'_>) {
        let section = router.section;
        let state = value_span(section, instance::STATE);
        match section.int(instance::PRIORITY) {
            None if router.is_owner() => {
                let message = format!(
                    "`{}` has state MASTER and no priority: it gets priority 255, as if it owned the addresses",
                    router.name()
                );
                self.tell(Diagnostic::new(codes::MASTER_IS_OWNER, state, message).help(
                    "give it a priority, above that of the other routers if it is to be master",
                ));
            }
            Some(priority) if priority < 100 => {
                let message = format!(
                    "`{}` has state MASTER, but its priority {priority} loses to any router with the default, 100",
                    router.name()
                );
                self.tell(
                    Diagnostic::new(
                        codes::MASTER_CANNOT_WIN,
                        value_span(section, instance::PRIORITY),
                        message,
                    )
                    .related(state, "the state is only what is expected at first")
                    .help("priorities decide who is master: give it the highest one"),
                );
            }
            _ => {}
        }
    }

    fn interval(&mut self, router: &Facts<'_>) {
        let (Some(given), used) = router.interval() else { return };
        if given == used.span() {
            return;
        }
        let span = value_span(router.section, instance::ADVERT_INT);
        let finding = match router.version {
            Version::V2 => Diagnostic::new(
                codes::INTERVAL_NOT_V2,
                span,
                format!("VRRPv2 can't carry `advert_int` {given}, only whole seconds"),
            )
            .help(format!("write `advert_int {used}`"))
            .help("or `version 3`, on all routers that share the addresses"),
            Version::V3 => Diagnostic::new(
                codes::INTERVAL_NOT_V3,
                span,
                format!("VRRPv3 can't carry `advert_int` {given}: it counts in hundredths of a second, up to 40.95"),
            )
            .help(format!("write `advert_int {used}`, on all routers that share the addresses")),
        };
        self.tell(finding.label(format!("{used} is used instead")));
    }

    /// Addresses of the other family, and more of them than an advert carries.
    fn families(&mut self, router: &Facts<'_>) {
        let section = router.section;
        let first = addresses(section).next();
        for (entry, ip) in addresses(section).filter(|(_, ip)| ip.is_ipv6() != router.is_v6) {
            let mut finding = self.wrong_family(router, ip, "address").at(entry.subject_span());
            if let Some((first, _)) = first {
                finding =
                    finding.related(first.subject_span(), "the first address gives the family");
            }
            self.tell(finding.help(
                "move it to `virtual_ipaddress_excluded`, or to a virtual router of its own",
            ));
        }
        for entry in section.lines(instance::UNICAST_PEER) {
            if let Some(ip) = ip_of(entry).filter(|ip| ip.is_ipv6() != router.is_v6) {
                let finding =
                    self.wrong_family(router, ip, "unicast peer").at(entry.subject_span());
                self.tell(finding.help("give the peer's address of the other family"));
            }
        }
        for key in [instance::UNICAST_SRC_IP, instance::MCAST_SRC_IP, instance::MCAST_DST_IP] {
            if let Some(ip) = section.ip(key).filter(|ip| ip.is_ipv6() != router.is_v6) {
                let what = key.keyword().name;
                let finding = self.wrong_family(router, ip, what).at(value_span(section, key));
                self.tell(finding.help("give an address of the other family"));
            }
        }
        let (count, most) = (router.addresses().count(), router.most_addresses());
        if count > most {
            let over = router.addresses().nth(most).map(|(entry, _)| entry.subject_span());
            let message = format!(
                "`{}` has {count} addresses, but an advert carries {most} at most",
                router.name()
            );
            self.tell(
                Diagnostic::new(codes::TOO_MANY_ADDRESSES, over.unwrap_or_default(), message)
                    .label("from here on adverts don't list them")
                    .help("move them to `virtual_ipaddress_excluded`, on all routers alike"),
            );
        }
    }

    fn wrong_family(&mut self, router: &Facts<'_>, ip: IpAddr, what: &str) -> Unplaced {
        let family = |is_v6: bool| if is_v6 { "IPv6" } else { "IPv4" };
        Unplaced(format!(
            "{what} `{ip}` is {}, but `{}` is a virtual router of {}",
            family(ip.is_ipv6()),
            router.name(),
            family(router.is_v6)
        ))
    }

    /// What doesn't go together with `nopreempt` and `preempt_delay`.
    fn preemption(&mut self, router: &Facts<'_>) {
        let section = router.section;
        let delayed = section.time(instance::PREEMPT_DELAY).is_some_and(|delay| !delay.is_zero());
        let delay = delayed.then_some(instance::PREEMPT_DELAY);
        let never = section.get(instance::NOPREEMPT).map(|setting| setting.key);
        for key in never.into_iter().chain(delay) {
            let (name, span) = (key.keyword().name, keyword_span(section, key));
            if router.is_owner() && key == instance::NOPREEMPT {
                let message = format!(
                    "`{name}` doesn't work with priority 255: the owner of addresses always takes them"
                );
                let finding = Diagnostic::new(codes::NOT_WITH_OWNER, span, message)
                    .label("left out")
                    .related(priority_span(router), "priority 255 comes from here")
                    .help("give it a priority below 255, or remove this line");
                self.tell(finding);
            } else if router.starts_master {
                let message = format!("`{name}` doesn't work with `state MASTER`");
                let finding = Diagnostic::new(codes::NOT_WITH_MASTER, span, message)
                    .label("left out")
                    .related(value_span(section, instance::STATE), "the state is given here")
                    .help("write `state BACKUP`, on all routers that share the addresses");
                self.tell(finding);
            }
        }
        if let (Some(never), Some(delay)) = (never, delay)
            && !router.starts_master
        {
            let message =
                "`preempt_delay` doesn't work with `nopreempt`: there is nothing to delay";
            let finding =
                Diagnostic::new(codes::NOT_WITH_NOPREEMPT, keyword_span(section, delay), message)
                    .label("left out")
                    .related(keyword_span(section, never), "given here")
                    .help("remove one of the two");
            self.tell(finding);
        }
    }

    fn authentication(&mut self, router: &Facts<'_>) {
        if router.section.blocks(instance::AUTH_HMAC).next().is_some() {
            let span = keyword_span(router.section, instance::AUTH_HMAC);
            let message = "adverts are neither signed nor verified as `auth_hmac` says";
            let finding = Diagnostic::new(codes::NOT_SIGNED, span, message)
                .label("a keepalived that enforces it won't hear this virtual router")
                .help("leave it out, on all routers that share the addresses");
            self.tell(finding);
        }
        let Some(block) = router.section.blocks(instance::AUTHENTICATION).last() else { return };
        let span = keyword_span(router.section, instance::AUTHENTICATION);
        if router.version == Version::V3 {
            let finding =
                Diagnostic::new(codes::NOT_IN_VERSION, span, "VRRPv3 has no `authentication`")
                    .label("the block is left out")
                    .help("remove it; with `version 2` it would work, for IPv4");
            self.tell(finding);
            return;
        }
        match block.get(authentication::AUTH_PASS) {
            None if !block.refused.contains(&authentication::AUTH_PASS) => {
                let finding = Diagnostic::new(
                    codes::NO_PASSWORD,
                    span,
                    "this `authentication` has no password",
                )
                .label("the block is left out")
                .help("add a line such as `auth_pass secret`");
                self.tell(finding);
            }
            Some(setting) if setting.text().is_some_and(|text| text.len() > 8) => {
                let message = "this `auth_pass` is longer than the eight bytes that VRRPv2 carries";
                let finding = Diagnostic::new(codes::PASSWORD_CUT, setting.value_span(), message)
                    .label("only the first eight bytes count")
                    .help("shorten it to eight bytes, on all routers alike");
                self.tell(finding);
            }
            _ => {}
        }
    }

    fn unicast(&mut self, router: &Facts<'_>) {
        let section = router.section;
        if !router.unicast {
            for key in [
                instance::UNICAST_TTL,
                instance::CHECK_UNICAST_SRC,
                instance::UNICAST_SRC_IP,
                instance::OLD_UNICAST_CHECKSUM,
            ] {
                let Some(setting) = section.get(key) else { continue };
                if section.is_set(instance::UNICAST_FAULT_NO_PEER)
                    || section.refused.contains(&instance::UNICAST_PEER)
                {
                    continue;
                }
                let name = key.keyword().name;
                let message = format!("`{name}` without `unicast_peer`: adverts are multicast");
                let finding = Diagnostic::new(codes::NEEDS_PEERS, setting.span, message);
                self.tell(if key == instance::UNICAST_SRC_IP {
                    finding.help("list the other routers in `unicast_peer { … }`, or write `mcast_src_ip` if multicast is meant")
                } else {
                    finding.help("list the other routers in `unicast_peer { … }`, or remove this line")
                });
            }
        }
        if router.unicast
            && section.get(instance::USE_VMAC).is_some()
            && section.get(instance::VMAC_XMIT_BASE).is_none()
        {
            let message = "`use_vmac` with `unicast_peer` needs `vmac_xmit_base`";
            let finding = Diagnostic::new(
                codes::NEEDS_XMIT_BASE,
                keyword_span(section, instance::USE_VMAC),
                message,
            )
            .label("taken as given")
            .help("add a line `vmac_xmit_base`");
            self.tell(finding);
        }
        let vrid = router.vrid.unwrap_or_default();
        for item in section.get(instance::USE_VMAC).map_or(&[][..], |setting| setting.items()) {
            let Datum::Mac(mac) = &item.datum else { continue };
            if given_mac(mac, router.is_v6, vrid).is_some() {
                continue;
            }
            let message = "`use_vmac` can't use this MAC address";
            let finding = Diagnostic::new(codes::NOT_A_VMAC, item.span, message)
                .label("the virtual MAC of its virtual_router_id is used")
                .help("those of the RFC (00:00:5e:00:01 and 00:00:5e:00:02) and multicast ones are not to be given");
            self.tell(finding);
        }
        if let Some(setting) = section.get(instance::MCAST_DST_IP) {
            self.multicast(setting.key, section);
        }
        let mut seen = HashSet::new();
        for entry in section.lines(instance::UNICAST_PEER) {
            if let Some(ip) = ip_of(entry).filter(|ip| !seen.insert(*ip)) {
                let message = format!("peer `{ip}` is listed twice");
                let finding =
                    Diagnostic::new(codes::DUPLICATE_ENTRY, entry.subject_span(), message);
                self.tell(finding.label("ignored").help("remove one of the two lines"));
            }
        }
    }

    /// What stands for the whole daemon.
    pub(super) fn global_settings(&mut self, globals: &Section) {
        for key in [global::VRRP_MCAST_GROUP4, global::VRRP_MCAST_GROUP6] {
            if globals.get(key).is_some() {
                self.multicast(key, globals);
            }
        }
    }

    fn multicast(&mut self, key: Key, section: &Section) {
        let Some(ip) = section.ip(key).filter(|ip| !ip.is_multicast()) else { return };
        let example = if ip.is_ipv4() { "224.0.0.18" } else { "ff02::12" };
        let message = format!("`{ip}` isn't a multicast group");
        let finding = Diagnostic::new(codes::NOT_MULTICAST, value_span(section, key), message)
            .label("left out")
            .help(format!("give a group such as {example}, or remove the line"));
        self.tell(finding);
    }

    /// What it tracks.
    pub(super) fn tracking(&mut self, router: &Facts<'_>) {
        let section = router.section;
        for entry in section.lines(instance::TRACK_INTERFACE) {
            let Some(name) = entry.name() else { continue };
            let weight = entry.get(tracking::interface::WEIGHT);
            let weighted = weight.is_some_and(|weight| weight.int() != Some(0));
            if Some(name) == router.interface
                && !weighted
                && !section.is_set(instance::DONT_TRACK_PRIMARY)
            {
                let message = format!(
                    "`{}` tracks its own interface {name}, which it does anyway",
                    router.name()
                );
                let finding = Diagnostic::new(codes::SELF_TRACKED, entry.subject_span(), message);
                self.tell(finding.label("ignored").help("remove the line"));
            }
        }
        for (key, weight) in [
            (instance::TRACK_INTERFACE, tracking::interface::WEIGHT),
            (instance::TRACK_SCRIPT, tracking::script_use::WEIGHT),
            (instance::TRACK_FILE, tracking::file_use::WEIGHT),
            (instance::TRACK_PROCESS, tracking::process_use::WEIGHT),
            (instance::TRACK_BFD, tracking::bfd_use::WEIGHT),
            (instance::VIPRD_TRACK_SET, tracking::set_use::WEIGHT),
        ] {
            let mut seen = HashSet::new();
            for entry in section.lines(key) {
                let Some(name) = entry.name() else { continue };
                if !seen.insert(name) {
                    let message = format!("`{name}` is tracked twice");
                    let finding =
                        Diagnostic::new(codes::DUPLICATE_TRACK, entry.subject_span(), message);
                    self.tell(finding.label("ignored").help("remove one of the two lines"));
                }
                let weight = entry.get(weight).filter(|weight| weight.int() != Some(0));
                if let Some(weight) = weight.filter(|_| router.is_owner()) {
                    let message = format!(
                        "this weight has no effect: the priority of `{}` is 255, which never changes",
                        router.name()
                    );
                    let finding =
                        Diagnostic::new(codes::WEIGHT_IGNORED, weight.value_span(), message)
                            .label("the line is ignored")
                            .related(priority_span(router), "priority 255 comes from here")
                            .help("give it a priority below 255, or remove the weight");
                    self.tell(finding);
                }
            }
        }
    }

    fn contradiction(&mut self, section: &Section, one: Key, other: Key) {
        let position = |key: Key| section.settings.iter().position(|setting| setting.key == key);
        let (Some(first), Some(second)) = (position(one), position(other)) else { return };
        let (first, second) = (first.min(second), first.max(second));
        let (Some(first), Some(second)) =
            (section.settings.get(first), section.settings.get(second))
        else {
            return;
        };
        let (before, after) = (first.key.keyword().name, second.key.keyword().name);
        let message = format!("`{after}` contradicts `{before}`");
        let finding = Diagnostic::new(codes::CONTRADICTION, second.span, message)
            .label("this one holds")
            .related(first.span, "given here")
            .help("remove one of the two");
        self.tell(finding);
    }
}

/// A finding's message, still without its place.
struct Unplaced(String);

impl Unplaced {
    fn at(self, span: crate::config::source::TextSpan) -> Diagnostic {
        Diagnostic::new(codes::WRONG_FAMILY, span, self.0).label("left out")
    }
}

/// Where a priority of 255 comes from: the priority, or the state without one.
pub(super) fn priority_span(router: &Facts<'_>) -> crate::config::source::TextSpan {
    let given = router
        .section
        .get(instance::PRIORITY)
        .filter(|setting| matches!(setting.datum(), Some(Datum::Int(_))));
    match given {
        Some(setting) => setting.value_span(),
        None => value_span(router.section, instance::STATE),
    }
}
