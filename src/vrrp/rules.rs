//! RFC 9568 section 6.4, errata included, as one match: state × input → decision.
//!
//! [`decide`] is the whole protocol. It knows no time, no address and no configuration beyond what
//! its arguments say, so every cell of the table can be tested (and is, below). What a decision
//! means in timers and packets is the engine's work.

/// Where a virtual router is in its life (RFC 9568 section 6.4). FAULT is Initialize with a reason,
/// which the rules need not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting for a startup event (section 6.4.1).
    Initialize,
    /// Watching the Active (section 6.4.2).
    Backup,
    /// Owning the addresses (section 6.4.3).
    Active,
}

/// What can happen to a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// It may run: at start, or when its fault has ended.
    Startup {
        /// Whether its priority is 255.
        owner: bool,
    },
    /// It may not run any more: the daemon stops, or a fault begins.
    Shutdown,
    /// Its timer expired: Active_Down_Timer in Backup, Adver_Timer in Active.
    Timer,
    /// It heard an advert.
    Advert {
        /// How the sender ranks beside it.
        sender: Rank,
        /// Whether a lower-ranking Active may be displaced now: Preempt_Mode, and its delay over.
        preempt: bool,
    },
    /// Someone took one of its addresses off the host while it was Active. Not in the RFC: we step
    /// back as keepalived does, so that a router that can hold the addresses takes over.
    AddressLost,
}

/// How the sender of an advert ranks beside the local router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rank {
    /// Priority 0: it stops being Active.
    Leaving,
    /// A lower priority.
    Lower,
    /// The same priority and a lower (or the same) primary address.
    EqualLowerAddress,
    /// The same priority and a higher primary address.
    EqualHigherAddress,
    /// A higher priority.
    Higher,
}

/// What a virtual router does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing.
    Ignore,
    /// Enter Backup from Initialize: assume our own interval, wait Active_Down_Interval.
    StartBackup,
    /// Enter Active: advertise, own the addresses, announce them, start Adver_Timer.
    TakeOver,
    /// Enter Initialize from Backup: stop the timer, say nothing.
    Rest,
    /// Enter Initialize from Active: advertise priority 0, let the addresses go.
    Resign,
    /// Active_Down_Timer = Skew_Time: the Active has said that it leaves.
    AwaitSkew,
    /// Learn the Active's interval, Active_Down_Timer = Active_Down_Interval.
    Follow,
    /// Discard the advert; the timer runs on.
    Outwait,
    /// Advertise and start Adver_Timer anew.
    Advertise,
    /// Discard the advert and advertise at once; Adver_Timer runs on.
    Contest,
    /// Enter Backup from Active: let the addresses go and follow the sender.
    Yield,
    /// Enter Backup from Active as if leaving: advertise priority 0, let the addresses go, wait
    /// Skew_Time.
    StepBack,
}

/// The rules.
pub const fn decide(phase: Phase, input: Input) -> Decision {
    use Decision::*;
    match (phase, input) {
        (Phase::Initialize, Input::Startup { owner: true }) => TakeOver,
        (Phase::Initialize, Input::Startup { owner: false }) => StartBackup,
        (Phase::Initialize, Input::Shutdown) => Ignore,
        (Phase::Initialize, Input::Timer) => Ignore,
        (Phase::Initialize, Input::Advert { sender: _, preempt: _ }) => Ignore,
        (Phase::Initialize, Input::AddressLost) => Ignore,

        (Phase::Backup, Input::Startup { owner: _ }) => Ignore,
        (Phase::Backup, Input::Shutdown) => Rest,
        (Phase::Backup, Input::Timer) => TakeOver,
        (Phase::Backup, Input::Advert { sender: Rank::Leaving, preempt: _ }) => AwaitSkew,
        (Phase::Backup, Input::Advert { sender: Rank::Lower, preempt: true }) => Outwait,
        (Phase::Backup, Input::Advert { sender: Rank::Lower, preempt: false }) => Follow,
        (Phase::Backup, Input::Advert { sender: Rank::EqualLowerAddress, preempt: _ }) => Follow,
        (Phase::Backup, Input::Advert { sender: Rank::EqualHigherAddress, preempt: _ }) => Follow,
        (Phase::Backup, Input::Advert { sender: Rank::Higher, preempt: _ }) => Follow,
        (Phase::Backup, Input::AddressLost) => Ignore,

        (Phase::Active, Input::Startup { owner: _ }) => Ignore,
        (Phase::Active, Input::Shutdown) => Resign,
        (Phase::Active, Input::Timer) => Advertise,
        (Phase::Active, Input::Advert { sender: Rank::Leaving, preempt: _ }) => Advertise,
        (Phase::Active, Input::Advert { sender: Rank::Lower, preempt: _ }) => Contest,
        (Phase::Active, Input::Advert { sender: Rank::EqualLowerAddress, preempt: _ }) => Contest,
        (Phase::Active, Input::Advert { sender: Rank::EqualHigherAddress, preempt: _ }) => Yield,
        (Phase::Active, Input::Advert { sender: Rank::Higher, preempt: _ }) => Yield,
        (Phase::Active, Input::AddressLost) => StepBack,
    }
}

