//! Many policies and much evidence: matching an image against 10, 1,000 and 4,096 policies of a
//! hundred patterns, what such a set costs to load and to hold, and ten thousand images in
//! `sealgate evidence verify` and `export`.
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
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use sealgate::evidence::{Name, Notes, Pod, Traits};
use sealgate::image::Reference;
use sealgate::loader;
use sealgate::policy::PolicySet;

use signing::Signer;
use support::{Table, median};

/// Policies of the sets that are compared.
const POLICIES: [usize; 3] = [10, 1000, 4096];
/// Patterns of each.
const PATTERNS: usize = 100;
/// Names that are matched in one go, and how often.
const NAMES: usize = 1000;
const ROUNDS: usize = 21;
/// Most that matching may cost with 1,000 policies, as a multiple of that with 10.
const RATIO: f64 = 1.5;
/// Most milliseconds and MiB for the largest set.
const LOAD_LIMIT: f64 = 1000.0;
const HELD_LIMIT: f64 = 64.0;
/// Images of which evidence is kept, and most seconds for verifying and exporting them.
const IMAGES: usize = 10_000;
const VERIFY_LIMIT: f64 = 8.0;
const EXPORT_LIMIT: f64 = 10.0;
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Patterns of one shape, by the number of the policy and of the pattern; and a name that one of
/// them matches.
struct Shape {
    what: &'static str,
    pattern: fn(usize, usize) -> String,
    name: fn(usize, usize) -> String,
    /// What else each policy selects by, by its number.
    selects: fn(usize) -> String,
}

const SHAPES: [Shape; 4] = [
    Shape {
        what: "teams of one host",
        pattern: |policy, number| format!("reg.test/team-{policy}/app-{number}/**"),
        name: |policy, number| format!("reg.test/team-{policy}/app-{number}/web"),
        selects: |_| String::new(),
    },
    Shape {
        what: "one host, one prefix",
        pattern: |policy, number| format!("reg.test/team/app-{}", policy * PATTERNS + number),
        name: |policy, number| format!("reg.test/team/app-{}", policy * PATTERNS + number),
        selects: |_| String::new(),
    },
    Shape {
        what: "* in the first part",
        pattern: |policy, number| format!("*.reg.test/app-{}/**", policy * PATTERNS + number),
        name: |policy, number| format!("eu.reg.test/app-{}/web", policy * PATTERNS + number),
        selects: |_| String::new(),
    },
    Shape {
        what: "one image, labels",
        pattern: |_, number| format!("reg.test/app-{number}/**"),
        name: |_, number| format!("reg.test/app-{number}/web"),
        selects: |policy| format!("  podLabels: {{tier: t-{policy}}}\n"),
    },
];

fn main() -> ExitCode {
    let mut table = Table::new("Many policies, much evidence", ["here", ""]);
    for shape in &SHAPES {
        let sets: Vec<(usize, PolicySet)> =
            POLICIES.map(|policies| (policies, loaded(policies, shape).0)).into();
        let costs: Vec<f64> =
            sets.iter().map(|(policies, set)| matching(set, *policies, shape)).collect();
        for (policies, cost) in POLICIES.iter().zip(&costs) {
            table.note(
                &format!("matching, {policies} policies, {}", shape.what),
                &format!("{cost:.2} us"),
                "",
                None,
            );
        }
        table.limit("  1000 policies against 10", costs[1] / costs[0], "x", RATIO);
    }
    let (_, took) = loaded(POLICIES[2], &SHAPES[0]);
    table.limit("loading 4096 policies", took.as_secs_f64() * 1e3, "ms", LOAD_LIMIT);
    held(&mut table);
    evidence(&mut table);
    table.end()
}

/// A set of so many policies from a folder of files, and how long that took.
fn loaded(policies: usize, shape: &Shape) -> (PolicySet, Duration) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), policies, shape);
    let options = loader::Options {
        policies: folder.path().to_owned().into(),
        keys: folder.path().to_owned(),
        ..Default::default()
    };
    let began = Instant::now();
    let loaded = loader::load(&options, &loader::TrustOptions::default()).unwrap();
    (loaded.policies, began.elapsed())
}

