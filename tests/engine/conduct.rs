//! Where the standard or keepalived leave a choice: checksums, authentication, switches, both
//! versions at once; and what is said about why a Backup took over.

use std::net::IpAddr;

use viprd::base::{Centis, Mac, Span};
use viprd::vrrp::{
    Action, AuthFailure, Cause, Change, Conduct, GarpParams, Notice, Peer, Preempt, Preemption,
    RouterParams, State, StateName, Transport, Unicast,
};
use viprd::wire::auth::Secret;
use viprd::wire::vrrp::{AdvertContent, AdvertFrame};
use viprd::wire::{Authentication, ChecksumForm, Version};

use crate::desk::*;

fn with(conduct: Conduct) -> RouterParams {
    RouterParams { conduct, ..params() }
}

fn v2(conduct: Conduct) -> RouterParams {
    RouterParams { version: Version::V2, ..with(conduct) }
}

fn notices(desk: &mut Desk) -> Vec<Notice> {
    let notice = |wish| match wish {
        Action::Notice { notice, .. } => Some(notice),
        _ => None,
    };
    desk.wishes().into_iter().filter_map(notice).collect()
}

// Why it took over.

#[test]
fn displacing_a_lower_priority_is_the_cause_that_is_told() {
    let mut desk = Desk::new(RouterParams { priority: 200, ..params() });
    for _ in 0..4 {
        desk.hear_priority(150);
        assert_eq!(desk.view().active, Some(HIGHER_ADDRESS), "shown while it is outwaited");
        desk.run_for(SECOND);
    }
    assert_eq!(desk.state(), StateName::Master);
    let by = Preemption::Priority;
    assert_eq!(desk.view().cause, Cause::Preempted { active: HIGHER_ADDRESS, priority: 150, by });
}

#[test]
fn the_end_of_preempt_delay_is_the_cause_that_is_told() {
    let preempt = Preempt::After(SECOND.times(2));
    let mut desk = Desk::new(RouterParams { priority: 200, preempt, ..params() });
    for _ in 0..20 {
        desk.hear_priority(150);
        desk.run_for(Span::from_millis(500));
    }
    assert_eq!(desk.state(), StateName::Master);
    let by = Preemption::DelayOver;
    assert_eq!(desk.view().cause, Cause::Preempted { active: HIGHER_ADDRESS, priority: 150, by });
}

#[test]
fn an_owner_that_comes_back_displaces_as_owner() {
    let mut desk = Desk::new(RouterParams { priority: 255, ..params() });
    // Another owner with a higher address, then only a lower priority.
    desk.hear_priority(255);
    assert_eq!(desk.state(), StateName::Backup);
    for _ in 0..4 {
        desk.hear_priority(100);
        desk.run_for(SECOND);
    }
    let by = Preemption::Owner;
    assert_eq!(desk.view().cause, Cause::Preempted { active: HIGHER_ADDRESS, priority: 100, by });
}

/// A rival that is discarded besides the Active that is followed is not whom it takes over from.
#[test]
fn a_rival_beside_the_active_is_not_the_cause() {
    let mut desk = Desk::new(params());
    desk.hear_priority(200);
    desk.hear(|advert| (advert.priority, advert.source) = (50, LOWER_ADDRESS));
    assert_eq!(desk.view().active, Some(HIGHER_ADDRESS));
    desk.run_for(SECOND.times(4));
    assert_eq!(desk.view().cause, Cause::ActiveTimeout);
}

