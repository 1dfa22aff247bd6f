//! [`Cause`]: why a host did not give what it was asked for, in words for a monitor; [`Failures`]:
//! how often each was the case. Absence is no failure.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Budget, RegistryError, Why};

/// Why a host did not give what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// 401 or 403, and there were no credentials that it took.
    Unauthorized,
    /// A helper, plugin or file with the node's own credentials failed.
    NoCredentials,
    /// 408, 425 or 5xx.
    Status,
    /// 429, or it named a time to wait.
    Wait,
    /// No answer in time, or too slow a one.
    Timeout,
    /// Its name could not be resolved.
    Name,
    /// No connection, or it broke.
    Connection,
    /// TLS failed.
    Tls,
    /// This node has no means, or no place, for one more request.
    Crowded,
    /// The decision had to make way for others.
    Recalled,
    /// The time of the decision was over.
    Deadline,
    /// Another part of the decision's budget was used up.
    Budget,
    /// An answer that is none, longer than it may be, or another status than those above.
    BadAnswer,
    /// Other bytes than the digest says.
    DigestMismatch,
    /// An address, redirect or token service that is not to be used.
    Forbidden,
    /// A configuration of this node that cannot be used, or names no host for it.
    Configuration,
}

/// How often each cause was the case since the start.
#[derive(Debug, Default)]
pub(in crate::registry) struct Failures([AtomicU64; Cause::ALL.len()]);

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 16] = [
        Self::Unauthorized,
        Self::NoCredentials,
        Self::Status,
        Self::Wait,
        Self::Timeout,
        Self::Name,
        Self::Connection,
        Self::Tls,
        Self::Crowded,
        Self::Recalled,
        Self::Deadline,
        Self::Budget,
        Self::BadAnswer,
        Self::DigestMismatch,
        Self::Forbidden,
        Self::Configuration,
    ];

    /// The word that metrics use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NoCredentials => "no-credentials",
            Self::Status => "status",
            Self::Wait => "wait",
            Self::Timeout => "timeout",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Crowded => "crowded",
            Self::Recalled => "recalled",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::BadAnswer => "bad-answer",
            Self::DigestMismatch => "digest-mismatch",
            Self::Forbidden => "forbidden",
            Self::Configuration => "configuration",
        }
    }

    /// Why this is an error; none where it says that something is not there.
    fn of(error: &RegistryError) -> Option<Self> {
        Some(match error {
            RegistryError::NotFound { .. } => return None,
            RegistryError::Beside { error, .. } => return Self::of(error),
            RegistryError::Unauthorized { .. } => Self::Unauthorized,
            RegistryError::NoCredentials { .. } => Self::NoCredentials,
            RegistryError::Unreachable { why, .. } => Self::of_silence(why),
            RegistryError::BudgetSpent(Budget::Time) => Self::Deadline,
            RegistryError::BudgetSpent(
                Budget::Requests
                | Budget::Bytes
                | Budget::Pages
                | Budget::Entries
                | Budget::Held { .. }
                | Budget::Turn,
            ) => Self::Budget,
            RegistryError::TooLarge { .. }
            | RegistryError::Malformed { .. }
            | RegistryError::Refused { .. } => Self::BadAnswer,
            RegistryError::DigestMismatch { .. } => Self::DigestMismatch,
            RegistryError::Redirect { .. }
            | RegistryError::ForbiddenAddress { .. }
            | RegistryError::Realm { .. } => Self::Forbidden,
            RegistryError::NoHost { .. }
            | RegistryError::Unsafe(_)
            | RegistryError::Config { .. }
            | RegistryError::Options { .. } => Self::Configuration,
        })
    }

    const fn of_silence(why: &Why) -> Self {
        match why {
            Why::Status(429) | Why::Wait { .. } => Self::Wait,
            Why::Status(_) => Self::Status,
            Why::Timeout | Why::Slow => Self::Timeout,
            Why::Name(_) => Self::Name,
            Why::Connection(_) => Self::Connection,
            Why::NoMeans(_) | Why::Crowded { .. } => Self::Crowded,
            Why::Recalled => Self::Recalled,
            Why::Tls(_) => Self::Tls,
        }
    }
}

impl Failures {
    pub(in crate::registry) fn count(&self, error: &RegistryError) {
        let Some(cause) = Cause::of(error) else { return };
        let counters = Cause::ALL.iter().zip(&self.0);
        for (_, counter) in counters.filter(|(own, _)| **own == cause) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(in crate::registry) fn by_cause(&self) -> Vec<(Cause, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Cause::ALL.into_iter().zip(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::error::Class;

    #[test]
    fn what_is_absent_is_no_failure_and_each_other_error_is_one() {
        let failures = Failures::default();
        let host = || "registry.example.com".to_owned();
        let absent = RegistryError::NotFound { name: host() };
        assert_eq!(absent.class(), Class::Absent);
        failures.count(&absent);
        assert!(failures.by_cause().iter().all(|(_, count)| *count == 0));
        let wait = |why| RegistryError::Unreachable { host: host(), why };
        failures.count(&wait(Why::Status(429)));
        failures.count(&wait(Why::Status(503)));
        failures.count(&RegistryError::Beside {
            error: Box::new(wait(Why::Timeout)),
            beside: Box::new(absent),
        });
        let there = failures.by_cause().into_iter().filter(|(_, count)| *count > 0);
        let there: Vec<&str> = there.map(|(cause, _)| cause.word()).collect();
        assert_eq!(there, ["status", "wait", "timeout"]);
    }
}
