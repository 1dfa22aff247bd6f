//! Where a log begins, and whether retention left it there: [`GoneTree`], what the hashes of removed
//! records lead to.

use std::io;

use super::fault::{LogFault, of_file};
use super::files::LogPart;
use super::walk::{LineAt, LogWalk};
use crate::audit::checkpoints::gone::GoneHashes;
use crate::audit::checkpoints::resume::parsed;
use crate::audit::lines::{LineRead, LogLines};
use crate::audit::record::SCHEMA;
use crate::audit::record::stamp::Timestamp;
use crate::tlog::TreeHash;

/// What the hashes of removed records lead to.
pub(super) struct GoneTree {
    first: u64,
    end: u64,
    /// The root where the first file that is there begins, if they lead so far.
    root: Option<TreeHash>,
}

impl LogWalk<'_> {
    /// Goes through the hashes of what is gone.
    pub(super) fn gone(&mut self) -> io::Result<Option<GoneTree>> {
        let Some(path) = &self.files.hashes else { return Ok(None) };
        let hashes = match GoneHashes::open(path) {
            Ok(hashes) => hashes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.report.add(of_file(LogFault::HashesChanged, path));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let begins = self.files.files.iter().find_map(|part| part.first).unwrap_or(u64::MAX);
        let (first, end, mut tree) = (hashes.first(), hashes.end(), hashes.before().clone());
        self.meet(&tree);
        for hash in hashes {
            if tree.size() >= begins {
                break;
            }
            if !tree.push(hash?) {
                self.report.add(of_file(LogFault::HashesChanged, path));
                return Ok(None);
            }
            self.meet(&tree);
        }
        let root = (tree.size() == begins).then(|| tree.root());
        Ok(Some(GoneTree { first, end, root }))
    }

    /// Whether the log begins where retention left it.
    pub(super) fn front(&mut self, gone: Option<GoneTree>) {
        let files = self.files;
        let (Some(begins), Some(part)) = (self.report.first, files.files.first()) else { return };
        let hashes = files.hashes.clone().unwrap_or_default();
        let (kept, hashed) = self.covered_says.or(self.says).unwrap_or_default();
        let (said, _) = self.says.unwrap_or_default();
        if begins > kept {
            if begins <= said {
                self.report.unsettled = begins - kept;
            } else {
                let count = begins - kept.max(said);
                let at = LineAt { file: 0, line: 1 };
                self.find(LogFault::Missing { count }, at, Some(kept.max(said)));
            }
        }
        match gone {
            Some(GoneTree { root: Some(root), .. }) => {
                let is_same = self.head_root(part) == Some(root);
                if !is_same {
                    self.report.add(of_file(LogFault::HashesChanged, &hashes));
                }
            }
            // They end before what is there: retention was cut off, or somebody removed more.
            Some(GoneTree { end, .. }) if end < begins && end < kept => {
                self.report.add(of_file(LogFault::HashesMissing, &hashes));
            }
            Some(GoneTree { first, .. }) if first > hashed && kept > 0 => {
                self.report.add(of_file(LogFault::HashesMissing, &hashes));
            }
            None if hashed < kept && kept <= begins => {
                self.report.add(of_file(LogFault::HashesMissing, &hashes));
            }
            Some(_) | None => {}
        }
    }

    /// The root where this file begins.
    fn head_root(&self, part: &LogPart) -> Option<TreeHash> {
        let mut lines = LogLines::open(&part.path).ok()?;
        let Some((LineRead::Line(line), _)) = lines.step().ok()? else { return None };
        parsed(line)?.claimed().map(|(head, _)| head.root)
    }
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
