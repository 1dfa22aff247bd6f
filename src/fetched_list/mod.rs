//! A deny list that is fetched, as far as no network is needed: what the configuration says of it
//! ([`Options`]), who must have signed it ([`SignerCheck`]), the rule by which a later one follows
//! an earlier ([`KnownVersion`]), and what of it is kept on disk ([`KeptList`], [`ListFolder`]).
//!
//! A kept list is proven from its kept signature each time that it is read: what somebody edited is
//! none. Nothing here fetches; the documents' own reader is `policy`'s.

mod check;
mod fault;
mod folder;
mod kept;
mod options;
mod remembered;

pub use check::{SignerCheck, SignerVerdict};
pub use fault::{FolderFault, ListFault, bounded_words};
pub use folder::ListFolder;
#[cfg(test)]
pub(crate) use kept::tests::signed;
pub use kept::{KEPT_MAX, KeptList, Proven};
pub use options::{ARTIFACT_TYPE, LAYER_TYPE, LISTS_MAX, ListSource, Options, is_usual};
pub use remembered::{Follows, KnownVersion};

/// Largest list in bytes: as large as a policy file.
pub const LIST_MAX: usize = crate::policy::FILE_MAX;
