//! [`EvidenceQuery`]: what is asked of memory and of the evidence store for one question.

use crate::evidence::Source;
use crate::evidence_store::Entry;
use crate::image::{Digest, Repository};
use crate::policy::Plan;

/// What is asked of the store for one question.
#[derive(Debug, Clone)]
pub(crate) struct EvidenceQuery {
    pub(crate) digests: Vec<Digest>,
    pub(crate) repositories: Vec<Repository>,
    pub(crate) plan: Plan,
}

impl EvidenceQuery {
    /// Whether an entry is about what is asked.
    pub(crate) fn concerns(&self, entry: &Entry) -> bool {
        self.digests.contains(&entry.place.subject) && self.wants(entry)
    }

    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let at = entry.place.repository.folded();
        let may_count = match entry.place.source {
            Source::Referrers | Source::FallbackTag => true,
            Source::SignatureTag => self.plan.signatures,
            Source::AttestationTag => self.plan.attestations,
        };
        may_count && self.repositories.iter().any(|repository| repository.folded() == at)
    }
}
