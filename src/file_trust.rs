//! Who may change a file: [`check`] refuses a file or folder that anyone but root and this
//! process's own user could write, or replace by way of a folder above it (attack E4).
//!
//! Shared by the rooms that read configuration, policies and keys or write the log. It opens
//! nothing and repairs nothing. POSIX access lists need no look of their own: they cannot grant
//! more than the group bits, their mask.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::errno::Words;

/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;
/// Write permission of the group alone.
const GROUP_WRITE: u32 = 0o020;
/// In a folder with this bit nobody can rename or remove what belongs to someone else.
const STICKY: u32 = 0o1000;
/// Symbolic links followed at most, as many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// Who else may write the folders above a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Above {
    /// Nobody: for what decides, like keys, policies and configuration.
    NobodyElse,
    /// Their group, as some distributions have it for `/var/log`: for what only tells, and is
    /// checked each time it is opened.
    GroupToo,
}

/// Why a path is not safe to rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnershipFault {
    /// The file, or a folder above it, belongs to someone else.
    Owner {
        /// Which.
        path: PathBuf,
        /// Its owner's uid.
        uid: u32,
    },
    /// The file, or a folder above it, can be written by its group or by others.
    Writable {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It could not be looked at.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system answered.
        kind: io::ErrorKind,
    },
}

/// Checks `path` and every folder on the way to it from the root, those that symbolic links lead
/// through included.
///
/// A sticky folder that others may write, like `/tmp`, is accepted on the way when root owns it,
/// never as `path`.
///
/// # Errors
/// [`OwnershipFault`] names the first of them that is not safe, from the root on.
pub fn check(path: &Path, above: Above) -> Result<(), OwnershipFault> {
    let unreadable = |path: &Path, kind| OwnershipFault::Unreadable { path: path.into(), kind };
    let me = nix::unistd::geteuid().as_raw();
    let whole = std::path::absolute(path).map_err(|error| unreadable(path, error.kind()))?;
    let (mut place, mut links) = (PathBuf::new(), 0);
    let mut ahead: VecDeque<OsString> = names(&whole);
    while let Some(name) = ahead.pop_front() {
        let next = place.join(&name);
        let metadata =
            fs::symlink_metadata(&next).map_err(|error| unreadable(&next, error.kind()))?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(unreadable(path, io::ErrorKind::InvalidInput));
            }
            judge_owner(&next, &metadata, me)?;
            let target = fs::read_link(&next).map_err(|error| unreadable(&next, error.kind()))?;
            names(&target).into_iter().rev().for_each(|name| ahead.push_front(name));
            continue;
        }
        // Judged before `..` is taken too, so that no folder is passed through unseen.
        judge(&next, &metadata, me, (!ahead.is_empty()).then_some(above))?;
        place = if name == ".." { place.parent().unwrap_or(&place).to_owned() } else { next };
    }
    Ok(())
}

/// The names in a path, the root as `/`; joining an absolute one starts again from the root.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Checks one file that is already open, by what `fstat` says of it.
///
/// # Errors
/// [`OwnershipFault`] when someone else owns it or could write it.
pub fn check_open(path: &Path, metadata: &Metadata) -> Result<(), OwnershipFault> {
    judge(path, metadata, nix::unistd::geteuid().as_raw(), None)
}

fn judge(
    path: &Path,
    metadata: &Metadata,
    me: u32,
    above: Option<Above>,
) -> Result<(), OwnershipFault> {
    judge_owner(path, metadata, me)?;
    let mode = metadata.mode() & 0o7777;
    let sticky_above = above.is_some() && mode & STICKY != 0 && metadata.uid() == 0;
    let writers =
        if above == Some(Above::GroupToo) { OTHERS_WRITE & !GROUP_WRITE } else { OTHERS_WRITE };
    if mode & writers != 0 && !sticky_above {
        return Err(OwnershipFault::Writable { path: path.into(), mode });
    }
    Ok(())
}

fn judge_owner(path: &Path, metadata: &Metadata, me: u32) -> Result<(), OwnershipFault> {
    match metadata.uid() {
        uid if uid == 0 || uid == me => Ok(()),
        uid => Err(OwnershipFault::Owner { path: path.into(), uid }),
    }
}

