//! [`RepositoryPattern`] and [`NamespacePattern`]: which names a document is about.
//!
//! A pattern is matched against a folded repository (`Repository::folded`), whole, from end to end: dots are literal,
//! `*` stays within one part between slashes, `**` stands for parts (attack B5). The pattern's own host is folded the
//! same way, so that no spelling of one place is outside of it (attack E8). What no name could match is an error.

use crate::image::{ReferenceError, Repository};

use super::error::PatternFault;

/// Longest pattern: no image name is longer (distribution reference, 255).
const PATTERN_MAX: usize = 255;
/// Longest namespace (RFC 1123 label, Kubernetes namespaces).
const NAMESPACE_MAX: usize = 63;

/// A pattern over folded repository names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepositoryPattern {
    parts: Vec<Part>,
}

/// A pattern over namespaces: `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamespacePattern(String);

/// One part between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This text.
    Literal(String),
    /// Text with `*` in it.
    Wild(String),
    /// `**`: any number of parts, none included.
    Deep,
}

impl RepositoryPattern {
    /// Parses a pattern as it stands in a document.
    ///
    /// # Errors
    /// [`PatternFault`] says what cannot be meant, or what to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, PatternFault> {
        if text.len() > PATTERN_MAX {
            return Err(PatternFault::TooLong);
        }
        if text.contains('@') {
            return Err(PatternFault::Digest);
        }
        if text.is_empty() || text.split('/').any(str::is_empty) {
            return Err(PatternFault::Empty);
        }
        let (first, path) = match text.split_once('/') {
            Some((first, path)) => (first, Some(path)),
            None => (text, None),
        };
        if path.is_none() && first != "**" {
            return Err(short_name(first));
        }
        let host = host(first, path)?;
        let path = path.unwrap_or_default();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            check_part(part)?;
        }
        if !host.contains('*') {
            return with_literal_host(&host, path);
        }
        Ok(Self { parts: parts(&[host.as_str()], path) })
    }

    /// The host when it is literal.
    pub(super) fn host(&self) -> Option<&str> {
        match self.parts.first() {
            Some(Part::Literal(host)) => Some(host),
            _ => None,
        }
    }

    /// Whether the folded name, split at its slashes, is this pattern's, whole.
    pub(super) fn matches(&self, folded: &[&str]) -> bool {
        run(&self.parts, folded, |part| *part == Part::Deep, |part, name| part.matches(name))
    }
}

impl NamespacePattern {
    /// Parses; `None` when no namespace could match.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'*';
        let bytes = text.as_bytes();
        let fits = text.bytes().filter(|b| *b != b'*').count() <= NAMESPACE_MAX;
        (edge(bytes.first()) && edge(bytes.last()) && fits && text.bytes().all(known) && !text.contains("**"))
            .then(|| Self(text.to_owned()))
    }

    /// Whether the namespace is this pattern's, whole.
    pub(super) fn matches(&self, namespace: &str) -> bool {
        wild(&self.0, namespace)
    }
}