impl Rank {
    /// The rank of a sender with `priority` and `address` beside a router with `own_priority` and
    /// `own_address`. Addresses compare as unsigned integers in network byte order (section
    /// 6.4.3).
    pub fn of<A: Ord>(priority: u8, address: A, own_priority: u8, own_address: A) -> Rank {
        if priority == 0 {
            return Rank::Leaving;
        }
        match (priority.cmp(&own_priority), address > own_address) {
            (std::cmp::Ordering::Less, _) => Rank::Lower,
            (std::cmp::Ordering::Equal, false) => Rank::EqualLowerAddress,
            (std::cmp::Ordering::Equal, true) => Rank::EqualHigherAddress,
            (std::cmp::Ordering::Greater, _) => Rank::Higher,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decision::*;
    use super::*;
    use std::net::Ipv4Addr;

    /// The table of RFC 9568 section 6.4 as a person reads it: one row an input, one column a
    /// phase (Initialize, Backup, Active), with the statement of `reference/protocol.md` behind it.
    const TABLE: &[(Input, [Decision; 3])] = &[
        (Input::Startup { owner: true }, [TakeOver, Ignore, Ignore]), // S1
        (Input::Startup { owner: false }, [StartBackup, Ignore, Ignore]), // S2
        (Input::Shutdown, [Ignore, Rest, Resign]),                    // S7, S17
        (Input::Timer, [Ignore, TakeOver, Advertise]),                // S8, S18
        (advert(Rank::Leaving, true), [Ignore, AwaitSkew, Advertise]), // S9, S19
        (advert(Rank::Leaving, false), [Ignore, AwaitSkew, Advertise]),
        (advert(Rank::Lower, true), [Ignore, Outwait, Contest]), // S11, S22
        (advert(Rank::Lower, false), [Ignore, Follow, Contest]), // S10, S23
        (advert(Rank::EqualLowerAddress, true), [Ignore, Follow, Contest]), // S12, S22
        (advert(Rank::EqualLowerAddress, false), [Ignore, Follow, Contest]),
        (advert(Rank::EqualHigherAddress, true), [Ignore, Follow, Yield]), // S12, S20
        (advert(Rank::EqualHigherAddress, false), [Ignore, Follow, Yield]),
        (advert(Rank::Higher, true), [Ignore, Follow, Yield]), // S10, S20
        (advert(Rank::Higher, false), [Ignore, Follow, Yield]), // S23
        (Input::AddressLost, [Ignore, Ignore, StepBack]),
    ];

    const fn advert(sender: Rank, preempt: bool) -> Input {
        Input::Advert { sender, preempt }
    }

    #[test]
    fn every_cell_of_the_table() {
        for &(input, row) in TABLE {
            for (phase, expected) in
                [Phase::Initialize, Phase::Backup, Phase::Active].into_iter().zip(row)
            {
                assert_eq!(decide(phase, input), expected, "{phase:?} × {input:?}");
            }
        }
    }

    #[test]
    fn the_table_names_every_input_once() {
        let inputs: std::collections::HashSet<_> = TABLE.iter().map(|(input, _)| input).collect();
        assert_eq!(inputs.len(), TABLE.len());
        assert_eq!(TABLE.len(), 2 + 1 + 1 + 5 * 2 + 1);
    }

    #[test]
    fn addresses_compare_as_unsigned_numbers() {
        let rank = |theirs: [u8; 4], ours: [u8; 4]| {
            Rank::of(100, Ipv4Addr::from(theirs), 100, Ipv4Addr::from(ours))
        };
        assert_eq!(rank([10, 0, 0, 10], [10, 0, 0, 9]), Rank::EqualHigherAddress);
        assert_eq!(rank([10, 0, 0, 9], [10, 0, 0, 10]), Rank::EqualLowerAddress);
        assert_eq!(rank([128, 0, 0, 1], [127, 0, 0, 1]), Rank::EqualHigherAddress);
        assert_eq!(rank([10, 0, 0, 1], [10, 0, 0, 1]), Rank::EqualLowerAddress);
    }

    #[test]
    fn priority_decides_before_the_address() {
        let (low, high) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(Rank::of(101, low, 100, high), Rank::Higher);
        assert_eq!(Rank::of(99, high, 100, low), Rank::Lower);
        assert_eq!(Rank::of(0, high, 100, low), Rank::Leaving);
    }
}
