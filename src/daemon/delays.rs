//! `interface_up_down_delays`: an interface that goes down, or comes up again, does so for us only when
//! it has stayed so for a while.

use std::collections::HashMap;

use crate::base::{Instant, LinkChange, LinkId, Span};

/// The delays of interfaces that have any, and changes that wait.
#[derive(Debug, Default)]
pub(super) struct Delays {
    delays: HashMap<LinkId, Delay>,
    links: HashMap<LinkId, Link>,
}

/// How long a change has to last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delay {
    pub(super) down: Span,
    pub(super) up: Span,
}

#[derive(Debug)]
struct Link {
    /// What the others have been told.
    told_up: bool,
    /// What is really so, if it is something else, and when it will be told.
    waiting: Option<(Instant, LinkChange)>,
}

impl Delays {
    /// These delays hold from now on. What waits goes on waiting.
    pub(super) fn configure(&mut self, delays: impl Iterator<Item = (LinkId, Delay)>) {
        self.delays = delays.collect();
    }

    /// An interface has changed: what is to be believed of that now.
    pub(super) fn admit(&mut self, now: Instant, change: LinkChange) -> LinkChange {
        let Some(facts) = change.facts else {
            self.links.remove(&change.link);
            return change;
        };
        let Some(delay) = self.delays.get(&change.link) else {
            self.links.remove(&change.link);
            return change;
        };
        let link =
            self.links.entry(change.link).or_insert(Link { told_up: facts.up, waiting: None });
        if facts.up == link.told_up {
            link.waiting = None;
            return change;
        }
        let wait = if facts.up { delay.up } else { delay.down };
        if wait.is_zero() {
            *link = Link { told_up: facts.up, waiting: None };
            return change;
        }
        let due = link.waiting.map_or(now + wait, |(due, _)| due);
        link.waiting = Some((due, change));
        let mut facts = facts;
        facts.up = link.told_up;
        LinkChange { facts: Some(facts), ..change }
    }

    /// When [`Delays::next_due`] has something.
    pub(super) fn wake_at(&self) -> Instant {
        let due = self.links.values().filter_map(|link| Some(link.waiting?.0));
        due.min().unwrap_or(Instant::NEVER)
    }

    /// A change that has lasted long enough.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<LinkChange> {
        let due = |link: &&mut Link| link.waiting.is_some_and(|(due, _)| due <= now);
        let link = self.links.values_mut().find(due)?;
        let (_, change) = link.waiting.take()?;
        link.told_up = change.facts.is_some_and(|facts| facts.up);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{IfIndex, LinkFacts};

    const LINK: LinkId = LinkId(4);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Span::from_secs(seconds)
    }

    fn change(up: bool, mtu: u32) -> LinkChange {
        let facts = LinkFacts {
            ifindex: IfIndex(2),
            up,
            mac: None,
            mtu,
            primary_ipv4: None,
            link_local: crate::base::LinkLocal::None,
        };
        LinkChange { link: LINK, facts: Some(facts) }
    }

    #[test]
    fn only_what_lasts_is_told() {
        let mut delays = Delays::default();
        let delay = Delay { down: Span::from_secs(2), up: Span::from_secs(5) };
        delays.configure([(LINK, delay)].into_iter());
        assert_eq!(delays.admit(at(1), change(true, 1)), change(true, 1));
        // Down for a moment: other changes are told meanwhile.
        assert_eq!(delays.admit(at(2), change(false, 1)), change(true, 1));
        assert_eq!(delays.admit(at(3), change(false, 2)), change(true, 2));
        assert_eq!(delays.wake_at(), at(4));
        assert_eq!(delays.admit(at(3), change(true, 3)), change(true, 3));
        assert_eq!(delays.wake_at(), Instant::NEVER);
        // Down for long.
        delays.admit(at(10), change(false, 4));
        assert_eq!(delays.next_due(at(11)), None);
        assert_eq!(delays.next_due(at(12)), Some(change(false, 4)));
        assert_eq!(delays.admit(at(13), change(true, 4)), change(false, 4));
        assert_eq!(delays.next_due(at(18)), Some(change(true, 4)));
        // What is gone is gone at once.
        delays.admit(at(20), change(false, 4));
        let gone = LinkChange { link: LINK, facts: None };
        assert_eq!(delays.admit(at(20), gone), gone);
        assert_eq!(delays.wake_at(), Instant::NEVER);
    }
}
