//! The image of pods' sandboxes, looked at before the first pod wants it
//! ([`Daemon::keep_sandbox_image`]), and what was seen of it ([`SandboxImage`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Daemon;
use crate::control::SandboxStatus;
use crate::cri::{Gate, Recorder, Refusal, SandboxRequest};

/// How often it is looked at, where it was not admitted.
const AGAIN: Duration = Duration::from_secs(30);
/// And where it was: a restart of containerd may change which image it is.
const EVERY: Duration = Duration::from_secs(300);

/// What was seen of the image when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct SandboxImage {
    seen: Mutex<Option<Result<String, String>>>,
    /// The documents have changed.
    again: Notify,
}

impl SandboxImage {
    /// Has it looked at once more.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// How it stands, for operators.
    pub(super) fn status(&self) -> SandboxStatus {
        match self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => SandboxStatus::default(),
            Some(Ok(image)) => SandboxStatus { image: Some(image), error: None },
            Some(Err(why)) => SandboxStatus { image: None, error: Some(why) },
        }
    }

    /// Notes what was seen, and says whether that is news.
    fn note(&self, outcome: &Result<String, String>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.replace(outcome.clone()).as_ref() != Some(outcome)
    }
}

impl Daemon {
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
            drop(tokio::time::timeout(pause, self.sandbox_image.again.notified()).await);
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
