//! How the bytes of each format become an [`Untrusted`]. A new format has its folder here beside `cosign` and `sigstore`,
//! and one function below.

use std::collections::BTreeMap;

use super::cosign::{annotations, simple_signing};
use super::primitives::fault::Fault;
use super::signature::untrusted::{ItemId, Untrusted};
use super::sigstore::bundle;

impl Untrusted {
    /// Reads one layer of a cosign `.sig` manifest: the payload blob, and the layer's annotations, of which
    /// `dev.cosignproject.cosign/signature` holds the signature, and others the evidence beside it (certificate, chain,
    /// log bundle, timestamp). Annotations of any other name are not read.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a payload in every detail.
    pub fn simple_signing(payload: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        Ok(Self { id: ItemId::of(b"sig", payload, annotations), ..simple_signing::read(payload, annotations)? })
    }

    /// Reads one layer of a cosign `.att` manifest: a DSSE envelope with an in-toto statement, and the layer's
    /// annotations (certificate, chain, log bundle, timestamp).
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such an envelope in every detail.
    pub fn attestation(envelope: &[u8], annotations: &BTreeMap<String, String>) -> Result<Self, Fault> {
        Ok(Self {
            id: ItemId::of(b"att", envelope, annotations),
            ..annotations::read_attestation(envelope, annotations)?
        })
    }

    /// Reads a Sigstore bundle, v0.1 to v0.3: made with a key or with a certificate, over an image, a statement about it,
    /// or its bytes.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a bundle in every detail.
    pub fn bundle(json: &[u8]) -> Result<Self, Fault> {
        Ok(Self { id: ItemId::of(b"bundle", json, &BTreeMap::new()), ..bundle::read(json)? })
    }
}
