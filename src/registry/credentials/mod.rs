//! [`Access`] and [`Credentials`]: with what a registry is asked, and whom it may be shown to
//! (attacks E1 and E6, facts P17 and P18). Nothing here prints a secret.
//!
//! Secrets are wiped from memory when they are dropped, and so is what they were read from. What
//! the gate hands on cannot be: request messages, which go to the runtime as they came, and headers
//! inside the HTTP client.

pub(super) mod challenge;
pub(super) mod docker_config;
pub(super) mod helper;
pub(super) mod node;
pub(super) mod pattern;
pub(super) mod program;
pub(super) mod provider;
pub(super) mod provider_config;
pub(super) mod token;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::{alphabet, engine::DecodePaddingMode};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::registry::authority::{exact, is_authority};

/// How Go reads base64: bits that are left over at the end may be anything. Padding is taken off
/// before.
const AS_GO: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The CRI's `AuthConfig` of a PullImageRequest, as it came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// `user:password` in base64.
    pub auth: String,
    /// The registry that these are for; empty for the reference's own host.
    pub server_address: String,
    /// An OAuth2 refresh token.
    pub identity_token: String,
    /// A bearer token that goes to the registry as it is.
    pub registry_token: String,
}

/// Credentials and the one host that they were given for.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Host and port as they were given, in lower case.
    host: String,
    secret: Secret,
}

/// What proves who asks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Secret {
    /// HTTP Basic, and the password of a token request.
    Password { username: String, password: String },
    /// OAuth2 refresh token.
    Refresh(String),
    /// Bearer token, used as it is.
    Bearer(String),
}

/// With whose rights a session asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    credentials: Option<Credentials>,
}

/// Says whether two accesses are the same, without the secret: answers to one are no answers to
/// another (fact P17).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccessKey(Option<[u8; 32]>);

/// Why an `AuthConfig` cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsError {
    /// `auth` is not base64 of `user:password`.
    Auth,
    /// `server_address` is not a host or an address of one.
    ServerAddress,
    /// A field has bytes that no HTTP header can carry.
    Bytes,
}

impl Access {
    /// With the credentials of a request, or with none: then the node's docker `config.json` files
    /// are consulted.
    #[must_use]
    pub fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials }
    }

    /// The credentials of the request.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// For memories: equal only for equal rights.
    #[must_use]
    pub fn key(&self) -> AccessKey {
        AccessKey(self.credentials.as_ref().map(Credentials::fingerprint))
    }
}

impl Credentials {
    /// Takes the `AuthConfig` of a request for an image of `host` (the reference's own, with its
    /// port). None when it holds nothing, as the kubelet sends it for public images. What counts
    /// when several fields are set is what counts for containerd: user name, identity token, auth,
    /// registry token.
    ///
    /// # Errors
    /// [`CredentialsError`] when a field cannot be used; never with its content.
    pub fn from_auth_config(
        auth: &AuthConfig,
        host: &str,
    ) -> Result<Option<Self>, CredentialsError> {
        let Some(secret) = secret_of(auth)? else { return Ok(None) };
        let host = match auth.server_address.as_str() {
            "" => exact(host),
            address => server_host(address).ok_or(CredentialsError::ServerAddress)?,
        };
        Ok(Some(Self { host, secret }))
    }

    pub(super) fn new(host: &str, secret: Secret) -> Self {
        Self { host: exact(host), secret }
    }

