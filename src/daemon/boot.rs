//! From the command line to a running loop, and back to an exit code.

use std::fs;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use log::{error, info, warn};
use syslog::Facility;

use super::args::{Arguments, absolute};
use super::clients::Clients;
use super::delays::{Delay, Delays};
use super::dumps::Dumps;
use super::files::Files;
use super::frames::Frames;
use super::journal::{self, Journal};
use super::mail;
use super::manners;
use super::places::Places;
use super::processes::Processes;
use super::programs::{Programs, run_once};
use super::pulse::Pulse;
use super::refusals::Limiter;
use super::reload::{self, Reload};
use super::run::Daemon;
use super::scripts::Scripts;
use super::signals;
use super::sysctl::Sysctls;
use super::vmacs;
use super::ways::Permanent;
use super::words::count;
use crate::base::Instant;
use crate::config::{self, Buffers, Configuration, Loaded, TrackNames, plan};
use crate::io::process::{self, NetworkNamespace};
use crate::io::signals::Signals;
use crate::io::sockets::{self, ControlSocket, Memberships, RouteGroup};
use crate::io::{self, Backend, clock};
use crate::kernel::{Firewall, FirewallOptions, Host};
use crate::vrrp::Engine;
use crate::wire::ipv4::PROTOCOL_VRRP;

/// The keepalived whose VRRP side this daemon stands in for.
const KEEPALIVED_EQUIVALENT: &str = "2.4.3";
/// How long the log may take the last lines.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Receive buffers, unless larger ones are configured: they take memory only as they fill, so that
/// smaller ones would save nothing and could lose something. 4,000 adverts that arrive at once take
/// about 3 MB of socket memory; a mass failover makes about as many netlink messages.
const VRRP_RECEIVE_BUFFER: usize = 16 << 20;
const MONITOR_RECEIVE_BUFFER: usize = 16 << 20;
const COMMAND_RECEIVE_BUFFER: usize = 4 << 20;
const FRAME_SEND_BUFFER: usize = 16 << 20;

/// Exit codes besides those of `-t` (`sysexits.h`, as the contract of the command line).
mod exit {
    pub(super) const OK: u8 = 0;
    /// The configuration can't be run.
    pub(super) const CONFIGURATION: u8 = 4;
    /// `-t`: it can be run, but not all of it.
    pub(super) const FLAWED: u8 = 5;
    /// `-t`: a script could be changed by others.
    pub(super) const SCRIPT_SECURITY: u8 = 6;
    /// The command line is wrong.
    pub(super) const USAGE: u8 = 64;
    /// The system refused something that is needed.
    pub(super) const SYSTEM: u8 = 71;
}

/// Every descriptor of the daemon.
pub(super) struct Sockets {
    pub vrrp: OwnedFd,
    /// The receive buffer of this and the two below, in bytes.
    pub vrrp_buffer: usize,
    /// Hears adverts behind authentication headers; opened when a router has such.
    pub signed: Option<OwnedFd>,
    /// The same as `vrrp` for IPv6, which the kernel may not have.
    pub vrrp_ipv6: Option<OwnedFd>,
    /// To unicast peers.
    pub peers_ipv4: OwnedFd,
    pub peers_ipv6: Option<OwnedFd>,
    pub memberships: Memberships,
    pub packet: OwnedFd,
    pub monitor: OwnedFd,
    pub command: OwnedFd,
    /// Opened when there is something to block.
    pub firewall: Option<OwnedFd>,
    pub signals: Signals,
    pub control: Option<ControlSocket>,
}

/// What went wrong while starting, in words for the user.
struct Failed {
    code: u8,
    text: String,
}

/// The program `viprd`: reads the command line, runs, returns the exit code.
pub fn main() -> ExitCode {
    let mut command_line = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = command_line.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map_or("viprd".into(), |n| n.to_string_lossy());
    let words: Vec<String> = command_line.collect();
    if let Some(code) = mail::sent(&words) {
        return code;
    }
    let arguments = match Arguments::read(&program, &words) {
        Ok(arguments) => arguments,
        Err(exit) if exit.status.is_ok() => {
            print!("{}", exit.output);
            return ExitCode::from(exit::OK);
        }
        Err(exit) => {
            eprintln!("{program}: {}", exit.output.trim_end());
            return ExitCode::from(exit::USAGE);
        }
    };
    ExitCode::from(run(&program, &arguments).unwrap_or_else(|failed| {
        eprintln!("{program}: {}", failed.text);
        failed.code
    }))
}

