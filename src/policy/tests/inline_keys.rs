//! Keys that a policy has written out: `key: {pem: ...}`.

use super::support::*;
use crate::policy::{Documents, Finding, PolicyFault, Reason, SignerId};
use crate::verify::KeyError;

const IMAGE: &str = "reg.test/prod/app:1";

/// A policy with these keys written out, and more fields of `key`.
fn with(pem: &str, more: &str) -> String {
    let pem = serde_json::Value::from(pem);
    policy(&format!("{{name: build, key: {{pem: {pem}{more}}}}}"))
}

#[test]
fn a_key_that_is_written_out_counts_as_one_in_a_file_does() {
    let (key, second, other) = (Signer::new(), Signer::new(), Signer::new());
    let image = subject(IMAGE, &digest("image"));
    let signed_by = |key: &Signer| found(&image.target, vec![key.signs(&image.target, REPOSITORY)]);
    let both = format!("# the build\n{}and its successor\n{}", key.pem(), second.pem());
    for text in [
        with(&both, ""),
        policy(&format!(
            "{{name: build, key: {{pem: [{}, {}]}}}}",
            serde_json::Value::from(key.pem()),
            serde_json::Value::from(second.pem())
        )),
    ] {
        let set = set(&text, &[]);
        for key in [&key, &second] {
            let permit = permitted(judge(&set, &image, &[&signed_by(key)]));
            let signer = &permit.report().documents[0].requirements[0].signers[0];
            let expected = SignerId::Key { key: key.public().id().clone(), file: None };
            assert_eq!((&signer.id, signer.file()), (&expected, None));
            assert_eq!(signer.to_string(), format!("key {}", key.public().id()));
        }
        let denial = denied(judge(&set, &image, &[&signed_by(&other)]));
        let line = denial.to_string();
        assert!(line.contains(&key.public().id().to_string()), "{line}");
        assert!(Documents::parse(&[file(&text)]).unwrap().key_files().is_empty());
    }
    // Beside files, any one of them.
    let set = set(&with(&key.pem(), ", files: [build.pub]"), &[("build.pub", &second)]);
    for key in [&key, &second] {
        assert_permitted(judge(&set, &image, &[&signed_by(key)]));
    }
    assert_denied(judge(&set, &image, &[&signed_by(&other)]));
}

/// Attack C2: one key in a file and written out is one signer.
#[test]
fn attack_c2_a_key_that_is_written_out_and_in_a_file_counts_once() {
    let key = Signer::new();
    let pem = serde_json::Value::from(key.pem());
    let both = format!(
        "{{atLeast: {{count: 2, of: [{{name: a, key: {{files: [a.pub]}}}}, {{name: b, key: {{pem: \
         {pem}}}}}]}}}}"
    );
    let faults = build_faults(&policy(&both), &[("a.pub", &key)]);
    assert!(
        matches!(faults[..], [(_, _, PolicyFault::Unsatisfiable { distinct_keys: 1 })]),
        "{faults:?}"
    );
}

#[test]
fn a_deny_list_strikes_it_off_by_its_fingerprint() {
    let key = Signer::new();
    let image = subject(IMAGE, &digest("image"));
    let list = format!(
        "---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d}}\nspec: {{keys: \
         [{{fingerprint: \"{}\", reason: leaked, date: 1969-01-01T00:00:00Z}}]}}\n",
        key.public().id()
    );
    let set = set(&(with(&key.pem(), "") + &list), &[]);
    let evidence = found(&image.target, vec![key.signs(&image.target, REPOSITORY)]);
    let denial = denied(judge(&set, &image, &[&evidence]));
    let Reason::NoneCounts { why: Finding::KeyDenied(denied) } = denial.reason() else {
        panic!("{denial:?}")
    };
    assert!(denied.signer.contains(&key.public().id().to_string()), "{denied:?}");
}

#[test]
fn what_is_no_public_key_is_told_where_it_stands() {
    let key = Signer::new();
    let fault = |text: &str| {
        let (_, field, fault) = faults(text).remove(0);
        (field, fault)
    };
    let at =
        |field: &str, error| (format!("spec.require.key.{field}"), PolicyFault::InlineKey(error));
    assert_eq!(fault(&with("build.pub", "")), at("pem", KeyError::NotPem));
    let private = key.pem().replace("PUBLIC", "PRIVATE");
    assert_eq!(fault(&with(&private, "")), at("pem", KeyError::Label("PRIVATE KEY".to_owned())));
    let cut = key.pem().replace("-----END", "----END");
    assert_eq!(fault(&with(&(key.pem() + &cut), "")), at("pem", KeyError::NotPem));
    let twice = key.pem() + &key.pem();
    assert!(matches!(fault(&with(&twice, "")), (_, PolicyFault::DuplicateEntry { .. })));
    let long = key.pem() + &"#".repeat(5000);
    assert!(matches!(fault(&with(&long, "")), (_, PolicyFault::TooMany { .. })));
    let many: Vec<String> =
        (0..33).map(|_| serde_json::Value::from(Signer::new().pem()).to_string()).collect();
    let many = policy(&format!("{{name: build, key: {{pem: [{}]}}}}", many.join(", ")));
    assert!(matches!(fault(&many), (_, PolicyFault::TooMany { limit: 32, .. })));
    assert!(matches!(fault(&policy("{name: b, key: {}}")), (_, PolicyFault::OneOf { .. })));
    assert!(matches!(
        fault(&policy("{name: b, key: {pem: 7}}")),
        (_, PolicyFault::WrongType { .. })
    ));
}
