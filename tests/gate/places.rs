//! The places where evidence is looked for, each by itself: what is read there, what is left, and
//! the three different answers of a place that gives nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sealgate::evidence::{Content, Evidence, Format, Outcome, Source};
use sealgate::image::{Digest, Reference};
use sealgate::policy::Plan;
use sealgate::registry::Access;
use sealgate::sources::{Bounds, PlaceQuery, Reading, Turns};

use crate::fixtures;
use crate::registry::{Answer, OCI_MANIFEST, Rule, Settings};
use crate::rig::{HOST, Rig, by_digest, clock, pull, tagged, whole};

const REPOSITORY: &str = "prod/unsigned";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const MIB: usize = 1 << 20;
/// Whatever is asked for.
const ALL: Plan =
    Plan { signatures: true, certificates: true, attestations: true, names_tag: false };

fn subject() -> Digest {
    Digest::parse(&fixtures::prod("unsigned").tags["v1"]).unwrap()
}

/// Looks in one place for evidence on the unsigned image.
async fn look(rig: &Rig, source: Source, plan: Plan) -> Evidence {
    look_at(rig, source, plan, 1024).await
}

/// The same, at so many signatures at most.
async fn look_at(rig: &Rig, source: Source, plan: Plan, signatures: usize) -> Evidence {
    let name = Reference::parse(&format!("{HOST}/{REPOSITORY}:v1")).unwrap();
    let deadline = clock().steady() + Duration::from_secs(60);
    let session = Arc::new(rig.client()).session(&Access::default(), deadline);
    let reading =
        Reading::new(session, deadline, Arc::new(Turns::new(clock())), Bounds::new(signatures, 16));
    let (repository, digest) = (name.runtime_repository(), &subject());
    let wanted = PlaceQuery {
        repository,
        image: repository,
        digest,
        bytes: None,
        plan,
        listed: None,
        start: 0,
        known: BTreeSet::new(),
    };
    whole(&reading, wanted, source).await
}

/// Puts layers under the tag of an older form.
fn tag(rig: &Rig, ending: &str, layers: &[(&str, Vec<u8>)]) {
    let layer = |(kind, bytes): &(&str, Vec<u8>)| {
        let digest = rig.registry.put_blob(REPOSITORY, bytes);
        format!(
            r#"{{"mediaType":"{kind}","digest":"{digest}","size":{},"annotations":{{"dev.sigstore.cosign/chain":"c"}}}}"#,
            bytes.len()
        )
    };
    let layers: Vec<String> = layers.iter().map(layer).collect();
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{}]}}"#,
        layers.join(",")
    );
    let tag = format!("sha256-{}.{ending}", subject().hex());
    rig.registry.put_manifest(REPOSITORY, Some(&tag), manifest.as_bytes(), OCI_MANIFEST);
}

/// Hangs a bundle on the unsigned image, with an annotation that says what it holds.
fn attach(rig: &Rig, bundle: &[u8], predicate_type: &str) {
    let size = fixtures::prod("unsigned").tagged("v1").len();
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let layer = rig.registry.put_blob(REPOSITORY, bundle);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{BUNDLE}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"{BUNDLE}","digest":"{layer}","size":{}}}],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{size}}},"annotations":{{"{PREDICATE_TYPE}":"{predicate_type}"}}}}"#,
        bundle.len(),
        subject()
    );
    rig.registry.put_manifest(REPOSITORY, None, manifest.as_bytes(), OCI_MANIFEST);
}

fn outcomes(evidence: &Evidence) -> Vec<&Outcome> {
    evidence.looked.iter().map(|(_, outcome)| outcome).collect()
}

#[tokio::test]
async fn an_attestation_under_the_older_tag_comes_with_its_annotations() {
    let rig = Rig::new(Settings::conforming());
    tag(
        &rig,
        "att",
        &[(ENVELOPE, b"envelope".to_vec()), ("application/json", b"something else".to_vec())],
    );
    let found = look(&rig, Source::AttestationTag, ALL).await;
    assert_eq!(outcomes(&found), [&Outcome::Found(1)]);
    let Content { format: Format::Envelope, bytes, annotations, .. } = &found.items[0].content
    else {
        panic!("{found:?}")
    };
    assert_eq!(
        (&bytes[..], annotations["dev.sigstore.cosign/chain"].as_str()),
        (&b"envelope"[..], "c")
    );
    assert_eq!(found.items[0].digest, Digest::of(b"envelope"));
    assert!(found.items[0].place.to_string().ends_with(".att"), "{}", found.items[0].place);
    let elsewhere = look(&rig, Source::SignatureTag, ALL).await;
    assert_eq!(outcomes(&elsewhere), [&Outcome::Absent]);
}

