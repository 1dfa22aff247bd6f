//! Certificates and lists out of files.

use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::time::Time;

use super::revocation::RevocationList;
use super::{ALGORITHMS, AUTHORITY_FILE_MAX, AuthorityError, Ca, CaFault, PARTS_MAX, Part};
use crate::verify::pem::{self, PemFault};

const CERTIFICATE: &str = "CERTIFICATE";
const LIST: &str = "X509 CRL";

/// Every certificate of these files.
pub(in crate::verify) fn certificates(part: Part, files: &[&[u8]]) -> Result<Vec<Ca>, AuthorityError> {
    each(part, files, CERTIFICATE, |der| {
        let ca = Ca::read(der)?;
        let supported = ALGORITHMS.iter().any(|known| known.public_key_alg_id().as_ref() == key_algorithm(&ca.anchor));
        if supported { Ok(ca) } else { Err(CaFault::Algorithm) }
    })
}

/// Every list of these files, each with the key of these CAs that signed it.
pub(in crate::verify) fn lists(
    files: &[&[u8]],
    roots: &[Ca],
    intermediates: &[Ca],
) -> Result<Vec<RevocationList>, AuthorityError> {
    let cas: Vec<&Ca> = roots.iter().chain(intermediates).collect();
    each(Part::RevocationList, files, LIST, |der| RevocationList::read(der, &cas))
}

fn each<T>(
    part: Part,
    files: &[&[u8]],
    label: &str,
    read: impl Fn(&[u8]) -> Result<T, CaFault>,
) -> Result<Vec<T>, AuthorityError> {
    let mut all = Vec::new();
    for (file, bytes) in files.iter().enumerate() {
        let error = |fault| AuthorityError::File { part, file, fault };
        for der in contents(bytes, label).map_err(error)? {
            if all.len() == PARTS_MAX {
                return Err(error(CaFault::TooMany));
            }
            all.push(read(&der).map_err(error)?);
        }
    }
    Ok(all)
}

/// The blocks of a PEM file, or a DER file whole: CAs publish their lists in DER.
fn contents(file: &[u8], expected: &str) -> Result<Vec<Vec<u8>>, CaFault> {
    const SEQUENCE: u8 = 0x30;
    if file.len() > AUTHORITY_FILE_MAX {
        return Err(CaFault::TooLong);
    }
    match pem::blocks(file, PARTS_MAX) {
        Ok(blocks) => blocks
            .into_iter()
            .map(|block| if block.label == expected { Ok(block.der) } else { Err(CaFault::Label(block.label)) })
            .collect(),
        Err(PemFault::NotPem) if file.first() == Some(&SEQUENCE) => Ok(vec![file.to_vec()]),
        Err(PemFault::NotPem) => Err(CaFault::NotPem),
        Err(PemFault::TooMany) => Err(CaFault::TooMany),
        Err(PemFault::Encoding) => Err(CaFault::Malformed),
    }
}

impl Ca {
    fn read(der: &[u8]) -> Result<Self, CaFault> {
        let der = CertificateDer::from(der.to_vec());
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| CaFault::Malformed)?.to_owned();
        let certificate = x509_cert::Certificate::from_der(&der).map_err(|_| CaFault::Malformed)?.tbs_certificate;
        let name = certificate.subject.to_string();
        let constraints = certificate.get::<BasicConstraints>().map_err(|_| CaFault::Malformed)?;
        let Some((_, BasicConstraints { ca: true, path_len_constraint })) = constraints else {
            return Err(CaFault::NotCa(name));
        };
        let time = |time: Time| timestamp(time).ok_or(CaFault::Malformed);
        let validity = (time(certificate.validity.not_before)?, time(certificate.validity.not_after)?);
        let usage = certificate.get::<KeyUsage>().map_err(|_| CaFault::Malformed)?.map(|(_, usage)| usage.0);
        Ok(Self { der, anchor, name, validity, usage, path_length: path_len_constraint })
    }

    /// Whether its key may be used so; one without a key usage may be used for anything (RFC 5280 section 4.2.1.3).
    pub(in crate::verify) fn may(&self, usage: KeyUsages) -> bool {
        self.usage.is_none_or(|allowed| allowed.contains(usage))
    }
}

/// A time of X.509, whose resolution is one second.
pub(in crate::verify) fn timestamp(time: Time) -> Option<jiff::Timestamp> {
    let seconds = time.to_unix_duration().as_secs();
    jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// The AlgorithmIdentifier in a key, without its outermost header; empty when there is none.
fn key_algorithm<'a>(anchor: &'a TrustAnchor<'_>) -> &'a [u8] {
    let key = || {
        let mut reader = SliceReader::new(&anchor.subject_public_key_info).ok()?;
        value(reader.tlv_bytes().ok()?)
    };
    key().unwrap_or_default()
}

/// What a DER element holds.
pub(in crate::verify) fn value(element: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(element).ok()?;
    let length = reader.decode::<x509_cert::der::Header>().ok()?.length;
    let value = reader.read_slice(length).ok()?;
    reader.is_finished().then_some(value)
}
