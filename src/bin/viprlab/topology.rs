//! **Hosts on one machine**: network namespaces, joined by veth pairs and bridges, gone when the
//! [`Topology`] is dropped.
//!
//! A [`Plan`] names hosts, wires two of their links together (a veth pair) or hangs many on one
//! segment (a bridge in a namespace of its own), and gives addresses; [`Plan::build`] makes it all
//! with a few calls of `ip -batch`. Namespaces are called `viprlab-PID-HOST`. What an earlier run
//! left behind because it was killed outright is removed by the next one.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use viprd::base::Mac;

/// Where `ip netns` keeps its namespaces (`ip-netns(8)`).
const NAMESPACES: &str = "/run/netns";

/// How long new links may take until they run.
const RUNNING_LIMIT: Duration = Duration::from_secs(10);

/// The host that carries the bridges.
const SWITCH: &str = "switch";

/// A host of a [`Plan`] or its [`Topology`]: its place in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostId(usize);

/// What shall be built.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    hosts: Vec<HostPlan>,
    /// Veth pairs: both ends.
    wires: Vec<[LinkEnd; 2]>,
    /// Bridges: all ends that hang on each.
    segments: Vec<Vec<LinkEnd>>,
}

#[derive(Debug)]
struct HostPlan {
    name: String,
    links: Vec<String>,
    /// Link and address with prefix length.
    addresses: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy)]
struct LinkEnd {
    host: HostId,
    /// Place in the host's links.
    link: usize,
}

/// Namespaces that exist, for as long as this value does.
#[derive(Debug)]
pub(crate) struct Topology {
    hosts: Vec<Namespace>,
    /// Where the bridges are, if there are any.
    switch: Option<Namespace>,
    /// What hangs on the bridges, each with the name of its port.
    ports: Vec<(HostId, String, String)>,
    _guard: Guard,
}

/// A network namespace that is there.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Its name, as `ip netns` knows it.
    pub(crate) name: String,
    file: File,
}

/// Between which two moments a link was set up or down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switched {
    /// Just before the request was handed to the kernel.
    pub(crate) before: Instant,
    /// Just after the kernel said that it is done.
    pub(crate) after: Instant,
}

/// A directory for the run's files, removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDir(PathBuf);

/// Removes the namespaces whose names begin so, with every process left in them.
#[derive(Debug)]
struct Guard {
    prefix: String,
}

impl Plan {
    /// Adds a host.
    pub(crate) fn host(&mut self, name: &str) -> HostId {
        self.hosts.push(HostPlan { name: name.into(), links: vec![], addresses: vec![] });
        HostId(self.hosts.len() - 1)
    }

    /// Joins two links (made by this) directly.
    pub(crate) fn wire(&mut self, one: (HostId, &str), other: (HostId, &str)) {
        let ends = [self.link(one), self.link(other)];
        self.wires.push(ends);
    }

    /// Hangs links (made by this) on one bridge.
    pub(crate) fn segment(&mut self, ends: &[(HostId, &str)]) {
        let ends = ends.iter().map(|&end| self.link(end)).collect();
        self.segments.push(ends);
    }

    /// Gives `link` of `host` the address `address`, with prefix length.
    pub(crate) fn address(&mut self, host: HostId, link: &str, address: &str) {
        self.hosts[host.0].addresses.push((link.into(), address.into()));
    }

    /// The Ethernet address that `link` of `host` has or will have: locally administered, with
    /// the numbers of host and link, the same in each run.
    ///
    /// # Panics
    /// If the plan has no such link.
    pub(crate) fn mac(&self, host: HostId, link: &str) -> Mac {
        let links = &self.hosts[host.0].links;
        let link = links.iter().position(|name| name == link).expect("a link of the plan");
        mac_of(LinkEnd { host, link })
    }

