//! Images with very many signatures: daily scans, daily signing, floods by somebody without a key.
//! They cost time, and neither a verdict nor memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sealgate::cri::{Gate, Limits};
use sealgate::evidence::Source;
use sealgate::image::Digest;
use sealgate::policy::{Class, Denial, Documents, PolicyFile, PolicySet, Reason, Unmatched};
use sealgate::verify::PublicKey;
use serde_json::{Value, json};

use crate::fixtures;
use crate::registry::{OCI_INDEX, OCI_MANIFEST, Referrers, Settings};
use crate::rig::{HOST, Rig, Special, by_digest, patient, pull};
use crate::signing::{Signer, payload};

const REPOSITORY: &str = "prod/unsigned";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const SCAN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
/// As many as one image is to have.
const MANY: usize = 1000;

fn subject() -> Digest {
    Digest::parse(&fixtures::prod("unsigned").tags["v1"]).unwrap()
}

fn document(require: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  require: {require}\n"
    )
}

/// A policy that needs this, with these keys.
fn policy(require: &str, keys: &[(&str, &Signer)]) -> PolicySet {
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: document(require).into_bytes() };
    let keys = keys
        .iter()
        .map(|(name, key)| ((*name).to_owned(), PublicKey::parse_pem(&key.pem()).unwrap()));
    PolicySet::build(Documents::parse(&[file]).unwrap(), keys.collect(), Unmatched::Deny).unwrap()
}

/// The scan of that day by the key `own.pub`.
fn scan_of(day: usize) -> String {
    format!(
        "{{name: scan, attestation: {{predicateType: \"{SCAN}\", by: {{key: {{files: \
         [own.pub]}}}}, where: \"predicate.n == {day}\"}}}}"
    )
}

fn gate(rig: &Rig, require: &str, keys: &[(&str, &Signer)]) -> Gate {
    rig.patient(Special {
        policy: policy(require, keys),
        store: Some(rig.store()),
        ..Special::default()
    })
}

fn statement(day: usize) -> String {
    let hex = subject().hex().to_owned();
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"i","digest":{{"sha256":"{hex}"}}}}],"predicateType":"{SCAN}","predicate":{{"n":{day}}}}}"#
    )
}

/// A manifest around a layer that refers to the image: its digest.
fn refer(rig: &Rig, kind: &str, bytes: &[u8], annotations: &Value) -> (String, usize) {
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let blob = rig.registry.put_blob(REPOSITORY, bytes);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": kind, "digest": blob, "size": bytes.len()}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject().as_str(), "size": 2},
        "annotations": annotations,
    })
    .to_string();
    (rig.registry.put_manifest(REPOSITORY, None, manifest.as_bytes(), OCI_MANIFEST), manifest.len())
}

/// Scans of so many days, as a job attaches them every night; in a list under the tag where there
/// is no endpoint.
fn scans(rig: &Rig, signer: &Signer, days: usize, has_endpoint: bool) {
    let mut listed = Vec::new();
    for day in 0..days {
        let bundle = signer.statement_bundle(&statement(day));
        let (digest, size) = refer(
            rig,
            BUNDLE,
            bundle.as_bytes(),
            &json!({"dev.sigstore.bundle.predicateType": SCAN}),
        );
        listed.push(json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "artifactType": BUNDLE}));
    }
    if has_endpoint {
        return;
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed});
    let tag = format!("sha256-{}", subject().hex());
    rig.registry.put_manifest(REPOSITORY, Some(&tag), index.to_string().as_bytes(), OCI_INDEX);
}

/// A manifest with these layers under one of the older tags.
fn tag(rig: &Rig, ending: &str, layers: &[Value]) {
    let config = rig.registry.put_blob(REPOSITORY, b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": layers,
    });
    let tag = format!("sha256-{}.{ending}", subject().hex());
    rig.registry.put_manifest(
        REPOSITORY,
        Some(&tag),
        manifest.to_string().as_bytes(),
        OCI_MANIFEST,
    );
}

