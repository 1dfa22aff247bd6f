//! The older forms in manifests that refer to the image (OCI 1.1): as the real cosign writes them,
//! as Tekton Chains does, and as other tools may. Read, verified and kept like those under cosign's
//! older tags.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealgate::cri::Gate;
use sealgate::evidence::Source;
use sealgate::image::Digest;
use sealgate::policy::{Class, Documents, PolicyFile, PolicySet, Reason, Unmatched};
use sealgate::verify::PublicKey;
use serde_json::{Value, json};

use crate::fixtures;
use crate::registry::{OCI_MANIFEST, Settings};
use crate::rig::{HOST, Rig, Special, by_digest, pull, reason, tagged};
use crate::signing::{Signer, payload};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const SIGNATURE_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const REPOSITORY: &str = "prod/unsigned";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

fn subject() -> Digest {
    Digest::parse(&fixtures::prod("unsigned").tags["v1"]).unwrap()
}

/// A policy that needs this, with the key `own.pub`.
fn policy(require: &str, key: &[u8]) -> PolicySet {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  require: {require}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let keys = std::iter::once(("own.pub".to_owned(), PublicKey::parse_pem(key).unwrap()));
    PolicySet::build(Documents::parse(&[file]).unwrap(), keys.collect(), Unmatched::Deny).unwrap()
}

const SIGNED: &str = "{name: signer, key: {files: [own.pub]}}";

fn attested() -> String {
    format!(
        "{{name: attested, attestation: {{predicateType: \"{PROVENANCE}\", by: {{key: {{files: \
         [own.pub]}}}}}}}}"
    )
}

fn gate(rig: &Rig, require: &str, key: &[u8]) -> Gate {
    rig.special(Special {
        policy: policy(require, key),
        store: Some(rig.store()),
        ..Special::default()
    })
}

/// A layer with its annotations, put into the registry.
fn layer(rig: &Rig, kind: &str, bytes: &[u8], annotations: &Value) -> Value {
    let digest = rig.registry.put_blob(REPOSITORY, bytes);
    json!({"mediaType": kind, "digest": digest, "size": bytes.len(), "annotations": annotations})
}

/// Hangs a manifest with these layers on the unsigned image; where there is no endpoint, in the
/// list under the tag too.
fn refer(rig: &Rig, artifact_type: Option<&str>, config: &str, layers: &[Value]) -> String {
    let empty = rig.registry.put_blob(REPOSITORY, b"{}");
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": config, "digest": empty, "size": 2},
        "layers": layers,
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject().as_str(), "size": 2},
    });
    if let Some(kind) = artifact_type {
        manifest["artifactType"] = json!(kind);
    }
    rig.registry.put_manifest(REPOSITORY, None, manifest.to_string().as_bytes(), OCI_MANIFEST)
}

/// A signature of the older form by this key, as a layer.
fn signature(rig: &Rig, signer: &Signer) -> Value {
    let payload = payload(subject().as_str(), &format!("{HOST}/{REPOSITORY}"));
    layer(rig, SIMPLE_SIGNING, payload.as_bytes(), &json!(signer.annotations(payload.as_bytes())))
}

/// An envelope with a statement of this kind by this key, as a layer.
fn envelope(rig: &Rig, signer: &Signer, predicate_type: &str) -> Value {
    let bundle =
        signer.statement_bundle(&crate::signing::statement(subject().as_str(), predicate_type));
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    layer(
        rig,
        ENVELOPE,
        bundle["dsseEnvelope"].to_string().as_bytes(),
        &json!({"predicateType": predicate_type}),
    )
}

/// Admitted; then by the evidence on disk alone, with nothing in memory and nobody to ask.
async fn admitted_online_and_off(rig: &Rig, require: &str, key: &[u8]) {
    pull(&gate(rig, require, key), &by_digest("unsigned")).await.unwrap();
    let entries = rig.store().entries_of(&subject()).unwrap();
    assert!(
        entries
            .iter()
            .all(|entry| matches!(entry.place.source, Source::Referrers | Source::FallbackTag))
    );
    rig.cut();
    pull(&gate(rig, require, key), &by_digest("unsigned")).await.unwrap();
    assert_eq!(rig.registry.requests().len(), 0);
    rig.registry.clear_rules();
}

