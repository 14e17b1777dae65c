//! The command line: keepalived's, so that whatever starts keepalived can start `viprd`.
//!
//! argh knows neither `--option=value` nor clustered short options, and wants no underscores;
//! [`split`] brings keepalived's forms into the one that it knows.

use std::path::{Path, PathBuf};

use argh::{EarlyExit, FromArgs};

/// Keeps virtual IP addresses alive across routers (VRRP v2 and v3). See viprd(8).
#[derive(FromArgs, Clone, Debug, Default)]
#[argh(help_triggers("-h", "--help"))]
pub(super) struct Arguments {
    /// configuration file (default: /etc/viprd/viprd.conf, else /etc/keepalived/keepalived.conf)
    #[argh(option, short = 'f')]
    pub use_file: Option<PathBuf>,
    /// stay in the foreground
    #[argh(switch, short = 'n')]
    pub dont_fork: bool,
    /// log to the console (standard error) instead of syslog
    #[argh(switch, short = 'l')]
    pub log_console: bool,
    /// log in detail
    #[argh(switch, short = 'D')]
    pub log_detail: bool,
    /// syslog facility: 0 to 7, local0 to local7, user or daemon (default)
    #[argh(option, short = 'S')]
    pub log_facility: Option<String>,
    /// log to /tmp/viprd.log; --log-file=FILE names another file
    #[argh(switch, short = 'g')]
    pub log_file: bool,
    /// what --log-file=FILE becomes
    #[argh(option, hidden_help)]
    pub log_file_to: Option<PathBuf>,
    /// do not log to syslog
    #[argh(switch, short = 'G')]
    pub no_syslog: bool,
    /// check the configuration and exit: 0 fine, 5 errors but could run, 6 script security,
    /// 4 cannot run, 2 a statement lacks its value; --config-test=FILE writes the findings there
    #[argh(switch, short = 't')]
    pub config_test: bool,
    /// what --config-test=FILE becomes
    #[argh(option, hidden_help)]
    pub config_test_to: Option<PathBuf>,
    /// with -t: write the findings as JSON, to standard output
    #[argh(switch)]
    pub json: bool,
    /// pid file (default: /run/viprd.pid)
    #[argh(option, short = 'p')]
    pub pid: Option<PathBuf>,
    /// pid file that keepalived's VRRP child would have; the same process here
    #[argh(option, short = 'r')]
    pub vrrp_pid: Option<PathBuf>,
    /// id for configuration lines that begin with @ (default: short host name)
    #[argh(option, short = 'i')]
    pub config_id: Option<String>,
    /// network namespace to run in
    #[argh(option, short = 's')]
    pub namespace: Option<String>,
    /// path of the control socket (default: /run/viprd/viprd.sock)
    #[argh(option)]
    pub control: Option<PathBuf>,
    /// input and output by: auto (default), uring or epoll
    #[argh(option)]
    pub io: Option<String>,
    /// keep the addresses at exit
    #[argh(switch, short = 'V')]
    pub dont_release_vrrp: bool,
    /// print the number of the signal for STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON or TDUMP
    #[argh(option)]
    pub signum: Option<String>,
    /// print the version and exit
    #[argh(switch, short = 'v')]
    pub version: bool,

    /// only the VRRP part: always so here
    #[argh(switch, short = 'P', hidden_help)]
    pub vrrp: bool,
    /// only the health checkers: there are none here
    #[argh(switch, short = 'C', hidden_help)]
    pub check: bool,
    /// no BFD: always so here
    #[argh(switch, short = 'B', hidden_help)]
    pub no_bfd: bool,
    /// all parts
    #[argh(switch, hidden_help)]
    pub all: bool,
    /// no effect: virtual addresses are always released
    #[argh(switch, short = 'X', hidden_help)]
    pub release_vips: bool,
    /// no effect: no LVS here
    #[argh(switch, short = 'I', hidden_help)]
    pub dont_release_ipvs: bool,
    /// no effect: there is no child to respawn
    #[argh(switch, short = 'R', hidden_help)]
    pub dont_respawn: bool,
    /// with -t: print the configuration as it was understood
    #[argh(switch, short = 'd')]
    pub dump_conf: bool,
    /// an include that matches nothing is an error
    #[argh(switch, short = 'e')]
    pub all_config: bool,
    /// file creation mask, octal
    #[argh(option, short = 'u', hidden_help)]
    pub umask: Option<String>,
    /// no effect: core dumps are the system's business
    #[argh(switch, short = 'm', hidden_help)]
    pub core_dump: bool,
    /// no effect, as -m
    #[argh(option, short = 'M', hidden_help)]
    pub core_dump_pattern: Option<String>,
    /// no effect: no SNMP here
    #[argh(switch, short = 'x', hidden_help)]
    pub snmp: bool,
    /// no effect: no SNMP here
    #[argh(option, short = 'A', hidden_help)]
    pub snmp_agent_socket: Option<String>,
    /// pid file of keepalived's health checkers: not written
    #[argh(option, short = 'c', hidden_help)]
    pub checkers_pid: Option<PathBuf>,
    /// pid file of keepalived's BFD child: not written
    #[argh(option, short = 'b', hidden_help)]
    pub bfd_pid: Option<PathBuf>,
    /// log all address changes
    #[argh(switch, short = 'a', hidden_help)]
    pub address_monitoring: bool,
    /// no effect: flushed after each turn anyway
    #[argh(switch, hidden_help)]
    pub flush_log_file: bool,
    /// no effect: memory needs no checking here
    #[argh(switch, short = 'L', hidden_help)]
    pub mem_check_log: bool,
    /// no effect: memory needs no checking here
    #[argh(switch, hidden_help)]
    pub no_mem_check: bool,
    /// leave SIGINT alone (for debuggers)
    #[argh(switch, hidden_help)]
    pub ignore_sigint: bool,
}

