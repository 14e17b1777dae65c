//! Which of the host's processes are of a program that is watched, and how many.

use std::collections::HashMap;

/// The longest name that the kernel keeps of a process (`TASK_COMM_LEN` without its NUL).
const NAME_LEN: usize = 15;

/// A program that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its name, or its path as it is called by.
    pub name: Box<str>,
    /// Its arguments.
    pub arguments: Box<[Box<str>]>,
    /// What they mean.
    pub fit: Fit,
    /// Whether the name is compared with the first word of the command line, not with the process's
    /// name.
    pub full_command: bool,
}

/// How the arguments of a process have to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// They don't matter.
    #[default]
    Any,
    /// As in the pattern.
    Exact,
    /// The last one may be longer.
    Initial,
    /// There may be more.
    Partial,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// Its name (`/proc/PID/comm`).
    pub name: &'a [u8],
    /// Its command line (`/proc/PID/cmdline`): words, each ended by NUL. Empty if nobody wants it.
    pub command_line: &'a [u8],
}

impl Pattern {
    /// Whether the command line has to be known.
    pub fn needs_command_line(&self) -> bool {
        self.full_command || self.fit != Fit::Any
    }

    /// Whether `process` is of that program. Where arguments matter, the name is that of the command
    /// line.
    pub fn matches(&self, process: Process<'_>) -> bool {
        let name = self.name.as_bytes();
        if !self.needs_command_line() {
            return process.name == &name[..name.len().min(NAME_LEN)];
        }
        let line = process.command_line.strip_suffix(b"\0").unwrap_or(process.command_line);
        let mut words = line.split(|&byte| byte == 0);
        // The kernel's threads have none, nor has who has ended.
        if line.is_empty() || words.next() != Some(name) {
            return false;
        }
        let mut arguments = self.arguments.iter().map(|argument| argument.as_bytes()).peekable();
        while let Some(argument) = arguments.next() {
            let fits = match (words.next(), self.fit) {
                (Some(word), Fit::Initial) if arguments.peek().is_none() => {
                    return word.starts_with(argument);
                }
                (Some(word), _) => word == argument,
                (None, _) => false,
            };
            if !fits {
                return false;
            }
        }
        match self.fit {
            Fit::Any | Fit::Partial => true,
            Fit::Exact | Fit::Initial => words.next().is_none(),
        }
    }
}

/// The processes that matter, by their ids.
#[derive(Debug)]
pub struct Census {
    patterns: Box<[Pattern]>,
    /// The patterns that each process fits, by their places; only of those that fit one.
    members: HashMap<i32, Box<[usize]>>,
    counts: Box<[u32]>,
}

impl Census {
    /// Nobody yet.
    pub fn new(patterns: Box<[Pattern]>) -> Self {
        let counts = patterns.iter().map(|_| 0).collect();
        Census { patterns, members: HashMap::new(), counts }
    }

    /// How many fit each pattern.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Those that fit any.
    pub fn members(&self) -> impl Iterator<Item = i32> {
        self.members.keys().copied()
    }

    /// Whether `pid` is one of them.
    pub fn has(&self, pid: i32) -> bool {
        self.members.contains_key(&pid)
    }

    /// Whether command lines have to be known.
    pub fn needs_command_lines(&self) -> bool {
        self.patterns.iter().any(Pattern::needs_command_line)
    }

    /// `pid` is that now.
    pub fn on_process(&mut self, pid: i32, process: Process<'_>) {
        let fits = |(_, pattern): &(usize, &Pattern)| pattern.matches(process);
        let fitting = self.patterns.iter().enumerate().filter(fits).map(|(place, _)| place);
        let fitting: Box<[usize]> = fitting.collect();
        if self.members.get(&pid).is_some_and(|known| *known == fitting) {
            return;
        }
        self.on_end(pid);
        if fitting.is_empty() {
            return;
        }
        for &place in &fitting {
            self.counts[place] += 1;
        }
        self.members.insert(pid, fitting);
    }

