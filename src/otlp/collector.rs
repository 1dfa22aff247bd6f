//! [`Collector`]: sends a body to the endpoint and says what the answer means ([`SendFault`]), by
//! the OTLP specification (1.x, "OTLP/HTTP Response"): 429, 502, 503 and 504 are tried again, as
//! late as `Retry-After` says; of any other refusal the collector will not change its mind.
//!
//! No redirect is followed: what the log says goes to the host that the configuration names.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use prost::Message as _;
use reqwest::{Certificate, Client, Response, StatusCode, Url};

use super::headers::{self, HeadersError};
use super::options::{Options, OptionsError};
use crate::file_trust::{self, Above, OwnershipFault};
use crate::proto::otlp::ExportLogsServiceResponse;

/// To connect, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For one request with its answer: a collector that forwards a mebibyte before it answers.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Longest answer that is read, in bytes: it has a number and a sentence.
const ANSWER_MAX: usize = 64 << 10;
/// Longest file of authorities, in bytes.
const CA_FILE_MAX: u64 = 1 << 20;
/// As much of what a collector says as is shown.
const SAID_MAX: usize = 512;
/// What collectors see in their logs.
const USER_AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));

/// What takes logs.
#[derive(Debug)]
pub struct Collector {
    endpoint: Url,
    client: Client,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectorError {
    /// `otlp.endpoint` says nothing.
    NotConfigured,
    /// The options contradict themselves.
    Options(OptionsError),
    /// The headers.
    Headers(HeadersError),
    /// The file of authorities is not safe from others.
    UnsafeAuthorities(OwnershipFault),
    /// It could not be read, or holds no certificate.
    Authorities(PathBuf),
    /// No client could be made.
    Client(String),
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// No answer, or none in time.
    Unreachable(String),
    /// It asks to be asked later.
    Later {
        /// The status of the answer.
        status: u16,
        /// After how long, where it says.
        after: Option<Duration>,
    },
    /// It does not take this body: it is too long, or something in it is not to be understood.
    NotThis {
        /// The status of the answer.
        status: u16,
        /// What it says of it.
        said: String,
    },
    /// It takes nothing of this sender: a wrong token, a wrong path.
    Nothing {
        /// The status of the answer.
        status: u16,
        /// What it says of it.
        said: String,
    },
}

/// What came of a batch that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Lines of it that were not.
    pub(super) rejected: u64,
    /// What the collector says of them, or else.
    pub(super) said: String,
}

