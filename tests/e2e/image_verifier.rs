//! containerd's image verifier asks the gate: what `ctr` pulls through the transfer service meets
//! the same policy and memory as what a pod asks for, and pulls of the gate's own are not held up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use sealgate::proto::cri::{ImageSpec, PodSandboxConfig, PodSandboxMetadata, PullImageRequest};
use serde_json::Value;

use crate::containerd::{Cri, Flavour};
use crate::ensure;
use crate::means::until;
use crate::pace::Pace;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, usual_policy};

/// The first containerd whose CRI pulls go through the transfer service, and so to the verifier.
const TRANSFERS: (u32, u32) = (2, 1);
/// Pulls at once through the gate.
const PULLS: usize = 20;
/// How long containerd waits for a verifier by default; here it waits for longer, so that a machine
/// that is very busy does not end one.
const VERIFIER_MAX: Duration = Duration::from_secs(10);

/// Beside the usual policies one of a namespace, which demands another signature: a pod of another
/// namespace may have the image, and a pull of which the pod is not known may not.
fn policies() -> String {
    format!(
        "{}---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: strict}}\nspec:\n  \
         images: [\"{HOST}/prod/signed-v3\"]\n  namespaces: [other]\n  require: {{name: other, \
         key: {{files: [other.pub]}}}}\n",
        usual_policy()
    )
}

/// Signed, unsigned, forwarded by the gate, and with the gate down.
pub async fn image_verifier() -> Outcome {
    let newest = Flavour::at_least(TRANSFERS.0, TRANSFERS.1)?;
    for flavour in Flavour::all().into_iter().filter(|flavour| *flavour != newest) {
        let (major, minor) = flavour.version;
        println!("   containerd {major}.{minor}: not applicable, it has no image verifier");
    }
    let props = Props { flavour: newest, policy: policies(), ..Props::usual()? };
    let mut stage = Stage::set(props).await?;
    let program = install(&mut stage).await?;

    let signed = format!("{HOST}/prod/signed-v2:v1");
    let took = pulled(&stage, &signed)?;
    record(&stage, "admitted", "satisfied", &signed)?;
    println!("   ctr pulls a signed image: admitted and on record, {} ms", took.as_millis());
    stage.registry.clear_log();
    let again = pulled(&stage, &signed)?;
    ensure!(stage.registry.count("sha256-") == 0, "signatures were asked for again");
    println!("   once more: from the gate's memory, {} ms", again.as_millis());

    let unsigned = format!("{HOST}/prod/unsigned:v1");
    refused(&stage, &unsigned, "unsigned")?;
    record(&stage, "refused", "unsigned", &unsigned)?;
    let around = stage.containerd.cri().pull(&unsigned).await;
    let around = around.err().ok_or("an unsigned image was pulled at containerd's own socket")?;
    ensure!(around.message().contains("image verifier"), "another reason: {around}");
    println!("   an unsigned image is refused: to ctr, and to the CRI at containerd's own socket");

    forwarded(&stage).await?;

    stage.kill_gate()?;
    refused(&stage, &signed, "the gate does not answer")?;
    println!("   with the gate down a signed image is refused");
    fs::remove_file(program)?;
    pulled(&stage, &unsigned)?;
    println!("   with no program in its folder containerd asks nobody");
    Ok(())
}

/// Has containerd ask the program under test; the file that it runs.
async fn install(stage: &mut Stage) -> Result<PathBuf, Failure> {
    let folder = stage.folder().join("verifiers");
    fs::create_dir(&folder)?;
    let program = folder.join("sealgate-image-verifier");
    let text = format!(
        "#!/bin/sh\nexec {} --config {} image-verifier \"$@\"\n",
        env!("CARGO_BIN_EXE_sealgate"),
        stage.config().display()
    );
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let config = stage.containerd.folder().join("config.toml");
    let table = format!(
        "\n[plugins.\"io.containerd.image-verifier.v1.bindir\"]\n  bin_dir = \"{}\"\n  \
         per_verifier_timeout = \"60s\"\n",
        folder.display()
    );
    fs::write(&config, fs::read_to_string(&config)? + &table)?;
    stage.containerd.restart().await;
    // A connection of before the restart ends with the first call on it, which a kubelet repeats.
    let signed = format!("{HOST}/prod/signed-v2:v1");
    until("the gate answers after the restart", || async {
        stage.cri().image(&signed).await.is_ok()
    })
    .await?;
    Ok(program)
}

