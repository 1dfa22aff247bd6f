//! Policies and what they name from disk: [`load`] reads the policies, keys, certificates,
//! revocation lists and trust roots whole and makes a [`PolicySet`], or says everything that is
//! wrong with them.
//!
//! A file that others may write decides nothing: it is refused, by name (attack E4). Nothing is
//! loaded in part, nothing is watched and nothing is remembered; a reload is another [`load`], and
//! whoever asks for it keeps the old set when that fails.

mod check;
mod error;
mod files;
mod folder_state;
pub mod lifetime;
mod roots;
mod shipped;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::policy::{
    Documents, DocumentsReader, FILE_MAX, Material, Mode, ParsedFile, Patterns, PolicyFile,
    PolicySet, Unmatched,
};
use crate::verify::{PublicKey, TrustRoot};
use files::Owners;

pub use check::{Check, CheckSource, Checked, Remark, Severity};
pub use folder_state::FolderState;

pub use error::{FileFault, LoadError, Problem, RootFault, Warning};
pub use roots::{
    Found, ROOT_MAX, TrustOptions, find, is_root_name, parse_root, survey, tuf_root, tuf_root_file,
};
pub use shipped::{Shipped, shipped};
pub use watch::{Kept, Watch};

/// Most policy files: as many as there can be policies.
const FILES_MAX: usize = 4096;
/// Most bytes of policy over all files: enough for as many policies as there may be, with a hundred
/// patterns each.
const TOTAL_MAX: usize = 16 * 1024 * 1024;
/// Policy files that are read side by side before the bytes of all are counted again.
const BATCH: usize = 64;
/// Most threads that read policy files: a node has a few processors, and other things to do.
const THREADS_MAX: usize = 4;
/// Most bytes of one key file that are read; longer than any that is accepted, so that the key's
/// own reader says so.
const KEY_MAX: usize = 32 * 1024;
/// Most bytes of one file of certificates or revocation lists; a list of some ten thousand
/// certificates has 1 MiB.
const CERTIFICATES_MAX: usize = 4 * 1024 * 1024;
/// Endings of the files that are policies.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Where policies and keys are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The folder of policies: every `*.yaml`, `*.yml` and `*.json` in it that does not begin with
    /// a dot, in the order of their names; not its subfolders. At most 4096 files, 1 MiB each, 16
    /// MiB together. Default: `/etc/sealgate/policies`.
    pub policies: PathBuf,
    /// The folder of keys, certificates and revocation lists: where a policy names such a file
    /// without a leading slash, it is below this folder. Default: `/etc/sealgate/keys`.
    pub keys: PathBuf,
    /// What becomes of an image that no policy matches: `deny`, or `insecure-admit` while policies
    /// are being written. Default: `deny`.
    pub unmatched: Unmatched,
    /// What the gate does about an image that is denied: `enforce` refuses it, `observe` records
    /// that it would have been refused and forwards the call. Default: `enforce`.
    pub mode: Mode,
    /// How many days ahead the end of an Exception may be, 1 to 3650. One that ends later, like one
    /// that has ended, admits nothing. Default: 90.
    pub max_exception_days: u16,
}

/// Days that an exception may have at most, ten years; 1 at least.
const EXCEPTION_DAYS_MAX: u16 = 3650;

/// A file as it would be, to be read in place of what is there.
#[derive(Debug)]
pub struct Candidate<'c> {
    /// Its name in the folder of policies.
    pub name: &'c str,
    /// What it would hold; none when it would be gone.
    pub bytes: Option<Vec<u8>>,
}

impl Options {
    /// How far ahead the end of an exception may be.
    fn exception_span(&self) -> jiff::SignedDuration {
        let days = self.max_exception_days.clamp(1, EXCEPTION_DAYS_MAX);
        jiff::SignedDuration::from_hours(24 * i64::from(days))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policies: PathBuf::from("/etc/sealgate/policies"),
            keys: PathBuf::from("/etc/sealgate/keys"),
            unmatched: Unmatched::Deny,
            mode: Mode::Enforce,
            max_exception_days: 90,
        }
    }
}

/// A set that was loaded, and what an operator should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// The set.
    pub policies: PolicySet,
    /// What is no error and likely not meant.
    pub warnings: Vec<Warning>,
    /// The trust roots that the policies name.
    pub roots: Vec<String>,
    /// What the policies rest on and ends, and when: keys, certificates and revocation lists.
    pub ends: Vec<(String, jiff::Timestamp)>,
}

