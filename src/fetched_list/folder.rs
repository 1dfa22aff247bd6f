//! [`ListFolder`]: the files of fetched lists: of each the list with its signature, and the highest
//! version that was taken.
//!
//! A file is written beside its place, flushed, renamed over it, and the folder flushed. The version
//! goes first: were it the other way round, a crash in between would let an older list come back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::fault::FolderFault;
use super::kept::KEPT_MAX;
use super::remembered::KnownVersion;
use crate::file_trust::{self, Above};

/// Permission bits of the folder.
const FOLDER_MODE: u32 = 0o755;
/// Permission bits of files.
const FILE_MODE: u32 = 0o644;
/// How the file of a list ends.
const LIST_ENDING: &str = ".list.json";
/// Most entries of the folder that are looked at: two files for each list, and what lies about.
const ENTRIES_MAX: usize = 256;
/// Longest file of a version: a number and a digest.
const VERSION_MAX: usize = 256;

/// Where fetched lists are kept.
#[derive(Debug, Clone)]
pub struct ListFolder(PathBuf);

impl ListFolder {
    /// This one; it need not be there.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The file of a list.
    #[must_use]
    pub fn list_file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}{LIST_ENDING}"))
    }

    /// The list of which this is the file; none where it is none.
    #[must_use]
    pub fn name_of(file: &Path) -> Option<String> {
        let name = file.file_name()?.to_str()?.strip_suffix(LIST_ENDING)?;
        (!name.starts_with('.')).then(|| name.to_owned())
    }

    /// The file of the version that is remembered of a list.
    #[must_use]
    pub fn version_file(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.version.json"))
    }

    /// The lists of which something is kept, in order; none where the folder cannot be read.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = self.0.read_dir().into_iter().flatten().take(ENTRIES_MAX);
        let name = |entry: io::Result<fs::DirEntry>| Self::name_of(&entry.ok()?.path());
        let mut names: Vec<String> = entries.filter_map(name).collect();
        names.sort();
        names
    }

    /// What is kept of a list; none where nothing is.
    ///
    /// # Errors
    /// [`FolderFault`] when it cannot be read, or others could change it.
    pub fn list(&self, name: &str) -> Result<Option<Vec<u8>>, FolderFault> {
        read(&self.list_file(name), KEPT_MAX)
    }

    /// The version that is remembered of a list; none where none is.
    ///
    /// # Errors
    /// [`FolderFault`] when it cannot be read, others could change it, or it is none.
    pub fn version(&self, name: &str) -> Result<Option<KnownVersion>, FolderFault> {
        let path = self.version_file(name);
        let Some(bytes) = read(&path, VERSION_MAX)? else { return Ok(None) };
        let remembered = KnownVersion::parse(&bytes);
        remembered.map(Some).map_err(|why| FolderFault::Malformed { path, why })
    }

    /// Remembers a version of a list, durably.
    ///
    /// # Errors
    /// [`FolderFault`] when it could not be written; what was remembered before still is.
    pub fn remember(&self, name: &str, version: &KnownVersion) -> Result<(), FolderFault> {
        self.replace(&self.version_file(name), &version.to_json())
    }

    /// Keeps a list, durably; its version has been remembered.
    ///
    /// # Errors
    /// [`FolderFault`] when it could not be written; what was kept before still is.
    pub fn keep(&self, name: &str, kept: &[u8]) -> Result<(), FolderFault> {
        self.replace(&self.list_file(name), kept)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FolderFault> {
        let failed = |error: io::Error| io_fault(path, &error);
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.0).map_err(failed)?;
        file_trust::check(&self.0, Above::NobodyElse).map_err(FolderFault::Unsafe)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = self.0.join(format!(".{name}.new"));
        // What a crash left there is of no use.
        let _may_not_be_there = fs::remove_file(&beside);
        let mut how = OpenOptions::new();
        how.write(true).create_new(true).mode(FILE_MODE);
        let mut file = how.open(&beside).map_err(failed)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let put = written.and_then(|()| fs::rename(&beside, path));
        if put.is_err() {
            let _may_not_be_there = fs::remove_file(&beside);
        }
        put.and_then(|()| File::open(&self.0)?.sync_all()).map_err(failed)
    }
}

fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, FolderFault> {
    let failed = |error: &io::Error| io_fault(path, error);
    let mut how = OpenOptions::new();
    // A link or a pipe is none of ours.
    how.read(true).custom_flags(OFlag::O_NONBLOCK.union(OFlag::O_NOFOLLOW).bits());
    let file = match how.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    let malformed = |why: String| FolderFault::Malformed { path: path.to_owned(), why };
    if !metadata.is_file() {
        return Err(malformed("no regular file".to_owned()));
    }
    file_trust::check_open(path, &metadata).map_err(FolderFault::Unsafe)?;
    file_trust::check(path, Above::NobodyElse).map_err(FolderFault::Unsafe)?;
    let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(more).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() > limit {
        return Err(malformed(format!("longer than {limit} bytes")));
    }
    Ok(Some(bytes))
}

fn io_fault(path: &Path, error: &io::Error) -> FolderFault {
    FolderFault::Io { path: path.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::image::Digest;

    #[test]
    fn what_was_remembered_and_kept_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ListFolder::new(&dir.path().join("deny-lists"));
        assert_eq!(folder.version("fleet"), Ok(None));
        assert_eq!(folder.list("fleet"), Ok(None));
        for version in [7, 8] {
            let remembered = KnownVersion { version, digest: Some(Digest::of(b"x")) };
            folder.remember("fleet", &remembered).unwrap();
            // A crash in the middle of the next write leaves this.
            fs::write(dir.path().join("deny-lists/.fleet.version.json.new"), "half").unwrap();
            assert_eq!(folder.version("fleet"), Ok(Some(remembered)));
            folder.keep("fleet", format!("list {version}").as_bytes()).unwrap();
            let kept = folder.list("fleet").unwrap().unwrap();
            assert_eq!(kept, format!("list {version}").into_bytes());
        }
        assert_eq!(folder.version("other"), Ok(None));
        assert_eq!(folder.names(), ["fleet"]);
        assert!(ListFolder::new(&dir.path().join("none")).names().is_empty());
    }

    /// Attack E4: files that others could change, links, and no files at all.
    #[test]
    fn attack_e4_a_kept_list_that_others_could_change_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = ListFolder::new(dir.path());
        folder.keep("a", b"list").unwrap();
        fs::set_permissions(folder.list_file("a"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(folder.list("a"), Err(FolderFault::Unsafe(_))));
        folder.keep("b", b"list").unwrap();
        symlink(folder.list_file("b"), folder.list_file("c")).unwrap();
        assert!(folder.list("c").is_err());
        fs::create_dir(folder.list_file("d")).unwrap();
        assert!(folder.list("d").is_err());
        fs::write(folder.version_file("e"), "x".repeat(VERSION_MAX + 1)).unwrap();
        assert!(matches!(folder.version("e"), Err(FolderFault::Malformed { .. })));
        fs::write(folder.version_file("f"), "").unwrap();
        assert!(matches!(folder.version("f"), Err(FolderFault::Malformed { .. })));
    }
}
