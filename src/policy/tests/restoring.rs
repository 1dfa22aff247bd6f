//! Checkpoints: `allowCheckpointRestore`, and what counts as proof of one.

use super::support::*;
use crate::evidence::{Evidence, Name, Outcome, Pod, Subject};
use crate::image::Reference;
use crate::policy::{Case, Permit, PolicyFault, PolicySet, Unmatched, Verdict};
use crate::verify::VerificationCache;

const IMAGE: &str = "reg.test/prod/app:1";
const BUILD: &str = "require: {name: build, key: {files: [build.pub]}}";
const ALLOW: &str = "allowCheckpointRestore: true";

fn document(name: &str, images: &str, fields: &[&str]) -> String {
    let fields = fields.join(", ");
    format!(
        "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: \
         {{images: [\"{images}\"], {fields}}}\n"
    )
}

fn allowing(name: &str, images: &str) -> String {
    document(name, images, &[ALLOW, BUILD])
}

fn judged_last(set: &PolicySet, subject: &Subject, evidence: &Evidence) -> Permit {
    let verdict = set.judge_unreachable(&Case {
        subject,
        applicable: &set.applicable(&subject.name, &in_namespace("prod")),
        evidence: &[evidence],
        now: now(),
        proofs: &VerificationCache::default(),
    });
    let Verdict::Permit(permit) = verdict else { panic!("denied") };
    permit
}

/// Attack F: one policy that does not allow it is enough, whatever else matches.
#[test]
fn attack_f_every_policy_about_a_checkpoint_must_let_it_be_restored() {
    let key = Signer::new();
    let keys = [("build.pub", &key)];
    let lets = |text: &str, namespace: Option<&str>| {
        let pod = Pod { namespace: namespace.map(str::to_owned), ..Pod::default() };
        let name = Name::Known(Reference::parse(IMAGE).unwrap());
        set_with(text, &keys, Unmatched::Admit).applicable(&name, &pod).lets_restore()
    };
    let own = allowing("own", "reg.test/prod/**");
    let plain = |fields: &[&str]| document("other", "reg.test/**", fields);
    assert!(lets(&own, Some("prod")));
    assert!(lets(&(own.clone() + &allowing("other", "reg.test/**")), Some("prod")));
    assert!(!lets(&(own.clone() + &plain(&[BUILD])), Some("prod")));
    let elsewhere = plain(&["namespaces: [dev]", BUILD]);
    assert!(lets(&(own.clone() + &elsewhere), Some("prod")));
    assert!(!lets(&(own.clone() + &elsewhere), None), "it may be about the pod");
    // What asks for no proof has no say, and lets nothing be restored by itself.
    let (warns, accepts) =
        (plain(&["action: warn", BUILD]), plain(&["require: {insecureAcceptAnything: true}"]));
    for silent in [warns, accepts] {
        assert!(lets(&(own.clone() + &silent), Some("prod")));
        assert!(!lets(&silent, Some("prod")));
    }
    assert!(!lets(&allowing("own", "reg.test/other/**"), Some("prod")), "no policy is about it");
}

#[test]
fn a_policy_without_proof_lets_nothing_be_restored() {
    for (fields, with) in [
        (&["action: warn", BUILD][..], "action: warn"),
        (&["require: {insecureAcceptAnything: true}"], "insecureAcceptAnything"),
        (
            &[
                "deny: {digests: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}",
            ],
            "a policy without require",
        ),
    ] {
        let text = document("own", "reg.test/prod/**", &[&[ALLOW], fields].concat());
        let expected = PolicyFault::Excludes { name: "allowCheckpointRestore", with };
        let faults: Vec<PolicyFault> = faults(&text).into_iter().map(|it| it.2).collect();
        assert_eq!(faults, [expected], "{text}");
    }
    let no = document("own", "reg.test/prod/**", &["allowCheckpointRestore: false", BUILD]);
    assert!(matches!(faults(&no)[..], [(_, _, PolicyFault::NotTrue { .. })]));
}

/// Attack F: neither an exception nor a registry that is cut off is proof of what would run at once.
#[test]
fn attack_f_what_is_let_through_without_proof_is_not_proven() {
    let key = Signer::new();
    let keys = [("build.pub", &key)];
    let image = subject(IMAGE, &digest("image"));
    let signed = found(&image.target, vec![key.signs(&image.target, REPOSITORY)]);
    let proven = |text: &str, evidence: &Evidence| {
        let set = set(text, &keys);
        let verdict = set.judge(&Case {
            subject: &image,
            applicable: &set.applicable(&image.name, &Pod::default()),
            evidence: &[evidence],
            now: "2026-01-31T00:00:00Z".parse().unwrap(),
            proofs: &VerificationCache::default(),
        });
        permitted(verdict).is_proven()
    };
    let own = allowing("own", "reg.test/prod/**");
    assert!(proven(&own, &signed));
    let exception = "---\napiVersion: sealgate/v1\nkind: Exception\nmetadata: {name: hotfix}\nspec: \
        {images: [\"reg.test/prod/app\"], expires: 2026-02-01T00:00:00Z, owner: a, reason: b}\n";
    let none = found(&image.target, vec![]);
    assert!(!proven(&(own.clone() + exception), &none));
    assert!(proven(&(own + exception), &signed), "it was not needed");
    let accepts = document("any", "reg.test/prod/**", &["require: {insecureAcceptAnything: true}"]);
    assert!(!proven(&accepts, &none));
    let open = document("own", "reg.test/prod/**", &["onUnreachable: insecureAdmit", ALLOW, BUILD]);
    let cut = looked(&image.target, vec![], Outcome::Unreachable("no route to host".to_owned()));
    assert!(!judged_last(&set(&open, &keys), &image, &cut).is_proven());
}
