//! The ways of `bypass` that are more than one call: each brings unsigned content to the node, or
//! tries to run it, as classes A and F of `tests/attacks.md` say.

use std::time::Duration;

use sealgate::image::Digest;
use sealgate::proto::cri::{ImageSpec, Mount, PodSandboxConfig, PullImageRequest};
use serde_json::{Value, json};

use crate::acts::{VALIDATION, import, push, tag};
use crate::bypass::{Node, Row, Word};
use crate::containerd::Launch;
use crate::ensure;
use crate::fixtures;
use crate::herd::put_signed_copy;
use crate::lying::{SCHEMA_1, schema_1};
use crate::making::{Form, sign};
use crate::means::{digest_of, prod, target_of, until};
use crate::raw::{Raw, frame};
use crate::registry::{Answer, OCI_INDEX, OCI_MANIFEST, Rule};
use crate::stage::{Failure, HOST, by_id};
use crate::tiny::Tiny;

/// How long the evidence of the older of two resolutions is kept back.
const LATE: Duration = Duration::from_secs(2);

/// Every way, in the order of the ledger of attacks.
pub async fn ways(node: &Node) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let mut row = |what: &str, word: Word| rows.push((what.to_owned(), word));
    row("A1 the tag moves after it was admitted", moved_tag(node).await?);
    row("A2 what an admitted tag means moves (C6)", moved_name(node).await?);
    row("A3 imported (C3)", imported(node).await?);
    row("A3 a trusted name on other content (C4)", trusted_name(node).await?);
    row("A3 another image's digest (C5)", false_digest(node).await?);
    row("A4 an index with two meanings (P15)", two_meanings(node).await?);
    row("A5 one name decided on, another acted on", other_name(node).await?);
    row(
        "A6 an index of which nothing is signed",
        node.no_pull(&prod("index-unsigned"), "unsigned").await?,
    );
    row("A7 other bytes under the digest", other_bytes(node, OCI_MANIFEST).await?);
    row("A8 a prefix of an id", node.no_create(alone(prefix(&node.bad)), "").await?);
    row("A8 a file (C12)", node.no_create(alone("etc/hostname"), "path-as-image").await?);
    row("A9 other content stored (P14)", other_bytes(node, SCHEMA_1).await?);
    let index = prod(&format!("index-child-v3@{}", digest_of("index-child-v3", "v1")));
    row("A10 an unsigned index around a signed child", node.no_pull(&index, "unsigned").await?);
    row("A11 a pull that steers a snapshotter (P16)", steered_pull(node).await?);
    row("A11 a sandbox that steers one (P16)", steered_sandbox(node).await?);
    row("A12 an older resolution names last", older_last(node).await?);
    let unsigned = by_id(&node.bad, &prod("unsigned"));
    row(
        "F  any container, also init and static",
        node.no_create(unsigned.clone(), "unsigned").await?,
    );
    row("F  image volume (C7)", volume(node).await?);
    row("F  checkpoint by its manifest (C8)", checkpoint(node, Mark::Manifest).await?);
    row("F  checkpoint by its index (C8)", checkpoint(node, Mark::Index).await?);
    row("F  checkpoint by an entry of its index (C8)", checkpoint(node, Mark::Entry).await?);
    row("F  checkpoint by its config (C8)", checkpoint(node, Mark::Config).await?);
    row("F  checkpoint archive, a file (C8)", archive(node).await?);
    row("F  checkpoint of an unsigned base (C8)", unsigned_base(node).await?);
    row("F  checkpoint as an image volume (C7)", mounted_checkpoint(node).await?);
    row("F  an image from before the gate", node.no_create(alone(&node.bad), "").await?);
    row("F  pulled by another endpoint (H5)", node.no_create(unsigned, "unsigned").await?);
    row("F  a container made past the gate", node.no_start().await?);
    row("F  the host's file system (C14)", host_path(node).await?);
    row("F  native services (H6)", other_service(node, NATIVE).await?);
    row("F  the older CRI (H6)", other_service(node, OLDER).await?);
    Ok(rows)
}

const NATIVE: &str = "/containerd.services.images.v1.Images/Create";
const OLDER: &str = "/runtime.v1alpha2.ImageService/PullImage";

fn alone(image: &str) -> Launch {
    Launch { image: image.to_owned(), ..Launch::default() }
}

