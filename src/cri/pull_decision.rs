//! A pull, from what is asked to what may be done and the proof that it was done.
//!
//! Resolve the reference once, hash the bytes that came, judge that digest; the proxy forwards
//! `repo@digest` under the [`PullPermit`]; then [`Gate::prove_pull`] shows through containerd's
//! content store that this is what came (fact P14), and only then [`Gate::name_pulled`] gives it
//! the tag (facts P1–P3).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::ask::{ImageToPull, PullRequest};
use super::gate::{denies_unmatched, named};
use super::tag_naming::Began;
use super::{Gate, Refusal, canary, observe};
use crate::aside;
use crate::containerd::{Content, RuntimeError};
use crate::decision::cache::CachedPermit;
use crate::decision::question::Question;
use crate::decision::timing::Timings;
use crate::evidence::{EvidenceProvenance, Name, Origin, Pod, Subject};
use crate::image::{ChooseError, Digest, Document, Reference};
use crate::policy::{Applicable, Denial, PolicySet};
use crate::registry::{Access, Class, RegistryError};
use crate::sources::Hint;

/// Longest manifest or index that is held, in bytes, after it was read: the usual ones have 1 to 30
/// KiB.
const KEPT_MAX: usize = 64 << 10;

/// What a pull's reference was resolved to, and when that began. By itself no right to anything.
#[derive(Debug)]
pub struct PullTarget {
    reference: Reference,
    digest: Digest,
    began: Began,
    /// Whether it may be a checkpoint.
    lets_restore: bool,
}

/// The right to forward a pull, pinned to a digest.
#[derive(Debug)]
pub struct PullPermit {
    target: PullTarget,
    admission: Arc<CachedPermit>,
    cached: bool,
}

/// A pull that was denied, with what its reference means as far as that is known.
pub(super) struct DeniedPull {
    pub(super) refusal: Refusal,
    pub(super) target: Option<PullTarget>,
}

impl From<Refusal> for DeniedPull {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, target: None }
    }
}

impl PullTarget {
    /// What to pull: `repo@digest`, as containerd spells the repository.
    #[must_use]
    pub fn pinned(&self) -> String {
        self.reference.runtime_repository().at(&self.digest)
    }
}

impl PullPermit {
    /// The reference that was asked for.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.target.reference
    }

    /// What is pulled, and under which name.
    #[must_use]
    pub fn target(&self) -> &PullTarget {
        &self.target
    }

    /// The target alone, without the right to pull it.
    pub(super) fn into_target(self) -> PullTarget {
        self.target
    }

    /// The admission that it rests on.
    #[must_use]
    pub fn admission(&self) -> &Arc<CachedPermit> {
        &self.admission
    }

    /// Whether the verdict was in memory.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// The oldest of the evidence that it rests on; none where none was needed.
    #[must_use]
    pub fn provenance(&self) -> Option<EvidenceProvenance> {
        Some(self.admission.provenance()?.of_answer(self.cached))
    }

    /// What to pull: `repo@digest`, as containerd spells the repository.
    #[must_use]
    pub fn pinned(&self) -> String {
        self.target.pinned()
    }
}

/// The refusal of a reference that could not be resolved; it names the image.
fn unresolved(reference: &Reference, error: RegistryError) -> Refusal {
    Refusal::Resolve { image: reference.to_string(), error }
}

/// The refusal of a denial, by what was not known when it was made.
fn refused(
    (set, denial): (&PolicySet, Arc<Denial>),
    no_child: Option<ChooseError>,
    unread: Option<RegistryError>,
) -> Refusal {
    // Labels that nobody could read explain no refusal that stands without them.
    let unread = unread.filter(|_| set.rests_on_image_labels(&denial));
    match (no_child, unread) {
        _ if denial.is_struck_off() => Refusal::Denied(denial),
        (Some(why), _) => Refusal::NoChild { why, denial },
        (None, Some(error)) => Refusal::ImageLabels { error, denial },
        (None, None) => Refusal::Denied(denial),
    }
}

/// What a reference means.
struct Resolved {
    target: Digest,
    child: Child,
    hint: Hint,
    /// The manifest or index itself, when it was asked for and is no large one.
    bytes: Option<Bytes>,
    is_checkpoint: bool,
}

/// The manifest under the target on which signatures may count as well.
enum Child {
    /// The index has exactly one for this node.
    Chosen(Digest),
    /// The index has none, or several.
    NoneSingle(ChooseError),
    /// The target is no index, or was asked for by digest.
    NotAsked,
}

/// Whether policies let an image be restored, which they must where it is known to be a checkpoint.
fn may_be_restored(is_checkpoint: bool, applicable: &Applicable) -> Result<bool, Refusal> {
    let lets_restore = applicable.lets_restore();
    if is_checkpoint && !lets_restore { Err(Refusal::Checkpoint) } else { Ok(lets_restore) }
}

impl Child {
    /// The manifest, or why there is no single one.
    fn chosen(self) -> (Option<Digest>, Option<ChooseError>) {
        match self {
            Self::Chosen(digest) => (Some(digest), None),
            Self::NoneSingle(why) => (None, Some(why)),
            Self::NotAsked => (None, None),
        }
    }
}

