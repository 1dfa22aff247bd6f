//! The headers of every request, from a file of the operator's: [`read`].
//!
//! Their values are secrets: nothing here prints one.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::file_trust::{self, Above, OwnershipFault};

/// Longest file, in bytes: a few tokens of some KiB.
const FILE_MAX: u64 = 64 << 10;
/// Most headers.
const HEADERS_MAX: usize = 32;
/// What the exporter itself says of its bodies.
const OWN: [&str; 4] = ["content-type", "content-length", "content-encoding", "host"];

/// Why there are no headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadersError {
    /// Others could change the file, or it cannot be looked at.
    Unsafe(OwnershipFault),
    /// It could not be read.
    Unread(PathBuf, std::io::ErrorKind),
    /// Too long, or too many headers.
    TooLarge(PathBuf),
    /// A line that is no header, or one that is not the operator's to say.
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
    },
}

/// The headers in a file: one `Name: value` on each line; blank lines and those that begin with `#`
/// count for nothing.
///
/// # Errors
/// [`HeadersError`].
pub(super) fn read(path: &Path) -> Result<HeaderMap, HeadersError> {
    file_trust::check(path, Above::NobodyElse).map_err(HeadersError::Unsafe)?;
    let failed = |error: std::io::Error| HeadersError::Unread(path.to_owned(), error.kind());
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if !u64::try_from(text.len()).is_ok_and(|length| length <= FILE_MAX) {
        return Err(HeadersError::TooLarge(path.to_owned()));
    }
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || HeadersError::Line { file: path.to_owned(), line: number + 1 };
        let (name, mut value) = header(line).ok_or_else(wrong)?;
        value.set_sensitive(true);
        headers.append(name, value);
        if headers.len() > HEADERS_MAX {
            return Err(HeadersError::TooLarge(path.to_owned()));
        }
    }
    Ok(headers)
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = HeaderValue::from_str(value.trim()).ok()?;
    (!OWN.contains(&name.as_str())).then_some((name, value))
}

impl fmt::Display for HeadersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsafe(fault) => write!(f, "otlp.headers_file: {fault}"),
            Self::Unread(file, kind) => write!(f, "otlp.headers_file {}: {kind}", file.display()),
            Self::TooLarge(file) => write!(
                f,
                "otlp.headers_file {}: more than {HEADERS_MAX} headers or {FILE_MAX} bytes",
                file.display()
            ),
            Self::Line { file, line } => write!(
                f,
                "{}:{line}: expected a header as \"Name: value\", and none of {}",
                file.display(),
                OWN.join(", ")
            ),
        }
    }
}

impl std::error::Error for HeadersError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let found = header("Authorization: Bearer a:b ").unwrap();
        assert_eq!((found.0.as_str(), found.1.to_str().unwrap()), ("authorization", "Bearer a:b"));
        for bad in ["", "Authorization", "A b: c", ": c", "Content-Type: text/plain", "a: \u{7}"] {
            assert!(header(bad).is_none(), "{bad}");
        }
    }
}