/// The first digits of an id.
fn prefix(id: &str) -> &str {
    id.trim_start_matches("sha256:").get(..12).unwrap_or_default()
}

async fn moved_tag(node: &Node) -> Result<Word, Failure> {
    let source = fixtures::prod("moving");
    let to = |tag: &str| {
        let registry = &node.stage.registry;
        registry.put_manifest("prod/moving", Some("shift"), source.tagged(tag), OCI_MANIFEST)
    };
    to("signed");
    node.cri().pull(&prod("moving:shift")).await?;
    to("unsigned");
    node.no_pull(&prod("moving:shift"), "unsigned").await
}

async fn moved_name(node: &Node) -> Result<Word, Failure> {
    tag(&node.stage, &prod("unsigned"), &prod("moving:shift"));
    seen_as_other(node, &prod("moving:shift")).await?;
    node.no_create(by_id(&node.bad, &prod("moving:shift")), "no-origin").await
}

async fn imported(node: &Node) -> Result<Word, Failure> {
    let (image, name) = (Tiny::saying("imported"), prod("imported:1"));
    import(&node.stage, &image.archive(&[&name]))?;
    seen(node, &name).await?;
    node.no_create(by_id(image.id().as_str(), &name), "no-origin").await
}

async fn trusted_name(node: &Node) -> Result<Word, Failure> {
    tag(&node.stage, &prod("unsigned"), &prod("signed-v3"));
    seen(node, &prod("signed-v3")).await?;
    node.no_create(by_id(&node.bad, &prod("signed-v3")), "no-origin").await
}

async fn false_digest(node: &Node) -> Result<Word, Failure> {
    let claimed = prod(&format!("signed-v3@{}", digest_of("signed-v3", "v1")));
    tag(&node.stage, &prod("unsigned"), &claimed);
    seen(node, &claimed).await?;
    node.no_create(by_id(&node.bad, &claimed), "content-missing").await
}

/// A path, of an archive that would be restored: absolute, and from the folder in which containerd
/// runs.
async fn archive(node: &Node) -> Result<Word, Failure> {
    let path = node.stage.folder().join("checkpoint.tar");
    std::fs::write(&path, Tiny::saying("restored").archive(&[]))?;
    let path = path.to_string_lossy();
    node.no_create(alone(&path), "bad-reference").await?;
    node.no_create(alone(path.trim_start_matches('/')), "").await
}

/// The CRI has come to see that a name means the unsigned image.
async fn seen_as_other(node: &Node, name: &str) -> Result<(), Failure> {
    let direct = node.stage.containerd.cri();
    until(&format!("{name} moves"), || async {
        matches!(direct.image(name).await, Ok(Some(image)) if image.id == node.bad)
    })
    .await
}

/// The CRI has come to see a name.
async fn seen(node: &Node, name: &str) -> Result<(), Failure> {
    let direct = node.stage.containerd.cri();
    until(&format!("{name} is seen"), || async { matches!(direct.image(name).await, Ok(Some(_))) })
        .await
}

async fn two_meanings(node: &Node) -> Result<Word, Failure> {
    let entry = |name: &str| {
        let size = fixtures::prod(name).tagged("v1").len();
        let digest = digest_of(name, "v1");
        format!("{{\"mediaType\":\"{OCI_MANIFEST}\",\"digest\":\"{digest}\",\"size\":{size}}}")
    };
    let index = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[{}],\
         \"Manifests\":[{}]}}",
        entry("signed-v3"),
        entry("unsigned")
    );
    let registry = &node.stage.registry;
    registry.put_manifest("prod/signed-v3", Some("spelled"), index.as_bytes(), OCI_INDEX);
    node.no_pull(&prod("signed-v3:spelled"), "bad-manifest").await
}

async fn other_name(node: &Node) -> Result<Word, Failure> {
    let words = by_id(&prod("unsigned"), &prod("signed-v2"));
    node.no_create(words, "name-not-listed").await?;
    node.no_create(by_id(&node.bad, &prod("signed-v2")), "name-not-listed").await
}

