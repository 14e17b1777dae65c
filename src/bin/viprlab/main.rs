//! `viprlab`, the test bench: routers in network namespaces, real packets, failovers measured.
//!
//! `topology` makes hosts, `daemon` runs ours or a peer's in them, `ping`, `capture` and
//! `neighbour` watch from the client's side, `timeline` and `table` tell what happened.
//! `failover` is the experiment that is played with them, `bench` the benchmark, `interop` the
//! matrix of other daemons.

mod args;
mod bench;
mod capture;
mod clock;
mod daemon;
mod failover;
mod interop;
mod interrupt;
mod neighbour;
mod ping;
mod progress;
mod table;
mod timeline;
mod topology;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::{BenchArgs, Command, FailoverArgs, InteropArgs, Parsed};
use daemon::{Program, Programs, find_program};
use failover::{Cast, Failure, Report, Setting, play};
use progress::Progress;

/// Every line that counts holds.
const HOLDS: u8 = 0;
/// One does not.
const MISSED: u8 = 1;
/// It could not be played.
const UNABLE: u8 = 2;

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let args = match args::parse(words) {
        Parsed::Run(args) => args,
        Parsed::Help(text) => {
            show(&text);
            return ExitCode::SUCCESS;
        }
        Parsed::Wrong(text) => {
            eprintln!("{}", text.trim_end());
            return ExitCode::from(UNABLE);
        }
    };
    let status = match args.command {
        Command::Failover(args) => failover(&args),
        Command::Bench(args) => bench(&args),
        Command::Interop(args) => interop(&args),
    };
    status.unwrap_or_else(|message| {
        eprintln!("viprlab: {message}");
        ExitCode::from(UNABLE)
    })
}

/// Writes to standard output. Whoever closed it did not want the rest.
fn show(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Plays the rounds asked for and shows what came of them. An error is for the user.
fn failover(args: &FailoverArgs) -> Result<ExitCode, String> {
    let settings = settings(args)?;
    let casts = casts(args)?;
    let programs = programs(args, &casts)?;
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root, to make network namespaces; try: sudo viprlab failover".into());
    }
    interrupt::install().map_err(|error| format!("cannot handle signals: {error}"))?;
    daemon::adopt_orphans().map_err(|error| format!("cannot adopt processes: {error}"))?;

    let mut report = Report { holds: true, rounds: vec![] };
    for &cast in &casts {
        for setting in &settings {
            let progress = Progress::start(!args.json);
            let round = match play(cast, setting, &programs, &progress) {
                Ok(round) => round,
                Err(Failure::Signal(signal)) => {
                    drop(progress);
                    eprintln!("viprlab: stopped by signal {signal}; everything is cleaned up");
                    return Ok(ExitCode::from(128 + signal as u8));
                }
                Err(Failure::Setup(error)) => return Err(error.to_string()),
            };
            drop(progress);
            if !args.json {
                show(&format!("{round}\n"));
            }
            report.holds &= round.holds;
            report.rounds.push(round);
        }
    }
    if args.json {
        let json = serde_json::to_string_pretty(&report);
        show(&json.map_err(|error| format!("cannot write JSON: {error}"))?);
        show("\n");
    } else {
        let verdict = if report.holds { "Every line holds." } else { "NOT every line holds." };
        show(&format!("{verdict}\n"));
    }
    Ok(ExitCode::from(if report.holds { HOLDS } else { MISSED }))
}

/// The published configuration and the fast one, or the one asked for.
fn settings(args: &FailoverArgs) -> Result<Vec<Setting>, String> {
    match (args.version3, &args.advert_int) {
        (false, None) => Ok(vec![Setting::published(), Setting::fast()]),
        (version3, advert_int) => Ok(vec![Setting::custom(version3, advert_int.clone())?]),
    }
}

/// Who plays: ours on both hosts, or the peer in the places asked for.
fn casts(args: &FailoverArgs) -> Result<Vec<Cast>, String> {
    use Program::{Keepalived, Viprd};
    let as_a = Cast { a: Keepalived, b: Viprd };
    let as_b = Cast { a: Viprd, b: Keepalived };
    match (args.peer.as_deref(), args.place.as_deref()) {
        (None, None) => Ok(vec![Cast { a: Viprd, b: Viprd }]),
        (None, Some(_)) => Err("--as needs --peer keepalived".into()),
        (Some("keepalived"), None) => Ok(vec![as_a, as_b]),
        (Some("keepalived"), Some("a")) => Ok(vec![as_a]),
        (Some("keepalived"), Some("b")) => Ok(vec![as_b]),
        // Not advertised: the bench tried on the peer alone.
        (Some("keepalived"), Some("both")) => Ok(vec![Cast { a: Keepalived, b: Keepalived }]),
        (Some("keepalived"), Some(place)) => Err(format!("--as is a or b, not {place}")),
        (Some(peer), _) => Err(format!("--peer is keepalived, not {peer}")),
    }
}

