//! From a decision to its record: [`Story`] collects what one decision was about, [`Recorder`] puts it on disk.
//!
//! The rule for a log that cannot be written stands here, in one place: [`Recorder::admit`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;

use super::admission::{Admission, Footing};
use super::ask::{Call, LocalAsk, PullAsk};
use super::local::LocalPermit;
use super::pull::PullPermit;
use super::refusal::{Ending, Refusal};
use super::timing::Timings;
use crate::audit::{self, Counters, DecisionId, EvidenceSource, Log, OnFailure, Reason, Record, Verdict};
use crate::clock::Clock;
use crate::evidence::Pod;
use crate::image::Digest;
use crate::policy::{Permit, PolicySet};

/// Writes decisions to the audit log.
#[derive(Debug)]
pub struct Recorder {
    log: Log,
    on_failure: OnFailure,
    clock: Clock,
    decided: Counts,
}

/// Decisions since the start, counted as they are recorded.
#[derive(Debug, Default)]
struct Counts {
    admitted: AtomicU64,
    refused: AtomicU64,
    unable: AtomicU64,
    unreachable: AtomicU64,
    memory: AtomicU64,
    evidence: AtomicU64,
    registry: AtomicU64,
}

/// How many decisions ended how since the start. One that was taken back counts twice: as what it was, and as what it
/// became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Let through.
    pub admitted: u64,
    /// Refused.
    pub refused: u64,
    /// Not decided, since something could not be used.
    pub unable: u64,
    /// Not decided, since something did not answer.
    pub unreachable: u64,
}

/// Where the evidence came from that was decided on, since the start; decisions that needed none are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BySource {
    /// From memory.
    pub memory: u64,
    /// From disk.
    pub evidence: u64,
    /// From a registry.
    pub registry: u64,
}

/// What one decision was about, as far as it has come.
#[derive(Debug, Clone)]
pub struct Story {
    id: DecisionId,
    call: Call,
    pod: Pod,
    container: Option<String>,
    container_id: Option<String>,
    reference: String,
    digest: Option<Digest>,
    image_id: Option<Digest>,
    admissions: Vec<Arc<Admission>>,
    cached: bool,
    footing: Option<Footing>,
    clock: Clock,
    policy_generation: String,
    trust_generation: String,
    /// How long each phase took.
    pub timings: Timings,
}

impl Story {
    /// The decision's id.
    #[must_use]
    pub fn id(&self) -> DecisionId {
        self.id
    }

    /// Notes what a pull was permitted on.
    pub fn admitted_pull(&mut self, permit: &PullPermit) {
        self.digest = Some(permit.admission().permit().pinned().clone());
        self.admissions = vec![Arc::clone(permit.admission())];
        (self.cached, self.footing) = (permit.is_cached(), permit.footing());
    }

    /// Notes what the use of a local image was permitted on.
    pub fn admitted_local(&mut self, permit: &LocalPermit) {
        self.digest = Some(permit.content().target().clone());
        self.image_id = Some(permit.content().id().clone());
        self.admissions = permit.admissions().to_vec();
        (self.cached, self.footing) = (permit.is_cached(), permit.footing());
    }

    /// Notes the image's id.
    pub fn image_id(&mut self, id: &Digest) {
        self.image_id = Some(id.clone());
    }

    /// Notes the container's id.
    pub fn container_id(&mut self, id: &str) {
        self.container_id = Some(id.to_owned());
    }

    /// Whether every admission that it rests on is on disk from before.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !self.admissions.is_empty() && self.admissions.iter().all(|admission| admission.is_recorded())
    }

    /// Where the evidence came from. A verdict from memory is from there, also where no evidence was needed.
    fn source(&self) -> Option<EvidenceSource> {
        self.looked_at().map(|footing| footing.source).or_else(|| self.cached.then_some(EvidenceSource::Memory))
    }

    fn looked_at(&self) -> Option<Footing> {
        self.footing.or_else(|| self.timings.evidence())
    }

    fn record(&self, verdict: Verdict, reason: Reason) -> Record {
        let mut record = Record::new(self.id, audit_call(self.call), verdict, reason);
        record.pod = audit::Pod::from(&self.pod);
        record.container.clone_from(&self.container);
        record.container_id.clone_from(&self.container_id);
        record.reference.clone_from(&self.reference);
        record.digest = self.digest.as_ref().or_else(|| self.timings.target()).map(Digest::to_string);
        record.image_id = self.image_id.as_ref().or_else(|| self.timings.image()).map(Digest::to_string);
        record.cached = self.cached;
        record.source = self.source();
        record.evidence_age_seconds = self.looked_at().map(|footing| {
            let age = self.clock.now().duration_since(footing.fetched).as_secs();
            u64::try_from(age).unwrap_or_default()
        });
        record.policy_generation = Some(self.policy_generation.clone());
        record.trust_generation = Some(self.trust_generation.clone());
        record.timings =
            self.timings.phases().into_iter().map(|(phase, took)| (phase.into(), took)).collect::<BTreeMap<_, _>>();
        record
    }

    fn admission(&self) -> Record {
        let reason = admitted(self.admissions.iter().map(|admission| admission.permit()));
        let mut record = self.record(Verdict::Admitted, reason);
        let reports: Vec<_> = self.admissions.iter().map(|admission| admission.permit().report()).collect();
        record.policies = serde_json::to_value(reports).unwrap_or_default();
        record
    }

    fn refusal(&self, refusal: &Refusal) -> Record {
        let verdict = match refusal.ending() {
            Ending::Refused => Verdict::Refused,
            Ending::Unable => Verdict::Unable,
            Ending::Unreachable => Verdict::Unreachable,
        };
        let mut record = self.record(verdict, Reason::new(refusal.code(), refusal.to_string()));
        if let Refusal::Denied(denial) | Refusal::NoChild { denial, .. } = refusal {
            record.policies = serde_json::to_value([denial.report()]).unwrap_or_default();
        }
        record
    }
}

