//! What a sandbox was really made of ([`SandboxProof`]), the memory of sandboxes so proven, and the
//! removal of one that could not be.
//!
//! containerd chooses the image by itself (fact C9), so what was decided on before may not be what
//! it took: its configuration may name another than the one it runs with. Then the image that its
//! own record of the sandbox names is judged, and it is no sandbox only if that is not admitted. A
//! sandbox of which this process saw nothing made, as after a restart, is judged by that record
//! too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::image::SandboxRequest;
use crate::containerd::{Container, ProofError, RuntimeError};
use crate::cri::{Gate, LocalPermit, PolicyMark, ProvenUnder, Refusal, Timings};
use crate::policy::PolicySet;

/// How often it is tried to remove a sandbox that must not run.
const REMOVE_TRIES: u32 = 6;
/// The pause before the second try; each is twice the one before, half a minute in all.
const REMOVE_AGAIN: Duration = Duration::from_secs(1);

/// What a sandbox was proven to be made of.
#[derive(Debug)]
pub struct SandboxProof {
    /// The name that it was judged under.
    pub image: String,
    /// What lets it run.
    pub permit: LocalPermit,
}

/// Under what a sandbox is judged.
#[derive(Debug, Clone, Copy)]
pub(in crate::cri) struct Judging<'a> {
    pub(in crate::cri) set: &'a Arc<PolicySet>,
    pub(in crate::cri) deadline: Instant,
}

impl Gate {
    /// Whether this process proved the sandbox of this whole id, by documents that are in force and
    /// an admission that has not ended.
    #[must_use]
    pub fn is_proven_sandbox(&self, id: &str) -> bool {
        self.sandboxes.holds(id, &PolicyMark::of(&self.policy()), || self.now())
    }

    /// Lets containers be made in a sandbox from now on. What it rests on must be on record.
    ///
    /// # Errors
    /// [`Refusal::SandboxCondemned`] when the gate removes it, since another proof of it failed.
    pub fn remember_sandbox(&self, id: &str, under: ProvenUnder) -> Result<(), Refusal> {
        // Remembered first and looked at then: what condemns it notes first and forgets then.
        self.sandboxes.remember(id, under);
        self.is_not_condemned(id).inspect_err(|_| self.sandboxes.forget(id))
    }

    /// Makes sure that the gate does not remove a sandbox: its retries would remove it with all that
    /// was made in it.
    ///
    /// # Errors
    /// [`Refusal::SandboxCondemned`].
    pub(in crate::cri) fn is_not_condemned(&self, id: &str) -> Result<(), Refusal> {
        if self.made.is_condemned(id) { Err(Refusal::SandboxCondemned) } else { Ok(()) }
    }

