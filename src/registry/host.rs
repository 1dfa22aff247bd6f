//! [`Host`]: one place that may be asked for a repository's content, and when two spellings name the same place.

use std::time::Duration;

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::proxies::ProxyUrl;

/// Names of Docker Hub, all one place.
const DOCKER_HUB_NAMES: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// The name that credentials and policies know Docker Hub by.
const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub's API is.
pub(super) const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    /// TLS.
    Https,
    /// Plain, because the operator said so.
    Http,
    /// TLS, or plain when the host does not speak TLS at all: what containerd does for `localhost` with a port and
    /// for `http://` hosts with TLS settings.
    Either,
}

/// TLS settings of one host; equal settings share one client.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Authorities beside the system's, PEM.
    pub(super) ca: Vec<Vec<u8>>,
    /// Client certificate and key, PEM.
    pub(super) client: Option<Vec<u8>>,
    /// The certificate is not looked at.
    pub(super) skip_verify: bool,
}

/// One place that may be asked.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) scheme: Scheme,
    /// Host and port, as they go into URLs.
    pub(super) authority: String,
    /// The API's root, `/v2` as a rule; no slash at the end.
    pub(super) path: String,
    /// May give content by digest.
    pub(super) pull: bool,
    /// May say what a tag means.
    pub(super) resolve: bool,
    /// Is told whose content is wanted (`?ns=`): it is not the registry itself.
    pub(super) mirror: bool,
    pub(super) tls: Tls,
    /// Headers from `hosts.toml`; they may hold secrets.
    pub(super) headers: HeaderMap,
    pub(super) dial_timeout: Option<Duration>,
    pub(super) proxy: Option<ProxyUrl>,
}

impl Host {
    /// The registry itself as containerd assumes it without a word from `hosts.toml` (`ConfigureHosts`, 1.7 and 2.x):
    /// Docker Hub's API for `docker.io`; `localhost` without a check of its certificate and, on a port other than 443,
    /// plain when it does not speak TLS; HTTPS for all others.
    pub(super) fn default_for(registry: &str) -> Self {
        let local = is_localhost(registry);
        let port = split_port(registry).1;
        let scheme = match (local, port) {
            (false, _) | (true, None | Some("443")) => Scheme::Https,
            (true, Some("80")) => Scheme::Http,
            (true, Some(_)) => Scheme::Either,
        };
        let authority = if registry == DOCKER_HUB { DOCKER_HUB_API } else { registry };
        Self {
            scheme,
            authority: authority.to_owned(),
            path: "/v2".to_owned(),
            pull: true,
            resolve: true,
            mirror: false,
            tls: Tls { skip_verify: local, ..Tls::default() },
            headers: HeaderMap::new(),
            dial_timeout: None,
            proxy: None,
        }
    }
}

impl Tls {
    /// A name for these settings, for memories.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update([u8::from(self.skip_verify), u8::from(self.client.is_some())]);
        for part in self.ca.iter().chain(&self.client) {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("scheme", &self.scheme)
            .field("authority", &self.authority)
            .field("path", &self.path)
            .field("pull", &self.pull)
            .field("resolve", &self.resolve)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

/// One spelling per place: lower case, no `:443`, Docker Hub's names as one.
pub(super) fn fold(authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let name = lower.strip_suffix(":443").unwrap_or(&lower);
    if DOCKER_HUB_NAMES.contains(&name) { DOCKER_HUB.to_owned() } else { name.to_owned() }
}

/// The authority of a URL, folded; the default port of its scheme left out.
pub(super) fn fold_url(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => fold(&format!("{host}:{port}")),
        None => fold(host),
    }
}

/// Splits `name:port`; IPv6 addresses stand in brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

/// Containerd's `IsLocalhost`: the name, or a loopback address.
pub(super) fn is_localhost(authority: &str) -> bool {
    let name = split_port(authority).0;
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host with an optional port and nothing else: no scheme, user, path.
pub(super) fn is_authority(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(&format!("https://{text}/")) else { return false };
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    plain && !text.is_empty() && url.path() == "/" && url.username().is_empty() && url.host_str().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_containerds() {
        for (registry, scheme, authority, skip_verify) in [
            ("docker.io", Scheme::Https, "registry-1.docker.io", false),
            ("reg.example", Scheme::Https, "reg.example", false),
            ("reg.example:5000", Scheme::Https, "reg.example:5000", false),
            ("localhost", Scheme::Https, "localhost", true),
            ("localhost:443", Scheme::Https, "localhost:443", true),
            ("localhost:80", Scheme::Http, "localhost:80", true),
            ("127.0.0.1:5000", Scheme::Either, "127.0.0.1:5000", true),
            ("[::1]:5000", Scheme::Either, "[::1]:5000", true),
            ("[fd00::1]:5000", Scheme::Https, "[fd00::1]:5000", false),
        ] {
            let host = Host::default_for(registry);
            assert_eq!((host.scheme, host.authority.as_str(), host.tls.skip_verify), (scheme, authority, skip_verify));
        }
    }

    #[test]
    fn one_place_has_one_spelling() {
        for (a, b) in [("REG.example:443", "reg.example"), ("registry-1.docker.io", "docker.io"), ("[::1]", "[::1]")] {
            assert_eq!(fold(a), fold(b));
        }
        assert_ne!(fold("reg.example:5000"), fold("reg.example"));
        assert_ne!(fold("docker.io.evil.example"), fold("docker.io"));
    }

    #[test]
    fn authorities_are_hosts_and_nothing_else() {
        for good in ["a.example", "a:5000", "[::1]:5000", "10.0.0.1"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", "http://a", "a/b", "u@a", "a?b", "a b", "a:port", "../x"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
