//! **Choices of a virtual router → [`Conduct`]**: keepalived's switches, each given for the router or
//! else for the daemon.

use super::facts::Facts;
use super::keywords::instance::{self, authentication};
use super::keywords::{Key, global};
use crate::vrrp::Conduct;
use crate::wire::auth::Secret;
use crate::wire::{Authentication, ChecksumForm, Version};

/// How `router` behaves where there is a choice, and what its v3 checksums cover (at first).
///
/// keepalived has the pseudo-header in them, and keepalived 2.2 takes no other form: of two of them
/// one may be replaced by us, and they must go on understanding each other. So that is what we begin
/// with, and then follow whom we hear, unless the file names one form.
pub(super) fn conduct(router: &Facts<'_>) -> (Conduct, ChecksumForm) {
    let (section, globals) = (router.section, router.globals);
    let switch =
        |own: Key, common: Key| section.bool(own).or_else(|| globals.bool(common)).unwrap_or(false);
    let (checksum_form, follow_checksum) = checksum(router);
    let down_adverts = section.int(instance::DOWN_TIMER_ADVERTS);
    let down_adverts = down_adverts.or_else(|| globals.int(global::VRRP_DOWN_TIMER_ADVERTS));
    let down_adverts = down_adverts.and_then(|count| u8::try_from(count).ok()).unwrap_or(3);
    let silent = switch(instance::LOWER_PRIO_NO_ADVERT, global::VRRP_LOWER_PRIO_NO_ADVERT);
    let yields = switch(instance::HIGHER_PRIO_SEND_ADVERT, global::VRRP_HIGHER_PRIO_SEND_ADVERT);
    let old = section.get(instance::OLD_UNICAST_CHECKSUM);
    let conduct = Conduct {
        follow_checksum,
        old_checksum: old.is_none_or(|setting| setting.text() != Some("never")),
        authentication: authentication(router),
        down_adverts: if router.strict { 3 } else { down_adverts.clamp(1, 100) },
        strict: router.strict,
        skip_address_check: section
            .bool(instance::SKIP_CHECK_ADV_ADDR)
            .unwrap_or_else(|| globals.is_set(global::VRRP_SKIP_CHECK_ADV_ADDR)),
        // RFC 3768 wants losing adverts discarded, RFC 9568 wants them answered.
        answer_lower: !(silent || router.strict && router.version == Version::V2),
        advertise_when_yielding: yields && !router.strict,
        ignore_as_owner: switch(instance::OWNER_IGNORE_ADVERTS, global::VRRP_OWNER_IGNORE_ADVERTS),
        also_v2: section.is_set(instance::VIPRD_ALSO_V2)
            && router.version == Version::V3
            && !router.is_v6,
        promote_secondaries: section.is_set(instance::PROMOTE_SECONDARIES),
    };
    (conduct, checksum_form)
}

/// What v3's checksum over IPv4 covers, and whether it follows others'.
fn checksum(router: &Facts<'_>) -> (ChecksumForm, bool) {
    let (section, globals) = (router.section, router.globals);
    let old = section.get(instance::OLD_UNICAST_CHECKSUM).filter(|old| old.text() != Some("never"));
    if old.is_some() && router.unicast && section.text(instance::VIPRD_V3_CHECKSUM).is_none() {
        return (ChecksumForm::GroupPseudoHeader, false);
    }
    // What is said of the router goes before what is said of all; the exact word before the switch.
    for (section, word, switch) in [
        (section, instance::VIPRD_V3_CHECKSUM, instance::V3_CHECKSUM_AS_V2),
        (globals, global::VIPRD_V3_CHECKSUM, global::V3_CHECKSUM_AS_V2),
    ] {
        match (section.text(word), section.bool(switch)) {
            (Some("rfc9568"), _) | (None, Some(true)) => return (ChecksumForm::Message, false),
            (Some("rfc5798"), _) | (None, Some(false)) => {
                return (ChecksumForm::PseudoHeader, false);
            }
            (Some(_), _) => break,
            (None, None) => {}
        }
    }
    (ChecksumForm::PseudoHeader, true)
}

