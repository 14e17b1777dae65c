//! From commands as they are configured to programs that can be started: who runs them, where they
//! are, and whether that is safe.
//!
//! This asks the file system and the user database, which may take long: it is done before the loop
//! runs, or in the thread that reads a configuration.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use log::{info, warn};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::mail;
use crate::base::Span;
use crate::config::command::Command;
use crate::config::{Configuration, Global, Notify, TrackerKind};
use crate::io::clock;
use crate::io::spawn::{Ended, Environment, Identity, Program};
use crate::process::Excerpt;

/// Where programs are looked for if the environment doesn't say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Who runs scripts that name nobody, where the host has such a user.
const SCRIPT_USER: &str = "keepalived_script";
/// What only a shell understands.
const SHELL_SIGNS: &[char] =
    &['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '{', '~', '='];

/// Symbolic links that the kernel follows on the way to one file (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// How long a mail may take once its server has answered.
const MAIL_PATIENCE: Span = Span::from_secs(60);

/// A command that is ready to run, or why it isn't to be run.
pub(super) type Prepared = Result<Arc<Program>, Arc<str>>;

/// Every command of a configuration, ready to run.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// Those of tracked scripts, one for each of `Configuration::trackers`; `None` for others.
    pub(super) checks: Vec<Option<Prepared>>,
    /// Of virtual routers, by name.
    pub(super) routers: HashMap<Box<str>, Arc<Hooks>>,
    /// Of sync groups, by name.
    pub(super) groups: HashMap<Box<str>, Arc<Hooks>>,
    /// Named pipes with their owners and readers.
    pub(super) fifos: Vec<Pipe>,
    /// Run before and after the daemon's work, with how long they may take.
    pub(super) startup: Option<(Prepared, Span)>,
    pub(super) shutdown: Option<(Prepared, Span)>,
    /// What sends mails.
    pub(super) mail: Option<Mailer>,
    /// Whether something is refused because others could change it.
    pub(super) insecure: bool,
    /// Whether all states are written to them after a reload.
    pub(super) states_on_reload: bool,
    /// How long a notification may take, if that is given.
    pub(super) notify_timeout: Option<Span>,
    /// Whether one that waits is left out when its state is over.
    pub(super) skips_overtaken: bool,
    /// What has to be told of them.
    pub(super) problems: Vec<String>,
}

/// What is run when a virtual router or a group changes.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pub(super) master: Option<Prepared>,
    pub(super) backup: Option<Prepared>,
    pub(super) fault: Option<Prepared>,
    pub(super) stop: Option<Prepared>,
    pub(super) deleted: Option<Prepared>,
    pub(super) tells_deleted: bool,
    pub(super) any: Option<Prepared>,
    pub(super) master_rx_lower_pri: Option<Prepared>,
    pub(super) priority_changes: bool,
    pub(super) mail: bool,
}

/// What sends mails: this program, once more.
#[derive(Debug)]
pub(super) struct Mailer {
    /// Subject and text are its last arguments.
    pub(super) program: Arc<Program>,
    /// How long it may take.
    pub(super) patience: Span,
    /// What every subject begins with.
    pub(super) router_id: Box<str>,
    /// Whether faults are told.
    pub(super) tells_faults: bool,
}

/// A named pipe.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    pub(super) path: PathBuf,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) reader: Option<Prepared>,
}

