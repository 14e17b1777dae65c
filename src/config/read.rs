//! **From statements to settings**, by the keyword table: each statement becomes a typed setting of
//! its section, or a finding.

use super::command::{self, Broken, Command};
use super::diagnostic::{Code, Diagnostic, Findings, codes};
use super::keywords::group::sync;
use super::keywords::route::routes;
use super::keywords::{Arg, Effect, Key, Keyword, Kind, Naming, Place, Shape, instance, root};
use super::model::{Datum, Entry, Item, Name, Section, Setting, Value};
use super::source::TextSpan;
use super::suggest::nearest;
use super::tree::{Statement, Tree, Word};
use super::value::{self, Refused};

/// Reads trees into a model.
pub(crate) struct Reader<'f> {
    findings: &'f mut Findings,
    memory: &'f mut Memory,
    /// How many blocks without effect what is read stands in.
    muted: u32,
    /// How many blocks what is read stands in.
    depth: u32,
}

/// What is remembered from one top-level statement to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Keywords without effect, each with the first place where it was met.
    without_effect: Vec<(&'static Keyword, TextSpan)>,
    /// Settings of the blocks that are open, each with the depth of its block and its place in it.
    seen: Vec<(u32, Key, usize)>,
}

/// A word of a statement as the parsers of values see it.
type Words<'t> = Vec<(&'t str, &'t Word)>;

impl<'f> Reader<'f> {
    /// A reader at the top level.
    pub(crate) fn new(findings: &'f mut Findings, memory: &'f mut Memory) -> Self {
        Reader { findings, memory, muted: 0, depth: 0 }
    }

    /// Adds the statements of a tree to the root section.
    pub(crate) fn read(&mut self, tree: &Tree, root: &mut Section) {
        for statement in tree.roots() {
            self.statement(statement, root);
        }
        // What stands behind a block that was closed too early isn't missing from it.
        for word in tree.left_out() {
            if let Some(Setting { value: Value::Block(block), .. }) = root.settings.last_mut()
                && let Some(keyword) = block.place.find(word)
            {
                refuse_key(block, keyword.key);
            }
        }
    }

    fn statement(&mut self, statement: Statement<'_>, section: &mut Section) {
        let (word, span) = statement.first();
        if Place::Root.find(word).is_some_and(|keyword| INCLUDES.contains(&keyword.key)) {
            let message = format!("`{word}` must be the first word of its line");
            let finding = Diagnostic::new(codes::MISPLACED_KEYWORD, span, message)
                .label("left out")
                .help("write it on a line of its own");
            self.tell(statement, finding);
            return;
        }
        let Some(keyword) = section.place.find(word) else {
            let member = section.place == Place::SyncGroup && statement.words().len() == 1;
            if member && self.findings.nearest(word, section.place.names()).is_none() {
                self.bare_member(statement, section);
            } else {
                // What was misspelt isn't missing.
                let near = self.findings.nearest(word, section.place.names());
                let meant = near.and_then(|near| section.place.find(near));
                if let Some(keyword) = meant {
                    refuse_key(section, keyword.key);
                }
                self.unknown(statement, section.place);
            }
            return;
        };
        self.note_effect(keyword, span);
        let mutes = u32::from(keyword.effect != Effect::Works);
        self.muted += mutes;
        self.setting(statement, keyword, section);
        self.muted -= mutes;
    }

    fn setting(
        &mut self,
        statement: Statement<'_>,
        keyword: &'static Keyword,
        section: &mut Section,
    ) {
        let (word, span) = statement.first();
        if statement.block().is_some() && !takes_block(keyword.shape) {
            let message = format!("`{word}` takes no block");
            self.tell(
                statement,
                Diagnostic::new(codes::UNEXPECTED_BLOCK, span, message)
                    .label("the setting and its block are left out")
                    .help(format!("write it on one line, without braces: `{}`", usage(keyword))),
            );
            refuse_key(section, keyword.key);
            return;
        }
        if statement.block().is_none()
            && takes_block(keyword.shape)
            && keyword.shape != Shape::Anything
        {
            // The missing brace was told when the block was looked for.
            return;
        }
        match self.value(statement, keyword) {
            Some(value) => self.keep(statement, section, Setting { key: keyword.key, span, value }),
            None => refuse_key(section, keyword.key),
        }
    }

