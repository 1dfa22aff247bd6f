//! Keyless signatures: by whom, vouched for by whom, and how many signers that makes.

use super::fixtures::*;
use super::support::{assert_denied, assert_permitted, denied, permitted};
use crate::policy::{Class, Finding, Material, PolicyFault, Reason, SignatureOutcome, SignerId};
use crate::verify::Fault;

const LATER: &str = "2025-07-01T00:00:00Z";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0";

fn why(require: &str, name: &str) -> Finding {
    let denial = denied(judged_in(require, name, LATER));
    assert_eq!(denial.class(), Class::Refused, "{denial}");
    let Reason::NoneCounts { why } = denial.reason() else { panic!("{denial:?}") };
    why.clone()
}

#[test]
fn the_identity_that_is_wanted_admits_in_both_shapes() {
    let require = keyless("release", &[ACME]);
    for name in
        ["keyless", "keyless-v2", "keyless-v2-timestamp", "keyless-no-timestamp", "keyless-two-v2"]
    {
        let permit = permitted(judged_in(&require, name, LATER));
        let requirement = &permit.report().documents[0].requirements[0];
        assert_eq!(requirement.signers.len(), 1, "{name}");
        assert_eq!(permit.valid_until(), None, "{name}: nothing ends");
    }
    let email = keyless("release", &[EMAIL]);
    assert_permitted(judged_in(&email, "keyless-email", LATER));
    assert_permitted(judged_in(&email, "keyless-email-v2", LATER));
    let user = "{issuer: 'https://oidc.acme.example', subject: deploy!ci, subjectKind: otherName}";
    assert_permitted(judged_in(&keyless("release", &[user]), "keyless-othername", LATER));
}

#[test]
fn the_report_says_who_when_and_which_log_entry() {
    let permit = permitted(judged_in(&keyless("release", &[ACME]), "keyless", LATER));
    let signer = &permit.report().documents[0].requirements[0].signers[0];
    let holder = signer.certificate().unwrap();
    assert_eq!((holder.subject.as_str(), holder.subject_kind), (WORKFLOW, "uri"));
    assert_eq!(holder.issuer.as_deref(), Some(ISSUER));
    assert_eq!(holder.trust_root.as_deref(), Some("local"));
    assert_eq!(holder.extensions["sourceRepositoryURI"], "https://github.com/acme/app");
    assert!(!holder.extensions.contains_key("deploymentEnvironment"));
    assert!(
        signer.times.iter().any(|at| at.by == "log")
            && signer.times.iter().any(|at| at.by == "authority")
    );
    assert!(signer.times.iter().all(|proven| proven.time == at(SIGNED)), "{:?}", signer.times);
    assert_eq!(signer.entries.len(), 1);
    assert!(signer.entries[0].index.is_some());
    assert_eq!(signer.to_string(), format!("uri {WORKFLOW} of {ISSUER}"));
    let json = serde_json::to_value(permit.report()).unwrap();
    let requirement = &json["documents"][0]["requirements"][0];
    assert_eq!(requirement["signers"][0]["certificate"]["subject"], WORKFLOW);
    assert_eq!(
        requirement["signers"][0]["certificate"]["extensions"]["runnerEnvironment"],
        "github-hosted"
    );
    assert_eq!(requirement["signers"][0]["times"][0]["time"], SIGNED);
    assert_eq!(requirement["fates"][0]["outcome"], "signed");
    assert_eq!(requirement["fates"][0]["certificate"]["subjectKind"], "uri");
    assert_eq!(requirement["fates"][0]["certificate"]["extensions"], serde_json::Value::Null);
}

/// Attack B8: the same workflow of a neighbour, the same text of another kind, the same name of
/// another issuer.
#[test]
fn attack_b8_a_neighbours_identity_is_refused_with_both_named() {
    let require = keyless("release", &[ACME]);
    for name in ["keyless-neighbour", "keyless-neighbour-v2"] {
        let denial = denied(judged_in(&require, name, LATER));
        let Reason::NoneCounts { why: Finding::OtherHolder { holder, part, wanted, .. } } =
            denial.reason()
        else {
            panic!("{:?}", denial.reason())
        };
        assert_eq!((part.as_str(), wanted.as_str()), ("subject", WORKFLOW));
        assert_eq!(holder, &format!("uri {} of {ISSUER}", WORKFLOW.replace("acme", "other")));
        let line = denial.to_string();
        assert!(line.contains("no keyless signature by https://github.com/acme/app/"), "{line}");
        assert!(line.contains("signed by uri https://github.com/other/app/.github"), "{line}");
    }
}

