//! Which documents match: names, spellings, namespaces, and what is not known.

use super::support::*;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::policy::{
    Action, Elsewhere, OtherNamespaces, PatternFault, PolicyFault, PolicySet, Reason,
};

const DIGEST: &str = "{digest: {anyOf: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}";

fn matched(set: &PolicySet, name: &str, pod: &Pod) -> usize {
    set.applicable(&Name::Known(Reference::parse(name).unwrap()), pod).len()
}

#[test]
fn images_exclude_and_namespaces_select() {
    let text = named("test", r#"["reg.test/prod/**"]"#, DIGEST).replace(
        "spec: {",
        r#"spec: {exclude: ["reg.test/prod/scratch/*"], namespaces: ["prod-*"], "#,
    );
    let set = set(&text, &[]);
    let prod = in_namespace("prod-a");
    assert_eq!(matched(&set, "reg.test/prod/app:1", &prod), 1);
    assert_eq!(matched(&set, "reg.test/prod/a/b", &prod), 1);
    assert_eq!(matched(&set, "reg.test/prod/scratch/x", &prod), 0);
    assert_eq!(matched(&set, "reg.test/prod/scratch/x/y", &prod), 1);
    assert_eq!(matched(&set, "reg.test/other", &prod), 0);
    assert_eq!(matched(&set, "reg.test/prod/app:1", &in_namespace("dev")), 0);
}

#[test]
fn a_policy_that_matches_in_other_namespaces_is_told() {
    let text = named("test", r#"["reg.test/prod/**"]"#, DIGEST).replace(
        "spec: {",
        r#"spec: {exclude: ["reg.test/prod/x"], namespaces: ["prod-*", a, b, c, d], "#,
    );
    let set = set(&text, &[]);
    let elsewhere =
        |name: &str, pod: &Pod| set.elsewhere(&Name::Known(Reference::parse(name).unwrap()), pod);
    let namespaces = Some("prod-*, a, b, c, ...".to_owned());
    let told = Elsewhere::Namespaces(OtherNamespaces {
        policy: "test".to_owned(),
        namespaces,
        namespace: Some("dev\\n".to_owned()),
    });
    assert_eq!(
        told.to_string(),
        "policy \"test\" matches the name, but its spec.namespaces (prod-*, a, b, c, ...) do not \
         have the pod's, dev\\n"
    );
    assert_eq!(elsewhere("reg.test/prod/app:1", &in_namespace("dev\n")), Some(told));
    assert_eq!(elsewhere("reg.test/prod/app:1", &in_namespace("prod-a")), None);
    assert_eq!(elsewhere("reg.test/prod/x", &in_namespace("dev")), None);
    assert_eq!(elsewhere("reg.test/other", &in_namespace("dev")), None);
}

