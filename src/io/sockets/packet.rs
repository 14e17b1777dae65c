//! The packet socket that finished Ethernet frames leave by (`packet(7)`).

use std::io;
use std::os::fd::OwnedFd;

use super::{PRIORITY_CONTROL, open, set, set_send_buffer};

/// A packet socket that sends Ethernet frames by any interface and receives none (protocol 0;
/// `packet(7)`). `send_buffer` is in bytes as the kernel counts them: some 800 a small frame that
/// has not left its device yet.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`.
pub fn packet_sender(send_buffer: usize) -> io::Result<OwnedFd> {
    let socket = open(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, PRIORITY_CONTROL)?;
    set_send_buffer(&socket, send_buffer)?;
    Ok(socket)
}
