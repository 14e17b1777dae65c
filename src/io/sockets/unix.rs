//! Local sockets (`unix(7)`): the door that the operator's client knocks at, and the way to the
//! system's log.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::Pid;

use super::{bind, open};
use crate::base::{Instant, Span};

/// Clients that may wait to be accepted.
const BACKLOG: libc::c_int = 64;
/// Time between two attempts to reach the log again.
const RECONNECT: Span = Span::from_secs(1);

/// A listening stream socket at a path of the file system. Its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, so that another daemon's is never removed.
    file: (u64, u64),
}

impl ControlSocket {
    /// Who may connect unless said otherwise: the daemon's own user.
    pub const DEFAULT_MODE: u32 = 0o600;

    /// Listens at `path`, for those whom the permission bits `mode` let write to it. A missing
    /// directory is made (mode 755). A socket file that nobody answers at is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when a living process answers there, `AlreadyExists` when the file is not a
    /// socket; `InvalidInput` when the path is longer than 107 bytes; those of the file system.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        }
        remove_stale(path)?;
        let socket = open(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
        // A socket's own mode is that of the file which `bind` makes, so there is no moment in
        // which others could connect, and the process's umask stays as it is.
        // SAFETY: a descriptor that is open and a number.
        if unsafe { libc::fchmod(socket.as_raw_fd(), mode as libc::mode_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Under another name first: who sees the file finds somebody who listens.
        let hidden = path.with_file_name(format!(".{}", std::process::id()));
        address(path)?;
        let made_at = if address(&hidden).is_ok() { &hidden } else { path };
        // What has this process's number is nobody else's.
        let _ = fs::remove_file(&hidden);
        let (address, len) = address(made_at)?;
        bind(&socket, &address, len)?;
        // SAFETY: a descriptor that is open and a number.
        if unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // What the umask has taken away is given back.
        fs::set_permissions(made_at, fs::Permissions::from_mode(mode))?;
        if made_at != path {
            // Unlike a new name, a second one never takes the place of somebody else's.
            let linked = fs::hard_link(made_at, path);
            fs::remove_file(made_at)?;
            linked.map_err(|cause| match cause.kind() {
                io::ErrorKind::AlreadyExists => in_use(path),
                _ => cause,
            })?;
        }
        let file = fs::symlink_metadata(path)?;
        Ok(ControlSocket {
            listener: UnixListener::from(socket),
            path: path.to_owned(),
            file: (file.dev(), file.ino()),
        })
    }

    /// The next client that waits, non-blocking and closed on exec; `None` if there is none.
    ///
    /// # Errors
    /// Those of `accept(2)`, such as `EMFILE`.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    return Ok(Some(stream));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| (file.dev(), file.ino()) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket file that no process listens at any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if !file.file_type().is_socket() {
        let text = format!("{} exists and is not a socket", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match connect_stream(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A killed process's ring keeps its sockets until the kernel has taken it apart, some
        // milliseconds after the process has gone: nobody will ever accept.
        Ok(socket) if !listener_lives(&socket) => fs::remove_file(path),
        // Connected, or so busy that it can't be just now: somebody lives there.
        Ok(_) => Err(in_use(path)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use(path)),
        Err(error) => Err(error),
    }
}

/// Whether the process that listens at the other end is there; also if that can't be told.
fn listener_lives(socket: &OwnedFd) -> bool {
    // Who called `listen` (`SO_PEERCRED` in `unix(7)`); 0 in another PID namespace.
    let pid = getsockopt(socket, PeerCredentials).map_or(0, |listener| listener.pid());
    if pid <= 0 {
        return true;
    }
    let alive = kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH);
    // One that only waits for its parent (`proc_pid_stat(5)`) closes its descriptors no more.
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(|&byte| byte == b')').next().and_then(|rest| rest.get(1));
    alive && !matches!(state, Some(b'Z' | b'X'))
}

fn in_use(path: &Path) -> io::Error {
    let text = format!("another process answers at {}", path.display());
    io::Error::new(io::ErrorKind::AddrInUse, text)
}

/// Connects without waiting for room in the listener's backlog.
fn connect_stream(path: &Path) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    let (address, len) = address(path)?;
    let len = len as libc::socklen_t;
    // SAFETY: the address lives through the call and is as long as said.
    match unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

fn address(path: &Path) -> io::Result<(libc::sockaddr_un, usize)> {
    // SAFETY: an address of zeros is valid: numbers and bytes.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= address.sun_path.len() {
        let text = format!("{} can't be the path of a socket", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    for (to, &from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from as libc::c_char;
    }
    Ok((address, mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1))
}

/// The way to the system's log, a datagram socket connected to `/dev/log` (`syslog(3)`), that
/// never waits: a message that can't be sent now is lost and counted. A log that has gone is
/// looked for again, once a second at most.
#[derive(Debug)]
pub struct SyslogSocket {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    next_attempt: Instant,
    lost: u64,
}

impl SyslogSocket {
    /// Where system logs listen.
    pub const DEFAULT_PATH: &str = "/dev/log";

    /// A socket for the log at `path`, which is looked for when the first message is sent.
    pub fn new(path: &Path) -> Self {
        SyslogSocket { path: path.to_owned(), socket: None, next_attempt: Instant::ZERO, lost: 0 }
    }

    /// Sends one message, already formatted; `now` is on the clock of all deadlines. Whether the
    /// log took it: if not, it is lost and counted.
    pub fn send(&mut self, now: Instant, message: &[u8]) -> bool {
        let sent = self.try_send(now, message);
        self.lost += u64::from(!sent);
        sent
    }

    /// How many messages have been lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn try_send(&mut self, now: Instant, message: &[u8]) -> bool {
        if let Some(socket) = &self.socket {
            match socket.send(message) {
                Ok(_) => return true,
                Err(error) if !has_gone(&error) => return false,
                Err(_) => self.socket = None,
            }
        }
        if now < self.next_attempt {
            return false;
        }
        self.next_attempt = now + RECONNECT;
        let Ok(socket) = self.connect() else { return false };
        let sent = socket.send(message).is_ok();
        self.socket = Some(socket);
        sent
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        Ok(socket)
    }
}

/// Whether nobody reads from the other end any more. (A full queue is only a message lost.)
fn has_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::ECONNRESET | libc::ENOTCONN | libc::EPIPE)
    )
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};

    use super::*;

    /// A path of its own, gone at the end.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("viprd-test-{}-{number}", process::id());
            let place = std::env::temp_dir().join(name);
            fs::create_dir(&place).unwrap();
            Place(place)
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn control_socket_is_its_users_alone_and_goes_with_the_daemon() {
        let place = Place::new();
        let path = place.at("made/on/demand/control.sock");
        let socket = ControlSocket::bind(&path, ControlSocket::DEFAULT_MODE).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(socket.accept().unwrap().is_none());
        let _client = UnixStream::connect(&path).unwrap();
        let server = socket.accept().unwrap().unwrap();
        let error = io::Read::read(&mut &server, &mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(socket);
        assert!(!path.exists());
        let socket = ControlSocket::bind(&path, 0o666).unwrap();
        assert_eq!(fs::metadata(socket.path()).unwrap().permissions().mode() & 0o777, 0o666);
    }

    #[test]
    fn control_socket_replaces_a_stale_one_only() {
        let place = Place::new();
        let path = place.at("control.sock");
        // Closing alone would do, were there no other tests that start processes: these hold each
        // descriptor for a moment.
        let stale = UnixStream::from(OwnedFd::from(UnixListener::bind(&path).unwrap()));
        stale.shutdown(Shutdown::Both).unwrap();
        drop(stale);
        assert!(path.exists());
        let socket = ControlSocket::bind(&path, 0o600).unwrap();
        let error = ControlSocket::bind(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok(), "the living one is still there");

        // Somebody else's file in its place is not removed with it.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "not a socket").unwrap();
        drop(socket);
        let error = ControlSocket::bind(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"not a socket");
    }

    /// As after a crash, while the kernel takes the ring apart: the socket is open, its process gone.
    #[test]
    fn control_socket_replaces_that_of_a_process_that_has_gone() {
        let place = Place::new();
        let path = place.at("control.sock");
        let socket = open(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap();
        let (address, len) = address(&path).unwrap();
        super::bind(&socket, &address, len).unwrap();
        // SAFETY: the child makes two system calls and nothing else.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe {
                libc::listen(socket.as_raw_fd(), BACKLOG);
                libc::_exit(0);
            }
        }
        let child = Pid::from_raw(child);
        waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert!(UnixStream::connect(&path).is_ok(), "one could believe that it lives");
        drop(ControlSocket::bind(&path, 0o600).expect("a zombie is as good as gone"));
        waitpid(child, None).unwrap();
    }

    #[test]
    fn control_socket_with_a_full_backlog_is_alive() {
        let place = Place::new();
        let path = place.at("control.sock");
        let _socket = ControlSocket::bind(&path, 0o600).unwrap();
        let mut waiting = Vec::new();
        while let Ok(client) = connect_stream(&path) {
            waiting.push(client);
        }
        let error = ControlSocket::bind(&path, 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn paths_that_no_socket_can_have_are_refused() {
        let place = Place::new();
        let long = place.at(&"x".repeat(120));
        for path in [Path::new(""), &long] {
            assert!(ControlSocket::bind(path, 0o600).is_err(), "{}", path.display());
        }
    }

    fn second(number: u64) -> Instant {
        Instant::ZERO + Span::from_secs(number)
    }

    #[test]
    fn syslog_comes_back_after_the_log_was_restarted() {
        let place = Place::new();
        let path = place.at("log");
        let mut syslog = SyslogSocket::new(&path);
        let mut bytes = [0; 100];
        assert!(!syslog.send(second(10), b"nobody is there"));

        let log = UnixDatagram::bind(&path).unwrap();
        assert!(!syslog.send(second(10), b"too soon to look again"));
        assert!(syslog.send(second(11), b"hello"));
        assert_eq!(log.recv(&mut bytes).unwrap(), 5);
        assert!(syslog.send(second(11), b"at once"));

        log.shutdown(Shutdown::Both).unwrap();
        drop(log);
        fs::remove_file(&path).unwrap();
        assert!(!syslog.send(second(13), b"it has gone"));
        let log = UnixDatagram::bind(&path).unwrap();
        assert!(!syslog.send(second(13), b"too soon to look again"));
        assert!(syslog.send(second(14), b"back"));
        assert_eq!(log.recv(&mut bytes).unwrap(), 4);
        assert_eq!(syslog.lost(), 4);
    }

    #[test]
    fn syslog_that_does_not_read_costs_messages_and_no_time() {
        let place = Place::new();
        let path = place.at("log");
        let log = UnixDatagram::bind(&path).unwrap();
        let mut syslog = SyslogSocket::new(&path);
        let sent = (0..10_000).filter(|_| syslog.send(second(1), b"message")).count();
        assert!(sent > 0 && sent < 10_000);
        assert_eq!(syslog.lost(), 10_000 - sent as u64);
        log.recv(&mut [0; 100]).unwrap();
        assert!(syslog.send(second(1), b"room again"));
    }
}
