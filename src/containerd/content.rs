//! [`Content`]: the proof that an index or a manifest leads to an image id, made from bytes of
//! containerd's content store that are hashed here (fact C5).
//!
//! It says which layers the id stands for (its ChainID), not whether a container really got them:
//! that is [`Proven`](super::Proven).

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::{ProofError, Runtime, RuntimeError, error};
use crate::aside;
use crate::evidence::Notes;
use crate::image::{
    CHECKPOINT_ANNOTATION, CONFIG_MAX, DOCUMENT_MAX, Descriptor, Digest, Document, DocumentError,
    ImageConfig, Index, Manifest,
};
use crate::proto::containerd::services::content::v1::ReadContentRequest;

/// Most documents looked at under one index. Real indexes have at most some tens of entries, of
/// which a node holds one.
const DOCUMENTS_MAX: usize = 128;
/// Deepest nesting of indexes; real ones have one level.
const DEPTH_MAX: usize = 3;
/// An image whose content was read and hashed: from the target of a record, through the manifest,
/// to the config that is its id. Only [`Runtime::prove_content`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    target: Digest,
    manifest: Digest,
    id: Digest,
    chain_id: Digest,
    layers: Vec<Digest>,
    checkpoint: bool,
    labels: Notes,
    documents: BTreeMap<Digest, Bytes>,
}

impl Content {
    /// What the walk began at: an index or a manifest.
    #[must_use]
    pub fn target(&self) -> &Digest {
        &self.target
    }

    /// The manifest whose config is the id; the target itself when that is no index.
    #[must_use]
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// The manifest when it was reached through an index; `None` when it is the target itself.
    #[must_use]
    pub fn child(&self) -> Option<&Digest> {
        (self.manifest != self.target).then_some(&self.manifest)
    }

    /// The image's id: the digest of its config.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// The name of the snapshot that the image's layers make (OCI image-spec, config.md, "Layer
    /// ChainID").
    #[must_use]
    pub fn chain_id(&self) -> &Digest {
        &self.chain_id
    }

    /// The manifest's layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Digest] {
        &self.layers
    }

    /// Whether any document on the way, or the config, is marked as a checkpoint, which containerd
    /// restores rather than runs (fact C8).
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.checkpoint
    }

    /// The labels of the config: all of them, or those that [`Self::for_memory`] left.
    #[must_use]
    pub fn labels(&self) -> &Notes {
        &self.labels
    }

    /// The bytes of the target and of the manifest, as they were read and hashed.
    #[must_use]
    pub fn documents(&self) -> &BTreeMap<Digest, Bytes> {
        &self.documents
    }

    /// The same without the bytes, which may be megabytes, and with these labels alone, for keeping.
    #[must_use]
    pub fn for_memory(&self, labels: Notes) -> Self {
        Self { documents: BTreeMap::new(), labels, ..self.clone() }
    }
}

impl Runtime {
    /// Proves that `target` leads to the image `id`, from content alone.
    ///
    /// # Errors
    /// [`ProofError::NotThisImage`] when it does not; [`ProofError::ContentMissing`] when the
    /// target or the config is not in the store; [`ProofError::Runtime`] when it could not be
    /// evaluated.
    pub async fn prove_content(&self, target: &Digest, id: &Digest) -> Result<Content, ProofError> {
        let work = async {
            let found = tokio::try_join!(self.walk(target, id), self.config(id));
            Ok(found)
        };
        let (path, config) = self.limited("Content/Read", work).await??;
        Ok(Content {
            target: target.clone(),
            manifest: path.digest,
            id: id.clone(),
            chain_id: config.chain_id().clone(),
            layers: path.manifest.layers.into_iter().map(|layer| layer.digest).collect(),
            checkpoint: path.checkpoint || config.is_checkpoint(),
            labels: Notes::of_image(&config),
            documents: path.documents,
        })
    }

    /// The bytes stored under `digest`, hashed; `None` when there are none. `limit` in bytes.
    ///
    /// # Errors
    /// [`ProofError::ContentDiffers`], [`ProofError::ContentTooLarge`], or [`ProofError::Runtime`].
    pub async fn read_content(
        &self,
        digest: &Digest,
        limit: usize,
    ) -> Result<Option<Bytes>, ProofError> {
        let Some(bytes) =
            error::found(self.limited("Content/Read", self.read(digest, limit)).await)?
        else {
            return Ok(None);
        };
        let bytes =
            bytes.ok_or_else(|| ProofError::ContentTooLarge { digest: digest.clone(), limit })?;
        let hashed = bytes.clone();
        let got = aside::large(bytes.len(), move || Digest::of(&hashed)).await;
        if got == *digest {
            Ok(Some(bytes))
        } else {
            Err(ProofError::ContentDiffers { expected: digest.clone(), got })
        }
    }

