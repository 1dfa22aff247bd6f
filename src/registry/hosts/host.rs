//! [`Host`]: one place that may be asked for a repository's content, and when two spellings name
//! the same place.

use std::time::Duration;

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::registry::authority::{
    DOCKER_HUB, DOCKER_HUB_API, exact, fold, is_localhost, split_port,
};
use crate::registry::proxy_url::ProxyUrl;

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::registry) enum Scheme {
    /// TLS.
    Https,
    /// Plain, because the operator said so.
    Http,
    /// TLS, or plain when the host does not speak TLS at all: what containerd does for `localhost`
    /// with a port and for `http://` hosts with TLS settings.
    Either,
}

/// TLS settings of one host; equal settings share one client.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::registry) struct Tls {
    /// Authorities beside the system's, PEM.
    pub(in crate::registry) ca: Vec<Vec<u8>>,
    /// Client certificate and key, PEM.
    pub(in crate::registry) client: Option<Vec<u8>>,
    /// The certificate is not looked at.
    pub(in crate::registry) skip_verify: bool,
}

/// One place that may be asked.
#[derive(Clone)]
pub(in crate::registry) struct Host {
    pub(in crate::registry) scheme: Scheme,
    /// Host and port, as they go into URLs.
    pub(in crate::registry) authority: String,
    /// The API's root, `/v2` as a rule; no slash at the end.
    pub(in crate::registry) path: String,
    /// May give content by digest.
    pub(in crate::registry) pull: bool,
    /// May say what a tag means.
    pub(in crate::registry) resolve: bool,
    /// Is told whose content is wanted (`?ns=`): it is not the registry itself.
    pub(in crate::registry) mirror: bool,
    pub(in crate::registry) tls: Tls,
    /// Headers from `hosts.toml`; they may hold secrets.
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) dial_timeout: Option<Duration>,
    pub(in crate::registry) proxy: Option<ProxyUrl>,
}

impl Host {
    /// The registry itself as containerd assumes it without a word from `hosts.toml`
    /// (`ConfigureHosts`, 1.7 and 2.x): Docker Hub's API for `docker.io`; `localhost` without a
    /// check of its certificate and, on a port other than 443, plain when it does not speak TLS;
    /// HTTPS for all others.
    pub(in crate::registry) fn default_for(registry: &str) -> Self {
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

impl Host {
    /// One spelling of the place that this is.
    pub(in crate::registry) fn place(&self) -> String {
        place(self.scheme, &self.authority)
    }

    /// Every spelling of it that a URL to it may have: one that may be spoken to either way has
    /// two.
    pub(in crate::registry) fn places(&self) -> Vec<String> {
        match self.scheme {
            Scheme::Https | Scheme::Http => vec![self.place()],
            Scheme::Either => {
                [Scheme::Https, Scheme::Http].map(|scheme| place(scheme, &self.authority)).to_vec()
            }
        }
    }

    /// Whether a URL leads to this place.
    pub(in crate::registry) fn is_at(&self, url: &reqwest::Url) -> bool {
        fold_url(url) == place(scheme_of(url), &self.authority)
    }

    /// Whether a name is this place's: the very same, or another spelling of it, which only a place
    /// that speaks TLS has.
    pub(in crate::registry) fn is_called(&self, name: &str) -> bool {
        exact(name) == exact(&self.authority)
            || (self.scheme == Scheme::Https && fold(name) == fold(&self.authority))
    }
}

impl Tls {
    /// A name for these settings, for memories.
    pub(in crate::registry) fn fingerprint(&self) -> [u8; 32] {
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

/// One spelling per place: the default port is left out, which is 443 for HTTPS alone.
fn place(scheme: Scheme, authority: &str) -> String {
    match scheme {
        Scheme::Https => fold(authority),
        Scheme::Http => exact(authority.strip_suffix(":80").unwrap_or(authority)),
        Scheme::Either => exact(authority),
    }
}

/// The place that a URL leads to.
pub(in crate::registry) fn fold_url(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => place(scheme_of(url), &format!("{host}:{port}")),
        None => place(scheme_of(url), host),
    }
}

fn scheme_of(url: &reqwest::Url) -> Scheme {
    if url.scheme() == "https" { Scheme::Https } else { Scheme::Http }
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
            assert_eq!(
                (host.scheme, host.authority.as_str(), host.tls.skip_verify),
                (scheme, authority, skip_verify)
            );
        }
    }

    /// On port 443 without TLS is another registry than the one of that name.
    #[test]
    fn attack_e1_port_443_is_left_out_for_https_alone() {
        let host = |scheme, authority: &str| Host {
            scheme,
            authority: authority.to_owned(),
            ..Host::default_for("reg.example")
        };
        let url = |text: &str| reqwest::Url::parse(text).unwrap();
        let secure = host(Scheme::Https, "reg.example");
        assert!(
            secure.is_called("reg.example:443")
                && secure.is_at(&url("https://reg.example:443/v2/"))
        );
        assert!(!secure.is_at(&url("http://reg.example:443/v2/")));
        let plain = host(Scheme::Http, "reg.example:443");
        assert!(plain.is_called("REG.example:443") && !plain.is_called("reg.example"));
        assert!(
            plain.is_at(&url("http://reg.example:443/v2/"))
                && !plain.is_at(&url("http://reg.example/v2/"))
        );
        assert_ne!(plain.place(), secure.place());
        let by_default = host(Scheme::Http, "reg.example:80");
        assert!(
            by_default.is_at(&url("http://reg.example/v2/"))
                && by_default.is_called("reg.example:80")
        );
        let either = host(Scheme::Either, "reg.example:443");
        for text in ["https://reg.example/v2/", "http://reg.example:443/v2/"] {
            assert!(
                either.is_at(&url(text)) && either.places().contains(&fold_url(&url(text))),
                "{text}"
            );
        }
        assert!(!either.is_called("reg.example"));
    }
}
