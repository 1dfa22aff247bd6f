//! Policies of policy-controller, Kyverno, Talos, Connaisseur and the Notary Project, imported and put in force:
//! a table for each format of document, images, and what becomes of them by the gate's own verifier.
//!
//! The cases are those of the programs' own tests, written anew: any of several authorities and
//! all of several policies (policy-controller), counts of attestors (Kyverno), the first rule that
//! matches (Talos), the most specific one (Connaisseur). The images are signed here by the keys `a` and `b`, or are fixtures that are
//! signed keyless; what stands for the public instance is the fixtures' own trust root.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealgate::import::{Surroundings, import};
use sealgate::policy::{Documents, Material, PolicyFile, PolicySet, Unmatched};
use sealgate::verify::{PublicKey, TrustRoot};

use crate::fixtures;
use crate::policy_json;
use crate::registry::Settings;
use crate::rig::{HOST, Rig, Special, pull};
use crate::signing::Signer;

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0";
const OK: &str = "admitted";
const UNSIGNED: &str = "unsigned";
const NONE_COUNTS: &str = "no-signature-counts";
const REJECTED: &str = "digest-not-listed";
const NO_POLICY: &str = "no-policy";

/// A document, how much of it is left out, and images with what becomes of them.
struct Case {
    name: &'static str,
    text: String,
    left_out: usize,
    images: &'static [(&'static str, &'static str)],
}

fn case(name: &'static str, text: String, images: &'static [(&'static str, &'static str)]) -> Case {
    Case { name, text, left_out: 0, images }
}

/// A key as it stands in YAML.
struct Keys {
    a: String,
    b: String,
}

impl Keys {
    fn of(a: &Signer, b: &Signer) -> Self {
        let text = |key: &Signer| {
            serde_json::Value::from(String::from_utf8(key.pem()).unwrap()).to_string()
        };
        Self { a: text(a), b: text(b) }
    }
}

fn root() -> Arc<TrustRoot> {
    Arc::new(TrustRoot::parse(&fixtures::trust_root("local")).unwrap())
}

/// The set of policies that the import of a case makes.
fn set(case: &Case) -> PolicySet {
    let file = |name: &str, text: &str| PolicyFile {
        name: name.to_owned(),
        bytes: text.as_bytes().to_owned(),
    };
    let read = |path: &str| Err(format!("no {path}"));
    let trust_root = |name: &str| matches!(name, "public-good" | "local").then(root);
    let surroundings = Surroundings { read: &read, trust_root: &trust_root };
    let imported = import(None, &[file(case.name, &case.text)], &surroundings)
        .unwrap_or_else(|faults| panic!("{}: {faults:?}", case.name));
    assert_eq!(imported.omissions.len(), case.left_out, "{}: {:?}", case.name, imported.omissions);
    let keys: BTreeMap<String, PublicKey> = imported
        .files
        .iter()
        .map(|(name, pem)| (name.clone(), PublicKey::parse_pem(pem).unwrap()))
        .collect();
    let documents = Documents::parse(&[file("imported.yaml", &imported.text)]).unwrap();
    let roots = ["public-good", "local"].map(|name| (name.to_owned(), root()));
    let material = Material { keys, roots: roots.into_iter().collect(), ..Material::default() };
    PolicySet::build(documents, material, Unmatched::Deny).unwrap()
}

fn cluster_image_policy(name: &str, glob: &str, rest: &str) -> String {
    format!(
        "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  images: [{{glob: \"{HOST}/{glob}\"}}]\n{rest}\n---\n"
    )
}

