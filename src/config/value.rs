//! **From words to values.** Every refusal says what was found, what was expected, and a way out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::diagnostic::{Code, codes};
use super::keywords::Kind;
use super::model::Datum;
use super::suggest::nearest;
use crate::base::Span;

/// Why a word isn't a value.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its kind.
    pub(crate) code: &'static Code,
    /// What is wrong with the word.
    pub(crate) message: String,
    /// What would be right; may be empty.
    pub(crate) expected: String,
    /// A way out, if there is one to tell.
    pub(crate) help: Option<String>,
}

impl Refused {
    fn new(code: &'static Code, message: String, expected: impl Into<String>) -> Self {
        Refused { code, message, expected: expected.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The value that `word` is, if it is one of `kind`.
pub(crate) fn parse(kind: Kind, word: &str) -> Result<Datum, Refused> {
    parse_as_it_stands(kind, word).map_err(|mut refused| {
        let bare = word.trim_end_matches([',', ';']);
        if bare != word && parse_as_it_stands(kind, bare).is_ok() {
            let sign = &word[bare.len()..];
            refused.help = Some(format!("write `{bare}`: no `{sign}` ends a value here"));
        }
        refused
    })
}

fn parse_as_it_stands(kind: Kind, word: &str) -> Result<Datum, Refused> {
    match kind {
        Kind::Int(min, max, unit) => int(word, min, max, unit).map(Datum::Int),
        Kind::Seconds(min, max) => seconds(word, min, max).map(Datum::Time),
        Kind::Bool => bool_word(word),
        Kind::Word => Ok(Datum::Text(word.into())),
        Kind::Interface => name(word, "an interface name", 15, true),
        Kind::Label => name(word, "an address label", 15, false),
        Kind::Ipv4 | Kind::Ipv6 | Kind::Ip => ip(word, kind).map(Datum::Ip),
        Kind::Prefix => prefix(word),
        Kind::Choice(words) => choice(word, words),
        Kind::Broadcast => match word {
            "+" => Ok(Datum::HostBits(true)),
            "-" => Ok(Datum::HostBits(false)),
            _ => ip(word, Kind::Ipv4).map(Datum::Ip),
        },
        Kind::Scope => scope(word),
        Kind::Millis(min, max) => millis(word, min, max).map(Datum::Time),
        Kind::Lifetime if word == "forever" => Ok(Datum::Choice("forever")),
        Kind::Lifetime => int(word, 0, 4_294_967_295, "seconds").map(Datum::Int),
        Kind::Mac => mac(word).ok_or_else(|| no(word, kind)),
        Kind::VmacName if mac(word).is_some() || FOLLOWS_VMAC.contains(&word) => {
            Err(no(word, kind))
        }
        Kind::VmacName if prefix(word).is_ok() => Err(no(word, kind)),
        Kind::VmacName => name(word, "an interface name", 15, true),
        Kind::Keyed(key) if word == key => Ok(Datum::Choice(key)),
        Kind::Net => match NETS.iter().find(|net| **net == word) {
            Some(net) => Ok(Datum::Choice(net)),
            None => prefix(word),
        },
        Kind::RxPolicy => match ["MTU", "ADVERT"].into_iter().find(|policy| *policy == word) {
            Some(policy) => Ok(Datum::Choice(policy)),
            None => {
                int(word, 1, 4_294_967_295, "bytes").map(Datum::Int).map_err(|_| no(word, kind))
            }
        },
        Kind::Range if is_range(word) => Ok(Datum::Text(word.into())),
        Kind::Mark if is_mark(word) => Ok(Datum::Text(word.into())),
        Kind::Labels
            if split_all(word, '/', |part| part.parse::<u32>().is_ok_and(|n| n < 1 << 20)) =>
        {
            Ok(Datum::Text(word.into()))
        }
        Kind::RouteTime if is_route_time(word) => Ok(Datum::Text(word.into())),
        Kind::Umask if is_umask(word) => Ok(Datum::Text(word.into())),
        Kind::IncludeCheck => {
            let plain = word.strip_prefix(['+', '-']).unwrap_or(word);
            match INCLUDE_CHECKS.contains(&plain) {
                true => Ok(Datum::Text(word.into())),
                false => Err(no(word, kind)),
            }
        }
        Kind::Keyed(_)
        | Kind::Range
        | Kind::Mark
        | Kind::Labels
        | Kind::RouteTime
        | Kind::Umask => Err(no(word, kind)),
    }
}

/// What may follow use_vmac and use_ipvlan besides a name.
const FOLLOWS_VMAC: [&str; 5] = ["netlink_notify_msg", "group", "bridge", "private", "vepa"];
/// Words for destinations that hold everything.
const NETS: [&str; 4] = ["default", "any", "all", "default6"];
/// Words of include_check.
const INCLUDE_CHECKS: [&str; 5] = ["readable", "read", "match", "wildcard_match", "brace_match"];

/// The refusal of a word that isn't of a kind.
fn no(word: &str, kind: Kind) -> Refused {
    let message = format!("`{word}` isn't possible here");
    Refused::new(codes::BAD_WORD, message, expected(kind))
}

/// What is expected of a kind, in words: `a number from 1 to 255`.
pub(crate) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Int(min, max, unit) => int_expected(min, max, unit),
        Kind::Seconds(min, max) => seconds_expected(min, max),
        Kind::Bool => "on, true, yes, off, false or no".to_owned(),
        Kind::Word => "a word".to_owned(),
        Kind::Interface => "the name of an interface".to_owned(),
        Kind::Label => "a label such as eth0:1".to_owned(),
        Kind::Ipv4 => "an IPv4 address".to_owned(),
        Kind::Ipv6 => "an IPv6 address".to_owned(),
        Kind::Ip => "an IPv4 or IPv6 address".to_owned(),
        Kind::Prefix => "an address such as 192.0.2.1/24 or 2001:db8::1/64".to_owned(),
        Kind::Choice(words) => alternatives(words),
        Kind::Broadcast => "an IPv4 address, + or -".to_owned(),
        Kind::Scope => "global, site, link, host, nowhere or a number from 0 to 255".to_owned(),
        Kind::Millis(min, max) => {
            let shown = |micros| Span::from_micros(micros).times(1000).to_string();
            format!("a number of milliseconds from {} to {}", shown(min), shown(max))
        }
        Kind::Lifetime => "a number of seconds or forever".to_owned(),
        Kind::Mac => "an Ethernet address such as 00:00:5e:00:01:33".to_owned(),
        Kind::VmacName => "the name of an interface to make".to_owned(),
        Kind::Keyed(word) => format!("{word} and a name"),
        Kind::Net => "a destination such as 192.0.2.0/24, or default".to_owned(),
        Kind::Range => "a number, or two with - between them".to_owned(),
        Kind::Mark => "a mark such as 5 or 0x10/0xff".to_owned(),
        Kind::Labels => "labels such as 100/200".to_owned(),
        Kind::RouteTime => "a number of milliseconds, or a time such as 20ms or 1s".to_owned(),
        Kind::RxPolicy => "MTU, ADVERT or a number of bytes".to_owned(),
        Kind::Umask => "a number such as 0177, or bits such as IRWXG|IRWXO".to_owned(),
        Kind::IncludeCheck => alternatives(&INCLUDE_CHECKS),
    }
}

/// `a, b or c`.
pub(crate) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn int_expected(min: i64, max: i64, unit: &str) -> String {
    let of = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    match (min, max) {
        (0, i64::MAX..) => format!("a whole number{of}"),
        _ if max == min + 1 => format!("{min} or {max}{of}"),
        (_, 2_147_483_647..) => format!("a whole number of at least {min}{of}"),
        _ => format!("a whole number from {min} to {max}{of}"),
    }
}

fn int(word: &str, min: i64, max: i64, unit: &str) -> Result<i64, Refused> {
    let expected = int_expected(min, max, unit);
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = if word.is_empty() {
            "an empty word isn't a number".to_owned()
        } else {
            format!("`{word}` isn't a whole number")
        };
        let mut refused = Refused::new(codes::NOT_A_NUMBER, message, expected);
        let number: String = digits.chars().take_while(char::is_ascii_digit).collect();
        if !number.is_empty() && digits[number.len()..].chars().all(char::is_alphabetic) {
            refused = refused.help(format!("write the number alone: `{number}`"));
        }
        return Err(refused);
    }
    let number = word.parse::<i64>().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| {
        let message = format!("`{word}` is out of range");
        Refused::new(codes::OUT_OF_RANGE, message, expected)
    })
}

