//! The intercepted methods, one in a file, from message to answer.
//!
//! [`Calls`] is what they share, the gate and its log; [`Stop`] how a call ends before it is
//! recorded; [`CallDeadline`] the time that it has.

mod create_container;
mod host_access;
mod image_verifier;
mod interceptor;
mod message;
mod profile;
mod pull_image;
mod run_pod_sandbox;
mod sandbox_check;
mod start_container;
mod steering;
mod taken_create;
mod unadmitted;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use image_verifier::{MayBring, verify_image};

use super::made::unadmitted::Unadmitted;
use super::made::{Creation, Making};
use super::record::answer::RecordedAnswer;
use super::{AuditEvent, Gate, PendingCreates, Recorder, Refusal, ask, observe};
use crate::audit::{FindingKind, Reason};
use crate::containerd::NAMESPACE;
use crate::host_paths::HostPaths;
use crate::policy::{Observed, PolicySet};
use crate::proxy::{Call, OwnedMethod, RejectedUnread, Reply, UpstreamError};

/// The gate and its log, as the owned methods need them.
#[derive(Debug)]
pub struct Calls {
    gate: Arc<Gate>,
    recorder: Arc<Recorder>,
    host_paths: Option<HostPaths>,
    pending: Arc<PendingCreates>,
    unadmitted: Unadmitted,
}

/// Why a call ends without the runtime's reply of success; not recorded yet.
#[derive(Debug)]
enum Stop {
    /// The gate refuses.
    Refused(Refusal),
    /// The runtime refused what the gate permitted; its words go out as they came.
    Reply(Reply),
    /// The runtime gave no reply to what the gate permitted.
    NoReply(UpstreamError),
}

impl<E: Into<Refusal>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Reads, of an answer, the id of what was made.
type ReadId = fn(&[u8]) -> Option<String>;

impl Calls {
    /// The owned methods, answered by this gate and recorded in this log.
    #[must_use]
    pub fn new(gate: Arc<Gate>, recorder: Arc<Recorder>) -> Self {
        Self {
            gate,
            recorder,
            host_paths: None,
            pending: Arc::default(),
            unadmitted: Unadmitted::default(),
        }
    }

    /// The containers that are being made, for the tripwire.
    #[must_use]
    pub fn pending(&self) -> Arc<PendingCreates> {
        Arc::clone(&self.pending)
    }

    /// Ends a call whose request cannot be decided on. In observe mode one that only exceeds a limit
    /// goes out as it came.
    async fn unreadable(&self, asking: ask::Call, refusal: Refusal, call: &Call) -> RecordedAnswer {
        let policy = self.gate.policy();
        let mut event = self.recorder.unreadable(asking, &policy);
        match observe(&policy, refusal) {
            Ok(observed) => {
                event.observed(observed);
                self.forward_as_it_came(&[event], call, call.deadline).await
            }
            Err(refusal) => self.recorder.refuse(&event, refusal).await.into(),
        }
    }

    /// Forwards a call of which something would have been refused, byte for byte, once that is on
    /// record.
    async fn forward_as_it_came(
        &self,
        observed: &[AuditEvent],
        call: &Call,
        left: Option<Duration>,
    ) -> RecordedAnswer {
        let on_record = match self.recorder.admit(observed).await {
            Ok(on_record) => on_record,
            Err(refused) => return refused.into(),
        };
        let path = call.method.path();
        let reply = call.upstream.unary(path, &call.headers, &call.message, left).await;
        self.recorder.ended(observed, call.method, reply.as_ref());
        match reply {
            Ok(reply) => RecordedAnswer::reply(reply, on_record),
            Err(error) => RecordedAnswer::no_reply(&error, on_record),
        }
    }

    /// Records a request that was refused before it was read.
    async fn record_unread(&self, unread: RejectedUnread) {
        let policy = self.gate.policy();
        match unread {
            RejectedUnread::Framing { method, why } => {
                let asking = match method {
                    OwnedMethod::PullImage => ask::Call::PullImage,
                    OwnedMethod::RunPodSandbox => ask::Call::RunPodSandbox,
                    OwnedMethod::CreateContainer => ask::Call::CreateContainer,
                    OwnedMethod::StartContainer => ask::Call::StartContainer,
                };
                let event = self.recorder.unreadable(asking, &policy);
                let _on_record = self.recorder.refuse(&event, Refusal::BadRequest { why }).await;
            }
            RejectedUnread::Method { path, why } => {
                let refusal = Refusal::NotAllowed { what: format!("{path:?}"), hint: why };
                self.recorder.refuse_method(&path, &refusal, &policy).await;
            }
        }
    }

