//! The one table of the CRI: every method of `runtime.v1`, what it does ([`Effect`]), what becomes
//! of a call of it ([`Treatment`]), and why. [`METHODS`].
//!
//! It is held against the published API by `tests/proxy/methods.rs`: a method that is published and
//! not here fails that test, so that somebody decides what it is. What no row names is decided on by
//! `listen.unknown_methods`. Nothing here looks into a message.

use std::fmt;

use super::owned::OwnedMethod;

/// One of the two services of the CRI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `runtime.v1.RuntimeService`.
    Runtime,
    /// `runtime.v1.ImageService`.
    Image,
}

/// What a method does on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It tells what there is.
    Reads,
    /// It runs, reaches into or changes something that was made before, and brings no content: what
    /// it acts on must have been admitted when it was made.
    Acts(On),
    /// It stops or removes what there is.
    Ends,
    /// It brings content to the node, or makes something run from content.
    Brings,
}

/// What a method acts on, named by the first field of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// A container: `container_id`.
    Container,
    /// A pod's sandbox: `pod_sandbox_id`.
    Sandbox,
    /// The node's own settings; its request names nothing that was admitted.
    Node,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// It goes to the runtime as it came.
    Passes,
    /// The gate looks at what it is about, which it must have admitted: `unadmitted` of the
    /// configuration says what becomes of it otherwise. Then it goes to the runtime as it came.
    Checked,
    /// The gate answers, after it decided.
    Owned(OwnedMethod),
    /// The gate refuses, and the runtime never hears of it.
    Refused,
}

/// One method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodRow {
    /// Its service.
    pub service: Service,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub effect: Effect,
    /// What becomes of a call.
    pub treatment: Treatment,
    /// Why it is treated so, as the end of a sentence about it.
    pub why: &'static str,
}

impl Service {
    /// The service as it stands in a path, with its slashes.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Runtime => "/runtime.v1.RuntimeService/",
            Self::Image => "/runtime.v1.ImageService/",
        }
    }
}

impl MethodRow {
    /// The method's path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}{}", self.service.prefix(), self.name)
    }
}

impl On {
    /// The number of the field of the request that holds the id of what is acted on; none where
    /// there is no such field. The same in every method (cri-api, `runtime/v1/api.proto`).
    #[must_use]
    pub const fn id_field(self) -> Option<u32> {
        match self {
            Self::Container | Self::Sandbox => Some(1),
            Self::Node => None,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reads => "reads",
            Self::Acts(On::Container) => "acts on a container",
            Self::Acts(On::Sandbox) => "acts on a sandbox",
            Self::Acts(On::Node) => "sets the node",
            Self::Ends => "stops or removes",
            Self::Brings => "brings content",
        })
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "passes",
            Self::Checked => "passes for what was admitted",
            Self::Owned(_) => "decided on",
            Self::Refused => "refused",
        })
    }
}

/// A row, in the order in which a reader wants them.
const fn row(
    service: Service,
    name: &'static str,
    (effect, treatment): (Effect, Treatment),
    why: &'static str,
) -> MethodRow {
    MethodRow { service, name, effect, treatment, why }
}

const READS: (Effect, Treatment) = (Effect::Reads, Treatment::Passes);
const ENDS: (Effect, Treatment) = (Effect::Ends, Treatment::Passes);
const IN_CONTAINER: (Effect, Treatment) = (Effect::Acts(On::Container), Treatment::Passes);
const REACHES_CONTAINER: (Effect, Treatment) = (Effect::Acts(On::Container), Treatment::Checked);
const REACHES_SANDBOX: (Effect, Treatment) = (Effect::Acts(On::Sandbox), Treatment::Checked);
const SETS_NODE: (Effect, Treatment) = (Effect::Acts(On::Node), Treatment::Passes);
const REFUSED: (Effect, Treatment) = (Effect::Brings, Treatment::Refused);

/// A method that brings content, and is decided on.
const fn brings(method: OwnedMethod) -> (Effect, Treatment) {
    (Effect::Brings, Treatment::Owned(method))
}

use Service::{Image, Runtime};

