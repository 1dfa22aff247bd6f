//! [`CertificateLogs`]: whether a certificate log of a Sigstore instance promised to hold a
//! certificate (RFC 6962 section 3.2, signed certificate timestamp), for what `sigstore-verify`
//! cannot be shown ([`crate::verify::sigstore`]).
//!
//! The rules are that library's (`verify_sct` there); `src/verify/tests.rs` holds the two against
//! each other.

use sha2::{Digest as _, Sha256};
use sigstore_crypto::{SigningScheme, VerificationKey};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{DerPublicKey, SignatureBytes, TimeRange};
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::der::{Decode as _, Encode as _};

use crate::verify::primitives::fault::Fault;
use crate::verify::primitives::leaf;

/// The extension that holds the timestamps (RFC 6962 section 3.3).
const TIMESTAMPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

/// The certificate logs of a trust root.
pub(in crate::verify) struct CertificateLogs {
    logs: Vec<CertificateLog>,
}

struct CertificateLog {
    id: Vec<u8>,
    key: DerPublicKey,
    window: Option<TimeRange>,
}

/// What a log signed of a certificate, as it stands in it.
struct Promise<'c> {
    log: &'c [u8],
    /// Milliseconds since 1970.
    at: u64,
    extensions: &'c [u8],
    scheme: SigningScheme,
    signature: &'c [u8],
}

impl CertificateLogs {
    pub(in crate::verify) fn of(root: &TrustedRoot) -> Self {
        let log =
            |log: &sigstore_trust_root::trusted_root::CertificateTransparencyLog| CertificateLog {
                id: log.log_id.key_id.as_bytes().to_vec(),
                key: log.public_key.raw_bytes.clone(),
                window: log.public_key.valid_for,
            };
        Self { logs: root.ctlogs.iter().map(log).collect() }
    }

    /// Whether the one timestamp in a certificate (DER) is by a log of the root at a time at which
    /// it was trusted. `issuer` is the SubjectPublicKeyInfo of whoever issued the certificate.
    pub(in crate::verify) fn check(&self, certificate: &[u8], issuer: &[u8]) -> Result<(), Fault> {
        let mut logged = leaf::parse(certificate)?.tbs_certificate;
        let extensions = logged.extensions.take().unwrap_or_default();
        let (held, others): (Vec<_>, Vec<_>) =
            extensions.into_iter().partition(|one| one.extn_id == TIMESTAMPS);
        let [held] = held.as_slice() else { return Err(Fault::Sct) };
        let list = OctetString::from_der(held.extn_value.as_bytes()).map_err(|_| Fault::Sct)?;
        let promise = Promise::read(list.as_bytes()).ok_or(Fault::Sct)?;
        // What was logged is the certificate without them, before it was signed.
        logged.extensions = Some(others);
        let logged = logged.to_der().map_err(|_| Fault::Certificate)?;
        let signed = promise.signed(issuer, &logged).ok_or(Fault::Sct)?;
        let at = i64::try_from(promise.at)
            .ok()
            .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let at = at.ok_or(Fault::Sct)?;
        let may_speak = |log: &&CertificateLog| {
            log.id == promise.log && log.window.is_none_or(|window| window.contains(at))
        };
        let log = self.logs.iter().find(may_speak).ok_or(Fault::Sct)?;
        let key = VerificationKey::from_der(&log.key, promise.scheme).map_err(|_| Fault::Sct)?;
        let signature = SignatureBytes::from_bytes(promise.signature);
        key.verify(signed, &signature).map_err(|_| Fault::Sct)
    }
}

impl<'c> Promise<'c> {
    /// The one in a `SignedCertificateTimestampList`.
    fn read(list: &'c [u8]) -> Option<Self> {
        let (list, []) = vector(list)? else { return None };
        let (one, []) = vector(list)? else { return None };
        let (0, rest) = one.split_first().map(|(version, rest)| (*version, rest))? else {
            return None;
        };
        let (log, rest) = rest.split_at_checked(32)?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (extensions, rest) = vector(rest)?;
        let ([hash, kind], rest) = rest.split_first_chunk::<2>()?;
        // RFC 5246 section 7.4.1.4.1.
        let scheme = match (*hash, *kind) {
            (4, 3) => SigningScheme::EcdsaP256Sha256,
            (5, 3) => SigningScheme::EcdsaP384Sha384,
            (4, 1) => SigningScheme::RsaPkcs1Sha256,
            (5, 1) => SigningScheme::RsaPkcs1Sha384,
            (6, 1) => SigningScheme::RsaPkcs1Sha512,
            (_, _) => return None,
        };
        let (signature, []) = vector(rest)? else { return None };
        Some(Self { log, at: u64::from_be_bytes(*at), extensions, scheme, signature })
    }

    /// What it is a signature over: version 1, a timestamp of a certificate, of one that was not
    /// signed yet.
    fn signed(&self, issuer: &[u8], certificate: &[u8]) -> Option<Vec<u8>> {
        const HEAD: [u8; 2] = [0, 0];
        const PRECERT_ENTRY: [u8; 2] = [0, 1];
        let [0, length @ ..] = u32::try_from(certificate.len()).ok()?.to_be_bytes() else {
            return None;
        };
        let extensions = u16::try_from(self.extensions.len()).ok()?.to_be_bytes();
        let issuer = Sha256::digest(issuer);
        let parts: [&[u8]; 8] = [
            &HEAD,
            &self.at.to_be_bytes(),
            &PRECERT_ENTRY,
            &issuer,
            &length,
            certificate,
            &extensions,
            self.extensions,
        ];
        Some(parts.concat())
    }
}

/// Bytes behind their length in two bytes, and the rest.
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