/// Every cosign that is unpacked, and the machine's own.
fn cosigns() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes");
    let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        folders.map(|folder| folder.path().join("usr/bin/cosign")).collect();
    found.retain(|program| program.is_file());
    found.sort();
    assert!(!found.is_empty(), "this test needs a cosign: `make runtimes` unpacks it");
    found
}

/// The real cosign, in both majors, with and without the endpoint: its own referrers mode.
#[tokio::test(flavor = "multi_thread")]
async fn what_cosign_writes_in_its_referrers_mode_is_verified_and_kept() {
    for cosign in cosigns() {
        for settings in [Settings::conforming(), Settings::without_referrers()] {
            let rig = Rig::new(settings);
            let run = |arguments: &[&str]| {
                let mut command = Command::new(&cosign);
                command.args(arguments).current_dir(rig.folder()).stdin(Stdio::null());
                command
                    .env("COSIGN_PASSWORD", "")
                    .env("COSIGN_EXPERIMENTAL", "1")
                    .env("HOME", rig.folder());
                command.output().unwrap()
            };
            let made = run(&["generate-key-pair"]);
            assert!(made.status.success(), "{made:?}");
            let image = format!("{}/{REPOSITORY}@{}", rig.registry.host(), subject());
            let is_old = !String::from_utf8_lossy(&run(&["sign", "--help"]).stdout)
                .contains("use-signing-config");
            let mut arguments = vec!["sign", "-y", "--key", "cosign.key", "--tlog-upload=false"];
            arguments.extend(["--allow-http-registry", "--registry-referrers-mode=oci-1-1"]);
            if !is_old {
                arguments.extend(["--use-signing-config=false", "--new-bundle-format=false"]);
            }
            arguments.push(&image);
            let signed = run(&arguments);
            assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
            let tag = format!("sha256-{}.sig", subject().hex());
            assert!(
                rig.registry.tagged(REPOSITORY, &tag).is_none(),
                "{cosign:?} wrote the older tag"
            );
            let key = std::fs::read(rig.folder().join("cosign.pub")).unwrap();
            // It names the registry's own address: whose image that is, the policy says.
            let identity = format!(
                "{{name: signer, key: {{files: [own.pub]}}, signedIdentity: \
                 {{exactRepository: \"{}/{REPOSITORY}\"}}}}",
                rig.registry.host()
            );
            admitted_online_and_off(&rig, &identity, &key).await;
            let other = Signer::p256().pem();
            let refused = reason(pull(&gate(&rig, SIGNED, &other), &tagged("unsigned")).await);
            assert!(matches!(refused, Reason::NoneCounts { .. }), "{refused:?}");
        }
    }
}

/// Tekton Chains and others: no artifact type but the config's, several layers, types of their own.
#[tokio::test]
async fn whatever_the_artifact_type_says_the_layers_are_what_counts() {
    let shapes: [(Option<&str>, &str); 5] = [
        (Some(SIGNATURE_TYPE), EMPTY),
        (None, SIGNATURE_TYPE),
        (None, CONFIG),
        (None, EMPTY),
        (Some("application/vnd.dev.sigstore.bundle.v0.3+json"), EMPTY),
    ];
    for (artifact_type, config) in shapes {
        let (rig, signer, stranger) =
            (Rig::new(Settings::conforming()), Signer::p256(), Signer::p256());
        let junk = layer(&rig, "text/plain", b"something else", &json!({}));
        let layers = [
            signature(&rig, &stranger),
            junk,
            signature(&rig, &signer),
            envelope(&rig, &signer, PROVENANCE),
        ];
        refer(&rig, artifact_type, config, &layers);
        admitted_online_and_off(&rig, SIGNED, &signer.pem()).await;
        // What is beside it counts where it is asked for.
        let attested = gate(&rig, &attested(), &signer.pem());
        let both = pull(&attested, &tagged("unsigned")).await;
        assert_eq!(
            both.is_ok(),
            artifact_type != Some(SIGNATURE_TYPE) && config != SIGNATURE_TYPE,
            "{artifact_type:?}"
        );
    }
}

