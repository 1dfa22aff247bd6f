//! The table of all scenarios ([`SCENARIOS`]): the name of each, what it shows, and how the suite
//! plays it.

use std::future::Future;
use std::pin::Pin;

use crate::stage::Outcome;
use crate::{
    access, airgap, attacked, audit_crash, bypass, canary, cases, channel, client, crash, creating,
    damage, demo, deny, diffing, disk, doctor, drafting, drift, faults, fetching, floods, forms,
    freshness, hanging, herd, image_labels, image_verifier, keyless, leaked, lying, matching,
    mirrored, monitoring, moving, neighbours, nri, observe, offline, outage, packages, power,
    pulling, requests, restoring, rules, sandbox, secrets, service, starting, stopping, story,
    sweep, unit, unreachable, upgrade, vanish, verifying, volumes, words,
};

/// A scenario under way.
pub type Play = Pin<Box<dyn Future<Output = Outcome>>>;

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The name by which `make e2e` plays it alone.
    pub name: &'static str,
    /// What it shows, in one line.
    pub shows: &'static str,
    /// Plays it.
    pub play: fn() -> Play,
    /// Plays it as a part of the suite: the same, unless it is too long for that.
    pub in_suite: fn() -> Play,
    /// Whether the suite plays nothing beside it: it compares times, measures memory that depends on
    /// them, takes every processor, or has a process named `kubelet`, which every gate on the
    /// machine sees.
    pub alone: bool,
    /// Whether it takes so long that the suite begins with it.
    pub long: bool,
}

impl Scenario {
    /// The same, marked [`Scenario::alone`].
    const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// The same, marked [`Scenario::long`].
    const fn long(self) -> Self {
        Self { long: true, ..self }
    }
}

/// Names a scenario and the async function that plays it, and perhaps another one that plays it in
/// the suite.
macro_rules! scenario {
    ($name:literal, $shows:literal, $play:path) => {
        scenario!($name, $shows, $play, $play)
    };
    ($name:literal, $shows:literal, $play:path, $in_suite:path) => {
        Scenario {
            name: $name,
            shows: $shows,
            play: || Box::pin($play()),
            in_suite: || Box::pin($in_suite()),
            alone: false,
            long: false,
        }
    };
}