/// Finds what the casts need.
fn programs(args: &FailoverArgs, casts: &[Cast]) -> Result<Programs, String> {
    let needs = |program| casts.iter().any(|cast| cast.a == program || cast.b == program);
    find_programs(
        (args.viprd.as_deref(), needs(Program::Viprd)),
        (args.keepalived.as_deref(), needs(Program::Keepalived)),
        (None, false),
        args.io.clone(),
    )
}

/// Finds the programs, each where it is said to be or where it usually is; it must be there if it
/// is needed.
fn find_programs(
    (viprd, needs_viprd): (Option<&str>, bool),
    (keepalived, needs_keepalived): (Option<&str>, bool),
    (frr, needs_frr): (Option<&str>, bool),
    io: Option<String>,
) -> Result<Programs, String> {
    find_program("ip")
        .ok_or("needs the command `ip`, which is not there; it comes with the package iproute2")?;
    let keepalived = match keepalived {
        Some(path) => PathBuf::from(path),
        None => find_program("keepalived").unwrap_or_else(|| "keepalived".into()),
    };
    if needs_keepalived && !keepalived.is_file() {
        let path = keepalived.display();
        return Err(format!("needs {path}, which is not there; it is in the package keepalived"));
    }
    let viprd = match viprd {
        Some(path) => PathBuf::from(path),
        None => beside_this().unwrap_or_else(|| "viprd".into()),
    };
    if needs_viprd && !viprd.is_file() {
        let path = viprd.display();
        return Err(format!("needs {path}, which is not there; build it, or name it with --viprd"));
    }
    let frr = match frr {
        Some(path) => PathBuf::from(path),
        None => {
            let usual = FRR_DIRECTORIES.iter().map(|directory| Path::new(directory).join("vrrpd"));
            usual
                .clone()
                .find(|path| path.is_file())
                .or(usual.into_iter().next())
                .unwrap_or_default()
        }
    };
    for path in [frr.clone(), frr.with_file_name("zebra")] {
        if needs_frr && !path.is_file() {
            let path = path.display();
            return Err(format!("needs {path}, which is not there; it is in the package frr"));
        }
    }
    let more_pid_files =
        needs_keepalived && has_options(&keepalived, &["--bfd_pid", "--checkers_pid"]);
    Ok(Programs { viprd, keepalived, more_pid_files, frr, io })
}

