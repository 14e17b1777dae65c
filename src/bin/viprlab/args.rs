//! The command line.

use argh::FromArgs;

/// Test bench of viprd: routers in network namespaces, real packets, failovers measured.
#[derive(FromArgs, Debug, PartialEq)]
pub(crate) struct Args {
    /// what to do
    #[argh(subcommand)]
    pub(crate) command: Command,
}

/// What the bench can do.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand)]
pub(crate) enum Command {
    /// The experiment of the seed page.
    Failover(FailoverArgs),
    /// The benchmark against a peer.
    Bench(BenchArgs),
    /// The matrix of interoperation.
    Interop(InteropArgs),
}

/// Plays the published failover experiment (two routers, a client, one address) and compares what
/// is measured with what was published. Needs root. Exit status: 0 every line holds, 1 one does
/// not, 2 it could not be played.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "failover")]
pub(crate) struct FailoverArgs {
    /// put another daemon in the place of one host: keepalived
    #[argh(option)]
    pub(crate) peer: Option<String>,

    /// the host that the other daemon plays: a or b (without it: a, then b)
    #[argh(option, long = "as")]
    pub(crate) place: Option<String>,

    /// print one JSON object instead of text
    #[argh(switch)]
    pub(crate) json: bool,

    /// play one round with VRRPv3, instead of the two usual ones
    #[argh(switch)]
    pub(crate) version3: bool,

    /// play one round with this advertisement interval in seconds, instead of the two usual ones
    #[argh(option)]
    pub(crate) advert_int: Option<String>,

    /// the viprd to run (default: the one beside this program)
    #[argh(option)]
    pub(crate) viprd: Option<String>,

    /// the keepalived to run (default: the one in PATH)
    #[argh(option)]
    pub(crate) keepalived: Option<String>,

    /// hand viprd this --io: auto, uring or epoll
    #[argh(option)]
    pub(crate) io: Option<String>,
}

/// Measures viprd and a peer in the same run, on the same work, in turn: start, processor time,
/// schedule, capacity, failover, notify scripts, memory, reload, configuration, deadlines, growth.
/// Needs root and two processors. Without --case: a programme of all of it, of at most ten minutes.
/// Exit status: 0 measured, 2 could not.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "bench")]
pub(crate) struct BenchArgs {
    /// the other daemon: keepalived (default) or none
    #[argh(option, default = "String::from(\"keepalived\")")]
    pub(crate) peer: String,

    /// one case only: start, steady, interval, capacity, failover, single, notify, memory, reload, config, timer or growth
    #[argh(option)]
    pub(crate) case: Option<String>,

    /// how many routers (with --case; default: 4000)
    #[argh(option)]
    pub(crate) routers: Option<usize>,

    /// their advertisement interval in milliseconds (with --case; default: 1000)
    #[argh(option)]
    pub(crate) interval: Option<u32>,

    /// over how many links they are spread (with --case; default: as many as it takes)
    #[argh(option)]
    pub(crate) links: Option<usize>,

    /// how often each play is repeated (with --case)
    #[argh(option)]
    pub(crate) repetitions: Option<usize>,

    /// how many seconds a steady state is watched (with --case)
    #[argh(option)]
    pub(crate) seconds: Option<f64>,

    /// only a look: everything once, short windows
    #[argh(switch)]
    pub(crate) quick: bool,

    /// take the time it takes: long windows, more repetitions
    #[argh(switch)]
    pub(crate) full: bool,

    /// print one JSON object instead of text
    #[argh(switch)]
    pub(crate) json: bool,

    /// write pictures into this directory
    #[argh(option)]
    pub(crate) svg: Option<String>,

    /// write a page with all figures into this file
    #[argh(option)]
    pub(crate) markdown: Option<String>,

    /// the viprd to run (default: the one beside this program)
    #[argh(option)]
    pub(crate) viprd: Option<String>,

    /// the keepalived to run (default: the one in PATH)
    #[argh(option)]
    pub(crate) keepalived: Option<String>,

    /// hand viprd this --io: auto, uring or epoll
    #[argh(option)]
    pub(crate) io: Option<String>,
}

/// Plays viprd beside keepalived and FRR in every way that they can be configured alike, each as the
/// preferred router and as the other one: start, stop, return, link down and up, cable out and in.
/// Needs root. Exit status: 0 all rows are green, 1 one is red, 2 it could not be played.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "interop")]
pub(crate) struct InteropArgs {
    /// play beside this daemon only: keepalived or frr
    #[argh(option)]
    pub(crate) peer: Option<String>,

