//! One exchange with a host: redirects, the budget, the time, the connection, the whole answer.

use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, Url};

use super::body::Body;
use super::questions::Session;
use crate::budget::Reservation;
use crate::registry::authority::{fold, split_port};
use crate::registry::credentials::token::{Grant, configured};
use crate::registry::error::{RedirectFault, RegistryError, Why};
use crate::registry::hosts::host::fold_url;
use crate::registry::http::address::{is_local, literal};
use crate::registry::http::client::{Guard, RequestPurpose};
use crate::registry::http::failure::failure;
use crate::registry::http::host_request::{HostRequest, Integrity};
use crate::registry::http::patience::retry_after;
use crate::registry::http::reply::Reply;
use crate::registry::options::REDIRECTS_MAX;
use crate::share::{Crowded, Recalled};

/// Who was waited for this long at the end of a decision's time, in vain, is slow; who had less may
/// just have been the last.
const SLOW_LEAST: Duration = Duration::from_secs(1);

/// One request on the wire.
pub(super) struct WireRequest {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) form: Option<String>,
    pub(super) limit: u64,
    pub(super) purpose: RequestPurpose,
}

/// What came of one request.
enum Sent {
    Answered(Box<Reply>),
    /// The body is this long and there is no memory for it now.
    NeedsMemory(usize),
}

