//! One judgement: verdict memory, evidence memory, then the registry; a single evaluation in flight per subject.
//!
//! Evidence is gathered place by place and judged after each, stopping at the first permit. More evidence can only turn a
//! denial into a permit, never the reverse (no requirement asks for an absence), so stopping early changes no verdict,
//! only the number of requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flights::FlightError;
use super::gather::{Hint, Reading, Search, Sought};
use super::{Gate, Refusal, Shared};
use crate::evidence::{Evidence, Name, Origin, Place, Source, Subject};
use crate::image::{Digest, Repository};
use crate::policy::{Applicable, Case, Class, Denial, Permit, Plan, PolicySet, Verdict, VerdictKey};
use crate::registry::{Access, AccessKey};
use crate::verify::Proofs;

/// Largest evidence from one place that is kept as a matter of course, in bytes. A signature takes 1 to 2 KiB, one with a
/// certificate and log proof under 20 KiB, so this is several.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Largest that is kept at all: attestations with a bill of materials. Of these few are kept
/// ([`KEPT_LARGE_MAX`](super::KEPT_LARGE_MAX)); more is fetched again when it is needed.
const KEPT_LARGE_BYTES_MAX: usize = 1 << 20;

/// A permit in memory.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    recorded: AtomicBool,
}

/// What a judgement came to.
pub(super) type Judged = Result<Arc<Admission>, Arc<Denial>>;

/// One question to the judge, with everything that it depends on.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) subject: Subject,
    pub(super) set: Arc<PolicySet>,
    pub(super) applicable: Applicable,
    pub(super) access: Access,
    pub(super) hint: Hint,
    /// The manifest or index that the subject's target is, where it is at hand; the verdict does not depend on it.
    pub(super) bytes: Option<Bytes>,
}

/// An answer, and whether it was in memory.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) judged: Judged,
    pub(super) cached: bool,
}

impl Admission {
    /// What may be done.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Whether a record of this admission is on disk: such an image still starts when the log cannot be written.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Notes that a record of this admission is on disk.
    pub(super) fn set_recorded(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }
}

impl Question {
    fn key(&self) -> VerdictKey {
        self.set.verdict_key(&self.subject, &self.applicable)
    }

    fn judge(&self, evidence: &[&Evidence], now: jiff::Timestamp, proofs: &Proofs) -> Verdict {
        let (subject, applicable) = (&self.subject, &self.applicable);
        self.set.judge(&Case { subject, applicable, evidence, now, proofs })
    }

    fn plan(&self) -> Plan {
        self.set.plan(&self.applicable)
    }

    /// The repository to look for signatures in; none when none could count anyway.
    fn repository(&self) -> Option<Repository> {
        match (&self.subject.name, self.subject.origin) {
            (Name::Known(reference), Origin::Registry | Origin::Kept) if self.plan().asks_for_evidence() => {
                Some(reference.runtime_repository().clone())
            }
            (Name::Known(_) | Name::Unknown, Origin::Registry | Origin::Kept | Origin::Local) => None,
        }
    }
}

impl Gate {
    /// The permit from memory alone.
    pub(super) fn remembered(&self, question: &Question) -> Option<Arc<Admission>> {
        self.shared.permit(&question.key())
    }

    /// The verdict: from memory, or by one evaluation that all who ask the same share.
    ///
    /// # Errors
    /// [`Refusal::Deadline`] when it did not come in time; the evaluation goes on for those who ask next.
    pub(super) async fn judge(&self, question: Question, deadline: Instant) -> Result<Answer, Refusal> {
        let key = question.key();
        if let Some(admission) = self.shared.permit(&key) {
            return Ok(Answer { judged: Ok(admission), cached: true });
        }
        let flight = (key, question.access.key());
        if let Some(denial) = self.shared.denial(&flight) {
            return Ok(Answer { judged: Err(denial), cached: true });
        }
        let shared = Arc::clone(&self.shared);
        let asked = flight.clone();
        let evaluation = self.flights.run(flight, move || async move { shared.evaluate(asked, question).await });
        match tokio::time::timeout_at(deadline.into(), evaluation).await {
            Ok(Ok(judged)) => Ok(Answer { judged, cached: false }),
            Ok(Err(FlightError::Overloaded { .. })) => Err(Refusal::Overloaded),
            Ok(Err(FlightError::Lost)) => Err(Refusal::Lost),
            Err(_) => Err(Refusal::Deadline),
        }
    }
}

impl Shared {
    /// The time as of which everything is judged.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now().max(*self.not_before.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The permit that is remembered and still holds. How long it lives is counted on the steady clock, so that a
    /// calendar that is set back lengthens nothing; the calendar is asked all the same, since one that is set forward
    /// ends what it is past (attack C4).
    fn permit(&self, key: &VerdictKey) -> Option<Arc<Admission>> {
        let admission = self.permits().get(key, self.clock.steady()).cloned()?;
        let holds = admission.permit.valid_until().is_none_or(|end| self.now() < end);
        holds.then_some(admission)
    }