impl fmt::Display for OwnershipFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { path, uid } => {
                write!(f, "{} belongs to uid {uid}, expected root: run chown root", path.display())
            }
            Self::Writable { path, mode } => {
                write!(
                    f,
                    "{} can be written by others (mode {mode:04o}): run chmod go-w",
                    path.display()
                )
            }
            Self::Unreadable { path, kind } => write!(f, "{}: {}", path.display(), Words(*kind)),
        }
    }
}

impl std::error::Error for OwnershipFault {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn attack_e4_a_file_or_folder_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap().join("policies");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("a.yaml");
        fs::write(&file, "x").unwrap();
        chmod(&folder, 0o755);
        chmod(&file, 0o644);
        assert_eq!(check(&file, Above::NobodyElse), Ok(()));
        for mode in [0o664, 0o646, 0o666] {
            chmod(&file, mode);
            assert_eq!(
                check(&file, Above::NobodyElse),
                Err(OwnershipFault::Writable { path: file.clone(), mode })
            );
        }
        chmod(&file, 0o600);
        for mode in [0o775, 0o757, 0o775 | STICKY] {
            chmod(&folder, mode);
            let asked = if mode & STICKY == 0 { &file } else { &folder };
            assert_eq!(
                check(asked, Above::NobodyElse),
                Err(OwnershipFault::Writable { path: folder.clone(), mode })
            );
        }
    }

    #[test]
    fn attack_e4_a_link_is_judged_by_where_it_leads() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (open, link) = (root.join("open"), root.join("link"));
        fs::create_dir(&open).unwrap();
        fs::write(open.join("key.pub"), "x").unwrap();
        chmod(&open.join("key.pub"), 0o644);
        chmod(&open, 0o777);
        symlink(open.join("key.pub"), &link).unwrap();
        assert_eq!(
            check(&link, Above::NobodyElse),
            Err(OwnershipFault::Writable { path: open.clone(), mode: 0o777 })
        );
        let back = open.join("back");
        fs::write(root.join("real.pub"), "x").unwrap();
        chmod(&root.join("real.pub"), 0o644);
        symlink("../real.pub", &back).unwrap();
        assert_eq!(
            check(&back, Above::NobodyElse),
            Err(OwnershipFault::Writable { path: open.clone(), mode: 0o777 }),
            "it can be re-pointed"
        );
        chmod(&open, 0o755);
        assert_eq!(check(&back, Above::NobodyElse), Ok(()));
        symlink("loop", root.join("loop")).unwrap();
        let endless = OwnershipFault::Unreadable {
            path: root.join("loop"),
            kind: io::ErrorKind::InvalidInput,
        };
        assert_eq!(check(&root.join("loop"), Above::NobodyElse), Err(endless));
    }

    #[test]
    fn attack_e4_another_owner_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("config.toml");
        fs::write(&file, "x").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        let stranger = metadata.uid() + 1;
        let judged = judge(&file, &metadata, stranger, None);
        if metadata.uid() == 0 {
            assert_eq!(judged, Ok(()), "root's files are safe for everyone");
            std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
            assert_eq!(
                check(&file, Above::NobodyElse),
                Err(OwnershipFault::Owner { path: file, uid: 12345 })
            );
        } else {
            assert_eq!(judged, Err(OwnershipFault::Owner { path: file, uid: metadata.uid() }));
        }
    }

    #[test]
    fn a_group_may_write_above_what_only_tells() {
        let dir = tempfile::tempdir().unwrap();
        let (var, log) = (dir.path().join("log"), dir.path().join("log/sealgate"));
        fs::create_dir_all(&log).unwrap();
        chmod(&log, 0o750);
        for (mode, group, nobody) in
            [(0o755, true, true), (0o775, true, false), (0o777, false, false)]
        {
            chmod(&var, mode);
            assert_eq!(check(&log, Above::GroupToo).is_ok(), group, "{mode:o}");
            assert_eq!(check(&log, Above::NobodyElse).is_ok(), nobody, "{mode:o}");
        }
        chmod(&var, 0o775);
        chmod(&log, 0o770);
        assert_eq!(
            check(&log, Above::GroupToo),
            Err(OwnershipFault::Writable { path: log, mode: 0o770 })
        );
    }

    #[test]
    fn what_is_not_there_is_said_to_be_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent");
        assert_eq!(
            check(&path, Above::NobodyElse),
            Err(OwnershipFault::Unreadable { path, kind: io::ErrorKind::NotFound })
        );
    }
}