impl Programs {
    /// Makes ready every command of `configuration`.
    pub(super) fn prepare(configuration: &Configuration) -> Self {
        let mut workshop = Workshop::new(&configuration.global);
        let checks = configuration.trackers.iter().map(|tracker| match &tracker.what {
            TrackerKind::Script(script) => Some(workshop.check(&tracker.name, &script.command)),
            TrackerKind::File(_)
            | TrackerKind::Process(_)
            | TrackerKind::Statics
            | TrackerKind::Source(_) => None,
        });
        let checks = checks.collect();
        let notifications = &configuration.notifications;
        let mut hooks = |kind: &str, of: &HashMap<Box<str>, Notify>| {
            // In the same order every time.
            let of: BTreeMap<&Box<str>, &Notify> = of.iter().collect();
            let made = of.into_iter().map(|(name, notify)| {
                let hooks = workshop.hooks(&format!("{kind} {name}"), notify);
                (name.clone(), Arc::new(hooks))
            });
            made.collect::<HashMap<_, _>>()
        };
        let routers = hooks("vrrp_instance", &notifications.routers);
        let groups = hooks("vrrp_sync_group", &notifications.groups);
        let fifos = configuration.global.scripts.fifos.iter().map(|fifo| Pipe {
            path: fifo.path.clone().into(),
            owner: workshop.owner(fifo.user.as_deref(), fifo.group.as_deref()),
            reader: fifo.script.as_ref().map(|script| {
                workshop
                    .program(script, false, true)
                    .map(|program| Arc::new(program.with_arguments(&[&fifo.path])))
            }),
        });
        let fifos = fifos.collect();
        let scripts = &configuration.global.scripts;
        let mut once = |command: &Option<Command>, timeout: Span| {
            Some((workshop.program(command.as_ref()?, false, true), timeout))
        };
        let startup = once(&scripts.startup, scripts.startup_timeout);
        let shutdown = once(&scripts.shutdown, scripts.shutdown_timeout);
        let mail = mailer(&configuration.global).unwrap_or_else(|why| {
            workshop.problems.push(format!("no mails are sent: {why}"));
            None
        });
        let insecure = workshop.safe.values().any(Result::is_err);
        let problems = workshop.problems;
        let states_on_reload = scripts.states_on_reload;
        let (notify_timeout, skips_overtaken) = (scripts.notify_timeout, scripts.skips_overtaken);
        Programs {
            checks,
            routers,
            groups,
            fifos,
            startup,
            shutdown,
            mail,
            insecure,
            states_on_reload,
            notify_timeout,
            skips_overtaken,
            problems,
        }
    }
}

