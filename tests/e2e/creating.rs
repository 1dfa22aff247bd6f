//! Images that came onto the node past the gate, names that lie about them, and every way to name
//! an image at create.

use std::fs;

use sealgate::containerd::{Options, Runtime};
use sealgate::proto::cri::{ImageSpec, PodSandboxConfig, PullImageRequest};
use tonic::Code;

use crate::acts::{No, create_refused, digest_of, eventually, import, past_the_gate, push, tag};
use crate::containerd::Launch;
use crate::ensure;
use crate::stage::{HOST, Outcome, Props, Stage, by_id, usual_policy};
use crate::tiny::Tiny;

/// One image string alone, as tools send it.
pub fn alone(image: &str) -> Launch {
    by_id(image, "")
}

/// Fact C3: what `ctr image import` brings has a tag and no digest, so nothing says where it came
/// from.
pub async fn imported_with_ctr() -> Outcome {
    let stage = Stage::usual().await?;
    let image = Tiny::saying("imported");
    let name = format!("{HOST}/prod/imported:1");
    import(&stage, &image.archive(&[&name]))?;
    let listed = stage.containerd.cri().image(&name).await?.ok_or("the import is not there")?;
    ensure!(listed.repo_digests.is_empty(), "an import with digests: {listed:?}");
    let pod = stage.pod().await?;
    create_refused(&stage, &pod, by_id(&listed.id, &name), No::refused("no-origin")).await?;
    create_refused(&stage, &pod, alone(&listed.id), No::refused("no-origin")).await?;

    // A signed image that was exported and imported again: the signature is good, its origin is not
    // known.
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let id = past_the_gate(&stage, &signed).await?;
    let archive = stage.folder().join("export.tar").display().to_string();
    stage.containerd.ctr(&["images", "export", &archive, &signed]);
    stage.containerd.cri().remove_image(&id).await?;
    import(&stage, &fs::read(&archive)?)?;
    eventually("the import is seen", std::time::Duration::from_secs(60), async || {
        matches!(stage.containerd.cri().image(&signed).await, Ok(Some(image)) if image.repo_digests.is_empty())
    })
    .await?;
    create_refused(&stage, &pod, by_id(&id, &signed), No::refused("no-origin")).await?;

    // A rule that names the digest needs no origin.
    let rule =
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: pinned}\nspec:\n  images: ";
    let policy = usual_policy().replace(
        "/prod/**\"]",
        "/prod/**\"]\n  exclude: [\"registry.example.test/prod/imported\"]",
    );
    let policy = format!(
        "{policy}---\n{rule}[\"{HOST}/prod/imported\"]\n  require: {{digest: {{anyOf: \
         [\"{}\"]}}}}\n",
        image.digest()
    );
    stage.write_policy(&policy)?;
    stage.signal("HUP")?;
    eventually("the policy is reloaded", std::time::Duration::from_secs(60), async || {
        stage.gate_log().contains("the policy was reloaded")
    })
    .await?;
    let (exit, output) = stage.cri().run(&pod, by_id(&listed.id, &name)).await?;
    ensure!((exit, output.as_str()) == (0, "imported\n"), "exit code {exit}: {output}");
    stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    println!("   admitted by a rule that names {}: it said {}", image.digest(), output.trim());
    Ok(())
}

/// Fact C4: a trusted name on unsigned content.
pub async fn trusted_name() -> Outcome {
    let stage = Stage::usual().await?;
    let (unsigned, trusted) =
        (format!("{HOST}/prod/unsigned:v1"), format!("{HOST}/prod/signed-v2:v1"));
    let id = past_the_gate(&stage, &unsigned).await?;
    tag(&stage, &unsigned, &trusted);
    eventually(
        "the name is seen",
        std::time::Duration::from_secs(60),
        async || matches!(stage.cri().image(&trusted).await, Ok(Some(image)) if image.id == id),
    )
    .await?;
    let pod = stage.pod().await?;
    create_refused(&stage, &pod, by_id(&id, &trusted), No::refused("no-origin")).await?;
    // Pods of other namespaces, since a refusal of the same kind would be counted with the first.
    let more = stage.cri().run_pod("prod-us").await?;
    create_refused(&stage, &more, alone(&trusted), No::refused("no-origin")).await?;
    create_refused(&stage, &more, alone(&id), No::refused("no-origin")).await?;
    // Afterwards the gate brings what the name really means, and it runs.
    let (exit, output) = stage.pull_and_run(&trusted).await?;
    ensure!(exit == 0 && output.contains("signed-v2"), "exit code {exit}: {output}");
    create_refused(
        &stage,
        &pod,
        by_id(&id, "registry.example.test/prod/signed-v2"),
        No::refused("name-not-listed"),
    )
    .await?;
    println!("   after a pull through the gate {trusted} said: {}", output.trim());
    Ok(())
}

