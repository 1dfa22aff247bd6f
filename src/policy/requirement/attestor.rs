//! [`Attestor`]: by whom a signature or an attestation is to be, and what is asked of it beside:
//! log entries, timestamps, age.
//!
//! Reading only: the files and trust roots are named here and read by others; `judge` asks whether
//! a signature is by one of these.

use crate::verify::Demands;

use super::certificate_identity::{self, CertificateIdentity};
use super::keys::named::{Named, is_file, is_root, named, optional};
use super::keys::{self, PolicyKey};
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;
use crate::policy::syntax::yaml::Value;

/// Most files of certificates or revocation lists of one kind in one requirement: an authority has
/// a few, and those that it replaces stand beside them for a while.
const FILES_MAX: usize = 32;
/// Most identities of one requirement; each is matched against every certificate.
const IDENTITIES_MAX: usize = 64;
/// Most log entries and timestamps that can be asked for: there are not that many independent logs
/// or authorities.
pub(in crate::policy) const WITNESSES_MAX: u8 = 8;
/// The trust root of keyless signatures unless another is named: Sigstore's public good instance.
pub const PUBLIC_GOOD: &str = "public-good";

/// The kinds of `Attestor`, as fields.
pub(in crate::policy) const KINDS: &[&str] = &["key", "keyless", "certificate"];
pub(in crate::policy) const KEY: &[&str] =
    &["files", "pem", "trustRoot", "minLogEntries", "minTimestamps"];
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
    Key(Vec<PolicyKey>),
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
            let is_of_attestation = at.field.ends_with(".maxAge");
            let name = if is_of_attestation { "maxAge" } else { "maxSignatureAge" };
            reader.fault(at, PolicyFault::NeedsTrustRoot { name });
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
            Self::Key(keys) => keys.iter().filter_map(PolicyKey::file).collect(),
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

fn key(at: &At<'_>, reader: &mut Reader) -> Option<Attestor> {
    let fields = reader.fields(at, KEY)?;
    let (root, demands) = root_and_demands(&fields, reader);
    let keys = keys::read(at, &fields, reader);
    Some(Attestor { kind: AttestorKind::Key(keys?), demands: demands?, root: root?, max_age: None })
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
