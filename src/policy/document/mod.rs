//! [`Documents`]: the policy files of a folder, read and checked as far as that goes without the
//! keys.
//!
//! One fault anywhere refuses the whole: a set is never loaded in part (attack B4).

pub(super) mod action;
pub(super) mod deny_entry;
pub(super) mod deny_list;
pub(super) mod exception;
mod head;
mod kind;
mod patterns;
mod selectors;
pub(super) mod signature_sources;
pub(super) mod test_case;

use std::collections::{BTreeMap, BTreeSet, HashSet};

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
use crate::policy::syntax::error::{Note, PolicyError, PolicyFault};
use crate::policy::syntax::fields::{At, Reader};
use head::{Head, named_twice};
use kind::{KINDS, VERSIONS, is_foreign, meant};
use patterns::{metadata, namespaces, patterns};
use selectors::selectors;

/// Largest policy file in bytes: a thousand documents of a kilobyte.
pub const FILE_MAX: usize = 1024 * 1024;
/// Most documents of one set, over all files: matching and memory stay small.
const DOCUMENTS_MAX: usize = 4096;

/// The fields of `spec` of an ImagePolicy.
pub(super) const SPEC: &[&str] = &[
    "images",
    "exclude",
    "namespaces",
    "excludeNamespaces",
    "podLabels",
    "podAnnotations",
    "runtimeHandlers",
    "kinds",
    "action",
    "onUnreachable",
    "signatureRepository",
    "refreshAfter",
    "maxOffline",
    "deny",
    "require",
];

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
    /// Of the files that they were read from, in order: what a set's generation is made of.
    pub(super) hash: Sha256,
    notes: Vec<Note>,
}

/// One policy file that was read, with what is wrong with it.
#[derive(Debug)]
pub struct ParsedFile {
    name: String,
    length: usize,
    /// Of its name and its bytes.
    hash: [u8; 32],
    found: Found,
    errors: Vec<PolicyError>,
    notes: Vec<Note>,
}

/// Puts policy files together; none needs to be in memory beside another.
#[derive(Debug, Default)]
pub struct DocumentsReader {
    found: Found,
    hash: Sha256,
    names: HashSet<String>,
    last: String,
    errors: Vec<PolicyError>,
    notes: Vec<Note>,
}

/// The documents that were found, by kind.
#[derive(Debug, Default)]
struct Found {
    documents: Vec<Document>,
    deny_lists: Vec<DenyList>,
    exceptions: Vec<Exception>,
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
}

impl Documents {
    /// Reads every file, YAML or JSON, each with one or more documents.
    ///
    /// # Errors
    /// Every fault that was found, in the order of the files; at most a hundred of each file.
    pub fn parse(files: &[PolicyFile]) -> Result<Self, Vec<PolicyError>> {
        let mut reader = DocumentsReader::default();
        files.iter().for_each(|file| reader.add(file.parse()));
        reader.finish()
    }

    /// What is odd in them and no fault, in the order of the files; at most a hundred of each file.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
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

impl PolicyFile {
    /// Reads it, YAML or JSON, with one or more documents.
    #[must_use]
    pub fn parse(&self) -> ParsedFile {
        let mut hash = Sha256::new();
        put(&mut hash, self.name.as_bytes());
        put(&mut hash, &self.bytes);
        let mut reader = Reader::new(&self.name);
        let mut found = Found::default();
        read_file(self, &mut reader, &mut found);
        let (errors, notes) = reader.finish();
        let (name, length) = (self.name.clone(), self.bytes.len());
        ParsedFile { name, length, hash: hash.finalize().into(), found, errors, notes }
    }
}

impl ParsedFile {
    /// How many bytes the file has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

impl DocumentsReader {
    /// Adds the documents of a file. Its faults are told at the end.
    pub fn add(&mut self, file: ParsedFile) {
        let ParsedFile { name, hash, found, errors, notes, .. } = file;
        self.hash.update(hash);
        if !self.names.insert(name.clone()) {
            let fault = PolicyFault::DuplicateFile;
            self.errors.push(PolicyError {
                file: name.clone(),
                position: None,
                field: String::new(),
                fault,
            });
        }
        self.last = name;
        // What is beyond is counted, and not kept.
        let room = (DOCUMENTS_MAX + 1).saturating_sub(self.found.len());
        self.found.add(found, room);
        self.errors.extend(errors);
        self.notes.extend(notes);
    }

    /// The documents of all files, in their order.
    ///
    /// # Errors
    /// Every fault that was found, in the order of the files; at most a hundred of each file.
    pub fn finish(mut self) -> Result<Documents, Vec<PolicyError>> {
        self.errors.extend(named_twice(self.found.heads()));
        if self.found.len() > DOCUMENTS_MAX {
            let fault = PolicyFault::TooMany { what: "documents", limit: DOCUMENTS_MAX };
            self.errors.push(PolicyError {
                file: self.last,
                position: None,
                field: String::new(),
                fault,
            });
        }
        let Self { found, hash, errors, notes, .. } = self;
        if !errors.is_empty() {
            return Err(errors);
        }
        let Found { documents, deny_lists, exceptions } = found;
        Ok(Documents { documents, deny_lists, exceptions, hash, notes })
    }
}

impl Found {
    fn len(&self) -> usize {
        self.documents.len() + self.deny_lists.len() + self.exceptions.len()
    }

