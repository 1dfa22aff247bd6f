//! Connaisseur's configuration: the rule that decides there is one that holds here, whatever the
//! image is called; and each way in which an import would be weaker.

use crate::image::Repository;
use crate::import::reader::draft::{Draft, DraftDemand};
use crate::import::reader::material::KeyMaterial;
use crate::import::reader::tree::{Findings, Tree};
use crate::import::tests::{KEY, OTHER, documents, faults, imported, notices, omissions};
use crate::import::{ImportFault, Notice, Omission};
use crate::policy::{ImageScope, yaml};

/// Patterns of every shape, those of the sample in Connaisseur's own tests among them
/// (test/testdata/config/00_sample.yaml).
const PATTERNS: [&str; 26] = [
    "*:*",
    "*",
    "docker.io/*:*",
    "docker.io/library/*:*",
    "docker.io/library/allow-me",
    "docker.io/library/nginx",
    "docker.io/library/nginx:*",
    "docker.io/library/nginx:v1",
    "docker.io/securesystemsengineering/sample",
    "docker.io/securesystemsengineering/sample:v1",
    "docker.io/securesystemsengineering/sam*",
    "securesystemsengineering/*:co*",
    "securesystemsengineering/*:*",
    "index.docker.io/library/*",
    "*x.docker.io/library/*",
    "docker.io/test:*",
    "docker.i*/s*",
    "registry.k8s.io/*:*",
    "my.registry/*",
    "my.registry/test",
    "LoCaLhOst:1234/*",
    "*.acme.io/*",
    "acme.io/*",
    "a.acme.io/*",
    "*/library/nginx",
    "my.registry/t*t",
];

/// Repositories, those last whose names a pattern matches in the middle.
const REPOSITORIES: [&str; 21] = [
    "docker.io/library/image",
    "docker.io/library/nginx",
    "docker.io/library/nginx-2",
    "docker.io/library/allow-me",
    "docker.io/securesystemsengineering/sample",
    "docker.io/securesystemsengineering/sample-2",
    "docker.io/securesystemsengineering/sample/x",
    "docker.io/securesystemsengineering/other",
    "registry.io/image",
    "registry.k8s.io/image",
    "my.registry/test",
    "my.registry/tent",
    "my.registry/abc",
    "localhost:1234/a",
    "acme.io/app",
    "a.acme.io/app",
    "evil.io/docker.io/library/nginx",
    "evil.io/xdocker.io/library/nginx",
    "xdocker.io/library/nginx",
    "registry.k8s.io/docker.io/library/nginx",
    "evil.io/a/securesystemsengineering/sample",
];
const IN_THE_MIDDLE: usize = 6;

/// Connaisseur's own way to the rule that decides, by its source (`Config.MatchingRule`,
/// `NewMatch`, `Match.Compare`).
fn decides(patterns: &[&str], image: &str) -> Option<usize> {
    type Rank = (usize, Vec<usize>, Vec<usize>);
    let fold = |text: &str| match text.split_once('/') {
        Some((host, rest))
            if host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost") =>
        {
            format!("{}/{rest}", host.to_ascii_lowercase())
        }
        _ => text.to_owned(),
    };
    let shared =
        |one: &str, two: &str| one.bytes().zip(two.bytes()).take_while(|(a, b)| a == b).count();
    let mut best: Option<(usize, Rank)> = None;
    for (number, pattern) in patterns.iter().enumerate() {
        if !matches(format!("*{}*", fold(pattern)).as_bytes(), image.as_bytes()) {
            continue;
        }
        let parts: Vec<&str> = pattern.split('/').collect();
        let prefixes = parts.iter().zip(image.split('/')).map(|(one, two)| shared(one, two));
        let rank = (parts.len(), prefixes.collect(), parts.iter().map(|part| part.len()).collect());
        if best.as_ref().is_none_or(|(_, known)| rank >= *known) {
            best = Some((number, rank));
        }
    }
    best.map(|(number, _)| number)
}

fn matches(glob: &[u8], text: &[u8]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        Some((byte, rest)) => text.first() == Some(byte) && matches(rest, &text[1..]),
    }
}

