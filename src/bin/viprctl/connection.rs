//! The conversation with viprd, and how it can fail.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use viprd::control::{ErrorCode, ErrorRecord, Record, Request};

/// How long viprd may keep silent. It answers within a turn of its loop, so this is generous.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for a reload, which may have to wait for another one.
const RELOAD_PATIENCE: Duration = Duration::from_secs(120);

/// The longest record that is taken: far beyond a router with all addresses that a link can carry.
const MAX_RECORD: u64 = 64 * 1024 * 1024;

/// A connection to viprd.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

/// An answer as it comes: its records, up to its end or the first failure.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    connection: &'a mut Connection,
    line: Vec<u8>,
    over: bool,
}

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody answers at that socket.
    Unavailable {
        /// Where.
        socket: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// viprd refused the request.
    Refused(ErrorRecord),
    /// viprd has refused to run a new configuration; why has been written already.
    NotReloaded(String),
    /// What came is not what we understand.
    Strange(String),
    /// The answer can't be written.
    Output(io::Error),
    /// Whoever read our output has closed it: nothing to complain about.
    ReaderLeft,
}

impl Connection {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub(crate) fn open(path: &Path) -> Result<Connection, Failure> {
        let connect = || -> io::Result<UnixStream> {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        match connect() {
            Ok(stream) => Ok(Connection { socket: path.into(), stream: BufReader::new(stream) }),
            Err(error) => Err(Failure::Unavailable { socket: path.into(), error }),
        }
    }

    /// Gives viprd more time than a turn of its loop: reading a large configuration takes a while.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub(crate) fn wait_longer(&mut self) -> Result<(), Failure> {
        let patience = Some(RELOAD_PATIENCE);
        self.stream.get_ref().set_read_timeout(patience).map_err(|error| self.unavailable(error))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer<'_>, Failure> {
        match self.stream.get_mut().write_all(request.to_line().as_bytes()) {
            Ok(()) => Ok(Answer { connection: self, line: Vec::new(), over: false }),
            Err(error) => Err(self.unavailable(error)),
        }
    }

    fn unavailable(&self, error: io::Error) -> Failure {
        Failure::Unavailable { socket: self.socket.clone(), error }
    }
}

impl Answer<'_> {
    /// The next record; `None` after the last.
    fn read(&mut self) -> Result<Option<Record>, Failure> {
        self.line.clear();
        let mut stream = self.connection.stream.by_ref().take(MAX_RECORD);
        let read = stream.read_until(b'\n', &mut self.line);
        let too_long = stream.limit() == 0;
        if let Err(error) = read {
            return Err(self.connection.unavailable(error));
        }
        if self.line.last() != Some(&b'\n') {
            if too_long {
                return Err(Failure::Strange("viprd's answer has a line without end".into()));
            }
            return Err(self.connection.unavailable(ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_slice(&self.line) {
            Ok(Record::End(_)) => Ok(None),
            Ok(Record::Error(error)) => Err(Failure::Refused(error)),
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(Failure::Strange(format!(
                "viprd's answer is not understood ({error}); is it of another version? \
                 `viprctl version` shows both"
            ))),
        }
    }
}

impl Iterator for Answer<'_> {
    type Item = Result<Record, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Failure {
    /// The answer holds a record that does not belong there, or lacks one.
    pub(crate) fn unexpected() -> Failure {
        Failure::Strange("viprd's answer is to another question".into())
    }

    /// The exit code that tells scripts (`sysexits.h` where it has one).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::ReaderLeft => 0,
            Failure::Refused(_) | Failure::NotReloaded(_) => 1,
            Failure::Unavailable { .. } => 69,
            Failure::Output(_) => 74,
            Failure::Strange(_) => 76,
        }
    }
}

/// Errors of writing our output, the only ones that `?` meets as such.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure::ReaderLeft,
            _ => Failure::Output(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unavailable { socket, error } => {
                let socket = socket.display();
                match error.kind() {
                    ErrorKind::NotFound => write!(
                        f,
                        "there is no socket {socket}: is viprd running? \
                         If it listens elsewhere (viprd --control), say where with -s"
                    ),
                    ErrorKind::ConnectionRefused => write!(
                        f,
                        "nobody listens on {socket}: viprd has ended without removing it; \
                         start viprd again"
                    ),
                    ErrorKind::PermissionDenied => {
                        write!(f, "no permission to open {socket}: try again as root")
                    }
                    // A read timeout of a socket comes as either.
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => write!(
                        f,
                        "viprd does not answer on {socket} for {} s: is it stopped or stuck?",
                        PATIENCE.as_secs()
                    ),
                    ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::BrokenPipe => write!(
                        f,
                        "viprd closed the connection on {socket} before its answer was complete"
                    ),
                    _ => write!(f, "no answer on {socket}: {error}"),
                }
            }
            Failure::Refused(error) => {
                f.write_str(&error.message)?;
                match (error.code, &*error.candidates) {
                    (ErrorCode::NoSuchRouter, names) if !names.is_empty() => {
                        write!(f, "; did you mean {}?", names.join(" or "))
                    }
                    _ => Ok(()), // whatever else there is to choose from, the message lists
                }
            }
            Failure::NotReloaded(why) => write!(f, "nothing has changed: {why}"),
            Failure::Strange(what) => f.write_str(what),
            Failure::Output(error) => write!(f, "the answer can't be written: {error}"),
            Failure::ReaderLeft => f.write_str("the reader of the answer has left"),
        }
    }
}
