//! [`RevocationList`]: who signed it, for which certificates it speaks, and what it says (RFC 5280
//! sections 5 and 6.3).
//!
//! A list is bound to the key that signed it, not to a name: of two CAs with one name each has its
//! own lists. Its content is parsed after its signature was checked (attack C5).

use rustls_pki_types::TrustAnchor;
use webpki::{Cert, CertRevocationList, Error, OwnedCertRevocationList};
use x509_cert::der::asn1::BitStringRef;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::ext::pkix::crl::dp::{DistributionPoint, IssuingDistributionPoint};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::ca::{ALGORITHMS, Ca};
use super::der::{timestamp, value};
use super::error::CaFault;

/// A list whose signature holds.
pub(in crate::verify) struct RevocationList {
    pub(in crate::verify) der: Vec<u8>,
    /// Its issuer, for people.
    pub(in crate::verify) issuer: String,
    /// The subject and the key of the CA that signed it, as webpki gives them.
    signer: (Vec<u8>, Vec<u8>),
    this_update: jiff::Timestamp,
    pub(in crate::verify) next_update: jiff::Timestamp,
    scope: Option<IssuingDistributionPoint>,
    list: CertRevocationList<'static>,
}

/// A list as bytes: what is signed, and the signature. Nothing of it is believed.
struct UntrustedList<'l> {
    signed: &'l [u8],
    algorithm: &'l [u8],
    signature: &'l [u8],
}

/// What is to be known about one certificate of a path.
pub(in crate::verify) struct Subject<'c> {
    pub(in crate::verify) certificate: &'c Cert<'c>,
    pub(in crate::verify) is_ca: bool,
    /// Where its issuer says that its lists are to be had; empty where it says nothing.
    pub(in crate::verify) points: Vec<DistributionPoint>,
}

/// What lists say of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Status {
    /// There is no list of its issuer at all.
    Unlisted,
    /// A current list does not name it.
    Good,
    Revoked,
    /// No list that speaks for it is of now: `nextUpdate` has passed, or `thisUpdate` has not come.
    Stale,
    /// Its issuer has lists, and none speaks for it.
    OutOfScope,
}

impl RevocationList {
    /// Reads a list that one of these CAs signed.
    pub(in crate::verify) fn read(der: &[u8], cas: &[&Ca]) -> Result<Self, CaFault> {
        let untrusted = UntrustedList::split(der).ok_or(CaFault::Malformed)?;
        let known = |algorithm: &[u8]| {
            ALGORITHMS.iter().any(|known| known.signature_alg_id().as_ref() == algorithm)
        };
        if !known(untrusted.algorithm) {
            return Err(CaFault::Algorithm);
        }
        let list =
            || OwnedCertRevocationList::from_der(der).map(CertRevocationList::from).map_err(fault);
        for ca in cas.iter().filter(|ca| untrusted.is_signed_by(&ca.anchor)) {
            let list = list()?;
            if list.issuer() != &*ca.anchor.subject {
                continue;
            }
            // RFC 5280 section 6.3.3, f.
            if !ca.may(KeyUsages::CRLSign) {
                return Err(CaFault::NotListSigner(ca.name.clone()));
            }
            return Self::signed(der, &ca.anchor, &untrusted, list).ok_or(CaFault::Malformed);
        }
        Err(CaFault::ForeignList)
    }

    fn signed(
        der: &[u8],
        ca: &TrustAnchor<'_>,
        untrusted: &UntrustedList<'_>,
        list: CertRevocationList<'static>,
    ) -> Option<Self> {
        let scope = list.issuing_distribution_point().map(IssuingDistributionPoint::from_der);
        let (issuer, this_update, next_update) = untrusted.head()?;
        Some(Self {
            der: der.to_vec(),
            issuer,
            signer: (ca.subject.to_vec(), ca.subject_public_key_info.to_vec()),
            this_update: timestamp(this_update)?,
            next_update: timestamp(next_update)?,
            scope: scope.transpose().ok()?,
            list,
        })
    }

    fn is_current(&self, now: jiff::Timestamp) -> bool {
        (self.this_update..self.next_update).contains(&now)
    }