    /// Builds it. Links are up and running, addresses set.
    ///
    /// The kernel reports a new link as running only some time after it is set up, up to a second
    /// (its link watch is rate limited); a daemon started before would begin in FAULT.
    ///
    /// # Errors
    /// What `ip` says, when it fails, or if links don't come to run; nothing is left behind then.
    pub(crate) fn build(&self) -> io::Result<Topology> {
        sweep();
        let guard = Guard { prefix: format!("viprlab-{}-", process::id()) };
        let name = |host: &str| format!("{}{host}", guard.prefix);
        let switch = name(SWITCH);

        let mut outside = String::new();
        let mut inside: Vec<String> = vec!["link set lo up\n".into(); self.hosts.len()];
        let mut bridges = String::new();
        let mut ports = Vec::new();
        for host in &self.hosts {
            let _ = writeln!(outside, "netns add {}", name(&host.name));
        }
        if !self.segments.is_empty() {
            let _ = writeln!(outside, "netns add {switch}");
        }
        for &[one, other] in &self.wires {
            let _ = writeln!(
                outside,
                "link add {} address {} netns {} type veth peer name {} address {} netns {}",
                self.link_name(one),
                mac_of(one),
                name(&self.hosts[one.host.0].name),
                self.link_name(other),
                mac_of(other),
                name(&self.hosts[other.host.0].name),
            );
        }
        for (number, ends) in self.segments.iter().enumerate() {
            let _ = writeln!(
                bridges,
                "link add br{number} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
                 link set br{number} up"
            );
            for (port, &end) in ends.iter().enumerate() {
                let _ = writeln!(
                    outside,
                    "link add {} address {} netns {} type veth peer name p{number}.{port} netns {switch}",
                    self.link_name(end),
                    mac_of(end),
                    name(&self.hosts[end.host.0].name),
                );
                let _ = writeln!(bridges, "link set p{number}.{port} master br{number} up");
                ports.push((end.host, self.link_name(end).into(), format!("p{number}.{port}")));
            }
        }
        for (host, commands) in self.hosts.iter().zip(&mut inside) {
            for (link, address) in &host.addresses {
                let _ = writeln!(commands, "address add {address} dev {link}");
            }
            for link in &host.links {
                let _ = writeln!(commands, "link set {link} up");
            }
        }

        ip_batch(&[], &outside)?;
        ip_batch(&["-netns", &switch], &bridges)?;
        let mut hosts = Vec::new();
        for (host, commands) in self.hosts.iter().zip(&inside) {
            let namespace = Namespace::open(&name(&host.name))?;
            ip_batch(&["-netns", &namespace.name], commands)?;
            hosts.push(namespace);
        }
        let deadline = Instant::now() + RUNNING_LIMIT;
        for (host, namespace) in self.hosts.iter().zip(&hosts) {
            while !namespace.all_running(&host.links)? {
                if Instant::now() >= deadline {
                    let name = &namespace.name;
                    return Err(io::Error::other(format!("the links of {name} do not run")));
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        let bridged = !self.segments.is_empty();
        let switch = bridged.then(|| Namespace::open(&switch)).transpose()?;
        Ok(Topology { hosts, switch, ports, _guard: guard })
    }

    fn link(&mut self, (host, name): (HostId, &str)) -> LinkEnd {
        let links = &mut self.hosts[host.0].links;
        links.push(name.into());
        LinkEnd { host, link: links.len() - 1 }
    }

    fn link_name(&self, end: LinkEnd) -> &str {
        &self.hosts[end.host.0].links[end.link]
    }
}

impl Topology {
    /// The namespace of a host of the plan this was built from.
    pub(crate) fn host(&self, host: HostId) -> &Namespace {
        &self.hosts[host.0]
    }

    /// The port of a bridge on which `link` of `host` hangs: the namespace that it is in, and its
    /// name there.
    pub(crate) fn port(&self, host: HostId, link: &str) -> Option<(&Namespace, &str)> {
        let port = self.ports.iter().find(|(one, name, _)| *one == host && name == link);
        Some((self.switch.as_ref()?, &port?.2))
    }
}

impl Namespace {
    fn open(name: &str) -> io::Result<Self> {
        let file = File::open(Path::new(NAMESPACES).join(name))?;
        Ok(Namespace { name: name.into(), file })
    }

    /// Runs `work` inside, on a thread of its own that ends with it. Sockets opened there belong
    /// to this namespace for good and may be used from any thread.
    ///
    /// # Errors
    /// If the namespace can't be entered, and whatever `work` fails with.
    pub(crate) fn enter<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET)?;
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The kernel's index of a link inside.
    ///
    /// # Errors
    /// If there is no such link.
    pub(crate) fn index(&self, link: &str) -> io::Result<u32> {
        self.enter(|| Ok(if_nametoindex(link)?))
    }

    /// Has `commands` done inside, one a line, as `ip -batch` takes them.
    ///
    /// # Errors
    /// What `ip` says, when it fails.
    pub(crate) fn ip(&self, commands: &str) -> io::Result<()> {
        ip_batch(&["-netns", &self.name], commands)
    }

    /// Whether all of `links` are up and running (`netdevice(7)`).
    fn all_running(&self, links: &[String]) -> io::Result<bool> {
        self.enter(|| {
            let all = getifaddrs()?;
            let is_running =
                |one: &InterfaceAddress| one.flags.contains(InterfaceFlags::IFF_RUNNING);
            let running: HashSet<String> =
                all.filter(is_running).map(|one| one.interface_name).collect();
            Ok(links.iter().all(|link| running.contains(link)))
        })
    }

    /// Sets `link` up or down as an operator would, and says when.
    ///
    /// # Errors
    /// If there is no such link, or the kernel refuses.
    pub(crate) fn set_link(&self, link: &str, up: bool) -> io::Result<Switched> {
        let mut message = LinkMessage::default();
        message.header.index = self.index(link)?;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let request = RouteNetlinkMessage::SetLink(message);
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(request));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);

        let socket = self.enter(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        })?;
        let before = Instant::now();
        socket.send(&bytes, 0)?;
        let (answer, _) = socket.recv_from_full()?;
        let after = Instant::now();
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map(|m| m.payload) {
            Ok(NetlinkPayload::Error(error)) if error.code.is_none() => {
                Ok(Switched { before, after })
            }
            Ok(NetlinkPayload::Error(error)) => Err(error.to_io()),
            _ => Err(io::Error::other("unexpected answer of netlink to setting a link")),
        }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl RunDir {
    /// Makes it, in the directory for temporary files, for root alone.
    ///
    /// # Errors
    /// If it can't be made.
    pub(crate) fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("viprlab-{}", process::id()));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(RunDir(path))
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Nobody is left to tell; the next run sweeps.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        remove_namespaces(|name| name.starts_with(&self.prefix));
    }
}

