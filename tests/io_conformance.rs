//! One suite for every backend: whatever the daemon relies on from `Io` is shown here to hold for
//! the ring and for epoll alike.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant as StdInstant};

use viprd::base::{IfIndex, Instant, Span};
use viprd::io::process::NetworkNamespace;
use viprd::io::sockets::{self, RouteGroup};
use viprd::io::{Backend, Event, Io, NETLINK_LEN, PACKET_LEN, Pool, Token, clock, open};

/// Runs `$body` for each backend, as tests of their own.
macro_rules! conformance {
    ($($(#[$about:meta])* fn $name:ident($io:ident) $body:block)*) => {
        mod uring {
            use super::*;
            $($(#[$about])* #[test] fn $name() {
                let $io = &mut *open(Backend::Uring).expect("the ring").io;
                $body
            })*
        }
        mod epoll {
            use super::*;
            $($(#[$about])* #[test] fn $name() {
                let $io = &mut *open(Backend::Epoll).expect("epoll").io;
                $body
            })*
        }
    };
}

const A: Token = Token(1);
const B: Token = Token(2);
const UNKNOWN: Token = Token(77);
/// The group of VRRP.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// What a completion was, in values that can be kept.
#[derive(Debug, PartialEq)]
enum Seen {
    Datagram(Token, Vec<u8>),
    Cut(Token, usize),
    Ready(Token),
    SendFailed(Token, i32),
    ReceiveFailed(Token, i32),
}

fn soon() -> Instant {
    clock::now() + Span::from_millis(50)
}

fn see(io: &mut dyn Io, seen: &mut Vec<Seen>) {
    while let Some(completion) = io.completion() {
        let token = completion.token;
        seen.push(match completion.event {
            Event::Datagram { bytes, truncated: true, .. } => Seen::Cut(token, bytes.len()),
            Event::Datagram { bytes, .. } => Seen::Datagram(token, bytes.to_vec()),
            Event::Ready => Seen::Ready(token),
            Event::SendFailed(error) => Seen::SendFailed(token, error.raw_os_error().unwrap_or(0)),
            Event::ReceiveFailed(error) => {
                Seen::ReceiveFailed(token, error.raw_os_error().unwrap_or(0))
            }
        });
    }
}

/// One turn that doesn't wait, and whatever more it takes until nothing is left to see.
fn drain(io: &mut dyn Io) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        io.turn(Instant::ZERO).expect("a turn");
        see(io, &mut seen);
        if !io.has_more() {
            return seen;
        }
    }
    panic!("there is always more: {:?}", &seen[..seen.len().min(10)]);
}

/// Turns until `enough` or a few seconds have passed.
fn until(io: &mut dyn Io, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    let end = clock::now() + Span::from_secs(10);
    while !enough(&seen) && clock::now() < end {
        io.turn(soon()).expect("a turn");
        see(io, &mut seen);
    }
    seen
}

fn pair() -> (UnixDatagram, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().expect("a socket pair");
    ours.set_nonblocking(true).expect("non-blocking");
    (ours, theirs)
}

fn loopback() -> (UdpSocket, UdpSocket) {
    let ours = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    let theirs = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
    ours.connect(theirs.local_addr().expect("bound")).expect("connect");
    theirs.connect(ours.local_addr().expect("bound")).expect("connect");
    ours.set_nonblocking(true).expect("non-blocking");
    (ours, theirs)
}

fn set_int(fd: RawFd, level: i32, name: i32, value: i32) {
    // SAFETY: `value` lives through the call and has the length that is given.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), 4) };
    assert_eq!(result, 0, "setsockopt: {}", io::Error::last_os_error());
}

/// Gives `socket` room for thousands of datagrams; false without the privilege for it.
fn large_buffer(socket: &UdpSocket) -> bool {
    let root = root();
    if root {
        set_int(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20);
    }
    root
}

fn numbers(seen: &[Seen]) -> Vec<u32> {
    seen.iter()
        .map(|seen| match seen {
            Seen::Datagram(_, bytes) => u32::from_ne_bytes(bytes[..4].try_into().unwrap()),
            other => panic!("expected a datagram, got {other:?}"),
        })
        .collect()
}

/// Two namespaces, joined by links: `a0` in one is `b0` in the other, and so on.
struct Lab {
    a: NetworkNamespace,
    b: NetworkNamespace,
    name_a: String,
    name_b: String,
}

impl Lab {
    /// `None` without the privilege for it, which is said.
    fn with_links(links: u32) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !root() {
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("viprd-io-{}-{number}-{side}", std::process::id());
        let names = Names([name("a"), name("b")]);
        let mut batch = String::new();
        for name in &names.0 {
            ip(&["netns", "add", name]);
        }
        let [name_a, name_b] = &names.0;
        for link in 0..links {
            batch += &format!(
                "link add a{link} type veth peer name b{link} netns {name_b}\n\
                 address add 10.77.{link}.1/24 dev a{link}\n\
                 link set a{link} up\n"
            );
        }
        ip_batch(name_a, &batch);
        let batch: String = (0..links)
            .map(|link| {
                format!(
                    "address add 10.77.{link}.2/24 dev b{link}\n\
                     link set b{link} up\n"
                )
            })
            .collect();
        ip_batch(name_b, &batch);
        for name in &names.0 {
            links_up(name, links);
        }
        let (a, b) = (NetworkNamespace::open(name_a), NetworkNamespace::open(name_b));
        let lab = Lab {
            a: a.expect("namespace a"),
            b: b.expect("namespace b"),
            name_a: name_a.clone(),
            name_b: name_b.clone(),
        };
        std::mem::forget(names);
        Some(lab)
    }