/// Fact C5: a record that claims another image's digest.
pub async fn false_digest_record() -> Outcome {
    let stage = Stage::usual().await?;
    let digest = digest_of(&stage, "prod/signed-v2", "v1")?;
    let (unsigned, claimed) =
        (format!("{HOST}/prod/unsigned:v1"), format!("{HOST}/prod/signed-v2@{digest}"));
    let id = past_the_gate(&stage, &unsigned).await?;
    tag(&stage, &unsigned, &claimed);
    eventually(
        "the claim is listed",
        std::time::Duration::from_secs(60),
        async || matches!(stage.cri().image(&id).await, Ok(Some(image)) if image.repo_digests.contains(&claimed)),
    )
    .await?;
    println!("   the runtime says that {id} is {claimed}");
    let pod = stage.pod().await?;
    let by_tag = format!("{HOST}/prod/signed-v2:v1");
    // The signed manifest is not on the node: the claim leads nowhere.
    create_refused(&stage, &pod, by_id(&id, &claimed), No::refused("content-missing")).await?;
    // Nor does it help to have the signed image's content there, from another repository.
    let copy = stage.registry.stored("prod/signed-v2", digest.as_str()).ok_or("no manifest")?;
    let document: serde_json::Value = serde_json::from_slice(&copy)?;
    for held in document["layers"].as_array().into_iter().flatten().chain([&document["config"]]) {
        let held = held["digest"].as_str().unwrap_or_default();
        stage.registry.put_blob(
            "elsewhere",
            &stage.registry.stored("prod/signed-v2", held).ok_or("no blob")?,
        );
    }
    stage.registry.put_manifest("elsewhere", Some("v1"), &copy, crate::registry::OCI_MANIFEST);
    past_the_gate(&stage, &format!("{HOST}/elsewhere:v1")).await?;
    create_refused(&stage, &pod, by_id(&id, &by_tag), No::refused("not-this-image")).await?;
    Ok(())
}

/// Attack A5: the id of one image under the name of another.
pub async fn name_not_listed() -> Outcome {
    let stage = Stage::usual().await?;
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let good = stage.cri().pull(&signed).await?;
    let bad = past_the_gate(&stage, &format!("{HOST}/prod/unsigned:v1")).await?;
    let pod = stage.pod().await?;
    create_refused(&stage, &pod, by_id(&bad, &signed), No::refused("name-not-listed")).await?;
    // Both strings are names: each must pass.
    let unsigned = format!("{HOST}/prod/unsigned:v1");
    create_refused(
        &stage,
        &pod,
        by_id(&unsigned, &format!("{HOST}/prod/signed-v2:v2")),
        No::refused("name-not-listed"),
    )
    .await?;
    let other = by_id(
        &good,
        &format!("{HOST}/prod/signed-v2@{}", digest_of(&stage, "prod/unsigned", "v1")?),
    );
    create_refused(&stage, &pod, other, No::refused("name-not-listed")).await?;
    let (exit, _) = stage.cri().run(&pod, by_id(&good, &signed)).await?;
    ensure!(exit == 0, "the signed image: {exit}");
    Ok(())
}

/// Facts C2 and C13: every way to name an image, and an id alone, which must pass under every name
/// that is listed.
pub async fn ids_and_names() -> Outcome {
    let stage = Stage::usual().await?;
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let digest = digest_of(&stage, "prod/signed-v2", "v1")?;
    let id = stage.cri().pull(&signed).await?;
    let bare = id.trim_start_matches("sha256:");
    let pod = stage.pod().await?;
    let by_digest = format!("{HOST}/prod/signed-v2@{digest}");
    let both = format!("{HOST}/prod/signed-v2:v1@{digest}");
    let forms = [id.as_str(), bare, &bare[..12], &signed, &by_digest, &both];
    for form in forms {
        let (exit, output) = stage.cri().run(&pod, alone(form)).await?;
        ensure!(exit == 0 && output.contains("signed-v2"), "{form}: exit code {exit}: {output}");
        stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    }
    println!("   {} ways to name it, and it ran each time", forms.len());

    // The same manifest in a repository whose policy it does not meet: the id alone stands for both
    // names.
    let manifest = stage.registry.stored("prod/signed-v2", digest.as_str()).ok_or("no manifest")?;
    let document: serde_json::Value = serde_json::from_slice(&manifest)?;
    for held in document["layers"].as_array().into_iter().flatten().chain([&document["config"]]) {
        let held = held["digest"].as_str().unwrap_or_default();
        stage.registry.put_blob(
            "prod/copied",
            &stage.registry.stored("prod/signed-v2", held).ok_or("no blob")?,
        );
    }
    stage.registry.put_manifest(
        "prod/copied",
        Some("v1"),
        &manifest,
        crate::registry::OCI_MANIFEST,
    );
    let copied = format!("{HOST}/prod/copied:v1");
    let same = past_the_gate(&stage, &copied).await?;
    ensure!(same == id, "the copy has another id: {same}");
    create_refused(&stage, &pod, alone(&id), No::refused("unsigned")).await?;
    create_refused(&stage, &pod, alone(&bare[..20]), No::refused("unsigned")).await?;
    create_refused(&stage, &pod, by_id(&id, &copied), No::refused("unsigned")).await?;
    let (exit, _) = stage.cri().run(&pod, by_id(&id, &signed)).await?;
    ensure!(exit == 0, "under the name that is admitted: {exit}");
    println!("   the id alone stands for {copied} too; under {signed} it ran");
    Ok(())
}

