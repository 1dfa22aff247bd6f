//! `onUnreachable: insecureAdmit`: what is admitted when a registry does not answer is not admitted
//! when it answers in part, or when something else than its silence kept the gate from hearing it.

use std::collections::BTreeMap;
use std::time::Duration;

use sealgate::cri::ask::{Call, LocalImageRequest};
use sealgate::cri::{Ending, Gate, Limits, LocalPermit, Refusal, Timings};
use sealgate::evidence::Pod;
use sealgate::image::Digest;
use sealgate::policy::{Documents, PolicyFile, PolicySet, Unmatched};
use sealgate::registry::{Options, Registry};
use sealgate::verify::PublicKey;

use crate::fixtures;
use crate::imagestore::Store;
use crate::mirrors::mirrored;
use crate::registry::{Answer, Rule, Settings};
use crate::rig::{HOST, Rig, Special, by_digest, clock, pull, tagged, turn_clock};

/// The images that the node has.
const IMAGES: [&str; 3] = ["unsigned", "signed-v2", "signed-v3"];

/// The usual policy, which lets through what it cannot ask the registry about; with more in `spec`.
fn open_with(more: &str) -> PolicySet {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  onUnreachable: insecureAdmit\n{more}  \
         require: {{name: signer, key: {{files: [build.pub]}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let key = PublicKey::parse_pem(&fixtures::key("build")).unwrap();
    let keys = BTreeMap::from([("build.pub".to_owned(), key)]);
    let documents = Documents::parse(&[file]).unwrap();
    PolicySet::build(documents, keys.into_iter().collect(), Unmatched::Deny).unwrap()
}

fn open() -> PolicySet {
    open_with("")
}

/// A node that has the images, each pulled by digest, before a registry.
struct Node<'r> {
    rig: &'r Rig,
    store: Store,
}

impl<'r> Node<'r> {
    fn of(rig: &'r Rig) -> Self {
        let store = Store::start(&rig.folder().join("containerd.sock"));
        for image in IMAGES {
            store.hold(fixtures::prod(image));
            store.pulled(&by_digest(image));
        }
        Self { rig, store }
    }

    /// A gate that has just been started, and waits for no request longer than a second.
    fn gate(&self, policy: PolicySet) -> Gate {
        let options = Options { request_ms: 1000, retries: 1, ..self.rig.options() };
        let registry = Registry::new(options, clock()).unwrap();
        self.rig.limited(self.special(policy), registry, Limits::default())
    }

    fn special(&self, policy: PolicySet) -> Special {
        let socket = self.rig.folder().join("containerd.sock");
        Special { policy, socket, ..Special::default() }
    }

    /// Creates a container as a kubelet does: by the image's id, with the pod's own string beside it.
    async fn create(&self, gate: &Gate, image: &str) -> Result<LocalPermit, Refusal> {
        let ask = LocalImageRequest {
            call: Call::CreateContainer,
            image: self.store.id_of(&fixtures::prod(image).tags["v1"]),
            user_specified: tagged(image),
            pod: Pod::default(),
            container: "c".to_owned(),
            deadline: clock().steady() + Duration::from_secs(60),
        };
        let mut timings = Timings::start(clock());
        Box::pin(gate.admit_local(&ask, &gate.policy(), &mut timings)).await
    }

    /// The same, with a gate of its own.
    async fn create_anew(&self, image: &str) -> Result<LocalPermit, Refusal> {
        self.create(&self.gate(open()), image).await
    }
}

fn is_unchecked(created: Result<LocalPermit, Refusal>) -> bool {
    let permit = created.unwrap();
    assert!(!permit.is_cached(), "it is remembered");
    permit.admissions().iter().any(|admission| admission.permit().report().unchecked.is_some())
}

fn assert_unreachable<P>(admitted: Result<P, Refusal>) {
    let Err(refusal) = admitted else { panic!("nobody signed it, and somebody answered") };
    assert_eq!(refusal.ending(), Ending::Unreachable, "{refusal}");
}

#[tokio::test]
async fn a_host_that_is_silent_altogether_is_unreachable() {
    let certain = |status| Answer::Status(status, "UNKNOWN");
    for silence in [Answer::Drop, certain(500), certain(503), Answer::Hang] {
        let rig = Rig::new(Settings::conforming());
        rig.registry.rule(Rule::new("", silence));
        let node = Node::of(&rig);
        let gate = node.gate(open());
        for _ in 0..2 {
            assert!(is_unchecked(node.create(&gate, "unsigned").await));
        }
        // What brings an image has it from a host that answers.
        for image in [tagged("unsigned"), by_digest("unsigned")] {
            assert_unreachable(pull(&gate, &image).await);
        }
        rig.registry.clear_rules();
        turn_clock(Duration::from_secs(61));
        let refusal = node.create(&gate, "unsigned").await.err().unwrap();
        assert_eq!(refusal.ending(), Ending::Refused, "{refusal}");
    }
}

/// Attack G: whoever asks a registry for much gets the node left alone by it.
#[tokio::test]
async fn attack_g_a_host_that_wants_to_be_left_alone_is_not_unreachable() {
    for (status, headers) in [
        (429, vec![("retry-after", "30".to_owned())]),
        (503, vec![("retry-after", "30".to_owned())]),
        (503, vec![("retry-after", "soon".to_owned())]),
        (429, Vec::new()),
    ] {
        let rig = Rig::new(Settings::conforming());
        let answer = Answer::Full { status, headers: headers.clone(), body: Vec::new() };
        rig.registry.rule(Rule::new("", answer));
        let node = Node::of(&rig);
        let gate = node.gate(open());
        assert_unreachable(node.create(&gate, "unsigned").await);
        if !headers.iter().any(|(_, when)| when == "30") {
            continue;
        }
        // While it is left alone it is not asked, which is not its silence either.
        rig.registry.clear_log();
        assert_unreachable(node.create(&gate, "signed-v3").await);
        assert_eq!(rig.registry.requests().len(), 0);
    }
}

/// Attack G: one place of several is cut, and another one says that there is no signature.
#[tokio::test]
async fn attack_g_a_mirror_that_is_dead_does_not_hide_what_the_registry_says() {
    let (rig, mirror) =
        mirrored(Settings::conforming(), Settings::conforming(), &["unsigned", "signed-v3"]);
    let node = Node::of(&rig);
    for (dead, alive) in [(&mirror, &rig.registry), (&rig.registry, &mirror)] {
        dead.rule(Rule::new("", Answer::Drop));
        assert_unreachable(node.create_anew("unsigned").await);
        dead.clear_rules();
        alive.clear_rules();
    }
    mirror.rule(Rule::new("", Answer::Drop));
    let signed = node.create_anew("signed-v3").await;
    assert!(!is_unchecked(signed), "the registry has the signature");
    rig.cut();
    assert!(is_unchecked(node.create_anew("unsigned").await));
}

/// Attack G: a signature is listed, and somebody sees to it that it does not come.
#[tokio::test]
async fn attack_g_a_listed_signature_that_does_not_come_is_no_silence() {
    for (settings, image) in
        [(Settings::conforming(), "signed-v3"), (Settings::without_referrers(), "signed-v2")]
    {
        let rig = Rig::new(settings);
        let node = Node::of(&rig);
        for fault in [Answer::Hang, Answer::Endless(Duration::from_millis(100)), Answer::Drop] {
            rig.registry.clear_rules();
            rig.registry.rule(Rule::new("/blobs/", fault));
            assert_unreachable(node.create_anew(image).await);
        }
    }
}

/// Attack G: a registry that gives the image has to say what signs it: to what brings the image, and
/// for an image that is there.
#[tokio::test]
async fn attack_g_a_registry_that_gives_the_image_is_not_unreachable() {
    let rig = Rig::new(Settings::conforming());
    let node = Node::of(&rig);
    for silence in [Answer::Drop, Answer::Status(500, "UNKNOWN")] {
        rig.registry.clear_rules();
        for place in ["/referrers/", "/manifests/sha256-"] {
            rig.registry.rule(Rule::new(place, silence.clone()));
        }
        for image in [tagged("unsigned"), by_digest("unsigned")] {
            assert_unreachable(pull(&node.gate(open()), &image).await);
        }
        assert_unreachable(node.create_anew("unsigned").await);
    }
}

/// Attack G: the signatures are kept at another host, and that one alone is cut off.
#[tokio::test]
async fn attack_g_a_signature_host_that_is_cut_off_is_not_the_images_registry() {
    let rig = Rig::new(Settings::conforming());
    let node = Node::of(&rig);
    let elsewhere = || open_with("  signatureRepository: signatures.invalid/prod\n");
    assert_unreachable(node.create(&node.gate(elsewhere()), "unsigned").await);
    rig.cut();
    assert!(is_unchecked(node.create(&node.gate(elsewhere()), "unsigned").await));
}

/// Attack G: and what keeps the gate from asking the image's registry is not its silence.
#[tokio::test]
async fn attack_g_a_registry_that_cannot_be_asked_is_not_silent() {
    let rig = Rig::new(Settings::conforming());
    let node = Node::of(&rig);
    let hosts = rig.folder().join(HOST).join("hosts.toml");
    std::fs::write(hosts, "server = [").unwrap();
    let elsewhere = open_with("  signatureRepository: signatures.invalid/prod\n");
    assert_unreachable(node.create(&node.gate(elsewhere), "unsigned").await);
}

/// Attack G: an image has two digests, and the registry is silent about one of them.
#[tokio::test]
async fn attack_g_what_is_said_of_another_digest_counts_before_silence() {
    let rig = Rig::new(Settings::conforming());
    let node = Node::of(&rig);
    let mut twin = fixtures::prod("unsigned").clone();
    let first = twin.tags["v1"].clone();
    let (media_type, bytes) = twin.manifests[&first].clone();
    let bytes = [bytes.as_slice(), b"\n"].concat();
    let second = Digest::of(&bytes).as_str().to_owned();
    twin.manifests.insert(second.clone(), (media_type, bytes));
    node.store.hold(&twin);
    node.store.pulled(&format!("{HOST}/prod/unsigned@{second}"));
    for silent in [&first, &second] {
        rig.registry.clear_rules();
        rig.registry.rule(Rule::new(silent.trim_start_matches("sha256:"), Answer::Drop));
        let refusal = node.create_anew("unsigned").await.err().unwrap();
        assert_eq!(refusal.ending(), Ending::Refused, "{refusal}");
    }
    rig.cut();
    assert!(is_unchecked(node.create_anew("unsigned").await));
}

/// A disk that cannot be read may hold what speaks against the image.
#[tokio::test]
async fn a_store_that_cannot_be_read_is_not_an_empty_one() {
    let rig = Rig::new(Settings::conforming());
    rig.cut();
    let node = Node::of(&rig);
    let gate = || {
        let special = Special { store: Some(rig.store()), ..node.special(open()) };
        rig.special(special)
    };
    assert!(is_unchecked(node.create(&gate(), "unsigned").await));
    let broken = gate();
    std::fs::remove_dir_all(rig.folder().join("evidence")).unwrap();
    std::fs::write(rig.folder().join("evidence"), "no folder").unwrap();
    assert_unreachable(node.create(&broken, "unsigned").await);
}
