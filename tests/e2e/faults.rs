//! A hostile registry: every fault at every step, as `tests/support/hostile/table.rs` has them,
//! against the real program.
//!
//! Cells whose answer comes at once are played one by one, and each has its own peak of memory.
//! Cells that wait, for a time limit or between two tries, and cells that end in a pull by the real
//! runtime, are played side by side: their peak is that of all that were under way together. Limits
//! of time are shorter than the defaults; limits of bytes, entries and requests are the defaults.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sealgate::proto::cri::AuthConfig;
use serde_json::Value;
use tonic::Status;

use crate::containerd::Cri;
use crate::ensure;
use crate::hostile::table::cells;
use crate::hostile::{ATTESTED, Answer, Cell, Fault, Hostile, PASSWORD, SIGNED, Step, USER, fault};
use crate::stage::{Failure, Outcome, Props, Stage, usual_policy};

/// Milliseconds for one request.
const REQUEST_MS: u64 = 1200;
/// Seconds for one decision.
const DECISION_SECONDS: u64 = 8;
/// How much longer an answer may take on a busy machine.
const SLACK: Duration = Duration::from_secs(5);
/// What no cell may pass, KiB.
const PEAK_MAX_KIB: u64 = 64 << 10;
/// Cells that are played side by side: as many as decisions that may be under way.
const SIDE_BY_SIDE: usize = 60;
/// The same of those that have a processor at work as well.
const HEAVY_SIDE_BY_SIDE: usize = 10;
/// Cells after which the gate is started anew, so that each has a peak of its own and not that of
/// what an allocator keeps of all before it. Before every batch and every cell with a large body it
/// is as well.
const PROMPT_BEFORE_RESTART: usize = 64;
/// The same of those that keep a processor busy all the time.
const NOISY_SIDE_BY_SIDE: usize = 3;
/// Decisions in the flood.
const FLOOD: usize = 64;
/// What all of them together may take, KiB: at rest some 18 MiB, 16 MiB of large bodies twice while
/// they grow, and a buffer of 400 KiB for each of the 32 requests that may be under way.
const FLOOD_MAX_KIB: u64 = 64 << 10;

type Entry = (&'static Fault, Step, Answer);

/// What came of one cell.
struct Played {
    cell: Cell,
    answer: Answer,
    said: Result<String, Status>,
    peak_kib: u64,
    side_by_side: usize,
}

/// What is played on.
struct Scene {
    stage: Stage,
    hostile: Hostile,
    certs: PathBuf,
    base_kib: u64,
}

pub async fn hostile_registry() -> Outcome {
    let mut scene = set().await?;
    println!("   the gate at rest: {} MiB", mib(scene.base_kib));
    let played = all(&mut scene).await?;
    let records = records(&scene.stage);
    let wrong: Vec<String> = played.iter().filter_map(|played| played.wrong(&records)).collect();
    table(&played, &records);
    scene.stage.kill_gate()?;
    scene.stage.start_gate().await?;
    let flood = flood(&mut scene).await?;
    println!(
        "   {FLOOD} decisions at once, each on an answer without end: at most {} MiB",
        mib(flood)
    );
    list(&played, &records);
    ensure!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), played.len(), wrong.join("\n"));
    ensure!(flood < FLOOD_MAX_KIB, "the flood took {} MiB", mib(flood));
    Ok(())
}

/// Plays every cell.
async fn all(scene: &mut Scene) -> Result<Vec<Played>, Failure> {
    // The runtime has no word that the registry's certificate is to be trusted, so what the gate
    // admits over TLS it cannot pull: `tests/gate` plays these.
    let plays = |entry: &Entry| !(entry.0.name == "redirect-downgrade" && entry.2.letter() == '+');
    let (noisy, quiet): (Vec<Entry>, Vec<Entry>) =
        cells().into_iter().filter(plays).partition(|(fault, ..)| fault.is_noisy());
    let (waiting, prompt): (Vec<Entry>, Vec<Entry>) = quiet.into_iter().partition(waits);
    let (heavy, waiting): (Vec<Entry>, Vec<Entry>) =
        waiting.into_iter().partition(|(fault, ..)| fault.is_heavy());
    let mut played = Vec::new();
    for (what, entries, at_once) in [
        ("answered at once", prompt, 1),
        ("with a wait", waiting, SIDE_BY_SIDE),
        ("with a wait and work", heavy, HEAVY_SIDE_BY_SIDE),
        ("that keep a processor busy", noisy, NOISY_SIDE_BY_SIDE),
    ] {
        let (began, count, mut slowest) = (Instant::now(), entries.len(), Duration::ZERO);
        let restart = if at_once == 1 { PROMPT_BEFORE_RESTART } else { 1 };
        for (number, entries) in entries.chunks(at_once).enumerate() {
            if number.is_multiple_of(restart) || entries.iter().any(|(fault, ..)| fault.is_heavy())
            {
                scene.stage.kill_gate()?;
                scene.stage.start_gate().await?;
            }
            let (cri, stop) = (scene.stage.cri(), Arc::new(AtomicBool::new(false)));
            let watch = tokio::spawn(slowest_status(cri, Arc::clone(&stop)));
            played.extend(play(scene, entries).await?);
            stop.store(true, Ordering::Relaxed);
            slowest = slowest.max(watch.await?);
        }
        println!(
            "   {count} cells {what}, {at_once} side by side: {:.0} s; the gate answered Status \
             within {} ms",
            began.elapsed().as_secs_f64(),
            slowest.as_millis()
        );
    }
    Ok(played)
}

