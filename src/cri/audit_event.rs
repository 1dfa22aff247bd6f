//! From a decision to its record: [`Story`] collects what one decision was about, [`Recorder`] puts it on disk.
//!
//! The rule for a log that cannot be written stands here, in one place: [`Recorder::admit`].

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use jiff::Timestamp;
use lru::LruCache;

use super::ask::{Call, LocalAsk, PullAsk};
use super::local_image::LocalPermit;
use super::pull_decision::PullPermit;
use super::verdict_counts::{BySource, Counts, Decided, admitted, rests_on_proof};
use crate::audit::{
    self, AuditError, Counters, DecisionId, EvidenceSource, Health, Log, OnFailure, Reason, Record, Verdict,
};
use crate::clock::Clock;
use crate::decision::cached_permit::{Admission, Footing};
use crate::decision::refusal::{Ending, Refusal};
use crate::decision::timing::Timings;
use crate::evidence::Pod;
use crate::floor::Floor;
use crate::image::Digest;
use crate::policy::PolicySet;

/// Images remembered as admitted before: as many as verdicts and containers that are remembered together.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);

/// Writes decisions to the audit log.
#[derive(Debug)]
pub struct Recorder {
    log: Log,
    on_failure: OnFailure,
    clock: Clock,
    /// When this process began: evidence from before it is of images that were admitted before.
    began: Timestamp,
    /// Images that are known to have been admitted before: by a record since, or by what was kept from before.
    known: Mutex<LruCache<Digest, ()>>,
    /// Rises with each record.
    floor: Floor,
    decided: Counts,
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
    image: Option<String>,
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

    /// Whether each of its images was admitted before, by a record or by what is kept on this node: evidence from before this
    /// process began, or of an image that is known since, or a rule that names the digest. What no proof stands behind
    /// was not.
    fn was_admitted_before(&self, began: Timestamp, is_known: impl Fn(&Digest) -> bool) -> bool {
        let before = |admission: &Arc<Admission>| {
            let is_kept = match admission.footing() {
                // A refresh may have renewed what was kept.
                Some(_) if is_known(&admission.permit().subject().target) => true,
                Some(footing) => footing.source != EvidenceSource::Registry && footing.fetched < began,
                None => true,
            };
            admission.is_recorded() || (is_kept && rests_on_proof(admission.permit()))
        };
        !self.admissions.is_empty() && self.admissions.iter().all(before)
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
        record.image.clone_from(&self.image);
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
        let (verdict, reason) = admitted(self.admissions.iter().map(|admission| admission.permit()));
        let mut record = self.record(verdict, reason);
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
        let known = Mutex::new(LruCache::new(KNOWN_MAX));
        Self { log, on_failure, clock, began: clock.now(), known, floor: Floor::default(), decided: Counts::default() }
    }

    /// Raises this floor with each record, so that the gate judges nothing as of an earlier time.
    #[must_use]
    pub fn raising(self, floor: Floor) -> Self {
        Self { floor, ..self }
    }

    /// What the log has done, and whether its last write went well.
    #[must_use]
    pub fn health(&self) -> (Health, Counters) {
        (self.log.health(), self.log.counters())
    }

    /// The log itself.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How many decisions ended how.
    #[must_use]
    pub fn decided(&self) -> Decided {
        self.decided.decided()
    }

    /// Where the evidence came from.
    #[must_use]
    pub fn by_source(&self) -> BySource {
        self.decided.by_source()
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
        if ask.user_specified.is_empty() || ask.user_specified == ask.image {
            story.reference.clone_from(&ask.image);
        } else {
            story.reference.clone_from(&ask.user_specified);
            story.image = Some(ask.image.clone()).filter(|image| !image.is_empty());
        }
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
            image: None,
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

    /// Records admissions and returns when they are on disk, or when that was waited for as long as it may be.
    ///
    /// # Errors
    /// [`Refusal::NotRecorded`] when the log cannot be written and the configuration does not let the images start all
    /// the same: by default those do that were admitted before. What is on record of the others by then, or waits to be,
    /// is taken back.
    pub async fn admit(&self, stories: &[Story]) -> Result<(), Refusal> {
        let writes = stories.iter().map(|story| async move {
            let record = story.admission();
            let (verdict, source) = (record.verdict, record.source);
            tell_unproven(&record);
            (story, verdict, source, self.log.append(record).await)
        });
        let (mut standing, mut counted, mut refused) = (Vec::new(), Vec::new(), None);
        for (story, verdict, source, written) in join_all(writes).await {
            counted.push((verdict, source));
            match written {
                // Also of one that was counted: the first of its kind is on disk.
                Ok(_) => {
                    self.floor.raise(self.clock.now());
                    story.admissions.iter().for_each(|admission| admission.set_recorded());
                    self.note_known(story);
                    standing.push(story);
                }
                Err(error) => {
                    let let_through = self.lets_through(story);
                    tracing::error!(decision = %story.id, image = story.reference, let_through, %error, "an admission could not be recorded");
                    if matches!(error, AuditError::Late { .. }) {
                        standing.push(story);
                    }
                    if !let_through {
                        refused.get_or_insert_with(|| Refusal::NotRecorded { why: error.to_string() });
                    }
                }
            }
        }
        if let Some(refusal) = refused {
            self.take_all_back(standing.into_iter(), &refusal).await;
            return Err(refusal);
        }
        counted.into_iter().for_each(|(verdict, source)| self.decided.count(verdict, source));
        Ok(())
    }

    /// Whether an admission stands although it could not be recorded.
    fn lets_through(&self, story: &Story) -> bool {
        match self.on_failure {
            OnFailure::RefuseNew => {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let was_before = story.was_admitted_before(self.began, |digest| known.contains(digest));
                drop(known);
                if was_before {
                    self.note_known(story);
                }
                was_before
            }
            OnFailure::AdmitAll => true,
            OnFailure::RefuseAll => false,
        }
    }

    fn note_known(&self, story: &Story) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for admission in &story.admissions {
            known.put(admission.permit().subject().target.clone(), ());
        }
    }

    /// Records that all of these were taken back, side by side: they wait for one disk.
    pub async fn take_all_back<'s>(&self, stories: impl Iterator<Item = &'s Story>, refusal: &Refusal) {
        join_all(stories.map(|story| self.take_back(story, refusal))).await;
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
        self.decided.count(record.verdict, record.source);
        match self.log.append(record).await {
            Ok(_) => self.floor.raise(self.clock.now()),
            Err(error) => tracing::error!(%error, "a refusal could not be recorded"),
        }
    }
}

/// Tells the journal of an image that runs without proof.
fn tell_unproven(record: &Record) {
    let Record { id, reference, verdict, reason, .. } = record;
    match verdict {
        Verdict::Warned => tracing::warn!(decision = %id, image = reference, "warned: {}", reason.message),
        Verdict::Unmatched | Verdict::Unverified => {
            tracing::info!(decision = %id, image = reference, "{verdict}: {}", reason.message);
        }
        Verdict::Admitted | Verdict::Refused | Verdict::Unable | Verdict::Unreachable => {}
    }
}
