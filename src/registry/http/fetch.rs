//! One question to one host: budget, connection, authentication, redirects.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, Url};

use super::address::{is_local, literal};
use super::body::Body;
use super::client::{Errand, Guard};
use super::failure::failure;
use super::patience::retry_after;
use super::reply::Reply;
use crate::budget::Reservation;
use crate::image::Repository;
use crate::registry::api::session::Session;
use crate::registry::credentials::Secret;
use crate::registry::credentials::challenge::{Challenge, challenges};
use crate::registry::credentials::token::{Demand, Grant, GrantKey, configured};
use crate::registry::error::{Malformed, Presented, RedirectFault, RegistryError, TlsFault, Why, known_code};
use crate::registry::hosts::host::{Host, Scheme, fold, fold_url, split_port};
use crate::registry::options::{REDIRECTS_MAX, TOKEN_MAX};
use crate::share::{Crowded, Recalled};

/// Who was waited for this long at the end of a decision's time, in vain, is slow; who had less may just have been the last.
const SLOW_LEAST: Duration = Duration::from_secs(1);

/// A question to one host about one repository.
pub(in crate::registry) struct Ask<'a> {
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
    /// The end of this host's share of the time, token requests and redirects included; none for the last one, which has
    /// what is left.
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

/// One request on the wire.
struct Wire {
    url: Url,
    headers: HeaderMap,
    form: Option<String>,
    limit: u64,
    errand: Errand,
}

/// What came of one request.
enum Sent {
    Answered(Box<Reply>),
    /// The body is this long and there is no memory for it now.
    NeedsMemory(usize),
}

impl Ask<'_> {
    /// Whose share of requests and of room it takes: what a host leads to, a token service or a redirect, is its own doing.
    fn share(&self) -> String {
        fold(&self.host.authority)
    }

    /// Host and port, for messages.
    pub(in crate::registry) fn authority(&self) -> String {
        self.host.authority.clone()
    }

    /// The address of the question.
    fn url(&self, plain: bool) -> Result<Url, RegistryError> {
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

    /// Whether an address is on the host; without TLS it is not, where the host is to be asked with TLS.
    fn is_own(&self, url: &Url) -> bool {
        let is_spoken = url.scheme() == "https" || self.host.scheme != Scheme::Https;
        is_spoken && self.host.is_at(url)
    }

    /// Who sent an answer, for messages: the host, or the one to which it led.
    pub(in crate::registry) fn sender(&self, url: &Url) -> String {
        let host = self.authority();
        if self.is_own(url) { host } else { format!("{}, to which {host} redirected,", fold_url(url)) }
    }
}

impl Session {
    /// Asks, authenticates when that is demanded, follows redirects. A 401 or 403 that remains is an error.
    pub(in crate::registry) async fn ask(&self, ask: &Ask<'_>) -> Result<Reply, RegistryError> {
        let state = self.registry().state(&ask.host.authority);
        let plain = match ask.host.scheme {
            Scheme::Http => true,
            Scheme::Https => false,
            Scheme::Either => state.plain.load(Ordering::Relaxed),
        };
        match self.ask_at(ask, &ask.url(plain)?).await {
            Err(error) if ask.host.scheme == Scheme::Either && !plain && may_be_plain(ask.host, &error) => {
                state.plain.store(true, Ordering::Relaxed);
                self.ask_at(ask, &ask.url(true)?).await
            }
            other => other,
        }
    }

