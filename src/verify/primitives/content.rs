//! [`Content`]: what a signature is said to be over.

use std::sync::Arc;

use bytes::Bytes;

use super::statement::{Statement, Subjects};
use crate::image::Digest;

/// What the signature is said to be over.
#[derive(Debug, Clone)]
pub(in crate::verify) enum Content {
    /// A simple-signing payload and what it says.
    Payload { bytes: Vec<u8>, digest: Digest, reference: String },
    /// An in-toto statement in a DSSE envelope: the bytes that were signed and how many of them
    /// stand before the statement, the subjects, and the rest.
    Statement { signed: Bytes, head: usize, subjects: Subjects, statement: Arc<Statement> },
    /// The artifact itself; what the bundle says its digest is, if anything.
    Artifact { digest: Option<ArtifactDigest> },
}

/// The digest in a bundle's message signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) enum ArtifactDigest {
    Sha256([u8; 32]),
    Sha384([u8; 48]),
    Sha512([u8; 64]),
}

impl Content {
    /// The statement's own bytes.
    pub(in crate::verify) fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Statement { signed, head, .. } => signed.get(*head..),
            Self::Payload { .. } | Self::Artifact { .. } => None,
        }
    }
}

impl ArtifactDigest {
    pub(in crate::verify) fn is_of(&self, artifact: &[u8]) -> bool {
        use sha2::{Digest as _, Sha256, Sha384, Sha512};
        match self {
            Self::Sha256(digest) => Sha256::digest(artifact).as_slice() == digest,
            Self::Sha384(digest) => Sha384::digest(artifact).as_slice() == digest,
            Self::Sha512(digest) => Sha512::digest(artifact).as_slice() == digest,
        }
    }
}
