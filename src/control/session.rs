//! One client's conversation: requests gathered from bytes, answers given out in pages.

use super::record::{ErrorCode, ErrorRecord, Record};
use super::request::{MAX_REQUEST, Request, excerpt};
use super::{ReloadRecord, View};
use crate::base::RouterId;
use crate::vrrp::RouterView;

/// A page is complete with the record that makes it reach this many bytes.
pub const PAGE: usize = 16 * 1024;

/// How many bytes of requests a session keeps while they wait for their turn.
pub const MAX_PENDING: usize = 4 * MAX_REQUEST;

/// How many routers or request lines are looked at for one page, however few bytes come of it.
const STEPS_A_PAGE: usize = 256;

/// How many names are offered for one that does not exist.
const CANDIDATES: usize = 3;

/// One client's conversation. It holds at most [`MAX_PENDING`] bytes of requests and a few names.
#[derive(Debug, Default)]
pub struct Session {
    /// Bytes received; those before `taken` have been dealt with.
    input: Vec<u8>,
    taken: usize,
    /// Bytes came that `input` had no room for: what is in it ends in the middle of something.
    overrun: bool,
    /// No more bytes will come.
    ended: bool,
    over: bool,
    answer: Option<Answer>,
    order: Option<Order>,
}

/// Something that a client wants done. The engine is never touched here: the daemon does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration again.
    Reload,
}

/// What is to be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Write the page, which may be empty; there is nothing more to say until bytes come.
    Idle,
    /// Write the page, which may be empty, and then, in a later turn, fill the next one.
    More,
    /// Write the page, which may be empty; the answer goes on when what was ordered has been done.
    Waiting,
    /// Write the page, which may be empty, and then close the connection.
    Over,
}

/// An answer in progress. It remembers ids and never references, so that the engine may change
/// between two pages.
#[derive(Debug)]
enum Answer {
    /// About every router, `next` being the next one.
    Every { about: About, next: u32 },
    /// About one router, while it is looked for.
    One { about: About, search: Search },
    /// About every kind of times, `next` being the next one.
    Latency { next: usize },
    /// About the daemon.
    Version,
    /// About a reload: what came of it, as soon as that is known.
    Reload(Option<Box<ReloadRecord>>),
}

/// Which record is wanted of a router.
#[derive(Clone, Copy, Debug)]
enum About {
    Status,
    Show,
    Explain,
    Stats,
}

/// A router looked for by its name, with the names that come near it.
#[derive(Debug)]
struct Search {
    name: String,
    next: u32,
    /// The nearest so far, with their distances, the nearest first.
    nearest: Vec<(usize, String)>,
}

impl Session {
    /// A session in which nothing has been said.
    pub fn new() -> Self {
        Session::default()
    }

    /// Whether more bytes should be read from the client now: not while a request waits or is being
    /// answered. A client that sends ahead without reading is held back so by the socket itself.
    pub fn wants_bytes(&self) -> bool {
        self.is_idle() && !self.ended
    }

