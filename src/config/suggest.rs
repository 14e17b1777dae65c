//! The nearest known word to one that isn't known.

/// The candidate that `word` was most likely meant to be, if one is near enough.
///
/// Near means: at most a third of the letters differ (at least one may), counting insertions,
/// deletions, replacements and swaps of neighbours; case and `-` for `_` count as nothing.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let plain = |text: &str| -> Vec<char> {
        text.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let wanted = plain(word);
    let allowed = (wanted.len() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters = plain(candidate);
        if letters.len().abs_diff(wanted.len()) > allowed {
            continue;
        }
        let far = distance(&wanted, &letters);
        // Replacing every letter of a short word suggests nothing.
        if far <= allowed && far < wanted.len() && best.is_none_or(|(least, _)| far < least) {
            best = Some((far, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// No keyword is nearly as long.
const MAX_WORD: usize = 64;

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &other) in b.iter().enumerate() {
            let mut cost = last[j] + usize::from(letter != other);
            cost = cost.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && letter == b[j - 1] && a[i - 1] == other {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_word() {
        let words = ["priority", "interface", "virtual_router_id", "state", "nopreempt"];
        let near = |word| nearest(word, words.into_iter());
        assert_eq!(near("prioritty"), Some("priority"));
        assert_eq!(near("pirority"), Some("priority"));
        assert_eq!(near("Interface"), Some("interface"));
        assert_eq!(near("virtual-router-id"), Some("virtual_router_id"));
        assert_eq!(near("no_preempt"), Some("nopreempt"));
        assert_eq!(near("x"), None);
        assert_eq!(near("frobnicate"), None);
        assert_eq!(near(&"x".repeat(1000)), None);
    }
}