fn layer(rig: &Rig, kind: &str, bytes: &[u8], annotations: &Value) -> Value {
    let digest = rig.registry.put_blob(REPOSITORY, bytes);
    json!({"mediaType": kind, "digest": digest, "size": bytes.len(), "annotations": annotations})
}

async fn denied(gate: &Gate) -> Denial {
    match pull(gate, &by_digest("unsigned")).await {
        Err(sealgate::cri::Refusal::Denied(denial)) => Denial::clone(&denial),
        other => panic!("{other:?}"),
    }
}

/// Admitted, and again with no network after a restart; how many requests the first cost.
async fn admits(rig: &Rig, require: &str, keys: &[(&str, &Signer)]) -> usize {
    rig.registry.clear_log();
    pull(&gate(rig, require, keys), &by_digest("unsigned")).await.unwrap();
    let requests = rig.registry.requests().len();
    let entries = rig.store().entries_of(&subject()).unwrap();
    assert!(
        entries.iter().all(|entry| entry.manifests.len() <= 64),
        "what did not help is not kept"
    );
    rig.cut();
    pull(&gate(rig, require, keys), &by_digest("unsigned")).await.unwrap();
    rig.registry.clear_rules();
    std::fs::remove_dir_all(rig.folder().join("evidence")).unwrap();
    requests
}

/// A thousand scans: that of any day is found, the newest and the oldest soon; a day that is not
/// there is refused, after all of them were read.
#[tokio::test]
async fn of_a_thousand_bundles_any_one_is_found() {
    for settings in
        [Settings::conforming().referrers(Referrers::Pages(50)), Settings::without_referrers()]
    {
        let has_endpoint = settings.referrers == Referrers::Pages(50);
        let (rig, signer) = (Rig::new(settings), Signer::p256());
        scans(&rig, &signer, MANY, has_endpoint);
        let own = [("own.pub", &signer)];
        for (day, most) in [(MANY - 1, 60), (0, 60), (MANY / 2, 2 * MANY + 60)] {
            let requests = admits(&rig, &scan_of(day), &own).await;
            assert!(requests <= most, "day {day}: {requests} requests");
        }
        let denial = denied(&gate(&rig, &scan_of(MANY), &own)).await;
        assert_eq!(denial.class(), Class::Refused, "{denial}");
        assert!(denial.to_string().contains("1000 found"), "{denial}");
        assert!(matches!(denial.reason(), Reason::NoneCounts { .. }), "{denial}");
    }
}

/// Several together: the one is the newest, the other the oldest, and both are needed.
#[tokio::test]
async fn attack_d1_a_threshold_over_many_is_met_by_what_lies_apart() {
    let (rig, one, two) = (Rig::new(Settings::conforming()), Signer::p256(), Signer::p256());
    let sign = |signer: &Signer, day: usize| signer.statement_bundle(&statement(day));
    for day in 0..120 {
        let bundle = if day == 60 { sign(&two, day) } else { sign(&one, day) };
        refer(&rig, BUNDLE, bundle.as_bytes(), &json!({}));
    }
    let by = |name: &str| {
        format!(
            "{{name: {name}, attestation: {{predicateType: \"{SCAN}\", by: {{key: {{files: \
             [{name}.pub]}}}}}}}}"
        )
    };
    let keys = [("one.pub", &one), ("two.pub", &two)];
    admits(&rig, &format!("{{all: [{}, {}]}}", by("one"), by("two")), &keys).await;
    // Nobody counts twice, however often.
    let never = Signer::p256();
    let keys = [("one.pub", &one), ("never.pub", &never)];
    let twice = format!(
        "{{atLeast: {{count: 2, of: [{}, {}]}}}}",
        by("one"),
        by("one").replace("name: one", "name: again").replace("one.pub", "one.pub, never.pub")
    );
    let denial = denied(&gate(&rig, &twice, &keys)).await;
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::KeysNotDistinct));
}