    /// The client sent `bytes`. Pieces of any length are taken; what goes beyond [`MAX_PENDING`]
    /// (impossible if [`Session::wants_bytes`] was asked and pieces are of at most three quarters of
    /// it) ends the session with an error, after the requests before it have been answered.
    pub fn on_bytes(&mut self, bytes: &[u8]) {
        if self.over || self.ended || self.overrun {
            return;
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        let room = MAX_PENDING - self.input.len().min(MAX_PENDING);
        self.overrun = bytes.len() > room;
        self.input.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The client will send nothing more. What it has asked is still answered; a last line may lack
    /// its newline. Then the session is over.
    pub fn on_end(&mut self) {
        self.ended = true;
    }

    /// Replaces what is in `page` by the next page of answers: at most [`PAGE`] bytes and one
    /// record. It takes a bounded time, however many routers there are.
    pub fn fill(&mut self, view: &View<'_>, page: &mut Vec<u8>) -> Progress {
        page.clear();
        let mut steps = STEPS_A_PAGE;
        while !self.over && page.len() < PAGE && steps > 0 {
            steps -= 1;
            match &mut self.answer {
                Some(Answer::Reload(None)) => return Progress::Waiting,
                Some(answer) => {
                    if answer.step(view, page) {
                        self.answer = None;
                    }
                }
                None => match self.next_request() {
                    None if self.ended => self.over = true,
                    None => return Progress::Idle,
                    Some(Ok(request)) => {
                        let answer = Answer::to(request);
                        if let Answer::Reload(_) = answer {
                            self.order = Some(Order::Reload);
                        }
                        self.answer = Some(answer);
                    }
                    Some(Err(error)) => {
                        self.over = error.code == ErrorCode::TooLong;
                        write(page, &Record::Error(error));
                    }
                },
            }
        }
        match (self.over, self.is_idle()) {
            (true, _) => {
                self.input = Vec::new();
                Progress::Over
            }
            (false, true) => Progress::Idle,
            (false, false) => Progress::More,
        }
    }

    /// What the client wants done, told once. The answer waits for it.
    pub fn take_order(&mut self) -> Option<Order> {
        self.order.take()
    }

    /// The reload that was ordered is over. Nothing happens if none was.
    pub fn on_reloaded(&mut self, outcome: &ReloadRecord) {
        if let Some(Answer::Reload(awaited)) = &mut self.answer {
            *awaited = Some(Box::new(outcome.clone()));
        }
    }

    /// Whether there is nothing to say: [`Session::fill`] need not be called before bytes, or their
    /// end, have come.
    pub fn is_idle(&self) -> bool {
        !self.over && self.answer.is_none() && !self.ended && self.line_end().is_none()
    }

    /// Whether all has been said: the connection is to be closed.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The next request, or why the next line is none; `None` if no line is complete.
    fn next_request(&mut self) -> Option<Result<Request, ErrorRecord>> {
        loop {
            let line_end = self.line_end()?;
            let line = &self.input[self.taken..line_end];
            if line.len() > MAX_REQUEST || line_end == self.input.len() && self.overrun {
                return Some(Err(too_long()));
            }
            let request = match line.trim_ascii() {
                [] => None, // people press return
                line => Some(Request::parse(line)),
            };
            self.taken = (line_end + 1).min(self.input.len());
            if request.is_some() {
                return request;
            }
        }
    }

    /// Where the next line ends: at its newline, or with the input if no newline can come any more
    /// or the line is too long already.
    fn line_end(&self) -> Option<usize> {
        let rest = &self.input[self.taken..];
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(length) => Some(self.taken + length),
            None if self.overrun || rest.len() > MAX_REQUEST => Some(self.input.len()),
            None if self.ended && !rest.is_empty() => Some(self.input.len()),
            None => None,
        }
    }
}

impl Answer {
    fn to(request: Request) -> Self {
        let every = |about| Answer::Every { about, next: 0 };
        let one = |about, name| Answer::One { about, search: Search::new(name) };
        match request {
            Request::Status { name: None } => every(About::Status),
            Request::Status { name: Some(name) } => one(About::Status, name),
            Request::Show { name } => one(About::Show, name),
            Request::Explain { name } => one(About::Explain, name),
            Request::Stats { name: None } => every(About::Stats),
            Request::Stats { name: Some(name) } => one(About::Stats, name),
            Request::Latency {} => Answer::Latency { next: 0 },
            Request::Version {} => Answer::Version,
            Request::Reload {} => Answer::Reload(None),
        }
    }

    /// Goes one record, or one router, further; whether the answer is complete.
    fn step(&mut self, view: &View<'_>, page: &mut Vec<u8>) -> bool {
        match self {
            Answer::Every { about, next } => {
                if let Some(router) = router(view, *next) {
                    *next = router.id.0 + 1;
                    write(page, &about.record(view, &router));
                    return false;
                }
                if let About::Stats = about {
                    write(page, &Record::Daemon(Box::new(view.daemon())));
                }
            }
            Answer::One { about, search } => match search.step(view) {
                None => return false,
                Some(Ok(router)) => write(page, &about.record(view, &router)),
                Some(Err(error)) => {
                    write(page, &Record::Error(error));
                    return true;
                }
            },
            Answer::Latency { next } => {
                if let Some(times) = view.latency(*next) {
                    *next += 1;
                    write(page, &Record::Latency(Box::new(times)));
                    return false;
                }
            }
            Answer::Version => write(page, &Record::Version(view.version())),
            Answer::Reload(None) => return false,
            Answer::Reload(Some(outcome)) => {
                write(page, &Record::Reload(std::mem::take(outcome)));
            }
        }
        write(page, &Record::End(true));
        true
    }
}

impl About {
    fn record(self, view: &View<'_>, router: &RouterView<'_>) -> Record {
        match self {
            About::Status => Record::Status(view.status(router)),
            About::Show => Record::Show(Box::new(view.show(router))),
            About::Explain => Record::Explain(Box::new(view.explain(router))),
            About::Stats => Record::Stats(Box::new(view.stats(router))),
        }
    }
}

impl Search {
    fn new(name: String) -> Self {
        Search { name, next: 0, nearest: Vec::with_capacity(CANDIDATES + 1) }
    }