fn seconds_expected(min: u64, max: u64) -> String {
    let shown = |micros| Span::from_micros(micros).to_string();
    format!("a number of seconds from {} to {}", shown(min), shown(max))
}

/// Seconds with up to six decimals; more decimals are refused unless they are zeros.
fn seconds(word: &str, min: u64, max: u64) -> Result<Span, Refused> {
    let expected = seconds_expected(min, max);
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        if let Some(positive) = word.strip_prefix('-')
            && seconds(positive, 0, u64::MAX / 1_000).is_ok()
        {
            let message = format!("`{word}` is negative");
            return Err(Refused::new(codes::OUT_OF_RANGE, message, expected));
        }
        let message = format!("`{word}` isn't a time in seconds");
        let mut refused = Refused::new(codes::NOT_A_TIME, message, expected);
        for (unit, scale) in [("ms", "0.001"), ("us", "0.000001"), ("s", "1"), ("sec", "1")] {
            if let Some(number) = word.strip_suffix(unit)
                && !number.is_empty()
                && is_number(number)
            {
                refused = refused.help(match scale {
                    "1" => format!("times are in seconds already: write `{number}`"),
                    _ => format!("times are in seconds: multiply by {scale}"),
                });
                break;
            }
        }
        return Err(refused);
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    if rest.bytes().any(|byte| byte != b'0') {
        let message = format!("`{word}` has more than six decimals");
        return Err(Refused::new(codes::NOT_A_TIME, message, expected)
            .help("times are kept in microseconds: leave out the decimals after the sixth"));
    }
    let micros = || -> Option<u64> {
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part: u64 = if kept.is_empty() { 0 } else { format!("{kept:0<6}").parse().ok()? };
        whole.checked_mul(1_000_000)?.checked_add(part)
    };
    match micros().filter(|micros| (min..=max).contains(micros)) {
        Some(micros) => Ok(Span::from_micros(micros)),
        None => {
            let message = format!("`{word}` is out of range");
            Err(Refused::new(codes::OUT_OF_RANGE, message, expected))
        }
    }
}

