//! Reading an audit log as full as the defaults allow, with the real program: its latest decisions,
//! and one decision by its id, wherever it stands; and checking one of a million records.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

#[path = "../tests/support/fixtures.rs"]
mod fixtures;
#[path = "../tests/support/registry.rs"]
mod registry;
#[path = "../tests/gate/rig.rs"]
mod rig;
mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use sealgate::audit::{
    Call, Checkpoint, CheckpointCause, DecisionId, Entry, Options, Pod, Reason, Record, SCHEMA,
    TreeHead, Verdict,
};
use sealgate::tlog::note::NoteSigner;
use sealgate::tlog::{CompactRange, TreeHash};
use support::{Table, median};

/// Times that each is measured.
const TIMES: usize = 9;
/// Most milliseconds for the latest decisions, and for one by its id.
const TAIL_LIMIT: f64 = 50.0;
const SHOW_LIMIT: f64 = 200.0;
/// Most milliseconds for a question to a million lines.
const QUERY_LIMIT: f64 = 2000.0;
/// Most milliseconds for what rests on a key, to a hundred thousand lines.
const IMPACT_LIMIT: f64 = 100.0;
/// Records of the log that is checked, the bytes of each, and the most milliseconds for that.
const CHECKED: u64 = 1_000_000;
const CHECKED_BYTES: usize = 500;
const VERIFY_LIMIT: f64 = 5000.0;
/// Records that one checkpoint of it covers.
const SEALED: u64 = 256;
/// Milliseconds between two decisions.
const EVERY: u64 = 400;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, ids) = full_log(folder.path());
    let mut table = Table::new("Reading an audit log as full as the defaults allow", ["here", ""]);
    table.note("lines in its nine files", &ids.len().to_string(), "", None);
    let tail = measure(&config, &["audit", "tail", "-n", "20"], 21);
    table.limit("audit tail -n 20", tail, "ms", TAIL_LIMIT);
    let refused = measure(&config, &["audit", "tail", "--refused"], 21);
    table.note("audit tail --refused", &format!("{refused:.1} ms"), "", None);
    for (what, id) in [("oldest", 0), ("in the middle", ids.len() / 2), ("newest", ids.len() - 1)] {
        let show =
            measure(&config, &["--output", "json", "audit", "show", &ids[id].to_string()], 1);
        table.limit(&format!("audit show, the decision is {what}"), show, "ms", SHOW_LIMIT);
    }
    let absent = ids[ids.len() / 2].to_string().replace('-', "-f").replace("-f0", "-f");
    let took = timed(&config, &["audit", "show", &absent]).0;
    table.note("audit show, of an id that is not there", &format!("{took:.1} ms"), "", None);
    let since = ids[0].time().to_string();
    let took = timed(&config, &["audit", "tail", "--since", &since, "--verdict", "unable"]).0;
    table.note("audit tail --since its beginning, none wanted", &format!("{took:.1} ms"), "", None);
    query(&config, ids.len(), &mut table);
    impact(&config, ids.len(), &mut table);
    let config = sealed_log(&folder.path().join("sealed"));
    let verify = || timed(&config, &["--output", "json", "audit", "verify"]);
    assert_eq!(verify().1, 1);
    let took = median((0..3).map(|_| verify().0).collect());
    table.limit("audit verify, a million records of 500 bytes", took, "ms", VERIFY_LIMIT);
    table.end()
}

/// What rests on a key, by a plain reading of as many lines: without a runtime and without evidence,
/// so that it is the log alone that is measured.
fn impact(config: &Path, lines: usize, table: &mut Table) {
    let key = "ab".repeat(32);
    let took = median((0..TIMES).map(|_| timed(config, &["impact", "--key", &key]).0).collect());
    let per = took * 1e5 / lines as f64;
    table.limit("impact --key, for a hundred thousand lines", per, "ms", IMPACT_LIMIT);
}

/// Asking the whole log: what is rare in it, and all of it in every form.
fn query(config: &Path, lines: usize, table: &mut Table) {
    let per_million = |took: f64| took * 1e6 / lines as f64;
    for (what, args, wanted) in [
        ("--digest of one", &["--digest", &format!("{:064x}", 0xc2b2_ae3d_27d4_eb4f_u64)][..], 1),
        ("--code, none has it", &["--code", "untrusted-key"], 0),
        ("--refused", &["--refused"], lines.div_ceil(50)),
        ("--output json, all", &["--output", "json"], lines),
        ("--output csv, all", &["--output", "csv"], lines + 1),
        ("as a table, all", &[], lines + 1),
    ] {
        let all = [&["audit", "query"][..], args].concat();
        let titles = usize::from(matches!(what, "--refused" | "--digest of one"));
        let took = measure(config, &all, wanted + titles);
        let what = format!("audit query {what}, for a million lines");
        table.limit(&what, per_million(took), "ms", QUERY_LIMIT);
    }
}

