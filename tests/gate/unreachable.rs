//! `onUnreachable: insecureAdmit`: what is admitted when a registry does not answer is not admitted
//! when it answers in part, or when something else than its silence kept the gate from hearing it.

use std::collections::BTreeMap;
use std::time::Duration;

use sealgate::cri::{Ending, Gate, Limits, PullPermit, Refusal};
use sealgate::policy::{Documents, PolicyFile, PolicySet, Unmatched};
use sealgate::registry::{Options, Registry};
use sealgate::verify::PublicKey;

use crate::fixtures;
use crate::mirrors::mirrored;
use crate::registry::{Answer, Rule, Settings};
use crate::rig::{HOST, Rig, Special, by_digest, clock, pull, tagged, turn_clock};

/// The usual policy, which lets through what it cannot ask the registry about.
fn open() -> PolicySet {
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  onUnreachable: insecureAdmit\n  \
         require: {{name: signer, key: {{files: [build.pub]}}}}\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let key = PublicKey::parse_pem(&fixtures::key("build")).unwrap();
    let keys = BTreeMap::from([("build.pub".to_owned(), key)]);
    let documents = Documents::parse(&[file]).unwrap();
    PolicySet::build(documents, keys.into_iter().collect(), Unmatched::Deny).unwrap()
}

/// A gate with that policy, which waits for no request longer than a second.
fn gate(rig: &Rig) -> Gate {
    let special = Special { policy: open(), ..Special::default() };
    let options = Options { request_ms: 1000, retries: 1, ..rig.options() };
    rig.limited(special, Registry::new(options, clock()).unwrap(), Limits::default())
}

fn is_unchecked(pulled: Result<PullPermit, Refusal>) -> bool {
    let permit = pulled.unwrap();
    assert!(!permit.is_cached(), "it is remembered");
    permit.admission().permit().report().unchecked.is_some()
}

fn assert_unreachable(pulled: Result<PullPermit, Refusal>) {
    let refusal = pulled.expect_err("nobody signed it, and somebody answered");
    assert_eq!(refusal.ending(), Ending::Unreachable, "{refusal}");
}

/// By digest, as on a node that has the image: nothing is asked but for its signatures.
#[tokio::test]
async fn a_host_that_is_silent_altogether_is_unreachable() {
    let certain = |status| Answer::Status(status, "UNKNOWN");
    for silence in [Answer::Drop, certain(500), certain(503), Answer::Hang] {
        let rig = Rig::new(Settings::conforming());
        rig.registry.rule(Rule::new("", silence));
        let gate = gate(&rig);
        for _ in 0..2 {
            assert!(is_unchecked(pull(&gate, &by_digest("unsigned")).await));
        }
        rig.registry.clear_rules();
        turn_clock(Duration::from_secs(61));
        let refusal = pull(&gate, &by_digest("unsigned")).await.unwrap_err();
        assert_eq!(refusal.ending(), Ending::Refused, "{refusal}");
    }
}

/// Attack G: whoever asks a registry for much gets the node left alone by it.
#[tokio::test]
async fn attack_g_a_host_that_wants_to_be_left_alone_is_not_unreachable() {
    for (status, headers) in [
        (429, vec![("retry-after", "30".to_owned())]),
        (503, vec![("retry-after", "30".to_owned())]),
        (429, Vec::new()),
    ] {
        let rig = Rig::new(Settings::conforming());
        let answer = Answer::Full { status, headers: headers.clone(), body: Vec::new() };
        rig.registry.rule(Rule::new("", answer));
        let gate = gate(&rig);
        assert_unreachable(pull(&gate, &by_digest("unsigned")).await);
        if headers.is_empty() {
            continue;
        }
        // While it is left alone it is not asked, which is not its silence either.
        rig.registry.clear_log();
        assert_unreachable(pull(&gate, &by_digest("signed-v3")).await);
        assert_eq!(rig.registry.requests().len(), 0);
    }
}

/// Attack G: one place of several is cut, and another one says that there is no signature.
#[tokio::test]
async fn attack_g_a_mirror_that_is_dead_does_not_hide_what_the_registry_says() {
    let (rig, mirror) =
        mirrored(Settings::conforming(), Settings::conforming(), &["unsigned", "signed-v3"]);
    for (dead, alive) in [(&mirror, &rig.registry), (&rig.registry, &mirror)] {
        dead.rule(Rule::new("", Answer::Drop));
        assert_unreachable(pull(&gate(&rig), &by_digest("unsigned")).await);
        dead.clear_rules();
        alive.clear_rules();
    }
    mirror.rule(Rule::new("", Answer::Drop));
    let signed = pull(&gate(&rig), &by_digest("signed-v3")).await;
    assert!(!is_unchecked(signed), "the registry has the signature");
    rig.cut();
    assert!(is_unchecked(pull(&gate(&rig), &by_digest("unsigned")).await));
}

/// Attack G: a signature is listed, and somebody sees to it that it does not come.
#[tokio::test]
async fn attack_g_a_listed_signature_that_does_not_come_is_no_silence() {
    for (settings, image) in
        [(Settings::conforming(), "signed-v3"), (Settings::without_referrers(), "signed-v2")]
    {
        let rig = Rig::new(settings);
        for fault in [Answer::Hang, Answer::Endless(Duration::from_millis(100)), Answer::Drop] {
            rig.registry.clear_rules();
            rig.registry.rule(Rule::new("/blobs/", fault));
            assert_unreachable(pull(&gate(&rig), &by_digest(image)).await);
        }
    }
}

/// Attack G: a registry that says what a tag means has to say what signs it.
#[tokio::test]
async fn attack_g_a_registry_that_resolves_the_tag_is_not_unreachable() {
    let rig = Rig::new(Settings::conforming());
    for place in ["/referrers/", "/manifests/sha256-"] {
        rig.registry.rule(Rule::new(place, Answer::Drop));
    }
    assert_unreachable(pull(&gate(&rig), &tagged("unsigned")).await);
    assert!(is_unchecked(pull(&gate(&rig), &by_digest("unsigned")).await));
}

/// A disk that cannot be read may hold what speaks against the image.
#[tokio::test]
async fn a_store_that_cannot_be_read_is_not_an_empty_one() {
    let rig = Rig::new(Settings::conforming());
    rig.cut();
    let gate = |rig: &Rig| {
        let special = Special { policy: open(), store: Some(rig.store()), ..Special::default() };
        rig.special(special)
    };
    assert!(is_unchecked(pull(&gate(&rig), &by_digest("unsigned")).await));
    let broken = gate(&rig);
    std::fs::remove_dir_all(rig.folder().join("evidence")).unwrap();
    std::fs::write(rig.folder().join("evidence"), "no folder").unwrap();
    assert_unreachable(pull(&broken, &by_digest("unsigned")).await);
}