    /// play this case only; of a wrong name all are told
    #[argh(option)]
    pub(crate) case: Option<String>,

    /// print one JSON object instead of text
    #[argh(switch)]
    pub(crate) json: bool,

    /// the viprd to run (default: the one beside this program)
    #[argh(option)]
    pub(crate) viprd: Option<String>,

    /// the keepalived to run (default: the one in PATH)
    #[argh(option)]
    pub(crate) keepalived: Option<String>,

    /// the vrrpd of FRR to run, with the zebra beside it (default: where packages put it)
    #[argh(option)]
    pub(crate) frr: Option<String>,

    /// hand viprd this --io: auto, uring or epoll
    #[argh(option)]
    pub(crate) io: Option<String>,
}

/// What the command line says to do before any work begins.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed {
    /// Do this.
    Run(Box<Args>),
    /// Print this (help) and be done.
    Help(String),
    /// It makes no sense; print this and fail.
    Wrong(String),
}

/// Reads the command line, without the program's own name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Parsed {
    let words = split_assignments(words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["--version" | "-v"] = words[..] {
        return Parsed::Help(format!("viprlab {}\n", env!("CARGO_PKG_VERSION")));
    }
    match Args::from_args(&["viprlab"], &words) {
        Ok(args) => Parsed::Run(Box::new(args)),
        Err(exit) if exit.status.is_ok() => Parsed::Help(exit.output),
        Err(exit) => Parsed::Wrong(exit.output),
    }
}

/// Splits `--key=value` in two, up to a lone `--`: argh knows only the form with a blank.
fn split_assignments(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut split = Vec::new();
    let mut literal = false;
    for word in words {
        literal |= word == "--";
        match word.split_once('=') {
            Some((key, value)) if !literal && key.len() > 2 && key.starts_with("--") => {
                split.extend([key.to_owned(), value.to_owned()]);
            }
            _ => split.push(word),
        }
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn both_forms_of_an_option_are_read() {
        let blank = parse(words("failover --peer keepalived --as a --json"));
        assert_eq!(blank, parse(words("failover --peer=keepalived --as=a --json")));
        let Parsed::Run(args) = blank else { panic!("not run: {blank:?}") };
        let Command::Failover(args) = args.command else { panic!("not a failover: {args:?}") };
        assert_eq!(args.peer.as_deref(), Some("keepalived"));
        assert_eq!(args.place.as_deref(), Some("a"));
        assert!(args.json && !args.version3);
    }

    #[test]
    fn the_benchmark_measures_keepalived_unless_told_otherwise() {
        let Parsed::Run(args) = parse(words("bench --case steady --routers=20 --quick")) else {
            panic!("not run");
        };
        let Command::Bench(args) = args.command else { panic!("no benchmark: {args:?}") };
        assert_eq!((&*args.peer, args.routers, args.interval), ("keepalived", Some(20), None));
        assert!(args.quick && !args.full);
        assert!(matches!(parse(words("bench --routers many")), Parsed::Wrong(_)));
    }

    #[test]
    fn nothing_is_split_after_two_dashes() {
        assert_eq!(split_assignments(words("--a=b -- --c=d")), ["--a", "b", "--", "--c=d"]);
        assert_eq!(split_assignments(words("a=b --=x")), ["a=b", "--=x"]);
    }

    #[test]
    fn help_is_no_failure_and_nonsense_is() {
        assert!(matches!(parse(words("failover --help")), Parsed::Help(_)));
        assert!(matches!(parse(words("--version")), Parsed::Help(_)));
        assert!(matches!(parse(words("failover --speed 3")), Parsed::Wrong(_)));
        assert!(matches!(parse(words("")), Parsed::Wrong(_)));
    }

    #[test]
    fn the_manual_page_knows_every_option() {
        let manual = include_str!("../../../man/viprlab.1");
        for (command, known) in [("failover", "advert-int"), ("interop", "frr")] {
            let Parsed::Help(help) = parse(words(&format!("{command} --help"))) else {
                panic!("no help")
            };
            let options = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
            let options: Vec<&str> =
                options.map(|rest| rest.split([' ', ',']).next().unwrap_or(rest)).collect();
            assert!(options.contains(&known), "{options:?}");
            for option in options {
                let fl = format!("Fl -{option}");
                assert!(manual.contains(&fl), "--{option} is not in the manual");
            }
        }
    }
}