/// Facts C8 and C12, and images that are not there.
pub async fn paths_and_checkpoints() -> Outcome {
    let stage = Stage::usual().await?;
    let pod = stage.pod().await?;
    let bad =
        No { code: Code::InvalidArgument, begins: "", verdict: "refused", reason: "bad-reference" };
    for path in ["/tmp/checkpoint.tar", "./checkpoint.tar", "../checkpoint.tar"] {
        create_refused(&stage, &pod, alone(path), bad).await?;
    }
    // A string that reads like a name and is a file where containerd looks.
    create_refused(&stage, &pod, alone("etc/hostname"), No::refused("path-as-image")).await?;
    let absent = No { code: Code::NotFound, begins: "", verdict: "unable", reason: "not-present" };
    create_refused(&stage, &pod, alone(&format!("{HOST}/prod/signed-v2:v1")), absent).await?;
    create_refused(&stage, &pod, alone(&format!("sha256:{}", "0".repeat(64))), absent).await?;

    // A checkpoint: an image whose manifest says so, here one that the policy would let through.
    let policy = format!(
        "{}---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: any}}\nspec:\n  \
         images: [\"{HOST}/any\"]\n  require: {{insecureAcceptAnything: true}}\n",
        usual_policy()
    );
    let stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    let pod = stage.pod().await?;
    let mut image = Tiny::saying("restored");
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest)?;
    manifest["annotations"] = serde_json::json!({"org.criu.checkpoint.container.name": "c"});
    image.manifest = serde_json::to_vec(&manifest)?;
    push(&stage, "any", Some("1"), &image);
    let name = format!("{HOST}/any:1");
    let refusal = stage.cri().pull(&name).await.err().ok_or("a checkpoint was pulled")?;
    println!("   pull: {}", refusal.message());
    stage.expect_record("PullImage", "refused", "checkpoint-image")?;
    let id = past_the_gate(&stage, &name).await?;
    create_refused(&stage, &pod, by_id(&id, &name), No::refused("checkpoint-image")).await?;
    Ok(())
}

/// Pulls that are steered: by a handler, an annotation of the image, and one of the pod.
fn steered(signed: &str) -> [PullImageRequest; 3] {
    let spec = |image: &str| ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
    let noted = |key: &str| [(key.to_owned(), "kata".to_owned())].into_iter().collect();
    [
        PullImageRequest {
            image: Some(ImageSpec { runtime_handler: "kata".to_owned(), ..spec(signed) }),
            ..PullImageRequest::default()
        },
        PullImageRequest {
            image: Some(ImageSpec {
                annotations: noted("io.containerd.cri.runtime-handler"),
                ..spec(&by(signed, 1))
            }),
            ..PullImageRequest::default()
        },
        PullImageRequest {
            image: Some(spec(&by(signed, 2))),
            sandbox_config: Some(PodSandboxConfig {
                annotations: noted("containerd.io/snapshot/remote/stargz.reference"),
                ..PodSandboxConfig::default()
            }),
            ..PullImageRequest::default()
        },
    ]
}

/// Fact P16: layers that the id does not bind, by snapshotter and by annotations of a pull.
pub async fn snapshotter_not_allowed() -> Outcome {
    let config = "runtime.snapshotters = [\"zfs\"]".to_owned();
    let stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let id = stage.cri().pull(&signed).await?;
    let refusal = stage.pod().await.err().ok_or("a sandbox on another snapshotter")?;
    println!("   {}", refusal.message());
    stage.expect_record("RunPodSandbox", "refused", "snapshotter-not-allowed")?;
    // A sandbox that was made past the gate is on that snapshotter too, and proves nothing.
    let pod = stage.containerd.cri().run_pod("prod-eu").await?;
    create_refused(&stage, &pod, by_id(&id, &signed), No::refused("sandbox-not-proven")).await?;
    let snapshots = stage.containerd.ctr(&["snapshots", "ls"]);
    println!(
        "   {} snapshots are left, those of the images and the pod",
        snapshots.lines().count().saturating_sub(1)
    );

    let pulls = stage.registry.requests().len();
    for request in steered(&signed) {
        let refusal = stage
            .cri()
            .images
            .pull_image(request)
            .await
            .err()
            .ok_or("a steered pull was let through")?;
        println!("   {}", refusal.message());
        crate::stage::expect_refusal(
            &refusal,
            Code::Unknown,
            crate::acts::VALIDATION,
            &["is not allowed"],
        )?;
        stage.expect_record("PullImage", "refused", "not-allowed")?;
    }
    ensure!(stage.registry.requests().len() == pulls, "a refused pull asked the registry");
    let runtime = Runtime::new(Options { socket: stage.containerd.socket(), ..Options::default() });
    ensure!(runtime.record(&by(&signed, 2)).await?.is_none(), "a refused pull left a record");
    Ok(())
}

/// The same repository under another tag, so that no record is counted with one before.
fn by(image: &str, number: u32) -> String {
    format!("{image}.{number}")
}
