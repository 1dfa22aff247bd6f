//! Certificates and lists out of files.

use rustls_pki_types::TrustAnchor;
use x509_cert::der::{Reader as _, SliceReader};

use super::ca::{ALGORITHMS, Ca};
use super::der::value;
use super::error::{AUTHORITY_FILE_MAX, AuthorityError, CaFault, PARTS_MAX, Part};
use super::revocation::RevocationList;
use crate::verify::primitives::pem::{self, PemFault};

const CERTIFICATE: &str = "CERTIFICATE";
const LIST: &str = "X509 CRL";

/// Every certificate of these files.
pub(in crate::verify) fn certificates(
    part: Part,
    files: &[&[u8]],
) -> Result<Vec<Ca>, AuthorityError> {
    each(part, files, CERTIFICATE, |der| {
        let ca = Ca::read(der)?;
        let supported = ALGORITHMS
            .iter()
            .any(|known| known.public_key_alg_id().as_ref() == key_algorithm(&ca.anchor));
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
            .map(|block| {
                if block.label == expected {
                    Ok(block.der)
                } else {
                    Err(CaFault::Label(block.label))
                }
            })
            .collect(),
        Err(PemFault::NotPem) if file.first() == Some(&SEQUENCE) => Ok(vec![file.to_vec()]),
        Err(PemFault::NotPem) => Err(CaFault::NotPem),
        Err(PemFault::TooMany) => Err(CaFault::TooMany),
        Err(PemFault::Encoding) => Err(CaFault::Malformed),
    }
}

/// The AlgorithmIdentifier in a key, without its outermost header; empty when there is none.
fn key_algorithm<'a>(anchor: &'a TrustAnchor<'_>) -> &'a [u8] {
    let key = || {
        let mut reader = SliceReader::new(&anchor.subject_public_key_info).ok()?;
        value(reader.tlv_bytes().ok()?)
    };
    key().unwrap_or_default()
}
