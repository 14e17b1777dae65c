//! Notifications: in order for each subject, and at most so many at a time.

use std::collections::{HashMap, VecDeque};

/// What is to be done for subjects (virtual routers, groups), known by a number each.
#[derive(Debug)]
pub struct Queue<T> {
    /// What waits, of subjects that are at work or have their turn.
    waiting: HashMap<u64, VecDeque<T>>,
    /// Subjects whose turn it is, in the order in which they asked.
    turn: VecDeque<u64>,
    running: usize,
    budget: usize,
    length: usize,
    limit: usize,
    lost: u64,
}

impl<T> Queue<T> {
    /// Nothing to do. At most `budget` will be at work at a time, and `limit` wait: more are lost.
    pub fn new(budget: usize, limit: usize) -> Self {
        Queue {
            waiting: HashMap::new(),
            turn: VecDeque::new(),
            running: 0,
            budget,
            length: 0,
            limit,
            lost: 0,
        }
    }

    /// Something to be done for `subject`, after everything that was asked for it before. Whether
    /// there was room for it.
    pub fn push(&mut self, subject: u64, work: T) -> bool {
        if self.length >= self.limit {
            self.lost += 1;
            return false;
        }
        self.length += 1;
        let is_new = !self.waiting.contains_key(&subject);
        self.waiting.entry(subject).or_default().push_back(work);
        if is_new {
            self.turn.push_back(subject);
        }
        true
    }

    /// What may be begun now. [`Queue::done`] has to follow.
    pub fn begin(&mut self) -> Option<(u64, T)> {
        if self.running >= self.budget {
            return None;
        }
        let subject = self.turn.pop_front()?;
        let work = self.waiting.get_mut(&subject)?.pop_front()?;
        self.running += 1;
        self.length -= 1;
        Some((subject, work))
    }

    /// What was begun for `subject` is over.
    pub fn done(&mut self, subject: u64) {
        self.running = self.running.saturating_sub(1);
        match self.waiting.get(&subject) {
            Some(more) if !more.is_empty() => self.turn.push_back(subject),
            _ => {
                self.waiting.remove(&subject);
            }
        }
    }

    /// Whether something could be begun.
    pub fn is_ready(&self) -> bool {
        self.running < self.budget && !self.turn.is_empty()
    }

    /// Whether nothing waits and nothing is at work.
    pub fn is_empty(&self) -> bool {
        self.length == 0 && self.running == 0
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// How many were lost since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_no_room_is_counted() {
        let mut queue = Queue::new(1, 2);
        assert!(queue.push(1, 'a') && queue.push(1, 'b') && !queue.push(2, 'c'));
        assert_eq!((queue.take_lost(), queue.take_lost()), (1, 0));
        assert_eq!(queue.begin(), Some((1, 'a')));
        assert_eq!(queue.begin(), None);
        queue.done(1);
        assert_eq!(queue.begin(), Some((1, 'b')));
        queue.done(1);
        assert!(queue.is_empty());
    }

    proptest! {
        #[test]
        fn all_is_done_in_order_and_within_the_budget(
            asked in prop::collection::vec(0..5_u64, 0..100),
            ends in prop::collection::vec(0..8_usize, 0..50),
            budget in 1..4_usize,
        ) {
            let mut queue = Queue::new(budget, 1000);
            for (number, &subject) in asked.iter().enumerate() {
                queue.push(subject, number);
            }
            let mut at_work: Vec<(u64, usize)> = Vec::new();
            let mut done: Vec<(u64, usize)> = Vec::new();
            let mut ends = ends.into_iter().chain(std::iter::repeat(0));
            loop {
                while let Some(begun) = queue.begin() {
                    prop_assert!(at_work.iter().all(|(subject, _)| *subject != begun.0));
                    at_work.push(begun);
                }
                prop_assert!(at_work.len() <= budget);
                if at_work.is_empty() {
                    break;
                }
                let ended = at_work.remove(ends.next().unwrap_or(0) % at_work.len());
                queue.done(ended.0);
                done.push(ended);
            }
            prop_assert!(queue.is_empty());
            prop_assert_eq!(done.len(), asked.len());
            for subject in 0..5 {
                let numbers: Vec<_> = done.iter().filter(|(of, _)| *of == subject).collect();
                prop_assert!(numbers.is_sorted());
            }
        }
    }
}