    /// The same for one address on that host, as the holder of one secret.
    pub(in crate::registry) async fn ask_as(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        secret: Option<Secret>,
    ) -> Result<Reply, RegistryError> {
        let now = self.now();
        let key = GrantKey {
            authority: ask.host.place(),
            path: ask.repository.path().to_owned(),
            who: secret.as_ref().map(Secret::fingerprint),
        };
        let tokens = &self.registry().tokens;
        let remembered = match &secret {
            Some(Secret::Bearer(token)) => Grant::bearer(token, now),
            Some(Secret::Password { .. } | Secret::Refresh(_)) | None => tokens.get(&key, now),
        };
        let mut reply = self.exchange(ask, url, remembered.as_ref()).await?;
        // Whoever the host redirected to, or spoke for it without TLS, does not say what is to be done with its secrets.
        let is_asked = |reply: &Reply| {
            reply.status == 401
                && ask.is_own(&reply.url)
                && (reply.url.scheme() == url.scheme() || url.scheme() == "http")
        };
        if !is_asked(&reply) || matches!(secret, Some(Secret::Bearer(_))) {
            return granted(reply, ask, remembered.as_ref(), secret.as_ref());
        }
        tokens.forget(&key);
        if remembered.is_some() && challenges(&reply.headers).is_empty() {
            // The token has ended, and how to get another one is told to those who have none.
            reply = self.exchange(ask, url, None).await?;
            if !is_asked(&reply) {
                return granted(reply, ask, None, secret.as_ref());
            }
        }
        let plain = url.scheme() == "http";
        let mut grant = self.authenticate(ask, plain, &reply.headers, secret.as_ref()).await?;
        let mut answer = self.exchange(ask, url, Some(&grant)).await?;
        if is_asked(&answer) && says_token_is_invalid(&answer) {
            // It ended on the way, or begins a moment later by the registry's clock: another one, once.
            grant = self.authenticate(ask, plain, &answer.headers, secret.as_ref()).await?;
            answer = self.exchange(ask, url, Some(&grant)).await?;
        }
        let answer = granted(answer, ask, Some(&grant), secret.as_ref())?;
        tokens.put(key, grant);
        Ok(answer)
    }

    /// Answers the best of the challenges.
    async fn authenticate(
        &self,
        ask: &Ask<'_>,
        plain: bool,
        headers: &HeaderMap,
        secret: Option<&Secret>,
    ) -> Result<Grant, RegistryError> {
        let host = ask.authority();
        match challenges(headers).into_iter().next() {
            None => Err(RegistryError::Malformed { host, what: Malformed::Challenge }),
            Some(Challenge::Basic) => Grant::basic(secret, self.now()).ok_or_else(|| {
                let credentials = presented(None, secret);
                RegistryError::Unauthorized { host, status: 401, credentials }
            }),
            Some(Challenge::Bearer { realm, service, scope, is_token_invalid: _ }) => {
                let demand = Demand {
                    realm: &realm,
                    service: service.as_deref(),
                    scope: scope.as_deref(),
                    path: ask.repository.path(),
                };
                self.token(ask, plain, &demand, secret).await
            }
        }
    }

    async fn token(
        &self,
        ask: &Ask<'_>,
        plain: bool,
        demand: &Demand<'_>,
        secret: Option<&Secret>,
    ) -> Result<Grant, RegistryError> {
        let request = demand.request(ask.host, plain, secret, &self.registry().options)?;
        let realm = fold_url(&request.url);
        // The headers of hosts.toml are for that host alone; containerd sends them to its token service as well.
        let mut headers = if ask.is_own(&request.url) { ask.host.headers.clone() } else { HeaderMap::new() };
        if let Some(value) = request.authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let wire = Wire { url: request.url, headers, form: request.form, limit: TOKEN_MAX, errand: Errand::Token };
        let reply = self.wire(ask, &wire).await?;
        match reply.status {
            200 => Grant::from_answer(&reply.body, &realm, request.withheld_from, self.now()),
            300..=399 => Err(RegistryError::Redirect { host: realm, fault: RedirectFault::Token }),
            status @ (407 | 408 | 425 | 429 | 500..=599) => {
                Err(RegistryError::Unreachable { host: realm, why: reply.not_now(status) })
            }
            status @ (400 | 401 | 403) => {
                let credentials = presented(request.withheld_from, secret);
                Err(RegistryError::Unauthorized { host: ask.authority(), status, credentials })
            }
            status => Err(RegistryError::Refused { host: realm, status, code: known_code(&reply.body) }),
        }
    }

