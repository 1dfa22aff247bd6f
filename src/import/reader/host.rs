//! Hosts that other programs tell apart and Sealgate takes for one: `registry-1.docker.io` is
//! `docker.io` here, and `reg.example:443` is `reg.example` ([`folded_host`]). A rule about one of the
//! names may not become a rule about all of them in silence, and none about fewer images (attack
//! E8).

use crate::image::{DOCKER_HUB_NAMES, folded_host};

/// Docker Hub's name here.
pub(in crate::import) const HUB: &str = "docker.io";
/// What a name may end with and mean the same place.
const HTTPS: &str = ":443";

/// The hosts that a pattern's host, or some of the hosts that it matches, become here; none where
/// every host keeps its name, or another that the pattern matches as well.
pub(in crate::import) fn folded(host: &str) -> Vec<String> {
    let folded = folded_host(host);
    let is_folded = folded != host;
    let Some((start, end)) = host.rsplit_once('*') else {
        return if is_folded { vec![folded] } else { Vec::new() };
    };
    let is_hub = |name: &&str| is_like(host, name) || is_like(host, &format!("{name}{HTTPS}"));
    let mut hosts = Vec::new();
    if DOCKER_HUB_NAMES.iter().any(is_hub) && !is_like(host, HUB) {
        hosts.push(HUB.to_owned());
    }
    if is_folded {
        hosts.push(folded);
        return hosts;
    }
    match host.rsplit_once(':') {
        Some((name, port)) if is_like(port, "443") => hosts.push(name.to_owned()),
        None if !end.is_empty() && HTTPS.ends_with(end) => hosts.push(format!("{start}*")),
        Some(_) | None => {}
    }
    hosts
}

/// A pattern under another host, and where that is Docker Hub's and the path may be an official
/// image's, under `library/` as well.
pub(in crate::import) fn under(host: &str, path: &str) -> Vec<String> {
    let mut patterns = vec![format!("{host}/{path}")];
    if is_like(host, HUB) && !path.contains('/') {
        patterns.push(format!("{host}/library/{path}"));
    }
    patterns
}

/// Whether a text is what a pattern says, in which `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_another_here() {
        for (host, expected) in [
            ("ghcr.io", &[][..]),
            ("docker.io", &[]),
            ("*", &[]),
            ("**", &[]),
            ("*.io", &[]),
            ("*docker.io", &[]),
            ("reg.example:5000", &[]),
            ("reg.example:5*", &[]),
            ("app*", &[]),
            ("*e", &[]),
            ("registry-1.docker.io", &["docker.io"]),
            ("registry.hub.docker.com:443", &["docker.io"]),
            ("Reg.example", &["reg.example"]),
            ("reg.example:443", &["reg.example"]),
            ("reg.example:*", &["reg.example"]),
            ("*.docker.io", &["docker.io"]),
            ("*.docker.com", &["docker.io"]),
            ("reg*", &["docker.io"]),
            ("r*-1.d*.io", &["docker.io"]),
            // Docker Hub with its port, beside every other host with it.
            ("reg*:443", &["docker.io", "reg*"]),
            ("*:4*3", &["docker.io", "*"]),
            ("r*3", &["docker.io", "r*"]),
            ("*.docker.io:*", &["docker.io", "*.docker.io"]),
        ] {
            assert_eq!(folded(host), expected, "{host}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b*c", "axbyc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            ("*a*a*", "ba", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
