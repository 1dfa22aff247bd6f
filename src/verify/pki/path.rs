//! [`Authority::vouches`]: from a signing certificate up to a root (RFC 5280 section 6).

use std::cell::Cell;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{Cert, EndEntityCert, Error, KeyUsage as ExtendedKeyUsage, VerifiedPath};
use x509_cert::TbsCertificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::{CrlDistributionPoints, KeyUsage, KeyUsages};

use super::Authority;
use super::ca::{ALGORITHMS, Ca};
use super::revocation::{self, Status, Subject};
use crate::verify::primitives::fault::{Fault, beyond};

/// Most certificates that a signature brings besides its own: a chain of two intermediates and a
/// root is long.
pub(in crate::verify) const CHAIN_MAX: usize = 7;
/// Longest certificate of a signature, in bytes: with 8192-bit keys and long names under 6 KB.
pub(in crate::verify) const CERTIFICATE_MAX: usize = 64 * 1024;
/// id-kp-codeSigning, the content of its DER (RFC 5280 section 4.2.1.12).
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// Why an authority does not vouch for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Distrust {
    /// More or larger certificates than are read.
    TooLong,
    /// The certificate, or one of its path, cannot be read.
    Malformed,
    /// No path to a root that is made of certificates whose signatures hold.
    Untrusted,
    NotYetValid,
    Expired,
    /// A key that is not for this use.
    Usage,
    /// A name or a path length that a CA of the path does not allow.
    Constraint,
    Revoked,
    /// The lists that speak for it are not of now.
    RevocationStale,
    /// No list speaks for it.
    RevocationUnknown,
}

impl From<Distrust> for Fault {
    fn from(distrust: Distrust) -> Self {
        match distrust {
            Distrust::TooLong => beyond("certificates above it", CHAIN_MAX),
            Distrust::Malformed => Self::Certificate,
            Distrust::Untrusted | Distrust::Usage | Distrust::Constraint => Self::CertificateChain,
            Distrust::NotYetValid | Distrust::Expired => Self::CertificateExpired,
            Distrust::Revoked => Self::CertificateRevoked,
            Distrust::RevocationStale | Distrust::RevocationUnknown => Self::RevocationUnknown,
        }
    }
}

impl Authority {
    /// Whether this authority vouches for a certificate (DER) at a time, `at`: when the signature
    /// is proven to have existed, or now.
    ///
    /// Every certificate of the path is valid at that time, root included (attack C1), within the
    /// name constraints and path lengths of those above it; its key usage, where it has one, is to
    /// sign (`digitalSignature`; for CAs `keyCertSign`); its extended key usage, where it has one,
    /// is code signing.
    ///
    /// Revocation is judged at `now`, whenever the signature was made (RFC 5280 section 6.1.3, a,
    /// 3): a certificate that is revoked today vouches for nothing, for a key that leaked may have
    /// been anyone's long before. Once the authority has lists, the issuer of the signing
    /// certificate must have a current one that speaks for it; an intermediate's issuer must when
    /// there is any of its.
    ///
    /// # Errors
    /// [`Fault`] when it does not, or when that cannot be told.
    pub(in crate::verify) fn vouches(
        &self,
        certificate: &[u8],
        untrusted_chain: &[&[u8]],
        at: jiff::Timestamp,
        now: jiff::Timestamp,
    ) -> Result<(), Fault> {
        self.path(certificate, untrusted_chain, at, now).map_err(Fault::from)
    }

