//! The Sigstore bundle (sigstore/protobuf-specs, `sigstore_bundle.proto`, in its JSON form), v0.1
//! to v0.3.
//!
//! The JSON is walked strictly before `sigstore-types` sees it: of two contents, or of a key beside
//! a certificate, that crate takes the first and drops the other, and a member that it does not
//! know it ignores.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sigstore_types::bundle::{MediaType, VerificationMaterialContent};
use sigstore_types::{Bundle, HashAlgorithm, MessageSignature, SignatureContent};

use crate::image::json::Limits;
use crate::image::skim::{Span, skim};
use crate::verify::primitives::content::{ArtifactDigest, Content};
use crate::verify::primitives::fault::{Fault, beyond};
use crate::verify::primitives::json::{fault, object, only, text};
use crate::verify::primitives::leaf::Leaf;
use crate::verify::primitives::limits::BUNDLE_MAX;
use crate::verify::signature::assemble::{assemble, statement};
use crate::verify::signature::attached::{AttachedParts, AttachedTimestamp, TimestampedObject};
use crate::verify::signature::log::Kind;
use crate::verify::signature::untrusted::Parsed;

/// Longest path in an inclusion proof: a tree of 2^64 entries.
const PATH_MAX: usize = 64;

/// Depth: nine (an inclusion proof's checkpoint); values: some dozens for each log entry.
const LIMITS: Limits = Limits { bytes: BUNDLE_MAX, depth: 16, values: 4096, free: &[] };

/// Reads a bundle as a registry or a file gives it.
pub(in crate::verify) fn read(json: &[u8]) -> Result<Parsed, Fault> {
    let (mut value, payload) = skim(json, LIMITS, &["dsseEnvelope", "payload"]).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    let media_type = text(document, "mediaType").map_err(|_| Fault::BundleType)?;
    let media_type = media_type.parse::<MediaType>().map_err(|_| Fault::BundleType)?;
    only(document, &["mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"])?;
    material(object(document, "verificationMaterial")?, media_type)?;
    encodings(document)?;
    let kinds = kinds(&mut value)?;
    if value.pointer("/messageSignature/messageDigest").is_some_and(unsaid) {
        // `sigstore-types` knows a digest or none, not an empty one.
        value
            .pointer_mut("/messageSignature")
            .and_then(Value::as_object_mut)
            .map(|m| m.remove("messageDigest"));
    }
    if let Some(envelope) = value.pointer_mut("/dsseEnvelope").and_then(Value::as_object_mut) {
        // It is read from the text, megabytes of it at once.
        envelope.insert("payload".to_owned(), json!(""));
    }
    let bundle: Bundle = serde_json::from_value(value).map_err(|_| Fault::Malformed)?;
    let (signature, content) = match bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            let payload =
                payload.as_ref().and_then(|span: &Span| span.text(json)).ok_or(Fault::Malformed)?;
            (envelope.signature.sig.into_bytes(), statement(&envelope.payload_type, &payload)?)
        }
        SignatureContent::MessageSignature(message) => message_content(message)?,
        _ => return Err(Fault::UnknownField),
    };
    let material = bundle.verification_material;
    let timestamps = material.timestamp_verification_data.rfc3161_timestamps.into_iter();
    let parts = AttachedParts {
        version: bundle.media_type,
        chain: chain(material.content)?,
        entries: kinds.into_iter().zip(material.tlog_entries).collect(),
        timestamps: timestamps
            .map(|stamp| AttachedTimestamp {
                token: stamp.signed_timestamp,
                over: TimestampedObject::Signature,
            })
            .collect(),
        envelope: None,
    };
    assemble(signature, content, parts)
}

/// The certificates of a bundle, the signer's first; none where a key is said to have signed.
fn chain(content: VerificationMaterialContent) -> Result<Option<Vec<Vec<u8>>>, Fault> {
    match content {
        VerificationMaterialContent::PublicKey(_) => Ok(None),
        VerificationMaterialContent::Certificate(one) => Ok(Some(vec![one.raw_bytes.into_bytes()])),
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            let chain: Vec<_> =
                certificates.into_iter().map(|one| one.raw_bytes.into_bytes()).collect();
            // No root among them (protobuf-specs, `X509CertificateChain`): who is trusted, a signer
            // does not say.
            let above = chain.iter().skip(1).map(|der| Leaf::is_self_issued(der));
            if above.collect::<Result<Vec<_>, _>>()?.contains(&true) {
                return Err(Fault::CertificateChain);
            }
            Ok(Some(chain))
        }
        _ => Err(Fault::UnknownField),
    }
}

/// The kinds of the log entries, one for each. `sigstore-types` takes no bundle with an entry of a
/// kind that it does not know: one that it does takes its place there.
fn kinds(bundle: &mut Value) -> Result<Vec<Kind>, Fault> {
    let entries =
        bundle.pointer_mut("/verificationMaterial/tlogEntries").and_then(Value::as_array_mut);
    let kind = |entry: &mut Value| {
        let named = entry
            .pointer_mut("/kindVersion")
            .and_then(Value::as_object_mut)
            .ok_or(Fault::Malformed)?;
        let kind = Kind::named(text(named, "kind")?, text(named, "version")?);
        named.insert("kind".to_owned(), kind.stand_in().kind().into());
        named.insert("version".to_owned(), kind.stand_in().version().into());
        Ok(kind)
    };
    entries.map_or(Ok(Vec::new()), |entries| entries.iter_mut().map(kind).collect())
}

