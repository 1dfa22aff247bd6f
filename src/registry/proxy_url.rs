//! [`ProxyUrl`]: the address of a proxy, whose password is never shown.

use std::fmt;

use reqwest::Url;
use serde::Deserialize;

use super::authority::is_authority;

/// A proxy's address, `http://host:port` or `https://host:port`, perhaps with `user:password@`
/// before the host, which is never shown.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// As it is written; whether it can be used is said when the options are checked.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The address, secrets and all, for the HTTP client.
    pub(super) fn exposed(&self) -> Option<String> {
        self.url().map(|url| url.to_string())
    }

    /// Host and port, for messages.
    pub(super) fn shown(&self) -> String {
        self.url().map_or_else(|| "a proxy".to_owned(), |url| authority(&url))
    }

    /// `http://` or `https://`, a host, perhaps user and password, nothing else.
    pub(super) fn is_usable(&self) -> bool {
        self.url().is_some()
    }

    /// Whether TLS is spoken to the proxy itself.
    pub(super) fn is_tls(&self) -> bool {
        self.url().is_some_and(|url| url.scheme() == "https")
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    fn url(&self) -> Option<Url> {
        let url =
            Url::parse(&self.0).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        (plain && is_authority(&authority(&url))).then_some(url)
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Host and port alone: an address may hold a password.
impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({})", self.shown())
    }
}
