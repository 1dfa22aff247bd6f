//! Decisions that nobody waits for, as of a sweep over the node: by what is on this node alone
//! ([`Decider::decide_on_node`]), or by the registry, behind all calls ([`Decider::decide_behind`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::answer::DecisionAnswer;
use super::decider::Decider;
use crate::decision::cache::{CachedDenial, CachedPermit, Decision};
use crate::decision::evaluate::{RegistryAnswer, SearchScope};
use crate::decision::offline::OfflineVerdict;
use crate::decision::question::Question;
use crate::decision::refusal::Refusal;
use crate::evidence::{EvidenceProvenance, EvidenceSource};
use crate::policy::{Permit, Verdict};
use crate::sources::Merge;

/// What is said beside a denial that a call would not be refused for.
const WOULD_PASS: &str = "a call would let it through unchecked (onUnreachable: insecureAdmit)";

/// How far a decision goes to find evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// As far as a call does.
    Anywhere,
    /// Memory and this node.
    Node,
    /// The registry too, behind all calls.
    Behind,
}

impl Decider {
    /// The verdict by evidence from no further away than this.
    ///
    /// # Errors
    /// As of the decision that it is.
    pub(crate) async fn decide_within(
        self: &Arc<Self>,
        reach: Reach,
        question: Question,
        until: Instant,
    ) -> Result<DecisionAnswer, Refusal> {
        match reach {
            Reach::Anywhere => self.decide(question, until).await,
            Reach::Node => self.decide_on_node(question).await,
            Reach::Behind => self.decide_behind(question).await,
        }
    }

    /// The verdict by memory and by the evidence on this node, with no network. A denial is of the
    /// class refused only where no evidence could change it; where evidence could, and what is here
    /// does not permit, nothing is known.
    ///
    /// # Errors
    /// [`Refusal::Lost`] when judging ended in a panic.
    pub(crate) async fn decide_on_node(
        self: &Arc<Self>,
        question: Question,
    ) -> Result<DecisionAnswer, Refusal> {
        if let Some(decision) = self.known(&question) {
            return Ok(DecisionAnswer { decision, cached: true });
        }
        let decider = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || decider.judge_behind(&question)).await;
        let decision = judged.map_err(|_| Refusal::Lost)?;
        Ok(DecisionAnswer { decision, cached: false })
    }

    /// What the registry says, asked in a turn of those that refresh evidence: calls that wait for
    /// a registry lose no seat to it. What it admits is kept as after any decision.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when there was no turn in time, else as of
    /// [`decide_on_node`](Self::decide_on_node).
    pub(crate) async fn decide_behind(
        self: &Arc<Self>,
        question: Question,
    ) -> Result<DecisionAnswer, Refusal> {
        let repositories = question.repositories();
        if repositories.is_empty() {
            return self.decide_on_node(question).await;
        }
        if let Some(decision) = self.known(&question) {
            return Ok(DecisionAnswer { decision, cached: true });
        }
        let question = Arc::new(question);
        let until = self.evaluator.time.steady() + self.evaluator.limits.decision();
        let turn = self.evaluator.shares.refreshes.take(&question.host(), 1, until).await;
        let turn = turn.map_err(|_| Refusal::Overloaded)?;
        let asked = Box::pin(self.evaluator.ask_registry(
            &question,
            &repositories,
            SearchScope::Everything,
            (until, turn.recall()),
        ))
        .await;
        if asked.is_answered() {
            turn.answered();
        }
        let RegistryAnswer { verdict, pieces, began, held } = asked;
        let is_silent = held.as_ref().is_some_and(|reading| reading.session().is_silent());
        let provenance =
            Some(EvidenceProvenance { source: EvidenceSource::Registry, fetched: began });
        let decision = match verdict {
            Verdict::Permit(permit) => {
                let (whole, _) = pieces.by_wholeness();
                let sources = &self.evaluator.sources;
                sources.memory.keep(whole.all());
                sources.store.merge(Merge::Whole, whole.all(), question.about()).await;
                Ok(self.admit(permit, &question, provenance))
            }
            // Nobody waits for it, and nothing is let through: it stays what cannot be told.
            Verdict::Denial(denial) if is_silent && denial.is_admitted_unchecked() => {
                Err(CachedDenial::of(denial.noting(WOULD_PASS), provenance))
            }
            Verdict::Denial(denial) => Err(CachedDenial::of(denial, provenance)),
        };
        Ok(DecisionAnswer { decision, cached: false })
    }

    /// What is remembered.
    fn known(self: &Arc<Self>, question: &Question) -> Option<Decision> {
        let denied = || self.denial(&(question.key(), question.access.key())).map(Err);
        self.remembered(question).map(Ok).or_else(denied)
    }

    fn judge_behind(&self, question: &Question) -> Decision {
        let moment = self.evaluator.time.moment();
        let terms = self.evaluator.terms_at(question, moment.now);
        match self.judge_on_node(question, &terms) {
            Ok((permit, pieces)) => Ok(self.admit(permit, question, pieces.provenance())),
            Err(_) => {
                // What is here says what was there, not that nothing else is: it refuses nothing.
                let proofs = &self.evaluator.proofs;
                match OfflineVerdict::of_nothing(question, moment.now, proofs).verdict {
                    Verdict::Permit(permit) => Ok(self.admit(permit, question, None)),
                    Verdict::Denial(denial) => Err(CachedDenial::of(denial, None)),
                }
            }
        }
    }

    fn admit(
        &self,
        permit: Permit,
        question: &Question,
        provenance: Option<EvidenceProvenance>,
    ) -> Arc<CachedPermit> {
        let moment = self.evaluator.time.moment();
        let terms = self.evaluator.terms_at(question, moment.now);
        let at = (terms, self.evaluator.time.since_began(moment.steady));
        let question = Question { documents: BTreeMap::new(), ..question.clone() };
        let admission = Arc::new(CachedPermit::new(permit, &question, provenance, at));
        let key = question.key();
        self.remember(&key, &admission, moment);
        // What pods ask for goes before what nobody waits for.
        self.verdicts.permits().demote(&key);
        admission
    }
}