/// Absent, not readable and unreachable are three different answers.
#[tokio::test]
async fn a_place_that_gives_nothing_says_which_of_three_it_is() {
    for source in [Source::SignatureTag, Source::AttestationTag] {
        let rig = Rig::new(Settings::without_referrers());
        assert_eq!(outcomes(&look(&rig, source, ALL).await), [&Outcome::Absent]);
        let mut said = Vec::new();
        for status in [403, 503] {
            rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(status, "UNKNOWN")));
            said.extend(
                look(&rig, source, ALL).await.looked.into_iter().map(|(_, outcome)| outcome),
            );
            rig.registry.clear_rules();
        }
        assert!(
            matches!(said.as_slice(), [Outcome::Unable(_), Outcome::Unreachable(_)]),
            "{source:?} {said:?}"
        );
    }
}

/// A layer that is listed and not given is kept back, which is not absence.
#[tokio::test]
async fn attack_d1_a_layer_that_is_listed_and_not_given_is_not_absent() {
    let rig = Rig::new(Settings::conforming());
    tag(&rig, "att", &[(ENVELOPE, b"envelope".to_vec())]);
    rig.registry.rule(Rule::new("/blobs/", Answer::Status(404, "BLOB_UNKNOWN")));
    let found = look(&rig, Source::AttestationTag, ALL).await;
    assert!(matches!(outcomes(&found).first(), Some(Outcome::Unable(_))), "{:?}", found.looked);
}

/// Attack D1: what is large has bounds of its own, and leaves room for what is small.
#[tokio::test]
async fn attack_d1_large_attestations_are_bounded_and_leave_room() {
    let rig = Rig::new(Settings::conforming());
    let large = |n: u8| vec![n; 2 * MIB];
    let layers = [
        (ENVELOPE, large(1)),
        (ENVELOPE, vec![b'x'; 22 * MIB]),
        (ENVELOPE, large(2)),
        (ENVELOPE, large(3)),
        (ENVELOPE, large(4)),
        (ENVELOPE, b"small".to_vec()),
    ];
    tag(&rig, "att", &layers);
    let found = look(&rig, Source::AttestationTag, ALL).await;
    assert_eq!(found.items.len(), 4, "three large ones and the small one: {:?}", found.looked);
    assert!(found.items.iter().any(|item| item.digest == Digest::of(b"small")));
    let unable = outcomes(&found)
        .into_iter()
        .filter(|outcome| matches!(outcome, Outcome::Unable(_)))
        .count();
    assert_eq!(unable, 2, "{:?}", found.looked);
    let longest = Digest::of(&layers[1].1);
    assert_eq!(rig.registry.count(&format!("/blobs/{longest}")), 0, "not even asked for");
}

/// What says of itself that it is a provenance is left where it is when no attestation is asked
/// for.
#[tokio::test]
async fn a_bundle_that_announces_an_attestation_is_read_only_where_one_is_wanted() {
    let rig = Rig::new(Settings::conforming());
    attach(&rig, b"{\"provenance\":1}", "https://slsa.dev/provenance/v1");
    attach(&rig, b"{\"signature\":1}", "https://sigstore.dev/cosign/sign/v1");
    let unwanted = look(&rig, Source::Referrers, Plan { attestations: false, ..ALL }).await;
    assert_eq!(outcomes(&unwanted), [&Outcome::Found(1)]);
    assert_eq!(unwanted.items[0].digest, Digest::of(b"{\"signature\":1}"));
    assert_eq!(rig.registry.count(&format!("/blobs/{}", Digest::of(b"{\"provenance\":1}"))), 0);
    assert_eq!(look(&rig, Source::Referrers, ALL).await.items.len(), 2);
}

/// Hangs so many bundles, each with other junk in it, on the image of a situation; in their layers
/// with this annotation.
fn litter(rig: &Rig, situation: &str, count: usize, annotation: &str) {
    let repository = format!("prod/{situation}");
    let subject = &fixtures::prod(situation).tags["v1"];
    for number in 0..count {
        let bundle = format!("{{\"junk\": {number}}}");
        let blob = rig.registry.put_blob(&repository, bundle.as_bytes());
        let config = rig.registry.put_blob(&repository, b"{}");
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": BUNDLE, "digest": blob, "size": bundle.len(), "annotations": {"junk": annotation}}],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 2},
        });
        rig.registry.put_manifest(
            &repository,
            None,
            &serde_json::to_vec(&manifest).unwrap(),
            OCI_MANIFEST,
        );
    }
}

/// Attack D1: whoever may add referrers, but not move a tag, adds as many as are read. The
/// signature under the tag is found all the same.
#[tokio::test]
async fn attack_d1_many_referrers_do_not_hide_the_signature_under_a_tag() {
    let rig = Rig::new(Settings::conforming());
    litter(&rig, "signed-v2", 64, "");
    pull(&rig.gate(), &tagged("signed-v2")).await.unwrap();
    pull(&rig.gate(), &by_digest("signed-v2")).await.unwrap();
}

/// Attack D1: the same with few, as large as manifests can be.
#[tokio::test]
async fn attack_d1_large_referrers_do_not_hide_the_signature_under_a_tag() {
    let rig = Rig::new(Settings::conforming());
    litter(&rig, "signed-v2", 4, &"x".repeat(3 * MIB));
    pull(&rig.gate(), &by_digest("signed-v2")).await.unwrap();
}
