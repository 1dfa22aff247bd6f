//! [`Rig`]: a registry with the fixtures in it, and gates over it whose clock a test can turn.
//! Benchmarks use it too.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each binary uses what it needs"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sealgate::clock::Clock;
use sealgate::containerd::{self, Runtime};
use sealgate::cri::ask::PullRequest;
use sealgate::cri::{Gate, Limits, MemoryOptions, Parts, PullPermit, Refusal, Timings};
use sealgate::evidence::{Carrier, Evidence, Pod, Source};
use sealgate::evidence_store::{self, Store};
use sealgate::image::Platform;
use sealgate::policy::{Documents, Freshness, Material, PolicyFile, PolicySet, Reason, Unmatched};
use sealgate::registry::{AuthConfig, Options, Registry};
use sealgate::sources::{self, PlaceQuery, Reading};
use sealgate::verify::{PublicKey, TrustRoot};

use crate::fixtures;
use crate::registry::{Answer, Rule, Settings, TestRegistry};

/// As long as a call waits at most: what is slow here is the machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Limits of a decision with [`PATIENCE`].
pub(crate) fn patient() -> Limits {
    Limits { decision_seconds: PATIENCE.as_secs(), ..Limits::default() }
}

/// The registry's name in every reference.
pub(crate) const HOST: &str = "registry.example.test";

/// How late every answer is where requests side by side are to be told from requests in series.
const LATE: Duration = Duration::from_millis(250);

thread_local! {
    /// How far this test's clock is turned forward; a test's runtime has one thread.
    static TURNED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// How far its calendar alone is set forward, and how far back.
    static CALENDAR: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
}

/// Turns the clock of this test's gates forward.
pub(crate) fn turn_clock(by: Duration) {
    TURNED.set(TURNED.get() + by);
}

/// Sets the calendar forward, and back, from what it would be; durations are measured as before.
pub(crate) fn set_calendar(forward: Duration, back: Duration) {
    CALENDAR.set((forward, back));
}

/// The clock that [`turn_clock`] and [`set_calendar`] turn.
#[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
pub(crate) fn clock() -> Clock {
    let calendar = || {
        let (forward, back) = CALENDAR.get();
        SystemTime::now() + TURNED.get() + forward - back
    };
    Clock::new(calendar, || Instant::now() + TURNED.get())
}

/// The folder of a client's configuration and the registry behind it.
pub(crate) struct Rig {
    folder: tempfile::TempDir,
    pub(crate) registry: TestRegistry,
}

/// What a gate is made of, where a test wants something special.
pub(crate) struct Special {
    pub(crate) policy: PolicySet,
    pub(crate) memory: MemoryOptions,
    pub(crate) socket: PathBuf,
    pub(crate) store: Option<Arc<Store>>,
    pub(crate) freshness: Freshness,
}

impl Default for Special {
    fn default() -> Self {
        Self {
            policy: policy("prod/**", "build"),
            memory: MemoryOptions::default(),
            socket: PathBuf::from("/nonexistent/containerd.sock"),
            store: None,
            freshness: Freshness::default(),
        }
    }
}

