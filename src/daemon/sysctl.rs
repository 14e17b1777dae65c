//! Settings of interfaces (`/proc/sys/net`): written when the kernel room or the configuration asks,
//! at the start, at a reload, and when an interface appears; those of interfaces that aren't ours are
//! put back at the end.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use log::warn;

use super::run::Daemon;
use crate::base::LinkId;
use crate::kernel::Setting;
use crate::vrrp::RouterParams;

/// What has been changed on interfaces that aren't ours.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    /// Each file with what it said before, in the order in which they were changed.
    changed: Vec<(PathBuf, String)>,
    /// Interfaces that keep the other addresses of a subnet (`promote_secondaries`).
    promoting: HashSet<LinkId>,
}

impl Sysctls {
    /// Makes one setting. A kernel that doesn't have it doesn't need it.
    ///
    /// # Errors
    /// Those of reading and writing, with the file's name.
    pub(super) fn write(&mut self, setting: &Setting) -> io::Result<()> {
        let Setting { family, interface, name, value, borrowed } = setting;
        let path = Path::new("/proc/sys/net").join(family).join("conf").join(interface).join(name);
        let explain =
            |cause: io::Error| io::Error::new(cause.kind(), format!("{}: {cause}", path.display()));
        let before = match fs::read_to_string(&path) {
            Ok(before) => before,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(explain(cause)),
        };
        let before = before.trim();
        let number = before.parse::<i64>();
        let value = i64::from(*value);
        if number.is_ok_and(|number| number == value || *borrowed && number > value) {
            return Ok(());
        }
        fs::write(&path, value.to_string()).map_err(explain)?;
        if *borrowed && !self.changed.iter().any(|(changed, _)| *changed == path) {
            self.changed.push((path, before.to_owned()));
        }
        Ok(())
    }

    /// Stops IGMP reports of groups of the local link (224.0.0.0/24) until the end: all of this
    /// network namespace's.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub(super) fn quiet_igmp(&mut self) -> io::Result<()> {
        let path = PathBuf::from("/proc/sys/net/ipv4/igmp_link_local_mcast_reports");
        let before = fs::read_to_string(&path)?;
        if before.trim() != "0" {
            fs::write(&path, "0")?;
            self.changed.push((path, before.trim().to_owned()));
        }
        Ok(())
    }

    /// Puts back what was there before, unless somebody has removed it.
    pub(super) fn restore(&mut self) {
        for (path, before) in self.changed.drain(..).rev() {
            let _ = fs::write(path, before);
        }
    }
}

impl Daemon {
    /// Makes the interfaces of those virtual routers that want it, and of those `besides`, keep the
    /// other addresses of a subnet when the first one is removed.
    pub(super) fn promote_secondaries(&mut self, besides: &[RouterParams]) {
        let routers = self.engine.views().map(|view| view.params).chain(besides);
        let wanting = routers.filter(|params| params.conduct.promote_secondaries);
        let links = wanting.flat_map(|params| params.addresses.iter().map(|address| address.link));
        self.sysctls.promoting = links.collect();
        for link in self.sysctls.promoting.iter().copied().collect::<Vec<_>>() {
            self.promote_on(link);
        }
    }

    /// Does so on `link`, if that is wanted there. One that doesn't exist is passed over.
    pub(super) fn promote_on(&mut self, link: LinkId) {
        if !self.sysctls.promoting.contains(&link) {
            return;
        }
        let interface = self.names.name(link).to_owned();
        let name = "promote_secondaries";
        let setting = Setting { family: "ipv4", interface, name, value: 1, borrowed: true };
        if let Err(cause) = self.sysctls.write(&setting) {
            warn!("addresses may go along with the first one of their subnet: {cause}");
        }
    }
}
