//! [`Reply`]: what one host answered, and which of the three answers that is: there, not there, or
//! neither.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use reqwest::Url;
use serde::de::IgnoredAny;

use super::host_request::HostRequest;
use crate::aside::INLINE_MAX;
use crate::image::Digest;
use crate::registry::error::{Malformed, Presented, RegistryError, Why};
use crate::registry::error_code::{is_refusal, is_spoken_by_registry, known_code};

/// What the pages of portals and proxies call themselves.
const WEB_PAGES: [&str; 2] = ["text/html", "application/xhtml+xml"];
/// What else stands in a manifest's place.
const OTHER_PAGES: [&str; 5] =
    ["text/plain", "application/json", "text/xml", "application/xml", "application/octet-stream"];
/// Members of which manifests and indexes, of whatever schema, have at least one.
const MEMBERS: [&str; 7] =
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers", "signatures"];

/// The answer, whatever its status; the body of an error is cut short.
pub(in crate::registry) struct Reply {
    pub(in crate::registry) status: u16,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) body: Bytes,
    /// Where it came from, after redirects.
    pub(in crate::registry) url: Url,
    /// Whether the body came to its end; that of an error may be cut.
    pub(in crate::registry) is_whole: bool,
    /// When it says to be asked again.
    pub(in crate::registry) retry_after: Option<Duration>,
}

impl Reply {
    /// The answer of a success; every other status as the error that it is.
    pub(in crate::registry) fn success(
        self,
        request: &HostRequest<'_>,
    ) -> Result<Self, RegistryError> {
        let host = request.authority();
        match self.status {
            200 => Ok(self),
            404 if !self.is_absence() => {
                Err(RegistryError::Malformed { host, what: Malformed::NotFound })
            }
            404 => {
                let separator = if request.rest.contains(':') { '@' } else { ':' };
                let object = request.rest.rsplit('/').next().unwrap_or_default();
                Err(RegistryError::NotFound {
                    name: format!("{}{separator}{object}", request.repository),
                })
            }
            status @ (401 | 403) => {
                Err(RegistryError::Unauthorized { host, status, credentials: Presented::Nothing })
            }
            status @ (407 | 408 | 425 | 429 | 500..=599) => {
                Err(RegistryError::Unreachable { host, why: self.not_now(status) })
            }
            status => Err(RegistryError::Refused { host, status, code: known_code(&self.body) }),
        }
    }

    /// Whether it refuses access: by 401 or 403, or says by a 404 that one may not know.
    pub(in crate::registry) fn is_denied(&self) -> bool {
        matches!(self.status, 401 | 403)
            || (self.status == 404 && self.code().is_some_and(is_refusal))
    }

    /// Whether a 404 is a registry's word that something is not there: an error of the
    /// distribution-spec with whatever code (Harbor's is `NOT_FOUND`), no body at all, or anything
    /// from docker's distribution. A page of a gateway without a route, or of a portal, must not
    /// read as absence, and none of it came does not mean that there was none.
    fn is_absence(&self) -> bool {
        (self.body.is_empty() && self.is_whole)
            || self.headers.contains_key("docker-distribution-api-version")
            || is_spoken_by_registry(&self.body)
    }

    /// A status that means "not now", with the time when one was named.
    pub(in crate::registry) fn not_now(&self, status: u16) -> Why {
        match self.retry_after {
            Some(after) if matches!(status, 429 | 503) => {
                Why::Wait { status, seconds: after.as_secs().max(1) }
            }
            _ => Why::Status(status),
        }
    }

    /// The media type, in lower case and without parameters.
    pub(in crate::registry) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The type of a page, when a success brings one in the place of what a tag means: no JSON
    /// object, or one without any member that these have. Not where the registry names the digest
    /// of the very bytes: then that is what it has.
    pub(in crate::registry) fn page(&self, got: &Digest) -> Option<&'static str> {
        let own_word =
            self.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        if own_word == Some(got.as_str()) {
            return None;
        }
        let is_object = self.body.trim_ascii_start().first() == Some(&b'{');
        let is_page = !is_object || (self.body.len() <= INLINE_MAX && is_foreign(&self.body));
        is_page.then(|| self.kind())
    }

    /// The type of a page, when a success brings one in the place of what was asked for by its
    /// digest.
    pub(in crate::registry) fn web_page(&self) -> Option<&'static str> {
        let kind = self.kind();
        let is_page =
            WEB_PAGES.contains(&kind) && self.body.trim_ascii_start().first() != Some(&b'{');
        is_page.then_some(kind)
    }

    /// The media type when it is one that pages have; the registry's own words are not repeated.
    fn kind(&self) -> &'static str {
        let Some(said) = self.media_type() else { return "no content type" };
        let known = WEB_PAGES.iter().chain(&OTHER_PAGES).find(|known| **known == said);
        let is_document = said.contains("manifest") || said.contains("index");
        let other = if is_document { "said to be a manifest" } else { "another content type" };
        known.copied().unwrap_or(other)
    }

    /// The known error code in the body.
    pub(in crate::registry) fn code(&self) -> Option<&'static str> {
        known_code(&self.body)
    }
}

/// Whether it is a JSON object that is nothing of a registry's. What is no JSON is not known to be.
fn is_foreign(body: &[u8]) -> bool {
    let members: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_slice(body);
    members.is_ok_and(|members| {
        !MEMBERS.iter().any(|known| members.keys().any(|key| key.eq_ignore_ascii_case(known)))
    })
}