#[test]
fn attack_b8_kind_issuer_and_extensions_are_part_of_the_identity() {
    let with = |more: &str| keyless("release", &[&ACME.replace('}', &format!(", {more}}}"))]);
    assert_permitted(judged_in(&with("subjectKind: uri"), "keyless", LATER));
    assert_permitted(judged_in(
        &with("extensions: {runnerEnvironment: github-hosted}"),
        "keyless",
        LATER,
    ));
    let part = |finding: Finding| {
        let Finding::OtherHolder { part, got, wanted, .. } = finding else { panic!("{finding:?}") };
        (part, got.unwrap_or_default(), wanted)
    };
    let kind = keyless("release", &[&EMAIL.replace('}', ", subjectKind: uri}")]);
    assert_eq!(part(why(&kind, "keyless-email")).0, "subjectKind");
    let issuer =
        keyless("release", &[&EMAIL.replace("accounts.google.com", "accounts.example.com")]);
    let (name, got, wanted) = part(why(&issuer, "keyless-email"));
    assert_eq!((name.as_str(), got.as_str()), ("issuer", "https://accounts.google.com"));
    assert_eq!(wanted, "https://accounts.example.com");
    let (name, got, wanted) = part(why(
        &with("extensions: {sourceRepositoryURI: 'https://github.com/acme/other'}"),
        "keyless",
    ));
    assert_eq!(
        (name.as_str(), got.as_str()),
        ("sourceRepositoryURI", "https://github.com/acme/app")
    );
    assert_eq!(wanted, "https://github.com/acme/other");
    assert_eq!(
        part(why(&with("extensions: {deploymentEnvironment: prod}"), "keyless")).0,
        "deploymentEnvironment"
    );
}

/// Attack B7: the same names in certificates of an instance that is not trusted.
#[test]
fn attack_b7_another_instance_vouches_for_nobody() {
    let require = keyless("release", &[ACME]);
    assert!(matches!(why(&require, "keyless-foreign"), Finding::Fault { .. }));
    assert_permitted(judged_in(&require.replace("local", "foreign"), "keyless-foreign", LATER));
    assert!(matches!(why(&require.replace("local", "foreign"), "keyless"), Finding::Fault { .. }));
}

/// Attack B1: evidence beside the signature that is missing or of another signature.
#[test]
fn attack_b1_what_is_demanded_beside_the_signature_must_be_there() {
    let require = keyless("release", &[ACME]);
    for name in [
        "keyless-no-log",
        "keyless-no-sct",
        "keyless-late",
        "keyless-late-v2",
        "keyless-wrong-digest",
    ] {
        assert!(matches!(why(&require, name), Finding::Fault { .. }), "{name}");
    }
    let no_log = require.replace("keyless: {", "keyless: {insecureIgnoreTlog: true, ");
    assert_permitted(judged_in(&no_log, "keyless-no-log", LATER));
    let stamped = require.replace("keyless: {", "keyless: {minTimestamps: 1, ");
    assert_permitted(judged_in(&stamped, "keyless", LATER));
    let fault = Fault::TooFewTimestamps { got: 0, want: 1 };
    assert_eq!(why(&stamped, "keyless-no-timestamp"), Finding::Fault { fault });
    let no_sct = require.replace("keyless: {", "keyless: {insecureIgnoreSCT: true, ");
    assert_permitted(judged_in(&no_sct, "keyless-no-sct", LATER));
}

/// Attack B6 and B9: what a keyless signature says about the name is asked as of any other.
#[test]
fn attack_b9_a_keyless_bundle_does_not_answer_for_a_name() {
    let exactly = keyless("release", &[ACME]).replacen('{', "{signedIdentity: matchExact, ", 1);
    assert!(matches!(why(&exactly, "keyless"), Finding::IdentityMissing { .. }));
    let elsewhere =
        exactly.replace("matchExact", "{exactRepository: registry.example.test/prod/elsewhere}");
    assert!(matches!(why(&elsewhere, "keyless-v2"), Finding::IdentityDiffers { .. }));
}

/// Attack C2: one identity through two requirements is one signer; two identities are two.
#[test]
fn attack_c2_identities_are_counted_once() {
    let any = "{issuer: 'https://token.actions.githubusercontent.com', subjectRegExp: \
        'https://github\\.com/acme/app/.*'}";
    let all = |entries: &[String]| format!("{{all: [{}]}}", entries.join(", "));
    let two = all(&[keyless("one", &[ACME]), keyless("two", &[EMAIL])]);
    for name in ["keyless-two", "keyless-two-v2"] {
        assert_permitted(judged_in(&two, name, LATER));
    }
    assert_denied(judged_in(&two, "keyless", LATER));
    let twice = all(&[keyless("one", &[ACME]), keyless("two", &[any])]);
    let denial = denied(judged_in(&twice, "keyless", LATER));
    assert_eq!((denial.reason(), denial.class()), (&Reason::KeysNotDistinct, Class::Refused));
    // The same signer in both shapes, and again: still one.
    let again = found_in("keyless").and("keyless");
    assert_eq!(denied(judged(&twice, &again, LATER)).reason(), &Reason::KeysNotDistinct);
    // Either of two for each: two signers suffice, whichever way they are given out.
    let either = all(&[keyless("one", &[any, EMAIL]), keyless("two", &[ACME])]);
    assert_permitted(judged_in(&either, "keyless-two", LATER));
    assert_denied(judged_in(&either, "keyless", LATER));
}

