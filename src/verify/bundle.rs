//! The Sigstore bundle (sigstore/protobuf-specs, `sigstore_bundle.proto`, in its JSON form).
//!
//! The JSON is walked strictly before `sigstore-types` sees it: of two contents, or of a key beside a certificate,
//! that crate takes the first and drops the other, and a member that it does not know it ignores.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sigstore_types::{Bundle, DsseEnvelope, HashAlgorithm, MessageSignature, SignatureContent, pae};

use super::simple::{fault, object, only, text};
use super::untrusted::{ArtifactDigest, BUNDLE_MAX, Content, Untrusted};
use super::{Fault, log, statement};
use crate::image::json::{self, Limits};

/// The only payload that is an in-toto statement (in-toto attestation spec, `envelope.md`).
const STATEMENT: &str = "application/vnd.in-toto+json";
/// Most log entries: signers write one for each log, of which there are two.
const LOG_ENTRIES_MAX: usize = 8;

/// Depth: nine (an inclusion proof's checkpoint); values: some dozens for each log entry.
const LIMITS: Limits = Limits { bytes: BUNDLE_MAX, depth: 16, values: 4096, data_maps: &[] };

pub(super) fn read(json: &[u8]) -> Result<Untrusted, Fault> {
    let mut value = json::parse(json, LIMITS).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    let media_type = text(document, "mediaType").map_err(|_| Fault::BundleType)?;
    media_type.parse::<sigstore_types::MediaType>().map_err(|_| Fault::BundleType)?;
    only(document, &["mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"])?;
    material(object(document, "verificationMaterial")?)?;
    encodings(document)?;
    if value.pointer("/messageSignature/messageDigest").is_some_and(unsaid) {
        // `sigstore-types` knows a digest or none, not an empty one.
        value.pointer_mut("/messageSignature").and_then(Value::as_object_mut).map(|m| m.remove("messageDigest"));
    }
    let bundle: Bundle = serde_json::from_value(value).map_err(|_| Fault::Malformed)?;
    if bundle.verification_material.tlog_entries.len() > LOG_ENTRIES_MAX {
        return Err(Fault::TooLong);
    }
    let untrusted = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => envelope_content(envelope)?,
        SignatureContent::MessageSignature(message) => message_content(message)?,
        _ => return Err(Fault::UnknownField),
    };
    let entries = &bundle.verification_material.tlog_entries;
    entries.iter().try_for_each(|entry| log::agrees(entry, &bundle.content))?;
    Ok(untrusted)
}

/// A key and nothing else to verify with.
fn material(material: &Map<String, Value>) -> Result<(), Fault> {
    if material.contains_key("certificate") || material.contains_key("x509CertificateChain") {
        return Err(Fault::NotKeySigned);
    }
    only(material, &["publicKey", "tlogEntries", "timestampVerificationData"])?;
    // The hint says which key to try. It is not signed, and cosign does not compare it either.
    only(object(material, "publicKey")?, &["hint", "rawBytes", "keyDetails", "validFor"])
}

/// One content, whose bytes have one encoding: protobuf's JSON allows four alphabets and paddings, signers write one.
fn encodings(document: &Map<String, Value>) -> Result<(), Fault> {
    match (document.get("dsseEnvelope"), document.get("messageSignature")) {
        (Some(Value::Object(envelope)), None) => {
            only(envelope, &["payload", "payloadType", "signatures"])?;
            canonical(text(envelope, "payload")?)?;
            let signatures = envelope.get("signatures").and_then(Value::as_array).ok_or(Fault::SignatureCount)?;
            let [signature] = signatures.as_slice() else { return Err(Fault::SignatureCount) };
            let signature = signature.as_object().ok_or(Fault::Malformed)?;
            only(signature, &["sig", "keyid"])?;
            canonical(text(signature, "sig")?)
        }
        (None, Some(Value::Object(message))) => {
            only(message, &["messageDigest", "signature"])?;
            if !message.get("messageDigest").is_none_or(unsaid) {
                let digest = object(message, "messageDigest")?;
                only(digest, &["algorithm", "digest"])?;
                canonical(text(digest, "digest")?)?;
            }
            canonical(text(message, "signature")?)
        }
        (Some(_), Some(_)) => Err(Fault::UnknownField),
        (_, _) => Err(Fault::Malformed),
    }
}

/// An empty digest: cosign 3.1 writes it for Ed25519, whose signatures cover the bytes themselves.
fn unsaid(digest: &Value) -> bool {
    digest.as_object().is_some_and(Map::is_empty)
}

fn canonical(base64: &str) -> Result<(), Fault> {
    STANDARD.decode(base64).map(|_| ()).map_err(|_| Fault::Encoding)
}

fn envelope_content(envelope: &DsseEnvelope) -> Result<Untrusted, Fault> {
    if envelope.payload_type != STATEMENT {
        return Err(Fault::EnvelopeType);
    }
    let subjects = statement::subjects(envelope.payload.as_bytes())?;
    let signed = pae(&envelope.payload_type, envelope.payload.as_bytes());
    Ok(Untrusted {
        signature: envelope.signature.sig.as_bytes().to_vec(),
        content: Content::Statement { signed, subjects },
    })
}

fn message_content(message: &MessageSignature) -> Result<Untrusted, Fault> {
    let said = message.message_digest.as_ref().map(|digest| (digest.algorithm, digest.digest.as_bytes()));
    let digest = match said {
        None => None,
        Some((HashAlgorithm::Sha2256, bytes)) => Some(bytes.try_into().map(ArtifactDigest::Sha256)),
        Some((HashAlgorithm::Sha2384, bytes)) => Some(bytes.try_into().map(ArtifactDigest::Sha384)),
        Some((HashAlgorithm::Sha2512, bytes)) => Some(bytes.try_into().map(ArtifactDigest::Sha512)),
        Some(_) => return Err(Fault::Malformed),
    };
    let digest = digest.transpose().map_err(|_| Fault::Malformed)?;
    Ok(Untrusted { signature: message.signature.as_bytes().to_vec(), content: Content::Artifact { digest } })
}
