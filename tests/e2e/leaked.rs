//! A key has leaked: what was admitted by it is listed, it is struck off in one command, and the
//! record is judged again; with no registry.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::acts::create_refused;
use crate::containerd::{Launch, Pod};
use crate::ensure;
use crate::making::{Form, Known, admit, runs};
use crate::offline::NOT_VOUCHED_FOR;
use crate::outage::take_away;
use crate::signing::Signer;
use crate::stage::{Failure, Outcome, Props, Stage, by_id, usual_policy};

/// Images of each key.
const EACH: usize = 10;
/// Images of the leaked key that another key signed as well.
const BY_TWO: usize = 2;
/// Why it is struck off.
const REASON: &str = "INC-4711";

/// The shown scenario: thirty images by three keys, of which one leaks.
pub async fn leaked_key() -> Outcome {
    let names = ["alpha", "beta", "gamma"];
    let signers = names.map(|_| Signer::p256());
    let keys = names.iter().zip(&signers);
    let keys = keys.map(|(name, signer)| (format!("{name}.pub"), signer.pem())).collect();
    let files = names.map(|name| format!("{name}.pub")).join(", ");
    let policy = usual_policy().replace("files: [build.pub]", &format!("files: [{files}]"));
    let mut stage = Stage::set(Props { policy, keys, ..Props::usual()? }).await?;
    let pod = stage.pod().await?;
    let [leaked, beta, gamma] = &signers;
    let (mut by_leaked, mut others) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        let by: &[&Signer] = if number < BY_TWO { &[leaked, beta] } else { &[leaked] };
        let name = format!("alpha-{number}");
        by_leaked.push(admit(&stage, &pod, &name, Form::Older, by).await?);
        for (name, signer) in [("beta", beta), ("gamma", gamma)] {
            let name = format!("{name}-{number}");
            others.push(admit(&stage, &pod, &name, Form::Older, &[signer]).await?);
        }
    }
    let stays = stays(&stage, &pod, &by_leaked[EACH - 1]).await?;
    take_away(&mut stage);

    let key = stage.folder().join("keys/alpha.pub").display().to_string();
    let found = listed(&stage, &key, &by_leaked, &stays)?;
    println!("   impact: {found} images rest on the key, {BY_TWO} of them stand without it");
    let said = ran(&stage, &["impact", "--key", &key, "--deny", "--reason", REASON], 0)?;
    ensure!(said.contains("denied:") && said.contains("in force:"), "{said}");
    replayed(&stage, &by_leaked[BY_TWO..])?;
    for known in &by_leaked[BY_TWO..] {
        create_refused(&stage, &pod, by_id(&known.id, &known.name), NOT_VOUCHED_FOR).await?;
    }
    for known in by_leaked[..BY_TWO].iter().chain(&others) {
        runs(&stage, &pod, known).await?;
    }
    println!("   struck off: {} images are refused, the others run", EACH - BY_TWO);
    Ok(())
}

/// A container of it that goes on running.
async fn stays(stage: &Stage, pod: &Pod, known: &Known) -> Result<String, Failure> {
    let command = ["/bin/busybox", "sleep", "1000000"].map(str::to_owned).to_vec();
    let launch = Launch { command, ..by_id(&known.id, &known.name) };
    let container = stage.cri().create(pod, launch).await?;
    stage.cri().start(&container).await?;
    Ok(container)
}

/// Every image of the key is listed with its pods and what runs of it, and no other.
fn listed(stage: &Stage, key: &str, by_key: &[Known], stays: &str) -> Result<usize, Failure> {
    let said = ran(stage, &["--output", "json", "impact", "--key", key], 1)?;
    let report: Value = serde_json::from_str(&said)?;
    let images = report["images"].as_array().ok_or("no images")?;
    let digests = |images: &mut dyn Iterator<Item = &str>| {
        images.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let listed = digests(&mut images.iter().filter_map(|image| image["digest"].as_str()));
    let expected = digests(&mut by_key.iter().map(|known| known.digest.as_str()));
    ensure!(listed == expected, "{said}");
    for (number, known) in by_key.iter().enumerate() {
        let image = images.iter().find(|image| image["digest"] == known.digest.as_str());
        let image = image.ok_or("not listed")?;
        let expected = if number < BY_TWO { "admitted" } else { "refused" };
        ensure!(image["without_it"] == expected, "{}: {image:#}", known.name);
        let runs = image["running"].to_string().contains(stays);
        ensure!(runs == (number == by_key.len() - 1), "{}: {image:#}", known.name);
        ensure!(!image["pods"].to_string().contains("[]"), "{image:#}");
    }
    Ok(listed.len())
}

/// What is judged again comes out otherwise for exactly these.
fn replayed(stage: &Stage, changed: &[Known]) -> Outcome {
    let said = ran(stage, &["--output", "json", "audit", "replay"], 1)?;
    let report: Value = serde_json::from_str(&said)?;
    let differ = report["differ"].as_array().ok_or("no list")?;
    let then =
        |one: &Value| one["then"]["verdict"] == "admitted" && one["now"]["verdict"] != "admitted";
    ensure!(differ.iter().all(then), "{said}");
    let digests: BTreeSet<&str> = differ.iter().filter_map(|one| one["digest"].as_str()).collect();
    let expected: BTreeSet<&str> = changed.iter().map(|known| known.digest.as_str()).collect();
    ensure!(digests == expected, "{said}");
    println!("   replay: {} images would be decided otherwise, and no other", digests.len());
    Ok(())
}

/// Runs the program, which must end with this code; what it said.
fn ran(stage: &Stage, args: &[&str], code: i32) -> Result<String, Failure> {
    let output = stage.sealgate(args)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.code() == Some(code),
        "sealgate {args:?}: {}: {}{}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(said(&output.stdout))
}
