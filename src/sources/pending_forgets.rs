//! [`PendingForgets`]: what the store must have forgotten, and perhaps has not yet. A signature that
//! was withdrawn while the disk hung is forgotten once the disk is back, and what was fetched before
//! it was withdrawn is not put there any more.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::evidence_query::EvidenceQuery;
use crate::evidence_store::Entry;

/// Most withdrawals that are remembered until the disk has forgotten what they are about, and after
/// that: as many as a node runs images, with room. Beyond that those that the disk did go first;
/// then nothing on disk from before the oldest counts, and after a restart all of it is in doubt.
const FORGETS_MAX: usize = 1024;

/// Something for the store to forget.
pub(super) struct Forget {
    query: EvidenceQuery,
    /// As of when: to one that is done later, what was fetched since is newer than the reason.
    asked: Timestamp,
    is_gone: Box<dyn Fn(&Entry) -> bool + Send + Sync>,
}

/// What was to be forgotten lately, the oldest first.
#[derive(Debug, Default)]
pub(super) struct PendingForgets(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    /// With each, whether the disk has still to do it.
    forgets: VecDeque<(Arc<Forget>, bool)>,
    /// The latest of those that are remembered no more, and that the disk did not do: nothing from
    /// before is believed.
    dropped: Option<Timestamp>,
    /// Everything from before is to be doubted, and the disk has no note of it yet.
    flush: Option<Timestamp>,
}

impl Forget {
    /// What the store has for a question, and `is_gone` says as of `asked` is no longer so.
    pub(super) fn new(
        query: EvidenceQuery,
        asked: Timestamp,
        is_gone: impl Fn(&Entry) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { query, asked, is_gone: Box::new(is_gone) }
    }

    /// The question.
    pub(super) fn query(&self) -> &EvidenceQuery {
        &self.query
    }

    /// Whether an entry about the question is to be forgotten now, when it is asked: one from a
    /// clock that was ahead, too.
    pub(super) fn is_gone(&self, entry: &Entry) -> bool {
        (self.is_gone)(entry)
    }

    /// Whether it is to be forgotten later, when something newer may be there.
    pub(super) fn was_gone(&self, entry: &Entry) -> bool {
        entry.fetched <= self.asked && self.is_gone(entry)
    }
}

impl fmt::Debug for Forget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forget")
            .field("query", &self.query)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl PendingForgets {
    /// Remembers one that the disk has still to do.
    pub(super) fn add(&self, forget: &Arc<Forget>) {
        let mut pending = self.pending();
        if pending.forgets.len() >= FORGETS_MAX {
            let done = pending.forgets.iter().position(|(_, is_owed)| !is_owed);
            if let Some((dropped, true)) = pending.forgets.remove(done.unwrap_or_default()) {
                pending.dropped = pending.dropped.max(Some(dropped.asked));
                pending.flush = pending.flush.max(Some(dropped.asked));
            }
        }
        pending.forgets.push_back((Arc::clone(forget), true));
    }

    /// The disk has done this one.
    pub(super) fn done(&self, forget: &Arc<Forget>) {
        let mut pending = self.pending();
        for (one, is_owed) in &mut pending.forgets {
            if Arc::ptr_eq(one, forget) {
                *is_owed = false;
            }
        }
    }

    /// Those that the disk has still to do, the oldest first.
    pub(super) fn owed(&self) -> Vec<Arc<Forget>> {
        let pending = self.pending();
        let owed = pending.forgets.iter().filter(|(_, is_owed)| *is_owed);
        owed.map(|(forget, _)| Arc::clone(forget)).collect()
    }

    /// Whether an entry was to be forgotten lately: what was fetched before that is not put on disk
    /// any more.
    pub(super) fn concern(&self, entry: &Entry) -> bool {
        self.any(entry, |_| true)
    }

    /// Whether the disk has still to forget an entry: it is not believed. What the disk has done and
    /// an operator imported again counts.
    pub(super) fn owe(&self, entry: &Entry) -> bool {
        self.any(entry, |is_owed| is_owed)
    }

    fn any(&self, entry: &Entry, counts: impl Fn(bool) -> bool) -> bool {
        let pending = self.pending();
        pending.dropped.is_some_and(|dropped| entry.fetched <= dropped)
            || pending.forgets.iter().any(|(forget, is_owed)| {
                counts(*is_owed) && forget.query.concerns(entry) && forget.was_gone(entry)
            })
    }

    /// Remembers that everything from before is to be doubted, and the disk has no note of it.
    pub(super) fn add_flush(&self, at: Timestamp) {
        let mut pending = self.pending();
        pending.flush = pending.flush.max(Some(at));
    }

    /// As of when everything is to be doubted, where the disk has no note of it.
    pub(super) fn owed_flush(&self) -> Option<Timestamp> {
        self.pending().flush
    }

    /// The disk has this note.
    pub(super) fn flush_done(&self, at: Timestamp) {
        let mut pending = self.pending();
        pending.flush = pending.flush.filter(|owed| *owed > at);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;
    use crate::policy::Plan;

    fn forget(second: i64) -> Arc<Forget> {
        let plan =
            Plan { signatures: true, certificates: true, attestations: true, names_tag: false };
        let query =
            EvidenceQuery { digests: vec![Digest::of(b"image")], repositories: Vec::new(), plan };
        Arc::new(Forget::new(query, Timestamp::from_second(second).unwrap(), |_| true))
    }

    /// Attack D1: a disk that hangs for long while much is withdrawn fills no memory, and what is
    /// not remembered one by one is doubted with all the rest.
    #[test]
    fn attack_d1_what_is_to_be_forgotten_is_bounded_and_never_lost() {
        let pending = PendingForgets::default();
        let first = forget(0);
        pending.add(&first);
        pending.done(&first);
        for second in 1..=1024 {
            pending.add(&forget(second));
        }
        assert_eq!((pending.owed().len(), pending.owed_flush()), (1024, None));
        pending.add(&forget(2000));
        let doubted = Timestamp::from_second(1).unwrap();
        assert_eq!((pending.owed().len(), pending.owed_flush()), (1024, Some(doubted)));
        pending.flush_done(Timestamp::UNIX_EPOCH);
        assert_eq!(pending.owed_flush(), Some(doubted));
        pending.flush_done(doubted);
        assert_eq!(pending.owed_flush(), None);
    }
}
