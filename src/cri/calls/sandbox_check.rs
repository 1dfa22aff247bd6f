//! The sandbox that a container is to be made in: proven when it was made, or now, from what the
//! runtime keeps of it ([`Calls::check_sandbox`]).
//!
//! The proof at RunPodSandbox can be cut off, when the gate is killed or the runtime's answer is
//! lost after it has made the sandbox; the kubelet finds that sandbox and goes on with it.

use std::sync::Arc;

use super::{Calls, steering};
use crate::audit::{FindingKind, Reason};
use crate::containerd::{Container, ShownSandbox};
use crate::cri::ask::LocalImageRequest;
use crate::cri::sandbox::{Judging, SandboxRequest, missing};
use crate::cri::{AuditEvent, PolicyMark, ProvenUnder, Refusal, Refused};
use crate::policy::PolicySet;
use crate::proto::asked::Note;

/// A sandbox that was found in the runtime.
struct FoundSandbox {
    id: String,
    /// None where its runtime makes it by itself, of no image.
    made_of: Option<Container>,
}

impl Calls {
    /// Makes sure that a sandbox was proven, and gives its whole id; none where it was not and the
    /// gate only observes. A refusal is recorded of these images of the container.
    ///
    /// # Errors
    /// A [`Refusal::SandboxNotProven`] that is on record. In observe mode there is none.
    pub(super) async fn check_sandbox(
        &self,
        policy: &Arc<PolicySet>,
        (own, asked): (&LocalImageRequest, &str),
        images: &[AuditEvent],
    ) -> Result<Option<String>, Refused> {
        if self.gate.is_proven_sandbox(asked) {
            return Ok(Some(asked.to_owned()));
        }
        let ask =
            SandboxRequest { image: String::new(), pod: own.pod.clone(), deadline: own.deadline };
        let mut event = self.recorder.local(&ask.local(""), policy);
        let why = match Box::pin(self.prove_sandbox_now(policy, asked, (&ask, &mut event))).await {
            Ok((id, None)) => return Ok(Some(id)),
            Ok((id, Some(under))) => {
                // On record first: its containers are made without another record of it.
                if !event.admissions().is_empty() {
                    let _on_record = self.recorder.admit(std::slice::from_ref(&event)).await?;
                }
                match self.gate.remember_sandbox(&id, under) {
                    Ok(()) => return Ok(Some(id)),
                    Err(condemned) => condemned,
                }
            }
            Err(why) => why,
        };
        // Not `observe`: as for a new sandbox, that containerd took another image is, as a rule, a
        // matter of its configuration. The container is observed by itself. A sandbox that is being
        // removed is no place for a container in any mode.
        if !matches!(why, Refusal::SandboxCondemned)
            && let Ok(observed) = policy.observe(why.clone())
        {
            if let Refusal::Sandbox { image, .. } = &why {
                event.reference(image);
            }
            event.observed(observed);
            let _on_record = self.recorder.admit(&[event]).await?;
            return Ok(None);
        }
        let refusal = Refusal::SandboxNotProven { sandbox: asked.to_owned(), why: Box::new(why) };
        Err(self.recorder.refuse_all(images, refusal).await)
    }

    /// Proves it from what the runtime keeps: its whole id, and what is to be remembered of it,
    /// where it was not before.
    async fn prove_sandbox_now(
        &self,
        policy: &Arc<PolicySet>,
        asked: &str,
        (ask, event): (&SandboxRequest, &mut AuditEvent),
    ) -> Result<(String, Option<ProvenUnder>), Refusal> {
        let FoundSandbox { id, made_of } = self.find_sandbox(asked).await?;
        event.container_id(&id);
        self.gate.is_not_condemned(&id)?;
        if self.gate.is_proven_sandbox(&id) {
            return Ok((id, None));
        }
        let mark = PolicyMark::of(policy);
        let Some(sandbox) = made_of else {
            return Ok((id, Some(ProvenUnder::of(mark, []))));
        };
        event.reference(&sandbox.image);
        let configured = self.gate.runtime().sandbox_setup().await?.image.ok();
        let judging = Judging { set: policy, deadline: ask.deadline };
        let made_of = (&sandbox, configured.as_deref());
        let proving = self.gate.prove_kept_sandbox(made_of, (judging, &mut event.timings));
        let proof = proving.await?;
        event.reference(&proof.image);
        event.admitted_local(&proof.permit);
        Ok((id, Some(ProvenUnder::of(mark, [proof.permit.until()]))))
    }

    /// Finds a sandbox by its id, or as the runtime does by the beginning of it.
    async fn find_sandbox(&self, asked: &str) -> Result<FoundSandbox, Refusal> {
        let runtime = self.gate.runtime();
        // The container of a sandbox notes its own id as that of its sandbox.
        let is_sandbox = |found: &Container| found.sandbox.as_deref() == Some(found.id.as_str());
        if asked.is_empty() {
            return Err(missing(asked));
        }
        if let Some(found) = runtime.container(asked).await?.filter(is_sandbox) {
            return Ok(FoundSandbox { id: found.id.clone(), made_of: Some(found) });
        }
        let shown = runtime.sandbox(asked).await?.ok_or_else(|| missing(asked))?;
        let made_of = if shown.id == asked {
            None
        } else {
            runtime.container(&shown.id).await?.filter(is_sandbox)
        };
        if made_of.is_none() && self.is_made_of_image(&shown).await? {
            return Err(missing(&shown.id));
        }
        Ok(FoundSandbox { id: shown.id, made_of })
    }

    /// Whether containerd makes the sandboxes of its runtime handler of the sandbox image.
    async fn is_made_of_image(&self, shown: &ShownSandbox) -> Result<bool, Refusal> {
        let setup = self.gate.runtime().sandbox_setup().await?;
        let notes: Vec<Note> = shown
            .annotations
            .iter()
            .map(|(key, value)| Note { key: key.clone().into(), value: value.clone().into() })
            .collect();
        let handler = steering::chosen_handler(&shown.handler, notes.iter());
        let known = (&setup.handlers, setup.default_handler.as_str());
        Ok(steering::handler_of(known, handler).is_none_or(|handler| handler.uses_image()))
    }

    /// Stops and removes a sandbox that could not be proven; where the runtime does not, it is tried
    /// again aside, and is on record when it came to nothing.
    pub(super) async fn remove_sandbox(&self, id: &str) {
        let Err(error) = self.gate.remove_sandbox(id).await else { return };
        tracing::error!(sandbox = id, %error, "a sandbox that was not proven could not be removed; \
            trying again");
        let (gate, recorder, id) =
            (Arc::clone(&self.gate), Arc::clone(&self.recorder), id.to_owned());
        tokio::spawn(async move {
            let Err(error) = gate.remove_sandbox_later(&id).await else { return };
            let message = format!(
                "a sandbox that was not proven could not be removed, and may run: {error}; no \
                 container is made in it unless it can be proven; delete its pod"
            );
            let reason = Reason::new("sandbox-not-removed", message);
            let mut finding = recorder.finding(FindingKind::Unadmitted, reason);
            finding.alert = true;
            finding.method = Some("RunPodSandbox".to_owned());
            finding.sandbox_id = Some(id);
            recorder.find(finding);
        });
    }
}
