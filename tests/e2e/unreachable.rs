//! `onUnreachable` on a real node: what runs while the registry is away, and what of it when the
//! registry is back.

use serde_json::Value;

use crate::acts::{No, create_refused, past_the_gate};
use crate::containerd::Pod;
use crate::ensure;
use crate::kept::{anew, done_by, entries, offline, online};
use crate::means::{prod, status};
use crate::offline::NOT_VOUCHED_FOR;
use crate::rules::reload;
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};

/// The usual policy, which lets through what it cannot ask the registry about; with this key.
fn open(key: &str) -> String {
    let open = usual_policy().replacen("spec:\n", "spec:\n  onUnreachable: insecureAdmit\n", 1);
    open.replace("files: [build.pub]", &format!("files: [{key}]"))
}

/// The shown scenario.
pub async fn unreachable() -> Outcome {
    let keys = vec![("other.pub".to_owned(), Signer::p256().pem())];
    let props = Props { policy: open("build.pub"), keys, ..Props::usual()? };
    let mut stage = Stage::set(props).await?;
    let pod = stage.pod().await?;
    told(&stage)?;
    let known = prod("signed-v2");
    let known = (stage.cri().pull(&known).await?, known);
    let unsigned = (past_the_gate(&stage, &prod("unsigned")).await?, prod("unsigned"));
    let signed = (past_the_gate(&stage, &prod("signed-v3")).await?, prod("signed-v3"));
    let kept = entries(&stage).len();

    offline(&stage);
    anew(&mut stage).await?;
    println!("   the registry is gone, and the gate remembers nothing");
    runs(&stage, &pod, &known, ("admitted", "satisfied")).await?;
    for _ in 0..2 {
        let record = runs(&stage, &pod, &unsigned, ("unchecked", "unchecked")).await?;
        ensure!(record["cached"] != true, "remembered: {record:#}");
        let message = record["reason"]["message"].as_str().unwrap_or_default();
        ensure!(
            message.contains("production") && message.contains("onUnreachable"),
            "does not say by what: {message}"
        );
    }
    runs(&stage, &pod, &signed, ("unchecked", "unchecked")).await?;
    ensure!(entries(&stage).len() == kept, "what nobody checked became evidence");
    let listed = done_by(&stage, &["audit", "tail", "--verdict", "unchecked"])?;
    ensure!(listed.contains(&unsigned.1), "audit tail does not list it: {listed}");

    // A signature that does not count is refused with and without the registry.
    reload(&stage, &open("other.pub")).await?;
    create_refused(&stage, &pod, by_id(&known.0, &known.1), NOT_VOUCHED_FOR).await?;
    reload(&stage, &usual_policy()).await?;
    create_refused(&stage, &pod, by_id(&unsigned.0, &unsigned.1), NOT_VOUCHED_FOR).await?;
    runs(&stage, &pod, &known, ("admitted", "satisfied")).await?;

    online(&stage);
    println!("   the registry is back");
    reload(&stage, &open("build.pub")).await?;
    create_refused(&stage, &pod, by_id(&unsigned.0, &unsigned.1), No::refused("unsigned")).await?;
    runs(&stage, &pod, &signed, ("admitted", "satisfied")).await?;
    ensure!(entries(&stage).len() > kept, "what the registry showed was not kept");
    reload(&stage, &open("other.pub")).await?;
    let no = No::refused("no-signature-counts");
    create_refused(&stage, &pod, by_id(&known.0, &known.1), no).await.map(|_| ())
}

/// Every place that tells of settings that let images run without proof tells of this one.
fn told(stage: &Stage) -> Outcome {
    let (_, now) = status(stage)?;
    let unproven = now["policy"]["unproven"].to_string();
    ensure!(unproven.contains("onUnreachable") && unproven.contains("production"), "{unproven}");
    let enforcing = now["enforcing"].to_string();
    ensure!(enforcing.contains("admits-everything"), "the gauge does not know: {enforcing}");
    let explained = done_by(stage, &["policy", "explain", &prod("unsigned")])?;
    ensure!(explained.contains("onUnreachable"), "explain: {explained}");
    println!("   {unproven}");
    Ok(())
}

/// Runs an image that is on the node; the record of its create.
async fn runs(
    stage: &Stage,
    pod: &Pod,
    (id, image): &(String, String),
    (verdict, code): (&str, &str),
) -> Result<Value, Failure> {
    let (exit, output) = stage.cri().run(pod, by_id(id, image)).await?;
    ensure!(exit == 0, "exit code {exit}: {output}");
    let record = stage.expect_record("CreateContainer", verdict, code)?;
    println!("   {image} ran: {verdict}: {}", record["reason"]["message"]);
    Ok(record)
}
