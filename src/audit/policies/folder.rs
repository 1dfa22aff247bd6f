//! [`TextFolder`]: the folder beside the log. Puts texts there whole or not at all, and takes out those
//! that no list names.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

use super::fault::TextFault;
use super::texts::{
    GenerationTexts, KeptGeneration, LIST, LIST_ENDING, TEXT_ENDING, name_of_list, name_of_text,
};
use crate::audit::lines::beside;
use crate::file_trust::{self, Above};

/// Bytes that the folder may take on the disk: four times what the loader reads of policies at all,
/// so that the largest set may change whole three times; a usual set of some kilobytes changes
/// thousands of times.
pub const FOLDER_MAX: u64 = 64 << 20;
/// Bytes of one file there at most: what the loader reads of all policies together.
pub(super) const FILE_MAX: u64 = 16 << 20;
/// What a file takes on the disk at least, in bytes: a block. So the number of files is bounded too.
const BLOCK: u64 = 4096;
/// Files of the folder that are looked at: as many as its bytes allow, and again as many of others.
const ENTRIES_MAX: usize = 32_768;
/// Permission bits of the folder, and of each file in it: whoever may read the log may read why.
const FOLDER_MODE: u32 = 0o750;
const MODE: u32 = 0o640;
/// How a file is called until it is whole.
const NEW: &str = ".new";

/// The folder.
#[derive(Debug)]
pub(super) struct TextFolder {
    path: PathBuf,
}

/// Where the texts are kept of the policies that this log names.
#[must_use]
pub fn folder_of(log: &Path) -> PathBuf {
    beside(log, "policies")
}

impl TextFolder {
    /// That of a log. Touches no disk.
    pub(super) fn of(log: &Path) -> Self {
        Self { path: folder_of(log) }
    }

    /// Puts the texts there that are not, and then the list that names them.
    pub(super) fn keep(&self, texts: &GenerationTexts) -> Result<(), TextFault> {
        let list = name_of_list(&texts.policy_generation)?;
        let bytes = serde_json::to_vec_pretty(&texts.list());
        let bytes = bytes.map_err(|error| TextFault::Malformed { message: error.to_string() })?;
        self.ready()?;
        let mut missing = Vec::new();
        for text in &texts.files {
            let name = name_of_text(&text.digest)?;
            if !missing.iter().any(|(other, _)| *other == name) && !self.holds(&name, &text.text) {
                missing.push((name, &*text.text));
            }
        }
        if !self.holds(&list, &bytes) {
            missing.push((list, &bytes));
        }
        let more = missing.iter().map(|(_, bytes)| on_disk(length(bytes)));
        let more = more.fold(0_u64, u64::saturating_add);
        if more > 0 && self.bytes()?.saturating_add(more) > FOLDER_MAX {
            return Err(TextFault::TooMuch { path: self.path.clone(), limit: FOLDER_MAX });
        }
        missing.iter().try_for_each(|(name, bytes)| self.put(name, bytes))?;
        sync(&self.path)
    }

    /// Takes out the lists of other generations than these, and the texts that no list left names.
    /// Where a list cannot be read no text goes.
    pub(super) fn sweep(&self, named: &BTreeSet<String>) -> Result<(), TextFault> {
        if fs::symlink_metadata(&self.path).is_err() {
            return Ok(());
        }
        self.check()?;
        let (mut wanted, mut texts) = (BTreeSet::new(), Vec::new());
        for (path, name, _) in self.entries()? {
            let list = name.strip_prefix(LIST).and_then(|rest| rest.strip_suffix(LIST_ENDING));
            match list {
                Some(generation) if named.contains(generation) => {
                    let files = read_list(&path)?.files.into_iter();
                    wanted.extend(files.filter_map(|file| name_of_text(&file.digest).ok()));
                }
                Some(_) => remove(&path)?,
                None if name.ends_with(TEXT_ENDING) => texts.push((path, name)),
                None => {}
            }
        }
        texts
            .iter()
            .filter(|(_, name)| !wanted.contains(name))
            .try_for_each(|(path, _)| remove(path))?;
        sync(&self.path)
    }

    /// Makes the folder where there is none, and checks it.
    fn ready(&self) -> Result<(), TextFault> {
        match DirBuilder::new().mode(FOLDER_MODE).create(&self.path) {
            Ok(()) => sync(self.path.parent().unwrap_or(&self.path))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(TextFault::io(&self.path, &error)),
        }
        self.check()
    }

    fn check(&self) -> Result<(), TextFault> {
        let found = fs::symlink_metadata(&self.path);
        if !found.map_err(|error| TextFault::io(&self.path, &error))?.is_dir() {
            return Err(TextFault::NotAFolder { path: self.path.clone() });
        }
        file_trust::check(&self.path, Above::GroupToo).map_err(TextFault::Unsafe)
    }

    /// Whether a file of ours is there with just these bytes.
    fn holds(&self, name: &str, bytes: &[u8]) -> bool {
        read(&self.path.join(name), length(bytes)).is_ok_and(|found| found == bytes)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), TextFault> {
        let (path, new) = (self.path.join(name), self.path.join(NEW));
        let _nothing_there_mostly = fs::remove_file(&new);
        let mut how = OpenOptions::new();
        how.write(true).create_new(true).mode(MODE).custom_flags(libc::O_NOFOLLOW);
        let written = how.open(&new).and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(MODE))?;
            file.write_all(bytes)?;
            file.sync_all()
        });
        let placed = written.and_then(|()| fs::rename(&new, &path));
        placed.map_err(|error| {
            let _it_may_not_be_there = fs::remove_file(&new);
            TextFault::io(&path, &error)
        })
    }

    /// What the folder takes on the disk, in bytes.
    fn bytes(&self) -> Result<u64, TextFault> {
        let sizes = self.entries()?.into_iter().map(|(_, _, is)| on_disk(is.len()));
        Ok(sizes.fold(0, u64::saturating_add))
    }

    fn entries(&self) -> Result<Vec<(PathBuf, String, Metadata)>, TextFault> {
        let failed = |error: io::Error| TextFault::io(&self.path, &error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)?.take(ENTRIES_MAX) {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push((entry.path(), name, entry.metadata().map_err(failed)?));
        }
        Ok(entries)
    }
}

/// The list in this file.
pub(super) fn read_list(path: &Path) -> Result<KeptGeneration, TextFault> {
    let bytes = read(path, FILE_MAX).map_err(|error| TextFault::io(path, &error))?;
    let malformed = |error: serde_json::Error| TextFault::Malformed { message: error.to_string() };
    serde_json::from_slice(&bytes).map_err(malformed)
}

/// A file of ours, of at most so many bytes: no link, and nobody else's.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut how = OpenOptions::new();
    how.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = how.open(path)?;
    let is = file.metadata()?;
    if !is.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if is.len() > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    file_trust::check_open(path, &is).map_err(|_| io::ErrorKind::PermissionDenied)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn remove(path: &Path) -> Result<(), TextFault> {
    fs::remove_file(path).map_err(|error| TextFault::io(path, &error))
}

fn sync(folder: &Path) -> Result<(), TextFault> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| TextFault::io(folder, &error))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK).max(1).saturating_mul(BLOCK)
}
