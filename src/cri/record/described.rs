//! [`describe`]: what a finding says of a container, by containerd's word.

use crate::audit::{Finding, Pod};
use crate::containerd::Listed;

/// Longest text of all labels in a finding, bytes.
const LABELS_MAX: usize = 1024;

/// Fills in what containerd says of the container.
pub(in crate::cri) fn describe(finding: &mut Finding, listed: &Listed) {
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
        finding.detail.insert("labels".into(), cut(labels, LABELS_MAX));
    }
}

/// At most so many bytes of a text, cut between characters, and how many are left out.
pub(super) fn cut(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}...[{} bytes cut]", text.len() - kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_between_characters() {
        assert_eq!(cut("a=b".to_owned(), LABELS_MAX), "a=b");
        let long = format!("a={}", "é".repeat(1000));
        let cut = cut(long, LABELS_MAX);
        assert!(cut.len() < 1100 && cut.ends_with("bytes cut]"), "{cut}");
    }
}
