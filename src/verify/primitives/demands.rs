//! What is asked of the evidence beside a signature ([`Demands`]), and what is proven of it
//! ([`ProvenTime`], [`LogEntry`]).

/// What is asked of the evidence beside a signature. What is there and asked of or not, and does
/// not hold, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Demands {
    /// At least so many entries in logs that are distinct.
    pub log_entries: u8,
    /// At least so many RFC 3161 timestamps by authorities that are distinct.
    pub timestamps: u8,
    /// A signed certificate timestamp in the certificate (RFC 6962); of a Sigstore instance's
    /// alone.
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
    /// A transparency log, by its promise (Rekor v1's signed entry timestamp). The base URL in the
    /// trust root.
    Log(String),
    /// A timestamp authority (RFC 3161). Its URI in the trust root, or else the subject of its
    /// certificate.
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

impl TimeSource {
    pub(in crate::verify) fn authority(&self) -> Option<&str> {
        match self {
            Self::Authority(name) => Some(name),
            Self::Log(_) => None,
        }
    }
}
