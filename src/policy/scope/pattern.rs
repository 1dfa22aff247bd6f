//! [`RepositoryPattern`] and [`NamespacePattern`]: which names a document is about, read and
//! written down as the [`Automaton`](super::automaton::Automaton) reads them.
//!
//! A pattern is matched against a folded repository (`Repository::folded`), whole, from end to end:
//! dots are literal, `*` stays within one part between slashes, `**` stands for parts (attack B5).
//! The pattern's own host is folded the same way, so that no spelling of one place is outside of it
//! (attack E8). What no name could match is an error.

use crate::image::{ReferenceError, Repository, is_component};

use crate::policy::syntax::error::PatternFault;

/// Longest pattern: no image name is longer (distribution reference, 255).
const PATTERN_MAX: usize = 255;
/// Longest namespace (RFC 1123 label, Kubernetes namespaces).
const NAMESPACE_MAX: usize = 63;
/// Any run of characters of one part, none among others.
pub(in crate::policy) const ANY_TEXT: u8 = b'*';
/// Any number of whole parts, none among others; written `**`.
pub(in crate::policy) const ANY_PARTS: u8 = 1;
/// Stands behind each part.
pub(in crate::policy) const END_OF_PART: u8 = b'/';

/// A pattern over folded repository names: its parts, each with a slash behind it, and
/// [`ANY_PARTS`] for `**`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::policy) struct RepositoryPattern(String);

/// A pattern over namespaces: one part, in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct NamespacePattern(String);

/// Patterns of one document, behind one another in one piece of memory: there may be some hundred
/// thousand of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct PatternList(String);

/// The hosts of patterns that were read: those of one list are few, and folding one takes longer
/// than all the rest.
#[derive(Debug, Default)]
pub(in crate::policy) struct Hosts {
    last: Option<(String, String)>,
}

impl RepositoryPattern {
    /// Parses a pattern as it stands in a document.
    ///
    /// # Errors
    /// [`PatternFault`] says what cannot be meant, or what to write instead.
    pub(in crate::policy) fn parse(text: &str, hosts: &mut Hosts) -> Result<Self, PatternFault> {
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
        let host = hosts.host(first, path)?;
        let path = path.unwrap_or_default();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            check_part(part)?;
        }
        if !host.contains('*') {
            return with_literal_host(&host, path);
        }
        Ok(Self(encoded(&[host.as_str()], path)))
    }

    /// Whether its host is literal.
    pub(in crate::policy) fn has_host(&self) -> bool {
        let host = self.0.split('/').next().unwrap_or_default();
        !host.bytes().any(|byte| matches!(byte, ANY_TEXT | ANY_PARTS))
    }

    /// What the automaton reads.
    pub(in crate::policy) fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamespacePattern {
    /// Parses; `None` when no namespace could match.
    pub(in crate::policy) fn parse(text: &str) -> Option<Self> {
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        let known =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == ANY_TEXT;
        let bytes = text.as_bytes();
        let fits = text.bytes().filter(|b| *b != ANY_TEXT).count() <= NAMESPACE_MAX;
        (edge(bytes.first())
            && edge(bytes.last())
            && fits
            && text.bytes().all(known)
            && !text.contains("**"))
        .then(|| Self(format!("{text}/")))
    }

    /// What the automaton reads.
    pub(in crate::policy) fn as_str(&self) -> &str {
        &self.0
    }
}

impl PatternList {
    /// Adds a pattern as the automaton reads it; none has a line break in it.
    pub(in crate::policy) fn push(&mut self, pattern: &str) {
        self.0.push_str(pattern);
        self.0.push('\n');
    }

    /// The patterns, in the order in which they were added.
    pub(in crate::policy) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator('\n')
    }

    /// Whether there is none.
    pub(in crate::policy) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, in no more memory than it takes.
    pub(in crate::policy) fn shrunk(mut self) -> Self {
        self.0.shrink_to_fit();
        self
    }
}

impl Hosts {
    /// The host as policies see it, still with its wildcards.
    fn host(&mut self, first: &str, path: Option<&str>) -> Result<String, PatternFault> {
        if let Some((written, host)) = &self.last
            && written == first
        {
            return Ok(host.clone());
        }
        let host = host(first, path)?;
        self.last = Some((first.to_owned(), host.clone()));
        Ok(host)
    }
}