/// Every method that is published (cri-api 1.37).
pub const METHODS: [MethodRow; 43] = [
    row(Image, "PullImage", brings(OwnedMethod::PullImage), "it brings an image"),
    row(
        Runtime,
        "RunPodSandbox",
        brings(OwnedMethod::RunPodSandbox),
        "the runtime brings the sandbox image by itself, and a profile that it names (C9)",
    ),
    row(
        Runtime,
        "CreateContainer",
        brings(OwnedMethod::CreateContainer),
        "it makes a container from an image or of a checkpoint, and mounts others (C6 to C8)",
    ),
    row(
        Runtime,
        "StartContainer",
        (Effect::Acts(On::Container), Treatment::Owned(OwnedMethod::StartContainer)),
        "it runs a container that the gate must have proven",
    ),
    row(
        Runtime,
        "RestorePod",
        REFUSED,
        "it starts containers from a checkpoint whose images nobody verified",
    ),
    row(
        Runtime,
        "CheckpointPod",
        (Effect::Acts(On::Sandbox), Treatment::Refused),
        "it makes checkpoints that RestorePod alone restores, which the gate refuses",
    ),
    row(Runtime, "Exec", REACHES_CONTAINER, "it runs a program of a container"),
    row(Runtime, "ExecSync", REACHES_CONTAINER, "it runs a program of a container"),
    row(Runtime, "Attach", REACHES_CONTAINER, "it reaches a process of a container"),
    row(Runtime, "PortForward", REACHES_SANDBOX, "it reaches a port of a pod"),
    row(Runtime, "UpdateContainerResources", REACHES_CONTAINER, "it changes limits of a container"),
    row(Runtime, "UpdatePodSandboxResources", REACHES_SANDBOX, "it changes limits of a pod"),
    row(Runtime, "ReopenContainerLog", IN_CONTAINER, "it opens a container's log file again"),
    row(
        Runtime,
        "CheckpointContainer",
        IN_CONTAINER,
        "it writes an archive and starts nothing; what restores one is CreateContainer (C8)",
    ),
    row(Runtime, "UpdateRuntimeConfig", SETS_NODE, "it sets the addresses of the node's pods"),
    row(Runtime, "StopContainer", ENDS, "it ends what runs"),
    row(Runtime, "RemoveContainer", ENDS, "it removes what was made"),
    row(Runtime, "StopPodSandbox", ENDS, "it ends what runs"),
    row(Runtime, "RemovePodSandbox", ENDS, "it removes what was made"),
    row(Image, "RemoveImage", ENDS, "it removes an image and all of its names (C10)"),
    row(Runtime, "Version", READS, "it names the runtime"),
    row(Runtime, "Status", READS, "it tells the runtime's state"),
    row(Runtime, "RuntimeConfig", READS, "it tells the runtime's cgroup driver"),
    row(Runtime, "ListPodSandbox", READS, "it lists sandboxes"),
    row(Runtime, "StreamPodSandboxes", READS, "it lists sandboxes"),
    row(Runtime, "PodSandboxStatus", READS, "it describes a sandbox"),
    row(Runtime, "ListContainers", READS, "it lists containers"),
    row(Runtime, "StreamContainers", READS, "it lists containers"),
    row(Runtime, "ContainerStatus", READS, "it describes a container"),
    row(Runtime, "GetContainerEvents", READS, "it tells what happens to containers (H4)"),
    row(Runtime, "ContainerStats", READS, "it counts what a container uses"),
    row(Runtime, "ListContainerStats", READS, "it counts what containers use"),
    row(Runtime, "StreamContainerStats", READS, "it counts what containers use"),
    row(Runtime, "PodSandboxStats", READS, "it counts what a pod uses"),
    row(Runtime, "ListPodSandboxStats", READS, "it counts what pods use"),
    row(Runtime, "StreamPodSandboxStats", READS, "it counts what pods use"),
    row(Runtime, "ListMetricDescriptors", READS, "it names what is counted"),
    row(Runtime, "ListPodSandboxMetrics", READS, "it counts what pods use"),
    row(Runtime, "StreamPodSandboxMetrics", READS, "it counts what pods use"),
    row(Image, "ListImages", READS, "it lists images"),
    row(Image, "StreamImages", READS, "it lists images"),
    row(Image, "ImageStatus", READS, "it describes an image"),
    row(Image, "ImageFsInfo", READS, "it measures the images' file system"),
];

/// Methods that are planned or seen in runtimes, and bring content: refused in either service, so
/// that no version of a runtime is ahead of the gate (C11).
pub const PLANNED: [(&str, &str); 3] = [
    ("PullSecurityProfileArtifact", "it pulls an artifact whose signature nobody verified"),
    ("PullArtifact", "it pulls an artifact whose signature nobody verified"),
    ("RestoreContainer", "it starts a container from a checkpoint that nobody verified"),
];

/// The row of a method.
pub(super) fn find(service: Service, name: &str) -> Option<&'static MethodRow> {
    METHODS.iter().find(|method| method.service == service && method.name == name)
}

/// Why a method is refused although its service has no row for it: it is planned, or the other
/// service has it and it brings content.
pub(super) fn misplaced(name: &str) -> Option<(&'static str, &'static str)> {
    let elsewhere = METHODS
        .iter()
        .filter(|method| method.effect == Effect::Brings || method.treatment == Treatment::Refused)
        .map(|method| (method.name, method.why));
    PLANNED.into_iter().chain(elsewhere).find(|(refused, _)| *refused == name)
}
