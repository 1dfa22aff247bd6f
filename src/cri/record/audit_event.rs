//! [`AuditEvent`]: what one decision was about, as far as it has come, and the record that it
//! becomes.
//!
//! [`Recorder`](super::Recorder) puts it on disk.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::verdict_counts::{admitted, rests_on_proof};
use crate::audit::{self, Call, CallOutcome, DecisionId, Reason, Record, Verdict};
use crate::clock::Clock;
use crate::containerd::Content;
use crate::cri::{CachedPermit, Ending, ForwardedPull, LocalPermit, PullPermit, Refusal, Timings};
use crate::evidence::{EvidenceProvenance, EvidenceSource, Pod};
use crate::image::Digest;
use crate::policy::Observed;

/// What one decision was about, as far as it has come.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    pub(super) id: DecisionId,
    pub(super) call: Call,
    pub(super) pod: Pod,
    pub(super) container: Option<String>,
    pub(super) container_id: Option<String>,
    pub(super) sandbox_id: Option<String>,
    pub(super) reference: String,
    pub(super) image: Option<String>,
    pub(super) digest: Option<Digest>,
    pub(super) image_id: Option<Digest>,
    /// The manifest that this node runs.
    pub(super) platform_manifest: Option<Digest>,
    pub(super) admissions: Vec<Arc<CachedPermit>>,
    /// Why it would have been refused, where the gate only observes.
    pub(super) observed: Option<Observed<Refusal>>,
    /// Whether the documents that it is decided by are in observe mode.
    pub(super) observing: bool,
    pub(super) cached: bool,
    pub(super) provenance: Option<EvidenceProvenance>,
    pub(super) clock: Clock,
    pub(super) policy_generation: String,
    pub(super) trust_generation: String,
    /// The decision that is on record for it, once one is.
    pub(super) on_record: OnceLock<DecisionId>,
    /// How long each phase took.
    pub timings: Timings,
}

/// What a call that is forwarded comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardedAs {
    /// It was let through, with proof or without.
    Admitted {
        /// Which of the ways.
        verdict: Verdict,
        /// Why, on one line.
        message: String,
    },
    /// It would have been refused, and the gate only observes.
    Observed {
        /// The reason code of the refusal.
        code: &'static str,
        /// The reason.
        message: String,
    },
}

impl AuditEvent {
    /// The decision's id.
    #[must_use]
    pub fn id(&self) -> DecisionId {
        self.id
    }

    /// Notes by which call it was asked.
    pub(in crate::cri) fn call(&mut self, call: Call) {
        self.call = call;
    }

    /// Notes what a pull was permitted on.
    pub fn admitted_pull(&mut self, permit: &PullPermit) {
        self.digest = Some(permit.admission().permit().pinned().clone());
        // Of what is asked for by a digest it is known when it was pulled.
        self.platform_manifest.clone_from(&permit.admission().permit().subject().child);
        self.admissions = vec![Arc::clone(permit.admission())];
        (self.cached, self.provenance) = (permit.is_cached(), permit.provenance());
    }

    /// Notes under which right a pull is forwarded.
    pub fn forwarded_pull(&mut self, pull: &ForwardedPull) {
        match pull {
            ForwardedPull::Admitted(permit) => self.admitted_pull(permit),
            ForwardedPull::Observed { observed, target: _ } => self.observed(observed.clone()),
        }
    }

    /// Notes what the use of a local image was permitted on.
    pub fn admitted_local(&mut self, permit: &LocalPermit) {
        self.digest = Some(permit.content().target().clone());
        self.content(permit.content());
        self.admissions = permit.admissions().to_vec();
        (self.cached, self.provenance) = (permit.is_cached(), permit.provenance());
    }

    /// Notes the image as it was asked for, where the request does not say it.
    pub fn reference(&mut self, image: &str) {
        image.clone_into(&mut self.reference);
    }

    /// Notes that it would have been refused, and is forwarded since the gate observes. The first
    /// reason stays: it is the one that would have been answered. It is no admission from then on.
    pub fn observed(&mut self, observed: Observed<Refusal>) {
        self.admissions.clear();
        self.observed.get_or_insert(observed);
    }

    /// Marks all events of one call as observed where one is: the call is forwarded as it came, so
    /// that nothing of it is pinned or proven.
    pub fn observe_together(events: &mut [Self]) {
        let why = events.iter().find_map(|event| event.observed.clone());
        if let Some(why) = why {
            events.iter_mut().for_each(|event| event.observed(why.clone()));
        }
    }

