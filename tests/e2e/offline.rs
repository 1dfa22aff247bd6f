//! The policy changes while there is no registry: what was admitted is judged again from what is on
//! the node.

use serde_json::Value;
use tonic::Code;

use crate::acts::{No, create_refused};
use crate::containerd::Pod;
use crate::ensure;
use crate::making::{Form, Known, admit, runs_from_evidence};
use crate::means::{status, until};
use crate::outage::take_away;
use crate::registry::Settings;
use crate::rules::reload;
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};

/// Whose signatures the image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Alpha,
    Beta,
    Both,
}

/// No key of the policy vouches for it, and nobody can be asked whether another does.
pub const NOT_VOUCHED_FOR: No = No {
    code: Code::Unknown,
    begins: "RegistryUnavailable: ",
    verdict: "unreachable",
    reason: "signatures-unreachable",
};

/// A policy with these keys, and more documents.
fn policy(keys: &str, more: &str) -> String {
    format!("{}{more}", usual_policy().replace("files: [build.pub]", &format!("files: [{keys}]")))
}

pub async fn key_removed() -> Outcome {
    let (alpha, beta) = (Signer::p256(), Signer::ed25519());
    let both = policy("alpha.pub, beta.pub", "");
    let keys = vec![("alpha.pub".to_owned(), alpha.pem()), ("beta.pub".to_owned(), beta.pem())];
    let props =
        Props { registry: Settings::conforming(), policy: both.clone(), keys, ..Props::usual()? };
    let mut stage = Stage::set(props).await?;
    let pod = stage.pod().await?;
    let mut known = Vec::new();
    for (form, word) in [(Form::Older, "older"), (Form::Bundle, "bundle")] {
        for (by, signers) in
            [(By::Alpha, &[&alpha][..]), (By::Beta, &[&beta]), (By::Both, &[&alpha, &beta])]
        {
            let short = format!("{word}-{by:?}").to_lowercase();
            known.push((by, admit(&stage, &pod, &short, form, signers).await?));
        }
    }
    take_away(&mut stage);
    println!("   {} images were admitted; the registry is gone", known.len());

    let one = policy("alpha.pub", "");
    reload(&stage, &one).await?;
    rejudged(&stage, 6, 2).await?;
    judged(&stage, &pod, &known, NOT_VOUCHED_FOR, |by, _| by != By::Beta).await?;
    println!("   the key is back:");
    reload(&stage, &both).await?;
    judged(&stage, &pod, &known, NOT_VOUCHED_FOR, |_, _| true).await?;
    println!("   removed before a restart:");
    restarted(&mut stage, &one).await?;
    judged(&stage, &pod, &known, NOT_VOUCHED_FOR, |by, _| by != By::Beta).await?;

    let denied =
        known.iter().find(|(by, _)| *by == By::Both).ok_or("none by both")?.1.digest.clone();
    let deny = format!(
        "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: withdrawn}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  deny: {{digests: [\"{denied}\"]}}\n"
    );
    println!("   a deny list, by reload and by restart:");
    let listed = policy("alpha.pub, beta.pub", &deny);
    reload(&stage, &listed).await?;
    judged(&stage, &pod, &known, No::refused("digest-denied"), |_, known| known.digest != denied)
        .await?;
    restarted(&mut stage, &listed).await?;
    judged(&stage, &pod, &known, No::refused("digest-denied"), |_, known| known.digest != denied)
        .await?;
    ensure!(
        stage.registry.requests().is_empty(),
        "somebody was asked: {:#?}",
        stage.registry.requests()
    );
    Ok(())
}

async fn restarted(stage: &mut Stage, policy: &str) -> Outcome {
    stage.kill_gate()?;
    stage.write_policy(policy)?;
    stage.start_gate().await
}

/// Every image is created and runs, or is refused, as it should.
async fn judged(
    stage: &Stage,
    pod: &Pod,
    all: &[(By, Known)],
    no: No,
    holds: impl Fn(By, &Known) -> bool,
) -> Outcome {
    for (by, known) in all {
        if holds(*by, known) {
            let age = runs_from_evidence(stage, pod, known).await?;
            println!("   {}: runs, from evidence {age} s old", known.name);
        } else {
            create_refused(stage, pod, by_id(&known.id, &known.name), no).await?;
        }
    }
    Ok(())
}

/// What the gate says of judging again in the background: at least so many, of them so many not
/// admitted.
async fn rejudged(stage: &Stage, all: u64, refused: u64) -> Outcome {
    let said = || status(stage).map(|(_, words)| words["evidence"]["rejudged"].clone());
    let count = |words: &Value, name: &str| words[name].as_u64().unwrap_or_default();
    until("judging again", || async {
        said().is_ok_and(|words| {
            let (admitted, left_out) = (count(&words, "admitted"), count(&words, "left_out"));
            words["left"] == 0 && admitted + left_out >= all && left_out == refused
        })
    })
    .await
    .map_err(|failure| Failure(format!("{}: {:?}", failure.0, said())))?;
    println!("   judged again in the background: {}", said()?);
    Ok(())
}
