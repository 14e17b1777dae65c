//! The host's processes: which there are, and what happens to them, as the kernel tells it
//! (`CONFIG_PROC_EVENTS`, `<linux/cn_proc.h>`). For a thread that may wait: what is read of a process
//! here may be held up by that process.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_CONNECTOR;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// The connector's number for processes (`CN_IDX_PROC`, `CN_VAL_PROC`), and the messages to it: that
/// we listen, and that we do so no more.
const INDEX: u32 = 1;
const VALUE: u32 = 1;
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
/// `struct nlmsghdr` and `struct cn_msg`.
const NETLINK_HEADER: usize = 16;
const HEADERS: usize = NETLINK_HEADER + 20;
/// `enum what` and the time before what is told of.
const EVENT_HEADER: usize = 16;
/// `NLMSG_DONE`, which marks each of these messages.
const DONE: u16 = 3;

/// The longest command line that is looked at.
const COMMAND_LINE: u64 = 64 * 1024;

/// The ids of all processes that `/proc` shows.
///
/// # Errors
/// When there is no `/proc`.
pub fn all() -> io::Result<impl Iterator<Item = i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// The name of a process; `None` if it is none any more, or has ended and is only not waited for yet.
pub fn name(pid: i32) -> Option<Vec<u8>> {
    // 1 (name) S …, and the name may have anything in it.
    let status = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let from = status.iter().position(|&byte| byte == b'(')? + 1;
    let to = status.iter().rposition(|&byte| byte == b')')?;
    let has_ended = matches!(status.get(to + 2), Some(b'Z' | b'X') | None);
    (!has_ended).then(|| status.get(from..to).map(<[u8]>::to_vec)).flatten()
}

/// The words that a process was called with, each ended by NUL; empty for the kernel's threads.
pub fn command_line(pid: i32) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))
        .ok()?
        .take(COMMAND_LINE)
        .read_to_end(&mut line)
        .ok()?;
    Some(line)
}

/// What becomes readable when a process ends (`pidfd_open(2)`).
///
/// # Errors
/// `ESRCH` if it has ended already; others of `pidfd_open(2)`.
pub fn end_of(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: a new descriptor, closed on exec, that nobody else owns.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until one of these is readable or at its end, or `time` has passed; says which are.
///
/// # Errors
/// Those of `poll(2)`, an interruption by a signal apart.
pub fn wait(descriptors: &[BorrowedFd<'_>], time: Duration) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    match nix::poll::poll(&mut polled, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(cause) => return Err(cause.into()),
    }
    let ready = |polled: &PollFd<'_>| polled.revents().is_some_and(|events| !events.is_empty());
    Ok(polled.iter().map(ready).collect())
}

/// What has happened to a process. Threads are not told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It has begun as the copy of another one.
    Forked {
        /// Whose copy.
        parent: i32,
        /// Itself.
        child: i32,
    },
    /// It has become another program, or has another name.
    Changed(i32),
    /// It has ended.
    Ended(i32),
    /// The kernel has heard that somebody listens.
    Heard,
}

/// A socket that is told of every process.
#[derive(Debug)]
pub struct ProcessEvents {
    socket: Socket,
    buffer: Vec<u8>,
}

