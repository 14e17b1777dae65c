//! Whatever the bytes are: no panic, no cascade of work, and what was understood can be printed
//! and read back.
//!
//! `FUZZ_ROUNDS=100 FUZZ_SEED=7 cargo test --release --test config_hostile` looks further.

use std::path::Path;

use viprd::config::{self, Files, Limits, Loaded, MemoryFiles, Options, OsFiles};

/// A small generator of chance (splitmix64), so that a failure can be repeated by its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A generator with a seed of its own for each test, and how often more than usual to try.
fn chance(test: u64) -> (Chance, usize) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let rounds = number("FUZZ_ROUNDS").unwrap_or(1) as usize;
    (Chance(number("FUZZ_SEED").unwrap_or(0) << 8 | test), rounds)
}

fn load(bytes: &[u8], limits: Limits) -> Loaded {
    let files = MemoryFiles::new().with("x.conf", bytes).with("y.conf", "global_defs {\n}\n");
    let options = Options { config_id: "main".to_owned(), limits, ..Options::default() };
    config::load(Path::new("x.conf"), &files, &options)
}

/// Loads, and looks at everything that came of it.
fn survive(bytes: &[u8]) {
    let limits = Limits { lines: 5_000, work: 1 << 20 };
    let loaded = load(bytes, limits);
    let found = &loaded.diagnostics;
    for finding in found {
        assert!(!found.one_line(finding).contains('\n'));
    }
    let _ = (found.rich(true), found.json(), found.summary(), found.exit_code());
    let printed = config::print(&loaded.model, false);
    // A name that stood for nothing may look like one that is predefined once it is printed.
    if !printed.contains('$') {
        let again = load(printed.as_bytes(), limits);
        let shown = String::from_utf8_lossy(bytes);
        let twice = config::print(&again.model, false);
        let differs = printed.lines().zip(twice.lines()).find(|(one, other)| one != other);
        assert!(again.model == loaded.model, "{differs:?}\n--- printed\n{printed}--- of\n{shown}");
    }
    let _ = config::print(&loaded.model, true);
}

/// The files of the golden tests.
fn corpus() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut texts = Vec::new();
    for directory in ["valid", "wrong"] {
        let pattern = golden.join(directory).join("*.conf");
        for path in OsFiles.glob(&pattern.to_string_lossy()) {
            texts.push(std::fs::read(path).unwrap());
        }
    }
    assert!(texts.len() > 50);
    texts
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "\n",
    "\r\n",
    " ",
    "#",
    "!",
    "$",
    "${",
    "$A=",
    "$A",
    "~SEQ(A,1,3) ",
    "~LST(A,1,2) ",
    "@main ",
    "@^main ",
    "include y.conf\n",
    "include x.conf\n",
    "\\\n",
    "vrrp_instance X {\n",
    "virtual_ipaddress {\n",
    "10.0.0.1/24",
    "fe80::1",
    "priority ",
    "256",
    "-1",
    "0",
    "99999999999999999999",
    "\0",
    "\u{feff}",
    "\u{e9}",
    "\x0b",
    "notify \"a 'b\" c\n",
    "script ",
    "weight 5 reverse",
    "track_script {\n",
    "group { A B }\n",
    "key 1 x\n",
    "${_RANDOM 1 2}",
];

fn mutate(text: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..1 + chance.below(6) {
        let at = chance.below(text.len() + 1);
        let end = (at + chance.below(40)).min(text.len());
        match chance.below(6) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, PIECES[chance.below(PIECES.len())].bytes())),
            2 => drop(text.splice(at..end, PIECES[chance.below(PIECES.len())].bytes())),
            3 => {
                let part = text[at..end].to_vec();
                let to = chance.below(text.len() + 1);
                text.splice(to..to, part);
            }
            4 if at < text.len() => text[at] = chance.next() as u8,
            _ => text.truncate(end.max(at)),
        }
    }
    text
}

#[test]
fn random_bytes_are_survived() {
    let (mut chance, rounds) = chance(1);
    for _ in 0..600 * rounds {
        let length = chance.below(300);
        let bytes: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
        survive(&bytes);
    }
}

#[test]
fn random_pieces_of_the_language_are_survived() {
    let (mut chance, rounds) = chance(2);
    for _ in 0..3000 * rounds {
        let count = chance.below(40);
        let text: String = (0..count).map(|_| PIECES[chance.below(PIECES.len())]).collect();
        survive(text.as_bytes());
    }
}

