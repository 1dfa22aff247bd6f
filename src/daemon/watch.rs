//! What the gate does beside answering calls: the watch over the runtime, started
//! ([`Daemon::watch_runtime`]), and the image of pods' sandboxes, looked at before the first pod
//! wants it ([`Daemon::keep_sandbox_image`]).

use std::sync::Arc;
use std::time::Duration;

use super::Daemon;
use crate::cri::{Drift, Gate, Recorder, Refusal, SandboxRequest};

/// How often the image of sandboxes is looked at, where it was not admitted.
const AGAIN: Duration = Duration::from_secs(30);
/// And where it was: a restart of containerd may change which image it is.
const EVERY: Duration = Duration::from_secs(300);

impl Daemon {
    /// Starts what watches the runtime.
    pub(super) fn watch_runtime(&self) {
        let (gate, file) = (Arc::clone(&self.gate), self.settings.sweep.containers.clone());
        tokio::spawn(async move { gate.made().keep(file).await });
        let sweeper = Arc::clone(&self.sweeper);
        tokio::spawn(async move { sweeper.keep_sweeping().await });
        let drift = Drift::new(
            Arc::clone(&self.gate),
            Arc::clone(&self.recorder),
            self.settings.drift.clone(),
        );
        tokio::spawn(Arc::new(drift).watch());
    }

    /// Has the image of sandboxes on the node before a pod wants it, and says when it would be
    /// refused; for ever.
    pub(super) async fn keep_sandbox_image(self: Arc<Self>) {
        loop {
            let outcome = look(&self.gate, &self.recorder).await;
            let pause = if outcome.is_ok() { EVERY } else { AGAIN };
            if self.sandbox_image.note(&outcome) {
                match &outcome {
                    Ok(image) => tracing::info!(image, "the image of pods' sandboxes is admitted"),
                    Err(why) => tracing::warn!("pods may not start: {why}"),
                }
            }
            // Whichever comes first.
            drop(tokio::time::timeout(pause, self.sandbox_image.again()).await);
        }
    }
}

/// The image that is admitted, or why none is, in words.
async fn look(gate: &Arc<Gate>, recorder: &Recorder) -> Result<String, String> {
    let setup = gate.runtime().sandbox_setup().await.map_err(|error| error.to_string())?;
    let unknown = |why| Refusal::SandboxImageUnknown { why }.to_string();
    let image = setup.image.map_err(unknown)?;
    let deadline = gate.clock().steady() + gate.limits().decision();
    let ask = SandboxRequest::of_node(image, deadline);
    let set = gate.policy();
    let mut event = recorder.local(&ask.local(&ask.image), &set);
    let admitted = gate.admit_sandbox(&ask, &set, &mut event.timings).await;
    let permit = admitted.map_err(|refusal| refusal.to_string())?;
    event.admitted_local(&permit);
    match recorder.admit(std::slice::from_ref(&event)).await {
        Ok(_on_record) => Ok(ask.image),
        Err(_refused) => Err("the decision on their image could not be recorded".to_owned()),
    }
}
