//! [`OwnedMethod`]: the methods that are decided on, by name and path.

/// The methods that the gate answers itself, after it decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnedMethod {
    /// Brings an image to the node.
    PullImage,
    /// Makes a pod's sandbox, from an image of the runtime's own configuration.
    RunPodSandbox,
    /// Makes a container from an image of the node.
    CreateContainer,
    /// Runs a container that was made.
    StartContainer,
}

impl OwnedMethod {
    /// The method's path, `/<service>/<name>`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::PullImage => "/runtime.v1.ImageService/PullImage",
            Self::RunPodSandbox => "/runtime.v1.RuntimeService/RunPodSandbox",
            Self::CreateContainer => "/runtime.v1.RuntimeService/CreateContainer",
            Self::StartContainer => "/runtime.v1.RuntimeService/StartContainer",
        }
    }

    /// The method's name without its service.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PullImage => "PullImage",
            Self::RunPodSandbox => "RunPodSandbox",
            Self::CreateContainer => "CreateContainer",
            Self::StartContainer => "StartContainer",
        }
    }
}
