//! [`Issuers`]: the certificate authorities of a Sigstore instance, for what `sigstore-verify`
//! cannot be shown ([`crate::verify::sigstore`]): whether one of them issued a certificate for
//! signing, and which.
//!
//! The rules are that library's (`verify_certificate_chain` there); `src/verify/tests.rs` holds the
//! two against each other.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::TimeRange;
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_cert::der::asn1::Any;
use x509_cert::der::{Encode as _, Tag};

use crate::verify::primitives::fault::Fault;
use crate::verify::sigstore::error::RootError;

/// id-kp-codeSigning, the content of its DER (RFC 5280 section 4.2.1.12).
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// Every certificate of the authorities, each with the window in which its authority may speak.
pub(in crate::verify) struct Issuers {
    anchors: Vec<(TrustAnchor<'static>, Option<TimeRange>)>,
}

impl Issuers {
    pub(in crate::verify) fn of(root: &TrustedRoot) -> Result<Self, RootError> {
        let mut anchors = Vec::new();
        for authority in &root.certificate_authorities {
            for certificate in &authority.cert_chain.certificates {
                let der = CertificateDer::from(certificate.raw_bytes.as_bytes());
                let anchor = anchor_from_trusted_cert(&der)
                    .map_err(|error| RootError::Unusable(error.to_string()))?;
                anchors.push((anchor.to_owned(), authority.valid_for));
            }
        }
        Ok(Self { anchors })
    }

    /// The SubjectPublicKeyInfo of whoever issued a certificate (DER) for signing code, by a path
    /// that was valid at that time and ends at an authority that might speak then.
    pub(in crate::verify) fn of_certificate(
        &self,
        certificate: &[u8],
        untrusted_chain: &[&[u8]],
        at: jiff::Timestamp,
    ) -> Result<Vec<u8>, Fault> {
        let may_speak =
            |window: &Option<TimeRange>| window.is_none_or(|window| window.contains(at));
        let anchors: Vec<_> = self
            .anchors
            .iter()
            .filter(|(_, window)| may_speak(window))
            .map(|(anchor, _)| anchor.clone())
            .collect();
        let chain: Vec<_> = untrusted_chain.iter().map(|der| CertificateDer::from(*der)).collect();
        let certificate = CertificateDer::from(certificate);
        let leaf = EndEntityCert::try_from(&certificate).map_err(|_| Fault::Certificate)?;
        let seconds = u64::try_from(at.as_second()).map_err(|_| Fault::CertificateExpired)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (algorithms, usage) =
            (sigstore_crypto::WEBPKI_VERIFICATION_ALGS, KeyUsage::required(CODE_SIGNING));
        let path = leaf.verify_for_usage(algorithms, &anchors, &chain, time, usage, None, None);
        issuer(&path.map_err(|error| fault(&error))?)
    }
}

/// The key above the certificate in a path.
fn issuer(path: &VerifiedPath<'_>) -> Result<Vec<u8>, Fault> {
    match path.intermediate_certificates().next() {
        Some(issuer) => Ok(issuer.subject_public_key_info().as_ref().to_vec()),
        // An anchor has it without its outermost header.
        None => Any::new(Tag::Sequence, path.anchor().subject_public_key_info.as_ref())
            .and_then(|key| key.to_der())
            .map_err(|_| Fault::CertificateChain),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "webpki's errors are many and more may come")]
fn fault(error: &Error) -> Fault {
    match error {
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => Fault::CertificateExpired,
        _ => Fault::CertificateChain,
    }
}