/// Reads every policy and everything that they name. A set that names no trust root reads none.
///
/// # Errors
/// [`LoadError`] with every problem that was found.
pub fn load(options: &Options, trust: &TrustOptions) -> Result<Loaded, LoadError> {
    load_with(options, trust, None)
}

/// The same, as it would be with one file of the folder of policies replaced.
///
/// # Errors
/// [`LoadError`] with every problem that was found.
pub fn load_with(
    options: &Options,
    trust: &TrustOptions,
    candidate: Option<&Candidate<'_>>,
) -> Result<Loaded, LoadError> {
    load_changed((options, trust), &Changes { candidate, files: &[] })
}

/// The same, with the patterns of the documents, by which is explained what matches. Where the
/// files are not those that decide on this node, anybody may write them, and the shipped trust roots
/// stand for those that the node does not have.
///
/// # Errors
/// [`LoadError`] with every problem that was found.
pub fn load_with_patterns(
    options: &Options,
    trust: &TrustOptions,
    is_in_force: bool,
) -> Result<(Loaded, Patterns), LoadError> {
    let owners = if is_in_force { Owners::NobodyElse } else { Owners::Anybody };
    let mut patterns = Patterns::default();
    let mut keep = |documents: &Documents| patterns = documents.patterns();
    let loaded =
        load_as((options, trust), &Changes { candidate: None, files: &[] }, owners, &mut keep)?;
    Ok((loaded, patterns))
}

/// The same, as it would be with these files of elsewhere in the folder of policies: each stands
/// for the one of its name there, or is one more. Faults are told of them where they are.
///
/// # Errors
/// [`LoadError`] with every problem that was found.
pub fn load_with_files(
    options: &Options,
    trust: &TrustOptions,
    files: &[PathBuf],
) -> Result<Loaded, LoadError> {
    load_changed((options, trust), &Changes { candidate: None, files })
}

/// What is to be read in place of what is there.
struct Changes<'c> {
    candidate: Option<&'c Candidate<'c>>,
    /// Files of elsewhere, no two of one name.
    files: &'c [PathBuf],
}

fn load_changed(
    from: (&Options, &TrustOptions),
    changes: &Changes<'_>,
) -> Result<Loaded, LoadError> {
    load_as(from, changes, Owners::NobodyElse, &mut |_: &Documents| ())
}

fn load_as(
    (options, trust): (&Options, &TrustOptions),
    changes: &Changes<'_>,
    owners: Owners,
    inspect: &mut dyn FnMut(&Documents),
) -> Result<Loaded, LoadError> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let told = (&mut problems, &mut warnings);
    let reader = policy_files((&options.policies, owners), changes, told);
    let documents = match reader.finish() {
        Ok(documents) if problems.is_empty() => documents,
        Ok(_) => return Err(LoadError { problems }),
        Err(errors) => {
            problems.extend(errors.into_iter().map(Problem::Policy));
            return Err(LoadError { problems });
        }
    };
    if documents.is_empty() {
        warnings.push(Warning::NoPolicy {
            folder: options.policies.clone(),
            unmatched: options.unmatched,
        });
    }
    warnings.extend(documents.notes().iter().cloned().map(Warning::Odd));
    let mut material = Material {
        keys: keys(&documents, (&options.keys, owners), &mut problems),
        files: certificates(&documents, (&options.keys, owners), &mut problems),
        roots: trust_roots(&documents, trust, &mut problems),
    };
    if matches!(owners, Owners::Anybody) {
        shipped::take_shipped(&mut problems, &mut material);
    }
    if !problems.is_empty() {
        return Err(LoadError { problems });
    }
    inspect(&documents);
    let roots = material.roots.keys().cloned().collect();
    match PolicySet::build(documents, material, options.unmatched) {
        Ok(policies) => {
            let span = options.exception_span();
            let policies = policies.with_exception_span(span).in_mode(options.mode);
            let ends =
                policies.expiries().into_iter().map(|expiry| (expiry.what, expiry.until)).collect();
            Ok(Loaded { policies, warnings, roots, ends })
        }
        Err(errors) => {
            Err(LoadError { problems: errors.into_iter().map(Problem::Policy).collect() })
        }
    }
}

