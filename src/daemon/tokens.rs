//! Which descriptor a completion belongs to.

use crate::io::Token;

/// Numbers the descriptors that there is one of, in order: no two can have the same number.
macro_rules! numbered {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number { $($name),+ }
        $($(#[$doc])+ pub(super) const $name: Token = Token(1 + Number::$name as u32);)+
        /// The first number that is free.
        const FIRST_FREE: u32 = 1 + [$(Number::$name),+].len() as u32;
    };
}

numbered! {
    /// The raw socket that hears VRRP over IPv4.
    VRRP_IPV4,
    /// The raw socket that hears VRRP behind authentication headers.
    SIGNED_IPV4,
    /// The netlink socket that watches links and addresses.
    MONITOR,
    /// The netlink socket that requests go out by.
    COMMAND,
    /// The signalfd.
    SIGNALS,
    /// The listening control socket.
    CONTROL,
    /// The packet socket: multicast adverts, gratuitous ARPs, neighbour advertisements.
    FRAMES,
    /// The pipe of the thread that reads the configuration again.
    RELOAD,
    /// The raw socket that hears VRRP over IPv6.
    VRRP_IPV6,
    /// The raw sockets that adverts to unicast peers leave by.
    PEERS,
    /// The netlink socket to netfilter.
    FIREWALL,
    /// The inotify descriptor of tracked files.
    FILES,
    /// The line of the thread that counts processes.
    PROCESSES,
    /// The pipe of the thread that writes dumps.
    DUMPS,
}

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

const _: () = assert!(FIRST_FREE <= FIRST_CLIENT);
