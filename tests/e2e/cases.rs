//! `sealgate policy test`: a case that a node records comes out as it was judged, and otherwise
//! under policies that say something else.

use std::fs;
use std::process::Output;

use crate::ensure;
use crate::kept::done_by;
use crate::making::{Form, made};
use crate::means::prod;
use crate::registry::Settings;
use crate::signing::Signer;
use crate::stage::{HOST, Outcome, Props, Stage, usual_policy};

/// What must be refused, as a person writes it: nothing is recorded of it.
fn refused(digest: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: PolicyTest\nmetadata: {{name: refused}}\nspec:\n  cases:\n    \
         - name: unsigned\n      image: {HOST}/prod/app:1\n      digest: \"{digest}\"\n      \
         at: 2026-01-31T12:00:00Z\n      unsigned: true\n      verdict: refused\n      \
         code: unsigned\n    - name: nobody's\n      image: {HOST}/lab/tool:1\n      \
         digest: \"{digest}\"\n      at: 2026-01-31T12:00:00Z\n      verdict: refused\n      \
         code: no-policy\n"
    )
}

fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

pub async fn policy_test() -> Outcome {
    let signer = Signer::p256();
    let keys = vec![("alpha.pub".to_owned(), signer.pem())];
    let policy = usual_policy().replace("build.pub", "alpha.pub");
    let registry = Settings::conforming();
    let stage = Stage::set(Props { registry, policy, keys, ..Props::usual()? }).await?;
    let digest = made(&stage, "case", Form::Bundle, &[&signer]).to_string();
    stage.cri().pull(&prod("case")).await?;

    let cases = stage.folder().join("cases");
    fs::create_dir(&cases)?;
    let tar = cases.join("case.tar").display().to_string();
    let image = prod("case");
    let recording = [
        "evidence",
        "export",
        &image,
        "--out",
        &tar,
        "--as-case",
        "case",
        "--namespace",
        "prod-eu",
    ];
    done_by(&stage, &recording)?;
    let recorded = fs::read_to_string(cases.join("case.yaml"))?;
    ensure!(recorded.contains("verdict: \"admitted\""), "{recorded}");
    ensure!(recorded.contains(&digest), "{recorded}");
    ensure!(recorded.contains("imageLabels: {"), "the node has the config: {recorded}");
    ensure!(stage.sealgate(&recording)?.status.code() == Some(2), "a case was overwritten");
    fs::write(cases.join("refused.yaml"), refused(&digest))?;

    // On another machine: no configuration, the folders alone.
    let junit = stage.folder().join("results.xml");
    let (folder, file) = (cases.display().to_string(), junit.display().to_string());
    let test = |policies: &str, keys: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(["--config", "/nowhere/config.toml", "policy", "test", &folder])
            .args(["--policies", policies, "--keys", keys, "--junit", &file])
            .output()
    };
    let at = |name: &str| stage.folder().join(name).display().to_string();
    let output = test(&at("policies"), &at("keys"))?;
    println!("{}", words(&output));
    ensure!(output.status.code() == Some(0), "{}", words(&output));
    let xml = fs::read_to_string(&junit)?;
    ensure!(xml.contains("tests=\"3\" failures=\"0\""), "{xml}");

    let other = stage.folder().join("other");
    fs::create_dir(&other)?;
    fs::write(other.join("policy.yaml"), usual_policy().replace("build.pub", "security.pub"))?;
    let output = test(&at("other"), &at("keys"))?;
    println!("{}", words(&output));
    ensure!(output.status.code() == Some(1), "{}", words(&output));
    ensure!(words(&output).contains("refused no-signature-counts"), "{}", words(&output));
    let xml = fs::read_to_string(&junit)?;
    ensure!(xml.contains("tests=\"3\" failures=\"1\""), "{xml}");

    fs::write(cases.join("refused.yaml"), refused(&digest).replace("verdict:", "verdikt:"))?;
    let output = test(&at("policies"), &at("keys"))?;
    ensure!(output.status.code() == Some(65), "{}", words(&output));
    ensure!(words(&output).contains("refused.yaml:11:"), "{}", words(&output));
    ensure!(words(&output).contains("verdict"), "no suggestion: {}", words(&output));
    Ok(())
}
