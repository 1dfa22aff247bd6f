//! The bodies of answers: capped, counted as long as they are held, and not slower than bodies may
//! be.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use reqwest::Response;

use super::questions::Session;
use crate::budget::{BudgetError, Reservation};
use crate::registry::error::{Budget, Malformed, RegistryError, Why};
use crate::registry::http::failure::failure;
use crate::registry::options::{ERROR_BODY_MAX, FIRST};

/// A body must bring this many bytes, or its end, in every [`PROGRESS_TIME`]: half of what a modem
/// brings. An attestation of 100 KiB that takes longer than half a minute comes too late for its
/// decision anyway.
const PROGRESS_LEAST: usize = 16 << 10;
/// See [`PROGRESS_LEAST`].
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// How long the body of an error is waited for: the status has been said already.
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

/// What came of reading a body.
pub(in crate::registry) enum Body {
    Whole(Bytes),
    /// It may be this long, and there is no memory for that now.
    NeedsMemory(usize),
}

/// How many bytes a body may have, at most `limit`, and whether the registry said so.
fn length(response: &Response, limit: u64, host: &str) -> Result<(usize, bool), RegistryError> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if response.headers().get_all(CONTENT_ENCODING).iter().any(|value| !plain(value)) {
        return Err(RegistryError::Malformed { host: host.to_owned(), what: Malformed::Encoding });
    }
    let too_large = || RegistryError::TooLarge { host: host.to_owned(), limit };
    let said = response.content_length();
    if said.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let most = usize::try_from(said.unwrap_or(limit)).map_err(|_| too_large())?;
    Ok((most, said.is_some()))
}

impl Session {
    /// The whole body of a success, of at most `limit` bytes, asked of `registry`. It counts
    /// against what the session may hold until its last copy is dropped. `held` is what was waited
    /// for, where that had to be.
    pub(in crate::registry) async fn body(
        &self,
        response: &mut Response,
        limit: u64,
        (host, registry): (&str, &str),
        held: Option<Reservation>,
    ) -> Result<Body, RegistryError> {
        let too_large = || RegistryError::TooLarge { host: host.to_owned(), limit };
        let too_slow = || RegistryError::Unreachable { host: host.to_owned(), why: Why::Slow };
        let (most, known) = length(response, limit, host)?;
        // All that a body of known length takes, and where nobody says how long it is all that it
        // may take as soon as it turns out to be no small one: nobody waits for the rest of a body
        // while holding its beginning.
        let first = if known { most } else { most.min(FIRST) };
        let mut held = match held {
            Some(held) => held,
            None => match self.hold_now(registry, first)? {
                Some(held) => held,
                None => return Ok(Body::NeedsMemory(most)),
            },
        };
        let mut body = Vec::with_capacity(held.bytes().min(most));
        loop {
            let enough = body.len().saturating_add(PROGRESS_LEAST);
            let more = async {
                while body.len() < enough {
                    let Some(chunk) =
                        response.chunk().await.map_err(|error| failure(&error, host))?
                    else {
                        return Ok(Some(false));
                    };
                    self.spend_bytes(chunk.len())?;
                    let sum = body.len().saturating_add(chunk.len());
                    if sum > most {
                        return Err(too_large());
                    }
                    if sum > held.bytes() {
                        let Some(rest) =
                            self.hold_now(registry, most.saturating_sub(held.bytes()))?
                        else {
                            return Ok(None);
                        };
                        held.join(rest);
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(true))
            };
            match tokio::time::timeout(PROGRESS_TIME, more).await {
                Ok(Ok(Some(true))) => {}
                Ok(Ok(Some(false))) => return Ok(Body::Whole(held.hold(body))),
                Ok(Ok(None)) => return Ok(Body::NeedsMemory(most)),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(too_slow()),
            }
        }
    }

    /// Reserves bytes of what this registry sends, unless that has to be waited for.
    fn hold_now(&self, registry: &str, bytes: usize) -> Result<Option<Reservation>, RegistryError> {
        // Looked at once: of a wait that would be over at once one would be told that it was in
        // vain.
        let later = self.now() + PROGRESS_TIME;
        self.allowance().reserve(registry, bytes, later).now_or_never().transpose().map_err(unheld)
    }

    /// Reserves bytes of what this registry sends, as soon as that many may be held.
    ///
    /// # Errors
    /// [`Budget::Held`] when they are more than a decision may hold; [`Budget::Turn`] when others
    /// hold too much for too long.
    pub async fn hold(&self, registry: &str, bytes: usize) -> Result<Reservation, RegistryError> {
        let until = self.now() + self.left()?;
        self.allowance().reserve(registry, bytes, until).await.map_err(unheld)
    }

    /// The beginning of an error's body, and whether that is all of it; a body that breaks off,
    /// takes long or is too long is simply cut.
    pub(in crate::registry) async fn error_body(&self, response: &mut Response) -> (Bytes, bool) {
        let mut body = BytesMut::new();
        let read = async {
            loop {
                let chunk = match response.chunk().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => return true,
                    Err(_) => return false,
                };
                body.extend_from_slice(&chunk);
                let enough =
                    u64::try_from(body.len()).map_or(true, |length| length > ERROR_BODY_MAX);
                if self.spend_bytes(chunk.len()).is_err() || enough {
                    return false;
                }
            }
        };
        let is_whole = tokio::time::timeout(ERROR_BODY_TIME, read).await.unwrap_or(false);
        (body.freeze(), is_whole)
    }
}

/// Why bytes are not held, as what it is to the decision.
pub(in crate::registry) fn unheld(error: BudgetError) -> RegistryError {
    RegistryError::BudgetSpent(match error {
        BudgetError::TooMuch { limit } => Budget::Held { limit },
        BudgetError::Crowded { .. } | BudgetError::Recalled => Budget::Turn,
    })
}
