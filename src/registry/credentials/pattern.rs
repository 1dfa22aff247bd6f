//! [`Pattern`]: whether a key of a docker `config.json`, of a plugin's answer or of `matchImages`
//! is for a repository, as the kubelet decides it (its `pkg/credentialprovider/keyring.go`).

use crate::image::Repository;
use crate::registry::authority::{fold, split_port};

/// A host, with `*` within labels, an optional port, and an optional beginning of the path.
///
/// Ordered as the kubelet tries them, the first to try being the greatest: longer before shorter
/// with the same beginning, names before wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::registry) struct Pattern {
    /// Folded host with its port, then the path with its slash.
    text: String,
    /// Where in `text` the path begins.
    path: usize,
}

impl Pattern {
    /// A scheme is left out, and so is the API's version, which old keys have:
    /// `https://index.docker.io/v1/`.
    pub(in crate::registry) fn new(key: &str) -> Self {
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| key.strip_prefix(scheme))
            .unwrap_or(key);
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let versionless =
            ["/v1/", "/v2/"].iter().any(|version| path.starts_with(version)).then(|| path.get(3..));
        let path = versionless.flatten().unwrap_or(path);
        let path = if matches!(path, "/" | "/v1" | "/v2") { "" } else { path };
        let host = fold(host);
        Self { path: host.len(), text: host + path }
    }

    /// Whether it is for this (folded) repository: the same number of labels, each fitting, the
    /// same port, and a path that begins so.
    pub(in crate::registry) fn fits(&self, repository: &Repository) -> bool {
        let Some((host, path)) = self.text.split_at_checked(self.path) else { return false };
        let under = path.strip_prefix('/').is_none_or(|path| repository.path().starts_with(path));
        under && host_fits(host, repository.host())
    }
}

/// Label by label; the port must be equal.
fn host_fits(pattern: &str, host: &str) -> bool {
    let ((pattern, pattern_port), (host, port)) = (split_port(pattern), split_port(host));
    let (labels, own): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), host.split('.').collect());
    pattern_port == port
        && labels.len() == own.len()
        && labels.iter().zip(&own).all(|(pattern, label)| label_fits(pattern, label))
}

/// `*` stands for any number of characters of one label.
fn label_fits(pattern: &str, label: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = label.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The leftmost place of each part leaves the most for those after it.
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, repository: &str) -> bool {
        Pattern::new(pattern).fits(&Repository::parse(repository).unwrap().folded())
    }

    /// The kubelet's own table for `matchImages` and keys of answers (credentialprovider/v1,
    /// `AuthConfig`).
    #[test]
    fn patterns_fit_as_the_kubelet_says() {
        for (pattern, repository) in [
            (
                "123456789.dkr.ecr.us-east-1.amazonaws.com",
                "123456789.dkr.ecr.us-east-1.amazonaws.com/app",
            ),
            ("*.dkr.ecr.*.amazonaws.com", "123456789.dkr.ecr.us-east-1.amazonaws.com/team/app"),
            ("*.azurecr.io", "acme.azurecr.io/app"),
            ("gcr.io", "gcr.io/project/app"),
            ("*.pkg.dev", "europe-docker.pkg.dev/project/app"),
            ("*-docker.pkg.dev", "europe-docker.pkg.dev/project/app"),
            ("*.*.registry.io", "a.b.registry.io/app"),
            ("registry.io:8080/path", "registry.io:8080/path/app"),
            ("registry.io/path", "registry.io/path-of-another/app"),
            ("k8s.*", "k8s.io/app"),
            ("app*.k8s.io", "app-eu.k8s.io/app"),
            ("a*b*c.io", "axxbyybzzc.io/app"),
            ("REG.example", "reg.example/app"),
            ("https://index.docker.io/v1/", "docker.io/library/app"),
            ("https://reg.example/v2/team", "reg.example/team/app"),
            ("reg.example/", "reg.example/app"),
        ] {
            assert!(fits(pattern, repository), "{pattern} {repository}");
        }
    }

    /// Attack E1: a wildcard never reaches beyond one label, and a port is never guessed.
    #[test]
    fn attack_e1_patterns_fit_nothing_else() {
        for (pattern, repository) in [
            ("*.io", "a.k8s.io/app"),
            ("*.azurecr.io", "a.b.azurecr.io/app"),
            ("*.azurecr.io", "azurecr.io/app"),
            ("*.azurecr.io", "acme.azurecr.io.evil.example/app"),
            ("*", "reg.example/app"),
            ("registry.io:8080/path", "registry.io/path/app"),
            ("registry.io", "registry.io:8080/app"),
            ("registry.io/path", "registry.io/other/app"),
            ("registry.io/path/app/", "registry.io/path/app"),
            ("app*.k8s.io", "my-app.k8s.io/app"),
            ("a*b*c.io", "axxc.io/app"),
            ("ab*ba.io", "aba.io/app"),
            ("", "reg.example/app"),
            ("reg.example", "xreg.example/app"),
            ("docker.io", "reg.docker.io/app"),
        ] {
            assert!(!fits(pattern, repository), "{pattern} {repository}");
        }
    }

    #[test]
    fn the_order_is_the_kubelets() {
        let mut keys = [
            "*.example",
            "reg.example",
            "reg.example/team/app",
            "*.example/team",
            "reg.example/team",
        ];
        keys.sort_by_key(|key| std::cmp::Reverse(Pattern::new(key)));
        assert_eq!(
            keys,
            [
                "reg.example/team/app",
                "reg.example/team",
                "reg.example",
                "*.example/team",
                "*.example"
            ]
        );
    }
}