/// All of them. The suite begins with the long ones.
pub const SCENARIOS: &[Scenario] = &[
    scenario!(
        "demo",
        "the main job: signed runs, unsigned does not, whichever way it came",
        demo::demo
    ),
    scenario!(
        "signed-by-tag",
        "a signed image is pulled by tag, runs, and both decisions are on record",
        pulling::signed_by_tag
    ),
    scenario!(
        "unsigned",
        "an unsigned image is refused at pull, with what was looked for and where",
        pulling::unsigned
    ),
    scenario!(
        "matching",
        "pods with a label, a handler or an image volume meet another policy than those without",
        matching::matching
    ),
    scenario!(
        "image-labels",
        "images with a label meet another policy, at the pull and at every create, without a registry",
        image_labels::image_labels
    ),
    scenario!(
        "observe",
        "a node on which everything is wrong: nothing is refused, all is listed; then one switch",
        observe::observe
    ),
    scenario!(
        "deny",
        "a digest, a key, an identity and a repository struck off with no registry, in a second",
        deny::deny
    ),
    scenario!(
        "leaked-key",
        "30 images by 3 keys, of which one leaks: what rests on it is listed, struck off in one command \
         with no registry, and the record judged again",
        leaked::leaked_key
    ),
    scenario!(
        "deny-fetched",
        "a deny list in the registry, signed by cosign: taken on the timer, and refused where it is \
         older, by another key or broken; it stands without the registry and over a restart",
        fetching::deny_fetched
    )
    .long(),
    scenario!(
        "story-of-a-container",
        "from the id of a container that is gone, one command tells who signed it, what was looked at, \
         when it came and went, and the text of the policy of then",
        story::story_of_a_container
    ),
    scenario!(
        "emptied",
        "policies that vanish under the gate stay in force, until an operator says otherwise",
        vanish::emptied
    ),
    scenario!(
        "hanging-policies",
        "a folder of policies that hangs: nothing waits for it, and it is watched again afterwards",
        vanish::hanging_policies
    )
    .long(),
    scenario!(
        "policy-diff",
        "what a candidate policy would change, over a history of 200 decisions and more, with no \
         registry: a key dropped, a repository denied, anything accepted, and files that are faulty",
        diffing::policy_diff
    )
    .long(),
    scenario!(
        "policy-init",
        "policies drafted from a node with images that a key, an identity and nobody signed: sound, and \
         all that ran is admitted by them with no registry; a document of a later folder replaces one",
        drafting::policy_init
    ),
    scenario!(
        "policy-test",
        "a case that a node records comes out as it was judged, and otherwise under other policies",
        cases::policy_test
    ),
    scenario!(
        "imported",
        "an unsigned image imported with ctr is refused at create",
        pulling::imported
    ),
    scenario!(
        "signed-by-digest",
        "signed images asked for by digest, in both forms and with docker's media types",
        forms::signed_by_digest
    ),
    scenario!(
        "index-signed",
        "a signature on the index: asked for by tag and by digest, pulled as the index",
        forms::index_signed
    ),
    scenario!(
        "index-asked",
        "an index asked for by digest, of which only a manifest is signed, is refused",
        forms::index_asked
    ),
    scenario!(
        "platform-only",
        "only this node's manifest is signed: it is chosen, pulled and named in place of the index",
        forms::platform_only
    ),
    scenario!(
        "unsigned-by-digest",
        "an unsigned image asked for by digest is refused",
        forms::unsigned_by_digest
    ),
    scenario!(
        "other-key",
        "signatures by a key that the policy does not name do not count",
        forms::other_key
    ),
    scenario!(
        "other-digest",
        "signatures copied from another image, attestations and other names do not count",
        forms::other_digest
    ),
    scenario!(
        "sig-only",
        ".sig present, bundle absent; with a referrers endpoint and without",
        forms::sig_only
    ),
    scenario!(
        "bundle-only",
        "bundle present, .sig absent; with a referrers endpoint and without",
        forms::bundle_only
    ),
    scenario!("key-kinds", "P-384, RSA and Ed25519, in both forms", forms::key_kinds),
    scenario!(
        "keyless",
        "signed by a workflow: admitted for its identity, refused for a neighbour's, in both forms",
        keyless::keyless
    )
    .long(),
    scenario!(
        "keyless-offline",
        "signed by a workflow, on every runtime: no registry any more, created from memory",
        keyless::offline
    ),
    scenario!(
        "sweep",
        "500 containers and 200 images judged from evidence: what went around the gate is listed",
        sweep::sweep
    )
    .alone(),
    scenario!(
        "sweep-stop",
        "what went around the gate or would be refused now is stopped, a few a minute; static pods are not",
        stopping::stopping
    )
    .long(),
    scenario!(
        "drift",
        "a container made around the gate: an alert with image, digest and labels, on every runtime",
        drift::drift
    )
    .long(),
    scenario!(
        "provenance",
        "built from another repository: refused with both named; from the right one: admitted",
        keyless::provenance
    ),
    scenario!(
        "attested",
        "contents, scans, verification summaries and keys behind attestations",
        keyless::attested
    ),
    scenario!(
        "own-pki",
        "certificates of an own authority: admitted, revoked, ended, another's",
        keyless::own_pki
    ),
    scenario!(
        "key-window",
        "a key that has ended: what was signed in time and provably so still counts",
        keyless::key_window
    ),
    scenario!(
        "other-name",
        "an admitted image is not created under another image's name",
        forms::other_name_at_create
    ),
    scenario!(
        "tag-moved",
        "the tag moves between the gate's question and the runtime's: what was admitted is what \
         runs",
        lying::tag_moved
    ),
    scenario!(
        "split-answers",
        "one digest, one document for the gate and another for the runtime, schema 1 too",
        lying::split_answers
    ),
    scenario!(
        "two-spellings",
        "an index with `manifests` and `Manifests`, and one with two manifests for one platform",
        lying::two_spellings
    ),
    scenario!(
        "endless-answers",
        "answers without end: refused in time, with memory flat",
        lying::endless_answers
    )
    .alone(),
    scenario!(
        "hostile-registry",
        "every fault at every step: its answer, in time, with memory flat and no secret where it \
         does not belong",
        faults::hostile_registry
    )
    .alone(),
    scenario!(
        "registry-down",
        "no registry before the first pull, and none after it",
        outage::registry_down
    ),
    scenario!(
        "unreachable",
        "onUnreachable: evidence first, unchecked by setting, judged anew when the registry is back",
        unreachable::unreachable
    ),
    scenario!(
        "signatures-unreachable",
        "the places of signatures fail: unreachable, never unsigned",
        outage::signatures_unreachable
    )
    .long(),
    scenario!(
        "signatures-unable",
        "the places of signatures may not be looked at: unable, never unsigned",
        outage::signatures_unable
    ),
    scenario!(
        "no-such-tag",
        "a tag or repository that is not there is NOT_FOUND",
        outage::no_such_tag
    ),
    scenario!(
        "refusal-lives-shortly",
        "an image that is signed after its refusal is admitted soon",
        outage::refusal_lives_shortly
    ),
    scenario!(
        "private-registry",
        "Basic and Bearer credentials of the request, none, wrong ones, another pod's, the node's",
        access::private_registry
    ),
    scenario!("two-pods", "two pods at once on one image: one verification", access::two_pods),
    scenario!(
        "short-name",
        "short names and other names of Docker Hub are judged under its policy",
        access::short_name
    ),
    scenario!(
        "other-spellings",
        "a host in capitals or with its port, and what is no reference at all",
        access::other_spellings
    ),
    scenario!(
        "requests",
        "requests of a cold decision beside cosign's of the same image, in the registry's log",
        requests::requests
    ),
    scenario!(
        "signature-repository",
        "signatures that cosign keeps in a repository of their own, in both forms",
        requests::signature_repository
    ),
    scenario!(
        "docker-registry",
        "docker's own registry, both forms, byte for byte",
        access::docker_registry
    ),
    scenario!(
        "grpcio",
        "the main job driven by grpcio; an unknown method, an unknown field, a message of 15 MiB",
        client::grpcio
    ),
    scenario!("policy-reload", "policies reloaded, good and broken", rules::policy_reload),
    scenario!("warn", "a policy that only warns admits, and says so", rules::warned),
    scenario!(
        "no-policy",
        "what no policy matches is refused, and nothing is asked of its host",
        rules::no_policy
    ),
    scenario!("namespaced", "one namespace's verdict is none for another", rules::namespaced),
    scenario!(
        "imported-with-ctr",
        "an import has no origin: refused, signed or not, and admitted by a rule that names its \
         digest",
        creating::imported_with_ctr
    ),
    scenario!(
        "trusted-name",
        "unsigned content under a trusted name is refused, however it is named",
        creating::trusted_name
    ),
    scenario!(
        "false-digest-record",
        "a record that claims a signed image's digest is seen through",
        creating::false_digest_record
    ),
    scenario!(
        "name-not-listed",
        "the id of one image with the name of another is refused",
        creating::name_not_listed
    ),
    scenario!(
        "ids-and-names",
        "every way to name an image; an id alone must pass under every name",
        creating::ids_and_names
    ),
    scenario!(
        "checkpoint-restore",
        "a signed checkpoint of a signed base image is restored where policies let it, and no other",
        restoring::restoring
    ),
    scenario!(
        "paths-and-checkpoints",
        "files, checkpoints and absent images do not become containers",
        creating::paths_and_checkpoints
    ),
    scenario!(
        "bypass",
        "every way around the gate and every method of the CRI, on each containerd: refused, \
         reported, only reads, or not applicable",
        bypass::bypass
    )
    .long(),
    scenario!(
        "sandbox-image",
        "an unsigned sandbox image: no pod; a signed one: pods, also without a registry after a \
         restart; on each containerd",
        sandbox::sandbox_image
    )
    .long(),
    scenario!(
        "snapshotter-not-allowed",
        "layers that the id does not bind are refused",
        creating::snapshotter_not_allowed
    ),
    scenario!(
        "moving-tag",
        "a tag moves to other content while containers of the admitted id are created",
        moving::tag_moves
    )
    .long(),
    scenario!(
        "image-volume",
        "image volumes are admitted, refused and proven like the container's own image",
        volumes::image_volume
    ),
    scenario!(
        "image-volume-unknown",
        "a runtime without image volumes answers for itself",
        volumes::unknown
    ),
    scenario!(
        "start-unproven",
        "a container that was made past the gate starts only when it is proven",
        starting::unproven
    ),
    scenario!(
        "start-after-restart",
        "a container made through the gate starts after the gate was killed",
        starting::after_restart
    ),
    scenario!(
        "other-services",
        "native services, the older CRI and other spellings are not served",
        channel::other_services
    ),
    scenario!(
        "requests-travel",
        "unknown fields and 15 MiB travel; what cannot be read is never forwarded",
        channel::requests_travel
    ),
    scenario!(
        "containerd-restart",
        "the runtime goes away under an open stream and while idle, and comes back",
        channel::containerd_restart
    ),
    scenario!(
        "deadline",
        "nothing is forwarded for a caller whose time is nearly spent",
        channel::deadline
    ),
    scenario!("crash", "the gate is killed during a pull and started again", crash::during_a_pull),
    scenario!(
        "crash-anywhere",
        "the gate is killed again and again; every answered decision is on record",
        crash::at_any_point
    ),
    scenario!(
        "audit-attacked",
        "a log is changed in twenty-one ways: verify names each, and two other programs agree",
        attacked::audit_attacked
    ),
    scenario!(
        "audit-crash",
        "the gate is killed in a loop during 1,000 decisions: every answer is in the log, which is whole",
        audit_crash::audit_crash
    )
    .long(),
    scenario!(
        "audit-full",
        "the disk under the audit log is full, and is not any more",
        disk::audit_full
    ),
    scenario!(
        "disk-hangs",
        "the disk under the audit log hangs: answered in time as configured, and no record is \
         missing or twice",
        hanging::disk_hangs
    ),
    scenario!(
        "log-disk",
        "the gate starts on a full and on a read-only log disk, and with a clock that was set back \
         twice",
        hanging::log_disk
    ),
    scenario!("command-line", "exit codes and both outputs of every command", words::command_line),
    scenario!(
        "verify",
        "sealgate verify: several images, manifests, policies alone, the node alone, exit codes",
        verifying::verify_daily
    ),
    scenario!(
        "hostile-words",
        "terminal escapes in names have no power, wherever they are printed",
        words::hostile_words
    ),
    scenario!(
        "canary",
        "the gauge of enforcing is 0 within one period of a forwarder in the socket's place, of \
         policies that admit everything, of a kubelet that is turned back",
        canary::canary
    )
    .alone(),
    scenario!(
        "monitoring",
        "a real Prometheus with the shipped alert rules: what it reads of the gate, an alert that \
         fires, every question of the dashboard, and a name that was made to be a label",
        monitoring::monitoring
    ),
    scenario!(
        "doctor",
        "a node set up right is all ok; set up wrong in one way, that line fails and no other",
        doctor::doctor
    )
    .alone(),
    scenario!(
        "drain",
        "told to stop, the gate serves on and finishes what is under way",
        service::drain
    ),
    scenario!(
        "restart-unnoticed",
        "a restart with an inherited socket loses no connection attempt",
        service::restart_unnoticed
    ),
    scenario!(
        "upgrade",
        "ten restarts by systemd under polls, a pull and a stream of events: nothing is lost but \
         the stream",
        upgrade::upgrade
    ),
    scenario!(
        "packages",
        "deb and rpm, built twice alike: on a fresh Debian installed, upgraded under calls of which none \
         is lost, left alone with a policy that is broken, refused, removed, purged",
        packages::packages
    )
    .long(),
    scenario!(
        "systemd-unit",
        "the shipped units in a real systemd: activated, sandboxed, reloaded, trust roots \
         refreshed, killed",
        unit::systemd_unit
    ),
    scenario!(
        "power-cut",
        "no registry, no route, gate and runtime killed: 110 pods of 20 admitted images start, \
         what was never seen does not",
        power::power_cut
    )
    .alone(),
    scenario!(
        "herd",
        "no registry, gate and runtime killed: 110 and 500 containers at once, on containerd 1.6 \
         and 2.1: all start",
        herd::herd,
        herd::shortened
    )
    .alone(),
    scenario!(
        "bad-neighbours-manifests",
        "64 pulls of a registry with very large manifests: memory stays bounded",
        floods::manifests
    )
    .alone(),
    scenario!(
        "bad-neighbours-certificates",
        "the same, of all that a manifest may hold",
        floods::certificates
    )
    .alone(),
    scenario!(
        "bad-neighbours-signatures",
        "the same, of 64 signatures of 64 KiB each",
        floods::signatures
    )
    .alone(),
    scenario!("release-unwinds", "a panic in a release build ends one task", floods::unwinds),
    scenario!(
        "bad-neighbours",
        "registries that hang, trickle and flood: what a good image feels of it, and what an \
         unrelated call does",
        neighbours::bad_neighbours
    )
    .alone(),
    scenario!(
        "key-removed-offline",
        "no registry: a key is removed, an image denied; what they alone vouched for is refused, \
         the rest runs",
        offline::key_removed
    )
    .long(),
    scenario!(
        "air-gap",
        "a node without a registry: images and their evidence come as files; nothing else helps",
        airgap::air_gap
    )
    .long(),
    scenario!(
        "evidence-refreshed",
        "old evidence admits and the registry is asked behind it: renewed, withdrawn, or left as \
         it is",
        freshness::refreshed
    ),
    scenario!(
        "image-verifier",
        "what ctr pulls meets the gate's policy and memory through containerd's image verifier; with \
         the gate down nothing is pulled",
        image_verifier::image_verifier
    ),
    scenario!(
        "nri",
        "a create sent straight to containerd is refused where it asks the gate, through the gate \
         it works, also after restarts; each containerd",
        nri::nri
    ),
    scenario!(
        "evidence-too-old",
        "no registry: older than maxOffline is unreachable, what was flushed still counts",
        freshness::too_old
    ),
    scenario!(
        "evidence-faults",
        "evidence that cannot be written, is gone, changed or forged: the registry decides, or \
         nobody can be asked",
        damage::faults
    )
    .long(),
    scenario!(
        "evidence-two-processes",
        "evidence is pruned, imported, verified and listed while the gate writes it",
        damage::two_processes
    ),
    scenario!(
        "evidence-killed",
        "killed while evidence is written: what was answered as admitted is admitted without a \
         registry",
        damage::killed
    ),
    scenario!(
        "mirror-signatures",
        "a mirror without signatures, its upstream behind an own authority and client certificates",
        mirrored::mirror_signatures
    ),
    scenario!(
        "mirror-secrets",
        "a pull's secret that names no registry: no mirror sees it unless it is named, the \
         registry does; each containerd",
        secrets::mirror_secrets
    )
    .long(),
    scenario!(
        "credential-plugin",
        "a private registry whose password only a plugin of the kubelet's knows after a restart",
        mirrored::credential_plugin
    ),
];