/// What sends mails, if anybody is to get one.
fn mailer(global: &Global) -> io::Result<Option<Mailer>> {
    if global.mail.to.is_empty() {
        return Ok(None);
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let words = mail::arguments(&global.mail, host);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // This very program, even if another one has taken its place meanwhile.
    let us = OsStr::new("/proc/self/exe");
    let program = Program::new(us, &words, environment(), None, false)?;
    Ok(Some(Mailer {
        program: Arc::new(program),
        patience: global.mail.connect_timeout + MAIL_PATIENCE,
        router_id: global.router_id.as_deref().unwrap_or(host).into(),
        tells_faults: !global.mail.no_faults,
    }))
}

/// Runs a program and waits for its end, as long as it may take. Not for the loop.
pub(super) fn run_once(what: &str, (program, timeout): &(Prepared, Span)) {
    let child = match program {
        Ok(program) => program.spawn().map_err(|cause| cause.to_string()),
        Err(why) => Err(why.to_string()),
    };
    let mut child = match child {
        Ok(child) => child,
        Err(why) => return warn!("{what}: can't be run: {why}"),
    };
    let mut excerpt = Excerpt::default();
    let mut buffer = [0; 4096];
    let deadline = clock::now() + *timeout;
    let ended = loop {
        let ended = child.try_wait();
        while let Ok(Some(length @ 1..)) = child.read(&mut buffer) {
            excerpt.push(&buffer[..length]);
        }
        if ended.is_some() || clock::now() >= deadline {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    for line in excerpt.lines() {
        info!("{what}: {line}");
    }
    match ended {
        Some(Ended::Exited(0)) => {}
        Some(Ended::Exited(status)) => warn!("{what} exited with status {status}"),
        Some(Ended::Signalled(signal)) => warn!("{what} ended by signal {signal}"),
        None => {
            child.signal_group(libc::SIGKILL);
            warn!("{what} takes more than {timeout} s: ended");
        }
    }
}

/// A user and a group as the configuration names them.
type Names = (Option<Box<str>>, Option<Box<str>>);

/// Makes programs of commands; remembers what it has looked up.
struct Workshop<'c> {
    security: bool,
    all_groups: bool,
    user: Option<&'c str>,
    group: Option<&'c str>,
    environment: Environment,
    path: OsString,
    identities: HashMap<Names, Result<Identity, Arc<str>>>,
    safe: HashMap<PathBuf, Result<(), Arc<str>>>,
    problems: Vec<String>,
}

impl<'c> Workshop<'c> {
    fn new(global: &'c Global) -> Self {
        let scripts = &global.scripts;
        Workshop {
            security: scripts.security,
            all_groups: scripts.supplementary_groups,
            user: scripts.user.as_deref(),
            group: scripts.group.as_deref(),
            environment: environment(),
            path: std::env::var_os("PATH").unwrap_or_else(|| PATH.into()),
            identities: HashMap::new(),
            safe: HashMap::new(),
            problems: Vec::new(),
        }
    }

    fn check(&mut self, name: &str, command: &Command) -> Prepared {
        let before = self.problems.len();
        let prepared = self.program(command, false, true);
        if let Err(why) = &prepared {
            self.problems.push(format!("it counts as failed: {why}"));
        }
        for problem in &mut self.problems[before..] {
            *problem = format!("vrrp_script {name}: {problem}");
        }
        prepared
    }

    fn hooks(&mut self, whose: &str, notify: &Notify) -> Hooks {
        let mut run = |setting: &str, command: &Option<Command>, more: bool| {
            let before = self.problems.len();
            let prepared = self.program(command.as_ref()?, more, false);
            if let Err(why) = &prepared {
                self.problems.push(format!("it will not be run: {why}"));
            }
            for problem in &mut self.problems[before..] {
                *problem = format!("{whose}: {setting}: {problem}");
            }
            Some(prepared)
        };
        Hooks {
            master: run("notify_master", &notify.master, false),
            backup: run("notify_backup", &notify.backup, false),
            fault: run("notify_fault", &notify.fault, false),
            stop: run("notify_stop", &notify.stop, false),
            deleted: run("notify_deleted", &notify.deleted, false),
            tells_deleted: notify.tells_deleted,
            any: run("notify", &notify.any, true),
            master_rx_lower_pri: run(
                "notify_master_rx_lower_pri",
                &notify.master_rx_lower_pri,
                false,
            ),
            priority_changes: notify.priority_changes,
            mail: notify.mail,
        }
    }

    /// `more`: arguments will be added.
    fn program(&mut self, command: &Command, more: bool, dies_with_us: bool) -> Prepared {
        let identity = self.identity(command.user.as_deref(), command.group.as_deref())?;
        let Some(first) = command.argv.first() else { return Err("no program is named".into()) };
        let found = match first.contains(SHELL_SIGNS) {
            true => None,
            false if first.contains('/') => Some(PathBuf::from(&**first)),
            false => self.find(first),
        };
        let is_shell_text = found.is_none();
        let shell_text: String;
        let (path, argv): (PathBuf, Vec<&str>) = match found {
            Some(path) => (path, command.argv.iter().map(|word| &**word).collect()),
            None => {
                let arguments = if more { " \"$@\"" } else { "" };
                shell_text = format!("{}{arguments}", command.text);
                ("/bin/sh".into(), vec!["/bin/sh", "-c", &shell_text, "viprd"])
            }
        };
        if self.security && identity.uid == 0 {
            self.is_safe(&path)?;
            if is_shell_text {
                self.is_safe_text(command)?;
            }
        }
        if let Err(cause) = fs::metadata(&path) {
            self.problems.push(format!("{}: {cause}", path.display()));
        }
        let is_us =
            Uid::effective().as_raw() == identity.uid && Gid::effective().as_raw() == identity.gid;
        let identity = (!is_us).then_some(identity);
        let environment = self.environment.clone();
        let program = Program::new(path.as_os_str(), &argv, environment, identity, dies_with_us);
        program.map(Arc::new).map_err(|cause| cause.to_string().into())
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let is_executable = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|file| file.mode() & 0o111 != 0 && file.is_file())
        };
        std::env::split_paths(&self.path).map(|place| place.join(name)).find(is_executable)
    }

    fn identity(&mut self, user: Option<&str>, group: Option<&str>) -> Result<Identity, Arc<str>> {
        let (user, group) = match user {
            Some(_) => (user, group),
            None => (self.user, self.group),
        };
        let key = (user.map(Into::into), group.map(Into::into));
        if let Some(known) = self.identities.get(&key) {
            return known.clone();
        }
        let found = self.look_up(user, group);
        self.identities.insert(key, found.clone());
        found
    }

    fn look_up(&self, user: Option<&str>, group: Option<&str>) -> Result<Identity, Arc<str>> {
        let by_name = |name: &str| match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        let account = match user {
            Some(name) => match by_name(name) {
                Ok(Some(user)) => user,
                Ok(None) => return Err(format!("there is no user {name}").into()),
                Err(cause) => return Err(format!("user {name}: {cause}").into()),
            },
            None => match by_name(SCRIPT_USER) {
                Ok(Some(user)) => user,
                _ => return Ok(Identity { uid: 0, gid: 0, groups: vec![0] }),
            },
        };
        let gid = match group {
            None => account.gid,
            Some(name) => match name.parse() {
                Ok(number) => Gid::from_raw(number),
                Err(_) => match Group::from_name(name) {
                    Ok(Some(group)) => group.gid,
                    Ok(None) => return Err(format!("there is no group {name}").into()),
                    Err(cause) => return Err(format!("group {name}: {cause}").into()),
                },
            },
        };
        let mut groups = vec![gid.as_raw()];
        if self.all_groups
            && let Ok(name) = std::ffi::CString::new(account.name)
            && let Ok(all) = getgrouplist(&name, gid)
        {
            groups = all.into_iter().map(Gid::as_raw).collect();
        }
        Ok(Identity { uid: account.uid.as_raw(), gid: gid.as_raw(), groups })
    }

    fn owner(&mut self, user: Option<&str>, group: Option<&str>) -> Option<(u32, u32)> {
        // Like a script that names nobody, if somebody is to run scripts at all.
        user.or(self.user)?;
        match self.identity(user, group) {
            Ok(identity) => Some((identity.uid, identity.gid)),
            Err(why) => {
                self.problems.push(format!("a named pipe keeps its owner: {why}"));
                None
            }
        }
    }

    /// Whether nobody but root can change what is at `path`, or put something else there.
    fn is_safe(&mut self, path: &Path) -> Result<(), Arc<str>> {
        if let Some(known) = self.safe.get(path) {
            return known.clone();
        }
        let verdict = match changeable_part(path) {
            None => Ok(()),
            Some(part) => Err(format!(
                "{} would run as root, but others can change {}",
                path.display(),
                part.display()
            )
            .into()),
        };
        self.safe.insert(path.to_owned(), verdict.clone());
        verdict
    }

    /// The same for every file that the text for a shell names: which of them it runs, only a shell
    /// could tell.
    fn is_safe_text(&mut self, command: &Command) -> Result<(), Arc<str>> {
        for word in words_for_a_shell(command) {
            let path = match word.contains('/') {
                true => Some(PathBuf::from(word)),
                false => self.find(word),
            };
            if let Some(path) = path
                && fs::metadata(&path).is_ok_and(|file| file.is_file())
            {
                self.is_safe(&path)?;
            }
        }
        Ok(())
    }
}