/// The parts of a pattern. A `**` at the end stands for one part at least: `a/**` is what is below
/// `a`, not `a`.
fn encoded(hosts: &[&str], path: &str) -> String {
    let parts = || hosts.iter().copied().chain(path.split('/').filter(|part| !part.is_empty()));
    let count = parts().count();
    let mut encoded = String::with_capacity(
        hosts.iter().map(|host| host.len() + 1).sum::<usize>() + path.len() + 3,
    );
    for (number, part) in (1..).zip(parts()) {
        if part != "**" {
            encoded.push_str(part);
            encoded.push(char::from(END_OF_PART));
            continue;
        }
        if count > 1 && number == count {
            encoded.push(char::from(ANY_TEXT));
            encoded.push(char::from(END_OF_PART));
        }
        encoded.push(char::from(ANY_PARTS));
    }
    encoded
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
        // With a letter in place of a wildcard in the name, and a digit or nothing in the port, the
        // rest must be a host.
        let (name, port) =
            host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let written = |digit: &str| {
            let port =
                port.map(|port| format!(":{}", port.replace('*', digit))).unwrap_or_default();
            Repository::parse(&format!("{}{port}/a", name.replace('*', "z")))
        };
        let fits = written("1").is_ok() || written("").is_ok();
        return if fits { Ok(host.to_owned()) } else { Err(PatternFault::Host) };
    }
    let shape = first.contains(['.', ':', '['])
        || first == "localhost"
        || first.bytes().any(|b| b.is_ascii_uppercase());
    if !shape {
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        return Err(PatternFault::NoHost { write: format!("docker.io/{first}{path}") });
    }
    // Two parts below the host, so that folding does not put Docker Hub's `library` in between.
    match Repository::parse(&format!("{first}/a/a")) {
        Ok(repository) => Ok(repository.folded().host().to_owned()),
        Err(_) if first.contains('[') && !first.contains(':') => {
            Err(PatternFault::Metacharacter('['))
        }
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
    if part == "**" || is_component(part) {
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
    // With one of these in place of each wildcard a part that can match is well formed: `a*` and
    // `*-b` as `a1`, `1-b`.
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
    let hosts: &[&str] =
        if host == "docker.io" && single && path != "**" { &[host, "library"] } else { &[host] };
    Ok(RepositoryPattern(encoded(hosts, path)))
}

#[cfg(test)]
mod tests {
    use globset::{GlobBuilder, GlobMatcher};
    use proptest::prelude::*;

    use super::*;
    use crate::image::Reference;
    use crate::policy::scope::automaton::Automaton;
    use crate::policy::scope::document_set::DocumentSet;

    fn read(pattern: &str) -> Result<RepositoryPattern, PatternFault> {
        RepositoryPattern::parse(pattern, &mut Hosts::default())
    }

    fn matches(pattern: &str, name: &str) -> bool {
        let folded = Reference::parse(name).unwrap().repository().to_string();
        whole(read(pattern).unwrap().as_str(), name_parts(&folded))
    }

    fn name_parts(name: &str) -> impl Iterator<Item = &str> {
        name.split('/')
    }

    fn whole<'t>(pattern: &str, parts: impl Iterator<Item = &'t str>) -> bool {
        let mut list = PatternList::default();
        list.push(pattern);
        let mut found = DocumentSet::none_of(1);
        Automaton::new(std::iter::once(list)).add_matching(parts, &mut found);
        !found.is_empty()
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
        for pattern in [
            "docker.io/library/*",
            "index.docker.io/library/*",
            "registry-1.docker.io:443/library/*",
        ] {
            for name in [
                "app",
                "docker.io/app",
                "index.docker.io/app",
                "registry.hub.docker.com/library/app",
            ] {
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
            assert_eq!(read(pattern), Err(fault), "{pattern}");
        }
        let long = format!("reg.test/{}", "a".repeat(300));
        assert_eq!(read(&long), Err(PatternFault::TooLong));
    }

    #[test]
    fn namespaces() {
        let matches = |pattern: &str, name: &str| {
            whole(NamespacePattern::parse(pattern).unwrap().as_str(), std::iter::once(name))
        };
        assert!(matches("prod-*", "prod-a") && matches("prod-*", "prod-") && matches("*", "x"));
        assert!(
            !matches("prod-*", "prod") && !matches("prod", "prod-a") && !matches("prod", "a-prod")
        );
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
            let ours = read(&pattern).unwrap();
            prop_assert_eq!(whole(ours.as_str(), name_parts(&name)), oracle(&pattern).is_match(&name), "{} {}", pattern, name);
        }

        /// Attack B5: text put before or behind a name that a pattern without stars names never
        /// matches.
        #[test]
        fn attack_b5_nothing_matches_across_the_ends(
            name in "[a-z]{1,6}\\.test/[a-z]{1,6}(/[a-z]{1,6}){0,2}",
            before in "[a-z./]{0,4}",
            behind in "[a-z./]{0,4}",
        ) {
            let pattern = read(&name).unwrap();
            prop_assert!(whole(pattern.as_str(), name_parts(&name)));
            if !before.is_empty() || !behind.is_empty() {
                let longer = format!("{before}{name}{behind}");
                prop_assert!(!whole(pattern.as_str(), name_parts(&longer)));
            }
        }
    }
}