impl Collector {
    /// The one of the configuration. Reads its headers and authorities.
    ///
    /// # Errors
    /// [`CollectorError`].
    pub fn new(options: &Options) -> Result<Self, CollectorError> {
        let endpoint = options.endpoint().map_err(CollectorError::Options)?;
        let endpoint = endpoint.ok_or(CollectorError::NotConfigured)?;
        let mut headers = match &options.headers_file {
            Some(file) => headers::read(file).map_err(CollectorError::Headers)?,
            None => HeaderMap::new(),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(SEND_LIMIT);
        if let Some(file) = &options.ca_file {
            builder = builder.tls_certs_only(authorities(file)?);
        } else if endpoint.scheme() == "http" {
            // No TLS will be spoken: the system's certificates are not read.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| CollectorError::Client(error.to_string()))?;
        Ok(Self { endpoint, client })
    }

    /// Sends a body, at this time.
    ///
    /// # Errors
    /// [`SendFault`].
    pub(super) async fn send(&self, body: Bytes, now: Timestamp) -> Result<Accepted, SendFault> {
        let sent = self.client.post(self.endpoint.clone()).body(body).send().await;
        let mut answer = sent.map_err(|error| SendFault::Unreachable(chain(error)))?;
        let (status, after) = (answer.status(), retry_after(answer.headers(), now));
        let bytes = answer_of(&mut answer).await;
        if status.is_success() {
            let read = ExportLogsServiceResponse::decode(&*bytes?).unwrap_or_default();
            let partial = read.partial_success.unwrap_or_default();
            let rejected = u64::try_from(partial.rejected_log_records).unwrap_or_default();
            return Ok(Accepted { rejected, said: shown(partial.error_message.as_bytes()) });
        }
        let said = bytes.map(|bytes| shown(&bytes)).unwrap_or_default();
        Err(refused(status, after, said))
    }
}

/// What a status says that is no success.
fn refused(status: StatusCode, after: Option<Duration>, said: String) -> SendFault {
    let number = status.as_u16();
    match number {
        429 | 502 | 503 | 504 => SendFault::Later { status: number, after },
        400 | 413 | 422 => SendFault::NotThis { status: number, said },
        _ => SendFault::Nothing { status: number, said },
    }
}

async fn answer_of(answer: &mut Response) -> Result<Vec<u8>, SendFault> {
    let mut bytes = Vec::new();
    loop {
        let piece = answer.chunk().await.map_err(|error| SendFault::Unreachable(chain(error)))?;
        let Some(piece) = piece else { return Ok(bytes) };
        let room = ANSWER_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if bytes.len() >= ANSWER_MAX {
            return Ok(bytes);
        }
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, CollectorError> {
    file_trust::check(file, Above::NobodyElse).map_err(CollectorError::UnsafeAuthorities)?;
    let wrong = || CollectorError::Authorities(file.to_owned());
    let mut pem = Vec::new();
    let opened = File::open(file);
    opened
        .and_then(|opened| opened.take(CA_FILE_MAX).read_to_end(&mut pem))
        .map_err(|_| wrong())?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|_| wrong())?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

/// What went wrong, with its causes; without the URL, which may have a token.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    shown(text.as_bytes())
}

fn shown(said: &[u8]) -> String {
    let said = said.get(..SAID_MAX).unwrap_or(said);
    String::from_utf8_lossy(said).escape_debug().to_string()
}

impl fmt::Display for CollectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => {
                f.write_str("no collector is configured: set otlp.endpoint, see sealgate.toml(5)")
            }
            Self::Options(error) => write!(f, "{error}"),
            Self::Headers(error) => write!(f, "{error}"),
            Self::UnsafeAuthorities(fault) => write!(f, "otlp.ca_file: {fault}"),
            Self::Authorities(file) => write!(
                f,
                "otlp.ca_file {}: expected certificates in PEM, at most {CA_FILE_MAX} bytes",
                file.display()
            ),
            Self::Client(why) => write!(f, "no HTTP client could be made: {why}"),
        }
    }
}

impl std::error::Error for CollectorError {}

impl fmt::Display for SendFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the collector did not answer: {why}"),
            Self::Later { status, .. } => {
                write!(f, "the collector asks for a later try ({status})")
            }
            Self::NotThis { status, said } => {
                write!(f, "the collector does not take what was sent ({status}): {said}")
            }
            Self::Nothing { status, said } => {
                write!(f, "the collector takes nothing from this node ({status}): {said}")
            }
        }
    }
}

impl std::error::Error for SendFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_ask_again() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let of = |text: &'static str| {
            retry_after(&[(RETRY_AFTER, HeaderValue::from_static(text))].into_iter().collect(), now)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sat, 31 Jan 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(of("Sat, 31 Jan 2026 11:00:00 GMT"), Some(Duration::ZERO), "over");
        assert_eq!(of("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn what_a_status_means() {
        let of = |number: u16| refused(StatusCode::from_u16(number).unwrap(), None, String::new());
        for number in [429, 502, 503, 504] {
            assert_eq!(of(number), SendFault::Later { status: number, after: None });
        }
        for number in [400, 413, 422] {
            assert!(matches!(of(number), SendFault::NotThis { .. }), "{number}");
        }
        for number in [301, 401, 403, 404, 405, 500, 501] {
            assert!(matches!(of(number), SendFault::Nothing { .. }), "{number}");
        }
    }
}