/// The names by which an image of a repository can be asked for, as Connaisseur writes them out.
fn full_names(repository: &str) -> Vec<String> {
    let full = match repository.strip_prefix("docker.io/") {
        Some(path) => format!("index.docker.io/{path}"),
        None => repository.to_owned(),
    };
    let digest = format!("@sha256:{}", "1".repeat(64));
    [":v1", ":v2", ":co-signed", &digest, &format!(":v1{digest}")]
        .map(|ending| format!("{full}{ending}"))
        .into()
}

/// A configuration of these patterns; each asks for a trust root of its own, or accepts.
fn config(rules: &[(&str, bool)]) -> String {
    let key = serde_json::Value::from(KEY);
    let mut text = "validators:\n  - {name: allow, type: static, approve: true}\n  \
                    - name: default\n    type: cosign\n    trustRoots:\n"
        .to_owned();
    for number in 0..rules.len() {
        text += &format!("      - {{name: r{number}, key: {key}}}\n");
    }
    text += "policy:\n";
    for (number, (pattern, accepts)) in rules.iter().enumerate() {
        let pattern = serde_json::Value::from(*pattern);
        text += &match accepts {
            true => format!("  - {{pattern: {pattern}, validator: allow}}\n"),
            false => format!(
                "  - {{pattern: {pattern}, with: {{trustRoot: r{number}, verifyInTransparencyLog: false}}}}\n"
            ),
        };
    }
    text
}

fn read(text: &str) -> (Vec<Draft>, Findings) {
    let nodes = yaml::documents(text).unwrap();
    let mut findings = Findings::default();
    let drafts =
        super::read(&Tree::new("0", &nodes[0]), &mut KeyMaterial::default(), &mut findings);
    assert_eq!(findings.faults, [], "{text}");
    (drafts, findings)
}

/// The drafts that are about a repository: the rule of each, none of one that accepts.
fn about(
    scopes: &[(ImageScope, Option<ImageScope>, Option<usize>)],
    name: &str,
) -> Vec<Option<usize>> {
    let name = [Repository::parse(name).unwrap()];
    let those = scopes.iter().filter(|(images, exclude, _)| {
        images.has(&name, None) && !exclude.as_ref().is_some_and(|scope| scope.has(&name, None))
    });
    those.map(|(_, _, rule)| *rule).collect()
}

fn scopes(drafts: &[Draft]) -> Vec<(ImageScope, Option<ImageScope>, Option<usize>)> {
    let scope = |patterns: &[String]| ImageScope::new(patterns, &[]).unwrap();
    let made = drafts.iter().map(|draft| {
        let rule = if let DraftDemand::Signed { name, .. } = &draft.demand {
            Some(name[1..].parse().unwrap())
        } else {
            assert_eq!(draft.demand, DraftDemand::Accept);
            None
        };
        (scope(&draft.images), (!draft.exclude.is_empty()).then(|| scope(&draft.exclude)), rule)
    });
    made.collect()
}

/// Every two patterns in either order, beside a rule about everything or where one of them accepts:
/// what decides there holds here; nothing is let through here that is not there; and of names that
/// somebody would use nothing else is asked where nothing was said.
#[test]
fn what_decides_there_holds_here() {
    for (one, two) in PATTERNS.iter().flat_map(|one| PATTERNS.iter().map(move |two| (*one, *two))) {
        for (accepts, base) in [(0, true), (1, true), (2, false)] {
            let mut rules = vec![(one, accepts == 1), (two, accepts == 2)];
            rules.extend(base.then_some(("*:*", false)));
            let (drafts, findings) = read(&config(&rules));
            let scopes = scopes(&drafts);
            let is_said = findings.omissions.is_empty()
                && !findings.notices.iter().any(|notice| {
                    matches!(notice.what, Notice::InAddition | Notice::UnmatchedAccepted)
                });
            let patterns: Vec<&str> = rules.iter().map(|(pattern, _)| *pattern).collect();
            for (number, repository) in REPOSITORIES.iter().enumerate() {
                let here = about(&scopes, repository);
                for name in full_names(repository) {
                    let there = decides(&patterns, &name).map(|rule| (rule, rules[rule].1));
                    let told = || {
                        format!("{name} under {rules:?}: {here:?}, there {there:?}\n{drafts:#?}")
                    };
                    match there {
                        // Refused there; here by no document, or where it has what one asks.
                        None => {
                            assert!(
                                here.is_empty() || here.iter().any(Option::is_some),
                                "{}",
                                told()
                            );
                        }
                        Some((rule, false)) => {
                            assert!(here.is_empty() || here.contains(&Some(rule)), "{}", told());
                        }
                        Some((_, true)) => {}
                    }
                    if is_said && number < REPOSITORIES.len() - IN_THE_MIDDLE {
                        let expected = there.map(|(rule, accepts)| (!accepts).then_some(rule));
                        assert_eq!(here, Vec::from_iter(expected), "{}", told());
                    }
                }
            }
        }
    }
}

