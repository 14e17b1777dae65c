//! Once it is set up, receiving and sending takes no memory from the allocator: what a long-running
//! daemon never asks for can neither be refused nor leak.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;

use viprd::base::Span;
use viprd::io::{Backend, Event, Io, Pool, Token, clock, open};

const RECEIVER: Token = Token(1);
const SENDER: Token = Token(2);
const BROKEN: Token = Token(3);

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_counter_counts() {
    let before = ASKED.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(ASKED.get(), before + 1);
}

#[test]
fn the_ring_takes_no_memory() {
    no_memory_is_taken(Backend::Uring);
}

#[test]
fn epoll_takes_no_memory() {
    no_memory_is_taken(Backend::Epoll);
}

/// Every path of every day: bursts larger than slots and buffers, failing sends, deadlines, drains.
fn no_memory_is_taken(backend: Backend) {
    let mut io = open(backend).expect("a backend").io;
    let (ours, theirs) = UnixDatagram::pair().expect("a socket pair");
    let (deaf, gone) = UnixDatagram::pair().expect("a socket pair");
    drop(gone);
    let (watched, writer) = UnixDatagram::pair().expect("a socket pair");
    watched.set_nonblocking(true).expect("non-blocking");
    io.receive(RECEIVER, ours.as_fd(), Pool::Packets).expect("receiving");
    io.watch(Token(4), watched.as_fd()).expect("watching");

    let mut seen = Seen::default();
    let mut round = |io: &mut dyn Io, number: u64| {
        for _ in 0..8 {
            io.send(SENDER, theirs.as_raw_fd(), &[1; 40]);
        }
        io.send(SENDER, theirs.as_raw_fd(), &[2; 1_000]);
        if number.is_multiple_of(7) {
            io.send(BROKEN, deaf.as_raw_fd(), b"nobody is there");
            writer.send(b"x").expect("room");
        }
        if number.is_multiple_of(100) {
            // Beyond the slots: most of them fail, because the socket's queue is short.
            for _ in 0..2_000 {
                io.send(SENDER, theirs.as_raw_fd(), &[3; 40]);
            }
        }
        io.turn(clock::now() + Span::from_micros(50)).expect("a turn");
        seen.all(io);
        while io.has_more() {
            io.turn(clock::now()).expect("a turn");
            seen.all(io);
        }
        while watched.recv(&mut [0; 8]).is_ok() {}
    };
    for number in 0..200 {
        round(&mut *io, number);
    }
    let before = ASKED.get();
    for number in 0..5_000 {
        round(&mut *io, number);
    }
    let asked = ASKED.get() - before;
    assert_eq!(asked, 0, "allocations in 5,000 turns");
    assert!(seen.datagrams > 9 * 5_000 && seen.failures > 5_000 / 7 && seen.ready > 5_000 / 7);
}

#[derive(Default)]
struct Seen {
    datagrams: u64,
    failures: u64,
    ready: u64,
}

impl Seen {
    fn all(&mut self, io: &mut dyn Io) {
        while let Some(completion) = io.completion() {
            match completion.event {
                Event::Datagram { bytes, .. } => {
                    assert!(!bytes.is_empty());
                    self.datagrams += 1;
                }
                Event::SendFailed(_) => self.failures += 1,
                Event::Ready => self.ready += 1,
                Event::ReceiveFailed(error) => panic!("{error}"),
            }
        }
    }
}
