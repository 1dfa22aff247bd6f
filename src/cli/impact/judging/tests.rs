//! What becomes of an image by what a record and the node say of its pod.

use std::collections::BTreeSet;

use super::*;
use crate::evidence_store::Options;
use crate::policy::{Documents, Material, PolicyFile, Unmatched};

const IMAGE: &str = "reg.test/shop/app:1";

/// A set of one policy with these fields, that wants this digest.
fn set(fields: &str, wanted: &Digest) -> Arc<PolicySet> {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: test}}\nspec: {{{fields}images: \
         [\"reg.test/**\"], require: {{digest: {{anyOf: [\"{wanted}\"]}}}}}}\n"
    );
    let file = PolicyFile { name: "p.yaml".to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).unwrap();
    Arc::new(PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap())
}

/// What becomes of the image under a policy with these fields that wanted it, and does not any more.
fn standing(fields: &str, image: &AffectedImage) -> (WithoutIt, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evidence");
    let store = Store::open(Options { path, ..Options::default() }).unwrap();
    let catalog = Catalog::of(&store).unwrap();
    let own = Digest::parse(&image.digest).unwrap();
    let prospect = Prospect {
        without: set(fields, &own),
        with: set(fields, &Digest::of(b"another")),
        already: None,
    };
    ImpactJudge::of((&store, &catalog), &prospect, &Settings::default()).standing(image)
}

fn image(namespace: &str) -> AffectedImage {
    AffectedImage {
        names: BTreeSet::from([IMAGE.to_owned()]),
        digest: Digest::of(b"app").to_string(),
        namespaces: BTreeSet::from([namespace.to_owned()]),
        ..AffectedImage::default()
    }
}

#[test]
fn what_hinges_on_a_pod_that_is_not_on_record_is_not_called_refused() {
    let prod = image("prod");
    assert_eq!(standing("", &prod).0, WithoutIt::Refused);
    for fields in [
        "podLabels: {tier: prod}, ",
        "podAnnotations: {tier: prod}, ",
        "runtimeHandlers: [kata], ",
        "kinds: [container], ",
        "imageLabels: {tier: pci}, ",
    ] {
        assert_eq!(standing(fields, &prod), (WithoutIt::Untold, HINGES.to_owned()), "{fields}");
    }
    assert_eq!(standing("namespaces: [prod], ", &prod).0, WithoutIt::Refused, "it is on record");
}

#[test]
fn a_sandbox_is_known_by_its_call() {
    let sandbox = AffectedImage { is_of_sandboxes: true, ..image("prod") };
    assert_eq!(standing("kinds: [sandbox], ", &sandbox).0, WithoutIt::Refused);
}
