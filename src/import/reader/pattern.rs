//! Patterns of images of other programs as patterns of repositories.
//!
//! Theirs are matched against a whole reference with its tag or digest, ours against the
//! repository. A pattern that tells tags apart is none here.

use super::fault::{Notice, Omission};
use super::host;
use super::tree::{Findings, Tree};
use crate::policy::{ImageScope, PolicyFault, ScopeFault};

/// Patterns of repositories, and what is to be known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct Patterns {
    pub(in crate::import) patterns: Vec<String>,
    /// The pattern named no tag, and stands for every tag here.
    pub(in crate::import) is_widened: bool,
    /// What these patterns do not say of it; they are about more then, never about less.
    pub(in crate::import) omission: Option<Omission>,
}

/// Characters of patterns that no name has.
const NO_NAME: [char; 8] = ['?', '[', ']', '{', '}', '!', '\\', '@'];
/// Docker Hub's names in a reference.
const HUB: [&str; 2] = [host::HUB, "index.docker.io"];
/// Every image: what is left of a pattern that cannot be said.
const EVERYTHING: &str = "**";

/// A glob of policy-controller: `*` stands for anything but a slash, `**` for anything.
pub(in crate::import) fn cluster_image_policy(glob: &str) -> Patterns {
    checked(glob, policy_controller)
}

/// A glob of Kyverno's ImageValidatingPolicy: `*` stands for anything, slashes as well.
pub(in crate::import) fn image_validating_policy(glob: &str) -> Patterns {
    checked(glob, kyverno)
}

/// A glob of Talos: `*` stands for anything, slashes as well, and the repository alone is matched.
/// None where no repository in its full form is meant.
pub(in crate::import) fn talos(glob: &str) -> Option<Patterns> {
    let domain = glob.split('/').next().unwrap_or_default();
    let is_host = domain.contains(['.', ':', '*']) || domain.eq_ignore_ascii_case("localhost");
    let is_official = |path: &str| !path.contains(['/', '*']);
    let is_hub = |domain: &str| HUB.contains(&domain.to_ascii_lowercase().as_str());
    match glob.split_once('/') {
        _ if !is_host => return None,
        None if !glob.contains('*') => return None,
        // Docker Hub's repositories have two parts.
        Some((domain, path)) if is_hub(domain) && is_official(path) => return None,
        None | Some(_) => {}
    }
    Some(checked(glob, talos_patterns))
}

/// A repository by its whole name.
pub(in crate::import) fn repository(name: &str) -> Patterns {
    checked(name, |name| (!name.contains('*')).then(|| Patterns::all(vec![name.to_owned()])))
}