fn run(program: &str, arguments: &Arguments) -> Result<u8, Failed> {
    if arguments.version {
        eprint!("{}", version(program));
        return Ok(exit::OK);
    }
    if let Some(name) = &arguments.signum {
        let number = signals::number(name).ok_or_else(|| {
            usage(format!(
                "--signum={name}: expected STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON or TDUMP"
            ))
        })?;
        println!("{number}");
        return Ok(exit::OK);
    }
    process::map_large_allocations();
    // Wrong words on the command line are told before anything is read.
    let backend = backend(arguments)?;
    let facility = facility(arguments)?;
    let umask = umask(arguments)?;
    let file = arguments.use_file.clone().unwrap_or_else(config::default_file);
    let options = config::Options {
        include_check: arguments.all_config,
        ..config::Options::of_host(arguments.config_id.clone(), clock::wall_nanos())
    };
    let loaded = load_apart(&file, &options)?;
    if arguments.config_test || arguments.config_test_to.is_some() {
        return test_configuration(arguments, &loaded);
    }
    let Loaded { configuration, model, diagnostics, .. } = loaded;
    // A copy in this thread's own part of the heap: see `load_apart`.
    let compact = configuration.clone();
    drop((configuration, model));
    process::release_free_memory();
    let Some(configuration) = compact else {
        eprint!("{}", diagnostics.rich(std::io::stderr().is_terminal()));
        return Err(Failed {
            code: exit::CONFIGURATION,
            text: format!("{} can't be run as it is", file.display()),
        });
    };

    if let Some(umask) = umask.or(configuration.global.process.umask) {
        process::set_umask(umask);
    }
    // In the background the working directory is another.
    let (arguments, file) = (&arguments.with_absolute_paths(), absolute(&file));
    let places = Places::of(arguments, &configuration.global);
    // Everything that concerns the command line has been told; from here on the log speaks.
    let mut readiness = if arguments.dont_fork {
        None
    } else {
        Some(process::daemonize().map_err(system("can't go to the background"))?)
    };
    let mut journal = match open_journal(program, arguments, &places, facility) {
        Ok(journal) => journal,
        Err(failed) => return Ok(tell(program, &failed, readiness)),
    };
    journal::install(&journal, arguments.log_detail);
    for finding in diagnostics.iter() {
        reload::tell(finding.severity(), finding.is_news(), &diagnostics.one_line(finding));
    }
    drop(diagnostics);
    let refused = |cause: std::io::Error| Failed { code: exit::SYSTEM, text: cause.to_string() };
    let outcome = places
        .claim_pid_files()
        .map_err(refused)
        .and_then(|pid_files| {
            let daemon = start(arguments, &places, backend, (&file, options), configuration)?;
            Ok((daemon, pid_files))
        })
        .and_then(|(mut daemon, mut pid_files)| {
            pid_files.write().map_err(refused)?;
            if let Some(readiness) = readiness.take() {
                readiness.ready().map_err(system("can't let go of the terminal"))?;
            }
            daemon.run(&mut journal).map_err(system("the ring failed"))?;
            if let Some(shutdown) = &daemon.shutdown {
                run_once("shutdown_script", shutdown);
            }
            info!("Stopped");
            Ok(exit::OK)
        })
        .inspect_err(|failed| error!("{}", failed.text));
    journal.drain(LAST_WORDS);
    match outcome {
        // The console has had it as a log line.
        Err(failed) if arguments.log_console && arguments.dont_fork => Ok(failed.code),
        Err(failed) => Ok(tell(program, &failed, readiness)),
        outcome => outcome,
    }
}

/// Reads the configuration in a thread of its own, which has ended when this returns.
///
/// Reading takes several times the memory of what is read, in many small pieces. In a part of the
/// heap of their own they can be given back whole; mixed with what stays they would pin every page
/// (4,000 virtual routers: 5.4 MB of heap instead of 1.4).
fn load_apart(file: &Path, options: &config::Options) -> Result<Loaded, Failed> {
    let loaded = std::thread::scope(|scope| {
        scope.spawn(|| config::load(file, &config::OsFiles, options)).join()
    });
    loaded.map_err(|_| Failed {
        code: exit::CONFIGURATION,
        text: format!("{}: reading it failed by a fault of viprd's own", file.display()),
    })
}

/// Says why the daemon could not start, and only then lets the process in the foreground exit.
fn tell(program: &str, failed: &Failed, readiness: Option<process::Readiness>) -> u8 {
    eprintln!("{program}: {}", failed.text);
    if let Some(readiness) = readiness {
        readiness.failed(failed.code);
    }
    failed.code
}

