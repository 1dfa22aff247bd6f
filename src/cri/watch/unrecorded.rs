//! [`Unrecorded`]: findings that the log could not take, until it can.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::audit::Finding;
use crate::cri::Recorder;

/// Findings that are kept until the log can be written, each below 4 KiB.
const UNRECORDED_MAX: usize = 256;
/// Pause before they are recorded again; an alert is in the journal again then.
const RECORD_AGAIN: Duration = Duration::from_secs(60);

/// Findings that could not be recorded, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Mutex<VecDeque<Finding>>);

impl Unrecorded {
    /// Records a finding, and keeps it for later where that fails.
    pub(super) async fn record(&self, recorder: &Recorder, finding: Finding) {
        if recorder.find_durably(finding.clone()).await.is_ok() {
            return;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == UNRECORDED_MAX {
            waiting.pop_front();
        }
        waiting.push_back(finding);
    }

    /// Records what could not be, for ever.
    pub(super) async fn keep_recording(&self, recorder: &Recorder) {
        loop {
            tokio::time::sleep(RECORD_AGAIN).await;
            let waiting =
                std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            for finding in waiting {
                self.record(recorder, finding).await;
            }
        }
    }
}
