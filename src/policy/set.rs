//! [`PolicySet`]: documents with their keys, checked whole, ready to judge. It never changes; a reload makes another.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::evidence::{Name, Origin, Subject};
use crate::image::Digest;

use super::document::error::{PolicyError, PolicyFault};
use super::document::material::Material;
use super::document::{Document, Documents, put};
use super::evaluate::signer_set::{SignerKey, SignerSet};
use super::evaluate::solve::{COMBINATIONS_MAX, SatisfiedBy, satisfied};
use super::requirement::Leaf;
use super::requirement::attestor::{AttestorKind, Named};
use super::requirement::certificate_identity::CertificateIdentity;
use super::requirement::trust::{self, LeafTrust, Trusts};
use super::sanitize::{bounded, escaped};
use super::scope::applicable::{Applicable, Index};
use super::scope::document_set::DocumentSet;
use super::scope::kinds::DocumentKinds;
use crate::verify::Part;

/// Longest name of a file or certificate in the words about what ends, in bytes.
const NAME_SHOWN: usize = 120;

/// What becomes of an image that no policy matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unmatched {
    /// It is refused.
    #[default]
    #[serde(rename = "deny")]
    Deny,
    /// It runs, whatever it is.
    #[serde(rename = "insecure-admit")]
    Admit,
}

/// A whole policy: every document, every key. Immutable and shareable between threads.
#[derive(Debug)]
pub struct PolicySet {
    pub(super) rules: Vec<Rule>,
    pub(super) trusts: Trusts,
    pub(super) unmatched: Unmatched,
    pub(super) index: Index,
    pub(super) kinds: DocumentKinds,
    generation: Arc<str>,
    trust_generation: Arc<str>,
}

/// A document with the trusts of its leaves.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) document: Document,
    /// For each leaf what signatures are tried with.
    pub(super) trusts: Vec<LeafTrust>,
    /// For each leaf the kind of claim by which its signers are counted.
    pub(super) kinds: Vec<usize>,
    /// For each leaf by whom it is met when everybody signs and every digest is the right one.
    pub(super) best: Vec<SatisfiedBy>,
}

/// Something that a policy needs and that ends at a known time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// What, in words, bounded and printable: a key with its policy, a certificate or revocation list with its file.
    pub what: String,
    /// Until when it counts.
    pub until: jiff::Timestamp,
}

/// Everything but the evidence that a verdict depends on: equal keys, equal verdicts. What a memory of verdicts is
/// to be looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerdictKey {
    digests: Vec<Digest>,
    target: Digest,
    /// The platform manifest, where a document denies it: that counts whatever the image was asked by (attack C3).
    denied: Option<Digest>,
    origin: Origin,
    repository: Option<String>,
    name: Option<String>,
    applicable: Applicable,
    trust_generation: Arc<str>,
}

impl PolicySet {
    /// Puts documents and what they name together. `material` holds whatever they name.
    ///
    /// # Errors
    /// Every fault: keys, files and trust roots that are missing, files that are no authority, thresholds that cannot be
    /// met by distinct signers.
    pub fn build(documents: Documents, material: Material, unmatched: Unmatched) -> Result<Self, Vec<PolicyError>> {
        let generation = generation(documents.hash, unmatched);
        let trust_generation = trust_generation(&material);
        let mut trusts = Trusts::default();
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        let count = documents.documents.len();
        for document in documents.documents {
            match Rule::new(document, &mut trusts, &material) {
                Ok(rule) => rules.push(rule),
                Err(more) => errors.extend(more),
            }
        }
        if !errors.is_empty() || rules.len() != count {
            return Err(errors);
        }
        let kinds = DocumentKinds::of(rules.iter().map(|rule| &rule.document));
        let index = Index::new(&mut rules.iter_mut().map(|rule| &mut rule.document).collect::<Vec<_>>());
        Ok(Self { rules, trusts, unmatched, index, kinds, generation, trust_generation })
    }

    /// Sixteen hexadecimal digits that change with any policy file, its name or `unmatched`.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Sixteen hexadecimal digits that change with any key, certificate, revocation list or trust root.
    #[must_use]
    pub fn trust_generation(&self) -> &str {
        &self.trust_generation
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no policy: then every image is unmatched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of an image that no policy matches.
    #[must_use]
    pub fn unmatched(&self) -> Unmatched {
        self.unmatched
    }

    /// The names of the policies, in the order of the files.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.document.name.as_str())
    }

