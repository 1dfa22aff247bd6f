//! [`LogFiles`]: which files a log has, in the order in which their checkpoints say that they were
//! written, whatever they are called.

use std::io;
use std::path::{Path, PathBuf};

use crate::audit::checkpoints::gone;
use crate::audit::checkpoints::resume::parsed;
use crate::audit::lines::{LineRead, LogLines};
use crate::audit::read;
use crate::tlog::TreeHash;

/// The files of a log, oldest first.
#[derive(Debug, Clone, Default)]
pub struct LogFiles {
    pub(super) files: Vec<LogPart>,
    /// The hashes of what retention removed, where the whole log is looked at.
    pub(super) hashes: Option<PathBuf>,
    /// Whether these are all files of the log.
    pub(super) is_whole: bool,
    /// Files whose names say another order than their checkpoints: which is before which.
    pub(super) exchanged: Vec<(PathBuf, PathBuf)>,
    /// Files that somebody packed, which are not looked at.
    pub(super) packed: Vec<PathBuf>,
    /// The newest file, where it is not there.
    pub(super) lacks: Option<PathBuf>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogPart {
    pub(super) path: PathBuf,
    /// The entry that its first line is, where that is a checkpoint.
    pub(super) first: Option<u64>,
    /// The hash of that line.
    pub(super) head: Option<TreeHash>,
    /// Its length when it was looked for.
    pub(super) bytes: u64,
}

/// The log at this path with its older files.
///
/// # Errors
/// When they cannot be listed or read.
pub fn files_of(log: &Path) -> io::Result<LogFiles> {
    let (packed, names): (Vec<_>, Vec<_>) =
        read::names(log)?.into_iter().partition(|(_, is_packed)| *is_packed);
    let names: Vec<PathBuf> = names.into_iter().map(|(name, _)| name).collect();
    let is_there = names.iter().any(|name| name == log);
    let mut found = ordered(names)?;
    found.lacks = (!is_there && !found.is_empty()).then(|| log.to_owned());
    found.packed = packed.into_iter().map(|(name, _)| name).collect();
    (found.hashes, found.is_whole) = (Some(gone::hashes_of(log)), true);
    Ok(found)
}

/// These files of a log, which may lack others.
///
/// # Errors
/// When one cannot be read.
pub fn listed(paths: &[PathBuf]) -> io::Result<LogFiles> {
    // Their names say nothing.
    Ok(LogFiles { exchanged: Vec::new(), ..ordered(paths.to_vec())? })
}

impl LogFiles {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Files that somebody packed: nothing of them is looked at.
    #[must_use]
    pub fn packed(&self) -> &[PathBuf] {
        &self.packed
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|part| part.bytes).sum()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }
}

fn ordered(names: Vec<PathBuf>) -> io::Result<LogFiles> {
    let mut files = Vec::new();
    for path in names {
        let bytes = path.metadata()?.len();
        let (first, head) = first_entry(&path)?.unzip();
        files.push(LogPart { path, first, head, bytes });
    }
    let mut exchanged = Vec::new();
    // Files without a checkpoint at their head keep their place.
    let heads: Vec<&LogPart> = files.iter().filter(|part| part.first.is_some()).collect();
    for pair in heads.windows(2) {
        if let [one, other] = pair
            && one.first > other.first
        {
            exchanged.push((one.path.clone(), other.path.clone()));
        }
    }
    if !exchanged.is_empty() {
        files.sort_by_key(|part| part.first);
    }
    Ok(LogFiles { files, exchanged, ..LogFiles::default() })
}

/// The entry that the first line of a file is, where that is a checkpoint.
fn first_entry(path: &Path) -> io::Result<Option<(u64, TreeHash)>> {
    let mut lines = LogLines::open(path)?;
    let Some((LineRead::Line(line), _)) = lines.step()? else { return Ok(None) };
    let claimed = parsed(line).and_then(|checkpoint| checkpoint.claimed());
    Ok(claimed.map(|(head, _)| (head.size, TreeHash::of_leaf(line))))
}
