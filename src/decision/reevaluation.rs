//! Judging again after a change of policy or keys: every remembered admission, the newest use
//! first, aside and without the network, so that pods that start meanwhile or afterwards find their
//! verdict in memory.
//!
//! What is not judged again is judged when it is asked for. Nothing here refuses anything: an image
//! that the new documents do not admit by the evidence at hand is left out, and said.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Decider;
use super::cached_permit::{CachedPermit, Moment, since};
use super::evidence_set::EvidenceSet;
use super::freshness::FreshnessTerms;
use super::question::{Question, judge_at};
use crate::evidence::Evidence;
use crate::policy::{Permit, PolicySet, Verdict};
use crate::registry::Access;
use crate::sources::take_now;
use crate::sources::{Hint, Sizes};

/// Admissions judged between two looks at whether there is something else to do; each takes a
/// millisecond at most.
const CHUNK: usize = 16;
/// Images named in the journal that the new documents do not admit; of more the number is said.
const NAMED_MAX: usize = 20;

/// What is still to be judged again.
#[derive(Debug, Default)]
pub(crate) struct Reevaluation {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The documents to judge by; none before the first change.
    set: Option<Arc<PolicySet>>,
    queue: VecDeque<Arc<CachedPermit>>,
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
enum Again {
    Admitted,
    LeftOut(String),
    /// It is in memory already, or needs no verdict there.
    Known,
}

impl Reevaluation {
    pub(crate) fn progress(&self) -> Reevaluated {
        let state = self.state();
        Reevaluated { left: state.queue.len(), millis: state.micros / 1000, ..state.progress }
    }

    /// Forgets what is still to be judged.
    pub(crate) fn clear(&self) {
        self.state().queue.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next few, and by what to judge them; none when all is done, and whoever asked is no
    /// longer at it.
    fn next(&self) -> Option<(Arc<PolicySet>, Vec<Arc<CachedPermit>>)> {
        let mut state = self.state();
        let many = state.queue.len().min(CHUNK);
        let chunk: Vec<Arc<CachedPermit>> = state.queue.drain(..many).collect();
        match &state.set {
            Some(set) if !chunk.is_empty() => Some((Arc::clone(set), chunk)),
            Some(_) | None => {
                state.is_running = false;
                None
            }
        }
    }
}

impl Decider {
    /// Has every remembered admission judged again by these documents, aside. What an earlier
    /// change has not come to yet is judged by these too.
    pub(crate) fn reevaluate_aside(self: &Arc<Self>, set: &Arc<PolicySet>) {
        let remembered = self.take_admissions();
        let begins = {
            let mut state = self.reevaluation.state();
            state.set = Some(Arc::clone(set));
            let most = self.memory.verdicts().get();
            let earlier = std::mem::take(&mut state.queue);
            state.queue.extend(remembered.into_iter().chain(earlier).take(most));
            (state.progress, state.micros) = (Reevaluated::default(), 0);
            !std::mem::replace(&mut state.is_running, true)
        };
        if !begins {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(Arc::clone(self).reevaluate_all())),
            // Nobody to do it aside: each is judged when it is asked for.
            Err(_) => self.reevaluation.state().is_running = false,
        }
    }

    /// All admissions, the most recently used first; none stays, since none can be found under
    /// other documents.
    fn take_admissions(&self) -> Vec<Arc<CachedPermit>> {
        let mut permits = self.verdicts.permits();
        let admissions = permits.values().map(Arc::clone).collect();
        permits.clear();
        admissions
    }

    async fn reevaluate_all(self: Arc<Self>) {
        let mut left_out = Vec::new();
        while let Some((set, chunk)) = self.reevaluation.next() {
            let decider = Arc::clone(&self);
            let moment = Moment { now: self.time.now(), steady: self.time.steady() };
            let judged =
                tokio::task::spawn_blocking(move || decider.reevaluate_chunk(&set, &chunk, moment))
                    .await;
            left_out.extend(
                judged.into_iter().flatten().take(NAMED_MAX.saturating_sub(left_out.len())),
            );
            tokio::task::yield_now().await;
        }
        let Reevaluated { admitted, left_out: without, millis, .. } = self.reevaluation.progress();
        for why in left_out {
            tracing::warn!("after the change of policy: {why}");
        }
        if admitted + without > 0 {
            tracing::info!(
                admitted,
                left_out = without,
                millis,
                "remembered images were judged again"
            );
        }
    }