/// Attack E8: a namespace that is not known matches every enforcing document and no permissive one.
#[test]
fn attack_e8_an_unknown_namespace_matches_what_enforces() {
    let enforcing = named("enforcing", r#"["reg.test/**"]"#, DIGEST)
        .replace("spec: {", "spec: {namespaces: [a], ");
    let warning =
        enforcing.replace("enforcing", "warning").replace("spec: {", "spec: {action: warn, ");
    let accepting = named("accepting", r#"["reg.test/**"]"#, "{insecureAcceptAnything: true}")
        .replace("spec: {", "spec: {namespaces: [a], ");
    let set = set(&format!("{enforcing}---\n{warning}---\n{accepting}"), &[]);
    assert_eq!(matched(&set, "reg.test/x", &Pod::default()), 1);
    assert_eq!(matched(&set, "reg.test/x", &in_namespace("a")), 3);
    assert_eq!(matched(&set, "reg.test/x", &in_namespace("b")), 0);
    let subject = subject("reg.test/x", &digest("image"));
    assert_eq!(denied(judge(&set, &subject, &[])).reason(), &Reason::DigestNotListed);
}

/// Attack E8: an id with no name matches every enforcing document, excluded or not, and no
/// permissive one.
#[test]
fn attack_e8_an_image_without_a_name_meets_every_enforcing_document() {
    let excluding = named("one", r#"["reg.test/**"]"#, DIGEST)
        .replace("spec: {", r#"spec: {exclude: ["reg.test/**"], "#);
    let namespaced =
        named("two", r#"["other.test/**"]"#, DIGEST).replace("spec: {", "spec: {namespaces: [a], ");
    let accepting = named("three", r#"["reg.test/**"]"#, "{insecureAcceptAnything: true}");
    let warning =
        named("four", r#"["reg.test/**"]"#, DIGEST).replace("spec: {", "spec: {action: warn, ");
    let set = set(&format!("{excluding}---\n{namespaced}---\n{accepting}---\n{warning}"), &[]);
    assert_eq!(set.applicable(&Name::Unknown, &Pod::default()).len(), 2);
    assert_eq!(set.applicable(&Name::Unknown, &in_namespace("a")).len(), 2);
    assert_eq!(set.applicable(&Name::Unknown, &in_namespace("b")).len(), 1);
    // Only permissive documents: nothing matches, and that is denied.
    let only = super::support::set(&accepting, &[]);
    let mut subject = subject("reg.test/x", &digest("image"));
    subject.name = Name::Unknown;
    assert_eq!(denied(judge(&only, &subject, &[])).reason(), &Reason::NoPolicy);
}

/// Attack E8: another spelling of a place that a policy names.
#[test]
fn attack_e8_no_spelling_of_a_place_is_outside_its_policy() {
    let set = set(&named("hub", r#"["docker.io/library/*", "reg.test/a"]"#, DIGEST), &[]);
    for name in [
        "app",
        "DOCKER.io/app",
        "index.docker.io/library/app",
        "registry-1.docker.io/library/app:1",
        "registry.hub.docker.com/library/app",
        "docker.io:443/library/app",
        "REG.test/a",
        "reg.TEST:443/a:2",
    ] {
        assert_eq!(matched(&set, name, &Pod::default()), 1, "{name}");
    }
    for name in ["reg.test:5000/a", "reg.test/ab", "reg.test/a/b", "xreg.test/a", "acme/app"] {
        assert_eq!(matched(&set, name, &Pod::default()), 0, "{name}");
    }
}

/// Attack E8: what admits without proof names its hosts.
#[test]
fn attack_e8_permissive_documents_name_literal_hosts() {
    for images in [r#"["**"]"#, r#"["*.test/**"]"#, r#"["reg.test/a", "*/b"]"#, r#"["**/app"]"#] {
        let accepting = named("test", images, "{insecureAcceptAnything: true}");
        assert_eq!(
            faults(&accepting),
            [(4, "spec.images".to_owned(), PolicyFault::PermissiveHost)],
            "{images}"
        );
        let warning = named("test", images, DIGEST).replace("spec: {", "spec: {action: warn, ");
        assert_eq!(
            faults(&warning),
            [(4, "spec.images".to_owned(), PolicyFault::PermissiveHost)],
            "{images}"
        );
        assert_eq!(faults(&named("test", images, DIGEST)), [], "{images}");
    }
}

#[test]
fn only_permissive_documents_admit_and_the_report_says_so() {
    let text = format!(
        "{}---\n{}",
        named("one", r#"["reg.test/**"]"#, "{insecureAcceptAnything: true}"),
        named("two", r#"["reg.test/**"]"#, DIGEST).replace("spec: {", "spec: {action: warn, ")
    );
    let set = set(&text, &[]);
    let permit = permitted(judge(&set, &subject("reg.test/x", &digest("image")), &[]));
    let documents = &permit.report().documents;
    assert!(documents[0].accepts_anything && documents[0].satisfied);
    assert_eq!((documents[1].action, documents[1].satisfied), (Action::Warn, false));
    assert_eq!(permit.warnings().collect::<Vec<_>>(), ["two"]);
}

#[test]
fn thousands_of_documents_are_found_by_host() {
    let texts: Vec<String> = (0..1000)
        .map(|n| named(&format!("p{n}"), &format!(r#"["r{n}.test/**"]"#), DIGEST))
        .collect();
    let set = set(&texts.join("---\n"), &[]);
    assert_eq!(set.len(), 1000);
    assert_eq!(matched(&set, "r999.test/a", &Pod::default()), 1);
    assert_eq!(matched(&set, "r1000.test/a", &Pod::default()), 0);
    assert_eq!(set.applicable(&Name::Unknown, &Pod::default()).len(), 1000);
}

/// The image by which the gate tests itself: no pattern names its host, and no wildcard includes it.
#[test]
fn attack_e8_no_policy_can_be_written_for_the_reserved_host() {
    for host in
        ["canary.sealgate.invalid", "Canary.Sealgate.Invalid:443", "canary.sealgate.invalid:*"]
    {
        let text = named("test", &format!("[\"{host}/**\"]"), "{insecureAcceptAnything: true}");
        let faults = faults(&text);
        assert!(
            faults
                .iter()
                .any(|(_, _, fault)| matches!(fault, PolicyFault::Pattern(PatternFault::Reserved))),
            "{host}: {faults:?}"
        );
    }
    let key = Signer::new();
    let require = "{name: build, key: {files: [build.pub]}}";
    for pattern in ["**", "*.sealgate.invalid/**", "canary.*.invalid/**"] {
        let set = set(&named("test", &format!("[\"{pattern}\"]"), require), &[("build.pub", &key)]);
        let matching = |name: &str| {
            let name = Name::Known(Reference::parse(name).unwrap());
            set.applicable(&name, &Pod::default()).len()
        };
        assert_eq!(matching("canary.sealgate.invalid/canary:1"), 0, "{pattern}");
        assert_eq!(matching("canary.sealgate.invalid:443/canary:1"), 0, "{pattern}");
    }
}