/// RFC 9568 section 6.4.2 does not ask who sends priority 0. The Active answers at once (6.4.3).
#[test]
fn priority_0_of_someone_else_shortens_the_wait_and_nothing_more() {
    let skew = Span::from_nanos(609_375_000);
    let mut desk = Desk::new(params());
    desk.hear_priority(200);
    desk.hear(|advert| (advert.priority, advert.source) = (0, LOWER_ADDRESS));
    assert_eq!(desk.view().deadline, desk.now + skew);
    assert_eq!(desk.view().active, Some(HIGHER_ADDRESS), "it has not left");
    desk.hear_priority(200);
    assert_eq!(desk.view().deadline, desk.now + Span::from_nanos(3_609_375_000));
    let new = Notice::NewActive { active: HIGHER_ADDRESS, before: None };
    let told = notices(&mut desk);
    assert_eq!(
        told.iter().filter(|notice| **notice == new).count(),
        1,
        "it is no new one: {told:?}"
    );

    desk.hear(|advert| (advert.priority, advert.source) = (0, LOWER_ADDRESS));
    desk.run_for(SECOND);
    assert_eq!(desk.state(), StateName::Master);
    assert_eq!(desk.view().cause, Cause::Unanswered { left: LOWER_ADDRESS });
}

// Checksums.

#[test]
fn the_form_of_the_checksum_follows_the_peer_and_is_told_once() {
    let mut desk = Desk::new(with(Conduct::default()));
    assert_eq!(desk.view().checksum_form, ChecksumForm::Message);
    desk.hear(|advert| advert.checksum_form = ChecksumForm::PseudoHeader);
    assert_eq!(desk.view().checksum_form, ChecksumForm::PseudoHeader);
    let told = Notice::ChecksumForm {
        source: HIGHER_ADDRESS,
        theirs: ChecksumForm::PseudoHeader,
        followed: true,
    };
    let wishes = desk.wishes();
    assert!(wishes.contains(&Action::Altered { router: ROUTER }));
    assert!(wishes.contains(&Action::Notice { router: ROUTER, notice: told }));
    desk.hear(|advert| advert.checksum_form = ChecksumForm::PseudoHeader);
    assert_eq!(desk.wishes(), []);
    // What it has learned stays when something else is configured.
    let now = desk.now;
    let params = RouterParams { priority: 77, ..with(Conduct::default()) };
    desk.engine.on_change(now, Change::Alter(ROUTER, params));
    assert_eq!(desk.view().checksum_form, ChecksumForm::PseudoHeader);
}

/// Even an Active learns, from a rival that does not understand it.
#[test]
fn an_active_learns_the_form_from_whoever_contests_it() {
    let mut desk = Desk::active(with(Conduct::default()));
    desk.hear(|advert| {
        (advert.priority, advert.checksum_form) = (50, ChecksumForm::PseudoHeader);
    });
    assert_eq!(desk.view().checksum_form, ChecksumForm::PseudoHeader);
    let wishes = desk.deeds();
    let renewed = wishes.iter().position(|wish| matches!(wish, Action::Altered { .. }));
    let answered = wishes.iter().position(|wish| matches!(wish, Action::Advertise { .. }));
    assert!(renewed < answered, "the answer has the new form: {wishes:?}");
}

/// A unicast peer that is an old keepalived: it is understood, and answered in kind, unless that is
/// not wanted.
#[test]
fn an_old_keepalives_checksum_is_followed_or_refused() {
    for old_checksum in [true, false] {
        let peers = Box::new([Peer { ip: HIGHER_ADDRESS, min_ttl: 0, max_ttl: 255 }]);
        let unicast = Some(Unicast { peers, ttl: 255, check_source: true });
        let transport = Transport { unicast, ..Transport::default() };
        let conduct = Conduct { old_checksum, ..Conduct::default() };
        let params = RouterParams { transport, ..with(conduct) };
        let content = AdvertContent {
            version: params.version,
            vrid: params.vrid,
            priority: 200,
            interval: params.interval,
            source: HIGHER_ADDRESS,
            addresses: &[VIRTUAL],
            checksum_form: ChecksumForm::GroupPseudoHeader,
            authentication: Authentication::None,
        };
        let packet = AdvertFrame::to_peer(&content, OWN_ADDRESS, 255).packet().to_vec();
        let mut desk = Desk::new(params);
        desk.hear_bytes(&packet);
        let view = desk.view();
        assert_eq!(view.active.is_some(), old_checksum);
        let counted = (view.counters.advertisement_rcvd, view.counters.checksum_errors);
        assert_eq!(counted, if old_checksum { (1, 0) } else { (0, 1) });
        let followed = view.checksum_form == ChecksumForm::GroupPseudoHeader;
        assert_eq!(followed, old_checksum);
    }
}

