//! Policies and what they name from disk: [`load`] reads the policies, keys, certificates,
//! revocation lists and trust roots whole and makes a [`PolicySet`], or says everything that is
//! wrong with them.
//!
//! A file that others may write decides nothing: it is refused, by name (attack E4). Nothing is
//! loaded in part, nothing is watched and nothing is remembered; a reload is another [`load`], and
//! whoever asks for it keeps the old set when that fails.

mod check;
mod configured_list;
mod error;
mod files;
mod folder_state;
mod folders;
pub mod lifetime;
mod lists;
mod material;
mod policy_files;
mod roots;
mod shipped;
mod watch;

use std::path::{Path, PathBuf};

use crate::fetched_list;
use crate::policy::{Documents, Material, Mode, Patterns, PolicySet, Replaced, Unmatched};
use crate::verify::PublicKey;
use files::Owners;
use lists::{ConfiguredLists, add_kept};
use material::{KEY_MAX, certificates, keys, trust_roots};
use policy_files::{Changes, PolicyFiles, policy_files};

pub use check::{Check, CheckSource, Checked, Remark, Severity};
pub use folder_state::FolderState;
pub use folders::{FileRead, FolderRead, PolicyFolders, is_volatile};
pub use lists::{KeptProof, KeptRead, ListSigners};
pub use policy_files::{Candidate, is_policy_file};

pub use configured_list::ConfiguredList;
pub use error::{FileFault, LoadError, Problem, RootFault, Warning};
pub use roots::{
    Found, ROOT_MAX, TrustOptions, find, is_root_name, parse_root, survey, tuf_root, tuf_root_file,
};
pub use shipped::{Shipped, shipped};
pub use watch::{Kept, Watch};

/// Most files of the folder of keys that are looked at for a list.
const KEY_FILES_MAX: usize = 4096;

/// Where policies and keys are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The folders of policies, or the one: of each every `*.yaml`, `*.yml` and `*.json` in it that
    /// does not begin with a dot, in the order of their names; not its subfolders. At most 4096
    /// files in each, 1 MiB each, 16 MiB together. A document of a later folder stands for one of
    /// its name and kind in an earlier folder, whole. A folder that is not there is passed over,
    /// unless none is. Default: `/usr/lib/sealgate/policies`, `/etc/sealgate/policies`,
    /// `/run/sealgate/policies`.
    pub policies: PolicyFolders,
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
    /// Deny lists that are fetched, at most 16. Default: none.
    pub deny_lists: Vec<fetched_list::Options>,
    /// The file that says `deny_lists`, where the configuration was read from files.
    #[serde(skip)]
    pub deny_lists_file: Option<PathBuf>,
    /// The folder of what was fetched: of each list the newest with its signature, and the highest
    /// version that was taken. Default: `/var/lib/sealgate/deny-lists`.
    pub fetched: PathBuf,
}

/// Days that an exception may have at most, ten years; 1 at least.
const EXCEPTION_DAYS_MAX: u16 = 3650;

impl Options {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Which key, and why.
    pub fn check(&self) -> Result<(), String> {
        fetched_list::Options::check_all(&self.deny_lists)
    }

