//! The timer wheel: thousands of deadlines, of which nearly all are moved before they pass.
//!
//! Each timer's deadline is one `u64` in an array; that array is the truth. The wheel only
//! remembers roughly where to look: moving a deadline **later**, which is what every accepted
//! advert does, writes the `u64` and nothing else. The entry stays in its old place and is put
//! into the right one when the wheel comes by. Moving it earlier is rare and relinks the entry.
//!
//! Places: `LEVELS` levels of 64 slots. A slot of level 0 spans one tick (131 µs), a slot of level
//! n+1 all of level n. An entry sits on the level of the highest bit group in which its tick and the
//! wheel's differ, so the earliest entry is always in the lowest occupied slot of the lowest
//! occupied level. Deadlines are exact: the tick decides only where an entry is kept.

use crate::base::Instant;

/// Length of a tick: 2^17 ns.
const TICK_SHIFT: u32 = 17;
/// 64 slots a level.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Eight levels reach every `u64`.
const LEVELS: usize = (64 - TICK_SHIFT).div_ceil(SLOT_BITS) as usize;

const NONE: u32 = u32::MAX;
/// The list of entries that were found to be due and wait for [`Wheel::pop_due`].
const DUE: u16 = (LEVELS * SLOTS) as u16;
const UNLINKED: u16 = DUE + 1;

/// A set of timers, numbered from 0. Costs 32 bytes a timer.
#[derive(Debug)]
pub struct Wheel {
    /// When each timer expires: the truth.
    deadlines: Vec<Instant>,
    entries: Vec<Entry>,
    /// First and last entry of each slot's list, and of the due list.
    lists: Vec<(u32, u32)>,
    /// A bit for each slot that has entries, a word for each level.
    occupied: [u64; LEVELS],
    /// The tick that the wheel stands at; no entry is placed before it.
    tick: u64,
    /// No deadline is before this, which was that of this timer (`NONE` if none runs); `None` when
    /// it has to be looked for.
    earliest: Option<(Instant, u32)>,
    /// Entries touched while looking for due or earliest ones: tests watch that it stays linear.
    work: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    previous: u32,
    next: u32,
    /// The list that it is in.
    list: u16,
    /// The tick it was placed for. A deadline at or after it needs no relinking.
    placed: u64,
}

impl Wheel {
    /// A wheel of `timers` timers, none running.
    pub fn new(timers: usize) -> Self {
        let mut wheel = Wheel {
            deadlines: Vec::new(),
            entries: Vec::new(),
            lists: vec![(NONE, NONE); DUE as usize + 1],
            occupied: [0; LEVELS],
            tick: 0,
            earliest: None,
            work: 0,
        };
        wheel.grow(timers);
        wheel
    }

    /// Makes room for timers up to number `timers` - 1. Running timers stay.
    pub fn grow(&mut self, timers: usize) {
        let unlinked = Entry { previous: NONE, next: NONE, list: UNLINKED, placed: 0 };
        self.deadlines.resize(timers.max(self.deadlines.len()), Instant::NEVER);
        self.entries.resize(timers.max(self.entries.len()), unlinked);
    }

    /// When `timer` expires; [`Instant::NEVER`] if it does not run.
    pub fn deadline(&self, timer: usize) -> Instant {
        self.deadlines[timer]
    }

    /// Starts `timer`, or moves it, to expire at `deadline`.
    #[inline]
    pub fn set(&mut self, timer: usize, deadline: Instant) {
        let old = std::mem::replace(&mut self.deadlines[timer], deadline);
        let entry = &self.entries[timer];
        if entry.list == UNLINKED || tick_of(deadline) < entry.placed {
            self.relink(timer, deadline);
        } else if deadline < old {
            self.hear_of(timer, deadline); // earlier, within the tick that it is placed in
        }
    }

    /// Stops `timer`.
    pub fn cancel(&mut self, timer: usize) {
        if self.entries[timer].list != UNLINKED {
            self.set(timer, Instant::NEVER);
        }
    }

