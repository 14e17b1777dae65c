//! Who answers for a virtual address, and who does not (RFC 9568 sections 6.4.2 and 6.4.3).

use std::time::Duration;

use crate::packet::Packet;
use crate::site::{Site, able, eventually};
use crate::tap::{Sender, Tap};
use crate::viprd::{QUICK, Viprd, router};

/// A broadcast request of the neighbour: who has 10.9.0.50?
fn who_has() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 2, 0x08, 0x06]);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([2, 0, 0, 0, 0, 2, 10, 9, 0, 2]);
    frame.extend([0; 6]);
    frame.extend([10, 9, 0, 50]);
    frame.resize(60, 0);
    frame
}

/// An echo request to 10.9.0.50 at the router's own Ethernet address, as a host sends it that still
/// takes this router for the master.
fn ping() -> Vec<u8> {
    let echo = vec![8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    let packet = Packet {
        destination: [10, 9, 0, 50].into(),
        protocol: 1,
        ttl: 64,
        instead: Some(echo),
        ..Packet::default()
    };
    packet.frame()
}

/// Whether the router has answered one of the two since the tap was cleared.
fn answers(tap: &Tap) -> (bool, bool) {
    let frames = tap.frames();
    let arp = frames.iter().any(|frame| {
        frame.is_arp()
            && frame.bytes.get(20..22) == Some(&[0, 2])
            && frame.bytes.get(28..32) == Some(&[10, 9, 0, 50])
    });
    let echo = frames.iter().any(|frame| {
        frame.bytes.get(23) == Some(&1)
            && frame.bytes.get(26..30) == Some(&[10, 9, 0, 50])
            && frame.bytes.get(34) == Some(&0)
    });
    (arp, echo)
}

#[test]
fn a_backup_answers_neither_arp_nor_ping_and_a_master_both() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let sender = Sender::on(&site, "n", "eth0");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    eventually("a master's answers", || {
        sender.send(&who_has());
        sender.send(&ping());
        (answers(&tap) == (true, true)).then_some(())
    });

    let master = Packet { priority: 200, interval: 4095, ..Packet::default() };
    sender.send(&master.frame());
    viprd.becomes("BACKUP");
    eventually("the address's end", || {
        site.address("r", "eth0", "10.9.0.50").is_none().then_some(())
    });
    tap.clear();
    for _ in 0..10 {
        sender.send(&who_has());
        sender.send(&ping());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(answers(&tap), (false, false));
    viprd.stop();
}
