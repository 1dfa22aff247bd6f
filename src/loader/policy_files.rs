//! [`policy_files`]: the files of the folders of policies, read in the order in which they count.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::{FileFault, Problem, Warning};
use super::files::{self, Owners};
use super::folders::{FileRead, FolderRead, PolicyFolders};
use crate::policy::{DocumentCounts, DocumentsReader, FILE_MAX, ParsedFile, PolicyFile};

/// Most policy files of one folder: as many as there can be policies.
pub(super) const FILES_MAX: usize = 4096;
/// Most bytes of policy over all files: enough for as many policies as there may be, with a hundred
/// patterns each.
pub(super) const TOTAL_MAX: usize = 16 * 1024 * 1024;
/// Policy files that are read side by side before the bytes of all are counted again.
const BATCH: usize = 64;
/// Most threads that read policy files: a node has a few processors, and other things to do.
const THREADS_MAX: usize = 4;
/// Endings of the files that are policies.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A file as it would be, to be read in place of what is there.
#[derive(Debug)]
pub struct Candidate<'c> {
    /// Its name in the operator's folder of policies.
    pub name: &'c str,
    /// What it would hold; none when it would be gone.
    pub bytes: Option<Vec<u8>>,
}

/// What is to be read in place of what is there.
pub(super) struct Changes<'c> {
    pub(super) candidate: Option<&'c Candidate<'c>>,
    /// Files of elsewhere, no two of one name.
    pub(super) files: &'c [PathBuf],
}

/// What was read.
pub(super) struct PolicyFiles {
    /// All that is not faulty.
    pub(super) reader: DocumentsReader,
    /// Each folder.
    pub(super) folders: Vec<FolderRead>,
}

/// Where problems and warnings go.
type Told<'t> = (&'t mut Vec<Problem>, &'t mut Vec<Warning>);

/// Whether a file of this name in the folder of policies is read.
#[must_use]
pub fn is_policy_file(file: &Path) -> bool {
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    is_policy(file) && !file.file_name().is_none_or(is_hidden)
}

/// The names in a folder, sorted; none where there is no such folder.
///
/// # Errors
/// As [`files::names_of`]. A link that leads nowhere is a fault: something is meant to be there.
pub(super) fn names_in(folder: &Path, owners: Owners) -> Result<Option<Vec<OsString>>, FileFault> {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(_) | Err(_) => files::names_of(folder, FILES_MAX, owners).map(Some),
    }
}

/// That none of the folders is there.
pub(super) fn none_is_there(folders: &PolicyFolders) -> Problem {
    let file = folders.written().to_owned();
    Problem::File { file, fault: FileFault::Io(ErrorKind::NotFound) }
}

/// Reads the files of the folders of policies, in the order of their names. Their bytes are let go
/// as they are read: only what they say is held.
pub(super) fn policy_files(
    (folders, owners): (&PolicyFolders, Owners),
    changes: &Changes<'_>,
    told: Told<'_>,
) -> PolicyFiles {
    let (mut reader, mut read, mut left) = (DocumentsReader::default(), Vec::new(), TOTAL_MAX);
    let (problems, warnings) = told;
    for folder in folders.all() {
        reader.begin_folder();
        let device = folder.metadata().ok().map(|metadata| metadata.dev());
        let names = match names_in(folder, owners) {
            Ok(names) => names,
            Err(fault) => {
                problems.push(Problem::File { file: folder.clone(), fault });
                continue;
            }
        };
        let none = Changes { candidate: None, files: &[] };
        let changes = if folder == folders.written() { changes } else { &none };
        let is_there = names.is_some() || changes.candidate.is_some() || !changes.files.is_empty();
        let paths = paths((folder, names.unwrap_or_default()), changes, warnings);
        let from = (paths.as_slice(), owners, changes.candidate);
        let (documents, files) = add_all(from, (&mut reader, &mut left), problems);
        read.push(FolderRead { folder: folder.clone(), is_there, device, documents, files });
        if left == 0 {
            break;
        }
    }
    if problems.is_empty() && !read.iter().any(|folder| folder.is_there) {
        problems.push(none_is_there(folders));
    }
    // Those of packages alone may ask for less than the operator's would.
    let is_missing = |read: &&FolderRead| read.folder == folders.written() && !read.is_there;
    if let Some(missing) = read.iter().find(is_missing).filter(|_| folders.has_operators()) {
        warnings.push(Warning::NoFolder { folder: missing.folder.clone() });
    }
    PolicyFiles { reader, folders: read }
}

