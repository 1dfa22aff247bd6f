//! The image of pods' sandboxes (fact C9): unsigned there is no pod; signed there are, also without
//! a registry after a restart of everything. On every containerd at hand.

use sealgate::proto::cri::ListPodSandboxRequest;

use crate::acts::push;
use crate::containerd::{Flavour, Pod};
use crate::ensure;
use crate::fixtures::{self, prod as prod_image};
use crate::herd::put_signed_copy;
use crate::means::{prod, until};
use crate::registry::{Answer, Rule, Settings};
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_refusal, usual_policy};
use crate::tiny::Tiny;

/// The first containerd that does not show its sandbox image.
const SHOWS_NO_IMAGE: (u32, u32) = (2, 0);

/// A policy for all images: signed by the key of this scenario.
fn signed() -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: all}}\nspec:\n  images: \
         [\"{HOST}/**\"]\n  require: {{name: own, key: {{files: [own.pub]}}}}\n"
    )
}

/// Points containerd at another image for sandboxes, and has it read that.
pub async fn make_sandboxes_of(stage: &mut Stage, image: &str) -> Outcome {
    let path = stage.containerd.folder().join("config.toml");
    let config = std::fs::read_to_string(&path)?;
    let now = config.lines().find_map(|line| {
        let line = line.trim();
        let of = line.starts_with("sandbox_image =") || line.starts_with("sandbox =");
        of.then(|| line.split('"').nth(1)).flatten()
    });
    let now = now.ok_or("the configuration names no sandbox image")?;
    std::fs::write(&path, config.replace(now, image))?;
    stage.containerd.restart().await;
    Ok(())
}

/// Nothing of the image is on the node.
async fn is_absent(stage: &Stage, image: &str) -> Result<bool, Failure> {
    Ok(stage.containerd.cri().image(image).await?.is_none())
}

/// There is no pod of an image that is unsigned, or that no policy names, wherever it comes from.
async fn refused(stage: &mut Stage) -> Outcome {
    let unsigned = prod("unsigned");
    make_sandboxes_of(stage, &unsigned).await?;
    let refusal = stage.pod().await.err().ok_or("a pod of an unsigned sandbox image")?;
    expect_refusal(
        &refusal,
        tonic::Code::Unknown,
        &format!("SignatureValidationFailed: {unsigned}, of which"),
        &["sandbox of every pod", "all"],
    )?;
    ensure!(is_absent(stage, &unsigned).await?, "an unsigned sandbox image was brought");
    // It is on the node already, brought past the gate.
    stage.containerd.cri().pull(&unsigned).await?;
    let refusal = stage.pod().await.err().ok_or("a pod of an unsigned local image")?;
    expect_refusal(&refusal, tonic::Code::Unknown, "SignatureValidationFailed: ", &[&unsigned])?;
    let record = stage.expect_record("RunPodSandbox", "refused", "unsigned")?;
    ensure!(record["reference"] == unsigned.as_str(), "{record:#}");
    let mut direct = stage.containerd.cri().runtime;
    let listed = direct.list_pod_sandbox(ListPodSandboxRequest::default()).await?.into_inner();
    ensure!(listed.items.is_empty(), "there are sandboxes: {listed:?}");
    // Its content is that of the image that is signed next, which is to be brought whole.
    let pause = format!("{HOST}/pause:1");
    if let Some(pause) = stage.containerd.cri().image(&pause).await? {
        stage.containerd.cri().remove_image(&pause.id).await?;
    }
    println!("   {unsigned}: no pod, pulled or local");
    Ok(())
}