/// Adds the patterns of a glob, and says what is to be said. What lets through without proof may not
/// be about more than it was.
pub(in crate::import) fn add(
    images: &mut Vec<String>,
    found: Patterns,
    is_permissive: bool,
    (at, text): (&Tree<'_>, &str),
    findings: &mut Findings,
) {
    let widened = found.is_widened.then(|| Omission::Pattern { got: text.to_owned() });
    let is_more = widened.is_some() || found.omission.is_some();
    match (found.omission, widened.filter(|_| is_permissive)) {
        (Some(omission), _) | (None, Some(omission)) => findings.omit(at.origin(), omission),
        (None, None) if found.is_widened => findings.notice(at.origin(), Notice::EveryTag),
        (None, None) => {}
    }
    if !(is_permissive && is_more) {
        let new: Vec<String> =
            found.patterns.into_iter().filter(|one| !images.contains(one)).collect();
        images.extend(new);
    }
}

/// What a reader makes of a glob, where every pattern of it can be one here.
fn checked(glob: &str, read: fn(&str) -> Option<Patterns>) -> Patterns {
    let everything = |omission| Patterns {
        patterns: vec![EVERYTHING.to_owned()],
        is_widened: false,
        omission: Some(omission),
    };
    let Some(found) = read(glob).map(told_of_hosts) else {
        return everything(Omission::Pattern { got: glob.to_owned() });
    };
    match ImageScope::new(&found.patterns, &[]) {
        Ok(_) => found,
        Err(ScopeFault::Image { fault, .. }) => {
            everything(Omission::Refused(PolicyFault::Pattern(fault)))
        }
        Err(ScopeFault::Unbounded | ScopeFault::Namespace { .. }) => {
            everything(Omission::Pattern { got: glob.to_owned() })
        }
    }
}

/// The patterns, and those of the hosts that theirs are here: then it is said.
fn told_of_hosts(mut found: Patterns) -> Patterns {
    let mut more = Vec::new();
    let mut others = None;
    for pattern in &found.patterns {
        let Some((host, path)) = pattern.split_once('/') else { continue };
        let hosts = host::folded(host);
        more.extend(hosts.iter().flat_map(|other| host::under(other, path)));
        others =
            (!hosts.is_empty()).then(|| Omission::Folded { as_: hosts.join(" and ") }).or(others);
    }
    found.patterns.extend(more);
    Patterns { omission: found.omission.or(others), ..found }
}

fn policy_controller(glob: &str) -> Option<Patterns> {
    let full = match glob {
        "*" => "docker.io/library/*",
        "*/*" => "docker.io/*/*",
        other => other,
    };
    let full = without_index(full);
    if full == EVERYTHING {
        return Some(Patterns::all(vec![EVERYTHING.to_owned()]));
    }
    let (folder, last) = full.rsplit_once('/')?;
    let (last, tag) = last.split_once(':').map_or((last, None), |(name, tag)| (name, Some(tag)));
    if last.is_empty() || last.contains('@') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for (number, part) in folder.split('/').enumerate() {
        match part {
            // At least one part: between two slashes there is something.
            "**" => parts.extend(["*", "**"]),
            part if part.contains("**") || (number > 0 && part.contains(':')) => return None,
            part => parts.push(part),
        }
    }
    let folder = parts.join("/");
    let patterns = match last.strip_suffix("**") {
        Some("") => vec![format!("{folder}/**")],
        Some(begin) if !begin.contains("**") => {
            vec![format!("{folder}/{begin}*"), format!("{folder}/{begin}*/**")]
        }
        Some(_) => return None,
        None if last.contains("**") => return None,
        None => vec![format!("{folder}/{last}")],
    };
    let omission = tag.filter(|tag| !matches!(*tag, "*" | "**")).map(|_| Omission::TagScope);
    Some(Patterns { patterns, is_widened: tag.is_none() && !last.ends_with('*'), omission })
}

fn talos_patterns(glob: &str) -> Option<Patterns> {
    if glob.contains(NO_NAME) {
        return None;
    }
    if glob.bytes().all(|b| b == b'*') {
        return Some(Patterns::all(vec![EVERYTHING.to_owned()]));
    }
    let (domain, path) = glob.split_once('/')?;
    let host = domain.to_ascii_lowercase();
    let host = if HUB.contains(&host.as_str()) { host::HUB } else { host.as_str() };
    if host.contains('*') || path.is_empty() || path.contains(':') {
        return None;
    }
    let (mut patterns, is_exact) = crossing(host, path);
    // Its repositories have two parts: none is what a single part means there.
    if host == host::HUB {
        patterns.retain(|one| one.matches('/').count() > 1 || one.ends_with("/**"));
    }
    let omission = (!is_exact).then(|| Omission::Pattern { got: glob.to_owned() });
    Some(Patterns { patterns, is_widened: false, omission })
}

fn kyverno(glob: &str) -> Option<Patterns> {
    if glob.contains(NO_NAME) {
        return None;
    }
    if glob.bytes().all(|b| b == b'*') {
        return (!glob.is_empty()).then(|| Patterns::all(vec![EVERYTHING.to_owned()]));
    }
    let full = without_index(glob);
    let (host, path) = full.split_once('/')?;
    // A wildcard in the host, which may stand for a part of the path as well.
    if host.contains('*') || path.is_empty() {
        return None;
    }
    let (path, tag) = path.split_once(':').map_or((path, None), |(path, tag)| (path, Some(tag)));
    let (patterns, is_exact) = crossing(host, path);
    if !is_exact {
        let omission = Some(Omission::Pattern { got: glob.to_owned() });
        return Some(Patterns { patterns, is_widened: false, omission });
    }
    let omission = tag.filter(|tag| *tag != "*").map(|_| Omission::TagScope);
    let is_widened = tag.is_none() && !path.ends_with('*');
    Some(Patterns { patterns, is_widened, omission })
}

/// The patterns of a path in which `*` crosses slashes, and whether they say all of it. Where
/// something follows a wildcard they are about more, never about less.
pub(in crate::import) fn crossing(host: &str, path: &str) -> (Vec<String>, bool) {
    let Some(at) = path.find('*') else { return (vec![format!("{host}/{path}")], true) };
    let before = path.get(..at).unwrap_or_default();
    let folder = before.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let part = before.rsplit('/').next().unwrap_or_default();
    let is_last = path.trim_end_matches('*').len() == at;
    let patterns = match (is_last, part) {
        (true, "") | (false, _) => vec![format!("{host}/{folder}**")],
        (true, part) => {
            vec![format!("{host}/{folder}{part}*"), format!("{host}/{folder}{part}*/**")]
        }
    };
    (patterns, is_last)
}

fn without_index(glob: &str) -> &str {
    glob.strip_prefix("index.").filter(|rest| rest.starts_with("docker.io/")).unwrap_or(glob)
}

impl Patterns {
    fn all(patterns: Vec<String>) -> Self {
        Self { patterns, is_widened: false, omission: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn globs_of_policy_controller() {
        for (glob, expected, is_widened) in [
            ("**", &["**"][..], false),
            ("*", &["docker.io/library/*"], false),
            ("*/*", &["docker.io/*/*"], false),
            ("index.docker.io/library/*", &["docker.io/library/*"], false),
            ("ghcr.io/acme/**", &["ghcr.io/acme/**"], false),
            ("ghcr.io/acme/*", &["ghcr.io/acme/*"], false),
            ("ghcr.io/acme/app*", &["ghcr.io/acme/app*"], false),
            ("ghcr.io/acme/app**", &["ghcr.io/acme/app*", "ghcr.io/acme/app*/**"], false),
            ("ghcr.io/acme/app:*", &["ghcr.io/acme/app"], false),
            ("ghcr.io/acme/app:**", &["ghcr.io/acme/app"], false),
            ("ghcr.io/acme/app", &["ghcr.io/acme/app"], true),
            ("ghcr.io/**/app*", &["ghcr.io/*/**/app*"], false),
            ("**/app*", &["*/**/app*"], false),
            ("reg.example:5000/*/app*", &["reg.example:5000/*/app*"], false),
        ] {
            let expected = Patterns { patterns: patterns(expected), is_widened, omission: None };
            assert_eq!(cluster_image_policy(glob), expected, "{glob}");
        }
    }

    #[test]
    fn globs_of_kyverno() {
        for (glob, expected, is_widened) in [
            ("*", &["**"][..], false),
            ("ghcr.io/*", &["ghcr.io/**"], false),
            ("ghcr.io/acme/*", &["ghcr.io/acme/**"], false),
            ("ghcr.io/acme/app*", &["ghcr.io/acme/app*", "ghcr.io/acme/app*/**"], false),
            ("ghcr.io/acme/app:*", &["ghcr.io/acme/app"], false),
            ("ghcr.io/acme/app", &["ghcr.io/acme/app"], true),
        ] {
            let expected = Patterns { patterns: patterns(expected), is_widened, omission: None };
            assert_eq!(image_validating_policy(glob), expected, "{glob}");
        }
        for (glob, expected) in [
            ("ghcr.io/acme/*/app", "ghcr.io/acme/**"),
            ("ghcr.io/acme/a*p:v1", "ghcr.io/acme/**"),
            ("ghcr.io/acme/app:v1", "ghcr.io/acme/app"),
            ("*acme*", "**"),
            ("nginx", "**"),
            ("ghcr.io/{a,b}/c", "**"),
            ("ghcr.io/acme/app@sha256:*", "**"),
        ] {
            let found = image_validating_policy(glob);
            assert_eq!(found.patterns, [expected], "{glob}");
            assert!(found.omission.is_some(), "{glob}");
        }
    }

    /// Attack E8: `registry-1.docker.io` is Docker Hub here, and another host in the other program. A
    /// rule about it is told, and lets nothing of Docker Hub through.
    #[test]
    fn attack_e8_a_host_that_is_folded_here_is_told() {
        let readers: [fn(&str) -> Option<Patterns>; 4] = [
            |glob| Some(cluster_image_policy(glob)),
            |glob| Some(image_validating_policy(glob)),
            |glob| Some(repository(glob.trim_end_matches("/*"))),
            talos,
        ];
        for (host, expected) in [
            ("registry-1.docker.io", "docker.io"),
            ("registry.hub.docker.com", "docker.io"),
            ("docker.io:443", "docker.io"),
            ("reg.example:443", "reg.example"),
        ] {
            for read in readers {
                let found = read(&format!("{host}/acme/*")).unwrap();
                let folded = Omission::Folded { as_: expected.to_owned() };
                assert_eq!(found.omission, Some(folded), "{host}");
                let begins = format!("{expected}/acme");
                assert!(found.patterns.iter().any(|one| one.starts_with(&begins)), "{found:?}");
            }
        }
        let found = cluster_image_policy("*.docker.io/nginx");
        let expected = ["*.docker.io/nginx", "docker.io/nginx", "docker.io/library/nginx"];
        assert_eq!(found.patterns, patterns(&expected));
        assert!(found.omission.is_some());
    }

    #[test]
    fn globs_of_talos() {
        for (glob, expected) in [
            ("**", &["**"][..]),
            ("registry.k8s.io/*", &["registry.k8s.io/**"]),
            ("GHCR.io/acme/app*", &["ghcr.io/acme/app*", "ghcr.io/acme/app*/**"]),
            ("ghcr.io/acme/app", &["ghcr.io/acme/app"]),
            ("reg.example:5000/*", &["reg.example:5000/**"]),
            (
                "index.docker.io/library/alpine*",
                &["docker.io/library/alpine*", "docker.io/library/alpine*/**"],
            ),
            ("docker.io/*", &["docker.io/**"]),
            ("docker.io/ng*", &["docker.io/ng*/**"]),
        ] {
            let expected =
                Patterns { patterns: patterns(expected), is_widened: false, omission: None };
            assert_eq!(talos(glob), Some(expected), "{glob}");
        }
        // No repository in its full form begins so.
        for glob in ["nginx", "my-registry/*", "docker.io", "docker.io/nginx", "library/nginx"] {
            assert_eq!(talos(glob), None, "{glob}");
        }
        for glob in ["docker.io*", "*.example.com/*", "ghcr.io/acme/app:v1", "ghcr.io/Acme/*x"] {
            let found = talos(glob).unwrap();
            assert!(found.omission.is_some(), "{glob}");
        }
    }

    /// A tag in a glob, and wildcards that cross parts in the middle of one: the patterns are about
    /// more, never about less.
    #[test]
    fn what_no_pattern_says_is_about_more() {
        for (glob, expected) in [
            ("ghcr.io/acme/app:v1*", "ghcr.io/acme/app"),
            ("ghcr.io/acme/app:v1", "ghcr.io/acme/app"),
            ("ghcr.io/acme/app@sha256:*", "**"),
            ("ghcr.io/ac**me/app*", "**"),
            ("ghcr.io/acme/a**p", "**"),
            ("ghcr.io/acme/a**p**", "**"),
            ("nginx", "**"),
            ("ghcr.io/", "**"),
            ("ghcr.io/a:b/c*", "**"),
            ("index.docker.io/*", "**"),
        ] {
            let found = cluster_image_policy(glob);
            assert_eq!(found.patterns, [expected], "{glob}");
            assert!(found.omission.is_some(), "{glob}");
        }
    }
}
