//! Kyverno's policies: ImageValidatingPolicy, whose demands are CEL expressions, and `verifyImages`
//! of ClusterPolicy, which lists attestors.

mod attestors;
pub(super) mod image_validating_policy;
mod pods;
pub(super) mod verify_images;