/// Pods of a signed image, which the gate has brought before the first pod asked.
async fn admitted(stage: &mut Stage, image: &str) -> Outcome {
    make_sandboxes_of(stage, image).await?;
    let pod = stage.pod().await?;
    let record = stage.expect_record("RunPodSandbox", "admitted", "satisfied")?;
    ensure!(record["pod"]["namespace"] == "prod-eu", "{record:#}");
    let brought = stage.containerd.cri().image(image).await?;
    let brought = brought.ok_or_else(|| Failure(format!("{image} has no name on the node")))?;
    ensure!(
        brought
            .repo_digests
            .iter()
            .any(|name| record["digest"] == name.split('@').nth(1).unwrap_or_default()),
        "{brought:?} is not what was admitted: {record:#}"
    );
    ensure!(
        stage.containerd.flavour().version < (1, 7) || brought.pinned,
        "the kubelet would collect it: {brought:?}"
    );
    stage.cri().remove_pod(&pod.id).await?;
    println!("   {image}: a pod, of {}", brought.repo_digests.join(" "));
    Ok(())
}

/// No registry, and everything is started anew: pods start by the evidence that was kept.
async fn offline(stage: &mut Stage) -> Outcome {
    stage.registry.rule(Rule::new("", Answer::Drop));
    stage.registry.clear_log();
    stage.power_cut().await?;
    let pods = [stage.pod().await?, stage.pod().await?];
    let records = stage.sandbox_records();
    let sources: Vec<_> = records.iter().rev().take(3).map(|record| &record["source"]).collect();
    ensure!(
        sources.iter().any(|source| *source == "evidence")
            && sources.iter().all(|source| *source == "evidence" || *source == "memory"),
        "{records:#?}"
    );
    for pod in pods {
        stage.cri().remove_pod(&pod.id).await?;
    }
    println!("   after a restart without a registry: two pods, by the evidence that was kept");
    Ok(())
}

/// Other content under the name of the image is not taken for it.
async fn renamed(stage: &Stage, image: &str) -> Outcome {
    let other = Tiny::saying("another sandbox");
    let name = format!("{HOST}/elsewhere:1");
    let archive = stage.folder().join("other.tar");
    std::fs::write(&archive, other.archive(&[&name]))?;
    stage.containerd.ctr(&["images", "import", archive.to_str().ok_or("a path")?]);
    stage.containerd.ctr(&["images", "tag", "--force", &name, image]);
    let cri = stage.containerd.cri();
    until("the name means the other content", || async {
        let shown = cri.image(image).await;
        shown.is_ok_and(|shown| shown.is_some_and(|shown| shown.id == other.id().as_str()))
    })
    .await?;
    let refusal = stage.pod().await.err().ok_or("a pod of renamed content")?;
    ensure!(refusal.message().contains(image), "{refusal}");
    println!("   other content under its name: no pod: {}", refusal.message());
    Ok(())
}

