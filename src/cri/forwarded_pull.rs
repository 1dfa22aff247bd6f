//! [`ForwardedPull`]: a pull that may be forwarded, under a permit or, in observe mode, in spite of
//! a denial.

use std::sync::Arc;

use super::ask::PullRequest;
use super::pull_decision::{PullPermit, PullTarget};
use super::{Gate, Refusal, Timings, observe};
use crate::policy::{Observed, PolicySet};

/// A pull that may be forwarded.
#[derive(Debug)]
pub enum ForwardedPull {
    /// It was admitted.
    Admitted(PullPermit),
    /// It was not, and is only observed.
    Observed {
        /// Why it would have been refused.
        observed: Observed<Refusal>,
        /// What it is pinned to; none where the reference could not be resolved, and the request is
        /// forwarded as it came.
        target: Option<PullTarget>,
    },
}

impl ForwardedPull {
    /// What the request is pinned to.
    #[must_use]
    pub fn target(&self) -> Option<&PullTarget> {
        match self {
            Self::Admitted(permit) => Some(permit.target()),
            Self::Observed { target, .. } => target.as_ref(),
        }
    }
}

impl Gate {
    /// Decides whether and how a pull is forwarded under these documents. `before` is what was
    /// observed of the request already: then no permit comes of it.
    ///
    /// # Errors
    /// [`Refusal`]; the caller records it before it answers.
    pub async fn forward_pull(
        &self,
        ask: &PullRequest,
        set: &Arc<PolicySet>,
        before: Option<Observed<Refusal>>,
        timings: &mut Timings,
    ) -> Result<ForwardedPull, Refusal> {
        let (observed, target) = match (self.decide_on_pull(ask, set, timings).await, before) {
            (Ok(permit), None) => return Ok(ForwardedPull::Admitted(permit)),
            (Ok(permit), Some(before)) => (before, Some(permit.into_target())),
            (Err(denied), before) => {
                let observed = observe(set, denied.refusal)?;
                (before.unwrap_or(observed), denied.target)
            }
        };
        Ok(ForwardedPull::Observed { observed, target })
    }
}
