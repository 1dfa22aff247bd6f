//! [`Store`]: what the test registry holds, in memory.

use std::collections::BTreeMap;

use sealgate::image::Digest;
use serde_json::{Value, json};

type Key = (String, String);

/// Manifests, tags, blobs and unfinished uploads, each per repository.
#[derive(Debug, Default)]
pub(crate) struct Store {
    manifests: BTreeMap<Key, (String, Vec<u8>)>,
    order: Vec<Key>,
    tags: BTreeMap<Key, String>,
    blobs: BTreeMap<Key, Vec<u8>>,
    uploads: BTreeMap<String, Vec<u8>>,
    next_upload: u64,
}

impl Store {
    pub(crate) fn put_manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        bytes: &[u8],
        media_type: &str,
    ) -> String {
        let digest = Digest::of(bytes).to_string();
        let key = (repository.to_owned(), digest.clone());
        if self.manifests.insert(key.clone(), (media_type.to_owned(), bytes.to_vec())).is_none() {
            self.order.push(key);
        }
        if let Some(tag) = tag {
            self.tags.insert((repository.to_owned(), tag.to_owned()), digest.clone());
        }
        digest
    }

    pub(crate) fn put_blob(&mut self, repository: &str, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        self.blobs.insert((repository.to_owned(), digest.clone()), bytes.to_vec());
        digest
    }

    pub(crate) fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        self.tags.get(&(repository.to_owned(), tag.to_owned())).cloned()
    }

    /// Digest, media type and bytes of the manifest behind a tag or a digest.
    pub(crate) fn manifest(
        &self,
        repository: &str,
        reference: &str,
    ) -> Option<(String, String, Vec<u8>)> {
        let digest = self.tagged(repository, reference).unwrap_or_else(|| reference.to_owned());
        let (media_type, bytes) =
            self.manifests.get(&(repository.to_owned(), digest.clone()))?.clone();
        Some((digest, media_type, bytes))
    }

    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.blobs.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }

    pub(crate) fn any(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.blob(repository, digest)
            .or_else(|| self.manifest(repository, digest).map(|(_, _, bytes)| bytes))
    }

    pub(crate) fn knows(&self, repository: &str) -> bool {
        self.order.iter().any(|(name, _)| name == repository)
            || self.blobs.keys().any(|(name, _)| name == repository)
    }

    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        self.tags
            .keys()
            .filter(|(name, _)| name == repository)
            .map(|(_, tag)| tag.clone())
            .collect()
    }

    /// Descriptors of the manifests whose `subject` is this digest, in the order in which they were
    /// pushed.
    pub(crate) fn referrers(&self, repository: &str, subject: &str) -> Vec<Value> {
        let own = self.order.iter().filter(|(name, _)| name == repository);
        own.filter_map(|key| {
            let (media_type, bytes) = self.manifests.get(key)?;
            let document: Value = serde_json::from_slice(bytes).ok()?;
            (document.pointer("/subject/digest")?.as_str()? == subject)
                .then(|| descriptor(&key.1, media_type, bytes.len(), &document))
        })
        .collect()
    }

    pub(crate) fn begin_upload(&mut self) -> String {
        self.next_upload += 1;
        let id = self.next_upload.to_string();
        self.uploads.insert(id.clone(), Vec::new());
        id
    }

    /// Appends to an upload; its length so far.
    pub(crate) fn append(&mut self, id: &str, bytes: &[u8]) -> Option<usize> {
        let upload = self.uploads.get_mut(id)?;
        upload.extend_from_slice(bytes);
        Some(upload.len())
    }

    /// Ends an upload; false when the content is not what the digest says.
    pub(crate) fn finish(&mut self, repository: &str, id: &str, digest: &str) -> bool {
        let Some(bytes) = self.uploads.remove(id) else { return false };
        Digest::of(&bytes).as_str() == digest && self.put_blob(repository, &bytes) == digest
    }
}

/// Distribution-spec "Listing Referrers": artifactType falls back to the config's media type.
fn descriptor(digest: &str, media_type: &str, size: usize, document: &Value) -> Value {
    let mut out = json!({ "mediaType": media_type, "digest": digest, "size": size });
    let kind = document.get("artifactType").or_else(|| document.pointer("/config/mediaType"));
    for (name, value) in [("artifactType", kind), ("annotations", document.get("annotations"))] {
        if let Some(value) = value {
            out[name] = value.clone();
        }
    }
    out
}
