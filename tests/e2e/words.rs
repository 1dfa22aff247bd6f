//! The command line on a gate that runs: exit codes, both outputs, and an attacker's words made
//! harmless in all of them.

use std::fs;
use std::process::Output;

use sealgate::proto::cri::{ImageSpec, PodSandboxConfig, PodSandboxMetadata, PullImageRequest};
use serde_json::Value;

use crate::ensure;
use crate::registry::{Answer, Rule};
use crate::stage::{Failure, HOST, Outcome, Stage};

/// Words that would clear a screen, ring, colour, hide and break lines.
const HOSTILE: &str = "x\u{1b}[2J\u{7}\u{9b}31m\r\nadmitted\u{202e}y";

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .collect()
}

/// Runs a command, which must end with this code; what it printed.
fn run(stage: &Stage, args: &[&str], code: i32) -> Result<String, Failure> {
    let output = stage.sealgate(args)?;
    let words = text(&output);
    ensure!(
        output.status.code() == Some(code),
        "sealgate {args:?}: {}, expected {code}: {words}",
        output.status
    );
    harmless(&words, &format!("sealgate {args:?}"))?;
    Ok(words)
}

/// As [`run`], with the one JSON value that it printed.
fn json(stage: &Stage, args: &[&str], code: i32) -> Result<Value, Failure> {
    let args: Vec<&str> = ["--output", "json"].iter().chain(args).copied().collect();
    Ok(serde_json::from_str(&run(stage, &args, code)?)?)
}

/// No character with power over a terminal, except line breaks.
fn harmless(words: &str, of: &str) -> Outcome {
    let powerful =
        |c: &char| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c);
    let found: Vec<char> = words.chars().filter(powerful).collect();
    ensure!(found.is_empty(), "{of} printed {found:?}: {words:?}");
    Ok(())
}

/// `verify`, `policy check`, `status`, `cache flush`, `audit`, and the wrong command line.
pub async fn command_line() -> Outcome {
    let mut stage = Stage::usual().await?;
    let (signed, unsigned) =
        (format!("{HOST}/prod/signed-v2:v1"), format!("{HOST}/prod/unsigned:v1"));
    let admitted = json(&stage, &["verify", &signed], 0)?;
    ensure!(
        admitted["verdict"] == "admitted"
            && admitted["pinned"].as_str().is_some_and(|pin| pin.contains("@sha256:")),
        "{admitted}"
    );
    let refused = json(&stage, &["verify", &unsigned], 1)?;
    ensure!(refused["verdict"] == "refused" && refused["code"] == "unsigned", "{refused}");
    let absent = json(&stage, &["verify", &format!("{HOST}/prod/signed-v2:nowhere")], 2)?;
    ensure!(absent["verdict"] == "unable" && absent["code"] == "not-found", "{absent}");
    stage.registry.rule(Rule::new("/prod/rejected/", Answer::Drop));
    let away = json(&stage, &["verify", &format!("{HOST}/prod/rejected:v1")], 2)?;
    ensure!(away["verdict"] == "unreachable", "{away}");
    ensure!(
        run(&stage, &["verify", &signed], 0)?.contains("signed by build.pub"),
        "the signer is not named"
    );
    for wrong in [
        &["verify"][..],
        &["vrify", "x"],
        &["--outptu", "json", "status"],
        &["audit", "show", "no id"],
    ] {
        run(&stage, wrong, 64)?;
    }
    ensure!(stage.records().is_empty(), "verify wrote a record");
    println!(
        "   verify: 0 admitted, 1 refused, 2 unable and unreachable; 64 for a wrong command line"
    );

    policies(&stage)?;
    running(&mut stage, &signed, &unsigned).await
}

/// What is said of a running gate, and of one that is away.
async fn running(stage: &mut Stage, signed: &str, unsigned: &str) -> Outcome {
    let id = stage.cri().pull(signed).await?;
    drop(stage.cri().pull(unsigned).await.err().ok_or("an unsigned image was pulled")?);
    let status = json(stage, &["status"], 0)?;
    ensure!(status["memory"]["verdicts"].as_u64() >= Some(1), "nothing is remembered: {status}");
    run(stage, &["cache", "flush"], 0)?;
    let status = json(stage, &["status"], 0)?;
    ensure!(
        status["memory"]["verdicts"] == 0 && status["memory"]["evidence"] == 0,
        "not flushed: {status}"
    );
    stage.registry.clear_log();
    ensure!(stage.cri().pull(signed).await? == id, "another id");
    ensure!(stage.registry.count("sha256-") > 0, "after a flush no signature was asked for");

    let tail = run(stage, &["audit", "tail", "--refused"], 0)?;
    // Below the names of its columns.
    ensure!(tail.lines().count() == 2 && tail.contains("unsigned"), "{tail}");
    let decision = stage.records()[0]["id"].as_str().unwrap_or_default().to_owned();
    // The decision, and the lines that speak of it.
    let shown = run(stage, &["--output", "json", "audit", "show", &decision], 0)?;
    let shown: Value = serde_json::from_str(shown.lines().next().unwrap_or_default())?;
    ensure!(shown["id"] == decision.as_str() && shown["verdict"] == "admitted", "{shown}");
    run(stage, &["audit", "show", &decision], 0)?;
    let unknown = "00000000000000000000000000";
    let none = stage.sealgate(&["audit", "show", unknown])?;
    ensure!(matches!(none.status.code(), Some(1 | 64)), "an unknown decision: {}", text(&none));

    stage.kill_gate()?;
    run(stage, &["status"], 2)?;
    run(stage, &["cache", "flush"], 2)?;
    run(stage, &["audit", "tail"], 0)?;
    println!(
        "   status, cache flush, audit tail and show say what is; with the gate away the first two \
         say 2"
    );
    Ok(())
}

