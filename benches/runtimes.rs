//! Three ways to do the same socket work on one thread: our ring, mio (the same interface over
//! epoll), and tokio-uring. A round sends some datagrams as long as adverts through one socket and
//! receives them from another; the loopback is the same for all.
//!
//! What this decided: tokio-uring makes each datagram a future of its own, with a buffer that moves
//! into the kernel and back; there is neither a multishot receive nor one submission for a batch.

use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use viprd::base::Span;
use viprd::io::{self, Backend, Event, Pool, Token, clock};

const RECEIVER: Token = Token(1);
const SENDER: Token = Token(2);
/// An advert of one address with its IPv4 header.
const ADVERT: [u8; 40] = [7; 40];
/// One advert, a point of the grid, and as many as a receive queue surely holds.
const BATCHES: [u64; 3] = [1, 32, 200];

/// Two sockets that are connected with each other.
fn pair() -> (UdpSocket, UdpSocket) {
    let socket = || UdpSocket::bind("127.0.0.1:0").expect("a loopback");
    let (ours, theirs) = (socket(), socket());
    let address = |socket: &UdpSocket| socket.local_addr().expect("an address");
    ours.connect(address(&theirs)).expect("a peer");
    theirs.connect(address(&ours)).expect("a peer");
    (ours, theirs)
}

/// Rounds over our own interface.
fn over_io(backend: Backend, batch: u64, rounds: u64) -> Duration {
    let mut io = io::open(backend).expect("a backend").io;
    let (ours, theirs) = pair();
    // Only the epoll backend reads and writes by itself.
    ours.set_nonblocking(true).expect("a mode");
    io.receive(RECEIVER, ours.as_fd(), Pool::Packets).expect("receiving");
    let begun = Instant::now();
    for _ in 0..rounds {
        for _ in 0..batch {
            io.send(SENDER, theirs.as_raw_fd(), &ADVERT);
        }
        let mut received = 0;
        while received < batch {
            io.turn(clock::now() + Span::from_millis(100)).expect("a turn");
            while let Some(completion) = io.completion() {
                received += u64::from(matches!(completion.event, Event::Datagram { .. }));
            }
        }
    }
    begun.elapsed()
}

/// Rounds as tokio-uring wants them: all datagrams of a round are sent at once, and received one
/// after the other.
fn over_tokio_uring(batch: u64, rounds: u64) -> Duration {
    tokio_uring::start(async move {
        let (ours, theirs) = pair();
        let ours = tokio_uring::net::UdpSocket::from_std(ours);
        let theirs = Rc::new(tokio_uring::net::UdpSocket::from_std(theirs));
        let mut space = vec![0; 2048];
        let begun = Instant::now();
        for _ in 0..rounds {
            for _ in 0..batch {
                let theirs = Rc::clone(&theirs);
                tokio_uring::spawn(async move {
                    theirs.write(ADVERT.to_vec()).submit().await.0.expect("a send");
                });
            }
            for _ in 0..batch {
                let (length, back) = ours.read(space).await;
                assert_eq!(length.expect("a datagram"), ADVERT.len());
                space = back;
            }
        }
        begun.elapsed()
    })
}

fn runtimes(c: &mut Criterion) {
    let mut group = c.benchmark_group("runtimes");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("our-ring", batch), |b| {
            b.iter_custom(|rounds| over_io(Backend::Uring, batch, rounds));
        });
        group.bench_function(BenchmarkId::new("mio", batch), |b| {
            b.iter_custom(|rounds| over_io(Backend::Epoll, batch, rounds));
        });
        group.bench_function(BenchmarkId::new("tokio-uring", batch), |b| {
            b.iter_custom(|rounds| over_tokio_uring(batch, rounds));
        });
    }
    group.finish();
}

criterion_group!(benches, runtimes);
criterion_main!(benches);