/// Whatever may be a file's name in the text for a shell. It is divided at blanks and all that a shell
/// may divide at; at less, since `=` and `[` are letters in many a name; and where only quotes tell
/// that a blank is part of a name.
fn words_for_a_shell(command: &Command) -> impl Iterator<Item = &str> {
    const DIVIDERS: &[char] = &['|', '&', ';', '<', '>', '(', ')', '`', '"', '\''];
    let is_divider = |sign: char| DIVIDERS.contains(&sign);
    let is_blank = move |sign: char| sign.is_whitespace() || is_divider(sign);
    let is_any = move |sign: char| is_blank(sign) || SHELL_SIGNS.contains(&sign);
    let quoted = command.argv.iter().flat_map(move |word| word.split(is_divider));
    let divided = command.text.split(is_blank).chain(command.text.split(is_any));
    divided.chain(quoted).filter(|word| !word.is_empty())
}

/// The first part of the way to `path`, through symbolic links, that others than root can change.
fn changeable_part(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ahead: Vec<OsString> = Vec::new();
    let add = |ahead: &mut Vec<OsString>, path: &Path| {
        ahead.extend(path.iter().rev().map(OsStr::to_owned));
    };
    add(&mut ahead, &path);
    let mut part = PathBuf::new();
    let mut links = 0;
    let mut is_everybodys = false;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            part.pop();
            continue;
        }
        let directory = part.clone();
        part.push(name);
        let Ok(file) = fs::symlink_metadata(&part) else {
            // What is not there can't be run; but it may be there later.
            return is_everybodys.then_some(directory);
        };
        if can_be_changed(file.uid(), file.gid(), file.mode()) {
            return Some(part);
        }
        if file.is_symlink() {
            links += 1;
            let Ok(target) = fs::read_link(&part) else { return Some(part) };
            // More than the kernel follows: it is never run.
            if links > MOST_LINKS {
                return None;
            }
            part = directory;
            add(&mut ahead, &target);
        } else {
            // Whether anybody may put something new there, though not replace what is.
            is_everybodys = others_may_write(file.gid(), file.mode());
        }
    }
    None
}

