//! [`Decider::decide`]: the verdict from memory, or by one evaluation that all who ask the same
//! share; and how long it is remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decider::Decider;
use crate::decision::cache::{CachedDenial, CachedPermit, Decision};
use crate::decision::question::Question;
use crate::decision::refusal::Refusal;
use crate::decision::single_flight::FlightError;
use crate::decision::time::Moment;
use crate::policy::{Class, Denial, Verdict, VerdictKey};
use crate::registry::AccessKey;

/// An answer, and whether it was in memory.
#[derive(Debug, Clone)]
pub(crate) struct DecisionAnswer {
    pub(crate) decision: Decision,
    pub(crate) cached: bool,
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
    pub(crate) async fn decide(
        self: &Arc<Self>,
        question: Question,
        deadline: Instant,
    ) -> Result<DecisionAnswer, Refusal> {
        let key = question.key();
        if let Some(admission) = self.permit(&key, &question) {
            return Ok(DecisionAnswer { decision: Ok(admission), cached: true });
        }
        let flight = (key, question.access.key());
        if let Some(declined) = self.denial(&flight) {
            return Ok(DecisionAnswer { decision: Err(declined), cached: true });
        }
        let decider = Arc::clone(self);
        let asked = flight.clone();
        let until =
            decider.evaluator.limits.registry_until(decider.evaluator.time.steady(), deadline);
        let question = decider.evaluator.shares.slim(question);
        let flight = (flight, question.is_brought);
        let evaluation = self.flights.run(flight, move || async move {
            decider.evaluate_and_remember(asked, question, until).await
        });
        match tokio::time::timeout_at(deadline.into(), evaluation).await {
            Ok(Ok(judged)) => Ok(DecisionAnswer { decision: judged, cached: false }),
            Ok(Err(FlightError::Overloaded { .. })) => Err(Refusal::Overloaded),
            Ok(Err(FlightError::Lost)) => Err(Refusal::Lost),
            Err(_) => Err(Refusal::Deadline),
        }
    }

    /// The permit that is remembered and still holds. How long it lives is counted on the steady
    /// clock, so that a calendar that is set back lengthens nothing; the calendar is asked all the
    /// same, since one that is set forward ends what it is past (attack C4). One that is due has
    /// the registry asked again, aside.
    fn permit(
        self: &Arc<Self>,
        key: &VerdictKey,
        question: &Question,
    ) -> Option<Arc<CachedPermit>> {
        let steady = self.evaluator.time.steady();
        let admission = self.verdicts.permits().get(key, steady).cloned()?;
        if !admission.holds(|| self.evaluator.time.now()) {
            return None;
        }
        if admission.takes_refresh(self.evaluator.time.since_began(steady)) {
            self.refresh_aside(key.clone(), question.clone());
        }
        Some(admission)
    }

    pub(super) fn denial(&self, asked: &(VerdictKey, AccessKey)) -> Option<CachedDenial> {
        self.verdicts.denials().get(asked, self.evaluator.time.steady()).cloned()
    }

    async fn evaluate_and_remember(
        self: Arc<Self>,
        asked: (VerdictKey, AccessKey),
        question: Question,
        until: Instant,
    ) -> Decision {
        let question = Arc::new(question);
        // On the heap, like what asks the registry: a future that holds another in place needs
        // stack for both.
        let evaluation = Box::pin(self.evaluator.evaluate(&question, until)).await;
        let moment = self.evaluator.time.moment();
        let steady = moment.steady;
        match evaluation.verdict {
            Verdict::Permit(permit) => {
                let at = (
                    self.evaluator.terms_at(&question, moment.now),
                    self.evaluator.time.since_began(steady),
                );
                let admission = Arc::new(match evaluation.is_doubtful {
                    true => CachedPermit::doubtful(permit, &question, evaluation.provenance),
                    false => CachedPermit::new(permit, &question, evaluation.provenance, at),
                });
                // What nobody checked is for this call alone, whatever the clocks say.
                if admission.permit().report().unchecked.is_none() {
                    self.remember(&asked.0, &admission, moment);
                }
                if admission.takes_refresh(self.evaluator.time.since_began(steady)) {
                    self.refresh_aside(asked.0, question.as_ref().clone());
                }
                Ok(admission)
            }
            Verdict::Denial(denial) => {
                let declined = CachedDenial::of(denial, evaluation.provenance);
                if let Some(life) = self.life(&declined.denial) {
                    self.verdicts.denials().put(asked, declined.clone(), steady + life);
                }
                Err(declined)
            }
        }
    }

    /// Remembers an admission for as long as it holds; not one that was under way when everything
    /// was to be forgotten.
    pub(super) fn remember(&self, key: &VerdictKey, admission: &Arc<CachedPermit>, moment: Moment) {
        let Some(life) = admission.life(moment.now, self.memory.admitted_ttl()) else { return };
        let mut permits = self.verdicts.permits();
        // Under the lock: a flush says when it was before it takes it.
        if !admission.is_from_before(self.evaluator.flushed()) {
            permits.put(key.clone(), Arc::clone(admission), moment.steady + life);
        }
    }

    /// How long a denial is remembered: a refusal shortly (fact P12); and what could not be
    /// evaluated not at all, since the next attempt may find the registry well again.
    fn life(&self, denial: &Denial) -> Option<Duration> {
        match denial.class() {
            Class::Refused => Some(self.memory.refused_ttl()),
            Class::Unable | Class::Unreachable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

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
            PublicKey::parse_pem(include_bytes!("../../../tests/fixtures/keys/build.pub")).unwrap();
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
        let (pod, documents, hint) = (Pod::default(), BTreeMap::new(), Hint::AskBoth);
        let is_brought = false;
        Question { subject, pod, set, applicable, access, hint, documents, is_brought }
    }

    /// Attack C4: what had ended stays ended, although the clock is set back.
    #[tokio::test]
    async fn attack_c4_time_never_goes_back_behind_what_is_known() {
        let decider = decider();
        let known = CLOCK.now().saturating_add(jiff::SignedDuration::from_hours(48)).unwrap();
        decider.evaluator.time.floor.raise(known);
        decider.evaluator.time.floor.raise(Timestamp::UNIX_EPOCH);
        assert_eq!(decider.evaluator.time.now(), known);
    }

    /// Attack E9: what a registry hides from one tenant it may show another; nobody is refused for
    /// what somebody else was not shown.
    #[tokio::test]
    async fn attack_e9_a_denial_is_kept_to_the_credentials_it_was_made_with() {
        let (decider, set) = (decider(), policy());
        let stranger = question(&set, None);
        let Verdict::Denial(denial) =
            stranger.judge(&[], decider.evaluator.time.now(), &decider.evaluator.proofs)
        else {
            panic!("admitted without a signature")
        };
        let asked = (stranger.key(), stranger.access.key());
        let deadline = CLOCK.steady() + Duration::from_secs(60);
        decider.verdicts.denials().put(asked, CachedDenial::of(denial, None), deadline);
        assert!(decider.decide(stranger, deadline).await.unwrap().cached);
        let tenant = question(&set, Some("tenant"));
        assert!(!decider.decide(tenant, deadline).await.unwrap().cached, "looked for itself");
    }
}
