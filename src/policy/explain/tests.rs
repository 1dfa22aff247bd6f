//! What is said of documents, held against what the set decides.

use proptest::prelude::*;

use super::*;
use crate::policy::{Documents, Material, PolicyFile};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn explained(text: &str, image: &str, namespace: Option<&str>) -> Explanation {
    let (set, patterns) = set(text);
    let pod = Pod { namespace: namespace.map(str::to_owned), ..Pod::default() };
    let now = "2026-02-01T00:00:00Z".parse().unwrap();
    set.explain((&Reference::parse(image).unwrap(), &pod), &patterns, now)
}

fn set(text: &str) -> (PolicySet, Patterns) {
    let file = PolicyFile { name: "p.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    let documents = Documents::parse(&[file]).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let patterns = documents.patterns();
    let set = PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap();
    (set, patterns)
}

fn policy(name: &str, spec: &str) -> String {
    let digest = format!("require: {{digest: {{anyOf: [\"{DIGEST}\"]}}}}");
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  {}\n  \
         {}\n---\n",
        spec.replace("; ", "\n  "),
        if spec.contains("require") || spec.contains("deny:") { "" } else { &digest },
    )
}

const EXCEPTION: &str = "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {name: hotfix}\nspec:\n  \
     images: [\"a.test/x\"]\n  expires: 2026-02-10T00:00:00Z\n  owner: payments\n  reason: later\n";

/// `matches`, and the field that decided first.
fn decided(explanation: &Explanation, number: usize) -> (bool, &str, &str) {
    let document = &explanation.documents[number];
    (document.matches, &document.by[0].field, &document.by[0].said)
}

#[test]
fn the_field_that_decided_is_named() {
    let text = [
        policy("a", "images: [\"a.test/b\", \"a.test/**\"]; namespaces: [\"dev\", \"prod-*\"]"),
        policy("b", "images: [\"b.test/*\", \"c.test/*\", \"d.test/*\", \"e.test/**\"]"),
        policy("c", "images: [\"**\"]; exclude: [\"b.test/*\", \"a.test/x\"]"),
        policy("d", "images: [\"a.test/*\"]; namespaces: [\"dev\"]"),
        policy("e", "images: [\"a.test/*\"]; namespaces: [\"dev\"]; action: warn"),
    ]
    .concat();
    let explanation = explained(&text, "a.test/x:1", Some("prod-eu"));
    assert_eq!(decided(&explanation, 0), (true, "spec.images[1]", "a.test/**"));
    let by = &explanation.documents[0].by[1];
    assert_eq!((by.field.as_str(), by.said.as_str()), ("spec.namespaces[1]", "prod-*"));
    let none = "has no pattern that matches: b.test/*, c.test/*, d.test/*, 1 more";
    assert_eq!(decided(&explanation, 1), (false, "spec.images", none));
    assert_eq!(decided(&explanation, 2), (false, "spec.exclude[1]", "takes it out: a.test/x"));
    assert_eq!(
        decided(&explanation, 3),
        (false, "spec.namespaces", "has no pattern that matches: dev")
    );
    assert_eq!(explanation.outcome, Conclusion::Demanded { policies: vec!["a".to_owned()] });
    assert_eq!(explanation.places, Vec::<String>::new(), "a digest needs no signature");
    // A namespace that is not known is in every policy that enforces, and in none that does not.
    let explanation = explained(&text, "a.test/x:1", None);
    assert_eq!(decided(&explanation, 3), (true, "spec.images[0]", "a.test/*"));
    let (matches, field, said) = decided(&explanation, 4);
    assert_eq!((matches, field), (false, "spec.namespaces"));
    assert!(said.contains("not known"), "{said}");
}

#[test]
fn who_lets_a_checkpoint_be_restored_is_told() {
    let text = policy("a", "images: [\"a.test/x\"]; allowCheckpointRestore: true")
        + &policy("b", "images: [\"a.test/*\"]")
        + EXCEPTION;
    let said = explained(&text, "a.test/x:1", None).documents.into_iter();
    let said: Vec<_> = said.map(|document| document.allow_checkpoint_restore).collect();
    assert_eq!(said, [Some(true), Some(false), None]);
}