/// Whether the answer takes its time.
fn waits((fault, step, answer): &Entry) -> bool {
    if fault.is_heavy() && *answer != Answer::Unreachable && *step != Step::Mir {
        return false;
    }
    matches!(answer, Answer::Unreachable | Answer::Admitted)
        || *step == Step::Mir
        || fault.name.starts_with("429")
}

async fn set() -> Result<Scene, Failure> {
    let config = format!(
        "limits.decision_seconds = {DECISION_SECONDS}\nregistry.request_ms = {REQUEST_MS}\n\
         registry.allow_local_hosts = [\"127.0.0.1\"]\n"
    );
    let mut stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    let hostile = Hostile::start();
    fs::write(stage.folder().join("keys/hostile.pub"), hostile.key())?;
    let by = "key: {files: [hostile.pub]}";
    let policy = format!(
        "{}---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: signed}}\nspec:\n  \
         images: [\"127.0.0.1:*/{SIGNED}/**\"]\n  \
         require: {{name: signer, {by}}}\n---\napiVersion: sealgate/v1\nkind: \
         ImagePolicy\nmetadata: {{name: attested}}\nspec:\n  \
         images: [\"127.0.0.1:*/{ATTESTED}/**\"]\n  require: {{name: built, attestation: \
         {{predicateType: \"https://slsa.dev/provenance/v1\", by: {{{by}}}}}}}\n",
        usual_policy()
    );
    stage.write_policy(&policy)?;
    // A build without optimisation says nothing of memory.
    stage.use_release().await?;
    let certs = stage.containerd.folder().join("certs.d");
    let base_kib = peak_kib(&stage)?;
    Ok(Scene { stage, hostile, certs, base_kib })
}

/// Plays cells side by side, with the peak of memory from now on.
async fn play(scene: &mut Scene, entries: &[Entry]) -> Result<Vec<Played>, Failure> {
    let open =
        |(fault, step, answer): &Entry| (scene.hostile.open(*step, fault, &scene.certs), *answer);
    let opened: Vec<(Cell, Answer)> = entries.iter().map(open).collect();
    forget_peak(&scene.stage)?;
    let cri = scene.stage.cri();
    let asked = join_all(opened.iter().map(|(cell, _)| ask(&cri, cell))).await;
    let peak_kib = peak_kib(&scene.stage)?;
    let played = opened.into_iter().zip(asked).map(|((cell, answer), said)| {
        let side_by_side = entries.len();
        Played { cell, answer, said, peak_kib, side_by_side }
    });
    Ok(played.collect())
}

async fn ask(cri: &Cri, cell: &Cell) -> Result<String, Status> {
    let auth = AuthConfig {
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        ..AuthConfig::default()
    };
    let limit = Duration::from_secs(DECISION_SECONDS) + SLACK * 4;
    let said = tokio::time::timeout(limit, cri.pull_as(&cell.image, Some(auth))).await;
    said.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer at all")))
}

/// The longest that another call took meanwhile.
async fn slowest_status(cri: Cri, stop: Arc<AtomicBool>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        cri.is_ready().await;
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slowest
}

/// As many decisions as may be under way, each on something without end: the most memory, KiB.
async fn flood(scene: &mut Scene) -> Result<u64, Failure> {
    let steps =
        [Step::Tag, Step::Ref, Step::Fal, Step::Sig, Step::Att, Step::Dig, Step::Ups, Step::Re2];
    let entry =
        |number: usize| (fault("endless-body"), steps[number % steps.len()], Answer::Unable);
    let entries: Vec<Entry> = (0..FLOOD).map(entry).collect();
    let played = play(scene, &entries).await?;
    for played in &played {
        ensure!(played.said.is_err(), "{} was admitted", played.cell.name());
        ensure!(
            played.cell.leaks().is_empty(),
            "{}: {:?}",
            played.cell.name(),
            played.cell.leaks()
        );
    }
    Ok(played.iter().map(|played| played.peak_kib).max().unwrap_or(0))
}

impl Played {
    fn step(&self) -> Step {
        self.cell.step
    }

