//! An image that is already in the runtime's store and is to run or to be mounted: which content it
//! is, under which names it must pass, and the proof afterwards that this is what was made.
//!
//! The runtime's words (names, digests it lists) are claims; its content is the proof (facts
//! C3–C6). An image that was admitted before is answered from memory with no call to anyone.

use std::sync::Arc;

use super::ask::{
    AskedNames, ImageString, LocalImageRequest, NAMES_MAX, asked_names, labelled, names_to_pass,
};
use super::{Gate, Refusal, canary};
use crate::containerd::{Content, Image};
use crate::decision::cache::CachedPermit;
use crate::decision::decide::Reach;
use crate::decision::question::Question;
use crate::decision::timing::Timings;
use crate::evidence::{EvidenceProvenance, Name, Origin, Subject};
use crate::image::{Digest, Reference, Repository};
use crate::policy::PolicySet;
use crate::registry::Access;
use crate::sources::Hint;

/// The right to create a container from, or to mount, one image.
#[derive(Debug, Clone)]
pub struct LocalPermit {
    /// The id that is forwarded, and the root filesystem that must come of it.
    content: Arc<Content>,
    /// One admission for every name that had to pass; never empty.
    admissions: Vec<Arc<CachedPermit>>,
    cached: bool,
    provenance: Option<EvidenceProvenance>,
}

impl LocalPermit {
    /// The same permit, when the image is the one of the digest that the caller was told of
    /// (`ImageSpec.image_ref`): its id, or what its name or its index leads to, with a repository
    /// before it or alone.
    ///
    /// # Errors
    /// [`Refusal::ImageRefDiffers`] when it is another, or no digest.
    pub fn must_be(self, image_ref: Option<&str>) -> Result<Self, Refusal> {
        let Some(image_ref) = image_ref else { return Ok(self) };
        let digest = image_ref.rsplit_once('@').map_or(image_ref, |(_, digest)| digest);
        let is_it = |own: &Digest| own.as_str() == digest;
        if [self.content.id(), self.content.target(), self.content.manifest()]
            .into_iter()
            .any(is_it)
        {
            Ok(self)
        } else {
            Err(Refusal::ImageRefDiffers {
                asked: image_ref.to_owned(),
                id: self.content.id().clone(),
                target: self.content.target().clone(),
            })
        }
    }

    /// The content that was decided on.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The admissions that it rests on, one for every name.
    #[must_use]
    pub fn admissions(&self) -> &[Arc<CachedPermit>] {
        &self.admissions
    }

    /// Whether every verdict was in memory.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// The oldest of the evidence that any of the admissions rests on; none where none was needed.
    #[must_use]
    pub fn provenance(&self) -> Option<EvidenceProvenance> {
        self.provenance
    }

    /// Until when what it rests on lets the image run: the end of an exception, of a certificate, of
    /// the age that a signature may have. None where nothing ends.
    #[must_use]
    pub fn until(&self) -> Option<jiff::Timestamp> {
        self.admissions.iter().filter_map(|admission| admission.permit().valid_until()).min()
    }

    /// Whether every admission is on disk already.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.admissions.iter().all(|admission| admission.is_recorded())
    }
}

/// One image of the runtime's, with what is asked of it and the documents that say whether.
struct Local<'a> {
    ask: &'a LocalImageRequest,
    set: &'a Arc<PolicySet>,
    image: &'a Image,
    reach: Reach,
    as_what: Use,
}

/// What is to become of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A container is made of it, or it is mounted: it is no checkpoint.
    Run,
    /// A container is restored from it: it is a checkpoint that policies let be restored.
    Restore,
}

/// One name's way to pass.
struct Passed {
    content: Arc<Content>,
    admission: Arc<CachedPermit>,
    cached: bool,
}

