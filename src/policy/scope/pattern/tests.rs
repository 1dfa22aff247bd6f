//! Which names a pattern matches, and which patterns are refused.

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
    for pattern in
        ["docker.io/library/*", "index.docker.io/library/*", "registry-1.docker.io:443/library/*"]
    {
        for name in
            ["app", "docker.io/app", "index.docker.io/app", "registry.hub.docker.com/library/app"]
        {
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
