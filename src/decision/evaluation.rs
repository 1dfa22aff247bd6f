//! One judgement: verdict memory, evidence in memory, evidence on disk, and only then a seat and
//! the registry; a single evaluation in flight per subject.
//!
//! Evidence of this node admits and never refuses: it says what was there, not that nothing else
//! is. How old it may be is [`FreshnessTerms`]' to say. What a permit rests on is on disk before
//! the permit is handed out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Decider;
use super::cached_permit::{CachedDenial, CachedPermit, Decision, Moment, since};
use super::evidence_set::EvidenceSet;
use super::freshness::{FreshnessTerms, Staleness, in_words};
use super::question::{Question, judge_aside};
use super::refusal::Refusal;
use super::registry_evidence::{RegistryAnswer, SearchScope};
use super::single_flight::FlightError;
use crate::evidence::{Evidence, EvidenceProvenance, EvidenceSource, Outcome, Place, Source};
use crate::image::Repository;
use crate::policy::{Class, Denial, Verdict, VerdictKey};
use crate::registry::AccessKey;
use crate::share::Slot;
use crate::sources::EvidenceQuery;
use crate::sources::Sizes;

/// An answer, and whether it was in memory.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) judged: Decision,
    pub(crate) cached: bool,
}

/// A verdict with the evidence that it rests on, or that was looked at in vain.
#[derive(Debug)]
pub(crate) struct Evaluation {
    pub(crate) verdict: Verdict,
    pub(crate) provenance: Option<EvidenceProvenance>,
    /// It rests on evidence that the registry was to confirm and could not.
    is_doubtful: bool,
}

impl Evaluation {
    pub(crate) fn new(verdict: Verdict, provenance: Option<EvidenceProvenance>) -> Self {
        Self { verdict, provenance, is_doubtful: false }
    }
}

impl Decider {
    /// The permit from memory alone.
    pub(crate) fn remembered(self: &Arc<Self>, question: &Question) -> Option<Arc<CachedPermit>> {
        self.permit(&question.key(), question)
    }

    /// The verdict: from memory, or by one evaluation that all who ask the same share.
    ///
    /// # Errors
    /// [`Refusal::Deadline`] when it did not come in time; the evaluation goes on for those who ask
    /// next.
    pub(crate) async fn judge(
        self: &Arc<Self>,
        question: Question,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let key = question.key();
        if let Some(admission) = self.permit(&key, &question) {
            return Ok(Answer { judged: Ok(admission), cached: true });
        }
        let flight = (key, question.access.key());
        if let Some(declined) = self.denial(&flight) {
            return Ok(Answer { judged: Err(declined), cached: true });
        }
        let decider = Arc::clone(self);
        let asked = flight.clone();
        let until = decider.limits.registry_until(decider.time.steady(), deadline);
        let question = decider.shares.slim(question);
        let evaluation = self
            .flights
            .run(flight, move || async move { decider.evaluate(asked, question, until).await });
        match tokio::time::timeout_at(deadline.into(), evaluation).await {
            Ok(Ok(judged)) => Ok(Answer { judged, cached: false }),
            Ok(Err(FlightError::Overloaded { .. })) => Err(Refusal::Overloaded),
            Ok(Err(FlightError::Lost)) => Err(Refusal::Lost),
            Err(_) => Err(Refusal::Deadline),
        }
    }
}

impl Decider {
    /// The permit that is remembered and still holds. How long it lives is counted on the steady
    /// clock, so that a calendar that is set back lengthens nothing; the calendar is asked all the
    /// same, since one that is set forward ends what it is past (attack C4). One that is due has
    /// the registry asked again, aside.
    fn permit(
        self: &Arc<Self>,
        key: &VerdictKey,
        question: &Question,
    ) -> Option<Arc<CachedPermit>> {
        let steady = self.time.steady();
        let admission = self.verdicts.permits().get(key, steady).cloned()?;
        if !admission.holds(|| self.time.now()) {
            return None;
        }
        if admission.takes_refresh(since(self.time.began, steady)) {
            self.refresh_aside(key.clone(), question.clone());
        }
        Some(admission)
    }

    fn denial(&self, asked: &(VerdictKey, AccessKey)) -> Option<CachedDenial> {
        self.verdicts.denials().get(asked, self.time.steady()).cloned()
    }