fn write(folder: &Path, policies: usize, shape: &Shape) {
    for policy in 0..policies {
        let mut images = String::new();
        for number in 0..PATTERNS {
            writeln!(images, "  - \"{}\"", (shape.pattern)(policy, number)).unwrap();
        }
        let text = format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: p{policy}}}\nspec:\n  \
             images:\n{images}{}  \
             require: {{digest: {{anyOf: [\"{DIGEST}\"]}}}}\n",
            (shape.selects)(policy)
        );
        fs::write(folder.join(format!("{policy:05}.yaml")), text).unwrap();
    }
}

/// Microseconds for one name, of names all over the set.
fn matching(set: &PolicySet, policies: usize, shape: &Shape) -> f64 {
    // As many different names of a small set as of a large one.
    let asked = |n: usize| {
        let pattern = n * 7919 % (policies * PATTERNS);
        let (policy, number) = (pattern / PATTERNS, pattern % PATTERNS);
        let name = Reference::parse(&(shape.name)(policy, number)).unwrap();
        let labels = Notes::all([("tier".to_owned(), format!("t-{policy}"))]);
        let traits = Traits { labels, ..Traits::default() };
        let pod = Pod { namespace: Some("default".to_owned()), traits, ..Pod::default() };
        (Name::Known(name), pod)
    };
    let asked: Vec<(Name, Pod)> = (0..NAMES).map(asked).collect();
    let round = || {
        let began = Instant::now();
        for (name, pod) in &asked {
            assert_eq!(black_box(set.applicable(name, pod)).len(), 1);
        }
        began.elapsed().as_secs_f64() * 1e6 / NAMES as f64
    };
    round();
    median((0..ROUNDS).map(|_| round()).collect())
}

/// Memory of a gate that holds the largest set, after its start and after reloads.
fn held(table: &mut Table) {
    let folder = support::configure(Path::new("/nonexistent"), None);
    write(&folder.path().join("policies"), POLICIES[2] - 2, &SHAPES[0]);
    let gate = support::Gate::start_in(folder);
    table.limit("VmRSS with 4096 policies", support::mib(gate.memory("VmRSS")), "MiB", HELD_LIMIT);
    for _ in 0..3 {
        gate.reload();
    }
    table.limit("VmRSS after three reloads", support::mib(gate.memory("VmRSS")), "MiB", HELD_LIMIT);
    table.note("peak", &format!("{:.1} MiB", support::mib(gate.memory("VmHWM"))), "", None);
}

/// Ten thousand images, each with a signature of its own.
fn evidence(table: &mut Table) {
    let folder = support::configure(Path::new("/nonexistent"), None);
    let signer = Signer::p256();
    fs::write(folder.path().join("keys/build.pub"), signer.pem()).unwrap();
    let store = folder.path().join("evidence");
    let config = folder.path().join("config.toml");
    let more = format!("{}evidence.path = {store:?}\n", fs::read_to_string(&config).unwrap());
    fs::write(&config, more).unwrap();
    kept::fill(&store, &signer, IMAGES);
    let out = folder.path().join("all.tar");
    for (what, limit, arguments) in [
        ("evidence verify, 10,000 images", VERIFY_LIMIT, vec!["verify"]),
        (
            "evidence export, 10,000 images",
            EXPORT_LIMIT,
            vec!["export", "--all", "-o", out.to_str().unwrap()],
        ),
        ("evidence list, 10,000 images", EXPORT_LIMIT, vec!["list"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(&config).args(["evidence"]).args(&arguments);
        let began = Instant::now();
        let ran = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("the command");
        let took = began.elapsed();
        assert!(ran.status.success(), "{what}: {}", ran.status);
        table.limit(what, took.as_secs_f64(), "s", limit);
    }
}