    /// Sends the question and follows redirects; the authorization and the headers of `hosts.toml` end with the host
    /// that they are for (attack E1).
    async fn exchange(&self, ask: &Ask<'_>, url: &Url, grant: Option<&Grant>) -> Result<Reply, RegistryError> {
        let mut url = url.clone();
        let mut carried = Some(ask.host.headers.clone());
        if let (Some(headers), Some(grant)) = (&mut carried, grant) {
            headers.insert(AUTHORIZATION, grant.header.clone());
        }
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = carried.clone().unwrap_or_default();
            if let Some(accept) = ask.accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            let errand = Errand::Redirect;
            let reply =
                self.wire(ask, &Wire { url: url.clone(), headers, form: None, limit: ask.limit, errand }).await?;
            if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(reply);
            }
            let next = next_address(&url, &reply.headers, ask.integrity)
                .map_err(|fault| RegistryError::Redirect { host: fold_url(&url), fault })?;
            if fold_url(&next) != fold_url(&url) || next.scheme() != url.scheme() {
                carried = None;
            }
            url = next;
        }
        Err(RegistryError::Redirect { host: fold_url(&url), fault: RedirectFault::TooMany })
    }

    /// One request and its whole answer. Where memory for that has to be waited for, the request is given up and made
    /// again: the wait holds no place that other requests need, and is not taken for the host's silence.
    async fn wire(&self, ask: &Ask<'_>, wire: &Wire) -> Result<Reply, RegistryError> {
        let bytes = match self.request(ask, wire, None).await? {
            Sent::Answered(reply) => return Ok(*reply),
            Sent::NeedsMemory(bytes) => bytes,
        };
        let held = self.hold(ask.repository.host(), bytes).await?;
        match self.request(ask, wire, Some(held)).await? {
            Sent::Answered(reply) => Ok(*reply),
            // It has become longer meanwhile.
            Sent::NeedsMemory(_) => {
                let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
                Err(RegistryError::TooLarge { host: fold_url(&wire.url), limit })
            }
        }
    }

    /// One request within budget, load and time; what comes of it says something about the host, and is remembered.
    async fn request(&self, ask: &Ask<'_>, wire: &Wire, held: Option<Reservation>) -> Result<Sent, RegistryError> {
        let host = fold_url(&wire.url);
        let client = self.client(ask, wire).await?;
        self.asks(&host);
        // What another host leads to says nothing about what is asked there by itself (attack E10).
        let remembered = match ask.is_own(&wire.url) {
            true => self.registry().state(&host),
            false => self.registry().state(&format!("{host} of {}", fold(&ask.host.authority))),
        };
        let memory = &remembered.patience;
        memory.is_quiet(&host, self.now())?;
        let unreachable = |why| RegistryError::Unreachable { host: host.clone(), why };
        let (patience, is_last) = self.patience(ask.until)?;
        let (share, until) = (ask.share(), self.now() + patience);
        let slot = self.registry().requests.take(&share, 1, until).await;
        let slot = slot.map_err(|Crowded { by }| unreachable(Why::Crowded { by }))?;
        // Others may have been told to leave it alone while this one waited.
        memory.is_quiet(&host, self.now())?;
        self.spend_request()?;
        let (left, _) = self.patience(ask.until)?;
        let patience = left.min(self.request_time());
        let sent = tokio::time::timeout(patience, self.send(&client, wire, (ask.repository.host(), held)));
        let done = match self.unless_recalled(slot.unless_recalled(sent)).await {
            Ok(Ok(Ok(done))) => done.map_err(|error| self.told_of_proxy(ask, wire, error)),
            Ok(Ok(Err(_))) => Err(unreachable(Why::Timeout)),
            Ok(Err(Recalled)) | Err(Recalled) => Err(unreachable(Why::Recalled)),
        };
        if done.is_ok() {
            slot.answered();
        }
        match &done {
            Ok(Sent::NeedsMemory(_)) => memory.answered(),
            Ok(Sent::Answered(reply)) => {
                memory.answered();
                if reply.status == 429 || (reply.status == 503 && reply.retry_after.is_some()) {
                    memory.quiet(reply.status, reply.retry_after, self.now());
                }
            }
            Err(RegistryError::Unreachable { why: Why::Timeout | Why::Slow | Why::Recalled, .. }) => {
                if !is_last || patience == self.request_time() || patience >= SLOW_LEAST {
                    memory.slow(self.now());
                }
                // With no time left nobody can be asked any more.
                self.left()?;
            }
            Err(_) => {}
        }
        done
    }

    /// A connection that failed behind a proxy may be the proxy's fault: it is named.
    fn told_of_proxy(&self, ask: &Ask<'_>, wire: &Wire, error: RegistryError) -> RegistryError {
        match (error, self.registry().clients.through(ask.host.proxy.as_ref(), &wire.url)) {
            (RegistryError::Unreachable { host, why: Why::Connection(text) | Why::Name(text) }, Some(proxy)) => {
                let why = Why::Connection(format!("{text} (through the proxy {proxy})"));
                RegistryError::Unreachable { host, why }
            }
            (error, _) => error,
        }
    }

    /// How long this question may still take, and whether that is all the time that is left.
    fn patience(&self, until: Option<Instant>) -> Result<(Duration, bool), RegistryError> {
        let left = self.left()?;
        match until.map(|until| until.saturating_duration_since(self.now())) {
            Some(share) if share < left => Ok((share, false)),
            _ => Ok((left, true)),
        }
    }

    async fn send(
        &self,
        client: &Client,
        wire: &Wire,
        (registry, held): (&str, Option<Reservation>),
    ) -> Result<Sent, RegistryError> {
        let request = match &wire.form {
            None => client.get(wire.url.clone()),
            Some(form) => client
                .post(wire.url.clone())
                .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                .body(form.clone()),
        };
        let host = fold_url(&wire.url);
        tracing::debug!(host, path = wire.url.path(), "asking a registry");
        let mut response =
            request.headers(wire.headers.clone()).send().await.map_err(|error| failure(&error, &host))?;
        let status = response.status().as_u16();
        let (body, is_whole) = match response.status().is_success() {
            true => match self.body(&mut response, wire.limit, (&host, registry), held).await? {
                Body::Whole(body) => (body, true),
                Body::NeedsMemory(bytes) => return Ok(Sent::NeedsMemory(bytes)),
            },
            false => self.error_body(&mut response).await,
        };
        let retry_after = retry_after(response.headers(), self.registry().clock.now());
        let headers = std::mem::take(response.headers_mut());
        let url = wire.url.clone();
        Ok(Sent::Answered(Box::new(Reply { status, headers, body, url, is_whole, retry_after })))
    }

    /// The client for an address, after a look at where it leads (attack E5).
    async fn client(&self, ask: &Ask<'_>, wire: &Wire) -> Result<Client, RegistryError> {
        let url = &wire.url;
        let host = fold_url(url);
        let guard = if self.is_named(ask, &host) { Guard::Allow } else { Guard::Refuse };
        if let (Guard::Refuse, Some(address)) = (guard, literal(url))
            && is_local(address)
        {
            return Err(RegistryError::ForbiddenAddress { host, address });
        }
        let clients = &self.registry().clients;
        if ask.is_own(url) {
            clients.for_host(ask.host, url, guard).await
        } else {
            clients.for_other(ask.host, (url, wire.errand), guard).await
        }
    }

    /// Whether the operator named this host, in `hosts.toml` or in the options.
    fn is_named(&self, ask: &Ask<'_>, host: &str) -> bool {
        let options = &self.registry().options;
        let named = &self.registry().named;
        ask.named.contains(host)
            || named.contains(host)
            || named.contains(split_port(host).0)
            || configured(options, &ask.host.place(), host)
    }
}

