//! What is told of a container, for a finding; [`Unrecorded`]: findings that the log could not take.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::audit::{Finding, Pod};
use crate::containerd::Listed;
use crate::cri::Recorder;

/// Longest text of all labels in a finding, bytes.
const LABELS_MAX: usize = 1024;
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

/// Fills in what containerd says of the container.
pub(super) fn fill(finding: &mut Finding, listed: &Listed) {
    finding.container_id = Some(listed.id.clone());
    finding.image = Some(listed.image.clone()).filter(|image| !image.is_empty());
    let label = |name: &str| listed.label(name).map(str::to_owned);
    finding.pod = Pod {
        namespace: label("io.kubernetes.pod.namespace"),
        name: label("io.kubernetes.pod.name"),
        uid: label("io.kubernetes.pod.uid"),
    };
    finding.container = label("io.kubernetes.container.name");
    finding.sandbox_id = listed.sandbox().map(str::to_owned);
    finding.detail.insert("namespace".into(), listed.namespace.clone());
    finding.detail.insert("runtime".into(), listed.runtime.clone());
    let labels = listed.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let labels = labels.collect::<Vec<_>>().join(", ");
    if !labels.is_empty() {
        finding.detail.insert("labels".into(), cut(labels));
    }
}

fn cut(text: String) -> String {
    if text.len() <= LABELS_MAX {
        return text;
    }
    let end = (0..=LABELS_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}...[{} bytes cut]", text.len() - kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_between_characters() {
        assert_eq!(cut("a=b".to_owned()), "a=b");
        let long = format!("a={}", "é".repeat(1000));
        let cut = cut(long);
        assert!(cut.len() < 1100 && cut.ends_with("bytes cut]"), "{cut}");
    }
}
