//! The referrers list of distribution-spec 1.1 ("Listing Referrers"): what of it matters
//! ([`Filter`]), one page, and the address of the next.
//!
//! A list is a hint where to look, nothing more: every entry's content is fetched by its digest and
//! judged by itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Deref;

use http::HeaderMap;
use http::header::LINK;
use reqwest::Url;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::image::Digest;
use crate::registry::error::Budget;

/// Media type of a list.
pub(in crate::registry) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Longest annotation value that is kept, bytes; longer ones are left out. Nothing rests on
/// annotations here.
const ANNOTATION_MAX: usize = 4 << 10;
/// Annotations of one entry that are kept where all are wanted; signers write a handful. A page of
/// 4 MiB has room for hundreds of thousands, which would take ten times as much memory.
const ANNOTATIONS_MAX: usize = 32;

/// What a registry says about what refers to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrers {
    /// The list; empty when nothing that is wanted refers to it.
    Listed(List),
    /// There is no such endpoint: signatures may stand under tags.
    NoEndpoint,
}

/// The entries of a list that are wanted, in the order of the list, and what is known of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    entries: Vec<Referrer>,
    /// How many are of other kinds.
    pub others: usize,
    /// The kind of one of these, as the list says it.
    pub other_kind: Option<String>,
    /// Which limit cut the list, so that there may be more.
    pub cut: Option<Budget>,
}

/// One entry of a list, unproven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// Digest of the manifest that refers.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its artifact type.
    pub artifact_type: Option<String>,
    /// Its length, bytes.
    pub size: u64,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Which entries of a list are wanted, and what of them. One of an empty kind, or of none, always
/// is: older registries say none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The artifact types that are wanted; none for all. A registry whose list has several pages is
    /// asked for each alone.
    pub types: &'static [&'static str],
    /// The beginning of artifact types that are wanted beside them; empty for none.
    pub prefix: &'static str,
    /// The annotations that are kept; none for all.
    pub annotations: &'static [&'static str],
    /// The most entries that are kept. Of more the last ones are: registries append what is new.
    pub most: usize,
}

impl Filter {
    /// Everything.
    #[must_use]
    pub const fn all(most: usize) -> Self {
        Self { types: &[], prefix: "", annotations: &[], most }
    }

    fn wants(&self, kind: Option<&str>) -> bool {
        let Some(kind) = kind.filter(|_| !self.types.is_empty()) else { return true };
        self.types.contains(&kind) || (!self.prefix.is_empty() && kind.starts_with(self.prefix))
    }

    /// Reads a list that stands under a tag; none when it is no image index.
    #[must_use]
    pub fn read(&self, untrusted: &[u8]) -> Option<List> {
        let mut gathered = Gathered::default();
        (page(untrusted, self, &mut gathered) && !gathered.is_ambiguous)
            .then(|| gathered.list(None))
    }
}

impl Deref for List {
    type Target = [Referrer];

    fn deref(&self) -> &[Referrer] {
        &self.entries
    }
}

impl IntoIterator for List {
    type Item = Referrer;
    type IntoIter = std::vec::IntoIter<Referrer>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// What the pages so far list.
#[derive(Debug, Default)]
pub(in crate::registry) struct Gathered {
    entries: VecDeque<Referrer>,
    others: usize,
    other_kind: Option<String>,
    /// How many that are wanted were left out: their digest is of another algorithm, or none.
    pub(in crate::registry) foreign: usize,
    /// Whether there are more that are wanted than are kept.
    is_crowded: bool,
    /// Whether it has what a manifest has, or its list under another spelling as well: others may
    /// read it otherwise.
    is_ambiguous: bool,
}

impl Gathered {
    /// The list that it is; `cut` says why pages are missing.
    pub(in crate::registry) fn list(self, cut: Option<Budget>) -> List {
        let crowded = self.is_crowded.then_some(Budget::Entries);
        let Self { entries, others, other_kind, .. } = self;
        List { entries: entries.into(), others, other_kind, cut: cut.or(crowded) }
    }