    /// The host that they were given for, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The secret whatever the host: the caller has the operator's word for it.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.host.as_bytes(), &self.secret.fingerprint()] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl Secret {
    /// A user name and a password; refuses what HTTP Basic cannot carry.
    pub(super) fn password(username: &str, password: &str) -> Option<Self> {
        let fits = |text: &str| !text.bytes().any(|b| b.is_ascii_control());
        (fits(username) && fits(password) && !username.contains(':')).then(|| Self::Password {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }

    /// `user:password` in base64, as docker writes it (RFC 4648), with or without padding. Line
    /// breaks are passed over, as Go does and as `base64` makes them.
    pub(super) fn from_auth(auth: &str) -> Option<Self> {
        let encoded: Zeroizing<String> =
            Zeroizing::new(auth.chars().filter(|c| !matches!(c, '\r' | '\n')).collect());
        let decoded = Zeroizing::new(AS_GO.decode(encoded.trim_end_matches('=')).ok()?);
        let text = std::str::from_utf8(&decoded).ok()?;
        let (username, password) = text.split_once(':')?;
        Self::password(username, password.trim_matches('\0'))
    }

    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let (kind, parts) = match self {
            Self::Password { username, password } => (b'p', [username.as_str(), password.as_str()]),
            Self::Refresh(token) => (b'r', [token.as_str(), ""]),
            Self::Bearer(token) => (b'b', [token.as_str(), ""]),
        };
        let mut hash = Sha256::new();
        hash.update([kind]);
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    /// The value of `Authorization: Basic`.
    pub(super) fn basic(username: &str, password: &str) -> Zeroizing<String> {
        let plain = Zeroizing::new(format!("{username}:{password}"));
        let encoded = Zeroizing::new(STANDARD.encode(plain.as_bytes()));
        Zeroizing::new(format!("Basic {}", *encoded))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        match self {
            Self::Password { username: _, password } => password.zeroize(),
            Self::Refresh(token) | Self::Bearer(token) => token.zeroize(),
        }
    }
}

/// The secret of an `AuthConfig`, in containerd's order.
fn secret_of(auth: &AuthConfig) -> Result<Option<Secret>, CredentialsError> {
    if !auth.username.is_empty() {
        return Secret::password(&auth.username, &auth.password)
            .map(Some)
            .ok_or(CredentialsError::Bytes);
    }
    if !auth.identity_token.is_empty() {
        return Ok(Some(Secret::Refresh(auth.identity_token.clone())));
    }
    if !auth.auth.is_empty() {
        let secret = Secret::from_auth(&auth.auth).ok_or(CredentialsError::Auth)?;
        // Without a user name it is a refresh token, as an identity token is.
        return Ok(Some(match &secret {
            Secret::Password { username, password } if username.is_empty() => {
                Secret::Refresh(password.clone())
            }
            Secret::Password { .. } | Secret::Refresh(_) | Secret::Bearer(_) => secret,
        }));
    }
    if auth.registry_token.is_empty() {
        return Ok(None);
    }
    let visible = auth.registry_token.bytes().all(|b| b.is_ascii_graphic());
    visible
        .then(|| Some(Secret::Bearer(auth.registry_token.clone())))
        .ok_or(CredentialsError::Bytes)
}

/// The host of a server address, in lower case: `host`, `host:port`, or a URL such as
/// `https://index.docker.io/v1/`.
pub(super) fn server_host(address: &str) -> Option<String> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme))
        .unwrap_or(address);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    is_authority(authority).then(|| exact(authority))
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("host", &self.host).finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auth => "the pull secret's auth is not user:password in base64",
            Self::ServerAddress => "the pull secret's server address is not a host",
            Self::Bytes => "the pull secret has characters that no HTTP header can carry",
        })
    }
}