fn cluster_image_policies(keys: &Keys) -> Vec<Case> {
    let Keys { a, b } = keys;
    let one = |glob: &str, rest: &str| cluster_image_policy("one", glob, rest);
    let keyless = format!(
        "keyless: {{trustRootRef: local, identities: [{{issuer: \"{ISSUER}\", subject: \"{WORKFLOW}\"}}]}}, ctlog: {{trustRootRef: local}}"
    );
    vec![
        case(
            "any of two authorities",
            one(
                "diff/**",
                &format!("  authorities: [{{key: {{data: {a}}}}}, {{key: {{data: {b}}}}}]"),
            ),
            &[
                ("diff/plain:1", OK),
                ("diff/b:1", OK),
                ("diff/both:1", OK),
                ("diff/none:1", UNSIGNED),
                ("diff/elsewhere:1", NONE_COUNTS),
                ("prod/signed-v2:v1", NO_POLICY),
            ],
        ),
        case(
            "all of two policies",
            [
                one("diff/**", &format!("  authorities: [{{key: {{data: {a}}}}}]")),
                cluster_image_policy(
                    "two",
                    "diff/b*",
                    &format!("  authorities: [{{key: {{data: {b}}}}}]"),
                ),
            ]
            .concat(),
            &[
                ("diff/plain:1", OK),
                ("diff/b:1", NONE_COUNTS),
                ("diff/both:1", OK),
                ("diff/none:1", UNSIGNED),
            ],
        ),
        case(
            "pass among others",
            one(
                "diff/*:*",
                &format!("  authorities: [{{key: {{data: {a}}}}}, {{static: {{action: pass}}}}]"),
            ),
            &[("diff/none:1", OK), ("diff/b:1", OK)],
        ),
        case(
            "fail alone",
            one("diff/**", "  authorities: [{static: {action: fail}}]"),
            &[("diff/plain:1", REJECTED), ("diff/none:1", REJECTED)],
        ),
        case(
            "warn",
            one("diff/*:*", &format!("  mode: warn\n  authorities: [{{key: {{data: {a}}}}}]")),
            &[("diff/none:1", OK), ("diff/b:1", OK)],
        ),
        case(
            "keyless",
            one("prod/**", &format!("  authorities: [{{{keyless}}}]")),
            &[
                ("prod/keyless:v1", OK),
                ("prod/keyless-v2:v1", OK),
                ("prod/keyless-neighbour:v1", NONE_COUNTS),
                ("prod/keyless-no-log:v1", NONE_COUNTS),
                ("prod/signed-both:v1", NONE_COUNTS),
                ("prod/unsigned:v1", UNSIGNED),
            ],
        ),
        case(
            "an attestation in place of a signature",
            one(
                "prod/**",
                &format!(
                    "  authorities: [{{{keyless}, attestations: [{{name: p, predicateType: \"https://slsa.dev/provenance/v1\"}}]}}]"
                ),
            ),
            &[
                ("prod/provenance:v1", OK),
                ("prod/provenance-v2:v1", OK),
                ("prod/provenance-neighbour:v1", NONE_COUNTS),
                ("prod/keyless:v1", NONE_COUNTS),
            ],
        ),
    ]
}

fn image_validating_policy(spec: &str, attestors: &str, validations: &[&str]) -> String {
    let validations: Vec<String> =
        validations.iter().map(|text| format!("    - expression: >-\n        {text}\n")).collect();
    format!(
        "apiVersion: policies.kyverno.io/v1\nkind: ImageValidatingPolicy\nmetadata: {{name: one}}\nspec:\n{spec}  attestors: [{attestors}]\n  validations:\n{}",
        validations.concat()
    )
}