/// The proof was cut off: the runtime has made the sandbox, and the gate, which was killed before it
/// could look, is there again when the kubelet goes on with that sandbox.
async fn cut_off(stage: &mut Stage, image: &str) -> Outcome {
    let signed = prod("app");
    let id = stage.cri().pull(&signed).await?;
    // Of the signed image: as of a pod from before the gate came.
    let kept = stage.containerd.cri().run_pod("prod-eu").await?;
    let (exit, output) = stage.cri().run(&kept, by_id(&id, &signed)).await?;
    ensure!(exit == 0, "exit code {exit}: {output}");
    let records = stage.sandbox_records();
    let of_kept = |record: &&serde_json::Value| record["container_id"] == kept.id.as_str();
    let proven: Vec<_> = records.iter().filter(of_kept).collect();
    ensure!(proven.len() == 1 && proven[0]["verdict"] == "admitted", "{records:#?}");
    // Once more: it is not looked at again.
    stage.cri().create(&kept, by_id(&id, &signed)).await?;
    let records = stage.sandbox_records();
    ensure!(records.iter().filter(of_kept).count() == 1, "{records:#?}");
    // By the beginning of its id.
    let part = Pod { id: kept.id.chars().take(13).collect(), config: kept.config.clone() };
    stage.cri().create(&part, by_id(&id, &signed)).await?;
    stage.kill_gate()?;
    // Nobody signed it, and it runs as a sandbox must.
    push(stage, "prod/idle", Some("v1"), &Tiny::pause().on(&[("idle", b"", 0o644)]));
    make_sandboxes_of(stage, &prod("idle")).await?;
    let around = stage.containerd.cri().run_pod("prod-eu").await?;
    make_sandboxes_of(stage, image).await?;
    stage.start_gate().await?;
    let refusal = stage.cri().create(&around, by_id(&id, &signed)).await.err();
    let refusal = refusal.ok_or("a container in a sandbox that nobody proved")?;
    expect_refusal(
        &refusal,
        tonic::Code::Unknown,
        "SignatureValidationFailed: the gate did not prove sandbox",
        &[&around.id, &prod("idle"), "delete the pod"],
    )?;
    stage.expect_record("CreateContainer", "refused", "sandbox-not-proven")?;
    // Nor does one start in it that was made around the gate, although its own image is signed.
    let beside = stage.containerd.cri().create(&around, by_id(&id, &signed)).await?;
    let refusal = stage.cri().start(&beside).await.err();
    let refusal = refusal.ok_or("a start in a sandbox that nobody proved")?;
    ensure!(refusal.message().contains(&around.id), "{refusal}");
    stage.expect_record("StartContainer", "refused", "sandbox-not-proven")?;
    // The other pod goes on after the restart.
    stage.cri().create(&kept, by_id(&id, &signed)).await?;
    let direct = stage.containerd.cri();
    for pod in [&kept.id, &around.id] {
        direct.remove_pod(pod).await?;
    }
    println!("   a sandbox whose proof was cut off: proven before its first container, or none");
    Ok(())
}

/// The configuration on disk names another image than containerd runs with: the sandbox is judged
/// by what containerd notes of it.
async fn not_yet_restarted(stage: &mut Stage, image: &str) -> Outcome {
    let path = stage.containerd.folder().join("config.toml");
    let before = std::fs::read_to_string(&path)?;
    std::fs::write(&path, before.replace(image, &prod("another-sandbox")))?;
    let pod = stage.pod().await?;
    let records = stage.sandbox_records();
    let of_pod = records.iter().find(|record| record["container_id"] == pod.id.as_str());
    if stage.containerd.flavour().version >= SHOWS_NO_IMAGE {
        let record = of_pod.ok_or_else(|| Failure(format!("{records:#?}")))?;
        ensure!(record["verdict"] == "admitted", "{record:#}");
        println!(
            "   another image in the configuration than containerd runs with: judged by its own"
        );
    }
    stage.cri().remove_pod(&pod.id).await?;
    std::fs::write(&path, before)?;
    Ok(())
}

pub async fn sandbox_image() -> Outcome {
    for flavour in Flavour::all() {
        let (major, minor) = flavour.version;
        println!("   containerd {major}.{minor}");
        let signer = Signer::p256();
        let keys = vec![("own.pub".to_owned(), signer.pem())];
        let registry = Settings::conforming();
        let mut stage = Stage::set(Props {
            flavour,
            policy: usual_policy(),
            keys,
            registry,
            ..Props::usual()?
        })
        .await?;
        stage.kill_gate()?;
        stage.write_policy_as_is(&signed())?;
        stage.start_gate().await?;
        let pause = &fixtures::load()[&format!("{HOST}/pause")];
        put_signed_copy(&stage.registry, "prod/sandbox", (pause, "1"), &signer);
        for repository in ["prod/app", "prod/another-sandbox"] {
            put_signed_copy(&stage.registry, repository, (prod_image("signed-v3"), "v1"), &signer);
        }
        refused(&mut stage).await?;
        let image = prod("sandbox");
        admitted(&mut stage, &image).await?;
        cut_off(&mut stage, &image).await?;
        not_yet_restarted(&mut stage, &image).await?;
        offline(&mut stage).await?;
        renamed(&stage, &image).await?;
    }
    Ok(())
}
