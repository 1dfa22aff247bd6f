//! [`Attestor`]: by whom a signature or an attestation is to be, and what is asked of it beside:
//! log entries, timestamps, age.
//!
//! Reading only: the files and trust roots are named here and read by others; `judge` asks whether
//! a signature is by one of these.

use crate::verify::Demands;

use super::certificate_identity::{self, CertificateIdentity};
use crate::policy::position::Position;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;
use crate::policy::syntax::yaml::Value;

/// Most key files of one requirement; each is tried on every signature.
const KEYS_MAX: usize = 32;
/// Most files of certificates or revocation lists of one kind in one requirement: an authority has
/// a few, and those that it replaces stand beside them for a while.
const FILES_MAX: usize = 32;
/// Most identities of one requirement; each is matched against every certificate.
const IDENTITIES_MAX: usize = 64;
/// Longest name of a file (`PATH_MAX` is 4096; this fits any sane path and an error line).
const FILE_NAME_MAX: usize = 255;
/// Longest name of a trust root; it stands in refusals.
const ROOT_NAME_MAX: usize = 63;
/// Most log entries and timestamps that can be asked for: there are not that many independent logs
/// or authorities.
const WITNESSES_MAX: u8 = 8;
/// The trust root of keyless signatures unless another is named: Sigstore's public good instance.
const PUBLIC_GOOD: &str = "public-good";

/// The kinds of `Attestor`, as fields.
pub(in crate::policy) const KINDS: &[&str] = &["key", "keyless", "certificate"];
pub(in crate::policy) const KEY: &[&str] =
    &["files", "trustRoot", "minLogEntries", "minTimestamps"];
pub(in crate::policy) const KEY_FILE: &[&str] = &["file", "notBefore", "notAfter"];
pub(in crate::policy) const KEYLESS: &[&str] = &[
    "trustRoot",
    "identities",
    "minLogEntries",
    "minTimestamps",
    "insecureIgnoreTlog",
    "insecureIgnoreSCT",
];
pub(in crate::policy) const CERTIFICATE: &[&str] = &[
    "roots",
    "intermediates",
    "crls",
    "subjects",
    "insecureAnySubject",
    "trustRoot",
    "minLogEntries",
    "minTimestamps",
];

/// By whom, and what is asked beside.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Attestor {
    /// Who may have signed.
    pub(in crate::policy) kind: AttestorKind,
    /// Entries in logs, timestamps and certificate timestamps that are asked for.
    pub(in crate::policy) demands: Demands,
    /// The trust root that vouches for certificates, times and log entries; always there for
    /// [`AttestorKind::Keyless`].
    pub(in crate::policy) root: Option<Named>,
    /// Oldest that a signature may be, counted from its proven time; without a proven time it does
    /// not count.
    pub(in crate::policy) max_age: Option<jiff::SignedDuration>,
}

/// Who may have signed.
#[derive(Debug, Clone)]
pub(in crate::policy) enum AttestorKind {
    /// The holder of any of these keys.
    Key(Vec<KeyFile>),
    /// Any of these identities, vouched for by a Sigstore instance.
    Keyless(Vec<CertificateIdentity>),
    /// The holder of a certificate of an own authority.
    Certificate {
        /// Files with the authority's own certificates; at least one.
        roots: Vec<Named>,
        /// Files with certificates between those and the holder's.
        intermediates: Vec<Named>,
        /// Files with revocation lists.
        crls: Vec<Named>,
        /// Whose certificate: any of these. At least one; `insecureAnySubject` is one that fits
        /// everybody.
        subjects: Vec<CertificateIdentity>,
    },
}

/// A key file and when its key may sign.
#[derive(Debug, Clone)]
pub(in crate::policy) struct KeyFile {
    /// The file.
    pub(in crate::policy) file: Named,
    /// When.
    pub(in crate::policy) window: Window,
}

/// A file or a trust root that a policy names, with the place that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Named {
    /// As written.
    pub(in crate::policy) name: String,
    /// Where.
    pub(in crate::policy) position: Position,
    /// Where, as fields.
    pub(in crate::policy) field: String,
}

