//! Where log lines go: a bounded queue that is written out after the work of a turn is done.
//!
//! Nothing here ever waits. A syslog that is gone, a terminal that was stopped, a pipe that nobody
//! reads: lines stay in the queue, then the oldest stay and new ones are counted as lost, and one
//! line says how many once the sink takes lines again. An advert never waits for a log line.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use syslog::{Facility, Formatter3164, LogFormat, Severity};

use crate::base::{Instant, Span};
use crate::io::clock::{self, LocalTime};
use crate::io::sockets::SyslogSocket;

/// Lines that wait for a sink, at most this many bytes of them.
const QUEUE_BYTES: usize = 256 * 1024;
/// Lines written in one turn, so that a storm of them does not hold up the next.
const LINES_A_TURN: usize = 128;
/// When to try again after a sink took no more; twice as long after each failure, up to
/// [`RETRY_MAX`].
const RETRY_MIN: Span = Span::from_millis(20);
const RETRY_MAX: Span = Span::from_secs(1);

static QUEUE: Mutex<Queue> = Mutex::new(Queue { lines: VecDeque::new(), bytes: 0, lost: 0 });

struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    lost: u64,
}

struct Line {
    level: Level,
    at: LocalTime,
    text: String,
}

struct ToQueue;

/// The writing end of the queue.
pub(super) struct Journal {
    sink: Sink,
    buffer: Vec<u8>,
    retry_at: Instant,
    retry_after: Span,
}

enum Sink {
    /// Standard error or a file, one line each with its time.
    File(File),
    /// `/dev/log`, RFC 3164.
    Syslog(SyslogSocket, Formatter3164),
    /// Nowhere.
    None,
}

/// Makes `log`'s macros write to the queue, from the level `detail` asks for; nothing is even
/// formatted for a journal that goes nowhere.
pub(super) fn install(journal: &Journal, detail: bool) {
    // A second call (in tests) changes the level only.
    let _ = log::set_logger(&ToQueue);
    log::set_max_level(match (&journal.sink, detail) {
        (Sink::None, _) => LevelFilter::Off,
        (_, true) => LevelFilter::Debug,
        (_, false) => LevelFilter::Info,
    });
}

impl Log for ToQueue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.bytes + text.len() > QUEUE_BYTES {
            queue.lost += 1;
            return;
        }
        queue.bytes += text.len();
        queue.lines.push_back(Line { level: record.level(), at: clock::local_time(), text });
    }

    fn flush(&self) {}
}

impl Journal {
    /// Writes to standard error. A pipe or terminal is opened a second time, so that it can be made
    /// non-blocking for us without becoming so for whoever shares it. A file is not: where we write
    /// to it, whoever shares it goes on.
    pub(super) fn console() -> Self {
        let shared = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
        let is_file = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
        let stderr = match shared {
            Ok(file) if is_file(&file) => Ok(file),
            shared => OpenOptions::new()
                .append(true)
                .custom_flags(libc::O_NONBLOCK)
                .open("/proc/self/fd/2")
                .or(shared),
        };
        Journal::to(stderr.map_or(Sink::None, Sink::File))
    }

    /// Appends to the file at `path`.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(super) fn file(path: &Path) -> std::io::Result<Self> {
        // Non-blocking, so that a FIFO without a reader is an error and not a wait.
        let flags = libc::O_NONBLOCK;
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o640).custom_flags(flags).open(path)?;
        Ok(Journal::to(Sink::File(file)))
    }

    /// Sends to the system log as `ident` with this facility.
    pub(super) fn syslog(ident: &str, facility: Facility) -> Self {
        let format = Formatter3164 {
            facility,
            hostname: None,
            process: ident.to_owned(),
            pid: std::process::id(),
        };
        Journal::to(Sink::Syslog(SyslogSocket::new(Path::new(SyslogSocket::DEFAULT_PATH)), format))
    }

    /// Drops every line.
    pub(super) fn nowhere() -> Self {
        Journal::to(Sink::None)
    }

    fn to(sink: Sink) -> Self {
        Journal {
            sink,
            buffer: Vec::with_capacity(512),
            retry_at: Instant::ZERO,
            retry_after: RETRY_MIN,
        }
    }

    /// When [`Journal::flush`] has something to do: never, while no line waits.
    pub(super) fn wake_at(&self) -> Instant {
        let queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.lines.is_empty() && queue.lost == 0 { Instant::NEVER } else { self.retry_at }
    }

    /// Writes what waits, as far as the sink takes it now and up to a budget of lines.
    pub(super) fn flush(&mut self, now: Instant) {
        if now < self.retry_at {
            return;
        }
        for _ in 0..LINES_A_TURN {
            let Some(line) = next_line() else { return };
            if self.write(now, &line).is_err() {
                put_back(line);
                self.retry_at = now + self.retry_after;
                self.retry_after = self.retry_after.times(2).min(RETRY_MAX);
                return;
            }
            self.retry_after = RETRY_MIN;
        }
    }

    /// Writes all that waits, within about `patience`: for the end of the program.
    pub(super) fn drain(&mut self, patience: std::time::Duration) {
        let give_up = std::time::Instant::now() + patience;
        while self.wake_at() != Instant::NEVER && std::time::Instant::now() < give_up {
            self.retry_at = Instant::ZERO;
            self.flush(clock::now());
            if self.retry_at != Instant::ZERO {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }

    fn write(&mut self, now: Instant, line: &Line) -> std::io::Result<()> {
        self.buffer.clear();
        match &mut self.sink {
            Sink::File(file) => {
                writeln!(self.buffer, "{} {}", line.at, line.text)?;
                file.write_all(&self.buffer)
            }
            Sink::Syslog(socket, format) => {
                // Formatting into memory can't fail.
                let _ = format.format(&mut self.buffer, severity(line.level), &line.text);
                match socket.send(now, &self.buffer) {
                    true => Ok(()),
                    false => Err(std::io::ErrorKind::WouldBlock.into()),
                }
            }
            Sink::None => Ok(()),
        }
    }
}

fn next_line() -> Option<Line> {
    let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(line) = queue.lines.pop_front() {
        queue.bytes -= line.text.len();
        return Some(line);
    }
    // A burst of thousands of lines is no reason to keep room for them for good.
    queue.lines.shrink_to(LINES_A_TURN);
    let lost = std::mem::take(&mut queue.lost);
    (lost > 0).then(|| Line {
        level: Level::Warn,
        at: clock::local_time(),
        text: format!("{lost} log lines were lost here: nobody took them fast enough"),
    })
}

fn put_back(line: Line) {
    let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
    queue.bytes += line.text.len();
    queue.lines.push_front(line);
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_ERR,
        Level::Warn => Severity::LOG_WARNING,
        Level::Info => Severity::LOG_INFO,
        Level::Debug | Level::Trace => Severity::LOG_DEBUG,
    }
}
