//! `sweep.on_failed_sweep = "stop"`: containers that went around the gate or would be refused now are
//! stopped through the CRI, one after the other and a few a minute, so that one wrong policy does not
//! empty a node.
//!
//! Each is judged once more right before. Sandboxes and images are never touched, nor containers of
//! static pods or those of which nothing can be told, unless an option says so; in observe mode
//! nothing is. That one is stopped is on disk before it is, and then what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::options::OnFailedSweep;
use super::stops::{Spared, StopCounts, Stops};
use super::subjects::{SweepSubject, container_subject, standing};
use super::sweep::{Judgements, Sweeper};
use super::swept::{SweepVerdict, Swept, SweptKind};
use super::telling::{about, words};
use crate::audit::{Finding, FindingKind, Reason};
use crate::cache::lock_or_empty;
use crate::containerd::{Listed, NAMESPACE, RuntimeError};
use crate::decision::decide::Reach;

/// How long the second judgement of a container may take, the registry included.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// The annotation in which the kubelet notes where it has a pod from, which it sets on every pod
/// (kubelet, `pkg/kubelet/types`).
const SOURCE: &str = "kubernetes.io/config.source";
/// That of a pod which the API server has.
const API: &str = "api";
/// The annotation of the copy of a static pod that the kubelet keeps in the API server.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The namespace of the control plane.
const SYSTEM: &str = "kube-system";

impl Sweeper {
    /// What came of what sweeps wanted to stop, since the start.
    #[must_use]
    pub fn stop_counts(&self) -> StopCounts {
        self.stops().counts
    }

    /// Stops the containers among these that went around the gate or would be refused, where that is
    /// wanted: until this moment, which is the next sweep's, or one is asked for. Whether it stopped
    /// short of some since that moment came.
    pub(super) async fn stop_failed(
        &self,
        subjects: &[SweepSubject],
        until: Option<Instant>,
    ) -> bool {
        if self.options.on_failed_sweep != OnFailedSweep::Stop {
            return false;
        }
        let present = subjects.iter().map(|subject| subject.row.id.as_str()).collect();
        self.stops().keep(&present);
        if self.gate.policy().observes() {
            return false;
        }
        let mut failed: Vec<&Swept> = Vec::new();
        for row in subjects.iter().map(|subject| &subject.row).filter(|row| self.fails(row)) {
            if self.look_at(row).await.is_some() {
                failed.push(row);
            }
        }
        let mut left = failed.len();
        for row in failed {
            if !self.wait_for_turn(left, until).await {
                let now = self.gate.clock().steady();
                return until.is_some_and(|until| until <= now);
            }
            left -= 1;
            // Again: what it was may be long ago.
            let Some(listed) = self.look_at(row).await else { continue };
            if let Some(again) = self.judge_again(listed).await {
                self.stop(&again.row).await;
            }
        }
        false
    }

