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
/// The packet socket: multicast adverts, gratuitous ARPs, neighbour advertisements.
pub(super) const FRAMES: Token = Token(6);

/// The raw socket that hears VRRP behind authentication headers.
pub(super) const SIGNED_IPV4: Token = Token(32);

/// The pipe of the thread that reads the configuration again.
pub(super) const RELOAD: Token = Token(7);

/// The raw socket that hears VRRP over IPv6.
pub(super) const VRRP_IPV6: Token = Token(8);
/// The raw sockets that adverts to unicast peers leave by.
pub(super) const PEERS: Token = Token(9);
/// The netlink socket to netfilter.
pub(super) const FIREWALL: Token = Token(10);

/// The control client in seat `seat`.
pub(super) const fn client(seat: usize) -> Token {
    Token(FIRST_CLIENT + seat as u32)
}

/// The seat of the client that `token` belongs to.
pub(super) const fn seat(token: Token) -> Option<usize> {
    if token.0 >= FIRST_CLIENT { Some((token.0 - FIRST_CLIENT) as usize) } else { None }
}

const FIRST_CLIENT: u32 = 0x1000;
