//! PEM (RFC 7468): the blocks of a file that holds several. Text around them is a comment, as it is
//! to OpenSSL and cosign.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block: its label and its content.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::verify) struct Block {
    pub(in crate::verify) label: String,
    pub(in crate::verify) der: Vec<u8>,
}

/// Why a text is not PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum PemFault {
    /// No block in it, or one without an end.
    NotPem,
    /// More blocks than are read.
    TooMany,
    /// Not canonical base64.
    Encoding,
}

/// The blocks of a text, at least one and at most `limit`.
pub(in crate::verify) fn blocks(text: &[u8], limit: usize) -> Result<Vec<Block>, PemFault> {
    let mut rest = str::from_utf8(text).map_err(|_| PemFault::NotPem)?;
    let mut blocks = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        if blocks.len() == limit {
            return Err(PemFault::TooMany);
        }
        let (label, after) = after.split_once(DASHES).ok_or(PemFault::NotPem)?;
        let (body, after) =
            after.split_once(&format!("-----END {label}-----")).ok_or(PemFault::NotPem)?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| PemFault::Encoding)?;
        blocks.push(Block { label: label.to_owned(), der });
        rest = after;
    }
    if blocks.is_empty() { Err(PemFault::NotPem) } else { Ok(blocks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN A-----\nAAEC\n-----END A-----\n";

    #[test]
    fn blocks_and_comments() {
        let text = format!("first\n{ONE}then\n{}", ONE.replace(" A-", " B C-"));
        let expected = [("A", vec![0, 1, 2]), ("B C", vec![0, 1, 2])];
        let expected = expected.map(|(label, der)| Block { label: label.to_owned(), der });
        assert_eq!(blocks(text.as_bytes(), 2).unwrap(), expected);
        assert_eq!(blocks(text.as_bytes(), 1), Err(PemFault::TooMany));
    }

    #[test]
    fn what_is_not_pem() {
        for (text, expected) in [
            ("", PemFault::NotPem),
            ("-----BEGIN A", PemFault::NotPem),
            ("-----BEGIN A-----\nAAEC\n", PemFault::NotPem),
            ("-----BEGIN A-----\nAAEC\n-----END B-----\n", PemFault::NotPem),
            ("-----BEGIN A-----\nAAE\n-----END A-----\n", PemFault::Encoding),
            ("-----BEGIN A-----\nAAF=\n-----END A-----\n", PemFault::Encoding),
            ("-----BEGIN A-----\nAA_-\n-----END A-----\n", PemFault::Encoding),
        ] {
            assert_eq!(blocks(text.as_bytes(), 9), Err(expected), "{text}");
        }
        assert_eq!(blocks(b"\xff", 9), Err(PemFault::NotPem));
    }
}