impl ProcessEvents {
    /// Listens in the network namespace that the thread is in, which has to be the host's first one.
    /// In a process namespace other than the host's first one, nothing is ever told, not even
    /// [`ProcessEvent::Heard`].
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN`, `ECONNREFUSED` in another network namespace or from a kernel
    /// without it; those of `socket(2)` and `bind(2)`.
    pub fn open(receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_CONNECTOR)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, INDEX))?;
        super::sockets::set_receive_buffer(&socket, receive_buffer)?;
        let events = ProcessEvents { socket, buffer: Vec::with_capacity(4096) };
        events.say(LISTEN)?;
        Ok(events)
    }

    fn say(&self, what: u32) -> io::Result<()> {
        let mut message = Vec::with_capacity(HEADERS + 4);
        message.extend((HEADERS as u32 + 4).to_ne_bytes());
        message.extend(DONE.to_ne_bytes());
        message.extend([0; 10]);
        for word in [INDEX, VALUE, 0, 0] {
            message.extend(word.to_ne_bytes());
        }
        message.extend(4u16.to_ne_bytes());
        message.extend([0; 2]);
        message.extend(what.to_ne_bytes());
        self.socket.send(&message, 0)?;
        Ok(())
    }

    /// The next event; `None` if there is none now. What is of no interest is passed over.
    ///
    /// # Errors
    /// `ENOBUFS` when some have been lost; those of `recv(2)`.
    pub fn read(&mut self) -> io::Result<Option<ProcessEvent>> {
        loop {
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer, 0) {
                // Only the kernel has the number 0; anybody may send to a netlink socket's group.
                Ok((_, from)) if from.port_number() == 0 => {}
                Ok(_) => continue,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            }
            if let Some(event) = event(&self.buffer) {
                return Ok(Some(event));
            }
        }
    }
}

impl Drop for ProcessEvents {
    /// Before Linux 6.6 the kernel doesn't see by itself that a listener has gone, and goes on telling.
    fn drop(&mut self) {
        let _ = self.say(IGNORE);
    }
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a message tells.
fn event(message: &[u8]) -> Option<ProcessEvent> {
    let event = message.get(HEADERS..)?;
    let header = message.get(NETLINK_HEADER..HEADERS)?;
    let number = |bytes: &[u8], index: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(*bytes.get(4 * index..)?.first_chunk()?))
    };
    if (number(header, 0)?, number(header, 1)?) != (INDEX, VALUE) {
        return None;
    }
    let details = event.get(EVENT_HEADER..)?;
    let id = |index: usize| number(details, index).map(|id| id as i32);
    // Of a thread the first number is its own, and the second one its process's.
    let process = || (id(0)? == id(1)?).then_some(id(1)?);
    match number(event, 0)? {
        0 => Some(ProcessEvent::Heard),
        0x1 if id(2)? == id(3)? => Some(ProcessEvent::Forked { parent: id(1)?, child: id(3)? }),
        // A program begins, or a name is changed.
        0x2 => id(1).map(ProcessEvent::Changed),
        0x200 => process().map(ProcessEvent::Changed),
        0x8000_0000 => process().map(ProcessEvent::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(what: u32, ids: &[i32]) -> Vec<u8> {
        let mut bytes = vec![0; NETLINK_HEADER];
        for word in [INDEX, VALUE, 0, 0, 40] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(what.to_ne_bytes());
        bytes.extend([0; 12]);
        bytes.extend(ids.iter().flat_map(|id| id.to_ne_bytes()));
        bytes
    }

    #[test]
    fn processes_are_told_of_and_threads_are_not() {
        let told = |what, ids: &[i32]| event(&message(what, ids));
        let forked = ProcessEvent::Forked { parent: 7, child: 9 };
        assert_eq!(told(0, &[0]), Some(ProcessEvent::Heard));
        assert_eq!(told(1, &[8, 7, 9, 9]), Some(forked));
        assert_eq!(told(1, &[7, 7, 9, 7]), None, "a thread");
        assert_eq!(told(2, &[9, 9]), Some(ProcessEvent::Changed(9)));
        assert_eq!(told(0x200, &[9, 9]), Some(ProcessEvent::Changed(9)));
        assert_eq!(told(0x200, &[10, 9]), None);
        assert_eq!(told(0x8000_0000, &[9, 9, 0, 17]), Some(ProcessEvent::Ended(9)));
        assert_eq!(told(0x8000_0000, &[10, 9, 0, 17]), None);
        assert_eq!(told(4, &[9, 9]), None);
    }

    #[test]
    fn messages_that_are_cut_short_tell_nothing() {
        let whole = message(1, &[7, 7, 9, 9]);
        for length in 0..whole.len() {
            assert_eq!(event(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    fn processes_have_names_and_ends() {
        let mut child = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
        let id = child.id() as i32;
        let end = end_of(id).unwrap();
        assert!(all().unwrap().any(|pid| pid == id));
        // Between fork and exec it is a copy of ours.
        while name(id).as_deref() != Some(b"sleep") {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(command_line(id).as_deref(), Some(&b"/bin/sleep\x00600\0"[..]));
        assert_eq!(wait(&[end.as_fd()], Duration::ZERO).unwrap(), [false]);
        child.kill().unwrap();
        assert_eq!(wait(&[end.as_fd()], Duration::from_secs(20)).unwrap(), [true]);
        assert_eq!(name(id), None, "a zombie");
        child.wait().unwrap();
        assert!(name(id).is_none() && command_line(id).is_none() && end_of(id).is_err());
    }

    /// Where the host has it, and we may.
    #[test]
    fn a_child_is_told_of() {
        let Ok(mut events) = ProcessEvents::open(1 << 20) else { return };
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let id = child.id() as i32;
        child.wait().unwrap();
        let mut heard = Vec::new();
        for _ in 0..1_000 {
            wait(&[events.as_fd()], Duration::from_millis(100)).unwrap();
            while let Ok(Some(event)) = events.read() {
                heard.push(event);
            }
            if heard.contains(&ProcessEvent::Ended(id)) {
                assert!(heard.contains(&ProcessEvent::Changed(id)));
                return;
            }
        }
        assert!(!heard.contains(&ProcessEvent::Heard), "listening, and not told: {heard:?}");
    }
}