/// Removes what runs left behind that are no more: their namespaces and directories carry the
/// number of a process that does not exist.
fn sweep() {
    let abandoned = |name: &str| {
        let id = name.strip_prefix("viprlab-").and_then(|rest| rest.split('-').next());
        let id = id.and_then(|id| id.parse::<u32>().ok());
        id.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists())
    };
    remove_namespaces(abandoned);
    for name in names_in(&std::env::temp_dir()).iter().filter(|name| abandoned(name)) {
        let _ = fs::remove_dir_all(std::env::temp_dir().join(name));
    }
}

/// Removes all namespaces that `ours` picks, after killing what runs in them.
fn remove_namespaces(ours: impl Fn(&str) -> bool) {
    let names = names_in(Path::new(NAMESPACES));
    let mut commands = String::new();
    for name in names.iter().filter(|name| ours(name)) {
        let living = Command::new("ip").args(["netns", "pids", name]).output();
        let living = living.map(|output| output.stdout).unwrap_or_default();
        for pid in String::from_utf8_lossy(&living).split_whitespace() {
            if let Ok(pid) = pid.parse::<i32>() {
                // It may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = writeln!(commands, "netns delete {name}");
    }
    if !commands.is_empty()
        && let Err(error) = ip_batch(&["-force"], &commands)
    {
        eprintln!("viprlab: cannot remove every namespace: {error}");
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Hands `commands` to one `ip -batch`.
fn ip_batch(options: &[&str], commands: &str) -> io::Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut ip = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = ip.stdin.take() {
        // If it ends early its exit status and its words say why.
        let _ = stdin.write_all(commands.as_bytes());
    }
    let output = ip.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip: {}", said.trim().replace('\n', "; "))))
}

fn mac_of(end: LinkEnd) -> Mac {
    let [host_high, host_low] = (end.host.0 as u16 + 1).to_be_bytes();
    let [link_high, link_low] = (end.link as u16).to_be_bytes();
    Mac([0x02, 0x76, host_high, host_low, link_high, link_low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_has_an_address_of_its_own() {
        let mut plan = Plan::default();
        let (a, b) = (plan.host("a"), plan.host("b"));
        plan.wire((a, "eth0"), (b, "eth0"));
        plan.segment(&[(a, "eth1"), (b, "eth1")]);
        let macs =
            [plan.mac(a, "eth0"), plan.mac(a, "eth1"), plan.mac(b, "eth0"), plan.mac(b, "eth1")];
        assert_eq!(macs[1], Mac([0x02, 0x76, 0, 1, 0, 1]));
        assert_eq!(macs[2], Mac([0x02, 0x76, 0, 2, 0, 0]));
        for (index, mac) in macs.iter().enumerate() {
            assert!(!macs[..index].contains(mac));
        }
    }

    #[test]
    fn a_panic_leaves_no_namespace_behind() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("needs root, to make network namespaces");
            return;
        }
        let mut plan = Plan::default();
        let (a, b) = (plan.host("panic-a"), plan.host("panic-b"));
        plan.wire((a, "eth0"), (b, "eth0"));
        plan.segment(&[(a, "eth1"), (b, "eth1")]);
        plan.address(a, "eth1", "192.0.2.1/24");
        let ours = || {
            let own = format!("viprlab-{}-", process::id());
            names_in(Path::new(NAMESPACES)).iter().filter(|name| name.starts_with(&own)).count()
        };
        let result = std::panic::catch_unwind(|| {
            let topology = plan.build().expect("a network");
            assert_eq!(ours(), 3);
            assert!(topology.host(a).index("eth1").is_ok_and(|index| index > 0));
            assert!(topology.host(b).index("eth7").is_err());
            let (switch, port) = topology.port(b, "eth1").expect("a port");
            assert!(switch.index(port).is_ok());
            assert!(topology.port(b, "eth0").is_none());
            let down = topology.host(a).set_link("eth1", false).expect("set down");
            assert!(down.before <= down.after);
            std::panic::resume_unwind(Box::new("as if something had gone wrong"));
        });
        assert!(result.is_err());
        assert_eq!(ours(), 0);
    }

    #[test]
    fn a_run_directory_goes_with_its_value() {
        let directory = RunDir::new().expect("temporary directory");
        let file = directory.file("x");
        fs::write(&file, "x").expect("write");
        drop(directory);
        assert!(!file.exists());
    }
}