#[test]
fn a_chosen_form_stays() {
    let conduct = Conduct { follow_checksum: false, ..Conduct::default() };
    let mut desk = Desk::new(with(conduct));
    for _ in 0..3 {
        desk.hear(|advert| advert.checksum_form = ChecksumForm::PseudoHeader);
    }
    assert_eq!(desk.view().checksum_form, ChecksumForm::Message);
    assert_eq!(desk.view().counters.advertisement_rcvd, 3, "accepted all the same");
    let theirs = ChecksumForm::PseudoHeader;
    let told = Notice::ChecksumForm { source: HIGHER_ADDRESS, theirs, followed: false };
    assert_eq!(notices(&mut desk).iter().filter(|notice| **notice == told).count(), 1);
}

/// A refused advert teaches nothing.
#[test]
fn a_refused_advert_teaches_no_form() {
    let mut desk = Desk::new(with(Conduct::default()));
    desk.hear(|advert| {
        (advert.source, advert.checksum_form) = (OWN_ADDRESS, ChecksumForm::PseudoHeader);
    });
    assert_eq!(desk.view().checksum_form, ChecksumForm::Message);
}

// Authentication.

fn signed(key: Secret, sequence: u32, priority: u8) -> Vec<u8> {
    let params = v2(Conduct::default());
    let content = AdvertContent {
        version: Version::V2,
        vrid: params.vrid,
        priority,
        interval: params.interval,
        source: HIGHER_ADDRESS,
        addresses: &[VIRTUAL],
        checksum_form: ChecksumForm::Message,
        authentication: Authentication::Header(key),
    };
    let mut frame = AdvertFrame::new(&content, Mac::default());
    frame.sign(sequence);
    frame.packet().to_vec()
}

#[test]
fn each_failure_of_authentication_has_its_counter() {
    let secret = Secret::new(b"secret");
    let none = Authentication::None;
    let (password, header) = (Authentication::Password(secret), Authentication::Header(secret));
    let other = Authentication::Password(Secret::new(b"other"));
    for (ours, theirs, failure) in [
        (none, none, None),
        (none, password, Some(AuthFailure::OtherType(1))),
        (none, header, Some(AuthFailure::OtherType(2))),
        (password, password, None),
        (password, other, Some(AuthFailure::Wrong)),
        (password, none, Some(AuthFailure::OtherType(0))),
        (password, header, Some(AuthFailure::OtherType(2))),
        (header, header, None),
        (header, Authentication::Header(Secret::new(b"other")), Some(AuthFailure::Wrong)),
        (header, none, Some(AuthFailure::OtherType(0))),
        (header, password, Some(AuthFailure::OtherType(1))),
    ] {
        let mut desk = Desk::new(v2(Conduct { authentication: ours, ..Conduct::default() }));
        let params = v2(Conduct::default());
        let frame = {
            let content = AdvertContent {
                version: Version::V2,
                vrid: params.vrid,
                priority: 200,
                interval: params.interval,
                source: HIGHER_ADDRESS,
                addresses: &[VIRTUAL],
                checksum_form: ChecksumForm::Message,
                authentication: theirs,
            };
            let mut frame = AdvertFrame::new(&content, Mac::default());
            frame.sign(9);
            frame.packet().to_vec()
        };
        desk.hear_bytes(&frame);
        let what = format!("ours {ours:?}, theirs {theirs:?}");
        let counters = desk.view().counters;
        let counted = (
            counters.advertisement_rcvd,
            counters.auth_type_mismatch,
            counters.auth_failures,
            counters.invalid_auth_type,
        );
        let expected = match failure {
            None => (1, 0, 0, 0),
            Some(AuthFailure::OtherType(_)) => (0, 1, 0, 0),
            Some(_) => (0, 0, 1, 0),
        };
        assert_eq!(counted, expected, "{what}");
        let notice =
            failure.map(|failure| Notice::Authentication { source: HIGHER_ADDRESS, failure });
        assert_eq!(
            notices(&mut desk)
                .contains(&notice.unwrap_or(Notice::OwnAddress { source: OWN_ADDRESS })),
            failure.is_some(),
            "{what}"
        );
    }
}

