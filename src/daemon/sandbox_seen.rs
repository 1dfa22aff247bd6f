//! [`SandboxImage`]: what was seen of the image of pods' sandboxes; [`SandboxFault`]: why no pod starts.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::control::SandboxStatus;

/// Why no pod starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SandboxFault {
    /// The reason code.
    pub(super) code: String,
    /// The reason.
    pub(super) why: String,
}

/// What was seen of the image when it was looked at last.
#[derive(Debug, Default)]
pub(super) struct SandboxImage {
    seen: Mutex<Option<Result<String, SandboxFault>>>,
    /// The documents have changed.
    again: Notify,
}

impl SandboxImage {
    /// Has it looked at once more.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Waits until it is to be.
    pub(super) async fn again(&self) {
        self.again.notified().await;
    }

    /// How it stands, for operators.
    pub(super) fn status(&self) -> SandboxStatus {
        match self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => SandboxStatus::default(),
            Some(Ok(image)) => SandboxStatus { image: Some(image), ..SandboxStatus::default() },
            Some(Err(SandboxFault { code, why })) => {
                SandboxStatus { image: None, error: Some(why), code: Some(code) }
            }
        }
    }

    /// Notes what was seen, and says whether that is news.
    pub(super) fn note(&self, outcome: &Result<String, SandboxFault>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.replace(outcome.clone()).as_ref() != Some(outcome)
    }
}
