//! Which signers of a requirement deny lists deny: what nobody can sign any more is neither asked for
//! nor advised.

use crate::policy::requirement::attestor::{Attestor, AttestorKind};
use crate::policy::requirement::certificate_identity::CertificateIdentity;
use crate::policy::requirement::trust::{LeafTrust, RuleKey};
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::set::PolicySet;
use crate::policy::set::denials::DeniedBy;

/// Which signatures a denial is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    /// Those that were made already, too: an entry with `signedAfter` lets some of them count.
    Any,
    /// Those that are made from now on: none of a signer whom an entry names.
    New,
}

impl PolicySet {
    /// What denies every signer of a requirement; none where one is left, or where a signature is not
    /// what it asks. Of several entries the first signer's.
    pub(super) fn every_signer_denied(
        &self,
        (leaf, trust): (&Leaf, &LeafTrust),
        of: Signatures,
    ) -> Option<DeniedBy> {
        let mut denials = match &attestor(leaf)?.kind {
            AttestorKind::Key(_) => {
                let keys = trust.trials.iter().filter_map(|trial| trial.key.as_ref());
                keys.map(|key| self.key_denied(key, of)).collect::<Vec<_>>()
            }
            AttestorKind::Keyless(any_of) | AttestorKind::Certificate { subjects: any_of, .. } => {
                any_of.iter().map(|identity| self.identity_denied(identity, of)).collect()
            }
        }
        .into_iter();
        let first = denials.next()??;
        denials.all(|denied| denied.is_some()).then_some(first)
    }

    /// What denies a key.
    pub(super) fn key_denied(&self, key: &RuleKey, of: Signatures) -> Option<DeniedBy> {
        let mut entries = self.denials.key(key.id.bytes());
        let entry = entries.find(|(_, signed_after)| of.are_denied(signed_after.is_some()));
        entry.map(|(listed, _)| listed.by())
    }

    /// What denies every holder of an identity.
    pub(super) fn identity_denied(
        &self,
        identity: &CertificateIdentity,
        of: Signatures,
    ) -> Option<DeniedBy> {
        let mut entries = self.denials.identity(identity);
        let entry = entries.find(|(_, signed_after)| of.are_denied(signed_after.is_some()));
        entry.map(|(listed, _)| listed.by())
    }
}

impl Signatures {
    /// Whether an entry, which may let earlier signatures count, denies them all.
    fn are_denied(self, is_limited: bool) -> bool {
        match self {
            Self::Any => !is_limited,
            Self::New => true,
        }
    }
}

/// By whom a requirement is to be signed; none where it lists digests.
pub(super) fn attestor(leaf: &Leaf) -> Option<&Attestor> {
    match &leaf.demand {
        Demand::Digest(_) => None,
        Demand::Signature { attestor, .. } | Demand::Attestation { attestor, .. } => Some(attestor),
    }
}
