//! Addresses that take no traffic: what is said to netfilter, and when.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use log::error;

use super::run::Daemon;
use super::tokens;
use crate::io::{Pool, sockets};
use crate::vrrp::RouterParams;

/// The receive buffer: a refused batch is answered for each of its messages.
const RECEIVE_BUFFER: usize = 1 << 20;

impl Daemon {
    /// Blocks the addresses of all virtual routers that are not to accept traffic for them, and of
    /// those `besides`.
    pub(super) fn block_addresses(&mut self, besides: &[RouterParams]) {
        let running = self.engine.views().map(|view| view.params);
        let silent = running.chain(besides).filter(|params| !params.accept);
        let addresses = silent.flat_map(|params| &params.addresses).map(|address| address.ip);
        self.firewall.block(addresses.collect::<Vec<IpAddr>>());
        self.pump_firewall();
    }

    /// Sends what is to be said to netfilter. There is no socket before there is something.
    pub(super) fn pump_firewall(&mut self) {
        if !self.firewall.has_work() {
            return;
        }
        if self.sockets.firewall.is_none()
            && let Err(cause) = self.open_firewall()
            && let Some(error) = self.firewall.fail(cause.raw_os_error().unwrap_or(libc::EIO))
        {
            tell_refusal(error);
        }
        let Some(socket) = &self.sockets.firewall else { return };
        if let Some(len) = self.firewall.next_request(&mut self.request) {
            self.io.send(tokens::FIREWALL, socket.as_raw_fd(), &self.request[..len]);
        }
    }

    fn open_firewall(&mut self) -> io::Result<()> {
        let socket = sockets::netlink_netfilter(RECEIVE_BUFFER)?;
        self.io.receive(tokens::FIREWALL, socket.as_fd(), Pool::Netlink)?;
        self.sockets.firewall = Some(socket);
        Ok(())
    }

    /// What is said to netfilter could not be sent, or its answer is lost.
    pub(super) fn on_firewall_lost(&mut self, cause: &io::Error) {
        if let Some(error) = self.firewall.fail(cause.raw_os_error().unwrap_or(libc::EIO)) {
            tell_refusal(error);
        }
    }
}

/// Says, once, that addresses take traffic though they should not.
pub(super) fn tell_refusal(error: i32) {
    let cause = io::Error::from_raw_os_error(error);
    let hint = match error {
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => {
            " (a kernel without nf_tables, or a table of that name that is not viprd's)"
        }
        libc::EPERM | libc::EEXIST => " (another program has a table of that name)",
        _ => "",
    };
    error!(
        "no_accept and vrrp_strict can't keep traffic from virtual addresses: the kernel refuses \
         the nftables table: {cause}{hint}"
    );
}
