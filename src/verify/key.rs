//! [`PublicKey`]: one key from a PEM file as cosign writes it. Nothing here reads the file.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::crypto::Verifier;

/// Longest key file, in bytes: RSA with 8192 bits takes 1.5 KB; the rest is room for comments around it.
const PEM_MAX: usize = 16 * 1024;
/// What cosign writes (RFC 7468 section 13).
const SPKI_LABEL: &str = "PUBLIC KEY";
/// What `openssl rsa -RSAPublicKey_out` writes and newer cosign reads (PKCS #1).
const PKCS1_LABEL: &str = "RSA PUBLIC KEY";
/// `AlgorithmIdentifier` of rsaEncryption with NULL parameters, DER (RFC 3279 section 2.3.1).
pub(super) const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A public key that can check signatures: ECDSA P-256 or P-384, RSA with 2048 to 8192 bits, or Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    verifier: Verifier,
}

/// What a key is called everywhere: the SHA-256 of its SubjectPublicKeyInfo in DER. One key has one id, whichever file
/// it came from (attack C2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

/// Why a file is not a key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// Longer than a key file can be.
    TooLong,
    /// No PEM block in it.
    NotPem,
    /// This many keys in one file, expected one.
    Several(usize),
    /// The PEM block is something else: a certificate, a private key.
    Label(String),
    /// The block's content is not a public key, or not in its one canonical encoding.
    Malformed,
    /// A kind of key that is not supported.
    Algorithm,
    /// An RSA key of fewer than 2048 or more than 8192 bits.
    RsaSize,
    /// Numbers that are no key of this kind: a point off the curve, or of small order.
    Invalid,
}

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

    /// What this key is called.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl KeyId {
    /// Of a SubjectPublicKeyInfo, DER.
    pub(super) fn of(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
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

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {PEM_MAX} bytes, which no key file is"),
            Self::NotPem => f.write_str("no PEM block (\"-----BEGIN PUBLIC KEY-----\")"),
            Self::Several(count) => write!(f, "{count} PEM blocks, expected one; put each key into its own file"),
            Self::Label(label) => write!(f, "a \"{}\", expected a \"PUBLIC KEY\"", label.escape_default()),
            Self::Malformed => f.write_str("not a public key in canonical encoding"),
            Self::Algorithm => {
                f.write_str("a kind of key that is not supported (ECDSA P-256 and P-384, RSA, Ed25519 are)")
            }
            Self::RsaSize => f.write_str("an RSA key outside 2048 to 8192 bits"),
            Self::Invalid => f.write_str("not a valid key of its kind"),
        }
    }
}

impl std::error::Error for KeyError {}

/// The label and the content of the one PEM block (RFC 7468). Text around it is a comment, as it is to cosign.
fn block(file: &[u8]) -> Result<(&str, Vec<u8>), KeyError> {
    const BEGIN: &str = "-----BEGIN ";
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

/// One DER element; RSA keys need lengths of two bytes, smaller ones are refused for their size later.
fn tagged(tag: u8, content: &[u8]) -> Result<Vec<u8>, KeyError> {
    let length = u16::try_from(content.len()).map_err(|_| KeyError::TooLong)?.to_be_bytes();
    let head = match length {
        [0, short @ ..=0x7f] => vec![tag, short],
        [0, byte] => vec![tag, 0x81, byte],
        [high, low] => vec![tag, 0x82, high, low],
    };
    Ok([&head, content].concat())
}
