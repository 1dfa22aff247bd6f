//! [`Recorder`]: puts decisions into the audit log. [`OnRecord`] and [`Refused`]: what only it gives,
//! and without which no call is answered.
//!
//! The rule for a log that cannot be written stands here, in one place: [`Recorder::admit`].

use std::num::NonZeroUsize;
use std::sync::{Mutex, OnceLock, PoisonError};

use futures_util::future::join_all;
use jiff::Timestamp;
use lru::LruCache;

use super::admitted::Admitted;
use super::audit_event::AuditEvent;
use super::decision_counts::{Counted, Counts, DecisionCounts};
use super::findings::{FindingCounts, FindingsByKind};
use super::refused::Refused;
use super::verdict_counts::{BySource, Decided};
use crate::audit::{
    AuditError, Counters, DecisionId, Finding, FindingKind, Health, Log, OnFailure, Reason, Record,
    Recorded, Seal, Verdict,
};
use crate::clock::Clock;
use crate::cri::ask::{Call, LocalImageRequest, PullRequest};
use crate::cri::{ProvenBefore, Refusal, Timings};
use crate::evidence::Pod;
use crate::floor::Floor;
use crate::image::Digest;
use crate::policy::{Observed, PolicySet};

/// Images remembered as admitted before: as many as verdicts and containers that are remembered
/// together.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);

/// The right to answer a call: its decision is on record, or there is a reason why it need not be.
/// [`Recorder::admit`] gives it, when the record is on disk or `audit.on_failure` lets an admission
/// stand without one; so does a container that this process proved, whose admission is on record
/// since.
#[must_use]
#[derive(Debug)]
pub struct OnRecord(());

impl OnRecord {
    /// A container that was proven before starts without another record.
    pub(in crate::cri) fn before(_: ProvenBefore) -> Self {
        Self(())
    }
}

/// Writes decisions to the audit log.
#[derive(Debug)]
pub struct Recorder {
    log: Log,
    on_failure: OnFailure,
    clock: Clock,
    /// When this process began: evidence from before it is of images that were admitted before.
    began: Timestamp,
    /// Images that are known to have been admitted before: by a record since, or by what was kept
    /// from before.
    known: Mutex<LruCache<Digest, ()>>,
    /// Rises with each record.
    floor: Floor,
    decided: Counts,
    findings: FindingCounts,
    pub(super) admitted: Admitted,
}

impl Recorder {
    /// Records into this log; `on_failure` says what happens to admissions when it cannot be
    /// written.
    #[must_use]
    pub fn new(log: Log, on_failure: OnFailure, clock: Clock) -> Self {
        let known = Mutex::new(LruCache::new(KNOWN_MAX));
        Self {
            log,
            on_failure,
            clock,
            began: clock.now(),
            known,
            floor: Floor::default(),
            decided: Counts::default(),
            findings: FindingCounts::default(),
            admitted: Admitted::default(),
        }
    }

    /// Raises this floor with each record, so that the gate judges nothing as of an earlier time.
    #[must_use]
    pub fn raising(self, floor: Floor) -> Self {
        Self { floor, ..self }
    }

