//! [`Auth`]: who may use the registry, and its token service (Docker token authentication
//! specification).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Shared;
use super::answer::{Body, error, full};

/// How the registry authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Everybody may do everything.
    Anonymous,
    /// HTTP Basic with this user and password.
    Basic { user: String, password: String },
    /// Bearer tokens of a realm: `<own address>/token` unless another one is named.
    Bearer { user: String, password: String, anonymous: bool, realm: Option<String> },
}

impl Auth {
    /// Basic with the user `robot`.
    pub fn basic(password: &str) -> Self {
        Self::Basic { user: "robot".to_owned(), password: password.to_owned() }
    }

    /// Bearer with the user `robot`, tokens for him alone.
    pub fn bearer(password: &str) -> Self {
        Self::Bearer {
            user: "robot".to_owned(),
            password: password.to_owned(),
            anonymous: false,
            realm: None,
        }
    }

    /// Bearer tokens for everybody.
    pub fn open_bearer() -> Self {
        Self::Bearer {
            user: "robot".to_owned(),
            password: "-".to_owned(),
            anonymous: true,
            realm: None,
        }
    }
}

/// The refresh token ("identity token") that the token service takes in place of a password.
pub const REFRESH_TOKEN: &str = "refresh-me";

/// The one token that the token service gives out; it is good for every scope.
pub const TOKEN: &str = "token-of-the-test-registry";

/// The refusal when a request to the API may not pass.
pub(crate) fn refusal(
    shared: &Shared,
    authorization: Option<&str>,
    path: &str,
) -> Option<http::Response<Body>> {
    let challenge = match &shared.settings.auth {
        Auth::Anonymous => return None,
        Auth::Basic { user, password } => {
            if authorization == Some(basic(user, password).as_str()) {
                return None;
            }
            r#"Basic realm="test registry""#.to_owned()
        }
        Auth::Bearer { realm, .. } => {
            if authorization == Some(format!("Bearer {TOKEN}").as_str()) {
                return None;
            }
            let realm = realm.clone().unwrap_or_else(|| format!("{}/token", shared.origin));
            let scope = scope(path);
            format!(r#"Bearer realm="{realm}",service="test registry",scope="{scope}""#)
        }
    };
    let mut response = error(401, "UNAUTHORIZED");
    response.headers_mut().insert("www-authenticate", challenge.parse().expect("a challenge"));
    Some(response)
}

/// The answer of `/token`: GET with Basic, or POST with a refresh token (OAuth2).
pub(crate) fn token(
    shared: &Shared,
    authorization: Option<&str>,
    form: &str,
) -> http::Response<Body> {
    let Auth::Bearer { user, password, anonymous, .. } = &shared.settings.auth else {
        return error(404, "UNKNOWN");
    };
    let known = match authorization {
        Some(given) => given == basic(user, password),
        None => {
            *anonymous
                || form.split('&').any(|pair| pair == format!("refresh_token={REFRESH_TOKEN}"))
        }
    };
    if !known {
        return error(401, "UNAUTHORIZED");
    }
    let name = if form.is_empty() { "token" } else { "access_token" };
    let body = format!(r#"{{"{name}":"{TOKEN}","expires_in":300}}"#);
    full(200, &[("content-type", "application/json".to_owned())], body.into_bytes())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn scope(path: &str) -> String {
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    let end = ["/manifests/", "/blobs/", "/referrers/", "/tags/"]
        .iter()
        .filter_map(|part| rest.find(part))
        .min();
    end.and_then(|end| rest.get(..end))
        .map(|name| format!("repository:{name}:pull"))
        .unwrap_or_default()
}
