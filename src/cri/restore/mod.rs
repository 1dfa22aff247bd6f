//! A container that is restored from a checkpoint (fact C8): what lets it be made, and the proof that
//! what was restored is what was decided on. [`BaseImage`].
//!
//! containerd makes such a container of the base image that the checkpoint's archive names, which it
//! would pull by itself, and lets the archive's processes go on in it. So the checkpoint must be
//! proven by every policy about it and let be restored by each, it must name its base image by its
//! digest, and that image must be on the node and pass as any other does. The gate does not read the
//! archive, which has the memory of the processes and any size: where it names another image than
//! the checkpoint does, the proof of the new container's root filesystem fails, and the gate removes
//! the container before anything in it has run.

use std::sync::Arc;

use super::ask::{Call, LocalImageRequest, labelled};
use super::local_image::Use;
use super::{AuditEvent, Gate, LocalPermit, Recorder, Refusal, Timings};
use crate::containerd::{Content, Proven};
use crate::decision::decide::Reach;
use crate::evidence::{Name, Origin, Subject};
use crate::image::{Digest, Document, Reference};
use crate::policy::PolicySet;

mod annotations;

/// The base image of a checkpoint that is restored: what the container is made of.
#[derive(Debug)]
pub(in crate::cri) struct BaseImage {
    permit: LocalPermit,
    event: AuditEvent,
}

impl BaseImage {
    /// What lets it run.
    pub(in crate::cri) fn permit(&self) -> &LocalPermit {
        &self.permit
    }

    /// The decision on it, to be recorded.
    pub(in crate::cri) fn event(&self) -> AuditEvent {
        self.event.clone()
    }
}

// Each future is boxed: a decision on one image is large, and here it stands three times.
impl Gate {
    /// Decides on an image of a container that is to be made; with its base image where it is a
    /// checkpoint that is to be restored, which no image volume is.
    ///
    /// # Errors
    /// As of [`Gate::admit_local`], and [`Refusal::CheckpointBase`],
    /// [`Refusal::CheckpointUnproven`].
    pub(in crate::cri) async fn admit_for_container(
        &self,
        ask: &LocalImageRequest,
        (set, recorder): (&Arc<PolicySet>, &Recorder),
        timings: &mut Timings,
    ) -> Result<(LocalPermit, Option<BaseImage>), Refusal> {
        match Box::pin(self.admit_local(ask, set, timings)).await {
            Ok(permit) => return Ok((permit, None)),
            Err(Refusal::Checkpoint) if is_for_container(ask) => {}
            Err(refusal) => return Err(refusal),
        }
        let reach = Reach::Anywhere;
        let (permit, base) = Box::pin(self.admit_checkpoint((reach, ask), set, timings)).await?;
        let mut event = recorder.local(&base, set);
        let admitted = Box::pin(self.admit_base((reach, &base), set, &mut event.timings)).await?;
        event.admitted_local(&admitted);
        Ok((permit, Some(BaseImage { permit: admitted, event })))
    }

    /// Judges an image as [`Gate::admit_for_container`] decides on it, for those who make no
    /// container: a checkpoint with its base image. The permit is the checkpoint's then.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn judge_for_container(
        &self,
        reach: Reach,
        ask: &LocalImageRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        match Box::pin(self.admit_within(reach, ask, set, timings)).await {
            Err(Refusal::Checkpoint) if is_for_container(ask) => {}
            judged @ (Ok(_) | Err(_)) => return judged,
        }
        let (permit, base) = Box::pin(self.admit_checkpoint((reach, ask), set, timings)).await?;
        let mut of_base = Timings::start(self.clock());
        Box::pin(self.admit_base((reach, &base), set, &mut of_base)).await?;
        Ok(permit)
    }

    /// A checkpoint that may be restored, and the request for its base image.
    async fn admit_checkpoint(
        &self,
        (reach, ask): (Reach, &LocalImageRequest),
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<(LocalPermit, LocalImageRequest), Refusal> {
        let of = (reach, Use::Restore);
        let permit = Box::pin(self.admit_as(of, ask, set, timings)).await?;
        is_proven_whole(&permit)?;
        let image = base_of(permit.content())?;
        self.is_stored_alone(permit.content()).await?;
        Ok((permit, LocalImageRequest { image, user_specified: String::new(), ..ask.clone() }))
    }

    async fn admit_base(
        &self,
        (reach, base): (Reach, &LocalImageRequest),
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        let admitted = Box::pin(self.admit_within(reach, base, set, timings)).await;
        let of_base =
            |why| Refusal::CheckpointBase { image: base.image.clone(), why: Box::new(why) };
        admitted.map_err(of_base)
    }

    /// Proves that `target` leads to the image `id`, for this use of it: that it is no checkpoint,
    /// or one that the policies about this name of it let be restored.
    ///
    /// # Errors
    /// [`Refusal::Checkpoint`], and as of [`Gate::prove_content`].
    pub(in crate::cri) async fn prove_for(
        &self,
        as_what: Use,
        (ask, set): (&LocalImageRequest, &PolicySet),
        (name, target, id): (&Name, &Digest, &Digest),
    ) -> Result<Content, Refusal> {
        match as_what {
            Use::Run => self.prove_content(target, id).await,
            Use::Restore => {
                let content = self.runtime().prove_content(target, id).await?;
                let (target, child) = (content.target().clone(), content.child().cloned());
                let subject =
                    Subject { name: name.clone(), target, child, origin: Origin::Registry };
                let pod = labelled(&ask.pod, content.labels());
                let is_let = set.applicable_to(&subject, &pod).lets_restore();
                if is_let { Ok(content) } else { Err(Refusal::Checkpoint) }
            }
        }
    }

    /// Makes sure that containerd restored a container of a checkpoint alone, of which this is the
    /// base image, that it still has that checkpoint, and that no annotation out of the archive
    /// steers the runtime.
    ///
    /// # Errors
    /// [`Refusal::CheckpointUnproven`], [`Refusal::TooMany`], [`Refusal::NotAllowed`],
    /// [`Refusal::Stored`] or [`Refusal::Runtime`].
    pub(in crate::cri) async fn is_restored_as_decided(
        &self,
        proven: &Proven,
        own: Option<&LocalPermit>,
        base: Option<&LocalPermit>,
    ) -> Result<(), Refusal> {
        let checkpoint = own.filter(|_| base.is_some());
        let options = self.runtime().options();
        annotations::are_as_decided(proven.restored(), checkpoint.is_some(), options)?;
        match checkpoint {
            Some(checkpoint) => self.is_stored_alone(checkpoint.content()).await,
            None => Ok(()),
        }
    }

    /// Makes sure that what containerd has under a checkpoint's id, where it takes the archive from,
    /// is the checkpoint that was decided on. To be asked before a container is made and after.
    ///
    /// # Errors
    /// [`Refusal::Stored`] where it is not, or [`Refusal::Runtime`].
    async fn is_stored_alone(&self, content: &Content) -> Result<(), Refusal> {
        let name = content.id().as_str();
        let got = self.runtime().record(name).await?.map(|record| record.target.digest);
        if got.as_ref().is_some_and(|got| got == content.target() || got == content.manifest()) {
            return Ok(());
        }
        Err(Refusal::Stored { name: name.to_owned(), expected: content.target().clone(), got })
    }
}

