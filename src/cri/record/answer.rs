//! [`RecordedAnswer`]: what a call is answered with, which can be made only from its record; and
//! the gRPC status of a refusal.

use std::fmt;

use tonic::Code;

use super::recorder::OnRecord;
use super::refused::Refused;
use crate::containerd::RuntimeError;
use crate::cri::canary::CanarySeen;
use crate::cri::{Ending, Refusal};
use crate::proxy::{Answer, Reply, UpstreamError};
use crate::registry::Class;

/// What the kubelet shows as the pod's waiting reason when a pull fails with UNKNOWN and this (fact
/// P10).
const VALIDATION_FAILED: &str = "SignatureValidationFailed: ";
/// The same for a registry that cannot be reached.
const REGISTRY_UNAVAILABLE: &str = "RegistryUnavailable: ";

/// An answer whose decision is on record.
#[must_use]
#[derive(Debug)]
pub(in crate::cri) struct RecordedAnswer(Answer);

impl RecordedAnswer {
    /// The runtime's own reply, success or error.
    pub(in crate::cri) fn reply(reply: Reply, _: OnRecord) -> Self {
        Self(Answer::Reply(reply))
    }

    /// The runtime gave none.
    pub(in crate::cri) fn no_reply(error: &UpstreamError, _: OnRecord) -> Self {
        Self(Answer::status(error.code(), error.to_string()))
    }

    /// The gate's own probe of itself: it is about no image, and leaves no record.
    pub(in crate::cri) fn canary(refusal: &Refusal, _: CanarySeen) -> Self {
        Self(answer_of(refusal, refusal))
    }

    /// The message of the runtime's reply, where that is a success.
    pub(in crate::cri) fn success(&self) -> Option<&[u8]> {
        match &self.0 {
            Answer::Reply(reply) if reply.code() == Code::Ok => Some(reply.message()),
            Answer::Reply(_) | Answer::Status { .. } => None,
        }
    }

    /// What the runtime replied, where that is the answer.
    pub(in crate::cri) fn runtime_reply(&self) -> Option<&Reply> {
        if let Answer::Reply(reply) = &self.0 { Some(reply) } else { None }
    }

    /// What the client is told.
    pub(in crate::cri) fn into_answer(self) -> Answer {
        self.0
    }
}

impl From<Refused> for RecordedAnswer {
    fn from(refused: Refused) -> Self {
        Self(answer_of(refused.refusal(), &refused))
    }
}

/// The status of a refusal, in these words: UNKNOWN with the kubelet's own before them where it has
/// some, otherwise the code that fits.
fn answer_of(refusal: &Refusal, words: &dyn fmt::Display) -> Answer {
    let code = match refusal.cause() {
        Refusal::BadRequest { .. } | Refusal::Credentials { .. } | Refusal::BadReference(_) => {
            Some(Code::InvalidArgument)
        }
        Refusal::Resolve { error, .. } => {
            (error.class() == Class::Absent).then_some(Code::NotFound)
        }
        Refusal::NotPresent { .. } => Some(Code::NotFound),
        Refusal::Runtime(error) => Some(runtime_code(error)),
        Refusal::Deadline => Some(Code::DeadlineExceeded),
        Refusal::Overloaded => Some(Code::ResourceExhausted),
        Refusal::HostPath { .. } | Refusal::Unadmitted { .. } => Some(Code::PermissionDenied),
        Refusal::Lost => Some(Code::Internal),
        Refusal::NotRecorded { .. } => Some(Code::Unavailable),
        Refusal::SandboxImageUnknown { .. } => Some(Code::FailedPrecondition),
        Refusal::ReservedName { .. }
        | Refusal::PathAsImage
        | Refusal::Checkpoint
        | Refusal::CheckpointUnproven { .. }
        | Refusal::CheckpointBase { .. }
        | Refusal::NoPolicy { .. }
        | Refusal::Denied(_)
        | Refusal::Document(_)
        | Refusal::NoChild { .. }
        | Refusal::ImageLabels { .. }
        | Refusal::NameNotListed { .. }
        | Refusal::ImageRefDiffers { .. }
        | Refusal::ProfileArtifact { .. }
        | Refusal::Sandbox { .. }
        | Refusal::SandboxNotProven { .. }
        | Refusal::SandboxCondemned
        | Refusal::TooMany { .. }
        | Refusal::Differs(_)
        | Refusal::Stored { .. }
        | Refusal::NoImageId { .. }
        | Refusal::NotAllowed { .. } => None,
    };
    match code {
        Some(code) => Answer::status(code, words.to_string()),
        None => Answer::status(Code::Unknown, format!("{}{words}", kubelet_word(refusal.cause()))),
    }
}

/// What the kubelet recognises at the beginning of an UNKNOWN (fact P10).
fn kubelet_word(refusal: &Refusal) -> &'static str {
    match (refusal, refusal.ending()) {
        (_, Ending::Unreachable) => REGISTRY_UNAVAILABLE,
        // A registry that does not show the image itself (401, 403) says nothing of signatures; the
        // runtime's own pull would fail with a plain UNKNOWN too (fact P8).
        (
            Refusal::Resolve { .. } | Refusal::ImageLabels { .. },
            Ending::Refused | Ending::Unable,
        ) => "",
        (_, Ending::Refused | Ending::Unable) => VALIDATION_FAILED,
    }
}

fn runtime_code(error: &RuntimeError) -> Code {
    match error {
        RuntimeError::Unavailable { .. } | RuntimeError::TimedOut { .. } => Code::Unavailable,
        RuntimeError::Refused { .. }
        | RuntimeError::Malformed { .. }
        | RuntimeError::NameNotSeen { .. } => Code::Internal,
    }
}