    fn denial(&self, asked: &(VerdictKey, AccessKey)) -> Option<Arc<Denial>> {
        self.denials().get(asked, self.clock.steady()).cloned()
    }

    async fn evaluate(self: Arc<Self>, asked: (VerdictKey, AccessKey), question: Question) -> Judged {
        let judged = match Arc::clone(&self).gather_and_judge(question).await {
            Verdict::Permit(permit) => Ok(Arc::new(Admission { permit, recorded: AtomicBool::new(false) })),
            Verdict::Denial(denial) => Err(Arc::new(denial)),
        };
        // The steady clock first: what passes between the two readings shortens a life.
        let steady = self.clock.steady();
        if let Some(life) = self.life(&judged) {
            let expires = steady + life;
            match &judged {
                Ok(admission) => self.permits().put(asked.0, Arc::clone(admission), expires),
                Err(denial) => self.denials().put(asked, Arc::clone(denial), expires),
            }
        }
        judged
    }

    /// How long a verdict is remembered: a permit long, but never beyond the moment until which it holds; a refusal
    /// shortly (fact P12); and what could not be evaluated not at all, since the next attempt may find the registry well
    /// again.
    fn life(&self, judged: &Judged) -> Option<Duration> {
        match judged {
            Ok(admission) => match admission.permit.valid_until() {
                None => Some(self.memory.admitted_ttl()),
                Some(end) => {
                    let left = Duration::try_from(end.duration_since(self.now())).ok()?;
                    (!left.is_zero()).then(|| left.min(self.memory.admitted_ttl()))
                }
            },
            Err(denial) => match denial.class() {
                Class::Refused => Some(self.memory.refused_ttl()),
                Class::Unable | Class::Unreachable => None,
            },
        }
    }

    async fn gather_and_judge(self: Arc<Self>, question: Question) -> Verdict {
        let question = Arc::new(question);
        let Some(repository) = question.repository() else {
            return judge_aside(&self, &question, Vec::new()).await;
        };
        let kept = self.kept_evidence(&repository, &question);
        if !kept.is_empty() {
            let verdict = judge_aside(&self, &question, kept).await;
            if matches!(verdict, Verdict::Permit(_)) {
                return verdict;
            }
        }
        let limit = self.clock.steady() + self.limits.decision();
        let session = self.registry.session(&question.access, limit);
        let reading = Reading::new(session, limit, Arc::clone(&self.large_turns));
        self.gather_in_steps(&question, &repository, &reading).await
    }

    async fn gather_in_steps(
        self: &Arc<Self>,
        question: &Arc<Question>,
        repository: &Repository,
        reading: &Reading,
    ) -> Verdict {
        let digests: Vec<Digest> = question.subject.candidates().cloned().collect();
        let repositories = self.repositories(question, repository);
        let (bytes, plan) = (question.bytes.as_ref(), question.plan());
        let sought = Sought { image: repository, repositories: &repositories, digests: &digests, bytes, plan };
        let mut search = Search::new(reading, &self.forms, sought);
        while let Some(place) = search.next().await {
            let verdict = judge_aside(self, question, search.gathered()).await;
            if matches!(verdict, Verdict::Permit(_)) {
                self.forms.learn(&place.repository, place.source);
                self.keep(search.gathered());
                return verdict;
            }
        }
        judge_aside(self, question, search.gathered()).await
    }

    /// Where signatures are looked for, each with what is known of its registry.
    fn repositories(&self, question: &Question, own: &Repository) -> Vec<(Repository, Hint)> {
        let repositories = question.set.signature_repositories(&question.applicable, own);
        let hint = |repository: Repository| {
            let is_elsewhere = repository.host() != own.host();
            let elsewhere = is_elsewhere.then(|| Hint::of(self.registry.referrers_support(&repository), None));
            (repository, elsewhere.unwrap_or(question.hint))
        };
        repositories.into_iter().map(hint).collect()
    }

    /// Keeps the evidence that a permit rests on, so that the next policy can be judged without the network. Evidence
    /// that led to nothing is not kept: a registry cannot fill this memory with what nobody trusts.
    fn keep(&self, gathered: Vec<Arc<Evidence>>) {
        let expires = self.clock.steady() + self.memory.evidence_ttl();
        for evidence in gathered {
            let Some(place) = evidence.items.first().map(|item| item.place.clone()) else { continue };
            let size = evidence.size();
            if size <= KEPT_BYTES_MAX {
                self.evidence().put(place, evidence, expires);
            } else if size <= KEPT_LARGE_BYTES_MAX {
                self.large_evidence().put(place, evidence, expires);
            }
        }
    }

