//! Keys made on the spot, and signatures in both of cosign's forms, for tests that need what no
//! fixture has: [`Signer`]. Depends on no other support code.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses what it needs"
)]

use std::collections::BTreeMap;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha512};

/// The annotation that holds an older signature.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The predicate type of an image signature.
pub const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A private key and the scheme that it signs with.
pub enum Signer {
    /// Either curve with either hash.
    Ecdsa(EcdsaKeyPair),
    /// PKCS #1 v1.5 or PSS, with any hash.
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    /// Plain.
    Ed25519(Ed25519KeyPair),
    /// Pre-hashed.
    Ed25519ph(ed25519_dalek::SigningKey),
}

impl Signer {
    /// P-256 with SHA-256, what cosign generates.
    pub fn p256() -> Self {
        Self::ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    /// A curve with a hash.
    pub fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(algorithm).unwrap())
    }

    /// 2048 bits.
    pub fn rsa(encoding: &'static dyn RsaEncoding) -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()), encoding)
    }

    /// Plain Ed25519.
    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    /// Ed25519ph, as cosign 3 signs bundles.
    pub fn ed25519ph() -> Self {
        Self::Ed25519ph(ed25519_dalek::SigningKey::from_bytes(&[7; 32]))
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Rsa(pair, _) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ed25519ph(key) => {
                let prefix =
                    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
                [&prefix[..], key.verifying_key().as_bytes()].concat()
            }
        }
    }

    /// The public key as cosign writes it.
    pub fn pem(&self) -> Vec<u8> {
        pem("PUBLIC KEY", &self.spki())
    }

    /// A signature over these bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => pair.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, bytes, &mut signature).unwrap();
                signature
            }
            Self::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Self::Ed25519ph(key) => key
                .sign_prehashed(Sha512::new_with_prefix(bytes), None)
                .unwrap()
                .to_bytes()
                .to_vec(),
        }
    }

    /// The older form's annotations for a payload.
    pub fn annotations(&self, payload: &[u8]) -> BTreeMap<String, String> {
        BTreeMap::from([(SIGNATURE.to_owned(), STANDARD.encode(self.sign(payload)))])
    }

    /// A bundle with this in-toto statement.
    pub fn statement_bundle(&self, statement: &str) -> String {
        let kind = "application/vnd.in-toto+json";
        let signature = self.sign(
            format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len()).as_bytes(),
        );
        let payload = STANDARD.encode(statement);
        let signature = STANDARD.encode(signature);
        bundle(&format!(
            r#""dsseEnvelope":{{"payload":"{payload}","payloadType":"{kind}","signatures":[{{"sig":"{signature}"}}]}}"#
        ))
    }

    /// A bundle with a signature over these bytes, of which it tells this digest.
    pub fn message_bundle(&self, artifact: &[u8], algorithm: &str, digest: &[u8]) -> String {
        let (digest, signature) = (STANDARD.encode(digest), STANDARD.encode(self.sign(artifact)));
        bundle(&format!(
            r#""messageSignature":{{"messageDigest":{{"algorithm":"{algorithm}","digest":"{digest}"}},"signature":"{signature}"}}"#
        ))
    }
}

/// A simple-signing payload as cosign writes it.
pub fn payload(digest: &str, reference: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{reference}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    )
}

/// An in-toto statement of a predicate type about a digest, as cosign writes it.
pub fn statement(digest: &str, predicate_type: &str) -> String {
    let hex = digest.trim_start_matches("sha256:");
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{hex}"}},"annotations":{{}}}}],"predicateType":"{predicate_type}","predicate":{{}}}}"#
    )
}

/// A PEM file.
pub fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> =
        base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

fn bundle(content: &str) -> String {
    format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"aGludA=="}}}},{content}}}"#
    )
}
