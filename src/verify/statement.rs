//! In-toto statements (in-toto attestation spec, `statement.md`): image signatures, and everything else that is said
//! about an image ([`Statement`]).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Fault;
use super::simple::{fault, object, only, text};
use super::untrusted::BUNDLE_MAX;
use crate::image::Digest;
use crate::image::json::{self, Limits};

/// Statement v1, and v0.1 which it superseded: the fields that are read here are the same.
const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// The predicate of `cosign sign` since 3.0. Every other predicate is an attestation about an image: a scan, a
/// provenance, which says nothing of whether the signer wants it to run (attack B2).
pub(super) const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Most subjects of an image signature: cosign writes one.
const SUBJECTS_MAX: usize = 64;
/// Most subjects of an attestation: a release's provenance names every file and image of it.
const ATTESTED_MAX: usize = 4096;
/// Longest predicate type, in bytes: a URI.
const PREDICATE_TYPE_MAX: usize = 512;

/// An image signature says nothing but its subject.
const SMALL: Limits = Limits { bytes: 1024 * 1024, depth: 32, values: 4096, data_maps: &[] };
/// An SBOM in SPDX or CycloneDX has some dozens of values for each of a few thousand packages.
const LARGE: Limits = Limits { bytes: BUNDLE_MAX, depth: 64, values: 200_000, data_maps: &[] };

/// An in-toto statement whose signature holds: what somebody says about a digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    predicate_type: String,
    predicate: Value,
}

impl Statement {
    /// Which kind of statement it is.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// What it says; null where it says nothing.
    #[must_use]
    pub fn predicate(&self) -> &Value {
        &self.predicate
    }

    /// Whether it is what `cosign sign` makes, which says of an image no more than that it is signed.
    pub(super) fn is_image_signature(&self) -> bool {
        self.predicate_type == IMAGE_SIGNATURE
    }
}

/// A statement, and the sha256 digests that it is about; at least one.
pub(super) fn read(payload: &[u8]) -> Result<(Statement, BTreeSet<Digest>), Fault> {
    let mut value = json::parse(payload, LARGE).map_err(fault)?;
    let statement = value.as_object_mut().ok_or(Fault::Malformed)?;
    if !TYPES.contains(&text(statement, "_type")?) {
        return Err(Fault::StatementType);
    }
    let predicate_type = text(statement, "predicateType")?.to_owned();
    if predicate_type.len() > PREDICATE_TYPE_MAX {
        return Err(Fault::Malformed);
    }
    let small = predicate_type == IMAGE_SIGNATURE;
    if small {
        json::parse(payload, SMALL).map_err(fault)?;
        only(statement, &["_type", "subject", "predicateType", "predicate"])?;
    }
    if statement.get("predicate").is_some_and(|predicate| !predicate.is_object()) {
        return Err(Fault::Malformed);
    }
    let predicate = statement.remove("predicate").unwrap_or(Value::Null);
    let subjects = subjects(statement, if small { SUBJECTS_MAX } else { ATTESTED_MAX })?;
    Ok((Statement { predicate_type, predicate }, subjects))
}

fn subjects(statement: &Map<String, Value>, limit: usize) -> Result<BTreeSet<Digest>, Fault> {
    let subjects = statement.get("subject").and_then(Value::as_array).ok_or(Fault::NoSubject)?;
    if subjects.len() > limit {
        return Err(Fault::TooLong);
    }
    let digests: BTreeSet<_> = subjects.iter().filter_map(|s| subject(s).transpose()).collect::<Result<_, _>>()?;
    if digests.is_empty() { Err(Fault::NoSubject) } else { Ok(digests) }
}

/// The sha256 of one subject (a ResourceDescriptor); one without is about something that is no image of ours.
fn subject(value: &Value) -> Result<Option<Digest>, Fault> {
    let subject: &Map<String, Value> = value.as_object().ok_or(Fault::Malformed)?;
    let digests = object(subject, "digest")?;
    let Some(sha256) = digests.get("sha256") else { return Ok(None) };
    let hex = sha256.as_str().ok_or(Fault::Malformed)?;
    Digest::parse(&format!("sha256:{hex}")).map(Some).map_err(|_| Fault::Malformed)
}
