//! Tokens: how a challenge is answered (Docker token authentication specification; OAuth2 for
//! refresh tokens), where credentials may go for it (attack E1), and the memory of what was
//! granted.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::HeaderValue;
use lru::LruCache;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Number, Value};
use zeroize::{Zeroize as _, Zeroizing};

use super::Secret;
use crate::registry::authority::{exact, fold};
use crate::registry::error::{Malformed, RegistryError};
use crate::registry::hosts::host::{Host, fold_url};
use crate::registry::lock::lock;
use crate::registry::options::Options;

/// Grants that are remembered; one per repository, host and secret.
const GRANTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// Life of a token that does not say how long it lives, or says nothing that can be (Docker token
/// specification: 60 seconds where it is left out, and never less). One that ends before is asked
/// for again when it is refused.
const LIFE_UNSAID: u64 = 60;
/// Longest life that is believed, seconds: a revoked account is noticed within it. An hour, because
/// the tokens of Google and Azure live so long and a token is asked for again when it ends; what
/// says more is not believed.
const LIFE_MAX: u64 = 3600;
/// A token is not used in its last seconds: it would expire on the way.
const MARGIN: u64 = 10;
/// Token services that are known to serve another host's accounts.
const KNOWN_REALMS: [(&str, &str); 2] =
    [("docker.io", "auth.docker.io"), ("registry.gitlab.com", "gitlab.com")];

/// What a grant is for: never shared between hosts, repositories or secrets (fact P17).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::registry) struct GrantKey {
    /// Folded host and port.
    pub(in crate::registry) authority: String,
    /// The repository's path.
    pub(in crate::registry) path: String,
    /// The secret's fingerprint; none for nobody.
    pub(in crate::registry) who: Option<[u8; 32]>,
}

/// An `Authorization` header that a host took.
#[derive(Clone)]
pub(in crate::registry) struct Grant {
    pub(in crate::registry) header: HeaderValue,
    /// The token service that was not given the credentials at hand.
    pub(in crate::registry) withheld_from: Option<String>,
    /// Until when it is remembered.
    until: Instant,
}

/// The memory of grants.
pub(in crate::registry) struct Tokens {
    grants: Mutex<LruCache<GrantKey, Grant>>,
}

/// A token request, ready to be sent.
pub(in crate::registry) struct TokenRequest {
    pub(in crate::registry) url: Url,
    /// `Authorization` of the request.
    pub(in crate::registry) authorization: Option<HeaderValue>,
    /// Body of a POST; a GET without.
    pub(in crate::registry) form: Option<String>,
    pub(in crate::registry) withheld_from: Option<String>,
}

/// What a challenge asks for.
pub(in crate::registry) struct Demand<'a> {
    pub(in crate::registry) realm: &'a str,
    pub(in crate::registry) service: Option<&'a str>,
    pub(in crate::registry) scope: Option<&'a str>,
    /// The repository's path, for registries that name no scope.
    pub(in crate::registry) path: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    /// Seconds. Some write zero, less than nothing, a fraction or a text; containerd reads it and
    /// does not use it, so nothing that stands here makes a token useless.
    #[serde(default)]
    expires_in: Value,
}

impl Answer {
    /// How long the token is remembered, seconds.
    fn life(&self) -> u64 {
        let said = match &self.expires_in {
            Value::Number(number) => seconds(number),
            Value::String(text) => serde_json::from_str(text).ok().as_ref().and_then(seconds),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        said.filter(|seconds| *seconds > 0)
            .unwrap_or(LIFE_UNSAID)
            .min(LIFE_MAX)
            .saturating_sub(MARGIN)
    }
}

/// Whole seconds; none for less than nothing.
fn seconds(number: &Number) -> Option<u64> {
    let fraction = || number.as_f64().filter(|seconds| *seconds >= 0.0);
    // What is longer than a duration can be is longer than anybody believes.
    let whole =
        |seconds| Duration::try_from_secs_f64(seconds).map_or(u64::MAX, |whole| whole.as_secs());
    number.as_u64().or_else(|| fraction().map(whole))
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.token.zeroize();
        self.access_token.zeroize();
    }
}

impl Tokens {
    pub(in crate::registry) fn new() -> Self {
        Self { grants: Mutex::new(LruCache::new(GRANTS_MAX)) }
    }

    pub(in crate::registry) fn get(&self, key: &GrantKey, now: Instant) -> Option<Grant> {
        lock(&self.grants).get(key).filter(|grant| now < grant.until).cloned()
    }

    pub(in crate::registry) fn put(&self, key: GrantKey, grant: Grant) {
        lock(&self.grants).put(key, grant);
    }

    pub(in crate::registry) fn forget(&self, key: &GrantKey) {
        lock(&self.grants).pop(key);
    }
}

