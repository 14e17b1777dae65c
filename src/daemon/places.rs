//! Where this daemon is and has its files, and what it is called in the log: what the command line
//! says, else the configuration, and apart for each of several on a host.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::args::Arguments;
use crate::config::Global;

/// Files of a daemon that is not the only one, or is told to (`use_pid_dir`), are in here.
const RUN_DIRECTORY: &str = "/run/viprd";
const PID_FILE: &str = "/run/viprd.pid";

/// Where one daemon is, as its start has it: a reload changes nothing of it.
#[derive(Debug, PartialEq)]
pub(super) struct Places {
    /// The network namespace that it runs in, unless that of its caller.
    pub namespace: Option<String>,
    /// The control socket.
    pub control: PathBuf,
    /// What is logged to by `-g` that names no file.
    pub log: PathBuf,
    /// What follows its name in the log, and in the names of its files: `_NAMESPACE_INSTANCE`.
    pub suffix: String,
    pid_files: Vec<PathBuf>,
}

impl Places {
    /// Those of a daemon that was started with these arguments and settings.
    pub(super) fn of(arguments: &Arguments, global: &Global) -> Self {
        let namespace = arguments.namespace.clone().or_else(|| global.net_namespace.clone());
        let names = [namespace.as_deref(), global.instance.as_deref()];
        let suffix: String =
            names.iter().flatten().map(|name| format!("_{}", name.replace('/', "_"))).collect();
        let own = |end: &str| Path::new(RUN_DIRECTORY).join(format!("viprd{suffix}.{end}"));
        let pid = match suffix.is_empty() && !global.use_pid_dir {
            true => PID_FILE.into(),
            false => own("pid"),
        };
        let pid = arguments.pid.clone().unwrap_or(pid);
        Places {
            control: arguments.control.clone().unwrap_or_else(|| own("sock")),
            log: format!("/tmp/viprd{suffix}.log").into(),
            pid_files: [Some(pid), arguments.vrrp_pid.clone()].into_iter().flatten().collect(),
            namespace,
            suffix,
        }
    }

    /// Makes the pid files that are there already ours. What an earlier daemon has left behind is
    /// nobody's: a lock on each ends with its process, however that ends. Those that are not there
    /// yet stay away: programs take one that is there for a daemon that runs.
    ///
    /// # Errors
    /// Those of opening, with the file's name; `AddrInUse` if a daemon runs that has one of them.
    pub(super) fn claim_pid_files(&self) -> io::Result<PidFiles> {
        let mut claimed = PidFiles(Vec::new());
        for path in &self.pid_files {
            if claimed.0.iter().any(|(other, _)| other == path) {
                continue;
            }
            let file = match path.exists() {
                true => Some(locked(path)?),
                false => None,
            };
            claimed.0.push((path.clone(), file));
        }
        Ok(claimed)
    }
}

/// The pid files, locked as far as they are there; removed at the end, once they are written.
pub(super) struct PidFiles(Vec<(PathBuf, Option<File>)>);

impl PidFiles {
    /// Writes the process id into each.
    ///
    /// # Errors
    /// As those of [`Places::claim_pid_files`], and those of writing.
    pub(super) fn write(&mut self) -> io::Result<()> {
        for (path, file) in &mut self.0 {
            let file = match file {
                Some(file) => file,
                None => {
                    if let Some(directory) = path.parent() {
                        // If this fails, opening says so.
                        let _ = fs::create_dir_all(directory);
                    }
                    file.insert(locked(path)?)
                }
            };
            let written = file
                .set_len(0)
                .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
            written.map_err(|cause| about(path, &cause))?;
        }
        Ok(())
    }
}

/// The file at `path`, made if it isn't there, with a lock that nobody else has.
fn locked(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(|cause| about(path, &cause))?;
    match file.try_lock() {
        // A file system without locks: as without this.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(path).unwrap_or_default();
            let text = format!(
                "a daemon runs already: process {} holds the pid file {}; stop it, or give this \
                 one another with -p, and another --control",
                pid.trim(),
                path.display()
            );
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        for (path, file) in &self.0 {
            if file.is_some() {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn about(path: &Path, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("can't write the pid file {}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(namespace: Option<&str>, instance: Option<&str>) -> Global {
        Global {
            net_namespace: namespace.map(str::to_owned),
            instance: instance.map(str::to_owned),
            ..Global::default()
        }
    }

    fn shown(arguments: &Arguments, global: &Global) -> [String; 3] {
        let places = Places::of(arguments, global);
        [&places.pid_files[0], &places.control, &places.log].map(|path| path.display().to_string())
    }

    #[test]
    fn several_daemons_have_files_apart() {
        let plain = Arguments::default();
        let only = ["/run/viprd.pid", "/run/viprd/viprd.sock", "/tmp/viprd.log"];
        assert_eq!(shown(&plain, &named(None, None)), only);
        let in_directory = Global { use_pid_dir: true, ..Global::default() };
        assert_eq!(shown(&plain, &in_directory)[0], "/run/viprd/viprd.pid");
        for (global, name) in [
            (named(None, Some("a")), "viprd_a"),
            (named(Some("red"), None), "viprd_red"),
            (named(Some("red"), Some("../a")), "viprd_red_.._a"),
        ] {
            let [pid, control, log] = shown(&plain, &global);
            assert_eq!(pid, format!("/run/viprd/{name}.pid"));
            assert_eq!(control, format!("/run/viprd/{name}.sock"));
            assert_eq!(log, format!("/tmp/{name}.log"));
        }
    }

    #[test]
    fn the_command_line_wins() {
        let arguments = Arguments {
            namespace: Some("blue".into()),
            pid: Some("/tmp/p".into()),
            vrrp_pid: Some("/tmp/r".into()),
            control: Some("/tmp/c".into()),
            ..Arguments::default()
        };
        let places = Places::of(&arguments, &named(Some("red"), Some("a")));
        assert_eq!(places.namespace.as_deref(), Some("blue"));
        assert_eq!(places.suffix, "_blue_a");
        assert_eq!(places.control, Path::new("/tmp/c"));
        assert_eq!(places.pid_files, [PathBuf::from("/tmp/p"), "/tmp/r".into()]);
    }
}
