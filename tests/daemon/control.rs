//! Clients of the control socket that do not behave.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::hostile::assert_on_schedule;
use crate::site::{PATIENCE, Site, able};
use crate::tap::Tap;
use crate::viprd::{QUICK, Viprd, router, viprctl};

/// Adverts come regularly for a second and a half.
fn assert_adverts_go_on(tap: &Tap) {
    tap.clear();
    let watched = Duration::from_millis(1500);
    sleep(watched);
    assert_on_schedule(&tap.adverts(), Duration::from_millis(100), watched);
}

/// More than there are seats for: whoever has something to ask is still answered.
#[test]
fn a_hundred_idle_clients() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let mode = std::fs::metadata(viprd.socket()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its user's alone");
    let idle: Vec<UnixStream> =
        (0..100).map(|_| UnixStream::connect(viprd.socket()).expect("room")).collect();
    // Half a request is not one.
    for mut client in idle.iter().step_by(2) {
        let _ = client.write_all(b"{\"request\":");
    }
    assert_adverts_go_on(&tap);
    let began = Instant::now();
    assert_eq!(viprd.state(), "MASTER");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
    assert_eq!(viprd.state(), "MASTER");
    assert_adverts_go_on(&tap);
    viprd.stop();
}

/// Someone asks and asks, and reads nothing.
#[test]
fn clients_that_never_read() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    let before = resident(&viprd);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let client = UnixStream::connect(viprd.socket()).expect("room");
        client.set_nonblocking(true).expect("a socket");
        clients.push(client);
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        for client in &mut clients {
            let _ = client.write(&b"{\"request\":\"stats\"}\n".repeat(100));
        }
        sleep(Duration::from_millis(5));
    }
    assert_adverts_go_on(&tap);
    assert_eq!(viprd.state(), "MASTER");
    let grown = resident(&viprd).saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
    // In the end it is sent away.
    let began = Instant::now();
    let client = &mut clients[0];
    loop {
        match client.write(b"\n") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            _ => assert!(began.elapsed() < PATIENCE, "it may stay forever"),
        }
        sleep(Duration::from_millis(100));
    }
    viprd.stop();
}

/// Bytes of its memory that are resident.
fn resident(viprd: &Viprd) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", viprd.pid())).expect("it runs");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

/// What is no request is refused with a reason, and harms nobody else.
#[test]
fn garbage() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let tap = Tap::on(&site, "n");
    let mut viprd = Viprd::start(&site, "r", &router(QUICK));
    viprd.becomes("MASTER");
    for (garbage, words) in [
        (&b"hello\n"[..], "not JSON"),
        (b"GET / HTTP/1.1\r\n\r\n", "not JSON"),
        (b"{}\n", "no field"),
        (b"{\"request\":\"reboot\"}\n", "there is no request"),
        (b"{\"request\":\"show\"}\n", "missing field"),
        (b"\0\0\0\0\n", "not JSON"),
        (&b"[".repeat(4000), "not JSON"),
        (&b"x".repeat(100_000), "at most 4096 bytes"),
    ] {
        let mut client = UnixStream::connect(viprd.socket()).expect("room");
        client.set_read_timeout(Some(PATIENCE)).expect("a time");
        let _ = client.write_all(garbage);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let start = String::from_utf8_lossy(&garbage[..garbage.len().min(20)]).into_owned();
        assert!(answer.contains("error"), "{start}: {answer}");
        assert!(answer.contains(words), "{start}: {answer}");
    }
    // Connections that end in the middle of things.
    for _ in 0..200 {
        let mut client = UnixStream::connect(viprd.socket()).expect("room");
        let _ = client.write_all(b"{\"request\":\"status\"}\n{\"requ");
    }
    assert_adverts_go_on(&tap);
    assert_eq!(viprd.state(), "MASTER");
    assert!(viprd.runs());
    viprd.stop();
}

/// What viprctl says when nobody is there, or the name is wrong.
#[test]
fn viprctl_says_what_is_wrong() {
    if !able(&[]) {
        return;
    }
    let site = Site::pair();
    let viprd = Viprd::start(&site, "r", &router(QUICK));
    let output = viprctl(&viprd.socket(), &["show", "VI_2"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("VI_2") && said.contains("VI_1"), "{said}");
    let socket = viprd.socket();
    viprd.stop();
    let output = viprctl(&socket, &["status"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(socket.to_str().expect("a path")), "{said}");
}