#[test]
fn attack_c2_thresholds_that_one_identity_can_never_meet_are_refused_when_read() {
    let any = "{issuer: 'https://token.actions.githubusercontent.com', subjectRegExp: \
        'https://github\\.com/acme/app/.*'}";
    let all = |one: &str, two: &str| {
        format!("{{all: [{}, {}]}}", keyless("one", &[one]), keyless("two", &[two]))
    };
    let fault = PolicyFault::Unsatisfiable { distinct_keys: 1 };
    assert_eq!(missing(&all(ACME, ACME), material()), [("spec.require.all".to_owned(), fault)]);
    assert_eq!(missing(&all(ACME, EMAIL), material()), []);
    assert_eq!(missing(&all(ACME, any), material()), []);
    assert_eq!(missing(&all(any, any), material()), []);
}

#[test]
fn a_trust_root_that_is_missing_names_the_policy_that_needs_it() {
    let none = Material { roots: Default::default(), ..material() };
    let fault = PolicyFault::RootMissing { name: "local".to_owned(), policy: "test".to_owned() };
    let faults = missing(&keyless("release", &[ACME]), none.clone());
    assert_eq!(faults, [("spec.require.keyless.trustRoot".to_owned(), fault)]);
    let implied = keyless("release", &[ACME]).replace("trustRoot: local, ", "");
    let fault =
        PolicyFault::RootMissing { name: "public-good".to_owned(), policy: "test".to_owned() };
    assert_eq!(missing(&implied, none.clone()).remove(0).1, fault);
    // Policies of keys alone need none.
    assert_eq!(missing("{name: build, key: {files: [build.pub]}}", none), []);
}

#[test]
fn another_trust_root_is_another_trust_generation() {
    use crate::policy::{Documents, PolicyFile, PolicySet, Unmatched};
    let text = super::support::policy(&keyless("release", &[ACME]));
    let build = |material: Material| {
        let file = PolicyFile { name: "a.yaml".to_owned(), bytes: text.clone().into_bytes() };
        PolicySet::build(Documents::parse(&[file]).unwrap(), material, Unmatched::Deny).unwrap()
    };
    let one = build(material());
    let mut other = material();
    other.roots.insert("local".to_owned(), other.roots["foreign"].clone());
    let other = build(other);
    assert_eq!(one.generation(), other.generation());
    assert_ne!(one.trust_generation(), other.trust_generation());
    let mut files = material();
    files.files.insert("root.pem".to_owned(), b"other".to_vec());
    assert_ne!(build(files).trust_generation(), one.trust_generation());
}

/// Attack D1: junk and proven signatures of strangers neither hide the reason nor fill the record.
#[test]
fn attack_d1_the_most_telling_finding_is_kept_among_junk() {
    let require = keyless("release", &[&ACME.replace("acme", "another")]);
    let mut found = found_in("keyless-neighbour");
    let junk = found_in("keyless-wrong-digest").evidence.items;
    for item in junk.iter().cycle().take(100) {
        let mut item = item.clone();
        item.place.subject = found.subject.target.clone();
        found.evidence.items.insert(0, item);
    }
    let denial = denied(judged(&require, &found, LATER));
    assert!(
        matches!(denial.reason(), Reason::NoneCounts { why: Finding::OtherHolder { .. } }),
        "{:?}",
        denial.reason()
    );
    let requirement = &denial.report().documents[0].requirements[0];
    assert_eq!(requirement.signature_results.len() + requirement.signature_results_omitted, 101);
    assert!(serde_json::to_vec(denial.report()).unwrap().len() < 16 << 10);
}

#[test]
fn keys_and_identities_stand_side_by_side() {
    let require = format!(
        "{{any: [{{name: build, key: {{files: [build.pub]}}}}, {}]}}",
        keyless("release", &[ACME])
    );
    let by = |name: &str| {
        let permit = permitted(judged_in(&require, name, LATER));
        let requirements = &permit.report().documents[0].requirements;
        let who = |fate: &SignatureOutcome| match fate {
            SignatureOutcome::Signed(signer) => Some(matches!(signer.id, SignerId::Key { .. })),
            SignatureOutcome::Refused(_) | SignatureOutcome::Unable(_) => None,
        };
        requirements
            .iter()
            .flat_map(|r| &r.signature_results)
            .find_map(|fate| who(&fate.outcome))
            .unwrap()
    };
    assert!(by("signed-v3") && by("signed-v2") && by("key-logged"));
    assert!(!by("keyless") && !by("keyless-v2"));
}
