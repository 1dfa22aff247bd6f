//! The frame of an RFC 3161 timestamp: what stands around the signed part, and is not signed itself
//! (RFC 5652 section 5.1). `sigstore-tsa` proves the signed part and looks at little of the rest;
//! here the rest must be what every authority writes, so that one timestamp has one form.

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader as _, Tag, Tagged as _};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::verify::primitives::fault::Fault;

/// A digest (RFC 5754 section 2) and what it is called together with ECDSA (RFC 5758 section 3.2).
const ALGORITHMS: [(ObjectIdentifier, ObjectIdentifier); 3] = [
    (oid("2.16.840.1.101.3.4.2.1"), oid("1.2.840.10045.4.3.2")),
    (oid("2.16.840.1.101.3.4.2.2"), oid("1.2.840.10045.4.3.3")),
    (oid("2.16.840.1.101.3.4.2.3"), oid("1.2.840.10045.4.3.4")),
];
/// Some authorities name their key instead (`id-ecPublicKey`), as the first version of RFC 3278 had
/// it.
const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// Refuses a timestamp whose frame is anything else than usual. Certificates in it, which prove
/// nothing, must be those of an authority's chain (`chain`, DER).
pub(in crate::verify) fn check(token: &[u8], chain: &[&[u8]]) -> Result<(), Fault> {
    framed(token, chain).filter(|usual| *usual).map(drop).ok_or(Fault::TimestampInvalid)
}

/// `None` for what cannot be read.
fn framed(token: &[u8], chain: &[&[u8]]) -> Option<bool> {
    let data =
        ContentInfo::from_der(&granted(token)?).ok()?.content.decode_as::<SignedData>().ok()?;
    let [signer] = data.signer_infos.0.as_slice() else { return Some(false) };
    let [digest] = data.digest_algorithms.as_slice() else { return Some(false) };
    let known = data.certificates.iter().flat_map(|certificates| certificates.0.iter()).all(
        |one| match one {
            CertificateChoices::Certificate(one) => {
                one.to_der().is_ok_and(|der| chain.contains(&der.as_slice()))
            }
            CertificateChoices::Other(_) => false,
        },
    );
    let usual = data.version == CmsVersion::V3
        && data.crls.is_none()
        && data.encap_content_info.econtent.as_ref()?.tag() == Tag::OctetString
        && digest.oid == signer.digest_alg.oid;
    Some(usual && known && plain(digest) && is_usual(signer))
}

fn is_usual(signer: &SignerInfo) -> bool {
    let version = match signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(_) => CmsVersion::V1,
        SignerIdentifier::SubjectKeyIdentifier(_) => CmsVersion::V3,
    };
    let algorithm = &signer.signature_algorithm.oid;
    let agree = ALGORITHMS.iter().any(|(digest, signature)| {
        signer.digest_alg.oid == *digest && (algorithm == signature || *algorithm == EC_PUBLIC_KEY)
    });
    signer.version == version
        && agree
        && plain(&signer.digest_alg)
        && signer.unsigned_attrs.is_none()
}

/// Without parameters, or with those that mean none.
fn plain(algorithm: &AlgorithmIdentifierOwned) -> bool {
    algorithm.parameters.as_ref().is_none_or(|parameters| parameters.is_null())
}

/// The token: alone, or in an answer that says it was granted as asked (RFC 3161 section 2.4.2).
fn granted(token: &[u8]) -> Option<Vec<u8>> {
    let outer = AnyRef::from_der(token).ok()?;
    let parts = outer.sequence(|reader| {
        let first = AnyRef::decode(reader)?;
        if first.tag() == Tag::ObjectIdentifier {
            AnyRef::decode(reader)?;
            return Ok(None);
        }
        Ok(Some((first, AnyRef::decode(reader)?.to_der()?)))
    });
    match parts.ok()? {
        None => Some(token.to_vec()),
        Some((status, inner)) => {
            let status = status.sequence(|reader| {
                let number = u8::decode(reader)?;
                // A text and bits that say why, which a granted one needs not.
                while !reader.is_finished() {
                    AnyRef::decode(reader)?;
                }
                Ok(number)
            });
            status.ok().filter(|number| *number == 0).map(|_| inner)
        }
    }
}
