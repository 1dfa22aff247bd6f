//! [`Wanted`]: which entries a person means: by a digest, the first digits of one, or a reference.

use crate::evidence_store::Entry;
use crate::image::{Digest, Reference};

/// Fewest digits that stand for a digest.
const PREFIX_MIN: usize = 6;

/// What a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Wanted {
    /// The first hexadecimal digits of a digest, all 64 of them among others.
    Digits(String),
    /// A reference.
    Named(Reference),
    /// Digits that could be either.
    Either(String, Reference),
}

impl Wanted {
    /// Reads it; `clap` says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_digits = |digits: &str| {
            (PREFIX_MIN..=64).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if let Some(digits) = text.strip_prefix("sha256:") {
            let wrong = "not a digest: sha256: and 64 hexadecimal digits, or the first six of them \
                at least";
            return if is_digits(digits) {
                Ok(Self::Digits(digits.to_owned()))
            } else {
                Err(wrong.to_owned())
            };
        }
        if ["sha512:", "sha384:"].iter().any(|other| text.starts_with(other)) {
            return Err("evidence is kept by sha256 digests alone".to_owned());
        }
        match (is_digits(text), Reference::parse(text)) {
            (true, Ok(reference)) => Ok(Self::Either(text.to_owned(), reference)),
            (true, Err(_)) => Ok(Self::Digits(text.to_owned())),
            (false, Ok(reference)) => Ok(Self::Named(reference)),
            (false, Err(error)) => Err(format!("neither a digest nor an image name: {error}")),
        }
    }

    /// The reference, where it can be one.
    pub(super) fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Digits(_) => None,
            Self::Named(reference) | Self::Either(_, reference) => Some(reference),
        }
    }

    /// Whether an entry is about it.
    pub(super) fn is_about(&self, entry: &Entry) -> bool {
        match self {
            Self::Digits(digits) => has_digits(entry, digits),
            Self::Named(reference) => is_named(entry, reference),
            Self::Either(digits, reference) => {
                has_digits(entry, digits) || is_named(entry, reference)
            }
        }
    }
}

fn has_digits(entry: &Entry, digits: &str) -> bool {
    entry.concerns(&|digest: &Digest| digest.hex().starts_with(digits))
}

/// By digest: the entries about it, in whatever repository; the image is the same. By tag: those
/// that were asked for so.
fn is_named(entry: &Entry, reference: &Reference) -> bool {
    match reference.digest() {
        Some(digest) => entry.concerns(&|other: &Digest| other == digest),
        None => names(entry).any(|name| same(&name, reference)),
    }
}

/// The references of an entry.
pub(super) fn names(entry: &Entry) -> impl DoubleEndedIterator<Item = Reference> {
    entry.names.iter().filter_map(|name| Reference::parse(name).ok())
}

/// Whether two references mean one name: the same tag in the same place, however that is spelled.
pub(super) fn same(one: &Reference, other: &Reference) -> bool {
    one.repository() == other.repository()
        && one.tag() == other.tag()
        && one.digest() == other.digest()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::evidence::{Place, Source};
    use crate::image::Repository;

    fn entry() -> Entry {
        Entry {
            place: Place {
                repository: Repository::parse("reg.test/app").unwrap(),
                subject: Digest::of(b"child"),
                source: Source::Referrers,
            },
            fetched: "2026-03-01T00:00:00Z".parse().unwrap(),
            manifests: vec![Digest::of(b"manifest")],
            blobs: BTreeSet::new(),
            targets: BTreeSet::from([Digest::of(b"index")]),
            names: vec!["reg.test/app:1".to_owned()],
        }
    }

    #[test]
    fn an_image_is_meant_by_its_digest_its_first_digits_or_its_name() {
        let (child, index) = (Digest::of(b"child"), Digest::of(b"index"));
        for text in [
            child.to_string(),
            index.to_string(),
            index.hex().to_owned(),
            child.hex()[..6].to_owned(),
            format!("sha256:{}", &index.hex()[..12]),
            format!("reg.test/app@{index}"),
            "reg.test/app:1".to_owned(),
            "REG.test:443/app:1".to_owned(),
        ] {
            assert!(Wanted::parse(&text).unwrap().is_about(&entry()), "{text}");
        }
        for text in [
            Digest::of(b"manifest").to_string(),
            "reg.test/app".to_owned(),
            "reg.test/app:2".to_owned(),
            "reg.test/ap:1".to_owned(),
            "abcdefabcdef".to_owned(),
        ] {
            assert!(!Wanted::parse(&text).unwrap().is_about(&entry()), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in
            ["", "sha256:", "sha256:abc", "sha256:ABCDEF", "sha512:abcdef", "reg.test/App", "a b"]
        {
            assert!(Wanted::parse(text).is_err(), "{text}");
        }
        assert!(matches!(Wanted::parse("deadbeef"), Ok(Wanted::Either(..))));
    }
}
