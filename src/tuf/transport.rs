//! [`Mirror`]: the requests of an update.
//!
//! HTTPS unless the mirror's URL says `http:` (what is fetched is signed and checked, wherever it
//! came from). No redirect is followed: a repository serves its files where it is, and a mirror
//! elsewhere is configured as such. No proxy of the environment, no compression, no retries; bodies
//! are read piece by piece up to their limit. The time of all requests together is bounded by
//! whoever asks.

use std::time::Duration;

use reqwest::{Client, Proxy, StatusCode, Url};
use sigstore_tuf::Repository;
use sigstore_tuf::transport::FetchFuture;

use super::error::{FetchError, UpdateError, chain};

/// To connect, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer: a mirror that says nothing for longer is down.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// Header lines of an answer, hyper's own default.
const HEADER_LINES_MAX: usize = 100;
/// Header bytes of an answer over HTTP/2.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// What mirrors see in their logs.
const USER_AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));

/// A TUF repository over HTTP: metadata at its URL, targets in `targets/` below.
#[derive(Debug)]
pub(super) struct Mirror {
    base: Url,
    client: Client,
}

impl Mirror {
    /// # Errors
    /// [`UpdateError::Mirror`] and [`UpdateError::Proxy`] for a URL that cannot be one.
    pub(super) fn new(mirror: &str, proxy: Option<&str>) -> Result<Self, UpdateError> {
        let wrong = |problem| UpdateError::Mirror { url: mirror.to_owned(), problem };
        let mut base = Url::parse(mirror).map_err(|_| wrong("is no URL"))?;
        if !matches!(base.scheme(), "https" | "http") {
            return Err(wrong("needs https:// or http://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("must not have a user or password"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("must not have a query or fragment"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let client = client(base.scheme() == "http", proxy)?;
        Ok(Self { base, client })
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let url = self.url(path)?;
        let at = || url.to_string();
        let sent = self.client.get(url.clone()).send().await;
        let mut answer = sent.map_err(|error| FetchError::Unreachable {
            url: at(),
            why: chain(&error.without_url()),
        })?;
        let status = answer.status();
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            // Object stores answer 403 for what is not there.
            return Ok(None);
        }
        if status.is_redirection() {
            let to = answer
                .headers()
                .get("location")
                .and_then(|to| to.to_str().ok())
                .unwrap_or_default();
            return Err(FetchError::Redirect {
                url: at(),
                to: to.chars().take(URL_SHOWN).collect(),
            });
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status { url: at(), status: status.as_u16() });
        }
        let mut bytes = Vec::new();
        loop {
            let piece = answer.chunk().await;
            let piece = piece.map_err(|error| FetchError::BrokenOff {
                url: at(),
                why: chain(&error.without_url()),
            })?;
            let Some(piece) = piece else { return Ok(Some(bytes)) };
            if u64::try_from(bytes.len().saturating_add(piece.len()))
                .is_ok_and(|length| length > limit)
            {
                return Err(FetchError::TooLarge { url: at(), limit });
            }
            bytes.extend_from_slice(&piece);
        }
    }

    /// The URL of a file; metadata names it, so it must not lead out of the repository.
    fn url(&self, path: &str) -> Result<Url, FetchError> {
        let outside = || FetchError::Outside { path: path.to_owned() };
        let url = self.base.join(path).map_err(|_| outside())?;
        let inside = url.origin() == self.base.origin()
            && url.path().starts_with(self.base.path())
            && url.query().is_none()
            && url.fragment().is_none();
        if inside { Ok(url) } else { Err(outside()) }
    }
}

/// How much of a redirect's target is shown.
const URL_SHOWN: usize = 256;

fn client(plain: bool, proxy: Option<&str>) -> Result<Client, UpdateError> {
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(READ_LIMIT)
        .http1_max_headers(HEADER_LINES_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .https_only(!plain);
    if let Some(proxy) = proxy {
        // What stands before the host is a user and password: not repeated.
        let wrong =
            || UpdateError::Proxy { url: proxy.rsplit('@').next().unwrap_or_default().to_owned() };
        let url = Url::parse(proxy).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong());
        }
        builder = builder.proxy(Proxy::all(url).map_err(|_| wrong())?);
    }
    if plain && proxy.is_none_or(|proxy| proxy.starts_with("http:")) {
        // No TLS will be spoken: the system's certificates are not read.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| UpdateError::Client(chain(&error)))
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.get(name, max_length).await.map_err(into_tuf) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(
            async move { self.get(&format!("targets/{path}"), max_length).await.map_err(into_tuf) },
        )
    }
}

fn into_tuf(error: FetchError) -> sigstore_tuf::Error {
    sigstore_tuf::Error::transport_with_source("the mirror", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_plain_url() {
        for good in ["https://tuf.example", "https://tuf.example/a/b/", "http://127.0.0.1:8080"] {
            assert!(Mirror::new(good, None).is_ok(), "{good}");
        }
        for bad in [
            "",
            "tuf.example",
            "ftp://tuf.example",
            "file:///etc",
            "https://a:b@tuf.example",
            "https://t.example?x",
        ] {
            assert!(matches!(Mirror::new(bad, None), Err(UpdateError::Mirror { .. })), "{bad}");
        }
        for bad in ["", "proxy:80", "socks5://proxy:80"] {
            assert!(
                matches!(
                    Mirror::new("http://t.example", Some(bad)),
                    Err(UpdateError::Proxy { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn no_name_leads_out_of_the_mirror() {
        let mirror = Mirror::new("http://tuf.example/a", None).unwrap();
        assert_eq!(mirror.url("1.root.json").unwrap().as_str(), "http://tuf.example/a/1.root.json");
        for bad in [
            "../x",
            "/x",
            "//other.example/x",
            "http://other.example/x",
            "targets/../../x",
            "x?y",
            "x#y",
        ] {
            assert!(matches!(mirror.url(bad), Err(FetchError::Outside { .. })), "{bad}");
        }
    }
}
