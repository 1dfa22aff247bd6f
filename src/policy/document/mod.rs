//! [`Documents`]: the policy files of a folder, read and checked as far as that goes without the
//! keys.
//!
//! One fault anywhere refuses the whole: a set is never loaded in part (attack B4).

pub(super) mod action;
pub(super) mod deny_entry;
pub(super) mod deny_list;
pub(super) mod exception;
pub(super) mod fetched_list;
pub(super) mod head;
pub(super) mod kind;
pub(super) mod patterns;
pub(super) mod reader;
pub(super) mod replaced;
pub(super) mod selectors;
pub(super) mod signature_sources;
pub(super) mod test_case;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::requirement::attestor::Attestor;
use super::requirement::keys::named::Named;
use crate::image::Digest;

use super::document::action::{Action, OnUnreachable};
use super::document::deny_list::DenyList;
use super::document::exception::Exception;
use super::document::signature_sources::SignatureSources;
use super::requirement::{self, Leaf, Requirement};
use super::scope::pattern::PatternList;
use super::scope::regional::HostScope;
use super::scope::selectors::Selectors;
use crate::policy::position::Position;
use crate::policy::syntax::error::{Note, PolicyFault};
use crate::policy::syntax::fields::{At, Fields, Reader};
use head::{Head, ListHead};
use patterns::{namespaces, patterns};
use replaced::Replaced;
use selectors::selectors;

/// Largest policy file in bytes: a thousand documents of a kilobyte.
pub const FILE_MAX: usize = 1024 * 1024;

/// The fields of `spec` of an ImagePolicy.
pub(super) const SPEC: &[&str] = &[
    "images",
    "exclude",
    "namespaces",
    "excludeNamespaces",
    "podLabels",
    "podAnnotations",
    "runtimeHandlers",
    "imageLabels",
    "kinds",
    "action",
    "onUnreachable",
    "signatureRepository",
    "refreshAfter",
    "maxOffline",
    "deny",
    "allowCheckpointRestore",
    "require",
];
/// The fields of `spec.deny`.
pub(super) const DENY: &[&str] = &["digests"];

/// One policy file: what it is called in errors, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Documents that were read without a fault; the keys that they name are still to come.
#[derive(Debug)]
pub struct Documents {
    pub(super) documents: Vec<Document>,
    pub(super) deny_lists: Vec<DenyList>,
    pub(super) exceptions: Vec<Exception>,
    /// The lists among `deny_lists` that were fetched.
    pub(super) fetched: Vec<ListHead>,
    /// Of the files that they were read from, in order: what a set's generation is made of.
    pub(super) hash: Sha256,
    /// Those that others of a later folder stand for; they are not among the others.
    replaced: Vec<Replaced>,
    notes: Vec<Note>,
}

/// Where a document names a file or a trust root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAt {
    /// The policy file.
    pub file: String,
    /// Where in it.
    pub position: Position,
    /// The field.
    pub field: String,
    /// The name of the policy that needs it.
    pub policy: String,
}

/// One `ImagePolicy`.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) position: Position,
    /// None once the set has its index.
    pub(super) images: PatternList,
    /// As `images`.
    pub(super) exclude: PatternList,
    /// Empty: every namespace.
    pub(super) namespaces: PatternList,
    /// What its images leave open of their hosts.
    pub(super) hosts: HostScope,
    /// None once the set has its index.
    pub(super) selectors: Selectors,
    pub(super) action: Action,
    pub(super) on_unreachable: OnUnreachable,
    /// What is refused whoever signed it.
    pub(super) deny: BTreeSet<Digest>,
    /// It has `deny` and no `require`: it refuses what it lists and has no say in anything else.
    pub(super) only_denies: bool,
    pub(super) require: Requirement,
    /// Where its signatures are, and how fresh evidence is to be.
    pub(super) signature_sources: SignatureSources,
    /// Whether it lets the runtime restore a container from an image of it that is a checkpoint.
    pub(super) lets_restore: bool,
}

impl Documents {
    /// What is odd in them and no fault, in the order of the files; at most a hundred of each file.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Which documents of an earlier folder others stand for, in the order of the others.
    #[must_use]
    pub fn replaced(&self) -> &[Replaced] {
        &self.replaced
    }

