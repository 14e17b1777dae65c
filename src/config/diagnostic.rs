//! What is wrong with a configuration: what was found where, what was expected, and a way out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::source::{SourceMap, TextSpan};
use super::suggest::nearest;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know: accepted without effect, skipped on purpose.
    Note,
    /// Probably not what was meant; read as it stands.
    Warning,
    /// Wrong; the setting is left out, or the configuration can't run at all.
    Error,
}

/// What a finding means for the exit status of `viprd -t` and for whether the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The configuration is in order: exit status 0.
    Fine,
    /// Something was left out, the rest can run: exit status 5.
    Flawed,
    /// A script isn't secure: exit status 6.
    Insecure,
    /// A statement lacks its value: exit status 2.
    Valueless,
    /// Nothing can run: exit status 4.
    Unusable,
}

/// A kind of finding. Codes are stable: scripts may match them.
#[derive(Debug)]
pub struct Code {
    /// `E…` for errors, `W…` for warnings, `N…` for notes, and a number.
    pub id: &'static str,
    /// What it means for the exit status.
    pub verdict: Verdict,
    /// What it says, in general.
    pub title: &'static str,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Its kind.
    pub code: &'static Code,
    /// What is wrong, quoting the words concerned.
    pub message: String,
    /// Where; `None` if no text is to blame (a file that isn't there).
    pub span: Option<TextSpan>,
    /// What the place is, in a few words, shown below the marked text; may be empty.
    pub label: String,
    /// Other places that matter, each with what it is.
    pub related: Vec<(TextSpan, String)>,
    /// Ways out.
    pub help: Vec<String>,
    /// How often more the same was found at the same place (a definition that is used repeatedly).
    pub repeated: u32,
}

/// All findings of one load, with the text that they speak of.
#[derive(Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    sources: SourceMap,
}

