//! `index.json`: [`IndexEntry`], what it says of one manifest (image-spec, descriptor.md), read and
//! written.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::{LayoutError, Skipped};
use super::layout_files::LayoutFiles;
use super::{INDEX_FILE, INDEX_MAX, LAYOUT_FILE, LAYOUT_VERSION};
use crate::image::Digest;
use crate::image::json::{self, Limits};

/// Most manifests in it: of a full store each carrier and each image.
pub(super) const LISTED_MAX: usize = 1 << 16;
/// The media type of the index itself.
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// Depth: an index nests five deep; three times that for extensions. Values: sixteen for each
/// manifest.
const LIMITS: Limits =
    Limits { bytes: 24 << 20, depth: 16, values: 16 * LISTED_MAX, free: &["annotations"] };

/// What the index says of one manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) media_type: String,
    /// As it stands; see [`IndexEntry::digest`].
    pub(super) digest_text: String,
    pub(super) size: u64,
    pub(super) annotations: BTreeMap<String, String>,
}

impl IndexEntry {
    pub(super) fn of(media_type: &str, digest: &Digest, size: usize) -> Self {
        let (media_type, digest_text) = (media_type.to_owned(), digest.to_string());
        Self {
            media_type,
            digest_text,
            size: u64::try_from(size).unwrap_or(u64::MAX),
            annotations: BTreeMap::new(),
        }
    }

    pub(super) fn digest(&self) -> Result<Digest, Skipped> {
        Digest::parse(&self.digest_text).map_err(|_| Skipped::Algorithm)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }
}

/// Reads what a layout lists.
pub(super) fn read(source: &LayoutFiles) -> Result<Vec<IndexEntry>, LayoutError> {
    let layout =
        json::parse(&source.layout()?, Limits { bytes: 4 << 10, depth: 4, values: 64, free: &[] });
    let layout = layout.map_err(|error| LayoutError::Json(LAYOUT_FILE, error))?;
    if layout.get("imageLayoutVersion").and_then(Value::as_str) != Some(LAYOUT_VERSION) {
        return Err(LayoutError::Field(LAYOUT_FILE, "imageLayoutVersion"));
    }
    let index = json::parse(&source.index()?, LIMITS)
        .map_err(|error| LayoutError::Json(INDEX_FILE, error))?;
    if index.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err(LayoutError::Field(INDEX_FILE, "schemaVersion"));
    }
    let manifests = index.get("manifests").and_then(Value::as_array);
    let manifests = manifests.ok_or(LayoutError::Field(INDEX_FILE, "manifests"))?;
    if manifests.len() > LISTED_MAX {
        return Err(LayoutError::TooMany {
            what: "manifests",
            limit: u64::try_from(LISTED_MAX).unwrap_or(u64::MAX),
        });
    }
    manifests
        .iter()
        .map(|value| listed(value).ok_or(LayoutError::Field(INDEX_FILE, "manifests")))
        .collect()
}

/// The bytes of `oci-layout`.
pub(super) fn layout_bytes() -> Vec<u8> {
    format!("{{\"imageLayoutVersion\":\"{LAYOUT_VERSION}\"}}").into_bytes()
}

/// The bytes of `index.json`.
pub(super) fn bytes(listed: &[IndexEntry]) -> Result<Vec<u8>, LayoutError> {
    let manifests = listed.iter().map(|one| Descriptor {
        media_type: &one.media_type,
        digest: &one.digest_text,
        size: one.size,
        annotations: &one.annotations,
    });
    let index =
        IndexDocument { schema_version: 2, media_type: INDEX_TYPE, manifests: manifests.collect() };
    // Strings and numbers alone: this cannot fail.
    let bytes = serde_json::to_vec(&index).unwrap_or_default();
    if listed.len() > LISTED_MAX
        || u64::try_from(bytes.len()).map_or(true, |length| length > INDEX_MAX)
    {
        return Err(LayoutError::TooMany { what: "bytes of index.json", limit: INDEX_MAX });
    }
    Ok(bytes)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexDocument<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

fn listed(value: &Value) -> Option<IndexEntry> {
    let fields = value.as_object()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(IndexEntry {
        media_type: text("mediaType")?,
        digest_text: text("digest")?,
        size: fields.get("size").and_then(Value::as_u64)?,
        annotations: annotations(fields)?,
    })
}

fn annotations(fields: &Map<String, Value>) -> Option<BTreeMap<String, String>> {
    match fields.get("annotations") {
        None | Some(Value::Null) => Some(BTreeMap::new()),
        Some(value) => {
            let pair =
                |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            value.as_object()?.iter().map(pair).collect()
        }
    }
}