/// The images of Connaisseur's own test of which rule decides, with its sample.
#[test]
fn the_sample_of_its_own_tests() {
    let patterns = [
        "*:*",
        "securesystemsengineering/*:co*",
        "docker.io/*:*",
        "registry.k8s.io/*:*",
        "docker.io/securesystemsengineering/sample",
        "docker.io/securesystemsengineering/sample:v1",
        "docker.io/library/allow-me",
        "docker.io/library/deny-me",
        "my.registry/*",
        "my.registry/test",
        "docker.io/test:*",
        "LoCaLhOst:1234/*",
    ];
    let rules: Vec<(&str, bool)> = patterns.iter().map(|pattern| (*pattern, false)).collect();
    let (drafts, findings) = read(&config(&rules));
    let scopes = scopes(&drafts);
    let narrow: Vec<&str> =
        patterns.iter().copied().filter(|one| one.contains(":co") || one.contains(":v1")).collect();
    let tagged = findings.omissions.iter().filter(|found| found.what == Omission::TagScope).count();
    assert_eq!((tagged, findings.omissions.len()), (narrow.len() + 1, narrow.len() + 1));
    for (image, full, pattern, also) in [
        ("docker.io/library/image", "index.docker.io/library/image:tag", "docker.io/*:*", &[][..]),
        ("registry.io/image", "registry.io/image:tag", "*:*", &[]),
        ("registry.k8s.io/image", "registry.k8s.io/image:latest", "registry.k8s.io/*:*", &[]),
        (
            "docker.io/securesystemsengineering/sample",
            "index.docker.io/securesystemsengineering/sample:v1",
            "docker.io/securesystemsengineering/sample:v1",
            &["docker.io/securesystemsengineering/sample"],
        ),
        (
            "docker.io/securesystemsengineering/sample-2",
            "index.docker.io/securesystemsengineering/sample-2:v2",
            "docker.io/securesystemsengineering/sample",
            &[],
        ),
        ("my.registry/test", "my.registry/test:tag", "my.registry/test", &[]),
        ("my.registry/abc", "my.registry/abc:tag", "my.registry/*", &[]),
        ("localhost:1234/a", "localhost:1234/a:tag", "LoCaLhOst:1234/*", &[]),
    ] {
        let there = decides(&patterns, full).map(|rule| patterns[rule]);
        assert_eq!(there, Some(pattern), "{image}");
        let mut here: Vec<&str> =
            about(&scopes, image).into_iter().map(|rule| patterns[rule.unwrap()]).collect();
        here.sort_unstable();
        let mut expected = [also, &[pattern]].concat();
        expected.sort_unstable();
        assert_eq!(here, expected, "{image}");
    }
}

