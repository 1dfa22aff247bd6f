//! Refreshing: an admission whose evidence has become old stands, and the registry is asked again
//! aside.
//!
//! A refresh is the decision made again by the registry alone. What it confirms is as good as new;
//! what it no longer shows, while it still has the image, is withdrawn; and what it cannot say
//! changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::decider::Decider;
use super::refreshes::Refreshed;
use crate::decision::cache::{CachedPermit, REFRESH_AGAIN};
use crate::decision::evaluate::{RegistryAnswer, SearchScope};
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::question::Question;
use crate::evidence::{EvidenceProvenance, EvidenceSource, Place};
use crate::image::Repository;
use crate::policy::{Class, Denial, Permit, Verdict, VerdictKey};
use crate::registry;
use crate::share::Slot;
use crate::sources::{EvidenceQuery, Merge, PlaceEvidence};

/// A place among the refreshes under way; given up when it is dropped, after a panic too.
struct Underway {
    key: VerdictKey,
    decider: Arc<Decider>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.decider.refreshing.ended(&self.key);
    }
}

impl Decider {
    /// Asks the registry again, aside, unless that is under way.
    pub(super) fn refresh_aside(self: &Arc<Self>, key: VerdictKey, question: Question) {
        if !self.refreshing.begins(&key) {
            return;
        }
        let underway = Underway { key, decider: Arc::clone(self) };
        // Those that wait hold no documents, which may be megabytes each; what is kept of them
        // stays.
        let question = Arc::new(Question { documents: BTreeMap::new(), ..question });
        tokio::spawn(async move {
            let decider = &underway.decider;
            let until = decider.evaluator.time.steady() + REFRESH_AGAIN;
            let refreshed =
                match decider.evaluator.shares.refreshes.take(&question.host(), 1, until).await {
                    Ok(turn) => decider.refresh(&underway.key, &question, &turn).await,
                    Err(_) => Refreshed::Unanswered,
                };
            decider.refreshing.count(&refreshed);
        });
    }

    async fn refresh(
        self: &Arc<Self>,
        key: &VerdictKey,
        question: &Arc<Question>,
        turn: &Slot,
    ) -> Refreshed {
        let repositories = question.repositories();
        if repositories.is_empty() {
            return Refreshed::Unanswered;
        }
        let until = self.evaluator.time.steady() + self.evaluator.limits.decision();
        let asked = self
            .evaluator
            .ask_registry(question, &repositories, SearchScope::Everything, (until, turn.recall()))
            .await;
        if asked.is_answered() {
            turn.answered();
        }
        let RegistryAnswer { verdict, pieces, began, held: _held } = asked;
        match verdict {
            Verdict::Permit(permit) => {
                let (whole, absent) = seen(&pieces);
                self.forget_absent(question, &repositories, (absent, began)).await;
                self.evaluator.sources.memory.keep(whole.all());
                self.evaluator
                    .sources
                    .store
                    .merge(Merge::Whole, whole.all(), question.about())
                    .await;
                self.confirm(
                    key,
                    permit,
                    question,
                    EvidenceProvenance { source: EvidenceSource::Registry, fetched: began },
                );
                Refreshed::Confirmed
            }
            Verdict::Denial(denial)
                if denial.class() == Class::Refused && self.has_image(question).await =>
            {
                self.withdraw(question, &repositories, &denial, (&pieces, began)).await;
                Refreshed::Withdrawn
            }
            Verdict::Denial(denial) => {
                let image = question.subject.name.to_string();
                tracing::info!(
                    image,
                    "the evidence on this node could not be refreshed, it stays as it is: {denial}"
                );
                Refreshed::Unanswered
            }
        }
    }

