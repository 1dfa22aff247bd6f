//! [`SigningWay`]: how an image would come to have what a requirement asks, for who signs it.

use crate::evidence::Name;
use crate::policy::requirement::attestor::{Attestor, AttestorKind};
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::sanitize::escaped;
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

/// Who signs. Of several that may, the first that the policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningParty {
    /// The holder of the key of which this file has the public half; none where the policy names
    /// no file.
    Key(Option<String>),
    /// The holder of an identity, as the policy describes it.
    Keyless(String),
    /// The holder of a certificate of an own authority, as the policy describes it.
    Certificate(String),
}

impl PolicySet {
    /// How an image comes to meet a requirement of a policy; none where no signature does (it lists
    /// digests), or where there is no such requirement.
    #[must_use]
    pub fn signing_way(&self, name: &Name, policy: &str, requirement: &str) -> Option<SigningWay> {
        let rule = self.rules.iter().find(|rule| rule.document.name == policy)?;
        let leaves = &rule.document.require.leaves;
        let leaf = leaves.iter().find(|leaf| leaf.name == requirement)?;
        way(rule, leaf, name)
    }
}

fn way(rule: &Rule, leaf: &Leaf, name: &Name) -> Option<SigningWay> {
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
        by: party(attestor),
        repository: repository
            .filter(|one| own.as_ref() != Some(*one))
            .map(|one| escaped(&one.to_string())),
        needs_timestamp: attestor.demands.timestamps > 0,
    })
}

fn party(attestor: &Attestor) -> SigningParty {
    let identity =
        |any_of: &[crate::policy::requirement::certificate_identity::CertificateIdentity]| {
            any_of.first().map(|one| escaped(&one.describe())).unwrap_or_default()
        };
    match &attestor.kind {
        AttestorKind::Key(_) => {
            SigningParty::Key(attestor.kind.key_files().first().map(|file| escaped(&file.name)))
        }
        AttestorKind::Keyless(any_of) => SigningParty::Keyless(identity(any_of)),
        AttestorKind::Certificate { subjects, .. } => SigningParty::Certificate(identity(subjects)),
    }
}
