//! [`Evaluation`]: a verdict by the nearest evidence that permits: in memory, on disk or at the
//! registry.
//!
//! Evidence of this node admits and never refuses: it says what was there, not that nothing else
//! is. How old it may be is [`FreshnessTerms`]' to say. What a permit rests on is on disk before
//! the permit is handed out.

use std::sync::Arc;
use std::time::Instant;

use super::evaluator::Evaluator;
use super::registry_evidence::{RegistryAnswer, SearchScope};
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::freshness::{FreshnessTerms, Staleness, in_words};
use crate::decision::question::Question;
use crate::evidence::{Evidence, EvidenceProvenance, Outcome, Place, Source};
use crate::image::Repository;
use crate::policy::{Class, Denial, Verdict};
use crate::registry;
use crate::share::Slot;
use crate::sources::{EvidenceQuery, Merge, Reading, Sizes};

/// A verdict with the evidence that it rests on, or that was looked at in vain.
#[derive(Debug)]
pub(in crate::decision) struct Evaluation {
    pub(in crate::decision) verdict: Verdict,
    pub(in crate::decision) provenance: Option<EvidenceProvenance>,
    /// It rests on evidence that the registry was to confirm and could not.
    pub(in crate::decision) is_doubtful: bool,
}

impl Evaluation {
    fn new(verdict: Verdict, provenance: Option<EvidenceProvenance>) -> Self {
        Self { verdict, provenance, is_doubtful: false }
    }
}

impl Evaluator {
    /// The verdict, from the nearest evidence that permits, or else from the registry, whose turn
    /// ends at `until`.
    pub(in crate::decision) async fn evaluate(
        self: &Arc<Self>,
        question: &Arc<Question>,
        until: Instant,
    ) -> Evaluation {
        let repositories = question.repositories();
        if repositories.is_empty() || question.is_struck_off() {
            return Evaluation::new(self.judge_aside(question, Vec::new()).await, None);
        }
        let terms = self.terms_at(question, self.time.now());
        let query = question.query(&repositories);
        let mut kept = self.sources.memory.pieces(&query).into_iter().collect::<EvidenceSet>();
        if let Some(evaluation) = self.judge_kept(question, &kept, &terms).await {
            return evaluation;
        }
        let taken = self.sources.store.take(query.clone(), Sizes::Usual).await;
        if kept.add(taken.pieces)
            && let Some(evaluation) = self.judge_kept(question, &kept, &terms).await
        {
            self.note_use(question, query, &kept, &terms);
            return evaluation;
        }
        if taken.left_out
            && let Some((_turn, all)) = self.with_huge(&query, &kept, until).await
            && let Some(evaluation) = self.judge_kept(question, &all, &terms).await
        {
            self.note_use(question, query, &kept, &terms);
            return evaluation;
        }
        if let Some(evaluation) = self.judge_excepted(question, &kept, &terms).await {
            return evaluation;
        }
        // What is there already may be for documents that ask for more: it is not replaced by less.
        let has_more =
            !kept.is_empty() || self.sources.store.has(query.clone()).await == Some(true);
        let reach = if has_more { SearchScope::WholePlaces } else { SearchScope::UntilPermitted };
        let asked = self.ask_in_turn(question, &repositories, reach, until).await;
        match asked.verdict {
            Verdict::Permit(_) => {
                self.keep_fetched(question, &asked.pieces, has_more).await;
                let registry = asked.provenance();
                Evaluation::new(asked.verdict, Some(registry))
            }
            Verdict::Denial(_) => {
                let kept = (query, kept, taken.left_out);
                self.denied(question, kept, asked, (&terms, until)).await
            }
        }
    }