    /// Looks at the next router: the one wanted, the error that there is none, or `None` to go on.
    fn step<'a>(&mut self, view: &View<'a>) -> Option<Result<RouterView<'a>, ErrorRecord>> {
        let Some(router) = router(view, self.next) else {
            return Some(Err(ErrorRecord {
                code: ErrorCode::NoSuchRouter,
                message: format!("no virtual router is named {}", excerpt(&self.name)),
                candidates: self.nearest.drain(..).map(|(_, name)| name).collect(),
            }));
        };
        self.next = router.id.0 + 1;
        if *router.params.name == *self.name {
            return Some(Ok(router));
        }
        if let Some(distance) = distance(&self.name, &router.params.name) {
            let at = self.nearest.partition_point(|&(other, _)| other <= distance);
            if at < CANDIDATES {
                self.nearest.insert(at, (distance, router.params.name.as_ref().into()));
                self.nearest.truncate(CANDIDATES);
            }
        }
        None
    }
}

/// The router with id `index` or the next one after it, if there is any.
fn router<'a>(view: &View<'a>, index: u32) -> Option<RouterView<'a>> {
    view.engine.first_from(RouterId(index))
}

/// How far `name` is from what was `asked` for; `None` if nobody would have meant it.
fn distance(asked: &str, name: &str) -> Option<usize> {
    const LONGEST: usize = 32; // the work grows with both lengths
    if asked.len() > LONGEST || name.len() > LONGEST {
        return None;
    }
    if asked.eq_ignore_ascii_case(name) {
        return Some(0);
    }
    let far = asked.len().max(name.len()) / 3 + 1;
    if asked.len().abs_diff(name.len()) > far {
        // A name cut short is the one that somebody hoped would be completed.
        return name.starts_with(asked).then_some(far);
    }
    let distance = strsim::osa_distance(asked, name);
    (distance <= far).then_some(distance)
}

fn too_long() -> ErrorRecord {
    ErrorRecord {
        code: ErrorCode::TooLong,
        message: format!("a request has at most {MAX_REQUEST} bytes; this session ends"),
        candidates: Vec::new(),
    }
}

