//! How a virtual router behaves where the standard or keepalived leave a choice.

use crate::wire::Authentication;

/// What most routers leave as it is. The default is that of keepalived, or of RFC 9568 where
/// keepalived has no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// Whether the checksums of its v3 adverts over IPv4 take the form that was heard last from
    /// others, and `RouterParams::checksum_form` only until then.
    pub follow_checksum: bool,
    /// Whether it takes v3 adverts with the checksum of an old keepalived from unicast peers (not with
    /// `old_unicast_checksum never`).
    pub old_checksum: bool,
    /// How its v2 adverts are authenticated, and those of others have to be.
    pub authentication: Authentication,
    /// How many intervals a Backup waits before it gives the Active up, 1 to 100
    /// (`down_timer_adverts`, default 3: RFC 9568 section 6.1).
    pub down_adverts: u8,
    /// Whether it keeps to the letter of the RFC (`strict_mode`): a v2 advert with other addresses
    /// than ours is dropped unless it comes from their owner (RFC 3768 section 7.1).
    pub strict: bool,
    /// Whether the addresses in adverts are compared with ours only when another Active sends them
    /// (`skip_check_adv_addr`).
    pub skip_address_check: bool,
    /// Whether an Active answers losing adverts with one of its own (RFC 9568 section 6.4.3; not
    /// with `lower_prio_no_advert`).
    pub answer_lower: bool,
    /// Whether an Active advertises once more when it yields (`higher_prio_send_advert`).
    pub advertise_when_yielding: bool,
    /// Whether an owner takes no notice of others' adverts (`owner_ignore_adverts`).
    pub ignore_as_owner: bool,
    /// Whether a v3 router speaks v2, too (RFC 9568 section 8.4): as Active it sends both, as Backup
    /// it follows either.
    pub also_v2: bool,
    /// Whether the kernel is to keep the other addresses of a subnet when the first of them goes
    /// (`promote_secondaries`), on the interfaces of its addresses.
    pub promote_secondaries: bool,
}

impl Default for Conduct {
    fn default() -> Self {
        Conduct {
            follow_checksum: true,
            old_checksum: true,
            authentication: Authentication::None,
            down_adverts: 3,
            strict: false,
            skip_address_check: false,
            answer_lower: true,
            advertise_when_yielding: false,
            ignore_as_owner: false,
            also_v2: false,
            promote_secondaries: false,
        }
    }
}