impl Rig {
    /// A registry with every fixture in it.
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with_tags(settings, |_| true)
    }

    /// The same with such tags alone.
    pub(crate) fn with_tags(settings: Settings, is_there: fn(&str) -> bool) -> Self {
        let registry = TestRegistry::start(settings);
        for repository in fixtures::load().values().filter(|repository| repository.host == HOST) {
            let mut repository = repository.clone();
            repository.tags.retain(|tag, _| is_there(tag));
            put(&registry, &repository);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(HOST)).unwrap();
        let hosts = format!("server = \"{}\"\n", registry.url());
        std::fs::write(folder.path().join(HOST).join("hosts.toml"), hosts).unwrap();
        Self { folder, registry }
    }

    /// A gate with the usual policy: the key `build` for everything under `prod/`.
    pub(crate) fn gate(&self) -> Gate {
        self.special(Special::default())
    }

    /// A client of this registry.
    pub(crate) fn client(&self) -> Registry {
        Registry::new(self.options(), clock()).unwrap()
    }

    /// The options of a client of this registry.
    pub(crate) fn options(&self) -> Options {
        Options {
            certs_dirs: vec![self.folder.path().to_owned()],
            docker_configs: vec![self.folder.path().join("docker.json")],
            credential_hosts: BTreeMap::from([(HOST.to_owned(), vec![self.registry.host()])]),
            ..Options::default()
        }
    }

    /// A gate of special parts.
    pub(crate) fn special(&self, special: Special) -> Gate {
        self.made_of(special, self.client())
    }

    /// The usual gate over another client.
    pub(crate) fn with_client(&self, client: Registry) -> Gate {
        self.made_of(Special::default(), client)
    }

    /// The same, and it has all the time that a busy machine needs for much to read.
    pub(crate) fn patient(&self, special: Special) -> Gate {
        self.with_limits(special, patient())
    }

    /// A gate of special parts and limits.
    pub(crate) fn with_limits(&self, special: Special, limits: Limits) -> Gate {
        self.limited(special, self.client(), limits)
    }

    fn made_of(&self, special: Special, registry: Registry) -> Gate {
        self.limited(special, registry, Limits::default())
    }

    /// A gate of special parts with another client and other limits.
    pub(crate) fn limited(&self, special: Special, registry: Registry, limits: Limits) -> Gate {
        let platform =
            Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
        Gate::new(Parts {
            clock: clock(),
            platform,
            limits,
            memory: special.memory,
            freshness: special.freshness,
            policy: special.policy,
            registry,
            runtime: Runtime::new(containerd::Options {
                socket: special.socket,
                ..containerd::Options::default()
            }),
            store: special.store,
        })
    }

    /// The evidence store of this node, opened anew as after a start.
    pub(crate) fn store(&self) -> Arc<Store> {
        let path = self.folder.path().join("evidence");
        Arc::new(
            Store::open(evidence_store::Options { path, ..evidence_store::Options::default() })
                .unwrap(),
        )
    }

    /// A gate with the usual policy over this node's store, with nothing in memory.
    pub(crate) fn started(&self) -> Gate {
        self.special(Special { store: Some(self.store()), ..Special::default() })
    }

    /// Nobody answers any more: connections are cut.
    pub(crate) fn cut(&self) {
        self.registry.clear_rules();
        self.registry.rule(Rule::new("", Answer::Drop));
        self.registry.clear_log();
    }

    /// Every answer comes late from now on, so that what was asked side by side is in flight
    /// together.
    pub(crate) fn late(&self) {
        self.registry.rule(Rule::new("", Answer::Late(LATE)));
    }

    /// A folder of the test's own.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// Puts a repository into a registry, byte for byte.
pub(crate) fn put(registry: &TestRegistry, repository: &fixtures::Repository) {
    let fixtures::Repository { path, blobs, manifests, tags, .. } = repository;
    registry.put_all(path, blobs, manifests, tags);
}

/// A set of one document: images under `HOST/pattern` need the key of this name.
pub(crate) fn policy(pattern: &str, key: &str) -> PolicySet {
    policy_for(&[&format!("{HOST}/{pattern}")], key)
}

/// A set of one document: images under these patterns need the key of this name.
pub(crate) fn policy_for(patterns: &[&str], key: &str) -> PolicySet {
    let patterns = patterns.join("\", \"");
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{patterns}\"]\n  require: {{name: signer, key: {{files: [{key}.pub]}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).unwrap();
    let keys = BTreeMap::from([(
        format!("{key}.pub"),
        PublicKey::parse_pem(&fixtures::key(key)).unwrap(),
    )]);
    PolicySet::build(documents, keys.into_iter().collect(), Unmatched::Deny).unwrap()
}

