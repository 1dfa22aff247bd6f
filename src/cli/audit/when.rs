//! [`moment`]: the times that people name on a command line, as `2h`, `yesterday` or `fri 18:00`.
//!
//! A day stands for its beginning, a weekday and a time of day for the latest such that has been.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

use crate::audit;

/// What is taken, for a message.
const FORMS: &str = "a time like 2h, 3d, 'yesterday', 'fri 18:00', 18:00, '2026-01-31 18:00' or \
                     2026-01-31T18:00:00Z";
/// Longest text of a time: the longest that is one has some forty bytes.
const TEXT_MAX: usize = 64;
/// Seconds of each unit.
const UNITS: [(&str, i64); 6] =
    [("s", 1), ("min", 60), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400)];
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// The moment that a text names, seen from `now` in this zone.
///
/// # Errors
/// What is taken, where it names none.
pub(in crate::cli) fn moment(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<audit::Timestamp, String> {
    let named = Some(text.trim()).filter(|text| text.len() <= TEXT_MAX);
    let found = named.and_then(|text| found(text, &now.to_zoned(zone.clone())));
    let since = found.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let since = since.ok_or_else(|| format!("expected {FORMS}"))?;
    Ok(audit::Timestamp::from_unix(Duration::from_millis(since)))
}

fn found(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let lower = text.to_ascii_lowercase();
    if lower == "now" {
        return Some(now.timestamp());
    }
    if let Some(ago) = ago(lower.strip_suffix("ago").unwrap_or(&lower)) {
        return now.timestamp().checked_sub(ago).ok();
    }
    let (day, time) = match lower.split_once([' ', 't']) {
        Some((day, time)) if day.starts_with(|c: char| c.is_ascii_digit()) => (day, Some(time)),
        Some(_) | None => match lower.split_once(' ') {
            Some((day, time)) => (day, Some(time)),
            None => (lower.as_str(), None),
        },
    };
    let midnight = || Some(Time::midnight());
    let at = |date: Date, time: Time| in_zone(date.to_datetime(time), now);
    if time.is_none()
        && let Some(time) = clock(day)
    {
        return latest(now, 1, |date| at(date, time));
    }
    let time = time.map_or_else(midnight, |time| clock(time.trim()))?;
    match day {
        "today" => at(now.date(), time),
        "yesterday" => at(now.date().checked_sub(1.day()).ok()?, time),
        _ => match weekday(day) {
            Some(wanted) => {
                let back = (7 + now.weekday().to_monday_zero_offset()
                    - wanted.to_monday_zero_offset())
                    % 7;
                let first = now.date().checked_sub(i64::from(back).days()).ok()?;
                [first, first.checked_sub(1.week()).ok()?]
                    .into_iter()
                    .filter_map(|date| at(date, time))
                    .find(|at| *at <= now.timestamp())
            }
            None => at(date(day)?, time),
        },
    }
}

/// `2h30m` as a duration.
fn ago(text: &str) -> Option<SignedDuration> {
    let (mut rest, mut seconds) = (text.trim(), 0_i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let (_, worth) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = number.parse::<i64>().ok()?.checked_mul(*worth)?;
        seconds = seconds.checked_add(part)?;
        rest = after.trim_start();
    }
    Some(SignedDuration::from_secs(seconds))
}

/// The day, going back from today, of which the moment has been.
fn latest(now: &Zoned, days: i64, at: impl Fn(Date) -> Option<Timestamp>) -> Option<Timestamp> {
    let dates = (0..=days).filter_map(|back| now.date().checked_sub(back.days()).ok());
    dates.filter_map(at).find(|at| *at <= now.timestamp())
}

/// A time of day with exactly two digits for each part.
fn clock(text: &str) -> Option<Time> {
    let is_one = matches!(text.len(), 5 | 8)
        && text.bytes().enumerate().all(|(at, byte)| match at % 3 {
            2 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    is_one.then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<Date> {
    let is_one = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_one.then(|| text.parse().ok()).flatten()
}

fn weekday(text: &str) -> Option<Weekday> {
    let is = |name: &str| text.len() >= 3 && name.starts_with(text);
    WEEKDAYS.iter().find(|(name, _)| is(name)).map(|(_, day)| *day)
}

/// Where the clocks were put forward over it, the moment as long after the gap; where they were put
/// back, the first of the two.
fn in_zone(civil: DateTime, now: &Zoned) -> Option<Timestamp> {
    now.time_zone().to_ambiguous_timestamp(civil).compatible().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wednesday.
    const NOW: &str = "2026-07-15T10:30:00Z";
    /// Two hours ahead of UTC in summer.
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn in_berlin(text: &str, now: &str) -> Option<String> {
        let zone = TimeZone::posix(BERLIN).unwrap();
        moment(text, now.parse().unwrap(), &zone).ok().map(|at| at.to_string())
    }

    #[test]
    fn people_name_times_as_they_speak() {
        for (text, at) in [
            ("now", "2026-07-15T10:30:00.000Z"),
            ("2h", "2026-07-15T08:30:00.000Z"),
            ("90min ago", "2026-07-15T09:00:00.000Z"),
            ("1d2h", "2026-07-14T08:30:00.000Z"),
            ("1w", "2026-07-08T10:30:00.000Z"),
            ("today", "2026-07-14T22:00:00.000Z"),
            ("Yesterday", "2026-07-13T22:00:00.000Z"),
            ("yesterday 18:00", "2026-07-14T16:00:00.000Z"),
            ("fri 18:00", "2026-07-10T16:00:00.000Z"),
            ("wednesday", "2026-07-14T22:00:00.000Z"),
            ("wed 12:00", "2026-07-15T10:00:00.000Z"),
            ("wed 13:00", "2026-07-08T11:00:00.000Z"),
            ("12:00", "2026-07-15T10:00:00.000Z"),
            ("12:45", "2026-07-14T10:45:00.000Z"),
            ("2026-07-01", "2026-06-30T22:00:00.000Z"),
            ("2026-07-01 08:15:30", "2026-07-01T06:15:30.000Z"),
            ("2026-01-01T08:15", "2026-01-01T07:15:00.000Z"),
            ("2026-07-01T08:15:00Z", "2026-07-01T08:15:00.000Z"),
            ("2026-07-01T08:15:00+05:30", "2026-07-01T02:45:00.000Z"),
            ("2026-07-01T08:15:00.125Z", "2026-07-01T08:15:00.125Z"),
        ] {
            assert_eq!(in_berlin(text, NOW).as_deref(), Some(at), "{text}");
        }
    }

    #[test]
    fn what_names_no_time_is_refused() {
        let long = "1h".repeat(100);
        for text in [
            "",
            "h",
            "2",
            "2x",
            "-2h",
            "2h-",
            "9999999999999999999d",
            "fr",
            "tomorrow",
            "25:00",
            "8:00",
            "2026-02-30",
            "2026-7-1",
            "2026-07-01 8",
            "friday the 13th",
            "yesterday ago",
            "1969-12-31",
            "99999w",
            "٢h",
            &long,
        ] {
            assert_eq!(in_berlin(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn where_the_clocks_change_there_is_one_answer() {
        let (spring, autumn) = ("2026-03-29T12:00:00Z", "2026-10-25T12:00:00Z");
        assert_eq!(in_berlin("02:30", spring).unwrap(), "2026-03-29T01:30:00.000Z");
        assert_eq!(in_berlin("02:30", autumn).unwrap(), "2026-10-25T00:30:00.000Z");
    }
}
