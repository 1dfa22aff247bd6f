//! [`Call`]: the calls that are decided on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The calls that are decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Call {
    /// An image is pulled.
    PullImage,
    /// A pod's sandbox is made, from the image of the runtime's configuration.
    RunPodSandbox,
    /// A container is made from an image.
    CreateContainer,
    /// An image is mounted into a container that is being made.
    ImageVolume,
    /// A container is started.
    StartContainer,
    /// The runtime's image verifier asks before an image is brought, by a pull that did not come
    /// through the gate.
    ImageVerifier,
    /// Another method that brings content, whose name the record has.
    Other,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 7] = [
        Self::PullImage,
        Self::RunPodSandbox,
        Self::CreateContainer,
        Self::ImageVolume,
        Self::StartContainer,
        Self::ImageVerifier,
        Self::Other,
    ];

    /// The word that records and metrics use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PullImage => "PullImage",
            Self::RunPodSandbox => "RunPodSandbox",
            Self::CreateContainer => "CreateContainer",
            Self::ImageVolume => "ImageVolume",
            Self::StartContainer => "StartContainer",
            Self::ImageVerifier => "ImageVerifier",
            Self::Other => "Other",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
