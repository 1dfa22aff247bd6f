//! What happens to a request, by its path alone: [`route`] finds its row in the table of the CRI's
//! methods ([`METHODS`]), and says whether it passes, is owned, or is refused, and why.
//!
//! The rule of cri-facts H6: only paths that are exactly `/runtime.v1.RuntimeService/<Letters>` or
//! `/runtime.v1.ImageService/<Letters>` reach the runtime. Its socket serves all of containerd
//! besides, native services and the older CRI with a PullImage of its own; none of that passes.
//! Decides by name alone, never by content.

mod owned;
mod table;

use std::fmt;

use http::{Method, Uri};

pub use owned::OwnedMethod;
pub use table::{Effect, METHODS, MethodRow, On, PLANNED, Service, Treatment};

/// Longest method name that is forwarded; the longest of the CRI has 30 letters.
const NAME_LIMIT: usize = 64;

/// What the kubelet asks for every five seconds (kubelet, `updateRuntimeUp`).
const STATUS: &str = "Status";

/// What happens to a request.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// It goes to the runtime as it came.
    Pass(&'static MethodRow),
    /// It goes to the runtime as it came, once the gate has looked at what it is about.
    Check(&'static MethodRow),
    /// A method of one of the two services that no row names: `listen.unknown_methods` decides.
    Unknown,
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
    /// A method of one of the two services that the gate does not know.
    UnknownMethod,
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
    let Some((service, name)) = split(path) else {
        return Route::Refuse(refusal(path));
    };
    match table::find(service, name) {
        Some(method) => match method.treatment {
            Treatment::Passes => Route::Pass(method),
            Treatment::Checked => Route::Check(method),
            Treatment::Owned(owned) => Route::Own(owned),
            Treatment::Refused => {
                Route::Refuse(Refusal::BringsContent { name: method.name, why: method.why })
            }
        },
        None => table::misplaced(name).map_or(Route::Unknown, |(name, why)| {
            Route::Refuse(Refusal::BringsContent { name, why })
        }),
    }
}

/// Whether it is the call by which a kubelet is known that uses the gate.
pub(super) fn is_kubelets(route: Route) -> bool {
    matches!(route, Route::Pass(method) if method.name == STATUS)
}

/// The service and the method of a path that is exactly a forwarded service, a slash and letters; a
/// query is part of the text and no letter.
fn split(path: &str) -> Option<(Service, &str)> {
    let of = |service: Service| Some((service, path.strip_prefix(service.prefix())?));
    let (service, name) = of(Service::Runtime).or_else(|| of(Service::Image))?;
    let is_name =
        (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphabetic());
    is_name.then_some((service, name))
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
            Self::UnknownMethod => f.write_str(
                "sealgate does not know this method of the CRI, and listen.unknown_methods says \
                 \"refuse\"; a newer sealgate may know it",
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
    fn every_row_is_found_by_its_path_and_nothing_else_is() {
        for method in &METHODS {
            let expected = match method.treatment {
                Treatment::Passes => Route::Pass(method),
                Treatment::Checked => Route::Check(method),
                Treatment::Owned(owned) => {
                    assert_eq!((owned.path(), owned.name()), (&*method.path(), method.name));
                    Route::Own(owned)
                }
                Treatment::Refused => {
                    Route::Refuse(Refusal::BringsContent { name: method.name, why: method.why })
                }
            };
            assert_eq!(of(&method.path()), expected);
            assert_eq!(of(&format!("http://elsewhere.test{}", method.path())), expected);
        }
        assert_eq!(of("/runtime.v1.RuntimeService/NotYetInvented"), Route::Unknown);
        assert_eq!(of("/runtime.v1.ImageService/Version"), Route::Unknown);
    }

    /// Attack F: a method that brings content is decided on or refused, never passed.
    #[test]
    fn attack_f_nothing_that_brings_content_passes() {
        let brings = METHODS.iter().filter(|method| method.effect == Effect::Brings);
        for method in brings {
            let is_decided_on = matches!(method.treatment, Treatment::Owned(_));
            assert!(is_decided_on || method.treatment == Treatment::Refused, "{}", method.name);
        }
        let reads = METHODS.iter().filter(|method| method.effect == Effect::Reads);
        for method in reads {
            assert_eq!(method.treatment, Treatment::Passes, "{}", method.name);
        }
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
        let refused = METHODS.iter().filter(|method| method.treatment == Treatment::Refused);
        let refused = refused.map(|method| (method.name, method.why)).chain(PLANNED);
        for (name, why) in refused {
            for service in [Service::Runtime, Service::Image] {
                assert_eq!(
                    of(&format!("{}{name}", service.prefix())),
                    Route::Refuse(Refusal::BringsContent { name, why })
                );
            }
        }
        // In the other service, which no runtime has it in.
        for path in ["RuntimeService/PullImage", "ImageService/CreateContainer"] {
            let path = format!("/runtime.v1.{path}");
            assert!(matches!(of(&path), Route::Refuse(Refusal::BringsContent { .. })), "{path}");
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
