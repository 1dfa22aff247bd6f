//! The index agrees with trying every pattern of every document, one after the other.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::support::*;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::policy::{Documents, Material, PolicySet, Unmatched};

const DIGEST: &str = "{digest: {anyOf: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}";

/// A document as it is written; its patterns have hosts that are folded already.
#[derive(Debug, Clone)]
struct Written {
    images: Vec<String>,
    exclude: Vec<String>,
    namespaces: Vec<String>,
    warns: bool,
}

/// What a pattern says of a name, from the words of the manual alone: part by part, and back to the
/// last wildcard where it does not go on.
fn says(pattern: &str, name: &str) -> bool {
    let mut parts: Vec<&str> = pattern.split('/').collect();
    if parts.len() > 1 && parts.last() == Some(&"**") {
        parts.insert(parts.len() - 1, "*");
    }
    let name: Vec<&str> = name.split('/').collect();
    run(&parts, &name, |part| *part == "**", |part, name| wild(part, name))
}

fn wild(pattern: &str, text: &str) -> bool {
    run(pattern.as_bytes(), text.as_bytes(), |p| *p == b'*', |p, c| p == c)
}

fn run<P, T>(
    pattern: &[P],
    text: &[T],
    star: impl Fn(&P) -> bool,
    same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = text.get(t) {
        match pattern.get(p) {
            Some(part) if star(part) => {
                p += 1;
                back = Some((p, t));
            }
            Some(part) if same(part, item) => (p, t) = (p + 1, t + 1),
            Some(_) | None => match back {
                Some((after, taken)) => {
                    (p, t) = (after, taken + 1);
                    back = Some((after, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p.min(pattern.len())..].iter().all(star)
}

impl Written {
    fn matches(&self, name: Option<&str>, namespace: Option<&str>) -> bool {
        let is_inside = self.namespaces.is_empty()
            || namespace.map_or(!self.warns, |namespace| {
                self.namespaces.iter().any(|one| wild(one, namespace))
            });
        let is_about = name.map_or(!self.warns, |name| {
            self.images.iter().any(|one| says(one, name))
                && !self.exclude.iter().any(|one| says(one, name))
        });
        is_inside && is_about
    }

    fn print(&self, number: usize, into: &mut String) {
        let list = |texts: &[String]| serde_json::to_string(texts).unwrap();
        let mut spec = format!("images: {}", list(&self.images));
        for (field, texts) in [("exclude", &self.exclude), ("namespaces", &self.namespaces)] {
            if !texts.is_empty() {
                write!(spec, ", {field}: {}", list(texts)).unwrap();
            }
        }
        let action = if self.warns { "warn" } else { "enforce" };
        writeln!(
            into,
            "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: p{number}}}\n\
             spec: {{{spec}, action: {action}, require: {DIGEST}}}"
        )
        .unwrap();
    }
}

fn built(written: &[Written]) -> PolicySet {
    let mut text = String::new();
    written.iter().enumerate().for_each(|(number, one)| one.print(number, &mut text));
    let documents =
        Documents::parse(&[file(&text)]).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap()
}

fn matched(set: &PolicySet, name: Option<&str>, namespace: Option<&str>) -> Vec<usize> {
    let name = name.map_or(Name::Unknown, |name| Name::Known(Reference::parse(name).unwrap()));
    let pod = Pod { namespace: namespace.map(str::to_owned), ..Pod::default() };
    set.applicable(&name, &pod).documents().iter().collect()
}

/// Few letters, so that what is drawn meets.
fn pattern(host: &'static str) -> impl Strategy<Value = String> {
    let part = "[ab]{1,2}|\\*\\*|\\*|a\\*|\\*b|a\\*b|\\*a\\*|\\*ab\\*|a\\*b\\*";
    (host, prop::collection::vec(part, 1..5))
        .prop_map(|(host, parts)| format!("{host}/{}", parts.join("/")))
}

fn distinct(texts: Vec<String>) -> Vec<String> {
    // `a/**` and `a/*/**` are one pattern, which may not stand twice.
    let mut known = std::collections::HashSet::new();
    texts.into_iter().filter(|text| known.insert(text.replace("/*/**", "/**"))).collect()
}

fn written() -> impl Strategy<Value = Written> {
    let hosts = "[ab]\\.t|\\*\\.t|\\*\\*|a\\.\\*|\\*";
    let images = (
        any::<bool>(),
        prop::collection::vec(pattern(hosts), 1..6),
        prop::collection::vec(pattern("[ab]\\.t"), 1..6),
    );
    let exclude = prop::collection::vec(pattern(hosts), 0..3);
    let namespaces = prop::collection::vec("[ab]{1,2}|\\*|a\\*|\\*b|a\\*b", 0..3);
    (images, exclude, namespaces).prop_map(|((warns, open, literal), exclude, namespaces)| {
        Written {
            // What lets through without proof names its hosts.
            images: distinct(if warns { literal } else { open }),
            exclude: distinct(exclude),
            namespaces: namespaces
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect(),
            warns,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Attacks B5 and E8: no document is missed and none is found by mistake, with excludes,
    /// namespaces, an id without a name and a namespace that is not known.
    #[test]
    fn attack_b5_the_index_agrees_with_trying_every_pattern(
        written in prop::collection::vec(written(), 1..12),
        names in prop::collection::vec("[ab]\\.t(/[ab]{1,3}){1,4}", 1..12),
        namespaces in prop::collection::vec("[ab]{1,3}|a/b|a\\*|\\*|\u{1}b|", 1..4),
    ) {
        let set = built(&written);
        let names = names.iter().map(|name| Some(name.as_str())).chain([None]);
        for name in names {
            for namespace in namespaces.iter().map(|one| Some(one.as_str())).chain([None]) {
                let every = written.iter().enumerate().filter(|(_, one)| one.matches(name, namespace));
                let every: Vec<usize> = every.map(|(number, _)| number).collect();
                prop_assert_eq!(matched(&set, name, namespace), every, "{:?} {:?}", name, namespace);
            }
        }
    }
}

/// One document for each pattern, and which of them match: all others do not.
fn expect(patterns: &[String], name: &str, expected: &[usize]) {
    let every: Vec<usize> = patterns
        .iter()
        .enumerate()
        .filter(|(_, one)| says(one, name))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(every, expected, "{name}");
    let documents: Vec<Written> = patterns
        .chunks(1)
        .map(|one| Written {
            images: one.to_vec(),
            exclude: vec![],
            namespaces: vec![],
            warns: false,
        })
        .collect();
    assert_eq!(matched(&built(&documents), Some(name), None), expected, "{name}");
}

/// Attack B5: many patterns that differ late, and wildcards that begin many.
#[test]
fn attack_b5_patterns_that_begin_alike_are_told_apart() {
    let numbered =
        |form: &str| (0..1000).map(|n| form.replace('#', &n.to_string())).collect::<Vec<_>>();
    expect(&numbered("reg.test/team/app-#"), "reg.test/team/app-17", &[17]);
    expect(&numbered("reg.test/team/app-#"), "reg.test/team/app-1000", &[]);
    expect(&numbered("reg.test/app-#*/x"), "reg.test/app-99/x", &[9, 99]);
    expect(&numbered("*.test/app-#/**"), "reg.test/app-5/a/b", &[5]);
    expect(&numbered("reg.test/*-#/x"), "reg.test/a-12-34/x", &[34]);
    expect(&numbered("reg.test/*-#*/x"), "reg.test/a-12-34/x", &[1, 3, 12, 34]);
    expect(&numbered("**/app-#"), "reg.test/a/app-3", &[3]);
    expect(&numbered("reg.test/**/t#/**/x"), "reg.test/t1/t2/x", &[1, 2]);
    expect(&numbered("reg.test/**/t#/**/x"), "reg.test/t1/t2/y", &[]);
}