/// The value of a word that means yes or no.
pub(crate) fn bool_of(word: &str) -> Option<bool> {
    match word {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn bool_word(word: &str) -> Result<Datum, Refused> {
    bool_of(word).map(Datum::Bool).ok_or_else(|| {
        let message = format!("`{word}` is neither yes nor no");
        Refused::new(codes::BAD_CHOICE, message, expected(Kind::Bool))
    })
}

fn choice(word: &str, words: &'static [&'static str]) -> Result<Datum, Refused> {
    if let Some(found) = words.iter().find(|candidate| **candidate == word) {
        return Ok(Datum::Choice(found));
    }
    let message = format!("`{word}` isn't possible here");
    let refused = Refused::new(codes::BAD_CHOICE, message, alternatives(words));
    Err(match nearest(word, words.iter().copied()) {
        Some(near) => refused.help(format!("did you mean `{near}`?")),
        None => refused,
    })
}

fn name(word: &str, what: &str, longest: usize, is_interface: bool) -> Result<Datum, Refused> {
    let problem = if word.is_empty() {
        "it is empty".to_owned()
    } else if word.len() > longest {
        format!("it has {} bytes, the kernel allows {longest}", word.len())
    } else if is_interface && (word == "." || word == ".." || word.contains('/')) {
        "it holds a `/`, or is only dots".to_owned()
    } else if word.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "it holds a blank".to_owned()
    } else {
        return Ok(Datum::Text(word.into()));
    };
    let message = format!("`{word}` can't be {what}: {problem}");
    Err(Refused::new(codes::BAD_WORD, message, format!("at most {longest} bytes without blanks")))
}

/// An address of the wanted family.
fn ip(word: &str, kind: Kind) -> Result<IpAddr, Refused> {
    let refused = |why: String| {
        let message = format!("`{word}` isn't an address{why}");
        Refused::new(codes::BAD_ADDRESS, message, expected(kind))
    };
    let found: IpAddr = if let Ok(four) = word.parse::<Ipv4Addr>() {
        IpAddr::V4(four)
    } else if let Ok(six) = word.parse::<Ipv6Addr>() {
        IpAddr::V6(six)
    } else {
        let refused = refused(why_no_address(word));
        return Err(match word.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                refused.help(format!("no prefix length is wanted here: write `{address}`"))
            }
            _ => refused,
        });
    };
    match (kind, found) {
        (Kind::Ipv4, IpAddr::V6(_)) => Err(refused(" of IPv4".to_owned())),
        (Kind::Ipv6, IpAddr::V4(_)) => Err(refused(" of IPv6".to_owned())),
        _ => Ok(found),
    }
}