/// From when to when, both included (as a certificate's validity, RFC 5280 section 4.1.2.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::policy) struct Window {
    /// From then on.
    pub(in crate::policy) not_before: Option<jiff::Timestamp>,
    /// Until then.
    pub(in crate::policy) not_after: Option<jiff::Timestamp>,
}

impl Attestor {
    /// Reads the value of `key`, `keyless` or `certificate`, with the `maxSignatureAge` that stands
    /// beside the requirement.
    pub(in crate::policy) fn read(
        kind: &str,
        at: &At<'_>,
        max_age: Option<&At<'_>>,
        reader: &mut Reader,
    ) -> Option<Self> {
        let age = max_age.map(|at| times::age(at, reader));
        let attestor = match kind {
            "key" => key(at, reader),
            "keyless" => keyless(at, reader),
            _ => certificate(at, reader),
        };
        let mut attestor = attestor?;
        if let Some(at) = max_age.filter(|_| attestor.root.is_none()) {
            reader.fault(at, PolicyFault::NeedsTrustRoot { name: "maxSignatureAge" });
        }
        attestor.max_age = match age {
            Some(age) => Some(age?),
            None => None,
        };
        Some(attestor)
    }
}

/// Whose certificate a requirement takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Identities<'a> {
    /// Any of these; at least one.
    pub(in crate::policy) any_of: &'a [CertificateIdentity],
    /// The first file of the own authority; none where a Sigstore instance vouches.
    pub(in crate::policy) authority: Option<&'a Named>,
}

impl AttestorKind {
    /// Whose certificate it takes; none where it takes none.
    pub(in crate::policy) fn identities(&self) -> Option<Identities<'_>> {
        match self {
            Self::Key(_) => None,
            Self::Keyless(any_of) => Some(Identities { any_of, authority: None }),
            Self::Certificate { roots, subjects, .. } => {
                Some(Identities { any_of: subjects, authority: roots.first() })
            }
        }
    }

    /// The key files that it names.
    pub(in crate::policy) fn key_files(&self) -> Vec<&Named> {
        match self {
            Self::Key(files) => files.iter().map(|key| &key.file).collect(),
            Self::Keyless(_) | Self::Certificate { .. } => Vec::new(),
        }
    }

    /// The files of certificates and revocation lists that it names.
    pub(in crate::policy) fn files(&self) -> Vec<&Named> {
        match self {
            Self::Certificate { roots, intermediates, crls, .. } => {
                roots.iter().chain(intermediates).chain(crls).collect()
            }
            Self::Key(_) | Self::Keyless(_) => Vec::new(),
        }
    }

    /// What a refusal calls the signature that it wants.
    pub(in crate::policy) const fn signature(&self) -> &'static str {
        match self {
            Self::Key(_) => "valid signature",
            Self::Keyless(_) => "keyless signature",
            Self::Certificate { .. } => "signature with a certificate",
        }
    }
}

impl Window {
    /// Whether this moment lies in it.
    pub(in crate::policy) fn holds(&self, time: jiff::Timestamp) -> bool {
        self.not_before.is_none_or(|first| first <= time)
            && self.not_after.is_none_or(|last| time <= last)
    }
}

fn key(at: &At<'_>, reader: &mut Reader) -> Option<Attestor> {
    let fields = reader.fields(at, KEY)?;
    let (root, demands) = root_and_demands(&fields, reader);
    let list = reader.required(&fields, "files").cloned();
    let mut keys: Vec<KeyFile> = Vec::new();
    for item in list
        .and_then(|list| reader.list(&list, "key files in one requirement", KEYS_MAX))
        .into_iter()
        .flatten()
    {
        let Some(key) = key_file(&item, reader) else { continue };
        if keys.iter().any(|other| other.file.name == key.file.name) {
            reader.fault(&item, PolicyFault::DuplicateEntry { value: key.file.name });
        } else {
            keys.push(key);
        }
    }
    let kind = (!keys.is_empty()).then_some(AttestorKind::Key(keys))?;
    Some(Attestor { kind, demands: demands?, root: root?, max_age: None })
}

