//! [`Documents`]: the policy files of a folder, read and checked as far as that goes without the keys.
//!
//! One fault anywhere refuses the whole: a set is never loaded in part (attack B4).

use std::collections::{BTreeMap, BTreeSet};

use super::by::{By, Named, Who};
use crate::image::Digest;

use super::error::{Note, PolicyError, PolicyFault, Position};
use super::fields::{At, Fields, Reader};
use super::gathering::Gathering;
use super::pattern::{NamespacePattern, RepositoryPattern};
use super::report::Action;
use super::requirement::{self, Leaf, Requirement};
use super::yaml;

/// Largest policy file in bytes: a thousand documents of a kilobyte.
pub const FILE_MAX: usize = 1024 * 1024;
/// Most documents of one set, over all files: matching and memory stay small.
const DOCUMENTS_MAX: usize = 4096;
/// Most patterns in one list.
const PATTERNS_MAX: usize = 1024;
/// Longest name of a policy; it stands in every refusal (RFC 1123 label).
const NAME_MAX: usize = 63;

/// The fields of `spec`.
pub(super) const SPEC: &[&str] = &[
    "images",
    "exclude",
    "namespaces",
    "action",
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
    /// The files that they were read from, in order: what a set's generation is made of.
    pub(super) files: Vec<PolicyFile>,
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
    position: Position,
    pub(super) images: Vec<RepositoryPattern>,
    pub(super) exclude: Vec<RepositoryPattern>,
    /// Empty: every namespace.
    pub(super) namespaces: Vec<NamespacePattern>,
    pub(super) action: Action,
    /// What is refused whoever signed it.
    pub(super) deny: Vec<Digest>,
    /// It has `deny` and no `require`: it refuses what it lists and has no say in anything else.
    pub(super) only_denies: bool,
    pub(super) require: Requirement,
    /// Where its signatures are, and how fresh evidence is to be.
    pub(super) gathering: Gathering,
}