#[test]
fn an_authentication_type_that_does_not_exist_is_counted_as_such() {
    let mut desk = Desk::new(v2(Conduct::default()));
    let mut packet = packet(&v2(Conduct::default()), |_| {});
    packet[24] = 3;
    packet[26..28].fill(0);
    let sum = viprd::wire::checksum::Sum::ZERO.bytes(&packet[20..]).checksum();
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
    desk.hear_bytes(&packet);
    assert_eq!(desk.view().counters.invalid_auth_type, 1);
    assert_eq!(desk.view().counters.advertisement_rcvd, 0);
}

#[test]
fn a_replay_is_refused_and_counted() {
    let key = Secret::new(b"secret");
    let authentication = Authentication::Header(key);
    let mut desk = Desk::new(v2(Conduct { authentication, ..Conduct::default() }));
    desk.hear_bytes(&signed(key, 10, 200));
    for old in [10, 9, 1, 0] {
        let before = desk.view().deadline;
        desk.run_for(Span::from_millis(10));
        desk.hear_bytes(&signed(key, old, 200));
        assert_eq!(desk.view().deadline, before, "sequence {old}");
    }
    assert_eq!(desk.view().counters.auth_replays, 4);
    desk.hear_bytes(&signed(key, 11, 200));
    desk.hear_bytes(&signed(key, u32::MAX, 200));
    assert_eq!(desk.view().counters.advertisement_rcvd, 3);
    assert_eq!(desk.view().heard_sequence, u32::MAX);
}

/// A wrong signature does not move the window.
#[test]
fn a_forgery_can_not_move_the_replay_window() {
    let key = Secret::new(b"secret");
    let authentication = Authentication::Header(key);
    let mut desk = Desk::new(v2(Conduct { authentication, ..Conduct::default() }));
    desk.hear_bytes(&signed(Secret::new(b"guess"), 1_000_000, 255));
    desk.hear_bytes(&signed(key, 1, 200));
    assert_eq!(desk.view().counters.advertisement_rcvd, 1);
}

// Switches.

#[test]
fn lower_prio_no_advert_leaves_a_rival_without_an_answer() {
    let conduct = Conduct { answer_lower: false, ..Conduct::default() };
    let mut desk = Desk::active(with(conduct));
    desk.hear_priority(50);
    assert_eq!(desk.state(), StateName::Master);
    let deeds = desk.deeds();
    assert!(!deeds.iter().any(|deed| matches!(deed, Action::Advertise { .. })), "{deeds:?}");
    // The hosts are set right all the same.
    assert!(deeds.iter().any(|deed| matches!(deed, Action::Announce { .. })), "{deeds:?}");
}

#[test]
fn higher_prio_send_advert_says_a_last_word() {
    let conduct = Conduct { advertise_when_yielding: true, ..Conduct::default() };
    let mut desk = Desk::active(with(conduct));
    desk.hear_priority(200);
    assert_eq!(desk.state(), StateName::Backup);
    assert_eq!(desk.deeds()[0], Action::Advertise { router: ROUTER, priority: 100 });
}

#[test]
fn an_owner_may_ignore_adverts() {
    let conduct = Conduct { ignore_as_owner: true, ..Conduct::default() };
    let mut desk = Desk::new(RouterParams { priority: 255, ..with(conduct) });
    desk.hear_priority(255);
    desk.hear_priority(0);
    assert_eq!((desk.state(), desk.deeds()), (StateName::Master, vec![]));
    assert_eq!(desk.view().counters.advertisement_rcvd, 2);
    // It is for owners only.
    let mut desk = Desk::active(with(conduct));
    desk.hear_priority(200);
    assert_eq!(desk.state(), StateName::Backup);
}

