//! The power goes and comes back, and the registry does not: everything that was admitted starts
//! again from evidence on the node, and nothing else does.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use tonic::Code;

use crate::acts::{self, past_the_gate};
use crate::containerd::{Cri, Launch};
use crate::ensure;
use crate::means::{digest_of, prod, refusal_of};
use crate::outage::take_away;
use crate::pace::Pace;
use crate::registry::Settings;
use crate::signers::{Group, policies};
use crate::stage::{Failure, Outcome, Props, Stage, by_id, expect_refusal};
use crate::wire::Wire;

/// Pods that start after the power cut: as many as a kubelet lets a node have.
const PODS: usize = 110;
/// Pods that are under way at once, as a kubelet's workers have them.
const AT_ONCE: usize = 6;
/// Seconds for one decision, and how much later the answer may come: the registry's turn is over by
/// then.
const DECISION: u64 = 5;
const ANSWERED: Duration = Duration::from_secs(DECISION + 2);

/// An image that was admitted before.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    id: String,
}

/// Signed images that the gate never saw.
struct Unseen {
    /// On the node, brought past the gate.
    here: &'static str,
    id: String,
    /// Not on the node.
    elsewhere: &'static str,
}

/// What one pod took, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Took {
    create: f64,
    whole: f64,
}

/// Percentiles of a row of figures.
struct Spread(Vec<f64>);

pub async fn power_cut() -> Outcome {
    let props = Props {
        registry: Settings::conforming(),
        policy: policies(&Group::ALL),
        config: format!("limits.decision_seconds = {DECISION}\n"),
        wire: Some(Wire::laid()?),
        ..Props::usual()?
    };
    let mut stage = Stage::set(props).await?;
    let known = admit(&stage).await?;
    let mut unseen = Vec::new();
    for (here, elsewhere) in [("moving:signed", "two-signers-v3"), ("staying", "key-logged")] {
        unseen.push(Unseen { id: past_the_gate(&stage, &prod(here)).await?, here, elsewhere });
    }

    take_away(&mut stage);
    let wire = stage.wire.as_ref().ok_or("no wire")?;
    wire.drop_route()?;
    let before = stage.records().len();
    let began = Instant::now();
    stage.power_cut().await?;
    println!(
        "   no registry, no route, gate and containerd killed and started again in {:.1} s",
        seconds(began)
    );

    let attempts = stage.wire.as_ref().ok_or("no wire")?.attempts()?;
    let began = Instant::now();
    let first = start(&stage.cri(), &known[0]).await?;
    println!(
        "   the first of them: created in {:.0} ms, with its pod in {:.0} ms",
        first.create, first.whole
    );
    let rest: Vec<Known> = known.iter().cycle().skip(1).take(PODS - 1).cloned().collect();
    let took = start_all(&stage, rest).await?;
    println!(
        "   all {PODS}: {:.1} s; a create {}",
        seconds(began),
        Spread::of(took.iter().map(|took| took.create))
    );
    running(&stage).await?;
    let asked = stage.wire.as_ref().ok_or("no wire")?.attempts()? - attempts;
    ensure!(asked == 0, "{asked} times somebody on the node tried to connect somewhere");
    on_record(&stage, before)?;

    println!("   what was never admitted, with no route:");
    unseen[0].refused(&stage).await?;
    println!("   and where everything vanishes without a word:");
    let wire = stage.wire.as_ref().ok_or("no wire")?;
    wire.join()?;
    wire.swallow()?;
    unseen[1].refused(&stage).await?;
    let again = start(&stage.cri(), &known[1]).await?;
    println!("   an admitted one beside it: created in {:.0} ms", again.create);
    Ok(())
}

/// Pulls and creates every image while there is a registry.
async fn admit(stage: &Stage) -> Result<Vec<Known>, Failure> {
    let (mut known, mut digests) = (Vec::new(), std::collections::BTreeSet::new());
    let pod = stage.pod().await?;
    for group in &Group::ALL {
        for name in group.images {
            let name = prod(name);
            let id = stage.cri().pull(&name).await?;
            stage.cri().create(&pod, by_id(&id, &name)).await?;
            let record = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
            digests.insert(record["digest"].to_string());
            known.push(Known { name, id });
        }
    }
    ensure!(
        known.len() >= 20 && digests.len() == known.len(),
        "{} images, digests {digests:?}",
        known.len()
    );
    println!("   {} images were admitted, signed in {} ways", known.len(), Group::ALL.len());
    Ok(known)
}

