//! `grpc-timeout`, read and written (gRPC over HTTP/2, "Timeout": at most eight digits and a unit).

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

pub(in crate::proxy) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The largest value that eight digits can say.
const LARGEST: u128 = 99_999_999;

/// Why a `grpc-timeout` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutError {
    /// Not one to eight digits and one of `H M S m u n`.
    Malformed,
    /// The header stands twice.
    Several,
}

/// The caller's deadline, counted from the arrival of the headers; none when it set none.
pub(in crate::proxy) fn of(headers: &HeaderMap) -> Result<Option<Duration>, TimeoutError> {
    let mut values = headers.get_all(GRPC_TIMEOUT).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => parse(one.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err(TimeoutError::Several),
    }
}

/// The header for a deadline: the smallest unit that fits, rounded down, so that it never grows.
pub(in crate::proxy) fn value(deadline: Duration) -> HeaderValue {
    const UNITS: [(u128, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    let nanos = deadline.as_nanos();
    let (amount, unit) = UNITS
        .into_iter()
        .map(|(size, unit)| (nanos / size, unit))
        .find(|(amount, _)| *amount <= LARGEST)
        .unwrap_or((LARGEST, 'H'));
    HeaderValue::try_from(format!("{amount}{unit}")).unwrap_or(HeaderValue::from_static("0n"))
}

fn parse(text: &[u8]) -> Result<Duration, TimeoutError> {
    let (unit, digits) = text.split_last().ok_or(TimeoutError::Malformed)?;
    if !(1..=8).contains(&digits.len()) {
        return Err(TimeoutError::Malformed);
    }
    let amount = digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(digit - b'0')),
        _ => Err(TimeoutError::Malformed),
    })?;
    match unit {
        b'H' => Ok(Duration::from_secs(amount * 3600)),
        b'M' => Ok(Duration::from_secs(amount * 60)),
        b'S' => Ok(Duration::from_secs(amount)),
        b'm' => Ok(Duration::from_millis(amount)),
        b'u' => Ok(Duration::from_micros(amount)),
        b'n' => Ok(Duration::from_nanos(amount)),
        _ => Err(TimeoutError::Malformed),
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "grpc-timeout is not one to eight digits and a unit of H, M, S, m, u or n"
            }
            Self::Several => "grpc-timeout stands twice in the request",
        })
    }
}

impl std::error::Error for TimeoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("99999999n", Duration::from_nanos(99_999_999)),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn attack_d2_malformed_deadlines_are_refused() {
        for text in ["", "S", "1", "123456789n", "-1S", "+1S", "1 S", "1s", "1.5S", "0x1S"] {
            assert_eq!(parse(text.as_bytes()), Err(TimeoutError::Malformed), "{text:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1H"));
        assert_eq!(of(&headers), Err(TimeoutError::Several));
    }

    #[test]
    fn what_is_written_is_read_back_and_never_longer() {
        for nanos in [
            0,
            1,
            99_999_999,
            100_000_001,
            120_000_000_000,
            119_999_999_999,
            86_400_000_000_000,
            u64::MAX,
        ] {
            let deadline = Duration::from_nanos(nanos);
            let back = parse(value(deadline).as_bytes()).unwrap();
            assert!(
                back <= deadline && (deadline - back).as_nanos() * 50_000 <= deadline.as_nanos(),
                "{nanos}"
            );
        }
        assert_eq!(value(Duration::MAX).as_bytes(), b"99999999H");
    }
}
