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
mod tests {
    use super::*;

    fn demand(realm: &str) -> Demand<'_> {
        Demand { realm, service: Some("s t"), scope: None, path: "a/b" }
    }

    fn ask(
        registry: &str,
        realm: &str,
        plain: bool,
        options: &Options,
    ) -> Result<(bool, Option<String>), RegistryError> {
        let secret = Secret::password("u", "hunter2").unwrap();
        let request =
            demand(realm).request(&Host::default_for(registry), plain, Some(&secret), options)?;
        Ok((request.authorization.is_some(), request.withheld_from))
    }

    /// Attack E1: a token service elsewhere does not get the credentials, whatever the registry
    /// says.
    #[test]
    fn attack_e1_credentials_stay_with_the_registrys_own_token_service() {
        let options = Options::default();
        let yes = Ok((true, None));
        let no = |realm: &str| Ok((false, Some(realm.to_owned())));
        for (registry, realm, expected) in [
            ("reg.example", "https://reg.example/token", yes.clone()),
            ("reg.example", "https://REG.example:443/token?x=y", yes.clone()),
            ("docker.io", "https://auth.docker.io/token", yes.clone()),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", yes.clone()),
            ("reg.example", "https://auth.docker.io/token", no("auth.docker.io")),
            ("reg.example", "https://reg.example:8443/token", no("reg.example:8443")),
            ("reg.example", "https://reg.example.evil.test/token", no("reg.example.evil.test")),
            ("reg.example:5000", "https://reg.example/token", no("reg.example")),
            // Names beyond ASCII are compared as they are asked.
            ("reg.example", "https://reg.ex\u{e4}mple/token", no("reg.xn--exmple-cua")),
            ("reg.example", "https://r\u{435}g.example/token", no("xn--rg-nlc.example")),
            ("reg.example", "https://\u{ff52}eg.example/\u{e9}", yes.clone()),
        ] {
            assert_eq!(ask(registry, realm, false, &options), expected, "{registry} {realm}");
        }
        let named = [("Reg.example".to_owned(), vec!["sso.example".to_owned()])];
        let options = Options { token_realms: named.into(), ..options };
        assert_eq!(ask("reg.example", "https://sso.example/t", false, &options), yes);
        assert_eq!(
            ask("other.example", "https://sso.example/t", false, &options),
            no("sso.example")
        );
    }

    #[test]
    fn attack_e1_a_realm_is_https_unless_the_registry_itself_is_plain() {
        let options = Options::default();
        let refused = |host: &str| Err(RegistryError::Realm { host: host.to_owned() });
        assert_eq!(
            ask("reg.example", "http://reg.example/token", false, &options),
            refused("reg.example")
        );
        assert_eq!(
            ask("reg.example", "http://other.example/token", true, &options),
            refused("reg.example")
        );
        assert_eq!(
            ask("reg.example", "http://reg.example/token", true, &options),
            Ok((true, None))
        );
        for bad in [
            "https://u@reg.example/",
            "https://u:p@reg.example/",
            "file:///etc/passwd",
            "token",
            "",
        ] {
            assert_eq!(ask("reg.example", bad, true, &options), refused("reg.example"), "{bad}");
        }
    }

    #[test]
    fn requests_are_what_token_services_read() {
        let options = Options::default();
        let host = Host::default_for("reg.example");
        let get =
            demand("https://reg.example/token?a=b").request(&host, false, None, &options).unwrap();
        assert_eq!(
            get.url.as_str(),
            "https://reg.example/token?a=b&service=s+t&scope=repository%3Aa%2Fb%3Apull"
        );
        let secret = Secret::Refresh("r&t".to_owned());
        let post = demand("https://reg.example/token")
            .request(&host, false, Some(&secret), &options)
            .unwrap();
        let body = "grant_type=refresh_token&service=s+t&client_id=sealgate&scope=repository%3Aa%2Fb%3Apull&refresh_token=r%26t";
        assert_eq!(post.form.as_deref(), Some(body));
        assert_eq!(post.url.query(), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    fn tokens_live_as_long_as_they_say_and_no_longer_than_we_believe() {
        let now = Instant::now();
        let life = |body: &str| {
            Grant::from_answer(body.as_bytes(), "r", None, now).map(|grant| grant.until - now)
        };
        assert_eq!(life(r#"{"token":"t"}"#).unwrap(), Duration::from_secs(50));
        assert_eq!(
            life(r#"{"access_token":"t","expires_in":300}"#).unwrap(),
            Duration::from_secs(290)
        );
        assert_eq!(
            life(r#"{"token":"t","expires_in":999999999}"#).unwrap(),
            Duration::from_secs(3590)
        );
        assert_eq!(
            life(r#"{"token":null,"access_token":"t","expires_in":1}"#).unwrap(),
            Duration::ZERO
        );
        for (said, seconds) in [
            ("null", 50),
            ("0", 50),
            ("-1", 50),
            ("-1.5", 50),
            ("0.9", 50),
            ("\"\"", 50),
            ("\"soon\"", 50),
            ("\"-300\"", 50),
            ("[]", 50),
            ("{\"a\":1}", 50),
            ("true", 50),
            ("300.9", 290),
            ("\"300\"", 290),
            ("\" 300.0 \"", 290),
            ("18446744073709551615", 3590),
            ("99999999999999999999999999", 3590),
            ("9223372036854775808.0", 3590),
            ("1e3", 990),
            ("\"1e99\"", 3590),
        ] {
            let body = format!(r#"{{"token":"t","expires_in":{said}}}"#);
            assert_eq!(life(&body).unwrap(), Duration::from_secs(seconds), "{said}");
        }
        assert!(life("{\"token\":\"t\"}\n{}").is_ok(), "as Go's decoder");
        for bad in [
            "",
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"a b"}"#,
            r#"{"token":"a\r\nx: y"}"#,
            r#"{"token":5}"#,
        ] {
            let error = life(bad).unwrap_err();
            assert_eq!(
                error,
                RegistryError::Malformed { host: "r".to_owned(), what: Malformed::Token },
                "{bad}"
            );
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    fn of_two_tokens_containerds_counts() {
        let grant =
            Grant::from_answer(br#"{"token":"a","access_token":"b"}"#, "r", None, Instant::now())
                .unwrap();
        assert_eq!(grant.header.to_str().unwrap(), "Bearer b");
    }

    /// Attack E9 in small: a grant to one is no grant to another.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    fn grants_are_not_shared() {
        let (now, tokens) = (Instant::now(), Tokens::new());
        let key = |authority: &str, path: &str, who: Option<[u8; 32]>| GrantKey {
            authority: authority.to_owned(),
            path: path.to_owned(),
            who,
        };
        let grant = Grant::from_answer(br#"{"token":"t"}"#, "r", None, now).unwrap();
        tokens.put(key("r", "a", Some([1; 32])), grant);
        assert!(tokens.get(&key("r", "a", Some([1; 32])), now).is_some());
        for other in [
            key("r", "a", Some([2; 32])),
            key("r", "a", None),
            key("r", "b", Some([1; 32])),
            key("s", "a", Some([1; 32])),
        ] {
            assert!(tokens.get(&other, now).is_none());
        }
        assert!(tokens.get(&key("r", "a", Some([1; 32])), now + Duration::from_secs(50)).is_none());
    }
}