fn image_validating_policies(keys: &Keys) -> Vec<Case> {
    let Keys { a, b } = keys;
    let log = "ctlog: {url: https://rekor.sigstore.dev, insecureIgnoreTlog: true}";
    let both = format!(
        "{{name: a, cosign: {{key: {{data: {a}}}, {log}}}}}, {{name: b, cosign: {{key: {{data: {b}}}, {log}}}}}"
    );
    let diff = format!("  matchImageReferences: [{{glob: \"{HOST}/diff/*\"}}]\n");
    let prod = format!("  matchImageReferences: [{{glob: \"{HOST}/prod/*\"}}]\n");
    let keyless = format!(
        "{{name: a, cosign: {{keyless: {{identities: [{{issuer: \"{ISSUER}\", subject: \"{WORKFLOW}\"}}]}}}}}}"
    );
    let wants = "images.containers.map(i, verifyImageSignatures(i, [attestors.a, attestors.b]))";
    let one = "images.containers.map(i, verifyImageSignatures(i, [attestors.a])).all(e, e > 0)";
    let attested = "images.containers.map(i, verifyAttestationSignatures(i, attestations.p, [attestors.a])).all(e, e > 0)";
    vec![
        case(
            "any attestor",
            image_validating_policy(&diff, &both, &[&format!("{wants}.all(e, e > 0)")]),
            &[("diff/plain:1", OK), ("diff/b:1", OK), ("diff/none:1", UNSIGNED)],
        ),
        case(
            "every attestor",
            image_validating_policy(&diff, &both, &[&format!("{wants}.all(e, e == 2)")]),
            &[("diff/plain:1", NONE_COUNTS), ("diff/b:1", NONE_COUNTS), ("diff/both:1", OK)],
        ),
        case(
            "only audited",
            image_validating_policy(
                &format!("{diff}  validationActions: [Audit]\n"),
                &both,
                &[one],
            ),
            &[("diff/none:1", OK)],
        ),
        case(
            "a log by default",
            image_validating_policy(
                &diff,
                &format!("{{name: a, cosign: {{key: {{data: {a}}}}}}}"),
                &[one],
            ),
            &[("diff/plain:1", NONE_COUNTS)],
        ),
        case(
            "keyless",
            image_validating_policy(&prod, &keyless, &[one]),
            &[("prod/keyless:v1", OK), ("prod/keyless-neighbour:v1", NONE_COUNTS)],
        ),
        case(
            "an attestation and a signature",
            image_validating_policy(
                &format!(
                    "{prod}  attestations: [{{name: p, intoto: {{type: \"https://slsa.dev/provenance/v1\"}}}}]\n"
                ),
                &keyless,
                &[one, attested],
            ),
            &[
                ("prod/attested-whole:v1", OK),
                ("prod/provenance:v1", NONE_COUNTS),
                ("prod/keyless:v1", NONE_COUNTS),
            ],
        ),
    ]
}