    /// All messages of one read; `None` when they are more than `limit` bytes.
    async fn read(&self, digest: &Digest, limit: usize) -> Result<Option<Bytes>, RuntimeError> {
        const CALL: &str = "Content/Read";
        let mut client = self.content();
        let request = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 };
        let mut messages = self.call(CALL, client.read(self.native(request))).await?;
        let mut bytes = BytesMut::new();
        // Ends with the limit on bytes, or the limit on time around it.
        while let Some(message) =
            messages.message().await.map_err(|status| RuntimeError::from((CALL, status)))?
        {
            if bytes.len() + message.data.len() > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&message.data);
        }
        Ok(Some(bytes.freeze()))
    }

    async fn config(&self, id: &Digest) -> Result<ImageConfig, ProofError> {
        let bytes = self
            .read_content(id, CONFIG_MAX)
            .await?
            .ok_or_else(|| ProofError::ContentMissing(id.clone()))?;
        let parsed = aside::large(bytes.len(), move || ImageConfig::parse(&bytes)).await;
        parsed.map_err(|error| ProofError::Document { digest: id.clone(), error })
    }

    /// Looks for the manifest with the config `id`, from the target downwards, in the order of the
    /// indexes.
    async fn walk(&self, target: &Digest, id: &Digest) -> Result<Path, ProofError> {
        let mut walk = ContentWalk::from(target);
        let mut documents = BTreeMap::new();
        // Ends: each turn takes one document off, and `ContentWalk::add` stops at DOCUMENTS_MAX.
        while let Some(step) = walk.next() {
            let Some(bytes) = self.read_content(&step.digest, DOCUMENT_MAX).await? else {
                if step.digest == *target {
                    return Err(ProofError::ContentMissing(target.clone()));
                }
                // The manifest of another platform, which was never fetched.
                continue;
            };
            let parsed = bytes.clone();
            let document = aside::large(bytes.len(), move || Document::parse(&parsed)).await;
            if step.digest == *target {
                documents.insert(target.clone(), bytes.clone());
            }
            match document {
                Ok(Document::Manifest(manifest)) if manifest.config.digest == *id => {
                    let checkpoint = step.checkpoint || manifest.is_checkpoint();
                    documents.insert(step.digest.clone(), bytes);
                    return Ok(Path { digest: step.digest, manifest, checkpoint, documents });
                }
                Ok(Document::Manifest(_)) => {}
                Ok(Document::Index(index)) => walk.add(&step, &index)?,
                Err(error) => walk.unreadable(step.digest, error),
            }
        }
        Err(walk.failure(target, id))
    }
}

/// Where a walk ended.
struct Path {
    digest: Digest,
    manifest: Manifest,
    checkpoint: bool,
    /// The target and the manifest.
    documents: BTreeMap<Digest, Bytes>,
}

/// One document to look at.
struct PendingDocument {
    digest: Digest,
    depth: usize,
    checkpoint: bool,
}

/// The documents still to look at, the next one last.
struct ContentWalk {
    target: Digest,
    stack: Vec<PendingDocument>,
    seen: usize,
    unreadable: Option<ProofError>,
}

impl ContentWalk {
    fn from(target: &Digest) -> Self {
        let first = PendingDocument { digest: target.clone(), depth: 0, checkpoint: false };
        Self { target: target.clone(), stack: vec![first], seen: 1, unreadable: None }
    }

    fn next(&mut self) -> Option<PendingDocument> {
        self.stack.pop()
    }

    fn add(&mut self, parent: &PendingDocument, index: &Index) -> Result<(), ProofError> {
        self.seen += index.manifests.len();
        if self.seen > DOCUMENTS_MAX || parent.depth >= DEPTH_MAX {
            return Err(ProofError::TooManyDocuments {
                target: self.target.clone(),
                limit: DOCUMENTS_MAX,
            });
        }
        let checkpoint = parent.checkpoint || index.is_checkpoint();
        let step = |entry: &Descriptor| PendingDocument {
            digest: entry.digest.clone(),
            depth: parent.depth + 1,
            checkpoint: checkpoint || entry.annotations.contains_key(CHECKPOINT_ANNOTATION),
        };
        self.stack.extend(index.manifests.iter().rev().map(step));
        Ok(())
    }

    /// A document that does not parse cannot be the one that is looked for; it is named if none is
    /// found.
    fn unreadable(&mut self, digest: Digest, error: DocumentError) {
        self.unreadable.get_or_insert(ProofError::Document { digest, error });
    }

    fn failure(self, target: &Digest, id: &Digest) -> ProofError {
        self.unreadable
            .unwrap_or_else(|| ProofError::NotThisImage { target: target.clone(), id: id.clone() })
    }
}
