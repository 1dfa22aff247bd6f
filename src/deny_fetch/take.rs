//! [`take`]: a list that was fetched becomes the one that is kept, or is refused.
//!
//! The version is remembered before the list is kept: after a power cut between the two the older
//! list denies until the newer is fetched again, and nothing older than that is taken. Blocks while
//! it writes files.

use jiff::Timestamp;

use crate::fetched_list::{
    FolderFault, Follows, KeptList, KnownVersion, ListFault, ListFolder, Options, SignerCheck,
};
use crate::image::Digest;
use crate::policy::ListHead;

/// What became of a list that was fetched.
#[derive(Debug)]
pub struct TakenList {
    /// What it says of itself.
    pub head: ListHead,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Who signed it, in words.
    pub signer: String,
    /// What became of it.
    pub taken: Taken,
    /// The file that is kept.
    pub file: Vec<u8>,
}

/// What became of a list that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is kept now, and was not before.
    New,
    /// It is the one that is kept.
    Same,
}

/// Takes a list, where its signer, its content and its version let it.
///
/// # Errors
/// [`ListFault`]; what was kept before still is.
pub fn take(
    folder: &ListFolder,
    (options, check): (&Options, &SignerCheck),
    fetched: &KeptList,
    now: Timestamp,
) -> Result<TakenList, ListFault> {
    let proven = fetched.prove(options, check, now)?;
    let (head, digest) = (proven.list.head().clone(), proven.digest);
    let name = &options.name;
    let kept = kept_now(folder, options, check);
    let before = match (folder.version(name), &kept) {
        (Ok(Some(remembered)), _) => Some(remembered),
        // Somebody removed the file, or it cannot be read: what is kept is proven, and says it.
        (Ok(None) | Err(FolderFault::Malformed { .. }), Some((version, digest, _))) => {
            Some(KnownVersion { version: *version, digest: Some(digest.clone()) })
        }
        (Ok(None), None) => None,
        (Err(fault), _) => return Err(fault.into()),
    };
    let follows = KnownVersion::follows(before.as_ref(), head.version, &digest)?;
    let file = fetched.to_json();
    let done = |taken, file| TakenList { head, digest, signer: proven.signer, taken, file };
    match (follows, kept) {
        (Follows::Same, Some((_, known, kept))) if known == Digest::of(&fetched.list) => {
            Ok(done(Taken::Same, kept))
        }
        (Follows::New | Follows::Same, _) => {
            let version = proven.list.head().version;
            let remembered = KnownVersion { version, digest: Some(Digest::of(&fetched.list)) };
            folder.remember(name, &remembered)?;
            folder.keep(name, &file)?;
            Ok(done(Taken::New, file))
        }
    }
}

/// What is kept, where it is proven: its version, its digest, the file.
fn kept_now(
    folder: &ListFolder,
    options: &Options,
    check: &SignerCheck,
) -> Option<(u64, Digest, Vec<u8>)> {
    let bytes = folder.list(&options.name).ok()??;
    let kept = KeptList::parse(&bytes).ok()?;
    let proven = kept.prove(options, check, kept.fetched).ok()?;
    Some((proven.list.head().version, proven.digest, bytes))
}

/// Lets a list of this version, or a later one, be taken from now on, whatever was before. Says what
/// was remembered.
///
/// # Errors
/// [`FolderFault`] when it could not be written.
pub fn lower(folder: &ListFolder, name: &str, version: u64) -> Result<Option<u64>, FolderFault> {
    let before = match folder.version(name) {
        Ok(before) => before.map(|remembered| remembered.version),
        // What cannot be read is replaced: that is what an operator comes for.
        Err(FolderFault::Malformed { .. }) => None,
        Err(fault) => return Err(fault),
    };
    folder.remember(name, &KnownVersion { version, digest: None })?;
    Ok(before)
}

#[cfg(test)]
mod tests;
