//! The one table of what happens to a request: [`route`] says whether it passes, is owned, or is
//! refused, and why.
//!
//! The rule of cri-facts H6: only paths that are exactly `/runtime.v1.RuntimeService/<Letters>` or
//! `/runtime.v1.ImageService/<Letters>` reach the runtime. Its socket serves all of containerd
//! besides, native services and the older CRI with a PullImage of its own; none of that passes.
//! Decides by name alone, never by content.

use std::fmt;

use http::{Method, Uri};

use super::underway::CallEnding;

/// The services that are forwarded, with their slashes.
const RUNTIME: &str = "/runtime.v1.RuntimeService/";
const IMAGE: &str = "/runtime.v1.ImageService/";

/// Longest method name that is forwarded; the longest of the CRI has 30 letters.
const NAME_LIMIT: usize = 64;

/// The methods that the gate answers itself, after it decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnedMethod {
    /// Brings an image to the node.
    PullImage,
    /// Makes a container from an image of the node.
    CreateContainer,
    /// Runs a container that was made.
    StartContainer,
}

/// Every owned method.
const OWNED: [OwnedMethod; 3] =
    [OwnedMethod::PullImage, OwnedMethod::CreateContainer, OwnedMethod::StartContainer];

/// Methods that bring content past PullImage and CreateContainer, refused in either service until
/// they are handled (cri-facts C11). CheckpointContainer is not here: it writes an archive on the
/// node and starts nothing; what restores one is CreateContainer, which is owned (cri-facts C8).
/// The `Stream*` methods only read.
const BRINGS_CONTENT: &[(&str, &str)] = &[
    ("RestorePod", "it starts containers from a checkpoint whose images nobody verified"),
    ("CheckpointPod", "it makes checkpoints that can only be restored past the gate"),
    ("RestoreContainer", "it starts a container from a checkpoint that nobody verified"),
    ("PullSecurityProfileArtifact", "it pulls an artifact whose signature nobody verified"),
    ("PullArtifact", "it pulls an artifact whose signature nobody verified"),
];

/// The stream of events, which ends when its client or the runtime does (cri-facts H4).
const ENDLESS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";
/// Makes a pod's sandbox, with its network: seconds of work, and a name that stays reserved when it
/// is broken off.
const RUN_POD: &str = "/runtime.v1.RuntimeService/RunPodSandbox";

/// What happens to a request.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// It goes to the runtime as it came.
    Pass,
    /// The gate decides.
    Own(OwnedMethod),
    /// The gate answers, and the runtime never hears of it.
    Refuse(Refusal),
}

/// Why a request never reaches the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The HTTP method is not POST; gRPC uses no other (gRPC over HTTP/2, "Request-Headers").
    NotPost,
    /// A native service of containerd.
    Native,
    /// A CRI other than v1.
    OldCri,
    /// Any other path, among them unusual spellings of good ones.
    Path,
    /// A method that brings content and is not handled.
    BringsContent {
        /// The method's name.
        name: &'static str,
        /// What it would do.
        why: &'static str,
    },
}

/// Says what happens to a request with this method and target.
pub fn route(method: &Method, uri: &Uri) -> Route {
    if method != Method::POST {
        return Route::Refuse(Refusal::NotPost);
    }
    let path = uri.path_and_query().map_or("", |target| target.as_str());
    if !forwarded(path) {
        return Route::Refuse(refusal(path));
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    if let Some((name, why)) = BRINGS_CONTENT.iter().find(|(refused, _)| *refused == name) {
        return Route::Refuse(Refusal::BringsContent { name, why });
    }
    OWNED.into_iter().find(|owned| owned.path() == path).map_or(Route::Pass, Route::Own)
}

/// What the end of the gate means for a call that passes.
pub(super) fn ending(path: &str) -> CallEnding {
    match path {
        ENDLESS => CallEnding::Endless,
        RUN_POD => CallEnding::Awaited,
        _ => CallEnding::Short,
    }
}

/// Whether the path is exactly a forwarded service, a slash and letters; a query is part of the
/// text and no letter.
fn forwarded(path: &str) -> bool {
    let name = path.strip_prefix(RUNTIME).or_else(|| path.strip_prefix(IMAGE)).unwrap_or_default();
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphabetic())
}

/// The most telling reason for a path that is not forwarded.
fn refusal(path: &str) -> Refusal {
    let service = path.trim_start_matches('/');
    if service.starts_with("containerd.") {
        Refusal::Native
    } else if service.starts_with("runtime.v1alpha") {
        Refusal::OldCri
    } else {
        Refusal::Path
    }
}

