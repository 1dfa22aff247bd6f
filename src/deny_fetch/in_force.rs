//! [`InForce`]: what of a fetched list is in force in this process, and what may take its place;
//! [`restore`]: the files of lists, put right by it.
//!
//! The folder can come back as it was some time ago, the file of the version with it: a backup, a
//! snapshot of the file system. What the process has in memory is newer then, and stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fetched_list::{FolderFault, KnownVersion, ListFault, ListFolder};
use crate::image::Digest;
use crate::loader::{self, KeptRead, Problem};

/// What of a list is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Its version, with the digest of its bytes.
    pub known: KnownVersion,
    /// The number of its entries.
    pub entries: usize,
    /// The file that it was read from.
    pub file: Arc<[u8]>,
    /// The list that was taken since and is not in force yet. It may be older: an operator had the
    /// version lowered.
    pub taken: Option<KnownVersion>,
    /// From which version on an operator of this process, or one before its start, wants any taken.
    pub lowered: Option<u64>,
    /// Whether it is known to be the newest that this node took.
    pub is_newest: bool,
}

impl InForce {
    /// Whether a list that was read from disk may take its place. What the file of the version says
    /// does not count: it comes back from a backup like the list.
    fn yields_to(&self, (version, digest): (u64, &Digest)) -> Result<(), ListFault> {
        let newer = KnownVersion::follows(Some(&self.known), version, digest);
        let is_taken = self.taken.as_ref().is_some_and(|taken| taken.is((version, digest)));
        // An operator who puts an older one there has the version lowered first.
        let is_lowered = self.lowered.is_some_and(|lowered| lowered <= version);
        if is_taken || is_lowered { Ok(()) } else { newer.map(|_| ()) }
    }

    /// Whether the file of the version lets an older list in than this process does: it is lost, is
    /// of an earlier day, or is lowered and no operator of this process asked for it.
    fn is_ahead_of(&self, remembered: Option<&KnownVersion>) -> bool {
        let is_behind = |remembered: &KnownVersion| match remembered.is_lowered() {
            true => self.lowered.is_none(),
            false => remembered.version < self.known.version,
        };
        // What is not known to be the newest does not say which version is.
        self.is_newest && remembered.is_none_or(is_behind)
    }
}

/// Puts the files of lists that are in force back where what was read of them now is nothing, is not
/// believed, or may not take their place. True where it put any: then the policies are to be read
/// again.
///
/// # Errors
/// [`Problem::DenyList`] when the files could not be put back: what was read is not to be put in
/// force.
pub fn restore(
    options: &loader::Options,
    read: &[KeptRead],
    in_force: &BTreeMap<String, InForce>,
) -> Result<bool, Box<Problem>> {
    let folder = ListFolder::new(&options.fetched);
    let mut is_any = false;
    for list in read {
        let Some(known) = in_force.get(&list.name) else { continue };
        let remembered = folder.version(&list.name).ok().flatten();
        let fault = match &list.kept {
            Some(Ok(proof)) => {
                let is = (proof.head.version, &proof.digest);
                match known.yields_to(is) {
                    Ok(()) => {
                        let is_in_force = known.known.is(is);
                        if is_in_force && known.is_ahead_of(remembered.as_ref()) {
                            is_any |= put_version_back(&folder, &list.name, &known.known);
                        }
                        continue;
                    }
                    Err(fault) => Some(fault),
                }
            }
            // The very file that is in force: it is not the disk that it fails for.
            Some(Err(_)) if is_there(&folder, &list.name, known) => continue,
            Some(Err(fault)) => Some(fault.clone()),
            None => None,
        };
        let why = fault.as_ref().map_or_else(|| "nothing was kept".to_owned(), ToString::to_string);
        put_back(&folder, &list.name, known, remembered.as_ref()).map_err(|fault| {
            let fault = Some(ListFault::Files(fault));
            Box::new(Problem::DenyList { name: list.name.clone(), fault })
        })?;
        is_any = true;
        let (list, version) = (&list.name, known.known.version);
        tracing::warn!(
            list,
            version,
            "the files of a deny list were lost or changed, and those of the version in force were \
             put back: {why}"
        );
    }
    Ok(is_any)
}

fn is_there(folder: &ListFolder, name: &str, known: &InForce) -> bool {
    folder.list(name).is_ok_and(|kept| kept.as_deref() == Some(&*known.file))
}

fn put_back(
    folder: &ListFolder,
    name: &str,
    in_force: &InForce,
    remembered: Option<&KnownVersion>,
) -> Result<(), FolderFault> {
    if in_force.is_ahead_of(remembered) {
        folder.remember(name, &in_force.known)?;
    }
    folder.keep(name, &in_force.file)
}

/// Puts the file of the version right beside a list that is in force; whether it did. Where it cannot
/// be written, the list denies all the same, and is told of as one that may not be the newest.
fn put_version_back(folder: &ListFolder, list: &str, known: &KnownVersion) -> bool {
    let version = known.version;
    match folder.remember(list, known) {
        Ok(()) => {
            tracing::warn!(
                list,
                version,
                "the file of a deny list's version was lost or changed, and the version in force \
                 was put back"
            );
            true
        }
        Err(fault) => {
            tracing::warn!(
                list,
                version,
                "the file of a deny list's version was lost or changed, and CANNOT BE PUT BACK: \
                 {fault}"
            );
            false
        }
    }
}
