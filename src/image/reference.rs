//! [`Reference`] and [`Repository`]: what an image is called, normalised as containerd does it.
//!
//! Two spellings are kept apart: the *runtime's* (what containerd will look for, byte for byte) and
//! the *folded* one (what policies match, so that another spelling of the same place is no way
//! around a policy, attack E8). Nothing here asks whether such an image exists.

use std::fmt;

use super::digest::{Digest, DigestError};

/// Longest repository name, host included; what the distribution reference grammar allows.
const NAME_MAX: usize = 255;
/// Longest tag, same source.
const TAG_MAX: usize = 128;
/// What containerd uses for a name without a host.
const DOCKER_HUB: &str = "docker.io";
/// Names of Docker Hub, all one place: equal to `docker.io` for every policy.
pub const DOCKER_HUB_NAMES: [&str; 4] =
    ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// The host of the image by which the gate tests itself. Under `.invalid`, which never resolves (RFC
/// 6761, section 6.4): whatever the gate does, no registry has it.
pub const RESERVED_HOST: &str = "canary.sealgate.invalid";

/// The one spelling of a host that policies match: lower case, no `:443`, Docker Hub's names as one,
/// IPv6 addresses in their canonical form (attack E8).
#[must_use]
pub fn folded_host(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    let lower = canonical_ipv6(&lower).unwrap_or(lower);
    let host = lower.strip_suffix(":443").unwrap_or(&lower);
    if DOCKER_HUB_NAMES.contains(&host) { DOCKER_HUB } else { host }.to_owned()
}

/// Whether a host, in whatever spelling and with whatever port, is [`RESERVED_HOST`].
#[must_use]
pub fn is_reserved_host(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case(RESERVED_HOST)
}

/// A host and a path, `registry.example.com/prod/app`; no tag, no digest.
///
/// Its parts are validated against the distribution reference grammar: safe to put into a URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

/// A normalised image reference: always a repository, and a tag or a digest or both.
///
/// A reference with neither has the tag `latest`. With both, the digest says which image; the tag
/// is kept only so that a policy on exact names can see it (containerd drops it).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    runtime: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing there.
    Empty,
    /// 64 hexadecimal digits: an image id, not a name.
    IsId,
    /// The host part does not follow the grammar.
    Host,
    /// The path does not follow the grammar (lower case, separators).
    Path,
    /// The tag does not follow the grammar.
    Tag,
    /// The digest is none.
    Digest(DigestError),
    /// The name is longer than 255 bytes.
    TooLong,
}

impl Repository {
    /// Parses `host/path`, exactly as written: no default host, nothing folded.
    ///
    /// # Errors
    /// [`ReferenceError`] when a part does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > NAME_MAX {
            return Err(ReferenceError::TooLong);
        }
        let (host, path) = text.split_once('/').ok_or(ReferenceError::Path)?;
        if !is_host(host) {
            return Err(ReferenceError::Host);
        }
        if !is_path(path) {
            return Err(ReferenceError::Path);
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned() })
    }

    /// The host, with its port when there is one.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path below the host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The one spelling of this place that policies match: host in lower case without `:443`,
    /// Docker Hub's other names replaced by `docker.io`, its official images under `library/`.
    #[must_use]
    pub fn folded(&self) -> Self {
        let host = folded_host(&self.host);
        let is_official = host == DOCKER_HUB && !self.path.contains('/');
        let library = if is_official { "library/" } else { "" };
        Self { host, path: format!("{library}{}", self.path) }
    }

    /// Whether its host is [`RESERVED_HOST`]: such an image is refused whatever policies say.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        is_reserved_host(&self.host)
    }

    /// This repository at a digest, `host/path@sha256:…`.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> String {
        format!("{self}@{digest}")
    }
}

