//! [`PendingCreates`]: the containers that the gate has decided on and that the runtime has been
//! told to make, while it makes them; so that the tripwire knows them when the runtime asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Containers that are being made.
#[derive(Debug, Default)]
pub struct PendingCreates {
    /// As many as there are calls in flight.
    creates: Mutex<Vec<Create>>,
    /// Whether there was one since the start.
    any: AtomicBool,
}

#[derive(Debug)]
struct Create {
    number: u64,
    /// As the request has it: the runtime takes a part of the id too.
    sandbox_id: String,
    name: String,
    /// The runtime asked about it: it makes one container for one call.
    asked: bool,
}

/// A container that is being made until this is dropped.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    creates: &'a PendingCreates,
    number: u64,
}

impl PendingCreates {
    /// Notes that the runtime is about to be told to make a container of this name in this sandbox.
    pub(super) fn begin(&self, sandbox_id: &str, name: &str) -> Pending<'_> {
        self.any.store(true, Ordering::Relaxed);
        let mut creates = self.creates.lock().unwrap_or_else(PoisonError::into_inner);
        let number = creates.last().map_or(0, |last| last.number.wrapping_add(1));
        creates.push(Create {
            number,
            sandbox_id: sandbox_id.to_owned(),
            name: name.to_owned(),
            asked: false,
        });
        Pending { creates: self, number }
    }

    /// Whether the runtime was told to make this container and has not asked about it yet. Each
    /// call is good for one question.
    pub fn take(&self, sandbox_id: &str, name: &str) -> bool {
        let mut creates = self.creates.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |create: &&mut Create| {
            !create.asked
                && create.name == name
                && !create.sandbox_id.is_empty()
                && sandbox_id.starts_with(&create.sandbox_id)
        };
        match creates.iter_mut().find(is_it) {
            Some(create) => {
                create.asked = true;
                true
            }
            None => false,
        }
    }

    /// Whether any container was created through the gate since it started.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut creates = self.creates.creates.lock().unwrap_or_else(PoisonError::into_inner);
        creates.retain(|create| create.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_create_is_good_for_one_question_while_it_lasts() {
        let creates = PendingCreates::default();
        assert!(!creates.any());
        let first = creates.begin("0123abcd", "app");
        let second = creates.begin("0123abcd", "app");
        assert!(creates.any());
        assert!(!creates.take("0123abcd", "other") && !creates.take("4567", "app"));
        assert!(creates.take("0123abcd", "app") && creates.take("0123abcd", "app"));
        assert!(!creates.take("0123abcd", "app"));
        drop(second);
        drop(first);
        let third = creates.begin("0123", "app");
        drop(third);
        assert!(!creates.take("0123abcd", "app"));
    }

    #[test]
    fn attack_f_no_sandbox_is_not_any_sandbox() {
        let creates = PendingCreates::default();
        let _pending = creates.begin("", "app");
        assert!(!creates.take("0123abcd", "app"));
        let _part = creates.begin("0123", "app");
        assert!(creates.take("0123abcd", "app"));
    }
}
