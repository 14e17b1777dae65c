//! Files with the state, statistics and JSON, which keepalived writes when a signal asks for them:
//! programs that watch a keepalived read those.
//!
//! ```text
//!   signal ─► wanted ─► virtual routers, a slice a turn ─► a thread: text, file, rename ─► outcome
//! ```
//!
//! The loop only copies what is needed. A file appears whole: it is written under another name first.

use std::collections::HashMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, PipeReader, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use log::{debug, error};

use super::run::Daemon;
use super::tokens;
use crate::base::{Instant, RouterId};
use crate::config::Global;
use crate::control::{DaemonInfo, Dump, GroupDump, StatsDump, View};
use crate::io::{Io, clock, process};

/// Virtual routers copied in one turn: below half a millisecond of work.
const ROUTERS_A_TURN: usize = 64;
/// Who may read the files unless a umask is given: they tell what the configuration tells.
const MODE: u32 = 0o600;
/// The thread's stack, which may be locked in memory (`vrrp_no_swap`).
const STACK: usize = 256 << 10;

/// The dump under way, if there is one, and what is needed for the next.
pub(super) struct Dumps {
    files: Files,
    /// What a dump begins with.
    blank: Dump,
    json_version: u8,
    /// The namespace of the command line.
    namespace: Option<String>,
    mode: u32,
    started: Instant,
    /// What the next dump is to write.
    wanted: Wanted,
    stage: Stage,
    /// The counters as they were when they were cleared.
    cleared: HashMap<RouterId, StatsDump>,
    /// What is wrong with files, as it was last told.
    told: HashMap<PathBuf, String>,
}

/// Where the files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    data: PathBuf,
    stats: PathBuf,
    json: PathBuf,
}

/// What to write, and whether statistics begin anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) data: bool,
    pub(super) stats: bool,
    pub(super) json: bool,
    pub(super) clear: bool,
}

enum Stage {
    Idle,
    /// Virtual routers from that one on are still to be copied.
    Gathering(Wanted, RouterId, Dump),
    /// A thread writes. The pipe ends when it has.
    Writing {
        outcome: Receiver<Vec<Written>>,
        _told: PipeReader,
    },
}

/// A file that was to be written, and what went wrong.
type Written = (PathBuf, Option<String>);

/// What the thread is to do.
struct Order {
    wanted: Wanted,
    dump: Dump,
    files: Files,
    json_version: u8,
    mode: u32,
}

impl Dumps {
    /// As `global` wants it; `namespace` and `umask` are those of the command line.
    pub(super) fn new(global: &Global, namespace: Option<&str>, umask: Option<u32>) -> Self {
        let mut dumps = Dumps {
            files: Files::default(),
            blank: Dump::default(),
            json_version: 1,
            namespace: namespace.map(str::to_owned),
            mode: umask.map_or(MODE, |umask| 0o666 & !umask),
            started: clock::now(),
            wanted: Wanted::default(),
            stage: Stage::Idle,
            cleared: HashMap::new(),
            told: HashMap::new(),
        };
        dumps.configure(global);
        dumps
    }