/// A key's hint, a certificate or a list of certificates, and the evidence beside it.
fn material(material: &Map<String, Value>, media_type: MediaType) -> Result<(), Fault> {
    const WAYS: [&str; 3] = ["publicKey", "certificate", "x509CertificateChain"];
    only(material, &[&WAYS[..], &["tlogEntries", "timestampVerificationData"]].concat())?;
    let mut ways = WAYS.iter().filter_map(|way| Some((*way, material.get(*way)?)));
    match (ways.next(), ways.next()) {
        // The hint says which key to try. It is not signed, and cosign does not compare it either.
        (Some(("publicKey", _)), None) => {
            only(object(material, "publicKey")?, &["hint", "rawBytes", "keyDetails", "validFor"])?;
        }
        (Some(("certificate", one)), None) => certificate(one)?,
        (Some((_, list)), None) => {
            let list = list.as_object().ok_or(Fault::Malformed)?;
            only(list, &["certificates"])?;
            let list =
                list.get("certificates").and_then(Value::as_array).ok_or(Fault::NoCertificate)?;
            if list.is_empty() {
                return Err(Fault::NoCertificate);
            }
            if media_type == MediaType::Bundle0_3 {
                return Err(Fault::UnknownField);
            }
            list.iter().try_for_each(certificate)?;
        }
        (Some(_), Some(_)) => return Err(Fault::UnknownField),
        (None, _) => return Err(Fault::Malformed),
    }
    each(material, "tlogEntries", log_entry)?;
    match material.get("timestampVerificationData") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(data)) => {
            only(data, &["rfc3161Timestamps"])?;
            each(data, "rfc3161Timestamps", |stamp| {
                only(stamp, &["signedTimestamp"])?;
                canonical(text(stamp, "signedTimestamp")?)
            })
        }
        Some(_) => Err(Fault::Malformed),
    }
}

fn certificate(value: &Value) -> Result<(), Fault> {
    let certificate = value.as_object().ok_or(Fault::Malformed)?;
    only(certificate, &["rawBytes"])?;
    canonical(text(certificate, "rawBytes")?)
}

fn log_entry(entry: &Map<String, Value>) -> Result<(), Fault> {
    const FIELDS: [&str; 7] = [
        "logIndex",
        "logId",
        "kindVersion",
        "integratedTime",
        "inclusionPromise",
        "inclusionProof",
        "canonicalizedBody",
    ];
    only(entry, &FIELDS)?;
    canonical(text(entry, "canonicalizedBody")?)?;
    let id = object(entry, "logId")?;
    only(id, &["keyId"])?;
    canonical(text(id, "keyId")?)?;
    only(object(entry, "kindVersion")?, &["kind", "version"])?;
    if let Some(promise) = entry.get("inclusionPromise").filter(|promise| !promise.is_null()) {
        let promise = promise.as_object().ok_or(Fault::Malformed)?;
        only(promise, &["signedEntryTimestamp"])?;
        canonical(text(promise, "signedEntryTimestamp")?)?;
    }
    let Some(proof) = entry.get("inclusionProof").filter(|proof| !proof.is_null()) else {
        return Ok(());
    };
    let proof = proof.as_object().ok_or(Fault::Malformed)?;
    only(proof, &["logIndex", "rootHash", "treeSize", "hashes", "checkpoint"])?;
    canonical(text(proof, "rootHash")?)?;
    only(object(proof, "checkpoint")?, &["envelope"])?;
    let hashes = proof.get("hashes").map_or(Ok(&[][..]), |hashes| {
        hashes.as_array().map(Vec::as_slice).ok_or(Fault::Malformed)
    })?;
    if hashes.len() > PATH_MAX {
        return Err(beyond("hashes in an inclusion proof", PATH_MAX));
    }
    hashes.iter().try_for_each(|hash| canonical(hash.as_str().ok_or(Fault::Malformed)?))
}

/// Walks a list of objects that may be missing.
fn each(
    parent: &Map<String, Value>,
    name: &str,
    walk: impl Fn(&Map<String, Value>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(list) = parent.get(name) else { return Ok(()) };
    let list = list.as_array().ok_or(Fault::Malformed)?;
    list.iter().try_for_each(|value| walk(value.as_object().ok_or(Fault::Malformed)?))
}

/// One content, whose bytes have one encoding: protobuf's JSON allows four alphabets and paddings,
/// signers write one.
fn encodings(document: &Map<String, Value>) -> Result<(), Fault> {
    match (document.get("dsseEnvelope"), document.get("messageSignature")) {
        (Some(Value::Object(envelope)), None) => {
            only(envelope, &["payloadType", "signatures"])?;
            let signatures = envelope
                .get("signatures")
                .and_then(Value::as_array)
                .ok_or(Fault::SignatureCount)?;
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

fn message_content(message: MessageSignature) -> Result<(Vec<u8>, Content), Fault> {
    let said =
        message.message_digest.as_ref().map(|digest| (digest.algorithm, digest.digest.as_bytes()));
    let digest = match said {
        None => None,
        Some((HashAlgorithm::Sha2256, bytes)) => Some(bytes.try_into().map(ArtifactDigest::Sha256)),
        Some((HashAlgorithm::Sha2384, bytes)) => Some(bytes.try_into().map(ArtifactDigest::Sha384)),
        Some((HashAlgorithm::Sha2512, bytes)) => Some(bytes.try_into().map(ArtifactDigest::Sha512)),
        Some(_) => return Err(Fault::Malformed),
    };
    let digest = digest.transpose().map_err(|_| Fault::Malformed)?;
    Ok((message.signature.into_bytes(), Content::Artifact { digest }))
}