/// Where findings are put while a configuration is read.
#[derive(Debug)]
pub(crate) struct Findings {
    /// What reading has cost so far: bytes, words and candidates looked at.
    pub(crate) work: u64,
    /// How many more candidates may be compared with misspelt words: a file that is wrong all over
    /// must not take longer than one that isn't.
    candidates: usize,
    items: Vec<Diagnostic>,
    seen: HashMap<(&'static str, TextSpan), usize>,
    /// Names that nothing defines, each with its finding, until it is clear whether that matters.
    undefined: BTreeMap<TextSpan, Diagnostic>,
    /// Places where undefined names don't matter, or were told of otherwise.
    quiet: HashSet<TextSpan>,
}

macro_rules! codes {
    ($($(#[$about:meta])* $name:ident $id:literal $verdict:ident $title:literal)*) => {
        $($(#[$about])* #[doc = $title] pub const $name: &Code =
            &Code { id: $id, verdict: Verdict::$verdict, title: $title };)*

        /// Every code, in the order of its number within its letter.
        pub const ALL: &[&Code] = &[$($name),*];
    };
}

/// The codes.
pub mod codes {
    use super::{Code, Verdict};

    codes! {
        // Files and characters.
        CANNOT_READ "E001" Unusable "the configuration file can't be read"
        TOO_LARGE "E002" Unusable "the configuration is too large"
        INCLUDE_FAILED "E003" Flawed "an included file can't be read or doesn't exist"
        INCLUDE_DEPTH "E004" Flawed "files include each other too deeply"
        BAD_LINE "E005" Flawed "a line is too long or holds a NUL character"
        UNTERMINATED_QUOTE "E006" Flawed "a quoted string has no end"
        BAD_ESCAPE "E007" Flawed "an escape sequence isn't valid"
        NOTHING_INCLUDED "N008" Fine "an include finds no file"
        NOT_UTF8 "W009" Fine "a file isn't UTF-8"
        // Definitions.
        BAD_DEFINITION "E010" Flawed "a definition isn't written as it must be"
        RECURSIVE_DEFINITION "E011" Flawed "a definition refers to itself"
        BAD_SEQUENCE "E012" Flawed "a ~SEQ or ~LST isn't written as it must be"
        MULTILINE_NOT_ALONE "E013" Flawed "a definition of several lines must end its line"
        UNDEFINED "W014" Fine "a name isn't defined"
        UNUSED_DEFINITION "N015" Fine "a definition is never used"
        UNDEFINED_VALUE "E016" Flawed "a name isn't defined where a value is needed"
        // Structure.
        UNKNOWN_KEYWORD "W020" Flawed "a keyword isn't known"
        MISSING_BRACE "E021" Flawed "a block has no closing brace"
        EXTRA_BRACE "E022" Flawed "a closing brace has no block"
        STRAY_OPEN_BRACE "E023" Flawed "an opening brace belongs to no keyword"
        MISSING_OPEN_BRACE "E024" Flawed "a block has no opening brace"
        OUTSIDE_BLOCK "E025" Flawed "a keyword stands outside of its block"
        MISPLACED_KEYWORD "W026" Flawed "a keyword doesn't belong in this block"
        UNEXPECTED_BLOCK "E027" Flawed "a keyword that takes no block has one"
        MISSING_NAME "E028" Flawed "a block lacks its name"
        TOO_DEEP "E029" Flawed "blocks are nested too deeply"
        // Values.
        MISSING_VALUE "E030" Valueless "a keyword lacks its value"
        NOT_A_NUMBER "E031" Flawed "a number was expected"
        OUT_OF_RANGE "E032" Flawed "a number is out of range"
        NOT_A_TIME "E033" Flawed "a time was expected"
        BAD_CHOICE "E034" Flawed "a word is none of those that are possible here"
        BAD_ADDRESS "E035" Flawed "an address was expected"
        BAD_WORD "E036" Flawed "a word isn't possible here"
        EXTRA_WORDS "W037" Fine "words follow that have no meaning here"
        DUPLICATE_SETTING "E038" Flawed "a setting is given twice, and the first one holds"
        DUPLICATE_NAME "E039" Flawed "a name is given to two blocks"
        REPEATED_SETTING "W040" Fine "a setting is given twice, and the last one holds"
        // What is accepted without effect.
        OUT_OF_SCOPE "N045" Fine "a part of keepalived that isn't VRRP is skipped"
        WITHOUT_EFFECT "N046" Fine "a setting is accepted but has no effect here"
        NOT_YET "N047" Fine "a setting is accepted but has no effect yet"
        // What a virtual router needs.
        NO_INTERFACE "E050" Flawed "a virtual router has no interface"
        NO_VRID "E051" Flawed "a virtual router has no virtual_router_id"
        VRID_CLASH "E052" Flawed "two virtual routers are the same on the wire"
        WRONG_FAMILY "E053" Flawed "an address is of another family than its virtual router"
        TOO_MANY_ADDRESSES "W054" Fine "more addresses than an advert carries"
        INTERVAL_NOT_V2 "W055" Flawed "an interval that VRRPv2 can't carry"
        INTERVAL_NOT_V3 "W056" Flawed "an interval that VRRPv3 can't carry"
        NO_ADDRESSES "W057" Fine "a virtual router has no addresses"
        MASTER_IS_OWNER "W058" Fine "state MASTER without a priority means priority 255"
        MASTER_CANNOT_WIN "W059" Fine "state MASTER with a priority that loses to the default"
        // Settings that contradict each other.
        NOT_WITH_MASTER "W060" Flawed "a setting doesn't work with state MASTER"
        NOT_WITH_OWNER "W061" Flawed "a setting doesn't work with priority 255"
        NOT_WITH_NOPREEMPT "W062" Flawed "a setting doesn't work with nopreempt"
        CONTRADICTION "W063" Fine "two settings contradict each other"
        NOT_IN_VERSION "W064" Flawed "a setting doesn't exist in this version of the protocol"
        NOT_WITH_STRICT "W065" Flawed "a setting doesn't work with vrrp_strict"
        STRICT_NEEDS "W066" Flawed "vrrp_strict needs something that isn't there"
        STRICT_NO_ACCEPT "W067" Fine "with vrrp_strict nobody reaches the addresses"
        NEEDS_PEERS "W068" Flawed "a unicast setting without unicast peers"
        PASSWORD_CUT "W069" Flawed "a password is longer than eight bytes"
        NO_PASSWORD "W070" Flawed "authentication without a password"
        NOT_MULTICAST "E071" Flawed "an address isn't a multicast group"
        SELF_TRACKED "W072" Flawed "a virtual router tracks its own interface"
        WEIGHT_IGNORED "W073" Flawed "a tracking weight has no effect"
        NEEDS_XMIT_BASE "W074" Flawed "use_vmac with unicast peers needs vmac_xmit_base"
        // Addresses and routes.
        DUPLICATE_ENTRY "W075" Fine "a line is given twice"
        ADDRESS_SHARED "W076" Fine "two virtual routers have the same address"
        LABEL_NOT_OF_LINK "W077" Fine "a label doesn't begin with the interface's name"
        NOT_FOR_IPV6 "N078" Fine "an option has no effect for IPv6"
        BROADCAST_OF_IPV6 "W079" Flawed "IPv6 has no broadcast"
        ROUTE_INCOMPLETE "E080" Flawed "a route lacks its destination"
        MIXED_FAMILIES "E081" Flawed "addresses of both families in one route or rule"
        NO_PREFERENCE "W082" Fine "a policy rule has no preference"
        DUPLICATE_TRACK "W083" Flawed "something is tracked twice"
        NOT_A_VMAC "W084" Flawed "a MAC address isn't possible for use_vmac"
        // Names.
        UNDEFINED_NAME "E085" Flawed "a name isn't defined"
        UNUSED_NAME "N086" Fine "a block is never used"
        IN_TWO_GROUPS "E087" Flawed "a virtual router is in two sync groups"
        SMALL_GROUP "W088" Flawed "a sync group has fewer than two members"
        INCOMPLETE_BLOCK "E089" Flawed "a block lacks what it is for"
        INSECURE_SCRIPTS "W090" Insecure "scripts run as root without enable_script_security"
        DELAY_TOO_LONG "W091" Fine "an interface's delay is longer than a master may be missed"
        NO_UNICAST_INTERFACE "W092" Flawed "a virtual router with unicast peers names no interface"
        NOT_SIGNED "W093" Fine "adverts are not signed although auth_hmac is given"
        RELIED_ON "W094" Fine "a setting that protects or carries addresses has no effect yet"
        EMPTY "W095" Flawed "the file says nothing"
        NO_ROUTERS "N096" Fine "the file defines no virtual router"
        NOT_A_WAY "E098" Flawed "a route or policy rule isn't possible like this"
        UNSUPPORTED_WAY "E099" Flawed "an option of a route or policy rule isn't supported"
    }
}

impl Code {
    /// How bad findings of this kind are.
    pub fn severity(&self) -> Severity {
        match self.id.as_bytes().first() {
            Some(b'E') => Severity::Error,
            Some(b'W') => Severity::Warning,
            _ => Severity::Note,
        }
    }
}

impl Diagnostic {
    /// A finding at a place.
    pub fn new(code: &'static Code, span: TextSpan, message: impl Into<String>) -> Self {
        Diagnostic { span: Some(span), ..Diagnostic::nowhere(code, message) }
    }

    /// A finding that no text is to blame for.
    pub fn nowhere(code: &'static Code, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            message: message.into(),
            span: None,
            label: String::new(),
            related: Vec::new(),
            help: Vec::new(),
            repeated: 0,
        }
    }

    /// With a few words at the marked text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place that matters.
    #[must_use]
    pub fn related(mut self, span: TextSpan, what: impl Into<String>) -> Self {
        self.related.push((span, what.into()));
        self
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether it is worth a line in a log that is not in detail: all but the notes, and of those
    /// that a whole part of the file is skipped.
    pub fn is_news(&self) -> bool {
        self.severity() > Severity::Note || self.code.id == codes::OUT_OF_SCOPE.id
    }
}

/// How many candidates are compared with misspelt words, all in all.
const MAX_CANDIDATES: usize = 1_000_000;

impl Default for Findings {
    fn default() -> Self {
        Findings {
            work: 0,
            candidates: MAX_CANDIDATES,
            items: Vec::new(),
            seen: HashMap::new(),
            undefined: BTreeMap::new(),
            quiet: HashSet::new(),
        }
    }
}

impl Findings {
    /// The word that was probably meant, as long as looking for it isn't too much work.
    pub(crate) fn nearest<'a>(
        &mut self,
        word: &str,
        candidates: impl Iterator<Item = &'a str>,
    ) -> Option<&'a str> {
        let left = self.candidates;
        let mut looked_at = 0;
        let found = nearest(word, candidates.take(left).inspect(|_| looked_at += 1));
        self.candidates -= looked_at;
        self.work += looked_at as u64;
        found
    }

    /// Whether nothing has been found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keeps a finding, or counts it if the same was already found at the same place.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if let Some(span) = diagnostic.span {
            match self.seen.entry((diagnostic.code.id, span)) {
                Entry::Occupied(first) => {
                    if let Some(first) = self.items.get_mut(*first.get()) {
                        first.repeated += 1;
                    }
                    return;
                }
                Entry::Vacant(place) => {
                    place.insert(self.items.len());
                }
            }
        }
        self.items.push(diagnostic);
    }