    /// The deny lists that are fetched.
    fn lists(&self) -> ConfiguredLists<'_> {
        let file = self.deny_lists_file.as_deref();
        ConfiguredLists { lists: &self.deny_lists, file, fetched: &self.fetched }
    }

    /// How far ahead the end of an exception may be.
    fn exception_span(&self) -> jiff::SignedDuration {
        let days = self.max_exception_days.clamp(1, EXCEPTION_DAYS_MAX);
        jiff::SignedDuration::from_hours(24 * i64::from(days))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policies: PolicyFolders::default(),
            keys: PathBuf::from("/etc/sealgate/keys"),
            unmatched: Unmatched::Deny,
            mode: Mode::Enforce,
            max_exception_days: 90,
            deny_lists: Vec::new(),
            deny_lists_file: None,
            fetched: PathBuf::from("/var/lib/sealgate/deny-lists"),
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
    /// What each folder of policies has.
    pub folders: Vec<FolderRead>,
    /// Which documents others of a later folder stand for.
    pub replaced: Vec<Replaced>,
    /// The trust roots that the policies name.
    pub roots: Vec<String>,
    /// What the policies rest on and ends, and when: keys, certificates and revocation lists.
    pub ends: Vec<(String, jiff::Timestamp)>,
    /// What is kept of the deny lists that are fetched.
    pub lists: Vec<KeptRead>,
    /// Who must have signed each of them.
    pub signers: ListSigners,
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

/// The same, as it would be with these files of elsewhere in the operator's folder of policies: each
/// stands for the one of its name there, or is one more. Faults are told of them where they are.
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
    let PolicyFiles { reader, folders } = policy_files((&options.policies, owners), changes, told);
    let mut documents = match reader.finish() {
        Ok(documents) if problems.is_empty() => documents,
        Ok(_) => return Err(LoadError { problems }),
        Err(errors) => {
            problems.extend(errors.into_iter().map(Problem::Policy));
            return Err(LoadError { problems });
        }
    };
    if documents.is_empty() {
        let (folders, unmatched) = (options.policies.clone(), options.unmatched);
        warnings.push(Warning::NoPolicy { folders, unmatched });
    }
    warnings.extend(documents.notes().iter().cloned().map(Warning::Odd));
    warnings.extend(Warning::of_replaced(documents.replaced()));
    let mut material = Material {
        keys: keys(&documents, (&options.keys, owners), &mut problems),
        files: certificates(&documents, (&options.keys, owners), &mut problems),
        roots: trust_roots(&documents, trust, &mut problems),
    };
    if matches!(owners, Owners::Anybody) {
        shipped::take_shipped(&mut problems, &mut material);
    }
    let (lists, signers) = match owners {
        Owners::NobodyElse => {
            let told = (&mut problems, &mut warnings);
            add_kept(options.lists(), (&options.keys, trust), &mut documents, told)
        }
        Owners::Anybody => (Vec::new(), ListSigners::new()),
    };
    if !problems.is_empty() {
        return Err(LoadError { problems });
    }
    inspect(&documents);
    let replaced = documents.replaced().to_vec();
    let roots = material.roots.keys().cloned().collect();
    match PolicySet::build(documents, material, options.unmatched) {
        Ok(policies) => {
            let span = options.exception_span();
            let policies = policies.with_exception_span(span).in_mode(options.mode);
            let ends =
                policies.expiries().into_iter().map(|expiry| (expiry.what, expiry.until)).collect();
            Ok(Loaded { policies, warnings, folders, replaced, roots, ends, lists, signers })
        }
        Err(errors) => {
            Err(LoadError { problems: errors.into_iter().map(Problem::Policy).collect() })
        }
    }
}

/// Who must have signed this deny list.
///
/// # Errors
/// [`LoadError`] for keys and trust roots that cannot be used.
pub fn signer_check(
    options: &Options,
    trust: &TrustOptions,
    list: &fetched_list::Options,
) -> Result<fetched_list::SignerCheck, LoadError> {
    lists::signer_check(options.lists(), (&options.keys, trust), list)
}

/// The documents of the folders of policies, without what they name, and the folders.
///
/// # Errors
/// [`LoadError`] with every problem that was found.
pub fn documents(options: &Options) -> Result<(Documents, Vec<FolderRead>), LoadError> {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let told = (&mut problems, &mut warnings);
    let none = Changes { candidate: None, files: &[] };
    let from = (&options.policies, Owners::NobodyElse);
    let PolicyFiles { reader, folders } = policy_files(from, &none, told);
    match reader.finish() {
        Ok(documents) if problems.is_empty() => Ok((documents, folders)),
        Ok(_) => Err(LoadError { problems }),
        Err(errors) => {
            problems.extend(errors.into_iter().map(Problem::Policy));
            Err(LoadError { problems })
        }
    }
}

/// The public keys in the folder of keys, by the names of their files. What is no key is left out:
/// certificates are there as well.
///
/// # Errors
/// [`FileFault`] when the folder cannot be read.
pub fn keys_in(folder: &Path) -> Result<Vec<(String, PublicKey)>, FileFault> {
    let mut keys = Vec::new();
    for name in files::names(folder, KEY_FILES_MAX)? {
        let Ok(bytes) = files::read(&folder.join(&name), KEY_MAX) else { continue };
        if let Ok(key) = PublicKey::parse_pem(&bytes) {
            keys.push((name.to_string_lossy().into_owned(), key));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
