//! Which descriptor a completion belongs to.

use crate::io::Token;

/// The raw socket that hears VRRP over IPv4.
pub(super) const VRRP_IPV4: Token = Token(1);
/// The netlink socket that watches links and addresses.
pub(super) const MONITOR: Token = Token(2);
/// The netlink socket that requests go out by.
pub(super) const COMMAND: Token = Token(3);
/// The signalfd.
pub(super) const SIGNALS: Token = Token(4);
/// The listening control socket.
pub(super) const CONTROL: Token = Token(5);
/// The packet socket: adverts and gratuitous ARPs.
pub(super) const FRAMES: Token = Token(6);

/// The pipe of the thread that reads the configuration again.
pub(super) const RELOAD: Token = Token(7);

/// The inotify descriptor of tracked files.
pub(super) const FILES: Token = Token(8);

/// The control client in seat `seat`.
pub(super) const fn client(seat: usize) -> Token {
    Token(FIRST_CLIENT + seat as u32)
}

/// The seat of the client that `token` belongs to.
pub(super) const fn seat(token: Token) -> Option<usize> {
    match token.0 {
        FIRST_CLIENT..FIRST_PROGRAM => Some((token.0 - FIRST_CLIENT) as usize),
        _ => None,
    }
}

/// The end of the program in slot `slot`.
pub(super) const fn program_end(slot: usize) -> Token {
    Token(FIRST_PROGRAM + 2 * slot as u32)
}

/// The output of the program in slot `slot`.
pub(super) const fn program_output(slot: usize) -> Token {
    Token(FIRST_PROGRAM + 2 * slot as u32 + 1)
}

/// The slot of the program that `token` belongs to.
pub(super) const fn program(token: Token) -> Option<usize> {
    if token.0 >= FIRST_PROGRAM { Some((token.0 - FIRST_PROGRAM) as usize / 2) } else { None }
}

const FIRST_CLIENT: u32 = 0x1000;
const FIRST_PROGRAM: u32 = 0x1_0000;