    /// Keeps a finding about a name that nothing defines.
    pub(crate) fn push_undefined(&mut self, span: TextSpan, finding: Diagnostic) {
        self.undefined.insert(span, finding);
    }

    /// What was found about undefined names in a place; it isn't told of them again.
    pub(crate) fn take_undefined(&mut self, span: TextSpan) -> Option<Diagnostic> {
        self.quiet.insert(span);
        self.undefined.range(within(span)).next().map(|(_, finding)| finding.clone())
    }

    /// All findings in the order of their places.
    pub(crate) fn finish(mut self, sources: SourceMap) -> Diagnostics {
        for span in std::mem::take(&mut self.quiet) {
            let told: Vec<_> = self.undefined.range(within(span)).map(|(at, _)| *at).collect();
            for at in told {
                self.undefined.remove(&at);
            }
        }
        for finding in std::mem::take(&mut self.undefined).into_values() {
            self.push(finding);
        }
        self.items.sort_by_key(|item| item.span.map_or(0, |span| span.start));
        Diagnostics { items: self.items, sources }
    }
}

/// The stretches that begin within another one.
fn within(span: TextSpan) -> std::ops::Range<TextSpan> {
    TextSpan { start: span.start, end: 0 }..TextSpan { start: span.end, end: 0 }
}