fn prefix(word: &str) -> Result<Datum, Refused> {
    let (address, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (word, None),
    };
    let found = match address.parse::<IpAddr>() {
        Ok(found) => found,
        Err(_) => {
            let message = format!("`{word}` isn't an address{}", why_no_address(address));
            return Err(Refused::new(codes::BAD_ADDRESS, message, expected(Kind::Prefix)));
        }
    };
    let Some(length) = length else { return Ok(Datum::Prefix(found, None)) };
    let longest = if found.is_ipv4() { 32 } else { 128 };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match length.parse::<u8>().ok().filter(|length| digits && *length <= longest) {
        Some(length) => Ok(Datum::Prefix(found, Some(length))),
        None => {
            let message =
                format!("`{word}` isn't an address: its prefix length can't be `{length}`");
            let expected = format!("`/` and a number from 0 to {longest}");
            let refused = Refused::new(codes::BAD_ADDRESS, message, expected);
            Err(match length.parse::<Ipv4Addr>().ok().and_then(mask_length) {
                Some(bits) => refused.help(format!("write `{address}/{bits}`")),
                None => refused,
            })
        }
    }
}

/// The prefix length that a netmask such as 255.255.255.0 stands for.
fn mask_length(mask: Ipv4Addr) -> Option<u32> {
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32).then(|| bits.leading_ones())
}

/// What is wrong with a word that looks like an address.
fn why_no_address(word: &str) -> String {
    let parts: Vec<&str> = word.split('.').collect();
    let numeric = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if word.contains(':') {
        return String::new();
    }
    if let Some(large) = parts.iter().find(|part| numeric(part) && part.parse::<u8>().is_err()) {
        return format!(" ({large} is more than 255)");
    }
    if parts.len() > 1 && parts.iter().all(numeric) {
        if let Some(zeros) = parts.iter().find(|part| part.len() > 1 && part.starts_with('0')) {
            return format!(" (`{zeros}` begins with a zero)");
        }
        return format!(" (it has {} numbers, not 4)", parts.len());
    }
    if parts.len() > 1 && parts.iter().any(|part| part.is_empty()) {
        return " (a number between the dots is missing)".to_owned();
    }
    String::new()
}

/// Milliseconds with up to three decimals.
fn millis(word: &str, min: u64, max: u64) -> Result<Span, Refused> {
    let wanted = expected(Kind::Millis(min, max));
    let number = word
        .parse::<f64>()
        .ok()
        .filter(|_| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let Some(number) = number else {
        let message = format!("`{word}` isn't a time in milliseconds");
        return Err(Refused::new(codes::NOT_A_TIME, message, wanted));
    };
    let micros = (number * 1000.0).round();
    if micros < min as f64 || micros > max as f64 {
        let message = format!("`{word}` is out of range");
        return Err(Refused::new(codes::OUT_OF_RANGE, message, wanted));
    }
    Ok(Span::from_micros(micros as u64))
}

/// Six bytes of an Ethernet address, or its first five.
fn mac(word: &str) -> Option<Datum> {
    let bytes: Option<Vec<u8>> = word
        .split([':', '-'])
        .map(|part| {
            u8::from_str_radix(part, 16).ok().filter(|_| part.len() <= 2 && !part.starts_with('+'))
        })
        .collect();
    bytes.filter(|bytes| matches!(bytes.len(), 5 | 6)).map(|bytes| Datum::Mac(bytes.into()))
}

/// Whether a word consists of valid parts.
fn split_all(word: &str, separator: char, valid: impl Fn(&str) -> bool) -> bool {
    word.split(separator).all(|part| part.bytes().all(|byte| byte.is_ascii_digit()) && valid(part))
}

fn is_range(word: &str) -> bool {
    let number = |part: &str| part.parse::<u32>().ok();
    match word.split_once('-') {
        None => split_all(word, '-', |part| number(part).is_some()),
        Some((first, last)) => {
            split_all(word, '-', |part| number(part).is_some()) && number(first) <= number(last)
        }
    }
}

/// A decimal or hexadecimal number.
fn is_number(word: &str) -> bool {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).is_ok() && !hex.starts_with('+'),
        None => word.parse::<u32>().is_ok() && !word.starts_with('+'),
    }
}

