//! ImageValidatingPolicy: which expressions are read, and what becomes of the others.

use super::{VerifyCall, call};
use crate::import::tests::{KEY, OTHER, documents, faults, imported, omissions};
use crate::import::{ImportFault, Omission};

const SIGNED: &str =
    "images.containers.map(image, verifyImageSignatures(image, [attestors.build])).all(e, e > 0)";

/// A policy with these attestors, validations and more of its spec.
fn policy(attestors: &str, validations: &[&str], more: &str) -> String {
    let validations: Vec<String> = validations
        .iter()
        .map(|text| format!("    - expression: >-\n        {text}\n      message: no\n"))
        .collect();
    format!(
        "apiVersion: policies.kyverno.io/v1\nkind: ImageValidatingPolicy\nmetadata: {{name: one}}\nspec:\n  failurePolicy: Fail\n  matchConstraints: {{resourceRules: [{{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]}}\n  attestors: [{attestors}]\n  validations:\n{}{more}",
        validations.concat()
    )
}

fn key(name: &str, pem: &str, more: &str) -> String {
    format!("{{name: {name}, cosign: {{key: {{data: {}}}{more}}}}}", serde_json::Value::from(pem))
}

const NO_LOG: &str = ", ctlog: {url: https://rekor.sigstore.dev, insecureIgnoreTlog: true}";

#[test]
fn the_expressions_that_are_read() {
    let any = |attestation: Option<&str>, attestors: &[&str]| VerifyCall {
        attestation: attestation.map(str::to_owned),
        attestors: attestors.iter().map(|name| (*name).to_owned()).collect(),
        wants_all: false,
    };
    for (text, expected) in [
        (SIGNED, any(None, &["build"])),
        (
            "images.initContainers.map(i, verifyImageSignatures(i,[attestors.a,attestors.b]) >= 1).all(e, e)",
            any(None, &["a", "b"]),
        ),
        (
            "images.containers.map(i, verifyAttestationSignatures(i, attestations.sbom ,[attestors.a])).all(x, x > 0)",
            any(Some("sbom"), &["a"]),
        ),
        (
            "images.containers.map(i, verifyImageSignatures(i, [attestors.a, attestors.b])).all(e, e == 2)",
            VerifyCall { wants_all: true, ..any(None, &["a", "b"]) },
        ),
    ] {
        assert_eq!(call(text), Some(expected), "{text}");
    }
    for text in [
        "images.containers.map(image, verifyImageSignatures(image, [attestors.a])).exists(e, e > 0)",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.a])).all(e, e >= 0)",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.a])).all(e, e > 0) || true",
        "images.containers.map(image, verifyImageSignatures('x', [attestors.a])).all(e, e > 0)",
        "images.containers.map(image, verifyImageSignatures(other, [attestors.a])).all(e, e > 0)",
        "images.containers.map(i, verifyImageSignatures(i, [attestors.a, attestors.b])).all(e, e == 1)",
        "images.containers.map(i, verifyImageSignatures(i, [attestors.a]) > 0).all(e, true)",
        "images.other.map(image, verifyImageSignatures(image, [attestors.a])).all(e, e > 0)",
        "!images.containers.map(image, verifyImageSignatures(image, [attestors.a])).all(e, e > 0)",
        "true",
    ] {
        assert_eq!(call(text), None, "{text}");
    }
}

/// A key is held to the public log unless the policy says otherwise, as Kyverno does it.
#[test]
fn keys_and_logs() {
    let glob = "  matchImageReferences: [{glob: \"ghcr.io/acme/*\"}]\n";
    let logged = imported(&[&policy(&key("build", KEY, ""), &[SIGNED], glob)]);
    assert_eq!(omissions(&logged), []);
    let [one] = documents(&logged).try_into().unwrap();
    assert!(one.contains("  images:\n    - \"ghcr.io/acme/**\"\n  require:\n    name: \"build\"\n    key: {files: ["), "{one}");
    assert!(one.contains("trustRoot: \"public-good\", minLogEntries: 1}"), "{one}");
    let unlogged = imported(&[&policy(&key("build", KEY, NO_LOG), &[SIGNED], glob)]);
    assert!(!documents(&unlogged)[0].contains("trustRoot"), "{}", unlogged.text);
    let keyless = "{name: build, cosign: {keyless: {identities: [{issuer: https://accounts.google.com, subject: a@acme.example}]}, ctlog: {url: https://rekor.sigstore.dev, insecureIgnoreTlog: true, insecureIgnoreSCT: true}}}";
    let keyless = imported(&[&policy(keyless, &[SIGNED], glob)]);
    assert!(
        documents(&keyless)[0].contains("trustRoot: \"public-good\", insecureIgnoreSCT: true}"),
        "{}",
        keyless.text
    );
}

