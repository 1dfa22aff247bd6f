//! What a [`Refusal`] says to people: one line for each reason.

use std::fmt;

use super::refusal::Refusal;
use crate::registry::RegistryError;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadReference(error) => error.fmt(f),
            Self::PathAsImage => {
                f.write_str("the image string names a file; images are named by reference or id")
            }
            Self::Checkpoint | Self::CheckpointUnproven { .. } | Self::CheckpointBase { .. } => {
                self.fmt_checkpoint(f)
            }
            Self::ReservedName { image } => write!(
                f,
                "{image} has the name by which the gate tests itself, and is refused whatever \
                 policies say"
            ),
            Self::NoPolicy { image, elsewhere: None } => write!(
                f,
                "no policy matches {image}, and what no policy matches is denied; add an \
                 ImagePolicy whose images match it"
            ),
            Self::NoPolicy { image, elsewhere: Some(elsewhere) } => {
                write!(
                    f,
                    "no policy matches {image}, and what no policy matches is denied: {elsewhere}"
                )
            }
            Self::Denied(denial) => denial.fmt(f),
            // Which names what was looked for.
            Self::Resolve { error: error @ RegistryError::NotFound { .. }, .. } => error.fmt(f),
            Self::Resolve { image, error } => write!(f, "{image}: {error}"),
            Self::Document(error) => write!(f, "what the registry answered is no image: {error}"),
            Self::NoChild { .. } | Self::ImageLabels { .. } => self.fmt_less_known(f),
            Self::Sandbox { .. }
            | Self::SandboxNotProven { .. }
            | Self::SandboxCondemned
            | Self::SandboxImageUnknown { .. }
            | Self::ProfileArtifact { .. }
            | Self::Unadmitted { .. } => self.fmt_sandbox(f),
            Self::NotPresent { .. }
            | Self::NameNotListed { .. }
            | Self::ImageRefDiffers { .. }
            | Self::TooMany { .. }
            | Self::Differs(_)
            | Self::Stored { .. }
            | Self::NoImageId { .. }
            | Self::Runtime(_)
            | Self::Deadline
            | Self::Overloaded
            | Self::Lost
            | Self::NotRecorded { .. }
            | Self::NotAllowed { .. }
            | Self::Credentials { .. }
            | Self::HostPath { .. }
            | Self::BadRequest { .. } => self.fmt_runtime(f),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a part of one match; Display lists every variant"
)]
impl Refusal {
    fn fmt_checkpoint(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckpointUnproven { why } => {
                write!(f, "what is restored from the checkpoint cannot be proven: {why}")
            }
            Self::CheckpointBase { image, why } => {
                write!(f, "the base image of the checkpoint, {image:?}, may not run: {why}")
            }
            _ => f.write_str(
                "the image is a checkpoint: the gate lets containerd restore it only as a \
                 container's own image, and only where every policy about it that asks for proof \
                 has allowCheckpointRestore: true",
            ),
        }
    }

    /// What was not known when the policies judged.
    fn fmt_less_known(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChild { why, denial } => {
                write!(f, "{denial}; nor can a manifest under the index count: {why}")
            }
            Self::ImageLabels { error, denial } => write!(
                f,
                "policies select the image by its labels, and its config cannot be read: {error}; \
                 until it can every such policy counts, and with them: {denial}"
            ),
            _ => Ok(()),
        }
    }

    /// What is wrong with the sandbox of a pod, or with a container that is there.
    fn fmt_sandbox(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sandbox { image, why } => {
                write!(f, "{image}, of which the runtime makes the sandbox of every pod: {why}")
            }
            Self::SandboxNotProven { sandbox, why } => write!(
                f,
                "the gate did not prove sandbox {sandbox:?} when it was made, and cannot show now that \
                 an admitted image is in it: {why}; delete the pod, so that its sandbox is made anew"
            ),
            Self::SandboxCondemned => f.write_str("the gate removes this sandbox"),
            Self::SandboxImageUnknown { why } => write!(
                f,
                "which image the runtime makes sandboxes of cannot be told: {why}; set \
                 runtime.sandbox_image to it"
            ),
            Self::ProfileArtifact { reference } => write!(
                f,
                "the security profile {reference:?} is an artifact whose signature nobody \
                 verified; use a profile that is a file of the node"
            ),
            Self::Unadmitted { id, origin } => write!(
                f,
                "the gate did not admit {id}: {origin}; replace its pod, or set [unadmitted] to \
                 \"report\" in the gate's configuration"
            ),
            _ => Ok(()),
        }
    }

    /// What is wrong in the runtime, in the gate or with the request.
    fn fmt_runtime(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPresent { image } => write!(f, "the runtime has no image {image}"),
            Self::NameNotListed { name, id } => {
                write!(
                    f,
                    "the runtime does not list {name} among the names of image {id}; pull it under \
                     that name"
                )
            }
            Self::ImageRefDiffers { asked, id, target } => write!(
                f,
                "the request says that the image is {asked}, and what is to run is {id} of \
                 {target}; pull it again"
            ),
            Self::TooMany { what, got, limit } => {
                write!(f, "{got} {what}, of which at most {limit} are looked at")
            }
            Self::Differs(error) => write!(f, "{error}"),
            Self::Stored { name, expected, got: Some(got) } => write!(
                f,
                "containerd stored other content than was pulled: {name} points at {got}, expected \
                 {expected}; the registry may have answered it and the gate differently"
            ),
            Self::Stored { name, expected, got: None } => {
                write!(
                    f,
                    "containerd has no record {name} after the pull, expected one that points at \
                     {expected}"
                )
            }
            Self::NoImageId { answered } => {
                write!(f, "containerd answered the pull with {answered:?}, which is no image id")
            }
            Self::Runtime(error) => write!(f, "{error}"),
            Self::Deadline => f.write_str("the decision did not come before the caller's deadline"),
            Self::Overloaded => f.write_str("too many decisions at once; try again"),
            Self::Lost => f.write_str(
                "the gate failed while it decided, and says more in its journal; try again",
            ),
            Self::NotRecorded { why } => {
                write!(
                    f,
                    "the decision could not be written to the audit log ({why}); new images wait \
                     until it can"
                )
            }
            Self::NotAllowed { what, hint } => write!(f, "{what} is not allowed: {hint}"),
            Self::Credentials { why } | Self::BadRequest { why } => {
                write!(f, "the request cannot be decided on: {why}")
            }
            Self::HostPath { reached, pod } => write!(
                f,
                "{reached}, which lets pod {pod} undo the gate; remove it from the pod, or list \
                 the pod's namespace or image under host_paths.allow in the gate's configuration"
            ),
            _ => Ok(()),
        }
    }
}
