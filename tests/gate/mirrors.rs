//! Mirrors that have the image and lack its signatures, or have some of them: the upstream is asked
//! in the end.

use sealgate::policy::{Class, Reason};

use crate::fixtures;
use crate::registry::{Answer, OCI_MANIFEST, Rule, Settings, TestRegistry};
use crate::rig::{HOST, Rig, by_digest, clock, pull, put, reason, tagged};

/// An upstream with every fixture, and a mirror before it that has these images and nothing of
/// their signatures.
pub(crate) fn mirrored(
    upstream: Settings,
    mirror: Settings,
    images: &[&str],
) -> (Rig, TestRegistry) {
    let rig = Rig::new(upstream);
    let mirror = TestRegistry::start(mirror);
    for image in images {
        let mut bare = fixtures::prod(image).clone();
        let digest = bare.tags["v1"].clone();
        bare.tags.retain(|tag, _| tag == "v1");
        bare.manifests.retain(|manifest, _| *manifest == digest);
        put(&mirror, &bare);
    }
    let hosts = format!("server = \"{}\"\n[host.\"{}\"]\n", rig.registry.url(), mirror.url());
    std::fs::write(rig.folder().join(HOST).join("hosts.toml"), hosts).unwrap();
    (rig, mirror)
}

/// Hangs something else on an image in a registry: a bundle that nobody signed.
fn litter(registry: &TestRegistry, situation: &str) {
    let repository = format!("prod/{situation}");
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let blob = registry.put_blob(&repository, b"{\"junk\": 1}");
    let config = registry.put_blob(&repository, b"{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": bundle,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": bundle, "digest": blob, "size": 11}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": fixtures::prod(situation).tags["v1"], "size": 2},
    });
    registry.put_manifest(&repository, None, &serde_json::to_vec(&manifest).unwrap(), OCI_MANIFEST);
}

/// Puts the signatures of another image under the tag of this one's.
fn mislead(registry: &TestRegistry, situation: &str, other: &str) {
    let (ours, theirs) = (fixtures::prod(situation), fixtures::prod(other));
    let tag_of = |digest: &str| format!("{}.sig", digest.replace(':', "-"));
    let (media_type, bytes) = &theirs.manifests[&theirs.tags[&tag_of(&theirs.tags["v1"])]];
    for blob in theirs.blobs.values() {
        registry.put_blob(&ours.path, blob);
    }
    registry.put_manifest(&ours.path, Some(&tag_of(&ours.tags["v1"])), bytes, media_type);
}

const FORMS: [&str; 2] = ["signed-v2", "signed-v3"];

#[tokio::test]
async fn a_mirror_without_signatures_leaves_them_to_the_upstream() {
    for (upstream, mirror) in [
        (Settings::without_referrers(), Settings::conforming()),
        (Settings::conforming(), Settings::without_referrers()),
        (Settings::conforming(), Settings::conforming()),
        (Settings::without_referrers(), Settings::without_referrers()),
    ] {
        let (rig, mirror) = mirrored(upstream, mirror, &FORMS);
        let gate = rig.gate();
        for image in FORMS {
            pull(&gate, &tagged(image)).await.unwrap();
            gate.flush();
            pull(&gate, &by_digest(image)).await.unwrap();
        }
        assert_eq!(rig.registry.count("/manifests/v1"), 0, "the image itself is the mirror's");
        assert!(mirror.count("/manifests/v1") > 0);
    }
}

/// What refers to the image on the mirror is not what was wanted: the list of the upstream is asked
/// as well.
#[tokio::test]
async fn attack_d1_a_partial_list_on_a_mirror_hides_nothing() {
    for upstream in [Settings::conforming(), Settings::without_referrers()] {
        let (rig, mirror) = mirrored(upstream, Settings::conforming(), &["signed-v3"]);
        litter(&mirror, "signed-v3");
        for image in [tagged("signed-v3"), by_digest("signed-v3")] {
            let gate = rig.gate();
            pull(&gate, &image).await.unwrap();
            gate.flush();
            pull(&gate, &image).await.unwrap();
        }
    }
}

/// The same of the tag of the older form: the mirror's is of an earlier time.
#[tokio::test]
async fn an_older_tag_on_a_mirror_hides_nothing() {
    let (rig, mirror) = mirrored(Settings::conforming(), Settings::conforming(), &["signed-v2"]);
    mislead(&mirror, "signed-v2", "keyless-v2");
    for image in [tagged("signed-v2"), by_digest("signed-v2")] {
        pull(&rig.gate(), &image).await.unwrap();
    }
}

/// What is on both is read once.
#[tokio::test]
async fn what_two_hosts_list_is_read_once() {
    let (rig, mirror) = mirrored(Settings::conforming(), Settings::conforming(), &["unsigned"]);
    for registry in [&mirror, &rig.registry] {
        litter(registry, "unsigned");
    }
    let refused = reason(pull(&rig.gate(), &tagged("unsigned")).await);
    assert!(matches!(refused, Reason::NoneCounts { .. }), "{refused:?}");
    assert_eq!((mirror.count("/referrers/"), rig.registry.count("/referrers/")), (1, 1));
    assert_eq!((mirror.count("/blobs/"), rig.registry.count("/blobs/")), (1, 0));
}

/// A host that could not be asked may have had it: nothing is known then.
#[tokio::test]
async fn a_silent_host_is_not_an_absent_signature() {
    let (rig, mirror) = mirrored(Settings::conforming(), Settings::conforming(), &["unsigned"]);
    let gate = rig.gate();
    assert_eq!(reason(pull(&gate, &tagged("unsigned")).await), Reason::Unsigned);
    gate.flush();
    for (broken, other) in [(&mirror, &rig.registry), (&rig.registry, &mirror)] {
        for part in ["/referrers/", "/manifests/sha256-"] {
            broken.rule(Rule::new(part, Answer::Status(500, "UNKNOWN")));
            let class = match pull(&gate, &tagged("unsigned")).await {
                Err(sealgate::cri::Refusal::Denied(denial)) => denial.class(),
                answer => panic!("{answer:?}"),
            };
            assert_eq!(class, Class::Unreachable, "{part} of {}", broken.host());
            broken.clear_rules();
            other.clear_rules();
        }
    }
}

/// With the option off the first host that has any has the last word.
#[tokio::test]
async fn the_upstream_is_not_asked_where_the_operator_says_so() {
    let (rig, mirror) = mirrored(Settings::conforming(), Settings::conforming(), &["signed-v3"]);
    litter(&mirror, "signed-v3");
    let options = sealgate::registry::Options { signatures_upstream: false, ..rig.options() };
    let gate = rig.with_client(sealgate::registry::Registry::new(options, clock()).unwrap());
    let refused = reason(pull(&gate, &tagged("signed-v3")).await);
    assert!(matches!(refused, Reason::NoneCounts { .. }), "{refused:?}");
    assert_eq!(rig.registry.count("/referrers/"), 0);
    pull(&rig.gate(), &tagged("signed-v3")).await.unwrap();
}