    /// `pid` has ended.
    pub fn on_end(&mut self, pid: i32) {
        for place in self.members.remove(&pid).unwrap_or_default() {
            self.counts[place] -= 1;
        }
    }

    /// Nobody is left but those for whom `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(i32) -> bool) {
        let gone: Vec<i32> = self.members().filter(|&pid| !keep(pid)).collect();
        gone.into_iter().for_each(|pid| self.on_end(pid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(name: &str, arguments: &[&str], fit: Fit, full_command: bool) -> Pattern {
        let arguments = arguments.iter().map(|&argument| argument.into()).collect();
        Pattern { name: name.into(), arguments, fit, full_command }
    }

    const SSHD: Process<'_> = Process { name: b"sshd", command_line: b"/sbin/sshd\0-D\0-e\0" };

    /// As keepalived 2.2.7 counts them.
    #[test]
    fn names_and_arguments() {
        let fits = |name: &str, arguments: &[&str], fit, full_command| {
            pattern(name, arguments, fit, full_command).matches(SSHD)
        };
        assert!(fits("sshd", &[], Fit::Any, false));
        assert!(!fits("ssh", &[], Fit::Any, false), "not as pgrep does");
        assert!(!fits("/sbin/sshd", &[], Fit::Any, false));
        assert!(fits("/sbin/sshd", &[], Fit::Any, true));
        assert!(!fits("sshd", &[], Fit::Any, true));
        let with = |arguments: &[&str], fit| fits("/sbin/sshd", arguments, fit, false);
        assert!(with(&["-D", "-e"], Fit::Exact));
        assert!(
            !fits("sshd", &["-D", "-e"], Fit::Exact, false),
            "with arguments, as it was called"
        );
        assert!(!with(&["-D"], Fit::Exact));
        assert!(!with(&[], Fit::Exact), "no arguments at all");
        assert!(!with(&["-D", "-e", "-x"], Fit::Exact));
        assert!(with(&["-D"], Fit::Partial));
        assert!(!with(&["-e"], Fit::Partial));
        assert!(!with(&["-D", "-"], Fit::Partial));
        assert!(with(&["-D", "-"], Fit::Initial));
        assert!(with(&["-"], Fit::Initial), "and what follows it");
        assert!(!with(&["-", "-e"], Fit::Initial));
        assert!(!with(&["-D", "-e", "-"], Fit::Initial));
    }

    #[test]
    fn long_names_are_cut_as_the_kernel_cuts_them() {
        let web = Process { name: b"a-very-long-nam", command_line: b"" };
        assert!(pattern("a-very-long-name-indeed", &[], Fit::Any, false).matches(web));
        let thread = Process { name: b"kthreadd", command_line: b"" };
        assert!(pattern("kthreadd", &[], Fit::Any, false).matches(thread));
        assert!(!pattern("kthreadd", &[], Fit::Exact, false).matches(thread));
    }

    #[test]
    fn processes_come_change_and_go() {
        let shell = Process { name: b"sh", command_line: b"sh\0" };
        let patterns =
            [pattern("sshd", &[], Fit::Any, false), pattern("sh", &[], Fit::Exact, false)];
        let mut census = Census::new(patterns.into());
        assert!(census.needs_command_lines());
        census.on_process(1, SSHD);
        census.on_process(1, SSHD);
        census.on_process(2, shell);
        census.on_process(3, Process { name: b"cat", command_line: b"cat\0" });
        assert_eq!((census.counts(), census.has(3)), (&[1, 1][..], false));
        // exec
        census.on_process(1, shell);
        assert_eq!(census.counts(), [0, 2]);
        census.on_end(3);
        census.retain(|pid| pid == 2);
        assert_eq!((census.counts(), census.members().count()), (&[0, 1][..], 1));
        census.on_end(2);
        census.on_end(2);
        assert_eq!(census.counts(), [0, 0]);
    }
}