    /// What a denial of the registry's comes to: its refusal is the answer, and so is its silence
    /// where nothing is kept. Where something is, that decides as far as it may; and where nothing
    /// does, the documents say what becomes of what could not be asked about.
    async fn denied(
        self: &Arc<Self>,
        question: &Arc<Question>,
        (query, kept, left_out): (EvidenceQuery, EvidenceSet, bool),
        asked: RegistryAnswer,
        (terms, until): (&FreshnessTerms, Instant),
    ) -> Evaluation {
        let registry = asked.provenance();
        let RegistryAnswer { verdict, pieces, held, .. } = asked;
        let denial = match verdict {
            Verdict::Denial(denial) if denial.class() != Class::Refused => denial,
            verdict @ (Verdict::Permit(_) | Verdict::Denial(_)) => {
                return Evaluation::new(verdict, Some(registry));
            }
        };
        let is_silent = Box::pin(is_silent(question, held.as_ref())).await;
        drop(held);
        let all = if left_out { self.with_huge(&query, &kept, until).await } else { None };
        let is_all = all.is_some() || !left_out;
        let sizes = if left_out { Sizes::All } else { Sizes::Usual };
        let (_turn, all) = all.unzip();
        let all = all.unwrap_or(kept);
        let evaluation = if all.provenance().is_none() && !left_out {
            Evaluation::new(Verdict::Denial(denial), Some(registry))
        } else {
            self.fall_back(question, (all.clone(), pieces.clone()), denial, terms).await
        };
        if !is_silent || !is_all || matches!(evaluation.verdict, Verdict::Permit(_)) {
            return evaluation;
        }
        match self.judge_unchecked(question, (query, sizes), (all, &pieces), terms).await {
            Some(permit) => Evaluation::new(Verdict::Permit(permit), None),
            None => evaluation,
        }
    }

    /// Notes that what is kept of a query has admitted.
    fn note_use(
        &self,
        question: &Question,
        query: EvidenceQuery,
        kept: &EvidenceSet,
        terms: &FreshnessTerms,
    ) {
        self.sources.memory.keep(kept.all());
        self.sources.store.used(query, &question.subject.target, terms.now);
    }

    /// Keeps what a permit from the registry rests on. Where `has_more`, what was cut short is less
    /// than what is kept, and replaces nothing.
    async fn keep_fetched(&self, question: &Question, pieces: &EvidenceSet, has_more: bool) {
        let (whole, cut) = pieces.by_wholeness();
        self.sources.memory.keep(whole.all());
        if !has_more {
            self.sources.memory.keep(cut.all());
        }
        self.sources.store.merge(Merge::Whole, whole.all(), question.about()).await;
        self.sources.store.merge(Merge::Part, cut.all(), question.about()).await;
    }

    /// What the registry shows, when its host has a seat until then.
    async fn ask_in_turn(
        self: &Arc<Self>,
        question: &Arc<Question>,
        repositories: &[Repository],
        reach: SearchScope,
        until: Instant,
    ) -> RegistryAnswer {
        match self.shares.seats.take(&question.host(), 1, until).await {
            Ok(seat) => {
                let asked = Box::pin(self.ask_registry(
                    question,
                    repositories,
                    reach,
                    (until, seat.recall()),
                ))
                .await;
                if asked.is_answered() {
                    seat.answered();
                }
                asked
            }
            Err(crowded) => self.not_asked(question, repositories, &crowded).await,
        }
    }

    /// What is kept with what is huge among it, and the turn in which it may be held; none where the
    /// turn does not come in time, or the disk does not give it.
    async fn with_huge(
        &self,
        query: &EvidenceQuery,
        kept: &EvidenceSet,
        until: Instant,
    ) -> Option<(Slot, EvidenceSet)> {
        let turn = self.sources.huge_turns.kept(until).await?;
        let mut all = kept.clone();
        all.add(self.sources.store.try_take(query.clone(), Sizes::All).await?.pieces);
        Some((turn, all))
    }

    /// A permit by evidence of this node that counts by itself: by what is fresh, or else by what
    /// is stale with it.
    async fn judge_kept(
        self: &Arc<Self>,
        question: &Arc<Question>,
        kept: &EvidenceSet,
        terms: &FreshnessTerms,
    ) -> Option<Evaluation> {
        for pieces in kept.in_turns(Staleness::Stale, terms) {
            let verdict = self.judge_aside(question, pieces.evidence()).await;
            if matches!(verdict, Verdict::Permit(_)) {
                return Some(Evaluation::new(verdict, pieces.provenance()));
            }
        }
        None
    }

