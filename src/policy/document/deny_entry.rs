//! [`DenyEntry`]: what one entry of a deny list denies, why and since when; for lookups, and for
//! programs that list entries and write them anew. [`Fingerprint`] is what keys and certificates
//! are called by.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::image::Digest;
use crate::policy::sanitize::escaped;

/// Hexadecimal digits of a fingerprint (SHA-256).
const FINGERPRINT_DIGITS: usize = 64;

/// What one entry of a deny list denies, why, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DenyEntry {
    /// What.
    #[serde(flatten)]
    pub denied: Denied,
    /// Why; one line.
    pub reason: String,
    /// Since when, as its author wrote. Nothing is decided by it.
    #[serde(serialize_with = "crate::policy::syntax::times::display")]
    pub date: Timestamp,
}

/// What an entry denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Denied {
    /// An image: the digest of an index or a manifest.
    Digest {
        /// The digest.
        #[serde(serialize_with = "display")]
        digest: Digest,
        /// The manifests under it that are denied too.
        #[serde(serialize_with = "each", skip_serializing_if = "Vec::is_empty")]
        manifests: Vec<Digest>,
    },
    /// Whatever has a name that a pattern matches.
    Repository {
        /// The pattern, as it was written.
        pattern: String,
    },
    /// What was signed with a key, by itself or in a certificate.
    Key {
        /// The SHA-256 of its SubjectPublicKeyInfo.
        fingerprint: Fingerprint,
        /// What it signed until then still counts; none where nothing does.
        #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
        signed_after: Option<Timestamp>,
    },
    /// What was signed with a certificate of a holder.
    Identity {
        /// Who vouched for the holder; whoever where it is left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<IdentityText>,
        /// The holder's name; whoever where it is left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<IdentityText>,
        /// What was signed until then still counts; none where nothing does.
        #[serde(serialize_with = "maybe", skip_serializing_if = "Option::is_none")]
        signed_after: Option<Timestamp>,
    },
    /// What was signed with this very certificate.
    Certificate {
        /// The SHA-256 of the certificate, DER.
        fingerprint: Fingerprint,
    },
    /// What this entry of a transparency log is about.
    LogIndex {
        /// Its number.
        index: u64,
        /// The log, by its base URL in the trust root; any where it is left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
}

/// An issuer or a subject: to the letter, or an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IdentityText {
    /// To the letter, but for upper and lower case.
    Exact(String),
    /// A regular expression that matches the whole text.
    RegExp(String),
}

impl Denied {
    /// The field of `spec` that has entries of this kind.
    pub(in crate::policy) fn field(&self) -> &'static str {
        match self {
            Self::Digest { .. } => "digests",
            Self::Repository { .. } => "repositories",
            Self::Key { .. } => "keys",
            Self::Identity { .. } => "identities",
            Self::Certificate { .. } => "certificates",
            Self::LogIndex { .. } => "logIndexes",
        }
    }
}

/// A SHA-256, in whatever usual spelling it was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads `sha256:<hex>`, the bare digits, and the pairs with colons of `openssl x509
    /// -fingerprint`, in upper or lower case. None for anything else: a fingerprint that is
    /// misread denies nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let digits = lower.strip_prefix("sha256:").unwrap_or(&lower);
        let digits = match digits.contains(':') {
            true if digits.split(':').all(|pair| pair.len() == 2) => digits.replace(':', ""),
            true => return None,
            false => digits.to_owned(),
        };
        if digits.len() != FINGERPRINT_DIGITS {
            return None;
        }
        hex::decode(digits).ok()?.try_into().ok().map(Self)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `key sha256:… for what was signed after 2026-…`.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |f: &mut fmt::Formatter<'_>, what: &str, text: &IdentityText| match text {
            IdentityText::Exact(text) => write!(f, " {what} {}", escaped(text)),
            IdentityText::RegExp(text) => write!(f, " {what}RegExp {}", escaped(text)),
        };
        let after = |f: &mut fmt::Formatter<'_>, after: &Option<Timestamp>| match after {
            Some(after) => write!(f, " for what was signed after {after}"),
            None => Ok(()),
        };
        match self {
            Self::Digest { digest, manifests } if manifests.is_empty() => {
                write!(f, "digest {digest}")
            }
            Self::Digest { digest, manifests } => {
                write!(f, "digest {digest} with {} manifests", manifests.len())
            }
            Self::Repository { pattern } => write!(f, "repository {}", escaped(pattern)),
            Self::Key { fingerprint, signed_after } => {
                write!(f, "key {fingerprint}")?;
                after(f, signed_after)
            }
            Self::Identity { issuer, subject, signed_after } => {
                f.write_str("identity")?;
                if let Some(issuer) = issuer {
                    text(f, "issuer", issuer)?;
                }
                if let Some(subject) = subject {
                    text(f, "subject", subject)?;
                }
                after(f, signed_after)
            }
            Self::Certificate { fingerprint } => write!(f, "certificate {fingerprint}"),
            Self::LogIndex { index, log: None } => write!(f, "log entry {index}"),
            Self::LogIndex { index, log: Some(log) } => {
                write!(f, "log entry {index} of {}", escaped(log))
            }
        }
    }
}

fn display<S: serde::Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn each<S: serde::Serializer>(digests: &[Digest], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(digests.iter().map(Digest::to_string))
}

fn maybe<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_in_every_usual_spelling_and_in_no_other() {
        let digits = "0123456789abcdef".repeat(4);
        let read = Fingerprint::parse(&digits).unwrap();
        let upper = digits.to_ascii_uppercase();
        let pairs = upper.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let pairs = pairs.collect::<Vec<_>>().join(":");
        for text in [format!("sha256:{digits}"), format!("SHA256:{upper}"), upper, pairs] {
            assert_eq!(Fingerprint::parse(&text), Some(read), "{text}");
        }
        assert_eq!(read.to_string(), format!("sha256:{digits}"));
        let short = digits.get(1..).unwrap();
        for text in [
            "",
            "sha256:",
            short,
            &format!("sha1:{digits}"),
            &format!("{digits} "),
            &format!("g{short}"),
            &format!("0:{digits}"),
            "SHA256:AbCdEfGhIjKlMnOpQrStUvWxYz0123456789+/AbCdE",
        ] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