/// Whether a file of this name in the folder of policies is read.
#[must_use]
pub fn is_policy_file(file: &Path) -> bool {
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    is_policy(file) && !file.file_name().is_none_or(is_hidden)
}

/// Reads the files of the policy folder, in the order of their names. Their bytes are let go as
/// they are read: only what they say is held.
fn policy_files(
    (folder, owners): (&Path, Owners),
    changes: &Changes<'_>,
    (problems, warnings): (&mut Vec<Problem>, &mut Vec<Warning>),
) -> DocumentsReader {
    let mut reader = DocumentsReader::default();
    let mut names = match files::names_of(folder, FILES_MAX, owners) {
        Ok(names) => names,
        Err(fault) => {
            problems.push(Problem::File { file: folder.to_owned(), fault });
            return reader;
        }
    };
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
    let mut total = 0usize;
    for batch in paths.chunks(BATCH) {
        for (file, parsed) in batch.iter().zip(parsed((batch, owners), changes.candidate)) {
            let left = TOTAL_MAX.saturating_sub(total);
            match parsed {
                Ok(parsed) if parsed.length() > left => {
                    let fault = FileFault::TooMuch { limit: TOTAL_MAX };
                    problems.push(Problem::File { file: file.clone(), fault });
                    return reader;
                }
                Ok(parsed) => {
                    total += parsed.length();
                    reader.add(parsed);
                }
                Err(fault) => problems.push(Problem::File { file: file.clone(), fault }),
            }
        }
    }
    reader
}

/// Whether a file of the folder of policies is one of them, by its ending.
fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// The policy files at these paths, in their order, read side by side.
fn parsed(
    (paths, owners): (&[PathBuf], Owners),
    candidate: Option<&Candidate<'_>>,
) -> Vec<Result<ParsedFile, FileFault>> {
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
            let file =
                file.map(|bytes| PolicyFile { name: path.to_string_lossy().into_owned(), bytes });
            read.push((number, file.map(|file| file.parse())));
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

/// The keys that the policies name, each under its name as written.
fn keys(
    documents: &Documents,
    (folder, owners): (&Path, Owners),
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, PublicKey> {
    let mut keys = BTreeMap::new();
    for (name, place) in documents.places_of_keys() {
        // A name with a leading slash replaces the folder; names never climb (the policy's reader
        // sees to that).
        let path = folder.join(&name);
        let key = match files::read_of(&path, KEY_MAX, owners) {
            Ok(bytes) => PublicKey::parse_pem(&bytes).map_err(FileFault::Key),
            Err(fault) => Err(fault),
        };
        match key {
            Ok(key) => {
                keys.insert(name, key);
            }
            Err(fault) => problems.push(Problem::Key { file: path, fault, named_at: place }),
        }
    }
    keys
}

/// The files of certificates and revocation lists that the policies name, each under its name as
/// written. What is in them is read when the policies and they are put together.
fn certificates(
    documents: &Documents,
    (folder, owners): (&Path, Owners),
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Vec<u8>> {
    let mut read = BTreeMap::new();
    for (name, named_at) in documents.places_of_files() {
        let file = folder.join(&name);
        match files::read_of(&file, CERTIFICATES_MAX, owners) {
            Ok(bytes) => drop(read.insert(name, bytes)),
            Err(fault) => problems.push(Problem::Certificates { file, fault, named_at }),
        }
    }
    read
}

/// The trust roots that the policies name, each from the first folder that has it.
fn trust_roots(
    documents: &Documents,
    options: &TrustOptions,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Arc<TrustRoot>> {
    let mut read = BTreeMap::new();
    for (name, named_at) in documents.places_of_roots() {
        let Some((file, bytes)) = roots::read(options, &name) else {
            let is_fetched = shipped(&name).is_some() || options.mirrors.contains_key(&name);
            problems.push(Problem::NoRoot {
                name,
                folders: options.roots.clone(),
                is_fetched,
                named_at,
            });
            continue;
        };
        let root = bytes.map_err(RootFault::File).and_then(|bytes| {
            TrustRoot::parse(&bytes).map_err(|error| RootFault::Content(error.to_string()))
        });
        match root {
            Ok(root) => drop(read.insert(name, Arc::new(root))),
            Err(fault) => problems.push(Problem::Root { name, file, fault, named_at }),
        }
    }
    read
}

#[cfg(test)]
mod tests;