/// Why it was admitted. What was let through without proof is told from the rest by its code.
pub fn admitted<'p>(permits: impl Iterator<Item = &'p Permit> + Clone) -> Reason {
    if permits.clone().any(|permit| permit.report().unmatched) {
        Reason::new("unmatched", "admitted, though no policy matches: policy.unmatched says so")
    } else if permits.clone().any(|permit| permit.warnings().next().is_some()) {
        Reason::new("warned", "admitted, though a policy that only warns is not satisfied")
    } else {
        Reason::new("satisfied", "every policy that matches is satisfied")
    }
}

fn audit_call(call: Call) -> audit::Call {
    match call {
        Call::PullImage => audit::Call::PullImage,
        Call::CreateContainer => audit::Call::CreateContainer,
        Call::ImageVolume => audit::Call::ImageVolume,
        Call::StartContainer => audit::Call::StartContainer,
    }
}

impl Recorder {
    /// Records into this log; `on_failure` says what happens to admissions when it cannot be written.
    #[must_use]
    pub fn new(log: Log, on_failure: OnFailure, clock: Clock) -> Self {
        Self { log, on_failure, clock, decided: Counts::default() }
    }

    /// What the log has done, and whether its last write went well.
    #[must_use]
    pub fn health(&self) -> (bool, Counters) {
        (self.log.healthy(), self.log.counters())
    }

    /// How many decisions ended how.
    #[must_use]
    pub fn decided(&self) -> Decided {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Decided {
            admitted: read(&self.decided.admitted),
            refused: read(&self.decided.refused),
            unable: read(&self.decided.unable),
            unreachable: read(&self.decided.unreachable),
        }
    }

    /// Where the evidence came from.
    #[must_use]
    pub fn by_source(&self) -> BySource {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { memory, evidence, registry, .. } = &self.decided;
        BySource { memory: read(memory), evidence: read(evidence), registry: read(registry) }
    }