/// Opens every descriptor and builds the rooms around them.
fn start(
    arguments: &Arguments,
    places: &Places,
    backend: Backend,
    (file, options): (&Path, config::Options),
    configuration: Configuration,
) -> Result<Daemon, Failed> {
    info!("viprd {} starts, pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
    info!("Opening file '{}'.", file.display());
    for why in arguments.without_effect() {
        info!("no effect here: {why}");
    }
    let home = places.namespace.as_ref().and_then(|_| NetworkNamespace::current().ok());
    if let Some(namespace) = &places.namespace {
        NetworkNamespace::open(namespace)
            .and_then(|namespace| namespace.enter())
            .map_err(system(&format!("can't enter network namespace {namespace}")))?;
    }
    if let Err(cause) = process::set_timer_slack(Duration::from_nanos(1)) {
        warn!("timers may be 50 µs late: {cause}");
    }
    let mut io = io::open(backend).map_err(system("no way to do input and output"))?;
    if let Some(why) = &io.fallback {
        warn!("using epoll: {why}");
    }
    let backend = match io.backend {
        Backend::Epoll => "epoll",
        Backend::Uring | Backend::Auto => "io_uring",
    };
    let sockets = Sockets::open(arguments, places, &configuration.global.buffers)?;
    let mut configuration = configuration;
    let mut track_names = TrackNames::default();
    plan::adopt_trackers(&mut configuration, &mut track_names);
    let mut programs = Programs::prepare(&configuration);
    if let Some(startup) = &programs.startup {
        run_once("startup_script", startup);
    }
    let Configuration { links: names, routers, global, statics, trackers, link_delays, .. } =
        configuration;
    let mut files = Files::new();
    files.track(clock::now(), &trackers);
    let mut processes = Processes::new(home, global.buffers.process_monitor);
    processes.track(&trackers, &mut *io.io);
    let dumps = Dumps::new(&global, arguments.namespace.as_deref(), umask(arguments)?);
    let mut delays = Delays::default();
    delays.configure(link_delays.into_iter().map(|(link, down, up)| (link, Delay { down, up })));
    if routers.is_empty() {
        warn!("the configuration has no virtual router: there is nothing to do");
    }
    let (instances, interfaces) = (routers.len(), names.len());
    info!("{}, {}", count(instances, "virtual router"), count(interfaces, "interface"));

    let mut host = Host::new(&names);
    host.set_macvlan_group(vmacs::link_group(&places.control));
    host.configure(routers.iter().flat_map(|router| &router.addresses));
    host.configure_statics(&statics.addresses);
    host.watch_sources(config::sources(&trackers));
    // Seconds since 1970: above what an earlier run can have reached with one advert a second.
    let sequence = u32::try_from(clock::wall_nanos() / 1_000_000_000).unwrap_or(0);
    let mut frames = Frames::new(&sockets, &routers, names.len(), sequence);
    let macvlans = routers.iter().flat_map(|router| &router.macvlans);
    frames.pacing.configure(&global.pacing, &names, macvlans);
    let engine = Engine::new(routers, names.len());
    manners::apply(&global.process);
    let mut sysctls = Sysctls::default();
    if global.disable_local_igmp {
        sysctls.quiet_igmp().unwrap_or_else(|cause| warn!("disable_local_igmp: {cause}"));
    }
    let log_unknown_vrids = global.log_unknown_vrids;
    let startup_delay = (global.startup_delay, global.delay_after_boot);
    let config::Firewall { table, priority, counters } = global.firewall.clone();
    let standard = FirewallOptions::default();
    let firewall = Firewall::new(FirewallOptions {
        table: table.filter(|table| table.len() < 256).unwrap_or(standard.table),
        priority: priority.unwrap_or(standard.priority),
        counters,
    });
    let mut daemon = Daemon {
        io: io.io,
        frames,
        host,
        engine,
        clients: Clients::new(file, backend),
        limiter: Limiter::default(),
        pulse: Pulse::new(clock::now(), &global.process),
        reload: Reload::new(file, options, global),
        shutdown: programs.shutdown.take(),
        scripts: Scripts::new(clock::now(), &trackers, programs),
        track_names,
        files,
        processes,
        dumps,
        delays,
        link_up: vec![None; names.len()],
        joined: vec![Vec::new(); names.len()],
        names,
        sockets,
        keep_addresses: arguments.dont_release_vrrp,
        permanent: Permanent::new(statics),
        request: vec![0; io::NETLINK_LEN],
        requests_left: false,
        sysctls,
        firewall,
        start_by: None,
        retry_requests_at: Instant::NEVER,
        stopping: None,
        frame_failures: 0,
        peer_failures: 0,
        log_unknown_vrids,
        startup_delay,
        start_from: Instant::ZERO,
        packets_came: false,
    };
    daemon.configure_ways(&[], &[]);
    Ok(daemon)
}

impl Sockets {
    fn open(arguments: &Arguments, places: &Places, wanted: &Buffers) -> Result<Self, Failed> {
        let control = &places.control;
        // The control socket first: where another viprd answers, nothing else is to be touched.
        let control = match ControlSocket::bind(control, ControlSocket::DEFAULT_MODE) {
            Ok(control) => Some(control),
            Err(cause) if cause.kind() == ErrorKind::AddrInUse => {
                let text = format!("{cause}: is viprd running already? (--control names another)");
                return Err(Failed { code: exit::SYSTEM, text });
            }
            Err(cause) => {
                warn!("viprctl can't reach this daemon: {}: {cause}", control.display());
                None
            }
        };
        let groups = [RouteGroup::Link, RouteGroup::Ipv4Address, RouteGroup::Ipv6Address];
        let vrrp_buffer = buffer(wanted.adverts, VRRP_RECEIVE_BUFFER);
        let (vrrp_ipv6, peers_ipv6) = Sockets::open_ipv6(vrrp_buffer)?;
        Ok(Sockets {
            control,
            signals: Signals::open(&signals::watched(arguments.ignore_sigint))
                .map_err(system("can't take signals"))?,
            vrrp: sockets::raw_ipv4_receiver(PROTOCOL_VRRP, vrrp_buffer)
                .map_err(system("can't open a raw socket for VRRP"))?,
            vrrp_buffer,
            signed: None,
            vrrp_ipv6,
            peers_ipv4: sockets::raw_ipv4_sender(None, FRAME_SEND_BUFFER)
                .map_err(system("can't open a raw socket to unicast peers"))?,
            peers_ipv6,
            packet: sockets::packet_sender(FRAME_SEND_BUFFER)
                .map_err(system("can't open a packet socket"))?,
            monitor: {
                let size = buffer(wanted.netlink_monitor, MONITOR_RECEIVE_BUFFER);
                sockets::netlink_monitor(&groups, size)
                    .map_err(system("can't watch interfaces by netlink"))?
            },
            command: {
                let size = buffer(wanted.netlink_commands, COMMAND_RECEIVE_BUFFER);
                sockets::netlink_command(size).map_err(system("can't open a netlink socket"))?
            },
            memberships: Memberships::default(),
            firewall: None,
        })
    }

    /// The sockets of IPv6; none where the kernel has no IPv6 at all (`ipv6.disable=1`).
    fn open_ipv6(buffer: usize) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Failed> {
        let receiver = match sockets::raw_ipv6_receiver(PROTOCOL_VRRP, buffer) {
            Err(cause) if cause.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                info!("this kernel has no IPv6: virtual routers of IPv6 can't run");
                return Ok((None, None));
            }
            receiver => receiver.map_err(system("can't open a raw socket for VRRP over IPv6"))?,
        };
        let sender = sockets::raw_ipv6_sender(FRAME_SEND_BUFFER)
            .map_err(system("can't open a raw socket to unicast peers of IPv6"))?;
        Ok((Some(receiver), Some(sender)))
    }
}

