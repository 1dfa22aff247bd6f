//! [`PolicySet`]: documents with their keys, checked whole, ready to judge. It never changes; a reload makes another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::evidence::{Name, Origin, Subject};
use crate::image::Digest;
use crate::verify::{KeyId, PublicKey};

use super::applicable::{Applicable, Index};
use super::by::{KeyFile, Named, Who};
use super::document::{Document, Documents, PolicyFile};
use super::error::{PolicyError, PolicyFault};
use super::material::Material;
use super::report::Signer;
use super::requirement::Demand;
use super::solve::{COMBINATIONS_MAX, KEYS_MAX, KeySet, satisfied};

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
    pub(super) keys: Vec<PublicKey>,
    pub(super) unmatched: Unmatched,
    index: Index,
    generation: Arc<str>,
    trust_generation: Arc<str>,
}

/// A document with the keys of its leaves.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) document: Document,
    /// For each leaf its keys; none for a leaf that demands a digest.
    pub(super) keys: Vec<Vec<RuleKey>>,
}

/// One key of one leaf.
#[derive(Debug)]
pub(super) struct RuleKey {
    /// Its number in [`PolicySet::keys`].
    pub(super) number: usize,
    /// Its bit among the document's distinct keys.
    pub(super) bit: KeySet,
    /// The key as an operator knows it.
    pub(super) signer: Signer,
}

/// What has to be gathered before the documents that matched can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether any of them asks for a signature on the image itself.
    pub signatures: bool,
    /// Whether any of them asks for a certificate, of whatever: such images often have evidence in several places.
    pub certificates: bool,
    /// Whether the verdict depends on the tag that is asked for.
    pub names_tag: bool,
    /// Whether any of them asks for an attestation: those have a place of their own to look in.
    pub attestations: bool,
}

impl Plan {
    /// Whether any signature is asked for; without, nothing needs to be asked of a registry.
    #[must_use]
    pub fn asks_for_evidence(self) -> bool {
        self.signatures || self.attestations
    }
}

/// Everything but the evidence that a verdict depends on: equal keys, equal verdicts. What a memory of verdicts is
/// to be looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerdictKey {
    digests: Vec<Digest>,
    target: Digest,
    origin: Origin,
    repository: Option<String>,
    name: Option<String>,
    applicable: Applicable,
    trust_generation: Arc<str>,
}

impl PolicySet {
    /// Puts documents and keys together. `material` holds whatever they name.
    ///
    /// # Errors
    /// Every fault: keys that are missing, thresholds that cannot be met by distinct keys, too many of something.
    pub fn build(documents: Documents, material: Material, unmatched: Unmatched) -> Result<Self, Vec<PolicyError>> {
        let generation = generation(&documents.files, unmatched);
        let keys = material.keys;
        let trust_generation = trust_generation(&keys);
        let mut ring = Ring { numbers: HashMap::new(), keys: Vec::new(), files: keys };
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        for document in documents.documents {
            match ring.rule(document) {
                Ok(rule) => rules.push(rule),
                Err(more) => errors.extend(more),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let index = Index::new(rules.iter().map(|rule| &rule.document));
        Ok(Self { rules, keys: ring.keys, unmatched, index, generation, trust_generation })
    }

    /// Sixteen hexadecimal digits that change with any policy file, its name or `unmatched`.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Sixteen hexadecimal digits that change with any key.
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
        let documents = self.index.matching(&self.rules, name, pod);
        Applicable::new(Arc::clone(&self.generation), documents)
    }

    /// What has to be gathered to judge these documents.
    #[must_use]
    pub fn plan(&self, applicable: &Applicable) -> Plan {
        let mut plan = Plan { signatures: false, certificates: false, names_tag: false, attestations: false };
        for leaf in self.matched(applicable).flat_map(|rule| &rule.document.require.leaves) {
            match &leaf.demand {
                Demand::Signature { identity, .. } => {
                    plan.signatures = true;
                    plan.names_tag |= identity.names_tag();
                }
                Demand::Attestation { .. } => plan.attestations = true,
                Demand::Digest(_) => {}
            }
            plan.certificates |= leaf.by().is_some_and(|by| !matches!(by.who, Who::Key(_)));
        }
        plan
    }

    /// What a verdict on this subject under these documents is to be remembered by.
    #[must_use]
    pub fn verdict_key(&self, subject: &Subject, applicable: &Applicable) -> VerdictKey {
        let reference = match &subject.name {
            Name::Known(reference) => Some(reference),
            Name::Unknown => None,
        };
        let whole = reference.filter(|_| self.plan(applicable).names_tag);
        VerdictKey {
            digests: subject.candidates().cloned().collect(),
            target: subject.target.clone(),
            origin: subject.origin,
            repository: reference.map(|reference| reference.repository().to_string()),
            name: whole.map(ToString::to_string),
            applicable: applicable.clone(),
            trust_generation: Arc::clone(&self.trust_generation),
        }
    }

    /// The rules that matched; none when they are another set's.
    pub(super) fn matched(&self, applicable: &Applicable) -> impl Iterator<Item = &Rule> {
        let numbers = if self.made(applicable) { applicable.documents() } else { &[] };
        numbers.iter().filter_map(|number| self.rules.get(*number))
    }

    /// Whether this set said which documents match.
    pub(super) fn made(&self, applicable: &Applicable) -> bool {
        applicable.generation() == &*self.generation
    }
}

/// The keys of a set, each once however many files hold it.
struct Ring {
    numbers: HashMap<KeyId, usize>,
    keys: Vec<PublicKey>,
    files: BTreeMap<String, PublicKey>,
}

impl Ring {
    fn rule(&mut self, document: Document) -> Result<Rule, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut bits: Vec<usize> = Vec::new();
        let mut keys = Vec::new();
        for leaf in &document.require.leaves {
            let mut of_leaf: Vec<RuleKey> = Vec::new();
            if let Some(Who::Key(files)) = leaf.by().map(|by| &by.who) {
                for KeyFile { file, .. } in files {
                    match self.key(&file.name, &mut bits) {
                        Ok(key) if of_leaf.iter().any(|other| other.bit == key.bit) => {}
                        Ok(key) => of_leaf.push(key),
                        Err(fault) => errors.push(named(&document, file, fault)),
                    }
                }
            }
            keys.push(of_leaf);
        }
        let rule = Rule { document, keys };
        if errors.is_empty() {
            errors.extend(rule.unsatisfiable(bits.len()));
        }
        if errors.is_empty() { Ok(rule) } else { Err(errors) }
    }