    /// When to look again: never after the earliest deadline; [`Instant::NEVER`] if no timer runs.
    ///
    /// It is the earliest deadline itself, unless the timer that had it was moved later since. Then
    /// whoever waits wakes up once for nothing, about once a down interval, and is told anew; to
    /// look for the earliest each time that it moves would cost a walk an advert.
    pub fn next_deadline(&mut self) -> Instant {
        if self.lists[DUE as usize].0 != NONE {
            // Found due and not yet popped; the past is as good as any of their deadlines.
            return Instant::ZERO;
        }
        self.earliest().0
    }

    /// The timer that had the deadline which [`Wheel::next_deadline`] tells, unless it has passed.
    pub fn next_timer(&mut self) -> Option<usize> {
        if self.lists[DUE as usize].0 != NONE {
            return None;
        }
        let (_, timer) = self.earliest();
        (timer != NONE).then_some(timer as usize)
    }

    /// Looks for the earliest deadline, also if one is thought to be known.
    pub fn look_again(&mut self) {
        self.earliest = Some(self.find_earliest());
    }

    /// Takes one timer whose deadline is not after `now`; it does not run any more. Call it until
    /// it says `None`, or as often as the budget allows.
    pub fn pop_due(&mut self, now: Instant) -> Option<usize> {
        self.pop_due_at(now).map(|(timer, _)| timer)
    }

    /// The same, with the deadline that has passed.
    #[inline]
    pub fn pop_due_at(&mut self, now: Instant) -> Option<(usize, Instant)> {
        // What was found due earlier comes first. To look again for each of thousands would walk
        // those that are due later in this very tick as often.
        let mut looked = false;
        loop {
            let timer = self.lists[DUE as usize].0;
            if timer == NONE {
                if looked {
                    return None;
                }
                self.collect_due(now);
                looked = true;
                continue;
            }
            let timer = timer as usize;
            self.unlink(timer);
            let deadline = self.deadlines[timer];
            if deadline <= now {
                self.deadlines[timer] = Instant::NEVER;
                return Some((timer, deadline));
            }
            self.link(timer, deadline); // moved since it was found due
        }
    }

    fn earliest(&mut self) -> (Instant, u32) {
        if self.earliest.is_none() {
            self.look_again();
        }
        self.earliest.unwrap_or((Instant::NEVER, NONE))
    }

    /// How many entries have been touched so far, other than by setting them.
    pub fn work(&self) -> u64 {
        self.work
    }

    fn relink(&mut self, timer: usize, deadline: Instant) {
        self.unlink(timer);
        self.link(timer, deadline);
        self.hear_of(timer, deadline);
    }

    fn hear_of(&mut self, timer: usize, deadline: Instant) {
        if let Some(earliest) = &mut self.earliest
            && deadline < earliest.0
        {
            *earliest = (deadline, timer as u32);
        }
    }

    /// Puts `timer` where `deadline` belongs as seen from the wheel's tick. A timer that does not
    /// run is left out.
    fn link(&mut self, timer: usize, deadline: Instant) {
        if deadline == Instant::NEVER {
            return;
        }
        let placed = tick_of(deadline).max(self.tick);
        let level = match placed ^ self.tick {
            0 => 0,
            differing => (differing.ilog2() / SLOT_BITS) as usize,
        };
        let slot = (placed >> (level as u32 * SLOT_BITS)) as usize % SLOTS;
        self.append(timer, (level * SLOTS + slot) as u16, placed);
        self.occupied[level] |= 1 << slot;
    }

    fn append(&mut self, timer: usize, list: u16, placed: u64) {
        let (_, last) = self.lists[list as usize];
        self.entries[timer] = Entry { previous: last, next: NONE, list, placed };
        match last {
            NONE => self.lists[list as usize] = (timer as u32, timer as u32),
            last => {
                self.entries[last as usize].next = timer as u32;
                self.lists[list as usize].1 = timer as u32;
            }
        }
    }

