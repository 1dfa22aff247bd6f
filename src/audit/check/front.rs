//! Where a log begins, and whether retention left it there: this part of [`LogWalk`] goes through the
//! hashes of removed records.

use std::io;

use super::fault::{LogFault, of_file};
use super::files::LogPart;
use super::said::GoneTree;
use super::walk::{LineAt, LogWalk};
use crate::audit::checkpoints::gone::GoneHashes;
use crate::audit::checkpoints::resume::parsed;
use crate::audit::lines::{LineRead, LogLines};
use crate::tlog::TreeHash;

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