    /// Evidence from memory: bytes that were fetched, never that something was absent.
    fn kept_evidence(&self, repository: &Repository, question: &Question) -> Vec<Arc<Evidence>> {
        let now = self.clock.steady();
        let mut kept = Vec::new();
        for repository in question.set.signature_repositories(&question.applicable, repository) {
            for digest in question.subject.candidates() {
                for source in Source::ALL {
                    let place = Place { repository: repository.clone(), subject: digest.clone(), source };
                    kept.extend(self.evidence().get(&place, now).cloned());
                    kept.extend(self.large_evidence().get(&place, now).cloned());
                }
            }
        }
        kept
    }
}

/// Judges away from the thread that carries the node's calls: an RSA signature takes some 50 µs, a keyless one some
/// milliseconds, and there may be dozens.
async fn judge_aside(shared: &Arc<Shared>, question: &Arc<Question>, evidence: Vec<Arc<Evidence>>) -> Verdict {
    let now = shared.now();
    let (aside, again) = ((Arc::clone(shared), Arc::clone(question)), evidence.clone());
    let judged = tokio::task::spawn_blocking(move || judge_at(&aside.0, &aside.1, &evidence, now)).await;
    // A blocking task is lost only when the runtime shuts down; then the answer is of no use, but must not be a permit
    // by accident: the same pure function says the same here.
    judged.unwrap_or_else(|_| judge_at(shared, question, &again, now))
}

fn judge_at(shared: &Shared, question: &Question, evidence: &[Arc<Evidence>], now: jiff::Timestamp) -> Verdict {
    let evidence: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
    question.judge(&evidence, now, &shared.proofs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{CLOCK, node_platform};
    use crate::evidence::Pod;
    use crate::gate::{Limits, MemoryOptions, Parts};
    use crate::image::Reference;
    use crate::policy::{Documents, PolicyFile, Unmatched};
    use crate::registry::{self, AuthConfig, Credentials, Registry};
    use crate::runtime::{self, Runtime};
    use crate::verify::PublicKey;

    const POLICY: &str = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: p}\nspec:\n  \
        images: [\"reg.invalid/**\"]\n  require: {name: build, key: {files: [build.pub]}}\n";

    fn gate() -> Gate {
        let files = [PolicyFile { name: "a.yaml".to_owned(), bytes: POLICY.as_bytes().to_vec() }];
        let key = PublicKey::parse_pem(include_bytes!("../../tests/fixtures/keys/build.pub")).unwrap();
        let keys = std::iter::once(("build.pub".to_owned(), key)).collect();
        let options = registry::Options { certs_dirs: vec![], docker_configs: vec![], ..Default::default() };
        Gate::new(Parts {
            clock: CLOCK,
            platform: node_platform(),
            limits: Limits::default(),
            memory: MemoryOptions::default(),
            policy: PolicySet::build(Documents::parse(&files).unwrap(), keys, Unmatched::Deny).unwrap(),
            registry: Registry::new(options, CLOCK).unwrap(),
            runtime: Runtime::new(runtime::Options::default()),
        })
    }

    fn question(gate: &Gate, user: Option<&str>) -> Question {
        let name = Name::Known(Reference::parse("reg.invalid/app:1").unwrap());
        let set = gate.policy();
        let applicable = set.applicable(&name, &Pod::default());
        let subject = Subject { name, target: Digest::of(b"image"), child: None, origin: Origin::Registry };
        let auth = |user: &str| AuthConfig { username: user.into(), password: "x".into(), ..AuthConfig::default() };
        let access = user.map_or_else(Access::default, |user| {
            Access::new(Credentials::from_auth_config(&auth(user), "reg.invalid").unwrap())
        });
        Question { subject, set, applicable, access, hint: Hint::AskBoth, bytes: None }
    }

    /// Attack C4: what had ended stays ended, although the clock is set back.
    #[tokio::test]
    async fn attack_c4_time_never_goes_back_behind_what_is_known() {
        let gate = gate();
        let known = CLOCK.now().saturating_add(jiff::SignedDuration::from_hours(48)).unwrap();
        gate.not_before(known);
        gate.not_before(jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(gate.now(), known);
    }

    /// Attack E9: what a registry hides from one tenant it may show another; nobody is refused for what somebody else
    /// was not shown.
    #[tokio::test]
    async fn attack_e9_a_denial_is_kept_to_the_credentials_it_was_made_with() {
        let gate = gate();
        let stranger = question(&gate, None);
        let Verdict::Denial(denial) = stranger.judge(&[], gate.shared.clock.now(), &gate.shared.proofs) else {
            panic!("admitted without a signature")
        };
        let asked = (stranger.key(), stranger.access.key());
        let deadline = CLOCK.steady() + Duration::from_secs(60);
        gate.shared.denials().put(asked, Arc::new(denial), deadline);
        assert!(gate.judge(stranger, deadline).await.unwrap().cached);
        let tenant = question(&gate, Some("tenant"));
        assert!(!gate.judge(tenant, deadline).await.unwrap().cached, "looked for itself");
    }
}
