//! [`ReevaluationQueue`]: the admissions that are still to be judged again after a change of policy
//! or keys, and [`Reevaluated`]: how far that is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::cache::CachedPermit;
use crate::policy::PolicySet;

/// Admissions judged between two looks at whether there is something else to do; each takes a
/// millisecond at most.
const CHUNK: usize = 16;

/// What is still to be judged again.
#[derive(Debug, Default)]
pub(super) struct ReevaluationQueue {
    queued: Mutex<QueuedAdmissions>,
}

#[derive(Debug, Default)]
struct QueuedAdmissions {
    /// The documents to judge by; none before the first change.
    set: Option<Arc<PolicySet>>,
    admissions: VecDeque<Arc<CachedPermit>>,
    is_running: bool,
    progress: Reevaluated,
    /// Time that it has taken, in microseconds.
    micros: u64,
}

/// How far the remembered admissions are judged again since the last change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reevaluated {
    /// Still to be judged.
    pub left: usize,
    /// Admitted under the new documents as well.
    pub admitted: usize,
    /// Not admitted by the evidence on this node: they are decided on, with the registry, when they
    /// are asked for.
    pub left_out: usize,
    /// Milliseconds that it has taken.
    pub millis: u64,
}

/// What became of one.
pub(super) enum Again {
    Admitted,
    LeftOut(String),
    /// It is in memory already, or needs no verdict there.
    Known,
}

impl ReevaluationQueue {
    pub(super) fn progress(&self) -> Reevaluated {
        let queued = self.queued();
        Reevaluated {
            left: queued.admissions.len(),
            millis: queued.micros / 1000,
            ..queued.progress
        }
    }

    /// Forgets what is still to be judged.
    pub(super) fn clear(&self) {
        self.queued().admissions.clear();
    }

    /// Has these judged by these documents, before what an earlier change has left, and at most so
    /// many of all. Whether nobody is at it yet.
    pub(super) fn begin(
        &self,
        set: &Arc<PolicySet>,
        remembered: Vec<Arc<CachedPermit>>,
        most: usize,
    ) -> bool {
        let mut queued = self.queued();
        queued.set = Some(Arc::clone(set));
        let earlier = std::mem::take(&mut queued.admissions);
        queued.admissions.extend(remembered.into_iter().chain(earlier).take(most));
        (queued.progress, queued.micros) = (Reevaluated::default(), 0);
        !std::mem::replace(&mut queued.is_running, true)
    }

    /// Nobody is at it: each is judged when it is asked for.
    pub(super) fn give_up(&self) {
        self.queued().is_running = false;
    }

    /// The next few, and by what to judge them; none when all is done, and whoever asked is no
    /// longer at it.
    pub(super) fn next(&self) -> Option<(Arc<PolicySet>, Vec<Arc<CachedPermit>>)> {
        let mut queued = self.queued();
        let many = queued.admissions.len().min(CHUNK);
        let chunk: Vec<Arc<CachedPermit>> = queued.admissions.drain(..many).collect();
        match &queued.set {
            Some(set) if !chunk.is_empty() => Some((Arc::clone(set), chunk)),
            Some(_) | None => {
                queued.is_running = false;
                None
            }
        }
    }

    /// Counts what became of a few that were judged by `set`; the reasons of those that are left
    /// out.
    pub(super) fn count(
        &self,
        set: &Arc<PolicySet>,
        chunk: &[Arc<CachedPermit>],
        (again, took): (Vec<Again>, Duration),
    ) -> Vec<String> {
        let mut queued = self.queued();
        let mut reasons = Vec::new();
        if queued.set.as_ref().is_none_or(|newest| !Arc::ptr_eq(newest, set)) {
            // Documents changed meanwhile, and nobody else has these any more: they are judged by
            // the new ones.
            chunk
                .iter()
                .rev()
                .for_each(|admission| queued.admissions.push_front(Arc::clone(admission)));
            return reasons;
        }
        for one in again {
            match one {
                Again::Admitted => queued.progress.admitted += 1,
                Again::LeftOut(why) => {
                    queued.progress.left_out += 1;
                    reasons.push(why);
                }
                Again::Known => {}
            }
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        queued.micros = queued.micros.saturating_add(took);
        reasons
    }

    fn queued(&self) -> MutexGuard<'_, QueuedAdmissions> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
