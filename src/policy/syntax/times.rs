//! Moments and ages as policies write them: RFC 3339, and `90d`, `12h`, `30m`.

use super::error::PolicyFault;
use super::fields::{At, Reader};

/// Longest age, in seconds: ten years. Longer than any signature is worth something, and far from
/// overflow.
const AGE_MAX: i64 = 3650 * 24 * 60 * 60;

/// A moment: date, time and offset, all written.
pub(in crate::policy) fn moment(at: &At<'_>, reader: &mut Reader) -> Option<jiff::Timestamp> {
    let text = reader.text(at)?;
    let time = is_rfc3339(text).then(|| text.parse().ok()).flatten();
    if time.is_none() {
        reader.fault(at, PolicyFault::Time { got: text.to_owned() });
    }
    time
}

/// An age above zero.
pub(in crate::policy) fn age(at: &At<'_>, reader: &mut Reader) -> Option<jiff::SignedDuration> {
    let text = reader.text(at)?;
    let seconds = seconds(text).filter(|seconds| (1..=AGE_MAX).contains(seconds));
    if seconds.is_none() {
        reader.fault(at, PolicyFault::Age { got: text.to_owned() });
    }
    seconds.map(jiff::SignedDuration::from_secs)
}

/// Serialises a moment as it is written.
pub(in crate::policy) fn display<S: serde::Serializer>(
    time: &jiff::Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "d" => 24 * 60 * 60,
        "h" => 60 * 60,
        "m" => 60,
        _ => return None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    digits.then(|| number.parse::<i64>().ok()).flatten()?.checked_mul(unit)
}

/// Whether it has the shape of RFC 3339 section 5.6: the parser takes more than that, and what it
/// takes a reader may take for something else.
fn is_rfc3339(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let (clock, offset) = match time.strip_suffix('Z') {
        Some(clock) => (clock, "00:00"),
        None => match time.rfind(['+', '-']).and_then(|n| time.split_at_checked(n)) {
            Some((clock, offset)) => (clock, offset.get(1..).unwrap_or_default()),
            None => return false,
        },
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let shaped = |text: &str, by: char, lengths: &[usize]| {
        text.split(by).map(str::len).eq(lengths.iter().copied())
            && text.chars().all(|c| c == by || c.is_ascii_digit())
    };
    shaped(date, '-', &[4, 2, 2])
        && shaped(clock, ':', &[2, 2, 2])
        && shaped(offset, ':', &[2, 2])
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_and_nothing_else() {
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:00+02:00",
            "2026-01-01T00:00:00.123456789-11:30",
        ] {
            assert!(is_rfc3339(text) && text.parse::<jiff::Timestamp>().is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00Z[UTC]",
            "2026-01-01T00:00:00+02",
            "2026-01-01T00:00:00+0200",
            "20260101T000000Z",
            "+002026-01-01T00:00:00Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "T00:00:00Z",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }

    #[test]
    fn ages() {
        assert_eq!(seconds("90d"), Some(90 * 86400));
        assert_eq!(seconds("12h"), Some(12 * 3600));
        assert_eq!(seconds("30m"), Some(1800));
        for text in [
            "", "d", "0d", "-1d", "+1d", "1.5d", "90", "90s", "90 d", "90D", "1d12h", "1w", "1y",
            "\u{661}d", "01d",
        ] {
            assert_eq!(seconds(text).filter(|seconds| *seconds > 0), None, "{text}");
        }
        assert_eq!(seconds("9223372036854775807d"), None);
    }
}