/// The size of a receive buffer, in bytes.
fn buffer(wanted: Option<u32>, least: usize) -> usize {
    wanted.and_then(|bytes| usize::try_from(bytes).ok()).map_or(least, |bytes| bytes.max(least))
}

/// `-t`: tells what is wrong, where it was asked to, and exits with the contract's code.
fn test_configuration(arguments: &Arguments, loaded: &Loaded) -> Result<u8, Failed> {
    let diagnostics = &loaded.diagnostics;
    if arguments.dump_conf {
        // The defaults of what is not said, as comments, where detail is asked for.
        say(&config::print(&loaded.model, arguments.log_detail));
    }
    match &arguments.config_test_to {
        Some(path) => {
            let text = match arguments.json {
                true => diagnostics.json() + "\n",
                false => diagnostics.iter().map(|it| diagnostics.one_line(it) + "\n").collect(),
            };
            fs::write(path, text).map_err(system(&format!("can't write {}", path.display())))?;
        }
        // Where the configuration itself is printed, what is said about it stands apart.
        None if arguments.json && arguments.dump_conf => eprintln!("{}", diagnostics.json()),
        None if arguments.json => say(&(diagnostics.json() + "\n")),
        None => eprint!("{}", diagnostics.rich(std::io::stderr().is_terminal())),
    }
    // Whether scripts are safe is the host's to tell, not the text's.
    let Some(programs) = loaded.configuration.as_ref().map(Programs::prepare) else {
        return Ok(diagnostics.exit_code());
    };
    for problem in &programs.problems {
        eprintln!("{problem}");
    }
    Ok(match (programs.insecure, diagnostics.exit_code()) {
        (true, _) => exit::SCRIPT_SECURITY,
        (false, exit::OK) if !programs.problems.is_empty() => exit::FLAWED,
        (false, code) => code,
    })
}

