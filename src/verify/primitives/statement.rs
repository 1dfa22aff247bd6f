//! In-toto statements (in-toto attestation spec, `statement.md`): image signatures, and everything
//! else that is said about an image ([`Statement`]).
//!
//! What decides is read strictly: the type, the subjects, the kind. The predicate is the signer's:
//! a bill of materials of megabytes, a text, nothing at all. It stays in the bytes until a
//! condition asks for a part of it ([`Statement::said`]).

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha512};

use super::fault::Bound;
use super::json::{fault, object, only, text};
use super::limits::BUNDLE_MAX;
use crate::image::Digest;
use crate::image::json::{self, Keep, Limits};
use crate::image::skim::{Shape, Span, skim};
use crate::verify::primitives::fault::{Fault, PredicateError};

/// Statement v1, and v0.1 which it superseded: the fields that are read here are the same.
const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// The predicate of `cosign sign` since 3.0. Every other predicate is an attestation about an
/// image: a scan, a provenance, which says nothing of whether the signer wants it to run (attack
/// B2).
pub(in crate::verify) const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Most subjects of an image signature: cosign writes one.
const SUBJECTS_MAX: usize = 64;
/// Most subjects of an attestation: a release's provenance names every file and image of it.
const ATTESTED_MAX: usize = 4096;
/// Longest predicate type, in bytes: a URI.
const PREDICATE_TYPE_MAX: usize = 512;
/// Longest statement of an image signature, in bytes: it says nothing but its subject.
const SIGNATURE_MAX: usize = 1024 * 1024;

/// What is around a predicate: some values for each subject.
const LIMITS: Limits =
    Limits { bytes: BUNDLE_MAX, depth: 32, values: 32 * ATTESTED_MAX, free: &["annotations"] };
/// Most values in a predicate, and one for so many of its bytes where that is more: bills of
/// materials have 40 bytes to 240 for each value. Walking it costs no memory, whatever it holds;
/// what was made of numbers alone, nobody can use.
pub const PREDICATE_VALUES_MAX: usize = 262_144;
const BYTES_OF_VALUE: usize = 32;
/// Deepest predicate: build definitions of some systems nest thirty deep.
const PREDICATE_DEPTH_MAX: usize = 64;

/// An in-toto statement whose signature holds: what somebody says about a digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    predicate_type: String,
    /// The statement's bytes.
    bytes: Bytes,
    /// Where in it the predicate stands.
    predicate: Option<Span>,
}

/// What a statement is about.
#[derive(Debug, Clone, Default)]
pub(in crate::verify) struct Subjects {
    pub(in crate::verify) sha256: BTreeSet<Digest>,
    /// Of subjects that have no sha256.
    sha512: BTreeSet<[u8; 64]>,
    /// The digest of a subject that has neither.
    other: Option<&'static str>,
}

impl Statement {
    /// Which kind of statement it is.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Whether its predicate has no more in it than is looked at.
    ///
    /// # Errors
    /// [`Fault::Beyond`] names the limit.
    pub fn bounded(&self) -> Result<(), Fault> {
        let Some(span) = &self.predicate else { return Ok(()) };
        let limit = PREDICATE_VALUES_MAX.max(span.range.len() / BYTES_OF_VALUE);
        if span.values > limit {
            return Err(Fault::Beyond(Bound { what: "values in its predicate", limit }));
        }
        if span.depth > PREDICATE_DEPTH_MAX {
            return Err(Fault::Beyond(Bound {
                what: "levels in its predicate",
                limit: PREDICATE_DEPTH_MAX,
            }));
        }
        Ok(())
    }

    /// What is kept of its predicate, which must be an object: other shapes have no fields that
    /// could be asked for. Each key is the one that is spelt so; at most so many values are read.
    ///
    /// # Errors
    /// [`PredicateError`] where that cannot be told.
    pub fn said(&self, keep: &Keep, values: usize) -> Result<Value, PredicateError> {
        let span = self.predicate.as_ref().ok_or(PredicateError::NoPredicate)?;
        if span.shape != Shape::Object {
            return Err(PredicateError::Shape(span.shape));
        }
        let predicate = self.bytes.get(span.range.clone()).ok_or(PredicateError::NoPredicate)?;
        let limits =
            Limits { bytes: predicate.len(), depth: PREDICATE_DEPTH_MAX, values, free: &[] };
        json::parse_kept(predicate, limits, keep).map_err(PredicateError::Json)
    }