/// A good folder and broken ones.
fn policies(stage: &Stage) -> Outcome {
    let good = json(stage, &["policy", "check"], 0)?;
    ensure!(good["sound"] == true && good["documents"] == 2, "{good}");
    let folder = stage.folder().join("broken");
    fs::create_dir(&folder)?;
    let at = folder.display().to_string();
    let image =
        HOSTILE.replace(['\r', '\n'], "").escape_default().to_string().replace("\\u{1b}", "\\x1b");
    let documents = [
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: a}\nspec:\n  imagse: \
         [\"x/y\"]\n  require: {insecureAcceptAnything: true}\n"
            .to_owned(),
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: a}\nspec:\n  images: []\n  \
         require: {insecureAcceptAnything: true}\n"
            .to_owned(),
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: a}\nspec:\n  images: \
         [\"x/y\"]\n  require: {name: k, key: {files: [gone.pub]}}\n"
            .to_owned(),
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: a}}\nspec:\n  \
            images: [\"{}\"]\n",
            image.replace("\\u{", "").replace('}', "")
        ),
        "{".to_owned(),
    ];
    for document in documents {
        fs::write(folder.join("p\u{1b}[31m.yaml"), document)?;
        let broken = json(stage, &["policy", "check", &at], 65)?;
        ensure!(broken["sound"] == false, "{broken}");
        run(stage, &["policy", "check", &at], 65)?;
    }
    println!("   policy check: sound 0, five ways to be broken 1");
    Ok(())
}

/// Attack E3 through every door: references, namespaces and names of pods, containers.
pub async fn hostile_words() -> Outcome {
    let stage = Stage::usual().await?;
    let image = |name: String| Some(ImageSpec { image: name, ..ImageSpec::default() });
    let metadata = PodSandboxMetadata {
        name: HOSTILE.to_owned(),
        namespace: HOSTILE.to_owned(),
        uid: HOSTILE.to_owned(),
        attempt: 0,
    };
    let sandbox = PodSandboxConfig { metadata: Some(metadata), ..PodSandboxConfig::default() };
    let names =
        [format!("{HOST}/prod/{HOSTILE}"), HOSTILE.to_owned(), format!("{HOST}/prod/unsigned:v1")];
    for name in &names {
        let request = PullImageRequest {
            image: image(name.clone()),
            sandbox_config: Some(sandbox.clone()),
            ..PullImageRequest::default()
        };
        let refusal = stage
            .cri()
            .images
            .pull_image(request)
            .await
            .err()
            .ok_or("a hostile pull was let through")?;
        println!("   {:?}: {}", refusal.code(), refusal.message());
        harmless(refusal.message(), "the gate")?;
        ensure!(!refusal.message().contains('\n'), "more than one line: {:?}", refusal.message());
    }
    let pod = stage.pod().await?;
    for (by, asked) in [(names[0].as_str(), ""), ("sha256:0", names[1].as_str())] {
        let refusal = stage
            .cri()
            .create(&pod, crate::stage::by_id(by, asked))
            .await
            .err()
            .ok_or("created")?;
        harmless(refusal.message(), "the gate")?;
    }
    told_harmlessly(&stage, &names)
}

/// The log, the journal and the commands show hostile words without their power.
fn told_harmlessly(stage: &Stage, names: &[String; 3]) -> Outcome {
    let records = stage.records();
    ensure!(records.len() == 5, "{} records of 5 refusals: {records:#?}", records.len());
    harmless(&fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?, "the audit log")?;
    harmless(&stage.gate_log(), "the journal")?;
    for record in &records {
        let id = record["id"].as_str().unwrap_or_default();
        run(stage, &["audit", "show", id], 0)?;
        run(stage, &["--output", "json", "audit", "show", id], 0)?;
    }
    run(stage, &["audit", "tail"], 0)?;
    run(stage, &["--output", "json", "audit", "tail"], 0)?;
    for name in &names[..2] {
        // No name of an image: the command line is wrong.
        run(stage, &["verify", name], 64)?;
        run(stage, &["--output", "json", "verify", name], 64)?;
    }
    run(stage, &["verify", "--namespace", HOSTILE, &names[2]], 1)?;
    run(stage, &["audit", "show", HOSTILE], 64)?;
    println!(
        "   {} records, two ways each, the journal and verify: nothing with power over a terminal",
        records.len()
    );
    Ok(())
}
