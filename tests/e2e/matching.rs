//! Which pods a policy is about: labels, runtime handlers and what an image is for, each judged by
//! what the runtime knows of the pod, with verdicts in memory that are no other pod's.

use sealgate::proto::cri::{ImageSpec, Mount, PodSandboxConfig, PullImageRequest};
use tonic::{Code, Status};

use crate::containerd::{Launch, Pod};
use crate::ensure;
use crate::means::{prod, refusal_of};
use crate::rules::reload;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_refusal, usual_policy};

/// Signed by `build` alone, and by `build` and `security`.
const BUILT: &str = "signed-v2";
const BOTH: &str = "two-signers-v2";
/// The policy that is about some pods.
const STRICT: &str = "strict";
/// Where a kubelet notes the uid of a pod.
const POD_UID: &str = "io.kubernetes.pod.uid";

/// The usual policies, and one more that asks more of pods which it selects by this field.
fn and_strict(field: &str) -> String {
    format!(
        "{}---
apiVersion: sealgate/v1
kind: ImagePolicy
metadata: {{name: {STRICT}}}
spec:
  images: [\"{HOST}/prod/**\"]
  {field}
  require: {{name: security, key: {{files: [security.pub]}}}}
",
        usual_policy()
    )
}

async fn pull_for(stage: &Stage, pod: &Pod, image: &str) -> Result<String, Status> {
    let spec = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
    let request = PullImageRequest {
        image: Some(spec),
        sandbox_config: Some(pod.config.clone()),
        ..PullImageRequest::default()
    };
    Ok(stage.cri().images.clone().pull_image(request).await?.into_inner().image_ref)
}

fn labelled(labels: &[(&str, &str)]) -> PodSandboxConfig {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    PodSandboxConfig { labels: labels.collect(), ..PodSandboxConfig::default() }
}

/// It runs, and says so.
async fn runs(stage: &Stage, pod: &Pod, launch: Launch) -> Outcome {
    let (exit, output) = stage.cri().run(pod, launch).await?;
    ensure!(exit == 0 && output.contains("hello from"), "exit code {exit}: {output}");
    stage.expect_record("CreateContainer", "admitted", "satisfied").map(|_| ())
}

/// It is refused by the policy that is about some pods.
async fn is_refused(stage: &Stage, pod: &Pod, launch: Launch, call: &str) -> Outcome {
    let made = stage.cri().create(pod, launch).await;
    let refusal = made.err().ok_or("a container of a pod that the policy is about was made")?;
    println!("   refused: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &[STRICT])?;
    stage.expect_record(call, "refused", "no-signature-counts").map(|_| ())
}

pub async fn matching() -> Outcome {
    let policy = and_strict("podLabels: {example.com/tier: \"prod-*\"}");
    let mut stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    labels(&mut stage).await?;
    handlers(&stage).await?;
    uses(&stage).await
}

/// Attacks E8 and E9: a verdict for a pod without the label is none for one with it, whatever the
/// request to make a container says; and a pod of which nothing is known meets every policy.
async fn labels(stage: &mut Stage) -> Outcome {
    let cri = stage.cri();
    let plain = cri.run_pod_with("prod-eu", labelled(&[("app", "web")]), "").await?;
    let tier = [("app", "web"), ("example.com/tier", "prod-eu")];
    let strict = cri.run_pod_with("prod-eu", labelled(&tier), "").await?;
    let (built, both) = (prod(BUILT), prod(BOTH));
    let refusal = refusal_of(&built, cri.pull(&built).await)?;
    println!("   pulled for no pod: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &[STRICT])?;
    let refusal = refusal_of(&built, pull_for(stage, &strict, &built).await)?;
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &[STRICT])?;
    let id = pull_for(stage, &plain, &built).await?;
    // From memory from the second time on, and each pod by its own.
    for turn in 0..2 {
        println!("   turn {turn}");
        runs(stage, &plain, by_id(&id, &built)).await?;
        is_refused(stage, &strict, by_id(&id, &built), "CreateContainer").await?;
    }
    let forged = Pod { id: strict.id.clone(), config: plain.config.clone() };
    is_refused(stage, &forged, by_id(&id, &built), "CreateContainer").await?;
    let signed = pull_for(stage, &strict, &both).await?;
    runs(stage, &strict, by_id(&signed, &both)).await?;

    // After a restart the runtime is asked whose container it is that starts.
    let made = cri.create(&plain, by_id(&id, &built)).await?;
    stage.kill_gate()?;
    stage.start_gate().await?;
    let cri = stage.cri();
    cri.start(&made).await?;
    let (exit, _) = cri.output(&made).await?;
    ensure!(exit == 0, "exit code {exit}");
    stage.expect_record("StartContainer", "admitted", "satisfied")?;
    is_refused(stage, &strict, by_id(&id, &built), "CreateContainer").await
}

/// The handler is the one that the sandbox got; a pull does not say it, and the runtime does.
async fn handlers(stage: &Stage) -> Outcome {
    reload(stage, &and_strict("runtimeHandlers: [runc]")).await?;
    let (cri, built) = (stage.cri(), prod(BUILT));
    let uid = |uid: &str| labelled(&[(POD_UID, uid)]);
    let mut pods = Vec::new();
    for (own, handler) in [("default", ""), ("named", "runc")] {
        let mut pod = cri.run_pod_with("prod-eu", uid(own), handler).await?;
        // As a kubelet's, whose label and metadata agree.
        let metadata = pod.config.metadata.as_mut().ok_or("no metadata")?;
        own.clone_into(&mut metadata.uid);
        pods.push(pod);
    }
    let [default, named] = pods.as_slice() else { return Err(Failure("two pods".to_owned())) };
    let id = pull_for(stage, default, &built).await?;
    let refusal = refusal_of(&built, pull_for(stage, named, &built).await)?;
    println!("   pulled for the handler runc: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &[STRICT])?;
    runs(stage, default, by_id(&id, &built)).await?;
    is_refused(stage, named, by_id(&id, &built), "CreateContainer").await?;
    runs(stage, default, by_id(&id, &built)).await
}

/// The same image may run and may not be mounted.
async fn uses(stage: &Stage) -> Outcome {
    reload(stage, &and_strict("kinds: [imageVolume]")).await?;
    let (cri, built) = (stage.cri(), prod(BUILT));
    let pod = cri.run_pod_with("prod-eu", labelled(&[]), "").await?;
    let id = cri.image(&built).await?.ok_or("the image is gone")?.id;
    runs(stage, &pod, by_id(&id, &built)).await?;
    let image = ImageSpec {
        image: id.clone(),
        user_specified_image: built.clone(),
        ..ImageSpec::default()
    };
    let mount = Mount {
        container_path: "/data".to_owned(),
        readonly: true,
        image: Some(image),
        ..Mount::default()
    };
    let mounting = Launch { mounts: vec![mount], ..by_id(&id, &built) };
    is_refused(stage, &pod, mounting, "ImageVolume").await?;
    runs(stage, &pod, by_id(&id, &built)).await
}
