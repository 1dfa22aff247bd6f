//! What the runtime made of a call that was let through, as the audit log has it: [`Recorder`] tells
//! it once the runtime has answered, and nobody waits for that.

use prost::Message as _;

use super::audit_event::AuditEvent;
use super::described::cut;
use super::recorder::Recorder;
use crate::audit::{Call, CallOutcome, OutcomeWord, Reason};
use crate::cri::Refusal;
use crate::proto::cri::{CreateContainerResponse, RunPodSandboxResponse};
use crate::proxy::{Code, OwnedMethod, Reply, UpstreamError};

/// Longest words of the runtime in an outcome, bytes: one reason of runc with its paths.
const WORDS_MAX: usize = 1024;

/// The id of the container in the runtime's reply to CreateContainer.
pub(in crate::cri) fn made_container(reply: &[u8]) -> Option<String> {
    CreateContainerResponse::decode(reply).ok().map(|reply| reply.container_id)
}

/// The id of the sandbox in the runtime's reply to RunPodSandbox.
pub(in crate::cri) fn made_sandbox(reply: &[u8]) -> Option<String> {
    RunPodSandboxResponse::decode(reply).ok().map(|reply| reply.pod_sandbox_id)
}

impl Recorder {
    /// Tells what came of a call that was let through on the strength of these, which are on record.
    pub(in crate::cri) fn ended(
        &self,
        events: &[AuditEvent],
        method: OwnedMethod,
        answer: Result<&Reply, &UpstreamError>,
    ) {
        let Some((own, others)) = events.split_first() else { return };
        let also = others.iter().map(AuditEvent::recorded_as).collect();
        let mut outcome = CallOutcome { also, ..self.outcome_of(own) };
        let message = answer.ok().filter(|reply| reply.code() == Code::Ok).map(Reply::message);
        match (method, message) {
            (OwnedMethod::CreateContainer, Some(message)) => {
                outcome.container_id = made_container(message);
            }
            (OwnedMethod::RunPodSandbox, Some(message)) => {
                outcome.sandbox_id = made_sandbox(message);
            }
            (_, Some(_) | None) => {}
        }
        let made = outcome.container_id.as_ref().or(outcome.sandbox_id.as_ref());
        if let Some(id) = made.filter(|_| makes(method)) {
            self.admitted.remember(id, outcome.clone());
        }
        self.tell_answer(outcome, method, answer);
    }

    /// Tells what came of the start of a container.
    pub(in crate::cri) fn start_ended(&self, id: &str, answer: Result<&Reply, &UpstreamError>) {
        let mut outcome = self.known(self.admitted.get(id));
        outcome.container_id = Some(id.to_owned());
        self.tell_answer(outcome, OwnedMethod::StartContainer, answer);
    }

    /// Tells that the gate removed a container that it had the runtime make, and why.
    pub(in crate::cri) fn removed(&self, id: &str, refusal: &Refusal) {
        let reason = Reason::new(refusal.code(), cut(refusal.to_string(), WORDS_MAX));
        self.tell_removed(id, Some(reason));
    }

    /// Tells that a container or a sandbox that the gate admitted is gone, by the runtime's word, and
    /// not by the gate's hand.
    pub(in crate::cri) fn gone(&self, id: &str) {
        self.tell_removed(id, None);
    }

    /// Remembers the decision by which a container starts that was made before.
    pub(super) fn remember_start(&self, event: &AuditEvent) {
        if let (Call::StartContainer, Some(id)) = (event.call, &event.container_id) {
            self.admitted.remember(id, self.outcome_of(event));
        }
    }

    fn tell_removed(&self, id: &str, reason: Option<Reason>) {
        let mut outcome = self.known(self.admitted.take(id));
        outcome.outcome = OutcomeWord::Removed;
        outcome.reason = reason;
        if outcome.call != Some(Call::RunPodSandbox) {
            outcome.container_id = Some(id.to_owned());
        }
        self.tell(outcome);
    }

    /// What came of the call, by the runtime's answer to it.
    fn tell_answer(
        &self,
        mut outcome: CallOutcome,
        method: OwnedMethod,
        answer: Result<&Reply, &UpstreamError>,
    ) {
        let (word, reason) = match answer {
            Ok(reply) if reply.code() == Code::Ok => (done(method), None),
            Ok(reply) => (OutcomeWord::Failed, Some((reply.code(), reply.status_text()))),
            Err(error) if error.was_sent() => {
                (OutcomeWord::Unanswered, Some((error.code(), error.to_string())))
            }
            Err(error) => (OutcomeWord::Failed, Some((error.code(), error.to_string()))),
        };
        outcome.outcome = word;
        outcome.call = Some(call_of(method));
        outcome.reason =
            reason.map(|(code, words)| Reason::new(name_of(code), cut(words, WORDS_MAX)));
        self.tell(outcome);
    }

    /// What is known of it, as an outcome of this moment.
    fn known(&self, known: Option<CallOutcome>) -> CallOutcome {
        let now = CallOutcome::new(self.log().next_id(), OutcomeWord::Unanswered);
        match known {
            Some(known) => CallOutcome { id: now.id, time: now.time, ..known },
            None => now,
        }
    }

    /// An outcome of this moment, about what this decision is about.
    fn outcome_of(&self, event: &AuditEvent) -> CallOutcome {
        event.outcome(CallOutcome::new(self.log().next_id(), OutcomeWord::Unanswered))
    }

    fn tell(&self, outcome: CallOutcome) {
        if let Err(error) = self.log().tell(outcome) {
            tracing::debug!(%error, "what came of a call could not be recorded");
        }
    }
}

/// Whether the runtime answers the id of what it made.
const fn makes(method: OwnedMethod) -> bool {
    match method {
        OwnedMethod::CreateContainer | OwnedMethod::RunPodSandbox => true,
        OwnedMethod::PullImage | OwnedMethod::StartContainer => false,
    }
}

const fn done(method: OwnedMethod) -> OutcomeWord {
    match method {
        OwnedMethod::PullImage => OutcomeWord::Pulled,
        OwnedMethod::CreateContainer | OwnedMethod::RunPodSandbox => OutcomeWord::Created,
        OwnedMethod::StartContainer => OutcomeWord::Started,
    }
}

const fn call_of(method: OwnedMethod) -> Call {
    match method {
        OwnedMethod::PullImage => Call::PullImage,
        OwnedMethod::RunPodSandbox => Call::RunPodSandbox,
        OwnedMethod::CreateContainer => Call::CreateContainer,
        OwnedMethod::StartContainer => Call::StartContainer,
    }
}

/// The name of a status as gRPC writes it (gRPC, "Status codes and their use in gRPC").
const fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
