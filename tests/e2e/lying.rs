//! Registries that lie: a tag that moves between two questions, one answer for the gate and another
//! for the runtime, an index that two parsers read in two ways, answers that never end.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate::image::Digest;
use serde_json::{Value, json};
use tonic::Code;

use crate::containerd::Flavour;
use crate::ensure;
use crate::fixtures;
use crate::means::{
    admitted, asked_by, copy, digest_of, ensure_not_stored, no, prod, refusal_of, refused,
    target_of, unable, unreachable, until,
};
use crate::registry::{Answer, OCI_INDEX, OCI_MANIFEST, Rule, Settings};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_refusal};

/// The media type that sends containerd 1.x down the path where nothing is compared with the digest
/// (fact P14).
pub const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// Seconds that one decision may take in the flood of answers that never end.
const DECISION_SECONDS: u64 = 3;
/// How much longer it may take on a busy machine.
const SLACK_SECONDS: u64 = 5;
/// Longest wait for an answer in that flood: a decision, and time for a busy machine.
const ANSWERED_MAX: Duration = Duration::from_secs(30);
/// How far the gate's peak memory may rise while it is flooded, KiB: the most that one decision may
/// read (8 MiB) and some for the rest.
const RISE_MAX: u64 = 48 << 10;

/// The fixture `moving:<tag>` as an answer of the registry.
fn answer_of(tag: &str) -> Answer {
    let bytes = fixtures::prod("moving").tagged(tag).to_vec();
    let headers = vec![
        ("content-type", OCI_MANIFEST.to_owned()),
        ("docker-content-digest", digest_of("moving", tag)),
    ];
    Answer::Full { status: 200, headers, body: bytes }
}

/// Attack A1: whoever asks a second time gets another image.
pub async fn tag_moved() -> Outcome {
    let stage = Stage::usual().await?;
    let (signed, unsigned) = (digest_of("moving", "signed"), digest_of("moving", "unsigned"));
    stage.registry.rule(
        Rule::new("/v2/prod/moving/manifests/signed", answer_of("unsigned")).calls(2..=usize::MAX),
    );
    let image = prod("moving:signed");
    let (record, _) = admitted(&stage, &image, "hello from moving, signed").await?;
    let by_tag = asked_by(&stage.registry, "containerd/", "manifests/signed");
    println!(
        "   the runtime asked for the tag {by_tag} times; the next question would have brought \
         {unsigned}"
    );
    ensure!(by_tag == 0, "the runtime asked for the tag itself");
    ensure!(record["digest"] == signed.as_str(), "another digest is on record: {record:#}");
    ensure!(target_of(&stage, &image) == Some(signed.clone()), "the tag is not what was admitted");
    let again = refusal_of(&image, stage.cri().pull(&image).await)?;
    println!("   {}", again.message());
    expect_refusal(&again, Code::Unknown, "SignatureValidationFailed: ", &["build", &unsigned])?;
    stage.expect_record("PullImage", "refused", "unsigned")?;
    ensure!(target_of(&stage, &image) == Some(signed), "a refused pull moved the tag");
    Ok(())
}

/// Fact P14, attacks A1 and A9: the same digest is one document for the gate and another for the
/// runtime.
pub async fn split_answers() -> Outcome {
    for flavour in Flavour::all() {
        println!("   containerd {}.{}", flavour.version.0, flavour.version.1);
        split_answers_on(flavour).await?;
    }
    Ok(())
}

async fn split_answers_on(flavour: Flavour) -> Outcome {
    let converts = flavour.version.0 == 1;
    let stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
    let digest = digest_of("moving", "signed");
    let path = format!("/v2/prod/moving/manifests/{digest}");
    for (media_type, other) in [
        (OCI_MANIFEST, fixtures::prod("moving").tagged("unsigned").to_vec()),
        (SCHEMA_1, schema_1()),
    ] {
        for image in [prod("moving:signed"), prod(&format!("moving@{digest}"))] {
            stage.registry.clear_rules();
            let headers = vec![
                ("content-type", media_type.to_owned()),
                ("docker-content-digest", digest.clone()),
            ];
            let lie = Answer::Full { status: 200, headers, body: other.clone() };
            stage.registry.rule(Rule::new(path.clone(), lie).user_agent("containerd/"));
            let refusal = refusal_of(&image, stage.cri().pull(&image).await)?;
            println!("   {media_type}: {:?} {}", refusal.code(), refusal.message());
            ensure_not_stored(&stage, &image)?;
            if media_type == SCHEMA_1 && converts {
                let words = ["containerd stored other content than was pulled", &digest];
                expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &words)?;
                stage.expect_record("PullImage", "refused", "other-content-stored")?;
                ensure!(
                    stage.gate_log().contains("deleting the record"),
                    "not said loudly:\n{}",
                    stage.gate_log()
                );
            } else {
                // The runtime itself noticed: its words, and the admission of what was to be pulled
                // stays on record.
                ensure!(!refusal.message().starts_with("SignatureValidationFailed"), "{refusal:?}");
                stage.expect_record("PullImage", "admitted", "satisfied")?;
            }
        }
    }
    no_left_over_runs(&stage).await?;
    stage.registry.clear_rules();
    // containerd may keep the bytes of the lie as an unfinished download, and stumble over them
    // once more.
    let (cri, mut tries) = (stage.cri(), 0);
    let pulls = || {
        tries += 1;
        let cri = cri.clone();
        async move { cri.pull(&prod("moving:signed")).await.is_ok() }
    };
    until("an honest pull", pulls).await?;
    println!("   the honest registry: pulled at try {tries}");
    // The pull's admission is counted with the one before the lies, so the create's is looked for.
    let (_, said) = stage.pull_and_run(&prod("moving:signed")).await?;
    ensure!(said.contains("hello from moving, signed"), "it said {said:?}");
    stage.expect_record("CreateContainer", "admitted", "satisfied").map(|_| ())
}

