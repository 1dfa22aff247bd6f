//! [`take`]: a list that was fetched becomes the one that is kept, or is refused.
//!
//! The version is remembered before the list is kept: after a power cut between the two the older
//! list denies until the newer is fetched again, and nothing older than that is taken. Blocks while
//! it writes files.

use jiff::Timestamp;

use super::memory::ListMemory;
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

/// Takes a list, where its signer, its content and its version let it. What this process has in force
/// of it counts too, since the files may be those of an earlier day; it is noted as taken before it
/// is written, so that no reload meanwhile puts another one back. An older one is taken where an
/// operator of this process had the version lowered, or where that is what the process started with.
///
/// # Errors
/// [`ListFault`]; what was kept before still is.
pub fn take(
    (folder, memory): (&ListFolder, &ListMemory),
    (options, check): (&Options, &SignerCheck),
    fetched: &KeptList,
    now: Timestamp,
) -> Result<TakenList, ListFault> {
    let proven = fetched.prove(options, check, now)?;
    let (head, digest) = (proven.list.head().clone(), proven.digest);
    let name = &options.name;
    let kept = kept_now(folder, options, check);
    let of_kept = kept.as_ref().map(|(known, _)| known);
    let remembered = folder.version(name);
    let in_force = memory.in_force().remove(name);
    // What was taken stands for what is in force still.
    let in_force = in_force.map(|in_force| in_force.taken.unwrap_or(in_force.known));
    let lowered = memory.lowered(name).map(|version| KnownVersion { version, digest: None });
    let before = match &lowered {
        Some(lowered) => Some(lowered),
        None => last_taken(&remembered, of_kept, in_force.as_ref())?,
    };
    let follows = KnownVersion::follows(before, head.version, &digest)?;
    let known = KnownVersion { version: head.version, digest: Some(digest.clone()) };
    memory.note_taken(name, known.clone());
    let is_remembered = matches!(&remembered, Ok(Some(there)) if *there == known);
    let remember = || if is_remembered { Ok(()) } else { folder.remember(name, &known) };
    let done = |taken, file| TakenList { head, digest, signer: proven.signer, taken, file };
    match (follows, kept) {
        (Follows::Same, Some((there, file))) if there == known => {
            remember()?;
            Ok(done(Taken::Same, file))
        }
        // What an operator allowed stays allowed until it is there: after a power cut between the
        // two files it is taken again.
        (Follows::New | Follows::Same, _) if lowered.is_some() => {
            let file = fetched.to_json();
            folder.keep(name, &file)?;
            remember()?;
            memory.note_lowered(name, None);
            Ok(done(Taken::New, file))
        }
        (Follows::New | Follows::Same, _) => {
            let file = fetched.to_json();
            remember()?;
            folder.keep(name, &file)?;
            Ok(done(Taken::New, file))
        }
    }
}

/// The list that another one has to follow: the latest of what is remembered, kept and in force.
fn last_taken<'k>(
    remembered: &'k Result<Option<KnownVersion>, FolderFault>,
    kept: Option<&'k KnownVersion>,
    in_force: Option<&'k KnownVersion>,
) -> Result<Option<&'k KnownVersion>, ListFault> {
    // Of those of one version that in force counts, and one without a digest last.
    let latest = |one: &&KnownVersion| (one.version, !one.is_lowered());
    let seen = kept.into_iter();
    match remembered {
        Ok(remembered) => Ok(seen.chain(remembered).chain(in_force).max_by_key(latest)),
        Err(fault) => {
            // The file cannot be read: what is proven says it.
            let seen = seen.chain(in_force).max_by_key(latest);
            match fault {
                FolderFault::Malformed { .. } if seen.is_some() => Ok(seen),
                FolderFault::Malformed { .. }
                | FolderFault::Io { .. }
                | FolderFault::Unsafe(_)
                | FolderFault::Gone { .. } => Err(fault.clone().into()),
            }
        }
    }
}

/// What is kept, where it is proven: its version, and the file.
fn kept_now(
    folder: &ListFolder,
    options: &Options,
    check: &SignerCheck,
) -> Option<(KnownVersion, Vec<u8>)> {
    let bytes = folder.list(&options.name).ok()??;
    let kept = KeptList::parse(&bytes).ok()?;
    let proven = kept.prove(options, check, kept.fetched).ok()?;
    let version = proven.list.head().version;
    Some((KnownVersion { version, digest: Some(proven.digest) }, bytes))
}

/// Lets a list of this version, or a later one, be taken from now on, whatever was before: by this
/// process, and by one that starts before it was. Says what was remembered.
///
/// # Errors
/// [`FolderFault`] when it could not be written.
pub fn lower(
    (folder, memory): (&ListFolder, &ListMemory),
    name: &str,
    version: u64,
) -> Result<Option<u64>, FolderFault> {
    let before = match folder.version(name) {
        Ok(before) => before.map(|remembered| remembered.version),
        // What cannot be read is replaced: that is what an operator comes for.
        Err(FolderFault::Malformed { .. }) => None,
        Err(fault) => return Err(fault),
    };
    // Noted first, so that no reload meanwhile takes the file for one of an earlier day.
    let noted = memory.note_lowered(name, Some(version));
    if let Err(fault) = folder.remember(name, &KnownVersion { version, digest: None }) {
        memory.note_lowered(name, noted);
        return Err(fault);
    }
    Ok(before)
}

#[cfg(test)]
mod tests;
