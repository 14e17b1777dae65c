//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use argh::FromArgs;
use viprd::control::Request;

/// Where viprd listens unless it is told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/viprd/viprd.sock";

/// Ask a running viprd about its virtual routers.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(
    error_code(0, "viprd answered"),
    error_code(1, "viprd refused the request, for example since no virtual router has that name"),
    error_code(2, "check: a statement lacks its value"),
    error_code(4, "check: the file can not be run"),
    error_code(5, "check: there are errors, but it could be run"),
    error_code(6, "check: a script is not secure"),
    error_code(64, "wrong arguments"),
    error_code(69, "viprd does not answer"),
    error_code(74, "the answer could not be written"),
    error_code(76, "the answer could not be understood")
)]
pub(crate) struct Args {
    /// control socket of viprd (default: /run/viprd/viprd.sock)
    #[argh(option, short = 's', arg_name = "path", default = "DEFAULT_SOCKET.into()")]
    pub(crate) socket: PathBuf,

    /// write JSON instead of text
    #[argh(switch)]
    pub(crate) json: bool,

    #[argh(subcommand)]
    pub(crate) command: Command,
}

/// What to ask.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand)]
pub(crate) enum Command {
    Status(Status),
    Show(Show),
    Explain(Explain),
    Stats(Stats),
    Latency(Latency),
    Version(Version),
    Reload(Reload),
    Check(Check),
}

/// list the virtual routers: state, priority, master, addresses
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "status")]
pub(crate) struct Status {
    /// only this virtual router
    #[argh(positional, arg_name = "name")]
    pub(crate) name: Option<String>,
}

/// show everything about one virtual router
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "show")]
pub(crate) struct Show {
    /// the virtual router
    #[argh(positional, arg_name = "name")]
    pub(crate) name: String,
}

/// explain why a virtual router is what it is
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "explain")]
pub(crate) struct Explain {
    /// the virtual router
    #[argh(positional, arg_name = "name")]
    pub(crate) name: String,
}

/// show what has been counted
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "stats")]
pub(crate) struct Stats {
    /// only this virtual router, every counter of it
    #[argh(positional, arg_name = "name")]
    pub(crate) name: Option<String>,
}

/// show how timely adverts and takeovers are
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "latency")]
pub(crate) struct Latency {}

/// show the versions of viprctl and of the viprd that answers
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "version")]
pub(crate) struct Version {}

/// let viprd read its configuration again and wait
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "reload")]
pub(crate) struct Reload {}

/// check a configuration file; no viprd needs to run
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "check")]
pub(crate) struct Check {
    /// the file (default: the one that viprd would read)
    #[argh(positional, arg_name = "file")]
    pub(crate) file: Option<PathBuf>,

    /// use lines that begin with @id (default: host name)
    #[argh(option, short = 'i', arg_name = "id")]
    pub(crate) config_id: Option<String>,

    /// an include that matches nothing is an error
    #[argh(switch, short = 'e')]
    pub(crate) all_config: bool,
}

/// What came of reading the arguments.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed {
    /// Something to do.
    Run(Args),
    /// Help was asked for: its text.
    Help(String),
    /// They are wrong: why.
    Wrong(String),
}

impl Command {
    /// The request that asks viprd for it; `None` for what is done without one.
    pub(crate) fn request(&self) -> Option<Request> {
        Some(match self {
            Command::Status(status) => Request::Status { name: status.name.clone() },
            Command::Show(show) => Request::Show { name: show.name.clone() },
            Command::Explain(explain) => Request::Explain { name: explain.name.clone() },
            Command::Stats(stats) => Request::Stats { name: stats.name.clone() },
            Command::Latency(Latency {}) => Request::Latency {},
            Command::Version(Version {}) => Request::Version {},
            Command::Reload(Reload {}) => Request::Reload {},
            Command::Check(_) => return None,
        })
    }
}

