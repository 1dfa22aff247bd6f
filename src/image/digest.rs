//! [`Digest`]: a validated `sha256:` content digest. Other algorithms are refused: containerd names
//! images by sha256.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The only algorithm that is accepted, with its colon.
const PREFIX: &str = "sha256:";

/// A content digest `sha256:<64 lower-case hex digits>` (OCI image-spec, descriptor.md, "Digests").
///
/// A value of this type is safe to put into a URL or a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// Why a string is not a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigestError {
    /// The algorithm is not `sha256`.
    Algorithm,
    /// Not exactly 64 lower-case hexadecimal digits.
    Encoding,
}

impl Digest {
    /// Parses the text form.
    ///
    /// # Errors
    /// [`DigestError`] when the algorithm or the encoding is not the accepted one.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix(PREFIX).ok_or(DigestError::Algorithm)?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() == 64 && hex.bytes().all(lower_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DigestError::Encoding)
        }
    }

    /// The digest of these very bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("{PREFIX}{}", hex::encode(Sha256::digest(bytes))))
    }

    /// The text form, `sha256:<hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "not a sha256 digest",
            Self::Encoding => "not 64 lower-case hexadecimal digits after sha256:",
        })
    }
}

impl std::error::Error for DigestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest));
    }

    /// Attack E2: a digest that is not validated before it goes into a URL or a path.
    #[test]
    fn attack_e2_refuses_all_but_one_spelling() {
        let hex = "a".repeat(64);
        for (text, error) in [
            (format!("sha512:{hex}"), DigestError::Algorithm),
            (format!("SHA256:{hex}"), DigestError::Algorithm),
            (hex.clone(), DigestError::Algorithm),
            (format!("sha256:{}", hex.to_uppercase()), DigestError::Encoding),
            (format!("sha256:{hex}a"), DigestError::Encoding),
            ("sha256:../../etc/passwd".to_owned(), DigestError::Encoding),
            ("sha256:".to_owned(), DigestError::Encoding),
        ] {
            assert_eq!(Digest::parse(&text), Err(error), "{text}");
        }
    }
}