    /// Proves that a sandbox that was just made is of the image that was decided on; or else of
    /// another, which is then the answer, and whose admission is not on record yet.
    ///
    /// # Errors
    /// [`Refusal::Sandbox`] when it is neither, or when that could not be seen. It must not go on
    /// running: [`Gate::remove_sandbox`].
    pub(in crate::cri) async fn prove_new_sandbox(
        self: &Arc<Self>,
        id: &str,
        (image, permit): (&str, &LocalPermit),
        (judging, timings): (Judging<'_>, &mut Timings),
    ) -> Result<Option<SandboxProof>, Refusal> {
        let of = |why: Refusal| Refusal::Sandbox { image: image.to_owned(), why: Box::new(why) };
        let found = self.runtime.container(id).await.map_err(|error| of(error.into()))?;
        let sandbox = found.ok_or_else(|| of(missing(id)))?;
        match Box::pin(self.runtime.prove_sandbox(&sandbox, permit.content())).await {
            Ok(()) => {
                self.made.note_sandbox(id, sandbox.created);
                Ok(None)
            }
            Err(error) if is_of_another(&error) => {
                tracing::warn!(sandbox = id, image, made_of = sandbox.image, %error, "containerd \
                    made a sandbox of another image than its configuration names; judging that one");
                let made_of = sandbox.image.clone();
                Box::pin(self.judge_made((&sandbox, &made_of), judging, timings)).await.map(Some)
            }
            Err(error) => Err(of(error.into())),
        }
    }

    /// Proves what a sandbox is made of that was made when nobody here was looking. Where it is of
    /// the image that containerd is configured to now (`configured`), it is judged as that one
    /// would be for a new pod; otherwise under the name that containerd noted.
    ///
    /// # Errors
    /// [`Refusal::Sandbox`] when it is not of an image that is admitted, or when that could not be
    /// seen.
    pub(in crate::cri) async fn prove_kept_sandbox(
        self: &Arc<Self>,
        (sandbox, configured): (&Container, Option<&str>),
        (judging, timings): (Judging<'_>, &mut Timings),
    ) -> Result<SandboxProof, Refusal> {
        if let Some(configured) = configured {
            let (noted, now) = tokio::try_join!(
                self.runtime.identify(&sandbox.image),
                self.runtime.identify(configured)
            )?;
            let is_gone = noted.is_none();
            let may_be_it = match (noted, now) {
                (Some(noted), Some(now)) => noted.id == now.id,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if may_be_it {
                let judging_it = self.judge_made((sandbox, configured), judging, timings);
                let judged = Box::pin(judging_it).await;
                let is_another = matches!(&judged, Err(refusal) if matches!(
                    refusal.cause(), Refusal::Differs(error) if is_of_another(error)));
                if !(is_gone && is_another) {
                    return judged;
                }
            }
        }
        Box::pin(self.judge_made((sandbox, &sandbox.image), judging, timings)).await
    }

    /// Judges an image, which is brought where the node has it no more, and proves that the sandbox
    /// is of it.
    async fn judge_made(
        self: &Arc<Self>,
        (sandbox, image): (&Container, &str),
        judging: Judging<'_>,
        timings: &mut Timings,
    ) -> Result<SandboxProof, Refusal> {
        let Judging { set, deadline } = judging;
        let pod = self.pod_of_sandbox(set, &sandbox.pod, Some(&sandbox.id)).await;
        let ask = SandboxRequest { image: image.to_owned(), pod, deadline };
        let permit = Box::pin(self.admit_sandbox(&ask, set, timings)).await?;
        let proving = Box::pin(self.runtime.prove_sandbox(sandbox, permit.content()));
        let proven = timings.time("prove", proving).await;
        proven.map_err(|error| Refusal::Sandbox {
            image: image.to_owned(),
            why: Box::new(error.into()),
        })?;
        self.made.note_sandbox(&sandbox.id, sandbox.created);
        Ok(SandboxProof { image: ask.image, permit })
    }

    /// Stops and removes a sandbox that could not be proven. From the first try on, and as long as
    /// it is tried, it is not proven again, so that no container is in it when a later try removes
    /// it.
    ///
    /// # Errors
    /// What the runtime said: [`Gate::remove_sandbox_later`].
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), RuntimeError> {
        self.made.note_removed(id, self.clock().unix());
        self.sandboxes.forget(id);
        self.runtime.remove_sandbox(id).await
    }

    /// Tries again to remove it, for half a minute.
    ///
    /// # Errors
    /// What the runtime said last: it may still run.
    pub async fn remove_sandbox_later(&self, id: &str) -> Result<(), RuntimeError> {
        let mut pause = REMOVE_AGAIN;
        for _ in 2..REMOVE_TRIES {
            tokio::time::sleep(pause).await;
            if self.remove_sandbox(id).await.is_ok() {
                return Ok(());
            }
            pause = pause.saturating_mul(2);
        }
        tokio::time::sleep(pause).await;
        let removed = self.remove_sandbox(id).await;
        if removed.is_err() {
            // Nobody removes it any more: a container may be made in it once it is proven.
            self.made.note_not_removed(id);
        }
        removed
    }
}

/// That the runtime has no sandbox of this id that is made of an image.
pub(in crate::cri) fn missing(id: &str) -> Refusal {
    Refusal::Differs(ProofError::ContainerMissing(id.to_owned()))
}

/// Whether the proof says that it was made of another image, and not only that it cannot say.
fn is_of_another(error: &ProofError) -> bool {
    matches!(error, ProofError::ParentDiffers { .. } | ProofError::ImageDiffers { .. })
}
