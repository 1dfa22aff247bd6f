//! [`Patience`]: what is remembered of a host that was slow or asked to be left alone, and how long
//! to wait before a question is asked again ([`backoff`], [`retry_after`]).
//!
//! Nothing here waits or asks; time and randomness are arguments.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::registry::error::{RegistryError, Why};
use crate::registry::lock::lock;

/// How long a host that did not answer in time is asked last, and with little patience: long enough
/// to spare a pod's images the wait, short enough to notice that it is back.
const SLOW_TIME: Duration = Duration::from_secs(60);
/// How long a slow host is waited for while there is another one to ask.
const SLOW_PATIENCE: Duration = Duration::from_secs(1);
/// The longest that a host is left alone because it said so: one that says more is asked again
/// after this.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// How long a host that answered 429 without a time is left alone.
const QUIET_UNSAID: Duration = Duration::from_secs(1);
/// The longest first wait; each further one may be twice as long.
const BACKOFF: Duration = Duration::from_millis(200);
/// The longest wait that is ours to choose.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What is remembered of one host.
#[derive(Debug, Default)]
pub(in crate::registry) struct Patience {
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Trouble {
    slow_until: Option<Instant>,
    quiet: Option<Quiet>,
}

/// A host asked to be left alone.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    until: Instant,
    status: u16,
}

impl Patience {
    /// It did not answer in time. That it did not either in the little time which it has while it
    /// is slow says nothing new: when the minute is over it has its whole share again.
    pub(in crate::registry) fn slow(&self, now: Instant) {
        let mut trouble = lock(&self.trouble);
        if trouble.slow_until.is_none_or(|until| until <= now) {
            trouble.slow_until = Some(now + SLOW_TIME);
        }
    }

    /// It answered in time.
    pub(in crate::registry) fn answered(&self) {
        lock(&self.trouble).slow_until = None;
    }

    /// Whether it was slow not long ago.
    pub(in crate::registry) fn is_slow(&self, now: Instant) -> bool {
        lock(&self.trouble).slow_until.is_some_and(|until| now < until)
    }

    /// It answered 429, or 503 with a time: it is left alone until then.
    pub(in crate::registry) fn quiet(&self, status: u16, after: Option<Duration>, now: Instant) {
        let until = now + after.unwrap_or(QUIET_UNSAID).min(QUIET_MAX);
        let mut trouble = lock(&self.trouble);
        // Answers of requests that were under way side by side come in any order.
        if trouble.quiet.is_none_or(|quiet| quiet.until < until) {
            trouble.quiet = Some(Quiet { until, status });
        }
    }

    /// Why it is not asked now.
    pub(in crate::registry) fn is_quiet(
        &self,
        host: &str,
        now: Instant,
    ) -> Result<(), RegistryError> {
        match lock(&self.trouble).quiet.filter(|quiet| now < quiet.until) {
            None => Ok(()),
            Some(Quiet { until, status }) => {
                let seconds = until.saturating_duration_since(now).as_millis().div_ceil(1000);
                let why = Why::Wait { status, seconds: u64::try_from(seconds).unwrap_or(u64::MAX) };
                Err(RegistryError::Unreachable { host: host.to_owned(), why })
            }
        }
    }

    /// How long it still is to be left alone.
    pub(in crate::registry) fn quiet_for(&self, now: Instant) -> Duration {
        let quiet = lock(&self.trouble).quiet;
        quiet.map_or(Duration::ZERO, |quiet| quiet.until.saturating_duration_since(now))
    }
}

/// A host's part of the time that is left, when `hosts` are to be asked, itself the first of them;
/// none for the last one, which has all of it.
pub(in crate::registry) fn share(
    left: Duration,
    request: Duration,
    hosts: usize,
    is_slow: bool,
) -> Option<Duration> {
    let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
    if hosts <= 1 {
        return None;
    }
    let share = request.min(left / hosts);
    Some(if is_slow { share.min(SLOW_PATIENCE) } else { share })
}

/// The wait before a question is asked again for the `attempt`th time, counted from 0: twice as
/// long each time, between half of it and all of it by chance, so that those who failed together do
/// not come back together.
pub(in crate::registry) fn backoff(attempt: u32, random: u16) -> Duration {
    let whole = BACKOFF.saturating_mul(2u32.saturating_pow(attempt)).min(BACKOFF_MAX);
    whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u16::MAX))
}