/// A file's name, or a map with one and a window.
fn key_file(at: &At<'_>, reader: &mut Reader) -> Option<KeyFile> {
    let name = |at: &At<'_>, reader: &mut Reader| {
        named(at, reader, is_file, |name| PolicyFault::KeyFileName { name: name.to_owned() })
    };
    if !matches!(at.node.value, Value::Map(_)) {
        return Some(KeyFile { file: name(at, reader)?, window: Window::default() });
    }
    let fields = reader.fields(at, KEY_FILE)?;
    let file = reader.required(&fields, "file").cloned().and_then(|at| name(&at, reader));
    let not_before = optional(fields.get("notBefore"), reader, times::moment);
    let not_after = optional(fields.get("notAfter"), reader, times::moment);
    let window = Window { not_before: not_before?, not_after: not_after? };
    if let (Some(first), Some(last)) = (window.not_before, window.not_after)
        && first >= last
    {
        reader.fault(at, PolicyFault::EmptyWindow);
    }
    Some(KeyFile { file: file?, window })
}

fn keyless(at: &At<'_>, reader: &mut Reader) -> Option<Attestor> {
    let fields = reader.fields(at, KEYLESS)?;
    let root = match fields.get("trustRoot") {
        Some(at) => root_name(at, reader),
        None => {
            let name = PUBLIC_GOOD.to_owned();
            Some(Named { name, position: at.node.position, field: at.field.clone() })
        }
    };
    let list = reader.required(&fields, "identities").cloned();
    let identities = list.and_then(|list| {
        let items = reader.list(&list, "identities in one requirement", IDENTITIES_MAX)?;
        distinct(&items, reader, CertificateIdentity::read)
    });
    let sct = !reader.is_true(&fields, "insecureIgnoreSCT");
    let demands = if reader.is_true(&fields, "insecureIgnoreTlog") {
        if let Some(at) = fields.get("minLogEntries") {
            reader.fault(
                at,
                PolicyFault::Excludes { name: "minLogEntries", with: "insecureIgnoreTlog" },
            );
        }
        // Without a log entry only a timestamp can say that the certificate was valid when it
        // signed.
        let timestamps = count(&fields, "minTimestamps", 1, 1, reader);
        Demands { log_entries: 0, timestamps: timestamps?, sct }
    } else {
        let asked = fields.get("minLogEntries");
        if let Some(at) = asked.filter(|at| matches!(at.node.value, Value::Integer(0))) {
            reader.fault(at, PolicyFault::LogNotAsked);
            return None;
        }
        let entries = count(&fields, "minLogEntries", Demands::KEYLESS.log_entries, 1, reader);
        let timestamps = count(&fields, "minTimestamps", Demands::KEYLESS.timestamps, 0, reader);
        Demands { log_entries: entries?, timestamps: timestamps?, sct }
    };
    Some(Attestor {
        kind: AttestorKind::Keyless(identities?),
        demands,
        root: Some(root?),
        max_age: None,
    })
}

fn certificate(at: &At<'_>, reader: &mut Reader) -> Option<Attestor> {
    let fields = reader.fields(at, CERTIFICATE)?;
    let (root, demands) = root_and_demands(&fields, reader);
    let roots = reader.required(&fields, "roots").cloned().and_then(|at| files(&at, reader));
    let intermediates =
        fields.get("intermediates").map_or_else(|| Some(Vec::new()), |at| files(at, reader));
    let crls = fields.get("crls").map_or_else(|| Some(Vec::new()), |at| files(at, reader));
    let subjects = match (fields.get("subjects"), fields.get("insecureAnySubject")) {
        (Some(_), Some(at)) => {
            reader
                .fault(at, PolicyFault::Excludes { name: "insecureAnySubject", with: "subjects" });
            None
        }
        (Some(list), None) => {
            let items = reader.list(list, "subjects in one requirement", IDENTITIES_MAX)?;
            distinct(&items, reader, certificate_identity::subject)
        }
        (None, Some(_)) => reader
            .is_true(&fields, "insecureAnySubject")
            .then(|| vec![CertificateIdentity::anyone()]),
        (None, None) if fields.means(&["subjects", "insecureAnySubject"]) => None,
        (None, None) => {
            reader.fault(
                at,
                PolicyFault::OneOf {
                    expected: &["subjects", "insecureAnySubject"],
                    found: Vec::new(),
                },
            );
            None
        }
    };
    let kind = AttestorKind::Certificate {
        roots: roots?,
        intermediates: intermediates?,
        crls: crls?,
        subjects: subjects?,
    };
    Some(Attestor { kind, demands: demands?, root: root?, max_age: None })
}

