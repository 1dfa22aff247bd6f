//! The tripwire of the running gate: a container that the runtime is about to make, and that the
//! gate did not decide on, is reported and refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::{FindingKind, Pod, Reason};
use crate::cri::{Gate, PendingCreates, Recorder};
use crate::nri::{Judge, Mode, NewContainer, Options, SessionError, Tripwire, keep};

/// Judges what the runtime asks about.
struct Decided {
    mode: Mode,
    gate: Arc<Gate>,
    pending: Arc<PendingCreates>,
    recorder: Arc<Recorder>,
    /// How often the runtime has stopped asking.
    lost: AtomicU64,
}

/// Keeps the tripwire, unless the settings have it off.
pub(super) fn start(
    options: &Options,
    (gate, pending, recorder): (Arc<Gate>, Arc<PendingCreates>, Arc<Recorder>),
    tripwire: Arc<Tripwire>,
) {
    if options.mode == Mode::Off {
        return;
    }
    let lost = AtomicU64::new(0);
    let (options, judge) =
        (options.clone(), Decided { mode: options.mode, gate, pending, recorder, lost });
    tokio::spawn(async move { keep(options, &judge, &tripwire).await });
}

impl Judge for Decided {
    fn may_be_made(&self, container: &NewContainer) -> Result<(), String> {
        if self.pending.take(&container.sandbox_id, &container.name, &container.id) {
            return Ok(());
        }
        // A kubelet that is not switched to the gate yet creates every container like this.
        let is_armed = self.mode == Mode::Refuse || self.pending.any();
        let is_refused = is_armed && !self.gate.policy().observes();
        self.report(container, is_refused);
        if !is_refused {
            return Ok(());
        }
        Err(format!(
            "sealgate: container {:?} of pod {:?} was not created through the image gate, so no \
             policy was asked about its image; create it through the gate's socket",
            container.name,
            format!("{}/{}", container.pod_namespace, container.pod_name)
        ))
    }

    fn changed(&self, asks: Result<(), &SessionError>) {
        self.report_change(asks);
    }
}

impl Decided {
    fn report_change(&self, asks: Result<(), &SessionError>) {
        let lost = self.lost.load(Ordering::Relaxed);
        let reason = match asks {
            // The first time it is no change: it has only just begun.
            Ok(()) if lost == 0 => return,
            Ok(()) => {
                let message = "the runtime asks the gate about new containers again".to_owned();
                Reason::new("tripwire-connected", message)
            }
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                let message = format!(
                    "the runtime no longer asks the gate about new containers, so that one could be \
                     created around it unseen: {error}"
                );
                Reason::new("tripwire-lost", message)
            }
        };
        let mut finding = self.recorder.finding(FindingKind::Nri, reason);
        // Where it is not demanded, a restart of the runtime is nothing to be woken for.
        finding.alert = asks.is_err() && self.mode == Mode::Refuse;
        // So that none is taken for a repeat of the one before.
        let times = self.lost.load(Ordering::Relaxed);
        finding.detail.insert("times_lost".into(), times.to_string());
        self.recorder.find(finding);
    }

    fn report(&self, container: &NewContainer, is_refused: bool) {
        let message = "the runtime was told to create a container around the gate".to_owned();
        let mut finding =
            self.recorder.finding(FindingKind::Nri, Reason::new("not-decided", message));
        let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        finding.alert = true;
        finding.pod = Pod {
            namespace: known(&container.pod_namespace),
            name: known(&container.pod_name),
            uid: known(&container.pod_uid),
        };
        finding.container = known(&container.name);
        finding.container_id = known(&container.id);
        finding.sandbox_id = known(&container.sandbox_id);
        finding.image.clone_from(&container.image);
        let done = if is_refused { "refused" } else { "reported" };
        finding.detail.insert("action".into(), done.to_owned());
        self.recorder.find(finding);
    }
}