    fn value(&mut self, statement: Statement<'_>, keyword: &'static Keyword) -> Option<Value> {
        match keyword.shape {
            Shape::Flag => {
                self.no_more_words(statement, keyword, 1);
                Some(Value::Flag)
            }
            Shape::Args(args) | Shape::List(args) => {
                let words: Words<'_> = statement.words().collect();
                let mut next = 1;
                let items = self.args(statement, keyword, args, &words, &mut next)?;
                self.no_more_words(statement, keyword, next);
                Some(value_of(items))
            }
            Shape::Command => self.command(statement, keyword),
            Shape::OptionalCommand if statement.words().len() == 1 => Some(Value::Flag),
            Shape::OptionalCommand => self.command(statement, keyword),
            Shape::Block(place, naming) => {
                let mut section = Section::new(place, None);
                if naming == Naming::Named {
                    let Some((text, word)) = statement.words().nth(1) else {
                        let name = keyword.name;
                        let message = format!("`{name}` must have a name");
                        let finding =
                            Diagnostic::new(codes::MISSING_NAME, statement.span().after(), message)
                                .label("the name is missing here; the block is left out")
                                .help(format!("write `{name} NAME {{`"));
                        self.tell(statement, finding);
                        return None;
                    };
                    section.name = Some(Name { text: text.into(), span: word.span });
                }
                self.no_more_words(statement, keyword, if naming == Naming::Named { 2 } else { 1 });
                let outer = self.memory.seen.len();
                self.depth += 1;
                for child in statement.children() {
                    self.statement(child, &mut section);
                }
                self.depth -= 1;
                self.memory.seen.truncate(outer);
                finish(&mut section);
                Some(Value::Block(Box::new(section)))
            }
            Shape::Lines(place) => {
                self.no_more_words(statement, keyword, 1);
                let lines =
                    statement.children().filter_map(|child| self.entry(child, keyword, place));
                Some(Value::Lines(lines.collect()))
            }
            Shape::Words(arg) => {
                self.no_more_words(statement, keyword, 1);
                let mut names = Vec::new();
                for child in statement.children() {
                    for (text, word) in child.words() {
                        match value::parse(arg.kind, text) {
                            Ok(_) => names.push(Name { text: text.into(), span: word.span }),
                            Err(refused) => self.refuse(child, keyword, word.span, refused),
                        }
                    }
                }
                Some(Value::Words(names))
            }
            Shape::Anything => None,
        }
    }