    fn got<'a>(&self, records: &'a BTreeMap<String, Value>) -> (&'a str, &'a str, u64) {
        let Some(record) = records.get(&self.cell.image) else {
            return ("nothing", "no record", 0);
        };
        let word = |value: &'a Value| value.as_str().unwrap_or("?");
        let total = record["timings"]["total"].as_u64().unwrap_or(u64::MAX);
        (word(&record["verdict"]), word(&record["reason"]["code"]), total)
    }

    /// What is wrong with it, if anything is.
    fn wrong(&self, records: &BTreeMap<String, Value>) -> Option<String> {
        let (verdict, code, total) = self.got(records);
        let expected = self.answer.at(self.step());
        let mut wrong = Vec::new();
        if (verdict, code) != (expected.verdict, expected.code) {
            wrong.push(format!(
                "expected {}/{}, got {verdict}/{code}",
                expected.verdict, expected.code
            ));
        }
        let fails_later = self.answer == Answer::Admitted && self.cell.meets_runtime();
        if self.said.is_ok() != (self.answer == Answer::Admitted) && !fails_later {
            wrong.push(format!("the answer was {:?}", self.said));
        }
        if Duration::from_micros(total) > Duration::from_secs(DECISION_SECONDS) + SLACK {
            wrong.push(format!("the decision took {} ms", total / 1000));
        }
        if self.peak_kib > PEAK_MAX_KIB {
            wrong.push(format!("{} MiB, {} side by side", mib(self.peak_kib), self.side_by_side));
        }
        if self.cell.asked() == 0 && !self.cell.may_be_unmet() {
            wrong.push("the gate never came to the fault".to_owned());
        }
        wrong.extend(self.cell.leaks());
        (!wrong.is_empty()).then(|| format!("{}: {}", self.cell.name(), wrong.join("; ")))
    }

    /// The letter of what came, as in the table of what is expected.
    fn letter(&self, records: &BTreeMap<String, Value>) -> char {
        let (verdict, code, _) = self.got(records);
        let answers = [
            Answer::Admitted,
            Answer::Absent,
            Answer::Unreachable,
            Answer::Unable,
            Answer::Refused,
            Answer::Unsigned,
        ];
        let found = answers.into_iter().find(|answer| {
            let expected = answer.at(self.step());
            (expected.verdict, expected.code) == (verdict, code)
        });
        found.map_or('?', Answer::letter)
    }
}

/// A row for each fault: the answers, the slowest decision and the highest peak.
fn table(played: &[Played], records: &BTreeMap<String, Value>) {
    println!(
        "   + admitted, A absent, U unreachable, X unable, R refused, N refused as unsigned; times \
         of decisions"
    );
    let names: Vec<&str> = Step::ALL.map(Step::name).to_vec();
    println!("   {:<18} {}      ms   MiB", "", names.join(" "));
    let mut faults: Vec<&str> = Vec::new();
    cells().iter().for_each(|(fault, ..)| {
        if !faults.contains(&fault.name) {
            faults.push(fault.name)
        }
    });
    for name in faults {
        let row: Vec<&Played> =
            played.iter().filter(|played| played.cell.fault.name == name).collect();
        let letter = |step: Step| {
            let found = row.iter().find(|played| played.step() == step);
            found.map_or('.', |played| played.letter(records))
        };
        let letters: Vec<String> =
            Step::ALL.iter().map(|step| format!(" {} ", letter(*step))).collect();
        let slowest = row.iter().map(|played| played.got(records).2 / 1000).max().unwrap_or(0);
        let peak = row.iter().map(|played| played.peak_kib).max().unwrap_or(0);
        println!("   {name:<18} {} {slowest:>7} {:>5}", letters.join(" "), mib(peak));
    }
}

/// Every cell by itself.
fn list(played: &[Played], records: &BTreeMap<String, Value>) {
    println!(
        "   step fault              answer                                     ms   MiB  side by \
         side"
    );
    for played in played {
        let (verdict, code, total) = played.got(records);
        println!(
            "   {:<4} {:<18} {:<36} {:>8.1} {:>5}  {}",
            played.step().name(),
            played.cell.fault.name,
            format!("{verdict}/{code}"),
            f64::from(u32::try_from(total).unwrap_or(u32::MAX)) / 1e3,
            mib(played.peak_kib),
            played.side_by_side
        );
    }
}

/// The record of each image's pull.
fn records(stage: &Stage) -> BTreeMap<String, Value> {
    let pulls = stage.records().into_iter().filter(|record| record["call"] == "PullImage");
    pulls
        .map(|record| (record["reference"].as_str().unwrap_or_default().to_owned(), record))
        .collect()
}

fn mib(kib: u64) -> u64 {
    kib.div_ceil(1024)
}

/// From now on the peak is what comes from now on (`proc_pid_clear_refs(5)`).
fn forget_peak(stage: &Stage) -> Outcome {
    let pid = stage.gate_pid().ok_or("the gate does not run")?;
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The most memory that the gate held since then, KiB.
fn peak_kib(stage: &Stage) -> Result<u64, Failure> {
    let pid = stage.gate_pid().ok_or("the gate does not run")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
