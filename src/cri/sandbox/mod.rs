//! The sandboxes of pods: the image that they are made of is brought and judged before (`image`),
//! and what was made is proven, at once or when a container is to be made in it (`proof`).

mod image;
mod proof;
mod traits;

pub use image::SandboxRequest;
pub use proof::SandboxProof;
pub(in crate::cri) use proof::{Judging, missing};
pub(in crate::cri) use traits::{UNTRUSTED, UNTRUSTED_ANNOTATION};
