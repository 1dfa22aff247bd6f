//! [`Session::file`]: a file at a URL that the operator wrote, within the same budget, time, proxies
//! and redirects as content of registries. No credentials go along.

use std::collections::BTreeSet;

use bytes::Bytes;
use reqwest::Url;

use super::questions::Session;
use crate::image::Repository;
use crate::registry::authority::split_port;
use crate::registry::error::{Presented, RegistryError, Why};
use crate::registry::hosts::host::{Host, Scheme, Tls, fold_url};
use crate::registry::http::host_request::{HostRequest, Integrity};

/// By what repository a host is called that is no registry; no request names it.
const NONE: &str = "file.sealgate.invalid/file";

impl Session {
    /// The file at a URL, of at most `limit` bytes; whose it is, something in it has to show. Plain
    /// HTTP where the URL says so, and the host would be asked so as a registry: it is this node, or
    /// `hosts.toml` says it. The host may be on this node: the operator named it.
    ///
    /// # Errors
    /// [`RegistryError`]; 404 and 410 alone are absence.
    pub async fn file(&self, url: &str, limit: u64) -> Result<Bytes, RegistryError> {
        let unfit = || RegistryError::Options { option: "url", problem: "is no URL" };
        let url = Url::parse(url).map_err(|_| unfit())?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(unfit()),
        };
        let name = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        if scheme == Scheme::Http && !self.may_be_plain(&authority).await? {
            let problem = "is http://, and hosts.toml does not have its host as plain: write \
                           https://, or [host.\"http://HOST\"] in certs_dirs";
            return Err(RegistryError::Options { option: "url", problem });
        }
        let host = Host {
            scheme,
            authority: authority.clone(),
            path: String::new(),
            tls: Tls::default(),
            ..Host::default_for(&authority)
        };
        let repository = Repository::parse(NONE).map_err(|_| unfit())?;
        let request = HostRequest {
            named: &BTreeSet::from([fold_url(&url)]),
            host: &host,
            repository: &repository,
            rest: "",
            accept: None,
            limit,
            until: None,
            integrity: Integrity::Transport,
        };
        let reply = self.exchange(&request, &url, None).await?;
        let host = fold_url(&reply.url);
        match reply.status {
            200 => Ok(reply.body),
            404 | 410 => Err(RegistryError::NotFound { name: url.to_string() }),
            status @ (401 | 403) => {
                Err(RegistryError::Unauthorized { host, status, credentials: Presented::Nothing })
            }
            status @ (407 | 408 | 425 | 429 | 500..=599) => {
                Err(RegistryError::Unreachable { host, why: Why::Status(status) })
            }
            status => Err(RegistryError::Refused { host, status, code: None }),
        }
    }

    /// Whether a registry of this name would be asked by plain HTTP: one that is plain has a port.
    async fn may_be_plain(&self, authority: &str) -> Result<bool, RegistryError> {
        let with_port = match split_port(authority).1 {
            Some(_) => authority.to_owned(),
            None => format!("{authority}:80"),
        };
        let is_plain = |host: &Host| {
            let is_it = host.is_called(authority) || host.is_called(&with_port);
            is_it && host.scheme != Scheme::Https
        };
        for name in [authority, &with_port] {
            let Ok(registry) = Repository::parse(&format!("{name}/file")) else { continue };
            if !self.route(&registry).await?.numbers(0, is_plain).is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
