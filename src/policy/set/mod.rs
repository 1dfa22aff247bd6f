//! [`PolicySet`]: documents with their keys, checked whole, ready to judge. It never changes; a
//! reload makes another.

pub(super) mod applicable;
mod build;
mod coverage;
pub(super) mod denials;
pub(super) mod exceptions;
pub(super) mod keys;
pub(super) mod kinds;
pub(super) mod mode;
pub(super) mod observe;
mod query;
mod signature_repositories;
mod unknown;
pub(super) mod unproven;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{Name, Origin, Pod, Subject};
use crate::image::Digest;

use super::document::Document;
use super::document::head::ListHead;
use super::document::reader::DocumentCounts;
use super::requirement::solve::SatisfiedBy;
use super::requirement::trust::{LeafTrust, Trusts};
use super::sanitize::{bounded, escaped};
use super::scope::document_set::DocumentSet;
use super::scope::pinned::Digests;
use crate::verify::Part;
use applicable::{Applicable, Index};
use coverage::Coverage;
use denials::Denials;
use exceptions::Exceptions;
use kinds::DocumentKinds;
use mode::Mode;

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
    counts: DocumentCounts,
    pub(super) rules: Vec<Rule>,
    pub(super) trusts: Trusts,
    pub(super) unmatched: Unmatched,
    pub(super) denials: Denials,
    /// The deny lists that were fetched.
    pub(super) fetched: Vec<ListHead>,
    pub(super) exceptions: Exceptions,
    pub(super) index: Index,
    pub(super) kinds: DocumentKinds,
    coverage: Coverage,
    mode: Mode,
    /// Of the documents alone.
    documents_generation: Arc<str>,
    /// Of the documents and the mode.
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
    /// What, in words, bounded and printable: a key with its policy, a certificate or revocation
    /// list with its file.
    pub what: String,
    /// Until when it counts.
    pub until: jiff::Timestamp,
}

/// Everything but the evidence that a verdict depends on: equal keys, equal verdicts. What a memory
/// of verdicts is to be looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerdictKey {
    digests: Vec<Digest>,
    target: Digest,
    /// The platform manifest, where a document denies it: that counts whatever the image was asked
    /// by (attack C3).
    denied: Option<Digest>,
    origin: Origin,
    repository: Option<String>,
    name: Option<String>,
    applicable: Applicable,
    trust_generation: Arc<str>,
}

impl PolicySet {
    /// Sixteen hexadecimal digits that change with any policy file, its name, `unmatched` or the
    /// mode.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.generation
    }

    /// Sixteen hexadecimal digits that change with any key, certificate, revocation list or trust
    /// root.
    #[must_use]
    pub fn trust_generation(&self) -> &str {
        &self.trust_generation
    }

    /// How many documents there are of each kind; deny lists that were fetched are among them.
    #[must_use]
    pub fn counts(&self) -> DocumentCounts {
        self.counts
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

    /// The documents that match a name for a pod, while no digest of the image is known. A name,
    /// digest or namespace that is not known matches every enforcing document and no permissive one
    /// (attack E8).
    #[must_use]
    pub fn applicable(&self, name: &Name, pod: &Pod) -> Applicable {
        self.applicable_by(name, None, pod)
    }

    /// The documents that match an image whose digests are known, for a pod.
    #[must_use]
    pub fn applicable_to(&self, subject: &Subject, pod: &Pod) -> Applicable {
        let digests: Vec<&Digest> =
            std::iter::once(&subject.target).chain(&subject.child).collect();
        self.applicable_by(&subject.name, Some(&digests), pod)
    }

    pub(super) fn applicable_by(&self, name: &Name, digests: Digests<'_>, pod: &Pod) -> Applicable {
        let documents = self.index.matching(name, digests, pod);
        let demanding = documents.meets(&self.kinds.demanding);
        let lets_restore = documents.meets(&self.kinds.proving)
            && documents.both(&self.kinds.proving).all(|it| self.kinds.restoring.has(it));
        let exceptions = self.exceptions.matching(name, digests, pod);
        // Whether it is known is a question of its own only where a document asks it: others share
        // their verdicts.
        let asks_namespace = documents.meets(&self.kinds.unreachable_by_namespace);
        let namespace_known = pod.namespace.is_some() || !asks_namespace;
        let generation = Arc::clone(&self.generation);
        Applicable::new(
            generation,
            (documents, demanding, lets_restore),
            exceptions,
            namespace_known,
        )
    }

    /// Everything that its policies need and that ends: keys with a window, certificates and
    /// revocation lists of own authorities. What ends of trust roots, the roots say.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        let mut expiries = Vec::new();
        for rule in &self.rules {
            for key in rule
                .trusts
                .iter()
                .flat_map(|trust| &trust.trials)
                .filter_map(|trial| trial.key.as_ref())
            {
                if let Some(until) = key.window.not_after {
                    let (file, policy) =
                        (bounded(escaped(&key.name()), NAME_SHOWN), &rule.document.name);
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
                expiries.push(Expiry {
                    what: format!("{kind} {name} of the authority of {file}"),
                    until: end.at,
                });
            }
        }
        expiries
            .sort_by(|one, two| one.until.cmp(&two.until).then_with(|| one.what.cmp(&two.what)));
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
            self.denials.digest(digest).is_some()
                || self
                    .matched_of(applicable, &self.kinds.denying)
                    .any(|rule| rule.document.denies(digest))
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
        numbers
            .into_iter()
            .flat_map(|numbers| numbers.both(kind))
            .filter_map(|number| self.rules.get(number))
    }

    /// Whether this set said which documents match.
    pub(super) fn made(&self, applicable: &Applicable) -> bool {
        applicable.generation() == &*self.generation
    }
}
