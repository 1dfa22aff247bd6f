//! [`Drift`]: a container that appears in containerd without a decision is found within a second.
//!
//! containerd's own events tell of it. A creation of the gate's own is under way while its event
//! comes, and is waited for; what happened while nobody listened, since containerd or the gate was
//! away, is looked for afterwards. What was there before the gate first came is no drift.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Semaphore;

use super::accounted::{Accounted, Appeared};
use super::options::DriftOptions;
use super::survey::Surveys;
use super::unrecorded::Unrecorded;
use crate::audit::{Finding, FindingKind, Reason};
use crate::cache::lock_or_empty;
use crate::containerd::{Event, Happened, Listed, NAMESPACE, RuntimeError};
use crate::cri::made::{ContainerOrigin, GoneOf};
use crate::cri::record::described::describe;
use crate::cri::{Gate, Recorder};

/// Events that are looked into at once; more wait in containerd. A herd of creations is one each,
/// and what waits is a hundred bytes.
const LOOKED_INTO_MAX: usize = 4096;
/// Containers that were told of, remembered so that their start is not told of again.
const TOLD_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);
/// How long an event waits for a creation of the gate's own to say that it was its, before
/// containerd is asked what the container is.
const OWN_PATIENCE: Duration = Duration::from_millis(200);
/// Longest wait for a call that may account for a container that is gone: what the runtime does
/// after it removed that takes less.
const GONE_PATIENCE: Duration = Duration::from_secs(5);
/// Pause before containerd is listened to again: it restarts in a second or two.
const LISTEN_AGAIN: Duration = Duration::from_millis(250);
/// When it is looked again for what nobody was told of: the subscription may begin a moment after
/// it was asked for, since containerd does not say when it does.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is said of a container that is gone like the call that made it.
const WHILE_FAILING: &str =
    "a container was made and removed while a call failed that was to make one";
/// What is said of one that is gone while the call that may have made it goes on.
const WHILE_UNDERWAY: &str =
    "a container was made and removed while a call is under way that may have made it";

/// The watch over containers that appear.
#[derive(Debug)]
pub struct Drift {
    gate: Arc<Gate>,
    recorder: Arc<Recorder>,
    options: DriftOptions,
    /// With the time of their making: one that is made anew under an old id is another.
    told: Mutex<LruCache<(String, String), Duration>>,
    unrecorded: Unrecorded,
    free: Arc<Semaphore>,
}

/// Why a container is drift.
enum Judged {
    /// Nobody asked the gate about it.
    NoDecision,
    /// A call broke off, or does not end, that made it: the gate decided on what was asked for, and
    /// has not proven what was made.
    Unproven,
    /// The same, and the runtime has removed it.
    Gone,
}

impl Drift {
    /// A watch that tells this log.
    #[must_use]
    pub fn new(gate: Arc<Gate>, recorder: Arc<Recorder>, options: DriftOptions) -> Self {
        let (told, free) = (Mutex::new(LruCache::new(TOLD_MAX)), Semaphore::new(LOOKED_INTO_MAX));
        let unrecorded = Unrecorded::default();
        Self { gate, recorder, options, told, unrecorded, free: Arc::new(free) }
    }

