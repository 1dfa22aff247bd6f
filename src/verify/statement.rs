//! In-toto statements that are image signatures (in-toto attestation spec, `statement.md`).

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
const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Most subjects: cosign writes one.
const SUBJECTS_MAX: usize = 64;

const LIMITS: Limits = Limits { bytes: BUNDLE_MAX, depth: 32, values: 4096, data_maps: &[] };

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
}

/// The sha256 digests that an image signature names; at least one.
pub(super) fn subjects(payload: &[u8]) -> Result<BTreeSet<Digest>, Fault> {
    let value = json::parse(payload, LIMITS).map_err(fault)?;
    let statement = value.as_object().ok_or(Fault::Malformed)?;
    if !TYPES.contains(&text(statement, "_type")?) {
        return Err(Fault::StatementType);
    }
    if text(statement, "predicateType")? != IMAGE_SIGNATURE {
        return Err(Fault::NotImageSignature);
    }
    only(statement, &["_type", "subject", "predicateType", "predicate"])?;
    if statement.get("predicate").is_some_and(|predicate| !predicate.is_object()) {
        return Err(Fault::Malformed);
    }
    let subjects = statement.get("subject").and_then(Value::as_array).ok_or(Fault::NoSubject)?;
    if subjects.len() > SUBJECTS_MAX {
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
