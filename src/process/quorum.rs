//! Whether enough of a program runs, and for long enough (keepalived's `vrrp_track_process`).

use crate::base::{Instant, Span};

/// How many of a program must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumParams {
    /// So many at least.
    pub at_least: u32,
    /// And so many at most.
    pub at_most: u32,
    /// How long to wait before a change is believed that a new process has made.
    pub fork_delay: Span,
    /// The same for one that a process has made by its end.
    pub terminate_delay: Span,
}

/// A program whose processes are counted.
#[derive(Clone, Debug)]
pub struct Quorum {
    params: QuorumParams,
    count: Option<u32>,
    good: Option<bool>,
    /// Until when it has to be otherwise to be believed.
    waiting: Option<Instant>,
}

impl Quorum {
    /// Nothing is known yet.
    pub fn new(params: QuorumParams) -> Self {
        Quorum { params, count: None, good: None, waiting: None }
    }

    /// From now on it is judged like that: what is known of it is judged anew.
    pub fn rejudge(&mut self, params: QuorumParams) {
        self.params = params;
        self.waiting = None;
        if let Some(count) = self.count {
            self.good = Some(self.suffices(count));
        }
    }

    /// Another program is counted from now on. Until the first count it is taken to be as the other
    /// was.
    pub fn recount(&mut self) {
        (self.count, self.waiting) = (None, None);
    }

    /// How it is judged.
    pub fn params(&self) -> QuorumParams {
        self.params
    }

    /// Whether all is well; `None` as long as nobody knows.
    pub fn is_good(&self) -> Option<bool> {
        self.good
    }

    /// How many run; `None` as long as nobody knows.
    pub fn count(&self) -> Option<u32> {
        self.count
    }

    /// So many run now.
    pub fn on_count(&mut self, now: Instant, count: u32) {
        let before = self.count.replace(count);
        let good = self.suffices(count);
        let Some(before) = before else {
            self.good = Some(good);
            return;
        };
        if self.good == Some(good) {
            self.waiting = None;
            return;
        }
        let QuorumParams { fork_delay, terminate_delay, .. } = self.params;
        let delay = if count > before { fork_delay } else { terminate_delay };
        if delay.is_zero() {
            (self.good, self.waiting) = (Some(good), None);
        } else {
            self.waiting.get_or_insert(now + delay);
        }
    }

    /// When [`Quorum::on_deadline`] has something to do.
    pub fn deadline(&self) -> Instant {
        self.waiting.unwrap_or(Instant::NEVER)
    }

    /// What has lasted for long enough is believed.
    pub fn on_deadline(&mut self, now: Instant) {
        if self.deadline() <= now {
            self.waiting = None;
            self.good = self.count.map(|count| self.suffices(count));
        }
    }

    fn suffices(&self, count: u32) -> bool {
        (self.params.at_least..=self.params.at_most).contains(&count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Span::from_secs(seconds)
    }

    fn quorum(at_least: u32, at_most: u32, fork: u64, terminate: u64) -> Quorum {
        Quorum::new(QuorumParams {
            at_least,
            at_most,
            fork_delay: Span::from_secs(fork),
            terminate_delay: Span::from_secs(terminate),
        })
    }

    #[test]
    fn the_first_count_is_believed_at_once() {
        for (count, good) in [(0, false), (1, false), (2, true), (3, true), (4, false)] {
            let mut quorum = quorum(2, 3, 5, 5);
            assert_eq!(quorum.is_good(), None);
            quorum.on_count(at(1), count);
            assert_eq!(quorum.is_good(), Some(good), "{count}");
            assert_eq!(quorum.deadline(), Instant::NEVER);
        }
    }

    #[test]
    fn without_delays_every_count_is() {
        let mut quorum = quorum(1, u32::MAX, 0, 0);
        for (count, good) in [(1, true), (0, false), (7, true), (0, false)] {
            quorum.on_count(at(1), count);
            assert_eq!(quorum.is_good(), Some(good));
        }
    }

    #[test]
    fn another_judgement_is_of_the_same_count() {
        let mut quorum = quorum(1, u32::MAX, 5, 5);
        quorum.on_count(at(1), 2);
        quorum.on_count(at(2), 0);
        let params = QuorumParams { at_least: 0, at_most: 1, ..quorum.params() };
        quorum.rejudge(params);
        assert_eq!((quorum.is_good(), quorum.deadline()), (Some(true), Instant::NEVER));
        quorum.rejudge(QuorumParams { at_least: 1, ..params });
        assert_eq!(quorum.is_good(), Some(false));
        // Of another program nothing is known; it counts as the one before until it is.
        quorum.recount();
        quorum.rejudge(params);
        assert_eq!((quorum.is_good(), quorum.count()), (Some(false), None));
        quorum.on_count(at(9), 1);
        assert_eq!((quorum.is_good(), quorum.deadline()), (Some(true), Instant::NEVER));
    }

    #[test]
    fn what_lasts_for_a_moment_is_not() {
        let mut quorum = quorum(1, 1, 2, 5);
        quorum.on_count(at(0), 1);
        // A restart.
        quorum.on_count(at(10), 0);
        assert_eq!((quorum.is_good(), quorum.deadline()), (Some(true), at(15)));
        quorum.on_count(at(14), 1);
        assert_eq!((quorum.is_good(), quorum.deadline()), (Some(true), Instant::NEVER));
        // A fork before an exec.
        quorum.on_count(at(20), 2);
        assert_eq!(quorum.deadline(), at(22));
        quorum.on_count(at(21), 1);
        quorum.on_deadline(at(22));
        assert_eq!(quorum.is_good(), Some(true));
        // Gone for good, from the first moment on.
        quorum.on_count(at(30), 0);
        quorum.on_count(at(33), 2);
        quorum.on_deadline(at(34));
        assert_eq!(quorum.is_good(), Some(true));
        quorum.on_deadline(at(35));
        assert_eq!((quorum.is_good(), quorum.count()), (Some(false), Some(2)));
        assert_eq!(quorum.deadline(), Instant::NEVER);
    }
}
