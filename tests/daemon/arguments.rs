//! The command line, as keepalived's callers use it and as people mistype it. Needs no root.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::viprd::{VIPRD, viprd};

#[test]
fn nonsense_is_refused_in_a_line() {
    for (arguments, words) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["-Z"], "-Z"),
        (&["extra"], "extra"),
        (&["-f"], "-f"),
        (&["--io", "foo"], "--io foo: expected auto, uring or epoll"),
        (&["-S", "9"], "9: expected 0 to 7"),
        (&["-u", "888"], "--umask 888: expected an octal number"),
        (&["--signum=FOO"], "--signum=FOO: expected STOP"),
    ] {
        let output = viprd(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(said.starts_with("viprd: "), "{said}");
        assert!(said.trim_end().lines().count() <= 2, "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_and_version() {
    for help in ["-h", "--help"] {
        let output = viprd(&[help]);
        assert_eq!(output.status.code(), Some(0), "{help}");
        let said = String::from_utf8_lossy(&output.stdout);
        for option in ["--use-file", "--dont-fork", "--config-test", "--control", "--io"] {
            assert!(said.contains(option), "{help}: {option}\n{said}");
        }
        assert!(output.stderr.is_empty());
    }
    // keepalived writes it to standard error, and its callers read it there.
    for version in ["-v", "--version"] {
        let output = viprd(&[version]);
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, format!("viprd v{}\n", env!("CARGO_PKG_VERSION")));
        assert!(output.stdout.is_empty());
    }
}

/// Numbers as keepalived gives them, for scripts such as `kill -$(keepalived --signum=RELOAD) PID`.
#[test]
fn signal_numbers() {
    let realtime = (libc::SIGRTMIN(), libc::SIGRTMAX());
    for (name, number) in [
        ("STOP", libc::SIGTERM),
        ("RELOAD", libc::SIGHUP),
        ("DATA", libc::SIGUSR1),
        ("STATS", libc::SIGUSR2),
        ("STATS_CLEAR", realtime.1 - 1),
        ("JSON", realtime.0 + 2),
        ("TDUMP", realtime.1),
    ] {
        let output = viprd(&[&format!("--signum={name}")]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{number}\n"));
    }
}

/// Under the name `keepalived`, it says that it is one that can do as much.
#[test]
fn by_the_name_of_keepalived() {
    let dir = std::env::temp_dir().join(format!("viprd-name-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let link = dir.join("keepalived");
    let _ = std::fs::remove_file(&link);
    symlink(VIPRD, &link).expect("a link");
    let output = Command::new(&link).arg("-v").output().expect("it runs");
    let wrong = Command::new(&link).arg("-Z").output().expect("it runs");
    std::fs::remove_dir_all(&dir).expect("it was there");
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or_default();
    let rest = first.strip_prefix("Keepalived v2.4.3 ");
    assert!(rest.is_some_and(|rest| rest.contains("viprd")), "{said}");
    assert!(String::from_utf8_lossy(&wrong.stderr).starts_with("keepalived: "));
}
