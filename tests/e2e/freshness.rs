//! Evidence grows old: the registry is asked again behind an admission, and what it says then
//! counts; where it says nothing, what is on the node counts for as long as the operator lets it.

use std::time::Duration;

use tonic::Code;

use crate::acts::{No, VALIDATION, create_refused, eventually};
use crate::containerd::Pod;
use crate::ensure;
use crate::kept::{anew, backdate, done_by, offline, online};
use crate::making::{Form, Known, admit, runs, runs_from_evidence};
use crate::means::hide;
use crate::registry::Settings;
use crate::rules::reload;
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, expect_refusal, usual_policy};

const HOUR: Duration = Duration::from_secs(3600);
/// How long asking again behind an admission may take; it takes some milliseconds.
const SOON: Duration = Duration::from_secs(60);

/// Nothing on the node may count, and nobody can be asked.
const UNREACHABLE: No = No {
    code: Code::Unknown,
    begins: "RegistryUnavailable: ",
    verdict: "unreachable",
    reason: "signatures-unreachable",
};

/// A policy for one key, with more in each spec.
fn policy(more: &str) -> String {
    usual_policy().replace("files: [build.pub]", "files: [alpha.pub]").replacen(
        "spec:\n",
        &format!("spec:\n{more}"),
        1,
    )
}

async fn stage(alpha: &Signer) -> Result<Stage, Failure> {
    let keys = vec![("alpha.pub".to_owned(), alpha.pem())];
    Stage::set(Props {
        registry: Settings::conforming(),
        policy: policy(""),
        keys,
        ..Props::usual()?
    })
    .await
}

pub async fn refreshed() -> Outcome {
    let alpha = Signer::p256();
    let mut stage = stage(&alpha).await?;
    let pod = stage.pod().await?;
    let stays = admit(&stage, &pod, "stays", Form::Bundle, &[&alpha]).await?;
    let withdrawn = admit(&stage, &pod, "withdrawn", Form::Older, &[&alpha]).await?;
    let gone = admit(&stage, &pod, "gone", Form::Older, &[&alpha]).await?;

    backdate(&mut stage, 30 * HOUR).await?;
    asked_again(&stage, &pod, &stays).await?;
    signature_withdrawn(&mut stage, &pod, &withdrawn).await?;
    with_no_answer(&mut stage, &pod, &gone).await
}

/// Old evidence admits at once, and is new afterwards.
async fn asked_again(stage: &Stage, pod: &Pod, known: &Known) -> Outcome {
    online(stage);
    let age = runs_from_evidence(stage, pod, known).await?;
    ensure!(age >= 30 * 3600, "{age} s old");
    eventually("the registry is asked again", SOON, async || {
        stage.registry.count("/referrers/") > 0
    })
    .await?;
    let mut renewed = u64::MAX;
    eventually("the evidence is new", SOON, async || {
        renewed = runs_from_evidence(stage, pod, known).await.unwrap_or(u64::MAX);
        renewed < 3600
    })
    .await?;
    let asked = stage.registry.requests().len();
    for _ in 0..5 {
        runs_from_evidence(stage, pod, known).await?;
    }
    let more = stage.registry.requests().len() - asked;
    println!(
        "   admitted by evidence {age} s old; asked again in {asked} requests, then it was \
         {renewed} s old"
    );
    ensure!(more == 0, "asked again {more} times for what is new");
    Ok(())
}

/// The signature is taken away, the image is not: refused from then on, also without the registry.
async fn signature_withdrawn(stage: &mut Stage, pod: &Pod, known: &Known) -> Outcome {
    online(stage);
    hide(&stage.registry, ".sig");
    let age = runs_from_evidence(stage, pod, known).await?;
    ensure!(age >= 30 * 3600, "{age} s old");
    let (cri, launch) = (stage.cri(), by_id(&known.id, &known.name));
    let mut refusal = None;
    eventually("the next is refused", SOON, async || {
        refusal = cri.create(pod, launch.clone()).await.err();
        refusal.is_some()
    })
    .await?;
    expect_refusal(&refusal.ok_or("no refusal")?, Code::Unknown, VALIDATION, &["production"])?;
    stage.expect_record("CreateContainer", "refused", "unsigned")?;
    let journal = stage.gate_log();
    ensure!(journal.contains("withdrawn"), "the journal does not say so:\n{journal}");
    stage.kill_gate()?;
    offline(stage);
    stage.start_gate().await?;
    create_refused(stage, pod, launch, UNREACHABLE).await?;
    println!(
        "   withdrawn at the registry: admitted once, then refused, and not admitted without the \
         registry either"
    );
    Ok(())
}