/// The authentication of a v2 router; the checks have told what is wrong with it.
fn authentication(router: &Facts<'_>) -> Authentication {
    let block = router.section.blocks(instance::AUTHENTICATION).last();
    let Some(block) = block.filter(|_| router.version == Version::V2 && !router.strict) else {
        return Authentication::None;
    };
    let Some(password) = block.text(authentication::AUTH_PASS) else {
        return Authentication::None;
    };
    let secret = Secret::new(password.as_bytes());
    match block.text(authentication::AUTH_TYPE) {
        Some("AH") => Authentication::Header(secret),
        Some("PASS") => Authentication::Password(secret),
        // keepalived 2.2.7 sends type 0 then, and says nothing.
        _ => Authentication::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::vrrp::RouterParams;

    /// The parameters of a router with these lines, and these for the daemon.
    fn params(globals: &str, lines: &str) -> RouterParams {
        let text = format!(
            "global_defs {{\n{globals}\n}}\nvrrp_instance V {{\n interface eth0\n virtual_router_id 1\n{lines}\n \
             virtual_ipaddress {{\n 10.0.0.1\n }}\n}}\n"
        );
        let files = config::MemoryFiles::new().with("/c", text.as_str());
        let loaded = config::load(std::path::Path::new("/c"), &files, &config::Options::default());
        loaded.configuration.expect("it can run").routers.remove(0)
    }

    #[test]
    fn the_default_is_the_default() {
        let params = params("", "version 3");
        assert_eq!(params.conduct, Conduct::default());
        assert_eq!(params.checksum_form, ChecksumForm::PseudoHeader);
    }

    #[test]
    fn the_checksum_is_what_is_named_last() {
        use ChecksumForm::{GroupPseudoHeader, Message, PseudoHeader};
        let peers = "unicast_peer {\n 10.0.0.9\n}\n";
        let old = format!("{peers}old_unicast_checksum");
        let never = format!("{peers}old_unicast_checksum never");
        let named = format!("{old}\nviprd_v3_checksum rfc9568");
        for (globals, lines, expected) in [
            ("", "", (PseudoHeader, true)),
            ("v3_checksum_as_v2", "", (Message, false)),
            ("v3_checksum_as_v2", "v3_checksum_as_v2 off", (PseudoHeader, false)),
            ("v3_checksum_as_v2", "viprd_v3_checksum auto", (PseudoHeader, true)),
            ("viprd_v3_checksum rfc9568", "", (Message, false)),
            ("viprd_v3_checksum rfc9568", "viprd_v3_checksum rfc5798", (PseudoHeader, false)),
            ("", "v3_checksum_as_v2\nviprd_v3_checksum auto", (PseudoHeader, true)),
            ("v3_checksum_as_v2", &old, (GroupPseudoHeader, false)),
            ("", &named, (Message, false)),
            ("", &never, (PseudoHeader, true)),
            ("", "old_unicast_checksum", (PseudoHeader, true)),
        ] {
            let params = params(globals, &format!("version 3\n{lines}"));
            let found = (params.checksum_form, params.conduct.follow_checksum);
            assert_eq!(found, expected, "{globals} / {lines}");
            assert_eq!(params.conduct.old_checksum, !lines.ends_with("never"));
        }
    }

    #[test]
    fn authentication_is_for_version_2_only() {
        let block = |kind: &str| format!("authentication {{\n {kind}\n auth_pass secret123\n}}");
        let found = |lines: &str| params("", lines).conduct.authentication;
        let secret = Secret::new(b"secret12");
        assert_eq!(found(&block("auth_type PASS")), Authentication::Password(secret));
        assert_eq!(found(&block("auth_type AH")), Authentication::Header(secret));
        let v3 = format!("version 3\n{}", block("auth_type AH"));
        assert_eq!(found(&v3), Authentication::None);
        let strict = format!("strict_mode on\n{}", block("auth_type PASS"));
        assert_eq!(found(&strict), Authentication::None);
        assert_eq!(found("authentication {\n auth_type PASS\n}"), Authentication::None);
        assert_eq!(found(&block("")), Authentication::None, "without a type");
    }

    #[test]
    fn switches_of_the_router_go_before_the_daemons() {
        let conduct = |globals: &str, lines: &str| params(globals, lines).conduct;
        assert!(!conduct("vrrp_lower_prio_no_advert", "").answer_lower);
        assert!(conduct("vrrp_lower_prio_no_advert", "lower_prio_no_advert off").answer_lower);
        assert!(conduct("", "higher_prio_send_advert").advertise_when_yielding);
        assert_eq!(conduct("vrrp_down_timer_adverts 5", "").down_adverts, 5);
        assert_eq!(conduct("vrrp_down_timer_adverts 5", "down_timer_adverts 7").down_adverts, 7);
        assert!(conduct("vrrp_skip_check_adv_addr", "").skip_address_check);
        assert!(!conduct("vrrp_skip_check_adv_addr", "skip_check_adv_addr off").skip_address_check);
        assert!(conduct("vrrp_owner_ignore_adverts", "").ignore_as_owner);
        assert!(conduct("", "version 3\nviprd_also_v2").also_v2);
        assert!(!conduct("", "viprd_also_v2").also_v2);
    }

    #[test]
    fn strictness_takes_the_letter_of_each_version() {
        let conduct = |lines: &str| params("vrrp_strict", lines).conduct;
        let v2 = conduct("down_timer_adverts 7\nhigher_prio_send_advert");
        assert!(v2.strict && !v2.answer_lower && !v2.advertise_when_yielding);
        assert_eq!(v2.down_adverts, 3);
        assert!(conduct("version 3").answer_lower, "RFC 9568 section 6.4.3");
        let unicast = "unicast_fault_no_peer\nunicast_peer {\n 10.0.0.2\n}";
        assert_eq!(params("vrrp_strict", unicast).transport.unicast, None);
        let garp = params("vrrp_strict", "").garp;
        assert_eq!(garp.lower_priority_repeat, 0);
    }
}
