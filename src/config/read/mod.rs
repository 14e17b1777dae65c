//! **From statements to settings**, by the keyword table: each statement becomes a typed setting of
//! its section, or a finding.

mod tell;
mod values;

use super::diagnostic::{Diagnostic, Findings, codes};
use super::keywords::{Effect, Key, Keyword, Naming, Place, Shape, instance, root};
use super::model::{Name, Section, Setting, Value};
use super::source::TextSpan;
use super::tree::{Statement, Tree, Word};
use super::value;
use tell::usage;
use values::value_of;

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

/// Keywords that read other files, which happens before anything else.
const INCLUDES: [Key; 6] =
    [root::INCLUDE, root::INCLUDER, root::INCLUDEM, root::INCLUDEW, root::INCLUDEB, root::INCLUDEA];

fn takes_block(shape: Shape) -> bool {
    matches!(shape, Shape::Block(..) | Shape::Lines(_) | Shape::Words(_) | Shape::Anything)
}