    /// Whether it is what `cosign sign` makes, which says of an image no more than that it is
    /// signed.
    pub(in crate::verify) fn is_image_signature(&self) -> bool {
        self.predicate_type == IMAGE_SIGNATURE
    }
}

impl Subjects {
    /// Whether one is these bytes, by a digest that an image is not known by.
    pub(in crate::verify) fn has_bytes(&self, artifact: &[u8]) -> bool {
        !self.sha512.is_empty() && self.sha512.contains(Sha512::digest(artifact).as_slice())
    }

    /// Why a digest is none of them.
    pub(in crate::verify) fn misfit(&self, has_bytes: bool) -> Fault {
        match (self.sha256.is_empty(), self.sha512.is_empty(), self.other) {
            (true, false, _) if !has_bytes => Fault::SubjectBy("sha512"),
            (true, true, Some(other)) => Fault::SubjectBy(other),
            (_, _, _) => Fault::OtherDigest,
        }
    }
}

/// A statement, and what it is about; at least one subject.
pub(in crate::verify) fn read(payload: Bytes) -> Result<(Statement, Subjects), Fault> {
    let (value, predicate) = skim(&payload, LIMITS, &["predicate"]).map_err(fault)?;
    let statement = value.as_object().ok_or(Fault::Malformed)?;
    if !TYPES.contains(&text(statement, "_type")?) {
        return Err(Fault::StatementType);
    }
    let predicate_type = text(statement, "predicateType")?.to_owned();
    if predicate_type.len() > PREDICATE_TYPE_MAX {
        return Err(Fault::Malformed);
    }
    let small = predicate_type == IMAGE_SIGNATURE;
    if small {
        if payload.len() > SIGNATURE_MAX {
            return Err(Fault::Beyond(Bound { what: "bytes", limit: SIGNATURE_MAX }));
        }
        only(statement, &["_type", "subject", "predicateType"])?;
    }
    let subjects = subjects(statement, if small { SUBJECTS_MAX } else { ATTESTED_MAX })?;
    Ok((Statement { predicate_type, bytes: payload, predicate }, subjects))
}

fn subjects(statement: &Map<String, Value>, limit: usize) -> Result<Subjects, Fault> {
    let list = statement.get("subject").and_then(Value::as_array).ok_or(Fault::NoSubject)?;
    if list.len() > limit {
        return Err(Fault::Beyond(Bound { what: "subjects", limit }));
    }
    let mut subjects = Subjects::default();
    list.iter().try_for_each(|value| subjects.add(value))?;
    if subjects.sha256.is_empty() && subjects.sha512.is_empty() && subjects.other.is_none() {
        return Err(Fault::NoSubject);
    }
    Ok(subjects)
}

impl Subjects {
    /// One subject (a ResourceDescriptor). Where it has several digests, an image is known by its
    /// sha256.
    fn add(&mut self, value: &Value) -> Result<(), Fault> {
        let subject: &Map<String, Value> = value.as_object().ok_or(Fault::Malformed)?;
        let digests = object(subject, "digest")?;
        let hex = |name: &str| {
            digests.get(name).map(|hex| hex.as_str().ok_or(Fault::Malformed)).transpose()
        };
        match (hex("sha256")?, hex("sha512")?) {
            (Some(sha256), _) => {
                self.sha256.insert(
                    Digest::parse(&format!("sha256:{sha256}")).map_err(|_| Fault::Malformed)?,
                );
            }
            (None, Some(sha512)) => {
                let bytes = hex::decode(sha512).ok().filter(|bytes| hex::encode(bytes) == sha512);
                let bytes: Option<[u8; 64]> = bytes.and_then(|bytes| bytes.try_into().ok());
                self.sha512.insert(bytes.ok_or(Fault::Malformed)?);
            }
            (None, None) => {
                let known = |name: &&&str| digests.contains_key(**name);
                let other = OTHERS.iter().find(known).copied();
                self.other = self
                    .other
                    .or(other)
                    .or_else(|| (!digests.is_empty()).then_some("another digest"));
            }
        }
        Ok(())
    }
}

/// Other digests (in-toto attestation spec, `digest_set.md`), as a message names them.
const OTHERS: [&str; 14] = [
    "sha1",
    "gitCommit",
    "gitTree",
    "gitBlob",
    "gitTag",
    "dirHash",
    "sha224",
    "sha384",
    "sha512_256",
    "sha3_256",
    "sha3_512",
    "blake2b",
    "blake3",
    "md5",
];