    pub(in crate::verify) fn path(
        &self,
        certificate: &[u8],
        untrusted_chain: &[&[u8]],
        at: jiff::Timestamp,
        now: jiff::Timestamp,
    ) -> Result<(), Distrust> {
        let long = |der: &[u8]| der.len() > CERTIFICATE_MAX;
        if untrusted_chain.len() > CHAIN_MAX
            || long(certificate)
            || untrusted_chain.iter().any(|der| long(der))
        {
            return Err(Distrust::TooLong);
        }
        let time = u64::try_from(at.as_second()).map_err(|_| Distrust::NotYetValid)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        let certificate = CertificateDer::from(certificate);
        let leaf = EndEntityCert::try_from(&certificate).map_err(|_| Distrust::Malformed)?;
        let own = self.intermediates.iter().map(|ca| CertificateDer::from(ca.der.as_ref()));
        let candidates: Vec<_> =
            own.chain(untrusted_chain.iter().map(|der| CertificateDer::from(*der))).collect();
        let refused = Cell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            let judged = self.judge(path, at, now);
            judged.map_err(|distrust| {
                refused.set(Some(distrust));
                Error::UnknownIssuer
            })
        };
        let usage = ExtendedKeyUsage::required_if_present(CODE_SIGNING);
        let path = leaf.verify_for_usage(
            ALGORITHMS,
            &self.anchors,
            &candidates,
            time,
            usage,
            None,
            Some(&judge),
        );
        // What was found out about a whole path says more than why the others were none.
        path.map(|_| ()).map_err(|error| refused.get().unwrap_or_else(|| distrust(&error)))
    }

    /// What webpki leaves to its caller, of a path whose signatures, times and constraints hold.
    fn judge(
        &self,
        path: &VerifiedPath<'_>,
        at: jiff::Timestamp,
        now: jiff::Timestamp,
    ) -> Result<(), Distrust> {
        let intermediates: Vec<&Cert<'_>> = path.intermediate_certificates().collect();
        self.root_allows(path, &intermediates, at)?;
        let chain: Vec<&Cert<'_>> =
            std::iter::once::<&Cert<'_>>(path.end_entity()).chain(intermediates).collect();
        for (depth, certificate) in chain.iter().enumerate() {
            let is_ca = depth > 0;
            let fields = fields(certificate)?;
            usable(
                &fields,
                if is_ca { KeyUsages::KeyCertSign } else { KeyUsages::DigitalSignature },
            )?;
            if self.lists.is_empty() {
                continue;
            }
            let points = fields.get::<CrlDistributionPoints>().map_err(|_| Distrust::Malformed)?;
            let points = points.map(|(_, points)| points.0).unwrap_or_default();
            let subject = Subject { certificate, is_ca, points };
            let key = match chain.get(depth.saturating_add(1)) {
                Some(issuer) => key(issuer)?,
                None => path.anchor().subject_public_key_info.to_vec(),
            };
            match revocation::status(&self.lists, (certificate.issuer(), &key), &subject, now) {
                Status::Good => {}
                Status::Unlisted if is_ca => {}
                Status::Revoked => return Err(Distrust::Revoked),
                Status::Stale => return Err(Distrust::RevocationStale),
                Status::Unlisted | Status::OutOfScope => return Err(Distrust::RevocationUnknown),
            }
        }
        Ok(())
    }

    /// Whether the root at the end of a path may be used at that time and so far up. Of a root that
    /// was issued twice for one key either will do.
    fn root_allows(
        &self,
        path: &VerifiedPath<'_>,
        intermediates: &[&Cert<'_>],
        at: jiff::Timestamp,
    ) -> Result<(), Distrust> {
        // A CA's certificate for itself, under a new key, does not count (RFC 5280 section 6.1.4,
        // l).
        let length = intermediates.iter().filter(|ca| ca.issuer() != ca.subject()).count();
        let mut distrust = Distrust::Untrusted;
        for root in self.roots.iter().filter(|root| root.anchor == *path.anchor()) {
            match root.allows(length, at) {
                Ok(()) => return Ok(()),
                Err(refused) => distrust = refused,
            }
        }
        Err(distrust)
    }
}

impl Ca {
    fn allows(&self, intermediates: usize, at: jiff::Timestamp) -> Result<(), Distrust> {
        let (not_before, not_after) = self.validity;
        if at < not_before {
            return Err(Distrust::NotYetValid);
        }
        if at.as_second() > not_after.as_second() {
            return Err(Distrust::Expired);
        }
        if self.path_length.is_some_and(|longest| intermediates > usize::from(longest)) {
            return Err(Distrust::Constraint);
        }
        if self.may(KeyUsages::KeyCertSign) { Ok(()) } else { Err(Distrust::Usage) }
    }
}

fn fields(certificate: &Cert<'_>) -> Result<TbsCertificate, Distrust> {
    let certificate =
        x509_cert::Certificate::from_der(&certificate.der()).map_err(|_| Distrust::Malformed)?;
    Ok(certificate.tbs_certificate)
}

/// Whether a certificate's key may be used so; one without a key usage may be used for anything
/// (RFC 5280 section 4.2.1.3).
fn usable(certificate: &TbsCertificate, usage: KeyUsages) -> Result<(), Distrust> {
    let allowed = certificate.get::<KeyUsage>().map_err(|_| Distrust::Malformed)?;
    if allowed.is_none_or(|(_, allowed)| allowed.0.contains(usage)) {
        Ok(())
    } else {
        Err(Distrust::Usage)
    }
}

/// A key as anchors have it: without its outermost header.
fn key(certificate: &Cert<'_>) -> Result<Vec<u8>, Distrust> {
    let key = certificate.subject_public_key_info();
    let value = super::der::value(&key).ok_or(Distrust::Malformed)?;
    Ok(value.to_vec())
}

#[allow(clippy::wildcard_enum_match_arm, reason = "webpki's errors are many and more may come")]
fn distrust(error: &Error) -> Distrust {
    match error {
        Error::CertExpired { .. } | Error::InvalidCertValidity => Distrust::Expired,
        Error::CertNotValidYet { .. } => Distrust::NotYetValid,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Distrust::Usage,
        Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa => Distrust::Usage,
        Error::NameConstraintViolation | Error::PathLenConstraintViolated => Distrust::Constraint,
        _ => Distrust::Untrusted,
    }
}