    /// Puts a new admission in the place of the old one. What is on record stays so.
    fn confirm(
        &self,
        key: &VerdictKey,
        permit: Permit,
        question: &Question,
        provenance: EvidenceProvenance,
    ) {
        let moment = self.evaluator.time.moment();
        let at = (
            self.evaluator.terms_at(question, moment.now),
            self.evaluator.time.since_began(moment.steady),
        );
        let admission = Arc::new(CachedPermit::new(permit, question, Some(provenance), at));
        let before = self.verdicts.permits().get(key, moment.steady).cloned();
        if before.is_some_and(|before| before.is_recorded()) {
            admission.set_recorded();
        }
        self.remember(key, &admission, moment);
    }

    /// Whether the registry still has the image. One that is gone altogether, with its signatures,
    /// was not withdrawn by those who sign.
    async fn has_image(&self, question: &Question) -> bool {
        let Some(own) = question.own_repository() else { return false };
        let limit = self.evaluator.time.steady() + self.evaluator.limits.decision();
        let session = self.evaluator.sources.registry.session(&question.access, limit);
        match session.manifest(own, &question.subject.target).await {
            Ok(_) => true,
            Err(error) => match error.class() {
                registry::Class::Absent
                | registry::Class::Unreachable
                | registry::Class::Unable => false,
            },
        }
    }

    /// Forgets verdicts and evidence of an image whose registry no longer shows what admitted it.
    /// What it still shows may admit the image where other documents match, and stays; so does what
    /// was fetched after this was asked.
    async fn withdraw(
        &self,
        question: &Question,
        repositories: &[Repository],
        denial: &Denial,
        (pieces, began): (&EvidenceSet, Timestamp),
    ) {
        let image = question.subject.name.to_string();
        tracing::warn!(
            image,
            "withdrawn: the registry no longer shows what admitted the image: {denial}"
        );
        let (target, own) = (&question.subject.target, question.subject.name.repository());
        self.verdicts.permits().retain(|_, admission| {
            let subject = admission.permit().subject();
            let is_newer =
                admission.provenance().is_some_and(|provenance| provenance.fetched > began);
            is_newer || subject.target != *target || subject.name.repository() != own
        });
        let query = EvidenceQuery { plan: question.wide_plan(), ..question.query(repositories) };
        let newer =
            self.evaluator.sources.memory.pieces(&query).into_iter().collect::<EvidenceSet>();
        let newer: HashSet<&Place> = newer
            .all()
            .iter()
            .filter(|piece| piece.held.fetched > began)
            .filter_map(PlaceEvidence::place)
            .collect();
        self.evaluator.sources.memory.forget(&query, |place| !newer.contains(place));
        let (whole, _) = seen(pieces);
        self.evaluator
            .sources
            .store
            .retire((query, began), (whole.all(), question.about()), move |entry| {
                entry.fetched < began
            })
            .await;
    }

    /// Forgets the evidence of places that now have none, beside what still admits the image.
    async fn forget_absent(
        &self,
        question: &Question,
        repositories: &[Repository],
        (absent, began): (HashSet<Place>, Timestamp),
    ) {
        let query = EvidenceQuery { plan: question.wide_plan(), ..question.query(repositories) };
        self.evaluator.sources.memory.forget(&query, |place| absent.contains(place));
        self.evaluator
            .sources
            .store
            .retire((query, began), (&[], question.about()), move |entry| {
                absent.contains(&entry.place)
            })
            .await;
    }
}

/// What was seen whole, and the places where there is nothing. Of a place that could not be reached
/// in part the evidence of before stays: it may hold what another policy asks for.
fn seen(pieces: &EvidenceSet) -> (EvidenceSet, HashSet<Place>) {
    let (whole, _) = pieces.by_wholeness();
    let evidence = pieces.evidence();
    let looked = || evidence.iter().flat_map(|found| &found.looked);
    let is_empty = |place: &Place| {
        looked().filter(|(other, _)| other == place).all(|(_, said)| said.is_nothing())
    };
    let absent =
        looked().map(|(place, _)| place).filter(|place| is_empty(place)).cloned().collect();
    (whole, absent)
}