    fn unlink(&mut self, timer: usize) {
        let Entry { previous, next, list, .. } = self.entries[timer];
        if list == UNLINKED {
            return;
        }
        match previous {
            NONE => self.lists[list as usize].0 = next,
            previous => self.entries[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[list as usize].1 = previous,
            next => self.entries[next as usize].previous = previous,
        }
        if list != DUE && self.lists[list as usize].0 == NONE {
            self.occupied[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
        }
        self.entries[timer].list = UNLINKED;
    }

    /// The first occupied slot: its list and the first tick that it spans.
    fn first_slot(&self) -> Option<(u16, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let slot = u64::from(self.occupied[level].trailing_zeros());
        let shift = level as u32 * SLOT_BITS;
        let above = shift + SLOT_BITS;
        let prefix = self.tick.checked_shr(above).unwrap_or(0).checked_shl(above).unwrap_or(0);
        Some(((level * SLOTS) as u16 + slot as u16, prefix | slot << shift))
    }

    /// Walks the first occupied slot for its earliest deadline, putting entries that have moved on
    /// where they belong now.
    fn find_earliest(&mut self) -> (Instant, u32) {
        while let Some((list, _)) = self.first_slot() {
            let mut earliest = (Instant::NEVER, NONE);
            let mut at = self.lists[list as usize].0;
            while at != NONE {
                let timer = at as usize;
                at = self.entries[timer].next;
                self.work += 1;
                let deadline = self.deadlines[timer];
                if tick_of(deadline) > self.entries[timer].placed {
                    self.unlink(timer);
                    self.link(timer, deadline);
                }
                if self.entries[timer].list == list {
                    earliest = earliest.min((deadline, timer as u32));
                }
            }
            if earliest.1 != NONE {
                return earliest;
            }
        }
        (Instant::NEVER, NONE)
    }

    /// Turns the wheel to `now`: entries of every slot that begins by then become due or are placed
    /// anew.
    fn collect_due(&mut self, now: Instant) {
        if self.earliest.is_some_and(|(earliest, _)| earliest > now) {
            return;
        }
        let now_tick = tick_of(now);
        while let Some((list, begins)) = self.first_slot() {
            if begins > now_tick {
                break;
            }
            self.tick = self.tick.max(begins);
            // Entries may come back into this list (due later in this very tick): stop at the one
            // that is last now.
            let last = self.lists[list as usize].1;
            loop {
                let timer = self.lists[list as usize].0 as usize;
                self.work += 1;
                self.unlink(timer);
                let deadline = self.deadlines[timer];
                if deadline <= now {
                    self.append(timer, DUE, tick_of(deadline));
                } else {
                    self.link(timer, deadline);
                }
                if timer as u32 == last {
                    break;
                }
            }
            if begins == now_tick && list < SLOTS as u16 {
                break; // the tick that is running: what is left in it is due later
            }
        }
        self.tick = self.tick.max(now_tick);
        self.earliest = None;
    }
}

fn tick_of(instant: Instant) -> u64 {
    instant.as_nanos() >> TICK_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_timer_fires_once_and_never_early() {
        let mut wheel = Wheel::new(1);
        wheel.set(0, at(1_000_000));
        assert_eq!(wheel.next_deadline(), at(1_000_000));
        assert_eq!(wheel.pop_due(at(999_999)), None);
        assert_eq!(wheel.next_deadline(), at(1_000_000));
        assert_eq!(wheel.pop_due(at(1_000_000)), Some(0));
        assert_eq!(wheel.pop_due(at(u64::MAX - 1)), None);
        assert_eq!(wheel.next_deadline(), Instant::NEVER);
    }

    #[test]
    fn cancelled_timers_are_silent() {
        let mut wheel = Wheel::new(2);
        wheel.set(0, at(5));
        wheel.set(1, at(7));
        wheel.cancel(0);
        assert_eq!(wheel.next_deadline(), at(7));
        assert_eq!(wheel.pop_due(at(100)), Some(1));
        assert_eq!(wheel.pop_due(at(100)), None);
    }

    /// What 4,000 Backups do all day: each deadline is moved ahead every second for an hour, and
    /// the wheel touches an entry about once a down interval, not once an advert.
    #[test]
    fn moving_deadlines_later_costs_no_wheel_work() {
        const ROUTERS: u64 = 4_000;
        let mut wheel = Wheel::new(ROUTERS as usize);
        let down = Span::from_micros(3_609_375);
        let mut moves = 0;
        for second in 0..3600u64 {
            for router in 0..ROUTERS {
                let now = at(second * 1_000_000_000 + router * 250_000);
                wheel.set(router as usize, now + down);
                moves += 1;
                if router % 40 == 0 {
                    assert_eq!(wheel.pop_due(now), None);
                    assert!(wheel.next_deadline() > now);
                }
            }
        }
        assert!(wheel.work() < moves, "{} entries touched for {moves} moves", wheel.work());
    }

    /// Half of the timers are due, the other half within the same tick: popping the former must not
    /// look at the latter each time.
    #[test]
    fn popping_many_costs_a_touch_each() {
        const TIMERS: usize = 4_000;
        let mut wheel = Wheel::new(TIMERS);
        for timer in 0..TIMERS {
            wheel.set(timer, at(1_000_000_000 + timer as u64 % 2 * 50));
        }
        let due = std::iter::from_fn(|| wheel.pop_due(at(1_000_000_000))).count();
        assert_eq!(due, TIMERS / 2);
        assert!(wheel.work() < 10 * TIMERS as u64, "{} entries touched", wheel.work());
    }

    /// What a budget left over and was moved since does not hide what has become due since.
    #[test]
    fn a_leftover_that_moved_hides_nothing() {
        let mut wheel = Wheel::new(3);
        wheel.set(0, at(1_000));
        wheel.set(1, at(1_000));
        wheel.set(2, at(2_000));
        assert_eq!(wheel.pop_due(at(1_000)), Some(0));
        wheel.set(1, at(9_000));
        assert_eq!(wheel.pop_due(at(2_000)), Some(2));
        assert_eq!(wheel.pop_due(at(2_000)), None);
        assert_eq!(wheel.next_deadline(), at(9_000));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(usize, u64),
        Cancel(usize),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Deadlines from nanoseconds to years away, so that all levels are used.
        let ahead = (0..62u32, any::<u64>()).prop_map(|(bits, raw)| raw & ((1 << bits) - 1));
        prop_oneof![
            4 => (0..8usize, ahead.clone()).prop_map(|(timer, ahead)| Step::Set(timer, ahead)),
            1 => (0..8usize).prop_map(Step::Cancel),
            4 => ahead.prop_map(Step::Advance),
        ]
    }

    proptest! {
        /// Against the obvious model: a list of deadlines.
        #[test]
        fn agrees_with_a_plain_list(steps in prop::collection::vec(step(), 1..200)) {
            let mut wheel = Wheel::new(8);
            let mut model = [Instant::NEVER; 8];
            let mut now = Instant::ZERO;
            for step in steps {
                match step {
                    Step::Set(timer, ahead) => {
                        let deadline = now + Span::from_nanos(ahead);
                        wheel.set(timer, deadline);
                        model[timer] = deadline;
                    }
                    Step::Cancel(timer) => {
                        wheel.cancel(timer);
                        model[timer] = Instant::NEVER;
                    }
                    Step::Advance(by) => {
                        now = now.max(at(now.as_nanos().saturating_add(by).min(u64::MAX / 2)));
                        let mut fired: Vec<_> =
                            std::iter::from_fn(|| wheel.pop_due(now)).collect();
                        fired.sort_unstable();
                        let due: Vec<_> = (0..8).filter(|&timer| model[timer] <= now).collect();
                        prop_assert_eq!(fired, due.clone());
                        for timer in due {
                            model[timer] = Instant::NEVER;
                        }
                    }
                }
                let earliest = model.iter().copied().min().unwrap();
                let mut next = wheel.next_deadline();
                prop_assert!(next <= earliest);
                if now < next && next < earliest {
                    // Woken for nothing: nothing is due, and then the answer is exact.
                    now = next;
                    prop_assert_eq!(wheel.pop_due(now), None);
                    next = wheel.next_deadline();
                }
                if now < next {
                    prop_assert_eq!(next, earliest);
                }
                for (timer, &deadline) in model.iter().enumerate() {
                    prop_assert_eq!(wheel.deadline(timer), deadline);
                }
            }
        }
    }
}
