//! Taking comments and outer blanks off a line as it stands in a file.

use super::line::{BLANKS, Line};

/// Writes to `line` what `raw`, which stands in the source at `start`, says.
///
/// `#` and `!` begin a comment anywhere but inside `"…"`; with a backslash before them they are
/// ordinary characters, and the backslash goes.
pub(super) fn strip(raw: &str, start: u32, line: &mut Line) {
    line.clear();
    let lead = raw.len() - raw.trim_start_matches(BLANKS).len();
    line.indent = lead as u32;
    let mut from = lead;
    let mut quoted = false;
    let bytes = raw.as_bytes();
    let mut at = lead;
    let mut end = raw.len();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => quoted = !quoted,
            b'#' | b'!' if !quoted => {
                if at > from && bytes.get(at - 1) == Some(&b'\\') {
                    push(line, raw, from, at - 1, start);
                    from = at;
                } else {
                    end = at;
                    break;
                }
            }
            _ => {}
        }
        at += 1;
    }
    line.continues = end < raw.len() && raw.trim_end().ends_with('\\');
    let end = raw.get(..end).unwrap_or_default().trim_end_matches([' ', '\t', '\r', '\n']).len();
    push(line, raw, from, end, start);
}

fn push(line: &mut Line, raw: &str, from: usize, to: usize, start: u32) {
    if let Some(text) = raw.get(from..to).filter(|text| !text.is_empty()) {
        line.push_source(text, start + from as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(raw: &str) -> String {
        let mut line = Line::default();
        strip(raw, 0, &mut line);
        line.text
    }

    #[test]
    fn comments_begin_anywhere_outside_quotes() {
        for (raw, expected) in [
            ("  state MASTER  # first\r\n", "state MASTER"),
            ("! all of it", ""),
            ("auth_pass pa#ss", "auth_pass pa"),
            ("auth_pass pa\\#ss!x", "auth_pass pa#ss"),
            ("\\!x", "!x"),
            ("script \"a # b\" # c", "script \"a # b\""),
            ("script 'a # b'", "script 'a"),
            ("", ""),
            ("#", ""),
        ] {
            assert_eq!(stripped(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn places_survive_escapes() {
        let mut line = Line::default();
        strip("  a\\#b", 100, &mut line);
        assert_eq!(
            (line.text.as_str(), line.span(1..3)),
            ("a#b", (crate::config::source::TextSpan { start: 104, end: 106 }))
        );
    }
}