/// Whatever the runtime made of the lie and kept under an id does not run, by that id or under the
/// name it came by.
async fn no_left_over_runs(stage: &Stage) -> Outcome {
    let there = stage.containerd.ctr(&["images", "ls", "-q"]);
    let pod = stage.pod().await?;
    // Of which pods are made, and which is admitted.
    let sandbox = stage.containerd.cri().image(&format!("{HOST}/pause:1")).await?;
    let sandbox = sandbox.ok_or("the image of sandboxes is not on the node")?.id;
    let ids: Vec<&str> =
        there.lines().filter(|name| name.starts_with("sha256:") && *name != sandbox).collect();
    for id in ids {
        for name in ["", &prod("moving:signed"), &prod("unsigned")] {
            let refusal = stage.cri().create(&pod, by_id(id, name)).await;
            let refusal = refusal.err().ok_or_else(|| Failure(format!("{id} ran as {name:?}")))?;
            println!("   {id} as {name:?}: {}", refusal.message());
            expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &[])?;
        }
    }
    Ok(())
}

/// An image as Docker's schema 1 has it, made of the unsigned one's layers.
pub fn schema_1() -> Vec<u8> {
    let manifest: Value =
        serde_json::from_slice(fixtures::prod("moving").tagged("unsigned")).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    let history =
        json!({"architecture": "amd64", "os": "linux", "id": "a", "config": {"Cmd": ["/hello"]}})
            .to_string();
    let document = json!({
        "schemaVersion": 1, "name": "prod/moving", "tag": "signed", "architecture": "amd64",
        "fsLayers": layers.iter().rev().map(|layer| json!({"blobSum": layer["digest"]})).collect::<Vec<_>>(),
        "history": layers.iter().map(|_| json!({"v1Compatibility": history})).collect::<Vec<_>>(),
    });
    let document = document.to_string();
    let length = document.len() - 1;
    let protected =
        json!({"formatLength": length, "formatTail": URL_SAFE_NO_PAD.encode("}")}).to_string();
    let signature =
        json!({"protected": URL_SAFE_NO_PAD.encode(protected), "signature": "", "header": {}});
    format!("{},\"signatures\":[{signature}]}}", &document[..length]).into_bytes()
}

/// Fact P15, attacks A4 and A10: an index that Go and strict parsers read differently, and one with
/// two manifests for one platform. By tag the gate reads it before the runtime does; by digest the
/// proof after the pull reads what came.
pub async fn two_spellings() -> Outcome {
    let trusting = format!(
        "{}---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: odd}}\nspec:\n  \
         images: [\"{HOST}/odd/**\"]\n  \
         require: {{insecureAcceptAnything: true}}\n",
        crate::stage::usual_policy()
    );
    let stage = Stage::set(Props { policy: trusting, ..Props::usual()? }).await?;
    let signed = child("signed-v3");
    let unsigned = child("unsigned");
    let spelled = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[{signed}],\"Manifests\":[{unsigned}]}}"
    );
    for path in ["prod/signed-v3", "odd/app"] {
        copy(&stage.registry, "signed-v3", "v1", path, "alone");
        copy(&stage.registry, "unsigned", "v1", path, "other");
        stage.registry.put_manifest(path, Some("spelled"), spelled.as_bytes(), OCI_INDEX);
    }
    refused(&stage, &prod("signed-v3:spelled"), no("bad-manifest"), &["manifests"]).await?;
    refused(&stage, &format!("{HOST}/odd/app:spelled"), no("bad-manifest"), &["manifests"]).await?;
    let digest = Digest::of(spelled.as_bytes());
    refused(&stage, &prod(&format!("signed-v3@{digest}")), no("unsigned"), &["build"]).await?;
    let image = format!("{HOST}/odd/app@{digest}");
    let refusal = refusal_of(&image, stage.cri().pull(&image).await)?;
    println!("   {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["manifests"])?;
    stage.expect_record("PullImage", "refused", "bad-content")?;
    ensure_not_stored(&stage, &image)?;

    let doubled = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[{unsigned},{signed}]}}"
    );
    stage.registry.put_manifest("prod/signed-v3", Some("doubled"), doubled.as_bytes(), OCI_INDEX);
    refused(
        &stage,
        &prod("signed-v3:doubled"),
        no("no-single-platform"),
        &["nor can a manifest under the index count"],
    )
    .await
    .map(|_| ())
}