impl OwnedMethod {
    /// The method's path, `/<service>/<name>`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::PullImage => "/runtime.v1.ImageService/PullImage",
            Self::CreateContainer => "/runtime.v1.RuntimeService/CreateContainer",
            Self::StartContainer => "/runtime.v1.RuntimeService/StartContainer",
        }
    }

    /// The method's name without its service.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PullImage => "PullImage",
            Self::CreateContainer => "CreateContainer",
            Self::StartContainer => "StartContainer",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPost => {
                f.write_str("sealgate serves gRPC alone: the HTTP method must be POST")
            }
            Self::Native => f.write_str(
                "sealgate does not serve containerd's own services, which run images past it; use \
                 the runtime's socket as the administrator of this node",
            ),
            Self::OldCri => f.write_str(
                "sealgate serves version v1 of the CRI alone; use a client that speaks runtime.v1",
            ),
            Self::Path => f.write_str(
                "sealgate serves exactly /runtime.v1.RuntimeService/<Name> and \
                 /runtime.v1.ImageService/<Name>",
            ),
            Self::BringsContent { name, why } => write!(f, "sealgate refuses {name}: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Route {
        route(&Method::POST, &path.parse().unwrap())
    }

    #[test]
    fn the_two_services_pass_whatever_the_method() {
        for path in [
            "/runtime.v1.RuntimeService/Version",
            "/runtime.v1.RuntimeService/NotYetInvented",
            "/runtime.v1.RuntimeService/CheckpointContainer",
            "/runtime.v1.RuntimeService/StreamContainers",
            "/runtime.v1.ImageService/ImageFsInfo",
            "http://elsewhere.test/runtime.v1.ImageService/ListImages",
        ] {
            assert_eq!(of(path), Route::Pass, "{path}");
        }
    }

    #[test]
    fn owned_methods_are_found_by_their_own_path() {
        for owned in OWNED {
            assert_eq!(of(owned.path()), Route::Own(owned));
            assert!(owned.path().ends_with(owned.name()));
        }
        assert_eq!(
            of("/runtime.v1.RuntimeService/PullImage"),
            Route::Pass,
            "the runtime has no such method"
        );
    }

    #[test]
    fn attack_h6_other_spellings_of_a_path_are_refused() {
        for path in [
            "/",
            "*",
            "/runtime.v1.ImageService",
            "/runtime.v1.ImageService/",
            "/runtime.v1.ImageService//PullImage",
            "//runtime.v1.ImageService/PullImage",
            "/runtime.v1.ImageService/PullImage/",
            "/runtime.v1.ImageService/PullImage?",
            "/runtime.v1.ImageService/PullImage?a=b",
            "/runtime.v1.ImageService/Pull%49mage",
            "/runtime.v1.ImageService/./PullImage",
            "/runtime.v1.ImageService/../runtime.v1.ImageService/PullImage",
            "/runtime.v1.imageservice/PullImage",
            "/Runtime.v1.ImageService/PullImage",
            "/runtime.v1.ImageService/Pull_Image",
            "/runtime.v1.ImageService/PullImage2",
            "/runtime.v1.OtherService/Version",
            "/grpc.health.v1.Health/Check",
        ] {
            assert_eq!(of(path), Route::Refuse(Refusal::Path), "{path}");
        }
        let long = format!("/runtime.v1.ImageService/{}", "A".repeat(65));
        assert_eq!(of(&long), Route::Refuse(Refusal::Path));
    }

    #[test]
    fn attack_h6_native_and_old_services_are_refused_by_name() {
        assert_eq!(
            of("/containerd.services.images.v1.Images/Create"),
            Route::Refuse(Refusal::Native)
        );
        assert_eq!(
            of("//containerd.services.tasks.v1.Tasks/Start"),
            Route::Refuse(Refusal::Native)
        );
        assert_eq!(
            of("/containerd.runtime.sandbox.v1.Sandbox/Start"),
            Route::Refuse(Refusal::Native)
        );
        assert_eq!(of("/runtime.v1alpha2.ImageService/PullImage"), Route::Refuse(Refusal::OldCri));
    }

    #[test]
    fn attack_f_methods_that_bring_content_are_refused() {
        for (name, why) in BRINGS_CONTENT {
            for service in [RUNTIME, IMAGE] {
                assert_eq!(
                    of(&format!("{service}{name}")),
                    Route::Refuse(Refusal::BringsContent { name, why })
                );
            }
        }
    }

    #[test]
    fn only_post_is_grpc() {
        for method in [Method::GET, Method::PUT, Method::CONNECT, Method::OPTIONS] {
            let uri = "/runtime.v1.RuntimeService/Version".parse().unwrap();
            assert_eq!(route(&method, &uri), Route::Refuse(Refusal::NotPost));
        }
    }
}