/// The trust root, where one may be left out, and what is asked of it.
fn root_and_demands(
    fields: &Fields<'_>,
    reader: &mut Reader,
) -> (Option<Option<Named>>, Option<Demands>) {
    let root = optional(fields.get("trustRoot"), reader, root_name);
    for name in ["minLogEntries", "minTimestamps"] {
        if let Some(at) = fields.get(name).filter(|_| fields.get("trustRoot").is_none()) {
            reader.fault(at, PolicyFault::NeedsTrustRoot { name });
        }
    }
    let log_entries = count(fields, "minLogEntries", 0, 0, reader);
    let timestamps = count(fields, "minTimestamps", 0, 0, reader);
    let demands = log_entries.zip(timestamps);
    (root, demands.map(|(log_entries, timestamps)| Demands { log_entries, timestamps, sct: false }))
}

/// A number of witnesses, or what is meant where none is written.
fn count(
    fields: &Fields<'_>,
    name: &str,
    otherwise: u8,
    from: u8,
    reader: &mut Reader,
) -> Option<u8> {
    match fields.get(name) {
        Some(at) => reader.number(at, from, WITNESSES_MAX),
        None => Some(otherwise),
    }
}

/// A value that may be left out; none when it is there and cannot be used.
fn optional<T>(
    at: Option<&At<'_>>,
    reader: &mut Reader,
    read: fn(&At<'_>, &mut Reader) -> Option<T>,
) -> Option<Option<T>> {
    match at {
        Some(at) => read(at, reader).map(Some),
        None => Some(None),
    }
}

/// Identities, each once.
fn distinct(
    items: &[At<'_>],
    reader: &mut Reader,
    read: fn(&At<'_>, &mut Reader) -> Option<CertificateIdentity>,
) -> Option<Vec<CertificateIdentity>> {
    let mut identities = Vec::new();
    for item in items {
        match read(item, reader) {
            Some(identity) if identities.contains(&identity) => {
                reader.fault(item, PolicyFault::DuplicateEntry { value: identity.describe() });
            }
            Some(identity) => identities.push(identity),
            None => {}
        }
    }
    (!identities.is_empty()).then_some(identities)
}

/// Files with certificates or revocation lists.
fn files(list: &At<'_>, reader: &mut Reader) -> Option<Vec<Named>> {
    let texts = reader.texts(list, "files in one list", FILES_MAX);
    let file = |(at, _): &(At<'_>, &str), reader: &mut Reader| {
        named(at, reader, is_file, |name| PolicyFault::FileName { name: name.to_owned() })
    };
    let files: Vec<Named> = texts.iter().filter_map(|text| file(text, reader)).collect();
    (!files.is_empty()).then_some(files)
}

fn root_name(at: &At<'_>, reader: &mut Reader) -> Option<Named> {
    named(at, reader, is_root, |name| PolicyFault::RootName { name: name.to_owned() })
}

fn named(
    at: &At<'_>,
    reader: &mut Reader,
    is: fn(&str) -> bool,
    fault: fn(&str) -> PolicyFault,
) -> Option<Named> {
    let name = reader.text(at)?;
    if !is(name) {
        reader.fault(at, fault(name));
        return None;
    }
    Some(Named { name: name.to_owned(), position: at.node.position, field: at.field.clone() })
}

/// Absolute, or below the key folder; no part of it `.` or `..`, no character that is none (attack
/// E2).
fn is_file(name: &str) -> bool {
    let below = name.strip_prefix('/').unwrap_or(name);
    name.len() <= FILE_NAME_MAX
        && !name.chars().any(char::is_control)
        && below.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// As the name of a policy: it becomes a file's name, and never leads out of its folder (attack
/// E2).
fn is_root(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| edge(Some(b)) || b == b'-' || b == b'.';
    name.len() <= ROOT_NAME_MAX
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(inner)
        && !name.ends_with(".json")
}
