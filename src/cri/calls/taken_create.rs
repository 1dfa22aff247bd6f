//! What becomes of a pending create when the runtime has answered: a container that was let through
//! the tripwire in place of the gate's own is looked for, recorded and removed.

use std::sync::Arc;
use std::time::Duration;

use super::Calls;
use crate::audit::{FindingKind, Pod, Reason};
use crate::containerd::Container;
use crate::cri::ask::LocalImageRequest;
use crate::cri::pending_creates::{Pending, TakenByAnother};
use crate::cri::{Gate, Recorder};
use crate::policy::PolicySet;

/// When it is looked whether the other container is there: the runtime asks about one before it
/// keeps it, and one whose creation failed is never there.
const LOOK_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];

/// What the runtime answered to a create.
pub(super) enum MadeAnswer {
    /// It made this container.
    Made(String),
    /// It made none.
    None,
    /// Nothing: it may make one yet.
    Missing,
}

impl Calls {
    /// Ends a pending create.
    pub(super) fn settle(
        &self,
        policy: &PolicySet,
        own: &LocalImageRequest,
        pending: Pending,
        answer: &MadeAnswer,
    ) {
        let made = match answer {
            MadeAnswer::Made(id) => Some(id.as_str()),
            MadeAnswer::None => None,
            MadeAnswer::Missing => return pending.unanswered(),
        };
        let Some(TakenByAnother { container_id }) = pending.answered(made) else { return };
        let (gate, recorder) = (Arc::clone(&self.gate), Arc::clone(&self.recorder));
        let (container, is_removed) = (own.container.clone(), !policy.observes());
        tokio::spawn(async move {
            if let Some(found) = look(&gate, &container_id).await {
                report(&recorder, &found, (container, is_removed));
                if is_removed {
                    let _it_says_why_not = gate.remove_container(&container_id).await;
                }
            }
        });
    }
}

/// Looks for a container that is not the gate's own. It may turn out to be while it is looked for:
/// another call made it, and its proof has ended.
async fn look(gate: &Gate, id: &str) -> Option<Container> {
    for pause in LOOK_AFTER {
        tokio::time::sleep(pause).await;
        let found = gate.runtime().container(id).await;
        if gate.made().is_own(id) {
            return None;
        }
        match found {
            Ok(Some(found)) => return Some(found),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(container = id, %error, "it cannot be told whether this container \
                    was made in place of another");
            }
        }
    }
    None
}

fn report(recorder: &Recorder, found: &Container, (name, is_removed): (String, bool)) {
    let message =
        "a container was made around the gate, at the moment at which the gate had one of \
        the same name made in the same sandbox"
            .to_owned();
    let mut finding = recorder.finding(FindingKind::Nri, Reason::new("taken-by-another", message));
    finding.alert = true;
    finding.pod = Pod::from(&found.pod);
    finding.container = Some(name).filter(|name| !name.is_empty());
    finding.container_id = Some(found.id.clone());
    finding.sandbox_id.clone_from(&found.sandbox);
    finding.image = Some(found.image.clone()).filter(|image| !image.is_empty());
    let done = if is_removed { "removed" } else { "reported" };
    finding.detail.insert("action".into(), done.to_owned());
    recorder.find(finding);
}
