//! [`Silence`]: whether no host has answered a session, and nothing but the hosts themselves kept it
//! from hearing one.
//!
//! The classes of errors do not tell this: an error of the class *unreachable* may come of this
//! gate's own limits, or of a host that is there and wants to be left alone.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::registry::error::{Budget, Class, RegistryError, Why};
use crate::registry::lock::lock;

/// What a session has heard of its hosts. A host is named by its authority; a session asks few.
#[derive(Debug, Default)]
pub(super) struct Silence {
    heard: AtomicBool,
    held_back: AtomicBool,
    /// The hosts that this session asked, and waited for in vain.
    waited: Mutex<BTreeSet<String>>,
    /// The hosts that it had no place or no time left for, at some time.
    starved: Mutex<BTreeSet<String>>,
}

impl Silence {
    /// A host has answered, whatever it was.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// A host was not asked, or not listened to any longer, though it may well be there.
    pub(super) fn hold_back(&self) {
        self.held_back.store(true, Ordering::Relaxed);
    }

    /// A host was asked and did not answer: for as long as one is waited for, or it cannot be
    /// connected to.
    pub(super) fn wait(&self, host: &str) {
        lock(&self.waited).insert(host.to_owned());
    }

    /// A host was to be asked, and others took the place or the time for it. Where it was waited for
    /// in vain besides, it is why there is none.
    pub(super) fn starve(&self, host: &str) {
        lock(&self.starved).insert(host.to_owned());
    }

    /// A host, or where it led to, answered with this status, and perhaps with when to ask again. One
    /// that means "not now" is no answer: a gateway gives it in place of a registry that is gone.
    pub(super) fn note_status(&self, status: u16, says_when: bool) {
        match status {
            408 | 425 | 429 => self.hold_back(),
            500..=599 if says_when => self.hold_back(),
            407 | 500..=599 => {}
            _ => self.hear(),
        }
    }

    /// A question to this host came to this. A request that timed out is noted where it is known how
    /// long it was waited for.
    pub(super) fn note_error(&self, host: &str, error: &RegistryError) {
        if let RegistryError::Beside { error, beside } = error {
            self.note_error(host, error);
            self.note_error(host, beside);
            return;
        }
        if let RegistryError::Unreachable { why, .. } = error {
            return self.note_why(host, why);
        }
        if matches!(error, RegistryError::BudgetSpent(Budget::Time)) {
            return self.starve(host);
        }
        match error.class() {
            Class::Unreachable => {}
            Class::Absent | Class::Unable => self.hear(),
        }
    }

    fn note_why(&self, host: &str, why: &Why) {
        match why {
            Why::Wait { .. }
            | Why::Recalled
            | Why::Slow
            | Why::NoMeans(_)
            | Why::Status(408 | 425 | 429) => self.hold_back(),
            Why::Crowded { .. } => self.starve(host),
            Why::Status(_) | Why::Name(_) | Why::Connection(_) | Why::Tls(_) => self.wait(host),
            Why::Timeout => {}
        }
    }

    /// Whether no host has answered, and each was asked and waited for.
    pub(super) fn is_total(&self) -> bool {
        let waited = lock(&self.waited);
        !self.heard.load(Ordering::Relaxed)
            && !self.held_back.load(Ordering::Relaxed)
            && !waited.is_empty()
            && lock(&self.starved).is_subset(&waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::error::{Malformed, TlsFault};

    const HOST: &str = "r.example";

    /// Of one host, which came to nothing before where it says so.
    fn is_total(error: &RegistryError, was_waited_for: bool) -> bool {
        let silence = Silence::default();
        if was_waited_for {
            silence.wait(HOST);
        }
        silence.note_error(HOST, error);
        silence.is_total()
    }

    fn unreachable(why: Why) -> RegistryError {
        RegistryError::Unreachable { host: "r.example".to_owned(), why }
    }

    /// Attack G: what somebody else's load on the node or the registry comes to is not silence.
    #[test]
    fn attack_g_what_is_held_back_is_not_silence() {
        for why in [
            Why::Wait { status: 429, seconds: 5 },
            Why::Wait { status: 503, seconds: 5 },
            Why::Status(408),
            Why::Status(425),
            Why::Status(429),
            Why::Recalled,
            Why::Slow,
            Why::NoMeans("Too many open files".to_owned()),
        ] {
            for waited in [false, true] {
                assert!(!is_total(&unreachable(why.clone()), waited), "{why:?}");
            }
        }
        // A host that hangs takes its places and its time away from itself.
        let crowded = unreachable(Why::Crowded { by: "r.example".to_owned() });
        for error in [crowded, RegistryError::BudgetSpent(Budget::Time)] {
            assert!(!is_total(&error, false) && is_total(&error, true), "{error:?}");
        }
        // Another that hangs is no reason not to have asked this one.
        let silence = Silence::default();
        silence.wait("other.example");
        silence.note_error(HOST, &RegistryError::BudgetSpent(Budget::Time));
        assert!(!silence.is_total());
        assert!(!Silence::default().is_total(), "nobody was asked");
    }

    /// Attack G: a host that says when to ask again is there, however it says it.
    #[test]
    fn attack_g_a_status_that_means_later_is_not_silence() {
        for (status, says_when, is_silence) in [
            (503, true, false),
            (502, true, false),
            (408, false, false),
            (425, false, false),
            (429, false, false),
        ]
        .into_iter()
        .chain([407, 500, 502, 503, 504, 599].map(|status| (status, false, true)))
        .chain([200, 206, 307, 401, 403, 404].map(|status| (status, false, false)))
        {
            let silence = Silence::default();
            silence.wait(HOST);
            silence.note_status(status, says_when);
            assert_eq!(silence.is_total(), is_silence, "{status} {says_when}");
        }
    }

    #[test]
    fn what_no_host_said_is_silence() {
        let text = || "text".to_owned();
        assert!(!is_total(&unreachable(Why::Timeout), false), "how long is noted elsewhere");
        for why in [
            Why::Name(text()),
            Why::Connection(text()),
            Why::Status(500),
            Why::Status(503),
            Why::Tls(TlsFault::Expired),
        ] {
            assert!(is_total(&unreachable(why.clone()), false), "{why:?}");
        }
        let host = text;
        let absent = RegistryError::NotFound { name: text() };
        let beside = RegistryError::Beside {
            error: Box::new(unreachable(Why::Timeout)),
            beside: Box::new(absent.clone()),
        };
        let malformed = RegistryError::Malformed { host: host(), what: Malformed::Http };
        for error in [absent, beside, malformed, RegistryError::BudgetSpent(Budget::Turn)] {
            assert!(!is_total(&error, true), "{error:?}");
        }
    }
}
