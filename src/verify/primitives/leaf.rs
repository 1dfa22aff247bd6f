//! [`Leaf`]: a signing certificate as it was found, read strictly; what it says becomes a
//! [`Certificate`].
//!
//! Nothing is proven here: who issued it and when it was valid is for the proof.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate as X509;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::time::Time;

use super::certificate::{Certificate, Extension, San};
use super::crypto;
use super::fault::beyond;
use crate::verify::primitives::fault::Fault;
use crate::verify::primitives::key::KeyId;
use crate::verify::primitives::key_error::KeyError;

/// Longest certificate, in bytes: Fulcio's have about 1 KB; the rest is room for names and RSA
/// keys.
const CERTIFICATE_MAX: usize = 32 * 1024;
/// Most certificates beside a signature: a chain of an own authority has three or four.
pub(in crate::verify) const CHAIN_MAX: usize = 8;

/// Where Fulcio's extensions are (fulcio `docs/oid-info.md`).
const FULCIO: &str = "1.3.6.1.4.1.57264.1.";
/// `subjectAltName` (RFC 5280 section 4.2.1.6).
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// The `otherName` of usernames.
const USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
/// The issuer: at first the bare text, since 2022 a DER string.
const ISSUER_OLD: u32 = 1;
const ISSUER: u32 = 8;

/// A signing certificate of which nothing is proven.
#[derive(Debug, Clone)]
pub(in crate::verify) struct Leaf {
    /// The certificate.
    pub(in crate::verify) der: Vec<u8>,
    /// Its SubjectPublicKeyInfo.
    pub(in crate::verify) spki: Vec<u8>,
    /// Certificates that came with it, from its issuer upwards.
    pub(in crate::verify) intermediates: Vec<Vec<u8>>,
    /// What it says.
    pub(in crate::verify) claims: Arc<Certificate>,
}

impl Leaf {
    /// Reads a certificate and those that came with it, the leaf first.
    pub(in crate::verify) fn read(chain: &[&[u8]]) -> Result<Self, Fault> {
        let [der, intermediates @ ..] = chain else { return Err(Fault::NoCertificate) };
        if chain.len() > CHAIN_MAX {
            return Err(beyond("certificates", CHAIN_MAX));
        }
        if chain.iter().any(|der| der.len() > CERTIFICATE_MAX) {
            return Err(beyond("bytes in a certificate", CERTIFICATE_MAX));
        }
        if !have_distinct_subjects(intermediates) {
            return Err(Fault::CertificateChain);
        }
        let x509 = parse(der)?;
        let spki = x509
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|_| Fault::Certificate)?;
        let claims = Arc::new(claims(der, &x509, &spki)?);
        let intermediates = intermediates.iter().map(|der| der.to_vec()).collect();
        Ok(Self { der: der.to_vec(), spki, intermediates, claims })
    }

    /// Whether a certificate says that it issued itself, as roots do.
    pub(in crate::verify) fn is_self_issued(der: &[u8]) -> Result<bool, Fault> {
        let certificate = parse(der)?.tbs_certificate;
        Ok(certificate.issuer == certificate.subject)
    }

    /// The key in it, ready to check with.
    pub(in crate::verify) fn verifier(&self) -> Result<crypto::Verifier, Fault> {
        crypto::Verifier::parse(&self.spki).map_err(|error| match error {
            KeyError::Algorithm => Fault::Unsupported,
            KeyError::TooLong
            | KeyError::NotPem
            | KeyError::Several(_)
            | KeyError::Label(_)
            | KeyError::Malformed
            | KeyError::RsaSize
            | KeyError::Invalid => Fault::Certificate,
        })
    }
}

/// Whether no two certificates have one subject: of those that have, a search for a path tries
/// every order, which are thousands for seven (attack D1). What cannot be read is in no path.
fn have_distinct_subjects(certificates: &[&[u8]]) -> bool {
    let mut seen = BTreeSet::new();
    certificates.iter().all(|der| {
        let der = CertificateDer::from(*der);
        webpki::EndEntityCert::try_from(&der)
            .map_or(true, |certificate| seen.insert(certificate.subject().to_vec()))
    })
}

