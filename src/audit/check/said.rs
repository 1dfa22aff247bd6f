//! What a line says of itself, whoever wrote it: its schema ([`is_newer`]) and its time ([`time_of`]);
//! [`GoneTree`]: what the hashes of removed records lead to.

use crate::audit::record::SCHEMA;
use crate::audit::record::stamp::Timestamp;
use crate::tlog::TreeHash;

/// What the hashes of removed records lead to.
pub(super) struct GoneTree {
    pub(super) first: u64,
    pub(super) end: u64,
    /// The root where the first file that is there begins, if they lead so far.
    pub(super) root: Option<TreeHash>,
}

/// Whether a line has a newer schema than this program knows.
pub(super) fn is_newer(line: &[u8]) -> bool {
    schema_of(line).is_some_and(|schema| schema > u64::from(SCHEMA))
}

/// The schema of a line, from its beginning: the log writes it second.
fn schema_of(line: &[u8]) -> Option<u64> {
    let head = line.get(..line.len().min(64))?;
    let key = b"\"schema\":";
    let at = head.windows(key.len()).position(|part| part == key)?;
    let digits = head.get(at + key.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// When a line says that it was written.
pub(super) fn time_of(line: &[u8]) -> Option<Timestamp> {
    let head = line.get(..line.len().min(160))?;
    let key = b"\"time\":\"";
    let at = head.windows(key.len()).position(|part| part == key)? + key.len();
    let text = head.get(at..)?.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}