    /// These settings hold from the next dump on.
    pub(super) fn configure(&mut self, global: &Global) {
        let namespace = self.namespace.clone().or_else(|| global.net_namespace.clone());
        self.blank = Dump {
            router_id: global.router_id.clone(),
            instance: global.instance.clone(),
            namespace: namespace.clone(),
            ..Dump::default()
        };
        let settings = &global.files;
        self.json_version = settings.json_version.unwrap_or(1);
        let parts = match settings.use_instance {
            true => [global.instance.as_deref(), namespace.as_deref()],
            false => [None, None],
        };
        let directory = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty());
        let directory = directory.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let file =
            |wanted: &Option<String>, kind| path(wanted.as_deref(), &directory, kind, &parts);
        self.files = Files {
            data: file(&settings.state, "data"),
            stats: file(&settings.stats, "stats"),
            json: file(&settings.json, "json"),
        };
    }

    /// Asks for a dump; what is asked for during another one follows it.
    pub(super) fn ask(&mut self, wanted: Wanted) {
        self.wanted = Wanted {
            data: self.wanted.data || wanted.data,
            stats: self.wanted.stats || wanted.stats,
            json: self.wanted.json || wanted.json,
            clear: self.wanted.clear || wanted.clear,
        };
    }

    /// A virtual router is no more: another may get its number.
    pub(super) fn forget(&mut self, router: RouterId) {
        self.cleared.remove(&router);
    }

    /// When the next slice wants a turn.
    pub(super) fn wake_at(&self) -> Instant {
        match self.stage {
            Stage::Idle if self.wanted == Wanted::default() => Instant::NEVER,
            Stage::Idle | Stage::Gathering(..) => Instant::ZERO,
            Stage::Writing { .. } => Instant::NEVER,
        }
    }

    /// The thread's pipe has come to its end.
    pub(super) fn on_written(&mut self, io: &mut dyn Io) {
        let Stage::Writing { outcome, .. } = &self.stage else { return };
        let written = match outcome.try_recv() {
            Ok(written) => written,
            // What we were told was about an earlier thread.
            Err(mpsc::TryRecvError::Empty) => return,
            Err(mpsc::TryRecvError::Disconnected) => {
                vec![(PathBuf::new(), Some("a dump failed by a fault of viprd's own".into()))]
            }
        };
        io.forget(tokens::DUMPS);
        self.stage = Stage::Idle;
        for file in written {
            self.tell(file);
        }
    }

    /// What keeps failing is told once.
    fn tell(&mut self, (path, failure): Written) {
        match failure {
            None => drop(self.told.remove(&path)),
            Some(failure) if self.told.get(&path) == Some(&failure) => {}
            Some(failure) => {
                error!("{failure}");
                self.told.insert(path, failure);
            }
        }
    }

    fn write(&mut self, wanted: Wanted, dump: Dump, io: &mut dyn Io) {
        let order = Order {
            wanted,
            dump,
            files: self.files.clone(),
            json_version: self.json_version,
            mode: self.mode,
        };
        match order.carry_out_apart(io) {
            Ok(stage) => self.stage = stage,
            Err(cause) => {
                let failure = format!("no dump can be written: {cause}");
                self.tell((PathBuf::new(), Some(failure)));
            }
        }
    }
}

impl Order {
    /// Writes in a thread of its own, which only has what processor time is left over.
    fn carry_out_apart(self, io: &mut dyn Io) -> io::Result<Stage> {
        let (pipe, told) = io::pipe()?;
        let (sender, outcome) = mpsc::channel();
        io.watch(tokens::DUMPS, pipe.as_fd())?;
        thread::Builder::new()
            .name("viprd-dump".into())
            .stack_size(STACK)
            .spawn(move || {
                // If the system refuses, the loop might have to wait for a slice of this thread's.
                let _ = process::Thread::this().set_idle(true);
                let written = self.carry_out();
                // What the loop has copied lies in its part of the heap, which this locks: the loop
                // must not wait for an idle thread.
                let _ = process::Thread::this().set_idle(false);
                drop(self);
                // Nobody listens any more if the daemon stops.
                let _ = sender.send(written);
                drop((sender, told));
                process::release_free_memory();
            })
            .inspect_err(|_| io.forget(tokens::DUMPS))?;
        Ok(Stage::Writing { outcome, _told: pipe })
    }

    /// Gives what came of each file.
    fn carry_out(&self) -> Vec<Written> {
        let Order { wanted, dump, files, json_version, mode } = self;
        let mut outcome = Vec::new();
        let mut put = |path: &Path, text: &str| {
            let failure = write_whole(path, text, *mode).err();
            let words = failure.map(|cause| format!("can't write {}: {cause}", path.display()));
            outcome.push((path.to_owned(), words));
        };
        if wanted.data {
            put(&files.data, &dump.data());
        }
        if wanted.stats {
            put(&files.stats, &dump.stats());
        }
        if wanted.json && !dump.routers.is_empty() {
            put(&files.json, &dump.json(*json_version));
        }
        outcome
    }
}

impl Daemon {
    /// Copies the next slice of what a dump is made of; the last one goes to a thread. If adverts are
    /// queued (`due`) it waits for the next turn.
    pub(super) fn advance_dump(&mut self, now: Instant, due: bool) {
        if due {
            return;
        }
        let stage = mem::replace(&mut self.dumps.stage, Stage::Idle);
        let (wanted, mut next, mut dump) = match stage {
            Stage::Idle if self.dumps.wanted == Wanted::default() => return,
            Stage::Idle => {
                let wanted = mem::take(&mut self.dumps.wanted);
                (wanted, RouterId(0), self.begin_dump())
            }
            Stage::Gathering(wanted, next, dump) => (wanted, next, dump),
            writing @ Stage::Writing { .. } => {
                self.dumps.stage = writing;
                return;
            }
        };
        let view = View {
            engine: &self.engine,
            names: &self.names,
            now,
            wall_now: clock::wall_nanos(),
            daemon: DaemonInfo {
                version: env!("CARGO_PKG_VERSION"),
                pid: std::process::id(),
                started: self.dumps.started,
                config_file: "",
                io: "",
                counters: &[],
                latency: &[],
            },
        };
        for _ in 0..ROUTERS_A_TURN {
            let Some(router) = self.engine.first_from(next) else {
                return self.dumps.write(wanted, dump, &mut *self.io);
            };
            next = RouterId(router.id.0 + 1);
            let mut copy = view.dump(&router);
            copy.notify = self.scripts.notify_dump(&router.params.name);
            let counted = copy.stats;
            if let Some(before) = self.dumps.cleared.get(&router.id) {
                copy.stats = counted.since(before);
            }
            if wanted.clear {
                self.dumps.cleared.insert(router.id, counted);
            }
            dump.routers.push(copy);
        }
        self.dumps.stage = Stage::Gathering(wanted, next, dump);
    }

