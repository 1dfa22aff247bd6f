//! The labels of images, by which policies may select: [`Gate::documents_for_pull`] and
//! [`Gate::labels_of`].
//!
//! They are those of the config that the manifest names, each byte of the way hashed; nobody's word.
//! Of an image that is on the node its content proves them without a question more. Of one that is to
//! be pulled they cost one blob, and the manifests on the way to it that are not at hand, and only
//! where a policy about the image goes by them. Nothing is judged or kept here: once the image is on
//! the node the runtime's content store has its config.

use bytes::Bytes;

use crate::aside;
use crate::cri::Gate;
use crate::cri::ask::{ImageToPull, labelled};
use crate::cri::gate::named;
use crate::decision::timing::Timings;
use crate::evidence::{Notes, Pod};
use crate::image::{CONFIG_MAX, DOCUMENT_MAX, Descriptor, Digest, Document, ImageConfig, Manifest};
use crate::policy::{Applicable, PolicySet};
use crate::registry::{Class, RegistryError, Session};

/// Where the way to a config ends.
enum Found {
    /// At its labels, or where nobody could say what they are: in what is no image, or no image of
    /// this platform.
    Labels(Notes),
    /// At something that is not at hand.
    NotHere,
}

impl Gate {
    /// The documents about an image that is to be pulled, and the pod with the image's labels where
    /// some of them goes by these. The error says why they are not known although one does: then it
    /// counts.
    pub(in crate::cri) async fn documents_for_pull(
        &self,
        set: &PolicySet,
        image: &ImageToPull<'_>,
        pod: Pod,
        timings: &mut Timings,
    ) -> (Applicable, Pod, Option<RegistryError>) {
        let (_, subject) = image.wanted;
        let applicable = set.applicable_to(subject, &pod);
        if !set.goes_by_image_labels(&applicable) || set.struck_off(subject).is_some() {
            return (applicable, pod, None);
        }
        match timings.time("labels", self.labels_to_pull(image)).await {
            Ok(labels) => {
                let pod = labelled(&pod, &labels);
                (set.applicable_to(subject, &pod), pod, None)
            }
            Err(error) => (applicable, pod, Some(error)),
        }
    }

    /// The labels of the image of this id, from its config in the runtime's content store; not known
    /// where that is not there or cannot be read.
    pub async fn labels_of(&self, id: &Digest) -> Notes {
        match self.runtime.read_content(id, CONFIG_MAX).await {
            Ok(Some(bytes)) => labels_in(bytes).await,
            Ok(None) | Err(_) => Notes::default(),
        }
    }

    async fn labels_to_pull(&self, image: &ImageToPull<'_>) -> Result<Notes, RegistryError> {
        // What is on the node costs nobody a question.
        if let Found::Labels(labels) = self.walk(image, None).await? {
            return Ok(labels);
        }
        let (reference, _) = image.wanted;
        let asking = self.turn_to_ask(reference, image.access, image.deadline).await;
        let (seat, session) = asking?;
        let walked = self.walk(image, Some(&session)).await;
        let walked = walked.map_err(|error| named(error, &session, reference));
        if walked.as_ref().err().is_none_or(|error| error.class() != Class::Unreachable) {
            seat.answered();
        }
        match walked? {
            Found::Labels(labels) => Ok(labels),
            Found::NotHere => Ok(Notes::default()),
        }
    }

    /// From what the image's name points at to its config, by what is on the node, and else by what
    /// this session is told.
    async fn walk(
        &self,
        image: &ImageToPull<'_>,
        session: Option<&Session>,
    ) -> Result<Found, RegistryError> {
        let unknown = Ok(Found::Labels(Notes::default()));
        let bytes = match image.bytes {
            Some(bytes) => Some(bytes.clone()),
            None => self.document(image, &image.wanted.1.target, session).await?,
        };
        let Some(bytes) = bytes else { return Ok(Found::NotHere) };
        let index = match parsed(bytes).await {
            Some(Document::Manifest(manifest)) => {
                return self.config(image, &manifest, session).await;
            }
            Some(Document::Index(index)) => index,
            None => return unknown,
        };
        let Ok(Descriptor { digest, .. }) = index.choose(&self.platform) else { return unknown };
        let Some(bytes) = self.document(image, digest, session).await? else {
            return Ok(Found::NotHere);
        };
        match parsed(bytes).await {
            Some(Document::Manifest(manifest)) => self.config(image, &manifest, session).await,
            Some(Document::Index(_)) | None => unknown,
        }
    }

    async fn document(
        &self,
        image: &ImageToPull<'_>,
        digest: &Digest,
        session: Option<&Session>,
    ) -> Result<Option<Bytes>, RegistryError> {
        if let Ok(Some(bytes)) = self.runtime.read_content(digest, DOCUMENT_MAX).await {
            return Ok(Some(bytes));
        }
        let Some(session) = session else { return Ok(None) };
        let (reference, _) = image.wanted;
        let fetched = session.manifest(reference.runtime_repository(), digest).await?;
        Ok(Some(fetched.bytes))
    }

    async fn config(
        &self,
        image: &ImageToPull<'_>,
        manifest: &Manifest,
        session: Option<&Session>,
    ) -> Result<Found, RegistryError> {
        let Descriptor { digest, size, .. } = &manifest.config;
        let stored = self.runtime.read_content(digest, CONFIG_MAX).await;
        let bytes = match (stored, session) {
            (Ok(Some(bytes)), _) => bytes,
            (Ok(None) | Err(_), None) => return Ok(Found::NotHere),
            (Ok(None) | Err(_), Some(session)) => {
                let limit = u64::try_from(CONFIG_MAX).unwrap_or(u64::MAX);
                let repository = image.wanted.0.runtime_repository();
                session.blob(repository, digest, *size, limit).await?
            }
        };
        Ok(Found::Labels(labels_in(bytes).await))
    }
}

async fn parsed(bytes: Bytes) -> Option<Document> {
    aside::large(bytes.len(), move || Document::parse(&bytes)).await.ok()
}

/// The labels in the bytes of a config; not known where they are none.
async fn labels_in(bytes: Bytes) -> Notes {
    let length = bytes.len();
    let read = move || ImageConfig::parse(&bytes).map(|config| Notes::of_image(&config));
    aside::large(length, read).await.unwrap_or_default()
}
