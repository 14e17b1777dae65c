//! Notifications: in order for each subject, and at most so many at a time. Those that linger don't
//! count among them, so that a few that hang are not in everybody's way.

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
    /// Of what is at work: what doesn't count for the budget any more.
    lingering: usize,
    most: usize,
    length: usize,
    limit: usize,
    lost: u64,
}

impl<T> Queue<T> {
    /// Nothing to do. At most `budget` will be at work at a time, `most` with those that linger, and
    /// `limit` wait: more are lost.
    pub fn new(budget: usize, most: usize, limit: usize) -> Self {
        Queue {
            waiting: HashMap::new(),
            turn: VecDeque::new(),
            running: 0,
            budget,
            lingering: 0,
            most,
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
        while self.has_room() {
            let subject = self.turn.pop_front()?;
            let Some(work) = self.waiting.get_mut(&subject).and_then(VecDeque::pop_front) else {
                // It has been taken back.
                self.waiting.remove(&subject);
                continue;
            };
            self.running += 1;
            self.length -= 1;
            return Some((subject, work));
        }
        None
    }

    /// Something that was begun takes long, and doesn't count for the budget any more.
    pub fn linger(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.lingering += 1;
    }

    /// What was begun for `subject` is over; `lingered`: after [`Queue::linger`].
    pub fn done(&mut self, subject: u64, lingered: bool) {
        let count = if lingered { &mut self.lingering } else { &mut self.running };
        *count = count.saturating_sub(1);
        match self.waiting.get(&subject) {
            Some(more) if !more.is_empty() => self.turn.push_back(subject),
            _ => {
                self.waiting.remove(&subject);
            }
        }
    }

    /// What waits for `subject`, in order; what is at work for it not included.
    pub fn waiting(&self, subject: u64) -> impl Iterator<Item = &T> {
        self.waiting.get(&subject).into_iter().flatten()
    }

    /// Takes back what waits for `subject` and `is_unwanted`; how many that were.
    pub fn take_back(&mut self, subject: u64, is_unwanted: impl Fn(&T) -> bool) -> usize {
        let Some(waiting) = self.waiting.get_mut(&subject) else { return 0 };
        let before = waiting.len();
        waiting.retain(|work| !is_unwanted(work));
        let taken = before - waiting.len();
        self.length -= taken;
        taken
    }

    /// All that waits, in no order.
    pub fn all_waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.values().flatten()
    }

    /// How many are at work.
    pub fn at_work(&self) -> usize {
        self.running + self.lingering
    }

    fn has_room(&self) -> bool {
        self.running < self.budget && self.at_work() < self.most
    }

    /// Whether something could be begun.
    pub fn is_ready(&self) -> bool {
        self.has_room() && !self.turn.is_empty()
    }

    /// Whether nothing waits and nothing is at work.
    pub fn is_empty(&self) -> bool {
        self.length == 0 && self.at_work() == 0
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
        let mut queue = Queue::new(1, 1, 2);
        assert!(queue.push(1, 'a') && queue.push(1, 'b') && !queue.push(2, 'c'));
        assert_eq!((queue.take_lost(), queue.take_lost()), (1, 0));
        assert_eq!(queue.begin(), Some((1, 'a')));
        assert_eq!(queue.begin(), None);
        queue.done(1, false);
        assert_eq!(queue.begin(), Some((1, 'b')));
        queue.done(1, false);
        assert!(queue.is_empty());
    }

    #[test]
    fn those_that_hang_are_in_nobodys_way() {
        let mut queue = Queue::new(1, 3, 10);
        for subject in 1..=5 {
            queue.push(subject, 'x');
        }
        queue.push(1, 'y');
        for subject in 1..=3 {
            assert_eq!(queue.begin(), Some((subject, 'x')));
            assert_eq!(queue.begin(), None, "one at a time");
            queue.linger();
        }
        assert_eq!((queue.begin(), queue.at_work()), (None, 3), "all together");
        queue.done(1, true);
        // In the order in which they asked, and each subject in its own.
        assert_eq!(queue.begin(), Some((4, 'x')));
        queue.done(4, false);
        assert_eq!(queue.begin(), Some((5, 'x')));
        queue.done(5, false);
        assert_eq!(queue.begin(), Some((1, 'y')));
    }

    #[test]
    fn what_is_taken_back_is_not_begun() {
        let mut queue = Queue::new(2, 2, 10);
        for (subject, work) in [(1, 'a'), (1, 'b'), (2, 'a'), (3, 'c')] {
            queue.push(subject, work);
        }
        assert_eq!(queue.waiting(1).collect::<String>(), "ab");
        assert_eq!((queue.take_back(1, |&work| work == 'b'), queue.take_back(2, |_| true)), (1, 1));
        assert_eq!((queue.begin(), queue.begin()), (Some((1, 'a')), Some((3, 'c'))));
        queue.done(1, false);
        queue.done(3, false);
        assert!(queue.is_empty() && !queue.is_ready());
        queue.push(2, 'd');
        assert_eq!(queue.begin(), Some((2, 'd')));
    }

    proptest! {
        #[test]
        fn all_is_done_in_order_and_within_the_budget(
            asked in prop::collection::vec(0..5_u64, 0..100),
            ends in prop::collection::vec(0..8_usize, 0..50),
            budget in 1..4_usize,
        ) {
            let mut queue = Queue::new(budget, budget, 1000);
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
                queue.done(ended.0, false);
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
