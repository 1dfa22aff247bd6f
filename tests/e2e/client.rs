//! The main job, driven by a client on another gRPC stack than the gate's: grpcio of Debian's
//! `python3-grpcio`, with protobuf of its own (`client.py`).

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::ensure;
use crate::means::{ensure_not_stored, prod};
use crate::stage::{Failure, Outcome, Stage};

/// Debian's own Python: the one that `python3-grpcio` is for.
const PYTHON: &str = "/usr/bin/python3";

/// Runs the client to its end.
fn run(stage: &Stage, signed: &str, unsigned: &str) -> Result<Value, Failure> {
    let logs = stage.folder().join("grpcio");
    fs::create_dir(&logs)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/client.py");
    let output = Command::new(PYTHON)
        .arg(script)
        .arg(stage.socket())
        .args([signed, unsigned])
        .arg(&logs)
        .output();
    let Output { status, stdout, stderr } =
        output.map_err(|error| format!("this scenario needs {PYTHON}: {error}"))?;
    let stderr = String::from_utf8_lossy(&stderr);
    let missing = stderr.contains("No module named 'grpc'");
    ensure!(
        !missing,
        "this scenario needs grpcio for {PYTHON}: `make test` installs it (Debian: python3-grpcio)"
    );
    ensure!(status.success(), "the client ended with {status}:\n{stderr}");
    Ok(serde_json::from_slice(&stdout)?)
}

pub async fn grpcio() -> Outcome {
    let stage = Stage::usual().await?;
    let (signed, unsigned) = (prod("signed-v2"), prod("unsigned"));
    let said = tokio::task::block_in_place(|| run(&stage, &signed, &unsigned))?;
    println!(
        "   {}: pulled in {} ms, exit code {}, {}",
        signed, said["pull_ms"], said["exit_code"], said["output"]
    );
    ensure!(
        said["exit_code"] == 0 && said["output"].to_string().contains("hello from signed-v2"),
        "{said:#}"
    );
    ensure!(
        said["with_unknown_field"] == said["image"],
        "an unknown field changed the answer: {said:#}"
    );
    stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    let of = |name: &str| {
        (said[name][0].as_str().unwrap_or_default(), said[name][1].as_str().unwrap_or_default())
    };
    let (code, words) = of("unsigned");
    println!("   {code} {words}");
    ensure!(code == "UNKNOWN" && words.starts_with("SignatureValidationFailed: "), "{said:#}");
    ensure_not_stored(&stage, &unsigned)?;
    let refusals = stage.records();
    ensure!(
        refusals.iter().any(
            |record| record["verdict"] == "refused" && record["reference"] == unsigned.as_str()
        ),
        "no record of the refusal: {refusals:#?}"
    );

    let (code, words) = of("unknown_method");
    println!("   an unknown method: {code} {words}");
    // The words are the runtime's own (grpc-go's), so it was asked.
    ensure!(code == "UNIMPLEMENTED" && words.contains("unknown method NoSuchMethod"), "{said:#}");
    let (code, words) = of("native_api");
    println!("   containerd's native API: {code} {words}");
    ensure!(code == "UNIMPLEMENTED" && !words.contains("unknown"), "{said:#}");
    println!(
        "   a message of {} bytes: {} in {} ms; a pull of that size: {}",
        said["large_bytes"], said["large"], said["large_ms"], said["large_pull"]
    );
    ensure!(
        of("large").0 == "OK" && of("large_pull").0 == "OK",
        "{:?}, {:?}",
        said["large"],
        said["large_pull"]
    );
    Ok(())
}