/// Whether a container is to be made of it: nobody restores what is mounted.
fn is_for_container(ask: &LocalImageRequest) -> bool {
    ask.call == Call::CreateContainer
}

/// Makes sure that policies were met by proof, of the very document that containerd reads.
fn is_proven_whole(permit: &LocalPermit) -> Result<(), Refusal> {
    // Another thing under the name by now: what was a checkpoint a moment ago is none.
    if !permit.content().is_checkpoint() {
        return Err(Refusal::Checkpoint);
    }
    for admission in permit.admissions() {
        if !admission.permit().is_proven() {
            return Err(unproven("it runs without proof, by an exception or unchecked"));
        }
        if admission.permit().pinned() != permit.content().target() {
            return Err(unproven(
                "it is not signed under the digest that all its names point at: that of an index, \
                 and not of a manifest under it",
            ));
        }
    }
    Ok(())
}

/// The base image that a checkpoint names by its digest.
fn base_of(content: &Content) -> Result<String, Refusal> {
    let bytes = content.documents().get(content.target());
    let document = bytes.and_then(|bytes| Document::parse(bytes).ok());
    let document = document.ok_or_else(|| unproven("its manifest or index cannot be read"))?;
    named_base(&document, content.manifest()).map_err(unproven)
}

/// The base image that a document names of which containerd takes this manifest.
fn named_base(document: &Document, manifest: &Digest) -> Result<String, &'static str> {
    if !document.is_restored() {
        return Err("what its name points at has no annotation \
            org.criu.checkpoint.container.name, by which containerd knows a checkpoint");
    }
    if let Document::Index(index) = document {
        match index.manifests.as_slice() {
            [only] if only.digest == *manifest => {}
            [_] => return Err("its index leads to its manifest by another index"),
            _ => return Err("its index has not one manifest, but none or several"),
        }
    }
    let base = document.checkpoint_base().ok_or(
        "it has no annotation org.criu.checkpoint.rootfsImageID, which checkpointctl build writes",
    )?;
    match Reference::parse(base) {
        Ok(reference) if reference.digest().is_some() => Ok(base.to_owned()),
        Ok(_) | Err(_) => Err("it does not name its base image as repository@digest"),
    }
}

fn unproven(why: &'static str) -> Refusal {
    Refusal::CheckpointUnproven { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = r#""org.criu.checkpoint.container.name":"main""#;
    const BASE: &str =
        "reg.test/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn of(digest: &Digest, annotations: &str) -> String {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1,"annotations":{{{annotations}}}}}"#
        )
    }

    fn index(entries: &[String], annotations: &str) -> Document {
        let entries = entries.join(",");
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{entries}],"annotations":{{{annotations}}}}}"#
        );
        Document::parse(text.as_bytes()).unwrap()
    }

    fn told(base: &str) -> String {
        format!(r#"{MARK},"org.criu.checkpoint.rootfsImageID":"{base}""#)
    }

    /// What is judged is what containerd reads: the document that the name points at, and the one
    /// manifest under it.
    #[test]
    fn attack_f_a_checkpoint_has_one_archive_and_names_its_base_image_by_digest() {
        let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
        let good = index(&[of(&own, "")], &told(BASE));
        assert_eq!(named_base(&good, &own), Ok(BASE.to_owned()));
        let cases = [
            (index(&[of(&own, MARK)], ""), "no annotation org.criu.checkpoint.container.name"),
            (index(&[of(&own, ""), of(&other, "")], &told(BASE)), "not one manifest"),
            (index(&[], &told(BASE)), "not one manifest"),
            (index(&[of(&other, "")], &told(BASE)), "by another index"),
            (index(&[of(&own, &told(BASE))], MARK), "no annotation org.criu.checkpoint.rootfs"),
            (index(&[of(&own, "")], &told("reg.test/app:1")), "repository@digest"),
            (index(&[of(&own, "")], &told("/tmp/a.tar")), "repository@digest"),
            (index(&[of(&own, "")], &told("")), "repository@digest"),
        ];
        for (document, expected) in cases {
            let why = named_base(&document, &own).unwrap_err();
            assert!(why.contains(expected), "{why}, not {expected}");
        }
    }
}