    /// The documents that match a name for a pod. A name or namespace that is not known matches every enforcing
    /// document and no permissive one (attack E8).
    #[must_use]
    pub fn applicable(&self, name: &Name, pod: &crate::evidence::Pod) -> Applicable {
        let documents = self.index.matching(name, pod);
        let demanding = documents.meets(&self.kinds.demanding);
        Applicable::new(Arc::clone(&self.generation), documents, demanding)
    }

    /// Everything that its policies need and that ends: keys with a window, certificates and revocation lists of own
    /// authorities. What ends of trust roots, the roots say.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        let mut expiries = Vec::new();
        for rule in &self.rules {
            for key in rule.trusts.iter().flat_map(|trust| &trust.trials).filter_map(|trial| trial.key.as_ref()) {
                if let Some(until) = key.window.not_after {
                    let (file, policy) = (bounded(escaped(&key.file), NAME_SHOWN), &rule.document.name);
                    expiries.push(Expiry { what: format!("key {file} of policy {policy}"), until });
                }
            }
        }
        for (file, authority) in self.trusts.authorities() {
            let file = bounded(escaped(file), NAME_SHOWN);
            for end in authority.expiries() {
                let kind = match end.part {
                    Part::Root => "CA certificate",
                    Part::Intermediate => "intermediate certificate",
                    Part::RevocationList => "revocation list",
                };
                let name = bounded(escaped(&end.name), NAME_SHOWN);
                expiries.push(Expiry { what: format!("{kind} {name} of the authority of {file}"), until: end.at });
            }
        }
        expiries.sort_by(|one, two| one.until.cmp(&two.until).then_with(|| one.what.cmp(&two.what)));
        expiries.dedup();
        expiries
    }

    /// What a verdict on this subject under these documents is to be remembered by.
    #[must_use]
    pub fn verdict_key(&self, subject: &Subject, applicable: &Applicable) -> VerdictKey {
        let reference = match &subject.name {
            Name::Known(reference) => Some(reference),
            Name::Unknown => None,
        };
        let whole = reference.filter(|_| self.plan(applicable).names_tag);
        let is_denied = |digest: &&Digest| {
            self.matched_of(applicable, &self.kinds.denying).any(|rule| rule.document.denies(digest))
        };
        VerdictKey {
            digests: subject.candidates().cloned().collect(),
            target: subject.target.clone(),
            denied: subject.child.as_ref().filter(is_denied).cloned(),
            origin: subject.origin,
            repository: reference.map(|reference| reference.repository().to_string()),
            name: whole.map(ToString::to_string),
            applicable: applicable.clone(),
            trust_generation: Arc::clone(&self.trust_generation),
        }
    }

    /// The rules that matched; none when they are another set's.
    pub(super) fn matched(&self, applicable: &Applicable) -> impl Iterator<Item = &Rule> {
        let numbers = Some(applicable.documents()).filter(|_| self.made(applicable));
        numbers.into_iter().flat_map(DocumentSet::iter).filter_map(|number| self.rules.get(number))
    }

    /// The rules among them that are of a kind.
    pub(super) fn matched_of<'s>(
        &'s self,
        applicable: &'s Applicable,
        kind: &'s DocumentSet,
    ) -> impl Iterator<Item = &'s Rule> {
        let numbers = Some(applicable.documents()).filter(|_| self.made(applicable));
        numbers.into_iter().flat_map(|numbers| numbers.both(kind)).filter_map(|number| self.rules.get(number))
    }

    /// Whether this set said which documents match.
    pub(super) fn made(&self, applicable: &Applicable) -> bool {
        applicable.generation() == &*self.generation
    }
}