    /// The permit of an exception, which counts whatever the registry would show: nobody waits for
    /// that.
    async fn judge_excepted(
        self: &Arc<Self>,
        question: &Arc<Question>,
        kept: &EvidenceSet,
        terms: &FreshnessTerms,
    ) -> Option<Evaluation> {
        if !question.set.is_excepted(&question.applicable, terms.now) {
            return None;
        }
        let verdict = self.judge_aside(question, kept.evidence()).await;
        matches!(verdict, Verdict::Permit(_)).then(|| Evaluation::new(verdict, None))
    }

    /// The registry could not say. What is on this node decides as far as the operator lets it;
    /// otherwise the denial tells of it.
    async fn fall_back(
        self: &Arc<Self>,
        question: &Arc<Question>,
        (kept, asked): (EvidenceSet, EvidenceSet),
        denial: Denial,
        terms: &FreshnessTerms,
    ) -> Evaluation {
        let usable = kept.at_most(Staleness::Doubtful, terms);
        let together = usable.evidence().into_iter().chain(asked.evidence()).collect();
        let verdict = self.judge_aside(question, together).await;
        if matches!(verdict, Verdict::Permit(_)) && usable.provenance().is_some() {
            return Evaluation { verdict, provenance: usable.provenance(), is_doubtful: true };
        }
        let note = self.note_of(question, &kept, terms).await;
        Evaluation::new(Verdict::Denial(denial.noting(&note)), kept.provenance())
    }

    /// What the evidence of this node would have come to, for people.
    async fn note_of(
        self: &Arc<Self>,
        question: &Arc<Question>,
        kept: &EvidenceSet,
        terms: &FreshnessTerms,
    ) -> String {
        let age = kept
            .provenance()
            .map(|provenance| in_words(terms.now.duration_since(provenance.fetched)));
        let age = age.unwrap_or_default();
        // As if everything had been looked at, so that it says why what is there does not count. It
        // decides nothing.
        let mut evidence = kept.evidence();
        evidence.extend(question.own_repository().map(|own| Arc::new(nothing_else(own, question))));
        match self.judge_aside(question, evidence).await {
            Verdict::Permit(_) => {
                let most = terms.freshness.max_offline.unwrap_or_default();
                let most = in_words(
                    jiff::SignedDuration::try_from(most).unwrap_or(jiff::SignedDuration::MAX),
                );
                format!(
                    "evidence on this node would admit it and is {age} old: maxOffline lets it \
                     count for {most}"
                )
            }
            Verdict::Denial(judged) => {
                format!(
                    "by the evidence on this node ({age} old) it is refused: {}",
                    judged.reason()
                )
            }
        }
    }
}

/// Evidence that there is nothing beside what is judged with it.
fn nothing_else(own: &Repository, question: &Question) -> Evidence {
    let place = |subject| Place { repository: own.clone(), subject, source: Source::Referrers };
    let looked =
        question.digests().into_iter().map(|digest| (place(digest), Outcome::Absent)).collect();
    Evidence { looked, ..Evidence::default() }
}

/// Whether nobody answers for the image. A registry that answers for it, or for a part of its
/// signatures, must answer for all of them; where it was asked for these alone, it is asked for
/// the image itself last.
async fn is_silent(question: &Question, held: Option<&Reading>) -> bool {
    let Some(session) = held.map(Reading::session) else { return false };
    let is_asked = question.set.admits_unreachable(&question.applicable);
    if question.is_brought || !is_asked || !session.is_silent() {
        return false;
    }
    let Some(own) = question.own_repository() else { return session.is_silent() };
    // What keeps the gate from asking is not the registry's silence.
    let asked = session.manifest(own, &question.subject.target).await;
    asked.is_err_and(|error| error.class() == registry::Class::Unreachable) && session.is_silent()
}