#[test]
fn what_it_comes_to_is_what_a_decision_says() {
    let one = policy("a", "images: [\"a.test/x\"]");
    let outcome = |text: &str, image: &str| explained(text, image, None).outcome;
    assert_eq!(outcome(&one, "b.test/x:1"), Conclusion::NoPolicy);
    let demanded = Conclusion::Demanded { policies: vec!["a".to_owned()] };
    assert_eq!(outcome(&one, "a.test/x:1"), demanded);
    let excepted = Conclusion::Excepted { exception: "hotfix".to_owned() };
    assert_eq!(outcome(&format!("{one}{EXCEPTION}"), "a.test/x:1"), excepted);
    let anything = policy("a", "images: [\"a.test/x\"]; require: {insecureAcceptAnything: true}");
    assert_eq!(outcome(&anything, "a.test/x:1"), Conclusion::WithoutProof);
    let denying =
        policy("b", &format!("images: [\"a.test/*\"]; deny: {{digests: [\"{DIGEST}\"]}}"));
    let both = format!("{one}{denying}{EXCEPTION}");
    let denied = Conclusion::Denied { policy: "b".to_owned() };
    assert_eq!(outcome(&both, &format!("a.test/x@{DIGEST}")), denied);
    let list = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: off}\nspec:\n  \
         repositories:\n  - {pattern: a.test/*, reason: gone, date: 2026-01-01T00:00:00Z}\n";
    let struck_off = outcome(&format!("{one}{list}"), "a.test/x:1");
    assert!(matches!(struck_off, Conclusion::StruckOff { .. }) && struck_off.is_final());
}

#[test]
fn what_is_asked_is_a_tree_and_a_digest_is_looked_up() {
    let other = DIGEST.replace("aaaa", "bbbb");
    let spec = format!(
        "images: [\"a.test/x\"]; require: {{any: [{{digest: {{anyOf: [\"{DIGEST}\"]}}}}, {{name: n, \
         digest: {{anyOf: [\"{other}\"]}}}}]}}"
    );
    let explanation = explained(&policy("a", &spec), &format!("a.test/x@{other}"), None);
    let leaf = |name: &str, is_met| Asked::Requirement {
        name: name.to_owned(),
        wants: "one of the 1 digests listed".to_owned(),
        and: Vec::new(),
        is_met: Some(is_met),
        denied: None,
    };
    let expected = Asked::AtLeast { count: 1, of: vec![leaf("digest", false), leaf("n", true)] };
    assert_eq!(explanation.documents[0].asks, Some(expected));
    let demanded = Conclusion::Demanded { policies: vec!["a".to_owned()] };
    assert_eq!(explanation.outcome, demanded, "one of the two is enough");
    let third = DIGEST.replace("aaaa", "cccc");
    let explanation = explained(&policy("a", &spec), &format!("a.test/x@{third}"), None);
    assert_eq!(explanation.outcome, Conclusion::NotListed { policy: "a".to_owned() });
    assert!(explanation.outcome.is_final());
}

/// `openssl pkey -pubin -outform der | sha256sum` of the key in [`SIGNED`].
const FINGERPRINT: &str = "sha256:06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9";
/// A requirement that a key must have signed.
const SIGNED: &str = "{name: build, key: {pem: \"-----BEGIN PUBLIC \
     KEY-----\\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\\n-----END PUBLIC \
     KEY-----\\n\"}}";

/// What nobody can sign any more is not asked for as if somebody could, and nobody is told to.
#[test]
fn a_denied_signer_is_named_and_signs_nothing_new() {
    let denying = |more: &str| {
        format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d}}\nspec: {{keys: \
             [{{fingerprint: '{FINGERPRINT}', reason: leaked, date: 2026-01-01T00:00:00Z{more}}}]}}\n"
        )
    };
    let alone = policy("a", &format!("images: [\"a.test/x\"]; require: {SIGNED}"));
    let of = |policy: &str, list: &str| explained(&[policy, list].concat(), "a.test/x:1", None);
    let Conclusion::SignersDenied { policy: name, by } = of(&alone, &denying("")).outcome else {
        panic!("{:?}", of(&alone, &denying("")));
    };
    assert_eq!((name.as_str(), by.list.as_str(), by.why.as_str()), ("a", "d", "leaked"));
    // What it is proven to have signed before still counts.
    let earlier = denying(", signedAfter: 2026-01-01T00:00:00Z");
    let demanded = Conclusion::Demanded { policies: vec!["a".to_owned()] };
    assert_eq!(of(&alone, &earlier).outcome, demanded);
    // Another way is left.
    let spec = format!(
        "images: [\"a.test/x\"]; require: {{any: [{SIGNED}, {{digest: {{anyOf: \
                        [\"{DIGEST}\"]}}}}]}}"
    );
    assert_eq!(of(&policy("a", &spec), &denying("")).outcome, demanded);
    let name = Name::Known(Reference::parse("a.test/x:1").unwrap());
    let party = |list: &str| {
        let (set, _) = set(&[alone.as_str(), list].concat());
        set.signing_way(&name, "a", "build").unwrap().by
    };
    assert_eq!(party(""), SigningParty::Key(None));
    assert!(matches!(party(&denying("")), SigningParty::Nobody(_)));
    assert!(
        matches!(party(&earlier), SigningParty::Nobody(_)),
        "a new signature counts for nothing"
    );
}

proptest! {
    /// What is said to match is what matches.
    #[test]
    fn what_is_explained_is_what_the_set_says(
        patterns in prop::collection::vec(("(a|b)\\.test/(x|y|\\*|\\*\\*|x/\\*)", "(c|d)\\.test/\\*|a\\.test/(x|y|\\*)", "dev|prod-\\*|\\*"), 1..6),
        image in "(a|b)\\.test/(x|y|z|x/y)",
        namespace in prop::option::of("dev|prod-eu|other"),
    ) {
        let text: String = patterns.iter().enumerate().map(|(n, (image, exclude, namespace))| {
            let spec = format!("images: [\"{image}\"]; exclude: [\"{exclude}\"]; namespaces: [\"{namespace}\"]");
            policy(&format!("p{n}"), &spec)
        }).collect();
        let (set, _) = set(&text);
        let pod = Pod { namespace: namespace.clone(), ..Pod::default() };
        let name = Name::Known(Reference::parse(&image).unwrap());
        let matching: Vec<usize> = set.applicable(&name, &pod).documents().iter().collect();
        let explanation = explained(&text, &image, namespace.as_deref());
        let said: Vec<usize> = explanation.documents.iter().enumerate().filter(|(_, d)| d.matches).map(|(n, _)| n).collect();
        prop_assert_eq!(said, matching);
        prop_assert!(explanation.documents.iter().all(|document| !document.by.is_empty()));
    }
}
