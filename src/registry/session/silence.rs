//! [`Silence`]: whether no host has answered a session, and nothing but the hosts themselves kept it
//! from hearing one.
//!
//! The classes of errors do not tell this: an error of the class *unreachable* may come of this
//! gate's own limits, or of a host that is there and wants to be left alone.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::registry::error::{Budget, Class, RegistryError, Why};

/// What a session has heard of its hosts.
#[derive(Debug, Default)]
pub(super) struct Silence {
    heard: AtomicBool,
    held_back: AtomicBool,
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

    /// A host, or where it led to, answered with this status. One that means "not now" is no answer:
    /// a gateway gives it in place of a registry that is gone.
    pub(super) fn note_status(&self, status: u16) {
        match status {
            408 | 425 | 429 => self.hold_back(),
            407 | 500..=599 => {}
            _ => self.hear(),
        }
    }

    /// A question to a host came to this. `hangs` says that the host did not answer in time lately,
    /// and has not answered since: then it is why there is no time or place left for it.
    pub(super) fn note_error(&self, error: &RegistryError, hangs: bool) {
        if let RegistryError::Beside { error, beside } = error {
            self.note_error(error, hangs);
            self.note_error(beside, hangs);
            return;
        }
        if let RegistryError::Unreachable { why, .. } = error {
            return self.note_why(why, hangs);
        }
        if matches!(error, RegistryError::BudgetSpent(Budget::Time)) && !hangs {
            return self.hold_back();
        }
        match error.class() {
            Class::Unreachable => {}
            Class::Absent | Class::Unable => self.hear(),
        }
    }

    fn note_why(&self, why: &Why, hangs: bool) {
        match why {
            Why::Wait { .. } | Why::Recalled | Why::Slow | Why::Status(408 | 425 | 429) => {
                self.hold_back();
            }
            Why::Crowded { .. } if !hangs => self.hold_back(),
            Why::Crowded { .. }
            | Why::Status(_)
            | Why::Timeout
            | Why::Name(_)
            | Why::Connection(_)
            | Why::Tls(_) => {}
        }
    }

    /// Whether no host has answered, and none was passed over.
    pub(super) fn is_total(&self) -> bool {
        !self.heard.load(Ordering::Relaxed) && !self.held_back.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::error::{Malformed, TlsFault};

    fn is_total(error: &RegistryError, hangs: bool) -> bool {
        let silence = Silence::default();
        silence.note_error(error, hangs);
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
        ] {
            for hangs in [false, true] {
                assert!(!is_total(&unreachable(why.clone()), hangs), "{why:?}");
            }
        }
        // Who waits for a host that hangs fills its places and its time.
        let crowded = unreachable(Why::Crowded { by: "r.example".to_owned() });
        for error in [crowded, RegistryError::BudgetSpent(Budget::Time)] {
            assert!(!is_total(&error, false) && is_total(&error, true), "{error:?}");
        }
    }

    #[test]
    fn what_no_host_said_is_silence() {
        let text = || "text".to_owned();
        for why in [
            Why::Timeout,
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

    #[test]
    fn a_status_that_is_an_answer_ends_the_silence() {
        for (status, is_silent) in
            [(200, false), (307, false), (401, false), (404, false), (429, false), (407, true)]
                .into_iter()
                .chain([500, 502, 503, 504, 599].map(|status| (status, true)))
        {
            let silence = Silence::default();
            silence.note_status(status);
            assert_eq!(silence.is_total(), is_silent, "{status}");
        }
    }
}
