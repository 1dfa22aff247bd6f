//! The network: [`Registry`] resolves references and fetches manifests, referrers and blobs from
//! OCI registries (distribution-spec 1.1), through the mirrors that containerd is configured with.
//!
//! One [`Session`] is one decision's budget of requests, bytes and time. Everything that comes back
//! was hashed here; nothing that a registry says about itself is believed. *Not there*, *could not
//! be asked* and *refused* stay apart in [`RegistryError`] ([`Class`]). This room decides nothing
//! about signatures and keeps nothing on disk.

mod api;
mod authority;
mod credential_fault;
mod credentials;
mod error;
mod error_code;
mod error_display;
mod failures;
mod hosts;
mod http;
mod lock;
mod operator_file;
mod options;
mod printable;
mod proxy_url;
mod session;
mod variables;

pub use crate::registry::session::questions::Session;
pub use api::answer::Fetched;
pub use api::host_fallback::HostFallback;
pub use api::referrers::{Filter, List, Referrer, Referrers};
pub use api::survey::{Notice, survey};
pub use credential_fault::{CredentialFault, CredentialWhy};
pub use credentials::{Access, AccessKey, AuthConfig, Credentials, CredentialsError};
pub use error::{Budget, Class, Malformed, Presented, RedirectFault, RegistryError, TlsFault, Why};
pub use failures::Cause;
pub use http::proxies::Environment;
pub use options::Options;
pub use proxy_url::ProxyUrl;
pub use session::registry::{Registry, Support};
pub use variables::Variables;