/// Measures what is asked for and shows what came of it. An error is for the user.
fn bench(args: &BenchArgs) -> Result<ExitCode, String> {
    let run = bench_run(args)?;
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root, to make network namespaces; try: sudo viprlab bench".into());
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("needs two processors, one for each host".into());
    }
    interrupt::install().map_err(|error| format!("cannot handle signals: {error}"))?;
    daemon::adopt_orphans().map_err(|error| format!("cannot adopt processes: {error}"))?;

    let progress = Progress::start(!args.json);
    let outcome = run.play(&progress, |section| {
        if !args.json {
            progress.pause();
            show(&format!("{section}\n"));
        }
    });
    drop(progress);
    let report = match outcome {
        Ok(report) => report,
        Err(bench::Failure::Signal(signal)) => {
            eprintln!("viprlab: stopped by signal {signal}; everything is cleaned up");
            return Ok(ExitCode::from(128 + signal as u8));
        }
        Err(bench::Failure::Setup(error)) => return Err(error.to_string()),
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report);
        show(&json.map_err(|error| format!("cannot write JSON: {error}"))?);
        show("\n");
    }
    if let Some(directory) = &args.svg {
        bench::write_pictures(&report, Path::new(directory))
            .map_err(|error| format!("cannot write into {directory}: {error}"))?;
    }
    if let Some(page) = &args.markdown {
        let text = report.markdown(Path::new(page), args.svg.as_deref().map(Path::new));
        std::fs::write(page, text).map_err(|error| format!("cannot write {page}: {error}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the command line asks to measure.
fn bench_run(args: &BenchArgs) -> Result<bench::Run, String> {
    use bench::{Case, Effort, Run, Wanted};
    let peer = match args.peer.as_str() {
        "keepalived" => true,
        "none" => false,
        "frr" => {
            return Err(
                "--peer frr is not there: FRR needs a macvlan a router on both hosts, and \
                        its own configuration; docs/BENCHMARKS.md says more"
                    .into(),
            );
        }
        peer => return Err(format!("--peer is keepalived or none, not {peer}")),
    };
    let effort = match (args.quick, args.full) {
        (false, false) => Effort::Short,
        (true, false) => Effort::Quick,
        (false, true) => Effort::Full,
        (true, true) => return Err("--quick or --full, not both".into()),
    };
    let case = args.case.as_deref().map(Case::named).transpose()?;
    let wanted = Wanted {
        routers: args.routers,
        interval_ms: args.interval,
        links: args.links,
        repetitions: args.repetitions,
        seconds: args.seconds,
    };
    wanted.check(case)?;
    let programs = find_programs(
        (args.viprd.as_deref(), true),
        (args.keepalived.as_deref(), peer),
        (None, false),
        args.io.clone(),
    )?;
    Ok(Run { programs, peer, case, effort, wanted })
}

/// Whether a program's help names all of `options`.
fn has_options(program: &Path, options: &[&str]) -> bool {
    let output = std::process::Command::new(program).arg("--help").output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    options.iter().all(|option| said.contains(option))
}

/// Plays the matrix and shows it. An error is for the user.
fn interop(args: &InteropArgs) -> Result<ExitCode, String> {
    let cases = interop_cases(args)?;
    let needs = |program| cases.iter().any(|case| case.peer == program);
    let programs = find_programs(
        (args.viprd.as_deref(), true),
        (args.keepalived.as_deref(), needs(Program::Keepalived)),
        (args.frr.as_deref(), needs(Program::Frr)),
        args.io.clone(),
    )?;
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root, to make network namespaces; try: sudo viprlab interop".into());
    }
    interrupt::install().map_err(|error| format!("cannot handle signals: {error}"))?;
    daemon::adopt_orphans().map_err(|error| format!("cannot adopt processes: {error}"))?;

    let progress = Progress::start(!args.json);
    let outcome = interop::play(&cases, &programs, &progress);
    drop(progress);
    let report = match outcome {
        Ok(report) => report,
        Err(interop::Failure::Signal(signal)) => {
            eprintln!("viprlab: stopped by signal {signal}; everything is cleaned up");
            return Ok(ExitCode::from(128 + signal as u8));
        }
        Err(interop::Failure::Setup(error)) => return Err(error.to_string()),
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report);
        show(&json.map_err(|error| format!("cannot write JSON: {error}"))?);
        show("\n");
    } else {
        show(&report.to_string());
    }
    Ok(ExitCode::from(if report.holds { HOLDS } else { MISSED }))
}

/// The cases that the command line asks for.
fn interop_cases(args: &InteropArgs) -> Result<Vec<&'static interop::Case>, String> {
    let peer = match args.peer.as_deref() {
        None => None,
        Some("keepalived") => Some(Program::Keepalived),
        Some("frr") => Some(Program::Frr),
        Some(peer) => return Err(format!("--peer is keepalived or frr, not {peer}")),
    };
    let of_peer = || interop::CASES.iter().filter(|case| peer.is_none_or(|peer| case.peer == peer));
    let wanted = |case: &&interop::Case| args.case.as_deref().is_none_or(|name| case.name == name);
    let cases: Vec<_> = of_peer().filter(wanted).collect();
    if cases.is_empty() {
        let mut names: Vec<_> = of_peer().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        return Err(format!("--case is one of: {}", names.join(", ")));
    }
    Ok(cases)
}

/// Where packages put FRR's daemons: Debian's and Alpine's, Fedora's.
const FRR_DIRECTORIES: [&str; 3] = ["/usr/lib/frr", "/usr/libexec/frr", "/usr/sbin"];

/// The viprd that was built or installed together with this program.
fn beside_this() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    let beside = this.parent().unwrap_or(Path::new("/")).join("viprd");
    // An installed bench may be in bin while the daemon is in sbin.
    if beside.is_file() { Some(beside) } else { find_program("viprd").or(Some(beside)) }
}