/// The values of the chart as they come: what is signed by Notary is refused, with a remark.
#[test]
fn the_values_of_the_chart() {
    let key = serde_json::Value::from(KEY);
    let text = format!(
        "kubernetes: {{deployment: {{replicasCount: 3}}}}\napplication:\n  validators:\n    - {{name: allow, type: static, approve: true}}\n    - {{name: deny, type: static, approve: false}}\n    - {{name: dockerhub, type: notaryv1, trustRoots: [{{name: default, key: {key}}}]}}\n  policy:\n    - {{pattern: \"*:*\", validator: deny}}\n    - {{pattern: \"docker.io/library/*:*\", validator: dockerhub}}\n    - {{pattern: \"registry.k8s.io/*:*\", validator: allow}}\n  features:\n    automaticChildApproval: true\n    detectionMode: true\n    namespacedValidation: {{mode: ignore}}\n    cache: {{expirySeconds: 30}}\n  logLevel: info\n"
    );
    let imported = imported(&[&text]);
    assert_eq!(omissions(&imported), [Omission::Notation]);
    let [rest, library, open] = documents(&imported).try_into().unwrap();
    assert!(
        rest.contains("images:\n    - \"**\"\n  exclude:") && rest.contains("rejected"),
        "{rest}"
    );
    for pattern in ["docker.io/library/**", "*docker.io/library/**", "registry.k8s.io/**"] {
        assert!(rest.contains(&format!("    - \"{pattern}\"\n")), "{pattern}: {rest}");
    }
    assert!(library.contains("rejected") && !library.contains("exclude"), "{library}");
    assert!(open.contains("insecureAcceptAnything: true") && !open.contains("*registry"), "{open}");
    for notice in [Notice::DetectionMode, Notice::EveryNamespace] {
        assert!(notices(&imported).contains(&notice), "{notice:?}");
    }
}

/// One validator with the trust roots `a` and `b`, and what a rule with these options demands.
fn demanded(options: &str) -> (String, Vec<Omission>) {
    let (build, other) = (serde_json::Value::from(KEY), serde_json::Value::from(OTHER));
    let text = format!(
        "validators:\n  - name: default\n    type: cosign\n    trustRoots:\n      - {{name: a, key: {build}}}\n      - {{name: b, key: {other}}}\n      - {{name: kms, key: \"awskms:///alias/x\"}}\n      - {{name: web, keyless: {{issuer: \"https://token.actions.githubusercontent.com\", subjectRegex: \"^https://github.com/acme/app/\"}}}}\npolicy:\n  - {{pattern: \"reg.example/*\", with: {{{options}}}}}\n"
    );
    let imported = imported(&[&text]);
    let omissions = omissions(&imported);
    assert_eq!(omissions.first(), Some(&Omission::KeyElsewhere));
    let [document] = documents(&imported).try_into().unwrap();
    (document, omissions[1..].to_vec())
}

#[test]
fn trust_roots_thresholds_and_what_is_required() {
    for (options, has, has_not) in [
        ("trustRoot: a", &["name: \"a\"", "public-good"][..], &["name: \"b\""][..]),
        ("trustRoot: a, verifyInTransparencyLog: false", &["name: \"a\""], &["public-good"]),
        ("trustRoot: web", &["keyless:", "subjectRegExp"], &["insecureIgnoreSCT"]),
        ("trustRoot: web, verifySCT: false", &["insecureIgnoreSCT: true"], &[]),
        (
            "trustRoot: a, required: [a], mode: insecureValidateOnly",
            &["name: \"a\""],
            &["rejected"],
        ),
        // One root is asked: another can never be there beside it.
        ("trustRoot: a, required: [b]", &["rejected"], &["name: \"a\""]),
        // There is none called default, one has no key here, and all are asked for.
        ("threshold: 1", &["rejected"], &[]),
        ("trustRoot: kms", &["rejected"], &[]),
        ("trustRoot: \"*\"", &["rejected"], &[]),
        ("trustRoot: \"*\", threshold: 5", &["rejected"], &[]),
        ("trustRoot: \"*\", threshold: 4", &["rejected"], &[]),
        ("trustRoot: \"*\", threshold: 2", &["atLeast:", "count: 2"], &["rejected"]),
        ("trustRoot: \"*\", threshold: 1", &["any:"], &["rejected"]),
        ("trustRoot: \"*\", required: [a, b]", &["all:", "\"a\"", "\"b\""], &["\"web\""]),
        ("trustRoot: \"*\", required: [a, b], threshold: 1", &["all:"], &["\"web\""]),
        (
            "trustRoot: \"*\", required: [a], threshold: 2",
            &["all:", "any:", "\"web\""],
            &["atLeast"],
        ),
        ("trustRoot: \"*\", required: [kms]", &["rejected"], &[]),
        ("trustRoot: \"*\", required: [nobody]", &["rejected"], &[]),
    ] {
        let (document, omissions) = demanded(options);
        assert_eq!(omissions, [], "{options}");
        for text in has {
            assert!(document.contains(text), "{options}: no {text}\n{document}");
        }
        for text in has_not {
            assert!(!document.contains(text), "{options}: {text}\n{document}");
        }
    }
    let (document, omissions) = demanded("trustRoot: web, verifyInTransparencyLog: false");
    assert_eq!(omissions, [Omission::Field { name: "verifyInTransparencyLog" }]);
    assert!(document.contains("rejected"), "{document}");
}