/// The runtime gets other bytes under the digest that the gate decided on, as this media type.
async fn other_bytes(node: &Node, media_type: &'static str) -> Result<Word, Failure> {
    let body = match media_type {
        SCHEMA_1 => schema_1(),
        _ => fixtures::prod("moving").tagged("unsigned").to_vec(),
    };
    let registry = &node.stage.registry;
    // Another repository each time, so that nothing of it is on the node.
    let path = if media_type == SCHEMA_1 { "own/old" } else { "own/new" };
    put_signed_copy(registry, path, (fixtures::prod("signed-v3"), "v1"), &node.signer);
    let own = registry.tagged(path, "v1").ok_or("no tag")?;
    // The layers that the lie names must be there, or it would not be believed.
    let blobs = &fixtures::prod("moving").blobs;
    blobs.values().for_each(|bytes| drop(registry.put_blob(path, bytes)));
    let headers =
        vec![("content-type", media_type.to_owned()), ("docker-content-digest", own.clone())];
    let lie = Answer::Full { status: 200, headers, body };
    registry.rule(Rule::new(format!("/{path}/manifests/{own}"), lie).user_agent("containerd/"));
    let pulled = node.cri().pull(&format!("{HOST}/{path}:v1")).await;
    registry.clear_rules();
    let refusal = pulled.err().ok_or_else(|| Failure(format!("{path} was pulled")))?;
    // containerd notices by itself, but for the one media type whose digest 1.x does not compare.
    let is_taken = media_type == SCHEMA_1 && node.stage.containerd.flavour().version.0 == 1;
    ensure!(refusal.message().starts_with(VALIDATION) == is_taken, "{path}: {refusal}");
    let (verdict, code) =
        if is_taken { ("refused", "other-content-stored") } else { ("admitted", "satisfied") };
    node.stage.expect_record("PullImage", verdict, code)?;
    let stored = target_of(&node.stage, &format!("{HOST}/{path}:v1"));
    ensure!(stored.is_none(), "{path} is named {stored:?}");
    Ok(Word::Refused)
}

async fn steered_pull(node: &Node) -> Result<Word, Failure> {
    let image = ImageSpec {
        image: prod("signed-v3"),
        runtime_handler: "kata".to_owned(),
        ..ImageSpec::default()
    };
    let request = PullImageRequest { image: Some(image), ..PullImageRequest::default() };
    node.no_pull_of(request, "not-allowed").await
}

async fn steered_sandbox(node: &Node) -> Result<Word, Failure> {
    let key = "containerd.io/snapshot/remote/stargz.reference".to_owned();
    let annotations = [(key, "x".to_owned())].into();
    let config = PodSandboxConfig { annotations, ..PodSandboxConfig::default() };
    let made = node.cri().run_pod_with("prod-eu", config, "").await;
    ensure!(made.is_err(), "a sandbox was made: {made:?}");
    Ok(Word::Refused)
}

/// Two signed images under one tag: the decision on the first is kept back until the second has
/// been pulled.
async fn older_last(node: &Node) -> Result<Word, Failure> {
    let registry = &node.stage.registry;
    let put = |source: &str| {
        put_signed_copy(registry, "own/order", (fixtures::prod(source), "v1"), &node.signer);
        registry.tagged("own/order", "v1").ok_or("no tag")
    };
    let old = put("signed-v2")?;
    let name = format!("{HOST}/own/order:v1");
    let hex = old.trim_start_matches("sha256:").to_owned();
    registry.rule(Rule::new(hex, Answer::Late(LATE)).user_agent("sealgate/"));
    let (cri, image) = (node.cri(), name.clone());
    let first = tokio::spawn(async move { cri.pull(&image).await });
    until("the first was resolved", || async { asked(node) }).await?;
    let new = put("signed-v3")?;
    node.cri().pull(&name).await?;
    first.await??;
    registry.clear_rules();
    let means = target_of(&node.stage, &name);
    ensure!(means.as_ref() == Some(&new), "{name} means {means:?}, not {new} but {old}?");
    Ok(Word::Refused)
}

/// Whether the gate has asked for the tag of [`older_last`].
fn asked(node: &Node) -> bool {
    node.stage.registry.count("/own/order/manifests/v1") > 0
}

async fn volume(node: &Node) -> Result<Word, Failure> {
    let image = ImageSpec { image: node.bad.clone(), ..ImageSpec::default() };
    let mount =
        Mount { container_path: "/data".to_owned(), image: Some(image), ..Mount::default() };
    let launch = by_id(&node.good, &prod("signed-v2"));
    node.no_create(Launch { mounts: vec![mount], ..launch }, "").await
}

