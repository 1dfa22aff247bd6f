//! [`nearest`]: which of the known words somebody meant who wrote another.

/// Longest word that is compared, in characters: no word of a policy is half as long.
const WORD_MAX: usize = 64;

/// The known word that differs least from this one, if it differs little: in a third of its
/// letters at most. Case, hyphens and underscores are no difference; two letters that changed
/// places are one.
#[must_use]
pub fn nearest<'k>(got: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let got = letters(got);
    if got.is_empty() || got.len() > WORD_MAX {
        return None;
    }
    let near = known.into_iter().filter_map(|word| {
        let wanted = letters(word);
        let far = (wanted.len().min(got.len()) / 3).max(1);
        (wanted.len() <= WORD_MAX && wanted.len().abs_diff(got.len()) <= far)
            .then(|| (distance(&got, &wanted), word))
            .filter(|(distance, _)| *distance <= far)
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// In how many letters two texts differ.
pub(in crate::policy) fn differences(one: &str, other: &str) -> usize {
    distance(&letters(one), &letters(other))
}

fn letters(word: &str) -> Vec<char> {
    let shown = word.chars().filter(|c| !matches!(c, '-' | '_' | ' '));
    shown.flat_map(char::to_lowercase).take(WORD_MAX + 1).collect()
}

/// How many letters have to be put in, left out, replaced or swapped with their neighbour (optimal
/// string alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in one.iter().enumerate() {
        let mut row = vec![n + 1];
        for (m, b) in other.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let changed = at(&last, m).saturating_add(usize::from(a != b));
            let mut least = changed.min(at(&last, m + 1).saturating_add(1));
            least = least.min(at(&row, m).saturating_add(1));
            let swapped =
                n > 0 && m > 0 && one.get(n - 1) == Some(b) && other.get(m - 1) == Some(a);
            if swapped {
                least = least.min(at(&before, m - 1).saturating_add(1));
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 5] = ["images", "exclude", "namespaces", "action", "require"];

    #[test]
    fn what_was_likely_meant_is_found() {
        for (got, meant) in [
            ("imagse", Some("images")),
            ("image", Some("images")),
            ("IMAGES", Some("images")),
            ("name-spaces", Some("namespaces")),
            ("namespace", Some("namespaces")),
            ("requires", Some("require")),
            ("exlude", Some("exclude")),
            ("actoin", Some("action")),
            ("", None),
            ("verify", None),
            ("x", None),
        ] {
            assert_eq!(nearest(got, WORDS), meant, "{got}");
        }
        assert_eq!(nearest(&"a".repeat(1000), WORDS), None);
    }

    #[test]
    fn a_swap_is_one_difference() {
        let of = |one: &str, other: &str| distance(&letters(one), &letters(other));
        assert_eq!((of("ab", "ba"), of("abc", "abc"), of("", "ab"), of("ab", "")), (1, 0, 2, 2));
        assert_eq!(of("kitten", "sitting"), 3);
    }
}
