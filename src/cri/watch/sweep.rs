//! [`Sweeper`]: every container and image of the runtime, judged again: first by what is on this
//! node, then by the registries of what that does not tell, behind all calls.
//!
//! It admits nothing and starts nothing. What would be refused is recorded, once until it changes;
//! what becomes of it then is in [`stop`](super::stop).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use super::options::{OnFailedSweep, SweepOptions};
use super::outcome::{note, of_restored};
use super::progress::{SweepProgress, SweepState};
use super::stops::Stops;
use super::subjects::{SweepSubject, volumes, with_own};
use super::swept::{SweepReport, SweepVerdict, Swept, SweptKey, SweptKind, key};
use super::telling::{about, words};
use crate::audit::{Finding, FindingKind, Reason};
use crate::cri::ask::LocalImageRequest;
use crate::cri::{CreatedContainer, Ending, Gate, LocalPermit, Recorder, Refusal, Timings};
use crate::decision::decide::Reach;
use crate::evidence::{ImageUse, Name};
use crate::policy::{Applicable, PolicySet};

/// Pause between two images that registries are asked about: a sweep of a full node takes some
/// minutes, and no registry notices it.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked what is gone, where no sweep does so by itself: what is remembered has room
/// for what a full node makes in some days.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// How long a judgement by what is on this node may take.
const JUDGE_MAX: Duration = Duration::from_secs(3600);

/// What one image came to; many containers are of the same.
pub(super) type Judgements = HashMap<JudgementKey, Result<LocalPermit, Refusal>>;

/// What a judgement hangs on: the two names, the documents that could be about the pod by anything
/// but names, and what those go by that let through.
type JudgementKey = (String, String, Applicable, Option<String>, Option<ImageUse>);

/// Sweeps over the node.
#[derive(Debug)]
pub struct Sweeper {
    pub(super) gate: Arc<Gate>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) options: SweepOptions,
    namespaces: Vec<String>,
    /// One sweep at a time.
    turn: tokio::sync::Mutex<()>,
    pub(super) wanted: tokio::sync::Notify,
    state: Mutex<SweepState>,
    pub(super) stops: Mutex<Stops>,
    done: AtomicU64,
    all: AtomicU64,
}

impl Sweeper {
    /// Of this gate; tells this log. The namespaces are containerd's.
    #[must_use]
    pub fn new(
        gate: Arc<Gate>,
        recorder: Arc<Recorder>,
        (options, namespaces): (SweepOptions, Vec<String>),
    ) -> Self {
        Self {
            gate,
            recorder,
            options,
            namespaces,
            turn: tokio::sync::Mutex::default(),
            wanted: tokio::sync::Notify::new(),
            state: Mutex::default(),
            stops: Mutex::default(),
            done: AtomicU64::new(0),
            all: AtomicU64::new(0),
        }
    }

    /// Sweeps at once and every so often, unless the options say never, and whenever it is asked
    /// for; for ever.
    pub async fn keep_sweeping(&self) {
        let every = self.options.every();
        let mut is_due = every.is_some();
        loop {
            if is_due {
                is_due = self.sweep().await;
                continue;
            }
            let pause = async {
                match every {
                    Some(every) => tokio::time::sleep(every).await,
                    None => self.keep_forgetting().await,
                }
            };
            let wanted = async {
                while !self.state().is_wanted() {
                    self.wanted.notified().await;
                }
            };
            tokio::select! {
                () = pause => {}
                () = wanted => {}
            }
            is_due = true;
        }
    }