#[test]
fn damaged_configurations_are_survived() {
    let corpus = corpus();
    let (mut chance, rounds) = chance(3);
    for text in &corpus {
        for _ in 0..30 * rounds {
            survive(&mutate(text, &mut chance));
        }
    }
}

#[test]
fn definitions_that_multiply_have_an_end() {
    let mut chain = String::new();
    for level in 0..60 {
        chain += &format!("$A{level}=${{A{next}}}${{A{next}}}\n", next = level + 1);
    }
    let lines: String = (0..60)
        .map(|level| format!("$B{level}= \\\n $B{next} \\\n $B{next} \\\n\n", next = level + 1))
        .collect();
    for text in [
        format!("{chain}$A60=\n$A0\n"),
        format!("{chain}$A60=x\nrouter_id $A0\n"),
        format!("{lines}$B60=x\n$B0\n"),
        "~SEQ(A,0,4000000000) ~SEQ(B,0,4000000000) x\n".to_owned(),
        "$X=$X\n$X\n".to_owned(),
        "$X= \\\n $X \\\n $X \\\n\n$X\n".to_owned(),
        "include x.conf\n".repeat(50),
        "~SEQ(A,1,9) ".repeat(500) + "x",
    ] {
        let limits = Limits { lines: 20_000, work: 1 << 22 };
        let loaded = load(text.as_bytes(), limits);
        assert!(loaded.diagnostics.exit_code() != 0, "{}", &text[..40.min(text.len())]);
        assert!(loaded.diagnostics.len() < 1000);
    }
}

/// A name, and what makes a file of a size.
type Family = (&'static str, Box<dyn Fn(usize) -> String>);

/// What it costs must grow with the size of a file and no faster, whatever is wrong with it.
#[test]
fn work_is_linear() {
    let families: Vec<Family> = vec![
        (
            "instances",
            Box::new(|n| {
                (0..n).map(|i| format!("vrrp_instance I{i} {{\n interface e{i}\n virtual_router_id 1\n virtual_ipaddress {{\n 10.0.0.1\n }}\n}}\n")).collect()
            }),
        ),
        ("sequence", Box::new(|n| format!("~SEQ(N,1,{n}) vrrp_instance I$N {{ interface e$N\n"))),
        ("open braces", Box::new(|n| "a {\n".repeat(n))),
        ("stray braces", Box::new(|n| "{\n".repeat(n))),
        ("closing braces", Box::new(|n| "}\n".repeat(n))),
        ("braces on a line", Box::new(|n| ("{ } ".repeat(200) + "\n").repeat(n / 100))),
        ("unknown words", Box::new(|n| (0..n).map(|i| format!("wrong{i} x\n")).collect())),
        (
            "undefined names",
            Box::new(|n| (0..n).map(|i| format!("$D{i}=1\nx ${{E{i}}}\n")).collect()),
        ),
        ("dollars", Box::new(|n| ("${".repeat(1000) + "\n").repeat(n / 500))),
        ("conditions", Box::new(|n| ("@main ".repeat(1000) + "x\n").repeat(n / 500))),
        (
            "settings given twice",
            Box::new(|n| format!("global_defs {{\n{}}}\n", "router_id a\nrouter_id b\n".repeat(n))),
        ),
        (
            "blocks and settings in turn",
            Box::new(|n| {
                "use_pid_dir\nvrrp_script a {\n}\nstatic_ipaddress {\n10.0.0.1\n}\n".repeat(n)
            }),
        ),
        (
            "undefined members",
            Box::new(|n| {
                format!(
                    "vrrp_sync_group g {{\n group {{\n{} }}\n}}\n",
                    (0..n).map(|i| format!("M{i}\n")).collect::<String>()
                )
            }),
        ),
        (
            "addresses",
            Box::new(|n| {
                format!(
                    "vrrp_instance I {{\n interface e\n virtual_router_id 1\n virtual_ipaddress {{\n{} }}\n}}\n",
                    "10.0.0.1\n".repeat(n)
                )
            }),
        ),
        ("words on a line", Box::new(|n| ("x ".repeat(1000) + "\n").repeat(n / 500))),
        ("quotes", Box::new(|n| "\"a\" \"b\n".repeat(n))),
        ("missing braces", Box::new(|n| "vrrp_instance X {\n virtual_ipaddress {\n".repeat(n))),
    ];
    for (name, make) in families {
        let cost = |size: usize| load(make(size).as_bytes(), Limits::default()).work as f64;
        let (small, large) = (cost(1_000), cost(4_000));
        assert!(small > 0.0 && large / small < 4.6, "{name}: {small} for 1000, {large} for 4000");
    }
}