/// An instance of one's own has no trust root here, and what asks for its log is refused.
#[test]
fn logs_and_authorities_of_ones_own() {
    let key = serde_json::Value::from(KEY);
    for (host, omission) in [
        ("rekor: \"https://rekor.acme.example\"", None),
        ("rekorPubkey: \"k\"", Some(Omission::LogKeys)),
        ("ctLogPubkey: \"k\"", Some(Omission::LogKeys)),
    ] {
        let text = format!(
            "validators:\n  - {{name: default, type: cosign, host: {{{host}}}, trustRoots: [{{name: default, key: {key}}}]}}\npolicy:\n  - {{pattern: \"reg.example/*\"}}\n"
        );
        let imported = imported(&[&text]);
        let url = "https://rekor.acme.example".to_owned();
        assert_eq!(
            omissions(&imported),
            [omission.unwrap_or(Omission::Instance { url })],
            "{host}"
        );
        assert!(documents(&imported)[0].contains("rejected"), "{host}");
    }
}

/// What accepts names its hosts; a tag that one rule asks for is no matter where no other asks for
/// anything else.
#[test]
fn what_accepts_and_tags() {
    let (drafts, findings) =
        read(&config(&[("*.acme.io/*", true), ("acme/*", true), ("ghcr.io/acme/*", true)]));
    let found: Vec<Omission> = findings.omissions.into_iter().map(|found| found.what).collect();
    assert_eq!(found, [Omission::AcceptWithoutHost, Omission::AcceptWithoutHost]);
    assert_eq!(drafts.len(), 1);
    for (accepts, omissions) in [(true, 0), (false, 1)] {
        let (_, findings) = read(&config(&[("*:*", accepts), ("ghcr.io/acme/app:*", false)]));
        assert_eq!(findings.omissions.len(), omissions, "{accepts}");
    }
    // A pattern that is not said is not about everything.
    let (drafts, findings) = read(&config(&[("ghcr.io/*/x", true), ("ghcr.io/acme/app:*", true)]));
    assert_eq!((drafts.len(), findings.omissions.len()), (0, 2));
    let (_, findings) = read(&config(&[("*:*", true), ("ghcr.io/acme/app:*", false)]));
    assert!(findings.notices.iter().any(|notice| notice.what == Notice::UnmatchedAccepted));
}

#[test]
fn faults_have_their_places() {
    let text = |policy: &str| {
        format!(
            "validators:\n  - {{name: allow, type: static, approve: true}}\npolicy:\n  - {policy}\n"
        )
    };
    for (policy, field, fault) in [
        (
            "{pattern: a, validator: none}",
            "policy[0].validator",
            ImportFault::UnknownValue { got: "none".to_owned() },
        ),
        ("{pattern: a}", "policy[0]", ImportFault::UnknownValue { got: "default".to_owned() }),
        ("{validator: allow}", "policy[0]", ImportFault::MissingField { name: "pattern" }),
        (
            "{pattern: a, key: b}",
            "policy[0].key",
            ImportFault::UnknownField { name: "key".to_owned() },
        ),
    ] {
        let found = faults(&[&text(policy)]);
        assert_eq!((found[0].1.as_str(), &found[0].2), (field, &fault), "{policy}");
    }
    let old = "validators: [{name: a, type: cosign, trust_roots: []}]\npolicy: [{pattern: a, validator: a}]\n";
    let unknown = ImportFault::UnknownField { name: "trust_roots".to_owned() };
    assert!(faults(&[old]).iter().any(|found| found.2 == unknown));
}
