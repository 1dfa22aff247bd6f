//! [`Question`]: what is judged, with everything that the verdict depends on.
//!
//! Where its evidence is had from, and on which thread it is judged, stands in `evaluate/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::evidence::{Evidence, Name, Origin, Pod, Subject};
use crate::image::{Digest, Repository};
use crate::policy::{Applicable, Case, Plan, PolicySet, Verdict, VerdictKey};
use crate::registry::Access;
use crate::sources::{EvidenceQuery, Hint, KeptAbout};
use crate::verify::{Budget, VerificationCache};

/// One question to the judge, with everything that it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) subject: Subject,
    /// As much of the pod that asks as the documents of `set` go by, to judge it again under others.
    pub(crate) pod: Pod,
    pub(crate) set: Arc<PolicySet>,
    pub(crate) applicable: Applicable,
    pub(crate) access: Access,
    pub(crate) hint: Hint,
    /// The manifests and indexes that are at hand, of the target and its child; the verdict does
    /// not depend on them.
    pub(crate) documents: BTreeMap<Digest, Bytes>,
    /// The image is about to be brought to this node, by tag or by digest: from a host that answers,
    /// which must answer for its signatures too. A verdict that is kept does not depend on it.
    pub(crate) is_brought: bool,
}

impl Question {
    /// About what is on this node, to be answered without a registry: with nobody's credentials,
    /// and no document at hand. What is not known of the pod is not, to every document.
    pub(crate) fn offline(set: &Arc<PolicySet>, subject: Subject, pod: &Pod) -> Self {
        Self {
            applicable: set.applicable_to(&subject, pod),
            subject,
            pod: set.seen_of(pod),
            set: Arc::clone(set),
            access: Access::default(),
            hint: Hint::AskBoth,
            documents: BTreeMap::new(),
            is_brought: false,
        }
    }

    pub(crate) fn key(&self) -> VerdictKey {
        self.set.verdict_key(&self.subject, &self.applicable)
    }

    pub(crate) fn judge(
        &self,
        evidence: &[&Evidence],
        now: jiff::Timestamp,
        proofs: &VerificationCache,
    ) -> Verdict {
        let (subject, applicable) = (&self.subject, &self.applicable);
        self.set.sift(&Case { subject, applicable, evidence, now, proofs }, Budget::DEFAULT).verdict
    }

    /// The same; or what the documents make of it that no registry could be asked.
    pub(crate) fn judge_unreachable(
        &self,
        evidence: &[&Evidence],
        now: jiff::Timestamp,
        proofs: &VerificationCache,
    ) -> Verdict {
        let (subject, applicable) = (&self.subject, &self.applicable);
        self.set.judge_unreachable(&Case { subject, applicable, evidence, now, proofs })
    }

    /// Whether a deny list names the digest or the repository: it is refused without a look at
    /// anything.
    pub(crate) fn is_struck_off(&self) -> bool {
        self.set.struck_off(&self.subject).is_some()
    }

    /// Whether documents are about the image by labels of it that are not known, so that they count
    /// although they may not be meant. Who knows the labels asks another question.
    pub(crate) fn lacks_labels(&self) -> bool {
        self.set.goes_by_image_labels(&self.applicable)
            && !self.set.is_seen_of_image(&self.pod.traits.image_labels)
    }

    /// What is asked of the evidence on this node.
    pub(crate) fn query(&self, repositories: &[Repository]) -> EvidenceQuery {
        EvidenceQuery {
            digests: self.digests(),
            repositories: repositories.to_vec(),
            plan: self.plan(),
        }
    }

    /// The image that evidence is kept about.
    pub(crate) fn about(&self) -> KeptAbout<'_> {
        KeptAbout { subject: &self.subject, documents: &self.documents }
    }

    /// The documents that enforce and match such an image for some pod.
    pub(crate) fn widest(&self) -> Applicable {
        self.set.applicable_to(&self.subject, &Pod::default())
    }

    pub(crate) fn plan(&self) -> Plan {
        self.set.plan(&self.applicable)
    }

    /// Everything that any document that enforces could want of such an image, for whatever
    /// pod: so much is gathered where what is kept is to be replaced.
    pub(crate) fn wide_plan(&self) -> Plan {
        let (narrow, all) = (self.plan(), self.set.plan(&self.widest()));
        Plan {
            signatures: narrow.signatures || all.signatures,
            certificates: narrow.certificates || all.certificates,
            names_tag: narrow.names_tag || all.names_tag,
            attestations: narrow.attestations || all.attestations,
        }
    }

    /// The repository that the image is from, by its name.
    pub(crate) fn own_repository(&self) -> Option<&Repository> {
        match &self.subject.name {
            Name::Known(reference) => Some(reference.runtime_repository()),
            Name::Unknown => None,
        }
    }

    /// The repositories to look for signatures in; none when none could count anyway.
    pub(crate) fn repositories(&self) -> Vec<Repository> {
        match (self.own_repository(), self.subject.origin) {
            (Some(own), Origin::Registry | Origin::Kept) if self.plan().asks_for_evidence() => {
                self.set.signature_repositories(&self.applicable, own)
            }
            (Some(_) | None, Origin::Registry | Origin::Kept | Origin::Local) => Vec::new(),
        }
    }

    /// The registry that the image is from, folded; empty where the image has no name. What its
    /// decision takes is its share.
    pub(crate) fn host(&self) -> String {
        self.subject
            .name
            .repository()
            .map_or_else(String::new, |repository| repository.host().to_owned())
    }

    /// The digests on which signatures count.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.subject.candidates().cloned().collect()
    }
}