    /// Adds at most `room` documents of each kind.
    fn add(&mut self, other: Self, room: usize) {
        self.documents.extend(other.documents.into_iter().take(room));
        self.deny_lists.extend(other.deny_lists.into_iter().take(room));
        self.exceptions.extend(other.exceptions.into_iter().take(room));
    }

    /// The name, the file and the place of each.
    fn heads(&self) -> impl Iterator<Item = (&str, &str, Position)> {
        let documents = self.documents.iter().map(|d| (&d.name, &d.file, d.position));
        let others = self.deny_lists.iter().map(|list| &list.head);
        let others = others.chain(self.exceptions.iter().map(|exception| &exception.head));
        let others = others.map(|head| (&head.name, &head.file, head.position));
        documents.chain(others).map(|(name, file, at)| (name.as_str(), file.as_str(), at))
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

fn read_file(file: &PolicyFile, reader: &mut Reader, found: &mut Found) {
    if file.bytes.len() > FILE_MAX {
        let fault = PolicyFault::FileTooLarge { bytes: file.bytes.len(), limit: FILE_MAX };
        return reader.note(None, String::new(), fault);
    }
    let Ok(text) = std::str::from_utf8(&file.bytes) else {
        return reader.note(None, String::new(), PolicyFault::NotText);
    };
    match crate::policy::syntax::yaml::documents(text) {
        Ok(nodes) if nodes.is_empty() => {
            reader.note(None, String::new(), PolicyFault::NoDocument);
        }
        Ok(nodes) => {
            let roots = nodes.iter().map(|node| At { node, field: String::new() });
            for at in roots {
                let _ = document(&at, reader, found);
            }
        }
        Err((position, fault)) => reader.note(position, String::new(), fault),
    }
}

/// Reads one document of whatever kind.
fn document(at: &At<'_>, reader: &mut Reader, found: &mut Found) -> Option<()> {
    if is_foreign(at, reader) {
        return None;
    }
    let fields = reader.fields(at, &["apiVersion", "kind", "metadata", "spec"])?;
    let version = reader.required(&fields, "apiVersion").and_then(|at| reader.word(at, VERSIONS));
    let written = reader.required(&fields, "kind").cloned();
    let kind = written.as_ref().and_then(|at| reader.word(at, KINDS));
    let meant = kind.or_else(|| meant(written.as_ref()));
    let name = reader.required(&fields, "metadata").and_then(|at| metadata(at, reader));
    let spec = reader.required(&fields, "spec")?;
    let file = reader.file().to_owned();
    let position = at.node.position;
    let head = Head { name: name.unwrap_or_default().to_owned(), file, position };
    // One that is faulty is read all the same, as the kind that was meant, so that every fault is
    // told, and is not used.
    let is_whole = version.and(kind).and(name).is_some();
    match meant {
        Some("DenyList") => {
            found.deny_lists.extend(DenyList::read(head, spec, reader).filter(|_| is_whole));
        }
        Some("Exception") => {
            found.exceptions.extend(Exception::read(head, spec, reader).filter(|_| is_whole));
        }
        Some(_) => found.documents.extend(image_policy(head, spec, reader).filter(|_| is_whole)),
        None => {}
    }
    Some(())
}

fn image_policy(head: Head, spec: &At<'_>, reader: &mut Reader) -> Option<Document> {
    let spec = reader.fields(spec, SPEC)?;
    let images = reader.required(&spec, "images").map(|at| patterns(at, reader));
    let (exclude, _) = spec.get("exclude").map(|at| patterns(at, reader)).unwrap_or_default();
    let namespaces = spec.get("namespaces").map(|at| namespaces(at, reader)).unwrap_or_default();
    let selectors = selectors(&spec, reader);
    let action = match spec.get("action") {
        None => Some(Action::Enforce),
        Some(at) => reader.word(at, &["enforce", "warn"]).map(|word| match word {
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
    };
    let asks = document.require.leaves.iter().any(Leaf::asks_for_signature);
    document.signature_sources.advise(document.action, asks, &spec, reader);
    if document.is_permissive() {
        selectors::check_permissive((&document.selectors, document.hosts), &spec, reader);
    }
    document.on_unreachable.check((document.action, document.hosts), asks, &spec, reader);
    Some(document)
}

/// `deny: {digests: [...]}`.
fn denied(at: &At<'_>, reader: &mut Reader) -> Vec<Digest> {
    let Some(fields) = reader.fields(at, &["digests"]) else { return Vec::new() };
    let Some(list) = reader.required(&fields, "digests").cloned() else { return Vec::new() };
    requirement::digest_list(&list, "denied digests in one policy", reader)
}
