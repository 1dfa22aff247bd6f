//! [`Options`]: the table `[otlp]` of the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

/// Attributes of the resource that a configuration may add: a node has a handful.
const RESOURCE_MAX: usize = 32;
/// Longest name and longest value of one, in bytes.
const ATTRIBUTE_MAX: usize = 256;

/// Where the audit log is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The collector's URL for logs, whole: `https://collector.example:4318/v1/logs`. Without one
    /// nothing is sent.
    pub endpoint: Option<String>,
    /// Whether an endpoint of `http:` may be on another machine: who is on the way then reads and
    /// changes what the log says.
    pub insecure_http: bool,
    /// A file of header lines, `Name: value`, that are sent with each request; for a token.
    pub headers_file: Option<PathBuf>,
    /// A PEM file of the authorities that the collector's certificate may come from, in place of the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// Where the exporter remembers how far it came.
    pub cursor: PathBuf,
    /// What else is said of this node with each batch, such as `k8s.cluster.name`.
    pub resource: BTreeMap<String, String>,
}

/// What is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionsError {
    /// The endpoint is no URL of a collector.
    Endpoint(&'static str),
    /// Too many attributes.
    TooMany,
    /// An attribute that cannot be one.
    Attribute {
        /// Its name, as written.
        name: String,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            insecure_http: false,
            headers_file: None,
            ca_file: None,
            cursor: PathBuf::from("/var/lib/sealgate/otlp/cursor.json"),
            resource: BTreeMap::new(),
        }
    }
}

impl Options {
    /// The endpoint; none where there is none.
    ///
    /// # Errors
    /// [`OptionsError::Endpoint`].
    pub fn endpoint(&self) -> Result<Option<Url>, OptionsError> {
        let Some(text) = &self.endpoint else { return Ok(None) };
        let wrong = OptionsError::Endpoint;
        let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.insecure_http || is_loopback(&url) => {}
            "http" => {
                return Err(wrong(
                    "needs https:// unless it is on this machine, or insecure_http = true",
                ));
            }
            _ => return Err(wrong("needs https:// or http://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not have a user or password; name a headers_file"));
        }
        if url.path() == "/" {
            return Err(wrong("needs the whole path, for most collectors /v1/logs"));
        }
        Ok(Some(url))
    }

    /// Whether these can be used.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn check(&self) -> Result<(), OptionsError> {
        self.endpoint()?;
        if self.resource.len() > RESOURCE_MAX {
            return Err(OptionsError::TooMany);
        }
        let is_name = |name: &str| {
            let is_plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
            !name.is_empty() && name.len() <= ATTRIBUTE_MAX && name.bytes().all(is_plain)
        };
        let wrong = self
            .resource
            .iter()
            .find(|(name, value)| !is_name(name) || value.len() > ATTRIBUTE_MAX);
        wrong.map_or(Ok(()), |(name, _)| Err(OptionsError::Attribute { name: name.clone() }))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(problem) => write!(f, "otlp.endpoint {problem}"),
            Self::TooMany => write!(f, "otlp.resource has more than {RESOURCE_MAX} attributes"),
            Self::Attribute { name } => write!(
                f,
                "otlp.resource: {name:?} is no attribute: a name of lower case letters, digits, dots, \
                 dashes and underscores, and a value, of at most {ATTRIBUTE_MAX} bytes each"
            ),
        }
    }
}

impl std::error::Error for OptionsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str) -> Options {
        Options { endpoint: Some(endpoint.to_owned()), ..Options::default() }
    }

    #[test]
    fn an_endpoint_is_a_whole_url() {
        for good in [
            "https://collector.example/v1/logs",
            "https://collector.example/loki/otlp/v1/logs?tenant=a",
            "http://127.0.0.1:4318/v1/logs",
            "http://[::1]:4318/v1/logs",
            "http://localhost:4318/v1/logs",
        ] {
            assert_eq!(of(good).check(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "collector.example",
            "https://collector.example",
            "https://a:b@collector.example/v1/logs",
            "http://collector.example/v1/logs",
            "http://127.0.0.1.example/v1/logs",
            "grpc://collector.example/v1/logs",
        ] {
            assert!(matches!(of(bad).check(), Err(OptionsError::Endpoint(_))), "{bad}");
        }
        let other = Options { insecure_http: true, ..of("http://collector.example/v1/logs") };
        assert_eq!(other.check(), Ok(()));
        assert_eq!(Options::default().endpoint(), Ok(None));
    }

    #[test]
    fn attributes_are_few_and_plain() {
        let with = |name: &str, value: &str| Options {
            resource: [(name.to_owned(), value.to_owned())].into(),
            ..Options::default()
        };
        assert_eq!(with("k8s.cluster.name", "prod").check(), Ok(()));
        for (name, value) in [("", "x"), ("A", "x"), ("a b", "x"), ("a", &*"x".repeat(257))] {
            let wrong = OptionsError::Attribute { name: name.to_owned() };
            assert_eq!(with(name, value).check(), Err(wrong));
        }
        let resource = (0..=RESOURCE_MAX).map(|n| (format!("a{n}"), String::new())).collect();
        let many = Options { resource, ..Options::default() };
        assert_eq!(many.check(), Err(OptionsError::TooMany));
    }
}
