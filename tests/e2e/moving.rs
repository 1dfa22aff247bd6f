//! Fact C6: containerd makes a container from an image's *name* even when it is told the id. A name
//! that moves at that moment gives another root filesystem under the right id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use sealgate::containerd::{Options, Runtime, Target};
use tonic::Code;

use crate::acts::{VALIDATION, containers, digest_of, never_ran, past_the_gate};
use crate::containerd::{Flavour, Pod};
use crate::ensure;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id};

/// Containers asked for while the tag moves; the first design that looked right got 47 of 60 wrong.
const CREATES: usize = 60;
/// Of those that were admitted, how many are run to see what they say.
const RUNS: usize = 12;

/// What became of the creates.
#[derive(Debug, Default)]
struct Count {
    made: Vec<String>,
    removed: usize,
    runtime: usize,
}

/// On every containerd there is.
pub async fn tag_moves() -> Outcome {
    for flavour in Flavour::all() {
        on(flavour).await?;
    }
    Ok(())
}

async fn on(flavour: Flavour) -> Outcome {
    let version = flavour.version;
    let stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
    let (name, other) =
        (format!("{HOST}/prod/moving:signed"), format!("{HOST}/prod/moving:unsigned"));
    let id = stage.cri().pull(&name).await?;
    let bad = past_the_gate(&stage, &other).await?;
    let runtime = Runtime::new(Options { socket: stage.containerd.socket(), ..Options::default() });
    let target = async |tag: &str| -> Result<Target, Failure> {
        let record = runtime.record(&format!("{HOST}/prod/moving:{tag}")).await?;
        Ok(record.ok_or("no record")?.target)
    };
    let targets = [target("unsigned").await?, target("signed").await?];
    ensure!(
        targets[1].digest == digest_of(&stage, "prod/moving", "signed")?,
        "the tag means {targets:?}"
    );
    // Every name of the admitted image moves, or containerd would find it under the one that stays.
    let names = [name.clone(), format!("{HOST}/prod/moving@{}", targets[1].digest)];
    let pod = stage.pod().await?;
    let (stop, moves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mover = tokio::spawn(move_to_and_fro(
        runtime.clone(),
        names,
        targets.clone(),
        Arc::clone(&stop),
        Arc::clone(&moves),
    ));
    let began = Instant::now();
    let count = create(&stage, &pod, &id, &name).await;
    stop.store(true, Ordering::SeqCst);
    mover.await??;
    let (count, took) = (count?, began.elapsed().as_secs_f64());
    println!(
        "   containerd {}.{}: {CREATES} creates in {took:.1} s while the names moved {} times: {} \
         made, {} made of other content and removed, {} refused by the runtime",
        version.0,
        version.1,
        moves.load(Ordering::SeqCst),
        count.made.len(),
        count.removed,
        count.runtime,
    );
    ensure!(
        moves.load(Ordering::SeqCst) >= CREATES / 4,
        "the names hardly moved: nothing was shown"
    );
    nothing_else_is_there(&stage, &count).await?;
    only_the_admitted_runs(&stage, &runtime, &count).await?;
    let past = stage.containerd.cri().create(&pod, by_id(&bad, "")).await?;
    ensure!(stage.cri().start(&past).await.is_err(), "the other image was started");
    never_ran(&stage, &past).await
}

async fn move_to_and_fro(
    runtime: Runtime,
    names: [String; 2],
    targets: [Target; 2],
    stop: Arc<AtomicBool>,
    moves: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    while !stop.load(Ordering::SeqCst) {
        for target in &targets {
            for name in &names {
                runtime.name(name, target).await?;
                moves.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    Ok(())
}

async fn create(stage: &Stage, pod: &Pod, id: &str, name: &str) -> Result<Count, Failure> {
    let mut count = Count::default();
    for _ in 0..CREATES {
        match stage.cri().create(pod, by_id(id, name)).await {
            Ok(container) => count.made.push(container),
            Err(refusal)
                if refusal.code() == Code::Unknown && refusal.message().starts_with(VALIDATION) =>
            {
                count.removed += 1;
            }
            // containerd itself when its names change under it.
            Err(_) => count.runtime += 1,
        }
    }
    ensure!(!count.made.is_empty(), "no create was admitted");
    Ok(count)
}

/// What was refused is gone: containers and snapshots.
async fn nothing_else_is_there(stage: &Stage, count: &Count) -> Outcome {
    let mut made = count.made.clone();
    made.sort_unstable();
    let there = containers(stage).await?;
    ensure!(made == there, "admitted {} containers, there are {}", made.len(), there.len());
    let taken_back =
        stage.records().iter().filter(|record| record["supersedes"].is_string()).count();
    ensure!(
        count.removed == 0 || taken_back > 0,
        "{} were removed without a record",
        count.removed
    );
    Ok(())
}

/// The root filesystem of every container that was admitted, and what some of them say.
async fn only_the_admitted_runs(stage: &Stage, runtime: &Runtime, count: &Count) -> Outcome {
    let digest = digest_of(stage, "prod/moving", "signed")?;
    let document: serde_json::Value = serde_json::from_slice(
        &stage.registry.stored("prod/moving", digest.as_str()).ok_or("no manifest")?,
    )?;
    let config =
        sealgate::image::Digest::parse(document["config"]["digest"].as_str().unwrap_or_default())?;
    let content = runtime.prove_content(&digest, &config).await?;
    let expected = sealgate::containerd::Expected {
        image: content.id().clone(),
        root: content.chain_id().clone(),
        sandbox: None,
        volumes: Vec::new(),
    };
    for container in &count.made {
        let _proven = runtime.prove_container(container, &expected).await?;
    }
    for container in count.made.iter().take(RUNS) {
        stage.cri().start(container).await?;
        let (exit, output) = stage.cri().output(container).await?;
        ensure!(exit == 0 && !output.contains("unsigned"), "{container} said {output:?}");
    }
    println!(
        "   all {} made have the admitted root filesystem; those that ran said so",
        count.made.len()
    );
    Ok(())
}
