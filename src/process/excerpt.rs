//! What a program writes: whole lines of it, as many as are worth keeping.

/// Bytes kept of one run.
const MOST: usize = 2 * 1024;

/// The beginning of what a program writes, and how much more there was.
#[derive(Clone, Debug, Default)]
pub struct Excerpt {
    kept: Vec<u8>,
    beyond: u64,
}

impl Excerpt {
    /// It has written this.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = (MOST - self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.beyond += (bytes.len() - room) as u64;
    }

    /// What it has written, line by line, made fit for a log: no control characters.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let clean = |line: &[u8]| -> String {
            let text = String::from_utf8_lossy(line);
            text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        let lines = self.kept.split(|&byte| byte == b'\n').map(clean);
        lines.filter(|line: &String| !line.is_empty())
    }

    /// How many bytes were not kept.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_leaves_its_beginning() {
        let mut excerpt = Excerpt::default();
        for _ in 0..1024 {
            excerpt.push(&[b'x'; 1024]);
        }
        assert_eq!(excerpt.lines().map(|line| line.len()).sum::<usize>(), MOST);
        assert_eq!(excerpt.beyond(), (1024 * 1024 - MOST) as u64);
    }

    #[test]
    fn lines_are_fit_for_a_log() {
        let mut excerpt = Excerpt::default();
        excerpt.push(b"one\r\n\n\x1b[31mtwo\xff");
        assert_eq!(excerpt.lines().collect::<Vec<_>>(), ["one", " [31mtwo\u{fffd}"]);
        assert_eq!(excerpt.beyond(), 0);
    }
}