#[test]
fn down_timer_adverts_multiplies_the_interval() {
    let conduct = Conduct { down_adverts: 5, ..Conduct::default() };
    let mut desk = Desk::new(with(conduct));
    assert_eq!(desk.view().deadline, START + Span::from_nanos(5_609_375_000));
    desk.hear(|advert| advert.interval = Centis::new(10).unwrap());
    assert_eq!(desk.view().deadline, START + Span::from_nanos(560_937_500));
}

#[test]
fn skip_check_adv_addr_compares_only_a_new_masters_addresses() {
    let conduct = Conduct { skip_address_check: true, ..Conduct::default() };
    let mut desk = Desk::new(with(conduct));
    let other = |desk: &mut Desk, source: IpAddr| {
        desk.hear(|advert| {
            (advert.source, advert.addresses, advert.priority) = (source, &[OWN_ADDRESS], 200);
        });
        desk.view().counters.address_list_errors
    };
    assert_eq!(other(&mut desk, HIGHER_ADDRESS), 1);
    assert_eq!(other(&mut desk, HIGHER_ADDRESS), 1);
    assert_eq!(other(&mut desk, LOWER_ADDRESS), 2);
    assert_eq!(other(&mut desk, LOWER_ADDRESS), 2);
}

/// RFC 3768 section 7.1: whoever compares the addresses drops the advert, unless the owner sent it.
#[test]
fn strict_version_2_drops_other_addresses_except_the_owners() {
    let conduct = Conduct { strict: true, ..Conduct::default() };
    for (params, priority, received) in
        [(v2(conduct), 200, 0), (v2(conduct), 255, 1), (with(conduct), 200, 1)]
    {
        let mut desk = Desk::new(params);
        desk.hear(|advert| (advert.priority, advert.addresses) = (priority, &[OWN_ADDRESS]));
        let counters = desk.view().counters;
        assert_eq!((counters.address_list_errors, counters.advertisement_rcvd), (1, received));
    }
}

#[test]
fn without_lower_prio_repeat_no_garp_answers_a_rival() {
    let garp = GarpParams { lower_priority_repeat: 0, ..params().garp };
    let mut desk = Desk::active(RouterParams { garp, ..params() });
    desk.hear_priority(50);
    assert_eq!(desk.deeds(), [Action::Advertise { router: ROUTER, priority: 100 }]);
}

// Both versions (RFC 9568 section 8.4).

fn both() -> RouterParams {
    with(Conduct { also_v2: true, ..Conduct::default() })
}

#[test]
fn a_backup_of_both_versions_follows_a_v2_master_at_its_pace() {
    let interval = Centis::new(10).unwrap();
    let mut desk = Desk::new(RouterParams { interval, ..both() });
    desk.hear(|advert| {
        (advert.version, advert.interval, advert.priority) =
            (Version::V2, Centis::from_secs(2).unwrap(), 200);
    });
    let State::Backup(backup) = desk.view().state else { panic!("{:?}", desk.view()) };
    assert_eq!(backup.active_interval, Centis::from_secs(2).unwrap());
    assert_eq!(desk.view().counters.interval_errors, 1, "it wants one second of it");
    assert_eq!(desk.view().counters.version_errors, 0);
    // v2 carries whole seconds, rounded up, so this is the same interval.
    desk.hear(|advert| {
        (advert.version, advert.interval, advert.priority) =
            (Version::V2, Centis::from_secs(1).unwrap(), 200);
    });
    assert_eq!(desk.view().counters.interval_errors, 1);
}

