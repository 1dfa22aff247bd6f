//! What stands in the columns of a table: ages, digests, names, forms of evidence.

use jiff::Timestamp;

use crate::evidence::Source;
use crate::image::Digest;

/// How wide a line is at most, but for a name or digest that is longer by itself.
pub(super) const WIDTH: usize = 80;
/// Digits of a digest in a table: enough to tell images apart, and to name one to `show`.
pub(super) const SHORT: usize = 12;

/// How long ago something was, in the one unit that says most.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The first digits of a digest.
pub(super) fn short(digest: &Digest) -> String {
    digest.hex().chars().take(SHORT).collect()
}

/// At most so many characters, the beginning left out: the end of a repository says more.
pub(super) fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(length + 1 - width.max(1))).collect()
}

/// The form in which a place holds evidence, in a word.
pub(super) fn form(source: Source) -> &'static str {
    match source {
        Source::Referrers => "bundles",
        Source::FallbackTag => "bundles-tag",
        Source::SignatureTag => "signatures",
        Source::AttestationTag => "attested",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_one_unit() {
        let then: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for (now, text) in [
            ("2026-02-01T00:00:00Z", "0 s"),
            ("2026-03-01T00:00:59Z", "59 s"),
            ("2026-03-01T00:59:59Z", "59 min"),
            ("2026-03-01T23:59:59Z", "23 h"),
            ("2026-03-31T01:00:00Z", "30 d"),
        ] {
            assert_eq!(ago(now.parse().unwrap(), then), text);
        }
    }

    #[test]
    fn the_end_of_a_long_name_is_kept() {
        assert_eq!(shortened("registry.example/a", 18), "registry.example/a");
        assert_eq!(shortened("registry.example/größe", 10), "…ple/größe");
        assert_eq!(shortened("abc", 1), "…");
        assert_eq!(shortened("abc", 0), "…");
    }
}
