//! [`Verifier`]: the one place that names the cryptographic libraries.
//!
//! Which schemes a key may have signed with follows what signers really do, and each is tried:
//! cosign signs with SHA-256 whatever the curve in the older form, and with the curve's own hash in
//! bundles (3.x, P-384: SHA-384); others sign with SHA-384 or SHA-512 whatever the curve, of which
//! ECDSA uses the first bits (FIPS 186-5 section 6.4.2); RSA is PKCS #1 v1.5 with SHA-256 by
//! default, and PSS or a longer hash from key management services; Ed25519 is plain in the older
//! form and the pre-hashed variant (RFC 8032 section 5.1, Ed25519ph, empty context) in bundles of
//! cosign 3.
//!
//! The salt of PSS is as long as the digest, as services make it; the library checks no other, and
//! FIPS 186-5 (section 5.4) forbids a longer one, which Go and OpenSSL make where they are not
//! told.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    VerificationAlgorithm,
};
use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use sha2::{Digest as _, Sha384, Sha512};
use sigstore_crypto::{KeyAlgorithm, SigningScheme, VerificationKey, validate_raw_public_key};
use sigstore_types::{DerPublicKey, HashAlgorithm, SignatureBytes};

use super::key_error::RSA_ALGORITHM;
use crate::verify::primitives::budget::Budget;
use crate::verify::primitives::fault::Fault;
use crate::verify::primitives::key_error::KeyError;

/// Longest message of which a longer digest than the curve's is tried, in bytes: each costs a pass
/// over the message for each key, and bills of materials, which are longer, are signed by programs
/// that use the curve's own.
const LONGER_MAX: usize = 1024 * 1024;

/// What a signature was made over.
#[derive(Clone, Copy)]
pub(in crate::verify) enum Message<'m> {
    /// These bytes.
    Bytes(&'m [u8]),
    /// Bytes of which only the SHA-256 is known.
    Sha256(&'m [u8; 32]),
}

/// A parsed key: its SubjectPublicKeyInfo, validated, and what it may sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) struct Verifier {
    spki: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Rsa,
    Ed25519(EdKey),
}

#[derive(Clone, Copy)]
enum Scheme {
    Plain(SigningScheme),
    /// ECDSA by the scheme's curve over the first bits of a longer digest, as many as the scheme's
    /// own has.
    Longer(SigningScheme, Hash),
    Ed25519ph,
}

#[derive(Clone, Copy)]
enum Hash {
    Sha384,
    Sha512,
}

impl Verifier {
    /// Takes a DER SubjectPublicKeyInfo, and refuses one that another encoding of the same key
    /// could stand for.
    pub(in crate::verify) fn parse(spki: &[u8]) -> Result<Self, KeyError> {
        let der = DerPublicKey::from_bytes(spki);
        let algorithm = KeyAlgorithm::from_spki(&der).map_err(|_| unreadable(spki))?;
        let scheme = algorithm.default_signing_scheme();
        let key = VerificationKey::from_spki_with_scheme(&der, scheme)
            .map_err(|_| KeyError::Malformed)?;
        let raw = key.as_bytes();
        let kind = if algorithm == KeyAlgorithm::EcdsaP256 {
            validate_raw_public_key(scheme, raw).map_err(|_| KeyError::Malformed)?;
            parsed(&ECDSA_P256_SHA256_ASN1, raw, Kind::P256)?
        } else if algorithm == KeyAlgorithm::EcdsaP384 {
            validate_raw_public_key(scheme, raw).map_err(|_| KeyError::Malformed)?;
            parsed(&ECDSA_P384_SHA384_ASN1, raw, Kind::P384)?
        } else if algorithm == KeyAlgorithm::Rsa {
            // Absent parameters would be a second encoding of the same key.
            if !spki.windows(RSA_ALGORITHM.len()).take(5).any(|window| window == RSA_ALGORITHM) {
                return Err(KeyError::Malformed);
            }
            validate_raw_public_key(scheme, raw).map_err(|_| KeyError::RsaSize)?;
            parsed(&RSA_PKCS1_2048_8192_SHA256, raw, Kind::Rsa)?
        } else if algorithm == KeyAlgorithm::Ed25519 {
            let point = <[u8; 32]>::try_from(raw).map_err(|_| KeyError::Malformed)?;
            let key = EdKey::from_bytes(&point).map_err(|_| KeyError::Invalid)?;
            if key.is_weak() {
                return Err(KeyError::Invalid);
            }
            Kind::Ed25519(key)
        } else {
            return Err(KeyError::Algorithm);
        };
        Ok(Self { spki: spki.to_vec(), kind })
    }

    /// Its SubjectPublicKeyInfo, DER.
    pub(in crate::verify) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether this key made the signature over the message, with any scheme that it may use.
    /// Of which kind it is, and how many bits its curve has; none for RSA.
    pub(in crate::verify) fn algorithm(&self) -> (&'static str, Option<usize>) {
        match self.kind {
            Kind::P256 => ("ECDSA P-256", Some(256)),
            Kind::P384 => ("ECDSA P-384", Some(384)),
            Kind::Rsa => ("RSA", None),
            Kind::Ed25519(_) => ("Ed25519", Some(256)),
        }
    }