/// The older forms: a thousand layers of one manifest, signatures with one payload and attestations
/// each with its own.
#[tokio::test]
async fn of_a_thousand_layers_any_one_is_found() {
    let (rig, signer, stranger) =
        (Rig::new(Settings::without_referrers()), Signer::p256(), Signer::p256());
    let payload = payload(subject().as_str(), &format!("{HOST}/{REPOSITORY}"));
    for place in [0, MANY / 2, MANY - 1] {
        let signed = |number| if number == place { &signer } else { &stranger };
        let layers: Vec<Value> = (0..MANY)
            .map(|n| {
                layer(
                    &rig,
                    SIMPLE_SIGNING,
                    payload.as_bytes(),
                    &json!(signed(n).annotations(payload.as_bytes())),
                )
            })
            .collect();
        tag(&rig, "sig", &layers);
        let requests =
            admits(&rig, "{name: k, key: {files: [own.pub]}}", &[("own.pub", &signer)]).await;
        assert!(requests <= 5, "one payload is fetched once: {requests}");
    }
    let envelope = |day: usize| {
        let bundle: Value =
            serde_json::from_str(&signer.statement_bundle(&statement(day))).unwrap();
        layer(&rig, ENVELOPE, bundle["dsseEnvelope"].to_string().as_bytes(), &json!({}))
    };
    let layers: Vec<Value> = (0..MANY).map(envelope).collect();
    tag(&rig, "att", &layers);
    for day in [0, MANY / 2, MANY - 1] {
        admits(&rig, &scan_of(day), &[("own.pub", &signer)]).await;
    }
}

/// Attack D1: somebody without a key floods the place, with dates of the future. The good one is
/// found, whenever it was made; what is beyond the bounds is said with the bound's name, and never
/// called unsigned.
#[tokio::test]
async fn attack_d1_a_flood_without_a_key_hides_nothing() {
    let (signer, stranger) = (Signer::p256(), Signer::p256());
    for place in [0, 150, 299] {
        let rig = Rig::new(Settings::conforming());
        for day in 0..300 {
            let by = if day == place { &signer } else { &stranger };
            let when = json!({"org.opencontainers.image.created": if day == place { "2020-01-01T00:00:00Z" } else { "2999-01-01T00:00:00Z" }});
            refer(&rig, BUNDLE, by.statement_bundle(&statement(7)).as_bytes(), &when);
            refer(&rig, "application/sarif+json", format!("scan {day}").as_bytes(), &json!({}));
        }
        admits(&rig, &scan_of(7), &[("own.pub", &signer)]).await;
        let mut options = rig.options();
        options.referrers_entries = 100;
        let client = sealgate::registry::Registry::new(options, crate::rig::clock()).unwrap();
        let set = policy(&scan_of(8), &[("own.pub", &signer)]);
        let gate = rig.limited(Special { policy: set, ..Special::default() }, client, patient());
        let denial = denied(&gate).await;
        assert_eq!(denial.class(), Class::Unable, "{denial}");
        assert!(denial.to_string().contains("registry.referrers_entries"), "{denial}");
    }
}

/// Attack D1: past what is read of a place, and past what may be checked, the image is *unable*,
/// and the option is named.
#[tokio::test]
async fn attack_d1_what_is_cut_is_unable_and_the_limit_is_named() {
    let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
    scans(&rig, &signer, 60, true);
    let limited = |signatures: usize, signature_checks: u32| {
        let signatures = std::num::NonZeroUsize::new(signatures).unwrap();
        let limits = Limits { signatures, signature_checks, ..patient() };
        let policy = policy(&scan_of(30), &[("own.pub", &signer)]);
        rig.with_limits(Special { policy, ..Special::default() }, limits)
    };
    for (signatures, checks, name) in
        [(20, 1000, "limits.signatures"), (1000, 20, "limits.signature_checks")]
    {
        let denial = denied(&limited(signatures, checks)).await;
        assert_eq!(denial.class(), Class::Unable, "{denial}");
        assert!(denial.to_string().contains(name), "{denial}");
    }
    pull(&limited(60, 1000), &by_digest("unsigned")).await.unwrap();
}

