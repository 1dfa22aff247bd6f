//! [`Scope`]: what one rule of containers-policy.json(5) or containers-registries.d(5) is about.
//!
//! There the most specific scope wins alone; here everything that matches must pass. Two scopes are
//! either one within the other or apart, so a rule becomes a document that excludes the scopes
//! right below its own ([`exclusions`]).

use crate::image::Repository;
use crate::import::reader::host;

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Every image: `""`, or `default`.
    Everything,
    /// Every host below a domain, whatever its port: `*.example.com`, here without the `*.`.
    Below(String),
    /// A host, or a name and all names below it.
    Name(String),
}

/// What became of a scope that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScopeForm {
    /// Usable.
    Scope(Scope),
    /// A repository by tag or digest.
    Tagged(String),
    /// Sealgate folds its host into another: the name under that one.
    Folded(String),
    /// No image in its full form has this name.
    Dead,
}

impl Scope {
    /// Reads a scope of the transport `docker`.
    pub(super) fn read(text: &str) -> ScopeForm {
        if text.is_empty() {
            return ScopeForm::Scope(Self::Everything);
        }
        if text.contains('*') {
            let suffix = text.strip_prefix("*.").filter(|suffix| is_domain(suffix));
            return suffix.map_or(ScopeForm::Dead, |suffix| {
                ScopeForm::Scope(Self::Below(suffix.to_owned()))
            });
        }
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text, None),
        };
        if !is_host(host) || host == "index.docker.io" {
            return ScopeForm::Dead;
        }
        if path.is_some_and(|path| path.contains([':', '@'])) {
            let name = text.split('@').next().unwrap_or_default();
            let (folder, last) = name.rsplit_once('/').unwrap_or_default();
            let repository = last.split(':').next().unwrap_or_default();
            return ScopeForm::Tagged(format!("{folder}/{repository}"));
        }
        // Two parts more, so that folding puts no `library` in between.
        let tail = "/a/a";
        let Ok(repository) = Repository::parse(&format!("{text}{tail}")) else {
            return ScopeForm::Dead;
        };
        let folded = repository.folded().to_string();
        match folded.strip_suffix(tail) {
            Some(same) if same == text => ScopeForm::Scope(Self::Name(text.to_owned())),
            Some(other) => ScopeForm::Folded(other.to_owned()),
            None => ScopeForm::Dead,
        }
    }

    /// The patterns that say it.
    pub(super) fn patterns(&self) -> Vec<String> {
        match self {
            Self::Everything => vec!["**".to_owned()],
            Self::Below(domain) => vec![format!("*.{domain}/**"), format!("*.{domain}:*/**")],
            // `docker.io/acme` would be read as the official image of this name.
            Self::Name(name) if !name.contains('/') || is_hub_account(name) => {
                vec![format!("{name}/**")]
            }
            Self::Name(name) => vec![name.clone(), format!("{name}/**")],
        }
    }

    /// A host of it that is written out; any where none is.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Everything | Self::Below(_) => "docker.io",
            Self::Name(name) => name.split('/').next().unwrap_or_default(),
        }
    }

    /// The hosts that some of those which are not written out are here, under names that it does not
    /// match.
    pub(super) fn other_hosts(&self) -> Vec<String> {
        match self {
            Self::Everything | Self::Name(_) => Vec::new(),
            Self::Below(domain) => host::folded(&format!("*.{domain}")),
        }
    }

    /// Whether its hosts are written out.
    pub(super) fn has_host(&self) -> bool {
        matches!(self, Self::Name(_))
    }

    /// Whether all that this is about is in the other, which is about more.
    pub(super) fn is_within(&self, outer: &Self) -> bool {
        let below = |name: &str, domain: &str| {
            name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        };
        match (self, outer) {
            (Self::Everything, _) | (Self::Below(_), Self::Name(_)) => false,
            (_, Self::Everything) => true,
            (Self::Below(inner), Self::Below(outer)) => below(inner, outer),
            (Self::Name(name), Self::Below(outer)) => {
                let host = name.split('/').next().unwrap_or_default();
                below(host.split(':').next().unwrap_or_default(), outer)
            }
            (Self::Name(inner), Self::Name(outer)) => {
                inner.strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

/// The most specific of these scopes that this one is within; by number.
pub(super) fn parent(scope: &Scope, among: &[Scope]) -> Option<usize> {
    let mut found: Option<(usize, &Scope)> = None;
    for (number, outer) in among.iter().enumerate().filter(|(_, outer)| scope.is_within(outer)) {
        if found.is_none_or(|(_, nearest)| outer.is_within(nearest)) {
            found = Some((number, outer));
        }
    }
    found.map(|(number, _)| number)
}

/// What the documents of each scope exclude: the scopes right below it.
pub(super) fn exclusions(scopes: &[Scope]) -> Vec<Vec<String>> {
    let mut excluded: Vec<Vec<String>> = scopes.iter().map(|_| Vec::new()).collect();
    for scope in scopes {
        if let Some(list) = parent(scope, scopes).and_then(|number| excluded.get_mut(number)) {
            list.extend(scope.patterns());
        }
    }
    excluded
}

/// The patterns of one repository alone.
pub(super) fn repository(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn is_hub_account(name: &str) -> bool {
    name.strip_prefix("docker.io/").is_some_and(|path| !path.contains('/'))
}

/// What containers-policy.json(5) takes for a host: its references are written out in full.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':', '[']) || text == "localhost"
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        match Scope::read(text) {
            ScopeForm::Scope(scope) => scope,
            other @ (ScopeForm::Tagged(_) | ScopeForm::Folded(_) | ScopeForm::Dead) => {
                panic!("{text}: {other:?}")
            }
        }
    }

    #[test]
    fn each_form_of_a_scope() {
        let name = |text: &str| ScopeForm::Scope(Scope::Name(text.to_owned()));
        for (text, expected) in [
            ("", ScopeForm::Scope(Scope::Everything)),
            ("*.example.com", ScopeForm::Scope(Scope::Below("example.com".to_owned()))),
            ("reg.example:5000/a/b", name("reg.example:5000/a/b")),
            ("docker.io/acme", name("docker.io/acme")),
            ("localhost/a", name("localhost/a")),
            ("reg.example/a:1", ScopeForm::Tagged("reg.example/a".to_owned())),
            ("reg.example:5000/a/b@sha256:0", ScopeForm::Tagged("reg.example:5000/a/b".to_owned())),
            ("reg.example/a:1@sha256:0", ScopeForm::Tagged("reg.example/a".to_owned())),
            ("reg.example:443/a", ScopeForm::Folded("reg.example/a".to_owned())),
            ("registry-1.docker.io/a", ScopeForm::Folded("docker.io/a".to_owned())),
            ("index.docker.io/library/a", ScopeForm::Dead),
            ("busybox", ScopeForm::Dead),
            ("acme/app", ScopeForm::Dead),
            ("*", ScopeForm::Dead),
            ("*.example.com/a", ScopeForm::Dead),
            ("a*.example.com", ScopeForm::Dead),
            ("reg.example/a//b", ScopeForm::Dead),
        ] {
            assert_eq!(Scope::read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_hub_account_is_no_official_image() {
        assert_eq!(scope("docker.io/acme").patterns(), ["docker.io/acme/**"]);
        assert_eq!(scope("docker.io").patterns(), ["docker.io/**"]);
        assert_eq!(
            scope("docker.io/library/nginx").patterns(),
            ["docker.io/library/nginx", "docker.io/library/nginx/**"]
        );
        assert_eq!(scope("*.a.test").patterns(), ["*.a.test/**", "*.a.test:*/**"]);
    }

    /// Attack E8: below these domains are names of Docker Hub's, which is `docker.io` here alone.
    #[test]
    fn attack_e8_a_domain_with_a_name_of_docker_hub_is_about_it() {
        for (text, hosts) in [
            ("*.docker.io", &["docker.io"][..]),
            ("*.hub.docker.com", &["docker.io"]),
            ("*.docker.com", &["docker.io"]),
            ("*.com", &["docker.io"]),
            ("*.io", &[]),
            ("*.example.com", &[]),
            ("docker.io", &[]),
            ("", &[]),
        ] {
            assert_eq!(scope(text).other_hosts(), hosts, "{text}");
        }
    }

    #[test]
    fn the_most_specific_scope_is_the_parent() {
        let all: Vec<Scope> =
            ["", "*.test", "*.a.test", "x.a.test:5000", "x.a.test:5000/n", "x.a.test:5000/n/m"]
                .map(scope)
                .to_vec();
        for (number, one) in all.iter().enumerate() {
            assert_eq!(parent(one, &all), number.checked_sub(1), "{one:?}");
        }
        assert_eq!(parent(&scope("reg.example/n"), &all), Some(0));
        assert!(!scope("reg.example/nm").is_within(&scope("reg.example/n")));
        // containers-policy.json(5): a host with a port is not below the host without.
        assert!(!scope("reg.example:5000/n").is_within(&scope("reg.example")));
        let excluded = exclusions(&all);
        assert_eq!(excluded[0], ["*.test/**", "*.test:*/**"]);
        assert_eq!(excluded[4], ["x.a.test:5000/n/m", "x.a.test:5000/n/m/**"]);
        assert!(excluded[5].is_empty());
    }
}
