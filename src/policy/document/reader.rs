//! [`DocumentsReader`]: policy files, folder after folder, become [`Documents`].
//!
//! A document of a later folder stands for one of its name and kind of an earlier folder, whole.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::deny_list::DenyList;
use super::exception::Exception;
use super::head::Head;
use super::kind::{KINDS, VERSIONS, is_foreign, meant};
use super::patterns::metadata;
use super::replaced::{Headed, settle};
use super::{Document, Documents, FILE_MAX, PolicyFile, image_policy, put};
use crate::policy::syntax::error::{Note, PolicyError, PolicyFault};
use crate::policy::syntax::fields::{At, Reader};

/// Most documents of one set, over all files: matching and memory stay small.
const DOCUMENTS_MAX: usize = 4096;
/// The fields of a document of whatever kind.
pub(in crate::policy) const FIELDS: &[&str] = &["apiVersion", "kind", "metadata", "spec"];

/// One policy file that was read, with what is wrong with it.
#[derive(Debug)]
pub struct ParsedFile {
    name: String,
    length: usize,
    /// Of its name and its bytes.
    hash: [u8; 32],
    /// Of its bytes alone.
    content: [u8; 32],
    found: Found,
    errors: Vec<PolicyError>,
    notes: Vec<Note>,
}

/// Puts policy files together; none needs to be in memory beside another.
#[derive(Debug, Default)]
pub struct DocumentsReader {
    found: Found,
    /// How many documents there were of each kind when each folder but the first began.
    folders: Vec<DocumentCounts>,
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

/// How many documents there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DocumentCounts {
    /// Policies.
    pub policies: usize,
    /// Deny lists.
    pub deny_lists: usize,
    /// Exceptions.
    pub exceptions: usize,
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

    /// How many there are of each kind; deny lists that were fetched are among them.
    #[must_use]
    pub fn counts(&self) -> DocumentCounts {
        DocumentCounts {
            policies: self.documents.len(),
            deny_lists: self.deny_lists.len(),
            exceptions: self.exceptions.len(),
        }
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
        let (hash, content) = (hash.finalize().into(), Sha256::digest(&self.bytes).into());
        ParsedFile { name, length, hash, content, found, errors, notes }
    }
}

impl ParsedFile {
    /// How many bytes the file has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many documents of each kind it has.
    #[must_use]
    pub fn counts(&self) -> DocumentCounts {
        self.found.counts()
    }

    /// The SHA-256 of its bytes, as `sha256:` and hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let digits: String = self.content.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digits}")
    }

    /// Its documents, each by kind and name.
    #[must_use]
    pub fn documents(&self) -> Vec<String> {
        let Found { documents, deny_lists, exceptions } = &self.found;
        let policies = documents.iter().map(|document| format!("ImagePolicy {}", document.name));
        let lists = deny_lists.iter().map(|list| format!("DenyList {}", list.head.name));
        let exceptions =
            exceptions.iter().map(|exception| format!("Exception {}", exception.head.name));
        policies.chain(lists).chain(exceptions).collect()
    }
}

impl DocumentsReader {
    /// Begins a folder whose documents stand for those of the same name and kind before.
    pub fn begin_folder(&mut self) {
        self.folders.push(self.found.counts());
    }

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
        let room = (DOCUMENTS_MAX + 1).saturating_sub(self.found.counts().total());
        self.found.add(found, room);
        self.errors.extend(errors);
        self.notes.extend(notes);
    }

    /// The documents of all files, in their order.
    ///
    /// # Errors
    /// Every fault that was found, in the order of the files; at most a hundred of each file.
    pub fn finish(mut self) -> Result<Documents, Vec<PolicyError>> {
        let settled = settle(self.found.heads(&self.folders));
        self.errors.extend(settled.errors);
        if self.found.counts().total() > DOCUMENTS_MAX {
            let fault = PolicyFault::TooMany { what: "documents", limit: DOCUMENTS_MAX };
            self.errors.push(PolicyError {
                file: self.last,
                position: None,
                field: String::new(),
                fault,
            });
        }
        let Self { mut found, hash, errors, notes, .. } = self;
        if !errors.is_empty() {
            return Err(errors);
        }
        found.take_out(&settled.gone);
        let Found { documents, deny_lists, exceptions } = found;
        let replaced = settled.replaced;
        let fetched = Vec::new();
        Ok(Documents { documents, deny_lists, exceptions, fetched, hash, replaced, notes })
    }
}

impl DocumentCounts {
    /// How many there are in all.
    #[must_use]
    pub fn total(self) -> usize {
        self.policies + self.deny_lists + self.exceptions
    }
}

impl std::ops::AddAssign for DocumentCounts {
    fn add_assign(&mut self, other: Self) {
        self.policies += other.policies;
        self.deny_lists += other.deny_lists;
        self.exceptions += other.exceptions;
    }
}

impl Found {
    fn counts(&self) -> DocumentCounts {
        DocumentCounts {
            policies: self.documents.len(),
            deny_lists: self.deny_lists.len(),
            exceptions: self.exceptions.len(),
        }
    }

    /// Adds at most `room` documents of each kind.
    fn add(&mut self, other: Self, room: usize) {
        self.documents.extend(other.documents.into_iter().take(room));
        self.deny_lists.extend(other.deny_lists.into_iter().take(room));
        self.exceptions.extend(other.exceptions.into_iter().take(room));
    }

    /// Name, place and folder of each, one kind after the other.
    fn heads<'f>(&'f self, folders: &'f [DocumentCounts]) -> impl Iterator<Item = Headed<'f>> {
        let folder = |number: usize, of: fn(&DocumentCounts) -> usize| {
            folders.iter().filter(|before| of(before) <= number).count()
        };
        let documents = self.documents.iter().enumerate().map(move |(number, document)| Headed {
            kind: "ImagePolicy",
            name: &document.name,
            file: &document.file,
            position: document.position,
            demands: document.demands() || !document.deny.is_empty(),
            folder: folder(number, |before| before.policies),
        });
        let of_head = |kind, head: &'f Head, folder| Headed {
            kind,
            name: &head.name,
            file: &head.file,
            position: head.position,
            demands: kind == "DenyList",
            folder,
        };
        let deny_lists = self.deny_lists.iter().enumerate().map(move |(number, list)| {
            of_head("DenyList", &list.head, folder(number, |before| before.deny_lists))
        });
        let exceptions = self.exceptions.iter().enumerate().map(move |(number, exception)| {
            of_head("Exception", &exception.head, folder(number, |before| before.exceptions))
        });
        documents.chain(deny_lists).chain(exceptions)
    }

    /// Takes out those that others stand for, by their numbers in the order of `heads`.
    fn take_out(&mut self, gone: &HashSet<usize>) {
        let mut number = 0..;
        let mut stays = || number.next().is_none_or(|number| !gone.contains(&number));
        self.documents.retain(|_| stays());
        self.deny_lists.retain(|_| stays());
        self.exceptions.retain(|_| stays());
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
    let fields = reader.fields(at, FIELDS)?;
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