/// Refusals of access as the errors that they are, with what is known of the credentials.
fn granted(
    reply: Reply,
    ask: &Ask<'_>,
    grant: Option<&Grant>,
    secret: Option<&Secret>,
) -> Result<Reply, RegistryError> {
    if !reply.is_denied() {
        return Ok(reply);
    }
    let credentials = presented(grant.and_then(|grant| grant.withheld_from.clone()), secret);
    Err(RegistryError::Unauthorized { host: ask.authority(), status: reply.status, credentials })
}

/// What became of the secret with which was asked.
fn presented(withheld_from: Option<String>, secret: Option<&Secret>) -> Presented {
    match (withheld_from, secret) {
        (Some(realm), _) => Presented::NotForTokenService { realm },
        (None, Some(_)) => Presented::Refused,
        (None, None) => Presented::Nothing,
    }
}

fn says_token_is_invalid(reply: &Reply) -> bool {
    matches!(challenges(&reply.headers).first(), Some(Challenge::Bearer { is_token_invalid: true, .. }))
}

/// Where a redirect leads, if it may be followed. From TLS to none only for content that its digest proves, as some
/// registries keep their blobs; nothing that is a secret goes along.
fn next_address(from: &Url, headers: &HeaderMap, integrity: Integrity) -> Result<Url, RedirectFault> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or(RedirectFault::Location)?;
    let next = from.join(location).map_err(|_| RedirectFault::Location)?;
    if !next.username().is_empty() || next.password().is_some() || next.host_str().is_none() {
        return Err(RedirectFault::Location);
    }
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        (_, "http") => match integrity {
            Integrity::Digest => Ok(next),
            Integrity::Transport => Err(RedirectFault::Downgrade),
        },
        _ => Err(RedirectFault::Location),
    }
}

