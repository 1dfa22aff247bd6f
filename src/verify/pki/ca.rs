//! [`Ca`]: one certificate of an authority, and what is checked of it.

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use webpki::aws_lc_rs as algorithm;
use x509_cert::der::Decode as _;
use x509_cert::der::flagset::FlagSet;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::time::Time;

use super::der::timestamp;
use super::error::CaFault;

/// How certificates and lists may be signed: ECDSA over the NIST curves, Ed25519, and RSA with 2048
/// to 8192 bits, both PKCS #1 v1.5 and PSS, all with SHA-2.
pub(super) static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithm::ECDSA_P256_SHA256,
    algorithm::ECDSA_P256_SHA384,
    algorithm::ECDSA_P256_SHA512,
    algorithm::ECDSA_P384_SHA256,
    algorithm::ECDSA_P384_SHA384,
    algorithm::ECDSA_P384_SHA512,
    algorithm::ECDSA_P521_SHA256,
    algorithm::ECDSA_P521_SHA384,
    algorithm::ECDSA_P521_SHA512,
    algorithm::ED25519,
    algorithm::RSA_PKCS1_2048_8192_SHA256,
    algorithm::RSA_PKCS1_2048_8192_SHA384,
    algorithm::RSA_PKCS1_2048_8192_SHA512,
    algorithm::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    algorithm::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    algorithm::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// One certificate of a CA, and what is checked of it here.
pub(super) struct Ca {
    pub(super) der: CertificateDer<'static>,
    pub(super) anchor: TrustAnchor<'static>,
    /// The subject, for people.
    pub(super) name: String,
    /// First and last second in which it may be used (RFC 5280 section 4.1.2.5: both belong to it).
    pub(super) validity: (jiff::Timestamp, jiff::Timestamp),
    /// What its key may be used for; anything where it does not say.
    pub(super) usage: Option<FlagSet<KeyUsages>>,
    /// Most intermediates below it.
    pub(super) path_length: Option<u8>,
}

impl Ca {
    pub(super) fn read(der: &[u8]) -> Result<Self, CaFault> {
        let der = CertificateDer::from(der.to_vec());
        let anchor =
            webpki::anchor_from_trusted_cert(&der).map_err(|_| CaFault::Malformed)?.to_owned();
        let certificate =
            x509_cert::Certificate::from_der(&der).map_err(|_| CaFault::Malformed)?.tbs_certificate;
        let name = certificate.subject.to_string();
        let constraints = certificate.get::<BasicConstraints>().map_err(|_| CaFault::Malformed)?;
        let Some((_, BasicConstraints { ca: true, path_len_constraint })) = constraints else {
            return Err(CaFault::NotCa(name));
        };
        let time = |time: Time| timestamp(time).ok_or(CaFault::Malformed);
        let validity =
            (time(certificate.validity.not_before)?, time(certificate.validity.not_after)?);
        let usage = certificate
            .get::<KeyUsage>()
            .map_err(|_| CaFault::Malformed)?
            .map(|(_, usage)| usage.0);
        Ok(Self { der, anchor, name, validity, usage, path_length: path_len_constraint })
    }

    /// Whether its key may be used so; one without a key usage may be used for anything (RFC 5280
    /// section 4.2.1.3).
    pub(super) fn may(&self, usage: KeyUsages) -> bool {
        self.usage.is_none_or(|allowed| allowed.contains(usage))
    }
}
