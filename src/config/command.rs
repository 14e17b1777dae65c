//! Commands: the part of the language where both kinds of quotes and backslashes count.
//!
//! A command is one word of the statement, joined from adjacent quoted and unquoted pieces. That
//! word is then divided a second time, by the same rules, into the program and its arguments; so
//! in `"/bin/x 'a b' c"` the program gets two arguments.

use std::fmt::Write as _;

/// A command and who runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The command as one text, as a shell would get it.
    pub text: Box<str>,
    /// The program and its arguments.
    pub argv: Box<[Box<str>]>,
    /// The user that runs it; the default user if `None`.
    pub user: Option<Box<str>>,
    /// The group that runs it; the user's own if `None`.
    pub group: Option<Box<str>>,
}

/// The first word of a text, by the rules of commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// What it says.
    pub(crate) text: String,
    /// Where it ends.
    pub(crate) end: usize,
}

/// Why a text can't be divided into words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The quote that begins here has no end.
    Quote(usize, char),
    /// The escape sequence that begins here isn't valid.
    Escape(usize, &'static str),
}

/// What separates the words of a command.
const BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\x0b', '\x0c'];

/// The first word of `text` at or after byte `from`; `None` if only blanks follow.
pub(crate) fn word(text: &str, from: usize) -> Result<Option<Piece>, Broken> {
    let rest = text.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_start_matches(BLANKS).len());
    let mut said = Vec::new();
    let mut quote: Option<(usize, u8)> = None;
    let bytes = text.as_bytes();
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        match (byte, quote) {
            (b'\\', _) => {
                at = escape(bytes, at, &mut said)?;
                continue;
            }
            (b'"' | b'\'', None) => quote = Some((at, byte)),
            (_, Some((_, open))) if byte == open => quote = None,
            (byte, None) if BLANKS.contains(&char::from(byte)) => break,
            _ => said.push(byte),
        }
        at += 1;
    }
    if let Some((opened, byte)) = quote {
        return Err(Broken::Quote(opened, char::from(byte)));
    }
    if at == start {
        return Ok(None);
    }
    Ok(Some(Piece { text: String::from_utf8_lossy(&said).into_owned(), end: at }))
}

/// All words of `text`.
pub(crate) fn words(text: &str) -> Result<Vec<Box<str>>, Broken> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(piece) = word(text, at)? {
        at = piece.end;
        found.push(piece.text.into());
    }
    Ok(found)
}

/// Reads the escape sequence at `at`, appends what it means, and returns where it ends.
fn escape(bytes: &[u8], at: usize, said: &mut Vec<u8>) -> Result<usize, Broken> {
    let Some(&letter) = bytes.get(at + 1) else {
        return Err(Broken::Escape(at, "nothing follows the `\\`"));
    };
    let meant = match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'E' => 0x1b,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'0'..=b'7' => {
            let digits =
                bytes[at + 1..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte));
            let (length, value) = digits
                .fold((0, 0_u32), |(n, value), digit| (n + 1, value * 8 + u32::from(digit - b'0')));
            // More than a byte holds wraps, as in a shell.
            said.push(value as u8);
            return Ok(at + 1 + length);
        }
        b'x' => {
            let digits = bytes[at + 2..].iter().take(2).take_while(|byte| byte.is_ascii_hexdigit());
            let (length, value) = digits.fold((0, 0_u8), |(n, value), digit| {
                (n + 1, value << 4 | char::from(*digit).to_digit(16).unwrap_or(0) as u8)
            });
            if length == 0 {
                return Err(Broken::Escape(at, "hexadecimal digits must follow `\\x`"));
            }
            said.push(value);
            return Ok(at + 2 + length);
        }
        b'c' => match bytes.get(at + 2) {
            Some(control) => {
                said.push(control & 0x1f);
                return Ok(at + 3);
            }
            None => return Err(Broken::Escape(at, "a letter must follow `\\c`")),
        },
        other => other,
    };
    said.push(meant);
    Ok(at + 2)
}

/// A text in double quotes that [`word`] reads back as `text`.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            // Escaped as a number: a `"` would end the quotes for whoever looks for braces and
            // comments, backslash or not.
            '"' => quoted.push_str("\\042"),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() && letter.is_ascii() => {
                let _ = write!(quoted, "\\{:03o}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(text: &str) -> Vec<Box<str>> {
        words(&word(text, 0).unwrap().unwrap().text).unwrap()
    }

    /// What keepalived 2.2.7 makes of the same texts.
    #[test]
    fn commands_are_divided_twice() {
        for (text, expected) in [
            (r#""/bin/echo \"a b\" c""#, &["/bin/echo", "a b", "c"][..]),
            (r#""/bin/echo 'a b' c" root"#, &["/bin/echo", "a b", "c"]),
            (r"/bin/echo\ x root", &["/bin/echo", "x"]),
            (r#"/bin/echo" x y" root"#, &["/bin/echo", "x", "y"]),
            ("'/bin/echo x y' root", &["/bin/echo", "x", "y"]),
            (r#""/bin/echo \\ \x41\101""#, &["/bin/echo", " AA"]),
            (r#""/bin/echo '' a""#, &["/bin/echo", "", "a"]),
            (r#""/bin/echo a\tb""#, &["/bin/echo", "a", "b"]),
        ] {
            let found = twice(text);
            assert_eq!(found.iter().map(|word| &**word).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_found() {
        assert_eq!(word("a 'b", 1), Err(Broken::Quote(2, '\'')));
        assert!(matches!(word(r"a\", 0), Err(Broken::Escape(1, _))));
        assert!(matches!(word(r"\xg", 0), Err(Broken::Escape(0, _))));
        assert_eq!(word("  ", 0), Ok(None));
    }

    #[test]
    fn quoting_can_be_undone() {
        for text in ["", "a b", "a\"b\\c'd", "\t\n\x1b\u{e9}#{}!$X", "\\101", "1\x011"] {
            assert_eq!(
                word(&quoted(text), 0).unwrap().map(|piece| piece.text),
                Some(text.to_owned())
            );
            assert!(!quoted(text)[1..quoted(text).len() - 1].contains('"'));
        }
    }
}