    fn count(&self, verdict: Verdict, source: Option<EvidenceSource>) {
        let count = match verdict {
            Verdict::Admitted => &self.decided.admitted,
            Verdict::Refused => &self.decided.refused,
            Verdict::Unable => &self.decided.unable,
            Verdict::Unreachable => &self.decided.unreachable,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let by_source = match source {
            Some(EvidenceSource::Memory) => &self.decided.memory,
            Some(EvidenceSource::Evidence) => &self.decided.evidence,
            Some(EvidenceSource::Registry) => &self.decided.registry,
            None => return,
        };
        by_source.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what was only counted so far; for the end.
    pub async fn close(&self) {
        if let Err(error) = self.log.close().await {
            tracing::error!(%error, "the last lines of the audit log could not be written");
        }
    }

    /// The beginning of a pull's story.
    #[must_use]
    pub fn pull(&self, ask: &PullAsk, policy: &PolicySet) -> Story {
        let mut story = self.unreadable(Call::PullImage, policy);
        story.pod.clone_from(&ask.pod);
        story.reference.clone_from(&ask.image);
        story
    }

    /// The beginning of a local image's story.
    #[must_use]
    pub fn local(&self, ask: &LocalAsk, policy: &PolicySet) -> Story {
        let mut story = self.unreadable(ask.call, policy);
        story.pod.clone_from(&ask.pod);
        story.container = Some(ask.container.clone()).filter(|name| !name.is_empty());
        let reference = if ask.user_specified.is_empty() { &ask.image } else { &ask.user_specified };
        story.reference.clone_from(reference);
        story
    }

    /// The beginning of the story of a container about which nothing is known but its id.
    #[must_use]
    pub fn start(&self, container_id: &str, policy: &PolicySet) -> Story {
        let mut story = self.unreadable(Call::StartContainer, policy);
        story.container_id(container_id);
        story
    }

    /// The story of a request that could not be read.
    #[must_use]
    pub fn unreadable(&self, call: Call, policy: &PolicySet) -> Story {
        Story {
            id: self.log.next_id(),
            call,
            pod: Pod::default(),
            container: None,
            container_id: None,
            reference: String::new(),
            digest: None,
            image_id: None,
            admissions: Vec::new(),
            cached: false,
            footing: None,
            clock: self.clock,
            policy_generation: policy.generation().to_owned(),
            trust_generation: policy.trust_generation().to_owned(),
            timings: Timings::start(self.clock),
        }
    }

    /// Records admissions and returns when they are on disk.
    ///
    /// # Errors
    /// [`Refusal::NotRecorded`] when the log cannot be written and the configuration does not let the images start all
    /// the same: by default those do whose admission is on disk from before.
    pub async fn admit(&self, stories: &[Story]) -> Result<(), Refusal> {
        let writes = stories.iter().map(|story| async move { (story, self.log.append(story.admission()).await) });
        for (story, written) in join_all(writes).await {
            match written {
                Ok(recorded) if recorded.durable() => {
                    story.admissions.iter().for_each(|admission| admission.set_recorded())
                }
                Ok(_) => {}
                Err(error) => {
                    let let_through = match self.on_failure {
                        OnFailure::RefuseNew => story.is_recorded(),
                        OnFailure::AdmitAll => true,
                        OnFailure::RefuseAll => false,
                    };
                    tracing::error!(decision = %story.id, image = story.reference, let_through, %error, "an admission could not be recorded");
                    if !let_through {
                        return Err(Refusal::NotRecorded { why: error.to_string() });
                    }
                }
            }
        }
        stories.iter().for_each(|story| self.count(Verdict::Admitted, story.source()));
        Ok(())
    }

    /// Whether these admissions stand even when the log cannot be written, so that their record may reach the disk while
    /// the runtime already works.
    #[must_use]
    pub fn stand_unwritten(&self, stories: &[Story]) -> bool {
        self.on_failure != OnFailure::RefuseAll && stories.iter().all(Story::is_recorded)
    }

    /// Records that a call was refused by its method alone, whatever it says.
    pub async fn refuse_method(&self, method: &str, refusal: &Refusal, policy: &PolicySet) {
        let reason = Reason::new(refusal.code(), refusal.to_string());
        let mut record = Record::new(self.log.next_id(), audit::Call::Other, Verdict::Refused, reason);
        record.method = Some(method.to_owned().into());
        record.policy_generation = Some(policy.generation().to_owned());
        record.trust_generation = Some(policy.trust_generation().to_owned());
        tracing::warn!(decision = %record.id, method, code = refusal.code(), "refused: {refusal}");
        self.append_refusal(record).await;
    }

    /// Records a refusal. When the log cannot be written the refusal stands, and the journal has it.
    pub async fn refuse(&self, story: &Story, refusal: &Refusal) {
        tracing::warn!(decision = %story.id, image = story.reference, code = refusal.code(), "refused: {refusal}");
        self.append_refusal(story.refusal(refusal)).await;
    }

    /// Records that an admission on record was taken back: what was made is not what was admitted, or it was never
    /// asked of the runtime.
    pub async fn take_back(&self, story: &Story, refusal: &Refusal) {
        let mut record = story.refusal(refusal);
        record.id = self.log.next_id();
        record.supersedes = Some(story.id);
        tracing::error!(decision = %record.id, image = story.reference, code = refusal.code(), "taken back: {refusal}");
        self.append_refusal(record).await;
    }

    async fn append_refusal(&self, record: Record) {
        self.count(record.verdict, record.source);
        if let Err(error) = self.log.append(record).await {
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Name, Origin, Subject};
    use crate::image::Reference;
    use crate::policy::{Case, Documents, Material, PolicyFile, Unmatched, Verdict};
    use crate::verify::Proofs;

    const WARNING: &str = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: w}\nspec:\n  \
        images: [reg.test/app]\n  action: warn\n  require: {digest: {anyOf: [DIGEST]}}\n";

    /// The code of an admission of `reg.test/app` with this digest under these documents.
    fn code(digest: &Digest, policies: &str) -> String {
        let file = PolicyFile { name: "p.yaml".to_owned(), bytes: policies.into() };
        let files = if policies.is_empty() { Vec::new() } else { vec![file] };
        let documents = Documents::parse(&files).unwrap();
        let set = PolicySet::build(documents, Material::default(), Unmatched::Admit).unwrap();
        let name = Name::Known(Reference::parse("reg.test/app:1").unwrap());
        let pod = Pod { namespace: Some("default".to_owned()), ..Pod::default() };
        let applicable = set.applicable(&name, &pod);
        let subject = Subject { name, target: digest.clone(), child: None, origin: Origin::Registry };
        match set.judge(&Case {
            subject: &subject,
            applicable: &applicable,
            evidence: &[],
            now: jiff::Timestamp::UNIX_EPOCH,
            proofs: &Proofs::default(),
        }) {
            Verdict::Permit(permit) => admitted(std::iter::once(&permit)).code.into_owned(),
            Verdict::Denial(denial) => panic!("{denial}"),
        }
    }

    #[test]
    fn an_admission_says_what_it_rests_on() {
        let (listed, other) = (Digest::of(b"listed"), Digest::of(b"other"));
        let policies = WARNING.replace("DIGEST", &format!("{:?}", listed.as_str()));
        assert_eq!(code(&listed, &policies), "satisfied");
        assert_eq!(code(&other, &policies), "warned");
        assert_eq!(code(&other, ""), "unmatched");
    }
}