/// A signed image that mounts the whole of the host.
async fn host_path(node: &Node) -> Result<Word, Failure> {
    let mount =
        Mount { container_path: "/host".to_owned(), host_path: "/".to_owned(), ..Mount::default() };
    let launch = Launch { mounts: vec![mount], ..by_id(&node.good, &prod("signed-v2")) };
    node.cri().create(&node.pod, launch).await?;
    until("a finding host-path", || async {
        node.findings().iter().any(|finding| finding["finding"] == "host-path")
    })
    .await?;
    Ok(Word::Reported)
}

/// Where an image says that it is a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Manifest,
    Index,
    Entry,
    Config,
}

/// An image that a policy accepts whatever it is, but for what it says of itself.
async fn checkpoint(node: &Node, mark: Mark) -> Result<Word, Failure> {
    let says = json!({"org.criu.checkpoint.container.name": "c"});
    let mut image = Tiny::saying("restored");
    if mark == Mark::Config {
        let mut config: Value = serde_json::from_slice(&image.config)?;
        config["config"]["Labels"] = says.clone();
        image.config = serde_json::to_vec(&config)?;
    }
    let mut manifest: Value = serde_json::from_slice(&image.manifest)?;
    if mark == Mark::Manifest {
        manifest["annotations"] = says.clone();
    }
    manifest["config"]["digest"] = json!(Digest::of(&image.config).to_string());
    manifest["config"]["size"] = json!(image.config.len());
    image.manifest = serde_json::to_vec(&manifest)?;
    let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{
        "mediaType": OCI_MANIFEST, "digest": image.digest().to_string(),
        "size": image.manifest.len(),
    }]});
    match mark {
        Mark::Index => index["annotations"] = says,
        Mark::Entry => index["manifests"][0]["annotations"] = says,
        Mark::Manifest | Mark::Config => {}
    }
    push(&node.stage, "any", Some("1"), &image);
    if matches!(mark, Mark::Index | Mark::Entry) {
        let index = serde_json::to_vec(&index)?;
        node.stage.registry.put_manifest("any", Some("1"), &index, OCI_INDEX);
    }
    node.no_pull(&format!("{HOST}/any:1"), "checkpoint-image").await
}

/// A signed checkpoint that its policy lets be restored, of a base image that is on the node and that
/// nobody signed; its id, and its name.
async fn of_unsigned_base(node: &Node) -> Result<(String, String), Failure> {
    let base = prod(&format!("unsigned@{}", digest_of("unsigned", "v1")));
    let mut image = Tiny::saying("restored");
    let mut manifest: Value = serde_json::from_slice(&image.manifest)?;
    manifest["annotations"] = json!({
        "org.criu.checkpoint.container.name": "c", "org.criu.checkpoint.rootfsImageID": base,
    });
    image.manifest = serde_json::to_vec(&manifest)?;
    push(&node.stage, "checkpoints/c", Some("1"), &image);
    sign(&node.stage, "checkpoints/c", &image, Form::Bundle, &[&node.signer]);
    let name = format!("{HOST}/checkpoints/c:1");
    let id = node.cri().pull(&name).await?;
    Ok((id, name))
}

async fn unsigned_base(node: &Node) -> Result<Word, Failure> {
    let (id, name) = of_unsigned_base(node).await?;
    node.no_create(by_id(&id, &name), "checkpoint-base").await
}

/// A checkpoint that may be restored may not be mounted.
async fn mounted_checkpoint(node: &Node) -> Result<Word, Failure> {
    let (id, name) = of_unsigned_base(node).await?;
    let image = ImageSpec { image: id, user_specified_image: name, ..ImageSpec::default() };
    let mount =
        Mount { container_path: "/data".to_owned(), image: Some(image), ..Mount::default() };
    let launch = by_id(&node.good, &prod("signed-v2"));
    node.no_create(Launch { mounts: vec![mount], ..launch }, "checkpoint-image").await
}

async fn other_service(node: &Node, path: &str) -> Result<Word, Failure> {
    let mut raw = Raw::connect(&node.stage.socket()).await?;
    let answer = raw.send(path, &[("containerd-namespace", "k8s.io")], frame(b"")).await?;
    ensure!(answer.code == 12 && answer.text.contains("sealgate"), "{path}: {answer:?}");
    Ok(Word::Refused)
}
