//! [`ImagePattern`]: an entry of `images` or `exclude`, a pattern of repositories or one repository
//! with a digest; and [`Pins`], the latter of a set's documents.
//!
//! [`DigestLists`] are the digests that documents list beside or in place of names.
//!
//! An image is the one that a digest names when what its name points at has it, or the platform
//! manifest under that. A digest that is not known is neither: [`Digests`] is none then.

use std::collections::BTreeMap;

use super::document_set::DocumentSet;
use super::pattern::{ANY_PARTS, ANY_TEXT, Hosts, PatternList, RepositoryPattern};
use super::regional::HostScope;
use crate::image::{Digest, Repository};
use crate::policy::syntax::error::PatternFault;

/// Stands between a repository and a digest, here as a part of its own; in no pattern.
const PIN: char = '@';

/// The digests of an image, of its index and of the manifest under it; none where they are not known.
pub(in crate::policy) type Digests<'d> = Option<&'d [&'d Digest]>;

/// An entry of images.
#[derive(Debug)]
pub(in crate::policy) struct ImagePattern {
    encoded: String,
    hosts: HostScope,
}

/// The entries of documents that name a digest, by repository.
#[derive(Debug, Default)]
pub(in crate::policy) struct Pins(BTreeMap<String, Vec<(String, usize)>>);

/// The digests that documents list, whatever the image's name. Each of these documents lets through
/// without proof.
#[derive(Debug, Default)]
pub(in crate::policy) struct DigestLists {
    listing: DocumentSet,
    by_digest: BTreeMap<Digest, Vec<usize>>,
}

impl ImagePattern {
    /// Parses an entry as it stands in a document.
    ///
    /// # Errors
    /// [`PatternFault`] says what cannot be meant, or what to write instead.
    pub(in crate::policy) fn parse(text: &str, hosts: &mut Hosts) -> Result<Self, PatternFault> {
        let (name, digest) = match text.split_once(PIN) {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let pattern = RepositoryPattern::parse(name, hosts)?;
        let (repository, hosts) = (pattern.as_str(), pattern.hosts());
        let Some(digest) = digest else {
            return Ok(Self { encoded: repository.to_owned(), hosts });
        };
        let digest = Digest::parse(digest).map_err(PatternFault::ImageDigest)?;
        if repository.bytes().any(|byte| matches!(byte, ANY_TEXT | ANY_PARTS)) {
            return Err(PatternFault::DigestOfMany);
        }
        Ok(Self { encoded: format!("{repository}{PIN}{digest}/"), hosts })
    }

    /// What it leaves open of its host.
    pub(in crate::policy) fn hosts(&self) -> HostScope {
        self.hosts
    }

    /// What a [`PatternList`] has of it.
    pub(in crate::policy) fn as_str(&self) -> &str {
        &self.encoded
    }
}

/// The repository or pattern of an entry, and the digest that it names, with its mark.
pub(in crate::policy) fn split_pin(encoded: &str) -> (&str, Option<&str>) {
    match encoded.find(PIN).and_then(|at| encoded.split_at_checked(at)) {
        Some((repository, digest)) => (repository, Some(digest)),
        None => (encoded, None),
    }
}

/// Whether the digest of an entry is one of these; none where they are not known.
pub(in crate::policy) fn is_of(pin: &str, digests: Digests<'_>) -> Option<bool> {
    let named = pin.trim_start_matches(PIN).trim_end_matches('/');
    digests.map(|digests| digests.iter().any(|digest| digest.as_str() == named))
}

/// A repository as an entry has it.
pub(in crate::policy) fn as_entry(repository: &Repository) -> String {
    let folded = repository.folded();
    format!("{}/{}/", folded.host(), folded.path())
}

impl Pins {
    /// Of documents, in the order of their numbers.
    pub(in crate::policy) fn new<'l>(lists: impl Iterator<Item = &'l PatternList>) -> Self {
        let mut pins = Self::default();
        for (number, list) in lists.enumerate() {
            for entry in list.iter() {
                if let (repository, Some(pin)) = split_pin(entry) {
                    let of = pins.0.entry(repository.to_owned()).or_default();
                    of.push((pin.to_owned(), number));
                }
            }
        }
        pins
    }

    /// The documents that name a digest of this repository, by number.
    pub(in crate::policy) fn about(&self, repository: &Repository) -> impl Iterator<Item = usize> {
        let found = if self.0.is_empty() { None } else { self.0.get(&as_entry(repository)) };
        found.into_iter().flatten().map(|(_, number)| *number)
    }

    /// Adds the documents that name one of these digests; where they are not known those of this
    /// repository that count then.
    pub(in crate::policy) fn add(
        &self,
        repository: &Repository,
        digests: Digests<'_>,
        counts_unknown: impl Fn(usize) -> bool,
        found: &mut DocumentSet,
    ) {
        if self.0.is_empty() {
            return;
        }
        for (pin, number) in self.0.get(&as_entry(repository)).into_iter().flatten() {
            if is_of(pin, digests).unwrap_or_else(|| counts_unknown(*number)) {
                found.insert(*number);
            }
        }
    }
}

impl DigestLists {
    /// Of documents, in the order of their numbers.
    pub(in crate::policy) fn new<'l>(lists: impl ExactSizeIterator<Item = &'l [Digest]>) -> Self {
        let mut all = Self { listing: DocumentSet::none_of(lists.len()), ..Self::default() };
        for (number, list) in lists.enumerate() {
            for digest in list {
                all.listing.insert(number);
                all.by_digest.entry(digest.clone()).or_default().push(number);
            }
        }
        all
    }

    /// The documents that list it, by number.
    pub(in crate::policy) fn of(&self, digest: &Digest) -> impl Iterator<Item = usize> {
        self.by_digest.get(digest).into_iter().flatten().copied()
    }

    /// Takes away the documents that list digests and none of these; where they are not known every
    /// one that lists some.
    pub(in crate::policy) fn keep(&self, digests: Digests<'_>, found: &mut DocumentSet) {
        if !found.meets(&self.listing) {
            return;
        }
        let mut unlisted = self.listing.clone();
        for number in digests.into_iter().flatten().flat_map(|digest| self.of(digest)) {
            unlisted.take(number);
        }
        found.remove(&unlisted);
    }
}
