//! The image of pods' sandboxes: brought pinned and named before containerd would resolve its name
//! by itself (fact C9), and judged as any local image is.
//!
//! It is the node's choice, not the pod's; a policy must match it like any other image. It is
//! judged from evidence on this node where there is some, so that a registry that does not answer
//! stops no pod.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::cache::lock_or_empty;
use crate::containerd::{Image, RuntimeError};
use crate::cri::ask::{Call, ImageString, LocalImageRequest, PullRequest, used_for};
use crate::cri::tag_naming::SandboxTurn;
use crate::cri::{Gate, LocalPermit, Refusal};
use crate::decision::timing::Timings;
use crate::evidence::{ImageUse, Pod};
use crate::image::{Digest, Reference};
use crate::policy::PolicySet;

/// Longest pull of a sandbox image, which has less than a MiB.
const PULL_MAX: Duration = Duration::from_secs(120);

/// Most names of a sandbox image of which a record is looked for, to pin it: it has two, its tag and
/// its digest, and one more for each repository that it was pulled from.
const NAMES_TRIED_MAX: usize = 8;

/// What a sandbox is to be made of, and for which pod.
#[derive(Debug, Clone)]
pub struct SandboxRequest {
    /// The image as containerd's configuration has it.
    pub image: String,
    /// The pod.
    pub pod: Pod,
    /// When the decision must be made at the latest.
    pub deadline: Instant,
}

impl SandboxRequest {
    /// What a gate asks by itself, for no pod in particular: every policy that enforces and matches
    /// the image in some namespace counts.
    #[must_use]
    pub fn of_node(image: String, deadline: Instant) -> Self {
        Self { image, pod: Pod::default(), deadline }
    }

    /// The same as the use of a local image, which is given by this string.
    #[must_use]
    pub fn local(&self, image: &str) -> LocalImageRequest {
        LocalImageRequest {
            call: Call::RunPodSandbox,
            image: image.to_owned(),
            user_specified: self.image.clone(),
            pod: used_for(ImageUse::Sandbox, &self.pod),
            container: String::new(),
            deadline: self.deadline,
        }
    }
}

impl Gate {
    /// Decides on the image of a sandbox; brings it first when it is not on the node.
    ///
    /// # Errors
    /// [`Refusal::Sandbox`], which names the image; the caller records it before it answers.
    pub async fn admit_sandbox(
        self: &Arc<Self>,
        ask: &SandboxRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        self.admit_sandbox_in_turn(ask, set, timings).await.map(|(permit, _turn)| permit)
    }