/// Whether somebody else than root may write to a file of this owner, group and mode (with its type,
/// `inode(7)`), or could make it so that he may: an owner can always change the mode.
fn can_be_changed(uid: u32, gid: u32, mode: u32) -> bool {
    let is = |kind| mode & libc::S_IFMT == kind;
    // In a sticky directory nobody can remove or replace what isn't his.
    let sticky = is(libc::S_IFDIR) && mode & libc::S_ISVTX != 0;
    let others = others_may_write(gid, mode);
    // Everybody may do everything to a link itself, which means nothing.
    uid != 0 || others && !sticky && !is(libc::S_IFLNK)
}

/// Whether the group, other than root's, or everybody may write.
fn others_may_write(gid: u32, mode: u32) -> bool {
    mode & 0o002 != 0 || gid != 0 && mode & 0o020 != 0
}

/// Our own environment without what makes a shell or the dynamic linker do other things than they are
/// told.
fn environment() -> Environment {
    let unwanted = |name: &OsStr| {
        let name = name.as_bytes();
        matches!(name, b"IFS" | b"ENV" | b"BASH_ENV" | b"SHELLOPTS" | b"NOTIFY_SOCKET")
            || name.starts_with(b"LD_")
            || name.starts_with(b"BASH_FUNC_")
    };
    let inherited = std::env::vars_os().filter(|(name, _)| !unwanted(name));
    let entries = inherited.map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    Environment::new(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn command(text: &str) -> Command {
        let argv = text.split(' ').map(Into::into).collect();
        Command { text: text.into(), argv, user: None, group: None }
    }

    /// A directory of this test's own, gone at its end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let place =
                std::env::temp_dir().join(format!("viprd-safe-{name}-{}", std::process::id()));
            fs::create_dir(&place).unwrap();
            Place(place)
        }

        /// A script of this owner, group and mode.
        fn script(&self, name: &str, (uid, gid, mode): (u32, u32, u32)) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            belongs(&path, (uid, gid, mode));
            path
        }

        /// A directory of this owner, group and mode, with a script of root's.
        fn directory(&self, name: &str, (uid, gid, mode): (u32, u32, u32)) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir(&path).unwrap();
            let script = path.join("c.sh");
            fs::write(&script, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            belongs(&path, (uid, gid, mode));
            script
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn belongs(path: &Path, (uid, gid, mode): (u32, u32, u32)) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn securely() -> Global {
        let mut global = Global::default();
        global.scripts.user = Some("root".into());
        global.scripts.security = true;
        global
    }

    fn is_taken(text: &str) -> bool {
        Workshop::new(&securely()).program(&command(text), false, false).is_ok()
    }

    #[test]
    fn who_can_change_a_file_or_a_directory() {
        const FILE: u32 = libc::S_IFREG;
        const DIRECTORY: u32 = libc::S_IFDIR;
        const LINK: u32 = libc::S_IFLNK;
        for (uid, gid, mode, expected) in [
            (0, 0, FILE | 0o755, false),
            (0, 0, FILE | 0o775, false),
            (0, 50, FILE | 0o755, false),
            (0, 50, FILE | 0o775, true),
            (0, 0, FILE | 0o757, true),
            // On a file this bit means nothing.
            (0, 0, FILE | 0o1757, true),
            (65534, 0, FILE | 0o755, true),
            (65534, 0, FILE | 0o555, true),
            (65534, 0, FILE, true),
            (0, 0, DIRECTORY | 0o755, false),
            (0, 50, DIRECTORY | 0o775, true),
            (0, 50, DIRECTORY | 0o1775, false),
            (0, 0, DIRECTORY | 0o777, true),
            (0, 0, DIRECTORY | 0o1777, false),
            (65534, 0, DIRECTORY | 0o555, true),
            (65534, 0, DIRECTORY | 0o1777, true),
            (0, 0, LINK | 0o777, false),
            (65534, 0, LINK | 0o777, true),
        ] {
            assert_eq!(can_be_changed(uid, gid, mode), expected, "{uid} {gid} {mode:o}");
        }
    }

    #[test]
    fn a_script_that_others_can_change_is_refused_if_asked_to() {
        if !Uid::effective().is_root() {
            return;
        }
        let place = Place::new("owners");
        let mut global = securely();
        global.scripts.security = false;
        let script = place.script("careless", (0, 0, 0o777)).display().to_string();
        assert!(Workshop::new(&global).program(&command(&script), false, false).is_ok());
        for (number, (owner, expected)) in [
            ((0, 0, 0o755), true),
            ((0, 0, 0o775), true),
            ((0, 50, 0o555), true),
            ((0, 50, 0o775), false),
            ((0, 0, 0o777), false),
            ((65534, 0, 0o755), false),
            ((65534, 0, 0o555), false),
        ]
        .into_iter()
        .enumerate()
        {
            let script = place.script(&format!("f{number}"), owner).display().to_string();
            let within = place.directory(&format!("d{number}"), owner).display().to_string();
            assert_eq!(is_taken(&script), expected, "file {owner:?}");
            assert_eq!(is_taken(&within), expected, "directory {owner:?}");
        }
        let refused = place.directory("told", (65534, 0, 0o555)).display().to_string();
        let told = Workshop::new(&securely()).program(&command(&refused), false, false);
        let told = told.unwrap_err();
        assert!(told.ends_with("/told"), "{told}");
        // What is missing could be put there by anybody, though nobody could replace it.
        place.directory("sticky", (0, 0, 0o1777));
        let missing = |directory: &str| place.0.join(directory).join("later").display().to_string();
        assert!(is_taken(&place.0.join("sticky/c.sh").display().to_string()));
        assert!(!is_taken(&missing("sticky")));
        assert!(is_taken(&missing("d0")));
    }

    #[test]
    fn every_link_on_the_way_to_a_script_counts() {
        if !Uid::effective().is_root() {
            return;
        }
        let place = Place::new("links");
        let good = place.script("good", (0, 0, 0o755));
        place.directory("theirs", (65534, 0, 0o555));
        let link = |target: &Path, name: &str| {
            std::os::unix::fs::symlink(target, place.0.join(name)).unwrap();
            place.0.join(name).display().to_string()
        };
        assert!(is_taken(&link(&good, "first")));
        assert!(is_taken(&link(Path::new("../owners/../links/./x"), "nowhere")));
        assert!(!is_taken(&link(Path::new("theirs/c.sh"), "into")));
        // Between a good beginning and a good end.
        std::os::unix::fs::symlink(&good, place.0.join("theirs/back")).unwrap();
        assert!(!is_taken(&link(Path::new("theirs/back"), "through")));
        let round = link(Path::new("round"), "round");
        assert!(changeable_part(Path::new(&round)).is_none());
    }

    #[test]
    fn what_a_text_for_a_shell_names_is_looked_at() {
        if !Uid::effective().is_root() {
            return;
        }
        let place = Place::new("texts");
        for (name, mode) in [("good.sh", 0o755), ("c.sh", 0o777), ("a=[1].sh", 0o777)] {
            place.script(name, (0, 0, mode));
        }
        for (text, expected) in [
            ("@/good.sh; true", true),
            ("@/good.sh >/dev/null 2>&1", true),
            ("@/c.sh; true", false),
            ("@/c.sh>/dev/null", false),
            ("true&&@/c.sh", false),
            ("X=1 @/c.sh", false),
            ("X=`@/c.sh`", false),
            ("if test -e /tmp; then . '@/c.sh'; fi", false),
            ("$(\"@/c.sh\")", false),
            ("true; @/a=[1].sh", false),
            ("exit 0", true),
            ("test -e @/missing; true", true),
        ] {
            let text = text.replace('@', &place.0.display().to_string());
            assert_eq!(is_taken(&text), expected, "{text}");
        }
        // A bare word is looked for where the shell will.
        let global = securely();
        let mut workshop = Workshop::new(&global);
        workshop.path = place.0.clone().into();
        assert!(workshop.program(&command("c.sh; exit"), false, false).is_err());
        assert!(workshop.program(&command("good.sh; exit"), false, false).is_ok());
    }

    #[test]
    fn unknown_users_are_said() {
        let mut global = Global::default();
        global.scripts.user = Some("viprd-nobody-has-this".into());
        let refused = Workshop::new(&global).program(&command("/bin/true"), false, false);
        assert!(refused.unwrap_err().contains("viprd-nobody-has-this"));
    }
}
