//! Records that retention has removed: [`fold`] keeps the hashes of their lines, so that the log can
//! still be shown to have grown out of a checkpoint of that time; [`GoneHashes`] reads them.
//!
//! The file is a line of JSON, which says from which entry on and what the tree was until then, and
//! then 32 bytes for each entry.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::lines::{beside, open_part};
use super::resume::parsed;
use super::tree::CHECKPOINT_LINE;
use crate::tlog::{CompactRange, ENTRIES_MAX, HASH_LEN, TreeHash};

/// Hashes kept of entries whose lines are gone: 32 MiB. As many again as the lines of twenty files
/// of the default size; of what is older, half at a time, only the root is kept.
pub(in crate::audit) const HASHES_MAX: u64 = 1 << 20;
/// Bytes of the first line at most: 64 hashes and a number.
const HEAD_MAX: u64 = 4096;
/// Bytes of a line at most: twice what is ever written.
const LINE_MAX: u64 = 128 << 10;

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct HashesHead {
    schema: u32,
    /// The first entry whose hash is here.
    first: u64,
    /// The perfect subtrees before it.
    range: Vec<TreeHash>,
}

/// The hashes in the file, one after the other.
#[derive(Debug)]
pub(in crate::audit) struct GoneHashes {
    first: u64,
    before: CompactRange,
    file: BufReader<File>,
    /// Bytes of the first line.
    head: u64,
    /// How many whole hashes there are.
    count: u64,
}

/// The file with the hashes of what was removed from this log.
pub(in crate::audit) fn hashes_of(log: &Path) -> PathBuf {
    beside(log, "hashes")
}

/// The name under which a file of this log waits to be removed.
pub(super) fn gone_of(log: &Path) -> PathBuf {
    beside(log, "gone")
}

impl GoneHashes {
    /// Opens the file.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or is no file of hashes (`InvalidData`).
    pub(in crate::audit) fn open(path: &Path) -> io::Result<Self> {
        let file = open_part(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(64 << 10, file);
        let mut line = Vec::new();
        (&mut file).take(HEAD_MAX).read_until(b'\n', &mut line)?;
        let head: HashesHead = serde_json::from_slice(&line)?;
        let before = CompactRange::from_parts(head.first, head.range);
        let before = before.filter(|before| before.size() <= ENTRIES_MAX);
        let before = before.ok_or(io::ErrorKind::InvalidData)?;
        let bytes = u64::try_from(line.len()).unwrap_or(0);
        let count = length.saturating_sub(bytes) / u64::try_from(HASH_LEN).unwrap_or(1);
        Ok(Self { first: head.first, before, file, head: bytes, count })
    }

    /// The tree before the first hash.
    pub(in crate::audit) const fn before(&self) -> &CompactRange {
        &self.before
    }

    /// Which entry the first hash is of.
    pub(in crate::audit) const fn first(&self) -> u64 {
        self.first
    }

    /// Which entry comes after the last.
    pub(in crate::audit) const fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

impl Iterator for GoneHashes {
    type Item = io::Result<TreeHash>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut hash = [0; HASH_LEN];
        match self.file.read_exact(&mut hash) {
            Ok(()) => Some(Ok(TreeHash::new(hash))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Adds the hashes of the lines of `gone`, which is about to be removed, to `hashes`. The first
/// entry whose hash is kept then; none when the file was older than the first checkpoint.
///
/// # Errors
/// When one of them cannot be read or written.
pub(super) fn fold(gone: &Path, hashes: &Path) -> io::Result<Option<u64>> {
    let Some((first, before, leaves)) = leaves_of(gone)? else { return Ok(None) };
    let kept = GoneHashes::open(hashes).ok();
    // Where the last fold was cut off, the same entries come again.
    let kept = kept.filter(|kept| (kept.first()..=kept.end()).contains(&first));
    let Some(mut kept) = kept else {
        write_new(hashes, first, &before, &leaves)?;
        return Ok(Some(first));
    };
    let width = u64::try_from(HASH_LEN).unwrap_or(1);
    let after = first.saturating_add(u64::try_from(leaves.len()).unwrap_or(0) / width);
    if after.saturating_sub(kept.first()) <= HASHES_MAX {
        let mut file = OpenOptions::new().write(true).open(hashes)?;
        let at = kept.head + (first - kept.first()) * width;
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&leaves)?;
        file.sync_data()?;
        return Ok(Some(kept.first()));
    }
    let mut before = kept.before().clone();
    let begin = after - HASHES_MAX / 2;
    let mut rest = Vec::new();
    for entry in kept.first()..first {
        let hash = kept.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        if entry >= begin {
            rest.extend(hash.as_bytes());
        } else if !before.push(hash) {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let (older, newer) = leaves.split_at(leaf_offset(begin.saturating_sub(first), leaves.len()));
    let (older, _none) = older.as_chunks::<HASH_LEN>();
    if !older.iter().all(|hash| before.push(TreeHash::new(*hash))) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    rest.extend(newer);
    write_new(hashes, before.size(), &before, &rest)?;
    Ok(Some(before.size()))
}

fn leaf_offset(entries: u64, most: usize) -> usize {
    usize::try_from(entries).unwrap_or(most).saturating_mul(HASH_LEN).min(most)
}

/// From which entry on a file has lines, the tree before it, and the hashes of the lines.
fn leaves_of(path: &Path) -> io::Result<Option<(u64, CompactRange, Vec<u8>)>> {
    let mut file = BufReader::with_capacity(256 << 10, open_part(path)?);
    let (mut found, mut is_first, mut line) = (None, true, Vec::new());
    while (&mut file).take(LINE_MAX).read_until(b'\n', &mut line)? > 0 {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if found.is_none() && line.starts_with(CHECKPOINT_LINE) {
            let claimed = parsed(&line).and_then(|checkpoint| checkpoint.claimed());
            // Behind other lines only the one counts that says that the log begins there.
            found = claimed
                .filter(|(head, _)| is_first || head.size == 0)
                .map(|(head, before)| (head.size, before, Vec::new()));
        }
        if let Some((_, _, leaves)) = &mut found {
            leaves.extend(TreeHash::of_leaf(&line).as_bytes());
            if leaves.len() > leaf_offset(HASHES_MAX, usize::MAX) {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        is_first = false;
        line.clear();
    }
    Ok(found)
}

/// Puts the file there, durably.
fn write_new(path: &Path, first: u64, before: &CompactRange, leaves: &[u8]) -> io::Result<()> {
    let head = HashesHead { schema: 1, first, range: before.nodes().to_vec() };
    let mut bytes = serde_json::to_vec(&head)?;
    bytes.push(b'\n');
    bytes.extend(leaves);
    let new = beside(path, "new");
    let _nothing_there_mostly = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(new, path)?;
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}
