//! A line that says what the bench waits for, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The line; gone when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    /// None: nothing is shown for now.
    text: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to show it, if `wanted` and standard error is a terminal.
    pub(crate) fn start(wanted: bool) -> Self {
        let text = Arc::new(Mutex::new(Some(String::new())));
        let stop = Arc::new(AtomicBool::new(false));
        let shown = wanted && io::stderr().is_terminal();
        let thread = shown.then(|| {
            let (text, stop) = (Arc::clone(&text), Arc::clone(&stop));
            thread::spawn(move || run(&text, &stop))
        });
        Progress { text, stop, thread }
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, text: impl Into<String>) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }

    /// Takes the line away until something else is said: others write to the terminal.
    pub(crate) fn pause(&self) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        *text = None;
        if self.thread.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only writes to the terminal; whatever happened to it is of no matter.
            let _ = thread.join();
        }
    }
}

fn run(text: &Mutex<Option<String>>, stop: &AtomicBool) {
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // Held while it is written, so that nothing is once `pause` has returned.
        let said = text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = &*said {
            let seconds = start.elapsed().as_secs();
            // `\x1b[K` clears what a longer line left behind.
            let _ = write!(io::stderr(), "\r{seconds:>4} s  {said}\x1b[K");
            let _ = io::stderr().flush();
        }
        drop(said);
        thread::sleep(Duration::from_millis(100));
    }
    let _ = write!(io::stderr(), "\r\x1b[K");
}
