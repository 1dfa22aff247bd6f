//! Cosign's older form: the simple-signing payload and the annotation that holds its signature
//! (cosign `specs/SIGNATURE_SPEC.md`; containers/image reads the same payload, as strictly as this). What other
//! annotations hold is read in [`super::annotations`].

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::annotations::Evidence;
use crate::image::Digest;
use crate::image::json::{self, JsonError, Limits};
use crate::verify::Fault;
use crate::verify::fault::Bound;
use crate::verify::sigstore::bundle;
use crate::verify::untrusted::{Content, PAYLOAD_MAX, Untrusted};

/// The layer annotation that holds the signature.
pub(in crate::verify) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The only `critical.type`, of cosign and of containers/image alike.
const TYPE: &str = "cosign container image signature";
/// Longest signature annotation, in characters: RSA with 8192 bits takes 1368.
const SIGNATURE_MAX: usize = 4096;

/// Depth and values: `optional` is the signer's, the rest nests three deep.
const LIMITS: Limits = Limits { bytes: PAYLOAD_MAX, depth: 16, values: 4096, free: &["optional"] };

pub(in crate::verify) fn read(payload: &[u8], annotations: &BTreeMap<String, String>) -> Result<Untrusted, Fault> {
    let signature = signature(annotations.get(SIGNATURE).ok_or(Fault::NoSignature)?)?;
    let value = json::parse(payload, LIMITS).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    only(document, &["critical", "optional"])?;
    // Cosign writes null where there are no pairs.
    if document.get("optional").is_some_and(|optional| !optional.is_null() && !optional.is_object()) {
        return Err(Fault::Malformed);
    }
    let critical = object(document, "critical")?;
    only(critical, &["type", "image", "identity"])?;
    if text(critical, "type")? != TYPE {
        return Err(Fault::PayloadType);
    }
    let image = object(critical, "image")?;
    only(image, &["docker-manifest-digest"])?;
    let digest = Digest::parse(text(image, "docker-manifest-digest")?).map_err(|_| Fault::Malformed)?;
    let identity = object(critical, "identity")?;
    only(identity, &["docker-reference"])?;
    let reference = text(identity, "docker-reference").map_err(|_| Fault::NoReference)?;
    if reference.is_empty() {
        return Err(Fault::NoReference);
    }
    let content = Content::Payload { bytes: payload.to_vec(), digest, reference: reference.to_owned() };
    bundle::assemble(signature, content, Evidence::read(annotations)?.parts(None))
}

/// What the strict reader refused, in the words of this room.
pub(in crate::verify) fn fault(error: JsonError) -> Fault {
    match error {
        JsonError::TooLong(limit) => beyond("bytes", limit),
        JsonError::TooDeep(limit) => beyond("levels", limit),
        JsonError::TooMany(limit) => beyond("values", limit),
        JsonError::Syntax { .. } | JsonError::DuplicateKey(_) | JsonError::EqualFold(..) => Fault::Json,
    }
}

/// More of something than is read.
pub(in crate::verify) const fn beyond(what: &'static str, limit: usize) -> Fault {
    Fault::Beyond(Bound { what, limit })
}

/// Refuses members with any other name.
pub(in crate::verify) fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), Fault> {
    let known = object.keys().all(|key| names.contains(&key.as_str()));
    if known { Ok(()) } else { Err(Fault::UnknownField) }
}

pub(in crate::verify) fn object<'v>(
    parent: &'v Map<String, Value>,
    name: &str,
) -> Result<&'v Map<String, Value>, Fault> {
    parent.get(name).and_then(Value::as_object).ok_or(Fault::Malformed)
}

pub(in crate::verify) fn text<'v>(parent: &'v Map<String, Value>, name: &str) -> Result<&'v str, Fault> {
    parent.get(name).and_then(Value::as_str).ok_or(Fault::Malformed)
}

/// Canonical base64 (RFC 4648 section 4, padded, no stray bits). Line breaks are skipped, as cosign's decoder does:
/// signatures made with `openssl base64` and attached by hand have them.
fn signature(annotation: &str) -> Result<Vec<u8>, Fault> {
    if annotation.len() > SIGNATURE_MAX {
        return Err(beyond("characters in a signature", SIGNATURE_MAX));
    }
    let joined: String = annotation.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    let signature = STANDARD.decode(joined).map_err(|_| Fault::Encoding)?;
    if signature.is_empty() { Err(Fault::NoSignature) } else { Ok(signature) }
}
