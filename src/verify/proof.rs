//! What a signature is tried with ([`Trust`], [`Demands`]) and what is proven of it beside the signer ([`ProvenTime`],
//! [`LogEntry`]).

use super::{Authority, PublicKey, TrustRoot};
use crate::image::Digest;

/// What a signature is said to be about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The digest of a manifest or an index.
    pub digest: &'a Digest,
    /// Its bytes, where they are at hand: signatures over the bytes themselves need them. Their digest is compared.
    pub artifact: Option<&'a [u8]>,
    /// What is to be said about it.
    pub claim: Claim<'a>,
}

/// What a signature is to say: an attestation of one kind never counts as another, nor as a signature on the image
/// (attack B2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// That the signer signed this image: the older payload, a message signature, or the statement that `cosign sign`
    /// makes.
    ImageSignature,
    /// An in-toto statement with one of these predicate types.
    Attestation(&'a [String]),
}

/// Whom a signature is to be by, and what vouches for its time.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'t> {
    /// The holder of a key. The root, where there is one, vouches for times and log entries.
    Key {
        /// The key.
        key: &'t PublicKey,
        /// What vouches for times.
        root: Option<&'t TrustRoot>,
    },
    /// The holder of a certificate of a Sigstore instance, whoever that is.
    Keyless {
        /// The instance.
        root: &'t TrustRoot,
    },
    /// The holder of a certificate of an own authority, whoever that is. Without a proven time the certificate is judged
    /// at now.
    Authority {
        /// The authority.
        authority: &'t Authority,
        /// What vouches for times.
        root: Option<&'t TrustRoot>,
    },
}

/// What is asked of the evidence beside a signature. What is there and asked of or not, and does not hold, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Demands {
    /// At least so many entries in logs that are distinct.
    pub log_entries: u8,
    /// At least so many RFC 3161 timestamps by authorities that are distinct.
    pub timestamps: u8,
    /// A signed certificate timestamp in the certificate (RFC 6962); of a Sigstore instance's alone.
    pub sct: bool,
}

/// A time at which the signature is proven to have existed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenTime {
    /// When.
    pub time: jiff::Timestamp,
    /// Who says so.
    pub by: TimeSource,
}

/// Who vouches for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeSource {
    /// A transparency log, by its promise (Rekor v1's signed entry timestamp). The base URL in the trust root.
    Log(String),
    /// A timestamp authority (RFC 3161). Its URI in the trust root, or else the subject of its certificate.
    Authority(String),
}

/// An entry in a transparency log that is proven to be about this signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The log: its base URL in the trust root.
    pub log: String,
    /// The entry's number, when a promise or an inclusion proof binds it.
    pub index: Option<u64>,
}

impl Demands {
    /// Nothing: a key by itself.
    pub const NONE: Self = Self { log_entries: 0, timestamps: 0, sct: false };
    /// What keyless signatures are asked for unless a policy says otherwise.
    pub const KEYLESS: Self = Self { log_entries: 1, timestamps: 0, sct: true };
}
