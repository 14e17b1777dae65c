//! `man/viprd.conf.5` and the keyword table say the same: every keyword stands in the section of
//! its place, in the order of the table, with its sentence, its values, range and default.

use std::path::Path;
use std::process::Command;

use viprd::base::Span;
use viprd::config::keywords::{Arg, Effect, Keyword, Kind, Naming, Place, Shape};

/// The section or subsection that describes a place.
fn heading(place: Place) -> Option<&'static str> {
    Some(match place {
        Place::Root => "OUTSIDE OF ALL BLOCKS",
        Place::Global => "GLOBAL_DEFS",
        Place::Instance => "VRRP_INSTANCE",
        Place::Authentication => "authentication",
        Place::Hmac => "auth_hmac",
        Place::UnicastPeer => "Lines of unicast_peer",
        Place::Address => "Lines of addresses",
        Place::Route => "Lines of routes",
        Place::Rule => "Lines of rules",
        Place::TrackInterface => "Lines of track_interface",
        Place::TrackScript => "Lines of track_script",
        Place::TrackFileUse => "Lines of track_file",
        Place::TrackProcessUse => "Lines of track_process",
        Place::TrackBfd => "Lines of track_bfd",
        Place::TrackSetUse => "Lines of viprd_track_set",
        Place::SyncGroup => "vrrp_sync_group",
        Place::Script => "vrrp_script",
        Place::TrackFile => "track_file",
        Place::TrackProcess => "vrrp_track_process",
        Place::Bfd => "bfd_instance",
        Place::TrackSet => "viprd_track_set",
        Place::TrackGroup => "track_group",
        Place::GarpGroup => "garp_group",
        Place::Email | Place::UpDownDelay | Place::Linkbeat => return None,
    })
}

/// An item of a list: its head and its text on one line.
struct Entry {
    head: String,
    text: String,
}

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/viprd.conf.5");
    std::fs::read_to_string(path).unwrap()
}

/// The items about keywords below a heading.
fn entries(manual: &str, heading: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let (mut inside, mut item) = (false, false);
    for line in manual.lines() {
        if let Some(title) = line.strip_prefix(".Sh ").or_else(|| line.strip_prefix(".Ss ")) {
            inside = title == heading;
        } else if line.starts_with(".El") {
            item = false;
        } else if let Some(head) = line.strip_prefix(".It ").filter(|_| inside) {
            item = true;
            found.push(Entry { head: head.to_owned(), text: String::new() });
        } else if let Some(entry) = found.last_mut().filter(|_| inside && item) {
            entry.text += line.strip_prefix("\\&").unwrap_or(line);
            entry.text.push(' ');
        }
    }
    found
}

fn head(keyword: &Keyword) -> String {
    // A leading minus sign would be taken for a hyphen.
    let dash = if keyword.name.starts_with('-') { "\\" } else { "" };
    let mut head = format!("Ic {dash}{}", keyword.name);
    let arg = |arg: &Arg| {
        let repeats = if arg.repeats { " ..." } else { "" };
        let optional = if arg.optional { "Op " } else { "" };
        format!(" {optional}Ar {}{repeats}", arg.name)
    };
    head += &match keyword.shape {
        Shape::Flag | Shape::Anything => String::new(),
        Shape::Args(args) | Shape::List(args) => args.iter().map(arg).collect(),
        Shape::Command => " Ar COMMAND Op Ar USER Op Ar GROUP".to_owned(),
        Shape::OptionalCommand => " Op Ar COMMAND Op Ar USER Op Ar GROUP".to_owned(),
        Shape::Block(_, Naming::Named) => " Ar NAME Brq No ...".to_owned(),
        Shape::Block(..) | Shape::Lines(_) | Shape::Words(_) => " Brq No ...".to_owned(),
    };
    head
}

/// What the text of a keyword must hold.
fn facts(keyword: &Keyword) -> Vec<String> {
    let plain = |text: &str| text.replace('`', "").replace('\\', "\\e").replace('−', "-");
    let mut facts = vec![plain(keyword.doc)];
    if let Shape::Args(args) | Shape::List(args) = keyword.shape {
        for arg in args {
            let seconds = |micros: u64| Span::from_micros(micros).to_string();
            facts.extend(match arg.kind {
                Kind::Int(min, max, _) if max - min <= 1 => None,
                Kind::Int(min, 2_147_483_647.., _) if min < -1000 => None,
                Kind::Int(min, 2_147_483_647.., _) => Some(format!("{}: {min} or more", arg.name)),
                Kind::Int(min, max, _) => Some(format!("{}: {min} to {max}", arg.name)),
                Kind::Seconds(min, max) => {
                    Some(format!("{}: {} to {}.", arg.name, seconds(min), seconds(max)))
                }
                Kind::Millis(min, max) => Some(format!(
                    "{}: {} to {}.",
                    arg.name,
                    seconds(min * 1000),
                    seconds(max * 1000)
                )),
                _ => None,
            });
        }
    }
    if !keyword.default.is_empty() {
        facts.push(format!("Default: {}.", keyword.default));
    }
    if !keyword.aliases.is_empty() {
        facts.push(format!("Also written {}.", keyword.aliases.join(", ")));
    }
    match keyword.effect {
        Effect::Moot(why) => facts.push(format!("No effect here: {}.", plain(why))),
        Effect::OutOfScope => facts.push("Not part of VRRP: skipped.".to_owned()),
        // What stands in a block that has none is not told one by one.
        Effect::NotYet | Effect::Missing => match keyword.key.place() {
            Place::Bfd | Place::Hmac | Place::TrackBfd => {}
            _ => facts.push("No effect yet.".to_owned()),
        },
        Effect::Works => {}
    }
    facts
}

#[test]
fn the_manual_and_the_keyword_table_agree() {
    let manual = manual();
    let mut differences = Vec::new();
    for place in Place::ALL {
        let Some(heading) = heading(place) else { continue };
        let entries = entries(&manual, heading);
        let table: Vec<String> = place.keywords().iter().map(head).collect();
        let heads: Vec<&str> = entries.iter().map(|entry| &*entry.head).collect();
        if heads != table {
            let first = table.iter().zip(&heads).find(|(table, head)| table != *head);
            differences.push(format!("{heading}: {first:?}, {} of {}", heads.len(), table.len()));
            continue;
        }
        for (keyword, entry) in place.keywords().iter().zip(&entries) {
            for fact in facts(keyword) {
                if !entry.text.contains(&fact) {
                    differences.push(format!("{heading}, {}: {fact}", keyword.name));
                }
            }
        }
    }
    assert!(differences.is_empty(), "the manual lacks:\n{}", differences.join("\n"));
}

#[test]
fn the_manual_explains_every_code() {
    let manual = manual();
    for code in viprd::config::diagnostic::codes::ALL {
        let entry = format!(".It {}\n{}\n", code.id, code.title);
        assert!(manual.contains(&entry), "the manual lacks {entry}");
    }
}

#[test]
fn the_manual_is_well_formed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/viprd.conf.5");
    let Ok(lint) = Command::new("mandoc").args(["-T", "lint", "-W", "style"]).arg(path).output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&lint.stdout);
    // Pages of other projects need not be installed here.
    let said: Vec<_> =
        said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
    assert!(said.is_empty(), "{said:#?}");
}