/// Appends `record` as a line.
fn write(page: &mut Vec<u8>, record: &Record) {
    let start = page.len();
    match serde_json::to_writer(&mut *page, record) {
        Ok(()) => page.push(b'\n'),
        // Every record has a JSON form; if one had not, the others should still arrive.
        Err(_) => page.truncate(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Instant, LinkNames};
    use crate::control::DaemonInfo;
    use crate::vrrp::Engine;
    use proptest::prelude::*;

    fn with_view<T>(run: impl FnOnce(&View<'_>) -> T) -> T {
        run(&View {
            engine: &Engine::new(Vec::new(), 0),
            names: &LinkNames::default(),
            now: Instant::from_nanos(5_000_000_000),
            wall_now: 1_774_079_849_000_000_000,
            daemon: DaemonInfo {
                version: "1.2.3",
                pid: 7,
                started: Instant::from_nanos(2_000_000_000),
                config_file: "/etc/viprd/viprd.conf",
                io: "uring",
                counters: &[("turns", 9)],
                latency: &[],
            },
        })
    }

    /// All that the session says now, and how it ended.
    fn answers(session: &mut Session) -> (String, Progress) {
        let (mut text, mut page) = (String::new(), Vec::new());
        loop {
            let progress = with_view(|view| session.fill(view, &mut page));
            text += std::str::from_utf8(&page).unwrap();
            if progress != Progress::More {
                return (text, progress);
            }
        }
    }

    #[test]
    fn a_request_in_pieces() {
        let mut session = Session::new();
        assert!(session.is_idle() && session.wants_bytes() && !session.is_over());
        for piece in [&b"{\"requ"[..], b"", b"est\":\"vers", b"ion\"}"] {
            session.on_bytes(piece);
            assert!(session.is_idle());
            assert_eq!(answers(&mut session), (String::new(), Progress::Idle));
        }
        session.on_bytes(b"\r\n");
        assert!(!session.is_idle() && !session.wants_bytes());
        assert_eq!(
            answers(&mut session),
            (
                concat!(
                    r#"{"version":{"version":"1.2.3","pid":7,"started":"2026-03-21T07:57:26.000000Z","#,
                    r#""uptime_seconds":3.0,"config_file":"/etc/viprd/viprd.conf","io":"uring","#,
                    r#""routers":0}}"#,
                    "\n{\"end\":true}\n"
                )
                .into(),
                Progress::Idle
            )
        );
        assert!(session.is_idle());
    }

    #[test]
    fn requests_ahead_of_their_turn_are_answered_in_order() {
        let mut session = Session::new();
        session.on_bytes(b"{\"request\":\"status\"}\n\n  \n{\"request\":\"nonsense\"}\n");
        session.on_bytes(b"{\"request\":\"stats\"}");
        session.on_end();
        let (text, progress) = answers(&mut session);
        let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(1).unwrap()).collect();
        assert_eq!(kinds, ["end", "error", "daemon", "end"]);
        assert_eq!(progress, Progress::Over);
        assert!(session.is_over());
    }

    #[test]
    fn a_reload_is_ordered_once_and_answered_when_it_is_over() {
        let mut session = Session::new();
        session.on_bytes(b"{\"request\":\"reload\"}\n{\"request\":\"status\"}\n");
        assert_eq!(session.take_order(), None);
        assert_eq!(answers(&mut session), (String::new(), Progress::Waiting));
        assert_eq!(session.take_order(), Some(Order::Reload));
        assert_eq!(answers(&mut session), (String::new(), Progress::Waiting));
        assert_eq!(session.take_order(), None);
        assert!(!session.wants_bytes() && !session.is_over());
        session.on_reloaded(&ReloadRecord::refused("no such file"));
        let (text, progress) = answers(&mut session);
        let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(1).unwrap()).collect();
        assert_eq!(kinds, ["reload", "end", "end"]);
        assert!(text.contains(r#"{"reload":{"refused":"no such file","added":0,"#), "{text}");
        assert_eq!(progress, Progress::Idle);
        // Told of a reload that nobody asked for, it keeps silent.
        session.on_reloaded(&ReloadRecord::default());
        assert_eq!(answers(&mut session), (String::new(), Progress::Idle));
    }

    #[test]
    fn a_line_without_end_is_refused_once_and_ends_the_session() {
        let mut session = Session::new();
        let mut said = String::new();
        for _ in 0..1000 {
            session.on_bytes(&[b'x'; 1000]);
            assert!(session.input.len() <= MAX_PENDING);
            said += &answers(&mut session).0;
        }
        assert!(session.is_over());
        assert_eq!(said.lines().count(), 1);
        assert!(said.contains(r#""code":"too-long""#), "{said}");
        assert_eq!(session.input.capacity(), 0);
    }

    #[test]
    fn the_longest_request_fits_and_one_byte_more_does_not() {
        for (length, refused) in [(MAX_REQUEST, false), (MAX_REQUEST + 1, true)] {
            let mut line = br#"{"request":"version"}"#.to_vec();
            line.resize(length, b' ');
            line.push(b'\n');
            let mut session = Session::new();
            session.on_bytes(&line);
            let (text, progress) = answers(&mut session);
            assert_eq!(text.contains("too-long"), refused);
            assert_eq!(progress == Progress::Over, refused);
        }
    }

    #[test]
    fn a_flood_of_requests_is_cut_and_what_was_whole_is_answered() {
        let line = b"{\"request\":\"version\"}\n";
        let mut session = Session::new();
        for _ in 0..10_000 {
            session.on_bytes(line);
        }
        let (text, progress) = answers(&mut session);
        let whole = MAX_PENDING / line.len();
        assert_eq!(text.matches("uptime").count(), whole);
        assert!(text.ends_with("this session ends\"}}\n"));
        assert_eq!(progress, Progress::Over);
    }

    #[test]
    fn an_end_without_a_request_is_just_the_end() {
        let mut session = Session::new();
        session.on_end();
        assert!(!session.is_idle());
        assert_eq!(answers(&mut session), (String::new(), Progress::Over));
    }

    #[test]
    fn names_that_may_have_been_meant() {
        assert_eq!(distance("vi_1", "VI_1"), Some(0));
        assert_eq!(distance("VI_1", "VI_12"), Some(1));
        assert_eq!(distance("VI_12", "VI_21"), Some(1));
        assert_eq!(distance("tenant", "tenant-blue-uplink"), Some(7));
        assert_eq!(distance("VI_1", "uplink"), None);
        assert_eq!(distance(&"x".repeat(4000), "VI_1"), None);
    }

    proptest! {
        /// Whatever comes in whatever pieces: no panic, bounded memory, whole lines of JSON out.
        #[test]
        fn any_bytes(
            pieces in prop::collection::vec(
                prop_oneof![
                    3 => prop::collection::vec(any::<u8>(), 0..64),
                    2 => Just(b"\n".to_vec()),
                    2 => Just(br#"{"request":"stats"}"#.to_vec()),
                    1 => Just(vec![b'{'; 3000]),
                    1 => Just(vec![b'\n'; 3000]),
                ],
                0..30,
            ),
            fill_each: bool,
        ) {
            let mut session = Session::new();
            let mut said = String::new();
            for piece in pieces {
                session.on_bytes(&piece);
                prop_assert!(session.input.len() <= MAX_PENDING);
                if fill_each {
                    said += &answers(&mut session).0;
                }
            }
            session.on_end();
            let (text, progress) = answers(&mut session);
            prop_assert_eq!(progress, Progress::Over);
            for line in (said + &text).lines() {
                prop_assert!(serde_json::from_str::<Record>(line).is_ok(), "{}", line);
            }
        }
    }
}