    /// Records that a method passes which nobody here knows: once for each name.
    fn note_unknown(&self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let message = format!(
            "{name} is a method of the CRI that this version does not know, and was forwarded; a \
             newer version may know what it brings, and listen.unknown_methods may refuse it"
        );
        tracing::warn!("{message}");
        let reason = Reason::new("unknown-method", message);
        let mut finding = self.recorder.finding(FindingKind::UnknownMethod, reason);
        finding.method = Some(name.to_owned());
        self.recorder.find(finding);
    }

    /// The runtime is about to be told to make this: while it does, what it makes is no drift.
    fn begin_creation(&self, making: Making) -> Creation {
        self.gate.made().creations().begin(making, self.gate.clock())
    }

    /// Ends a creation whose answer is known. What the gate proved is known as its own, and what it
    /// did not prove it removed; where it only observes, what was made without proof is its own all
    /// the same: it was decided on, and is on record.
    async fn end_creation(
        &self,
        creation: Creation,
        policy: &PolicySet,
        (answer, made): (&RecordedAnswer, ReadId),
    ) {
        let is_known = match answer.success().and_then(made) {
            Some(id) if policy.observes() => self.note_made(&id).await,
            Some(_) => true,
            None => false,
        };
        if is_known {
            creation.settle();
        }
    }

    /// Notes that a container or a sandbox is the gate's, of which nothing was proven; whether it
    /// was there.
    async fn note_made(&self, id: &str) -> bool {
        let listed = self.gate.runtime().listed(NAMESPACE, id).await;
        let Ok(Some(listed)) = listed else { return false };
        self.gate.made().note_listed(&listed);
        true
    }

    /// Ends a pull that was not recorded yet. What the runtime refused was admitted all the same.
    async fn stopped(&self, event: &AuditEvent, stop: Stop) -> RecordedAnswer {
        let reply = match stop {
            Stop::Refused(refusal) => return self.recorder.refuse(event, refusal).await.into(),
            Stop::Reply(reply) => Ok(reply),
            Stop::NoReply(error) => Err(error),
        };
        let events = std::slice::from_ref(event);
        let on_record = match self.recorder.admit(events).await {
            Ok(on_record) => on_record,
            Err(refused) => return refused.into(),
        };
        self.recorder.ended(events, OwnedMethod::PullImage, reply.as_ref());
        match reply {
            Ok(reply) => RecordedAnswer::reply(reply, on_record),
            Err(error) => RecordedAnswer::no_reply(&error, on_record),
        }
    }
}

/// The time that one call has: when its decision must be made, and what is left for forwarding.
#[derive(Debug, Clone, Copy)]
struct CallDeadline {
    began: Instant,
    caller: Option<Duration>,
    reserve: Duration,
    /// When the decision must be made at the latest.
    decide_by: Instant,
}

impl CallDeadline {
    /// Of a call that begins now: our own limit, or less where the caller waits for less.
    fn of(gate: &Gate, caller: Option<Duration>) -> Self {
        let began = gate.clock().steady();
        let own = gate.limits().decision();
        let reserve = caller.map_or(Duration::ZERO, |deadline| gate.limits().reserve_of(deadline));
        let most = caller.map_or(own, |deadline| own.min(deadline.saturating_sub(reserve)));
        Self { began, caller, reserve, decide_by: began + most }
    }

    /// What is left of the caller's deadline, for forwarding.
    ///
    /// # Errors
    /// [`Refusal::Deadline`] when that is less than a call should have (fact P11).
    fn left(&self, gate: &Gate) -> Result<Option<Duration>, Refusal> {
        let Some(deadline) = self.caller else { return Ok(None) };
        let left =
            deadline.saturating_sub(gate.clock().steady().saturating_duration_since(self.began));
        if left < self.reserve || left.is_zero() { Err(Refusal::Deadline) } else { Ok(Some(left)) }
    }

    /// The same, and in observe mode whatever is left, with why that would not have sufficed.
    ///
    /// # Errors
    /// As [`left`](Self::left), where the set enforces.
    fn left_or_observed(
        &self,
        gate: &Gate,
        set: &PolicySet,
    ) -> Result<(Option<Duration>, Option<Observed<Refusal>>), Refusal> {
        match self.left(gate) {
            Ok(left) => Ok((left, None)),
            Err(refusal) => {
                let observed = observe(set, refusal)?;
                let passed = gate.clock().steady().saturating_duration_since(self.began);
                let rest = self.caller.map(|deadline| deadline.saturating_sub(passed));
                Ok((rest, Some(observed)))
            }
        }
    }
}