    /// Runs `ip` with `arguments`.
    fn run(&self, arguments: &str) {
        ip(&arguments.split(' ').collect::<Vec<_>>());
    }

    /// Adds `count` addresses to `a0`.
    fn addresses(&self, count: u32) {
        let batch: String =
            (1..=count).map(|last| format!("address add 10.99.0.{last}/32 dev a0\n")).collect();
        ip_batch(&self.name_a, &batch);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(Names([self.name_a.clone(), self.name_b.clone()]));
    }
}

/// Namespaces that are gone at the end, also of a set-up that panics.
struct Names([String; 2]);

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Waits until `count` links are in operation. Until the kernel has seen to that, some time after
/// they were set up, it swallows what is sent by them without an error.
fn links_up(namespace: &str, count: u32) {
    let up = || {
        let links = Command::new("ip").args(["-n", namespace, "-o", "link"]).output();
        let links = String::from_utf8(links.expect("iproute2").stdout).unwrap();
        links.matches(" state UP ").count() as u32
    };
    for _ in 0..1_000 {
        if up() == count {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} of {count} links are up", up());
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2");
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}

fn ip_batch(namespace: &str, commands: &str) {
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("iproute2");
    io::Write::write_all(&mut child.stdin.take().unwrap(), commands.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "ip -batch");
}

/// Whether namespaces and raw sockets can be had. It is said if not; a CI run must have them.
fn root() -> bool {
    // SAFETY: no arguments.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI has to run this as root");
        println!("not tested: it needs root, for namespaces, raw sockets and large buffers");
    }
    root
}

fn index_of(name: &str) -> IfIndex {
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: a C string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => panic!("no interface {name:?}"),
        index => IfIndex(index),
    }
}

fn address_of(socket: &OwnedFd) -> netlink_sys::SocketAddr {
    let mut address = [0u32; 3];
    let mut len = 12;
    // SAFETY: the address has room for as many bytes as said; `sockaddr_nl` is three words long.
    let result =
        unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
    assert_eq!(result, 0);
    netlink_sys::SocketAddr::new(address[1], 0)
}