    /// Judges a few; the reasons of those that are left out.
    fn reevaluate_chunk(
        &self,
        set: &Arc<PolicySet>,
        chunk: &[Arc<CachedPermit>],
        moment: Moment,
    ) -> Vec<String> {
        let began = self.time.steady();
        let again: Vec<Again> =
            chunk.iter().map(|admission| self.reevaluate(set, admission, moment)).collect();
        let took = u64::try_from(since(began, self.time.steady()).as_micros()).unwrap_or(u64::MAX);
        let mut state = self.reevaluation.state();
        let mut reasons = Vec::new();
        if state.set.as_ref().is_none_or(|newest| !Arc::ptr_eq(newest, set)) {
            // Documents changed meanwhile, and nobody else has these any more: they are judged by
            // the new ones.
            chunk.iter().rev().for_each(|admission| state.queue.push_front(Arc::clone(admission)));
            return reasons;
        }
        for one in again {
            match one {
                Again::Admitted => state.progress.admitted += 1,
                Again::LeftOut(why) => {
                    state.progress.left_out += 1;
                    reasons.push(why);
                }
                Again::Known => {}
            }
        }
        state.micros = state.micros.saturating_add(took);
        reasons
    }

    fn reevaluate(&self, set: &Arc<PolicySet>, admission: &CachedPermit, moment: Moment) -> Again {
        let question = question_of(set, admission);
        let key = question.key();
        if self.verdicts.permits().contains(&key) {
            return Again::Known;
        }
        let terms = self.terms_at(&question, moment.now);
        match self.judge_on_node(&question, &terms) {
            Ok((permit, pieces)) => {
                let at = (terms, since(self.time.began, moment.steady));
                let again = Arc::new(CachedPermit::new(permit, &question, pieces.provenance(), at));
                if admission.is_recorded() {
                    again.set_recorded();
                }
                self.remember(&key, &again, moment);
                // Whoever is used meanwhile is newer, and those judged before it were.
                self.verdicts.permits().demote(&key);
                Again::Admitted
            }
            Err(why) => Again::LeftOut(why),
        }
    }

    /// The permit by the evidence of this node that counts by itself, or why there is none.
    fn judge_on_node(
        &self,
        question: &Question,
        terms: &FreshnessTerms,
    ) -> Result<(Permit, EvidenceSet), String> {
        let repositories = question.repositories();
        if repositories.is_empty() {
            return permitted(judge_at(self, question, &[], terms.now), EvidenceSet::default());
        }
        let query = question.query(&repositories);
        let mut kept = self.sources.memory.pieces(&query).into_iter().collect::<EvidenceSet>();
        let mut judged = self.judge_pieces(question, &kept, terms);
        if judged.is_err() {
            // What is huge waits for its turn, when the image is used.
            let stored = self
                .sources
                .store
                .store()
                .and_then(|store| take_now(store, &query, Sizes::Usual).ok());
            if kept.add(stored.unwrap_or_default().pieces) {
                judged = self.judge_pieces(question, &kept, terms);
            }
        }
        judged
    }

    fn judge_pieces(
        &self,
        question: &Question,
        kept: &EvidenceSet,
        terms: &FreshnessTerms,
    ) -> Result<(Permit, EvidenceSet), String> {
        let mut last =
            Err(format!("{}: no evidence on this node counts by itself", question.subject.name));
        for pieces in kept.in_turns(terms) {
            let evidence: Vec<Arc<Evidence>> = pieces.evidence();
            last = permitted(judge_at(self, question, &evidence, terms.now), pieces);
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

fn permitted(verdict: Verdict, pieces: EvidenceSet) -> Result<(Permit, EvidenceSet), String> {
    match verdict {
        Verdict::Permit(permit) => Ok((permit, pieces)),
        Verdict::Denial(denial) => Err(denial.to_string()),
    }
}

/// The question that an admission answered, asked of other documents.
fn question_of(set: &Arc<PolicySet>, admission: &CachedPermit) -> Question {
    let subject = admission.permit().subject().clone();
    let pod = admission.pod();
    let applicable = set.applicable(&subject.name, &pod);
    Question {
        subject,
        namespace: pod.namespace,
        set: Arc::clone(set),
        applicable,
        access: Access::default(),
        hint: Hint::AskBoth,
        documents: BTreeMap::new(),
    }
}