    async fn evaluate(
        self: Arc<Self>,
        asked: (VerdictKey, AccessKey),
        question: Question,
        until: Instant,
    ) -> Decision {
        let question = Arc::new(question);
        // On the heap, like what asks the registry: a future that holds another in place needs
        // stack for both.
        let ruled = Box::pin(self.rule(&question, until)).await;
        let moment = self.moment();
        let steady = moment.steady;
        match ruled.verdict {
            Verdict::Permit(permit) => {
                let at = (self.terms_at(&question, moment.now), since(self.time.began, steady));
                let admission = Arc::new(match ruled.is_doubtful {
                    true => CachedPermit::doubtful(permit, &question, ruled.provenance),
                    false => CachedPermit::new(permit, &question, ruled.provenance, at),
                });
                self.remember(&asked.0, &admission, moment);
                if admission.takes_refresh(since(self.time.began, steady)) {
                    self.refresh_aside(asked.0, question.as_ref().clone());
                }
                Ok(admission)
            }
            Verdict::Denial(denial) => {
                let declined = CachedDenial::of(denial, ruled.provenance);
                if let Some(life) = self.life(&declined.denial) {
                    self.verdicts.denials().put(asked, declined.clone(), steady + life);
                }
                Err(declined)
            }
        }
    }

    /// Remembers an admission for as long as it holds; not one that was under way when everything
    /// was to be forgotten.
    pub(crate) fn remember(&self, key: &VerdictKey, admission: &Arc<CachedPermit>, moment: Moment) {
        let Some(life) = admission.life(moment.now, self.memory.admitted_ttl()) else { return };
        let mut permits = self.verdicts.permits();
        // Under the lock: a flush says when it was before it takes it.
        if !admission.is_from_before(self.flushed()) {
            permits.put(key.clone(), Arc::clone(admission), moment.steady + life);
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        let steady = self.time.steady();
        Moment { steady, now: self.time.now() }
    }

    /// How long a denial is remembered: a refusal shortly (fact P12); and what could not be
    /// evaluated not at all, since the next attempt may find the registry well again.
    fn life(&self, denial: &Denial) -> Option<Duration> {
        match denial.class() {
            Class::Refused => Some(self.memory.refused_ttl()),
            Class::Unable | Class::Unreachable => None,
        }
    }

    /// How old evidence may be for this question.
    pub(crate) fn terms_at(&self, question: &Question, now: Timestamp) -> FreshnessTerms {
        let freshness = question.set.freshness(&question.applicable).least(self.freshness);
        FreshnessTerms { freshness, flushed: self.flushed(), now }
    }

    /// The verdict, from the nearest evidence that permits, or else from the registry, whose turn
    /// ends at `until`.
    async fn rule(self: &Arc<Self>, question: &Arc<Question>, until: Instant) -> Evaluation {
        let repositories = question.repositories();
        if repositories.is_empty() {
            return Evaluation::new(judge_aside(self, question, Vec::new()).await, None);
        }
        let terms = self.terms_at(question, self.time.now());
        let query = question.query(&repositories);
        let mut kept = self.sources.memory.pieces(&query).into_iter().collect::<EvidenceSet>();
        if let Some(ruled) = self.judge_kept(question, &kept, &terms).await {
            return ruled;
        }
        let taken = self.sources.store.take(query.clone(), Sizes::Usual).await;
        if kept.add(taken.pieces)
            && let Some(ruled) = self.judge_kept(question, &kept, &terms).await
        {
            self.sources.memory.keep(kept.all());
            self.sources.store.used(query, &question.subject.target, terms.now);
            return ruled;
        }
        let has_huge = taken.left_out;
        if has_huge
            && let Some((_turn, all)) = self.with_huge(&query, &kept, until).await
            && let Some(ruled) = self.judge_kept(question, &all, &terms).await
        {
            self.sources.memory.keep(kept.all());
            self.sources.store.used(query, &question.subject.target, terms.now);
            return ruled;
        }
        // What is there already may be for documents that ask for more: it is not replaced by less.
        let has_more =
            !kept.is_empty() || self.sources.store.has(query.clone()).await == Some(true);
        let reach = if has_more { SearchScope::WholePlaces } else { SearchScope::UntilPermitted };
        let asked = self.ask_in_turn(question, &repositories, reach, until).await;
        let registry =
            EvidenceProvenance { source: EvidenceSource::Registry, fetched: asked.began };
        match asked.verdict {
            Verdict::Permit(_) => {
                let (whole, cut) = asked.pieces.by_wholeness();
                self.sources.memory.keep(whole.all());
                if !has_more {
                    self.sources.memory.keep(cut.all());
                }
                self.sources.store.put(whole.all(), question.about()).await;
                self.sources.store.put_beside(cut.all(), question.about()).await;
                Evaluation::new(asked.verdict, Some(registry))
            }
            // The registry's refusal is the answer, and so is its silence where nothing is kept.
            Verdict::Denial(denial)
                if denial.class() == Class::Refused
                    || (kept.provenance().is_none() && !has_huge) =>
            {
                Evaluation::new(Verdict::Denial(denial), Some(registry))
            }
            Verdict::Denial(denial) => {
                drop(asked.held);
                let all = if has_huge { self.with_huge(&query, &kept, until).await } else { None };
                let (_turn, all) = all.unzip();
                self.fall_back(question, (all.unwrap_or(kept), asked.pieces), denial, &terms).await
            }
        }
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

    /// What is kept with what is huge among it, and the turn in which it may be held.
    async fn with_huge(
        &self,
        query: &EvidenceQuery,
        kept: &EvidenceSet,
        until: Instant,
    ) -> Option<(Slot, EvidenceSet)> {
        let turn = self.sources.huge_turns.kept(until).await?;
        let mut all = kept.clone();
        all.add(self.sources.store.take(query.clone(), Sizes::All).await.pieces);
        Some((turn, all))
    }

    /// A permit by evidence of this node that counts by itself: by what is fresh, or else by what
    /// is stale with it.
    pub(crate) async fn judge_kept(
        self: &Arc<Self>,
        question: &Arc<Question>,
        kept: &EvidenceSet,
        terms: &FreshnessTerms,
    ) -> Option<Evaluation> {
        for pieces in kept.in_turns(terms) {
            let verdict = judge_aside(self, question, pieces.evidence()).await;
            if matches!(verdict, Verdict::Permit(_)) {
                return Some(Evaluation::new(verdict, pieces.provenance()));
            }
        }
        None
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
        let verdict = judge_aside(self, question, together).await;
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
        match judge_aside(self, question, evidence).await {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::daemon::CLOCK;
    use crate::evidence::{Name, Origin, Pod, Subject};
    use crate::image::{Digest, Reference};
    use crate::policy::{Documents, PolicyFile, PolicySet, Unmatched};
    use crate::registry::{self, Access, AuthConfig, Credentials, Registry};
    use crate::sources::Hint;
    use crate::verify::PublicKey;

    const POLICY: &str = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: \
        p}\nspec:\n  \
        images: [\"reg.invalid/**\"]\n  require: {name: build, key: {files: [build.pub]}}\n";

    fn decider() -> Arc<Decider> {
        let options =
            registry::Options { certs_dirs: vec![], docker_configs: vec![], ..Default::default() };
        let registry = Registry::new(options, CLOCK).unwrap();
        Arc::new(Decider::new(CLOCK, Default::default(), registry, None))
    }

    fn policy() -> Arc<PolicySet> {
        let files = [PolicyFile { name: "a.yaml".to_owned(), bytes: POLICY.as_bytes().to_vec() }];
        let key =
            PublicKey::parse_pem(include_bytes!("../../tests/fixtures/keys/build.pub")).unwrap();
        let keys = std::iter::once(("build.pub".to_owned(), key)).collect();
        Arc::new(
            PolicySet::build(Documents::parse(&files).unwrap(), keys, Unmatched::Deny).unwrap(),
        )
    }

    fn question(set: &Arc<PolicySet>, user: Option<&str>) -> Question {
        let name = Name::Known(Reference::parse("reg.invalid/app:1").unwrap());
        let set = Arc::clone(set);
        let applicable = set.applicable(&name, &Pod::default());
        let subject =
            Subject { name, target: Digest::of(b"image"), child: None, origin: Origin::Registry };
        let auth = |user: &str| AuthConfig {
            username: user.into(),
            password: "x".into(),
            ..AuthConfig::default()
        };
        let access = user.map_or_else(Access::default, |user| {
            Access::new(Credentials::from_auth_config(&auth(user), "reg.invalid").unwrap())
        });
        let (namespace, documents) = (None, BTreeMap::new());
        Question { subject, namespace, set, applicable, access, hint: Hint::AskBoth, documents }
    }

    /// Attack C4: what had ended stays ended, although the clock is set back.
    #[tokio::test]
    async fn attack_c4_time_never_goes_back_behind_what_is_known() {
        let decider = decider();
        let known = CLOCK.now().saturating_add(jiff::SignedDuration::from_hours(48)).unwrap();
        decider.time.floor.raise(known);
        decider.time.floor.raise(Timestamp::UNIX_EPOCH);
        assert_eq!(decider.time.now(), known);
    }

    /// Attack E9: what a registry hides from one tenant it may show another; nobody is refused for
    /// what somebody else was not shown.
    #[tokio::test]
    async fn attack_e9_a_denial_is_kept_to_the_credentials_it_was_made_with() {
        let (decider, set) = (decider(), policy());
        let stranger = question(&set, None);
        let Verdict::Denial(denial) = stranger.judge(&[], decider.time.now(), &decider.proofs)
        else {
            panic!("admitted without a signature")
        };
        let asked = (stranger.key(), stranger.access.key());
        let deadline = CLOCK.steady() + Duration::from_secs(60);
        decider.verdicts.denials().put(asked, CachedDenial::of(denial, None), deadline);
        assert!(decider.judge(stranger, deadline).await.unwrap().cached);
        let tenant = question(&set, Some("tenant"));
        assert!(!decider.judge(tenant, deadline).await.unwrap().cached, "looked for itself");
    }
}
