//! Asking the registry: evidence is gathered place by place and judged after each, stopping at the
//! first permit.
//!
//! More evidence can only turn a denial into a permit, never the reverse (no requirement asks for
//! an absence), so stopping early changes no verdict, only the number of requests. Where what is
//! kept is to be replaced nothing is left out.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::evaluator::Evaluator;
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::question::Question;
use crate::evidence::{Evidence, EvidenceProvenance, EvidenceSource, Outcome, Place, Source};
use crate::image::Repository;
use crate::policy::{Class, Plan, Verdict};
use crate::share::{Crowded, Recall};
use crate::sources::{FetchedEvidence, Hint, PlaceEvidence, Reading, Search, Sought};

/// Part of the signature checks that is kept for places that were not looked in yet: who floods one
/// hides no other.
const CHECKS_KEPT: u32 = 4;

/// What the registry showed, and what came of it.
#[derive(Debug)]
pub(in crate::decision) struct RegistryAnswer {
    pub(in crate::decision) verdict: Verdict,
    /// The evidence of every place that was looked in, with what is known of the empty ones.
    pub(in crate::decision) pieces: EvidenceSet,
    /// When the first question went out: everything was shown later than that.
    pub(in crate::decision) began: Timestamp,
    /// The turns in which what is large may be held.
    pub(in crate::decision) held: Option<Reading>,
}

impl RegistryAnswer {
    /// Whether the registry answered, whatever it was.
    pub(in crate::decision) fn is_answered(&self) -> bool {
        match &self.verdict {
            Verdict::Permit(_) => true,
            Verdict::Denial(denial) => denial.class() != Class::Unreachable,
        }
    }

    /// From where it is, and since when.
    pub(in crate::decision) fn provenance(&self) -> EvidenceProvenance {
        EvidenceProvenance { source: EvidenceSource::Registry, fetched: self.began }
    }
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decision) enum SearchScope {
    /// What these documents want, until they permit.
    UntilPermitted,
    /// The same, and of each place that is looked in all that any policy could want.
    WholePlaces,
    /// All that any policy could want, everywhere.
    Everything,
}

impl Evaluator {
    /// Asks the registry, until then or until the decision's place goes to others, and judges by
    /// what it alone shows.
    pub(in crate::decision) async fn ask_registry(
        self: &Arc<Self>,
        question: &Arc<Question>,
        repositories: &[Repository],
        reach: SearchScope,
        (until, recall): (Instant, Recall),
    ) -> RegistryAnswer {
        let began = self.time.now();
        let plan = match reach {
            SearchScope::UntilPermitted => question.plan(),
            SearchScope::WholePlaces | SearchScope::Everything => question.wide_plan(),
        };
        let session = self.sources.registry.session(&question.access, until).ending_at(recall);
        let reading = Reading::new(
            session,
            until,
            Arc::clone(&self.sources.huge_turns),
            self.limits.bounds(),
        );
        // In a box, so that what holds this future stays small and shallow.
        let (verdict, gathered) =
            Box::pin(self.search(question, repositories, (plan, reach), &reading)).await;
        let piece = |evidence| {
            let held = Arc::new(FetchedEvidence { evidence, fetched: began });
            PlaceEvidence { held, source: EvidenceSource::Registry }
        };
        RegistryAnswer {
            verdict,
            pieces: gathered.into_iter().map(piece).collect(),
            began,
            held: Some(reading),
        }
    }

    /// What is answered when there was no place to ask it.
    pub(super) async fn not_asked(
        self: &Arc<Self>,
        question: &Arc<Question>,
        repositories: &[Repository],
        crowded: &Crowded,
    ) -> RegistryAnswer {
        let place = |repository: &Repository, subject| {
            let place =
                Place { repository: repository.clone(), subject, source: Source::Referrers };
            (place, Outcome::Unreachable(crowded.to_string()))
        };
        let digests = question.digests();
        let of = |repository| digests.iter().map(move |digest| place(repository, digest.clone()));
        let looked = repositories.iter().flat_map(of).collect();
        let evidence = vec![Arc::new(Evidence { looked, ..Evidence::default() })];
        let verdict = self.judge_aside(question, evidence).await;
        RegistryAnswer {
            verdict,
            pieces: EvidenceSet::default(),
            began: self.time.now(),
            held: None,
        }
    }

    async fn search(
        self: &Arc<Self>,
        question: &Arc<Question>,
        repositories: &[Repository],
        (plan, reach): (Plan, SearchScope),
        reading: &Reading,
    ) -> (Verdict, Vec<Arc<Evidence>>) {
        let repositories: Vec<(Repository, Hint)> = repositories
            .iter()
            .map(|repository| (repository.clone(), self.hint_for(question, repository)))
            .collect();
        let digests = question.digests();
        let bytes = question.documents.get(&question.subject.target);
        // Never empty: where no repository is known none is asked.
        let image = question
            .own_repository()
            .or_else(|| repositories.first().map(|(repository, _)| repository));
        let Some(image) = image else {
            return (self.judge_aside(question, Vec::new()).await, Vec::new());
        };
        let sought = Sought { image, repositories: &repositories, digests: &digests, bytes, plan };
        let mut search = Search::new(reading, &self.sources.forms, sought);
        let (is_wide, all_checks) =
            (reach != SearchScope::UntilPermitted, self.limits.signature_checks);
        let (mut checks, mut is_cut) = (all_checks, false);
        while let Some(place) = search.next().await {
            if reach == SearchScope::Everything && !search.is_long() {
                continue;
            }
            let (sifted, is_all) =
                self.sift_aside(question, search.to_judge(), (is_wide, checks)).await;
            (checks, is_cut) = (sifted.checks_left, is_cut || sifted.is_cut);
            search.settle(&sifted.helps);
            if checks < all_checks / CHECKS_KEPT && search.is_long() {
                is_cut = true;
            }
            if is_cut {
                search.leave_the_rest();
            }
            if !matches!(sifted.verdict, Verdict::Permit(_)) {
                continue;
            }
            if reach == SearchScope::Everything {
                // Nothing more is wanted of what is left of these places, and others may hold what
                // is to be kept.
                if is_all {
                    search.leave_the_rest();
                }
                continue;
            }
            self.sources.forms.learn(&place.repository, place.source);
            return (sifted.verdict, search.gathered());
        }
        if is_cut {
            search.cut_short(&format!(
                "more than {all_checks} signature checks suffice for (limits.signature_checks)"
            ));
        }
        (self.judge_aside(question, search.gathered()).await, search.gathered())
    }

    /// What is known about a repository's referrers endpoint.
    fn hint_for(&self, question: &Question, repository: &Repository) -> Hint {
        match question.own_repository() {
            Some(own) if own.host() == repository.host() => question.hint,
            Some(_) | None => Hint::of(self.sources.registry.referrers_support(repository), None),
        }
    }
}