    fn begin_dump(&self) -> Dump {
        debug!("A dump was asked for");
        let name = |&member| Some(self.engine.get(member)?.params.name.to_string());
        let groups = self.engine.groups().map(|(_, group)| GroupDump {
            name: group.name.to_owned(),
            state: group.state,
            faulty: group.faulty,
            members: group.members.iter().filter_map(name).collect(),
        });
        Dump {
            groups: groups.collect(),
            scripts: self.scripts.script_dumps(),
            processes: self.processes.dumps(),
            ..self.dumps.blank.clone()
        }
    }
}

/// Where a dump of that kind goes: to the file that is wanted, or into the directory (a path that
/// ends in a slash), else into `directory`. `parts` go into the name.
fn path(wanted: Option<&str>, directory: &Path, kind: &str, parts: &[Option<&str>; 2]) -> PathBuf {
    let mut path = match wanted {
        None => directory.join(format!("keepalived.{kind}")),
        Some(wanted) if wanted.ends_with('/') => {
            Path::new(wanted).join(format!("keepalived.{kind}"))
        }
        Some(wanted) => wanted.into(),
    };
    let added: String = parts.iter().flatten().map(|part| format!("_{part}")).collect();
    if !added.is_empty() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let end = path.extension().map(|end| format!(".{}", end.to_string_lossy()));
        // A name with a slash would lead elsewhere.
        let name = format!("{stem}{added}{}", end.unwrap_or_default()).replace('/', "_");
        path.set_file_name(name);
    }
    path
}

/// Replaces the file at `path`, or makes it. The directory may be everybody's: nobody's link is
/// followed, and what is no file stays.
fn write_whole(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let is_file = |kind: fs::FileType| kind.is_file() || kind.is_symlink();
    if fs::symlink_metadata(path).is_ok_and(|there| !is_file(there.file_type())) {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "it is there and no file"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    // From a process of our number that was killed meanwhile.
    let _ = fs::remove_file(&beside);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_keepalived_has_them_or_where_the_administrator_wants() {
        let tmp = Path::new("/var/tmp");
        let place = |wanted, parts| path(wanted, tmp, "json", parts).display().to_string();
        let none = &[None, None];
        assert_eq!(place(None, none), "/var/tmp/keepalived.json");
        assert_eq!(place(Some("/run/x/"), none), "/run/x/keepalived.json");
        assert_eq!(place(Some("/"), none), "/keepalived.json");
        assert_eq!(place(Some("/run/x/state.js"), none), "/run/x/state.js");
        let both = &[Some("a"), Some("b")];
        assert_eq!(place(None, both), "/var/tmp/keepalived_a_b.json");
        assert_eq!(place(None, &[None, Some("b")]), "/var/tmp/keepalived_b.json");
        assert_eq!(place(Some("/run/state"), both), "/run/state_a_b");
        assert_eq!(
            place(None, &[Some("../../etc/x"), None]),
            "/var/tmp/keepalived_.._.._etc_x.json"
        );
    }

    #[test]
    fn nobody_elses_link_is_followed() {
        let directory = std::env::temp_dir().join(format!("viprd-dumps-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (target, path) = (directory.join("shadow"), directory.join("keepalived.json"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        write_whole(&path, "[]", 0o640).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
        let there = fs::symlink_metadata(&path).unwrap();
        assert_eq!((there.is_file(), there.permissions().mode() & 0o777), (true, 0o640));
        fs::create_dir(directory.join("d")).unwrap();
        assert!(write_whole(&directory.join("d"), "[]", MODE).is_err());
        assert!(write_whole(&directory.join("none/f"), "[]", MODE).is_err());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3, "nothing else is left");
        fs::remove_dir_all(&directory).unwrap();
    }
}
