//! `viprctl`: what an operator asks a running viprd. Arguments → request → text or JSON → exit code.
//! And one thing that needs no viprd: `check`.

mod args;
mod check;
mod connection;
mod json;
mod reload;
mod table;
mod text;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use args::{Args, Command, Parsed};
use connection::{Connection, Failure};
use viprd::control::{Record, Request};

/// Wrong arguments (`sysexits.h`, `EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Parsed::Run(args) => args,
        Parsed::Help(text) => {
            // Whoever closed the pipe has read enough of it.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Parsed::Wrong(text) => {
            eprint!("{text}");
            return ExitCode::from(USAGE);
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = run(&args, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Failure::ReaderLeft) => ExitCode::SUCCESS, // `viprctl status | head`
        Err(failure) => {
            if let (true, Failure::Refused(error)) = (args.json, &failure) {
                let refused = json::write(&mut out, &Record::Error(error.clone()));
                let _ = refused.and_then(|()| Ok(out.flush()?)); // the exit code says the rest
            }
            eprintln!("viprctl: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Does what was asked for; gives the exit code.
fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    match (&args.command, args.command.request()) {
        (Command::Check(check), _) => check::check(out, check, args.json, colours()),
        (_, Some(request)) => ask(args, &request, out).map(|()| 0),
        (_, None) => Ok(0),
    }
}

/// Asks, and writes the answer as it comes.
fn ask(args: &Args, request: &Request, out: &mut impl Write) -> Result<(), Failure> {
    if let (Command::Version(_), false) = (&args.command, args.json) {
        // Before asking: this much is true even if nobody answers.
        writeln!(out, "viprctl {}", env!("CARGO_PKG_VERSION"))?;
    }
    let mut connection = Connection::open(&args.socket)?;
    if let Command::Reload(_) = &args.command {
        connection.wait_longer()?;
    }
    let answer = connection.ask(request)?;
    match (&args.command, args.json) {
        (Command::Status(_) | Command::Latency(_), true) => json::array(out, answer),
        (Command::Stats(stats), true) if stats.name.is_none() => json::stats(out, answer),
        (Command::Version(_), true) => json::version(out, answer),
        (Command::Reload(_), json) => reload::answer(out, answer, json),
        (_, true) => json::one(out, answer),
        (Command::Status(_), false) => text::status(out, answer, colours()),
        (Command::Show(_), false) => text::show(out, answer),
        (Command::Explain(_), false) => text::explain(out, answer),
        (Command::Stats(stats), false) => text::stats(out, answer, stats.name.is_some()),
        (Command::Latency(_), false) => text::latency(out, answer),
        (Command::Version(_), false) => text::version(out, answer),
        // It asks nothing.
        (Command::Check(_), false) => Ok(()),
    }
}

/// Whether states may be coloured: for people at a terminal who have not said no (no-color.org).
fn colours() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}