/// A pull by `ctr` through the transfer service.
fn ctr(stage: &Stage, image: &str) -> (Output, Duration) {
    let hosts = stage.containerd.folder().join("certs.d").display().to_string();
    let began = Instant::now();
    let output = stage.containerd.try_ctr(&["images", "pull", "--hosts-dir", &hosts, image]);
    (output, began.elapsed())
}

fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// It is pulled; how long that took.
fn pulled(stage: &Stage, image: &str) -> Result<Duration, Failure> {
    let (output, took) = ctr(stage, image);
    ensure!(output.status.success(), "{image}: {}\n{}", words(&output), stage.containerd.log());
    Ok(took)
}

/// The verifier refuses it with these words, before containerd ends it.
fn refused(stage: &Stage, image: &str, why: &str) -> Outcome {
    let pace = Pace::now()?;
    let (output, took) = ctr(stage, image);
    let words = words(&output);
    ensure!(!output.status.success(), "{image} was pulled: {words}");
    let is_said = words.contains("image verifier bindir blocked pull") && words.contains(why);
    ensure!(is_said, "{image}, after {took:?}, expected {why:?}: {words}");
    pace.hold("a refusal", took, VERIFIER_MAX)
}

/// The newest record of the verifier, which must be this about this image.
fn record(stage: &Stage, verdict: &str, code: &str, image: &str) -> Result<Value, Failure> {
    let record = stage.expect_record("ImageVerifier", verdict, code)?;
    let (name, _) = image.rsplit_once(':').unwrap_or((image, ""));
    let reference = record["reference"].as_str().unwrap_or_default();
    ensure!(reference.starts_with(&format!("{name}@sha256:")), "about another: {record:#}");
    Ok(record)
}

/// A pull through the gate, as a kubelet asks for it: with the pod that it is for.
async fn pull_for_pod(cri: &Cri, image: &str) -> Outcome {
    let metadata = PodSandboxMetadata {
        name: "app".to_owned(),
        namespace: "prod-eu".to_owned(),
        uid: "1".to_owned(),
        attempt: 0,
    };
    let request = PullImageRequest {
        image: Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() }),
        sandbox_config: Some(PodSandboxConfig {
            metadata: Some(metadata),
            ..PodSandboxConfig::default()
        }),
        ..PullImageRequest::default()
    };
    cri.images.clone().pull_image(request).await?;
    Ok(())
}

/// What the gate forwards is not judged once more without its pod, and no pull waits for itself.
async fn forwarded(stage: &Stage) -> Outcome {
    let image = format!("{HOST}/prod/signed-v3:v1");
    refused(stage, &image, "strict")?;
    // One connection, as a kubelet has it: of more than its share a process loses the idle ones.
    let cri = stage.cri();
    let before = stage.records().len();
    pull_for_pod(&cri, &image).await?;
    let records = stage.records();
    let calls: Vec<_> = records[before..].iter().map(|record| &record["call"]).collect();
    ensure!(calls == ["PullImage"], "expected the pull's record alone: {calls:?}");
    // Many at once: each of them reaches the verifier while the gate waits for it.
    let pulls = (0..PULLS).map(|_| pull_for_pod(&cri, &image));
    for pull in futures_util::future::join_all(pulls).await {
        pull?;
    }
    // What is over is forgotten: the same image without a pod is judged again.
    refused(stage, &image, "strict")?;
    println!(
        "   an image that its pod may have is pulled through the gate, {PULLS} times at once, and \
         refused to ctr, of which no pod is known"
    );
    Ok(())
}