/// One pod with one container that stays.
async fn start(cri: &Cri, known: &Known) -> Result<Took, Failure> {
    let began = Instant::now();
    let pod = cri
        .run_pod("prod-eu")
        .await
        .map_err(|error| format!("the pod for {}: {error}", known.name))?;
    let creating = Instant::now();
    let command = ["/hello", "stay"].map(str::to_owned).to_vec();
    let launch = Launch { command, ..by_id(&known.id, &known.name) };
    let container = cri
        .create(&pod, launch)
        .await
        .map_err(|error| format!("creating {}: {error}", known.name))?;
    let create = seconds(creating) * 1e3;
    cri.start(&container).await.map_err(|error| format!("starting {}: {error}", known.name))?;
    Ok(Took { create, whole: seconds(began) * 1e3 })
}

async fn start_all(stage: &Stage, wanted: Vec<Known>) -> Result<Vec<Took>, Failure> {
    let queue = Arc::new(Mutex::new(wanted));
    let workers = (0..AT_ONCE).map(|_| {
        let (queue, cri) = (Arc::clone(&queue), stage.cri());
        tokio::spawn(async move {
            let mut took = Vec::new();
            while let Some(known) = { queue.lock().await.pop() } {
                took.push(start(&cri, &known).await?);
            }
            Ok::<_, Failure>(took)
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await??);
    }
    Ok(all)
}

/// All of them run, by the runtime's own word.
async fn running(stage: &Stage) -> Outcome {
    let count = acts::running(&stage.containerd.cri()).await?;
    ensure!(count == PODS, "{count} of {PODS} containers run");
    println!("   {count} containers run");
    Ok(())
}

/// Every admission since rests on evidence, says so and how old it is.
fn on_record(stage: &Stage, before: usize) -> Outcome {
    let records = stage.records().split_off(before);
    let created: Vec<&Value> =
        records.iter().filter(|record| record["call"] == "CreateContainer").collect();
    ensure!(created.len() == PODS, "{} records of {PODS} creates", created.len());
    for record in &created {
        let source = record["source"].as_str().unwrap_or_default();
        let ok = record["verdict"] == "admitted" && ["evidence", "memory"].contains(&source);
        ensure!(
            ok && record["evidence_age_seconds"].is_u64(),
            "not from evidence with an age: {record:#}"
        );
    }
    let from = |source: &str| created.iter().filter(|record| record["source"] == source).count();
    let decided =
        created.iter().map(|record| record["timings"]["total"].as_f64().unwrap_or_default() / 1e3);
    println!("   from evidence on disk: {}, from memory: {}", from("evidence"), from("memory"));
    println!("   of a create the gate's decision {}", Spread::of(decided));
    Ok(())
}

impl Unseen {
    /// Unreachable, in time, each in its own way.
    async fn refused(&self, stage: &Stage) -> Outcome {
        let (name, pod) = (prod(self.here), stage.pod().await?);
        let began = Instant::now();
        let refusal = stage
            .cri()
            .create(&pod, by_id(&self.id, &name))
            .await
            .err()
            .ok_or("created without evidence")?;
        tell(stage, &refusal, began, "CreateContainer", "signatures-unreachable")?;
        let digest = digest_of(self.elsewhere, "v1");
        for (image, code) in [
            (prod(self.elsewhere), "registry-unreachable"),
            (prod(&format!("{}@{digest}", self.elsewhere)), "signatures-unreachable"),
        ] {
            let began = Instant::now();
            let refusal = refusal_of(&image, stage.cri().pull(&image).await)?;
            let record = tell(stage, &refusal, began, "PullImage", code)?;
            ensure!(
                record["reference"] == image.as_str(),
                "another record than that of {image}: {record:#}"
            );
        }
        Ok(())
    }
}

fn tell(
    stage: &Stage,
    refusal: &tonic::Status,
    began: Instant,
    call: &str,
    code: &str,
) -> Result<Value, Failure> {
    let took = began.elapsed();
    println!("   {:.2} s: {}", took.as_secs_f64(), refusal.message());
    Pace::now()?.hold("an answer", took, ANSWERED)?;
    expect_refusal(refusal, Code::Unknown, "RegistryUnavailable: ", &[])?;
    stage.expect_record(call, "unreachable", code)
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    fn at(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms ({})",
            self.at(50),
            self.at(99),
            self.at(100),
            self.0.len()
        )
    }
}
