//! [`SigningWay`]: how an image would come to have what a requirement asks, for who signs it.

use super::denied::{Signatures, attestor};
use crate::evidence::Name;
use crate::policy::requirement::attestor::{Attestor, AttestorKind};
use crate::policy::requirement::certificate_identity::CertificateIdentity;
use crate::policy::requirement::trust::LeafTrust;
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::sanitize::escaped;
use crate::policy::set::denials::DeniedBy;
use crate::policy::set::{PolicySet, Rule};

/// What is to be made, by whom and where it goes. Texts are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningWay {
    /// The policy that asks.
    pub policy: String,
    /// The requirement of it.
    pub requirement: String,
    /// The types of an attestation, any of which will do; none for a signature on the image.
    pub predicate_types: Option<Vec<String>>,
    /// By whom.
    pub by: SigningParty,
    /// The repository where it is looked for; none for the image's own.
    pub repository: Option<String>,
    /// Whether a timestamp of an authority is asked for.
    pub needs_timestamp: bool,
}

/// Who signs. Of several that may, the first that the policy names and no deny list denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningParty {
    /// The holder of the key of which this file has the public half; none where the policy names
    /// no file.
    Key(Option<String>),
    /// The holder of an identity, as the policy describes it.
    Keyless(String),
    /// The holder of a certificate of an own authority, as the policy describes it.
    Certificate(String),
    /// Nobody: what denies every signer that the policy names.
    Nobody(DeniedBy),
}

impl PolicySet {
    /// How an image comes to meet a requirement of a policy; none where no signature does (it lists
    /// digests), or where there is no such requirement.
    #[must_use]
    pub fn signing_way(&self, name: &Name, policy: &str, requirement: &str) -> Option<SigningWay> {
        let rule = self.rules.iter().find(|rule| rule.document.name == policy)?;
        let leaves = &rule.document.require.leaves;
        let number = leaves.iter().position(|leaf| leaf.name == requirement)?;
        let (leaf, trust) = (leaves.get(number)?, rule.trusts.get(number)?);
        let by = match self.every_signer_denied((leaf, trust), Signatures::New) {
            Some(by) => SigningParty::Nobody(by),
            None => self.party(attestor(leaf)?, trust),
        };
        way((rule, leaf), by, name)
    }

    /// Who signs, of those that are left.
    fn party(&self, attestor: &Attestor, trust: &LeafTrust) -> SigningParty {
        let identity = |any_of: &[CertificateIdentity]| {
            let counts =
                |one: &&CertificateIdentity| self.identity_denied(one, Signatures::New).is_none();
            let first = any_of.iter().find(counts);
            first.map(|one| escaped(&one.describe())).unwrap_or_default()
        };
        match &attestor.kind {
            AttestorKind::Key(_) => {
                let mut keys = trust.trials.iter().filter_map(|trial| trial.key.as_ref());
                let first = keys.find(|key| self.key_denied(key, Signatures::New).is_none());
                SigningParty::Key(first.and_then(|key| key.file.as_deref()).map(escaped))
            }
            AttestorKind::Keyless(any_of) => SigningParty::Keyless(identity(any_of)),
            AttestorKind::Certificate { subjects, .. } => {
                SigningParty::Certificate(identity(subjects))
            }
        }
    }
}

fn way((rule, leaf): (&Rule, &Leaf), by: SigningParty, name: &Name) -> Option<SigningWay> {
    let (attestor, predicate_types) = match &leaf.demand {
        Demand::Digest(_) => return None,
        Demand::Signature { attestor, .. } => (attestor, None),
        Demand::Attestation { attestor, constraint } => {
            let types = constraint.predicate_types.iter().map(|one| escaped(one)).collect();
            (attestor, Some(types))
        }
    };
    let own = name.repository();
    let repository = rule.document.signature_sources.repository();
    Some(SigningWay {
        policy: escaped(&rule.document.name),
        requirement: escaped(&leaf.name),
        predicate_types,
        by,
        repository: repository
            .filter(|one| own.as_ref() != Some(*one))
            .map(|one| escaped(&one.to_string())),
        needs_timestamp: attestor.demands.timestamps > 0,
    })
}