    /// Forgets what is gone, which a sweep does by the way, where there is none by itself; for ever.
    async fn keep_forgetting(&self) {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            for namespace in with_own(&self.namespaces) {
                if let Err(error) = self.gate.forget_gone(namespace).await {
                    tracing::debug!(%error, namespace, "the containers could not be listed");
                }
            }
        }
    }

    /// Asks for a sweep now, which begins after the one that is under way; its number, which
    /// [`SweepProgress::ended_for`] reaches.
    pub fn ask(&self) -> u64 {
        let number = self.state().ask();
        self.wanted.notify_one();
        number
    }

    /// How far it is, and what the last one found.
    #[must_use]
    pub fn progress(&self) -> SweepProgress {
        let state = self.state();
        SweepProgress {
            asked: state.asked,
            ended_for: state.ended_for,
            version: state.version,
            done: self.done.load(Ordering::Relaxed),
            all: self.all.load(Ordering::Relaxed),
            unasked: state.unasked,
            report: Arc::clone(&state.report),
        }
    }

    /// One sweep; whether the next is due already.
    async fn sweep(&self) -> bool {
        let _turn = self.turn.lock().await;
        self.state().begin();
        let began = self.gate.clock().steady();
        let (mut subjects, faults) = self.gate.subjects(&self.namespaces, began + JUDGE_MAX).await;
        self.done.store(0, Ordering::Relaxed);
        self.all.store(u64::try_from(subjects.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let set = self.gate.policy();
        let mut judged = Judgements::new();
        for subject in &mut subjects {
            self.judge(subject, &set, (Reach::Node, &mut judged)).await;
            self.done.fetch_add(1, Ordering::Relaxed);
            // Calls go first.
            tokio::task::yield_now().await;
        }
        let took = self.gate.clock().steady().saturating_duration_since(began);
        let open = subjects.iter().filter(|subject| subject.is_open).count();
        self.publish(&subjects, (faults.clone(), took), open);
        // What is certain is on record before any registry is waited for.
        self.record(&subjects, is_certain).await;
        let mut is_settled: fn(&SweepSubject) -> bool = |_| true;
        for number in 0..subjects.len() {
            // Who asks for a sweep waits for no registry; the next one goes on asking.
            if self.state().is_wanted() {
                is_settled = is_certain;
                break;
            }
            let Some(subject) = subjects.get_mut(number).filter(|subject| subject.is_open) else {
                continue;
            };
            let asked = self.judge(subject, &set, (Reach::Behind, &mut judged)).await;
            if asked {
                tokio::time::sleep(ASK_EVERY).await;
            }
            self.state().note_asked();
        }
        if open > 0 {
            let left = usize::try_from(self.state().unasked).unwrap_or(usize::MAX);
            self.publish(&subjects, (faults, took), left);
        }
        self.record(&subjects, is_settled).await;
        let next = self.options.every().map(|every| began + every);
        self.stop_failed(&subjects, next).await
    }

    /// Judges one, by evidence from so far away; whether anything was asked that was not known.
    pub(super) async fn judge(
        &self,
        subject: &mut SweepSubject,
        set: &Arc<PolicySet>,
        (reach, judged): (Reach, &mut Judgements),
    ) -> bool {
        let origin = subject.origin;
        let (mut permits, mut refusal, mut is_new) = (Vec::new(), None, false);
        self.gate.look_up_pod(subject, set).await;
        for ask in &subject.asks {
            let key = key_of(ask, set);
            let known = judged.get(&key).cloned();
            let known = known.filter(|known| reach == Reach::Node || !is_open(known));
            let outcome = if let Some(known) = known {
                known
            } else {
                is_new = true;
                let mut timings = Timings::start(self.gate.clock());
                let outcome = self.gate.judge_for_container(reach, ask, set, &mut timings).await;
                judged.insert(key, outcome.clone());
                outcome
            };
            match outcome {
                // A checkpoint becomes a container by being restored alone; this one was not.
                Ok(permit)
                    if permit.content().is_checkpoint() && subject.row.kind != SweptKind::Image =>
                {
                    refusal = Some(Refusal::Checkpoint);
                    break;
                }
                Ok(permit) => permits.push(permit),
                Err(why) => {
                    refusal = Some(why);
                    break;
                }
            }
        }
        if refusal.is_none() && origin != SweepVerdict::Admitted {
            refusal = self.unproven(subject, &permits).await;
        }
        if subject.is_restored {
            refusal = of_restored(origin, refusal);
        }
        subject.is_open = refusal.as_ref().is_some_and(|why| why.ending() != Ending::Refused);
        note(&mut subject.row, (origin, subject.is_restored), &permits, refusal);
        if let Some(fault) = subject.fault.as_ref().filter(|_| origin != SweepVerdict::WentAround) {
            subject.row.standing = SweepVerdict::CannotBeTold;
            subject.row.code = Some("runtime".to_owned());
            subject.row.message = Some(fault.to_string());
        }
        is_new
    }

    /// Why a container that the gate did not make is not made of what its images are.
    async fn unproven(&self, subject: &SweepSubject, permits: &[LocalPermit]) -> Option<Refusal> {
        if subject.row.kind != SweptKind::Container {
            return None;
        }
        let (image, rest) = permits.split_first()?;
        let volumes = volumes(subject, rest);
        let made = CreatedContainer { id: &subject.row.id, image, sandbox: None, volumes };
        self.gate.verify_container(&made).await.err()
    }

    fn publish(
        &self,
        subjects: &[SweepSubject],
        (faults, took): (Vec<String>, Duration),
        open: usize,
    ) {
        let rows = subjects.iter().map(|subject| subject.row.clone()).collect();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut report = SweepReport { rows, faults, millis };
        report.sort();
        self.state().publish(report, open);
    }

    /// Records what would be refused or went around, as far as it is new and settled. What cannot
    /// be recorded is new again the next time.
    async fn record(&self, subjects: &[SweepSubject], is_settled: fn(&SweepSubject) -> bool) {
        let is_bad = |row: &Swept| match row.standing {
            SweepVerdict::WentAround
            | SweepVerdict::WouldBeRefused
            | SweepVerdict::CannotBeTold => true,
            SweepVerdict::StartedBefore | SweepVerdict::Admitted => false,
        };
        let bad = subjects.iter().filter(|subject| is_bad(&subject.row));
        let before = std::mem::take(&mut self.state().told);
        let recorded = bad.map(|subject| async {
            let row = &subject.row;
            let is_told = before.contains(&key(row))
                || is_settled(subject)
                    && self.recorder.find_durably(self.finding(row)).await.is_ok();
            is_told.then(|| key(row))
        });
        let mut told: HashSet<SweptKey> = join_all(recorded).await.into_iter().flatten().collect();
        // What is not settled may turn out to be what was told before.
        let open: HashSet<(&str, &str)> = subjects
            .iter()
            .filter(|subject| !is_settled(subject))
            .map(|subject| (subject.row.namespace.as_str(), subject.row.id.as_str()))
            .collect();
        let may_be = before
            .iter()
            .filter(|(namespace, id, ..)| open.contains(&(namespace.as_str(), id.as_str())));
        told.extend(may_be.cloned());
        self.state().told = told;
    }

    fn finding(&self, row: &Swept) -> Finding {
        let reason = Reason::new(row.standing.word(), words(row));
        let mut finding = self.recorder.finding(FindingKind::Sweep, reason);
        finding.alert = self.options.on_failed_sweep != OnFailedSweep::Report
            && row.standing != SweepVerdict::CannotBeTold;
        about(&mut finding, row);
        finding
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, SweepState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no registry could change what is recorded of it.
fn is_certain(subject: &SweepSubject) -> bool {
    !subject.is_open || subject.row.standing == SweepVerdict::WentAround
}

/// Whether it is not known what the registry says.
fn is_open(outcome: &Result<LocalPermit, Refusal>) -> bool {
    outcome.as_ref().err().is_some_and(|refusal| refusal.ending() != Ending::Refused)
}

/// A judgement is no other pod's, unless the same documents are about both. What demands is found for
/// any name; what lets through goes by namespace and use beside names alone.
fn key_of(ask: &LocalImageRequest, set: &PolicySet) -> JudgementKey {
    let applicable = set.applicable(&Name::Unknown, &ask.pod);
    let (namespace, image_use) = (ask.pod.namespace.clone(), ask.pod.traits.image_use);
    (ask.image.clone(), ask.user_specified.clone(), applicable, namespace, image_use)
}