impl Gate {
    /// Decides on an image that the runtime has, under the documents of `set` from beginning to
    /// end.
    ///
    /// # Errors
    /// [`Refusal`]; the caller records it before it answers.
    pub async fn admit_local(
        &self,
        ask: &LocalImageRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        self.admit_within(Reach::Anywhere, ask, set, timings).await
    }

    /// The same, with evidence from no further away than this.
    pub(crate) async fn admit_within(
        &self,
        reach: Reach,
        ask: &LocalImageRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        self.admit_as((reach, Use::Run), ask, set, timings).await
    }

    /// The same, for this use.
    pub(super) async fn admit_as(
        &self,
        (reach, as_what): (Reach, Use),
        ask: &LocalImageRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        if ask.image.is_empty() {
            return Err(Refusal::BadRequest { why: "no image is named".to_owned() });
        }
        let asked = asked_names(ask).map_err(Refusal::BadReference)?;
        if let AskedNames::Named(names) = &asked {
            names.iter().try_for_each(canary::not_reserved)?;
        }
        if let Some(permit) = self.admitted_before(ask, set, &asked) {
            return Ok(permit);
        }
        if names_a_file(&ask.image).await {
            return Err(Refusal::PathAsImage);
        }
        let runtime = &self.runtime;
        let image = timings.time("identify", runtime.identify(&ask.image)).await?;
        let image = image.ok_or_else(|| Refusal::NotPresent { image: ask.image.clone() })?;
        timings.note_image(&image.id);
        refuse_denied_digests(set, &image)?;
        let names = names_to_pass(&asked, &image)?;
        let mut passed = Vec::new();
        for name in names {
            let local = Local { ask, set, image: &image, reach, as_what };
            passed.push(Box::pin(self.pass(&local, name, timings)).await?);
        }
        permit_of(passed).ok_or_else(|| Refusal::NotPresent { image: ask.image.clone() })
    }

    /// The permit from memory: the id is given in full, its content under the asked name was proven
    /// before, and the verdict is remembered.
    fn admitted_before(
        &self,
        ask: &LocalImageRequest,
        set: &Arc<PolicySet>,
        asked: &AskedNames,
    ) -> Option<LocalPermit> {
        // What other digests the image is listed under, the runtime is asked.
        if set.denies_digests() {
            return None;
        }
        let AskedNames::Named(names) = asked else { return None };
        let Ok(ImageString::Id(id)) = ImageString::parse(&ask.image) else { return None };
        let mut passed = Vec::new();
        for reference in names {
            let content = self.contents.known(&reference.repository(), &id)?;
            if reference.digest().is_some_and(|digest| digest != content.target()) {
                return None;
            }
            let question = self.question(
                ask,
                set,
                &Name::Known(reference.clone()),
                (&content, Origin::Registry),
            );
            // Under documents that look at other labels than those before them.
            if question.lacks_labels() {
                return None;
            }
            let admission = self.decider.remembered(&question)?;
            passed.push(Passed { content, admission, cached: true });
        }
        permit_of(passed)
    }

