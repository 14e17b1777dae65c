//! Beside a real keepalived, as backup and as master of the same virtual router.

use std::time::Duration;

use crate::keepalived::Keepalived;
use crate::site::{Site, able, eventually};
use crate::viprd::{Viprd, router};

/// keepalived is master; viprd hears it, displaces it, and leaves: keepalived has to understand all
/// of what viprd says, and viprd what keepalived says.
fn turn_and_turn_about(words: &str) {
    if !able(&["keepalived"]) {
        return;
    }
    let site = Site::pair();
    let configuration = router(&format!("priority 100\n  {words}"));
    let peer = Keepalived::start(&site, "n", &configuration);
    peer.logs("Entering MASTER STATE", 1);

    let viprd = Viprd::start(&site, "r", &router(&format!("priority 250\n  {words}")));
    eventually("viprd hears keepalived", || (viprd.status()["master"] == "10.9.0.2").then_some(()));
    viprd.becomes("MASTER");
    peer.logs("Entering BACKUP STATE", 2);
    // It follows us, for longer than it would wait.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(peer.log().matches("Entering MASTER STATE").count(), 1, "{}", peer.log());
    let counters = viprd.counters();
    for (name, value) in counters.as_object().expect("counters") {
        let fine = !(name.contains("auth") || name.contains("error"));
        assert!(fine || value == 0, "{name}: {value}");
    }
    // Leaving is understood: keepalived needs no more than its skew.
    viprd.stop();
    peer.logs("Entering MASTER STATE", 2);

    // And the other way about: keepalived outranks viprd.
    let viprd = Viprd::start(&site, "r", &router(&format!("priority 50\n  {words}")));
    eventually("viprd follows keepalived", || {
        (viprd.counters()["advertisement_rcvd"].as_u64() >= Some(5)).then_some(())
    });
    assert_eq!(viprd.state(), "BACKUP");
    peer.stop();
    viprd.becomes("MASTER");
    assert_eq!(viprd.ask(&["show", "VI_1"])["cause"]["event"], "master-resigned");
    viprd.stop();
}

#[test]
fn keepalived_without_authentication() {
    turn_and_turn_about("version 2");
}

#[test]
fn keepalived_with_a_password() {
    turn_and_turn_about("authentication {\n    auth_type PASS\n    auth_pass secret12\n  }");
}

#[test]
fn keepalived_with_a_short_password() {
    turn_and_turn_about("authentication {\n    auth_type PASS\n    auth_pass abc\n  }");
}

#[test]
fn keepalived_with_an_authentication_header() {
    turn_and_turn_about("authentication {\n    auth_type AH\n    auth_pass secret12\n  }");
}

#[test]
fn keepalived_of_version_3() {
    turn_and_turn_about("version 3\n  advert_int 0.5");
}

#[test]
fn keepalived_with_another_group() {
    turn_and_turn_about("version 3\n  mcast_dst_ip 224.0.0.99");
}
