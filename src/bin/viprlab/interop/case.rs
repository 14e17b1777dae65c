//! **What is configured**: the cases of the matrix, and the files that each daemon reads.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use viprd::base::Mac;

use crate::daemon::Program;

use super::wire::{Advert, Checksum};

/// The id of the virtual router.
pub(super) const VRID: u8 = 51;

/// The link that carries everything.
pub(super) const LINK: &str = "eth0";

/// One way to configure both daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// The daemon that plays beside viprd.
    pub(crate) peer: Program,
    /// Its name on the command line.
    pub(crate) name: &'static str,
    version: u8,
    family: Family,
    unicast: bool,
    virtual_mac: bool,
    authentication: Authentication,
    checksum: Form,
}

/// How adverts of v2 prove where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authentication {
    None,
    Password,
    Header,
}

/// What viprd is told of the checksum of v3 over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing: it does as the others do.
    Auto,
    /// The message alone.
    Rfc9568,
    /// With a pseudo-header.
    Rfc5798,
}

/// What carries the adverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Who shall be master while both are well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one of higher priority.
    Preferred,
    /// The one that takes over.
    Other,
}

/// What a configuration has to say of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The host's own address.
    pub(super) own: IpAddr,
    /// That of the other host.
    pub(super) theirs: IpAddr,
}

/// The matrix, in the order in which it is shown.
pub(crate) const CASES: &[Case] = &[
    Case::of(Program::Keepalived, "v2", 2, Family::V4),
    Case::of(Program::Keepalived, "v2-unicast", 2, Family::V4).unicast(),
    Case::of(Program::Keepalived, "v2-vmac", 2, Family::V4).virtual_mac(),
    Case::of(Program::Keepalived, "v2-pass", 2, Family::V4)
        .authentication(Authentication::Password),
    Case::of(Program::Keepalived, "v2-ah", 2, Family::V4).authentication(Authentication::Header),
    Case::of(Program::Keepalived, "v2-unicast-ah", 2, Family::V4)
        .unicast()
        .authentication(Authentication::Header),
    Case::of(Program::Keepalived, "v3", 3, Family::V4),
    Case::of(Program::Keepalived, "v3-rfc5798", 3, Family::V4).checksum(Form::Rfc5798),
    Case::of(Program::Keepalived, "v3-rfc9568", 3, Family::V4).checksum(Form::Rfc9568),
    Case::of(Program::Keepalived, "v3-unicast", 3, Family::V4).unicast(),
    Case::of(Program::Keepalived, "v3-vmac", 3, Family::V4).virtual_mac(),
    Case::of(Program::Keepalived, "v3-ipv6", 3, Family::V6),
    Case::of(Program::Keepalived, "v3-ipv6-unicast", 3, Family::V6).unicast(),
    Case::of(Program::Keepalived, "v3-ipv6-vmac", 3, Family::V6).virtual_mac(),
    Case::of(Program::Frr, "v2", 2, Family::V4),
    Case::of(Program::Frr, "v2-vmac", 2, Family::V4).virtual_mac(),
    Case::of(Program::Frr, "v3", 3, Family::V4),
    Case::of(Program::Frr, "v3-vmac", 3, Family::V4).virtual_mac(),
    Case::of(Program::Frr, "v3-ipv6", 3, Family::V6),
    Case::of(Program::Frr, "v3-ipv6-vmac", 3, Family::V6).virtual_mac(),
];

/// Since when keepalived knows the checksum of RFC 9568.
const AS_V2_SINCE: [u32; 3] = [2, 2, 8];

const ADDRESSES_V4: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::new(10, 9, 0, 50))];

/// The first one is link-local, as RFC 9568 section 5.2.9 wants it.
const ADDRESSES_V6: &[IpAddr] = &[
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x50)),
];

impl Case {
    const fn of(peer: Program, name: &'static str, version: u8, family: Family) -> Self {
        Case {
            peer,
            name,
            version,
            family,
            unicast: false,
            virtual_mac: false,
            authentication: Authentication::None,
            checksum: Form::Auto,
        }
    }

