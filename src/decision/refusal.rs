//! [`Refusal`]: why an image may not be pulled or run, typed, with one line for people.
//!
//! Which status a refusal becomes on the wire is the proxy's business.

use std::sync::Arc;

use crate::containerd::{ProofError, RuntimeError};
use crate::image::{ChooseError, Digest, DocumentError, ReferenceError};
use crate::policy::{self, Denial, Elsewhere, Reason};
use crate::registry::{Class, RegistryError};

/// A decision against an image, and the only way to say no.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// The image string is no reference.
    BadReference(ReferenceError),
    /// The image string exists as a file: containerd would look there (facts C8, C12).
    PathAsImage,
    /// The image is a checkpoint: containerd would bring its base image by itself (fact C8).
    Checkpoint,
    /// The image is a checkpoint that policies let be restored, and what it is cannot be proven.
    CheckpointUnproven {
        /// Why not.
        why: &'static str,
    },
    /// The base image of a checkpoint that a policy lets be restored may not run.
    CheckpointBase {
        /// The image that the checkpoint names.
        image: String,
        /// Why not.
        why: Box<Self>,
    },
    /// The image is the gate's own, by which it tests itself; nobody may bring or run it.
    ReservedName {
        /// The image as asked for.
        image: String,
    },
    /// No document matches the image, and the configuration does not admit such images.
    NoPolicy {
        /// The image as asked for.
        image: String,
        /// A policy that matches it in other namespaces.
        elsewhere: Option<Elsewhere>,
    },
    /// The policy's judgement.
    Denied(Arc<Denial>),
    /// The reference could not be resolved in its registry.
    Resolve {
        /// The image as asked for.
        image: String,
        /// What the registry did.
        error: RegistryError,
    },
    /// What the registry answered under the reference is no image that can be decided on.
    Document(DocumentError),
    /// The index is not signed as the policy wants, and it has no single manifest for this node
    /// whose signatures could count instead.
    NoChild {
        /// Why there is no single one.
        why: ChooseError,
        /// The judgement of the index.
        denial: Arc<Denial>,
    },
    /// Policies select the image by its labels, which could not be read, so that they count; and it
    /// does not meet all that count.
    ImageLabels {
        /// What the registry did when it was asked for the config.
        error: RegistryError,
        /// The judgement with those policies.
        denial: Arc<Denial>,
    },
    /// The runtime has no such image.
    NotPresent {
        /// The image string.
        image: String,
    },
    /// The runtime does not list the asked name for the image that is to run (attack A5).
    NameNotListed {
        /// The name asked for.
        name: String,
        /// The image's id.
        id: Digest,
    },
    /// The image that is to run is not the one of the digest that the request gives for it.
    ImageRefDiffers {
        /// The request's `image_ref`.
        asked: String,
        /// The image's id.
        id: Digest,
        /// What its name leads to.
        target: Digest,
    },
    /// A security profile is an OCI artifact, which nobody verified.
    ProfileArtifact {
        /// The artifact; empty when the request names none.
        reference: String,
    },
    /// The image that the runtime makes sandboxes of is not known (fact C9).
    SandboxImageUnknown {
        /// Why not.
        why: String,
    },
    /// The image that the runtime makes sandboxes of may not run (fact C9).
    Sandbox {
        /// The image as the runtime's configuration has it.
        image: String,
        /// Why not.
        why: Box<Self>,
    },
    /// Nobody proved what the sandbox of the pod is made of when it was made, and it is not shown to
    /// be an image that is admitted.
    SandboxNotProven {
        /// The sandbox, as the request has it.
        sandbox: String,
        /// Why not.
        why: Box<Self>,
    },
    /// The gate removes the sandbox of the pod, since it could not be proven when it was made.
    SandboxCondemned,
    /// More names or records than are looked at.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many are looked at.
        limit: usize,
    },
    /// What the runtime holds or made is not what was decided on.
    Differs(ProofError),
    /// The runtime's record of a pull does not point at what was pulled (fact P14).
    Stored {
        /// The record's name.
        name: String,
        /// What it must point at.
        expected: Digest,
        /// What it points at; none when there is no record.
        got: Option<Digest>,
    },
    /// The runtime answered a pull with something that is no image id.
    NoImageId {
        /// What it answered.
        answered: String,
    },
    /// The runtime could not be asked.
    Runtime(RuntimeError),
    /// The decision did not come in time.
    Deadline,
    /// Thousands of decisions are under way.
    Overloaded,
    /// What decided, or proved, ended without a result: a fault of the gate's own.
    Lost,
    /// The decision could not be written to the audit log.
    NotRecorded {
        /// What the log said.
        why: String,
    },
    /// A method, path or annotation that is refused by name.
    NotAllowed {
        /// What.
        what: String,
        /// How to allow it, or why it is not allowed.
        hint: String,
    },
    /// The caller's credentials cannot be used.
    Credentials {
        /// Why.
        why: String,
    },
    /// The container would reach what the gate rests on (fact C14).
    HostPath {
        /// What it asks for, and what that reaches.
        reached: String,
        /// Its pod, `namespace/name`.
        pod: String,
    },
    /// What a call is about was not made through the gate, and the operator wants it refused.
    Unadmitted {
        /// The container or sandbox.
        id: String,
        /// What is known of where it came from.
        origin: &'static str,
    },
    /// The request itself cannot be decided on.
    BadRequest {
        /// What is wrong with it.
        why: String,
    },
}