    /// The same; the gate does not move the image's tag as long as the turn is held.
    ///
    /// # Errors
    /// The same.
    pub(in crate::cri) async fn admit_sandbox_in_turn(
        self: &Arc<Self>,
        ask: &SandboxRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<(LocalPermit, Option<SandboxTurn>), Refusal> {
        let decided = self.decide_on_sandbox(ask, set, timings).await;
        decided.map_err(|why| Refusal::Sandbox { image: ask.image.clone(), why: Box::new(why) })
    }

    async fn decide_on_sandbox(
        self: &Arc<Self>,
        ask: &SandboxRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<(LocalPermit, Option<SandboxTurn>), Refusal> {
        let mut turn = self.turn_of_sandbox(&ask.image).await;
        let mut image = timings.time("identify", self.runtime.identify(&ask.image)).await?;
        let is_new = image.is_none();
        if is_new {
            // An id alone is in no registry.
            if let Ok(ImageString::Id(_)) = ImageString::parse(&ask.image) {
                return Err(Refusal::NotPresent { image: ask.image.clone() });
            }
            // Bringing it gives it its tag.
            drop(turn);
            timings.time("bring", self.bring_sandbox_image(ask)).await?;
            turn = self.turn_of_sandbox(&ask.image).await;
            image = timings.time("identify", self.runtime.identify(&ask.image)).await?;
        }
        let image = image.ok_or_else(|| Refusal::NotPresent { image: ask.image.clone() })?;
        // Boxed, since it is many times larger than all that is around it.
        let local = ask.local(image.id.as_str());
        let permit = Box::pin(self.admit_local(&local, set, timings)).await?;
        self.pin_sandbox_image((&image, is_new), permit.content().target()).await;
        Ok((permit, turn))
    }

    /// None for an image that has no tag which could move.
    async fn turn_of_sandbox(&self, image: &str) -> Option<SandboxTurn> {
        let name = Reference::parse(image).ok()?.tag_name()?;
        Some(self.naming.turn_of_sandbox(&name).await)
    }

    /// Pulls the image as a PullImage would be: decided on, pinned, proven, named. One at a time:
    /// all pods of a node that starts wait for the same, each no longer than its own deadline, so
    /// that as many wait as there are calls. Whoever stops waiting stops no pull that has begun.
    async fn bring_sandbox_image(self: &Arc<Self>, ask: &SandboxRequest) -> Result<(), Refusal> {
        let (image, deadline) = (ask.image.clone(), ask.deadline);
        let pod = used_for(ImageUse::Sandbox, &ask.pod);
        let gate = Arc::clone(self);
        let until = tokio::time::Instant::from_std(deadline);
        let bringing = tokio::spawn(async move {
            let turn = tokio::time::timeout_at(until, gate.sandbox_pull.lock()).await;
            let _turn = turn.map_err(|_| Refusal::Deadline)?;
            if gate.runtime.identify(&image).await?.is_some() {
                return Ok(());
            }
            let ask = PullRequest { image, pod, auth: None, deadline };
            let mut timings = Timings::start(gate.clock());
            let permit = Box::pin(gate.admit_pull(&ask, &mut timings)).await?;
            let _pending = gate.pending_pulls.begin(permit.pinned());
            let answered = gate.runtime.pull(&permit.pinned(), PULL_MAX).await?;
            let target = permit.target();
            let content = gate.prove_pull(target, &answered, &gate.policy()).await?;
            gate.name_pulled(target, &content).await
        });
        match tokio::time::timeout_at(until, bringing).await {
            Ok(Ok(brought)) => brought,
            Ok(Err(_)) => Err(Refusal::Lost),
            Err(_) => Err(Refusal::Deadline),
        }
    }

    /// Has the kubelet keep an image that sandboxes are made of, as containerd marks one that it
    /// pulls by itself: the kubelet counts no sandbox as a use of it, and without its content no
    /// sandbox of it can be proven any more. Once for each image, and again for one that was just
    /// brought.
    async fn pin_sandbox_image(&self, (image, is_new): (&Image, bool), target: &Digest) {
        if !is_new && self.pinned().get(&image.id).is_some() {
            return;
        }
        let why = match self.pin_a_name(image, target).await {
            Ok(true) => {
                self.pinned().put(image.id.clone(), ());
                return;
            }
            Ok(false) => "containerd has no record of it".to_owned(),
            Err(error) => error.to_string(),
        };
        self.pinned().pop(&image.id);
        tracing::warn!(
            image = image.id.as_str(),
            why,
            "the sandbox image could not be pinned; the \
            kubelet may remove it when the disk is full"
        );
    }

    /// Pins the first name of an image that containerd has a record of, which is enough for the CRI;
    /// false where there is none. A tag that was moved meanwhile is passed over.
    async fn pin_a_name(&self, image: &Image, target: &Digest) -> Result<bool, RuntimeError> {
        let names = image.tags.iter().chain(&image.digests).map(String::as_str);
        for name in names.take(NAMES_TRIED_MAX).chain([image.id.as_str()]) {
            match self.runtime.record(name).await? {
                Some(record) if record.target.digest != *target => {}
                Some(record) if record.is_pinned() => return Ok(true),
                Some(record) => {
                    self.runtime.pin(name, &record.target).await?;
                    return Ok(true);
                }
                None => {}
            }
        }
        Ok(false)
    }

    fn pinned(&self) -> MutexGuard<'_, LruCache<Digest, ()>> {
        lock_or_empty(&self.pinned_sandbox_images, LruCache::clear)
    }
}
