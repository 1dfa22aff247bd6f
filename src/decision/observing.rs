//! Which refusals stand in observe mode too, and the right to forward a call in spite of the
//! others: [`observe`].

use crate::containerd::ProofError;
use crate::decision::refusal::Refusal;
use crate::policy::{Observed, PolicySet};

/// The right to forward a call that is refused, where the set observes and a policy or a setting is
/// why.
///
/// # Errors
/// The refusal, where the set enforces, or where it protects the gate or is about false content:
/// then it stands in every mode.
pub fn observe(set: &PolicySet, refusal: Refusal) -> Result<Observed<Refusal>, Refusal> {
    if stands_in_every_mode(&refusal) { Err(refusal) } else { set.observe(refusal) }
}

/// Whether this is no matter of policies and settings: a request that the gate and the runtime
/// could read differently, or a runtime that holds or made other content than it says.
fn stands_in_every_mode(refusal: &Refusal) -> bool {
    match refusal.cause() {
        Refusal::BadRequest { .. } | Refusal::ReservedName { .. } | Refusal::SandboxCondemned => {
            true
        }
        Refusal::Stored { got, .. } => got.is_some(),
        Refusal::Differs(error) => is_false_content(error),
        Refusal::BadReference(_)
        | Refusal::PathAsImage
        | Refusal::Checkpoint
        | Refusal::CheckpointUnproven { .. }
        | Refusal::CheckpointBase { .. }
        | Refusal::NoPolicy { .. }
        | Refusal::Denied(_)
        | Refusal::Resolve { .. }
        | Refusal::Document(_)
        | Refusal::NoChild { .. }
        | Refusal::ImageLabels { .. }
        | Refusal::NotPresent { .. }
        | Refusal::NameNotListed { .. }
        | Refusal::TooMany { .. }
        | Refusal::NoImageId { .. }
        | Refusal::Runtime(_)
        | Refusal::Deadline
        | Refusal::Overloaded
        | Refusal::Lost
        | Refusal::NotRecorded { .. }
        | Refusal::NotAllowed { .. }
        | Refusal::ImageRefDiffers { .. }
        | Refusal::ProfileArtifact { .. }
        | Refusal::SandboxImageUnknown { .. }
        | Refusal::Sandbox { .. }
        | Refusal::SandboxNotProven { .. }
        | Refusal::Credentials { .. }
        | Refusal::HostPath { .. }
        | Refusal::Unadmitted { .. } => false,
    }
}

/// Whether something is shown to be another content than it is said to be, and not only unknown.
fn is_false_content(error: &ProofError) -> bool {
    match error {
        ProofError::ContentDiffers { .. }
        | ProofError::NotThisImage { .. }
        | ProofError::ImageDiffers { .. }
        | ProofError::ParentDiffers { .. }
        | ProofError::SandboxDiffers { .. }
        | ProofError::VolumeMissing(_)
        | ProofError::VolumeUnexpected(_) => true,
        ProofError::Runtime(_)
        | ProofError::ContentMissing(_)
        | ProofError::ContentTooLarge { .. }
        | ProofError::Document { .. }
        | ProofError::TooManyDocuments { .. }
        | ProofError::ContainerMissing(_)
        | ProofError::NoSnapshot(_)
        | ProofError::SnapshotMissing { .. }
        | ProofError::SnapshotterNotAllowed(_)
        | ProofError::RuntimeNotAllowed(_)
        | ProofError::NoNotes(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;
    use crate::policy::{Documents, Material, Mode, Unmatched};

    fn set(mode: Mode) -> PolicySet {
        let documents = Documents::parse(&[]).unwrap();
        let set = PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap();
        set.in_mode(mode)
    }

    fn of_settings() -> Refusal {
        Refusal::NotAllowed { what: "handler \"x\"".to_owned(), hint: "name it".to_owned() }
    }

    #[test]
    fn what_a_setting_refuses_is_observed_and_only_in_observe_mode() {
        let observed = observe(&set(Mode::Observe), of_settings()).unwrap();
        assert_eq!(observed.denied().code(), "not-allowed");
        assert_eq!(observe(&set(Mode::Enforce), of_settings()).unwrap_err().code(), "not-allowed");
        let foreign = ProofError::SnapshotterNotAllowed("stargz".to_owned());
        assert!(observe(&set(Mode::Observe), Refusal::Differs(foreign)).is_ok());
        assert!(observe(&set(Mode::Observe), Refusal::Deadline).is_ok());
    }

    /// Attacks D2, A9: what protects the gate, and what is shown to be false, is refused in every
    /// mode.
    #[test]
    fn attack_d2_malformed_requests_and_false_content_are_refused_in_observe_mode_too() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let refusals = [
            Refusal::BadRequest { why: "field 1 stands twice".to_owned() },
            Refusal::Stored { name: "a/b".to_owned(), expected: one.clone(), got: Some(other) },
            Refusal::Differs(ProofError::VolumeMissing("/data".to_owned())),
        ];
        for refusal in refusals {
            let code = refusal.code();
            assert_eq!(observe(&set(Mode::Observe), refusal).unwrap_err().code(), code);
        }
        let unknown = Refusal::Stored { name: "a/b".to_owned(), expected: one, got: None };
        assert!(observe(&set(Mode::Observe), unknown).is_ok(), "unknown is not false");
    }
}
