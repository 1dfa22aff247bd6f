//! The referrers list of distribution-spec 1.1 ("Listing Referrers"): one page, and the address of the next.
//!
//! A list is a hint where to look, nothing more: every entry's content is fetched by its digest and judged by itself.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use http::header::LINK;
use reqwest::Url;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::image::Digest;

/// Media type of a list.
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Longest annotation value that is kept, bytes; longer ones are left out. Nothing rests on annotations here.
const ANNOTATION_MAX: usize = 4 << 10;
/// Annotations of one entry that are kept; signers write a handful. A page of 4 MiB has room for hundreds of thousands,
/// which would take ten times as much memory.
const ANNOTATIONS_MAX: usize = 32;
/// Entries of one page that are looked at: more than a list may have by default. What is beyond is counted alone.
const ENTRIES_MAX: usize = 1024;

/// What a registry says about what refers to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrers {
    /// The list; empty when nothing refers to it.
    Listed(Vec<Referrer>),
    /// There is no such endpoint: signatures may stand under tags.
    NoEndpoint,
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

#[derive(Deserialize)]
struct Page {
    manifests: Option<Entries>,
}

/// The first [`ENTRIES_MAX`] entries, and how many there are.
#[derive(Default)]
struct Entries {
    first: Vec<Entry>,
    count: usize,
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

/// What a page lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// Entries that can be proven by their digest.
    pub(super) entries: Vec<Referrer>,
    /// How many were left out: their digest is of another algorithm, or none.
    pub(super) foreign: usize,
    /// Whether there are more than are looked at.
    pub(super) cut: bool,
}

/// The entries of a page; none when it is no image index.
pub(super) fn page(body: &[u8]) -> Option<Read> {
    let page: Page = serde_json::from_slice(body).ok()?;
    let Entries { first, count } = page.manifests.unwrap_or_default();
    let looked_at = first.len();
    let entries: Vec<Referrer> = first.into_iter().filter_map(referrer).collect();
    Some(Read { foreign: looked_at.saturating_sub(entries.len()), entries, cut: count > looked_at })
}

fn referrer(entry: Entry) -> Option<Referrer> {
    let Annotations(annotations) = entry.annotations.unwrap_or_default();
    Some(Referrer {
        digest: Digest::parse(&entry.digest).ok()?,
        media_type: entry.media_type,
        artifact_type: entry.artifact_type.filter(|kind| !kind.is_empty()),
        size: entry.size,
        annotations,
    })
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while entries.count < ENTRIES_MAX {
                    let Some(entry) = access.next_element()? else { return Ok(entries) };
                    entries.first.push(entry);
                    entries.count = entries.count.saturating_add(1);
                }
                while access.next_element::<IgnoredAny>()?.is_some() {
                    entries.count = entries.count.saturating_add(1);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(Read)
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

/// The address of the next page (RFC 8288, `rel="next"`): none when this is the last, an error when it is on another
/// host or no address.
pub(super) fn next(headers: &HeaderMap, page: &Url) -> Result<Option<Url>, ()> {
    let links = headers.get_all(LINK).iter().map(|value| value.to_str().map_err(|_| ()));
    for link in
        links.flat_map(|link| link.map(|text| text.split(',').map(Ok).collect()).unwrap_or_else(|()| vec![Err(())]))
    {
        let link = link?;
        let Some((address, parameters)) = link.trim().strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
            return Err(());
        };
        if !parameters.split(';').any(is_next) {
            continue;
        }
        let next = page.join(address).map_err(|_| ())?;
        let same = next.origin() == page.origin() && next.username().is_empty() && next.password().is_none();
        return if same { Ok(Some(next)) } else { Err(()) };
    }
    Ok(None)
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(value: &str) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, value.parse().unwrap());
        let page = Url::parse("https://r.example/v2/a/referrers/sha256:00?n=2").unwrap();
        next(&headers, &page).map(|url| url.map(|url| url.to_string()))
    }

    #[test]
    fn the_next_page_is_on_the_same_host() {
        assert_eq!(link(r#"</v2/a/x?last=2>; rel="next""#), Ok(Some("https://r.example/v2/a/x?last=2".to_owned())));
        assert_eq!(link("<?n=3>;REL=next"), Ok(Some("https://r.example/v2/a/referrers/sha256:00?n=3".to_owned())));
        assert_eq!(link(r#"</first>; rel="first", </y>; rel="next""#), Ok(Some("https://r.example/y".to_owned())));
        assert_eq!(link(r#"</x>; rel="prev""#), Ok(None));
    }

    #[test]
    fn attack_e1_a_next_page_elsewhere_is_refused() {
        for bad in [
            r#"<https://evil.example/x>; rel="next""#,
            r#"<http://r.example/x>; rel="next""#,
            r#"<https://r.example:8443/x>; rel="next""#,
            r#"<//evil.example/x>; rel="next""#,
            r#"<https://u@r.example/x>; rel="next""#,
            "garbage",
        ] {
            assert_eq!(link(bad), Err(()), "{bad}");
        }
    }

    #[test]
    fn pages_are_indexes() {
        let hex = "a".repeat(64);
        let json = format!(
            r#"{{"manifests":[{{"mediaType":"m","digest":"sha256:{hex}","size":3,"artifactType":"t","annotations":{{"k":"v"}},"x":1}},
               {{"mediaType":"m","digest":"sha512:{hex}","size":3}}]}}"#
        );
        let Read { entries, foreign, cut } = page(json.as_bytes()).unwrap();
        assert_eq!((entries.len(), foreign, cut), (1, 1, false));
        assert_eq!((entries[0].size, entries[0].artifact_type.as_deref()), (3, Some("t")));
        assert_eq!(page(br#"{"manifests":null}"#), Some(Read { entries: Vec::new(), foreign: 0, cut: false }));
        for bad in [
            "",
            "[]",
            "<html>",
            r#"{"manifests":5}"#,
            r#"{"manifests":[{"digest":"x"}]}"#,
            r#"{"manifests":[],"manifests":[]}"#,
        ] {
            assert_eq!(page(bad.as_bytes()), None, "{bad}");
        }
    }

    /// Attack D1: what a page of 4 MiB has room for does not become ten times as much in memory.
    #[test]
    fn attack_d1_annotations_and_entries_without_number_are_not_kept() {
        let hex = "a".repeat(64);
        let many: Vec<String> = (0..10_000).map(|number| format!(r#""{number}":"""#)).collect();
        let entry =
            format!(r#"{{"mediaType":"m","digest":"sha256:{hex}","size":3,"annotations":{{{}}}}}"#, many.join(","));
        let read = page(format!(r#"{{"manifests":[{entry}]}}"#).as_bytes()).unwrap();
        assert_eq!((read.cut, read.entries[0].annotations.len()), (false, ANNOTATIONS_MAX));
        let entry = format!(r#"{{"mediaType":"m","digest":"sha256:{hex}","size":3}}"#);
        let read = page(format!(r#"{{"manifests":[{}]}}"#, vec![entry; 5000].join(",")).as_bytes()).unwrap();
        assert_eq!((read.cut, read.entries.len(), read.foreign), (true, ENTRIES_MAX, 0));
    }
}