    /// Whether it speaks for this certificate of its issuer (RFC 5280 section 6.3.3, b).
    fn covers(&self, subject: &Subject<'_>) -> bool {
        let Some(scope) = &self.scope else { return true };
        let kind = if subject.is_ca {
            !scope.only_contains_user_certs
        } else {
            !scope.only_contains_ca_certs
        };
        let Some(name) = &scope.distribution_point else { return kind };
        kind && (subject.points.is_empty()
            || subject.points.iter().any(|point| same_point(name, point)))
    }

    fn names(&self, subject: &Subject<'_>) -> bool {
        // A list that cannot be searched says nothing good of anyone.
        !matches!(self.list.find_serial(subject.certificate.serial()), Ok(None))
    }
}

/// What these lists say of a certificate whose issuer has this subject and this key. Once revoked
/// is revoked, whatever else is there: a list that says so counts even when it is old.
pub(in crate::verify) fn status(
    lists: &[RevocationList],
    issuer: (&[u8], &[u8]),
    subject: &Subject<'_>,
    now: jiff::Timestamp,
) -> Status {
    let of_issuer =
        |list: &&RevocationList| (list.signer.0.as_slice(), list.signer.1.as_slice()) == issuer;
    let mut status = Status::Unlisted;
    for list in lists.iter().filter(of_issuer) {
        if status == Status::Unlisted {
            status = Status::OutOfScope;
        }
        if !list.covers(subject) {
            continue;
        }
        if list.names(subject) {
            return Status::Revoked;
        }
        if list.is_current(now) {
            status = Status::Good;
        } else if status != Status::Good {
            status = Status::Stale;
        }
    }
    status
}

impl<'l> UntrustedList<'l> {
    /// `CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm, signatureValue }` (RFC 5280
    /// section 5.1).
    fn split(der: &'l [u8]) -> Option<Self> {
        let mut reader = SliceReader::new(value(der)?).ok()?;
        let signed = reader.tlv_bytes().ok()?;
        let algorithm = value(reader.tlv_bytes().ok()?)?;
        let signature = reader.decode::<BitStringRef<'l>>().ok()?.as_bytes()?;
        reader.is_finished().then_some(Self { signed, algorithm, signature })
    }

    fn is_signed_by(&self, ca: &TrustAnchor<'_>) -> bool {
        let key = || {
            let mut reader = SliceReader::new(&ca.subject_public_key_info).ok()?;
            let algorithm = value(reader.tlv_bytes().ok()?)?;
            Some((algorithm, reader.decode::<BitStringRef<'_>>().ok()?.as_bytes()?))
        };
        let Some((key_algorithm, key)) = key() else { return false };
        ALGORITHMS.iter().any(|known| {
            known.public_key_alg_id().as_ref() == key_algorithm
                && known.signature_alg_id().as_ref() == self.algorithm
                && known.verify_signature(key, self.signed, self.signature).is_ok()
        })
    }

    /// `TBSCertList`: version, signature, issuer, thisUpdate, nextUpdate; webpki has seen to it
    /// that all are there.
    fn head(&self) -> Option<(String, Time, Time)> {
        let mut reader = SliceReader::new(value(self.signed)?).ok()?;
        reader.tlv_bytes().ok()?;
        reader.tlv_bytes().ok()?;
        let issuer = reader.decode::<Name>().ok()?.to_string();
        Some((issuer, reader.decode().ok()?, reader.decode().ok()?))
    }
}

/// Whether a list is one that a distribution point names, by any of its URIs.
fn same_point(list: &DistributionPointName, point: &DistributionPoint) -> bool {
    let uris = |name: &DistributionPointName| match name {
        DistributionPointName::FullName(names) => names.iter().filter_map(uri).collect(),
        DistributionPointName::NameRelativeToCRLIssuer(_) => Vec::new(),
    };
    let listed: Vec<String> = uris(list);
    point
        .distribution_point
        .as_ref()
        .is_some_and(|name| uris(name).iter().any(|uri| listed.contains(uri)))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "a name of any other kind is no URI")]
fn uri(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str().to_owned()),
        _ => None,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "webpki's errors are many and more may come")]
fn fault(error: Error) -> CaFault {
    match error {
        Error::UnsupportedCrlVersion
        | Error::UnsupportedDeltaCrl
        | Error::UnsupportedIndirectCrl
        | Error::UnsupportedRevocationReasonsPartitioning
        | Error::UnsupportedCrlIssuingDistributionPoint
        | Error::UnsupportedCriticalExtension => CaFault::UnsupportedList,
        _ => CaFault::Malformed,
    }
}