    /// Lets the image pass under one name, or says why not. Several digests may be listed under it;
    /// any that is proven to be this image's may carry the signatures.
    async fn pass(
        &self,
        local: &Local<'_>,
        name: Name,
        timings: &mut Timings,
    ) -> Result<Passed, Refusal> {
        let Local { ask, set, image, reach, as_what } = *local;
        let (targets, origin) = self.targets(image, &name).await?;
        let (mut refusal, mut unchecked, mut is_denied) = (None, None, false);
        for target in targets {
            timings.note_target(&target);
            let proving = self.prove_for(as_what, (ask, set), (&name, &target, &image.id));
            let content = match timings.time("prove", proving).await {
                Ok(content) => Arc::new(content),
                // A checkpoint under one of the image's digests is what the runtime may restore
                // under any of them.
                Err(error @ (Refusal::Runtime(_) | Refusal::Checkpoint)) => return Err(error),
                Err(error) => {
                    tracing::warn!(image = %image.id, claimed = %target, %error, "the runtime lists a digest that is not this image's");
                    refusal = refusal.or(Some(error));
                    continue;
                }
            };
            let mut question = self.question(ask, set, &name, (&content, origin));
            if origin == Origin::Local {
                question = self.question_of_imported(question).await;
            }
            let deciding = self.decider.decide_within(reach, question, ask.deadline);
            let answer = timings.time("judge", deciding).await?;
            match answer.decision {
                Ok(admission) => {
                    if let (Name::Known(reference), Origin::Registry) = (&name, origin) {
                        self.contents.remember(&reference.repository(), &content, set);
                    }
                    let is_checked = admission.permit().report().unchecked.is_none();
                    let passed = Passed { content, admission, cached: answer.cached };
                    if is_checked {
                        return Ok(passed);
                    }
                    // What is known of the image under another digest counts first.
                    unchecked = unchecked.or(Some(passed));
                }
                Err(declined) => {
                    is_denied = true;
                    timings.note_evidence(
                        declined.looked.map(|looked| looked.of_answer(answer.cached)),
                    );
                    let pod = labelled(&ask.pod, content.labels());
                    let denial = set.told_of(declined.denial, (&name, &pod));
                    refusal = Some(Refusal::Denied(denial));
                }
            }
        }
        match unchecked {
            Some(passed) if !is_denied => Ok(passed),
            Some(_) | None => {
                Err(refusal.unwrap_or_else(|| Refusal::NotPresent { image: ask.image.clone() }))
            }
        }
    }

    /// The digests that the image may have under this name, and whether it came from a registry.
    /// Claims, to be proven.
    pub async fn targets(&self, of: &Image, name: &Name) -> Result<(Vec<Digest>, Origin), Refusal> {
        let Name::Known(reference) = name else {
            return Ok((self.tagged_targets(of, None).await?, Origin::Local));
        };
        let repository = reference.repository();
        let mut listed = digests_under(of, &repository);
        if let Some(digest) = reference.digest() {
            listed.retain(|target| target == digest);
            if listed.is_empty() {
                return Err(Refusal::NameNotListed {
                    name: reference.to_string(),
                    id: of.id.clone(),
                });
            }
        }
        if listed.len() > NAMES_MAX {
            return Err(Refusal::TooMany {
                what: "digests under one name",
                got: listed.len(),
                limit: NAMES_MAX,
            });
        }
        if !listed.is_empty() {
            return Ok((listed, Origin::Registry));
        }
        let tagged = self.tagged_targets(of, Some(&repository)).await?;
        if tagged.is_empty() {
            return Err(Refusal::NameNotListed { name: reference.to_string(), id: of.id.clone() });
        }
        Ok((tagged, Origin::Local))
    }

    /// The digests of an image that has tags but no digest under the repository: imported or
    /// renamed (facts C3, C4).
    async fn tagged_targets(
        &self,
        image: &Image,
        repository: Option<&Repository>,
    ) -> Result<Vec<Digest>, Refusal> {
        let mut targets = Vec::new();
        for tag in image.tags.iter().take(NAMES_MAX) {
            let Ok(reference) = Reference::parse(tag) else { continue };
            if repository.is_some_and(|repository| reference.repository() != *repository) {
                continue;
            }
            if let Some(record) = self.runtime.record(tag).await?
                && !targets.contains(&record.target.digest)
            {
                targets.push(record.target.digest);
            }
        }
        if targets.is_empty() && repository.is_none() {
            targets.extend(
                self.runtime.record(image.id.as_str()).await?.map(|record| record.target.digest),
            );
        }
        Ok(targets)
    }