impl Part {
    fn parse(text: &str) -> Self {
        match text {
            "**" => Self::Deep,
            _ if text.contains('*') => Self::Wild(text.to_owned()),
            _ => Self::Literal(text.to_owned()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Literal(text) => text == name,
            Self::Wild(text) => wild(text, name),
            Self::Deep => true,
        }
    }
}

/// The parts of a pattern. A `**` at the end stands for one part at least: `a/**` is what is below `a`, not `a`.
fn parts(hosts: &[&str], path: &str) -> Vec<Part> {
    let path = path.split('/').filter(|part| !part.is_empty());
    let mut parts: Vec<Part> = hosts.iter().copied().chain(path).map(Part::parse).collect();
    if parts.len() > 1 && parts.last() == Some(&Part::Deep) {
        parts.insert(parts.len() - 1, Part::Wild("*".to_owned()));
    }
    parts
}

/// The host as policies see it, still with its wildcards.
fn host(first: &str, path: Option<&str>) -> Result<String, PatternFault> {
    if first == "**" {
        return Ok(first.to_owned());
    }
    if first.contains("**") {
        return Err(PatternFault::DoubleStar);
    }
    if let Some(c) = first.chars().find(|c| matches!(c, '?' | '{' | '}' | '!' | '\\')) {
        return Err(PatternFault::Metacharacter(c));
    }
    if first.contains('*') {
        let lower = first.to_ascii_lowercase();
        let host = lower.strip_suffix(":443").unwrap_or(&lower);
        // With a letter in place of a wildcard in the name, and a digit or nothing in the port, the rest must be a host.
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let written = |digit: &str| {
            let port = port.map(|port| format!(":{}", port.replace('*', digit))).unwrap_or_default();
            Repository::parse(&format!("{}{port}/a", name.replace('*', "z")))
        };
        let fits = written("1").is_ok() || written("").is_ok();
        return if fits { Ok(host.to_owned()) } else { Err(PatternFault::Host) };
    }
    let shape =
        first.contains(['.', ':', '[']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase());
    if !shape {
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        return Err(PatternFault::NoHost { write: format!("docker.io/{first}{path}") });
    }
    // Two parts below the host, so that folding does not put Docker Hub's `library` in between.
    match Repository::parse(&format!("{first}/a/a")) {
        Ok(repository) => Ok(repository.folded().host().to_owned()),
        Err(_) if first.contains('[') && !first.contains(':') => Err(PatternFault::Metacharacter('[')),
        Err(_) => Err(PatternFault::Host),
    }
}

fn short_name(first: &str) -> PatternFault {
    match first.rsplit_once(':') {
        Some((name, _)) if !name.contains('.') => PatternFault::Tag,
        _ if first.contains('.') || first.contains(':') || first == "localhost" || first == "*" => {
            PatternFault::NeverMatches { write: format!("{first}/**") }
        }
        _ => PatternFault::NoHost { write: format!("docker.io/library/{first}") },
    }
}

/// A part of the path: what a repository's part is made of, and `*`.
fn check_part(part: &str) -> Result<(), PatternFault> {
    if part == "**" {
        return Ok(());
    }
    if part.contains(':') {
        return Err(PatternFault::Tag);
    }
    if part.contains("**") {
        return Err(PatternFault::DoubleStar);
    }
    if let Some(c) = part.chars().find(|c| matches!(c, '?' | '[' | ']' | '{' | '}' | '!' | '\\')) {
        return Err(PatternFault::Metacharacter(c));
    }
    // With one of these in place of each wildcard a part that can match is well formed: `a*` and `*-b` as `a1`, `1-b`.
    match Repository::parse(&format!("host.test/{}", part.replace('*', "1"))) {
        Ok(_) => Ok(()),
        Err(ReferenceError::TooLong) => Err(PatternFault::TooLong),
        Err(_) => Err(PatternFault::Path),
    }
}

/// A literal host: folded with its path, since Docker Hub's official images live under `library`.
fn with_literal_host(host: &str, path: &str) -> Result<RepositoryPattern, PatternFault> {
    let single = !path.contains('/');
    if host == "docker.io" && single && path.contains('*') && path != "**" {
        return Err(PatternFault::NeverMatches { write: format!("docker.io/library/{path}") });
    }
    let hosts: &[&str] = if host == "docker.io" && single && path != "**" { &[host, "library"] } else { &[host] };
    Ok(RepositoryPattern { parts: parts(hosts, path) })
}

/// `*` within one text.
fn wild(pattern: &str, text: &str) -> bool {
    run(pattern.as_bytes(), text.as_bytes(), |p| *p == b'*', |p, c| p == c)
}

/// Matches a pattern with wildcards against a sequence, whole. On a mismatch it returns to the last wildcard and lets
/// that take one more, which suffices for this kind of pattern; at most pattern × text steps.
fn run<P, T>(pattern: &[P], text: &[T], star: impl Fn(&P) -> bool, same: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = text.get(t) {
        match pattern.get(p) {
            Some(part) if star(part) => {
                p += 1;
                back = Some((p, t));
            }
            Some(part) if same(part, item) => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match back {
                Some((after, taken)) => {
                    p = after;
                    t = taken + 1;
                    back = Some((after, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(star)
}

#[cfg(test)]
mod tests {
    use globset::{GlobBuilder, GlobMatcher};
    use proptest::prelude::*;

    use super::*;
    use crate::image::Reference;

    fn matches(pattern: &str, name: &str) -> bool {
        let folded = Reference::parse(name).unwrap().repository().to_string();
        whole(&RepositoryPattern::parse(pattern).unwrap(), &folded)
    }

    fn whole(pattern: &RepositoryPattern, name: &str) -> bool {
        pattern.matches(&name.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn stars_and_slashes() {
        for (pattern, name, expected) in [
            ("reg.test/prod/**", "reg.test/prod/app", true),
            ("reg.test/prod/**", "reg.test/prod/a/b/c", true),
            ("reg.test/prod/**", "reg.test/prod", false),
            ("reg.test/prod/*", "reg.test/prod/app", true),
            ("reg.test/prod/*", "reg.test/prod/a/b", false),
            ("reg.test/**/app", "reg.test/app", true),
            ("reg.test/**/app", "reg.test/a/b/app", true),
            ("reg.test/a*c/x", "reg.test/abbc/x", true),
            ("reg.test/a*c/x", "reg.test/ab/c/x", false),
            ("*.reg.test/x", "a.reg.test/x", true),
            ("*.reg.test/x", "reg.test/x", false),
            ("**", "reg.test/x", true),
            ("**/app", "reg.test/a/app", true),
            ("*/app", "reg.test:5000/app", true),
            ("reg.test:*/app", "reg.test:5000/app", true),
            ("reg.test:5*/app", "reg.test:5000/app", true),
            ("10.0.0.*:5000/app", "10.0.0.5:5000/app", true),
            ("reg.test:5000/**", "reg.test/a", false),
            ("[::1]:5000/a", "[::1]:5000/a", true),
            ("localhost/a", "localhost/a", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    /// Attack B5: patterns not anchored, dots that match anything, `foo` that matches `foobar`.
    #[test]
    fn attack_b5_patterns_are_anchored_and_dots_literal() {
        for (pattern, name) in [
            ("example.com/foo", "example.com/foobar"),
            ("example.com/foo", "example.com/foo/bar"),
            ("example.com/foo", "evil.test/example.com/foo"),
            ("example.com/foo", "examplexcom.test/foo"),
            ("example.com/foo/*", "evil.test/example.com/foo/a"),
            ("example.com/**", "example.com.evil.test/a"),
            ("example.com/**", "notexample.com/a"),
            ("example.com/**", "example.com:5000/a"),
            ("*.example.com/**", "evil.test/a.example.com/b"),
            ("reg.test/a.b", "reg.test/axb"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    /// Attack E8: another spelling of a place that a pattern names.
    #[test]
    fn attack_e8_the_host_of_a_pattern_is_folded() {
        for pattern in ["Reg.Test/a", "reg.test:443/a", "REG.TEST:443/a"] {
            for name in ["reg.test/a", "REG.test/a", "reg.test:443/a"] {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
        }
        for pattern in ["docker.io/library/*", "index.docker.io/library/*", "registry-1.docker.io:443/library/*"] {
            for name in ["app", "docker.io/app", "index.docker.io/app", "registry.hub.docker.com/library/app"] {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
        }
        assert!(matches("docker.io/app", "app"));
        assert!(matches("docker.io/**", "app"));
        assert!(matches("*.TEST:443/a", "Reg.test/a"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let write = |text: &str| text.to_owned();
        for (pattern, fault) in [
            ("", PatternFault::Empty),
            ("reg.test//a", PatternFault::Empty),
            ("reg.test/a/", PatternFault::Empty),
            ("/reg.test/a", PatternFault::Empty),
            ("reg.test/a:1", PatternFault::Tag),
            ("reg.test/a:*", PatternFault::Tag),
            ("app:1", PatternFault::Tag),
            ("reg.test/a@sha256:00", PatternFault::Digest),
            ("app", PatternFault::NoHost { write: write("docker.io/library/app") }),
            ("acme/app", PatternFault::NoHost { write: write("docker.io/acme/app") }),
            ("reg.test", PatternFault::NeverMatches { write: write("reg.test/**") }),
            ("reg.test:5000", PatternFault::NeverMatches { write: write("reg.test:5000/**") }),
            ("*", PatternFault::NeverMatches { write: write("*/**") }),
            ("docker.io/*", PatternFault::NeverMatches { write: write("docker.io/library/*") }),
            ("reg.test/App", PatternFault::Path),
            ("reg.test/-a", PatternFault::Path),
            ("reg.test/a b", PatternFault::Path),
            ("reg.test/é", PatternFault::Path),
            ("reg..test/a", PatternFault::Host),
            ("reg.test:x/a", PatternFault::Host),
            ("reg.*:/a", PatternFault::Host),
            ("reg.test:0443/a", PatternFault::Host),
            ("reg.test/a?", PatternFault::Metacharacter('?')),
            ("reg.test/[ab]", PatternFault::Metacharacter('[')),
            ("reg.test/{a,b}", PatternFault::Metacharacter('{')),
            ("reg.test/!a", PatternFault::Metacharacter('!')),
            ("reg.t{a,b}/x", PatternFault::Metacharacter('{')),
            ("reg.test/a**", PatternFault::DoubleStar),
            ("reg.test/***", PatternFault::DoubleStar),
            ("**reg.test/a", PatternFault::DoubleStar),
        ] {
            assert_eq!(RepositoryPattern::parse(pattern), Err(fault), "{pattern}");
        }
        let long = format!("reg.test/{}", "a".repeat(300));
        assert_eq!(RepositoryPattern::parse(&long), Err(PatternFault::TooLong));
    }

    #[test]
    fn namespaces() {
        let matches = |pattern: &str, name: &str| NamespacePattern::parse(pattern).unwrap().matches(name);
        assert!(matches("prod-*", "prod-a") && matches("prod-*", "prod-") && matches("*", "x"));
        assert!(!matches("prod-*", "prod") && !matches("prod", "prod-a") && !matches("prod", "a-prod"));
        for pattern in ["", "Prod", "a.b", "a/b", "-a", "a-", "a**", "a b", "a?"] {
            assert_eq!(NamespacePattern::parse(pattern), None, "{pattern}");
        }
        assert_eq!(NamespacePattern::parse(&"a".repeat(64)), None);
    }

    fn oracle(pattern: &str) -> GlobMatcher {
        GlobBuilder::new(pattern).literal_separator(true).build().unwrap().compile_matcher()
    }

    proptest! {
        /// An independent matcher says the same.
        #[test]
        fn agrees_with_globset(
            pattern in "[ab]{1,2}\\.t(/([ab*]|[ab]{1,2}|\\*\\*|a\\*|\\*b|a\\*b)){1,4}",
            name in "[ab]{1,2}\\.t(/[ab]{1,3}){1,4}",
        ) {
            let ours = RepositoryPattern::parse(&pattern).unwrap();
            prop_assert_eq!(whole(&ours, &name), oracle(&pattern).is_match(&name), "{} {}", pattern, name);
        }

        /// Attack B5: text put before or behind a name that a pattern without stars names never matches.
        #[test]
        fn attack_b5_nothing_matches_across_the_ends(
            name in "[a-z]{1,6}\\.test/[a-z]{1,6}(/[a-z]{1,6}){0,2}",
            before in "[a-z./]{0,4}",
            behind in "[a-z./]{0,4}",
        ) {
            let pattern = RepositoryPattern::parse(&name).unwrap();
            prop_assert!(whole(&pattern, &name));
            if !before.is_empty() || !behind.is_empty() {
                let longer = format!("{before}{name}{behind}");
                prop_assert!(!whole(&pattern, &longer));
            }
        }
    }
}
