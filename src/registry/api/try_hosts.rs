//! One question to all hosts of a route in order, again after a pause where that may help, until
//! one of them settles it.
//!
//! A host that is not the last gets only its share of the time that is left. The next host is
//! always asked before anybody is waited for; then those that were refused, broken or overloaded
//! are asked again, `retries` times at most, and only as far as the decision's time reaches.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::{Answer, Fetched, Settled};
use super::question::Wanted;
use super::referrers::INDEX;
use crate::aside;
use crate::image::{Digest, Repository};
use crate::registry::error::{Malformed, RegistryError, Why};
use crate::registry::hosts::host::Host;
use crate::registry::http::host_request::{HostRequest, Integrity};
use crate::registry::http::patience::{backoff, is_passing, share, spread};
use crate::registry::http::reply::Reply;
use crate::registry::options::REFERRERS_PAGE_MAX;
use crate::registry::session::body::unheld;
use crate::registry::session::questions::Session;
use crate::registry::session::registry::Support;
use crate::registry::session::route::Route;
use crate::share::Recalled;

/// The manifests and indexes that can be judged; schema 1 is not among them (fact P14).
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// What came of the hosts so far: one failure or answer per host, the last one counts.
#[derive(Default)]
struct HostTally {
    failed: BTreeMap<usize, RegistryError>,
    /// Lists that are empty, and hosts without an endpoint.
    nothing: BTreeMap<usize, Answer>,
}

impl Session {
    /// Asks the hosts from number `start` on.
    pub(in crate::registry) async fn try_hosts(
        &self,
        repository: &Repository,
        wanted: &Wanted<'_>,
        start: usize,
    ) -> Result<Settled, RegistryError> {
        let route = self.route(repository).await?;
        let numbers = route.numbers(start, |host| wanted.may_come_from(host));
        self.try_unless_recalled(&route, &numbers, repository, wanted).await
    }

    /// Asks the host with this number first, then all others.
    pub(in crate::registry) async fn try_hosts_beginning_at(
        &self,
        repository: &Repository,
        wanted: &Wanted<'_>,
        at: usize,
    ) -> Result<Settled, RegistryError> {
        let route = self.route(repository).await?;
        let all = route.numbers(0, |host| wanted.may_come_from(host));
        let (first, rest): (Vec<usize>, Vec<usize>) =
            all.into_iter().partition(|number| *number == at);
        let numbers: Vec<usize> = first.into_iter().chain(rest).collect();
        self.try_unless_recalled(&route, &numbers, repository, wanted).await
    }

