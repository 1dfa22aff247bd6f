//! Which policy decides: reloads good and broken, warnings, namespaces, and what no policy matches.

use sealgate::proto::cri::{ImageSpec, PodSandboxConfig, PodSandboxMetadata, PullImageRequest};
use serde_json::Value;
use tonic::{Code, Status};

use crate::ensure;
use crate::means::{admitted, asked_by, no, prod, refusal_of, refused, status, until};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_refusal, usual_policy};

/// Replaces the policy and waits until the gate has tried to take it: its generation is another, or
/// it says why not.
pub async fn reload(stage: &Stage, policy: &str) -> Outcome {
    let (_, before) = status(stage)?;
    // Without a signal: the gate may have seen the change before it, and would read twice.
    stage.write_policy(policy)?;
    until("a reload", || async {
        status(stage).is_ok_and(|(_, now)| now["policy"] != before["policy"])
    })
    .await
}

pub async fn policy_reload() -> Outcome {
    let stage = Stage::usual().await?;
    let image = prod("signed-v2");
    admitted(&stage, &image, "hello from signed-v2").await?;
    let id = stage.cri().pull(&image).await?;
    let pod = stage.pod().await?;
    let (code, well) = status(&stage)?;
    ensure!(code == Some(0), "exit code {code:?}: {well:#}");
    broken(&stage, &well["policy"]["generation"]).await?;
    let (exit, _) = stage.cri().run(&pod, by_id(&id, &image)).await?;
    ensure!(exit == 0, "exit code {exit}");

    stage.registry.clear_log();
    reload(
        &stage,
        &usual_policy().replace(
            "name: build, key: {files: [build.pub]}",
            "name: either, key: {files: [other.pub, build.pub]}",
        ),
    )
    .await?;
    let (code, now) = status(&stage)?;
    ensure!(
        code == Some(0) && now["policy"]["reload_error"].is_null(),
        "exit code {code:?}: {now:#}"
    );
    let (exit, _) = stage.cri().run(&pod, by_id(&id, &image)).await?;
    let record = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    println!(
        "   under the new policy: admitted in {} us, {} requests",
        record["timings"]["total"],
        stage.registry.requests().len()
    );
    // In the background or for this create, whichever came first: what names the new requirement
    // was judged under it.
    ensure!(exit == 0, "exit code {exit}");
    ensure!(
        record["policies"].to_string().contains("either"),
        "judged by another policy: {record:#}"
    );
    ensure!(
        record["policy_generation"] == now["policy"]["generation"],
        "another generation: {record:#}"
    );
    ensure!(
        stage.registry.requests().is_empty(),
        "the registry was asked: {:#?}",
        stage.registry.requests()
    );

    reload(&stage, &usual_policy().replace("build.pub", "security.pub")).await?;
    let refusal = stage
        .cri()
        .create(&pod, by_id(&id, &image))
        .await
        .err()
        .ok_or("created under a stricter policy")?;
    println!("   under a stricter one: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["security.pub"])?;
    stage.expect_record("CreateContainer", "refused", "no-signature-counts")?;
    Ok(())
}

/// Broken policies and keys leave the set before in force, loudly.
async fn broken(stage: &Stage, generation: &Value) -> Outcome {
    let misspelt = usual_policy().replace("require:", "requires:");
    let no_key = usual_policy().replace("build.pub", "nobody.pub");
    for (policy, words) in [
        (misspelt.as_str(), "requires"),
        (no_key.as_str(), "nobody.pub"),
        ("spec: [", "policy.yaml"),
    ] {
        reload(stage, policy).await?;
        let (code, now) = status(stage)?;
        let error = now["policy"]["reload_error"].as_str().unwrap_or_default();
        println!("   a broken reload: exit code {code:?}, {error}");
        ensure!(code == Some(1), "exit code {code:?}: {now:#}");
        ensure!(
            error.contains(words) && error.contains("policy.yaml"),
            "the error does not point at {words}: {error}"
        );
        ensure!(now["policy"]["generation"] == *generation, "another set is in force: {now:#}");
        let said = stage.sealgate(&["status"])?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(
            said.contains("the set before it is in force") && said.contains(words),
            "status says: {said}"
        );
        ensure!(
            stage.gate_log().contains("NOT reloaded"),
            "not said loudly:\n{}",
            stage.gate_log()
        );
    }
    Ok(())
}

pub async fn warned() -> Outcome {
    let policy = usual_policy().replacen("spec:\n", "spec:\n  action: warn\n", 1);
    let stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    let image = prod("unsigned");
    let (exit, output) = stage.pull_and_run(&image).await?;
    ensure!(exit == 0 && output.contains("hello from unsigned"), "exit code {exit}: {output}");
    let pulled = stage.expect_record("PullImage", "warned", "warned")?;
    println!("   {image} ran: {}; on record: {}", output.trim(), pulled["reason"]["message"]);
    ensure!(
        pulled["policies"].to_string().contains("\"satisfied\":false"),
        "no word of what is missing: {pulled:#}"
    );
    let message = pulled["reason"]["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("otherwise unsigned: policy \"production\", requirement \"build\""),
        "no reason as a refusal has it: {message}"
    );
    stage.expect_record("CreateContainer", "warned", "warned")?;
    admitted(&stage, &prod("signed-v2"), "hello from signed-v2").await.map(|_| ())
}

