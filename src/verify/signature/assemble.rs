//! Puts together what the formats read: [`assemble`] makes the [`Parsed`], [`statement`] the content of
//! an envelope.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sigstore_types::TransparencyLogEntry;

use super::attached::{Attached, AttachedParts, LOG_ENTRIES_MAX, TIMESTAMPS_MAX};
use super::log::{Entry, Kind, LoggedSignature};
use super::untrusted::{Material, Parsed};
use crate::verify::primitives::content::Content;
use crate::verify::primitives::fault::{Fault, beyond};
use crate::verify::primitives::leaf::Leaf;
use crate::verify::primitives::statement;

/// The only payload that is an in-toto statement (in-toto attestation spec, `envelope.md`).
pub(in crate::verify) const STATEMENT: &str = "application/vnd.in-toto+json";

/// Takes what was read strictly together.
pub(in crate::verify) fn assemble(
    signature: Vec<u8>,
    content: Content,
    parts: AttachedParts,
) -> Result<Parsed, Fault> {
    let AttachedParts { version, chain, entries, timestamps, envelope } = parts;
    if entries.len() > LOG_ENTRIES_MAX {
        return Err(beyond("log entries", LOG_ENTRIES_MAX));
    }
    if timestamps.len() > TIMESTAMPS_MAX {
        return Err(beyond("timestamps", TIMESTAMPS_MAX));
    }
    let material = match chain {
        None => Material::Key,
        Some(chain) => {
            Material::Certificate(Leaf::read(&chain.iter().map(Vec::as_slice).collect::<Vec<_>>())?)
        }
    };
    let made = LoggedSignature { signature: &signature, content: &content, envelope };
    let entry = |(kind, logged): (Kind, TransparencyLogEntry)| Entry::new(kind, logged, made);
    let entries = entries.into_iter().map(entry).collect();
    let attached = Arc::new(Attached { version, entries, timestamps });
    Ok(Parsed { signature, content, material, attached })
}

/// The statement in an envelope, from its payload in base64: decoded once, behind what is signed
/// with it.
pub(in crate::verify) fn statement(payload_type: &str, payload: &str) -> Result<Content, Fault> {
    if payload_type != STATEMENT {
        return Err(Fault::EnvelopeType);
    }
    let padding = payload.bytes().rev().take_while(|byte| *byte == b'=').count();
    let length = (payload.len() / 4).saturating_mul(3).saturating_sub(padding);
    // DSSE, protocol.md, "PAE".
    let head = format!("DSSEv1 {} {payload_type} {length} ", payload_type.len());
    let mut signed = Vec::with_capacity(head.len().saturating_add(length).saturating_add(3));
    signed.extend_from_slice(head.as_bytes());
    STANDARD.decode_vec(payload, &mut signed).map_err(|_| Fault::Encoding)?;
    if signed.len() != head.len().saturating_add(length) {
        return Err(Fault::Encoding);
    }
    let signed = Bytes::from(signed);
    let (statement, subjects) = statement::read(signed.slice(head.len()..))?;
    Ok(Content::Statement { signed, head: head.len(), subjects, statement: Arc::new(statement) })
}
