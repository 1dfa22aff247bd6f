//! [`Signer`]: who signed, when, and which log entry says so, for the audit log and for people.
//!
//! Nothing stands here that was not proven: times and log entries are those that a proof bound to
//! the signature. Texts are bounded and escaped (attack E3).

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::serialize::display;
use crate::policy::sanitize::{bounded, escaped};
use crate::verify::{Certificate, KeyId, LogEntry, ProvenTime, San, TimeSource};

/// Most times or log entries that are shown of one signature: signers get one or two.
const LISTED_MAX: usize = 8;
/// Longest value of an extension, name of a log and issuer, in bytes: the repository, workflow and
/// run of a job are URLs of under 150.
const SHOWN_MAX: usize = 200;

/// Who signed, when and which log entries say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// Who.
    #[serde(flatten)]
    pub id: SignerId,
    /// When the signature is proven to have existed; empty where nobody vouches for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<SignedAt>,
    /// The log entries that are proven to be about it.
    #[serde(rename = "logEntries", skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<LogEntryInfo>,
}

/// What a signer is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SignerId {
    /// A key as an operator knows it.
    Key {
        /// The sha256 of its public key, `sha256:<hex>`.
        #[serde(serialize_with = "display")]
        key: KeyId,
        /// The key file's name as the policy writes it; none where the policy has the key itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// A certificate.
    Certificate {
        /// What it says.
        certificate: Box<CertificateInfo>,
    },
}

/// What a proven certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateInfo {
    /// The name that the policy wants.
    pub subject: String,
    /// Of which kind the name is: `email`, `uri`, `dns`, `otherName`.
    pub subject_kind: &'static str,
    /// Who vouched for the holder (the OIDC issuer).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What Fulcio's extensions say, by their names in policies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<&'static str, String>,
    /// The SHA-256 of the certificate, `sha256:<hex>`.
    pub fingerprint: String,
    /// The trust root that vouches for the certificate; none for an own authority's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_root: Option<String>,
}

/// A time at which a signature is proven to have existed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedAt {
    /// When.
    #[serde(serialize_with = "display")]
    pub time: jiff::Timestamp,
    /// What vouches for it: `log` or `authority`.
    pub by: &'static str,
    /// Its name.
    pub name: String,
}

/// A log entry that is proven to be about the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntryInfo {
    /// The log.
    pub log: String,
    /// The entry's number, where that is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

impl Signer {
    /// The key's file, for a signer with a key from a file.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match &self.id {
            SignerId::Key { file, .. } => file.as_deref(),
            SignerId::Certificate { .. } => None,
        }
    }

    /// The key, for a signer with a key.
    #[must_use]
    pub fn key(&self) -> Option<&KeyId> {
        match &self.id {
            SignerId::Key { key, .. } => Some(key),
            SignerId::Certificate { .. } => None,
        }
    }

    /// The holder, for a signer with a certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateInfo> {
        match &self.id {
            SignerId::Key { .. } => None,
            SignerId::Certificate { certificate } => Some(certificate),
        }
    }

    /// When it was signed and which log entries say so, in words; none where nothing is proven of
    /// that.
    #[must_use]
    pub fn when(&self) -> Option<String> {
        let times = self.times.iter().map(|at| format!("at {} ({} {})", at.time, at.by, at.name));
        let entries = self.entries.iter().map(|entry| match entry.index {
            Some(index) => format!("entry {index} of {}", entry.log),
            None => format!("an entry of {}", entry.log),
        });
        let words: Vec<String> = times.chain(entries).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// The same without what stands in the certificate beside the name.
    pub(in crate::policy) fn brief(&self) -> Self {
        let mut signer = self.clone();
        if let SignerId::Certificate { certificate } = &mut signer.id {
            certificate.extensions.clear();
        }
        signer
    }

    /// Whether the same key or holder signed, though with another certificate.
    pub(in crate::policy) fn is_by_the_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (SignerId::Key { key, .. }, SignerId::Key { key: other, .. }) => key == other,
            (
                SignerId::Certificate { certificate },
                SignerId::Certificate { certificate: other },
            ) => {
                certificate.subject == other.subject
                    && certificate.subject_kind == other.subject_kind
                    && certificate.issuer == other.issuer
            }
            (SignerId::Key { .. } | SignerId::Certificate { .. }, _) => false,
        }
    }

    pub(in crate::policy) fn new(id: SignerId, times: &[ProvenTime], entries: &[LogEntry]) -> Self {
        Self {
            id,
            times: times.iter().take(LISTED_MAX).map(SignedAt::of).collect(),
            entries: entries.iter().take(LISTED_MAX).map(LogEntryInfo::of).collect(),
        }
    }
}

impl CertificateInfo {
    /// The holder of a certificate, by the name that the policy wants.
    pub(in crate::policy) fn new(
        certificate: &Certificate,
        san: Option<&San>,
        trust_root: Option<&str>,
    ) -> Self {
        let extensions =
            certificate.extensions().map(|(extension, value)| (extension.name(), shown(value)));
        Self {
            subject: san.map(|san| escaped(san.as_str())).unwrap_or_default(),
            subject_kind: san.map_or("none", San::kind),
            issuer: certificate.issuer().map(shown),
            extensions: extensions.collect(),
            fingerprint: format!("sha256:{}", hex::encode(certificate.fingerprint())),
            trust_root: trust_root.map(shown),
        }
    }
}

impl SignedAt {
    fn of(proven: &ProvenTime) -> Self {
        let (by, name) = match &proven.by {
            TimeSource::Log(name) => ("log", name),
            TimeSource::Authority(name) => ("authority", name),
        };
        Self { time: proven.time, by, name: shown(name) }
    }
}

impl LogEntryInfo {
    fn of(entry: &LogEntry) -> Self {
        Self { log: shown(&entry.log), index: entry.index }
    }
}

/// `build.pub (sha256:...)`, or `uri https://... of https://...`.
impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { key, file: Some(file) } => write!(f, "{file} ({key})"),
            Self::Key { key, file: None } => write!(f, "key {key}"),
            Self::Certificate { certificate } => certificate.fmt(f),
        }
    }
}

impl fmt::Display for CertificateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject.is_empty() {
            write!(f, "a certificate without a name ({})", self.fingerprint)?;
        } else {
            write!(f, "{} {}", self.subject_kind, self.subject)?;
        }
        match &self.issuer {
            Some(issuer) => write!(f, " of {issuer}"),
            None => Ok(()),
        }
    }
}

fn shown(text: &str) -> String {
    bounded(escaped(text), SHOWN_MAX)
}