    const fn authentication(self, authentication: Authentication) -> Self {
        Case { authentication, ..self }
    }

    const fn checksum(self, checksum: Form) -> Self {
        Case { checksum, ..self }
    }

    const fn unicast(self) -> Self {
        Case { unicast: true, ..self }
    }

    /// viprd and keepalived use the virtual MAC; FRR has no other way.
    const fn virtual_mac(self) -> Self {
        Case { virtual_mac: true, ..self }
    }

    /// How often the master advertises: as often as keeps a row short, with room for a busy machine.
    pub(super) fn interval(&self) -> Duration {
        if self.version == 2 { Duration::from_secs(1) } else { Duration::from_millis(200) }
    }

    /// How long a router waits after an advert of priority 0: RFC 3768 and RFC 9568, section 6.1 of
    /// each.
    pub(super) fn skew(&self, role: Role) -> Duration {
        self.interval() * (256 - u32::from(role.priority())) / 256
    }

    /// How long it waits for a master that says nothing.
    pub(super) fn master_down(&self, role: Role) -> Duration {
        3 * self.interval() + self.skew(role)
    }

    /// The addresses that move.
    pub(super) fn addresses(&self) -> &'static [IpAddr] {
        match self.family {
            Family::V4 => ADDRESSES_V4,
            Family::V6 => ADDRESSES_V6,
        }
    }

    /// Whether they are of IPv6.
    pub(super) fn is_ipv6(&self) -> bool {
        self.family == Family::V6
    }

    /// Whether the hosts have to know where each other's address lives.
    pub(super) fn is_unicast(&self) -> bool {
        self.unicast
    }

    /// `VRRPv3, IPv6, unicast`, for people.
    pub(crate) fn title(&self) -> String {
        let family = if self.is_ipv6() { "IPv6" } else { "IPv4" };
        let mut title = format!("VRRPv{}, {family}", self.version);
        for (is_so, words) in [
            (self.unicast, "unicast"),
            (self.virtual_mac, "virtual MAC"),
            (self.authentication == Authentication::Password, "password"),
            (self.authentication == Authentication::Header, "authentication header"),
            (self.checksum == Form::Rfc5798, "checksum with pseudo-header"),
            (self.checksum == Form::Rfc9568, "checksum of the message alone"),
        ] {
            if is_so {
                let _ = write!(title, ", {words}");
            }
        }
        title
    }

    /// Why the peer of this version (as keepalived gives its own) can't play this case, if so.
    pub(super) fn impossible(&self, version: &str) -> Option<String> {
        if self.peer != Program::Keepalived || self.checksum != Form::Rfc9568 {
            return None;
        }
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
        (version < AS_V2_SINCE).then(|| {
            let words = |version: [u32; 3]| version.map(|number| number.to_string()).join(".");
            let (has, since) = (words(version), words(AS_V2_SINCE));
            format!("keepalived {has} can't be told to: v3_checksum_as_v2 is there since {since}")
        })
    }

    /// What is wrong with an advert that `program` has sent, should it not be one of this case.
    pub(super) fn misfit(&self, program: Program, advert: &Advert) -> Option<String> {
        let with_virtual_mac = self.virtual_mac || program == Program::Frr;
        let family = if self.is_ipv6() { 6 } else { 4 };
        let says = |what: &str, has: String, wants: String| {
            (has != wants).then(|| format!("its adverts have {what} {has}, not {wants}"))
        };
        says("version", advert.version.to_string(), self.version.to_string())
            .or_else(|| says("IP version", advert.ip_version.to_string(), family.to_string()))
            .or_else(|| says("the id", advert.vrid.to_string(), VRID.to_string()))
            .or_else(|| match (with_virtual_mac, advert.source == self.mac()) {
                (true, false) => Some(format!("its adverts come from {}", advert.source)),
                (false, true) => Some("its adverts come from the virtual MAC".into()),
                _ => None,
            })
            .or_else(|| match (self.unicast, advert.to_group) {
                (true, true) => Some("its adverts go to the group".into()),
                (false, false) => Some("its adverts don't go to the group".into()),
                _ => None,
            })
            .or_else(|| {
                let wants = match self.authentication {
                    Authentication::None => (0, false),
                    Authentication::Password => (1, false),
                    Authentication::Header => (2, true),
                };
                let has = (advert.authentication, advert.signed);
                (has != wants).then(|| "its adverts have another authentication".into())
            })
            .or_else(|| {
                let with_header = self.is_ipv6() || self.checksum != Form::Rfc9568;
                let wants = match self.version == 3 && with_header {
                    true => Checksum::PseudoHeader,
                    false => Checksum::Message,
                };
                says("a checksum of", format!("{:?}", advert.checksum), format!("{wants:?}"))
            })
    }

    /// The virtual MAC (RFC 9568 section 7.3).
    pub(super) fn mac(&self) -> Mac {
        Mac([0, 0, 0x5e, 0, if self.is_ipv6() { 2 } else { 1 }, VRID])
    }

    /// The file that `program` reads as `role`.
    pub(super) fn config(&self, program: Program, role: Role, ends: Ends) -> String {
        match program {
            Program::Frr => self.frr_config(role),
            Program::Viprd => {
                let words = match self.checksum {
                    Form::Auto => "",
                    Form::Rfc9568 => "    viprd_v3_checksum rfc9568\n",
                    Form::Rfc5798 => "    viprd_v3_checksum rfc5798\n",
                };
                self.keepalived_config(role, ends, words)
            }
            Program::Keepalived => {
                let as_v2 = self.checksum == Form::Rfc9568;
                let words = if as_v2 { "    v3_checksum_as_v2\n" } else { "" };
                self.keepalived_config(role, ends, words)
            }
        }
    }

    /// In keepalived's language, with `words` that only one of the two understands.
    fn keepalived_config(&self, role: Role, ends: Ends, words: &str) -> String {
        let mut text = format!(
            "vrrp_instance R {{\n    version {}\n    state BACKUP\n    interface {LINK}\n    \
             virtual_router_id {VRID}\n    priority {}\n    advert_int {}\n",
            self.version,
            role.priority(),
            self.interval().as_secs_f64(),
        );
        text.push_str(words);
        if self.virtual_mac {
            text.push_str("    use_vmac\n");
        }
        let authentication = match self.authentication {
            Authentication::None => None,
            Authentication::Password => Some("PASS"),
            Authentication::Header => Some("AH"),
        };
        if let Some(authentication) = authentication {
            let _ = writeln!(
                text,
                "    authentication {{\n        auth_type {authentication}\n        \
                 auth_pass between\n    }}"
            );
        }
        if self.unicast {
            let Ends { own, theirs } = ends;
            let _ = writeln!(
                text,
                "    unicast_src_ip {own}\n    unicast_peer {{\n        {theirs}\n    }}"
            );
        }
        text.push_str("    virtual_ipaddress {\n");
        for address in self.addresses() {
            let length = if self.is_ipv6() { 64 } else { 24 };
            let _ = writeln!(text, "        {address}/{length}");
        }
        text.push_str("    }\n}\n");
        text
    }

    /// In FRR's.
    fn frr_config(&self, role: Role) -> String {
        let mut text = format!(
            "debug vrrp protocol\ninterface {LINK}\n vrrp {VRID} version {}\n vrrp {VRID} priority \
             {}\n vrrp {VRID} advertisement-interval {}\n",
            self.version,
            role.priority(),
            self.interval().as_millis(),
        );
        let word = if self.is_ipv6() { "ipv6" } else { "ip" };
        for address in self.addresses() {
            let _ = writeln!(text, " vrrp {VRID} {word} {address}");
        }
        text.push_str("exit\n");
        text
    }
}

