//! The policies that are shipped as examples are read as they are shipped.

use std::sync::Arc;

use super::support::*;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::policy::document;
use crate::policy::requirement::attestor::{self, AttestorKind};
use crate::policy::requirement::certificate_identity;
use crate::policy::requirement::slsa::Slsa;
use crate::policy::requirement::{self, keys};
use crate::policy::syntax::predicate_types;
use crate::policy::{Documents, Material, PolicyFault, PolicyFile, PolicySet, Reason, Unmatched};
use crate::verify::{Certificate, Extension, San, TrustRoot};

const SHIPPED: [(&str, &str); 3] = [
    ("10-pause.yaml", include_str!("../../../packaging/policies/10-pause.yaml")),
    ("20-system.yaml", include_str!("../../../packaging/policies/20-system.yaml")),
    ("30-example.yaml", include_str!("../../../packaging/policies/30-example.yaml")),
];

/// Those that name certificates, attestations and trust roots.
const SIGNERS: [(&str, &str); 3] = [
    ("30-keyless.yaml", include_str!("../../../packaging/policies/30-keyless.yaml")),
    ("40-attestations.yaml", include_str!("../../../packaging/policies/40-attestations.yaml")),
    ("50-own-pki.yaml", include_str!("../../../packaging/policies/50-own-pki.yaml")),
];