/// What a wait that a host asked for gets on top, so that not everybody comes back at once.
pub(in crate::registry) fn spread(random: u16) -> Duration {
    BACKOFF.mul_f64(f64::from(random) / f64::from(u16::MAX))
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date, of which the distance to `now`
/// counts.
pub(in crate::registry) fn retry_after(
    headers: &HeaderMap,
    now: jiff::Timestamp,
) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Whether the same question may well be answered a moment later: the host is overloaded, or the
/// connection was refused or broken. What took too long is not asked again: there is no time to
/// lose it twice.
pub(in crate::registry) fn is_passing(error: &RegistryError) -> bool {
    let RegistryError::Unreachable { why, .. } = error else { return false };
    match why {
        Why::Status(408 | 425 | 429 | 500 | 502 | 503 | 504)
        | Why::Connection(_)
        | Why::NoMeans(_)
        | Why::Wait { .. } => true,
        Why::Status(_)
        | Why::Timeout
        | Why::Slow
        | Why::Crowded { .. }
        | Why::Recalled
        | Why::Name(_)
        | Why::Tls { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    fn now() -> Instant {
        Instant::now()
    }

    fn header(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after(&headers, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(header("0"), seconds(0));
        assert_eq!(header(" 120 "), seconds(120));
        assert_eq!(header("99999999999999999999999999"), seconds(u64::MAX));
        assert_eq!(header("Fri, 02 Jan 2026 03:04:15 GMT"), seconds(10));
        assert_eq!(header("Thu, 01 Jan 2026 03:04:15 GMT"), seconds(0));
        for bad in ["", "soon", "-1", "1.5", "Fri, 32 Jan 2026 03:04:15 GMT"] {
            assert_eq!(header(bad), None, "{bad}");
        }
    }

    #[test]
    fn waits_grow_and_are_spread() {
        for (attempt, least, most) in
            [(0, 100, 200), (1, 200, 400), (2, 400, 800), (30, 2500, 5000)]
        {
            assert_eq!(backoff(attempt, 0), Duration::from_millis(least));
            assert_eq!(backoff(attempt, u16::MAX), Duration::from_millis(most));
        }
        assert_eq!((spread(0), spread(u16::MAX)), (Duration::ZERO, BACKOFF));
    }

    #[test]
    fn only_the_last_host_has_all_the_time() {
        let (left, request) = (Duration::from_secs(30), Duration::from_secs(15));
        assert_eq!(share(left, request, 1, true), None);
        assert_eq!(share(left, request, 2, false), Some(Duration::from_secs(15)));
        assert_eq!(share(left, request, 3, false), Some(Duration::from_secs(10)));
        assert_eq!(share(left, request, 3, true), Some(SLOW_PATIENCE));
        assert_eq!(
            share(Duration::from_millis(10), request, 2, true),
            Some(Duration::from_millis(5))
        );
    }

    #[test]
    fn slowness_is_forgotten_after_a_minute_or_an_answer() {
        let (now, patience) = (now(), Patience::default());
        assert!(!patience.is_slow(now));
        patience.slow(now);
        assert!(
            patience.is_slow(now + Duration::from_secs(59)) && !patience.is_slow(now + SLOW_TIME)
        );
        patience.slow(now + Duration::from_secs(59));
        assert!(!patience.is_slow(now + SLOW_TIME), "not for ever, however often it is asked");
        patience.slow(now + SLOW_TIME);
        assert!(patience.is_slow(now + SLOW_TIME));
        patience.answered();
        assert!(!patience.is_slow(now));
    }

    #[test]
    fn a_host_is_left_alone_as_long_as_it_says_and_no_longer_than_a_minute() {
        let (now, patience) = (now(), Patience::default());
        let wait = |patience: &Patience, at| match patience.is_quiet("r", at) {
            Err(RegistryError::Unreachable { why: Why::Wait { status: 429, seconds }, .. }) => {
                Some(seconds)
            }
            Ok(()) => None,
            Err(other) => panic!("{other:?}"),
        };
        patience.quiet(429, Some(Duration::from_secs(10)), now);
        patience.quiet(429, None, now);
        assert_eq!(wait(&patience, now), Some(10));
        assert_eq!(wait(&patience, now + Duration::from_millis(9_500)), Some(1));
        assert_eq!(wait(&patience, now + Duration::from_secs(10)), None);
        patience.quiet(429, Some(Duration::from_secs(u64::MAX)), now);
        assert_eq!(patience.quiet_for(now), QUIET_MAX);
    }
}
