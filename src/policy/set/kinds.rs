//! [`DocumentKinds`]: what documents of a set have in common, as sets of them; so that what a
//! decision needs to know of all that matched is a comparison of two sets, and not a walk through
//! their requirements.

use crate::policy::document::Document;
use crate::policy::requirement::Demand;
use crate::policy::scope::document_set::DocumentSet;

/// What has to be gathered before the documents that matched can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether any of them asks for a signature on the image itself.
    pub signatures: bool,
    /// Whether any of them asks for a certificate, of whatever: such images often have evidence in
    /// several places.
    pub certificates: bool,
    /// Whether the verdict depends on the tag that is asked for.
    pub names_tag: bool,
    /// Whether any of them asks for an attestation: those have a place of their own to look in.
    pub attestations: bool,
}

/// Documents by what they are.
#[derive(Debug, Default)]
pub(in crate::policy) struct DocumentKinds {
    /// Those that demand something; the others only deny.
    pub(in crate::policy) demanding: DocumentSet,
    /// Those that deny digests.
    pub(in crate::policy) denying: DocumentSet,
    /// Those that ask for a signature or an attestation, and name no repository where it is.
    pub(in crate::policy) own_repository: DocumentSet,
    /// Those that ask so, and name one.
    pub(in crate::policy) other_repository: DocumentSet,
    /// Those that ask for proof: they neither accept anything nor only warn.
    pub(in crate::policy) proving: DocumentSet,
    /// Those that let a container be restored from a checkpoint.
    pub(in crate::policy) restoring: DocumentSet,
    /// Those that ask so, and say how fresh it is to be.
    pub(in crate::policy) fresh: DocumentSet,
    /// Those that let through what no registry could be asked about, of some namespaces alone.
    pub(super) unreachable_by_namespace: DocumentSet,
    pub(super) signatures: DocumentSet,
    pub(super) certificates: DocumentSet,
    pub(super) names_tag: DocumentSet,
    pub(super) attestations: DocumentSet,
}

impl Document {
    /// Whether it lets through what it could not ask a registry about. It enforces all the same.
    pub(in crate::policy) fn admits_unreachable(&self) -> bool {
        self.on_unreachable.admits(self.action)
    }
}

impl Plan {
    /// Whether any signature is asked for; without, nothing needs to be asked of a registry.
    #[must_use]
    pub fn asks_for_evidence(self) -> bool {
        self.signatures || self.attestations
    }

    fn of(document: &Document) -> Self {
        let mut plan =
            Self { signatures: false, certificates: false, names_tag: false, attestations: false };
        for leaf in &document.require.leaves {
            match &leaf.demand {
                Demand::Signature { identity, .. } => {
                    plan.signatures = true;
                    plan.names_tag |= identity.names_tag();
                }
                Demand::Attestation { .. } => plan.attestations = true,
                Demand::Digest(_) => {}
            }
            plan.certificates |=
                leaf.attestor().is_some_and(|attestor| attestor.kind.identities().is_some());
        }
        plan
    }
}

impl DocumentKinds {
    pub(in crate::policy) fn of<'d>(
        documents: impl ExactSizeIterator<Item = &'d Document>,
    ) -> Self {
        let none = DocumentSet::none_of(documents.len());
        let mut kinds = Self {
            demanding: none.clone(),
            denying: none.clone(),
            own_repository: none.clone(),
            other_repository: none.clone(),
            proving: none.clone(),
            restoring: none.clone(),
            fresh: none.clone(),
            unreachable_by_namespace: none.clone(),
            signatures: none.clone(),
            certificates: none.clone(),
            names_tag: none.clone(),
            attestations: none,
        };
        for (number, document) in documents.enumerate() {
            kinds.add(number, document);
        }
        kinds
    }

    fn add(&mut self, number: usize, document: &Document) {
        let plan = Plan::of(document);
        let by_namespace = document.admits_unreachable() && !document.namespaces.is_empty();
        let (asks, signature_sources) = (plan.asks_for_evidence(), &document.signature_sources);
        for (set, is_in) in [
            (&mut self.demanding, !document.only_denies),
            (&mut self.denying, !document.deny.is_empty()),
            (&mut self.own_repository, asks && signature_sources.repository().is_none()),
            (&mut self.other_repository, asks && signature_sources.repository().is_some()),
            (&mut self.proving, document.demands()),
            (&mut self.restoring, document.lets_restore),
            (&mut self.fresh, asks && signature_sources.asks_freshness()),
            (&mut self.unreachable_by_namespace, by_namespace),
            (&mut self.signatures, plan.signatures),
            (&mut self.certificates, plan.certificates),
            (&mut self.names_tag, plan.names_tag),
            (&mut self.attestations, plan.attestations),
        ] {
            if is_in {
                set.insert(number);
            }
        }
    }
}