impl Session {
    /// Sends the question and follows redirects; the authorization and the headers of `hosts.toml`
    /// end with the host that they are for (attack E1).
    pub(super) async fn exchange(
        &self,
        request: &HostRequest<'_>,
        url: &Url,
        grant: Option<&Grant>,
    ) -> Result<Reply, RegistryError> {
        let mut url = url.clone();
        let mut carried = Some(request.host.headers.clone());
        if let (Some(headers), Some(grant)) = (&mut carried, grant) {
            headers.insert(AUTHORIZATION, grant.header.clone());
        }
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = carried.clone().unwrap_or_default();
            if let Some(accept) = request.accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            let purpose = RequestPurpose::Redirect;
            let reply = self
                .wire(
                    request,
                    &WireRequest {
                        url: url.clone(),
                        headers,
                        form: None,
                        limit: request.limit,
                        purpose,
                    },
                )
                .await?;
            if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(reply);
            }
            let next = next_address(&url, &reply.headers, request.integrity)
                .map_err(|fault| RegistryError::Redirect { host: fold_url(&url), fault })?;
            if fold_url(&next) != fold_url(&url) || next.scheme() != url.scheme() {
                carried = None;
            }
            url = next;
        }
        Err(RegistryError::Redirect { host: fold_url(&url), fault: RedirectFault::TooMany })
    }

    /// One request and its whole answer. Where memory for that has to be waited for, the request is
    /// given up and made again: the wait holds no place that other requests need, and is not taken
    /// for the host's silence.
    pub(super) async fn wire(
        &self,
        request: &HostRequest<'_>,
        wire: &WireRequest,
    ) -> Result<Reply, RegistryError> {
        let bytes = match self.attempt(request, wire, None).await? {
            Sent::Answered(reply) => return Ok(*reply),
            Sent::NeedsMemory(bytes) => bytes,
        };
        let held = self.hold(request.repository.host(), bytes).await?;
        match self.attempt(request, wire, Some(held)).await? {
            Sent::Answered(reply) => Ok(*reply),
            // It has become longer meanwhile.
            Sent::NeedsMemory(_) => {
                let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
                Err(RegistryError::TooLarge { host: fold_url(&wire.url), limit })
            }
        }
    }

    /// One request within budget, load and time; what comes of it says something about the host,
    /// and is remembered.
    async fn attempt(
        &self,
        request: &HostRequest<'_>,
        wire: &WireRequest,
        held: Option<Reservation>,
    ) -> Result<Sent, RegistryError> {
        let host = fold_url(&wire.url);
        let client = self.client(request, wire).await?;
        self.asks(&host);
        // What another host leads to says nothing about what is asked there by itself (attack E10).
        let remembered = match request.is_own(&wire.url) {
            true => self.registry().state(&host),
            false => self.registry().state(&format!("{host} of {}", fold(&request.host.authority))),
        };
        let memory = &remembered.patience;
        memory.is_quiet(&host, self.now())?;
        let unreachable = |why| RegistryError::Unreachable { host: host.clone(), why };
        let (patience, is_last) = self.patience(request.until)?;
        let (share, until) = (request.share(), self.now() + patience);
        let slot = self.registry().requests.take(&share, 1, until).await;
        let slot = slot.map_err(|Crowded { by }| unreachable(Why::Crowded { by }))?;
        // Others may have been told to leave it alone while this one waited.
        memory.is_quiet(&host, self.now())?;
        self.spend_request()?;
        let (left, _) = self.patience(request.until)?;
        let patience = left.min(self.request_time());
        let sent = tokio::time::timeout(
            patience,
            self.transmit(&client, wire, (request.repository.host(), held)),
        );
        let done = match self.unless_recalled(slot.unless_recalled(sent)).await {
            Ok(Ok(Ok(done))) => done.map_err(|error| self.told_of_proxy(request, wire, error)),
            Ok(Ok(Err(_))) => Err(unreachable(Why::Timeout)),
            Ok(Err(Recalled)) | Err(Recalled) => Err(unreachable(self.recalled())),
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
            Err(RegistryError::Unreachable {
                why: Why::Timeout | Why::Slow | Why::Recalled,
                ..
            }) => {
                if !is_last || patience == self.request_time() || patience >= SLOW_LEAST {
                    memory.slow(self.now());
                }
                self.note_waited(request, patience)?;
            }
            Err(_) => {}
        }
        done
    }

    /// Whether a host that did not answer in so long was waited for: as long as any is, or long
    /// enough. A slow one has that much less the wait for its turn.
    ///
    /// # Errors
    /// When there is no time left: then nobody can be asked any more.
    fn note_waited(
        &self,
        request: &HostRequest<'_>,
        patience: Duration,
    ) -> Result<(), RegistryError> {
        let host = fold(&request.host.authority);
        match patience == self.request_time() || patience >= SLOW_LEAST / 2 {
            true => self.silence().wait(&host),
            false => self.silence().starve(&host),
        }
        self.left().map(drop)
    }

    /// A request had to make way for others: noted, whatever is told of it in the end.
    fn recalled(&self) -> Why {
        self.note_held_back();
        Why::Recalled
    }

    /// A connection that failed behind a proxy may be the proxy's fault: it is named.
    fn told_of_proxy(
        &self,
        request: &HostRequest<'_>,
        wire: &WireRequest,
        error: RegistryError,
    ) -> RegistryError {
        match (error, self.registry().clients.through(request.host.proxy.as_ref(), &wire.url)) {
            (
                RegistryError::Unreachable { host, why: Why::Connection(text) | Why::Name(text) },
                Some(proxy),
            ) => {
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

    async fn transmit(
        &self,
        client: &Client,
        wire: &WireRequest,
        (registry, held): (&str, Option<Reservation>),
    ) -> Result<Sent, RegistryError> {
        let builder = match &wire.form {
            None => client.get(wire.url.clone()),
            Some(form) => client
                .post(wire.url.clone())
                .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                .body(form.clone()),
        };
        let host = fold_url(&wire.url);
        tracing::debug!(host, path = wire.url.path(), "asking a registry");
        let mut response = builder
            .headers(wire.headers.clone())
            .send()
            .await
            .map_err(|error| failure(&error, &host))?;
        let status = response.status().as_u16();
        // A token service may well be there while its registry is not.
        if wire.purpose == RequestPurpose::Redirect {
            self.silence().note_status(status, response.headers().contains_key(RETRY_AFTER));
        }
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
    async fn client(
        &self,
        request: &HostRequest<'_>,
        wire: &WireRequest,
    ) -> Result<Client, RegistryError> {
        let url = &wire.url;
        let host = fold_url(url);
        let guard = if self.is_named(request, &host) { Guard::Allow } else { Guard::Refuse };
        if let (Guard::Refuse, Some(address)) = (guard, literal(url))
            && is_local(address)
        {
            return Err(RegistryError::ForbiddenAddress { host, address });
        }
        let clients = &self.registry().clients;
        if request.is_own(url) {
            clients.for_host(request.host, url, guard).await
        } else {
            clients.for_other(request.host, (url, wire.purpose), guard).await
        }
    }

    /// Whether the operator named this host, in `hosts.toml` or in the options.
    fn is_named(&self, request: &HostRequest<'_>, host: &str) -> bool {
        let options = &self.registry().options;
        let named = &self.registry().named;
        request.named.contains(host)
            || named.contains(host)
            || named.contains(split_port(host).0)
            || configured(options, &request.host.place(), host)
    }
}

/// Where a redirect leads, if it may be followed. From TLS to none only for content that its digest
/// proves, as some registries keep their blobs; nothing that is a secret goes along.
fn next_address(
    from: &Url,
    headers: &HeaderMap,
    integrity: Integrity,
) -> Result<Url, RedirectFault> {
    let location = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(RedirectFault::Location)?;
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
        for bad in ["ftp://a/", "https://u@a/", "https://u:p@a/", "file:///etc/passwd", "https://"]
        {
            assert_eq!(redirect(https, bad), Err(RedirectFault::Location), "{bad}");
            assert_eq!(led(https, bad, Integrity::Digest), Err(RedirectFault::Location), "{bad}");
        }
        let none = next_address(&Url::parse(https).unwrap(), &HeaderMap::new(), Integrity::Digest);
        assert_eq!(none, Err(RedirectFault::Location));
    }
}