    pub(in crate::registry) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds what other questions found; what is known by its digest is added once.
    pub(in crate::registry) fn extend(&mut self, other: Self, filter: &Filter) {
        self.foreign = self.foreign.saturating_add(other.foreign);
        self.is_crowded |= other.is_crowded;
        let known: std::collections::BTreeSet<Digest> =
            self.entries.iter().map(|entry| entry.digest.clone()).collect();
        for entry in other.entries.into_iter().filter(|entry| !known.contains(&entry.digest)) {
            self.keep(entry, filter);
        }
    }

    fn keep(&mut self, entry: Referrer, filter: &Filter) {
        self.entries.push_back(entry);
        if self.entries.len() > filter.most {
            self.entries.pop_front();
            self.is_crowded = true;
        }
    }

    fn add(&mut self, entry: Entry, filter: &Filter) {
        let kind = entry.artifact_type.filter(|kind| !kind.is_empty());
        if !filter.wants(kind.as_deref()) {
            self.others = self.others.saturating_add(1);
            self.other_kind = self.other_kind.take().or(kind);
            return;
        }
        let Ok(digest) = Digest::parse(&entry.digest) else {
            self.foreign = self.foreign.saturating_add(1);
            return;
        };
        let Annotations(mut annotations) = entry.annotations.unwrap_or_default();
        annotations.retain(|name, _| {
            filter.annotations.is_empty() || filter.annotations.contains(&name.as_str())
        });
        let (media_type, size) = (entry.media_type, entry.size);
        self.keep(Referrer { digest, media_type, artifact_type: kind, size, annotations }, filter);
    }
}

/// The first [`ANNOTATIONS_MAX`] annotations that are not too long.
#[derive(Default)]
struct Annotations(BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    artifact_type: Option<String>,
    annotations: Option<Annotations>,
}

/// Reads a page, entry by entry, into what was gathered: no more of it is ever in memory. False
/// when it is no image index; then what was gathered is of no use.
pub(in crate::registry) fn page(body: &[u8], filter: &Filter, gathered: &mut Gathered) -> bool {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Page { filter, gathered }.deserialize(&mut deserializer).is_ok() && deserializer.end().is_ok()
}

struct Page<'a> {
    filter: &'a Filter,
    gathered: &'a mut Gathered,
}

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut is_read = false;
        while let Some(name) = access.next_key::<String>()? {
            match name.as_str() {
                "manifests" if !std::mem::replace(&mut is_read, true) => {
                    access.next_value_seed(Entries {
                        filter: self.filter,
                        gathered: &mut *self.gathered,
                    })?;
                }
                "manifests" => return Err(serde::de::Error::custom("two lists")),
                other => {
                    let others = ["manifests", "config", "layers"];
                    self.gathered.is_ambiguous |=
                        others.contains(&other.to_ascii_lowercase().as_str());
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Entries<'a> {
    filter: &'a Filter,
    gathered: &'a mut Gathered,
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(entry) = access.next_element()? {
            self.gathered.add(entry, self.filter);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Annotations, A::Error> {
                let mut annotations = BTreeMap::new();
                while let Some((name, value)) = access.next_entry::<String, String>()? {
                    if annotations.len() < ANNOTATIONS_MAX && value.len() <= ANNOTATION_MAX {
                        annotations.insert(name, value);
                    }
                }
                Ok(Annotations(annotations))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The address of the next page (RFC 8288, `rel="next"`): none when this is the last, an error when
/// it is on another host or no address.
pub(in crate::registry) fn next(headers: &HeaderMap, page: &Url) -> Result<Option<Url>, ()> {
    let links = headers.get_all(LINK).iter().map(|value| value.to_str().map_err(|_| ()));
    for link in links.flat_map(|link| {
        link.map(|text| text.split(',').map(Ok).collect()).unwrap_or_else(|()| vec![Err(())])
    }) {
        let link = link?;
        let Some((address, parameters)) =
            link.trim().strip_prefix('<').and_then(|rest| rest.split_once('>'))
        else {
            return Err(());
        };
        if !parameters.split(';').any(is_next) {
            continue;
        }
        let next = page.join(address).map_err(|_| ())?;
        let same = next.origin() == page.origin()
            && next.username().is_empty()
            && next.password().is_none();
        return if same { Ok(Some(next)) } else { Err(()) };
    }
    Ok(None)
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel")
        && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
}

#[cfg(test)]
mod tests;
