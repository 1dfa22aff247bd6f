//! The image of pods' sandboxes: brought pinned and named before containerd would resolve its name
//! by itself (fact C9), judged as any local image is, and the proof that a sandbox was made of it.
//!
//! It is the node's choice, not the pod's; a policy must match it like any other image. It is
//! judged from evidence on this node where there is some, so that a registry that does not answer
//! stops no pod.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::{Call, LocalImageRequest, PullRequest};
use super::{Gate, LocalPermit, PullTarget, Refusal};
use crate::decision::timing::Timings;
use crate::evidence::Pod;
use crate::policy::PolicySet;

/// Longest pull of a sandbox image, which has less than a MiB.
const PULL_MAX: Duration = Duration::from_secs(120);

/// What a sandbox is to be made of, and for which pod.
#[derive(Debug)]
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
            pod: self.pod.clone(),
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
        let decided = self.decide_on_sandbox(ask, set, timings).await;
        decided.map_err(|why| Refusal::Sandbox { image: ask.image.clone(), why: Box::new(why) })
    }

    async fn decide_on_sandbox(
        self: &Arc<Self>,
        ask: &SandboxRequest,
        set: &Arc<PolicySet>,
        timings: &mut Timings,
    ) -> Result<LocalPermit, Refusal> {
        let mut image = timings.time("identify", self.runtime.identify(&ask.image)).await?;
        if image.is_none() {
            timings.time("bring", self.bring_sandbox_image(ask)).await?;
            image = timings.time("identify", self.runtime.identify(&ask.image)).await?;
        }
        let image = image.ok_or_else(|| Refusal::NotPresent { image: ask.image.clone() })?;
        // Boxed, since it is many times larger than all that is around it.
        Box::pin(self.admit_local(&ask.local(image.id.as_str()), set, timings)).await
    }

    /// Pulls the image as a PullImage would be: decided on, pinned, proven, named. One at a time:
    /// all pods of a node that starts wait for the same. Whoever stops waiting stops nothing.
    async fn bring_sandbox_image(self: &Arc<Self>, ask: &SandboxRequest) -> Result<(), Refusal> {
        let (image, pod, deadline) = (ask.image.clone(), ask.pod.clone(), ask.deadline);
        let gate = Arc::clone(self);
        let bringing = tokio::spawn(async move {
            let _turn = gate.sandbox_pull.lock().await;
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
            gate.name_pulled(target, &content).await?;
            gate.pin_sandbox_image(target).await;
            Ok(())
        });
        let until = tokio::time::Instant::from_std(deadline);
        match tokio::time::timeout_at(until, bringing).await {
            Ok(Ok(brought)) => brought,
            Ok(Err(_)) => Err(Refusal::Lost),
            Err(_) => Err(Refusal::Deadline),
        }
    }

    /// Has the kubelet keep the image, as containerd marks one that it pulls by itself; without that
    /// it is brought again.
    async fn pin_sandbox_image(&self, target: &PullTarget) {
        let name = target.name();
        let pinned = match self.runtime.record(&name).await {
            Ok(Some(record)) => self.runtime.pin(&name, &record.target).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = pinned {
            tracing::warn!(image = name, %error, "the sandbox image could not be pinned; the \
                kubelet may remove it when the disk is full");
        }
    }

    /// Proves that a sandbox was made of the image that was decided on.
    ///
    /// # Errors
    /// [`Refusal::Sandbox`] when it was not, or when that could not be seen. It must not go on
    /// running: [`Gate::remove_sandbox`].
    pub async fn prove_sandbox(
        &self,
        id: &str,
        (image, permit): (&str, &LocalPermit),
    ) -> Result<(), Refusal> {
        let proven = self.runtime.prove_sandbox(id, permit.content().chain_id()).await;
        let created = proven.map_err(|error| Refusal::Sandbox {
            image: image.to_owned(),
            why: Box::new(error.into()),
        })?;
        self.made.note_sandbox(id, created);
        Ok(())
    }

    /// Stops and removes a sandbox that could not be proven.
    pub async fn remove_sandbox(&self, id: &str) {
        self.made.note_removed(id, self.clock().unix());
        if let Err(error) = self.runtime.remove_sandbox(id).await {
            tracing::error!(sandbox = id, %error, "a sandbox that was not proven could not be \
                removed");
        }
    }
}