    /// The container, where it runs and may be stopped.
    async fn look_at(&self, row: &Swept) -> Option<Listed> {
        let found = self.find(row).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(container = row.id, %error, "a container that would be stopped could \
                not be looked at; the next sweep does again");
            None
        })
    }

    /// Whether it is a container that the operator wants stopped.
    fn fails(&self, row: &Swept) -> bool {
        row.kind == SweptKind::Container
            && match row.standing {
                SweepVerdict::WentAround | SweepVerdict::WouldBeRefused => true,
                SweepVerdict::CannotBeTold => self.options.stop_untold,
                SweepVerdict::StartedBefore | SweepVerdict::Admitted => false,
            }
    }

    async fn find(&self, row: &Swept) -> Result<Option<Listed>, RuntimeError> {
        let runtime = self.gate.runtime();
        let Some(listed) = runtime.listed(&row.namespace, &row.id).await? else { return Ok(None) };
        let spared = if row.namespace != NAMESPACE {
            Some(Spared::NotOfCri)
        } else {
            match runtime.is_running(&row.id).await? {
                None => Some(Spared::NotOfCri),
                Some(false) => return Ok(None),
                Some(true) if self.options.stop_static_pods => None,
                Some(true) => self.protects(&listed).await?,
            }
        };
        let Some(why) = spared else { return Ok(Some(listed)) };
        if self.stops().spare(&row.id, why) {
            let message = format!("a container is not stopped: {}", why.words());
            self.recorder.find(self.stop_finding(row, "spared", message));
        }
        Ok(None)
    }

    /// Why a container is left to its pod, where it is.
    async fn protects(&self, listed: &Listed) -> Result<Option<Spared>, RuntimeError> {
        let Some(sandbox) = listed.sandbox() else { return Ok(Some(Spared::PodUnknown)) };
        let Some(shown) = self.gate.runtime().sandbox(sandbox).await? else {
            return Ok(Some(Spared::PodUnknown));
        };
        let namespace = listed.container.as_ref().ok().and_then(|it| it.pod.namespace.as_deref());
        Ok(is_static(namespace, &shown.annotations).then_some(Spared::StaticPod))
    }

    /// Waits until one more of so many may be stopped; false where the next sweep comes first.
    async fn wait_for_turn(&self, left: usize, until: Option<Instant>) -> bool {
        let limit = self.options.stop_per_minute;
        let per_minute = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let mut is_told = false;
        loop {
            let now = self.gate.clock().steady();
            let Some(pause) = self.stops().wait(now, per_minute) else { return true };
            if !is_told {
                tracing::warn!(
                    "the sweep stops {limit} containers a minute (sweep.stop_per_minute); {left} more \
                     are to be stopped"
                );
                is_told = true;
            }
            let is_late = until.is_some_and(|until| until <= now);
            if is_late || self.state().is_wanted() || self.gate.policy().observes() {
                return false;
            }
            let pause =
                until.map_or(pause, |until| pause.min(until.saturating_duration_since(now)));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Judges a container once more, by what is in force now and by the registry where this node does
    /// not tell; none where it need not be stopped any more.
    async fn judge_again(&self, listed: Listed) -> Option<SweepSubject> {
        let set = self.gate.policy();
        let deadline = self.gate.clock().steady() + AGAIN_MAX;
        let now = standing(self.gate.made().origin(&listed));
        let mut subject = container_subject(listed, now, deadline);
        for reach in [Reach::Node, Reach::Behind] {
            let mut judged = Judgements::new();
            self.judge(&mut subject, &set, (reach, &mut judged)).await;
            if !subject.is_open {
                break;
            }
        }
        // What was judged by other documents than are in force is left to the sweep after them.
        let in_force = self.gate.policy();
        let is_same = in_force.generation() == set.generation()
            && in_force.trust_generation() == set.trust_generation();
        (is_same && !in_force.observes() && self.fails(&subject.row)).then_some(subject)
    }

    /// Stops it, once it is on disk that it is stopped, and says what came of it.
    async fn stop(&self, row: &Swept) {
        let message = format!("the gate stops a container: {}", words(row));
        let finding = Finding { alert: true, ..self.stop_finding(row, "stopping", message) };
        if self.recorder.find_durably(finding).await.is_err() {
            tracing::error!(container = row.id, "not stopped, since that cannot be recorded");
            return;
        }
        self.stops().begin(self.gate.clock().steady());
        let outcome = self.stop_and_look(&row.id).await;
        let finding = match outcome {
            Ok(()) => {
                self.stops().counts.stopped += 1;
                tracing::warn!(container = row.id, pod = row.pod, "stopped");
                self.stop_finding(row, "stopped", "the container is stopped".to_owned())
            }
            Err(why) => {
                self.stops().counts.failed += 1;
                let message = format!("the container could not be stopped, and may run: {why}");
                Finding { alert: true, ..self.stop_finding(row, "not-stopped", message) }
            }
        };
        // The journal has it where the log takes it no more.
        drop(self.recorder.find_durably(finding).await);
    }

    async fn stop_and_look(&self, id: &str) -> Result<(), String> {
        let runtime = self.gate.runtime();
        let stopped = runtime.stop_container(id, self.options.stop_grace()).await;
        stopped.map_err(|error| error.to_string())?;
        match runtime.is_running(id).await {
            Ok(Some(true)) => Err("the runtime says that it runs".to_owned()),
            Ok(Some(false) | None) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn stop_finding(&self, row: &Swept, code: &'static str, message: String) -> Finding {
        let mut finding = self.recorder.finding(FindingKind::Stop, Reason::new(code, message));
        about(&mut finding, row);
        finding.detail.insert("standing".into(), row.standing.word().to_owned());
        finding
    }

    fn stops(&self) -> std::sync::MutexGuard<'_, Stops> {
        lock_or_empty(&self.stops, |_| {})
    }
}

/// Whether the kubelet has a pod from elsewhere than the API server (as its `IsStaticPod` and
/// `IsMirrorPod` say). One of the system's that does not say where it is from counts as such.
fn is_static(namespace: Option<&str>, annotations: &BTreeMap<String, String>) -> bool {
    match annotations.get(SOURCE).map(String::as_str) {
        _ if annotations.contains_key(MIRROR) => true,
        Some(source) => source != API,
        None => namespace == Some(SYSTEM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_pods_are_told_as_the_kubelet_tells_them() {
        let says = |namespace: &str, annotations: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            is_static(Some(namespace), &annotations.iter().map(own).collect())
        };
        for (namespace, annotations, expected) in [
            ("prod", &[][..], false),
            ("prod", &[(SOURCE, "api")], false),
            ("prod", &[(SOURCE, "file")], true),
            ("prod", &[(SOURCE, "http")], true),
            ("prod", &[(SOURCE, "")], true),
            ("prod", &[(MIRROR, "a")], true),
            ("kube-system", &[], true),
            ("kube-system", &[(SOURCE, "api")], false),
            ("kube-system", &[(SOURCE, "file")], true),
        ] {
            assert_eq!(says(namespace, annotations), expected, "{namespace} {annotations:?}");
        }
    }
}
