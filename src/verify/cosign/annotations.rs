//! What cosign's older form keeps in the annotations of a layer beside the signature: certificate,
//! chain, log entry, timestamp ([`LayerAnnotations`]; cosign `specs/SIGNATURE_SPEC.md`,
//! `pkg/oci/static`). It is proven as if it had come in a Sigstore bundle.
//!
//! Layers of `.att` manifests are read here ([`read_attestation`]), those of `.sig` manifests in
//! [`super::simple_signing`].

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sigstore_types::bundle::{InclusionPromise, LogId, MediaType};
use sigstore_types::{
    CanonicalizedBody, KindVersion, LogIndex, LogKeyId, SignatureBytes, SignedTimestamp,
    TimestampToken, TransparencyLogEntry,
};

use crate::image::json::{self, Limits};
use crate::image::skim::skim;
use crate::verify::primitives::fault::{Fault, beyond};
use crate::verify::primitives::json::{fault, object, only, text};
use crate::verify::primitives::limits::ATTESTATION_MAX;
use crate::verify::primitives::pem::{self, PemFault};
use crate::verify::signature::assemble::{assemble, statement};
use crate::verify::signature::attached::{AttachedParts, AttachedTimestamp, TimestampedObject};
use crate::verify::signature::log::Kind;
use crate::verify::signature::untrusted::Parsed;

/// The layer annotation that holds the signature.
pub(in crate::verify) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// Every annotation of a layer that is read, here or in `super::simple_signing`.
pub(in crate::verify) const LAYER_ANNOTATIONS: [&str; 5] =
    [SIGNATURE, CERTIFICATE, CHAIN, BUNDLE, TIMESTAMP];

/// Longest annotation, in bytes: a chain with large RSA keys takes 8 KB, a log entry with a
/// certificate in it 6 KB.
const ANNOTATION_MAX: usize = 128 * 1024;
/// Most certificates in a chain annotation.
const CHAIN_MAX: usize = 7;
/// A log entry or a timestamp: two deep, six values.
const SMALL: Limits = Limits { bytes: ANNOTATION_MAX, depth: 4, values: 16, free: &[] };
/// A log entry's body; the deepest are those of attestations.
const BODY: Limits =
    Limits { bytes: ANNOTATION_MAX, depth: 16, values: 1024, free: &["extraData"] };
/// An envelope: three deep, six values.
const ENVELOPE: Limits = Limits { bytes: ATTESTATION_MAX, depth: 4, values: 16, free: &[] };

/// What the annotations hold, read strictly; nothing of it is proven.
pub(in crate::verify) struct LayerAnnotations {
    certificate: Option<Vec<u8>>,
    chain: Vec<Vec<u8>>,
    entry: Option<(Kind, TransparencyLogEntry)>,
    timestamp: Option<TimestampToken>,
}

/// Reads one layer of a `.att` manifest: a DSSE envelope (`application/vnd.dsse.envelope.v1+json`).
pub(in crate::verify) fn read_attestation(
    envelope: &[u8],
    annotations: &BTreeMap<String, String>,
) -> Result<Parsed, Fault> {
    let (value, payload) = skim(envelope, ENVELOPE, &["payload"]).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    only(document, &["payloadType", "signatures"])?;
    let signatures =
        document.get("signatures").and_then(Value::as_array).ok_or(Fault::SignatureCount)?;
    let [signature] = signatures.as_slice() else { return Err(Fault::SignatureCount) };
    let signature = signature.as_object().ok_or(Fault::Malformed)?;
    only(signature, &["keyid", "sig"])?;
    // It says which key to try; nobody signed it.
    signature.get("keyid").map_or(Ok(""), |hint| hint.as_str().ok_or(Fault::Malformed))?;
    let payload = payload.as_ref().and_then(|span| span.text(envelope)).ok_or(Fault::Malformed)?;
    let content = statement(text(document, "payloadType")?, &payload)?;
    let beside = LayerAnnotations::read(annotations)?;
    assemble(decoded(signature, "sig")?, content, beside.parts(Some(envelope)))
}