    /// Asks these hosts in turn, unless the memory that this session holds, or its decision's
    /// place, is asked back: then it is over, whatever is waited for.
    async fn try_unless_recalled(
        &self,
        route: &Route,
        numbers: &[usize],
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Settled, RegistryError> {
        let asked = Box::pin(self.try_in_turn(route, numbers, repository, wanted));
        let asked = self.allowance().unless_recalled(asked);
        match self.unless_recalled(asked).await {
            Ok(asked) => asked.unwrap_or_else(|error| {
                self.note_held_back();
                Err(unheld(error))
            }),
            Err(Recalled) => {
                self.note_held_back();
                let host = self.asked_last().unwrap_or_else(|| repository.host().to_owned());
                Err(RegistryError::Unreachable { host, why: Why::Recalled })
            }
        }
    }

    async fn try_in_turn(
        &self,
        route: &Route,
        numbers: &[usize],
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Settled, RegistryError> {
        let mut tally = HostTally::default();
        let mut turn = numbers.to_vec();
        for attempt in 0..=self.registry().options.retries {
            for (asked, at) in turn.iter().copied().enumerate() {
                let Some(host) = route.host(at) else { continue };
                let hosts_left = turn.len().saturating_sub(asked);
                let tried = self.try_host(route, (host, hosts_left), repository, wanted).await;
                match &tried {
                    Ok(_) => self.note_answer(),
                    Err(error) => self.note_error(&host.authority, error),
                }
                match tried {
                    Ok(answer) if answer.settles() => {
                        let next =
                            numbers.iter().copied().skip_while(|number| *number != at).nth(1);
                        let settled = Settled { answer, at, next, passed: tally.passed() };
                        return Ok(self.learnt(repository, settled));
                    }
                    Ok(answer) => tally.nothing(at, answer),
                    // What ended it early is told, rather than that its time is over.
                    Err(error) if error.ends_session() => {
                        let unasked = turn.iter().skip(asked + 1);
                        self.note_unasked(unasked.filter_map(|at| route.host(*at)));
                        return Err(tally.passed().filter(|_| self.is_recalled()).unwrap_or(error));
                    }
                    Err(error) => tally.failed(at, error),
                }
            }
            turn = tally.passing(&turn);
            let is_last = attempt == self.registry().options.retries;
            if turn.is_empty() || is_last || !self.pause(route, &turn, attempt).await {
                break;
            }
        }
        let settled = tally.end(numbers, repository, wanted)?;
        Ok(self.learnt(repository, settled))
    }

    /// Waits until it is worth asking any of these hosts again; says no, at once, when that is
    /// later than there is time.
    async fn pause(&self, route: &Route, turn: &[usize], attempt: u32) -> bool {
        let (Ok(left), random) = (self.left(), self.registry().random) else { return false };
        let now = self.now();
        let own = backoff(attempt, random());
        let wait = |at: &usize| {
            let host = route.host(*at)?;
            let quiet = self.registry().state(&host.authority).patience.quiet_for(now);
            Some(if quiet.is_zero() {
                own
            } else {
                own.max(quiet.saturating_add(spread(random())))
            })
        };
        match turn.iter().filter_map(wait).min() {
            Some(wait) if wait < left => {
                tokio::time::sleep(wait).await;
                true
            }
            _ => false,
        }
    }

    async fn try_host(
        &self,
        route: &Route,
        (host, hosts_left): (&Host, usize),
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Answer, RegistryError> {
        let (rest, accept, limit) = match wanted {
            Wanted::Manifest { digest, limit } => {
                (format!("manifests/{digest}"), Some(MANIFESTS), *limit)
            }
            Wanted::Tag { tag, limit } => (format!("manifests/{tag}"), Some(MANIFESTS), *limit),
            Wanted::Blob { digest, size } => (format!("blobs/{digest}"), None, *size),
            Wanted::Referrers { digest, .. } => {
                (format!("referrers/{digest}"), Some(INDEX), REFERRERS_PAGE_MAX)
            }
        };
        let is_slow = self.registry().state(&host.authority).patience.is_slow(self.now());
        let share: Option<Duration> = share(self.left()?, self.request_time(), hosts_left, is_slow);
        let until = share.map(|share| self.now() + share);
        let integrity = match wanted {
            Wanted::Manifest { .. } | Wanted::Blob { .. } => Integrity::Digest,
            Wanted::Tag { .. } | Wanted::Referrers { .. } => Integrity::Transport,
        };
        let request = HostRequest {
            named: &route.named,
            host,
            repository,
            rest: &rest,
            accept,
            limit,
            until,
            integrity,
        };
        match wanted {
            Wanted::Referrers { filter, .. } => self.referrers_of(&request, filter).await,
            Wanted::Manifest { .. } | Wanted::Blob { .. } | Wanted::Tag { .. } => {
                let reply = self.send(&request).await?.success(&request)?;
                fetched(reply, &request, wanted).await.map(Answer::Content)
            }
        }
    }

    /// Remembers what an answer says about the referrers endpoint of the repository's registry.
    fn learnt(&self, repository: &Repository, settled: Settled) -> Settled {
        match &settled.answer {
            Answer::Listed { .. } => self.registry().learn(repository, Support::Endpoint),
            Answer::NoEndpoint => self.registry().learn(repository, Support::None),
            Answer::NoRepository | Answer::Content(_) => {}
        }
        settled
    }
}

impl HostTally {
    fn nothing(&mut self, at: usize, answer: Answer) {
        self.failed.remove(&at);
        self.nothing.insert(at, answer);
    }

    fn failed(&mut self, at: usize, error: RegistryError) {
        self.failed.insert(at, error);
    }

    /// Those of the hosts that may well answer a moment later.
    fn passing(&self, turn: &[usize]) -> Vec<usize> {
        turn.iter().copied().filter(|at| self.failed.get(at).is_some_and(is_passing)).collect()
    }

    /// The most telling failure but "not there"; of equal ones the first.
    fn passed(&self) -> Option<RegistryError> {
        let failures = || {
            self.failed.values().filter(|error| !matches!(error, RegistryError::NotFound { .. }))
        };
        let told = failures().rev().max_by_key(|error| error.rank())?.clone();
        match failures().find(|error| error.is_withheld()) {
            // A mirror that was shown no credentials may be all that is wrong.
            Some(withheld) if *withheld != told => Some(RegistryError::Beside {
                error: Box::new(told),
                beside: Box::new(withheld.clone()),
            }),
            _ => Some(told),
        }
    }

    /// What it comes to when no host settled it: any failure but "not there" stands before what
    /// others have not.
    fn end(
        mut self,
        numbers: &[usize],
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Settled, RegistryError> {
        if let Some(error) = self.passed() {
            return Err(error);
        }
        let without = self.nothing.iter().find(|(_, answer)| matches!(answer, Answer::NoEndpoint));
        if let Some(at) = without.or_else(|| self.nothing.iter().next()).map(|(at, _)| *at)
            && let Some(answer) = self.nothing.remove(&at)
        {
            return Ok(Settled { answer, at, next: None, passed: None });
        }
        match (self.failed.into_values().next(), wanted, numbers.first()) {
            (Some(_), Wanted::Referrers { .. }, Some(at)) => {
                Ok(Settled { answer: Answer::NoRepository, at: *at, next: None, passed: None })
            }
            (Some(error), ..) => Err(error),
            (None, ..) => Err(RegistryError::NoHost { host: repository.host().to_owned() }),
        }
    }
}

/// Hashes what came; only what hashes to what was asked for leaves this room (attacks A1 and A7). A
/// page in the place of content says nothing about the content.
async fn fetched(
    reply: Reply,
    request: &HostRequest<'_>,
    wanted: &Wanted<'_>,
) -> Result<Fetched, RegistryError> {
    let body = reply.body.clone();
    let got = aside::large(body.len(), move || Digest::of(&body)).await;
    let (expected, page) = match wanted {
        Wanted::Manifest { digest, .. } | Wanted::Blob { digest, .. } => {
            (Some(*digest), reply.web_page())
        }
        Wanted::Tag { .. } | Wanted::Referrers { .. } => (None, reply.page(&got)),
    };
    match (expected, page) {
        (Some(expected), _) if *expected == got => {}
        (_, Some(kind)) => {
            return Err(RegistryError::Malformed {
                host: request.sender(&reply.url),
                what: Malformed::Page(kind),
            });
        }
        (Some(expected), None) => {
            return Err(RegistryError::DigestMismatch {
                host: request.authority(),
                expected: expected.clone(),
                got,
            });
        }
        (None, None) => {}
    }
    Ok(Fetched {
        digest: got,
        media_type: reply.media_type(),
        host: request.authority(),
        docker_distribution: reply.headers.contains_key("docker-distribution-api-version"),
        bytes: reply.body,
    })
}