fn is_mark(word: &str) -> bool {
    match word.split_once('/') {
        Some((mark, mask)) => is_number(mark) && is_number(mask),
        None => is_number(word),
    }
}

fn is_route_time(word: &str) -> bool {
    let number = word.strip_suffix("ms").or_else(|| word.strip_suffix('s')).unwrap_or(word);
    number.parse::<f64>().is_ok_and(|number| number >= 0.0)
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn is_umask(word: &str) -> bool {
    const BITS: [&str; 12] = [
        "IRUSR", "IWUSR", "IXUSR", "IRWXU", "IRGRP", "IWGRP", "IXGRP", "IRWXG", "IROTH", "IWOTH",
        "IXOTH", "IRWXO",
    ];
    is_number(word) || word.split('|').all(|bit| BITS.contains(&bit))
}

fn scope(word: &str) -> Result<Datum, Refused> {
    let known = ["global", "site", "link", "host", "nowhere"];
    if known.contains(&word) || word.parse::<u8>().is_ok() {
        return Ok(Datum::Text(word.into()));
    }
    let message = format!("`{word}` isn't a scope");
    let refused = Refused::new(codes::BAD_CHOICE, message, expected(Kind::Scope));
    Err(match nearest(word, known.into_iter()) {
        Some(near) => refused.help(format!("did you mean `{near}`?")),
        None => refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(kind: Kind, word: &str) -> String {
        match parse(kind, word) {
            Ok(datum) => format!("{datum:?}"),
            Err(refused) => {
                format!("{} {}; {}", refused.code.id, refused.message, refused.expected)
            }
        }
    }

    #[test]
    fn numbers_have_ranges() {
        let vrid = Kind::Int(1, 255, "");
        assert_eq!(says(vrid, "255"), "Int(255)");
        assert_eq!(says(vrid, "051"), "Int(51)");
        assert_eq!(says(vrid, "0"), "E032 `0` is out of range; a whole number from 1 to 255");
        assert!(says(vrid, "99999999999999999999").starts_with("E032"));
        assert!(says(vrid, "5x").starts_with("E031"));
        assert!(says(vrid, "").starts_with("E031"));
        assert_eq!(says(Kind::Int(2, 3, ""), "4"), "E032 `4` is out of range; 2 or 3");
    }

    #[test]
    fn times_are_exact_to_the_microsecond() {
        let kind = Kind::Seconds(10_000, 255_000_000);
        let time = |word| match parse(kind, word) {
            Ok(Datum::Time(time)) => time.as_micros(),
            other => panic!("{word}: {other:?}"),
        };
        assert_eq!(
            (time("1"), time("0.01"), time(".5"), time("2.")),
            (1_000_000, 10_000, 500_000, 2_000_000)
        );
        assert_eq!(time("1.0000010000"), 1_000_001);
        for word in
            ["", ".", "-1", "1s", "1,5", "0.009", "256", "1.0000001", "99999999999999999999"]
        {
            assert!(parse(kind, word).is_err(), "{word}");
        }
    }

    #[test]
    fn addresses_say_what_is_wrong_with_them() {
        assert!(says(Kind::Prefix, "10.0.0.500").contains("500 is more than 255"));
        assert!(says(Kind::Prefix, "10.0.0/24").contains("3 numbers, not 4"));
        assert!(says(Kind::Prefix, "192.168.200./24").contains("is missing"));
        assert!(says(Kind::Prefix, "10.0.0.1/33").contains("from 0 to 32"));
        assert!(says(Kind::Ip, "fe80::1::2").starts_with("E035"));
        assert!(says(Kind::Ipv4, "::1").contains("of IPv4"));
        let refused = parse(Kind::Prefix, "10.0.0.1/255.255.255.0").unwrap_err();
        assert_eq!(refused.help.unwrap(), "write `10.0.0.1/24`");
    }
}