    /// The key files that the documents name, as written.
    #[must_use]
    pub fn key_files(&self) -> BTreeSet<String> {
        self.places_of_keys().into_keys().collect()
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no policy; then every image is unmatched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Where each key file is named first, for errors about it: file, place and field.
    #[must_use]
    pub fn places_of_keys(&self) -> BTreeMap<String, (String, Position, String)> {
        let places = self.places(|attestor| attestor.kind.key_files());
        places.into_iter().map(|(name, at)| (name, (at.file, at.position, at.field))).collect()
    }

    /// Where each file of certificates or revocation lists is named first.
    #[must_use]
    pub fn places_of_files(&self) -> BTreeMap<String, NamedAt> {
        self.places(|attestor| attestor.kind.files())
    }

    /// Where each trust root is named first; for one that is the default, where it is asked for.
    #[must_use]
    pub fn places_of_roots(&self) -> BTreeMap<String, NamedAt> {
        self.places(|attestor| attestor.root.iter().collect())
    }

    fn places(&self, named: impl Fn(&Attestor) -> Vec<&Named>) -> BTreeMap<String, NamedAt> {
        let mut places = BTreeMap::new();
        for document in &self.documents {
            for name in document.require.leaves.iter().filter_map(Leaf::attestor).flat_map(&named) {
                places.entry(name.name.clone()).or_insert_with(|| NamedAt {
                    file: document.file.clone(),
                    position: name.position,
                    field: name.field.clone(),
                    policy: document.name.clone(),
                });
            }
        }
        places
    }
}

/// With its length before it, so that no two different inputs read the same.
pub(super) fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(bytes);
}

impl Document {
    /// Whether it refuses this digest, whoever signed it.
    pub(super) fn denies(&self, digest: &Digest) -> bool {
        self.deny.contains(digest)
    }

    /// Whether it asks for proof.
    pub(super) fn demands(&self) -> bool {
        !self.is_permissive() && !self.only_denies
    }

    /// Whether it lets through without proof: then it names its hosts, and matches nothing that is
    /// not known.
    pub(super) fn is_permissive(&self) -> bool {
        self.action == Action::Warn || (self.require.accepts_anything && !self.only_denies)
    }
}

/// Reads `spec` of an `ImagePolicy`.
fn image_policy(head: Head, spec: &At<'_>, reader: &mut Reader) -> Option<Document> {
    let spec = reader.fields(spec, SPEC)?;
    let images = reader.required(&spec, "images").map(|at| patterns(at, reader));
    let (exclude, _) = spec.get("exclude").map(|at| patterns(at, reader)).unwrap_or_default();
    let namespaces = spec.get("namespaces").map(|at| namespaces(at, reader)).unwrap_or_default();
    let selectors = selectors(&spec, reader);
    let action = match spec.get("action") {
        None => Some(Action::Enforce),
        Some(at) => reader.word(at, action::ACTIONS).map(|word| match word {
            "warn" => Action::Warn,
            _ => Action::Enforce,
        }),
    };
    let on_unreachable = OnUnreachable::read(&spec, reader);
    let signature_sources = SignatureSources::read(&spec, reader);
    let deny = spec.get("deny").map(|at| denied(at, reader));
    let only_denies = deny.is_some() && spec.get("require").is_none();
    let require = if only_denies {
        Some(Requirement::nothing())
    } else {
        reader.required(&spec, "require").and_then(|at| Requirement::read(at, reader))
    };
    let lets_restore = reader.is_true(&spec, "allowCheckpointRestore");
    let (images, hosts) = images?;
    let Head { name, file, position } = head;
    let document = Document {
        name,
        file,
        position,
        images,
        exclude,
        namespaces,
        hosts,
        selectors,
        action: action?,
        on_unreachable: on_unreachable?,
        deny: deny.unwrap_or_default().into_iter().collect(),
        only_denies,
        require: require?,
        signature_sources: signature_sources?,
        lets_restore,
    };
    let asks = document.require.leaves.iter().any(Leaf::asks_for_signature);
    document.signature_sources.advise(document.action, asks, &spec, reader);
    if document.is_permissive() {
        selectors::check_permissive((&document.selectors, document.hosts), &spec, reader);
    }
    document.on_unreachable.check((document.action, document.hosts), asks, &spec, reader);
    check_restore(&document, &spec, reader);
    Some(document)
}

/// What is restored runs at once: no policy lets that be done without proof.
fn check_restore(document: &Document, spec: &Fields<'_>, reader: &mut Reader) {
    let Some(at) = spec.get("allowCheckpointRestore") else { return };
    let with = if document.action == Action::Warn {
        "action: warn"
    } else if document.only_denies {
        "a policy without require"
    } else if document.require.accepts_anything {
        "insecureAcceptAnything"
    } else {
        return;
    };
    reader.fault(at, PolicyFault::Excludes { name: "allowCheckpointRestore", with });
}

/// `deny: {digests: [...]}`.
fn denied(at: &At<'_>, reader: &mut Reader) -> Vec<Digest> {
    let Some(fields) = reader.fields(at, DENY) else { return Vec::new() };
    let Some(list) = reader.required(&fields, "digests").cloned() else { return Vec::new() };
    requirement::digest_list(&list, "denied digests in one policy", reader)
}
