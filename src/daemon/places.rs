//! Where this daemon is and has its files, and what it is called in the log: what the command line
//! says, else the configuration, and apart for each of several on a host.

use std::fs;
use std::io;
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

    /// Writes the process id where it belongs.
    ///
    /// # Errors
    /// Those of writing, with the file's name.
    pub(super) fn write_pid_files(&self) -> io::Result<PidFiles> {
        let mut written = PidFiles(Vec::new());
        for path in &self.pid_files {
            if let Some(directory) = path.parent() {
                // If this fails, writing says so.
                let _ = fs::create_dir_all(directory);
            }
            fs::write(path, format!("{}\n", std::process::id())).map_err(|cause| {
                let text = format!("can't write the pid file {}: {cause}", path.display());
                io::Error::new(cause.kind(), text)
            })?;
            written.0.push(path.clone());
        }
        Ok(written)
    }
}

/// The pid files, removed at the end.
pub(super) struct PidFiles(Vec<PathBuf>);

impl Drop for PidFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
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