impl Rule {
    fn new(document: Document, trusts: &mut Trusts, material: &Material) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut of_leaves = Vec::new();
        for leaf in &document.require.leaves {
            match trusts.leaf(leaf, &document.name, material) {
                Ok(trust) => of_leaves.push(trust),
                Err(faults) => errors.extend(faults.into_iter().map(|(at, fault)| named(&document, at, fault))),
            }
        }
        if !errors.is_empty() || of_leaves.len() != document.require.leaves.len() {
            return Err(errors);
        }
        let kinds = trust::kinds(&document.require.leaves);
        let (best, distinct) = best(&document.require.leaves, &of_leaves, &kinds);
        let rule = Self { document, trusts: of_leaves, kinds, best };
        match rule.unsatisfiable(distinct) {
            Some(error) => Err(vec![error]),
            None => Ok(rule),
        }
    }

    /// The innermost threshold that could not be met even if everybody signed.
    fn unsatisfiable(&self, distinct_keys: usize) -> Option<PolicyError> {
        for (tree, position, field) in &self.document.require.thresholds {
            let fault = match satisfied(tree, &self.best) {
                Ok(true) => continue,
                Ok(false) => PolicyFault::Unsatisfiable { distinct_keys },
                Err(_) => PolicyFault::TooComplex { limit: COMBINATIONS_MAX },
            };
            let file = self.document.file.clone();
            return Some(PolicyError { file, position: Some(*position), field: field.clone(), fault });
        }
        None
    }
}

/// For each leaf by whom it could be met, and how many holders that are. An identity that fits several holders has one
/// for each leaf that asks for it, which is all that a threshold can need.
fn best(leaves: &[Leaf], trusts: &[LeafTrust], kinds: &[usize]) -> (Vec<SatisfiedBy>, usize) {
    let mut signers = SignerSet::default();
    let mut best = Vec::new();
    let mut all = BTreeSet::new();
    for (number, ((leaf, trust), kind)) in leaves.iter().zip(trusts).zip(kinds).enumerate() {
        let identity = |identity: &CertificateIdentity, own| {
            SignerKey::identity(identity, own).unwrap_or(SignerKey::Somebody(number))
        };
        let signer_keys: Vec<SignerKey> = match leaf.attestor().map(|attestor| &attestor.kind) {
            None => Vec::new(),
            Some(AttestorKind::Key(_)) => {
                trust.trials.iter().filter_map(|t| Some(SignerKey::key(&t.key.as_ref()?.id))).collect()
            }
            Some(AttestorKind::Keyless(identities)) => identities.iter().map(|i| identity(i, false)).collect(),
            Some(AttestorKind::Certificate { subjects, .. }) => subjects.iter().map(|i| identity(i, true)).collect(),
        };
        let numbers = signer_keys.into_iter().map(|signer_key| signers.number(*kind, [signer_key]));
        best.push(SatisfiedBy { without_signer: leaf.attestor().is_none(), signers: numbers.collect() });
    }
    for satisfied_by in &mut best {
        satisfied_by.signers.iter_mut().for_each(|signer| *signer = signers.resolved(*signer));
        all.extend(satisfied_by.signers.iter().copied());
    }
    (best, all.len())
}

/// A fault of something that the document names.
fn named(document: &Document, name: &Named, fault: PolicyFault) -> PolicyError {
    PolicyError { file: document.file.clone(), position: Some(name.position), field: name.field.clone(), fault }
}

fn generation(mut hash: Sha256, unmatched: Unmatched) -> Arc<str> {
    hash.update(match unmatched {
        Unmatched::Deny => b"deny ",
        Unmatched::Admit => b"admit",
    });
    short(hash)
}

fn trust_generation(material: &Material) -> Arc<str> {
    let mut hash = Sha256::new();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).to_be_bytes();
    hash.update(count(material.keys.len()));
    for (file, key) in &material.keys {
        put(&mut hash, file.as_bytes());
        put(&mut hash, key.id().to_string().as_bytes());
    }
    hash.update(count(material.files.len()));
    for (file, bytes) in &material.files {
        put(&mut hash, file.as_bytes());
        put(&mut hash, bytes);
    }
    hash.update(count(material.roots.len()));
    for (name, root) in &material.roots {
        put(&mut hash, name.as_bytes());
        put(&mut hash, root.id().to_string().as_bytes());
    }
    short(hash)
}

/// Sixteen digits: enough to tell generations apart, short enough for a log line.
fn short(hash: Sha256) -> Arc<str> {
    let mut hex = hex::encode(hash.finalize());
    hex.truncate(16);
    Arc::from(hex)
}
