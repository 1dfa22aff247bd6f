//! [`PendingCreates`]: the containers that the gate has decided on and that the runtime has been
//! told to make, while it makes them; so that the tripwire knows them when the runtime asks.
//!
//! Whoever tells the runtime to make a container of the same name in the same sandbox at the same
//! moment is taken for the gate. Nothing that the runtime says when it asks tells the two apart: its
//! words for the image are not the request's in every version (fact P7), and are the other's to
//! choose. The id that it answers with does: what it asked about under another is a
//! [`TakenByAnother`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a create counts after the runtime gave no answer: it may go on for a while after the
/// gate has given up on it.
const UNANSWERED_LIFE: Duration = Duration::from_secs(30);
/// The name by which containerd (2.1.9) asks about every container that it restores from a
/// checkpoint, whatever its own is.
const RESTORED: &str = "containerd";
/// Most creates without an answer that still count: a runtime that answers none of a node's pods
/// leaves one for each try of each.
const UNANSWERED_MAX: usize = 1024;

/// Containers that are being made.
#[derive(Debug, Default)]
pub struct PendingCreates {
    /// As many as there are calls in flight, and [`UNANSWERED_MAX`].
    creates: Mutex<Vec<Create>>,
    /// Whether there was one since the start.
    any: AtomicBool,
}

#[derive(Debug)]
struct Create {
    number: u64,
    /// Whole: a part of it could mean another one by now.
    sandbox_id: String,
    name: String,
    /// Whether it is restored from a checkpoint.
    is_restored: bool,
    /// The container that the runtime asked about: it makes one for one call.
    asked: Option<String>,
    is_unanswered: bool,
}

/// A container that is being made until this is dropped.
#[derive(Debug)]
pub(super) struct Pending {
    creates: Arc<PendingCreates>,
    number: u64,
}

/// A container that was let through in place of the gate's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TakenByAnother {
    /// Its id.
    pub(super) container_id: String,
}

impl PendingCreates {
    /// Notes that the runtime is about to be told to make a container of this name in the sandbox of
    /// this whole id.
    pub(super) fn begin(self: &Arc<Self>, sandbox_id: &str, name: &str) -> Pending {
        self.begin_as(sandbox_id, name, false)
    }

    /// The same of a container that is restored from a checkpoint.
    pub(super) fn begin_restored(self: &Arc<Self>, sandbox_id: &str, name: &str) -> Pending {
        self.begin_as(sandbox_id, name, true)
    }

    fn begin_as(self: &Arc<Self>, sandbox_id: &str, name: &str, is_restored: bool) -> Pending {
        self.any.store(true, Ordering::Relaxed);
        let mut creates = self.lock();
        let number = creates.last().map_or(0, |last| last.number.wrapping_add(1));
        creates.push(Create {
            number,
            sandbox_id: sandbox_id.to_owned(),
            name: name.to_owned(),
            is_restored,
            asked: None,
            is_unanswered: false,
        });
        Pending { creates: Arc::clone(self), number }
    }

