//! One suite for every backend: whatever the daemon relies on from `Io` is shown here to hold for
//! the ring and for epoll alike.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant as StdInstant};

use viprd::base::{IfIndex, Instant, Span};
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

fn numbers(seen: &[Seen]) -> Vec<u32> {
    seen.iter()
        .map(|seen| match seen {
            Seen::Datagram(_, bytes) => u32::from_ne_bytes(bytes[..4].try_into().unwrap()),
            other => panic!("expected a datagram, got {other:?}"),
        })
        .collect()
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
            Event::Datagram { bytes, ifindex, truncated } => {
                assert_eq!((bytes, ifindex, truncated), (&b"with"[..], Some(IfIndex(lo)), false));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Ten times the pool, from a sender that doesn't wait for the receiver.
    fn a_burst_larger_than_the_pool_survives(io) {
        const BURST: u32 = 5_000;
        let (ours, theirs) = loopback();
        set_int(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20);
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
        set_int(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20);
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
        set_int(theirs.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20);
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
        drop(theirs);
        io.send(A, ours.as_raw_fd(), b"nobody");
        assert_eq!(drain(io), [Seen::SendFailed(A, libc::ECONNREFUSED)]);
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

    /// The error of a connected socket whose peer has gone is told; receiving goes on.
    fn a_receive_error_is_reported_and_survived(io) {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        ours.connect(address).unwrap();
        drop(theirs);
        io.receive(A, ours.as_fd(), Pool::Packets).unwrap();
        ours.send(b"anyone?").unwrap();
        let seen = until(io, |seen| !seen.is_empty());
        assert_eq!(seen, [Seen::ReceiveFailed(A, libc::ECONNREFUSED)]);
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
        for _ in 0..40 {
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