/// A fixture as an entry of an index, for this node.
fn child(name: &str) -> Value {
    let digest = digest_of(name, "v1");
    let size = fixtures::prod(name).tagged("v1").len();
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}})
}

/// Attack D1: answers without end. Each is refused within the time of one decision, and memory
/// stays flat.
pub async fn endless_answers() -> Outcome {
    let config =
        format!("limits.decision_seconds = {DECISION_SECONDS}\nregistry.request_ms = 1500\n");
    let registry = Settings::conforming();
    let stage = Stage::set(Props { config, registry, ..Props::usual()? }).await?;
    let trickle = Duration::from_millis(5);
    let gib = Answer::Huge(1 << 30);
    let tag = "/manifests/v1";
    let again = Answer::Redirect(307, "/v2/prod/endless-3/manifests/v1".to_owned());
    let cases = [
        ("a manifest of 1 GiB", tag, gib.clone(), unable("registry-unable")),
        (
            "a manifest without end",
            tag,
            Answer::Endless(trickle),
            unreachable("registry-unreachable"),
        ),
        ("no answer", tag, Answer::Hang, unreachable("registry-unreachable")),
        ("a redirect to itself", tag, again, unable("registry-unable")),
        ("pages without end", "/referrers/", next_page("endless-4"), unable("signatures-unable")),
        ("a list of 1 GiB", "/referrers/", gib.clone(), unable("signatures-unable")),
        (
            "a list without end",
            "/referrers/",
            Answer::Endless(trickle),
            unreachable("signatures-unreachable"),
        ),
        ("a signature of 1 GiB", ".sig", gib, unable("signatures-unable")),
        ("10 000 signatures", ".sig", many_signatures(), unable("signatures-unable")),
    ];
    let before = peak_kib(&stage)?;
    for (number, (what, path, answer, told)) in cases.into_iter().enumerate() {
        // An image of its own for each: repeats of a refusal share a record.
        let name = format!("endless-{number}");
        copy(&stage.registry, "unsigned", "v1", &format!("prod/{name}"), "v1");
        stage.registry.clear_rules();
        stage.registry.rule(Rule::new(path, answer));
        let began = Instant::now();
        println!("   {what}:");
        let answered =
            tokio::time::timeout(ANSWERED_MAX, refused(&stage, &prod(&name), told, &[])).await;
        let record =
            answered.map_err(|_| format!("{what}: no answer in {:?}", began.elapsed()))??;
        let total = record["timings"]["total"].as_u64().unwrap_or(u64::MAX);
        ensure!(
            total < (DECISION_SECONDS + SLACK_SECONDS) * 1_000_000,
            "{what}: the decision took {total} us: {record:#}"
        );
    }
    let after = peak_kib(&stage)?;
    println!("   peak memory {before} KiB before, {after} KiB after");
    ensure!(
        after.saturating_sub(before) < RISE_MAX,
        "peak memory rose from {before} to {after} KiB"
    );
    stage.registry.clear_rules();
    admitted(&stage, &prod("signed-v2"), "hello from signed-v2").await.map(|_| ())
}

/// An empty page of referrers that names itself as the next.
fn next_page(name: &str) -> Answer {
    let digest = digest_of("unsigned", "v1");
    let next = format!("</v2/prod/{name}/referrers/{digest}?from=1>; rel=\"next\"");
    let body = format!("{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[]}}")
        .into_bytes();
    Answer::Full {
        status: 200,
        headers: vec![("content-type", OCI_INDEX.to_owned()), ("link", next)],
        body,
    }
}

/// A manifest of the older form with ten thousand signatures, whose payload cannot be had.
fn many_signatures() -> Answer {
    let layer = |number: usize| {
        json!({"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "size": 250,
               "digest": Digest::of(number.to_string().as_bytes()).to_string(),
               "annotations": {"dev.cosignproject.cosign/signature": "AAAA"}})
    };
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": Digest::of(b"{}").to_string()});
    let layers: Vec<Value> = (0..10_000).map(layer).collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
    let headers = vec![("content-type", OCI_MANIFEST.to_owned())];
    Answer::Full { status: 200, headers, body: manifest.to_string().into_bytes() }
}

/// The most memory that the gate ever held, KiB.
fn peak_kib(stage: &Stage) -> Result<u64, Failure> {
    let pid = stage.gate_pid().ok_or("the gate does not run")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