/// Every code that [`Refusal::code`] gives, sorted.
pub(crate) const CODES: [&str; 61] = [
    "bad-content",
    "bad-manifest",
    "bad-reference",
    "bad-request",
    "checkpoint-base",
    "checkpoint-image",
    "checkpoint-unproven",
    "container-missing",
    "content-differs",
    "content-missing",
    "content-too-large",
    "deadline",
    "digest-denied",
    "digest-not-listed",
    "host-path",
    "image-ref-differs",
    "keys-not-distinct",
    "lost",
    "name-not-listed",
    "no-container-notes",
    "no-image-id",
    "no-name",
    "no-origin",
    "no-policy",
    "no-signature-counts",
    "no-single-platform",
    "no-snapshot",
    "not-allowed",
    "not-found",
    "not-present",
    "not-recorded",
    "not-this-image",
    "not-told",
    "other-content-stored",
    "other-image-noted",
    "other-image-volume",
    "other-root-filesystem",
    "other-sandbox",
    "overloaded",
    "path-as-image",
    "policy-changed",
    "profile-artifact",
    "registry-unable",
    "registry-unreachable",
    "repository-denied",
    "reserved-name",
    "runtime",
    "runtime-not-allowed",
    "sandbox-image-unknown",
    "sandbox-not-proven",
    "signatures-not-looked-for",
    "signatures-unable",
    "signatures-unreachable",
    "snapshotter-not-allowed",
    "too-complex",
    "too-many",
    "too-many-documents",
    "too-many-repositories",
    "too-many-signatures",
    "unadmitted",
    "unsigned",
];

/// How a decision ended, in three words that never stand in for each other, and one for success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Evaluated and refused.
    Refused,
    /// Could not be evaluated.
    Unable,
    /// A registry could not be reached.
    Unreachable,
}