/// Writes to standard output. Whoever has closed it has read enough.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn open_journal(
    program: &str,
    arguments: &Arguments,
    places: &Places,
    facility: Facility,
) -> Result<Journal, Failed> {
    let file = match (&arguments.log_file_to, arguments.log_file) {
        (Some(file), _) => Some(file.as_path()),
        (None, true) => Some(places.log.as_path()),
        (None, false) => None,
    };
    if arguments.log_console {
        return Ok(Journal::console());
    }
    if let Some(file) = file {
        return Journal::file(file)
            .map_err(system(&format!("can't write the log file {}", file.display())));
    }
    if arguments.no_syslog {
        return Ok(Journal::nowhere());
    }
    let ident = if is_keepalived(program) { "Keepalived_vrrp" } else { "viprd" };
    Ok(Journal::syslog(&format!("{ident}{}", places.suffix), facility))
}

fn backend(arguments: &Arguments) -> Result<Backend, Failed> {
    match arguments.io.as_deref() {
        None | Some("auto") => Ok(Backend::Auto),
        Some("uring") => Ok(Backend::Uring),
        Some("epoll") => Ok(Backend::Epoll),
        Some(other) => Err(usage(format!("--io {other}: expected auto, uring or epoll"))),
    }
}

/// `--umask`: which bits files are made without.
fn umask(arguments: &Arguments) -> Result<Option<u32>, Failed> {
    let Some(octal) = &arguments.umask else { return Ok(None) };
    match u32::from_str_radix(octal, 8) {
        Ok(bits) if bits <= 0o777 => Ok(Some(bits)),
        _ => Err(usage(format!("--umask {octal}: expected an octal number up to 777"))),
    }
}

fn facility(arguments: &Arguments) -> Result<Facility, Failed> {
    Ok(match arguments.log_facility.as_deref() {
        None | Some("daemon") => Facility::LOG_DAEMON,
        Some("user") => Facility::LOG_USER,
        Some("0" | "local0") => Facility::LOG_LOCAL0,
        Some("1" | "local1") => Facility::LOG_LOCAL1,
        Some("2" | "local2") => Facility::LOG_LOCAL2,
        Some("3" | "local3") => Facility::LOG_LOCAL3,
        Some("4" | "local4") => Facility::LOG_LOCAL4,
        Some("5" | "local5") => Facility::LOG_LOCAL5,
        Some("6" | "local6") => Facility::LOG_LOCAL6,
        Some("7" | "local7") => Facility::LOG_LOCAL7,
        Some(other) => {
            let expected = "expected 0 to 7, local0 to local7, user or daemon";
            return Err(usage(format!("--log-facility {other}: {expected}")));
        }
    })
}

/// The version, in a form that tools which look for keepalived's can read: those want its name and
/// a version with three parts in the first line, and judge features by it.
fn version(program: &str) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    if is_keepalived(program) {
        format!("Keepalived v{KEEPALIVED_EQUIVALENT} (viprd {ours})\n")
    } else {
        format!("viprd v{ours}\n")
    }
}

fn is_keepalived(program: &str) -> bool {
    program == "keepalived"
}

fn usage(text: String) -> Failed {
    Failed { code: exit::USAGE, text }
}

/// Turns a system error into a failure that says what was tried.
fn system(what: &str) -> impl FnOnce(std::io::Error) -> Failed + use<> {
    let what = what.to_owned();
    move |cause| {
        let hint = match cause.raw_os_error() {
            Some(libc::EPERM) => "; viprd needs root, or CAP_NET_RAW and CAP_NET_ADMIN",
            _ => "",
        };
        Failed { code: exit::SYSTEM, text: format!("{what}: {cause}{hint}") }
    }
}