/// The files of one folder that are policies, in the order of their names.
fn paths(
    (folder, mut names): (&Path, Vec<OsString>),
    changes: &Changes<'_>,
    warnings: &mut Vec<Warning>,
) -> Vec<PathBuf> {
    if let Some(candidate) = changes.candidate {
        names.retain(|name| name != candidate.name);
        names.extend(candidate.bytes.iter().map(|_| candidate.name.into()));
    }
    let elsewhere = |name: &OsString| {
        changes.files.iter().find(|file| file.file_name() == Some(name.as_os_str()))
    };
    names.retain(|name| elsewhere(name).is_none());
    names.extend(changes.files.iter().filter_map(|file| Some(file.file_name()?.to_owned())));
    names.sort();
    let mut paths = Vec::new();
    for name in names.into_iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
        let path = elsewhere(&name).cloned().unwrap_or_else(|| folder.join(&name));
        if is_policy(&path) {
            paths.push(path);
        } else {
            warnings.push(Warning::Ignored { file: path });
        }
    }
    paths
}

/// Reads these files, as far as the bytes that are left go, and says what they have. Where they do
/// not, none is left.
fn add_all(
    (paths, owners, candidate): (&[PathBuf], Owners, Option<&Candidate<'_>>),
    (reader, left): (&mut DocumentsReader, &mut usize),
    problems: &mut Vec<Problem>,
) -> (DocumentCounts, Vec<FileRead>) {
    let (mut documents, mut files) = (DocumentCounts::default(), Vec::new());
    for batch in paths.chunks(BATCH) {
        for (file, parsed) in batch.iter().zip(parsed((batch, owners), candidate)) {
            match parsed {
                Ok((parsed, _)) if parsed.length() > *left => {
                    let fault = FileFault::TooMuch { limit: TOTAL_MAX };
                    problems.push(Problem::File { file: file.clone(), fault });
                    *left = 0;
                    return (documents, files);
                }
                Ok((parsed, text)) => {
                    *left -= parsed.length();
                    documents += parsed.counts();
                    let (digest, names) = (parsed.digest(), parsed.documents());
                    files.push(FileRead { file: file.clone(), digest, documents: names, text });
                    reader.add(parsed);
                }
                Err(fault) => problems.push(Problem::File { file: file.clone(), fault }),
            }
        }
    }
    (documents, files)
}

/// Whether a file of the folder of policies is one of them, by its ending.
pub(super) fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// A file that was parsed, and its bytes.
type ReadFile = (ParsedFile, Arc<[u8]>);

/// The policy files at these paths, in their order, read side by side.
fn parsed(
    (paths, owners): (&[PathBuf], Owners),
    candidate: Option<&Candidate<'_>>,
) -> Vec<Result<ReadFile, FileFault>> {
    let next = AtomicUsize::new(0);
    let read = || {
        let mut read = Vec::new();
        while let Some((number, path)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            paths.get(number).map(|path| (number, path))
        } {
            let written = candidate
                .filter(|candidate| path.file_name().is_some_and(|name| name == candidate.name))
                .and_then(|candidate| candidate.bytes.clone());
            let file = written.map_or_else(|| files::read_of(path, FILE_MAX, owners), Ok);
            let file = file.map(|bytes| {
                let file = PolicyFile { name: path.to_string_lossy().into_owned(), bytes };
                (file.parse(), Arc::from(file.bytes))
            });
            read.push((number, file));
        }
        read
    };
    let others = std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(THREADS_MAX)
        .min(paths.len());
    let mut all = std::thread::scope(|scope| {
        // One that cannot be started leaves its work to the others.
        let started =
            (1..others).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, read).ok());
        let started: Vec<_> = started.collect();
        let mut all = read();
        for thread in started {
            // No file may be missing without a word.
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, file)| file).collect()
}
