//! A named pipe that lines are written to, whether anybody reads or not (`fifo(7)`).

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A named pipe, open for writing. It is removed when dropped, if it is still the one that was made.
#[derive(Debug)]
pub struct Fifo {
    file: File,
    path: PathBuf,
    inode: u64,
    made: bool,
}

impl Fifo {
    /// Makes the pipe at `path`, or takes the one that is there, and gives it to `owner` (user and
    /// group id).
    ///
    /// # Errors
    /// Those of `mkfifo(3)` and `open(2)`; `AlreadyExists` if something else has the path.
    pub fn open(path: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: a text that ends with NUL and lives through the call, and a number.
        let made = unsafe { libc::mkfifo(name.as_ptr(), 0o644) } == 0;
        if !made {
            let cause = io::Error::last_os_error();
            let is_fifo = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_fifo());
            if !is_fifo {
                return Err(cause);
            }
        }
        // Open for reading as well, it never lacks a reader: opening and writing do not wait or fail.
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        let file = options.open(path)?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
        let inode = file.metadata()?.ino();
        Ok(Fifo { file, path: path.to_owned(), inode, made })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line of less than 4096 bytes, whole or not at all; whether there was room for it.
    ///
    /// # Errors
    /// Those of `write(2)`.
    pub fn write(&mut self, line: &[u8]) -> io::Result<bool> {
        match self.file.write(line) {
            Ok(length) => Ok(length == line.len()),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// How many bytes nobody has read yet.
    pub fn unread(&self) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: an open descriptor, and an integer that lives through the call.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::FIONREAD, &mut count) };
        if result == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if ours && self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn lines_wait_for_a_reader_and_never_in_halves() {
        let path = std::env::temp_dir().join(format!("viprd-fifo-{}", std::process::id()));
        let mut fifo = Fifo::open(&path, None).unwrap();
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let mut written = 0;
        while fifo.write(&line).unwrap() {
            written += line.len();
        }
        assert!(written >= 4096);
        assert_eq!(fifo.unread(), written);
        let mut reader = OpenOptions::new().read(true).open(&path).unwrap();
        let mut bytes = vec![0; written];
        reader.read_exact(&mut bytes).unwrap();
        assert!(bytes.chunks(100).all(|chunk| chunk == line));
        assert_eq!(fifo.unread(), 0);
        drop(fifo);
        assert!(!path.exists());
        fs::write(&path, "no pipe").unwrap();
        assert!(Fifo::open(&path, None).is_err());
        fs::remove_file(&path).unwrap();
    }
}
