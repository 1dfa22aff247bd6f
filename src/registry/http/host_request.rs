//! [`HostRequest`]: what one host is asked for, and what proves its answer.

use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::Url;

use crate::image::Repository;
use crate::registry::authority::fold;
use crate::registry::error::RegistryError;
use crate::registry::hosts::host::{Host, Scheme, fold_url};

/// A question to one host about one repository.
pub(in crate::registry) struct HostRequest<'a> {
    /// Folded authorities that the operator named: they may be local.
    pub(in crate::registry) named: &'a BTreeSet<String>,
    pub(in crate::registry) host: &'a Host,
    pub(in crate::registry) repository: &'a Repository,
    /// What follows the repository in the path, `manifests/latest`.
    pub(in crate::registry) rest: &'a str,
    /// The `Accept` header; none for blobs.
    pub(in crate::registry) accept: Option<&'static str>,
    /// Longest body of a success, bytes.
    pub(in crate::registry) limit: u64,
    /// The end of this host's share of the time, token requests and redirects included; none for
    /// the last one, which has what is left.
    pub(in crate::registry) until: Option<Instant>,
    /// What proves the answer.
    pub(in crate::registry) integrity: Integrity,
}

/// What proves that an answer is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Integrity {
    /// It hashes to the digest that was asked for, whoever sent it.
    Digest,
    /// It came from the host that was asked, or from where that led.
    Transport,
}

impl HostRequest<'_> {
    /// Whose share of requests and of room it takes: what a host leads to, a token service or a
    /// redirect, is its own doing.
    pub(in crate::registry) fn share(&self) -> String {
        fold(&self.host.authority)
    }

    /// Host and port, for messages.
    pub(in crate::registry) fn authority(&self) -> String {
        self.host.authority.clone()
    }

    /// The address of the question.
    pub(in crate::registry) fn url(&self, plain: bool) -> Result<Url, RegistryError> {
        let scheme = if plain { "http" } else { "https" };
        let Host { authority, path, .. } = self.host;
        let text = format!("{scheme}://{authority}{path}/{}/{}", self.repository.path(), self.rest);
        let refused = |_| RegistryError::Refused { host: self.authority(), status: 0, code: None };
        let mut url = Url::parse(&text).map_err(refused)?;
        if self.host.mirror {
            url.query_pairs_mut().append_pair("ns", self.repository.host());
        }
        Ok(url)
    }

    /// Whether an address is on the host; without TLS it is not, where the host is to be asked with
    /// TLS.
    pub(in crate::registry) fn is_own(&self, url: &Url) -> bool {
        let is_spoken = url.scheme() == "https" || self.host.scheme != Scheme::Https;
        is_spoken && self.host.is_at(url)
    }

    /// Who sent an answer, for messages: the host, or the one to which it led.
    pub(in crate::registry) fn sender(&self, url: &Url) -> String {
        let host = self.authority();
        if self.is_own(url) {
            host
        } else {
            format!("{}, to which {host} redirected,", fold_url(url))
        }
    }
}
