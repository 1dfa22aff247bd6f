//! [`Reply`]: what one host answered, and which of the three answers that is: there, not there, or neither.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use reqwest::Url;

use super::error::{Malformed, RegistryError, Why, is_refusal, is_spoken_by_registry, known_code};
use super::fetch::Ask;

/// The answer, whatever its status; the body of an error is cut short.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    /// Whether the body came to its end; that of an error may be cut.
    pub(super) is_whole: bool,
    /// When it says to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl Reply {
    /// The answer of a success; every other status as the error that it is.
    pub(super) fn success(self, ask: &Ask<'_>) -> Result<Self, RegistryError> {
        let host = ask.authority();
        match self.status {
            200 => Ok(self),
            404 if self.is_denied() => Err(self.denied(ask)),
            404 if !self.is_absence() => Err(RegistryError::Malformed { host, what: Malformed::NotFound }),
            404 => {
                let separator = if ask.rest.contains(':') { '@' } else { ':' };
                let object = ask.rest.rsplit('/').next().unwrap_or_default();
                Err(RegistryError::NotFound { name: format!("{}{separator}{object}", ask.repository) })
            }
            status @ (401 | 403) => Err(RegistryError::Unauthorized { host, status, withheld_from: None }),
            status @ (407 | 408 | 425 | 429 | 500..=599) => {
                Err(RegistryError::Unreachable { host, why: self.not_now(status) })
            }
            status => Err(RegistryError::Refused { host, status, code: known_code(&self.body) }),
        }
    }

    /// Whether it says by a 404 that one may not know.
    pub(super) fn is_denied(&self) -> bool {
        self.status == 404 && self.code().is_some_and(is_refusal)
    }

    /// A refusal of access, as the error that it is.
    pub(super) fn denied(&self, ask: &Ask<'_>) -> RegistryError {
        RegistryError::Unauthorized { host: ask.authority(), status: self.status, withheld_from: None }
    }

    /// Whether a 404 is a registry's word that something is not there: an error of the distribution-spec with whatever
    /// code (Harbor's is `NOT_FOUND`), no body at all, or anything from docker's distribution. A page of a gateway without
    /// a route, or of a portal, must not read as absence, and none of it came does not mean that there was none.
    fn is_absence(&self) -> bool {
        (self.body.is_empty() && self.is_whole)
            || self.headers.contains_key("docker-distribution-api-version")
            || is_spoken_by_registry(&self.body)
    }

    /// A status that means "not now", with the time when one was named.
    pub(super) fn not_now(&self, status: u16) -> Why {
        match self.retry_after {
            Some(after) if matches!(status, 429 | 503) => Why::Wait { status, seconds: after.as_secs().max(1) },
            _ => Why::Status(status),
        }
    }

    /// The media type, in lower case and without parameters.
    pub(super) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The known error code in the body.
    pub(super) fn code(&self) -> Option<&'static str> {
        known_code(&self.body)
    }
}
