//! [`client_config`]: TLS to a host whose authorities the operator named, and the one case in which
//! a certificate need be of no authority: it is, byte for byte, one of those that were named.
//!
//! `openssl req -x509` makes a certificate that is an authority's (`CA:TRUE`), and so does Docker's
//! manual for a registry's own. webpki refuses such a one as a server's; Go, which containerd is
//! written in, takes it where it is among the authorities itself (`crypto/x509`,
//! `Certificate.Verify`: the chain is then that certificate alone). It must be valid now, for this
//! very name, and made for servers where it says what it is made for; and the server proves that it
//! has the key. Every other certificate is judged as it is without this.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;
use webpki::EndEntityCert;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use crate::registry::hosts::host::Tls;

/// id-kp-serverAuth and anyExtendedKeyUsage (RFC 5280 section 4.2.1.12).
const SERVER_USES: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"),
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
];

/// The certificates that the operator named as authorities; none when one of the files has none, or
/// a broken one.
pub(in crate::registry) fn authorities(tls: &Tls) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> =
        tls.ca.iter().map(|pem| certificates(pem).filter(|found| !found.is_empty())).collect();
    Some(found.into_iter().collect::<Option<Vec<_>>>()?.concat())
}

/// TLS with these authorities beside the system's, and a client certificate with its key (PEM);
/// none when any of them cannot be used. Reads the system's certificates.
pub(in crate::registry) fn client_config(
    named: Vec<CertificateDer<'static>>,
    client: Option<&[u8]>,
) -> Option<ClientConfig> {
    let provider = CryptoProvider::get_default().cloned();
    let provider =
        provider.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let by_authorities =
        Verifier::new_with_extra_roots(named.iter().cloned(), Arc::clone(&provider)).ok()?;
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamedOrIssued { named, by_authorities }));
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
            builder.with_client_auth_cert(certificates(pem)?, key).ok()?
        }
    };
    // What the HTTP library offers by itself.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(config)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// Accepts a certificate that is one of those named, and else what the authorities vouch for.
#[derive(Debug)]
struct NamedOrIssued {
    named: Vec<CertificateDer<'static>>,
    by_authorities: Verifier,
}

impl ServerCertVerifier for NamedOrIssued {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.iter().any(|named| named.as_ref() == end_entity.as_ref()) {
            return check_named(end_entity, server_name, now)
                .map(|()| ServerCertVerified::assertion())
                .map_err(Error::InvalidCertificate);
        }
        self.by_authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authorities.supported_verify_schemes()
    }
}

/// What Go looks at in a certificate that is trusted by itself: its validity, its names, its
/// extended key usage where it has one; and critical extensions that nobody here knows.
fn check_named(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let read =
        x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let fields = &read.tbs_certificate;
    if now.as_secs() < fields.validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > fields.validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    // Refuses what has critical extensions that webpki does not know.
    let by_webpki =
        EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
    by_webpki
        .verify_is_valid_for_subject_name(name)
        .map_err(|_| CertificateError::NotValidForName)?;
    match fields.get::<ExtendedKeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, uses))) if uses.0.iter().any(|one| SERVER_USES.contains(one)) => Ok(()),
        Ok(Some(_)) => Err(CertificateError::InvalidPurpose),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}
