//! Settings of interfaces (`/proc/sys/net`): written when the kernel room asks, at the start and at
//! a reload; those of interfaces that aren't ours are put back at the end.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::kernel::Setting;

/// What has been changed on interfaces that aren't ours.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    /// Each file with what it said before, in the order in which they were changed.
    changed: Vec<(PathBuf, String)>,
}

impl Sysctls {
    /// Makes one setting. A kernel that doesn't have it doesn't need it.
    ///
    /// # Errors
    /// Those of reading and writing, with the file's name.
    pub(super) fn write(&mut self, setting: &Setting) -> io::Result<()> {
        let Setting { family, interface, name, value, borrowed } = setting;
        let path = Path::new("/proc/sys/net").join(family).join("conf").join(interface).join(name);
        let explain =
            |cause: io::Error| io::Error::new(cause.kind(), format!("{}: {cause}", path.display()));
        let before = match fs::read_to_string(&path) {
            Ok(before) => before,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(explain(cause)),
        };
        let before = before.trim();
        let number = before.parse::<i64>();
        let value = i64::from(*value);
        if number.is_ok_and(|number| number == value || *borrowed && number > value) {
            return Ok(());
        }
        fs::write(&path, value.to_string()).map_err(explain)?;
        if *borrowed && !self.changed.iter().any(|(changed, _)| *changed == path) {
            self.changed.push((path, before.to_owned()));
        }
        Ok(())
    }

    /// Puts back what was there before, unless somebody has removed it.
    pub(super) fn restore(&mut self) {
        for (path, before) in self.changed.drain(..).rev() {
            let _ = fs::write(path, before);
        }
    }
}