fn verify_images(glob: &str, more: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: one}}\nspec:\n  validationFailureAction: Enforce\n  webhookTimeoutSeconds: 30\n  rules:\n  - name: signed\n    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}\n    verifyImages:\n    - {{imageReferences: [\"{HOST}/{glob}\"], {more}}}\n"
    )
}

fn verify_images_cases(keys: &Keys) -> Vec<Case> {
    let key = |pem: &str| {
        format!(
            "{{keys: {{publicKeys: {pem}, rekor: {{url: \"https://rekor.sigstore.dev\", ignoreTlog: true}}}}}}"
        )
    };
    let (a, b) = (key(&keys.a), key(&keys.b));
    let keyless = format!(
        "{{keyless: {{issuer: \"{ISSUER}\", subject: \"https://github.com/acme/app/*\"}}}}"
    );
    vec![
        case(
            "all of a list",
            verify_images("diff/*", &format!("attestors: [{{entries: [{a}, {b}]}}]")),
            &[
                ("diff/plain:1", NONE_COUNTS),
                ("diff/b:1", NONE_COUNTS),
                ("diff/both:1", OK),
                ("diff/none:1", UNSIGNED),
                ("prod/unsigned:v1", NO_POLICY),
            ],
        ),
        case(
            "one of a list",
            verify_images("diff/*", &format!("attestors: [{{count: 1, entries: [{a}, {b}]}}]")),
            &[("diff/plain:1", OK), ("diff/b:1", OK), ("diff/elsewhere:1", NONE_COUNTS)],
        ),
        case(
            "two lists",
            verify_images(
                "diff/*",
                &format!("attestors: [{{entries: [{a}]}}, {{entries: [{b}]}}]"),
            ),
            &[("diff/plain:1", NONE_COUNTS), ("diff/both:1", OK)],
        ),
        case(
            "what is skipped is about nothing",
            verify_images(
                "diff/*",
                &format!(
                    "skipImageReferences: [\"{HOST}/diff/none:*\"], attestors: [{{entries: [{a}]}}]"
                ),
            ),
            &[("diff/none:1", NO_POLICY), ("diff/plain:1", OK), ("diff/b:1", NONE_COUNTS)],
        ),
        case(
            "a log by default",
            verify_images(
                "diff/*",
                &format!("attestors: [{{entries: [{{keys: {{publicKeys: {}}}}}]}}]", keys.a),
            ),
            &[("diff/plain:1", NONE_COUNTS)],
        ),
        case(
            "keyless with a wildcard",
            verify_images("prod/*", &format!("attestors: [{{entries: [{keyless}]}}]")),
            &[("prod/keyless:v1", OK), ("prod/keyless-email:v1", NONE_COUNTS)],
        ),
        case(
            "an attestation alone",
            verify_images(
                "prod/*",
                &format!(
                    "attestations: [{{type: \"https://slsa.dev/provenance/v1\", attestors: [{{entries: [{keyless}]}}]}}]"
                ),
            ),
            &[("prod/provenance:v1", OK), ("prod/keyless:v1", NONE_COUNTS)],
        ),
        Case {
            left_out: 1,
            ..case(
                "all of a list of which one is elsewhere",
                verify_images(
                    "diff/*",
                    &format!("attestors: [{{entries: [{a}, {{keys: {{kms: \"awskms://x\"}}}}]}}]"),
                ),
                &[("diff/both:1", REJECTED)],
            )
        },
    ]
}

fn talos(rules: &[&str]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
    format!("apiVersion: v1alpha1\nkind: ImageVerificationConfig\nrules:\n{}", rules.concat())
}

fn talos_cases(keys: &Keys) -> Vec<Case> {
    let rule = |glob: &str, more: &str| format!("image: \"{HOST}/{glob}\", {more}");
    let key = |glob: &str, pem: &str| rule(glob, &format!("publicKey: {{certificate: {pem}}}"));
    let keyless = format!(
        "keyless: {{issuer: \"{ISSUER}\", subjectRegex: \"https://github.com/acme/app/.*\"}}"
    );
    vec![
        case(
            "the first rule, narrow before wide",
            talos(&[
                &rule("diff/none", "skip: true"),
                &key("diff/b*", &keys.b),
                &key("*", &keys.a),
            ]),
            &[
                ("diff/none:1", OK),
                ("diff/b:1", OK),
                ("diff/both:1", OK),
                ("diff/plain:1", OK),
                ("prod/signed-v2:v1", NONE_COUNTS),
            ],
        ),
        case(
            "the first rule, wide before narrow",
            talos(&[
                &key("*", &keys.a),
                &key("diff/b*", &keys.b),
                &rule("diff/none", "skip: true"),
            ]),
            &[("diff/none:1", UNSIGNED), ("diff/b:1", NONE_COUNTS), ("diff/plain:1", OK)],
        ),
        case(
            "denied, and what no rule is about",
            talos(&[&rule("diff/plain", "deny: true"), &key("diff/*", &keys.a)]),
            &[("diff/plain:1", REJECTED), ("diff/both:1", OK), ("prod/signed-v2:v1", NO_POLICY)],
        ),
        case(
            "keyless",
            talos(&[&rule("prod/*", &keyless), "image: \"**\", deny: true"]),
            &[
                ("prod/keyless:v1", OK),
                ("prod/keyless-email:v1", NONE_COUNTS),
                ("diff/plain:1", REJECTED),
            ],
        ),
        Case {
            left_out: 1,
            ..case(
                "what cannot be said demands more",
                talos(&[&key("diff/*n", &keys.b), &key("*", &keys.a)]),
                &[("diff/plain:1", NONE_COUNTS), ("diff/both:1", OK), ("diff/b:1", NONE_COUNTS)],
            )
        },
    ]
}

/// Connaisseur's configuration of these rules; the validator `default` has the keys `a` and `b` and
/// the identity `web`.
fn connaisseur(keys: &Keys, rules: &[&str]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
    let Keys { a, b } = keys;
    format!(
        "validators:\n  - {{name: allow, type: static, approve: true}}\n  - {{name: deny, type: static, approve: false}}\n  - name: default\n    type: cosign\n    trustRoots:\n      - {{name: a, key: {a}}}\n      - {{name: b, key: {b}}}\n      - {{name: web, keyless: {{issuer: \"{ISSUER}\", subjectRegex: \"^https://github.com/acme/app/\"}}}}\npolicy:\n{}",
        rules.concat()
    )
}

fn connaisseur_cases(keys: &Keys) -> Vec<Case> {
    let config = |rules: &[&str]| connaisseur(keys, rules);
    let with = |glob: &str, options: &str| {
        format!("pattern: \"{glob}\", with: {{verifyInTransparencyLog: false, {options}}}")
    };
    let (host, everything) = (HOST, with("*:*", "trustRoot: a"));
    let below = |glob: &str| format!("{host}/{glob}");
    let open = format!("pattern: \"{}\", validator: allow", below("diff/none"));
    let closed = format!("pattern: \"{}\", validator: deny", below("diff/plain"));
    let by_b = with(&below("diff/b"), "trustRoot: b");
    let plain: &[(&str, &str)] = &[
        ("diff/none:1", OK),
        ("diff/plain:1", REJECTED),
        ("diff/b:1", OK),
        ("diff/both:1", OK),
        ("prod/signed-v2:v1", NONE_COUNTS),
    ];
    let both = with("*:*", "trustRoot: \"*\", required: [a, b]");
    let any = with("*:*", "trustRoot: \"*\", threshold: 1");
    let web = format!("pattern: \"{}\", with: {{trustRoot: web}}", below("prod/*:*"));
    vec![
        case("the most specific rule", config(&[&everything, &by_b, &open, &closed]), plain),
        case("whatever their order", config(&[&closed, &open, &by_b, &everything]), plain),
        case(
            "all that are required",
            config(&[&both]),
            &[("diff/both:1", OK), ("diff/plain:1", NONE_COUNTS), ("diff/none:1", UNSIGNED)],
        ),
        // Without the log, nothing says when the certificate of the third was good.
        Case {
            left_out: 1,
            ..case(
                "any of three",
                config(&[&any]),
                &[("diff/b:1", OK), ("diff/plain:1", OK), ("diff/none:1", UNSIGNED)],
            )
        },
        case(
            "keyless, and what no rule is about",
            config(&[&web]),
            &[
                ("prod/keyless:v1", OK),
                ("prod/keyless-email:v1", NONE_COUNTS),
                ("diff/plain:1", NO_POLICY),
            ],
        ),
        Case {
            left_out: 1,
            ..case(
                "a rule for one tag holds in addition",
                config(&[&everything, &with(&below("diff/plain:1"), "trustRoot: b"), &by_b]),
                &[("diff/both:1", OK), ("diff/plain:1", NONE_COUNTS), ("diff/b:1", OK)],
            )
        },
    ]
}

fn notation_cases() -> Vec<Case> {
    let statement = |name: &str, scope: &str, level: &str| {
        format!(
            r#"{{"name":"{name}","registryScopes":["{scope}"],"signatureVerification":{{"level":"{level}"}}}}"#
        )
    };
    let text = format!(
        r#"{{"version":"1.0","trustPolicies":[{},{}]}}"#,
        statement("open", &format!("{HOST}/diff/none"), "skip"),
        statement("rest", "*", "audit")
    );
    vec![Case {
        left_out: 2,
        ..case(
            "trust policy",
            text,
            &[("diff/none:1", REJECTED), ("diff/plain:1", REJECTED), ("prod/keyless:v1", REJECTED)],
        )
    }]
}

#[tokio::test]
async fn the_gate_judges_by_imported_policies() {
    let rig = Rig::new(Settings::without_referrers());
    let (a, b) = (Signer::p256(), Signer::p256());
    policy_json::images(&rig.registry, &a, &b);
    let keys = Keys::of(&a, &b);
    let all = [
        ("ClusterImagePolicy", cluster_image_policies(&keys)),
        ("ImageValidatingPolicy", image_validating_policies(&keys)),
        ("verifyImages", verify_images_cases(&keys)),
        ("Talos", talos_cases(&keys)),
        ("Connaisseur", connaisseur_cases(&keys)),
        ("notation", notation_cases()),
    ];
    let mut faults = Vec::new();
    for (format, cases) in all {
        for case in cases {
            let gate = rig.special(Special { policy: set(&case), ..Special::default() });
            for (image, expected) in case.images {
                let got = match pull(&gate, &format!("{HOST}/{image}")).await {
                    Ok(_) => OK,
                    Err(refusal) => refusal.code(),
                };
                if got != *expected {
                    faults
                        .push(format!("{format}, {:?}, {image}: {got}, not {expected}", case.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
