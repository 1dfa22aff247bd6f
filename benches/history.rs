//! `sealgate policy diff` over a history of ten thousand decisions, with ten thousand images in the
//! evidence on disk: few images in few namespaces and in many, and as many images as decisions.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

#[path = "../tests/support/fixtures.rs"]
mod fixtures;
#[path = "support/kept.rs"]
mod kept;
#[path = "../tests/support/signing.rs"]
mod signing;
#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use sealgate::audit::{Call, DecisionId, Entry, Pod, Reason, Record, Verdict};
use serde_json::Value;

use signing::Signer;
use support::Table;

/// Decisions on record, and images of which evidence is kept.
const DECISIONS: usize = 10_000;
/// Most seconds.
const LIMIT: f64 = 10.0;
/// Milliseconds between two decisions.
const EVERY: u64 = 4000;

/// What the decisions are about.
struct History {
    what: &'static str,
    images: usize,
    namespaces: usize,
}

const HISTORIES: [History; 3] = [
    History { what: "200 images, 20 namespaces", images: 200, namespaces: 20 },
    History { what: "200 images, a namespace each time", images: 200, namespaces: DECISIONS },
    History { what: "10,000 images", images: DECISIONS, namespaces: 20 },
];

fn main() -> ExitCode {
    let mut table = Table::new("policy diff over 10,000 decisions", ["here", ""]);
    let folder = support::configure(Path::new("/nonexistent"), None);
    let (signer, other) = (Signer::p256(), Signer::p256());
    fs::write(folder.path().join("keys/build.pub"), signer.pem()).unwrap();
    fs::write(folder.path().join("keys/other.pub"), other.pem()).unwrap();
    let store = folder.path().join("evidence");
    let config = folder.path().join("config.toml");
    let more = format!("{}evidence.path = {store:?}\n", fs::read_to_string(&config).unwrap());
    fs::write(&config, more).unwrap();
    kept::fill(&store, &signer, DECISIONS);
    let today = folder.path().join("policies/policy.yaml");
    let candidate = candidates(folder.path(), &fs::read_to_string(&today).unwrap());
    for history in &HISTORIES {
        fs::write(folder.path().join("audit/audit.jsonl"), log(history)).unwrap();
        for (what, path, refused) in [
            ("nothing changes", &today, 0),
            ("another key", &candidate[0], DECISIONS),
            ("a document for each namespace", &candidate[1], 0),
        ] {
            let (took, report) = diff(&config, path);
            let decisions = &report["decisions"];
            assert_eq!(decisions["all"], DECISIONS, "{decisions}");
            assert_eq!(decisions["would_refuse"], refused, "{what}: {decisions}");
            assert_eq!(decisions["cannot_tell"], 0, "{what}: {decisions}");
            table.limit(&format!("{}: {what}", history.what), took, "s", LIMIT);
        }
    }
    table.end()
}

/// One that wants another key, and one that has as many documents as there are namespaces.
fn candidates(folder: &Path, today: &str) -> [std::path::PathBuf; 2] {
    let [other, many] = ["other", "many"].map(|name| folder.join(name).join("policy.yaml"));
    for (file, text) in [
        (&other, today.replace("build.pub", "other.pub")),
        (&many, format!("{today}{}", by_namespace())),
    ] {
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    [other, many]
}

/// Documents that demand the same again, each in some of the namespaces.
fn by_namespace() -> String {
    let mut text = String::new();
    for number in 0..100 {
        let _ = write!(
            text,
            "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: n{number}}}\n\
             spec:\n  images: [\"{}\"]\n  namespaces: [\"*{number:02}\"]\n  \
             require: {{name: build, key: {{files: [build.pub]}}}}\n",
            kept::REPOSITORY
        );
    }
    text
}

/// Seconds, and what it said.
fn diff(config: &Path, candidate: &Path) -> (f64, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("--config").arg(config).args(["--output", "json", "policy", "diff"]);
    let began = Instant::now();
    let ran = command.arg(candidate).stdin(Stdio::null()).output().expect("the program");
    let took = began.elapsed().as_secs_f64();
    let said = serde_json::from_slice(&ran.stdout);
    assert!(said.is_ok(), "{}", String::from_utf8_lossy(&ran.stderr));
    (took, said.unwrap())
}

/// The log: creates of containers, each of a pod of its own.
fn log(history: &History) -> String {
    let mut lines = String::new();
    for number in 0..DECISIONS {
        let at = 1_767_225_600_000 + number as u64 * EVERY;
        let id: DecisionId = format!("{at:012x}-{number:08x}-5b1e22c4").parse().unwrap();
        let reason = Reason::new("satisfied", "as the policy says");
        let mut record = Record::new(id, Call::CreateContainer, Verdict::Admitted, reason);
        let image = number % history.images;
        record.reference = kept::name(image);
        record.digest = Some(kept::subject(image).to_string());
        record.pod = Pod {
            // Not in step with the images.
            namespace: Some(format!(
                "team-{:04}",
                (number / history.images + number) % history.namespaces
            )),
            name: Some(format!("app-{number:x}")),
            uid: Some(format!("{number:036x}")),
        };
        lines += &serde_json::to_string(&Entry::Decision(Box::new(record))).unwrap();
        lines.push('\n');
    }
    lines
}
