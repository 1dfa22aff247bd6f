//! [`Attached`]: what came beside a signature to prove when it was made and where it is logged.

use std::sync::Arc;

use sigstore_types::bundle::MediaType;
use sigstore_types::{SignatureBytes, TimestampToken, TransparencyLogEntry};

use super::log::{Entry, Kind};
use crate::verify::primitives::demands::Demands;
use crate::verify::primitives::fault::Fault;

/// Most log entries: signers write one for each log, of which there are two.
pub(in crate::verify) const LOG_ENTRIES_MAX: usize = 8;
/// Most timestamps: signers ask one authority, or two.
pub(in crate::verify) const TIMESTAMPS_MAX: usize = 8;

/// Log entries and timestamps beside a signature; nothing of it is proven.
#[derive(Debug)]
pub(in crate::verify) struct Attached {
    /// The version of the bundle: each has proofs that it must not lack.
    pub(in crate::verify) version: MediaType,
    pub(in crate::verify) entries: Vec<Entry>,
    pub(in crate::verify) timestamps: Vec<AttachedTimestamp>,
}

/// A timestamp (RFC 3161).
#[derive(Debug, Clone)]
pub(in crate::verify) struct AttachedTimestamp {
    pub(in crate::verify) token: TimestampToken,
    pub(in crate::verify) over: TimestampedObject,
}

/// What a timestamp is said to be over.
#[derive(Debug, Clone)]
pub(in crate::verify) enum TimestampedObject {
    /// The signature, as in bundles and cosign's older signatures.
    Signature,
    /// A whole envelope, as in cosign's older attestations.
    Envelope(Arc<SignatureBytes>),
}

/// The same before it was compared with what was signed, and what the signature is said to be made
/// with.
pub(in crate::verify) struct AttachedParts {
    pub(in crate::verify) version: MediaType,
    /// The certificate and those above it, DER; none where a key is said to have signed.
    pub(in crate::verify) chain: Option<Vec<Vec<u8>>>,
    pub(in crate::verify) entries: Vec<(Kind, TransparencyLogEntry)>,
    pub(in crate::verify) timestamps: Vec<AttachedTimestamp>,
    /// The SHA-256 of the envelope as it was logged, where its bytes are at hand.
    pub(in crate::verify) envelope: Option<[u8; 32]>,
}

/// What of the proofs beside a signature holds, by their numbers there.
#[derive(Debug, Default)]
pub(in crate::verify) struct ProvenParts {
    pub(in crate::verify) entries: Vec<usize>,
    pub(in crate::verify) timestamps: Vec<usize>,
}

impl Attached {
    /// Refuses proofs that hold and are not those of its version, where log entries are asked for:
    /// v0.1 has a log's promise, later ones an inclusion proof (protobuf-specs,
    /// `sigstore_bundle.proto`). The library asks the same of what it is shown.
    pub(in crate::verify) fn is_whole(
        &self,
        held: &ProvenParts,
        demands: Demands,
    ) -> Result<(), Fault> {
        let mut logged =
            held.entries.iter().filter_map(|number| self.entries.get(*number)).map(Entry::logged);
        let whole = if self.version == MediaType::Bundle0_1 {
            logged.any(|entry| entry.inclusion_promise.is_some())
        } else {
            logged.any(|entry| entry.inclusion_proof.is_some())
        };
        if whole || demands.log_entries == 0 { Ok(()) } else { Err(Fault::LogInvalid) }
    }
}
