//! [`Timestamp`] and [`DecisionId`]: when, and which. Both sort as text in the order in which they
//! were made.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The first millisecond that a stamp can have. The calendar is jiff's civil one, whose last
/// millisecond is ours too: its `Timestamp` ends 26 hours before.
const FIRST: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// The last millisecond of the year 9999: RFC 3339 has four digits for the year.
const LAST: u64 = 253_402_300_799_999;

/// A point in time in milliseconds since 1970-01-01 UTC; as text RFC 3339, always
/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// Names one decision: `<milliseconds, 12 hex>-<counter, 8 hex>-<random per start of the log, 8
/// hex>`.
///
/// Ids of one log sort in the order in which they were given out, also when the clock was set back
/// meanwhile; two starts within one millisecond differ in the random part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId {
    millis: u64,
    count: u32,
    boot: u32,
}

/// Gives out ids, each greater than the one before.
#[derive(Debug)]
pub(in crate::audit) struct Ids {
    last: u64,
    count: u32,
    boot: u32,
}

/// The text is not a timestamp, or not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampError;

impl Timestamp {
    /// The point in time this long after 1970-01-01 UTC; the year 9999 is the last.
    #[must_use]
    pub fn from_unix(since: Duration) -> Self {
        Self(u64::try_from(since.as_millis()).unwrap_or(LAST).min(LAST))
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }
}

impl DecisionId {
    /// When it was given out.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        Timestamp(self.millis)
    }
}

impl Ids {
    pub(in crate::audit) const fn new(boot: u32) -> Self {
        Self { last: 0, count: 0, boot }
    }

    /// The next id is of the time that it is given out at, whatever those before it were.
    pub(in crate::audit) const fn restart(&mut self) {
        self.last = 0;
    }

    pub(in crate::audit) fn next(&mut self, now: Duration) -> DecisionId {
        let count = self.count.wrapping_add(1);
        // After 2^32 ids the counter starts again; a later millisecond keeps the order.
        let floor = if count == 0 { self.last + 1 } else { self.last };
        self.last = Timestamp::from_unix(now).0.max(floor);
        self.count = count;
        DecisionId { millis: self.last, count, boot: self.boot }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = FIRST.checked_add(Duration::from_millis(self.0)).unwrap_or(DateTime::MAX);
        write!(f, "{civil:.3}Z")
    }
}

impl FromStr for Timestamp {
    type Err = StampError;

    /// Reads RFC 3339 in UTC (`Z`), from `2026-01-02` through minutes and seconds to milliseconds.
    fn from_str(text: &str) -> Result<Self, StampError> {
        let (date_text, time_text) = text.split_once('T').unwrap_or((text, "00:00Z"));
        let [year, month, day] = numbers::<3>(date_text, '-', &[4, 2, 2])?;
        let clock = time_text.strip_suffix('Z').ok_or(StampError)?;
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "000"));
        let [hour, minute, second] = match whole.len() {
            5 => numbers::<2>(whole, ':', &[2, 2]).map(|[hour, minute]| [hour, minute, 0])?,
            _ => numbers::<3>(whole, ':', &[2, 2, 2])?,
        };
        let [milli] = numbers::<1>(fraction, '.', &[3])?;
        let narrow = |number: u64| i8::try_from(number).map_err(|_| StampError);
        let civil = DateTime::new(
            i16::try_from(year).map_err(|_| StampError)?,
            narrow(month)?,
            narrow(day)?,
            narrow(hour)?,
            narrow(minute)?,
            narrow(second)?,
            i32::try_from(milli * 1_000_000).map_err(|_| StampError)?,
        )
        .map_err(|_| StampError)?;
        let since = civil.duration_since(FIRST).as_millis();
        u64::try_from(since).map(Self).map_err(|_| StampError)
    }
}

/// Exactly `N` decimal numbers, each with its number of digits.
fn numbers<const N: usize>(
    text: &str,
    separator: char,
    digits: &[usize; N],
) -> Result<[u64; N], StampError> {
    let mut out = [0; N];
    let mut parts = text.split(separator);
    for (slot, width) in out.iter_mut().zip(digits) {
        let part = parts.next().ok_or(StampError)?;
        if part.len() != *width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(StampError);
        }
        *slot = part.parse().map_err(|_| StampError)?;
    }
    if parts.next().is_some() { Err(StampError) } else { Ok(out) }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}-{:08x}-{:08x}", self.millis, self.count, self.boot)
    }
}

impl FromStr for DecisionId {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, StampError> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(StampError)?;
            if part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                u64::from_str_radix(part, 16).map_err(|_| StampError)
            } else {
                Err(StampError)
            }
        };
        let narrow = |wide: u64| u32::try_from(wide).map_err(|_| StampError);
        let id = Self { millis: hex(12)?, count: narrow(hex(8)?)?, boot: narrow(hex(8)?)? };
        if parts.next().is_some() || id.millis > LAST { Err(StampError) } else { Ok(id) }
    }
}

impl fmt::Display for StampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected a UTC time like 2026-01-02T15:04:05.678Z, or a decision id as the log shows \
             it",
        )
    }
}

impl std::error::Error for StampError {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_582_934_400, "2020-02-29T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            let stamp = Timestamp::from_unix(Duration::from_secs(seconds));
            assert_eq!(stamp.to_string(), text);
            assert_eq!(text.parse(), Ok(stamp));
        }
        assert_eq!(Timestamp::from_unix(Duration::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn shorter_forms_are_read_and_wrong_ones_are_not() {
        let midnight: Timestamp = "2026-02-03".parse().unwrap();
        assert_eq!(midnight.to_string(), "2026-02-03T00:00:00.000Z");
        assert_eq!("2026-02-03T00:00Z".parse(), Ok(midnight));
        assert_eq!("2026-02-03T00:00:00Z".parse(), Ok(midnight));
        for wrong in [
            "",
            "2026",
            "2026-02-30",
            "2025-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-01T24:00Z",
            "2026-01-01T00:60Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01T00:00:00.1Z",
            "1969-12-31",
            "+026-01-01",
            "2026-01-01-01",
            "0000-01-01",
            "0000-03-01",
        ] {
            assert_eq!(wrong.parse::<Timestamp>(), Err(StampError), "{wrong}");
        }
    }

    #[test]
    fn ids_sort_as_given_out_whatever_the_clock_does() {
        let mut ids = Ids::new(7);
        let times = [5, 5, 9, 3, 0, 10];
        let given: Vec<_> = times.iter().map(|ms| ids.next(Duration::from_millis(*ms))).collect();
        assert!(given.is_sorted());
        let texts: Vec<_> = given.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
        assert_eq!(texts[0], "000000000005-00000001-00000007");
        ids.count = u32::MAX;
        let wrapped = ids.next(Duration::ZERO);
        assert!(wrapped > given[5], "the counter began again, the order did not");
        for (id, text) in given.iter().zip(&texts) {
            assert_eq!(text.parse(), Ok(*id));
        }
        for wrong in [
            "",
            "5-1-7",
            "000000000005-00000001",
            "000000000005-00000001-0000000G",
            "+00000000005-00000001-00000007",
        ] {
            assert_eq!(wrong.parse::<DecisionId>(), Err(StampError), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn text_and_time_are_one(millis in 0..=LAST) {
            let stamp = Timestamp(millis);
            proptest::prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }
    }
}
