//! Cosign's older form: the simple-signing payload and the annotation that holds its signature
//! (cosign `specs/SIGNATURE_SPEC.md`; containers/image reads the same payload, as strictly as
//! this). What other annotations hold is read in [`super::annotations`].

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::annotations::{LayerAnnotations, SIGNATURE};
use crate::image::Digest;
use crate::image::json::{self, Limits};
use crate::verify::primitives::content::Content;
use crate::verify::primitives::fault::{Fault, beyond};
use crate::verify::primitives::json::{fault, object, only, text};
use crate::verify::primitives::limits::PAYLOAD_MAX;
use crate::verify::signature::assemble::assemble;
use crate::verify::signature::untrusted::Parsed;

/// The only `critical.type`, of cosign and of containers/image alike.
const TYPE: &str = "cosign container image signature";
/// Longest signature annotation, in characters: RSA with 8192 bits takes 1368.
const SIGNATURE_MAX: usize = 4096;

/// Depth and values: `optional` is the signer's, the rest nests three deep.
const LIMITS: Limits = Limits { bytes: PAYLOAD_MAX, depth: 16, values: 4096, free: &["optional"] };

pub(in crate::verify) fn read(
    payload: &[u8],
    annotations: &BTreeMap<String, String>,
) -> Result<Parsed, Fault> {
    let signature = signature(annotations.get(SIGNATURE).ok_or(Fault::NoSignature)?)?;
    let value = json::parse(payload, LIMITS).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    only(document, &["critical", "optional"])?;
    // Cosign writes null where there are no pairs.
    if document.get("optional").is_some_and(|optional| !optional.is_null() && !optional.is_object())
    {
        return Err(Fault::Malformed);
    }
    let critical = object(document, "critical")?;
    only(critical, &["type", "image", "identity"])?;
    if text(critical, "type")? != TYPE {
        return Err(Fault::PayloadType);
    }
    let image = object(critical, "image")?;
    only(image, &["docker-manifest-digest"])?;
    let digest =
        Digest::parse(text(image, "docker-manifest-digest")?).map_err(|_| Fault::Malformed)?;
    let identity = object(critical, "identity")?;
    only(identity, &["docker-reference"])?;
    let reference = text(identity, "docker-reference").map_err(|_| Fault::NoReference)?;
    if reference.is_empty() {
        return Err(Fault::NoReference);
    }
    let content =
        Content::Payload { bytes: payload.to_vec(), digest, reference: reference.to_owned() };
    assemble(signature, content, LayerAnnotations::read(annotations)?.parts(None))
}

/// Canonical base64 (RFC 4648 section 4, padded, no stray bits). Line breaks are skipped, as
/// cosign's decoder does: signatures made with `openssl base64` and attached by hand have them.
fn signature(annotation: &str) -> Result<Vec<u8>, Fault> {
    if annotation.len() > SIGNATURE_MAX {
        return Err(beyond("characters in a signature", SIGNATURE_MAX));
    }
    let joined: String = annotation.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    let signature = STANDARD.decode(joined).map_err(|_| Fault::Encoding)?;
    if signature.is_empty() { Err(Fault::NoSignature) } else { Ok(signature) }
}