/// Options that may have a value, but only by `=`: keepalived's optional ones.
const OPTIONAL_VALUE: [&str; 2] = ["config-test", "log-file"];
/// Options that take a value, with the short forms that there are.
const WITH_VALUE: [(Option<char>, &str); 16] = [
    (Some('f'), "use-file"),
    (Some('S'), "log-facility"),
    (Some('p'), "pid"),
    (Some('r'), "vrrp-pid"),
    (Some('i'), "config-id"),
    (Some('s'), "namespace"),
    (Some('u'), "umask"),
    (Some('M'), "core-dump-pattern"),
    (Some('A'), "snmp-agent-socket"),
    (Some('c'), "checkers-pid"),
    (Some('b'), "bfd-pid"),
    (None, "control"),
    (None, "io"),
    (None, "signum"),
    (None, "config-test-to"),
    (None, "log-file-to"),
];
/// Accepted and forgotten, whatever value they carry.
const IGNORED: [&str; 3] = ["perf", "debug", "config-fd"];

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// A text for the user, and whether it was asked for (`--help`) or is a complaint.
    pub(super) fn read(program: &str, arguments: &[String]) -> Result<Self, EarlyExit> {
        let split = last_of_each(split(arguments));
        let split: Vec<&str> = split.iter().map(String::as_str).collect();
        Arguments::from_args(&[program], &split)
    }

    /// The same with all paths made absolute, for a process that changes its working directory.
    pub(super) fn with_absolute_paths(&self) -> Self {
        let absolute = |path: &Option<PathBuf>| path.as_deref().map(absolute);
        Arguments {
            pid: absolute(&self.pid),
            vrrp_pid: absolute(&self.vrrp_pid),
            control: absolute(&self.control),
            log_file_to: absolute(&self.log_file_to),
            ..self.clone()
        }
    }

    /// Options that were given and have no effect here, each with the reason.
    pub(super) fn without_effect(&self) -> Vec<&'static str> {
        let given = [
            (self.check, "--check: health checkers are not part of viprd"),
            (self.snmp || self.snmp_agent_socket.is_some(), "--snmp: viprd has no SNMP agent"),
            (self.dont_respawn, "--dont-respawn: viprd is one process and respawns nothing"),
            (self.core_dump || self.core_dump_pattern.is_some(), "--core-dump: see core(5)"),
            (self.checkers_pid.is_some(), "--checkers_pid: there is no such process"),
            (self.bfd_pid.is_some(), "--bfd_pid: there is no such process"),
            (self.dont_release_ipvs, "--dont-release-ipvs: LVS is not part of viprd"),
            (self.vrrp || self.no_bfd || self.all, "--vrrp, --no_bfd, --all: VRRP is all there is"),
            (self.release_vips, "--release-vips: virtual addresses always are"),
            (self.flush_log_file, "--flush-log-file: every line is written at once"),
            (self.mem_check_log || self.no_mem_check, "--mem-check: nothing to check"),
            (self.address_monitoring, "--address-monitoring: see ip-monitor(8)"),
            (self.dump_conf && !self.config_test, "--dump-conf: only with --config-test"),
            (self.json && !self.config_test, "--json: only with --config-test"),
        ];
        given.into_iter().filter(|(given, _)| *given).map(|(_, why)| why).collect()
    }
}

