//! [`PublicKey`]: one key from a PEM file as cosign writes it. Nothing here reads the file.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::crypto::Verifier;
use super::key_error::{KeyError, PEM_MAX, RSA_ALGORITHM};

/// What cosign writes (RFC 7468 section 13).
const SPKI_LABEL: &str = "PUBLIC KEY";
/// What every PEM block begins with (RFC 7468).
const BEGIN: &str = "-----BEGIN ";
/// What `openssl rsa -RSAPublicKey_out` writes and newer cosign reads (PKCS #1).
const PKCS1_LABEL: &str = "RSA PUBLIC KEY";

/// A public key that can check signatures: ECDSA P-256 or P-384, RSA with 2048 to 8192 bits, or
/// Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    verifier: Verifier,
}

/// What a key is called everywhere: the SHA-256 of its SubjectPublicKeyInfo in DER. One key has one
/// id, whichever file it came from (attack C2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

impl PublicKey {
    /// Parses a PEM file that holds exactly one public key.
    ///
    /// # Errors
    /// [`KeyError`] says what the file is instead.
    pub fn parse_pem(file: &[u8]) -> Result<Self, KeyError> {
        let spki = match block(file)? {
            (SPKI_LABEL, der) => der,
            (PKCS1_LABEL, der) => wrapped(&der)?,
            (label, _) => return Err(KeyError::Label(label.to_owned())),
        };
        let verifier = Verifier::parse(&spki)?;
        Ok(Self { id: KeyId::of(&spki), verifier })
    }

    /// Parses a text that holds one public key or several, each as [`parse_pem`](Self::parse_pem)
    /// does.
    ///
    /// # Errors
    /// [`KeyError`] says what the first that is none is instead.
    pub fn parse_all_pem(text: &[u8]) -> Result<Vec<Self>, KeyError> {
        let text = str::from_utf8(text).map_err(|_| KeyError::NotPem)?;
        let begins: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
        let ends = begins.iter().skip(1).copied().chain([text.len()]);
        let blocks = begins.iter().zip(ends).filter_map(|(begin, end)| text.get(*begin..end));
        let keys = blocks.map(|block| Self::parse_pem(block.as_bytes()));
        let keys = keys.collect::<Result<Vec<Self>, KeyError>>()?;
        if keys.is_empty() { Err(KeyError::NotPem) } else { Ok(keys) }
    }

    /// What this key is called.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// How many bits its modulus has, where it is an RSA key.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<usize> {
        let spki = self.verifier.spki();
        let at = spki.windows(RSA_ALGORITHM.len()).position(|window| window == RSA_ALGORITHM)?;
        let bits = content(0x03, spki.get(at + RSA_ALGORITHM.len()..)?)?;
        let modulus = content(0x02, content(0x30, bits.get(1..)?)?)?;
        let modulus = modulus.get(modulus.iter().take_while(|byte| **byte == 0).count()..)?;
        let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
        (modulus.len() * 8).checked_sub(unused)
    }

    /// Of which kind it is, and how many bits its curve or modulus has.
    #[must_use]
    pub fn algorithm(&self) -> (&'static str, Option<usize>) {
        match self.verifier.algorithm() {
            (name, None) => (name, self.rsa_bits()),
            known => known,
        }
    }

    pub(in crate::verify) fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl KeyId {
    /// Of a SubjectPublicKeyInfo, DER.
    pub(in crate::verify) fn of(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// The SHA-256.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The label and the content of the one PEM block (RFC 7468). Text around it is a comment, as it is
/// to cosign.
fn block(file: &[u8]) -> Result<(&str, Vec<u8>), KeyError> {
    if file.len() > PEM_MAX {
        return Err(KeyError::TooLong);
    }
    let text = str::from_utf8(file).map_err(|_| KeyError::NotPem)?;
    let count = text.matches(BEGIN).count();
    if count > 1 {
        return Err(KeyError::Several(count));
    }
    let (_, rest) = text.split_once(BEGIN).ok_or(KeyError::NotPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyError::NotPem)?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or(KeyError::NotPem)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| KeyError::Malformed)?;
    Ok((label, der))
}

/// A PKCS #1 key as SubjectPublicKeyInfo, so that both files of one key give one id.
fn wrapped(pkcs1: &[u8]) -> Result<Vec<u8>, KeyError> {
    let bits = [&[0][..], pkcs1].concat();
    let content = [RSA_ALGORITHM.to_vec(), tagged(0x03, &bits)?].concat();
    tagged(0x30, &content)
}

/// One DER element; RSA keys need lengths of two bytes, smaller ones are refused for their size
/// later.
fn tagged(tag: u8, content: &[u8]) -> Result<Vec<u8>, KeyError> {
    let length = u16::try_from(content.len()).map_err(|_| KeyError::TooLong)?.to_be_bytes();
    let head = match length {
        [0, short @ ..=0x7f] => vec![tag, short],
        [0, byte] => vec![tag, 0x81, byte],
        [high, low] => vec![tag, 0x82, high, low],
    };
    Ok([&head, content].concat())
}

/// What is in the DER element at the beginning, if it has this tag and a length of at most two
/// bytes.
fn content(tag: u8, der: &[u8]) -> Option<&[u8]> {
    let (length, rest) = match der {
        [got, 0x82, high, low, rest @ ..] if *got == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        [got, 0x81, length, rest @ ..] if *got == tag => (usize::from(*length), rest),
        [got, length @ ..=0x7f, rest @ ..] if *got == tag => (usize::from(*length), rest),
        _ => return None,
    };
    rest.get(..length)
}
