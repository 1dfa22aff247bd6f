//! [`RootError`]: why a file is not a trust root that can be used.

use std::fmt;

use crate::image::json::{self, JsonError};

/// Longest file, in bytes: the public-good instance's has 7 KB.
pub const ROOT_MAX: usize = 1024 * 1024;

/// The versions of the format that are read; they differ in nothing that is read here.
pub(super) const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// Why a file is not a trust root that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootError {
    /// Longer than [`ROOT_MAX`].
    TooLong,
    /// Not JSON that all readers understand alike.
    Json(JsonError),
    /// A media type that is no trusted root's, or of a version that is not known.
    MediaType(String),
    /// Not a trusted root in Sigstore's format.
    Malformed(String),
    /// It trusts nobody: no certificate authority, no log, no timestamp authority.
    Empty,
    /// A key or certificate in it cannot be used.
    Unusable(String),
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {ROOT_MAX} bytes, which no trust root is"),
            Self::Json(error) => write!(f, "not a Sigstore trusted root: {error}"),
            Self::MediaType(media_type) => {
                write!(
                    f,
                    "media type \"{}\", expected \"{}\"",
                    json::shown(media_type),
                    MEDIA_TYPES[0]
                )
            }
            Self::Empty => f.write_str(
                "trusts nobody: no certificate authority, no log, no timestamp authority",
            ),
            Self::Malformed(why) => {
                write!(f, "not a Sigstore trusted root: {}", why.escape_default())
            }
            Self::Unusable(why) => {
                write!(f, "a trusted root that cannot be used: {}", why.escape_default())
            }
        }
    }
}

impl std::error::Error for RootError {}