    /// Whether the runtime was told to make this container and has not asked about it yet. Each
    /// call is good for one question; the oldest is taken first.
    pub fn take(&self, sandbox_id: &str, name: &str, container_id: &str) -> bool {
        let mut creates = self.lock();
        let is_it = |create: &&mut Create| {
            create.asked.is_none()
                && (create.name == name || create.is_restored && name == RESTORED)
                && !create.sandbox_id.is_empty()
                && create.sandbox_id == sandbox_id
        };
        match creates.iter_mut().find(is_it) {
            Some(create) => {
                create.asked = Some(container_id.to_owned());
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

    fn lock(&self) -> MutexGuard<'_, Vec<Create>> {
        self.creates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Create {
    /// Whether the runtime may ask about it by the name of all that it restores.
    fn is_asked_as_restored(&self) -> bool {
        self.is_restored || self.name == RESTORED
    }
}

impl Pending {
    /// The runtime has answered, with the id of the container that it made, or that it made none.
    /// What it asked about under another id is no container of the gate's, unless it is that of
    /// another call that is in flight: the oldest of a name takes the question about the other.
    pub(super) fn answered(self, made: Option<&str>) -> Option<TakenByAnother> {
        let mut creates = self.creates.lock();
        let own = creates.iter_mut().find(|create| create.number == self.number)?;
        let asked = own.asked.take();
        if made.is_some() && made == asked.as_deref() {
            return None;
        }
        let (sandbox_id, name) = (own.sandbox_id.clone(), own.name.clone());
        let as_restored = own.is_asked_as_restored();
        // The call that took the question about what this one made, or, of one that made nothing,
        // a call that no question came for yet: its answer says whose the container is.
        let is_twin = |create: &&mut Create| {
            create.number != self.number
                && create.sandbox_id == sandbox_id
                && (create.name == name || as_restored && create.is_asked_as_restored())
                && create.asked.as_deref() == made
        };
        if let Some(twin) = creates.iter_mut().find(is_twin) {
            twin.asked = asked;
            return None;
        }
        drop(creates);
        asked.map(|container_id| TakenByAnother { container_id })
    }

    /// The runtime has not answered: it may make the container all the same.
    pub(super) fn unanswered(self) {
        let mut creates = self.creates.lock();
        let others = creates.iter().filter(|create| create.is_unanswered).count();
        if let Some(own) = creates.iter_mut().find(|create| create.number == self.number) {
            own.is_unanswered = true;
        }
        drop(creates);
        if others < UNANSWERED_MAX {
            tokio::spawn(async move {
                tokio::time::sleep(UNANSWERED_LIFE).await;
                drop(self);
            });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.creates.lock().retain(|create| create.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_create_is_good_for_one_question_while_it_lasts() {
        let creates = Arc::new(PendingCreates::default());
        assert!(!creates.any());
        let first = creates.begin("0123abcd", "app");
        let second = creates.begin("0123abcd", "app");
        assert!(creates.any());
        assert!(!creates.take("0123abcd", "other", "x") && !creates.take("4567", "app", "x"));
        assert!(creates.take("0123abcd", "app", "x") && creates.take("0123abcd", "app", "y"));
        assert!(!creates.take("0123abcd", "app", "z"));
        // In the other order than they were asked about.
        assert_eq!(first.answered(Some("y")), None);
        assert_eq!(second.answered(Some("x")), None);
        let third = creates.begin("0123abcd", "app");
        drop(third);
        assert!(!creates.take("0123abcd", "app", "x"));
    }

    #[test]
    fn attack_f_no_sandbox_is_not_any_sandbox() {
        let creates = Arc::new(PendingCreates::default());
        let _pending = creates.begin("", "app");
        assert!(!creates.take("0123abcd", "app", "x"));
        let _part = creates.begin("0123", "app");
        assert!(!creates.take("0123abcd", "app", "x"));
        assert!(creates.take("0123", "app", "x"));
    }

    /// Attack F: who races the gate for the name of its container is let through once, and found out
    /// by the answer.
    #[test]
    fn attack_f_a_container_in_place_of_the_gates_own_is_found_out() {
        let creates = Arc::new(PendingCreates::default());
        for made in [Some("own"), None] {
            let pending = creates.begin("0123abcd", "app");
            assert!(creates.take("0123abcd", "app", "racer"));
            assert!(!creates.take("0123abcd", "app", "own"));
            let racer = TakenByAnother { container_id: "racer".to_owned() };
            assert_eq!(pending.answered(made), Some(racer));
        }
        let pending = creates.begin("0123abcd", "app");
        assert_eq!(pending.answered(Some("own")), None, "a runtime that asks nobody");
    }

    /// Two attempts of a kubelet overlap: the runtime makes the container of the second and none of
    /// the first, whose create took the question.
    #[test]
    fn a_container_of_another_call_of_the_same_name_is_the_gates_own() {
        let creates = Arc::new(PendingCreates::default());
        let begin = || creates.begin("0123abcd", "app");
        for is_first_answered_first in [true, false] {
            let (first, second) = (begin(), begin());
            assert!(creates.take("0123abcd", "app", "own"));
            if is_first_answered_first {
                assert_eq!(first.answered(None), None);
                assert_eq!(second.answered(Some("own")), None);
            } else {
                assert_eq!(second.answered(Some("own")), None);
                assert_eq!(first.answered(None), None);
            }
        }
        // That of nobody is found out by the last.
        let (first, second) = (begin(), begin());
        assert!(creates.take("0123abcd", "app", "racer"));
        assert_eq!(first.answered(None), None);
        let racer = TakenByAnother { container_id: "racer".to_owned() };
        assert_eq!(second.answered(Some("own")), Some(racer));
    }

    /// Attack F: the name of all that is restored is good for what the gate restores, once each.
    #[test]
    fn attack_f_a_restored_container_is_asked_about_by_another_name() {
        let creates = Arc::new(PendingCreates::default());
        let plain = creates.begin("0123abcd", "app");
        assert!(!creates.take("0123abcd", RESTORED, "x"), "nothing is restored");
        drop(plain);
        let restored = creates.begin_restored("0123abcd", "app");
        assert!(!creates.take("4567", RESTORED, "x") && !creates.take("0123abcd", "other", "x"));
        assert!(creates.take("0123abcd", RESTORED, "own"));
        assert!(!creates.take("0123abcd", RESTORED, "racer"));
        assert_eq!(restored.answered(Some("own")), None);
        let by_its_own = creates.begin_restored("0123abcd", "app");
        assert!(creates.take("0123abcd", "app", "own"), "a runtime that has its name right");
        assert_eq!(by_its_own.answered(Some("own")), None);
        // Two at once, and one that is really called so: asked about in another order than begun.
        let (first, second) =
            (creates.begin_restored("0123abcd", "app"), creates.begin_restored("0123abcd", "web"));
        let third = creates.begin("0123abcd", RESTORED);
        for id in ["of-third", "of-first", "of-second"] {
            assert!(creates.take("0123abcd", RESTORED, id));
        }
        assert_eq!(first.answered(Some("of-first")), None);
        assert_eq!(second.answered(Some("of-second")), None);
        assert_eq!(third.answered(Some("of-third")), None);
        let own = creates.begin_restored("0123abcd", "app");
        assert!(creates.take("0123abcd", RESTORED, "racer"));
        let racer = TakenByAnother { container_id: "racer".to_owned() };
        assert_eq!(own.answered(Some("own")), Some(racer));
    }

    /// A runtime that goes on after the gate has given up makes no false alert.
    #[tokio::test(start_paused = true)]
    async fn a_create_without_an_answer_counts_for_a_while() {
        let creates = Arc::new(PendingCreates::default());
        creates.begin("0123abcd", "app").unanswered();
        creates.begin("0123abcd", "app").unanswered();
        tokio::time::sleep(UNANSWERED_LIFE / 2).await;
        assert!(creates.take("0123abcd", "app", "late"));
        tokio::time::sleep(UNANSWERED_LIFE).await;
        assert!(!creates.take("0123abcd", "app", "later"));
        assert!(creates.lock().is_empty());
        for _ in 0..=UNANSWERED_MAX {
            creates.begin("0123abcd", "app").unanswered();
        }
        assert_eq!(creates.lock().len(), UNANSWERED_MAX);
    }
}
