//! What a router's day costs **in instructions**, counted by callgrind: a number that a busy machine
//! does not change. Two things are held: a ceiling for each kind of work, so that a change that makes
//! it dearer is noticed; and that the cost for one router is the same among 5,000 and among 20,000.
//!
//! The test runs itself again under valgrind, with more and with less of one kind of work; the
//! difference of both counts is that work alone. The ceilings are those of an unoptimised build (a
//! released daemon needs about a tenth), a fifth above what was measured when they were set.

#[path = "../benches/crowd/mod.rs"]
mod crowd;

use std::env;
use std::hint::black_box;
use std::process::Command;

use crowd::{START, actives, backups, change, drain, hear, links, packets};
use viprd::base::Span;

/// The variable that makes a run of this program do the work: `KIND ROUTERS ROUNDS`.
const WORK: &str = "VIPRD_COUNTED_WORK";

/// A kind of work, and how many instructions it may cost for one router once.
const KINDS: [(&str, u64); 4] = [
    ("accept", ACCEPT),
    ("advertise", ADVERTISE),
    ("take-over", TAKE_OVER),
    ("link-down", LINK_DOWN),
];

/// An advert is parsed, checked and accepted.
const ACCEPT: u64 = 11_300;
/// A deadline passes, and an advert is wished for.
const ADVERTISE: u64 = 5_000;
/// A Backup's deadline passes: all that it then wishes for.
const TAKE_OVER: u64 = 5_000;
/// The link that all track goes down: all that an Active then wishes for.
const LINK_DOWN: u64 = 3_450;

#[test]
fn work_costs_what_it_did_and_no_more_among_many() {
    if let Ok(work) = env::var(WORK) {
        return do_work(&work);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "valgrind is missing: tools/setup test installs it");
        eprintln!("left out: needs valgrind (tools/setup test installs it)");
        return;
    }
    for (kind, ceiling) in KINDS {
        let few = cost(kind, 5_000);
        let many = cost(kind, 20_000);
        eprintln!("{kind}: {few} instructions a router among 5,000, {many} among 20,000");
        assert!(few > 0 && few <= ceiling, "{kind}: {few} instructions, at most {ceiling} so far");
        // The wheel has levels, and a larger crowd reaches a higher one a little more often.
        assert!(many * 20 <= few * 21, "{kind}: {few} among 5,000, {many} among 20,000");
    }
}

/// Instructions that `kind` costs for one of `routers` routers once.
fn cost(kind: &str, routers: u64) -> u64 {
    let (none, once) = (count(kind, routers, 0), count(kind, routers, 1));
    once.saturating_sub(none) / routers
}

/// Instructions of a whole run of this program, as callgrind tells at its end.
fn count(kind: &str, routers: u64, rounds: u64) -> u64 {
    let program = env::current_exe().expect("a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--exact", "work_costs_what_it_did_and_no_more_among_many", "--test-threads=1"])
        .env(WORK, format!("{kind} {routers} {rounds}"))
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.unwrap_or_else(|| panic!("no count in {said}"));
    collected.trim().parse().unwrap_or_else(|_| panic!("no number in {said}"))
}

/// The child's part: everything is made ready, whether or not the work is done then.
fn do_work(work: &str) {
    let words: Vec<&str> = work.split(' ').collect();
    let [kind, routers, rounds] = words[..] else { panic!("{work}") };
    let (routers, rounds): (usize, u64) = (routers.parse().unwrap(), rounds.parse().unwrap());
    let packets = packets(routers, 200);
    match kind {
        "accept" => {
            let mut engine = backups(routers);
            // The first advert also tells who is Active.
            for round in 0..=rounds {
                let now = START + Span::from_secs(round + 1);
                packets.iter().for_each(|packet| hear(&mut engine, now, packet));
                black_box(engine.next_deadline());
                assert!(round == 0 || engine.next_action().is_none());
                drain(&mut engine);
            }
        }
        "advertise" => {
            let (mut engine, now) = actives(routers);
            let mut wishes = 0;
            for round in 0..rounds {
                let end = now + Span::from_secs(round + 1);
                while engine.next_deadline() <= end {
                    let now = engine.next_deadline().max(now);
                    engine.on_deadlines(now, usize::MAX);
                    wishes += drain(&mut engine);
                }
            }
            assert!(wishes >= routers as u64 * rounds);
        }
        "take-over" => {
            let mut engine = backups(routers);
            if rounds > 0 {
                engine.on_deadlines(START + Span::from_secs(4), usize::MAX);
                assert!(drain(&mut engine) >= 2 * routers as u64);
            }
        }
        "link-down" => {
            let (mut engine, now) = actives(routers);
            if rounds > 0 {
                engine.on_link(now, &change(links(routers) as u32, false));
                assert!(drain(&mut engine) >= 2 * routers as u64);
            }
        }
        _ => panic!("{kind}"),
    }
}
