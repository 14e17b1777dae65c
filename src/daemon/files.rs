//! Tracked files: a number in each, read again whenever somebody has written or replaced it.
//!
//! What is watched is the directory (`inotify(7)`): most programs replace a file rather than write into
//! it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{debug, info, warn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::base::{Instant, Span, TrackId};
use crate::config::{TrackFile, Tracker, TrackerKind};
use crate::vrrp::Standing;

/// What may have changed a file.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);
/// How often to look whether a directory that is not there has come.
const RETRY: Span = Span::from_secs(1);

/// All tracked files.
pub(super) struct Files {
    inotify: Option<Inotify>,
    files: BTreeMap<TrackId, Watched>,
    directories: HashMap<WatchDescriptor, Vec<TrackId>>,
    ready: bool,
    /// When to look again for directories that are not there.
    retry_at: Instant,
    learned: Vec<(TrackId, Standing)>,
}

struct Watched {
    name: Box<str>,
    what: TrackFile,
    file_name: OsString,
    number: Option<i32>,
}

impl Files {
    /// No files yet.
    pub(super) fn new() -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        Files {
            inotify: inotify
                .inspect_err(|cause| warn!("tracked files are read but once: {cause}"))
                .ok(),
            files: BTreeMap::new(),
            directories: HashMap::new(),
            ready: false,
            retry_at: Instant::NEVER,
            learned: Vec::new(),
        }
    }

    /// What becomes readable when a file may have changed.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inotify.as_ref()?.as_fd())
    }

    /// These files are tracked from now on, and no others.
    pub(super) fn track(&mut self, now: Instant, trackers: &[Tracker]) {
        let mut former = std::mem::take(&mut self.files);
        for tracker in trackers {
            let TrackerKind::File(what) = &tracker.what else { continue };
            let file_name = Path::new(&*what.path).file_name().unwrap_or_default().to_owned();
            let number = former
                .remove(&tracker.id)
                .and_then(|old| (old.what == *what).then_some(old.number).flatten());
            if number.is_none() {
                make(what);
            }
            let name = tracker.name.clone();
            let watched = Watched { name, what: what.clone(), file_name, number };
            self.files.insert(tracker.id, watched);
        }
        if let Some(inotify) = &self.inotify {
            for (directory, _) in self.directories.drain() {
                // It may have gone by itself.
                let _ = inotify.rm_watch(directory);
            }
        }
        self.watch(now);
    }

    /// The descriptor is ready.
    pub(super) fn on_ready(&mut self) {
        self.ready = true;
    }

    /// When [`Files::turn`] has work.
    pub(super) fn wake_at(&self) -> Instant {
        if self.ready || !self.learned.is_empty() { Instant::ZERO } else { self.retry_at }
    }

    /// Reads what has changed.
    pub(super) fn turn(&mut self, now: Instant) {
        if now >= self.retry_at {
            self.watch(now);
        }
        if !std::mem::take(&mut self.ready) {
            return;
        }
        let Some(inotify) = &self.inotify else { return };
        let mut changed = Vec::new();
        let mut all = false;
        while let Ok(events) = inotify.read_events() {
            for event in events {
                all |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                all |= event.mask.contains(AddWatchFlags::IN_IGNORED);
                let here = self.directories.get(&event.wd).map_or(&[][..], Vec::as_slice);
                changed.extend(here.iter().copied().filter(|id| {
                    let file = self.files.get(id);
                    file.is_some_and(|file| event.name.as_ref() == Some(&file.file_name))
                }));
            }
        }
        if all {
            // Something was lost, or a directory has gone: begin anew.
            self.directories.clear();
            self.watch(now);
        }
        for id in changed {
            self.read(id);
        }
    }

    /// What has been learned; to be taken until there is none.
    pub(super) fn next_standing(&mut self) -> Option<(TrackId, Standing)> {
        self.learned.pop()
    }

    /// Watches every directory that is there, and reads what is in it.
    fn watch(&mut self, now: Instant) {
        self.retry_at = Instant::NEVER;
        let ids: Vec<TrackId> = self.files.keys().copied().collect();
        for id in ids {
            if let (Some(inotify), Some(file)) = (&self.inotify, self.files.get(&id)) {
                let path = PathBuf::from(&*file.what.path);
                let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
                match inotify.add_watch(directory.unwrap_or(Path::new(".")), CHANGES) {
                    Ok(watch) => {
                        let here = self.directories.entry(watch).or_default();
                        if !here.contains(&id) {
                            here.push(id);
                        }
                    }
                    Err(cause) => {
                        debug!("track_file {}: {}: {cause}", file.name, file.what.path);
                        self.retry_at = now + RETRY;
                    }
                }
            }
            self.read(id);
        }
    }

    fn read(&mut self, id: TrackId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let number = number_in(Path::new(&*file.what.path));
        if file.number == Some(number) {
            return;
        }
        if file.number.replace(number).is_some() {
            info!("track_file {} now holds {number}", file.name);
        }
        self.learned.push((id, Standing::Number(number)));
    }
}

/// The number that a file begins with; 0 if there is no such file, or no number in it.
fn number_in(path: &Path) -> i32 {
    let mut text = [0; 64];
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let length = options.open(path).and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    let word = text.split_whitespace().next().unwrap_or_default();
    let number: i64 = word.parse().unwrap_or(0);
    number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// `init_file`: makes the file.
fn make(what: &TrackFile) {
    let Some(number) = what.init else { return };
    if (what.overwrite || !Path::new(&*what.path).exists())
        && let Err(cause) = fs::write(&*what.path, format!("{number}\n"))
    {
        warn!("can't make {}: {cause}", what.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(path: &Path, init: Option<i32>) -> Tracker {
        let what = TrackFile { path: path.display().to_string().into(), init, overwrite: false };
        Tracker { id: TrackId(3), name: "f".into(), what: TrackerKind::File(what) }
    }

    fn learn(files: &mut Files) -> Vec<Standing> {
        files.on_ready();
        files.turn(Instant::ZERO + RETRY.times(2));
        std::iter::from_fn(|| files.next_standing()).map(|(_, standing)| standing).collect()
    }

    #[test]
    fn numbers_are_read_when_they_change() {
        let directory = std::env::temp_dir().join(format!("viprd-files-{}", std::process::id()));
        let path = directory.join("number");
        let mut files = Files::new();
        files.track(Instant::ZERO, &[tracker(&path, Some(7))]);
        assert_eq!(learn(&mut files), [Standing::Number(0)], "no directory yet");
        fs::create_dir(&directory).unwrap();
        files.retry_at = Instant::ZERO;
        assert_eq!(learn(&mut files), []);
        for (text, number) in
            [("5\n", 5), ("-30 and more", -30), ("x", 0), ("99999999999", i32::MAX)]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(learn(&mut files), [Standing::Number(number)], "{text}");
        }
        let other = directory.join("other");
        fs::write(&other, "12").unwrap();
        assert_eq!(learn(&mut files), []);
        fs::rename(&other, &path).unwrap();
        assert_eq!(learn(&mut files), [Standing::Number(12)]);
        fs::remove_file(&path).unwrap();
        assert_eq!(learn(&mut files), [Standing::Number(0)]);
        files.track(Instant::ZERO, &[tracker(&path, Some(7))]);
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), "");
        fs::remove_dir_all(&directory).unwrap();
    }
}