/// Reads the arguments, the program's name first.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Parsed {
    let mut words = Vec::new();
    for arg in args.into_iter().skip(1) {
        match arg.into_string() {
            Ok(word) => words.push(word),
            Err(arg) => return Parsed::Wrong(format!("{} is not UTF-8\n", arg.to_string_lossy())),
        }
    }
    if let [one] = &*words
        && ["--version", "-V", "-v"].contains(&&**one)
    {
        return Parsed::Help(format!("viprctl {}\n", env!("CARGO_PKG_VERSION")));
    }
    let words = in_argh_order(&words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match Args::from_args(&["viprctl"], &words) {
        Ok(args) => Parsed::Run(args),
        Err(early) => {
            let text = early.output.trim_end();
            match early.status {
                Ok(()) => Parsed::Help(format!("{text}\n")),
                Err(()) => Parsed::Wrong(format!(
                    "viprctl: {text}\nviprctl --help lists the commands, viprctl COMMAND --help what follows one\n"
                )),
            }
        }
    }
}

/// The arguments as argh takes them: it knows neither `--key=value` nor `-kvalue` nor `-h`, and
/// wants our options before the subcommand, while people type them anywhere.
fn in_argh_order(words: &[String]) -> Vec<String> {
    let (mut options, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (option, value) = match word {
            "--" => {
                rest.push(word.to_owned());
                rest.extend(words.map(str::to_owned));
                break;
            }
            "-h" => ("--help", None),
            _ if word.starts_with("--") => match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, None),
            },
            _ => match word.strip_prefix("-s") {
                Some("") | None => (word, None),
                Some(value) => ("-s", Some(value.strip_prefix('=').unwrap_or(value))),
            },
        };
        match option {
            "-s" | "--socket" => {
                options.push(option.to_owned());
                options.extend(value.or_else(|| words.next()).map(str::to_owned));
            }
            "--json" => {
                options.push(option.to_owned());
                options.extend(value.map(str::to_owned)); // for argh to refuse
            }
            _ => {
                rest.push(option.to_owned());
                rest.extend(value.map(str::to_owned));
            }
        }
    }
    options.append(&mut rest);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        parse(std::iter::once("viprctl").chain(line.split_whitespace()).map(OsString::from))
    }

    fn run(line: &str) -> (String, bool, Request) {
        match parsed(line) {
            Parsed::Run(args) => {
                (args.socket.display().to_string(), args.json, args.command.request().unwrap())
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_stand_anywhere_and_in_every_form() {
        let expected = ("/a.sock".to_owned(), true, Request::Show { name: "VI_1".into() });
        for line in [
            "-s /a.sock --json show VI_1",
            "--json show VI_1 -s /a.sock",
            "show --socket=/a.sock VI_1 --json",
            "show VI_1 --json --socket /a.sock",
            "-s/a.sock show --json VI_1",
            "-s=/a.sock show --json -- VI_1",
        ] {
            assert_eq!(run(line), expected, "{line}");
        }
    }

    #[test]
    fn defaults() {
        let request = Request::Status { name: None };
        assert_eq!(run("status"), (DEFAULT_SOCKET.to_owned(), false, request));
        assert_eq!(run("stats VI_1").2, Request::Stats { name: Some("VI_1".into()) });
        assert_eq!(run("latency").2, Request::Latency {});
        assert_eq!(run("version").2, Request::Version {});
    }

    #[test]
    fn check_needs_nobody() {
        for line in ["check -i a -e /x.conf", "check --config-id=a --all-config /x.conf"] {
            let Parsed::Run(args) = parsed(line) else { panic!("{line}") };
            let check = Check {
                file: Some("/x.conf".into()),
                config_id: Some("a".into()),
                all_config: true,
            };
            assert_eq!((args.command.request(), args.command), (None, Command::Check(check)));
        }
    }

    #[test]
    fn a_name_may_look_like_an_option() {
        assert_eq!(run("show -- --json"), {
            let request = Request::Show { name: "--json".into() };
            (DEFAULT_SOCKET.to_owned(), false, request)
        });
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "",
            "reboot",
            "show",
            "show a b",
            "status a b",
            "--frob status",
            "status -s",
            "--json=yes status",
            "status --json --json=1",
            "-x status",
        ] {
            assert!(matches!(parsed(line), Parsed::Wrong(_)), "{line}: {:?}", parsed(line));
        }
    }

    #[test]
    fn help_names_the_default_socket() {
        for line in ["--help", "-h", "help"] {
            let Parsed::Help(text) = parsed(line) else { panic!("{line}") };
            assert!(text.contains(DEFAULT_SOCKET), "{text}");
        }
        let Parsed::Help(text) = parsed("show -h") else { panic!() };
        assert!(text.contains("everything about one virtual router"), "{text}");
    }
}