impl std::error::Error for CredentialsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::hosts::host::{Host, Scheme};

    /// Whether they are for the HTTPS registry of this name.
    fn are_for(credentials: &Credentials, authority: &str) -> bool {
        let host = Host {
            scheme: Scheme::Https,
            authority: authority.to_owned(),
            ..Host::default_for("any.example")
        };
        host.is_called(credentials.host())
    }

    fn auth(username: &str, password: &str, server: &str) -> AuthConfig {
        AuthConfig {
            username: username.to_owned(),
            password: password.to_owned(),
            server_address: server.to_owned(),
            ..AuthConfig::default()
        }
    }

    /// Attack E1: credentials go only to the host that they were given for.
    #[test]
    fn attack_e1_a_secret_is_for_one_host() {
        for (server, reference, good, bad) in [
            ("", "reg.example:5000", "REG.example:5000", "reg.example"),
            ("", "reg.example", "reg.example:443", "mirror.example"),
            ("https://reg.example/v2/", "other.example", "reg.example", "other.example"),
            ("https://index.docker.io/v1/", "docker.io", "registry-1.docker.io", "reg.docker.io"),
            ("", "docker.io", "registry-1.docker.io", "docker.io.evil.example"),
        ] {
            let given =
                Credentials::from_auth_config(&auth("u", "p", server), reference).unwrap().unwrap();
            assert!(are_for(&given, good), "{server} {good}");
            assert!(!are_for(&given, bad), "{server} {bad}");
        }
    }

    #[test]
    fn fields_count_in_containerds_order() {
        let all = AuthConfig {
            auth: "dTpw".to_owned(),
            identity_token: "i".to_owned(),
            registry_token: "r".to_owned(),
            ..AuthConfig::default()
        };
        let secret =
            |auth: &AuthConfig| Credentials::from_auth_config(auth, "h").unwrap().unwrap().secret;
        assert_eq!(secret(&all), Secret::Refresh("i".to_owned()));
        let without = AuthConfig { identity_token: String::new(), ..all.clone() };
        assert_eq!(secret(&without), Secret::password("u", "p").unwrap());
        let token = AuthConfig { auth: String::new(), ..without };
        assert_eq!(secret(&token), Secret::Bearer("r".to_owned()));
        assert_eq!(Credentials::from_auth_config(&AuthConfig::default(), "h"), Ok(None));
    }

    /// What containerd 1.6, 1.7 and 2.x make of fields (`ParseAuth` in their `image_pull.go`), and
    /// where we go on: it takes a server address only as a URL of the very host, and leaves
    /// registry tokens out.
    #[test]
    fn fields_mean_what_they_mean_to_containerd() {
        let given = |auth: AuthConfig| Credentials::from_auth_config(&auth, "reg.example").unwrap();
        let encoded =
            |text: &str| AuthConfig { auth: STANDARD.encode(text), ..AuthConfig::default() };
        let secret = |auth: AuthConfig| given(auth).map(|credentials| credentials.secret.clone());
        assert_eq!(secret(encoded("u:p:q")), Secret::password("u", "p:q"));
        assert_eq!(secret(encoded("u:p\0\0")), Secret::password("u", "p"));
        assert_eq!(secret(encoded("u:")), Secret::password("u", ""));
        assert_eq!(secret(encoded(":t")), Some(Secret::Refresh("t".to_owned())));
        let unpadded = AuthConfig { auth: "dTpw".to_owned(), ..AuthConfig::default() };
        assert_eq!(secret(unpadded), Secret::password("u", "p"));
        for written in ["dTpw\n", "dT\r\npw\r\n", "dTp\nw", "\ndTpw"] {
            let auth = AuthConfig { auth: written.to_owned(), ..AuthConfig::default() };
            assert_eq!(secret(auth), Secret::password("u", "p"), "{written:?}");
        }
        for (written, password) in [("dTpwcA==\n", "pp"), ("dTpwcA=\n=", "pp"), ("dTpwcB==", "pp")]
        {
            let auth = AuthConfig { auth: written.to_owned(), ..AuthConfig::default() };
            assert_eq!(secret(auth), Secret::password("u", password), "{written:?}");
        }
        // A password without a name is nobody's.
        assert_eq!(secret(auth("", "p", "")), None);
        assert_eq!(secret(auth("u", "", "")), Secret::password("u", ""));
        // With the address of another registry: never for the image's own.
        for server in [
            "https://other.example",
            "https://other.example:5000/v2/",
            "other.example",
            "http://reg.example:80",
        ] {
            let credentials = given(auth("u", "p", server)).unwrap();
            assert!(!are_for(&credentials, "reg.example"), "{server}");
        }
        for server in [
            "",
            "https://reg.example",
            "https://reg.example/v1/",
            "http://reg.example",
            "reg.example:443",
        ] {
            let credentials = given(auth("u", "p", server)).unwrap();
            assert!(are_for(&credentials, "reg.example"), "{server}");
        }
        // An address alone is nothing.
        assert_eq!(given(auth("", "", "https://reg.example")), None);
    }

    #[test]
    fn unusable_fields_are_typed() {
        // The last is what `echo u:p | base64` makes: a password that ends in a line break.
        for auth in ["not base64!", "dTpw ", "dT pw", "dTpw\t", "dTpw\n\0", "dTpwCg=="] {
            let bad = AuthConfig { auth: auth.to_owned(), ..AuthConfig::default() };
            assert_eq!(
                Credentials::from_auth_config(&bad, "h"),
                Err(CredentialsError::Auth),
                "{auth:?}"
            );
        }
        assert_eq!(
            Credentials::from_auth_config(&auth("u\n", "p", ""), "h"),
            Err(CredentialsError::Bytes)
        );
        assert_eq!(
            Credentials::from_auth_config(&auth("u", "p", "http://a@b/"), "h"),
            Err(CredentialsError::ServerAddress)
        );
    }

    /// Attack E6: a planted password appears in no Debug output.
    #[test]
    fn attack_e6_debug_shows_no_secret() {
        let config = AuthConfig { auth: "aHVudGVyMg==".to_owned(), ..auth("u", "hunter2", "") };
        let access = Access::new(Credentials::from_auth_config(&config, "h").unwrap());
        let shown = format!(
            "{config:?} {access:?} {:?} {:?}",
            access.key(),
            access.credentials().unwrap().secret
        );
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }

    #[test]
    fn keys_differ_with_the_secret_and_the_host() {
        let key = |user: &str, password: &str, host: &str| {
            Access::new(Credentials::from_auth_config(&auth(user, password, ""), host).unwrap())
                .key()
        };
        assert_eq!(key("u", "p", "h"), key("u", "p", "H"));
        assert_ne!(key("u", "p", "h"), key("u", "q", "h"));
        assert_ne!(key("u", "p", "h"), key("u", "p", "i"));
        assert_ne!(key("ab", "c", "h"), key("a", "bc", "h"));
        assert_ne!(key("u", "p", "h"), Access::default().key());
    }
}
