//! The policies that are shipped as examples are read as they are shipped.

use super::support::*;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::policy::{Documents, PolicyFile, PolicySet, Reason, Unmatched};

const SHIPPED: [(&str, &str); 3] = [
    ("10-pause.yaml", include_str!("../../../packaging/policies/10-pause.yaml")),
    ("20-system.yaml", include_str!("../../../packaging/policies/20-system.yaml")),
    ("30-example.yaml", include_str!("../../../packaging/policies/30-example.yaml")),
];

fn shipped() -> PolicySet {
    let file = |(name, text): &(&str, &str)| PolicyFile { name: (*name).to_owned(), bytes: text.as_bytes().to_vec() };
    let files: Vec<PolicyFile> = SHIPPED.iter().map(file).collect();
    let documents = Documents::parse(&files).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let keys = documents.key_files().into_iter().map(|name| (name, Signer::new().public())).collect();
    PolicySet::build(documents, keys, Unmatched::Deny).unwrap()
}

#[test]
fn shipped_policies_are_good() {
    let names: Vec<String> = shipped().policies().map(str::to_owned).collect();
    assert_eq!(names, ["pause", "system-images", "production", "pinned-third-party", "vendor-mirror"]);
}

#[test]
fn shipped_policies_say_what_their_comments_say() {
    let set = shipped();
    let pause = crate::image::Digest::parse("sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097");
    let by = |name: &str, digest: &str| subject(name, &super::support::digest(digest));
    let mut released = by("registry.k8s.io/pause:3.9", "");
    released.target = pause.unwrap();
    assert_permitted(judge(&set, &released, &[]));
    let denial = denied(judge(&set, &by("registry.k8s.io/pause:3.9", "other"), &[]));
    assert_eq!((denial.policy(), denial.reason()), (Some("pause"), &Reason::DigestNotListed));
    let system = by("registry.k8s.io/etcd:3.5.15-0", "etcd");
    let permit = permitted(judge_in(&set, &system, &in_namespace("kube-system"), &[]));
    assert_eq!(permit.warnings().collect::<Vec<_>>(), ["system-images"]);
    assert_eq!(denied(judge_in(&set, &system, &in_namespace("default"), &[])).reason(), &Reason::NoPolicy);
    assert_eq!(denied(judge(&set, &system, &[])).reason(), &Reason::NoPolicy);
    let name = Name::Known(Reference::parse("registry.example.com/prod/app:1").unwrap());
    assert!(set.plan(&set.applicable(&name, &Pod::default())).signatures);
}

/// The examples of the manual page are policies.
#[test]
fn the_manuals_examples_are_good() {
    let manual = include_str!("../../../packaging/man/sealgate-policy.5");
    let mut examples = Vec::new();
    for block in manual.split("\n.EX\n").skip(1) {
        examples.push(block.split("\n.EE").next().unwrap().replace("\\(dq", "\""));
    }
    assert_eq!(examples.len(), 3);
    let set = set(
        &examples.join("\n---\n"),
        &[
            ("build.pub", &Signer::new()),
            ("security.pub", &Signer::new()),
            ("alice.pub", &Signer::new()),
            ("bob.pub", &Signer::new()),
            ("carol.pub", &Signer::new()),
            ("carol-new.pub", &Signer::new()),
            ("vendor.pub", &Signer::new()),
        ],
    );
    assert_eq!(set.policies().collect::<Vec<_>>(), ["production", "release", "vendor"]);
}