    /// The log's last checkpoint.
    #[must_use]
    pub fn seal(&self) -> Seal {
        self.log.seal()
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

    /// The same by call and code, and how long they took.
    #[must_use]
    pub fn decision_counts(&self) -> DecisionCounts {
        self.decided.in_full()
    }

    /// Where the evidence came from.
    #[must_use]
    pub fn by_source(&self) -> BySource {
        self.decided.by_source()
    }

    /// A finding of this kind; its maker fills in what it is about.
    #[must_use]
    pub fn finding(&self, found: FindingKind, reason: Reason) -> Finding {
        Finding::new(self.log.next_id(), found, reason)
    }

    /// Records a finding, behind what waits for the disk, and waits for nothing. An alert is in the
    /// journal at once, whatever the disk does.
    pub fn find(&self, finding: Finding) {
        drop(self.send(finding));
    }

    /// Records a finding and waits until it is on disk, or counted with those like it.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be recorded; the journal has it.
    pub async fn find_durably(&self, finding: Finding) -> Result<Recorded, AuditError> {
        let outcome = match self.send(finding) {
            Some(written) => written.await,
            None => Err(AuditError::Closed),
        };
        outcome.inspect_err(|error| tracing::error!(%error, "a finding could not be recorded"))
    }

    fn send(
        &self,
        finding: Finding,
    ) -> Option<impl Future<Output = Result<Recorded, AuditError>> + use<>> {
        self.findings.count(finding.finding);
        if finding.alert {
            let Finding {
                id, finding: kind, reason, pod, container_id, image, digest, detail, ..
            } = &finding;
            tracing::error!(finding = %id, kind = kind.word(), code = %reason.code, container_id, image, digest, pod = pod.name, namespace = pod.namespace, ?detail, "ALERT: {}", reason.message);
        }
        let sent = self.log.find(finding);
        sent.inspect_err(|error| tracing::error!(%error, "a finding could not be recorded")).ok()
    }

    /// How many findings of each kind were made.
    #[must_use]
    pub fn findings(&self) -> FindingsByKind {
        self.findings.by_kind()
    }

    /// Writes what was only counted so far; for the end.
    pub async fn close(&self) {
        if let Err(error) = self.log.close().await {
            tracing::error!(%error, "the last lines of the audit log could not be written");
        }
    }

    /// The event of a pull, as far as the request tells.
    #[must_use]
    pub fn pull(&self, ask: &PullRequest, policy: &PolicySet) -> AuditEvent {
        let mut event = self.unreadable(Call::PullImage, policy);
        event.pod.clone_from(&ask.pod);
        event.reference.clone_from(&ask.image);
        event
    }

    /// The event of a local image's use, as far as the request tells.
    #[must_use]
    pub fn local(&self, ask: &LocalImageRequest, policy: &PolicySet) -> AuditEvent {
        let mut event = self.unreadable(ask.call, policy);
        event.pod.clone_from(&ask.pod);
        event.container = Some(ask.container.clone()).filter(|name| !name.is_empty());
        if ask.user_specified.is_empty() || ask.user_specified == ask.image {
            event.reference.clone_from(&ask.image);
        } else {
            event.reference.clone_from(&ask.user_specified);
            event.image = Some(ask.image.clone()).filter(|image| !image.is_empty());
        }
        event
    }

    /// The event of a container about which nothing is known but its id.
    #[must_use]
    pub fn start(&self, container_id: &str, policy: &PolicySet) -> AuditEvent {
        let mut event = self.unreadable(Call::StartContainer, policy);
        event.container_id(container_id);
        event
    }

    /// The event of a request that could not be read.
    #[must_use]
    pub fn unreadable(&self, call: Call, policy: &PolicySet) -> AuditEvent {
        AuditEvent {
            id: self.log.next_id(),
            call,
            pod: Pod::default(),
            container: None,
            container_id: None,
            sandbox_id: None,
            reference: String::new(),
            image: None,
            digest: None,
            image_id: None,
            platform_manifest: None,
            admissions: Vec::new(),
            observed: None,
            observing: policy.observes(),
            cached: false,
            provenance: None,
            clock: self.clock,
            policy_generation: policy.generation().to_owned(),
            trust_generation: policy.trust_generation().to_owned(),
            on_record: OnceLock::new(),
            timings: Timings::start(self.clock),
        }
    }

    /// Records calls that are forwarded, admitted or only observed, and returns when they are on disk, or when that was waited for as long as
    /// it may be.
    ///
    /// # Errors
    /// A [`Refusal::NotRecorded`] when the log cannot be written and the configuration does not let
    /// the images start all the same: by default those do that were admitted before. What is on
    /// record of the others by then, or waits to be, is taken back. In observe mode they start.
    pub async fn admit(&self, events: &[AuditEvent]) -> Result<OnRecord, Refused> {
        let writes = events.iter().map(|event| async move {
            let record = event.forwarded();
            let counted = Counted::of(&record);
            tell_unproven(&record);
            (event, counted, self.log.append(record).await)
        });
        let (mut standing, mut counted, mut refused) = (Vec::new(), Vec::new(), None);
        for (event, decided, written) in join_all(writes).await {
            counted.push(decided);
            match written {
                // Also of one that was counted: the first of its kind is on disk.
                Ok(recorded) => {
                    self.floor.raise(self.clock.now());
                    event.on_record.get_or_init(|| recorded.id());
                    self.remember_start(event);
                    event.admissions.iter().for_each(|admission| admission.set_recorded());
                    self.note_known(event);
                    standing.push(event);
                }
                Err(error) => {
                    let let_through = event.observing || self.lets_through(event);
                    tracing::error!(decision = %event.id, image = event.reference, let_through, %error, "an admission could not be recorded");
                    if matches!(error, AuditError::Late { .. }) {
                        standing.push(event);
                    }
                    if !let_through {
                        refused
                            .get_or_insert_with(|| Refusal::NotRecorded { why: error.to_string() });
                    }
                }
            }
        }
        if let Some(refusal) = refused {
            return Err(self.take_all_back(standing.into_iter(), refusal).await);
        }
        counted.into_iter().for_each(|decided| self.decided.count(decided));
        Ok(OnRecord(()))
    }

    /// Whether an admission stands although it could not be recorded.
    fn lets_through(&self, event: &AuditEvent) -> bool {
        match self.on_failure {
            OnFailure::RefuseNew => {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let was_before =
                    event.was_admitted_before(self.began, |digest| known.contains(digest));
                drop(known);
                if was_before {
                    self.note_known(event);
                }
                was_before
            }
            OnFailure::AdmitAll => true,
            OnFailure::RefuseAll => false,
        }
    }

    fn note_known(&self, event: &AuditEvent) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for admission in &event.admissions {
            known.put(admission.permit().subject().target.clone(), ());
        }
    }

