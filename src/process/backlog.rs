//! Lines on their way into a named pipe that takes them as fast as its reader reads.

use std::collections::VecDeque;

/// Lines that wait, whole or gone: never half of one. Bounded; what has no room is counted.
#[derive(Debug)]
pub struct Backlog {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    most: usize,
    lost: u64,
}

impl Backlog {
    /// Nothing waits; at most `most` bytes will.
    pub fn new(most: usize) -> Self {
        Backlog { lines: VecDeque::new(), bytes: 0, most, lost: 0 }
    }

    /// A line, with its newline.
    pub fn push(&mut self, line: &str) {
        if self.bytes + line.len() > self.most {
            self.lost += 1;
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.into());
    }

    /// Gives lines to `sink`, oldest first, until it takes no more (`Ok(false)`) or none are left.
    /// A line of less than `PIPE_BUF` bytes is taken by a pipe whole or not at all (`pipe(7)`).
    ///
    /// # Errors
    /// What `sink` fails with; the line stays.
    pub fn drain<E>(&mut self, mut sink: impl FnMut(&[u8]) -> Result<bool, E>) -> Result<(), E> {
        while let Some(line) = self.lines.front() {
            if !sink(line.as_bytes())? {
                break;
            }
            self.bytes -= line.len();
            self.lines.pop_front();
        }
        Ok(())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many lines wait.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// How many lines were lost since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_in_order_and_the_newest_are_lost() {
        let mut backlog = Backlog::new(10);
        for line in ["one\n", "two\n", "three\n"] {
            backlog.push(line);
        }
        assert_eq!((backlog.len(), backlog.take_lost()), (2, 1));
        let mut taken = Vec::new();
        let mut room = 1;
        let mut sink = |line: &[u8]| {
            let takes = room > 0;
            room -= i32::from(takes);
            taken.extend(takes.then(|| line.to_vec()));
            Ok::<_, ()>(takes)
        };
        backlog.drain(&mut sink).unwrap();
        assert_eq!(backlog.len(), 1);
        assert_eq!(taken, [b"one\n"]);
        backlog.push("three\n");
        assert_eq!((backlog.len(), backlog.take_lost()), (2, 0));
    }
}
