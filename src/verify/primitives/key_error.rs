//! [`KeyError`]: why a file is not a key that can be used.

use std::fmt;

/// Longest key file, in bytes: RSA with 8192 bits takes 1.5 KB; the rest is room for comments
/// around it.
pub(super) const PEM_MAX: usize = 16 * 1024;

/// `AlgorithmIdentifier` of rsaEncryption with NULL parameters, DER (RFC 3279 section 2.3.1).
pub(in crate::verify) const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

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

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {PEM_MAX} bytes, which no key file is"),
            Self::NotPem => f.write_str("no PEM block (\"-----BEGIN PUBLIC KEY-----\")"),
            Self::Several(count) => {
                write!(f, "{count} PEM blocks, expected one; put each key into its own file")
            }
            Self::Label(label) => {
                write!(f, "a \"{}\", expected a \"PUBLIC KEY\"", label.escape_default())
            }
            Self::Malformed => f.write_str("not a public key in canonical encoding"),
            Self::Algorithm => f.write_str(
                "a kind of key that is not supported (ECDSA P-256 and P-384, RSA, Ed25519 are)",
            ),
            Self::RsaSize => f.write_str("an RSA key outside 2048 to 8192 bits"),
            Self::Invalid => f.write_str("not a valid key of its kind"),
        }
    }
}

impl std::error::Error for KeyError {}
