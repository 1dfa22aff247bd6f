//! A policy that is about images with a label: judged at the pull by the config that the registry has,
//! and at every create by the one in containerd's store, also after a restart without a registry.

use tonic::Code;

use crate::containerd::Pod;
use crate::ensure;
use crate::means::{asked_by, prod, refusal_of};
use crate::outage::take_away;
use crate::rules::reload;
use crate::stage::{HOST, Outcome, Props, Stage, by_id, expect_refusal, usual_policy};

/// Signed by `build` alone: without a label, and with `MAINTAINER: acme`.
const PLAIN: &str = "signed-v2";
const LABELLED: &str = "labels-by-case";
/// The policy that is about some images.
const STRICT: &str = "strict";

/// The usual policies, and one more that asks more of images with this label.
fn and_strict(label: &str) -> String {
    format!(
        "{}---
apiVersion: sealgate/v1
kind: ImagePolicy
metadata: {{name: {STRICT}}}
spec:
  images: [\"{HOST}/prod/**\"]
  imageLabels: {{{label}}}
  require: {{name: security, key: {{files: [security.pub]}}}}
",
        usual_policy()
    )
}

async fn runs(stage: &Stage, pod: &Pod, id: &str, image: &str) -> Outcome {
    let (exit, output) = stage.cri().run(pod, by_id(id, image)).await?;
    ensure!(exit == 0 && output.contains("hello from"), "exit code {exit}: {output}");
    stage.expect_record("CreateContainer", "admitted", "satisfied").map(|_| ())
}

/// It is refused: by a refusal that the gate remembers, or since the signature that is missing could be
/// at the registry, which nobody can ask.
async fn is_refused(stage: &Stage, pod: &Pod, id: &str, image: &str) -> Outcome {
    let made = stage.cri().create(pod, by_id(id, image)).await;
    let refusal = made.err().ok_or("a container of an image with the label was made")?;
    println!("   refused: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "", &[])
}

pub async fn image_labels() -> Outcome {
    let policy = and_strict("MAINTAINER: \"ac*\"");
    let mut stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    let pod = stage.pod().await?;
    let (plain, labelled) = (prod(PLAIN), prod(LABELLED));
    let refusal = refusal_of(&labelled, stage.cri().pull(&labelled).await)?;
    println!("   refused: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &[STRICT])?;
    stage.expect_record("PullImage", "refused", "no-signature-counts")?;
    let plain_id = stage.cri().pull(&plain).await?;
    stage.expect_record("PullImage", "admitted", "satisfied")?;
    runs(&stage, &pod, &plain_id, &plain).await?;

    println!("   another label:");
    reload(&stage, &and_strict("MAINTAINER: other")).await?;
    let labelled_id = stage.cri().pull(&labelled).await?;
    runs(&stage, &pod, &labelled_id, &labelled).await?;
    let config = format!("/blobs/{labelled_id}");
    let asked = asked_by(&stage.registry, "sealgate/", &config);
    ensure!(asked == 2, "the gate asked {asked} times for the config, once for each pull");
    stage.cri().pull(&labelled).await?;
    let asked = asked_by(&stage.registry, "sealgate/", &config);
    ensure!(asked == 2, "the gate asked for a config that is on the node");

    println!("   the first label again, and a restart, with no registry:");
    take_away(&mut stage);
    reload(&stage, &and_strict("MAINTAINER: \"ac*\"")).await?;
    for turn in 0..2 {
        for _ in 0..2 {
            runs(&stage, &pod, &plain_id, &plain).await?;
            is_refused(&stage, &pod, &labelled_id, &labelled).await?;
        }
        if turn == 0 {
            stage.kill_gate()?;
            stage.start_gate().await?;
        }
    }
    stage.expect_record("CreateContainer", "unreachable", "signatures-unreachable")?;
    println!("   the other label, with no registry:");
    reload(&stage, &and_strict("MAINTAINER: other")).await?;
    runs(&stage, &pod, &labelled_id, &labelled).await
}