    /// Reads values from `words[*next]` on. `None` if there is something wrong with them, which
    /// has been told.
    fn args(
        &mut self,
        statement: Statement<'_>,
        keyword: &'static Keyword,
        args: &'static [Arg],
        words: &Words<'_>,
        next: &mut usize,
    ) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        for arg in args {
            loop {
                let Some(&(text, word)) = words.get(*next) else {
                    if arg.optional {
                        break;
                    }
                    self.missing_value(statement, keyword, arg, words);
                    return None;
                };
                match value::parse(arg.kind, text) {
                    Ok(datum) => items.push(Item { datum, span: word.span }),
                    Err(_) if arg.optional && !is_near_miss(arg.kind, text) => break,
                    Err(refused) => {
                        self.refuse(statement, keyword, word.span, refused);
                        return None;
                    }
                }
                *next += 1;
                if let Kind::Keyed(_) = arg.kind {
                    let Some(&(text, word)) = words.get(*next) else {
                        self.missing_value(statement, keyword, arg, words);
                        return None;
                    };
                    items.push(Item { datum: Datum::Text(text.into()), span: word.span });
                    *next += 1;
                }
                if !arg.repeats {
                    break;
                }
            }
        }
        Some(items)
    }

    /// A command, and who runs it.
    fn command(&mut self, statement: Statement<'_>, keyword: &'static Keyword) -> Option<Value> {
        // A shell may well know names that this file doesn't define.
        self.findings.take_undefined(statement.span());
        let raw = statement.raw();
        let mut pieces = Vec::new();
        let mut at = statement.first().0.len();
        while pieces.len() < 4 {
            match command::word(raw, at) {
                Ok(Some(piece)) => {
                    at = piece.end;
                    pieces.push(piece);
                }
                Ok(None) => break,
                Err(broken) => {
                    // Behind the command and its user anything may stand.
                    if pieces.len() < 3 {
                        self.broken_command(statement, keyword, &broken);
                        return None;
                    }
                    break;
                }
            }
        }
        let mut words = pieces.into_iter().map(|piece| piece.text);
        let text = words.next().unwrap_or_default();
        if text.trim().is_empty() {
            let message = format!("`{}` lacks its value: a command", keyword.name);
            let finding = Diagnostic::new(codes::MISSING_VALUE, statement.span().after(), message)
                .label("a command is missing here")
                .help(format!("write `{} \"/path/to/program argument\"`", keyword.name));
            self.tell(statement, finding);
            return None;
        }
        let argv = match command::words(&text) {
            Ok(argv) => argv.into_boxed_slice(),
            Err(broken) => {
                self.broken_command(statement, keyword, &broken);
                return None;
            }
        };
        let (user, group): (Option<Box<str>>, Option<Box<str>>) =
            (words.next().map(Box::from), words.next().map(Box::from));
        if let Some(word) = user.iter().chain(&group).find(|word| !is_user(word)) {
            let message = format!(
                "`{word}` can't be a user or group: only those may follow the command of `{}`",
                keyword.name
            );
            let finding = Diagnostic::new(codes::BAD_WORD, statement.span(), message)
                .label("the setting is left out")
                .help(format!(
                    "put the command and its arguments into quotes together: `{} \"{text} …\"`",
                    keyword.name
                ));
            self.tell(statement, finding);
            return None;
        }
        if let Some(more) = words.next() {
            let message = format!(
                "`{more}` has no meaning after `{}`: a command, a user and a group is all it takes",
                keyword.name
            );
            let finding = Diagnostic::new(codes::EXTRA_WORDS, statement.span(), message)
                .label("the words at the end are ignored")
                .help(format!(
                    "put a command with arguments into quotes: `{} \"/path/to/program argument\"`",
                    keyword.name
                ));
            self.tell(statement, finding);
        }
        let command = Command { text: text.into(), argv, user, group };
        Some(Value::Command(Box::new(command)))
    }

    fn broken_command(&mut self, statement: Statement<'_>, keyword: &Keyword, broken: &Broken) {
        let (code, message, help) = match broken {
            Broken::Quote(_, quote) => (
                codes::UNTERMINATED_QUOTE,
                format!("the command of `{}` has a `{quote}` without an end", keyword.name),
                "commands know both kinds of quotes; put `\\` before one that means itself"
                    .to_owned(),
            ),
            Broken::Escape(_, why) => (
                codes::BAD_ESCAPE,
                format!(
                    "the command of `{}` has an escape sequence that isn't valid: {why}",
                    keyword.name
                ),
                "write `\\\\` for a backslash that means itself".to_owned(),
            ),
        };
        let finding = Diagnostic::new(code, statement.span(), message)
            .label("the setting is left out")
            .help(help);
        self.tell(statement, finding);
    }

    /// A line of a block of lines.
    fn entry(
        &mut self,
        statement: Statement<'_>,
        opener: &'static Keyword,
        place: Place,
    ) -> Option<Entry> {
        let words: Words<'_> = statement.words().collect();
        let shape = place.line()?;
        if statement.block().is_some() {
            let (word, span) = statement.first();
            let message = format!("`{word}` takes no block: `{}` holds lines", opener.name);
            self.tell(
                statement,
                Diagnostic::new(codes::UNEXPECTED_BLOCK, span, message)
                    .label("the line and its block are left out"),
            );
            return None;
        }
        let mut next = 0;
        let mut items = if shape.free {
            Vec::new()
        } else {
            self.args(statement, opener, shape.args, &words, &mut next)?
        };
        let mut options: Vec<Setting> = Vec::new();
        while let Some(&(text, word)) = words.get(next) {
            next += 1;
            let Some(keyword) = place.find(text) else {
                let free = shape.args.first().filter(|_| shape.free);
                match free.map(|arg| value::parse(arg.kind, text)) {
                    Some(Ok(datum)) => items = vec![Item { datum, span: word.span }],
                    Some(Err(refused)) if looks_like_address(text) => {
                        self.refuse(statement, opener, word.span, refused);
                        return None;
                    }
                    _ => {
                        self.unknown_option(statement, opener, place, text, word.span);
                        // What follows belongs to it, up to the next word that means something.
                        while words.get(next).is_some_and(|(text, _)| place.find(text).is_none()) {
                            next += 1;
                        }
                    }
                }
                continue;
            };
            self.note_effect(keyword, word.span);
            let value = match keyword.shape {
                Shape::Args(args) => {
                    value_of(self.args(statement, keyword, args, &words, &mut next)?)
                }
                _ => Value::Flag,
            };
            options.push(Setting { key: keyword.key, span: word.span, value });
        }
        if items.is_empty() && options.is_empty() {
            return None;
        }
        if place == Place::Route {
            options.sort_by_key(|option| !routes::TYPES.contains(&option.key));
        }
        Some(Entry { items, options, span: statement.span() })
    }

    /// Puts a setting into its section, unless it can't be there twice.
    fn keep(&mut self, statement: Statement<'_>, section: &mut Section, setting: Setting) {
        let keyword = setting.key.keyword();
        let same =
            |(depth, key, _): &&(u32, Key, usize)| *depth == self.depth && *key == setting.key;
        if let Some(&(_, _, first)) = self.memory.seen.iter().rev().find(same) {
            let Some(before) = section.settings.get_mut(first) else { return };
            match (&mut before.value, setting.value) {
                (Value::Lines(lines), Value::Lines(more)) => lines.extend(more),
                (Value::Words(words), Value::Words(more)) => words.extend(more),
                (_, value) => {
                    let setting = Setting { value, ..setting };
                    self.repeated(statement, section, first, setting);
                }
            }
            return;
        }
        if !matches!(setting.value, Value::Block(_)) && !matches!(keyword.shape, Shape::List(_)) {
            self.memory.seen.push((self.depth, setting.key, section.settings.len()));
        }
        section.settings.push(setting);
    }

    /// A setting that is there already: the last one holds, but for the state and for commands.
    fn repeated(
        &mut self,
        statement: Statement<'_>,
        section: &mut Section,
        first: usize,
        setting: Setting,
    ) {
        let keyword = setting.key.keyword();
        let Some(before) = section.settings.get(first) else { return };
        let first_holds = matches!(keyword.shape, Shape::Command | Shape::OptionalCommand)
            || setting.key == instance::STATE;
        let (code, message, label) = if before.value == setting.value {
            let message = format!("`{}` is given twice, with the same value", keyword.name);
            (codes::REPEATED_SETTING, message, "")
        } else if first_holds {
            let message = format!("`{}` is given twice", keyword.name);
            (codes::DUPLICATE_SETTING, message, "this one is left out")
        } else {
            let message = format!("`{}` is given twice", keyword.name);
            (codes::REPEATED_SETTING, message, "this one holds")
        };
        let finding = Diagnostic::new(code, setting.span, message)
            .label(label)
            .related(before.span, "first given here")
            .help("remove one of the two");
        self.tell(statement, finding);
        if !first_holds {
            section.settings.push(setting);
        }
    }

    /// A name in a sync group that should stand in its `group` block; told for the first one.
    fn bare_member(&mut self, statement: Statement<'_>, section: &mut Section) {
        if section.refused.contains(&sync::GROUP) {
            return;
        }
        refuse_key(section, sync::GROUP);
        let (word, span) = statement.first();
        let message = format!("`{word}` isn't a keyword of vrrp_sync_group");
        let finding = Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message)
            .label("left out, and so are other names that stand here")
            .help(format!("names of virtual routers stand inside `group {{ … }}`: write `group {{`, a line `{word}` and so on, and `}}`"));
        self.tell(statement, finding);
    }

    fn unknown(&mut self, statement: Statement<'_>, place: Place) {
        let (word, span) = statement.first();
        let title = place.title();
        let whole = if statement.block().is_some() {
            "it and its whole block are left out"
        } else {
            "the line is left out"
        };
        let elsewhere = Place::ALL
            .into_iter()
            .find(|other| *other != place && other.line().is_none() && other.find(word).is_some());
        let finding = match (self.findings.nearest(word, place.names()), elsewhere) {
            (_, Some(other)) => {
                let message = format!("`{word}` doesn't belong in {title}");
                let wanted = match other {
                    Place::Root => "it stands outside of all blocks".to_owned(),
                    _ => format!("it belongs in `{}`", other.title()),
                };
                Diagnostic::new(codes::MISPLACED_KEYWORD, span, message).help(wanted)
            }
            (Some(near), None) => {
                let message = format!("`{word}` isn't a keyword of {title}");
                Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message)
                    .help(format!("did you mean `{near}`?"))
            }
            (None, None) => {
                let message = format!("`{word}` isn't a keyword of {title}");
                Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message)
                    .help("viprd.conf(5) lists all keywords; remove it, or comment it out with #")
            }
        };
        self.tell(statement, finding.label(whole));
    }

    fn unknown_option(
        &mut self,
        statement: Statement<'_>,
        opener: &Keyword,
        place: Place,
        word: &str,
        span: TextSpan,
    ) {
        let message = format!("`{word}` has no meaning in this line of `{}`", opener.name);
        let mut finding =
            Diagnostic::new(codes::UNKNOWN_KEYWORD, span, message).label("it is ignored");
        let first = place.line().and_then(|line| line.args.first());
        if let Some(near) = self.findings.nearest(word, place.names()) {
            finding = finding.help(format!("did you mean `{near}`?"));
        } else {
            if first.is_some_and(|arg| value::parse(arg.kind, word).is_ok()) {
                finding =
                    finding.help("if it is an entry of its own, write it on a line of its own");
            }
            let names: Vec<_> = place.names().collect();
            if !names.is_empty() {
                finding = finding.help(format!("possible here: {}", names.join(", ")));
            }
        }
        self.tell(statement, finding);
    }

    fn missing_value(
        &mut self,
        statement: Statement<'_>,
        keyword: &Keyword,
        arg: &Arg,
        words: &Words<'_>,
    ) {
        let expected = match arg.kind {
            Kind::Word => {
                let name = arg.name.to_lowercase();
                let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
                format!("{article} {name}")
            }
            kind => value::expected(kind),
        };
        let message = format!("`{}` lacks its value: {expected}", keyword.name);
        let end = words.last().map_or(statement.span(), |(_, word)| word.span).after();
        let finding = Diagnostic::new(codes::MISSING_VALUE, end, message)
            .label(format!("{expected} is missing here"))
            .help(format!("write `{} {}`", keyword.name, arg.name));
        self.tell(statement, finding);
    }

    fn refuse(
        &mut self,
        statement: Statement<'_>,
        keyword: &Keyword,
        span: TextSpan,
        refused: Refused,
    ) {
        let name = keyword.name;
        let undefined = self.findings.take_undefined(span);
        let message = match &undefined {
            Some(finding) => {
                let said = finding.message.split(';').next().unwrap_or_default();
                format!("{said}; `{name}` expects {}", refused.expected)
            }
            None => format!("{}; `{name}` expects {}", refused.message, refused.expected),
        };
        let code = if undefined.is_some() { codes::UNDEFINED_VALUE } else { refused.code };
        let left_out = match keyword.default {
            _ if keyword.key.place().line().is_some() => "the line is left out".to_owned(),
            _ if matches!(keyword.shape, Shape::Lines(_) | Shape::Words(_)) => {
                "left out".to_owned()
            }
            "" => "the setting is left out".to_owned(),
            default if default.starts_with("as ") => "the setting is left out".to_owned(),
            default => format!("left out: {default} is used instead"),
        };
        let mut finding = Diagnostic::new(code, span, message).label(left_out);
        let undefined = undefined.map(|undefined| undefined.help);
        finding.help = undefined.unwrap_or_else(|| refused.help.into_iter().collect());
        self.tell(statement, finding);
    }

    fn no_more_words(&mut self, statement: Statement<'_>, keyword: &Keyword, expected: usize) {
        let mut extra = statement.words().skip(expected);
        let Some((text, first)) = extra.next() else { return };
        let last = extra.last().map_or(first.span, |(_, word)| word.span);
        if keyword.shape == Shape::Flag && value::bool_of(text) == Some(false) {
            let name = keyword.name;
            let message = format!("`{name}` takes no value: `{name} {text}` switches it on too");
            let finding = Diagnostic::new(codes::EXTRA_WORDS, first.span.to(last), message)
                .label("ignored")
                .help("remove the line to switch it off");
            self.tell(statement, finding);
            return;
        }
        let message = format!("`{text}` has no meaning after `{}`", keyword.name);
        let finding = Diagnostic::new(codes::EXTRA_WORDS, first.span.to(last), message)
            .label("ignored")
            .help("one setting stands on one line; put `#` before a comment");
        self.tell(statement, finding);
    }

    fn note_effect(&mut self, keyword: &'static Keyword, span: TextSpan) {
        // What stands inside a block without effect has none either.
        if self.muted == 0
            && keyword.effect != Effect::Works
            && !self.memory.without_effect.iter().any(|(other, _)| other.name == keyword.name)
        {
            self.memory.without_effect.push((keyword, span));
        }
    }

    /// Reports keywords without effect, each once.
    pub(crate) fn report_without_effect(&mut self) {
        for (keyword, span) in std::mem::take(&mut self.memory.without_effect) {
            let name = keyword.name;
            let (code, message): (&'static Code, _) = match keyword.effect {
                Effect::Works => continue,
                Effect::NotYet => {
                    (codes::NOT_YET, format!("`{name}` is accepted, without effect yet"))
                }
                Effect::Moot(why) => (
                    codes::WITHOUT_EFFECT,
                    format!("`{name}` is accepted, without effect here: {why}"),
                ),
                Effect::OutOfScope => {
                    (codes::OUT_OF_SCOPE, format!("`{name}` is skipped: it isn't part of VRRP"))
                }
            };
            self.findings.push(Diagnostic::new(code, span, message));
        }
    }

    /// Adds a finding, with how its statement came about.
    fn tell(&mut self, statement: Statement<'_>, mut finding: Diagnostic) {
        if let Some(context) = statement.context() {
            let values = &context.values;
            let what = if values.is_empty() {
                "expanded from here".to_owned()
            } else {
                format!("expanded from here, with {values}")
            };
            finding = finding.related(context.used, what);
        }
        self.findings.push(finding);
    }
}