/// Whether a host that may speak either is to be asked without TLS: it does not speak it; or nobody listens on the port of
/// HTTPS, where none was named (containerd's `isPortError`).
fn may_be_plain(host: &Host, error: &RegistryError) -> bool {
    let RegistryError::Unreachable { why, .. } = error else { return false };
    match why {
        Why::Tls(TlsFault::NotTls) => true,
        Why::Connection(_) => split_port(&host.authority).1.is_none(),
        Why::Tls(_)
        | Why::Status(_)
        | Why::Wait { .. }
        | Why::Timeout
        | Why::Slow
        | Why::Crowded { .. }
        | Why::Recalled
        | Why::Name(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, to: &str) -> Result<String, RedirectFault> {
        led(from, to, Integrity::Transport)
    }

    fn led(from: &str, to: &str, integrity: Integrity) -> Result<String, RedirectFault> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(to).unwrap());
        next_address(&Url::parse(from).unwrap(), &headers, integrity).map(|url| url.to_string())
    }

    #[test]
    fn attack_e1_redirects_that_are_not_followed() {
        let https = "https://a.example/v2/x";
        assert_eq!(redirect(https, "/y").as_deref(), Ok("https://a.example/y"));
        assert_eq!(redirect(https, "//b.example/y").as_deref(), Ok("https://b.example/y"));
        assert_eq!(redirect(https, "http://a.example/y"), Err(RedirectFault::Downgrade));
        assert_eq!(redirect("http://a/", "http://b/").as_deref(), Ok("http://b/"));
        for bad in ["ftp://a/", "https://u@a/", "https://u:p@a/", "file:///etc/passwd", "https://"] {
            assert_eq!(redirect(https, bad), Err(RedirectFault::Location), "{bad}");
            assert_eq!(led(https, bad, Integrity::Digest), Err(RedirectFault::Location), "{bad}");
        }
        let none = next_address(&Url::parse(https).unwrap(), &HeaderMap::new(), Integrity::Digest);
        assert_eq!(none, Err(RedirectFault::Location));
    }
}