/// Attack E10: what no policy names is refused, and its host is not asked anything.
pub async fn no_policy() -> Outcome {
    let stage = Stage::usual().await?;
    for image in [
        format!("{HOST}/elsewhere/app:v1"),
        format!("{HOST}/prod:v1"),
        "169.254.169.254/latest/app:v1".to_owned(),
        "localhost:1/app:v1".to_owned(),
    ] {
        refused(&stage, &image, no("no-policy"), &["no policy matches"]).await?;
        ensure!(stage.registry.requests().is_empty(), "asked: {:#?}", stage.registry.requests());
    }
    Ok(())
}

/// Pulls for a pod of this namespace.
async fn pull_for(stage: &Stage, namespace: &str, image: &str) -> Result<String, Status> {
    let spec = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
    let metadata = PodSandboxMetadata {
        name: "pod".to_owned(),
        uid: "0123".to_owned(),
        namespace: namespace.to_owned(),
        ..PodSandboxMetadata::default()
    };
    let sandbox = PodSandboxConfig { metadata: Some(metadata), ..PodSandboxConfig::default() };
    let request = PullImageRequest {
        image: Some(spec),
        sandbox_config: Some(sandbox),
        ..PullImageRequest::default()
    };
    Ok(stage.cri().images.clone().pull_image(request).await?.into_inner().image_ref)
}

/// A verdict under one namespace's documents is none under another's (attack E9), and a namespace
/// that is not known matches what enforces and nothing that permits (attack E8).
pub async fn namespaced() -> Outcome {
    let strict = usual_policy().replacen("spec:\n", "spec:\n  namespaces: [\"prod-*\"]\n", 1);
    let policy = format!(
        "{strict}---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: \
         playground}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  namespaces: [dev]\n  require: {{insecureAcceptAnything: \
         true}}\n"
    );
    let stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    let image = prod("unsigned");
    refused(&stage, &image, no("unsigned"), &["production"]).await?;
    println!("   the pull named no pod");
    let refusal = refusal_of(&image, pull_for(&stage, "prod-eu", &image).await)?;
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["production"])?;
    let record = stage.expect_record("PullImage", "refused", "unsigned")?;
    ensure!(record["pod"]["namespace"] == "prod-eu", "another pod is on record: {record:#}");
    let refusal = refusal_of(&image, pull_for(&stage, "elsewhere", &image).await)?;
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["no policy matches"])?;
    let id = pull_for(&stage, "dev", &image).await?;
    println!("   pulled for dev: {id}");
    stage.expect_record("PullImage", "unverified", "unverified")?;

    let cri = stage.cri();
    let (dev, prod_eu) = (cri.run_pod("dev").await?, stage.pod().await?);
    let (exit, output) = cri.run(&dev, by_id(&id, &image)).await?;
    ensure!(exit == 0, "exit code {exit}: {output}");
    stage.registry.clear_log();
    let refusal = cri
        .create(&prod_eu, by_id(&id, &image))
        .await
        .err()
        .ok_or_else(|| Failure("ran in prod-eu".to_owned()))?;
    println!("   in prod-eu: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["production"])?;
    stage.expect_record("CreateContainer", "refused", "unsigned")?;
    ensure!(asked_by(&stage.registry, "containerd/", "") == 0, "the runtime was told");
    Ok(())
}