impl Diagnostics {
    /// The findings, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// How many there are, notes included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing was found, not even a note.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|item| item.severity() == severity).count()
    }

    /// The worst of all verdicts.
    pub fn verdict(&self) -> Verdict {
        self.items.iter().map(|item| item.code.verdict).max().unwrap_or(Verdict::Fine)
    }

    /// The exit status of `viprd -t`: 0 fine, 5 errors but the rest could run, 6 a script isn't
    /// secure, 2 a statement lacks its value, 4 nothing can run.
    pub fn exit_code(&self) -> u8 {
        match self.verdict() {
            Verdict::Fine => 0,
            Verdict::Flawed => 5,
            Verdict::Insecure => 6,
            Verdict::Valueless => 2,
            Verdict::Unusable => 4,
        }
    }

    /// The text that was read.
    pub fn sources(&self) -> &SourceMap {
        &self.sources
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ordered_by_number() {
        let numbers: Vec<u32> =
            codes::ALL.iter().map(|code| code.id[1..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(codes::ALL.iter().all(|code| matches!(&code.id[..1], "E" | "W" | "N")));
    }

    #[test]
    fn the_same_finding_at_the_same_place_is_told_once() {
        let mut findings = Findings::default();
        for start in [1, 1, 2] {
            let span = TextSpan { start, end: 5 };
            findings.push(Diagnostic::new(codes::NOT_A_NUMBER, span, "x"));
        }
        let found = findings.finish(SourceMap::default());
        assert_eq!(found.iter().map(|item| item.repeated).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(found.exit_code(), 5);
    }
}
