//! What is counted, under the names of RFC 8347 (`ietf-vrrp`) and RFC 6527.

use crate::wire::Refusal;

/// Counted for each virtual router (RFC 8347 section 4, `statistics` of an instance; the causes
/// that RFC 8347 only counts globally are counted here too when the packet names its router).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterCounters {
    /// Times it became Active.
    pub master_transitions: u64,
    /// Adverts accepted as such, priority 0 included, whatever the state (in Initialize they are
    /// counted and ignored).
    pub advertisement_rcvd: u64,
    /// Adverts sent, priority 0 included.
    pub advertisement_sent: u64,
    /// Adverts whose interval is 0 or differs from ours. v2 drops both, v3 only the former.
    pub interval_errors: u64,
    /// Adverts of priority 0 received.
    pub priority_zero_pkts_rcvd: u64,
    /// Adverts of priority 0 sent.
    pub priority_zero_pkts_sent: u64,
    /// Packets of a type that is not ADVERTISEMENT.
    pub invalid_type_pkts_rcvd: u64,
    /// Adverts that list other addresses than we do. They are not dropped.
    pub address_list_errors: u64,
    /// Packets too short for what they say, or without any address.
    pub packet_length_errors: u64,
    /// Packets whose TTL was not 255.
    pub ip_ttl_errors: u64,
    /// Packets with a wrong checksum.
    pub checksum_errors: u64,
    /// Adverts of a version that this router does not speak.
    pub version_errors: u64,
    /// v2 adverts with an authentication type that does not exist; dropped (RFC 2787).
    pub invalid_auth_type: u64,
    /// v2 adverts with an authentication type that we do not use; dropped (RFC 2787).
    pub auth_type_mismatch: u64,
    /// v2 adverts with a wrong password or signature; dropped (RFC 2787).
    pub auth_failures: u64,
    /// v2 adverts with a right signature and a sequence number that was heard before; dropped.
    pub auth_replays: u64,
    /// v2 adverts of a station that speaks v3, too, and is heard by that (RFC 9568 section 8.4).
    pub v2_ignored: u64,
    /// Adverts from our own address: looped back, or another host has it too. Dropped.
    pub own_address_rcvd: u64,
    /// Unicast adverts from who is none of the peers (`check_unicast_src`). Dropped.
    pub peer_errors: u64,
    /// Adverts to a multicast group although we have unicast peers, or to us alone although we have
    /// none. Dropped.
    pub destination_errors: u64,
    /// Adverts of the Active that had not come when the next one did: lost, late by intervals, or
    /// held up by a stall of our own.
    pub advertisement_missed: u64,
    /// Regular adverts that we have sent more than a third of the interval late.
    pub advertisement_late: u64,
}

/// Packets that can't be attributed to a virtual router. Where the standard wants a global count
/// (RFC 8347: checksum, version, vrid and TTL errors), it is the sum of this and all routers': each
/// packet is counted in exactly one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnattributedCounters {
    /// Packets with a wrong checksum.
    pub checksum_errors: u64,
    /// Packets of a version that is neither 2 nor 3.
    pub version_errors: u64,
    /// Adverts for a vrid that is not configured on their interface.
    pub vrid_errors: u64,
    /// Packets whose TTL was not 255.
    pub ip_ttl_errors: u64,
    /// Packets of a type that is not ADVERTISEMENT.
    pub invalid_type_pkts_rcvd: u64,
    /// Packets too short for what they say.
    pub packet_length_errors: u64,
    /// Packets that are no VRRP at all.
    pub not_vrrp_pkts_rcvd: u64,
}

/// The counter for a packet that was refused before its router was asked: that router's if the
/// packet names one of ours.
pub(super) fn refusal_counter<'a>(
    refusal: Refusal,
    router: Option<&'a mut RouterCounters>,
    unattributed: &'a mut UnattributedCounters,
) -> &'a mut u64 {
    match (refusal, router) {
        (Refusal::NotVrrp, _) => &mut unattributed.not_vrrp_pkts_rcvd,
        // Only what found no router has an unknown vrid.
        (Refusal::Vrid(_), _) => &mut unattributed.vrid_errors,
        (Refusal::Ttl(_), Some(router)) => &mut router.ip_ttl_errors,
        (Refusal::Ttl(_), None) => &mut unattributed.ip_ttl_errors,
        (Refusal::Version(_), Some(router)) => &mut router.version_errors,
        (Refusal::Version(_), None) => &mut unattributed.version_errors,
        (Refusal::Type(_), Some(router)) => &mut router.invalid_type_pkts_rcvd,
        (Refusal::Type(_), None) => &mut unattributed.invalid_type_pkts_rcvd,
        (Refusal::Length, Some(router)) => &mut router.packet_length_errors,
        (Refusal::Length, None) => &mut unattributed.packet_length_errors,
        (Refusal::Checksum, Some(router)) => &mut router.checksum_errors,
        (Refusal::Checksum, None) => &mut unattributed.checksum_errors,
    }
}