    pub(in crate::verify) fn check(
        &self,
        message: Message<'_>,
        signature: &[u8],
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let mut fault = Fault::NeedsArtifact;
        for scheme in self.schemes() {
            if !possible(*scheme, message) {
                continue;
            }
            // A longer digest is tried with the one before it: all of a curve's take less than one
            // of RSA's.
            if !matches!(scheme, Scheme::Longer(..)) {
                budget.spend()?;
            }
            if self.holds(*scheme, message, signature) {
                return Ok(());
            }
            fault = if matches!(self.kind, Kind::Rsa) {
                Fault::WrongRsaSignature
            } else {
                Fault::WrongSignature
            };
        }
        Err(fault)
    }

    /// Most likely first.
    fn schemes(&self) -> &'static [Scheme] {
        match self.kind {
            Kind::P256 => &[
                Scheme::Plain(SigningScheme::EcdsaP256Sha256),
                Scheme::Longer(SigningScheme::EcdsaP256Sha256, Hash::Sha512),
                Scheme::Longer(SigningScheme::EcdsaP256Sha256, Hash::Sha384),
            ],
            Kind::P384 => &[
                Scheme::Plain(SigningScheme::EcdsaP384Sha384),
                Scheme::Plain(SigningScheme::EcdsaP384Sha256),
                Scheme::Longer(SigningScheme::EcdsaP384Sha384, Hash::Sha512),
            ],
            Kind::Rsa => &[
                Scheme::Plain(SigningScheme::RsaPkcs1Sha256),
                Scheme::Plain(SigningScheme::RsaPssSha256),
                Scheme::Plain(SigningScheme::RsaPkcs1Sha512),
                Scheme::Plain(SigningScheme::RsaPssSha512),
                Scheme::Plain(SigningScheme::RsaPkcs1Sha384),
                Scheme::Plain(SigningScheme::RsaPssSha384),
            ],
            Kind::Ed25519(_) => &[Scheme::Plain(SigningScheme::Ed25519), Scheme::Ed25519ph],
        }
    }

    fn holds(&self, scheme: Scheme, message: Message<'_>, signature: &[u8]) -> bool {
        match (scheme, message, &self.kind) {
            (Scheme::Plain(scheme), message, _) => {
                let key = VerificationKey::from_spki_with_scheme(
                    &DerPublicKey::from_bytes(&self.spki),
                    scheme,
                );
                let signature = SignatureBytes::from_bytes(signature);
                key.is_ok_and(|key| match message {
                    Message::Bytes(bytes) => key.verify(bytes, &signature).is_ok(),
                    Message::Sha256(digest) => key.verify_prehashed(digest, &signature).is_ok(),
                })
            }
            (Scheme::Longer(scheme, hash), Message::Bytes(bytes), _) => {
                let digest = match hash {
                    Hash::Sha384 => Sha384::digest(bytes).to_vec(),
                    Hash::Sha512 => Sha512::digest(bytes).to_vec(),
                };
                let length = scheme.hash_algorithm().map_or(0, |own| own.digest_size());
                let key = VerificationKey::from_spki_with_scheme(
                    &DerPublicKey::from_bytes(&self.spki),
                    scheme,
                );
                let signature = SignatureBytes::from_bytes(signature);
                digest.get(..length).is_some_and(|first| {
                    key.is_ok_and(|key| key.verify_prehashed(first, &signature).is_ok())
                })
            }
            (Scheme::Ed25519ph, Message::Bytes(bytes), Kind::Ed25519(key)) => {
                let prehash = Sha512::new_with_prefix(bytes);
                EdSignature::from_slice(signature).is_ok_and(|signature| {
                    key.verify_prehashed_strict(prehash, None, &signature).is_ok()
                })
            }
            (Scheme::Longer(..) | Scheme::Ed25519ph, _, _) => false,
        }
    }
}

/// Whether a scheme can be checked over what is known of the message.
fn possible(scheme: Scheme, message: Message<'_>) -> bool {
    match (message, scheme) {
        (Message::Bytes(bytes), Scheme::Longer(..)) => bytes.len() <= LONGER_MAX,
        (Message::Bytes(_), _) => true,
        (Message::Sha256(_), Scheme::Plain(scheme)) => {
            scheme.hash_algorithm() == Some(HashAlgorithm::Sha2256)
        }
        (Message::Sha256(_), Scheme::Longer(..) | Scheme::Ed25519ph) => false,
    }
}

fn parsed(
    algorithm: &'static dyn VerificationAlgorithm,
    raw: &[u8],
    kind: Kind,
) -> Result<Kind, KeyError> {
    ParsedPublicKey::new(algorithm, raw).map(|_| kind).map_err(|_| KeyError::Invalid)
}

/// Tells a key of a kind that is not supported from what is no key: a SubjectPublicKeyInfo is one
/// DER sequence, whole and with nothing behind it, and begins with a sequence that begins with an
/// object identifier.
fn unreadable(spki: &[u8]) -> KeyError {
    let (length, body) = match spki {
        [0x30, length @ ..=0x7f, body @ ..] => (u16::from(*length), body),
        [0x30, 0x81, length, body @ ..] => (u16::from(*length), body),
        [0x30, 0x82, high, low, body @ ..] => (u16::from_be_bytes([*high, *low]), body),
        _ => return KeyError::Malformed,
    };
    match body {
        [0x30, _, 0x06, ..] if usize::from(length) == body.len() => KeyError::Algorithm,
        _ => KeyError::Malformed,
    }
}