impl Documents {
    /// Reads every file, YAML or JSON, each with one or more documents.
    ///
    /// # Errors
    /// Every fault that was found, in the order of the files; at most a hundred of each file.
    pub fn parse(files: &[PolicyFile]) -> Result<Self, Vec<PolicyError>> {
        let mut documents = Vec::new();
        let mut errors = Vec::new();
        let mut notes = Vec::new();
        for (n, file) in files.iter().enumerate() {
            let mut reader = Reader::new(&file.name);
            if files.iter().take(n).any(|other| other.name == file.name) {
                reader.note(None, String::new(), PolicyFault::DuplicateFile);
            }
            documents.extend(read_file(file, &mut reader));
            let (faults, odd) = reader.finish();
            errors.extend(faults);
            notes.extend(odd);
        }
        errors.extend(named_twice(&documents));
        if documents.len() > DOCUMENTS_MAX {
            let fault = PolicyFault::TooMany { what: "policies", limit: DOCUMENTS_MAX };
            let file = files.last().map(|file| file.name.clone()).unwrap_or_default();
            errors.push(PolicyError { file, position: None, field: String::new(), fault });
        }
        if errors.is_empty() { Ok(Self { documents, files: files.to_vec(), notes }) } else { Err(errors) }
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

    /// How many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is none; then every image is unmatched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Where each key file is named first, for errors about it: file, place and field.
    #[must_use]
    pub fn places_of_keys(&self) -> BTreeMap<String, (String, Position, String)> {
        let places = self.places(|by| match &by.who {
            Who::Key(files) => files.iter().map(|key| &key.file).collect(),
            Who::Keyless(_) | Who::Certificate { .. } => Vec::new(),
        });
        places.into_iter().map(|(name, at)| (name, (at.file, at.position, at.field))).collect()
    }

    /// Where each file of certificates or revocation lists is named first.
    #[must_use]
    pub fn places_of_files(&self) -> BTreeMap<String, NamedAt> {
        self.places(|by| match &by.who {
            Who::Certificate { roots, intermediates, crls, .. } => {
                roots.iter().chain(intermediates).chain(crls).collect()
            }
            Who::Key(_) | Who::Keyless(_) => Vec::new(),
        })
    }

    /// Where each trust root is named first; for one that is the default, where it is asked for.
    #[must_use]
    pub fn places_of_roots(&self) -> BTreeMap<String, NamedAt> {
        self.places(|by| by.root.iter().collect())
    }

    fn places(&self, named: impl Fn(&By) -> Vec<&Named>) -> BTreeMap<String, NamedAt> {
        let mut places = BTreeMap::new();
        for document in &self.documents {
            for name in document.require.leaves.iter().filter_map(Leaf::by).flat_map(&named) {
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

impl Document {
    /// Whether it refuses this digest, whoever signed it.
    pub(super) fn denies(&self, digest: &Digest) -> bool {
        self.deny.contains(digest)
    }

    /// Whether it lets through without proof: then it names its hosts, and matches nothing that is not known.
    pub(super) fn is_permissive(&self) -> bool {
        self.action == Action::Warn || (self.require.accepts_anything && !self.only_denies)
    }
}

fn read_file(file: &PolicyFile, reader: &mut Reader) -> Vec<Document> {
    if file.bytes.len() > FILE_MAX {
        let fault = PolicyFault::FileTooLarge { bytes: file.bytes.len(), limit: FILE_MAX };
        reader.note(None, String::new(), fault);
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(&file.bytes) else {
        reader.note(None, String::new(), PolicyFault::NotText);
        return Vec::new();
    };
    match yaml::documents(text) {
        Ok(nodes) if nodes.is_empty() => {
            reader.note(None, String::new(), PolicyFault::NoDocument);
            Vec::new()
        }
        Ok(nodes) => {
            let roots = nodes.iter().map(|node| At { node, field: String::new() });
            roots.filter_map(|at| document(&at, reader)).collect()
        }
        Err((position, fault)) => {
            reader.note(position, String::new(), fault);
            Vec::new()
        }
    }
}

fn document(at: &At<'_>, reader: &mut Reader) -> Option<Document> {
    let fields = reader.fields(at, &["apiVersion", "kind", "metadata", "spec"])?;
    let version = reader.required(&fields, "apiVersion").and_then(|at| reader.word(at, &["sealgate/v1"]));
    let kind = reader.required(&fields, "kind").and_then(|at| reader.word(at, &["ImagePolicy"]));
    let name = reader.required(&fields, "metadata").and_then(|at| metadata(at, reader));
    let spec = reader.required(&fields, "spec");
    let spec = spec.and_then(|at| reader.fields(at, SPEC))?;
    let images = reader.required(&spec, "images").map(|at| patterns(at, reader));
    let exclude = spec.get("exclude").map(|at| patterns(at, reader)).unwrap_or_default();
    let namespaces = spec.get("namespaces").map(|at| namespaces(at, reader)).unwrap_or_default();
    let action = match spec.get("action") {
        None => Some(Action::Enforce),
        Some(at) => reader.word(at, &["enforce", "warn"]).map(|word| match word {
            "warn" => Action::Warn,
            _ => Action::Enforce,
        }),
    };
    let gathering = Gathering::read(&spec, reader);
    let deny = spec.get("deny").map(|at| denied(at, reader));
    let only_denies = deny.is_some() && spec.get("require").is_none();
    let require = if only_denies {
        Some(Requirement::nothing())
    } else {
        reader.required(&spec, "require").and_then(|at| Requirement::read(at, reader))
    };
    version.zip(kind)?;
    let document = Document {
        name: name?.to_owned(),
        file: reader.file().to_owned(),
        position: at.node.position,
        images: images?,
        exclude,
        namespaces,
        action: action?,
        deny: deny.unwrap_or_default(),
        only_denies,
        require: require?,
        gathering: gathering?,
    };
    Gathering::advise(&document, &spec, reader);
    check_hosts(&document, &spec, reader);
    Some(document)
}

fn metadata<'n>(at: &At<'n>, reader: &mut Reader) -> Option<&'n str> {
    let fields = reader.fields(at, &["name"])?;
    let at = reader.required(&fields, "name")?;
    let name = reader.text(at)?;
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| edge(Some(b)) || b == b'-' || b == b'.';
    if name.len() <= NAME_MAX && edge(name.bytes().next()) && edge(name.bytes().last()) && name.bytes().all(inner) {
        return Some(name);
    }
    reader.fault(at, PolicyFault::Name { got: name.to_owned() });
    None
}

/// `deny: {digests: [...]}`.
fn denied(at: &At<'_>, reader: &mut Reader) -> Vec<Digest> {
    let Some(fields) = reader.fields(at, &["digests"]) else { return Vec::new() };
    let Some(list) = reader.required(&fields, "digests").cloned() else { return Vec::new() };
    requirement::digest_list(&list, "denied digests in one policy", reader)
}

fn patterns(at: &At<'_>, reader: &mut Reader) -> Vec<RepositoryPattern> {
    let mut patterns: Vec<RepositoryPattern> = Vec::new();
    for (at, text) in reader.texts(at, "patterns in one list", PATTERNS_MAX) {
        match RepositoryPattern::parse(text) {
            Ok(pattern) if patterns.contains(&pattern) => {
                reader.fault(&at, PolicyFault::DuplicateEntry { value: text.to_owned() });
            }
            Ok(pattern) => patterns.push(pattern),
            Err(fault) => reader.fault(&at, PolicyFault::Pattern(fault)),
        }
    }
    patterns
}

fn namespaces(at: &At<'_>, reader: &mut Reader) -> Vec<NamespacePattern> {
    let mut patterns = Vec::new();
    for (at, text) in reader.texts(at, "namespaces in one list", PATTERNS_MAX) {
        match NamespacePattern::parse(text) {
            Some(pattern) => patterns.push(pattern),
            None => reader.fault(&at, PolicyFault::Namespace),
        }
    }
    patterns
}

/// Attack E8: what lets through without proof says where, to the letter.
fn check_hosts(document: &Document, spec: &Fields<'_>, reader: &mut Reader) {
    if !document.is_permissive() {
        return;
    }
    if let Some(at) = spec.get("images").filter(|_| document.images.iter().any(|pattern| pattern.host().is_none())) {
        reader.fault(at, PolicyFault::PermissiveHost);
    }
}

/// Policies of one name, in one file or in two.
fn named_twice(documents: &[Document]) -> Vec<PolicyError> {
    let mut first: BTreeMap<&str, &Document> = BTreeMap::new();
    let mut errors = Vec::new();
    for document in documents {
        if let Some(other) = first.get(document.name.as_str()) {
            errors.push(PolicyError {
                file: document.file.clone(),
                position: Some(document.position),
                field: "metadata.name".to_owned(),
                fault: PolicyFault::DuplicateName {
                    name: document.name.clone(),
                    first: format!("{}:{}", other.file, other.position.line),
                },
            });
        } else {
            first.insert(&document.name, document);
        }
    }
    errors
}