impl Reference {
    /// Parses and normalises as containerd's CRI does (distribution reference, `ParseDockerRef`):
    /// short names go to `docker.io/library`, a missing tag is `latest`.
    ///
    /// # Errors
    /// [`ReferenceError`] names the part that does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(ReferenceError::IsId);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(Digest::parse(digest).map_err(ReferenceError::Digest)?))
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag);
        }
        let runtime = Repository::parse(&with_host(name))?;
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { runtime, tag, digest })
    }

    /// The repository as containerd spells it: what is pulled and named.
    #[must_use]
    pub fn runtime_repository(&self) -> &Repository {
        &self.runtime
    }

    /// The repository as policies see it ([`Repository::folded`]).
    #[must_use]
    pub fn repository(&self) -> Repository {
        self.runtime.folded()
    }

    /// The tag; always there when there is no digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that was asked for, when one was.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The canonical tag name under which containerd keeps the image, `docker.io/library/app:1`;
    /// none when the reference has a digest (containerd then keeps `repo@digest` alone, fact P4).
    #[must_use]
    pub fn tag_name(&self) -> Option<String> {
        match (&self.digest, &self.tag) {
            (None, Some(tag)) => Some(format!("{}:{tag}", self.runtime)),
            _ => None,
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.runtime)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the image name is empty"),
            Self::IsId => f.write_str("an image id, not an image name"),
            Self::Host => f.write_str("the host of the image name is malformed"),
            Self::Path => f.write_str(
                "the path of the image name is malformed (lower-case letters, digits, single \
                 separators)",
            ),
            Self::Tag => f.write_str("the tag is malformed (letters, digits, _ . -, at most 128)"),
            Self::Digest(error) => write!(f, "the digest is malformed: {error}"),
            Self::TooLong => f.write_str("the image name is longer than 255 bytes"),
        }
    }
}

impl std::error::Error for ReferenceError {}

/// Splits `name:tag`; a colon before the last slash belongs to the host's port.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    }
}

/// Adds the host that containerd assumes when the first part is not one.
fn with_host(name: &str) -> String {
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if looks_like_host(first) => (first, path),
        _ => (DOCKER_HUB, name),
    };
    let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
    if host == DOCKER_HUB && !path.contains('/') {
        return format!("{host}/library/{path}");
    }
    format!("{host}/{path}")
}

/// The rule of the distribution reference: a dot, a port, `localhost`, or an upper-case letter
/// makes it a host.
fn looks_like_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, rest)) => {
                return is_ipv6(v6)
                    && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    port.is_none_or(is_port) && name.split('.').all(is_label) && !is_disguised_address(name)
}

/// An IPv4 address in another spelling than the usual one: `10.5`, `0x7f.1`, `167772165`. Resolvers
/// that know those read them as addresses, and one place would have a second name that no policy is
/// about (attack E8).
fn is_disguised_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")).is_some_and(hexadecimal);
    number && name.parse::<std::net::Ipv4Addr>().is_err()
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// The one spelling of an IPv6 host (RFC 5952), its port kept, and of an IPv4 address that is
/// written as one; none for any other host.
fn canonical_ipv6(host: &str) -> Option<String> {
    let (address, port) = host.strip_prefix('[')?.split_once(']')?;
    let address: std::net::Ipv6Addr = address.parse().ok()?;
    Some(match address.to_ipv4_mapped() {
        Some(v4) => format!("{v4}{port}"),
        None => format!("[{address}]{port}"),
    })
}

/// One spelling of each port: `0443` is `443` to the runtime, and to no policy (attack E8).
fn is_port(port: &str) -> bool {
    !port.starts_with('0')
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

fn is_label(label: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    edge(label.bytes().next())
        && edge(label.bytes().last())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_component)
}

/// Whether a text is one part of a repository's path: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
#[must_use]
pub fn is_component(component: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edge = |b: Option<u8>| b.is_some_and(alnum);
    edge(component.bytes().next())
        && edge(component.bytes().last())
        && component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(
            |separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            },
        )
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests;