/// Attestations in a manifest of their own (cosign's `WriteAttestationsReferrer`, which Tekton
/// Chains calls).
#[tokio::test]
async fn envelopes_that_refer_to_the_image_are_attestations() {
    let kinds = [
        "application/vnd.in-toto+json",
        ENVELOPE,
        "application/vnd.dev.cosign.artifact.att.v1+json",
    ];
    for kind in kinds {
        let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
        refer(&rig, Some(kind), EMPTY, &[envelope(&rig, &signer, PROVENANCE)]);
        admitted_online_and_off(&rig, &attested(), &signer.pem()).await;
        // An attestation is no signature (attack B2), and is not even read where none is asked for.
        rig.registry.clear_log();
        let refused = pull(&gate(&rig, SIGNED, &signer.pem()), &by_digest("unsigned")).await;
        assert_eq!(reason(refused), Reason::Unsigned);
        assert_eq!(rig.registry.count("/blobs/"), 0);
    }
}

/// Attack A1 and B1: a signature over another image, by another key, or one that names another
/// repository does not count because it refers to this one.
#[tokio::test]
async fn attack_b1_what_a_manifest_refers_to_proves_nothing() {
    let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
    let elsewhere = payload(Digest::of(b"another image").as_str(), &format!("{HOST}/{REPOSITORY}"));
    let moved = layer(
        &rig,
        SIMPLE_SIGNING,
        elsewhere.as_bytes(),
        &json!(signer.annotations(elsewhere.as_bytes())),
    );
    let unsigned = payload(subject().as_str(), &format!("{HOST}/{REPOSITORY}"));
    let bare = layer(&rig, SIMPLE_SIGNING, unsigned.as_bytes(), &json!({}));
    refer(&rig, Some(SIGNATURE_TYPE), EMPTY, &[moved, bare, signature(&rig, &Signer::p256())]);
    let refused = pull(&gate(&rig, SIGNED, &signer.pem()), &by_digest("unsigned")).await;
    assert!(matches!(reason(refused), Reason::NoneCounts { .. }));
}

/// Where nobody uses the form it costs nothing, and where somebody does as much as a bundle.
#[tokio::test]
async fn a_form_that_was_never_used_costs_no_request() {
    let rig = Rig::new(Settings::conforming());
    pull(&rig.gate(), &tagged("unsigned")).await.unwrap_err();
    assert_eq!(rig.registry.requests().len(), 3, "the image, the list, the older tag");
    let signer = Signer::p256();
    refer(&rig, Some(SIGNATURE_TYPE), EMPTY, &[signature(&rig, &signer)]);
    rig.registry.clear_log();
    let gate = gate(&rig, SIGNED, &signer.pem());
    pull(&gate, &tagged("unsigned")).await.unwrap();
    assert_eq!(rig.registry.requests().len(), 5, "as a bundle: and the manifest, and the payload");
    gate.flush();
    rig.registry.clear_log();
    pull(&gate, &tagged("unsigned")).await.unwrap();
    assert_eq!(rig.registry.requests().len(), 4, "where the place is known");
}

/// What stands in a place and is no signature is told as what it is; the refusal stays one.
#[tokio::test]
async fn what_is_no_signature_is_told_as_what_it_is() {
    let rig = Rig::new(Settings::conforming());
    let other = layer(&rig, "application/vnd.example.other", b"else", &json!({}));
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": EMPTY, "digest": config, "size": 2}, "layers": [other.clone()]});
    let tag = format!("sha256-{}.sig", subject().hex());
    rig.registry.put_manifest(
        REPOSITORY,
        Some(&tag),
        manifest.to_string().as_bytes(),
        OCI_MANIFEST,
    );
    refer(&rig, Some("application/sarif+json"), EMPTY, std::slice::from_ref(&other));
    refer(&rig, Some("application/sarif+json"), EMPTY, &[other.clone(), other]);
    let refusal = pull(&rig.gate(), &tagged("unsigned")).await.unwrap_err();
    let sealgate::cri::Refusal::Denied(denial) = &refusal else { panic!("{refusal}") };
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::Unsigned));
    let line = refusal.to_string();
    for word in [
        "2 of other kinds (application/sarif+json)",
        "a manifest of another kind (application/vnd.example.other)",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!line.contains("absent"), "{line}");
}
