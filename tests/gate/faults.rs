//! Every fault of a hostile registry at every step of a decision: the typed answer, in time, and
//! nothing sent to whom it does not belong. What is expected of each is in
//! `tests/support/hostile/table.rs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use sealgate::containerd::{self, Runtime};
use sealgate::cri::ask::PullRequest;
use sealgate::cri::{Ending, Gate, Limits, MemoryOptions, Parts, Timings};
use sealgate::image::Platform;
use sealgate::policy::{Documents, Freshness, Material, PolicyFile, PolicySet, Unmatched};
use sealgate::registry::{AuthConfig, Options, Registry};
use sealgate::verify::PublicKey;

use crate::hostile::table::cells;
use crate::hostile::{
    ATTESTED, Answer, Cell, Expected, Fault, Hostile, PASSWORD, SIGNED, Step, USER,
};
use crate::rig::{PROVENANCE, clock};

/// For one request; more than a busy machine needs for a good answer.
const REQUEST: Duration = Duration::from_millis(2500);
/// For one decision.
const DECISION: Duration = Duration::from_secs(8);
/// How much longer an answer may take on a busy machine.
const SLACK: Duration = Duration::from_secs(5);
/// How often a cell is played again that came too late.
const REPLAYS: usize = 3;
/// Cells that are played at once: most wait.
const AT_ONCE: usize = 96;
/// The same of those that do not wait but work.
const HEAVY_AT_ONCE: usize = 8;