    /// Records that all of these were taken back, side by side: they wait for one disk.
    pub async fn take_all_back<'s>(
        &self,
        events: impl Iterator<Item = &'s AuditEvent>,
        refusal: Refusal,
    ) -> Refused {
        let taken = join_all(events.map(|event| self.take_back(event, &refusal))).await;
        Refused::new(refusal, taken.first().copied())
    }

    /// Records that all of these were taken back with another image of the call, whose refusal is on
    /// record by itself.
    pub async fn take_back_with(&self, events: &[AuditEvent], refused: Refused) -> Refused {
        join_all(events.iter().map(|event| self.take_back(event, refused.refusal()))).await;
        refused
    }

    /// Whether these admissions stand even when the log cannot be written, so that their record may
    /// reach the disk while the runtime already works.
    #[must_use]
    pub fn stand_unwritten(&self, events: &[AuditEvent]) -> bool {
        self.on_failure != OnFailure::RefuseAll && events.iter().all(AuditEvent::is_recorded)
    }

    /// Records that a call was refused by its method alone, whatever it says.
    pub async fn refuse_method(&self, method: &str, refusal: &Refusal, policy: &PolicySet) {
        let reason = Reason::new(refusal.code(), refusal.to_string());
        let mut record = Record::new(self.log.next_id(), Call::Other, Verdict::Refused, reason);
        record.method = Some(method.to_owned().into());
        record.policy_generation = Some(policy.generation().to_owned());
        record.trust_generation = Some(policy.trust_generation().to_owned());
        tracing::warn!(decision = %record.id, method, code = refusal.code(), "refused: {refusal}");
        let _it_was_answered = self.append_refusal(record).await;
    }

    /// Records a refusal. When the log cannot be written the refusal stands, and the journal has
    /// it.
    pub async fn refuse(&self, event: &AuditEvent, refusal: Refusal) -> Refused {
        self.refuse_all(std::slice::from_ref(event), refusal).await
    }

    /// Records the same refusal of every image of a call.
    pub async fn refuse_all(&self, events: &[AuditEvent], refusal: Refusal) -> Refused {
        let mut decision = None;
        for event in events {
            tracing::warn!(decision = %event.id, image = event.reference, code = refusal.code(), "refused: {refusal}");
            let recorded = self.append_refusal(event.refusal(&refusal)).await;
            decision.get_or_insert(recorded);
        }
        Refused::new(refusal, decision)
    }

    /// Records that an admission on record was taken back: what was made is not what was admitted,
    /// or it was never asked of the runtime.
    async fn take_back(&self, event: &AuditEvent, refusal: &Refusal) -> DecisionId {
        let mut record = event.refusal(refusal);
        record.id = self.log.next_id();
        record.supersedes = Some(event.id);
        tracing::error!(decision = %record.id, image = event.reference, code = refusal.code(), "taken back: {refusal}");
        self.append_refusal(record).await
    }

    /// Records that these, which are on record as admitted, would have been taken back, and are
    /// let go on since the gate observes. What is on record as observed already stays as it is.
    pub async fn observe_all_back(&self, events: &[AuditEvent], observed: &Observed<Refusal>) {
        join_all(events.iter().filter(|event| !event.is_observed()).map(|event| async move {
            let mut record = event.observation(observed);
            record.id = self.log.next_id();
            record.supersedes = Some(event.id);
            tell_unproven(&record);
            let _nobody_is_told = self.append_refusal(record).await;
        }))
        .await;
    }

    /// Records that a call was refused for what it is about, which has this id.
    pub async fn refuse_call(
        &self,
        (method, id): (&'static str, Option<&str>),
        refusal: Refusal,
        policy: &PolicySet,
    ) -> Refused {
        let reason = Reason::new(refusal.code(), refusal.to_string());
        let mut record = Record::new(self.log.next_id(), Call::Other, Verdict::Refused, reason);
        record.method = Some(method.into());
        record.container_id = id.map(str::to_owned);
        record.policy_generation = Some(policy.generation().to_owned());
        record.trust_generation = Some(policy.trust_generation().to_owned());
        tracing::warn!(decision = %record.id, method, id, code = refusal.code(), "refused: {refusal}");
        let decision = Some(self.append_refusal(record).await);
        Refused::new(refusal, decision)
    }

    /// The decision that has the record of it: of one that repeats, the first.
    async fn append_refusal(&self, record: Record) -> DecisionId {
        self.decided.count(Counted::of(&record));
        let own = record.id;
        match self.log.append(record).await {
            Ok(recorded) => {
                self.floor.raise(self.clock.now());
                recorded.id()
            }
            Err(error) => {
                tracing::error!(%error, "a refusal could not be recorded");
                own
            }
        }
    }
}

/// Tells the journal of an image that runs without proof, or although it would have been refused.
fn tell_unproven(record: &Record) {
    let Record { id, reference, verdict, reason, observed, .. } = record;
    if *observed {
        let code = &reason.code;
        tracing::warn!(decision = %id, image = reference, %code, "observed, and not refused: {}", reason.message);
        return;
    }
    match verdict {
        Verdict::Warned | Verdict::Excepted | Verdict::Unchecked => {
            tracing::warn!(decision = %id, image = reference, "{verdict}: {}", reason.message)
        }
        Verdict::Unmatched | Verdict::Unverified => {
            tracing::info!(decision = %id, image = reference, "{verdict}: {}", reason.message);
        }
        Verdict::Admitted | Verdict::Refused | Verdict::Unable | Verdict::Unreachable => {}
    }
}
