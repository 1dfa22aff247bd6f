//! What findings say of what a sweep found: [`words`], and what it is [`about`].

use super::swept::{SweepVerdict, Swept, SweptKind};
use crate::audit::{Finding, Pod};

/// What is the matter with it, for people.
pub(super) fn words(row: &Swept) -> String {
    let what = row.kind.word();
    match (row.standing, &row.message) {
        (SweepVerdict::WentAround, _) => {
            format!("a {what} was made since the gate came, and not by the gate")
        }
        (_, Some(why)) => format!("{what}: {why}"),
        (_, None) => format!("{what}: {}", row.standing.word()),
    }
}

/// Puts into a finding which container or image it is about.
pub(super) fn about(finding: &mut Finding, row: &Swept) {
    finding.container_id = (row.kind != SweptKind::Image).then(|| row.id.clone());
    finding.image.clone_from(&row.image);
    finding.digest.clone_from(&row.digest);
    finding.container.clone_from(&row.container);
    finding.pod = Pod { namespace: row.pod_namespace.clone(), name: row.pod.clone(), uid: None };
    finding.detail.insert("namespace".into(), row.namespace.clone());
    if row.kind == SweptKind::Image {
        finding.detail.insert("image_id".into(), row.id.clone());
    }
    if let Some(code) = &row.code {
        finding.detail.insert("code".into(), code.clone());
    }
}
