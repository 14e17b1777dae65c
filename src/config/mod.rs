//! **Text to parameters**: keepalived's configuration language, its VRRP side.
//!
//! The way of a file: `lex` turns files into lines (comments, includes, definitions, sequences),
//! `words` and `tree` turn lines into statements in blocks, `read` turns statements into the typed
//! [`model`] by the one table of [`keywords`], and `lower` turns that into what the daemon runs on.
//! Each step goes on after a mistake, so that one run tells all of them ([`diagnostic`]).
//!
//! Pure: no clock, no log, no socket; files come through [`Files`].

mod check;
pub mod command;
mod conduct;
pub mod diagnostic;
mod facts;
mod host;
mod iproute;
pub mod keywords;
mod lex;
mod lower;
pub mod model;
mod notify;
pub mod plan;
mod print;
mod read;
mod render;
mod settings;
pub mod source;
mod suggest;
mod track;
mod tree;
mod value;
mod ways;
mod words;

use std::path::Path;

pub use diagnostic::{Diagnostic, Diagnostics, Severity, Verdict};
pub use host::default_file;
pub use notify::{Notifications, Notify};
pub use print::{print, vocabulary};
pub use settings::{
    Buffers, Fifo, FileSettings, Firewall, GarpGroup, GarpPacing, Global, Mail, Process,
    ScriptSettings,
};
pub use source::{Files, MemoryFiles, OsFiles};

pub use track::{
    ArgumentFit, Script, TrackFile, TrackNames, TrackProcess, Tracker, TrackerKind, sources,
};

use crate::base::{LinkId, LinkNames, Span, TrackId, VirtualAddress, Way};
use crate::vrrp::RouterParams;
use diagnostic::codes;
use keywords::{Place, root};
use lex::Preprocessor;
use model::Section;
use source::TextSpan;

/// The longest line, before and after definitions are replaced, in bytes.
const MAX_LINE: usize = 1 << 16;

/// How much a configuration may come to, so that definitions that multiply without end have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines, those of definitions counted as often as they are used. The default is enough for
    /// several hundred thousand virtual routers.
    pub lines: u64,
    /// Bytes, counted in the same way.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { lines: 5_000_000, work: 2 << 30 }
    }
}

/// What a configuration is read with, besides its files.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What `@id` lines are compared with, and `${_INSTANCE}` where no `instance` says otherwise:
    /// `-i`, else the short host name.
    pub config_id: String,
    /// What `${_ENV NAME}` finds.
    pub environment: Vec<(String, String)>,
    /// What `${_RANDOM}` begins with, unless `random_seed` says otherwise.
    pub random_seed: u64,
    /// Who runs scripts that don't say otherwise: `keepalived_script` if the host has such a user,
    /// else root (`None`).
    pub script_user: Option<String>,
    /// Whether an include that finds no file is an error (`-e`).
    pub include_check: bool,
    /// How much it may come to.
    pub limits: Limits,
}

/// What became of a configuration file.
#[derive(Debug)]
pub struct Loaded {
    /// What to run; `None` if nothing can run.
    pub configuration: Option<Configuration>,
    /// What it says, for printing and for comparing.
    pub model: Section,
    /// Everything that was found.
    pub diagnostics: Diagnostics,
    /// The files that were opened, in order.
    pub files: Vec<Box<str>>,
    /// What reading cost, without a clock: bytes, words and candidates looked at, those of
    /// definitions counted as often as they were used.
    pub work: u64,
}

/// What the daemon runs on.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Settings of the daemon.
    pub global: Global,
    /// All interfaces that are named.
    pub links: LinkNames,
    /// The virtual routers, in the order of the file.
    pub routers: Vec<RouterParams>,
    /// Scripts and files that they track.
    pub trackers: Vec<Tracker>,
    /// How long interfaces have to be down, and up again, before that counts.
    pub link_delays: Vec<(LinkId, Span, Span)>,
    /// What is run when they change.
    pub notifications: Notifications,
    /// What is on the host all the time.
    pub statics: Statics,
}

/// What is on the host as long as the daemon runs, whatever the states (`static_ipaddress`,
/// `static_routes`, `static_rules`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics {
    /// Addresses.
    pub addresses: Box<[VirtualAddress]>,
    /// Routes and policy rules, routes first.
    pub ways: Box<[Way]>,
    /// The numbers of track groups, and what has to be there for each to be good.
    pub groups: Vec<(TrackId, Static)>,
}

/// Something of [`Statics`], by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Static {
    /// An address.
    Address(usize),
    /// A route or policy rule.
    Way(usize),
}

/// What is said of a file without a virtual router. One that says nothing at all may have been cut
/// off while it was written, so a reload doesn't take it.
fn nothing_to_run(path: &Path, says_nothing: bool) -> Diagnostic {
    let file = path.display();
    let (code, message) = match says_nothing {
        true => (codes::EMPTY, format!("`{file}` says nothing")),
        false => (codes::NO_ROUTERS, format!("`{file}` defines no virtual router")),
    };
    Diagnostic::new(code, TextSpan::default(), message)
        .help("define one: `vrrp_instance NAME { … }`; see viprd.conf(5)")
}

/// Reads a configuration file and everything that it includes.
pub fn load(path: &Path, files: &dyn Files, options: &Options) -> Loaded {
    let mut lines = Preprocessor::new(files, options);
    lines.open(path);
    let mut builder = tree::Builder::default();
    let mut tree = tree::Tree::default();
    let mut model = Section::new(Place::Root, None);
    let mut memory = read::Memory::default();
    let mut statements = 0;
    while builder.next(&mut lines, &mut tree) {
        statements += 1;
        read::Reader::new(&mut lines.findings, &mut memory).read(&tree, &mut model);
    }
    read::finish(&mut model);
    lines.report_unused();
    let (unreadable, says_nothing) = (lines.unreadable, statements == 0);
    let opened = lines.opened;
    let sources = lines.sources;
    let mut findings = lines.findings;
    read::Reader::new(&mut findings, &mut memory).report_without_effect();
    let globals = facts::globals(&model);
    let names = iproute::Names::read(&model, &globals, files);
    let routers = check::check(&model, &globals, &names, options, &mut findings);
    if !unreadable && model.blocks(root::VRRP_INSTANCE).next().is_none() {
        // What is wrong with a file may be all that it says.
        findings.push(nothing_to_run(path, says_nothing && findings.is_empty()));
    }
    let configuration = lower::lower(&model, &globals, &names, &routers);
    let work = findings.work;
    let diagnostics = findings.finish(sources);
    let configuration = (diagnostics.verdict() != Verdict::Unusable).then_some(configuration);
    Loaded { configuration, model, diagnostics, files: opened, work }
}