    /// The same question about an image that the runtime lists without a digest under the
    /// repository of its name: when evidence on what it was proven to be is on this node, from
    /// where signatures on it are looked for, they count as they would for an image that was
    /// pulled.
    async fn question_of_imported(&self, question: Question) -> Question {
        let as_kept = Question {
            subject: Subject { origin: Origin::Kept, ..question.subject.clone() },
            ..question
        };
        let repositories = as_kept.repositories();
        let query = as_kept.query(&repositories);
        // A store that fails does not say that there is nothing: then the registry is asked, so
        // that the answer is its own, or that it cannot be reached.
        let is_kept = !repositories.is_empty()
            && (!self.decider.sources().memory.pieces(&query).is_empty()
                || self.decider.sources().store.has(query).await.unwrap_or(true));
        let origin = if is_kept { Origin::Kept } else { Origin::Local };
        Question { subject: Subject { origin, ..as_kept.subject.clone() }, ..as_kept }
    }

    fn question(
        &self,
        ask: &LocalImageRequest,
        set: &Arc<PolicySet>,
        name: &Name,
        proven: (&Content, Origin),
    ) -> Question {
        let (content, origin) = proven;
        let hint = match name {
            Name::Known(reference) => Hint::of(
                self.decider.sources().registry.referrers_support(reference.runtime_repository()),
                None,
            ),
            Name::Unknown => Hint::AskBoth,
        };
        let subject = Subject {
            name: name.clone(),
            target: content.target().clone(),
            child: content.child().cloned(),
            origin,
        };
        let pod = labelled(&ask.pod, content.labels());
        Question {
            applicable: set.applicable_to(&subject, &pod),
            subject,
            pod: set.seen_of(&pod),
            set: Arc::clone(set),
            access: Access::default(),
            hint,
            documents: content.documents().clone(),
            is_brought: false,
        }
    }

    /// Proves through the content store that `target` leads to the image `id`.
    pub(crate) async fn prove_content(
        &self,
        target: &Digest,
        id: &Digest,
    ) -> Result<Content, Refusal> {
        let content = self.runtime.prove_content(target, id).await?;
        if content.is_checkpoint() { Err(Refusal::Checkpoint) } else { Ok(content) }
    }
}

/// The permit of an image that passed under every name; none when there was no name.
fn permit_of(passed: Vec<Passed>) -> Option<LocalPermit> {
    let content = Arc::clone(&passed.first()?.content);
    let cached = passed.iter().all(|name| name.cached);
    let provenances =
        passed.iter().filter_map(|name| Some(name.admission.provenance()?.of_answer(name.cached)));
    let provenance = provenances.min_by_key(|provenance| provenance.fetched);
    let admissions = passed.into_iter().map(|name| name.admission).collect();
    Some(LocalPermit { content, admissions, cached, provenance })
}

fn digests_under(image: &Image, repository: &Repository) -> Vec<Digest> {
    let listed = image.digests.iter().filter_map(|name| Reference::parse(name).ok());
    listed
        .filter(|name| name.repository() == *repository)
        .filter_map(|name| name.digest().cloned())
        .collect()
}

/// Refuses an image of which a deny list names the id, or any digest that the runtime lists it
/// under: another index around a denied one's manifest, or the manifest itself, is the same image.
fn refuse_denied_digests(set: &PolicySet, image: &Image) -> Result<(), Refusal> {
    if !set.denies_digests() {
        return Ok(());
    }
    let listed = image.digests.iter().filter_map(|name| Reference::parse(name).ok());
    let listed = listed.filter_map(|name| name.digest().cloned());
    let denial = listed.chain([image.id.clone()]).find_map(|digest| set.struck_off_digest(&digest));
    denial.map_or(Ok(()), |denial| Err(Refusal::Denied(Arc::new(denial))))
}

/// Whether containerd could find a file under this string: its service runs in `/`, and versions
/// 2.1 to 2.3 look there before anything else (fact C12).
async fn names_a_file(image: &str) -> bool {
    let path = std::path::Path::new("/").join(image);
    tokio::fs::try_exists(path).await.unwrap_or(false)
}