impl Role {
    /// Both.
    pub(super) const BOTH: [Role; 2] = [Role::Preferred, Role::Other];

    /// Its priority.
    pub(super) fn priority(self) -> u8 {
        match self {
            Role::Preferred => 200,
            Role::Other => 100,
        }
    }

    /// The one beside it.
    pub(super) fn other(self) -> Role {
        match self {
            Role::Preferred => Role::Other,
            Role::Other => Role::Preferred,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        own: IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)),
        theirs: IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)),
    };

    const ENDS_V6: Ends = Ends {
        own: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
        theirs: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2)),
    };

    #[test]
    fn no_two_cases_of_a_peer_have_one_name() {
        let mut names: Vec<_> = CASES.iter().map(|case| (case.peer.name(), case.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }

    #[test]
    fn times_are_those_of_the_rfcs() {
        let v2 = Case::of(Program::Keepalived, "", 2, Family::V4);
        assert_eq!(v2.skew(Role::Other), Duration::from_micros(609_375));
        assert_eq!(v2.master_down(Role::Preferred), Duration::from_micros(3_218_750));
        let v3 = Case::of(Program::Keepalived, "", 3, Family::V6);
        assert_eq!(v3.master_down(Role::Other), Duration::from_micros(721_875));
    }

    #[test]
    fn the_viprd_library_understands_the_files() {
        use std::path::Path;
        use viprd::config::{MemoryFiles, Options, Severity, load};
        for case in CASES {
            let ends = if case.is_ipv6() { ENDS_V6 } else { ENDS };
            let text = case.config(Program::Viprd, Role::Other, ends);
            let files = MemoryFiles::new().with("/c", text.clone());
            let loaded = load(Path::new("/c"), &files, &Options::default());
            assert_eq!(loaded.diagnostics.count(Severity::Error), 0, "{}: {text}", case.name);
            assert_eq!(loaded.diagnostics.count(Severity::Warning), 0, "{}: {text}", case.name);
            assert_eq!(loaded.configuration.map(|c| c.routers.len()), Some(1), "{text}");
        }
    }

    #[test]
    fn an_old_keepalived_is_not_asked_for_the_new_checksum() {
        let new = Case::of(Program::Keepalived, "", 3, Family::V4).checksum(Form::Rfc9568);
        assert!(new.impossible("2.2.7").is_some_and(|why| why.contains("2.2.7")));
        assert_eq!((new.impossible("2.2.8"), new.impossible("2.10")), (None, None));
        assert_eq!(new.checksum(Form::Auto).impossible("1.2.2"), None);
    }

    #[test]
    fn an_advert_of_another_case_is_told_from_one_of_this() {
        let case = Case::of(Program::Keepalived, "", 3, Family::V4);
        let advert = Advert {
            version: 3,
            ip_version: 4,
            vrid: VRID,
            priority: 100,
            source: Mac([2, 0, 0, 0, 0, 1]),
            to_group: true,
            authentication: 0,
            signed: false,
            checksum: Checksum::PseudoHeader,
        };
        assert_eq!(case.misfit(Program::Viprd, &advert), None);
        let misfit = |case: Case, advert: Advert| case.misfit(Program::Viprd, &advert);
        assert!(misfit(case, Advert { version: 2, ..advert }).is_some());
        assert!(misfit(case, Advert { checksum: Checksum::Wrong, ..advert }).is_some());
        assert!(misfit(case.checksum(Form::Rfc9568), advert).is_some());
        assert!(misfit(case.authentication(Authentication::Header), advert).is_some());
        assert!(misfit(case.unicast(), advert).is_some());
        assert!(misfit(case.virtual_mac(), advert).is_some());
        assert!(case.misfit(Program::Frr, &advert).is_some());
        let virtual_mac = Advert { source: case.mac(), ..advert };
        assert_eq!(misfit(case.virtual_mac(), virtual_mac), None);
        assert_eq!(case.misfit(Program::Frr, &virtual_mac), None);
    }
}