    /// Watches for ever.
    pub async fn watch(self: Arc<Self>) {
        if self.options.namespaces.is_empty() {
            return;
        }
        let retrying = Arc::clone(&self);
        tokio::spawn(async move { retrying.unrecorded.keep_recording(&retrying.recorder).await });
        let (mut surveys, mut is_well) = (Surveys::default(), true);
        surveys.make(&self.gate, &self.options.namespaces).await;
        loop {
            let namespaces = self.gate.surveyed(&self.options.namespaces);
            let more = surveys.more(&self.gate, &self.options.namespaces, namespaces.len());
            if namespaces.is_empty() {
                more.await;
                continue;
            }
            let ended = tokio::select! {
                ended = self.listen(&namespaces) => ended,
                () = self.look_twice(&namespaces) => Ok(()),
                () = more => continue,
            };
            match ended {
                Err(error) if is_well => {
                    tracing::warn!(%error, "containerd's events broke off; the gate listens again \
                        when it is back, and looks for what it missed");
                    is_well = false;
                }
                Err(_) => {}
                Ok(()) => is_well = true,
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    /// Looks into every event, until the stream ends.
    async fn listen(self: &Arc<Self>, namespaces: &[String]) -> Result<(), RuntimeError> {
        let mut events = self.gate.runtime().events(namespaces).await?;
        while let Some(event) = events.next().await? {
            if event.what == Happened::Removed {
                self.tell_of_removed(&event);
                continue;
            }
            let is_creation = matches!(event.what, Happened::Created { .. });
            if event.namespace == NAMESPACE
                && self.gate.made().explains(&event.id, event.at, is_creation)
            {
                continue;
            }
            let Ok(place) = Arc::clone(&self.free).acquire_owned().await else { return Ok(()) };
            let drift = Arc::clone(self);
            tokio::spawn(async move {
                drift.look_into(event).await;
                drop(place);
            });
        }
        Ok(())
    }

    /// Looks for what nobody was told of, now and a little later, and then not again.
    async fn look_twice(self: &Arc<Self>, namespaces: &[String]) {
        for pause in [Duration::ZERO, LOOK_AGAIN] {
            tokio::time::sleep(pause).await;
            for namespace in namespaces {
                if let Err(error) = self.look(namespace).await {
                    tracing::debug!(%error, namespace, "the containers could not be listed");
                }
            }
        }
        std::future::pending().await
    }

    async fn look(self: &Arc<Self>, namespace: &str) -> Result<(), RuntimeError> {
        let mut listing = self.gate.runtime().containers_in(namespace).await?;
        while let Some(listed) = listing.next().await? {
            // Side by side: one may wait for the call that makes it.
            if self.gate.made().origin(&listed) == ContainerOrigin::Around {
                let Ok(place) = Arc::clone(&self.free).acquire_owned().await else { return Ok(()) };
                let drift = Arc::clone(self);
                tokio::spawn(async move {
                    drift.judge_and_tell(&listed).await;
                    drop(place);
                });
            }
        }
        Ok(())
    }

    async fn look_into(self: &Arc<Self>, event: Event) {
        if event.namespace == NAMESPACE && self.becomes_known(&event).await {
            return;
        }
        match self.gate.runtime().listed(&event.namespace, &event.id).await {
            Ok(Some(listed)) => self.judge_and_tell(&listed).await,
            Ok(None) => self.tell_of_gone(event).await,
            // It is looked for again when containerd is back.
            Err(error) => tracing::debug!(%error, container = event.id, "could not be looked at"),
        }
    }

    /// Whether a creation that is under way says, within a moment, that it is its.
    async fn becomes_known(&self, event: &Event) -> bool {
        let made = self.gate.made();
        let is_creation = matches!(event.what, Happened::Created { .. });
        let known = async {
            loop {
                let changed = made.creations().next_change();
                if made.explains(&event.id, event.at, is_creation) {
                    return true;
                }
                if !made.creations().is_busy() {
                    return false;
                }
                changed.await;
            }
        };
        tokio::time::timeout(OWN_PATIENCE, known).await.unwrap_or(false)
    }

    async fn judge_and_tell(self: &Arc<Self>, listed: &Listed) {
        if let Some(why) = self.judge(listed).await {
            self.tell_of(listed, &why).await;
        }
    }

    /// Why a container is drift; none where it is not.
    async fn judge(&self, listed: &Listed) -> Option<Judged> {
        let appeared = Appeared::of(listed);
        match appeared.accounted(self.gate.made()).await {
            Accounted::Known | Accounted::Removed => None,
            // Where the runtime does not tell, it is there.
            Accounted::BrokeOff => match self.gate.is_gone(&appeared).await.unwrap_or(false) {
                true => Some(Judged::Gone),
                false => Some(Judged::Unproven),
            },
            Accounted::NoCall => Some(Judged::NoDecision),
        }
    }

    async fn tell_of(self: &Arc<Self>, listed: &Listed, why: &Judged) {
        if self.is_told((&listed.namespace, &listed.id), listed.created) {
            return;
        }
        let mut finding = match why {
            Judged::NoDecision => self.no_decision(),
            Judged::Unproven => self.alert(Reason::new(
                "not-proven",
                "a container was made by a call that broke off before the gate had proven it",
            )),
            Judged::Gone => self.gone(WHILE_FAILING),
        };
        describe(&mut finding, listed);
        if matches!(why, Judged::Gone) {
            finding.detail.insert("gone".into(), "yes".to_owned());
        }
        let noted = listed.container.as_ref().ok().and_then(|found| found.created_with.as_ref());
        finding.digest = match noted {
            Some(noted) => Some(noted.id.to_string()),
            None => {
                let digest = self.gate.runtime().digest_in(&listed.namespace, &listed.image).await;
                digest.ok().flatten().map(|digest| digest.to_string())
            }
        };
        self.record(finding);
    }

    /// That of the gate's is gone which it did not remove: what it removes, it records with its reason.
    fn tell_of_removed(&self, event: &Event) {
        let made = self.gate.made();
        if event.namespace == NAMESPACE && made.is_own(&event.id) && !made.is_condemned(&event.id) {
            self.recorder.gone(&event.id);
        }
    }

    /// One that is gone already: what the event says is all there is.
    async fn tell_of_gone(self: &Arc<Self>, event: Event) {
        let Happened::Created { image, runtime } = event.what else { return };
        let made = self.gate.made();
        let is_ours = event.namespace == NAMESPACE;
        if is_ours && made.was_removed(&event.id, event.at) {
            return;
        }
        let of = if is_ours { self.gone_of(&event.id, event.at).await } else { GoneOf::NoCall };
        if self.is_told((&event.namespace, &event.id), event.at) {
            return;
        }
        let mut finding = match of {
            GoneOf::Failed => self.gone(WHILE_FAILING),
            GoneOf::Underway => self.gone(WHILE_UNDERWAY),
            GoneOf::NoCall => self.no_decision(),
        };
        finding.container_id = Some(event.id);
        finding.image = Some(image).filter(|image| !image.is_empty());
        finding.detail.insert("namespace".into(), event.namespace);
        finding.detail.insert("runtime".into(), runtime);
        finding.detail.insert("gone".into(), "yes".to_owned());
        self.record(finding);
    }

    /// What accounts for it, once no call is under way that may.
    async fn gone_of(&self, id: &str, at: Duration) -> GoneOf {
        let creations = self.gate.made().creations();
        let told = async {
            loop {
                let changed = creations.next_change();
                match creations.explain_gone(id, at) {
                    GoneOf::Underway => changed.await,
                    of @ (GoneOf::Failed | GoneOf::NoCall) => return of,
                }
            }
        };
        tokio::time::timeout(GONE_PATIENCE, told).await.unwrap_or(GoneOf::Underway)
    }

    fn no_decision(&self) -> Finding {
        self.alert(Reason::new(
            "no-decision",
            "a container was made in the runtime without a decision of the gate",
        ))
    }

    /// What the runtime left of a call, and removed: on record, and no alarm.
    fn gone(&self, message: &str) -> Finding {
        self.recorder.finding(FindingKind::Drift, Reason::new("gone", message))
    }

    fn alert(&self, reason: Reason) -> Finding {
        Finding { alert: true, ..self.recorder.finding(FindingKind::Drift, reason) }
    }

    /// Records it, and waits for no disk; what cannot be recorded is recorded later.
    fn record(self: &Arc<Self>, finding: Finding) {
        let drift = Arc::clone(self);
        tokio::spawn(async move { drift.unrecorded.record(&drift.recorder, finding).await });
    }

    /// Whether it was told of before; it is from now on.
    fn is_told(&self, (namespace, id): (&str, &str), created: Duration) -> bool {
        let mut told = lock_or_empty(&self.told, LruCache::clear);
        told.put((namespace.to_owned(), id.to_owned()), created) == Some(created)
    }
}