/// A list of several pages is asked for by kind where the registry filters, and followed where it
/// does not.
#[tokio::test]
async fn scans_of_other_kinds_cost_nothing() {
    let signer = Signer::p256();
    for filters in [true, false] {
        let settings =
            Settings { filters, ..Settings::conforming().referrers(Referrers::Pages(20)) };
        let rig = Rig::new(settings);
        refer(&rig, BUNDLE, signer.statement_bundle(&statement(7)).as_bytes(), &json!({}));
        for day in 0..600 {
            refer(&rig, "application/sarif+json", format!("scan {day}").as_bytes(), &json!({}));
        }
        let requests = admits(&rig, &scan_of(7), &[("own.pub", &signer)]).await;
        let (least, most) = if filters { (5, 16) } else { (32, 40) };
        assert!((least..=most).contains(&requests), "filters: {filters}: {requests} requests");
        let denial = denied(&gate(&rig, &scan_of(8), &[("own.pub", &signer)])).await;
        assert_eq!(denial.class(), Class::Refused, "{denial}");
    }
}

/// A thousand bundles in a process of its own: what it takes of the node's memory, and how long.
/// Prints both.
#[allow(clippy::print_stdout, reason = "figures are for people")]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_bundles_take_no_more_memory_than_a_few() {
    let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
    scans(&rig, &signer, MANY, true);
    println!("{:<44} {:>10} {:>10}", "1000 bundles, the wanted one is", "ms", "peak KiB");
    let mut peaks = Vec::new();
    for (what, day) in [("the newest", MANY - 1), ("the oldest", 0), ("in the middle", MANY / 2)] {
        let (time, peak) = verify(&rig, &scan_of(day), &signer);
        println!("{what:<44} {:>10} {peak:>10}", time.as_millis());
        peaks.push(peak);
    }
    assert!(peaks.iter().all(|peak| *peak > 0 && *peak <= 64 << 10), "{peaks:?} KiB");
}

/// `sealgate verify` in a process of its own: how long it takes, and the most memory that it takes,
/// in KiB.
fn verify(rig: &Rig, require: &str, signer: &Signer) -> (Duration, u64) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["policies", "keys", "trust"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    std::fs::write(at("policies/p.yaml"), document(require)).unwrap();
    std::fs::write(at("keys/own.pub"), signer.pem()).unwrap();
    let config = format!(
        "[registry]\ncerts_dirs = [{:?}]\ndocker_configs = []\n[policy]\npolicies = {:?}\nkeys = \
         {:?}\n[trust]\n\
         roots = [{:?}]\nstate = {:?}\n[evidence]\npath = {:?}\n[audit]\ncheckpoint_key = \"\"\npath = {:?}\n\
         [limits]\ndecision_seconds = 600\n",
        rig.folder(),
        at("policies"),
        at("keys"),
        at("trust"),
        at("trust"),
        at("evidence"),
        at("audit.jsonl"),
    );
    std::fs::write(at("config.toml"), config).unwrap();
    restrict(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("--config").arg(at("config.toml")).args([
        "verify",
        "--output",
        "json",
        &by_digest("unsigned"),
    ]);
    let began = clock();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = clock() - began;
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    assert!(status.success(), "{out}");
    (took, peak)
}

#[allow(clippy::disallowed_methods, reason = "a test measures")]
fn clock() -> Instant {
    Instant::now()
}

/// The most memory that a process had so far, in KiB; nothing once it has ended.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Policies and keys must be nobody else's to write.
fn restrict(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let is_folder = entry.path().is_dir();
        std::fs::set_permissions(
            entry.path(),
            std::fs::Permissions::from_mode(if is_folder { 0o700 } else { 0o600 }),
        )
        .unwrap();
        if is_folder {
            restrict(&entry.path());
        }
    }
}

/// A registry that lists thousands is read within the bounds of the source: what is not wanted
/// never reaches the store.
#[tokio::test]
async fn what_is_kept_of_many_is_what_helps() {
    let (rig, signer) = (Rig::new(Settings::conforming()), Signer::p256());
    scans(&rig, &signer, 200, true);
    pull(&gate(&rig, &scan_of(100), &[("own.pub", &signer)]), &by_digest("unsigned"))
        .await
        .unwrap();
    let entries = rig.store().entries_of(&subject()).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.place.source).collect::<Vec<_>>(),
        [Source::Referrers]
    );
    assert!(entries[0].manifests.len() <= 33, "{}", entries[0].manifests.len());
}
