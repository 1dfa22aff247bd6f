//! Asking one host with one secret: the challenge, the token service, the tokens that are
//! remembered.

use std::sync::atomic::Ordering;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use reqwest::Url;

use super::exchange::WireRequest;
use super::questions::Session;
use crate::registry::authority::split_port;
use crate::registry::credentials::Secret;
use crate::registry::credentials::challenge::{Challenge, challenges};
use crate::registry::credentials::token::{Demand, Grant, GrantKey};
use crate::registry::error::{Malformed, Presented, RedirectFault, RegistryError, TlsFault, Why};
use crate::registry::error_code::known_code;
use crate::registry::hosts::host::{Host, Scheme, fold_url};
use crate::registry::http::client::RequestPurpose;
use crate::registry::http::host_request::HostRequest;
use crate::registry::http::reply::Reply;
use crate::registry::options::TOKEN_MAX;

impl Session {
    /// Asks, authenticates when that is demanded, follows redirects. A 401 or 403 that remains is
    /// an error.
    pub(in crate::registry) async fn send(
        &self,
        request: &HostRequest<'_>,
    ) -> Result<Reply, RegistryError> {
        let state = self.registry().state(&request.host.authority);
        let plain = match request.host.scheme {
            Scheme::Http => true,
            Scheme::Https => false,
            Scheme::Either => state.plain.load(Ordering::Relaxed),
        };
        match self.send_to(request, &request.url(plain)?).await {
            Err(error)
                if request.host.scheme == Scheme::Either
                    && !plain
                    && may_be_plain(request.host, &error) =>
            {
                state.plain.store(true, Ordering::Relaxed);
                self.send_to(request, &request.url(true)?).await
            }
            other => other,
        }
    }

    /// The same for one address on that host, as the holder of one secret.
    pub(in crate::registry) async fn send_authenticated(
        &self,
        request: &HostRequest<'_>,
        url: &Url,
        secret: Option<Secret>,
    ) -> Result<Reply, RegistryError> {
        let now = self.now();
        let key = GrantKey {
            authority: request.host.place(),
            path: request.repository.path().to_owned(),
            who: secret.as_ref().map(Secret::fingerprint),
        };
        let tokens = &self.registry().tokens;
        let remembered = match &secret {
            Some(Secret::Bearer(token)) => Grant::bearer(token, now),
            Some(Secret::Password { .. } | Secret::Refresh(_)) | None => tokens.get(&key, now),
        };
        let mut reply = self.exchange(request, url, remembered.as_ref()).await?;
        // Whoever the host redirected to, or spoke for it without TLS, does not say what is to be
        // done with its secrets.
        let is_asked = |reply: &Reply| {
            reply.status == 401
                && request.is_own(&reply.url)
                && (reply.url.scheme() == url.scheme() || url.scheme() == "http")
        };
        if !is_asked(&reply) || matches!(secret, Some(Secret::Bearer(_))) {
            return granted(reply, request, remembered.as_ref(), secret.as_ref());
        }
        tokens.forget(&key);
        if remembered.is_some() && challenges(&reply.headers).is_empty() {
            // The token has ended, and how to get another one is told to those who have none.
            reply = self.exchange(request, url, None).await?;
            if !is_asked(&reply) {
                return granted(reply, request, None, secret.as_ref());
            }
        }
        let plain = url.scheme() == "http";
        let mut grant = self.authenticate(request, plain, &reply.headers, secret.as_ref()).await?;
        let mut answer = self.exchange(request, url, Some(&grant)).await?;
        if is_asked(&answer) && says_token_is_invalid(&answer) {
            // It ended on the way, or begins a moment later by the registry's clock: another one,
            // once.
            grant = self.authenticate(request, plain, &answer.headers, secret.as_ref()).await?;
            answer = self.exchange(request, url, Some(&grant)).await?;
        }
        let answer = granted(answer, request, Some(&grant), secret.as_ref())?;
        tokens.put(key, grant);
        Ok(answer)
    }

    /// Answers the best of the challenges.
    async fn authenticate(
        &self,
        request: &HostRequest<'_>,
        plain: bool,
        headers: &HeaderMap,
        secret: Option<&Secret>,
    ) -> Result<Grant, RegistryError> {
        let host = request.authority();
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
                    path: request.repository.path(),
                };
                self.token(request, plain, &demand, secret).await
            }
        }
    }

    async fn token(
        &self,
        request: &HostRequest<'_>,
        plain: bool,
        demand: &Demand<'_>,
        secret: Option<&Secret>,
    ) -> Result<Grant, RegistryError> {
        let token_request =
            demand.request(request.host, plain, secret, &self.registry().options)?;
        let realm = fold_url(&token_request.url);
        // The headers of hosts.toml are for that host alone; containerd sends them to its token
        // service as well.
        let mut headers = if request.is_own(&token_request.url) {
            request.host.headers.clone()
        } else {
            HeaderMap::new()
        };
        if let Some(value) = token_request.authorization {
            headers.insert(AUTHORIZATION, value);
        }
        let wire = WireRequest {
            url: token_request.url,
            headers,
            form: token_request.form,
            limit: TOKEN_MAX,
            purpose: RequestPurpose::Token,
        };
        let reply = self.wire(request, &wire).await?;
        match reply.status {
            200 => Grant::from_answer(&reply.body, &realm, token_request.withheld_from, self.now()),
            300..=399 => Err(RegistryError::Redirect { host: realm, fault: RedirectFault::Token }),
            status @ (407 | 408 | 425 | 429 | 500..=599) => {
                Err(RegistryError::Unreachable { host: realm, why: reply.not_now(status) })
            }
            status @ (400 | 401 | 403) => {
                let credentials = presented(token_request.withheld_from, secret);
                Err(RegistryError::Unauthorized { host: request.authority(), status, credentials })
            }
            status => {
                Err(RegistryError::Refused { host: realm, status, code: known_code(&reply.body) })
            }
        }
    }
}

/// Refusals of access as the errors that they are, with what is known of the credentials.
fn granted(
    reply: Reply,
    request: &HostRequest<'_>,
    grant: Option<&Grant>,
    secret: Option<&Secret>,
) -> Result<Reply, RegistryError> {
    if !reply.is_denied() {
        return Ok(reply);
    }
    let credentials = presented(grant.and_then(|grant| grant.withheld_from.clone()), secret);
    Err(RegistryError::Unauthorized {
        host: request.authority(),
        status: reply.status,
        credentials,
    })
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
    matches!(
        challenges(&reply.headers).first(),
        Some(Challenge::Bearer { is_token_invalid: true, .. })
    )
}

/// Whether a host that may speak either is to be asked without TLS: it does not speak it; or nobody
/// listens on the port of HTTPS, where none was named (containerd's `isPortError`).
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
        | Why::NoMeans(_)
        | Why::Name(_) => false,
    }
}