/// Every validation must hold, and of the attestors of one any suffices.
#[test]
fn validations_become_documents() {
    let attestors = format!("{}, {}", key("build", KEY, NO_LOG), key("other", OTHER, NO_LOG));
    let any = "images.containers.map(i, verifyImageSignatures(i, [attestors.build, attestors.other])).all(e, e > 0)";
    let same = "images.initContainers.map(i, verifyImageSignatures(i, [attestors.build, attestors.other])).all(e, e > 0)";
    let all = "images.containers.map(i, verifyImageSignatures(i, [attestors.build, attestors.other])).all(e, e >= 2)";
    let sbom = "images.containers.map(i, verifyAttestationSignatures(i, attestations.sbom, [attestors.build])).all(e, e > 0)";
    let more = "  attestations: [{name: sbom, intoto: {type: https://cyclonedx.org/bom}}]\n  validationActions: [Audit, Deny]\n";
    let imported = imported(&[&policy(&attestors, &[any, same, all, sbom], more)]);
    assert_eq!(omissions(&imported), []);
    let [any, all, sbom] = documents(&imported).try_into().unwrap();
    assert!(any.contains("    - \"**\"\n  require:\n    any:\n      - name: \"build\""), "{any}");
    assert!(all.contains("    all:\n      - name: \"build\""), "{all}");
    assert!(sbom.contains("      predicateType: \"https://cyclonedx.org/bom\"\n"), "{sbom}");
}

/// What is left out admits nothing, and what selects is taken for everything.
#[test]
fn what_is_left_out() {
    let payload = "images.containers.map(i, extractPayload(i, attestations.sbom).bomFormat == 'CycloneDX').all(e, e)";
    let build = key("build", KEY, NO_LOG);
    let cel = Omission::Language { language: "this CEL expression" };
    let notary = "{name: build, notary: {certs: {value: x}}}";
    let kms = "{name: build, cosign: {key: {kms: \"awskms:///x\"}}}";
    for (attestors, validations, more, expected) in [
        (build.as_str(), &[SIGNED, payload][..], "", cel),
        (notary, &[SIGNED], "", Omission::Notation),
        (kms, &[SIGNED], "", Omission::KeyElsewhere),
        (&key("build", KEY, ", annotations: {a: b}"), &[SIGNED], "", Omission::Annotations),
    ] {
        let imported = imported(&[&policy(attestors, validations, more)]);
        assert_eq!(omissions(&imported), [expected]);
        let [one] = documents(&imported).try_into().unwrap();
        assert!(one.contains("name: \"rejected\""), "{one}");
    }
    let selected = "  matchConditions: [{name: a, expression: \"true\"}]\n";
    let selected = imported(&[&policy(&build, &[SIGNED], selected)]);
    assert_eq!(omissions(&selected), [Omission::Selector]);
    assert!(documents(&selected)[0].contains("key: "));
    for (more, expected) in [("", 1), ("  matchConditions: [{name: a, expression: \"true\"}]\n", 0)]
    {
        let images = "  matchImageReferences: [{glob: \"ghcr.io/acme/*\"}]\n";
        let warns = format!("  validationActions: [Audit]\n{images}{more}");
        let warns = imported(&[&policy(&build, &[SIGNED], &warns)]);
        assert_eq!(documents(&warns).len(), expected, "{}", warns.text);
    }
    let by_cel = "  matchImageReferences: [{expression: \"ref == 'x'\"}]\n";
    assert!(documents(&imported(&[&policy(&build, &[SIGNED], by_cel)]))[0].contains("- \"**\""));
}

/// One of two attestors that may sign is one way less; of two that must, nothing is left.
#[test]
fn attestors_that_are_left_out() {
    let attestors = format!("{}, {{name: n, notary: {{}}}}", key("build", KEY, NO_LOG));
    let attestors = attestors.replace("notary: {}", "notary: {certs: {value: x}}");
    let list = "[attestors.build, attestors.n]";
    let wants = |count: &str| {
        format!("images.containers.map(i, verifyImageSignatures(i, {list})).all(e, e {count})")
    };
    let document =
        |count: &str| documents(&imported(&[&policy(&attestors, &[&wants(count)], "")]))[0].clone();
    assert!(document("> 0").contains("name: \"build\""));
    assert!(document("== 2").contains("name: \"rejected\""));
}

#[test]
fn faults_have_their_places() {
    let bad = policy(&key("build", KEY, ""), &[SIGNED], "  validationAction: [Deny]\n");
    let found = faults(&[&bad]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, "spec.validationAction");
    assert!(matches!(found[0].2, ImportFault::UnknownField { .. }));
}
