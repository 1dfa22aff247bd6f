//! The names of hosts: how they are taken apart, and which spellings are one name.

use crate::image::DOCKER_HUB_NAMES;

/// The name that credentials and policies know Docker Hub by.
pub(super) const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub's API is.
pub(super) const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// One spelling per name: lower case, no `:443`, Docker Hub's names as one. A name stands for
/// HTTPS; for a place that is spoken to in another way see `Host::place`.
pub(super) fn fold(name: &str) -> String {
    let lower = exact(name);
    let name = lower.strip_suffix(":443").unwrap_or(&lower);
    exact(name)
}

/// A name in lower case, Docker Hub's as one, with the port that it has.
pub(super) fn exact(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    if DOCKER_HUB_NAMES.contains(&lower.as_str()) { DOCKER_HUB.to_owned() } else { lower }
}

/// Splits `name:port`; IPv6 addresses stand in brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (authority, None),
    }
}

/// Containerd's `IsLocalhost`: the name, or a loopback address.
pub(super) fn is_localhost(authority: &str) -> bool {
    let name = split_port(authority).0;
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host with an optional port and nothing else: no scheme, user, path.
pub(super) fn is_authority(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(&format!("https://{text}/")) else { return false };
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    plain
        && !text.is_empty()
        && url.path() == "/"
        && url.username().is_empty()
        && url.host_str().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_spelling() {
        for (a, b) in [
            ("REG.example:443", "reg.example"),
            ("registry-1.docker.io", "docker.io"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(fold(a), fold(b));
        }
        assert_ne!(fold("reg.example:5000"), fold("reg.example"));
        assert_ne!(fold("docker.io.evil.example"), fold("docker.io"));
    }

    #[test]
    fn authorities_are_hosts_and_nothing_else() {
        for good in ["a.example", "a:5000", "[::1]:5000", "10.0.0.1"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in ["", "http://a", "a/b", "u@a", "a?b", "a b", "a:port", "../x"] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