impl Refusal {
    /// Refused, unable or unreachable.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::BadReference(_)
            | Self::ReservedName { .. }
            | Self::PathAsImage
            | Self::Checkpoint
            | Self::CheckpointUnproven { .. }
            | Self::NoPolicy { .. }
            | Self::Document(_)
            | Self::NameNotListed { .. }
            | Self::ImageRefDiffers { .. }
            | Self::ProfileArtifact { .. }
            | Self::SandboxCondemned
            | Self::TooMany { .. }
            | Self::Differs(_)
            | Self::Stored { .. }
            | Self::NoImageId { .. }
            | Self::NotAllowed { .. }
            | Self::Credentials { .. }
            | Self::HostPath { .. }
            | Self::Unadmitted { .. }
            | Self::BadRequest { .. } => Ending::Refused,
            Self::Sandbox { why, .. }
            | Self::SandboxNotProven { why, .. }
            | Self::CheckpointBase { why, .. } => why.ending(),
            Self::Denied(denial) | Self::NoChild { denial, .. } => match denial.class() {
                policy::Class::Refused => Ending::Refused,
                policy::Class::Unable => Ending::Unable,
                policy::Class::Unreachable => Ending::Unreachable,
            },
            Self::Resolve { error, .. } | Self::ImageLabels { error, .. } => match error.class() {
                Class::Absent | Class::Unable => Ending::Unable,
                Class::Unreachable => Ending::Unreachable,
            },
            Self::NotPresent { .. }
            | Self::SandboxImageUnknown { .. }
            | Self::Runtime(_)
            | Self::Deadline
            | Self::Overloaded
            | Self::Lost
            | Self::NotRecorded { .. } => Ending::Unable,
        }
    }

    /// Why, when it stands for another refusal; itself otherwise.
    #[must_use]
    pub fn cause(&self) -> &Self {
        if let Self::Sandbox { why, .. }
        | Self::SandboxNotProven { why, .. }
        | Self::CheckpointBase { why, .. } = self
        {
            why.cause()
        } else {
            self
        }
    }

    /// A short stable word for the audit log and for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadReference(_) => "bad-reference",
            Self::PathAsImage => "path-as-image",
            Self::Checkpoint => "checkpoint-image",
            Self::CheckpointUnproven { .. } => "checkpoint-unproven",
            Self::CheckpointBase { .. } => "checkpoint-base",
            Self::ReservedName { .. } => "reserved-name",
            Self::NoPolicy { .. } => "no-policy",
            Self::Denied(denial) => code_of(denial.reason()),
            Self::Resolve { error, .. } => match error.class() {
                Class::Absent => "not-found",
                Class::Unable => "registry-unable",
                Class::Unreachable => "registry-unreachable",
            },
            Self::ImageLabels { error, .. } => match error.class() {
                Class::Absent | Class::Unable => "registry-unable",
                Class::Unreachable => "registry-unreachable",
            },
            Self::Document(_) => "bad-manifest",
            Self::NoChild { .. } => "no-single-platform",
            Self::NotPresent { .. } => "not-present",
            Self::NameNotListed { .. } => "name-not-listed",
            Self::ImageRefDiffers { .. } => "image-ref-differs",
            Self::ProfileArtifact { .. } => "profile-artifact",
            Self::SandboxImageUnknown { .. } => "sandbox-image-unknown",
            Self::Sandbox { why, .. } => why.code(),
            Self::SandboxNotProven { .. } | Self::SandboxCondemned => "sandbox-not-proven",
            Self::TooMany { .. } => "too-many",
            Self::Differs(error) => differs(error),
            Self::Stored { .. } => "other-content-stored",
            Self::NoImageId { .. } => "no-image-id",
            Self::Runtime(_) => "runtime",
            Self::Deadline => "deadline",
            Self::Overloaded => "overloaded",
            Self::Lost => "lost",
            Self::NotRecorded { .. } => "not-recorded",
            Self::NotAllowed { .. } => "not-allowed",
            Self::Credentials { .. } | Self::BadRequest { .. } => "bad-request",
            Self::HostPath { .. } => "host-path",
            Self::Unadmitted { .. } => "unadmitted",
        }
    }
}

/// The word for what the policies refused.
#[must_use]
pub(crate) fn code_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::NoPolicy => "no-policy",
        Reason::StaleSet => "policy-changed",
        Reason::Unsigned => "unsigned",
        Reason::NoneCounts { .. } => "no-signature-counts",
        Reason::NotTold { .. } => "not-told",
        Reason::KeysNotDistinct => "keys-not-distinct",
        Reason::DigestNotListed => "digest-not-listed",
        Reason::DigestDenied { .. } => "digest-denied",
        Reason::RepositoryDenied { .. } => "repository-denied",
        Reason::NoOrigin => "no-origin",
        Reason::NoName => "no-name",
        Reason::Unreachable { .. } => "signatures-unreachable",
        Reason::Unable { .. } => "signatures-unable",
        Reason::NotLooked { .. } => "signatures-not-looked-for",
        Reason::TooManySignatures => "too-many-signatures",
        Reason::TooManyRepositories { .. } => "too-many-repositories",
        Reason::TooComplex => "too-complex",
    }
}

fn differs(error: &ProofError) -> &'static str {
    match error {
        ProofError::Runtime(_) => "runtime",
        ProofError::ContentMissing(_) => "content-missing",
        ProofError::ContentDiffers { .. } => "content-differs",
        ProofError::ContentTooLarge { .. } => "content-too-large",
        ProofError::Document { .. } => "bad-content",
        ProofError::NotThisImage { .. } => "not-this-image",
        ProofError::TooManyDocuments { .. } => "too-many-documents",
        ProofError::ContainerMissing(_) => "container-missing",
        ProofError::NoSnapshot(_) | ProofError::SnapshotMissing { .. } => "no-snapshot",
        ProofError::SnapshotterNotAllowed(_) => "snapshotter-not-allowed",
        ProofError::RuntimeNotAllowed(_) => "runtime-not-allowed",
        ProofError::ImageDiffers { .. } => "other-image-noted",
        ProofError::NoNotes(_) => "no-container-notes",
        ProofError::ParentDiffers { .. } => "other-root-filesystem",
        ProofError::SandboxDiffers { .. } => "other-sandbox",
        ProofError::VolumeMissing(_) | ProofError::VolumeUnexpected(_) => "other-image-volume",
    }
}

impl std::error::Error for Refusal {}

/// A proof that failed, or that could not be made: two different answers.
impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        if let ProofError::Runtime(error) = error {
            Self::Runtime(error)
        } else {
            Self::Differs(error)
        }
    }
}

impl From<RuntimeError> for Refusal {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(error)
    }
}
