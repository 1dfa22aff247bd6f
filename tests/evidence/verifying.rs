//! `verify`: broken files are told, and what is kept is judged by today's policies with no network.

use std::fs;

use sealgate::evidence_store::Entry;
use serde_json::{Value, json};

use crate::node::{Node, Ran, now, policy};

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";

fn of<'l>(lines: &'l [Value], what: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["what"] == what).collect()
}

/// Verdicts by the last part of the repository.
fn verdicts(ran: &Ran) -> Vec<(String, String)> {
    let lines = ran.lines();
    let mut verdicts: Vec<(String, String)> = of(&lines, "image")
        .iter()
        .map(|line| {
            let image = line["image"].as_str().unwrap();
            (
                image.rsplit('/').next().unwrap().to_owned(),
                line["verdict"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    verdicts.sort();
    verdicts
}

fn pair(image: &str, verdict: &str) -> (String, String) {
    (image.to_owned(), verdict.to_owned())
}

#[test]
fn what_is_kept_is_admitted_with_no_network() {
    let node = Node::new();
    let before = {
        for situation in ["signed-v2", "signed-v3", "signed-both", "two-signers-v2"] {
            node.keep(situation);
        }
        node.everything()
    };
    let ran = node.json(&["verify"]);
    let lines = ran.lines();
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(verdicts(&ran).iter().all(|(_, verdict)| verdict == "admitted"), "{}", ran.out);
    let summary = of(&lines, "summary")[0];
    assert_eq!(
        (&summary["images"], &summary["entries"], &summary["broken"]),
        (&json!(4), &json!(5), &json!(0))
    );
    assert!(summary["files"].as_u64().unwrap() > 12, "{summary}");
    let text = node.run(&["verify"]);
    assert!(
        text.out.contains("4 images; 0 broken, 0 not admitted") && text.err.is_empty(),
        "{}{}",
        text.out,
        text.err
    );
    assert_eq!(node.everything(), before, "nothing is changed");
}

/// Attack A2: a key that was taken away, a digest that is denied, another signer: what was admitted
/// once is judged anew.
#[test]
fn attack_a2_a_changed_policy_is_what_counts() {
    for (require, fields, refused) in [
        ("{name: security, key: {files: [security.pub]}}", "", vec!["signed-v2:v1"]),
        (BUILD, "deny: {digests: [DIGEST]},", vec!["signed-v2:v1"]),
        ("{name: other, key: {files: [other.pub]}}", "", vec!["signed-v2:v1", "two-signers-v2:v1"]),
    ] {
        let node = Node::new();
        let target = node.keep("signed-v2");
        node.keep("two-signers-v2");
        assert_eq!(node.run(&["verify"]).code, Some(0));
        let fields = fields.replace("DIGEST", &format!("\"{target}\""));
        fs::write(node.path.join("policies/policy.yaml"), policy(require, &fields)).unwrap();
        let ran = node.json(&["verify"]);
        assert_eq!(ran.code, Some(1), "{require}");
        let expected = ["signed-v2:v1", "two-signers-v2:v1"].map(|image| {
            pair(image, if refused.contains(&image) { "refused" } else { "admitted" })
        });
        assert_eq!(verdicts(&ran), expected, "{require}");
        let text = node.run(&["verify", "registry.example.test/prod/two-signers-v2:v1"]);
        assert_eq!(text.code == Some(0), refused.len() == 1, "{}", text.out);
    }
}

#[test]
fn a_repository_that_is_no_longer_looked_in_vouches_for_nothing() {
    let node =
        Node::with_policy(&policy(BUILD, "signatureRepository: signatures.example.test/all,"));
    node.keep("signed-v2");
    let ran = node.json(&["verify"]);
    assert_eq!((ran.code, verdicts(&ran)), (Some(1), vec![pair("signed-v2:v1", "unable")]));
}

#[test]
fn an_index_is_admitted_by_the_signature_on_its_manifest() {
    let node = Node::new();
    let child = node.keep_child("index-child-v2");
    let ran = node.json(&["verify"]);
    assert_eq!(
        (ran.code, verdicts(&ran)),
        (Some(0), vec![pair("index-child-v2:v1", "admitted")]),
        "{}",
        ran.out
    );
    let lines = ran.lines();
    assert_ne!(of(&lines, "image")[0]["digest"], child.to_string(), "the index is the image");
}

/// Attack A7: bytes that were changed on disk, and files that are gone.
#[test]
fn attack_a7_broken_and_missing_files_are_told() {
    let node = Node::new();
    let changed = node.keep("signed-v2");
    let removed = node.keep("signed-v3");
    let item = |digest: &str| {
        let lines = node.json(&["show", digest]).lines();
        lines[0]["claims"][0]["item"].as_str().unwrap().to_owned()
    };
    let (payload, bundle) = (item(changed.as_str()), item(removed.as_str()));
    fs::write(node.blob(&payload), b"other bytes").unwrap();
    fs::remove_file(node.blob(&bundle)).unwrap();
    let ran = node.json(&["verify"]);
    let lines = ran.lines();
    assert_eq!(ran.code, Some(1));
    let broken = of(&lines, "broken-file");
    assert_eq!(broken.len(), 1, "{}", ran.out);
    assert!(
        broken[0]["path"].as_str().unwrap().ends_with(payload.trim_start_matches("sha256:")),
        "{}",
        ran.out
    );
    let missing: Vec<&Value> =
        of(&lines, "missing-file").iter().map(|line| &line["digest"]).collect();
    assert!(missing.contains(&&json!(bundle)), "{}", ran.out);
    assert_eq!(verdicts(&ran), [pair("signed-v2:v1", "unable"), pair("signed-v3:v1", "unable")]);
    let text = node.run(&["verify"]);
    assert!(
        text.out.contains("broken file:") && text.out.contains("missing file:"),
        "{}",
        text.out
    );
}

#[test]
fn evidence_that_is_too_old_is_told() {
    let node = Node::with_policy(&policy(BUILD, "maxOffline: 2h,"));
    node.keep("signed-v2");
    let ran = node.json(&["verify"]);
    let lines = ran.lines();
    let image = of(&lines, "image")[0];
    assert_eq!(
        (ran.code, &image["verdict"], &image["too_old"]),
        (Some(1), &json!("admitted"), &json!(true))
    );
    assert!((3 * 3600..4 * 3600).contains(&image["age_seconds"].as_i64().unwrap()), "{image}");
    fs::write(node.path.join("policies/policy.yaml"), policy(BUILD, "")).unwrap();
    assert_eq!(node.run(&["verify"]).code, Some(0));
    node.configure("max_offline_hours = 2");
    assert_eq!(node.run(&["verify"]).code, Some(1));
}

/// What is too old lies beside what suffices: the gate admits by the latter, and so does this.
#[test]
fn evidence_that_is_too_old_takes_nothing_from_what_is_fresh() {
    let node = Node::with_policy(&policy(BUILD, "maxOffline: 2h,"));
    node.keep("signed-both");
    let admitted = || {
        let ran = node.json(&["verify"]);
        let image = of(&ran.lines(), "image")[0].clone();
        (ran.code, image["verdict"].clone(), image["too_old"].clone())
    };
    assert_eq!(admitted(), (Some(1), json!("admitted"), json!(true)));
    let store = node.store();
    let mut kept = store.entries().unwrap();
    assert_eq!(kept.len(), 2);
    let entry = Entry { fetched: now(), ..kept.remove(0).entry };
    store.put(&entry, &[]).unwrap();
    assert_eq!(admitted(), (Some(0), json!("admitted"), json!(false)));
}

/// Attack C4: evidence from the future has no age that could be believed.
#[test]
fn attack_c4_evidence_from_the_future_is_too_old_where_age_counts() {
    let node = Node::with_policy(&policy(BUILD, "maxOffline: 2h,"));
    node.keep("signed-v2");
    node.set_fetched(jiff::SignedDuration::from_hours(24));
    let ran = node.json(&["verify"]);
    let lines = ran.lines();
    assert_eq!((ran.code, &of(&lines, "image")[0]["too_old"]), (Some(1), &json!(true)));
    fs::write(node.path.join("policies/policy.yaml"), policy(BUILD, "")).unwrap();
    assert_eq!(node.run(&["verify"]).code, Some(0));
}

#[test]
fn without_policies_or_evidence_nothing_is_claimed() {
    let node = Node::new();
    assert_eq!(node.run(&["verify"]).code, Some(0));
    assert_eq!(node.run(&["verify", "sha256:abcdef"]).code, Some(0), "there is no store at all");
    node.keep("signed-v2");
    let ran = node.run(&["verify", "sha256:abcdef"]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.err.contains("nothing is kept about it"), "{}", ran.err);
    fs::write(node.path.join("policies/policy.yaml"), "{").unwrap();
    assert_eq!(node.run(&["verify"]).code, Some(65));
}
