//! Bad neighbours: what a hostile registry does to the images of its own, and what a good
//! registry's images feel of it.
//!
//! [`Attacker`] is one row: how many hosts, how often they are asked, and how they answer. Each is
//! played against a gate that has just started; a good image is timed alone and beside it, and so
//! is a call that has nothing to do with images.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealgate::proto::cri::VersionRequest;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::containerd::Cri;
use crate::fixtures;
use crate::herd::copy_signed;
use crate::means::{prod, until};
use crate::pace::Pace;
use crate::registry::{Answer, OCI_MANIFEST, Rule, Settings, TestRegistry};
use crate::signing::{self, Signer};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};

/// What a good image may take beside an attack: so many times as long as alone, and so much on top.
const TIMES: u32 = 2;
const ON_TOP: Duration = Duration::from_millis(500);
/// How long an unrelated call may wait at the 99th percentile, on the slowest machine that this is
/// tried on.
const VERSION_MAX: Duration = Duration::from_secs(2);
/// Good images that are timed, alone and beside: the one in the middle counts.
const TIMED: usize = 3;
/// Repositories of the hostile registry.
const APPS: u64 = 64;
/// The predicate type of the attestations.
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A hostile registry under one or many names.
struct Attacker {
    what: &'static str,
    /// Names that it has.
    hosts: usize,
    /// Pulls at once of each of them.
    each: usize,
    /// Pulls a second after that, one host after the other.
    rate: u32,
    /// How it answers.
    answers: fn(&TestRegistry),
    /// What the good image needs.
    good: Good,
}

/// The good image beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    /// A signature at its registry.
    Signed,
    /// An attestation of 270 KB there.
    Attested,
    /// Nothing but what is kept on the node, since the gate was started again.
    Kept,
}

const ATTACKERS: &[Attacker] = &[
    Attacker {
        what: "64 pulls of a host that hangs",
        hosts: 1,
        each: 64,
        rate: 0,
        answers: hang,
        good: Good::Kept,
    },
    Attacker {
        what: "64 hosts that hang",
        hosts: 64,
        each: 2,
        rate: 0,
        answers: hang,
        good: Good::Kept,
    },
    Attacker {
        what: "64 pulls of a trickling host",
        hosts: 1,
        each: 64,
        rate: 0,
        answers: trickle,
        good: Good::Kept,
    },
    Attacker {
        what: "8 hosts that hang",
        hosts: 8,
        each: 8,
        rate: 0,
        answers: hang,
        good: Good::Signed,
    },
    Attacker {
        what: "40 hosts, 6 pulls a second",
        hosts: 40,
        each: 1,
        rate: 6,
        answers: hang,
        good: Good::Signed,
    },
    Attacker {
        what: "16 hosts that answer and then hang",
        hosts: 16,
        each: 8,
        rate: 6,
        answers: hang_later,
        good: Good::Signed,
    },
    Attacker {
        what: "40 attestations at 400 B/s",
        hosts: 1,
        each: 40,
        rate: 0,
        answers: slow_attestation,
        good: Good::Attested,
    },
    Attacker {
        what: "attestations of 8 hosts at 400 B/s",
        hosts: 8,
        each: 8,
        rate: 0,
        answers: slow_attestation,
        good: Good::Attested,
    },
    Attacker {
        what: "attestations that hang, of 8 hosts",
        hosts: 8,
        each: 8,
        rate: 0,
        answers: hung_attestation,
        good: Good::Attested,
    },
];

