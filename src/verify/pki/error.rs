//! [`AuthorityError`]: why files are not an authority that can be used.

use std::fmt;

/// Longest file of an authority, in bytes: lists of large companies have some megabytes.
pub const AUTHORITY_FILE_MAX: usize = 16 * 1024 * 1024;
/// Most certificates, and most lists, of one kind: bundles of a whole company have some dozens.
pub(super) const PARTS_MAX: usize = 128;

/// Why files are not an authority that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityError {
    /// No root: nobody would be trusted.
    NoRoot,
    /// One of the files.
    File {
        /// Of which list of files.
        part: Part,
        /// Which of them, from 0.
        file: usize,
        /// What is wrong.
        fault: CaFault,
    },
}

/// What a file of an authority is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Trusted by itself.
    Root,
    /// Trusted when a root vouches for it.
    Intermediate,
    /// Says which certificates no longer count.
    RevocationList,
}

/// What is wrong with a file of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaFault {
    /// Longer than [`AUTHORITY_FILE_MAX`].
    TooLong,
    /// With it there are more certificates, or lists, than are read.
    TooMany,
    /// Neither PEM nor DER.
    NotPem,
    /// A PEM block of another kind: a private key.
    Label(String),
    /// Not a certificate or list of X.509 version 3 or 2.
    Malformed,
    /// The certificate of this subject is not one of a CA, and could vouch for nobody.
    NotCa(String),
    /// The certificate's key or the list's signature is of a kind that is not supported.
    Algorithm,
    /// The list is signed by none of the roots and intermediates (attack C5).
    ForeignList,
    /// The CA of this subject signed the list, and its key usage does not allow it (`cRLSign`).
    NotListSigner(String),
    /// A list that says only what changed, or one without `nextUpdate`, or for other issuers'
    /// certificates.
    UnsupportedList,
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoot => {
                f.write_str("an authority without roots vouches for nobody; name at least one")
            }
            Self::File { part, file, fault } => {
                write!(f, "{part} file {}: {fault}", file.saturating_add(1))
            }
        }
    }
}

impl std::error::Error for AuthorityError {}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
            Self::RevocationList => "revocation list",
        })
    }
}

impl fmt::Display for CaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {AUTHORITY_FILE_MAX} bytes"),
            Self::TooMany => write!(f, "more than {PARTS_MAX} of them in all files together"),
            Self::NotPem => f.write_str("neither PEM nor DER"),
            Self::Label(label) => {
                write!(
                    f,
                    "a \"{}\", expected a \"CERTIFICATE\" or \"X509 CRL\"",
                    label.escape_default()
                )
            }
            Self::Malformed => f.write_str("not a certificate or revocation list that can be read"),
            Self::NotCa(subject) => {
                write!(
                    f,
                    "the certificate of \"{}\" is not a CA's; name the CA that issued it",
                    subject.escape_default()
                )
            }
            Self::Algorithm => f.write_str(
                "a kind of key or signature that is not supported (ECDSA P-256, P-384, P-521, RSA \
                 from 2048 bits, Ed25519, with SHA-2)",
            ),
            Self::ForeignList => f.write_str(
                "signed by none of the roots and intermediates; name the CA that issued it among \
                 them",
            ),
            Self::NotListSigner(subject) => {
                write!(
                    f,
                    "signed by \"{}\", whose key usage does not allow that",
                    subject.escape_default()
                )
            }
            Self::UnsupportedList => f.write_str(
                "a delta list, an indirect or partial one, or one without nextUpdate: these are \
                 not read",
            ),
        }
    }
}