fn shipped() -> PolicySet {
    let file = |(name, text): &(&str, &str)| PolicyFile {
        name: (*name).to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    let files: Vec<PolicyFile> = SHIPPED.iter().map(file).collect();
    let documents = Documents::parse(&files).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let keys =
        documents.key_files().into_iter().map(|name| (name, Signer::new().public())).collect();
    PolicySet::build(documents, keys, Unmatched::Deny).unwrap()
}

#[test]
fn the_shipped_deny_list_is_good() {
    let text = include_str!("../../../packaging/policies/60-deny-list.yaml");
    let set = set(text, &[]);
    assert_eq!(set.denied().count(), 2);
    let name = |name: &str| subject(name, &digest("image")).name;
    assert!(set.struck_off_name(&name("registry.example.com/retired/a/b:1")).is_some());
    assert!(set.struck_off_name(&name("registry.example.com/prod/app:1")).is_none());
}

#[test]
fn shipped_policies_are_good() {
    let names: Vec<String> = shipped().policies().map(str::to_owned).collect();
    assert_eq!(
        names,
        ["pause", "system-images", "production", "pinned-third-party", "vendor-mirror"]
    );
}

#[test]
fn shipped_policies_say_what_their_comments_say() {
    let set = shipped();
    let pause = crate::image::Digest::parse(
        "sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
    );
    let by = |name: &str, digest: &str| subject(name, &super::support::digest(digest));
    let mut released = by("registry.k8s.io/pause:3.9", "");
    released.target = pause.unwrap();
    assert_permitted(judge(&set, &released, &[]));
    let denial = denied(judge(&set, &by("registry.k8s.io/pause:3.9", "other"), &[]));
    assert_eq!((denial.policy(), denial.reason()), (Some("pause"), &Reason::DigestNotListed));
    let system = by("registry.k8s.io/etcd:3.5.15-0", "etcd");
    let permit = permitted(judge_in(&set, &system, &in_namespace("kube-system"), &[]));
    assert_eq!(permit.warnings().collect::<Vec<_>>(), ["system-images"]);
    assert_eq!(
        denied(judge_in(&set, &system, &in_namespace("default"), &[])).reason(),
        &Reason::NoPolicy
    );
    assert_eq!(denied(judge(&set, &system, &[])).reason(), &Reason::NoPolicy);
    let name = Name::Known(Reference::parse("registry.example.com/prod/app:1").unwrap());
    assert!(set.plan(&set.applicable(&name, &Pod::default())).signatures);
}

/// Every file beside every other: names are unique, nothing in them is odd, what they name is what
/// their comments say.
#[test]
fn shipped_signers_are_read_without_a_note() {
    let file = |(name, text): &(&str, &str)| PolicyFile {
        name: (*name).to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    let files: Vec<PolicyFile> = SHIPPED.iter().chain(&SIGNERS).map(file).collect();
    let documents = Documents::parse(&files).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(documents.notes(), []);
    let roots = documents.places_of_roots();
    assert_eq!(roots.keys().collect::<Vec<_>>(), ["acme", "public-good"]);
    assert_eq!(
        (roots["public-good"].file.as_str(), roots["public-good"].policy.as_str()),
        ("30-keyless.yaml", "kubernetes")
    );
    let certificates = documents.places_of_files();
    let names: Vec<&String> = certificates.keys().collect();
    assert_eq!(names, ["company-ca.crl", "company-ca.pem", "signing-ca.crl", "signing-ca.pem"]);
    for file in files {
        for line in String::from_utf8(file.bytes).unwrap().lines() {
            assert!(line.chars().count() <= 120, "{}: {line}", file.name);
        }
    }
}

/// With the trust root that is shipped they become a set, and without it the policy that needs it
/// is named.
#[test]
fn shipped_signers_are_judged_with_the_shipped_trust_root() {
    let files: Vec<PolicyFile> = SIGNERS[..2]
        .iter()
        .map(|(name, text)| PolicyFile {
            name: (*name).to_owned(),
            bytes: text.as_bytes().to_vec(),
        })
        .collect();
    let root = include_bytes!("../../../packaging/trust/public-good.json");
    let root = Arc::new(TrustRoot::parse(root).unwrap());
    let documents = Documents::parse(&files).unwrap();
    let keys = documents.key_files().into_iter().map(|name| (name, Signer::new().public()));
    let mut material: Material = keys.collect();
    let missing =
        PolicySet::build(Documents::parse(&files).unwrap(), material.clone(), Unmatched::Deny)
            .unwrap_err();
    let fault = PolicyFault::RootMissing {
        name: "public-good".to_owned(),
        policy: "kubernetes".to_owned(),
    };
    assert_eq!(missing[0].fault, fault);
    material.roots.insert("public-good".to_owned(), root);
    let set = PolicySet::build(documents, material, Unmatched::Deny)
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
    let names: Vec<&str> = set.policies().collect();
    assert_eq!(names, ["kubernetes", "distroless", "github-release", "attested", "nightly"]);
    let unsigned = subject("registry.k8s.io/etcd:3.5.15-0", &digest("etcd"));
    let denial = denied(judge(&set, &unsigned, &[&found(&digest("etcd"), Vec::new())]));
    assert_eq!((denial.policy(), denial.reason()), (Some("kubernetes"), &Reason::Unsigned));
}

/// Whether a certificate is one that a shipped policy names.
fn fits(policy: &str, certificate: &Certificate) -> bool {
    let files = SIGNERS
        .map(|(name, text)| PolicyFile { name: name.to_owned(), bytes: text.as_bytes().to_vec() });
    let documents = Documents::parse(&files).unwrap();
    let document = documents.documents.iter().find(|document| document.name == policy).unwrap();
    match &document.require.leaves[0].attestor().unwrap().kind {
        AttestorKind::Keyless(identities) => {
            identities.iter().any(|identity| identity.fits(certificate).is_ok())
        }
        AttestorKind::Certificate { subjects, .. } => {
            subjects.iter().any(|subject| subject.fits(certificate).is_ok())
        }
        AttestorKind::Key(_) => panic!("{policy} wants keys"),
    }
}

/// The identities that are shipped are those of the signers that they speak of, and of nobody near
/// them.
#[test]
fn attack_b8_shipped_identities_fit_their_signers_alone() {
    let google = |name: &str| {
        Certificate::saying(
            &[San::Email(name.to_owned())],
            Some("https://accounts.google.com"),
            &[],
        )
    };
    assert!(fits("kubernetes", &google("krel-trust@k8s-releng-prod.iam.gserviceaccount.com")));
    assert!(!fits("kubernetes", &google("krel-staging@k8s-releng-prod.iam.gserviceaccount.com")));
    assert!(!fits(
        "kubernetes",
        &google("krel-trust@k8s-releng-prod.iam.gserviceaccount.com.kx41v.test")
    ));
    assert!(fits("distroless", &google("keyless@distroless.iam.gserviceaccount.com")));
    assert!(!fits("distroless", &google("keyless@distroless-kx41v.iam.gserviceaccount.com")));
    let github = |workflow: &str, source: &str| {
        let extensions = [
            (Extension::SourceRepositoryUri, source),
            (Extension::RunnerEnvironment, "github-hosted"),
        ];
        let san = San::Uri(format!("https://github.com/{workflow}"));
        Certificate::saying(
            &[san],
            Some("https://token.actions.githubusercontent.com"),
            &extensions,
        )
    };
    let source = "https://github.com/acme/app";
    assert!(fits(
        "github-release",
        &github("acme/app/.github/workflows/release.yml@refs/tags/v1.2", source)
    ));
    for other in [
        "acme/app/.github/workflows/release.yml@refs/heads/main",
        "acme/app/.github/workflows/release_yml@refs/tags/v1.2",
        "acme/app/.github/workflows/test.yml@refs/tags/v1.2",
        "kx41v/app/.github/workflows/release.yml@refs/tags/v1.2",
        "acme/app/.github/workflows/release.yml@refs/tags/v1.2\nx",
    ] {
        assert!(!fits("github-release", &github(other, source)), "{other}");
    }
    let forked = github(
        "acme/app/.github/workflows/release.yml@refs/tags/v1.2",
        "https://github.com/kx41v/app",
    );
    assert!(!fits("github-release", &forked));
    let own = |san: San| Certificate::saying(&[san], None, &[]);
    assert!(fits("own-authority", &own(San::Dns("build-7.team.example.com".to_owned()))));
    assert!(!fits("own-authority", &own(San::Uri("build-7.team.example.com".to_owned()))));
    assert!(!fits(
        "own-authority",
        &own(San::Dns("build-7.team.example.com.kx41v.test".to_owned()))
    ));
}

/// The examples of the manual page are policies.
#[test]
fn the_manuals_examples_are_good() {
    let manual = include_str!("../../../packaging/man/sealgate-policy.5");
    let mut examples = Vec::new();
    for block in manual.split("\n.EX\n").skip(1) {
        examples
            .push(block.split("\n.EE").next().unwrap().replace("\\(dq", "\"").replace("\\e", "\\"));
    }
    assert_eq!(examples.len(), 6);
    let documents = Documents::parse(&[file(&examples.join("\n---\n"))])
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(documents.notes(), []);
    let names: Vec<&str> =
        documents.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["production", "release", "vendor", "workflow", "team", "payments"]);
    // Those with keys alone can be put together here.
    let keys = [
        "build.pub",
        "security.pub",
        "alice.pub",
        "bob.pub",
        "carol.pub",
        "carol-new.pub",
        "vendor.pub",
    ];
    let signers: Vec<Signer> = keys.iter().map(|_| Signer::new()).collect();
    let keys: Vec<(&str, &Signer)> = keys.into_iter().zip(&signers).collect();
    let set = set(&examples[..3].join("\n---\n"), &keys);
    assert_eq!(set.policies().collect::<Vec<_>>(), ["production", "release", "vendor"]);
}

/// The manual page speaks of every word that there is.
#[test]
fn the_manual_knows_every_word() {
    let manual = include_str!("../../../packaging/man/sealgate-policy.5");
    for words in [
        document::SPEC,
        attestor::KINDS,
        attestor::KEY,
        keys::KEY_FILE,
        attestor::KEYLESS,
        attestor::CERTIFICATE,
        requirement::ATTESTATION,
        certificate_identity::FIELDS,
        certificate_identity::EXTENSIONS,
        certificate_identity::OWN,
        Slsa::FIELDS,
    ] {
        for word in words {
            let told = manual.split(|c: char| !c.is_ascii_alphanumeric()).any(|text| text == *word);
            assert!(told, "{word}");
        }
    }
    for (word, uri) in predicate_types::SHORT_NAMES {
        assert!(
            manual.split(|c: char| !c.is_ascii_alphanumeric()).any(|text| text == *word),
            "{word}"
        );
        assert!(manual.contains(uri), "{uri}");
    }
}
