//! The bodies of answers: capped, with room for the large, and not slower than bodies may be.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use reqwest::Response;
use tokio::sync::SemaphorePermit;

use super::HostState;
use super::error::{Malformed, RegistryError, Why};
use super::failure::failure;
use super::options::{ERROR_BODY_MAX, HOST_ROOM_KIB, LARGE};
use super::session::Session;

/// A body must bring this many bytes, or its end, in every [`PROGRESS_TIME`]: at 200 bytes a second the largest manifest
/// would take hours.
const PROGRESS_LEAST: usize = 1000;
/// See [`PROGRESS_LEAST`].
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// How long the body of an error is waited for: the status has been said already.
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

impl Session {
    /// The whole body of a success, of at most `limit` bytes.
    pub(super) async fn body(&self, response: &mut Response, limit: u64, host: &str) -> Result<Bytes, RegistryError> {
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if response.headers().get_all(CONTENT_ENCODING).iter().any(|value| !plain(value)) {
            return Err(RegistryError::Malformed { host: host.to_owned(), what: Malformed::Encoding });
        }
        let too_large = || RegistryError::TooLarge { host: host.to_owned(), limit };
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let state = self.registry().state(host);
        let (mut body, mut room) = (BytesMut::new(), None);
        loop {
            if body.len() > LARGE && room.is_none() {
                let said = response.content_length();
                room = Some(self.room(&state, said.unwrap_or(limit)).await);
                let rest = usize::try_from(said.unwrap_or_default()).unwrap_or_default().saturating_sub(body.len());
                body.reserve(rest);
            }
            let enough = body.len().saturating_add(PROGRESS_LEAST);
            let more = async {
                while body.len() < enough {
                    let Some(chunk) = response.chunk().await.map_err(|error| failure(&error, host))? else {
                        return Ok(false);
                    };
                    self.spend_bytes(chunk.len())?;
                    body.extend_from_slice(&chunk);
                    if u64::try_from(body.len()).map_or(true, |length| length > limit) {
                        return Err(too_large());
                    }
                }
                Ok(true)
            };
            match tokio::time::timeout(PROGRESS_TIME, more).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(body.freeze()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(RegistryError::Unreachable { host: host.to_owned(), why: Why::Slow }),
            }
        }
    }

    /// Waits until a body of at most this many bytes has room, first in its host's part and then in all of it. It is asked
    /// for once for a body and given back when the body is read: none waits for more while it holds some. The semaphores
    /// are never closed, so there are permits.
    async fn room<'r>(&'r self, host: &'r HostState, limit: u64) -> [Option<SemaphorePermit<'r>>; 2] {
        let kib = u32::try_from(limit.div_ceil(1024)).unwrap_or(HOST_ROOM_KIB).min(HOST_ROOM_KIB);
        let part = host.room.acquire_many(kib).await.ok();
        [part, self.registry().room.acquire_many(kib).await.ok()]
    }

    /// The beginning of an error's body, and whether that is all of it; a body that breaks off, takes long or is too long
    /// is simply cut.
    pub(super) async fn error_body(&self, response: &mut Response) -> (Bytes, bool) {
        let mut body = BytesMut::new();
        let read = async {
            loop {
                let chunk = match response.chunk().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => return true,
                    Err(_) => return false,
                };
                body.extend_from_slice(&chunk);
                let enough = u64::try_from(body.len()).map_or(true, |length| length > ERROR_BODY_MAX);
                if self.spend_bytes(chunk.len()).is_err() || enough {
                    return false;
                }
            }
        };
        let is_whole = tokio::time::timeout(ERROR_BODY_TIME, read).await.unwrap_or(false);
        (body.freeze(), is_whole)
    }
}