#[test]
fn a_v2_advert_of_a_master_that_speaks_v3_is_ignored() {
    let mut desk = Desk::new(both());
    desk.hear_priority(200);
    let deadline = desk.view().deadline;
    desk.run_for(Span::from_millis(10));
    desk.hear(|advert| (advert.version, advert.priority) = (Version::V2, 200));
    assert_eq!(desk.view().deadline, deadline);
    let counters = desk.view().counters;
    assert_eq!((counters.advertisement_rcvd, counters.v2_ignored), (1, 1));
    // Another one's is not.
    desk.hear(|advert| {
        (advert.version, advert.priority, advert.source) = (Version::V2, 200, LOWER_ADDRESS);
    });
    assert_eq!(desk.view().counters.advertisement_rcvd, 2);
}

/// RFC 9568 section 8.4.2: that is worth telling, since v2 routers take over beside it.
#[test]
fn a_master_without_v2_adverts_is_told() {
    for (with_v2, told) in [(false, 2), (true, 0)] {
        let mut desk = Desk::new(both());
        let mut all = Vec::new();
        for _ in 0..11 {
            desk.hear_priority(200);
            if with_v2 {
                desk.hear(|advert| (advert.version, advert.priority) = (Version::V2, 200));
            }
            all.extend(notices(&mut desk));
            desk.run_for(SECOND);
        }
        let source = HIGHER_ADDRESS;
        let count = all.iter().filter(|notice| **notice == Notice::NoV2 { source }).count();
        assert_eq!(count, told, "{all:?}");
        assert_eq!(desk.state(), StateName::Backup);
    }
    // Nobody expects it of a router that does not speak both itself.
    let mut desk = Desk::new(with(Conduct::default()));
    for _ in 0..11 {
        desk.hear_priority(200);
        let missing = |notice: &Notice| matches!(notice, Notice::NoV2 { .. });
        assert!(!notices(&mut desk).iter().any(missing));
        desk.run_for(SECOND);
    }
}

/// One that has gone back to v2 alone is heard again, at the latest once it was given up.
#[test]
fn a_master_that_goes_back_to_v2_is_heard_again() {
    let mut desk = Desk::new(both());
    desk.hear_priority(200);
    desk.run_for(SECOND.times(4));
    assert_eq!(desk.state(), StateName::Master);
    desk.hear(|advert| (advert.version, advert.priority) = (Version::V2, 200));
    assert_eq!(desk.state(), StateName::Backup);
}

#[test]
fn an_active_of_both_versions_counts_both_adverts() {
    let mut desk = Desk::active(both());
    let before = desk.view().counters.advertisement_sent;
    desk.run_for(SECOND);
    assert_eq!(desk.view().counters.advertisement_sent, before + 2);
}

#[test]
fn without_the_switch_v3_refuses_v2_before_anything_that_it_says() {
    // A v2 advert that is too short, and one with a wrong checksum: wrong versions first of all.
    for breaking in
        [|packet: &mut Vec<u8>| packet[23] = 200, |packet: &mut Vec<u8>| packet[26] ^= 1]
    {
        let mut desk = Desk::new(params());
        let mut packet = packet(&v2(Conduct::default()), |_| {});
        breaking(&mut packet);
        desk.hear_bytes(&packet);
        let counters = desk.view().counters;
        assert_eq!(counters.version_errors, 1);
        assert_eq!((counters.packet_length_errors, counters.checksum_errors), (0, 0));
    }
}

// What is told of a refused packet.

#[test]
fn a_refusal_names_its_sender_and_its_cause() {
    use viprd::wire::Refusal;
    let mut desk = Desk::new(params());
    let mut bad = packet(&params(), |_| {});
    bad[8] = 64;
    desk.hear_bytes(&bad);
    let refusal = Refusal::Ttl(64);
    let notice = Notice::Refused { source: Some(HIGHER_ADDRESS), refusal };
    assert_eq!(desk.wishes(), [Action::Notice { router: ROUTER, notice }]);

    bad[21] = 99;
    desk.hear_bytes(&bad);
    let (source, ifindex) = (Some(HIGHER_ADDRESS), ifindex(OWN));
    assert_eq!(desk.wishes(), [Action::Stray { ifindex, source, refusal }]);
}