/// A set of one document: images under `HOST/prod/` need this, in YAML. Every fixture's key,
/// certificate, revocation list and trust root may be named.
pub(crate) fn requiring(require: &str) -> PolicySet {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  require: {require}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).unwrap();
    let keys = documents.key_files().into_iter().map(|name| {
        let key = PublicKey::parse_pem(&fixtures::key(name.trim_end_matches(".pub"))).unwrap();
        (name, key)
    });
    let roots = ["local", "foreign"].map(|name| {
        let json = fixtures::trust_root(name);
        (name.to_owned(), Arc::new(TrustRoot::parse(&json).unwrap()))
    });
    let files = documents.places_of_files().into_keys().map(|name| {
        let pem = std::fs::read(fixtures::pki_path(&name)).unwrap();
        (name, pem)
    });
    let material = Material {
        keys: keys.collect(),
        files: files.collect(),
        roots: roots.into_iter().collect(),
    };
    PolicySet::build(documents, material, Unmatched::Deny).unwrap()
}

/// Signed keyless by the release workflow of `acme/app`, as a requirement.
pub(crate) const RELEASE: &str = "{name: release, keyless: {trustRoot: local, identities: \
    [{issuer: \"https://token.actions.githubusercontent.com\", \
    subject: \"https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0\"}]}}";

/// An attestation of this predicate type by the same workflow; `more` are further fields of it,
/// each after a comma.
pub(crate) fn attested(predicate_type: &str, more: &str) -> String {
    let by = RELEASE.strip_prefix("{name: release, ").unwrap().strip_suffix('}').unwrap();
    format!(
        "{{name: attested, attestation: {{predicateType: \"{predicate_type}\", by: \
         {{{by}}}{more}}}}}"
    )
}

/// SLSA provenance.
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// A pull without credentials.
pub(crate) fn ask(image: &str) -> PullRequest {
    ask_as(image, None)
}

/// A pull.
pub(crate) fn ask_as(image: &str, auth: Option<AuthConfig>) -> PullRequest {
    let deadline = clock().steady() + PATIENCE;
    PullRequest { image: image.to_owned(), pod: Pod::default(), auth, deadline }
}

/// Decides on a pull.
pub(crate) async fn pull(gate: &Gate, image: &str) -> Result<PullPermit, Refusal> {
    gate.admit_pull(&ask(image), &mut Timings::start(clock())).await
}

/// `HOST/prod/situation:v1`.
pub(crate) fn tagged(situation: &str) -> String {
    format!("{HOST}/prod/{situation}:v1")
}

/// The same image by digest.
pub(crate) fn by_digest(situation: &str) -> String {
    format!("{HOST}/prod/{situation}@{}", fixtures::prod(situation).tags["v1"])
}

/// The policy's reason of a refusal.
pub(crate) fn reason(outcome: Result<PullPermit, Refusal>) -> Reason {
    match outcome {
        Err(Refusal::Denied(denial)) => denial.reason().clone(),
        other => panic!("no denial by the policy: {other:?}"),
    }
}

/// All that one place has.
pub(crate) async fn whole(reading: &Reading, wanted: PlaceQuery<'_>, source: Source) -> Evidence {
    let mut found = sources::look(reading, wanted.clone(), source).await;
    let (mut evidence, mut held) = (found.evidence(), std::mem::take(&mut found.reads));
    while let Some(more) = found.more.take() {
        found = sources::go_on(reading, wanted.clone(), more).await;
        let Evidence { items, carriers, looked } = found.evidence();
        evidence.items.extend(items);
        evidence.looked.extend(looked);
        let is_new = |carrier: &Carrier| !evidence.carriers.contains(carrier);
        let new: Vec<Carrier> = carriers.into_iter().filter(is_new).collect();
        evidence.carriers.extend(new);
        // As if all of it helped.
        held.append(&mut found.reads);
    }
    evidence
}

/// Waits until it is so; a test that waits for what does not come fails.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(),
        "waited in vain: {what}"
    );
}
