//! [`TrustRoot`]: a Sigstore `trusted_root.json`, parsed and prepared: certificate authorities,
//! certificate logs, transparency logs and timestamp authorities with the windows in which each may
//! speak.
//!
//! Nothing here reads the file.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sigstore_trust_root::TrustedRoot;
use sigstore_trust_root::trusted_root::CertChain;
use sigstore_types::TimeRange;
use sigstore_verify::Verifier;

use super::error::{MEDIA_TYPES, ROOT_MAX, RootError};
use super::issuers::Issuers;
use super::sct::CertificateLogs;
use super::witness::Witnesses;
use crate::image::json::{self, Limits};
use crate::verify::primitives::leaf;

/// Depth: six; values: a few dozen for each authority and log.
const LIMITS: Limits = Limits { bytes: ROOT_MAX, depth: 16, values: 16_384, free: &[] };

/// What a Sigstore instance is trusted by.
pub struct TrustRoot {
    id: RootId,
    root: TrustedRoot,
    verifier: Verifier,
    witnesses: Witnesses,
    issuers: Issuers,
    certificate_logs: CertificateLogs,
}

/// What a trust root is called in memory and in generations: the SHA-256 of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId([u8; 32]);

impl TrustRoot {
    /// Reads a `trusted_root.json` (sigstore/protobuf-specs, `sigstore_trustroot.proto`, in its
    /// JSON form).
    ///
    /// An authority may speak no longer than each certificate of its chain is valid, whatever the
    /// file says: a path is built from the signing certificate to any of them, and an intermediate
    /// that had expired, or was not yet valid, must not vouch (attack C1).
    ///
    /// # Errors
    /// [`RootError`] says what is wrong with it.
    pub fn parse(json: &[u8]) -> Result<Self, RootError> {
        if json.len() > ROOT_MAX {
            return Err(RootError::TooLong);
        }
        let value = json::parse(json, LIMITS).map_err(RootError::Json)?;
        let media_type = value.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        if !MEDIA_TYPES.contains(&media_type) {
            return Err(RootError::MediaType(media_type.to_owned()));
        }
        if let Some(name) = misspelt(&value) {
            return Err(RootError::Malformed(format!(
                "a field \"{name}\", expected names such as \"validFor\""
            )));
        }
        let mut root: TrustedRoot = serde_json::from_value(value)
            .map_err(|error| RootError::Malformed(error.to_string()))?;
        // Before anything is narrowed, so that what is wrong with the file is said.
        Verifier::new(&root).map_err(|error| RootError::Unusable(error.to_string()))?;
        narrow(&mut root)?;
        if root.tlogs.is_empty()
            && root.certificate_authorities.is_empty()
            && root.timestamp_authorities.is_empty()
        {
            return Err(RootError::Empty);
        }
        let verifier =
            Verifier::new(&root).map_err(|error| RootError::Unusable(error.to_string()))?;
        let (witnesses, issuers) = (Witnesses::of(&root)?, Issuers::of(&root)?);
        let certificate_logs = CertificateLogs::of(&root);
        Ok(Self {
            id: RootId(Sha256::digest(json).into()),
            root,
            verifier,
            witnesses,
            issuers,
            certificate_logs,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> RootId {
        self.id
    }

    /// What it holds, each authority with the window in which it may speak.
    #[must_use]
    pub fn trusted(&self) -> &TrustedRoot {
        &self.root
    }

    pub(in crate::verify) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub(in crate::verify) fn witnesses(&self) -> &Witnesses {
        &self.witnesses
    }

    pub(in crate::verify) fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    pub(in crate::verify) fn certificate_logs(&self) -> &CertificateLogs {
        &self.certificate_logs
    }
}

/// A field in the other spelling that readers of protobuf's JSON form must take as well
/// (`valid_for`), and that would be passed over here: a window would be open that was closed
/// (attack B4).
fn misspelt(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            if name.contains('_') { Some(json::shown(name)) } else { misspelt(value) }
        }),
        Value::Array(values) => values.iter().find_map(misspelt),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Cuts the window of each authority to what the certificates of its chain have in common, and
/// drops those that can never speak.
fn narrow(root: &mut TrustedRoot) -> Result<(), RootError> {
    let mut kept = Vec::new();
    for mut authority in std::mem::take(&mut root.certificate_authorities) {
        if let Some(window) = common(authority.valid_for, &authority.cert_chain)? {
            authority.valid_for = Some(window);
            kept.push(authority);
        }
    }
    root.certificate_authorities = kept;
    let mut kept = Vec::new();
    for mut authority in std::mem::take(&mut root.timestamp_authorities) {
        if let Some(window) = common(authority.valid_for, &authority.cert_chain)? {
            authority.valid_for = Some(window);
            kept.push(authority);
        }
    }
    root.timestamp_authorities = kept;
    Ok(())
}

/// The time in which the file and all certificates agree that an authority may speak; none where
/// they never do.
fn common(stated: Option<TimeRange>, chain: &CertChain) -> Result<Option<TimeRange>, RootError> {
    let unusable = |_| RootError::Unusable("a certificate in it cannot be read".to_owned());
    let mut start = stated.map_or(Timestamp::MIN, |window| window.start);
    let mut end = stated.and_then(|window| window.end).unwrap_or(Timestamp::MAX);
    for certificate in &chain.certificates {
        let x509 = leaf::parse(certificate.raw_bytes.as_bytes()).map_err(unusable)?;
        let (not_before, not_after) = leaf::validity(&x509).map_err(unusable)?;
        start = start.max(not_before);
        end = end.min(not_after);
    }
    Ok((start <= end).then(|| TimeRange::new(start, Some(end))))
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoot({})", self.id)
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}
