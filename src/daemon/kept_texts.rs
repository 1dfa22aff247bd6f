//! [`KeptTexts`]: has the texts of the policies in force kept beside the audit log, and says so where
//! that fails. Nothing waits for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::policies::{GenerationTexts, PolicyKeeper};
use crate::audit::{Log, Noted};

/// The keeper, and whether the journal has heard of its trouble.
pub(super) struct KeptTexts {
    keeper: PolicyKeeper,
    has_failed: AtomicBool,
}

impl KeptTexts {
    /// Beside the log that is written at `path`.
    pub(super) fn beside(log: &Log, path: &Path) -> Arc<Self> {
        let keeper = PolicyKeeper::start(log, path);
        Arc::new(Self { keeper, has_failed: AtomicBool::new(false) })
    }

    /// Has these written, and returns at once.
    pub(super) fn keep(self: &Arc<Self>, texts: GenerationTexts, log: &Log) {
        let (this, log) = (Arc::clone(self), log.clone());
        tokio::spawn(async move {
            let policy_generation = texts.policy_generation.clone();
            let Err(fault) = this.keeper.keep(texts).await else {
                this.has_failed.store(false, Ordering::Relaxed);
                return;
            };
            let message = fault.to_string();
            if !this.has_failed.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    policy_generation,
                    "the texts of the policies in force are not kept beside the audit log, which \
                     names their hashes alone: {message}"
                );
            }
            log.jot(Noted::PoliciesNotKept { message, policy_generation });
        });
    }
}