/// The registry is away, or has lost the image as well: the evidence stays, and does not grow
/// younger.
async fn with_no_answer(stage: &mut Stage, pod: &Pod, known: &Known) -> Outcome {
    for (what, path) in [("the registry is away", "/v2/"), ("the image is gone", "/v2/prod/gone/")]
    {
        stage.registry.clear_rules();
        match path {
            "/v2/" => offline(stage),
            _ => hide(&stage.registry, path),
        }
        // A gate that has just asked in vain does not ask at every use.
        anew(stage).await?;
        stage.registry.clear_log();
        let before = runs_from_evidence(stage, pod, known).await?;
        eventually("the registry is asked again", SOON, async || {
            stage.registry.count("/prod/gone/") > 0
        })
        .await?;
        // Time for the answer, or the lack of one, to take effect if it wrongly had any.
        tokio::time::sleep(Duration::from_millis(500)).await;
        anew(stage).await?;
        let after = runs_from_evidence(stage, pod, known).await?;
        ensure!(after >= before, "{before} s old before, {after} s after");
        println!("   {what}: still admitted, by evidence {after} s old");
    }
    Ok(())
}

pub async fn too_old() -> Outcome {
    let alpha = Signer::p256();
    let mut stage = stage(&alpha).await?;
    let pod = stage.pod().await?;
    let known = admit(&stage, &pod, "known", Form::Bundle, &[&alpha]).await?;
    let launch = by_id(&known.id, &known.name);

    offline(&stage);
    backdate(&mut stage, 30 * HOUR).await?;
    runs_from_evidence(&stage, &pod, &known).await?;
    println!("   without a bound it runs, by evidence 30 hours old");
    reload(&stage, &policy("  maxOffline: 24h\n")).await?;
    let message = create_refused(&stage, &pod, launch.clone(), UNREACHABLE).await?;
    ensure!(message.contains("1 d 6 h"), "the age is not named: {message}");
    // Also of a gate that knows it from disk alone.
    stage.kill_gate()?;
    stage.start_gate().await?;
    create_refused(&stage, &pod, launch, UNREACHABLE).await?;

    online(&stage);
    let record = runs(&stage, &pod, &known).await?;
    ensure!(record["source"] == "registry" && !stage.registry.requests().is_empty(), "{record:#}");
    offline(&stage);
    let age = runs_from_evidence(&stage, &pod, &known).await?;
    println!(
        "   the registry was back for a moment: admitted, and after it by evidence {age} s old"
    );
    ensure!(age < 3600, "{age} s old");

    flushed(&stage, &pod, &known).await
}

/// After a flush the registry is asked first; where it does not answer, what is on the node still
/// counts.
async fn flushed(stage: &Stage, pod: &Pod, known: &Known) -> Outcome {
    done_by(stage, &["cache", "flush"])?;
    stage.registry.clear_log();
    runs_from_evidence(stage, pod, known).await?;
    let asked = stage.registry.requests().len();
    ensure!(asked > 0, "the registry was not asked after a flush");
    println!(
        "   flushed, and no registry: it was asked ({asked} connections), then the evidence counted"
    );
    online(stage);
    done_by(stage, &["cache", "flush"])?;
    let record = runs(stage, pod, known).await?;
    ensure!(record["source"] == "registry", "not from the registry after a flush: {record:#}");
    println!("   flushed, with the registry: {}", record["source"]);
    Ok(())
}