/// What came of one cell.
struct Played {
    cell: (&'static Fault, Step, Answer),
    name: String,
    expected: Expected,
    got: (String, String),
    message: String,
    took: Duration,
    leaks: Vec<String>,
    unmet: bool,
}

/// The faults of each attack (`tests/attacks.md`).
const ATTACKS: &[(&str, &[&str])] = &[
    ("a4", &["dual", "two-spellings", "twice"]),
    ("a7", &["other-type", "no-type", "other-bytes", "second-differs", "digest-lies"]),
    (
        "d1 waits",
        &["silent", "hangs-in-head", "hangs-in-body", "slow-head", "slow-body", "no-http"],
    ),
    (
        "d1 floods",
        &[
            "chunk-extension",
            "chunk-trailers",
            "endless-body",
            "endless-head",
            "endless-interim",
            "huge-header",
            "many-headers",
            "h2-reset",
            "h2-goaway",
            "h2-continuation",
            "h2-pings",
            "h2-settings",
        ],
    ),
    (
        "d1 lists",
        &[
            "redirect-endless",
            "redirect-loop",
            "page-loop",
            "pages-endless",
            "pages-full",
            "many-entries",
            "long-list",
            "token-huge",
            "token-long",
            "token-newline",
            "token-for-ever",
            "token-over",
            "token-empty",
            "token-number",
        ],
    ),
    ("d2", &["gzip-bomb", "gzip-bomb-said", "other-encoding", "empty", "web-page"]),
    ("d3", &["deep", "annotations"]),
    (
        "e1",
        &[
            "redirect-nowhere",
            "redirect-user",
            "redirect-file",
            "redirect-elsewhere",
            "redirect-plain",
            "redirect-downgrade",
            "realm-plain",
            "realm-elsewhere",
            "realm-file",
            "page-elsewhere",
            "self-signed",
            "expired",
            "other-name",
            "no-tls",
        ],
    ),
    (
        "e5",
        &[
            "redirect-loopback",
            "redirect-name",
            "redirect-metadata",
            "realm-loopback",
            "realm-metadata",
        ],
    ),
    (
        "g broken",
        &[
            "refused",
            "closed",
            "ends-early",
            "ends-in-head",
            "length-short",
            "length-long",
            "length-negative",
            "length-twice",
            "chunk-broken",
            "chunk-overflow",
        ],
    ),
    (
        "g status",
        &[
            "204",
            "206",
            "304",
            "400",
            "401-loop",
            "401-bare",
            "403",
            "404",
            "404-web-page",
            "404-denied",
            "418",
            "429",
            "429-second",
            "429-year",
            "429-words",
            "429-then-good",
            "500",
            "500-then-good",
            "503",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a4_documents_that_two_read_in_two_ways() {
    play_all("a4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_a7_other_bytes_and_other_words_about_them() {
    play_all("a7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_d1_answers_that_do_not_come() {
    play_all("d1 waits").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_d1_answers_that_do_not_end() {
    play_all("d1 floods").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_d1_lists_redirects_and_tokens_without_measure() {
    play_all("d1 lists").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_d2_bodies_that_are_packed_or_no_answer() {
    play_all("d2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_d3_documents_without_measure() {
    play_all("d3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_e1_nothing_is_sent_to_whom_it_does_not_belong() {
    play_all("e1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_e5_this_node_is_not_asked() {
    play_all("e5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_g_connections_that_break() {
    play_all("g broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_g_every_status_has_its_answer() {
    play_all("g status").await;
}

#[test]
fn every_fault_is_of_one_attack() {
    let mut played: Vec<&str> =
        ATTACKS.iter().flat_map(|(_, faults)| faults.iter().copied()).collect();
    let mut all: Vec<&str> = cells().into_iter().map(|(fault, ..)| fault.name).collect();
    all.sort_unstable();
    all.dedup();
    played.sort_unstable();
    assert_eq!(played, all);
}

/// Plays the faults of one attack, each at each of its steps.
async fn play_all(attack: &str) {
    let (_, faults) = ATTACKS.iter().find(|(name, _)| *name == attack).unwrap();
    let (hostile, certs) = (Arc::new(Hostile::start()), Arc::new(tempfile::tempdir().unwrap()));
    let chosen = cells().into_iter().filter(|(fault, ..)| faults.contains(&fault.name));
    let (heavy, light): (Vec<_>, Vec<_>) =
        chosen.partition(|(fault, ..)| fault.is_heavy() || fault.is_noisy());
    let mut played = Vec::new();
    for (cells, at_once) in [(heavy, HEAVY_AT_ONCE), (light, AT_ONCE)] {
        let tasks = stream::iter(cells).map(|cell| {
            let (hostile, certs) = (Arc::clone(&hostile), Arc::clone(&certs));
            tokio::spawn(async move { play(&hostile, certs.path(), cell).await })
        });
        let done: Vec<_> = tasks.buffer_unordered(at_once).collect().await;
        played.extend(done.into_iter().map(Result::unwrap));
    }
    for one in &mut played {
        // On a busy machine honest answers come too late as well: such a cell is played again, by
        // itself.
        for _ in 0..REPLAYS {
            if one.is_late() {
                *one = play(&hostile, certs.path(), one.cell).await;
            }
        }
    }
    let wrong: Vec<String> = played.iter().filter_map(Played::wrong).collect();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), played.len(), wrong.join("\n"));
}

#[allow(clippy::disallowed_methods, reason = "a test measures by the clock")]
async fn play(hostile: &Hostile, certs: &Path, played: (&'static Fault, Step, Answer)) -> Played {
    let (fault, step, answer) = played;
    let cell = hostile.open(step, fault, certs);
    let gate = gate(certs, policy(hostile));
    let ask = ask(&cell);
    let began = Instant::now();
    let outcome = gate.admit_pull(&ask, &mut Timings::start(clock())).await;
    let took = began.elapsed();
    let (got, message) = match &outcome {
        Ok(_) => (("admitted".to_owned(), "satisfied".to_owned()), String::new()),
        Err(refusal) => {
            let verdict = match refusal.ending() {
                Ending::Refused => "refused",
                Ending::Unable => "unable",
                Ending::Unreachable => "unreachable",
            };
            ((verdict.to_owned(), refusal.code().to_owned()), refusal.to_string())
        }
    };
    Played {
        cell: played,
        name: cell.name(),
        expected: answer.at(step),
        got,
        message,
        took,
        leaks: cell.leaks(),
        unmet: cell.asked() == 0 && !cell.may_be_unmet(),
    }
}

impl Played {
    /// Whether time alone may have made it wrong: something did not answer in time that should
    /// have. A cell that admits what it must not, refuses for another reason or lets a secret go is
    /// never one of these.
    fn is_late(&self) -> bool {
        let is_silent = self.got.0 == "unreachable" || self.took > DECISION + SLACK;
        self.wrong().is_some() && is_silent && self.leaks.is_empty()
    }

    /// What is wrong with it, if anything is.
    fn wrong(&self) -> Option<String> {
        let Self { name, expected, got, message, took, leaks, unmet, cell: _ } = self;
        let mut faults = Vec::new();
        if (got.0.as_str(), got.1.as_str()) != (expected.verdict, expected.code) {
            faults.push(format!(
                "expected {}/{}, got {}/{}: {message}",
                expected.verdict, expected.code, got.0, got.1
            ));
        }
        if *took > DECISION + SLACK {
            faults.push(format!("took {took:?}"));
        }
        if *unmet {
            faults.push("the gate never came to the fault".to_owned());
        }
        faults.extend(leaks.iter().cloned());
        (!faults.is_empty()).then(|| format!("{name}: {}", faults.join("; ")))
    }
}

fn gate(certs: &Path, policy: PolicySet) -> Gate {
    let options = Options {
        certs_dirs: vec![certs.to_owned()],
        docker_configs: Vec::new(),
        allow_local_hosts: vec!["127.0.0.1".to_owned()],
        request_ms: u64::try_from(REQUEST.as_millis()).unwrap(),
        session_ms: u64::try_from(DECISION.as_millis()).unwrap(),
        ..Options::default()
    };
    Gate::new(Parts {
        clock: clock(),
        platform: Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        },
        limits: Limits { decision_seconds: DECISION.as_secs(), ..Limits::default() },
        memory: MemoryOptions::default(),
        freshness: Freshness::default(),
        policy,
        registry: Registry::new(options, clock()).unwrap(),
        runtime: Runtime::new(containerd::Options {
            socket: "/nonexistent".into(),
            ..containerd::Options::default()
        }),
        store: None,
    })
}

fn policy(hostile: &Hostile) -> PolicySet {
    let by = "key: {files: [hostile.pub]}";
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: signed}}\nspec:\n  images: \
         [\"127.0.0.1:*/{SIGNED}/**\"]\n  \
         require: {{name: signer, {by}}}\n---\napiVersion: sealgate/v1\nkind: \
         ImagePolicy\nmetadata: {{name: attested}}\nspec:\n  \
         images: [\"127.0.0.1:*/{ATTESTED}/**\"]\n  require: {{name: built, attestation: \
         {{predicateType: \"{PROVENANCE}\", by: {{{by}}}}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let keys =
        BTreeMap::from([("hostile.pub".to_owned(), PublicKey::parse_pem(&hostile.key()).unwrap())]);
    let material: Material = keys.into_iter().collect();
    PolicySet::build(Documents::parse(&[file]).unwrap(), material, Unmatched::Deny).unwrap()
}

fn ask(cell: &Cell) -> PullRequest {
    let auth = AuthConfig {
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        ..AuthConfig::default()
    };
    let deadline = clock().steady() + Duration::from_secs(60);
    PullRequest {
        image: cell.image.clone(),
        pod: sealgate::evidence::Pod::default(),
        auth: Some(auth),
        deadline,
    }
}
