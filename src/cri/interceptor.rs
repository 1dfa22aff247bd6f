//! [`Calls`]: what answers the owned methods, each in a file of its own. Every path through it ends in a record on disk
//! before the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::Code;

use super::{create_container, pull_image, start_container};
use crate::containerd::RuntimeError;
use crate::cri::{Ending, Gate, Recorder, Refusal, Story, ask};
use crate::proxy::{Answer, Call, Owned, OwnedMethod, Reply, Unread, UpstreamError};
use crate::registry::Class;

/// What the kubelet shows as the pod's waiting reason when a pull fails with UNKNOWN and this (fact P10).
const VALIDATION_FAILED: &str = "SignatureValidationFailed: ";
/// The same for a registry that cannot be reached.
const REGISTRY_UNAVAILABLE: &str = "RegistryUnavailable: ";

/// The gate and its log, as the owned methods need them.
#[derive(Debug)]
pub struct Calls {
    pub(crate) gate: Arc<Gate>,
    pub(crate) recorder: Arc<Recorder>,
}

/// Why a call ends without the runtime's reply of success.
#[derive(Debug)]
pub(crate) enum Stop {
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

impl Calls {
    /// The owned methods, answered by this gate and recorded in this log.
    #[must_use]
    pub fn new(gate: Arc<Gate>, recorder: Arc<Recorder>) -> Self {
        Self { gate, recorder }
    }

    /// Ends a call whose request cannot be decided on.
    pub(crate) async fn unreadable(&self, call: ask::Call, refusal: Refusal) -> Answer {
        let story = self.recorder.unreadable(call, &self.gate.policy());
        self.recorder.refuse(&story, &refusal).await;
        Stop::Refused(refusal).into_answer()
    }

    /// Records a request that was refused before it was read.
    async fn record_unread(&self, unread: Unread) {
        let policy = self.gate.policy();
        match unread {
            Unread::Framing { method, why } => {
                let asking = match method {
                    OwnedMethod::PullImage => ask::Call::PullImage,
                    OwnedMethod::CreateContainer => ask::Call::CreateContainer,
                    OwnedMethod::StartContainer => ask::Call::StartContainer,
                };
                let story = self.recorder.unreadable(asking, &policy);
                self.recorder.refuse(&story, &Refusal::BadRequest { why }).await;
            }
            Unread::Method { path, why } => {
                let refusal = Refusal::NotAllowed { what: format!("{path:?}"), hint: why };
                self.recorder.refuse_method(&path, &refusal, &policy).await;
            }
        }
    }

    /// Ends a call that was not recorded yet. What the runtime refused was admitted all the same.
    pub(crate) async fn stopped(&self, story: &Story, stop: Stop) -> Answer {
        match &stop {
            Stop::Refused(refusal) => self.recorder.refuse(story, refusal).await,
            Stop::Reply(_) | Stop::NoReply(_) => {
                if let Err(refusal) = self.recorder.admit(std::slice::from_ref(story)).await {
                    return Stop::Refused(refusal).into_answer();
                }
            }
        }
        stop.into_answer()
    }
}

impl Owned for Arc<Calls> {
    fn unread(&self, unread: Unread) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let calls = Self::clone(self);
        Box::pin(async move { calls.record_unread(unread).await })
    }

    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let calls = Self::clone(self);
        Box::pin(async move {
            match call.method {
                OwnedMethod::PullImage => pull_image::answer(calls, call).await,
                OwnedMethod::CreateContainer => create_container::answer(calls, call).await,
                OwnedMethod::StartContainer => start_container::answer(calls, call).await,
            }
        })
    }
}

/// The time that one call has: when its decision must be made, and what is left for forwarding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    began: Instant,
    caller: Option<Duration>,
    reserve: Duration,
    /// When the decision must be made at the latest.
    pub(crate) decide_by: Instant,
}

impl Patience {
    /// Of a call that begins now: our own limit, or less where the caller waits for less.
    pub(crate) fn of(gate: &Gate, caller: Option<Duration>) -> Self {
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
    pub(crate) fn left(&self, gate: &Gate) -> Result<Option<Duration>, Refusal> {
        let Some(deadline) = self.caller else { return Ok(None) };
        let left = deadline.saturating_sub(gate.clock().steady().saturating_duration_since(self.began));
        if left < self.reserve || left.is_zero() { Err(Refusal::Deadline) } else { Ok(Some(left)) }
    }
}

impl Stop {
    /// What the client is told.
    pub(crate) fn into_answer(self) -> Answer {
        match self {
            Self::Refused(refusal) => answer_of(&refusal),
            Self::Reply(reply) => Answer::Reply(reply),
            Self::NoReply(error) => Answer::status(error.code(), error.to_string()),
        }
    }
}

/// The status of a refusal: UNKNOWN with the kubelet's words where it has some, otherwise the code that fits.
fn answer_of(refusal: &Refusal) -> Answer {
    let code = match refusal {
        Refusal::BadRequest { .. } | Refusal::BadReference(_) => Some(Code::InvalidArgument),
        Refusal::Resolve { error, .. } => (error.class() == Class::Absent).then_some(Code::NotFound),
        Refusal::NotPresent { .. } => Some(Code::NotFound),
        Refusal::Runtime(error) => Some(runtime_code(error)),
        Refusal::Deadline => Some(Code::DeadlineExceeded),
        Refusal::Overloaded => Some(Code::ResourceExhausted),
        Refusal::Lost => Some(Code::Internal),
        Refusal::NotRecorded { .. } => Some(Code::Unavailable),
        Refusal::PathAsImage
        | Refusal::Checkpoint
        | Refusal::NoPolicy { .. }
        | Refusal::Denied(_)
        | Refusal::Document(_)
        | Refusal::NoChild { .. }
        | Refusal::NameNotListed { .. }
        | Refusal::TooMany { .. }
        | Refusal::Differs(_)
        | Refusal::Stored { .. }
        | Refusal::NoImageId { .. }
        | Refusal::NotAllowed { .. } => None,
    };
    match code {
        Some(code) => Answer::status(code, refusal.to_string()),
        None => Answer::status(Code::Unknown, format!("{}{refusal}", kubelet_word(refusal))),
    }
}

/// What the kubelet recognises at the beginning of an UNKNOWN (fact P10).
fn kubelet_word(refusal: &Refusal) -> &'static str {
    match (refusal, refusal.ending()) {
        (_, Ending::Unreachable) => REGISTRY_UNAVAILABLE,
        // A registry that does not show the image itself (401, 403) says nothing of signatures; the runtime's own pull
        // would fail with a plain UNKNOWN too (fact P8).
        (Refusal::Resolve { .. }, Ending::Refused | Ending::Unable) => "",
        (_, Ending::Refused | Ending::Unable) => VALIDATION_FAILED,
    }
}

fn runtime_code(error: &RuntimeError) -> Code {
    match error {
        RuntimeError::Unavailable { .. } | RuntimeError::TimedOut { .. } => Code::Unavailable,
        RuntimeError::Refused { .. } | RuntimeError::Malformed { .. } | RuntimeError::NameNotSeen { .. } => {
            Code::Internal
        }
    }
}