/// `path` seen from the working directory; as it is if there is none.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Brings `--long_name=value`, `-nlD` and `-fFILE` into the form that argh reads.
fn split(arguments: &[String]) -> Vec<String> {
    let mut split = Vec::new();
    for argument in arguments {
        if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
                None => (long.replace('_', "-"), None),
            };
            if IGNORED.contains(&name.as_str()) {
                continue;
            }
            match value {
                Some(value) if OPTIONAL_VALUE.contains(&name.as_str()) => {
                    split.extend([format!("--{name}-to"), value]);
                }
                Some(value) => split.extend([format!("--{name}"), value]),
                None => split.push(format!("--{name}")),
            }
        } else if let Some(cluster) = argument.strip_prefix('-').filter(|rest| rest.len() > 1) {
            let mut rest = cluster.chars();
            while let Some(option) = rest.next() {
                split.push(format!("-{option}"));
                let value = rest.as_str();
                // keepalived takes a file right behind these two; a cluster has no slash.
                let file_for = match option {
                    't' if value.starts_with('/') => Some("--config-test-to"),
                    'g' if value.starts_with('/') => Some("--log-file-to"),
                    _ => None,
                };
                if let Some(long) = file_for {
                    split.pop();
                    split.extend([long.to_owned(), value.to_owned()]);
                    break;
                }
                if WITH_VALUE.iter().any(|(short, _)| *short == Some(option)) {
                    if !value.is_empty() {
                        split.push(value.to_owned());
                    }
                    break;
                }
                if !option.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            split.push(argument.clone());
        }
    }
    split
}

/// Leaves out all but the last of an option that is given several times with a value: scripts that
/// add their own options to others' rely on that, and argh refuses it.
fn last_of_each(split: Vec<String>) -> Vec<String> {
    let canonical = |option: &str| {
        WITH_VALUE.iter().position(|(short, long)| {
            option.strip_prefix("--") == Some(*long)
                || short.is_some_and(|short| option.strip_prefix('-') == Some(&short.to_string()))
        })
    };
    let mut kept: Vec<(Option<usize>, Vec<String>)> = Vec::new();
    let mut words = split.into_iter();
    while let Some(word) = words.next() {
        let option = canonical(&word);
        if option.is_some() {
            kept.retain(|(other, _)| *other != option);
        }
        let value = option.and_then(|_| words.next());
        kept.push((option, [word].into_iter().chain(value).collect()));
    }
    kept.into_iter().flat_map(|(_, words)| words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Arguments::read("viprd", &arguments).unwrap()
    }

    #[test]
    fn keepalived_forms_are_understood() {
        let arguments = read("-nlDP -f/etc/a.conf --vrrp_pid=/run/v.pid -p /run/p.pid -S 3");
        assert!(arguments.dont_fork && arguments.log_console && arguments.log_detail);
        assert_eq!(arguments.use_file, Some("/etc/a.conf".into()));
        assert_eq!(arguments.vrrp_pid, Some("/run/v.pid".into()));
        assert_eq!(arguments.pid, Some("/run/p.pid".into()));
        assert_eq!(arguments.log_facility.as_deref(), Some("3"));
    }

    #[test]
    fn the_last_of_an_option_given_twice_wins() {
        let arguments = read("-f /etc/a -D -p /run/a -D --use-file=/etc/b -p/run/b");
        assert_eq!(arguments.use_file, Some("/etc/b".into()));
        assert_eq!(arguments.pid, Some("/run/b".into()));
        assert!(arguments.log_detail);
    }

    #[test]
    fn optional_values_come_by_equals_sign_only() {
        assert!(read("-t").config_test);
        assert_eq!(read("--config-test=/tmp/x").config_test_to, Some("/tmp/x".into()));
        assert!(read("--log-file").log_file);
        assert_eq!(read("--log-file=/tmp/y").log_file_to, Some("/tmp/y".into()));
    }

    #[test]
    fn a_file_may_stand_right_behind_its_option() {
        assert_eq!(read("-nt/tmp/x").config_test_to, Some("/tmp/x".into()));
        assert_eq!(read("-g/tmp/y -D").log_file_to, Some("/tmp/y".into()));
        assert!(read("-ntD").log_detail);
    }

    #[test]
    fn signum_as_its_callers_write_it() {
        assert_eq!(read("--signum=RELOAD").signum.as_deref(), Some("RELOAD"));
        assert_eq!(read("--signum JSON").signum.as_deref(), Some("JSON"));
    }

    #[test]
    fn help_is_had_by_either_name() {
        for help in ["-h", "-nh", "--help"] {
            let asked = Arguments::read("viprd", &[help.to_owned()]).unwrap_err();
            assert!(asked.status.is_ok(), "{help}: {}", asked.output);
            assert!(asked.output.contains("--use-file"), "{help}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_text() {
        let refused = Arguments::read("viprd", &["--no-such-thing".to_owned()]).unwrap_err();
        assert!(refused.status.is_err());
        assert!(refused.output.contains("no-such-thing"));
    }
}
