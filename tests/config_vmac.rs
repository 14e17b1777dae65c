//! What `use_vmac`, its relatives and the accept mode come to: parameters and interfaces.

use std::path::Path;

use viprd::base::{LinkId, Mac};
use viprd::config::{self, Configuration, MemoryFiles, Options};

fn load(globals: &str, instances: &[(&str, &str, &str)]) -> Configuration {
    let mut text = format!("global_defs {{\n vrrp_version 3\n {globals}\n}}\n");
    for (number, (interface, words, addresses)) in instances.iter().enumerate() {
        let addresses = addresses.replace(", ", "\n  ");
        text += &format!(
            "vrrp_instance VI_{number} {{\n interface {interface}\n {words}\n \
             virtual_ipaddress {{\n  {addresses}\n }}\n}}\n"
        );
    }
    let files = MemoryFiles::new().with("test.conf", text);
    let loaded = config::load(Path::new("test.conf"), &files, &Options::default());
    loaded.configuration.expect("a configuration that can run")
}

/// The names of the macvlans of a router, each with the interface below and the last byte but one
/// and the last of its MAC.
fn macvlans(configuration: &Configuration, router: usize) -> Vec<(&str, &str, [u8; 2])> {
    let name = |link: LinkId| configuration.links.name(link);
    let all = configuration.routers[router].macvlans.iter();
    all.map(|it| (name(it.link), name(it.base), [it.mac.0[4], it.mac.0[5]])).collect()
}

/// Where its addresses go.
fn homes(configuration: &Configuration, router: usize) -> Vec<&str> {
    let addresses = configuration.routers[router].addresses.iter();
    addresses.map(|address| configuration.links.name(address.link)).collect()
}

#[test]
fn names_are_keepalives_and_no_two_are_the_same() {
    let id = "virtual_router_id 51\n use_vmac";
    let configuration = load(
        "",
        &[
            ("eth0", id, "10.0.0.1"),
            ("eth1", id, "10.0.1.1"),
            ("eth2", id, "10.0.2.1"),
            ("eth3", "virtual_router_id 51\n use_vmac wan", "10.0.3.1"),
            ("eth4", "virtual_router_id 51\n use_vmac vrrp3.51", "10.0.4.1"),
            ("eth5", id, "10.0.5.1"),
            ("eth6", "virtual_router_id 7\n use_vmac eth6", "10.0.6.1"),
        ],
    );
    let names: Vec<&str> = (0..7).map(|router| macvlans(&configuration, router)[0].0).collect();
    let expected = ["vrrp.51", "vrrp1.51", "vrrp2.51", "wan", "vrrp3.51", "vrrp4.51", "vrrp.7"];
    assert_eq!(names, expected);
    assert_eq!(macvlans(&configuration, 1), [("vrrp1.51", "eth1", [1, 51])]);

    // Each family has its own.
    let both = load("", &[("eth0", id, "10.0.0.1"), ("eth0", id, "fe80::1, 2001:db8::1")]);
    assert_eq!(macvlans(&both, 0), [("vrrp.51", "eth0", [1, 51])]);
    assert_eq!(macvlans(&both, 1), [("vrrp6.51", "eth0", [2, 51])]);
    assert_eq!(homes(&both, 1), ["vrrp6.51", "vrrp6.51"]);
    assert_eq!(both.routers[1].source_mac, Some(Mac([0, 0, 0x5e, 0, 2, 51])));
    let ipv6 = |router: usize| both.routers[router].macvlans[0].ipv6;
    assert!(ipv6(1) && !ipv6(0));

    let long = "vmac_prefix a-long-prefix";
    let configuration = load(long, &[("eth0", "virtual_router_id 255\n use_vmac", "10.0.0.1")]);
    assert_eq!(macvlans(&configuration, 0)[0].0, "a-long-pref.255");
}

#[test]
fn addresses_go_where_they_are_meant_to_have_the_mac() {
    let addresses = "10.0.0.1, 10.0.0.2 dev eth0, 10.0.1.1 dev eth1, 10.0.1.2 dev eth1 use_vmac";
    let plain = load("", &[("eth0", "virtual_router_id 51", addresses)]);
    assert_eq!(homes(&plain, 0), ["eth0", "eth0", "eth1", "vrrp.51"]);
    assert_eq!(plain.routers[0].source_mac, None);

    let own = load("", &[("eth0", "virtual_router_id 51\n use_vmac", addresses)]);
    assert_eq!(homes(&own, 0), ["vrrp.51", "vrrp.51", "eth1", "vrrp1.51"]);
    assert_eq!(own.routers[0].source_mac, Some(Mac([0, 0, 0x5e, 0, 1, 51])));

    let words = "virtual_router_id 51\n use_vmac\n use_vmac_addr\n vmac_xmit_base";
    let all = load("vmac_addr_prefix va", &[("eth0", words, addresses)]);
    assert_eq!(homes(&all, 0), ["vrrp.51", "vrrp.51", "va.51", "va.51"]);
    assert_eq!(all.routers[0].source_mac, None);
    assert_eq!(macvlans(&all, 0).len(), 2);

    // Two who need the same virtual MAC on the same interface share what is made for it.
    let words = "virtual_router_id 51\n use_vmac";
    let two = load("", &[("eth0", words, addresses), ("eth1", words, "10.0.1.9")]);
    assert_eq!(homes(&two, 1), ["vrrp1.51"]);
    assert_eq!(two.routers[1].macvlans[0], two.routers[0].macvlans[1]);
}

#[test]
fn macs_and_groups_are_as_given() {
    let words = |said: &str| format!("virtual_router_id 9\n use_vmac {said}");
    let mac = |said: &str| {
        let configuration = load("", &[("eth0", &words(said), "10.0.0.1")]);
        let made = configuration.routers[0].macvlans[0];
        assert_eq!(configuration.routers[0].source_mac, Some(made.mac));
        (made.mac, made.group)
    };
    let own = Mac([0, 0, 0x5e, 0, 1, 9]);
    assert_eq!(mac("x 02:00:00:00:00:07 group 12"), (Mac([2, 0, 0, 0, 0, 7]), Some(12)));
    assert_eq!(mac("x 02:00:00:00:01"), (Mac([2, 0, 0, 0, 1, 9]), None));
    for refused in ["x 00:00:5e:00:01:08", "x 01:00:00:00:00:07", "x"] {
        assert_eq!(mac(refused), (own, None));
    }
}

#[test]
fn accept_mode_follows_strictness_and_ownership() {
    let accepts = |globals: &str, words: &str| {
        let words = format!("virtual_router_id 1\n {words}");
        load(globals, &[("eth0", &words, "10.0.0.1")]).routers[0].accept
    };
    let owner = "state MASTER\n priority 255";
    for (globals, words, expected) in [
        ("", "", true),
        ("", "no_accept", false),
        ("", "no_accept\n accept", true),
        ("", "accept\n no_accept", false),
        ("", &format!("no_accept\n {owner}"), true),
        ("vrrp_strict", "", false),
        ("vrrp_strict", "accept", true),
        ("vrrp_strict", "accept\n version 2", false),
        ("vrrp_strict", "strict_mode off", true),
        ("", "strict_mode", false),
        ("vrrp_strict", owner, true),
    ] {
        assert_eq!(accepts(globals, words), expected, "{globals} {words}");
    }
}