/// A certificate, DER, whole and with nothing behind it.
pub(in crate::verify) fn parse(der: &[u8]) -> Result<X509, Fault> {
    X509::from_der(der).map_err(|_| Fault::Certificate)
}

/// From when to when a certificate says that it is valid. The year 9999 (no end, RFC 5280 section
/// 4.1.2.5) is the end of all time.
pub(in crate::verify) fn validity(
    x509: &X509,
) -> Result<(jiff::Timestamp, jiff::Timestamp), Fault> {
    let validity = &x509.tbs_certificate.validity;
    Ok((time(validity.not_before)?, time(validity.not_after)?))
}

fn time(time: Time) -> Result<jiff::Timestamp, Fault> {
    let seconds =
        i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| Fault::Certificate)?;
    Ok(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX))
}

fn claims(der: &[u8], x509: &X509, spki: &[u8]) -> Result<Certificate, Fault> {
    let mut seen = BTreeSet::new();
    let mut names: Vec<GeneralName> = Vec::new();
    let mut issuers = [None, None];
    let mut extensions = BTreeMap::new();
    for extension in x509.tbs_certificate.extensions.iter().flatten() {
        // RFC 5280 section 4.2: none may stand twice.
        if !seen.insert(extension.extn_id) {
            return Err(Fault::Certificate);
        }
        let value = extension.extn_value.as_bytes();
        if extension.extn_id == SUBJECT_ALT_NAME {
            names = SubjectAltName::from_der(value).map_err(|_| Fault::Certificate)?.0;
        }
        match fulcio(&extension.extn_id) {
            Some(ISSUER) => issuers[0] = Some(der_text(value)?),
            Some(ISSUER_OLD) => issuers[1] = Some(bare_text(value)?),
            Some(number) => {
                if let Some(known) =
                    Extension::ALL.into_iter().find(|known| known.number() == number)
                {
                    let text = if known.is_bare() { bare_text(value)? } else { der_text(value)? };
                    extensions.insert(known, text);
                }
            }
            None => {}
        }
    }
    let [issuer, old] = issuers;
    let (not_before, not_after) = validity(x509)?;
    let sans = names.iter().map(san).collect::<Result<Vec<_>, _>>()?;
    Ok(Certificate {
        names: sans.len(),
        sans: sans.into_iter().flatten().collect(),
        issuer: issuer.or(old),
        extensions,
        key: KeyId::of(spki),
        fingerprint: Sha256::digest(der).into(),
        not_before,
        not_after,
    })
}

/// The last number of one of Fulcio's identifiers.
fn fulcio(oid: &ObjectIdentifier) -> Option<u32> {
    oid.to_string().strip_prefix(FULCIO)?.parse().ok()
}

/// One name; none for a kind that identifies nobody here (a directory name, an address).
fn san(name: &GeneralName) -> Result<Option<San>, Fault> {
    let san = match name {
        GeneralName::Rfc822Name(email) => San::Email(email.to_string()),
        GeneralName::UniformResourceIdentifier(uri) => San::Uri(uri.to_string()),
        GeneralName::DnsName(host) => San::Dns(host.to_string()),
        GeneralName::OtherName(OtherName { type_id, value }) if *type_id == USERNAME => {
            let text: Utf8StringRef<'_> = value.decode_as().map_err(|_| Fault::Certificate)?;
            San::Other(text.as_str().to_owned())
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::IpAddress(_)
        | GeneralName::RegisteredId(_) => return Ok(None),
    };
    if san.as_str().is_empty() || san.as_str().chars().any(char::is_control) {
        return Err(Fault::Certificate);
    }
    Ok(Some(san))
}

/// How Fulcio writes everything from `.8` on: a UTF8String.
fn der_text(value: &[u8]) -> Result<String, Fault> {
    Utf8StringRef::from_der(value)
        .map(|text| text.as_str().to_owned())
        .map_err(|_| Fault::Certificate)
}

/// How Fulcio writes what is older: the text itself.
fn bare_text(value: &[u8]) -> Result<String, Fault> {
    str::from_utf8(value).map(str::to_owned).map_err(|_| Fault::Certificate)
}
