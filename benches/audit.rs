//! Reading an audit log as full as the defaults allow, with the real program: its latest decisions,
//! and one decision by its id, wherever it stands.
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

use sealgate::audit::{Call, DecisionId, Entry, Options, Pod, Reason, Record, Verdict};
use support::{Table, median};

/// Times that each is measured.
const TIMES: usize = 9;
/// Most milliseconds for the latest decisions, and for one by its id.
const TAIL_LIMIT: f64 = 50.0;
const SHOW_LIMIT: f64 = 200.0;
/// Milliseconds between two decisions.
const EVERY: u64 = 400;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, ids) = full_log(folder.path());
    let mut table = Table::new("Reading an audit log as full as the defaults allow", ["here", ""]);
    table.note("lines in its nine files", &ids.len().to_string(), "", None);
    let tail = measure(&config, &["audit", "tail", "-n", "20"], 20);
    table.limit("audit tail -n 20", tail, "ms", TAIL_LIMIT);
    let refused = measure(&config, &["audit", "tail", "--refused"], 20);
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
    table.end()
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
    fs::write(&config, format!("audit.path = {:?}\n", options.path)).expect("a file");
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
