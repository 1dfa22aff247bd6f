//! [`read`] and [`names`]: bounded reading of files that nobody else may write.
//!
//! What is checked is what was opened, and every folder and link on the way to it: whoever may
//! write one of them may put in its place another that belongs to root as well, by a new name or a
//! link. Links are followed (Kubernetes mounts its ConfigMaps as links).

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use super::error::FileFault;
use crate::file_trust::{self, Above, OwnershipFault};

/// Permission bits that let others write: group and world.
const OTHERS_WRITE: u32 = 0o022;
/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// Who may write what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// Root and we alone: it decides.
    NobodyElse,
    /// Anybody.
    Anybody,
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`FileFault`] when it cannot be read, is no file, is too large, or others may write it.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileFault> {
    read_of(path, limit, Owners::NobodyElse)
}

/// The same, of a file that decides nothing where anybody may write it: somebody looks it over
/// before it is installed.
///
/// # Errors
/// As [`read`].
pub(super) fn read_of(path: &Path, limit: usize, owners: Owners) -> Result<Vec<u8>, FileFault> {
    // Opening a pipe would wait for a writer; with this it does not, and regular files do not mind.
    let mut options = OpenOptions::new();
    let file =
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    if !metadata.is_file() {
        return Err(FileFault::NotFile);
    }
    if owners == Owners::NobodyElse {
        check(path, &metadata)?;
        check_way(path)?;
    }
    bounded(file, limit)
}

/// The names in a folder, sorted.
///
/// # Errors
/// [`FileFault`] when it cannot be read, is no folder, holds more than `limit`, or others may write
/// it.
pub(super) fn names(folder: &Path, limit: usize) -> Result<Vec<OsString>, FileFault> {
    names_of(folder, limit, Owners::NobodyElse)
}

/// The same, of a folder that decides nothing where anybody may write it.
///
/// # Errors
/// As [`names`].
pub(super) fn names_of(
    folder: &Path,
    limit: usize,
    owners: Owners,
) -> Result<Vec<OsString>, FileFault> {
    let metadata = folder.metadata().map_err(fault)?;
    if !metadata.is_dir() {
        return Err(FileFault::NotFolder);
    }
    if owners == Owners::NobodyElse {
        check(folder, &metadata)?;
        check_way(folder)?;
    }
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(fault)? {
        if names.len() >= limit {
            return Err(FileFault::TooMany { limit });
        }
        names.push(entry.map_err(fault)?.file_name());
    }
    names.sort();
    Ok(names)
}

fn bounded(file: File, limit: usize) -> Result<Vec<u8>, FileFault> {
    let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(more).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > limit { Err(FileFault::TooLarge { limit }) } else { Ok(bytes) }
}

/// Checks what leads there.
fn check_way(path: &Path) -> Result<(), FileFault> {
    file_trust::check(path, Above::NobodyElse).map_err(|fault| match fault {
        OwnershipFault::Owner { path, uid } => FileFault::Owner { what: path, uid },
        OwnershipFault::Writable { path, mode } => FileFault::Writable { what: path, mode },
        OwnershipFault::Unreadable { kind, .. } => FileFault::Io(kind),
    })
}

fn check(what: &Path, metadata: &Metadata) -> Result<(), FileFault> {
    let us = nix::unistd::geteuid().as_raw();
    judge(what, metadata.uid(), metadata.mode() & PERMISSIONS, us)
}

/// Whether somebody else than root and we may write it (attack E4).
fn judge(what: &Path, uid: u32, mode: u32, us: u32) -> Result<(), FileFault> {
    if uid != 0 && uid != us {
        return Err(FileFault::Owner { what: what.to_owned(), uid });
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(FileFault::Writable { what: what.to_owned(), mode });
    }
    Ok(())
}

fn fault(error: io::Error) -> FileFault {
    FileFault::Io(error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack E4: state, policy and key files writable by others.
    #[test]
    fn attack_e4_only_root_and_we_may_own_and_write() {
        let path = Path::new("x");
        for (uid, mode, us, good) in [
            (0, 0o644, 0, true),
            (0, 0o755, 1000, true),
            (1000, 0o600, 1000, true),
            (1000, 0o600, 0, false),
            (1001, 0o600, 1000, false),
            (0, 0o664, 0, false),
            (0, 0o646, 0, false),
            (0, 0o666, 0, false),
            (0, 0o1777, 0, false),
        ] {
            assert_eq!(judge(path, uid, mode, us).is_ok(), good, "{uid} {mode:o} {us}");
        }
    }
}