impl Grant {
    /// HTTP Basic; none when the secret is no password.
    pub(in crate::registry) fn basic(secret: Option<&Secret>, now: Instant) -> Option<Self> {
        let Some(Secret::Password { username, password }) = secret else { return None };
        let header = sensitive(&Secret::basic(username, password))?;
        Some(Self { header, withheld_from: None, until: now + Duration::from_secs(LIFE_MAX) })
    }

    /// The bearer token of a pull secret, as it is; not kept.
    pub(in crate::registry) fn bearer(token: &str, now: Instant) -> Option<Self> {
        Some(Self {
            header: sensitive(&Zeroizing::new(format!("Bearer {token}")))?,
            withheld_from: None,
            until: now,
        })
    }

    /// The token of a token service's answer.
    pub(in crate::registry) fn from_answer(
        body: &[u8],
        realm: &str,
        withheld_from: Option<String>,
        now: Instant,
    ) -> Result<Self, RegistryError> {
        let bad = || RegistryError::Malformed { host: realm.to_owned(), what: Malformed::Token };
        // Go reads the first value and nothing behind it.
        let answer = Answer::deserialize(&mut serde_json::Deserializer::from_slice(body))
            .map_err(|_| bad())?;
        // Of two that differ containerd takes this one.
        let token = [&answer.access_token, &answer.token]
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty());
        let token = token.ok_or_else(bad)?;
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad());
        }
        let header = sensitive(&Zeroizing::new(format!("Bearer {token}"))).ok_or_else(bad)?;
        Ok(Self { header, withheld_from, until: now + Duration::from_secs(answer.life()) })
    }
}

impl Demand<'_> {
    /// The token request, with the secret when the realm may have it.
    ///
    /// `plain` says that the registry itself is spoken to without TLS, as the operator configured;
    /// only then may a token service be, and only one that may have the credentials at all.
    pub(in crate::registry) fn request(
        &self,
        host: &Host,
        plain: bool,
        secret: Option<&Secret>,
        options: &Options,
    ) -> Result<TokenRequest, RegistryError> {
        let refused = || RegistryError::Realm { host: host.authority.clone() };
        let mut url = Url::parse(self.realm).map_err(|_| refused())?;
        let trusted = realm_may_have(host, &url, options);
        let scheme_fine = url.scheme() == "https" || (url.scheme() == "http" && plain && trusted);
        if !scheme_fine
            || !url.username().is_empty()
            || url.password().is_some()
            || url.host_str().is_none()
        {
            return Err(refused());
        }
        url.set_fragment(None);
        let withheld_from = (secret.is_some() && !trusted).then(|| fold_url(&url));
        let fallback = format!("repository:{}:pull", self.path);
        let scope = self.scope.unwrap_or(&fallback);
        let service = self.service.unwrap_or_default();
        match secret.filter(|_| trusted) {
            Some(Secret::Refresh(token)) => {
                let form = form(&[
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("client_id", "sealgate"),
                    ("scope", scope),
                    ("refresh_token", token),
                ]);
                Ok(TokenRequest { url, authorization: None, form: Some(form), withheld_from })
            }
            Some(Secret::Password { username, password }) => {
                append(&mut url, &[("service", service), ("scope", scope), ("account", username)]);
                let authorization = sensitive(&Secret::basic(username, password));
                Ok(TokenRequest { url, authorization, form: None, withheld_from })
            }
            Some(Secret::Bearer(_)) | None => {
                append(&mut url, &[("service", service), ("scope", scope)]);
                Ok(TokenRequest { url, authorization: None, form: None, withheld_from })
            }
        }
    }
}

/// Whether credentials for a registry may be shown to a token service: it is the registry's own
/// host, or a well-known or configured one (attack E1).
fn realm_may_have(host: &Host, realm: &Url, options: &Options) -> bool {
    let (registry, at_home) = (host.place(), host.is_at(realm));
    let realm = fold_url(realm);
    at_home
        || KNOWN_REALMS.contains(&(registry.as_str(), realm.as_str()))
        || configured(options, &registry, &realm)
}

/// Whether the operator named this token service for this registry.
pub(in crate::registry) fn configured(options: &Options, registry: &str, realm: &str) -> bool {
    let same = |name: &str, place: &str| exact(name) == place || fold(name) == place;
    let mut for_registry = options.token_realms.iter().filter(|(name, _)| same(name, registry));
    for_registry.any(|(_, realms)| realms.iter().any(|named| same(named, realm)))
}

fn append(url: &mut Url, pairs: &[(&str, &str)]) {
    let mut query = url.query_pairs_mut();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
}

/// `application/x-www-form-urlencoded`, by the same rules as a URL's query.
fn form(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("http://form.invalid/") else { return String::new() };
    append(&mut url, pairs);
    url.query().unwrap_or_default().to_owned()
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(value).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests;