    /// Whether it would have been refused.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observed.is_some()
    }

    /// The admissions that it rests on so far.
    #[must_use]
    pub fn admissions(&self) -> &[Arc<CachedPermit>] {
        &self.admissions
    }

    /// Notes what was proven of the image: its id, and which manifest this node runs.
    pub fn content(&mut self, content: &Content) {
        self.image_id = Some(content.id().clone());
        self.platform_manifest = Some(content.manifest().clone());
    }

    /// Notes the container's id.
    pub fn container_id(&mut self, id: &str) {
        self.container_id = Some(id.to_owned());
    }

    /// Notes the id of the sandbox that a container is made in.
    pub(in crate::cri) fn sandbox_id(&mut self, id: &str) {
        self.sandbox_id = Some(id.to_owned()).filter(|id| !id.is_empty());
    }

    /// The decision that is on record for it: its own, or the first of those like it.
    pub(super) fn recorded_as(&self) -> DecisionId {
        self.on_record.get().copied().unwrap_or(self.id)
    }

    /// This outcome, with what it is about.
    pub(super) fn outcome(&self, outcome: CallOutcome) -> CallOutcome {
        let digest = self.digest.as_ref().or_else(|| self.timings.target());
        let image_id = self.image_id.as_ref().or_else(|| self.timings.image());
        CallOutcome {
            decision: Some(self.recorded_as()),
            call: Some(self.call),
            pod: audit::Pod::from(&self.pod),
            container: self.container.clone(),
            container_id: self.container_id.clone(),
            sandbox_id: self.sandbox_id.clone(),
            reference: self.reference.clone(),
            digest: digest.map(Digest::to_string),
            image_id: image_id.map(Digest::to_string),
            platform_manifest: self.platform_manifest.as_ref().map(Digest::to_string),
            ..outcome
        }
    }

    /// Whether every admission that it rests on is on disk from before.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !self.admissions.is_empty()
            && self.admissions.iter().all(|admission| admission.is_recorded())
    }

    /// Whether each of its images was admitted before, by a record or by what is kept on this node:
    /// evidence from before this process began, or of an image that is known since, or a rule that
    /// names the digest. What no proof stands behind was not.
    pub(super) fn was_admitted_before(
        &self,
        began: Timestamp,
        is_known: impl Fn(&Digest) -> bool,
    ) -> bool {
        let before = |admission: &Arc<CachedPermit>| {
            let is_kept = match admission.provenance() {
                // A refresh may have renewed what was kept.
                Some(_) if is_known(&admission.permit().subject().target) => true,
                Some(provenance) => {
                    provenance.source != EvidenceSource::Registry && provenance.fetched < began
                }
                None => true,
            };
            admission.is_recorded() || (is_kept && rests_on_proof(admission.permit()))
        };
        !self.admissions.is_empty() && self.admissions.iter().all(before)
    }

    /// Where the evidence came from. A verdict from memory is from there, also where no evidence
    /// was needed.
    fn source(&self) -> Option<EvidenceSource> {
        self.looked_at()
            .map(|provenance| provenance.source)
            .or_else(|| self.cached.then_some(EvidenceSource::Memory))
    }

    fn looked_at(&self) -> Option<EvidenceProvenance> {
        self.provenance.or_else(|| self.timings.evidence())
    }

    fn record(&self, verdict: Verdict, reason: Reason) -> Record {
        let mut record = Record::new(self.id, self.call, verdict, reason);
        record.pod = audit::Pod::from(&self.pod);
        record.container.clone_from(&self.container);
        record.container_id.clone_from(&self.container_id);
        record.sandbox_id.clone_from(&self.sandbox_id);
        record.reference.clone_from(&self.reference);
        record.image.clone_from(&self.image);
        record.digest =
            self.digest.as_ref().or_else(|| self.timings.target()).map(Digest::to_string);
        record.image_id =
            self.image_id.as_ref().or_else(|| self.timings.image()).map(Digest::to_string);
        record.platform_manifest = self.platform_manifest.as_ref().map(Digest::to_string);
        record.cached = self.cached;
        record.source = self.source();
        record.evidence_age_seconds = self.looked_at().map(|provenance| {
            let age = self.clock.now().duration_since(provenance.fetched).as_secs();
            u64::try_from(age).unwrap_or_default()
        });
        record.policy_generation = Some(self.policy_generation.clone());
        record.trust_generation = Some(self.trust_generation.clone());
        record.timings = self
            .timings
            .phases()
            .into_iter()
            .map(|(phase, took)| (phase.into(), took))
            .collect::<BTreeMap<_, _>>();
        record
    }

    /// The record of a call that is forwarded: of its admission, or of the refusal that was only
    /// observed.
    pub(super) fn forwarded(&self) -> Record {
        match &self.observed {
            Some(observed) => self.observation(observed),
            None => self.admission(),
        }
    }

    /// What a call that is forwarded comes to, as its record has it.
    pub(in crate::cri) fn standing(&self) -> ForwardedAs {
        match &self.observed {
            Some(observed) => ForwardedAs::Observed {
                code: observed.denied().code(),
                message: observed.denied().to_string(),
            },
            None => {
                let permits = self.admissions.iter().map(|admission| admission.permit());
                let (verdict, Reason { message, .. }) = admitted(permits);
                ForwardedAs::Admitted { verdict, message }
            }
        }
    }

    /// The record of a refusal that was only observed.
    pub(super) fn observation(&self, observed: &Observed<Refusal>) -> Record {
        Record { observed: true, ..self.refusal(observed.denied()) }
    }

    fn admission(&self) -> Record {
        let (verdict, reason) =
            admitted(self.admissions.iter().map(|admission| admission.permit()));
        let mut record = self.record(verdict, reason);
        let reports: Vec<_> =
            self.admissions.iter().map(|admission| admission.permit().report()).collect();
        record.policies = serde_json::to_value(reports).unwrap_or_default();
        record
    }

    pub(super) fn refusal(&self, refusal: &Refusal) -> Record {
        let verdict = match refusal.ending() {
            Ending::Refused => Verdict::Refused,
            Ending::Unable => Verdict::Unable,
            Ending::Unreachable => Verdict::Unreachable,
        };
        let mut record = self.record(verdict, Reason::new(refusal.code(), refusal.to_string()));
        if let Refusal::Denied(denial)
        | Refusal::NoChild { denial, .. }
        | Refusal::ImageLabels { denial, .. } = refusal.cause()
        {
            record.policies = serde_json::to_value([denial.report()]).unwrap_or_default();
        }
        record
    }
}