pub async fn bad_neighbours() -> Outcome {
    let signer = Signer::p256();
    let policy = format!(
        "{}---
apiVersion: sealgate/v1
kind: ImagePolicy
metadata: {{name: attested}}
spec:
  images: [\"{HOST}/attested/**\", \"bad-*.example.test/**\"]
  require: {{name: attested, attestation: {{predicateType: \"{PREDICATE}\", by: {{key: {{files: \
  [own.pub]}}}}}}}}
",
        usual_policy()
    );
    let keys = vec![("own.pub".to_owned(), signer.pem())];
    let mut stage =
        Stage::set(Props { registry: Settings::conforming(), policy, keys, ..Props::usual()? })
            .await?;
    let bad = hostile(&stage, &signer)?;
    let mut count = 0;
    for attacker in ATTACKERS {
        bad.clear_rules();
        (attacker.answers)(&bad);
        let alone = timed(&mut stage, attacker.good, &signer, &mut count, None).await?;
        let pace = Pace::now()?;
        let (beside, wait, peak) = beside(&mut stage, attacker, &bad, &signer, &mut count).await?;
        println!(
            "   {:<36} {:>5} ms alone, {:>5} ms beside, never refused; Version waits {:.1} ms at \
             p99; peak {} MiB",
            attacker.what,
            alone.as_millis(),
            beside.as_millis(),
            wait.as_secs_f64() * 1e3,
            peak >> 10
        );
        let most = alone * TIMES + ON_TOP;
        if let Err(late) = pace.hold("a good image", beside, most) {
            let log = stage.gate_log();
            return Err(format!("{}: {}; {alone:?} alone:\n{log}", attacker.what, late.0).into());
        }
        pace.hold(&format!("{}: an unrelated call", attacker.what), wait, VERSION_MAX)?;
    }
    Ok(())
}

/// The hostile registry, with a name for each host that any attacker has; what is asked of it there
/// is an image without evidence, or with an attestation of 100 KB.
fn hostile(stage: &Stage, signer: &Signer) -> Result<TestRegistry, Failure> {
    let registry =
        TestRegistry::start_on(Settings::conforming(), std::net::TcpListener::bind("0.0.0.0:0")?);
    for number in 0..APPS {
        let digest = copy_image(&registry, &format!("app-{number}"));
        attest(&registry, &format!("app-{number}"), &digest, signer, 100_000);
    }
    let port = registry.address().port();
    let most = ATTACKERS.iter().map(|attacker| attacker.hosts).max().unwrap_or_default();
    for number in 0..most {
        let folder = stage.containerd.folder().join(format!("certs.d/bad-{number}.example.test"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(
            folder.join("hosts.toml"),
            format!("server = \"http://127.66.0.{}:{port}\"\n", number + 1),
        )?;
    }
    Ok(registry)
}

fn hang(registry: &TestRegistry) {
    registry.rule(Rule::new("/v2/", Answer::Hang));
}

fn trickle(registry: &TestRegistry) {
    registry.rule(Rule::new("/v2/", Answer::Endless(Duration::from_millis(200))));
}

/// The first 16 manifests come at once, one for each host; then nothing does.
fn hang_later(registry: &TestRegistry) {
    registry.rule(Rule::new("/manifests/", Answer::Late(Duration::ZERO)).calls(1..=16));
    hang(registry);
}

fn slow_attestation(registry: &TestRegistry) {
    registry.rule(Rule::new("/blobs/", Answer::Endless(Duration::from_micros(2500))));
}

fn hung_attestation(registry: &TestRegistry) {
    registry.rule(Rule::new("/blobs/", Answer::Hang));
}

/// The good image's time beside the attacker, how long an unrelated call waits, and the gate's peak
/// memory in KiB.
async fn beside(
    stage: &mut Stage,
    attacker: &Attacker,
    bad: &TestRegistry,
    signer: &Signer,
    count: &mut usize,
) -> Result<(Duration, Duration, u64), Failure> {
    bad.clear_log();
    let mut underway = None;
    let took =
        timed(stage, attacker.good, signer, count, Some((attacker, bad, &mut underway))).await?;
    let attack = underway.ok_or("no attack")?;
    let wait = attack.end();
    let pid = stage.gate_pid().ok_or("no gate")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    Ok((took, wait, peak.ok_or("no peak")?))
}

/// The attack under way, and the unrelated calls beside it.
struct Attack {
    ended: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    waits: Arc<std::sync::Mutex<Vec<Duration>>>,
}

impl Attack {
    async fn begin(
        stage: &Stage,
        attacker: &Attacker,
        bad: &TestRegistry,
    ) -> Result<Self, Failure> {
        let (ended, waits) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let number = Arc::new(AtomicU64::new(0));
        let pull = |cri: Cri, host: usize, number: u64| async move {
            // Another repository each: what is decided for one is no answer to another.
            drop(cri.pull(&format!("bad-{host}.example.test/app-{}:v1", number % APPS)).await);
        };
        let mut tasks = Vec::new();
        let cri = stage.cri();
        for host in (0..attacker.hosts).cycle().take(attacker.hosts * attacker.each) {
            tasks.push(tokio::spawn(pull(
                cri.clone(),
                host,
                number.fetch_add(1, Ordering::Relaxed),
            )));
        }
        if attacker.rate > 0 {
            let (hosts, pause) = (attacker.hosts, Duration::from_secs(1) / attacker.rate);
            let ended = Arc::clone(&ended);
            tasks.push(tokio::spawn(async move {
                for host in (0..hosts).cycle() {
                    tokio::time::sleep(pause).await;
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    tokio::spawn(pull(cri.clone(), host, number.fetch_add(1, Ordering::Relaxed)));
                }
            }));
        }
        tasks.push(tokio::spawn(ask_version(stage.cri(), Arc::clone(&ended), Arc::clone(&waits))));
        until("the attack", || async { bad.requests().len() >= attacker.hosts.min(8) }).await?;
        Ok(Self { ended, tasks, waits })
    }

    /// Ends it: how long an unrelated call waited, at the 99th percentile.
    fn end(self) -> Duration {
        self.ended.store(true, Ordering::Relaxed);
        self.tasks.iter().for_each(JoinHandle::abort);
        let mut waits = self.waits.lock().unwrap().clone();
        waits.sort_unstable();
        waits.get(waits.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }
}

async fn ask_version(
    cri: Cri,
    ended: Arc<AtomicBool>,
    waits: Arc<std::sync::Mutex<Vec<Duration>>>,
) {
    while !ended.load(Ordering::Relaxed) {
        let began = Instant::now();
        drop(cri.runtime.clone().version(VersionRequest::default()).await);
        waits.lock().unwrap().push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

type Beside<'a> = (&'a Attacker, &'a TestRegistry, &'a mut Option<Attack>);

/// How long the good image takes at a gate that has just been started, the one in the middle of a
/// few; each is one that the gate has not decided on.
async fn timed(
    stage: &mut Stage,
    good: Good,
    signer: &Signer,
    count: &mut usize,
    beside: Option<Beside<'_>>,
) -> Result<Duration, Failure> {
    let mut images = Vec::new();
    for _ in 0..TIMED {
        *count += 1;
        images.push(put(&stage.registry, good, signer, *count));
    }
    let mut ids = Vec::new();
    if good == Good::Kept {
        for image in &images {
            ids.push(stage.cri().pull(image).await?);
        }
    }
    let pod = stage.pod().await?;
    stage.kill_gate()?;
    stage.start_gate().await?;
    if let Some((attacker, bad, underway)) = beside {
        *underway = Some(Attack::begin(stage, attacker, bad).await?);
    }
    let mut took = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let began = Instant::now();
        match ids.get(number) {
            Some(id) => stage.cri().create(&pod, by_id(id, image)).await.map(drop),
            None => stage.cri().pull(image).await.map(drop),
        }
        .map_err(|refusal| format!("{image} was refused: {refusal}\n{}", stage.gate_log()))?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took[TIMED / 2])
}

/// Puts a good image into the good registry.
fn put(registry: &TestRegistry, good: Good, signer: &Signer, number: usize) -> String {
    let name = format!("good-{number}");
    match good {
        Good::Signed | Good::Kept => {
            copy_signed(registry, &format!("prod/{name}"));
            prod(&name)
        }
        Good::Attested => {
            let repository = format!("attested/{name}");
            let digest = copy_image(registry, &repository);
            attest(registry, &repository, &digest, signer, 270_000);
            format!("{HOST}/{repository}:v1")
        }
    }
}

fn copy_image(registry: &TestRegistry, repository: &str) -> String {
    let source = fixtures::prod("unsigned");
    source.blobs.values().for_each(|bytes| drop(registry.put_blob(repository, bytes)));
    let (media_type, bytes) = &source.manifests[&source.tags["v1"]];
    registry.put_manifest(repository, Some("v1"), bytes, media_type)
}

/// Attaches an attestation whose bundle has about so many bytes.
fn attest(registry: &TestRegistry, repository: &str, digest: &str, signer: &Signer, bytes: usize) {
    // Base64 of what is in the statement.
    let filling = format!(r#""predicate":{{"filling":"{}"}}"#, "x".repeat(bytes * 3 / 4));
    let statement = signing::statement(digest, PREDICATE).replace(r#""predicate":{}"#, &filling);
    let bundle = signer.statement_bundle(&statement);
    let (config, blob) =
        (registry.put_blob(repository, b"{}"), registry.put_blob(repository, bundle.as_bytes()));
    let subject_size = registry.stored(repository, digest).map_or(0, |bytes| bytes.len());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": blob, "size": bundle.len()}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": digest, "size": subject_size},
    });
    registry.put_manifest(repository, None, manifest.to_string().as_bytes(), OCI_MANIFEST);
}
