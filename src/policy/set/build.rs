//! Builds a [`PolicySet`] from documents and the keys, certificates and trust roots that they name.
//!
//! One fault anywhere refuses the whole set.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::applicable::{Index, Scope};
use super::coverage::Coverage;
use super::denials::Denials;
use super::exceptions::{EXCEPTION_SPAN, Exceptions};
use super::kinds::DocumentKinds;
use super::mode::Mode;
use super::{PolicySet, Rule, Unmatched};
use crate::policy::document::{Document, Documents, put};
use crate::policy::requirement::Leaf;
use crate::policy::requirement::attestor::Identities;
use crate::policy::requirement::certificate_identity::CertificateIdentity;
use crate::policy::requirement::keys::named::Named;
use crate::policy::requirement::material::Material;
use crate::policy::requirement::signer_set::{SignerKey, SignerSet};
use crate::policy::requirement::solve::{COMBINATIONS_MAX, SatisfiedBy, satisfied};
use crate::policy::requirement::trust::{self, LeafTrust, Trusts};
use crate::policy::syntax::error::{PolicyError, PolicyFault};

impl PolicySet {
    /// Puts documents and what they name together. `material` holds whatever they name.
    ///
    /// # Errors
    /// Every fault: keys, files and trust roots that are missing, files that are no authority,
    /// thresholds that cannot be met by distinct signers.
    pub fn build(
        documents: Documents,
        material: Material,
        unmatched: Unmatched,
    ) -> Result<Self, Vec<PolicyError>> {
        let counts = documents.counts();
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
        // Before the index takes their patterns.
        let coverage = Coverage::of(rules.iter().map(|rule| &rule.document), &documents.exceptions);
        let index = Index::new(rules.iter_mut().map(|rule| scope(&mut rule.document)).collect());
        let denials = Denials::new(documents.deny_lists);
        let exceptions = Exceptions::new(documents.exceptions, EXCEPTION_SPAN);
        Ok(Self {
            counts,
            rules,
            trusts,
            unmatched,
            denials,
            fetched: documents.fetched,
            exceptions,
            index,
            kinds,
            coverage,
            mode: Mode::Enforce,
            documents_generation: Arc::clone(&generation),
            generation,
            trust_generation,
        })
    }

    /// The same set, whose exceptions may end so far ahead. Another span is another generation; the
    /// mode is to be said after it.
    #[must_use]
    pub fn with_exception_span(mut self, span: SignedDuration) -> Self {
        if span != EXCEPTION_SPAN {
            let mut hash = Sha256::new();
            put(&mut hash, self.documents_generation.as_bytes());
            put(&mut hash, span.to_string().as_bytes());
            self.documents_generation = short(hash);
        }
        self.exceptions.set_span(span);
        let mode = self.mode;
        self.in_mode(mode)
    }
}

impl Rule {
    fn new(
        document: Document,
        trusts: &mut Trusts,
        material: &Material,
    ) -> Result<Self, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let mut of_leaves = Vec::new();
        for leaf in &document.require.leaves {
            match trusts.leaf(leaf, &document.name, material) {
                Ok(trust) => of_leaves.push(trust),
                Err(faults) => {
                    errors.extend(faults.into_iter().map(|(at, fault)| named(&document, at, fault)))
                }
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
            return Some(PolicyError {
                file,
                position: Some(*position),
                field: field.clone(),
                fault,
            });
        }
        None
    }
}

/// Takes the document's patterns of images out of it: the index has them.
fn scope(document: &mut Document) -> Scope {
    Scope {
        is_permissive: document.is_permissive(),
        images: std::mem::take(&mut document.images),
        exclude: std::mem::take(&mut document.exclude),
        digests: Vec::new(),
        namespaces: document.namespaces.clone(),
        hosts: document.hosts,
        selectors: std::mem::take(&mut document.selectors),
    }
}

/// For each leaf by whom it could be met, and how many holders that are. An identity that fits
/// several holders has one for each leaf that asks for it, which is all that a threshold can need.
fn best(leaves: &[Leaf], trusts: &[LeafTrust], kinds: &[usize]) -> (Vec<SatisfiedBy>, usize) {
    let mut signers = SignerSet::default();
    let mut best = Vec::new();
    let mut all = BTreeSet::new();
    for (number, ((leaf, trust), kind)) in leaves.iter().zip(trusts).zip(kinds).enumerate() {
        let identity = |identity: &CertificateIdentity, own| {
            SignerKey::identity(identity, own).unwrap_or(SignerKey::Somebody(number))
        };
        let identities = leaf.attestor().and_then(|attestor| attestor.kind.identities());
        let signer_keys: Vec<SignerKey> = match identities {
            None => trust
                .trials
                .iter()
                .filter_map(|t| Some(SignerKey::key(&t.key.as_ref()?.id)))
                .collect(),
            Some(Identities { any_of, authority }) => {
                any_of.iter().map(|i| identity(i, authority.is_some())).collect()
            }
        };
        let numbers = signer_keys.into_iter().map(|signer_key| signers.number(*kind, [signer_key]));
        best.push(SatisfiedBy {
            without_signer: leaf.attestor().is_none(),
            signers: numbers.collect(),
        });
    }
    for satisfied_by in &mut best {
        satisfied_by.signers.iter_mut().for_each(|signer| *signer = signers.resolved(*signer));
        all.extend(satisfied_by.signers.iter().copied());
    }
    (best, all.len())
}

/// A fault of something that the document names.
fn named(document: &Document, name: &Named, fault: PolicyFault) -> PolicyError {
    PolicyError {
        file: document.file.clone(),
        position: Some(name.position),
        field: name.field.clone(),
        fault,
    }
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
