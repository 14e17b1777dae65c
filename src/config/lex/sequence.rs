//! `~SEQ`, `~SEQx` and `~LST`: a line repeated with changing values.

use std::rc::Rc;

/// Names and the values they take, one step after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The names that are set in each step.
    pub(super) names: Vec<Rc<str>>,
    values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    Numbers {
        next: Option<i64>,
        step: i64,
        end: i64,
        hex: bool,
    },
    /// Rows of values, each as long as the names, last row first.
    Rows(Vec<Vec<Box<str>>>),
}

/// How a line that begins with `~` is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What the sequence is called: `SEQ`, `SEQx` or `LST`.
    pub(super) hex: bool,
    /// Whether it is a list.
    pub(super) list: bool,
    /// The first byte after the opening parenthesis.
    pub(super) inside: usize,
    /// The closing parenthesis.
    pub(super) close: usize,
}

/// Finds the parts of `~SEQ(…) rest`; `Ok(None)` if the line begins otherwise.
pub(super) fn head(text: &str) -> Result<Option<Head>, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(None) };
    let (list, hex, word) = match rest {
        _ if rest.starts_with("SEQx(") => (false, true, 4),
        _ if rest.starts_with("SEQ(") => (false, false, 3),
        _ if rest.starts_with("LST(") => (true, false, 3),
        _ => return Ok(None),
    };
    let inside = word + 2;
    match text[inside..].find(')') {
        Some(length) => Ok(Some(Head { hex, list, inside, close: inside + length })),
        None => Err("the `)` is missing".to_owned()),
    }
}

impl Sequence {
    /// Reads what stands between the parentheses.
    pub(super) fn parse(head: &Head, inside: &str) -> Result<Sequence, String> {
        if head.list { parse_list(inside) } else { parse_numbers(inside, head.hex) }
    }

    /// The values of the next step, one for each name.
    pub(super) fn step(&mut self) -> Option<Vec<Box<str>>> {
        match &mut self.values {
            Values::Numbers { next, step, end, hex } => {
                let value = (*next)?;
                let ended = if *step > 0 { value > *end } else { value < *end };
                if ended {
                    return None;
                }
                *next = value.checked_add(*step);
                let text = match (*hex, value < 0) {
                    (false, _) => value.to_string(),
                    (true, false) => format!("{value:x}"),
                    (true, true) => format!("-{:x}", value.unsigned_abs()),
                };
                Some(vec![text.into_boxed_str()])
            }
            Values::Rows(rows) => rows.pop(),
        }
    }
}

/// `NAME[, START[, STEP]], END`.
fn parse_numbers(inside: &str, hex: bool) -> Result<Sequence, String> {
    let mut words = inside.split(',').map(str::trim);
    let name = words.next().unwrap_or_default();
    check_name(name)?;
    let numbers: Vec<i64> = words.map(number).collect::<Result<_, _>>()?;
    let (start, step, end) = match numbers[..] {
        [end] => (if end < 0 { -1 } else { 1 }, None, end),
        [start, end] => (start, None, end),
        [start, step, end] => (start, Some(step), end),
        _ => return Err("it needs a name and one to three numbers".to_owned()),
    };
    let step = step.unwrap_or(if end < start { -1 } else { 1 });
    if step == 0 {
        return Err("a step of 0 never reaches the end".to_owned());
    }
    let values = Values::Numbers { next: Some(start), step, end, hex };
    Ok(Sequence { names: vec![name.into()], values })
}

/// `NAME, VALUE…` or `{NAME, NAME…}, {VALUE, VALUE…}…`.
fn parse_list(inside: &str) -> Result<Sequence, String> {
    let mut rows = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (row, after) = match rest.strip_prefix('{') {
            Some(braced) => {
                let (row, after) = braced.split_once('}').ok_or("a `}` is missing")?;
                (row.split(',').map(str::trim).map(Box::from).collect(), after.trim_start())
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (vec![Box::from(rest[..end].trim())], &rest[end..])
            }
        };
        rows.push(row);
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(format!("a comma is missing before `{after}`")),
        };
    }
    let mut rows: Vec<Vec<Box<str>>> = rows;
    if rows.len() < 2 {
        return Err("it needs a name and at least one value".to_owned());
    }
    let names = rows.remove(0);
    for name in &names {
        check_name(name)?;
    }
    if let Some(row) = rows.iter().find(|row| row.len() != names.len()) {
        let (has, wants) = (row.len(), names.len());
        return Err(format!("{{{}}} has {has} values for {wants} names", row.join(", ")));
    }
    rows.reverse();
    let names = names.iter().map(|name| Rc::from(&**name)).collect();
    Ok(Sequence { names, values: Values::Rows(rows) })
}

fn check_name(name: &str) -> Result<(), String> {
    if super::define::is_name(name) {
        Ok(())
    } else {
        Err(format!("`{name}` isn't a name (letters, digits and `_`, no digit first)"))
    }
}

/// A decimal or `0x` hexadecimal number.
fn number(word: &str) -> Result<i64, String> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    match parsed {
        Ok(number) if !digits.starts_with('+') => Ok(sign * i64::from(number)),
        _ => Err(format!("`{word}` isn't a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<String>, String> {
        let head = head(text)?.ok_or("no sequence")?;
        let mut sequence = Sequence::parse(&head, &text[head.inside..head.close])?;
        let steps = std::iter::from_fn(|| sequence.step());
        Ok(steps.take(100).map(|row| row.join("/")).collect())
    }

    #[test]
    fn numbers_count_up_and_down() {
        assert_eq!(all("~SEQ(A, 0, 3) x").unwrap(), ["0", "1", "2", "3"]);
        assert_eq!(all("~SEQ(A,3)").unwrap(), ["1", "2", "3"]);
        assert_eq!(all("~SEQ(A,-3)").unwrap(), ["-1", "-2", "-3"]);
        assert_eq!(all("~SEQ(A,168,2,172)").unwrap(), ["168", "170", "172"]);
        assert_eq!(all("~SEQ(A,2,0)").unwrap(), ["2", "1", "0"]);
        assert_eq!(all("~SEQx(A,0x12,-1,0x0f)").unwrap(), ["12", "11", "10", "f"]);
        assert_eq!(all("~SEQ(A,5,1,4)").unwrap(), [""; 0]);
    }

    #[test]
    fn lists_set_one_name_or_several() {
        assert_eq!(all("~LST(A, 1, 2,x)").unwrap(), ["1", "2", "x"]);
        assert_eq!(all("~LST({A, B}, {10,1},{20,4})").unwrap(), ["10/1", "20/4"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("~SEQ(A,1,0,2)", "step of 0"),
            ("~SEQ(A)", "one to three numbers"),
            ("~SEQ(A,x)", "`x` isn't a number"),
            ("~SEQ(1,2)", "`1` isn't a name"),
            ("~SEQ(A,1", "`)` is missing"),
            ("~LST(A)", "at least one value"),
            ("~LST({A,B},{1})", "{1} has 1 values for 2 names"),
            ("~LST({A,B},{1,2}x)", "comma is missing"),
        ] {
            assert!(all(text).unwrap_err().contains(says), "{text}: {:?}", all(text));
        }
    }
}
