//! `list`, `show` and `prune`: their words, exit codes, and what they leave alone.

use std::collections::BTreeSet;

use sealgate::evidence::{Place, Source};
use sealgate::evidence_store::Entry;
use sealgate::image::{Digest, Repository};
use serde_json::json;

use crate::node::{Node, now};
use crate::signing::{Signer, statement};

#[test]
fn an_empty_node_says_so_and_makes_nothing() {
    let node = Node::new();
    let ran = node.run(&["list"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("nothing is kept"), "{}", ran.err);
    let ran = node.run(&["show", "registry.example.test/prod/signed-v2:v1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert_eq!(node.run(&["prune", "--even-needed"]).code, Some(0));
    assert!(!node.path.join("evidence").exists(), "looking does not make the folder");
    for wrong in [
        &["show"][..],
        &["show", "Upper/Case"],
        &["show", "sha256:xyz"],
        &["prune", "--unused-days", "0"],
    ] {
        assert_eq!(node.run(wrong).code, Some(64), "{wrong:?}");
    }
}

#[test]
fn the_list_tells_every_entry_and_fits_the_screen() {
    let node = Node::new();
    let both = node.keep("signed-both");
    let two = node.keep("two-signers-v2");
    let ran = node.run(&["list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("the runtime did not say which images are here"), "{}", ran.err);
    for word in [
        "DIGEST",
        &both.hex()[..12],
        "bundles-tag",
        "signatures",
        "3 h",
        "as registry.example.test/prod/signed-both:v1",
    ] {
        assert!(ran.out.contains(word), "{word}\n{}", ran.out);
    }
    let long: Vec<&str> = ran.out.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(long, Vec::<&str>::new());
    let lines = node.json(&["list"]).lines();
    let of_two: Vec<_> = lines.iter().filter(|line| line["digest"] == two.to_string()).collect();
    assert_eq!((lines.len(), of_two.len()), (3, 1));
    let line = of_two[0];
    assert_eq!((&line["signatures"], &line["source"]), (&json!(2), &json!("signature-tag")));
    assert_eq!((&line["needed"], &line["targets"]), (&json!(null), &json!([two.to_string()])));
    assert_eq!(line["names"], json!(["registry.example.test/prod/two-signers-v2:v1"]));
    assert!(line["bytes"].as_u64().unwrap() > 500, "{line}");
}

#[test]
fn show_finds_an_image_by_digest_by_its_first_digits_and_by_name() {
    let node = Node::new();
    let target = node.keep("signed-both");
    node.keep("signed-v2");
    let ways = [
        target.to_string(),
        target.hex()[..10].to_owned(),
        "registry.example.test/prod/signed-both:v1".to_owned(),
        format!("registry.example.test/prod/signed-both@{target}"),
    ];
    let first = node.json(&["show", &ways[0]]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    for way in &ways {
        let lines = node.json(&["show", way]).lines();
        assert_eq!(lines.len(), 2, "{way}");
        assert!(lines.iter().all(|line| line["digest"] == target.to_string()), "{way}");
    }
    let older = &first.lines().into_iter().find(|line| line["source"] == "signature-tag").unwrap();
    assert_eq!(older["claims"][0]["form"], "simple-signing");
    assert_eq!(older["claims"][0]["reference"], "registry.example.test/prod/signed-both");
    assert_eq!(older["claims"][0]["digests"], json!([target.to_string()]));
    assert_eq!(older["claims"][0]["certificate"], json!(null));
    assert_eq!(older["files"].as_array().unwrap().len(), 3);
    let text = node.run(&["show", &ways[0]]).out;
    assert!(text.contains("claims, not judged"), "{text}");
}

#[test]
fn show_tells_what_a_certificate_claims() {
    let node = Node::new();
    let target = node.keep("keyless");
    let lines = node.json(&["show", target.as_str()]).lines();
    let claims = &lines[0]["claims"][0];
    let subject = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0";
    assert_eq!(claims["certificate"]["names"], json!([subject]));
    assert_eq!(claims["certificate"]["issuer"], "https://token.actions.githubusercontent.com");
    assert_eq!(claims["form"], "statement");
    let attested = node.keep("provenance");
    let lines = node.json(&["show", attested.as_str()]).lines();
    assert_eq!(lines[0]["claims"][0]["predicate_type"], "https://slsa.dev/provenance/v1");
}

#[test]
fn show_tells_what_is_missing() {
    let node = Node::new();
    let target = node.keep("signed-v2");
    let lines = node.json(&["show", target.as_str()]).lines();
    let payload = lines[0]["claims"][0]["item"].as_str().unwrap().to_owned();
    std::fs::write(node.blob(&payload), b"other bytes").unwrap();
    let line = &node.json(&["show", target.as_str()]).lines()[0];
    let file = line["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["digest"] == payload.as_str())
        .unwrap();
    assert_eq!((&file["bytes"], &line["claims"]), (&json!(null), &json!([])));
    assert!(node.run(&["show", target.as_str()]).out.contains("missing or broken"));
}

/// Attack E3: what somebody signed about himself has no power over the terminal, and forges no
/// line.
#[test]
fn attack_e3_claims_have_no_power_over_the_terminal() {
    let node = Node::new();
    let target = Digest::of(b"image");
    let evil = r"https://evil.example/\u001b[2J\n  signer  the security team\u202e";
    let bundle = Signer::p256().statement_bundle(&statement(target.as_str(), evil)).into_bytes();
    let (bundle_digest, size) = (Digest::of(&bundle), bundle.len());
    let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2},
        "layers": [{"mediaType": kind, "digest": bundle_digest.to_string(), "size": size}],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": target.to_string(), "size": 5},
    });
    let manifest = manifest.to_string().into_bytes();
    let entry = Entry {
        place: Place {
            repository: Repository::parse("evil.example/app").unwrap(),
            subject: target.clone(),
            source: Source::Referrers,
        },
        fetched: now(),
        manifests: vec![Digest::of(&manifest)],
        blobs: BTreeSet::from([bundle_digest.clone()]),
        targets: BTreeSet::from([target.clone()]),
        names: vec![],
    };
    let contents = [(Digest::of(&manifest), manifest.into()), (bundle_digest, bundle.into())];
    node.store().put(&entry, &contents).unwrap();
    let shown = node.run(&["show", target.as_str()]).out;
    assert!(shown.contains("says it is") && shown.contains("evil.example/\\u{1b}[2J"), "{shown:?}");
    assert!(
        !shown.contains(|c: char| c != '\n' && c.is_control()) && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
    assert!(
        !shown.lines().any(|line| line.trim_start().starts_with("signer  the security team")),
        "{shown:?}"
    );
    let json = node.json(&["show", target.as_str()]).out;
    assert!(!json.contains('\u{202e}') && json.lines().count() == 1, "{json:?}");
}

/// What is needed is not known: nothing goes.
#[test]
fn attack_g_prune_removes_nothing_when_the_runtime_cannot_be_asked() {
    let node = Node::new();
    node.keep("signed-v2");
    node.set_used(400);
    let before = node.everything();
    let ran = node.run(&["prune", "--max-bytes", "0"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(
        ran.err.contains("nothing was removed") && ran.err.contains("--even-needed"),
        "{}",
        ran.err
    );
    assert_eq!(node.everything(), before);
}

#[test]
fn prune_tells_what_would_go_and_removes_it() {
    let node = Node::new();
    node.keep("signed-v2");
    node.set_used(30);
    let new = node.keep("signed-v3");
    let before = node.everything();
    let dry = node.json(&["prune", "--even-needed", "--unused-days", "7", "--dry-run"]).lines();
    assert_eq!((&dry[0]["entries"], &dry[0]["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(node.everything(), before);
    let nothing = node.run(&["prune", "--even-needed"]);
    assert_eq!(nothing.out, "removed: 0 entries, 0 blobs, 0 remains of writes; 0 bytes\n");
    let done = node.json(&["prune", "--even-needed", "--unused-days", "7"]).lines();
    assert_eq!((&done[0]["entries"], &done[0]["bytes"]), (&dry[0]["entries"], &dry[0]["bytes"]));
    let left = node.json(&["list"]).lines();
    assert_eq!((left.len(), &left[0]["digest"]), (1, &json!(new.to_string())));
    assert_eq!(node.run(&["prune", "--even-needed", "--max-bytes", "0"]).code, Some(0));
    assert_eq!(node.json(&["list"]).lines(), Vec::<serde_json::Value>::new());
}
