//! The watch over the runtime, started: what the gate does beside answering calls.

use std::sync::Arc;

use super::Daemon;
use crate::cri::Drift;

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
}
