//! Calls about what the gate did not admit, since it was made before the gate came or around it:
//! known by the container's id, recorded once for each container and method, and refused where the
//! operator wants that.
//!
//! What the gate made is known from memory. Of anything else containerd is asked, once.

use super::Calls;
use super::message::text;
use crate::audit::{FindingKind, Reason};
use crate::containerd::{Listed, NAMESPACE, RuntimeError};
use crate::cri::made::ContainerOrigin;
use crate::cri::made::unadmitted::{OnUnadmitted, Unadmitted, UnadmittedOptions};
use crate::cri::record::described::describe;
use crate::cri::{Refusal, Refused};
use crate::proxy::CheckedCall;

/// Letters of a whole id, as the CRI makes them; what is shorter may be the beginning of one.
const WHOLE_ID: usize = 64;
/// The field of each of these requests that holds the id.
const ID: u32 = 1;

impl Calls {
    /// The same, and this becomes of calls about what the gate did not admit.
    #[must_use]
    pub fn treating_unadmitted(self, options: UnadmittedOptions) -> Self {
        Self { unadmitted: Unadmitted::new(options), ..self }
    }

    /// Looks at what a call is about before it goes to the runtime.
    ///
    /// # Errors
    /// A refusal that is on record: of a request that can be read in two ways, or of one about what
    /// the gate did not admit, where the operator wants that.
    pub(super) async fn check(&self, call: &CheckedCall) -> Result<(), Refused> {
        let method = call.method.name;
        match text(&call.message, &[], ID) {
            Ok(Some(id)) if !id.is_empty() => self.check_admitted(method, id).await,
            // The runtime refuses a request about nothing.
            Ok(Some(_) | None) => Ok(()),
            Err(refusal) => self.refuse_check(method, None, refusal).await,
        }
    }

    /// The same of a call whose id was read.
    ///
    /// # Errors
    /// As of [`check`](Self::check).
    pub(super) async fn check_admitted(
        &self,
        method: &'static str,
        id: &str,
    ) -> Result<(), Refused> {
        if self.gate.made().is_own(id) {
            return Ok(());
        }
        let is_refused = self.unadmitted.options.of(method) == OnUnadmitted::Refuse;
        let origin = match self.unadmitted.told(id, method) {
            Some(origin) => Some(origin),
            None => match self.find_unadmitted(id).await {
                Ok(found) => found.map(|(listed, origin)| {
                    if self.unadmitted.told(&listed.id, method).is_none() {
                        self.tell_unadmitted(method, &listed, origin, is_refused);
                        self.unadmitted.note_told(&listed.id, method, origin);
                    }
                    self.unadmitted.note_told(id, method, origin);
                    origin
                }),
                Err(error) if is_refused => {
                    return self.refuse_check(method, Some(id), error.into()).await;
                }
                // The runtime has its own answer to the call.
                Err(error) => {
                    tracing::debug!(%error, id, "what a call is about could not be looked at");
                    None
                }
            },
        };
        match origin {
            Some(origin) if is_refused => {
                let origin = words(origin);
                let refusal = Refusal::Unadmitted { id: id.to_owned(), origin };
                self.refuse_check(method, Some(id), refusal).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The container or sandbox of this id, or whose id begins so, that the gate did not make.
    async fn find_unadmitted(
        &self,
        id: &str,
    ) -> Result<Option<(Listed, ContainerOrigin)>, RuntimeError> {
        let runtime = self.gate.runtime();
        let judged = |listed: Listed| {
            let origin = self.gate.made().origin(&listed);
            (origin != ContainerOrigin::Gate).then_some((listed, origin))
        };
        if let Some(listed) = runtime.listed(NAMESPACE, id).await? {
            return Ok(judged(listed));
        }
        if id.len() >= WHOLE_ID {
            return Ok(None);
        }
        // The CRI takes the beginning of an id for it.
        let mut listing = runtime.containers_in(NAMESPACE).await?;
        while let Some(listed) = listing.next().await? {
            if listed.id.starts_with(id)
                && let Some(found) = judged(listed)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn tell_unadmitted(
        &self,
        method: &'static str,
        listed: &Listed,
        origin: ContainerOrigin,
        is_refused: bool,
    ) {
        let message = format!("{method} of what the gate did not admit: {}", words(origin));
        let mut finding =
            self.recorder.finding(FindingKind::Unadmitted, Reason::new(code(origin), message));
        describe(&mut finding, listed);
        finding.method = Some(method.to_owned());
        let is_refused = is_refused && !self.gate.policy().observes();
        let done = if is_refused { "refused" } else { "reported" };
        finding.detail.insert("action".into(), done.to_owned());
        self.recorder.find(finding);
    }

    /// Refuses it, unless the gate only observes.
    async fn refuse_check(
        &self,
        method: &'static str,
        id: Option<&str>,
        refusal: Refusal,
    ) -> Result<(), Refused> {
        let policy = self.gate.policy();
        if policy.observes() {
            return Ok(());
        }
        Err(self.recorder.refuse_call((method, id), refusal, &policy).await)
    }
}

/// The reason code of a finding.
const fn code(origin: ContainerOrigin) -> &'static str {
    match origin {
        ContainerOrigin::Before => "made-before",
        ContainerOrigin::Around => "made-around",
        ContainerOrigin::Gate | ContainerOrigin::Untold => "cannot-be-told",
    }
}

const fn words(origin: ContainerOrigin) -> &'static str {
    match origin {
        ContainerOrigin::Before => "it was there before the gate came",
        ContainerOrigin::Around => "it was made since the gate came, and not by the gate",
        ContainerOrigin::Gate | ContainerOrigin::Untold => {
            "whether the gate made it is not known any more"
        }
    }
}