/// The configuration of a log of a million records with its checkpoints.
fn sealed_log(folder: &Path) -> PathBuf {
    fs::create_dir(folder).expect("a folder");
    let path = folder.join("audit.jsonl");
    let signer = NoteSigner::new("example.test/audit", &[7; 32]).expect("a key");
    let mut out = BufWriter::new(File::create(&path).expect("a file"));
    let mut tree = CompactRange::default();
    let mut put = |tree: &mut CompactRange, line: &str| {
        tree.push(TreeHash::of_leaf(line.as_bytes()));
        writeln!(out, "{line}").expect("room on the disk");
    };
    for number in 0..=CHECKED {
        if number.is_multiple_of(SEALED) || number == CHECKED {
            let sealed = checkpoint(&signer, &tree, number);
            put(&mut tree, &sealed);
        }
        if number < CHECKED {
            let text = line(number).1;
            let short = text.trim_end().trim_end_matches('}');
            let rest = CHECKED_BYTES.saturating_sub(short.len() + 10);
            put(&mut tree, &format!("{short},\"pad\":\"{}\"}}", "x".repeat(rest)));
        }
    }
    let config = folder.join("config.toml");
    let key = folder.join("no.key");
    fs::write(&config, format!("audit.path = {path:?}\naudit.checkpoint_key = {key:?}\n"))
        .expect("a file");
    config
}

fn checkpoint(signer: &NoteSigner, tree: &CompactRange, number: u64) -> String {
    let id: DecisionId = format!("{:012x}-{number:08x}-5b1e22c4", 1).parse().expect("an id");
    let origin = signer.verifier().name().to_owned();
    let head = TreeHead { origin, size: tree.size(), root: tree.root() };
    let checkpoint = Checkpoint {
        schema: SCHEMA,
        id,
        time: id.time(),
        cause: CheckpointCause::Records,
        note: signer.sign(&head.to_string()),
        key: signer.verifier().to_string(),
        range: tree.nodes().to_vec(),
        entries: String::new(),
        kept_from: 0,
        hashes_from: 0,
    };
    serde_json::to_string(&Entry::Checkpoint(Box::new(checkpoint))).expect("json")
}

/// Milliseconds, the median; each run must print so many lines.
fn measure(config: &Path, args: &[&str], lines: usize) -> f64 {
    let once = || {
        let (took, printed) = timed(config, args);
        assert_eq!(printed, lines, "{args:?}");
        took
    };
    median((0..TIMES).map(|_| once()).collect())
}

fn timed(config: &Path, args: &[&str]) -> (f64, usize) {
    let began = Instant::now();
    let ran = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .arg("--config")
        .arg(config)
        .args(args)
        .output();
    let took = began.elapsed().as_secs_f64() * 1e3;
    (took, ran.expect("the program").stdout.iter().filter(|byte| **byte == b'\n').count())
}

/// The configuration of a log whose files are all full, and the ids in it in order.
fn full_log(folder: &Path) -> (PathBuf, Vec<DecisionId>) {
    let options = Options { path: folder.join("audit.jsonl"), ..Options::default() };
    let files = u64::from(options.keep_files.get());
    let mut ids = Vec::new();
    for file in (0..=files).rev() {
        let path = match file {
            0 => options.path.clone(),
            older => PathBuf::from(format!("{}.{older}", options.path.display())),
        };
        let mut out = BufWriter::new(File::create(path).expect("a file"));
        let mut left = options.max_bytes.get();
        loop {
            let line = line(ids.len() as u64);
            let Some(rest) = left.checked_sub(line.1.len() as u64) else { break };
            left = rest;
            out.write_all(line.1.as_bytes()).expect("room on the disk");
            ids.push(line.0);
        }
    }
    let config = folder.join("config.toml");
    let policies = folder.join("policies");
    fs::create_dir(&policies).expect("a folder");
    let text = format!(
        "audit.path = {:?}\npolicy.policies = {policies:?}\npolicy.keys = {policies:?}\nruntime.socket = \
         {:?}\n",
        options.path,
        folder.join("no.sock")
    );
    fs::write(&config, text).expect("a file");
    (config, ids)
}

/// A decision as they mostly are: an image by a key, and now and then a refusal.
fn line(number: u64) -> (DecisionId, String) {
    let id = format!("{:012x}-{number:08x}-5b1e22c4", 1_767_225_600_000 + number * EVERY);
    let id: DecisionId = id.parse().expect("an id");
    let is_refused = number.is_multiple_of(50);
    let (verdict, code) =
        if is_refused { (Verdict::Refused, "unsigned") } else { (Verdict::Admitted, "satisfied") };
    let mut record =
        Record::new(id, Call::CreateContainer, verdict, Reason::new(code, "as the policy says"));
    record.reference = format!("registry.example.com/prod/app-{}:1.2", number % 300);
    record.image = Some(format!("sha256:{:064x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    record.digest = Some(format!("sha256:{:064x}", number.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)));
    record.pod = Pod {
        namespace: Some("prod-eu".into()),
        name: Some(format!("app-{number:x}")),
        uid: Some(format!("{number:036x}")),
    };
    (id, serde_json::to_string(&Entry::Decision(Box::new(record))).expect("json") + "\n")
}