/// Puts a section into its final form: of settings that are given twice the last one stays.
pub(crate) fn finish(section: &mut Section) {
    let is_single = |setting: &Setting| {
        !matches!(setting.value, Value::Block(_))
            && !matches!(setting.key.keyword().shape, Shape::List(_))
    };
    let mut kept: Vec<Key> = Vec::new();
    let mut twice = false;
    for setting in section.settings.iter().filter(|setting| is_single(setting)) {
        twice |= kept.contains(&setting.key);
        kept.push(setting.key);
        if twice {
            break;
        }
    }
    if twice {
        kept.clear();
        let mut settings: Vec<Setting> = std::mem::take(&mut section.settings);
        settings.reverse();
        settings.retain(|setting| {
            let last = !is_single(setting) || !kept.contains(&setting.key);
            if last && is_single(setting) {
                kept.push(setting.key);
            }
            last
        });
        settings.reverse();
        section.settings = settings;
    }
    section.settings.shrink_to_fit();
}

/// Remembers that a setting was given, but wrong.
fn refuse_key(section: &mut Section, key: Key) {
    if !section.refused.contains(&key) {
        section.refused.push(key);
    }
}

/// How a keyword is written: `priority PRIORITY`.
fn usage(keyword: &Keyword) -> String {
    let mut usage = keyword.name.to_owned();
    match keyword.shape {
        Shape::Args(args) | Shape::List(args) => {
            for arg in args {
                usage.push(' ');
                usage +=
                    &if arg.optional { format!("[{}]", arg.name) } else { arg.name.to_owned() };
            }
        }
        Shape::Command | Shape::OptionalCommand => usage += " \"/path/to/program argument\"",
        _ => {}
    }
    usage
}

/// Keywords that read other files, which happens before anything else.
const INCLUDES: [Key; 6] =
    [root::INCLUDE, root::INCLUDER, root::INCLUDEM, root::INCLUDEW, root::INCLUDEB, root::INCLUDEA];

/// Values as the value of a setting.
fn value_of(mut items: Vec<Item>) -> Value {
    match items.len() {
        0 => Value::Flag,
        1 => items.pop().map_or(Value::Flag, Value::One),
        _ => Value::Many(items.into_boxed_slice()),
    }
}

/// Whether a word that isn't of an optional kind can't be anything else either.
fn is_near_miss(kind: Kind, word: &str) -> bool {
    match kind {
        Kind::Bool => true,
        Kind::Choice(words) => nearest(word, words.iter().copied()).is_some(),
        _ => false,
    }
}

/// Whether a word can name a user or a group.
fn is_user(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('-')
        && word
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '{' | '}'))
}

/// Whether a word is more likely a wrong address than a wrong keyword.
fn looks_like_address(word: &str) -> bool {
    word.contains(['.', ':', '/']) && word.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
}

fn takes_block(shape: Shape) -> bool {
    matches!(shape, Shape::Block(..) | Shape::Lines(_) | Shape::Words(_) | Shape::Anything)
}
