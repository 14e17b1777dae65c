//! `vrrp_strict`: what it forbids, what it needs, and the trap in it.

use super::router::priority_span;
use super::{Check, keyword_span, name_span, value_span};
use crate::config::diagnostic::{Diagnostic, codes};
use crate::config::facts::Facts;
use crate::config::keywords::{Key, global, instance};
use crate::config::model::Section;
use crate::config::source::TextSpan;
use crate::wire::Version;

impl Check<'_> {
    /// Checks a virtual router that keeps strictly to the RFCs.
    pub(super) fn strict(&mut self, router: &Facts<'_>) {
        let section = router.section;
        let origin = strict_span(router);
        let set = |key: Key| section.get(key).is_some() && section.bool(key) != Some(false);
        let delayed = section.time(instance::PREEMPT_DELAY).is_some_and(|delay| !delay.is_zero());
        let repeats = section.int(instance::GARP_LOWER_PRIO_REPEAT).is_some_and(|n| n > 0);
        let down = section.int(instance::DOWN_TIMER_ADVERTS).is_some_and(|n| n != 3);
        let answers = section.bool(instance::LOWER_PRIO_NO_ADVERT) == Some(false);
        for (key, given) in [
            (instance::AUTHENTICATION, set(instance::AUTHENTICATION)),
            (instance::PREEMPT_DELAY, delayed && !router.starts_master),
            (instance::DOWN_TIMER_ADVERTS, down),
            (instance::HIGHER_PRIO_SEND_ADVERT, set(instance::HIGHER_PRIO_SEND_ADVERT)),
            (instance::LOWER_PRIO_NO_ADVERT, answers),
            (instance::GARP_LOWER_PRIO_REPEAT, repeats),
            (instance::VMAC_XMIT_BASE, set(instance::VMAC_XMIT_BASE)),
            (instance::UNICAST_PEER, section.lines(instance::UNICAST_PEER).next().is_some()),
            (instance::ACCEPT, set(instance::ACCEPT) && router.version == Version::V2),
        ] {
            if !given {
                continue;
            }
            let name = key.keyword().name;
            let message =
                format!("`{name}` isn't possible with `vrrp_strict`: the VRRP RFCs don't have it");
            self.tell(
                Diagnostic::new(codes::NOT_WITH_STRICT, keyword_span(section, key), message)
                    .label("left out")
                    .related(origin, "strictness is asked for here")
                    .help(format!("remove `vrrp_strict` or `{name}`")),
            );
        }
        if router.starts_master != router.is_owner() {
            let (span, message) = if router.starts_master {
                (
                    value_span(section, instance::STATE),
                    "with `vrrp_strict`, `state MASTER` needs priority 255",
                )
            } else {
                (priority_span(router), "with `vrrp_strict`, priority 255 needs `state MASTER`")
            };
            self.strict_needs(
                span,
                message,
                origin,
                "change the state or the priority, or remove `vrrp_strict`",
            );
        }
        let first = router.addresses().next();
        match first {
            None => self.strict_needs(
                name_span(section),
                "with `vrrp_strict`, a virtual router needs an address",
                origin,
                "list one in `virtual_ipaddress { … }`, or remove `vrrp_strict`",
            ),
            Some((entry, std::net::IpAddr::V6(ip))) if !ip.is_unicast_link_local() => self.strict_needs(
                entry.subject_span(),
                "with `vrrp_strict`, the first IPv6 address must be a link-local one (RFC 9568 section 5.2.9)",
                origin,
                "put an address of fe80::/10 first, or remove `vrrp_strict`",
            ),
            Some(_) => {}
        }
    }

    /// What nobody expects of `vrrp_strict`: told once for the whole file.
    pub(super) fn strict_in_general(&mut self, globals: &Section, routers: &[Facts<'_>]) {
        let Some(setting) = globals.get(global::VRRP_STRICT) else { return };
        let silent = |router: &&Facts<'_>| {
            let accepts = router.section.is_set(instance::ACCEPT) && router.version == Version::V3;
            router.strict && !router.is_owner() && !accepts
        };
        let Some(router) = routers.iter().find(silent) else { return };
        let message = format!(
            "with `vrrp_strict`, addresses of virtual routers that don't own them, such as `{}`, take no traffic: no ping, no TCP",
            router.name()
        );
        self.tell(
            Diagnostic::new(codes::STRICT_NO_ACCEPT, setting.span, message)
                .help("remove `vrrp_strict` if the addresses are to be reached")
                .help("or write `accept` into the virtual router, with `version 3`"),
        );
    }

    fn strict_needs(&mut self, span: TextSpan, message: &str, origin: TextSpan, help: &str) {
        self.tell(
            Diagnostic::new(codes::STRICT_NEEDS, span, message)
                .related(origin, "strictness is asked for here")
                .help(help),
        );
    }
}

/// Where strictness comes from.
fn strict_span(router: &Facts<'_>) -> TextSpan {
    match router.section.get(instance::STRICT_MODE) {
        Some(setting) => setting.span,
        None => keyword_span(router.globals, global::VRRP_STRICT),
    }
}