    fn key(&mut self, file: &str, bits: &mut Vec<usize>) -> Result<RuleKey, PolicyFault> {
        let key = self.files.get(file).ok_or_else(|| PolicyFault::KeyMissing { name: file.to_owned() })?;
        let number = match self.numbers.get(key.id()) {
            Some(number) => *number,
            None => {
                self.numbers.insert(key.id().clone(), self.keys.len());
                self.keys.push(key.clone());
                self.keys.len() - 1
            }
        };
        let place = bits.iter().position(|other| *other == number).unwrap_or_else(|| {
            bits.push(number);
            bits.len() - 1
        });
        let bit = u32::try_from(place).ok().and_then(|place| KeySet::from(1u8).checked_shl(place));
        let bit = bit.ok_or(PolicyFault::TooMany { what: "distinct keys in one policy", limit: KEYS_MAX })?;
        Ok(RuleKey { number, bit, signer: Signer { key: key.id().clone(), file: file.to_owned() } })
    }
}

impl Rule {
    /// The sets of keys by which each leaf is met when every key signs and every digest is the right one.
    pub(super) fn at_best(&self) -> Vec<Vec<KeySet>> {
        let leaves = self.document.require.leaves.iter().zip(&self.keys);
        leaves
            .map(|(leaf, keys)| match leaf.demand {
                Demand::Signature { .. } | Demand::Attestation { .. } => keys.iter().map(|key| key.bit).collect(),
                Demand::Digest(_) => vec![0],
            })
            .collect()
    }

    /// The innermost threshold that could not be met even then.
    fn unsatisfiable(&self, distinct_keys: usize) -> Option<PolicyError> {
        let leaves = self.at_best();
        for (tree, position, field) in &self.document.require.thresholds {
            let fault = match satisfied(tree, &leaves) {
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

/// A fault of something that the document names.
fn named(document: &Document, name: &Named, fault: PolicyFault) -> PolicyError {
    PolicyError { file: document.file.clone(), position: Some(name.position), field: name.field.clone(), fault }
}

fn generation(files: &[PolicyFile], unmatched: Unmatched) -> Arc<str> {
    let mut hash = Sha256::new();
    hash.update(match unmatched {
        Unmatched::Deny => b"deny ",
        Unmatched::Admit => b"admit",
    });
    for file in files {
        put(&mut hash, file.name.as_bytes());
        put(&mut hash, &file.bytes);
    }
    short(hash)
}

fn trust_generation(keys: &BTreeMap<String, PublicKey>) -> Arc<str> {
    let mut hash = Sha256::new();
    for (file, key) in keys {
        put(&mut hash, file.as_bytes());
        put(&mut hash, key.id().to_string().as_bytes());
    }
    short(hash)
}

/// With its length before it, so that no two different inputs read the same.
fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(bytes);
}

/// Sixteen digits: enough to tell generations apart, short enough for a log line.
fn short(hash: Sha256) -> Arc<str> {
    let mut hex = hex::encode(hash.finalize());
    hex.truncate(16);
    Arc::from(hex)
}