/// An Ethernet frame with an IPv4 packet of protocol 112 in it, 20 bytes that begin with `mark`.
fn advert(mark: u8) -> [u8; 54] {
    let mut frame = [0; 54];
    frame[..6].copy_from_slice(&[0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
    frame[6..12].copy_from_slice(&[0x00, 0x00, 0x5e, 0x00, 0x01, 0x33]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let packet = &mut frame[14..];
    packet[..12].copy_from_slice(&[0x45, 0xc0, 0, 40, 0, 0, 0, 0, 255, 112, 0, 0]);
    packet[12..16].copy_from_slice(&[10, 77, mark, 1]);
    packet[16..20].copy_from_slice(&GROUP.octets());
    let sum: u32 =
        packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[20] = mark;
    frame
}

conformance! {
    fn datagrams_come_in_order_and_whole(io) {
        let (ours, theirs) = pair();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        for number in 0..100u32 {
            theirs.send(&number.to_ne_bytes()).unwrap();
        }
        let seen = until(io, |seen| seen.len() == 100);
        assert_eq!(numbers(&seen), (0..100).collect::<Vec<_>>());
        theirs.send(&[7; PACKET_LEN]).unwrap();
        assert_eq!(until(io, |seen| !seen.is_empty()), [Seen::Datagram(A, vec![7; PACKET_LEN])]);
        assert_eq!(drain(io), []);
        assert_eq!(io.counters().received, 101);
    }

    fn an_empty_datagram_is_one(io) {
        let (ours, theirs) = pair();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        for bytes in [&b"before"[..], b"", b"after"] {
            theirs.send(bytes).unwrap();
        }
        let expected = ["before", "", "after"].map(|text| Seen::Datagram(A, text.into()));
        assert_eq!(until(io, |seen| seen.len() == 3), expected);
    }

    fn what_is_too_long_is_cut_and_said_to_be(io) {
        let (ours, theirs) = pair();
        let (ours_large, theirs_large) = pair();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        io.receive(B, ours_large.as_fd(), Pool::Netlink).unwrap();
        theirs.send(&[1; PACKET_LEN + 1]).unwrap();
        theirs.send(b"whole").unwrap();
        let seen = until(io, |seen| seen.len() == 2);
        assert_eq!(seen, [Seen::Cut(A, PACKET_LEN), Seen::Datagram(A, b"whole".into())]);

        theirs_large.send(&vec![2; NETLINK_LEN]).unwrap();
        theirs_large.send(&vec![3; NETLINK_LEN + 1000]).unwrap();
        let seen = until(io, |seen| seen.len() == 2);
        assert_eq!(seen, [Seen::Datagram(B, vec![2; NETLINK_LEN]), Seen::Cut(B, NETLINK_LEN)]);
    }

    fn the_interface_is_told_if_the_socket_tells(io) {
        let (ours, theirs) = loopback();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        theirs.send(b"without").unwrap();
        io.turn(soon()).unwrap();
        match io.completion().expect("a completion").event {
            Event::Datagram { bytes, ifindex, .. } => {
                assert_eq!((bytes, ifindex), (&b"without"[..], None));
            }
            other => panic!("{other:?}"),
        }
        set_int(ours.as_raw_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1);
        theirs.send(b"with").unwrap();
        io.turn(soon()).unwrap();
        // SAFETY: the name is a C string.
        let lo = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
        match io.completion().expect("a completion").event {
            Event::Datagram { bytes, ifindex, envelope: None, truncated, .. } => {
                assert_eq!((bytes, ifindex, truncated), (&b"with"[..], Some(IfIndex(lo)), false));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Ten times the pool, from a sender that doesn't wait for the receiver.
    fn a_burst_larger_than_the_pool_survives(io) {
        const BURST: u32 = 5_000;
        let (ours, theirs) = loopback();
        if !large_buffer(&ours) {
            return;
        }
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        io.turn(Instant::ZERO).unwrap();
        for number in 0..BURST {
            theirs.send(&number.to_ne_bytes()).unwrap();
        }
        let seen = until(io, |seen| seen.len() == BURST as usize);
        assert_eq!(numbers(&seen), (0..BURST).collect::<Vec<_>>());
        assert_eq!(drain(io), []);
        theirs.send(&BURST.to_ne_bytes()).unwrap();
        assert_eq!(numbers(&drain(io)), [BURST], "it goes on receiving");
    }

    /// A socket that can't keep the burst loses what it must, and nothing more.
    fn all_that_a_small_socket_kept_arrives(io) {
        let (ours, theirs) = loopback();
        set_int(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 300_000);
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        for number in 0..5_000u32 {
            theirs.send(&number.to_ne_bytes()).unwrap();
        }
        let seen = numbers(&drain(io));
        assert!(!seen.is_empty() && seen.is_sorted(), "{} datagrams", seen.len());
        theirs.send(&5_000u32.to_ne_bytes()).unwrap();
        assert_eq!(numbers(&drain(io)), [5_000]);
    }

    /// Turns without looking at completions: buffers run out, everything waits, nothing is lost.
    fn a_pool_used_up_recovers(io) {
        const COUNT: u32 = 2_000;
        let (ours, theirs) = loopback();
        let (other, to_other) = pair();
        if !large_buffer(&ours) {
            return;
        }
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        io.receive(B, other.as_fd(), Pool::Packets).unwrap();
        for number in 0..COUNT {
            theirs.send(&number.to_ne_bytes()).unwrap();
            if number % 100 == 0 {
                io.turn(Instant::ZERO).unwrap();
            }
        }
        to_other.send(b"me too").unwrap();
        for _ in 0..100 {
            io.turn(Instant::ZERO).unwrap();
        }
        assert!(io.has_more());
        let mut seen = Vec::new();
        see(io, &mut seen);
        seen.extend(drain(io));
        let others = Seen::Datagram(B, b"me too".into());
        assert_eq!(seen.iter().filter(|seen| **seen == others).count(), 1);
        seen.retain(|seen| *seen != others);
        assert_eq!(numbers(&seen), (0..COUNT).collect::<Vec<_>>());
    }

    /// The kernel hands completions out in portions; `has_more` tells that there is another.
    fn many_sources_at_once_are_all_seen(io) {
        let pairs: Vec<_> = (0..100).map(|_| pair()).collect();
        for (number, (ours, _)) in pairs.iter().enumerate() {
            match number % 2 {
                0 => io.receive(Token(number as u32), ours.as_fd(), Pool::Packets).unwrap(),
                _ => io.watch(Token(number as u32), ours.as_fd()).unwrap(),
            }
        }
        assert_eq!(drain(io), []);
        for (_, theirs) in &pairs {
            theirs.send(b"x").unwrap();
        }
        let mut seen = drain(io);
        seen.sort_by_key(|seen| match seen {
            Seen::Datagram(token, _) | Seen::Ready(token) => *token,
            other => panic!("{other:?}"),
        });
        let expected: Vec<_> = (0..100)
            .map(|number| match number % 2 {
                0 => Seen::Datagram(Token(number), b"x".into()),
                _ => Seen::Ready(Token(number)),
            })
            .collect();
        assert_eq!(seen, expected);
    }

    fn has_more_tells_of_what_came_after_the_turn(io) {
        let (ours, theirs) = pair();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        assert_eq!(drain(io), []);
        assert!(!io.has_more());
        theirs.send(b"one").unwrap();
        theirs.send(b"two").unwrap();
        io.turn(soon()).unwrap();
        assert!(io.has_more());
        let mut seen = Vec::new();
        see(io, &mut seen);
        seen.extend(drain(io));
        assert_eq!(seen, ["one", "two"].map(|text| Seen::Datagram(A, text.into())));
        assert!(!io.has_more());
    }

    fn forgotten_receivers_are_silent_and_leave_the_datagrams(io) {
        let (ours, theirs) = pair();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        theirs.send(b"seen").unwrap();
        assert_eq!(drain(io), [Seen::Datagram(A, b"seen".into())]);
        io.forget(A);
        io.forget(A);
        io.forget(UNKNOWN);
        drain(io);
        theirs.send(b"kept").unwrap();
        assert_eq!(drain(io), []);
        let mut bytes = [0; 10];
        assert_eq!(ours.recv(&mut bytes).unwrap(), 4);
        // The token and the descriptor can be used again.
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        theirs.send(b"again").unwrap();
        assert_eq!(drain(io), [Seen::Datagram(A, b"again".into())]);
    }

    /// Completions of a forgotten receiver hold buffers: they must come back, each time.
    fn forgetting_with_completions_pending_loses_no_buffer(io) {
        let (ours, theirs) = pair();
        for round in 0..2_000 {
            io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
            theirs.send(b"late").unwrap();
            io.turn(Instant::ZERO).unwrap();
            io.forget(A);
            let seen = drain(io);
            assert_eq!(seen, [], "round {round}");
            // What the socket still has (a backend may not have read it) goes.
            let _ = ours.recv(&mut [0; 10]);
        }
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        theirs.send(b"now").unwrap();
        assert_eq!(drain(io), [Seen::Datagram(A, b"now".into())]);
    }

    /// The number of a descriptor that was closed after `forget` may be another socket's at once.
    fn a_descriptor_may_be_closed_after_forget(io) {
        for _ in 0..100 {
            let (ours, theirs) = pair();
            io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
            io.send(B, ours.as_raw_fd(), b"bye");
            io.forget(A);
            drop(ours);
            let (innocent, _its_peer) = pair();
            assert_eq!(drain(io), []);
            let mut bytes = [0; 10];
            assert_eq!(theirs.recv(&mut bytes).unwrap(), 3);
            assert_eq!(innocent.recv(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    fn a_token_is_used_once(io) {
        let (ours, _theirs) = pair();
        let (others, _theirs) = pair();
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        let error = io.watch(A, others.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let error = io.receive(A, others.as_fd(), Pool::Netlink).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    fn a_watch_fires_each_time(io) {
        let (ours, theirs) = pair();
        io.watch(A, ours.as_fd()).unwrap();
        assert_eq!(drain(io), []);
        for _ in 0..3 {
            theirs.send(b"x").unwrap();
            assert!(until(io, |seen| !seen.is_empty()).contains(&Seen::Ready(A)));
            while ours.recv(&mut [0; 10]).is_ok() {}
            drain(io);
        }
        io.forget(A);
        theirs.send(b"x").unwrap();
        assert_eq!(drain(io), []);
    }

    fn a_watch_sees_what_was_there_before_and_the_end(io) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        io::Write::write_all(&mut &theirs, b"early").unwrap();
        io.watch(A, ours.as_fd()).unwrap();
        assert!(until(io, |seen| !seen.is_empty()).contains(&Seen::Ready(A)));
        let mut bytes = [0; 10];
        assert_eq!(io::Read::read(&mut &ours, &mut bytes).unwrap(), 5);
        drain(io);
        drop(theirs);
        assert!(until(io, |seen| !seen.is_empty()).contains(&Seen::Ready(A)));
        assert_eq!(io::Read::read(&mut &ours, &mut bytes).unwrap(), 0);
    }

    fn sends_leave_in_order_at_the_turn(io) {
        let (ours, theirs) = loopback();
        if !large_buffer(&theirs) {
            return;
        }
        theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // More than there are slots, of both sizes.
        for number in 0..3_000u32 {
            let mut bytes = number.to_ne_bytes().to_vec();
            bytes.resize(if number % 7 == 0 { 1_000 } else { 60 }, 9);
            io.send(A, ours.as_raw_fd(), &bytes);
        }
        assert_eq!(drain(io), []);
        let mut bytes = [0; 2_000];
        for number in 0..3_000u32 {
            let len = theirs.recv(&mut bytes).unwrap();
            assert_eq!(len, if number % 7 == 0 { 1_000 } else { 60 });
            assert_eq!(bytes[..4], number.to_ne_bytes());
        }
        assert_eq!(io.counters().sent, 3_000);
        assert_eq!(io.counters().send_failures, 0);
    }

    fn a_failed_send_is_reported_with_its_token(io) {
        let (ours, theirs) = pair();
        let path = std::fs::File::open("/dev/null").unwrap();
        io.send(A, ours.as_raw_fd(), b"good");
        io.send(B, path.as_raw_fd(), b"bad");
        io.send(A, ours.as_raw_fd(), b"good too");
        io.send(UNKNOWN, ours.as_raw_fd(), &vec![0; NETLINK_LEN + 1]);
        let mut seen = drain(io);
        seen.sort_by_key(|seen| format!("{seen:?}"));
        let expected =
            [Seen::SendFailed(B, libc::ENOTSOCK), Seen::SendFailed(UNKNOWN, libc::EMSGSIZE)];
        assert_eq!(seen, expected);
        assert_eq!(io.counters().send_failures, 2);
        let mut bytes = [0; 10];
        assert_eq!(theirs.recv(&mut bytes).unwrap(), 4);
        assert_eq!(theirs.recv(&mut bytes).unwrap(), 8);
        theirs.shutdown(Shutdown::Both).unwrap();
        io.send(A, ours.as_raw_fd(), b"nobody");
        assert_eq!(drain(io), [Seen::SendFailed(A, libc::EPIPE)]);
    }

    /// A full peer is a failure, not a wait.
    fn sending_never_waits(io) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        for _ in 0..2_000 {
            io.send(A, ours.as_raw_fd(), b"no one reads");
        }
        let seen = drain(io);
        assert!(!seen.is_empty() && seen.len() < 2_000);
        assert!(seen.iter().all(|seen| *seen == Seen::SendFailed(A, libc::EAGAIN)));
        drop(theirs);
    }

    fn a_deadline_is_kept_and_never_early(io) {
        for millis in [1, 3, 20] {
            let deadline = clock::now() + Span::from_millis(millis);
            let mut turns = 0;
            while clock::now() < deadline {
                io.turn(deadline).unwrap();
                assert!(io.completion().is_none());
                turns += 1;
            }
            assert!(turns <= 2, "one wait, or one more after a signal: {turns}");
            assert!(clock::now().since(deadline) < Span::from_secs(2));
        }
    }

    /// Sub-millisecond deadlines: the best of many comes close.
    fn short_deadlines_are_not_rounded_to_milliseconds(io) {
        let best = (0..200)
            .map(|_| {
                let deadline = clock::now() + Span::from_micros(200);
                while clock::now() < deadline {
                    io.turn(deadline).unwrap();
                }
                clock::now().since(deadline)
            })
            .min()
            .unwrap();
        assert!(best < Span::from_micros(600), "{best:?}");
    }

    fn a_deadline_that_has_passed_does_not_wait(io) {
        let before = StdInstant::now();
        for _ in 0..10 {
            io.turn(Instant::ZERO).unwrap();
            io.turn(Instant::from_nanos(1)).unwrap();
            io.turn(clock::now()).unwrap();
        }
        assert!(before.elapsed() < Duration::from_secs(2));
        assert_eq!(io.counters().turns, 30);
    }

    /// A deadline nobody reaches: the datagram ends the wait.
    fn a_datagram_ends_the_wait(io) {
        for deadline in [Instant::NEVER, clock::now() + Span::from_secs(3600)] {
            let (ours, theirs) = pair();
            io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
            drain(io);
            let sender = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                theirs.send(b"wake").unwrap();
                theirs
            });
            let mut seen = Vec::new();
            while seen.is_empty() {
                io.turn(deadline).unwrap();
                see(io, &mut seen);
            }
            assert_eq!(seen, [Seen::Datagram(A, b"wake".into())]);
            sender.join().unwrap();
            io.forget(A);
            drain(io);
        }
    }

    /// What a slow client has no room for goes on when it has.
    fn a_stream_tells_when_there_is_room_again(io) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        io.watch_stream(A, ours.as_fd()).unwrap();
        assert_eq!(until(io, |seen| !seen.is_empty()), [Seen::Ready(A)]);
        for _ in 0..3 {
            while io::Write::write(&mut &ours, &[0; 1_000]).is_ok() {}
            drain(io);
            while io::Read::read(&mut &theirs, &mut [0; 1_000]).is_ok() {}
            assert!(until(io, |seen| !seen.is_empty()).contains(&Seen::Ready(A)));
            assert!(io::Write::write(&mut &ours, &[0; 1_000]).is_ok());
        }
        drain(io);
        io::Write::write_all(&mut &theirs, b"request").unwrap();
        assert!(until(io, |seen| !seen.is_empty()).contains(&Seen::Ready(A)));
    }

    /// After `forget` and one more turn nothing holds the descriptor: closing it is final.
    fn what_is_forgotten_is_let_go(io) {
        for receive in [true, false] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            match receive {
                true => io.receive(A, ours.as_fd(), Pool::Packets).unwrap(),
                false => io.watch(A, ours.as_fd()).unwrap(),
            }
            assert_eq!(drain(io), []);
            io.forget(A);
            drop(ours);
            assert_eq!(drain(io), []);
            assert_eq!(io::Read::read(&mut &theirs, &mut [0; 1]).unwrap(), 0);
        }
    }

    /// Adverts over thirty links: frames leave by one packet socket, one raw socket hears them all
    /// because plain datagram sockets have joined the group, and says by which link each came.
    fn adverts_cross_thirty_links(io) {
        const LINKS: u32 = 30;
        let Some(lab) = Lab::with_links(LINKS) else { return };
        let (raw, mut memberships) = lab.b.within(|| {
            let raw = sockets::raw_ipv4_receiver(112, 1 << 20).unwrap();
            let mut memberships = sockets::Memberships::new();
            for link in 0..LINKS {
                memberships.join(index_of(&format!("b{link}")), GROUP.into()).unwrap();
            }
            (raw, memberships)
        }).unwrap();
        assert!(memberships.sockets() >= 2, "{}", memberships.sockets());
        let packet = lab.a.within(|| sockets::packet_sender(1 << 20).unwrap()).unwrap();
        let index_in = |namespace: &NetworkNamespace, name: String| {
            namespace.within(|| index_of(&name)).unwrap()
        };

        io.receive(A, raw.as_fd(), Pool::Packets).unwrap();
        // Sends one advert a link and waits for `count`, then a little for those not expected.
        let heard = |io: &mut dyn Io, count: usize| {
            for link in 0..LINKS {
                let out = index_in(&lab.a, format!("a{link}"));
                io.send_frame(B, packet.as_raw_fd(), out, &advert(link as u8));
            }
            let mut heard = Vec::new();
            let (end, mut quiet) = (clock::now() + Span::from_secs(10), 0);
            while quiet < 2 && clock::now() < end {
                io.turn(soon()).unwrap();
                quiet += usize::from(heard.len() >= count);
                while let Some(completion) = io.completion() {
                    match (completion.token, completion.event) {
                        (A, Event::Datagram { bytes, ifindex, truncated: false, .. }) => {
                            assert_eq!((bytes[0], bytes[9], bytes.len()), (0x45, 112, 40));
                            heard.push((bytes[20], ifindex.expect("an interface")));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            heard.sort();
            heard
        };
        let all: Vec<_> = (0..LINKS)
            .map(|link| (link as u8, index_in(&lab.b, format!("b{link}"))))
            .collect();
        assert_eq!(heard(io, all.len()), all);

        // One link is left, another deleted: neither is heard, the others are.
        memberships.leave(all[7].1, GROUP.into()).unwrap();
        lab.run(&format!("-n {} link del b9", lab.name_b));
        memberships.leave(all[9].1, GROUP.into()).unwrap();
        lab.run(&format!("-n {} link add a9 type veth peer name none", lab.name_a));
        lab.run(&format!("-n {} link set a9 up", lab.name_a));
        let fewer: Vec<_> =
            all.iter().copied().filter(|(link, _)| ![7, 9].contains(link)).collect();
        assert_eq!(heard(io, fewer.len()), fewer);

        // Interfaces that are down or don't exist are failures with their token.
        lab.run(&format!("-n {} link set a3 down", lab.name_a));
        let down = index_in(&lab.a, "a3".into());
        io.send_frame(B, packet.as_raw_fd(), down, &advert(0));
        io.send_frame(UNKNOWN, packet.as_raw_fd(), IfIndex(99_999), &advert(0));
        io.send_frame(UNKNOWN, packet.as_raw_fd(), IfIndex(u32::MAX), &advert(0));
        let expected = [
            Seen::SendFailed(B, libc::ENETDOWN),
            Seen::SendFailed(UNKNOWN, libc::ENXIO),
            Seen::SendFailed(UNKNOWN, libc::ENXIO),
        ];
        assert_eq!(until(io, |seen| seen.len() == 3), expected);
    }

    /// Unicast peers: finished IPv4 packets through a raw socket.
    fn packets_reach_a_unicast_peer(io) {
        let Some(lab) = Lab::with_links(1) else { return };
        let raw = lab.b.within(|| sockets::raw_ipv4_receiver(112, 1 << 20).unwrap()).unwrap();
        let sender = lab.a.within(|| sockets::raw_ipv4_sender(None, 1 << 20).unwrap()).unwrap();
        io.receive(A, raw.as_fd(), Pool::Packets).unwrap();
        let mut packet = advert(5)[14..].to_vec();
        packet[16..20].copy_from_slice(&[10, 77, 0, 2]);
        io.send_ipv4(B, sender.as_raw_fd(), Ipv4Addr::new(10, 77, 0, 2), &packet);
        io.send_ipv4(B, sender.as_raw_fd(), Ipv4Addr::new(192, 0, 2, 1), &packet);
        let seen = until(io, |seen| seen.len() == 2);
        assert!(seen.contains(&Seen::SendFailed(B, libc::ENETUNREACH)), "{seen:?}");
        let heard = seen.iter().find_map(|seen| match seen {
            Seen::Datagram(A, bytes) => Some((bytes[9], bytes[20])),
            _ => None,
        });
        assert_eq!(heard, Some((112, 5)));
    }

    /// IPv6: a plain datagram socket has joined the group, a raw one hears what follows the header,
    /// and what the header said beside it; finished packets leave for peers by a raw socket.
    fn ipv6_packets_come_with_what_their_headers_said(io) {
        let Some(lab) = Lab::with_links(1) else { return };
        for (name, link, last) in [(&lab.name_a, "a0", 1), (&lab.name_b, "b0", 2)] {
            lab.run(&format!("-n {name} address add fe80::77:{last}/64 dev {link} nodad"));
        }
        let group: Ipv6Addr = "ff02::12".parse().unwrap();
        let source: Ipv6Addr = "fe80::77:1".parse().unwrap();
        let theirs: Ipv6Addr = "fe80::77:2".parse().unwrap();
        let (raw, at, _memberships) = lab.b.within(|| {
            let raw = sockets::raw_ipv6_receiver(112, 1 << 20).unwrap();
            let at = index_of("b0");
            let mut memberships = sockets::Memberships::new();
            memberships.join(at, group.into()).unwrap();
            (raw, at, memberships)
        }).unwrap();
        let (frames, packets, out) = lab.a.within(|| {
            let packets = sockets::raw_ipv6_sender(1 << 20).unwrap();
            (sockets::packet_sender(1 << 20).unwrap(), packets, index_of("a0"))
        }).unwrap();
        io.receive(A, raw.as_fd(), Pool::Packets).unwrap();

        let packet = |to: Ipv6Addr, hop_limit: u8| {
            let mut packet = vec![0x60, 0, 0, 0, 0, 8, 112, hop_limit];
            packet.extend(source.octets());
            packet.extend(to.octets());
            packet.extend(b"payload!");
            packet
        };
        let mut frame = vec![0x33, 0x33, 0, 0, 0, 0x12, 2, 0, 0, 0, 0, 9, 0x86, 0xdd];
        frame.extend(packet(group, 255));
        io.send_frame(B, frames.as_raw_fd(), out, &frame);
        io.send_ipv6(B, packets.as_raw_fd(), theirs, out, &packet(theirs, 7));
        let unknown = "2001:db8::1".parse().unwrap();
        io.send_ipv6(UNKNOWN, packets.as_raw_fd(), unknown, out, &packet(unknown, 7));

        let (mut heard, mut failed) = (Vec::new(), None);
        let end = clock::now() + Span::from_secs(10);
        while (heard.len() < 2 || failed.is_none()) && clock::now() < end {
            io.turn(soon()).unwrap();
            while let Some(completion) = io.completion() {
                match (completion.token, completion.event) {
                    (A, Event::Datagram { bytes, ifindex, envelope: Some(said), .. }) => {
                        assert_eq!((bytes, ifindex), (&b"payload!"[..], Some(at)));
                        assert_eq!(said.source, source);
                        heard.push((said.destination, said.hop_limit));
                    }
                    (UNKNOWN, Event::SendFailed(error)) => failed = error.raw_os_error(),
                    other => panic!("{other:?}"),
                }
            }
        }
        heard.sort();
        assert_eq!(heard, [(theirs, 7), (group, 255)]);
        assert_eq!(failed, Some(libc::ENETUNREACH));
    }

    /// Netlink's own ENOBUFS must be told, whatever the pool's state: the mirror has to resync.
    fn an_overrun_netlink_socket_is_reported(io) {
        let Some(lab) = Lab::with_links(1) else { return };
        let groups = [RouteGroup::Link, RouteGroup::Ipv4Address, RouteGroup::Ipv6Address];
        let monitor = lab.a.within(|| sockets::netlink_monitor(&groups, 4_000).unwrap()).unwrap();
        io.receive(A, monitor.as_fd(), Pool::Netlink).unwrap();
        drain(io);
        lab.addresses(100);
        let seen = drain(io);
        assert!(seen.contains(&Seen::ReceiveFailed(A, libc::ENOBUFS)), "{} seen", seen.len());
        // It goes on.
        lab.run(&format!("-n {} link set a0 mtu 1400", lab.name_a));
        let seen = until(io, |seen| !seen.is_empty());
        assert!(matches!(seen[0], Seen::Datagram(A, _)), "{seen:?}");
    }

    /// More changes than buffers is no overrun.
    fn a_netlink_burst_is_no_overrun(io) {
        let Some(lab) = Lab::with_links(1) else { return };
        let groups = [RouteGroup::Ipv4Address];
        let monitor = lab.a.within(|| sockets::netlink_monitor(&groups, 8 << 20).unwrap()).unwrap();
        io.receive(A, monitor.as_fd(), Pool::Netlink).unwrap();
        drain(io);
        lab.addresses(200);
        let seen = drain(io);
        assert_eq!(seen.len(), 200);
        assert!(seen.iter().all(|seen| matches!(seen, Seen::Datagram(A, _))));
    }

    /// A request through the command socket, its answer, and the kernel's word for a bad one.
    fn netlink_requests_are_answered(io) {
        let socket = sockets::netlink_command(1 << 20).unwrap();
        io.receive(A, socket.as_fd(), Pool::Netlink).unwrap();
        // RTM_GETLINK, NLM_F_REQUEST, for the loopback; then for an interface that isn't there.
        for index in [1i32, 0x7fff_0000] {
            let mut request = [0; 32];
            request[0..4].copy_from_slice(&32u32.to_ne_bytes());
            request[4..6].copy_from_slice(&18u16.to_ne_bytes());
            request[6..8].copy_from_slice(&1u16.to_ne_bytes());
            request[20..24].copy_from_slice(&index.to_ne_bytes());
            io.send(B, socket.as_raw_fd(), &request);
        }
        let seen = until(io, |seen| seen.len() == 2);
        let [Seen::Datagram(A, link), Seen::Datagram(A, error)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(link[4..6], 16u16.to_ne_bytes(), "RTM_NEWLINK");
        assert_eq!(error[4..6], 2u16.to_ne_bytes(), "NLMSG_ERROR");
        assert_eq!(error[16..20], (-libc::ENODEV).to_ne_bytes());
    }

    /// Whoever may send to our netlink socket is still not the kernel.
    fn netlink_is_heard_from_the_kernel_only(io) {
        if !root() {
            return;
        }
        let monitor = sockets::netlink_monitor(&[], 1 << 20).unwrap();
        io.receive(A, monitor.as_fd(), Pool::Netlink).unwrap();
        let ours = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        let mut forger = ours.clone();
        std::mem::forget(ours); // The clone shares its descriptor.
        forger.bind_auto().unwrap();
        forger.send_to(&[0; 16], &address_of(&monitor), 0).unwrap();
        assert_eq!(drain(io), []);
        assert_eq!((io.counters().refused, io.counters().received), (1, 0));
    }

    /// The error of a connected socket whose peer has gone is told; receiving goes on.
    fn a_receive_error_is_reported_and_survived(io) {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        ours.connect(address).unwrap();
        drop(theirs);
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        // A process that another test is just starting may hold the other end for a moment.
        let seen = (0..1_000).find_map(|_| {
            ours.send(b"anyone?").unwrap();
            io.turn(soon()).unwrap();
            let mut seen = Vec::new();
            see(io, &mut seen);
            (!seen.is_empty()).then_some(seen)
        });
        assert_eq!(seen, Some(vec![Seen::ReceiveFailed(A, libc::ECONNREFUSED)]));
        let theirs = UdpSocket::bind(address).unwrap();
        theirs.send_to(b"me", ours.local_addr().unwrap()).unwrap();
        assert_eq!(until(io, |seen| !seen.is_empty()), [Seen::Datagram(A, b"me".into())]);
    }

    fn a_descriptor_of_no_use_is_reported_once(io) {
        let unconnected = UnixDatagram::unbound().unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        drop(stream);
        let listener: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        io.receive(A, listener.as_fd(), Pool::Packets).unwrap();
        io.receive(B, unconnected.as_fd(), Pool::Packets).unwrap();
        // A listening socket can be polled, so it may be found out only when something comes.
        let address = std::net::TcpListener::from(listener.try_clone().unwrap()).local_addr();
        let _client = std::net::TcpStream::connect(address.unwrap()).unwrap();
        let seen = until(io, |seen| !seen.is_empty());
        assert_eq!(seen, [Seen::ReceiveFailed(A, libc::ENOTCONN)]);
        assert_eq!(drain(io), []);
        io.forget(A);
        assert_eq!(drain(io), []);
    }
}

/// Rings and their descriptors are gone when dropped: many can be opened one after another, also by
/// one thread.
#[test]
fn backends_can_be_opened_again_and_again() {
    for backend in [Backend::Uring, Backend::Epoll] {
        for _ in 0..20 {
            let opened = open(backend).expect("a backend");
            assert_eq!((opened.backend, opened.fallback), (backend, None));
            let mut io = opened.io;
            let (ours, theirs) = pair();
            io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
            theirs.send(b"x").unwrap();
            assert_eq!(drain(&mut *io), [Seen::Datagram(A, b"x".into())]);
        }
    }
}

/// More completions than the ring holds are late, not lost.
#[test]
fn the_rings_queue_may_overflow() {
    let io = &mut *open(Backend::Uring).expect("the ring").io;
    let (ours, theirs) = pair();
    theirs.shutdown(Shutdown::Both).unwrap();
    for number in 0..20_000 {
        io.send(Token(number), ours.as_raw_fd(), b"nobody is there");
    }
    let tokens: Vec<_> = drain(io)
        .into_iter()
        .map(|seen| match seen {
            Seen::SendFailed(Token(number), libc::EPIPE) => number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(tokens.len() == 20_000 && tokens.is_sorted(), "{} failures", tokens.len());
    assert!(io.counters().completions_overflown > 0);
    assert_eq!(io.counters().send_failures, 20_000);
}

/// The ring's own accounts of buffers that ran out.
#[test]
fn the_rings_buffers_run_out_and_are_counted() {
    let io = &mut *open(Backend::Uring).expect("the ring").io;
    let (ours, theirs) = loopback();
    if !large_buffer(&ours) {
        return;
    }
    io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
    for number in 0..2_000u32 {
        theirs.send(&number.to_ne_bytes()).unwrap();
    }
    for _ in 0..100 {
        io.turn(Instant::ZERO).unwrap();
    }
    assert_eq!(drain(io).len(), 2_000);
    let counters = io.counters();
    assert!(counters.buffers_exhausted >= 1 && counters.rearmed >= 1, "{counters:?}");
    assert_eq!((counters.received, counters.send_failures), (2_000, 0));
}

/// A ring that is refused is no reason not to start, but one to tell.
#[test]
fn a_refused_ring_is_told_with_its_probable_cause() {
    let causes = [
        (libc::ENOSYS, "no io_uring"),
        (libc::EPERM, "seccomp"),
        (libc::EINVAL, "older than 6.1"),
        (libc::ENOMEM, "ulimit -l"),
    ];
    for (errno, cause) in causes {
        // A filter stays for a thread's life, so each has a thread of its own.
        let check = move || {
            forbid_io_uring(errno);
            let opened = open(Backend::Auto).expect("epoll");
            assert_eq!(opened.backend, Backend::Epoll);
            let reason = opened.fallback.expect("a reason");
            assert!(reason.contains(cause), "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
            let error = open(Backend::Uring).err().expect("no ring");
            assert_eq!(error.to_string(), reason);
        };
        std::thread::spawn(check).join().expect("no panic");
    }
    assert_eq!(open(Backend::Auto).expect("a backend").backend, Backend::Uring);
}

/// Lets `io_uring_setup` fail with `errno` in this thread (`seccomp(2)`).
fn forbid_io_uring(errno: i32) {
    let step = |code, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let number = libc::SYS_io_uring_setup as u32;
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its steps live through the calls.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
        ]
    };
    assert_eq!(results, [0, 0], "{}", io::Error::last_os_error());
}