impl Gate {
    /// The server address that the secret of this pull must bear, where it bears none
    /// ([`crate::registry::Registry`] says why).
    pub async fn secret_address(&self, target: &PullTarget) -> Option<String> {
        self.decider.sources().registry.secret_address(target.reference.runtime_repository()).await
    }

    /// Decides on a pull.
    ///
    /// # Errors
    /// [`Refusal`]; the caller records it before it answers.
    pub async fn admit_pull(
        &self,
        ask: &PullRequest,
        timings: &mut Timings,
    ) -> Result<PullPermit, Refusal> {
        self.decide_on_pull(ask, &self.policy(), timings).await.map_err(|denied| denied.refusal)
    }

    /// The same under these documents; a denial says what the reference means, where that was found
    /// out.
    pub(super) async fn decide_on_pull(
        &self,
        ask: &PullRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<PullPermit, DeniedPull> {
        let reference = Reference::parse(&ask.image).map_err(Refusal::BadReference)?;
        canary::not_reserved(&reference)?;
        let name = Name::Known(reference.clone());
        let pod = self.pod_of_pull(set, &ask.pod).await;
        let applicable = set.applicable(&name, &pod);
        self.not_refused_unasked(set, (&name, &pod), &applicable)?;
        let access = ask
            .access(&reference)
            .map_err(|error| Refusal::Credentials { why: error.to_string() })?;
        let began = self.naming.begin();
        let resolved = match reference.digest() {
            Some(digest) => self.resolved_already(&reference, digest),
            None => self.resolve(&reference, &access, ask.deadline, timings).await?,
        };
        timings.note_target(&resolved.target);
        let (child, no_child) = resolved.child.chosen();
        let (target, origin) = (resolved.target.clone(), Origin::Registry);
        let subject = Subject { name: name.clone(), target, child, origin };
        let image = ImageToPull {
            wanted: (&reference, &subject),
            bytes: resolved.bytes.as_ref(),
            access: &access,
            deadline: ask.deadline,
        };
        let (applicable, pod, unread) =
            Box::pin(self.documents_for_pull(set, &image, pod, timings)).await;
        let lets_restore = may_be_restored(resolved.is_checkpoint, &applicable)?;
        let target_of = |digest: &Digest| {
            let (reference, digest) = (reference.clone(), digest.clone());
            PullTarget { reference, digest, began, lets_restore }
        };
        let denied = |refusal| DeniedPull { refusal, target: Some(target_of(&resolved.target)) };
        let documents =
            resolved.bytes.map(|bytes| (subject.target.clone(), bytes)).into_iter().collect();
        let question = Question {
            applicable,
            subject,
            pod: set.seen_of(&pod),
            set: Arc::clone(set),
            access,
            hint: resolved.hint,
            documents,
            is_brought: true,
        };
        let answer = timings.time("judge", self.decider.decide(question, ask.deadline)).await;
        let answer = answer.map_err(denied)?;
        let admission = answer.decision.map_err(|declined| {
            timings.note_evidence(declined.looked.map(|looked| looked.of_answer(answer.cached)));
            let denial = set.told_of(declined.denial, (&name, &pod));
            denied(refused((set, denial), no_child, unread))
        })?;
        let target = target_of(admission.permit().pinned());
        Ok(PullPermit { target, admission, cached: answer.cached })
    }

    /// Refuses what no registry needs to be asked about: a name that a deny list has, and one that
    /// no document is about.
    fn not_refused_unasked(
        &self,
        set: &PolicySet,
        (name, pod): (&Name, &Pod),
        applicable: &Applicable,
    ) -> Result<(), Refusal> {
        if let Some(denial) = set.struck_off_name(name) {
            return Err(Refusal::Denied(Arc::new(denial)));
        }
        if denies_unmatched(set, applicable, self.now()) && !set.names_digest_of(name, self.now()) {
            let elsewhere = set.elsewhere(name, pod);
            return Err(Refusal::NoPolicy { image: name.to_string(), elsewhere });
        }
        Ok(())
    }

    /// A reference that has a digest means that one.
    fn resolved_already(&self, reference: &Reference, digest: &Digest) -> Resolved {
        let registry = &self.decider.sources().registry;
        let hint = Hint::of(registry.referrers_support(reference.runtime_repository()), None);
        Resolved {
            target: digest.clone(),
            child: Child::NotAsked,
            hint,
            bytes: None,
            is_checkpoint: false,
        }
    }

    /// Asks the registry once what the reference means; the bytes are hashed here, the digest it
    /// claims is not used.
    async fn resolve(
        &self,
        reference: &Reference,
        access: &Access,
        deadline: Instant,
        timings: &mut Timings,
    ) -> Result<Resolved, Refusal> {
        let asking = timings.time("resolve", self.turn_to_ask(reference, access, deadline)).await;
        let (seat, session) = asking.map_err(|error| unresolved(reference, error))?;
        let fetched = timings.time("resolve", session.resolve(reference)).await;
        let fetched = fetched.map_err(|error| named(error, &session, reference));
        if fetched.as_ref().map_or_else(|error| error.class() != Class::Unreachable, |_| true) {
            seat.answered();
        }
        drop(seat);
        let fetched = fetched.map_err(|error| unresolved(reference, error))?;
        let bytes = fetched.bytes.clone();
        let document = aside::large(bytes.len(), move || Document::parse(&bytes))
            .await
            .map_err(Refusal::Document)?;
        let is_checkpoint = document.is_restored();
        let child = self.child_of(document);
        let support =
            self.decider.sources().registry.referrers_support(reference.runtime_repository());
        let hint = Hint::of(support, Some(&fetched));
        // A large one is not held for the rest of the decision; who needs it asks for it again by
        // its digest.
        let bytes = Some(fetched.bytes).filter(|bytes| bytes.len() <= KEPT_MAX);
        Ok(Resolved { target: fetched.digest, child, hint, bytes, is_checkpoint })
    }

    /// The platform manifest that this node would run; none when the target is a manifest itself,
    /// or when no single entry is this node's (then only a signature on the index can count).
    fn child_of(&self, document: Document) -> Child {
        match document {
            Document::Manifest(_) => Child::NotAsked,
            Document::Index(index) => match index.choose(&self.platform) {
                Ok(child) => Child::Chosen(child.digest.clone()),
                Err(why) => Child::NoneSingle(why),
            },
        }
    }

    /// Proves that the runtime's store now holds, under the pinned name, the content that was
    /// decided on, and that the id it answered is that content's.
    ///
    /// # Errors
    /// [`Refusal::Differs`] when it does not; the record is then deleted, unless such a refusal is
    /// only observed under `set`.
    pub async fn prove_pull(
        &self,
        target: &PullTarget,
        image_ref: &str,
        set: &PolicySet,
    ) -> Result<Content, Refusal> {
        let proven = self.prove_pulled(target, image_ref, set).await;
        if let Err(
            refusal @ (Refusal::Differs(_)
            | Refusal::Stored { .. }
            | Refusal::NoImageId { .. }
            | Refusal::Checkpoint),
        ) = &proven
            && observe(set, refusal.clone()).is_err()
        {
            let pinned = target.pinned();
            tracing::error!(image = %pinned, answered = image_ref, "the runtime stored other \
                content than was pulled; deleting the record");
            if let Err(error) = self.runtime.forget(&pinned).await {
                tracing::error!(image = %pinned, %error, "the record could not be deleted");
            }
        }
        proven
    }

    async fn prove_pulled(
        &self,
        target: &PullTarget,
        image_ref: &str,
        set: &PolicySet,
    ) -> Result<Content, Refusal> {
        let pinned = &target.digest;
        let id = Digest::parse(image_ref)
            .map_err(|_| Refusal::NoImageId { answered: image_ref.to_owned() })?;
        let name = target.pinned();
        let got = self.runtime.record(&name).await?.map(|record| record.target.digest);
        if got.as_ref() != Some(pinned) {
            return Err(Refusal::Stored { name, expected: pinned.clone(), got });
        }
        let content = self.runtime.prove_content(pinned, &id).await?;
        if content.is_checkpoint() && !target.lets_restore {
            return Err(Refusal::Checkpoint);
        }
        self.contents.remember(&target.reference.repository(), &content, set);
        self.pulled.notify_one();
        Ok(content)
    }

    /// Gives the pulled image the tag that was asked for, unless a resolution that began later has
    /// given it another, and waits until the CRI sees it (facts P2, P3).
    ///
    /// # Errors
    /// [`Refusal::Runtime`] when containerd does not take the name.
    pub async fn name_pulled(&self, target: &PullTarget, content: &Content) -> Result<(), Refusal> {
        let Some(name) = target.reference.tag_name() else { return Ok(()) };
        let runtime = &self.runtime;
        let Some(pinned) = runtime.record(&target.pinned()).await? else {
            return Err(Refusal::NotPresent { image: target.pinned() });
        };
        {
            let Some(_turn) = self.naming.turn_to_name(&name, target.began).await else {
                return Ok(());
            };
            let before = runtime.record(&name).await?.map(|record| record.target.digest);
            let _moving = match before {
                Some(before) if before != pinned.target.digest => {
                    self.naming.turn_to_move(&name).await
                }
                Some(_) | None => None,
            };
            if pinned.target.digest != *content.target() {
                return Err(Refusal::Stored {
                    name: pinned.name,
                    expected: content.target().clone(),
                    got: Some(pinned.target.digest),
                });
            }
            runtime.name(&name, &pinned.target).await?;
        }
        match runtime.await_named(&name, content.id()).await {
            // A resolution that began later has moved the tag while we looked: that is as it should
            // be.
            Err(RuntimeError::NameNotSeen { .. })
                if self.naming.is_superseded(&name, target.began).await =>
            {
                Ok(())
            }
            seen => Ok(seen?),
        }
    }
}
