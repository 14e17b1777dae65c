//! **FRR as the other router**: what it needs besides a configuration.
//!
//! Its vrrpd makes no interface: for each virtual router it looks for a macvlan with the virtual MAC
//! and the addresses on it, which an administrator has to make. A Backup does not take the addresses
//! off; it has the kernel hold the macvlan down (protodown). And vrrpd knows of interfaces, and
//! holds them down, by way of zebra, which has to run before it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Daemon, FRR_OPTIONS, Program, Programs};
use crate::interrupt::wait_for;
use crate::topology::{Namespace, RunDir};

use super::Halt;
use super::case::{Case, LINK, VRID};

/// How long zebra may take to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(15);

/// Makes the macvlan that a virtual router of `case` lives on.
///
/// # Errors
/// If `ip` can't.
pub(super) fn make_macvlan(namespace: &Namespace, case: &Case) -> io::Result<()> {
    // As the manual of FRR has it. A random link-local address, since the one that follows from the
    // virtual MAC would be the same on both hosts; a router of IPv6 advertises from it.
    let name = format!("vrrp{}-2-{VRID}", if case.is_ipv6() { 6 } else { 4 });
    let mut commands = format!(
        "link add {name} link {LINK} address {} type macvlan mode bridge\n\
         link set dev {name} addrgenmode random\n",
        case.mac()
    );
    for address in case.addresses() {
        // The other router may hold it already, which detection of duplicates would find.
        let length = if case.is_ipv6() { "64 nodad" } else { "32" };
        let _ = writeln!(commands, "address add {address}/{length} dev {name}");
    }
    let _ = writeln!(commands, "link set dev {name} up");
    namespace.ip(&commands)
}

/// Starts zebra for the vrrpd of `host`, and waits until that can be started.
///
/// # Errors
/// If it can't be started, or does not listen in time.
pub(super) fn start_zebra(
    programs: &Programs,
    namespace: &Namespace,
    host: &str,
    directory: &RunDir,
) -> Result<Daemon, Halt> {
    let file = |ending: &str| directory.file(&format!("{host}.{ending}"));
    fs::create_dir_all(file("vty"))?;
    fs::write(file("zebra.conf"), "")?;
    // What an earlier one left behind is not to be taken for the new one's.
    let _ = fs::remove_file(file("zserv"));
    let mut command = Command::new(programs.path(Program::Frr).with_file_name("zebra"));
    command.args(FRR_OPTIONS).args(["--log-level", "errors"]);
    command.arg("-f").arg(file("zebra.conf")).arg("-i").arg(file("zebra.pid"));
    command.arg("-z").arg(file("zserv")).arg("--vty_socket").arg(file("vty"));
    let name = format!("zebra of {host}");
    let mut zebra = Daemon::spawn(Program::Frr, command, namespace, &name, None)?;
    wait_for(&format!("the {name} to listen"), BEGINS_WITHIN, || {
        zebra.alive()?;
        Ok(UnixStream::connect(file("zserv")).ok())
    })?;
    Ok(zebra)
}