impl LayerAnnotations {
    /// Reads the annotations of a layer. An empty one is an absent one, as it is to cosign.
    pub(in crate::verify) fn read(annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        let annotation = |name: &str| match annotations.get(name).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(long) if long.len() > ANNOTATION_MAX => {
                Err(beyond("bytes in an annotation", ANNOTATION_MAX))
            }
            Some(text) => Ok(Some(text)),
        };
        let certificate = annotation(CERTIFICATE)?.map(|pem| certificates(pem, 1)).transpose()?;
        let chain = annotation(CHAIN)?
            .map(|pem| certificates(pem, CHAIN_MAX))
            .transpose()?
            .unwrap_or_default();
        let certificate = certificate.and_then(|mut one| one.pop());
        if certificate.is_none() && !chain.is_empty() {
            return Err(Fault::NoCertificate);
        }
        let entry = annotation(BUNDLE)?.map(log_entry).transpose()?;
        // A key's signature counts without the log, and an entry of a kind that nobody reads says
        // nothing of it.
        let entry = entry.filter(|(kind, _)| *kind != Kind::Other || certificate.is_some());
        let timestamp = annotation(TIMESTAMP)?.map(timestamp).transpose()?;
        Ok(Self { certificate, chain, entry, timestamp })
    }

    /// What it is to a signature, over an attestation's envelope if that is given. As a bundle
    /// v0.1, which asks for a log's promise, where there is one.
    pub(in crate::verify) fn parts(self, envelope: Option<&[u8]>) -> AttachedParts {
        let over = || match envelope {
            // Cosign had the envelope stamped as a whole, where bundles have the signature stamped.
            Some(envelope) => {
                TimestampedObject::Envelope(Arc::new(SignatureBytes::from_bytes(envelope)))
            }
            None => TimestampedObject::Signature,
        };
        AttachedParts {
            version: if self.entry.is_some() { MediaType::Bundle0_1 } else { MediaType::Bundle0_2 },
            chain: self.certificate.map(|der| std::iter::once(der).chain(self.chain).collect()),
            entries: self.entry.into_iter().collect(),
            timestamps: self
                .timestamp
                .into_iter()
                .map(|token| AttachedTimestamp { token, over: over() })
                .collect(),
            envelope: envelope.map(|envelope| Sha256::digest(envelope).into()),
        }
    }
}

/// At least one certificate, and at most so many, and nothing else.
fn certificates(text: &str, limit: usize) -> Result<Vec<Vec<u8>>, Fault> {
    let blocks = pem::blocks(text.as_bytes(), limit).map_err(|fault| match fault {
        PemFault::NotPem => Fault::NoCertificate,
        PemFault::TooMany => beyond("certificates", limit),
        PemFault::Encoding => Fault::Encoding,
    })?;
    if blocks.iter().any(|block| block.label != "CERTIFICATE") {
        return Err(Fault::Certificate);
    }
    Ok(blocks.into_iter().map(|block| block.der).collect())
}

/// A log entry with the log's promise to include it.
fn log_entry(annotation: &str) -> Result<(Kind, TransparencyLogEntry), Fault> {
    let value = json::parse(annotation.as_bytes(), SMALL).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    only(document, &["SignedEntryTimestamp", "Payload"])?;
    let payload = object(document, "Payload")?;
    only(payload, &["body", "integratedTime", "logIndex", "logID"])?;
    let integrated =
        payload.get("integratedTime").and_then(Value::as_i64).ok_or(Fault::Malformed)?;
    let index = payload.get("logIndex").and_then(Value::as_u64).ok_or(Fault::Malformed)?;
    let body = decoded(payload, "body")?;
    let kind = kind(&body)?;
    let entry = TransparencyLogEntry::new(
        LogIndex::new(index).map_err(|_| Fault::Malformed)?,
        LogId::new(log_id(text(payload, "logID")?)?),
        kind.stand_in(),
        CanonicalizedBody::new(body),
    );
    if integrated <= 0 {
        return Err(Fault::Malformed);
    }
    let time = Timestamp::from_second(integrated).map_err(|_| Fault::Malformed)?;
    let promise =
        InclusionPromise::new(SignedTimestamp::new(decoded(document, "SignedEntryTimestamp")?));
    Ok((kind, entry.with_integrated_time(time).with_inclusion_promise(promise)))
}

/// What an entry's body says that it is.
fn kind(body: &[u8]) -> Result<Kind, Fault> {
    let body = json::parse(body, BODY).map_err(fault)?;
    let body = body.as_object().ok_or(Fault::Malformed)?;
    let kind = Kind::named(text(body, "kind")?, text(body, "apiVersion")?);
    // The second version of the log promises nothing, and so cannot have made one.
    Ok(if kind == Kind::Current(KindVersion::HashedRekordV002) { Kind::Other } else { kind })
}

/// The SHA-256 of the log's key, in lower case.
fn log_id(hex: &str) -> Result<LogKeyId, Fault> {
    let id = hex::decode(hex).map_err(|_| Fault::Malformed)?;
    if id.len() == 32 && hex::encode(&id) == hex {
        Ok(LogKeyId::new(id))
    } else {
        Err(Fault::Malformed)
    }
}

fn timestamp(annotation: &str) -> Result<TimestampToken, Fault> {
    let value = json::parse(annotation.as_bytes(), SMALL).map_err(fault)?;
    let document = value.as_object().ok_or(Fault::Malformed)?;
    only(document, &["SignedRFC3161Timestamp"])?;
    Ok(TimestampToken::new(decoded(document, "SignedRFC3161Timestamp")?))
}

/// Canonical base64 (RFC 4648 section 4, padded, no stray bits).
fn decoded(parent: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(text(parent, name)?).map_err(|_| Fault::Encoding)
}
